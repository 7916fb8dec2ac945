"""Splits of a stream, and passes over them.

Which shards are read, and in which order, follows from a seed and the number of an epoch; a batch has samples of one
shard, or of several that are read together.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, ItemsView, Iterator, Sequence, ValuesView
from contextlib import closing
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.batches import Batch, as_batch, checked_epoch, checked_seed, sample_type, whole_number
from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.concurrency.ahead import prefetched
from tinytorch_datasets.dataset import Dataset
from tinytorch_datasets.errors import UsageError, check_flag
from tinytorch_datasets.pipeline.shard_cache import ShardCache
from tinytorch_datasets.pipeline.shards import stretch_of
from tinytorch_datasets.split import Split
from tinytorch_datasets.storage.string_array import StringArray


class StreamedDataset(Dataset):
    """A data set whose splits are streams."""

    _repr_html_ = None  # type: ignore[assignment]  # a page counts what is in no memory

    if TYPE_CHECKING:  # splits of another kind than a Dataset's, for type checkers alone

        def __getitem__(self, split: str) -> StreamedSplit: ...  # type: ignore[override]
        def __getattr__(self, split: str) -> StreamedSplit: ...  # type: ignore[override]
        def values(self) -> ValuesView[StreamedSplit]: ...  # type: ignore[override]  # noqa: D102
        def items(self) -> ItemsView[str, StreamedSplit]: ...  # type: ignore[override]  # noqa: D102


class Piece(NamedTuple):
    """Some samples of a shard: from `low` to before `high` of those that it has."""

    shard: int
    low: int
    high: int


class Reading(NamedTuple):
    """Samples that are read together: of which shards, and in their order the place of each's shard, and its number."""

    shards: tuple[int, ...]
    members: np.ndarray
    numbers: np.ndarray

    def part(self, start: int, stop: int) -> Reading:
        """Return some of the samples, still of all its shards."""
        return self._replace(members=self.members[start:stop], numbers=self.numbers[start:stop])


class StreamedSplit:
    """One split of a stream: iterated over, by samples or by batches, and never in memory as a whole.

    What takes samples by number, or a field as a whole, is refused: for that, get the data set without `stream`.
    """

    _note = ""

    def __init__(self, cache: ShardCache, low: int, high: int) -> None:
        self._cache, self._low, self._high = cache, low, high
        self._ends = [*accumulate(shard.samples for shard in cache.split.shards)]

    def _belongs_to(self, *_: object) -> None:
        """Take no notice: the mean and deviation of a stream are nobody's standard."""

    @property
    def name(self) -> str:
        """The split's name in the manifest."""
        return self._cache.split.name

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that every sample has, in the order of a sample's tuple."""
        return tuple(self._cache.split.columns)

    def __len__(self) -> int:
        return self._high - self._low

    def shard(self, rank: int, world: int) -> StreamedSplit:
        """Return what one of `world` processes works on: a stretch of the samples, and few shards that others need too.

        All stretches are the split, each sample once, and their lengths differ by one sample at most.

        Raises:
            ValueError: `rank` is not from 0 to `world` - 1.
        """
        world = whole_number(world, "there is 1 shard or more", least=1)
        rank = whole_number(rank, f"a shard is number 0 to {world - 1} of {world}", most=world - 1)
        low, high = stretch_of(len(self), (rank, world))
        return StreamedSplit(self._cache, self._low + low, self._low + high)

    def __iter__(self) -> Iterator[Any]:
        with closing(self._cache.loaded([(piece.shard,) for piece in self._pieces()], Cancellation())) as shards:
            for piece, (shard,) in zip(self._pieces(), shards, strict=True):
                yield from shard[piece.low : piece.high]

    def _pieces(self) -> list[Piece]:
        """Return the samples that it has of each shard, in order."""
        first, pieces = bisect_right(self._ends, self._low), []
        for number in range(first, len(self._ends)):
            begin = self._ends[number] - self._cache.split.shards[number].samples
            if begin >= self._high:
                break
            low, high = max(self._low, begin) - begin, min(self._high, self._ends[number]) - begin
            pieces.append(Piece(number, low, high))
        return pieces

    def batches(
        self,
        size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        window: int = 1,
        dtype: Any = None,
        channels: Any = None,
        normalize: Any = None,
        one_hot: Any = None,
        drop_last: bool = False,
        prefetch: int = 0,
        epoch: int | None = None,
        start: int = 0,
    ) -> StreamedBatches:
        """Return the samples in batches, as `Split.batches` does; all of them fresh.

        With `shuffle`, shards come in a random order, and the samples within each: those of a batch are mostly of one
        shard. Where samples were written into shards in an order of their own, as one class after the other, `window`
        shards are shuffled together.

        Args:
            size: Samples a batch, the last one possibly shorter.
            shuffle: Whether each pass has another order.
            seed: As in `Split.batches`.
            window: Of how many shards the samples are shuffled together. So many, and two more, are on disk at once.
            dtype: As in `Split.arrays`, as are `channels`, `normalize` (numbers or a split, for a stream knows no mean
                of its own) and `one_hot`.
            channels: As in `Split.arrays`.
            normalize: As in `Split.arrays`, but for "standard".
            one_hot: As in `Split.arrays`.
            drop_last: Whether to leave out a last batch that is shorter.
            prefetch: How many batches a thread makes ahead. The next shards are fetched in any case.
            epoch: As in `Split.batches`.
            start: As in `Split.batches`. Shards before it are not fetched.

        Raises:
            ValueError, UsageError: As in `Split.batches`; a window without `shuffle`, or of more shards than the
                stream has room for.
        """
        wanted = (dtype, channels, normalize, one_hot)
        if not any(column.is_encoded for column in self._cache.split.columns.values()):
            self._cache.empty()._conversions(*wanted)
        size = whole_number(size, "a batch has 1 sample or more", least=1)
        check_flag(shuffle, "shuffle")
        check_flag(drop_last, "drop_last")
        window = whole_number(window, "the samples of 1 shard or more are shuffled together", least=1)
        if window > 1 and not shuffle:
            msg = "a window is of shards that are shuffled together, and shuffle is not set"
            raise UsageError(msg, hint="Write `shuffle=True` as well.")
        self._cache.check_room(window)
        seed = None if seed is None else checked_seed(seed)
        count = len(self) // size if drop_last else -(-len(self) // size)
        epoch, start = checked_epoch(epoch, start, seed, count, shuffle=shuffle)
        prefetch = whole_number(prefetch, "0 batches or more are made ahead")
        drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        order = partial(self._order, drawn if shuffle else None, window)
        return StreamedBatches(self._cache, order, size, count, start, epoch, prefetch, wanted)

    def _order(self, seed: int | None, window: int, epoch: int) -> Iterator[Reading]:
        """Yield the samples in the order of an epoch, those of the shards of one window together."""
        pieces = self._pieces()
        if seed is not None:
            order = np.random.RandomState([seed, epoch]).permutation(len(pieces))
            pieces = [pieces[number] for number in order]
        for first in range(0, len(pieces), window):
            together = pieces[first : first + window]
            shards = tuple(piece.shard for piece in together)
            numbers = np.concatenate([np.arange(piece.low, piece.high) for piece in together])
            members = np.repeat(np.arange(len(together)), [piece.high - piece.low for piece in together])
            if seed is not None:
                places = np.arange(len(numbers))
                np.random.RandomState([seed, epoch, *shards]).shuffle(places)
                numbers, members = numbers[places], members[places]
            yield Reading(shards, members, numbers)

    def __getitem__(self, index: object) -> NoReturn:
        raise UsageError(self._refusal("no samples by number"), hint=self._hint)

    def __getattr__(self, name: str) -> NoReturn:
        if not name.startswith("_") and (name in self.fields or hasattr(Split, name)):
            msg = f"{self._refusal(f'no {name!r}')}. {self._hint}"
            raise AttributeError(msg)
        msg = f"'StreamedSplit' object has no attribute {name!r}"
        raise AttributeError(msg, name=name, obj=self)

    def _refusal(self, what: str) -> str:
        return f"split {self.name!r} is a stream, which has {what}"

    @property
    def _hint(self) -> str:
        return "Iterate over it or over its batches, or get the data set without `stream`."

    def __repr__(self) -> str:
        whole = self._ends[-1]
        of = f" of {whole:,}" if len(self) < whole else ""
        return f"<StreamedSplit {self.name}: {len(self):,}{of} samples of {', '.join(self.fields)}>"


class StreamedBatches:
    """One pass over a stream each time it is iterated; `len` is the number of batches."""

    def __init__(
        self,
        cache: ShardCache,
        order: Callable[[int], Iterator[Reading]],
        size: int,
        count: int,
        start: int,
        epoch: int | None,
        prefetch: int,
        wanted: tuple[Any, ...],
    ) -> None:
        self._cache, self._order, self._size, self._count, self._start = cache, order, size, count, start
        self._epoch, self._prefetch, self._wanted, self._passes = epoch, prefetch, wanted, 0

    def __len__(self) -> int:
        return self._count - self._start

    def __repr__(self) -> str:
        return f"<StreamedBatches: {len(self):,} of {self._size:,} samples>"

    def __getitem__(self, index: object) -> NoReturn:
        msg = "batches of a stream come in their order, and none by number"
        hint = "Iterate over them; in a DataLoader, in an IterableDataset: see docs/how-to/shards.md."
        raise UsageError(msg, hint=hint)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._passes if self._epoch is None else self._epoch
        self._passes += 1
        whole = Cancellation()
        batches = self._batches(self._rest(epoch), whole)
        return prefetched(batches, self._prefetch, name="batches", stop=whole.cancel) if self._prefetch else batches

    def _rest(self, epoch: int) -> list[Reading]:
        """Return what is left to read in an epoch: what comes before the first batch is not looked at."""
        skip, left = self._start * self._size, len(self) * self._size
        rest = []
        for reading in self._order(epoch):
            its = reading.part(skip, skip + left)
            skip = max(0, skip - len(reading.numbers))
            left -= len(its.numbers)
            if len(its.numbers):
                rest.append(its)
        return rest

    def _batches(self, rest: list[Reading], whole: Cancellation) -> Iterator[Batch]:
        make = sample_type(tuple(self._cache.split.columns))._make
        parts: list[list[Any]] = []
        count = 0
        with closing(self._cache.loaded([reading.shards for reading in rest], whole)) as loaded:
            for reading, shards in zip(rest, loaded, strict=True):
                at = 0
                while at < len(reading.numbers):
                    its = reading.part(at, at + self._size - count)
                    parts.append(self._gathered(its, shards))
                    at, count = at + len(its.numbers), count + len(its.numbers)
                    if count == self._size:
                        yield make(map(_joined, zip(*parts, strict=True)))
                        parts, count = [], 0
        if parts:
            yield make(map(_joined, zip(*parts, strict=True)))

    def _gathered(self, reading: Reading, shards: Sequence[Split]) -> list[Any]:
        """Return the values of samples by field, copied: the maps may be removed once the next shards are asked for."""
        # Each shard is asked once, for all that it has of them; then they are put into their order.
        by_shard = np.argsort(reading.members, kind="stable")
        parts = []
        for member, shard in enumerate(shards):
            if len(numbers := reading.numbers[reading.members == member]):
                parts.append([as_batch(values) for values in shard._converted(numbers, *self._wanted)])
        if len(parts) == 1:
            return parts[0]
        places = np.empty_like(by_shard)
        places[by_shard] = np.arange(len(by_shard))
        return [_taken(_joined(values), places) for values in zip(*parts, strict=True)]


def _joined(parts: Sequence[Any]) -> Any:
    """Return the values of a batch from those of the shards that it is in."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    strings = [value for part in parts for value in part]
    return StringArray.of(strings) if isinstance(parts[0], StringArray) else strings


def _taken(values: Any, places: np.ndarray) -> Any:
    return [values[place] for place in places] if isinstance(values, list) else values[places]
