"""Is it worth asking the same mirror again, and when?"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from ._answer import GivenUp, Interrupted
from ._patience import Patience
from ._stop import Stop

T = TypeVar("T")


class Tries:
    """The tries of one mirror. Those that brought more bytes than ever before are not in vain."""

    def __init__(self, bytes_here: int, patience: Patience) -> None:
        self._most_bytes = bytes_here
        self._patience = patience
        self._in_vain = 0
        self._in_all = 0

    def wait_after(self, trouble: Interrupted, bytes_here: int) -> float:
        """The seconds to wait before the next try; GivenUp if there should be none."""
        self._in_all += 1
        self._in_vain = self._in_vain + 1 if bytes_here <= self._most_bytes else 0
        self._most_bytes = max(self._most_bytes, bytes_here)
        if self._in_vain >= self._patience.tries or self._in_all >= self._patience.tries_in_all:
            reason = trouble.reason if self._in_all == 1 else f"{trouble.reason} ({self._in_all} tries)"
            raise GivenUp(reason, kind=trouble.kind) from trouble
        if trouble.wait_s is None:
            longest = min(self._patience.backoff_first_s * 2**self._in_vain, self._patience.backoff_limit_s)
            return random.uniform(longest / 2, longest)  # thirty students must not come back all at once
        if trouble.wait_s > self._patience.retry_after_limit_s:
            reason = f"{trouble.reason} (it asks to wait {trouble.wait_s:,.0f} s)"
            raise GivenUp(reason, kind=trouble.kind) from trouble
        return trouble.wait_s


def patiently(ask: Callable[[], T], patience: Patience, stop: Stop) -> T:
    """What `ask` returns, asked again as long as that may help; each time from the beginning."""
    tries = Tries(0, patience)
    while True:
        try:
            return ask()
        except Interrupted as trouble:
            stop.sleep(tries.wait_after(trouble, 0))
