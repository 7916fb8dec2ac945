"""Conversion of a field: its dtype, channel axis, normalization, one-hot labels.

What is asked for is checked before a value is touched, and done on the way from the memory map into the batch: a
stretch of samples is gathered and converted while it is in the processor's cache.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytorch_datasets.batches.channels import Field, Statistics, channel_axis, has_channels, sample_shape
from tinytorch_datasets.errors import UnknownName, UsageError, check_choice, did_you_mean
from tinytorch_datasets.storage.string_array import StringArray, Values

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from numpy.typing import DTypeLike

    from tinytorch_datasets.split import Split

    Channels: TypeAlias = Literal["first", "last"] | Mapping[str, Literal["first", "last"]]
    Normalization: TypeAlias = Literal["standard"] | Split | Mapping[str, tuple[Any, Any]]

STRETCH = 1 << 19  # bytes that are gathered and converted at once, which the cache of a processor holds
SMALL = 1 << 14  # numbers of a sample, which its means are repeated to
LARGE = 1 << 10  # deviations; by what a larger mean is rounded in float32, values would be shifted


class Conversion(NamedTuple):
    """What is done to the values of one field.

    Attributes:
        dtype: Their dtype; None keeps it.
        scale: What integers are divided by where they become floats.
        channels: Where the axis of channels is to be, "first" or "last"; None leaves it where it is.
        statistics: What is subtracted, and then divided by.
        axis: The axis of a sample that has the channels; None if none has.
        classes: How many numbers a one-hot label has; 0 leaves labels as they are.
    """

    dtype: np.dtype[Any] | None = None
    scale: float | None = None
    channels: str | None = None
    statistics: Statistics | None = None
    axis: int | None = None
    classes: int = 0

    def __call__(self, values: Values, index: Any = None) -> Any:
        """Return the values, or those of the samples at `index`, converted; what nothing is done to, as it is.

        Raises:
            ValueError: The dtype cannot hold the values, or a label is of no class.
        """
        if (self.dtype is None and self.channels is None) or isinstance(values, StringArray):
            return taken(values, index)
        if self.classes:
            return one_hot(taken(values, index), self.classes, self.dtype)
        if not isinstance(values, np.ndarray):
            values, index = taken(values, index), None
            if not isinstance(values, np.ndarray):
                return self._of_each(values)
        if self.dtype is not None or (isinstance(index, np.ndarray) and self._moves(values)):
            return self._converted(values, index, self.dtype or values.dtype)
        return self._arranged(taken(values, index))

    def _of_each(self, values: Any) -> Any:
        """Convert samples that differ in shape: all values at once, unless their axes count.

        What is kept encoded is converted when it is decoded.
        """
        if hasattr(values, "decoded"):
            return values.converted(self)
        from tinytorch_datasets.storage.ragged_array import RaggedArray  # which few data sets have

        if not self.channels and self.axis is None:
            return values.converted(lambda flat: self(flat.reshape(1, -1))[0])
        samples = [self(sample[np.newaxis])[0] for sample in values]
        shape = list(values.shape[1:])
        if self.channels:
            at = 0 if self.channels == "first" else len(shape)
            size = 1 if self.axis is None else shape.pop(self.axis)
            shape.insert(min(at, len(shape)), size)
        arranged = RaggedArray.of(samples, dtype=self.dtype or values.dtype, sample_shape=tuple(shape))
        arranged.rate = values.rate
        return arranged

    def _arranged(self, values: np.ndarray) -> np.ndarray:
        """Return a view with the channels where they are to be."""
        if self.channels is None:
            return values
        if self.axis is None:
            return np.expand_dims(values, 1 if self.channels == "first" else -1)
        return np.moveaxis(values, self.axis + 1, 1 if self.channels == "first" else -1)

    def _moves(self, values: np.ndarray) -> bool:
        """Check whether values change their order in memory."""
        wanted = {"first": 0, "last": values.ndim - 2}.get(self.channels or "", self.axis)
        return self.axis is not None and self.axis != wanted

    def _as_stored(self, arranged: np.ndarray) -> np.ndarray:
        """Return a view of arranged values with the axes that are stored."""
        if self.channels is None:
            return arranged
        if self.axis is None:
            return arranged[:, 0] if self.channels == "first" else arranged[..., 0]
        return np.moveaxis(arranged, 1 if self.channels == "first" else -1, self.axis + 1)

    def _converted(self, values: np.ndarray, index: Any, wanted: np.dtype[Any]) -> np.ndarray:
        """Return the values in another dtype, fresh, stretch by stretch.

        Raises:
            ValueError: The dtype cannot hold them.
        """
        gathered = isinstance(index, np.ndarray)
        values = np.asarray(values)
        source = values if gathered else taken(values, index)
        if not gathered:
            _refuse_loss(source, wanted)
        count = len(index) if gathered else len(source)
        whole = np.empty((count, *self._arranged(values[:0]).shape[1:]), wanted)
        out = self._as_stored(whole)
        step = max(1, STRETCH // max(1, values.itemsize * values[:1].size))
        try:
            with np.errstate(over="raise"):
                for start in range(0, count, step):
                    places = slice(start, start + step)
                    part = values.take(index[places], axis=0) if gathered else source[places]
                    if gathered:
                        _refuse_loss(part, wanted)
                    self._convert_into(part, out[places])
        except FloatingPointError:
            msg = f"{wanted} holds numbers up to {np.finfo(wanted).max:g}, and there are larger ones"
            raise ValueError(msg) from None
        return whole

    def _convert_into(self, values: np.ndarray, out: np.ndarray) -> None:
        for stored, converted, statistics in self._by_channel(values, out):
            if statistics is None:
                _divide_or_cast(stored, converted, self.scale)
            else:
                _normalize(stored, converted, self.scale, statistics)

    def _by_channel(self, values: np.ndarray, out: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
        """Yield what is converted at once, and by which statistics: where the axis of channels moves, each by itself.

        NumPy loops along the last axis: of three numbers, where colors are last, which is ten times slower.
        """
        axis, statistics = self.axis, self.statistics
        channels = 0 if axis is None else values.shape[axis + 1]
        moves = self._moves(values)
        by_channel = statistics is not None and bool(np.ndim(statistics.mean))
        is_small = values.ndim == 2 or values[:1].size <= SMALL
        if axis is None or not (moves or (by_channel and not is_small)):
            if statistics is not None and axis is not None and by_channel:
                behind = (1,) * (values.ndim - 2 - axis)
                statistics = Statistics(*(one.reshape(-1, *behind) for one in statistics))
                if not behind:  # as long as a sample
                    statistics = Statistics(*(np.broadcast_to(one, values.shape[1:]).copy() for one in statistics))
            yield values, out, statistics
            return
        for channel in range(channels):
            one = (slice(None),) * (axis + 1) + (channel,)
            its = Statistics(*(part[channel] for part in statistics)) if statistics and by_channel else statistics
            yield values[one], out[one], its


def conversions_of(
    fields: Mapping[str, Field],
    *,
    dtype: DTypeLike | None,
    channels: str | Mapping[str, str] | None,
    statistics: Mapping[str, Statistics] | None,
    one_hot: str | Sequence[str] | None,
) -> list[Conversion]:
    """Return what is done to each field, in their order, all of it refused here that cannot be.

    Raises:
        TypeError: `dtype` is none of numbers.
        UsageError: Another argument is none that there is, or does not fit the fields or another argument.
    """
    wanted = number_dtype(dtype)
    to = _channels_wanted(channels, [name for name, field in fields.items() if _can_move(field)])
    if to == {} or statistics == {}:
        msg = f"no field has pictures, whose channels could be {channels}: {', '.join(fields)}"
        if statistics == {}:
            msg = f"no field has pictures or features that could be normalized: {', '.join(fields)}"
        raise UsageError(msg)
    if statistics is not None and wanted is not None and wanted.kind != "f":
        msg = f"what is normalized is fractions, which dtype {wanted.name} does not hold; leave it out, or use a float"
        raise UsageError(msg)
    classes = _one_hot_fields(one_hot, fields)
    made = []
    for name, field in fields.items():
        if name in classes:
            made.append(Conversion(wanted or np.dtype(np.float32), classes=len(field.declared["classes"])))
        elif not has_channels(field):
            made.append(Conversion())
        else:
            its, its_channels = (statistics or {}).get(name), (to or {}).get(name)
            axis = channel_axis(name, field) if its_channels or (its and np.ndim(its.mean)) else None
            default = None if its is None else np.dtype(np.float64 if field.values.dtype == np.float64 else np.float32)
            made.append(Conversion(wanted or default, field.scale, its_channels, its, axis))
    return made


def _channels_wanted(given: Any, able: Sequence[str]) -> dict[str, str] | None:
    """Return where the channels of which field are to be, of those that can have some; None if nothing is asked."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        check_choice(given, "channels", ("first", "last"))
        return dict.fromkeys(able, given)
    for field, where in given.items():
        check_choice(where, "channels", ("first", "last"))
        if field not in able:
            raise UnknownName(str(field), able, kind="field of pictures")
    return dict(given)


def _can_move(field: Field) -> bool:
    return has_channels(field) and len(sample_shape(field.values)) > 1


def _one_hot_fields(given: Any, fields: Mapping[str, Field]) -> tuple[str, ...]:
    """Return the fields that are to be one-hot.

    Raises:
        UnknownName: There is no such field.
        UsageError: One has no classes, or its labels are not numbers, and as many in each sample.
    """
    having = [name for name, field in fields.items() if field.declared.get("classes")]
    names = () if given is None else (given,) if isinstance(given, str) else given
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        example = f": one_hot={having[0]!r}" if having else ""
        msg = f"one_hot is the name of a field with classes, or several{example}; not {given!r}"
        raise UsageError(msg)
    for name in names:
        if name in fields and name not in having:
            msg = f"field {name!r} has no declared classes, by which it could be one-hot"
            raise UsageError(msg)
        if name not in having:
            raise UnknownName(name, having, kind="field with classes")
        labels = fields[name].values
        if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "bui":
            msg = f"one-hot labels are made of whole numbers, as many in each sample, which field {name!r} has not"
            raise UsageError(msg)
    return tuple(names)


def one_hot(labels: np.ndarray, classes: int, dtype: np.dtype[Any] | None) -> np.ndarray:
    """Return labels as rows of as many numbers as there are classes: 1 at the label, else 0.

    Raises:
        ValueError: A label is of no class.

    >>> one_hot(np.array([2, 0]), 3, np.dtype(np.int8)).tolist()
    [[0, 0, 1], [1, 0, 0]]
    """
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        msg = f"labels of {classes} classes are 0 to {classes - 1}, and there are {labels.min()} to {labels.max()}"
        raise ValueError(msg)
    rows = np.zeros((labels.size, classes), dtype)
    rows[np.arange(labels.size), labels.reshape(-1).astype(np.intp)] = 1  # truths would be taken for a mask
    return rows.reshape(*labels.shape, classes)


def taken(values: Values, index: Any = None) -> Any:
    """Return the samples at those places, gathered if they are numbers of samples, a view if they are a slice."""
    if index is None:
        return values
    if isinstance(index, np.ndarray) and isinstance(values, np.ndarray):
        return np.asarray(values).take(index, axis=0)  # of a memmap it would make a memmap, which costs more
    return values[index]


def flattened(values: Any) -> Any:
    """Return values with each sample as a row of numbers; strings and single numbers as they are.

    Raises:
        ValueError: The samples differ in shape, so that their rows would differ in length.

    >>> flattened(np.zeros((5, 2, 3))).shape
    (5, 6)
    """
    if isinstance(values, np.ndarray):
        return values if values.ndim < 3 else values.reshape(len(values), math.prod(values.shape[1:]))
    if isinstance(values, StringArray):
        return values
    msg = "samples that differ in shape are no rows of equally many numbers: make one array of them by padded()"
    raise ValueError(msg)


def number_dtype(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    """Return a dtype of numbers, refused when it is given and not when a value is to be converted; None stays None.

    Raises:
        TypeError: It is no dtype, or none of numbers.

    >>> number_dtype("flaot32")
    Traceback (most recent call last):
    TypeError: dtype is one of numbers, such as "float32", not 'flaot32'; did you mean 'float32'?
    """
    if dtype is None:
        return None
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = None
    if wanted is not None and wanted.kind in "biufc":
        return wanted
    guess = did_you_mean(str(dtype), [np.dtype(code).name for code in np.typecodes["AllInteger"] + "efd?"])
    msg = f'dtype is one of numbers, such as "float32", not {dtype!r}{guess}'
    raise TypeError(msg) from None


def _divide_or_cast(values: np.ndarray, out: np.ndarray, scale: float | None) -> None:
    """Convert values into an array of another dtype; integers into 0 to 1 by a float dtype if they have a scale."""
    if scale and out.dtype.kind == "f" and values.dtype.kind in "ui":
        if scale > 2 ** (np.finfo(out.dtype).nmant + 1):  # floats of that size leave integers out, or are infinite
            out[...] = np.divide(values, scale, dtype=np.float64)
        else:
            # One pass: the ufunc casts as it divides, where astype first would write the floats twice.
            np.divide(values, np.asarray(scale, out.dtype), out=out, dtype=out.dtype.type)  # whatever its byte order
    else:
        np.copyto(out, values, casting="unsafe")


def _normalize(values: np.ndarray, out: np.ndarray, scale: float | None, statistics: Statistics) -> None:
    """Subtract the mean and divide by the deviation; by 1 where it is 0, for values that are all the same."""
    scale = scale if scale and values.dtype.kind in "ui" else 1
    mean, deviation = (np.asarray(one, np.float64) * scale for one in statistics)
    # Not in fewer digits than the values have, of which the mean may take most: what it is rounded by shifts them all.
    is_large = bool(((deviation > 0) & (np.abs(mean) > LARGE * deviation)).any())
    work = np.result_type(values.dtype, out.dtype, np.float64 if is_large else np.float32)
    factor = 1 / np.where(deviation > 0, deviation, 1)
    target = out if work == out.dtype else np.empty(values.shape, work)
    if values.dtype != work:  # a ufunc that casts goes through a small buffer, which takes twice as long as a copy
        np.copyto(target, values, casting="unsafe")
        values = target
    np.subtract(values, mean.astype(work), out=target)
    np.multiply(target, factor.astype(work), out=target)
    if target is not out:
        np.copyto(out, target, casting="unsafe")


def _refuse_loss(values: np.ndarray, wanted: np.dtype[Any]) -> None:
    """Refuse values that a dtype of whole numbers or truths would wrap, or cut the fractions of.

    Raises:
        ValueError: There are such values, or ones with an imaginary part that the dtype has not.
    """
    if values.dtype.kind == "c" and wanted.kind != "c":
        msg = f"{values.dtype} has an imaginary part, which {wanted} does not hold"
        raise ValueError(msg)
    if wanted.kind not in "biu" or not values.size or np.can_cast(values.dtype, wanted):
        return
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        msg = f"{wanted} holds neither infinity nor NaN, and there are such values"
        raise ValueError(msg)
    least, most = (0, 1) if wanted.kind == "b" else (np.iinfo(wanted).min, np.iinfo(wanted).max)
    if not least <= int(low) <= int(high) <= most:
        msg = f"{wanted} holds {least:,} to {most:,}; there are values of {int(low):,} to {int(high):,}"
        raise ValueError(msg)
    if values.dtype.kind == "f" and (fractions := values[values != np.trunc(values)]).size:
        msg = f"{wanted} holds whole numbers, and there are fractions, such as {fractions[0]:g}"
        raise ValueError(msg)


# Up to so many bytes a batch, a worker of a DataLoader sends arrays in half of the time that its tensors take, each of
# which is a file of shared memory.
SMALL_BATCH = 1 << 19


def arrays_of_worker(batch: Sequence[Any]) -> tuple[np.ndarray, ...] | None:
    """Return the tensors of a small batch as arrays, if this is a worker of a DataLoader; None of anything else."""
    torch, loader = (sys.modules.get(name) for name in ("torch", "torch.utils.data"))
    if torch is None or loader is None or loader.get_worker_info() is None:
        return None
    for value in batch:
        if type(value) is not torch.Tensor or value.device.type != "cpu" or value.layout is not torch.strided:
            return None
        if value.is_shared() or value.requires_grad:
            return None
    if sum(value.nbytes for value in batch) > SMALL_BATCH:
        return None
    try:
        return tuple(value.numpy() for value in batch)
    except (TypeError, RuntimeError):  # no array has its dtype, or its layout
        return None
