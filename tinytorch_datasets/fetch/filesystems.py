"""Files in stores, by fsspec: S3, Google's, Azure's, Hugging Face's, and memory.

A store's library knows its protocol, and takes its credentials from its own configuration: the environment, files in
the home folder. From a manifest it gets an address and nothing else. What it gives passes the way that a mirror's
bytes pass; its exceptions become `SourceError`s in our words, because its own may quote keys.

Every call is made in a thread that is left alone at its deadline: a library that waits for ever, waits by itself.
"""

from __future__ import annotations

import base64
import errno
import http
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.errors import MissingLibrary
from tinytorch_datasets.fetch.base import (
    ConnectionLost,
    Kind,
    PermanentError,
    RangeNotSupported,
    Response,
    RetryPolicy,
    SourceError,
    TooSlow,
    TransientError,
)
from tinytorch_datasets.fetch.http import TRY_AGAIN, causes_of, shown_address, source_error_of
from tinytorch_datasets.settings import STORES, scheme_of

# A block is one request. It grows while it comes at once and shrinks where it does not, so that the deadline of a block
# is one of a rate, as far as can be.
FIRST_BLOCK, LEAST_BLOCK, LARGEST_BLOCK = 2**16, 2**14, 2**22
AT_ONCE_S, LONG_S = 0.5, 2.0
PUT_BLOCK, PUT_S = 2**23, 24 * 60 * 60.0  # what is written has the deadlines of the library alone


class Library(NamedTuple):
    """What reads the files of a store: a module, the extra that brings it, and where it finds its credentials."""

    module: str
    extra: str
    configuration: str


LIBRARIES = {
    "s3": Library(
        "s3fs",
        "s3",
        "AWS_PROFILE and ~/.aws, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
        "for a public bucket, FSSPEC_S3_ANON=true",
    ),
    "gs": Library("gcsfs", "gs", "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`"),
    "az": Library("adlfs", "az", "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and _KEY"),
    "hf": Library("huggingface_hub", "hf", "HF_TOKEN, or `hf auth login`"),
    "memory": Library("fsspec", "cloud", "nothing"),
}
assert LIBRARIES.keys() == set(STORES)

# Names of exceptions, in whichever of the libraries: no credentials are configured, or they cannot be used.
NO_CREDENTIALS = frozenset({
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound", "SSOError",
    "DefaultCredentialsError", "RefreshError", "ClientAuthenticationError", "LocalTokenNotFoundError",
})  # fmt: skip
LOST = frozenset({"IncompleteRead", "ServerDisconnectedError", "ClientPayloadError", "ConnectionClosedError"})
TIMEOUTS = frozenset({"FSTimeoutError", "ConnectTimeoutError", "ReadTimeoutError", "ServerTimeoutError"})
MISSING = frozenset({"EntryNotFoundError", "RevisionNotFoundError", "ResourceNotFoundError"})
HIDDEN = frozenset({"RepositoryNotFoundError", "GatedRepoError"})  # Hugging Face tells nobody which of them exist
BUSY = frozenset({errno.EBUSY, errno.EAGAIN, getattr(errno, "EREMOTEIO", errno.EIO)})  # s3fs', of 503 and of 500

# Headers of S3 that say whether an ETag is an MD5.
ENCRYPTION = "X-Amz-Server-Side-Encryption"
TELLING = ("ETag", "Server", "Last-Modified", ENCRYPTION, f"{ENCRYPTION}-Customer-Algorithm")

T = TypeVar("T")


def missing_module(scheme: str) -> str:
    """Return the module that is not installed and reads addresses of a scheme; "" if one does, or is registered."""
    from importlib.util import find_spec

    if find_spec("fsspec") is None:
        return "fsspec"
    import fsspec

    module = LIBRARIES[scheme].module
    return "" if scheme in fsspec.registry or find_spec(module) is not None else module


def missing_library(address: str) -> MissingLibrary | None:
    """Return the error that the library is not installed which reads an address; None if it is."""
    scheme = scheme_of(address)
    if not (module := missing_module(scheme)):
        return None
    needing = f"{shown_address(address)}: an address with {scheme}://"
    return MissingLibrary(needing, module, LIBRARIES[scheme].extra)


# A call of fetch has file systems of its own, by scheme: the next one reads the environment again.
_opened: WeakKeyDictionary[Cancellation, dict[str, Any]] = WeakKeyDictionary()
_opening = threading.Lock()


def open_filesystem(scheme: str, cancellation: Cancellation, retry: RetryPolicy) -> Any:
    """Return the file system of a scheme, the same for all that one cancellation cancels."""
    import fsspec

    with _opening:
        of_call = _opened.setdefault(cancellation, {})
        if scheme not in of_call:
            options: dict[str, Any] = {}
            if scheme == "s3":  # whose library would wait minutes, and try again by itself
                own = dict(fsspec.config.conf.get("s3", {}).get("config_kwargs", {}))
                limits = {"connect_timeout": retry.connect_timeout_s, "read_timeout": retry.read_timeout_s}
                options["config_kwargs"] = {**limits, "retries": {"max_attempts": 0}, **own}
            files = fsspec.filesystem(scheme, skip_instance_cache=True, **options)
            if scheme == "s3":
                files.retries = 1
            of_call[scheme] = files
        return of_call[scheme]


@dataclass(frozen=True)
class Facts:
    """What a store says of a file without giving it: its size, what tells it from a later one, and headers."""

    size: int | None
    validator: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    digests: frozenset[str] = frozenset()  # of the file, in hex, sha256 or MD5; an ETag may be another thing


class Stored:
    """One file at one address of a store."""

    def __init__(self, address: str, retry: RetryPolicy, cancellation: Cancellation) -> None:
        self.scheme = scheme_of(address)
        self.address = f"{self.scheme}://{address.partition('://')[2]}"
        self.name = shown_address(self.address)
        self.host: str | None = None if self.scheme == "memory" else "/".join(self.address.split("/", 3)[:3])
        self._retry, self._cancellation = retry, cancellation

    @property
    def missing(self) -> MissingLibrary | None:
        """The error that its library is not installed; None if it is."""
        return missing_library(self.address)

    def facts(self) -> Facts | None:
        """Return the facts of the file; None if there is none."""
        files, path = self._find()
        try:
            return self.call(partial(facts_of, files, path))
        except SourceError as failure:
            if failure.kind is Kind.NO_FILE:
                return None
            raise

    def put(self, chunks: Iterable[bytes]) -> None:
        """Write the file. Where it cannot be written whole, there is none, or the one that was there."""
        files, path = self._find()

        def write() -> None:
            stream = files.open(path, "wb", block_size=PUT_BLOCK)
            try:
                for chunk in chunks:
                    self._cancellation.check()
                    stream.write(chunk)
            except BaseException:
                with suppress(Exception):  # what it makes of half a file
                    stream.discard()
                with suppress(Exception):  # or most libraries would put what there is, once nobody refers to it
                    stream.closed = True
                raise
            stream.close()

        self.call(write, within_s=PUT_S)

    def _find(self) -> tuple[Any, str]:
        """Return the file system, and where in it the file is."""
        if missing := self.missing:
            reason = f"it needs {missing.name}, which is not installed ({missing.hint})"
            raise PermanentError(reason, kind=Kind.NO_LIBRARY)
        opened = partial(open_filesystem, self.scheme, self._cancellation, self._retry)
        files = self.call(opened, within_s=self._retry.response_timeout_s)  # its library is imported, too
        return files, files._strip_protocol(self.address)

    def open(self, start: int, validator: str | None) -> Response:
        """Open the file from byte `start` on, or from its beginning if it is another one than it was."""
        files, path = self._find()
        facts = self.call(partial(facts_of, files, path))
        if start and facts.size is not None and start > facts.size:
            reason = f"has no bytes from {start:,} on"
            raise RangeNotSupported(reason)
        if validator is not None and facts.validator != validator:
            start = 0
        read, close = self.call(partial(_reader, files, path))
        return Response(
            start=start,
            length=None if facts.size is None else facts.size - start,
            total=facts.size,
            chunks=self._chunks(read, start, facts.size),
            close=close,
            validator=facts.validator,
            headers=facts.headers,
        )

    def _chunks(self, read: Callable[[int, int], bytes], at: int, total: int | None) -> Iterator[bytes]:
        size = FIRST_BLOCK
        while total is None or at < total:
            until = at + size if total is None else min(at + size, total)
            begun = time.monotonic()
            chunk = self.call(partial(read, at, until))
            took = time.monotonic() - begun
            if not chunk:
                if total is not None:  # a list that is cut would look like a short one
                    raise ConnectionLost
                return
            yield chunk
            at += len(chunk)
            if took < AT_ONCE_S:
                size = min(2 * size, LARGEST_BLOCK)
            elif took > LONG_S:
                size = max(size // 2, LEAST_BLOCK)

    def call(self, ask: Callable[[], T], *, within_s: float | None = None) -> T:
        """Return what a call of the library returns, within the time that a read may take; its errors in our words."""
        within_s = within_s or self._retry.read_timeout_s
        answers: list[T] = []
        errors: list[BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                answers.append(ask())
            except BaseException as error:  # raised again by whoever waits
                errors.append(error)
            done.set()

        until = time.monotonic() + within_s
        try:
            try:
                threading.Thread(target=run, name="tinytorch-datasets-store", daemon=True).start()
            except RuntimeError:  # no thread is left
                run()
            while not done.wait(self._retry.poll_s):
                self._cancellation.check()
                if time.monotonic() >= until:
                    reason = f"nothing came for {within_s:g} s"
                    raise TooSlow(reason)
        except KeyboardInterrupt:  # a store keeps, and charges for, the parts of a file that is not given up
            self._cancellation.cancel()
            done.wait(self._retry.cancel_wait_s)
            raise
        self._cancellation.check()
        if errors:
            error = errors.pop()
            raise error if isinstance(error, SourceError) else self._source_error(error) from error
        return answers.pop()

    def _source_error(self, error: BaseException) -> SourceError:
        """Return the SourceError that an exception of the library stands for; it quotes nothing of it."""
        causes = list(causes_of(error))
        names = {base.__name__ for cause in causes for base in type(cause).__mro__}
        configuration = LIBRARIES[self.scheme].configuration
        status = next(filter(None, map(_status_of, causes)), None)
        if names & NO_CREDENTIALS:
            reason = f"no credentials that can be used are configured ({configuration})"
            return PermanentError(reason, kind=Kind.NO_CREDENTIALS)
        if names & HIDDEN:
            return PermanentError(f"there is no such repository, or it is not for everybody ({configuration})")
        if names & MISSING or isinstance(error, FileNotFoundError) or status == 404:
            return PermanentError("there is no such file", kind=Kind.NO_FILE)
        if isinstance(error, IsADirectoryError):
            return PermanentError("what is there is no file")
        if isinstance(error, PermissionError) or status in (401, 403):
            failure: SourceError = PermanentError(f"access was denied (credentials are from {configuration})")
            failure.status = status or 403
            return failure
        if status in TRY_AGAIN or (type(error) is OSError and error.errno in BUSY):
            failure = TransientError(f"{status or 503} {http.HTTPStatus(status or 503).phrase}")
            failure.status = status or 503
            return failure
        if names & TIMEOUTS:
            return TooSlow(f"nothing came for {self._retry.read_timeout_s:g} s")
        if names & LOST:
            return ConnectionLost()
        if status is not None and status >= 400:
            failure = PermanentError(f"{status}, which is no answer of a file")
            failure.status = status
            return failure
        if isinstance(error, OSError | ConnectionError) or len(causes) > 1:
            return source_error_of(error, self._retry, self.address)
        return PermanentError(f"its library gave up ({type(error).__name__})")


def _reader(files: Any, path: str) -> tuple[Callable[[int, int], bytes], Callable[[], None]]:
    """Return what reads a range of a file's bytes, and what ends that: never the whole, and nothing ahead."""
    if getattr(files, "async_impl", False) or "memory" in files.protocol:  # by whose open files readers share a place
        return lambda start, end: bytes(files.cat_file(path, start=start, end=end)), lambda: None
    stream = files.open(path, "rb", block_size=LARGEST_BLOCK, cache_type="none")

    def read(start: int, end: int) -> bytes:
        stream.seek(start)
        return bytes(stream.read(end - start))

    def close() -> None:
        with suppress(Exception):  # whatever it read is what counts
            stream.close()

    return read, close


def facts_of(files: Any, path: str) -> Facts:
    """Ask a store for the facts of a file, digests among them as headers that state them."""
    info = _s3_head(files, path) if hasattr(files, "call_s3") else files.info(path)
    if info.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, "a folder", path)
    headers = dict(info.get("headers", {}))
    md5 = info.get("md5Hash") or (info.get("content_settings") or {}).get("content_md5")  # Google's, Azure's
    if md5:
        headers["Content-MD5"] = md5 if isinstance(md5, str) else base64.b64encode(bytes(md5)).decode()
    large = info.get("lfs")
    if sha256 := getattr(large, "sha256", None) or (large.get("sha256") if isinstance(large, dict) else None):
        headers["X-Linked-ETag"] = f'"{sha256}"'
    keys = ("ETag", "etag", "generation", "blob_id", "mtime", "created")
    validator = next((str(info[key]) for key in keys if info.get(key)), None)
    size = info.get("size")
    digests = frozenset(map(str, filter(None, (sha256, info.get("sha256"), str(info.get("ETag", "")).strip('"')))))
    if md5:
        digests |= {base64.b64decode(headers["Content-MD5"]).hex()}
    return Facts(size if isinstance(size, int) else None, validator, headers, digests)


def _s3_head(files: Any, path: str) -> dict[str, Any]:
    """Ask S3 for the head of an object, with its checksum: `info` leaves out all that tells an ETag from an MD5."""
    bucket, key, version = files.split_path(path)
    of_version = {"VersionId": version} if version else {}
    head = files.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED", **of_version)
    sent = {name.lower(): value for name, value in head["ResponseMetadata"]["HTTPHeaders"].items()}
    headers = {name: sent[name.lower()] for name in TELLING if name.lower() in sent}
    checksum, sha256 = head.get("ChecksumSHA256", ""), ""
    if checksum and head.get("ChecksumType") != "COMPOSITE" and "-" not in checksum:  # which is of digests of parts
        headers["Repr-Digest"] = f"sha-256=:{checksum}:"
        sha256 = base64.b64decode(checksum).hex()
    return {"size": head["ContentLength"], "ETag": head.get("ETag"), "headers": headers, "sha256": sha256}


def _status_of(error: BaseException) -> int | None:
    """Return the status of HTTP that an exception carries, wherever its library puts it."""
    response = getattr(error, "response", None)
    places = [getattr(error, name, None) for name in ("status_code", "status", "code")]
    places += [getattr(response, "status_code", None)]
    if isinstance(response, dict):
        places.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return next((place for place in places if type(place) is int and 400 <= place < 600), None)
