#!/usr/bin/env bash
# Builds, signs ad hoc and packs the macOS app on Linux: target/bundle/LLMEval.app, its .zip and its .dmg.
set -euo pipefail

cd "$(dirname "$0")/../.."
tools/macos/setup.sh app
macos="$PWD/.macos"
bundle=target/bundle
export PATH="$macos/tools/bin:$PATH"

# quietly COMMAND…: what it says is of interest only where it fails.
quietly() {
  local said
  said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; exit 1; }
}

cargo build --release --locked --config .macos/app.toml --target aarch64-apple-darwin --target-dir target/macos-app --bin llmeval
mkdir -p "$bundle"
tools/macos/assemble.sh target/macos-app/aarch64-apple-darwin/release/llmeval \
  "$macos/mlx/mlx/lib/mlx.metallib" "$macos/notices.txt" "$macos/mlx/mlx/lib/libmlx.dylib"
quietly rcodesign sign --entitlements-xml-file bundle/LLMEval.entitlements "$bundle/LLMEval.app"

rm -rf "$bundle/LLMEval.zip" "$bundle/LLMEval.dmg" "$bundle/image"
(cd "$bundle" && zip --quiet --recurse-paths --symlinks -9 LLMEval.zip LLMEval.app)

mkdir "$bundle/image"
cp -R "$bundle/LLMEval.app" "$bundle/image/"
ln -s /Applications "$bundle/image/Applications"
quietly xorrisofs -hfsplus -V LLMEval -o "$bundle/LLMEval.hfs" "$bundle/image"
dmg "$bundle/LLMEval.hfs" "$bundle/LLMEval.dmg"
rm -rf "$bundle/image" "$bundle/LLMEval.hfs"

python3 tests/bundle/test_bundle.py
ls -l "$bundle/LLMEval.zip" "$bundle/LLMEval.dmg" >&2
