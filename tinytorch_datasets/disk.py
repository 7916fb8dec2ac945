"""How does a file come to be on disk whole, or not at all, and what does an error of the disk mean?"""

from __future__ import annotations

import contextlib
import errno
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from tinytorch_datasets.errors import StorageError
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
        if isinstance(error, StorageError):
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
