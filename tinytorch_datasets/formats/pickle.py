"""A pickled dict of arrays, as TinyDigits is kept."""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import ContentError
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
from tinytorch_datasets.plan import TEXT as TEXT_DTYPE
from tinytorch_datasets.plan import Block, Column, Split
from tinytorch_datasets.readers.arrays import check_within_declared, text_type, texts
from tinytorch_datasets.readers.pickle import array, as_text, entry, load_dict, max_extra_bytes, max_instructions
from tinytorch_datasets.readers.stream import Stream, opened

# How many bytes a byte of an array may take: protocol 2 of Python 3 spells it as UTF-8, protocol 0 as \u0000.
BINARY, TEXT = 2, 6
_PROTOCOLS = (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")
# A dict or a list of protocol 0 or 1 begins with letters, as texts do; but not with these. What begins otherwise is
# known by being instructions to its end, some of which keep what they make in the memo.
_OLD_PICKLE = re.compile(rb"\([dl]p[0-9]+\r?\n|[]}]q\0")
_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
PROTO = b"\x80"  # what every pickle of protocol 2 and later begins with


def _pickles(splits: Sequence[Split]) -> Iterator[tuple[Path, str, Callable[[int], bytes]]]:
    """Yield each file once, inflated if it is compressed."""
    for path, columns in _columns(splits).items():
        with _opened(path, columns) as (stream, _):
            yield path, "", stream.some


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
        loaded = load_dict(stream.whole(), path, most=INSPECTED_INSTRUCTIONS)
    infos = {as_text(key): _array_info(as_text(key), value) for key, value in loaded.items()}
    left_out = (
        f"{key!r}: a {type(loaded[key]).__name__}, and neither an array nor a list of whole numbers or of text"
        for key, info in infos.items()
        if info is None and key in loaded
    )
    return FileInfo(path, "pickle", tuple(info for info in infos.values() if info), left_out=tuple(left_out))


def _array_info(key: str, value: Any) -> ArrayInfo | None:
    if isinstance(value, np.ndarray):
        return ArrayInfo(key, *(text_type(value.dtype, value.shape) or (value.dtype.name, value.shape)))
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return ArrayInfo(key, "int64", (len(value),))
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return ArrayInfo(key, TEXT_DTYPE, (len(value),))
    return None


@decodes("pickle", layout="file per split", reads_members=False, pickles=_pickles, detect=_detect)
def pickled(splits: Sequence[Split]) -> Iterator[Block]:
    """Pickles, plain or compressed, of a dict; a field's key is its key there.

    The values may be arrays of plain numbers or of text, or lists of whole numbers or of text. Protocols 0 to 5,
    Python 2 and 3, NumPy 1 and 2. A pickle is never run.

    Raises:
        UnsafePickle: A pickle asks for more than arrays.
        DecodeError: It is damaged, or has no such key.
        ContentError: It holds more than is declared.
    """
    for path, columns in _columns(splits).items():
        with _opened(path, columns) as (stream, declared):
            loaded = load_dict(stream.some, path, most=max_instructions(_samples(columns)), declared=declared)
        for column in columns:
            yield Block(column, 0, _values(column, loaded))


@contextmanager
def _opened(path: Path, columns: Sequence[Column]) -> Iterator[tuple[Stream, int]]:
    """Return a pickle's bytes, at most as many as its fields may take, and how many bytes it declares."""
    fields, on_disk = sum(column.nbytes for column in columns), path.stat().st_size
    # The size on disk is declared itself: arrays that nobody asked for may stand beside the others.
    limits = [max(spelled * fields + max_extra_bytes(_samples(columns)), on_disk) for spelled in (BINARY, TEXT)]
    with opened(path, limit=limits[0], limit_reason=f"its declared fields take {fields:,}") as stream:
        begun = stream.some(1)
        if begun != PROTO:
            stream.limit = limits[1]
        stream.begin_with(begun)
        yield stream, max(fields, on_disk)


def _columns(splits: Sequence[Split]) -> dict[Path, list[Column]]:
    """Return the columns that each file holds; one file may hold several splits."""
    columns: dict[Path, list[Column]] = {}
    for split in splits:
        for column in split.columns.values():
            columns.setdefault(column.file, []).append(column)
    return columns


def _samples(columns: Sequence[Column]) -> int:
    return sum(column.count for column in columns)


def _values(column: Column, loaded: dict[Any, Any]) -> np.ndarray | list[str]:
    path = column.file
    held, whose = entry(loaded, column.key, path)
    if column.is_text and not isinstance(held, np.ndarray):
        return _texts(column, held)
    values = array(held, path, whose)
    values = values.reshape(check_within_declared(column, values.dtype, values.shape, path, whose))
    return texts(values, path, whose) if values.dtype.kind in "SU" else values


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
