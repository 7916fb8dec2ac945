"""Mirrors in stores: verified copies of downloads in a bucket, with SHA256SUMS.

What is in a folder of `copy.py` is at the same paths below an address. Each file is hashed on this computer, put, and
compared with what the store then has: by a digest that it states, or by reading all of it. SHA256SUMS comes last, so
what it lists is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from tinytorch_datasets import pipeline
from tinytorch_datasets.digests import digest, open_file
from tinytorch_datasets.errors import DatasetError, FetchError
from tinytorch_datasets.fetch import (
    CONFIGURE_CREDENTIALS,
    DEFAULT_RETRY,
    Cancellation,
    Kind,
    RetryPolicy,
    SourceError,
    Stored,
    check_mirror,
    fetch,
    with_retries,
)
from tinytorch_datasets.manifest.filenames import is_remote, refuse_offline, without_secrets
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.mirror.copy import (
    DELETE_SUMS,
    MOST_SUMS,
    SUMS,
    TOO_LONG,
    Mirrored,
    copies_of,
    earlier,
    first_that_can_be_had,
    format_sums,
    is_too_long,
    lines_of,
)
from tinytorch_datasets.pipeline.standin import refuse_standin
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.settings import Settings
from tinytorch_datasets.storage.files import read_file, reading
from tinytorch_datasets.verify.files import check_size, mismatch_error

CHUNK_BYTES = 2**20
RUN_AGAIN = "Run it again: what is there already is left alone."
T = TypeVar("T")


def mirror_to_store(
    manifest: Manifest,
    address: str,
    names: Sequence[str],
    *,
    home: str | os.PathLike[str] | None = None,
    source: str | None = None,
    offline: bool | None = None,
    on_done: Callable[[Mirrored], None] = lambda mirrored: None,
    on_error: Callable[[DatasetError], None] | None = None,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> list[Mirrored]:
    """Put the verified files of the named data sets below an address of a store, as `copy.mirror` does in a folder.

    A file that the store has already, with the right digest, is left alone.

    Raises:
        UsageError: A variable asks for stand-in data, the address has credentials or a query, or sockets are forbidden.
        MissingLibrary: The library is not installed that reads that store.
        FetchError: A file could not be fetched, or not be put into the store.
        VerifyError: A file on this computer is not the declared one.
        StorageError: A file on this computer cannot be read.
    """
    refuse_standin("a mirror")
    check_mirror(address)
    if is_remote(address):
        refuse_offline("a mirror in a store", offline=offline, hint="name a folder.")
    settings = Settings.from_environment(offline=offline)
    bucket = _Bucket(address.rstrip("/"), retry)
    bucket.check_library()
    results: list[Mirrored] = []
    errors: list[DatasetError] = []
    sums: dict[str, str] = {}
    for plan, locations in [pipeline.placed(manifest, name, home) for name in names or manifest.own]:
        download = partial(
            fetch,
            folder=plan.folder,
            mirror=source or settings.mirror,
            stores=settings.stores,
            offline=settings.offline,
            locks=locations.cache / "locks",
            dataset=plan.name,
        )
        try:
            containers = pipeline.containers(plan, locations, source or settings.mirror)
            plan = first_that_can_be_had(containers, download)
            copied = [bucket.keep(f"{plan.folder}/{file.name}", plan, file) for file in plan.files]
            sums |= {f"{plan.folder}/{file.name}": file.sha256 for file in plan.files}
            sizes = sum(file.bytes for file in plan.files)
            results.append(Mirrored(plan.name, sum(copied), len(copied) - sum(copied), sizes))
        except DatasetError as error:
            errors.append(error)
            if on_error is not None:
                on_error(error)
        else:
            on_done(results[-1])
    if sums or not errors:
        copies = copies_of(manifest)
        for name, layer in copies.items():
            bucket.write(name, read_file(layer.path))
        listed = {line.name: line.sha256 for line in lines_of(bucket.read(SUMS)) if line.name}
        own = {name: layer.sha256 for name, layer in copies.items()}
        bucket.write(SUMS, format_sums({**earlier(manifest, listed), **sums, **own}))
    if errors and on_error is None:
        raise errors[0]
    return results


class _Bucket:
    """What is below an address of a store."""

    def __init__(self, address: str, retry: RetryPolicy) -> None:
        self._address, self._retry, self._cancellation = address, retry, Cancellation()

    def check_library(self) -> None:
        """Raise MissingLibrary if what reads it is not installed."""
        if missing := self._at(SUMS).missing:
            raise missing

    def keep(self, name: str, plan: Plan, file: File) -> bool:
        """Put a file of this computer there, unless it is there already; return whether it was put."""
        path = plan.root / file.name
        check_size(path, file, hint=plan.hint)
        with reading(path, where=file.where, hint=plan.hint):
            of_file = digest(path, md5_too=True)
        if of_file.sha256 != file.sha256:
            raise mismatch_error(path, file, of_file.sha256, hint=plan.hint)
        facts = (of_file.bytes, of_file.sha256, of_file.md5 or "")
        if self._has(name, *facts):
            return False
        self._put(name, lambda: _chunks(path), facts)
        return True

    def write(self, name: str, data: bytes) -> None:
        """Put a small file there, unless it is there already just so."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        facts = (len(data), hashlib.sha256(data).hexdigest(), md5)
        if not self._has(name, *facts):
            self._put(name, lambda: iter([data]), facts)

    def read(self, name: str) -> bytes:
        """Return a list of sums that is there; nothing if none is.

        Raises:
            FetchError: It is too long to be one: taken for an empty one, it would be replaced.
        """
        at = self._at(name)
        if self._ask(name, at.facts) is None:
            return b""

        def read() -> bytes:
            text = bytearray()
            with closing(_body(at)) as body:
                while len(text) <= MOST_SUMS and (chunk := next(body, b"")):
                    text += chunk
            return bytes(text)

        sums = self._ask(name, read)
        if is_too_long(sums):
            raise self._error(name, f"it {TOO_LONG}", hint=DELETE_SUMS)
        return sums

    def _put(self, name: str, chunks: Callable[[], Iterable[bytes]], facts: tuple[int, str, str]) -> None:
        at = self._at(name)
        try:
            with_retries(lambda: at.put(chunks()), self._retry, self._cancellation)
        except SourceError as failure:
            if failure.kind is not Kind.NO_FILE:
                raise self._failed(name, failure) from None
            raise self._error(name, "there is no such bucket", hint="Make it, or correct the address.") from None
        if not self._has(name, *facts):
            raise self._error(name, "it has other bytes than those that were put")

    def _has(self, name: str, size: int, sha256: str, md5: str) -> bool:
        at = self._at(name)
        facts = self._ask(name, at.facts)
        if facts is None or facts.size != size:
            return False
        if sha256 in facts.digests or md5 in facts.digests:
            return True

        def hashed() -> str:
            now = hashlib.sha256()
            for chunk in _body(at):
                now.update(chunk)
            return now.hexdigest()

        return self._ask(name, hashed) == sha256

    def _at(self, name: str) -> Stored:
        return Stored(f"{self._address}/{name}", self._retry, self._cancellation)

    def _ask(self, name: str, ask: Callable[[], T]) -> T:
        try:
            return with_retries(ask, self._retry, self._cancellation)
        except SourceError as failure:
            raise self._failed(name, failure) from None

    def _failed(self, name: str, failure: SourceError) -> FetchError:
        hint = f"{CONFIGURE_CREDENTIALS}, and run it again." if failure.kind is Kind.NO_CREDENTIALS else RUN_AGAIN
        return self._error(name, failure.reason, network_failed=failure.is_of_the_way, hint=hint)

    def _error(self, name: str, reason: str, *, network_failed: bool = False, hint: str | None = None) -> FetchError:
        address = without_secrets(f"{self._address}/{name}")
        what = f"{name} could not be put into the store:\n  {address}: {reason}"
        hint = RUN_AGAIN if hint is None else hint
        return FetchError(what, hint=hint, file=name, tried=((address, reason),), network_failed=network_failed)


def _body(at: Stored) -> Generator[bytes]:
    response = at.open(0, None)
    with closing(response):
        yield from response.chunks


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb", opener=open_file) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
