"""Tables of cells in text: whether a text is one, its delimiter, and its rows."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.rows import WHITESPACE, Dialect, Rows
from tinytorch_datasets.readers.stream import encoding_of, utf8_with_lf
from tinytorch_datasets.readers.text import REAL, is_missing, opened_text

DELIMITERS = ",\t;|"
ENDINGS = (".csv", ".tsv", ".tab", ".data", ".dat")
COMPRESSED = (".gz", ".bz2", ".xz")

# How many rows are looked at, and how many make a table of what nobody calls one.
SAMPLED_ROWS = 200
ENOUGH_ROWS = 4
# Where as large a part of the rows has as many cells, the others may be a fault.
USUAL_WIDTH = 0.8

DECIMAL_COMMA = re.compile(r" *[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)? *")
_NUMBER = re.compile(f"(?:{REAL.pattern})|(?:{DECIMAL_COMMA.pattern})")


class Sniffed(NamedTuple):
    """How a text is a table: what stands between cells, and whether it surely is one; the sign before remarks."""

    delimiter: str
    is_certain: bool
    comment: str = ""


def claims_table(name: str) -> bool:
    """Check whether a file's name says that it is a table.

    >>> claims_table("iris.data"), claims_table("A.CSV.xz"), claims_table("iris.txt")
    (True, True, False)
    """
    return without_compression(name).endswith(ENDINGS)


def without_compression(name: str) -> str:
    """Return a file's name in lowercase, without the ending that says how it is compressed."""
    name = name.lower()
    return next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)


def is_number(cell: str) -> bool:
    """Check whether a cell is a number, with a decimal point or a decimal comma."""
    return _NUMBER.fullmatch(cell) is not None


def sniff(text: str, name: str, *, whole: bool) -> Sniffed | None:
    """Return how a text is a table, or None if it is none.

    The sample is of rows, not of lines: a quoted cell may go over several. Of the delimiters by which all rows
    have as many cells, two or more, it is the one that makes numbers of the largest part of the columns; then the
    one that the name says; then the one that leaves the fewest blanks around cells.

    Args:
        text: The first characters of the file.
        name: The file's name, which may say that it is a table.
        whole: Whether these are all of its characters; else the last row is not looked at.
    """
    claimed = claims_table(name)
    text = text.removeprefix("\ufeff")
    by_delimiter = {delimiter: _rows(text, delimiter, whole) for delimiter in DELIMITERS}
    fitting = [(d, rows) for d, rows in by_delimiter.items() if _width(rows) > 1]
    if fitting:
        delimiter, rows = max(fitting, key=lambda one: _quality(one[0], one[1], without_compression(name)))
        has_numbers = _numbers(rows) > 0
        if not claimed and (len(rows) < ENOUGH_ROWS or "\n\n" in text.rstrip("\n")) and not has_numbers:
            return None  # two lines of prose with a comma each
        is_certain = claimed or (len(rows) >= ENOUGH_ROWS and (has_numbers or delimiter != ","))
        is_certain = is_certain or (len(rows) > 2 and has_numbers and not any(map(is_number, rows[0])))
        return Sniffed(delimiter, is_certain)
    texts = [line.rstrip("\r") for line in text.split("\n")]
    texts = [line for line in (texts if whole else texts[:-1])[:SAMPLED_ROWS] if line.strip()]
    words = [line.split() for line in texts]
    if _width(words) > 1 and (_numbers(words) == 1 or (claimed and _numbers(words))):
        single = all(line.split(" ") == row for line, row in zip(texts, words, strict=True))
        return Sniffed(" " if single else WHITESPACE, claimed or len(words) > 2)
    if words and _width(words) == 1 and _numbers(words) and not any(d in text for d in DELIMITERS):
        return Sniffed(",", claimed or len(words) > 2)  # numbers, one below the other
    comment = next((line.lstrip()[0] for line in texts if line.lstrip().startswith(("#", "%"))), None)
    if comment:
        data = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip(" \t").startswith(comment))
        below = sniff(data, name, whole=whole)
        if below and below.is_certain:  # a table below remarks, as np.savetxt writes it
            return below._replace(is_certain=claimed, comment=comment)
    if claimed:
        return Sniffed(max(DELIMITERS, key=lambda d: _usual(by_delimiter[d])), True)
    if max(_usual(rows, at_least=3) for rows in by_delimiter.values()) >= USUAL_WIDTH:
        delimiter = max(DELIMITERS, key=lambda d: _usual(by_delimiter[d], at_least=3))
        widths = [len(row) for row in by_delimiter[delimiter]]
        even = [row for row in by_delimiter[delimiter] if len(row) == max(set(widths), key=widths.count)]
        return Sniffed(delimiter, _numbers(even) == 1)  # numbers, of which one may lack its delimiter
    return None


def _rows(text: str, delimiter: str, whole: bool) -> list[list[str]]:
    """Return the first rows, as far as they can be told apart."""
    rows = list[list[str]]()
    reader = csv.reader((line + "\n" for line in text.split("\n")), delimiter=delimiter, strict=True)
    try:
        for row in itertools.islice(reader, SAMPLED_ROWS + 1):
            rows.append(row)
    except csv.Error as error:
        if whole or "unexpected end of data" not in str(error):
            return []
    else:
        if not whole and len(rows) <= SAMPLED_ROWS:
            rows = rows[:-1]
    return [row for row in rows[:SAMPLED_ROWS] if row]


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return how many cells each row has, or 0 if they are not as many in each."""
    widths = {len(row) for row in rows}
    return widths.pop() if len(widths) == 1 else 0


def _numbers(rows: Sequence[Sequence[str]]) -> float:
    """Return which part of the columns is numbers, below a first row that may be names."""
    columns = list(zip(*(rows[1:] or rows), strict=True))
    numeric = [c for c in columns if any(map(is_number, c)) and all(is_number(x) or is_missing(x) for x in c)]
    return len(numeric) / len(columns)


def _quality(delimiter: str, rows: Sequence[Sequence[str]], name: str) -> tuple[float, bool, int]:
    by_name = {".tsv": "\t", ".tab": "\t"}.get(name[-4:])
    blanks = sum(cell != cell.strip(" ") for row in rows for cell in row)
    return _numbers(rows), delimiter == by_name, -blanks


def _usual(rows: Sequence[Sequence[str]], at_least: int = 2) -> float:
    """Return which part of the rows has the number of cells that most have, if those are so many."""
    widths = [len(row) for row in rows]
    usual = max(set(widths), key=widths.count, default=0)
    return widths.count(usual) / len(widths) if usual >= at_least and len(rows) >= ENOUGH_ROWS else 0


@dataclass(frozen=True)
class Table:
    """The cells of one file: its rows as they are, `first` among them, and the line on which each begins.

    `remarks` are the lines that are none.
    """

    path: Path
    delimiter: str
    rows: list[list[str]]
    lines: list[int]
    remarks: list[int] = field(default_factory=list)

    @property
    def is_blank(self) -> bool:
        """Whether blanks stand between its cells."""
        return self.delimiter in (" ", WHITESPACE)

    @property
    def first(self) -> tuple[str, ...]:
        """The first row, which may be one of names."""
        return tuple(self.rows[0])


def read_table(path: Path, options: Mapping[str, Any]) -> Table:
    """Return the cells of a CSV file, by the options of the format.

    Raises:
        DecodeError: Its rows cannot be told apart, or have not all as many cells.
    """
    dialect = Dialect(**{name: options[name] for name in Dialect._fields if name in options})
    encoding = options.get("encoding", "utf-8")
    table = Table(path, dialect.delimiter, [], [], [])
    try:
        _fill(table, dialect, encoding)
    except DecodeError as error:
        if empty := _EMPTY_LINE.search(error.reason):
            line = int(empty[1].replace(",", ""))
            error.hint = "Take it out; empty lines may stand at the end."
            below = Table(path, dialect.delimiter, [], [], [])
            with suppress(DecodeError):
                _fill(below, dialect._replace(skip_lines=line), encoding)
                above, widths = {len(row) for row in table.rows}, {len(row) for row in below.rows}
                last = below.lines[-1] - line + 1 if below.lines else 1
                if len(widths) == 1 and above != widths and len(below.rows) > len(table.rows):
                    error.hint = f"If the table begins below, pass over what is above: --option skip_lines={line}."
                elif len(above) == 1 and above.isdisjoint(widths) and last <= MOST_LAST_LINES:
                    error.hint = f"If the table ends above, pass over what is below: --option skip_last_lines={last}."
        raise
    if not table.rows:
        raise DecodeError(path, "it has no rows", hint="Leave it out, or put its rows below.")
    for line, row in zip(table.lines, table.rows, strict=True):
        if len(row) != len(table.rows[0]):
            raise _uneven(table, line, len(row))
    return table


_EMPTY_LINE = re.compile(r"line ([\d,]+) is empty")
# A title, counts, or where a table is from do not take more lines.
MOST_FIRST_LINES, MOST_LAST_LINES = 100, 20


def _fill(table: Table, dialect: Dialect, encoding: str) -> None:
    with opened_text(ByteSource(table.path), ()) as stream:
        reader = Rows(utf8_with_lf(stream, encoding_of(encoding) or encoding), dialect, remarks=table.remarks)
        while numbered := reader.next():
            table.lines.append(numbered[0])
            table.rows.append(numbered[1])


def _uneven(table: Table, line: int, width: int) -> DecodeError:
    """Return what is wrong with rows of which one, on that line, has another width than the first."""
    path, delimiter, rows = table.path, table.delimiter, table.rows
    first = len(rows[0])
    sign = {"\t": "tab", " ": "blank", WHITESPACE: "blank"}.get(delimiter, repr(delimiter))
    uneven = next((row for row in rows if len(row) != first), [])
    if any(re.match(r'[ \t]+"', cell) for cell in uneven):
        reason = (
            f"line {line:,} has a blank in front of a quote, which then quotes nothing, and {len(uneven)} cells for "
        )
        return DecodeError(path, f"{reason}the {first} of the first row", hint="Pass over it: --option strip=true.")
    if any(cell.startswith("'") for cell in uneven):
        reason = f"line {line:,} has a cell that begins with ', which quotes nothing, and {len(uneven)} cells for "
        return DecodeError(path, f"{reason}the {first} of the first row", hint='What quotes a cell is ".')
    if len(rows) > 2 and all(len(row) == first + 1 for row in rows[1:]):
        if all(not row[-1] for row in rows[1:]):
            reason = f"each row below the first ends in one {sign} more than the first, and nothing behind it"
            return DecodeError(path, reason, hint=f"Put a {sign} at the end of line 1, or take it out of the others.")
        reason = f"each row below the first has {first + 1:,} cells, and the first has {first:,}: one name is missing"
        if first == 1:
            hint = f"If it is a title: --option skip_lines={table.lines[1] - 1}; a cell with {sign} in it is quoted."
            return DecodeError(path, reason.replace("one name", "it is a title, or one name"), hint=hint)
        return DecodeError(path, reason, hint="Write it in line 1; in front of the others, if it is the row's own.")
    last = len(rows[-1])
    above = next((at for at in range(len(rows) - 1, -1, -1) if len(rows[at]) != last), -1) + 1
    if above <= MOST_FIRST_LINES and len(rows) - above > max(1, above):
        which = "the first row has" if above == 1 else f"the first {above:,} rows have"
        what = f"{first:,} cells" if above == 1 else f"not all {last:,} cells"
        reason = f"{which} {what}, and each of the {len(rows) - above:,} rows below it has {last:,}"
        skip = f"--option skip_lines={table.lines[above] - 1}"
        header = "" if any(cell and not is_number(cell) for cell in rows[above]) else " --option header=false"
        hint = f"If {'it is' if above == 1 else 'they are'} no part of the table, pass over: {skip}{header}."
        return DecodeError(path, reason.replace("below it has", "below has") if above > 1 else reason, hint=hint)
    below = next((at for at in range(len(rows)) if len(rows[at]) != first), len(rows))
    reason = f"line {line:,} has another number of cells than the first row: {width:,}, and not {first:,}"
    ends = rows[below:]
    if below >= ENOUGH_ROWS and len(ends) <= min(MOST_LAST_LINES, below // 2) and all(len(row) == 1 for row in ends):
        hint = f"If it is no part of the table, pass over the end: --option skip_last_lines={len(rows) - below}."
        return DecodeError(path, reason, hint=hint)
    return DecodeError(path, reason, hint=f"A cell that has a {sign} in it stands between quotes.")


# So many numbers below words are no chance; and names, units and a title above them are no more lines.
ENOUGH_NUMBERS, MOST_LINES_ABOVE = 5, 5


def words_before_numbers(column: Sequence[str]) -> int | None:
    """Return how many words a column has above numbers; None for one of words, or with words among its numbers."""
    values = [at for at, cell in enumerate(column) if not is_missing(cell)]
    numbers = [at for at in values if REAL.fullmatch(column[at])]
    if len(numbers) < ENOUGH_NUMBERS or values[-len(numbers) :] != numbers or numbers[0] > MOST_LINES_ABOVE:
        return None
    return numbers[0] if len(numbers) < len(values) else 0
