"""JSON Lines: a record a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from tinytorch_datasets.plan import Block, Column, Split
from tinytorch_datasets.readers.json.fields import RecordFields
from tinytorch_datasets.readers.json.records import Records, check_paths, nested, parts_of
from tinytorch_datasets.readers.json.text import LINES, json_lines, sniff
from tinytorch_datasets.readers.json.values import values
from tinytorch_datasets.readers.stream import Stream, opened, utf8_with_lf
from tinytorch_datasets.readers.text import opened_text


def _detect(head: bytes, path: Path) -> Detection | None:
    is_lines = sniff(head, path, whole=len(head) < HEAD_BYTES) == LINES
    return Detection(Certainty.CERTAIN, lambda: _inspect(path)) if is_lines else None


def _inspect(path: Path) -> FileInfo:
    fields = RecordFields()
    with opened(path, limit=INSPECTED_BYTES, limit_reason=INSPECTED) as stream:
        for first, lines in json_lines(utf8_with_lf(stream)):
            fields.add(_records(stream, first, lines, (), {}))
    arrays, left_out = fields.arrays(path)
    infos = tuple(ArrayInfo(**array) for array in arrays)
    return FileInfo(path, "jsonl", infos, left_out=left_out, asks_target=len(infos) > 1, is_table=True)


@decodes(
    "jsonl",
    layout="file per split",
    joins_members=True,
    missing=("text", "null"),
    check=check_paths,
    detect=_detect,
    first_rows=lambda column, options: _first_rows(column, options),
)
def jsonl(
    splits: Sequence[Split],
    *,
    records: str | list[str] | None = None,
    parents: dict[str, str | list[str]] | None = None,
) -> Iterator[Block]:
    """JSON Lines (NDJSON), plain or compressed: a record a line, as UTF-8.

    A field's key is a name in the record, or a path of names: `meta.lang` is `lang` in the object `meta`,
    `answers.0` the first of a list. A name may have dots itself: the longest name that fits is taken. A record may
    be a list, whose places are `0`, `1` and so on.

    Numbers, bools and texts are single values; a list of numbers has the shape `[null]` if its length differs, and
    lists of equally long lists are arrays. A value must be of the field's type, and fit its dtype exactly: "3" is no
    number, and 1.5 is no int64, though 1.0 is. A null is a value only where the field has `missing: [null]`, and then
    a record that does not have the key has a null.

    An object with one key twice is an error, and so are NaN and Infinity, which JSON has not. Lines may end in LF,
    CRLF or CR; a byte order mark at the front is dropped, and empty lines may stand at the end.

    Args:
        splits: What to decode.
        records: The path to lists of records inside each line, as a list of keys or with dots, where a line has
            several.
        parents: The path, from the top of the line, of each field whose value stands above the records.

    Raises:
        DecodeError: It is not such text; the reason names the line.
        ContentError: A value is not what is declared, or there are more records.
    """
    path = parts_of(records or ())
    above = {field: parts_of(keys) for field, keys in (parents or {}).items()}
    for split in splits:
        for source, columns in split.by_source():
            with opened_text(source, columns) as stream:
                start = 0
                for first, lines in json_lines(utf8_with_lf(stream)):
                    some = _records(stream, first, lines, path, above)
                    some.check_count(split, start)
                    for column in columns:
                        yield Block(column, start, values(column, some))
                    start += len(some.items)
                if not start:
                    stream.fail("it has no records")


def _records(
    stream: Stream, first: int, lines: Sequence[Any], path: Sequence[str], parents: Mapping[str, Sequence[str]]
) -> Records:
    if not path:
        return Records(stream, lines, lambda at: f"line {first + at:,}", {})
    return nested(stream, lines, path, parents, lambda line, at: f"line {first + line:,}, record {at + 1:,}")


def _first_rows(column: Column, options: Mapping[str, Any]) -> list[dict[str | int, str | int]]:
    path = parts_of(options.get("records") or ())
    with opened_text(column.source, (column,)) as stream:
        first, lines = next(json_lines(utf8_with_lf(stream)), (1, []))
        return _records(stream, first, lines, path, {}).first_rows(FIRST_ROWS)
