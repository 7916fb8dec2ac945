"""A yardstick: how long "soon" is on the machine that the tests run on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Counting to a million takes a fast machine 30 ms, and a slow and busy one five times as long.
A_MILLION = 1_000_000


@contextmanager
def soon(millions: float = 150, *, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """What happens inside takes no longer than counting to so many millions does, by the same clock.

    By `time.perf_counter`, waiting counts as well.
    """
    began = clock()
    try:
        yield
    finally:
        took = clock() - began
    if "MUTANT_UNDER_TEST" in os.environ:  # mutmut calls each function by way of another, which takes its own time
        return
    allowed = millions * _million(clock) if took > 0.5 else took  # what is done at once needs no yardstick
    assert took <= allowed, f"took {took:.1f} s, and here {allowed:.1f} s are soon"


def _million(clock: Callable[[], float]) -> float:
    best = float("inf")
    for _ in range(3):
        began, count = clock(), 0
        for number in range(A_MILLION):
            count += number
        best = min(best, clock() - began)
    return best
