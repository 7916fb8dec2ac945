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

from tinytorch_datasets.concurrency import Stop
from tinytorch_datasets.fetch.base import (
    Afresh,
    Answer,
    GivenUp,
    Interrupted,
    Kind,
    Refused,
    Slow,
    Source,
    Trouble,
    Wrong,
)
from tinytorch_datasets.fetch.partial import Part
from tinytorch_datasets.fetch.patience import Patience
from tinytorch_datasets.plan import File
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, describe, foreign, is_page

GZIP_MAGIC = b"\x1f\x8b"


class Slots:
    """So many connections to a host, and no more."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._by_host: dict[str, threading.BoundedSemaphore] = {}
        self._guard = threading.Lock()

    @contextmanager
    def at(self, host: str | None, stop: Stop) -> Iterator[None]:
        """Hold a connection's place at a host, waiting for it if need be. A folder is no host, and has no limit."""
        if host is None:
            yield
            return
        with self._guard:
            slots = self._by_host.setdefault(host, threading.BoundedSemaphore(self._patience.connections_per_host))
        while not slots.acquire(timeout=self._patience.poll_s):
            stop.check()
        try:
            yield
        finally:
            slots.release()


def metered(chunks: Iterator[bytes], patience: Patience, others_untried: bool) -> Iterator[bytes]:
    """The same chunks, as long as they come fast enough."""
    stall = _Meter(patience.stall_bytes_per_s, patience.stall_window_s)
    drip = _Meter(patience.drip_bytes_per_s, patience.drip_window_s)
    for chunk in chunks:
        yield chunk  # first: what came is kept, however slowly it came
        too_slow, hopeless = stall.is_below(len(chunk)), drip.is_below(len(chunk))
        if hopeless:
            reason = f"only drips ({drip.rate:,.0f} bytes/s)"
            raise Interrupted(reason)
        if too_slow and others_untried:
            reason = f"is slow ({stall.rate / 1000:,.0f} kB/s)"
            raise Slow(reason)


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
    trouble: type[Trouble] = Refused  # before the first byte, it costs none of those that are here
    for chunk in chunks:
        try:
            plain = unzip.decompress(chunk, at_most)
        except zlib.error as error:
            reason = "calls its answer gzip, which it is not"
            raise trouble(reason) from error
        at_most -= len(plain)
        if plain:
            trouble = Wrong
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

    def __init__(self, bytes_here: int, patience: Patience) -> None:
        self._most_bytes = bytes_here
        self._patience = patience
        self._in_vain = 0
        self._in_all = 0

    def wait_after(self, trouble: Interrupted, bytes_here: int) -> float:
        """The seconds to wait before the next try; GivenUp if there should be none."""
        self._in_all += 1
        self._in_vain = self._in_vain + 1 if bytes_here <= self._most_bytes else 0
        self._most_bytes = max(self._most_bytes, bytes_here)
        if self._in_vain >= self._patience.tries or self._in_all >= self._patience.tries_in_all:
            reason = trouble.reason if self._in_all == 1 else f"{trouble.reason} ({self._in_all} tries)"
            raise GivenUp(reason, kind=trouble.kind) from trouble
        if trouble.wait_s is None:
            longest = min(self._patience.backoff_first_s * 2**self._in_vain, self._patience.backoff_limit_s)
            return random.uniform(longest / 2, longest)  # thirty students must not come back all at once
        if trouble.wait_s > self._patience.retry_after_limit_s:
            reason = f"{trouble.reason} (it asks to wait {trouble.wait_s:,.0f} s)"
            raise GivenUp(reason, kind=trouble.kind) from trouble
        return trouble.wait_s


def patiently(ask: Callable[[], T], patience: Patience, stop: Stop) -> T:
    """What `ask` returns, asked again as long as that may help; each time from the beginning."""
    tries = Tries(0, patience)
    while True:
        try:
            return ask()
        except Interrupted as trouble:
            stop.sleep(tries.wait_after(trouble, 0))


log = logging.getLogger("tinytorch_datasets.fetch")

GZIP = ("gzip", "x-gzip")
GZIP_NAMES = (".gz", ".tgz")


class Turn:
    """One mirror, and what we have learnt about it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.trouble = Trouble("it was not asked")
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
        patience: Patience,
        stop: Stop,
        slots: Slots,
        tell: Callable[[int], None],
    ) -> None:
        self.turns = [Turn(source) for source in sources]
        self._file, self._patience, self._stop, self._slots, self._tell = file, patience, stop, slots, tell

    def bring(self, part: Part) -> bool:
        """Whether the part is right in the end. If not, each turn has the trouble with its mirror."""
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
            except Trouble as trouble:
                turn.trouble = trouble
                log.info("%s: %s: %s", self._file.name, turn.source.name, trouble.reason)
                if isinstance(trouble, Slow):  # slow is better than nothing: it has another turn after the others
                    queue.append(turn)
            else:
                return True
        return False

    def _ask_patiently(self, turn: Turn, part: Part, others_untried: bool) -> None:
        tries = Tries(part.bytes, self._patience)
        while True:
            was_here = part.bytes
            try:
                with self._slots.at(turn.source.host, self._stop):
                    self._ask(turn, part, others_untried)
                if part.is_right():  # another file may come by that connection meanwhile
                    return
                reason = "sends other bytes than the declared ones"
                raise self._wrong(reason, part)
            except Afresh as trouble:
                if turn.whole_only:
                    raise trouble.for_good() from trouble
                turn.whole_only = True
            except Wrong as trouble:
                part.drop()
                if turn.wrapped and not turn.unwrap:
                    turn.unwrap = turn.whole_only = True
                elif was_here and not turn.whole_only and not turn.started_over:
                    # The wrong bytes may be those that were here before: from another mirror, or another day.
                    turn.started_over = True
                else:
                    raise trouble.for_good() from trouble
            except Interrupted as trouble:
                if isinstance(trouble, Slow) and others_untried:
                    raise
                if turn.wrapped and not turn.unwrap and is_gzip_in_gzip(part.head()):
                    turn.unwrap = turn.whole_only = True
                    part.drop()
                    continue
                self._stop.sleep(tries.wait_after(trouble, part.bytes))

    def _ask(self, turn: Turn, part: Part, others_untried: bool) -> None:
        """Make one request. Returns only if the part is as long as declared in the end."""
        mirror = turn.source.name
        validator = None if turn.tag_changed else part.validator(mirror)
        answer = turn.source.open(0 if turn.whole_only else part.bytes, validator)
        with closing(answer):
            body = metered(answer.chunks, self._patience, others_untried)
            if self._is_wrapped(turn, answer):
                body = gunzipped(body, at_most=self._file.bytes + 1)
            head, body = _peeked(body)
            # Before anything is dropped or written: a login page must not cost us the good bytes of another mirror.
            self._refuse_other_files(turn, answer, head)
            if not head and self._file.bytes:
                next(body, b"")  # raises what kept the first byte from coming, if that is known
                raise self._cut_off(part)
            if answer.start != part.bytes:  # the whole comes, though only the rest was asked for
                turn.tag_changed = validator is not None
                part.drop()
            part.remember(mirror, answer.validator)
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

    def _is_wrapped(self, turn: Turn, answer: Answer) -> bool:
        """Whether the body must be taken out of a Content-Encoding that nobody asked for.

        Many servers call a .gz file "Content-Encoding: gzip" and send its very bytes; those are left alone.
        """
        rest = self._file.bytes - answer.start
        turn.wrapped = answer.encoding in GZIP
        if not answer.encoding or answer.length == rest:
            return False
        if not turn.wrapped:
            reason = f"sends Content-Encoding {answer.encoding}, which was not asked for"
            raise Refused(reason)
        if answer.length is not None or not self._file.name.lower().endswith(GZIP_NAMES):
            turn.unwrap = True
        if turn.unwrap and answer.start:
            reason = "sends the rest of the file in gzip"
            raise Afresh(reason)
        turn.whole_only = turn.whole_only or turn.unwrap  # a range of the wrapping is no range of the file
        return turn.unwrap

    def _refuse_other_files(self, turn: Turn, answer: Answer, head: bytes) -> None:
        total, declared = answer.total, self._file.bytes
        of_its_size = (total == declared and not turn.wrapped) or len(head) == declared
        if answer.start == 0 and (what := foreign(head, self._file.name, of_its_size=of_its_size)):
            reason = f"{what} came instead"
            raise Refused(reason, kind=_kind(head))
        if total is None or turn.wrapped or of_its_size:
            return
        reason = f"has a file of {total:,} bytes, not {declared:,}"
        if answer.start:
            raise Refused(reason)
        what = describe(head, self._file.name, bytes_came=total, bytes_declared=declared)
        raise Refused(f"{reason}: {what}" if what else reason, kind=_kind(head))

    def _cut_off(self, part: Part) -> Interrupted:
        return Interrupted(f"was cut off after {part.bytes:,} of {self._file.bytes:,} bytes")

    def _wrong(self, reason: str, part: Part, more: bytes = b"") -> Wrong:
        head = (part.head() + more)[:HEAD_BYTES]
        bytes_came = part.bytes + len(more)
        what = describe(head, self._file.name, bytes_came=bytes_came, bytes_declared=self._file.bytes)
        return Wrong(f"{reason}: {what}" if what else reason, kind=_kind(head))


def _kind(head: bytes) -> Kind | None:
    return Kind.LOGIN_PAGE if is_page(head) else None


def _peeked(body: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and the rest. Trouble on the way to them comes after them, so that they are kept."""
    head = b""
    try:
        while len(head) < HEAD_BYTES and (chunk := next(body, b"")):
            head += chunk
    except Trouble as trouble:
        return head, _raising(trouble)
    return head, body


def _raising(trouble: Trouble) -> Iterator[bytes]:
    raise trouble
    yield b""
