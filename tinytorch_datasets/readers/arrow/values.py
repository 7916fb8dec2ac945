"""Values of fields out of Arrow columns, in the declared dtype, block by block.

What pyarrow read is compared with what is declared: the number of rows, shapes, nulls; and no number is changed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets.errors import Aspect, ContentError, DecodeError
from tinytorch_datasets.plan import TEXT, Block, Column, RaggedBlock, Split
from tinytorch_datasets.readers.archives.source import INFLATION, SMALL_TEXT
from tinytorch_datasets.readers.arrays import exact
from tinytorch_datasets.readers.arrow.columns import (
    NoArray,
    Picked,
    Places,
    Source,
    Stored,
    first,
    leaves,
    pick,
    refusing,
    storage,
    stored_as,
    strings,
    text_lengths,
    unnested,
)

# How many bytes of values are held at once, of all columns together, and how many rows at most.
BLOCK_BYTES = 4 << 20
BLOCK_ROWS = 1 << 16
# Of a wide table, more bytes are held, so that each column is asked for its values less often.
FEW_ROWS, MOST_BLOCK_BYTES = 1 << 12, 32 << 20

# How long a text comes to is not declared: so long, each, or as long as the file's size allows (`INFLATION`).
TEXT_BYTES = 256
# A number takes at most so many bytes as it is stored, whatever the declared dtype.
STORED_BYTES = 8


def _most_bytes(path: Path, columns: Sequence[Column]) -> tuple[int, str]:
    """Return how many bytes may come out of a file for these columns, and what that follows from."""
    on_disk = path.stat().st_size
    numbers = sum(c.count * math.prod(c.sample_shape) * STORED_BYTES for c in columns if not c.is_text)
    texts = sum(c.count * TEXT_BYTES for c in columns if c.is_text or c.classes)
    declared = 2 * (numbers + texts)
    reason = f"the file has {on_disk:,} bytes, and {sum(c.count for c in columns):,} values are declared"
    return max(INFLATION * on_disk, declared) + SMALL_TEXT, reason


def decode(splits: Sequence[Split], form: str, table: Callable[[Path, int, str], Source]) -> Iterator[Block]:
    """Yield the values of all columns; `table` opens a file, of which so many bytes may come out, for a reason.

    Raises:
        DecodeError: A file is damaged, or has no such column.
        ContentError: It has more rows than declared, or other values.
    """
    for split in splits:
        for source, columns in split.by_source():
            with refusing(source.path, form):
                yield from _decode(table(source.path, *_most_bytes(source.path, columns)), columns)


def first_rows(
    column: Column, form: str, table: Callable[[Path, int, str], Source], most: int
) -> list[dict[str | int, str | int]]:
    """Return the texts and whole numbers in the first rows of the table that a column is in."""
    with refusing(column.file, form):
        source = table(column.file, *_most_bytes(column.file, (column,)))
        kinds = {path[0]: stored_as(kind) for path, kind in leaves(source.schema).items() if len(path) == 1}
        keys = [name for name, of in kinds.items() if isinstance(of, Stored) and not of.depth]
        batch = next(iter(source.batches(keys, most)), None)
        rows = batch.slice(0, most).to_pylist() if batch is not None else []
    return [
        {key: its for key, its in row.items() if isinstance(its, str | int) and not isinstance(its, bool)}
        for row in rows
    ]


def _decode(source: Source, columns: Sequence[Column]) -> Iterator[Block]:
    """Yield the values of columns that are in one file, all of one split.

    Raises:
        DecodeError: The file is damaged, or has no such column.
        ContentError: It has more rows than declared, or other values.
    """
    places = Places(source.schema)
    picked = {id(column): pick(source, column, places) for column in columns}
    count, split = columns[0].count, columns[0].split
    if source.rows > count:
        reason = f"it has {source.rows:,} rows, more than the {count:,} that {split} declares"
        raise ContentError(source.path, reason, aspect="samples", expected=count, actual=source.rows, split=split)
    fields = [_Field(source, column, picked[id(column)]) for column in columns]
    keys = list(dict.fromkeys(one.name for of in picked.values() for one in of))
    texts = _TextBudget(source.path, columns)
    start = 0
    for batch in source.batches(keys, _rows_a_block(columns)):
        for at in fields:
            yield Block(at.column, start, at.values(batch, start, texts))
        start += batch.num_rows
    if start != source.rows:
        raise DecodeError(source.path, f"it states {source.rows:,} rows, but {start:,} came")
    if not start:
        for column in columns:
            yield Block(column, 0, _nothing(column))


def _nothing(column: Column) -> Any:
    if column.is_ragged:
        return RaggedBlock.of([], column.dtype, len(column.shape))
    return [] if column.is_text else np.empty((0, *column.sample_shape), column.dtype)


def _rows_a_block(columns: Sequence[Column]) -> int:
    wide = sum(math.prod(c.sample_shape) * STORED_BYTES if not c.is_text else TEXT_BYTES for c in columns)
    few = min(FEW_ROWS, MOST_BLOCK_BYTES // max(wide, 1))
    return max(1, min(BLOCK_ROWS, max(few, BLOCK_BYTES // max(wide, 1))))


class _TextBudget:
    """How many bytes of text may still come of a file: a dictionary makes many of few."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._path = path
        self._limit, self._reason = _most_bytes(path, columns)
        self._spent = 0

    def spend(self, lengths: np.ndarray) -> None:
        self._spent += int(lengths.sum())
        if self._spent > self._limit:
            reason = f"more than {self._limit:,} bytes of text come out of it, but {self._reason}"
            raise DecodeError(self._path, reason)


class _Field:
    """One field while it is decoded: what turns the columns of a record batch into its values."""

    def __init__(self, source: Source, column: Column, picked: Sequence[Picked]) -> None:
        self.path, self.column, self._picked = source.path, column, picked
        if marks := [mark for mark in column.missing if mark is not None]:
            hint = "A mark is a cell of text; here only null can be one: `missing: [null]`."
            self._refuse(
                picked[0],
                f"holds {picked[0].stored.dtype}, of which none is {marks[0]!r}",
                "dtype",
                None,
                marks[0],
                hint,
            )

    def values(self, batch: Any, start: int, texts: _TextBudget) -> Any:
        """Return the values of all rows of a batch, whose first is sample `start`."""
        column = self.column
        arrays = [storage(one.of(batch)) for one in self._picked]
        if len(arrays) == 1:
            if self._picked[0].stored.dtype == TEXT:
                return self._texts(arrays[0], start, texts)
            return self._numbers(arrays[0], self._picked[0], start)
        if column.classes is not None:
            return np.stack([self._numbers(a, one, start) for a, one in zip(arrays, self._picked, strict=True)], 1)
        if column.is_ragged or math.prod(column.sample_shape) != len(arrays):
            what = f"is one of {len(arrays)}, {column} has shape {json.dumps(column.shape)}"
            self._refuse(self._picked[0], what, "shape", column.shape, (len(arrays),))
        out = np.empty((batch.num_rows, len(arrays)), column.dtype)
        for at, (array, one) in enumerate(zip(arrays, self._picked, strict=True)):
            if one.stored.depth:
                self._refuse(one, "holds lists, and is one of several columns", "shape", (), "lists")
            flat, nulls = self._plain(array, one, start)
            out[:, at] = self._fit(flat, nulls, one, lambda i: start + i)
        return out.reshape(batch.num_rows, *column.sample_shape)

    def _texts(self, array: Any, start: int, budget: _TextBudget) -> list[str]:
        import pyarrow as pa

        if array.null_count:
            self._refuse_null(self._picked[0], start + first(array.is_null()))
        may_be_null = False
        if not pa.types.is_dictionary(array.type):
            budget.spend(text_lengths(array))
        else:
            words, may_be_null = array.dictionary, array.dictionary.null_count > 0
            is_large = len(words) > len(array) and not pa.types.is_string_view(words.type)  # which has no kernel for it
            if is_large or not self.column.classes:  # else one text is the same object in all places
                budget.spend(text_lengths(words)[array.indices.to_numpy(zero_copy_only=False)])
            array = array.dictionary_decode() if is_large else array
        texts: list[str] = strings(array).tolist()
        if may_be_null and None in texts:
            self._refuse_null(self._picked[0], start + texts.index(None))  # type: ignore[arg-type]
        return texts

    def _plain(self, array: Any, one: Picked, start: int, sample: Callable[[int], int] | None = None) -> Any:
        """Return the numbers of a flat array, and which of them are null, or None."""
        import pyarrow as pa

        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_null(array.type):
            array = array.cast(pa.float64())
        if not array.null_count:
            return array.to_numpy(zero_copy_only=False), None
        nulls = array.is_null().to_numpy(zero_copy_only=False)
        if None not in self.column.missing or self.column.classes is not None:
            at = int(nulls.argmax())
            self._refuse_null(one, sample(at) if sample else start + at)
        return array.fill_null(False if pa.types.is_boolean(array.type) else 0).to_numpy(zero_copy_only=False), nulls

    def _numbers(self, array: Any, one: Picked, start: int) -> Any:
        column, depth = self.column, one.stored.depth
        if not depth:
            flat, nulls = self._plain(array, one, start)
            if column.classes is not None:
                return flat
            if column.shape and math.prod(column.sample_shape) * (not column.is_ragged) != 1:
                what = f"holds single values, {column} has shape {json.dumps(column.shape)}"
                self._refuse(one, what, "shape", column.shape, ())
            return self._fit(flat, nulls, one, lambda i: start + i).reshape(len(flat), *column.sample_shape)
        samples = len(array)
        try:
            array, shapes = unnested(array, depth, column.shape)
        except NoArray as error:
            if error.what == "null":
                self._refuse_null(one, start + error.sample, in_lists=True)
            what = f"has {error.what} in sample {start + error.sample:,}, which is no array"
            self._refuse(one, what, "shape", column.shape, error.what)
        ends = np.cumsum(shapes.prod(axis=1))

        def sample(at: int) -> int:
            return start + int(np.searchsorted(ends, at, "right"))

        flat, nulls = self._plain(array, one, start, sample)
        if column.classes is not None:
            whole = self._same_shape(shapes, shapes[0] if samples else (), one, start)
            return flat.reshape(samples, *whole)
        if column.is_ragged:
            if depth != len(column.shape):
                what = f"holds lists of {depth} axes, {column} has {len(column.shape)}"
                self._refuse(one, what, "shape", column.shape, depth)
            for axis, length in enumerate(column.shape):
                if length is not None:
                    self._same_shape(shapes[:, axis : axis + 1], (length,), one, start)
            return RaggedBlock(self._fit(flat, nulls, one, sample), shapes)
        shape = column.sample_shape
        if depth != len(shape):  # flat lists take any shape, as the columns of a table do
            shape = (1,) * (depth - 1) + (math.prod(shape),) if not shape or depth == 1 else shape
        if len(shape) != depth:
            self._refuse(one, f"holds lists of {depth} axes, {column} has {len(shape)}", "shape", shape, depth)
        self._same_shape(shapes, shape, one, start)
        return self._fit(flat, nulls, one, sample).reshape(samples, *column.sample_shape)

    def _same_shape(self, shapes: np.ndarray, shape: Sequence[int], one: Picked, start: int) -> tuple[int, ...]:
        """Return the shape of all samples, which is to be this one."""
        other = (shapes != np.array(shape, np.int64)).any(axis=1) if len(shapes) else np.zeros(0, bool)
        if other.any():
            at = int(other.argmax())
            what = f"has {_of_shape(shapes[at])} at sample {start + at:,}, {self.column} has {_of_shape(shape)}"
            self._refuse(one, what, "shape", tuple(shape), tuple(shapes[at].tolist()))
        return tuple(int(length) for length in shape)

    def _fit(
        self, values: np.ndarray, nulls: np.ndarray | None, one: Picked, sample: Callable[[int], int]
    ) -> np.ndarray:
        """Return numbers in the declared dtype, which has to hold each of them."""
        column, dtype = self.column, np.dtype(self.column.dtype)
        if column.stored == "one-hot" and values.dtype == bool:
            values = values.astype(np.uint8)
        if (values.dtype.kind == "b") != (dtype.kind == "b"):
            if nulls is None or not nulls.all():
                what = f"holds {'bools' if values.dtype == bool else values.dtype}, {column} is declared as {dtype}"
                self._refuse(one, what, "dtype", column.dtype, values.dtype.name)
            values = np.zeros(len(values), dtype)
        out, wrong = exact(values, dtype)
        if wrong is not None:
            if nulls is not None:
                wrong &= ~nulls
            if wrong.any():
                at = int(wrong.argmax())
                what = f"has {values[at]} at sample {sample(at):,}, which {dtype} does not hold"
                self._refuse(one, what, "dtype", column.dtype, values[at].item())
        if None in column.missing and dtype.kind in "iu":
            value = column.missing_value
            assert value is not None, "the manifest refuses whole numbers without it"
            same = out == value if nulls is None else (out == value) & ~nulls
            if same.any():
                what = f"has {value} at sample {sample(int(same.argmax())):,}, the `missing_value`, and no null"
                self._refuse(one, what, "dtype", column.dtype, value)
        if nulls is not None and nulls.any():
            out = np.array(out)
            out[nulls] = np.nan if dtype.kind == "f" else column.missing_value
        return out

    def _refuse_null(self, one: Picked, sample: int, *, in_lists: bool = False) -> NoReturn:
        column, hint = self.column, "Leave the field out, or fill the gaps in the file."
        if not (column.is_text or column.classes or in_lists or column.dtype == "bool"):
            value = "" if np.dtype(column.dtype).kind == "f" else ", and a `missing_value` that is no value of the data"
            hint = f"If it means a missing value, declare `missing: [null]` for {column.field}{value}."
        self._refuse(one, f"has null at sample {sample:,}", "dtype", column.dtype, None, hint)

    def _refuse(
        self, one: Picked, what: str, aspect: Aspect, expected: Any, actual: Any, hint: str | None = None
    ) -> NoReturn:
        error = ContentError(
            self.path,
            f"column {one.name!r} {what}",
            aspect=aspect,
            expected=expected,
            actual=actual,
            column=str(self.column),
        )
        error.hint = hint
        raise error


def _of_shape(shape: Sequence[int] | np.ndarray) -> str:
    """Say how many values there are: of one axis their number, of several the shape."""
    return f"{int(shape[0]):,} values" if len(shape) == 1 else f"shape {[int(length) for length in shape]}"
