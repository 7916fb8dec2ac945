"""Folders of decoded arrays: their names, writing, opening, cleaning.

Each data set's arrays are `.npy` files in a folder named by what they were made from, beside the hashes of what was
written into them. The folder is written aside and renamed into place, so it is whole or absent; another source,
another option or another declaration is another name, so an old array is never met by a new manifest.
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinytorch_datasets.concurrency import prefetch, run_all
from tinytorch_datasets.digests import STRINGS_AT_ONCE, Run, Runs, covers, digest_of, holds
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.plan import Block, Column, Plan
from tinytorch_datasets.storage import memmap
from tinytorch_datasets.storage.files import find_link, make_folder, remove, storage_error, symlink_error
from tinytorch_datasets.storage.memmap import Part, found
from tinytorch_datasets.storage.stat_cache import Mode, StatCache
from tinytorch_datasets.storage.string_array import StringArray, Values


class Numbers:
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
        """Put a run of samples, the first of which is `start`, in its place."""
        at = self._begin + start * self._stride
        if at != self._at:
            self._stream.seek(at)
        self._stream.write(np.ascontiguousarray(values).data)
        self._at = at + values.nbytes

    def close(self) -> None:
        """No more comes."""
        self._stream.close()


class Strings:
    """A buffer of UTF-8 bytes and the places where strings begin and end, as two .npy files."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._folder, self._column = folder, column
        # Grows with what comes: a manifest may promise more strings than there is room to count.
        self._places = array.array("q", [0])
        self._stream: IO[bytes] = (folder / f"{column}.utf8").open("w+b")

    def write(self, start: int, values: Sequence[str]) -> None:
        """Put strings behind those before; the first is sample `start`."""
        if start != len(self._places) - 1:
            msg = f"{self._column}: strings come in order, but sample {start} follows {len(self._places) - 2}"
            raise ValueError(msg)
        for text in values:
            encoded = text.encode()
            self._stream.write(encoded)
            self._places.append(self._places[-1] + len(encoded))

    def close(self) -> None:
        """No more comes: where each begins and ends is known now."""
        with self._stream as raw, (self._folder / f"{self._column}.utf8.npy").open("wb") as out:
            size = raw.tell()
            raw.seek(0)
            header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
            np.lib.format.write_array_header_1_0(out, header)
            shutil.copyfileobj(raw, out, 2**20)
        (self._folder / f"{self._column}.utf8").unlink()
        np.save(self._folder / f"{self._column}.places.npy", np.array(self._places, np.int64))


# Raise it when the files in a folder, or what they mean, change.
LAYOUT = 3
HASHES = "hashes.json"
BLOCK_BYTES = 2**20
ABANDONED_AFTER_S = 3600


def folder_name(plan: Plan, decoder_version: int) -> str:
    """The name of the folder of a plan's arrays: the data set's, and a hash of all that they depend on."""

    def below(file: Path | None) -> str | None:
        return None if file is None else file.relative_to(plan.root).as_posix()

    declared = [
        [c.split, c.field, c.dtype, c.samples, below(c.file), c.key, c.shape, c.range, c.classes, c.per]
        for c in plan.columns
    ]
    members = [[split.name, below(split.file), split.members] for split in plan.splits]
    files = [[file.name, file.sha256] for file in plan.files]
    made_from = [LAYOUT, plan.format, decoder_version, dict(plan.options), declared, members, files]
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    return f"{plan.name}-{digest[:20]}"


def is_whole(plan: Plan, folder: Path) -> bool:
    """Whether the folder holds every array of the plan, whole and of the declared form, and the hashes of each."""
    known = runs(folder)
    return all(covers(known.get(str(column), ()), column.count) and parts(column, folder) for column in plan.columns)


def runs(folder: Path) -> dict[str, list[Run]]:
    """What was written into each array of the folder, by column (``train.images``); none where nothing is known."""
    try:
        known = json.loads((folder / HASHES).read_bytes())
        return {column: list(starmap(_run, told)) for column, told in known.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def _run(start: int, stop: int, sha256: str) -> Run:
    return Run(int(start), int(stop), str(sha256))


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


def parts_of(column: Column, folder: Path) -> list[Part]:
    """Where in the folder a column's values are.

    Raises:
        FileNotFoundError: They are not there, or not whole.
    """
    if (kept := parts(column, folder)) is None:
        raise FileNotFoundError(errno.ENOENT, "not there, or not whole", str(folder / f"{column}.npy"))
    return kept


def digest_now(column: Column, folder: Path) -> str | None:
    """The digest of the column's values as they are on disk now; None if they are not there, or are no text."""
    try:
        values = opened(column, folder)
        return None if values is None else digest_of(values)
    except (OSError, ValueError):
        return None


def opened(column: Column, folder: Path) -> Values | str | None:
    """The column's values, memory-mapped; None if they are not there, or are not whole."""
    kept = parts(column, folder)
    return None if kept is None else _mapped(column, folder, kept)


def _mapped(column: Column, folder: Path, kept: list[Part]) -> Values | str:
    values = [memmap.opened(folder, part) for part in kept]
    if not column.is_text:
        return values[0]
    buffer, places = values
    return bytes(buffer).decode() if column.per == "split" else StringArray(buffer, places[:-1], places[1:])


def blocks(plan: Plan, folder: Path) -> Iterator[Block]:
    """All values of a plan as they are in the folder, in blocks small enough to stay in the processor's cache.

    Raises:
        OSError: An array is not there.
        ValueError: An array is not whole, or not text.
    """
    for column in plan.columns:
        values = _mapped(column, folder, parts_of(column, folder))
        if isinstance(values, str):
            yield Block(column, 0, [values])
            continue
        step = max(1, BLOCK_BYTES * len(values) // column.nbytes) if column.nbytes else STRINGS_AT_ONCE
        for start in range(0, len(values), step):
            yield Block(column, start, values[start : start + step])


def write(target: Path, blocks: Iterable[tuple[Column, int, Any]]) -> None:
    """Write all columns' blocks into the folder `target`, which appears when the last one is written.

    A block is written, and hashed, while the next one is decoded, so two are held at a time.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    writers: dict[str, Numbers | Strings] = {}
    hashes: dict[str, Runs] = {}
    try:
        make_folder(target.parent, at_home=True)
        aside.mkdir()
        with contextlib.ExitStack() as open_files, prefetch(blocks, 1, name="decoding") as decoded:
            for column, start, values in decoded:
                name = str(column)
                if name not in writers:
                    kind = Strings if column.is_text else Numbers
                    writers[name] = open_files.enter_context(contextlib.closing(kind(aside, column)))
                    hashes[name] = Runs()
                writers[name].write(start, values)
                hashes[name].add(start, values)
                del values  # a block may be large, and is not to be held once it is written
        (aside / HASHES).write_text(json.dumps({name: taken.told() for name, taken in hashes.items()}))
        _into_place(aside, target)
    except OSError as error:
        if isinstance(error, StorageError) or error.errno is None:
            raise
        raise storage_error(error, target, at_home=True) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sweep(cache: Path) -> None:
    """Remove what killed processes left half-written, once it is too old to be still in the making."""
    if find_link(cache / "arrays"):
        return
    for path in (cache / "arrays").glob(".*.part"):
        with contextlib.suppress(OSError):
            # A folder's own time does not move while its files are written.
            if max(one.stat().st_mtime for one in [path, *path.iterdir()]) < time.time() - ABANDONED_AFTER_S:
                shutil.rmtree(path)


def clean(cache: Path, name: str) -> int:
    """Remove every folder of arrays of the data set of that name, whatever they were made from; the bytes freed.

    Raises:
        StorageError: A symbolic link leads elsewhere.
    """
    if link := find_link(cache / "arrays"):
        raise symlink_error(link)
    folders = [path for path in (cache / "arrays").glob(f"{name}-*") if path.name.rpartition("-")[0] == name]
    return sum(remove(path) for path in folders)


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


def arrays_hold(plan: Plan, folder: Path, *, mode: Mode, stamps: StatCache) -> bool:
    """Whether the folder has every array of a plan as it was written there.

    By their stamps, as files are; those whose stamp does not fit, and in mode "always" all of them, by their hashes.
    """
    if not is_whole(plan, folder):
        return False
    written = runs(folder)
    try:
        doubtful = [
            column
            for column in plan.columns
            if mode == "always" or any(stamps.sha256(path) != _mark(written, column) for path in _files(column, folder))
        ]
    except FileNotFoundError:  # another process is cleaning
        return False
    jobs = [
        ((run.stop - run.start) * column.nbytes // column.count, partial(_holds, column, folder, run))
        for column in doubtful
        for run in written.get(str(column), ())
    ]
    if not all(run_all([job for _, job in jobs], sizes=[size for size, _ in jobs])):
        return False
    remember_arrays(plan, folder, stamps)
    return True


def remember_arrays(plan: Plan, folder: Path, stamps: StatCache) -> None:
    """Note that the arrays, as they are now, are those that were written."""
    written = runs(folder)
    for column in plan.columns:
        mark = _mark(written, column)
        for path in _files(column, folder):
            if stamps.sha256(path) != mark:
                stamps.remember(path, mark)


def _mark(written: Mapping[str, Sequence[Run]], column: Column) -> str:
    return " ".join(run.sha256 for run in written.get(str(column), ()))


def _holds(column: Column, folder: Path, run: Run) -> bool:
    try:
        values = opened(column, folder)
        return values is not None and holds(values, run)
    except (OSError, ValueError):
        return False  # no longer there, or no text


def _files(column: Column, folder: Path) -> list[Path]:
    return [folder / part.file for part in parts_of(column, folder)]
