#!/usr/bin/env python3
"""Runs llmeval and its peers side by side on the same weights and prompts, in turns, and writes what came out.

benches/peers/run.py                     everything: installs the peers below .tools/peers, takes some ten minutes
benches/peers/run.py --sessions 1,16 --rounds 1
benches/peers/run.py --model FOLDER --peers mlx-lm --python PYTHON --binary BINARY --table report.md
                                         an mlx-community folder, offline, with what is there

Each round runs every engine once at every number of sessions, so that a busy minute hits all of them; medians are
compared. Loading isn't counted; reading the prompts is.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from plot import plot

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOOLS = ROOT / ".tools" / "peers"
STARTER = "SmolLM2-135M-Instruct.Q4_1.gguf"
EXECUTIONS = ["serialized", "batched", "exact"]

# What the project wants to reach: engine, peer, numbers of sessions, ratio.
TARGETS = [
    ("batched", "mlx-lm", [1, 2, 4], 1.1),
    ("batched", "mlx-lm", [8], 1.3),
    ("batched", "mlx-lm", [16], 1.6),
    ("batched", "mlx-lm", [32], 2.5),
    ("batched", "llama.cpp", [16, 32], 1.5),
    ("exact", "batched", [1], 0.5),
    ("exact", "batched", [16], 0.85),
]


def main():
    options = arguments()
    model = options.model or str(starter_model())
    peers = start_peers(options, model)
    prompts = [line for line in options.prompts.read_text().splitlines() if line.strip()]
    ids = tokenized(peers, prompts, options)
    results = {}
    try:
        for round_number in range(options.rounds):
            for sessions in options.sessions:
                for engine in [*options.executions, *peers]:
                    if engine == "serialized" and round_number >= options.serialized_rounds:
                        continue
                    chosen = [ids[index % len(ids)] for index in range(sessions)] if ids else None
                    if engine in EXECUTIONS:
                        speed = run_llmeval(options, model, engine, sessions, chosen)
                    else:
                        speed = peers[engine].run(chosen, options)
                    results.setdefault(engine, {}).setdefault(sessions, []).append(speed)
                    print(f"round {round_number + 1}: {engine:10} {sessions:3} sessions {speed:8.1f} tokens/s", flush=True)
    finally:
        for peer in peers.values():
            peer.stop()
    medians = {
        engine: {sessions: statistics.median(speeds) for sessions, speeds in by_sessions.items()}
        for engine, by_sessions in results.items()
    }
    report = f"{heading(options, model, peers)}\n\n{table(medians, options.sessions)}\n"
    if options.targets:
        report += f"\n{verdicts(medians)}\n"
    print(f"\n{report}")
    if options.table:
        options.table.write_text(f"<!-- Written by benches/peers/run.py -->\n\n# Beside its peers\n\n{report}")
    if options.plot:
        options.plot.write_text(plot(medians, options.sessions))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "model": model, "runs": results}, indent=1))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(number) for number in text.split(",")]
    names = lambda text: [name for name in text.split(",") if name]
    parser.add_argument("--sessions", type=numbers, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serialized-rounds", type=int, default=1, help="serialized runs take longest")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--executions", type=names, default=EXECUTIONS)
    parser.add_argument("--peers", type=names, default=["mlx-lm", "llama.cpp"])
    parser.add_argument("--model", help="an mlx-community folder or a llama GGUF; the starter model where left out")
    parser.add_argument("--prompts", type=Path, default=HERE / "prompts.txt", help="one a line")
    parser.add_argument("--raw", action="store_true", help="no chat template")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "llmeval"))
    parser.add_argument("--python", help="one that has mlx-lm, instead of installing it")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path, help="every run's figure")
    parser.add_argument("--targets", action="store_true", help="say which of the project's targets are reached")
    return parser.parse_args()


def starter_model():
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    path = data / "llmeval" / "models" / STARTER
    if not path.exists():
        sys.exit(f"{path} is missing; `make starter-model` fetches it")
    return path


def start_peers(options, model):
    peers = {}
    if "mlx-lm" in options.peers:
        peers["mlx-lm"] = Peer([options.python or installed_python(), HERE / "mlx_lm_peer.py", model], preloaded_blas())
    if "llama.cpp" in options.peers:
        command = ["node", HERE / "llama_cpp_peer.mjs", installed_node_modules(), model, os.cpu_count()]
        peers["llama.cpp"] = Peer(command, {})
    return peers


class Peer:
    """A process that answers one JSON line with another."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.about = self.answer()
        self.warm = False

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        sys.exit(f"{self.process.args[1]} ended without an answer")

    def run(self, ids, options):
        request = {"ids": ids, "max_tokens": options.max_tokens, "temperature": options.temperature}
        if not self.warm:
            self.ask({**request, "ids": ids[:1], "max_tokens": 8})
            self.warm = True
        answer = self.ask(request)
        if answer["tokens"] != len(ids) * options.max_tokens:
            print(f"  only {answer['tokens']} tokens came", flush=True)
        return answer["tokens"] / answer["seconds"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def tokenized(peers, prompts, options):
    """The prompts' ids as mlx-lm's tokenizer gives them; all peers run on these."""
    if not peers:
        return None
    if "mlx-lm" not in peers:
        sys.exit("the peer mlx-lm gives the others their token ids; leave it in")
    return peers["mlx-lm"].ask({"prompts": prompts, "raw": options.raw})["ids"]


def run_llmeval(options, model, execution, sessions, ids):
    command = [options.binary, "parallel", "--model", model, "--execution", execution, "--sessions", sessions]
    command += ["--max-tokens", options.max_tokens, "--temperature", options.temperature]
    command += ["--prompts-file", options.prompts, "--json", "--quiet"] + (["--raw"] if options.raw else [])
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"llmeval failed: {done.stderr or done.stdout}")
    report = json.loads(done.stdout)
    for session, prompt in zip(report["sessions"], ids or []):
        if session["prompt_tokens"] != len(prompt):
            sys.exit(f"session {session['id']} read {session['prompt_tokens']} prompt tokens, its peers {len(prompt)}")
    tokens = sum(session["tokens"] for session in report["sessions"])
    if tokens != sessions * options.max_tokens:
        print(f"  only {tokens} tokens came", flush=True)
    return report["tokens_per_second"]


def installed_python():
    python = TOOLS / "venv" / "bin" / "python"
    stamp = TOOLS / "venv" / "installed"
    wanted = (HERE / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("Installing mlx-lm", flush=True)
        subprocess.run([sys.executable, "-m", "venv", TOOLS / "venv"], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--requirement", HERE / "requirements.txt"]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return python


def installed_node_modules():
    folder = TOOLS / "node"
    wanted = (HERE / "package.json").read_text()
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("Installing node-llama-cpp", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(wanted)
        # Its scripts would only build what it brings already.
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(install, check=True, cwd=folder)
        stamp.write_text(wanted)
    return folder


def preloaded_blas():
    """The OpenBLAS that llmeval is linked with; the wheel's own BLAS is the slow reference."""
    libraries = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout
    paths = [line.split("=> ")[1] for line in libraries.splitlines() if "libopenblas.so.0 " in line]
    return {"LD_PRELOAD": paths[0]} if paths else {}


def machine():
    cpu = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    kernels = os.environ.get("OPENBLAS_CORETYPE")
    blas = f", OpenBLAS held to its {kernels} kernels" if kernels else ""
    graphics = ""
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        graphics = ", " + subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GB{graphics}; {platform.system()} {platform.machine()}{blas}"


def heading(options, model, peers):
    engines = ["llmeval"]
    if "mlx-lm" in peers:
        about = peers["mlx-lm"].about
        engines.append(f"Python mlx-lm's BatchGenerator (MLX {about['mlx']}, {about['device']})")
    if "llama.cpp" in peers:
        engines.append("llama.cpp through node-llama-cpp (the file's own 4-bit weights)")
    sampling = "greedy" if options.temperature == 0 else f"temperature {options.temperature:g}"
    rounds = "1 round" if options.rounds == 1 else f"{options.rounds} rounds"
    return (
        f"{Path(model).name}, {options.max_tokens} tokens a session, {sampling}, "
        f"{len(options.prompts.read_text().splitlines())} different prompts; medians of {rounds} in turns "
        f"(serialized: {min(options.rounds, options.serialized_rounds)}), tokens/s of all sessions together, reading "
        f"the prompts included.\n\nEngines: {', '.join(engines)}.\n\nMachine: {machine()}."
    )


def table(medians, sessions):
    ratios = [
        (engine, peer)
        for engine in ("batched", "exact")
        for peer in ("mlx-lm", "llama.cpp")
        if engine in medians and peer in medians
    ]
    if "exact" in medians and "batched" in medians:
        ratios.append(("exact", "batched"))
    lines = [
        "| sessions | " + " | ".join([*medians, *(f"{one} / {other}" for one, other in ratios)]) + " |",
        "|" + "---|" * (1 + len(medians) + len(ratios)),
    ]
    for count in sessions:
        speeds = [f"{medians[engine][count]:.1f}" if count in medians[engine] else "" for engine in medians]
        shares = [f"{medians[one][count] / medians[other][count]:.2f}" for one, other in ratios]
        lines.append("| " + " | ".join([str(count), *speeds, *shares]) + " |")
    return "\n".join(lines)


def verdicts(medians):
    lines = []
    for engine, peer, counts, wanted in TARGETS:
        for count in counts:
            one, other = medians.get(engine, {}).get(count), medians.get(peer, {}).get(count)
            if one and other:
                reached = "reached" if one / other >= wanted else "missed"
                lines.append(f"- {engine} at {count}: {one / other:.2f} × {peer}, wanted {wanted} ×: {reached}")
    speeds = [speed for _, speed in sorted(medians.get("batched", {}).items())]
    if len(speeds) > 1:
        falls = any(later < earlier for earlier, later in zip(speeds, speeds[1:]))
        lines.append(f"- batched throughput never falls as sessions are added: {'missed' if falls else 'reached'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
