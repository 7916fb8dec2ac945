"""Which part of a manifest's plain data is it, and what is wrong there?

What is of another type than it should be is passed over, because Pydantic reports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Keys = tuple[str | int, ...]
Problems = Iterator[tuple[Keys, str]]


def mapping(value: Any) -> Mapping[str, Any]:
    """The value, or an empty mapping if it is none."""
    return value if isinstance(value, dict) else {}


def repeats(values: Any, kind: str) -> Iterator[tuple[int, str]]:
    """The positions in a list of texts at which one stands again, each with what is wrong."""
    if not isinstance(values, list):
        return
    first: dict[Any, int] = {}
    for i, value in enumerate(values):
        if isinstance(value, str) and first.setdefault(value, i) != i:
            yield i, f"the {kind} {value!r} is there twice"
