"""CSV: rows of cells in text, with a header."""

from __future__ import annotations

import csv as cells
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.exporting import exports
from tinytorch_datasets.exporting.declared import columns_of
from tinytorch_datasets.exporting.values import Fields, blocks, cell, fields_of, measured, plain, values_of

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split
    from tinytorch_datasets.storage.arrow_stream import TableColumn


class _Lines(NamedTuple):
    """A file of rows that end in LF, written by a writer for which they end in CR LF.

    So a text with a CR in it is quoted, as one with an LF is: without quotes, readers take it for the end of a row.
    """

    out: TextIO

    def write(self, row: str) -> None:
        """Write a row, which the writer gives as a whole."""
        row = row.removesuffix("\r\n")
        if row.isspace():  # which readers pass over, as an empty line; an empty text alone is quoted already
            row = f'"{row}"'
        self.out.write(f"{row}\n")


def _write(out: TextIO, fields: Fields, entry: Entry) -> None:
    writer = cells.writer(_Lines(out), lineterminator="\r\n")
    columns = columns_of(entry, tuple(fields))
    writer.writerow([column.name for column in columns])
    for block in blocks(fields):
        rows = [_cells(column, block) for column in columns]
        writer.writerows(zip(*rows, strict=True))


def _cells(column: TableColumn, block: Fields) -> list[Any]:
    values = plain(values_of(column, block), column.name)
    if any(isinstance(value, str) and "\0" in value for value in values):
        msg = f"column {column.name!r} has a text with a NUL in it, at which readers of CSV stop"
        raise UsageError(msg, hint="Export it as parquet or jsonl.")
    return list(map(cell, values))


def write_rows(path: Path, fields: Fields, entry: Entry) -> None:
    """Write fields as a CSV file, a row a sample.

    Raises:
        UsageError: CSV cannot hold a value.
    """
    with path.open("w", encoding="utf-8", newline="") as out:
        _write(out, fields, entry)


room = measured(_write)


@exports("csv", room=room, ending=".csv")
def csv(split: Split, folder: Path, entry: Entry) -> None:
    """CSV: a file a split, with a header and a column a field, in UTF-8.

    `pandas.read_csv("train.csv")` reads one. A field that has a name for each number of a sample is a column for each
    of them; a sample with any other shape is a list of lists in one cell, as JSON writes it: `json.loads` reads it.
    Numbers have as many digits as make the very same float64, labels are numbers, and truths are `true` and `false`.
    NaN is `NaN`, and `null` in a list, where infinity is refused, as a NUL in a text is. Some texts are missing values
    to pandas, `NA` and an empty one among them, unless `keep_default_na=False`.
    """
    write_rows(folder / f"{split.name}.csv", fields_of(split), entry)
