#!/usr/bin/env bash
# Stands in for ar while macOS code is type-checked: makes every archive that is named an empty one.
set -eu
for argument in "$@"; do
  case $argument in
    *.a) printf '!<arch>\n' >"$argument"; exit 0 ;;
  esac
done
