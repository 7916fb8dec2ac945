"""What do bytes come to, and how does every core help to find out?

Jobs are done side by side, the largest first: hashlib lets go of the interpreter.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES = 2**20

T = TypeVar("T")
Step = Callable[[int, int], None]


class Unwanted(Exception):
    """Nobody waits for this any more: someone pressed Ctrl-C, or another job has failed."""


_of_this_thread = threading.local()  # `ended`, in those that do jobs: the event that says so


class Digest(NamedTuple):
    """What a file's bytes came to."""

    bytes: int
    sha256: str
    md5: str | None = None


def side_by_side(jobs: Sequence[tuple[int, Callable[[], T]]]) -> list[T]:
    """What each job returns, in their order; a job comes with its size, and the largest begin first.

    The first error of any job ends the others, and so does Ctrl-C: those at work at their next `check_wanted`.

    >>> side_by_side([(1, lambda: "small"), (10**9, lambda: "large")])
    ['small', 'large']
    """
    from concurrent.futures import (
        FIRST_EXCEPTION,
        ThreadPoolExecutor,
        wait,
    )  # imports much, and a cached `get` hashes nothing

    ended = threading.Event()
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1), "hashing", _begin, (ended,)) as pool:
        try:
            largest_first = sorted(range(len(jobs)), key=lambda at: -jobs[at][0])
            begun = {at: pool.submit(jobs[at][1]) for at in largest_first}
            for done in wait(begun.values(), return_when=FIRST_EXCEPTION).done:
                done.result()
            return [begun[at].result() for at in range(len(jobs))]
        except BaseException:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(ended: threading.Event) -> None:
    _of_this_thread.ended = ended


def check_wanted() -> None:
    """Raise Unwanted if this thread does a job that nobody waits for."""
    ended = getattr(_of_this_thread, "ended", None)
    if ended is not None and ended.is_set():
        raise Unwanted


class Meter:
    """Tells `step` how many bytes are done, of how many in all; from several threads but never two at once."""

    def __init__(self, step: Step | None, in_all: int) -> None:
        self._step, self._in_all, self._done = step, in_all, 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """So many bytes more are done."""
        if self._step is not None:
            with self._lock:
                self._done += count
                self._step(self._done, self._in_all)


def digests(paths: Iterable[Path], step: Step | None = None) -> dict[Path, Digest | OSError]:
    """The digest of each file, or why it cannot be read. `step` is called with bytes done and bytes in all."""
    sizes = {path: size_of(path) for path in paths}
    meter = Meter(step, sum(sizes.values()))
    found = side_by_side([(size, partial(digest_or_error, path, add=meter.add)) for path, size in sizes.items()])
    return dict(zip(sizes, found, strict=True))


def size_of(path: Path) -> int:
    """How many bytes a file has; none if it is not there, or in a folder that may not be looked into."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def digest(path: str | Path, *, add: Callable[[int], None] | None = None, md5_too: bool = False) -> Digest:
    """The digest of a file; `add` is told each count of bytes read.

    Raises:
        OSError: It cannot be read.
    """
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with open(path, "rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            check_wanted()
            sha256.update(buffer[:count])
            if md5_too:
                md5.update(buffer[:count])
            size += count
            if add is not None:
                add(count)
    return Digest(size, sha256.hexdigest(), md5.hexdigest() if md5_too else None)


def digest_or_error(
    path: str | Path, *, add: Callable[[int], None] | None = None, md5_too: bool = False
) -> Digest | OSError:
    """The digest of a file, or why it cannot be read: one of many must not keep the others from being read."""
    try:
        return digest(path, add=add, md5_too=md5_too)
    except OSError as error:
        return error


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file, as 64 lowercase hex digits.

    Raises:
        OSError: It cannot be read.
    """
    return digest(path).sha256
