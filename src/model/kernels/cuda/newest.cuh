// A row's newest token between its product and the next one: its query and key normed and rotated, its key and value
// written to the cache, its query attended over all that the row sees.
//
// A block computes one query head of one row. Those that share a key head compute the key each for itself, so that none
// waits for the one that writes it.

namespace llmeval {

// x [HEADS + 2 · KEYS, D]; the token's keys and values go to place `end` − 1.
template <int HEADS, int KEYS, int D, int ROTATED, bool TRADITIONAL, bool NORMED, typename T>
__device__ __forceinline__ void attend_newest(
    const T* x, const T* query_norm, const T* key_norm, int position, const float* frequencies, float epsilon,
    Places<T> keys, Places<T> values, T* output, int start, int end, float scale) {
  constexpr int SHARED = HEADS / KEYS;
  __shared__ __align__(16) T own[3][D];
  const int head = blockIdx.x, key_head = head / SHARED, warp = threadIdx.x / 32;
  if (warp < 2) {
    norm_and_rotate<D, ROTATED, TRADITIONAL, NORMED, T>(
        x + (warp == 0 ? head : HEADS + key_head) * D, warp == 0 ? query_norm : key_norm, own[warp], position,
        frequencies, epsilon);
  } else {
    for (int index = threadIdx.x - 64; index < D; index += blockDim.x - 64) {
      own[2][index] = x[(HEADS + KEYS + key_head) * D + index];
    }
  }
  __syncthreads();
  if (head % SHARED == 0) {
    for (int index = threadIdx.x; index < D; index += blockDim.x) {
      const_cast<T*>(keys.first)[(end - 1) * keys.stride + index] = own[1][index];
      const_cast<T*>(values.first)[(end - 1) * values.stride + index] = own[2][index];
    }
  }
  attend<D, true, T>(own[0], keys, values, own[1], output, start, end, scale);
}

} // namespace llmeval
