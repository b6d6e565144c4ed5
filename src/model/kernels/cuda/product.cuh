// y = x Wᵀ for few rows on tensor cores: x [rows, inputs], W [outputs, inputs], y [rows, outputs].
//
// A block computes 16 outputs of at most TILES · 8 rows. Its warps share the inputs out among themselves and their sums are added in
// one fixed order, so a row's result depends on the row alone: not on how many there are, nor on its place. A lane's
// 16 neighbouring inputs serve four multiplications of 16; which of them meet there doesn't matter, as long as they
// are the same ones on both sides.
//
// What usually stands before and after a product is done in it: the rows' root mean square norm (each is multiplied by
// the norm's weight as it is read, and its products by the factor that its squares give), SiLU of the outputs' first
// half times their second, and adding to what came before.

#include <cuda/std/type_traits>

namespace llmeval {

template <typename T>
using Pair = cuda::std::conditional_t<cuda::std::is_same_v<T, __nv_bfloat16>, __nv_bfloat162, __half2>;

template <typename T>
__device__ __forceinline__ Pair<T>& pair(uint32_t& bits) {
  return *reinterpret_cast<Pair<T>*>(&bits);
}

__device__ __forceinline__ float2 floats(__nv_bfloat162 pair) { return __bfloat1622float2(pair); }
__device__ __forceinline__ float2 floats(__half2 pair) { return __half22float2(pair); }

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

// 16 neighbours from element `index` on, as eight pairs of T.
template <typename T>
__device__ __forceinline__ void load(uint32_t (&pairs)[8], const T* matrix, long index) {
  const uint4* from = reinterpret_cast<const uint4*>(matrix + index);
  const uint4 low = from[0], high = from[1];
  pairs[0] = low.x, pairs[1] = low.y, pairs[2] = low.z, pairs[3] = low.w;
  pairs[4] = high.x, pairs[5] = high.y, pairs[6] = high.z, pairs[7] = high.w;
}

// A matrix as the checkpoint has it. Like a packed one, it gives 16 neighbours in two steps, so that several reads can be
// on their way at once.
template <typename T>
struct DenseMatrix {
  static constexpr int AHEAD = 2;
  struct Read {
    uint32_t pairs[8];
  };
  const T* numbers;

  __device__ __forceinline__ Read read(long index) const {
    Read read;
    load(read.pairs, numbers, index);
    return read;
  }

  __device__ __forceinline__ void unpack(uint32_t (&pairs)[8], const Read& read) const {
#pragma unroll
    for (int pair = 0; pair < 8; ++pair) {
      pairs[pair] = read.pairs[pair];
    }
  }
};

// A matrix packed by MLX.
template <int BITS, int GROUP, typename T>
struct PackedMatrix {
  static_assert(BITS == 4 || BITS == 8);
  static constexpr int AHEAD = 16 / BITS;
  struct Read {
    uint32_t words[BITS / 2];
    T scale, bias;
  };
  const uint32_t* packed;
  const T* scales;
  const T* biases;

  __device__ __forceinline__ Read read(long index) const {
    Read read;
    const uint32_t* from = packed + index / (32 / BITS);
    if constexpr (BITS == 4) {
      const uint2 two = *reinterpret_cast<const uint2*>(from);
      read.words[0] = two.x, read.words[1] = two.y;
    } else {
      const uint4 four = *reinterpret_cast<const uint4*>(from);
      read.words[0] = four.x, read.words[1] = four.y, read.words[2] = four.z, read.words[3] = four.w;
    }
    read.scale = scales[index / GROUP], read.bias = biases[index / GROUP];
    return read;
  }

  __device__ __forceinline__ void unpack(uint32_t (&pairs)[8], const Read& read) const {
    const float scale = static_cast<float>(read.scale), bias = static_cast<float>(read.bias);
    // A small whole number as the lowest bits of 2^23 is that number more.
    auto weight = [&](uint32_t bits) {
      return (__uint_as_float(0x4b000000u | (bits & ((1u << BITS) - 1))) - 8388608.0f) * scale + bias;
    };
#pragma unroll
    for (int pair = 0; pair < 8; ++pair) {
      const uint32_t word = read.words[2 * pair * BITS / 32] >> (2 * pair * BITS % 32);
      const T low = static_cast<T>(weight(word)), high = static_cast<T>(weight(word >> BITS));
      pairs[pair] = *reinterpret_cast<const uint16_t*>(&low) |
          static_cast<uint32_t>(*reinterpret_cast<const uint16_t*>(&high)) << 16;
    }
  }
};

// Where a block's warps put their sums together.
template <int TILES>
struct Sums {
  float products[8][16][TILES * 8 + 1];
  float squares[8][TILES * 8];
};

// `norm` [inputs] and `added` [rows, outputs] where they are asked for; `inputs` is a multiple of 64. A gated product's
// W has twice as many outputs as y.
template <bool NORMED, bool GATED, bool ADDED, int TILES, typename T, typename Matrix>
__device__ __forceinline__ void product(
    Sums<TILES>& all, const T* x, T* y, int rows, int inputs, int outputs, Matrix matrix, const T* norm, float epsilon,
    const T* added) {
  constexpr int WARPS = 8, CHUNK = 64, AHEAD = Matrix::AHEAD, OUTPUTS = GATED ? 8 : 16;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = lane / 4, within = lane % 4;
  const int first = blockIdx.x * OUTPUTS, skipped = blockIdx.y * TILES * 8;
  x += static_cast<long>(skipped) * inputs;
  y += static_cast<long>(skipped) * outputs;
  added += ADDED ? static_cast<long>(skipped) * outputs : 0;
  rows = min(rows - skipped, TILES * 8);
  // The two outputs of a lane: with a gate, the gate's and the one that it gates.
  const int upper = min(first + quad, outputs - 1);
  const int lower = GATED ? upper + outputs : min(first + quad + 8, outputs - 1);
  float sum[TILES][4] = {}, square[TILES] = {};
  for (int start = warp * CHUNK; start < inputs; start += AHEAD * WARPS * CHUNK) {
    typename Matrix::Read reads[AHEAD][2];
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ++ahead) {
      const int input = start + ahead * WARPS * CHUNK + within * 16;
      if (input < inputs) {
        reads[ahead][0] = matrix.read(static_cast<long>(upper) * inputs + input);
        reads[ahead][1] = matrix.read(static_cast<long>(lower) * inputs + input);
      }
    }
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ++ahead) {
      const int input = start + ahead * WARPS * CHUNK + within * 16;
      if (input < inputs) {
        uint32_t a[2][8], weights[8];
        matrix.unpack(a[0], reads[ahead][0]);
        matrix.unpack(a[1], reads[ahead][1]);
        if constexpr (NORMED) {
          load(weights, norm, input);
        }
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
          uint32_t b[8] = {};
          const int row = tile * 8 + quad;
          if (row < rows) {
            load(b, x, static_cast<long>(row) * inputs + input);
          }
          if constexpr (NORMED) {
#pragma unroll
            for (int part = 0; part < 8; ++part) {
              const float2 numbers = floats(pair<T>(b[part]));
              square[tile] += numbers.x * numbers.x + numbers.y * numbers.y;
              pair<T>(b[part]) = __hmul2(pair<T>(b[part]), pair<T>(weights[part]));
            }
          }
#pragma unroll
          for (int part = 0; part < 8; part += 2) {
            multiply<T>(sum[tile], a[0][part], a[1][part], a[0][part + 1], a[1][part + 1], b[part], b[part + 1]);
          }
        }
      }
    }
  }
#pragma unroll
  for (int tile = 0; tile < TILES; ++tile) {
#pragma unroll
    for (int index = 0; index < 4; ++index) {
      all.products[warp][quad + index / 2 * 8][tile * 8 + within * 2 + index % 2] = sum[tile][index];
    }
    if constexpr (NORMED) {
      square[tile] += __shfl_xor_sync(0xffffffff, square[tile], 1);
      square[tile] += __shfl_xor_sync(0xffffffff, square[tile], 2);
      all.squares[warp][tile * 8 + quad] = square[tile];
    }
  }
  __syncthreads();
  for (int place = threadIdx.x; place < OUTPUTS * rows; place += WARPS * 32) {
    const int output = place % OUTPUTS, row = place / OUTPUTS;
    float total = 0, gated = 0, factor = 0;
#pragma unroll
    for (int part = 0; part < WARPS; ++part) {
      total += all.products[part][output][row];
      gated += GATED ? all.products[part][output + 8][row] : 0;
      factor += NORMED ? all.squares[part][row] : 0;
    }
    if constexpr (NORMED) {
      factor = rsqrtf(factor / inputs + epsilon);
      total *= factor;
      gated *= factor;
    }
    if constexpr (GATED) {
      total = total / (1.0f + expf(-total)) * gated;
    }
    if (first + output < outputs) {
      const long at = static_cast<long>(row) * outputs + first + output;
      y[at] = static_cast<T>(ADDED ? total + static_cast<float>(added[at]) : total);
    }
  }
}

// The products that are asked for in one kernel, which takes hardly longer to compile than one of them: `norm` has one
// dimension where it is a norm's weight, `added` has two where it is to be added and three where a gate is asked for.
template <int TILES, typename T, typename Matrix>
__device__ __forceinline__ void product_as_asked(
    const T* x, T* y, int rows, int inputs, int outputs, Matrix matrix, const T* norm, int norm_ndim, float epsilon,
    const T* added, int added_ndim) {
  __shared__ Sums<TILES> all;
  if (added_ndim == 2) {
    product<false, false, true>(all, x, y, rows, inputs, outputs, matrix, norm, epsilon, added);
  } else if (added_ndim == 3) {
    product<true, true, false>(all, x, y, rows, inputs, outputs / 2, matrix, norm, epsilon, added);
  } else if (norm_ndim == 1) {
    product<true, false, false>(all, x, y, rows, inputs, outputs, matrix, norm, epsilon, added);
  } else {
    product<false, false, false>(all, x, y, rows, inputs, outputs, matrix, norm, epsilon, added);
  }
}

// y [inputs] = row `index` of the matrix, by a block.
template <typename T, typename Matrix>
__device__ __forceinline__ void copy_row(T* y, long index, int inputs, Matrix matrix) {
  for (int input = threadIdx.x * 16; input < inputs; input += blockDim.x * 16) {
    uint32_t pairs[8];
    matrix.unpack(pairs, matrix.read(index * inputs + input));
    uint4* to = reinterpret_cast<uint4*>(y + input);
    to[0] = {pairs[0], pairs[1], pairs[2], pairs[3]};
    to[1] = {pairs[4], pairs[5], pairs[6], pairs[7]};
  }
}

} // namespace llmeval
