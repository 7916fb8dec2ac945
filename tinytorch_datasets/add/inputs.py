"""The files given to `add`: downloaded, or read where they are.

An address, or a path on this computer.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tinytorch_datasets.auditing.lint import BESIDE, walk
from tinytorch_datasets.digests import digest
from tinytorch_datasets.errors import FetchError, MissingFile, UsageError
from tinytorch_datasets.fetch import (
    DEFAULT_RETRY,
    Cancellation,
    RetryPolicy,
    SourceError,
    TransientError,
    Web,
    with_retries,
)
from tinytorch_datasets.manifest.addresses import has_credentials, secret_parameter, without_secrets
from tinytorch_datasets.progress import Progress
from tinytorch_datasets.storage.files import reading, whole_file
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, foreign


@dataclass(frozen=True)
class Source:
    """One file: its name below the data set's folder, where it is now, its size and sha256, and its address if any."""

    name: str
    path: Path
    bytes: int
    sha256: str
    url: str | None = None


def is_address(given: str) -> bool:
    """Check whether what was given is an address, and not a path."""
    return given.partition("://")[0].lower() in ("http", "https") and "://" in given


def refuse_other_addresses(given: str) -> None:
    """Refuse an address of a kind that is not fetched (ftp://, s3://): it is no path either.

    Raises:
        UsageError: It is one.
    """
    if "://" in given and not is_address(given) and not Path(given).exists():
        what = f"{without_secrets(given)}: only addresses that start with https:// or http:// are fetched"
        raise UsageError(what, hint="Download it by other means, and add the file.")


def refuse_secrets(address: str) -> None:
    """Refuse an address that carries a key of whoever copied it, or that ends on some day.

    Raises:
        UsageError: It does. The error does not show the secret.
    """
    shown = without_secrets(address)
    if has_credentials(address):
        what = f"{shown} was given with a user name or password, and a manifest is read by everyone"
        raise UsageError(what, hint="Use an address that everybody may read; or download the file, and add that.")
    if parameter := secret_parameter(address):
        what = (
            f"{shown}: {parameter} is a key or an expiry of whoever copied this address; a manifest is read by everyone"
        )
        hint = "Use the address that everybody is given; or download the file, and add that with --ship or --mirror."
        raise UsageError(what, hint=hint)


def read(given: str) -> Iterator[Source]:
    """Read the file at a path, or all data files of a folder.

    Raises:
        MissingFile: There is none.
        StorageError: One cannot be read.
    """
    path = Path(given).expanduser().absolute()
    paths = [path] if path.is_file() else [p for p in walk(path) if not any(p.match(beside) for beside in BESIDE)]
    if not paths:
        what = f"{path} holds no data file" if path.is_dir() else f"{path} is missing"
        raise MissingFile(what, hint="Name a file, a folder of files, or an address.", path=path)
    root = path if path.is_dir() else path.parent
    for data in paths:
        with reading(data, where=None, hint="Name another file."):
            digests = digest(data)
        yield Source(data.relative_to(root).as_posix(), data, digests.bytes, digests.sha256)


def download(
    urls: Sequence[str], name: str, into: Path, *, progress: Progress | None, retry: RetryPolicy = DEFAULT_RETRY
) -> Source:
    """Download a file whose size and hash nobody knows yet, from the first of these addresses that gives it.

    Raises:
        FetchError: None did; `tried` says why.
    """
    tried, stop = [], Cancellation()
    for url in urls:
        try:
            ask = partial(_once, Web(url, retry, stop), name, into / name, progress)
            return with_retries(ask, retry, stop)
        except SourceError as failure:
            tried.append((url, failure.reason))
    reasons = "\n".join(f"  {url}: {reason}" for url, reason in tried)
    what = f"{name} could not be downloaded\n{reasons}"
    raise FetchError(what, hint="Check the address in a browser.", file=name, tried=tuple(tried))


def name_of(url: str) -> str:
    """Return the file's name that an address ends in.

    >>> name_of("https://example.org/data/iris%20v1.csv?download=1")
    'iris v1.csv'
    """
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    return "".join("_" if c in '<>:"|?*\\' or not c.isprintable() else c for c in name).strip(" .") or "data"


def place(source: Source, folder: Path) -> None:
    """Copy the file to a folder, under its own name, unless it is there."""
    target = folder / source.name
    if target.exists() and target.samefile(source.path):
        return
    with whole_file(target) as out, source.path.open("rb") as stream:
        shutil.copyfileobj(stream, out, 2**20)


def _once(web: Web, name: str, into: Path, progress: Progress | None) -> Source:
    answer = web.open(0, None)
    sha256, came, head, total = hashlib.sha256(), 0, b"", answer.total or -1
    try:
        if progress is not None:
            progress(name, 0, total)
        with whole_file(into) as out:
            for chunk in answer.chunks:
                head += chunk[: HEAD_BYTES - len(head)]
                sha256.update(chunk)
                out.write(chunk)
                came += len(chunk)
                if progress is not None and came != total:
                    progress(name, came, total)
            if answer.length is not None and came != answer.length:
                reason = f"the connection ended after {came:,} of {answer.length:,} bytes"
                raise TransientError(reason)
            if page := foreign(head, name):
                reason = f"it gives {page}"
                raise SourceError(reason)
            if not came:
                reason = "it gives an empty file"
                raise SourceError(reason)
    finally:
        answer.close()
    if progress is not None:
        progress(name, came, came)
    return Source(name, into, came, sha256.hexdigest(), web.url)
