"""Files against their declared size and SHA-256, with messages for a mismatch.

A file is hashed once. Its stat signature remembers it as it was then; while that still fits, its digest is known and
nothing is read. `Mode` "always" reads every byte whatever the signature is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_datasets.concurrency import start_thread
from tinytorch_datasets.digests import CHUNK_BYTES, Digest, digests, open_file, sha256_of
from tinytorch_datasets.errors import ChangedFile, HashMismatch
from tinytorch_datasets.plan import File, Mode, Plan
from tinytorch_datasets.storage.cache_entry import CacheEntry
from tinytorch_datasets.storage.files import bytes_of, reading
from tinytorch_datasets.storage.memmap import StatSignature, stat_signature
from tinytorch_datasets.verify.diagnose import LFS_POINTER

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from io import FileIO

# Up to here, one thread hashes files sooner than several are begun.
SERIAL_BYTES = 2**22
# How much of a growing file is hashed before the disk is asked to have it.
SYNC_BYTES = 2**24


class StatCache:
    """For each file its stat signature and the SHA-256 it had then; from one run to the next in the cache entry."""

    def __init__(self, entry: CacheEntry | None = None) -> None:
        self._known: dict[str, tuple[StatSignature, str]] = {}
        if entry is not None:
            known = entry.files.keys() & entry.signatures.keys()
            self._known = {path: (entry.signatures[path], entry.files[path]) for path in known}

    def sha256(self, path: Path) -> str | None:
        """Return the file's sha256, if it was hashed before and has not changed since; None otherwise."""
        signature, sha256 = self._known.get(str(path), (None, None))
        with contextlib.suppress(OSError):
            return sha256 if signature == stat_signature(path) else None
        return None

    def knows(self, path: Path, file: File) -> bool:
        """Check whether the file was found to be the declared one before, and has not changed since."""
        return self.sha256(path) == file.sha256 and self._known[str(path)][0][0] == file.bytes

    def signatures(self, plan: Plan) -> dict[str, StatSignature]:
        """Return the signature that each file of a plan had when it was hashed, by path."""
        return {path: self._known[path][0] for path in (str(plan.root / file.name) for file in plan.files)}

    def only_touched(self, path: Path) -> StatSignature | None:
        """Return the file's signature now, if only the time of its links or rights differs; None otherwise."""
        then, now = self._known.get(str(path), (None, None))[0], stat_signature(path)
        is_same = then is not None and len(then) == len(now) and without_ctime(then) == without_ctime(now)
        return now if is_same else None

    def remember(self, path: Path, sha256: str, signature: StatSignature) -> None:
        """Note that the file had this sha256 when it had this signature."""
        self._known[str(path)] = signature, sha256


def without_ctime(signature: StatSignature) -> list[int]:
    """Return a stat signature without what a new name changes: the second of its times."""
    size, modified, _, inode = signature
    return [size, modified, inode]


def check_size(path: Path, file: File, *, hint: str) -> StatSignature:
    """Make sure that there is a file at `path`, and that it has the declared size. Returns its stat signature.

    Raises:
        MissingFile: It is not there.
        HashMismatch: Its size is another.
        StorageError: It cannot be looked at.
    """
    with reading(path, where=file.where or None, hint=hint):
        size, signature = bytes_of(path), stat_signature(path)
    if size != file.bytes:
        raise mismatch_error(path, file, size, hint=hint)
    return signature


def mismatch_error(path: Path, file: File, actual: int | str, *, hint: str) -> HashMismatch:
    """Return the error for a file of another size than declared, or of another sha256."""
    expected: int | str
    if isinstance(actual, int):
        what, expected = describe_mismatch(path, file, size=actual), file.bytes
    else:
        what, expected = describe_mismatch(path, file, sha256=actual), file.sha256
    if _is_lfs_pointer(path):
        what, hint = f"{path} is a Git LFS pointer, not the file itself", "Run `git lfs pull`."
    return HashMismatch(what, where=file.where or None, hint=hint, path=path, expected=expected, actual=actual)


def describe_mismatch(path: Path, file: File, *, size: int | None = None, sha256: str | None = None) -> str:
    """Say in a sentence what differs between a file and its declaration.

    >>> print(describe_mismatch(Path("train.csv"), File("train.csv", 7, "ab", ()), size=6, sha256="cd"))
    train.csv is not the declared file: it has 6 bytes, declared are 7; it has sha256
        cd, declared is
        ab
    """
    differences = []
    if size not in (None, file.bytes):
        differences.append(f"it has {size:,} bytes, declared are {file.bytes:,}")
    if sha256 not in (None, file.sha256):
        differences.append(f"it has sha256\n    {sha256}, declared is\n    {file.sha256}")
    return f"{path} is not the declared file: {'; '.join(differences)}"


def _is_lfs_pointer(path: Path) -> bool:
    with contextlib.suppress(OSError), open(path, "rb", opener=open_file) as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER
    return False


def check_files(plan: Plan, *, mode: Mode, stat_cache: StatCache, executor: Executor | None = None) -> None:
    """Make sure that every file of a plan is the declared one, by an executor, or several on every core.

    Raises:
        MissingFile: One is not there.
        HashMismatch: The size or the sha256 of one is another.
        StorageError: One cannot be read, or the executor's workers see another one.
    """
    located = [(plan.root / file.name, file) for file in plan.files]
    unknown = [(path, file) for path, file in located if mode == "always" or not stat_cache.knows(path, file)]
    signatures = {path: check_size(path, file, hint=plan.hint) for path, file in unknown}  # before any is hashed
    side_by_side: dict[Path, Digest | OSError] = {}
    if executor is not None or (len(unknown) > 1 and sum(file.bytes for _, file in unknown) > SERIAL_BYTES):
        side_by_side = digests(signatures, executor=executor)
    for path, file in unknown:
        with reading(path, where=file.where or None, hint=plan.hint):
            digest = side_by_side.get(path)
            sha256 = digest.sha256 if isinstance(digest, Digest) else sha256_of(path)
        if sha256 != file.sha256:
            raise mismatch_error(path, file, sha256, hint=plan.hint)
        stat_cache.remember(path, sha256, signatures[path])


def check_unchanged(plan: Plan, stat_cache: StatCache) -> None:
    """Make sure that every file of a plan is still as it was when it was found right.

    One that was only touched, as a hard link to it does, is hashed again.

    Raises:
        ChangedFile: One was changed since, or is gone.
    """
    for file in plan.files:
        path = plan.root / file.name
        with contextlib.suppress(OSError):
            if stat_cache.sha256(path) == file.sha256:
                continue
            if (touched := stat_cache.only_touched(path)) and sha256_of(path) == file.sha256:
                stat_cache.remember(path, file.sha256, touched)
                continue
        what = f"{path} was changed by another program while it was read"
        raise ChangedFile(what, where=file.where, hint="Leave it alone, and ask again.", path=path)


class GrowingDigest:
    """The sha256 of a file that grows, taken in a thread meanwhile: of what the disk has of it, as it has it.

    So a download is hashed when its last byte has come, and most of it is on the disk. Call `before_write` and
    `after_write` around each write: they notice when another program writes to the file too, for what that changes may
    have been hashed already. The clock by which most file systems note a change ticks every few milliseconds, and
    several writes may come within one tick. So each write is given a time of its own, which no tick has.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._grown = threading.Condition()
        self._bytes, self._is_ended, self._is_alone = 0, False, True
        self._about: tuple[int, int] | None = None  # the file after the last write
        self._sha256, self.hashed = hashlib.sha256(), 0  # of so many bytes
        self.error: OSError | None = None  # the disk did not take all that was written, which a system says once
        self._syncing: threading.Thread | None = None
        self._thread = start_thread(self._work, "tinytorch-datasets-hash")

    def before_write(self, fd: int) -> None:
        """Notice that the file is not as the last write left it."""
        if self._about is not None and self._about != _size_and_time(fd):
            self._is_alone = False

    def after_write(self, fd: int) -> None:
        """Let the thread go on to the end of what is there now."""
        if os.utime in os.supports_fd:  # not on Windows
            now = time.time_ns() // 1_000 * 1_000 + 300  # in steps of 100 ns, which is what NTFS knows
            with contextlib.suppress(OSError):  # another user's, to whom alone its time belongs
                os.utime(fd, ns=(now, now))
            # Neither where the file system knows no such time: two changes of one second would look like one.
            self._is_alone &= os.fstat(fd).st_mtime_ns == now
        self._about = _size_and_time(fd)
        with self._grown:
            self._bytes = self._about[0]
            self._grown.notify()

    def end(self, fd: int | None = None) -> str | None:
        """End the thread, and return the sha256 of all that was written; None if it is not surely that of the file.

        Without a descriptor nobody wants it, and it is not waited for.
        """
        with self._grown:
            self._is_ended = True
            if fd is None:
                self._bytes = self.hashed
            self._grown.notify()
        if self._thread is not None:
            self._thread.join()
        if fd is None or self._thread is None or self.error is not None or self.hashed != self._bytes:
            return None
        self.before_write(fd)
        return self._sha256.hexdigest() if self._is_alone else None

    def _work(self) -> None:
        # What cannot be read here, whoever hashes it in the end will find.
        with contextlib.suppress(OSError), open(self._path, "rb", buffering=0, opener=open_file) as file:
            try:
                self._hash(file)
            finally:
                if self._syncing is not None:
                    self._syncing.join()

    def _hash(self, file: FileIO) -> None:
        buffer, synced = memoryview(bytearray(CHUNK_BYTES)), 0
        while self.error is None:
            with self._grown:
                while self.hashed >= self._bytes and not self._is_ended:
                    self._grown.wait()
                left = self._bytes - self.hashed
            if left <= 0 or not (count := file.readinto(buffer[:left])):
                return
            self._sha256.update(buffer[:count])
            self.hashed += count
            # In a thread, for a disk takes about as long as hashing does; Windows syncs only what it may write.
            is_syncing = self._syncing is not None and self._syncing.is_alive()
            if self.hashed - synced >= SYNC_BYTES and not is_syncing and os.name != "nt":
                synced = self.hashed
                sync = partial(self._sync, file.fileno())
                self._syncing = start_thread(sync, "tinytorch-datasets-sync")
                if self._syncing is None:  # no thread is left
                    sync()

    def _sync(self, fd: int) -> None:
        try:
            os.fsync(fd)
        except OSError as error:
            self.error = error


def _size_and_time(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_size, about.st_mtime_ns
