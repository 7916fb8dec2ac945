"""Threads: jobs side by side, work done ahead, and one way to cancel.

zlib, ISA-L, bz2 and lzma let other threads run while they work. So a thread of its own makes the next few pieces,
and no more than these: what nobody asks for is not inflated. Errors are met where they are in the bytes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    pass


def begun(work: Callable[[], None], name: str) -> Thread | None:
    """A thread at that work; None where there are none, or none left, or no room for one.

    A daemon: should it sit in a system call that nothing wakes, it must not keep the process from ending.
    """
    if _rationed():
        return None
    thread = Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def wait_for(thread: Thread) -> None:
    """Wait until a thread has ended, where that can be waited for.

    Garbage is closed by any thread, even by that one, which cannot wait for itself; and it is closed when Python exits,
    by when other threads are held for ever.
    """
    if thread is not current_thread() and not sys.is_finalizing():
        thread.join()


class Behind:
    """Does jobs one after the other, in a thread of its own.

    Who returns a job waits until the one before is done: so at most one is under way, and what it holds is held.
    Where there is no thread to be had, jobs are done as they are handed over.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._turn = Lock()  # held while a job is under way
        self._error: BaseException | None = None
        self._thread = begun(self._work, name)

    def do(self, job: Callable[[], object]) -> None:
        """Have a job done.

        Raises:
            BaseException: What an earlier job raised. This one is not done then, nor is any later one.
        """
        if self._thread is None:
            job()
            return
        self._turn.acquire()
        if self._error is not None:
            self._turn.release()
            raise self._error
        self._jobs.put(job)

    def wait(self) -> None:
        """Wait until all is done.

        Raises:
            BaseException: What a job raised.
        """
        with self._turn:
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Wait until the job that is under way is done, and end the thread."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
        self._error = None  # its traceback has us in it

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as error:  # for whoever returns the next, or waits
                self._error = error
            finally:
                del job  # and with it what it held, before there is room for more
                self._turn.release()


def _rationed() -> bool:
    """Whether address space is limited: Linux reserves 64 MiB of it for a thread's heap, used or not."""
    try:
        import resource  # not on Windows
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


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


T = TypeVar("T")


def together(jobs: Iterable[Callable[[], T]], stop: Stop, *, workers: int, poll_s: float, farewell_s: float) -> list[T]:
    """Do all jobs, some at once, and return what they returned, in their order.

    The first error of any job stops the others and is raised; so does Ctrl-C. Even a single job has a thread: the
    main thread must be free to hear the signal while the job sits in a read, and looks every `poll_s`; after a stop
    it waits at most `farewell_s` for the others.
    """
    waiting: SimpleQueue[tuple[int, Callable[[], T]]] = SimpleQueue()
    for numbered in enumerate(jobs):
        waiting.put(numbered)
    count = waiting.qsize()
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    ended = threading.Semaphore(0)

    def work() -> None:
        try:
            while True:
                number, job = waiting.get_nowait()
                stop.check()
                results[number] = job()
        except (Empty, Stopped):
            pass
        except BaseException as error:
            errors.append(error)
        finally:
            ended.release()

    # Daemons: should one sit in a system call that nothing wakes, it must not keep the process from ending.
    threads = [
        threading.Thread(target=work, name=f"tinytorch-datasets-fetch-{n}", daemon=True)
        for n in range(min(workers, count))
    ]
    at_work = 0
    try:
        for thread in threads:
            thread.start()
            at_work += 1
        # Not by thread.join: until Python 3.13, a Ctrl-C inside it takes the thread for ended, which it is not
        # (see bpo-45274 in threading.py, whose remedy cannot tell whether the join or the thread has the lock).
        while at_work and not errors:
            at_work -= ended.acquire(timeout=poll_s)
    finally:
        stop.set()
        until = time.monotonic() + farewell_s
        while at_work and (left_s := until - time.monotonic()) > 0:
            at_work -= ended.acquire(timeout=left_s)
    if errors:
        raise errors[0]
    return [results[number] for number in range(count)]


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


class Unwanted(Exception):
    """Nobody waits for this any more: someone pressed Ctrl-C, or another job has failed."""


_of_this_thread = threading.local()  # `ended`, in those that do jobs: the event that says so


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


def ahead(batches: Iterator[T], count: int) -> Iterator[T]:
    """The same batches, up to `count` of them made ahead in a thread: NumPy lets go of the interpreter meanwhile."""
    import queue

    made: queue.Queue[Callable[[], T | None]] = queue.Queue(count)
    stopped = threading.Event()

    def put(result: Callable[[], T | None]) -> None:
        while not stopped.is_set():
            try:
                return made.put(result, timeout=0.1)
            except queue.Full:
                continue
        return None

    def work() -> None:
        try:
            for batch in batches:
                put(lambda batch=batch: batch)  # type: ignore[misc]
                if stopped.is_set():
                    return
            put(lambda: None)
        except BaseException as error:  # raised where the batches are taken
            put(lambda error=error: _raise(error))  # type: ignore[misc]

    thread = begun(work, "batches ahead")
    if thread is None:
        yield from batches
        return
    try:
        while (batch := made.get()()) is not None:
            yield batch
    finally:
        stopped.set()
        wait_for(thread)


def _raise(error: BaseException) -> None:
    raise error
