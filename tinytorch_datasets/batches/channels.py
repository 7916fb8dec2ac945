"""Channels of a field: which axis they are, their mean and deviation.

Color is a picture's channel, a column is a table's. Nothing in an array says which of its axes that is, so it is taken
from what is declared, or from sizes that leave no other reading; everything else is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.errors import UnknownName, UsageError, did_you_mean
from tinytorch_datasets.storage.memmap import Remapped, stat_signature, to_pickle
from tinytorch_datasets.storage.string_array import StringArray

OF_PICTURES = (1, 3, 4)  # gray; red, green and blue; and how opaque a pixel is
MOST = 4  # no side of a picture is as short; so many channels are two axes mixed up
STRETCH = 1 << 20  # bytes that are read at once
ROUNDING = 64 * float(np.finfo(np.float64).eps)


class Field(NamedTuple):
    """A field of a split.

    Attributes:
        values: Its values.
        declared: What the manifest has of it, in plain values.
        scale: The top of its range, which integers are divided by where they become floats; None if there is none.
    """

    values: Any
    declared: Mapping[str, Any] = {}
    scale: float | None = None


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


def channel_axis(name: str, field: Field) -> int | None:
    """Return the axis of a sample that has the channels; None if it has none, being a picture of two axes.

    Raises:
        UsageError: It is not certain which one.

    >>> channel_axis("x", Field(np.zeros((5, 3, 32, 32)))), channel_axis("x", Field(np.zeros((5, 28, 28))))
    (0, None)
    """
    shape = sample_shape(field.values)
    last = len(shape) - 1
    if field.declared.get("channels"):
        return 0 if field.declared["channels"] == "first" else last
    if field.declared.get("names"):  # of the columns, which are the last axis
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
    msg = f"which axis of field {name!r} has the channels is not certain: its samples are [{sizes}]"
    hint = (
        "Declare `channels: first`, or last, of the field; or name the others: "
        '`channels={field: "first"}`, `normalize=train.statistics(field)`.'
    )
    raise UsageError(msg, hint=hint)


def has_channels(field: Field) -> bool:
    """Check whether a field can have channels: its samples have a shape, and are no labels."""
    return bool(sample_shape(field.values)) and not field.declared.get("classes")


def statistics_of(name: str, field: Field) -> Statistics:
    """Return the mean and deviation of a field, by channel if it has channels; computed once in a process.

    Missing values, which are NaN, do not count.

    Raises:
        UsageError: Which axis has the channels is not certain; a value is infinite or stands for a missing one; or a
            channel has no value.
    """
    axis = channel_axis(name, field)
    _refuse_missing_value(name, field)
    scale = field.scale if field.values.dtype.kind in "ui" else None
    mapped, places = origin_of(field.values)
    if not isinstance(mapped, Remapped):
        return _computed(name, field.values, axis, scale)
    key = (mapped, places, tuple(stat_signature(mapped.path)), axis, scale)
    if key not in _computed_before:
        _computed_before[key] = _computed(name, field.values, axis, scale)
    return _computed_before[key]


def _refuse_missing_value(name: str, field: Field) -> None:
    mark = field.declared.get("missing_value")
    if mark is not None:
        msg = f"field {name!r} has {mark} for missing values, which would count as a value"
        raise UsageError(msg, hint="Declare a float dtype for it, of which a missing value is NaN.")


def origin_of(values: Any) -> tuple[Any, bytes]:
    """Return where values are mapped from, or they themselves, and which of those that are there they are."""
    return values.origin if hasattr(values, "origin") else (to_pickle(values), b"")


def origins_of(fields: Mapping[str, Any]) -> list[tuple[Any, bytes]] | None:
    """Return where the fields that have a shape are mapped from; None if one is in memory.

    Splits of two calls of `get` are two objects, and have the same origins.
    """
    origins = [origin_of(values) for values in fields.values() if sample_shape(values)]
    return origins if all(isinstance(mapped, Remapped) for mapped, _ in origins) else None


def all_statistics(fields: Mapping[str, Field], wanted: Sequence[str]) -> dict[str, Statistics]:
    """Return the mean and deviation of the wanted fields, or of each that can have channels, as `statistics_of` one.

    Raises:
        UnknownName: No field that can have them is called so.
    """
    able = [name for name, field in fields.items() if has_channels(field)]
    for name in wanted:
        if name not in able:
            raise UnknownName(str(name), able, kind="field of pictures or features")
    return {name: statistics_of(name, fields[name]) for name in wanted or able}


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
    if not count.all():
        which = f"channel {int(np.argmin(count))} of field {field!r}" if len(count) > 1 else f"field {field!r}"
        msg = f"{which} has no values, or missing ones alone, and so no mean and deviation"
        raise UsageError(msg)
    deviation = np.sqrt(squares / count)
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


def statistics_by(own: Mapping[str, Field], other: Mapping[str, Field], theirs: Mapping[str, Statistics]) -> Any:
    """Return what fields are normalized by: the mean and deviation of another split's, of those that both have.

    Raises:
        UsageError: The columns of a field have other names there, or its integers a range in one of both alone.
    """
    for name in own.keys() & theirs.keys():
        field, its = own[name], other[name]
        are_integers = field.values.dtype.kind in "ui" and its.values.dtype.kind in "ui"
        differing = "names" if field.declared.get("names") != its.declared.get("names") else ""
        if are_integers and bool(field.scale) != bool(its.scale):
            differing = "range"
        if differing:
            msg = f"{differing} of field {name!r} differ between two splits, so one is not normalized by the other"
            raise UsageError(msg)
    return {name: theirs[name] for name in own if name in theirs}


def given_statistics(given: Any, fields: Mapping[str, Field]) -> dict[str, Statistics]:
    """Return the mean and deviation that somebody gives for some fields: ``{"images": (0.1307, 0.3081)}``.

    Raises:
        UnknownName: No field has that name.
        UsageError: They are no numbers, a deviation is negative, or there are not as many as channels.
    """
    if not isinstance(given, Mapping):
        guess = did_you_mean(given, ["standard"]) if isinstance(given, str) else ""
        msg = f'normalize is "standard", a split, or {{field: (mean, deviation)}}, not {given!r}{guess}'
        raise UsageError(msg)
    able = [name for name, field in fields.items() if has_channels(field)]
    for name in given:
        if name in fields and name not in able:
            msg = f"field {name!r} is not normalized: its samples are no pictures and no features"
            raise UsageError(msg)
        if name not in fields:
            raise UnknownName(str(name), able, kind="field")
    return {name: _checked(name, both, fields[name]) for name, both in given.items()}


def _checked(name: str, both: Any, field: Field) -> Statistics:
    _refuse_missing_value(name, field)
    try:
        mean, deviation = (np.asarray(one, np.float64) for one in both)
        fits = mean.ndim < 2 and deviation.ndim < 2 and np.isfinite(mean).all() and np.isfinite(deviation).all()
    except (TypeError, ValueError):
        fits = False
    if not fits or (deviation < 0).any():
        msg = f"field {name!r} is normalized by (mean, deviation), numbers or one for each channel, not by {both!r}"
        raise UsageError(msg)
    if mean.ndim == deviation.ndim == 0:
        return Statistics(float(mean), float(deviation))
    axis = channel_axis(name, field)
    channels = 1 if axis is None else sample_shape(field.values)[axis]
    if {mean.size, deviation.size} - {1, channels}:
        msg = f"field {name!r} has {channels} channels, and means and deviations of {max(mean.size, deviation.size)}"
        raise UsageError(msg)
    if axis is None:
        return Statistics(mean.item(), deviation.item())
    return Statistics(*(np.broadcast_to(one, channels) for one in (mean, deviation)))
