"""Data Package: a descriptor of CSV files, by Frictionless Data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_datasets.exporting import ExportedFile, exports
from tinytorch_datasets.exporting.declared import answered, columns_of, fields_of_samples, is_address, words_of
from tinytorch_datasets.exporting.kinds import csv
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.storage.arrow_stream import TableColumn

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split

_MEDIA_TYPES = {".csv": "text/csv", ".txt": "text/plain"}
# What a Data Package takes for the name of a license; anything else is words about one.
_LICENSE_NAME = re.compile(r"[A-Za-z0-9._+-]+")


def datapackage(name: str, entry: Entry, files: Sequence[ExportedFile]) -> dict[str, Any]:
    """Return the Data Package descriptor (version 2, which readers of version 1 take) of exported files.

    Args:
        name: The name of the data set.
        entry: Its entry in the manifest.
        files: What was exported of it: the CSV file of each split, and the texts that are one for a whole split.
    """
    entry = answered(name, entry)
    is_named = _LICENSE_NAME.fullmatch(entry.license) is not None
    about = [entry.description, None if is_named or not entry.license else f"License: {entry.license}"]
    source = {"title": entry.source, **({"path": entry.source} if is_address(entry.source) else {})}
    facts = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": name,
        "title": entry.title,
        "description": "\n\n".join(filter(None, about)),
        "homepage": entry.source if is_address(entry.source) else None,
        "licenses": [{"name": entry.license}] if is_named else None,
        "sources": [source] if entry.source else None,
        "citation": entry.citation,
        "resources": [_resource(file, entry) for file in files],
    }
    return {key: fact for key, fact in facts.items() if fact}


def _resource(file: ExportedFile, entry: Entry) -> dict[str, Any]:
    path = Path(file.name)
    facts: dict[str, Any] = {"name": path.stem.lower(), "path": file.name}
    facts |= {"format": path.suffix[1:], "mediatype": _MEDIA_TYPES[path.suffix], "encoding": "utf-8"}
    facts |= {"bytes": file.bytes, "hash": f"sha256:{file.sha256}"}
    if path.suffix == ".csv":
        # A text that is empty is a text.
        schema = {
            "missingValues": [],
            "fields": [_schema_field(column, entry) for column in columns_of(entry, fields_of_samples(entry))],
        }
        facts |= {"type": "table", "schema": schema}
    return facts


def _schema_field(column: TableColumn, entry: Entry) -> dict[str, Any]:
    field = entry.fields[column.field]
    facts: dict[str, Any] = {"name": column.name, "description": words_of(field, column)}
    if field.shape and column.place is None:
        return {**facts, "type": "array"}
    if field.dtype == TEXT:
        return {**facts, "type": "string"}
    if field.dtype == "bool":
        return {**facts, "type": "boolean", "trueValues": ["true"], "falseValues": ["false"]}
    facts["type"] = "number" if field.dtype.startswith("float") else "integer"
    low, high = (0, len(field.classes) - 1) if field.classes else field.range or (None, None)
    if low is not None and facts["type"] == "integer" and field.missing_value is None:
        facts["constraints"] = {"minimum": low, "maximum": high}
    if field.classes:
        facts["categories"] = [{"value": number, "label": name} for number, name in enumerate(field.classes)]
    return facts


def _describe(name: str, entry: Entry, files: Sequence[ExportedFile]) -> tuple[str, str]:
    return "datapackage.json", json.dumps(datapackage(name, entry, files), indent=2, ensure_ascii=False) + "\n"


@exports(
    "datapackage",
    room=csv.room,
    describe=_describe,
    ending=".csv",
)
def _datapackage(split: Split, folder: Path, entry: Entry) -> None:
    """Data Package: `datapackage.json`, with the schema, size and sha256 of the CSV file of each split beside it.

    `frictionless validate datapackage.json` compares every byte and every value with it. The files are those of the
    export as CSV.
    """
    csv.csv(split, folder, entry)
