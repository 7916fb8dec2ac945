"""Streams: shards that are fetched and decoded as they are asked for.

A shard is verified as every file is, by its sha256 before anything is decoded. Its decoded arrays are kept on disk and
mapped, its own file is removed; where they do not fit below the bound, the shard that was used longest ago goes first.
The folder that they are in is laid out as every home is, so that all stages work there as anywhere else.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets import formats, pipeline
from tinytorch_datasets import plan as planned
from tinytorch_datasets.batches import Batch, as_batch, checked_epoch, checked_seed, sample_type, whole_number
from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.concurrency.ahead import prefetched
from tinytorch_datasets.dataset import Dataset
from tinytorch_datasets.errors import UsageError, check_flag
from tinytorch_datasets.fetch import fetch
from tinytorch_datasets.pipeline.shards import STREAMS, ShardCache, stretch_of
from tinytorch_datasets.pipeline.variants import is_on_disk
from tinytorch_datasets.plan import Declared, Plan, Rank, Shard
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.split import Split
from tinytorch_datasets.storage.array_folder import ArrayFolder
from tinytorch_datasets.storage.files import unlink
from tinytorch_datasets.storage.string_array import StringArray
from tinytorch_datasets.verify.files import StatCache

if TYPE_CHECKING:
    from tinytorch_datasets.pipeline import Options

# How much streams keep in their folder of the cache, if nobody says.
DEFAULT_BOUND = "10 GB"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kMGT]?)B")
_POWERS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_bound(stream: Any, variant: str | None = None) -> int:
    """Return how many bytes streams may keep on disk.

    Raises:
        UsageError: It is neither True nor a size; or a variant is asked for as well.

    >>> parse_bound("2 GB"), parse_bound(True)
    (2000000000, 10000000000)
    """
    if variant is not None:
        msg = "variant is accepted by the digest of all values, which no stream has"
        raise UsageError(msg, hint="Leave out one of them.")
    given = DEFAULT_BOUND if stream is True else stream
    match = _SIZE.fullmatch(given) if isinstance(given, str) else None
    if match is None or not (bound := int(float(match[1]) * _POWERS[match[2]])):
        msg = f'stream is True, or how much may be kept on disk, such as "2 GB", not {stream!r}'
        raise UsageError(msg)
    return bound


def open_stream(
    declared: Declared, locations: Locations, options: Options, *, bound: int, rank: Rank | None
) -> StreamedDataset:
    """Open a data set of which each split is read shard by shard; nothing is fetched before it is asked for.

    Raises:
        UsageError: A few shards take more than the bound, or a split has no samples of its own.
        MissingLibrary: A library that decodes them is not installed.
    """
    plan = replace(declared.plan, variants=())
    formats.check_libraries(plan)
    home = locations._replace(homes=(locations.cache / STREAMS,))
    decode = partial(_decoded, locations=locations, home=home, options=options)
    splits = {}
    for split in plan.splits:
        if any(column.per == "split" for column in split.columns.values()):
            msg = f"split {split.name!r} is one text, of which a stream has no samples"
            raise UsageError(msg, hint=f"Write `get({plan.name!r})`.")
        own, fields = _in_shards(plan, split), declared.entry.get("fields", {})
        cache = ShardCache(plan, own, home, bound, decode, fields, options.verify)
        low, high = stretch_of(split.samples, rank or (0, 1))
        splits[split.name] = StreamedSplit(cache, low, high)
    describe = partial(_describe, declared)
    return StreamedDataset(plan.name, splits, classes=plan.classes, describe=describe)  # type: ignore[arg-type]


def _in_shards(plan: Plan, split: planned.Split) -> planned.Split:
    """Return a split that is in no shards as one, with all files but those that only other splits name."""
    if split.shards:
        return split
    own, others = _named_files(split), [other for other in plan.splits if other is not split]
    of_others = {plan.root / name for other in others for shard in other.shards for name in shard.files}
    of_others.update(*map(_named_files, others))
    is_in_files = split.file is None and split.members  # of which a pattern names some
    names = tuple(f.name for f in plan.files if is_in_files or plan.root / f.name not in of_others - own)
    return replace(split, shards=(Shard(split.samples, names, split.where),))


def _named_files(split: planned.Split) -> set[Path]:
    columns = split.columns.values()
    of_rows = (column for one in columns if one.rows for column in one.rows.columns)
    return {column.file for column in (*columns, *of_rows)} | ({split.file} if split.file else set())


def _describe(declared: Declared) -> Any:
    from tinytorch_datasets.manifest.models import Entry  # and Pydantic, for the few who ask

    manifest = f"{declared.manifest.name} {declared.sha256[:16]}"
    return Entry.model_validate(declared.entry), f"{declared.plan.name}, streamed; sha256 of {manifest}"


def _decoded(
    plan: Plan, cancellation: Cancellation, *, locations: Locations, home: Locations, options: Options
) -> ArrayFolder:
    """Fetch a shard, unless its files are on disk anyway, and decode it; its files go when that is done."""
    on_disk = plan.placed(locations)
    if on_disk.status == "shipped" or is_on_disk(on_disk):
        return pipeline.verified_arrays(on_disk, home, mode=options.verify)
    plan, stat_cache = plan.placed(home), StatCache()
    fetched = fetch(
        plan.files,
        plan.root,
        folder=plan.folder,
        mirror=options.mirror,
        stores=options.stores,
        offline=options.offline,
        locks=home.cache / "locks",
        progress=options.progress or _silent,
        dataset=plan.name,
        retry=options.retry,
        extra_bytes=sum(column.nbytes for column in plan.columns),
        cancellation=cancellation,
    )
    for file, signature in fetched:
        if signature is not None:
            stat_cache.remember(plan.root / file.name, file.sha256, signature)
    try:
        return pipeline.verified_arrays(plan, home, stat_cache=stat_cache)
    finally:
        for file in plan.files:
            with suppress(OSError):
                unlink(plan.root / file.name)


def _silent(*_: object) -> None:
    """Show nothing: a stream would have a bar for each shard."""


class StreamedDataset(Dataset):
    """A data set whose splits are streams."""

    _repr_html_ = None  # type: ignore[assignment]  # a page counts what is in no memory


class Piece(NamedTuple):
    """Some samples of a shard: from `low` to before `high` of those that it has."""

    shard: int
    low: int
    high: int


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
        with closing(self._cache.loaded([piece.shard for piece in self._pieces()], Cancellation())) as shards:
            for piece, shard in zip(self._pieces(), shards, strict=True):
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
        shard, so samples should be written into shards in no order of their own.

        Args:
            size: Samples a batch, the last one possibly shorter.
            shuffle: Whether each pass has another order.
            seed: As in `Split.batches`.
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
            ValueError, UsageError: As in `Split.batches`.
        """
        wanted = (dtype, channels, normalize, one_hot)
        if not any(column.is_encoded for column in self._cache.split.columns.values()):
            self._cache.empty()._conversions(*wanted)
        size = whole_number(size, "a batch has 1 sample or more", least=1)
        check_flag(shuffle, "shuffle")
        check_flag(drop_last, "drop_last")
        seed = None if seed is None else checked_seed(seed)
        count = len(self) // size if drop_last else -(-len(self) // size)
        epoch, start = checked_epoch(epoch, start, seed, count, shuffle=shuffle)
        prefetch = whole_number(prefetch, "0 batches or more are made ahead")
        drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        order = partial(self._order, drawn if shuffle else None)
        return StreamedBatches(self._cache, order, size, count, start, epoch, prefetch, wanted)

    def _order(self, seed: int | None, epoch: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the samples of each shard, as numbers in it, in the order of an epoch."""
        pieces = self._pieces()
        order = range(len(pieces)) if seed is None else np.random.RandomState([seed, epoch]).permutation(len(pieces))
        for shard, low, high in (pieces[number] for number in order):
            places = np.arange(low, high)
            if seed is not None:
                np.random.RandomState([seed, epoch, shard]).shuffle(places)
            yield shard, places

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
        order: Callable[[int], Iterator[tuple[int, np.ndarray]]],
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

    def _rest(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        """Return the samples that are left of an epoch, by shard: those before the first batch are not looked at."""
        skip, left = self._start * self._size, len(self) * self._size
        rest = []
        for shard, places in self._order(epoch):
            its = places[skip : skip + left]
            skip = max(0, skip - len(places))
            left -= len(its)
            if len(its):
                rest.append((shard, its))
        return rest

    def _batches(self, rest: list[tuple[int, np.ndarray]], whole: Cancellation) -> Iterator[Batch]:
        make = sample_type(tuple(self._cache.split.columns))._make
        parts: list[list[Any]] = []
        count = 0
        with closing(self._cache.loaded([shard for shard, _ in rest], whole)) as shards:
            for (_, places), shard in zip(rest, shards, strict=True):
                at = 0
                while at < len(places):
                    its = places[at : at + self._size - count]
                    # Copied out of the map, which may be removed as soon as the next shard is asked for.
                    parts.append([as_batch(values) for values in shard._converted(its, *self._wanted)])
                    at, count = at + len(its), count + len(its)
                    if count == self._size:
                        yield make(map(_joined, zip(*parts, strict=True)))
                        parts, count = [], 0
        if parts:
            yield make(map(_joined, zip(*parts, strict=True)))


def _joined(parts: Sequence[Any]) -> Any:
    """Return the values of a batch from those of the shards that it is in."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    strings = [value for part in parts for value in part]
    return StringArray.of(strings) if isinstance(parts[0], StringArray) else strings
