"""The first 64 kB of an address: what they are, how fast they came, what to do.

Asked for once, without a retry: a person waits. What a mirror does only further on, or only sometimes, a download
meets, and `audit --deep`.
"""

from __future__ import annotations

import hashlib
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urljoin

from tinytorch_datasets.auditing.findings import Check, CheckState, ExitCode, exit_code_of
from tinytorch_datasets.concurrency import Cancellation, Cancelled, run_all
from tinytorch_datasets.errors import NetworkSettingsError, UsageError, printable
from tinytorch_datasets.fetch import (
    CONFIGURE_CREDENTIALS,
    Kind,
    Response,
    RetryPolicy,
    Source,
    SourceError,
    TransientError,
    check_mirror,
    list_sources,
)
from tinytorch_datasets.manifest.filenames import without_secrets
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.progress import readable
from tinytorch_datasets.settings import MIRROR, Settings
from tinytorch_datasets.verify.diagnose import MAGIC, describe, is_page, wrong_content

FIRST_BYTES = 64 * 1024
AT_ONCE = 8
SLOW_AFTER_S = 1.0  # what came in less time says nothing about the speed of a file
GZIP = ("gzip", "x-gzip")

ANOTHER = f"Have the file from elsewhere: {MIRROR} names an address, or a folder, that is asked first."
LOG_IN = "Open any page in a browser, and log in to the network."
LATER = "Its host has a bad day: try later."
GONE = "It has moved, or is gone: report it to whoever keeps the manifest."
CONNECT = "Connect to a network; if others are reached from here, its host is gone."
LET_THROUGH = "Is its server on, and does this network let you through to it?"
CLOCK = "Is the clock of this computer right? If it is, its host has to renew the certificate."
INSPECTED = (
    "If this network inspects TLS, ask who runs it for its certificates, and set REQUESTS_CA_BUNDLE to that file."
)
NO_RIGHT = "Its host lets nobody in from here, or nobody at all."
OF_KIND = {
    Kind.NO_NETWORK: CONNECT,
    Kind.NO_ANSWER: LET_THROUGH,
    Kind.NO_FILE: "Copy the file there, or name another folder as the mirror.",
    Kind.NO_FOLDER: "Is the stick plugged in? Or name another folder as the mirror.",
    Kind.UNSUPPORTED: "Only http, https, stores and folders are read.",
    Kind.NO_CREDENTIALS: f"{CONFIGURE_CREDENTIALS}.",
    Kind.NO_LIBRARY: "Install that library, or have the file from elsewhere.",
}


@dataclass(frozen=True)
class Sample:
    """What an address gave, and what to do about it; `network_failed` where nothing is known of its file.

    `facts` has what was measured: status, seconds to the answer, redirects, version of TLS, bytes, bytes per second.
    """

    url: str
    state: CheckState
    result: str
    hint: str | None = None
    network_failed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


def sample(source: Source, file: File, retry: RetryPolicy) -> Sample:
    """Ask a source once for a file, read its first bytes, and compare them with what is declared."""
    facts: dict[str, Any] = {"status": None, "redirects": [], "tls": None}
    asked = time.monotonic()
    try:
        response = source.open(0, None)
        facts |= {"status": response.status, "answered_s": round(time.monotonic() - asked, 3)}
        facts |= {"redirects": list(_redirected(source.name, response)), "tls": response.tls or None}
        try:
            return _compared(source, file, response, retry, facts)
        finally:
            response.close()
    except SourceError as failure:
        facts["status"] = failure.status or facts["status"]
        of_network = failure.is_of_the_way or isinstance(failure, TransientError)
        return Sample(source.name, "wrong", failure.reason, _hint(failure), of_network, facts)
    except NetworkSettingsError as error:
        return Sample(source.name, "wrong", error.what, error.hint, True, facts)


def _redirected(url: str, response: Response) -> Iterator[str]:
    for headers in response.redirects:
        url = urljoin(url, headers.get("Location", ""))
        yield printable(without_secrets(url))


def _hint(failure: SourceError) -> str:
    """Return what a person does about a failure; by what it is, and by a reason only where that is our own words."""
    status, reason = failure.status, failure.reason
    if failure.kind is not None and not reason.startswith("its TLS"):
        return OF_KIND.get(failure.kind, ANOTHER)
    if status is not None:
        of_status = {
            401: NO_RIGHT,
            403: NO_RIGHT,
            404: GONE,
            410: GONE,
            407: "The proxy asks for a name and a password.",
        }
        later = isinstance(failure, TransientError)
        return of_status.get(status, LATER if later else ANOTHER)
    if reason.startswith("its TLS certificate is not trusted: "):
        is_of_time = "expired" in reason or "not yet valid" in reason
        return CLOCK if is_of_time else INSPECTED
    if reason.startswith("TLS failed"):
        return "Its host does not speak TLS there, or something on the way does not let it through."
    return LATER if isinstance(failure, TransientError) or failure.is_of_the_way else ANOTHER


def _compared(source: Source, file: File, response: Response, retry: RetryPolicy, facts: dict[str, Any]) -> Sample:
    """Read the first bytes, and compare them with the file that is declared: all of them, where it is as small.

    Raises:
        SourceError: They did not come.
    """

    def answer(state: CheckState, result: str, hint: str | None = None) -> Sample:
        return Sample(source.name, state, result, hint, facts=facts)

    begun, wanted = time.monotonic(), min(FIRST_BYTES, file.bytes + 1)
    head, lost, is_at_end = b"", None, False
    try:
        while len(head) < wanted and not is_at_end and time.monotonic() - begun < retry.stall_window_s:
            chunk = next(response.chunks, b"")
            head, is_at_end = head + chunk, not chunk
    except SourceError as failure:
        lost = failure
    seconds = max(time.monotonic() - begun, 1e-6)
    received, speed = len(head), len(head) / seconds
    facts |= {"bytes": received, "bytes_per_s": round(speed)}
    total = response.total
    if response.encoding:
        unpacked = _unpacked(head, response.encoding, file)
        head, total = (head, total) if unpacked is None else (unpacked, None)
    declared = f"{file.bytes:,}"
    if content := wrong_content(head, file.name, of_its_size=file.bytes in (total, len(head))):
        return answer("wrong", f"{content} came instead", LOG_IN if is_page(head) else ANOTHER)
    if total is not None and total != file.bytes:
        content = describe(head, file.name, bytes_came=total, bytes_declared=file.bytes)
        return answer(
            "wrong", f"has a file of {total:,} bytes, not {declared}{f': {content}' if content else ''}", ANOTHER
        )
    ending = next((end for end in MAGIC if file.name.lower().endswith(end)), "")
    if ending and len(head) > 1 and not head.startswith(MAGIC[ending][: len(head)]):
        return answer("wrong", f"sends something that is no {ending} file", ANOTHER)
    if len(head) > file.bytes:
        return answer("wrong", f"sends more than the {declared} declared bytes", ANOTHER)
    is_whole = len(head) == file.bytes
    if is_whole and hashlib.sha256(head).hexdigest() != file.sha256:
        return answer("wrong", "sends other bytes than the declared ones: their sha256 is another", ANOTHER)
    rate = f"{readable(received)} at {readable(round(speed))}/s"
    if lost is not None and not is_whole:
        lost.reason = f"after {received:,} of {declared} bytes: {lost.reason}" if received else lost.reason
        raise lost
    if is_at_end and not is_whole and total is not None:
        reason = f"was cut off after {received:,} of {declared} bytes"
        raise TransientError(reason)
    if is_at_end and not is_whole and len(head) < FIRST_BYTES:
        content = describe(head, file.name, bytes_came=len(head), bytes_declared=file.bytes)
        return answer(
            "wrong", f"ended after {len(head):,} of {declared} bytes{f': {content}' if content else ''}", ANOTHER
        )
    if not is_whole and seconds >= retry.stall_window_s and speed < retry.drip_bytes_per_s:
        reason = f"only drips ({rate})"
        raise TransientError(reason)
    result = rate + ("; every byte is as declared" if is_whole else "")
    result += f"; {response.tls}" if response.tls else ""
    result += f"; redirected to {facts['redirects'][-1]}" if facts["redirects"] else ""
    if source.name.startswith("https:") and any(way.startswith("http:") for way in facts["redirects"]):
        return answer("warning", f"redirects from https to http: {result}", "Its bytes are verified, and not hidden.")
    if speed < retry.stall_bytes_per_s and seconds > min(SLOW_AFTER_S, retry.stall_window_s):
        minutes = max(1, round(file.bytes / speed / 60))
        return answer("warning", f"slow: {result}", f"The file would take about {minutes:,} min from there.")
    return answer("ok", result)


def _unpacked(head: bytes, encoding: str, file: File) -> bytes | None:
    """Return the first bytes of what is wrapped in gzip; None where the bytes that came are the file's own.

    Raises:
        SourceError: It is wrapped in something else.
    """
    if encoding not in GZIP:
        reason = f"sends Content-Encoding {encoding}, which was not asked for"
        raise SourceError(reason)
    try:
        unpacked = zlib.decompressobj(wbits=31).decompress(head, FIRST_BYTES)
    except zlib.error as error:
        reason = "calls its answer gzip, which it is not"
        raise SourceError(reason) from error
    # Many servers call a .gz so, and send that very file.
    is_the_file = file.name.lower().endswith((".gz", ".tgz")) and not unpacked.startswith(MAGIC[".gz"])
    return None if is_the_file else unpacked


class _Job(NamedTuple):
    """One place that may have a file: its addresses, of which the first that has it counts."""

    plan: Plan
    file: File
    sources: Sequence[Source]


class Addresses:
    """The addresses of data sets, asked for their first bytes: several at once, all within a time limit."""

    def __init__(self, retry: RetryPolicy, time_limit_s: float, progress: Callable[[int, int], None] | None) -> None:
        self._retry, self._time_limit_s, self._progress = retry, time_limit_s, progress
        self._cancellation = Cancellation()  # of what is asked: by the time limit, or with all else
        self._done = self._in_all = 0

    def _list_jobs(self, plans: Iterable[Plan], mirror: str | None, offline: bool) -> Iterator[_Job]:
        asked = set[str]()
        for plan in plans:
            for one in (plan, *plan.variants):
                sources = partial(
                    list_sources,
                    folder=one.folder,
                    offline=offline,
                    retry=self._retry,
                    cancellation=self._cancellation,
                )
                for file in one.files if one.status == "remote" else ():
                    # A mirror has it below the data set's folder, or else by itself: either will do.
                    of_mirror = sources(replace(file, urls=()), mirror=mirror)
                    for places in (of_mirror, *([source] for source in sources(file, mirror=None))):
                        if places and places[0].name not in asked:
                            asked.add(places[0].name)
                            yield _Job(one, file, places)

    def checks(self, plans: Iterable[Plan], offline: bool | None) -> Iterator[Check]:
        """Ask all addresses of these plans, and yield a check of each, in the manifest's order."""
        chosen = Settings.from_environment(offline=offline)
        mirror = chosen.mirror
        try:
            check_mirror(mirror)
        except UsageError as error:  # the declared addresses are asked all the same
            mirror, code = None, exit_code_of(error).value
            check = Check(group="addresses", name="mirror", state="wrong", result=error.what, hint=error.hint)
            yield replace(check, exit_code=code)
        places = list(self._list_jobs(plans, mirror, chosen.offline))
        self._in_all = len(places)
        if not places:
            why = "none is asked offline" if chosen.offline else "no data set that was asked for has one"
            yield Check(group="addresses", name="addresses", state="ok", result=why)
            return
        samples, everything = list[tuple[_Job, Sample | None]](), Cancellation()
        timer = threading.Timer(self._time_limit_s, self._cancellation.cancel)
        timer.daemon = True
        timer.start()
        try:
            with everything.waking(self._cancellation.cancel):  # of Ctrl-C
                jobs = [partial(self._ask, job) for job in places]
                samples += zip(places, run_all(jobs, workers=AT_ONCE, cancellation=everything), strict=True)
        finally:
            timer.cancel()
        good = {(job.plan.name, job.file) for job, one in samples if one is not None and one.state != "wrong"}
        for job, one in samples:
            if one is not None:
                yield self._check(job, one, others_have_it=(job.plan.name, job.file) in good)
        if left := [job.sources[0].name for job, one in samples if one is None]:
            result = f"{len(left):,} of {len(samples):,} were not asked within {self._time_limit_s:g} s"
            hint = "Name a data set, or allow more time: --time-limit."
            facts = {"addresses": left}
            yield Check(group="addresses", name="the others", state="warning", result=result, hint=hint, facts=facts)

    def _ask(self, job: _Job) -> Sample | None:
        """Return what the first of a place's addresses gave that has the file, else what the first gave."""
        first: Sample | None = None
        for source in job.sources:
            try:
                self._cancellation.check()
            except Cancelled:
                break
            try:
                one = sample(source, job.file, self._retry)
            except Cancelled:
                reason = f"did not answer within {self._time_limit_s:g} s"
                one = Sample(source.name, "wrong", reason, LATER, network_failed=True)
            first = first or one
            if one.state != "wrong":
                first = one
                break
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._in_all)
        return first

    @staticmethod
    def _check(job: _Job, sample: Sample, *, others_have_it: bool) -> Check:
        facts = {"dataset": job.plan.name, "file": job.file.name, "declared_at": job.file.where, **sample.facts}
        check = Check(
            group="addresses", name=sample.url, state="ok", result=sample.result, hint=sample.hint, facts=facts
        )
        if sample.state == "wrong" and not others_have_it:
            code = ExitCode.NETWORK if sample.network_failed else ExitCode.MISMATCH
            return replace(check, state="wrong", hint=sample.hint, exit_code=code.value)
        if sample.state == "wrong":
            hint = "`get` goes on to the next address of this file, which is good."
            return replace(check, state="warning", hint=f"{hint}\n{sample.hint}" if sample.hint else hint)
        return replace(check, state=sample.state, hint=sample.hint)
