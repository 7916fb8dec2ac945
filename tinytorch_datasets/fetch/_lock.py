"""Who fetches a file that several processes want at once?"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinytorch_datasets.disk import make_folder, through
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.file_names import PART

from ._beside import part_beside
from ._patience import Patience
from ._room import open_safely
from ._stop import Stop

log = logging.getLogger("tinytorch_datasets.fetch")


@contextmanager
def held(locks: Path, label: str, target: Path, *, patience: Patience, stop: Stop) -> Iterator[bool]:
    """Hold the lock of one file. Yields True, or False if it must be done without.

    The lock is the operating system's, so it dies with its holder. Where there are no locks (some network file
    systems), where a link would lead them elsewhere, or where a holder sits on one for minutes and brings nothing,
    we go on without: every such process downloads for itself under a name of its own, which costs time and harms
    nothing.
    """
    from filelock import BaseFileLock, FileLock, Timeout  # only when something is to be fetched

    name = label.replace("/", "--").encode()[-200:].decode(errors="ignore")  # most file systems allow 255 bytes
    path = locks / f"{name}.lock"
    holder = path.with_suffix(".holder")
    waiting = _Waiting(label, target, holder, patience)
    lock: BaseFileLock | None = None
    try:
        make_folder(locks)
        if path.is_symlink():
            raise through(path)
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
                stop.sleep(patience.poll_s)
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


def lone_part(target: Path) -> Path:
    """A part of one's own, for whoever has no lock: no other process writes to this name."""
    return target.with_name(f"{target.name}.{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}{PART}")


class _Waiting:
    """The wait for another process: said once, and given up when that one brings nothing."""

    def __init__(self, label: str, target: Path, holder: Path, patience: Patience) -> None:
        self._label, self._target, self._holder, self._patience = label, target, holder, patience
        self._since = self._stirred = time.monotonic()
        self._told = False
        self._seen: tuple[int, int] | None = None

    def is_in_vain(self) -> bool:
        """Whether the holder has brought no byte for so long that it is taken for dead."""
        now = time.monotonic()
        seen = self._part_now()
        if seen != self._seen:
            self._seen, self._stirred = seen, now
        if not self._told and now - self._since >= self._patience.lock_told_after_s:
            self._told = True
            log.warning("%s: waiting for %s, which is fetching it", self._label, self._name())
        if now - self._stirred < self._patience.holder_silence_s:
            return False
        silence = self._patience.holder_silence_s
        log.warning("%s: %s has brought nothing for %g s; going on without it", self._label, self._name(), silence)
        return True

    def _name(self) -> str:
        try:
            return self._holder.read_text() or "another process"
        except OSError:
            return "another process"

    def _part_now(self) -> tuple[int, int] | None:
        try:
            about = part_beside(self._target).stat()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            return None
        return about.st_size, about.st_mtime_ns
