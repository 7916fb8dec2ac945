"""Decompression: gzip, bz2, xz and deflate, bounded.

gzip, bz2 and xz, each as one or more members one after the other; and bare deflate, for the members of zip
archives. gzip and deflate are inflated by ISA-L where isal is installed, by zlib where it is not: with the same
result, and the same words for what is wrong.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

from tinytorch_datasets.concurrency.ahead import Prefetched, prefetch
from tinytorch_datasets.errors import DecodeError

# No larger: what a member leaves over is copied once a member, and a file may have thousands of them.
INPUT_CHUNK = 1 << 18

# What is inflated ahead, in a thread.
PIECE_BYTES = 1 << 18
PIECES_AHEAD = 32

# Whoever reads less than this has it sooner without a thread.
ALONE_BYTES = 1 << 19

# The dictionary of `xz -9` is 64 MiB, the most that the xz tool makes unasked; a header may ask for 1.5 GiB.
XZ_MEMORY = 66 << 20

# Members that hold nothing cost time and give no data. BGZF, which genome tools write, ends in one.
EMPTY_MEMBERS = 1000

# ISA-L misreads some headers: it takes flags that there are not, and loses its place if one comes in two pieces and
# has a checksum or several fields. So it gets members whose header has at most a name in it and is at hand as a whole.
_PLAIN_HEADER = re.compile(rb"\x1f\x8b\x08(?:\x00.{6}|\x08.{6}[^\x00]{0,255}\x00)", re.DOTALL)
_LONGEST_HEADER = 10 + 256


class Decompressor(Protocol):
    """What bz2 and lzma call a decompressor: it gives at most what it is asked for and keeps the rest."""

    @property
    def eof(self) -> bool:
        """Whether the end of the member was met."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out without more data."""

    @property
    def unused_data(self) -> bytes:
        """What of the data stands behind that end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Take in data, and return at most so many bytes of what it holds."""


class Damaged(Exception):
    """What is wrong with compressed data, to be read after the words for whose it is."""


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
        """Return at most `max_length` bytes of what comes out; never 0, which zlib takes to mean any number."""
        return self._z.decompress(self._z.unconsumed_tail + data, max_length)


@functools.cache
def isal() -> Callable[[int], Decompressor] | None:
    """Return ISA-L's inflater, for one of two kinds of data: -15 bare deflate, 31 gzip, as zlib calls them."""
    try:
        from isal import igzip_lib  # optional, and not needed for data that is not compressed
    except ImportError:
        return None
    flags = {-15: igzip_lib.DECOMP_DEFLATE, 31: igzip_lib.DECOMP_GZIP}
    return lambda wbits: igzip_lib.IgzipDecompressor(flag=flags[wbits])


def deflated() -> Decompressor:
    """Return what inflates bare deflate."""
    return (isal() or Inflater)(-15)


def _gzip(begun: bytes) -> Decompressor:
    return ((_PLAIN_HEADER.match(begun) and isal()) or Inflater)(31)


def _bz2(_: bytes) -> Decompressor:
    import bz2  # optional: a Python may be built without it

    return bz2.BZ2Decompressor()


def _xz(_: bytes) -> Decompressor:
    import lzma  # optional: a Python may be built without it

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


class Codec(NamedTuple):
    """One kind of compression: how its members begin, what inflates one, and whether NUL bytes may pad its end."""

    name: str
    magic: re.Pattern[bytes]
    start: Callable[[bytes], Decompressor]
    padded: bool


MAGIC_BYTES = 10
CODECS = (
    Codec("gzip", re.compile(rb"\x1f\x8b\x08"), _gzip, padded=True),
    Codec("bz2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), _bz2, padded=False),
    Codec("xz", re.compile(rb"\xfd7zXZ\x00"), _xz, padded=True),
)


def inflate(engine: Decompressor, feed: Callable[[], bytes], most: int) -> bytes:
    """Return at most `most` bytes of a member, and none only at its end; `feed` gives what goes in, by pieces.

    Raises:
        Damaged: It is not what its compression makes, or is cut short.
    """
    while not engine.eof:
        hungry = engine.needs_input
        fed = feed() if hungry else b""
        try:
            out = engine.decompress(fed, most)
        except MemoryError:
            raise
        except Exception as error:  # zlib.error, IsalError, OSError, EOFError or LZMAError: modules may be missing
            what = "is damaged"
            if str(error) == "Memory usage limit exceeded":  # lzma has no other sign of it
                what = f"needs more than {XZ_MEMORY >> 20} MiB of memory"
            raise Damaged(what) from error
        if out:
            return out
        if hungry and not fed and not engine.eof:
            what = "is cut short"
            raise Damaged(what)
    return b""


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, count: int, /) -> bytes:
        """Read so many bytes, or fewer at the end."""


class Inflated:
    """The inflated bytes of a compressed file, member after member; `begun` is what was read of it already."""

    def __init__(self, path: Path, file: Readable, begun: bytes, codec: Codec) -> None:
        self._path, self._file, self._codec = path, file, codec
        self._empty_members = 0
        self._engine: Decompressor | None = None
        self._start(begun)

    def read(self, most: int) -> bytes:
        """Return at most `most` bytes, and none only at the end of the last member."""
        while self._engine is not None:
            try:
                out = inflate(self._engine, self._feed, most)
            except Damaged as damaged:
                self._fail(f"its {self._codec.name} data {damaged}", damaged.__cause__)
            if out:
                self._member_gave = True
                return out
            self._next_member(self._engine.unused_data)
        return b""

    def _start(self, begun: bytes) -> None:
        begun += self._file.read(INPUT_CHUNK) if len(begun) < _LONGEST_HEADER else b""
        self._fed, self._engine, self._member_gave = begun, self._codec.start(begun), False

    def _feed(self) -> bytes:
        fed, self._fed = self._fed or self._file.read(INPUT_CHUNK), b""
        return fed

    def _next_member(self, rest: bytes) -> None:
        rest = rest or self._file.read(INPUT_CHUNK)
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
            self._fail(f"something else follows the end of its {self._codec.name} data")
        if self._empty_members > EMPTY_MEMBERS:
            self._fail(f"its {self._codec.name} data has more than {EMPTY_MEMBERS:,} empty members in a row")
        self._start(rest)

    def _fail(self, reason: str, cause: BaseException | None = None) -> NoReturn:
        raise DecodeError(self._path, reason) from cause


class ReadAhead:
    """The bytes that `make` gives, at most so many a call and none at the end, some of them made ahead.

    Once `stop` has been called, `make` must soon come to an end of some kind; what it gives or raises is forgotten.
    `coming` is how many bytes will come, if not more: if these are many, the first are made before they are asked for.
    """

    def __init__(self, make: Callable[[int], bytes], stop: Callable[[], None], *, coming: int = 0) -> None:
        self._make, self._stop = make, stop
        self._alone = ALONE_BYTES
        self._pieces: Prefetched[bytes] | None = None
        self._piece, self._at = b"", 0
        if coming > ALONE_BYTES:
            self._begin()

    def read(self, most: int) -> bytes:
        """Return at most `most` bytes, and none only at the end."""
        if self._pieces is None and self._alone > 0:
            out = self._make(most)
            self._alone -= len(out)
            return out
        if self._at == len(self._piece):
            self._piece, self._at = next(self._pieces or self._begin(), b""), 0
        out = self._piece[self._at : self._at + most]
        self._at += len(out)
        return out

    def close(self) -> None:
        """End the thread, if there is one, and wait until it has ended."""
        if self._pieces is not None:
            self._pieces.close()

    def _begin(self) -> Prefetched[bytes]:
        pieces = iter(functools.partial(self._make, PIECE_BYTES), b"")
        self._pieces = prefetch(pieces, PIECES_AHEAD, name="inflating", stop=self._stop)
        return self._pieces
