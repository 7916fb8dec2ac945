"""What is declared of fields and splits, as tables, schemas and texts have it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tinytorch_datasets.plan import UNANSWERED
from tinytorch_datasets.storage.arrow_stream import TableColumn, table_columns

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry, FieldEntry


def columns_of(entry: Entry, fields: Iterable[str]) -> list[TableColumn]:
    """Return the columns of a table of these fields: those that an Arrow table of a split has."""
    return table_columns({field: _names(entry.fields.get(field)) for field in fields})


def _names(field: FieldEntry | None) -> Sequence[str]:
    return field.names or () if field is not None and len(field.shape) == 1 else ()


def fields_of_samples(entry: Entry) -> list[str]:
    """Return the fields that every sample has."""
    return [name for name, field in entry.fields.items() if field.per == "sample"]


def texts_of_splits(entry: Entry) -> list[str]:
    """Return the fields that are one text for a whole split."""
    return [name for name, field in entry.fields.items() if field.per == "split"]


def text_name(split: str, field: str) -> str:
    """Return the name of the file of a text that is one for a whole split."""
    return f"{split}.{field}.txt"


def words_of(field: FieldEntry, column: TableColumn | None = None) -> str:
    """Return what is declared of a field, or of a column of it, in words."""
    is_whole = column is None or column.place is None
    kind = f"{field.dtype} {shape_of(field)}" if field.shape and is_whole else field.dtype
    span = f", from {field.range[0]} to {field.range[1]}" if field.range else ""
    classes = f", the number of one of {len(field.classes)} classes" if field.classes else ""
    missing = f"; {field.missing_value} is a missing value" if field.missing_value is not None else ""
    return kind + span + classes + missing + (", one for the whole split" if field.per == "split" else "")


def shape_of(field: FieldEntry) -> str:
    """Return a shape as the manifest writes it."""
    return "[" + ", ".join("null" if size is None else str(size) for size in field.shape) + "]"


def title_of(name: str, entry: Entry) -> str:
    """Return the title of a data set, or its name while nobody has given it one."""
    return name if entry.title == UNANSWERED else entry.title


def answered(name: str, entry: Entry) -> Entry:
    """Return an entry as other programs are given it: an open question is no fact, and is left out.

    Its license and source are empty then, and its title is its name.
    """
    facts = {"license": entry.license, "source": entry.source}
    open_facts = {key: "" for key, fact in facts.items() if fact == UNANSWERED}
    return entry.model_copy(update={"title": title_of(name, entry), **open_facts})


def is_address(source: str) -> bool:
    """Check whether the source of a data set is an address: it may be a path, or words."""
    return source.startswith(("http://", "https://"))
