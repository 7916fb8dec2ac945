"""Checks across the values of a manifest: names, paths, URLs, limits.

What is of another type than it should be is passed over, because Pydantic reports it.

A model checks one value; these check values against each other. They read the plain data, before and
whatever Pydantic says of it, so that one wrong key hides nothing else: a part of the wrong type is passed
over here, because Pydantic reports it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from tinytorch_datasets.dataset import Dataset, Split
from tinytorch_datasets.errors import Keys, Problems, did_you_mean
from tinytorch_datasets.manifest.filenames import (
    check_addresses,
    check_shared_files,
    folded,
    mapping,
    repeats,
    why_hidden,
    why_unsafe,
)
from tinytorch_datasets.manifest.models import Declarations, SplitEntry
from tinytorch_datasets.plan import DTYPES, TEXT

# What no data set needs, and no computer holds: NumPy counts bytes in 64 bits and has 32 dimensions.
MOST_SAMPLES = 10**12
MOST_SAMPLE_BYTES = 2**31
MOST_SHAPE = 31


def check_range(span: list[float], dtype: Any) -> Iterator[str]:
    """Yield what is wrong with a range of values of that dtype."""
    low, high = span
    if low > high:
        yield f"the lowest value comes first; {low} is more than {high}"
    if dtype in DTYPES and np.dtype(dtype).kind in "uib":
        limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if low < limits[0] or high > limits[1]:
            yield f"{dtype} holds {limits[0]} to {limits[1]}, so it cannot reach {low} to {high}"


def check_shape(shape: Any, dtype: Any) -> Iterator[str]:
    """Yield what is wrong with the shape of one sample of that dtype."""
    if not isinstance(shape, list) or not all(isinstance(length, int) for length in shape):
        return
    if len(shape) > MOST_SHAPE:
        yield f"has {len(shape)} dimensions, the most is {MOST_SHAPE}"
    elif dtype in DTYPES and (nbytes := math.prod(shape) * np.dtype(dtype).itemsize) > MOST_SAMPLE_BYTES:
        yield f"makes a sample of {nbytes:,} bytes, the most is {MOST_SAMPLE_BYTES:,}"


_FOLDERS = ("download_to", "shipped_in")


def check_folders(data: Mapping[str, Any]) -> Problems:
    """Yield what is wrong with the two folders that a manifest names, or that are taken where it does not."""
    named = {key: data.get(key, Declarations.model_fields[key].default) for key in _FOLDERS}
    texts = {key: folder for key, folder in named.items() if isinstance(folder, str)}
    for key, folder in texts.items():
        if wrong := why_unsafe(folder):
            yield (key,), wrong
    parts = [folded(folder).split("/") for folder in texts.values()]
    if len(parts) == len(_FOLDERS) and all(one == other for one, other in zip(*parts, strict=False)):
        key = _FOLDERS[0] if _FOLDERS[0] in data else _FOLDERS[1]
        of_both = "one folder" if parts[0] == parts[1] else "inside one another"
        shown = " and ".join(f"{key} {folder!r}" for key, folder in named.items())
        yield (key,), f"{shown} are {of_both}; keep downloads, which `clean` removes, apart from what ships"


def check_entry(entry: Mapping[str, Any]) -> Problems:
    """Yield what is wrong with the names and addresses of one data set's files."""
    met: dict[str, str] = {}
    files = mapping(entry.get("files"))
    for name, file in files.items():
        at: Keys = ("files", name)
        if wrong := why_unsafe(name):
            yield at, wrong
        same = met.setdefault(folded(name), name)
        if same != name:
            yield at, f"{name!r} and {same!r} are one file on a disk that folds letter case"
        urls = mapping(file).get("urls")
        if isinstance(urls, list):
            yield from (((*at, "urls", i), what) for i, what in check_addresses(urls, "url"))
        if entry.get("status") == "remote" and not urls and not entry.get("mirrors"):
            yield at, "is remote but has no mirror and no url"
    fields = mapping(entry.get("fields"))
    if isinstance(target := entry.get("target"), str) and target != "?" and fields and target not in fields:
        yield ("target",), f"no field of that name{did_you_mean(target, fields)}"
    if isinstance(folder := entry.get("folder"), str) and (wrong := why_unsafe(folder) or why_hidden(folder)):
        yield ("folder",), wrong
    yield from ((("ignore", i), what) for i, what in repeats(entry.get("ignore"), "rule"))
    used_by = entry.get("used_by")
    for i, script in enumerate(used_by if isinstance(used_by, list) else ()):
        if isinstance(script, str) and (wrong := why_unsafe(script)):
            yield ("used_by", i), wrong
    mirrors = entry.get("mirrors")
    if isinstance(mirrors, list):
        yield from ((("mirrors", i), what) for i, what in check_addresses(mirrors, "mirror"))


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SPLIT_KEYS = tuple(SplitEntry.model_fields)

# Names that the manifest or code already means something by, so that no field or split may have them.
_RESERVED = {*_SPLIT_KEYS, *(name for cls in (Split, Dataset) for name in dir(cls) if not name.startswith("_"))}


def is_reserved(name: str) -> bool:
    """Check whether the manifest or code already means something by a name.

    >>> is_reserved("batches"), is_reserved("samples"), is_reserved("images")
    (True, True, False)
    """
    return name in _RESERVED


def is_field_name(name: str) -> bool:
    """Check whether a field or split may be called that.

    >>> is_field_name("images"), is_field_name("batches"), is_field_name("Images")
    (True, False, False)
    """
    return bool(_FIELD.fullmatch(name)) and not is_reserved(name)


class _Format(Protocol):
    @property
    def layout(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def required(self) -> frozenset[str]: ...
    @property
    def has_cells(self) -> bool: ...
    @property
    def check(self) -> Callable[[Mapping[str, Any], Iterable[str], Iterable[str]], Problems]: ...


class Formats(Protocol):
    """The formats there are: handed in, because decoders stand on a higher floor than the manifest."""

    def known(self) -> tuple[str, ...]:
        """List their names."""

    def of(self, name: str) -> _Format:
        """Return the one of that name."""


def check(data: object, formats: Formats) -> Problems:
    """Yield every rule that the manifest's plain data breaks: the path of the value, and what is wrong."""
    datasets = mapping(mapping(data).get("datasets"))
    for name, entry in datasets.items():
        at = ("datasets", name)
        if not _NAME.fullmatch(name):
            yield at, "a name is lowercase letters, digits, '.', '_' and '-', at most 64, not starting with a sign"
        if not isinstance(entry, dict):
            continue
        for keys, what in (*(found for rule in _RULES for found in rule(entry, formats)), *check_entry(entry)):
            yield (*at, *keys), what
    yield from check_shared_files(datasets)
    yield from check_folders(mapping(data))
    yield from ((("ignore", i), what) for i, what in repeats(mapping(data).get("ignore"), "rule"))


def _format(entry: dict[str, Any], formats: Formats) -> Problems:
    name = entry.get("format")
    if not isinstance(name, str):
        return
    known = formats.known()
    if name not in known:
        yield (
            ("format",),
            f"no decoder for format {name!r}" + (did_you_mean(name, known) or f"; there are {', '.join(known)}"),
        )
        return
    form = formats.of(name)
    options = mapping(entry.get("options"))
    sound = {}
    for option, value in options.items():
        if option not in form.options:
            guess = did_you_mean(option, form.options) or f"; it has {', '.join(form.options) or 'none'}"
            yield ("options", option), f"format {name!r} has no such option{guess}"
        elif wrong := list(_option(option, value, form.options[option])):
            yield from wrong
        else:
            sound[option] = value
    for keys, what in form.check(sound, mapping(entry.get("fields")), mapping(entry.get("splits"))):
        yield ("options", *keys), what
    for option in form.required - options.keys():
        yield ("options",) if options else ("format",), f"format {name!r} needs the option {option!r}"
    yield from _layout(entry, name, form.layout)


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


def _layout(entry: dict[str, Any], name: str, layout: str) -> Problems:
    fields = mapping(entry.get("fields"))
    for split, body in mapping(entry.get("splits")).items():
        if not isinstance(body, dict):
            continue
        at = ("splits", split)
        if layout == "file per field":
            if "file" in body:
                yield (*at, "file"), f"format {name!r} has a file for each field: name them as `field: file`"
            else:
                for field in fields.keys() - body.keys():
                    yield at, f"names no file for the field {field!r}"
        elif "file" not in body:
            yield at, f"names no file: format {name!r} has all fields of a split in one"
        if layout == "members" and "members" not in body:
            yield at, f"names no members: format {name!r} has several in one archive"
        if layout != "members" and "members" in body:
            yield (*at, "members"), f"format {name!r} has no members"


def _fields(entry: dict[str, Any], formats: Formats) -> Problems:
    for name, field in mapping(entry.get("fields")).items():
        at: Keys = ("fields", name)
        if not is_field_name(name):
            reserved = "; this one has a meaning of its own in code" if is_reserved(name) else ""
            yield at, "a field's name is lowercase letters, digits and '_', starting with a letter" + reserved
        if not isinstance(field, dict):
            continue
        dtype, classes, span = field.get("dtype"), field.get("classes"), field.get("range")
        if classes is not None:
            if dtype != "int64":
                yield (*at, "dtype"), f"a field with classes is int64, whatever the file holds; is {dtype!r}"
            if field.get("shape"):
                yield (*at, "shape"), "a field with classes is one label a sample, so it has no shape"
            yield from (((*at, "classes", i), what) for i, what in repeats(classes, "class"))
        yield from (((*at, "shape"), what) for what in check_shape(field.get("shape"), dtype))
        if dtype == TEXT:
            for key in ("shape", "range", "classes"):
                if key in field:
                    yield (*at, key), f"text has no {key}"
        elif field.get("per") == "split":
            yield (*at, "per"), "only text can belong to the split as a whole"
        if isinstance(span, list) and len(span) == 2 and all(isinstance(end, int | float) for end in span):
            yield from (((*at, "range"), what) for what in check_range(span, dtype))
        yield from (((*at, *keys), what) for keys, what in _missing(field, entry.get("format"), formats))


_NUMBER = re.compile(r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")


def _missing(field: Mapping[str, Any], form: Any, formats: Formats) -> Problems:
    """Yield what is wrong with `missing` and `missing_value` of a field, and at which key of it."""
    for key in ("missing", "missing_value"):
        if key in field and form in formats.known() and not formats.of(form).has_cells:
            yield (key,), f"format {form!r} has no cells of text that could mean a missing value"
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


def _splits(entry: dict[str, Any], formats: Formats) -> Problems:
    fields, files = mapping(entry.get("fields")), mapping(entry.get("files"))
    places: dict[str, str] = {}
    for name, split in mapping(entry.get("splits")).items():
        at: Keys = ("splits", name)
        if not is_field_name(name):
            yield at, "a split's name is lowercase letters, digits and '_', and nothing that code already means"
        if not isinstance(split, dict):
            continue
        if isinstance(split.get("samples"), int) and split["samples"] > MOST_SAMPLES:
            yield (*at, "samples"), f"must be {MOST_SAMPLES:,} or fewer, is {split['samples']:,}"
        named = {key: value for key, value in split.items() if key not in _SPLIT_KEYS}
        other = places.setdefault(
            repr((split.get("file"), split.get("members"), sorted(named.items(), key=repr))), name
        )
        if other != name:
            yield at, f"is where {other!r} is: the same file, and the same places in it"
        for key in named.keys() - fields.keys():
            yield (*at, key), f"no field of that name{did_you_mean(key, [*fields, *_SPLIT_KEYS])}"
        inside = split.get("file")
        for key, file in {"file": inside, **({} if inside else named)}.items():
            if isinstance(file, str) and file not in files:
                yield (*at, key), f"{file!r} is not under files{did_you_mean(file, files)}"
        members = split.get("members")
        yield from (((*at, "members", i), what) for i, what in repeats(members, "member"))
        for i, member in enumerate(members if isinstance(members, list) else ()):
            if isinstance(member, str) and (wrong := why_unsafe(member)):
                yield (*at, "members", i), wrong


def _contents(entry: dict[str, Any], formats: Formats) -> Problems:
    fields, splits = mapping(entry.get("fields")), mapping(entry.get("splits"))
    for name, body in fields.items():
        for split in mapping(mapping(body).get("sha256")).keys() - splits.keys():
            yield ("fields", name, "sha256", split), f"no split of that name{did_you_mean(split, splits)}"
    checks = mapping(entry.get("checks"))
    of = mapping(checks.get("duplicates")).get("of")
    for i, field in enumerate(of if isinstance(of, list) else ()):
        if isinstance(field, str) and field not in fields:
            yield ("checks", "duplicates", "of", i), f"no field of that name{did_you_mean(str(field), fields)}"
        elif isinstance(field, str) and mapping(fields[field]).get("per") == "split":
            yield ("checks", "duplicates", "of", i), f"a split has one {field!r}, so no sample repeats another's"
    first = next(iter(fields), "")
    if "duplicates" in checks and not of and mapping(fields.get(first)).get("per") == "split":
        what = f"are of the first field if none is named, and a split has one {first!r}: name others under `of`"
        yield ("checks", "duplicates"), what
    if "balance" in checks and not any("classes" in mapping(field) for field in fields.values()):
        yield ("checks", "balance"), "no field has classes to be balanced"


_RULES: tuple[Callable[[dict[str, Any], Formats], Problems], ...] = (_format, _fields, _splits, _contents)
