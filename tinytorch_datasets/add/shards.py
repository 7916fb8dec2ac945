"""Numbered files that are one split: parts of a table, shards in any format.

Which files are one is certain from their names and from what they hold, or a person says it; a file that was taken for
a whole split where it is one shard of many would be a data set of a few samples, and nobody would notice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinytorch_datasets import formats
from tinytorch_datasets.add import naming
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import FileInfo, TablePart
from tinytorch_datasets.manifest.shards import expand

# Names of files that are numbered parts of one table: data-00000-of-00002.parquet, part1.csv, x_01.jsonl.
_PART = re.compile(
    r"(?i)(?:.*[^a-z])?(?:part|shard|chunk|piece|batch)s?[^a-z]*\d+.*|.*\d+-?of-?\d+.*|.*(?<!\d)0\d+[^0-9]*"
)


def joined(infos: Sequence[FileInfo], given: Callable[[str], str | None]) -> list[FileInfo]:
    """Return tables, those that are parts of one as one, in the order of their names and the numbers in them.

    Parts differ in numbers alone, and are called so; or `given` says of several that they are the same split.
    """
    groups: dict[tuple[str, ...], list[tuple[str, FileInfo]]] = {}
    for info in infos:
        name, key = (info.inside or (info.file,))[-1], (info.file, *info.inside)
        is_one_of_many = info.is_table or formats.of(info.format).describe
        if is_one_of_many and len(info.inside) < 2 and formats.of(info.format).joins_members:
            archive, split = info.file if info.inside else "", given(name)
            key = (archive, "", split) if split else (archive, naming.without_numbers(name))
        groups.setdefault(key, []).append((name, info))
    found = list[FileInfo]()
    for key, group in groups.items():
        are_parts = "" in key[1:] or any(_PART.fullmatch(name.rpartition("/")[2]) for name, _ in group)
        found += _as_one(group) if are_parts else [info for _, info in group]
    return found


def _as_one(group: list[tuple[str, FileInfo]]) -> list[FileInfo]:
    """Return tables as one whose parts they are, unless their columns, or their options, are not the same."""
    infos = [info for _, info in group]
    first = infos[0]
    columns = {tuple(replace(array, shape=array.shape[1:]) for array in info.arrays) for info in infos}
    if len(group) == 1 or len(columns) > 1 or len({repr(info.options) for info in infos}) > 1:
        return infos
    group.sort(key=lambda one: _in_numbers(one[0]))
    parts = tuple(TablePart(name, info.path, info.arrays[0].shape[0] or 0) for name, info in group)
    count = sum(part.samples for part in parts)
    summed = tuple(replace(array, shape=(count, *array.shape[1:])) for array in first.arrays)
    left_out = tuple(dict.fromkeys(reason for info in infos for reason in info.left_out))
    names = tuple(part.name for part in parts)
    file = first.file if first.inside else ""
    return [replace(first, file=file, inside=(), arrays=summed, left_out=left_out, samples=names, parts=parts)]


def _in_numbers(name: str) -> list[str | int]:
    return [int(part) if place % 2 else part for place, part in enumerate(naming.NUMBER.split(name))]


def sharded(infos: Sequence[FileInfo], given: Callable[[str], str | None]) -> list[FileInfo]:
    """Return what files hold, of those that are surely the shards of one split the first alone, with all their samples.

    Their names differ in one number, from the first to the last none is missing, and they hold the same arrays. That
    they are shards is certain if `given` says that they are one split; by a word in front of the number, such as part
    or train; or if several of such files, or arrays of each, have as many samples.

    Raises:
        DecodeError: They are called as shards, and a number is missing.
    """
    groups: dict[str, list[FileInfo]] = {}
    for info in infos:
        if info.file and not info.inside and not set("*{") & set(info.file):
            groups.setdefault(naming.without_numbers(info.file), []).append(info)
    names, many = dict.fromkeys(info.file for info in infos), list[tuple[naming.Numbered, list[FileInfo]]]()
    for group in groups.values():
        number = naming.numbered([info.file for info in group]) if len(group) > 1 else None
        if number and len({_alike(info) for info in group}) == 1:
            many.append((number, sorted(group, key=lambda info: _in_numbers(info.file))))
    counts = Counter(_counts(group) for _, group in many)
    made = dict[str, FileInfo | None]()
    for number, group in many:
        agree = counts[_counts(group)] > 1 or sum(a.per == "sample" and not a.member for a in group[0].arrays) > 1
        if not _are_shards(number, group[0], [given(info.file) for info in group], agree=agree):
            continue
        pattern = number.pattern(names)
        wrong = expand(pattern, names)[1] or _of_others(number)
        if wrong and group[0].is_table:  # parts of a table, which are declared one by one
            continue
        if wrong:
            reason = f"{pattern!r} {wrong.replace('is not under files', 'is not there')}"
            raise DecodeError(group[0].path, reason, hint="Give all of them, or call them by numbers in order.")
        made |= {info.file: None for info in group}
        made[group[0].file] = _as_first(group, pattern)
    return [one for info in infos if (one := made.get(info.file, info)) is not None]


def _alike(info: FileInfo) -> str:
    """Return what is the same in all shards: of what they hold all but how many samples, and which classes of all."""
    arrays = [replace(array, shape=array.shape[1:], classes=array.classes and ()) for array in info.arrays]
    return repr((info.format, arrays, info.options, info.is_table))


def _counts(group: Sequence[FileInfo]) -> tuple[str | None, tuple[int | None, ...]]:
    return naming.split_of(group[0].file), tuple(info.arrays[0].shape[0] for info in group)


def _are_shards(number: naming.Numbered, info: FileInfo, given: Sequence[str | None], *, agree: bool) -> bool:
    if any(array.per != "sample" for array in info.arrays) or not info.arrays:
        return False
    if any(given):
        return len(set(given)) == 1
    is_padded = any(text.startswith("0") and len(text) > 1 for text in number.numbers)
    if number.word in naming.PARTS or number.total is not None or (info.is_table and is_padded):
        return True
    if number.first > 1:  # train2016 and train2017 are years
        return False
    return number.word in naming.SPLITS or (agree and number.word in {"", *naming.LABELS, *naming.INPUTS})


def _of_others(number: naming.Numbered) -> str:
    total = number.total
    if total is None or len(number.numbers) == total:
        return ""
    return f"takes {len(number.numbers):,} files, and by their names there are {total:,}"


def _as_first(group: Sequence[FileInfo], pattern: str) -> FileInfo:
    first = group[0]
    arrays = []
    for of_all in zip(*(info.arrays for info in group), strict=True):
        classes = of_all[0].classes
        if any(array.classes != classes for array in of_all):
            classes = tuple(sorted({name for array in of_all for name in array.classes or ()}))
        count = sum(array.shape[0] or 0 for array in of_all)
        arrays.append(replace(of_all[0], shape=(count, *of_all[0].shape[1:]), classes=classes))
    # One archive has its samples in several members.
    counts = [sum({a.member: a.shape[0] or 0 for a in info.arrays}.values()) for info in group]
    shards = tuple(TablePart(info.file, info.path, count) for info, count in zip(group, counts, strict=True))
    left_out = tuple(dict.fromkeys(reason for info in group for reason in info.left_out))
    return replace(first, arrays=tuple(arrays), left_out=left_out, shards=shards, pattern=pattern)


def how_to_say(info: FileInfo, other: FileInfo, split: str) -> str:
    """Say what to type where two files would be the same of one split."""
    hint = "Say which split each is: --split NAME=FILE."
    if info.format == "text":
        return f"{hint} To have each file as a sample: --format texts."
    if info.is_table:
        return f"{hint} To have them as one: --split {split}=PATTERN."
    number = None if info.inside or other.inside else naming.numbered([other.file, info.file])
    if number is None or _alike(info) != _alike(other):
        return hint
    return f"{hint} To have them as shards of one: --split '{split}={number.before}*{number.behind}'."


def by_first_file(infos: Iterable[FileInfo]) -> dict[str, tuple[TablePart, ...]]:
    """Return the shards of what is in several files, by the name of the first."""
    return {info.file: info.shards for info in infos if info.shards}


def each_shard(
    splits: Mapping[str, dict[str, Any]], shards: Mapping[str, Sequence[TablePart]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the splits of a draft by name; of one in shards, each shard as if it were a split.

    Raises:
        DecodeError: The fields of a split are in shards that are not of the same samples.
    """
    for split, declared in splits.items():
        names = _files_of(declared)
        sharded = [name for name in names if name in shards]
        if not sharded:
            yield split, declared
            continue
        first = shards[sharded[0]]
        for name in names:
            if [shard.samples for shard in shards.get(name, ())] != [shard.samples for shard in first]:
                reason = (
                    f"it is one of {len(first):,} shards, and {name} of the same split is not in shards of the same "
                )
                reason += "numbers of samples"
                raise DecodeError(first[0].path, reason, hint="Save all fields in the same shards.")
        for number, shard in enumerate(first):
            its = _with_files(declared, {name: shards[name][number].name for name in names})
            yield split, {**its, "samples": shard.samples}


def with_patterns(splits: Mapping[str, dict[str, Any]], infos: Iterable[FileInfo]) -> dict[str, dict[str, Any]]:
    """Return the splits of a draft with the patterns of their shards."""
    patterns = {info.file: info.pattern for info in infos if info.shards}
    return {split: _with_files(declared, patterns) for split, declared in splits.items()}


def _files_of(declared: Mapping[str, Any]) -> list[str]:
    """Return the files of a split of a draft, each once."""
    places = [declared["file"]] if "file" in declared else []
    for value in declared.values():
        places += [value["file"]] if isinstance(value, dict) and "file" in value else []
        places += [value] if isinstance(value, str) and "file" not in declared else []
    return list(dict.fromkeys(places))


def _with_files(declared: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Return a split of a draft with other files, by those that it has."""

    def of(key: str, value: Any) -> Any:
        if isinstance(value, dict) and "file" in value:
            return {**value, "file": files.get(value["file"], value["file"])}
        is_file = isinstance(value, str) and (key == "file" or "file" not in declared)
        return files.get(value, value) if is_file else value

    return {key: of(key, value) for key, value in declared.items()}
