"""Fetching of missing files, verified, from mirrors, folders and other libraries.

    fetch               all files of a data set, each from the first mirror that gives the declared bytes
    Fetched             one of them, and its stat signature
    leftovers           what interrupted fetches of a file have left beside it
    library_folders     where other libraries keep what they downloaded
    ReusableFiles       files in such folders that have the size of declared ones
    download_address    one file of which neither size nor sha256 are declared yet
    RetryPolicy         timeouts, retries, limits
    Web                 one address: gives a Response, or raises a SourceError
    with_retries        asks again after a TransientError, until RetriesExhausted
    Cancellation        cancels all threads of a fetch
    list_sources        every place that may hold a file, each a Source to open
    open_address        what one address has, read as it comes
    open_declared       what one address has of a declared file, unpacked where it is wrapped
    Stored              one file in a store: gives a Response, its facts; takes other bytes
    LIBRARIES           what reads the addresses of stores, by scheme
    check_mirror        refuses a mirror after whose address no file's name can follow
    network_variables   what the environment says of proxies and certificates, and what is wrong with it
    unread_certificates  a variable for others' certificates, which is not read here

One file's way: its lock (`storage.lock`), a file that another library keeps, its mirrors one after the other
(`mirrors`, over `sources` and `http`), the bytes so far (`partial`), their hash, the
move into place.
What can go wrong on the way, and what then happens, is a table in docs/network.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_datasets.concurrency import Cancellation, collection_paused
from tinytorch_datasets.fetch.base import (
    CONFIGURE_CREDENTIALS,
    DEFAULT_RETRY,
    Fetched,
    Kind,
    Response,
    RetriesExhausted,
    RetryPolicy,
    Source,
    SourceError,
    TransientError,
    is_on_disk,
    local_path,
)
from tinytorch_datasets.fetch.partial import leftovers
from tinytorch_datasets.plan import File
from tinytorch_datasets.progress import Progress

if TYPE_CHECKING:
    from tinytorch_datasets.fetch.address import Downloaded, download_address
    from tinytorch_datasets.fetch.connection import network_variables, unread_certificates
    from tinytorch_datasets.fetch.filesystems import LIBRARIES, Stored
    from tinytorch_datasets.fetch.http import Web
    from tinytorch_datasets.fetch.mirrors import with_retries
    from tinytorch_datasets.fetch.sources import (
        ReusableFiles,
        check_mirror,
        library_folders,
        list_sources,
        open_address,
        open_declared,
    )


__all__ = [
    "Downloaded",
    "download_address",
    "CONFIGURE_CREDENTIALS",
    "DEFAULT_RETRY",
    "Response",
    "Fetched",
    "RetriesExhausted",
    "TransientError",
    "Kind",
    "RetryPolicy",
    "Cancellation",
    "Source",
    "SourceError",
    "Web",
    "check_mirror",
    "list_sources",
    "open_address",
    "open_declared",
    "LIBRARIES",
    "Stored",
    "network_variables",
    "unread_certificates",
    "fetch",
    "leftovers",
    "with_retries",
    "library_folders",
    "ReusableFiles",
]

# Imported when they are asked for: with them comes what a cached data set never needs.
_LATER = {
    "Web": "http",
    "with_retries": "mirrors",
    "Downloaded": "address",
    "download_address": "address",
    "library_folders": "sources",
    "ReusableFiles": "sources",
    "check_mirror": "sources",
    "list_sources": "sources",
    "open_address": "sources",
    "open_declared": "sources",
    "LIBRARIES": "filesystems",
    "Stored": "filesystems",
    "network_variables": "connection",
    "unread_certificates": "connection",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


def fetch(
    files: Sequence[File],
    into: Path,
    *,
    folder: str,
    mirror: str | None = None,
    stores: Sequence[str] = (),
    offline: bool = False,
    locks: Path,
    progress: Progress | None = None,
    dataset: str = "",
    reuse_from: Sequence[Path] | None = None,
    retry: RetryPolicy = DEFAULT_RETRY,
    extra_bytes: int = 0,
    cancellation: Cancellation | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> list[Fetched]:
    """Fetch what is missing of a data set's files.

    A file that is here already, at its declared size, is left alone and not even hashed.

    Args:
        files: What is declared: name, size, sha256 and addresses of each file.
        into: The folder for them; made if it is missing.
        folder: That folder's name on a mirror, whose files are at ``<mirror>/<folder>/<name>``.
        mirror: What to try before the declared addresses: an http or https address, one of a store, or a folder.
        stores: Homes in stores (``s3://bucket/home``), which are read before all else.
        offline: Open no socket. A folder as `mirror`, and files that other libraries keep, may still be used.
        locks: The folder for the lock files that let parallel processes share one download.
        progress: Called with (file name, bytes done, bytes in all), and with all of them done exactly once: when
            the file is in its place. None for bars on a terminal, and one plain line a file elsewhere, on stderr.
        dataset: The data set's name, for the commands in errors.
        reuse_from: Folders to look in before downloading; None for `library_folders()`.
        retry: How long to wait, how often to try.
        extra_bytes: What will be written there afterwards, as decoded arrays are; the disk must have room for both.
        cancellation: What else may cancel it, and nothing after it: it is cancelled when this returns.
        meanwhile: Called in this thread once the first bytes have come, while others do; not if nothing is missing.
            What is wrong with a download is raised after it has returned.

    Returns:
        Those fetched now, each hashed on its way in, with its stat signature as it was then.

    Raises:
        UsageError: The mirror's address has a query or a fragment, or the credentials of a store.
        MissingLibrary: A file is only in stores whose library is not installed. Nothing was fetched then.
        FetchError: No mirror gave a file; it has the reason of each. What came of it is kept as `<name>.part`.
        OfflineError: Files are missing, and `offline` is set.
        StorageError: The folder cannot be written, or what is to come would not fit.
        HashMismatch: A file is here, but of another size. It is not overwritten.
    """
    into = into.absolute()
    missing = {file.name: file for file in files if not is_on_disk(file, local_path(file.name, into), dataset)}
    if not missing:
        return []
    with collection_paused():
        from tinytorch_datasets.fetch.download import Download  # and with it all that a cached data set never needs
        from tinytorch_datasets.fetch.sources import check_mirror, library_folders

    for address in (mirror, *stores):
        check_mirror(address)
    download = Download(
        files=tuple(missing.values()),
        into=into,
        folder=folder,
        mirror=mirror,
        stores=stores,
        offline=offline,
        locks=locks.absolute(),
        dataset=dataset,
        reuse_from=library_folders() if reuse_from is None else reuse_from,
        retry=retry,
        extra_bytes=extra_bytes,
        cancellation=cancellation or Cancellation(),
        meanwhile=meanwhile,
    )
    return download.run(progress)
