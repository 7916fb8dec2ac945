"""Private files in the user's cache folder: kept manifests and reports of audits.

Each is of this user's own making, in a folder that is the user's alone, or else it is not looked at: whoever could
write there could say what they like. It begins with the digest of its lines, and `layout` says of which code it is.
What is damaged, of another code, or not there is made anew, and nobody is told.

Nothing is imported here that takes long: what is kept saves that very time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tinytorch_datasets import settings
from tinytorch_datasets._version import LOADED_AT, VERSION
from tinytorch_datasets.storage.memmap import open_regular

if TYPE_CHECKING:
    from pathlib import Path

# Folders in the user's cache folder: kept forms of manifests, and kept reports of audits.
FORMS, REPORTS = "compiled", "audits"
ENDING = ".json"

# A manifest of ten thousand data sets takes 8 MB. What is larger than the first is not kept.
MOST_BYTES = 64 * 2**20
MOST_BYTES_IN_ALL = 256 * 2**20
MOST_KEPT = 64
DAY = 24 * 60 * 60
UNUSED_DAYS = 90

_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# What every library that is installed has beside it, its version in the name.
_RECORDS = (".dist-info", ".egg-info")


def path_of(kind: str, manifest: str | Path, suffix: str = "") -> str:
    """Return where something of a manifest is kept, one for each suffix; "" where nobody knows a home for this user."""
    folder = os.path.join(settings.likely_cache(), kind)
    return os.path.join(folder, _key(manifest) + suffix + ENDING) if os.path.isabs(folder) else ""


def paths_of(kind: str, manifest: str | Path) -> list[str]:
    """Return the files that are kept of a manifest."""
    if not (path := path_of(kind, manifest)):
        return []  # or those of the current folder would be taken for them
    folder, name = os.path.split(path)
    key = name.removesuffix(ENDING)
    with suppress(OSError):
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith(key)]
    return []


def bytes_of(kind: str, manifest: str | Path) -> int:
    """Return how many bytes are kept of a manifest."""
    size = 0
    for path in paths_of(kind, manifest):
        with suppress(OSError):
            size += os.stat(path).st_size
    return size


def forget(kind: str, manifest: str | Path) -> int:
    """Remove what is kept of a manifest, and return the bytes freed."""
    from pathlib import Path

    from tinytorch_datasets.storage.files import unlink

    freed = 0
    for path in paths_of(kind, manifest):
        with suppress(OSError):
            size = os.stat(path).st_size
            unlink(Path(path))
            freed += size
    return freed


def read(path: str) -> list[bytes] | None:
    """Read the lines of a file; None unless it is there, whole, and nobody but this user can have written it."""
    try:
        if not path or not _is_private(os.path.dirname(path)):
            return None
        digest, *lines = _read_own(path).split(b"\n")
        if _digest(lines) != digest:
            return None
        if os.stat(path).st_mtime < time.time() - DAY:
            with suppress(OSError):  # on a disk that is only read
                os.utime(path)  # it is in use
        return lines
    except (OSError, ValueError):
        return None


def write(path: str, lines: Sequence[bytes]) -> None:
    """Write a file of these lines, which have no line break in them; where nothing can be kept, nothing is."""
    if not path or sum(map(len, lines)) > MOST_BYTES or _code(_PACKAGE)[1] > LOADED_AT:
        return  # code that was changed since is not the code that found it out
    from pathlib import Path

    from tinytorch_datasets.storage.files import write_if_possible

    target = Path(path)
    if _make_private(target.parent):
        write_if_possible(target, b"\n".join([_digest(lines), *lines]), synced=False)  # which the digest makes up for
        _remove_old(target.parent)


def layout(number: int, libraries: Mapping[str, str]) -> list[Any]:
    """Return what decides what is found out, beside what it is found out of: Python, this package and libraries.

    Of a package that was changed since it was loaded, its old code runs here: what the new one found out is not this.
    `number` is raised when what is kept, or how, changes; `libraries` are as of `library_signature`.
    """
    signatures = [library_signature(name, file) for name, file in libraries.items()]
    code, changed_at = _code(_PACKAGE)
    return [number, VERSION, sys.version, code, changed_at <= LOADED_AT, *signatures]


def code_signature(package: str | Path) -> str:
    """Return what changes with the code of a package: in a clone, its version stays what it was for weeks."""
    return _code(package)[0]


def _code(package: str | Path) -> tuple[str, float]:
    """Return the same, and when a module of a package was changed last."""
    hashed, last = hashlib.sha256(), 0.0
    for file, about in _modules(package):
        hashed.update(f"{file} {about.st_size} {about.st_mtime_ns}\n".encode())
        last = max(last, _changed_at(about))
    return hashed.hexdigest(), last


def _changed_at(about: os.stat_result) -> float:
    """Return when a file was changed last: by the time of change, which no copying sets back."""
    return about.st_mtime if os.name == "nt" else about.st_ctime


def _modules(package: str | Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, below, files in os.walk(package):
        below[:] = sorted(name for name in below if name != "__pycache__")
        for file in sorted(files):
            # An editor marks the file that it edits by a link to nothing, of nearly the same name.
            with suppress(OSError):
                if file.endswith(".py"):
                    path = os.path.join(folder, file)
                    yield path[len(os.fspath(package)) :], os.stat(path)


def library_signature(name: str, file: str) -> str:
    """Return what changes with the version of a library that takes long to import; "" where it is not installed.

    `file` is the one of its package that has the version in it.
    """
    with suppress(OSError, ValueError):
        if (spec := importlib.util.find_spec(name)) is not None and spec.origin:
            with open(os.path.join(os.path.dirname(spec.origin), file), "rb") as stream:
                return hashlib.sha256(stream.read()).hexdigest()
    return ""


def origin_signature(name: str) -> list[Any]:
    """Return the file that importing a library would run, and what changes with it; nothing where there is none.

    The last says whether it was there before this process could load it, so that it may be what runs here.
    """
    with suppress(OSError, ValueError):
        if (spec := importlib.util.find_spec(name)) is not None and spec.origin:
            about = os.stat(spec.origin)
            return [spec.origin, about.st_size, about.st_mtime_ns, about.st_ctime_ns, _changed_at(about) <= LOADED_AT]
    return []


def installed() -> str:
    """Return what changes when any library that Python may import is installed, removed or replaced by a version."""
    hashed = hashlib.sha256()
    for folder in dict.fromkeys(sys.path):
        with suppress(OSError):
            if os.path.isfile(folder):  # an archive of modules
                about = os.stat(folder)
                hashed.update(f"{about.st_size} {about.st_mtime_ns}\n".encode())
                continue
            names = sorted(name for name in os.listdir(folder or os.curdir) if name.endswith(_RECORDS))
            hashed.update("".join(f"{name}\n" for name in names).encode(errors="surrogateescape"))
    return hashed.hexdigest()


def _key(manifest: str | Path) -> str:
    return hashlib.sha256(os.fsencode(manifest)).hexdigest()[:32]


def _digest(lines: Iterable[bytes]) -> bytes:
    """Return the sha256 of lines with their ends, in hex digits."""
    hashed = hashlib.sha256()
    for line in lines:
        hashed.update(line + b"\n")
    return hashed.hexdigest().encode()


def _read_own(path: str) -> bytes:
    """Read a file that nobody but this user can have written.

    Raises:
        OSError: It is not there, or another's, or a link.
    """
    if os.path.islink(path):
        raise PermissionError
    with os.fdopen(open_regular(path), "rb") as file:
        about = os.fstat(file.fileno())
        if about.st_size > 2 * MOST_BYTES or (hasattr(os, "geteuid") and about.st_uid != os.geteuid()):
            raise PermissionError
        return file.read()


def _is_private(folder: str | Path) -> bool:
    """Check whether a folder is this user's, and nobody else may look into it or write there.

    On Windows a user's folders are that by inheritance, and no mode says so.
    """
    about = os.lstat(folder)
    if not stat.S_ISDIR(about.st_mode):
        return False
    return not hasattr(os, "geteuid") or (about.st_uid == os.geteuid() and not stat.S_IMODE(about.st_mode) & 0o077)


def _make_private(folder: Path) -> bool:
    """Make that folder, if it is missing, and check whether it is the user's alone.

    Nothing is made in a folder of somebody else's, such as that of the user for whom `sudo` works, nor in one that
    others use as well: whoever lists would be the only one who may download to what is made there.
    """
    try:
        above = next(part for part in folder.parents if part.exists())
        if not is_own(above.stat()):
            return False
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return _is_private(folder)
    except OSError:
        return False


def is_own(about: os.stat_result) -> bool:
    """Check whether a path is this user's, and no other may write to it, but for the group that is theirs alone.

    On Windows a user's paths are that by inheritance, and no mode says so.
    """
    if not hasattr(os, "geteuid"):
        return True
    by_group = about.st_mode & stat.S_IWGRP and about.st_gid != os.getegid()
    return about.st_uid == os.geteuid() and not by_group and not about.st_mode & stat.S_IWOTH


def _remove_old(folder: Path) -> None:
    """Remove what nobody used for long, and the oldest of what is too much."""
    from tinytorch_datasets.storage.files import unlink

    with suppress(OSError), os.scandir(folder) as entries:
        files = [(entry.stat(follow_symlinks=False), entry.path) for entry in entries if entry.is_file()]
        of_all, oldest = 0, time.time() - UNUSED_DAYS * DAY
        for number, (about, path) in enumerate(sorted(files, key=lambda file: file[0].st_mtime, reverse=True)):
            of_all += about.st_size
            is_left = not path.endswith(ENDING) and about.st_mtime < time.time() - DAY  # by a writer that was killed
            if number >= MOST_KEPT or of_all > MOST_BYTES_IN_ALL or about.st_mtime < oldest or is_left:
                unlink(folder / path)
