"""The draft of an entry: splits, fields, ranges and classes.

What several files hold are put together to splits and fields; then everything is decoded once, for the ranges and
classes that no header has.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.add import naming
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import ArrayInfo, FileInfo
from tinytorch_datasets.plan import DTYPES, TEXT, Column, RaggedBlock, Split
from tinytorch_datasets.readers.table import MAX_CLASSES, label_values, shown_marks

MOST_WRITTEN_OUT = 1e15
ORDER = ("train", "val", "test")
NUMBERS = frozenset(DTYPES) - {TEXT}


@dataclass
class Field:
    """A field as it will be declared; `sha256` are its values' digests by split, `note` the comment beside it.

    `missing` are the cells that mean a missing value, of which there are as many as `gaps`. `values`, `stored` and
    `names` are as in the manifest. `may_have_classes` is whether its values decide if they are classes.
    """

    dtype: str
    shape: tuple[int | None, ...] = ()
    range: tuple[Any, Any] | None = None
    classes: tuple[str, ...] | None = None
    values: tuple[str | int | float, ...] = ()
    per: str = "sample"
    sha256: dict[str, str] = field(default_factory=dict)
    note: str = ""
    missing: tuple[str | None, ...] = ()
    gaps: int = 0
    may_have_classes: bool = False
    stored: str = ""
    names: tuple[str, ...] = ()


@dataclass
class Draft:
    """What files alone say of a data set; `left_out` is what they hold that is not declared, and why.

    `asks_target` is whether a person is to say which field is to be predicted.
    """

    format: str
    options: dict[str, Any]
    fields: dict[str, Field]
    splits: dict[str, dict[str, Any]]
    left_out: list[str] = field(default_factory=list)
    asks_target: bool = False

    def missing(self) -> Iterator[str]:
        """Say of each field with missing values how they are marked, and how many there are."""
        for name, one in self.fields.items():
            if one.missing:
                cells = f"{one.gaps:,} {'cell' if one.gaps == 1 else 'cells'}"
                yield f"{name}: {shown_marks(one.missing)} in {cells} means a missing value, which is NaN"


@dataclass(frozen=True)
class _Part:
    """One array of one file, with the split and the field that it is."""

    info: FileInfo
    array: ArrayInfo
    split: str
    field: str


def draft(infos: Sequence[FileInfo], given: Callable[[str], str | None]) -> Draft:
    """Put together what several files hold.

    Args:
        infos: What each of them holds.
        given: The split that a person said a name belongs to, or None.

    Raises:
        DecodeError: The files do not make one data set, or one of them is damaged.
    """
    form, others = infos[0].format, [info for info in infos if info.format != infos[0].format]
    if others:
        reason = f"it is {others[0].format}, and {infos[0].file} is {form}; a data set has one format"
        raise DecodeError(others[0].path, reason, hint="Add them one by one, or convert one of them.")
    left_out = list(dict.fromkeys(f"{info.file}: {reason}" for info in infos for reason in info.left_out))
    every_part = list(_parts(infos, given))
    if not every_part:
        reason = "it holds no array, and no list of numbers or texts"
        raise DecodeError(infos[0].path, reason, hint="Save its samples as arrays of numbers.")
    parts = _sorted_out(every_part, left_out)
    if all(_is_label(part) for part in parts):
        reason = "it has labels, and nothing that they are of" + "".join(f"; left out: {what}" for what in left_out)
        raise DecodeError(infos[0].path, reason, hint="Add the files of the inputs too, or save them as arrays.")
    made = Draft(form, _options(infos), _fields(parts), _splits(parts, formats.of(form).layout), left_out)
    made.asks_target = any(info.asks_target for info in infos)
    _fill_in(made, parts)
    return made


def _parts(infos: Sequence[FileInfo], given: Callable[[str], str | None]) -> Iterator[_Part]:
    for info in infos:
        for array in info.arrays:
            inside = "" if info.is_table else array.member or array.key  # a column called test is no split
            split = given(inside) or given(info.file) or naming.split_of(inside) or naming.split_of(info.file)
            # NumPy has names for dtypes that it does not read back, such as str32; they are left out later.
            kind = TEXT if array.dtype not in NUMBERS else np.dtype(array.dtype).kind
            field = array.field or (
                naming.column_field(array.key)
                if info.is_table
                else naming.field_of(array.key or info.file, array.shape, kind)
            )
            if "labels" in field and math.prod(length or 0 for length in array.shape[1:]) == 1:
                array = replace(array, shape=array.shape[:1])
            yield _Part(info, array, split or "train", field)


def _can_be_declared(array: ArrayInfo) -> bool:
    """Check whether it is plain numbers or text, with one sample or more."""
    return array.dtype in DTYPES and bool(array.shape) and all(length != 0 for length in array.shape)


def _sorted_out(parts: list[_Part], left_out: list[str]) -> list[_Part]:
    """Return the parts that fit together: plain values, in every split, as many in each field of a split as samples."""
    kept = []
    for part in parts:
        if _can_be_declared(part.array):
            kept.append(part)
        else:
            left_out.append(
                f"{_location(part)}: {part.array.dtype} {part.array.shape} is not a row of samples that can be declared"
            )
    hint = "Say which split each file is: --split NAME=FILE." if kept else "Save its samples as arrays of numbers."
    _ask_for_splits(kept)
    splits = dict.fromkeys(part.split for part in kept)
    for split in splits:
        counts = [
            part.array.shape[0]
            for part in kept
            if part.split == split and part.array.per == "sample" and not part.array.member
        ]
        usual = max(counts, key=counts.count) if counts else 0
        uneven = [
            p
            for p in kept
            if p.split == split and p.array.per == "sample" and not p.array.member and p.array.shape[0] != usual
        ]
        left_out += [
            f"{_location(part)}: has {part.array.shape[0]:,} samples, the rest of {split} has {usual:,}"
            for part in uneven
        ]
        kept = [part for part in kept if part not in uneven]
    everywhere = {p.field for p in kept if all(any(q.field == p.field and q.split == s for q in kept) for s in splits)}
    left_out += [f"{_location(part)}: not in every split" for part in kept if part.field not in everywhere]
    kept = [part for part in kept if part.field in everywhere]
    if not kept:
        reason = "nothing in it can be declared: " + "; ".join(left_out)
        raise DecodeError(parts[0].info.path, reason, hint=hint)
    met: dict[tuple[str, str, str], _Part] = {}
    for part in kept:
        other = met.setdefault((part.split, part.field, part.array.member), part)
        if other is not part:
            reason = f"{_location(part)} and {_location(other)} would both be {part.split}.{part.field}"
            raise DecodeError(part.info.path, reason, hint="Say which split each is: --split NAME=FILE.")
    rank = {split: ORDER.index(split) if split in ORDER else len(ORDER) for split in splits}
    return sorted(kept, key=lambda part: (rank[part.split], part.split if rank[part.split] == len(ORDER) else ""))


def _ask_for_splits(parts: Sequence[_Part]) -> None:
    """Refuse arrays that only their positions tell apart, where several would be the same field of one split."""
    first: dict[tuple[str, str, str], _Part] = {}
    for part in parts:
        if not re.fullmatch(r"[0-9.]+", part.array.key):
            continue
        other = first.setdefault((part.info.file, part.split, part.field), part)
        if other is not part:
            reason = f"{_location(other)} and {_location(part)} would both be {part.split}.{part.field}"
            patterns = dict.fromkeys(re.sub(r"[0-9]+$", "*", one.array.key) for one in (other, part))
            splits = " ".join(f"--split {name}='{of}'" for name, of in zip(("train", "test"), patterns, strict=False))
            raise DecodeError(part.info.path, reason, hint=f"Say which split each is, for example: {splits}.")


def _location(part: _Part) -> str:
    return f"{part.info.file}{': ' + repr(part.array.key) if part.array.key else ''}"


def _options(infos: Sequence[FileInfo]) -> dict[str, Any]:
    for info in infos[1:]:
        if dict(info.options) != dict(infos[0].options):
            reason = f"it would need the options {dict(info.options)}, {infos[0].file} needs {dict(infos[0].options)}"
            raise DecodeError(info.path, reason, hint="Make their columns the same, or add them one by one.")
    return dict(infos[0].options)


def _fields(parts: Sequence[_Part]) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    # Inputs come before labels, whatever the order in the file: a sample is (image, label).
    for part in sorted(parts, key=lambda part: _is_label(part)):
        array = part.array
        shape = array.shape[1:] if array.per == "sample" else ()
        made = Field(array.dtype, shape, per=array.per, note=array.note, names=array.names)
        made.may_have_classes = "labels" in part.field and (array.field is None or not part.info.is_table)
        before = fields.setdefault(part.field, made)
        if (before.dtype, before.shape) != (made.dtype, made.shape):
            reason = f"{_location(part)} is {made.dtype} {list(made.shape)}, in another split "
            reason += f"it is {before.dtype} {list(before.shape)}"
            raise DecodeError(part.info.path, reason, hint="Save them alike, or add them one by one.")
    for part in parts:
        if part.array.classes is not None:
            known = fields[part.field].classes or ()
            more = tuple(name for name in part.array.classes if name not in known)
            stored = dict(zip(part.array.classes, part.array.values, strict=False))  # there may be none
            fields[part.field].classes = known + more
            fields[part.field].values += tuple(stored[name] for name in more if name in stored)
        marks = dict.fromkeys((*fields[part.field].missing, *part.array.missing))
        fields[part.field].missing = tuple(sorted(marks, key=lambda mark: (mark is not None, mark or "")))
    return fields


def _is_label(part: _Part) -> bool:
    return part.array.classes is not None or "labels" in part.field


def _splits(parts: Sequence[_Part], layout: str) -> dict[str, dict[str, Any]]:
    splits: dict[str, dict[str, Any]] = {}
    for part in parts:
        declared = splits.setdefault(part.split, {"samples": 0})
        if layout == "members":
            declared["file"] = part.info.file
            members = declared.setdefault("members", [])
            if part.array.member not in members:
                members.append(part.array.member)
                declared["samples"] += part.array.shape[0]
            continue
        if part.array.per == "sample":
            declared["samples"] = part.array.shape[0]
        if layout == "file per field":
            declared[part.field] = part.info.file
        elif declared.setdefault("file", part.info.file) != part.info.file:
            reason = f"{declared['file']} and {part.info.file} are both {part.split}"
            raise DecodeError(part.info.path, reason, hint="Say which split each is: --split NAME=FILE.")
        elif part.array.key and part.array.key != part.field:
            declared[part.field] = part.array.key
    return splits


def _fill_in(made: Draft, parts: Sequence[_Part]) -> None:
    """Decode everything once, and take in ranges and classes."""
    paths = {part.info.file: part.info.path for part in parts}
    surveys = {name: _Survey(one) for name, one in made.fields.items()}
    for block in formats.of(made.format).decode(_as_plan(made, paths), **made.options):
        surveys[block.column.field].add(block.values)
    samples = max(declared["samples"] for declared in made.splits.values())
    for survey in surveys.values():
        survey.settle(samples)


class _Survey:
    """What all values of a field are, gathered block by block."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._span: list[Any] | None = None
        self._is_one_hot = True
        self._distinct: set[Any] | None = set() if field.may_have_classes and field.classes is None else None

    def add(self, values: Any) -> None:
        """Take in the next values."""
        field = self._field
        if isinstance(values, RaggedBlock):
            values, self._distinct = values.values, None
        if not isinstance(values, np.ndarray):
            self._collect(values)
            return
        if field.missing:
            field.gaps += int(np.isnan(values).sum())
            values = values[~np.isnan(values)]
        if not values.size or values.dtype.kind not in "iufb":
            return
        if self._distinct is not None:
            if values[0].size == 1:
                self._collect(np.unique(values).tolist())
            self._is_one_hot = self._is_one_hot and _is_one_hot(values)
        if values.dtype.kind != "b":
            low, high = values.min().item(), values.max().item()
            self._span = self._span or [low, high]
            # NaN is neither less nor more, and stays once it is there.
            self._span = [min(low, self._span[0]), max(high, self._span[1])]
            if math.isnan(low):
                self._span = [math.nan, math.nan]

    def _collect(self, values: Iterable[Any]) -> None:
        if self._distinct is not None:
            self._distinct.update(values)
            if len(self._distinct) > MAX_CLASSES:
                self._distinct = None

    def settle(self, samples: int) -> None:
        """Give the field its range, or the classes that its values are; `samples` are those of the largest split."""
        one, span = self._field, self._span
        if one.classes is not None:
            one.dtype = "int64"
            one.note = "a label is a position in this list"
        elif self._distinct is not None and len(one.shape) < 2 and self._has_classes(samples):
            one.dtype, one.shape = "int64", ()
        elif span is None or not all(map(math.isfinite, span)):
            one.note = one.note if span is None else "holds values that are not finite, so it has no range"
        elif one.dtype == "uint8" and one.shape:
            one.range = (0, 255)
        else:
            one.range = (_rounded(span[0], math.floor), _rounded(span[1], math.ceil))
            one.note = "as found: widen it to what a value may be"

    def _has_classes(self, samples: int) -> bool:
        """Give the field classes, if its values are few names or numbers that name them, or one-hot."""
        one, distinct = self._field, self._distinct or set()
        if math.prod(length or 0 for length in one.shape) > 1:
            width = one.shape[0] or 0
            if not self._is_one_hot or samples <= width:
                return False
            one.classes, one.stored = tuple(map(str, range(width))), "one-hot"
            one.note = "stored as a 1 in one of the columns; numbers stand for names that the file does not have"
            return True
        if not distinct:
            return False
        if all(isinstance(value, str) for value in distinct):
            if "" in distinct or len(distinct) > max(2, samples // 2):
                return False
            one.classes, one.note = tuple(sorted(distinct)), "a label is a position in this list"
            return True
        if distinct <= {False, True} and one.dtype == "bool":
            one.classes, one.note = ("false", "true"), "stored as bools"
            return True
        if not (values := _label_values(distinct, samples, is_whole=one.dtype[:1] in "iu")):
            return False
        one.classes = tuple(map(str, values))
        one.values = () if values == tuple(range(len(values))) else values
        one.note = "numbers stand for names that the file does not have"
        return True


def _label_values(distinct: Collection[Any], samples: int, *, is_whole: bool) -> tuple[int, ...] | None:
    """Return the numbers of classes that an array of labels has; of whole ones also such as no sample has."""
    low, high = min(distinct), max(distinct)
    is_counted = is_whole and low in (0, 1) and high < min(MAX_CLASSES, samples)
    if is_counted and len(distinct) > (high - low) / 2:
        return tuple(range(low, high + 1))
    values = label_values(distinct, samples)
    return values if values or not is_whole or low < 0 or high >= min(MAX_CLASSES, samples) else tuple(range(high + 1))


def _is_one_hot(values: np.ndarray) -> bool:
    """Check whether each row has one 1 among zeros."""
    if values.ndim != 2 or not ((values == 0) | (values == 1)).all():
        return False
    return bool((np.count_nonzero(values, axis=1) == 1).all())


def _rounded(value: Any, toward: Callable[[float], int]) -> Any:
    """Return a bound to four digits that still holds the value; whole numbers as they are.

    So are the largest and the least of floats: the one is no whole number that anybody writes out (a raster's
    -3.4028235e+38 where it has no data), and next to the other there is no room for digits.
    """
    if isinstance(value, int):
        return value
    if value == int(value):
        return int(value) if abs(value) < MOST_WRITTEN_OUT else value
    digits = 3 - math.floor(math.log10(abs(value)))
    if digits > sys.float_info.max_10_exp:
        return value
    step = 10.0**-digits
    return round(toward(value / step) * step, max(digits, 0))


def _as_plan(made: Draft, paths: Mapping[str, Path]) -> tuple[Split, ...]:
    splits = []
    for name, declared in made.splits.items():
        columns = {
            field: Column(
                split=name,
                field=field,
                dtype=one.dtype,
                samples=declared["samples"],
                file=paths[declared.get("file") or declared[field]],
                key=declared.get(field, field) if "file" in declared else "",
                shape=one.shape,
                classes=one.classes,
                values=one.values,
                per=one.per,
                missing=one.missing,
            )
            for field, one in made.fields.items()
        }
        file = paths[declared["file"]] if "file" in declared else None
        splits.append(Split(name, declared["samples"], columns, file=file, members=tuple(declared.get("members", ()))))
    return tuple(splits)
