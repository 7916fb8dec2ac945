"""Does a mirror folder hold what the manifest promises, and nothing else?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tinytorch_datasets.auditing.folder import files
from tinytorch_datasets.comparing import difference
from tinytorch_datasets.findings import Audited, Finding
from tinytorch_datasets.hashing import Step, digest_or_error, digests
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.mirroring import SUMS, sums_in
from tinytorch_datasets.plan import Plan

MEND = "Run `tinytorch-datasets mirror {}` again: it replaces what is wrong."


def audited(
    book: Manifest, plans: Iterable[Plan], folder: Path, *, whole: bool, step: Step | None
) -> tuple[list[Audited], list[Finding]]:
    """Every file of the folder against the manifest. A data set of which nothing is there is not in this mirror."""
    mend = MEND.format(folder)
    rows, findings = [], []
    listed, plans = sums_in(folder), list(plans)
    wanted: dict[str, list[Any]] = {}
    for plan in plans:
        named = [f"{plan.folder}/{file.name}" for file in plan.files]
        if any(name in listed or (folder / name).exists() for name in named):
            wanted[plan.name] = [(file, folder / name) for file, name in zip(plan.files, named, strict=True)]
    found = digests([path for pairs in wanted.values() for _, path in pairs], step)
    for plan in plans:
        pairs = wanted.get(plan.name, [])
        wrong = [
            finding
            for file, path in pairs
            for finding in difference(plan, file, path, found[path], mend, siblings=plan.files)
        ]
        findings += wrong
        here = [file for file, path in pairs if not isinstance(found[path], OSError)]
        state: Any = "differs" if wrong else "well" if pairs else "not here"
        rows.append(Audited(plan.name, state, len(here), sum(file.bytes for file in here)))
    findings += _of_folder(book, folder, listed, mend)
    if whole:
        declared = {folder / plan.folder / file.name for plan in plans for file in plan.files}
        findings += _others(book, folder, declared | {folder / SUMS, folder / book.path.name})
    return rows, findings


def _of_folder(book: Manifest, folder: Path, listed: dict[str, str], mend: str) -> Iterator[Finding]:
    """The manifest's copy and the list of sums, which students check by."""
    line = f"{book.path.name}:1"
    tell = partial(Finding, dataset="", where=line, mend=mend)
    if not listed:
        what = f"{folder / SUMS} is missing or empty"
        yield tell(rule="file-missing", what=what, path=str(folder / SUMS), expected="a line a file")
    copy = folder / book.path.name
    digest = digest_or_error(copy)
    if isinstance(digest, OSError):
        yield tell(rule="file-missing", what=f"{copy} is missing", path=str(copy), expected=book.sha256)
    elif digest.sha256 != book.sha256:
        what = f"{copy} is another manifest: it has sha256\n    {digest.sha256}, this one has\n    {book.sha256}"
        yield tell(rule="file-hash", what=what, path=str(copy), expected=book.sha256, found=digest.sha256)
    declared = {
        f"{entry.folder or name}/{file}": (facts.sha256, book.where(name, "files", file, "sha256"), name)
        for name, entry in book.datasets.items()
        for file, facts in entry.files.items()
    }
    for name, sha256 in listed.items():
        expected, where, dataset = declared.get(name, (book.sha256 if name == book.path.name else None, line, ""))
        if sha256 != expected:
            told = f"{SUMS} lists {name} with sha256\n    {sha256}, declared is\n    {expected or 'no such file'}"
            yield tell(
                rule="file-hash",
                dataset=dataset,
                what=told,
                where=where,
                path=str(folder / SUMS),
                expected=expected,
                found=sha256,
            )


def _others(book: Manifest, folder: Path, declared: set[Path]) -> Iterator[Finding]:
    for path in files(folder):
        if path not in declared:
            yield Finding(
                rule="undeclared",
                dataset="",
                what=f"{path.relative_to(folder).as_posix()} is in the mirror and declared nowhere",
                path=str(path),
                where=f"{book.path.name}:1",
                expected="nothing",
                found=f"{path.stat().st_size:,} bytes",
                mend="Remove it.",
            )
