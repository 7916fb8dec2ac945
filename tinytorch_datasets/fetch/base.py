"""`RetryPolicy`, `Source`, `Response`, and the tree of their errors.

A mirror gives a Response, or it raises one of these:

    SourceError                the response is of no use; `reason` says why, in words for the person who waits
    |-- PermanentError         a retry would not help: on to the next mirror
    |   `-- RetriesExhausted   or helps no more: too many retries, or the mirror asks for too long a wait
    |       `-- Dripping       or its bytes come so slowly that the file would take days
    |-- TransientError         a retry may help, after `wait_s` if the mirror asks for a wait
    |   |-- ConnectionLost     the connection ended too early
    |   `-- TooSlow            nothing comes, or hardly anything: another mirror, if there is one
    |-- RangeNotSupported      to a request for the rest; it may still give the whole
    `-- WrongContent           the bytes are not the declared ones

Where it decides what a person does about it, a SourceError also has a `kind`.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tinytorch_datasets.errors import MissingFile, StorageError, printable
from tinytorch_datasets.plan import File, fetch_again
from tinytorch_datasets.storage.files import DENIED, ELSEWHERE
from tinytorch_datasets.verify.files import check_size

if TYPE_CHECKING:
    from tinytorch_datasets.storage.memmap import StatSignature


VALIDATOR = re.compile(r"[\x20-\x7e\xa0-\xff]{1,1000}")  # servers take no request with much more in its header
CHUNK_BYTES = 2**20  # the most one read asks for; it returns with what is there


@dataclass(frozen=True)
class RetryPolicy:
    """Every limit of a fetch, each with its unit in its name."""

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 15.0  # for each single read: the longest silence, before the first byte and after

    # To the first byte of the body, through all redirects; and the longest time without one, whatever else comes.
    response_timeout_s: float = 30.0

    # Slower than this while another mirror is untried: go on there, keeping what came.
    stall_bytes_per_s: float = 100_000
    stall_window_s: float = 15.0
    # Slower than this and no response is worth waiting for, whoever sends it: 170 MB would take two days.
    drip_bytes_per_s: float = 1_000
    drip_window_s: float = 60.0

    tries: int = 3  # of one mirror, in a row, none of which brought a byte more
    tries_in_all: int = 50  # of one mirror, however much each of them brought
    backoff_first_s: float = 0.5  # doubled from try to try; the true wait is half of it to all of it
    backoff_limit_s: float = 8.0
    retry_after_limit_s: float = 30.0  # a server that asks for more has refused
    redirects: int = 10

    connections_per_host: int = 2
    connections_in_all: int = 4

    lock_notice_after_s: float = 1.0  # a wait shorter than this is not reported
    holder_silence_s: float = 300.0  # a lock holder that makes no progress for so long is not waited for

    poll_s: float = 0.1  # how often a waiting thread looks whether it is cancelled
    cancel_wait_s: float = 1.0  # after Ctrl-C: the longest wait for threads to let go of their files


DEFAULT_RETRY = RetryPolicy()


class Kind(Enum):
    """What stood in the way, if it was not the mirror itself."""

    NO_NETWORK = auto()  # its host cannot be found, or there is no way to it
    NO_ANSWER = auto()  # nobody listens there, or not to us: that says nothing about the file either
    NO_FILE = auto()  # a folder that was given as the mirror has no such file
    NO_FOLDER = auto()  # the mirror that was given is a folder, and there is none
    UNSUPPORTED = auto()  # an address of a scheme that is not fetched
    NO_LIBRARY = auto()  # the library is not installed that reads its store
    NO_CREDENTIALS = auto()  # its store asks for some, and none are configured
    LOGIN_PAGE = auto()  # a page came in place of the file, perhaps from whoever runs the network


CONFIGURE_CREDENTIALS = "Configure them for the library that reads that store"  # where it says that it has none


class Other(NamedTuple):
    """What is another of a mirror's file than declared: "size" or "sha256", and how that is shown."""

    aspect: str
    shown: str


class SourceError(Exception):
    """The response is of no use."""

    def __init__(self, reason: str, *, kind: Kind | None = None) -> None:
        self.reason = printable(reason)  # it may quote what came from outside, and goes to a terminal
        super().__init__(self.reason)
        self.kind = kind
        self.other: Other | None = None  # what the mirror has in place of the file, if that is known
        self.status: int | None = None  # of HTTP, where it is the status that is of no use
        self.by_kept = False  # that status came by a connection that was kept from an earlier request

    @property
    def is_of_the_way(self) -> bool:
        """Whether the mirror was not reached, or had a bad day: that says nothing about the file."""
        return self.kind in (Kind.NO_NETWORK, Kind.NO_ANSWER, Kind.NO_LIBRARY, Kind.NO_CREDENTIALS)

    def as_permanent(self) -> PermanentError:
        """Return the same failure, once it is not to be tried again."""
        permanent = PermanentError(self.reason, kind=self.kind)
        permanent.other, permanent.status = self.other, self.status
        return permanent


class PermanentError(SourceError):
    """A retry would not help."""


class RetriesExhausted(PermanentError):
    """A retry might help one day, but there were enough of them."""

    @property
    def is_of_the_way(self) -> bool:
        """Whether nothing is known of the mirror's file."""
        return self.other is None


class Dripping(RetriesExhausted):
    """Its bytes come, and so slowly that a retry would give no more of them."""


class TransientError(SourceError):
    """A retry may help."""

    def __init__(self, reason: str, *, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class ConnectionLost(TransientError):
    """The connection ended too early."""

    def __init__(self) -> None:
        super().__init__("the connection was lost")


class TooSlow(TransientError):
    """Nothing comes, or hardly anything."""


class RangeNotSupported(SourceError):
    """The mirror cannot go on from where the part ends; it may still give the whole."""


class WrongContent(SourceError):
    """The bytes are not the declared ones."""


@dataclass
class Response:
    """A body on its way.

    Attributes:
        start: Where in the file its first byte belongs.
        length: The bytes of this body, if the mirror says so.
        total: The bytes of the whole file, if the mirror says so.
        encoding: The Content-Encoding, lower case; "" for none.
        validator: What to send as If-Range to be sure of the same file again.
        headers: The header fields as they came.
        redirects: Those of each redirect on the way, the first first.
        status: The status of HTTP; 200 of a folder's file, too.
        tls: The version of TLS that it came by (``TLSv1.3``); "" for none.
        by_kept: Whether it came by a connection that was kept from an earlier request.
        chunks: The body as it arrives, not decoded.
        close: Ends the request.
    """

    start: int
    length: int | None
    total: int | None
    chunks: Iterator[bytes]
    close: Callable[[], None]
    encoding: str = ""
    validator: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    redirects: Sequence[Mapping[str, str]] = ()
    status: int = 200
    tls: str = ""
    by_kept: bool = False


class Source(Protocol):
    """A mirror: `name` as it is shown to people and remembered, without secrets; `host` to count connections by."""

    name: str
    host: str | None

    def open(self, start: int, validator: str | None) -> Response:
        """Ask for the file from byte `start` on; it may come from its beginning if the mirror prefers."""
        ...


class Fetched(NamedTuple):
    """A file that is in its place, and the stat signature of the very bytes that were hashed on their way there.

    None for the signature of one that another program has touched since: whoever wants to trust it has to hash it.
    """

    file: File
    signature: StatSignature | None


def usable_validator(value: object) -> str | None:
    """Return what a server called a file's version, if it can be said back to it as If-Range; None for all else.

    >>> usable_validator('"33a64df5"'), usable_validator("a tag\\r\\nof two lines")
    ('"33a64df5"', None)
    """
    return value if isinstance(value, str) and VALIDATOR.fullmatch(value) else None


def local_path(name: str, into: Path) -> Path:
    """Return where below `into` a file of that name belongs."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        what = f"{name!r}: a file's name may not leave its folder"
        raise StorageError(what, path=into, hint="Correct the name in the manifest.")
    return into.joinpath(*path.parts)


def is_on_disk(file: File, target: Path, dataset: str) -> bool:
    """Check whether the file is on disk, at its declared size. Raises HashMismatch if it is, at another."""
    try:
        about = target.stat()
        if about.st_size == file.bytes and stat.S_ISREG(about.st_mode):
            return True
    except FileNotFoundError:
        return False
    except OSError:
        pass  # the error is made below
    try:
        check_size(target, file, hint=fetch_again(dataset))
    except MissingFile:
        return False
    except StorageError as error:
        if error.errno in DENIED:  # another user's home, and nobody is bound to it
            error.hint = f"Ask its owner for the right to, or {ELSEWHERE} of your own."
        raise
    return True
