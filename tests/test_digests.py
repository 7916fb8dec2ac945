"""Many files are hashed side by side, and all of it ends when nobody waits for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.faulty_server import sha256, until
from tests.helpers.yardstick import soon
from tinytorch_datasets.concurrency import Cancelled, check_cancelled, run_all
from tinytorch_datasets.digests import DigestsAhead, Stretch, digest, digest_of, digest_or_error, digests, map_stretch

GIB = 2**30


def test_each_file_has_its_digest_or_its_error(tmp_path: Path) -> None:
    """In the order in which they were asked for; and all bytes are reported of."""
    for name, size in (("small", 3), ("large", 3_000_000)):
        (tmp_path / name).write_bytes(bytes(size))
    result = []
    found = digests((tmp_path / name for name in ("small", "none", "large")), lambda *step: result.append(step))

    small, none, large = found.values()
    assert [path.name for path in found] == ["small", "none", "large"]
    assert small == (3, sha256(bytes(3)), None)
    assert isinstance(none, FileNotFoundError)
    assert large == (3_000_000, sha256(bytes(3_000_000)), None)
    assert result[-1] == (3_000_003, 3_000_003)


@pytest.mark.skipif(os.name == "nt", reason="a file without blocks takes a call of its own there")
class TestCancelled:
    """What nobody waits for is not begun, and what is at work ends at its next block."""

    @pytest.fixture
    def huge(self, tmp_path: Path) -> list[Path]:
        """More files than there are cores, of 16 GiB each and no block on the disk: each is hashed for many seconds."""
        paths = [tmp_path / f"{n}" for n in range((os.cpu_count() or 1) + 3)]
        for path in paths:
            path.touch()
            os.truncate(path, 16 * GIB)
        return paths

    def test_ctrl_c(self, huge: list[Path]) -> None:
        """It is obeyed at once."""

        def press(done: int, in_all: int) -> None:
            if not pressed:
                pressed.append(done)
                os.kill(os.getpid(), signal.SIGINT)

        pressed: list[int] = []
        with soon(clock=time.perf_counter), pytest.raises(KeyboardInterrupt):
            digests(huge, press)
        until(lambda: not any("job" in thread.name for thread in threading.enumerate()))

    def test_the_first_error_ends_the_others(self, huge: list[Path]) -> None:
        """Whichever job it comes from."""

        def fail() -> None:
            raise ValueError("this one")  # noqa: EM101

        jobs: list[Callable[[], object]] = [partial(digest_or_error, path) for path in huge]
        with soon(clock=time.perf_counter), pytest.raises(ValueError, match="this one"):
            run_all([*jobs, fail], sizes=[16] * len(huge) + [17])

    @pytest.mark.skipif(os.cpu_count() == 1, reason="one job after the other")
    def test_an_array_ends_as_well(self) -> None:
        """It is hashed piece by piece, and each asks."""
        begun, ended = threading.Event(), threading.Event()

        def fail() -> None:
            begun.wait()
            raise ValueError("this one")  # noqa: EM101

        def hash_on() -> None:
            begun.set()
            try:
                while True:
                    digest_of(np.zeros(4))
            except Cancelled:
                ended.set()
                raise

        with soon(clock=time.perf_counter), pytest.raises(ValueError, match="this one"):
            run_all([hash_on, fail])
        assert ended.is_set()

    def test_nothing_else_is_asked(self) -> None:
        """Outside such a job, everything is wanted."""
        check_cancelled()


class TestAhead:
    """What is hashed before anyone asks is right when it is taken, or is not taken."""

    def test_a_file_and_a_stretch_of_it_behind_a_line(self, tmp_path: Path) -> None:
        """As they would be hashed now."""
        path = tmp_path / "values.npy"
        path.write_bytes(bytes(128) + b"values")
        whole, values = Stretch(str(path)), Stretch(str(path), 128, b"uint8 6\n")

        with DigestsAhead([whole, values]) as ahead:
            until(lambda: not ahead.is_at_work)

            assert ahead.take(whole) == (134, sha256(bytes(128) + b"values"), None)
            assert ahead.take(values) == (6, sha256(b"uint8 6\nvalues"), None)

    def test_an_array_is_mapped_or_read(self, tmp_path: Path) -> None:
        """By the same digest; what is read and cut short meanwhile is another array, and ends no process."""
        path = tmp_path / "values.npy"
        path.write_bytes(bytes(128) + b"values")
        values, cut = Stretch(str(path), 128, b"uint8 6\n"), list[int]()

        def cut_short(count: int) -> None:
            if not cut:
                cut.append(count)
                os.truncate(path, 2**20)

        assert digest(path, stretch=values) == map_stretch(values) == (6, sha256(b"uint8 6\nvalues"), None)
        os.truncate(path, 2**28)
        assert digest(path, stretch=values, add=cut_short).bytes == max(cut[0], 2**20 - 128)

    def test_a_file_that_was_changed_since_is_for_whoever_asks_to_hash(self, tmp_path: Path) -> None:
        """At the same size, and with its old date."""
        path = tmp_path / "file"
        path.write_bytes(b"before")
        about = path.stat()

        with DigestsAhead([Stretch(str(path))]) as ahead:
            until(lambda: not ahead.is_at_work)
            path.write_bytes(b"behind")
            os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))

            assert ahead.take(Stretch(str(path))) is None

    def test_what_cannot_be_read_and_what_was_never_begun(self, tmp_path: Path) -> None:
        """Whoever asks reads it, and says why it cannot be read; a pipe is waited for by nobody."""
        (tmp_path / "empty.npy").touch()
        (tmp_path / "folder").mkdir()
        unreadable = [Stretch(str(tmp_path / "none")), Stretch(str(tmp_path / "folder"))]
        unreadable.append(Stretch(str(tmp_path / "empty.npy"), 128, b"uint8 0\n"))
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe")
            unreadable.append(Stretch(str(tmp_path / "pipe")))

        with DigestsAhead(unreadable) as ahead:
            assert not any(map(ahead.take, [*unreadable, Stretch(__file__)]))

    def test_whoever_waits_for_a_core_comes_when_a_thread_has_nothing_left(self, tmp_path: Path) -> None:
        """With more to hash than cores, each stretch has been begun then, and so none is left for whoever asks."""
        sizes = [2**23] * (os.cpu_count() or 1) + [1]
        stretches = [Stretch(str(tmp_path / f"{number}")) for number in range(len(sizes))]
        for stretch, size in zip(stretches, sizes, strict=True):
            Path(stretch.path).touch()
            os.truncate(stretch.path, size)

        with DigestsAhead(stretches) as ahead:
            ahead.wait_for_core()

            assert [taken and taken.bytes for taken in map(ahead.take, reversed(stretches))] == sizes[::-1]

    @pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="there is one core")
    def test_where_a_core_is_left_over_nobody_waits(self, tmp_path: Path) -> None:
        """One large file is hashed by one thread, and takes a second."""
        path = tmp_path / "large"
        path.touch()
        os.truncate(path, 2**31)

        with DigestsAhead([Stretch(str(path))]) as ahead:
            ahead.wait_for_core()

            assert ahead.is_at_work
