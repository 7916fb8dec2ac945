"""The draft of an entry: splits, fields, ranges and classes.

Several files are put together to splits and fields; then all is decoded once, for ranges and classes no header has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.add import arrays, naming, shards
from tinytorch_datasets.add.fields import Field, Survey
from tinytorch_datasets.add.tables import with_ranges
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import ArrayInfo, FileInfo, TablePart
from tinytorch_datasets.manifest.filenames import selected
from tinytorch_datasets.manifest.format_options import columns_of
from tinytorch_datasets.pipeline.stored_values import as_stored
from tinytorch_datasets.plan import DTYPES, TEXT, Column, Split
from tinytorch_datasets.readers.columns import shown_marks

ORDER = ("train", "val", "test")
NUMBERS = frozenset(DTYPES) - {TEXT}


@dataclass
class Draft:
    """What files alone say of a data set; `left_out` is what they hold that is not declared, and why.

    `asks_target` is whether a person is to say which field is to be predicted; `shards` are files, by the first.
    """

    format: str
    options: dict[str, Any]
    fields: dict[str, Field]
    splits: dict[str, dict[str, Any]]
    left_out: list[str] = field(default_factory=list)
    asks_target: bool = False
    shards: dict[str, tuple[TablePart, ...]] = field(default_factory=dict)

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
    why = (f"{info.file}: {reason}" if info.file else reason for info in infos for reason in info.left_out)
    left_out = list(dict.fromkeys(why))
    infos = shards.joined(shards.sharded(infos, given), given)
    positions = arrays.positions_in(infos)
    if positions:
        infos = [replace(i, arrays=tuple(a for a in i.arrays if a not in positions.arrays)) for i in infos]
    every_part = list(_parts(infos, given))
    if positions and not every_part:
        reason = "it has positions of samples in splits, and nothing that they are of"
        raise DecodeError(infos[0].path, reason, hint=f"Declare them in the entry of the samples: {positions.hint}.")
    if not every_part:
        reason = "it holds no array, and no list of numbers or texts" + "".join(f"; left out: {x}" for x in left_out)
        raise DecodeError(infos[0].path, reason, hint="Save its samples as arrays of numbers.")
    lists = [part for part in every_part if _may_name_classes(part)]
    parts = _sorted_out(every_part, left_out, lists)
    if all(_is_label(part) for part in parts):
        reason = "it has labels, and nothing that they are of" + "".join(f"; left out: {what}" for what in left_out)
        raise DecodeError(infos[0].path, reason, hint=_how_to_have(parts[0]))
    made = Draft(form, _options(infos), _fields(parts), _splits(parts, formats.of(form).layout), left_out)
    made.asks_target, made.shards = any(info.asks_target for info in infos), shards.by_first_file(infos)
    _fill_in(made, parts)
    _name_classes(made, lists, left_out)
    if positions:
        positions.divide(made)
    made.splits = shards.with_patterns(made.splits, infos)
    return made


def _how_to_have(part: _Part) -> str:
    """Say what to do with labels whose inputs are elsewhere."""
    place = {**_place_of(part.info), "format": part.info.format, "key": part.array.key}
    shown = ", ".join(f"{key}: {value}" for key, value in place.items() if value)
    return f"Add the files of the inputs too; or declare them in the entry of the inputs: `labels: {{{shown}}}`."


def _parts(infos: Sequence[FileInfo], given: Callable[[str], str | None]) -> Iterator[_Part]:
    for info in infos:
        for array in info.arrays:
            inside = "" if info.is_table else array.member or array.key  # a column called test is no split
            names = (inside, *reversed(info.inside), *(part.name for part in info.parts[:1]), info.file)
            split = next(filter(None, map(given, names)), None) or next(filter(None, map(naming.split_of, names)), None)
            # NumPy has names for dtypes that it does not read back, such as str32; they are left out later.
            kind = TEXT if array.dtype not in NUMBERS else np.dtype(array.dtype).kind
            field = array.field or (
                naming.column_field(array.key)
                if info.is_table
                else naming.field_of(array.key or names[1], array.shape, kind)
            )
            if "labels" in field and math.prod(length or 0 for length in array.shape[1:]) == 1:
                array = replace(array, shape=array.shape[:1])
            yield _Part(info, array, split or "train", field)


def _can_be_declared(array: ArrayInfo) -> bool:
    """Check whether it is plain numbers or text, with one sample or more."""
    return array.dtype in DTYPES and bool(array.shape) and all(length != 0 for length in array.shape)


def _sorted_out(parts: list[_Part], left_out: list[str], lists: list[_Part]) -> list[_Part]:
    """Return the parts that fit together: plain values, in every split, as many in each field of a split as samples."""
    kept = []
    counts = [part.array.shape[0] for part in parts if part not in lists]
    lists[:] = [part for part in lists if part.array.shape[0] not in counts]
    for part in parts:
        if part in lists:
            continue
        if _can_be_declared(part.array):
            kept.append(part)
        else:
            what = f"{part.array.dtype} {part.array.shape} is not a row of samples that can be declared"
            left_out.append(f"{_location(part)}: {'has no samples' if part.array.shape[0] == 0 else what}")
    hint = "Say which split each file is: --split NAME=FILE." if kept else "Save its samples as arrays of numbers."
    _ask_for_splits(kept)
    # One of numbered files is no whole split, whose other samples could be left out.
    _refuse_twice((p, naming.without_numbers("/".join(_where(p.info))) + ": " + p.array.key) for p in kept)
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
    _refuse_twice((part, "") for part in kept)
    rank = {split: ORDER.index(split) if split in ORDER else len(ORDER) for split in splits}
    return sorted(kept, key=lambda part: (rank[part.split], part.split if rank[part.split] == len(ORDER) else ""))


def _refuse_twice(parts: Iterable[tuple[_Part, str]]) -> None:
    """Refuse two parts that would be the same field of one split, and are of the same kind of name."""
    met: dict[tuple[str, str, str, str], _Part] = {}
    for part, kind in parts:
        other = met.setdefault((part.split, part.field, part.array.member, kind), part)
        if other is not part:
            reason = f"{_location(part)} and {_location(other)} would both be {part.split}.{part.field}"
            raise DecodeError(part.info.path, reason, hint=shards.how_to_say(part.info, other.info, part.split))


def _ask_for_splits(parts: Sequence[_Part]) -> None:
    """Refuse arrays that only their positions tell apart, where several would be the same field of one split."""
    first: dict[tuple[tuple[str, ...], str, str], _Part] = {}
    for part in parts:
        if not re.fullmatch(r"[0-9.]+", part.array.key):
            continue
        other = first.setdefault((_where(part.info), part.split, part.field), part)
        if other is not part:
            reason = f"{_location(other)} and {_location(part)} would both be {part.split}.{part.field}"
            patterns = dict.fromkeys(re.sub(r"[0-9]+$", "*", one.array.key) for one in (other, part))
            splits = " ".join(f"--split {name}='{of}'" for name, of in zip(("train", "test"), patterns, strict=False))
            raise DecodeError(part.info.path, reason, hint=f"Say which split each is, for example: {splits}.")


def _location(part: _Part) -> str:
    return ": ".join([*_where(part.info), *([repr(part.array.key)] if part.array.key else [])])


def _where(info: FileInfo) -> tuple[str, ...]:
    """Return the file, and the members of archives that lead to what is described."""
    return (info.file, *info.inside, *(part.name for part in info.parts[:1]))


def _place_of(info: FileInfo) -> dict[str, Any]:
    """Return what the manifest says of where it is."""
    inside = {"member": info.inside[0] if len(info.inside) == 1 else list(info.inside)} if info.inside else {}
    members = {"members": [part.name for part in info.parts]} if info.parts else {}
    return {**({"file": info.file} if info.file or not members else {}), **inside, **members}


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
        made = Field(array.dtype, shape, per=array.per, note=array.note, names=array.names, stored=array.stored)
        made.axes, is_column = array.axes, part.info.is_table and array.field is not None
        made.may_have_classes = "labels" in part.field and not array.axes and not is_column
        before = fields.setdefault(part.field, made)
        if (before.dtype, before.shape, before.axes) != (made.dtype, made.shape, made.axes):
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


def _may_name_classes(part: _Part) -> bool:
    """Check whether an array is a list of texts that is called as names of classes are: list_classes, label_names."""
    words = set(naming.tokens(part.array.key))
    is_list = part.array.dtype == TEXT and len(part.array.shape) == 1 and not part.info.is_table
    of_labels = "names" in words and words & {"label", "labels", "target", "targets"}
    return is_list and bool(of_labels or words & {"class", "classes", "category", "categories"})


def _name_classes(made: Draft, lists: Sequence[_Part], left_out: list[str]) -> None:
    """Give classes that are numbers the names that a list in the files has for them; those of no use are left out."""
    named = {(part.array.key, *arrays.values_of(part.info, part.array)): part for part in lists}
    for (key, *names), part in named.items():
        fitting = [one for one in made.fields.values() if one.may_be_named(names)]
        if len(fitting) != 1 or len(named) > 1:
            left_out.append(f"{_location(part)}: {len(names):,} names, and of which classes is not certain")
            continue
        fitting[0].classes = tuple(names)
        fitting[0].note = f"as {key} in the file names them; a label is a position in this list"


def _is_label(part: _Part) -> bool:
    if part.info.is_table and part.array.field is not None:
        return part.field == "labels" and part.array.classes is not None
    return "labels" in part.field or part.array.classes is not None


def _splits(parts: Sequence[_Part], layout: str) -> dict[str, dict[str, Any]]:
    splits: dict[str, dict[str, Any]] = {}
    files: dict[str, set[tuple[str, ...]]] = {}
    for part in parts:
        files.setdefault(part.split, set()).add(_where(part.info))
    for part in parts:
        declared = splits.setdefault(part.split, {"samples": 0})
        if layout in ("file per sample", "members"):
            if len(files[part.split]) > 1:
                _refuse_two(part, files[part.split])
            declared |= _place_of(part.info) if part.info.file else {}  # none where files are the members
            members = declared.setdefault("members", [])
            if part.array.member not in members:
                members.append(part.array.member)
                declared["samples"] += part.array.shape[0]
            continue
        if part.array.per == "sample":
            declared["samples"] = part.array.shape[0]
        place = _place_of(part.info)
        if layout == "file per field":
            declared[part.field] = place if part.info.inside else part.info.file
        elif len(files[part.split]) > 1:
            if part.info.is_table:
                _refuse_two(part, files[part.split])
            declared[part.field] = place | ({"key": part.array.key} if part.array.key != part.field else {})
        else:
            declared |= place
            if part.array.columns:
                declared[part.field] = {"column": with_ranges(part.array.columns)}
            elif part.array.key and part.array.key != part.field:
                declared[part.field] = part.array.key
    return splits


def _refuse_two(part: _Part, files: Iterable[tuple[str, ...]]) -> NoReturn:
    """Refuse several files, or members, as one split.

    Raises:
        DecodeError: Always.
    """
    one, other, *_ = sorted(map(": ".join, files))
    reason = f"{one} and {other} are both {part.split}"
    raise DecodeError(part.info.path, reason, hint="Say which split each is: --split NAME=FILE.")


def _fill_in(made: Draft, parts: Sequence[_Part]) -> None:
    """Decode everything once, and take in ranges and classes."""
    paths = {_where(part.info): part.info.path for part in parts}
    paths |= {(shard.name,): shard.path for its in made.shards.values() for shard in its}
    joins = {_where(part.info): part.info.parts for part in parts if part.info.parts}
    surveys = {name: Survey(one) for name, one in made.fields.items()}
    samples = [
        name for info in {id(part.info): part.info for part in parts}.values() if not info.file for name in info.samples
    ]
    for block in formats.of(made.format).decode(_as_plan(made, paths, samples, joins), **made.options):
        surveys[block.column.field].add(block.values)
    most = max(declared["samples"] for declared in made.splits.values())
    for survey in surveys.values():
        survey.settle(most)


def _as_plan(
    made: Draft,
    paths: Mapping[tuple[str, ...], Path],
    samples: Sequence[str],
    joins: Mapping[tuple[str, ...], Sequence[TablePart]],
) -> tuple[Split, ...]:
    splits = []
    for name, declared in shards.each_shard(made.splits, made.shards):
        of_parts = joins.get((declared.get("file", ""), *declared.get("members", ())[:1]), ())
        for part in of_parts:  # each as if it were a split: their values are surveyed together
            alone = {**declared, "samples": part.samples, "file": part.name}
            columns = {f: _column(made, name, alone, f, {(part.name,): part.path}) for f in made.fields}
            splits.append(Split(name, part.samples, columns, file=part.path))
        if of_parts:
            continue
        columns = {field: _column(made, name, declared, field, paths) for field in made.fields}
        file = paths[_keys(declared)] if "file" in declared else None
        members = declared.get("members", ())
        members = selected(members, samples) if samples else members
        splits.append(Split(name, declared["samples"], columns, file=file, members=tuple(members)))
    return tuple(splits)


def _keys(place: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the file and the members of a place, as `_where` does."""
    member = place.get("member", [])
    return (place["file"], *([member] if isinstance(member, str) else member))


def _column(
    made: Draft, split: str, declared: Mapping[str, Any], field: str, paths: Mapping[tuple[str, ...], Path]
) -> Column:
    one = made.fields[field]
    place = declared.get(field, field if "file" in declared else "")
    of = place if isinstance(place, dict) else {}
    column = Column(
        split=split,
        field=field,
        dtype=one.dtype,
        samples=declared["samples"],
        file=paths[
            _keys(of if "file" in of else declared if "file" in declared else {"file": declared.get(field, "")})
        ],
        key=of.get("key", field) if "file" in of else place if "file" in declared and isinstance(place, str) else "",
        columns=columns_of(of["column"]) if "column" in of else (),
        shape=one.shape,
        classes=one.classes,
        values=one.values,
        stored=one.stored,
        axes=one.axes,
        names=one.names,
        per=one.per,
        missing=one.missing,
    )
    return as_stored(column, formats.of(made.format))
