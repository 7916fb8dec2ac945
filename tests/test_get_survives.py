"""get() among other processes, and after they were killed."""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Served
from tests.helpers.fresh_process import Begun, begin
from tinytorch_datasets import Dataset, get

GET = "from tinytorch_datasets import get; import sys; get('mnist', mirror=sys.argv[1])"


def start(mirror: str) -> Begun | subprocess.Popen[str]:
    """A process of its own that gets MNIST."""
    return begin("-c", GET, mirror)


def end_of(process: Begun | subprocess.Popen[str]) -> int | None:
    """Its exit code, when it has ended."""
    process.communicate()
    return process.returncode


@functools.cache
def pixels(folder: Path, name: str) -> str:
    """The sha256 of the pixels in a published file, read here by hand: 16 bytes of header, then the images."""
    return hashlib.sha256(gzip.decompress((folder / "mnist" / name).read_bytes())[16:]).hexdigest()


def is_right(mnist: Dataset, realdata: Path) -> bool:
    """Whether every pixel and label is the published one."""
    same = all(
        hashlib.sha256(split.images.tobytes()).hexdigest() == pixels(realdata, name)
        for split, name in (
            (mnist.train, "train-images-idx3-ubyte.gz"),
            (mnist.test, "t10k-images-idx3-ubyte.gz"),
        )
    )
    counts = np.bincount(mnist.train.labels).tolist()
    return same and counts == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


class TestKilled:
    """Killed at any instant of fetching, decoding and writing, the next get is right."""

    def kill_and_get_again(self, count: int, realdata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Kill `count` runs, each a little later than the one before, and get after each."""
        mirror = str(realdata)
        monkeypatch.setenv("TINYTORCH_DATASETS_HOME", str(tmp_path / "whole"))
        began = time.monotonic()
        assert end_of(start(mirror)) == 0
        whole_s = time.monotonic() - began
        chance = random.Random(20)
        killed = 0
        for i in range(3 * count):
            if killed == count:
                break
            home = tmp_path / f"home{i}"
            monkeypatch.setenv("TINYTORCH_DATASETS_HOME", str(home))
            process = start(mirror)
            time.sleep(whole_s * (0.3 + 0.7 * (killed + chance.random()) / count))
            process.send_signal(signal.SIGKILL)
            if end_of(process) == -signal.SIGKILL:
                killed += 1
            else:  # it was done before: what else runs here made the first run slow
                whole_s *= 0.8

            mnist = get("mnist", mirror=mirror)

            assert is_right(mnist, realdata)
            assert not list(home.rglob("*.part"))[1:], "more is left than the part of one killed write"
        assert killed == count, "the processes were done before they could be killed"

    @pytest.mark.slow
    def test_fifty_times(self, realdata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fifty instants, spread over the whole of a run."""
        self.kill_and_get_again(50, realdata, tmp_path, monkeypatch)


class TestTogether:
    """Processes that want the same data set at once share one download."""

    @pytest.mark.parametrize("count", [2, pytest.param(16, marks=pytest.mark.slow)])
    def test_many_processes_ask_for_each_file_once(
        self, count: int, realdata: Path, home: Path, serve: Callable[[Path], Served]
    ) -> None:
        """One fetches each file, the rest wait for it and use it."""
        mirror = serve(realdata)
        processes = [start(mirror) for _ in range(count)]

        assert [*map(end_of, processes)] == [0] * count
        assert sorted(mirror.asked) == sorted(f"/mnist/{path.name}" for path in (realdata / "mnist").iterdir())
        assert is_right(get("mnist", offline=True), realdata)


class TestASharedCopy:
    """A lab keeps one copy in a folder that students can read and not write."""

    def test_is_used_where_it_is(
        self, realdata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
    ) -> None:
        """Neither files nor arrays are copied; what is new goes to the first folder that can be written."""
        shared, own = tmp_path / "shared", tmp_path / "own"
        monkeypatch.setenv("TINYTORCH_DATASETS_HOME", str(shared))
        get("mnist", mirror=realdata)
        before = sorted(path for path in shared.rglob("*"))
        shared.chmod(0o555)
        if os.geteuid() == 0:  # to whom the system says yes whatever the folder's mode is
            monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(shared))
        monkeypatch.setenv("TINYTORCH_DATASETS_HOME", f"{shared}{os.pathsep}{own}")

        mnist = get("mnist")

        assert is_right(mnist, realdata)
        assert Path(mnist.train.images.filename).is_relative_to(shared)
        assert sorted(path for path in shared.rglob("*")) == before
        assert Path(get("tinydigits").train.images.filename).is_relative_to(own)


class TestOffline:
    """Offline, no socket is opened, ever: not by what is imported either."""

    def test_a_stick_and_the_shipped_sets_need_none(self, realdata: Path, home: Path) -> None:
        """In a fresh process, watched by an audit hook that no code can take back or catch."""
        code = (
            "import os, sys\n"
            "def watch(event, args):\n"
            "    if event in ('socket.__new__', 'socket.bind', 'socket.connect', 'socket.getaddrinfo'):\n"
            "        os.write(2, f'{event} {args}'.encode()); os._exit(97)\n"
            "sys.addaudithook(watch)\n"
            "from tinytorch_datasets import get\n"
            "get('tinydigits', offline=True)\n"
            f"get('mnist', offline=True, mirror={str(realdata)!r})\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
