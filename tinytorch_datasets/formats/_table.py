"""Which columns of a table are which field's?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tinytorch_datasets.errors import did_you_mean
from tinytorch_datasets.formats._stream import Stream
from tinytorch_datasets.plan import Column

Wanted = Mapping[str, "str | int | list[str | int]"]


def places(
    stream: Stream, fields: Sequence[Column], wanted: Wanted, names: Sequence[str] | None, width: int
) -> dict[str, list[int]]:
    """For each field, the numbers of its columns, counted from 0; one field may take all that are left."""
    found: dict[str, list[int]] = {}
    others: list[Column] = []
    for column in fields:
        if column.per == "split":
            stream.fail(f"{column} belongs to the split as a whole, for which a table has no place")
        own = next((n for n in (column.key, column.field) if names and n in names), None)
        if column.field in wanted:
            said = wanted[column.field]
            found[column.field] = [
                _place(stream, column, place, names, width) for place in (said if isinstance(said, list) else [said])
            ]
        elif own is not None and column.shape == ():
            found[column.field] = [_place(stream, column, own, names, width)]
        else:
            others.append(column)
    if len(others) > 1:
        fields_told = " and ".join(repr(column.field) for column in others)
        stream.fail(f"which columns are {fields_told} cannot be told: name them in the option columns")
    if others:
        taken = {place for places in found.values() for place in places}
        found[others[0].field] = [place for place in range(width) if place not in taken]
    for column in fields:
        need, have = math.prod(column.shape), len(found[column.field])
        if have != need:
            how = "are left for" if column in others else "are named for"
            stream.refuse(
                f"{have:,} columns {how} {column.field}, whose shape {column.shape} needs {need:,}",
                aspect="shape",
                expected=need,
                actual=have,
                column=str(column),
            )
    return found


def _place(stream: Stream, column: Column, place: str | int, names: Sequence[str] | None, width: int) -> int:
    if isinstance(place, int):
        if not -width <= place < width:
            stream.fail(f"{column.field} is column {place} by the option columns, but a row has {width:,}")
        return place % width
    if names is None:
        stream.fail(
            f"{column.field} is column {place!r} by the option columns, but without a header columns have no names"
        )
    if place not in names:
        stream.fail(f"its header has no column {place!r}, which is {column.field}{did_you_mean(place, names)}")
    if names.count(place) > 1:
        stream.fail(f"its header has the column {place!r} twice")
    return names.index(place)
