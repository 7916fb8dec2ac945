"""What does a command tell the shell in the end?"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    WELL = 0
    DIFFERS = 1  # something differs from the manifest, or could not be had
    MISUSED = 2  # the manifest or the call is wrong
    NETWORK = 3  # an audit found all well but for addresses that could not be asked
    INTERRUPTED = 130  # by Ctrl-C: 128 and the number of the signal, as shells count
