"""Shards kept for a stream, on disk, below a bound of bytes.

Each is fetched, verified and decoded when it is asked for, or a little before; the one that was used longest ago goes.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets import plan as planned
from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.concurrency.ahead import mapped
from tinytorch_datasets.errors import StorageError, UsageError
from tinytorch_datasets.pipeline.decode import recipe_of, versions
from tinytorch_datasets.pipeline.shards import INFLATED, plan_of_shard
from tinytorch_datasets.plan import Mode, Plan
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

# The folder of the cache that streams have for a home.
STREAMS = "streams"
# What the locks end with of files that a stream reads; of more files than this, they have one lock.
READ = ".read"
MOST_LOCKS = 8
# Of a stream: beside the shards that are read, the one behind them, and one that is fetched; and how many are fetched
# at once, where there is room for them.
BESIDE = 2
WORKERS = 4


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
