"""Audit of every URL, by HTTP.

Three answers are told apart: as declared; something else, which is an error; and none, or none that means anything,
which is a bad day of the host or of ours, and says nothing about the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tinytorch_datasets.auditing.findings import Finding, ProbeResult
from tinytorch_datasets.fetch import (
    DEFAULT_RETRY,
    Cancellation,
    Kind,
    Response,
    RetriesExhausted,
    RetryPolicy,
    SourceError,
    TransientError,
    Web,
    with_retries,
)
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, foreign

AT_ONCE = 8
# Troubles of the way there: the host said nothing about the file.
ON_THE_WAY = (Kind.NO_NETWORK, Kind.NO_ANSWER)

Known = Mapping[str, Mapping[str, Any]]
HINT = "Take it out of the manifest, or hint the mirror."


@dataclass(frozen=True)
class Address:
    """One address of one file, and the manifest's line that has it."""

    dataset: str
    file: File
    url: str
    where: str


@dataclass
class Reply:
    """What came of asking one address: the row for the table, findings, and what to remember of a good answer."""

    asked: ProbeResult
    findings: list[Finding] = field(default_factory=list)
    seen: dict[str, Any] | None = None


def addresses(manifest: Manifest, plan: Plan) -> Iterator[Address]:
    """Every address of every file of a data set."""
    for file in plan.files:
        for url, where in manifest.addresses(plan.name, file.name):
            yield Address(plan.name, file, url, where)


def ask(
    wanted: Iterable[Address],
    *,
    deep: bool,
    known: Known,
    retry: RetryPolicy = DEFAULT_RETRY,
    answered: Callable[[ProbeResult], None] | None = None,
) -> list[Reply]:
    """Ask every address, several at once. `deep` reads and hashes what it gives; `known` is what it said before."""
    replies, stop = [], Cancellation()
    with ThreadPoolExecutor(AT_ONCE, "address") as pool:
        try:
            for reply in pool.map(lambda address: _Question(address, deep, known, retry, stop).reply(), wanted):
                replies.append(reply)
                if answered is not None:
                    answered(reply.asked)
        finally:
            stop.cancel()  # after Ctrl-C nobody waits for the rest
    return replies


class _Question:
    def __init__(self, address: Address, deep: bool, known: Known, retry: RetryPolicy, stop: Cancellation) -> None:
        self._address, self._deep, self._known, self._retry = address, deep, known, retry
        self._stop = stop
        self._tell = partial(Finding, dataset=address.dataset, path=address.url, where=address.where, hint=HINT)

    def reply(self) -> Reply:
        try:
            return with_retries(self._once, self._retry, self._stop)
        except SourceError as failure:
            return self._troubled(failure)

    def _troubled(self, failure: SourceError) -> Reply:
        if isinstance(failure, RetriesExhausted) or failure.kind in ON_THE_WAY:
            what = f"{self._address.url} could not be asked: {failure.reason}"
            hint = "Ask again later; if it stays so, the mirror is gone."
            finding = self._tell(rule="mirror-silent", what=what, found=failure.reason, hint=hint, severity="unknown")
            return self._replied("no answer", failure.reason, finding)
        what = f"{self._address.url} does not give the file: {failure.reason}"
        finding = self._tell(rule="mirror-refuses", what=what, expected="the file", found=failure.reason)
        return self._replied("mismatch", failure.reason, finding)

    def _once(self) -> Reply:
        file = self._address.file
        answer = Web(self._address.url, self._retry, self._stop).open(0, None)
        try:
            head = b""
            while len(head) < min(HEAD_BYTES, file.bytes) and (chunk := next(answer.chunks, b"")):
                head += chunk
            if (page := foreign(head, file.name)) is not None:
                return self._differs(
                    "mirror-wrong-content", f"gives {page}", f"{file.bytes:,} bytes of {file.name}", page
                )
            length = None if answer.encoding else answer.total
            if length is not None and length != file.bytes:
                told = f"gives {length:,} bytes, declared are {file.bytes:,}"
                return self._differs("mirror-length", told, file.bytes, length)
            if self._deep:
                return self._hashed(head, answer)
            if length is None:
                told = "does not say how long the file is"
                finding = self._tell(
                    rule="mirror-mute",
                    what=f"{self._address.url} {told}",
                    expected=file.bytes,
                    hint="`audit --deep` reads it to its end.",
                    severity="warning",
                )
                return self._replied("ok", told, finding)
            return self._drifted(answer)
        finally:
            answer.close()

    def _hashed(self, head: bytes, answer: Response) -> Reply:
        file, digest, came = self._address.file, hashlib.sha256(head), len(head)
        while came <= file.bytes and (chunk := next(answer.chunks, b"")):
            digest.update(chunk)
            came += len(chunk)
        if came < file.bytes and answer.total == file.bytes:
            reason = f"the connection ended after {came:,} of {file.bytes:,} bytes"
            raise TransientError(reason)
        if came != file.bytes:
            more = "or more " if came > file.bytes else ""
            told = f"gives {came:,} bytes {more}, declared are {file.bytes:,}".replace(" ,", ",")
            return self._differs("mirror-length", told, file.bytes, came)
        if digest.hexdigest() != file.sha256:
            told = f"gives bytes of sha256\n    {digest.hexdigest()}, declared is\n    {file.sha256}"
            return self._differs("mirror-hash", told, file.sha256, digest.hexdigest())
        return Reply(self._asked("ok", "every byte"), seen=self._seen(answer))

    def _drifted(self, answer: Response) -> Reply:
        """Compare with what the address said when it was last known to be right."""
        seen, before = self._seen(answer), self._known.get(self._address.url)
        moved = [key for key in ("etag", "last_modified") if before and before.get(key) not in (None, seen.get(key))]
        if not moved or before is None:
            return Reply(self._asked("ok", "length"), seen=seen)
        # An ETag alone may differ from server to server of one host; the date of the file does not.
        grave = "last_modified" in moved or not before.get("last_modified")
        changes = ", ".join(f"{key} was {before[key]!r}, is {seen.get(key)!r}" for key in moved)
        finding = self._tell(
            rule="mirror-moved",
            what=f"{self._address.url} was changed, at the same length: {changes}",
            expected={key: before[key] for key in moved},
            found={key: seen.get(key) for key in moved},
            hint="`audit --deep` reads and hashes it; with --remember it notes what is right now.",
            severity="error" if grave else "warning",
        )
        return self._replied("mismatch" if grave else "ok", changes, finding)

    def _seen(self, answer: Response) -> dict[str, Any]:
        told = {"etag": answer.headers.get("ETag"), "last_modified": answer.headers.get("Last-Modified")}
        return {"bytes": self._address.file.bytes, **{key: value for key, value in told.items() if value}}

    def _differs(self, rule: str, told: str, expected: Any, found: Any) -> Reply:
        finding = self._tell(rule=rule, what=f"{self._address.url} {told}", expected=expected, found=found)
        return self._replied("mismatch", told.partition("\n")[0], finding)

    def _replied(self, answer: Any, told: str, finding: Finding) -> Reply:
        return Reply(self._asked(answer, told), [finding])

    def _asked(self, answer: Any, told: str) -> ProbeResult:
        return ProbeResult(self._address.dataset, self._address.url, answer, told)
