"""A bounded tar reader: members by name, in one pass.

One pass from front to end, in the archive's own order; nothing is written to disk, so no name in it can lead
anywhere. A member counts only if its name is exactly the wanted one and it is a plain file: links, devices,
absolute and dotted names are passed over. Layout: POSIX.1-2017, "pax", and GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tinytorch_datasets.errors import DecodeError, did_you_mean
from tinytorch_datasets.readers.stream import OUTPUT_CHUNK, Stream, opened

BLOCK = 512
FILE_TYPES = (b"0", b"\0", b"7")
FOLDER = b"5"
# These carry no data, whatever their size field says (GNU tar and Python's tarfile agree).
DATALESS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a FIFO",
}
EXTENSIONS = (b"L", b"K", b"x", b"g")
LONGEST_EXTENSION = 1 << 16
# Data sets of a member a sample have a hundred thousand and more, and programs write a header of some hundred bytes
# beside each (long names, times, what macOS notes). Of all that, only the names of wanted members are kept.
MOST_MEMBERS = 1_000_000
MOST_EXTENSION_BYTES, EXTENSION_BYTES_A_MEMBER = 4 << 20, 1 << 10
MOST_NAME_BYTES = 64 << 20
LONGEST_NAME_KEPT = 256
NAMES_KEPT = 1000  # for the error that guesses

_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_PAX_RECORD = re.compile(rb"(\d{1,6}) ([^=\n]+)=")


def members(path: Path, wanted: Mapping[str, int]) -> Iterator[tuple[str, Stream]]:
    """Yield each wanted member as it comes by; `wanted` has its exact name and how many bytes it may be long.

    Raises:
        DecodeError: A wanted member is missing, twice in it, or sparse; or it is not a whole tar archive.
        ContentError: A wanted member is longer than allowed, or so is everything together.
    """
    # What was not asked for must be inflated to get past it, but archives of data sets hold little else than data.
    declared = sum(wanted.values())
    limit = 4 * (declared + path.stat().st_size) + (16 << 20)
    with opened(path, limit=limit, limit_reason=f"its declared members take at most {declared:,}") as archive:
        yield from _Tar(archive, wanted).walk()


def files(path: Path, *, limit: int, limit_reason: str) -> Iterator[tuple[str, Stream]]:
    """Yield each plain file in the archive as it comes by, where nothing has been declared of it yet.

    At most `limit` bytes are read; if there are more, the error repeats `limit_reason`.

    Raises:
        DecodeError: A name is in it twice, or it is not a whole tar archive.
        ContentError: It is longer than allowed.
    """
    with opened(path, limit=limit, limit_reason=limit_reason) as archive:
        yield from _Tar(archive, None).walk()


def matching(
    path: Path, is_wanted: Callable[[str], bool], *, limit: int, limit_reason: str
) -> Iterator[tuple[str, Stream]]:
    """Yield each file with a wanted name as it comes by; at most `limit` bytes are read, as by `files`.

    Raises:
        DecodeError: One of them is no plain file, but a link or a device; or as of `files`.
        ContentError: The archive is longer than allowed.
    """
    with opened(path, limit=limit, limit_reason=limit_reason) as archive:
        yield from _Tar(archive, None, is_wanted).walk()


def begun(head: bytes, path: Path) -> list[tuple[str, bytes]]:
    """Return the files whose headers are in the first bytes of an archive, each with as much of it as is there."""
    files = list[tuple[str, bytes]]()
    with suppress(DecodeError):  # it ends in the middle
        for name, stream in _Tar(Stream(path, io.BytesIO(head).read), None).walk():
            files.append((name, stream.some(len(head))))
    return files


class _Tar:
    def __init__(
        self, archive: Stream, wanted: Mapping[str, int] | None, matches: Callable[[str], bool] | None = None
    ) -> None:
        self.archive, self.wanted, self.matches = archive, wanted, matches
        self.met: set[str] = set()
        self._count = self._extension_bytes = self._name_bytes = 0
        self.passed: dict[str, str] = {}  # names that were passed over, each with what is wrong with it, if anything

    def walk(self) -> Iterator[tuple[str, Stream]]:
        extended: dict[str, str] = {}
        while header := self._header():
            kind = header[156:157]
            size = int(extended["size"]) if "size" in extended else self._number(header[124:136], "size")
            if kind in EXTENSIONS:  # of the member that follows
                extended.update(self._extension(kind, self._number(header[124:136], "size")))
                continue
            self._count += 1
            if self._count > MOST_MEMBERS:
                self.archive.fail(f"it has more than {MOST_MEMBERS:,} members")
            name = extended.get("path") or _name(header)
            name = name if name in (self.wanted or ()) else _plain_name(name)
            if kind == b"S" or "sparse" in extended:
                self.archive.fail(f"member {name[:LONGEST_NAME_KEPT]!r} is sparse, which no data set needs to be")
            extended = {}
            left = 0 if kind in DATALESS else size
            matches = name in self.wanted if self.wanted is not None else self.matches is None or self.matches(name)
            if kind in FILE_TYPES and matches:
                member = _Member(self.archive, left)
                yield name, self._checked(name, member)
                left = member.left
            elif matches and self.matches is not None and kind != FOLDER:
                self.archive.fail(f"member {name!r} is {DATALESS.get(kind, 'not a plain file')}, not a file")
            elif len(self.passed) < NAMES_KEPT and len(name) <= LONGEST_NAME_KEPT:
                self.passed[name] = DATALESS.get(kind, "" if kind in FILE_TYPES else "not a plain file")
            self._pass(left + -size % BLOCK if kind not in DATALESS else 0, f"member {name[:LONGEST_NAME_KEPT]!r}")
        self._after_the_end()
        for name in self.wanted or ():
            if name not in self.met:
                self._missing(name)

    def _checked(self, name: str, member: _Member) -> Stream:
        path, most = self.archive.path, member.left if self.wanted is None else self.wanted[name]
        if name in self.met:
            self.archive.fail(f"member {name!r} is in it twice")
        self.met.add(name)
        self._name_bytes += len(name)
        if self._name_bytes > MOST_NAME_BYTES:
            self.archive.fail(f"the names of its members are more than {MOST_NAME_BYTES:,} characters together")
        stream = Stream(path, member.read, member=name, size=member.left)
        if member.left > most:
            reason = f"it is {member.left:,} bytes long, but what is declared of it takes at most {most:,}"
            stream.refuse(reason, aspect="bytes", expected=most, actual=member.left)
        return stream

    def _header(self) -> bytes:
        """Return the next header, or nothing at the end of the archive."""
        block = bytearray(BLOCK)
        came = self.archive.fill(memoryview(block))
        if came == 0 or (came == BLOCK and not any(block)):
            return b""
        if came < BLOCK:
            self.archive.fail(f"it ends inside a tar header: {BLOCK} bytes expected, {came} came")
        if self._number(block[148:156], "checksum") != sum(block) - sum(block[148:156]) + 8 * ord(" "):
            self.archive.fail("it is not a tar archive, or is damaged: the checksum of a header is wrong")
        return bytes(block)

    def _number(self, field: bytes | bytearray, what: str) -> int:
        if field[0] == 0x80:  # GNU: the rest is binary, for sizes of 8 GiB and more
            return int.from_bytes(field[1:], "big")
        match = _OCTAL.fullmatch(field)
        if not match:
            self.archive.fail(f"it is not a tar archive, or is damaged: the {what} in a header is not a number")
        return int(match[1] or b"0", 8)

    def _extension(self, kind: bytes, size: int) -> dict[str, str]:
        """Return what a long-name or pax header says of the member that follows it."""
        if size > LONGEST_EXTENSION:
            self.archive.fail(f"an extended header is {size:,} bytes long, the most is {LONGEST_EXTENSION:,}")
        self._extension_bytes += size
        if self._extension_bytes > MOST_EXTENSION_BYTES + self._count * EXTENSION_BYTES_A_MEMBER:
            self.archive.fail(f"its extended headers are more than {MOST_EXTENSION_BYTES:,} bytes together")
        body = bytes(self.archive.take(size, "an extended header"))
        self._pass(-size % BLOCK, "an extended header")
        if kind == b"K":
            return {}
        if kind == b"L":
            return {"path": _decode_name(body.partition(b"\0")[0])}
        records = dict(self._pax(body))
        records_used = {key: value for key, value in records.items() if key in ("path", "size")}
        if kind == b"g" and records_used:
            self.archive.fail(f"a global header sets the {' and '.join(records_used)} of every member")
        if any(key.startswith("GNU.sparse.") for key in records):
            records_used["sparse"] = "1"
        if not records_used.get("size", "0").isdecimal() or len(records_used.get("size", "0")) > 19:
            self.archive.fail("it is damaged: the size in a pax header is not a number")
        return records_used

    def _pax(self, body: bytes) -> Iterator[tuple[str, str]]:
        at = 0
        while at < len(body):
            match = _PAX_RECORD.match(body, at)
            end = at + int(match[1]) if match else 0
            if not match or end <= match.end() or body[end - 1 : end] != b"\n":
                self.archive.fail("it is damaged: a pax header is not made of records")
            yield _decode_name(match[2]), _decode_name(body[match.end() : end - 1])
            at = end

    def _pass(self, count: int, of: str) -> None:
        came = self.archive.skip(count)
        if came < count:
            self.archive.fail(f"it ends inside {of}: {count - came:,} more bytes expected")

    def _after_the_end(self) -> None:
        """Read to the very end: checksums come last, and a second archive may hide behind the first."""
        while chunk := self.archive.some(OUTPUT_CHUNK):
            if chunk.count(0) < len(chunk):
                self.archive.fail("something follows the end of the tar archive")

    def _missing(self, name: str) -> NoReturn:
        if what := self.passed.get(name):
            self.archive.fail(f"member {name!r} is {what}, not a file")
        self.archive.fail(f"it has no member {name!r}{did_you_mean(name, self.passed)}")


class _Member:
    """The next `left` bytes of an archive."""

    def __init__(self, archive: Stream, left: int) -> None:
        self._archive, self.left = archive, left

    def read(self, most: int) -> bytes:
        piece = self._archive.some(min(most, self.left)) if self.left else b""
        self.left -= len(piece)
        return piece


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    # POSIX keeps the front of a long path in a field that GNU tar uses for times.
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _decode_name(prefix + b"/" + name if prefix else name)


def _plain_name(name: str) -> str:
    """Return a member's name without what says nothing: `tar c .` writes each as ./name.

    >>> _plain_name("./a/b"), _plain_name("././a"), _plain_name("../a"), _plain_name(".")
    ('a/b', 'a', '../a', '.')
    """
    while name.startswith("./") and len(name) > 2:
        name = name[2:].lstrip("/")
    return name


def _decode_name(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
