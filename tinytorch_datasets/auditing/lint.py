"""Lint of the manifest, and of the folder of shipped files.

Nothing here makes it unusable; all of it is what a reviewer would ask.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from tinytorch_datasets.auditing.findings import RULES, Finding
from tinytorch_datasets.errors import did_you_mean, printable
from tinytorch_datasets.manifest import generated
from tinytorch_datasets.manifest.filenames import secret_parameter, without_secrets
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.manifest.models import Entry
from tinytorch_datasets.pipeline.cleaning import shipped_files
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.readers.archives.source import is_litter
from tinytorch_datasets.storage.files import DENIED, exists, read_file
from tinytorch_datasets.storage.memmap import is_link

# What stands beside data and is none: data cards, licenses, and the scripts that made the data.
BESIDE = ("README*", "LICENSE*", "LICENCE*", "NOTICE*", "CITATION*", "*.md", "*.py")


def audit_undeclared(manifest: Manifest, names: Collection[str]) -> Iterator[tuple[Manifest, list[Finding]]]:
    """Report, layer by layer, shipped files that no entry declares; given some names only, those in their folders."""
    declared = shipped_files(manifest)
    folders = {file.parent for file in declared}
    of_declared = {above for folder in folders for above in (folder, *folder.parents)}  # their data sets report them
    is_whole = len(names) == len(manifest.datasets)
    met = set[Path]()
    for layer in manifest.layers:
        shipped = layer.path.parent / layer.shipped_in
        its = [n for n in names if n in layer.own and layer.own[n].status == "shipped"]
        for root in [shipped] if is_whole else [shipped / layer.folder(n) for n in its]:
            others = declared | of_declared | met
            paths = [path for path in walk(root) if path not in others]
            met.update(paths)
            yield layer, list(_undeclared(layer, shipped, paths))


def _undeclared(manifest: Manifest, shipped: Path, paths: Iterable[Path]) -> Iterator[Finding]:
    for path in paths:
        hides = path.name == "__init__.py"
        if not hides and any(fnmatch.fnmatch(path.name, beside) for beside in BESIDE):
            continue
        relative = printable(path.relative_to(shipped).as_posix())
        owner = next((n for n in manifest.own if relative.startswith(f"{manifest.folder(n)}/")), "")
        owner = owner if owner and manifest.entry(owner).status == "shipped" else ""
        what = f"{relative} is in {manifest.shipped_in} and declared nowhere"
        yield Finding(
            rule="undeclared",
            dataset=owner,
            what=f"{relative} would hide the package of that folder's name from Python" if hides else what,
            path=printable(str(path)),
            where=manifest.where(owner, "files") if owner else manifest.where_on_top("shipped_in"),
            expected="nothing",
            actual=f"{bytes_at(path):,} bytes",
            hint="Remove it, or declare it under files.",
        )


def audit_links(manifest: Manifest, plan: Plan, shipped: Path) -> Iterator[Finding]:
    """Report files of a shipped data set that lie elsewhere, behind a symlink: git has the link, not the bytes."""
    inside = os.path.realpath(shipped)

    @cache
    def is_inside(folder: str) -> bool:
        return Path(os.path.realpath(plan.root / folder)).is_relative_to(inside)

    for file in plan.files:
        path = plan.root / file.name
        if is_inside(file.name.rpartition("/")[0]) and not is_link(path):
            continue  # of thousands, only links are followed
        target = Path(os.path.realpath(path))
        if exists(path) and not target.is_relative_to(inside):
            yield Finding(
                rule="file-missing",
                dataset=plan.name,
                what=f"{path} is behind a link to {printable(str(target))}, so its bytes do not ship",
                path=str(path),
                where=file.where,
                expected=f"a file in {manifest.shipped_in}",
                actual=printable(str(target)),
                hint="Put the file itself in the link's place.",
            )


def audit_budget(manifest: Manifest, shipped: Path) -> Iterator[Finding]:
    """Report the shipped data as a whole, if it is larger than declared."""
    budget = manifest.shipped_budget_bytes
    taken = sum(map(bytes_at, walk(shipped))) if budget else 0
    if budget and taken > budget:
        yield Finding(
            rule="budget",
            dataset="",
            what=f"{manifest.shipped_in} holds {taken:,} bytes, the budget is {budget:,}",
            path=str(shipped),
            where=manifest.where_on_top("shipped_budget_bytes"),
            expected=budget,
            actual=taken,
            hint="Make a data set remote, or smaller; or raise the budget, on purpose.",
        )


def bytes_at(path: Path) -> int:
    """Return how many bytes a path has, of a link those of the link itself; 0 if it is gone since it was listed."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def walk(root: Path) -> Iterator[Path]:
    """Yield every file below a folder, in the order of their names, but no litter.

    A link counts as a file, wherever it leads, and so does a folder that cannot be looked into.
    """
    if not exists(root):
        return
    try:
        with os.scandir(root) as listed:  # whether a link into a closed folder is one, nobody may ask
            inside = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in listed)
    except OSError:
        inside = []
        yield root
    if inside and not os.access(root, os.X_OK):  # it may be listed, and no more
        inside = []
        yield root
    for name, is_folder in inside:
        path = root / name if name.isascii() else _composed(root / name)
        if is_litter(path.name):
            continue
        if is_folder:
            yield from walk(path)
        else:
            yield path


def _composed(path: Path) -> Path:
    """Return a path as manifests write it: disks of older Macs list accents apart from their letters, and open both."""
    written = path.with_name(unicodedata.normalize("NFC", path.name))
    is_same = written != path and written.exists() and path.samefile(written)
    return written if is_same else path


# What people write where they do not know. "not stated by the authors" is an answer, and a better one.
OPEN = frozenset({"?", "unknown", "none", "n/a", "na", "todo", "tbd", "fixme", "xxx"})
NOT_STATED = "not stated by the authors"
QUESTIONS = {
    "title": "Write what it is, in a line.",
    "license": f'See its authors\' page; write "{NOT_STATED}" if it does not name one.',
    "source": "Name the page of its authors.",
    "target": "Name the field that is to be predicted, or leave the key out.",
    "citation": "Write how its authors want it cited, or leave the key out.",
}

# SPDX ids that data and its programs have, of the seven hundred: those that a misspelled one may have meant.
LICENSES = (
    "0BSD", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "C-UDA-1.0", "CC-BY-2.0",
    "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-4.0",
    "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-SA-2.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-PDDC",
    "CC0-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "EUPL-1.2", "GFDL-1.3-or-later",
    "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only", "LGPL-3.0-only",
    "MIT", "MIT-0", "MPL-2.0", "ODC-By-1.0", "ODbL-1.0", "OGL-UK-3.0", "PDDL-1.0", "PSF-2.0", "Unlicense", "Zlib",
)  # fmt: skip
# Words that people write out, and those that tell no license from another.
SPELLED_OUT = {
    "creative commons": "cc", "attribution": "by", "noncommercial": "nc", "non commercial": "nc", "sharealike": "sa",
    "share alike": "sa", "noderivatives": "nd", "no derivatives": "nd", "zero": "cc0", "modified": "3 clause",
    "international": "", "unported": "", "generic": "", "licence": "", "license": "", "version": "", "the": "",
}  # fmt: skip


def audit_ignore(manifest: Manifest) -> Iterator[Finding]:
    """Report what the manifest ignores and is no rule: a misspelled one would leave out nothing."""
    places: list[tuple[str, tuple[str, ...]]] = [("", manifest.ignore)]
    places += [(name, entry.ignore) for name, entry in manifest.own.items()]
    for dataset, rules in places:
        for i, rule in enumerate(rules):
            if rule not in RULES:
                yield Finding(
                    rule="manifest",
                    dataset=dataset,
                    what=f"ignore names {rule!r}, and there is no such rule{did_you_mean(rule, RULES)}",
                    path=str(manifest.path),
                    where=manifest.where(dataset, "ignore", i) if dataset else manifest.where_on_top("ignore"),
                    hint="Name a rule as docs/audit.md lists it.",
                )


def lint(manifest: Manifest, name: str) -> Iterator[Finding]:
    """Report what a reviewer would ask of one entry. In an installed package the paths in `used_by` do not exist."""
    entry = manifest.entry(name)
    warn = partial(Finding, dataset=name, path=str(manifest.path), severity="warning")
    yield from _questions(manifest, name, entry, warn)
    yield from _license(manifest, name, entry, warn)
    yield from _secrets(manifest, name, entry, warn)
    yield from _addresses(manifest, name, entry, warn)
    if not entry.used_by and any(other.used_by for other in manifest.own.values()):
        yield warn(
            rule="unused",
            what="used_by names nothing that uses it",
            where=manifest.where(name),
            hint="List under used_by what does; if nothing does, it may be removed.",
        )
    is_installed = manifest.path.parent == Path(__file__).resolve().parent.parent
    for i, used in enumerate(() if is_installed else entry.used_by):
        path = manifest.path.parent / used
        if not exists(path):
            whether = "may be there: a folder on the way may not be looked into" if _is_closed(path) else "is not there"
            yield warn(
                rule="used-by-missing",
                what=f"used_by names {used}, which {whether}",
                where=manifest.where(name, "used_by", i),
                path=str(path),
                hint="Correct the path, or remove it.",
            )


def _is_closed(path: Path) -> bool:
    """Check whether this user may not know if anything is there."""
    try:
        path.stat()
    except OSError as error:
        return error.errno in DENIED
    return False


def audit_compiled(manifest: Manifest) -> Iterator[Finding]:
    """Report a compiled form of the packaged manifest that is not what the manifest makes now: stale, or planted."""
    path = generated.compiled_path(manifest.path)
    if path is None or not exists(path):
        return
    try:
        kept, unread = read_file(path), ""
    except OSError as error:  # `get` cannot read it either, and reads the manifest
        kept, unread = b"", error.strerror or str(error)
    if kept == generated.format_compiled(manifest):
        return
    differs = partial(
        Finding,
        dataset="",
        path=str(path),
        where=f"{manifest.path.name}:1",
        hint="Run `tinytorch-datasets compile`, or delete it.",
    )
    if unread:
        yield differs(rule="compiled-stale", what=f"its compiled form cannot be read: {unread}", severity="warning")
    elif any(generated.declared(manifest.path, name) for name in manifest.own):
        yield differs(rule="compiled", what="its compiled form is not what the manifest says")
    else:
        what = "its compiled form is of an older manifest, or of another version, and is not used"
        yield differs(rule="compiled-stale", what=what, severity="warning")


def _questions(manifest: Manifest, name: str, entry: Entry, warn: Any) -> Iterator[Finding]:
    for key, hint in QUESTIONS.items():
        text = getattr(entry, key)
        if text is not None and text.strip(" .?").casefold() in OPEN | {""}:
            yield warn(
                rule="question",
                what=f"{key} is an open question: {text!r}",
                where=manifest.where(name, key),
                actual=text,
                hint=hint,
            )


def _license(manifest: Manifest, name: str, entry: Entry, warn: Any) -> Iterator[Finding]:
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    given = entry.license
    if given == NOT_STATED or given.strip(" .?").casefold() in OPEN | {""}:
        return
    try:
        meant = str(canonicalize_license_expression(given))
    except InvalidLicenseExpression:
        meant = nearest_license(given)
    if meant != given:
        yield warn(
            rule="license",
            what=f"license is no SPDX expression: {given!r}" + (f"; did you mean {meant!r}?" if meant else ""),
            where=manifest.where(name, "license"),
            expected=meant or None,
            actual=given,
            hint=f'Write an id of spdx.org/licenses, or "{NOT_STATED}"; LicenseRef-Name for one of their own.',
        )


def nearest_license(given: str) -> str:
    """Return the SPDX id that words about a license most likely mean; "" where that is not clear.

    >>> nearest_license("CC BY 4.0"), nearest_license("Creative Commons Attribution-ShareAlike 4.0 International")
    ('CC-BY-4.0', 'CC-BY-SA-4.0')
    >>> nearest_license("Apache License, Version 2.0"), nearest_license("for research only")
    ('Apache-2.0', '')
    """
    words = re.sub(r"[^a-z0-9.]+", " ", given.casefold())
    for spelled, short in SPELLED_OUT.items():
        words = re.sub(rf"\b{spelled}\b", short, words)
    words = re.sub(r"\bv(?=\d)", "", words)
    spelled = "-".join(words.replace("cc cc0", "cc0").split())
    ids = {license_id.casefold(): license_id for license_id in LICENSES}
    if spelled in ids:
        return ids[spelled]
    # A name without its version means one if there is one; what is not nearly all of an id means none.
    of_name = [license_id for key, license_id in ids.items() if re.fullmatch(rf"{re.escape(spelled)}-[\d.]+", key)]
    close = difflib.get_close_matches(spelled, ids, n=1, cutoff=0.85)
    return of_name[0] if len(of_name) == 1 else ids[close[0]] if close and not of_name else ""


def _secrets(manifest: Manifest, name: str, entry: Entry, warn: Any) -> Iterator[Finding]:
    for address, where in (*_addresses_of(manifest, name), (entry.source, manifest.where(name, "source"))):
        if parameter := secret_parameter(address):
            shown = without_secrets(address)
            yield warn(
                rule="secret-in-address",
                what=f"{shown}: {parameter} is a key or an expiry of whoever copied this address",
                where=where,
                path=shown,
                hint="Use the address that everybody is given; a manifest is read by everyone.",
            )


def _addresses(manifest: Manifest, name: str, entry: Entry, warn: Any) -> Iterator[Finding]:
    if entry.status != "remote":
        return
    alone = [file for file, declared in entry.files.items() if len(declared.urls) + len(entry.mirrors) == 1]
    if alone:
        key: tuple[str, ...] = ("mirrors",) if entry.mirrors else ("files", alone[0])
        files = alone[0] if len(alone) == 1 else f"{alone[0]} and {len(alone) - 1} more"
        yield warn(
            rule="single-mirror",
            what=f"{files}: one address and no other",
            where=manifest.where(name, *key),
            expected="two addresses or more",
            actual=1,
            hint="Add another host's; the sha256 makes their bytes interchangeable.",
        )
    for address, where in _addresses_of(manifest, name):
        if address.lower().startswith("http://"):
            address = without_secrets(address)
            yield warn(
                rule="plain-http",
                what=f"{address} is http only",
                where=where,
                path=address,
                expected="https://",
                actual="http://",
                hint="Use https:// if the host has it.",
            )


def _addresses_of(manifest: Manifest, name: str) -> Iterator[tuple[str, str]]:
    """Yield each address of a data set and its variants, with its line."""
    entry = manifest.entry(name)
    if not entry.variants and not entry.mirrors and not any(file.urls for file in entry.files.values()):
        return  # and no plan is made of thousands of files
    plan = manifest.plan(name)
    for container in (plan, *plan.variants):
        yield from manifest.addresses(container)
