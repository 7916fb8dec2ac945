"""Many processes, one download; a dead process harms nobody."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.helpers.faulty_server import Exchange, FaultyServer, serve, sha256, silent, until
from tests.helpers.fresh_process import Begun, begin
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.plan import File

ROOT = Path(__file__).resolve().parents[2]
HASTE = RetryPolicy(read_timeout_s=5, backoff_first_s=0.01, lock_notice_after_s=0.1, poll_s=0.02)
DATA = random.Random(6).randbytes(2_000_000)
# Fetches what it is reported on its command line, after the file `go` has appeared; says what it brought.
CHILD = """
import json, sys, time
from pathlib import Path
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.plan import File
import filelock, pooch, requests

task = json.loads(sys.argv[1])
print("ready", flush=True)
while not Path(task["go"]).exists():
    time.sleep(0.002)
fetched = fetch(
    [File(**{**file, "urls": tuple(file["urls"])}) for file in task["files"]],
    Path(task["into"]),
    folder="shared",
    locks=Path(task["locks"]),
    progress=lambda *_: None,
    reuse_from=(),
    retry=RetryPolicy(**task["retry"]),
)
print(json.dumps([one.file.name for one in fetched]), flush=True)
"""

# Fetches, is interrupted, and fetches again.
SESSION = f"""
import json, sys
from pathlib import Path
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.plan import File

task = json.loads(sys.argv[1])
file = File("points.bin", {len(DATA)}, task["sha256"], (task["url"],))
def again():
    fetch([file], Path(task["into"]), folder="shared", locks=Path(task["locks"]), progress=lambda *_: None,
          reuse_from=(), retry=RetryPolicy(read_timeout_s=60, cancel_wait_s=10))
try:
    again()
except KeyboardInterrupt:
    print("interrupted")
again()
print("fetched")
"""


def declared_file(*urls: str, name: str = "points.bin", data: bytes = DATA) -> File:
    """What a manifest would declare."""
    return File(name=name, bytes=len(data), sha256=sha256(data), urls=urls)


class Place:
    """A downloads folder that several processes share."""

    def __init__(self, root: Path) -> None:
        self.into = root / "downloads" / "shared"
        self.locks = root / "downloads" / ".cache" / "locks"
        self.go = root / "go"
        self.children: list[Begun | subprocess.Popen[str]] = []

    def fetch(self, *files: File, retry: RetryPolicy = HASTE) -> list[File]:
        """Fetch, here and now."""
        fetched = fetch(
            files,
            self.into,
            folder="shared",
            locks=self.locks,
            progress=lambda *_: None,
            reuse_from=(),
            retry=retry,
        )
        return [one.file for one in fetched]

    def child(self, *files: File, retry: RetryPolicy = HASTE, go: Path | None = None) -> Begun | subprocess.Popen[str]:
        """A process that is ready to fetch as soon as `go` exists."""
        output = {
            "files": [asdict(file) for file in files],
            "into": str(self.into),
            "locks": str(self.locks),
            "go": str(go or self.go),
            "retry": asdict(retry),
        }
        return self.process(CHILD, json.dumps(output))

    def process(self, code: str, output: str) -> Begun | subprocess.Popen[str]:
        """A Python process of its own, to which every warning is an error."""
        strict = "import warnings; warnings.simplefilter('error')\n"
        process = begin("-c", strict + code, output, cwd=self.go.parent)
        self.children.append(process)
        return process

    def names(self) -> list[str]:
        """What is in the folder."""
        return sorted(path.name for path in self.into.iterdir())


def is_ready(child: Begun | subprocess.Popen[str]) -> None:
    """Wait until the child has imported all it needs."""
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty downloads folder, and in the end no process that still wants it."""
    place = Place(tmp_path)
    yield place
    for child in place.children:
        child.kill()
        with child:  # closes its pipes
            pass


class TestOneDownload:
    """However many want a file at once, it is fetched once."""

    @pytest.mark.parametrize("count", [4, pytest.param(16, marks=pytest.mark.slow)])
    def test_many_processes(self, count: int, server: FaultyServer, place: Place) -> None:
        """Each file is requested once, and brought by exactly one of them."""
        urls = [server.at(f"/{n}", serve(DATA, piece=100_000, pause_s=0.01)) for n in range(4)]
        files = [declared_file(url, name=f"{n}.bin") for n, url in enumerate(urls)]
        children = [place.child(*files) for _ in range(count)]
        for child in children:
            is_ready(child)
        place.go.touch()

        output = [child.communicate(timeout=60) for child in children]

        assert [child.returncode for child in children] == [0] * count, output
        assert sorted(name for out, _ in output for name in json.loads(out)) == ["0.bin", "1.bin", "2.bin", "3.bin"]
        assert sorted(request.path for request in server.log) == ["/0", "/1", "/2", "/3"]
        assert place.names() == ["0.bin", "1.bin", "2.bin", "3.bin"]
        assert all((place.into / name).read_bytes() == DATA for name in place.names())

    def test_eight_threads(self, server: FaultyServer, place: Place) -> None:
        """Threads of one process are no different."""
        file = declared_file(server.at("/f", serve(DATA, piece=100_000, pause_s=0.01)))

        with ThreadPoolExecutor(8) as pool:
            fetched = [future.result() for future in [pool.submit(place.fetch, file) for _ in range(8)]]

        assert sorted(map(len, fetched)) == [0] * 7 + [1]
        assert len(server.log) == 1

    @pytest.mark.slow
    def test_the_wait_names_the_holder(
        self, server: FaultyServer, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Once, after a moment: which process, on which computer."""
        file = declared_file(server.at("/f", serve(DATA, piece=40_000, pause_s=0.02)))
        place.go.touch()
        child = place.child(file)
        until(lambda: len(server.log) == 1)

        assert place.fetch(file) == []

        child.communicate(timeout=20)
        assert caplog.messages == [
            f"shared/points.bin: waiting for process {child.pid} on {socket.gethostname()}, which is fetching it"
        ]

    def test_nothing_is_left_among_the_locks(self, server: FaultyServer, place: Place) -> None:
        """The name of a holder goes with it."""
        place.fetch(declared_file(server.at("/f", serve(DATA))))

        assert [path.name for path in place.locks.iterdir() if path.suffix == ".holder"] == []


class TestDeadHolders:
    """Who is killed, or sleeps for ever, blocks nobody."""

    def test_a_killed_holder_leaves_its_bytes(self, server: FaultyServer, place: Place) -> None:
        """Its lock died with it; the next fetch goes on from its part."""
        url = server.at("/f", serve(DATA, cut_after=1_000_000, end="hang"), serve(DATA))
        place.go.touch()
        child = place.child(declared_file(url))
        part = place.into / "points.bin.part"
        until(lambda: part.exists() and part.stat().st_size == 1_000_000)
        child.kill()
        child.communicate()

        before = time.monotonic()
        place.fetch(declared_file(url))

        assert time.monotonic() - before < 2
        assert server.log[1].range == "bytes=1000000-"
        assert place.names() == ["points.bin"]

    def test_a_sleeping_holder_is_not_waited_for(
        self, server: FaultyServer, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A stopped process keeps its lock. After some silence we fetch for ourselves, under a name of our own."""
        url = server.at("/f", serve(DATA, cut_after=1_000_000, end="hang"), serve(DATA))
        place.go.touch()
        child = place.child(declared_file(url))
        until(lambda: len(server.log) == 1)
        part = place.into / "points.bin.part"
        until(lambda: part.exists() and part.stat().st_size == 1_000_000)
        child.send_signal(signal.SIGSTOP)
        hasty = RetryPolicy(holder_silence_s=0.5, poll_s=0.02)
        file = declared_file(url)

        assert place.fetch(file, retry=hasty) == [file]

        child.kill()
        child.communicate()
        who = f"process {child.pid} on {socket.gethostname()}"
        assert caplog.messages == [f"shared/points.bin: {who} has made no progress for 0.5 s; going on without it"]
        assert server.log[1].range is None
        assert (place.into / "points.bin").read_bytes() == DATA

    @pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
    def test_killed_at_random_instants(self, kills: int, server: FaultyServer, place: Place, tmp_path: Path) -> None:
        """SIGKILL at any instant of fetch: the next one is right, and no stray file is left."""
        rng = random.Random(kills)

        def ready(n: int) -> Begun | subprocess.Popen[str]:
            return place.child(*self.files(server, n), go=tmp_path / f"go {n}")

        children = [ready(0), ready(1)]  # one ahead: a child takes longer to start than to fetch
        for n in range(kills):
            child = children.pop(0)
            is_ready(child)
            children.append(ready(n + 2))
            (tmp_path / f"go {n}").touch()
            time.sleep(rng.uniform(0, 0.12))
            child.kill()
            child.communicate()
            extra = {name.partition(".bin")[2] for name in place.names()} if place.into.exists() else set()
            assert extra <= {"", ".part", ".part.json"}

            place.fetch(*self.files(server, n))

            assert all((place.into / f"{n}-{k}.bin").read_bytes() == DATA for k in range(2))
            assert [name for name in place.names() if not name.endswith(".bin")] == []

    def files(self, server: FaultyServer, n: int) -> list[File]:
        """Two files that take a tenth of a second together."""
        act = serve(DATA, etag=f'"{n}"', piece=100_000, pause_s=0.003)
        return [declared_file(server.at(f"/{n}-{k}", act), name=f"{n}-{k}.bin") for k in range(2)]


class TestWithoutLocks:
    """Where no lock can be had, everyone downloads for themselves, and nobody is harmed."""

    def test_duplicate_downloads_are_safe(
        self, server: FaultyServer, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The folder for locks is a file here: no lock file can be made, as on some network file systems."""
        place.locks.parent.mkdir(parents=True)
        place.locks.write_text("not a folder")
        file = declared_file(server.at("/f", serve(DATA, piece=100_000, pause_s=0.01)))

        with ThreadPoolExecutor(4) as pool:
            fetched = [future.result() for future in [pool.submit(place.fetch, file) for _ in range(4)]]

        assert [file] in fetched
        assert place.names() == ["points.bin"]
        assert (place.into / "points.bin").read_bytes() == DATA
        assert "no lock can be had" in caplog.messages[0]

    @pytest.mark.parametrize("at", [".", "shared--points.bin.lock", "shared--points.bin.holder"])
    def test_nothing_is_written_through_a_link(
        self, at: str, server: FaultyServer, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """In place of the folder for locks, of a lock, or of what says who holds it."""
        elsewhere = place.into.parent.parent / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "precious").write_text("precious")
        link = place.locks / at
        link.parent.mkdir(parents=True)
        link.symlink_to(elsewhere if at == "." else elsewhere / "precious")

        assert place.fetch(declared_file(server.at("/f", serve(DATA))))

        assert [path.read_text() for path in elsewhere.iterdir()] == ["precious"]
        assert caplog.messages == (
            []
            if at.endswith(".holder")
            else [
                f"shared/points.bin: no lock can be had ({link}: this is a symbolic link, and nothing is written "
                "through it); if others fetch it too, each does so for itself"
            ]
        )


class TestManners:
    """Files come in parallel, politely."""

    def test_two_connections_a_host(self, server: FaultyServer, place: Place) -> None:
        """Six files of one host."""
        urls = [server.at(f"/{n}", serve(DATA, piece=400_000, pause_s=0.02)) for n in range(6)]
        files = [declared_file(url, name=f"{n}.bin") for n, url in enumerate(urls)]

        assert place.fetch(*files) == files
        assert server.most_at_once == 2

    def test_four_connections_in_all(self, place: Place) -> None:
        """Six files of three hosts."""
        with FaultyServer() as one, FaultyServer() as two, FaultyServer() as three:
            slow = serve(DATA, piece=400_000, pause_s=0.05)
            files = [
                declared_file(server.at(f"/{n}", slow), name=f"{n}-{server.port}.bin")
                for n in range(2)
                for server in (one, two, three)
            ]
            most = 0
            done = threading.Event()

            def watch() -> None:
                nonlocal most
                while not done.wait(0.001):
                    most = max(most, sum(server.now for server in (one, two, three)))

            watcher = threading.Thread(target=watch)
            watcher.start()
            assert place.fetch(*files) == files
            done.set()
            watcher.join()

        assert 2 < most <= 4


class TestTheFirstErrorEndsAll:
    """One file that cannot come stops the others at once; what they have is kept."""

    PATIENT = RetryPolicy(read_timeout_s=60, cancel_wait_s=30, poll_s=0.02)

    def test_a_read_is_woken(self, server: FaultyServer, place: Place) -> None:
        """No thread is left sitting in a read that would last a minute."""
        hangs = declared_file(server.at("/hangs", serve(DATA, cut_after=1_000_000, end="hang")), name="hangs.bin")
        part = place.into / "hangs.bin.part"

        def gone(exchange: Exchange) -> None:
            until(lambda: part.exists() and part.stat().st_size == 1_000_000)
            exchange.head(404, {})

        before = time.monotonic()
        with pytest.raises(FetchError) as caught:
            place.fetch(hangs, declared_file(server.at("/gone", gone), name="gone.bin"), retry=self.PATIENT)

        assert time.monotonic() - before < 10
        assert caught.value.file == "gone.bin"
        until(lambda: not [thread.name for thread in threading.enumerate() if "job" in thread.name])
        assert part.stat().st_size == 1_000_000

    def test_an_error_of_the_progress_is_its_callers(self, server: FaultyServer, place: Place) -> None:
        """It comes out as it is, and the part is kept."""

        def tired(file: str, done: int, in_all: int) -> None:
            if done > 500_000:
                message = "no more of this"
                raise RuntimeError(message)

        file = declared_file(server.at("/f", serve(DATA, piece=100_000)))
        with pytest.raises(RuntimeError, match="no more of this"):
            fetch([file], place.into, folder="shared", locks=place.locks, progress=tired, reuse_from=())

        assert 500_000 < (place.into / "points.bin.part").stat().st_size <= len(DATA)


class TestCtrlC:
    """Ctrl-C is heard at once, and what came is kept."""

    @pytest.mark.parametrize("where", ["in the body", "before the first byte", "while waiting for a lock"])
    def test_it_is_heard(self, where: str, server: FaultyServer, place: Place) -> None:
        """The process ends with KeyboardInterrupt within seconds, though a read would last a minute."""
        patient = RetryPolicy(read_timeout_s=60, poll_s=0.02, cancel_wait_s=0.5)
        act = silent if where == "before the first byte" else serve(DATA, cut_after=1_000_000, end="hang")
        file = declared_file(server.at("/f", act))
        place.go.touch()
        child = place.child(file, retry=patient)
        part = place.into / "points.bin.part"
        until(lambda: len(server.log) == 1 and (act is silent or (part.exists() and part.stat().st_size == 1_000_000)))
        waiting = place.child(file, retry=patient) if where == "while waiting for a lock" else None
        heard = child if waiting is None else waiting
        if waiting is not None:
            is_ready(waiting)
            time.sleep(0.3)

        before = time.monotonic()
        heard.send_signal(signal.SIGINT)
        _, err = heard.communicate(timeout=20)

        assert time.monotonic() - before < 2
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert (part.stat().st_size if part.exists() else 0) == (0 if act is silent else 1_000_000)

    def test_in_a_session_that_goes_on(self, server: FaultyServer, place: Place, tmp_path: Path) -> None:
        """No thread is left in the read, so the lock is free at once, and a second call goes on from the part."""
        url = server.at("/f", serve(DATA, cut_after=1_000_000, end="hang"), serve(DATA))
        output = {"into": str(place.into), "locks": str(place.locks), "url": url, "sha256": sha256(DATA)}
        session = place.process(SESSION, json.dumps(output))
        part = place.into / "points.bin.part"
        until(lambda: part.exists() and part.stat().st_size == 1_000_000)

        session.send_signal(signal.SIGINT)
        out, err = session.communicate(timeout=20)

        assert (out, err) == ("interrupted\nfetched\n", "")
        assert [request.range for request in server.log] == [None, "bytes=1000000-"]
