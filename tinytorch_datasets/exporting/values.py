"""Values in text: the cells of CSV, and JSON; block by block."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.storage.encoded_array import in_memory
from tinytorch_datasets.storage.string_array import StringArray

if TYPE_CHECKING:
    from tinytorch_datasets.exporting import Room
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split
    from tinytorch_datasets.storage.arrow_stream import TableColumn
    from tinytorch_datasets.storage.ragged_array import RaggedArray

# How much of the values, in bytes and in rows, becomes text at once.
BYTES_AT_ONCE = 2**22
MOST_ROWS = 4096
# How many rows are written to nowhere, to say before how large a file will be.
ROWS_MEASURED = 64

Fields = Mapping[str, Any]
WriteText = Callable[[TextIO, Fields, "Entry"], None]


def fields_of(split: Split) -> Fields:
    """Return the values of each field that every sample has."""
    return {field: split[field] for field in split.fields}


def bytes_of(split: Split) -> int:
    """Return how many bytes the values of a split have."""
    fields = fields_of(split).values()
    return sum([len(values.utf8()[0]) if isinstance(values, StringArray) else int(values.nbytes) for values in fields])


def blocks(fields: Fields, most_bytes: int = BYTES_AT_ONCE, most_rows: int = MOST_ROWS) -> Iterator[Fields]:
    """Yield the samples in blocks, of which what is kept encoded is decoded."""
    samples = len(next(iter(fields.values())))
    size = sum(int(values.nbytes) for values in fields.values() if not isinstance(values, StringArray))
    step = max(1, min(most_rows, most_bytes * samples // max(1, size)))
    for start in range(0, samples, step):
        yield {field: in_memory(values[start : start + step]) for field, values in fields.items()}


def values_of(column: TableColumn, fields: Fields) -> Any:
    """Return the values of a column of a table."""
    values = fields[column.field]
    return values if column.place is None else values[:, column.place]


def measured(write: WriteText) -> Room:
    """Return what says how many bytes a split will come to, by some of its rows."""

    def room(split: Split, entry: Entry) -> int:
        places = np.unique(np.linspace(0, len(split) - 1, ROWS_MEASURED).astype(np.int64))
        out = io.StringIO()
        write(out, fields_of(split[places]), entry)
        return len(out.getvalue().encode()) * len(split) // len(places)

    return room


def plain(values: np.ndarray | StringArray | RaggedArray, column: str, *, as_json: bool = False) -> list[Any]:
    """Return values as Python's own; NaN is None where JSON is to hold it.

    Raises:
        UsageError: One is infinite, and JSON is to hold it.
    """
    if isinstance(values, StringArray):
        return list(values)
    if (values.dtype.kind != "f") or not (as_json or values.ndim > 1):
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


def format_json(value: Any) -> str:
    """Return a value as JSON, without blanks."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def cell(value: Any) -> Any:
    """Return a value as a cell has it."""
    if isinstance(value, list | bool):
        return format_json(value)
    if isinstance(value, float) and not -np.inf < value < np.inf:
        return "NaN" if value != value else "INF" if value > 0 else "-INF"
    return value
