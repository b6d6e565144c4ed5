#!/usr/bin/env bash
# Prepares a Debian machine to build LLMEval: packages, MLX, mlx-c, bindings, Cargo's link settings.
# Everything it makes is stamped, so a second call does nothing and needs no network.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
mlx="$root/.mlx"
settings="$root/.cargo/mlx-linux.toml"

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

packages=(cmake g++ clang libclang-dev bindgen libfmt-dev libopenblas0-pthread libopenblas-dev
  xvfb xdotool x11-utils imagemagick mesa-vulkan-drivers libegl1 libgl1-mesa-dri libxkbcommon-x11-0
  libxcursor1 libxi6 libxrandr2)

install_packages() {
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "Installing Debian packages: ${missing[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "these Debian packages are missing and need root or sudo to install: ${missing[*]}"
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The version of MLX must be the one that the mlx-sys crate's own build would fetch.
wheel_requirement="mlx-cpu==0.32.2"
unpack_mlx() {
  [ -f "$mlx/wheel/mlx/lib/libmlx.so" ] && return
  say "Fetching MLX ($wheel_requirement)"
  local download="$mlx/download"
  rm -rf "$download" "$mlx/wheel.part"
  mkdir -p "$download"
  python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
    --requirement "$root/tools/linux/mlx-requirements.txt" --dest "$download"
  python3 -m zipfile -e "$download"/mlx_cpu-*.whl "$mlx/wheel.part"
  mv "$mlx/wheel.part" "$mlx/wheel"
  rm -rf "$download"
}

mlx_sys_source() {
  (cd "$root" && cargo metadata --format-version 1 --locked) | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(next(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "mlx-sys"))'
}

build_mlx_c() {
  local source=$1
  say "Building mlx-c"
  rm -rf "$mlx/build"
  cmake -S "$source/src/mlx-c" -B "$mlx/build" -DCMAKE_BUILD_TYPE=Release \
    -DMLX_C_USE_SYSTEM_MLX=ON -DMLX_C_BUILD_EXAMPLES=OFF \
    -DCMAKE_PREFIX_PATH="$mlx/wheel/mlx" \
    -DCMAKE_CXX_FLAGS="-include $root/tools/linux/format.h" >"$mlx/build.log"
  cmake --build "$mlx/build" --parallel "$(nproc)" --target mlxc >>"$mlx/build.log" || { tail -n 30 "$mlx/build.log" >&2; fail "mlx-c did not build"; }
  mkdir -p "$mlx/lib"
  g++ -std=c++20 -O2 -fPIC -include "$root/tools/linux/format.h" -I"$source/src/mlx-c" -I"$mlx/wheel/mlx/include" \
    -c "$root/tools/linux/compat.cpp" -o "$mlx/build/compat.o"
  cp "$mlx/build/libmlxc.a" "$mlx/lib/libmlxc.a"
  ar r "$mlx/lib/libmlxc.a" "$mlx/build/compat.o" 2>/dev/null
  g++ -std=c++20 -O2 -fPIC -include "$root/tools/linux/format.h" -I"$source/src/mlx-c" -I"$mlx/wheel/mlx/include" \
    -c "$root/tools/linux/operation.cpp" -o "$mlx/build/operation.o"
  ar rc "$mlx/lib/libmlxoperation.a" "$mlx/build/operation.o"
  rm -rf "$mlx/build"
}

make_bindings() {
  local source=$1 header
  say "Making the Rust bindings of mlx-c"
  local include="$source/src/mlx-c"
  mkdir -p "$mlx/bindings"
  for header in "$include"/mlx/c/*.h; do printf '#include "%s"\n' "$header"; done >"$mlx/bindings/all.h"
  bindgen "$mlx/bindings/all.h" --blocklist-function malloc --blocklist-function realloc \
    --allowlist-file '.*/mlx/c/.*' --size_t-is-usize \
    -o "$mlx/bindings/bindings.rs" -- -I"$include"
  # mlx-c declares no half types on x86-64; compat.cpp hands out their raw bits.
  cat >>"$mlx/bindings/bindings.rs" <<'RUST'
#[repr(transparent)]
#[derive(Debug, Default, Copy, Clone)]
pub struct float16_t(pub u16);
pub type bfloat16_t = u16;
unsafe extern "C" {
    pub fn mlx_array_item_float16(res: *mut float16_t, arr: mlx_array) -> ::std::os::raw::c_int;
    pub fn mlx_array_item_bfloat16(res: *mut bfloat16_t, arr: mlx_array) -> ::std::os::raw::c_int;
    pub fn mlx_array_data_float16(arr: mlx_array) -> *const float16_t;
    pub fn mlx_array_data_bfloat16(arr: mlx_array) -> *const bfloat16_t;
}
RUST
}

# OpenBLAS stands before libmlx, whose wheel carries the slow reference BLAS: the first one's symbols win.
write_cargo_settings() {
  local new="$settings.new"
  cat >"$new" <<TOML
# Written by tools/setup-linux.sh: how this machine links MLX. Not committed.
[target.$(rustc -vV | sed -n 's/^host: //p').mlx]
rustc-link-search = ["native=$mlx/lib", "native=$mlx/wheel/mlx/lib"]
rustc-link-lib = ["static=mlxc", "static=mlxoperation", "dylib=openblas", "dylib=mlx", "dylib=stdc++"]
rustc-env = { OUT_DIR = "$mlx/bindings" }

[target.$(rustc -vV | sed -n 's/^host: //p')]
rustflags = ["-Clink-arg=-Wl,--enable-new-dtags,-rpath,$mlx/wheel/mlx/lib"]
rustdocflags = ["-Clink-arg=-Wl,--enable-new-dtags,-rpath,$mlx/wheel/mlx/lib"]
TOML
  if cmp -s "$new" "$settings"; then rm "$new"; else mv "$new" "$settings"; fi
}

main() {
  [ "$(uname -m)" = x86_64 ] || fail "on Linux LLMEval is built for x86-64; this machine is $(uname -m)"
  # The stamp names all inputs: where it matches, nothing below needs to run.
  local stamp="$mlx/stamp" now
  now=$(cat "$root/tools/setup-linux.sh" "$root"/tools/linux/* "$root/Cargo.lock" | sha256sum; printf '%s' "$root")
  if ! { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && [ -f "$settings" ]; }; then
    mkdir -p "$mlx"
    install_packages
    unpack_mlx
    # The crates must be on disk before mlx-c, whose source one of them carries, can be built.
    (cd "$root" && cargo fetch --locked --quiet)
    local source
    source=$(mlx_sys_source)
    local built="$mlx/built"
    if [ "$(cat "$built" 2>/dev/null)" != "$source $(cat "$root"/tools/linux/* | sha256sum)" ] || [ ! -f "$mlx/lib/libmlxc.a" ]; then
      build_mlx_c "$source"
      make_bindings "$source"
      printf '%s %s' "$source" "$(cat "$root"/tools/linux/* | sha256sum)" >"$built"
    fi
    write_cargo_settings
    printf '%s' "$now" >"$stamp"
  fi
}

main "$@"
