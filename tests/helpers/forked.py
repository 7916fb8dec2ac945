"""A fork of this process, for what a test must not do to itself: become another user, or have less memory."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from typing import Any

NOBODY = 65_534


def forked(work: Callable[[], None]) -> int:
    """Start a process that does this and ends; return its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which do nothing meanwhile
        pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def in_a_fork(work: Callable[[], Any], uid: int | None = None) -> Any:
    """Return what this returns in a process of its own, that of another user if asked for, or the error it raises."""
    reader, writer = os.pipe()

    def answer() -> None:
        try:
            if uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            result = work()
        except BaseException as error:
            result = error
        os.write(writer, pickle.dumps(result))

    pid = forked(answer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        pickled = pipe.read()
    os.waitpid(pid, 0)
    return pickle.loads(pickled)
