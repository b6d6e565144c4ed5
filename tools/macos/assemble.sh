#!/usr/bin/env bash
# assemble.sh EXECUTABLE METALLIB NOTICES [DYLIB…]: lays out target/bundle/LLMEval.app, not yet signed.
set -euo pipefail

cd "$(dirname "$0")/../.."
executable=$1 metallib=$2 notices=$3
shift 3
app=target/bundle/LLMEval.app
contents="$app/Contents"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

rm -rf "$app"
mkdir -p "$contents/MacOS" "$contents/Resources"
sed "s/>VERSION</>$version</" bundle/Info.plist >"$contents/Info.plist"
printf 'APPL????' >"$contents/PkgInfo"
cp assets/icon.icns "$contents/Resources/LLMEval.icns"
cp "$notices" "$contents/Resources/ThirdPartyNotices.txt"
cp LICENSE-APACHE LICENSE-MIT "$contents/Resources/"
cp "$metallib" "$contents/Resources/mlx.metallib"
install -m 755 "$executable" "$contents/MacOS/llmeval"

# MLX looks for its kernels beside the code that holds MLX, where signing allows code only: hence the link.
beside="$contents/MacOS"
if [ $# -gt 0 ]; then
  beside="$contents/Frameworks"
  mkdir -p "$beside"
  install -m 755 "$@" "$beside"
fi
ln -s ../Resources/mlx.metallib "$beside/mlx.metallib"
