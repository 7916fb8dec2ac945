"""Audit of every URL, by HTTP.

Three answers are told apart: as declared; something else, which is an error; and none, or one that says nothing
about the file, because the host or this network has a bad day.

Many hosts state a digest of the file in a header, and that vouches for its bytes, or contradicts what is declared,
without a download. A header whose meaning is not certain may vouch, for no other thing is equal to a digest by chance;
it contradicts nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from tinytorch_datasets.auditing.findings import Finding, ProbeResult, ProbeState
from tinytorch_datasets.errors import NetworkSettingsError
from tinytorch_datasets.fetch import (
    CONFIGURE_CREDENTIALS,
    DEFAULT_RETRY,
    Cancellation,
    Kind,
    Response,
    RetryPolicy,
    SourceError,
    TransientError,
    open_declared,
    with_retries,
)
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, wrong_content

AT_ONCE = 8

Known = Mapping[str, Mapping[str, Any]]
HINT = "Remove it from the manifest, or repair the mirror."

# Headers that list digests of what is served, by algorithm: RFC 9530, RFC 3230, and Google Cloud Storage's own.
DIGEST_HEADERS = ("Repr-Digest", "Content-Digest", "Digest", "X-Goog-Hash")
ALGORITHMS = {"sha-256": "sha256", "id-sha-256": "sha256", "md5": "md5"}
OF_LENGTH = {32: "md5", 64: "sha256"}  # hex digits


@dataclass(frozen=True)
class Address:
    """One address of one file, its MD5 if one is declared, and the manifest's line that has the address."""

    dataset: str
    file: File
    md5: str | None
    url: str
    where: str


@dataclass(frozen=True)
class StatedDigest:
    """A digest that a header states, in hex; `is_certain` if the header can mean nothing else."""

    header: str
    algorithm: str
    value: str
    is_certain: bool


@dataclass
class Probe:
    """What probing one address gave: its row of the report, findings, and what to remember of a good answer."""

    result: ProbeResult
    findings: list[Finding] = field(default_factory=list)
    validators: dict[str, Any] | None = None


def addresses(manifest: Manifest, plan: Plan) -> Iterator[Address]:
    """Yield every address of every file of a data set and its variants."""
    for container in (plan, *plan.variants):
        declared = manifest.files_of(container)
        for file in container.files:
            for url, where in manifest.addresses(container, file.name):
                yield Address(plan.name, file, declared[file.name].md5, url, where)


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
        response = open_declared(address.url, address.file, retry, stop)
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


def again_hint(failure: SourceError, later: str) -> str:
    """Return what is done where no answer came: `later`, unless it is this computer that asks without credentials."""
    return f"{CONFIGURE_CREDENTIALS}." if failure.kind is Kind.NO_CREDENTIALS else later


def _failed(address: Address, failure: SourceError) -> Probe:
    if failure.is_of_the_way:
        finding = _finding(
            address,
            rule="mirror-unreachable",
            what=f"{address.url} could not be checked: {failure.reason}",
            actual=failure.reason,
            hint=again_hint(failure, "Try again later; if it stays so, the mirror is gone."),
            severity="unknown",
        )
        return _result(address, "no answer", failure.reason, finding)
    what = f"{address.url} does not serve the file: {failure.reason}"
    finding = _finding(address, rule="mirror-refuses", what=what, expected="the file", actual=failure.reason)
    return _result(address, "mismatch", failure.reason, finding)


def _compare(address: Address, response: Response, deep: bool, before: Mapping[str, Any] | None) -> Probe:
    """Compare a response with the declaration of the file: its first bytes, its length, the digests that it states.

    With `deep` every byte is compared, and headers say nothing.
    """
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
    vouching: StatedDigest | None = None
    for stated in stated_digests(response):
        declared = file.sha256 if stated.algorithm == "sha256" else address.md5
        if stated.value == declared:
            vouching = vouching or stated
        elif stated.is_certain and declared is not None:
            name = stated.algorithm.replace("md5", "MD5")
            what = f"states in {stated.header} the {name}\n    {stated.value}, declared is\n    {declared}"
            return _mismatch(address, "mirror-digest", what, declared, stated.value)
    if vouching is not None:
        detail = "length, " if length is not None else ""
        detail += f"{vouching.algorithm.replace('md5', 'MD5')} by {vouching.header}"
        return Probe(_row(address, "ok", detail), validators=_validators(address, response))
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


def stated_digests(response: Response) -> Iterator[StatedDigest]:
    """Yield the digests of the file that the headers of an answer state, and of the redirects that led to it.

    What a redirect's other headers say is of the redirect, and what headers say of a compressed form is not of the
    file. Where nothing is certain about the form of a value, nothing is stated.
    """
    for headers in (*response.redirects, response.headers):
        # Hugging Face's: the sha256 of what Git LFS keeps; of other files an id of git, which has 40 digits.
        yield from (d for d in _of_etag("X-Linked-ETag", headers, is_certain=True) if d.algorithm == "sha256")
    headers = response.headers
    if response.encoding:
        return
    for name in DIGEST_HEADERS:
        # What was stored in gzip and is served without has the digest of what was stored.
        if name == "X-Goog-Hash" and headers.get("X-Goog-Stored-Content-Encoding", "identity") != "identity":
            continue
        for item in headers.get(name, "").split(","):
            algorithm, _, value = item.partition("=")
            yield from _of_base64(name, ALGORITHMS.get(algorithm.strip().lower()), value.partition(";")[0])
    yield from _of_base64("Content-MD5", "md5", headers.get("Content-MD5", ""))
    # Amazon S3 says in which cases an ETag is the MD5: uploaded in one piece, and not encrypted by a customer's key.
    encryption = headers.get("X-Amz-Server-Side-Encryption", "AES256")
    of_customer = "X-Amz-Server-Side-Encryption-Customer-Algorithm" in headers
    is_s3 = headers.get("Server", "") == "AmazonS3" and encryption == "AES256" and not of_customer
    for stated in _of_etag("ETag", headers, is_certain=False):
        yield replace(stated, is_certain=is_s3 and stated.algorithm == "md5")


def _of_etag(name: str, headers: Mapping[str, str], *, is_certain: bool) -> Iterator[StatedDigest]:
    """Yield what a strong ETag states if it is hex digits and no more; "-2" behind them counts the parts of an upload.

    A weak one begins with W/ and may name several files.
    """
    value = headers.get(name, "").strip().strip('"').lower()
    if len(value) in OF_LENGTH and re.fullmatch("[0-9a-f]+", value):
        yield StatedDigest(name, OF_LENGTH[len(value)], value, is_certain)


def _of_base64(name: str, algorithm: str | None, value: str) -> Iterator[StatedDigest]:
    try:
        raw = base64.b64decode(value.strip().strip(":"), validate=True)
    except (binascii.Error, ValueError):
        return
    if algorithm is not None and OF_LENGTH.get(2 * len(raw)) == algorithm:
        yield StatedDigest(name, algorithm, raw.hex(), is_certain=True)


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
