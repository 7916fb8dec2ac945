"""Folders of decoded arrays: their names, writing, opening, cleaning.

Each data set's arrays are `.npy` files in a folder named by what they were made from, beside the hashes of what was
written into them. The folder is written aside and renamed into place, so it is whole or absent; another source,
another option or another declaration is another name, so an old array is never met by a new manifest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import filecmp
import hashlib
import json
import math
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinytorch_datasets.concurrency import run_all
from tinytorch_datasets.concurrency.ahead import prefetch
from tinytorch_datasets.digests import ValueDigest, digest_of
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.plan import Column, Plan, RaggedBlock
from tinytorch_datasets.storage.array_folder import DIGESTS, Written, file_names, read_header, written_to_bytes
from tinytorch_datasets.storage.encoded_array import EncodedArray, EncodedBlock, Recipe
from tinytorch_datasets.storage.files import (
    find_link,
    flush,
    make_folder,
    names_in,
    remove_folder,
    rename,
    storage_error,
    symlink_error,
)
from tinytorch_datasets.storage.memmap import StatSignature, open_map, stat_signature
from tinytorch_datasets.storage.ragged_array import RaggedArray
from tinytorch_datasets.storage.string_array import StringArray, Values


class NpyFile:
    """One .npy file, of a number of samples that is known, or of as many as come."""

    def __init__(self, path: Path, dtype: str, row: tuple[int, ...] = (), *, samples: int | None = None) -> None:
        self._stream: IO[bytes] = path.open("wb")
        self._name, self._dtype, self._row, self._samples = path.name, np.dtype(dtype), row, samples
        self.count = 0
        self._begin = self._at = self._write_header(samples or 0)

    def _write_header(self, samples: int) -> int:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (samples, *self._row)}
        np.lib.format.write_array_header_1_0(self._stream, header)
        return self._stream.tell()

    def write(self, start: int, values: Any) -> None:
        """Put a run of samples, the first of which is `start`, in its place.

        Raises:
            ValueError: They are of another dtype.
        """
        values = np.asarray(values)
        if not np.can_cast(values.dtype, self._dtype, "equiv"):
            msg = f"{self._name}: values of {values.dtype}, where {self._dtype} is declared"
            raise ValueError(msg)
        data = np.ascontiguousarray(values, self._dtype)
        at = self._begin + start * self._dtype.itemsize * math.prod(self._row)
        if at != self._at:
            self._stream.seek(at)
        self._stream.write(data.data)
        self._at = at + data.nbytes
        self.count = start + len(data)

    def append(self, values: Any) -> None:
        """Put samples behind those before."""
        self.write(self.count, values)

    def close(self) -> None:
        """End the writing: how many samples there are is known now. The disk has them when this returns."""
        with self._stream:
            if self._samples is None:
                self._stream.seek(0)
                end = self._write_header(self.count)
                assert end == self._begin, "a header is padded, and has room for any number"
            # Else a power cut may leave a file of the noted size and times, with zeros in it.
            flush(self._stream)


class Strings:
    """A buffer of UTF-8 bytes and the places where strings begin and end, as two .npy files."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._column = column
        buffer, places = file_names(column)
        self._buffer, self._places = NpyFile(folder / buffer, "|u1"), NpyFile(folder / places, "<i8")
        self._places.append([0])

    def write(self, start: int, values: Sequence[str]) -> None:
        """Put strings behind those before; the first is sample `start`."""
        _check_in_order(self._column, start, self._places.count - 1)
        at = self._buffer.count
        if isinstance(values, StringArray):
            packed, places = values.utf8()
            self._buffer.append(packed[places[0] : places[-1]])
            self._places.append(places[1:] + (at - places[0]))
            return
        whole = "".join(values)
        data = whole.encode()
        # Most texts are ASCII, of which each character is a byte.
        lengths = list(map(len, values if whole.isascii() else map(str.encode, values)))
        self._buffer.append(np.frombuffer(data, np.uint8))
        self._places.append(at + np.cumsum(lengths, dtype=np.int64))

    def close(self) -> None:
        """End the writing."""
        self._buffer.close()
        self._places.close()


class Ragged:
    """Values one after the other, the places where samples begin and end, and their shapes unless those say it."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._column = column
        values, offsets, *shapes = (folder / name for name in file_names(column))
        self._values, self._offsets = NpyFile(values, np.dtype(column.dtype).str), NpyFile(offsets, "<i8")
        self._shapes = [NpyFile(path, "<i8", (len(column.shape),)) for path in shapes]
        self._offsets.append([0])

    def write(self, start: int, values: RaggedBlock) -> None:
        """Put samples behind those before; the first is sample `start`.

        Raises:
            ValueError: The values are of another dtype than the column, or not as many as the shapes say.
        """
        _check_in_order(self._column, start, self._offsets.count - 1)
        block = RaggedArray.from_shapes(values.values, values.shapes, self._column.shape)
        self._offsets.append(self._values.count + block.offsets[1:])
        self._values.append(block.values)
        for file in self._shapes:
            file.append(block.rows)

    def close(self) -> None:
        """End the writing."""
        for file in (self._values, self._offsets, *self._shapes):
            file.close()


class Encoded:
    """The files that samples were, one after the other, where they begin and end, and their shapes if those differ."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._column = column
        data, offsets, *shapes = (folder / name for name in file_names(column))
        self._data, self._offsets = NpyFile(data, "|u1"), NpyFile(offsets, "<i8")
        self._shapes = [NpyFile(path, "<i8", (len(column.shape),)) for path in shapes]
        self._offsets.append([0])

    def write(self, start: int, values: EncodedBlock) -> None:
        """Put samples behind those before; the first is sample `start`."""
        _check_in_order(self._column, start, self._offsets.count - 1)
        at = self._data.count
        self._data.append(np.frombuffer(b"".join(values.encoded), np.uint8))
        self._offsets.append(at + np.cumsum(list(map(len, values.encoded)), dtype=np.int64))
        for file in self._shapes:
            file.append(values.values.shapes)  # type: ignore[union-attr]

    def close(self) -> None:
        """End the writing."""
        for file in (self._data, self._offsets, *self._shapes):
            file.close()


def _check_in_order(column: Column, start: int, count: int) -> None:
    if start != count:
        msg = f"{column}: samples that differ in size come in order, but sample {start} follows {count - 1}"
        raise ValueError(msg)


# Raise it when the files in a folder, or what they mean, change.
LAYOUT = 5
# What a column declares that its values do not depend on.
NOT_IN_VALUES = {"where", "sha256", "sha256_where"}
ABANDONED_AFTER_S = 3600


def folder_name(plan: Plan, decoder_versions: Sequence[int]) -> str:
    """Return the name of the folder of a plan's arrays: the data set's, and a hash of all that they depend on."""

    declared = [_plain(column, plan.root) for column in plan.columns]
    members = [[split.name, _plain(split.file, plan.root), split.members] for split in plan.splits]
    members += [[split.name, shard.samples, shard.files] for split in plan.splits for shard in split.shards]
    files = [[file.name, file.sha256] for file in plan.files]
    version = decoder_versions[0] if len(decoder_versions) == 1 else [*zip(plan.formats, decoder_versions, strict=True)]
    made_from = [LAYOUT, plan.format, version, dict(plan.options), declared, members, files]
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    return f"{plan.name}-{digest[:20]}"


def _plain(value: Any, root: Path) -> Any:
    """Return what a declaration says as plain values: all that it has, whatever it may have one day."""
    if isinstance(value, Path):
        return value.relative_to(root).as_posix()
    if dataclasses.is_dataclass(value):
        own = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _plain(one, root) for name, one in own.items() if name not in NOT_IN_VALUES}
    if isinstance(value, tuple):
        return [_plain(one, root) for one in value]
    return dict(value) if isinstance(value, Mapping) else value


def write(
    target: Path, blocks: Iterable[tuple[Column, int, Any]], *, check: Callable[[Mapping[str, str]], None]
) -> None:
    """Write all columns' blocks into the folder `target`, which appears when the last one is written.

    A block is hashed while the next one is written and the one after decoded, so three are held at a time. Before the
    folder appears, `check` is called with the digest of each column's values, by column (``train.images``).

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    writers: dict[str, NpyFile | Strings | Ragged | Encoded] = {}
    hashes: dict[str, ValueDigest | None] = {}
    columns: dict[str, Column] = {}

    def write_each(
        blocks: Iterable[tuple[Column, int, Any]], open_files: contextlib.ExitStack
    ) -> Iterator[tuple[Column, int, Any]]:
        for column, start, values in blocks:
            if (name := str(column)) not in writers:
                writers[name] = open_files.enter_context(contextlib.closing(_writer(aside, column)))
            writers[name].write(start, values)
            yield column, start, values
            del values  # a block may be large, and is not to be held while the next is waited for

    try:
        make_folder(target.parent, at_home=True)
        aside.mkdir()
        with (
            contextlib.ExitStack() as open_files,
            prefetch(blocks, 1, name="decoding") as decoded,
            prefetch(write_each(decoded, open_files), 1, name="writing") as on_disk,
        ):
            for column, start, values in on_disk:
                name = str(column)
                if name not in columns:
                    hashes[name], columns[name] = ValueDigest.of(column), column
                if (taken := hashes[name]) is not None and taken.next == start:
                    taken.add(start, values)
                else:  # it would have to be held: such a column is hashed as it is on disk, in the end
                    hashes[name] = None
                del values
        jobs = [partial(_digest, hashes[name], column, aside) for name, column in columns.items()]
        signatures = {name: _signatures(column, aside) for name, column in columns.items()}
        sizes = [sum(size for size, *_ in of_column.values()) for of_column in signatures.values()]
        digests = dict(zip(columns, run_all(jobs, sizes=sizes), strict=True))
        check(digests)
        written = {name: Written(sha256, signatures[name]) for name, sha256 in digests.items()}
        with (aside / DIGESTS).open("wb") as out:
            out.write(written_to_bytes(written))
            flush(out)
        _into_place(aside, target)
    except OSError as error:
        if isinstance(error, StorageError) or error.errno is None:
            raise
        raise storage_error(error, target, at_home=True) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _writer(folder: Path, column: Column) -> NpyFile | Strings | Ragged | Encoded:
    if column.is_encoded:
        return Encoded(folder, column)
    if column.is_ragged or column.is_text:
        return (Ragged if column.is_ragged else Strings)(folder, column)
    dtype = np.dtype(column.dtype).str
    return NpyFile(folder / f"{column}.npy", dtype, column.sample_shape, samples=column.samples)


def _digest(taken: ValueDigest | None, column: Column, folder: Path) -> str:
    if taken is not None and taken.sha256 is not None:
        return taken.sha256
    # All but plain arrays come in order; their writers refuse any other.
    header = read_header(folder, file_names(column)[0])
    assert header is not None, f"{column} was not written whole"
    return digest_of(open_map(folder, header[0]))


def _signatures(column: Column, folder: Path) -> dict[str, StatSignature]:
    # Of a file, none of it changes when the folder that it is in is renamed.
    return {name: stat_signature(folder / name) for name in file_names(column)}


def collect(
    blocks: Iterable[tuple[Column, int, Any]], recipe: Callable[[Column], Recipe] | None = None
) -> dict[str, Values | str]:
    """Gather all columns' blocks in memory, by column (``train.images``), read-only as memory maps are.

    `recipe` says how the samples of a column are decoded that is kept encoded.
    """
    arrays: dict[str, Any] = {}
    columns: dict[str, Column] = {}
    for column, start, values in blocks:
        name = str(column)
        columns[name] = column
        if column.is_encoded or column.is_ragged or column.is_text:
            arrays.setdefault(name, []).append(values)
            continue
        if name not in arrays:
            arrays[name] = np.empty((column.samples, *column.sample_shape), column.dtype)
        arrays[name][start : start + len(values)] = values
    for name, values in arrays.items():
        if columns[name].is_encoded:
            column = columns[name]
            assert recipe is not None, "whoever keeps samples encoded says how they are decoded"
            encoded = [one for block in values for one in block.encoded]
            shapes = np.concatenate([block.values.shapes for block in values]) if column.is_ragged else None
            kind: dict[str, Any] = {"dtype": column.dtype, "sample_shape": column.shape}
            arrays[name] = EncodedArray.of(encoded, shapes, recipe=recipe(column), **kind)
        elif columns[name].is_ragged:
            arrays[name] = RaggedArray.joined(values, columns[name].shape)
        elif columns[name].is_text:
            strings = [text for block in values for text in block]
            arrays[name] = strings[0] if columns[name].per == "split" else StringArray.of(strings)
        else:
            values.flags.writeable = False
    return arrays


def sweep(cache: Path) -> None:
    """Remove what killed processes left half-written, once it is too old to be still in the making."""
    folder = cache / "arrays"
    if find_link(folder):
        return
    for path in (folder / own for own in names_in(folder) if own.startswith(".") and own.endswith(".part")):
        with contextlib.suppress(OSError):
            # A folder's own time does not move while its files are written.
            if max(one.stat().st_mtime for one in [path, *path.iterdir()]) < time.time() - ABANDONED_AFTER_S:
                remove_folder(path)


def folders_of(cache: Path, name: str) -> list[Path]:
    """List every folder of arrays of the data set of that name, whatever they were made from.

    Raises:
        StorageError: A symbolic link leads elsewhere.
    """
    if link := find_link(cache / "arrays"):
        raise symlink_error(link)
    return [cache / "arrays" / own for own in names_in(cache / "arrays") if own.rpartition("-")[0] == name]


def _into_place(aside: Path, target: Path, *, move: Callable[[Path, Path], None] = rename) -> None:
    """Give a folder of arrays its name; `move` gives a folder another one."""
    for _ in range(3):
        try:
            move(aside, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.EACCES) or not target.is_dir():
                raise
            # Another process was faster, or a damaged folder is in the way: same name, same contents, so
            # replacing is right either way. What is mapped from the old one stays readable.
            away = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
            try:
                move(target, away)
            except FileNotFoundError:
                pass
            except PermissionError:
                # Windows moves no folder from which arrays are mapped; and one that has them mapped needs no other.
                if _is_copy(target, aside):
                    return
                raise
            shutil.rmtree(away, ignore_errors=True)
        else:
            return
    move(aside, target)


def _is_copy(folder: Path, other: Path) -> bool:
    """Check whether a folder has the arrays of another one, byte for byte."""
    names = {path.name for path in other.iterdir()} - {DIGESTS}
    _, different, unreadable = filecmp.cmpfiles(folder, other, names, shallow=False)
    return not different and not unreadable
