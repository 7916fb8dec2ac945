"""The lock file: every hash of files and values, written, read and compared.

A record in plain values: the library, the manifest, and for each data set its files' hashes and its arrays' digests.
Written to a file it is a lock, and `audit --lock` finds whatever moved since.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tinytorch_datasets import pipeline
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.auditing.findings import Finding, Severity
from tinytorch_datasets.auditing.local import compared
from tinytorch_datasets.digests import Digest, Step, digests
from tinytorch_datasets.errors import DecodeError, HashMismatch, LockError, MissingFile, nearest
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage.files import reading
from tinytorch_datasets.verify.files import check

LAYOUT = 1
WRITES_ONE = "`tinytorch-datasets provenance --json > FILE` writes one."


def record(manifest: Manifest, names: Sequence[str] = (), *, step: Step | None = None) -> dict[str, Any]:
    """What there is on disk of the named data sets; none named means all that are on disk, whole.

    Raises:
        MissingFile: A named one is not on disk, or not whole.
        VerifyError: A file is not the promised one.
        StorageError: A file cannot be read.
        DecodeError: A file is not what the manifest says.
    """
    locations = pipeline.locations(manifest)
    plans = [pipeline.plan_of(manifest, name, locations) for name in names or manifest.datasets]
    if not names:
        plans = [plan for plan in plans if on_disk(plan)]
    for plan in plans:
        if not on_disk(plan):
            missing = [file.name for file in plan.files if not (plan.root / file.name).is_file()]
            what = f"{plan.name} is not on disk: {', '.join(missing)}"
            hint = f"`tinytorch-datasets get {plan.name}` fetches it."
            raise MissingFile(what, where=plan.where, hint=hint, path=plan.root / missing[0])
    found = digests([plan.root / file.name for plan in plans for file in plan.files], step)
    told: dict[str, Any] = {}
    for plan in plans:
        _refuse_others(manifest, plan, found)
        told[plan.name] = {"files": files(plan, found), "contents": contents(plan, locations)}
    return {**heading(manifest), "datasets": told}


def _refuse_others(manifest: Manifest, plan: Plan, found: Mapping[Path, Digest | OSError]) -> None:
    for finding in compared(manifest, plan, found, plan.hint):
        path = Path(finding.path)
        unread = found[path]
        if isinstance(unread, OSError):
            with reading(path, where=finding.where, hint=plan.hint):
                raise unread
        raise HashMismatch(
            finding.what,
            where=finding.where,
            hint=finding.hint,
            path=path,
            expected=finding.expected,
            actual=finding.found,
        )


def heading(manifest: Manifest) -> dict[str, Any]:
    """The part of a record that is about no data set."""
    return {
        "lock": LAYOUT,
        "library": {"name": "tinytorch-datasets", "version": VERSION},
        "manifest": {"file": manifest.path.name, "sha256": manifest.sha256},
    }


def on_disk(plan: Plan) -> bool:
    """Whether every file of a data set is there."""
    return all((plan.root / file.name).is_file() for file in plan.files)


def files(plan: Plan, found: Mapping[Path, Digest | OSError]) -> dict[str, Any]:
    """The size and sha256 of each file, as it is on disk."""
    told = {}
    for file in plan.files:
        digest = found[plan.root / file.name]
        if isinstance(digest, Digest):
            told[file.name] = {"bytes": digest.bytes, "sha256": digest.sha256}
    return told


def contents(plan: Plan, locations: Locations) -> dict[str, Any]:
    """Dtype, shape and digest of each field of each split, taken now; decoded, unless the arrays are in the cache."""
    stamps = pipeline.stat_cache_of(plan, locations)
    for file in plan.files:
        check(plan.root / file.name, file, mode="auto", stamps=stamps, hint=plan.hint)
    folder = pipeline.decoded(plan, locations, mode="auto", stamps=stamps)
    stamps.save()
    return {
        split.name: {
            field: {
                "dtype": column.dtype,
                "shape": [column.count, *column.shape],
                "sha256": array_store.digest_now(column, folder),
            }
            for field, column in split.columns.items()
        }
        for split in plan.splits
    }


def read(path: Path) -> dict[str, Any]:
    """A record that was written to a file.

    Raises:
        LockError: It is not there, or is no record.
    """
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
        raise LockError(what, hint=WRITES_ONE, path=path) from error
    except (ValueError, RecursionError) as error:
        what = f"{path} is not a lock file: it is not JSON ({error})"
        raise LockError(what, hint=WRITES_ONE, path=path) from error
    if not _is_record(told):
        what = f"{path} is not a lock file"
        raise LockError(what, hint=WRITES_ONE, path=path)
    return told


def _is_record(told: Any) -> bool:
    """Whether everything is where `record` puts it; whether it is right is for whoever compares."""
    match told:
        case {"lock": lock, "library": dict(), "manifest": dict(), "datasets": dict(datasets)}:
            return bool(lock == LAYOUT) and all(map(_is_of_one, datasets.values()))
    return False


def _is_of_one(told: Any) -> bool:
    match told:
        case {"files": dict(files), "contents": dict(contents)}:
            splits = list(contents.values())
            return all(isinstance(one, dict) for one in [*files.values(), *splits]) and all(
                isinstance(field, dict) for split in splits for field in split.values()
            )
    return False


HINT = "If the change was meant, write the lock anew: `tinytorch-datasets provenance --json > {}`."


def moved(
    manifest: Manifest,
    lock: Path,
    plans: Mapping[str, Plan],
    found: Mapping[Path, Digest | OSError],
    sound: Collection[str],
    locations: Locations,
) -> Iterator[Finding]:
    """What moved since the lock was written. `found` are the files' digests, `sound` whose files are as declared."""
    kept = read(lock)
    tell = partial(Finding, rule="lock", dataset="", path=str(lock), hint=HINT.format(lock.name))
    now = heading(manifest)
    headings: tuple[tuple[str, str, Severity], ...] = (
        ("manifest", "sha256", "error"),
        ("library", "version", "warning"),
    )
    for part, key, severity in headings:
        before, after = kept[part].get(key), now[part][key]
        if before != after:
            what = f"{part} {key} is {after}, locked is {before}"
            yield tell(what=what, where=f"{manifest.path.name}:1", expected=before, found=after, severity=severity)
    for name, recorded in kept["datasets"].items():
        tell = partial(tell, dataset=name)
        if name not in manifest.datasets:
            guess = nearest(name, manifest.datasets)
            hint = f"; did it become {guess!r}?" if guess else ""
            what = f"{name} is locked, and declared no more{hint}"
            yield tell(what=what, where=f"{manifest.path.name}:1", expected=name)
        elif name in plans:
            yield from _of_one(manifest, plans[name], recorded, found, name in sound, locations, tell)


def _of_one(
    manifest: Manifest,
    plan: Plan,
    recorded: Mapping[str, Any],
    found: Mapping[Path, Digest | OSError],
    sound: bool,
    locations: Locations,
    tell: Any,
) -> Iterator[Finding]:
    if not on_disk(plan):
        what = f"{plan.name} is locked, and not on disk, so it was not compared"
        yield tell(what=what, where=plan.where, hint=f"`tinytorch-datasets get {plan.name}`", severity="warning")
        return
    now = files(plan, found)
    for file, before in recorded["files"].items():
        after = now.get(file)
        if after != before:
            what = f"file {file} has sha256\n    {after and after['sha256']}, locked is\n    {before.get('sha256')}"
            line = manifest.where(plan.name, "files", file)
            yield tell(what=what, where=line, path=str(plan.root / file), expected=before, found=after)
    if not sound:
        return  # values of a file that is not the promised one say nothing more
    try:
        values = contents(plan, locations)
    except DecodeError:
        return  # told already
    for split, fields in recorded["contents"].items():
        for field, before in fields.items():
            after = values.get(split, {}).get(field)
            if after != before:
                what = f"values of {split}.{field} are {_told(after)}, locked are {_told(before)}"
                yield tell(what=what, where=manifest.where(plan.name, "fields", field), expected=before, found=after)


def _told(values: Mapping[str, Any] | None) -> str:
    if not values:
        return "gone"
    return f"{values.get('dtype')} {values.get('shape')} of sha256\n    {values.get('sha256')}"
