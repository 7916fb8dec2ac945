"""The target and the features among columns that their own format names.

Rules are those of CSV: a target that a person names, or that one name alone speaks of, becomes labels if it has few
values, and the numbers beside it are joined. Where nothing says which column it is, that is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.add.detect_csv import LIKELY_TARGETS, TARGETS, Choices
from tinytorch_datasets.errors import DecodeError, UsageError, did_you_mean
from tinytorch_datasets.formats import ArrayInfo, FileInfo
from tinytorch_datasets.plan import Column, Split
from tinytorch_datasets.readers.table import MAX_CLASSES, Table, classes_of, column_info

FEATURES, LABELS = "features", "labels"
NUMBERS = ("int64", "float64", "float32", "int32", "int16", "int8", "uint8", "uint16", "uint32")


def choose_target(infos: Sequence[FileInfo], choices: Choices) -> list[FileInfo]:
    """Return what several tables hold, their target as labels and their numbers joined, if the target is known.

    Raises:
        DecodeError: The target cannot be labels, nor numbers.
        UsageError: There is no column that was chosen.
    """
    groups: dict[tuple[str, ...], list[FileInfo]] = {}
    for info in infos:
        groups.setdefault(tuple(array.key for array in info.arrays), []).append(info)
    chosen: dict[int, FileInfo] = {}
    for keys, group in groups.items():
        for info, described in zip(group, _described(group, keys, choices), strict=True):
            chosen[id(info)] = described
    return [chosen[id(info)] for info in infos]


def _described(infos: Sequence[FileInfo], keys: Sequence[str], choices: Choices) -> list[FileInfo]:
    dropped = {_chosen(name, "--drop", keys) for name in choices.drop}
    kept = [place for place in range(len(keys)) if place not in dropped]
    columns = {place: _alike([info.arrays[place] for info in infos]) for place in kept}
    left_out = tuple(f"{keys[place]!r}: dropped" for place in sorted(dropped))
    place = _target(infos, kept, keys, choices)
    if place is None:
        return [
            replace(
                info,
                arrays=tuple(columns[at][n] for at in kept),
                left_out=(*info.left_out, *left_out),
                asks_target=len(kept) > 1,
            )
            for n, info in enumerate(infos)
        ]
    joined = _joined([columns[at][0] for at in kept if at != place])
    target = _labels(infos, columns[place])
    described = []
    for n, info in enumerate(infos):
        arrays = [columns[at][n] for at in kept if at != place and keys[at] not in joined]
        numbers = [columns[at][n] for at in kept if keys[at] in joined]
        if numbers:
            arrays.insert(0, _features(numbers))
        arrays.append(target[n])
        left = (*info.left_out, *left_out)
        described.append(replace(info, arrays=tuple(arrays), left_out=left, asks_target=False))
    return described


def _chosen(column: str, option: str, keys: Sequence[str]) -> int:
    """Return the place of a column that was named, or counted from 0."""
    if column in keys:
        return keys.index(column)
    if re.fullmatch(r"-?\d{1,9}", column) and -len(keys) <= int(column) < len(keys):
        return int(column) % len(keys)
    what = f"{option} {column}: there is no such column{did_you_mean(column, keys)}"
    raise UsageError(what, hint=f"There are: {', '.join(keys[:12])}.")


def _alike(arrays: Sequence[ArrayInfo]) -> list[ArrayInfo]:
    """Return one column of several files with a dtype, a shape and marks that hold it in all of them."""
    first, missing = arrays[0], tuple(dict.fromkeys(mark for array in arrays for mark in array.missing))
    dtypes = {array.dtype for array in arrays}
    dtype = "float64" if missing or len(dtypes) > 1 else first.dtype
    if first.classes or not dtypes <= {*NUMBERS} or any(len(array.shape) != len(first.shape) for array in arrays):
        return list(arrays)
    lengths = zip(*(array.shape[1:] for array in arrays), strict=True)
    shape = [one[0] if len(set(one)) == 1 else None for one in lengths]
    return [replace(array, dtype=dtype, shape=(array.shape[0], *shape), missing=missing) for array in arrays]


def _target(infos: Sequence[FileInfo], kept: Sequence[int], keys: Sequence[str], choices: Choices) -> int | None:
    """Return the column that was chosen, or whose name alone is one of targets."""
    if choices.target is not None:
        place = _chosen(choices.target, "--target", keys)
        if place not in kept:
            what = f"--target {choices.target}: that column is left out"
            raise UsageError(what, hint="Name another one.")
        return place
    single = [place for place in kept if len(infos[0].arrays[place].shape) == 1]
    names = {keys[place].strip().casefold() for place in kept}
    certain = [place for place in single if keys[place].strip().casefold() in TARGETS]
    if certain:
        return certain[0] if len(certain) == 1 else None
    likely_names = LIKELY_TARGETS - {"y"} if "x" in names else LIKELY_TARGETS
    likely = [place for place in single if keys[place].strip().casefold() in likely_names]
    return likely[0] if len(likely) == 1 and len(kept) > 1 else None


def _joined(arrays: Sequence[ArrayInfo]) -> set[str]:
    """Return the columns of single numbers that can be one array, if they are more than one."""
    numbers = [one.key for one in arrays if one.dtype in NUMBERS and len(one.shape) == 1 and not one.classes]
    is_free = all(one.key.casefold() != FEATURES for one in arrays)
    return set(numbers) if len(numbers) > 1 and is_free else set()


def _features(numbers: Sequence[ArrayInfo]) -> ArrayInfo:
    dtypes = {array.dtype for array in numbers}
    return ArrayInfo(
        "",
        dtypes.pop() if len(dtypes) == 1 else "float64",
        (numbers[0].shape[0], len(numbers)),
        field=FEATURES,
        missing=tuple(dict.fromkeys(mark for array in numbers for mark in array.missing)),
        names=tuple(array.key for array in numbers),
    )


def _labels(infos: Sequence[FileInfo], arrays: Sequence[ArrayInfo]) -> list[ArrayInfo]:
    """Return the target of each file as labels, or as it is, if it has too many values for classes."""
    key, path = arrays[0].key, infos[0].path
    if len(arrays[0].shape) > 1:
        raise DecodeError(path, f"{key!r} is the target, and has several values a sample", hint="Choose another.")
    if arrays[0].classes:
        return [replace(array, field=LABELS) for array in arrays]
    if arrays[0].missing:
        reason = f"{key!r} is the target, and a value is missing in some rows"
        raise DecodeError(path, reason, hint="Take those rows out, or choose another --target.")
    stored = [value for info, array in zip(infos, arrays, strict=True) for value in _stored(info, array)]
    classes, values = _classes(key, stored, path)
    if not classes:
        return list(arrays)
    return [replace(array, dtype="int64", field=LABELS, classes=classes, values=values) for array in arrays]


def _classes(key: str, stored: Sequence[Any], path: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return the classes of some stored values, and what is stored for each, where that does not go without saying."""
    distinct = set(stored)
    if isinstance(stored[0], str):
        few = len(distinct) <= min(MAX_CLASSES, max(2, len(stored) // 2)) and "" not in distinct
        return (tuple(sorted(distinct)) if few else ()), ()
    cells = [str(value).lower() if isinstance(value, bool) else repr(value) for value in stored]
    classes = classes_of(column_info(0, key, cells, Table(path, ",", [], [])), len(stored)) or ()
    if isinstance(stored[0], bool) or classes == tuple(map(str, range(len(classes)))):
        return classes, ()
    return classes, tuple(map(int, classes))


def _stored(info: FileInfo, array: ArrayInfo) -> list[Any]:
    """Return the values of one column of a file."""
    samples = int(array.shape[0] or 0)
    column = Column("train", "target", array.dtype, samples, info.path, array.key)
    split = Split("train", samples, {"target": column}, file=info.path)
    stored = list[Any]()
    for block in formats.of(info.format).decode([split], **info.options):
        values: Any = block.values
        stored += values.tolist() if isinstance(values, np.ndarray) else values
    return stored
