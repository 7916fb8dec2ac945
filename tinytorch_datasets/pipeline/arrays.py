"""Arrays of a plan: decoded from its files, checked and kept; their cache entry."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import ContentError, DecodeError, StorageError
from tinytorch_datasets.pipeline import shards, workers
from tinytorch_datasets.pipeline.decode import OnError, decoder_facts, recipe_of, versions
from tinytorch_datasets.plan import Block, Declared, Mode, Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage import files as disk
from tinytorch_datasets.storage import lock
from tinytorch_datasets.storage.array_folder import ArrayFolder, collect
from tinytorch_datasets.storage.cache_entry import CachedSplit, CacheEntry
from tinytorch_datasets.storage.memmap import NOWHERE, StatSignature
from tinytorch_datasets.storage.string_array import Values
from tinytorch_datasets.verify import arrays as value_checks
from tinytorch_datasets.verify.files import StatCache, check_files, check_unchanged

if TYPE_CHECKING:
    from concurrent.futures import Executor

# What is decoded was verified: its bytes are the declared ones, whatever they turn out to hold.
CORRECT_THE_ENTRY = "The file has its declared hash, so correct the entry"


def verified_arrays(
    plan: Plan,
    locations: Locations,
    stat_cache: StatCache | None = None,
    *,
    mode: Mode = "auto",
    executor: Executor | None = None,
) -> ArrayFolder:
    """Verify a plan's files and return its decoded arrays, decoded now unless they are there as they were written."""
    stat_cache = stat_cache or StatCache()
    check_files(plan, mode=mode, stat_cache=stat_cache, executor=executor)
    recipe = partial(recipe_of, plan)
    if folder := ArrayFolder.first_match(plan, array_paths(plan, locations), mode, recipe, executor):
        return folder
    target = locations.cache / "arrays" / array_store.folder_name(plan, versions(plan))
    with lock.hold_lock(locations.cache / "locks", target.name, lock.Waiting()):
        # Whoever had the lock before may have decoded it.
        if folder := ArrayFolder.first_match(plan, [target], mode, recipe):
            return folder
        array_store.sweep(locations.cache)
        source = workers.source_for(executor, target)
        with closing(_of_unchanged_files(plan, stat_cache, source)) as made:  # and its files, should writing fail
            array_store.write(target, made, check=partial(check_digests, plan))
    return ArrayFolder(plan, target, {}, recipe)


def value_digests(plan: Plan, locations: Locations) -> dict[str, str]:
    """Return the digest of each column's values, taken now, by column; decoded, unless the arrays are cached."""
    try:
        folder = verified_arrays(plan, locations)
        return {str(column): digest_of(folder.values(column)) for column in plan.columns}
    except StorageError as error:
        if plan.status != "shipped" or not is_unwritable(error, plan):
            raise
    arrays = in_memory(plan, StatCache(), mode="auto")
    return {column: digest_of(values) for column, values in arrays.items()}


def in_memory(plan: Plan, stat_cache: StatCache, *, mode: Mode) -> dict[str, Values | str]:
    """Verify a plan's files and return its decoded arrays, in memory."""
    check_files(plan, mode=mode, stat_cache=stat_cache)
    arrays = collect(_of_unchanged_files(plan, stat_cache, shards.decoded), partial(recipe_of, plan))
    check_digests(plan, {str(column): digest_of(arrays[str(column)]) for column in plan.columns if column.sha256})
    return arrays


def _of_unchanged_files(plan: Plan, stats: StatCache, source: shards.Source) -> Generator[Block, None, None]:
    """Yield all values, and raise in the end if they may be of other bytes than those that were hashed."""
    try:
        yield from blocks(plan, source=source)
    except DecodeError:
        check_unchanged(plan, stats)  # if not, that is what is wrong
        raise
    except OSError as error:  # of reading: the writer would say that it cannot write
        with disk.reading(Path(error.filename or plan.root), where=plan.where, hint=plan.hint):
            raise
    check_unchanged(plan, stats)


def check_digests(plan: Plan, digests: Mapping[str, str]) -> None:
    """Compare the digests of decoded values with those that the manifest declares.

    Raises:
        ContentError: One is another.
    """
    for error in value_checks.other_digests(plan.columns, digests):
        raise error.with_context(where=plan.where, hint=_correct(plan))


def array_paths(plan: Plan, locations: Locations) -> list[Path]:
    """Return every folder that may have a plan's decoded arrays, in the order to look."""
    name = array_store.folder_name(plan, versions(plan))
    return [cache / "arrays" / name for cache in locations.caches]


def array_folders(plan: Plan, locations: Locations) -> Iterator[ArrayFolder]:
    """Open every folder that may have a plan's decoded arrays, in the order to look."""
    return (ArrayFolder(plan, path, recipe=partial(recipe_of, plan)) for path in array_paths(plan, locations))


def blocks(plan: Plan, *, on_error: OnError | None = None, source: shards.Source = shards.decoded) -> Iterator[Block]:
    """Yield all values of a data set, decoded from its verified files and checked against what is declared.

    `on_error` is called with what of the values is not as declared, and decoding goes on; without it, the first
    of those is raised. `source` is what decodes them.

    Raises:
        DecodeError: A file is not what its format, or the manifest, says. It names the line of the manifest, and what
            to do: what the error itself says, or else to correct the entry.
    """

    def collect(error: ContentError) -> None:
        if on_error is None:
            raise error
        on_error(error.with_context(where=value_checks.declared_at(error, plan.splits) or plan.where))

    try:
        with closing(source(plan, on_error=collect)) as made:
            yield from value_checks.checked(made, plan.splits, on_error=collect)
    except DecodeError as error:
        error.with_context(where=value_checks.declared_at(error, plan.splits) or plan.where, hint=_correct(plan))
        raise


def _correct(plan: Plan) -> str:
    return f"{CORRECT_THE_ENTRY}; `tinytorch-datasets audit {plan.name}` lists all that differs."


def make_cache_entry(
    declared: Declared, plan: Plan, folder: ArrayFolder | None, signatures: Mapping[str, StatSignature]
) -> CacheEntry:
    """Make the cache entry of a data set from its plan, its decoded arrays, and the signatures of its files by path.

    Without a folder, as of arrays that are in memory, it can be kept by nobody.

    Raises:
        FileNotFoundError: An array is gone, or not whole.
    """
    splits = []
    for split in plan.splits:
        columns = split.columns.items()
        parts = {field: folder.parts(column) if folder else [NOWHERE] for field, column in columns}
        splits.append(
            CachedSplit(
                split.name,
                fields={field: parts[field] for field, column in columns if column.per == "sample"},
                texts={field: parts[field][0] for field, column in columns if column.per == "split"},
                scales={field: column.scale for field, column in columns if column.scale is not None},
                ragged={field: column.shape for field, column in columns if column.is_ragged and not column.is_encoded},
                rates={field: rate for field, column in columns if (rate := plan.frame_rate(column)) is not None},
                encoded={field: decoder_facts(column, plan) for field, column in columns if column.is_encoded},
                stretch=split.stretch,
            )
        )
    return CacheEntry(
        name=plan.name,
        manifest=next(iter(declared.included_by), str(declared.manifest)),
        folder=str(folder.path) if folder else "",
        splits=tuple(splits),
        classes=plan.classes,
        manifests={
            **{path: sha256 for path, (sha256, *_) in declared.included_by.items()},
            str(declared.manifest): declared.sha256,
        },
        files={str(plan.root / file.name): file.sha256 for file in plan.files},
        digests=folder.digests if folder else {},
        entry=declared.entry,
        signatures={
            # The manifest's signature is of before it was read: a change since then is a change.
            **{path: signature for path, (_, signature, _) in declared.included_by.items()},
            str(declared.manifest): declared.signature,
            **signatures,
            **(folder.signatures if folder else {}),
        },
        rank=plan.rank,
        includes={path: leads_to for path, (*_, leads_to) in declared.included_by.items()},
    )


def is_unwritable(error: StorageError, plan: Plan) -> bool:
    """Check whether an error is that no folder takes decoded arrays; not that a file of the plan cannot be read."""
    if error.path.is_relative_to(plan.root):
        return False
    # A home folder of /dev/null is how some systems say that a user has none.
    return error.errno in disk.UNWRITABLE or error.path.is_relative_to(os.devnull)
