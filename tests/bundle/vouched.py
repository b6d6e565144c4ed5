"""Which symbols of the system an app for macOS 14 may ask for, as far as that can be known without a Mac."""

import json
import re
import subprocess
from pathlib import Path

from macho import MachO

# Crates that bind Apple's frameworks name by name, most of them generated from Apple's headers.
BINDINGS = re.compile(r"^(objc2|block2|dispatch2|core-foundation|core-graphics|security-framework|system-configuration|mach2|io-kit|metal)")
EXTERN = re.compile(r'extern\s+"C(?:-unwind)?"\s*\{(.*?)\n\s*\}', re.DOTALL)
DECLARED = re.compile(r"\b(?:fn|static(?:\s+mut)?)\s+(\w+)")


def vouched(root):
    """Names that somebody vouches for:

    - libmlx.dylib, which Apple's own tools linked for macOS 14: what it imports is there, and what it exports is with us;
    - zig's copy of Apple's list of libSystem;
    - crates that bind Apple's frameworks: the name exists, though perhaps in a later release only;
    - imports.txt: the rest, each looked up by hand.
    """
    macos = root / ".macos"
    mlx = MachO(macos / "mlx/mlx/lib/libmlx.dylib")
    names = {name for name, _ in mlx.imports()} | set(mlx.exports())
    names |= set(re.findall(r"_[\w$]+", (macos / "zig/ziglang/lib/libc/darwin/libSystem.tbd").read_text()))
    names |= bound_by_crates(root)
    for line in (Path(__file__).parent / "imports.txt").read_text().splitlines():
        names |= set(line.split("#")[0].split())
    return names


def bound_by_crates(root):
    """The C names that crates of `BINDINGS` declare."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--offline", "--filter-platform=aarch64-apple-darwin"]
    metadata = json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    names = set()
    for package in metadata["packages"]:
        if package["id"] in used and BINDINGS.match(package["name"]):
            for source in Path(package["manifest_path"]).parent.rglob("*.rs"):
                for block in EXTERN.findall(source.read_text(errors="replace")):
                    names |= {"_" + name for name in DECLARED.findall(block)}
    return names
