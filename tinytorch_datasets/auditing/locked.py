"""Is everything still as a lock file recorded it?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tinytorch_datasets import provenance
from tinytorch_datasets.errors import DecodeError, nearest
from tinytorch_datasets.findings import Finding, Severity
from tinytorch_datasets.hashing import Digest
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.paths import Places
from tinytorch_datasets.plan import Plan

MEND = "If the change was meant, write the lock anew: `tinytorch-datasets provenance --json > {}`."


def moved(
    book: Manifest,
    lock: Path,
    plans: Mapping[str, Plan],
    found: Mapping[Path, Digest | OSError],
    sound: Collection[str],
    where: Places,
) -> Iterator[Finding]:
    """What moved since the lock was written. `found` are the files' digests, `sound` whose files are as declared."""
    kept = provenance.read(lock)
    tell = partial(Finding, rule="lock", dataset="", path=str(lock), mend=MEND.format(lock.name))
    now = provenance.heading(book)
    headings: tuple[tuple[str, str, Severity], ...] = (
        ("manifest", "sha256", "error"),
        ("library", "version", "warning"),
    )
    for part, key, severity in headings:
        before, after = kept[part].get(key), now[part][key]
        if before != after:
            what = f"{part} {key} is {after}, locked is {before}"
            yield tell(what=what, where=f"{book.path.name}:1", expected=before, found=after, severity=severity)
    for name, recorded in kept["datasets"].items():
        tell = partial(tell, dataset=name)
        if name not in book.datasets:
            guess = nearest(name, book.datasets)
            hint = f"; did it become {guess!r}?" if guess else ""
            what = f"{name} is locked, and declared no more{hint}"
            yield tell(what=what, where=f"{book.path.name}:1", expected=name)
        elif name in plans:
            yield from _of_one(book, plans[name], recorded, found, name in sound, where, tell)


def _of_one(
    book: Manifest,
    plan: Plan,
    recorded: Mapping[str, Any],
    found: Mapping[Path, Digest | OSError],
    sound: bool,
    where: Places,
    tell: Any,
) -> Iterator[Finding]:
    if not provenance.on_disk(plan):
        what = f"{plan.name} is locked, and not on disk, so it was not compared"
        yield tell(what=what, where=plan.where, mend=f"`tinytorch-datasets get {plan.name}`", severity="warning")
        return
    now = provenance.files(plan, found)
    for file, before in recorded["files"].items():
        after = now.get(file)
        if after != before:
            what = f"file {file} has sha256\n    {after and after['sha256']}, locked is\n    {before.get('sha256')}"
            line = book.where(plan.name, "files", file)
            yield tell(what=what, where=line, path=str(plan.root / file), expected=before, found=after)
    if not sound:
        return  # values of a file that is not the promised one say nothing more
    try:
        values = provenance.contents(plan, where)
    except DecodeError:
        return  # told already
    for split, fields in recorded["contents"].items():
        for field, before in fields.items():
            after = values.get(split, {}).get(field)
            if after != before:
                what = f"values of {split}.{field} are {_told(after)}, locked are {_told(before)}"
                yield tell(what=what, where=book.where(plan.name, "fields", field), expected=before, found=after)


def _told(values: Mapping[str, Any] | None) -> str:
    if not values:
        return "gone"
    return f"{values.get('dtype')} {values.get('shape')} of sha256\n    {values.get('sha256')}"
