"""`Selected`: which of the stored samples a split has, by position or by name.

Positions are a range, a shuffled order, or stand in a list. Names are those of members that are a sample each: a list
says which of them a split has, and a table has a row for each, in any order. Members are chosen before they are read,
so that what a split does not have is never decoded.

What is paired with members by position alone may be in another order than they are, and nobody would notice. So where
a table, or another archive, has the names of the samples too, its order is compared with theirs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import compress
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError, did_you_mean
from tinytorch_datasets.pipeline.stored_values import content_error, fail, whole_numbers
from tinytorch_datasets.plan import TEXT, ByteSource, Column, Names, Plan, Rows, Split
from tinytorch_datasets.readers.archives.members import ordered_members
from tinytorch_datasets.readers.archives.samples import TAR_BYTES_A_MEMBER, first_other, last_part, stem
from tinytorch_datasets.readers.archives.source import held_members
from tinytorch_datasets.readers.text import lines, opened_text

COUNT_STORED = "Write how many are stored in the manifest, as `stored_samples`."
BY_NAME = "Pair them by name: `join: {{column: {}, match: file}}`, or `match: stem`."
ONE_ORDER = "Bring both tables into one order, or make them one."
MORE_OF_NAMES = "Compare more of the names: `match: name`, with `prefix` and `suffix`."
NAMES_COMPARED = 1000  # for the error that guesses

_LOCATION = ("file", "key", "member", "format", "options")

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
            self._check_order(split)

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
        texts, rule = self._texts(rows.listed), rows.names
        by_key, twice = dict[str, int](), dict[str, int]()
        for number, name in enumerate(texts):
            for key in _listed_keys(rule, name):
                if by_key.setdefault(key, number) != number:
                    twice.setdefault(key, number)
        samples = dict[int, str]()
        for name in self._names[column.split]:
            key = _key(rule, name)
            if key not in by_key:
                guess = did_you_mean(key, list(by_key)[:NAMES_COMPARED])
                self._refuse(rows.listed, f"it has no row for the sample {name!r}, as {key!r}{guess}")
            number = twice.get(key, by_key[key])
            if key in twice or samples.setdefault(number, name) != name:
                what = f"the second row for the sample {name!r}"
                if key not in twice:
                    what = f"the row of two samples, {samples[number]!r} and {name!r}"
                where = _where(rows.listed, self._plan, number, texts[number])
                self._refuse(rows.listed, f"{where} is {what}", hint=MORE_OF_NAMES)
        return np.fromiter(samples, np.int64, len(samples))

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
            keys = _listed_keys(rule, name)
            members = [member for key in keys for member in by_key.get(key, ())]
            if len(members) != 1 or members[0] in chosen:
                where = _where(listed, self._plan, number, name)
                if not members:
                    guess = did_you_mean(keys[0], list(by_key)[:NAMES_COMPARED])
                    self._refuse(listed, f"{where} names {name!r}, and no member of {archive} is {keys[0]!r}{guess}")
                if len(members) > 1:
                    both = f"{members[0]!r} and {members[1]!r}"
                    self._refuse(listed, f"{where} names {name!r}, which is two members of {archive}: {both}")
                self._refuse(listed, f"{where} names {name!r}, which is in the list twice")
            chosen[members[0]] = number
        return list(chosen)

    def _refuse(self, listed: Column | None, reason: str, *, hint: str | None = None) -> NoReturn:
        assert listed is not None
        inside = "".join(f"member {name!r}: " for name in listed.member)
        raise DecodeError(listed.file, f"{inside}{reason}", hint=hint)

    def _check_order(self, split: Split) -> None:
        """Check that what is paired by position alone is in one order, as far as names show it.

        Raises:
            DecodeError: A table, or an archive, has the names of the samples in another order than the first has.
        """
        members = [column for column in split.columns.values() if _is_member(column, self._plan)]
        archives = list({column.source: column for column in members}.values())
        tables = [column for column in split.columns.values() if self._is_table_by_position(column)]
        if len(archives) + len(tables) < 2 or any(not _equal(c.rows, members[0].rows) for c in members):
            return
        if not members:
            self._check_tables(split, list({column.source: column for column in tables}.values()))
            return
        names = self._names_of(split, members[0])
        for column in archives[1:]:
            others = self._names_of(split, column)
            in_order = range(min(len(names), len(others)))
            if (at := first_other(names, others, in_order, least=len(names) // 2)) is not None:
                both = f"sample {at:,} is {names[at]!r} in {members[0].file.name} and {others[at]!r} here"
                reason = f"{members[0].field} and {column.field} are paired by position, and {both}"
                raise DecodeError(column.file, reason, hint="Name them alike in both, so that they sort alike.")
        for column in tables:
            for place, cell in self._may_be_names(split, column).items():
                # The rows of lists are numbered too.
                if split.name not in self.members or not str(cell).isdigit():
                    self._check_rows(column, place, self._cells(column, place, cell), names, BY_NAME.format(place))

    def _check_tables(self, split: Split, tables: Sequence[Column]) -> None:
        """Check that tables are in one order, if they have the same column of names."""
        first, *others = tables
        places = self._may_be_names(split, first) if others else {}
        for column in others:
            for place, cell in self._may_be_names(split, column).items():
                if place in places and isinstance(place, str):
                    cells, order = self._cells(first, place, places[place])
                    names = [cells[at] for at in order]
                    self._check_rows(column, place, self._cells(column, place, cell), names, ONE_ORDER)

    def _names_of(self, split: Split, column: Column) -> Sequence[str]:
        """Return the names of the members that are the samples of a column, in order."""
        if split.name in self._names:
            return self._names[split.name]
        skipped = set(_skipped(column, self._plan))
        return [name for name in self._stored(split, [column], column.source) if name not in skipped]

    def _is_table_by_position(self, column: Column) -> bool:
        rows, form = self.rows(column), formats.of(column.format or self._plan.format)
        return form.first_rows is not None and column.per == "sample" and (rows is None or rows.names is None)

    def _may_be_names(self, split: Split, column: Column) -> dict[str | int, str | int]:
        """Return the first cell of each column of a table that may be names: of no field of numbers, no value twice."""
        form = formats.of(column.format or self._plan.format)
        inside = column.member[:-1] if form.reads_members else column.member
        try:
            with held_members() as held:
                path = held.file(ByteSource(column.file, inside), declared=column.nbytes)
                of_file = replace(column, file=path, member=column.member[len(inside) :])
                rows = form.first_rows(of_file, _options(column, self._plan)) if form.first_rows else ()
        except DecodeError:  # which is reported of the field itself
            return {}
        numbers = [other for other in split.columns.values() if not other.is_text and other.source == column.source]
        of_fields = {place for other in numbers for place in (other.field, other.key, *other.columns)}
        return {
            place: cell
            for at, (place, cell) in enumerate(rows[0].items() if rows else ())
            if of_fields.isdisjoint((place, at, at - len(rows[0])))
            if len({row.get(place) for row in rows}) == len(rows)
        }

    def _cells(self, column: Column, place: str | int, first: str | int) -> tuple[list[str], Sequence[int]]:
        """Return all of a column beside another one, and which of them the samples have; none if it is not read."""
        rows, beside = self.rows(column), {of: getattr(column, of) for of in _LOCATION}
        stored, dtype = rows.of if rows else column.samples, TEXT if isinstance(first, str) else "int64"
        try:
            cells = self._texts(Column(column.split, column.field, dtype, stored, columns=(place,), **beside))
            order = range(stored) if rows is None else self.positions(column).tolist()
        except DecodeError:
            return [], ()
        return (cells, order) if len(cells) == stored else ([], ())

    def _check_rows(
        self, column: Column, place: str | int, rows: tuple[list[str], Sequence[int]], names: Sequence[str], hint: str
    ) -> None:
        cells, order = rows
        least = len(names) if "".join(cells).isdigit() else len(names) // 2  # numbers may be of anything
        if len(order) == len(names) and (at := first_other(names, cells, order, least=least)) is not None:
            reason = f"{column.field} is paired by position, and {place!r} has the samples in another order"
            self._refuse(column, f"{reason}: {cells[order[at]]!r} stands where {names[at]!r} should", hint=hint)


def _is_member(column: Column, plan: Plan) -> bool:
    return formats.of(column.format or plan.format).layout == "file per sample" and column.per == "sample"


def _options(column: Column, plan: Plan) -> Mapping[str, Any]:
    return plan.options if column.options is None and not column.format else column.options or {}


def _skipped(column: Column, plan: Plan) -> Sequence[str]:
    return _options(column, plan).get("skip") or ()


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
    """Return what of a member's name is compared: in Unicode's composed form, which not every archive has them in."""
    name = unicodedata.normalize("NFC", name)
    return name if rule.match == "name" else stem(name) if rule.match == "stem" else last_part(name)


def _listed_keys(rule: Names, listed: str) -> Sequence[str]:
    """Return what a listed name may be compared as: its last part may be a stem already, which has a dot in it."""
    key, last = _key(rule, rule.whole(listed)), last_part(unicodedata.normalize("NFC", rule.whole(listed)))
    return (key, last) if rule.match == "stem" and last != key else (key,)


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
