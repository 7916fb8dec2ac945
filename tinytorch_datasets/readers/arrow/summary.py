"""What `add` reports of Parquet and Arrow files: columns, and what is left out.

All rows are looked at: whether lists are all as long, or a word is one of few, no header says.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from tinytorch_datasets.plan import MAX_EXACT, TEXT
from tinytorch_datasets.readers.arrow.columns import (
    NoArray,
    Picked,
    Source,
    Stored,
    is_group,
    leaves,
    storage,
    stored_as,
    strings,
    text_lengths,
    unnested,
)
from tinytorch_datasets.readers.columns import MAX_CLASSES, ColumnInfo, Kind, classes_of

# How many rows are looked at together.
ROWS_A_BATCH = 1 << 14
# Words that come to more than this are no classes.
MOST_CELL_BYTES = 1 << 24

# How pandas calls the column of a frame's index that has no name.
_INDEX = re.compile(r"__index_level_\d+__")
# What Hugging Face's metadata calls a column of pictures and the like.
_MEDIA = frozenset({"Image", "Audio", "Video", "Pdf"})


class Described(NamedTuple):
    """What `add` says of a column; the names are those of an `ArrayInfo`."""

    key: str
    dtype: str
    shape: tuple[int | None, ...]
    classes: tuple[str, ...] | None = None
    missing: tuple[str | None, ...] = ()


def describe(source: Source) -> tuple[list[Described], list[str]]:
    """Read all of a file; return its columns, and what is left out of it, and why."""
    features = _features(source.schema)
    counts = Counter(source.schema.names)
    # A column with a dot in its name, and one of a group, may have one name.
    paths = Counter(".".join(path) for path in leaves(source.schema))
    summaries, left_out = list[_Summary](), list[str]()
    for path, kind in leaves(source.schema).items():
        name = ".".join(path)
        feature = features.get(path[0], {})
        stored = stored_as(kind)
        if is_group(kind) and not _is_media(source.schema, path):
            continue  # its parts are columns
        if len(path) == 1 and _INDEX.fullmatch(name):
            left_out.append(f"{name!r} is the index of a pandas frame")
        elif counts[path[0]] > 1 or paths[name] > 1:
            left_out.append(f"{name!r} is the name of several columns")
        elif feature.get("_type") in _MEDIA or _is_media(source.schema, path):
            left_out.append(f"{path[0]!r} holds files, such as pictures or sounds, which are not read")
        elif not isinstance(stored, Stored):
            left_out.append(f"{name!r} holds {stored[0]}, which is not read")
        else:
            names = feature.get("names") if feature.get("_type") == "ClassLabel" and len(path) == 1 else None
            summaries.append(_Summary(Picked(path, stored), names))
    for batch in source.batches([summary.picked.name for summary in summaries], ROWS_A_BATCH) if summaries else ():
        for summary in summaries:
            summary.add(batch)
    described = list[Described]()
    for summary in summaries:
        result = summary.result(source.rows)
        if isinstance(result, Described):
            described.append(result)
        else:
            left_out.append(f"{summary.picked.name!r} {result}")
    return described, list(dict.fromkeys(left_out))


def _features(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """Return what Hugging Face's metadata says of columns, by name; nothing where it cannot be read."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: dict(feature) for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _is_media(schema: Any, path: tuple[str, ...]) -> bool:
    """Check whether a column is a part of a group of bytes and the path that they were read from."""
    import pyarrow as pa

    kind = schema.field(schema.names.index(path[0])).type
    return pa.types.is_struct(kind) and {"bytes", "path"} == {kind.field(at).name for at in range(kind.num_fields)}


class _Summary:
    """What is known of a column after some of its rows."""

    def __init__(self, picked: Picked, names: Any) -> None:
        self.picked = picked
        given = isinstance(names, list) and all(isinstance(name, str) for name in names)
        self._names = tuple(names) if given and len(set(names)) == len(names) > 0 else None
        self._nulls, self._low, self._high = 0, 2**64, -1
        self._cells: set[str] | None = set()
        self._shapes = set[tuple[int, ...]]()
        self._wrong = ""

    def add(self, batch: Any) -> None:
        """Take in some rows."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._wrong:
            return
        array, stored = storage(self.picked.of(batch)), self.picked.stored
        if stored.depth:
            try:
                array, shapes = unnested(array, stored.depth)
            except NoArray as error:
                self._wrong = f"has {error.what} in one sample"
                return
            # Of each axis, only whether all are as long is asked for.
            self._shapes |= (
                {tuple(shapes.min(axis=0).tolist()), tuple(shapes.max(axis=0).tolist())} if len(shapes) else set()
            )
        self._nulls += array.null_count
        if pa.types.is_dictionary(array.type):
            if array.dictionary.null_count:
                self._nulls += pc.sum(array.dictionary.is_null().take(array.indices)).as_py() or 0
            array = array if stored.dtype == TEXT else array.dictionary_decode()
        if stored.dtype == TEXT:
            self._add_cells(pc.unique(array))  # not all of them: few bytes may be much text
        elif stored.dtype[:1] in "iu" and array.null_count < len(array):
            low, high = (value.as_py() for value in pc.min_max(array).values())
            self._low, self._high = min(self._low, low), max(self._high, high)

    def _add_cells(self, array: Any) -> None:
        if self._cells is None or len(array) > MAX_CLASSES + 1:
            self._cells = None
            return
        lengths = text_lengths(array.dictionary if hasattr(array, "dictionary") else array)
        self._cells = self._cells | set(strings(array)) - {None} if lengths.sum() < MOST_CELL_BYTES else None
        if self._cells is not None and len(self._cells) > MAX_CLASSES:
            self._cells = None

    def result(self, rows: int) -> Described | str:
        """Return what the column is, or why it is left out."""
        name, stored = self.picked.name, self.picked.stored
        if self._wrong:
            return self._wrong
        axes = tuple(lengths[0] if len(set(lengths)) == 1 else None for lengths in zip(*self._shapes, strict=True))
        if stored.dtype == TEXT:
            if self._nulls:
                return f"has {self._nulls:,} null{'s' * (self._nulls > 1)}, for which a text has no mark"
            cells = ColumnInfo(0, name, frozenset(self._cells or ()), Kind.TEXT, TEXT)
            classes = classes_of(cells, rows) if self._cells else None
            return Described(name, "int64" if classes else TEXT, (rows,), classes)
        if self._names is not None and not stored.depth and stored.dtype[:1] in "iu":
            if self._nulls or self._low < 0 or self._high >= len(self._names):
                return f"has other numbers than those of its {len(self._names):,} classes"
            return Described(name, "int64", (rows,), self._names)
        if not self._nulls:
            return Described(name, stored.dtype, (rows, *(stored.shape or axes)))
        if self._nulls == rows and not stored.depth:
            return "holds nothing but null"
        if stored.dtype == "bool" or max(-self._low, self._high) > MAX_EXACT:
            return f"has {self._nulls:,} null{'s' * (self._nulls > 1)}, for which {stored.dtype} has no mark"
        dtype = stored.dtype if stored.dtype[0] == "f" else "float64"
        return Described(name, dtype, (rows, *(stored.shape or axes)), missing=(None,))
