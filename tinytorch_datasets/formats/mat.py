"""MAT: the variables of MATLAB's files of version 5, which need no MATLAB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import ContentError, did_you_mean
from tinytorch_datasets.formats import (
    INSPECTED,
    INSPECTED_BYTES,
    ArrayInfo,
    Certainty,
    Detection,
    FileInfo,
    decodes,
)
from tinytorch_datasets.plan import TEXT, Block, ByteSource, Column, RaggedBlock, Split
from tinytorch_datasets.readers import mat as reader
from tinytorch_datasets.readers.archives.source import opened_source
from tinytorch_datasets.readers.archives.zip import NAMES_COMPARED
from tinytorch_datasets.readers.arrays import BLOCK_BYTES, blocks, check_within_declared, exact, max_decoded, native
from tinytorch_datasets.readers.mat import CELL, CHAR, CLASSES, MOST_DEPTH, NUMERIC, STRUCT, Matrix

SAMPLES_A_BLOCK = 4096


def _detect(head: bytes, path: Path) -> Detection | None:
    if not reader.is_mat(head) or head[124:128] in reader.HDF5_INSIDE:
        return None
    return Detection(Certainty.CERTAIN, lambda: _inspect(path))


def _inspect(path: Path) -> FileInfo:
    arrays, left_out = list[ArrayInfo](), list[str]()
    with opened_source(ByteSource(path), limit=INSPECTED_BYTES, limit_reason=INSPECTED) as stream:
        for variable in reader.variables(stream, limit=INSPECTED_BYTES, limit_reason=INSPECTED):
            for key, matrix in _leaves(variable.name, variable):
                described = _describe(matrix)
                if isinstance(described, str):
                    left_out.append(f"{key!r} is {described}")
                else:
                    arrays.append(ArrayInfo(key, *described))
    return FileInfo(path, "mat", tuple(arrays), left_out=tuple(left_out))


def _leaves(key: str, matrix: Matrix, depth: int = 0) -> Iterator[tuple[str, Matrix]]:
    """Yield what is no struct, with the path that leads to it."""
    if matrix.kind == STRUCT and matrix.count == 1 and depth < MOST_DEPTH:
        for name, field in matrix.fields():
            yield from _leaves(f"{key}.{name}", field, depth + 1)
    else:
        yield key, matrix


def _describe(matrix: Matrix) -> tuple[str, tuple[int | None, ...]] | str:
    """Return the dtype and the shape, samples first, of an array; or why it cannot be declared."""
    if matrix.kind in NUMERIC:
        if matrix.is_complex:
            return "complex"
        dtype, _ = matrix.values()
        return dtype.name, _along(matrix.dims)
    if matrix.kind == CHAR:
        return (TEXT, matrix.dims[:1]) if len(matrix.dims) == 2 else "text of several dimensions"
    if matrix.kind != CELL or sum(length != 1 for length in matrix.dims) > 1:
        return f"{CLASSES[matrix.kind]} of the shape {matrix.dims}"
    kinds, shapes = set[str](), set[tuple[int, ...]]()
    for cell in matrix.cells():
        if cell.kind not in NUMERIC and cell.kind != CHAR:
            return f"cells with {CLASSES[cell.kind]} in them"
        if cell.kind == CHAR:
            kinds.add(TEXT)
        elif cell.count:
            kinds.add(cell.values()[0].name)
        shapes.add(tuple(length for length in cell.dims if length != 1))
    if len(kinds) != 1:
        return "cells of several types" if kinds else "empty cells"
    kind = kinds.pop()
    if kind == TEXT:
        return TEXT, (matrix.count,)
    if len(shapes) == 1:
        return kind, (matrix.count, *shapes.pop())
    if any(len(shape) > 1 and 0 not in shape for shape in shapes):
        return "cells of several shapes"
    return kind, (matrix.count, None)


def _along(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Return the dimensions of an array, of which those of a row or a column of numbers are one."""
    longer = tuple(length for length in dims if length != 1)
    return longer or (1,) if len(longer) < 2 else dims


@decodes("mat", layout="file per split", detect=_detect)
def mat(splits: Sequence[Split]) -> Iterator[Block]:
    """MATLAB files of version 5 (-v6 and -v7), one for each split; a field's key is the name of its variable.

    A variable inside a struct is named by its path (`dataset.train.images`). Arrays have the shapes that MATLAB and
    SciPy show, and axes of length one do not matter: (1, 8189) labels are 8,189 labels. Where samples are stored last,
    as MATLAB's users do, the field declares `axes`; labels that are counted from 1 declare `first: 1`. MATLAB keeps
    whole numbers in as few bytes as will do, whatever their class, so they are read into the declared dtype where that
    holds each of them exactly. The rows of a matrix of characters are texts. A cell is a sample: a text, a number, or
    an array; of arrays of different lengths the field is ragged (`shape: [null]`). Of cells in rows and columns, a row
    is a sample: 36 x 39 arrays of (20, 16) are 36 samples of `[39, 20, 16]`. Complex numbers, sparse matrices and
    objects are not read. Version 7.3 is HDF5: its format is `hdf5`.

    Raises:
        DecodeError: It is no sound MATLAB file of version 5, or has no such variable.
        ContentError: It has more samples than declared, or a value that the declared dtype does not hold.
    """
    for split in splits:
        for source, left in split.by_source():
            while left:
                once = {column.key: column for column in reversed(left)}
                left = [column for column in left if once[column.key] is not column]
                yield from _decode(source, once)


def _decode(source: ByteSource, wanted: Mapping[str, Column]) -> Iterator[Block]:
    """Yield the values of columns that have different keys, in one pass."""
    names, missing = list[str](), dict.fromkeys(wanted)
    with opened_source(source) as stream:
        for variable in reader.variables(stream):
            for key, matrix in _met(variable.name, variable, wanted, names):
                missing.pop(key)
                column = wanted[key]
                yield from _VALUES.get(matrix.kind, _refuse)(column, matrix)
                if matrix.rest.left:
                    matrix.rest.fail(f"has {matrix.rest.left:,} bytes more than its values")
        for key in missing:
            stream.fail(f"it has no variable {key!r}{did_you_mean(key, names)}")


def _met(key: str, matrix: Matrix, wanted: Mapping[str, Column], names: list[str]) -> Iterator[tuple[str, Matrix]]:
    """Yield what is asked for of an array, which may be in a struct; `names` takes in what is met."""
    if len(names) < NAMES_COMPARED:
        names.append(key)
    if key in wanted:
        yield key, matrix
    elif any(other.startswith(f"{key}.") for other in wanted):
        if matrix.kind != STRUCT:
            matrix.rest.fail(f"is {CLASSES[matrix.kind]}, and no struct")
        for name, field in matrix.fields():
            yield from _met(f"{key}.{name}", field, wanted, names)


def _refuse(column: Column, matrix: Matrix) -> Iterator[Block]:
    hints = {
        STRUCT: "Name a field of it, as in `key: name.field`.",
        reader.SPARSE: "Save it as a full matrix: full(x).",
    }
    matrix.rest.fail(f"is {CLASSES[matrix.kind]}, which is not read as a field", hint=hints.get(matrix.kind))


def _whose(matrix: Matrix) -> str:
    return matrix.rest.whose.rstrip(",")


def _numbers(column: Column, matrix: Matrix) -> Iterator[Block]:
    """Yield the numbers of an array."""
    path, whose = matrix.rest.stream.path, _whose(matrix)
    stored, tag = matrix.values()
    declared = np.dtype(np.float64) if column.is_text else np.dtype(column.dtype)
    shape = check_within_declared(column, declared, matrix.dims, path, whose)
    for block in blocks(column, matrix.rest.bytes_of(tag), stored, shape, whose, is_fortran=True):
        values = block.values
        if isinstance(values, RaggedBlock):
            numbers = _fitted(column, values.values.reshape(len(values), -1), block.start)
            yield Block(column, block.start, RaggedBlock(numbers.reshape(-1), values.shapes))
        else:
            yield Block(column, block.start, _fitted(column, np.asarray(values), block.start))
    matrix.rest.pad(tag)


def _fitted(column: Column, values: np.ndarray, start: int) -> np.ndarray:
    """Return numbers in the declared dtype, unless the decode stage wants them as they are stored."""
    if column.classes is not None or column.factor is not None:
        return values
    flat = values.reshape(-1)
    converted, wrong = exact(flat, np.dtype(column.dtype)) if column.dtype != "bool" else _bools(flat)
    if wrong is not None and wrong.any():
        at = int(wrong.argmax())
        sample = start + at * len(values) // flat.size
        reason = f"variable {column.key!r} holds {flat[at]} at sample {sample:,}, which {column.dtype} does not hold"
        raise ContentError(
            column.file, reason, aspect="dtype", expected=column.dtype, actual=str(values.dtype), column=str(column)
        )
    return converted.reshape(values.shape)


def _bools(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values.astype(np.bool_), (values != 0) & (values != 1)


def _texts(column: Column, matrix: Matrix) -> Iterator[Block]:
    """Yield the rows of an array of characters."""
    _check_text(column, matrix.dims[0], matrix)
    yield Block(column, 0, matrix.text(max_decoded(column.file, column.count)))


def _check_text(column: Column, count: int, matrix: Matrix) -> None:
    whose = _whose(matrix)
    if not column.is_text and column.classes is None:
        reason = f"{whose} holds text, {column} is declared as {column.dtype}"
        raise ContentError(column.file, reason, aspect="dtype", expected=column.dtype, actual=TEXT, column=str(column))
    _check_count(column, count, whose)


def _check_count(column: Column, count: int, whose: str) -> None:
    if count > column.count:
        reason = f"{whose} has {count:,} samples, more than the {column.count:,} that {column} declares"
        raise ContentError(
            column.file, reason, aspect="samples", expected=column.count, actual=count, column=str(column)
        )


def _cells(column: Column, matrix: Matrix) -> Iterator[Block]:
    """Yield cells, each a sample."""
    if sum(length != 1 for length in matrix.dims) > 1:
        yield _grid(column, matrix)
        return
    _check_count(column, matrix.count, _whose(matrix))
    take = _cell_text if column.is_text or column.classes is not None else _cell_numbers
    most = max_decoded(column.file, column.count)
    held, held_bytes, start = list[Any](), 0, 0
    for cell in matrix.cells():
        if cell.kind in (CELL, STRUCT):
            cell.rest.fail(f"is {CLASSES[cell.kind]} in a cell, which is not read")
        value = take(column, cell, most)
        if isinstance(value, np.ndarray):
            value = _fitted(column, value[np.newaxis], start + len(held)).reshape(value.shape)
        if held and isinstance(value, str) != isinstance(held[0], str):
            cell.rest.fail("is text among numbers, or a number among texts")
        if column.is_text or column.is_ragged:
            most -= len(value) if isinstance(value, str) else value.size
        held.append(value)
        held_bytes += value.nbytes if isinstance(value, np.ndarray) else len(value)
        if held_bytes > BLOCK_BYTES or len(held) == SAMPLES_A_BLOCK:
            yield Block(column, start, _joined(column, held))
            start, held, held_bytes = start + len(held), [], 0
    if held or not start:
        yield Block(column, start, _joined(column, held))


def _grid(column: Column, matrix: Matrix) -> Block:
    """Return cells of several rows and columns, each an array of one shape: a row is a sample."""
    rows, *others = matrix.dims
    _check_count(column, rows, _whose(matrix))
    each = replace(column, shape=column.shape[len(others) :])
    if column.is_text or column.is_ragged or column.classes or list(column.shape[: len(others)]) != others:
        matrix.rest.fail(
            f"has cells of the shape {matrix.dims}, of which a row is a sample",
            hint=f"Declare a shape that begins with {', '.join(map(str, others))}, then that of the array in a cell.",
        )
    values = np.empty((rows, *column.sample_shape), column.dtype)
    places = np.ndindex(*reversed(matrix.dims))  # the cells of a column come one after the other
    for place, cell in zip(places, matrix.cells(), strict=True):
        numbers = _cell_numbers(each, cell, 0)
        values[place[::-1]] = _fitted(column, numbers[np.newaxis], place[-1]).reshape(each.sample_shape)
    return Block(column, 0, values)


def _joined(column: Column, held: list[Any]) -> Any:
    if column.is_ragged:
        dtype = np.result_type(*held) if held else np.dtype(column.dtype)
        return RaggedBlock.of(held, dtype, len(column.shape))
    if held and isinstance(held[0], np.ndarray):
        return np.stack(held)
    return held if column.is_text or column.classes else np.empty((0, *column.sample_shape), column.dtype)


def _cell_text(column: Column, cell: Matrix, most: int) -> Any:
    if cell.kind in NUMERIC and column.classes is not None:
        return _cell_numbers(column, cell, most)
    if cell.kind != CHAR and cell.count:
        cell.rest.fail(f"is {CLASSES[cell.kind]}, and {column} is declared as text")
    rows = cell.text(most) if cell.kind == CHAR else []
    if len(rows) > 1:
        cell.rest.fail(f"has {len(rows):,} rows of text, and a sample is one")
    return rows[0] if rows else ""


def _cell_numbers(column: Column, cell: Matrix, most: int) -> np.ndarray:
    if cell.kind not in NUMERIC:
        cell.rest.fail(f"is {CLASSES[cell.kind]}, and {column} is declared as {column.dtype}")
    stored, tag = cell.values()
    shape = _cell_shape(column, cell.dims)
    if column.is_ragged and cell.count > most:
        cell.rest.fail(f"holds {cell.count:,} numbers, more than the {most:,} that a file of its size may come to")
    if shape is None:
        reason = f"{_whose(cell)} has the shape {cell.dims}, {column} is declared as {list(column.shape)}"
        raise ContentError(
            column.file, reason, aspect="shape", expected=list(column.shape), actual=list(cell.dims), column=str(column)
        )
    data = cell.rest.bytes_of(tag).take(tag.size, "its numbers")
    cell.rest.pad(tag)
    values = native(np.frombuffer(data, stored), column.file, _whose(cell))
    return values.reshape(shape, order="F")


def _cell_shape(column: Column, dims: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of a sample that a cell of these dimensions is; None if it is none that is declared."""
    longer = tuple(length for length in dims if length != 1)
    if not column.is_ragged:
        return column.sample_shape if longer == tuple(length for length in column.sample_shape if length != 1) else None
    nothing = tuple(length or 0 for length in column.shape)
    shapes = (dims, longer or (1,), nothing if 0 in dims else dims)
    return next((shape for shape in shapes if _is_one_of(column.shape, shape)), None)


def _is_one_of(declared: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(declared) == len(shape) and all(
        length in (None, stored) for length, stored in zip(declared, shape, strict=True)
    )


_VALUES: Mapping[int, Callable[[Column, Matrix], Iterator[Block]]] = {
    **dict.fromkeys(NUMERIC, _numbers),
    CHAR: _texts,
    CELL: _cells,
}
