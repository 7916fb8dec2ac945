"""Audit of every URL, by HTTP.

Three answers are told apart: as declared; something else, which is an error; and none, or one that says nothing
about the file, because the host or this network has a bad day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tinytorch_datasets.auditing.findings import Finding, ProbeResult, ProbeState
from tinytorch_datasets.errors import NetworkSettingsError
from tinytorch_datasets.fetch import (
    DEFAULT_RETRY,
    Cancellation,
    Response,
    RetryPolicy,
    SourceError,
    TransientError,
    Web,
    with_retries,
)
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, wrong_content

AT_ONCE = 8

Known = Mapping[str, Mapping[str, Any]]
HINT = "Remove it from the manifest, or repair the mirror."


@dataclass(frozen=True)
class Address:
    """One address of one file, and the manifest's line that has it."""

    dataset: str
    file: File
    url: str
    where: str


@dataclass
class Probe:
    """What probing one address gave: its row of the report, findings, and what to remember of a good answer."""

    result: ProbeResult
    findings: list[Finding] = field(default_factory=list)
    validators: dict[str, Any] | None = None


def addresses(manifest: Manifest, plan: Plan) -> Iterator[Address]:
    """Yield every address of every file of a data set."""
    for file in plan.files:
        for url, where in manifest.addresses(plan.name, file.name):
            yield Address(plan.name, file, url, where)
    for variant in plan.variants:
        for file in variant.files:
            yield from (Address(plan.name, file, url, file.where) for url in file.urls)


def probe_all(
    targets: Iterable[Address],
    *,
    deep: bool,
    known: Known,
    retry: RetryPolicy = DEFAULT_RETRY,
    on_probe: Callable[[ProbeResult], None] | None = None,
) -> list[Probe]:
    """Probe every address, several at once.

    `deep` reads and hashes what it serves; `known` has the validators (ETag, date) that it gave before.
    """
    probes, stop = [], Cancellation()
    with ThreadPoolExecutor(AT_ONCE, "address") as pool:
        try:
            for probe in pool.map(lambda address: _probe(address, deep, known, retry, stop), targets):
                probes.append(probe)
                if on_probe is not None:
                    on_probe(probe.result)
        finally:
            stop.cancel()  # after Ctrl-C nobody waits for the rest
    return probes


def _probe(address: Address, deep: bool, known: Known, retry: RetryPolicy, stop: Cancellation) -> Probe:
    def once() -> Probe:
        response = Web(address.url, retry, stop).open(0, None)
        try:
            return _compare(address, response, deep, known.get(address.url))
        finally:
            response.close()

    try:
        return with_retries(once, retry, stop)
    except SourceError as failure:
        return _failed(address, failure)
    except NetworkSettingsError as error:  # of this computer, so it says nothing about the file
        what = f"{address.url} could not be checked: {error.what}"
        facts = {"actual": error.what, "hint": error.hint, "severity": "unknown"}
        finding = _finding(address, rule="mirror-unreachable", what=what, **facts)
        return _result(address, "no answer", error.what, finding)


def _failed(address: Address, failure: SourceError) -> Probe:
    if failure.is_of_the_way:
        finding = _finding(
            address,
            rule="mirror-unreachable",
            what=f"{address.url} could not be checked: {failure.reason}",
            actual=failure.reason,
            hint="Try again later; if it stays so, the mirror is gone.",
            severity="unknown",
        )
        return _result(address, "no answer", failure.reason, finding)
    what = f"{address.url} does not serve the file: {failure.reason}"
    finding = _finding(address, rule="mirror-refuses", what=what, expected="the file", actual=failure.reason)
    return _result(address, "mismatch", failure.reason, finding)


def _compare(address: Address, response: Response, deep: bool, before: Mapping[str, Any] | None) -> Probe:
    """Compare a response with the declaration of the file: its first bytes, its length, with `deep` its sha256."""
    file, head = address.file, b""
    while len(head) < min(HEAD_BYTES, file.bytes) and (chunk := next(response.chunks, b"")):
        head += chunk
    if (page := wrong_content(head, file.name)) is not None:
        expected = f"{file.bytes:,} bytes of {file.name}"
        return _mismatch(address, "mirror-wrong-content", f"serves {page}", expected, page)
    length = None if response.encoding else response.total
    if length is not None and length != file.bytes:
        what = f"serves {length:,} bytes, declared are {file.bytes:,}"
        return _mismatch(address, "mirror-length", what, file.bytes, length)
    if deep:
        return _compare_hash(address, head, response)
    if length is None:
        detail = "does not state the length of the file"
        finding = _finding(
            address,
            rule="mirror-no-length",
            what=f"{address.url} {detail}",
            expected=file.bytes,
            hint="`audit --deep` reads it to its end.",
            severity="warning",
        )
        return _result(address, "ok", detail, finding)
    return _compare_validators(address, _validators(address, response), before)


def _compare_hash(address: Address, head: bytes, response: Response) -> Probe:
    file, digest, received = address.file, hashlib.sha256(head), len(head)
    while received <= file.bytes and (chunk := next(response.chunks, b"")):
        digest.update(chunk)
        received += len(chunk)
    if received < file.bytes and response.total == file.bytes:
        reason = f"the connection ended after {received:,} of {file.bytes:,} bytes"
        raise TransientError(reason)
    if received != file.bytes:
        or_more = " or more" if received > file.bytes else ""
        what = f"serves {received:,} bytes{or_more}, declared are {file.bytes:,}"
        return _mismatch(address, "mirror-length", what, file.bytes, received)
    if digest.hexdigest() != file.sha256:
        what = f"serves bytes of sha256\n    {digest.hexdigest()}, declared is\n    {file.sha256}"
        return _mismatch(address, "mirror-hash", what, file.sha256, digest.hexdigest())
    return Probe(_row(address, "ok", "every byte"), validators=_validators(address, response))


def _compare_validators(address: Address, now: dict[str, Any], before: Mapping[str, Any] | None) -> Probe:
    """Compare ETag and date with those that the address gave when it was last known to be right."""
    changed = [key for key in ("etag", "last_modified") if before and before.get(key) not in (None, now.get(key))]
    if not changed or before is None:
        return Probe(_row(address, "ok", "length"), validators=now)
    # An ETag alone may differ from server to server of one host; the date of the file does not.
    grave = "last_modified" in changed or not before.get("last_modified")
    changes = ", ".join(f"{key} was {before[key]!r}, is {now.get(key)!r}" for key in changed)
    finding = _finding(
        address,
        rule="mirror-changed",
        what=f"{address.url} was changed, at the same length: {changes}",
        expected={key: before[key] for key in changed},
        actual={key: now.get(key) for key in changed},
        hint="`audit --deep` reads and hashes it; with --remember it notes what is right now.",
        severity="error" if grave else "warning",
    )
    return _result(address, "mismatch" if grave else "ok", changes, finding)


def _validators(address: Address, response: Response) -> dict[str, Any]:
    headers = {"etag": response.headers.get("ETag"), "last_modified": response.headers.get("Last-Modified")}
    return {"bytes": address.file.bytes, **{key: value for key, value in headers.items() if value}}


def _finding(address: Address, **facts: Any) -> Finding:
    common = {"dataset": address.dataset, "path": address.url, "where": address.where, "hint": HINT}
    return Finding(**{**common, **facts})


def _mismatch(address: Address, rule: str, what: str, expected: Any, actual: Any) -> Probe:
    finding = _finding(address, rule=rule, what=f"{address.url} {what}", expected=expected, actual=actual)
    return _result(address, "mismatch", what.partition("\n")[0], finding)


def _result(address: Address, state: ProbeState, detail: str, finding: Finding) -> Probe:
    return Probe(_row(address, state, detail), [finding])


def _row(address: Address, state: ProbeState, detail: str) -> ProbeResult:
    return ProbeResult(address.dataset, address.url, state, detail)
