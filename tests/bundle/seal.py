"""Checks the signature of a whole app bundle: code, sealed files, nested code. Knows ad-hoc signatures only."""

import hashlib
import plistlib
import re
from pathlib import Path

from macho import (
    BadSignature,
    MachO,
    SLOT_ENTITLEMENTS,
    SLOT_ENTITLEMENTS_DER,
    SLOT_INFO_PLIST,
    SLOT_REQUIREMENTS,
    SLOT_RESOURCES,
)


def check_code(path, info_plist=None, resources=None):
    """Checks one Mach-O file: every page, and what is signed beside it."""
    signature = MachO(path).signature()
    signature.check_pages()
    signature.check_special(SLOT_INFO_PLIST, info_plist)
    signature.check_special(SLOT_RESOURCES, resources)
    for slot in (SLOT_REQUIREMENTS, SLOT_ENTITLEMENTS, SLOT_ENTITLEMENTS_DER):
        signature.check_special(slot, signature.blobs.get(slot))
    return signature


def read_plist(data):
    """Reads a property list; one that can't be read isn't what was signed."""
    try:
        return plistlib.loads(data)
    except Exception as error:
        raise BadSignature(f"a property list can't be read: {error}") from error


def check_bundle(app):
    """Raises BadSignature unless `app` is to the last byte what was signed."""
    contents = Path(app) / "Contents"
    info = (contents / "Info.plist").read_bytes()
    resources = (contents / "_CodeSignature/CodeResources").read_bytes()
    executable = contents / "MacOS" / read_plist(info)["CFBundleExecutable"]
    check_code(executable, info, resources)

    seal = read_plist(resources)
    omitted = [re.compile(rule) for rule, options in seal["rules2"].items() if isinstance(options, dict) and options.get("omit")]
    present = {
        str(path.relative_to(contents)): path
        for path in contents.rglob("*")
        if (path.is_symlink() or path.is_file()) and path != executable and "_CodeSignature" not in path.parts
    }
    sealed = seal["files2"]
    for name in sealed.keys() - present.keys():
        raise BadSignature(f"{name} is missing")
    for name, path in present.items():
        if name in sealed:
            check_sealed(name, path, sealed[name])
        elif not any(rule.search(name) for rule in omitted):
            raise BadSignature(f"{name} was added")


def check_sealed(name, path, entry):
    """Checks one file against its entry in the seal."""
    if "symlink" in entry:
        same = path.is_symlink() and str(path.readlink()) == entry["symlink"]
    elif path.is_symlink():
        same = False
    elif "cdhash" in entry:
        same = check_code(path).cdhash() == entry["cdhash"]
    else:
        same = hashlib.sha256(path.read_bytes()).digest() == entry["hash2"]
    if not same:
        raise BadSignature(f"{name} is not what was signed")
