"""Items made ahead, in threads, while others are in use.

`prefetch` makes the next few items of an iterable, and no more than these, while the last one is in use; `mapped` does
so on every core.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import current_thread
from typing import Generic, TypeVar

from tinytorch_datasets.concurrency import is_address_space_limited, start_thread

T = TypeVar("T")
R = TypeVar("R")


class Prefetched(Generic[T]):
    """The items of an iterable, some of them made ahead; see `prefetch`. An iterator, and a context manager."""

    def __init__(self, items: Iterable[T], depth: int, name: str, stop: Callable[[], None] | None) -> None:
        self._items, self._stop, self._closed = iter(items), stop, False
        self._room: SimpleQueue[None] = SimpleQueue()  # something for each item that may be made
        self._made: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        for _ in range(depth):
            self._room.put(None)
        self._thread = None if is_address_space_limited() else start_thread(self._work, name)

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


# A thread is worth its cost where its user works between items, at least this part of the time that it takes to make
# one, and at least about as long as it takes to pass one from thread to thread.
WORTH_A_PART, WORTH_S = 0.25, 1e-4


def prefetched_beside_work(items: Iterable[T], depth: int, *, name: str = "prefetch") -> Generator[T, None, None]:
    """Yield what `prefetched` gives, from a thread as soon as two items in a row were worked on for some time.

    Whoever takes one item after the other does not gain by a thread, and would wait for each to be passed on.
    """
    source, worked = iter(items), 0
    while worked < 2:
        begun = time.perf_counter()
        try:
            item = next(source)
        except StopIteration:
            return
        made = time.perf_counter()
        yield item
        del item  # it may be large
        worked_s = time.perf_counter() - made
        worked = worked + 1 if worked_s > max(WORTH_S, WORTH_A_PART * (made - begun)) else 0
    yield from prefetched(source, depth, name=name)


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

    wanted = 0 if is_address_space_limited() else (os.cpu_count() or 1) if workers is None else workers
    started = (start_thread(work, f"{name}-{number}") for number in range(wanted))
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
