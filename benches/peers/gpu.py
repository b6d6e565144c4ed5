#!/usr/bin/env python3
"""Runs llmeval and Python mlx-lm side by side on an NVIDIA GPU, in turns, and writes a table of medians.

benches/peers/gpu.py FOLDER… [--python PYTHON] [--binary BINARY] [--json runs.json]

Each FOLDER holds a model in mlx-community's layout, as `cargo run --release --example random_model` writes one. The
machine has MLX's CUDA library where the binary finds it, and PYTHON has mlx-lm. A round is one sweep of `llmeval bench` and
one of mlx-lm's BatchGenerator over all numbers of sessions, with the same prompts; mlx-lm runs every number once before
the first round, so that its kernels are compiled. In a last round mlx-lm runs without CUDA graphs too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from run import HERE, ROOT, Peer, machine

GRAPHS = {"MLX_CUDA_GRAPH_CACHE_SIZE": "20000"}


def main():
    options = arguments()
    runs = {}
    for folder in options.folders:
        name = Path(folder).name
        results = runs[name] = {}
        peers = {
            "mlx-lm": start(options, folder, GRAPHS),
            "mlx-lm without graphs": start(options, folder, {"MLX_USE_CUDA_GRAPHS": "0"}),
        }
        prompts = [line for line in options.prompts.read_text().splitlines() if line.strip()]
        ids = peers["mlx-lm"].ask({"prompts": prompts[: options.different], "raw": False})["ids"]
        for peer in peers.values():
            sweep_peer(peer, ids, sorted(set(options.sessions)), options)
        for round_number in range(options.rounds):
            note(results, sweep_llmeval(options, folder))
            for engine, peer in peers.items():
                if engine == "mlx-lm" or round_number + 1 == options.rounds:
                    note(results, {engine: sweep_peer(peer, ids, options.sessions, options)})
            print(f"{name}, round {round_number + 1}: {json.dumps(results)}", flush=True)
        for peer in peers.values():
            peer.stop()
        if options.json:
            options.json.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1))
        print(table(name, results), flush=True)
    print(f"\n{machine()}\n\n" + "\n".join(table(name, results) for name, results in runs.items()))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(number) for number in text.split(",")]
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--sessions", type=numbers, default=[1, 1, 2, 2, 4, 4, 8, 16, 32], help="one run each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--executions", default="batched,exact")
    parser.add_argument("--prompts", type=Path, default=HERE / "prompts.txt", help="one a line")
    parser.add_argument("--different", type=int, default=3, help="how many different prompts")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "llmeval"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--json", type=Path, help="every run's figure")
    return parser.parse_args()


def start(options, folder, environment):
    return Peer([options.python, HERE / "mlx_lm_peer.py", folder], environment)


def note(results, speeds):
    """Adds {engine: [(sessions, tokens/s)]}."""
    for engine, pairs in speeds.items():
        for sessions, speed in pairs:
            results.setdefault(engine, {}).setdefault(sessions, []).append(round(speed, 1))


def sweep_peer(peer, ids, counts, options):
    speeds = []
    for sessions in counts:
        chosen = [ids[index % len(ids)] for index in range(sessions)]
        answer = peer.ask({"ids": chosen, "max_tokens": options.max_tokens, "temperature": 0.0})
        if answer["tokens"] != sessions * options.max_tokens:
            print(f"  only {answer['tokens']} tokens came", flush=True)
        speeds.append((sessions, answer["tokens"] / answer["seconds"]))
    return speeds


def sweep_llmeval(options, folder):
    prompts = Path(os.environ.get("TMPDIR", "/tmp")) / f"prompts-{os.getpid()}.txt"
    prompts.write_text("\n".join(options.prompts.read_text().splitlines()[: options.different]))
    command = [options.binary, "bench", "--model", folder, "--execution", options.executions, "--quiet", "--json"]
    command += ["--sessions", ",".join(str(count) for count in options.sessions), "--max-tokens", options.max_tokens]
    command += ["--temperature", "0", "--prompts-file", prompts]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    prompts.unlink()
    if done.returncode != 0:
        sys.exit(f"llmeval failed: {done.stderr or done.stdout}")
    speeds = {}
    for row in json.loads(done.stdout):
        speeds.setdefault(row["execution"], []).append((row["sessions"], row["tokens_per_second"]))
    return speeds


def table(name, results):
    counts = sorted({count for speeds in results.values() for count in speeds})
    medians = {engine: {n: statistics.median(speeds[n]) for n in speeds} for engine, speeds in results.items()}
    lines = ["| model | | " + " | ".join(f"N={count}" for count in counts) + " |", "|" + "---|" * (2 + len(counts))]
    for engine, speeds in medians.items():
        lines.append(f"| {name} | {engine} | " + " | ".join(f"{speeds[count]:.0f}" for count in counts) + " |")
    for engine in (engine for engine in medians if not engine.startswith("mlx-lm")):
        for peer in (peer for peer in medians if peer.startswith("mlx-lm")):
            ratios = [f"{medians[engine][count] / medians[peer][count]:.2f}" for count in counts]
            lines.append(f"| | {engine} / {peer} | " + " | ".join(ratios) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
