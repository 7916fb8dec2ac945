"""A server on 127.0.0.1 that misbehaves on purpose, over real sockets.

    with FaultyServer() as server:
        url = server.at("/cut.gz", serve(data, cut_after=1000), serve(data))

The first request for that path is answered by the first act, the second by the second, and all later ones by the last.
`server.log` keeps every request: its path, what it asked for, and how many bytes of body were sent for it.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from types import TracebackType
from typing import Any

Act = Callable[["Exchange"], None]


# How long a server may take to count what it has sent.
COUNTED_S = 1.0


@dataclass
class Request:
    """One request as the server saw it, and how many bytes of body it was answered with."""

    path: str
    headers: Mapping[str, str]
    sent: int = 0
    connection: int = 0  # the first that was accepted is 1
    is_answered: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @property
    def range(self) -> str | None:
        """The Range header."""
        return self.headers.get("Range")


class Exchange:
    """One request and the connection to answer it on."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: Request, server: FaultyServer) -> None:
        self._handler = handler
        self._server = server
        self._counted = True
        self.request = request
        self.closing = server.closing

    @property
    def start(self) -> int:
        """The first byte asked for."""
        return int(self.request.range[6:].split("-")[0]) if self.request.range else 0

    def head(self, status: int, headers: Mapping[str, object]) -> None:
        """Send the status line and these headers, and no others but Connection: close."""
        lines = [f"HTTP/1.1 {status} As Told", *(f"{name}: {value}" for name, value in headers.items())]
        lines += [] if self._server.keeps_connections else ["Connection: close"]
        self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def is_last(self) -> None:
        """Close the connection after this answer, whatever the answer says."""
        self._handler.close_connection = True

    def body(self, chunk: bytes, *, chunked: bool = False) -> None:
        """Send some of the body."""
        self.raw(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk)
        self.request.sent += len(chunk)

    def raw(self, chunk: bytes) -> None:
        """Send bytes of any kind."""
        self._handler.wfile.write(chunk)

    def is_ending(self) -> None:
        """Count this connection no longer: once it has its last bytes, the client may open another."""
        if self._counted:
            self._counted = False
            self._server.count(-1)

    def hang(self) -> None:
        """Say nothing until the server is closed."""
        self.closing.wait()

    def reset(self) -> None:
        """Tear the connection down: the client sees a reset, not an end."""
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._handler.connection.close()


def serve(
    data: bytes,
    *,
    ranges: bool = True,
    etag: str | None = None,
    length: int | None = -1,
    chunked: bool = False,
    headers: Mapping[str, str] | None = None,
    cut_after: int | None = None,
    end: str = "close",
    piece: int = 64 * 1024,
    pause_s: float = 0.0,
) -> Act:
    """Send the data as a good server does, but for what is reported otherwise.

    `length` is the Content-Length: -1 for the true one, None for none. After `cut_after` bytes of body the connection
    ends as `end` says: "close", "reset" or "hang". `piece` bytes are sent at a time, with a pause after each.
    """

    def act(exchange: Exchange) -> None:
        asked, start = exchange.request.headers, 0
        if ranges and exchange.request.range and (not asked.get("If-Range") or asked.get("If-Range") == etag):
            start = exchange.start
        rest = data[start:]
        result: dict[str, object] = dict(headers or {})
        if etag:
            result["ETag"] = etag
        if start and not rest:
            exchange.head(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": 0})
            return
        if start:
            result["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if chunked:
            result["Transfer-Encoding"] = "chunked"
        elif length is not None:
            result["Content-Length"] = len(rest) if length == -1 else length
        exchange.head(206 if start else 200, result)
        stop = len(rest) if cut_after is None else min(cut_after, len(rest))
        for at in range(0, stop, piece):
            if at + piece >= len(rest):
                exchange.is_ending()
            exchange.body(rest[at : min(at + piece, stop)], chunked=chunked)
            if pause_s and exchange.closing.wait(pause_s):
                return
        if cut_after is not None:
            exchange.is_last()
        if cut_after is not None and end == "hang":
            exchange.hang()
        elif cut_after is not None and end == "reset":
            exchange.reset()
        elif chunked and cut_after is None:
            exchange.raw(b"0\r\n\r\n")

    return act


def answer(status: int, body: bytes = b"", **headers: str) -> Act:
    """Answer with a status and a short body; `Retry_After="1"` is the header Retry-After."""

    def act(exchange: Exchange) -> None:
        result = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.head(status, {"Content-Length": len(body), **result})
        exchange.body(body)

    return act


def redirect(target: str, status: int = 302) -> Act:
    """Send the client elsewhere."""
    return answer(status, Location=target)


def silent(exchange: Exchange) -> None:
    """Take the request and say nothing."""
    exchange.hang()


def babble(data: bytes) -> Act:
    """Answer with something that is not HTTP."""
    return lambda exchange: exchange.raw(data)


def lying_range(data: bytes, *, honest_header: bool) -> Act:
    """Answer a Range request with 206 and the file from its beginning."""

    def act(exchange: Exchange) -> None:
        start = 0 if honest_header else exchange.start
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        exchange.head(206 if exchange.request.range else 200, {"Content-Range": span} if exchange.request.range else {})
        exchange.body(data)

    return act


def drip(before: bytes, endless: bytes, *, pause_s: float = 1.0) -> Act:
    """Send something at once, and then something else for ever, a byte at a time."""

    def act(exchange: Exchange) -> None:
        exchange.raw(before)
        for byte in cycle(endless):
            if exchange.closing.wait(pause_s):
                return
            exchange.raw(bytes([byte]))

    return act


@dataclass
class FaultyServer:
    """The server. `at` gives a path its acts and returns its URL. It closes each connection, unless it keeps them."""

    tls: ssl.SSLContext | None = None
    keeps_connections: bool = False
    otherwise: Act = field(default_factory=lambda: answer(404))  # for every path that `at` does not name
    log: list[Request] = field(default_factory=list)

    def at(self, path: str, *acts: Act) -> str:
        """Answer the n-th request for this path by the n-th act, later ones by the last. Returns the URL."""
        self._acts[path] = list(acts)
        return self.url + path

    def requests(self, path: str) -> list[Request]:
        """The requests for that path."""
        return [request for request in tuple(self.log) if request.path == path]

    def sent(self, path: str) -> int:
        """All bytes of body ever sent for that path; a client has the last of them before its server has counted it."""
        for request in self.requests(path):
            request.is_answered.wait(COUNTED_S)  # for ever, where an act hangs on purpose
        return sum(request.sent for request in self.requests(path))

    def __enter__(self) -> FaultyServer:
        self._acts: dict[str, list[Act]] = {}
        self.closing = threading.Event()
        self._guard = threading.Lock()
        self.most_at_once = self.now = self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with outer._guard:
                    outer.connections += 1
                    self.number = outer.connections

            def do_GET(self) -> None:
                self.close_connection = not outer.keeps_connections
                request = Request(self.path, dict(self.headers.items()), connection=self.number)
                with outer._guard:
                    outer.log.append(request)
                    acts = outer._acts.get(self.path, [outer.otherwise])
                    act = acts.pop(0) if len(acts) > 1 else acts[0]
                    exchange = Exchange(self, request, outer)
                outer.count(1)
                try:
                    act(exchange)
                finally:
                    exchange.is_ending()
                    request.is_answered.set()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that goes away in the middle is what half of these tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, more: int) -> None:
        """So many more connections are being answered."""
        with self._guard:
            self.now += more
            self.most_at_once = max(self.most_at_once, self.now)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def sha256(data: bytes) -> str:
    """The digest that a manifest would declare."""
    return hashlib.sha256(data).hexdigest()


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to come true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            message = "it never came true"
            raise TimeoutError(message)
        time.sleep(0.005)
