"""The sources of a file: mirrors in their order, folders, other libraries' files."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.digests import digest
from tinytorch_datasets.errors import UsageError, printable
from tinytorch_datasets.fetch.base import CHUNK_BYTES, Kind, PermanentError, Response, RetryPolicy, Source
from tinytorch_datasets.fetch.http import Web, shown_address
from tinytorch_datasets.manifest.filenames import has_credentials, is_remote, is_store
from tinytorch_datasets.plan import File
from tinytorch_datasets.settings import scheme_of
from tinytorch_datasets.storage.files import bytes_of
from tinytorch_datasets.storage.memmap import open_regular

if TYPE_CHECKING:
    from tinytorch_datasets.fetch.connection import Connections

_HOST = re.compile(r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+):[0-9]{1,5}(?:/.*)?|localhost(?:/.*)?")  # and port
DEEPEST = 4  # torchvision: data/MNIST/raw/train-images-idx3-ubyte.gz
FILES_LOOKED_AT = 20_000  # a folder with more is no folder of data sets, or a slow one
FILES_HASHED = 4  # of the declared size; more would cost longer than many a download


class RefusedSource:
    """An address that cannot be one of a file; it is refused once it is asked, and its reason reported with others."""

    host: str | None = None

    def __init__(self, name: str, reason: str, kind: Kind | None = None) -> None:
        self.name, self._reason, self._kind = name, reason, kind

    def open(self, start: int, validator: str | None) -> Response:
        """Refuse."""
        raise PermanentError(self._reason, kind=self._kind)


class Folder:
    """One file in a folder: a USB stick, a shared disk."""

    host: str | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = printable(str(path))

    def open(self, start: int, validator: str | None) -> Response:
        """Open the file from byte `start` on."""
        try:
            total = bytes_of(self._path)
            stream = os.fdopen(open_regular(self._path), "rb")
            stream.seek(start)
        except IsADirectoryError as error:
            reason = "what is there is no file"
            raise PermanentError(reason) from error
        except FileNotFoundError as error:
            reason = "there is no such file"
            raise PermanentError(reason, kind=Kind.NO_FILE) from error
        except OSError as error:
            reason = f"it cannot be read: {error.strerror}"
            raise PermanentError(reason) from error

        def chunks() -> Iterator[bytes]:
            try:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
            except OSError as error:
                reason = f"it cannot be read: {error.strerror}"
                raise PermanentError(reason) from error

        start = min(start, total)
        return Response(start=start, length=total - start, total=total, chunks=chunks(), close=stream.close)


def list_sources(
    file: File,
    *,
    folder: str,
    mirror: str | None,
    offline: bool,
    retry: RetryPolicy,
    cancellation: Cancellation,
    stores: Sequence[str] = (),
    connections: Callable[[], Connections] | None = None,
) -> list[Source]:
    """List every place that may hold the file: homes in stores, the given mirror, the declared addresses in order.

    The mirror is asked for the file below the data set's folder, and if it has none there, for the file itself:
    people also copy, or serve, the one folder that they need. Those on the web share the connections, if there are any.
    """
    addresses = list(file.urls)
    sources: list[Source] = []
    if mirror and (missing := missing_folder(mirror)):
        reason = "there is no such folder" + ("; an address begins with http://" if _HOST.fullmatch(mirror) else "")
        sources.append(RefusedSource(printable(str(missing)), reason, Kind.NO_FOLDER))
    elif mirror:
        addresses[:0] = [address_below(mirror, folder, file.name), address_below(mirror, "", file.name)]
    addresses[:0] = [address_below(store, folder, file.name) for store in stores]
    allowed = (address for address in dict.fromkeys(addresses) if not (offline and is_remote(address)))
    return sources + [source_at(address, retry, cancellation, connections) for address in allowed]


def source_at(
    address: str,
    retry: RetryPolicy,
    cancellation: Cancellation,
    connections: Callable[[], Connections] | None = None,
) -> Source:
    """Return the source of one address, of whichever kind it is; one on the web shares the connections."""
    if address.lower().startswith(("http://", "https://")):
        return Web(address, retry, cancellation, connections)
    if is_store(address):
        from tinytorch_datasets.fetch.filesystems import Stored

        return Stored(address, retry, cancellation)
    if (path := path_of(address)) is not None:
        return Folder(path)
    what = "this is neither http, nor https, nor a folder"  # but ftp, say
    return RefusedSource(shown_address(address), what, Kind.UNSUPPORTED)


def open_address(address: str, retry: RetryPolicy, cancellation: Cancellation) -> Response:
    """Ask one address for all that it has, to be read as it comes: one that drips is given up, as in a download."""
    from tinytorch_datasets.fetch.body import Rate, check_rate  # which a file on disk has no use for

    response = source_at(address, retry, cancellation).open(0, None)
    response.chunks = check_rate(response.chunks, Rate(retry.drip_bytes_per_s, retry.drip_window_s))
    return response


def open_declared(address: str, file: File, retry: RetryPolicy, cancellation: Cancellation) -> Response:
    """Ask one address for a declared file, as `open_address` does; what it wraps in gzip is unpacked, as in a download.

    Raises:
        PermanentError: It is wrapped in something else.
    """
    from tinytorch_datasets.fetch.body import GZIP, GZIP_NAMES, gunzip, is_gzip_in_gzip, peek

    response = open_address(address, retry, cancellation)
    if not response.encoding or response.length == file.bytes:  # which is the very file, called so
        return response
    with ExitStack() as opened:
        opened.callback(response.close)
        if response.encoding not in GZIP:
            reason = f"sends Content-Encoding {response.encoding}, which was not asked for"
            raise PermanentError(reason)
        is_wrapped = True
        if file.name.lower().endswith(GZIP_NAMES):
            head, body = peek(response.chunks)
            is_wrapped, response.chunks = is_gzip_in_gzip(head), chain(filter(None, [head]), body)
        if is_wrapped:
            response.chunks = gunzip(response.chunks, at_most=file.bytes + 1)
        opened.pop_all()
    return response


def check_libraries(
    files: Iterable[File], *, folder: str, mirror: str | None, offline: bool, stores: Sequence[str] = ()
) -> None:
    """Check that each file has an address that can be asked with the libraries that are installed.

    Raises:
        MissingLibrary: All addresses of a file are in stores whose libraries are not installed.
    """
    missing: dict[str, str] = {}
    for file in files:
        given = [address_below(each, folder, file.name) for each in (*stores, *filter(None, [mirror]))]
        addresses = [address for address in (*given, *file.urls) if not (offline and is_remote(address))]
        if not addresses or not all(map(is_store, addresses)):
            continue
        from tinytorch_datasets.fetch.filesystems import missing_library, missing_module

        schemes = {scheme_of(address) for address in addresses}
        missing |= {scheme: missing_module(scheme) for scheme in schemes - missing.keys()}
        if all(missing[scheme] for scheme in schemes) and (error := missing_library(addresses[0])):
            raise error.with_context(where=file.where or None)


def check_mirror(mirror: str | None) -> None:
    """Refuse a mirror's address that leads to no file: after a query or a fragment, a name is no part of the path.

    Raises:
        UsageError: It has one, names no host, is of another computer's folder, or of a store, with credentials or
            without a bucket. The error does not show a key in it.
    """
    sign = next((sign for sign in "?#" if sign in (mirror or "")), "")
    scheme, slashes, rest = (mirror or "").partition("://")
    host = rest.partition("/")[0]
    if slashes and scheme.lower() == "file" and host.lower() not in ("", "localhost"):
        what = f"the mirror {shown_address(f'file://{rest}')} is on another computer; file:/// has three slashes"
        raise UsageError(what, hint="Name a folder that this computer opens.")
    if slashes and scheme.lower() in ("http", "https") and not host.partition(":")[0]:
        what = f"the mirror {shown_address(f'{scheme}://{rest}')} names no host"
        raise UsageError(what, hint=f"Write it as {scheme}://host/folder.")
    if slashes and not host and is_store(f"{scheme}://") and scheme.lower() != "memory":
        what = f"the mirror {scheme}:// names no bucket"
        raise UsageError(what, hint=f"Write it as {scheme}://bucket/folder.")
    if mirror and is_store(mirror) and not slashes:
        what = f"the mirror {shown_address(mirror)} is no address: {scheme_of(mirror)}:// has two slashes"
        raise UsageError(what, hint="Name it as a str: a Path keeps one of them.")
    if mirror and is_store(mirror) and has_credentials(mirror):
        what = f"the mirror {shown_address(mirror)} is given with credentials, which are of its store's configuration"
        raise UsageError(what, hint="Leave them out, and configure the library of that store.")
    if mirror and sign and (mirror.lower().startswith(("http://", "https://")) or is_store(mirror)):
        what = f"the mirror {shown_address(mirror)} has a {sign!r} in it, after which no file's name can follow"
        hint = "Name the address of a folder, in `mirror` or TINYTORCH_DATASETS_MIRROR; or copy its files to a disk."
        raise UsageError(what, hint=hint)


def missing_folder(mirror: str | None) -> Path | None:
    """Return the folder that a mirror names, if it is missing: misspelt, most likely, or a stick is not plugged in."""
    path = path_of(mirror) if mirror else None
    if path is None:
        return None
    try:
        return None if stat.S_ISDIR(path.stat().st_mode) else path
    except (FileNotFoundError, NotADirectoryError):
        return path
    except OSError:  # it may be there: opening a file in it will tell
        return None


def path_of(address: str) -> Path | None:
    """Return where on this computer an address leads, a path or file://; None for any other."""
    if "://" not in address:
        try:
            return Path(address).expanduser()
        except RuntimeError:  # ~somebody whom nobody knows here
            return Path(address)
    if not address.lower().startswith("file://"):
        return None
    from urllib.request import url2pathname  # and with it everything of the standard library's network

    return Path(url2pathname(urlsplit(address).path))


def address_below(mirror: str, folder: str, name: str) -> str:
    """Return the address of a file on a mirror: its path below the mirror is the one it has below the downloads.

    >>> address_below("http://10.0.0.1:8000", "mnist", "train images.gz")
    'http://10.0.0.1:8000/mnist/train%20images.gz'
    >>> address_below("https://example.org/data/", "mnist", "a#1.csv")
    'https://example.org/data/mnist/a%231.csv'
    """
    if is_store(mirror):  # the names of whose files are not written in any code
        return "/".join([mirror.rstrip("/"), *filter(None, [folder, name])])
    if "://" in mirror:
        return "/".join([mirror.rstrip("/"), *filter(None, [quote(folder), quote(name)])])
    return str(Path(mirror) / folder / name)


def library_folders(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """List the folders where Keras, scikit-learn and torchvision keep what they downloaded.

    Keras and scikit-learn have a folder of their own, which their own variable moves. torchvision has none: it
    writes where it is told to, and `data`, here or in the home folder, is what its examples tell it.
    """
    environ = os.environ if environ is None else environ
    keras = Path(environ.get("KERAS_HOME") or "~/.keras") / "datasets"
    scikit_learn = Path(environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data")
    folders = []
    for folder in (keras, scikit_learn, Path("data"), Path("~/data")):
        try:
            folders.append(folder.expanduser())
        except RuntimeError:  # no home folder: a container with an unknown user
            continue
    return tuple(folders)


class ReusableFiles:
    """Files in the given folders that have the size of a declared one. One walk finds them for all files at once."""

    def __init__(self, files: Iterable[File], folders: Iterable[Path]) -> None:
        self._files = tuple(files)
        self._same_size: dict[int, list[Path]] = {file.bytes: [] for file in self._files}
        for folder in folders:
            for path in islice(_walk(folder), FILES_LOOKED_AT):
                if (same_size := self._same_size.get(_size(path))) is not None:
                    same_size.append(path)

    def to_download(self) -> list[File]:
        """List the files that none of the folders can have."""
        return [file for file in self._files if not self._same_size[file.bytes]]

    def find(self, file: File, cancellation: Cancellation) -> Path | None:
        """Return the path of one that has the declared bytes, whatever its name is there."""
        same_size = self._same_size[file.bytes][:FILES_HASHED]
        return next((path for path in same_size if _sha256(path, cancellation) == file.sha256), None)


def _walk(folder: Path, depth: int = 1, *, follows_links: bool = True) -> Iterator[Path]:
    """Yield the files below a folder, those behind links last; behind one link, no other is followed.

    A computer for many has one copy of a data set, and links to it: of the folder, or of what is in it.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_file():
                yield Path(entry.path)
            elif depth < DEEPEST and entry.is_dir(follow_symlinks=follows_links):
                yield from _walk(Path(entry.path), depth + 1, follows_links=follows_links and not entry.is_symlink())
        except OSError:
            continue


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _sha256(path: Path, cancellation: Cancellation) -> str | None:
    try:
        return digest(path, add=lambda _: cancellation.check()).sha256
    except OSError:
        return None
