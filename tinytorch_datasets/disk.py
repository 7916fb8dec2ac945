"""How does a file come to be on disk whole, or not at all, and what does an error of the disk mean?"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from tinytorch_datasets.errors import DatasetError, MissingFile, StorageError
from tinytorch_datasets.links import planted, through


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
        with aside.open("wb") as out:
            yield out
        aside.replace(path)
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise storage_error(error, path) from error
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error


def storage_error(error: OSError, path: Path) -> StorageError:
    """What an operating system's error means to the person whose folder it is."""
    home = "set TINYTORCH_DATASETS_HOME to a folder of your own"
    told: Mapping[int | None, tuple[str, str]] = {
        errno.ENOSPC: ("the disk is full", f"Free some space, or {home} on another disk."),
        errno.EDQUOT: ("the disk quota is used up", f"Free some space, or {home} on another disk."),
        errno.EROFS: ("the disk is read-only", f"{home[0].upper()}{home[1:]}."),
        errno.EACCES: ("this user may not write there", f"{home[0].upper()}{home[1:]}."),
        errno.EPERM: ("this user may not write there", f"{home[0].upper()}{home[1:]}."),
        errno.ENOTDIR: ("a file is in the way of a folder", f"Move it, or {home}."),
        errno.EEXIST: ("a file is in the way of a folder", f"Move it, or {home}."),
    }
    reason, mend = told.get(error.errno, (error.strerror or str(error), f"{home[0].upper()}{home[1:]}."))
    return StorageError(f"{path} cannot be written: {reason}", mend=mend, path=path, errno=error.errno)


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
    told: Mapping[int | None, tuple[str, str]] = {
        errno.EACCES: ("you may not read it", "Ask its owner for the right to."),
        errno.EPERM: ("you may not read it", "Ask its owner for the right to."),
        errno.EISDIR: ("it is no file", "Move it out of the way."),
    }
    reason, mend = told.get(error.errno, (error.strerror or str(error), mend))
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
    try:
        if path.is_dir() and not path.is_symlink():
            freed = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            shutil.rmtree(path)
            return freed
        freed = path.lstat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise storage_error(error, path) from error
    return freed
