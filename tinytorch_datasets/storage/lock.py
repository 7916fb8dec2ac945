"""File locks between processes, for downloads and for decoding."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.storage.files import make_folder, open_safely, symlink_error

TURN_S = 600


@contextlib.contextmanager
def turn(locks: Path, name: str) -> Iterator[None]:
    """Take turns with other processes at decoding the same thing, so that one does it and the rest find it done.

    Only a saving: what is written is whole or absent with no turns taken, so where there are no locks, or the
    one who has the turn takes too long, we go on without.
    """
    from filelock import FileLock, Timeout

    path = locks / f"{name}.lock"
    lock = FileLock(path, timeout=TURN_S, fallback_to_soft=False, is_singleton=False)
    try:
        make_folder(locks)
        if path.is_symlink():
            raise symlink_error(path)
        lock.acquire()
    except (OSError, NotImplementedError, Timeout):
        yield
        return
    try:
        yield
    finally:
        lock.release()


log = logging.getLogger("tinytorch_datasets.fetch")


@contextmanager
def held(
    locks: Path,
    label: str,
    *,
    so_far: Callable[[], object],
    stop: Cancellation,
    poll_s: float,
    told_after_s: float,
    silence_s: float,
) -> Iterator[bool]:
    """Hold the lock of one file. Yields True, or False if it must be done without.

    `so_far` says how far the holder is; one for which that stays the same for `silence_s` is taken for dead.

    The lock is the operating system's, so it dies with its holder. Where there are no locks (some network file
    systems), where a link would lead them elsewhere, or where a holder sits on one for minutes and brings nothing,
    we go on without: every such process downloads for itself under a name of its own, which costs time and harms
    nothing.
    """
    from filelock import BaseFileLock, FileLock, Timeout  # only when something is to be fetched

    name = label.replace("/", "--").encode()[-200:].decode(errors="ignore")  # most file systems allow 255 bytes
    path = locks / f"{name}.lock"
    holder = path.with_suffix(".holder")
    waiting = _Waiting(label, holder, so_far, told_after_s, silence_s)
    lock: BaseFileLock | None = None
    try:
        make_folder(locks)
        if path.is_symlink():
            raise symlink_error(path)
        # A soft lock is a file that outlives its holder: rather none.
        lock = FileLock(path, fallback_to_soft=False, is_singleton=False, thread_local=False)
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                if waiting.is_in_vain():
                    lock = None
                    break
                stop.sleep(poll_s)
    except (OSError, NotImplementedError) as error:
        why = error.what if isinstance(error, StorageError) else error
        log.warning("%s: no lock can be had (%s); if others fetch it too, each does so for itself", label, why)
        lock = None
    if lock is None:
        yield False
        return
    try:
        with suppress(OSError), os.fdopen(open_safely(holder, os.O_TRUNC), "w") as told:
            told.write(f"process {os.getpid()} on {socket.gethostname()}")
        yield True
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


class _Waiting:
    """The wait for another process: said once, and given up when that one brings nothing."""

    def __init__(
        self, label: str, holder: Path, so_far: Callable[[], object], told_after_s: float, silence_s: float
    ) -> None:
        self._label, self._holder, self._so_far = label, holder, so_far
        self._told_after_s, self._silence_s = told_after_s, silence_s
        self._since = self._stirred = time.monotonic()
        self._told = False
        self._seen: object = None

    def is_in_vain(self) -> bool:
        """Whether the holder has brought no byte for so long that it is taken for dead."""
        now = time.monotonic()
        seen = self._so_far()
        if seen != self._seen:
            self._seen, self._stirred = seen, now
        if not self._told and now - self._since >= self._told_after_s:
            self._told = True
            log.warning("%s: waiting for %s, which is fetching it", self._label, self._name())
        if now - self._stirred < self._silence_s:
            return False
        log.warning(
            "%s: %s has brought nothing for %g s; going on without it", self._label, self._name(), self._silence_s
        )
        return True

    def _name(self) -> str:
        try:
            return self._holder.read_text() or "another process"
        except OSError:
            return "another process"
