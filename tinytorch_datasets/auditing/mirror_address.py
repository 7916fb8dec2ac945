"""Audit of a mirror at an address: a web server's, or a store's.

All that `mirror` wrote is read and hashed there, as it comes, and nothing is kept: the files of data sets, the copies
of manifests, and SHA256SUMS. Packages are compared with nothing, and what is there beside these cannot be seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from tinytorch_datasets.auditing.findings import DatasetReport, Finding, ProbeResult, State
from tinytorch_datasets.auditing.mirror_folder import (
    WRITE_SUMS_ANEW,
    audit_sums,
    files_to_compare,
    missing_in,
    owners_in,
    unlisted,
)
from tinytorch_datasets.auditing.remote import Address, Probe, again_hint, probe_all
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.fetch import (
    DEFAULT_RETRY,
    Cancellation,
    RetryPolicy,
    SourceError,
    Stored,
    check_mirror,
    open_address,
    with_retries,
)
from tinytorch_datasets.manifest.filenames import address_on, has_credentials, is_remote, is_store, refuse_offline
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.mirror.copy import (
    MOST_LINES,
    MOST_SUMS,
    SUMS,
    TOO_LONG,
    Listed,
    copies_of,
    is_index_page,
    is_too_long,
    is_wheel,
    lines_of,
)
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, wrong_content

WRITE_AGAIN = "Run `tinytorch-datasets mirror {}` again: it replaces what is wrong."
COPY_AGAIN = "Copy the folder there again that `tinytorch-datasets mirror` wrote."


class AddressReport(NamedTuple):
    """What an audit of an address gave: a row for each data set, findings, and the answer for each file."""

    datasets: list[DatasetReport]
    findings: list[Finding]
    addresses: tuple[ProbeResult, ...]


def is_address(mirror: object) -> bool:
    """Check whether a mirror is at an address, and in no folder of this computer."""
    return isinstance(mirror, str) and (is_store(mirror) or mirror.lower().startswith(("http://", "https://")))


def audit_address(
    manifest: Manifest,
    plans: Sequence[Plan],
    address: str,
    *,
    named: bool,
    offline: bool | None = None,
    retry: RetryPolicy | None = None,
    on_probe: Callable[[ProbeResult], None] | None = None,
) -> AddressReport:
    """Compare every file that is listed at an address with the manifest, in whichever container a data set is there.

    A data set of which nothing is listed is not in this mirror; if it was `named`, that is a finding.

    Raises:
        UsageError: The address has credentials or a query, names no bucket, or sockets are forbidden.
        MissingLibrary: The library is not installed that reads that store.
    """
    check_mirror(address)
    if has_credentials(address):
        what = "the mirror's address has credentials in it, which would stand in reports"
        raise UsageError(what, hint="Audit the folder that is served there, or an address that asks for none.")
    if is_remote(address):
        refuse_offline("a mirror at an address", offline=offline, hint="name the mirror's folder.")
    address, retry = f"{address.rstrip('/')}/", retry or DEFAULT_RETRY
    if is_store(address) and (missing := Stored(f"{address}{SUMS}", retry, Cancellation()).missing):
        raise missing
    hint = (WRITE_AGAIN if is_store(address) else COPY_AGAIN).format(address)
    of_sums = partial(Finding, dataset="", path=f"{address}{SUMS}", where=f"{manifest.path.name}:1", hint=hint)
    findings = list[Finding]()
    lines = _read_sums(f"{address}{SUMS}", of_sums, retry, findings)
    listed = {line.name: line.sha256 for line in lines if line.name}
    targets, owners = dict[str, dict[str, Address]](), owners_in(manifest)
    for plan in plans:
        files = files_to_compare(plan, owners, listed.__contains__, listed.__contains__) if listed else plan.files
        if files:
            targets[plan.name] = _targets(plan, files, address)
        elif named:
            missing_set = missing_in(manifest, plan, address)
            findings.append(missing_set if is_store(address) else replace(missing_set, hint=hint))
    copies = {name: _copy(name, layer, address) for name, layer in copies_of(manifest).items()}
    in_all = [pair for its in (*targets.values(), copies) for pair in its.items()]
    probes = probe_all([target for _, target in in_all], deep=True, known={}, retry=retry, on_probe=on_probe)
    by_name = Counter(probe.result.dataset for probe in probes if probe.result.state == "ok")
    rows = [_row(plan, targets.get(plan.name, {}), probes, by_name[plan.name]) for plan in plans]
    for finding in (finding for probe in probes for finding in probe.findings):
        findings.append(replace(finding, hint=hint) if finding.severity == "error" else finding)
    findings += [
        unlisted(target.dataset, f"{address}{SUMS}", name, target.where, hint)
        for name, target in in_all
        if listed and name not in listed
    ]
    packages = {name: sha256 for name, sha256 in listed.items() if is_wheel(name) or is_index_page(name)}
    findings += audit_sums(manifest, f"{address}{SUMS}", lines, packages, hint)
    return AddressReport(rows, findings, tuple(probe.result for probe in probes))


def _read_sums(
    address: str, finding: Callable[..., Finding], retry: RetryPolicy, findings: list[Finding]
) -> list[Listed]:
    """Return the lines of the list at an address; none if it does not come, which is a finding."""

    def read() -> bytes:
        response = open_address(address, retry, Cancellation())
        text, lines = bytearray(), 0
        with closing(response):
            while len(text) <= MOST_SUMS and lines <= MOST_LINES and (chunk := next(response.chunks, b"")):
                text += chunk
                lines += chunk.count(b"\n")
        return bytes(text)

    try:
        text = with_retries(read, retry, Cancellation())
    except SourceError as failure:
        reason = failure.reason
        if failure.is_of_the_way:
            what, again = f"{address} could not be checked: {reason}", again_hint(failure, "Try again later.")
            findings.append(finding(rule="mirror-unreachable", what=what, hint=again, severity="unknown"))
        else:
            findings.append(finding(rule="file-missing", what=f"{address} is missing: {reason}"))
        return []
    if (page := wrong_content(text[:HEAD_BYTES], SUMS)) is not None:
        findings.append(finding(rule="mirror-wrong-content", what=f"{address} serves {page}", actual=page))
        return []
    if is_too_long(text):  # what is not read is not to look like not there
        what, folder = f"{address} {TOO_LONG}", address.removesuffix(SUMS)
        hint = {"hint": WRITE_SUMS_ANEW.format(folder)} if is_store(address) else {}
        findings.append(finding(rule="sums", what=what, expected="a line a file", **hint))
        return []
    if not text:
        findings.append(finding(rule="file-missing", what=f"{address} is empty"))
    return lines_of(text)


def _targets(plan: Plan, files: Iterable[File], address: str) -> dict[str, Address]:
    """Return the address of each file of a data set, by its path."""
    paths = {f"{plan.folder}/{file.name}": file for file in files}
    return {path: Address(plan.name, file, None, address_on(address, path), file.where) for path, file in paths.items()}


def _copy(name: str, manifest: Manifest, address: str) -> Address:
    file = File(name, manifest.path.stat().st_size, manifest.sha256)
    return Address("", file, None, address_on(address, name), f"{manifest.path.name}:1")


def _row(plan: Plan, targets: Mapping[str, Address], probes: Sequence[Probe], right: int) -> DatasetReport:
    states = {probe.result.state for probe in probes if probe.result.dataset == plan.name}
    state: State = "ok"
    if not targets:
        state = "not downloaded"
    elif "mismatch" in states:
        state = "mismatch"
    elif "no answer" in states:
        state = "not checked"
    return DatasetReport(
        plan.name, state, right, sum(target.file.bytes for target in targets.values()) if state == "ok" else 0
    )
