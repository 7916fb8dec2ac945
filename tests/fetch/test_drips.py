"""A mirror that sends a byte a second, of anything, holds nobody: the right file, or one error, in time."""

from __future__ import annotations

import dataclasses
import functools
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.faulty_server import Act, FaultyServer, drip, serve, sha256
from tests.helpers.users import needs_root
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch import DEFAULT_RETRY, RetryPolicy, download_address, fetch
from tinytorch_datasets.plan import File

# What they wait for takes time; one drip among the other faults is in the fast run.
pytestmark = pytest.mark.slow

DATA = random.Random(14).randbytes(20_000)
HASTE = RetryPolicy(response_timeout_s=0.5, drip_window_s=0.8, stall_window_s=0.3, backoff_first_s=0.01)
TOGETHER = dataclasses.replace(HASTE, response_timeout_s=1.0, drip_window_s=1.2)  # many at once are slower to begin
OUTSIDE = "drips: nothing of the file came within {} s"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST = b"3e8\r\n%s\r\n" % DATA[:1000]
ALL = b"4e20\r\n%s\r\n0\r\n" % DATA

Dripping = Callable[[float], Act]
# What is dripped, at a pause that is given, and what the error says of it where no other mirror has the file.
WAYS: dict[str, tuple[Dripping, str]] = {
    "the status line": (lambda pause: drip(b"HTTP/1.1 200 ", b"OK", pause_s=pause), OUTSIDE),
    "the header fields": (lambda pause: drip(HEAD, b"X-Filler: none\r\n", pause_s=pause), OUTSIDE),
    "one header field": (lambda pause: drip(HEAD + b"X-Filler: ", b"none", pause_s=pause), OUTSIDE),
    "100 Continue": (lambda pause: drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=pause), OUTSIDE),
    "a redirect": (lambda pause: drip(b"HTTP/1.1 302 Found\r\n", b"X-Filler: none\r\n", pause_s=pause), OUTSIDE),
    "an extension of the first chunk": (lambda pause: drip(CHUNKED + b"4e20;", b"extension", pause_s=pause), OUTSIDE),
    "an extension of a later chunk": (
        lambda pause: drip(CHUNKED + FIRST + b"3e8;", b"extension", pause_s=pause),
        OUTSIDE,
    ),
    "the body": (lambda pause: drip(HEAD + b"\r\n", DATA, pause_s=pause), "only drips ("),
    "the body in chunks": (lambda pause: drip(CHUNKED, b"1\r\n!\r\n", pause_s=pause), "only drips ("),
    "the body of an error": (
        lambda pause: drip(b"HTTP/1.1 404 Gone\r\nContent-Length: 9999\r\n\r\n", b"{", pause_s=pause),
        "404 Not Found",
    ),
}


def declared(*urls: str) -> File:
    """What a manifest would declare."""
    return File(name="points.bin", bytes=len(DATA), sha256=sha256(DATA), urls=urls)


def fetched(folder: Path, *urls: str, retry: RetryPolicy = HASTE) -> bytes:
    """Fetch into a folder. Returns the bytes of the file."""
    kept = {"folder": "points", "locks": folder / "locks", "progress": lambda *_: None, "reuse_from": ()}
    fetch([declared(*urls)], folder / "points", retry=retry, **kept)  # type: ignore[arg-type]
    return (folder / "points" / "points.bin").read_bytes()


class Outcome(NamedTuple):
    """What came of a fetch: the bytes, or why there are none, after how long, and how often the way was asked for."""

    came: bytes
    reasons: list[str]
    took_s: float
    requests: int


def fetch_in_all_ways(folder: Path, retry: RetryPolicy, pause_s: float, *, good: bool) -> dict[str, Outcome]:
    """Fetch in all ways at once, for each only waits: alone, or before a good mirror."""
    outcomes: dict[str, Outcome] = {}

    def run(name: str, path: str, way: Dripping) -> None:
        urls = [server.at(path, way(pause_s)), *([server.at("/good", serve(DATA))] if good else [])]
        before, came, reasons = time.monotonic(), b"", []
        try:
            came = fetched(folder / path[1:], *urls, retry=retry)
        except FetchError as error:
            reasons = [reason for _, reason in error.tried]
        outcomes[name] = Outcome(came, reasons, time.monotonic() - before, len(server.requests(path)))

    with FaultyServer() as server:
        ways = [(name, f"/{number}", way) for number, (name, (way, _)) in enumerate(WAYS.items())]
        threads = [threading.Thread(target=run, args=one) for one in ways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return outcomes


@functools.cache
def hasty(*, good: bool) -> dict[str, Outcome]:
    """What comes of all ways, with limits of a second; a drip every twentieth of one meets no socket's timeout."""
    with tempfile.TemporaryDirectory() as folder:
        return fetch_in_all_ways(Path(folder), TOGETHER, 0.05, good=good)


@pytest.mark.parametrize("way", WAYS)
class TestInHaste:
    """One way after the other is looked at; they were fetched at the same time."""

    def test_alone(self, way: str) -> None:
        """One error, after one try: nobody drips by accident."""
        came, reasons, took_s, requests = hasty(good=False)[way]

        assert (came, requests) == (b"", 1)
        [reason] = reasons
        assert reason.startswith(WAYS[way][1].format("1")), reason
        assert took_s < 5

    def test_before_a_good_mirror(self, way: str) -> None:
        """The right file, from the other one."""
        came, _, took_s, requests = hasty(good=True)[way]

        assert (came, requests) == (DATA, 1)
        assert took_s < 5


class TestASlowMirrorIsLeft:
    """Whoever waits is reported, in one line, once."""

    def shown(self, folder: Path, capsys: pytest.CaptureFixture[str], *urls: str, retry: RetryPolicy) -> list[str]:
        """What is on stderr after a fetch."""
        fetch([declared(*urls)], folder / "points", folder="points", locks=folder / "locks", retry=retry, reuse_from=())
        return capsys.readouterr().err.splitlines()

    def test_because_it_drips(self, server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Its bytes come, a few at a time."""
        slow, good = server.at("/slow", WAYS["the body"][0](0.05)), server.at("/good", serve(DATA))

        lines = self.shown(tmp_path, capsys, slow, good, retry=dataclasses.replace(HASTE, stall_bytes_per_s=0))

        [line] = [line for line in lines if "slow" in line]
        assert line.startswith(f"points.bin: {slow} only drips (")
        assert line.endswith("bytes/s); the next is asked")

    def test_because_another_may_be_faster(
        self, server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As long as there is one that was not tried."""
        slow = server.at("/slow", serve(DATA, piece=1000, pause_s=0.05))
        good = server.at("/good", serve(DATA))

        lines = self.shown(tmp_path, capsys, slow, good, retry=dataclasses.replace(HASTE, stall_bytes_per_s=100_000))

        [line] = [line for line in lines if "slow" in line]
        assert re.fullmatch(rf"points\.bin: {slow} is slow \(\d+ kB/s\); the next is asked", line)

    def test_not_where_there_is_no_other(
        self, server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Then it is not left."""
        slow = server.at("/slow", serve(DATA, piece=5000, pause_s=0.05))

        lines = self.shown(tmp_path, capsys, slow, retry=dataclasses.replace(HASTE, stall_bytes_per_s=1_000_000))

        assert not [line for line in lines if "slow (" in line]


class TestOnceTheFileIsThere:
    """What comes after the last byte of the file."""

    def test_trailers_of_a_declared_file(self, server: FaultyServer, tmp_path: Path) -> None:
        """Nobody reads them: all declared bytes came."""
        assert fetched(tmp_path, server.at("/f", drip(CHUNKED + ALL, b"X-Filler: none\r\n", pause_s=0.05))) == DATA

    def test_trailers_of_a_file_of_unknown_size(self, server: FaultyServer, tmp_path: Path) -> None:
        """Whether the file has ended is not known before its end has come: an error, in time."""
        url = server.at("/f", drip(CHUNKED + ALL, b"X-Filler: none\r\n", pause_s=0.05))
        before = time.monotonic()

        with pytest.raises(FetchError) as caught:
            download_address([url], tmp_path / "f", name="f", retry=HASTE)

        assert caught.value.tried == ((url, OUTSIDE.format("0.5")),)
        assert time.monotonic() - before < 5


class TestManyTries:
    """A minute is a minute in however many tries it is spent."""

    @pytest.mark.slow
    def test_a_byte_a_try(self, server: FaultyServer, tmp_path: Path) -> None:
        """Each try brings one more byte, which would be fifty tries; the window ends in the third."""
        retry = dataclasses.replace(HASTE, response_timeout_s=5, drip_window_s=3)

        def a_byte(exchange: object) -> None:
            time.sleep(1.2)
            serve(DATA, cut_after=1)(exchange)  # type: ignore[arg-type]

        with pytest.raises(FetchError) as caught:
            fetched(tmp_path, server.at("/f", a_byte), retry=retry)

        assert caught.value.tried[0][1].startswith("only drips (")
        assert len(server.log) == 3

    def test_waiting_is_no_dripping(self, server: FaultyServer, tmp_path: Path) -> None:
        """The seconds that a mirror asked us to wait are not counted."""
        busy = [drip(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", b" ", pause_s=9)]
        good = serve(DATA, piece=200, pause_s=0.001)

        assert fetched(tmp_path, server.at("/f", *busy, good)) == DATA


class TestTheHandshake:
    """Before anything of HTTP is said."""

    def test_of_tls(self, tmp_path: Path) -> None:
        """A record of TLS that comes a byte at a time."""
        with dripping_listener(b"\x16\x03\x03\x40\x00" + bytes(0x4000)) as port, pytest.raises(FetchError) as caught:
            fetched(tmp_path, f"https://127.0.0.1:{port}/f")

        assert caught.value.tried[0][1] == OUTSIDE.format("0.5")

    def test_of_a_proxy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its answer to CONNECT."""
        with dripping_listener(b"HTTP/1.1 200 OK" + b"X" * 9999) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            with pytest.raises(FetchError) as caught:
                fetched(tmp_path, "https://example.invalid/f")

        assert caught.value.tried[0][1] == OUTSIDE.format("0.5")


@contextmanager
def dripping_listener(message: bytes) -> Iterator[int]:
    """Listen on a port, and send these bytes one after the other to whoever connects."""
    ended = threading.Event()

    def send(connection: socket.socket) -> None:
        with connection:
            for byte in message:
                if ended.wait(0.05):
                    return
                try:
                    connection.send(bytes([byte]))
                except OSError:
                    return

    def accept() -> None:
        while not ended.is_set():
            try:
                threading.Thread(target=send, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_all_ways_within_ninety_seconds(tmp_path: Path) -> None:
    """A byte a second, with the limits that everybody has: each way alone, and before a good mirror."""

    def run(good: bool) -> dict[str, Outcome]:
        return fetch_in_all_ways(tmp_path / str(good), DEFAULT_RETRY, 1.0, good=good)

    with ThreadPoolExecutor(2) as pool:
        alone, before = pool.map(run, (False, True))

    assert [name for name, outcome in alone.items() if not outcome.reasons] == []
    assert [name for name, outcome in before.items() if outcome.came != DATA] == []
    assert max(outcome.took_s for outcome in (*alone.values(), *before.values())) < 90


@needs_root
@pytest.mark.parametrize("good", [False, True], ids=["alone", "before a good mirror"])
def test_a_name_server_that_never_answers(good: bool, tmp_path: Path) -> None:
    """Looking up a name is within the time to the first byte: the next mirror is asked, or there is one error."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.77.0.1\noptions timeout:30 attempts:5\n")
    code = f"""
import sys
from pathlib import Path
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.plan import File
file = File(name="points.bin", bytes={len(DATA)}, sha256={sha256(DATA)!r}, urls=tuple(sys.argv[1:]))
into = Path({str(tmp_path)!r})
retry = RetryPolicy(response_timeout_s=0.5, backoff_first_s=0.01)
try:
    fetch([file], into / "p", folder="p", locks=into / "locks", reuse_from=(), retry=retry)
except FetchError as error:
    print(error.tried, error.network_failed)
"""
    inside = 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, FaultyServer() as server:
        silent.bind(("127.77.0.1", 53))
        urls = ["http://example.org/f"] + ([server.at("/f", serve(DATA))] if good else [])
        command = ["unshare", "-m", "bash", "-ec", inside, "inside", str(tmp_path / "resolv.conf")]
        done = subprocess.run(
            [*command, sys.executable, "-c", code, *urls], capture_output=True, text=True, check=False, timeout=20
        )

    failed = (("http://example.org/f", "no connection came about within 0.5 s"),)
    assert done.stdout == ("" if good else f"{failed} True\n"), done.stderr
    assert (tmp_path / "p" / "points.bin").exists() is good
