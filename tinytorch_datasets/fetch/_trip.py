"""Which mirror gives the file, and who is to blame if none does?"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain

from tinytorch_datasets.diagnosis import HEAD_BYTES, describe, foreign, is_page
from tinytorch_datasets.plan import File

from ._answer import Afresh, Answer, Interrupted, Kind, Refused, Slow, Source, Trouble, Wrong
from ._flow import Slots, gunzipped, is_gzip_in_gzip, metered
from ._part import Part
from ._patience import Patience
from ._stop import Stop
from ._tries import Tries

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
