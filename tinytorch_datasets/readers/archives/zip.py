"""A bounded zip reader: the central directory, and members by name.

Only what NumPy's archives need: plain names, stored or deflated. The standard library's reader believes more
than it checks (one with as many entries as fit, entries that overlap, sizes that lie), so the list of entries is
read here, entry by entry. Layout: PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import UnsupportedOperation
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DecodeError, did_you_mean
from tinytorch_datasets.readers.compression import INPUT_CHUNK, Damaged, deflated, inflate
from tinytorch_datasets.readers.stream import Stream

END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
ENTRY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
STORED, DEFLATED = 0, 8
ENCRYPTED = 0x1 | 0x40 | 0x2000
IS_UTF8 = 0x800
# Data sets of a member a sample have a hundred thousand and more. A directory of the most that is read takes 300 MiB
# of memory, one of a hundred thousand members 35: about five times what it takes in the file, where nothing is packed.
MAX_DIRECTORY_BYTES = 64 << 20
MOST_MEMBERS = 1_000_000
MEMBERS_KEPT = 1 << 16
NAMES_COMPARED = 1000  # for the error that guesses
LONGEST_COMMENT = 1 << 16
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF  # "see the ZIP64 field"


_ENTRY = struct.Struct("<4sxBxxHHxxxxLLLHHHxxxxLL")
UNIX = (3, 19)  # the systems whose file types an entry may have: Unix, and macOS


class Entry(NamedTuple):
    """One entry of the central directory. `mode` is the file's, as Unix has it, or 0 if it was packed elsewhere."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, which has no data."""
        return self.name.endswith("/") or stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file: no folder, and no symbolic link or device."""
        return not self.is_folder and stat.S_IFMT(self.mode) in (0, stat.S_IFREG)


class _Opened(NamedTuple):
    """What changes when another archive is in a file."""

    path: Path
    inode: int
    size: int
    modified: int
    changed: int


# The members of the archive that was opened last, which is opened again for each field that is a member of it.
_last: dict[_Opened, Mapping[str, Entry]] = {}


def _identify(path: Path, file: BinaryIO) -> _Opened | None:
    """Return what tells this archive from any other; None for one that is held in memory, which no path leads to."""
    try:
        about = os.fstat(file.fileno())
    except UnsupportedOperation:
        return None
    return _Opened(path, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


class Zip:
    """The members of a zip archive, by exact name."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self._file = path, file
        self.entries: Mapping[str, Entry] = {}
        opened = _identify(path, file)
        for last, entries in list(_last.items()):
            if last == opened:
                self.entries = entries
                return
        list_at = self._read_directory()
        free = 0
        for entry in sorted(self.entries.values(), key=lambda e: e.offset):
            if entry.offset < free:
                raise DecodeError(path, f"member {entry.name!r} overlaps another")
            free = entry.offset + 30 + entry.packed
            if free > list_at:
                raise DecodeError(path, f"member {entry.name!r} overlaps the central directory")
        if opened is not None and len(self.entries) <= MEMBERS_KEPT:
            _last.clear()
            _last[opened] = self.entries

    def member(self, name: str, known_as: str, names: Iterable[str], *, kind: str = "array") -> Stream:
        """Return the bytes of one member; `known_as`, `names` and `kind` are for the error when there is none."""
        entry = self.entries.get(name)
        if entry is None:
            guess = did_you_mean(known_as, islice(names, NAMES_COMPARED))
            raise DecodeError(self.path, f"it has no {kind} {known_as!r}{guess}")
        stream = Stream(self.path, lambda most: b"", member=name, size=entry.size)
        if not entry.is_file:
            stream.fail(f"it is {'a folder' if entry.is_folder else 'a link or a device'}, not a file")
        if entry.flags & ENCRYPTED:
            stream.fail("it is encrypted")
        if entry.method not in (STORED, DEFLATED):
            stream.fail(f"it is compressed by method {entry.method}; only 0 (stored) and 8 (deflated) are read")
        self._file.seek(entry.offset)
        header = self._file.read(30)
        if len(header) < 30 or header[:4] != LOCAL:
            stream.fail("its own header is not where the central directory says")
        named, extra = struct.unpack("<HH", header[26:30])
        method = struct.unpack("<H", header[8:10])[0]
        local_header = self._file.read(named)
        self._file.seek(extra, 1)
        if method != entry.method or _name(local_header, entry.flags) != entry.name:
            stream.fail("its own header says otherwise than the central directory")
        return Stream(self.path, _Unpacked(stream, self._file, entry).read, member=name, size=entry.size)

    def _read_directory(self) -> int:
        """Read the central directory; return where it is."""
        length = self._file.seek(0, 2)
        tail_at = max(0, length - 22 - LONGEST_COMMENT)
        self._file.seek(tail_at)
        tail = self._file.read()
        at = tail.rfind(END)
        if at < 0 or len(tail) - at < 22:
            raise DecodeError(self.path, "it is not a zip archive, or is cut short: its central directory is missing")
        _, disk, first_disk, _, count, size, offset, comment = struct.unpack("<4s4H2LH", tail[at : at + 22])
        if at + 22 + comment != len(tail):
            raise DecodeError(self.path, "something follows the end of the zip archive")
        if count == FULL_16 or FULL_32 in (size, offset):
            locator = tail[at - 20 : at] if at >= 20 else b""
            if locator[:4] != LOCATOR_64:
                raise DecodeError(self.path, "it is damaged: its ZIP64 central directory is missing")
            self._file.seek(min(struct.unpack("<Q", locator[8:16])[0], length))
            record = self._file.read(56)
            if len(record) < 56 or record[:4] != END_64:
                raise DecodeError(self.path, "it is damaged: its ZIP64 central directory is missing")
            disk, first_disk, _, count, size, offset = struct.unpack("<LL4Q", record[16:56])
        if disk or first_disk:
            raise DecodeError(self.path, "it is one part of a zip archive in several parts")
        if size > MAX_DIRECTORY_BYTES:
            raise DecodeError(
                self.path, f"its central directory is {size:,} bytes long, the most is {MAX_DIRECTORY_BYTES:,}"
            )
        if count > MOST_MEMBERS:
            raise DecodeError(self.path, f"it has {count:,} members, the most is {MOST_MEMBERS:,}")
        if offset + size > tail_at + at:
            raise DecodeError(self.path, "it is damaged: its central directory is not where it says")
        self._file.seek(offset)
        listed, entries = 0, dict[str, Entry]()
        for listed, entry in enumerate(self._entries(self._file.read(size)), 1):
            if entry.name in entries:
                raise DecodeError(self.path, f"member {entry.name!r} is in it twice")
            if listed <= count:
                entries[entry.name] = entry
        if listed != count:
            raise DecodeError(self.path, f"it is damaged: it lists {listed:,} members and counts {count:,}")
        self.entries = entries
        return int(offset)

    def _entries(self, data: bytes) -> Iterator[Entry]:
        at = 0
        while at < len(data):
            if data[at : at + 4] != ENTRY or len(data) - at < 46:
                raise DecodeError(self.path, "it is damaged: its central directory is broken")
            values = _ENTRY.unpack_from(data, at)
            _, system, flags, method, crc, packed, size, named, extra, comment, attributes, offset = values
            raw = data[at + 46 : at + 46 + named]
            name = _name(raw, flags)
            if FULL_32 in (size, packed, offset):
                fields = data[at + 46 + named : at + 46 + named + extra]
                big = _zip64(fields, sum(n == FULL_32 for n in (size, packed, offset)))
                if big is None:
                    raise DecodeError(self.path, f"it is damaged: member {name!r} has no ZIP64 size in its directory")
                size, packed, offset = (next(big) if n == FULL_32 else n for n in (size, packed, offset))
            at += 46 + named + extra + comment
            mode = attributes >> 16 if system in UNIX else 0
            yield Entry(name, flags, method, crc, packed, size, offset, mode)


def _zip64(extra: bytes, wanted: int) -> Iterator[int] | None:
    """Return the numbers of the ZIP64 field, or None if it has fewer than wanted."""
    if not wanted:
        return iter(())
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[at : at + 4])
        if kind == 1 and length >= 8 * wanted and at + 4 + length <= len(extra):
            return iter(struct.unpack(f"<{wanted}Q", extra[at + 4 : at + 4 + 8 * wanted]))
        at += 4 + length
    return None


def _name(raw: bytes, flags: int) -> str:
    r"""Return a name. Without a flag it is in DOS's code page, but many programs write UTF-8, and none both by chance.

    >>> _name(b"caf\xc3\xa9", 0), _name(b"caf\x82", 0)
    ('café', 'café')
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace") if flags & IS_UTF8 else raw.decode("cp437")


class _Unpacked:
    """The bytes of one member, its length and checksum held against what the central directory says."""

    def __init__(self, stream: Stream, file: BinaryIO, entry: Entry) -> None:
        self._stream, self._file, self._entry = stream, file, entry
        self._at = file.tell()  # kept, so that members may be read in turns
        self._packed, self._left, self._crc = entry.packed, entry.size, 0
        self._engine = deflated() if entry.method == DEFLATED else None
        self._ended = False

    def read(self, most: int) -> bytes:
        if self._ended:
            return b""
        # One byte more than declared is asked for, so that a size which lies is caught.
        out = self._inflate(min(most, self._left) or 1)
        if len(out) > self._left:
            self._stream.fail(f"it is longer than the {self._entry.size:,} bytes that the archive says")
        self._left -= len(out)
        self._crc = zlib.crc32(out, self._crc)
        if not out:
            self._check()
        return out

    def _inflate(self, most: int) -> bytes:
        if self._engine is None:
            return self._feed(most)
        try:
            return inflate(self._engine, lambda: self._feed(INPUT_CHUNK), most)
        except Damaged as damaged:
            self._stream.fail(f"its deflated data {damaged}", cause=damaged.__cause__)

    def _feed(self, most: int) -> bytes:
        self._file.seek(self._at)
        fed = self._file.read(min(most, self._packed))
        self._at += len(fed)
        self._packed -= len(fed)
        return fed

    def _check(self) -> None:
        self._ended = True
        unused = self._packed + (len(self._engine.unused_data) if self._engine else 0)
        if self._left:
            self._stream.fail(f"it ends {self._left:,} short of the {self._entry.size:,} bytes that the archive says")
        if unused:
            self._stream.fail(f"{unused:,} bytes follow the end of its deflated data")
        if self._crc != self._entry.crc:
            self._stream.fail("its checksum is wrong")


@contextmanager
def opened_zip(path: Path) -> Iterator[Zip]:
    """Return the zip archive in a file on disk."""
    with open(path, "rb", opener=open_file) as file:
        yield Zip(path, file)
