"""Splits over many files: patterns of shards, and how many samples each has.

Where a split has a file's name, a pattern may stand: `train-*.npz`, or `train-{00000..09999}.npz`. Each file that it
takes of the entry's own is one shard, and holds its part of the split as one file would hold all of it. So every rule
for a split in one file is one for its first shard, by which the entry is read (`first_shards`), and every format and
every option works with shards without knowing of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tinytorch_datasets.errors import Keys, Problems
from tinytorch_datasets.manifest.filenames import mapping

# What no split has more of.
MOST_SHARDS = 10**6
# Of many files with the same fault, so many are named.
MOST_NAMED = 3
# What picks samples out of one file, of which a split in shards has none.
_OF_ONE_FILE = ("rows", "shuffle", "stored_samples", "join")
_NUMBERS = re.compile(r"\{([0-9]{1,9})\.\.([0-9]{1,9})\}")
_DIGITS = re.compile(r"([0-9]+)")


class DeclaredShard(NamedTuple):
    """One shard: the files that it is, in the order in which the split names patterns; the first has its samples."""

    samples: int
    files: tuple[str, ...]


def is_pattern(name: Any, files: Mapping[str, Any]) -> bool:
    """Check whether a name in a split is a pattern of files, and not the name of one.

    >>> is_pattern("train-*.npy", {}), is_pattern("t-{00..99}.npy", {}), is_pattern("train.npy", {})
    (True, True, False)
    """
    return isinstance(name, str) and name not in files and ("*" in name or bool(_NUMBERS.search(name)))


def expand(pattern: str, files: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """Return the files that a pattern takes, in order, by what stands for its sign in their names; and what is wrong.

    Numbers are in the order of counting, whatever their width, and none between the first and the last may be missing.

    >>> expand("a-*.npy", {"a-10.npy": {}, "a-9.npy": {}, "b-1.npy": {}})
    ({'9': 'a-9.npy', '10': 'a-10.npy'}, '')
    >>> expand("a-{08..10}.npy", {"a-08.npy": {}, "a-10.npy": {}})[1]
    "takes 3 files of which 1 is not under files: 'a-09.npy'"
    """
    if len(signs := [*_NUMBERS.finditer(pattern)]) + pattern.count("*") > 1:
        return {}, f"has one * or one range of numbers, and {pattern!r} has more"
    if signs:
        return _counted(pattern, signs[0], files)
    before, _, behind = pattern.partition("*")
    least = len(before) + len(behind)
    taken = {
        name[len(before) : len(name) - len(behind)]: name
        for name in files
        if isinstance(name, str) and len(name) > least and name.startswith(before) and name.endswith(behind)
    }
    taken = {label: name for label, name in taken.items() if "/" not in label}
    if not taken:
        return {}, "takes no file that is under files"
    in_order = {label: taken[label] for label in sorted(taken, key=_natural)}
    numbers = [int(label) for label in in_order if label.isascii() and label.isdecimal()]
    if len(numbers) == len(in_order):
        for number, following in itertools.pairwise(numbers):
            if following == number:
                return in_order, f"takes two files of number {number}"
            if following != number + 1:
                return in_order, f"takes numbers {numbers[0]} to {numbers[-1]}, and {number + 1} is not under files"
    return in_order, ""


def _counted(pattern: str, sign: re.Match[str], files: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    first, last = int(sign[1]), int(sign[2])
    if not first <= last < first + MOST_SHARDS:
        return {}, f"the range {sign[0]} has no numbers, or more than {MOST_SHARDS:,}"
    width = len(sign[1]) if sign[1].startswith("0") or len(sign[1]) == len(sign[2]) else 0
    labels = [f"{number:0{width}}" for number in range(first, last + 1)]
    taken = {label: pattern[: sign.start()] + label + pattern[sign.end() :] for label in labels}
    missing = [name for name in taken.values() if name not in files]
    if not missing:
        return taken, ""
    are = "1 is" if len(missing) == 1 else f"{len(missing):,} are"
    named = ", ".join(map(repr, missing[:MOST_NAMED])) + (", ..." if len(missing) > MOST_NAMED else "")
    return taken, f"takes {len(taken):,} files of which {are} not under files: {named}"


def _natural(label: str) -> list[tuple[int, str]]:
    parts = _DIGITS.split(label)
    return [(int(part), "") if number % 2 else (-1, part) for number, part in enumerate(parts)] + [(0, label)]


def _patterns(entry: Mapping[str, Any], split: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    """Yield where a split has a pattern, and the pattern."""
    files = mapping(entry.get("files"))
    if is_pattern(split.get("file"), files):
        yield ("file",), split["file"]
    for field in mapping(entry.get("fields")):
        place = split.get(field)
        if isinstance(place, str) and "file" not in split and "members" not in split and is_pattern(place, files):
            yield (field,), place
        elif is_pattern(mapping(place).get("file"), files):
            yield (field, "file"), mapping(place)["file"]


def first_shards(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry in plain values with the first file of each pattern in its place; one without any as it is."""
    files, splits = mapping(entry.get("files")), dict(mapping(entry.get("splits")))
    has_shards = False
    for name, split in splits.items():
        for keys, pattern in _patterns(entry, split) if isinstance(split, dict) else ():
            # What is wrong with a pattern is no reason to find fault with a file of its name as well.
            taken = (name for name in expand(pattern, files)[0].values() if name in files)
            if first := next(taken, next(iter(files), None)):
                has_shards, field = True, keys[0]
                own = splits[name]
                splits[name] = {**own, field: {**own[field], "file": first} if len(keys) > 1 else first}
    return {**entry, "splits": splits} if has_shards else entry


def shards_of(entry: Mapping[str, Any], split: Mapping[str, Any]) -> tuple[DeclaredShard, ...]:
    """Return the shards of a split of an entry that keeps the rules; none where it has no pattern."""
    files = mapping(entry.get("files"))
    taken = [[*expand(pattern, files)[0].values()] for _, pattern in dict.fromkeys(_patterns(entry, split))]
    own = [tuple(dict.fromkeys(names)) for names in zip(*taken, strict=True)]
    counts, _ = _counts(split, own, files)
    return tuple(DeclaredShard(count, names) for count, names in zip(counts, own, strict=True))


def _counts(
    split: Mapping[str, Any], shards: list[tuple[str, ...]], files: Mapping[str, Any]
) -> tuple[list[int], tuple[Keys, str] | None]:
    """Return how many samples each shard has, and what is wrong, at which keys of the split."""
    each, total = split.get("shard_samples"), split.get("samples")
    if not isinstance(total, int) or not shards:
        return [], None
    declared = list[int | None]()
    for names in shards:
        own = {count for name in names if isinstance(count := mapping(files.get(name)).get("samples"), int)}
        if len(own) > 1:
            return [], ((), f"{' and '.join(map(repr, names))} are one shard, and declare other numbers of samples")
        declared.append(own.pop() if own else None)
    if declared == [None]:
        return [total], None
    if isinstance(each, int) and declared == [None] * len(shards):
        rest = total - each * (len(shards) - 1)
        if not 1 <= rest <= each:
            most = f"{len(shards):,} shards of {each:,} have {each * (len(shards) - 1) + 1:,} to {each * len(shards):,}"
            return [], (("samples",), f"is {total:,}, and {most}")
        return [*[each] * (len(shards) - 1), rest], None
    counts = [each if count is None else count for count in declared]
    if None in counts:
        name = shards[counts.index(None)][0]
        what = f"declares no `shard_samples`, and {name!r} no `samples`: one of them says how many are in a shard"
        return [], ((), what)
    if sum(counts) != total:  # type: ignore[arg-type]
        return [], (("samples",), f"is {total:,}, and its {len(shards):,} shards have {sum(counts):,}")  # type: ignore[arg-type]
    return counts, None  # type: ignore[return-value]


def check_shards(entry: Mapping[str, Any]) -> Problems:
    """Yield what is wrong with the splits of an entry that are over many files, and with files that none has."""
    files, fields = mapping(entry.get("files")), mapping(entry.get("fields"))
    takers: dict[str, tuple[str, Keys, str]] = {}
    overlapping = set[tuple[str, str]]()
    for title, split in mapping(entry.get("splits")).items():
        if not isinstance(split, dict):
            continue
        at: Keys = ("splits", title)
        placed = [*_patterns(entry, split)]
        if not placed and "shard_samples" in split:
            yield (*at, "shard_samples"), "is of a split over several files, and no pattern stands for a file here"
        if not placed:
            continue
        yield from (((*at, *keys), what) for keys, what in _check_split(split, placed, fields, files))
        for keys, pattern in placed:
            for name in expand(pattern, files)[0].values():
                other, others_keys, others_pattern = takers.setdefault(name, (title, (*at, *keys), pattern))
                if other != title and (other, title) not in overlapping:
                    overlapping.add((other, title))
                    yield (*at, *keys), f"{pattern!r} takes {name!r}, which {others_pattern!r} of {other!r} takes"
                    yield others_keys, f"{others_pattern!r} takes {name!r}, which {pattern!r} of {title!r} takes"
    named = set(_texts(entry.get("splits"))) | takers.keys() if takers else files.keys()
    idle = [name for name in files if name not in named]
    for number, name in enumerate(idle[:MOST_NAMED], 1):
        more = f", nor {len(idle) - MOST_NAMED:,} more" if number == MOST_NAMED < len(idle) else ""
        yield ("files", name), f"no split takes it{more}"
    for name, file in files.items():
        if "samples" in mapping(file) and name not in takers:
            yield ("files", name, "samples"), "is of a shard, and no split has a pattern that takes this file"


def _check_split(
    split: Mapping[str, Any], placed: list[tuple[Keys, str]], fields: Mapping[str, Any], files: Mapping[str, Any]
) -> Problems:
    expanded = {pattern: expand(pattern, files) for _, pattern in placed}
    for keys, pattern in placed:
        if wrong := expanded[pattern][1]:
            yield keys, wrong.replace("takes", f"{pattern!r} takes", 1)
    (keys, first), *others = placed
    labels = expanded[first][0].keys()
    for other_keys, other in others:
        if expanded[other][0].keys() != labels:
            differing = min(expanded[other][0].keys() ^ labels, key=_natural)
            for where, one, beside in ((other_keys, other, first), (keys, first, other)):
                its, others_of = (len(expanded[pattern][0]) for pattern in (one, beside))
                what = f"{one!r} takes {its:,} files and {beside!r} {others_of:,}, and {differing!r} is in one of them"
                yield where, what
            return
    sharded = {keys[0] for keys, _ in placed}
    for field, declared in fields.items():
        place, at = mapping(split.get(field)), (field,) if field in split else ()
        if field not in sharded and ("file" not in sharded or "file" in place):
            yield at, f"the field {field!r} is in no shard, and others are"
        if mapping(declared).get("per") == "split":
            yield at, f"a split has one {field!r}, which no shard can have"
        yield from (((field, key), _of_one(key)) for key in _OF_ONE_FILE if key in place)
    yield from (((key,), _of_one(key)) for key in _OF_ONE_FILE if key in split)
    if not any(wrong for _, wrong in expanded.values()):
        taken = [[*names.values()] for names, _ in expanded.values()]
        counts_wrong = _counts(split, [tuple(dict.fromkeys(names)) for names in zip(*taken, strict=True)], files)[1]
        if counts_wrong:
            yield counts_wrong


def _of_one(key: str) -> str:
    return f"`{key}` is of samples in one file, and the split is in shards"


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in plain values, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(key)
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
