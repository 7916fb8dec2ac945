"""The order of the stages: manifest, fetch, verify, decode, cache.

`run` is the one function that knows it, and no stage calls another.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tinytorch_datasets import formats, settings
from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import (
    ChangedFile,
    ContentError,
    DecodeError,
    FetchError,
    HashMismatch,
    ManifestError,
    MissingFile,
    MissingLibrary,
    StorageError,
)
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.pipeline import manifests, shards, variants, workers
from tinytorch_datasets.pipeline.decode import OnError, decoder_facts, recipe_of, versions
from tinytorch_datasets.plan import Block, Declared, Mode, Plan, Rank
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage import cache_entry as cache_entries
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

    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.progress import Progress


# Other programs clean the cache while we fill it, or touch a file while we read it; mostly once.
TRIES = 3
# What is decoded was verified: its bytes are the declared ones, whatever they turn out to hold.
UNTRIED = "declared from what others publish, and never tried on the real files"
CORRECT_THE_ENTRY = "The file has its declared hash, so correct the entry"

Arrays: TypeAlias = "Mapping[str, Values | str]"

log = logging.getLogger("tinytorch_datasets.get")


class Options(NamedTuple):
    """How a data set is asked for, as of `get`; `open_entry` opens what a cache entry says, or takes given arrays."""

    mirror: str | None
    offline: bool
    stores: Sequence[str]
    verify: Mode
    progress: Progress | None
    retry: RetryPolicy
    open_entry: Callable[[CacheEntry, Arrays], Dataset]
    executor: Executor | None = None
    cancellation: Cancellation | None = None


def run(
    declared: Declared, locations: Locations, options: Options, *, variant: str | None = None, rank: Rank | None = None
) -> Dataset:
    """Run every stage for one data set, and keep the cache entry that lets the next `get` skip them.

    Its variants are tried where it cannot be fetched, and before all else what is at hand; `variant` names the one to
    take. What ships is decoded into memory where no folder can be written. `rank` is the one whose part is wanted, in
    the data set's own container: a digest is of all values, and by it alone another container is accepted.
    """
    wanted = declared.plan if variant is None else variants.named(declared.plan, variant)
    wanted = wanted if rank is None else shards.part_of(wanted, rank)
    plans = variants.containers(wanted, locations, options.mirror)
    failed: FetchError | MissingLibrary | None = None
    for plan in plans:
        try:
            return _run(declared, plan, locations, options)
        except (FetchError, MissingLibrary) as error:  # another container may be at hand, or need no library
            title = plan.variant or "the first container"
            log.info("%s: %s cannot be taken: %s", declared.plan.name, title, error.what)
            failed = error if failed is None or not plan.variant else failed
        except HashMismatch as error:
            if error.hint == plan.hint:  # and not what is certain, such as `git lfs pull`
                error.hint = hint_of_change(plan, declared.manifest)
            raise
        except DecodeError as error:
            # A plan has no line of each option; the manifest, if it is still the same, has.
            with suppress(ManifestError, OSError):
                if error.keys and (manifest := manifests.read(declared.manifest)).sha256 == declared.sha256:
                    name_line(error, manifest, declared.plan.name)
            if declared.is_untried:
                error.hint = f"{error.hint or ''} It is {UNTRIED}: please report this.".strip()
            raise
    assert failed is not None
    if len(plans) > 1:
        others = ", ".join(plan.variant for plan in wanted.variants)
        neither = f"The same values in other containers cannot be fetched either: {others}."
        failed.hint = f"{failed.hint or ''} {neither}".strip()
    raise failed


def hint_of_change(plan: Plan, manifest: Path) -> str:
    """Return the hint for a file that is not as declared; whoever writes a manifest may have changed it on purpose."""
    if_meant = f" If the change was meant, `tinytorch-datasets update {plan.name}` writes the new hash."
    return plan.hint + ("" if str(manifest) == settings.packaged_manifest() else if_meant)


def name_line(error: DecodeError, manifest: Manifest, name: str) -> None:
    """Let an error name the line of the very value of a data set's entry that does not fit, where it is one."""
    if error.keys:
        error.where = manifest.where(name, *error.keys)


def _run(declared: Declared, plan: Plan, locations: Locations, options: Options) -> Dataset:
    formats.check_libraries(plan)
    try:
        return _run_on_disk(declared, plan, locations, options)
    except StorageError as error:
        if plan.status != "shipped" or not _is_unwritable(error, plan):
            raise
        log.info("%s: decoded into memory, for %s", plan.name, error.what)
    stat_cache = StatCache()
    arrays = _in_memory(plan, stat_cache, mode=options.verify)
    return options.open_entry(make_cache_entry(declared, plan, None, stat_cache.signatures(plan)), arrays)


def _is_unwritable(error: StorageError, plan: Plan) -> bool:
    """Check whether an error is that no folder takes decoded arrays; not that a file of the plan cannot be read."""
    if error.path.is_relative_to(plan.root):
        return False
    # A home folder of /dev/null is how some systems say that a user has none.
    return error.errno in disk.UNWRITABLE or error.path.is_relative_to(os.devnull)


def _run_on_disk(declared: Declared, plan: Plan, locations: Locations, options: Options) -> Dataset:
    if locations.home == declared.manifest.parent / declared.download_to:
        manifests.make_home(locations.home)
    entry_file = cache_entries.entry_path(locations.cache, declared.manifest, plan.name, plan.rank)
    stat_cache = StatCache(CacheEntry.read(entry_file))
    if plan.status == "remote":
        fetch_files(plan, locations, options, stat_cache, bytes_to_decode(plan, locations))
    for trial in range(TRIES):
        try:
            folder = verified_arrays(plan, locations, stat_cache, mode=options.verify, executor=options.executor)
            check_unchanged(plan, stat_cache)  # whose signatures the cache entry has
            signatures = stat_cache.signatures(plan)
            own = make_cache_entry(declared._replace(included_by={}), plan, folder, signatures)
            entry = make_cache_entry(declared, plan, folder, signatures)
            dataset = options.open_entry(entry, folder.arrays())
        except MissingFile:
            raise
        except ChangedFile:
            if trial == TRIES - 1:
                raise
        except FileNotFoundError as error:
            gone = error
        else:
            caches = [(own, locations.cache)]
            if entry.manifest != own.manifest:
                caches += [(entry, cache) for cache in locations.caches_of_including[:1]]
            for kept, cache in caches:
                path = cache_entries.entry_path(cache, kept.manifest, plan.name, plan.rank)
                disk.write_if_possible(Path(path), kept.to_bytes())
            return dataset
    what = f"{gone.filename or plan.name} was gone {TRIES} times when it was about to be opened"
    raise StorageError(what, hint="Wait until whatever cleans the folder has ended.", path=locations.cache) from gone


def fetch_files(plan: Plan, locations: Locations, options: Options, stat_cache: StatCache, extra_bytes: int) -> None:
    """Fetch what is missing of a plan's files, and remember that each was hashed; `extra_bytes` are as of `fetch`."""
    for file, signature in fetch(
        plan.files,
        plan.root,
        folder=plan.folder,
        mirror=options.mirror,
        stores=options.stores,
        offline=options.offline,
        locks=locations.cache / "locks",
        progress=options.progress,
        dataset=plan.name,
        retry=options.retry,
        extra_bytes=extra_bytes,
        cancellation=options.cancellation,
    ):
        if signature is not None:
            stat_cache.remember(plan.root / file.name, file.sha256, signature)


def locations(manifest: Manifest, home: str | os.PathLike[str] | None = None) -> Locations:
    """Return the folders that a manifest's own data sets live in; `home` overrules where its downloads are."""
    root = None if home is None else settings.absolute(home, name="home")
    return settings.locations(manifest.path, root, download_to=manifest.download_to, shipped_in=manifest.shipped_in)


def placed(manifest: Manifest, name: str, home: str | os.PathLike[str] | None = None) -> tuple[Plan, Locations]:
    """Return the plan of one data set, its files placed, and the folders of the manifest that declares it."""
    owner = manifest.owner(name)
    folders = locations(owner, home)
    return plan_of(owner, manifest.name_of(name), folders), folders


def plan_of(manifest: Manifest, name: str, locations: Locations) -> Plan:
    """Return the plan of one data set, its files placed where they are or will be."""
    return manifest.plan(name).placed(locations)


def in_use(manifest: Manifest, name: str, home: str | os.PathLike[str] | None = None) -> tuple[Plan, Locations]:
    """Return the plan of the container that is on disk, where only a variant is; else that of the first one."""
    plan, folders = placed(manifest, name, home)
    others = [variant.placed(folders) for variant in plan.variants] if not variants.is_on_disk(plan) else []
    return next(filter(variants.is_on_disk, others), plan), folders


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
        if plan.status != "shipped" or not _is_unwritable(error, plan):
            raise
    arrays = _in_memory(plan, StatCache(), mode="auto")
    return {column: digest_of(values) for column, values in arrays.items()}


def _in_memory(plan: Plan, stat_cache: StatCache, *, mode: Mode) -> Arrays:
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


def bytes_to_decode(plan: Plan, locations: Locations) -> int:
    """Count the bytes of the arrays that are still to be written; how long texts are, nobody knows yet.

    What is kept encoded takes what its files take, or little more where those are compressed once more.
    """
    if any(disk.exists(path) for path in array_paths(plan, locations)):
        return 0
    if disk.device_of(plan.root) != disk.device_of(locations.cache):  # the room that is checked is of the downloads
        return 0
    encoded = {column.file for column in plan.columns if column.is_encoded}
    files = (f.bytes for f in plan.files if plan.root / f.name in encoded or plan.root in encoded)
    return sum(column.nbytes for column in plan.columns if not column.is_encoded) + sum(files)


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
