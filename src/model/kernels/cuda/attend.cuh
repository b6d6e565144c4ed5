// Attention of one token a row over the row's own places of a cache.
//
// A block computes one head of one row. Its warps take the row's places in turn, counted from the row's first one, so
// the result depends on the row's keys and values alone: not on where in the cache they lie, nor on other rows.

namespace llmeval {

// One head's keys or values of all places, and how far it is from one to the next.
template <typename T>
struct Places {
  const T* first;
  long stride;
};

// A lane's share of a head's numbers.
template <int EACH, typename T>
struct alignas(EACH % 2 == 0 ? EACH % 4 == 0 ? 8 : 4 : 2) Share {
  T numbers[EACH];
};

// query and output [D]; the places from `start` to `end` count. Zeros where there are none. `newest` holds the last place's
// key and then its value where the cache doesn't hold them yet.
template <int D, bool NEWEST, typename T>
__device__ __forceinline__ void attend(
    const T* query, Places<T> keys, Places<T> values, const T* newest, T* output, int start, int end, float scale) {
  constexpr int WARPS = 16, EACH = D / 32, AHEAD = 4;
  using Part = Share<EACH, T>;
  __shared__ float outputs[WARPS][D];
  __shared__ float maxima[WARPS], totals[WARPS];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  auto part = [&](const T* from) { return reinterpret_cast<const Part*>(from)[lane]; };
  float q[EACH], mixed[EACH] = {}, maximum = -INFINITY, total = 0;
  const Part asked = part(query);
#pragma unroll
  for (int index = 0; index < EACH; ++index) {
    q[index] = static_cast<float>(asked.numbers[index]) * (scale * 1.44269504f);
  }
  for (int place = start + warp; place < end; place += AHEAD * WARPS) {
    float scores[AHEAD];
    Part value[AHEAD] = {};
    float higher = maximum;
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ++ahead) {
      const long at = place + ahead * WARPS;
      float score = 0;
      if (at < end) {
        const bool is_newest = NEWEST && at == end - 1;
        const Part key = part(is_newest ? newest : keys.first + at * keys.stride);
        value[ahead] = part(is_newest ? newest + D : values.first + at * values.stride);
#pragma unroll
        for (int index = 0; index < EACH; ++index) {
          score += q[index] * static_cast<float>(key.numbers[index]);
        }
      }
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) {
        score += __shfl_xor_sync(0xffffffff, score, distance);
      }
      scores[ahead] = at < end ? score : -INFINITY;
      higher = fmaxf(higher, scores[ahead]);
    }
    const float factor = exp2f(maximum - higher);
    maximum = higher;
    total *= factor;
#pragma unroll
    for (int index = 0; index < EACH; ++index) {
      mixed[index] *= factor;
    }
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ++ahead) {
      const float share = exp2f(scores[ahead] - higher);
      total += share;
#pragma unroll
      for (int index = 0; index < EACH; ++index) {
        mixed[index] += share * static_cast<float>(value[ahead].numbers[index]);
      }
    }
  }
  if (lane == 0) {
    maxima[warp] = maximum;
    totals[warp] = total;
  }
#pragma unroll
  for (int index = 0; index < EACH; ++index) {
    outputs[warp][lane * EACH + index] = mixed[index];
  }
  __syncthreads();
  float highest = maxima[0];
#pragma unroll
  for (int other = 1; other < WARPS; ++other) {
    highest = fmaxf(highest, maxima[other]);
  }
  for (int place = threadIdx.x; place < D; place += WARPS * 32) {
    float sum = 0, weight = 0;
#pragma unroll
    for (int other = 0; other < WARPS; ++other) {
      const float factor = start < end ? exp2f(maxima[other] - highest) : 0;
      weight += totals[other] * factor;
      sum += outputs[other][place] * factor;
    }
    output[place] = static_cast<T>(start < end ? sum / weight : 0.0f);
  }
}

} // namespace llmeval
