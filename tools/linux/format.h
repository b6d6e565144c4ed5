// GCC 12 has no <format>, which mlx-c uses: libfmt stands in where the header is missing.
#pragma once
#if defined(__cplusplus) && !__has_include(<format>)
#define FMT_HEADER_ONLY
#include <fmt/format.h>
namespace std {
using fmt::format;
}
#endif
