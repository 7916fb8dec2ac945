"""Decoding by the workers of an executor: parts of a data set, put together here.

A part is a plan of its own: some of the shards of a split, or what is in one file of several. A worker decodes it as
`get` would, and writes its arrays into a folder beside those that are to be made. Here they are read, compared with the
digests that the worker sent, and pass the same checks as if they had been decoded here: the digest of a column is of
all its values, one behind the other, which one process takes. What a worker finds not to be as it is declared is
decoded here, so that an error is the same, word for word.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tinytorch_datasets import formats
from tinytorch_datasets.concurrency import Cancellation, cancelled_by, is_thread_of
from tinytorch_datasets.concurrency.ahead import mapped
from tinytorch_datasets.concurrency.executors import SHARE, run_tasks
from tinytorch_datasets.concurrency.tasks import Task
from tinytorch_datasets.digests import ValueDigest
from tinytorch_datasets.errors import DecodeError, StorageError
from tinytorch_datasets.pipeline import shards
from tinytorch_datasets.pipeline.decode import OnError
from tinytorch_datasets.plan import Block, Column, Plan, Split
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage import files as disk
from tinytorch_datasets.storage.array_folder import ArrayFolder
from tinytorch_datasets.verify import arrays as value_checks

if TYPE_CHECKING:
    from concurrent.futures import Executor

# A part is a 64th of the data set and at least this large, so that it takes longer to decode than to send and to read;
# at most so large, so that a lost one is soon done again.
LEAST_BYTES, MOST_BYTES = 32 << 20, 512 << 20
PARTS = 64
# So many parts are given to the executor together, and so many times before the first of them are put together.
WAVE, WAVES = 16, 4

log = logging.getLogger("tinytorch_datasets.executor")


class Part(NamedTuple):
    """A plan of what is decoded together, the first of its samples in its split, and whether a worker decodes it."""

    plan: Plan
    first: int
    is_sent: bool


class Written(NamedTuple):
    """What a worker wrote of a part: the name of its folder, and the digest of each column."""

    name: str
    digests: dict[str, str]


def source_for(executor: Executor | None, target: Path) -> shards.Source:
    """Return what decodes a plan: the workers of an executor, or this process without one.

    So it does in a thread of that very pool, asked for here: the threads that will wait for parts are others.
    """
    if executor is None or is_thread_of(executor):
        return shards.decoded
    return partial(decoded, executor=executor, target=target)


def decoded(
    plan: Plan, *, on_error: OnError, executor: Executor, target: Path, least_bytes: int = LEAST_BYTES
) -> Generator[Block, None, None]:
    """Yield all values of a plan, as `shards.decoded` does, decoded by the workers of an executor where it can be cut.

    They write into a folder beside `target`, which is removed in the end, and part by part before. What is smaller than
    `least_bytes` is not worth sending.

    Raises:
        DecodeError: As of `shards.decoded`.
        MissingLibrary: A worker has no library that a format is read by.
        StorageError: A worker does not see that folder or a file as this process does, or cannot write.
    """
    parts = parts_of(plan, least_bytes)
    sent = [(number, part) for number, part in enumerate(parts) if part.is_sent]
    if len(sent) < 2:
        log.info("%s is decoded in this process: it has no two parts that are worth sending", plan.name)
        yield from shards.decoded(plan, on_error=on_error)
        return
    folder = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    disk.make_folder(folder, at_home=True)
    cancellation = Cancellation()

    def decode_wave(first: int) -> list[Written | None]:
        with cancelled_by(cancellation):
            wave = sent[first : first + WAVE]
            return run_tasks([_task(part.plan, folder, folder / str(number)) for number, part in wave], executor)

    waves = mapped(
        decode_wave,
        range(0, len(sent), WAVE),
        weigh=lambda _: 1,
        most=WAVES,
        workers=WAVES,
        name="parts",
        stop=cancellation.cancel,
    )
    splits = {split.name: split for split in plan.splits}
    try:
        with closing(waves):
            results = (written for wave in waves for written in wave)
            for number, part in enumerate(parts):
                written = next(results) if part.is_sent else None
                blocks: Iterator[Block]
                if written is None:
                    blocks = shards.decoded(part.plan, on_error=on_error)
                else:
                    blocks = _read(part.plan, folder / str(number) / written.name, written.digests)
                for column, start, values in blocks:
                    yield Block(splits[column.split].columns[column.field], part.first + start, values)
                shutil.rmtree(folder / str(number), ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parts_of(plan: Plan, least_bytes: int = LEAST_BYTES) -> list[Part]:
    """Cut a plan into parts, none of which has a sample, or an array, that another one has.

    What is kept encoded is not sent: its digest is of the decoded values, so it is decoded here in any case.
    """
    most = max(least_bytes, min(MOST_BYTES, _weight(plan) // PARTS))
    made = []
    for group in _by_file([split for split in plan.splits if not split.shards]):
        paths = {path for split in group for column in split.columns.values() for path in _files_of(column)}
        files = tuple(file for file in plan.files if plan.root in paths or plan.root / file.name in paths)
        part = replace(plan, splits=tuple(group), files=files, variants=())
        made.append(Part(part, 0, _is_sent(part, least_bytes)))
    for split in plan.splits:
        by_name = {file.name: file for file in plan.files}
        begin = first = weight = 0
        for number, shard in enumerate(split.shards):
            weight += sum(by_name[name].bytes for name in shard.files)
            weight += sum(column.nbytes for column in split.columns.values()) * shard.samples // max(1, split.samples)
            if weight < most and number + 1 < len(split.shards):
                continue
            own = split.of_shards(begin, number + 1, plan.root)
            files = tuple(by_name[name] for one in own.shards for name in one.files)
            part = replace(plan, splits=(own,), files=files, variants=())
            made.append(Part(part, first, _is_sent(part, least_bytes)))
            begin, first, weight = number + 1, first + own.samples, 0
    return made


def _by_file(splits: list[Split]) -> list[list[Split]]:
    """Return splits, or some columns of them, that have files in common, each time; no file is in two of the lists."""
    groups: list[tuple[set[Path], list[tuple[Split, tuple[str, ...]]]]] = []
    for split in splits:
        is_whole = bool(split.members) or any(column.rows for column in split.columns.values())
        fields = [tuple(split.columns)] if is_whole else [(field,) for field in split.columns]
        for some in fields:
            files = {file for field in some for file in _files_of(split.columns[field])}
            sharing = [group for group in groups if group[0] & files]
            columns = [pair for _, pairs in sharing for pair in pairs]
            groups = [group for group in groups if group not in sharing]
            groups.append((files.union(*(its for its, _ in sharing)), [*columns, (split, some)]))
    made = []
    for _, pairs in groups:
        of_split: dict[str, list[str]] = {}
        for split, some in pairs:
            of_split.setdefault(split.name, []).extend(some)
        own = [split for split in splits if split.name in of_split]
        made.append([_with(split, of_split[split.name]) for split in own])
    return made


def _with(split: Split, fields: list[str]) -> Split:
    return replace(split, columns={field: column for field, column in split.columns.items() if field in fields})


def _files_of(column: Column) -> set[Path]:
    return {column.file, *(its.file for its in (column.rows.columns if column.rows else ()))}


def _weight(plan: Plan) -> int:
    return sum(column.nbytes for column in plan.columns) + sum(file.bytes for file in plan.files)


def _is_sent(plan: Plan, least_bytes: int) -> bool:
    return _weight(plan) >= least_bytes // 2 and not any(column.is_encoded for column in plan.columns)


def _task(plan: Plan, beside: Path, folder: Path) -> Task[Written | None]:
    files = tuple(plan.root / file.name for file in plan.files)
    return Task(partial(_decode, plan, folder), _weight(plan), (*files, beside))


def _decode(plan: Plan, folder: Path) -> Written | None:
    """Decode a part into a folder of its own in a folder; return None if it is not what is declared.

    A worker that is taken for lost may still be at it, beside the one that it is given to again.

    Raises:
        MissingLibrary: This process has no library that a format is read by.
        StorageError: The folder cannot be written.
    """
    formats.check_libraries(plan)
    digests: dict[str, str] = {}
    name = uuid.uuid4().hex
    try:
        with closing(_checked(plan)) as blocks:
            array_store.write(folder / name, blocks, check=digests.update)
    except DecodeError:
        return None
    return Written(name, digests)


def _checked(plan: Plan) -> Generator[Block, None, None]:
    try:
        yield from value_checks.checked(shards.decoded(plan), plan.splits)
    except OSError as error:  # of reading: the writer would say that it cannot write
        raise DecodeError(Path(error.filename or plan.root), "it cannot be read") from error


def _read(plan: Plan, folder: Path, digests: dict[str, str]) -> Iterator[Block]:
    """Yield the values that a worker wrote.

    Raises:
        StorageError: They are not what it wrote.
    """
    arrays = ArrayFolder(plan, folder)
    taken = {str(column): ValueDigest.of(column) for column in plan.columns}
    if arrays.is_whole:
        for block in arrays.blocks():
            taken[str(block.column)].add(block.start, block.values)
            yield block
    if {name: digest.sha256 for name, digest in taken.items()} != digests:
        what = f"{folder} is not the same to this process as to the worker that wrote it"
        raise StorageError(what, hint=SHARE, path=folder)
