"""MAT: the variables of MATLAB's files of version 5, which need no MATLAB."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeAlias

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError, did_you_mean
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
from tinytorch_datasets.readers.arrays import blocks, check_within_declared, max_decoded
from tinytorch_datasets.readers.mat import CELL, CHAR, CLASSES, MOST_DEPTH, NUMERIC, STRUCT, Matrix
from tinytorch_datasets.readers.mat_cells import Samples, cell_numbers, check_count, fitted, whose_is


def _detect(head: bytes, path: Path) -> Detection | None:
    if _is_version_4(head):
        return Detection(Certainty.CERTAIN, lambda: _refuse_version_4(path))
    if not reader.is_mat(head) or head[124:128] in reader.HDF5_INSIDE:
        return None
    return Detection(Certainty.CERTAIN, lambda: _inspect(path))


def _is_version_4(head: bytes) -> bool:
    """Check whether a file begins with the header of a matrix of version 4: its type, size, and name behind that.

    Source: "MAT-File Level 4 Format" in "MAT-File Format", The MathWorks.
    """
    if len(head) < 22:
        return False
    order = "<" if head[3] == 0 else ">"
    kind, rows, columns, imaginary, length = struct.unpack(f"{order}5i", head[:20])
    machine, rest, stored, matrix = kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10
    is_type = 0 <= kind < 5000 and machine == (order == ">") and not rest and stored <= 5 and matrix <= 2
    has_name = 1 < length <= 64 and re.fullmatch(rb"[A-Za-z]\w*\0", head[20 : 20 + length]) is not None
    return is_type and has_name and rows >= 0 and columns >= 0 and imaginary in (0, 1)


def _refuse_version_4(path: Path) -> NoReturn:
    hint = "Save it again: by `scipy.io.savemat(file, scipy.io.loadmat(file))`, or by MATLAB with -v7."
    raise DecodeError(path, "it is a MATLAB file of version 4, which is not read", hint=hint)


def _inspect(path: Path) -> FileInfo:
    arrays, left_out = list[ArrayInfo](), list[str]()
    with opened_source(ByteSource(path), limit=INSPECTED_BYTES, limit_reason=INSPECTED) as stream:
        for variable in reader.variables(stream, limit=INSPECTED_BYTES, limit_reason=INSPECTED):
            for path_to, matrix in _leaves(variable.name, variable):
                for key, described in _described(path_to, matrix):
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


Described: TypeAlias = "tuple[str, tuple[int | None, ...]] | str"


def _described(key: str, matrix: Matrix) -> Iterator[tuple[str, Described]]:
    """Yield what an array is, or each field of an array of structs, by its key."""
    if matrix.kind != STRUCT or sum(length != 1 for length in matrix.dims) > 1:
        yield key, _describe(matrix)
        return
    fields = dict[str, _Alike]()
    for name, field in matrix.fields():
        fields.setdefault(name, _Alike()).add(field.contents())
    yield from ((f"{key}.{name}", alike.described()) for name, alike in fields.items())


class _Alike:
    """What the samples of a field have in common: cells, or fields of structs."""

    def __init__(self) -> None:
        self._kinds, self._shapes, self._count = set[str](), set[tuple[int, ...]](), 0
        self._why = ""

    def add(self, cell: Matrix) -> None:
        """Take in one more."""
        self._count += 1
        if cell.kind not in NUMERIC and cell.kind != CHAR:
            self._why = f"cells with {CLASSES[cell.kind]} in them"
        elif cell.kind == CHAR:
            self._kinds.add(TEXT)
        elif cell.is_complex:
            self._why = "complex"
        elif cell.count:
            self._kinds.add(cell.values()[0].name)
        self._shapes.add(tuple(length for length in cell.dims if length != 1))

    def described(self) -> Described:
        """Return their dtype and shape, samples first; or why they cannot be declared."""
        if self._why or len(self._kinds) != 1:
            return self._why or ("cells of several types" if self._kinds else "empty cells")
        (kind,) = self._kinds
        if kind == TEXT:
            return TEXT, (self._count,)
        if len(self._shapes) == 1:
            return kind, (self._count, *self._shapes.pop())
        if any(len(shape) > 1 and 0 not in shape for shape in self._shapes):
            return "cells of several shapes"
        return kind, (self._count, None)


def _describe(matrix: Matrix) -> Described:
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
    alike = _Alike()
    for cell in matrix.cells():
        alike.add(cell.contents())
    return alike.described()


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
    is a sample: 36 x 39 arrays of (20, 16) are 36 samples of `[39, 20, 16]`. Of an array of structs, or of cells with a
    struct each, every struct is a sample: `annotations.fname` are the fields of that name of all of them. A cell with
    one cell in it is what that one holds. Complex numbers, sparse matrices and
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
                if key in wanted:
                    missing.pop(key)
                    yield from _VALUES.get(matrix.kind, _refuse)(wanted[key], matrix)
                else:
                    yield from _structs(key, matrix, wanted, missing, names)
                if matrix.rest.left:
                    matrix.rest.fail(f"has {matrix.rest.left:,} bytes more than its values")
        for key in missing:
            stream.fail(f"it has no variable {key!r}{did_you_mean(key, names)}")


def _met(key: str, matrix: Matrix, wanted: Mapping[str, Column], names: list[str]) -> Iterator[tuple[str, Matrix]]:
    """Yield what is asked for of an array, which may be in a struct, or structs of which fields are asked for.

    `names` takes in what is met.
    """
    if len(names) < NAMES_COMPARED:
        names.append(key)
    if key in wanted:
        yield key, matrix
    elif any(other.startswith(f"{key}.") for other in wanted):
        if matrix.kind not in (STRUCT, CELL):
            matrix.rest.fail(f"is {CLASSES[matrix.kind]}, and no struct")
        if matrix.kind == CELL or matrix.count != 1:
            yield key, matrix
            return
        for name, field in matrix.fields():
            yield from _met(f"{key}.{name}", field, wanted, names)


def _structs(
    key: str, matrix: Matrix, wanted: Mapping[str, Column], missing: dict[str, None], names: list[str]
) -> Iterator[Block]:
    """Yield the fields of many structs, in an array or in cells, each of which is a sample."""
    if sum(length != 1 for length in matrix.dims) > 1:
        matrix.rest.fail(f"is {matrix.count:,} structs of the shape {matrix.dims}, and samples are along one axis")
    samples = {of: Samples(column) for of, column in wanted.items() if of.startswith(f"{key}.")}
    for of in samples:
        missing.pop(of)
        check_count(wanted[of], matrix.count, whose_is(matrix))
    count = 0
    for count, fields in enumerate(_each(matrix), 1):
        for name, field in fields:
            for path, found in _met(f"{key}.{name}", field, wanted, names):
                if path not in samples:
                    found.rest.fail("is several structs in one, and a sample is one value")
                yield from samples[path].add(found.contents())
        _check_fields(matrix, samples, count, names)
    _check_fields(matrix, samples, matrix.count, names)
    for its in samples.values():
        yield from its.rest()


def _check_fields(matrix: Matrix, samples: Mapping[str, Samples], count: int, names: Sequence[str]) -> None:
    for of, its in samples.items():
        if its.count != count:
            matrix.rest.stream.fail(f"it has no variable {of!r}{did_you_mean(of, names)}")


def _each(matrix: Matrix) -> Iterator[Iterator[tuple[str, Matrix]]]:
    """Yield the fields of one struct after the other, each to be read before the next."""
    if matrix.kind == CELL:
        for cell in matrix.cells():
            inner = cell.contents()
            if inner.kind != STRUCT or inner.count != 1:
                inner.rest.fail(f"is {CLASSES[inner.kind]}, and no struct")
            yield inner.fields()
        return
    yield from matrix.structs()


def _refuse(column: Column, matrix: Matrix) -> Iterator[Block]:
    hints = {
        STRUCT: "Name a field of it, as in `key: name.field`.",
        reader.SPARSE: "Save it as a full matrix: full(x).",
    }
    matrix.rest.fail(f"is {CLASSES[matrix.kind]}, which is not read as a field", hint=hints.get(matrix.kind))


def _numbers(column: Column, matrix: Matrix) -> Iterator[Block]:
    """Yield the numbers of an array."""
    path, whose = matrix.rest.stream.path, whose_is(matrix)
    stored, tag = matrix.values()
    declared = np.dtype(np.float64) if column.is_text else np.dtype(column.dtype)
    shape = check_within_declared(column, declared, matrix.dims, path, whose)
    for block in blocks(column, matrix.rest.bytes_of(tag), stored, shape, whose, is_fortran=True):
        values = block.values
        if isinstance(values, RaggedBlock):
            numbers = fitted(column, values.values.reshape(len(values), -1), block.start)
            yield Block(column, block.start, RaggedBlock(numbers.reshape(-1), values.shapes))
        else:
            yield Block(column, block.start, fitted(column, np.asarray(values), block.start))
    matrix.rest.pad(tag)


def _texts(column: Column, matrix: Matrix) -> Iterator[Block]:
    """Yield the rows of an array of characters."""
    _check_text(column, matrix.dims[0], matrix)
    yield Block(column, 0, matrix.text(max_decoded(column.file, column.count)))


def _check_text(column: Column, count: int, matrix: Matrix) -> None:
    whose = whose_is(matrix)
    if not column.is_text and column.classes is None:
        reason = f"{whose} holds text, {column} is declared as {column.dtype}"
        raise ContentError(column.file, reason, aspect="dtype", expected=column.dtype, actual=TEXT, column=str(column))
    check_count(column, count, whose)


def _cells(column: Column, matrix: Matrix) -> Iterator[Block]:
    """Yield cells, each a sample."""
    if sum(length != 1 for length in matrix.dims) > 1:
        yield _grid(column, matrix)
        return
    check_count(column, matrix.count, whose_is(matrix))
    samples = Samples(column)
    for cell in matrix.cells():
        yield from samples.add(cell.contents())
    yield from samples.rest()


def _grid(column: Column, matrix: Matrix) -> Block:
    """Return cells of several rows and columns, each an array of one shape: a row is a sample."""
    rows, *others = matrix.dims
    check_count(column, rows, whose_is(matrix))
    each = replace(column, shape=column.shape[len(others) :])
    if column.is_text or column.is_ragged or column.classes or list(column.shape[: len(others)]) != others:
        matrix.rest.fail(
            f"has cells of the shape {matrix.dims}, of which a row is a sample",
            hint=f"Declare a shape that begins with {', '.join(map(str, others))}, then that of the array in a cell.",
        )
    values = np.empty((rows, *column.sample_shape), column.dtype)
    places = np.ndindex(*reversed(matrix.dims))  # the cells of a column come one after the other
    for place, cell in zip(places, matrix.cells(), strict=True):
        numbers = cell_numbers(each, cell, 0)
        values[place[::-1]] = fitted(column, numbers[np.newaxis], place[-1]).reshape(each.sample_shape)
    return Block(column, 0, values)


_VALUES: Mapping[int, Callable[[Column, Matrix], Iterator[Block]]] = {
    **dict.fromkeys(NUMERIC, _numbers),
    CHAR: _texts,
    CELL: _cells,
}
