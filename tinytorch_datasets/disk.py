"""How does a file come to be on disk whole, or not at all, and what does an error of the disk mean?"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tinytorch_datasets.errors import DatasetError, MissingFile, StorageError
from tinytorch_datasets.links import planted
from tinytorch_datasets.paths import HOME

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
DENIED = frozenset({errno.EACCES, errno.EPERM})
ELSEWHERE = f"set {HOME} to a folder"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when it is complete.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    # Beside the target, not in /tmp: os.replace is atomic only within one file system.
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        make_folder(path.parent)
        with writing(path):
            with aside.open("wb") as out:
                yield out
            aside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder of ours, if it is missing.

    Raises:
        StorageError: It cannot be made, or a symbolic link leads elsewhere.
    """
    if link := planted(folder):
        raise through(link)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever the disk refuses inside the block becomes a StorageError that names `path` and the mend."""
    try:
        yield
    except DatasetError:
        raise
    except OSError as error:
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: Path) -> StorageError:
    """What the operating system's error means to the person who wanted `path` written."""
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return through(path)
    if error.errno in FULL:
        reason, mend = "the disk is full, or your share of it is", f"Free some room, or {ELSEWHERE} on a larger disk."
    elif error.errno == errno.EROFS:
        reason, mend = "the file system is read-only", f"Make it writable, or {ELSEWHERE} that is."
    elif error.errno in DENIED:
        reason, mend = "you may not write there", f"Ask its owner for the right to, or {ELSEWHERE} of your own."
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        reason, mend = "a file is in the way of a folder", "Move it out of the way."
    elif error.errno == errno.EISDIR:
        reason, mend = "what is there is no file", "Move it out of the way."
    else:
        reason, mend = error.strerror or str(error), f"Look at the disk, or {ELSEWHERE} elsewhere."
    return StorageError(f"{path} cannot be written: {reason}", mend=mend, path=path, errno=error.errno)


def through(link: Path) -> StorageError:
    """The error for a symbolic link where a file or folder of ours belongs."""
    what = f"{link}: this is a symbolic link, and nothing is written through it"
    mend = f"Delete the link; to keep the data elsewhere, {ELSEWHERE} there."
    return StorageError(what, mend=mend, path=link, errno=errno.ELOOP)


@contextlib.contextmanager
def reading(path: Path, *, where: str | None, mend: str) -> Iterator[None]:
    """Whatever the disk refuses inside the block becomes an error that names `path`, its line and the mend.

    Raises:
        MissingFile: There is no such file.
        StorageError: It cannot be read.
    """
    try:
        yield
    except DatasetError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"{path} is missing"
        raise MissingFile(what, where=where, mend=mend, path=path) from error
    except OSError as error:
        raise _unreadable(error, path, where, mend) from error


def _unreadable(error: OSError, path: Path, where: str | None, mend: str) -> StorageError:
    reason = error.strerror or str(error)
    if error.errno in DENIED:
        reason, mend = "you may not read it", "Ask its owner for the right to."
    elif error.errno == errno.EISDIR:
        reason, mend = "what is there is no file", "Move it out of the way."
    what = f"{path} cannot be read: {reason}"
    return StorageError(what, where=where, mend=mend, path=path, errno=error.errno)


def bytes_of(path: Path) -> int:
    """How many bytes a file has.

    Raises:
        OSError: It is not there, or is no file: a folder, or a pipe that would be waited at for ever.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return about.st_size


def keep(path: Path, contents: bytes) -> None:
    """Write a file that only saves work. Where nothing can be written, the work is done again, and that is all."""
    with contextlib.suppress(StorageError), whole_file(path) as out:
        out.write(contents)


def remove(path: Path) -> int:
    """Remove a file or a folder, if it is there; the bytes freed.

    Raises:
        StorageError: It cannot be removed.
    """
    with writing(path), contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            freed = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            shutil.rmtree(path)
        else:
            freed = path.lstat().st_size
            path.unlink()
        return freed
    return 0
