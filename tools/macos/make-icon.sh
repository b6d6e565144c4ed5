#!/usr/bin/env bash
# Makes assets/icon.icns, with every size that macOS asks for, and assets/icon.png from assets/icon.svg (on Debian).
# Run it after a change of the drawing and commit what it makes: neither a Mac nor CI needs it.
set -euo pipefail

cd "$(dirname "$0")/../.."
command -v rsvg-convert >/dev/null || { echo "make-icon: apt-get install librsvg2-bin" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet icnsutil==1.1.0 pillow

draw() { rsvg-convert -w "$1" -h "$1" assets/icon.svg -o "$2"; }
for size in 128 256 512; do
  draw "$size" "$work/icon_${size}x$size.png"
  draw $((2 * size)) "$work/icon_${size}x$size@2x.png"
done
for size in 16 32; do
  draw $((2 * size)) "$work/icon_${size}x$size@2x.png"
  # As PNG the two smallest come out scrambled on some releases of macOS.
  draw "$size" "$work/small.png"
  "$work/venv/bin/icnsutil" convert argb "$work/small.png"
  mv "$work/small.png.argb" "$work/icon_${size}x$size.argb"
  rm "$work/small.png"
done
rm -f assets/icon.icns
"$work/venv/bin/icnsutil" compose assets/icon.icns "$work"/icon_*
draw 256 assets/icon.png
