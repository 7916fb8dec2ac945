"""Is everything on disk as the manifest says?

What CI runs. Every byte is hashed and every value decoded again, whatever stamps and caches say; all that
differs is reported, not the first of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinytorch_datasets import cache, formats, loader
from tinytorch_datasets.errors import DatasetError, DecodeError, VerifyError
from tinytorch_datasets.paths import Places
from tinytorch_datasets.plan import Column, Plan
from tinytorch_datasets.texts import Texts
from tinytorch_datasets.verify import Stamps, check

if TYPE_CHECKING:
    from tinytorch_datasets.loader import ManifestLike

State = Literal["well", "differs", "not here", "partly here"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as declared. `where` is the manifest's line, `path` the file."""

    dataset: str
    what: str
    path: str
    where: str | None = None
    mend: str | None = None
    expected: Any = None
    actual: Any = None

    def __str__(self) -> str:
        lines = [f"{self.where or self.path}: {self.dataset}: {self.what}", *([self.mend] if self.mend else [])]
        return "\n  ".join(lines)


@dataclass(frozen=True)
class Audited:
    """What the audit saw of one data set. `bytes` were hashed; `samples` were decoded and compared."""

    name: str
    state: State
    files: int = 0
    bytes: int = 0
    samples: int = 0


@dataclass(frozen=True)
class Report:
    """All that an audit found: `findings` in the manifest's order, and one row for each data set looked at."""

    manifest: str
    datasets: tuple[Audited, ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    @property
    def well(self) -> bool:
        """Whether nothing differs."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"well": self.well, **asdict(self)}


def audit(names: Sequence[str] = (), *, manifest: ManifestLike = None) -> Report:
    """Check everything on disk against the manifest.

    Each declared file that is there is hashed; when all of a data set's files are right they are decoded, and
    sample counts, shapes, dtypes, value ranges and labels compared with what is declared, and cached arrays
    with what was decoded now. A remote data set that was never fetched is no finding; a shipped one that is
    missing is.

    Args:
        names: The data sets to check; none given means all.
        manifest: Another manifest than the packaged one: a path, or what `load_manifest` gave.

    Raises:
        ManifestError: The manifest itself is wrong.
        UnknownDataset: It has no data set of a given name.

    >>> audit(["tinydigits"]).well
    True
    """
    if isinstance(names, str):
        names = [names]
    book = loader.manifest_of(manifest)
    where = loader.places(book)
    plans = [loader.planned(book, name, where) for name in names or book.datasets]
    seen, findings = [], []
    for plan in plans:
        audited, found = _audited(plan, where)
        seen.append(audited)
        findings += found
    return Report(str(book.path), tuple(seen), tuple(findings))


def _audited(plan: Plan, where: Places) -> tuple[Audited, list[Finding]]:
    present = [file for file in plan.files if (plan.root / file.name).exists()]
    expected = plan.files if plan.status == "shipped" else present
    stamps = Stamps(where.cache / "stamps" / f"{plan.name}.json")
    findings = []
    for file in expected:
        try:
            check(plan.root / file.name, file, mode="always", stamps=stamps, mend=loader.mend(plan))
        except VerifyError as error:
            findings.append(_finding(plan, error))
    stamps.save()
    hashed = sum(file.bytes for file in present)
    if len(present) < len(plan.files) or findings:
        state: State = "differs" if findings else "partly here" if present else "not here"
        return Audited(plan.name, state, len(present), hashed), findings
    findings = list(_differences(plan, where))
    samples = sum(split.samples for split in plan.splits)
    return Audited(plan.name, "differs" if findings else "well", len(present), hashed, samples), findings


def _differences(plan: Plan, where: Places) -> Iterator[Finding]:
    """Decode the verified files once more; what differs from the declaration or from the cached arrays."""
    folder = cache.folder(where.cache, plan, formats.of(plan.format).version)
    kept = {}
    if folder.is_dir():
        kept = {id(c): cache.opened(c, folder) for split in plan.splits for c in split.columns.values()}
    damaged: dict[str, Column] = {}
    try:
        for column, start, values in loader.blocks(plan):
            if kept and not _same(kept[id(column)], start, values):
                damaged[str(column)] = column
    except DecodeError as error:
        yield _finding(plan, error)
    for column in damaged.values():
        yield Finding(
            plan.name,
            f"the cached array {column} is not what its file decodes to",
            str(folder / f"{column}.npy"),
            where=column.where,
            mend=f'Run `tinytorch-datasets clean {plan.name} --arrays`, or get it with verify="always".',
        )


def _same(kept: Any, start: int, values: Any) -> bool:
    if kept is None:
        return False
    if isinstance(kept, str):
        return bool(kept == values[0])
    part = kept[start : start + len(values)]
    # Bytes, not values: NaN differs from itself, and minus zero equals zero.
    same = part == values if isinstance(part, Texts) else part.tobytes() == np.ascontiguousarray(values).tobytes()
    return bool(same)


def _finding(plan: Plan, error: DatasetError) -> Finding:
    return Finding(
        plan.name,
        error.what,
        str(getattr(error, "path", Path())),
        where=error.where,
        mend=error.mend,
        expected=getattr(error, "expected", None),
        actual=getattr(error, "actual", None),
    )
