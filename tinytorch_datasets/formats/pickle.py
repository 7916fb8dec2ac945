"""A pickle of arrays: one, or a dict, a list or a tuple of them."""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import (
    INSPECTED,
    INSPECTED_BYTES,
    INSPECTED_INSTRUCTIONS,
    ArrayInfo,
    Certainty,
    Detection,
    FileInfo,
    decodes,
)
from tinytorch_datasets.plan import Block, ByteSource, Column, Split
from tinytorch_datasets.readers.archives.source import opened_source
from tinytorch_datasets.readers.arrays import check_within_declared, text_type, texts
from tinytorch_datasets.readers.pickle import as_text, load, lookup, max_extra_bytes, max_instructions, text_keys
from tinytorch_datasets.readers.pickle.objects import load_rows, max_bytes
from tinytorch_datasets.readers.pickle.packed import Row
from tinytorch_datasets.readers.pickle.rows import (
    describe,
    holds_texts,
    object_blocks,
    row_blocks,
    text_blocks,
    type_of,
)
from tinytorch_datasets.readers.stream import Stream, opened

# How many bytes a byte of an array may take: protocol 2 of Python 3 spells it as UTF-8, protocol 0 as \u0000.
BINARY, TEXT = 2, 6
_PROTOCOLS = (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")
# A dict or a list of protocol 0 or 1 begins with letters, as texts do; but not with these. What begins otherwise is
# known by being instructions to its end, some of which keep what they make in the memo.
_OLD_PICKLE = re.compile(rb"\([dl]p[0-9]+\r?\n|[]}]q\0")
_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
DEEPEST, WIDEST = 6, 1000  # of what is looked into for arrays
# A list of more arrays is one of samples; of so few it is none, whatever is beside it: it may be one a split.
MOST_ARRAYS, FEW_ARRAYS = 16, 4
PROTO = b"\x80"  # what every pickle of protocol 2 and later begins with


def _pickles(splits: Sequence[Split]) -> Iterator[tuple[Path, str, Callable[[int], bytes]]]:
    """Yield each file once, inflated if it is compressed."""
    for source, columns in _columns(splits).items():
        with _opened(source, columns) as (stream, _):
            yield source.path, stream.member, stream.some


def _detect(head: bytes, path: Path) -> Detection | None:
    if not (head.startswith(_PROTOCOLS) or _is_old_pickle(head)):
        return None
    return Detection(Certainty.CERTAIN, lambda: _inspect(path))


def _is_old_pickle(head: bytes) -> bool:
    """Check whether bytes are a pickle of protocol 0 or 1. Its instructions are listed, and never run."""
    if _OLD_PICKLE.match(head):
        return True
    try:
        names = {instruction.name for instruction, _, _ in pickletools.genops(head)}
    except Exception:  # pickletools lets out whatever its readers of arguments do: then it is none
        return False
    return not _MEMO.isdisjoint(names)


def _inspect(path: Path) -> FileInfo:
    limit = max(INSPECTED_BYTES, path.stat().st_size)
    with opened(path, limit=limit, limit_reason=INSPECTED) as stream:
        data = stream.whole()
    loaded = load_rows(data, path, size=min(len(data), INSPECTED_INSTRUCTIONS), samples=0)
    infos, left_out = [], []
    for key, value in _leaves(loaded, "", path):
        info = _array_info(key, value, path)
        if info is not None:
            infos.append(info)
        elif isinstance(value, _Unnamed):
            left_out.append(f"{key!r}: its key is no text ({value.kind}), so that no entry can name it")
        elif isinstance(value, Row) and any(isinstance(item, tuple | dict) for item in value.items):
            what = f"a list of {len(value):,} tuples or dicts, and not of numbers or of texts"
            left_out.append(f"{key!r}: {what}" if key else what)
        else:
            what = f"{key!r}: {describe(value)}, and neither an array nor a list of numbers or of text"
            left_out.append(what if key else what.partition(": ")[2])
    return FileInfo(path, "pickle", tuple(infos), left_out=tuple(left_out))


@dataclass(frozen=True)
class _Unnamed:
    """A value whose key in a dict is no text, but of another `kind`."""

    kind: str


def _leaves(value: Any, key: str, path: Path, samples: Container[int] = ()) -> Iterator[tuple[str, Any]]:
    """Yield what a pickle holds, but for what only holds others, by the path to it.

    `samples` are the lengths of the arrays, and of the lists without arrays, beside it.
    """
    inner: Collection[tuple[Any, Any]]
    if isinstance(value, dict):
        named = text_keys(value, path)
        inner = {k: v if isinstance(k, str) else _Unnamed(type(k).__name__) for k, v in named.items()}.items()
    elif isinstance(value, tuple) or (isinstance(value, Row) and _is_container(value, samples)):
        inner = dict(enumerate(value if isinstance(value, tuple) else value.items)).items()
    else:
        yield key, value
        return
    if key.count(".") >= DEEPEST or len(inner) > WIDEST:
        yield key, value
        return
    beside = {length for _, one in inner if (length := _length(one)) is not None}
    for name, one in inner:
        yield from _leaves(one, f"{key}.{as_text(name)}" if key else as_text(name), path, beside)


def _is_container(row: Row, samples: Container[int]) -> bool:
    """Check whether a list has arrays of its own in it, and is not one of samples, as many as others beside it."""
    if not any(isinstance(item, np.ndarray | tuple | dict) for item in row.items) or len(row) > MOST_ARRAYS:
        return False
    kinds = {(item.ndim, item.dtype.kind) if isinstance(item, np.ndarray) else None for item in row.items}
    return len(row) <= FEW_ARRAYS or len(row) not in samples or len(kinds) > 1 or None in kinds


def _length(value: Any) -> int | None:
    """Return how long an array is, or a list that has no arrays in it; None for others."""
    if isinstance(value, np.ndarray):
        return len(value) if value.ndim else None
    has_others = isinstance(value, Row) and any(isinstance(item, np.ndarray | tuple | dict) for item in value.items)
    return len(value) if isinstance(value, Row) and not has_others else None


def _array_info(key: str, value: Any, path: Path) -> ArrayInfo | None:
    if isinstance(value, np.ndarray):
        return ArrayInfo(key, *(text_type(value.dtype, value.shape) or (value.dtype.name, value.shape)))
    if not isinstance(value, Row):
        return None
    try:
        dtype, shape = type_of(value.tolist(), path, "")
    except DecodeError:
        return None
    return ArrayInfo(key, dtype, (len(value), *shape)) if len(value) else None


@decodes("pickle", layout="file per split", pickles=_pickles, detect=_detect)
def pickled(splits: Sequence[Split]) -> Iterator[Block]:
    """Pickles, plain or compressed, of arrays; a field's key is the path to its array.

    In a dict that is the array's own key, in a list or a tuple its position: ``"0.1"`` is the second in the first
    of them, ``train.0`` the first in what a dict has under ``train``. A dict's own key comes first, also one with a
    dot in it. Where the pickle is an array itself, its field has no key.

    The values may be arrays of plain numbers or of text, or lists of numbers or of text; in a field of
    ``shape: [null]``, lists and arrays of different lengths. Protocols 0 to 5, Python 2 and 3, NumPy 1 and 2. A
    pickle is never run.

    Raises:
        UnsafePickle: A pickle asks for more than arrays.
        DecodeError: It is damaged, or has no such key.
        ContentError: It holds more than is declared.
    """
    for source, columns in _columns(splits).items():
        path, samples = source.path, _samples(columns)
        with _opened(source, columns) as (stream, declared):
            read, member = stream.some, stream.member
            if any(column.is_ragged for column in columns):
                loaded = load_rows(read, path, size=max_bytes(path, samples), samples=samples, member=member)
            else:
                loaded = load(read, path, most=max_instructions(samples), declared=declared, member=member)
        for column in columns:
            yield from _blocks(column, loaded, member)


@contextmanager
def _opened(source: ByteSource, columns: Sequence[Column]) -> Iterator[tuple[Stream, int]]:
    """Return a pickle's bytes, at most as many as its fields may take, and how many bytes it declares."""
    path, samples = source.path, _samples(columns)
    fields, on_disk = sum(column.nbytes for column in columns), path.stat().st_size
    # The size on disk is declared itself: arrays that nobody asked for may stand beside the others.
    limits = [max(spelled * fields + max_extra_bytes(samples), on_disk) for spelled in (BINARY, TEXT)]
    if any(column.is_text or column.is_ragged for column in columns):  # of which no size is declared
        limits = [max(limit, max_bytes(path, samples)) for limit in limits]
    with opened_source(source, limit=limits[0], limit_reason=f"its declared fields take {fields:,}") as stream:
        begun = stream.some(1)
        if begun != PROTO:
            stream.limit = limits[1]
        stream.begin_with(begun)
        yield stream, max(fields, on_disk)


def _columns(splits: Sequence[Split]) -> dict[ByteSource, list[Column]]:
    """Return the columns that each file holds; one file may hold several splits."""
    found: dict[ByteSource, list[Column]] = {}
    for split in splits:
        for column in split.columns.values():
            found.setdefault(column.source, []).append(column)
    return found


def _samples(columns: Sequence[Column]) -> int:
    return sum(column.count for column in columns)


def _blocks(column: Column, loaded: Any, member: str) -> Iterator[Block]:
    path = column.file
    # A pickle that is one array has no names, and a key that is its field's name was not written.
    is_whole = isinstance(loaded, np.ndarray | list | tuple | Row) and column.key == column.field
    held, whose = lookup(loaded, "" if is_whole else column.key, path, member)
    if column.per == "split" and not isinstance(held, np.ndarray | list | Row):
        held = [held]
    if isinstance(held, np.ndarray) and held.dtype.kind != "O":
        values = held.reshape(check_within_declared(column, held.dtype, held.shape, path, whose))
        if column.is_ragged:
            yield from row_blocks(column, list(values), path, whose)
        else:
            yield Block(column, 0, texts(values, path, whose) if values.dtype.kind in "SU" else values)
    elif isinstance(held, np.ndarray):
        yield from object_blocks(column, held, path, whose)
    elif isinstance(held, list | Row):
        items = held if isinstance(held, list) else held.tolist()
        yield from (text_blocks if holds_texts(column, items) else row_blocks)(column, items, path, whose)
    else:
        raise DecodeError(
            path,
            f"{whose} is {describe(held)}, not an array",
            hint=_keys_of(held, column, "" if is_whole else column.key),
        )


def _keys_of(held: Any, column: Column, key: str) -> str | None:
    """Return what a person does about a key that leads to arrays, and to none of them."""
    if not isinstance(held, tuple | dict) or not held:
        return None
    first = next(iter(held)) if isinstance(held, dict) else 0
    before = f"{key}." if key else ""
    return f'Write which of its {len(held):,} it is: `{column.field}: "{before}{as_text(first)}"` is the first.'
