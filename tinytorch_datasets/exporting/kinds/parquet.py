"""Parquet: tables by columns, compressed page by page, written by pyarrow."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_datasets.exporting import exports
from tinytorch_datasets.exporting.values import blocks, bytes_of, fields_of
from tinytorch_datasets.storage.arrow_stream import record_batch

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split

# Of one row group, which readers hold in memory as a whole.
ROW_GROUP_BYTES = 2**26
MOST_ROWS = 2**20


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

    declared = {name: field.model_dump(mode="json") for name, field in entry.fields.items()}
    with contextlib.ExitStack() as opened:
        writer = None
        for block in blocks(fields_of(split), ROW_GROUP_BYTES, MOST_ROWS):
            batch = record_batch(block, declared)
            if writer is None:
                # Nullable, as Hugging Face's library takes every column to be.
                columns = [column.with_nullable(True) for column in batch.schema]
                features = {column.name: _feature(column.type, entry.fields.get(column.name)) for column in columns}
                schema = pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})
                writer = opened.enter_context(pq.ParquetWriter(folder / f"{split.name}.parquet", schema))
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))


def _feature(kind: Any, field: Any) -> Any:
    """Return a column as Hugging Face's library describes it, in the form that all its versions read."""
    import pyarrow as pa

    if field is not None and field.classes:
        return {"names": list(field.classes), "_type": "ClassLabel"}
    if pa.types.is_nested(kind):
        return [_feature(kind.value_type, None)]
    name = {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))
    return {"dtype": name, "_type": "Value"}
