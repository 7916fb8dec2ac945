"""Stand-in data: values made up from a declaration alone.

For lessons that are prepared, and programs that are tested, without the files.

They have the declared names, dtypes, shapes, counts, classes and ranges, and nothing of what is in the files. One field
of single values, mostly the labels, decides what a sample is like: each class has a pattern of its own under noise, so
that a model learns. Everything is drawn with the data set's name as the seed, so that it is the same on every machine.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from tinytorch_datasets import pipeline
from tinytorch_datasets.dataset import Dataset
from tinytorch_datasets.errors import StandInWarning, UsageError
from tinytorch_datasets.pipeline.shards import part_of
from tinytorch_datasets.plan import Column, Declared, Plan, RaggedBlock, Split
from tinytorch_datasets.progress import readable
from tinytorch_datasets.settings import STANDIN, Settings
from tinytorch_datasets.storage.ragged_array import RaggedArray
from tinytorch_datasets.storage.string_array import StringArray, Values

NOTE = "stand-in data"
# They are made in memory, and no file is written; so what is too large for that is refused.
MOST_BYTES = 2**30
AT_ONCE = 2**20  # values made in one go

STEPS = 16  # of a target that is a number: samples of one step are alike
LENGTHS = (8, 32)  # of an axis whose length is not declared
SOUND = 8  # in place of that, a recording is from one to two such parts of a second long
SIGNAL = 0.7  # of a value; the rest is noise
PATTERN = 1024  # numbers of a pattern, which is repeated where a sample has more
MISSING = 20  # one value in so many, where a field declares what a missing one is
WITHIN = 2**53  # from the lowest value on: whole numbers that are exact in float64

LINES = (200, 5000)  # of a text of a whole split
SENTENCES = 2048  # that texts are chosen from
WORDS = (
    "the a one this every some no old new small large young early late red green blue dark bright cold warm quiet "
    "bird river house garden table letter window mountain child teacher morning evening winter summer road city boat "
    "apple bread music question answer number picture story door tree stone cloud rain horse paper lamp market island "
    "finds brings opens leaves carries follows hears keeps paints sees sends shows tells writes crosses builds"
)


class _Driver(NamedTuple):
    """What decides what each sample is like: `column` of the labels or of a target, if there is one.

    `group` is which of `groups` each sample is of, (samples,); `is_ordered` is whether they are steps of a number.
    """

    column: Column | None
    groups: int
    group: np.ndarray
    is_ordered: bool


def refuse_standin(task: str) -> None:
    """Refuse a task that is of real data alone, while a variable asks for stand-in data.

    Raises:
        UsageError: It does.
    """
    if Settings.from_environment().standin:
        what = f"{task} is of real data, and {STANDIN} asks for stand-in data"
        raise UsageError(what, hint=f"Unset {STANDIN}.")


def open_stand_in(
    declared: Declared, open_entry: Callable[..., Dataset], *, rank: tuple[int, int] | None, variant: str | None
) -> Dataset:
    """Return a data set of made-up values, which nobody can take for the real one without having been warned."""
    if variant is not None:  # its values are the same; a wrong name is one all the same
        pipeline.named_variant(declared.plan, variant)
    plan = declared.plan if rank is None else part_of(declared.plan, rank)
    arrays = stand_in(plan)
    entry = pipeline.make_cache_entry(declared, plan, None, {})
    what = f"{entry.name} is stand-in data, made up from its declaration"
    msg = f"{what}: nothing measured on it says anything of the real"
    warnings.warn(msg, StandInWarning, stacklevel=3)
    return open_entry(entry, arrays, note=NOTE)


def stand_in(plan: Plan) -> dict[str, Values | str]:
    """Return made-up values of every column of a plan, by column (``train.images``), read-only as memory maps are.

    Raises:
        UsageError: They would take more memory than is given to them.
    """
    # Beside the values, two numbers for each sample say what it is like.
    size = sum(_size(plan, column) for column in plan.columns) + 16 * max(split.samples for split in plan.splits)
    if size > MOST_BYTES:
        what = (
            f"stand-in data of {plan.name!r} would take {readable(size)} of memory, and may take {readable(MOST_BYTES)}"
        )
        hint = "Declare fewer `samples` in a manifest of your own, or get the real data."
        raise UsageError(what, hint=hint)
    values: dict[str, Values | str] = {}
    for split in plan.splits:
        driver = _driver(plan, split)
        for column in split.columns.values():
            values[str(column)] = _values(plan, column, driver)
    return values


def _lengths(plan: Plan, column: Column) -> list[tuple[int, int]]:
    """Return how long each axis of a sample is, from the least to the most."""
    rate = plan.frame_rate(column)
    first = LENGTHS if rate is None else (rate // SOUND, 2 * rate // SOUND)
    undeclared = [first, *[LENGTHS] * len(column.shape)]
    return [(length, length) if length is not None else undeclared[axis] for axis, length in enumerate(column.shape)]


def _longest(plan: Plan, column: Column) -> int:
    """Return how many values a sample of a column has at most."""
    return math.prod(most for _, most in _lengths(plan, column))


def _size(plan: Plan, column: Column) -> int:
    """Return how many bytes the values of a column take, at most."""
    if column.is_text:
        return column.count * 16  # the place of each in a few sentences
    places = 8 * (1 + len(column.shape)) * column.is_ragged
    return column.count * (_longest(plan, column) * np.dtype(column.dtype).itemsize + places)


def _random(plan: Plan, *names: object) -> np.random.RandomState:
    # RandomState's streams are frozen (NEP 19), so the values are the same with every version of NumPy.
    return np.random.RandomState(zlib.crc32(".".join(map(str, (plan.name, *names))).encode()))


def _driver(plan: Plan, split: Split) -> _Driver:
    """Return the driver of a split: its field of single values with the most classes, else the last with numbers."""
    single = [c for c in split.columns.values() if not c.shape and not c.is_text and c.per == "sample"]
    classed = [column for column in single if column.classes]
    if not single:
        return _Driver(None, 1, np.zeros(split.samples, np.intp), False)
    column = max(classed, key=lambda column: len(column.classes or ())) if classed else single[-1]
    groups = len(column.classes or ()) or STEPS
    # As many of each as can be, and of some classes one more.
    group = _random(plan, split.name, column.field).permutation(split.samples) % groups
    return _Driver(column, groups, group, not classed)


def _values(plan: Plan, column: Column, driver: _Driver) -> Values | str:
    if column.is_text:
        sentences = _sentences(plan, column, driver.groups)
        each = len(sentences) // driver.groups
        random = _random(plan, column)
        if column.per == "split":
            lines = min(max(column.samples, LINES[0]), LINES[1])
            return "".join(f"{sentences[place]}\n" for place in random.randint(0, len(sentences), lines).tolist())
        return sentences[driver.group * each + random.randint(0, each, column.count)]
    if column.is_ragged:
        blocks = list(_ragged(plan, column, driver))
        return RaggedArray.joined(blocks, column.shape)
    values = np.empty((column.count, *column.sample_shape), column.dtype)
    random, patterns = _random(plan, column), _patterns(plan, column, driver)
    rows = max(1, AT_ONCE // max(1, values[:1].size))
    for start in range(0, len(values), rows):
        block = values[start : start + rows]
        block[...] = _block(column, driver, patterns, driver.group[start : start + rows], random).reshape(block.shape)
    values.flags.writeable = False
    return values


def _ragged(plan: Plan, column: Column, driver: _Driver) -> Iterator[RaggedBlock]:
    random, patterns = _random(plan, column), _patterns(plan, column, driver)
    lengths = _lengths(plan, column)
    rows = max(1, AT_ONCE // max(1, _longest(plan, column)))
    for start in range(0, column.count, rows):
        group = driver.group[start : start + rows]
        sizes = [random.randint(least, most + 1, len(group)) for least, most in lengths]
        shapes = np.stack(sizes, axis=1).astype(np.int64)
        values = _block(column, driver, patterns, np.repeat(group, shapes.prod(axis=1)), random)
        yield RaggedBlock(values.reshape(-1), shapes)


def _patterns(plan: Plan, column: Column, driver: _Driver) -> np.ndarray:
    """Return what the samples of each group have in common: (groups, numbers), from 0 to 1.

    The first number differs evenly from group to group, and is the only one of samples of several shapes.
    """
    size = 1 if column.is_ragged else math.prod(column.sample_shape)
    length = max(1, min(size, PATTERN, AT_ONCE // driver.groups))
    random = _random(plan, column.field, "patterns")
    evenly = (np.arange(driver.groups) + 0.5) / driver.groups
    if driver.is_ordered:
        first, last = random.random_sample((2, length))
        patterns = first + (last - first) * evenly[:, None]
    else:
        patterns = random.random_sample((driver.groups, length))
    patterns[:, 0] = evenly
    if size * driver.groups <= AT_ONCE:
        patterns = patterns[:, np.arange(size) % length]
    return np.asarray(patterns, np.float32)


def _block(
    column: Column, driver: _Driver, patterns: np.ndarray, group: np.ndarray, random: np.random.RandomState
) -> np.ndarray:
    """Return values of samples of these groups, (samples, numbers), in the column's dtype."""
    size = 1 if column.is_ragged else math.prod(column.sample_shape)
    noise = np.frombuffer(random.bytes(len(group) * size), np.uint8).reshape(len(group), size)
    if column.classes:
        # The driver's own labels; any others follow from those, as the kinds of animals do from the animals.
        return np.asarray(group * len(column.classes) // driver.groups).astype(column.dtype)
    if column is driver.column:
        unit = ((group + (noise[:, 0] + 0.5) / 256) / driver.groups)[:, None]
    else:
        unit = patterns[group]
        if unit.shape[1] != size:
            unit = np.take(unit, np.arange(size) % unit.shape[1], axis=1)
        unit *= SIGNAL
        unit += (noise + np.float32(0.5)) * np.float32((1 - SIGNAL) / 256)
    values = _scaled(column, unit)
    if column.missing:
        absent = random.randint(0, MISSING, values.shape) == 0
        values[absent] = np.nan if values.dtype.kind == "f" else column.missing_value
    return values


def _scaled(column: Column, unit: np.ndarray) -> np.ndarray:
    """Return numbers from 0 to 1, both left out, as values in the column's dtype and range."""
    dtype = np.dtype(column.dtype)
    if dtype.kind == "b":
        return unit > 0.5
    low, high = column.range if column.range and all(map(math.isfinite, column.range)) else (None, None)
    if dtype.kind == "f":
        low, high = (-1, 1) if low is None or high is None else (low, high)
        least, most = dtype.type(low), dtype.type(high)
        # Rounded to the dtype, the end of a range may be beyond it.
        least = np.nextafter(least, most) if float(least) < low else least
        most = np.nextafter(most, least) if float(most) > high else most
        return np.asarray(np.clip((low + unit * (high - low)).astype(dtype), least, most))
    low, high = (
        (0, min(255, np.iinfo(dtype).max)) if low is None or high is None else (math.ceil(low), math.floor(high))
    )
    span = min(high - low, WITHIN - 1)
    # Small numbers, as pixels are, take half the time in narrow dtypes.
    narrow = span < 2**16
    scaled = unit.astype(np.float32 if narrow else np.float64, copy=False) * (span + 1)
    steps = np.minimum(scaled.astype(np.int32 if narrow else np.int64), span)
    return np.asarray(steps.astype(dtype) + dtype.type(low))


def _sentences(plan: Plan, column: Column, groups: int) -> StringArray:
    """Return as many sentences for each group, one group after the other: half of their words are the group's own."""
    random = _random(plan, column.field, "sentences")
    sentences, known = [], WORDS.split()
    for _ in range(groups):
        own = [known[word] for word in random.randint(0, len(known), 6)]
        for _ in range(max(1, SENTENCES // groups)):
            words = [
                own[word // 2 % len(own)] if word % 2 else known[word // 2 % len(known)]
                for word in random.randint(0, 2**16, random.randint(4, 11)).tolist()
            ]
            sentences.append(" ".join(words).capitalize() + ".")
    return StringArray.of(sentences)
