"""What must hold of target/bundle/LLMEval.app as `make app` makes it on a Mac, where Apple's own tools judge what they can.
test_bundle.py is for the app that Linux makes. By hand, after `make app`: python3 tests/bundle/test_mac_app.py
"""

import os
import plistlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from macho import CPU_TYPE_ARM64, MachO

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "target/bundle/LLMEval.app"
CONTENTS = APP / "Contents"
EXECUTABLE = CONTENTS / "MacOS/llmeval"
MINIMUM_MACOS = (14, 0)
SYSTEM_FOLDERS = ("/usr/lib/", "/System/Library/Frameworks/")


def verify(app):
    """Whether codesign finds the app as it was signed."""
    return subprocess.run(["codesign", "--verify", "--deep", "--strict", app], capture_output=True).returncode == 0


def run(*arguments):
    """What the program in the app says; no window is opened."""
    return subprocess.run([EXECUTABLE, *arguments], capture_output=True, text=True, timeout=60)


class Layout(unittest.TestCase):
    def test_info_plist_is_well_formed_and_names_this_version(self):
        subprocess.run(["plutil", "-lint", "-s", CONTENTS / "Info.plist"], check=True)
        info = plistlib.loads((CONTENTS / "Info.plist").read_bytes())
        version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        expected = {
            "CFBundleExecutable": "llmeval",
            "CFBundleIdentifier": "org.llmeval.LLMEval",
            "CFBundleShortVersionString": version,
            "CFBundleVersion": version,
            "LSMinimumSystemVersion": "14.0",
        }
        self.assertEqual({key: info.get(key) for key in expected}, expected)
        self.assertTrue((CONTENTS / "Resources" / f"{info['CFBundleIconFile']}.icns").is_file())

    def test_mlx_finds_its_kernels_beside_itself(self):
        kernels = CONTENTS / "MacOS/mlx.metallib"
        self.assertEqual(os.readlink(kernels), "../Resources/mlx.metallib")
        self.assertEqual(kernels.read_bytes()[:4], b"MTLB")

    def test_notices_name_what_is_shipped(self):
        notices = (CONTENTS / "Resources/ThirdPartyNotices.txt").read_text()
        for name in ("MLX and mlx-c", "mlx-rs", "egui", "tokenizers", "Apache License"):
            self.assertIn(name, notices)


class Code(unittest.TestCase):
    def test_the_program_is_for_apple_silicon_and_macos_14(self):
        program = MachO(EXECUTABLE)
        self.assertEqual((program.cpu_type, program.minimum_macos), (CPU_TYPE_ARM64, MINIMUM_MACOS))

    def test_every_library_is_the_systems(self):
        libraries = MachO(EXECUTABLE).dylibs
        self.assertTrue(libraries)
        self.assertEqual([library for library in libraries if not library.startswith(SYSTEM_FOLDERS)], [])

    def test_it_starts_and_names_a_device(self):
        version, devices = run("--version"), run("devices")
        self.assertEqual((version.returncode, version.stderr), (0, ""))
        self.assertEqual(devices.returncode, 0, devices.stderr)
        self.assertTrue(devices.stdout.strip())


class Signing(unittest.TestCase):
    def test_the_app_is_what_was_signed(self):
        self.assertTrue(verify(APP))

    def test_any_change_is_caught(self):
        def append(name):
            def change(app):
                with (app / "Contents" / name).open("ab") as file:
                    file.write(b"x")
            return change

        changes = {
            "kernels": append("Resources/mlx.metallib"),
            "Info.plist": append("Info.plist"),
            "file added": lambda app: (app / "Contents/Resources/extra").write_text("x"),
            "file removed": lambda app: (app / "Contents/Resources/LLMEval.icns").unlink(),
        }
        for name, change in changes.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                app = Path(shutil.copytree(APP, Path(folder) / "LLMEval.app", symlinks=True))
                self.assertTrue(verify(app))
                change(app)
                self.assertFalse(verify(app))


if __name__ == "__main__":
    unittest.main()
