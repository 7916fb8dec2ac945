"""The fields that records have: a dtype and a shape for each key, or why not.

They are found in all values, so that a field that is declared by them can be decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import MAX_EXACT, TEXT
from tinytorch_datasets.readers.json.records import Records, json_type

# Whoever has more names than this uses them as data.
MOST_KEYS = 4096
MOST_AXES = 8

_GAPS = "is null or not there in some records, and"


class _Field(NamedTuple):
    """What is at one key of all records, as a field would be declared."""

    dtype: str
    shape: tuple[int | None, ...] = ()
    missing: tuple[None, ...] = ()


class RecordFields:
    """What some records hold, gathered from one run of them after the other."""

    def __init__(self) -> None:
        self.samples = 0
        self._keys: dict[tuple[str, ...], _Key] = {}

    def add(self, records: Records) -> None:
        """Take in the next records.

        Raises:
            DecodeError: One is neither an object nor a list, or they have too many names.
        """
        for at, record in enumerate(records.items):
            if not isinstance(record, dict | list):
                records.stream.fail(f"{records.place(at)} is {json_type(record)}, not an object")
        self._add((), records.items)
        self.samples += len(records.items)
        if len(self._keys) > MOST_KEYS:
            records.stream.fail(f"its records have more than {MOST_KEYS:,} different names; are those data themselves?")

    def _add(self, above: tuple[str, ...], values: Sequence[Any]) -> None:
        by_key: dict[str, list[Any]] = {}
        for value in values:
            for name, inside in value.items() if isinstance(value, dict) else enumerate(value):
                by_key.setdefault(str(name), []).append(inside)
            if len(by_key) > MOST_KEYS:
                break
        for name, inside in by_key.items():
            key = (*above, name)
            objects = [value for value in inside if type(value) is dict]
            if objects and len(key) < MOST_AXES:
                self._add(key, objects)
                inside = [value for value in inside if type(value) is not dict]
                if not any(value is not None for value in inside):
                    continue  # a null in place of an object is one in place of all that it holds
            self._keys.setdefault(key, _Key()).add(inside)

    def arrays(self, path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
        """Return what `add` says of each field, by the names of an `ArrayInfo`; and what is left out, and why.

        Raises:
            DecodeError: None of them can be declared.
        """
        results = list(self._results())
        arrays = [
            {"key": name, "dtype": one.dtype, "shape": (self.samples, *one.shape), "missing": one.missing}
            for name, one in results
            if isinstance(one, _Field)
        ]
        left_out = tuple(f"{name!r}: {one}" for name, one in results if isinstance(one, str))
        if not arrays:
            reason = "its records have no field that can be declared" if self.samples else "it has no records"
            reason += "".join(f"; {what}" for what in left_out[:8])
            reason += f"; and {len(left_out) - 8:,} more" if len(left_out) > 8 else ""
            hint = "Save what is to be learned from as numbers, or as texts, one a record."
            raise DecodeError(path, reason, hint=hint)
        return arrays, left_out

    def with_records(self) -> list[str]:
        """Return the keys that hold lists of objects, which may be records themselves."""
        return [".".join(key) for key, one in self._keys.items() if dict in one.inner]

    def _results(self) -> Iterator[tuple[str, _Field | str]]:
        names = [".".join(key) for key in self._keys]
        for key, one in self._keys.items():
            name = ".".join(key)
            beside = any(other[: len(key)] == key and other != key for other in self._keys)
            if names.count(name) > 1:
                yield name, "may be two keys, of which one has a dot"
            elif beside:
                yield name, "is an object in some records, and another value in others"
            else:
                yield name, one.result(self.samples)


class _Key:
    """What is at one key."""

    def __init__(self) -> None:
        self.count = 0
        self.types = set[type]()  # of the values themselves
        self.inner = set[type]()  # of what their lists hold
        self.shape: list[int | None] | None = None
        self.is_irregular = False
        self.low, self.high, self.is_finite = 0, 0, True

    def add(self, values: list[Any]) -> None:
        """Take in the values of the next records that have the key."""
        self.count += len(values)
        types = set(map(type, values))
        self.types |= types
        if list in types:
            shape, values = self._measure([value for value in values if type(value) is list])
            self.inner |= set(map(type, values))
            known = self.shape if self.shape is not None else shape
            self.is_irregular = self.is_irregular or len(known) != len(shape)
            self.shape = [one if one == other else None for one, other in zip(known, shape, strict=False)]
        whole = [value for value in values if type(value) is int]
        self.low, self.high = min([self.low, *whole]), max([self.high, *whole])
        self.is_finite = self.is_finite and all(math.isfinite(value) for value in values if type(value) is float)

    def _measure(self, values: list[Any]) -> tuple[list[int | None], list[Any]]:
        """Return the shape of lists in lists, None where lengths differ, and the single values."""
        shape, counts = list[int | None](), np.ones(len(values), np.int64)
        while values and len(shape) < MOST_AXES and set(map(type, values)) == {list}:
            lengths = np.fromiter(map(len, values), np.int64, len(values))
            starts = np.cumsum(counts) - counts
            of_samples = np.zeros(len(counts), np.int64)
            of_samples[counts > 0] = lengths[starts[counts > 0]]
            self.is_irregular = self.is_irregular or bool((np.repeat(of_samples, counts) != lengths).any())
            distinct = set(lengths.tolist())
            shape.append(distinct.pop() if len(distinct) == 1 else None)
            if self.is_irregular:
                break
            values = list(chain.from_iterable(values))
            counts = counts * of_samples
        return shape, values

    def result(self, samples: int) -> _Field | str:
        """Return the field that holds all values of so many samples, or why there is none."""
        types = self.types - {type(None)}
        gaps = self.count < samples or type(None) in self.types
        if not types:
            return "is null in every record"
        if list in types:
            if len(types) > 1:
                return "is a list in some records, and a single value in others"
            types, shape = self.inner - {type(None)}, tuple(self.shape or ())
            if self.is_irregular or list in types:
                return "holds lists of lists that are not all as long"
            if types & {dict, str}:
                return "holds lists of objects" if dict in types else "holds lists of texts"
            if gaps:
                return "is no list in some records"
            gaps = type(None) in self.inner
        else:
            shape = ()
        return self._number(types, shape, gaps) if types != {str} else _text(gaps)

    def _number(self, types: set[type], shape: tuple[int | None, ...], gaps: bool) -> _Field | str:
        if not types:
            return "holds lists without a value"
        if str in types or (bool in types and len(types) > 1):
            return "is " + " or ".join(sorted({json_type(one()) for one in types})) + ", not the same in all records"
        if types == {bool}:
            return (
                "is null or not there in some records, where a bool has no mark of it"
                if gaps
                else _Field("bool", shape)
            )
        if not self.is_finite:
            return "has numbers that are larger than float64 can hold"
        if float in types or gaps:
            if max(-self.low, self.high) > MAX_EXACT:
                return "has whole numbers that float64 does not hold exactly, beside others"
            return _Field("float64", shape, (None,) if gaps else ())
        fits = "int64" if self.low >= -(2**63) and self.high < 2**63 else "uint64" if self.low >= 0 else ""
        if not fits or self.high >= 2**64:
            return "has whole numbers that no dtype holds"
        return _Field(fits, shape)


def _text(gaps: bool) -> _Field | str:
    if gaps:
        return f"{_GAPS} a text has no mark of it"
    return _Field(TEXT)
