// What mlx-rs and mlx-c need on x86-64 Linux and find only on Apple platforms.
#include <ctime>
#include <exception>
#include <cstdint>

#include "mlx/array.h"
#include "mlx/c/array.h"
#include "mlx/c/error.h"
#include "mlx/c/private/mlx.h"

namespace {

// mlx-c leaves the half-precision accessors out where the compiler has no
// native half type; mlx-rs reads the raw 16 bits, so those are what we hand out.
template <typename Half>
int item_bits(uint16_t* result, mlx_array array) {
  try {
    static_assert(sizeof(Half) == sizeof(uint16_t));
    Half value = mlx_array_get_(array).item<Half>();
    *result = *reinterpret_cast<uint16_t*>(&value);
    return 0;
  } catch (std::exception& error) {
    mlx_error(error.what());
    return 1;
  }
}

template <typename Half>
const uint16_t* data_bits(mlx_array array) {
  try {
    return reinterpret_cast<const uint16_t*>(mlx_array_get_(array).data<Half>());
  } catch (std::exception& error) {
    mlx_error(error.what());
    return nullptr;
  }
}

uint64_t monotonic_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

extern "C" {

int mlx_array_item_float16(uint16_t* result, mlx_array array) {
  return item_bits<mlx::core::float16_t>(result, array);
}
int mlx_array_item_bfloat16(uint16_t* result, mlx_array array) {
  return item_bits<mlx::core::bfloat16_t>(result, array);
}
const uint16_t* mlx_array_data_float16(mlx_array array) {
  return data_bits<mlx::core::float16_t>(array);
}
const uint16_t* mlx_array_data_bfloat16(mlx_array array) {
  return data_bits<mlx::core::bfloat16_t>(array);
}

// mlx-rs seeds its global random state from the Mach clock; the engine never uses that state.
uint64_t mach_absolute_time() { return monotonic_nanoseconds(); }
uint64_t mach_approximate_time() { return monotonic_nanoseconds(); }

// A reference that only OpenBLAS resolves keeps the linker from dropping it as unneeded.
const char* openblas_get_config();
const char* llmeval_blas_config() { return openblas_get_config(); }

}
