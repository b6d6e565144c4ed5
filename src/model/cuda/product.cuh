// y = x Wᵀ for few rows on tensor cores: x [rows, inputs], W [outputs, inputs], y [rows, outputs].
//
// A block computes 16 outputs of at most TILES · 8 rows. Its warps share the inputs out among themselves and their sums are added in
// one fixed order, so a row's result depends on the row alone: not on how many there are, nor on its place. A lane's
// 16 neighbouring inputs serve four multiplications of 16; which of them meet there doesn't matter, as long as they
// are the same ones on both sides.

#include <cuda/std/type_traits>

namespace llmeval {

// sum [16, 8] += a [16, 16] b [16, 8]; operands as PTX's mma.m16n8k16 spreads them over a warp's lanes.
template <typename T>
__device__ __forceinline__ void multiply(
    float (&sum)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  if constexpr (cuda::std::is_same_v<T, __nv_bfloat16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
}

// 16 neighbours of a dense or, below, a packed matrix from element `index` on, as eight pairs of T.
template <typename T>
__device__ __forceinline__ void load(uint32_t (&pairs)[8], const T* matrix, long index) {
  const uint4* from = reinterpret_cast<const uint4*>(matrix + index);
  const uint4 low = from[0], high = from[1];
  pairs[0] = low.x, pairs[1] = low.y, pairs[2] = low.z, pairs[3] = low.w;
  pairs[4] = high.x, pairs[5] = high.y, pairs[6] = high.z, pairs[7] = high.w;
}

template <int BITS, int GROUP, typename T>
__device__ __forceinline__ void unpack(
    uint32_t (&pairs)[8], const uint32_t* matrix, const T* scales, const T* biases, long index) {
  static_assert(BITS == 4 || BITS == 8);
  const float scale = static_cast<float>(scales[index / GROUP]), bias = static_cast<float>(biases[index / GROUP]);
  uint32_t words[BITS / 2];
  const uint32_t* from = matrix + index / (32 / BITS);
  if constexpr (BITS == 4) {
    const uint2 two = *reinterpret_cast<const uint2*>(from);
    words[0] = two.x, words[1] = two.y;
  } else {
    const uint4 four = *reinterpret_cast<const uint4*>(from);
    words[0] = four.x, words[1] = four.y, words[2] = four.z, words[3] = four.w;
  }
  // A small whole number as the lowest bits of 2^23 is that number more.
  auto weight = [&](uint32_t bits) {
    return (__uint_as_float(0x4b000000u | (bits & ((1u << BITS) - 1))) - 8388608.0f) * scale + bias;
  };
#pragma unroll
  for (int pair = 0; pair < 8; ++pair) {
    const uint32_t word = words[2 * pair * BITS / 32] >> (2 * pair * BITS % 32);
    const T low = static_cast<T>(weight(word)), high = static_cast<T>(weight(word >> BITS));
    pairs[pair] = *reinterpret_cast<const uint16_t*>(&low) |
        static_cast<uint32_t>(*reinterpret_cast<const uint16_t*>(&high)) << 16;
  }
}

// `load_weights(pairs, index)` gives 16 neighbours of W; `inputs` is a multiple of 64.
template <int TILES, typename T, typename LoadWeights>
__device__ __forceinline__ void product(
    const T* x, T* y, int rows, int inputs, int outputs, LoadWeights load_weights) {
  constexpr int WARPS = 8, CHUNK = 64;
  __shared__ float sums[WARPS][16][TILES * 8 + 1];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = lane / 4, within = lane % 4;
  const int first = blockIdx.x * 16, skipped = blockIdx.y * TILES * 8;
  x += static_cast<long>(skipped) * inputs;
  y += static_cast<long>(skipped) * outputs;
  rows = min(rows - skipped, TILES * 8);
  const long upper = min(first + quad, outputs - 1), lower = min(first + quad + 8, outputs - 1);
  float sum[TILES][4] = {};
  for (int start = warp * CHUNK; start < inputs; start += WARPS * CHUNK) {
    const int input = start + within * 16;
    uint32_t a[2][8];
    load_weights(a[0], upper * inputs + input);
    load_weights(a[1], lower * inputs + input);
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile) {
      uint32_t b[8] = {};
      const int row = tile * 8 + quad;
      if (row < rows) {
        load(b, x, static_cast<long>(row) * inputs + input);
      }
#pragma unroll
      for (int part = 0; part < 8; part += 2) {
        multiply<T>(sum[tile], a[0][part], a[1][part], a[0][part + 1], a[1][part + 1], b[part], b[part + 1]);
      }
    }
  }
#pragma unroll
  for (int tile = 0; tile < TILES; ++tile) {
#pragma unroll
    for (int index = 0; index < 4; ++index) {
      sums[warp][quad + index / 2 * 8][tile * 8 + within * 2 + index % 2] = sum[tile][index];
    }
  }
  __syncthreads();
  for (int place = threadIdx.x; place < 16 * rows; place += WARPS * 32) {
    const int output = place % 16, row = place / 16;
    float total = 0;
#pragma unroll
    for (int part = 0; part < WARPS; ++part) {
      total += sums[part][output][row];
    }
    if (first + output < outputs) {
      y[static_cast<long>(row) * outputs + first + output] = static_cast<T>(total);
    }
  }
}

} // namespace llmeval
