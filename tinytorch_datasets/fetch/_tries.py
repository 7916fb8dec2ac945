"""Is it worth asking the same mirror again, and when?"""

from __future__ import annotations

import random

from ._answer import Interrupted
from ._patience import Patience


class Tries:
    """The tries of one mirror. Those that brought more bytes than ever before are not in vain."""

    def __init__(self, bytes_here: int, patience: Patience) -> None:
        self._most_bytes = bytes_here
        self._patience = patience
        self._in_vain = 0
        self._in_all = 0

    def wait_after(self, trouble: Interrupted, bytes_here: int) -> float:
        """The seconds to wait before the next try; Refused if there should be none."""
        self._in_all += 1
        self._in_vain = self._in_vain + 1 if bytes_here <= self._most_bytes else 0
        self._most_bytes = max(self._most_bytes, bytes_here)
        if self._in_vain >= self._patience.tries or self._in_all >= self._patience.tries_in_all:
            raise trouble.for_good(f" ({self._in_all} tries)" if self._in_all > 1 else "") from trouble
        if trouble.wait_s is None:
            longest = min(self._patience.backoff_first_s * 2**self._in_vain, self._patience.backoff_limit_s)
            return random.uniform(longest / 2, longest)  # thirty students must not come back all at once
        if trouble.wait_s > self._patience.retry_after_limit_s:
            asked = f" (it asks to wait {trouble.wait_s:,.0f} s)"
            raise trouble.for_good(asked) from trouble
        return trouble.wait_s
