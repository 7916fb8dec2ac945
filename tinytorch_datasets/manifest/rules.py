"""Checks across the values of a manifest: names, paths, URLs, limits.

What is of another type than it should be is passed over, because Pydantic reports it.

A model checks one value; these check values against each other. They read the plain data, before and
whatever Pydantic says of it, so that one wrong key hides nothing else: a part of the wrong type is passed
over here, because Pydantic reports it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinytorch_datasets.dataset import Dataset
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
from tinytorch_datasets.manifest.format_options import Formats, check_cache, check_format, check_missing
from tinytorch_datasets.manifest.models import ChecksEntry, Declarations, FieldEntry
from tinytorch_datasets.manifest.places import SPLIT_KEYS, check_splits
from tinytorch_datasets.manifest.shards import check_shards, first_shards
from tinytorch_datasets.manifest.variants import check_variants
from tinytorch_datasets.plan import DTYPES, TEXT, spell
from tinytorch_datasets.split import Split

# What no data set needs, and no computer holds: NumPy counts bytes in 64 bits and has 32 dimensions.
MOST_SAMPLE_BYTES = 2**31
MOST_SHAPE = 31


def check_range(span: list[float], dtype: Any) -> Iterator[str]:
    """Yield what is wrong with a range of values of that dtype."""
    low, high = span
    if low > high:
        yield f"the lowest value comes first; {low} is more than {high}"
    if dtype in DTYPES and dtype != TEXT:
        least, most = _limits(np.dtype(dtype))
        if low < least or high > most:
            yield f"{dtype} holds {least} to {most}, so it cannot reach {low} to {high}"


def _limits(dtype: np.dtype) -> tuple[float, float]:
    """Return the lowest and the highest number that a dtype has."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def check_shape(shape: Any, dtype: Any) -> Iterator[str]:
    """Yield what is wrong with the shape of one sample of that dtype."""
    if not isinstance(shape, list) or not all(isinstance(length, int | None) for length in shape):
        return
    known = [length for length in shape if length is not None]
    if len(shape) > MOST_SHAPE:
        yield f"has {len(shape)} dimensions, the most is {MOST_SHAPE}"
    elif dtype in DTYPES and (nbytes := math.prod(known) * np.dtype(dtype).itemsize) > MOST_SAMPLE_BYTES:
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
    if len(parts) < len(_FOLDERS):
        return
    downloads, shipped = parts
    if downloads[: len(shipped)] == shipped[: len(downloads)]:
        key = _FOLDERS[0] if _FOLDERS[0] in data else _FOLDERS[1]
        of_both = "one folder" if downloads == shipped else "inside one another"
        shown = " and ".join(f"{name} {folder!r}" for name, folder in named.items())
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
_NAME_IS = "lowercase letters, digits, '.', '_' and '-', at most 64, not starting with a sign"
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")

# Names that the manifest or code already means something by, so that no field or split may have them.
_RESERVED = {*SPLIT_KEYS, *(name for cls in (Split, Dataset) for name in dir(cls) if not name.startswith("_"))}


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


def check(data: object, formats: Formats) -> Problems:
    """Yield every rule that the manifest's plain data breaks: the path of the value, and what is wrong."""
    datasets = mapping(mapping(data).get("datasets"))
    one = partial(_check_one, formats=formats)
    for name, entry in datasets.items():
        at = ("datasets", name)
        if not _NAME.fullmatch(name):
            yield at, f"a name is {_NAME_IS}"
        if not isinstance(entry, dict):
            continue
        for keys, what in (*one(entry), *check_variants(entry, one)):
            yield (*at, *keys), what
        for variant in mapping(entry.get("variants")):
            if not _NAME.fullmatch(variant):
                yield (*at, "variants", variant), f"a variant's name is {_NAME_IS}"
    yield from _check_aliases(datasets)
    yield from check_shared_files(datasets)
    yield from check_folders(mapping(data))
    if isinstance(data, dict) and "datasets" not in data and not data.get("include"):
        yield ("datasets",), "is missing"
    yield from ((("ignore", i), what) for i, what in repeats(mapping(data).get("ignore"), "rule"))
    yield from ((("include", i), what) for i, what in repeats(mapping(data).get("include"), "manifest"))


def _check_one(entry: dict[str, Any], *, formats: Formats) -> Problems:
    entry = _without_nulls(entry)
    first = first_shards(entry)
    for rule in _RULES:
        yield from rule(first, formats)
    yield from check_shards(entry)
    yield from check_entry(entry)


def _without_nulls(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry without the keys of fields, splits and checks that are null, which means: left out."""
    fields, splits, checks = (mapping(entry.get(key)) for key in ("fields", "splits", "checks"))
    return {
        **entry,
        "fields": {name: _set_keys(body, FieldEntry.model_fields) for name, body in fields.items()},
        "splits": {name: _set_keys(body, SPLIT_KEYS) for name, body in splits.items()},
        "checks": _set_keys(checks, ChecksEntry.model_fields),
    }


def _set_keys(body: Any, keys: Collection[str]) -> Any:
    """Return a mapping without those of the keys that are null; what is none, as it is."""
    if not isinstance(body, dict):
        return body
    return {key: value for key, value in body.items() if value is not None or key not in keys}


def _check_aliases(datasets: Mapping[str, Any]) -> Problems:
    """Yield which other names of a data set are no names, or are another's already."""
    taken = {name: f"{name!r} is the name of a data set" for name in datasets}
    for name, entry in datasets.items():
        aliases = mapping(entry).get("aliases")
        for i, alias in enumerate(aliases if isinstance(aliases, list) else ()):
            at: Keys = ("datasets", name, "aliases", i)
            if not isinstance(alias, str):
                continue
            if not _NAME.fullmatch(alias):
                yield at, f"an alias is {_NAME_IS}"
            elif alias in taken:
                yield at, f"{taken[alias]} already"
            taken.setdefault(alias, f"{alias!r} is an alias of {name!r}")


def _fields(entry: dict[str, Any], formats: Formats) -> Problems:
    forms = forms_of_fields(entry)
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
        yield from (((*at, *keys), what) for keys, what in _storage(field))
        yield from (((*at, "shape"), what) for what in check_shape(field.get("shape"), dtype))
        if dtype == TEXT:
            for key in ("shape", "range", "classes"):
                if key in field:
                    yield (*at, key), f"text has no {key}"
        elif field.get("per") == "split":
            yield (*at, "per"), "only text can belong to the split as a whole"
        if isinstance(field.get("shape"), list) and None in field["shape"] and "missing" in field:
            yield (*at, "missing"), "is of fields whose samples have one shape, and this one's differ"
        if isinstance(span, list) and len(span) == 2 and all(isinstance(end, int | float) for end in span):
            yield from (((*at, "range"), what) for what in check_range(span, dtype))
        for rule in (check_missing, check_cache):
            yield from (((*at, *keys), what) for keys, what in rule(field, forms[name], formats))


def _storage(field: Mapping[str, Any]) -> Problems:
    """Yield what is wrong with how the values of a field are said to be stored, and at which key of it."""
    classes, values, names, shape = (field.get(key) for key in ("classes", "values", "names", "shape"))
    for key in ("values", "first", "stored"):
        if key in field and classes is None:
            yield (key,), "is of a field with classes, and this one has none"
    yield from ((("values", *keys), what) for keys, what in _values(values, classes))
    if "values" in field and "first" in field:
        yield ("first",), "has no meaning beside `values`, which say what is stored for each class"
    for key in ("values", "first"):
        if key in field and "stored" in field:
            yield (key,), "has no meaning where labels are stored one-hot: the position of the 1 is the label"
    yield from _order_and_scale(field)
    if "channels" in field and not (isinstance(shape, list) and len(shape) > 1):
        yield ("channels",), "is of fields whose samples have two axes or more"
    if isinstance(names, list):
        last = shape[-1] if isinstance(shape, list) and shape else None
        if not isinstance(last, int):
            yield ("names",), "are of the columns of the last axis, and `shape` has none of a declared length"
        elif len(names) != last:
            yield ("names",), f"has {len(names)} names for the {last} columns of the last axis"
        yield from ((("names", i), what) for i, what in repeats(names, "name"))


def _values(values: Any, classes: Any) -> Problems:
    if isinstance(classes, list) and isinstance(values, list):
        if len(values) != len(classes):
            yield (), f"has {len(values)} values for {len(classes)} classes: one for each, in their order"
        yield from (((i,), what) for i, what in _equal_values(values))


def _values_of_splits(entry: dict[str, Any], formats: Formats) -> Problems:
    """Yield what is wrong with the values that single splits have for the classes of a field."""
    fields = mapping(entry.get("fields"))
    for title, split in mapping(entry.get("splits")).items():
        for name, place in mapping(split).items():
            if "values" not in mapping(place) or not isinstance(field := fields.get(name), dict):
                continue
            at = ("splits", title, name, "values")
            if field.get("classes") is None or "stored" in field:
                yield at, "is of a field with classes that are not stored one-hot"
            yield from (((*at, *keys), what) for keys, what in _values(place["values"], field.get("classes")))


def _equal_values(values: list[Any]) -> Iterator[tuple[int, str]]:
    """Yield each value that no file tells from an earlier one: 1, 1.0 and true are equal, 1 and "1" spelled alike."""
    met: dict[Any, int] = {}
    for i, value in enumerate(values):
        if not isinstance(value, str | int | float):
            continue
        # A number is no text, so both are keys of one dict.
        first = min(met.setdefault(key, i) for key in (spell(value), value))
        if first != i:
            other = spell(values[first])
            same = "is there twice" if other == spell(value) else f"is the same as {other!r}"
            yield i, f"the value {spell(value)!r} {same}"


def _order_and_scale(field: Mapping[str, Any]) -> Problems:
    axes, shape, dtype, classes = field.get("axes"), field.get("shape", []), field.get("dtype"), field.get("classes")
    if field.get("stored") == "one-hot" and isinstance(classes, list):
        shape = [len(classes)]
    if (
        isinstance(axes, list)
        and isinstance(shape, list)
        and sorted(map(repr, axes)) != sorted(map(repr, range(len(shape) + 1)))
    ):
        yield ("axes",), f"names each of the {len(shape) + 1} stored axes once, the samples' among them, from 0"
    elif isinstance(axes, list) and (dtype == TEXT or None in shape):
        yield ("axes",), "is of fields of numbers whose samples have one shape"
    if isinstance(field.get("stored_shape"), list) and isinstance(shape, list):
        yield from ((("stored_shape",), what) for what in _stored_shape(field["stored_shape"], shape, axes, dtype))
    if "scale" in field and classes is not None:
        yield ("scale",), "has no meaning in a field with classes: a label is a position in their list"
    elif "scale" in field and not str(dtype).startswith("float"):
        yield ("scale",), f"is of whole numbers that become floats, so the dtype is a float; is {dtype!r}"


def _stored_shape(stored: list[Any], shape: list[Any], axes: Any, dtype: Any) -> Iterator[str]:
    known = [length for length in stored if isinstance(length, int)]
    if dtype == TEXT or None in shape:
        yield "is of fields of numbers whose samples have one shape"
    elif stored.count(None) != 1:
        yield "has one null, which is the axis of the samples"
    elif all(isinstance(length, int) for length in shape) and math.prod(known) != math.prod(shape):
        yield f"has {math.prod(known):,} values for each sample, and `shape` has {math.prod(shape):,}"
    elif stored[0] is not None and not axes:
        yield "has its samples not first, so `axes` has to say in which order the axes are"


def forms_of_fields(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the formats that each field has in some split: that of the data set, or its own.

    Of thousands of fields and of splits, each split names few, so no split is asked for each field.
    """
    splits = [split for split in mapping(entry.get("splits")).values() if isinstance(split, dict)]
    forms: dict[str, dict[int, Any]] = {field: {} for field in mapping(entry.get("fields"))}
    for number, split in enumerate(splits):
        for field in split.keys() & forms.keys():
            if (form := mapping(split[field]).get("format")) is not None:
                forms[field][number] = form
    for of_field in forms.values():
        if len(of_field) < len(splits):  # the first split with no format of its own has that of the data set
            of_field[next(i for i in range(len(splits)) if i not in of_field)] = entry.get("format")
    in_order = {field: [of_field[i] for i in sorted(of_field)] for field, of_field in forms.items()}
    return {field: list(dict.fromkeys(f for f in of if isinstance(f, str))) for field, of in in_order.items()}


def _split_names(entry: dict[str, Any], formats: Formats) -> Problems:
    for name in mapping(entry.get("splits")):
        if not is_field_name(name):
            what = "a split's name is lowercase letters, digits and '_', and nothing that code already means"
            yield ("splits", name), what


def _contents(entry: dict[str, Any], formats: Formats) -> Problems:
    fields, splits = mapping(entry.get("fields")), mapping(entry.get("splits"))
    for name, body in fields.items():
        for split in mapping(mapping(body).get("sha256")):
            if split not in splits:
                yield ("fields", name, "sha256", split), f"no split of that name{did_you_mean(split, splits)}"
    checks = mapping(entry.get("checks"))
    of = mapping(checks.get("duplicates")).get("of")
    for i, field in enumerate(of if isinstance(of, list) else ()):
        if isinstance(field, str) and field not in fields:
            yield ("checks", "duplicates", "of", i), f"no field of that name{did_you_mean(str(field), fields)}"
        elif isinstance(field, str) and mapping(fields[field]).get("per") == "split":
            yield ("checks", "duplicates", "of", i), f"a split has one {field!r}, so no sample repeats another's"
    if "duplicates" in checks and not of and fields:
        first, body = next(iter(fields.items()))
        if mapping(body).get("per") == "split":
            what = f"are of the first field if none is named, and a split has one {first!r}: name others under `of`"
            yield ("checks", "duplicates"), what
    if "balance" in checks and not any("classes" in mapping(field) for field in fields.values()):
        yield ("checks", "balance"), "no field has classes to be balanced"


_RULES: tuple[Callable[[dict[str, Any], Formats], Problems], ...] = (
    check_format,
    _fields,
    _values_of_splits,
    _split_names,
    check_splits,
    _contents,
)
