"""In which order do the stages run?

Manifest, fetch, verify, decode, cache, hand over: `run` is the one function that knows, and no stage calls
another.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_datasets import cache, compiled, contents, disk, formats, paths, receipts
from tinytorch_datasets.dataset import Dataset
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.fetch import fetch, leftovers
from tinytorch_datasets.maps import stamp
from tinytorch_datasets.paths import Places
from tinytorch_datasets.plan import Declared, Plan
from tinytorch_datasets.promises import get_anew
from tinytorch_datasets.receipts import Receipt, SplitReceipt
from tinytorch_datasets.verify import Mode, Stamps, arrays_hold, check, remember_arrays

if TYPE_CHECKING:
    from tinytorch_datasets.manifest import Manifest
    from tinytorch_datasets.progress import Progress


def read_manifest(path: Path) -> Manifest:
    """The manifest in that file, checked against the formats there are."""
    from tinytorch_datasets import manifest  # and with it YAML and Pydantic

    return manifest.load(path, formats)


def declared(path: Path, name: str) -> Declared:
    """What the manifest in that file declares of a data set: as it was compiled, or else read and checked now."""
    return compiled.declared(path, name) or read_manifest(path).declared(name)


def compile_manifest(path: Path) -> bytes:
    """The compiled form of the manifest in that file, which is read and checked now."""
    book = read_manifest(path)
    return compiled.written(book.declared(name) for name in book.datasets)


def run(
    declared: Declared,
    where: Places,
    *,
    mirror: str | None,
    offline: bool,
    verify: Mode,
    progress: Progress | None,
) -> Dataset:
    """Every stage for one data set, and the receipt that lets the next `get` skip them."""
    plan = placed(declared.plan, where)
    stamps = stamps_of(plan, where)
    if plan.status == "remote":
        brought = fetch(
            plan.files,
            plan.root,
            folder=plan.folder,
            mirror=mirror,
            offline=offline,
            locks=where.cache / "locks",
            progress=progress,
            dataset=plan.name,
        )
        for file in brought:
            stamps.remember(plan.root / file.name, file.sha256)
    for file in plan.files:
        check(plan.root / file.name, file, mode=verify, stamps=stamps, mend=mend(plan))
    arrays = decoded(plan, where, mode=verify, stamps=stamps)
    stamps.save()
    receipt = receipt_of(declared, plan, arrays)
    disk.keep(Path(receipts.place(where.cache, declared.manifest, plan.name)), receipt.written())
    return receipt.dataset(plan.name, arrays.parent)


def places(book: Manifest) -> Places:
    """The folders that a manifest's data lives in."""
    return paths.places(book.path, download_to=book.download_to, shipped_in=book.shipped_in)


def planned(book: Manifest, name: str, where: Places) -> Plan:
    """The plan of one data set, its files placed where they are or will be."""
    return placed(book.plan(name), where)


def placed(plan: Plan, where: Places) -> Plan:
    """The same plan, its files placed where they are or will be."""
    names = tuple(file.name for file in plan.files)
    return plan.under(where.files(plan.folder, shipped=plan.status == "shipped", names=names))


def mend(plan: Plan) -> str:
    """What a person does about a file of this plan that is not right."""
    if plan.status == "shipped":
        return "Restore it: `git checkout` it in a clone, or reinstall the package."
    return get_anew(plan.name)


def stamps_of(plan: Plan, where: Places) -> Stamps:
    """What was hashed before of a data set's files and arrays."""
    return Stamps(where.cache / "stamps" / f"{plan.name}.json")


def decoded(plan: Plan, where: Places, *, mode: Mode, stamps: Stamps) -> Path:
    """The folder of a plan's decoded arrays, decoded now unless they are there as they were written.

    Its files must have been verified: decoders read what is on disk.
    """
    for kept in array_folders(plan, where):
        if arrays_hold(plan, kept, mode=mode, stamps=stamps):
            return kept
    target = where.cache / "arrays" / cache.folder_name(plan, formats.of(plan.format).version)
    with cache.turn(where.cache / "locks", target.name):
        # Whoever had the turn before may have decoded it.
        if not arrays_hold(plan, target, mode=mode, stamps=stamps):
            cache.sweep(where.cache)
            cache.write(target, blocks(plan))
            remember_arrays(plan, target, stamps)
    return target


def array_folders(plan: Plan, where: Places) -> list[Path]:
    """Every folder that may have a plan's decoded arrays, in the order to look."""
    name = cache.folder_name(plan, formats.of(plan.format).version)
    return [kept / "arrays" / name for kept in where.caches]


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


def receipt_of(declared: Declared, plan: Plan, arrays: Path) -> Receipt:
    """What opening the data set takes, made from the plan and from the decoded arrays' own headers."""
    splits = []
    stamped = [declared.manifest, *(plan.root / file.name for file in plan.files)]
    for split in plan.splits:
        parts = {field: cache.parts(column, arrays) or [] for field, column in split.columns.items()}
        stamped += [arrays / part.file for found in parts.values() for part in found]
        columns = split.columns
        splits.append(
            SplitReceipt(
                split.name,
                {field: found for field, found in parts.items() if columns[field].per == "sample"},
                {field: found[0] for field, found in parts.items() if columns[field].per == "split"},
                {field: c.range[1] for field, c in columns.items() if c.range and c.range[0] == 0 and c.shape},
            )
        )
    stamps = {str(path): stamp(path) for path in stamped}
    # The manifest's stamp is of before it was read: a change since then is a change.
    stamps[str(declared.manifest)] = declared.stamp
    return Receipt(
        manifest=str(declared.manifest),
        folder=arrays.name,
        splits=tuple(splits),
        classes=plan.classes,
        manifest_sha256=declared.sha256,
        files={str(plan.root / file.name): file.sha256 for file in plan.files},
        runs=cache.runs(arrays),
        entry=declared.entry,
        stamps=stamps,
    )


def clean(plan: Plan, where: Places, *, downloads: bool = True) -> int:
    """Remove a data set's decoded arrays and, if it is remote, its downloads, whole or in part; the bytes freed."""
    freed = cache.clean(where.cache, plan.name)
    for receipt in (where.cache / "receipts").glob(f"{plan.name}-*.json"):
        if receipt.stem.rpartition("-")[0] == plan.name:
            freed += disk.remove(receipt)
    if downloads and plan.status == "remote":
        for file in plan.files:
            target = plan.root / file.name
            freed += sum(disk.remove(path) for path in (target, *leftovers(target)))
    return freed
