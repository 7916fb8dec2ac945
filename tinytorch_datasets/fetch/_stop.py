"""Is this thread still wanted?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Stopped(Exception):
    """Someone pressed Ctrl-C, or another file of the same data set has failed: leave everything as it is."""


class Stop:
    """One flag for all threads of a fetch. It also wakes those that sit in a read."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._wakers: list[Callable[[], None]] = []

    def set(self) -> None:
        """Ask every thread to end, and shut the sockets they are reading from."""
        self._event.set()
        for wake in tuple(self._wakers):
            with suppress(Exception):  # a socket that is closed already needs no waking
                wake()

    def check(self) -> None:
        """Raise Stopped if this thread is no longer wanted."""
        if self._event.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than this thread is wanted."""
        if self._event.wait(seconds):
            raise Stopped

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` if the stop comes inside the block."""
        self._wakers.append(wake)
        try:
            self.check()  # it may have come just before
            yield
        finally:
            self._wakers.remove(wake)
