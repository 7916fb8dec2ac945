"""`audit`: the manifest, what is on disk, and every URL.

What CI runs. Every byte is hashed, every time, whatever stat signatures and caches say; and every value is compared,
now, or when the very same bytes were audited last: see `kept_report.py`. All that differs is reported, not only the
first.

Pydantic, NumPy and the stages take as long to be imported as files of some hundred MB to be hashed. So all that is not
needed to read a kept report, or cache entries, is imported inside of functions, while threads hash the files that
these name: see `DigestsAhead`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, get_args

from tinytorch_datasets import settings
from tinytorch_datasets.auditing.kept_report import Call, Inputs, KeptReport, level_of
from tinytorch_datasets.concurrency import collection_paused
from tinytorch_datasets.digests import DigestsAhead, Step, Stretch, digest
from tinytorch_datasets.errors import (
    DatasetError,
    LockError,
    ManifestError,
    Problem,
    UsageError,
    check_flag,
    did_you_mean,
)
from tinytorch_datasets.storage.cache_entry import entries_in, homes_of_entries

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from tinytorch_datasets.api import AnyPath, ManifestLike
    from tinytorch_datasets.auditing.findings import DatasetReport, Finding, Level, ProbeResult, Report
    from tinytorch_datasets.auditing.local import FileDigests
    from tinytorch_datasets.auditing.remote import Probe
    from tinytorch_datasets.digests import Digest
    from tinytorch_datasets.fetch import RetryPolicy
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.plan import Plan
    from tinytorch_datasets.settings import Locations
    from tinytorch_datasets.storage.array_folder import ArrayFolder


LOCAL_LEVELS: tuple[Level, ...] = ("manifest", "shipped", "cached")
Decode = Literal["auto", "always", "never"]
DECODE: tuple[Decode, ...] = get_args(Decode)

# ETag and date of the addresses when they were last known to be right; beside the manifest, and committed with it.
ADDRESSES = "mirrors.lock"
# The command that a hint says to type where a change was meant.
UPDATE = "`tinytorch-datasets update "


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
    ignore: Collection[str] = (),
    progress: Step | None = None,
    on_probe: Callable[[ProbeResult], None] | None = None,
    retry: RetryPolicy | None = None,
    executor: Executor | None = None,
    offline: bool | None = None,
) -> Report:
    """Compare everything on disk with the manifest and, if asked to, every address.

    Each declared file on disk is hashed. When all of a data set's files match, they are decoded: sample counts,
    shapes, dtypes, value ranges, labels, digests and checks are compared with what is declared, and cached arrays with
    what was decoded now. Where the manifest declares the digests of the values, and cached arrays have them, those
    arrays are checked in place of decoding, which takes as long as hashing. If all of these bytes, and all else that
    was looked at, are what they were when nothing was found wrong last, that report is returned. A remote data set that
    was never downloaded is no finding; a shipped one that is missing is.

    Args:
        names: The data sets to check; none given means all.
        manifest: Another manifest than the packaged one: a path, or what `load_manifest` gave.
        home: The folder of downloads and decoded arrays, as for `get`.
        levels: "manifest" (what an entry leaves open), "shipped" (the bytes in the repository), "cached"
            (downloads and decoded arrays), "remote" (every address of every file). The first three by default.
        decode: "auto" decodes what neither declared digests nor the last audit of the same bytes vouch for; "always"
            decodes everything, and lists what pickles ask for; "never" hashes files and decodes nothing.
        deep: Whether "remote" downloads and hashes every file, instead of asking for its length.
        remember: Whether to note the ETag and date of good addresses, in ``mirrors.lock`` beside the manifest.
        mirror: A folder that `mirror` wrote, or the address of one (``s3://bucket/class``, ``https://...``): it is
            checked, and nothing else. What is at an address is read as a whole, by this process.
        lock: A file that `tinytorch-datasets lock` wrote: whatever differs from it is a finding.
        strict: Whether warnings (a single mirror, an open question) fail the audit.
        ignore: Rules whose warnings are left out ("single-mirror"); errors are reported all the same.
        progress: Called with bytes hashed and bytes in all.
        on_probe: Called with the result of each address, as it comes.
        retry: How long to wait for addresses; None for the usual times.
        executor: What hashes and decodes, in place of this process: a pool of `concurrent.futures`, or any other with
            `submit`, such as ``dask.distributed.Client(...).get_executor()``. Its workers need the same files at the
            same paths. A file is a task, a column of cached arrays, and a data set that is decoded; findings are the
            same, in the same order. Addresses are asked from here.
        offline: True opens no socket, and refuses what needs one; None takes ``TINYTORCH_DATASETS_OFFLINE``.

    Raises:
        StorageError: A worker of the executor does not see the files that this process sees.
        UsageError: `executor` takes no tasks, or its workers have another version of the package; a variable asks for
            stand-in data, `remember` would write into an installed package, or sockets are forbidden that are needed.
        ManifestError: The manifest itself is wrong.
        LockError: `lock`, or ``mirrors.lock``, cannot be read.
        UnknownName: The manifest has no data set of a given name.
        ValueError: `levels`, `decode` or `ignore` are others, or `mirror` is given together with what it leaves out.

    >>> audit(["tinydigits"], levels=["shipped"]).ok
    True
    """
    if executor is not None:
        from tinytorch_datasets.concurrency.executors import check_executor

        check_executor(executor)
    if isinstance(names, str):
        names = [names]
    if decode not in DECODE:
        msg = f"decode is {', '.join(map(repr, DECODE))}, not {decode!r}{did_you_mean(str(decode), map(str, DECODE))}"
        raise ValueError(msg)
    for flag, name in ((deep, "deep"), (remember, "remember"), (strict, "strict"), (offline or False, "offline")):
        check_flag(flag, name)
    if ignore:
        _check_rules(ignore)
    if mirror is not None and (levels is not None or decode != "auto" or deep or remember or lock is not None):
        msg = "mirror is checked and nothing else: it goes without levels, decode, deep, remember and lock"
        raise ValueError(msg)
    wanted = set(LOCAL_LEVELS if levels is None else levels) | ({"remote"} if deep or remember else set())
    if unknown := wanted - {*LOCAL_LEVELS, "remote"}:
        msg = f"levels are {', '.join(LOCAL_LEVELS)}, remote, not {', '.join(map(repr, sorted(unknown)))}"
        raise ValueError(msg)
    if "remote" in wanted:
        from tinytorch_datasets.manifest.filenames import refuse_offline

        asked = "deep=True" if deep else "remember=True" if remember else "levels=['remote']"
        refuse_offline(asked, argument=asked.partition("=")[0], offline=offline, hint="audit what is on disk.")
    names = tuple(names)
    is_local = executor is None and mirror is None
    call = None
    if is_local and lock is None and "remote" not in wanted and decode != "always":
        call = Call.of(names, manifest, home, levels=wanted, decode=decode, strict=strict, ignore=ignore)
    with collection_paused():
        known = KeptReport.read(call) if call is not None else None
    likely = _likely_stretches(names, manifest, home) if is_local and wanted & {"shipped", "cached"} else ()
    stretches = likely if known is None else known.stretches
    with DigestsAhead(stretches, lambda its: digest(its.path, stretch=its)) as ahead:  # of a disk that may be failing
        with collection_paused():
            if known is not None and (same := known.report(ahead, progress)) is not None:
                return same
            from pathlib import Path

            from tinytorch_datasets import api, pipeline
            from tinytorch_datasets.auditing import lint
            from tinytorch_datasets.auditing.findings import DatasetReport, ProbeResult, Report
            from tinytorch_datasets.auditing.local import audit_homes, audit_on_disk
            from tinytorch_datasets.pipeline.standin import refuse_standin

        refuse_standin("an audit")
        loaded = api.manifest_of(manifest, offline=offline)
        if remember and settings.is_installed(str(loaded.path.parent)):
            what = f"{loaded.path} is part of the installed package, which is not written to"
            raise UsageError(what, hint=f"Name a manifest of your own, beside which {ADDRESSES} is written.")
        named, names = bool(names), tuple(dict.fromkeys(map(loaded.name_of, names))) or tuple(loaded.datasets)
        if mirror is not None:
            from tinytorch_datasets.auditing import mirror_address, mirror_folder  # they import `fetch`

            whole, probed = len(names) == len(loaded.datasets), tuple[ProbeResult, ...]()
            plans = [loaded.plan(name) for name in names]
            if mirror_address.is_address(mirror):
                audited, problems, probed = mirror_address.audit_address(
                    loaded, plans, str(mirror), named=named, offline=offline, retry=retry, on_probe=on_probe
                )
            else:
                at = Path(settings.absolute(mirror, name="mirror"))
                audited, problems = mirror_folder.audit_mirror(
                    loaded, plans, at, named=named, whole=whole, step=progress, executor=executor
                )
            kept = _without(ignore, loaded, _on_lines(loaded, problems))
            return Report(str(loaded.path), tuple(audited), kept, probed, strict=strict)
        placed = {name: pipeline.in_use(loaded, name, home) for name in names}
        with collection_paused():
            inputs = Inputs.of(call, loaded, placed) if call is not None else None
        plans = [plan for plan, _ in placed.values()]
        findings: dict[str, list[Finding]] = {name: [] for name in names}
        if "manifest" in wanted:
            for name in names:
                findings[name] += lint.lint(loaded.owner(name), name)
        # Included manifests have folders of their own, or the same ones.
        groups = {its: [plan for plan, of_plan in placed.values() if of_plan == its] for _, its in placed.values()}
        reports: dict[str, DatasetReport] = {}
        hashed: dict[Path, Digest | OSError] = {}
        vouched: dict[str, list[ArrayFolder]] = {}
        for locations, group in groups.items():
            wanted_plans = [plan for plan in group if level_of(plan) in wanted]
            begun = ahead if is_local else None  # an executor's workers have none of this process's threads
            on_disk = audit_on_disk(loaded, wanted_plans, locations, decode, progress, executor, begun)
            reports |= on_disk.reports
            hashed |= on_disk.digests
            vouched |= on_disk.vouched
            for name, more in on_disk.findings.items():
                findings[name] += more
        rows = tuple(reports.get(name) or DatasetReport(name, "not checked") for name in names)
        probes: list[Probe] = []
        if "remote" in wanted:
            probes = _audit_remote(
                loaded, map(loaded.plan, names), deep=deep, remember=remember, retry=retry, on_probe=on_probe
            )
            for probe in probes:
                findings[probe.result.dataset] += probe.findings
        general: list[Finding] = []
        is_whole = len(names) == len(loaded.datasets)
        if "manifest" in wanted:
            for layer in loaded.layers:
                general += _on_lines_of(layer, loaded, lint.audit_ignore(layer))
                general += _on_lines_of(layer, loaded, lint.audit_compiled(layer))
        if "cached" in wanted:
            for locations, group in groups.items():
                general += audit_homes(locations, group)
        if "shipped" in wanted:
            for layer, undeclared in lint.audit_undeclared(loaded, names):
                general += _on_lines_of(layer, loaded, undeclared)
            for layer in loaded.layers if is_whole else ():
                budget = lint.audit_budget(layer, layer.path.parent / layer.shipped_in)
                general += _on_lines_of(layer, loaded, budget)
        if lock is not None:
            differing = _audit_lock(loaded, Path(settings.absolute(lock, name="lock")), placed, rows, hashed, executor)
            general += _on_lines(loaded, differing)
        in_order = [*_on_lines(loaded, (f for name in names for f in findings[name])), *general]
        left = _without(ignore, loaded, in_order)
        report = Report(str(loaded.path), rows, left, tuple(probe.result for probe in probes), strict)
        if inputs is not None:
            with collection_paused():
                inputs.keep(report, in_order, vouched)
        return report


def _check_rules(rules: Collection[str]) -> None:
    from tinytorch_datasets.auditing.findings import RULES

    for rule in rules:
        if rule not in RULES:
            msg = f"there is no rule {rule!r}{did_you_mean(rule, RULES)}"
            raise ValueError(msg)


def _likely_stretches(names: Sequence[str], manifest: ManifestLike, home: AnyPath | None) -> Iterator[Stretch]:
    """Yield what will most likely be hashed, as far as cache entries tell; they decide nothing, see `DigestsAhead`."""
    if manifest is not None and not isinstance(manifest, str | os.PathLike):
        return
    with suppress(DatasetError, OSError, ValueError, TypeError):  # whatever it is, the audit itself will say so
        path = settings.manifest_path(manifest)
        root = None if home is None else settings.absolute(home)
        homes = settings.likely_homes(path, root)
        caches = [f"{kept}/.cache" for kept in homes]
        for cache in (f"{kept}/.cache" for kept in homes_of_entries(homes, root)):
            for entry in entries_in(cache, path):
                if entry.belongs_to(entry.name, path, caches) and entry.name in (names or entry):
                    yield from entry.stretches()


def unusable(error: ManifestError) -> Report:
    """Return the report on a manifest that cannot be used: its problems as findings."""
    from tinytorch_datasets.auditing.findings import Report

    problems = ((one.path, problem) for one in (error, *error.also) for problem in one.problems)
    return Report(str(error.path), findings=tuple(_of_problem(path, problem) for path, problem in problems))


def _of_problem(path: Path, problem: Problem) -> Finding:
    from tinytorch_datasets.auditing.findings import Finding

    # A finding names its data set; the key need not name it again.
    key = problem.key.removeprefix(problem.dataset).removeprefix("." if problem.dataset else "")
    return Finding(
        rule="manifest",
        dataset=problem.dataset,
        what=f"{key}: {problem.what}" if key else problem.what,
        path=str(path),
        where=f"{path.name}:{problem.line}",
        hint="Correct the manifest.",
    )


def _on_lines_of(layer: Manifest, manifest: Manifest, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings on lines of a manifest's file; of one that is included, the line goes with the file's path.

    Two files of one name are the usual case: `datasets.yaml` in a course's folder, and above it.
    """
    if layer is manifest:
        yield from findings
        return
    import shlex
    from dataclasses import replace

    from tinytorch_datasets.pipeline.manifests import name_included

    path, is_installed = name_included(layer.path, manifest.path), settings.is_installed(str(layer.path.parent))
    for finding in findings:
        name, _, line = (finding.where or "").rpartition(":")
        # Some lines are of other files: SHA256SUMS.
        where = f"{path}:{line}" if name == layer.path.name else finding.where
        hint, if_meant, command = (finding.hint or "").partition(UPDATE)
        if if_meant and is_installed:  # an installed package is not written to
            hint = hint.rpartition(" If the change was meant")[0]
        elif if_meant:  # that command writes to the very file that it is given
            dataset, _, rest = command.partition("`")
            hint += f"{UPDATE}{dataset} --manifest {shlex.quote(str(layer.path))}`{rest}"
        yield replace(finding, where=where, hint=hint or None)


def _on_lines(manifest: Manifest, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings on lines of the files that declare their data sets."""
    for finding in findings:
        owner = manifest.owner(finding.dataset) if finding.dataset in manifest.datasets else manifest
        yield from _on_lines_of(owner, manifest, [finding])


def _without(ignore: Collection[str], manifest: Manifest, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Leave out warnings of the rules that the call or the manifest ignores."""
    return tuple(
        f for f in findings if f.severity != "warning" or not (f.rule in ignore or manifest.ignores(f.rule, f.dataset))
    )


def _audit_lock(
    manifest: Manifest,
    lock: Path,
    placed: Mapping[str, tuple[Plan, Locations]],
    rows: Iterable[DatasetReport],
    hashed: FileDigests,
    executor: Executor | None,
) -> Iterator[Finding]:
    from tinytorch_datasets.auditing import lockfile
    from tinytorch_datasets.digests import digests

    paths = (plan.root / file.name for plan, _ in placed.values() for file in plan.files)
    not_hashed = digests((path for path in paths if path not in hashed), executor=executor)
    matching = {row.name for row in rows if row.state == "ok"}
    yield from lockfile.differences(manifest, lock, placed, {**hashed, **not_hashed}, matching)


def _audit_remote(
    manifest: Manifest,
    plans: Iterable[Plan],
    *,
    deep: bool,
    remember: bool,
    retry: RetryPolicy | None,
    on_probe: Callable[[ProbeResult], None] | None,
) -> list[Probe]:
    from tinytorch_datasets.auditing import remote  # and with it what speaks HTTP
    from tinytorch_datasets.fetch import DEFAULT_RETRY
    from tinytorch_datasets.storage.files import whole_file

    path = manifest.path.parent / ADDRESSES
    known = read_addresses(path)
    remotes = (plan for plan in plans if plan.status == "remote")
    targets = [address for plan in remotes for address in remote.addresses(manifest, plan)]
    probes = remote.probe_all(targets, deep=deep, known=known, retry=retry or DEFAULT_RETRY, on_probe=on_probe)
    if remember:
        now = {probe.result.url: probe.validators for probe in probes if probe.validators}
        value = {"lock": 1, "addresses": dict(sorted({**known, **now}.items()))}
        with whole_file(path) as out:
            out.write(json.dumps(value, indent=2).encode() + b"\n")
    return probes


def read_addresses(path: Path) -> dict[str, Any]:
    """Read ``mirrors.lock``: ETag and date by address; empty if it does not exist.

    Raises:
        LockError: It exists, and cannot be read.
    """
    from tinytorch_datasets.storage.files import read_file

    try:
        return {url: dict(facts) for url, facts in dict(json.loads(read_file(path))["addresses"]).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{path} is not a record of addresses ({type(error).__name__})"
        hint = "Delete it; `tinytorch-datasets audit --remote --remember` writes it again."
        raise LockError(what, hint=hint, path=path) from error
