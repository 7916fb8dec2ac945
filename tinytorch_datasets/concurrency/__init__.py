"""Concurrency: jobs side by side, items made ahead, cancelling, held files.

`run_all` returns what several jobs return. `prefetch` makes the next few items of an iterable, and no more than these,
while the last one is in use; `mapped` does so on every core. `Cancelled` is raised where nobody waits any more.

Threads are of use because zlib, ISA-L, bz2, lzma, hashlib, NumPy and sockets let other threads run while they work.
All of them are daemons: should one sit in a system call that nothing wakes, it must not keep the process from ending,
as the threads of a `ThreadPoolExecutor` would.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Thread, current_thread
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Sleep = Callable[[float], None]

POLL_S = 0.1  # how often a waiting main thread looks for Ctrl-C, where a signal does not wake it
HELD_FOR_S, FIRST_PAUSE_S = 2.5, 0.02  # the longest wait for a program that has a file open; pauses in it double
FAREWELL_S = 5.0  # the longest wait for cancelled jobs; each ends at its next block

# Windows' errors of files open elsewhere: shared, locked, still in their folder; of mapped ones, or of a missing right.
HELD, DENIED_OR_HELD = frozenset({32, 33, 145}), 5


class Cancelled(Exception):
    """Nobody waits for this any more: someone pressed Ctrl-C, or another job has failed."""


class Cancellation:
    """What cancels a group of jobs: one flag for all their threads. It also wakes those that sit in a read."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._wakers: list[Callable[[], None]] = []

    def cancel(self) -> None:
        """Ask every thread to end, and shut the sockets that they are reading from."""
        self._event.set()
        for wake in tuple(self._wakers):
            with suppress(Exception):  # a socket that is closed already needs no waking
                wake()

    def check(self) -> None:
        """Raise Cancelled if this has been cancelled."""
        if self._event.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until this is cancelled: then raise Cancelled."""
        if self._event.wait(seconds):
            raise Cancelled

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` if this is cancelled inside the block."""
        self._wakers.append(wake)
        try:
            self.check()  # it may have come just before
            yield
        finally:
            self._wakers.remove(wake)


_of_this_thread = threading.local()  # `cancellation`, in those that work for `run_all` or a run of tasks


def check_cancelled() -> None:
    """Raise Cancelled if this thread works on a job that nobody waits for."""
    cancellation: Cancellation | None = getattr(_of_this_thread, "cancellation", None)
    if cancellation is not None:
        cancellation.check()


@contextmanager
def cancelled_by(cancellation: Cancellation | None) -> Iterator[None]:
    """Let `check_cancelled` ask this cancellation, in this thread and inside the block."""
    before = getattr(_of_this_thread, "cancellation", None)
    _of_this_thread.cancellation = cancellation
    try:
        yield
    finally:
        _of_this_thread.cancellation = before


def is_held(error: OSError, is_writable: Callable[[], bool]) -> bool:
    """Check whether another program is in the way; `is_writable` is asked where it may be a right that is missing."""
    return (number := getattr(error, "winerror", None)) in HELD or (number == DENIED_OR_HELD and is_writable())


def while_held(action: Callable[[], T], is_writable: Callable[[], bool], *, sleep: Sleep = time.sleep) -> T:
    """Call `action`, which moves or removes a file, and call it again while another program has the file open.

    On Windows, scanners open each new file for a moment. All else is raised at once, on other systems everything.
    """
    left, pause = HELD_FOR_S, FIRST_PAUSE_S
    while True:
        try:
            return action()
        except OSError as error:
            if left <= 0 or not is_held(error, is_writable):
                raise
        check_cancelled()
        sleep(min(pause, left))
        left, pause = left - pause, 2 * pause


def run_all(
    jobs: Iterable[Callable[[], T]],
    *,
    sizes: Sequence[int] | None = None,
    workers: int | None = None,
    cancellation: Cancellation | None = None,
    poll_s: float = POLL_S,
    farewell_s: float = FAREWELL_S,
) -> list[T]:
    """Run all jobs, some at once, and return what they returned, in their order.

    The first error of any job cancels the others and is raised; so does Ctrl-C. Even a single job has a thread: the
    main thread must be free to hear the signal while the job sits in a read.

    Args:
        jobs: What to run. A job that may take long calls `check_cancelled` (or `cancellation.check`) now and then.
        sizes: How large each job is, in any unit; the largest begin first. None begins them in their order.
        workers: How many run at once; None for as many as there are cores.
        cancellation: What else may cancel them. It is cancelled when this returns or raises.
        poll_s: How often the main thread looks for Ctrl-C, in seconds.
        farewell_s: After an error, the longest wait for the other jobs to end, in seconds.

    >>> run_all([lambda: "small", lambda: "large"], sizes=[1, 10**9])
    ['small', 'large']
    """
    numbered = list(enumerate(jobs))
    if sizes is not None:
        numbered.sort(key=lambda job: -sizes[job[0]])
    waiting: SimpleQueue[tuple[int, Callable[[], T]]] = SimpleQueue()
    for each in numbered:
        waiting.put(each)
    cancellation = cancellation or Cancellation()
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    ended = threading.Semaphore(0)

    def work() -> None:
        _of_this_thread.cancellation = cancellation
        try:
            while True:
                number, job = waiting.get_nowait()
                cancellation.check()
                results[number] = job()
        except (Empty, Cancelled):
            pass
        except BaseException as error:  # Ctrl-C too: raised again by whoever waits for the jobs
            errors.append(error)
        finally:
            _of_this_thread.cancellation = None
            ended.release()

    at_work = 0
    try:
        for number in range(min(workers or os.cpu_count() or 1, len(numbered))):
            if _start(work, f"tinytorch-datasets-job-{number}") is None:
                if not at_work:
                    at_work += 1
                    work()  # without threads it is slower, and right
                break
            at_work += 1
        # Not by thread.join: until Python 3.13, a Ctrl-C inside it takes the thread for ended, which it is not
        # (see bpo-45274 in threading.py, whose remedy cannot tell whether the join or the thread has the lock).
        while at_work and not errors:
            at_work -= ended.acquire(timeout=poll_s)
    finally:
        cancellation.cancel()
        until = time.monotonic() + farewell_s
        while at_work and (left_s := until - time.monotonic()) > 0:
            at_work -= ended.acquire(timeout=left_s)
    if errors:
        raise errors[0]
    if len(results) < len(numbered):  # cancelled from outside
        raise Cancelled
    return [results[number] for number in range(len(numbered))]


class Prefetched(Generic[T]):
    """The items of an iterable, some of them made ahead; see `prefetch`. An iterator, and a context manager."""

    def __init__(self, items: Iterable[T], depth: int, name: str, stop: Callable[[], None] | None) -> None:
        self._items, self._stop, self._closed = iter(items), stop, False
        self._room: SimpleQueue[None] = SimpleQueue()  # something for each item that may be made
        self._made: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        for _ in range(depth):
            self._room.put(None)
        self._thread = None if _is_address_space_limited() else _start(self._work, name)

    def __iter__(self) -> Prefetched[T]:
        return self

    def __next__(self) -> T:
        if self._thread is None:
            return next(self._items)
        item, error = self._made.get()
        if error is not None:
            self._made.put((None, error))  # for whoever asks again
            try:
                raise error
            finally:
                del error  # its traceback has this frame
        self._room.put(None)
        return item  # type: ignore[return-value]

    def __enter__(self) -> Prefetched[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, if there is one, and wait until it has ended."""
        self._closed = True
        if self._stop is not None:
            self._stop()
        self._room.put(None)
        # Garbage is closed by any thread, even by that one, which cannot wait for itself; and it is closed when Python
        # exits, by when other threads are held for ever.
        if self._thread not in (None, current_thread()) and not sys.is_finalizing():
            self._thread.join()
        self._made = SimpleQueue()  # an error in it has us in its traceback

    def _work(self) -> None:
        item: T | None
        while True:
            self._room.get()
            if self._closed:
                return
            try:
                item = next(self._items)
            except BaseException as error:  # StopIteration too; for whoever reads that far
                self._made.put((None, error))
                return
            self._made.put((item, None))
            item = None  # it may be large, and is not to be held once it is taken


def prefetch(
    items: Iterable[T], depth: int, *, name: str = "prefetch", stop: Callable[[], None] | None = None
) -> Prefetched[T]:
    """Return the same items, up to `depth` of them made in a thread before they are asked for.

    An error is raised where its item would have come, and again for whoever asks again. Close what is returned, or use
    it in a `with` block: only that ends the thread. Where there are no threads, or none left, items are made as they
    are asked for.

    Args:
        items: What makes the items. It is not closed: whoever made it does that.
        depth: How many items may be made, or be in the making, and not yet taken.
        name: The name of the thread.
        stop: What to call on closing, so that an item in the making comes to an end of some kind soon.

    >>> with prefetch(range(3), 2) as numbers:
    ...     list(numbers)
    [0, 1, 2]
    """
    return Prefetched(items, depth, name, stop)


def prefetched(
    items: Iterable[T], depth: int, *, name: str = "prefetch", stop: Callable[[], None] | None = None
) -> Generator[T, None, None]:
    """Yield what `prefetch` gives; the thread ends with the generator."""
    with prefetch(items, depth, name=name, stop=stop) as made:
        yield from made


def mapped(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    weigh: Callable[[T], int],
    most: int,
    workers: int | None = None,
    name: str = "map",
    stop: Callable[[], None] | None = None,
) -> Generator[R, None, None]:
    """Yield what a function returns for each item, in their order, while threads are at the items that follow.

    An error, of the function or of the items, is raised in its place: after the results of all items before it. Where
    there are no threads, the function is called as its results are asked for. The threads end with the generator.

    Args:
        function: What is called in several threads at once.
        items: What it is called with. They are asked for in the thread that asks for results.
        weigh: How much an item counts: its bytes, and those of its result.
        most: Items are taken while those whose results are not yet taken weigh less than this, and one always is.
        workers: How many threads there are; None for as many as there are cores, and 0 for none.
        name: What their names begin with.
        stop: What to call on closing, also by Ctrl-C, so that calls in the threads come to an end of some kind soon.

    >>> list(mapped(abs, [-2, 0, 1], weigh=lambda item: 1, most=2))
    [2, 0, 1]
    """
    waiting: SimpleQueue[tuple[T, SimpleQueue[tuple[R | None, BaseException | None]]] | None] = SimpleQueue()

    def work() -> None:
        while (job := waiting.get()) is not None:
            item, outcome = job
            try:
                outcome.put((function(item), None))
            except BaseException as error:  # raised again in its place, by whoever reads that far
                outcome.put((None, error))
            del job, item, outcome  # they may be large, and are not to be held while there is nothing to do

    wanted = 0 if _is_address_space_limited() else (os.cpu_count() or 1) if workers is None else workers
    started = (_start(work, f"{name}-{number}") for number in range(wanted))
    threads = [thread for thread in started if thread is not None]
    if not threads:
        yield from map(function, items)
        return
    source, ended, weight = iter(items), False, 0
    outcomes: deque[tuple[SimpleQueue[tuple[R | None, BaseException | None]], int]] = deque()
    try:
        while True:
            while not ended and (weight < most or not outcomes):
                outcome: SimpleQueue[tuple[R | None, BaseException | None]] = SimpleQueue()
                try:
                    item = next(source)
                except BaseException as error:  # raised in its place, after the items before it
                    ended = True
                    if not isinstance(error, StopIteration):
                        outcome.put((None, error))
                        outcomes.append((outcome, 0))
                    break
                outcomes.append((outcome, weigh(item)))
                weight += outcomes[-1][1]
                waiting.put((item, outcome))
                del item
            if not outcomes:
                return
            outcome, its = outcomes.popleft()
            result, failure = outcome.get()
            if failure is not None:
                try:
                    raise failure
                finally:
                    del failure  # its traceback has this frame
            weight -= its
            yield result  # type: ignore[misc]
            del result
    finally:
        if stop is not None:
            stop()
        with suppress(Empty):
            while True:
                waiting.get_nowait()
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            if thread is not current_thread() and not sys.is_finalizing():
                thread.join()


def _start(work: Callable[[], None], name: str) -> Thread | None:
    """Return a thread at that work; None where there are none, or none left, or no room for one."""
    thread = Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def _is_address_space_limited() -> bool:
    """Check for a limit of address space: Linux reserves 64 MiB of it for a thread's heap, used or not."""
    try:
        import resource  # not on Windows
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
