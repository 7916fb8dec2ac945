"""`.part` files: resumed after a kill, hashed, moved into place.

`<name>.part` stands beside the target and survives a kill, so that the next fetch goes on where this one stopped.
`<name>.part.json` remembers which mirror gave it and its validator.

A part is hashed where it stands, as the disk has it: a large one while its bytes come, one of thousands of small ones
by its own descriptor, which takes fewer system calls, any other by Pooch. `pooch.retrieve` would first move it to a
temporary file with a random name, which nobody could tell from other people's files after a kill.
"""

from __future__ import annotations

import errno
import functools
import glob
import hashlib
import json
import os
import shutil
import stat
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.fetch.base import usable_validator
from tinytorch_datasets.manifest.filenames import BESIDE, NOTE, PART
from tinytorch_datasets.plan import File
from tinytorch_datasets.storage.files import (
    flush,
    open_safely,
    open_to_read,
    replace,
    symlink_error,
    unlink,
    writing_at_home,
)
from tinytorch_datasets.storage.memmap import StatSignature, is_link, open_regular, read_regular, stat_signature
from tinytorch_datasets.storage.private_cache import is_own
from tinytorch_datasets.verify.diagnose import HEAD_BYTES
from tinytorch_datasets.verify.files import GrowingDigest, without_ctime

ABANDONED_S = 24 * 60 * 60
# Up to here, hashing takes less than the start of a thread beside it. A larger file is hashed while it comes.
SMALL_BYTES = 1 << 20


def shared_part(target: Path) -> Path:
    """Return where the bytes of `target` wait until they are whole, for whoever holds its lock."""
    return target.with_name(target.name + PART)


def private_part(target: Path) -> Path:
    """Return a part of one's own, for whoever has no lock: no other process writes to this name."""
    import socket  # only for whoever fetches without a lock

    unique = f"{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}"
    return target.with_name(f"{target.name}.{unique}{PART}")


def part_progress(target: Path) -> tuple[int, int] | None:
    """Return the size of the shared part and when it last grew; None before the first byte."""
    try:
        about = shared_part(target).stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return None
    return about.st_size, about.st_mtime_ns


def leftovers(target: Path) -> list[Path]:
    """List all that interrupted fetches of `target` have left beside it."""
    beside = (target.with_name(target.name + suffix) for suffix in BESIDE)
    return [*(path for path in beside if os.path.lexists(path)), *_private_parts(target)]


def remove_abandoned(target: Path) -> None:
    """Delete the parts that processes without a lock left when they were killed, a day or more ago."""
    for path in _private_parts(target):
        with suppress(OSError):
            if path.lstat().st_mtime < time.time() - ABANDONED_S:
                unlink(path)


def has_private_parts(folder: Path) -> bool:
    """Check whether a folder has parts of anyone's own, so that not every file of thousands need look for its own."""
    return any(folder.glob(f"*.*-*-*{PART}*"))


def _private_parts(target: Path) -> Iterator[Path]:
    return target.parent.glob(f"{glob.escape(target.name)}.*-*-*{PART}*")


class BackgroundSync:
    """The wait for the disk to have a file, spent in a thread beside the block; the block ends when both are done.

    The block may fail in its own way, which comes first: so what the disk refused is raised by `check`, and not at
    the block's end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._wait, name="tinytorch-datasets-sync", daemon=True)

    def __enter__(self) -> BackgroundSync:
        try:
            self._thread.start()
        except RuntimeError:  # no thread is left
            self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def wait(self, fd: int) -> None:
        """Wait now, by a descriptor, and in no thread, which costs more than a small file takes."""
        try:
            flush(fd)
        except OSError as error:
            self._error = error

    def check(self) -> None:
        """Raise what the disk refused."""
        if self._error is not None:
            raise self._error

    def _wait(self) -> None:
        try:
            self._path.lstat()  # an error where it is gone: to open it would make an empty one
            # Any descriptor will do: what is flushed is the file, whoever wrote to it.
            try:
                fd = open_safely(self._path)
            except PermissionError:
                fd = open_to_read(self._path)
            try:
                flush(fd)
            finally:
                os.close(fd)
        except OSError as error:
            self._error = error


class PartialFile:
    """The bytes of one file that are on disk already."""

    def __init__(self, path: Path, file: File, *, is_shared: bool = True) -> None:
        self.path = path
        self._is_shared = is_shared
        self._file = file
        self._note = path.with_name(path.name.removesuffix(PART) + NOTE)
        with writing_at_home(path):
            try:
                self._fd = self._open()
            except PermissionError:  # another user's, or a hard link that a killed fetch left: it can be begun anew
                unlink(self.path)
                self._fd = self._open()
        self.bytes = 0
        self.sha256: str | None = None  # of what was hashed last
        self._sync: BackgroundSync | None = None
        self._growing: GrowingDigest | None = None  # while it is written
        self._signature: list[int] = []  # before it was hashed
        self._is_lost = False  # the disk may have other bytes than those that can still be read
        # What gave the last bytes. It is written down once it is known that they are not all in one.
        self._giver: tuple[str, str | None] | None = None
        self._is_noted, self._writes = False, 0
        try:
            with writing_at_home(path):
                self._measure()
        except BaseException:  # whatever it is, the lock and the file are let go
            self._release()
            raise

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        if self._writes and self.bytes + len(chunk) < self._file.bytes:
            self._note_giver()
        self._writes += 1
        if self._growing is None and self._file.bytes > SMALL_BYTES:
            self._growing = GrowingDigest(self.path)
        with writing_at_home(self.path):
            if self._growing is not None:
                self._growing.before_write(self._fd)
            rest = memoryview(chunk)
            while rest:
                written = os.write(self._fd, rest)
                self.bytes += written
                rest = rest[written:]
            if self._growing is not None:
                self._growing.after_write(self._fd)

    def drop(self) -> None:
        """Forget every byte. By a new file, never by emptying this one, which may be hard-linked elsewhere."""
        self._release()
        with writing_at_home(self.path):
            unlink(self.path, missing_ok=True)
            unlink(self._note, missing_ok=True)
            self._fd = self._open()
        self.bytes = self._writes = 0
        self._sync = self._giver = None
        self._is_lost = False

    def matches(self) -> bool:
        """Check whether these are the declared bytes, all of them; hashed once, as the disk has them."""
        if self.bytes != self._file.bytes:
            return False
        if self._sync is None:
            sync = BackgroundSync(self.path)
            with writing_at_home(self.path):
                self._signature = without_ctime(stat_signature(self._fd))
                if self._signature[0] != self.bytes:  # another program has written to it
                    sha256 = str(_pooch().file_hash(str(self.path), "sha256"))
                elif self.bytes > SMALL_BYTES:
                    with sync:  # both take about as long
                        sha256 = self._hash()
                elif (sha256 := self._hash()) == self._file.sha256:
                    sync.wait(self._fd)
            self.sha256 = sha256
            if sha256 == self._file.sha256:
                self._sync = sync
        return self._sync is not None

    def _hash(self) -> str:
        """Return the sha256: as it was taken while the bytes came, or taken now."""
        if self.bytes <= SMALL_BYTES:
            return self._hash_small()
        sha256 = None
        if self._growing is not None:
            sha256 = self._growing.end(self._fd)
            if self._growing.error is not None:
                self._is_lost = True
                raise self._growing.error
        return sha256 or str(_pooch().file_hash(str(self.path), "sha256"))

    def _hash_small(self) -> str:
        """Hash a file of few bytes through its own descriptor, in a tenth of the system calls."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        sha256, left = hashlib.sha256(), self.bytes
        while left and (chunk := os.read(self._fd, left)):
            sha256.update(chunk)
            left -= len(chunk)
        os.lseek(self._fd, 0, os.SEEK_END)
        return sha256.hexdigest()

    def head(self) -> bytes:
        """Return the first bytes, for a diagnosis."""
        with os.fdopen(open_regular(self.path), "rb") as stream:
            return stream.read(HEAD_BYTES)

    def note_mirror(self, mirror: str, validator: str | None) -> None:
        """Note which mirror gives the next bytes, and how to ask it for the same file again."""
        giver = (mirror, validator)
        if self._giver != giver:
            self._giver, self._is_noted = giver, bool(self.bytes) and self._read_note() == giver
        if self.bytes:
            self._note_giver()

    def _note_giver(self) -> None:
        if self._giver is not None and not self._is_noted:
            mirror, validator = self._giver
            with writing_at_home(self._note), os.fdopen(open_safely(self._note, os.O_TRUNC), "wb") as note:
                note.write(json.dumps({"url": mirror, "validator": validator}).encode())
            self._is_noted = True

    def validator(self, mirror: str) -> str | None:
        """Return the validator of that mirror, if it gave the last bytes."""
        if not self.bytes:
            return None
        giver, validator = self._giver or self._read_note()
        return usable_validator(validator) if giver == mirror else None  # a note may say anything

    def move_into_place(self, target: Path) -> StatSignature | None:
        """Give the file its name, once it matches and has reached the disk.

        Returns its stat signature; None if it is not as it was before it was hashed.
        """
        assert self._sync is not None
        with writing_at_home(self.path):
            try:
                self._sync.check()  # or a power cut could leave the right name on bytes that never reached the disk
            except OSError:
                self._is_lost = True
                raise
            self._release()
        with writing_at_home(target):
            if self._is_noted or os.path.lexists(self._note):
                unlink(self._note, missing_ok=True)
            if is_link(target):
                raise symlink_error(target)
            # Last of all, so that a kill leaves the part with what belongs to it, or the file alone.
            replace(self.path, target)
        try:
            now = stat_signature(target)
        except OSError:
            return None
        return now if without_ctime(now) == self._signature else None

    def close(self) -> None:
        """Close the file. It is kept, unless it is empty, or nobody else would know its name, or the disk lost some.

        That it did, a system says once: the bytes can be read, and synced without an error, until a power cut.
        """
        if self._fd >= 0:
            self._release()
            is_kept = self.bytes and self._is_shared and not self._is_lost
            if is_kept and self.bytes < self._file.bytes:
                with suppress(StorageError):  # without it, the rest is asked for and the sha256 decides
                    self._note_giver()
            if not is_kept:
                with suppress(OSError):
                    unlink(self.path, missing_ok=True)
                    unlink(self._note, missing_ok=True)

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def link_to(self, existing: Path) -> None:
        """Take over a file that another library keeps: by hard link, or by copy where a link is of no use.

        What another user may write is copied: whoever has mapped a file writes to it without a change of its times.
        """
        self.drop()
        self._release()
        with writing_at_home(self.path):
            unlink(self.path)
            try:
                if not is_own(existing.stat()):
                    raise PermissionError
                self.path.hardlink_to(existing.resolve())
                self._fd = self._open()
            except OSError:
                unlink(self.path, missing_ok=True)
                shutil.copyfile(existing, self.path)
                self._fd = self._open()
            self._measure()

    def _open(self) -> int:
        """Open it for writing. A whole one is only read, so another library may have made it read-only."""
        try:
            fd = open_safely(self.path)
        except PermissionError:
            # Windows waits for the disk to have a file only if it is open for writing.
            if os.name == "nt" or self.path.lstat().st_size != self._file.bytes:
                raise
            fd = open_to_read(self.path)
            if not stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe, say
                os.close(fd)
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
        return fd

    def _release(self) -> None:
        if self._growing is not None:
            self._growing.end()
            self._is_lost |= self._growing.error is not None
            self._growing = None
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _measure(self) -> None:
        about = os.fstat(self._fd)
        # A hard link is someone else's file as well: appending would change theirs. Whole ones are only read.
        is_ours = about.st_nlink == 1 or (about.st_size == self._file.bytes and is_own(about))
        if about.st_size > self._file.bytes or not is_ours:
            self.drop()
        self.bytes = os.lseek(self._fd, 0, os.SEEK_END)

    def _read_note(self) -> tuple[str | None, str | None]:
        if is_link(self._note):
            raise symlink_error(self._note)
        try:
            note = json.loads(read_regular(self._note))
            return note["url"], note["validator"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None, None  # a note torn by a kill is no note


_importing = threading.Lock()  # filters of warnings are the whole program's


@functools.cache
def _pooch() -> Any:
    """Import Pooch, which is heavy, and imports tqdm, which warns in a notebook of widgets that nobody asked for."""
    with _importing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pooch  # type: ignore[import-untyped]
    return pooch
