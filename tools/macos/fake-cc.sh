#!/usr/bin/env bash
# Stands in for a C compiler while macOS code is type-checked: nothing is linked then, so every object may be empty.
set -eu
while [ $# -gt 0 ]; do
  case $1 in
    -o) : >"$2"; shift ;;
    -E) exit 0 ;;
  esac
  shift
done
