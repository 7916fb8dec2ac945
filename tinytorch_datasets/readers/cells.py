"""Cells of a table as the numbers, labels, texts and marks of a field."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets.errors import did_you_mean
from tinytorch_datasets.plan import MAX_EXACT, Column, RaggedBlock
from tinytorch_datasets.readers.rows import WHITESPACE, Cells, Dialect, Piece, TableText
from tinytorch_datasets.readers.text import REAL, is_missing
from tinytorch_datasets.storage.string_array import StringArray

# How many numbers of lists in cells are looked at together.
NUMBERS_AT_ONCE = 1 << 16

BOOLS = {"0": False, "1": True, "false": False, "true": True}
_SPELLED_BOOLS = [spelled for word in BOOLS for spelled in dict.fromkeys((word, word.capitalize(), word.upper()))]

# int() and float() also read 1_000, digits of other scripts, nan and inf. One look over all cells at once finds the
# characters that those need, so that cells are looked at one by one only when something is wrong.
_NOT_WHOLE = re.compile(r"[^ 0-9+-]")
_NOT_REAL = re.compile(r"[^ 0-9.eE+-]")
_WHOLE = re.compile(r" *[+-]?[0-9]{1,40} *")


def values(column: Column, cells: Cells | Piece, places: Sequence[int]) -> np.ndarray | StringArray | RaggedBlock:
    """Return the values of one field in all of these rows, in its declared dtype and shape.

    Raises:
        ContentError: A cell is empty, not a number, not finite, does not fit the dtype, or is not a class.
    """
    if has_lists(column, cells.table, places):
        return _lists(column, cells, places[0])
    is_number = not column.is_text and column.classes is None and column.dtype != "bool"
    if isinstance(cells, Piece) and is_number and places:
        fast = _plain_numbers(column, cells, places)
        if fast is not None:
            return fast.reshape(len(cells), *column.shape)
        cells = cells.one_by_one()  # which says what is wrong, and where
    if isinstance(cells, Piece) and column.is_text and len(places) == 1:
        return cells.strings(places[0])
    if isinstance(cells, Piece) and places and (known := _plain_labels(column, cells, places)) is not None:
        return known.reshape(len(cells), *column.shape)
    picked = cells.texts(places)
    if column.is_text:
        return StringArray.of(picked)  # each is encoded once, and both written and hashed as it is then
    if column.stored == "one-hot":  # as pandas writes its dummies: True and False
        picked = [str(int(BOOLS[low])) if (low := cell.strip(" ").lower()) in BOOLS else cell for cell in picked]
    plain = cells.table.number or str
    absent = _absent(column, picked, plain)
    for at in absent:
        picked[at] = "0"
    if cells.table.number and is_number:
        picked = list(map(cells.table.number, picked))
    if column.classes is not None:
        ids = {name: number for number, name in enumerate(column.spelled or ())}
        try:
            labels = [ids[cell] for cell in picked]
        except KeyError:
            labels = _labels_by_value(picked, ids)
        if len(labels) < len(picked):
            _no_class(column, cells, places, ids)
        flat = np.array(labels, np.int64)
    elif column.dtype == "bool":
        try:
            flat = np.array([BOOLS[cell.strip(" ").lower()] for cell in picked], np.bool_)
        except KeyError:
            _wrong(column, cells, places, lambda c: c.strip(" ").lower() not in BOOLS, "neither true nor false")
    elif np.dtype(column.dtype).kind in "iu":
        flat = _whole(column, cells, places, picked, plain)
        if column.missing:
            value = column.missing_value
            assert value is not None, "the manifest refuses whole numbers without it"
            if np.count_nonzero(flat == value) > (len(absent) if value == 0 else 0):
                says = "the `missing_value`, and no mark of a missing value"
                _wrong(column, cells, places, lambda c: int(plain(c)) == value, says)
            flat[absent] = value
    else:
        flat = _real(column, cells, places, picked, plain)
        if absent:
            flat[absent] = np.nan  # one pattern of bits, so that digests of values agree everywhere
    return flat.reshape(len(cells), *column.shape)


def has_lists(column: Column, table: TableText, places: Sequence[int]) -> bool:
    """Check whether the cells of a column each hold all numbers of a sample."""
    return column.is_ragged or bool(
        table.between_numbers and column.shape and len(places) == 1 and math.prod(column.sample_shape) != 1
    )


def _lists(column: Column, cells: Cells | Piece, place: int) -> np.ndarray | RaggedBlock:
    """Return samples of which each is one cell of several numbers."""
    between = cells.table.between_numbers
    texts = cells.texts([place])
    split = [text.split(None if between == WHITESPACE else between) if text.strip() else [] for text in texts]
    size = math.prod(column.sample_shape)
    counts = np.fromiter(map(len, split), np.int64, len(split))
    wrong = np.flatnonzero(counts % size if column.is_ragged and size else counts != size)
    if wrong.size:
        at = int(wrong[0])
        rows = cells.one_by_one()
        where, _ = rows.find([place], lambda cell: cell == texts[at])
        shape = str(list(column.shape)).replace("None", "null")
        reason = f"{where}: {counts[at]:,} numbers, and the shape {shape} needs {size:,}"
        reason += " of them, or a multiple" if column.is_ragged else ""
        rows.table.stream.refuse(reason, aspect="shape", expected=size, actual=int(counts[at]), column=str(column))
    single = replace(column, shape=())
    flat = [number for numbers in split for number in numbers]
    flat_values = _plain_list(single, cells.table, flat)
    if flat_values is None:
        numbers = cells.one_by_one().numbers_of(place, split)
        flat_values = np.asarray(values(single, numbers, [place]))
    if not column.is_ragged:
        return flat_values.reshape(len(split), *column.shape)
    shapes = np.array([[length or 0 for length in column.shape]] * len(split), np.int64).reshape(len(split), -1)
    shapes[:, column.shape.index(None)] = counts // max(size, 1)
    return RaggedBlock(flat_values, shapes)


def _plain_list(column: Column, table: TableText, cells: Sequence[str]) -> np.ndarray | None:
    """Return a list of numbers as `_plain_numbers` does."""
    table, dialect, values = replace(table, names=None, width=1), Dialect("\x1f"), []
    if column.dtype == "bool":
        return None
    for start in range(0, len(cells), NUMBERS_AT_ONCE):
        some = cells[start : start + NUMBERS_AT_ONCE]
        text = "\n".join(some)
        if text.count("\n") + 1 != len(some) or dialect.sign in text or '"' in text:
            return None
        try:
            numbers = _plain_numbers(column, Piece(table, dialect, 1, text.encode()), [0])
        except ValueError:
            return None
        if numbers is None:
            return None
        values.append(numbers)
    return np.concatenate(values) if values else np.empty(0, column.dtype)


def _plain_numbers(column: Column, piece: Piece, places: Sequence[int]) -> np.ndarray | None:
    """Return the numbers of a field as bytes show them, in its dtype; None where one is in doubt, or is wrong."""
    dtype = np.dtype(column.dtype)
    is_whole = dtype.kind in "iu"
    values, unread = piece.numbers(places, whole=is_whole)
    plain = piece.table.number or str
    is_absent = np.zeros(len(values), np.bool_)
    if column.missing:
        _, numbers = _marks(column, plain)
        if any(abs(number) > MAX_EXACT for number in numbers):
            return None
        for number in numbers:
            is_absent |= values == number
        is_absent[unread] = False
    if len(unread):
        cells = piece.texts(places, unread)
        if column.missing:
            is_mark = _mark_test(column, plain)
            answers = {cell: is_mark(cell) for cell in set(cells)}
            is_absent[unread] = [answers[cell] for cell in cells]
            unread = unread[~is_absent[unread]]
            cells = [cell for cell in cells if not answers[cell]]
        read = _read(list(map(plain, cells)) if piece.table.number else cells, is_whole=is_whole)
        if read is None or (is_whole and not all(-(2**63) <= number < 2**63 for number in read)):
            return None
        values[unread] = read
    known = values[~is_absent] if column.missing else values
    if is_whole:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if len(known) and not (low <= known.min() and known.max() <= high):
            return None
        if column.missing and (known == column.missing_value).any():
            return None
        values[is_absent] = column.missing_value or 0
        return values.astype(dtype)
    with np.errstate(over="ignore"):  # which is not finite, and reported by who reads it again
        values[is_absent] = 0
        flat = values.astype(dtype)
    if not np.isfinite(flat).all():
        return None
    flat[is_absent] = np.nan
    return flat


def _plain_labels(column: Column, piece: Piece, places: Sequence[int]) -> np.ndarray | None:
    """Return the labels or truths of a field as bytes show them; None where one is in doubt, or is none."""
    words = _SPELLED_BOOLS if column.dtype == "bool" and column.classes is None else column.spelled
    if not words or column.missing or column.stored == "one-hot":
        return None
    positions = piece.positions(places, words)
    if positions is None or (positions < 0).any():
        return None
    return positions if column.classes is not None else np.array([BOOLS[word.lower()] for word in words])[positions]


def _read(cells: Sequence[str], *, is_whole: bool) -> list[Any] | None:
    """Return numbers with a decimal point at most, or None if one is none."""
    if (_NOT_WHOLE if is_whole else _NOT_REAL).search("".join(cells)):
        return None
    try:
        return list(map(int if is_whole else float, cells))
    except ValueError:
        return None


def _absent(column: Column, picked: Sequence[str], plain: Callable[[str], str]) -> list[int]:
    """Return the positions of cells that are marks of a missing value."""
    if not column.missing:
        return []
    is_mark = _mark_test(column, plain)
    answers = {cell: is_mark(cell) for cell in set(picked)}
    return [at for at, cell in enumerate(picked) if answers[cell]]


def _marks(column: Column, plain: Callable[[str], str]) -> tuple[frozenset[str], set[int | float]]:
    """Return the marks of a missing value, and those of them that are numbers as numbers."""
    texts = frozenset(mark for mark in column.missing if mark is not None)
    return texts, {_number(plain(mark)) for mark in texts if REAL.fullmatch(plain(mark))}


def _mark_test(column: Column, plain: Callable[[str], str] = str) -> Callable[[str], bool]:
    """Return what checks whether a cell is a mark: the same text, or for a mark that is a number, the same number."""
    texts, numbers = _marks(column, plain)

    def is_mark(cell: str) -> bool:
        if cell.strip(" \t") in texts:
            return True
        return bool(numbers) and REAL.fullmatch(plain(cell)) is not None and _number(plain(cell)) in numbers

    return is_mark


def _number(cell: str) -> int | float:
    return int(cell) if _WHOLE.fullmatch(cell) else float(cell)


def _whole(
    column: Column, cells: Cells | Piece, places: Sequence[int], picked: Sequence[str], plain: Callable[[str], str]
) -> np.ndarray:
    dtype = np.dtype(column.dtype)
    lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    numbers = _read(picked, is_whole=True) or []
    if picked and not numbers:
        _wrong(column, cells, places, lambda c: not _WHOLE.fullmatch(plain(c)), "not a whole number")
    if numbers and not lowest <= min(numbers) <= max(numbers) <= highest:
        says = f"outside {lowest} to {highest}, what {dtype} can hold"
        _wrong(column, cells, places, lambda c: not lowest <= int(plain(c)) <= highest, says)
    return np.array(numbers, dtype)


def _real(
    column: Column, cells: Cells | Piece, places: Sequence[int], picked: Sequence[str], plain: Callable[[str], str]
) -> np.ndarray:
    dtype = np.dtype(column.dtype)
    numbers = _read(picked, is_whole=False) or []
    if picked and not numbers:
        _wrong(column, cells, places, lambda c: not REAL.fullmatch(plain(c)), "not a number")
    with np.errstate(over="ignore"):  # noticed and reported just below
        flat = np.array(numbers, np.float64).astype(dtype)
        if not np.isfinite(flat).all():
            says = f"more than {dtype} can hold"
            _wrong(column, cells, places, lambda c: not np.isfinite(np.float64(plain(c)).astype(dtype)), says)
    return flat


def _labels_by_value(picked: Sequence[str], ids: Mapping[str, int]) -> list[int]:
    """Return the labels of cells that spell the number of a class otherwise, 1.0 for 1, up to one that is no class."""
    numbers = {float(name): label for name, label in ids.items() if REAL.fullmatch(name)}
    if len(numbers) < len(ids):
        return []
    # Beyond 2**53 a float is several whole numbers, of which only the spelling says which it is.
    numbers = {number: label for number, label in numbers.items() if abs(number) < 2**53}
    labels = (ids.get(cell, numbers.get(float(cell))) if REAL.fullmatch(cell) else None for cell in picked)
    return [label for label in itertools.takewhile(lambda label: label is not None, labels) if label is not None]


def _no_class(column: Column, cells: Cells | Piece, places: Sequence[int], ids: dict[str, int]) -> NoReturn:
    where, cell = cells.one_by_one().find(places, lambda cell: cell not in ids and not _labels_by_value([cell], ids))
    reason = f"{where}: {_shown(cell)} is not one of the {len(ids)} classes of {column.field}{did_you_mean(cell, ids)}"
    cells.table.stream.refuse(reason, aspect="labels", expected=tuple(ids), actual=cell, column=str(column))


def _wrong(
    column: Column, cells: Cells | Piece, places: Sequence[int], wrong: Callable[[str], bool], says: str
) -> NoReturn:
    is_mark = _mark_test(column, cells.table.number or str)
    where, cell = cells.one_by_one().find(places, lambda cell: not is_mark(cell) and wrong(cell))
    reason = f"{where}: {_shown(cell)} is {says}" if cell.strip() else f"{where}: the cell is empty"
    hint = _declare_mark(column, cell.strip(" \t")) if is_missing(cell) and column.dtype != "bool" else None
    cells.table.stream.refuse(reason, aspect="dtype", expected=column.dtype, actual=cell, column=str(column), hint=hint)


def _declare_mark(column: Column, mark: str) -> str:
    """Say how a cell that looks like a missing value is declared to be one."""
    if column.missing:
        return f"If it means a missing value, add {mark!r} to `missing` of {column.field}."
    value = "" if np.dtype(column.dtype).kind == "f" else ", and a `missing_value` that is no value of the data"
    return f"If it means a missing value, declare `missing: [{mark!r}]` for {column.field}{value}."


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "...")
