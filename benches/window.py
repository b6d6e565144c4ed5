#!/usr/bin/env python3
"""What the open window costs: the same eight sessions run from the command line and in the window, in turns.

benches/window.py [ROUNDS]      five where left out; needs a release build, Xvfb and xdotool

The window gets a display and folders of its own and is clicked as a person would; it writes the run's report itself.
Prints each pair of throughputs and the ratio of the medians.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BINARY = Path(__file__).resolve().parent.parent / "target" / "release" / "llmeval"
MODELS = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "llmeval" / "models"
RUN = {"sessions": 8, "max_tokens": 400, "temperature": 0.7}
RUN_BUTTON = ("1184", "28")
PATIENCE = 300


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    alone, windowed = [], []
    for _ in range(rounds):
        alone.append(from_command_line())
        windowed.append(from_window())
        print(f"command line {alone[-1]:.1f} tokens/s, window {windowed[-1]:.1f}", flush=True)
    print(f"window / command line: {statistics.median(windowed) / statistics.median(alone):.3f}, medians of {rounds}")


def from_command_line():
    options = [f"--{name.replace('_', '-')}={value}" for name, value in RUN.items()]
    done = subprocess.run([BINARY, "parallel", "--json", "--quiet", *options], check=True, capture_output=True)
    return json.loads(done.stdout)["tokens_per_second"]


def from_window():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data, config = folder / "data" / "llmeval", folder / "config" / "llmeval"
        data.mkdir(parents=True)
        config.mkdir(parents=True)
        (data / "models").symlink_to(MODELS)
        settings = {"version": 1, "view": "parallel", "window_size": [1280, 800], "parallel": RUN}
        (config / "settings.json").write_text(json.dumps(settings))
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        display = ":" + server.stdout.readline().strip()
        environment = {
            **os.environ,
            "DISPLAY": display,
            "WINIT_X11_SCALE_FACTOR": "1",
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder),
        }
        environment.pop("WAYLAND_DISPLAY", None)
        program = subprocess.Popen([BINARY], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(6)
            click = ["mousemove", *RUN_BUTTON, "sleep", "0.3", "mousedown", "1", "sleep", "0.5", "mouseup", "1"]
            subprocess.run(["xdotool", *click], env=environment, check=True)
            return report(data / "runs")["tokens_per_second"]
        finally:
            program.terminate()
            program.wait()
            server.terminate()
            server.wait()


def report(runs):
    for _ in range(PATIENCE):
        time.sleep(1)
        for path in runs.glob("*.json"):
            try:
                return json.loads(path.read_text())
            except json.JSONDecodeError:
                pass
    sys.exit("the window wrote no report")


main()
