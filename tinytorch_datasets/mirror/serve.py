"""An HTTP server of a mirror folder, with ranges.

Only what SHA256SUMS lists, the manifest among it, and SHA256SUMS itself: no listing of folders, and nothing beside.
A request may ask for the rest of a file, so that an interrupted download goes on.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.mirror.copy import SUMS, sums_in

CHUNK_BYTES = 2**20
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a class that starts at once
    folder: Path
    shared: frozenset[str]

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
        if name not in self.server.shared or not path.is_file():
            self.send_error(404, "There is no such file in this mirror")
            return
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start, end, status = 0, size - 1, 200
            asked = _RANGE.fullmatch(self.headers.get("Range", ""))
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
            self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
            self.end_headers()
            if with_body:
                self._body(stream, start, end - start + 1)

    def _body(self, stream: BinaryIO, start: int, count: int) -> None:
        stream.seek(start)
        try:
            while count and (chunk := stream.read(min(CHUNK_BYTES, count))):
                self.wfile.write(chunk)
                count -= len(chunk)
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the student closed the lid; the rest is asked for later


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
    try:
        yield httpd, address_of(bind, httpd.server_address[1])
    finally:
        httpd.server_close()


def address_of(bind: str, port: int) -> str:
    """Return the address for others: this computer's in its network, where it serves on all of its addresses."""
    host = _own_address() if bind in ("", "0.0.0.0", "::") else bind
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _own_address() -> str:
    """Return this computer's address on the way to others. Nothing is sent: a UDP socket only picks the way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that is nobody's (RFC 5737)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
