"""Columns of Parquet and Arrow files: types, places, lists and texts.

The library pyarrow reads the files. It is imported inside of functions, because it is an extra.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError, did_you_mean
from tinytorch_datasets.plan import TEXT, Column
from tinytorch_datasets.readers.compression import CODECS

# How many names are compared with one that is not there.
MOST_GUESSED = 1000


AS_FILES = "Pictures and sounds inside of a table are not read: save each as a file."
AS_TEXT = "Leave it out, or save it as numbers or as text."


class Source(Protocol):
    """A file that pyarrow reads: its schema, how many rows it states, and the rows themselves."""

    path: Path
    schema: Any
    rows: int

    def batches(self, keys: Sequence[str], rows: int) -> Iterator[Any]:
        """Yield record batches of at most so many rows, which have at least these columns."""
        ...


@contextmanager
def refusing(path: Path, form: str) -> Iterator[None]:
    """Report what pyarrow says of a file's bytes as what is wrong with the file.

    Raises:
        DecodeError: It is not of that format, or it is damaged.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk
        message = " ".join(str(error).split("\n", 1)[0].split())[:200] or type(error).__name__
        raise DecodeError(path, f"it cannot be read as {form}: {message}") from error


def refuse_compressed(path: Path, head: bytes, form: str) -> None:
    """Refuse a file that is compressed as a whole, by its first bytes: it is not read from front to end.

    Raises:
        DecodeError: It is.
    """
    codec = next((codec.name for codec in CODECS if codec.magic.match(head)), None)
    if codec:
        reason = f"it is compressed with {codec} as a whole, and {form} is compressed inside"
        raise DecodeError(path, reason, hint="Unpack it, and declare what comes out.")


class Stored(NamedTuple):
    """What a column holds: NumPy's name of the dtype, or "str"; and how many lists each value stands in.

    `shape` is what the type itself folds those lists to.
    """

    dtype: str
    depth: int = 0
    shape: tuple[int, ...] = ()


def stored_as(kind: Any) -> Stored | tuple[str, str]:
    """Return what a column of an Arrow type holds; or, where it is not read, what that is, and a hint."""
    import pyarrow as pa

    is_ = pa.types
    if isinstance(kind, pa.FixedShapeTensorType):
        if list(kind.permutation or ()) != sorted(kind.permutation or ()):
            return f"tensors whose axes are permuted ({kind.permutation})", AS_TEXT
        return Stored(stored_as(kind.value_type)[0], 1, tuple(kind.shape))
    if isinstance(kind, pa.BaseExtensionType):
        return stored_as(kind.storage_type)
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        inner = stored_as(kind.value_type)
        if not isinstance(inner, Stored):
            return inner
        if inner.dtype == TEXT or is_.is_null(kind.value_type):
            return f"lists of {'texts' if inner.dtype == TEXT else 'nothing'} ({kind})", AS_TEXT
        return Stored(inner.dtype, inner.depth + 1)
    if is_.is_dictionary(kind):
        inner = stored_as(kind.value_type)
        return inner if isinstance(inner, Stored) and not inner.depth else (f"a dictionary of {kind}", AS_TEXT)
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind):
        return Stored(TEXT)
    if is_.is_boolean(kind) or is_.is_integer(kind) or is_.is_floating(kind) or is_.is_null(kind):
        return Stored("float64" if is_.is_null(kind) else np.dtype(kind.to_pandas_dtype()).name)
    if is_.is_struct(kind):
        parts = [kind.field(at).name for at in range(kind.num_fields)]
        hint = AS_FILES if {"bytes", "path"} <= set(parts) else "Name one of them by its path, such as outer.inner."
        return f"a group of columns ({', '.join(parts[:5])}{', ...' if len(parts) > 5 else ''})", hint
    if "binary" in str(kind):
        return f"bytes ({str(kind)[:60]})", AS_FILES
    return f"values of the type {str(kind)[:60]}", AS_TEXT


@dataclass(frozen=True)
class Picked:
    """A column of the file: its path by names, and what it holds. `name` is that path in one text."""

    parts: tuple[str, ...]
    stored: Stored

    @property
    def name(self) -> str:
        """The path, as it is written in a manifest."""
        return ".".join(self.parts)

    def of(self, batch: Any) -> Any:
        """Return the column in a record batch; where a group is null, its parts are."""
        import pyarrow.compute as pc

        array = batch.column(batch.schema.get_field_index(self.parts[0]))
        return pc.struct_field(array, list(self.parts[1:])) if len(self.parts) > 1 else array


def is_group(kind: Any) -> bool:
    """Check whether a column is a group of columns."""
    import pyarrow as pa

    return bool(pa.types.is_struct(kind) and kind.num_fields)


def leaves(schema: Any) -> dict[tuple[str, ...], Any]:
    """Return the type of each column by its path, and of each group of columns."""
    found: dict[tuple[str, ...], Any] = {}
    stack: list[tuple[tuple[str, ...], Any]] = [
        ((name,), kind) for name, kind in zip(reversed(schema.names), reversed(schema.types), strict=True)
    ]
    while stack:
        path, kind = stack.pop()
        if is_group(kind):
            stack += [
                ((*path, part.name), part.type) for part in reversed([kind.field(i) for i in range(kind.num_fields)])
            ]
        found.setdefault(path, kind)
    return found


class Places:
    """Where each column of a schema is: the types by path, the paths by name, and how often each name is there."""

    def __init__(self, schema: Any) -> None:
        self.names, self.types, self.paths = schema.names, leaves(schema), dict[str, list[tuple[str, ...]]]()
        self.counts = Counter(self.names)
        for path in self.types:
            self.paths.setdefault(".".join(path), []).append(path)


def prefixes(name: str) -> Iterator[str]:
    """Yield the names of all groups that a column may be in, and its own.

    >>> list(prefixes("a.b.c"))
    ['a', 'a.b', 'a.b.c']
    """
    return itertools.accumulate(name.split("."), "{}.{}".format)


def pick(source: Source, column: Column, places: Places) -> tuple[Picked, ...]:
    """Return the column, or the columns, of a field.

    Raises:
        DecodeError: There is none of that name, or two, or it holds what is not read.
        ContentError: It holds text where numbers are declared, or numbers where text is.
    """
    if column.per == "split":
        raise DecodeError(source.path, f"{column} belongs to the split as a whole, for which a table has no place")
    names, known, by_name = places.names, places.types, places.paths
    own = column.key or column.field
    keys = column.columns or (column.names if column.names and own not in by_name else (own,))
    where = ("splits", column.split, column.field)
    for place in keys:
        if isinstance(place, int) and not -len(names) <= place < len(names):
            reason = f"{column.field} is column {place}, but it has {len(names):,} columns"
            raise DecodeError(source.path, reason, keys=where)
    if column.is_text and len(keys) > 1:
        raise DecodeError(source.path, f"{column} is text, which is one column, and not {len(keys)}")
    picked = []
    for place in keys:
        key: str = names[place] if isinstance(place, int) else place
        if key not in by_name:
            guess = did_you_mean(key, itertools.islice(by_name, MOST_GUESSED))
            raise DecodeError(source.path, f"it has no column {key!r}, which is {column.field}{guess}", keys=where)
        path = (key,) if (key,) in known else by_name[key][0]
        if places.counts[path[0]] > 1 or (len(path) > 1 and len(by_name[key]) > 1):
            raise DecodeError(source.path, f"it has the column {key!r} twice")
        picked.append(Picked(path, _stored(source, column, key, known[path])))
    return tuple(picked)


def _stored(source: Source, column: Column, key: str, kind: Any) -> Stored:
    """Return what a column holds, which is to be what is declared."""
    stored = stored_as(kind)
    if not isinstance(stored, Stored):
        what, hint = stored
        raise DecodeError(source.path, f"column {key!r} holds {what}, which is not read", hint=hint)
    if column.classes is None and (stored.dtype == TEXT) != column.is_text:
        actual = "text" if stored.dtype == TEXT else f"numbers ({stored.dtype})"
        reason = f"column {key!r} holds {actual}, {column} is declared as {'text' if column.is_text else column.dtype}"
        raise ContentError(
            source.path, reason, aspect="dtype", expected=column.dtype, actual=stored.dtype, column=str(column)
        )
    return stored


class NoArray(Exception):
    """The lists of a sample are no array: `what` is wrong with those of sample `sample`, counted in the batch."""

    def __init__(self, sample: int, what: str) -> None:
        super().__init__(what)
        self.sample, self.what = sample, what


def storage(array: Any) -> Any:
    """Return the array that one of an extension type is stored as; any other as it is."""
    import pyarrow as pa

    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array


def first(mask: Any) -> int:
    """Return the position of the first true value of an Arrow array."""
    return int(mask.to_numpy(zero_copy_only=False).argmax())


def unnested(array: Any, depth: int, shape: Sequence[int | None] = ()) -> tuple[Any, np.ndarray]:
    """Return the innermost values of lists, and the shape of each sample: (samples, depth).

    `shape` is the declared one: where a list is empty, those inside of it would have had its lengths.

    Raises:
        NoArray: Lists of one sample have several lengths, or one is null.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    samples, axes = len(array), list[np.ndarray]()
    parts = np.ones(samples, np.int64)  # how many lists each sample has, on this axis
    for axis in range(depth):
        if array.null_count:
            raise NoArray(int(np.searchsorted(np.cumsum(parts), first(array.is_null()), "right")), "null")
        if pa.types.is_fixed_size_list(array.type):
            lengths = np.full(len(array), array.type.list_size, np.int64)
        else:
            lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False).astype(np.int64)
        declared = shape[axis] if axis < len(shape) else None
        length = np.full(samples, declared or 0, np.int64)
        filled = np.flatnonzero(parts)
        if filled.size:
            begins = (np.cumsum(parts) - parts)[filled]
            least, most = np.minimum.reduceat(lengths, begins), np.maximum.reduceat(lengths, begins)
            if (uneven := least != most).any():
                at = int(uneven.argmax())
                raise NoArray(int(filled[at]), f"lists of {least[at]:,} and of {most[at]:,}")
            length[filled] = most
        axes.append(length)
        parts = parts * length
        array = storage(array.flatten())
    return array, np.stack(axes, axis=1)


def text_lengths(array: Any) -> np.ndarray:
    """Return the bytes of each text of an array; a null has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string_view(array.type):  # a view begins with its length; many may be of the same bytes
        views = np.frombuffer(array.buffers()[1], np.int32, 4 * len(array), 16 * array.offset)
        return np.where(array.is_null().to_numpy(zero_copy_only=False), 0, views[::4].astype(np.int64))
    lengths: np.ndarray = pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False)
    return lengths


def strings(array: Any) -> np.ndarray:
    """Return texts as an array of objects, None for null; those of a dictionary are made once."""
    import pyarrow as pa

    if not pa.types.is_dictionary(array.type):
        whole: np.ndarray = array.to_numpy(zero_copy_only=False)
        return whole
    words = np.array([*array.dictionary.to_numpy(zero_copy_only=False), None], object)
    picked: np.ndarray = words[array.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    if array.null_count:
        picked[array.is_null().to_numpy(zero_copy_only=False)] = None
    return picked
