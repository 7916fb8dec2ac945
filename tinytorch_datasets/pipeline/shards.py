"""Shards: which of them a rank needs, decoding them one by one, keeping a few.

A shard is decoded by a plan of its own, as a data set whose split is in one file; so no format knows of shards. What
comes of it is put at its place in the arrays of the whole split, which are one file a field however many shards there
are, and are mapped as fast as those of any other.
"""

from __future__ import annotations

import bisect
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets import plan as planned
from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.concurrency.ahead import mapped
from tinytorch_datasets.errors import ContentError, DecodeError, StorageError, UsageError
from tinytorch_datasets.pipeline import decode
from tinytorch_datasets.pipeline.decode import OnError, recipe_of, versions
from tinytorch_datasets.pipeline.stored_values import content_error
from tinytorch_datasets.plan import Block, Mode, Plan, Rank, Stretch
from tinytorch_datasets.progress import readable
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.split import Split
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage import files as disk
from tinytorch_datasets.storage.array_folder import ArrayFolder
from tinytorch_datasets.storage.lock import Waiting, hold_lock, holders
from tinytorch_datasets.storage.ragged_array import RaggedArray
from tinytorch_datasets.storage.string_array import StringArray

# What fetches, verifies and decodes a shard, by its plan, until it is cancelled.
Decode = Callable[[Plan, Cancellation], ArrayFolder]

# Shards of which each weighs less are decoded on every core, while so many bytes of them wait to be written; larger
# ones are decoded one after the other, each block by block.
LARGE_BYTES = 32 << 20
WAITING_BYTES = 64 << 20
# What a compressed file of text or of pictures may hold, for its bytes; no more than a guess is needed.
INFLATED = 4
# The folder of the cache that streams have for a home.
STREAMS = "streams"
# What the locks end with of files that a stream reads; of more files than this, they have one lock.
READ = ".read"
MOST_LOCKS = 8
# Of a stream: beside the shards that are read, the one behind them, and one that is fetched; and how many are fetched
# at once, where there is room for them.
BESIDE = 2
WORKERS = 4


def stretch_of(samples: int, rank: Rank) -> tuple[int, int]:
    """Return the first of a split's samples that a rank has, and the one behind its last.

    >>> [stretch_of(10, (rank, 3)) for rank in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    """
    number, world = rank
    return samples * number // world, samples * (number + 1) // world


def part_of(plan: Plan, rank: Rank) -> Plan:
    """Return the plan of what one of several ranks has of each split: its stretch of the samples, one behind the other.

    Stretches of all ranks are the split, each sample once, and differ by one sample at most, however many each shard
    has. Only the shards are left that the rank's own samples are in, and the files that are no shards.
    """
    splits = []
    for split in plan.splits:
        if all(column.per == "split" for column in split.columns.values()):
            splits.append(split)  # one text, of which there are no samples
            continue
        low, high = stretch_of(split.samples, rank)
        first = 0
        whole = split.samples
        if split.shards:
            ends = [*accumulate(shard.samples for shard in split.shards)]
            begin = min(bisect.bisect_right(ends, low), len(ends) - 1)
            stop = max(bisect.bisect_left(ends, high), begin) + 1
            first = ends[begin] - split.shards[begin].samples
            if (begin, stop) != (0, len(ends)):
                split = split.of_shards(begin, stop, plan.root)
        splits.append(replace(split, stretch=Stretch(low - first, high - first, first, whole)))
    left = {name for split in splits for shard in split.shards for name in shard.files}
    gone = {name for split in plan.splits for shard in split.shards for name in shard.files} - left
    files = tuple(file for file in plan.files if file.name not in gone)
    return replace(plan, splits=tuple(splits), files=files, rank=rank, variants=())


def plan_of_shard(plan: Plan, split: planned.Split, number: int) -> Plan:
    """Return the plan of one shard of a split, by its number: of a data set whose split is in one file."""
    own = split.of_shards(number, number + 1, plan.root)
    names = frozenset(own.shards[0].files)
    files = tuple(file for file in plan.files if file.name in names)
    return replace(plan, splits=(replace(own, shards=()),), files=files, variants=())


def plans_in_one_file(plan: Plan) -> Iterator[Plan]:
    """Yield plans whose splits are in one file each, or in members of one: of what is in no shards, and of each shard.

    None of them has a file of another shard, so that all of them together take no longer than the plan.
    """
    if single := tuple(split for split in plan.splits if not split.shards):
        yield replace(plan, splits=single)
    for split in plan.splits:
        yield from _plans_of_shards(plan, split)


def _plans_of_shards(plan: Plan, split: planned.Split) -> Iterator[Plan]:
    by_name = {file.name: file for file in plan.files}
    for number, shard in enumerate(split.shards):
        few = replace(plan, files=tuple(by_name[name] for name in shard.files))
        yield plan_of_shard(few, split, number)


def decoded(plan: Plan, *, on_error: OnError = decode._refuse) -> Iterator[Block]:
    """Yield all values of a plan, as `decode.decoded` does, of splits in shards too: in order, each at its place.

    Raises:
        DecodeError: A file is not what its format says, or a shard has another number of samples than declared.
    """
    if single := tuple(split for split in plan.splits if not split.shards):
        yield from decode.decoded(replace(plan, splits=single), on_error=on_error)
    for split in plan.splits:
        if split.shards:
            yield from _decoded_shards(plan, split, on_error)


def _decoded_shards(plan: Plan, split: planned.Split, on_error: OnError) -> Iterator[Block]:
    start = 0
    plans = _plans_of_shards(plan, split)
    if max(map(weight, _plans_of_shards(plan, split))) > LARGE_BYTES:
        for shard, own in zip(split.shards, plans, strict=True):
            yield from _at(split, start, _counted(own, shard.where, on_error))
            start += shard.samples
        return
    wheres = iter(split.shards)
    jobs = ((own, next(wheres).where) for own in plans)
    with closing(mapped(_collected, jobs, weigh=lambda job: weight(job[0]), most=WAITING_BYTES, name="shards")) as made:
        for shard, (blocks, errors) in zip(split.shards, made, strict=True):
            for error in errors:
                on_error(error)
            yield from _at(split, start, iter(blocks))
            start += shard.samples


def _at(split: planned.Split, start: int, blocks: Iterator[Block]) -> Iterator[Block]:
    for column, at, values in blocks:
        yield Block(split.columns[column.field], start + at, values)


def _collected(job: tuple[Plan, str]) -> tuple[list[Block], list[ContentError]]:
    """Decode a shard in memory; what is not as declared is for the thread that asked for it to report."""
    errors = list[ContentError]()
    return list(_counted(*job, errors.append)), errors


def _counted(plan: Plan, where: str, on_error: Callable[[ContentError], None]) -> Iterator[Block]:
    """Yield the blocks of a shard, and report another number of samples than declared: it would move all behind it."""
    came = dict.fromkeys(plan.splits[0].columns, 0)
    try:
        for block in decode.decoded(plan, on_error=on_error):
            came[block.column.field] += len(block.values)
            if block.start + len(block.values) <= block.column.count:
                yield block
    except DecodeError as error:
        if isinstance(error, ContentError) and error.aspect == "samples":
            error.with_context(where=where)
        raise
    for column in plan.splits[0].columns.values():
        if came[column.field] != column.count:
            reason = f"{column} has {came[column.field]:,} samples in this shard, declared are {column.count:,}"
            wrong = content_error(column, "samples", column.count, came[column.field], reason)
            on_error(wrong.with_context(where=where))


def weight(plan: Plan) -> int:
    """Return how many bytes decoding a plan's files in memory takes, as far as that is declared."""
    columns = plan.splits[0].columns.values()
    is_known = all(column.nbytes and not column.is_encoded for column in columns)
    return sum(column.nbytes for column in columns) + sum(file.bytes for file in plan.files) * (
        1 if is_known else INFLATED
    )


class _Coming(NamedTuple):
    """A shard that is fetched or decoded: the bytes that it will take, and what its files' names begin with."""

    weight: int
    names: tuple[str, ...]


class ShardCache:
    """The shards of one split, each fetched, verified and decoded when it is asked for, unless it is still there.

    Args:
        plan: What the data set declares, its files not placed.
        split: The split, in one shard or more.
        home: The folder that it keeps arrays in, which is laid out as every home is.
        bound: How many bytes may be kept there.
        decode: What fetches, verifies and decodes a shard into that folder, by its plan.
        declared: What the manifest has of each field, in plain values.
        mode: Whether arrays that are there already are hashed again.
    """

    def __init__(
        self,
        plan: Plan,
        split: planned.Split,
        home: Locations,
        bound: int,
        decode: Decode,
        declared: Mapping[str, Any],
        mode: Mode = "auto",
    ) -> None:
        self.split, self._plan, self._home, self._bound = split, plan, home, bound
        self._decode, self._declared, self._mode = decode, declared, mode
        self._files = {file.name: file for file in plan.files}
        self._guard = threading.Lock()
        self._in_use = Counter[str]()
        self._loading: dict[str, _Coming] = {}
        self._heaviest = max(map(self.weight, range(len(split.shards))))
        self.check_room(1)

    def check_room(self, window: int) -> int:
        """Return how many bytes may be fetched ahead, where so many shards are read together.

        Raises:
            UsageError: Fewer bytes may be kept than these shards take.
        """
        at_once = min(window + BESIDE, len(self.split.shards))
        least = self._heaviest * at_once
        if least > self._bound:
            shards = f"{at_once} shards" if at_once > 1 else "all of it"
            what = f"a stream of split {self.split.name!r} may keep {readable(self._bound)}, and {shards} at once take"
            msg, shown = f"{what} {readable(least)}", readable(-(-least * 11 // 10))  # what is shown is rounded
            raise UsageError(msg, hint=f'Write `stream="{shown}"` or more.')
        return self._bound - least

    def __getstate__(self) -> dict[str, Any]:
        # A loader's worker counts what it uses itself; the folder is the same, and so is the bound of it.
        return {**self.__dict__, "_guard": None, "_in_use": Counter(), "_loading": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _guard=threading.Lock())

    def weight(self, number: int) -> int:
        """Return how many bytes a shard takes on disk at most, with its file: as declared, of texts by a guess."""
        shard = self.split.shards[number]
        files = sum(self._files[name].bytes for name in shard.files)
        columns = self.split.columns.values()
        known = sum(column.nbytes * shard.samples // column.samples for column in columns)
        is_known = all(column.nbytes and not column.is_encoded for column in columns)
        return files + known + (0 if is_known else files * INFLATED)

    def loaded(self, windows: Sequence[Sequence[int]], whole: Cancellation) -> Generator[list[Split], None, None]:
        """Yield the shards of each window, while those behind it are fetched; they stay until the next is asked for.

        Raises:
            Cancelled: Another thread has cancelled the `whole`.
            FetchError: No mirror gave a file of a shard; VerifyError, DecodeError: it is not what is declared.
        """
        cancellations = set[Cancellation]()
        is_closed = threading.Event()
        held: list[str] = []

        def load(number: int) -> tuple[str, Split]:
            cancellation = Cancellation()
            cancellations.add(cancellation)
            try:
                if is_closed.is_set():
                    cancellation.cancel()
                cancellation.check()
                plan, name = self._plan_of(number)
                with self._guard:
                    self._in_use[name] += 1
                    held.append(name)
                return name, self._load(plan, name, self.weight(number), cancellation)
            finally:
                cancellations.discard(cancellation)

        def stop() -> None:
            is_closed.set()
            for cancellation in tuple(cancellations):
                cancellation.cancel()

        most = self.check_room(max(map(len, windows), default=1))
        numbers = chain.from_iterable(windows)
        made = mapped(load, numbers, weigh=self.weight, most=most, workers=WORKERS, name="stream", stop=stop)
        try:
            with whole.waking(stop):
                for window in windows:
                    names, splits = zip(*islice(made, len(window)), strict=True)
                    yield list(splits)
                    del splits
                    for name in names:
                        self._let_go(held, name)
        finally:
            stop()  # if it was not begun, too
            made.close()
            for name in tuple(held):
                self._let_go(held, name)

    def _let_go(self, held: list[str], name: str) -> None:
        with self._guard:
            held.remove(name)
            self._in_use[name] -= 1

    def _plan_of(self, number: int) -> tuple[Plan, str]:
        """Return the plan of a shard, its files not placed, and the name of its folder of arrays."""
        few = replace(self._plan, files=tuple(self._files[name] for name in self.split.shards[number].files))
        plan = plan_of_shard(few, self.split, number)
        return plan, array_store.folder_name(plan, versions(plan))

    def _load(self, plan: Plan, name: str, weight: int, cancellation: Cancellation) -> Split:
        recipe, target = partial(recipe_of, plan), self._home.cache / "arrays" / name
        folder = ArrayFolder.first_match(plan, [target], self._mode, recipe)
        if folder is None:
            files = (file.name.partition("/")[0] for file in plan.files)
            with self._guard:
                self._loading[name] = _Coming(weight, (name, f".{name}", *files))
            try:
                with ExitStack() as locks:
                    for label in self._labels(plan):
                        waiting = Waiting(self._kept_bytes, cancellation.sleep, work="reading")
                        locks.enter_context(hold_lock(self._home.cache / "locks", label, waiting))
                    # Whoever had the lock before may have decoded it.
                    folder = ArrayFolder.first_match(plan, [target], self._mode, recipe)
                    if folder is None:
                        self._make_room()
                        folder = self._decode(plan, cancellation)
            finally:
                with self._guard:
                    self._loading.pop(name, None)
        with suppress(OSError):
            os.utime(target)  # what was used longest ago goes first
        self._make_room()
        fields = {column.field: folder.values(column) for column in plan.columns}
        return self._split(fields)

    def _labels(self, plan: Plan) -> list[str]:
        """Return what is locked while a shard is fetched and decoded: each of its files, which others remove after."""
        names = sorted(file.name for file in plan.files)
        return [f"{plan.folder}/{name}{READ}" for name in names] if len(names) <= MOST_LOCKS else [plan.folder + READ]

    def _kept_bytes(self) -> int:
        return disk.bytes_below(self._home.cache) + disk.bytes_below(self._home.home / self._plan.folder)

    def _files_read_by_others(self) -> tuple[str, ...]:
        """Return what the names of files begin with that another process, or another split's stream, reads now."""
        labels = [holder.label for holder in holders(self._home.cache / "locks") if not holder.is_gone]
        own = [label.removesuffix(READ) for label in labels if label.endswith(READ)]
        return tuple(label.removeprefix(self._plan.folder).removeprefix("--").partition("--")[0] for label in own)

    def _make_room(self) -> None:
        """Remove the arrays that were used longest ago, and what cut fetches left, until what is to come will fit."""
        with self._guard:
            arrays, downloads = self._home.cache / "arrays", self._home.home / self._plan.folder
            total, kept = sum(coming.weight for coming in self._loading.values()), list[tuple[float, Path, int]]()
            for path in (place / name for place in (arrays, downloads) for name in disk.names_in(place)):
                if self._is_coming(path):
                    continue  # it is counted as what it will be
                with suppress(OSError):
                    kept.append((path.stat().st_mtime, path, disk.bytes_below(path)))
            total += sum(size for *_, size in kept)
            for _, path, size in sorted(kept):
                if total <= self._bound:
                    return
                is_of_others = path.name.startswith(self._files_read_by_others() if path.parent == downloads else ".")
                if self._in_use[path.name] <= 0 and not is_of_others:
                    with suppress(StorageError):
                        disk.remove(path)
                        total -= size

    def _is_coming(self, path: Path) -> bool:
        """Check whether a file or folder is of a shard that is fetched or decoded now, whole or not."""
        return any(path.name.startswith(coming.names) for coming in self._loading.values())

    def _split(self, fields: Mapping[str, Any]) -> Split:
        scales = {name: column.scale for name, column in self.split.columns.items() if column.scale is not None}
        made = Split(self.split.name, fields, scales=scales, declared=self._declared_of_fields())
        made._standard = f"a stream of split {self.split.name!r} knows no mean and deviation of all its samples"
        return made

    def _declared_of_fields(self) -> dict[str, Any]:
        declared = {field: dict(self._declared.get(field, {})) for field in self.split.columns}
        for field, column in self.split.columns.items():
            if (rate := self._plan.frame_rate(column)) is not None:
                declared[field]["rate"] = rate
        return declared

    def empty(self) -> Split:
        """Return a split without samples, by which arguments are checked before anything is fetched."""
        return self._split({name: _nothing(column) for name, column in self.split.columns.items()})


def _nothing(column: Any) -> Any:
    if column.is_text:
        return StringArray.of([])
    if column.is_ragged:
        return RaggedArray.of([], dtype=column.dtype, sample_shape=column.shape)
    return np.empty((0, *column.shape), column.dtype)
