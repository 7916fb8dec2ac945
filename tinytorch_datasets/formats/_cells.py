"""What value does a cell of text stand for?"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NoReturn

import numpy as np

from tinytorch_datasets.errors import did_you_mean
from tinytorch_datasets.formats._stream import Stream
from tinytorch_datasets.plan import Column

BOOLS = {"0": False, "1": True, "false": False, "true": True}

# How a number is spelled in a table.
REAL = re.compile(r" *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)? *")

# int() and float() also read 1_000, digits of other scripts, nan and inf. One look over all cells at once finds the
# characters that those need, so that cells are looked at one by one only when something is wrong.
_NOT_WHOLE = re.compile(r"[^ 0-9+-]")
_NOT_REAL = re.compile(r"[^ 0-9.eE+-]")
_WHOLE = re.compile(r" *[+-]?[0-9]{1,40} *")


class Cells:
    """Some rows of a table, with what is needed to say where in it a cell is."""

    def __init__(self, stream: Stream, names: Sequence[str] | None) -> None:
        self.stream, self.names = stream, names
        self.lines: list[int] = []
        self.rows: list[list[str]] = []

    def add(self, line: int, row: list[str]) -> None:
        """One more row, which begins on that line."""
        self.lines.append(line)
        self.rows.append(row)

    def find(self, places: Sequence[int], wrong: Callable[[str], bool]) -> tuple[str, str]:
        """The first wrong cell: where it is, and what it says."""
        for line, row in zip(self.lines, self.rows, strict=True):
            for place in places:
                if wrong(row[place]):
                    name = f" ({self.names[place]!r})" if self.names else ""
                    return f"line {line:,}, column {place + 1:,}{name}", row[place]
        raise AssertionError("no cell is wrong")  # noqa: EM101 -- a fault of ours, never shown


def values(column: Column, cells: Cells, places: Sequence[int]) -> np.ndarray | list[str]:
    """The values of one field in all of these rows, in its declared dtype and shape.

    Raises:
        ContentError: A cell is empty, not a number, not finite, does not fit the dtype, or is not a class.
    """
    picked = _picked(cells.rows, places)
    if column.is_text:
        return picked
    if column.classes is not None:
        ids = {name: number for number, name in enumerate(column.classes)}
        try:
            flat = np.array([ids[cell] for cell in picked], np.int64)
        except KeyError:
            _no_class(column, cells, places, ids)
    elif column.dtype == "bool":
        try:
            flat = np.array([BOOLS[cell.strip(" ").lower()] for cell in picked], np.bool_)
        except KeyError:
            _wrong(column, cells, places, lambda c: c.strip(" ").lower() not in BOOLS, "neither true nor false")
    elif np.dtype(column.dtype).kind in "iu":
        flat = _whole(column, cells, places, picked)
    else:
        flat = _real(column, cells, places, picked)
    return flat.reshape(len(cells.rows), *column.shape)


def _picked(rows: Sequence[Sequence[str]], places: Sequence[int]) -> list[str]:
    if len(places) == 1:
        return [row[places[0]] for row in rows]
    if not places:
        return []
    pick = itemgetter(*places)
    return [cell for row in rows for cell in pick(row)]


def _whole(column: Column, cells: Cells, places: Sequence[int], picked: Sequence[str]) -> np.ndarray:
    dtype = np.dtype(column.dtype)
    lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    try:
        numbers = [] if _NOT_WHOLE.search("".join(picked)) else list(map(int, picked))
    except ValueError:
        numbers = []
    if picked and not numbers:
        _wrong(column, cells, places, lambda c: not _WHOLE.fullmatch(c), "not a whole number")
    if numbers and not lowest <= min(numbers) <= max(numbers) <= highest:
        says = f"outside {lowest} to {highest}, what {dtype} can hold"
        _wrong(column, cells, places, lambda c: not lowest <= int(c) <= highest, says)
    return np.array(numbers, dtype)


def _real(column: Column, cells: Cells, places: Sequence[int], picked: Sequence[str]) -> np.ndarray:
    dtype = np.dtype(column.dtype)
    try:
        numbers = [] if _NOT_REAL.search("".join(picked)) else list(map(float, picked))
    except ValueError:
        numbers = []
    if picked and not numbers:
        _wrong(column, cells, places, lambda c: not REAL.fullmatch(c), "not a number")
    with np.errstate(over="ignore"):  # found and told just below
        flat = np.array(numbers, np.float64).astype(dtype)
        if not np.isfinite(flat).all():
            says = f"more than {dtype} can hold"
            _wrong(column, cells, places, lambda c: not np.isfinite(np.float64(c).astype(dtype)), says)
    return flat


def _no_class(column: Column, cells: Cells, places: Sequence[int], ids: dict[str, int]) -> NoReturn:
    where, said = cells.find(places, lambda cell: cell not in ids)
    reason = f"{where}: {_shown(said)} is not one of the {len(ids)} classes of {column.field}{did_you_mean(said, ids)}"
    cells.stream.refuse(reason, aspect="labels", expected=tuple(ids), actual=said, column=str(column))


def _wrong(column: Column, cells: Cells, places: Sequence[int], wrong: Callable[[str], bool], says: str) -> NoReturn:
    where, said = cells.find(places, wrong)
    reason = f"{where}: {_shown(said)} is {says}" if said.strip() else f"{where}: the cell is empty"
    cells.stream.refuse(reason, aspect="dtype", expected=column.dtype, actual=said, column=str(column))


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "...")
