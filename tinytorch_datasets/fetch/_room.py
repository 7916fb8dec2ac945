"""Is there a folder that may be written, and room in it?"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path, PurePosixPath

from tinytorch_datasets.disk import ELSEWHERE, through, writing_at_home
from tinytorch_datasets.errors import MissingFile, StorageError
from tinytorch_datasets.plan import File
from tinytorch_datasets.promises import check_size, get_anew

# A link planted in place of the file is refused by the kernel itself, and a planted pipe does not hang the open.
SAFELY = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


def open_safely(path: Path, flags: int = 0) -> int:
    """Open a file of ours for reading and writing, made if it is missing; never through a symbolic link."""
    if path.is_symlink():
        raise through(path)  # where the system has no O_NOFOLLOW, this has to do
    return os.open(path, SAFELY | flags, 0o666)


def open_to_read(path: Path) -> int:
    """Open a file that is not ours to write, as a hard link to another library's may be; never through a link."""
    return os.open(path, SAFELY & ~(os.O_RDWR | os.O_CREAT) | os.O_RDONLY)


def place_of(name: str, into: Path) -> Path:
    """Where below `into` a file of that name belongs."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        what = f"{name!r}: a file's name may not leave its folder"
        raise StorageError(what, path=into, mend="Correct the name in the manifest.")
    return into.joinpath(*path.parts)


def is_here(file: File, target: Path, dataset: str) -> bool:
    """Whether the file is on disk, at its declared size. Raises HashMismatch if it is, at another."""
    try:
        check_size(target, file, mend=get_anew(dataset))
    except MissingFile:
        return False
    return True


def make_folders(target: Path, into: Path) -> None:
    """Make the folder of `target`, refusing to pass a symbolic link at or below `into`.

    Above `into` links are welcome: that is how people move their downloads to another disk.
    """
    with writing_at_home(into):
        into.parent.mkdir(parents=True, exist_ok=True)
    folder = into.parent
    for part in target.parent.relative_to(into.parent).parts:
        folder /= part
        with writing_at_home(folder):
            if folder.is_symlink():
                raise through(folder)
            try:
                folder.mkdir()
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(folder).st_mode):
                    raise
    if target.is_symlink():
        raise through(target)
    with writing_at_home(target.parent):
        if not os.access(target.parent, os.W_OK | os.X_OK):
            number = errno.EROFS if _is_read_only(target.parent) else errno.EACCES
            raise OSError(number, os.strerror(number))


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def make_sure_of_room(folder: Path, bytes_to_come: int) -> None:
    """Refuse before the first byte what would not fit."""
    with writing_at_home(folder):
        free = shutil.disk_usage(folder).free
    if bytes_to_come > free:
        what = f"{folder}: {bytes_to_come:,} bytes are still to come, and the disk has room for {free:,}"
        mend = f"Free some room, or {ELSEWHERE} on a larger disk."
        raise StorageError(what, mend=mend, path=folder, errno=errno.ENOSPC)
