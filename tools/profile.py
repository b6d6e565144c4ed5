#!/usr/bin/env python3
"""Where the time of decode steps goes: samples llmeval with Linux's perf, at 1 and at 16 sessions.

tools/profile.py [EXECUTION]      batched where left out; needs perf and a release build

Sampling starts when the prompts are read. The engine's thread puts operations together (host), MLX's computes them, and
helpers take their share of each product. A step waits for MLX's thread, so shares are given of its time; what a sample
belongs to is told from its call stack. Meant for a processor with kernels of llmeval's own (src/model/kernels/cpu).
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

BINARY = Path(__file__).resolve().parent.parent / "target" / "release" / "llmeval"
SECONDS_TO_LOAD_AND_READ = 3
SAMPLES_A_SECOND = 299
# The first pattern that a stack holds.
KINDS = [
    ("products with the model's matrices", r"product::Times|gemm|openblas"),
    ("attention", r"cpu::attend"),
    ("norms, rotations, gates", r"model::cpu"),
    ("sampling: operations on the logits", r"arg_reduce|reduc|random|threefry|sort|Log|Exp|Divide|Softmax|Select|Subtract|Multiply|Power"),
    ("other operations of MLX: copies, additions", r"copy|Add|slice|gather|Concatenate|binary|unary"),
]
MLX_THREAD, HELPER = r"StreamThread::thread_fn", r"Shared::help|team::"


def main():
    execution = sys.argv[1] if len(sys.argv) > 1 else "batched"
    for sessions, tokens in [(1, 400), (16, 250)]:
        with tempfile.NamedTemporaryFile(suffix=".perf") as data:
            record = ["perf", "record", "--quiet", "-e", "cpu-clock", "-F", SAMPLES_A_SECOND, "--call-graph", "dwarf,8192"]
            record += ["-o", data.name, "-D", 1000 * SECONDS_TO_LOAD_AND_READ, "--", BINARY, "parallel"]
            record += ["--execution", execution, "--sessions", sessions, "--max-tokens", tokens, "--quiet", "--json"]
            subprocess.run([str(part) for part in record], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            print(f"\n{sessions} sessions, {execution}\n\n{table(samples(data.name))}")


def samples(data):
    """(thread, seconds, stack) of each sample."""
    script = ["perf", "script", "-f", "-i", data, "-F", "tid,time,ip,sym"]
    text = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    for block in text.split("\n\n"):
        head, _, stack = block.strip("\n").partition("\n")
        found = re.match(r"\s*(\d+)\s+([\d.]+):", head)
        if found:
            yield found[1], float(found[2]), stack


def table(taken):
    taken = list(taken)
    times = [seconds for _, seconds, _ in taken]
    whole = (max(times) - min(times)) * SAMPLES_A_SECOND
    mlx_threads = {thread for thread, _, stack in taken if re.search(MLX_THREAD, stack)}
    helpers = {thread for thread, _, stack in taken if re.search(HELPER, stack)} - mlx_threads
    host = sum(thread not in mlx_threads | helpers for thread, _, _ in taken)
    shares, rest, of_mlx = {name: 0 for name, _ in KINDS}, 0, 0
    for thread, _, stack in taken:
        if thread in mlx_threads:
            of_mlx += 1
            kind = next((name for name, pattern in KINDS if re.search(pattern, stack)), None)
            if kind:
                shares[kind] += 1
            else:
                rest += 1
    rows = list(shares.items())
    # What MLX's thread didn't run for, it waited for the host.
    rows += [("the rest of MLX's thread: its queue, mostly", rest), ("MLX's thread waits for the host", whole - of_mlx)]
    lines = ["| | share of a step's time |", "|---|---|"]
    lines += [f"| {name} | {max(0, count) / whole:.0%} |" for name, count in rows]
    lines.append(f"\nThe host's own work, most of it at the same time: {host / whole:.0%}.")
    return "\n".join(lines)


main()
