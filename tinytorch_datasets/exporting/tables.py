"""Exports as tables, a row a sample: Parquet, CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.exporting import exports
from tinytorch_datasets.storage.arrow_stream import TableColumn, record_batch, table_columns
from tinytorch_datasets.storage.encoded_array import EncodedArray, in_memory
from tinytorch_datasets.storage.string_array import StringArray

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry, FieldEntry
    from tinytorch_datasets.split import Split
    from tinytorch_datasets.storage.string_array import Values

# How much of the values, in bytes, becomes text at once, and how much goes into one row group of a Parquet file.
BYTES_AT_ONCE = 2**22
MOST_ROWS = 4096
ROW_GROUP_BYTES = 2**26
# How many rows are written to nowhere, to say before how large a file will be.
ROWS_MEASURED = 64

Fields = Mapping[str, Any]


def columns_of(entry: Entry, fields: Iterable[str]) -> list[TableColumn]:
    """Return the columns of a table of these fields: those that an Arrow table of a split has."""
    return table_columns({field: _names(entry.fields.get(field)) for field in fields})


def _names(field: FieldEntry | None) -> Sequence[str]:
    return field.names or () if field is not None and len(field.shape) == 1 else ()


def _values(column: TableColumn, fields: Fields) -> Any:
    values = fields[column.field]
    return values if column.place is None else values[:, column.place]


def _fields(split: Split) -> Fields:
    return {field: in_memory(split[field]) for field in split.fields}


def bytes_of(split: Split) -> int:
    """Return how many bytes the values of a split have."""
    fields = _fields(split).values()
    return sum([len(values.utf8()[0]) if isinstance(values, StringArray) else int(values.nbytes) for values in fields])


def _rows_of(fields: Fields, most_bytes: int) -> int:
    """Return how many rows have so many bytes of numbers at most; one at least."""
    rows = len(next(iter(fields.values())))
    size = sum(int(values.nbytes) for values in fields.values() if not isinstance(values, StringArray))
    return max(1, most_bytes * rows // max(1, size))


def _blocks(fields: Fields) -> Iterator[Fields]:
    """Yield the samples in blocks."""
    step = min(MOST_ROWS, _rows_of(fields, BYTES_AT_ONCE))
    for start in range(0, len(next(iter(fields.values()))), step):
        yield {field: values[start : start + step] for field, values in fields.items()}


def parquet_room(split: Split, entry: Entry) -> int:
    """Return how many bytes the values of a split have, which its Parquet file packs."""
    return bytes_of(split)


@exports("parquet", room=parquet_room, ending=".parquet", needs=("pyarrow", "tables"))
def parquet(split: Split, folder: Path, entry: Entry) -> None:
    """Parquet: a file a split, with a column a field, by pyarrow.

    `pandas.read_parquet("train.parquet")` reads one, and Hugging Face's `load_dataset(FOLDER)` all of them. Numbers
    keep their dtype, and a sample with a shape is a list of lists. A field that has a name for each number of a sample
    is a column for each of them. Labels are numbers, of which `load_dataset` knows the classes.
    """
    import pyarrow as pa  # of an extra
    import pyarrow.parquet as pq

    fields = _fields(split)
    declared = {name: field.model_dump(mode="json") for name, field in entry.fields.items()}
    batch = record_batch(fields, declared)
    columns = [column.with_nullable(True) for column in batch.schema]  # which Hugging Face's library takes for granted
    features = {column.name: _feature(column.type, entry.fields.get(column.name)) for column in columns}
    schema = pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})
    table = pa.Table.from_arrays(batch.columns, schema=schema)
    pq.write_table(table, folder / f"{split.name}.parquet", row_group_size=_rows_of(fields, ROW_GROUP_BYTES))


def _feature(kind: Any, field: Any) -> Any:
    """Return a column as Hugging Face's library describes it, in the form that all its versions read."""
    import pyarrow as pa

    if field is not None and field.classes:
        return {"names": list(field.classes), "_type": "ClassLabel"}
    if pa.types.is_nested(kind):
        return [_feature(kind.value_type, None)]
    name = {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))
    return {"dtype": name, "_type": "Value"}


Write = Callable[[TextIO, Fields, "Entry"], None]


def _measured(write: Write) -> Callable[[Split, Entry], int]:
    """Return what says how many bytes a split will come to, by some of its rows."""

    def room(split: Split, entry: Entry) -> int:
        places = np.unique(np.linspace(0, len(split) - 1, ROWS_MEASURED).astype(np.int64))
        out = io.StringIO()
        write(out, _fields(split[places]), entry)
        return len(out.getvalue().encode()) * len(split) // len(places)

    return room


def _write_csv(out: TextIO, fields: Fields, entry: Entry) -> None:
    writer = csv.writer(out, lineterminator="\n")
    columns = columns_of(entry, tuple(fields))
    writer.writerow([column.name for column in columns])
    for block in _blocks(fields):
        cells = [map(_cell, _plain(_values(column, block), column.name)) for column in columns]
        writer.writerows(zip(*cells, strict=True))


def write_rows(path: Path, fields: Fields, entry: Entry) -> None:
    """Write fields as a CSV file, a row a sample.

    Raises:
        UsageError: CSV cannot hold a value.
    """
    with path.open("w", encoding="utf-8", newline="") as out:
        _write_csv(out, fields, entry)


csv_room = _measured(_write_csv)


@exports("csv", room=csv_room, ending=".csv")
def csv_(split: Split, folder: Path, entry: Entry) -> None:
    """CSV: a file a split, with a header and a column a field, in UTF-8.

    `pandas.read_csv("train.csv")` reads one. A field that has a name for each number of a sample is a column for each
    of them; a sample with any other shape is a list of lists in one cell, as JSON writes it: `json.loads` reads it.
    Numbers have as many digits as make the very same float64, labels are numbers, and truths are `true` and `false`.
    NaN is `NaN`, and `null` in a list, where infinity is refused.
    """
    write_rows(folder / f"{split.name}.csv", _fields(split), entry)


def _write_jsonl(out: TextIO, fields: Fields, entry: Entry) -> None:
    columns = columns_of(entry, tuple(fields))
    names = [json.dumps(column.name, ensure_ascii=False) for column in columns]
    for block in _blocks(fields):
        values = [map(_as_json, _plain(_values(column, block), column.name, json_too=True)) for column in columns]
        for row in zip(*values, strict=True):
            out.write("{" + ", ".join(f"{name}: {value}" for name, value in zip(names, row, strict=True)) + "}\n")


@exports("jsonl", room=_measured(_write_jsonl), ending=".jsonl")
def jsonl(split: Split, folder: Path, entry: Entry) -> None:
    """JSON Lines: a file a split, with an object a sample, in UTF-8.

    `pandas.read_json("train.jsonl", lines=True)` reads one. Columns are those of CSV, and a sample with a shape is a
    list of lists. NaN is `null`, and infinity is refused: JSON has no word for either.
    """
    with (folder / f"{split.name}.jsonl").open("w", encoding="utf-8", newline="") as out:
        _write_jsonl(out, _fields(split), entry)


def _plain(values: Values, column: str, *, json_too: bool = False) -> list[Any]:
    """Return values as Python's own; NaN is None where JSON is to hold it.

    Raises:
        UsageError: One is infinite, and JSON is to hold it.
    """
    if isinstance(values, StringArray):
        return list(values)
    assert not isinstance(values, EncodedArray), "fields are decoded before their cells are written"
    if (values.dtype.kind != "f") or not (json_too or values.ndim > 1):
        return values.tolist()
    samples = [np.asarray(sample) for sample in values]
    if any(np.isinf(sample).any() for sample in samples):
        msg = f"column {column!r} has an infinite number, and JSON has no word for it"
        raise UsageError(msg, hint="Export it as npz or parquet.")
    if not any(np.isnan(sample).any() for sample in samples):
        return values.tolist()
    for place, sample in enumerate(samples):
        samples[place] = sample.astype(object)
        samples[place][np.isnan(sample)] = None
    return [sample.tolist() for sample in samples]


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _cell(value: Any) -> Any:
    """Return a value as a cell has it."""
    if isinstance(value, list | bool):
        return _as_json(value)
    if isinstance(value, float) and not -np.inf < value < np.inf:
        return "NaN" if value != value else "INF" if value > 0 else "-INF"
    return value
