"""Bodies on their way: their rate, and what a Content-Encoding wraps.

Each function takes the chunks of a body as they come, and gives chunks on.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator

from tinytorch_datasets.fetch.base import PermanentError, SourceError, TooSlow, TransientError, WrongContent
from tinytorch_datasets.fetch.retry import RetryPolicy
from tinytorch_datasets.verify.diagnose import HEAD_BYTES

GZIP = ("gzip", "x-gzip")
GZIP_NAMES = (".gz", ".tgz")
GZIP_MAGIC = b"\x1f\x8b"


def check_rate(chunks: Iterator[bytes], retry: RetryPolicy, others_untried: bool) -> Iterator[bytes]:
    """Pass the chunks on, as long as they come fast enough."""
    stall = _Rate(retry.stall_bytes_per_s, retry.stall_window_s)
    drip = _Rate(retry.drip_bytes_per_s, retry.drip_window_s)
    for chunk in chunks:
        yield chunk  # first: what came is kept, however slowly it came
        too_slow, hopeless = stall.is_below(len(chunk)), drip.is_below(len(chunk))
        if hopeless:
            reason = f"only drips ({drip.rate:,.0f} bytes/s)"
            raise TransientError(reason)
        if too_slow and others_untried:
            reason = f"is slow ({stall.rate / 1000:,.0f} kB/s)"
            raise TooSlow(reason)


class _Rate:
    """The rate of a flow, over windows that follow one another."""

    def __init__(self, least_per_s: float, window_s: float) -> None:
        self._least_per_s, self._window_s = least_per_s, window_s
        self._since, self._bytes = time.monotonic(), 0
        self.rate = 0.0

    def is_below(self, more_bytes: int) -> bool:
        """Check whether a window has ended that fewer bytes came through than should."""
        self._bytes += more_bytes
        now = time.monotonic()
        if now - self._since < self._window_s:
            return False
        self.rate = self._bytes / (now - self._since)
        self._since, self._bytes = now, 0
        return self.rate < self._least_per_s


def gunzip(chunks: Iterator[bytes], *, at_most: int) -> Iterator[bytes]:
    """Unpack what the chunks hold in gzip, but never more than `at_most` bytes: a bomb ends there."""
    unzip = zlib.decompressobj(wbits=31)
    failure: type[SourceError] = PermanentError  # before the first byte, it costs none of those that are on disk
    for chunk in chunks:
        try:
            plain = unzip.decompress(chunk, at_most)
        except zlib.error as error:
            reason = "calls its answer gzip, which it is not"
            raise failure(reason) from error
        at_most -= len(plain)
        if plain:
            failure = WrongContent
            yield plain
        if unzip.eof or at_most <= 0:
            return


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
