"""A lock that is given to everybody, as some network file systems do, locks nothing: no download is harmed by it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.helpers.faulty_server import FaultyServer, serve, sha256
from tinytorch_datasets.plan import File
from tinytorch_datasets.storage.lock import Waiting, hold_lock

ROOT = Path(__file__).resolve().parents[2]
DATA = random.Random(22).randbytes(1_000_000)
CHILD = """
import json, logging, sys, time
from pathlib import Path
from tinytorch_datasets.fetch import fetch
from tinytorch_datasets.plan import File
import filelock, pooch, requests

given = json.loads(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
fetch(
    [File(**{**given["file"], "urls": tuple(given["file"]["urls"])})],
    Path(given["into"]),
    folder="shared",
    locks=Path(given["locks"]),
    progress=lambda *_: None,
    reuse_from=(),
)
"""


@pytest.fixture
def lock_for_all(tmp_path: Path) -> Path:
    """A library that stands in for the system's: there, every lock is given to whoever asks."""
    compiler = shutil.which("cc")
    if not compiler or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler to make a stand-in for the file system")
    source, library = tmp_path / "yes.c", tmp_path / "yes.so"
    source.write_text("int flock(int fd, int operation) { return 0; }\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


@pytest.mark.slow
def test_three_at_once(lock_for_all: Path, server: FaultyServer, tmp_path: Path) -> None:
    """All succeed, each by a part of its own; the file is right, and nothing is left beside it."""
    into = tmp_path / "downloads" / "shared"
    url = server.at("/f", serve(DATA, piece=100_000, pause_s=0.02))
    file = asdict(File(name="points.bin", bytes=len(DATA), sha256=sha256(DATA), urls=(url,)))
    given = json.dumps({"file": file, "into": str(into), "locks": str(tmp_path / "locks")})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(lock_for_all)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, given],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"

    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    errors = [child.communicate(timeout=60)[1] for child in children]

    each_for_itself = "a lock here keeps nobody out; if others fetch it too, each does so for itself"
    assert [child.returncode for child in children] == [0, 0, 0], errors
    assert errors == [f"shared/points.bin: {each_for_itself}\n"] * 3
    assert [path.name for path in into.iterdir()] == ["points.bin"]
    assert (into / "points.bin").read_bytes() == DATA


class TestTheNoteOfTheHolder:
    """A lock may be good on one computer, and unknown to all others; then the note of its holder tells."""

    def is_ours(self, locks: Path, note: str) -> bool:
        """Whether we are reported that the lock is ours, where that note stands beside it."""
        locks.mkdir(exist_ok=True)
        (locks / "points.holder").write_text(note)
        with hold_lock(locks, "points", Waiting()) as is_locked:
            return is_locked

    def test_of_another_computer(self, tmp_path: Path) -> None:
        """It may be at work there."""
        assert not self.is_ours(tmp_path, "process 7 on another-computer")

    def test_of_another_computer_long_ago(self, tmp_path: Path) -> None:
        """It was killed, and left its note."""
        (tmp_path / "points.holder").touch()
        assert not self.is_ours(tmp_path, "process 7 on another-computer")
        os.utime(tmp_path / "points.holder", (1, 1))

        with hold_lock(tmp_path, "points", Waiting()) as is_locked:
            assert is_locked

    def test_of_a_process_that_has_ended(self, tmp_path: Path) -> None:
        """The system gave us its lock, which died with it."""
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()

        assert self.is_ours(tmp_path, f"process {ended.pid} on {os.uname().nodename}")

    @pytest.mark.parametrize("note", ["", "nonsense", "process x on y"])
    def test_that_says_nothing(self, note: str, tmp_path: Path) -> None:
        """A note that a kill left half written."""
        assert self.is_ours(tmp_path, note)
