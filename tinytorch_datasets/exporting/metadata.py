"""Exports of what is declared: Croissant, Data Package and BibTeX.

Each is a pure function of an entry, and of the files that were exported of it.
"""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tinytorch_datasets.exporting import ExportedFile, exports, states, tables
from tinytorch_datasets.exporting.tables import columns_of
from tinytorch_datasets.manifest.filenames import without_secrets
from tinytorch_datasets.manifest.manifest import IN_A_PATH
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.storage.arrow_stream import TableColumn

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry, FieldEntry
    from tinytorch_datasets.split import Split

# The context that the specification prescribes, word for word: readers compare it with theirs.
CROISSANT = "http://mlcommons.org/croissant/1.1"
_CROISSANT_TERMS = (
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
    **{term: f"cr:{term}" for term in _CROISSANT_TERMS},
}
_CROISSANT_TYPES = {
    TEXT: "sc:Text",
    "bool": "sc:Boolean",
    **{f"int{bits}": f"cr:Int{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"cr:UInt{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"cr:Float{bits}" for bits in (16, 32, 64)},
}
_MEDIA_TYPES = {".parquet": "application/x-parquet", ".csv": "text/csv", ".txt": "text/plain"}
# What mlcroissant and Data Packages call the name of a license; anything else is words about one.
_LICENSE_NAME = re.compile(r"[A-Za-z0-9._+-]+")


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
    named = {file.name for file in files}
    facts = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "alternateName": [entry.title, *entry.aliases],
        "description": entry.description or entry.title,
        "conformsTo": CROISSANT,
        "license": entry.license,
        "url": entry.source if _is_address(entry.source) else None,
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
        addresses = [*file.urls, *(mirror + quote(path, safe=IN_A_PATH) for mirror in entry.mirrors)]
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
    samples = [name for name, field in entry.fields.items() if field.per == "sample"]
    for split, declared in entry.splits.items():
        file = f"{split}.parquet"
        if samples and file in files:
            yield {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "description": f"{declared.samples:,} samples.",
                "field": [_croissant_field(split, column, entry) for column in columns_of(entry, samples)],
            }
        for field in (name for name, its in entry.fields.items() if its.per == "split"):
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


def _croissant_field(split: str, column: TableColumn, entry: Entry) -> dict[str, Any]:
    field = entry.fields[column.field]
    # A column's name may be anything, and an @id is part of an address.
    facts: dict[str, Any] = {"@type": "cr:Field", "@id": f"{split}/{quote(column.name, safe='')}", "name": column.name}
    facts |= {"description": words_of(field, column), "dataType": _CROISSANT_TYPES[field.dtype]}
    if field.shape and column.place is None:
        shape = ",".join("-1" if size is None else str(size) for size in field.shape)
        facts |= {"isArray": True, "arrayShape": shape}
    if field.classes:
        facts["references"] = {"field": {"@id": f"{column.field}-classes/number"}}
    return {**facts, "source": {"fileObject": {"@id": f"{split}.parquet"}, "extract": {"column": column.name}}}


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


def datapackage(name: str, entry: Entry, files: Sequence[ExportedFile]) -> dict[str, Any]:
    """Return the Data Package descriptor (version 2, which readers of version 1 take) of exported files.

    Args:
        name: The name of the data set.
        entry: Its entry in the manifest.
        files: What was exported of it: the CSV file of each split, and the texts that are one for a whole split.
    """
    is_named = _LICENSE_NAME.fullmatch(entry.license) is not None
    about = [entry.description, None if is_named else f"License: {entry.license}"]
    facts = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": name,
        "title": entry.title,
        "description": "\n\n".join(filter(None, about)),
        "homepage": entry.source if _is_address(entry.source) else None,
        "licenses": [{"name": entry.license}] if is_named else None,
        "sources": [{"title": entry.source, **({"path": entry.source} if _is_address(entry.source) else {})}],
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
        samples = [name for name, field in entry.fields.items() if field.per == "sample"]
        # A text that is empty is a text.
        schema = {
            "missingValues": [],
            "fields": [_schema_field(column, entry) for column in columns_of(entry, samples)],
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


def text_name(split: str, field: str) -> str:
    """Return the name of the file of a text that is one for a whole split."""
    return f"{split}.{field}.txt"


def _is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _as_text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _described_as_croissant(name: str, entry: Entry, files: Sequence[ExportedFile]) -> tuple[str, str]:
    return "croissant.json", _as_text(croissant(name, entry, files))


@exports(
    "croissant",
    room=tables.parquet_room,
    describe=_described_as_croissant,
    ending=".parquet",
    needs=("pyarrow", "tables"),
    text=lambda name, entry: _as_text(croissant(name, entry)),
    text_ending=".croissant.json",
)
def _croissant(split: Split, folder: Path, entry: Entry) -> None:
    """Croissant 1.1: `croissant.json`, JSON-LD that describes the Parquet file of each split beside it.

    `mlcroissant.Dataset("croissant.json").records("train")` gives the samples of a split, after their file was compared
    with its sha256. Record sets have the names of the splits, and a text that is one for a whole split has one of its
    own; classes are enumerations. The files that the data set was made of are listed with their addresses.
    """
    tables.parquet(split, folder, entry)


def _described_as_datapackage(name: str, entry: Entry, files: Sequence[ExportedFile]) -> tuple[str, str]:
    return "datapackage.json", _as_text(datapackage(name, entry, files))


@exports(
    "datapackage",
    room=tables.csv_room,
    describe=_described_as_datapackage,
    ending=".csv",
)
def _datapackage(split: Split, folder: Path, entry: Entry) -> None:
    """Data Package: `datapackage.json`, with the schema, size and sha256 of the CSV file of each split beside it.

    `frictionless validate datapackage.json` compares every byte and every value with it. The files are those of the
    export as CSV.
    """
    tables.csv_(split, folder, entry)


@states("bibtex", ending=".bib")
def bibtex(name: str, entry: Entry) -> str:
    """BibTeX: the citation that the entry declares, as one entry of a bibliography.

    Of a citation in words, the title in quotes, the year, a DOI, and authors written with their initials first are
    taken where there is no doubt; the words themselves are the note. What is not known is left out. One that is BibTeX
    already is given as it is.
    """
    cited = (entry.citation or "").strip()
    if re.match(r"@\w+\s*\{", cited):
        return cited + "\n"
    facts = {
        "author": _escaped(_authors(cited)),
        "title": _escaped(_quoted(cited) or entry.title),
        "year": _year(cited),
    }
    doi = re.search(r"https?://(?:dx\.)?doi\.org/(10\.\S+?)[.,;)]*(?=\s|$)", cited)
    facts["title"] = f"{{{facts['title']}}}"  # a second pair keeps its capitals
    lines = [f"  {key} = {{{fact}}}" for key, fact in facts.items() if fact]
    if doi:
        lines.append(f"  doi = {{{doi[1]}}}")
    if _is_address(entry.source):
        lines.append(f"  url = {{{quote(entry.source, safe=IN_A_PATH + '?#%[]')}}}")
    if cited:
        lines.append(f"  note = {{{_escaped(cited)}}}")
    return "@misc{" + ",\n".join([name, *lines]) + "\n}\n"


_NAME = re.compile(r"(?:[^\W\d_]\.(?: |-)?)+[^\W\d_][^\d_,\"]*")


def _quoted(cited: str) -> str:
    quoted = re.findall(r"[\"“]([^\"“”]+)[\"”]", cited)
    return quoted[0].rstrip(",. ") if len(quoted) == 1 else ""


def _authors(cited: str) -> str:
    """Return the names before the title, as BibTeX joins them; none if one is not initials and a name."""
    before, quote_sign, _ = cited.replace("“", '"').partition('"')
    names = [name.strip() for name in re.split(r",| and | & ", before) if name.strip()]
    is_list = bool(quote_sign) and all(map(_NAME.fullmatch, names))
    return " and ".join(names) if is_list else ""


def _year(cited: str) -> str:
    """Return the one year that a citation names as such, outside of its title and addresses; none if there are two."""
    rest = re.sub(r"https?://\S+|[\"“][^\"“”]*[\"”]", "", cited)
    years = set(re.findall(r"(?:,\s*|\(|^)((?:19|20)\d\d)(?=[).,;]|\s*$)", rest))
    return years.pop() if len(years) == 1 else ""


def _escaped(text: str) -> str:
    r"""Return a text as TeX reads it.

    >>> _escaped("5% of A & B_1")
    '5\\% of A \\& B\\_1'
    """
    signs = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    signs |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
    return "".join(signs.get(sign, sign) for sign in " ".join(text.split()))
