"""Downloads of addresses whose size and sha256 are not declared yet.

What `fetch` knows of the network holds here, too: retries, resuming, Content-Encoding, a body that was cut. But no
sha256 tells in the end whether it is right. So the rest of a file is asked for only on condition that the file is still
the same (If-Range), and what cannot be told from its beginning is refused.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch.base import (
    DEFAULT_RETRY,
    Kind,
    PermanentError,
    RangeNotSupported,
    Response,
    RetryPolicy,
    SourceError,
    TransientError,
)
from tinytorch_datasets.fetch.body import (
    GZIP,
    GZIP_MAGIC,
    GZIP_NAMES,
    Rate,
    check_rate,
    gunzip,
    is_gzip_in_gzip,
    peek,
)
from tinytorch_datasets.fetch.http import Web, shown_address
from tinytorch_datasets.fetch.mirrors import RetryCounter
from tinytorch_datasets.progress import Progress
from tinytorch_datasets.storage.files import whole_file
from tinytorch_datasets.verify.diagnose import wrong_content


class Downloaded(NamedTuple):
    """A file that came: from which address, where it is, its size and sha256, and the header fields it came with."""

    url: str
    path: Path
    bytes: int
    sha256: str
    headers: Mapping[str, str]


def download_address(
    urls: Sequence[str],
    path: Path,
    *,
    name: str,
    at_most: int | None = None,
    progress: Progress | None = None,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> Downloaded:
    """Download a file whose size and sha256 nobody knows yet, from the first of these addresses that gives it.

    Args:
        urls: http or https addresses of one file, in the order to try.
        path: Where the file is written; it appears there once it is whole.
        name: What the file is called: in errors and progress, and to know a `.gz` from a wrapping in gzip.
        at_most: How many bytes it may have; None for as many as the disk has room for.
        progress: Called with (name, bytes done, bytes in all); bytes in all is -1 while it is unknown.
        retry: How long to wait, how often to try.

    Raises:
        FetchError: No address gave it; `tried` has the reason of each.
        StorageError: It cannot be written.
    """
    failures: list[tuple[str, SourceError]] = []
    cancellation = Cancellation()
    for url in urls:
        try:
            with whole_file(path) as out:
                download = _Download(Web(url, retry, cancellation), name, out, progress, retry, cancellation)
                download.max_bytes, download.at_most = shutil.disk_usage(path.parent).free, at_most
                headers = download.run()
            return Downloaded(url, path, download.bytes, download.sha256.hexdigest(), headers)
        except SourceError as failure:
            failures.append((shown_address(url), failure))
    tried = tuple((url, failure.reason) for url, failure in failures)
    what = f"{name} could not be downloaded:" + "".join(f"\n  {url}: {reason}" for url, reason in tried)
    hint = "Open the address in a browser to see what it gives."
    if all(failure.kind is Kind.NO_NETWORK for _, failure in failures):
        hint = "Connect to a network, and try again."
    network_failed = all(failure.is_of_the_way for _, failure in failures)
    raise FetchError(what, hint=hint, file=name, tried=tried, network_failed=network_failed)


class _Download:
    """The download from one address."""

    def __init__(
        self,
        web: Web,
        name: str,
        out: IO[bytes],
        progress: Progress | None,
        retry: RetryPolicy,
        cancellation: Cancellation,
    ) -> None:
        self._web, self._name, self._out, self._progress = web, name, out, progress
        self._retry, self._cancellation = retry, cancellation
        self.bytes, self.sha256, self.max_bytes = 0, hashlib.sha256(), 0
        self.at_most: int | None = None
        self._total: int | None = None
        self._validator: str | None = None  # of what came so far, if the rest may be asked for

    def run(self) -> Mapping[str, str]:
        """Download all of it, with retries. Returns the header fields of the last response."""
        retries, drip = RetryCounter(0, self._retry), Rate(self._retry.drip_bytes_per_s, self._retry.drip_window_s)
        while True:
            try:
                with drip:
                    headers = self._ask(drip)
                self._report(self.bytes)
                return headers
            except RangeNotSupported as failure:
                if self._validator is None:
                    raise failure.as_permanent() from failure
                self._start_over()
            except TransientError as failure:
                self._cancellation.sleep(retries.wait_after(failure, self.bytes))

    def _ask(self, drip: Rate) -> Mapping[str, str]:
        response = self._web.open(self.bytes if self._validator else 0, self._validator)
        with closing(response):
            body: Iterator[bytes] = check_rate(response.chunks, drip)
            if response.start == 0:
                self._start_over()
                body = self._check_head(response, body)
            elif response.total != self._total:
                reason = "changed while it was downloaded"
                raise RangeNotSupported(reason)
            self._report(self._total or -1)
            for chunk in body:
                self._cancellation.check()
                if self.at_most is not None and self.bytes + len(chunk) > self.at_most:
                    reason = f"gives more than {self.at_most:,} bytes"
                    raise PermanentError(reason)
                self._out.write(chunk)
                self.sha256.update(chunk)
                self.bytes += len(chunk)
                if self.bytes != self._total:
                    self._report(self._total or -1)
        if self._total is not None and self.bytes != self._total:
            reason = f"was cut off after {self.bytes:,} of {self._total:,} bytes"
            raise TransientError(reason)
        if not self.bytes:
            reason = "gives an empty file"
            raise PermanentError(reason)
        return response.headers

    def _check_head(self, response: Response, body: Iterator[bytes]) -> Iterator[bytes]:
        """Return the body, unpacked if it is wrapped. Refuse a page or an error in place of a file."""
        if response.encoding and response.encoding not in GZIP:
            reason = f"sends Content-Encoding {response.encoding}, which was not asked for"
            raise PermanentError(reason)
        head, body = peek(body)
        body = chain(filter(None, [head]), body)
        is_wrapped = response.encoding in GZIP and self._is_wrapping(head)
        if is_wrapped:
            head, body = peek(gunzip(body, at_most=self.max_bytes))
            body = chain(filter(None, [head]), body)
        else:
            self._total = response.total
            self._validator = response.validator  # a range of a wrapping is no range of the file
        if what := wrong_content(head, self._name):
            reason = f"gives {what}"
            raise PermanentError(reason)
        return body

    def _is_wrapping(self, head: bytes) -> bool:
        """Check whether a body called gzip wraps the file. Many servers call a .gz so, and send that very file."""
        if self._name.lower().endswith(GZIP_NAMES):
            return is_gzip_in_gzip(head)
        return bool(head) and head[:2] == GZIP_MAGIC[: len(head)]  # of which a cut may have left one byte

    def _start_over(self) -> None:
        self._out.seek(0)
        self._out.truncate()
        self.bytes, self.sha256 = 0, hashlib.sha256()
        self._total = self._validator = None

    def _report(self, total: int) -> None:
        if self._progress is not None:
            self._progress(self._name, self.bytes, total)
