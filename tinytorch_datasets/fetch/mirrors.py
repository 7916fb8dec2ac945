"""The mirror loop: connections per host, retries, and which mirror is to blame."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import TypeVar

from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.fetch.base import (
    ConnectionLost,
    Dripping,
    Kind,
    Other,
    PermanentError,
    RangeNotSupported,
    Response,
    RetriesExhausted,
    RetryPolicy,
    Source,
    SourceError,
    TooSlow,
    TransientError,
    WrongContent,
)
from tinytorch_datasets.fetch.body import GZIP, GZIP_NAMES, Rate, check_rate, gunzip, is_gzip_in_gzip, peek
from tinytorch_datasets.fetch.partial import PartialFile
from tinytorch_datasets.plan import File
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, describe, is_page, wrong_content

log = logging.getLogger("tinytorch_datasets.fetch")


class HostLimit:
    """So many connections to a host at once, and no more."""

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = retry
        self._by_host: dict[str, threading.BoundedSemaphore] = {}
        self._guard = threading.Lock()

    @contextmanager
    def connect(self, host: str | None, cancellation: Cancellation) -> Iterator[None]:
        """Count a connection to a host, waiting for another to end if need be. A folder has no host, and no limit."""
        if host is None:
            yield
            return
        with self._guard:
            if (slots := self._by_host.get(host)) is None:
                slots = self._by_host[host] = threading.BoundedSemaphore(self._retry.connections_per_host)
        while not slots.acquire(timeout=self._retry.poll_s):
            cancellation.check()
        try:
            yield
        finally:
            slots.release()


T = TypeVar("T")


class RetryCounter:
    """The tries of one mirror. Those that gave more bytes than ever before are not in vain."""

    def __init__(self, bytes_on_disk: int, retry: RetryPolicy) -> None:
        self._most_bytes = bytes_on_disk
        self._retry = retry
        self._in_vain = 0
        self._in_all = 0

    def wait_after(self, failure: TransientError, bytes_on_disk: int) -> float:
        """Return the seconds to wait before the next try; raise RetriesExhausted if there should be none."""
        self._in_all += 1
        self._in_vain = self._in_vain + 1 if bytes_on_disk <= self._most_bytes else 0
        self._most_bytes = max(self._most_bytes, bytes_on_disk)
        if self._in_vain >= self._retry.tries or self._in_all >= self._retry.tries_in_all:
            reason = failure.reason if self._in_all == 1 else f"{failure.reason} ({self._in_all} tries)"
            raise RetriesExhausted(reason, kind=failure.kind) from failure
        if failure.wait_s is None:
            longest = min(self._retry.backoff_first_s * 2**self._in_vain, self._retry.backoff_limit_s)
            return random.uniform(longest / 2, longest)  # thirty students must not come back all at once
        if failure.wait_s > self._retry.retry_after_limit_s:
            reason = f"{failure.reason} (it asks to wait {failure.wait_s:,.0f} s)"
            raise RetriesExhausted(reason, kind=failure.kind) from failure
        return failure.wait_s


def with_retries(ask: Callable[[], T], retry: RetryPolicy, cancellation: Cancellation) -> T:
    """Call `ask` until it returns, again as long as that may help; each time from the beginning."""
    retries = RetryCounter(0, retry)
    while True:
        try:
            return ask()
        except TransientError as failure:
            cancellation.sleep(retries.wait_after(failure, 0))


class Mirror:
    """One mirror, and what is known about it so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.failure = SourceError("it was not asked")
        self.asked = False
        self.was_lost = False  # its last body, before its end
        self.by_kept = False  # its last body came by a connection that was kept ...
        self.asked_afresh = False  # ... and it was asked once more, by a new one
        self.ended_at = 0  # where a body ended that had no length, and an end of its own
        self.whole_only = False  # its ranges are of no use
        self.started_over = False  # it has had its one clean start
        self.tag_changed = False  # its validators say nothing about its bytes
        self.wrapped = False  # it answers in gzip, which may be the file itself or a wrapping ...
        self.unwrap = False  # ... and is a wrapping

    def is_excused(self, failure: SourceError) -> bool:
        """Check whether what came may be what an earlier answer left on the connection; once, for the next is new."""
        is_slow = isinstance(failure, TooSlow | Dripping | RangeNotSupported)
        return self.by_kept and not (self.asked_afresh or self.wrapped or is_slow or failure.status)


class MirrorLoop:
    """The download of one file: its mirrors are asked one after the other until the part has the declared bytes."""

    def __init__(
        self,
        file: File,
        sources: Iterable[Source],
        *,
        retry: RetryPolicy,
        cancellation: Cancellation,
        hosts: HostLimit,
        report: Callable[[int], None],
        announce: Callable[[str], None],
    ) -> None:
        self.mirrors = [Mirror(source) for source in sources]
        self._file, self._retry, self._cancellation = file, retry, cancellation
        self._hosts, self._report, self._announce = hosts, report, announce

    def run(self, part: PartialFile) -> bool:
        """Download. Returns whether the part matches in the end; if not, each mirror has its failure."""
        if part.matches():
            return True
        if part.bytes == self._file.bytes:  # whole and wrong, from another day: no mirror of this call is to blame
            part.drop()
        queue = deque(self.mirrors)
        while queue:
            mirror = queue.popleft()
            others_untried = any(not other.asked for other in queue)
            mirror.asked = True
            try:
                self._ask_with_retries(mirror, part, others_untried)
            except SourceError as failure:
                mirror.failure = failure
                if mirror.ended_at and failure.other is None:
                    failure.other = Other("size", f"{mirror.ended_at:,} bytes")
                log.info("%s: %s: %s", self._file.name, mirror.source.name, failure.reason)
                if isinstance(failure, TooSlow | Dripping) and queue:
                    self._announce(f"{self._file.name}: {mirror.source.name} {failure.reason}; the next is asked")
                if isinstance(failure, TooSlow):  # slow is better than nothing: it is asked once more after the others
                    queue.append(mirror)
                elif failure.by_kept and not mirror.asked_afresh:
                    # A 404 may be the late answer to another request. After the others, so that a mirror whose files
                    # are in no folders, and says so of each, costs no connection a file.
                    mirror.asked_afresh = True
                    queue.append(mirror)
            else:
                return True
        return False

    def _ask_with_retries(self, mirror: Mirror, part: PartialFile, others_untried: bool) -> None:
        retries = RetryCounter(part.bytes, self._retry)
        drip = Rate(self._retry.drip_bytes_per_s, self._retry.drip_window_s)  # through all tries
        while True:
            bytes_before = part.bytes
            try:
                try:
                    self._ask_once(mirror, part, others_untried, drip)
                except SourceError as failure:
                    if not mirror.is_excused(failure):
                        raise
                    mirror.asked_afresh = True
                    if isinstance(failure, WrongContent):
                        part.drop()
                    self._ask_once(mirror, part, others_untried, drip)
                return
            except RangeNotSupported as failure:
                if mirror.whole_only:
                    raise failure.as_permanent() from failure
                mirror.whole_only = True
            except WrongContent as failure:
                part.drop()
                if mirror.wrapped and not mirror.unwrap:
                    mirror.unwrap = mirror.whole_only = True
                elif bytes_before and not mirror.whole_only and not mirror.started_over:
                    # The wrong bytes may be those that were here before: from another mirror, or another day.
                    mirror.started_over = True
                else:
                    raise failure.as_permanent() from failure
            except TransientError as failure:
                if isinstance(failure, TooSlow) and others_untried:
                    raise
                if mirror.wrapped and not mirror.unwrap and is_gzip_in_gzip(part.head()):
                    mirror.unwrap = mirror.whole_only = True
                    part.drop()
                    continue
                self._cancellation.sleep(retries.wait_after(failure, part.bytes))

    def _ask_once(self, mirror: Mirror, part: PartialFile, others_untried: bool, drip: Rate) -> None:
        """Make one request. Returns only if the part matches in the end."""
        with self._hosts.connect(mirror.source.host, self._cancellation), drip:
            self._ask(mirror, part, others_untried, drip)
        if part.matches():  # another file may come by that connection meanwhile
            return
        failure = self._wrong_content("sends other bytes than the declared ones", part)
        if failure.kind is not Kind.LOGIN_PAGE and part.sha256:
            failure.other = Other("sha256", part.sha256)
        raise failure

    def _ask(self, mirror: Mirror, part: PartialFile, others_untried: bool, drip: Rate) -> None:
        """Make one request. Returns only if the part is as long as declared in the end."""
        name = mirror.source.name
        validator = None if mirror.tag_changed else part.validator(name)
        mirror.by_kept = False
        response = mirror.source.open(0 if mirror.whole_only else part.bytes, validator)
        mirror.by_kept = response.by_kept
        with closing(response):
            stall = Rate(self._retry.stall_bytes_per_s, self._retry.stall_window_s) if others_untried else None
            body = check_rate(response.chunks, drip, stall)
            if self._is_wrapped(mirror, response):
                body = gunzip(body, at_most=self._file.bytes + 1)
            head, body = peek(body)
            # Before anything is dropped or written: a login page must not cost us the good bytes of another mirror.
            self._check_head(mirror, response, head)
            if not head and self._file.bytes:
                next(
                    self._until_lost(body, mirror), b""
                )  # raises what kept the first byte from coming, if that is known
                raise self._cut_off(part)
            if response.start != part.bytes:  # the whole comes, though only the rest was asked for
                mirror.tag_changed = validator is not None
                part.drop()
            part.note_mirror(name, response.validator)
            self._report(part.bytes)
            mirror.ended_at = 0
            for chunk in self._until_lost(chain([head], body), mirror):
                self._cancellation.check()
                if len(chunk) > self._file.bytes - part.bytes:
                    reason = f"sends more than the {self._file.bytes:,} declared bytes"
                    failure = self._wrong_content(reason, part, chunk)
                    failure.other = Other("size", f"more than {self._file.bytes:,} bytes")
                    raise failure
                part.write(chunk)
                if part.bytes == self._file.bytes:
                    break  # perhaps the mirror never closes
                self._report(part.bytes)
        if part.bytes < self._file.bytes:
            if not mirror.was_lost and "chunked" in response.headers.get("Transfer-Encoding", "").lower():
                mirror.ended_at = part.bytes
            raise self._cut_off(part)

    def _until_lost(self, body: Iterator[bytes], mirror: Mirror) -> Iterator[bytes]:
        """Pass the chunks on until the connection is lost: how many bytes are missing says more than that."""
        mirror.was_lost = False
        try:
            yield from body
        except ConnectionLost:
            mirror.was_lost = True

    def _is_wrapped(self, mirror: Mirror, response: Response) -> bool:
        """Check whether the body must be taken out of a Content-Encoding that nobody asked for.

        Many servers call a .gz file "Content-Encoding: gzip" and send its very bytes; those are left alone.
        """
        rest = self._file.bytes - response.start
        mirror.wrapped = response.encoding in GZIP
        if not response.encoding or response.length == rest:
            return False
        if not mirror.wrapped:
            reason = f"sends Content-Encoding {response.encoding}, which was not asked for"
            raise PermanentError(reason)
        if response.length is not None or not self._file.name.lower().endswith(GZIP_NAMES):
            mirror.unwrap = True
        if mirror.unwrap and response.start:
            reason = "sends the rest of the file in gzip"
            raise RangeNotSupported(reason)
        mirror.whole_only = mirror.whole_only or mirror.unwrap  # a range of the wrapping is no range of the file
        return mirror.unwrap

    def _check_head(self, mirror: Mirror, response: Response, head: bytes) -> None:
        total, declared = response.total, self._file.bytes
        has_its_size = (total == declared and not mirror.wrapped) or len(head) == declared
        if response.start == 0 and (what := wrong_content(head, self._file.name, of_its_size=has_its_size)):
            reason = f"{what} came instead"
            raise PermanentError(reason, kind=_kind(head))
        if total is None or mirror.wrapped or has_its_size:
            return
        reason = f"has a file of {total:,} bytes, not {declared:,}"
        if response.start == 0 and (what := describe(head, self._file.name, bytes_came=total, bytes_declared=declared)):
            reason = f"{reason}: {what}"
        failure = PermanentError(reason, kind=_kind(head))
        failure.other = Other("size", f"{total:,} bytes") if total else None
        raise failure

    def _cut_off(self, part: PartialFile) -> TransientError:
        return TransientError(f"was cut off after {part.bytes:,} of {self._file.bytes:,} bytes")

    def _wrong_content(self, reason: str, part: PartialFile, more: bytes = b"") -> WrongContent:
        head = (part.head() + more)[:HEAD_BYTES]
        bytes_came = part.bytes + len(more)
        what = describe(head, self._file.name, bytes_came=bytes_came, bytes_declared=self._file.bytes)
        return WrongContent(f"{reason}: {what}" if what else reason, kind=_kind(head))


def _kind(head: bytes) -> Kind | None:
    return Kind.LOGIN_PAGE if is_page(head) else None
