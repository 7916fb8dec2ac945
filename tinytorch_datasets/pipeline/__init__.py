"""The order of the stages: manifest, fetch, verify, decode, cache.

`run` is the one function that knows it, and no stage calls another.

Until the files are fetched, nothing here needs NumPy, which takes as long to import as such a fetch: what decodes them
(`arrays`, and the formats) is imported while they come.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tinytorch_datasets import formats, settings
from tinytorch_datasets.concurrency import Cancellation, collection_paused, switching_often
from tinytorch_datasets.errors import (
    ChangedFile,
    DecodeError,
    FetchError,
    HashMismatch,
    ManifestError,
    MissingFile,
    MissingLibrary,
    StorageError,
    UnknownName,
    UsageError,
)
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.pipeline import manifests
from tinytorch_datasets.plan import Declared, Mode, Plan, Rank
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import cache_entry as cache_entries
from tinytorch_datasets.storage import files as disk
from tinytorch_datasets.storage.cache_entry import CacheEntry
from tinytorch_datasets.verify.files import StatCache, check_unchanged

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.pipeline.arrays import (
        CORRECT_THE_ENTRY,
        array_folders,
        array_paths,
        blocks,
        make_cache_entry,
        value_digests,
        verified_arrays,
    )
    from tinytorch_datasets.progress import Progress
    from tinytorch_datasets.storage.string_array import Values

__all__ = [
    "CORRECT_THE_ENTRY",
    "UNTRIED",
    "Options",
    "array_folders",
    "array_paths",
    "blocks",
    "bytes_to_decode",
    "containers",
    "fetch_files",
    "in_use",
    "is_on_disk",
    "locations",
    "make_cache_entry",
    "manifests",
    "name_line",
    "named_variant",
    "placed",
    "plan_of",
    "run",
    "value_digests",
    "verified_arrays",
]

# Other programs clean the cache while we fill it, or touch a file while we read it; mostly once.
TRIES = 3
UNTRIED = "declared from what others publish, and never tried on the real files"

Arrays: TypeAlias = "Mapping[str, Values | str]"

log = logging.getLogger("tinytorch_datasets.get")

# What others take from here, and `arrays` has: it needs NumPy, so it is imported when it is asked for.
_OF_ARRAYS = frozenset(
    {
        "CORRECT_THE_ENTRY",
        "array_folders",
        "array_paths",
        "blocks",
        "make_cache_entry",
        "value_digests",
        "verified_arrays",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _OF_ARRAYS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.arrays"), name)


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
    wanted = declared.plan if variant is None else named_variant(declared.plan, variant)
    if rank is not None:
        from tinytorch_datasets.pipeline.shards import part_of  # which few need, and NumPy with it

        wanted = part_of(wanted, rank)
    plans = containers(wanted, locations, options.mirror)
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
        if not _fits_in_memory(plan, error):
            raise
        log.info("%s: decoded into memory, for %s", plan.name, error.what)
    from tinytorch_datasets.pipeline import arrays

    stat_cache = StatCache()
    in_memory = arrays.in_memory(plan, stat_cache, mode=options.verify)
    return options.open_entry(arrays.make_cache_entry(declared, plan, None, stat_cache.signatures(plan)), in_memory)


def _run_on_disk(declared: Declared, plan: Plan, locations: Locations, options: Options) -> Dataset:
    if locations.home == declared.manifest.parent / declared.download_to:
        manifests.make_home(locations.home)
    entry_file = cache_entries.entry_path(locations.cache, declared.manifest, plan.name, plan.rank)
    stat_cache = StatCache(CacheEntry.read(entry_file))
    if plan.status == "remote":
        to_decode = bytes_to_decode(plan, locations)
        fetch_files(plan, locations, options, stat_cache, to_decode, meanwhile=partial(_import_what_decodes, plan))
    from tinytorch_datasets.pipeline import arrays

    for trial in range(TRIES):
        try:
            folder = arrays.verified_arrays(plan, locations, stat_cache, mode=options.verify, executor=options.executor)
            check_unchanged(plan, stat_cache)  # whose signatures the cache entry has
            signatures = stat_cache.signatures(plan)
            own = arrays.make_cache_entry(declared._replace(included_by={}), plan, folder, signatures)
            entry = arrays.make_cache_entry(declared, plan, folder, signatures)
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


def _fits_in_memory(plan: Plan, error: StorageError) -> bool:
    """Check whether a plan's arrays may stay in memory, because an error is that no folder takes them."""
    from tinytorch_datasets.pipeline import arrays

    return plan.status == "shipped" and arrays.is_unwritable(error, plan)


def _import_what_decodes(plan: Plan) -> None:
    """Import what comes after fetching; what fails here fails again where it is needed, and is reported then."""
    with suppress(Exception), collection_paused(), switching_often():  # who fetches needs the interpreter for moments
        import_module(f"{__name__}.arrays")
        for name in plan.formats:
            formats.of(name)
        import_module("tinytorch_datasets.dataset")


def fetch_files(
    plan: Plan,
    locations: Locations,
    options: Options,
    stat_cache: StatCache,
    extra_bytes: int,
    *,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Fetch what is missing of a plan's files, and remember that each was hashed.

    `extra_bytes` and `meanwhile` are as of `fetch`.
    """
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
        meanwhile=meanwhile,
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
    others = [variant.placed(folders) for variant in plan.variants] if not is_on_disk(plan) else []
    return next(filter(is_on_disk, others), plan), folders


def bytes_to_decode(plan: Plan, locations: Locations) -> int:
    """Count the bytes of the arrays that are still to be written; how long texts are, nobody knows yet.

    What is kept encoded takes what its files take, or little more where those are compressed once more.
    """
    if _has_arrays(plan, locations):
        return 0
    if disk.device_of(plan.root) != disk.device_of(locations.cache):  # the room that is checked is of the downloads
        return 0
    encoded = {column.file for column in plan.columns if column.is_encoded}
    files = (f.bytes for f in plan.files if plan.root / f.name in encoded or plan.root in encoded)
    return sum(column.nbytes for column in plan.columns if not column.is_encoded) + sum(files)


def _has_arrays(plan: Plan, locations: Locations) -> bool:
    """Check whether there is a folder of a plan's arrays; where there is none of its data set, no decoder is asked."""
    try:
        names = [name for cache in locations.caches for name in disk.names_in(cache / "arrays")]
    except StorageError:
        names = [f"{plan.name}-"]  # or any other: nobody may list them
    if not any(name.startswith(f"{plan.name}-") for name in names):
        return False
    from tinytorch_datasets.pipeline import arrays

    return any(disk.exists(path) for path in arrays.array_paths(plan, locations))


def containers(plan: Plan, locations: Locations, mirror: str | None) -> list[Plan]:
    """Return a data set's plan and those of its variants, files placed, in the order to try: first what is at hand."""
    plans = [one.placed(locations) for one in (plan, *plan.variants)]
    if len(plans) < 2:
        return plans
    distances = [0 if _is_at_hand(plan, mirror) else 2 for plan in plans]
    if 0 not in distances:
        from tinytorch_datasets.fetch import ReusableFiles, library_folders  # and with them requests

        # Before 170 MB are downloaded, what other libraries have is looked for, as `fetch` does for each container.
        missing = ReusableFiles((file for plan in plans for file in plan.files), library_folders()).to_download()
        distances = [2 if any(file in missing for file in plan.files) else 1 for plan in plans]
    return [plan for _, plan in sorted(zip(distances, plans, strict=True), key=lambda one: one[0])]


def named_variant(plan: Plan, variant: str) -> Plan:
    """Return the plan of the variant of that name.

    Raises:
        UnknownName: The data set has none of that name.
        UsageError: It is no name.
    """
    if not isinstance(variant, str):
        msg = f"variant is the name of one, not {variant!r}"
        raise UsageError(msg)
    for one in plan.variants:
        if one.variant == variant:
            return one
    raise UnknownName(variant, [one.variant for one in plan.variants], kind=f"variant of {plan.name!r}")


def is_on_disk(plan: Plan) -> bool:
    """Check whether every file of a plan is where it belongs, whatever is in it."""
    try:
        return all(disk.is_file(plan.root / file.name) for file in plan.files)
    except StorageError:
        return False  # of another user's, and so not at hand; whoever reads it will say so


def _is_at_hand(plan: Plan, mirror: str | None) -> bool:
    """Check whether every file is on this disk, or in the folder that is given as the mirror, at its size."""
    if is_on_disk(plan):
        return True
    if not mirror or "://" in mirror:
        return False
    folders = (Path(mirror, plan.folder), Path(mirror))
    return all(any(_has_size(folder / file.name, file.bytes) for folder in folders) for file in plan.files)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False  # not there, or not for us: then it is not at hand
