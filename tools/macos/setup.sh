#!/usr/bin/env bash
# Prepares Linux to check (`setup.sh check`) or to build (`setup.sh app`) the macOS app: all it makes lies in .macos/.
# Each part is stamped with its inputs, so a second call does nothing and needs no network.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
here="$root/tools/macos"
macos="$root/.macos"
target=aarch64-apple-darwin
minimum_macos=14.0

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
fail() { printf 'macOS set-up: %s\n' "$*" >&2; exit 1; }

# once NAME INPUTS COMMAND…: runs the command unless it already ran to its end with the same inputs.
once() {
  local stamp="$macos/stamps/$1" inputs=$2
  shift 2
  [ "$(cat "$stamp" 2>/dev/null)" = "$inputs" ] && return
  rm -f "$stamp"
  # A plain call, not a condition: `set -e` must stay in force inside of it.
  "$@"
  mkdir -p "$macos/stamps"
  printf '%s' "$inputs" >"$stamp"
}

# The standard library's source must be of the very release that the local rustc is.
fetch_standard_library_source() {
  local release=$1 own version
  rm -rf "$macos/rust-src" "$macos/apt"
  mkdir -p "$macos/rust-src" "$macos/apt/lists/partial" "$macos/apt/archives/partial"
  own="$(rustc --print sysroot)/lib/rustlib/src/rust/library"
  if [ -d "$own" ]; then
    cp -r "$own" "$macos/rust-src/library"
    return
  fi
  say "Fetching the source of Rust's standard library ($release) from Debian"
  local suite
  for suite in trixie trixie-backports forky sid; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
  done >"$macos/apt/sources.list"
  : >"$macos/apt/status"
  # Settings of its own: the machine's package lists stay as they are.
  local private=(-o "Dir::Etc::SourceList=$macos/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$macos/apt/lists" -o "Dir::State::Status=$macos/apt/status" -o "Dir::Cache=$macos/apt"
    -o APT::Architecture=amd64 -o APT::Sandbox::User= -o Acquire::Languages=none)
  apt-get "${private[@]}" update -qq
  version=$(apt-cache "${private[@]}" madison rust-src | awk -F' *\\| *' '{print $2}' | grep -m1 "^${release//./\\.}+" || true)
  [ -n "$version" ] || fail "Debian has no rust-src $release. Run \`rustup target add $target\` or \`rustup component add rust-src\`, or use one of these releases of Rust: $(apt-cache "${private[@]}" madison rust-src | awk -F' *\\| *' '{print $2}' | sed 's/+.*//' | sort -u | tr '\n' ' ')"
  (cd "$macos/apt" && apt-get "${private[@]}" download -qq "rust-src=$version")
  dpkg-deb --fsys-tarfile "$macos"/apt/rust-src_*.deb |
    tar -x -C "$macos/rust-src" --strip-components=4 --wildcards './usr/src/rustc-*/library'
  rm -rf "$macos/apt"
}

# A sysroot beside the toolchain's own, which stays untouched: rustc gets it by --sysroot for this one target.
build_standard_library() {
  local release=$1 source="$macos/rust-src/library" build="$macos/std-build" libraries="$macos/sysroot/lib/rustlib/$target/lib"
  rm -rf "$macos/sysroot" "$build"
  mkdir -p "$libraries"
  local own
  own=$(rustc --print target-libdir --target "$target")
  if compgen -G "$own/libstd-*.rlib" >/dev/null; then
    cp "$own"/*.rlib "$libraries"
    return
  fi
  fetch_standard_library_source "$release"
  say "Building Rust's standard library for $target"
  # No linker is here yet, and rlibs are all that a program needs.
  sed -i '/^crate-type = /s/"dylib", //' "$source/std/Cargo.toml"
  local flags="-Zforce-unstable-if-unmarked -Cembed-bitcode=yes"
  flags+=" --remap-path-prefix=$source=/rustc/library --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/rustc/registry"
  (cd "$macos" && RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags" MACOSX_DEPLOYMENT_TARGET=$minimum_macos cargo build --quiet --locked \
    --release --target "$target" --target-dir "$build" --manifest-path "$source/sysroot/Cargo.toml" --features panic-unwind,backtrace)
  cp "$build/$target"/release/deps/*.rlib "$libraries"
  rm -rf "$build" "$macos/rust-src"
}

mlx_sys_version() { grep -A1 -x 'name = "mlx-sys"' "$root/Cargo.lock" | tail -n 1; }

mlx_sys_source() {
  (cd "$root" && cargo metadata --format-version 1 --locked) | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(next(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "mlx-sys"))'
}

make_bindings() {
  local include header
  include="$(mlx_sys_source)/src/mlx-c"
  say "Making the Rust bindings of mlx-c for macOS"
  mkdir -p "$macos/bindings"
  for header in "$include"/mlx/c/*.h; do printf '#include "%s"\n' "$header"; done >"$macos/bindings/all.h"
  # Versions of bindgen differ in how they write half types, so these come from us.
  bindgen "$macos/bindings/all.h" --blocklist-function malloc --blocklist-function realloc --blocklist-type 'b?float16_t' \
    --allowlist-file '.*/mlx/c/.*' --size_t-is-usize -o "$macos/bindings/bindings.rs" -- \
    --target=arm64-apple-darwin -ffreestanding -march=armv8.6-a+fp16+bf16 -I"$here/headers" -I"$include"
  cat >>"$macos/bindings/bindings.rs" <<'RUST'
#[repr(transparent)]
#[derive(Debug, Default, Copy, Clone)]
pub struct float16_t(pub u16);
pub type bfloat16_t = u16;
RUST
}

# Cargo reads these only where `--config` names them: they touch neither Linux builds nor those on a Mac.
write_check_settings() {
  cat >"$macos/check.toml" <<TOML
[env]
CC_aarch64_apple_darwin = "$here/fake-cc.sh"
CXX_aarch64_apple_darwin = "$here/fake-cc.sh"
AR_aarch64_apple_darwin = "$here/fake-ar.sh"
SDKROOT = "/"
MACOSX_DEPLOYMENT_TARGET = "$minimum_macos"

[target.$target]
rustflags = ["--sysroot", "$macos/sysroot"]

[target.$target.mlx]
rustc-link-lib = []
rustc-env = { OUT_DIR = "$macos/bindings" }
TOML
}

set_up_check() {
  command -v bindgen >/dev/null || fail "bindgen is missing: run \`make setup\` once, which installs it, or \`apt-get install bindgen libclang-dev\`"
  once sysroot "$(rustc -vV)" build_standard_library "$(rustc -vV | sed -n 's/^release: //p')"
  once bindings "$(mlx_sys_version) $(cat "$here"/headers/* "$here/setup.sh" | sha256sum)" make_bindings
  write_check_settings
}

[ "$(uname -s)" = Linux ] || fail "this is for Linux; on a Mac cargo needs none of it"
mkdir -p "$macos"
case ${1:-} in
  check) set_up_check ;;
  app) set_up_check; . "$here/setup-app.sh"; set_up_app ;;
  *) fail "usage: setup.sh check|app" ;;
esac
