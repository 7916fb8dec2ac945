"""The mirror loop: retries, throttling, blame."""

from __future__ import annotations

import logging
import random
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import TypeVar

from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.fetch.base import (
    Kind,
    PermanentError,
    RangeNotSupported,
    Response,
    RetriesExhausted,
    Source,
    SourceError,
    TooSlow,
    TransientError,
    WrongContent,
)
from tinytorch_datasets.fetch.partial import Part
from tinytorch_datasets.fetch.retry import RetryPolicy
from tinytorch_datasets.plan import File
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, describe, foreign, is_page

GZIP_MAGIC = b"\x1f\x8b"


class Slots:
    """So many connections to a host, and no more."""

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = retry
        self._by_host: dict[str, threading.BoundedSemaphore] = {}
        self._guard = threading.Lock()

    @contextmanager
    def at(self, host: str | None, stop: Cancellation) -> Iterator[None]:
        """Hold a connection's place at a host, waiting for it if need be. A folder is no host, and has no limit."""
        if host is None:
            yield
            return
        with self._guard:
            slots = self._by_host.setdefault(host, threading.BoundedSemaphore(self._retry.connections_per_host))
        while not slots.acquire(timeout=self._retry.poll_s):
            stop.check()
        try:
            yield
        finally:
            slots.release()


def metered(chunks: Iterator[bytes], retry: RetryPolicy, others_untried: bool) -> Iterator[bytes]:
    """The same chunks, as long as they come fast enough."""
    stall = _Meter(retry.stall_bytes_per_s, retry.stall_window_s)
    drip = _Meter(retry.drip_bytes_per_s, retry.drip_window_s)
    for chunk in chunks:
        yield chunk  # first: what came is kept, however slowly it came
        too_slow, hopeless = stall.is_below(len(chunk)), drip.is_below(len(chunk))
        if hopeless:
            reason = f"only drips ({drip.rate:,.0f} bytes/s)"
            raise TransientError(reason)
        if too_slow and others_untried:
            reason = f"is slow ({stall.rate / 1000:,.0f} kB/s)"
            raise TooSlow(reason)


class _Meter:
    """The rate of a flow, over windows that follow one another."""

    def __init__(self, least_per_s: float, window_s: float) -> None:
        self._least_per_s, self._window_s = least_per_s, window_s
        self._since, self._bytes = time.monotonic(), 0
        self.rate = 0.0

    def is_below(self, more_bytes: int) -> bool:
        """Whether a window has ended that fewer bytes came through than should."""
        self._bytes += more_bytes
        now = time.monotonic()
        if now - self._since < self._window_s:
            return False
        self.rate = self._bytes / (now - self._since)
        self._since, self._bytes = now, 0
        return self.rate < self._least_per_s


def gunzipped(chunks: Iterator[bytes], *, at_most: int) -> Iterator[bytes]:
    """What the chunks hold in gzip, but never more than `at_most` bytes: a bomb ends there."""
    unzip = zlib.decompressobj(wbits=31)
    failure: type[SourceError] = PermanentError  # before the first byte, it costs none of those that are here
    for chunk in chunks:
        try:
            plain = unzip.decompress(chunk, at_most)
        except zlib.error as error:
            reason = "calls its answer gzip, which it is not"
            raise failure(reason) from error
        at_most -= len(plain)
        if plain:
            failure = WrongContent
            yield plain
        if unzip.eof or at_most <= 0:
            return


def is_gzip_in_gzip(head: bytes) -> bool:
    """Whether a file that begins like this holds a gzip in its gzip."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, len(GZIP_MAGIC)) == GZIP_MAGIC
    except zlib.error:
        return False


T = TypeVar("T")


class Tries:
    """The tries of one mirror. Those that brought more bytes than ever before are not in vain."""

    def __init__(self, bytes_here: int, retry: RetryPolicy) -> None:
        self._most_bytes = bytes_here
        self._retry = retry
        self._in_vain = 0
        self._in_all = 0

    def wait_after(self, failure: TransientError, bytes_here: int) -> float:
        """The seconds to wait before the next try; RetriesExhausted if there should be none."""
        self._in_all += 1
        self._in_vain = self._in_vain + 1 if bytes_here <= self._most_bytes else 0
        self._most_bytes = max(self._most_bytes, bytes_here)
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


def with_retries(ask: Callable[[], T], retry: RetryPolicy, stop: Cancellation) -> T:
    """What `ask` returns, asked again as long as that may help; each time from the beginning."""
    tries = Tries(0, retry)
    while True:
        try:
            return ask()
        except TransientError as failure:
            stop.sleep(tries.wait_after(failure, 0))


log = logging.getLogger("tinytorch_datasets.fetch")

GZIP = ("gzip", "x-gzip")
GZIP_NAMES = (".gz", ".tgz")


class Turn:
    """One mirror, and what we have learnt about it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.failure = SourceError("it was not asked")
        self.asked = False
        self.whole_only = False  # its ranges are of no use
        self.started_over = False  # it has had its one clean start
        self.tag_changed = False  # its validators say nothing about its bytes
        self.wrapped = False  # it answers in gzip, which may be the file itself or a wrapping ...
        self.unwrap = False  # ... and is a wrapping


class Trip:
    """The way of one file through its mirrors, until the part holds the promised bytes."""

    def __init__(
        self,
        file: File,
        sources: Iterable[Source],
        *,
        retry: RetryPolicy,
        stop: Cancellation,
        slots: Slots,
        tell: Callable[[int], None],
    ) -> None:
        self.turns = [Turn(source) for source in sources]
        self._file, self._retry, self._stop, self._slots, self._tell = file, retry, stop, slots, tell

    def bring(self, part: Part) -> bool:
        """Whether the part is right in the end. If not, each turn has the failure with its mirror."""
        if part.is_right():
            return True
        if part.bytes == self._file.bytes:  # whole and wrong, from another day: no mirror of this trip is to blame
            part.drop()
        queue = deque(self.turns)
        while queue:
            turn = queue.popleft()
            others_untried = any(not other.asked for other in queue)
            turn.asked = True
            try:
                self._ask_patiently(turn, part, others_untried)
            except SourceError as failure:
                turn.failure = failure
                log.info("%s: %s: %s", self._file.name, turn.source.name, failure.reason)
                if isinstance(failure, TooSlow):  # slow is better than nothing: it has another turn after the others
                    queue.append(turn)
            else:
                return True
        return False

    def _ask_patiently(self, turn: Turn, part: Part, others_untried: bool) -> None:
        tries = Tries(part.bytes, self._retry)
        while True:
            was_here = part.bytes
            try:
                with self._slots.at(turn.source.host, self._stop):
                    self._ask(turn, part, others_untried)
                if part.is_right():  # another file may come by that connection meanwhile
                    return
                reason = "sends other bytes than the declared ones"
                raise self._wrong(reason, part)
            except RangeNotSupported as failure:
                if turn.whole_only:
                    raise failure.for_good() from failure
                turn.whole_only = True
            except WrongContent as failure:
                part.drop()
                if turn.wrapped and not turn.unwrap:
                    turn.unwrap = turn.whole_only = True
                elif was_here and not turn.whole_only and not turn.started_over:
                    # The wrong bytes may be those that were here before: from another mirror, or another day.
                    turn.started_over = True
                else:
                    raise failure.for_good() from failure
            except TransientError as failure:
                if isinstance(failure, TooSlow) and others_untried:
                    raise
                if turn.wrapped and not turn.unwrap and is_gzip_in_gzip(part.head()):
                    turn.unwrap = turn.whole_only = True
                    part.drop()
                    continue
                self._stop.sleep(tries.wait_after(failure, part.bytes))

    def _ask(self, turn: Turn, part: Part, others_untried: bool) -> None:
        """Make one request. Returns only if the part is as long as declared in the end."""
        mirror = turn.source.name
        validator = None if turn.tag_changed else part.validator(mirror)
        response = turn.source.open(0 if turn.whole_only else part.bytes, validator)
        with closing(response):
            body = metered(response.chunks, self._retry, others_untried)
            if self._is_wrapped(turn, response):
                body = gunzipped(body, at_most=self._file.bytes + 1)
            head, body = _peeked(body)
            # Before anything is dropped or written: a login page must not cost us the good bytes of another mirror.
            self._refuse_other_files(turn, response, head)
            if not head and self._file.bytes:
                next(body, b"")  # raises what kept the first byte from coming, if that is known
                raise self._cut_off(part)
            if response.start != part.bytes:  # the whole comes, though only the rest was asked for
                turn.tag_changed = validator is not None
                part.drop()
            part.remember(mirror, response.validator)
            self._tell(part.bytes)
            for chunk in chain([head], body):
                self._stop.check()
                if len(chunk) > self._file.bytes - part.bytes:
                    reason = f"sends more than the {self._file.bytes:,} declared bytes"
                    raise self._wrong(reason, part, chunk)
                part.write(chunk)
                if part.bytes == self._file.bytes:
                    break  # perhaps the mirror never closes
                self._tell(part.bytes)
        if part.bytes < self._file.bytes:
            raise self._cut_off(part)

    def _is_wrapped(self, turn: Turn, response: Response) -> bool:
        """Whether the body must be taken out of a Content-Encoding that nobody asked for.

        Many servers call a .gz file "Content-Encoding: gzip" and send its very bytes; those are left alone.
        """
        rest = self._file.bytes - response.start
        turn.wrapped = response.encoding in GZIP
        if not response.encoding or response.length == rest:
            return False
        if not turn.wrapped:
            reason = f"sends Content-Encoding {response.encoding}, which was not asked for"
            raise PermanentError(reason)
        if response.length is not None or not self._file.name.lower().endswith(GZIP_NAMES):
            turn.unwrap = True
        if turn.unwrap and response.start:
            reason = "sends the rest of the file in gzip"
            raise RangeNotSupported(reason)
        turn.whole_only = turn.whole_only or turn.unwrap  # a range of the wrapping is no range of the file
        return turn.unwrap

    def _refuse_other_files(self, turn: Turn, response: Response, head: bytes) -> None:
        total, declared = response.total, self._file.bytes
        of_its_size = (total == declared and not turn.wrapped) or len(head) == declared
        if response.start == 0 and (what := foreign(head, self._file.name, of_its_size=of_its_size)):
            reason = f"{what} came instead"
            raise PermanentError(reason, kind=_kind(head))
        if total is None or turn.wrapped or of_its_size:
            return
        reason = f"has a file of {total:,} bytes, not {declared:,}"
        if response.start:
            raise PermanentError(reason)
        what = describe(head, self._file.name, bytes_came=total, bytes_declared=declared)
        raise PermanentError(f"{reason}: {what}" if what else reason, kind=_kind(head))

    def _cut_off(self, part: Part) -> TransientError:
        return TransientError(f"was cut off after {part.bytes:,} of {self._file.bytes:,} bytes")

    def _wrong(self, reason: str, part: Part, more: bytes = b"") -> WrongContent:
        head = (part.head() + more)[:HEAD_BYTES]
        bytes_came = part.bytes + len(more)
        what = describe(head, self._file.name, bytes_came=bytes_came, bytes_declared=self._file.bytes)
        return WrongContent(f"{reason}: {what}" if what else reason, kind=_kind(head))


def _kind(head: bytes) -> Kind | None:
    return Kind.LOGIN_PAGE if is_page(head) else None


def _peeked(body: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and the rest. SourceError on the way to them comes after them, so that they are kept."""
    head = b""
    try:
        while len(head) < HEAD_BYTES and (chunk := next(body, b"")):
            head += chunk
    except SourceError as failure:
        return head, _raising(failure)
    return head, body


def _raising(failure: SourceError) -> Iterator[bytes]:
    raise failure
    yield b""
