"""How do bytes flow: how many connections, how fast, and out of which wrapping?"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from ._answer import Interrupted, Refused, Slow, Trouble, Wrong
from ._patience import Patience
from ._stop import Stop

GZIP = b"\x1f\x8b"


class Slots:
    """So many connections to a host, and no more."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._by_host: dict[str, threading.BoundedSemaphore] = {}
        self._guard = threading.Lock()

    @contextmanager
    def at(self, host: str | None, stop: Stop) -> Iterator[None]:
        """Hold a connection's place at a host, waiting for it if need be. A folder is no host, and has no limit."""
        if host is None:
            yield
            return
        with self._guard:
            slots = self._by_host.setdefault(host, threading.BoundedSemaphore(self._patience.connections_per_host))
        while not slots.acquire(timeout=self._patience.poll_s):
            stop.check()
        try:
            yield
        finally:
            slots.release()


def metered(chunks: Iterator[bytes], patience: Patience, others_untried: bool) -> Iterator[bytes]:
    """The same chunks, as long as they come fast enough."""
    stall = _Meter(patience.stall_bytes_per_s, patience.stall_window_s)
    drip = _Meter(patience.drip_bytes_per_s, patience.drip_window_s)
    for chunk in chunks:
        yield chunk  # first: what came is kept, however slowly it came
        too_slow, hopeless = stall.is_below(len(chunk)), drip.is_below(len(chunk))
        if hopeless:
            reason = f"only drips ({drip.rate:,.0f} bytes/s)"
            raise Interrupted(reason)
        if too_slow and others_untried:
            reason = f"is slow ({stall.rate / 1000:,.0f} kB/s)"
            raise Slow(reason)


class _Meter:
    """The rate of a flow, over windows that follow one another."""

    def __init__(self, least_per_s: float, window_s: float) -> None:
        self._least_per_s, self._window_s = least_per_s, window_s
        self._since, self._bytes = time.monotonic(), 0
        self.rate = 0.0

    def is_below(self, more_bytes: int) -> bool:
        """Whether a window has ended that fewer bytes came through than should."""
        self._bytes += more_bytes
        now = time.monotonic()
        if now - self._since < self._window_s:
            return False
        self.rate = self._bytes / (now - self._since)
        self._since, self._bytes = now, 0
        return self.rate < self._least_per_s


def gunzipped(chunks: Iterator[bytes], *, at_most: int) -> Iterator[bytes]:
    """What the chunks hold in gzip, but never more than `at_most` bytes: a bomb ends there."""
    unzip = zlib.decompressobj(wbits=31)
    trouble: type[Trouble] = Refused  # before the first byte, it costs none of those that are here
    for chunk in chunks:
        try:
            plain = unzip.decompress(chunk, at_most)
        except zlib.error as error:
            reason = "calls its answer gzip, which it is not"
            raise trouble(reason) from error
        at_most -= len(plain)
        if plain:
            trouble = Wrong
            yield plain
        if unzip.eof or at_most <= 0:
            return


def is_gzip_in_gzip(head: bytes) -> bool:
    """Whether a file that begins like this holds a gzip in its gzip."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, len(GZIP)) == GZIP
    except zlib.error:
        return False
