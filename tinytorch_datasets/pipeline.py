"""The order of the stages: manifest, fetch, verify, decode, cache.

Manifest, fetch, verify, decode, cache, hand over: `run` is the one function that knows, and no stage calls
another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_datasets import formats, settings
from tinytorch_datasets.errors import ChangedFile, DecodeError, MissingFile, StorageError
from tinytorch_datasets.fetch import DEFAULT_RETRY, RetryPolicy, fetch, leftovers
from tinytorch_datasets.manifest import compiled
from tinytorch_datasets.plan import Block, Declared, Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage import cache_entry as cache_entries
from tinytorch_datasets.storage import files as disk
from tinytorch_datasets.storage import lock
from tinytorch_datasets.storage.arrays import arrays_hold, remember_arrays
from tinytorch_datasets.storage.cache_entry import CachedSplit, CacheEntry
from tinytorch_datasets.storage.memmap import stat_signature
from tinytorch_datasets.storage.stat_cache import Mode, StatCache
from tinytorch_datasets.verify import arrays as value_checks
from tinytorch_datasets.verify.files import check, unchanged

if TYPE_CHECKING:
    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.progress import Progress


# Other programs clean the cache while we fill it, or touch a file while we read it; mostly once.
TRIES = 3
# What is decoded was verified: its bytes are the promised ones, whatever they turn out to hold.
CORRECT_THE_ENTRY = "The file has its declared hash, so correct the entry"


def read_manifest(path: Path) -> Manifest:
    """The manifest in that file, checked against the formats there are."""
    from tinytorch_datasets.manifest import manifest  # and with it YAML and Pydantic

    return manifest.load(path, formats)


def declared(path: Path, name: str) -> Declared:
    """What the manifest in that file declares of a data set: as it was compiled, or else read and checked now."""
    return compiled.declared(path, name) or read_manifest(path).declared(name)


def compile_manifest(path: Path) -> bytes:
    """The compiled form of the manifest in that file, which is read and checked now."""
    manifest = read_manifest(path)
    return compiled.written(manifest.declared(name) for name in manifest.datasets)


def run(
    declared: Declared,
    locations: Locations,
    *,
    mirror: str | None,
    offline: bool,
    verify: Mode,
    progress: Progress | None,
    retry: RetryPolicy | None = None,
    opened: Callable[[CacheEntry], Dataset],
) -> Dataset:
    """Every stage for one data set, and the receipt that lets the next `get` skip them; `opened` opens what it says."""
    plan = locate(declared.plan, locations)
    stamps = stat_cache_of(plan, locations)
    if plan.status == "remote":
        brought = fetch(
            plan.files,
            plan.root,
            folder=plan.folder,
            mirror=mirror,
            offline=offline,
            locks=locations.cache / "locks",
            progress=progress,
            dataset=plan.name,
            retry=retry or DEFAULT_RETRY,
        )
        for file, seen in brought:
            if seen is not None:
                stamps.remember(plan.root / file.name, file.sha256, seen)
    for trial in range(TRIES):
        try:
            return opened(_cache_entry(declared, plan, locations, mode=verify, stamps=stamps))
        except MissingFile:
            raise
        except ChangedFile:
            if trial == TRIES - 1:
                raise
        except FileNotFoundError as error:
            gone = error
    what = f"{gone.filename or plan.name} was gone {TRIES} times when it was about to be opened"
    raise StorageError(what, hint="Wait until whatever cleans the folder has ended.", path=locations.cache) from gone


def _cache_entry(declared: Declared, plan: Plan, locations: Locations, *, mode: Mode, stamps: StatCache) -> CacheEntry:
    """The stages after fetching."""
    for file in plan.files:
        check(plan.root / file.name, file, mode=mode, stamps=stamps, hint=plan.hint)
    arrays = decoded(plan, locations, mode=mode, stamps=stamps)
    receipt = cache_entry_of(declared, plan, arrays)
    unchanged(plan, stamps)  # whose stamps the receipt has
    stamps.save()
    disk.keep(Path(cache_entries.place(locations.cache, declared.manifest, plan.name)), receipt.written())
    return receipt


def locations(manifest: Manifest, home: str | os.PathLike[str] | None = None) -> Locations:
    """The folders that a manifest's data lives in; `home` overrules where its downloads are."""
    root = None if home is None else settings.absolute(home)
    return settings.locations(manifest.path, root, download_to=manifest.download_to, shipped_in=manifest.shipped_in)


def plan_of(manifest: Manifest, name: str, locations: Locations) -> Plan:
    """The plan of one data set, its files placed where they are or will be."""
    return locate(manifest.plan(name), locations)


def locate(plan: Plan, locations: Locations) -> Plan:
    """The same plan, its files placed where they are or will be."""
    names = tuple(file.name for file in plan.files)
    return plan.under(locations.files(plan.folder, shipped=plan.status == "shipped", names=names))


def stat_cache_of(plan: Plan, locations: Locations) -> StatCache:
    """What was hashed before of a data set's files and arrays."""
    return StatCache(locations.cache / "stat" / f"{plan.name}.json")


def decoded(plan: Plan, locations: Locations, *, mode: Mode, stamps: StatCache) -> Path:
    """The folder of a plan's decoded arrays, decoded now unless they are there as they were written.

    Its files must have been verified: decoders read what is on disk.
    """
    for kept in array_folders(plan, locations):
        if arrays_hold(plan, kept, mode=mode, stamps=stamps):
            return kept
    target = locations.cache / "arrays" / array_store.folder_name(plan, formats.of(plan.format).version)
    with lock.hold_lock(locations.cache / "locks", target.name, lock.Waiting()):
        # Whoever held the lock before may have decoded it.
        if not arrays_hold(plan, target, mode=mode, stamps=stamps):
            array_store.sweep(locations.cache)
            with closing(_of_unchanged_files(plan, stamps)) as made:  # and its files, should writing fail
                array_store.write(target, made)
            remember_arrays(plan, target, stamps)
    return target


def _of_unchanged_files(plan: Plan, stamps: StatCache) -> Generator[Block, None, None]:
    """All values, and an error in the end if they may be of other bytes than those that were hashed."""
    try:
        yield from blocks(plan)
    except DecodeError:
        unchanged(plan, stamps)  # if not, that is what is wrong
        raise
    except OSError as error:  # of reading: `cache.write` would say that it cannot write
        with disk.reading(Path(error.filename or plan.root), where=plan.where, hint=plan.hint):
            raise
    unchanged(plan, stamps)


def array_folders(plan: Plan, locations: Locations) -> list[Path]:
    """Every folder that may have a plan's decoded arrays, in the order to look."""
    name = array_store.folder_name(plan, formats.of(plan.format).version)
    return [kept / "arrays" / name for kept in locations.caches]


def blocks(plan: Plan, *, hint: str | None = None) -> Generator[Block, None, None]:
    """All values of a data set, decoded from its verified files and checked against what is declared.

    Raises:
        DecodeError: A file is not what its format, or the manifest, says. It names the line of the manifest, and what
            to do: what the error itself says, or `hint`, or else to correct the entry.
    """
    form = formats.of(plan.format)
    try:
        yield from value_checks.checked(form.decode(plan.splits, **plan.options), plan.splits)
    except DecodeError as error:
        correct = f"{CORRECT_THE_ENTRY}; `tinytorch-datasets audit {plan.name}` lists all that differs."
        where = value_checks.declared_at(error, plan.splits) or plan.where
        error.with_context(where=where, hint=hint or correct)
        raise


def cache_entry_of(declared: Declared, plan: Plan, arrays: Path) -> CacheEntry:
    """What opening the data set takes, made from the plan and from the decoded arrays' own headers.

    Raises:
        FileNotFoundError: An array is gone, or not whole; or a file is.
    """
    splits = []
    stamped = [declared.manifest, *(plan.root / file.name for file in plan.files)]
    for split in plan.splits:
        parts = {field: array_store.parts_of(column, arrays) for field, column in split.columns.items()}
        stamped += [arrays / part.file for found in parts.values() for part in found]
        columns = split.columns
        splits.append(
            CachedSplit(
                split.name,
                {field: found for field, found in parts.items() if columns[field].per == "sample"},
                {field: found[0] for field, found in parts.items() if columns[field].per == "split"},
                {field: c.range[1] for field, c in columns.items() if c.range and c.range[0] == 0 and c.shape},
            )
        )
    stamps = {str(path): stat_signature(path) for path in stamped}
    # The manifest's stamp is of before it was read: a change since then is a change.
    stamps[str(declared.manifest)] = declared.stamp
    return CacheEntry(
        name=plan.name,
        manifest=str(declared.manifest),
        folder=str(arrays),
        splits=tuple(splits),
        classes=plan.classes,
        manifest_sha256=declared.sha256,
        files={str(plan.root / file.name): file.sha256 for file in plan.files},
        runs=array_store.runs(arrays),
        entry=declared.entry,
        stamps=stamps,
    )


def shipped_files(manifest: Manifest, locations: Locations) -> set[Path]:
    """Every file that ships, whichever entry declares it."""
    shipped = (name for name, entry in manifest.datasets.items() if entry.status == "shipped")
    return {locations.shipped / manifest.folder(name) / file for name in shipped for file in manifest.entry(name).files}


def clean(plan: Plan, locations: Locations, *, downloads: bool = True, sparing: Collection[Path] = ()) -> int:
    """Remove a data set's decoded arrays and, if it is remote, its downloads, whole or in part; the bytes freed.

    Files in `sparing` are not removed, as those that ship, in whose folder downloads may be as well.
    """
    spared = {path.resolve() for path in sparing}
    freed = array_store.clean(locations.cache, plan.name)
    for receipt in (locations.cache / "entries").glob(f"{plan.name}-*.json"):
        if receipt.stem.rpartition("-")[0] == plan.name:
            freed += disk.remove(receipt)
    if downloads and plan.status == "remote":
        for file in plan.files:
            target = plan.root / file.name
            if target.resolve() not in spared:
                freed += sum(disk.remove(path) for path in (target, *leftovers(target)))
        freed += disk.remove(locations.cache / "stat" / f"{plan.name}.json")
    return freed
