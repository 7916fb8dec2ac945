"""Fields of a split as Arrow columns, which data frames and databases take.

They need not know this package, nor it them: the Arrow PyCapsule interface is all that both know.

Arrow keeps numbers as NumPy does, and lists and strings as `RaggedArray` and `StringArray` do: values one after the
other, and the place of each sample. So buffers are handed on where they are, in the memory map of the file; what Arrow
keeps otherwise is copied once: truths, which it packs to bits, samples that do not lie side by side, and the columns of
a field that has names for them.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.errors import MissingLibrary
from tinytorch_datasets.storage.encoded_array import EncodedArray
from tinytorch_datasets.storage.ragged_array import RaggedArray
from tinytorch_datasets.storage.string_array import StringArray, Values

# What of the declaration a column's metadata has, as JSON.
KEPT = ("classes", "range", "rate", "missing_value")


def record_batch(fields: Mapping[str, Values], declared: Mapping[str, Mapping[str, Any]], *, note: str = "") -> Any:
    """Return the fields as one `pyarrow.RecordBatch`.

    A field is a column: numbers and labels as they are, strings as `large_string`, samples of one shape as
    fixed-size lists, an axis a list, and samples of several shapes as lists. A field that has a name for each number
    of a sample (a table's features) is a column for each of them instead. What is declared of a field besides, its
    classes, range, rate and missing value, is in the metadata of its columns, as JSON; a `note`, such as that it is
    stand-in data, is in that of the whole.

    Raises:
        MissingLibrary: pyarrow is not installed.
        ValueError: There are no fields.
    """
    try:
        import pyarrow as pa
    except ImportError:
        needing = "a split as an Arrow table"
        raise MissingLibrary(needing, "pyarrow", "tables") from None
    if not fields:
        msg = "a split that is one text as a whole has no samples, and so no columns"
        raise ValueError(msg)
    columns, schema = [], []
    for field, name, values in _columns(fields, declared):
        kept = {key: json.dumps(value) for key in KEPT if (value := declared.get(field, {}).get(key)) is not None}
        column = _array(pa, values)
        columns.append(column)
        schema.append(pa.field(name, column.type, nullable=False, metadata=kept or None))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(schema, {"note": note} if note else None))


class TableColumn(NamedTuple):
    """A column of a table: a field, or the numbers at one place of the samples of a field that has names for them."""

    name: str
    field: str
    place: int | None


def table_columns(names: Mapping[str, Sequence[str]]) -> list[TableColumn]:
    """Return the columns of fields, by each field's names of its columns: none where it is a column itself.

    Names stand for themselves, unless one of them is the name of another column too: then all of that field have its
    name before theirs. No two columns have one name, because a field's name has no dot in it.

    >>> [column.name for column in table_columns({"features": ["width", "height"], "labels": []})]
    ['width', 'height', 'labels']
    >>> [column.name for column in table_columns({"eyes": ["color", "width"], "hair": ["color"]})]
    ['eyes.color', 'eyes.width', 'hair.color']
    """
    prefixed = set[str]()
    while True:
        columns = list[TableColumn]()
        for field, its in names.items():
            before = f"{field}." if field in prefixed else ""
            columns += [TableColumn(f"{before}{name}", field, place) for place, name in enumerate(its)]
            columns += [] if its else [TableColumn(field, field, None)]
        counts = Counter(column.name for column in columns)
        clashing = {column.field for column in columns if column.place is not None and counts[column.name] > 1}
        if clashing <= prefixed:
            return columns
        prefixed |= clashing  # which may make a name that another field has: `eyes.color`


def _columns(
    fields: Mapping[str, Values], declared: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str, Values]]:
    """Yield each column: its field, its name and its values."""
    names = {field: declared.get(field, {}).get("names") or () for field in fields}
    wide = {f for f, v in fields.items() if isinstance(v, np.ndarray) and v.ndim == 2 and len(names[f]) == v.shape[1]}
    for name, field, place in table_columns({field: names[field] if field in wide else () for field in fields}):
        values = fields[field]
        yield field, name, values[:, place] if place is not None and isinstance(values, np.ndarray) else values


def _array(pa: Any, values: Values) -> Any:
    if isinstance(values, EncodedArray):
        values = values.decoded()
    if isinstance(values, StringArray):
        buffer, offsets = values.utf8()
        return pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(buffer))
    if isinstance(values, RaggedArray):
        return _lists(pa, values)
    plain = np.asarray(values)
    return _fixed_lists(pa, _numbers(pa, plain.reshape(-1)), plain.shape)


def _numbers(pa: Any, flat: np.ndarray) -> Any:
    if flat.dtype == np.bool_:
        return pa.array(flat)
    flat = np.ascontiguousarray(flat, flat.dtype.newbyteorder("="))
    return pa.Array.from_buffers(pa.from_numpy_dtype(flat.dtype), len(flat), [None, pa.py_buffer(flat)])


def _item(pa: Any, array: Any) -> Any:
    return pa.field("item", array.type, nullable=False)


def _fixed_lists(pa: Any, array: Any, shape: tuple[int, ...]) -> Any:
    """Return flat values as lists of lists, of which the innermost have as many as the last axis is long."""
    for axis in range(len(shape) - 1, 0, -1):
        kind = pa.list_(_item(pa, array), shape[axis])
        array = pa.Array.from_buffers(kind, math.prod(shape[:axis]), [None], children=[array])
    return array


def _lists(pa: Any, values: RaggedArray) -> Any:
    """Return samples of several shapes as lists of lists; an axis that is as long in all of them as fixed-size ones."""
    rows, array = values.rows, _numbers(pa, values.flat)
    for axis in range(rows.shape[1] - 1, -1, -1):
        lists = rows[:, :axis].prod(axis=1)  # that each sample has on this axis
        size, total = values.sample_shape[axis], int(lists.sum())
        if size is not None:
            kind = pa.list_(_item(pa, array), size)
            array = pa.Array.from_buffers(kind, total, [None], children=[array])
            continue
        if axis == 0 and rows.shape[1] == 1:
            places = np.asarray(values.offsets, np.int64)
            offsets = places if places[0] == 0 else places - places[0]
        else:
            offsets = np.zeros(total + 1, np.int64)
            np.cumsum(np.repeat(rows[:, axis], lists), out=offsets[1:])
        kind = pa.large_list(_item(pa, array))
        places = pa.py_buffer(np.ascontiguousarray(offsets))
        array = pa.Array.from_buffers(kind, total, [None, places], children=[array])
    return array
