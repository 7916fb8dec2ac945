"""Is everything among the shipped data declared, and does it stay small?"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from tinytorch_datasets.findings import Finding
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.scalars import printable

# What stands beside data and is none: data cards, licences, and the scripts that made the data.
BESIDE = ("README*", "LICENSE*", "LICENCE*", "NOTICE*", "CITATION*", "*.md", "*.py")
# What tools leave about; git and the wheel pass it over.
LITTER = frozenset({"__pycache__", ".DS_Store", ".gitattributes", ".gitignore", ".gitkeep", "Thumbs.db"})


def undeclared(book: Manifest, shipped: Path, names: Collection[str]) -> Iterator[Finding]:
    """Files among the shipped data that no entry declares. For some names only: in their folders."""
    declared = set[Path]()
    for name, entry in book.datasets.items():
        if entry.status == "shipped":
            declared |= {shipped / book.folder(name) / file for file in entry.files}
    roots = [shipped] if len(names) == len(book.datasets) else []
    roots = roots or [shipped / book.folder(n) for n in names if book.entry(n).status == "shipped"]
    for path in (path for root in roots for path in files(root)):
        hides = path.name == "__init__.py"
        if path in declared or (not hides and any(fnmatch.fnmatch(path.name, beside) for beside in BESIDE)):
            continue
        told = printable(path.relative_to(shipped).as_posix())
        owner = next((n for n in book.datasets if told.startswith(f"{book.folder(n)}/")), "")
        owner = owner if owner and book.entry(owner).status == "shipped" else ""
        what = f"{told} is in {book.shipped_in} and declared nowhere"
        yield Finding(
            rule="undeclared",
            dataset=owner,
            what=f"{told} would hide the package of that folder's name from Python" if hides else what,
            path=printable(str(path)),
            where=book.where(owner, "files") if owner else book.where_on_top("shipped_in"),
            expected="nothing",
            found=f"{path.lstat().st_size:,} bytes",
            mend="Remove it, or declare it under files.",
        )


def linked(book: Manifest, plan: Plan, shipped: Path) -> Iterator[Finding]:
    """The files of a shipped data set that are elsewhere, behind a link: git has the link, and not the bytes."""
    for file in plan.files:
        path = plan.root / file.name
        target = Path(os.path.realpath(path))
        if path.exists() and not target.is_relative_to(os.path.realpath(shipped)):
            yield Finding(
                rule="file-missing",
                dataset=plan.name,
                what=f"{path} is behind a link to {printable(str(target))}, so its bytes do not ship",
                path=str(path),
                where=file.where,
                expected=f"a file in {book.shipped_in}",
                found=printable(str(target)),
                mend="Put the file itself in the link's place.",
            )


def over_budget(book: Manifest, shipped: Path) -> Iterator[Finding]:
    """The shipped data as a whole, if it is larger than declared."""
    budget = book.shipped_budget_bytes
    taken = sum(path.lstat().st_size for path in files(shipped)) if budget else 0
    if budget and taken > budget:
        yield Finding(
            rule="budget",
            dataset="",
            what=f"{book.shipped_in} holds {taken:,} bytes, the budget is {budget:,}",
            path=str(shipped),
            where=book.where_on_top("shipped_budget_bytes"),
            expected=budget,
            found=taken,
            mend="Make a data set remote, or smaller; or raise the budget, on purpose.",
        )


def files(root: Path) -> Iterator[Path]:
    """Every file below a folder, in the order of their names, but no litter.

    A link counts as a file, wherever it leads, and so does a folder that cannot be looked into.
    """
    if not root.is_dir():
        return
    try:
        inside = sorted(root.iterdir())
    except OSError:
        yield root
        return
    for path in inside:
        if path.name in LITTER or path.suffix == ".pyc":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files(path)
        elif path.exists() or path.is_symlink():
            yield path
