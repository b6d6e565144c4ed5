#!/bin/bash
# Takes README's pictures of the window from real runs over the starter model, on a display of their own:
#   cargo build --release && tools/screenshots.sh
set -euo pipefail
cd "$(dirname "$0")/.."
program=${PROGRAM:-$(pwd)/target/release/llmeval}
out=docs/images
mkdir -p "$out"
home=$(mktemp -d)
data=${XDG_DATA_HOME:-$HOME/.local/share}/llmeval
mkdir -p "$home/data/llmeval" "$home/config/llmeval"
ln -s "$data/models" "$home/data/llmeval/models"

display_file=$home/display
Xvfb -displayfd 1 -screen 0 1280x800x24 -nolisten tcp >"$display_file" 2>/dev/null &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$home"' EXIT
until [ -s "$display_file" ]; do sleep 0.1; done
export DISPLAY=:$(tr -d '\n' <"$display_file")

click() { xdotool mousemove "$1" "$2" sleep 0.3 mousedown 1 sleep 0.5 mouseup 1; }
shot() { import -window root "$1"; }

for theme in light dark; do
  cat >"$home/config/llmeval/settings.json" <<JSON
{ "version": 1, "theme": "$theme", "view": "parallel", "window_size": [1280, 800],
  "parallel": { "sessions": 8, "max_tokens": 400, "temperature": 0.7 } }
JSON
  XDG_DATA_HOME=$home/data XDG_CONFIG_HOME=$home/config XDG_STATE_HOME=$home/state XDG_RUNTIME_DIR=$home WINIT_X11_SCALE_FACTOR=1 "$program" &
  window=$!
  sleep "${LOAD_SECONDS:-8}"
  click 1184 28
  if [ "$theme" = light ]; then
    for frame in 1 2 3 4; do sleep "${FRAME_SECONDS:-1}"; shot "$home/frame$frame.png"; done
    convert "$home"/frame[1-4].png -resize 640x -append "$out/run.png"
  else
    sleep "${RUN_SECONDS:-4}"
  fi
  shot "$out/window-$theme.png"
  # Without a window manager nobody gives the window the keyboard.
  xdotool search --name '^LLMEval$' windowfocus sleep 0.5 key ctrl+q
  wait $window || true
done
echo "wrote $out/window-light.png, $out/window-dark.png, $out/run.png"
