"""HTTP by requests: ranges, and its exceptions in our words."""

from __future__ import annotations

import datetime as dt
import email.utils
import errno
import http
import http.client
import logging
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from tinytorch_datasets.concurrency import Stop
from tinytorch_datasets.fetch.base import CHUNK_BYTES, Afresh, Answer, Interrupted, Kind, Lost, Refused, Slow, Trouble
from tinytorch_datasets.fetch.patience import Patience
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, quoted, said_by_a_store

if TYPE_CHECKING:
    import requests


UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


def trouble_of(error: BaseException, patience: Patience) -> Trouble:
    """The trouble that an exception stands for, in our words. None of theirs ever reaches a user."""
    import requests  # heavy, and loaded already by whoever has an exception of it
    import urllib3.exceptions as u3

    causes = list(_causes(error))

    def first(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    if (cause := first(ssl.SSLCertVerificationError)) and isinstance(cause, ssl.SSLCertVerificationError):
        return Refused(f"its TLS certificate is not trusted: {cause.verify_message}")
    if first(ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return Lost()
    if first(requests.exceptions.ProxyError, u3.ProxyError):
        return Refused("the proxy that the environment names cannot be used", kind=Kind.NO_ANSWER)
    if first(socket.gaierror):
        return Refused("its host name cannot be found (is there a network?)", kind=Kind.NO_NETWORK)
    if first(ConnectionRefusedError):
        return Refused("the connection was refused", kind=Kind.NO_ANSWER)
    if any(isinstance(cause, OSError) and cause.errno in UNREACHABLE for cause in causes):
        return Refused("its host cannot be reached (is there a network?)", kind=Kind.NO_NETWORK)
    if first(requests.exceptions.ConnectTimeout):
        return Slow(f"no connection within {patience.connect_timeout_s:g} s")
    if first(requests.exceptions.ReadTimeout, u3.ReadTimeoutError, TimeoutError):
        return Slow(f"nothing came for {patience.read_timeout_s:g} s")
    if cause := first(ssl.SSLError, requests.exceptions.SSLError, u3.SSLError):
        return Refused(f"TLS failed: {getattr(cause, 'reason', None) or 'no more is known'}")
    if first(ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected, http.client.IncompleteRead):
        return Lost()
    if first(u3.IncompleteRead, u3.InvalidChunkLength):
        return Lost()
    if cause := first(http.client.HTTPException):
        return Interrupted(f"what it answered is not HTTP ({type(cause).__name__})")
    if first(ValueError, u3.LocationValueError):  # requests' InvalidURL and its kin, IDNA's UnicodeError
        return Refused("this is not an address that can be opened")
    return Interrupted(f"the connection failed ({type(error).__name__})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it stands for: what it was raised from, what it carries as `reason` or argument."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        carried = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting.extend(thing for thing in carried if isinstance(thing, BaseException))


log = logging.getLogger("tinytorch_datasets.fetch")

# An answer in gzip saves nothing on files that are compressed already, and its length says nothing about theirs.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "tinytorch-datasets"}
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})
DIGITS = 18  # as many bytes no disk has; Python itself reads no number of more than 4300
CONTENT_RANGE = re.compile(rf"bytes (\d{{1,{DIGITS}}})-(\d{{1,{DIGITS}}})/(\d{{1,{DIGITS}}}|\*)$", re.ASCII)


class Web:
    """One file at one http or https address."""

    def __init__(self, url: str, patience: Patience, stop: Stop) -> None:
        self.url = url
        self.name = without_password(url)
        self.host: str | None = url.split("/", 3)[2].rpartition("@")[2].lower()
        self._patience = patience
        self._stop = stop

    def open(self, start: int, validator: str | None) -> Answer:
        """Ask for the file from byte `start` on. The body is read as it is iterated over."""
        headers = dict(HEADERS)
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator:
                headers["If-Range"] = validator
        with ExitStack() as opened:
            with self._in_our_words():
                response = self._get(headers, opened)
            opened.callback(response.close)
            opened.enter_context(self._stop.waking(response.raw.shutdown))
            with self._in_our_words():
                answer = self._answer(response, start)
            answer.close = opened.pop_all().close
            return answer

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except Trouble:
            raise
        except Exception as error:
            self._stop.check()  # the stop shuts the socket, which looks like a lost connection
            raise trouble_of(error, self._patience) from error

    def _get(self, headers: dict[str, str], opened: ExitStack) -> requests.Response:
        """The first answer that is not a redirect."""
        import requests  # heavy

        session = opened.enter_context(requests.Session())
        timeout = (self._patience.connect_timeout_s, self._patience.read_timeout_s)
        url, been = self.url, [self.url]
        for _ in range(self._patience.redirects + 1):
            self._stop.check()
            response = session.get(url, headers=headers, timeout=timeout, stream=True, allow_redirects=False)
            target = session.get_redirect_target(response)
            if target is None:
                return response
            response.close()
            url = self._redirected(url, target)
            # Twice is allowed: some sites send you back to the same address, with a cookie.
            if been.count(url) == 2:
                reason = f"redirects in a circle, by way of {without_password(url)}"
                raise Refused(reason)
            been.append(url)
        reason = f"redirects more than {self._patience.redirects} times"
        raise Refused(reason)

    def _redirected(self, url: str, target: str) -> str:
        url, before = urljoin(url, target), urlsplit(url).scheme
        after = urlsplit(url).scheme
        if after not in ("http", "https"):
            reason = f"redirects to {without_password(url)}, which is neither http nor https"
            raise Refused(reason)
        if (before, after) == ("https", "http"):
            # Anyone on the way may now change the bytes. They cannot change the declared sha256.
            log.warning(
                "%s redirects from https to %s; followed, as the declared sha256 is checked",
                self.name,
                without_password(url),
            )
        return url

    def _answer(self, response: requests.Response, start: int) -> Answer:
        status, headers = response.status_code, response.headers
        length = number(headers.get("Content-Length", ""))
        answer = Answer(
            start=0,
            length=length,
            total=length,
            chunks=self._chunks(response.raw),
            close=response.close,
            encoding=headers.get("Content-Encoding", "").strip().lower().replace("identity", ""),
            validator=validator_of(headers),
            headers=headers,
        )
        if status == 200:
            return answer
        if status == 206:
            told = headers.get("Content-Range", "").strip()
            span = CONTENT_RANGE.match(told)
            if span is None or int(span[1]) != start:
                reason = f"sent another range than the asked one ({quoted(told) if told else 'none given'})"
                raise Afresh(reason)
            answer.start = start
            answer.total = None if span[3] == "*" else int(span[3])
            return answer
        if status == 416 and start:
            reason = f"has no bytes from {start:,} on (416)"
            raise Afresh(reason)
        reason = self._status_in_words(status, answer)
        if status in TRY_AGAIN:
            raise Interrupted(reason, wait_s=retry_after(headers.get("Retry-After", "")))
        raise Refused(reason)

    def _status_in_words(self, status: int, answer: Answer) -> str:
        try:
            reason = f"{status} {http.HTTPStatus(status).phrase}"
        except ValueError:
            reason = f"{status}, a status of its own"
        head, until = b"", time.monotonic() + self._patience.read_timeout_s
        try:
            while len(head) < HEAD_BYTES and time.monotonic() < until and (chunk := next(answer.chunks, b"")):
                head += chunk
        except Trouble:
            pass  # the status has said enough
        said = said_by_a_store(head)
        return f"{reason} ({said})" if said else reason

    def _chunks(self, raw: Any) -> Iterator[bytes]:
        while True:
            try:
                with self._in_our_words():
                    # read1, not read: read waits for the whole chunk, and a drip would look like silence.
                    chunk = raw.read1(CHUNK_BYTES, decode_content=False)
            except Lost:
                return  # whoever counts the bytes knows that some are missing, and can say how many
            self._stop.check()
            if not chunk:
                return
            yield chunk


def number(text: str) -> int | None:
    """The number that a header gives; None where it is none, or is past all reason.

    >>> number("9912422")
    9912422
    >>> number("9" * 5000)
    """
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None


def validator_of(headers: Any) -> str | None:
    """A strong ETag, or else the date; what is weak ("W/...") may name several files (RFC 9110, 13.1.5)."""
    tag: str = headers.get("ETag", "")
    if tag:
        return None if tag.startswith("W/") else tag
    date: str | None = headers.get("Last-Modified")
    return date


def retry_after(text: str) -> float | None:
    """The seconds to wait that a Retry-After header asks for, as a number or as a date.

    >>> retry_after("120")
    120.0
    >>> retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
    0.0
    >>> retry_after("soon")
    """
    if (seconds := number(text)) is not None:
        return float(seconds)
    try:
        date = email.utils.parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=dt.timezone.utc)
        return max(0.0, (date - dt.datetime.now(dt.timezone.utc)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def without_password(url: str) -> str:
    """The address as it may be shown.

    >>> without_password("https://me:secret@example.org/a.gz")
    'https://example.org/a.gz'
    """
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
