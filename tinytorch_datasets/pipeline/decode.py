"""Decoding: each field by its format, its axes and rows as they are declared.

A format knows what a file holds. That a split has some of those samples, in a shuffled order, and that a class is
stored as another value than its number, is the same for every format, and is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError
from tinytorch_datasets.formats import Format
from tinytorch_datasets.pipeline.rows import COUNT_STORED, Selected, wrong_count
from tinytorch_datasets.pipeline.stored_values import (
    DECODED_BY,
    Arranged,
    as_declared,
    as_stored,
    content_error,
    fail,
    sample_decoder,
)
from tinytorch_datasets.plan import Block, ByteSource, Column, Plan, RaggedBlock, Split
from tinytorch_datasets.readers.archives.members import ordered_members
from tinytorch_datasets.readers.archives.source import HeldMembers, held_members
from tinytorch_datasets.storage.encoded_array import EncodedBlock, Recipe, plain_values

# How much of a permuted column is yielded at once.
BLOCK_BYTES = 1 << 22
STRINGS_A_BLOCK = 4096

OnError = Callable[[ContentError], None]


def _refuse(error: ContentError) -> None:
    raise error


@dataclass(frozen=True)
class Task:
    """What one call of a decoder is asked for.

    `wanted` has the columns of the plan that each column asked for is the source of, by its id: one, or several that
    are rows of the same.
    """

    format: Format
    splits: tuple[Split, ...]
    options: Mapping[str, Any]
    wanted: dict[int, list[Column]] = field(default_factory=dict)

    def decode(self) -> Generator[Block, None, None]:
        """Decode what is stored."""
        with held_members() as held:
            splits, asked = self._opened(held)
            joined = [split for split in splits if self.format.reads_columns and split.members]
            at_once = tuple(split for split in splits if not (self.format.reads_columns and split.members))
            for block in self.format.decode(at_once, **self.options):
                yield block._replace(column=asked[id(block.column)])
            for split in joined:
                for block in self._joined(split, held):
                    yield block._replace(column=asked[id(block.column)])

    def pickles(self) -> Iterator[Callable[[int], bytes]]:
        """Yield what reads each pickle that decoding would read, to be called before the next is asked for."""
        if self.format.pickles is not None:
            with held_members() as held:
                for _, _, read in self.format.pickles(self._opened(held)[0]):
                    yield read

    def _opened(self, held: HeldMembers) -> tuple[tuple[Split, ...], dict[int, Column]]:
        """Return the splits in files that the format reads, and the columns asked for by the ids of theirs."""
        asked = {id(column): column for split in self.splits for column in split.columns.values()}
        splits = list[Split]()
        for split in self.splits:
            columns, file, members = dict[str, Column](), split.file, split.members
            declared = sum(column.nbytes for column in split.columns.values())
            for name, column in split.columns.items():
                source = ByteSource(column.file, self._held(column, split))
                path = held.file(source, declared=declared)
                is_same = not source.member
                columns[name] = (
                    column if is_same else replace(column, file=path, member=column.member[len(source.member) :])
                )
                asked[id(columns[name])] = column
                if (column.file, source.member) == (split.file, split.member):
                    file = path
            if self.format.layout != "file per sample" and file and any("*" in name for name in members):
                members = tuple(ordered_members(file, members, beside=declared))
            splits.append(replace(split, columns=columns, file=file, members=members))
        return tuple(splits), asked

    def _held(self, column: Column, split: Split) -> tuple[str, ...]:
        """Return the path to the member that a format reads as a file: the last archive, or all of it."""
        has_parts = bool(split.members) and column.member == split.member
        return column.member if has_parts or not self.format.reads_members else column.member[:-1]

    def _joined(self, split: Split, held: HeldMembers) -> Iterator[Block]:
        """Decode a split whose tables are several members of an archive, or files, one after the other."""
        columns = {name: c for name, c in split.columns.items() if not c.member and c.file == (split.file or c.file)}
        others = {name: column for name, column in split.columns.items() if name not in columns}
        if others:
            yield from self.format.decode((replace(split, columns=others, members=()),), **self.options)
        done = dict.fromkeys(columns, 0)
        for member in split.members if columns else ():
            parts = {name: _part(column, member, held, self.format) for name, column in columns.items()}
            before = dict(done)
            part = replace(split, columns=parts, members=(), file=None)
            for column, start, values in self.format.decode((part,), **self.options):
                done[column.field] = before[column.field] + start + len(values)
                if done[column.field] > column.count:
                    reason = f"up to {member!r}, it has more rows than the {column.count:,} that {split.name} declares"
                    raise content_error(columns[column.field], "samples", column.count, done[column.field], reason)
                yield Block(columns[column.field], before[column.field] + start, values)


def _part(column: Column, member: str, held: HeldMembers, form: Format) -> Column:
    """Return a column in one of the members of an archive, or of the files, that are parts of its split."""
    if column.file.is_dir():
        return replace(column, file=column.file / member)
    if form.reads_members:
        return replace(column, member=(member,))
    return replace(column, file=held.file(ByteSource(column.file, (member,)), declared=column.nbytes))


def versions(plan: Plan) -> list[int]:
    """Return the versions of the decoders that a plan needs, in the order of its formats."""
    return [formats.of(name).version for name in plan.formats]


def tasks(plan: Plan, selected: Selected | None = None) -> list[Task]:
    """Return the calls of decoders that a plan needs: one, unless fields have formats or rows of their own.

    Without what is selected, they are asked for all that is stored.
    """
    groups: dict[str, tuple[str, Mapping[str, Any], dict[tuple[str, int], dict[str, Column]]]] = {}
    chosen = selected.members if selected else {}
    apart = _apart(chosen)
    wanted: dict[int, list[Column]] = {}
    shared: dict[str, Column] = {}
    for split in plan.splits:
        for name, column in split.columns.items():
            form, options = format_of(column, plan)
            rows = selected.rows(column) if selected else column.rows
            stored = as_stored(replace(column, rows=rows), formats.of(form))
            if rows is not None:
                # Rows of the same stored samples are decoded once.
                column_alike = replace(stored, split="", where="", sha256=None, sha256_where="", range=None)
                same = repr((column_alike, split.members, _of_split(options, split.name)))
                stored = shared.setdefault(same, stored)
            wanted.setdefault(id(stored), []).append(column)
            if len(wanted[id(stored)]) > 1:
                continue
            group = repr((form, sorted(options.items()), apart.get(split.name) if rows is None else None))
            _, _, splits = groups.setdefault(group, (form, options, {}))
            splits.setdefault((split.name, stored.samples), {})[name] = stored
    by_name = {split.name: split for split in plan.splits}
    made = []
    for form, options, splits in groups.values():
        asked = tuple(
            replace(
                by_name[name],
                samples=samples,
                columns=columns,
                file=_file(by_name[name], columns),
                members=_members(by_name[name], columns, formats.of(form), plan, chosen),
            )
            for (name, samples), columns in splits.items()
        )
        made.append(Task(formats.of(form), asked, options, wanted))
    return made


def _members(
    split: Split, columns: Mapping[str, Column], form: Format, plan: Plan, chosen: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the members that a format reads of a split: none of a file that is beside the archive of the others."""
    if form.layout == "file per sample":
        return chosen.get(split.name, split.members)
    if form.layout != "members" and not form.joins_members:
        return ()
    is_beside = all(column.file != (split.file or plan.root) for column in columns.values())
    return () if is_beside and (form.reads_columns or form.name != plan.format) else split.members


def _apart(chosen: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return numbers of splits, by their names: those with the same number have no member in common."""
    groups: list[set[str]] = []
    numbers = dict[str, int]()
    for split, members in chosen.items():
        number = next((n for n, taken in enumerate(groups) if taken.isdisjoint(members)), len(groups))
        if number == len(groups):
            groups.append(set())
        groups[number].update(members)
        numbers[split] = number
    return numbers


def format_of(column: Column, plan: Plan) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the format by which a column is decoded, and its options."""
    has_own = bool(column.format) or column.options is not None
    return column.format or plan.format, (column.options or {}) if has_own else plan.options


def decoder_facts(column: Column, plan: Plan) -> dict[str, Any]:
    """Return what `stored_values.sample_decoder` needs to know of a column of a plan, in plain values."""
    form, options = format_of(column, plan)
    own = {name: getattr(column, name) for name in DECODED_BY}
    return {
        "format": form,
        "options": dict(options),
        "column": {k: list(v) if isinstance(v, tuple) else v for k, v in own.items()},
    }


def recipe_of(plan: Plan, column: Column) -> Recipe:
    """Return how the samples of a column of a plan are decoded that the cache keeps encoded."""
    return Recipe(sample_decoder, decoder_facts(column, plan))


def _of_split(options: Mapping[str, Any], split: str) -> list[Any]:
    """Return what options declare for one split, where they are mappings by split."""
    return [value.get(split) for value in options.values() if isinstance(value, Mapping)]


def _file(split: Split, columns: Mapping[str, Column]) -> Any:
    """Return the one file that columns of a split are in, if it is one."""
    files = {column.file for column in columns.values()}
    return split.file if split.file in files or not split.file else min(files)


def decoded(plan: Plan, *, on_error: OnError = _refuse) -> Iterator[Block]:
    """Yield all values of a plan as they are declared: rows picked, labels as positions of their classes.

    `on_error` is called with what cannot be made so, and raises it by default; where it returns, those blocks are
    left out.

    Raises:
        DecodeError: A file is not what its format says.
    """
    selected = Selected(plan, partial(_listed, plan))
    for task in tasks(plan, selected):
        asked = [id(stored) for split in task.splits for stored in split.columns.values()]
        pickers = {
            stored: [_Picker(column, selected, task.format, on_error) for column in task.wanted[stored]]
            for stored in asked
        }
        try:
            with closing(task.decode()) as stored_blocks:
                for stored, start, values in stored_blocks:
                    for picker in pickers[id(stored)]:
                        yield from picker.take(start, values)
        except ContentError as error:
            if error.aspect == "samples" and any(column.rows for of_one in asked for column in task.wanted[of_one]):
                error.with_context(hint=COUNT_STORED)
            raise
        for of_one in pickers.values():
            for picker in of_one:
                yield from picker.rest()


def _listed(plan: Plan, listed: Column) -> list[Any]:
    """Return the values of a list that is no field of the data set."""
    source = Split(listed.split, listed.samples, {listed.field: listed}, file=listed.file)
    return [block.values for block in decoded(replace(plan, splits=(source,)))]


class _Picker:
    """What one column declares, out of the blocks that come of what is stored."""

    def __init__(self, column: Column, selected: Selected, form: Format, on_error: OnError) -> None:
        self._column, self._rows, self._on_error = column, selected.rows(column), on_error
        # Positions of their classes already, where the format has named the classes itself.
        self._stored = replace(column, values=()) if form.names_classes else column
        if form.reads_columns:
            self._stored = replace(self._stored, columns=())
        self._arranged = (
            Arranged(replace(column, rows=self._rows), form) if column.axes or column.stored_shape else None
        )
        self._came = 0
        self._held: list[Any] = []
        self._to_turn: list[np.ndarray] = []
        self._is_permuted = self._rows is not None and (self._rows.seed is not None or bool(self._rows.columns))
        self._selected = selected

    def take(self, start: int, values: Any) -> Iterator[Block]:
        """Yield what of a block of stored values is wanted now."""
        if self._arranged is None or self._arranged.is_by_sample:
            yield from self._take(start, values)
        else:
            self._to_turn.append(values)  # no sample is whole before the last block has come

    def _take(self, start: int, values: Any) -> Iterator[Block]:
        try:
            plain = plain_values(values)
            plain = plain if self._arranged is None else self._arranged.of(plain)
            right = as_declared(self._stored, start, plain)
        except ContentError as error:
            self._on_error(error)
        else:
            yield from self._pick(start, replace(values, values=right) if plain_values(values) is not values else right)

    def _turn(self) -> Iterator[Block]:
        whole, self._arranged, arranged = np.concatenate(self._to_turn), None, self._arranged
        self._to_turn.clear()
        assert arranged is not None
        try:
            whole = arranged.of(whole)
        except ContentError as error:
            self._on_error(error)
            return
        step = max(1, BLOCK_BYTES * len(whole) // max(whole.nbytes, 1))
        for start in range(0, len(whole), step):
            yield from self._take(start, np.ascontiguousarray(whole[start : start + step]))

    def _pick(self, start: int, values: Any) -> Iterator[Block]:
        """Yield what of a block is wanted now."""
        rows = self._rows
        if rows is None:
            yield Block(self._column, start, values)
            return
        if start != self._came:
            fail(self._column, "samples", "each in turn", f"{start:,} after {self._came:,}")
        self._came += len(values)
        if self._is_permuted:
            self._held.append(values)  # a shuffled order is known when the last sample has come
        elif (low := max(start, rows.start)) < (high := min(start + len(values), rows.stop)):
            yield Block(self._column, low - rows.start, values[low - start : high - start])

    def rest(self) -> Iterator[Block]:
        """Yield what could not be yielded before the last block had come."""
        if self._to_turn:
            yield from self._turn()
        rows = self._rows
        if rows is None:
            return
        if self._came != rows.of:
            self._on_error(wrong_count(self._column, rows.of, self._came))
        elif self._is_permuted:
            yield from _permuted(self._column, self._held, self._selected.positions(self._column))
        self._held.clear()


def _permuted(column: Column, held: list[Any], order: np.ndarray) -> Iterator[Block]:
    if not held:
        return
    if isinstance(held[0], EncodedBlock):
        encoded = [sample for block in held for sample in block.encoded]
        for _, start, values in _permuted(column, [block.values for block in held], order):
            its = [encoded[at] for at in order[start : start + len(values)]]
            yield Block(column, start, EncodedBlock(values, its))  # type: ignore[arg-type]
    elif isinstance(held[0], RaggedBlock):
        samples = [sample for block in held for sample in block.samples()]
        for start in range(0, len(order), STRINGS_A_BLOCK):
            piece = [samples[at] for at in order[start : start + STRINGS_A_BLOCK]]
            yield Block(column, start, RaggedBlock.of(piece, held[0].values.dtype, held[0].shapes.shape[1]))
    elif isinstance(held[0], np.ndarray):
        whole = np.concatenate(held)
        held.clear()
        step = max(1, BLOCK_BYTES * len(whole) // max(whole.nbytes, 1))
        for start in range(0, len(order), step):
            yield Block(column, start, whole[order[start : start + step]])
    else:
        texts = [text for block in held for text in block]
        for start in range(0, len(order), STRINGS_A_BLOCK):
            yield Block(column, start, [texts[at] for at in order[start : start + STRINGS_A_BLOCK]])
