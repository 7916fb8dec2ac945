"""Audit of what is on disk: files, decoded arrays, pickles and cache entries.

Every byte is read once, on every core; each data set is then compared with the manifest.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets import formats, pipeline
from tinytorch_datasets.auditing import lint
from tinytorch_datasets.auditing.arrays import audit_cached, audit_decoded, changed_meanwhile, pickle_globals
from tinytorch_datasets.auditing.findings import DatasetReport, Finding, Severity, State
from tinytorch_datasets.concurrency.executors import run_tasks
from tinytorch_datasets.concurrency.tasks import Task
from tinytorch_datasets.digests import Digest, DigestsAhead, Meter, Step, Stretch, digest, digest_or_error, size_of
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.plan import Column, Declared, File, Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import cache_entry as cache_entries
from tinytorch_datasets.storage.array_folder import ArrayFolder
from tinytorch_datasets.storage.cache_entry import CacheEntry
from tinytorch_datasets.storage.files import exists, is_there
from tinytorch_datasets.storage.memmap import StatSignature, open_regular
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, LFS_POINTER, describe
from tinytorch_datasets.verify.files import describe_mismatch

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from tinytorch_datasets.auditing.audit import Decode

FileDigests = Mapping[Path, Digest | OSError]

# A text larger than this is not converted to find out whether its line endings were.
CONVERTED_BYTES = 2**26


class OnDisk(NamedTuple):
    """What is on disk of several data sets: a report and the findings of each, the digest of each file read.

    `vouched` are the folders of arrays that have the declared digests, of each data set that was not decoded for that.
    """

    reports: dict[str, DatasetReport]
    findings: dict[str, list[Finding]]
    digests: FileDigests
    vouched: dict[str, list[ArrayFolder]]


def audit_on_disk(
    manifest: Manifest,
    plans: Sequence[Plan],
    locations: Locations,
    decode: Decode,
    step: Step | None,
    executor: Executor | None = None,
    ahead: DigestsAhead | None = None,
) -> OnDisk:
    """Hash all files of data sets, compare all values, and check the cache entries.

    An executor hashes a file, or a column of cached arrays, a task. Values are compared a data set a task: what is
    checked of them is also that no split has the samples of another. `ahead` has what was begun before.
    """
    closed = {plan.name: error for plan in plans if (error := _closed(plan))}
    reports = {name: DatasetReport(name, "not checked") for name in closed}
    findings = {plan.name: [_unreadable(closed[plan.name], plan)] for plan in plans if plan.name in closed}
    plans = [plan for plan in plans if plan.name not in closed]
    # Arrays whose digests the manifest declares: if they have them, decoding would only give them again.
    declared: dict[str, list[ArrayFolder]] = {
        plan.name: [folder for folder in pipeline.array_folders(plan, locations) if folder.is_whole]
        for plan in plans
        if decode == "auto" and all(column.sha256 for column in plan.columns)
    }
    for plan in plans:
        if decode != "never" and not declared.get(plan.name) and _all_present(plan):
            formats.check_libraries(plan)
    with_md5 = frozenset(plan.name for plan in plans if decode != "never" and not declared.get(plan.name))
    digests, array_digests = _hash_all(manifest, plans, declared, with_md5, step, executor, ahead)
    of_files = {plan.name: _audit_files(manifest, plan, locations, digests) for plan in plans}
    to_compare = [  # values of other bytes than declared say nothing
        plan
        for plan in plans
        if decode != "never" and not of_files[plan.name] and all(plan.root / f.name in digests for f in plan.files)
    ]

    def of_plan(job: Callable[[], Any], plan: Plan, folders: Iterable[ArrayFolder]) -> Task[Any]:
        arrays = (path for folder in folders if exists(folder.path) for c in plan.columns for path in folder.paths(c))
        paths = (*(plan.root / file.name for file in plan.files), *arrays)
        return Task(job, sum(file.bytes for file in plan.files), paths)

    vouched = [
        plan
        for plan in to_compare
        if (folders := declared.get(plan.name))
        and all(array_digests[folder, str(c)] == c.sha256 for folder in folders for c in plan.columns)
    ]
    firsts = [(plan, declared[plan.name][0]) for plan in vouched]
    cached = [of_plan(partial(audit_cached, manifest, folder), plan, [folder]) for plan, folder in firsts]
    of_values: dict[str, list[Finding] | None] = {plan.name: None for plan in to_compare}
    of_values.update(zip((plan.name for plan in vouched), run_tasks(cached, executor), strict=True))
    to_decode = [plan for plan in to_compare if of_values[plan.name] is None]
    arrays_of = {plan.name: [*pipeline.array_folders(plan, locations)] for plan in to_decode}
    decoding = [of_plan(partial(audit_decoded, manifest, p, locations), p, arrays_of[p.name]) for p in to_decode]
    results = run_tasks(
        [*decoding, *(of_plan(partial(pickle_globals, plan), plan, ()) for plan in to_decode)], executor
    )
    of_values.update(zip((plan.name for plan in to_decode), results, strict=False))
    pickles = dict(zip((plan.name for plan in to_decode), results[len(to_decode) :], strict=True))
    for name, plan in ((plan.name, plan) for plan in plans):
        # A planted entry needs no file to be there, so entries are checked whatever else there is.
        entries = audit_cache_entries(manifest, plan, locations)
        findings[name] = [*of_files[name], *(of_values.get(name) or ()), *entries]
        reports[name] = _report(plan, of_files[name], of_values.get(name), pickles.get(name, ()))
    as_declared = {plan.name: declared[plan.name] for plan in vouched if plan.name not in pickles}
    return OnDisk(reports, findings, digests, as_declared)


def audit_homes(locations: Locations, plans: Iterable[Plan]) -> Iterator[Finding]:
    """Report folders of downloads, or their caches, that may not be looked into; one of several is only a warning.

    `get` passes over it, as long as there is another.
    """
    homes = [home for home in locations.homes if home.is_absolute()]
    if all(plan.status == "shipped" for plan in plans):
        return
    for home in homes:
        try:
            for kind in ("arrays", "entries"):
                is_there(home / ".cache" / kind / "any", at_home=True)
        except StorageError as error:
            if len(homes) > 1 or error.path.is_relative_to(home / ".cache"):  # each data set reports the home itself
                yield _unreadable(error, severity="warning" if len(homes) > 1 else "error")


def _closed(plan: Plan) -> StorageError | None:
    """Return the error of a plan's files if it cannot be known whether they are there."""
    try:
        for file in plan.files:
            is_there(plan.root / file.name, at_home=plan.status == "remote")
    except StorageError as error:
        return error
    return None


def _unreadable(error: StorageError, plan: Plan | None = None, *, severity: Severity = "error") -> Finding:
    return Finding(
        rule="unreadable",
        dataset=plan.name if plan else "",
        what=f"{error.what}; nothing in it was checked",
        path=str(error.path),
        where=plan.where if plan else None,
        hint=error.hint,
        severity=severity,
    )


def compare(manifest: Manifest, plan: Plan, digests: FileDigests, hint: str) -> Iterator[Finding]:
    """Compare a data set's hashed files with the manifest."""
    declared = manifest.files_of(plan)
    for file in plan.files:
        path = plan.root / file.name
        if path in digests:
            yield from compare_file(plan, file, path, digests[path], hint, siblings=plan.files)
            digest, md5 = digests[path], declared[file.name].md5
            if isinstance(digest, Digest) and digest.sha256 == file.sha256 and digest.md5 not in (None, md5):
                yield Finding(
                    rule="file-hash",
                    dataset=plan.name,
                    what=f"{path} has the declared sha256, but another MD5:\n    {digest.md5}, declared is\n    {md5}",
                    path=str(path),
                    where=manifest.where_of(plan, "files", file.name, "md5"),
                    expected=md5,
                    actual=digest.md5,
                    hint="Correct the MD5 in the manifest.",
                )


def compare_file(
    plan: Plan, file: File, path: Path, digest: Digest | OSError, hint: str, *, siblings: Iterable[File] = ()
) -> Iterator[Finding]:
    """Compare one hashed file with its declaration, and explain the difference as well as its bytes allow."""
    finding = partial(Finding, dataset=plan.name, path=str(path), where=file.where, hint=hint)
    if isinstance(digest, OSError):
        gone = isinstance(digest, FileNotFoundError)
        what = f"{path} is missing" if gone else f"{path} cannot be read: {digest.strerror}"
        yield finding(rule="file-missing", what=what, expected=file.sha256, actual=None)
        return
    if digest.sha256 == file.sha256 and digest.bytes == file.bytes:
        return
    if digest.sha256 == file.sha256:
        what = f"{path} has {digest.bytes:,} bytes and the declared sha256; declared are {file.bytes:,} bytes"
        hint = "Correct the size in the manifest."
        yield finding(rule="file-size", what=what, expected=file.bytes, actual=digest.bytes, hint=hint)
        return
    rule = "file-hash" if digest.bytes == file.bytes else "file-size"
    what = describe_mismatch(path, file, size=digest.bytes, sha256=digest.sha256)
    if twin := next((other for other in siblings if other.sha256 == digest.sha256), None):
        rule = "file-swapped"
        what += (
            f"\n    That is what is declared for {twin.name}: the two were swapped, or one was copied over the other."
        )
    elif (explained := _explanation(path, file, digest)) is not None:
        rule, what, hint = explained[0] or rule, what + f"\n    {explained[1]}", explained[2] or hint
    sizes = rule == "file-size"
    yield finding(
        rule=rule,
        what=what,
        hint=hint,
        expected=file.bytes if sizes else file.sha256,
        actual=digest.bytes if sizes else digest.sha256,
    )


def _explanation(path: Path, file: File, digest: Digest) -> tuple[str, str, str] | None:
    """Return the rule, a sentence and a hint for damage that the bytes themselves show, if they are still read."""
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            head = stream.read(HEAD_BYTES)
            is_text = digest.bytes <= CONVERTED_BYTES and b"\0" not in head
            data = head + stream.read(CONVERTED_BYTES) if is_text else b""
    except OSError:
        return None
    if head.startswith(LFS_POINTER):
        return "lfs-pointer", "It is a Git LFS pointer, not the file itself.", "Run `git lfs pull`."
    if data:
        unix = data.replace(b"\r\n", b"\n")
        for ends, converted in (("LF to CR LF", unix), ("CR LF to LF", unix.replace(b"\n", b"\r\n"))):
            if converted != data and hashlib.sha256(converted).hexdigest() == file.sha256:
                hint = f"Write `{file.name} -text` into .gitattributes, delete the file, and check it out again."
                return "line-endings", f"Its line endings were converted from {ends}, and nothing else differs.", hint
    guess = describe(head, file.name, bytes_came=digest.bytes, bytes_declared=file.bytes)
    return ("", f"It looks like {guess}.", "") if guess else None


def audit_cache_entries(manifest: Manifest, plan: Plan, locations: Locations) -> Iterator[Finding]:
    """Make anew each cache entry by which `get` would open the data set, and compare.

    One whose stat signatures do not fit is used by nobody, and is no finding. What the arrays themselves hold is
    compared with the decoded files elsewhere.
    """
    plans = containers(manifest.owner(plan.name), plan, locations)
    folders = {str(folder.path): folder for one in plans for folder in pipeline.array_folders(one, locations)}
    caches = [str(kept) for kept in locations.caches]
    for path, layer in entry_files(manifest, plan.name, locations):
        entry = CacheEntry.read(path)
        if entry is None or not entry.belongs_to(plan.name, str(layer.path), caches) or not entry.is_current():
            continue
        folder = folders.get(entry.folder)
        if folder is None or not _is_as_made(entry, layer.declared(plan.name), folder):
            yield Finding(
                rule="cache-entry",
                dataset=plan.name,
                what="the cache entry by which `get` opens it is not what the manifest says",
                path=path,
                where=manifest.where(plan.name),
                expected="what the manifest makes",
                actual="another cache entry",
                hint=f"Delete it, or run `tinytorch-datasets clean {plan.name} --arrays`.",
            )


def containers(manifest: Manifest, plan: Plan, locations: Locations) -> list[Plan]:
    """Return the plan of each container of a data set, all placed; of the only one, the plan itself, which is."""
    declared = manifest.plan(plan.name) if plan.variant or plan.variants else plan
    return [plan] if declared is plan else [one.placed(locations) for one in (declared, *declared.variants)]


def entry_files(manifest: Manifest, name: str, locations: Locations) -> Iterator[tuple[str, Manifest]]:
    """Yield where the cache entries of a data set are, or would be, and the manifest by which each is made."""
    owner = manifest.owner(name)
    ways = [(kept, owner) for kept in locations.caches]
    if owner is not manifest:  # `get` may have been given either of them
        ways += [(kept, manifest) for kept in locations.caches_of_including]
    yield from ((cache_entries.entry_path(kept, layer.path, name), layer) for kept, layer in ways)


def _is_as_made(entry: CacheEntry, declared: Declared, folder: ArrayFolder) -> bool:
    plan = folder.plan
    signatures: dict[str, StatSignature] = {str(plan.root / file.name): [] for file in plan.files}  # whatever they are
    return folder.is_whole and entry.opens_same_as(pipeline.make_cache_entry(declared, plan, folder, signatures))


def _hash_all(
    manifest: Manifest,
    plans: Sequence[Plan],
    declared: Mapping[str, Sequence[ArrayFolder]],
    with_md5: frozenset[str],
    step: Step | None,
    executor: Executor | None,
    ahead: DigestsAhead | None,
) -> tuple[FileDigests, dict[tuple[ArrayFolder, str], str | None]]:
    """Hash all files, and the arrays whose digests are declared; by path, and by folder and column."""
    files = {
        plan.root / name: plan.name in with_md5 and manifest.files_of(plan)[name].md5 is not None
        for plan in plans
        for name in _to_hash(plan)
    }
    arrays = [(column, folder) for plan in plans for folder in declared.get(plan.name, ()) for column in plan.columns]
    sizes = {path: size_of(path) for path in files}
    meter = Meter(step, sum(sizes.values()) + sum(column.nbytes for column, _ in arrays))
    tasks: list[Task[Any]] = [
        *(Task(partial(digest_or_error, path, md5_too=md5), sizes[path], (path,)) for path, md5 in files.items()),
        *(Task(partial(_hash_array, column, folder), column.nbytes, folder.paths(column)) for column, folder in arrays),
    ]
    if ahead is not None:
        begun = [None if md5 else Stretch(str(path)) for path, md5 in files.items()]
        begun += [_stretch_of(column, folder) for column, folder in arrays]
        tasks = [
            task if stretch is None else Task(partial(ahead.take_or_run, stretch, task.job), task.size)
            for task, stretch in zip(tasks, begun, strict=True)
        ]
    results = run_tasks(tasks, executor, add=meter.add)
    of_arrays = zip(arrays, results[len(files) :], strict=True)
    return (
        dict(zip(files, results, strict=False)),
        {(folder, str(column)): sha256 for (column, folder), sha256 in of_arrays},
    )


def _stretch_of(column: Column, folder: ArrayFolder) -> Stretch | None:
    """Return what the digest of a column's values is of, as its file's own header says; None if it is in several."""
    if column.is_text or column.is_ragged or column.is_encoded:
        return None
    [part] = folder.parts(column)
    return cache_entries.stretch_of(str(folder.path), part)


def _hash_array(column: Column, folder: ArrayFolder, add: Callable[[int], None] | None = None) -> str | None:
    try:  # what is mapped ends this process where the disk has an error
        stretch = _stretch_of(column, folder)
        sha256 = digest(stretch.path, stretch=stretch).sha256 if stretch else folder.digest_now(column)
    except OSError:
        sha256 = None
    if add is not None:
        add(column.nbytes)
    return sha256


def _audit_files(manifest: Manifest, plan: Plan, locations: Locations, digests: FileDigests) -> list[Finding]:
    """Compare a data set's files with the manifest."""
    findings = list(compare(manifest, plan, digests, pipeline.hint_of_change(plan, manifest.owner(plan.name).path)))
    findings += _gone(plan, digests)
    if plan.status == "shipped":
        findings += lint.audit_links(manifest, plan, locations.shipped)
    present = [file for file in plan.files if plan.root / file.name in digests]
    if plan.status == "remote" and present and len(present) < len(plan.files):
        missing = next(file for file in plan.files if file not in present)
        findings.append(
            Finding(
                rule="partly-downloaded",
                dataset=plan.name,
                what=f"{len(present)} of {len(plan.files)} files are downloaded; {missing.name} is not",
                path=str(plan.root / missing.name),
                where=manifest.where_of(plan, "files", missing.name),
                expected=len(plan.files),
                actual=len(present),
                hint=f"`tinytorch-datasets get {plan.name}` downloads the rest.",
                severity="warning",
            )
        )
    return findings


def _gone(plan: Plan, digests: FileDigests) -> Iterator[Finding]:
    """Report files that were hashed, and are not there any more: nobody may take them for audited."""
    for file in plan.files:
        if isinstance(digests.get(path := plan.root / file.name), Digest) and not exists(path):
            yield changed_meanwhile(plan, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path))


def _all_present(plan: Plan) -> bool:
    return all(exists(plan.root / file.name) for file in plan.files)


def _to_hash(plan: Plan) -> Iterable[str]:
    """Return the files to hash: all that ship, and of what is downloaded those that are on disk."""
    shipped = plan.status == "shipped"
    return [file.name for file in plan.files if shipped or exists(plan.root / file.name)]


def _report(
    plan: Plan, of_files: list[Finding], of_values: list[Finding] | None, pickles: tuple[str, ...]
) -> DatasetReport:
    present = [file for file in plan.files if exists(plan.root / file.name)]
    differs = any(finding.severity == "error" for finding in (*of_files, *(of_values or ())))
    whole = len(present) == len(plan.files)
    state: State = "mismatch" if differs else "ok" if whole else "partly downloaded" if present else "not downloaded"
    samples = sum(split.samples for split in plan.splits) if of_values is not None else 0
    return DatasetReport(plan.name, state, len(present), sum(file.bytes for file in present), samples, pickles)
