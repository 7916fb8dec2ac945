"""JSON: one document with a list of records, or with lists that are columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

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
from tinytorch_datasets.plan import Block, Column, Split
from tinytorch_datasets.readers.json.fields import RecordFields
from tinytorch_datasets.readers.json.records import (
    Records,
    check_paths,
    json_type,
    nested,
    of_columns,
    parts_of,
)
from tinytorch_datasets.readers.json.text import DOCUMENT, INSPECTED_SAMPLES, json_document, sniff
from tinytorch_datasets.readers.json.values import values
from tinytorch_datasets.readers.stream import Stream, opened
from tinytorch_datasets.readers.text import opened_text
from tinytorch_datasets.verify.diagnose import storage_error_code

RECORDS_A_BLOCK = 1 << 14

AS_RECORDS = "Save its samples as JSON Lines, a record a line, or as CSV."


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    yield from check_paths(options, fields, splits)
    if options.get("orient") == "columns" and options.get("parents"):
        yield ("parents",), "columns have no parents"


# Documents whose lists of objects are no samples, by what the document calls itself or must have.
_KINDS = {
    "nbformat": "a Jupyter notebook",
    "FeatureCollection": "GeoJSON, shapes on a map",
    "Feature": "GeoJSON, a shape on a map",
    "Topology": "TopoJSON, shapes on a map",
}
_PACKAGE = {"name", "version"}
_DEPTH = 4


def _detect(head: bytes, path: Path) -> Detection | None:
    is_document = sniff(head, path, whole=len(head) < HEAD_BYTES) == DOCUMENT
    if not is_document:
        return None
    return Detection(Certainty.CERTAIN, lambda **given: _inspect(path, head, given), takes_options=True)


def _inspect(path: Path, head: bytes, given: Mapping[str, Any]) -> FileInfo:
    with opened(path, limit=INSPECTED_BYTES, limit_reason=INSPECTED) as stream:
        top = json_document(stream, INSPECTED_SAMPLES)
        options = dict(given) if "records" in given else {**_shape_of(path, top, head), **given}
        keys = parts_of(options.get("records", ()))
        is_by_column = options.get("orient") == "columns"
        records = of_columns(stream, top, keys) if is_by_column else _records(stream, top, keys, {})
        del top
        fields = RecordFields()
        fields.add(records)
    if (inner := fields.with_records()) and not given:
        reason = f"its records hold lists of records themselves, at {inner[0]!r}: which are the samples is not certain"
        outer = f"records={'.'.join(keys)}" if keys else "orient=records"
        hint = f"Say which: --option records={'.'.join([*keys, inner[0]])}, or --option {outer}."
        raise DecodeError(path, reason, hint=hint)
    arrays, left_out = fields.arrays(path)
    infos = tuple(ArrayInfo(**array) for array in arrays)
    return FileInfo(path, "json", infos, options, left_out=left_out, asks_target=len(infos) > 1, is_table=True)


def _shape_of(path: Path, top: Any, head: bytes) -> dict[str, Any]:
    """Return the options by which a document is read, if it is certain what they are.

    Raises:
        DecodeError: It has no records, or several lists of them.
    """
    if isinstance(top, list):
        if (top and all(isinstance(one, dict) for one in top)) or all(isinstance(one, list) for one in top):
            return {}
        what = ", ".join(sorted({json_type(one).rpartition(" ")[2] + "s" for one in top})) or "nothing"
        raise DecodeError(path, f"it is a JSON list of other things than records: of {what}", hint=AS_RECORDS)
    names = {str(top.get("type")), *({"nbformat"} & top.keys())}
    if kind := next((what for name, what in _KINDS.items() if name in names), None):
        raise DecodeError(path, f"it is {kind}, which no format reads", hint=AS_RECORDS)
    lists = list(_lists(top, ()))
    orient = {"orient": "columns"} if _has_columns(top) else {}
    if orient and not lists:
        return orient
    if len(lists) == 1 and not orient:
        return {"records": list(lists[0])}
    if lists:
        where = " and ".join(repr(".".join(keys)) for keys in lists[:4])
        where += f" and {len(lists) - 4:,} more" if len(lists) > 4 else ""
        reason = f"which of its values are the samples is not certain: it has lists of records at {where}"
        reason += ", beside other columns" if orient else ""
        raise DecodeError(path, reason, hint=f"Say which: --option records={'.'.join(lists[0])}.")
    what = "the description of a package" if top.keys() >= _PACKAGE else "a JSON document without a list of records"
    raise DecodeError(path, f"it is {storage_error_code(head) or what}", hint=AS_RECORDS)


def _lists(value: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the path to each list of objects."""
    for name, inside in value.items():
        if isinstance(inside, list) and inside and all(isinstance(one, dict) for one in inside):
            yield (*above, name)
        elif isinstance(inside, dict) and len(above) < _DEPTH:
            yield from _lists(inside, (*above, name))


def _has_columns(top: Mapping[str, Any]) -> bool:
    """Check whether an object has a list for each column, or an object that counts its values from 0."""
    columns = list(top.values())
    if not columns or not all(isinstance(column, list | dict) and column for column in columns):
        return False
    if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return len(columns) > 1 or not isinstance(columns[0][0], dict)
    counted = [str(number) for number in range(len(columns[0]))]
    return all(isinstance(column, dict) and list(column) == counted for column in columns)


@decodes(
    "json",
    layout="file per split",
    joins_members=True,
    missing=("text", "null"),
    check=_check,
    detect=_detect,
    first_rows=lambda column, options: _first_rows(column, options),
)
def document(
    splits: Sequence[Split],
    *,
    records: str | list[str] | None = None,
    parents: dict[str, str | list[str]] | None = None,
    orient: Literal["records", "columns"] = "records",
) -> Iterator[Block]:
    """One JSON document, plain or compressed, as UTF-8, which holds a list of records.

    Fields and values are as in `jsonl`. The records may stand deep inside: in SQuAD's files, `records: [data,
    paragraphs, qas]` takes the questions of all paragraphs of all articles, and `parents: {contexts:
    data.paragraphs.context}` what stands beside each list of questions, once for each of them.

    The document is held in memory as a whole, as text and as values, and may have 512 MiB. JSON Lines have no such
    limit.

    Args:
        splits: What to decode.
        records: The path to the records, as a list of keys or with dots; of a list in the way all elements are taken,
            one after the other. Without it, the document is the list.
        parents: The path, from the top of the document, of each field whose value stands above the records.
        orient: "columns" if there is an object in place of the records, which has a list for each column, or an
            object that numbers the values from 0, as pandas' `to_json` writes.

    Raises:
        DecodeError: It is not such a document; the reason names the place.
        ContentError: A value is not what is declared, or there are more records.
    """
    path = parts_of(records or ())
    above = {field: parts_of(keys) for field, keys in (parents or {}).items()}
    for split in splits:
        for source, columns in split.by_source():
            with opened_text(source, columns) as stream:
                yield from _blocks(_opened(stream, columns, path, above, orient), split, columns)


def _opened(
    stream: Stream, columns: Sequence[Column], path: Sequence[str], above: Mapping[str, Sequence[str]], orient: str
) -> Records:
    top = json_document(stream, sum(column.count for column in columns))
    return of_columns(stream, top, path) if orient == "columns" else _records(stream, top, path, above)


def _first_rows(column: Column, options: Mapping[str, Any]) -> list[dict[str | int, str | int]]:
    path = parts_of(options.get("records") or ())
    with opened_text(column.source, (column,)) as stream:
        return _opened(stream, (column,), path, {}, options.get("orient", "records")).first_rows(FIRST_ROWS)


def _records(stream: Stream, top: Any, path: Sequence[str], parents: Mapping[str, Sequence[str]]) -> Records:
    if not path and not isinstance(top, list):
        stream.fail("it is not a list of records; the option records says where in it they are")
    return nested(stream, [top], path, parents, lambda top, at: f"record {at + 1:,}")


def _blocks(records: Records, split: Split, columns: Sequence[Column]) -> Iterator[Block]:
    records.check_count(split, 0)
    if not records.items:
        records.stream.fail("it has no records")
    for start in range(0, len(records.items), RECORDS_A_BLOCK):
        some = records.some(start, start + RECORDS_A_BLOCK)
        for column in columns:
            yield Block(column, start, values(column, some))
