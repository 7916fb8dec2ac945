"""Channels of a field: which axis they are, their mean and deviation.

Color is a picture's channel, a column is a table's. Nothing in an array says which of its axes that is, so it is taken
from what is declared, or from sizes that leave no other reading; everything else is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.errors import UnknownName, UsageError, did_you_mean
from tinytorch_datasets.storage.memmap import Remapped, stat_signature, to_pickle
from tinytorch_datasets.storage.string_array import StringArray, Values

OF_PICTURES = (1, 3, 4)  # gray; red, green and blue; and how opaque a pixel is
MOST = 4  # no side of a picture is as short; so many channels are two axes mixed up
STRETCH = 1 << 20  # bytes that are read at once
ROUNDING = 64 * float(np.finfo(np.float64).eps)

Declared = Mapping[str, Any]


class Statistics(NamedTuple):
    """The mean and deviation of a field's values: numbers, or one for each channel.

    Of integers of a declared range 0 to n they are those of the values divided by n, as a float dtype has them. The
    deviation is that of all values, divided by their number and not by one less.
    """

    mean: Any
    deviation: Any


def sample_shape(values: Any) -> tuple[Any, ...]:
    """Return the shape of a sample, with None for each axis that differs; () of texts and scalars."""
    return () if isinstance(values, StringArray) else values.shape[1:]


def channel_axis(field: str, values: Values, declared: Declared) -> int | None:
    """Return the axis of a sample that has the channels; None if it has none, being a picture of two axes.

    Raises:
        UsageError: It is not certain which one.

    >>> channel_axis("images", np.zeros((5, 3, 32, 32)), {}), channel_axis("images", np.zeros((5, 28, 28)), {})
    (0, None)
    """
    shape = sample_shape(values)
    last = len(shape) - 1
    if declared.get("channels"):
        return 0 if declared["channels"] == "first" else last
    if declared.get("names"):  # of the columns, which are the last axis
        return last
    if len(shape) == 1:
        return None if shape[0] is None else 0
    if len(shape) == 2:
        short = [size is not None and size <= MOST for size in shape]
        if short[0] == short[1]:
            return None
    if len(shape) == 3 and (shape[0] in OF_PICTURES) != (shape[2] in OF_PICTURES):
        return 0 if shape[0] in OF_PICTURES else 2
    sizes = ", ".join("null" if size is None else str(size) for size in shape)
    msg = f"which axis of field {field!r} has the channels is not certain: its samples are [{sizes}]"
    hint = (
        "Declare `channels: first`, or last, of the field; or name the others: "
        '`channels={field: "first"}`, `normalize=train.statistics(field)`.'
    )
    raise UsageError(msg, hint=hint)


def has_channels(values: Values, declared: Declared) -> bool:
    """Check whether a field can have channels: its samples have a shape, and are no labels."""
    return bool(sample_shape(values)) and not declared.get("classes")


def statistics_of(field: str, values: Any, declared: Declared, scale: float | None) -> Statistics:
    """Return the mean and deviation of a field, by channel if it has channels; computed once in a process.

    Missing values, which are NaN, do not count.

    Raises:
        UsageError: Which axis has the channels is not certain, or a value is infinite or stands for a missing one.
    """
    axis = channel_axis(field, values, declared)
    if declared.get("missing_value") is not None:
        msg = f"field {field!r} has {declared['missing_value']} for missing values, which would count as a value"
        raise UsageError(msg, hint="Declare a float dtype for it, of which a missing value is NaN.")
    scale = scale if values.dtype.kind in "ui" else None
    mapped, places = values.origin if hasattr(values, "origin") else (to_pickle(values), b"")
    if not isinstance(mapped, Remapped):
        return _computed(field, values, axis, scale)
    key = (mapped, places, tuple(stat_signature(mapped.path)), axis, scale)
    if key not in _computed_before:
        _computed_before[key] = _computed(field, values, axis, scale)
    return _computed_before[key]


def all_statistics(
    fields: Mapping[str, Values], declared: Mapping[str, Declared], scales: Mapping[str, float], wanted: tuple[str, ...]
) -> dict[str, Statistics]:
    """Return the mean and deviation of the wanted fields, or of each that can have channels, as `statistics_of` one.

    Raises:
        UnknownName: No field that can have them is called so.
    """
    able = [field for field, values in fields.items() if has_channels(values, declared.get(field, {}))]
    for field in wanted:
        if field not in able:
            raise UnknownName(str(field), able, kind="field of pictures or features")
    return {
        field: statistics_of(field, fields[field], declared.get(field, {}), scales.get(field))
        for field in wanted or able
    }


# By the stretch of a file, and that file's stat signature: each `get` makes other objects of the same maps.
_computed_before: dict[Any, Statistics] = {}


@np.errstate(invalid="ignore", over="ignore")  # what comes of infinite values is refused at the end
def _computed(field: str, values: Any, axis: int | None, scale: float | None) -> Statistics:
    """Compute both in one pass, from the moments of stretches (T. F. Chan, G. H. Golub and R. J. LeVeque, 1983)."""
    count = mean = squares = np.zeros(1)
    for part in _stretches(values, axis):
        missing = np.isnan(part) if values.dtype.kind == "f" else np.zeros((1, 1), np.bool_)
        has_missing = bool(missing.any())
        its_count = np.full(len(part), part.shape[1]) - (missing.sum(axis=1) if has_missing else 0)
        if has_missing:
            part[missing] = 0
        its_mean = part.sum(axis=1) / np.maximum(its_count, 1)
        part -= its_mean[:, np.newaxis]
        if has_missing:
            part[missing] = 0
        its_squares = np.einsum("ij,ij->i", part, part)
        all_of = np.maximum(count + its_count, 1)
        apart = its_mean - mean
        squares = squares + its_squares + apart**2 * count * its_count / all_of
        mean = mean + apart * its_count / all_of
        count = count + its_count
    if not (np.isfinite(mean).all() and np.isfinite(squares).all()):
        msg = f"field {field!r} has infinite values, or such that their squares are, and so no mean and deviation"
        raise UsageError(msg)
    deviation = np.sqrt(squares / np.maximum(count, 1))
    deviation[deviation <= ROUNDING * np.abs(mean)] = 0  # of values that are all the same, but for how sums are rounded
    mean, deviation = mean / (scale or 1), deviation / (scale or 1)
    if axis is None:
        return Statistics(float(mean[0]), float(deviation[0]))
    for array in (mean, deviation):
        array.flags.writeable = False  # it is everyone's
    return Statistics(mean, deviation)


def _stretches(values: Any, axis: int | None) -> Iterator[np.ndarray]:
    """Yield the values stretch by stretch, fresh float64: (channels, values)."""
    if isinstance(values, np.ndarray) or (hasattr(values, "decoded") and None not in values.shape):
        step = max(1, STRETCH // max(1, math.prod(values.shape[1:]) * 8))
        starts = range(0, len(values), step)
        parts: Iterator[np.ndarray] = (np.asarray(values[start : start + step]) for start in starts)
    elif axis is None and hasattr(values, "flat"):
        flat = values.flat
        parts = (flat[start : start + STRETCH // 8] for start in range(0, len(flat), STRETCH // 8))
    elif axis is None:  # encoded ones that differ in shape: in the same stretches, for the last digit
        parts = _runs(values, STRETCH // 8)
    else:  # samples that differ in shape
        parts = (sample[np.newaxis] for sample in values)
    for part in parts:
        channels_first = part.reshape(1, -1) if axis is None else np.moveaxis(part, axis + 1, 0)
        yield channels_first.astype(np.float64, order="C").reshape(len(channels_first), -1)


def _runs(samples: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield all values of samples, flat, so many at a time."""
    held, count = list[np.ndarray](), 0
    for sample in samples:
        held.append(sample.reshape(-1))
        count += sample.size
        if count >= size:
            flat, whole = np.concatenate(held), count - count % size
            yield from (flat[start : start + size] for start in range(0, whole, size))
            held, count = [flat[whole:]], count - whole
    yield from (run for run in [np.concatenate(held)] if count)


def given_statistics(
    given: Any, fields: Mapping[str, Values], declared: Mapping[str, Declared]
) -> dict[str, Statistics]:
    """Return the mean and deviation that somebody gives for some fields: ``{"images": (0.1307, 0.3081)}``.

    Raises:
        UnknownName: No field has that name.
        UsageError: They are no numbers, a deviation is negative, or there are not as many as channels.
    """
    if not isinstance(given, Mapping):
        guess = did_you_mean(given, ["standard"]) if isinstance(given, str) else ""
        msg = f'normalize is "standard", a split, or {{field: (mean, deviation)}}, not {given!r}{guess}'
        raise UsageError(msg)
    able = [field for field, values in fields.items() if has_channels(values, declared.get(field, {}))]
    for field in given:
        if field in fields and field not in able:
            msg = f"field {field!r} is not normalized: its samples are no pictures and no features"
            raise UsageError(msg)
        if field not in fields:
            raise UnknownName(str(field), able, kind="field")
    return {field: _checked(field, both, fields[field], declared.get(field, {})) for field, both in given.items()}


def _checked(field: str, both: Any, values: Values, declared: Declared) -> Statistics:
    try:
        mean, deviation = (np.asarray(one, np.float64) for one in both)
        fits = mean.ndim < 2 and deviation.ndim < 2 and np.isfinite(mean).all() and np.isfinite(deviation).all()
    except (TypeError, ValueError):
        fits = False
    if not fits or (deviation < 0).any():
        msg = f"field {field!r} is normalized by (mean, deviation), numbers or one for each channel, not by {both!r}"
        raise UsageError(msg)
    if mean.ndim == deviation.ndim == 0:
        return Statistics(float(mean), float(deviation))
    axis = channel_axis(field, values, declared)
    channels = 1 if axis is None else sample_shape(values)[axis]
    if {mean.size, deviation.size} - {1, channels}:
        msg = f"field {field!r} has {channels} channels, and means and deviations of {max(mean.size, deviation.size)}"
        raise UsageError(msg)
    if axis is None:
        return Statistics(mean.item(), deviation.item())
    return Statistics(*(np.broadcast_to(one, channels) for one in (mean, deviation)))
