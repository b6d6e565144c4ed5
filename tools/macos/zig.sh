#!/usr/bin/env bash
# zig as a compiler for macOS, called as cc, c++, ar or ranlib through links of these names; drops what build scripts
# add for Apple's own clang.
set -eu

macos=$(cd "$(dirname "$0")/.." && pwd)
export ZIG_GLOBAL_CACHE_DIR="$macos/zig-cache" ZIG_LOCAL_CACHE_DIR="$macos/zig-cache"
tool=$(basename "$0")
case $tool in
  ar | ranlib) exec "$macos/zig/ziglang/zig" "$tool" "$@" ;;
esac

arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    -arch | -isysroot) shift ;;
    -mmacosx-version-min=* | --target=*) ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
# zig thinks of the newest libc++; the macro lets its headers keep to what macOS 14 has.
exec "$macos/zig/ziglang/zig" "$tool" -target aarch64-macos.14.0 -fno-sanitize=undefined \
  -U_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS -D_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=1 \
  "-ffile-prefix-map=$macos=." "-ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}/registry/src=registry" "${arguments[@]}"
