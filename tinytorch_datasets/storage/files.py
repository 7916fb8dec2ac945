"""Atomic writes, symbolic links, and what an error of the disk means."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

from tinytorch_datasets.concurrency import is_held, while_held
from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DatasetError, MissingFile, StorageError
from tinytorch_datasets.settings import HOME, is_writable
from tinytorch_datasets.storage.memmap import is_link

FOLDER = ".cache"
KINDS = ("arrays", "entries", "locks")


def find_link(folder: Path) -> Path | None:
    """Return the symbolic link at or above a folder of ours, up to the cache itself; None where there is none.

    Above the cache links are welcome: that is how people move their data to another disk.
    """
    below = [folder, *folder.parents]
    ours = next((i for i, part in enumerate(below) if i and part.name == FOLDER and below[i - 1].name in KINDS), -1)
    return next((part for part in below[: ours + 1] if is_link(part)), None)


def check_no_link(path: Path, below: Path) -> None:
    """Refuse a path that leads through a symbolic link below a folder of ours; the folder itself may be one.

    Raises:
        StorageError: There is one, which somebody planted.
    """
    for i, _ in enumerate(path.relative_to(below).parts):
        part = below.joinpath(*path.relative_to(below).parts[: i + 1])
        if is_link(part):
            raise symlink_error(part)


def names_in(folder: Path) -> list[str]:
    """List the names in a folder; none if it is not there.

    Raises:
        StorageError: It may not be looked into.
    """
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(error, folder, None, "Look at the disk.") from error


FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
# What a system says of a folder that takes no file of ours, whatever that is.
UNWRITABLE = FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT}
DENIED = frozenset({errno.EACCES, errno.EPERM})
# What Windows says of a path that is too long, or not there; and how long it may be, if a file is to be below it.
TOO_LONG, LONGEST_WINDOWS_PATH = frozenset({3, 206}), 247
HELD_HINT = "Close what uses it (a notebook, an editor, a virus scanner), and do the same again"
ELSEWHERE = f"set {HOME} to a folder"


@contextlib.contextmanager
def whole_file(path: Path, *, synced: bool = True) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when it is complete; if `synced`, on the disk as well.

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
                if synced:  # before it has the name, or a power cut may leave the name on nothing
                    flush(out)
            replace(aside, path)
    finally:
        with contextlib.suppress(OSError):
            unlink(aside)


def replace(path: Path, target: Path) -> None:
    """Give a file another name, in place of what has it. As the next three, it waits for a program that holds it."""
    while_held(partial(os.replace, path, target), partial(_may_change, path, target))


def rename(path: Path, target: Path) -> None:
    """Give a folder another name, which none has yet."""
    while_held(partial(os.rename, path, target), partial(_may_change, path, target))


def unlink(path: Path, *, missing_ok: bool = False) -> None:
    """Remove a file, or a symbolic link."""
    while_held(partial(path.unlink, missing_ok=missing_ok), partial(_may_change, path))


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    while_held(partial(shutil.rmtree, folder), partial(_may_change, folder))


def _may_change(*paths: Path) -> bool:
    """Check whether files may be written in the folders of these paths, and the paths themselves be changed."""
    return all(
        is_writable(str(path.parent)) and (os.access(path, os.W_OK) or not os.path.lexists(path)) for path in paths
    )


def make_folder(folder: Path, *, at_home: bool = False) -> None:
    """Make a folder of ours, if it is missing.

    Raises:
        StorageError: It cannot be made, or a symbolic link leads elsewhere.
    """
    if link := find_link(folder):
        raise symlink_error(link)
    with writing(folder, at_home=at_home):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def writing(path: Path, *, at_home: bool = False) -> Iterator[None]:
    """Turn whatever the disk refuses inside the block into a StorageError that names `path` and the hint."""
    try:
        yield
    except DatasetError:
        raise
    except OSError as error:
        raise storage_error(error, path, at_home=at_home) from error


def writing_at_home(path: Path) -> contextlib.AbstractContextManager[None]:
    """Do the same for what belongs to the downloads or the cache: another folder can be named for it."""
    return writing(path, at_home=True)


def storage_error(error: OSError, path: Path, *, at_home: bool = False, what: str = "written") -> StorageError:
    """Return what the operating system's error means to the person who wanted `path` written, or removed."""
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return symlink_error(path)
    if is_held(error, partial(_may_change, path)):
        reason, hint, other = "another program has it open, or a file in it", HELD_HINT, ""
    elif getattr(error, "winerror", None) in TOO_LONG and len(str(path)) > LONGEST_WINDOWS_PATH:
        reason = f"its path has {len(str(path)):,} characters, and Windows opens none of 260 or more"
        hint, other = "Let Windows have long paths (LongPathsEnabled)", "with a shorter one"
    elif error.errno in FULL:
        reason, hint, other = "the disk is full, or your share of it is", "Free some room", "on a larger disk"
    elif error.errno == errno.EROFS:
        reason, hint, other = "the file system is read-only", "Make it writable", "that is"
    elif error.errno in DENIED:
        reason, hint, other = "you may not write there", "Ask its owner for the right to", "of your own"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        file = _in_the_way(path)
        whose = "a file" if file == path else f"the file {file}"
        reason, hint, other = f"{whose} is in the way of a folder", "Move it out of the way", "elsewhere"
    elif error.errno == errno.EISDIR:
        reason, hint, other = "what is there is no file", "Move it out of the way", ""
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        reason, hint, other = "too many files are open", "Raise the limit, `ulimit -n`", ""
    else:
        reason, hint, other = error.strerror or str(error), "Look at the disk", "elsewhere"
    hint += f", or {ELSEWHERE} {other}." if at_home and other else "."
    return StorageError(f"{path} cannot be {what}: {reason}", hint=hint, path=path, errno=error.errno, action=what)


def _in_the_way(path: Path) -> Path:
    """Return what stands where a folder should be, at `path` or above it."""
    return next((part for part in (path, *path.parents) if os.path.lexists(part) and not os.path.isdir(part)), path)


def symlink_error(link: Path) -> StorageError:
    """Return the error for a symbolic link where a file or folder of ours belongs."""
    what = f"{link}: this is a symbolic link, and nothing is written through it"
    hint = f"Delete the link; to keep the data elsewhere, {ELSEWHERE} there."
    return StorageError(what, hint=hint, path=link, errno=errno.ELOOP)


@contextlib.contextmanager
def reading(path: Path, *, where: str | None, hint: str) -> Iterator[None]:
    """Turn whatever the disk refuses inside the block into an error that names `path`, its line and the hint.

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
        raise MissingFile(what, where=where, hint=hint, path=path) from error
    except OSError as error:
        raise _unreadable(error, path, where, hint) from error


def _unreadable(error: OSError, path: Path, where: str | None, hint: str) -> StorageError:
    reason = error.strerror or str(error)
    if error.errno in DENIED:
        reason, hint = "you may not read it", "Ask its owner for the right to."
    elif error.errno == errno.EISDIR:
        reason, hint = "what is there is no file", "Move it out of the way."
    what = f"{path} cannot be read: {reason}"
    return StorageError(what, where=where, hint=hint, path=path, errno=error.errno, action="read")


def exists(path: Path) -> bool:
    """Check whether anything is there; in a folder that may not be looked into there is nothing, and no error."""
    return os.path.exists(path)


def is_there(path: str | Path, *, at_home: bool) -> bool:
    """Check whether anything is there, where that can be known.

    Raises:
        StorageError: A folder on the way may not be looked into; the error names that folder.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        closed = _closed_folder(Path(path)) if error.errno in DENIED else Path(path)
        unreadable = _unreadable(error, closed, None, "Look at the disk.")
        if error.errno in DENIED:
            unreadable.hint = _ask_owner(closed) + (f", or {ELSEWHERE} of your own." if at_home else ".")
        raise unreadable from error
    return True


def _closed_folder(path: Path) -> Path:
    """Return the folder on the way to `path` that may not be looked into."""
    for part in reversed(path.parents):
        try:
            os.stat(os.path.join(part, os.curdir))
        except PermissionError:
            return part
        except OSError:
            break
    return path


def _ask_owner(path: Path) -> str:
    """Return a hint without its full stop: of whom to ask the right to a file or folder."""
    if os.name == "nt":
        return "Ask its owner for the right to"
    import pwd  # which Windows does not have

    uid = path.lstat().st_uid
    if uid == os.geteuid():
        return f"Give yourself the right to: `chmod u+rwx {path}`"
    try:
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        owner = f"user {uid}"
    return f"Ask its owner, {owner}, for the right to"


def is_file(path: Path) -> bool:
    """Check whether a file is there, likewise."""
    return os.path.isfile(path)


def bytes_of(path: Path) -> int:
    """Return how many bytes a file has.

    Raises:
        OSError: It is not there, or is no file: a folder, or a pipe that would be waited at for ever.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return about.st_size


def device_of(path: Path) -> int | None:
    """Return the number of the disk that a path is on, or will be; None if that cannot be known."""
    for part in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                return part.stat().st_dev
            except PermissionError:
                return None
    return None


def read_file(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        OSError: It cannot be read, or is no regular file: a folder, or a pipe that would be waited at for ever.
    """
    with open(path, "rb", opener=open_file) as stream:
        return stream.read()


def write_if_possible(path: Path, contents: bytes, *, synced: bool = True) -> None:
    """Write a file that only saves work. Where nothing can be written, the work is done again, and that is all."""
    with contextlib.suppress(StorageError), whole_file(path, synced=synced) as out:
        out.write(contents)


def bytes_below(path: Path) -> int:
    """Count the bytes of a file, or of all files below a folder; 0 if it is gone."""
    with contextlib.suppress(FileNotFoundError):
        if _is_folder(path):
            return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
        return path.lstat().st_size
    return 0


def remove(path: Path) -> int:
    """Remove a file or a folder, if it is there, and return the bytes freed; of a link, the link alone.

    Raises:
        StorageError: It cannot be removed.
    """
    try:
        freed = bytes_below(path)
        (remove_folder if _is_folder(path) else unlink)(path)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _not_removed(error, path) from error
    return freed


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path) and not is_link(path)


def _not_removed(error: OSError, path: Path) -> StorageError:
    if error.errno not in DENIED or is_held(error, partial(_may_change, path)):
        return storage_error(error, path, what="removed")
    # Who may remove a file is decided by the folder that it is in.
    folders = [path.parent, *([path, *(Path(at) for at, _, _ in os.walk(path))] if _is_folder(path) else [])]
    closed = next((folder for folder in folders if not os.access(folder, os.W_OK | os.X_OK)), None)
    reason = f"you may not write in {closed}" if closed else "it is another user's"
    what = f"{path} cannot be removed: {reason}"
    return StorageError(what, hint=f"{_ask_owner(closed or path)}.", path=path, errno=error.errno)


# A link planted in place of the file is refused by the kernel itself, and a planted pipe does not hang the open.
_FLAGS = ("O_RDWR", "O_CREAT", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")
SAFELY = sum(getattr(os, flag, 0) for flag in _FLAGS)


def open_safely(path: Path, flags: int = 0) -> int:
    """Open a file of ours for reading and writing, made if it is missing; never through a symbolic link.

    With ``O_TRUNC`` it is made anew: what has its name may be a hard link to a file elsewhere, or a pipe.
    """
    if os.path.lexists(path):
        if is_link(path):
            raise symlink_error(path)  # where the system has no O_NOFOLLOW, this has to do
        if flags & os.O_TRUNC:
            unlink(path, missing_ok=True)
    flags |= SAFELY | (os.O_EXCL if flags & os.O_TRUNC else 0)
    fd = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return fd


def flush(file: int | IO[bytes]) -> None:
    """Wait until the disk has what was written to a file, and not only its own memory, as after `fsync` on macOS."""
    if not isinstance(file, int):
        file.flush()
        file = file.fileno()
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # a disk of another computer knows no such wait
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def open_to_read(path: Path) -> int:
    """Open a file that is not ours to write, as a hard link to another library's may be; never through a link."""
    return os.open(path, SAFELY & ~(os.O_RDWR | os.O_CREAT) | os.O_RDONLY)
