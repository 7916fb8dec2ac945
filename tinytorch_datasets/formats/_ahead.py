"""How is a file inflated while what came out before is still being decoded?

zlib, ISA-L, bz2 and lzma let other threads run while they work. So a thread of its own makes the next few pieces,
and no more than these: what nobody asks for is not inflated. Errors are met where they are in the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from tinytorch_datasets.threads import begun, wait_for

PIECE_BYTES = 1 << 18
PIECES_AHEAD = 32

# Whoever reads less than this has it sooner without a thread.
ALONE_BYTES = 1 << 19


class Ahead:
    """The bytes that `make` gives, at most so many a call and none at the end, some of them made ahead.

    Once `stop` has been called, `make` must soon come to an end of some kind; what it gives or raises is forgotten.
    `coming` is how many bytes will come, if not more: if these are many, the first are made before they are asked for.
    """

    def __init__(self, make: Callable[[int], bytes], stop: Callable[[], None], *, coming: int = 0) -> None:
        self._make, self._stop = make, stop
        self._alone, self._closed = ALONE_BYTES, False
        self._thread: Thread | None = None
        self._room: SimpleQueue[None] = SimpleQueue()  # something for each piece that may be made
        self._made: SimpleQueue[bytes | BaseException] = SimpleQueue()  # the last is empty, or what went wrong
        self._piece, self._at = b"", 0
        if coming > ALONE_BYTES:
            self._begin()

    def read(self, most: int) -> bytes:
        """At most `most` bytes, and none only at the end."""
        if self._thread is None and (self._alone > 0 or not self._begin()):
            out = self._make(most)
            self._alone -= len(out)
            return out
        if self._at == len(self._piece):
            self._piece, self._at = self._next(), 0
        out = self._piece[self._at : self._at + most]
        self._at += len(out)
        return out

    def close(self) -> None:
        """End the thread, if there is one, and wait until it has ended."""
        self._closed = True
        self._stop()
        self._room.put(None)
        if self._thread is not None:
            wait_for(self._thread)
        self._made = SimpleQueue()  # an error in it has us in its traceback

    def _begin(self) -> bool:
        self._alone = ALONE_BYTES  # before it is tried again
        self._thread = begun(self._work, "inflating")
        if self._thread is None:
            return False
        for _ in range(PIECES_AHEAD):
            self._room.put(None)
        return True

    def _work(self) -> None:
        while True:
            self._room.get()
            if self._closed:
                return
            try:
                piece = self._make(PIECE_BYTES)
            except BaseException as error:  # for whoever reads that far
                self._made.put(error)
                return
            self._made.put(piece)
            if not piece:
                return

    def _next(self) -> bytes:
        made = self._made.get()
        if isinstance(made, BaseException):
            self._made.put(made)  # for whoever asks again
            try:
                raise made
            finally:
                del made  # its traceback has this frame
        if made:
            self._room.put(None)
        else:
            self._made.put(made)
        return made
