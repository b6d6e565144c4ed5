"""What must hold of target/bundle/LLMEval.app and its zip and dmg, which `make app-cross` makes. Nothing is skipped:
without the bundle every test fails. `make app-cross` runs this at its end; by hand: python3 tests/bundle/test_bundle.py
"""

import functools
import os
import plistlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from macho import BadSignature, CPU_TYPE_ARM64, CS_ADHOC, MachO
from seal import check_bundle, check_code
from vouched import vouched

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "target/bundle"
ZIP, DMG = BUNDLE / "LLMEval.zip", BUNDLE / "LLMEval.dmg"
MACOS = ROOT / ".macos"
MINIMUM_MACOS = (14, 0)
MAX_ZIP_BYTES = 60_000_000
# libc++'s hash came with macOS 26 (a wrong setting of zig brings it in), the others with 14.4 and 15.4.
NEWER_THAN_MACOS_14 = re.compile("__hash_memory|^_os_sync_wa(it_on|ke_by)_address|^_strchrnul$")
SYSTEM_FOLDERS = ("/usr/lib/", "/System/Library/Frameworks/")


@functools.cache
def unzipped():
    """The app as it comes out of the zip: what a person gets is what is tested."""
    folder = tempfile.mkdtemp()
    unittest.addModuleCleanup(shutil.rmtree, folder)
    subprocess.run(["unzip", "-q", ZIP, "-d", folder], check=True)
    return Path(folder) / "LLMEval.app"


def contents():
    return unzipped() / "Contents"


def files():
    return [path for path in contents().rglob("*") if path.is_file() and not path.is_symlink()]


def code():
    """Every Mach-O file by its path."""
    found = {path: MachO(path) for path in files() if path.read_bytes()[:4] == b"\xcf\xfa\xed\xfe"}
    assert len(found) >= 2, "the executable and libmlx.dylib at least"
    return found


@functools.cache
def known_symbols():
    return vouched(ROOT)


def doubtful_symbols(macho):
    """What `macho` asks for though nobody vouches for it, or though it came after macOS 14.0."""
    names = {name for name, _ in macho.imports()}
    return sorted(name for name in names if name not in known_symbols() or NEWER_THAN_MACOS_14.search(name))


class Layout(unittest.TestCase):
    def test_info_plist_is_complete(self):
        with (contents() / "Info.plist").open("rb") as file:
            info = plistlib.load(file)
        version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        expected = {
            "CFBundleExecutable": "llmeval",
            "CFBundleIdentifier": "org.llmeval.LLMEval",
            "CFBundleName": "LLMEval",
            "CFBundlePackageType": "APPL",
            "CFBundleShortVersionString": version,
            "CFBundleVersion": version,
            "LSApplicationCategoryType": "public.app-category.developer-tools",
            "LSMinimumSystemVersion": "14.0",
            "NSHighResolutionCapable": True,
        }
        self.assertEqual({key: info.get(key) for key in expected}, expected)
        self.assertTrue(os.access(contents() / "MacOS" / info["CFBundleExecutable"], os.X_OK))
        self.assertTrue((contents() / "Resources" / f"{info['CFBundleIconFile']}.icns").is_file())

    def test_info_plist_is_read_alike_by_another_reader(self):
        path = contents() / "Info.plist"
        with tempfile.NamedTemporaryFile() as binary:
            subprocess.run(["plistutil", "-i", path, "-f", "bin", "-o", binary.name], check=True)
            self.assertEqual(plistlib.loads(binary.read()), plistlib.loads(path.read_bytes()))

    def test_models_and_runs_open_with_the_app(self):
        with (contents() / "Info.plist").open("rb") as file:
            info = plistlib.load(file)
        types = [name for document in info["CFBundleDocumentTypes"] for name in document["LSItemContentTypes"]]
        self.assertEqual(types, ["org.ggml.gguf", "public.json"])
        declared = {entry["UTTypeIdentifier"]: entry["UTTypeTagSpecification"] for entry in info["UTImportedTypeDeclarations"]}
        self.assertEqual(declared["org.ggml.gguf"]["public.filename-extension"], ["gguf"])

    def test_icon_has_every_size(self):
        data = (contents() / "Resources/LLMEval.icns").read_bytes()
        self.assertEqual((data[:4], struct.unpack(">I", data[4:8])[0]), (b"icns", len(data)))
        sizes, offset = {}, 8
        while offset < len(data):
            kind, length = struct.unpack_from(">4sI", data, offset)
            image = data[offset + 8 : offset + length]
            if image[:8] == b"\x89PNG\r\n\x1a\n":
                sizes[kind.decode()] = struct.unpack_from(">2I", image, 16)
            elif image[:4] == b"ARGB":
                sizes[kind.decode()] = "ARGB"
            offset += length
        pixels = {"ic11": 32, "ic12": 64, "ic07": 128, "ic13": 256, "ic08": 256, "ic14": 512, "ic09": 512, "ic10": 1024}
        self.assertEqual(sizes, {"ic04": "ARGB", "ic05": "ARGB"} | {kind: (size, size) for kind, size in pixels.items()})
        listed = subprocess.run(["icns2png", "-l", contents() / "Resources/LLMEval.icns"], check=True, capture_output=True, text=True)
        self.assertEqual(set(re.findall(r"^  '(\w{4})' ", listed.stdout, re.MULTILINE)), set(sizes))

    def test_only_code_lies_where_code_belongs(self):
        places = {path.parent.name for path in code()}
        self.assertEqual(places, {"MacOS", "Frameworks"})
        others = [path for path in files() if path not in code() and path.parent.name in places]
        self.assertEqual(others, [])

    def test_mlx_finds_its_kernels_beside_itself(self):
        kernels = contents() / "Frameworks/mlx.metallib"
        self.assertEqual(os.readlink(kernels), "../Resources/mlx.metallib")
        self.assertEqual(kernels.read_bytes()[:4], b"MTLB")

    def test_notices_name_what_is_shipped(self):
        notices = (contents() / "Resources/ThirdPartyNotices.txt").read_text()
        for name in ("MLX and mlx-c", "PocketFFT", "metal-cpp", "mlx-rs", "egui", "tokenizers", "Apache License", "Copyright © 2023"):
            self.assertIn(name, notices)

    def test_nothing_refers_to_the_machine_that_built_it(self):
        for path in files():
            data = path.read_bytes()
            for place in (ROOT, Path.home(), MACOS):
                self.assertNotIn(os.fsencode(place) + b"/", data, path)

    def test_zip_is_small(self):
        self.assertLess(ZIP.stat().st_size, MAX_ZIP_BYTES)

    def test_dmg_holds_the_same_app(self):
        with tempfile.TemporaryDirectory() as folder:
            # -snld: links that lead upwards are links of the app.
            subprocess.run(["7zz", "x", "-y", "-snld", f"-o{folder}", DMG], check=True, stdout=subprocess.DEVNULL)
            (volume,) = Path(folder).iterdir()
            self.assertEqual(volume.name, "LLMEval")
            self.assertTrue((volume / "Applications").is_symlink())
            for path in files():
                copy = volume / path.relative_to(unzipped().parent)
                self.assertEqual(copy.read_bytes(), path.read_bytes(), path)
                self.assertEqual(os.access(copy, os.X_OK), os.access(path, os.X_OK), path)
            check_bundle(volume / "LLMEval.app")


class Code(unittest.TestCase):
    def test_all_code_is_for_apple_silicon_and_macos_14(self):
        for path, macho in code().items():
            self.assertEqual((macho.cpu_type, macho.minimum_macos), (CPU_TYPE_ARM64, MINIMUM_MACOS), path)

    def test_every_library_is_in_the_bundle_or_the_system(self):
        for path, macho in code().items():
            for library in macho.dylibs:
                if not library.startswith(SYSTEM_FOLDERS):
                    self.assertTrue(library.startswith("@rpath/"), f"{path} loads {library}")
                    self.assertTrue((contents() / "Frameworks" / library.removeprefix("@rpath/")).is_file(), library)

    def test_run_paths_stay_inside_of_the_bundle(self):
        executable = MachO(contents() / "MacOS/llmeval")
        self.assertEqual(executable.rpaths, ["@executable_path/../Frameworks"])
        for path, macho in code().items():
            self.assertTrue(all(rpath.startswith("@") for rpath in macho.rpaths), path)

    def test_only_symbols_that_macos_14_has_are_asked_for(self):
        for path, macho in code().items():
            self.assertEqual(doubtful_symbols(macho), [], f"{path} asks for symbols that nobody vouches for or that are newer")

    def test_a_doubtful_symbol_is_noticed(self):
        executable = contents() / "MacOS/llmeval"
        for name in (b"_CVDisplayLinkRelexxe", b"___hash_memory_______", b"_strchrnul"):
            with tempfile.NamedTemporaryFile() as changed:
                known = b"_CVDisplayLinkRelease" if len(name) > 10 else b"_CFRelease"
                changed.write(executable.read_bytes().replace(b"\0" + known + b"\0", b"\0" + name + b"\0"))
                changed.flush()
                self.assertEqual(doubtful_symbols(MachO(Path(changed.name))), [name.decode()])


class Signing(unittest.TestCase):
    def test_the_app_is_what_was_signed(self):
        check_bundle(unzipped())

    def test_the_signature_is_ad_hoc_and_asks_for_the_network_only(self):
        executable = contents() / "MacOS/llmeval"
        signature = check_code(executable, (contents() / "Info.plist").read_bytes(),
                               (contents() / "_CodeSignature/CodeResources").read_bytes())
        self.assertEqual(signature.identifier, "org.llmeval.LLMEval")
        self.assertTrue(signature.flags & CS_ADHOC)
        self.assertEqual(plistlib.loads(signature.blobs[5][8:]), {"com.apple.security.network.client": True})

    def test_any_change_is_caught(self):
        def flip(name, offset):
            def change(app):
                path = app / "Contents" / name
                data = bytearray(path.read_bytes())
                data[offset] ^= 1
                path.write_bytes(data)
            return change

        def lead_elsewhere(app):
            link = app / "Contents/Frameworks/mlx.metallib"
            link.unlink()
            link.symlink_to("../Resources/LLMEval.icns")

        changes = {
            "executable": flip("MacOS/llmeval", 100_000),
            "library": flip("Frameworks/libmlx.dylib", 1_000_000),
            "kernels": flip("Resources/mlx.metallib", -1),
            "Info.plist": flip("Info.plist", 500),
            "seal": flip("_CodeSignature/CodeResources", 500),
            "link": lead_elsewhere,
            "file added": lambda app: (app / "Contents/Resources/extra").write_text("x"),
            "file removed": lambda app: (app / "Contents/Resources/LLMEval.icns").unlink(),
        }
        for name, change in changes.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                app = Path(shutil.copytree(unzipped(), Path(folder) / "LLMEval.app", symlinks=True))
                change(app)
                with self.assertRaises(BadSignature):
                    check_bundle(app)


if __name__ == "__main__":
    unittest.main()
