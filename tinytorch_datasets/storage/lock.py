"""File locks between processes, for downloads and for decoding.

The lock is the operating system's (by filelock), so it dies with its holder. Where there are no locks (some network
file systems), where one is granted to everybody, where a symbolic link would lead it elsewhere, or where its holder
makes no progress for long, the work is done without one: each such process writes under a name of its own, which costs
time and harms nothing.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tinytorch_datasets.errors import StorageError, printable
from tinytorch_datasets.storage.files import make_folder, names_in, open_safely, symlink_error, unlink
from tinytorch_datasets.storage.memmap import is_link, open_regular

if TYPE_CHECKING:
    from filelock import BaseFileLock

MOST_NOTE = 1_000  # bytes, of which a computer's name has 64 at most
HOLDER_LIVES_S = 60 * 60  # a note of a holder on another computer that is older is of one that was killed


def _ignore(message: str) -> None:
    pass


def _no_progress() -> None:
    pass


@dataclass(frozen=True)
class Waiting:
    """How long to wait for a lock, and what is done meanwhile.

    Attributes:
        progress: Returns how far the holder is; one for which that stays the same for `silence_s` is taken for dead.
        sleep: Waits so many seconds; may raise, if nobody wants the lock any more.
        report: Takes a line about a wait, or about a lock that cannot be had.
        work: What the holder is doing, for that line.
    """

    progress: Callable[[], object] = _no_progress
    sleep: Callable[[float], None] = time.sleep
    report: Callable[[str], None] = _ignore
    work: str = "decoding"
    poll_s: float = 0.1
    notice_after_s: float = 1.0
    silence_s: float = 600.0


class Locks:
    """The locks in a folder, for whoever takes many of them: what is true of the folder is looked at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_made = self._keeps_others_out = False

    def make(self) -> None:
        """Make the folder, if that was not done yet; raise StorageError where it cannot be, or a link leads away."""
        if not self._is_made:
            make_folder(self._folder)
            self._is_made = True

    def keeps_others_out(self, second: BaseFileLock) -> bool:
        """Check whether a lock that is held is refused to a second descriptor; one that was is known to be."""
        self._keeps_others_out = self._keeps_others_out or _is_refused_to_others(second)
        return self._keeps_others_out

    def path(self, label: str) -> Path:
        """Return where the lock of that label is."""
        name = label.replace("/", "--").encode()[-200:].decode(errors="ignore")  # most file systems allow 255 bytes
        return self._folder / f"{name}.lock"


@contextmanager
def hold_lock(locks: Path | Locks, label: str, waiting: Waiting) -> Iterator[bool]:
    """Hold the lock of that label. Yields True, or False if the work must be done without."""
    from filelock import FileLock, Timeout  # only when something is to be fetched or decoded

    locks = locks if isinstance(locks, Locks) else Locks(locks)
    path = locks.path(label)
    holder = path.with_suffix(".holder")
    wait = _Wait(label, holder, waiting)
    lock: BaseFileLock | None = None

    def new_lock() -> BaseFileLock:
        # A soft lock is a file that outlives its holder: rather none.
        return FileLock(path, fallback_to_soft=False, is_singleton=False, thread_local=False)

    try:
        locks.make()
        if is_link(path):
            raise symlink_error(path)
        lock = new_lock()
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                if wait.is_in_vain():
                    lock = None
                    break
                waiting.sleep(waiting.poll_s)
    except (OSError, NotImplementedError) as error:
        reason = error.what if isinstance(error, StorageError) else error
        waiting.report(f"{label}: no lock can be had ({reason}); if others fetch it too, each does so for itself")
        lock = None
    if lock is not None and not (locks.keeps_others_out(new_lock()) and _is_abandoned(holder)):
        waiting.report(f"{label}: a lock here keeps nobody out; if others fetch it too, each does so for itself")
        lock.release()
        lock = None
    if lock is None:
        yield False
        return
    try:
        with suppress(OSError):
            note = open_safely(holder, os.O_TRUNC)
            try:
                os.write(note, f"process {os.getpid()} on {socket.gethostname()}".encode())
            finally:
                os.close(note)
        yield True
    finally:
        with suppress(OSError):
            unlink(holder, missing_ok=True)
        lock.release()


def _is_refused_to_others(second: BaseFileLock) -> bool:
    """Check whether a lock that is held is refused to a second descriptor: Lustre, and some NFS, give it to all."""
    from filelock import Timeout

    try:
        second.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    second.release()
    return False


class Holder(NamedTuple):
    """Who notes to hold a lock, of what, since when (seconds since 1970); `is_gone` where that process has ended."""

    label: str
    process: str
    since: float
    is_gone: bool


def holders(locks: Path) -> Iterator[Holder]:
    """Yield the notes of all who hold a lock in that folder, and touch no lock: whoever wants one polls it now."""
    for name in names_in(locks):
        path = locks / name
        if path.suffix != ".holder":
            continue
        with suppress(OSError):  # it has just gone
            since = os.lstat(path).st_mtime
            process = _shown_note(path)
            yield Holder(printable(path.stem), process, since, _is_abandoned(path, ours_counts=True))


def _is_abandoned(holder: Path, *, ours_counts: bool = False) -> bool:
    """Check that no other process says that it holds the lock that was just given to us.

    A lock may be good between the processes of one computer and unknown to all others.
    """
    try:
        about = os.lstat(holder)
        if not stat.S_ISREG(about.st_mode) or time.time() - about.st_mtime > HOLDER_LIVES_S:
            return True
        words = _note(holder).decode().split()  # process 4711 on lab-3
        number, host = int(words[1]), words[3]
    except (OSError, ValueError, IndexError):
        return True
    if host != socket.gethostname():
        return False
    if number == os.getpid():
        return not ours_counts
    if os.name == "nt":  # where a signal of 0 is none
        return True
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):  # there are no processes of such numbers
        return True
    except OSError:
        return False
    return False


def _note(holder: Path) -> bytes:
    """Read a note, or its beginning: whoever may write to the folder decides what it says."""
    with os.fdopen(open_regular(holder), "rb") as file:
        return file.read(MOST_NOTE)


def _shown_note(holder: Path) -> str:
    return printable(_note(holder).decode(errors="replace")) or "another process"


class _Wait:
    """The wait for another process: reported once, and given up when that one makes no progress."""

    def __init__(self, label: str, holder: Path, waiting: Waiting) -> None:
        self._label, self._holder, self._waiting = label, holder, waiting
        self._since = self._last_progress = time.monotonic()
        self._is_reported = False
        self._progress: object = None

    def is_in_vain(self) -> bool:
        """Check whether the holder has made no progress for so long that it is taken for dead."""
        now, waiting = time.monotonic(), self._waiting
        progress = waiting.progress()
        if progress != self._progress:
            self._progress, self._last_progress = progress, now
        if not self._is_reported and now - self._since >= waiting.notice_after_s:
            self._is_reported = True
            waiting.report(f"{self._label}: waiting for {self._holder_name()}, which is {waiting.work} it")
        if now - self._last_progress < waiting.silence_s:
            return False
        silence = f"has made no progress for {waiting.silence_s:g} s"
        waiting.report(f"{self._label}: {self._holder_name()} {silence}; going on without it")
        return True

    def _holder_name(self) -> str:
        try:
            return _shown_note(self._holder)
        except OSError:
            return "another process"
