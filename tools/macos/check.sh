#!/usr/bin/env bash
# Type-checks and lints every target of the crate for macOS on Linux; nothing is linked, nothing runs.
set -euo pipefail

cd "$(dirname "$0")/../.."
tools/macos/setup.sh check
# A target folder of its own: it shares no settings with Linux builds, so neither makes the other rebuild.
exec cargo clippy --locked --config .macos/check.toml --target aarch64-apple-darwin --target-dir target/macos-check \
  --all-targets -- -D warnings
