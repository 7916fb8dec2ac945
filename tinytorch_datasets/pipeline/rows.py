"""`Selected`: which of the stored samples a split has, by position or by name.

Positions are a range, a shuffled order, or stand in a list. Names are those of members that are a sample each: a list
says which of them a split has, and a table has a row for each, in any order. Members are chosen before they are read,
so that what a split does not have is never decoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import compress
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError, did_you_mean
from tinytorch_datasets.pipeline.stored_values import content_error, fail, whole_numbers
from tinytorch_datasets.plan import ByteSource, Column, Names, Plan, Rows, Split
from tinytorch_datasets.readers.archives.members import ordered_members
from tinytorch_datasets.readers.archives.samples import TAR_BYTES_A_MEMBER, stem
from tinytorch_datasets.readers.archives.source import held_members
from tinytorch_datasets.readers.text import lines, opened_text

COUNT_STORED = "Write how many are stored in the manifest, as `stored_samples`."
NAMES_COMPARED = 1000  # for the error that guesses

# Returns all values of a column that is no field of the data set, as they come: a list of positions, or of names.
Read = Callable[[Column], list[Any]]


def wrong_count(column: Column, of: int, stored: int) -> ContentError:
    """Return the error for rows of another number of stored samples than is declared."""
    reason = f"{column} is rows of {of:,} stored samples, and {stored:,} are stored"
    return content_error(column, "samples", of, stored, reason).with_context(hint=COUNT_STORED)


class Selected:
    """Which of the stored samples each column of a plan has.

    Attributes:
        members: The names of the members that are the samples of a split, by its name, where rows of them are chosen.
    """

    def __init__(self, plan: Plan, read: Read) -> None:
        """Choose the members that are samples.

        Raises:
            DecodeError: A list names what is not there, or something twice.
        """
        self._plan, self._read = plan, read
        self.members: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, list[str]] = {}
        self._left_out: set[tuple[ByteSource, str]] = set()
        # Splits of one archive mostly have the same patterns, and a tar archive is read to its end for its names.
        self._lists: dict[tuple[ByteSource, tuple[str, ...]], list[str]] = {}
        for split in plan.splits:
            self._choose(split)

    def rows(self, column: Column) -> Rows | None:
        """Return the rows that a column is of what a decoder gives for it; None if it is all of that."""
        rows, is_member = column.rows, _is_member(column, self._plan)
        if rows is None or (is_member and column.split in self.members):
            return None
        return None if rows.names is not None and rows.names.of == "members" else rows

    def positions(self, column: Column) -> np.ndarray:
        """Return which of the stored samples a column has, in order: (samples,), int64.

        Raises:
            ContentError: A list of them names one that is not stored, or one twice.
        """
        rows = column.rows
        assert rows is not None
        if rows.names is None or rows.listed is None:
            return self._counted(column, rows)
        keys = [_key(rows.names, rows.names.whole(name)) for name in self._texts(rows.listed)]
        by_key: dict[str, int] = {}
        twice = dict[str, int]()
        for number, key in enumerate(keys):
            if by_key.setdefault(key, number) != number:
                twice.setdefault(key, number)
        order = np.empty(len(self._names[column.split]), np.int64)
        for at, name in enumerate(self._names[column.split]):
            key = _key(rows.names, name)
            if key in twice:
                where = _where(rows.listed, self._plan, twice[key], self._texts(rows.listed)[twice[key]])
                self._refuse(rows.listed, f"{where} is the second row for the sample {name!r}")
            if key not in by_key:
                guess = did_you_mean(key, list(by_key)[:NAMES_COMPARED])
                self._refuse(rows.listed, f"it has no row for the sample {name!r}, as {key!r}{guess}")
            order[at] = by_key[key]
        return order

    def _counted(self, column: Column, rows: Rows) -> np.ndarray:
        order: np.ndarray | None = None
        if rows.seed is not None:
            # The same stream of numbers on every machine and in every NumPy: the generator is frozen (NEP 19).
            random = np.random.RandomState(rows.seed)
            for count in rows.after:
                random.shuffle(np.arange(count))
            order = np.arange(rows.of)
            random.shuffle(order)
        if rows.where is not None:
            chosen = np.flatnonzero(self._is_where(rows))
            if len(chosen) != column.samples:
                raise self._wrong_where(column, rows.where, len(chosen))
            return chosen if order is None else order[chosen]
        if rows.listed is None:
            return np.arange(rows.start, rows.stop) if order is None else order[rows.start : rows.stop]
        numbers = self._numbers(replace(rows.listed, where=column.where), rows) - rows.first
        return numbers if order is None else order[numbers]

    def _numbers(self, listed: Column, rows: Rows) -> np.ndarray:
        pieces = [np.asarray(values) for values in self._read(listed)]
        numbers = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
        if numbers.ndim != 1 or len(numbers) != listed.samples:
            fail(listed, "samples", f"a list of {listed.samples:,} positions", f"one of {len(numbers):,}")
        whole = whole_numbers(listed, 0, numbers, "rows")
        last = rows.first + rows.of - 1
        outside = np.flatnonzero((whole < rows.first) | (whole > last))
        if outside.size:
            fail(listed, "rows", f"positions from {rows.first:,} to {last:,}", f"{whole[outside[0]]:,} in the list")
        unique, counts = np.unique(whole, return_counts=True)
        if len(unique) < len(whole):
            fail(listed, "rows", "each position once", f"{unique[counts > 1][0]:,} twice in the list")
        return whole

    def _is_where(self, rows: Rows) -> np.ndarray:
        """Return of each row whether its column equals one of the values that are declared."""
        assert rows.where is not None
        values: list[Any] = [value for block in self._read(rows.where) for value in np.asarray(block).tolist()]
        if len(values) != rows.where.samples:
            raise wrong_count(rows.where, rows.where.samples, len(values))
        return np.array([value in rows.equals for value in values], bool)

    def _wrong_where(self, column: Column, where: Column, count: int) -> ContentError:
        reason = f"{count:,} of its rows have the value, and {column.split} declares {column.samples:,} samples"
        return ContentError(
            where.file, reason, aspect="samples", expected=column.samples, actual=count, split=column.split
        )

    def _texts(self, listed: Column) -> list[str]:
        return [str(name) for values in self._read(listed) for name in values]

    def _choose(self, split: Split) -> None:
        """Choose the members that are the samples of a split, if its rows, or those of a table, ask for their names."""
        columns = [column for column in split.columns.values() if _is_member(column, self._plan)]
        joins = any(c.rows is not None and c.rows.names and c.rows.names.of == "rows" for c in split.columns.values())
        rows = columns[0].rows if columns else None
        if not columns or (rows is None and not joins) or any(not _equal(column.rows, rows) for column in columns):
            return
        column = columns[0]
        source = ByteSource(column.file, split.member)
        skipped = set(_skipped(column, self._plan))
        stored = self._stored(split, columns, source)
        if rows is None:
            self._names[split.name] = [name for name in stored if name not in skipped]
            return
        if rows.names is not None and rows.listed is not None:
            names = self._texts(rows.listed)
            if rows.where is not None:
                is_there = self._is_where(rows)
                if len(names) != len(is_there):
                    raise wrong_count(column, len(is_there), len(names))
                names = list(compress(names, is_there))
            chosen = self._listed(rows.listed, rows.names, names, stored, source)
        elif rows.without:
            listed = list[str]()
            for one in rows.without:
                if one.listed is not None and one.names is not None:
                    column_of = replace(one.listed, samples=len(stored) + 1)
                    listed += self._listed(column_of, one.names, self._texts(column_of), stored, source)
            others = set(listed)
            if len(others) < len(listed):
                twice = next(name for name in others if listed.count(name) > 1)
                self._refuse(rows.without[-1].listed, f"{twice!r} is in two of the lists")
            chosen = [name for name in stored if name not in others]
        else:
            kept = [name for name in stored if name not in skipped]
            if len(kept) != rows.of:
                raise wrong_count(column, rows.of, len(kept))
            chosen = [kept[at] for at in self._counted(column, rows).tolist()]
            # Each that is left out has to be there, in one of the splits that have it in their patterns.
            left_out = [name for name in stored if name in skipped and (source, name) not in self._left_out]
            self._left_out.update((source, name) for name in left_out)
            chosen += left_out
        self._names[split.name] = [name for name in chosen if name not in skipped]
        self.members[split.name] = tuple(chosen)
        count = len(self._names[split.name])
        if rows.names is not None and count != split.samples:
            what = f"it has {count:,} {'members that no list has' if rows.without else 'names of samples'}"
            reason = f"{what}, and {split.name} declares {split.samples:,} samples"
            where = rows.listed.file if rows.listed else source.path
            raise ContentError(where, reason, aspect="samples", expected=split.samples, actual=count, split=split.name)

    def _stored(self, split: Split, columns: Sequence[Column], source: ByteSource) -> list[str]:
        """Return the names of all members that a split's patterns mean, in order."""
        if source.path.is_dir():
            return list(split.members)
        if (known := self._lists.get((source, split.members))) is not None:
            return known
        of = max(split.samples, *(column.rows.of if column.rows else 0 for column in columns))
        declared = sum(column.nbytes for column in columns) + TAR_BYTES_A_MEMBER * of
        with held_members() as held:
            path = held.file(source, declared=declared)
            stored = self._lists[source, split.members] = ordered_members(path, split.members, beside=declared)
            return stored

    def _listed(
        self, listed: Column, rule: Names, names: Sequence[str], stored: Iterable[str], source: ByteSource
    ) -> list[str]:
        """Return the members that names of a list are, in its order."""
        by_key: dict[str, list[str]] = {}
        for member in stored:
            by_key.setdefault(_key(rule, member), []).append(member)
        chosen: dict[str, int] = {}
        archive = source.member[-1] if source.member else source.path.name
        for number, name in enumerate(names):
            key = _key(rule, rule.whole(name))
            members = by_key.get(key, [])
            if len(members) != 1 or members[0] in chosen:
                where = _where(listed, self._plan, number, name)
                if not members:
                    guess = did_you_mean(key, list(by_key)[:NAMES_COMPARED])
                    self._refuse(listed, f"{where} names {name!r}, and no member of {archive} is {key!r}{guess}")
                if len(members) > 1:
                    both = f"{members[0]!r} and {members[1]!r}"
                    self._refuse(listed, f"{where} names {name!r}, which is two members of {archive}: {both}")
                self._refuse(listed, f"{where} names {name!r}, which is in the list twice")
            chosen[members[0]] = number
        return list(chosen)

    def _refuse(self, listed: Column | None, reason: str) -> NoReturn:
        assert listed is not None
        inside = "".join(f"member {name!r}: " for name in listed.member)
        raise DecodeError(listed.file, f"{inside}{reason}")


def _is_member(column: Column, plan: Plan) -> bool:
    return formats.of(column.format or plan.format).layout == "file per sample" and column.per == "sample"


def _skipped(column: Column, plan: Plan) -> Sequence[str]:
    options: Mapping[str, Any] = plan.options if column.options is None and not column.format else column.options or {}
    return options.get("skip") or ()


def _equal(rows: Rows | None, other: Rows | None) -> bool:
    """Check whether two fields have the same rows, of whichever field the list was declared."""

    def of_none(column: Column | None) -> Column | None:
        key = "" if column is None or column.key == column.field else column.key
        return column and replace(column, field="", key=key, where="")

    def alike(one: Rows) -> Rows:
        without = tuple(map(alike, one.without))
        return replace(one, listed=of_none(one.listed), where=of_none(one.where), without=without)

    return (rows and alike(rows)) == (other and alike(other))


def _key(rule: Names, name: str) -> str:
    """Return what of a whole name is compared."""
    return name if rule.match == "name" else stem(name) if rule.match == "stem" else name.rpartition("/")[2]


def _where(listed: Column, plan: Plan, number: int, name: str) -> str:
    """Return where in a list a name is: its line, if it is a text; else how many names come before it."""
    if (listed.format or plan.format) == "csv" and len(listed.member) < 2:
        whole = re.compile(rf'(?<![^\s,;|"]){re.escape(name)}(?![^\s,;|"])')
        with suppress(DecodeError), opened_text(listed.source, ()) as stream:
            found = [
                at for at, line in enumerate(lines(stream, bom=True, carriage_returns=True), 1) if whole.search(line)
            ]
            # A name that is there twice is at fault where it is the second time.
            if found:
                return f"line {found[min(1, len(found) - 1)]:,}"
    return f"name {number + 1:,}"
