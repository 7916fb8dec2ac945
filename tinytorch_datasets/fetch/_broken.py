"""What does an exception of requests, urllib3, ssl or the socket mean to a person who waits for a file?"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

from ._answer import Interrupted, Kind, Lost, Refused, Slow, Trouble
from ._patience import Patience

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
