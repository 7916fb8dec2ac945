"""Samples of MATLAB files that come one by one: cells, and fields of structs.

Each is a text, a number or an array, stored in as few bytes as will do; what it must be is what its column declares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytorch_datasets.errors import ContentError
from tinytorch_datasets.plan import Block, Column, RaggedBlock
from tinytorch_datasets.readers.arrays import BLOCK_BYTES, exact, max_decoded, native
from tinytorch_datasets.readers.mat import CELL, CHAR, CLASSES, NUMERIC, STRUCT, Matrix

SAMPLES_A_BLOCK = 4096


def whose_is(matrix: Matrix) -> str:
    """Return what an array is called at the front of a sentence."""
    return matrix.rest.whose.rstrip(",")


def fitted(column: Column, values: np.ndarray, start: int) -> np.ndarray:
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


def check_count(column: Column, count: int, whose: str) -> None:
    """Compare a number of samples with the declared one.

    Raises:
        ContentError: It is larger.
    """
    if count > column.count:
        reason = f"{whose} has {count:,} samples, more than the {column.count:,} that {column} declares"
        raise ContentError(
            column.file, reason, aspect="samples", expected=column.count, actual=count, column=str(column)
        )


class Samples:
    """The samples of a column that come one by one, in cells or in fields of structs, put together into blocks."""

    def __init__(self, column: Column) -> None:
        self._column, self.count = column, 0
        self._take = _cell_text if column.is_text or column.classes is not None else cell_numbers
        self._most = max_decoded(column.file, column.count)
        self._held, self._held_bytes = list[Any](), 0

    def add(self, cell: Matrix) -> Iterator[Block]:
        """Take in one more, and yield a block of those that are held if they are many."""
        column = self._column
        if cell.kind in (CELL, STRUCT):
            cell.rest.fail(f"is {CLASSES[cell.kind]} in a cell, which is not read")
        value = self._take(column, cell, self._most)
        if isinstance(value, np.ndarray):
            value = fitted(column, value[np.newaxis], self.count).reshape(value.shape)
        if self._held and isinstance(value, str) != isinstance(self._held[0], str):
            cell.rest.fail("is text among numbers, or a number among texts")
        if column.is_text or column.is_ragged:
            self._most -= len(value) if isinstance(value, str) else value.size
        self._held.append(value)
        self.count += 1
        self._held_bytes += value.nbytes if isinstance(value, np.ndarray) else len(value)
        if self._held_bytes > BLOCK_BYTES or len(self._held) == SAMPLES_A_BLOCK:
            yield from self.rest()

    def rest(self) -> Iterator[Block]:
        """Yield what is held, and at least one block in all."""
        if self._held or not self.count:
            held, self._held, self._held_bytes = self._held, [], 0
            yield Block(self._column, self.count - len(held), _joined(self._column, held))


def _joined(column: Column, held: list[Any]) -> Any:
    if column.is_ragged:
        dtype = np.result_type(*held) if held else np.dtype(column.dtype)
        return RaggedBlock.of(held, dtype, len(column.shape))
    if held and isinstance(held[0], np.ndarray):
        return np.stack(held)
    return held if column.is_text or column.classes else np.empty((0, *column.sample_shape), column.dtype)


def _cell_text(column: Column, cell: Matrix, most: int) -> Any:
    if cell.kind in NUMERIC and column.classes is not None:
        return cell_numbers(column, cell, most)
    if cell.kind != CHAR and cell.count:
        cell.rest.fail(f"is {CLASSES[cell.kind]}, and {column} is declared as text")
    rows = cell.text(most) if cell.kind == CHAR else []
    if len(rows) > 1:
        cell.rest.fail(f"has {len(rows):,} rows of text, and a sample is one")
    return rows[0] if rows else ""


def cell_numbers(column: Column, cell: Matrix, most: int) -> np.ndarray:
    """Return the numbers of a cell in the declared shape, as they are stored.

    Raises:
        DecodeError: It has none.
        ContentError: They are of another shape.
    """
    if cell.kind not in NUMERIC:
        cell.rest.fail(f"is {CLASSES[cell.kind]}, and {column} is declared as {column.dtype}")
    stored, tag = cell.values()
    shape = _cell_shape(column, cell.dims)
    if column.is_ragged and cell.count > most:
        cell.rest.fail(f"holds {cell.count:,} numbers, more than the {most:,} that a file of its size may come to")
    if shape is None:
        reason = f"{whose_is(cell)} has the shape {cell.dims}, {column} is declared as {list(column.shape)}"
        raise ContentError(
            column.file, reason, aspect="shape", expected=list(column.shape), actual=list(cell.dims), column=str(column)
        )
    data = cell.rest.bytes_of(tag).take(tag.size, "its numbers")
    cell.rest.pad(tag)
    values = native(np.frombuffer(data, stored), column.file, whose_is(cell))
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
