"""`audit`: the manifest, what is on disk, and every URL.

What CI runs. Every byte is hashed and every value compared, whatever stamps and caches say; all that differs is
reported, not the first of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tinytorch_datasets import api, pipeline
from tinytorch_datasets.auditing import lint
from tinytorch_datasets.auditing.findings import LEVELS, DatasetReport, Finding, Level, ProbeResult, Report
from tinytorch_datasets.auditing.local import Decode, Stock
from tinytorch_datasets.digests import Digest, Step, digests
from tinytorch_datasets.errors import LockError, ManifestError, Problem
from tinytorch_datasets.fetch import DEFAULT_RETRY, RetryPolicy
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage.files import whole_file

if TYPE_CHECKING:
    from tinytorch_datasets.api import AnyPath, ManifestLike


LOCAL: tuple[Level, ...] = LEVELS[:3]
DECODE: tuple[Decode, ...] = get_args(Decode)

# What the addresses said when they were last known to be right, beside the manifest and committed with it.
ADDRESSES = "mirrors.lock"


def audit(
    names: Sequence[str] = (),
    *,
    manifest: ManifestLike = None,
    home: AnyPath | None = None,
    levels: Iterable[Level] | None = None,
    decode: Decode = "auto",
    deep: bool = False,
    remember: bool = False,
    mirror: AnyPath | None = None,
    lock: AnyPath | None = None,
    strict: bool = False,
    progress: Step | None = None,
    answered: Callable[[ProbeResult], None] | None = None,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> Report:
    """Check everything on disk against the manifest; asked to, every address too.

    Each declared file that is there is hashed; when all of a data set's files are right they are decoded, and
    sample counts, shapes, dtypes, value ranges, labels, digests and the checks compared with what is declared, and
    cached arrays with what was decoded now. Where the manifest declares the digests of the values, and cached arrays
    have them, those are what decoding would give, and are looked at in its place: that takes as long as hashing. A
    remote data set that was never fetched is no finding; a shipped one that is missing is.

    Args:
        names: The data sets to check; none given means all.
        manifest: Another manifest than the packaged one: a path, or what `load_manifest` gave.
        home: The folder of downloads and decoded arrays, as for `get`.
        levels: "manifest" (what an entry leaves open), "shipped" (the bytes in the repository), "cached"
            (downloads and decoded arrays), "remote" (every address of every file). The first three by default.
        decode: "auto" decodes what declared digests do not vouch for; "always" decodes everything, and tells what
            pickles ask for; "never" hashes files and decodes nothing.
        deep: Whether "remote" downloads and hashes every file, instead of asking for its length.
        remember: Whether to note what good addresses said, in ``mirrors.lock`` beside the manifest.
        mirror: A folder that `mirror` wrote: it is checked, and nothing else.
        lock: A file that `tinytorch-datasets provenance --json` wrote: whatever moved since is a finding.
        strict: Whether warnings (a single mirror, a data set that nobody uses) counts as a finding.
        progress: Called with bytes hashed and bytes in all.
        answered: Called with each address's answer, as it comes.
        retry: How long to wait for addresses.

    Raises:
        ManifestError: The manifest itself is wrong.
        LockError: `lock`, or ``mirrors.lock``, cannot be read.
        UnknownName: The manifest has no data set of a given name.
        ValueError: `levels` or `decode` are others, or `mirror` is given together with what it leaves out.

    >>> audit(["tinydigits"], levels=["shipped"]).ok
    True
    """
    if isinstance(names, str):
        names = [names]
    if decode not in DECODE:
        msg = f"decode is {', '.join(map(repr, DECODE))}, not {decode!r}"
        raise ValueError(msg)
    if mirror is not None and (levels is not None or decode != "auto" or deep or remember or lock is not None):
        msg = "mirror is checked and nothing else: it goes without levels, decode, deep, remember and lock"
        raise ValueError(msg)
    wanted = set(LOCAL if levels is None else levels) | ({"remote"} if deep or remember else set())
    if odd := wanted - set(LEVELS):
        msg = f"levels are {', '.join(LEVELS)}, not {', '.join(map(repr, sorted(odd)))}"
        raise ValueError(msg)
    loaded = api.manifest_of(manifest)
    named, names = bool(names), tuple(dict.fromkeys(names)) or tuple(loaded.datasets)
    locations = pipeline.locations(loaded, home)
    plans = [pipeline.plan_of(loaded, name, locations) for name in names]
    if mirror is not None:
        from tinytorch_datasets.auditing import mirror_folder  # it stands on what copies files, which stands on `fetch`

        at = Path(mirror).expanduser().absolute()
        whole = len(names) == len(loaded.datasets)
        rows, found = mirror_folder.audited(loaded, plans, at, named=named, whole=whole, step=progress)
        return Report(str(loaded.path), tuple(rows), tuple(found), strict=strict)
    return _Audit(loaded, plans, locations, wanted, decode, strict).report(
        deep=deep, remember=remember, lock=lock, progress=progress, answered=answered, retry=retry
    )


def unusable(error: ManifestError) -> Report:
    """The report on a manifest that cannot be used: its problems as findings."""
    return Report(str(error.path), findings=tuple(_of_problem(error.path, problem) for problem in error.problems))


def _of_problem(path: Path, problem: Problem) -> Finding:
    # What says its data set, as a finding does, need not say it twice.
    key = problem.key.removeprefix(problem.dataset).removeprefix("." if problem.dataset else "")
    return Finding(
        rule="manifest",
        dataset=problem.dataset,
        what=f"{key}: {problem.what}" if key else problem.what,
        path=str(path),
        where=f"{path.name}:{problem.line}",
        hint="Correct the manifest.",
    )


class _Audit:
    """One audit: the findings of each level, data set by data set."""

    def __init__(
        self, loaded: Manifest, plans: list[Plan], locations: Locations, levels: set[str], decode: Decode, strict: bool
    ) -> None:
        self._manifest, self._plans, self._locations, self._levels = loaded, plans, locations, levels
        self._decode, self._strict = decode, strict
        self._of_name: dict[str, list[Finding]] = {plan.name: [] for plan in plans}
        self._found: dict[Path, Digest | OSError] = {}

    def report(
        self,
        *,
        deep: bool,
        remember: bool,
        lock: AnyPath | None,
        progress: Step | None,
        answered: Callable[[ProbeResult], None] | None,
        retry: RetryPolicy,
    ) -> Report:
        if "manifest" in self._levels:
            # In an installed package the paths that entries name beside the manifest are nowhere.
            clone = self._manifest.path.parent != Path(__file__).resolve().parent
            for plan in self._plans:
                self._of_name[plan.name] += lint.linted(self._manifest, plan.name, in_clone=clone)
        rows = self._on_disk(progress)
        asked = self._remote(deep, remember, answered, retry) if "remote" in self._levels else ()
        beside = [*(lint.compiled_form(self._manifest) if "manifest" in self._levels else ()), *self._of_folder()]
        if lock is not None:
            from tinytorch_datasets.auditing import lockfile

            plans, sound = {plan.name: plan for plan in self._plans}, {row.name for row in rows if row.state == "ok"}
            at = Path(lock).expanduser().absolute()
            beside += lockfile.moved(self._manifest, at, plans, self._digested(plans.values()), sound, self._locations)
        found = [finding for plan in self._plans for finding in self._of_name[plan.name]]
        return Report(str(self._manifest.path), tuple(rows), (*found, *beside), tuple(asked), self._strict)

    def _on_disk(self, progress: Step | None) -> list[DatasetReport]:
        looked = [plan for plan in self._plans if _level(plan) in self._levels]
        stock = Stock(self._manifest, looked, self._locations, self._decode)
        rows = {}
        for row, findings in stock.taken(progress):
            rows[row.name] = row
            self._of_name[row.name] += findings
        self._found = stock.found
        return [rows.get(plan.name) or DatasetReport(plan.name, "not checked") for plan in self._plans]

    def _of_folder(self) -> Iterable[Finding]:
        if "shipped" in self._levels:
            shipped = self._locations.shipped
            names = [plan.name for plan in self._plans]
            yield from lint.undeclared(self._manifest, shipped, names)
            if len(names) == len(self._manifest.datasets):
                yield from lint.over_budget(self._manifest, shipped)

    def _digested(self, plans: Iterable[Plan]) -> Mapping[Path, Digest | OSError]:
        wanted = (plan.root / file.name for plan in plans for file in plan.files)
        more = digests(path for path in wanted if path not in self._found)
        return {**self._found, **more}

    def _remote(
        self, deep: bool, remember: bool, answered: Callable[[ProbeResult], None] | None, retry: RetryPolicy
    ) -> list[ProbeResult]:
        from tinytorch_datasets.auditing import remote  # and with it what speaks HTTP

        path = self._manifest.path.parent / ADDRESSES
        known = read_addresses(path)
        wanted = [
            address
            for plan in self._plans
            if plan.status == "remote"
            for address in remote.addresses(self._manifest, plan)
        ]
        replies = remote.ask(wanted, deep=deep, known=known, retry=retry, answered=answered)
        for reply in replies:
            self._of_name[reply.asked.dataset] += reply.findings
        if remember:
            seen = {reply.asked.url: reply.seen for reply in replies if reply.seen}
            with whole_file(path) as out:
                told_of = {"lock": 1, "addresses": dict(sorted({**known, **seen}.items()))}
                out.write(json.dumps(told_of, indent=2).encode() + b"\n")
        return [reply.asked for reply in replies]


def read_addresses(path: Path) -> dict[str, Any]:
    """What ``mirrors.lock`` says of each address; nothing if it is not there.

    Raises:
        LockError: It is there, and cannot be read.
    """
    try:
        return dict(json.loads(path.read_bytes())["addresses"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{path} is not a record of what addresses said ({type(error).__name__})"
        hint = "Delete it; `tinytorch-datasets audit --remote --remember` writes it anew."
        raise LockError(what, hint=hint, path=path) from error


def _level(plan: Plan) -> str:
    return "shipped" if plan.status == "shipped" else "cached"
