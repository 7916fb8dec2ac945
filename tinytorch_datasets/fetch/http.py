"""HTTP by urllib3: ranges, redirects, and its exceptions as `SourceError`s."""

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from tinytorch_datasets._version import HOMEPAGE, VERSION
from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.errors import DatasetError, printable
from tinytorch_datasets.fetch.base import (
    CHUNK_BYTES,
    ConnectionLost,
    Dripping,
    Kind,
    PermanentError,
    RangeNotSupported,
    Response,
    RetryPolicy,
    SourceError,
    TooSlow,
    TransientError,
    usable_validator,
)
from tinytorch_datasets.manifest.filenames import without_secrets
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, quoted, storage_error_code

if TYPE_CHECKING:
    import urllib3

    from tinytorch_datasets.fetch.body import Deadline
    from tinytorch_datasets.fetch.connection import Connections


UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


def source_error_of(error: BaseException, retry: RetryPolicy, url: str) -> SourceError:
    """Return the SourceError that an exception stands for, so that no exception of requests reaches a user."""
    import requests  # heavy, and needed by those few alone who have an error
    import urllib3.exceptions as u3

    causes = list(causes_of(error))

    def first(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    if any(isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE) for cause in causes):
        return PermanentError("too many files are open here (see `ulimit -n`)", kind=Kind.NO_ANSWER)
    if (cause := first(ssl.SSLCertVerificationError)) and isinstance(cause, ssl.SSLCertVerificationError):
        from tinytorch_datasets.fetch.connection import unread_certificates

        reason, remark = f"its TLS certificate is not trusted: {cause.verify_message}", unread_certificates()
        return PermanentError(f"{reason} ({remark})", kind=Kind.NO_ANSWER) if remark else PermanentError(reason)
    if first(ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return ConnectionLost()
    if first(requests.exceptions.ProxyError, u3.ProxyError):
        from tinytorch_datasets.fetch.connection import proxy_variable

        variable = (proxy_variable(url) or ["the environment"])[0]
        return PermanentError(f"the proxy that {variable} names cannot be used", kind=Kind.NO_ANSWER)
    if first(socket.gaierror):
        return PermanentError("its host name cannot be found (is there a network?)", kind=Kind.NO_NETWORK)
    if first(ConnectionRefusedError):
        return PermanentError("the connection was refused", kind=Kind.NO_ANSWER)
    if any(isinstance(cause, OSError) and cause.errno in UNREACHABLE for cause in causes):
        return PermanentError("its host cannot be reached (is there a network?)", kind=Kind.NO_NETWORK)
    if first(requests.exceptions.ConnectTimeout, u3.ConnectTimeoutError):
        return TooSlow(f"no connection within {retry.connect_timeout_s:g} s")
    if first(requests.exceptions.ReadTimeout, u3.ReadTimeoutError, TimeoutError):
        return TooSlow(f"nothing came for {retry.read_timeout_s:g} s")
    if first(ssl.SSLError, requests.exceptions.SSLError, u3.SSLError):
        # OpenSSL's own words ("WRONG_VERSION_NUMBER") are those of the innermost; the others have it as their reason.
        words = (getattr(cause, "reason", None) for cause in causes if isinstance(cause, ssl.SSLError))
        named = next(filter(None, words), "no more is known")
        return PermanentError(f"TLS failed: {named.replace('_', ' ').lower()}")
    if first(ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected, http.client.IncompleteRead):
        return ConnectionLost()
    if first(u3.IncompleteRead, u3.InvalidChunkLength):
        return ConnectionLost()
    if cause := first(http.client.HTTPException):
        return TransientError(f"what it answered is not HTTP ({type(cause).__name__})")
    if first(ValueError, u3.LocationValueError):  # requests' InvalidURL and its kin, IDNA's UnicodeError
        return PermanentError("this is not an address that can be opened")
    return TransientError(f"the connection failed ({type(error).__name__})")


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and all that it stands for: its causes, its `reason`, its arguments."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        named = getattr(cause, "kwargs", None)  # where botocore keeps what it is the error of
        carried = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        carried += [getattr(cause, "os_error", None), *(named.values() if isinstance(named, dict) else ())]
        waiting.extend(thing for thing in carried if isinstance(thing, BaseException))


log = logging.getLogger("tinytorch_datasets.fetch")

# An answer in gzip saves nothing on files that are compressed already, and its length says nothing about theirs.
AGENT = f"tinytorch-datasets/{VERSION}" + (f" (+{HOMEPAGE})" if HOMEPAGE else "")
HEADERS = {"User-Agent": AGENT, "Accept-Encoding": "identity", "Accept": "*/*", "Connection": "keep-alive"}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})
# Those that IANA has registered; and lzma, xz and bzip2, which are not, but are sent.
COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi"})
COMPRESSIONS |= {"pack200-gzip", "aes128gcm", "xz", "lzma", "bzip2", "x-bzip2"}
DIGITS = 18  # as many bytes no disk has; Python itself reads no number of more than 4300
CONTENT_RANGE = re.compile(rf"bytes (\d{{1,{DIGITS}}})-(\d{{1,{DIGITS}}})/(\d{{1,{DIGITS}}}|\*)$", re.ASCII)


class Web:
    """One file at one http or https address."""

    def __init__(
        self,
        url: str,
        retry: RetryPolicy,
        cancellation: Cancellation,
        connections: Callable[[], Connections] | None = None,
    ) -> None:
        """Take an address; and the connections that it shares with others, which are its own if there are none."""
        self.url = url
        self.name = shown_address(url)
        self.host: str | None = url.split("/", 3)[2].rpartition("@")[2].lower()
        self._retry = retry
        self._cancellation = cancellation
        self._shared = connections
        self._afresh = False  # the last request failed, or was on a connection with a past

    def open(self, start: int, validator: str | None) -> Response:
        """Ask for the file from byte `start` on. The body is read as it is iterated over."""
        headers = dict(HEADERS)
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator:
                headers["If-Range"] = validator
        from tinytorch_datasets.fetch import connection  # and with it urllib3, which is heavy

        with ExitStack() as opened:
            if self._shared is None:
                connections = connection.Connections()
                opened.callback(connections.close)
            else:
                connections = self._shared()
            deadline = connections.deadline(self._retry.response_timeout_s)
            opened.callback(deadline.close)
            opened.enter_context(self._cancellation.waking(deadline.shut))
            with self._source_errors(deadline):
                reply, redirects = self._get(headers, deadline, connections)
            opened.callback(connection.end, reply)
            with self._source_errors(deadline):
                response = self._response(reply, start, deadline)
            response.redirects, response.tls, response.by_kept = redirects, deadline.tls, deadline.is_reused
            self._afresh = deadline.is_reused
            response.close = opened.pop_all().close
            return response

    @contextmanager
    def _source_errors(self, deadline: Deadline) -> Iterator[None]:
        # Cancelling, and the deadline, shut the socket, which looks like a lost connection, or like the body's end.
        try:
            yield
        except (SourceError, DatasetError):
            raise
        except Exception as error:  # libraries below requests let out errors of their own
            self._check_wanted(deadline)
            raise source_error_of(error, self._retry, self.url) from error
        self._check_wanted(deadline)

    def _check_wanted(self, deadline: Deadline) -> None:
        self._cancellation.check()
        if deadline.is_past:
            what = "drips: nothing of the file came" if deadline.is_connected else "no connection came about"
            reason = f"{what} within {self._retry.response_timeout_s:g} s"
            raise Dripping(reason)  # by a connection that was kept as well: whoever is silent meets the read's timeout

    def _get(
        self, headers: dict[str, str], deadline: Deadline, connections: Connections
    ) -> tuple[urllib3.BaseHTTPResponse, list[Mapping[str, str]]]:
        """Return the first response that is not a redirect, and the header fields of those that are."""
        import urllib3

        from tinytorch_datasets.fetch import connection

        timeout = urllib3.Timeout(connect=self._retry.connect_timeout_s, read=self._retry.read_timeout_s)
        url, visited, cookies = self.url, [self.url], None
        afresh, self._afresh = self._afresh, True  # until this one has succeeded
        redirects: list[Mapping[str, str]] = []
        for _ in range(self._retry.redirects + 1):
            self._check_wanted(deadline)
            deadline.tls = ""  # of the last connection alone
            reply = connections.ask(url, headers, timeout=timeout, deadline=deadline, cookies=cookies, afresh=afresh)
            if reply.status not in REDIRECTS or "Location" not in reply.headers:
                return reply, redirects
            target = reply.headers["Location"].encode("latin-1").decode()
            redirects.append(connection.fields_of(reply))
            cookies = connection.keep_cookies(cookies, url, reply)
            connection.end(reply)
            url = self._redirected(url, target)
            # Twice is allowed: some sites send you back to the same address, with a cookie.
            if visited.count(url) == 2:
                reason = f"redirects in a circle, by way of {shown_address(url)}"
                raise PermanentError(reason)
            visited.append(url)
        reason = f"redirects more than {self._retry.redirects} times"
        raise PermanentError(reason)

    def _redirected(self, url: str, target: str) -> str:
        url, before = urljoin(url, target), urlsplit(url).scheme
        after = urlsplit(url).scheme
        if after not in ("http", "https"):
            reason = f"redirects to {shown_address(url)}, which is neither http nor https"
            raise PermanentError(reason)
        if (before, after) == ("https", "http"):
            # Anyone on the way may now change the bytes. They cannot change the declared sha256.
            log.warning(
                "%s redirects from https to %s; followed, as the declared sha256 is checked",
                self.name,
                shown_address(url),
            )
        return url

    def _response(self, reply: urllib3.BaseHTTPResponse, start: int, deadline: Deadline) -> Response:
        from tinytorch_datasets.fetch.connection import fields_of

        status, headers = reply.status, fields_of(reply)
        length = number(headers.get("Content-Length", ""))
        response = Response(
            start=0,
            length=length,
            total=length,
            chunks=self._chunks(reply, deadline),
            close=reply.close,
            encoding=compression_of(headers.get("Content-Encoding", "")),
            validator=validator_of(headers),
            headers=headers,
            status=status,
        )
        if status == 200:
            return response
        if status == 206:
            content_range = headers.get("Content-Range", "").strip()
            span = CONTENT_RANGE.match(content_range)
            if span is None or int(span[1]) != start:
                sent = quoted(content_range) if content_range else "none given"
                reason = f"sent another range than the asked one ({sent})"
                raise RangeNotSupported(reason)
            response.start = start
            response.total = None if span[3] == "*" else int(span[3])
            return response
        if status == 416 and start:
            reason = f"has no bytes from {start:,} on (416)"
            raise RangeNotSupported(reason)
        reason = self._describe_status(status, response)
        is_of_now = status in TRY_AGAIN
        wait_s = retry_after(headers.get("Retry-After", ""))
        failure = TransientError(reason, wait_s=wait_s) if is_of_now else PermanentError(reason)
        failure.status, failure.by_kept = status, deadline.is_reused
        raise failure

    def _describe_status(self, status: int, response: Response) -> str:
        try:
            reason = f"{status} {http.HTTPStatus(status).phrase}"
        except ValueError:
            reason = f"{status}, a status of its own"
        head, until = b"", time.monotonic() + min(self._retry.read_timeout_s, self._retry.response_timeout_s)
        try:
            while len(head) < HEAD_BYTES and time.monotonic() < until and (chunk := next(response.chunks, b"")):
                head += chunk
        except SourceError:
            pass  # the status has said enough
        message = storage_error_code(head)
        return f"{reason} ({message})" if message else reason

    def _chunks(self, reply: urllib3.BaseHTTPResponse, deadline: Deadline) -> Iterator[bytes]:
        while True:
            with self._source_errors(deadline):
                # read1, not read: read waits for the whole chunk, and a drip would look like silence.
                chunk = reply.read1(CHUNK_BYTES, decode_content=False)
            if not chunk:
                return
            yield chunk
            deadline.postpone()  # and not before: whoever took the chunk may have taken long


def compression_of(content_encoding: str) -> str:
    """Return what a Content-Encoding compresses with, lower case; "" for words that name no compression.

    Stores and servers put all kinds of words there: a charset, a transfer encoding, the name of an upload's protocol.

    >>> compression_of("utf-8"), compression_of("aws-chunked, GZIP")
    ('', 'gzip')
    """
    words = (word.strip().lower() for word in content_encoding.split(","))
    return ", ".join(word for word in words if word in COMPRESSIONS)


def number(text: str) -> int | None:
    """Return the number that a header gives; None where it is none, or is past all reason.

    >>> number("9912422")
    9912422
    >>> number("9" * 5000)
    """
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None


def validator_of(headers: Any) -> str | None:
    """Return a strong ETag, or else the date; what is weak ("W/...") may name several files (RFC 9110, 13.1.5)."""
    tag: str = headers.get("ETag", "")
    if tag:
        return None if tag.startswith("W/") else usable_validator(tag)
    return usable_validator(headers.get("Last-Modified"))


def retry_after(text: str) -> float | None:
    """Return the seconds to wait that a Retry-After header asks for, as a number or as a date.

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


def shown_address(url: str) -> str:
    """Return the address as it may be shown: without a password, a token or an escape code.

    >>> shown_address("https://me:secret@example.org/a.gz")
    'https://example.org/a.gz'
    >>> shown_address("https://example.org/a.gz?download=1&sig=c2VjcmV0")
    'https://example.org/a.gz?download=1&sig=...'
    """
    return printable(without_secrets(url))
