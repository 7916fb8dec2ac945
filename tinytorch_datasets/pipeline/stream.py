"""Streams: shards that are fetched and decoded as they are asked for.

A shard is verified as every file is, by its sha256 before anything is decoded. Its decoded arrays are kept on disk and
mapped, its own file is removed; where they do not fit below the bound, the shard that was used longest ago goes first.
The folder that they are in is laid out as every home is, so that all stages work there as anywhere else.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_datasets import formats, pipeline
from tinytorch_datasets import plan as planned
from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.pipeline.shard_cache import STREAMS, ShardCache
from tinytorch_datasets.pipeline.shards import stretch_of
from tinytorch_datasets.pipeline.streamed import StreamedDataset, StreamedSplit
from tinytorch_datasets.plan import Declared, Plan, Rank, Shard
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage.array_folder import ArrayFolder
from tinytorch_datasets.storage.files import unlink
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
    if on_disk.status == "shipped" or pipeline.is_on_disk(on_disk):
        return pipeline.verified_arrays(on_disk, home, mode=options.verify)
    plan, stat_cache = plan.placed(home), StatCache()
    options = options._replace(progress=options.progress or _silent, cancellation=cancellation)
    pipeline.fetch_files(plan, home, options, stat_cache, sum(column.nbytes for column in plan.columns))
    try:
        return pipeline.verified_arrays(plan, home, stat_cache=stat_cache)
    finally:
        for file in plan.files:
            with suppress(OSError):
                unlink(plan.root / file.name)


def _silent(*_: object) -> None:
    """Show nothing: a stream would have a bar for each shard."""
