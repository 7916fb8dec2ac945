"""The HTTP server that every contestant fetches from.

A process of its own, so that its work is in nobody's interpreter, that lets the kernel copy files to sockets. GET,
HEAD and single ranges of bytes; connections are kept. Run as a script, it serves a folder and prints its address.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

RANGE = re.compile(r"bytes=(\d+)-(\d*)$")


class Handler(BaseHTTPRequestHandler):
    """Answers for one folder."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: Path

    def do_HEAD(self) -> None:
        """The head of the answer that GET would give."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """A file, or the range of it that was asked for."""
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Nothing: a line a request would cost more than a small file."""

    def _answer(self, *, body: bool) -> None:
        path = (self.folder / unquote(self.path.partition("?")[0]).lstrip("/")).resolve()
        if not path.is_relative_to(self.folder) or not path.is_file():
            self.send_error(404)
            return
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            asked = RANGE.match(self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            end = min(int(asked[2]) + 1, size) if asked and asked[2] else size
            if start >= end:
                self.send_error(416)
                return
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.send_header("Content-Length", str(end - start))
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{size:x}-{int(path.stat().st_mtime):x}"')
            self.end_headers()
            self.wfile.flush()
            if body:
                self.connection.sendfile(file, start, end - start)


class Server(ThreadingHTTPServer):
    """A thread a connection; one that is cut off says nothing."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Whoever stopped reading had a reason."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder from another process; its address, with a slash at its end."""
    command = [sys.executable, __file__, os.fspath(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1]).resolve()
    with Server(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
