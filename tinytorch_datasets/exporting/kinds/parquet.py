"""Parquet: tables by columns, compressed page by page, written by pyarrow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_datasets.exporting import exports
from tinytorch_datasets.exporting.values import bytes_of, fields_of, rows_in
from tinytorch_datasets.storage.arrow_stream import record_batch

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split

ROW_GROUP_BYTES = 2**26


def room(split: Split, entry: Entry) -> int:
    """Return how many bytes the values of a split have, which its Parquet file packs."""
    return bytes_of(split)


@exports("parquet", room=room, ending=".parquet", needs=("pyarrow", "tables"))
def parquet(split: Split, folder: Path, entry: Entry) -> None:
    """Parquet: a file a split, with a column a field, by pyarrow.

    `pandas.read_parquet("train.parquet")` reads one, and Hugging Face's `load_dataset(FOLDER)` all of them. Numbers
    keep their dtype, and a sample with a shape is a list of lists. A field that has a name for each number of a sample
    is a column for each of them. Labels are numbers, of which `load_dataset` knows the classes.
    """
    import pyarrow as pa  # of an extra
    import pyarrow.parquet as pq

    fields = fields_of(split)
    declared = {name: field.model_dump(mode="json") for name, field in entry.fields.items()}
    batch = record_batch(fields, declared)
    columns = [column.with_nullable(True) for column in batch.schema]  # which Hugging Face's library takes for granted
    features = {column.name: _feature(column.type, entry.fields.get(column.name)) for column in columns}
    schema = pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})
    table = pa.Table.from_arrays(batch.columns, schema=schema)
    pq.write_table(table, folder / f"{split.name}.parquet", row_group_size=rows_in(fields, ROW_GROUP_BYTES))


def _feature(kind: Any, field: Any) -> Any:
    """Return a column as Hugging Face's library describes it, in the form that all its versions read."""
    import pyarrow as pa

    if field is not None and field.classes:
        return {"names": list(field.classes), "_type": "ClassLabel"}
    if pa.types.is_nested(kind):
        return [_feature(kind.value_type, None)]
    name = {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))
    return {"dtype": name, "_type": "Value"}
