// One head of one row, by one warp: its root mean square norm, then its rotation (RoFormer, Su et al. 2021).

namespace llmeval {

// x, weight and y [D]; a pair's angle is `place` times its frequency, f32 [ROTATED / 2].
template <int D, int ROTATED, bool TRADITIONAL, bool NORMED, typename T>
__device__ __forceinline__ void norm_and_rotate(
    const T* x, const T* weight, T* y, int place, const float* frequencies, float epsilon) {
  __shared__ float heads[8][D];
  float* head = heads[threadIdx.x / 32];
  const int lane = threadIdx.x % 32;
  float numbers[D / 32], squares = 0;
#pragma unroll
  for (int index = 0; index < D / 32; ++index) {
    numbers[index] = static_cast<float>(x[lane + 32 * index]);
    squares += numbers[index] * numbers[index];
  }
  if constexpr (NORMED) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
      squares += __shfl_xor_sync(0xffffffff, squares, distance);
    }
    const float factor = rsqrtf(squares / D + epsilon);
#pragma unroll
    for (int index = 0; index < D / 32; ++index) {
      numbers[index] *= factor * static_cast<float>(weight[lane + 32 * index]);
    }
  }
#pragma unroll
  for (int index = 0; index < D / 32; ++index) {
    head[lane + 32 * index] = numbers[index];
  }
  __syncwarp();
  for (int pair = lane; pair < ROTATED / 2; pair += 32) {
    const int first = TRADITIONAL ? 2 * pair : pair, second = TRADITIONAL ? 2 * pair + 1 : pair + ROTATED / 2;
    float sine, cosine;
    sincosf(place * frequencies[pair], &sine, &cosine);
    y[first] = static_cast<T>(head[first] * cosine - head[second] * sine);
    y[second] = static_cast<T>(head[first] * sine + head[second] * cosine);
  }
  for (int index = ROTATED + lane; index < D; index += 32) {
    y[index] = static_cast<T>(head[index]);
  }
}

} // namespace llmeval
