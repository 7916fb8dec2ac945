"""Work that is done beside ours: in order, one piece at a time, and no error is lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tinytorch_datasets.concurrency import Behind


@pytest.fixture
def behind() -> Iterator[Behind]:
    """Somebody who does jobs."""
    with contextlib.closing(Behind("test")) as one:
        yield one


def test_jobs_are_done_in_order_and_by_another_thread(behind: Behind) -> None:
    """All of them, by the time that `wait` comes back."""
    done: list[int] = []
    threads: set[int] = set()
    for number in range(100):
        behind.do(partial(done.append, number))
        behind.do(lambda: threads.add(threading.get_ident()))
    behind.wait()

    assert done == list(range(100))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_no_more_than_one_is_under_way(behind: Behind) -> None:
    """Who hands over a second one waits for the first: what jobs hold is not to pile up."""
    gate = threading.Event()
    behind.do(gate.wait)
    threading.Timer(0.05, gate.set).start()
    began = time.monotonic()
    behind.do(lambda: None)

    assert gate.is_set()
    assert time.monotonic() - began > 0.02


def test_an_error_meets_who_hands_over_the_next(behind: Behind) -> None:
    """And nothing more is done, nor is it forgotten at the end."""
    done = []

    def fail() -> None:
        raise OSError(28, "No space left on device")

    behind.do(fail)
    with pytest.raises(OSError, match="No space left"):
        behind.do(lambda: done.append(1))
    with pytest.raises(OSError, match="No space left"):
        behind.wait()
    assert done == []


def test_closing_ends_the_thread() -> None:
    """Whatever happened before."""
    before = threading.active_count()
    for _ in range(3):
        with contextlib.closing(Behind("test")) as one:
            one.do(partial(divmod, 1, 0))

    assert threading.active_count() == before
