"""Shards: which of them a rank needs, and decoding them one by one.

A shard is decoded by a plan of its own, as a data set whose split is in one file; so no format knows of shards. What
comes of it is put at its place in the arrays of the whole split, which are one file a field however many shards there
are, and are mapped as fast as those of any other.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import accumulate

from tinytorch_datasets import plan as planned
from tinytorch_datasets.concurrency.ahead import mapped
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.pipeline import decode
from tinytorch_datasets.pipeline.decode import OnError
from tinytorch_datasets.pipeline.stored_values import content_error
from tinytorch_datasets.plan import Block, Plan, Rank, Stretch

# `decoded`, or what takes its place: all values of a plan, and `on_error` as of that.
Source = Callable[..., Generator[Block, None, None]]

# Shards of which each weighs less are decoded on every core, while so many bytes of them wait to be written; larger
# ones are decoded one after the other, each block by block.
LARGE_BYTES = 32 << 20
WAITING_BYTES = 64 << 20
# What a compressed file of text or of pictures may hold, for its bytes; no more than a guess is needed.
INFLATED = 4


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


def decoded(plan: Plan, *, on_error: OnError = decode._refuse) -> Generator[Block, None, None]:
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
