#!/usr/bin/env python3
"""Where the time of decode steps goes: samples llmeval with Linux's perf, at 1 and at 16 sessions.

tools/profile.py [EXECUTION]      batched where left out; needs perf and a release build

Sampling starts when the prompts are read. Three threads work: the engine's puts operations together (host), MLX's
computes them, and OpenBLAS's second one takes half of each large matrix product. MLX's thread is the one that is never
idle, so shares are given of its time. The small products of attention aren't shared between threads, so what MLX's
thread spends in products beyond OpenBLAS's thread is theirs.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

BINARY = Path(__file__).resolve().parent.parent / "target" / "release" / "llmeval"
SECONDS_TO_LOAD_AND_READ = 4
KINDS = [
    ("matrix products", r"gemm|openblas"),
    ("powers (SiLU, softmax, sampling)", r"pow|fmaf|simd::exp|expf"),
    ("copies (caches, splits)", r"copy|memmove|memcpy|memset"),
    ("sums and maxima (norms, softmax, sampling)", r"reduc"),
    ("other elementwise operations", r"binary|unary|ternary|Select|Multiply|Add"),
    ("memory (malloc, page faults)", r"malloc|free|fault|page|mmap|munmap|unlink_chunk|alloc|clear_"),
]


def main():
    execution = sys.argv[1] if len(sys.argv) > 1 else "batched"
    for sessions, tokens in [(1, 250), (16, 150)]:
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
    is_product = lambda symbol: re.search(KINDS[0][1], symbol) is not None
    total = lambda symbols: sum(symbols.values())
    products = lambda symbols: sum(share for symbol, share in symbols.items() if is_product(symbol))
    by_products = sorted(threads.values(), key=products, reverse=True)
    # Both compute products; the one that waits for work by yielding is OpenBLAS's.
    yields = lambda symbols: sum(share for symbol, share in symbols.items() if "yield" in symbol or "schedule" in symbol)
    blas, mlx = sorted(by_products[:2], key=yields, reverse=True)
    host = max((symbols for symbols in threads.values() if symbols is not blas and symbols is not mlx), key=total)
    shares, rest = {}, 0
    for symbol, share in mlx.items():
        kind = next((name for name, pattern in KINDS if re.search(pattern, symbol)), None)
        if kind:
            shares[kind] = shares.get(kind, 0) + share
        else:
            rest += share
    of_attention = max(0, products(mlx) - products(blas))
    shares[KINDS[0][0]] -= of_attention
    # What MLX's thread didn't run for, it waited for the host.
    lines = ["| | share of a step's time |", "|---|---|"]
    whole = max(total(mlx), total(blas))
    rows = [("products with the model's matrices", shares.pop(KINDS[0][0])), ("products of attention", of_attention)]
    rows += sorted(shares.items(), key=lambda row: -row[1])
    rows += [("the rest of MLX's thread", rest), ("MLX's thread waits for the host", whole - total(mlx))]
    lines += [f"| {name} | {share / whole:.0%} |" for name, share in rows]
    lines.append(f"\nThe host's own work, most of it at the same time: {total(host) / whole:.0%}.")
    return "\n".join(lines)


main()
