"""Reads of a 64-bit Mach-O file what the bundle's tests need: load commands, imports, code signature."""

import hashlib
import struct

MH_MAGIC_64 = 0xFEEDFACF
CPU_TYPE_ARM64 = 0x0100000C
LC_SYMTAB, LC_RPATH, LC_CODE_SIGNATURE, LC_BUILD_VERSION = 0x2, 0x8000001C, 0x1D, 0x32
LC_ID_DYLIB = 0xD
DYLIB_LOADS = {0xC, 0x80000018, 0x8000001F, 0x20, 0x80000023}
N_STAB, N_TYPE, N_UNDF, N_EXT = 0xE0, 0x0E, 0x0, 0x01
DYNAMIC_LOOKUP_ORDINAL = 0xFE

CSMAGIC_EMBEDDED_SIGNATURE, CSMAGIC_CODEDIRECTORY = 0xFADE0CC0, 0xFADE0C02
# The slot of the code directory's special hashes (counted down from 0) for each blob or file.
SLOT_INFO_PLIST, SLOT_REQUIREMENTS, SLOT_RESOURCES, SLOT_ENTITLEMENTS, SLOT_ENTITLEMENTS_DER = 1, 2, 3, 5, 7
CS_ADHOC, CS_RUNTIME = 0x2, 0x10000


class BadSignature(Exception):
    """The code is not what was signed."""


class MachO:
    """One Mach-O file for arm64."""

    def __init__(self, path):
        self.data = path.read_bytes()
        magic, self.cpu_type, _, self.file_type, count, _, _, _ = struct.unpack_from("<8I", self.data)
        if magic != MH_MAGIC_64:
            raise ValueError(f"{path} is no 64-bit Mach-O file")
        self.dylibs, self.rpaths, self.install_name, self.minimum_macos = [], [], None, None
        self._symtab = self._signature = None
        offset = 32
        for _ in range(count):
            command, size = struct.unpack_from("<2I", self.data, offset)
            self._read_command(command, offset)
            offset += size

    def _read_command(self, command, offset):
        if command in DYLIB_LOADS:
            self.dylibs.append(self._string(offset))
        elif command == LC_ID_DYLIB:
            self.install_name = self._string(offset)
        elif command == LC_RPATH:
            self.rpaths.append(self._string(offset))
        elif command == LC_BUILD_VERSION:
            version = struct.unpack_from("<I", self.data, offset + 12)[0]
            self.minimum_macos = (version >> 16, version >> 8 & 0xFF)
        elif command == LC_SYMTAB:
            self._symtab = struct.unpack_from("<4I", self.data, offset + 8)
        elif command == LC_CODE_SIGNATURE:
            self._signature = struct.unpack_from("<2I", self.data, offset + 8)

    def _string(self, offset):
        size, start = struct.unpack_from("<2I", self.data, offset + 4)
        return self.data[offset + start : offset + size].split(b"\0")[0].decode()

    def imports(self):
        """Yields each undefined symbol with the library it is bound to; None where launch looks everywhere."""
        symbols, count, strings, _ = self._symtab
        for index in range(count):
            name, kind, _, description, _ = struct.unpack_from("<IBBHQ", self.data, symbols + 16 * index)
            if not kind & N_STAB and kind & N_EXT and kind & N_TYPE == N_UNDF:
                ordinal = description >> 8 & 0xFF
                library = None if ordinal == DYNAMIC_LOOKUP_ORDINAL else self.dylibs[ordinal - 1]
                yield self._symbol_name(strings + name), library

    def exports(self):
        """The names that other files may use."""
        symbols, count, strings, _ = self._symtab
        for index in range(count):
            name, kind, _, _, _ = struct.unpack_from("<IBBHQ", self.data, symbols + 16 * index)
            if not kind & N_STAB and kind & N_EXT and kind & N_TYPE != N_UNDF:
                yield self._symbol_name(strings + name)

    def _symbol_name(self, start):
        return self.data[start : self.data.index(b"\0", start)].decode()

    def signature(self):
        """The code signature; an error where there is none."""
        if self._signature is None:
            raise BadSignature("there is no signature")
        return Signature(self.data, self._signature[0])


class Signature:
    """An embedded code signature: its blobs by slot, and what its code directory says."""

    def __init__(self, data, start):
        self.data = data
        magic, _, count = struct.unpack_from(">3I", data, start)
        if magic != CSMAGIC_EMBEDDED_SIGNATURE:
            raise BadSignature("the signature can't be read")
        self.blobs = {}
        for index in range(count):
            slot, offset = struct.unpack_from(">2I", data, start + 12 + 8 * index)
            length = struct.unpack_from(">I", data, start + offset + 4)[0]
            self.blobs[slot] = data[start + offset : start + offset + length]
        self.directory = next(
            blob for blob in self.blobs.values() if struct.unpack_from(">I", blob)[0] == CSMAGIC_CODEDIRECTORY and blob[37] == 2
        )
        fields = struct.unpack_from(">9I4BI", self.directory)
        _, _, _, self.flags, self._hashes, identifier, self._special, self._code_slots, self._limit = fields[:9]
        self._hash_size, _, _, page_bits = fields[9:13]
        self._page_size = 1 << page_bits
        self.identifier = self.directory[identifier:].split(b"\0")[0].decode()

    def cdhash(self):
        """The hash by which others name this code."""
        return hashlib.sha256(self.directory).digest()[:20]

    def check_pages(self):
        """Compares every page of the file with the hash that was signed."""
        for page in range(self._code_slots):
            start = page * self._page_size
            content = self.data[start : min(start + self._page_size, self._limit)]
            if hashlib.sha256(content).digest() != self._hash(page):
                raise BadSignature(f"page {page} is not what was signed")

    def check_special(self, slot, content):
        """Compares a blob or file beside the code with the hash that was signed; None: nothing may be signed there."""
        signed = self._hash(-slot) if slot <= self._special else bytes(self._hash_size)
        expected = bytes(self._hash_size) if content is None else hashlib.sha256(content).digest()
        if signed != expected:
            raise BadSignature(f"what belongs to slot {slot} is not what was signed")

    def _hash(self, slot):
        start = self._hashes + slot * self._hash_size
        return self.directory[start : start + self._hash_size]
