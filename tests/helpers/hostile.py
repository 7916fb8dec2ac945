"""Hostile files, each with its harmless twin: how they are declared, decoded, and must be refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.helpers.format_writers import column, memory_below, put, read, split
from tests.helpers.yardstick import soon
from tinytorch_datasets.errors import DecodeError

# Which field a column is decides what is read of it; in every other format any name will do.
FIELD = {"qa-text": "questions"}


class Case(NamedTuple):
    """One hostile file, the reason that its error must give, and the harmless twin."""

    form: str
    hostile: Callable[[], bytes | str]
    reason: str | Callable[[int], str]  # which may tell the size of the file, if a compressor made it
    twin: Callable[[], bytes | str]
    error: type[DecodeError] = DecodeError
    declared: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}


def decode(case: Case, data: bytes | str, folder: Path) -> Any:
    """What the format makes of these bytes."""
    declared = {"shape": (2,), **case.declared}
    result = column(put(folder / "file", data), FIELD.get(case.form, "images"), **declared)
    return read(case.form, split(result, members=("b",)), **case.options)


def check_refused(
    case: Case, folder: Path, *, mebibytes: float = 64, clock: Callable[[], float] = time.process_time
) -> None:
    """The hostile file is refused in its words (all of them, up to a comma), by its class, soon and in little memory.

    Nothing is written beside it.
    """
    data = case.hostile()
    reason = case.reason if isinstance(case.reason, str) else case.reason(len(data))

    with soon(clock=clock), pytest.raises(DecodeError) as caught, memory_below(mebibytes):
        decode(case, data, folder)

    actual = caught.value.reason
    assert actual[: len(reason)] == reason if reason.endswith(",") else actual == reason
    assert type(caught.value) is case.error
    assert caught.value.path == folder / "file"
    assert [path.name for path in folder.rglob("*")] == ["file"]
