#!/usr/bin/env bash
# Builds and signs target/bundle/LLMEval.app on a Mac, from the crates as published; `app.sh dmg` packs it too.
#
# CODESIGN_IDENTITY       a "Developer ID Application: …" identity; without it the app is signed ad hoc, for this Mac
# NOTARY_PROFILE          a profile that `xcrun notarytool store-credentials` made, or instead of it
# APPLE_ID, APPLE_TEAM_ID, APPLE_APP_PASSWORD   the account; with either the app is notarised and stapled
set -euo pipefail

cd "$(dirname "$0")/../.."
fail() { printf 'app: %s\n' "$*" >&2; exit 1; }
[ "$(uname -s)" = Darwin ] || fail "this is for a Mac; on Linux it is \`make app-cross\`"
[ "$(uname -m)" = arm64 ] || fail "MLX needs a Mac with Apple silicon"
command -v cmake >/dev/null || fail "CMake is missing: brew install cmake"
xcrun --find metal >/dev/null 2>&1 || fail "Metal's compiler is missing: install Xcode, then: xcodebuild -downloadComponent MetalToolchain"

bundle=target/bundle
app="$bundle/LLMEval.app"
mkdir -p "$bundle"
export MACOSX_DEPLOYMENT_TARGET=14.0
# mlx-sys leaves the kernels there; a folder of ours tells which ones belong to this build.
export MLX_RS_METAL_PATH="$PWD/target/mlx-metal"
# Rust's sources are named without this Mac's folders; MLX keeps the path of its kernels, where it looks last.
cargo build --release --locked --bin llmeval --config 'profile.release.debug = false' --config 'profile.release.strip = true' \
  --config "target.aarch64-apple-darwin.rustflags = ['--remap-path-prefix=$PWD=.', '--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo']"
[ -f "$MLX_RS_METAL_PATH/mlx.metallib" ] || fail "MLX's kernels were not built: run \`cargo clean --release -p mlx-sys\`, then this again"

command -v cargo-about >/dev/null || cargo install --locked cargo-about --version 0.9.3 --features cli
licence=$(find target/release/build/mlx-sys-*/out/build/_deps/mlx-src -maxdepth 1 -name LICENSE | head -n 1)
[ -n "$licence" ] || fail "MLX's licence is not where mlx-sys built it"
tools/macos/notices.sh "$licence" >"$bundle/notices.txt"
tools/macos/assemble.sh target/release/llmeval "$MLX_RS_METAL_PATH/mlx.metallib" "$bundle/notices.txt"
rm "$bundle/notices.txt"

identity=${CODESIGN_IDENTITY:--}
options=(--force --sign "$identity" --entitlements bundle/LLMEval.entitlements)
# The hardened runtime and a timestamp are what notarisation asks for; an ad-hoc signature can have neither use.
[ "$identity" = - ] || options+=(--options runtime --timestamp)
codesign "${options[@]}" "$app"
codesign --verify --deep --strict "$app"

notary=()
if [ -n "${NOTARY_PROFILE:-}" ]; then
  notary=(--keychain-profile "$NOTARY_PROFILE")
elif [ -n "${APPLE_ID:-}" ]; then
  notary=(--apple-id "$APPLE_ID" --team-id "${APPLE_TEAM_ID:?}" --password "${APPLE_APP_PASSWORD:?}")
fi
if [ ${#notary[@]} -gt 0 ]; then
  [ "$identity" != - ] || fail "notarisation needs CODESIGN_IDENTITY"
  ditto -c -k --keepParent "$app" "$bundle/notarise.zip"
  xcrun notarytool submit "$bundle/notarise.zip" "${notary[@]}" --wait
  xcrun stapler staple "$app"
  rm "$bundle/notarise.zip"
fi

if [ "${1:-}" = dmg ]; then
  image=$(mktemp -d)
  ditto "$app" "$image/LLMEval.app"
  ln -s /Applications "$image/Applications"
  hdiutil create -quiet -ov -volname LLMEval -srcfolder "$image" -format UDZO "$bundle/LLMEval.dmg"
  rm -rf "$image"
  [ "$identity" = - ] || codesign --sign "$identity" --timestamp "$bundle/LLMEval.dmg"
  echo "$bundle/LLMEval.dmg"
else
  echo "$app"
fi
