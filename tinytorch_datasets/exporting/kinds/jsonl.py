"""JSON Lines: a sample a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tinytorch_datasets.exporting import exports
from tinytorch_datasets.exporting.declared import columns_of
from tinytorch_datasets.exporting.values import Fields, blocks, fields_of, format_json, measured, plain, values_of

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split


def _write(out: TextIO, fields: Fields, entry: Entry) -> None:
    columns = columns_of(entry, tuple(fields))
    names = [format_json(column.name) for column in columns]
    for block in blocks(fields):
        values = [map(format_json, plain(values_of(column, block), column.name, as_json=True)) for column in columns]
        for row in zip(*values, strict=True):
            out.write("{" + ", ".join(f"{name}: {value}" for name, value in zip(names, row, strict=True)) + "}\n")


@exports("jsonl", room=measured(_write), ending=".jsonl")
def jsonl(split: Split, folder: Path, entry: Entry) -> None:
    """JSON Lines: a file a split, with an object a sample, in UTF-8.

    `pandas.read_json("train.jsonl", lines=True)` reads one. Columns are those of CSV, and a sample with a shape is a
    list of lists. NaN is `null`, and infinity is refused: JSON has no word for either.
    """
    with (folder / f"{split.name}.jsonl").open("w", encoding="utf-8", newline="") as out:
        _write(out, fields_of(split), entry)
