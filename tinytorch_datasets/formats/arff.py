"""ARFF: Weka's and OpenML's tables in text, with a header of typed columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from tinytorch_datasets.errors import DecodeError, Problems
from tinytorch_datasets.formats import (
    FIRST_ROWS,
    HEAD_BYTES,
    INSPECTED,
    INSPECTED_BYTES,
    ArrayInfo,
    Certainty,
    Detection,
    FileInfo,
    decodes,
)
from tinytorch_datasets.plan import TEXT, Block, Column, Split
from tinytorch_datasets.readers.cells import values
from tinytorch_datasets.readers.columns import column_info, places
from tinytorch_datasets.readers.rows import Cells, TableText
from tinytorch_datasets.readers.stream import Stream, encoding_of, opened, utf8_with_lf
from tinytorch_datasets.readers.table import Table
from tinytorch_datasets.readers.text import REAL, is_missing, lines, opened_text

NUMERIC, NOMINAL, STRING = "numeric", "nominal", "string"
TYPES = {
    **dict.fromkeys(("numeric", "real", "integer"), NUMERIC),
    **dict.fromkeys(("string", "date"), STRING),
    "relational": "relational",
}
MISSING = "?"
MOST_ATTRIBUTES = 1 << 18


AS_DENSE = "Save it with Weka's filter SparseToNonSparse, or as svmlight."

_KEYWORD = re.compile(r"(?i)@(relation|attribute|data|end)(?=[\s'\"{]|$)[ \t]*")
_QUOTED = r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\""
_NAME = re.compile(rf"(?:{_QUOTED}|([^\s,{{}}'\"]+))[ \t]*")
# A value runs to the next comma, or, where no commas are, to the next blank.
_BY_COMMA = re.compile(rf"[ \t]*(?:{_QUOTED}|([^,'\"]*?))[ \t]*(,|$)")
_BY_BLANK = re.compile(rf"(?:{_QUOTED}|([^ \t'\"]+))(?:([ \t]+)|$)")
_QUOTE_AND_ALL = re.compile(_QUOTED)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "%": "%"}
_FIRST = re.compile(rb"(?i)(?:\s*(?:%[^\n]*)?\n)*\s*@(?:relation|attribute)\b")


class Attribute(NamedTuple):
    """A column by the header: its name, whether it is numeric, nominal or a string, and the values of a nominal one."""

    name: str
    kind: str
    values: tuple[str, ...] = ()


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """An encoding that is none."""
    if encoding_of(options.get("encoding", "utf-8")) is None:
        yield ("encoding",), f"no encoding of text is called {options['encoding']!r}"


def _detect(head: bytes, path: Path) -> Detection | None:
    head = head.removeprefix(b"\xef\xbb\xbf")
    head = head if b"\n" in head else head.replace(b"\r", b"\n")
    if not _FIRST.match(head[:HEAD_BYTES]):
        return None
    return Detection(Certainty.CERTAIN, lambda **given: _inspect(path, **given), takes_options=True)


def _inspect(path: Path, *, encoding: str = "utf-8") -> FileInfo:
    with opened(path, limit=INSPECTED_BYTES, limit_reason=INSPECTED) as stream:
        text = _numbered(utf8_with_lf(stream, encoding_of(encoding) or "utf-8"))
        attributes = _header(stream, text)
        numbers, rows = list[int](), list[list[str]]()
        for number, row in _rows(stream, text, attributes):
            numbers.append(number)
            rows.append(row)
        if not rows:
            stream.fail("it has no rows below @data", hint="Leave it out, or put its rows below.")
        for place, attribute in enumerate(attributes):
            _check_values(stream, attribute, place, numbers, rows)
    table = Table(path, ",", rows, numbers)
    arrays, left_out = list[ArrayInfo](), list[str]()
    for place, attribute in enumerate(attributes):
        cells = [row[place] for row in rows]
        gaps = cells.count(MISSING)
        if gaps == len(cells):
            left_out.append(f"{attribute.name!r}: has no value in any row")
        else:
            arrays.append(_array(attribute, place, cells, gaps, table))
    asks = len(arrays) > 1
    options = {"encoding": encoding} if encoding != "utf-8" else {}
    return FileInfo(path, "arff", tuple(arrays), options, left_out=tuple(left_out), asks_target=asks, is_table=True)


def _array(attribute: Attribute, place: int, cells: Sequence[str], gaps: int, table: Table) -> ArrayInfo:
    """Return what `add` says of a column. Of numbers the header does not say whether all are whole."""
    shape = (len(cells),)
    if attribute.kind == NUMERIC:
        column = column_info(place, attribute.name, cells, table)
        odd = next((n for n, cell in enumerate(cells) if not (REAL.fullmatch(cell) or is_missing(cell))), None)
        if odd is not None:
            where = f"line {table.lines[odd]:,}, column {place + 1:,} ({attribute.name!r})"
            raise DecodeError(table.path, f"{where}: {cells[odd][:40]!r} is not a number, which the header says it is")
        return ArrayInfo(attribute.name, column.dtype, shape, note=column.note, missing=column.missing)
    if attribute.kind == NOMINAL and not gaps:
        return ArrayInfo(attribute.name, "int64", shape, classes=attribute.values)
    note = f"text: {MISSING!r} in {gaps:,} of {len(cells):,} rows is a missing value" if gaps else ""
    return ArrayInfo(attribute.name, TEXT, shape, note=note)


@decodes(
    "arff",
    layout="file per split",
    joins_members=True,
    names_classes=True,
    missing=("text",),
    check=_check,
    detect=_detect,
    first_rows=lambda column, options: _first_rows(column, options),
)
def arff(splits: Sequence[Split], *, encoding: str = "utf-8") -> Iterator[Block]:
    r"""ARFF, the tables of Weka and OpenML, plain or compressed.

    A field's key is the name of an attribute, as the header has it. A field of single values that names none takes
    the attribute of its own name, and one more field may be left out: it takes all that remain, in order.

    Numeric attributes (`real` and `integer` are the same) are numbers; nominal ones are labels, or text; strings and
    dates are text. A missing value is `?`: in a field of numbers it is declared as `missing: ["?"]`, and a text keeps
    it. Cells stand between commas, or between blanks where a row has no commas; quotes, with escapes as `\'`, hold
    both. Names and keywords are read as Weka does; lines of blanks and lines that begin with % are passed over.

    Sparse rows (`{0 1, 3 x}`), weights of rows and relational attributes are refused, and so is a % outside quotes in
    a row, which some programs take for a remark and some for a part of the value.

    Args:
        splits: What to decode.
        encoding: The text's encoding, as Python calls it; older files are often in latin-1.

    Raises:
        DecodeError: It is not such text; the reason names the line.
        ContentError: A value is not what is declared, or there are more rows.

    Source: "Attribute-Relation File Format (ARFF)", https://waikato.github.io/weka-wiki/formats_and_processing/arff/
    """
    for split in splits:
        for source, columns in split.by_source():
            with opened_text(source, columns) as stream:
                text = _numbered(utf8_with_lf(stream, encoding_of(encoding) or "utf-8"))
                attributes = _header(stream, text)
                yield from _blocks(stream, _rows(stream, text, attributes), attributes, split, columns)


def _first_rows(column: Column, options: Mapping[str, Any]) -> list[dict[str | int, str | int]]:
    with opened_text(column.source, (column,)) as stream:
        text = _numbered(utf8_with_lf(stream, encoding_of(options.get("encoding", "utf-8")) or "utf-8"))
        attributes = _header(stream, text)
        rows = [cells for _, cells in islice(_rows(stream, text, attributes), FIRST_ROWS)]
    return [{of.name: cell for of, cell in zip(attributes, cells, strict=True)} for cells in rows]


def _blocks(
    stream: Stream,
    rows: Iterator[tuple[int, list[str]]],
    attributes: Sequence[Attribute],
    split: Split,
    columns: Sequence[Column],
) -> Iterator[Block]:
    names = [attribute.name for attribute in attributes]
    table = TableText(stream, names, len(names))
    where = places(table, columns, {})
    wanted = sorted({place for column in columns for place in where[column.field]})
    start, block = 0, Cells(table)

    def flush() -> Iterator[Block]:
        for place in wanted:
            _check_values(stream, attributes[place], place, block.lines, block.rows)
        for column in columns:
            yield Block(column, start, values(column, block, where[column.field]))

    for number, row in rows:
        if start + len(block.rows) == split.samples:
            stream.refuse_more("rows", split, f"line {number:,}")
        block.add(number, row)
        if block.is_full:
            yield from flush()
            start, block = start + len(block), Cells(table)
    if block.rows:
        yield from flush()
    elif not start:
        stream.fail("it has no rows below @data")


def _check_values(
    stream: Stream, attribute: Attribute, place: int, numbers: Sequence[int], rows: Sequence[Sequence[str]]
) -> None:
    """Refuse a value that a nominal attribute does not have by the header."""
    if attribute.kind != NOMINAL:
        return
    if odd := {row[place] for row in rows} - {*attribute.values, MISSING}:
        number, cell = next((n, row[place]) for n, row in zip(numbers, rows, strict=True) if row[place] in odd)
        where = f"line {number:,}, column {place + 1:,} ({attribute.name!r})"
        stream.fail(f"{where}: {cell[:40]!r} is not one of the {len(attribute.values):,} values that the header has")


def _numbered(stream: Stream) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, without blanks at their ends, each with its number."""
    for number, line in enumerate(lines(stream, bom=True, carriage_returns=True), 1):
        line = line.strip(" \t\r")
        if line and line[0] != "%":
            yield number, line


def _header(stream: Stream, text: Iterator[tuple[int, str]]) -> list[Attribute]:  # noqa: RET503 -- it ends in fail
    """Return the attributes, and leave the lines below @data.

    Raises:
        DecodeError: It is no header, or one of what is not read.
    """
    attributes: dict[str, Attribute] = {}
    for number, line in text:
        keyword = _KEYWORD.match(line)
        if keyword is None:
            stream.fail(f"line {number:,} is not one of @relation, @attribute and @data: {line[:40]!r}")
        word, rest = keyword[1].lower(), line[keyword.end() :]
        if word == "data":
            if not attributes:
                stream.fail(f"line {number:,} begins the data, and no @attribute stands above")
            return list(attributes.values())
        if word == "end":
            stream.fail(f"line {number:,} ends what did not begin: {line[:40]!r}")
        if word == "attribute":
            attribute = _attribute(stream, number, rest)
            if attribute.name in attributes:
                stream.fail(f"line {number:,} has the attribute {attribute.name[:40]!r} a second time")
            if len(attributes) == MOST_ATTRIBUTES:
                stream.fail(f"it has more than {MOST_ATTRIBUTES:,} attributes")
            attributes[attribute.name] = attribute
    stream.fail("it has no @data" if attributes else "it is empty")


def _attribute(stream: Stream, number: int, rest: str) -> Attribute:
    named = _NAME.match(rest)
    if named is None:
        stream.fail(f"line {number:,} has an attribute without a name: {rest[:40]!r}")
    name, kind = _value(stream, number, named), rest[named.end() :]
    if kind.startswith("{"):
        inside = kind[1:].partition("}")[0] if "'" not in kind and '"' not in kind else _between(kind)
        after = kind[1 + len(inside) :]
        if not after.startswith("}") or after[1:].lstrip(" \t")[:1] not in ("", "%"):
            stream.fail(f"line {number:,} has values of {name[:40]!r} that do not end in }}")
        return Attribute(name, NOMINAL, _nominal(stream, number, name, inside.strip(" \t")))
    word = re.match(r"[A-Za-z]*", kind)
    known = TYPES.get(word[0].lower() if word else "")
    if known == "relational":
        reason = f"line {number:,} has a relational attribute ({name[:40]!r}), a table in each row, which is not read"
        stream.fail(reason, hint="Save its bags as rows of a table.")
    if known is None:
        stream.fail(f"line {number:,} has an attribute {name[:40]!r} of no known type: {kind[:40]!r}")
    return Attribute(name, known)


def _between(kind: str) -> str:
    """Return what stands between braces, in which a quoted value may have one, too."""
    at = 1
    while at < len(kind) and kind[at] != "}":
        quoted = _QUOTE_AND_ALL.match(kind, at)
        at = quoted.end() if quoted else at + 1
    return kind[1:at]


def _nominal(stream: Stream, number: int, name: str, inside: str) -> tuple[str, ...]:
    is_list = "," in _QUOTE_AND_ALL.sub("", inside)
    if not is_list and inside and not _QUOTE_AND_ALL.fullmatch(inside) and re.search(r"[ \t]", inside):
        reason = f"line {number:,} has values of {name[:40]!r} without commas: they may be several, or one with blanks"
        stream.fail(reason, hint="Quote them, or put commas between them.")
    found = tuple(_cells(stream, number, inside)) if inside else ()
    if not found or "" in found:
        stream.fail(f"line {number:,} has no value, or an empty one, for {name[:40]!r}")
    if len(set(found)) < len(found):
        twice = next(value for value in found if found.count(value) > 1)
        stream.fail(f"line {number:,} has the value {twice[:40]!r} of {name[:40]!r} twice")
    return found


def _rows(
    stream: Stream, text: Iterator[tuple[int, str]], attributes: Sequence[Attribute]
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its line."""
    width = len(attributes)
    for number, line in text:
        if "{" in line and (line[0] == "{" or line.endswith("}")):
            _refuse_braces(stream, number, line)
        if "'" in line or '"' in line:
            row = _cells(stream, number, line)
        elif "%" in line:
            _refuse_percent(stream, number)
        elif width == 1:
            row = [line]
        elif "," in line:
            row = line.split(",")
            if " " in line or "\t" in line:
                row = [cell.strip(" \t") for cell in row]
            if "" in row:
                _refuse_empty(stream, number, row.index(""))
        else:
            row = line.split()
        if len(row) != width:
            stream.fail(f"line {number:,} has a row of {len(row):,}, and the header has {width:,} attributes")
        yield number, row


def _refuse_braces(stream: Stream, number: int, line: str) -> None:
    if line[0] == "{":
        stream.fail(f"line {number:,} is a sparse row, {{index value, ...}}, which is not read", hint=AS_DENSE)
    if re.search(r",[ \t]*\{[^{}'\"]*\}$", line):
        stream.fail(f"line {number:,} has a weight of its row at its end, which is not read", hint="Leave it out.")


def _refuse_empty(stream: Stream, number: int, place: int) -> NoReturn:
    stream.fail(f"line {number:,}, column {place + 1:,}: the cell is empty", hint="A missing value is a ? in ARFF.")


def _refuse_percent(stream: Stream, number: int) -> NoReturn:
    stream.fail(f"line {number:,} has a % outside quotes: it may begin a remark, or be a part of the value")


def _cells(stream: Stream, number: int, line: str) -> list[str]:
    """Return the values of a row, or of a nominal attribute, some of which are quoted."""
    outside = _QUOTE_AND_ALL.sub("", line)
    if "%" in outside:
        _refuse_percent(stream, number)
    pattern = _BY_COMMA if "," in outside else _BY_BLANK
    cells, at = list[str](), 0
    while True:
        cell = pattern.match(line, at)
        if cell is None:
            is_open = outside.count("'") + outside.count('"') == 1
            what = "a quote that never closes" if is_open else "quotes inside a cell"
            stream.fail(f"line {number:,} has {what}; a quote in a value is written with a \\ before it")
        if cell[3] == "":
            _refuse_empty(stream, number, len(cells))
        cells.append(_value(stream, number, cell))
        at = cell.end()
        if not cell[4]:
            return cells


def _value(stream: Stream, number: int, cell: re.Match[str]) -> str:
    """Return what a cell means: as it is, or what its escapes stand for."""
    quoted = cell[1] if cell[1] is not None else cell[2]
    if quoted is None or "\\" not in quoted:
        return cell[3] if quoted is None else quoted

    def character(escape: re.Match[str]) -> str:
        known = chr(int(escape[1][1:], 16)) if len(escape[1]) > 1 else _ESCAPED.get(escape[1])
        if known is None or "\ud800" <= known <= "\udfff":
            stream.fail(f"line {number:,} has an escape that is not known: {escape[0]!r}")
        return known

    replace: Callable[[re.Match[str]], str] = character
    return _ESCAPE.sub(replace, quoted)
