"""A connection is kept for the next file of its host, and nothing that went wrong on one reaches another file."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.faulty_server import (
    Act,
    Exchange,
    FaultyServer,
    answer,
    drip,
    redirect,
    serve,
    sha256,
    silent,
    until,
)
from tests.helpers.fresh_process import python
from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch import DEFAULT_RETRY, Response, RetryPolicy, Web, fetch
from tinytorch_datasets.fetch.base import PermanentError
from tinytorch_datasets.fetch.connection import Connections
from tinytorch_datasets.plan import File

# One try: whatever is counted as a failure of the mirror fails the fetch.
ONCE = RetryPolicy(tries=1, tries_in_all=1, read_timeout_s=5)
ALONE = RetryPolicy(tries=1, tries_in_all=1, read_timeout_s=5, connections_in_all=1)


# Fetches files to a folder, sixteen at once, in a process that may have so many descriptors.
FETCH_WITH_FEW_DESCRIPTORS = """
import json, resource, sys
from pathlib import Path
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.plan import File
files, folder, limit = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
places = {"folder": "files", "locks": Path(folder, "locks"), "reuse_from": (), "progress": lambda *_: None}
retry = RetryPolicy(tries=1, tries_in_all=1, connections_per_host=16, connections_in_all=16)
fetch([File(*file) for file in files], Path(folder, "files"), retry=retry, **places)
"""


@pytest.fixture
def kept() -> Iterator[FaultyServer]:
    """A server that keeps its connections."""
    with FaultyServer(keeps_connections=True) as server:
        yield server


def data_of(number: int, size: int = 3_000) -> bytes:
    """The bytes of one file, which no other has."""
    return random.Random(number).randbytes(size)


def declared(number: int, *urls: str, size: int = 3_000) -> File:
    """What a manifest would declare of it."""
    return File(name=f"{number:03}.bin", bytes=size, sha256=sha256(data_of(number, size)), urls=urls)


def served(server: FaultyServer, count: int, act: Callable[[bytes], Act] = serve, size: int = 3_000) -> list[File]:
    """So many files, each answered by that act."""
    numbers = range(count)
    return [declared(n, server.at(f"/{n}", act(data_of(n, size))), size=size) for n in numbers]


def fetched(
    files: list[File],
    folder: Path,
    retry: RetryPolicy = ALONE,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    mirror: str | None = None,
) -> None:
    """Fetch all of them, and compare each with what was served."""
    into = folder / "files"
    fetch(
        files,
        into,
        folder="files",
        mirror=mirror,
        locks=folder / "locks",
        progress=progress,
        reuse_from=(),
        retry=retry,
    )
    for file in files:
        assert (into / file.name).read_bytes() == data_of(int(file.name[:3]), file.bytes)


class TestReuse:
    """A host is connected to once a worker, and not once a file."""

    @pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 3])
    def test_as_many_connections_as_workers(self, jobs: int, kept: FaultyServer, tmp_path: Path) -> None:
        """Twenty files; and so many threads, however many files there are."""
        retry = RetryPolicy(connections_per_host=jobs, connections_in_all=jobs)
        threads: set[tuple[str, int | None]] = set()

        def note(*_: object) -> None:
            ours = (thread for thread in threading.enumerate() if thread.name.startswith("tinytorch-datasets"))
            threads.update((thread.name, thread.native_id) for thread in ours)

        fetched(served(kept, 20), tmp_path, retry, note)

        assert len(kept.log) == 20
        assert kept.connections <= jobs
        # The workers, what watches the deadlines, and whatever still connects.
        assert len(threads) <= jobs + 1 + jobs
        assert {"tinytorch-datasets-job-0", "tinytorch-datasets-deadline"} <= {name for name, _ in threads}

    def test_none_is_left_open(self, kept: FaultyServer, tmp_path: Path) -> None:
        """After the fetch the server sees each connection end; threads and descriptors are as before."""
        descriptors = Path("/dev/fd")  # not on Windows

        def count() -> int:
            return len([*descriptors.iterdir()]) if descriptors.is_dir() else 0

        open_before = count()

        fetched(served(kept, 5), tmp_path)

        until(lambda: not [each for each in threading.enumerate() if each.name == "tinytorch-datasets-deadline"])
        until(lambda: count() <= open_before)

    def test_a_short_error_keeps_it(self, kept: FaultyServer, tmp_path: Path) -> None:
        """A mirror that has no folder of the data set is asked twice for each file, by one connection."""
        files = served(kept, 6)
        for n, file in enumerate(files):
            kept.at(f"/{file.name}", serve(data_of(n)))

        fetched(files, tmp_path, mirror=kept.url)

        assert [request.path for request in kept.log[:2]] == ["/files/000.bin", "/000.bin"]
        assert kept.connections == 1

    def test_a_redirect_without_a_body_keeps_it(self, kept: FaultyServer, tmp_path: Path) -> None:
        """Both addresses are of one host."""
        files = [declared(n, kept.at(f"/r{n}", redirect(kept.at(f"/{n}", serve(data_of(n)))))) for n in range(4)]

        fetched(files, tmp_path)

        assert len(kept.log) == 8
        assert kept.connections == 1

    @pytest.mark.parametrize("size", [1, 300, 3_000, 9_000, 200_000, 3_000_000])
    def test_of_any_size(self, size: int, kept: FaultyServer, tmp_path: Path) -> None:
        """A body may come with the header, in one read or in many."""
        fetched(served(kept, 3, size=size), tmp_path)

        assert kept.connections == 1

    def test_what_comes_before_an_answer(self, kept: FaultyServer, tmp_path: Path) -> None:
        """Answers of 1xx, which any client has to pass over, however many there are."""

        def hinting(data: bytes) -> Act:
            def act(exchange: Exchange) -> None:
                exchange.raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
                exchange.raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 3)
                serve(data)(exchange)

            return act

        fetched(served(kept, 3, hinting), tmp_path)

        assert (len(kept.log), kept.connections) == (3, 1)

    def test_a_body_in_chunks(self, kept: FaultyServer, tmp_path: Path) -> None:
        """All bytes came before its end did, which nobody waits for."""
        fetched(served(kept, 4, lambda data: serve(data, chunked=True)), tmp_path)

        assert len(kept.log) == 4


class TestServersThatKeepNone:
    """Each file has a connection of its own, as it always had."""

    def test_one_that_says_so(self, server: FaultyServer, tmp_path: Path) -> None:
        """``Connection: close``."""
        fetched(served(server, 5), tmp_path, ONCE)

        assert (len(server.log), server.connections) == (5, 5)

    def test_http_1_0(self, kept: FaultyServer, tmp_path: Path) -> None:
        """Its body ends with the connection, whether it has a length or not."""

        def old(data: bytes, length: str) -> Act:
            def act(exchange: Exchange) -> None:
                exchange.raw(b"HTTP/1.0 200 OK\r\n" + length.encode() + b"\r\n" + data)
                exchange.is_last()

            return act

        lengths = ["Content-Length: 3000\r\n", "", "Content-Length: 3000\r\n"]
        fetched([declared(n, kept.at(f"/{n}", old(data_of(n), lengths[n]))) for n in range(3)], tmp_path)

        assert (len(kept.log), kept.connections) == (3, 3)

    @pytest.mark.parametrize("size", [300, 200_000])
    def test_one_that_closes_without_a_word(self, size: int, kept: FaultyServer, tmp_path: Path) -> None:
        """It looks kept, and is not: no try is counted, and nothing is asked for twice."""

        def closes(data: bytes) -> Act:
            def act(exchange: Exchange) -> None:
                serve(data)(exchange)
                exchange.is_last()

            return act

        fetched(served(kept, 6, closes, size), tmp_path)

        assert len(kept.log) >= 6
        assert kept.connections == 6

    @pytest.mark.parametrize("how", ["close", "reset", "400", "408"])
    def test_one_that_closes_when_the_next_request_comes(self, how: str, kept: FaultyServer, tmp_path: Path) -> None:
        """The request is made again at once, by a new connection."""

        def refuse(exchange: Exchange) -> None:
            if how == "reset":
                exchange.reset()
            elif how.isdigit():
                answer(int(how))(exchange)
            exchange.is_last()

        files = [declared(n, kept.at(f"/{n}", *([refuse] if n else []), serve(data_of(n)))) for n in range(2)]

        fetched(files, tmp_path)

        assert [request.path for request in kept.log] == ["/0", "/1", "/1"]
        assert [request.connection for request in kept.log] == [1, 1, 2]

    def test_one_that_is_silent_from_then_on(self, kept: FaultyServer, tmp_path: Path) -> None:
        """It is waited for once, and the next try is by a new connection."""
        files = [declared(n, kept.at(f"/{n}", *([silent] if n else []), serve(data_of(n)))) for n in range(2)]
        retry = RetryPolicy(connections_in_all=1, read_timeout_s=0.3, backoff_first_s=0.01, tries=2)

        fetched(files, tmp_path, retry)

        assert [(request.path, request.connection) for request in kept.log] == [("/0", 1), ("/1", 1), ("/1", 2)]

    def test_one_that_drips_from_then_on(self, kept: FaultyServer, tmp_path: Path) -> None:
        """It is given up after the time that is declared, and not after twice that: a new one is not asked for."""
        dripping = drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"z", pause_s=0.05)
        files = [declared(n, kept.at(f"/{n}", *([dripping] if n else []), serve(data_of(n)))) for n in range(2)]

        with pytest.raises(FetchError, match=r"drips: nothing of the file came within 0\.3 s"):
            fetched(files, tmp_path, RetryPolicy(connections_in_all=1, response_timeout_s=0.3))

        assert [(request.path, request.connection) for request in kept.log] == [("/0", 1), ("/1", 1)]

    def test_one_that_asks_to_wait(self, kept: FaultyServer, tmp_path: Path) -> None:
        """After an error of the server's, the next try is by a new connection."""
        file = declared(0, kept.at("/0", answer(503), serve(data_of(0))))

        fetched([file], tmp_path, RetryPolicy(backoff_first_s=0.01, tries=2))

        assert [request.connection for request in kept.log] == [1, 2]

    def test_a_new_connection_that_is_closed_is_a_failure(self, kept: FaultyServer, tmp_path: Path) -> None:
        """Only one that was kept may have ended meanwhile."""
        with pytest.raises(FetchError, match="the connection was lost"):
            fetched([declared(0, kept.at("/0", lambda exchange: exchange.is_last()))], tmp_path)

        assert len(kept.log) == 1


class TestWhatWentWrongStaysThere:
    """The next file is never read from what an earlier one left on its connection."""

    @pytest.mark.parametrize("size", [300, 7_900, 8_200, 50_000])
    @pytest.mark.parametrize("pause_s", [0.0, pytest.param(0.02, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("extra", [b"!", b"\r\n\r\n", b"X" * 9_000, b"HTTP/1.1 200 OK\r\nContent-Le"])
    def test_a_body_longer_than_its_length(
        self, size: int, pause_s: float, extra: bytes, kept: FaultyServer, tmp_path: Path
    ) -> None:
        """What comes after the last byte, at once or while the next file is asked for, belongs to nobody."""

        def longer(data: bytes) -> Act:
            def act(exchange: Exchange) -> None:
                serve(data)(exchange)
                time.sleep(pause_s)
                exchange.raw(extra)

            return act

        # A header that swallows the next one is waited for like any other that does not end: that is a try.
        retry = RetryPolicy(connections_in_all=1, read_timeout_s=0.5, backoff_first_s=0.01, tries=2)
        fetched(served(kept, 3, longer, size), tmp_path, retry if extra.startswith(b"HTTP") else ALONE)

    def test_a_body_shorter_than_its_length(self, kept: FaultyServer, tmp_path: Path) -> None:
        """The rest of it, and the next file, come by a new connection."""
        cut = serve(data_of(0), cut_after=500)
        files = [declared(0, kept.at("/0", cut, serve(data_of(0)))), declared(1, kept.at("/1", serve(data_of(1))))]
        retry = RetryPolicy(connections_in_all=1, backoff_first_s=0.01)

        fetched(files, tmp_path, retry)

        assert [request.range for request in kept.log] == [None, "bytes=500-", None]
        assert [request.connection for request in kept.log] == [1, 2, 2]

    def test_a_body_that_is_given_up(self, kept: FaultyServer, tmp_path: Path) -> None:
        """It is slow, so another address of the same host is asked, by a new connection."""
        slow = kept.at("/slow", serve(data_of(0), piece=500, pause_s=0.1))
        good = kept.at("/good", serve(data_of(0)))
        retry = RetryPolicy(connections_in_all=1, stall_window_s=0.15)

        fetched([declared(0, slow, good), declared(1, kept.at("/1", serve(data_of(1))))], tmp_path, retry)

        assert [request.path for request in kept.log] == ["/slow", "/good", "/1"]
        assert [request.connection for request in kept.log] == [1, 2, 2]

    def test_a_body_of_another_size_than_declared(self, kept: FaultyServer, tmp_path: Path) -> None:
        """It is refused before it is read, and nothing of it is left for the next request."""
        wrong, good = kept.at("/wrong", serve(bytes(9_000_000))), kept.at("/good", serve(data_of(0)))

        fetched([declared(0, wrong, good)], tmp_path)

        assert [request.connection for request in kept.log] == [1, 2]

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_a_late_answer_that_the_file_is_not_there(self, status: int, kept: FaultyServer, tmp_path: Path) -> None:
        """It may be of another request: before the file counts as missing, a new connection is asked."""
        files = [declared(n, kept.at(f"/{n}", *([answer(status)] if n else []), serve(data_of(n)))) for n in range(2)]

        fetched(files, tmp_path)

        assert [(request.path, request.connection) for request in kept.log] == [("/0", 1), ("/1", 1), ("/1", 2)]

    def test_a_file_that_is_not_there(self, kept: FaultyServer, tmp_path: Path) -> None:
        """It costs one more request, after all other mirrors of it were asked; and is reported once."""
        one, two = kept.at("/one", answer(404), answer(404), serve(data_of(1))), kept.at("/two", answer(410))
        with pytest.raises(FetchError) as caught:
            fetched([*served(kept, 1), declared(1, one, two)], tmp_path)

        assert [request.path for request in kept.log] == ["/0", "/one", "/two", "/one", "/two"]
        assert caught.value.tried == ((one, "404 Not Found"), (two, "410 Gone"))


class TestApart:
    """Who is somebody else has a connection of his own."""

    def test_hosts(self, tmp_path: Path) -> None:
        """Two servers, each with one connection."""
        with FaultyServer(keeps_connections=True) as one, FaultyServer(keeps_connections=True) as two:
            files = [declared(n, server.at(f"/{n}", serve(data_of(n)))) for n, server in enumerate([one, two] * 3)]

            fetched(files, tmp_path)

            assert (one.connections, two.connections) == (1, 1)

    def test_credentials(self, kept: FaultyServer, tmp_path: Path) -> None:
        """None, and those of two people: each is sent with what it belongs to, and three connections share nothing."""
        whose = ["", "me:secret@", "you:other@"] * 2
        urls = [kept.at(f"/{n}", serve(data_of(n))).replace("://", f"://{who}") for n, who in enumerate(whose)]

        fetched([declared(n, url) for n, url in enumerate(urls)], tmp_path)

        sent = {(request.headers.get("Authorization"), request.connection) for request in kept.log}
        assert sent == {(None, 1), ("Basic bWU6c2VjcmV0", 2), ("Basic eW91Om90aGVy", 3)}

    @pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="this system does not list a process's descriptors")
    def test_thousands_of_hosts(self, kept: FaultyServer) -> None:
        """Connections are kept of those that were asked last, and a body on its way ends as it would."""
        connections = Connections()

        def ask(number: int) -> Response:
            url = kept.at(f"/{number}", serve(data_of(number, 200_000))).replace("://", f"://user{number}:secret@")
            return Web(url, DEFAULT_RETRY, Cancellation(), lambda: connections).open(0, None)

        def descriptors() -> int:
            return len([*Path("/dev/fd").iterdir()])

        before, first = descriptors(), ask(0)
        for number in range(1, 40):
            with closing(ask(number)) as response:
                assert b"".join(response.chunks) == data_of(number, 200_000)
        # Of the test's server each connection has one as well, until it has seen the end.
        until(lambda: descriptors() <= before + 17 * 3)
        assert b"".join(first.chunks) == data_of(0, 200_000)
        first.close()
        until(lambda: descriptors() <= before + 16 * 3)
        connections.close()
        until(lambda: descriptors() <= before)

    @pytest.mark.skipif(os.name == "nt", reason="there is no such limit there")
    def test_no_descriptor_left(self, kept: FaultyServer) -> None:
        """That is said, and not taken for a host that does not answer."""
        import resource

        url, connections = kept.at("/0", serve(data_of(0))), Connections()
        mirror = Web(url, DEFAULT_RETRY, Cancellation(), lambda: connections)
        mirror.open(0, None).close()  # with what is imported on the way
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        os.close(lowest_free := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        try:
            with pytest.raises(PermanentError, match=r"^too many files are open here \(see `ulimit -n`\)$"):
                mirror.open(0, None)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            connections.close()

    @pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="this system does not list a process's descriptors")
    @pytest.mark.parametrize(("limit", "hosts"), [(64, 1), (64, 30), (24, 3)])
    def test_few_descriptors(self, limit: int, hosts: int, kept: FaultyServer, tmp_path: Path) -> None:
        """With `ulimit -n 64` and sixteen connections allowed, as many files come at once as there is room for."""
        urls = [kept.at(f"/{n}", serve(data_of(n))).replace("://", f"://user{n % hosts}:pw@") for n in range(60)]
        files = [(f"{n}.bin", 3_000, sha256(data_of(n)), (url,)) for n, url in enumerate(urls)]
        given = json.dumps([files, str(tmp_path), limit])

        done = python("-c", FETCH_WITH_FEW_DESCRIPTORS, given)

        assert (done.returncode, done.stderr) == (0, "")
        assert all((tmp_path / "files" / f"{n}.bin").read_bytes() == data_of(n) for n in range(60))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_after_a_fork(self, kept: FaultyServer) -> None:
        """Parent and child go on, each by connections of its own: none is read by both."""
        connections = Connections()

        def read(number: int) -> bytes:
            url = kept.at(f"/{number}", serve(data_of(number)))
            with closing(Web(url, DEFAULT_RETRY, Cancellation(), lambda: connections).open(0, None)) as response:
                return b"".join(response.chunks)

        assert read(0) == data_of(0)
        kept.at("/1", serve(data_of(1)))
        child = os.fork()
        if not child:
            os._exit(0 if read(1) == data_of(1) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert read(2) == data_of(2)
        connections.close()

        assert [request.connection for request in kept.log] == [1, 2, 1]
