#!/usr/bin/env bash
# Checks licences, sources and known vulnerabilities of all crates with cargo-deny, built once into .tools/.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
version=0.20.2
deny="$root/.tools/bin/cargo-deny"
cd "$root"

if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
  cargo install cargo-deny --version "$version" --locked --quiet --root "$root/.tools"
fi

"$deny" --locked check licenses bans sources

# The advisory database is a git repository: where it can't be reached, say so instead of passing silently.
if ! "$deny" fetch db >/dev/null 2>&1; then
  echo "deny: the advisory database can't be reached from here; advisories were NOT checked" >&2
  exit 0
fi
"$deny" --locked check advisories
