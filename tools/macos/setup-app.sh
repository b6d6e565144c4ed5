# Sourced by setup.sh: what building the app needs beyond checking it.
# shellcheck shell=bash disable=SC2154

app_packages=(xorriso zip unzip 7zip libplist-utils icnsutils)

install_packages() {
  local missing=() package as_root=()
  for package in "${app_packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "Installing Debian packages: ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# fetch_wheel FOLDER REQUIREMENTS PIP-OPTION…: unpacks one wheel of PyPI, checked by its hash.
fetch_wheel() {
  local folder=$1 requirements=$2
  shift 2
  say "Fetching $(sed -n 's/ .*//;/==/p' "$requirements")"
  rm -rf "${macos:?}/download" "$folder.part" "$folder"
  python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes "$@" \
    --requirement "$requirements" --dest "$macos/download"
  python3 -m zipfile -e "$macos"/download/*.whl "$folder.part"
  mv "$folder.part" "$folder"
  rm -rf "$macos/download"
}

fetch_zig() {
  fetch_wheel "$macos/zig" "$here/requirements-zig.txt"
  chmod +x "$macos/zig/ziglang/zig"
}

# mlx-c's source comes with the mlx-sys crate; MLX itself is the wheel's dylib.
build_mlx_c() {
  local source build="$macos/mlx-c-build"
  source="$(mlx_sys_source)/src/mlx-c"
  say "Building mlx-c for macOS"
  rm -rf "$build" "${macos:?}/lib"
  mkdir -p "$build" "$macos/lib"
  find "$source/mlx/c" -name '*.cpp' -printf '%f\n' | xargs -P "$(nproc)" -I{} \
    "$macos/bin/c++" -std=c++20 -O2 -include cmath -DMLX_HAVE_METAL -I"$source" -I"$macos/mlx/mlx/include" \
    -c "$source/mlx/c/{}" -o "$build/{}.o"
  "$macos/bin/ar" rcs "$macos/lib/libmlxc.a" "$build"/*.o
  ln -sf "$macos/mlx/mlx/lib/libmlx.dylib" "$macos/lib/libmlx.dylib"
  rm -rf "$build"
}

# Programs in Rust, built for this machine: they sign, pack and collect licences. Optimised no more than their work needs.
install_tool() {
  say "Building $1"
  CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_DEV_OPT_LEVEL=$2 cargo install --quiet --locked --force --debug \
    --root "$macos/tools" --target-dir "$macos/tools-build" "${@:3}"
}

collect_notices() {
  say "Collecting the licences of all crates"
  PATH="$macos/tools/bin:$PATH" "$here/notices.sh" "$macos"/mlx/mlx_metal-*.dist-info/licenses/LICENSE >"$macos/notices.txt"
}

write_app_settings() {
  cat >"$macos/app.toml" <<TOML
[env]
CC_aarch64_apple_darwin = "$macos/bin/cc"
CXX_aarch64_apple_darwin = "$macos/bin/c++"
AR_aarch64_apple_darwin = "$macos/bin/ar"
RANLIB_aarch64_apple_darwin = "$macos/bin/ranlib"
SDKROOT = "$macos/sdk"
MACOSX_DEPLOYMENT_TARGET = "$minimum_macos"

[target.$target]
linker = "$macos/bin/ld"
rustflags = [
  "--sysroot", "$macos/sysroot",
  "-Clinker-flavor=ld64.lld",
  "-Clink-args=-undefined dynamic_lookup -headerpad_max_install_names",
  "-Clink-arg=-rpath", "-Clink-arg=@executable_path/../Frameworks",
  "--remap-path-prefix=$root=.",
  "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=registry",
]

[target.$target.mlx]
rustc-link-search = ["native=$macos/lib"]
rustc-link-lib = ["static=mlxc", "dylib=mlx", "dylib=c++", "framework=Foundation", "framework=Metal"]
rustc-env = { OUT_DIR = "$macos/bindings" }

[profile.release]
debug = false
strip = true
TOML
}

set_up_app() {
  install_packages
  mkdir -p "$macos/bin" "$macos/sdk"
  local name
  for name in cc c++ ar ranlib; do cp "$here/zig.sh" "$macos/bin/$name"; done
  cp "$here/ld.sh" "$macos/bin/ld"
  once zig "$(cat "$here/requirements-zig.txt")" fetch_zig
  once mlx "$(cat "$here/requirements-mlx.txt")" fetch_wheel "$macos/mlx" "$here/requirements-mlx.txt" --platform macosx_14_0_arm64
  once mlx-c "$(mlx_sys_version) $(cat "$here/requirements-mlx.txt" "$here/zig.sh" | sha256sum)" build_mlx_c
  once rcodesign 0.29.0 install_tool rcodesign 0 apple-codesign --version 0.29.0 --no-default-features --bin rcodesign
  once cargo-about "0.9.3 optimised" install_tool cargo-about 2 cargo-about --version 0.9.3 --features cli
  once dmg "$(cat "$here"/dmg/Cargo.* "$here"/dmg/src/* | sha256sum)" install_tool "the dmg packer" 1 --path "$here/dmg"
  once notices "$(cat "$root"/Cargo.* "$root"/bundle/{about.toml,notices.hbs,mlx-notices.txt} "$here/notices.sh" | sha256sum)" collect_notices
  rm -rf "$macos/tools-build"
  write_app_settings
}
