"""The public functions: `get`, `load_manifest`, `list_datasets`.

`get` first looks for a cache entry: if the data set was returned before and nothing it depends on has changed, its
maps are opened, and nothing but NumPy is imported. Otherwise the whole pipeline runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from tinytorch_datasets import settings
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.errors import StorageError, UsageError, check_choice, check_flag
from tinytorch_datasets.settings import Settings
from tinytorch_datasets.storage.cache_entry import CachedSplit, CacheEntry, assemble, entries_of
from tinytorch_datasets.storage.memmap import Part, open_map

if TYPE_CHECKING:  # what brings NumPy is imported when arrays are opened, so that hashing can begin before
    from concurrent.futures import Executor

    from typing_extensions import TypedDict, Unpack

    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.fetch import RetryPolicy
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.pipeline.streamed import StreamedDataset
    from tinytorch_datasets.plan import Declared
    from tinytorch_datasets.progress import Progress
    from tinytorch_datasets.split import Split
    from tinytorch_datasets.storage.string_array import Values

    Mode = Literal["auto", "always"]
    AnyPath = str | os.PathLike[str]
    ManifestLike = AnyPath | Manifest | None
    # Besides the name: the manifest, the homes given or else the user's cache folder, and the rank.
    _Asked = tuple[str, tuple[str, ...] | str, tuple[int, int] | None]

    class Options(TypedDict, total=False):
        """The options of `get` that say nothing of what is returned."""

        manifest: ManifestLike
        home: AnyPath | None
        mirror: AnyPath | None
        offline: bool | None
        verify: Mode
        progress: Progress | None
        retry: RetryPolicy | None
        variant: str | None
        standin: bool | None
        shards: tuple[int, int] | None
        split: None
        executor: Executor | None


@overload
def get(name: str, *, stream: Literal[True] | str, **options: Unpack[Options]) -> StreamedDataset: ...
@overload
def get(name: str, *, stream: bool | str = False, **options: Unpack[Options]) -> Dataset: ...
def get(
    name: str,
    *,
    manifest: ManifestLike = None,
    home: AnyPath | None = None,
    mirror: AnyPath | None = None,
    offline: bool | None = None,
    verify: Mode = "auto",
    progress: Progress | None = None,
    retry: RetryPolicy | None = None,
    variant: str | None = None,
    standin: bool | None = None,
    shards: tuple[int, int] | None = None,
    stream: bool | str = False,
    split: None = None,
    executor: Executor | None = None,
) -> Dataset:
    """Return a data set: fetched, verified and decoded on first use, memory-mapped ever after.

    Args:
        name: Its name in the manifest, or one of its aliases; the case of letters does not matter.
        manifest: Another manifest than the packaged one: a path, or what `load_manifest` gave.
        home: The folder for downloads and decoded arrays; None takes ``TINYTORCH_DATASETS_HOME``, else what the
            manifest says, else the user's cache folder. A home in a store (``s3://bucket/home``) is only read: its
            files are fetched into the folder that it would be without it.
        mirror: A URL, also of a store, or a folder to try before the declared mirrors, laid out
            ``<mirror>/<folder>/<file>`` or with the files themselves in it; None takes ``TINYTORCH_DATASETS_MIRROR``.
        offline: True opens no socket; None takes ``TINYTORCH_DATASETS_OFFLINE``.
        verify: "auto" hashes a file, or a decoded array, once and again when it changes; "always" hashes every
            byte of both now.
        progress: Called with (file, bytes done, bytes in all) in place of the bars on stderr; from several threads,
            but never by two at once.
        retry: How long to wait for mirrors and how often to try; None for a `RetryPolicy()`.
        variant: The name of a declared variant: the same values in another container, which is taken and no other;
            None takes the first that is at hand, or that can be fetched.
        standin: True makes data up from the declaration alone, in memory, with a `StandInWarning`: nothing is
            downloaded, read or kept, whatever else is asked for. None takes ``TINYTORCH_DATASETS_STANDIN``.
        shards: ``(3, 8)`` is for process 3 of 8, counted from 0: of each split it has a stretch of the samples, which
            all together are the split, and of which none has more than one sample more. Only the shards that these
            are in are fetched and decoded, where a split is over many files. None takes everything.
        stream: True gives splits to iterate over, whose shards are fetched, verified and decoded as they are asked
            for; at most 10 GB of them are kept on disk, or as much as ``stream="2 GB"`` says. They have no samples by
            number, and no field as a whole.
        split: Not taken, because the splits are attributes of what is returned: whatever is given here is refused with
            the line to write, such as ``get("mnist").train[:6000]`` for "train[:10%]".
        executor: What hashes and decodes in place of this process, as for `audit`, which says what it may be. Shards,
            and what is in files of its own, are decoded by workers that see the folder of decoded arrays, and put
            together and checked in this process; what is in one file is decoded, and all is fetched and streamed, here.

    Raises:
        UsageError: An argument is not what it should be, or an environment variable names no path that there can be.
        UnknownName: The manifest has no such name.
        ManifestError: The manifest is wrong.
        FetchError: No mirror gave a file; OfflineError if none could be asked.
        VerifyError: A file on disk is not the declared one.
        DecodeError: A file is not what its format, or the manifest, says.
        StorageError: A folder cannot be written to, or the disk is full.

    >>> digits = get("tinydigits")
    >>> digits.train.images.shape, digits.train.images.dtype
    ((1000, 8, 8), dtype('float32'))
    >>> image, label = digits.test[0]
    >>> digits.classes[label] in "0123456789"
    True
    """
    check_choice(verify, "verify", ("auto", "always"))
    if offline is not None:
        check_flag(offline, "offline")
    if standin is not None:
        check_flag(standin, "standin")
    if progress is not None and not callable(progress):
        msg = f"progress is called with (file, bytes done, bytes in all), and {progress!r} cannot be called"
        raise UsageError(msg)
    if retry is not None and not hasattr(retry, "connections_per_host"):
        msg = f"retry is a RetryPolicy, not {retry!r}"
        raise UsageError(msg)
    if split is not None:
        from tinytorch_datasets.subsets import split_expression

        samples = {each.name: each.samples for each in _declared(name, manifest, offline).plan.splits}
        what = f"get() returns all splits of a data set, and takes no split={split!r}"
        raise UsageError(what, hint=f"Write `{split_expression(name, split, samples)}`.")
    rank = None
    if shards is not None:  # as few do, and NumPy comes with it
        from tinytorch_datasets.subsets import checked_rank

        rank = checked_rank(shards, variant)
    if executor is not None:
        from tinytorch_datasets.concurrency.executors import check_executor

        check_executor(executor)
    chosen = Settings.from_environment(offline=offline)
    root, stores = None, chosen.stores
    if isinstance(home, str) and settings.scheme_of(home) in settings.STORES:
        stores = (home,)
    elif home is not None:
        root, stores = settings.absolute(home, name="home"), ()
    if mirror is not None and not isinstance(mirror, str):
        mirror = settings.absolute(mirror, name="mirror")
    bound = 0
    if stream is not False:
        from tinytorch_datasets.pipeline.stream import open_stream, parse_bound  # which few data sets need

        bound = parse_bound(stream, variant)
    if chosen.standin if standin is None else standin:
        from tinytorch_datasets.pipeline.standin import open_stand_in  # which nobody needs who has the real data

        return open_stand_in(_declared(name, manifest, offline), _open_entry, rank=rank, variant=variant)
    has_entry = _is_path(manifest) and variant is None and not bound and (executor is None or verify == "auto")
    if has_entry:
        path = settings.manifest_path(manifest, chosen)  # type: ignore[arg-type]
        # Where no home is given, the rest of what its homes depend on is in manifests, whose signatures are asked.
        asked = path, (chosen.homes if root is None else (root,)) or settings.likely_cache(), rank
        dataset = _open_cached(str(name), asked, root, verify)
        if dataset is not None:
            return dataset
    from tinytorch_datasets.concurrency import collection_paused

    with collection_paused():
        from tinytorch_datasets import pipeline  # everything heavy stands behind it

    declared = _declared(name, manifest, offline)
    if has_entry and declared.plan.name != name:  # an alias, which no cache entry has
        dataset = _open_cached(declared.plan.name, asked, root, verify)
        if dataset is not None:
            _entries[name, asked] = _entries[declared.plan.name, asked]
            return dataset
    from tinytorch_datasets.fetch import DEFAULT_RETRY

    options = pipeline.Options(
        mirror=mirror if mirror is not None else chosen.mirror,
        offline=chosen.offline,
        stores=stores,
        verify=verify,
        progress=progress,
        retry=retry or DEFAULT_RETRY,
        open_entry=_open_entry,
        executor=executor,
    )
    folders = {"download_to": declared.download_to, "shipped_in": declared.shipped_in}
    locations = settings.locations(declared.manifest, root, **folders)
    with pipeline.manifests.naming_included(declared):
        if bound:
            return open_stream(declared, locations, options, bound=bound, rank=rank)
        return pipeline.run(declared, locations, options, variant=variant, rank=rank)


def load_manifest(path: AnyPath | None = None, *, offline: bool | None = None) -> Manifest:
    """Read and check a manifest.

    Args:
        path: The YAML file; None takes the one that ``TINYTORCH_DATASETS_MANIFEST`` names, else the one that
            came with this package.
        offline: True downloads none that it includes; None takes ``TINYTORCH_DATASETS_OFFLINE``.

    Raises:
        ManifestError: Something is wrong with it; `problems` has everything that is, each with its line.

    >>> load_manifest().datasets["mnist"].format
    'idx'
    """
    from pathlib import Path

    from tinytorch_datasets.pipeline import manifests

    return manifests.read(Path(settings.manifest_path(path)), offline=offline)


def list_datasets(*, manifest: ManifestLike = None) -> list[str]:
    """Return the names that `get` takes, in the manifest's order; those of included manifests follow.

    >>> list_datasets()[:5]
    ['tinydigits', 'tinytalks', 'mnist', 'cifar10', 'fashion-mnist']
    """
    if _is_path(manifest):
        from pathlib import Path

        from tinytorch_datasets.pipeline import manifests

        return manifests.names(Path(settings.manifest_path(manifest)))  # type: ignore[arg-type]
    return list(manifest_of(manifest).datasets)


def manifest_of(given: ManifestLike, *, offline: bool | None = None) -> Manifest:
    """Return the manifest itself, whichever way it was given."""
    if _is_path(given):
        return load_manifest(given, offline=offline)  # type: ignore[arg-type]
    from tinytorch_datasets.manifest.manifest import Manifest

    if not isinstance(given, Manifest):
        msg = f"manifest is a path, or what load_manifest returned, not {given!r}"
        raise UsageError(msg)
    return given


def _is_path(manifest: ManifestLike) -> bool:
    return manifest is None or isinstance(manifest, str | os.PathLike)


def _declared(name: str, manifest: ManifestLike, offline: bool | None) -> Declared:
    if not _is_path(manifest):
        return manifest_of(manifest).declared(name)
    from pathlib import Path

    from tinytorch_datasets.pipeline import manifests

    return manifests.declared(Path(settings.manifest_path(manifest)), name, offline=offline)  # type: ignore[arg-type]


def _open_cached(name: str, asked: _Asked, home: str | None, verify: Mode) -> Dataset | None:
    """Open the data set by its cache entry, read in this process or an earlier one; None if none is current."""
    key, (manifest, _, rank) = (name, asked), asked
    if key in _entries and (dataset := _open_current(_entries[key], verify)) is not None:
        return dataset
    for path, entry in entries_of(name, manifest, settings.likely_homes(manifest, home), home, rank):
        if (dataset := _open_current(entry, verify)) is not None:
            _entries[key] = entry
            return dataset
        if (renewed := entry.renewed()) and (dataset := _open_current(renewed, verify)) is not None:
            from pathlib import Path

            from tinytorch_datasets.storage.files import write_if_possible

            write_if_possible(Path(path), renewed.to_bytes())
            _entries[key] = renewed
            return dataset
    return None


def _open_current(entry: CacheEntry, verify: Mode) -> Dataset | None:
    if not (entry.has_current_sources() if verify == "auto" else entry.is_current()):
        return None
    try:
        return _open_entry(entry, {}) if verify == "auto" else _open_hashed(entry)
    except StorageError:
        raise  # no room for the arrays, and no stage would find more
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError):
        return None  # an array is another one, or not what the entry says: every stage will say why


def _open_hashed(entry: CacheEntry) -> Dataset | None:
    """Open the data set while every byte of it is hashed; None if one is another, or only the manifest would tell.

    A cache entry is no witness of what a manifest declares, nor of which one does: whoever could write one could write
    arrays and their digests as well.
    """
    if entry.declared_in != entry.manifest:
        return None
    from tinytorch_datasets.concurrency import switching_often
    from tinytorch_datasets.digests import DigestsAhead

    with switching_often(), DigestsAhead(entry.stretches()) as ahead:
        from tinytorch_datasets.manifest import generated

        declared = generated.value_digests(entry)
        if declared is None and not entry.declares_no_values():
            return None
        ahead.wait_for_core()
        dataset = _open_entry(entry, {})
        return dataset if entry.matches_every_byte(dataset, declared or {}, ahead) else None


def _open_entry(entry: CacheEntry, arrays: Mapping[str, Values | str], *, note: str = "") -> Dataset:
    """Open the data set that a cache entry describes: each time by maps of its own, or by arrays that are in memory.

    What somebody writes into maps, past their flag, is in no other's. `note` is shown with it, and in its provenance.
    """
    if "numpy" not in sys.modules:  # it brings no garbage, and to look for some takes a twentieth of the time
        from tinytorch_datasets.concurrency import collection_paused

        with collection_paused():
            import tinytorch_datasets.dataset  # noqa: F401
    from tinytorch_datasets.dataset import Dataset

    declared = entry.entry.get("fields", {})
    splits = {split.name: _open_split(split, entry, arrays, declared, note) for split in entry.splits}
    return Dataset(entry.name, splits, classes=entry.classes, describe=partial(_describe, entry, note), note=note)


def _open_split(
    split: CachedSplit, entry: CacheEntry, arrays: Mapping[str, Any], declared: Mapping[str, Any], note: str
) -> Split:
    def opened(field: str, parts: Sequence[Part]) -> Any:
        if arrays:
            return arrays[f"{split.name}.{field}"]
        maps = [open_map(entry.folder, part, entry.signatures) for part in parts]
        if field in split.encoded:
            from tinytorch_datasets.storage.encoded_array import EncodedArray, Recipe  # which few data sets have

            own = split.encoded[field]
            dtype, shape = own["column"]["dtype"], own["column"]["shape"]
            return EncodedArray.mapped(maps, dtype=dtype, sample_shape=shape, recipe=Recipe(_sample_decoder, own))
        return assemble(maps, split.ragged.get(field))

    fields = {field: opened(field, parts) for field, parts in split.fields.items()}
    texts = {field: opened(field, [part]) for field, part in split.texts.items()}
    for field, rate in split.rates.items():
        declared = {**declared, field: {**declared.get(field, {}), "rate": rate}}
        if field in split.ragged:
            fields[field].rate = rate
    if "IPython" in sys.modules:
        from tinytorch_datasets.display.samples import let_notebooks_show

        let_notebooks_show(split.name, fields, declared, note)
    from tinytorch_datasets.split import Split

    made = Split(split.name, fields, texts=texts, scales=split.scales, declared=declared)
    return made if split.stretch is None or entry.rank is None else made._of_rank(entry.rank, *split.stretch)


def _sample_decoder(facts: Mapping[str, Any]) -> Callable[[bytes], Any]:
    """Return what decodes one sample of a field that is cached encoded, when the first of them is asked for."""
    from tinytorch_datasets.pipeline.stored_values import sample_decoder  # and with it every stage

    return sample_decoder(facts)


def _describe(described: CacheEntry, note: str) -> tuple[Entry, str]:
    """Return the data set's entry, and one line that says where its arrays are from."""
    from tinytorch_datasets.dataset import origin
    from tinytorch_datasets.manifest.models import Entry  # and Pydantic, for the few who ask

    entry = Entry.model_validate(described.entry)
    manifest, sha256 = described.declared_in, described.manifests[described.declared_in]
    if note:
        made_up = f"{note} for {described.name}, made up by tinytorch-datasets {VERSION}"
        return entry, f"{made_up}; sha256 of {os.path.basename(manifest)} {sha256[:16]}"
    containers = (entry.files, *(variant.files for variant in entry.variants.values()))
    taken = {*described.files.values()}
    of_taken = (files for files in containers if {file.sha256 for file in files.values()} == taken)
    files = next(of_taken, entry.files)
    return entry, origin(described.name, files, manifest, sha256)


# Whoever asks twice need not read the cache entry again.
_entries: dict[tuple[str, _Asked], CacheEntry] = {}
