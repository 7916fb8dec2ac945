"""HDF5: data sets in groups, as h5py, Keras and MATLAB 7.3 write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.formats import (
    INSPECTED,
    INSPECTED_BYTES,
    ArrayInfo,
    Certainty,
    Detection,
    FileInfo,
    decodes,
)
from tinytorch_datasets.plan import Block, ByteSource, Column, RaggedBlock, Split
from tinytorch_datasets.readers import hdf5 as reader
from tinytorch_datasets.readers.arrays import (
    BLOCK_BYTES,
    INFLATION,
    check_within_declared,
    max_decoded,
    native,
    text_type,
    texts,
    too_much_text,
)
from tinytorch_datasets.readers.hdf5 import Stored
from tinytorch_datasets.readers.hdf5_checks import Heaps, check_chunks, check_lengths, read_heaps

SAMPLES_A_BLOCK = 4096
SMALL_FILE = 1 << 20
MATLAB, OTHER_ORDER = b"MATLAB 7.3", "the axes are as HDF5 has them, in the opposite order of MATLAB's"
USER_BLOCK = 512  # what MATLAB keeps before the first byte that is HDF5's


def _detect(head: bytes, path: Path) -> Detection | None:
    # A tar archive of such a file has a header of as many bytes before it as MATLAB keeps.
    is_tar = head[257:262] == b"ustar"
    is_hdf5 = head.startswith(reader.SIGNATURE) or (head.startswith(reader.SIGNATURE, USER_BLOCK) and not is_tar)
    return Detection(Certainty.CERTAIN, lambda: _inspect(path)) if is_hdf5 else None


def _inspect(path: Path) -> FileInfo:
    formats.of("hdf5").check_libraries()
    arrays, left_out = list[ArrayInfo](), list[str]()
    with reader.on_disk(ByteSource(path), INSPECTED_BYTES, INSPECTED) as file, reader.opened(file, path) as opened:
        with open(file, "rb", opener=open_file) as head:
            note = OTHER_ORDER if head.read(len(MATLAB)) == MATLAB else ""
        for key, found in reader.walk(opened):
            described = _describe(found)
            if isinstance(described, str):
                left_out.append(f"{key!r} {described}")
            else:
                classes, values = reader.names_of(found) if isinstance(found, Stored) else ((), ())
                array = ArrayInfo(key, *described, note=note if len(described[1]) > 2 else "")
                arrays.append(replace(array, classes=classes, values=values) if classes else array)
    return FileInfo(path, "hdf5", tuple(arrays), left_out=tuple(left_out))


def _describe(found: Stored | str) -> tuple[str, tuple[int | None, ...]] | str:
    """Return the dtype and the shape of a field that a data set can be; or why it can be none."""
    if isinstance(found, str):
        return found
    if not found.shape:
        return "is a single value"
    if found.kind == "numbers":
        return found.dtype.name, found.shape
    text = text_type(np.dtype("S1"), found.shape)
    if text is None:
        return "has several texts or lists a sample"
    return text if found.kind != "ragged" else (found.dtype.name, (*text[1], None))


@decodes("hdf5", layout="file per split", needs=("h5py", "hdf5"), detect=_detect)
def hdf5(splits: Sequence[Split]) -> Iterator[Block]:
    """HDF5 files, one for each split; a field's key is the path of its data set (`train/images`).

    Data sets are numbers, bools, text of a fixed or of its own length (UTF-8), and lists of numbers (`shape: [null]`);
    they may be compressed by gzip or LZF. Axes of length one do not matter. A column of a table (a compound type) is
    named behind it (`train/cars/year`), and is of numbers, or of text of a fixed length. References and other types,
    other filters, and whatever would read another file (links, virtual data sets, external storage) are refused by
    name. A file that is compressed as a whole, or a member of an archive, is inflated into a temporary file first. A
    MATLAB file of version 7.3 is HDF5, with all axes in the opposite order: declare `axes`. Characters are numbers
    there; cells, and empty and sparse matrices, are not read.

    It needs h5py, which the extra `hdf5` brings.

    Raises:
        MissingLibrary: h5py is not installed.
        DecodeError: It is not sound HDF5, has no such data set, or one of a type that is not read.
        ContentError: It has more samples than declared.
    """
    formats.of("hdf5").check_libraries()
    for split in splits:
        for source in dict.fromkeys(column.source for column in split.columns.values()):
            columns = [column for column in split.columns.values() if column.source == source]
            declared = sum(column.nbytes for column in columns)
            limit = 2 * declared + INFLATION * source.path.stat().st_size + SMALL_FILE
            reason = f"{declared:,} bytes are declared of what is in it"
            with reader.on_disk(source, limit, reason) as file, reader.opened(file, source.path) as opened:
                found = {column.field: reader.find(opened, column.key, column.file) for column in columns}
                in_heaps = any(stored.kind in ("strings", "ragged") for stored in found.values())
                heaps = read_heaps(file, opened.userblock_size, source.path) if in_heaps else None
                for column in columns:
                    yield from _values(column, found[column.field], file, heaps)


def _values(column: Column, stored: Stored, file: Path, heaps: Heaps | None) -> Iterator[Block]:
    """Yield the values of a data set, in blocks."""
    whose = f"data set {column.key!r}"

    def fail(what: str) -> NoReturn:
        raise DecodeError(column.file, f"{whose} {what}")

    if stored.kind == "ragged" and heaps is not None:
        yield from _lists(column, stored, whose, file, heaps)
        return
    dtype = np.dtype("S1") if stored.kind == "strings" else stored.dtype
    given = check_within_declared(column, dtype, stored.shape, column.file, whose)
    most = max_decoded(column.file, column.count)
    if stored.kind == "texts" and stored.shape and stored.shape[0] * dtype.itemsize > 2 * most:
        fail(f"states {stored.shape[0] * dtype.itemsize:,} bytes of text, too many for a file of its size")
    check_chunks(stored, max(column.nbytes, 2 * most if dtype.kind == "S" else 0), fail)
    if stored.kind == "strings" and heaps is not None:
        check_lengths(stored, file, heaps, 4 * most, fail)  # a character has four bytes at most
    held = list[np.ndarray]()
    for start, values in reader.rows(stored, BLOCK_BYTES, SAMPLES_A_BLOCK):
        if dtype.kind == "S":
            strings = _strings(column, values, whose, start, is_fixed=stored.kind == "texts")
            most -= sum(map(len, strings))
            if most < 0:
                raise DecodeError(column.file, too_much_text(max_decoded(column.file, column.count)))
            yield Block(column, start, strings)
            continue
        numbers = native(np.asarray(values), column.file, whose)
        if stored.shape[:1] != given[:1]:
            held.append(numbers)  # it lies on its side, or is one sample
        else:
            yield _block(column, start, numbers.reshape(len(numbers), *given[1:]))
    if held:
        yield _block(column, 0, np.concatenate(held).reshape(given))


def _block(column: Column, start: int, numbers: np.ndarray) -> Block:
    if not column.is_ragged:
        return Block(column, start, numbers)
    shapes = np.array([numbers.shape[1:]] * len(numbers), np.int64).reshape(len(numbers), numbers.ndim - 1)
    return Block(column, start, RaggedBlock(numbers.reshape(-1), shapes))


def _strings(column: Column, values: Any, whose: str, start: int, *, is_fixed: bool) -> list[str]:
    if is_fixed:
        return texts(np.asarray(values).reshape(-1), column.file, whose, start)
    decoded = list[str]()
    for raw in reader.flat(values):
        try:
            decoded.append(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            reason = f"{whose} has a text that is not UTF-8, at sample {start + len(decoded):,}"
            raise DecodeError(column.file, reason) from error
    return decoded


def _lists(column: Column, stored: Stored, whose: str, file: Path, heaps: Heaps) -> Iterator[Block]:
    """Yield lists of numbers, one for each sample."""
    longer = [length for length in stored.shape if length != 1]
    count = longer[0] if longer else 1
    if column.shape != (None,):
        reason = f"{whose} holds lists of numbers, {column} is declared as {column.dtype} {list(column.shape)}"
        error = ContentError(
            column.file, reason, aspect="shape", expected=list(column.shape), actual=[None], column=str(column)
        )
        error.hint = "Declare `shape: [null]`: their lengths may differ."
        raise error
    if len(longer) > 1 or count > column.count:
        reason = f"{whose} has {stored.shape} lists, more than the {column.count:,} that {column} declares"
        raise ContentError(
            column.file, reason, aspect="samples", expected=column.count, actual=count, column=str(column)
        )

    def fail(what: str) -> NoReturn:
        raise DecodeError(column.file, f"{whose} {what}")

    most = max_decoded(column.file, column.count)
    check_chunks(stored, 0, fail)
    check_lengths(stored, file, heaps, most * stored.dtype.itemsize, fail)
    for start, values in reader.rows(stored, BLOCK_BYTES, SAMPLES_A_BLOCK):
        lists = [native(np.asarray(numbers), column.file, whose) for numbers in reader.flat(values)]
        most -= sum(map(len, lists))
        if most < 0:
            fail("holds more numbers than a file of its size may come to")
        yield Block(column, start, RaggedBlock.of(lists, stored.dtype.newbyteorder("="), 1))
