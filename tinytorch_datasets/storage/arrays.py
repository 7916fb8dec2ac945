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
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from tinytorch_datasets.concurrency import ensure_descriptors, run_all
from tinytorch_datasets.concurrency.ahead import prefetch
from tinytorch_datasets.digests import ValueDigest, digest_of
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.plan import Column, Plan, RaggedBlock
from tinytorch_datasets.storage.array_folder import DIGESTS, Written, file_names, read_header, written_to_bytes
from tinytorch_datasets.storage.encoded_array import EncodedBlock
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
from tinytorch_datasets.storage.string_array import StringArray

Blocks: TypeAlias = Iterable[tuple[Column, int, Any]]


class NpyFile:
    """One .npy file, of a number of samples that is known, or of as many as come."""

    def __init__(self, path: Path, dtype: str, row: tuple[int, ...] = (), *, samples: int | None = None) -> None:
        self._stream: IO[bytes] = path.open("wb")
        self.path, self._dtype, self._row, self._samples = path, np.dtype(dtype), row, samples
        self.count = self._written = self._synced = 0
        self._begin = self._at = self._write_header(samples or 0)
        self.files: tuple[NpyFile, ...] = (self,)  # as of those below, which have several

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
            msg = f"{self.path.name}: values of {values.dtype}, where {self._dtype} is declared"
            raise ValueError(msg)
        data = np.ascontiguousarray(values, self._dtype)
        at = self._begin + start * self._dtype.itemsize * math.prod(self._row)
        if at != self._at:
            self._stream.seek(at)
        self._stream.write(data.data)
        self._at = at + data.nbytes
        self._written += data.nbytes
        self.count = start + len(data)

    def append(self, values: Any) -> None:
        """Put samples behind those before."""
        self.write(self.count, values)

    def read(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Yield samples that were written, from one to another, in pieces, each in the memory of the one before."""
        self._stream.flush()
        row = self._dtype.itemsize * math.prod(self._row)
        buffer = np.empty((max(1, READ_BYTES // max(row, 1)), *self._row), self._dtype)
        with self.path.open("rb") as file:
            file.seek(self._begin + start * row)
            for at in range(start, stop, len(buffer)):
                piece = buffer[: stop - at]
                file.readinto(piece.data)
                yield piece

    def sync_some(self) -> None:
        """Let the disk begin with what was written, so that little is waited for in the end, if it is worth that."""
        written = self._written
        if written - self._synced >= SYNC_BYTES:
            os.fsync(self._stream.fileno())
            self._synced = written

    def end(self) -> None:
        """End the writing: how many samples there are is known now."""
        if self._samples is None:
            self._stream.seek(0)
            end = self._write_header(self.count)
            assert end == self._begin  # a header is padded, and has room for any number
        self._stream.flush()

    def sync(self) -> None:
        """Wait until the disk has all of it; else a power cut may leave a file of the noted size, with zeros in it."""
        flush(self._stream)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class Strings:
    """A buffer of UTF-8 bytes and the places where strings begin and end, as two .npy files."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._column = column
        buffer, places = file_names(column)
        self._buffer, self._places = NpyFile(folder / buffer, "|u1"), NpyFile(folder / places, "<i8")
        self.files = (self._buffer, self._places)
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


class Ragged:
    """Values one after the other, the places where samples begin and end, and their shapes unless those say it."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._column = column
        values, offsets, *shapes = (folder / name for name in file_names(column))
        self._values, self._offsets = NpyFile(values, np.dtype(column.dtype).str), NpyFile(offsets, "<i8")
        self._shapes = [NpyFile(path, "<i8", (len(column.shape),)) for path in shapes]
        self.files = (self._values, self._offsets, *self._shapes)
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


class Encoded:
    """The files that samples were, one after the other, where they begin and end, and their shapes if those differ."""

    def __init__(self, folder: Path, column: Column) -> None:
        self._column = column
        data, offsets, *shapes = (folder / name for name in file_names(column))
        self._data, self._offsets = NpyFile(data, "|u1"), NpyFile(offsets, "<i8")
        self._shapes = [NpyFile(path, "<i8", (len(column.shape),)) for path in shapes]
        self.files = (self._data, self._offsets, *self._shapes)
        self._offsets.append([0])

    def write(self, start: int, values: EncodedBlock) -> None:
        """Put samples behind those before; the first is sample `start`."""
        _check_in_order(self._column, start, self._offsets.count - 1)
        at = self._data.count
        self._data.append(np.frombuffer(b"".join(values.encoded), np.uint8))
        self._offsets.append(at + np.cumsum(list(map(len, values.encoded)), dtype=np.int64))
        for file in self._shapes:
            file.append(values.values.shapes)  # type: ignore[union-attr]


def _check_in_order(column: Column, start: int, count: int) -> None:
    if start != count:
        msg = f"{column}: samples that differ in size come in order, but sample {start} follows {count - 1}"
        raise ValueError(msg)


# Raise it when the files in a folder, or what they mean, change.
LAYOUT = 5
# What a column declares that its values do not depend on.
NOT_IN_VALUES = {"where", "sha256", "sha256_where"}
ABANDONED_AFTER_S = 3600
# How much is written before the disk is asked to begin; is read back at a time; how many blocks are hashed meanwhile.
SYNC_BYTES, READ_BYTES, HASHED_AHEAD = 2**23, 2**20, 64


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


def write(target: Path, blocks: Blocks, *, check: Callable[[Mapping[str, str]], None]) -> None:
    """Write all columns' blocks into the folder `target`, which appears when the last one is written.

    A block is hashed while the next one is written and the one after decoded, so three are held at a time; and the disk
    begins with what there is. Before the folder appears, `check` is called with the digest of each column's values, by
    column (``train.images``).

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    writers: dict[str, NpyFile | Strings | Ragged | Encoded] = {}
    hashes: dict[str, _HashedAsWritten] = {}
    columns: dict[str, Column] = {}

    def write_each(blocks: Blocks, open_files: contextlib.ExitStack) -> Iterator[tuple[Column, int, Any]]:
        for column, start, values in blocks:
            if (name := str(column)) not in writers:
                ensure_descriptors(len(writers))
                writers[name] = _writer(aside, column)
                for file in writers[name].files:
                    open_files.callback(file.close)
            writers[name].write(start, values)
            yield column, start, values
            del values  # a block may be large, and is not to be held while the next is waited for

    def hash_each(blocks: Blocks) -> Iterator[str]:
        for column, start, values in blocks:
            if (name := str(column)) not in columns:
                hashes[name], columns[name] = _HashedAsWritten(column, writers[name].files[0]), column
            yield name
            hashes[name].add(start, values)
            del values

    try:
        make_folder(target.parent, at_home=True)
        aside.mkdir()
        with contextlib.ExitStack() as open_files:
            with (
                prefetch(blocks, 1, name="decoding") as decoded,
                prefetch(write_each(decoded, open_files), 1, name="writing") as on_disk,
                prefetch(hash_each(on_disk), HASHED_AHEAD, name="hashing") as hashed,
            ):
                for name in hashed:
                    for file in writers[name].files:
                        file.sync_some()
            files = [file for writer in writers.values() for file in writer.files]
            for file in files:
                file.end()
            run_all([file.sync for file in files])
        digests = dict(zip(columns, run_all([taken.sha256 for taken in hashes.values()]), strict=True))
        check(digests)
        written = {name: Written(sha256, _signatures(columns[name], aside)) for name, sha256 in digests.items()}
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


class _HashedAsWritten:
    """The digest of a column while it is written. What comes before its turn is read back when that has come."""

    def __init__(self, column: Column, file: NpyFile) -> None:
        self._digest, self._column, self._file = ValueDigest.of(column), column, file
        self._early: dict[int, int] = {}  # where runs of samples end, by where they begin
        self._is_rewritten = False

    def add(self, start: int, values: Any) -> None:
        """Take in the samples from `start` on, which are written."""
        if start > self._digest.next and len(values):
            self._early[start] = start + len(values)
            return
        self._is_rewritten |= start < self._digest.next
        self._digest.add(start, values)
        while (stop := self._early.pop(self._digest.next, None)) is not None:
            for piece in self._file.read(self._digest.next, stop):
                self._digest.add(self._digest.next, piece)

    def sha256(self) -> str:
        """Return the digest of all values, which are written; read once more where some were written twice."""
        if not self._is_rewritten and (sha256 := self._digest.sha256) is not None:
            return sha256
        # All but plain arrays come in order; their writers refuse any other.
        header = read_header(self._file.path.parent, self._file.path.name)
        assert header is not None, f"{self._column} was not written whole"
        return digest_of(open_map(self._file.path.parent, header[0]))


def _writer(folder: Path, column: Column) -> NpyFile | Strings | Ragged | Encoded:
    if column.is_encoded:
        return Encoded(folder, column)
    if column.is_ragged or column.is_text:
        return (Ragged if column.is_ragged else Strings)(folder, column)
    dtype = np.dtype(column.dtype).str
    return NpyFile(folder / f"{column}.npy", dtype, column.sample_shape, samples=column.samples)


def _signatures(column: Column, folder: Path) -> dict[str, StatSignature]:
    # Of a file, none of it changes when the folder that it is in is renamed.
    return {name: stat_signature(folder / name) for name in file_names(column)}


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
