"""The lock file: hashes of files and values on disk, written, read and compared.

A record in plain values: the library, the manifest, and for each data set its files' hashes and its arrays' digests.
`audit --lock` reports whatever differs from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tinytorch_datasets import pipeline
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.auditing.findings import Finding, Severity
from tinytorch_datasets.auditing.local import FileDigests, compare
from tinytorch_datasets.digests import Digest, Step, digests
from tinytorch_datasets.errors import (
    DatasetError,
    DecodeError,
    HashMismatch,
    LockError,
    MissingFile,
    StorageError,
    UsageError,
    nearest,
)
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.pipeline.standin import refuse_standin
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage.files import is_file, is_there, read_file, reading

NAME = "datasets.lock"
LAYOUT = 1
MOST_NAMED = 5  # files in a message
HINT = "If the change was meant, run `tinytorch-datasets lock` again."
WRITE_ONE = "Run `tinytorch-datasets lock` to write one."


def record(
    manifest: Manifest,
    names: Sequence[str] = (),
    *,
    home: str | os.PathLike[str] | None = None,
    step: Step | None = None,
) -> dict[str, Any]:
    """Record what is on disk of the named data sets; none named means all that are on disk, whole.

    Raises:
        UsageError: A variable asks for stand-in data.
        MissingFile: A named one is not on disk, or not whole.
        VerifyError: A file is not as declared.
        StorageError: A file cannot be read, or a folder not be looked into.
        DecodeError: A file is not what the manifest says.
    """
    refuse_standin("a lock")
    placed = [pipeline.in_use(manifest, name, home) for name in names or manifest.datasets]
    if not names:
        placed = [(plan, locations) for plan, locations in placed if is_on_disk(plan)]
    for plan, _ in placed:
        if not is_on_disk(plan):
            missing = [file.name for file in plan.files if not is_file(plan.root / file.name)]
            more = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
            what = f"{plan.name} is not on disk: {', '.join(missing[:MOST_NAMED])}{more}"
            hint = f"`tinytorch-datasets get {plan.name}` downloads it."
            raise MissingFile(what, where=plan.where, hint=hint, path=plan.root / missing[0])
    hashed = digests([plan.root / file.name for plan, _ in placed for file in plan.files], step)
    datasets: dict[str, Any] = {}
    for plan, locations in placed:
        _refuse_mismatches(manifest, plan, hashed)
        try:
            datasets[plan.name] = {"files": file_records(plan, hashed), "contents": value_records(plan, locations)}
        except DecodeError as error:
            pipeline.name_line(error, manifest, plan.name)
            raise
    return {**header(manifest), "datasets": datasets}


def _refuse_mismatches(manifest: Manifest, plan: Plan, hashed: FileDigests) -> None:
    for finding in compare(manifest, plan, hashed, plan.hint):
        path = Path(finding.path)
        unread = hashed[path]
        if isinstance(unread, OSError):
            with reading(path, where=finding.where, hint=plan.hint):
                raise unread
        raise HashMismatch(
            finding.what,
            where=finding.where,
            hint=finding.hint,
            path=path,
            expected=finding.expected,
            actual=finding.actual,
        )


def header(manifest: Manifest) -> dict[str, Any]:
    """Return the part of a record that is about no data set."""
    return {
        "lock": LAYOUT,
        "library": {"name": "tinytorch-datasets", "version": VERSION},
        "manifest": _file(manifest),
        **({"included": [_file(layer) for layer in manifest.layers[1:]]} if manifest.included else {}),
    }


def _file(manifest: Manifest) -> dict[str, str]:
    return {"file": manifest.path.name, "sha256": manifest.sha256}


def is_on_disk(plan: Plan) -> bool:
    """Check whether every file of a data set is on disk.

    Raises:
        StorageError: A folder may not be looked into.
    """
    present = [is_there(plan.root / file.name, at_home=plan.status == "remote") for file in plan.files]
    return all(present) and all(is_file(plan.root / file.name) for file in plan.files)


def partly_on_disk(manifest: Manifest, home: str | os.PathLike[str] | None = None) -> dict[str, tuple[int, int]]:
    """Return how many files are on disk, and how many there are, of each data set that is there in part.

    What ships is to be there: of that, none is a part, too.
    """
    counts = {}
    for plan, _ in (pipeline.in_use(manifest, name, home) for name in manifest.datasets):
        present = sum(is_file(plan.root / file.name) for file in plan.files)
        if present < len(plan.files) and (present or plan.status == "shipped"):
            counts[plan.name] = present, len(plan.files)
    return counts


def file_records(plan: Plan, hashed: FileDigests) -> dict[str, Any]:
    """Return the size and sha256 of each file, as it is on disk."""
    of_files = ((file.name, hashed[plan.root / file.name]) for file in plan.files)
    return {
        name: {"bytes": digest.bytes, "sha256": digest.sha256}
        for name, digest in of_files
        if isinstance(digest, Digest)
    }


def value_records(plan: Plan, locations: Locations) -> dict[str, Any]:
    """Return dtype, shape and digest of each field of each split, taken now; decoded, unless the arrays are cached."""
    digests = pipeline.value_digests(plan, locations)
    return {
        split.name: {
            field: {
                "dtype": column.dtype,
                "shape": [column.count, *column.shape],
                "sha256": digests[str(column)],
            }
            for field, column in split.columns.items()
        }
        for split in plan.splits
    }


def read(path: Path) -> dict[str, Any]:
    """Read a record that was written to a file.

    Raises:
        LockError: It does not exist, or is no record.
    """
    try:
        value: dict[str, Any] = json.loads(read_file(path))
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
        raise LockError(what, hint=WRITE_ONE, path=path) from error
    except (ValueError, RecursionError) as error:
        what = f"{path} is not a lock file: it is not JSON ({error})"
        raise LockError(what, hint=WRITE_ONE, path=path) from error
    if not _is_record(value):
        what = f"{path} is not a lock file"
        raise LockError(what, hint=WRITE_ONE, path=path)
    return value


def refuse_to_replace(path: Path) -> None:
    """Refuse to write a lock over a file that is none, such as the manifest.

    Raises:
        UsageError: It is something else.
    """
    try:
        read(path)
    except LockError as error:
        what = f"{path} exists, and is not a lock file"
        raise UsageError(what, hint="Name another file with --output, or delete this one.") from error


def _is_record(value: Any) -> bool:
    """Check whether everything is where `record` puts it; whether it is right is for `differences` to report."""
    match value:
        case {"lock": lock, "library": dict(), "manifest": dict(), "datasets": dict(datasets)}:
            return bool(lock == LAYOUT) and all(map(_is_dataset_record, datasets.values()))
    return False


def _is_dataset_record(value: Any) -> bool:
    match value:
        case {"files": dict(files), "contents": dict(contents)}:
            splits = list(contents.values())
            return all(isinstance(part, dict) for part in [*files.values(), *splits]) and all(
                isinstance(field, dict) for split in splits for field in split.values()
            )
    return False


def differences(
    manifest: Manifest,
    lock: Path,
    placed: Mapping[str, tuple[Plan, Locations]],
    hashed: FileDigests,
    matching: Collection[str],
) -> Iterator[Finding]:
    """Compare with a lock file. `hashed` are the files' digests, `matching` whose files are as declared.

    `placed` are the plans of the data sets to compare, and the folders of the manifest of each.
    """
    locked = read(lock)
    finding = partial(Finding, rule="lock", dataset="", path=str(lock), hint=HINT)
    now = header(manifest)
    headers: tuple[tuple[str, str, Severity], ...] = (
        ("manifest", "sha256", "error"),
        ("library", "version", "warning"),
    )
    for part, key, severity in headers:
        before, after = locked[part].get(key), now[part][key]
        if before != after:
            what = f"{part} {key} is {after}, locked is {before}"
            yield finding(what=what, where=f"{manifest.path.name}:1", expected=before, actual=after, severity=severity)
    if (before := locked.get("included", [])) != (after := now.get("included", [])):
        what = f"included manifests are {_names(after)}, locked are {_names(before)}"
        yield finding(what=what, where=f"{manifest.path.name}:1", expected=before, actual=after)
    for name, recorded in locked["datasets"].items():
        finding = partial(finding, dataset=name)
        if name not in manifest.datasets:
            guess = nearest(name, manifest.datasets)
            renamed = f"; was it renamed to {guess!r}?" if guess else ""
            what = f"{name} is locked, but no longer declared{renamed}"
            yield finding(what=what, where=f"{manifest.path.name}:1", expected=name)
        elif name in placed:
            plan, locations = placed[name]
            yield from _of_dataset(manifest, plan, recorded, hashed, name in matching, locations, finding)


def _names(included: Any) -> str:
    files = included if isinstance(included, list) else []
    shown = [f"{file.get('file')} {str(file.get('sha256'))[:16]}" for file in files if isinstance(file, dict)]
    return ", ".join(shown) or "none"


def _of_dataset(
    manifest: Manifest,
    plan: Plan,
    recorded: Mapping[str, Any],
    hashed: FileDigests,
    matches: bool,
    locations: Locations,
    finding: Any,
) -> Iterator[Finding]:
    try:
        on_disk = is_on_disk(plan)
    except StorageError as error:
        what = f"{plan.name} is locked, and was not compared: {error.what}"
        yield finding(what=what, where=plan.where, path=str(error.path), hint=error.hint)
        return
    if not on_disk:
        what = f"{plan.name} is locked, but not on disk, so it was not compared"
        yield finding(what=what, where=plan.where, hint=f"`tinytorch-datasets get {plan.name}`", severity="warning")
        return
    now = file_records(plan, hashed)
    is_same_container = not set(recorded["files"]).isdisjoint(now) or not now
    if not is_same_container:
        what = f"{plan.name} is here in another container than the locked one; its values were compared"
        yield finding(what=what, where=plan.where, severity="warning")
    for file, before in recorded["files"].items() if is_same_container else ():
        after = now.get(file)
        if after != before:
            what = f"file {file} has sha256\n    {after and after['sha256']}, locked is\n    {before.get('sha256')}"
            line = manifest.where(plan.name, "files", file)
            yield finding(what=what, where=line, path=str(plan.root / file), expected=before, actual=after)
    if not matches:
        return  # values of a file that is not as declared say nothing more
    try:
        values = value_records(plan, locations)
    except DecodeError:
        return  # the audit of the data set reports it
    except (DatasetError, OSError, ValueError) as error:  # a file that was changed since, an array that is no text
        what = f"{plan.name} is locked, and its values were not compared: {getattr(error, 'what', '') or error}"
        yield finding(what=what, where=plan.where, path=str(getattr(error, "path", plan.root)))
        return
    for split, fields in recorded["contents"].items():
        for field, before in fields.items():
            after = values.get(split, {}).get(field)
            if after != before:
                what = f"values of {split}.{field} are {_format(after)}, locked are {_format(before)}"
                line = manifest.where(plan.name, "fields", field)
                yield finding(what=what, where=line, expected=before, actual=after)


def _format(values: Mapping[str, Any] | None) -> str:
    if not values:
        return "gone"
    return f"{values.get('dtype')} {values.get('shape')} of sha256\n    {values.get('sha256')}"
