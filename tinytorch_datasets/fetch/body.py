"""Bodies on their way: their rate, and what a Content-Encoding wraps.

Apart from connections, which load requests: files that come from a folder are read with no library of the network.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator

from tinytorch_datasets.fetch.base import (
    ConnectionLost,
    Dripping,
    PermanentError,
    SourceError,
    TooSlow,
    WrongContent,
)
from tinytorch_datasets.verify.diagnose import HEAD_BYTES

GZIP = ("gzip", "x-gzip")
GZIP_NAMES = (".gz", ".tgz")
GZIP_MAGIC = b"\x1f\x8b"


class Rate:
    """The rate of a flow, over windows that follow one another; only the time inside `with rate:` counts."""

    def __init__(self, least_per_s: float, window_s: float) -> None:
        self._least_per_s, self._window_s = least_per_s, window_s
        self._entered, self._seconds, self._bytes = time.monotonic(), 0.0, 0
        self.per_s = 0.0

    def __enter__(self) -> Rate:
        self._entered = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds += time.monotonic() - self._entered

    def is_below(self, more_bytes: int) -> bool:
        """Check whether a window has ended that fewer bytes came through than should."""
        self._bytes += more_bytes
        now = time.monotonic()
        seconds = self._seconds + now - self._entered
        if seconds < self._window_s:
            return False
        self.per_s = self._bytes / seconds
        self._entered, self._seconds, self._bytes = now, 0.0, 0
        return self.per_s < self._least_per_s


def check_rate(chunks: Iterator[bytes], drip: Rate, stall: Rate | None = None) -> Iterator[bytes]:
    """Pass the chunks on, as long as they come fast enough.

    Raises:
        Dripping: No response of that kind is worth another try.
        TooSlow: They come so slowly that another mirror, which is untried, is better.
    """
    for chunk in chunks:
        yield chunk  # first: what came is kept, however slowly it came
        is_dripping, is_stalled = drip.is_below(len(chunk)), stall is not None and stall.is_below(len(chunk))
        if is_dripping:
            reason = f"only drips ({drip.per_s:,.0f} bytes/s)"
            raise Dripping(reason)
        if is_stalled and stall is not None:
            reason = f"is slow ({stall.per_s / 1000:,.0f} kB/s)"
            raise TooSlow(reason)


def gunzip(chunks: Iterator[bytes], *, at_most: int) -> Iterator[bytes]:
    """Unpack what the chunks hold in gzip, all members of it, but never more than `at_most` bytes: a bomb ends there.

    Raises:
        ConnectionLost: They end before the gzip does.
    """
    unzip = zlib.decompressobj(wbits=31)
    failure: type[SourceError] = PermanentError  # before the first byte, it costs none of those that are on disk
    for chunk in chunks:
        packed = chunk
        while packed:
            if unzip.eof:
                if not packed.startswith(GZIP_MAGIC):  # padding
                    return
                unzip = zlib.decompressobj(wbits=31)
            try:
                plain = unzip.decompress(packed, at_most)
            except zlib.error as error:
                reason = "calls its answer gzip, which it is not"
                raise failure(reason) from error
            packed = unzip.unused_data
            at_most -= len(plain)
            if plain:
                failure = WrongContent
                yield plain
            if at_most <= 0:
                return
    if not unzip.eof:
        raise ConnectionLost


def is_gzip_in_gzip(head: bytes) -> bool:
    """Check whether a file that begins like this holds a gzip in its gzip."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, len(GZIP_MAGIC)) == GZIP_MAGIC
    except zlib.error:
        return False


def peek(body: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, and the rest. A SourceError on the way to them comes after them: they are kept."""
    head = b""
    try:
        while len(head) < HEAD_BYTES and (chunk := next(body, b"")):
            head += chunk
    except SourceError as failure:
        return head, _raise(failure)
    return head, body


def _raise(failure: SourceError) -> Iterator[bytes]:
    raise failure
    yield b""
