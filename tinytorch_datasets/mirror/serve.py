"""An HTTP server of a mirror folder, with ranges.

Only what SHA256SUMS lists, the manifest among it, SHA256SUMS itself, and the pages that were written beside them: no
listing of folders, and nothing else. A request may ask for the rest of a file, so that an interrupted download goes on.
Where the mirror has packages, pip is given the pages of their index by the folders that they are in.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

from packaging.utils import parse_wheel_filename

from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.mirror.copy import INDEX, SUMS, WHEELS, is_wheel, sums_in
from tinytorch_datasets.storage.files import read_file

START = "index.html"
CHUNK_BYTES = 2**20
# Of pages; data is bytes to a browser, whatever somebody called the file.
_PAGES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
# What a page is to load from elsewhere: nothing. It has its pictures and sounds in it.
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'self' 'unsafe-inline'; script-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a class that starts at once
    folder: Path
    shared: frozenset[str]
    pages: frozenset[str]
    start_page: str | None
    datasets: Mapping[str, frozenset[str]]
    fetched: dict[str, set[str]]

    def current_start_page(self) -> bytes:
        """Return the start page with how many computers have every file of each data set from here; no more is known.

        Computers are told apart by their addresses, which are forgotten when the server ends.
        """
        page = self.start_page or ""
        each = [frozenset(names) for names in list(self.fetched.values())]
        for name, files in self.datasets.items():
            count = sum(names >= files for names in each)
            words = f"fetched by {count:,} computer{'s' if count != 1 else ''}" if count else "fetched by nobody yet"
            page = page.replace(fetched_mark(name), words)
        return page.encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing of a student who went away; anything else is a fault of ours, and is reported."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "tinytorch-datasets"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Send a file, or the rest of it."""
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        """Send what GET would, without the file."""
        self._send(with_body=False)

    def log_message(self, form: str, *args: object) -> None:
        """Print nothing: stdout is the line that students type, and stderr is the instructor's."""

    def _send(self, *, with_body: bool) -> None:
        try:
            name = unquote(urlsplit(self.path).path).lstrip("/")
        except ValueError:  # no address at all
            self.send_error(400)
            return
        path = self.server.folder / name
        if name in ("", START) and self.server.start_page is not None:
            self._send_whole(self.server.current_start_page(), with_body=with_body)
            return
        if name in self.server.pages and path.is_file():
            self._send_whole(read_file(path), ending=path.suffix, with_body=with_body)
            return
        if name.partition("/")[0] == INDEX and not name.endswith(START):
            page = f"{name.rstrip('/')}/{START}"
            if page in self.server.shared and not name.endswith("/"):
                self.send_response(301)  # or the links in it would lead elsewhere
                self.send_header("Location", f"/{quote(name)}/")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            name, path = page, self.server.folder / page
        if name not in self.server.shared or not self._is_inside(path):
            self.send_error(404, "There is no such file in this mirror")
            return
        if name.partition("/")[0] == INDEX:
            self._send_whole(read_file(path), with_body=with_body)  # pip reads no page that is of another type
            return
        with open(path, "rb", opener=open_file) as stream:
            about = os.fstat(stream.fileno())
            size, changed = about.st_size, self.date_time_string(int(about.st_mtime))
            start, end, status = 0, size - 1, 200
            is_same = self.headers.get("If-Range", changed) == changed  # or the rest would be of another file
            asked = _RANGE.fullmatch(self.headers.get("Range", "")) if is_same else None
            if asked:
                start, end, status = int(asked[1]), min(int(asked[2] or size - 1), size - 1), 206
            if asked and start > end:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(end - start + 1))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Last-Modified", changed)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
            self.end_headers()
            if with_body and self._body(stream, start, end - start + 1) and end == size - 1:
                self.server.fetched.setdefault(self.client_address[0], set()).add(name)

    def _is_inside(self, path: Path) -> bool:
        """Check whether a file is there, and in the folder: a line of SHA256SUMS, or a link, may lead out of it."""
        folder = self.server.folder
        return path.is_file() and path.resolve() == folder.resolve() / path.relative_to(folder)

    def _send_whole(self, page: bytes, *, ending: str = ".html", with_body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", _PAGES[ending])
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        if with_body:
            try:
                self.wfile.write(page)
            except (ConnectionError, TimeoutError):
                self.close_connection = True

    def _body(self, stream: BinaryIO, start: int, count: int) -> bool:
        """Send so many bytes of a file; return whether all of them were sent."""
        stream.seek(start)
        try:
            while count and (chunk := stream.read(min(CHUNK_BYTES, count))):
                self.wfile.write(chunk)
                count -= len(chunk)
        except (ConnectionError, TimeoutError):
            pass  # the student closed the lid; the rest is asked for later
        if count:  # or the file was cut meanwhile, and the next answer would be taken for its rest
            self.close_connection = True
        return not count


@contextmanager
def server(folder: Path, bind: str, port: int) -> Iterator[tuple[_Server, str]]:
    """Make a server of the mirror in a folder, not yet serving, and the address that students use.

    Raises:
        DatasetError: The address cannot be bound.
    """
    kind = type("_ServerOf", (_Server,), {"address_family": socket.AF_INET6 if ":" in bind else socket.AF_INET})
    try:
        httpd = kind((bind, port), _Handler)
    except OSError as error:
        what = f"{bind}:{port} cannot be served on: {error.strerror or error}"
        raise DatasetError(what, hint="Choose another --port (0 takes any free one), or --bind.") from error
    httpd.folder = folder
    httpd.shared = frozenset(sums_in(folder)) | {SUMS}
    httpd.pages, httpd.start_page, httpd.datasets, httpd.fetched = frozenset(), None, {}, {}
    try:
        yield httpd, address_of(bind, httpd.server_address[1])
    finally:
        httpd.server_close()


def fetched_mark(name: str) -> str:
    """Return what stands in a start page for how many computers have fetched a data set so far."""
    return f"{{fetched {name}}}"


def serve_pages(httpd: _Server, start_page: str, pages: Iterable[str], datasets: Mapping[str, frozenset[str]]) -> None:
    """Let a server show a start page at its root, and files of its folder that are pages: HTML, style and script.

    `datasets` has the paths of each data set's files, by its name.
    """
    httpd.start_page, httpd.datasets = start_page, datasets
    httpd.pages = frozenset(page for page in pages if Path(page).suffix in _PAGES) - httpd.shared


def address_of(bind: str, port: int) -> str:
    """Return the address for others: this computer's in its network, where it serves on all of its addresses."""
    host = _own_address() if bind in ("", "0.0.0.0", "::") else bind
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def install_line(address: str) -> str:
    """Return the line by which others install this package from a server's address; "" for a folder, in which they are.

    >>> install_line("http://192.168.1.5:8000/")
    'python -m pip install --index-url http://192.168.1.5:8000/simple/ --trusted-host 192.168.1.5 tinytorch-datasets'
    """
    if not address:
        return f"python -m pip install --no-index --find-links {WHEELS} tinytorch-datasets"
    host = urlsplit(address).netloc.rpartition(":")[0]
    return f"python -m pip install --index-url {address}{INDEX}/ --trusted-host {host} tinytorch-datasets"


def _own_address() -> str:
    """Return this computer's address on the way to others. Nothing is sent: a UDP socket only picks the way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that is nobody's (RFC 5737)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def packages_in(folder: Path) -> str | None:
    """Return in words for which Pythons and systems a mirror has wheels, by the names of NumPy's; None without any."""
    numpys = [Path(name).name for name in sums_in(folder) if is_wheel(name) and name.startswith(f"{WHEELS}/numpy-")]
    tags = [tag for name in numpys for tag in parse_wheel_filename(name)[3]]
    minors = {int(tag.interpreter[3:]) for tag in tags if re.fullmatch("cp3[0-9]{1,3}", tag.interpreter)}
    kinds = {"manylinux": "Linux", "macosx": "macOS", "win": "Windows"}
    systems = [title for kind, title in kinds.items() if any(tag.platform.startswith(kind) for tag in tags)]
    pythons = ", ".join(f"3.{minor}" for minor in sorted(minors))
    return f"Python {pythons} on {', '.join(systems)}" if pythons and systems else None
