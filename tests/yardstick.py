"""How long is soon, on the machine that the tests run on?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

# Counting to a million takes a fast machine 30 ms, and a slow and busy one five times as long.
A_MILLION = 1_000_000


@contextmanager
def soon(millions: float = 150) -> Iterator[None]:
    """What happens inside takes no more processor time than counting to so many millions does.

    What was meant to be caught takes thousands: patterns that go back, lists that are searched for each of their items.
    """
    began = time.process_time()
    try:
        yield
    finally:
        took = time.process_time() - began
    allowed = millions * _million() if took > 0.5 else took
    assert took <= allowed, f"took {took:.1f} s of processor time, and here {allowed:.1f} s are soon"


def _million() -> float:
    best = float("inf")
    for _ in range(3):
        began, count = time.process_time(), 0
        for number in range(A_MILLION):
            count += number
        best = min(best, time.process_time() - began)
    return best
