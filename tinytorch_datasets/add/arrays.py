"""Arrays in files: the target, the axis that counts samples, splits by rows.

Python's users store samples first, MATLAB's as they like: where no other array of the file says which axis they are
on, it is asked.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.add.tables import Choices
from tinytorch_datasets.errors import DecodeError, UsageError, list_known
from tinytorch_datasets.formats import ArrayInfo, FileInfo
from tinytorch_datasets.plan import TEXT, Column, RaggedBlock, Split
from tinytorch_datasets.storage.encoded_array import EncodedBlock

if TYPE_CHECKING:
    from tinytorch_datasets.add.draft import Draft


# Formats whose arrays may have their samples last.
ARRANGED = ("mat", "hdf5", "npz", "npy")

# Names of arrays that are positions of samples: trnid, test_idx.
_POSITIONS = re.compile(
    r"(?i)(?:.*[._/-])?((tr(?:ai)?n|te?st|val(?:id)?|dev)(?:ing|ation)?(?:[_-]?(?:ids?|idxs?|inds?|index|indices|rows|pos\w*))?|"
    r"(?:ids?|idxs?|inds?|index|indices|rows)[_-](tr(?:ai)?n|te?st|val(?:id)?|dev)(?:ing|ation)?)\d*"
)


def described(infos: Sequence[FileInfo], choices: Choices) -> list[FileInfo]:
    """Return what files of arrays hold: samples first, the target called labels, without what a person leaves out.

    Raises:
        UsageError: There is no array of such a name.
        DecodeError: Which axis of an array counts the samples is not certain.
    """
    chosen = _chosen(infos, choices) if choices.target or choices.drop or choices.missing else list(infos)
    return _with_samples_first(_with_samples(chosen), choices.samples)


def _with_samples(infos: Sequence[FileInfo]) -> list[FileInfo]:
    """Return what files hold but for arrays that count no samples: single values, and empty ones beside others."""
    hold_any = any(array.shape and 0 not in array.shape for info in infos for array in info.arrays)
    kept = list[FileInfo]()
    for info in infos:
        arrays, left_out = list[ArrayInfo](), list(info.left_out)
        for array in info.arrays:
            shown = repr(array.key) if array.key else "it"
            if array.per == "sample" and not array.shape:
                left_out.append(f"{shown} is a single value")
            elif hold_any and 0 in array.shape:
                left_out.append(f"{shown} is empty: {array.dtype} {array.shape}")
            else:
                arrays.append(array)
        kept.append(replace(info, arrays=tuple(arrays), left_out=tuple(left_out)))
    return kept


def _chosen(infos: Sequence[FileInfo], choices: Choices) -> list[FileInfo]:
    if choices.missing:
        what = f"--missing is for cells of tables, and {infos[0].file} is {infos[0].format}"
        raise UsageError(what, hint="Leave it out.")
    if len(choices.target) > 1:
        what = f"--target {choices.target[1]}: an array is the target, and one is given already"
        raise UsageError(what, hint="Name one.")
    known = {name for info in infos for array in info.arrays for name in _names(array, info)}
    for option, names in (("--target", choices.target), ("--drop", choices.drop)):
        for name in names:
            if name not in known:
                choices.refuse_unknown(option, name, "array", known, list_known(sorted(known)))
    chosen = []
    for info in infos:
        kept = [array for array in info.arrays if not _names(array, info) & set(choices.drop)]
        its = tuple(replace(a, field="labels") if _names(a, info) & set(choices.target) else a for a in kept)
        chosen.append(replace(info, arrays=its))
    if choices.drop and not any(info.arrays for info in chosen):
        what = f"--drop {choices.drop[-1]}: without it, no array is left"
        raise UsageError(what, hint="Leave out fewer of them.")
    return [info for info in chosen if info.arrays]


def _with_samples_first(infos: Sequence[FileInfo], given: str | None) -> list[FileInfo]:
    """Return the arrays of files with the axes in which their samples come first.

    An axis counts samples if another array has one as long: labels, or a second array.

    Raises:
        DecodeError: Neither the first nor the last does, in a file of MATLAB's; or both do.
    """
    everything = [(info, array) for info in infos for array in info.arrays]
    if infos[0].format not in ARRANGED or all(len(array.shape) < 2 for _, array in everything):
        if given == "last":
            what = f"--samples last: {infos[0].file} has no array of numbers in which they may be last"
            raise UsageError(what, hint="Leave it out.")
        return list(infos)
    return [
        replace(
            info,
            arrays=tuple(
                _first(info, array, [a for _, a in everything if a is not array], given) for array in info.arrays
            ),
        )
        for info in infos
    ]


def _first(info: FileInfo, array: ArrayInfo, others: Sequence[ArrayInfo], given: str | None) -> ArrayInfo:
    shape = array.shape
    if len(shape) < 2 or array.dtype == TEXT or None in shape or array.per != "sample":
        return array
    is_sample = any(one.key == array.key and one.shape[1:] == shape[1:] and one.shape[0] != 1 for one in others)
    if shape[0] == 1 and not is_sample and (length := _length(array)):  # a row, as MATLAB's columns are in HDF5
        return replace(array, shape=(length,))
    if given is None:
        given = "first" if info.format in ("npz", "npy") else _evident(info.format, array, others)
    if given is None:
        reason = f"which axis of {array.key!r} {shape} counts the samples is not certain: the first, of {shape[0]:,}, "
        reason += f"or the last, of {shape[-1]:,}"
        raise DecodeError(info.path, reason, hint="Say which: --samples first, or --samples last.")
    if given == "first":
        return array
    axes = (len(shape) - 1, *range(len(shape) - 1))
    return replace(array, shape=tuple(shape[axis] for axis in axes), axes=axes)


def _evident(form: str, array: ArrayInfo, others: Sequence[ArrayInfo]) -> str | None:
    """Return the axis that counts the samples by the other arrays, "first" or "last"; None if they do not say."""
    lists = [(other, _length(other)) for other in others if other.dtype != TEXT and _length(other)]
    labels = {n for of, n in lists if of.dtype.lstrip("u").startswith("int") or "label" in of.key.lower()}
    lengths = {n for _, n in lists}
    first, last = array.shape[0], array.shape[-1]
    if first in lengths:
        return None if last in labels and form == "mat" else "first"
    if last in lengths:
        return "last" if last in labels else None
    of_first, of_last = ({other.shape[at] for other in others if len(other.shape) > 1} for at in (0, -1))
    if first in of_first and last not in of_last:
        return "first"
    return None if form == "mat" else "first"


def _length(array: ArrayInfo) -> int:
    """Return how long a list is, which may be a row or a column; 0 if it is none."""
    longer = [length for length in array.shape if length != 1]
    return longer[0] or 0 if len(longer) == 1 else 0


def _names(array: ArrayInfo, info: FileInfo) -> set[str]:
    return {array.key or info.file} | ({array.field} if array.field else set())


def values_of(info: FileInfo, array: ArrayInfo) -> list[Any]:
    """Return the values of a list of numbers or texts, decoded.

    Raises:
        DecodeError: They cannot be.
    """
    column = Column("train", "values", array.dtype, array.shape[0] or 0, file=info.path, key=array.key)
    split = Split("train", column.samples, {"values": column}, file=info.path)
    values = list[Any]()
    for block in formats.of(info.format).decode((split,), **info.options):
        assert not isinstance(block.values, RaggedBlock | EncodedBlock), "a list is no field of arrays"
        values += block.values.tolist() if isinstance(block.values, np.ndarray) else block.values
    return values


def positions_in(infos: Sequence[FileInfo]) -> Positions | None:
    """Return the lists of positions that are splits, if some arrays are called so and are: 0 to n - 1, or 1 to n.

    Raises:
        DecodeError: They are called so, and do not say from which number they count, or of which split each is.
    """
    lists = [
        (info, array, name)
        for info in infos
        for array in info.arrays
        if len(array.shape) == 1 and array.dtype.lstrip("u").startswith("int") and not info.is_table
        if (name := _split_of_positions(array.key))
    ]
    others = {of.shape[0] for info in infos for of in info.arrays if all(of is not array for _, array, _ in lists)}
    if len(lists) < 2 or len({name for *_, name in lists}) < len(lists) or others & {a.shape[0] for _, a, _ in lists}:
        return None
    of = {name: values_of(info, array) for info, array, name in lists}
    listed = sorted(position for positions in of.values() for position in positions)
    first = listed[0]
    if listed == list(range(first, first + len(listed))) and first in (0, 1):
        places = {name: {"file": info.file, "key": array.key} for info, array, name in lists}
        counts = {name: len(positions) for name, positions in of.items()}
        return Positions(places, counts, first, tuple(array for _, array, _ in lists))
    shown = " and ".join(repr(array.key) for _, array, _ in lists)
    reason = f"{shown} are called as positions of samples in splits are, and are not each of 1 to {len(listed):,} once"
    hint = "Leave them out: --drop NAME; or declare `rows: {file: ..., key: ..., first: 1}` of each split by hand."
    raise DecodeError(lists[0][0].path, reason, hint=hint)


def _split_of_positions(key: str) -> str | None:
    met = _POSITIONS.fullmatch(key)
    word = (met[2] or met[3]).lower() if met else ""
    return {"trn": "train", "tst": "test", "valid": "val", "dev": "val"}.get(word, word) or None


class Positions(NamedTuple):
    """Lists of the positions of samples: where that of each split is, how long, from which number they count."""

    places: dict[str, dict[str, str]]
    counts: dict[str, int]
    first: int
    arrays: tuple[ArrayInfo, ...]

    @property
    def hint(self) -> str:
        """What to write where the samples are declared."""
        place = next(iter(self.places.values()))
        first = f", first: {self.first}" if self.first else ""
        return f"rows: {{file: {place['file']}, key: {place['key']}{first}}}"

    def divide(self, made: Draft) -> None:
        """Put the splits that are listed in place of the one that a draft has, if it has as many samples."""
        if len(made.splits) != 1 or "members" in (declared := next(iter(made.splits.values()))):
            return
        stored = declared["samples"]
        if stored != sum(self.counts.values()):
            return
        made.splits.clear()
        for split in sorted(self.places, key=lambda name: ("train", "val", "test").index(name)):
            rows: dict[str, Any] = dict(self.places[split])
            rows |= {"first": self.first} if self.first else {}
            made.splits[split] = {**declared, "samples": self.counts[split], "rows": rows, "stored_samples": stored}


_ROWS = re.compile(r"(\d{0,12}):(\d{0,12})")


def split_by_rows(made: Draft, rows: Sequence[tuple[str, str]], seed: int | None) -> None:
    """Put splits in place of the one that a draft has, each of some of its rows, counted in a shuffled order or not.

    Raises:
        UsageError: The draft has several splits, or the rows are not of the file, or of two splits.
    """
    if not rows:
        what = "--shuffle is the order in which the rows of splits are counted, and no --rows are given"
        raise UsageError(what, hint="Name the rows of each split: --rows train=0:100 --rows test=100:.")
    if len(made.splits) > 1:
        what = f"--rows divides one split, and the files are {len(made.splits)}: {', '.join(made.splits)}"
        raise UsageError(what, hint="Leave --rows out, or add one file.")
    (declared,) = made.splits.values()
    if made.shards:
        what = "--rows divides what one file holds, and the split is in shards"
        raise UsageError(what, hint="Leave --rows out.")
    if "members" in declared:
        what = f"--rows divides what one file holds in order, and a split of {made.format} is members of an archive"
        raise UsageError(what, hint="Leave --rows out.")
    stored = declared["samples"]
    ranges = {split: _range(split, given, stored) for split, given in rows}
    if len(ranges) < len(rows):
        twice = next(split for split, _ in rows if [name for name, _ in rows].count(split) > 1)
        msg = f"--rows {twice}=... is given twice"
        raise UsageError(msg, hint="Name each split once.")
    in_order = sorted(ranges.items(), key=lambda one: one[1])
    for (split, (_, end)), (other, (start, stop)) in itertools.pairwise(in_order):
        if start < end:
            what = f"--rows: rows {start:,} to {min(end, stop):,} would be in {split} and in {other}"
            raise UsageError(what, hint="A sample is of one split: count from the first row to before the last number.")
    made.splits.clear()
    for split, (start, stop) in ranges.items():
        place = {**declared, "samples": stop - start, "rows": [start, stop]}
        if seed is not None:
            place["shuffle"] = {"seed": seed}
        made.splits[split] = {**place, "stored_samples": stored}
    left = stored - sum(stop - start for start, stop in ranges.values())
    if left:
        made.left_out.append(f"{left:,} of {stored:,} rows are in none of the splits")


def _range(split: str, given: str, stored: int) -> tuple[int, int]:
    """Return the first row of a split, and the one behind its last.

    Raises:
        UsageError: There are no such rows.
    """
    ends = _ROWS.fullmatch(given)
    start, stop = (int(ends[1] or 0), int(ends[2] or stored)) if ends else (0, 0)
    if not start < stop <= stored:
        what = f"--rows {split}={given}: there are no such rows; the file has {stored:,}, counted from 0"
        raise UsageError(
            what, hint="Write them as FIRST:END, the first row and the one behind the last: 0:404, or 404:."
        )
    return start, stop
