"""Samples that are a member each: labels by name, blocks, class folders.

What formats have in common that read one file a sample: texts, pictures, recordings. What the file holds is the
format's own; its folder, its name and a part of that are what other fields may be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError, Problems
from tinytorch_datasets.plan import TEXT, Block, Column, RaggedBlock, Split
from tinytorch_datasets.readers.archives.members import Allowance, Member, Pattern, Skipped, check_name, read_members
from tinytorch_datasets.readers.archives.source import is_litter
from tinytorch_datasets.storage.encoded_array import EncodedBlock

FOLDER, PART, NAME = "folder", "part", "name"

# What a member takes in a tar archive beside its bytes: a header, and a second one for its long name or its times.
TAR_BYTES_A_MEMBER = 4096

SAMPLES_A_BLOCK = 4096

# The label of a split: which part of the name, or from which to before which.
LabelSplit = list[str | int]


def check_naming(options: Mapping[str, Any]) -> Problems:
    """Yield what is wrong with the options `label_folder`, `label_split` and `skip`."""
    folders, split = options.get("label_folder", -1), options.get("label_split")
    if isinstance(folders, list) and (not folders or len(set(folders)) < len(folders)):
        yield ("label_folder",), "must list folders, each once"
    if isinstance(folders, str) and not folders.strip("/"):
        yield ("label_folder",), "must name a folder, is none"
    if split is not None:
        separator, *places = split
        if not isinstance(separator, str) or not separator or len(places) not in (1, 2) or str in map(type, places):
            yield (
                ("label_split",),
                "must be a separator, and one number or two: which part, or from which to before which",
            )
    names = options.get("skip") or ()
    for number, name in enumerate(names):
        if name in names[:number]:
            yield ("skip", number), f"names {name!r} twice"


class Naming(NamedTuple):
    """How names give labels: by one folder, several, or all below one, and by a part of the name between separators."""

    folder: int | list[int] | str = -1
    split: LabelSplit | None = None

    def value(self, key: str, member: Member) -> str:
        """Return what the key of a field stands for: the folder, the part of the name, or the name.

        Raises:
            DecodeError: The member's name has none.
        """
        return member.name if key == NAME else self._folder_of(member) if key == FOLDER else self._part_of(member)

    def _folder_of(self, member: Member) -> str:
        folders = member.name.split("/")[:-1]
        if isinstance(self.folder, str):
            above = self.folder.strip("/").split("/")
            if folders[: len(above)] != above or len(folders) == len(above):
                member.fail(f"it is in no folder below {self.folder!r}, which label_folder names")
            return "/".join(folders[len(above) :])
        levels = self.folder if isinstance(self.folder, list) else [self.folder]
        try:
            return "/".join(folders[level] for level in levels)
        except IndexError:
            has = "no folder" if not folders else "one folder" if len(folders) == 1 else f"{len(folders)} folders"
            member.fail(f"it is in {has}, and label_folder is {self.folder}")

    def _part_of(self, member: Member) -> str:
        separator, *places = self.split or ("_", 0)
        assert isinstance(separator, str)
        parts = stem(member.name).split(separator)
        if len(places) == 1:
            places = [*places, int(places[0]) + 1 or len(parts)]
        start, stop = (slice(*map(int, places))).indices(len(parts))[:2]
        if start >= stop or not all(-len(parts) <= int(at) <= len(parts) for at in places):
            count = f"{len(parts)} part{'s' if len(parts) > 1 else ''}"
            member.fail(f"its name has {count} between {separator!r}, and label_split is {self.split}")
        return separator.join(parts[start:stop])


def stem(name: str) -> str:
    """Return the name of a file without its folders and its last ending.

    >>> stem("a/cat.0.jpg"), stem("README")
    ('cat.0', 'README')
    """
    last = last_part(name)
    return last.rpartition(".")[0] or last


def last_part(name: str) -> str:
    """Return the name of a file without its folders."""
    return name.rpartition("/")[2]


def first_other(names: Sequence[str], others: Sequence[str], order: Sequence[int], *, least: int) -> int | None:
    """Return the first sample that is another by its name than by what is paired with it; None if nothing shows that.

    Args:
        names: The names of the samples.
        others: What may be names too, each of one of the samples or of others.
        order: Which of those is paired with each sample.
        least: How many of the names must be among the others, as a whole or in part, for them to be names.
    """
    first = None
    for parts in _COMPARED if len(names) > 1 else ():
        ours, all_theirs = parts(names), parts(others)
        theirs = [all_theirs[at] for at in order]
        if ours == theirs:
            return None
        are_distinct = len(set(ours)) == len(ours) and len(set(all_theirs)) == len(all_theirs)
        if first is None and are_distinct and len(set(ours) & set(all_theirs)) >= max(least, 1):
            first = next(at for at, its in enumerate(ours) if its != theirs[at])
    return first


def _differing_parts(names: Sequence[str]) -> list[str]:
    """Return names without their endings, and without the front and the back that all have in common.

    >>> _differing_parts(["a/x1_mask.png", "a/x10_mask.png"])
    ['', '0']
    """
    whole = [name.removesuffix(f".{last_part(name).rpartition('.')[2]}") for name in names]
    front = len(os.path.commonprefix(whole))  # noqa: RUF071 -- of characters, as names of files are numbered
    back = len(os.path.commonprefix([name[front:][::-1] for name in whole]))  # noqa: RUF071
    return [name[front : len(name) - back] for name in whole]


_COMPARED: Sequence[Callable[[Sequence[str]], list[str]]] = (
    list,
    lambda names: list(map(last_part, names)),
    lambda names: list(map(stem, names)),
    _differing_parts,
)


def key_of(column: Column, content: str, kind: str, naming: Naming) -> str:
    """Return what a column is, by its key, or else by what it may be: `content` is the key of what a file holds.

    Raises:
        ContentError: It is declared as what it cannot be.
    """
    key = column.key if column.key in (content, FOLDER, PART, NAME) else ""
    key = key or (content if column.classes is None else PART if naming.split else FOLDER)
    if key != content and column.dtype != TEXT and (key == NAME or column.classes is None):
        named = "part of the name" if key == PART else key
        reason = f"{column} is the {named}, which is text, and declared as {column.dtype}"
        raise ContentError(column.file, reason, aspect="dtype", expected=column.dtype, actual=TEXT, column=str(column))
    if column.per == "split":
        reason = f"{column} belongs to the split as a whole, and each {kind} is a sample"
        raise ContentError(
            column.file, reason, aspect="samples", expected=1, actual=f"a {kind} each", column=str(column)
        )
    return key


# Yields each of some members with a value for each column of its split, and how large those are together.
Read = Callable[[Mapping[str, Split], Iterator[Member]], Iterator[tuple[Member, Sequence[Any], int]]]


def decode_members(
    splits: Sequence[Split],
    kind: str,
    read: Read,
    *,
    skip: Iterable[str] | None,
    block_size: int,
    largest: Callable[[Mapping[str, Split]], int | None] = lambda its: None,
) -> Iterator[Block]:
    """Yield the values of samples that are a member each, in blocks, file after file.

    Args:
        splits: What to decode.
        kind: What the samples are called in errors.
        read: Reads the members of the splits that are in one file, which it is given by their names.
        skip: Members that are no samples; each must be there.
        block_size: How large the samples of a block are together, at least when it is full, in the unit of `read`.
        largest: Returns the most bytes of one member of those splits, None for as many as of all.

    Raises:
        DecodeError: As of `read_members`.
        ContentError: There are more than a split declares.
    """
    skipped = Skipped(skip or ())
    for path in dict.fromkeys(column.file for split in splits for column in split.columns.values()):
        its = {split.name: of for split in splits if (of := _in_file(split, path)).columns}
        blocks = {name: _Blocks(split.columns.values(), block_size) for name, split in its.items()}
        for member, values, size in read(its, _samples(path, its, kind, skipped, largest(its))):
            yield from blocks[member.split].add(values, size, member)
        for of_split in blocks.values():
            yield from of_split.flush()
    if splits:
        skipped.check(path)


def _in_file(split: Split, path: Path) -> Split:
    columns = {name: column for name, column in split.columns.items() if column.file == path}
    return Split(split.name, split.samples, columns, path, split.members, split.where)


def _samples(
    path: Path, splits: Mapping[str, Split], kind: str, skipped: Skipped, largest: int | None
) -> Iterator[Member]:
    """Yield the members that are the samples of some splits, in order, no more than are declared."""
    left = {name: split.samples for name, split in splits.items()}
    declared = sum(column.nbytes for split in splits.values() for column in split.columns.values())
    allowance = Allowance(declared, TAR_BYTES_A_MEMBER * sum(left.values()), largest)
    wanted = {name: split.members for name, split in splits.items()}
    for member in read_members(path, wanted, skipped=skipped, allowance=allowance):
        if not left[member.split]:
            count, split = splits[member.split].samples, member.split
            reason = f"it has more {kind} than the {count:,} that {split} declares: {member.name!r} is one more"
            raise ContentError(
                member.path, reason, aspect="samples", expected=count, actual=f"more than {count}", split=split
            )
        left[member.split] -= 1
        yield member


class _Blocks:
    """The blocks of one split, made of samples as they come."""

    def __init__(self, columns: Iterable[Column], size: int) -> None:
        self._columns, self._most_size = list(columns), size
        self._values: list[list[Any]] = [[] for _ in self._columns]
        self._keeps_encoded = any(column.is_encoded for column in self._columns)
        self._encoded = list[bytes]()
        self._start = self._held = self._size = 0

    def add(self, values: Sequence[Any], size: int, member: Member) -> Iterator[Block]:
        """Take in one more sample, a value for each column, of that member, and yield the blocks that are full then."""
        for held, value in zip(self._values, values, strict=True):
            held.append(value)
        if self._keeps_encoded:
            self._encoded.append(member.data)
        self._held += 1
        self._size += size
        if self._held == SAMPLES_A_BLOCK or self._size > self._most_size:
            yield from self.flush()

    def flush(self) -> Iterator[Block]:
        """Yield what is held."""
        if self._held:
            for number, column in enumerate(self._columns):
                values, self._values[number] = self._values[number], []
                packed = _packed(column, values)
                yield Block(column, self._start, EncodedBlock(packed, self._encoded) if column.is_encoded else packed)
        self._encoded = []
        self._start, self._held, self._size = self._start + self._held, 0, 0


def _packed(column: Column, values: list[Any]) -> Any:
    if column.is_text or column.classes is not None:
        return values
    if column.is_ragged:
        return RaggedBlock.of(values, values[0].dtype, len(column.shape))
    return np.stack(values)


def ending(name: str) -> str:
    """Return the ending of a name, "" if it has none, or is a number: 20 newsgroups' have names like 49960."""
    front, dot, last = name.rpartition("/")[2].rpartition(".")
    return dot + last.lower() if front and not last.isdigit() else ""


def class_folders(names: Iterable[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Return the folders of samples in the folders that hold several such: how many are of each ending.

    >>> class_folders(["train/neg/1.txt", "train/pos/1.txt", "train/pos/2.TXT", "other/1.txt"])
    {'train': {'neg': {'.txt': 1}, 'pos': {'.txt': 1, '.TXT': 1}}}
    """
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name in names:
        if name.count("/") and not is_litter(name):
            above, _, folder = name.rpartition("/")[0].rpartition("/")
            endings = found.setdefault(above, {}).setdefault(folder, {})
            own = name[len(name) - len(ending(name)) :]  # patterns tell .TXT from .txt
            endings[own] = endings.get(own, 0) + 1
    return {above: folders for above, folders in found.items() if len(folders) > 1}


def patterns(
    path: Path, above: str, folders: Mapping[str, Mapping[str, int]], files: Iterable[str], kind: str
) -> list[str]:
    """Return what matches the samples of some folders, and no other file: one pattern, or one a folder.

    Raises:
        DecodeError: There are no such patterns.
    """
    endings = sorted({ending for of in folders.values() for ending in of})
    if len({ending.lower() for ending in endings}) > 1:
        reason = f"its {kind} in {above or 'its folders'} end in {' and in '.join(map(repr, endings))}"
        raise DecodeError(path, reason, hint="Write the entry by hand, with the patterns of the members.")
    front = f"{above}/" if above else ""
    number = sum(sum(of.values()) for of in folders.values())
    apart = [f"{front}{folder}/*{ending}" for folder, of in folders.items() for ending in sorted(of)]
    for these in ([f"{front}*/*{ending}" for ending in endings], apart):
        matchers = [Pattern(pattern).matches for pattern in these]
        if sum(any(matches(name) for matches in matchers) for name in files) == number:
            return these
    reason = f"in the folders of {above or 'it'}, other files are named as its {kind} are"
    raise DecodeError(path, reason, hint="Take them out, or write the entry by hand.")


def left_out(names: Iterable[str], why: str) -> Iterator[str]:
    """Say of each folder which of its files are not among the samples."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        by_folder.setdefault(name.rpartition("/")[0], []).append(name)
    for folder, its in sorted(by_folder.items()):
        more = f" and {len(its) - 1:,} more {f'in {folder}' if folder else 'at the top'}" if len(its) > 1 else ""
        yield f"{its[0]!r}{more}: {why}"


# Words of the names of folders that are splits, and no classes.
SPLIT_WORDS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"})


class Group(NamedTuple):
    """The samples of one split, in folders: patterns of their names, and what of the folders is the label.

    `label_folder` has the levels whose names differ, counted from the file, none where there is no class.
    """

    patterns: tuple[str, ...]
    samples: tuple[str, ...]
    label_folder: tuple[int, ...]


def grouped(path: Path, names: Sequence[str], others: Iterable[str], kind: str) -> list[Group]:
    """Return how samples lie in folders: by split, where folders of one level are called so, and by class below.

    Levels at which all samples of all splits have the same folder are no label; several that differ are one together.

    Args:
        path: The archive, or folder, for the error.
        names: The names of the samples.
        others: The names of all other files, which no pattern may match.
        kind: What the samples are called in errors.

    Raises:
        DecodeError: A name leads out of the archive, samples lie at different depths, or others are named as they are.
    """
    for name in names:
        check_name(path, name)
    folders = {name: name.split("/")[:-1] for name in names}
    depths = {len(of) for of in folders.values()}
    if len(depths) > 1:
        shallow, deep = (next(n for n in names if len(folders[n]) == depth) for depth in (min(depths), max(depths)))
        reason = f"its {kind} lie at different depths, so that their classes are not certain: {shallow!r} and {deep!r}"
        raise DecodeError(path, reason, hint="Write the entry by hand, with the patterns of the members.")
    depth = depths.pop()
    values = [sorted({of[level] for of in folders.values()}) for level in range(depth)]
    differing = [level for level in range(depth) if len(values[level]) > 1]
    split = next((level for level in differing if all(map(_is_split, values[level]))), None)
    labels = [level for level in differing if level != split]
    groups = list[Group]()
    for part in [None] if split is None else values[split]:
        its = [name for name in names if split is None or folders[name][split] == part]
        of_level = {level: "*" if level in labels else of[0] for level, of in enumerate(values)}
        levels = [(part or "") if level == split else of for level, of in of_level.items()]
        endings = sorted({_raw_ending(name) for name in its})
        made = tuple("/".join([*levels, f"*{ending}"]) for ending in endings)
        for matches in (Pattern(pattern).matches for pattern in made):
            if other := next((name for name in others if matches(name) and not is_litter(name)), None):
                reason = f"{other!r} is named as its {kind} are, and is none of them"
                raise DecodeError(path, reason, hint="Take it out, or write the entry by hand.")
        groups.append(Group(made, tuple(its), tuple(level - depth for level in labels)))
    return groups


def class_names(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the classes: what the folders of the samples are called, unless each sample has one of its own."""
    levels = groups[0].label_folder
    names = [name.split("/")[:-1] for group in groups for name in group.samples]
    classes = {"/".join(folders[level] for level in levels) for folders in names}
    return tuple(sorted(classes)) if levels and 2 * len(classes) <= len(names) else ()


def _is_split(folder: str) -> bool:
    return not SPLIT_WORDS.isdisjoint(re.split(r"[^a-z]+", folder.lower()))


def _raw_ending(name: str) -> str:
    front, dot, last = name.rpartition("/")[2].rpartition(".")
    return dot + last if front else ""
