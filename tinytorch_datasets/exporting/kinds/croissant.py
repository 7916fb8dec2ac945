"""Croissant: JSON-LD that describes a data set, for search engines and loaders."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tinytorch_datasets.exporting import ExportedFile, exports
from tinytorch_datasets.exporting.declared import (
    answered,
    columns_of,
    fields_of_samples,
    is_address,
    text_name,
    texts_of_splits,
    words_of,
)
from tinytorch_datasets.exporting.kinds import parquet
from tinytorch_datasets.manifest.filenames import address_on, without_secrets
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.storage.arrow_stream import TableColumn

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split

# The context that the specification prescribes, word for word: readers compare it with theirs.
CROISSANT = "http://mlcommons.org/croissant/1.1"
_TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
    "subField", "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_TYPES = {
    TEXT: "sc:Text",
    "bool": "sc:Boolean",
    **{f"int{bits}": f"cr:Int{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"cr:UInt{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"cr:Float{bits}" for bits in (16, 32, 64)},
}
_MEDIA_TYPES = {".parquet": "application/x-parquet", ".txt": "text/plain"}


def croissant(name: str, entry: Entry, files: Sequence[ExportedFile] = ()) -> dict[str, Any]:
    """Return the Croissant 1.1 metadata of a data set, as plain values of JSON-LD: for a page's head, or a file.

    A record set is a split, with a field for each column; classes are enumerations to which labels refer. Croissant has
    no fields without a file that they are in, so without files two record sets list the splits and the fields, and
    what can be fetched is the files that the data set is made of.

    Args:
        name: The name of the data set.
        entry: Its entry in the manifest.
        files: What was exported of it: the Parquet file of each split, and the texts that are one for a whole split.
    """
    named, entry = {file.name for file in files}, answered(name, entry)
    facts = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "alternateName": [entry.title, *entry.aliases],
        "description": entry.description or entry.title,
        "conformsTo": CROISSANT,
        "license": entry.license,
        "url": entry.source if is_address(entry.source) else None,
        "citeAs": entry.citation,
        "distribution": [*map(_file_object, files), *_original_files(entry)],
        "recordSet": [*_classes(entry), *(_record_sets(entry, named) if files else _listed(entry))],
    }
    return {key: fact for key, fact in facts.items() if fact}


def _file_object(file: ExportedFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": _MEDIA_TYPES[Path(file.name).suffix],
        "sha256": file.sha256,
    }


def _original_files(entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield the files that the data set is made of, where anybody can fetch them, each with its first address."""
    for path, file in entry.files.items():
        addresses = [*file.urls, *(address_on(mirror, path) for mirror in entry.mirrors)]
        addresses = [address for address in addresses if without_secrets(address) == address]
        if addresses:
            guessed, packed = mimetypes.guess_type(path)
            yield {
                "@type": "cr:FileObject",
                "@id": f"original/{quote(path)}",
                "name": path,
                "description": "One of the files that the data set is made of.",
                "contentUrl": addresses[0],
                "contentSize": f"{file.bytes} B",
                "encodingFormat": f"application/{packed}" if packed else guessed or "application/octet-stream",
                "sha256": file.sha256,
            }


def _record_sets(entry: Entry, files: set[str]) -> Iterator[dict[str, Any]]:
    samples = fields_of_samples(entry)
    for split, declared in entry.splits.items():
        file = f"{split}.parquet"
        if samples and file in files:
            yield {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "description": f"{declared.samples:,} samples.",
                "field": [_field(split, column, entry) for column in columns_of(entry, samples)],
            }
        for field in texts_of_splits(entry):
            if (file := text_name(split, field)) in files:
                source = {"fileObject": {"@id": file}, "extract": {"fileProperty": "content"}}
                facts = {"@id": f"{split}-{field}/{field}", "name": field, "dataType": "sc:Text", "source": source}
                of_split = {"@id": f"{split}-{field}", "name": f"{split}-{field}"}
                what = "The split as one text."
                yield {
                    "@type": "cr:RecordSet",
                    **of_split,
                    "description": what,
                    "field": [{"@type": "cr:Field", **facts}],
                }


def _field(split: str, column: TableColumn, entry: Entry) -> dict[str, Any]:
    field = entry.fields[column.field]
    # A column's name may be anything, and an @id is part of an address.
    facts: dict[str, Any] = {"@type": "cr:Field", "@id": f"{split}/{quote(column.name, safe='')}", "name": column.name}
    facts |= {"description": words_of(field, column), "dataType": _TYPES[field.dtype]}
    if field.shape and column.place is None:
        shape = ",".join("-1" if size is None else str(size) for size in field.shape)
        facts |= {"isArray": True, "arrayShape": shape}
    if field.classes:
        facts["references"] = {"field": {"@id": f"{column.field}-classes/number"}}
    return {**facts, "source": {"fileObject": {"@id": f"{split}.parquet"}, "extract": {"column": column.name}}}


def _classes(entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield the classes of each field that has some, as an enumeration: the number of each, and its name."""
    for name, field in entry.fields.items():
        if field.classes:
            rows = [{"number": number, "name": each} for number, each in enumerate(field.classes)]
            yield _enumeration(f"{name}-classes", f"The classes of {name}.", rows, key="number", kind="sc:Enumeration")


def _listed(entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield what the splits and the fields are, each as an enumeration."""
    splits = [{"name": name, "samples": split.samples} for name, split in entry.splits.items()]
    yield _enumeration("splits", "The splits.", splits, key="name", kind="cr:Split")
    fields = [{"name": name, "description": words_of(field)} for name, field in entry.fields.items()]
    yield _enumeration("fields", "What every sample has.", fields, key="name", kind="sc:Enumeration")


def _enumeration(name: str, what: str, rows: list[dict[str, Any]], *, key: str, kind: str) -> dict[str, Any]:
    types = {each: "cr:Int64" if isinstance(value, int) else "sc:Text" for each, value in rows[0].items()}
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": what,
        "dataType": kind,
        "key": {"@id": f"{name}/{key}"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{each}", "name": each, "dataType": its} for each, its in types.items()
        ],
        "data": [{f"{name}/{each}": value for each, value in row.items()} for row in rows],
    }


def _format(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def _describe(name: str, entry: Entry, files: Sequence[ExportedFile]) -> tuple[str, str]:
    return "croissant.json", _format(croissant(name, entry, files))


@exports(
    "croissant",
    room=parquet.room,
    describe=_describe,
    ending=".parquet",
    needs=("pyarrow", "tables"),
    text=lambda name, entry: _format(croissant(name, entry)),
    text_ending=".croissant.json",
)
def _croissant(split: Split, folder: Path, entry: Entry) -> None:
    """Croissant 1.1: `croissant.json`, JSON-LD that describes the Parquet file of each split beside it.

    `mlcroissant.Dataset("croissant.json").records("train")` gives the samples of a split, after their file was compared
    with its sha256. Record sets have the names of the splits, and a text that is one for a whole split has one of its
    own; classes are enumerations. The files that the data set was made of are listed with their addresses.
    """
    parquet.parquet(split, folder, entry)
