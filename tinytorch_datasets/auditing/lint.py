"""What does the manifest leave open, and what does it lean on?

Nothing here makes it unusable; all of it is what a reviewer would ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tinytorch_datasets import compiled
from tinytorch_datasets.declarations import Entry
from tinytorch_datasets.findings import Finding
from tinytorch_datasets.manifest import Manifest

# What people write where they do not know. "not stated by the authors" is an answer, and a better one.
OPEN = frozenset({"?", "unknown", "none", "n/a", "na", "todo", "tbd", "fixme", "xxx"})
ASKED = {
    "title": "Say what it is, in a line.",
    "license": 'Ask its authors\' page; write "not stated by the authors" if it does not say.',
    "source": "Name the page of its authors.",
    "citation": "Write how its authors want it cited, or leave the key out.",
}


def linted(book: Manifest, name: str, *, in_clone: bool) -> Iterator[Finding]:
    """What a reviewer would ask of one entry. Outside a clone the paths in `used_by` are nowhere, and not asked for."""
    entry = book.entry(name)
    warn = partial(Finding, dataset=name, path=str(book.path), severity="warning")
    yield from _questions(book, name, entry, warn)
    yield from _addresses(book, name, entry, warn)
    if not entry.used_by:
        yield warn(
            rule="unused",
            what="nothing is said to use it",
            where=book.where(name),
            mend="List what does under used_by; if nothing does, it may go.",
        )
    for i, used in enumerate(entry.used_by if in_clone else ()):
        path = book.path.parent / used
        if not path.exists():
            yield warn(
                rule="used-by-missing",
                what=f"used_by names {used}, which is not there",
                where=book.where(name, "used_by", i),
                path=str(path),
                mend="Correct the path, or take it out.",
            )


def compiled_form(book: Manifest) -> Iterator[Finding]:
    """The compiled form beside the packaged manifest, if it is not what the manifest makes now: stale, or planted."""
    path = compiled.place(book.path)
    if path is None or not path.exists():
        return
    kept = path.read_bytes()
    if kept == compiled.written(book.declared(name) for name in book.datasets):
        return
    differs = partial(
        Finding,
        dataset="",
        path=str(path),
        where=f"{book.path.name}:1",
        mend="Run `tinytorch-datasets compile`, or delete it.",
    )
    if any(compiled.declared(book.path, name) for name in book.datasets):
        yield differs(rule="compiled", what="its compiled form is not what it says")
    else:
        what = "its compiled form is of an older one, or of another version, and is passed over"
        yield differs(rule="compiled-stale", what=what, severity="warning")


def _questions(book: Manifest, name: str, entry: Entry, warn: Any) -> Iterator[Finding]:
    for key, mend in ASKED.items():
        said = getattr(entry, key)
        if said is not None and said.strip(" .?").casefold() in OPEN | {""}:
            yield warn(
                rule="question",
                what=f"{key} is an open question: {said!r}",
                where=book.where(name, key),
                found=said,
                mend=mend,
            )


def _addresses(book: Manifest, name: str, entry: Entry, warn: Any) -> Iterator[Finding]:
    if entry.status != "remote":
        return
    alone = [file for file, declared in entry.files.items() if len(declared.urls) + len(entry.mirrors) == 1]
    if alone:
        key: tuple[str, ...] = ("mirrors",) if entry.mirrors else ("files", alone[0])
        told = alone[0] if len(alone) == 1 else f"{alone[0]} and {len(alone) - 1} more"
        yield warn(
            rule="single-mirror",
            what=f"{told}: one address and no other",
            where=book.where(name, *key),
            expected="two addresses or more",
            found=1,
            mend="Add another host's; the sha256 makes their bytes interchangeable.",
        )
    for address, where in book.addresses(name):
        if address.lower().startswith("http://"):
            yield warn(
                rule="plain-http",
                what=f"{address} is http only",
                where=where,
                path=address,
                expected="https://",
                found="http://",
                mend="Use https:// if the host has it.",
            )
