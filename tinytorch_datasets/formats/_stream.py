"""How are a file's bytes read, inflated where they are compressed, and never more of them than declared?

A file is compressed or not by its own first bytes, never by its name. gzip, bz2 and xz are known, each as one
or more members one after the other. Checksums are checked because streams are read to their end.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn, Protocol

from tinytorch_datasets.errors import ContentError, DecodeError

# Small, because what a member leaves over is copied once a member, and a file may have thousands of them.
INPUT_CHUNK = 1 << 16
OUTPUT_CHUNK = 1 << 20

# How far past its proper end a stream is read, to say how much more there is.
OVERRUN = 1 << 16

# The dictionary of `xz -9` is 64 MiB, the most that the xz tool makes unasked; a header may ask for 1.5 GiB.
XZ_MEMORY = 66 << 20

# Members that hold nothing cost time and give no data. BGZF, which genome tools write, ends in one.
EMPTY_MEMBERS = 1000


class Decompressor(Protocol):
    """What bz2 and lzma call a decompressor: it gives at most what it is asked for and keeps the rest."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Inflater:
    """zlib's decompressor, with the manners of bz2's and lzma's. `wbits` 31 is gzip, -15 bare deflate."""

    def __init__(self, wbits: int) -> None:
        self._z = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        """Whether the end of the member has been reached, its checksum checked."""
        return self._z.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing more can come out until something goes in."""
        return not self._z.unconsumed_tail and not self._z.eof

    @property
    def unused_data(self) -> bytes:
        """What was fed beyond the end of the member."""
        return self._z.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most `max_length` bytes of what comes out; never 0, which zlib takes to mean any number."""
        return self._z.decompress(self._z.unconsumed_tail + data, max_length)


def _gzip() -> Decompressor:
    # The seam for a faster inflater: isal.igzip_lib.IgzipDecompressor(flag=DECOMP_GZIP) fits here as it is.
    return Inflater(31)


def _bz2() -> Decompressor:
    import bz2  # optional: a Python may be built without it

    return bz2.BZ2Decompressor()


def _xz() -> Decompressor:
    import lzma  # optional: a Python may be built without it

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


class Codec(NamedTuple):
    """One kind of compression: how its members begin, what inflates one, and whether NUL bytes may pad its end."""

    name: str
    magic: re.Pattern[bytes]
    start: Callable[[], Decompressor]
    padded: bool


MAGIC_BYTES = 10
CODECS = (
    Codec("gzip", re.compile(rb"\x1f\x8b\x08"), _gzip, padded=True),
    Codec("bz2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), _bz2, padded=False),
    Codec("xz", re.compile(rb"\xfd7zXZ\x00"), _xz, padded=True),
)


class _Inflated:
    """The inflated bytes of a compressed file, member after member."""

    def __init__(self, path: Path, file: BinaryIO, head: bytes, codec: Codec) -> None:
        self._path, self._file, self._fed, self._codec = path, file, head, codec
        self._engine: Decompressor | None = codec.start()
        self._empty_members, self._member_gave = 0, False

    def read(self, most: int) -> bytes:
        """At most `most` bytes, and none only at the end of the last member."""
        while self._engine is not None:
            if self._engine.eof:
                self._next_member()
                continue
            hungry = self._engine.needs_input
            fed = (self._fed or self._file.read(INPUT_CHUNK)) if hungry else b""
            self._fed = b"" if hungry else self._fed
            try:
                out = self._engine.decompress(fed, most)
            except MemoryError:
                raise
            except Exception as error:  # zlib.error, OSError, EOFError or LZMAError: two of the modules may be missing
                reason = f"its {self._codec.name} data is damaged ({error})"
                if str(error) == "Memory usage limit exceeded":  # lzma has no other sign of it
                    reason = f"its {self._codec.name} data needs more than {XZ_MEMORY >> 20} MiB of memory"
                raise DecodeError(self._path, reason) from error
            if out:
                self._member_gave = True
                return out
            if hungry and not fed and not self._engine.eof:
                reason = f"its {self._codec.name} data is cut short"
                raise DecodeError(self._path, reason)
        return b""

    def _next_member(self) -> None:
        assert self._engine is not None
        rest = self._engine.unused_data or self._file.read(INPUT_CHUNK)
        if self._codec.padded:
            rest = rest.lstrip(b"\0")
            while not rest and (more := self._file.read(INPUT_CHUNK)):
                rest = more.lstrip(b"\0")
        self._empty_members = 0 if self._member_gave else self._empty_members + 1
        if not rest:
            self._engine = None
            return
        rest += self._file.read(MAGIC_BYTES) if len(rest) < MAGIC_BYTES else b""
        if not self._codec.magic.match(rest):
            reason = f"something else follows the end of its {self._codec.name} data"
            raise DecodeError(self._path, reason)
        if self._empty_members > EMPTY_MEMBERS:
            reason = f"its {self._codec.name} data has more than {EMPTY_MEMBERS:,} empty members in a row"
            raise DecodeError(self._path, reason)
        self._fed, self._engine, self._member_gave = rest, self._codec.start(), False


class Stream:
    """Bytes to be read once, from front to end, of a file or of a member of an archive.

    `read` gives at most so many bytes, and none at the end. At most `limit` bytes are given out; if more come,
    the error repeats `promise`, which says what was declared instead. `size` is the length, where it is known.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[int], bytes],
        *,
        member: str = "",
        size: int | None = None,
        limit: int | None = None,
        promise: str = "",
    ) -> None:
        self.path, self.member, self.size = path, member, size
        self._read, self.limit, self._promise = read, limit, promise
        self._given, self._again = 0, b""

    def begin_with(self, begun: bytes) -> None:
        """Give out once more what was looked at, before what comes next."""
        self._again = begun

    def some(self, most: int) -> bytes:
        """At most `most` bytes, and none only at the end."""
        if self._again:
            out, self._again = self._again[:most], self._again[most:]
            return out
        if self.limit is None:
            return self._read(most)
        left = self.limit - self._given
        out = self._read(min(most, left) if left else 1)
        if out and not left:
            reason = f"more than {self.limit:,} bytes come out of it, but {self._promise}"
            self.refuse(reason, expected=self.limit, actual=f"more than {self.limit}")
        self._given += len(out)
        return out

    def fill(self, view: memoryview) -> int:
        """Read into `view` until it is full or the end is reached; how many bytes came."""
        done = 0
        while done < len(view) and (piece := self.some(min(len(view) - done, OUTPUT_CHUNK))):
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def take(self, count: int, what: str) -> bytearray:
        """Exactly `count` bytes, which are `what`; only ever called with counts within what was declared."""
        out = bytearray(count)
        came = self.fill(memoryview(out))
        if came < count:
            self.fail(f"it ends inside {what}: {count:,} bytes expected, {came:,} came")
        return out

    def whole(self) -> bytes:
        """All bytes to the end. The stream must have a limit."""
        assert self.limit is not None
        # Grown in place and handed over as it is: b"".join would hold everything twice.
        out = io.BytesIO()
        out.writelines(iter(lambda: self.some(OUTPUT_CHUNK), b""))
        return out.getvalue()

    def skip(self, count: int) -> int:
        """Read past `count` bytes; how many came."""
        done = 0
        while done < count and (piece := self.some(min(count - done, OUTPUT_CHUNK))):
            done += len(piece)
        return done

    def end(self, promised: str) -> None:
        """Refuse anything that still comes; `promised` says what should have been all."""
        extra = self.skip(OVERRUN)
        if extra:
            more = f"{extra:,} more follow" if extra < OVERRUN else f"{extra:,} or more follow"
            self.fail(f"{promised}, but {more}")

    def fail(self, reason: str, *, cause: Exception | None = None) -> NoReturn:
        """The bytes are not what their format says."""
        raise DecodeError(self.path, self._told(reason)) from cause

    def refuse(self, reason: str, *, expected: Any, actual: Any) -> NoReturn:
        """The bytes are well-formed, but not what was declared."""
        raise ContentError(self.path, self._told(reason), expected=expected, actual=actual)

    def _told(self, reason: str) -> str:
        return f"member {self.member!r}: {reason}" if self.member else reason


@contextmanager
def opened(path: Path, *, limit: int | None = None, promise: str = "") -> Iterator[Stream]:
    """The bytes of a file on disk, inflated if they are compressed."""
    with path.open("rb") as file:
        head = file.read(MAGIC_BYTES)
        codec = next((c for c in CODECS if c.magic.match(head)), None)
        if codec is None:
            file.seek(0)
            yield Stream(path, file.read, limit=limit, promise=promise)
        else:
            try:
                inflated = _Inflated(path, file, head, codec)
            except ImportError as error:
                reason = f"it is compressed with {codec.name}, which this Python was built without"
                raise DecodeError(path, reason) from error
            yield Stream(path, inflated.read, limit=limit, promise=promise)
