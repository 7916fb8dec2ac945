"""Bodies on their way: deadlines and rates, and what a Content-Encoding wraps.

Apart from connections, which load urllib3: files that come from a folder are read with no library of the network.
"""

from __future__ import annotations

import math
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from tinytorch_datasets.concurrency import start_thread
from tinytorch_datasets.fetch.base import (
    ConnectionLost,
    Dripping,
    PermanentError,
    SourceError,
    TooSlow,
    WrongContent,
)
from tinytorch_datasets.verify.diagnose import HEAD_BYTES

GZIP = ("gzip", "x-gzip")
GZIP_NAMES = (".gz", ".tgz")
GZIP_MAGIC = b"\x1f\x8b"
POLL_S = 0.05  # how soon a wait for a connection ends that is not wanted any more


class Link:
    """The socket of one connection, to be shut from any thread by whichever request has it now."""

    def __init__(self, connected: socket.socket, connection: Any) -> None:
        self._guard = threading.Lock()
        # By a descriptor of our own: TLS takes the other one over.
        self.original, self._socket = connected, connected.dup()
        self._connection, self._is_open = connection, True
        self._user: Deadline | None = None
        self.tls = ""  # the version that it speaks

    def use(self, user: Deadline | None) -> bool:
        """Give it to a request. Returns whether it was another's before."""
        with self._guard:
            before, self._user = self._user, user
        return before is not user

    def shut(self, user: Deadline) -> None:
        """End every read now, if that request still has it."""
        with self._guard:
            if self._user is user and self._is_open:
                with suppress(OSError):  # it has ended already
                    self._socket.shutdown(socket.SHUT_RDWR)

    def leave(self, user: Deadline | None) -> None:
        """Close the socket after a request, unless its connection is kept for another one, or has one already."""
        with self._guard:
            if self._user is user:
                self._user = None
                if self._connection.is_retired:
                    self._connection.close()
                if user is None or self._connection.sock is None or self._connection.link is not self:
                    self._close()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._socket.close()
            # After some failures http.client leaves it open, or closed but for a file that was made of it.
            with suppress(OSError):
                socket.close(self.original.detach())  # a descriptor of -1, where TLS took it over, is an error


class Deadline:
    """Ends a request whose server keeps it busy and gives nothing of the body.

    A socket's timeout is for one read. Whoever sends a byte a second of a status line, a header, `100 Continue`, a
    chunk's extension or a trailer never meets it. So a thread shuts the sockets, which ends any read at once.
    """

    def __init__(self, seconds: float, links: WeakSet[Link], watchdog: Watchdog) -> None:
        self._seconds, self._every_link, self._watchdog = seconds, links, watchdog
        self.until = time.monotonic() + seconds
        self._links: list[Link] = []
        self.is_shut = self.is_past = self.is_connected = False
        self.is_reused = False  # the last connection, which another request had before
        self.tls = ""  # the version that the last connection speaks

    def postpone(self) -> None:
        """Count from now on: some of the body came."""
        self.until = time.monotonic() + self._seconds

    def connect(self, connect: Callable[[], socket.socket], connection: Any) -> Link:
        """Return a new connection's link, watched; raise TimeoutError once it is not wanted any more.

        Nothing ends a resolver that waits for its name server, so it waits in a thread of its own.
        """
        made: list[socket.socket | BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                made.append(connect())
            except BaseException as error:  # raised again by whoever waits for the connection
                made.append(error)
            done.set()
            if self.is_shut and isinstance(made[0], socket.socket):
                made[0].close()  # nobody waits for it

        try:
            threading.Thread(target=run, name="tinytorch-datasets-connect", daemon=True).start()
        except RuntimeError:  # no thread is left
            run()
        while not done.wait(POLL_S):
            if self.is_shut:
                raise TimeoutError
        if isinstance(made[0], BaseException):
            raise made[0]
        link = Link(made[0], connection)
        self._every_link.add(link)
        self.watch(link)
        self.is_reused = False
        return link

    def watch(self, link: Link) -> None:
        """Shut that socket as well, unless another request has it by then."""
        self.is_connected, self.tls = True, link.tls
        if link.use(self):
            self.is_reused = True
            self._links.append(link)
        if self.is_shut:
            self.shut()

    def shut(self) -> None:
        """End every read of these sockets now."""
        self.is_shut = True
        for link in tuple(self._links):
            link.shut(self)

    def close(self) -> None:
        """Close the sockets that are not kept. Until then none of them is closed, whoever else closes it."""
        self._watchdog.remove(self)
        for link in self._links:
            link.leave(self)
        self._links.clear()


class Watchdog:
    """One thread that shuts the sockets of every request whose deadline is past."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._changed = threading.Condition()
        self._wakes_at, self._is_at_work, self._is_closed = 0.0, False, False

    def add(self, deadline: Deadline) -> None:
        """Watch a deadline, which may be postponed meanwhile."""
        with self._changed:
            self._deadlines.add(deadline)
            if not self._is_at_work and not self._is_closed:
                # Where no thread is left, a socket's timeout has to do.
                self._is_at_work = start_thread(self._watch, "tinytorch-datasets-deadline") is not None
            elif deadline.until < self._wakes_at:
                self._changed.notify()

    def remove(self, deadline: Deadline) -> None:
        """Watch it no longer."""
        with self._changed:  # and the thread sleeps on: waking it for each of thousands of files would cost more
            self._deadlines.discard(deadline)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                for deadline in [each for each in self._deadlines if each.until <= now]:
                    self._deadlines.remove(deadline)
                    deadline.is_past = True
                    deadline.shut()
                self._wakes_at = min((each.until for each in self._deadlines), default=math.inf)
                self._changed.wait(min(self._wakes_at - now, threading.TIMEOUT_MAX))


class Rate:
    """The rate of a flow, over windows that follow one another; only the time inside `with rate:` counts."""

    def __init__(self, least_per_s: float, window_s: float) -> None:
        self._least_per_s, self._window_s = least_per_s, window_s
        self._entered, self._seconds, self._bytes = time.monotonic(), 0.0, 0
        self.per_s = 0.0

    def __enter__(self) -> Rate:
        self._entered = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds += time.monotonic() - self._entered

    def is_below(self, more_bytes: int) -> bool:
        """Check whether a window has ended that fewer bytes came through than should."""
        self._bytes += more_bytes
        now = time.monotonic()
        seconds = self._seconds + now - self._entered
        if seconds < self._window_s:
            return False
        self.per_s = self._bytes / seconds
        self._entered, self._seconds, self._bytes = now, 0.0, 0
        return self.per_s < self._least_per_s


def check_rate(chunks: Iterator[bytes], drip: Rate, stall: Rate | None = None) -> Iterator[bytes]:
    """Pass the chunks on, as long as they come fast enough.

    Raises:
        Dripping: No response of that kind is worth another try.
        TooSlow: They come so slowly that another mirror, which is untried, is better.
    """
    for chunk in chunks:
        yield chunk  # first: what came is kept, however slowly it came
        is_dripping, is_stalled = drip.is_below(len(chunk)), stall is not None and stall.is_below(len(chunk))
        if is_dripping:
            reason = f"only drips ({drip.per_s:,.0f} bytes/s)"
            raise Dripping(reason)
        if is_stalled and stall is not None:
            reason = f"is slow ({stall.per_s / 1000:,.0f} kB/s)"
            raise TooSlow(reason)


def gunzip(chunks: Iterator[bytes], *, at_most: int) -> Iterator[bytes]:
    """Unpack what the chunks hold in gzip, all members of it, but never more than `at_most` bytes: a bomb ends there.

    Raises:
        ConnectionLost: They end before the gzip does.
    """
    unzip = zlib.decompressobj(wbits=31)
    failure: type[SourceError] = PermanentError  # before the first byte, it costs none of those that are on disk
    for chunk in chunks:
        packed = chunk
        while packed:
            if unzip.eof:
                if not packed.startswith(GZIP_MAGIC):  # padding
                    return
                unzip = zlib.decompressobj(wbits=31)
            try:
                plain = unzip.decompress(packed, at_most)
            except zlib.error as error:
                reason = "calls its answer gzip, which it is not"
                raise failure(reason) from error
            packed = unzip.unused_data
            at_most -= len(plain)
            if plain:
                failure = WrongContent
                yield plain
            if at_most <= 0:
                return
    if not unzip.eof:
        raise ConnectionLost


def is_gzip_in_gzip(head: bytes) -> bool:
    """Check whether a file that begins like this holds a gzip in its gzip."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, len(GZIP_MAGIC)) == GZIP_MAGIC
    except zlib.error:
        return False


def peek(body: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, and the rest. A SourceError on the way to them comes after them: they are kept."""
    head = b""
    try:
        while len(head) < HEAD_BYTES and (chunk := next(body, b"")):
            head += chunk
    except SourceError as failure:
        return head, _raise(failure)
    return head, body


def _raise(failure: SourceError) -> Iterator[bytes]:
    raise failure
    yield b""
