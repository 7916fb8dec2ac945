"""The public functions: `get`, `load_manifest`, `list_datasets`.

`get` first looks for a receipt: if the data set was handed over before and nothing it stood on has changed, its
maps are opened, and nothing but NumPy is imported. Otherwise the whole pipeline runs.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Literal

from tinytorch_datasets import settings
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.dataset import Dataset, Split
from tinytorch_datasets.settings import Settings
from tinytorch_datasets.storage.cache_entry import CachedSplit, CacheEntry, place
from tinytorch_datasets.storage.memmap import opened
from tinytorch_datasets.storage.string_array import StringArray, Values

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from tinytorch_datasets.fetch import RetryPolicy
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.progress import Progress

    Mode = Literal["auto", "always"]
    AnyPath = str | os.PathLike[str]
    ManifestLike = AnyPath | Manifest | None


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
) -> Dataset:
    """Return a data set: fetched, verified and decoded on first use, memory-mapped ever after.

    Args:
        name: Its name in the manifest, exactly.
        manifest: Another manifest than the packaged one: a path, or what `load_manifest` gave.
        home: The folder for downloads and decoded arrays; None takes ``TINYTORCH_DATASETS_HOME``, else what the
            manifest says, else the user's cache folder.
        mirror: A URL or a folder to try before the declared mirrors, laid out ``<mirror>/<folder>/<file>`` or with
            the files themselves in it; None takes ``TINYTORCH_DATASETS_MIRROR``.
        offline: True opens no socket; None takes ``TINYTORCH_DATASETS_OFFLINE``.
        verify: "auto" hashes a file, or a decoded array, once and again when it changes; "always" hashes every
            byte of both now.
        progress: Called with (file, bytes done, bytes in all) in place of the bars on stderr; from several threads,
            but never by two at once.
        retry: How long to wait for mirrors and how often to try; None for a `RetryPolicy()`.

    Raises:
        ValueError: `verify` is neither.
        UnknownName: The manifest has no such name.
        ManifestError: The manifest is wrong.
        FetchError: No mirror gave a file; OfflineError if none could be asked.
        VerifyError: A file on disk is not the promised one.
        DecodeError: A file is not what its format, or the manifest, says.
        StorageError: A folder cannot be written to, or the disk is full.

    >>> digits = get("tinydigits")
    >>> digits.train.images.shape, digits.train.images.dtype
    ((1000, 8, 8), dtype('float32'))
    >>> image, label = digits.test[0]
    >>> digits.classes[label] in "0123456789"
    True
    """
    if verify not in ("auto", "always"):
        msg = f'verify is "auto" or "always", not {verify!r}'
        raise ValueError(msg)
    chosen = Settings.from_environment()
    root = settings.absolute(home) if home is not None else None
    if _is_path(manifest):
        path = settings.manifest_path(manifest)  # type: ignore[arg-type]
        found = _recalled(str(name), path, settings.likely_homes(path, root), verify)
        if found is not None:
            return found
    from pathlib import Path

    from tinytorch_datasets import pipeline  # everything heavy stands behind it

    one = pipeline.declared(Path(path), name) if _is_path(manifest) else manifest.declared(name)  # type: ignore[union-attr]
    return pipeline.run(
        one,
        settings.locations(one.manifest, root, download_to=one.download_to, shipped_in=one.shipped_in),
        mirror=str(mirror) if mirror is not None else chosen.mirror,
        offline=chosen.offline if offline is None else offline,
        verify=verify,
        progress=progress,
        retry=retry,
        opened=_opened,
    )


def load_manifest(path: AnyPath | None = None) -> Manifest:
    """Read and check a manifest.

    Args:
        path: The YAML file; None takes the one that ``TINYTORCH_DATASETS_MANIFEST`` names, else the one that
            came with this package.

    Raises:
        ManifestError: Something is wrong with it; `problems` has everything that is, each with its line.

    >>> load_manifest().datasets["mnist"].format
    'idx'
    """
    from pathlib import Path

    from tinytorch_datasets import pipeline

    return pipeline.read_manifest(Path(settings.manifest_path(path)))


def list_datasets(*, manifest: ManifestLike = None) -> list[str]:
    """The names that `get` takes, in the manifest's order.

    >>> list_datasets()
    ['tinydigits', 'tinytalks', 'mnist', 'cifar10']
    """
    return list(manifest_of(manifest).datasets)


def manifest_of(given: ManifestLike) -> Manifest:
    """The manifest itself, whichever way it was given."""
    return load_manifest(given) if _is_path(given) else given  # type: ignore[arg-type, return-value]


def _is_path(manifest: ManifestLike) -> bool:
    return manifest is None or isinstance(manifest, str | os.PathLike)


def _recalled(name: str, manifest: str, homes: tuple[str, ...], verify: Mode) -> Dataset | None:
    """The data set as its receipt has it, in this process or an earlier one; None if none holds."""
    held = _held.get((name, manifest, homes))
    if held is not None and _stands(*held, verify):
        return held[1]
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return None  # no data set's name, and nothing to build a path of
    caches = [os.path.join(home, ".cache") for home in homes]
    for cache in caches:
        receipt = CacheEntry.read(place(cache, manifest, name))
        if receipt is not None and receipt.is_of(name, manifest, caches) and receipt.holds():
            try:
                dataset = _opened(receipt)
                if verify == "always" and not receipt.holds_in_every_byte(dataset):
                    continue
            except (OSError, ValueError, TypeError, KeyError, IndexError):
                continue  # its stamps fit, and yet it is not what the arrays are: every stage will say why
            _held[name, manifest, homes] = receipt, dataset
            return dataset
    return None


def _stands(receipt: CacheEntry, dataset: Dataset, verify: Mode) -> bool:
    return receipt.holds() and (verify == "auto" or receipt.holds_in_every_byte(dataset))


def _opened(receipt: CacheEntry) -> Dataset:
    """The data set that a receipt describes, its arrays mapped."""
    splits = {split.name: _opened_split(split, receipt.folder) for split in receipt.splits}
    return Dataset(receipt.name, splits, classes=receipt.classes, describe=partial(_described, receipt))


def _opened_split(split: CachedSplit, folder: str) -> Split:
    fields: dict[str, Values] = {}
    for name, parts in split.fields.items():
        first: np.ndarray = opened(folder, parts[0])
        if len(parts) == 1:
            fields[name] = first
        else:
            places = opened(folder, parts[1])
            fields[name] = StringArray(first, places[:-1], places[1:])
    texts = {name: opened(folder, part) for name, part in split.texts.items()}
    return Split(split.name, fields, texts=texts, scales=split.scales)


def _described(receipt: CacheEntry) -> tuple[Entry, str]:
    """The data set's entry, and one line that says where its arrays are from."""
    from tinytorch_datasets.manifest.models import Entry  # and Pydantic, for the few who ask

    entry = Entry.model_validate(receipt.entry)
    return entry, origin(receipt.name, entry, receipt.manifest, receipt.manifest_sha256)


def origin(name: str, entry: Entry, manifest: str | Path, manifest_sha256: str) -> str:
    """One line that says where a data set's arrays are from."""
    hashes = {os.path.basename(manifest): manifest_sha256}
    hashes |= {path: file.sha256 for path, file in entry.files.items()}
    listed = ", ".join(f"{file} {sha256[:16]}" for file, sha256 in hashes.items())
    return f"{name} from tinytorch-datasets {VERSION}; sha256 of {listed}"


# Data sets are immutable, so whoever asks twice gets the same one, as long as what it stands on has not changed.
_held: dict[tuple[str, str, tuple[str, ...]], tuple[CacheEntry, Dataset]] = {}
