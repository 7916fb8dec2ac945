"""`.part` files: resumed, hashed, moved into place.

`<name>.part` stands beside the target and survives a kill, so that the next fetch goes on where this one stopped.
`<name>.part.json` remembers which mirror gave it and its validator. While the whole file is on its way into place it
is in the folder `<name>.part.d`; a fetch that is killed just there leaves that folder, and the next one takes the
file back out of it.
"""

from __future__ import annotations

import errno
import glob
import json
import logging
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tinytorch_datasets.manifest.filenames import BESIDE, NOTE, PART, STAGE
from tinytorch_datasets.plan import File
from tinytorch_datasets.storage.files import open_safely, open_to_read, symlink_error, writing_at_home
from tinytorch_datasets.storage.memmap import StatSignature, stat_signature
from tinytorch_datasets.verify.diagnose import HEAD_BYTES


def lone_part(target: Path) -> Path:
    """A part of one's own, for whoever has no lock: no other process writes to this name."""
    import socket  # only for whoever fetches without a lock

    return target.with_name(f"{target.name}.{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}{PART}")


ABANDONED_S = 24 * 60 * 60


def part_beside(target: Path) -> Path:
    """Where the bytes of `target` wait until they are whole."""
    return target.with_name(target.name + PART)


def progress_of(target: Path) -> tuple[int, int] | None:
    """How far whoever fetches `target` is: the size of its part, and when that grew. None before the first byte."""
    try:
        about = part_beside(target).stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return None
    return about.st_size, about.st_mtime_ns


def leftovers(target: Path) -> list[Path]:
    """All that fetches of `target` have left beside it, if they were interrupted."""
    beside = (target.with_name(target.name + suffix) for suffix in BESIDE)
    return [*(path for path in beside if path.exists() or path.is_symlink()), *_lone(target)]


def sweep(target: Path) -> None:
    """Delete the parts that processes without a lock left when they were killed, a day or more ago."""
    for left in _lone(target):
        with suppress(OSError):
            if left.lstat().st_mtime < time.time() - ABANDONED_S:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _lone(target: Path) -> Iterator[Path]:
    return target.parent.glob(f"{glob.escape(target.name)}.*-*-*{PART}*")


class Flush:
    """The wait for the disk to have a file, spent in a thread beside the block; the block ends when both are done.

    The block may fail in its own way, and what it found may have to be put in its place: so what the disk had
    against the file is raised by `check`, and not at the block's end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._wait, name="tinytorch-datasets-flush", daemon=True)

    def __enter__(self) -> Flush:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def check(self) -> None:
        """Raise what the disk had against it."""
        if self._error is not None:
            raise self._error

    def _wait(self) -> None:
        try:
            # Any descriptor will do: what is flushed is the file, whoever wrote to it.
            try:
                fd = open_safely(self._path)
            except PermissionError:
                fd = open_to_read(self._path)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            self._error = error


class Part:
    """The bytes of one file that are here already."""

    def __init__(self, path: Path, file: File, *, is_shared: bool = True) -> None:
        self.path = path
        self._is_shared = is_shared
        self._file = file
        self._stage = path.with_name(path.name.removesuffix(PART) + STAGE)
        self._note = path.with_name(path.name.removesuffix(PART) + NOTE)
        with writing_at_home(path):
            self._take_back()
            try:
                self._fd = self._open()
            except PermissionError:  # another user's, or a link that a killed fetch left: it can be begun anew
                self.path.unlink()
                self._fd = self._open()
        self.bytes = 0
        self._flush: Flush | None = None
        self._seen: list[int] = []  # before it was hashed
        try:
            with writing_at_home(path):
                self._take_stock()
        except BaseException:
            self._let_go()
            raise

    def write(self, chunk: bytes) -> None:
        """Append what came."""
        with writing_at_home(self.path):
            rest = memoryview(chunk)
            while rest:
                written = os.write(self._fd, rest)
                self.bytes += written
                rest = rest[written:]

    def drop(self) -> None:
        """Forget every byte. By a new file, never by emptying this one, which may be hard-linked elsewhere."""
        self._let_go()
        with writing_at_home(self.path):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
            self._fd = self._open()
        self.bytes = 0
        self._flush = None

    def is_right(self) -> bool:
        """Whether these are the promised bytes, all of them; hashed once, by Pooch, where they stand on the disk.

        Pooch finds the file in a folder of its own, because what it does not find right it would download, to a
        temporary name that nobody could tell from other people's after a kill. Finding it, it imports no network
        library: urllib3 opens a socket when it is imported, to see whether there is IPv6.
        """
        if self.bytes != self._file.bytes:
            return False
        if self._flush is None:
            import pooch  # type: ignore[import-untyped]  # heavy

            flush = Flush(self._stage / self.path.name)
            with writing_at_home(self.path):
                self._let_go()
                self._stage.mkdir()
                self.path.replace(self._stage / self.path.name)
                self._seen = _but_for_its_name(stat_signature(self._stage / self.path.name))
            try:
                with writing_at_home(self._stage), _silent(pooch.get_logger()), flush:  # both take about as long
                    pooch.retrieve(
                        self._file.name,
                        known_hash=f"sha256:{self._file.sha256}",
                        fname=self.path.name,
                        path=self._stage,
                        downloader=_refuse,
                    )
                self._flush = flush
            except _Unlike:
                pass
            finally:
                with writing_at_home(self.path):
                    (self._stage / self.path.name).replace(self.path)
                    self._stage.rmdir()
                    self._fd = self._open()
        return self._flush is not None

    def head(self) -> bytes:
        """The first bytes, for a diagnosis."""
        with self.path.open("rb") as stream:
            return stream.read(HEAD_BYTES)

    def remember(self, mirror: str, validator: str | None) -> None:
        """Note which mirror gave the last bytes, and how to ask it for the same file again."""
        if self._remembered() != (mirror, validator):
            with writing_at_home(self._note), os.fdopen(open_safely(self._note, os.O_TRUNC), "wb") as note:
                note.write(json.dumps({"url": mirror, "validator": validator}).encode())

    def validator(self, mirror: str) -> str | None:
        """The validator of that mirror, if it gave the last bytes."""
        giver, validator = self._remembered()
        return validator if giver == mirror else None

    def settle(self, target: Path) -> StatSignature | None:
        """Give the file its name, once it is right and has reached the disk.

        Returns its stamp; None if it is not as it was before it was hashed.
        """
        assert self._flush is not None
        with writing_at_home(self.path):
            self._flush.check()  # or a power cut could leave the right name on bytes that never reached the disk
            self._let_go()
        with writing_at_home(target):
            self._note.unlink(missing_ok=True)
            if target.is_symlink():
                raise symlink_error(target)
            # Last of all, so that a kill leaves the part with what belongs to it, or the file alone.
            self.path.replace(target)
        try:
            now = stat_signature(target)
        except OSError:
            return None
        return now if _but_for_its_name(now) == self._seen else None

    def close(self) -> None:
        """Let go of the file. It is kept, unless it is empty, or nobody else would know its name."""
        if self._fd >= 0:
            self._let_go()
            if not self.bytes or not self._is_shared:
                with suppress(OSError):
                    self.path.unlink(missing_ok=True)
                    self._note.unlink(missing_ok=True)

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def borrow(self, kept: Path) -> None:
        """Take over a file that another library keeps: by hard link, or by copy where a link is of no use."""
        self.drop()
        self._let_go()
        with writing_at_home(self.path):
            self.path.unlink()
            try:
                self.path.hardlink_to(kept.resolve())
                self._fd = self._open()
            except OSError:
                self.path.unlink(missing_ok=True)
                shutil.copyfile(kept, self.path)
                self._fd = self._open()
            self._take_stock()

    def _open(self) -> int:
        """For writing. A whole one is only read, so another library may have made it read-only."""
        try:
            fd = open_safely(self.path)
        except PermissionError:
            # Windows waits for the disk to have a file only if it is open for writing.
            if os.name == "nt" or self.path.lstat().st_size != self._file.bytes:
                raise
            fd = open_to_read(self.path)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe, say
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            os.lseek(fd, 0, os.SEEK_END)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _take_stock(self) -> None:
        about = os.fstat(self._fd)
        # A hard link is someone else's file as well: appending would change theirs. Whole ones are only read.
        if about.st_size > self._file.bytes or (about.st_nlink > 1 and about.st_size < self._file.bytes):
            self.drop()
        self.bytes = os.lseek(self._fd, 0, os.SEEK_END)

    def _take_back(self) -> None:
        """A fetch was killed while Pooch had the file: take it back, whole as it is."""
        if self._stage.is_symlink():
            raise symlink_error(self._stage)
        if not self._stage.is_dir():
            return
        for left in self._stage.iterdir():
            if left.is_file() and left.stat().st_size == self._file.bytes and not self.path.exists():
                left.replace(self.path)
        shutil.rmtree(self._stage)

    def _remembered(self) -> tuple[str | None, str | None]:
        if self._note.is_symlink():
            raise symlink_error(self._note)
        try:
            note = json.loads(self._note.read_bytes())
            return note["url"], note["validator"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None, None  # a note torn by a kill is no note


def _but_for_its_name(seen: StatSignature) -> list[int]:
    """A stamp without what a new name changes: the second of its times."""
    size, modified, _, inode = seen
    return [size, modified, inode]


class _Unlike(Exception):
    """These are not the promised bytes."""


def _refuse(url: str, output_file: str, pooch: Any) -> None:
    """What Pooch is given to download with, which it does where a file is not the promised one."""
    raise _Unlike


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Drop what this thread logs to `logger`; other threads, and later calls, are heard as ever."""
    thread = threading.get_ident()

    def by_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(by_others)
    try:
        yield
    finally:
        logger.removeFilter(by_others)
