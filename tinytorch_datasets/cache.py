"""Where do decoded arrays live between one run and the next?

Each data set's arrays are `.npy` files in a folder named by what they were made from. The folder is written
aside and renamed into place, so it is whole or absent; another source, another option or another declaration
is another name, so an old array is never met by a new manifest.
"""

from __future__ import annotations

import array
import contextlib
import errno
import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinytorch_datasets import maps
from tinytorch_datasets.batches import Values
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.links import planted, through
from tinytorch_datasets.maps import Part, found
from tinytorch_datasets.plan import Column, Plan
from tinytorch_datasets.texts import Texts

# Raise it when the files in a folder, or what they mean, change.
LAYOUT = 1
ABANDONED_AFTER_S = 3600
TURN_S = 600


def folder_name(plan: Plan, decoder_version: int) -> str:
    """The name of the folder of a plan's arrays: the data set's, and a hash of all that they depend on."""
    declared = [
        [c.split, c.field, c.dtype, c.samples, c.file.name, c.key, c.shape, c.range, c.classes, c.per]
        for split in plan.splits
        for c in split.columns.values()
    ]
    members = [[split.name, split.members] for split in plan.splits]
    files = [[file.name, file.sha256] for file in plan.files]
    made_from = [LAYOUT, plan.format, decoder_version, dict(plan.options), declared, members, files]
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    return f"{plan.name}-{digest[:20]}"


def is_whole(plan: Plan, folder: Path) -> bool:
    """Whether the folder holds every array of the plan, whole and of the declared form."""
    return all(parts(column, folder) for split in plan.splits for column in split.columns.values())


def parts(column: Column, folder: Path) -> list[Part] | None:
    """Where in the folder a column's values are: one file for numbers, two for text; None if they are not whole."""
    if not column.is_text:
        numbers = found(folder, f"{column}.npy")
        declared = ((column.samples, *column.shape), np.dtype(column.dtype).str)
        return [numbers] if numbers is not None and (numbers.shape, numbers.dtype) == declared else None
    buffer, places = found(folder, f"{column}.utf8.npy"), found(folder, f"{column}.places.npy")
    if buffer is None or places is None or places.shape != (column.count + 1,):
        return None
    return [buffer, places]


def opened(column: Column, folder: Path) -> Values | str | None:
    """The column's values, memory-mapped; None if they are not there, or are not whole."""
    kept = parts(column, folder)
    if kept is None:
        return None
    values = [maps.opened(folder, part) for part in kept]
    if not column.is_text:
        return values[0]
    buffer, places = values
    return bytes(buffer).decode() if column.per == "split" else Texts(buffer, places[:-1], places[1:])


def write(target: Path, blocks: Iterable[tuple[Column, int, Any]]) -> None:
    """Write all columns' blocks into the folder `target`, which appears when the last one is written.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    writers: dict[int, _Numbers | _Strings] = {}
    try:
        with contextlib.ExitStack() as open_files:
            _make(aside)
            for column, start, values in blocks:
                if id(column) not in writers:
                    kind = _Strings if column.is_text else _Numbers
                    writers[id(column)] = open_files.enter_context(contextlib.closing(kind(aside, column)))
                writers[id(column)].write(start, values)
                del values  # a block may be large, and is not to be held while the next one is decoded
        _into_place(aside, target)
    except OSError as error:
        if isinstance(error, StorageError) or error.errno is None:
            raise
        raise storage_error(error, target) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sweep(cache: Path) -> None:
    """Remove what killed processes left half-written, once it is too old to be still in the making."""
    if planted(cache / "arrays"):
        return
    for path in (cache / "arrays").glob(".*.part"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - ABANDONED_AFTER_S:
                shutil.rmtree(path)


def clean(cache: Path, name: str) -> int:
    """Remove every folder of arrays of the data set of that name, whatever they were made from; the bytes freed.

    Raises:
        StorageError: A symbolic link leads elsewhere.
    """
    if link := planted(cache / "arrays"):
        raise through(link)
    folders = [path for path in (cache / "arrays").glob(f"{name}-*") if path.name.rpartition("-")[0] == name]
    return sum(remove(path) for path in folders)


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


def _into_place(aside: Path, target: Path) -> None:
    for _ in range(3):
        try:
            aside.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.EACCES) or not target.is_dir():
                raise
            # Another process was faster, or a damaged folder is in the way: same name, same contents, so
            # replacing is right either way. What is mapped from the old one stays readable.
            away = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
            with contextlib.suppress(FileNotFoundError):
                target.rename(away)
            shutil.rmtree(away, ignore_errors=True)
        else:
            return
    aside.rename(target)


class _Numbers:
    """One .npy file, written in large pieces at their places."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._stream: IO[bytes] = (folder / f"{column}.npy").open("wb")
        shape = (column.samples, *column.shape)
        dtype = np.dtype(column.dtype)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)
        self._begin = self._at = self._stream.tell()
        self._stride = column.nbytes // column.samples

    def write(self, start: int, values: np.ndarray) -> None:
        at = self._begin + start * self._stride
        if at != self._at:
            self._stream.seek(at)
        self._stream.write(np.ascontiguousarray(values).data)
        self._at = at + values.nbytes

    def close(self) -> None:
        self._stream.close()


class _Strings:
    """A buffer of UTF-8 bytes and the places where strings begin and end, as two .npy files."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._folder, self._column = folder, column
        # Grows with what comes: a manifest may promise more strings than there is room to count.
        self._places = array.array("q", [0])
        self._stream: IO[bytes] = (folder / f"{column}.utf8").open("w+b")

    def write(self, start: int, values: Iterable[str]) -> None:
        if start != len(self._places) - 1:
            msg = f"{self._column}: strings come in order, but sample {start} follows {len(self._places) - 2}"
            raise ValueError(msg)
        for text in values:
            encoded = text.encode()
            self._stream.write(encoded)
            self._places.append(self._places[-1] + len(encoded))

    def close(self) -> None:
        with self._stream as raw, (self._folder / f"{self._column}.utf8.npy").open("wb") as out:
            size = raw.tell()
            raw.seek(0)
            header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
            np.lib.format.write_array_header_1_0(out, header)
            shutil.copyfileobj(raw, out, 2**20)
        (self._folder / f"{self._column}.utf8").unlink()
        np.save(self._folder / f"{self._column}.places.npy", np.array(self._places, np.int64))


def keep(path: Path, contents: bytes) -> None:
    """Write a file that only saves work. Where nothing can be written, the work is done again, and that is all."""
    with contextlib.suppress(StorageError), whole_file(path) as out:
        out.write(contents)


@contextlib.contextmanager
def turn(locks: Path, name: str) -> Iterator[None]:
    """Take turns with other processes at decoding the same thing, so that one does it and the rest find it done.

    Only a saving: what is written is whole or absent with no turns taken, so where there are no locks, or the
    one who has the turn takes too long, we go on without.
    """
    from filelock import FileLock, Timeout

    path = locks / f"{name}.lock"
    lock = FileLock(path, timeout=TURN_S, fallback_to_soft=False, is_singleton=False)
    try:
        _make(locks)
        if path.is_symlink():
            raise through(path)
        lock.acquire()
    except (OSError, NotImplementedError, Timeout):
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when it is complete.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    # Beside the target, not in /tmp: os.replace is atomic only within one file system.
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        _make(path.parent)
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


def _make(folder: Path) -> None:
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
