"""UTF-8 lines, table columns, and cells as numbers and missing values.

UTF-8, strictly. Lines end in LF and nowhere else: str.splitlines would also cut at twelve other characters.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import NoReturn

import numpy as np

from tinytorch_datasets.errors import Keys, did_you_mean
from tinytorch_datasets.plan import ByteSource, Column
from tinytorch_datasets.readers.archive import INFLATION, SMALL_TEXT, opened_source
from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.verify.diagnose import wrong_content

BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 20

CHARACTERS_A_NUMBER = 32


@contextmanager
def opened_text(source: ByteSource, columns: Iterable[Column]) -> Iterator[Stream]:
    """Open a text file, plain, compressed or in an archive, bounded by its size on disk and its declared numbers."""
    on_disk = source.path.stat().st_size
    numbers = sum(column.nbytes for column in columns)
    limit = max(INFLATION * on_disk, CHARACTERS_A_NUMBER * numbers) + SMALL_TEXT
    limit_reason = f"the file has {on_disk:,}" + (f" and its declared numbers take {numbers:,}" if numbers else "")
    with opened_source(source, limit=limit, limit_reason=limit_reason) as stream:
        yield stream


def is_text(head: bytes) -> bool:
    """Check whether the first bytes of a file are UTF-8 text, and neither a web page nor an error of a server."""
    if b"\0" in head or not head:
        return False
    try:
        head[: max(len(head) - 4, 1)].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start <= len(head) - 8 or not error.start:
            return False  # not only a character that the end of the head has cut
    return wrong_content(head, "data") is None


def document(stream: Stream, *, plain: bool = False) -> str:
    """Return all of the text, as it is. A carriage return is an error, because it would be a character to learn.

    With `plain`, a byte order mark at the front is dropped and CRLF comes as LF, as editors read them.
    """
    data = stream.whole()
    if plain:
        data = data.removeprefix(BOM).replace(b"\r\n", b"\n")
    if data.startswith(BOM):
        _fail_at_line(stream, 1, "a byte order mark (BOM)")
    wrong_end = "a carriage return that ends no line" if plain else "a carriage return: lines must end in LF, not CRLF"
    for byte, what in ((b"\0", "a NUL character"), (b"\r", wrong_end)):
        if (at := data.find(byte)) >= 0:
            _fail_at_line(stream, data.count(b"\n", 0, at) + 1, what)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        _fail_at_line(stream, data.count(b"\n", 0, error.start) + 1, _not_utf8(data, error))


def lines(stream: Stream, *, bom: bool = False, carriage_returns: bool = False) -> Iterator[str]:
    """Yield each line without its LF; `bom` lets a byte order mark stand at the front, where it is dropped."""
    number, rest, first = 0, b"", True
    # Full chunks, because a stream may come in single bytes, and each would copy the line begun.
    while chunk := stream.chunk():
        if first and chunk[:3] == BOM:
            if not bom:
                _fail_at_line(stream, 1, "a byte order mark (BOM)")
            chunk = chunk[3:]
        first = False
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            yield _line(stream, number, line, carriage_returns)
        if len(rest) > LONGEST_LINE:
            _line(stream, number + 1, rest, carriage_returns)
    if rest:
        yield _line(stream, number + 1, rest, carriage_returns)


def _line(stream: Stream, number: int, line: bytes, carriage_returns: bool) -> str:
    if len(line) > LONGEST_LINE:
        _fail_at_line(stream, number, f"more than {LONGEST_LINE:,} bytes in one line")
    if b"\0" in line:
        _fail_at_line(stream, number, "a NUL character")
    if b"\r" in line and not carriage_returns:
        _fail_at_line(stream, number, "a carriage return: lines must end in LF, not CRLF")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        _fail_at_line(stream, number, _not_utf8(line, error))


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> str:
    return f"bytes that are not UTF-8: {data[error.start : error.start + 4]!r}"


def _fail_at_line(stream: Stream, number: int, what: str) -> NoReturn:
    stream.fail(f"line {number:,} has {what}")


Wanted = Mapping[str, "str | int | list[str | int]"]


def places(
    stream: Stream, fields: Sequence[Column], wanted: Wanted, names: Sequence[str] | None, width: int
) -> dict[str, list[int]]:
    """Return, for each field, the numbers of its columns, from 0; one field may take all that are left."""
    found: dict[str, list[int]] = {}
    others: list[Column] = []
    for column in fields:
        if column.per == "split":
            stream.fail(f"{column} belongs to the split as a whole, for which a table has no place")
        if declared := _declared_places(column, wanted, names):
            found[column.field] = [
                _place(stream, column, place, names, width, keys=_declaring(column, wanted)) for place in declared
            ]
        else:
            others.append(column)
    if len(others) > 1:
        field_names = " and ".join(repr(column.field) for column in others)
        stream.fail(
            f"which columns are {field_names} cannot be told: name them in the option columns", keys=("options",)
        )
    if others:
        taken = {place for places in found.values() for place in places}
        found[others[0].field] = [place for place in range(width) if place not in taken]
    for column in fields:
        need, have = math.prod(column.sample_shape), len(found[column.field])
        if have != need:
            how = "are left for" if column in others else "are named for"
            stream.refuse(
                f"{have:,} columns {how} {column.field}, whose shape {column.shape} needs {need:,}",
                aspect="shape",
                expected=need,
                actual=have,
                column=str(column),
            )
    return found


def _declared_places(column: Column, wanted: Wanted, names: Sequence[str] | None) -> Sequence[str | int]:
    """Return the columns of a field that are declared: at its place, in the option, or by names; none if nothing is."""
    if column.columns:
        return column.columns
    if column.field in wanted:
        option = wanted[column.field]
        return option if isinstance(option, list) else [option]
    if column.key not in ("", column.field):
        return [column.key]
    if names and column.names:
        return column.names
    return [column.field] if names and column.field in names and column.shape == () else []


def _declaring(column: Column, wanted: Wanted) -> Keys:
    """Return the path in the entry of what `_declared_places` returns."""
    if not column.columns and column.field in wanted:
        return ("options", "columns", column.field)
    in_split = column.columns or column.key not in ("", column.field) or not column.names
    return ("splits", column.split, column.field) if in_split else ("fields", column.field, "names")


def _place(
    stream: Stream, column: Column, place: str | int, names: Sequence[str] | None, width: int, *, keys: Keys
) -> int:
    said = "its `column`" if column.columns else "its key" if place == column.key else "the option columns"
    if isinstance(place, int):
        if not -width <= place < width:
            stream.fail(f"{column.field} is column {place} by {said}, but a row has {width:,}", keys=keys)
        return place % width
    if names is None:
        reason = f"{column.field} is column {place!r} by {said}, but without a header columns have no names"
        stream.fail(reason, keys=keys)
    if place not in names:
        reason = f"its header has no column {place!r}, which is {column.field}{did_you_mean(place, names)}"
        stream.fail(reason, keys=keys)
    if names.count(place) > 1:
        stream.fail(f"its header has the column {place!r} twice", keys=keys)
    return names.index(place)


# What stands where a value is not known, folded; no column is called so.
MISSING = frozenset({"", "?", "-", "--", ".", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none"})


def is_missing(cell: str) -> bool:
    """Check whether a cell looks as if its value is not known."""
    return cell.strip().casefold() in MISSING


BOOLS = {"0": False, "1": True, "false": False, "true": True}

# How a number is spelled in a table.
REAL = re.compile(r" *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)? *")

# int() and float() also read 1_000, digits of other scripts, nan and inf. One look over all cells at once finds the
# characters that those need, so that cells are looked at one by one only when something is wrong.
_NOT_WHOLE = re.compile(r"[^ 0-9+-]")
_NOT_REAL = re.compile(r"[^ 0-9.eE+-]")
_WHOLE = re.compile(r" *[+-]?[0-9]{1,40} *")


class Cells:
    """Some rows of a table, with what is needed to say where in it a cell is.

    `number` turns a number as it is written there (1.234,5) into one with a decimal point alone, if that is needed.
    """

    def __init__(self, stream: Stream, names: Sequence[str] | None, number: Callable[[str], str] | None = None) -> None:
        self.stream, self.names, self.number = stream, names, number
        self.lines: list[int] = []
        self.rows: list[list[str]] = []

    def add(self, line: int, row: list[str]) -> None:
        """Add one more row, which begins on that line."""
        self.lines.append(line)
        self.rows.append(row)

    def find(self, places: Sequence[int], wrong: Callable[[str], bool]) -> tuple[str, str]:
        """Return the first wrong cell: where it is, and what it says."""
        for line, row in zip(self.lines, self.rows, strict=True):
            for place in places:
                if wrong(row[place]):
                    name = f" ({self.names[place]!r})" if self.names else ""
                    return f"line {line:,}, column {place + 1:,}{name}", row[place]
        raise AssertionError("no cell is wrong")  # noqa: EM101 -- a fault of ours, never shown


def values(column: Column, cells: Cells, places: Sequence[int]) -> np.ndarray | list[str]:
    """Return the values of one field in all of these rows, in its declared dtype and shape.

    Raises:
        ContentError: A cell is empty, not a number, not finite, does not fit the dtype, or is not a class.
    """
    picked = _picked(cells.rows, places)
    if column.is_text:
        return picked
    plain = cells.number or str
    absent = _absent(column, picked, plain)
    for at in absent:
        picked[at] = "0"
    if cells.number and column.classes is None and column.dtype != "bool":
        picked = list(map(cells.number, picked))
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
    return flat.reshape(len(cells.rows), *column.shape)


def _absent(column: Column, picked: Sequence[str], plain: Callable[[str], str]) -> list[int]:
    """Return the positions of cells that are marks of a missing value."""
    if not column.missing:
        return []
    is_mark = _mark_test(column, plain)
    answers = {cell: is_mark(cell) for cell in set(picked)}
    return [at for at, cell in enumerate(picked) if answers[cell]]


def _mark_test(column: Column, plain: Callable[[str], str] = str) -> Callable[[str], bool]:
    """Return what checks whether a cell is a mark: the same text, or for a mark that is a number, the same number."""
    texts = frozenset(mark for mark in column.missing if mark is not None)
    numbers = {_number(plain(mark)) for mark in texts if REAL.fullmatch(plain(mark))}

    def is_mark(cell: str) -> bool:
        if cell.strip(" \t") in texts:
            return True
        return bool(numbers) and REAL.fullmatch(plain(cell)) is not None and _number(plain(cell)) in numbers

    return is_mark


def _number(cell: str) -> int | float:
    return int(cell) if _WHOLE.fullmatch(cell) else float(cell)


def _picked(rows: Sequence[Sequence[str]], places: Sequence[int]) -> list[str]:
    if len(places) == 1:
        return [row[places[0]] for row in rows]
    if not places:
        return []
    pick = itemgetter(*places)
    return [cell for row in rows for cell in pick(row)]


def _whole(
    column: Column, cells: Cells, places: Sequence[int], picked: Sequence[str], plain: Callable[[str], str]
) -> np.ndarray:
    dtype = np.dtype(column.dtype)
    lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    try:
        numbers = [] if _NOT_WHOLE.search("".join(picked)) else list(map(int, picked))
    except ValueError:
        numbers = []
    if picked and not numbers:
        _wrong(column, cells, places, lambda c: not _WHOLE.fullmatch(plain(c)), "not a whole number")
    if numbers and not lowest <= min(numbers) <= max(numbers) <= highest:
        says = f"outside {lowest} to {highest}, what {dtype} can hold"
        _wrong(column, cells, places, lambda c: not lowest <= int(plain(c)) <= highest, says)
    return np.array(numbers, dtype)


def _real(
    column: Column, cells: Cells, places: Sequence[int], picked: Sequence[str], plain: Callable[[str], str]
) -> np.ndarray:
    dtype = np.dtype(column.dtype)
    try:
        numbers = [] if _NOT_REAL.search("".join(picked)) else list(map(float, picked))
    except ValueError:
        numbers = []
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
    labels = (numbers.get(float(cell)) if REAL.fullmatch(cell) else None for cell in picked)
    return [label for label in itertools.takewhile(lambda label: label is not None, labels) if label is not None]


def _no_class(column: Column, cells: Cells, places: Sequence[int], ids: dict[str, int]) -> NoReturn:
    where, cell = cells.find(places, lambda cell: cell not in ids and not _labels_by_value([cell], ids))
    reason = f"{where}: {_shown(cell)} is not one of the {len(ids)} classes of {column.field}{did_you_mean(cell, ids)}"
    cells.stream.refuse(reason, aspect="labels", expected=tuple(ids), actual=cell, column=str(column))


def _wrong(column: Column, cells: Cells, places: Sequence[int], wrong: Callable[[str], bool], says: str) -> NoReturn:
    is_mark = _mark_test(column, cells.number or str)
    where, cell = cells.find(places, lambda cell: not is_mark(cell) and wrong(cell))
    reason = f"{where}: {_shown(cell)} is {says}" if cell.strip() else f"{where}: the cell is empty"
    hint = _declare_mark(column, cell.strip(" \t")) if is_missing(cell) and column.dtype != "bool" else None
    cells.stream.refuse(reason, aspect="dtype", expected=column.dtype, actual=cell, column=str(column), hint=hint)


def _declare_mark(column: Column, mark: str) -> str:
    """Say how a cell that looks like a missing value is declared to be one."""
    if column.missing:
        return f"If it means a missing value, add {mark!r} to `missing` of {column.field}."
    value = "" if np.dtype(column.dtype).kind == "f" else ", and a `missing_value` that is no value of the data"
    return f"If it means a missing value, declare `missing: [{mark!r}]` for {column.field}{value}."


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "...")
