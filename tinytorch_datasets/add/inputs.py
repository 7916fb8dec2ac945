"""The files given to `add`: downloaded, or read where they are.

An address, or a path on this computer.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit

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


# A manifest is read by everyone, and for years. An address that carries the key of whoever copied it, or that ends on
# some day, does not belong into it; and it is shown nowhere, because what is shown is pasted into reports.
# Words of a parameter's name: X-Amz-Signature, downloadToken, access_token, sasExpiry.
_SECRET_WORDS = frozenset({
    "signature", "sig", "token", "jwt", "bearer", "secret", "password", "passwd", "pwd", "credential",
    "credentials", "auth", "authorization", "oauth", "apikey", "authkey", "accesskey", "accesskeyid", "hmac",
    "session", "sessionid", "ticket", "expires", "expiry", "expiration",
})  # fmt: skip
# Whole names: CloudFront's, Azure's expiry, Akamai's; and pairs of words that mean a key only together.
_SECRET_NAMES = frozenset({
    "keypairid", "policy", "se", "awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "accesskeyid", "apikey",
    "authkey", "privatekey", "secretkey", "securitykey", "sessionkey", "signkey", "userkey", "hdnea", "hdnts",
    "hdntl", "hdnt", "gda",
})  # fmt: skip
# What a key looks like, as against the name or the number of a file.
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_=+-]{16,}")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_PARAMETER = re.compile(r"(?P<name>[^=&;?#]*)=(?P<value>[^&;#]*)")


def secret_parameter(address: str) -> str:
    """Return the name of the first parameter that is a key, a signature or an expiry; "" if there is none.

    >>> secret_parameter("https://example.org/x.csv?X-Amz-Signature=1f0a"), secret_parameter("http://h/get?file=x.csv")
    ('X-Amz-Signature', '')
    """
    return next((name for name, value in _parameters(address) if _is_secret(name, value)), "")


def without_secrets(address: str) -> str:
    """Return an address as it may be shown: without a user's name and password, and with "..." for each secret.

    >>> without_secrets("https://ada:pw@example.org/x.csv?v=2&sig=1f0a")
    'https://example.org/x.csv?v=2&sig=...'
    """
    shown = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@", r"\1", address)
    path, sign, query = _split(shown)
    return path + sign + _PARAMETER.sub(_hide, query)


def _hide(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    return f"{name}=..." if _is_secret(unquote_plus(name), unquote_plus(value)) else match[0]


def _parameters(address: str) -> Iterator[tuple[str, str]]:
    for match in _PARAMETER.finditer(_split(address)[2]):
        yield unquote_plus(match["name"]), unquote_plus(match["value"])


def _split(address: str) -> tuple[str, str, str]:
    """Split an address before its query or fragment, whichever comes first: a token may be in either."""
    at = min((i for sign in "?#" if (i := address.find(sign)) >= 0), default=len(address))
    return address[:at], address[at : at + 1], address[at + 1 :]


def _is_secret(name: str, value: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    if not value:
        return False
    if "".join(words) in _SECRET_NAMES or not _SECRET_WORDS.isdisjoint(words):
        return True
    return words[-1:] == ["key"] and _RANDOM.fullmatch(value) is not None


def has_credentials(address: str) -> bool:
    """Check whether an address carries a user's name or password.

    >>> has_credentials("https://ada:pw@example.org/"), has_credentials("https://example.org/@ada")
    (True, False)
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return "@" in parts.netloc
