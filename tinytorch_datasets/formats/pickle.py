"""A pickled dict of arrays, as TinyDigits is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError, did_you_mean
from tinytorch_datasets.formats._numbers import allow, whole_numbers
from tinytorch_datasets.formats._registry import Block, decodes
from tinytorch_datasets.formats._stream import Stream, opened
from tinytorch_datasets.formats._unpickle import load
from tinytorch_datasets.plan import Column, Split

BYTES_BESIDE_A_SAMPLE = 256
BYTES_BESIDE_A_FILE = 1 << 16
INSTRUCTIONS_A_SAMPLE = 16
INSTRUCTIONS_A_FILE = 10_000

# How many bytes a byte of an array may take: protocol 2 of Python 3 spells it as UTF-8, protocol 0 as \u0000.
BINARY, TEXT = 2, 6
PROTO = b"\x80"  # what every pickle of protocol 2 and later begins with


def _pickles(splits: Sequence[Split]) -> Iterator[tuple[Path, str, Callable[[int], bytes]]]:
    """Each file once, inflated if it is compressed."""
    for path, columns in _columns(splits).items():
        with _opened(path, columns) as (stream, _):
            yield path, "", stream.some


@decodes("pickle", layout="file per split", pickles=_pickles)
def pickled(splits: Sequence[Split]) -> Iterator[Block]:
    """Pickles, plain or compressed, of a dict; a field's key is its key there.

    The values may be arrays of plain numbers, or lists of whole numbers or of text. Protocols 0 to 5, Python 2
    and 3, NumPy 1 and 2. A pickle is never run.

    Raises:
        UnsafePickle: A pickle asks for more than arrays.
        DecodeError: It is damaged, or has no such key.
        ContentError: It holds more than is declared.
    """
    for path, columns in _columns(splits).items():
        samples = sum(column.count for column in columns)
        most = INSTRUCTIONS_A_FILE + INSTRUCTIONS_A_SAMPLE * samples
        with _opened(path, columns) as (stream, declared):
            loaded = load(stream.some, path, most=most, declared=declared)
        if not isinstance(loaded, dict):
            reason = f"it holds a {type(loaded).__name__}, not a dict of arrays"
            raise DecodeError(path, reason)
        # Python 2 wrote its keys as what are bytes today.
        entries = {k.decode("latin-1") if isinstance(k, bytes) else k: v for k, v in loaded.items()}
        for column in columns:
            yield Block(column, 0, _values(column, entries))


@contextmanager
def _opened(path: Path, columns: Sequence[Column]) -> Iterator[tuple[Stream, int]]:
    """A pickle's bytes, at most as many as its fields may take, and how many bytes it declares."""
    fields, on_disk = sum(column.nbytes for column in columns), path.stat().st_size
    spare = BYTES_BESIDE_A_SAMPLE * sum(column.count for column in columns) + BYTES_BESIDE_A_FILE
    # The size on disk is declared itself: arrays that nobody asked for may stand beside the others.
    limits = [max(spelled * fields + spare, on_disk) for spelled in (BINARY, TEXT)]
    with opened(path, limit=limits[0], promise=f"its declared fields take {fields:,}") as stream:
        begun = stream.some(1)
        if begun != PROTO:
            stream.limit = limits[1]
        stream.begin_with(begun)
        yield stream, max(fields, on_disk)


def _columns(splits: Sequence[Split]) -> dict[Path, list[Column]]:
    """The columns that each file holds; one file may hold several splits."""
    found: dict[Path, list[Column]] = {}
    for split in splits:
        for column in split.columns.values():
            found.setdefault(column.file, []).append(column)
    return found


def _values(column: Column, loaded: dict[Any, Any]) -> np.ndarray | list[str]:
    path, whose = column.file, f"its {column.key!r}"
    if column.key not in loaded:
        known = [k for k in loaded if isinstance(k, str)]
        hint = did_you_mean(column.key, known) or f"; it has {', '.join(map(repr, known))}"
        raise DecodeError(path, f"it has no {column.key!r}{hint}")
    values = loaded[column.key]
    if column.is_text:
        return _texts(column, values)
    if isinstance(values, list):
        values = whole_numbers(values, path, whose)
    if not isinstance(values, np.ndarray):
        raise DecodeError(path, f"{whose} is a {type(values).__name__}, not an array")
    if values.dtype.kind in "SU":
        reason = f"{whose} holds text, {column} is declared as {column.dtype}"
        raise ContentError(path, reason, aspect="dtype", expected=column.dtype, actual="str", column=str(column))
    allow(column, values.dtype, values.shape, path, whose)
    return values


def _texts(column: Column, values: Any) -> list[str]:
    texts = [values] if column.per == "split" else values
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        reason = f"its {column.key!r} is not a list of str, as {column} is declared"
        raise ContentError(
            column.file, reason, aspect="dtype", expected="str", actual=type(values).__name__, column=str(column)
        )
    if len(texts) > column.count:
        reason = f"its {column.key!r} has {len(texts):,} texts, more than {column} declares: {column.count:,}"
        raise ContentError(
            column.file, reason, aspect="samples", expected=column.count, actual=len(texts), column=str(column)
        )
    return texts
