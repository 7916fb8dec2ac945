"""Checks of a manifest's formats, their options, and marks of missing values.

A manifest is checked against the formats that there are, and knows none: they are handed in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tinytorch_datasets.errors import Problems, did_you_mean
from tinytorch_datasets.manifest.filenames import mapping
from tinytorch_datasets.plan import COLUMN_RANGE, DTYPES, TEXT


class _Format(Protocol):
    @property
    def layout(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def required(self) -> frozenset[str]: ...
    @property
    def missing(self) -> Collection[str]: ...
    @property
    def reads_members(self) -> bool: ...
    @property
    def joins_members(self) -> bool: ...
    @property
    def reads_columns(self) -> bool: ...
    @property
    def sample(self) -> object | None: ...
    @property
    def check(self) -> Callable[[Mapping[str, Any], Iterable[str], Iterable[str]], Problems]: ...


class Formats(Protocol):
    """The formats there are."""

    def known(self) -> tuple[str, ...]:
        """List their names."""

    def of(self, name: str) -> _Format:
        """Return the one of that name."""


def check_format(entry: dict[str, Any], formats: Formats) -> Problems:
    """Yield what is wrong with an entry's format and its options."""
    name = entry.get("format")
    if not isinstance(name, str):
        return
    if wrong := why_unknown(name, formats):
        yield ("format",), wrong
        return
    fields, splits = mapping(entry.get("fields")), mapping(entry.get("splits"))
    yield from check_options(name, formats, entry, fields, splits)
    if formats.of(name).layout in ("file per sample", "members"):
        for split, body in splits.items():
            if isinstance(body, dict) and "members" not in body:
                yield ("splits", split), f"names no members: format {name!r} has several in one archive"
    elif not formats.of(name).joins_members:
        for split, body in splits.items():
            if "members" in mapping(body):
                yield ("splits", split, "members"), f"format {name!r} has no members"


def why_unknown(name: str, formats: Formats) -> str:
    """Return why there is no format of that name, with a guess; "" where there is."""
    known = formats.known()
    if name in known:
        return ""
    return f"no decoder for format {name!r}" + (did_you_mean(name, known) or f"; there are {', '.join(known)}")


def check_options(
    name: str, formats: Formats, body: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]
) -> Problems:
    """Yield what is wrong with the `options` of a body that has a format, a data set's or a field's."""
    form = formats.of(name)
    options = mapping(body.get("options"))
    sound = {}
    for option, value in options.items():
        if option not in form.options:
            guess = did_you_mean(option, form.options) or f"; it has {', '.join(form.options) or 'none'}"
            yield ("options", option), f"format {name!r} has no such option{guess}"
        elif wrong := list(_option(option, value, form.options[option])):
            yield from wrong
        else:
            sound[option] = value
    for keys, what in form.check(sound, fields, splits):
        yield ("options", *keys), what
    for option in form.required - options.keys():
        yield ("options",) if options else ("format",), f"format {name!r} needs the option {option!r}"


def _option(option: str, value: Any, annotation: Any) -> Problems:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        for finding in error.errors(include_url=False)[:1]:
            inside = tuple(key for key in finding["loc"] if _has(value, key))
            wish = finding["msg"].replace("Input should be", "must be")
            yield ("options", option, *inside), f"{wish}, is {finding['input']!r}"


def _has(value: Any, key: str | int) -> bool:
    return (isinstance(value, dict) and key in value) or (isinstance(value, list) and isinstance(key, int))


_NUMBER = re.compile(r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")


def check_missing(field: Mapping[str, Any], forms: Sequence[str], formats: Formats) -> Problems:
    """Yield what is wrong with `missing` and `missing_value` of a field, and at which key of it."""
    if "missing" not in field and "missing_value" not in field:
        return
    known = [formats.of(form) for form in forms if form in formats.known()]
    form = forms[0] if forms else ""
    for key in ("missing", "missing_value"):
        if key in field and known and not any(of.missing for of in known):
            yield (key,), f"format {form!r} has no cells of text that could mean a missing value"
            return
    marks = field.get("missing")
    for i, mark in enumerate(marks if isinstance(marks, list) else ()):
        if mark is None and known and not any("null" in of.missing for of in known):
            yield ("missing", i), f'format {form!r} has no null; an empty cell is written ""'
            return
    if "missing" not in field:
        if "missing_value" in field:
            yield ("missing_value",), "needs `missing`, the cells that mean a missing value"
        return
    dtype, span = field.get("dtype"), field.get("range")
    if field.get("classes") is not None:
        yield (
            ("missing",),
            "a label is one of its classes: name the mark among them, or declare the field as str",
        )
        return
    if dtype == TEXT:
        yield ("missing",), "text keeps what its cells say, so it has no missing values"
        return
    if dtype == "bool":
        yield ("missing",), "bool has no third value: declare the field as str"
        return
    yield from _wrong_marks(field["missing"], span)
    if dtype in DTYPES:
        yield from _wrong_value(field, np.dtype(dtype), span)


def _wrong_marks(marks: Any, span: Any) -> Problems:
    before = set[str]()
    for i, mark in enumerate(marks if isinstance(marks, list) else ()):
        if not isinstance(mark, str):
            continue
        if mark in before:
            yield ("missing", i), f"the mark {mark!r} is there twice"
        before.add(mark)
        if mark != mark.strip(" \t"):
            yield ("missing", i), f"blanks around a cell do not count, so no cell is {mark!r}"
        elif _NUMBER.fullmatch(mark) and _is_within(float(mark.replace(",", ".")), span):
            yield ("missing", i), f"{mark!r} is a number of the declared range, so it could be a value"


def _wrong_value(field: Mapping[str, Any], dtype: np.dtype[Any], span: Any) -> Problems:
    value = field.get("missing_value")
    if dtype.kind == "f":
        if "missing_value" in field:
            yield ("missing_value",), f"a missing value is NaN in a field of {dtype}"
    elif "missing_value" not in field:
        yield ("missing",), f"{dtype} has no NaN: declare a `missing_value` that no sample has, or float64"
    elif type(value) is int:
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            yield ("missing_value",), f"{dtype} holds {limits.min} to {limits.max}, so it cannot be {value}"
        elif _is_within(value, span):
            yield ("missing_value",), f"{value} is in the declared range, so it could be a value"


def _is_within(number: float, span: Any) -> bool:
    if not (isinstance(span, list) and len(span) == 2 and all(isinstance(end, int | float) for end in span)):
        return False
    return bool(span[0] <= number <= span[1])


# From which bytes on what can be kept encoded is: of the decoded values, or, if their shapes differ, of the files.
LARGE_VALUES = 4 << 30
LARGE_FILES = 1 << 30


def check_cache(field: Mapping[str, Any], forms: Sequence[str], formats: Formats) -> Problems:
    """Yield whether a field cannot be cached as it is declared, in the formats that it has in some split."""
    if field.get("cache") == "encoded" and (why := why_not_encoded(field, forms, formats)):
        yield ("cache",), f"cannot be encoded: {why}"


def why_not_encoded(field: Mapping[str, Any], forms: Sequence[str], formats: Formats) -> str:
    """Return why the cache cannot keep a field as its samples are encoded; "" where it can."""
    known = [form for form in forms if form in formats.known()]
    if other := next((form for form in known if formats.of(form).sample is None), None):
        return f"format {other!r} does not decode a sample at a time"
    if not field.get("shape") or field.get("classes") is not None:
        return "only what a sample's own file holds is, and such a field has a shape and no classes"
    axes, stored = field.get("axes") or [0], field.get("stored_shape") or [None]
    if axes[0] != 0 or stored[0] is not None:
        return "its stored axes do not begin with that of the samples"
    return ""


def cache_of(entry: Mapping[str, Any], field: str, forms: Sequence[str], formats: Formats) -> str:
    """Return what the cache keeps of a field of a right entry: as it declares, or else by how much that comes to."""
    declared = entry["fields"][field]
    if why_not_encoded(declared, forms, formats):
        return "decoded"  # though the entry may declare otherwise: of this variant of it the samples are no files
    if declared.get("cache") is not None:
        return str(declared["cache"])
    if None in declared["shape"]:
        is_large = sum(file["bytes"] for file in entry["files"].values()) > LARGE_FILES
    else:
        samples = sum(split["samples"] for split in entry["splits"].values())
        is_large = samples * math.prod(declared["shape"]) * np.dtype(declared["dtype"]).itemsize > LARGE_VALUES
    return "encoded" if is_large else "decoded"


def columns_of(column: Any) -> tuple[int | str, ...]:
    """Return the columns that a place names, each by its name or number; "0-12" is a range, both ends included.

    >>> columns_of(["0-2", 5, "species"])
    (0, 1, 2, 5, 'species')
    """
    columns: list[int | str] = []
    for item in column if isinstance(column, list | tuple) else () if column is None else (column,):
        ends = COLUMN_RANGE.fullmatch(item) if isinstance(item, str) else None
        columns += range(int(ends[1]), int(ends[2]) + 1) if ends else [item]
    return tuple(columns)


def check_columns(body: Mapping[str, Any], field: Mapping[str, Any], name: str, formats: Formats) -> Problems:
    """Yield what is wrong with the columns that a body names, of a table or of an array."""
    column, width = body.get("column"), body.get("stored_columns")
    if formats.of(name).reads_columns:
        if column is not None and body.get("key") is not None:
            yield ("key",), "is the name of a column, and `column` names it too: write one of them"
        if width is not None:
            yield ("stored_columns",), f"is of arrays, and format {name!r} has tables, which say it themselves"
    elif column is None:
        if width is not None:
            yield ("stored_columns",), "has no meaning without `column`, which says which of them are taken"
    elif any(isinstance(item, str) for item in columns_of(column)):
        yield ("column",), "is of an array, whose columns have numbers and no names"
    elif width is None:
        yield ("column",), "is of an array, so `stored_columns` has to say how many columns are stored"
    elif isinstance(width, int) and not all(0 <= i < width for i in columns_of(column) if isinstance(i, int)):
        yield ("column",), f"is none of 0 to {width - 1}, the columns that are stored"
    elif field.get("stored_shape") or (field.get("axes") and len(columns_of(column)) == 1):
        yield ("column",), "is of an array as it is stored, and takes none of a field with other axes"
