#!/usr/bin/env bash
# notices.sh MLX-LICENCE: prints the licences of every crate in the macOS app, and of MLX, whose licence file it is given.
set -euo pipefail

cd "$(dirname "$0")/../.."
command -v cargo-about >/dev/null || { echo "notices: cargo-about is missing: cargo install --locked cargo-about --features cli" >&2; exit 1; }
cargo-about generate --locked --config bundle/about.toml bundle/notices.hbs
printf '\n%s\nMLX and mlx-c\n\n' "$(printf '=%.0s' {1..80})"
cat "$1" bundle/mlx-notices.txt
