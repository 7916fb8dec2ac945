"""Audit of a mirror folder and its SHA256SUMS."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_datasets.auditing.findings import DatasetReport, Finding
from tinytorch_datasets.auditing.lint import bytes_at, walk
from tinytorch_datasets.auditing.local import compare_file
from tinytorch_datasets.catalog import pages_in
from tinytorch_datasets.digests import Step, digest_or_error, digests
from tinytorch_datasets.errors import DatasetError, printable
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.mirror.copy import INDEX, SUMS, Listed, copies_of, index_pages, is_wheel, listed_in
from tinytorch_datasets.plan import File, Plan

if TYPE_CHECKING:
    from concurrent.futures import Executor

# Lines of SHA256SUMS that are of nothing declared, which are reported one by one; and characters of a name. Whoever
# writes the list decides how many there are, and how long.
MOST_OF_NOTHING, MOST_SHOWN = 100, 1000
HINT = "Run `tinytorch-datasets mirror {}` again: it replaces what is wrong."
WRITE_SUMS_ANEW = "See what it is, and delete it: `tinytorch-datasets mirror {}` writes it anew."


def audit_mirror(
    manifest: Manifest,
    plans: Iterable[Plan],
    folder: Path,
    *,
    named: bool,
    whole: bool,
    step: Step | None,
    executor: Executor | None = None,
) -> tuple[list[DatasetReport], list[Finding]]:
    """Compare every file of the folder with the manifest, in whichever container a data set is there.

    A data set of which nothing is there is not in this mirror; if it was `named`, that is a finding.
    """
    hint = HINT.format(folder)
    rows, findings = [], []
    lines, plans = _lines(folder), list(plans)
    listed = {line.name for line in lines} if not isinstance(lines, OSError) else set[str]()
    owners = owners_in(manifest)

    def is_there(name: str) -> bool:
        return os.path.lexists(folder / name)

    wanted: dict[str, list[tuple[File, Path]]] = {}
    for plan in plans:
        files = files_to_compare(plan, owners, is_there, lambda name: name in listed or is_there(name))
        if files:
            wanted[plan.name] = [(file, folder / plan.folder / file.name) for file in files]
        elif named:
            findings.append(missing_in(manifest, plan, folder))
    hashed = digests([path for pairs in wanted.values() for _, path in pairs], step, executor)
    for plan in plans:
        pairs = wanted.get(plan.name, [])
        siblings = [file for file, _ in pairs]
        wrong = [
            finding
            for file, path in pairs
            for finding in compare_file(plan, file, path, hashed[path], hint, siblings=siblings)
        ]
        findings += wrong
        read = [file for file, path in pairs if not isinstance(hashed[path], OSError)]
        state: Any = "mismatch" if wrong else "ok" if pairs else "not downloaded"
        rows.append(DatasetReport(plan.name, state, len(read), sum(file.bytes for file in read)))
        if listed:
            missing = (file for file in read if f"{plan.folder}/{file.name}" not in listed)
            findings += [
                unlisted(plan.name, str(folder / SUMS), f"{plan.folder}/{file.name}", file.where, hint)
                for file in missing
            ]
    copies = copies_of(manifest)
    for name, layer in copies.items():
        findings += _audit_manifest_copy(layer, name, folder, listed)
    packages, wrong_packages = _audit_packages(manifest, folder, lines, step)
    findings += wrong_packages
    findings += _audit_list(manifest, folder, lines, packages)
    if whole:
        declared = {folder / name for name in packages} | {folder / file.path for file in manifest.files()}
        pages = {folder / name for name in pages_in(folder)}
        findings += _undeclared(manifest, folder, declared | pages | {folder / name for name in (SUMS, *copies)})
    return rows, findings


def owners_in(manifest: Manifest) -> Counter[str]:
    """Count the data sets that each file is of, by its path in a mirror."""
    return Counter(path for _, path in {(file.dataset, file.path) for file in manifest.files()})


def files_to_compare(
    plan: Plan, owners: Mapping[str, int], is_there: Callable[[str], bool], is_known: Callable[[str], bool]
) -> list[File]:
    """Return the files of a data set that a mirror is to have; none if nothing of it is known there.

    They are those of each container that is whole there, or else of the one of which most is known, and whatever else
    is there of another one: a file that nobody compares may be any.

    Args:
        plan: The data set.
        owners: Of how many data sets each file is; what is of others too says nothing of this one.
        is_there: Whether the mirror has a file, by its path.
        is_known: Whether it has it, or lists it.
    """

    def paths(one: Plan) -> list[str]:
        return [f"{plan.folder}/{file.name}" for file in one.files]

    def known(one: Plan) -> int:
        return sum(map(is_known, [path for path in paths(one) if owners[path] == 1] or paths(one)))

    containers = [plan, *plan.variants]
    if not (most := max(map(known, containers))):
        return []
    there = [one for one in containers if all(map(is_there, paths(one)))]
    there = there or [next(one for one in containers if known(one) == most)]
    # A file that is of two containers is one file.
    files = {file.name: file for one in reversed(there) for file in one.files}
    for one in containers:
        files |= {f.name: f for f in one.files if f.name not in files and is_there(f"{plan.folder}/{f.name}")}
    return list(files.values())


def _lines(folder: Path) -> list[Listed] | OSError:
    try:
        return listed_in(folder)
    except OSError as error:
        return error


def missing_in(manifest: Manifest, plan: Plan, at: Path | str) -> Finding:
    """Return the finding that nothing of a data set is in a folder, or at an address."""
    return Finding(
        rule="file-missing",
        dataset=plan.name,
        what=f"nothing of {plan.name} is in {at}",
        path=f"{at}/{plan.folder}" if isinstance(at, str) else str(at / plan.folder),
        where=manifest.where(plan.name),
        expected=len(plan.files),
        actual=0,
        hint=f"`tinytorch-datasets mirror {at} {plan.name}` adds it.",
    )


def unlisted(dataset: str, path: str, name: str, where: str | None, hint: str) -> Finding:
    """Return the finding that SHA256SUMS, which has that path, lists no file of that name."""
    return Finding(
        rule="sums",
        dataset=dataset,
        what=f"{SUMS} has no line for {name}, so `sha256sum -c` does not check it",
        path=path,
        where=where,
        expected=name,
        hint=hint,
    )


def _audit_manifest_copy(manifest: Manifest, name: str, folder: Path, listed: Collection[str]) -> Iterator[Finding]:
    """Compare the copy of a manifest, which has that path in the mirror, with the manifest."""
    copy, line = folder / name, f"{manifest.path.name}:1"
    finding = partial(
        Finding, dataset="", where=line, hint=HINT.format(folder), path=str(copy), expected=manifest.sha256
    )
    digest = digest_or_error(copy)
    if isinstance(digest, OSError):
        gone = isinstance(digest, FileNotFoundError)
        yield finding(
            rule="file-missing", what=f"{copy} is missing" if gone else f"{copy} cannot be read: {digest.strerror}"
        )
        return
    if digest.sha256 != manifest.sha256:
        what = f"{copy} is another manifest: it has sha256\n    {digest.sha256}, this one has\n    {manifest.sha256}"
        yield finding(rule="file-hash", what=what, actual=digest.sha256)
    if listed and name not in listed:
        yield unlisted("", str(folder / SUMS), name, line, HINT.format(folder))


def _audit_packages(
    manifest: Manifest, folder: Path, lines: list[Listed] | OSError, step: Step | None
) -> tuple[dict[str, str], list[Finding]]:
    """Compare wheels with SHA256SUMS, which alone declares them, and their index with them.

    Returns the sha256 of each wheel that is listed, and of each page of the index, by their paths.
    """
    listed = {line.name: line.sha256 for line in lines} if not isinstance(lines, OSError) else dict[str, str]()
    wheels = {name: sha256 for name, sha256 in listed.items() if is_wheel(name)}
    hint = f"Run `tinytorch-datasets mirror {folder} --with-packages` again: it replaces what is wrong."
    finding = partial(Finding, dataset="", where=f"{manifest.path.name}:1", hint=hint)
    findings, right = [], {}
    hashed = digests([folder / name for name in wheels], step)
    for name, sha256 in wheels.items():
        of_wheel = partial(finding, path=str(folder / name), expected=sha256)
        digest = hashed[folder / name]
        if isinstance(digest, OSError):
            gone = isinstance(digest, FileNotFoundError)
            what = f"{name} is missing" if gone else f"{name} cannot be read: {digest.strerror}"
            findings.append(of_wheel(rule="file-missing", what=what))
        elif digest.sha256 != sha256:
            what = f"{name} has sha256\n    {digest.sha256}, {SUMS} lists it with\n    {sha256}"
            findings.append(of_wheel(rule="file-hash", what=what, actual=digest.sha256))
        else:
            right[name] = sha256
    try:
        pages = {} if len(right) < len(wheels) else index_pages(folder, wheels)
    except DatasetError as error:
        findings.append(finding(rule="sums", what=error.what, path=str(folder / SUMS)))
        pages = {}
    known = {name: sha256 for name, sha256 in listed.items() if name.startswith(f"{INDEX}/")}
    if not pages:  # what it should be is known only by the wheels
        return {**known, **wheels}, findings
    expected = {name: hashlib.sha256(page).hexdigest() for name, page in pages.items()}
    for name, sha256 in expected.items():
        actual = digest_or_error(folder / name)
        if isinstance(actual, OSError) or actual.sha256 != sha256:
            rule = "file-missing" if isinstance(actual, OSError) else "file-hash"
            what = f"{name} is missing, or is not the index of the wheels that {SUMS} lists"
            findings.append(finding(rule=rule, what=what, path=str(folder / name), expected=sha256))
        if listed and name not in listed:
            line = f"{manifest.path.name}:1"
            findings.append(unlisted("", str(folder / SUMS), name, line, HINT.format(folder)))
    return {**wheels, **expected}, findings


def _audit_list(
    manifest: Manifest, folder: Path, lines: list[Listed] | OSError, packages: Mapping[str, str]
) -> Iterator[Finding]:
    """Check SHA256SUMS of a folder, by which students check the files."""
    hint, path = HINT.format(folder), str(folder / SUMS)
    finding = partial(Finding, dataset="", where=f"{manifest.path.name}:1", path=path, hint=hint)
    if not lines or isinstance(lines, FileNotFoundError | NotADirectoryError):
        what = f"{folder / SUMS} is missing or empty"
        yield finding(rule="file-missing", what=what, expected="a line a file")
    elif isinstance(lines, OSError):
        what = f"{folder / SUMS} cannot be read: {lines.strerror}"
        yield finding(rule="file-missing", what=what, expected="a line a file", hint=WRITE_SUMS_ANEW.format(folder))
    else:
        yield from audit_sums(manifest, path, lines, packages, hint)


def audit_sums(
    manifest: Manifest, path: str, lines: Sequence[Listed], packages: Mapping[str, str], hint: str
) -> Iterator[Finding]:
    """Compare the lines of SHA256SUMS with what is declared, and with the packages that are right."""
    line = f"{manifest.path.name}:1"
    finding = partial(Finding, dataset="", where=line, path=path, hint=hint)
    declared: dict[str, tuple[str | None, str, str]] = {
        file.path: (file.facts.sha256, manifest.where(file.dataset, *file.keys, "sha256"), file.dataset)
        for file in manifest.files()
    }
    declared |= {name: (layer.sha256, f"{layer.path.name}:1", "") for name, layer in copies_of(manifest).items()}
    declared |= {name: (sha256, line, "") for name, sha256 in packages.items()}
    first: dict[str, int] = {}
    of_nothing = 0
    for number, sha256, name in lines:
        expected, where, dataset = declared.get(name, (None, line, ""))
        if name not in declared or name in first:
            of_nothing += 1
            if of_nothing > MOST_OF_NOTHING:
                continue
        shown = printable(name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}...")
        of_file = partial(finding, dataset=dataset, where=where, expected=expected, actual=sha256)
        if not name:
            what = f"line {number:,} of {SUMS} is not a sha256, two blanks and a file's path"
            yield finding(rule="sums", what=what, expected="a line a file")
        elif first.setdefault(name, number) != number:
            what = f"line {number:,} of {SUMS} lists {shown} again, as line {first[name]:,} does"
            yield of_file(rule="sums", what=what)
        elif sha256 != expected:
            declaration = expected or "no such file"
            what = f"{SUMS} lists {shown} with sha256\n    {sha256}, declared is\n    {declaration}"
            yield of_file(rule="file-hash", what=what)
    if (more := of_nothing - MOST_OF_NOTHING) > 0:
        yield finding(
            rule="sums", what=f"{more:,} more lines of {SUMS} are of no file that is declared, or of one again"
        )


def _undeclared(manifest: Manifest, folder: Path, declared: set[Path]) -> Iterator[Finding]:
    for path in walk(folder):
        if path not in declared:
            yield Finding(
                rule="undeclared",
                dataset="",
                what=f"{printable(path.relative_to(folder).as_posix())} is in the mirror and declared nowhere",
                path=printable(str(path)),
                where=f"{manifest.path.name}:1",
                expected="nothing",
                actual=f"{bytes_at(path):,} bytes",
                hint="Remove it.",
            )
