"""In which order do the stages run?

Manifest, fetch, verify, decode, cache, hand over: `get` is the one function that knows, and no stage calls
another.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_datasets import cache, contents, formats, paths
from tinytorch_datasets import manifest as manifests
from tinytorch_datasets import plan as plans
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.dataset import Dataset, Split, Values
from tinytorch_datasets.declarations import Entry
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.fetch import fetch
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.paths import Settings
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.verify import Mode, Stamps, check

if TYPE_CHECKING:
    from tinytorch_datasets.progress import Progress

ManifestLike = str | os.PathLike[str] | Manifest | None


def load_manifest(path: str | os.PathLike[str] | None = None) -> Manifest:
    """Read and check a manifest.

    Args:
        path: The YAML file; None takes the one that ``TINYTORCH_DATASETS_MANIFEST`` names, else the one that
            came with this package.

    Raises:
        ManifestError: Something is wrong with it; `problems` has everything that is, each with its line.

    >>> load_manifest().datasets["mnist"].format
    'idx'
    """
    return manifests.load(paths.manifest_path(path), formats)


def list_datasets(*, manifest: ManifestLike = None) -> list[str]:
    """The names that `get` takes, in the manifest's order.

    >>> list_datasets()
    ['tinydigits', 'tinytalks', 'mnist', 'cifar10']
    """
    return list(manifest_of(manifest).datasets)


def get(
    name: str,
    *,
    manifest: ManifestLike = None,
    mirror: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    verify: Mode = "auto",
    progress: Progress | None = None,
) -> Dataset:
    """Hand over a data set: fetched, verified and decoded on first use, memory-mapped ever after.

    Args:
        name: Its name in the manifest, exactly.
        manifest: Another manifest than the packaged one: a path, or what `load_manifest` gave.
        mirror: A URL or a folder to try before the declared mirrors, laid out ``<mirror>/<folder>/<file>``;
            None takes ``TINYTORCH_DATASETS_MIRROR``.
        offline: True opens no socket; None takes ``TINYTORCH_DATASETS_OFFLINE``.
        verify: "auto" hashes a file once and again when it changes; "always" hashes every byte now, and
            decodes afresh.
        progress: Called with (file, bytes done, bytes in all) in place of the bars on stderr.

    Raises:
        UnknownDataset: The manifest has no such name.
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
    book = manifest_of(manifest)
    where = places(book)
    plan = planned(book, name, where)
    settings = Settings.from_environment()
    stamps = Stamps(where.cache / "stamps" / f"{plan.name}.json")
    if plan.status == "remote":
        brought = fetch(
            plan.files,
            plan.root,
            folder=plan.folder,
            mirror=str(mirror) if mirror is not None else settings.mirror,
            offline=settings.offline if offline is None else offline,
            locks=where.cache / "locks",
            progress=progress,
            dataset=plan.name,
        )
        for file in brought:
            stamps.remember(plan.root / file.name, file.sha256)
    for file in plan.files:
        check(plan.root / file.name, file, mode=verify, stamps=stamps, mend=mend(plan))
    stamps.save()
    target = decoded(plan, where, afresh=verify == "always")
    splits = {split.name: _opened(split, target) for split in plan.splits}
    describe = functools.partial(_described, book, name)
    return Dataset(name, splits, classes=book.entry(name).classes, describe=describe)


def places(book: Manifest) -> paths.Places:
    """The folders that a manifest's data lives in."""
    return paths.places(book.path, download_to=book.download_to, shipped_in=book.shipped_in)


def planned(book: Manifest, name: str, where: paths.Places) -> Plan:
    """The plan of one data set, its files placed where they are or will be."""
    entry = book.entry(name)
    folder = where.files(entry.folder or name, shipped=entry.status == "shipped", names=tuple(entry.files))
    return book.plan(name, folder)


def mend(plan: Plan) -> str:
    """What a person does about a file of this plan that is not right."""
    if plan.status == "shipped":
        return "Restore it: `git checkout` it in a clone, or reinstall the package."
    return f"Delete it and run `tinytorch-datasets get {plan.name}`; if it happens again, report the mirror."


def decoded(plan: Plan, where: paths.Places, *, afresh: bool = False) -> Path:
    """The folder of a plan's decoded arrays, decoded now unless they are all there.

    Its files must have been verified: decoders read what is on disk.
    """
    form = formats.of(plan.format)
    target = cache.folder(where.cache, plan, form.version)
    if afresh or not _whole(plan, target):
        cache.sweep(where.cache)
        cache.write(target, blocks(plan))
    return target


def clean(plan: Plan, where: paths.Places, *, downloads: bool = True) -> int:
    """Remove a data set's decoded arrays and, if it is remote, its downloads; the bytes freed."""
    freed = cache.clean(where.cache, plan.name)
    if downloads and plan.status == "remote":
        for file in plan.files:
            for path in (plan.root / file.name, plan.root / f"{file.name}.part"):
                freed += cache.remove(path)
    return freed


def blocks(plan: Plan) -> Iterator[formats.Block]:
    """All values of a data set, decoded from its verified files and checked against what is declared.

    Raises:
        DecodeError: A file is not what its format, or the manifest, says. It names the line of the manifest.
    """
    form = formats.of(plan.format)
    try:
        yield from contents.checked(form.decode(plan.splits, **plan.options), plan.splits)
    except DecodeError as error:
        error.where = error.where or plan.where
        raise


def _whole(plan: Plan, target: Path) -> bool:
    return target.is_dir() and all(
        cache.opened(column, target) is not None for split in plan.splits for column in split.columns.values()
    )


def _opened(split: plans.Split, target: Path) -> Split:
    fields: dict[str, Values] = {}
    texts: dict[str, str] = {}
    scales: dict[str, float] = {}
    for name, column in split.columns.items():
        values = cache.opened(column, target)
        if isinstance(values, str):
            texts[name] = values
        elif values is not None:
            fields[name] = values
        if column.range and column.range[0] == 0 and column.shape:
            scales[name] = column.range[1]
    return Split(split.name, fields, texts=texts, scales=scales)


def _described(book: Manifest, name: str) -> tuple[Entry, str]:
    entry = book.entry(name)
    files = ", ".join(f"{path} {file.sha256[:16]}" for path, file in entry.files.items())
    line = f"{name} from tinytorch-datasets {VERSION}; sha256 of {book.path.name} {book.sha256[:16]}, {files}"
    return entry, line


def manifest_of(given: ManifestLike) -> Manifest:
    """The manifest itself, whichever way it was given."""
    return given if isinstance(given, Manifest) else load_manifest(given)
