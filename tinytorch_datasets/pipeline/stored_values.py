"""Stored values as their column declares them: labels, scaled numbers, axes.

What cannot be made so is an error here, or is left for the checks of all values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.errors import Aspect, ContentError
from tinytorch_datasets.formats import Format
from tinytorch_datasets.plan import Column, RaggedBlock, spell


def as_declared(column: Column, start: int, values: Any) -> Any:
    """Return a block of stored values as the column declares them; what cannot be made so is left for the checks.

    Labels come as the positions of their classes, and axes of length one are taken out or put in.

    Raises:
        ContentError: A stored value is none of the classes, or not one-hot.
    """
    if isinstance(values, RaggedBlock):
        return values if column.factor is None else replace(values, values=_scaled(column, values.values))
    if isinstance(values, np.ndarray):
        if column.columns:
            places = np.array(column.columns)
            values = values[..., places if len(places) > 1 else places[0]]
        if column.stored == "one-hot":
            return _one_hot(column, start, values)
        if not column.is_ragged and values.shape[1:] != column.shape:
            values = _with_axes(column, values)
        if column.factor is not None:
            return _scaled(column, values)
    if column.classes is None or (isinstance(values, np.ndarray) and values.ndim != 1):
        return values
    if isinstance(values, np.ndarray):
        return _numbered(column, start, values)
    return _named(column, start, values)


def as_stored(column: Column, form: Format) -> Column:
    """Return the column that a decoder is asked for: all the samples that are stored, as they are stored."""
    stored = column if column.rows is None else replace(column, samples=column.rows.of, rows=None)
    if column.stored == "one-hot" and column.classes is not None:
        stored = replace(stored, dtype="float64", shape=(len(column.classes),), classes=None, values=())
    if column.factor is not None:
        stored = replace(stored, dtype="float64")  # as large as any number that is stored
    if column.columns and not form.reads_columns:
        outer = stored.shape[:-1] if len(column.columns) > 1 else stored.shape
        stored = replace(stored, shape=(*outer, column.stored_columns), columns=())
    samples, *shape = _arrangement(column, stored)
    if column.stored_shape:
        samples, *shape = (stored.samples if length is None else length for length in column.stored_shape)
    return replace(stored, samples=samples, shape=tuple(shape), axes=(), stored_shape=())


def _arrangement(column: Column, stored: Column) -> list[Any]:
    """Return the lengths of the axes that become the declared ones, in the order in which they are stored."""
    lengths: list[Any] = [stored.samples, *stored.shape]
    if column.axes:
        by_axis = dict(zip(column.axes, lengths, strict=True))
        lengths = [by_axis[axis] for axis in range(len(lengths))]
    return lengths


class Arranged:
    """How the axes of a stored array become those that its column declares."""

    def __init__(self, column: Column, form: Format) -> None:
        self._column, self._stored = column, as_stored(column, form)
        unfolded = as_stored(replace(column, axes=(), stored_shape=()), form)
        self._lengths = _arrangement(column, unfolded)
        # Whether each sample can be arranged on its own.
        self.is_by_sample = column.axes[:1] in ((), (0,)) and column.stored_shape[:1] in ((), (None,))

    def of(self, values: Any) -> np.ndarray:
        """Return stored values with the declared axes.

        Raises:
            ContentError: They are stored in another shape than is declared.
        """
        column = self._column
        if not isinstance(values, np.ndarray):
            fail(column, "dtype", "numbers", "text")
        if column.stored_shape:
            rest = self._stored.shape
            fits = values.shape[1:] == rest and (self.is_by_sample or len(values) == self._stored.samples)
            if not fits:
                fail(column, "shape", [self._stored.samples, *rest], list(values.shape))
            values = values.reshape(len(values) if self.is_by_sample else self._lengths[0], *self._lengths[1:])
        arranged: np.ndarray = values
        if column.axes and values.ndim != len(column.axes):
            shape = f"an array of {len(column.axes)} axes"
            raise content_error(column, "shape", shape, list(values.shape), f"{column} is no {shape}")
        return arranged.transpose(column.axes) if column.axes else arranged


# What of a column the decoding of one sample depends on, out of bytes that are no longer in its file.
DECODED_BY = ("field", "dtype", "shape", "columns", "axes", "factor", "stored_columns", "stored_shape")


def sample_decoder(facts: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
    """Return what decodes one sample of a field that is cached encoded; may be called in several threads at once.

    Args:
        facts: The name of a `format`, its `options`, and what `DECODED_BY` names of a `column`, in plain values.

    Raises:
        MissingLibrary: The library is not installed by which the format is read.
    """
    form = formats.of(facts["format"])
    form.check_libraries()
    assert form.sample is not None, f"{form.name} does not decode a sample at a time"
    own: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in facts["column"].items()
    }
    column = Column(split="cached", samples=1, file=Path(), key="", **own)
    decode = form.sample(as_stored(column, form), facts["options"])
    arranged = Arranged(column, form) if column.axes or column.stored_shape else None

    def decoded(data: bytes) -> np.ndarray:
        values = decode(data)
        if column.is_ragged:
            block = RaggedBlock(values.reshape(-1), np.array([values.shape], np.int64))
            whole: np.ndarray = as_declared(column, 0, block).values
            return whole.reshape(values.shape)
        samples: np.ndarray = values[np.newaxis] if arranged is None else arranged.of(values[np.newaxis])
        sample: np.ndarray = as_declared(column, 0, samples)[0]
        return sample

    return decoded


def _with_axes(column: Column, values: np.ndarray) -> np.ndarray:
    stored = [length for length in values.shape[1:] if length != 1]
    declared = [length for length in column.sample_shape if length != 1]
    return values.reshape(len(values), *column.sample_shape) if stored == declared else values


def _scaled(column: Column, values: np.ndarray) -> np.ndarray:
    assert column.factor is not None
    known = values
    if values.dtype.kind == "f":  # as which text, or JSON, has its whole numbers been read
        known = values[~np.isnan(values)] if column.missing else values
        is_whole = bool(np.all(np.isfinite(known) & (known == np.floor(known))))
    else:
        is_whole = values.dtype.kind in "iu"
    if not is_whole:
        fail(column, "dtype", "whole numbers, to be scaled", str(values.dtype))
    with np.errstate(over="ignore"):
        scaled = (values * np.float64(column.factor)).astype(column.dtype)
    if np.isinf(scaled).any():
        largest = max(abs(int(known.min())), abs(int(known.max())))
        fail(column, "range", f"what {column.dtype} holds", f"{largest:,} times {column.factor:g}")
    return scaled


def _one_hot(column: Column, start: int, values: np.ndarray) -> np.ndarray:
    classes = column.classes or ()
    if values.shape[1:] != (len(classes),):
        fail(column, "shape", [len(classes)], list(values.shape[1:]))
    wrong = np.flatnonzero((np.count_nonzero(values, axis=1) != 1) | (values.max(axis=1) != 1))
    if wrong.size:
        at = int(wrong[0])
        shown = values[at].tolist()
        fail(column, "labels", "one 1 among zeros", f"{shown[:20]} at sample {start + at:,}")
    labels: np.ndarray = values.argmax(axis=1).astype(np.int64)
    return labels


def _numbered(column: Column, start: int, values: np.ndarray) -> np.ndarray:
    """Return numbers that are stored for classes as the positions of those."""
    if not column.values:
        return whole_numbers(column, start, values, "labels") if values.dtype.kind in "fb" else values
    if values.dtype.kind not in "iufb":
        return values
    if any(isinstance(value, str) for value in column.values):
        fail(column, "labels", "what `values` spell", "numbers, and not all of `values` are")
    # Compared as Python compares numbers, which is exact where a conversion of both to float64 is not.
    is_float = values.dtype.kind == "f"
    ids = {_rounded(value, values.dtype) if is_float else value: number for number, value in enumerate(column.values)}
    if len(ids) < len(column.values):
        fail(
            column, "labels", "different numbers", f"stored as {values.dtype}, in which two of `values` are one number"
        )
    unique, inverse = np.unique(values, return_inverse=True)
    labels = np.array([ids.get(value, -1) for value in unique.tolist()], np.int64)[inverse.reshape(-1)]
    _check_known(column, start, labels >= 0, values)
    return labels


def _rounded(value: Any, dtype: np.dtype) -> float:
    """Return a number as floats of that dtype have it: 0.1 is another as float32."""
    with np.errstate(over="ignore"):
        rounded: float = np.array(float(value)).astype(dtype).item()
    return rounded


def _named(column: Column, start: int, values: Sequence[str]) -> np.ndarray:
    """Return texts that are stored for classes as the positions of those."""
    ids = {name: number for number, name in enumerate(column.spelled or ())}
    labels = np.fromiter((ids.get(value, -1) for value in values), np.int64, len(values))
    _check_known(column, start, labels >= 0, values)
    return labels


def _check_known(column: Column, start: int, is_known: np.ndarray, values: Any) -> None:
    wrong = np.flatnonzero(~is_known)
    if wrong.size:
        at = int(wrong[0])
        shown = repr(str(values[at])) if isinstance(values[at], str) else f"{values[at]}"
        more = f", and {wrong.size - 1:,} more that are none" if wrong.size > 1 else ""
        wish = f"one of {_shown(column.spelled or ())}"
        fail(column, "labels", wish, f"{shown} at sample {start + at:,}{more}")


def _shown(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(map(spell, names[:most])) + (", ..." if len(names) > most else "")


def whole_numbers(column: Column, start: int, values: np.ndarray, what: Aspect) -> np.ndarray:
    """Return whole numbers that are stored as floats or bools as int64."""
    if values.dtype.kind == "f":
        wrong = np.flatnonzero(~(np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**53)))
        if wrong.size:
            at = int(wrong[0])
            fail(column, what, "whole numbers", f"{values[at]} at sample {start + at:,}")
    elif values.dtype.kind not in "iub":
        fail(column, "dtype", "whole numbers", str(values.dtype))
    elif values.dtype.kind == "u" and values.size and (largest := int(values.max())) > np.iinfo(np.int64).max:
        fail(column, what, "numbers that int64 holds", f"{largest}")
    return values.astype(np.int64)


def fail(column: Column, aspect: Aspect, expected: Any, actual: Any) -> NoReturn:
    """Raise the error for a column that is another than is declared."""
    raise content_error(column, aspect, expected, actual, f"{column} has {aspect} {actual}, declared is {expected}")


def content_error(column: Column, aspect: Aspect, expected: Any, actual: Any, reason: str) -> ContentError:
    """Return the error for a column that is another than is declared, with the reason."""
    return ContentError(column.file, reason, aspect=aspect, expected=expected, actual=actual, column=str(column))
