#!/usr/bin/env python3
"""Where the time of decode steps goes: samples llmeval with Linux's perf, at 1 and at 16 sessions.

tools/profile.py [EXECUTION]      batched where left out; needs perf and a release build

Sampling starts when the prompts are read. The engine's thread puts operations together (host), MLX's computes them, and
helpers take their share of each product. A step waits for MLX's thread, so shares are given of its time. Meant for a
processor with kernels of llmeval's own (src/model/cpu); elsewhere the products are OpenBLAS's.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

BINARY = Path(__file__).resolve().parent.parent / "target" / "release" / "llmeval"
SECONDS_TO_LOAD_AND_READ = 3
KINDS = [
    ("products with the model's matrices, and scores of attention", r"Product::strips|outputs_first|gemm|openblas"),
    ("values of attention", r"Product::columns|inputs_first"),
    ("waiting for the helpers' last part", r"team::"),
    ("softmax, norms, rotations, gates", r"model::cpu"),
    ("copies (caches, splits)", r"copy|memmove|memcpy|memset"),
    ("sampling, and other operations of MLX", r"reduc|binary|unary|ternary|Select|Multiply|Add|sort|random|threefry|pow|exp"),
    ("memory (malloc, page faults)", r"malloc|free|fault|page|mmap|munmap|unlink_chunk|alloc|clear_"),
]


def main():
    execution = sys.argv[1] if len(sys.argv) > 1 else "batched"
    for sessions, tokens in [(1, 300), (16, 200)]:
        with tempfile.NamedTemporaryFile(suffix=".perf") as data:
            record = ["perf", "record", "--quiet", "-e", "cpu-clock", "-F", "999", "-o", data.name]
            record += ["-D", str(1000 * SECONDS_TO_LOAD_AND_READ), "--", BINARY, "parallel"]
            record += ["--execution", execution, "--sessions", sessions, "--max-tokens", tokens, "--quiet", "--json"]
            subprocess.run([str(part) for part in record], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            print(f"\n{sessions} sessions, {execution}\n\n{table(samples(data.name))}")


def samples(data):
    """{thread: {symbol: share}}, shares in percent of all samples."""
    report = ["perf", "report", "-f", "-i", data, "--no-children", "--sort", "pid,comm,dso,symbol", "-g", "none", "--stdio"]
    lines = subprocess.run(report, check=True, capture_output=True, text=True).stdout.splitlines()
    threads = {}
    for line in lines:
        found = re.match(r"\s*([\d.]+)%\s+(\d+):(\S+)\s+\S+\s+(\S+)\s+\[[.k]\]\s+(.*)", line)
        if found:
            share, thread, _, library, symbol = found.groups()
            key = f"{library} {symbol.strip()}"
            threads.setdefault(thread, {})[key] = threads.get(thread, {}).get(key, 0) + float(share)
    return threads


def table(threads):
    total = lambda symbols: sum(symbols.values())
    products = lambda symbols: sum(share for symbol, share in symbols.items() if re.search(KINDS[0][1], symbol))
    # Helpers look for work between two products; the thread that calls them doesn't.
    looks = lambda symbols: sum(share for symbol, share in symbols.items() if re.search("yield|schedule|help", symbol))
    busy = sorted(threads.values(), key=total, reverse=True)
    computing = [symbols for symbols in busy if products(symbols) > 0.1 * total(symbols)]
    mlx = min(computing, key=looks)
    host = next(symbols for symbols in busy if not any(symbols is other for other in computing))
    shares, rest = {}, 0
    for symbol, share in mlx.items():
        kind = next((name for name, pattern in KINDS if re.search(pattern, symbol)), None)
        if kind:
            shares[kind] = shares.get(kind, 0) + share
        else:
            rest += share
    # What MLX's thread didn't run for, it waited for the host.
    whole = max(map(total, computing))
    rows = sorted(shares.items(), key=lambda row: -row[1])
    rows += [("the rest of MLX's thread: its queue, mostly", rest), ("MLX's thread waits for the host", whole - total(mlx))]
    lines = ["| | share of a step's time |", "|---|---|"]
    lines += [f"| {name} | {share / whole:.0%} |" for name, share in rows]
    lines.append(f"\nThe host's own work, some of it at the same time: {total(host) / whole:.0%}.")
    return "\n".join(lines)


main()
