"""Records, as JSON has them: where they are in a document, and paths into one.

A record is an object, or a list. A field's key is a path into it: a dot goes into an object, and a number takes an
element of a list. A key may have dots itself; the longest name that fits is taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinytorch_datasets.errors import Problems, did_you_mean, printable
from tinytorch_datasets.plan import Split
from tinytorch_datasets.readers.stream import Stream

Path = Sequence[str]

SHOWN = 40

# A position in a list has fewer digits.
MOST_DIGITS = 10


class Absent(LookupError):
    """There is nothing at a path."""


def parts_of(path: str | Sequence[str]) -> tuple[str, ...]:
    """Return the keys of a path that is written with dots, or as a list of keys.

    >>> parts_of("data.paragraphs"), parts_of(["a.b", "c"])
    (('data', 'paragraphs'), ('a.b', 'c'))
    """
    return tuple(path.split(".")) if isinstance(path, str) else tuple(path)


def follow(value: Any, key: str) -> Any:
    """Return what is at a path of keys in a value. A list in the way gives a list: of what is in each element.

    >>> follow({"a.b": 1, "a": {"c": [{"d": 2}, {"d": 3}]}}, "a.c.d")
    [2, 3]
    >>> follow({"a.b": 1, "a": {"b": 2}}, "a.b"), follow({"a": [5, 6]}, "a.1")
    (1, 6)

    Raises:
        Absent: There is nothing.
    """
    while key:
        if isinstance(value, dict):
            name, dot = key, "."
            while name not in value:
                name, dot, _ = name.rpartition(".")
                if not dot:
                    raise Absent
            value, key = value[name], key[len(name) + 1 :]
        elif isinstance(value, list):
            name, _, rest = key.partition(".")
            if not (name.isascii() and name.isdecimal() and len(name) < MOST_DIGITS):
                return [follow(item, key) for item in value]
            if int(name) >= len(value):
                raise Absent
            value, key = value[int(name)], rest
        else:
            raise Absent
    return value


@dataclass
class Records:
    """Some records, one after the other, with what is needed to say where one is.

    `place` names the one of that position; `above` are the values of fields that stand in what the records are in.
    """

    stream: Stream
    items: Sequence[Any]
    place: Callable[[int], str]
    above: Mapping[str, Sequence[Any]]

    def some(self, start: int, stop: int) -> Records:
        """Return those from `start` to `stop`."""
        above = {field: values[start:stop] for field, values in self.above.items()}
        return Records(self.stream, self.items[start:stop], lambda at: self.place(start + at), above)

    def first_rows(self, most: int) -> list[dict[str | int, str | int]]:
        """Return the texts and whole numbers of the first ones, by their keys."""
        rows = list[dict[str | int, str | int]]()
        for first in self.items[:most]:
            pairs = first.items() if isinstance(first, dict) else ((str(at), its) for at, its in enumerate(first))
            rows.append({key: its for key, its in pairs if isinstance(its, str | int) and not isinstance(its, bool)})
        return rows

    def check_count(self, split: Split, start: int) -> None:
        """Refuse more records than a split declares, when there are `start` of them already."""
        if start + len(self.items) > split.samples:
            self.stream.refuse_more("records", split, self.place(split.samples - start))


def check_paths(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """Yield paths that lack a key, and parents of no field, or of no records."""
    if "records" in options and not all(parts_of(options["records"])):
        yield ("records",), "a path has a key between its dots, and at its ends"
    for field, path in (options.get("parents") or {}).items():
        if field not in fields:
            yield ("parents", field), f"no field of that name{did_you_mean(field, fields)}"
        elif not path or not all(parts_of(path)):
            yield ("parents", field), "a path has a key between its dots, and at its ends"
    if options.get("parents") and not options.get("records"):
        yield ("parents",), "records have no parents without the option records"


def nested(
    stream: Stream, tops: Sequence[Any], path: Path, parents: Mapping[str, Path], place: Callable[[int, int], str]
) -> Records:
    """Return the records that are in some values, below a path of keys. All elements of a list in the way are taken.

    Args:
        stream: Where the values are from.
        tops: The values, each a list of records, or what the path leads into.
        path: The keys that lead to the records.
        parents: The path, from the top as well, of each field whose value stands in what the records are in.
        place: What names a record by the position of its top, and its own among the records of that top.

    Raises:
        DecodeError: The path leads nowhere, or to something else.
    """
    rows: list[tuple[Any, ...]] = []
    origins = list[int]()
    for number, top in enumerate(tops):
        rows_of_top: list[tuple[Any, ...]] = [(item,) for item in top] if isinstance(top, list) else [(top,)]
        for depth, key in enumerate(path, 1):
            rows_of_top = [
                (*row, item) for row in rows_of_top for item in _inside(stream, row[-1], key, path[:depth], path)
            ]
        rows += rows_of_top
        origins += [number] * len(rows_of_top)
    above = {}
    for field, keys in parents.items():
        level = next((n for n, pair in enumerate(zip(keys, path, strict=False)) if len(set(pair)) > 1), len(path))
        level = min(level, len(keys) - 1)
        key = ".".join(keys[level:])
        try:
            above[field] = [follow(row[level], key) for row in rows]
        except Absent:
            stream.fail(f"it has nothing at {'.'.join(keys)!r}, which is {field} by the option parents")

    def name(at: int) -> str:
        return place(origins[at], at - origins.index(origins[at]))

    return Records(stream, [row[-1] for row in rows], name, above)


def _inside(stream: Stream, value: Any, key: str, done: Path, path: Path) -> list[Any]:  # noqa: RET503 -- as below
    """Return what is at a key, one or several."""
    inside = value.get(key) if isinstance(value, dict) else None
    if isinstance(inside, dict) and len(done) < len(path):
        return [inside]
    if isinstance(inside, list):
        return inside
    what = "nothing" if inside is None else f"{json_type(inside)}, not a list,"
    guess = did_you_mean(key, list(value)[:1000]) if isinstance(value, dict) and inside is None else ""
    stream.fail(f"it has {what} at {'.'.join(done)!r}, where its records are by the option records{guess}")


def of_columns(stream: Stream, top: Any, path: Path) -> Records:
    """Return the records of an object of columns: each a list, or an object that has the same names in each.

    Raises:
        DecodeError: There is no such object below the path, or its columns are not all as long.
    """
    for depth, key in enumerate(path, 1):
        if not isinstance(top, dict) or key not in top:
            stream.fail(f"it has nothing at {'.'.join(path[:depth])!r}, where its columns are by the option records")
        top = top[key]
    if not isinstance(top, dict):
        stream.fail(f"it has {json_type(top)} in place of an object of columns")
    first = next(iter(top), "")
    for name, column in top.items():
        if type(column) is not type(top[first]) or not isinstance(column, list | dict):
            stream.fail(f"the column {name!r} is {json_type(column)}, where {first!r} is {json_type(top[first])}")
        if isinstance(column, list) and len(column) != len(top[first]):
            stream.fail(f"the column {name!r} has {len(column):,} values, and {first!r} has {len(top[first]):,}")
        if isinstance(column, dict) and list(column) != list(top[first]):
            stream.fail(f"the columns {name!r} and {first!r} do not name their values alike")
    columns = [list(column.values()) if isinstance(column, dict) else column for column in top.values()]
    names = list(top)
    items = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return Records(stream, items, lambda at: f"record {at + 1:,}", {})


def json_type(value: Any) -> str:
    """Return what JSON calls a value.

    >>> json_type([1]), json_type("a"), json_type(True)
    ('a list', 'a text', 'a bool')
    """
    names = {dict: "an object", list: "a list", str: "a text", bool: "a bool", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def shown(value: Any) -> str:
    """Return a value as a sentence has it: single ones as they are written, cut short."""
    if isinstance(value, dict | list):
        return json_type(value)
    if type(value) is int and abs(value) >= 10**SHOWN:
        return "a number of many digits"
    written = printable(json.dumps(value[:SHOWN] if isinstance(value, str) else value, ensure_ascii=False))
    return written[:-1] + '..."' if isinstance(value, str) and len(value) > SHOWN else written
