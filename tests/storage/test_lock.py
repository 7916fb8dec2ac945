"""Who holds a lock, whether that one is still at work, and how long it is waited for."""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from tests.helpers.forked import NOBODY, forked, in_a_fork
from tests.helpers.users import needs_root, open_to_all
from tinytorch_datasets.storage import lock as locks
from tinytorch_datasets.storage.lock import Holder, Waiting, hold_lock

HERE = socket.gethostname()
HOUR = 60 * 60


def ended() -> int:
    """Return the number of a process that has ended."""
    pid = forked(lambda: None)
    os.waitpid(pid, 0)
    return pid


class TestTheNote:
    """It is of whoever holds the lock, unless that process has ended, or nobody can say."""

    def test_whether_its_process_has_ended(self, tmp_path: Path) -> None:
        """On this computer the system knows; of another one, only its age is known."""
        holder, now, (reader, writer) = tmp_path / "a.holder", time.time(), os.pipe()

        def work() -> None:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup` has its children ignore
            os.close(writer)
            os.read(reader, 1)

        at_work = forked(work)
        cases: list[tuple[str | bytes, float, bool]] = [
            (f"process {at_work} on {HERE}", now, False),
            (f"process {os.getpid()} on {HERE}", now, True),
            (f"process {ended()} on {HERE}", now, True),
            ("process 7 on elsewhere", now, False),
            ("process 7 on elsewhere", now - HOUR + 60, False),
            ("process 7 on elsewhere", now - HOUR - 60, True),
            ("process 7 on", now, True),
            ("7 7 7", now, True),
            ("process x on elsewhere", now, True),
            (f"process {2**70} on {HERE}", now, True),
            (f"process {'7' * 5_000} on {HERE}", now, True),
            (b"process 7 on \xff", now, True),
            ("", now, True),
        ]
        for note, changed, expected in cases:
            holder.write_bytes(note.encode() if isinstance(note, str) else note)
            os.utime(holder, (changed, changed))
            assert locks._is_abandoned(holder) is expected, note
        os.close(writer)
        assert os.waitpid(at_work, 0)[1] == 0  # it has not been disturbed
        os.close(reader)

        holder.write_text(f"process {os.getpid()} on {HERE}")
        assert locks._is_abandoned(holder, ours_counts=True) is False
        holder.unlink()
        assert locks._is_abandoned(holder)
        holder.symlink_to("/proc/version")
        assert locks._is_abandoned(holder)
        holder.unlink()
        os.mkfifo(holder)
        assert locks._is_abandoned(holder)

    @needs_root
    def test_of_another_users_process(self) -> None:
        """It may not be signaled, and so it is there."""
        with open_to_all() as folder:
            holder = folder / "a.holder"
            holder.write_text(f"process {os.getpid()} on {HERE}")
            assert in_a_fork(partial(locks._is_abandoned, holder), NOBODY) is False
            assert locks._is_abandoned(holder)

    def test_all_who_hold_one_are_listed(self, tmp_path: Path) -> None:
        """In order; what is no note, or has just gone, is left out, and no sign of a note reaches a terminal."""
        notes = {
            "a.lock": b"process 1 on x",
            "b.holder": f"process {os.getpid()} on {HERE}".encode(),
            "c\x1b[31m.holder": b"process \xff 7 \x1b[0m on elsewhere",
            "d.holder": b"",
            "e.holder": f"process {ended()} on {HERE}".encode(),
        }
        for name, note in notes.items():
            (tmp_path / name).write_bytes(note)
            os.utime(tmp_path / name, (1.5e9, 1.5e9) if name != "b.holder" else (time.time(), 2e9))
        (tmp_path / "dangling.holder").symlink_to("nowhere")
        (tmp_path / "folder.holder").mkdir()

        assert list(locks.holders(tmp_path)) == [
            Holder("b", f"process {os.getpid()} on {HERE}", 2e9, is_gone=False),
            Holder("c\\x1b[31m", "process \ufffd 7 \\x1b[0m on elsewhere", 1.5e9, is_gone=True),
            Holder("d", "another process", 1.5e9, is_gone=True),
            Holder("e", notes["e.holder"].decode(), 1.5e9, is_gone=True),
        ]
        assert list(locks.holders(tmp_path / "none")) == []


def test_a_lock_that_everybody_is_given_is_known(tmp_path: Path) -> None:
    """By asking a second time; that lock is let go at once."""

    def lock(name: str) -> FileLock:
        return FileLock(tmp_path / name, is_singleton=False, thread_local=False)

    first, second = lock("a"), lock("a")
    with first:
        begin = time.monotonic()
        assert locks._is_refused_to_others(second) is True
        assert time.monotonic() - begin < 0.9
    assert locks._is_refused_to_others(second) is False
    assert not second.is_locked
    (tmp_path / "folder").mkdir()
    assert locks._is_refused_to_others(lock("folder")) is False


class TestWaiting:
    """One line when it begins to be long, another when it is given up; any progress begins it anew."""

    def wait(self, holder: Path, **waiting: object) -> tuple[locks._Wait, list[str]]:
        """A wait that begins now, and the lines that it reports."""
        lines: list[str] = []
        return locks._Wait("points", holder, Waiting(report=lines.append, work="fetching", **waiting)), lines  # type: ignore[arg-type]

    def test_it_is_reported_once(self, tmp_path: Path) -> None:
        """When it is as long as that, with the words of the note if there are any."""
        holder = tmp_path / "a.holder"
        notes = [
            (None, "another process"),
            (b"", "another process"),
            (b"process \xff", "process \ufffd"),
            (b"\x1b[2Jprocess\n7", "\\x1b[2Jprocess\\n7"),
            (b"7" * 100_000, "7" * 1_000),
        ]
        for note, who in notes:
            if note is not None:
                holder.write_bytes(note)
            wait, lines = self.wait(holder, notice_after_s=0.0)
            assert [wait.is_in_vain(), wait.is_in_vain()] == [False, False]
            assert lines == [f"points: waiting for {who}, which is fetching it"]
        wait, lines = self.wait(holder, notice_after_s=0.05)
        assert not wait.is_in_vain()
        assert lines == []
        time.sleep(0.06)
        assert not wait.is_in_vain()
        assert len(lines) == 1

    def test_it_is_given_up_when_nothing_moves(self, tmp_path: Path) -> None:
        """So long after the last progress, and not after the beginning."""
        steps = iter([None, 1, 1, 2, 2])
        wait, lines = self.wait(
            tmp_path / "none", notice_after_s=math.inf, silence_s=0.05, progress=lambda: next(steps)
        )
        ends = []
        for _ in range(5):
            ends.append(wait.is_in_vain())
            time.sleep(0.06)
        assert ends == [False, False, True, False, True]
        assert lines == ["points: another process has made no progress for 0.05 s; going on without it"] * 2

        wait, lines = self.wait(tmp_path / "none", notice_after_s=math.inf, silence_s=0.05)
        time.sleep(0.06)
        assert wait.is_in_vain()  # nothing was ever known of its progress

    def test_between_two_processes(self, tmp_path: Path) -> None:
        """The one that waits goes on when the other has ended, however it ended; or without the lock."""
        held, go = os.pipe(), os.pipe()
        gone: list[object] = []

        def hold() -> None:
            with hold_lock(tmp_path, "a/points", Waiting()):
                os.write(held[1], b"x")
                os.read(go[0], 1)
                os._exit(1)  # killed, as it were: no line of it is run any more

        pid = forked(hold)
        os.read(held[0], 1)
        lines: list[str] = []
        waiting = Waiting(report=lines.append, poll_s=0.01, notice_after_s=0.0, silence_s=0.03)
        with hold_lock(tmp_path, "a/points", waiting) as is_locked:
            assert not is_locked
        who = f"process {pid} on {HERE}"
        assert lines == [
            f"a/points: waiting for {who}, which is decoding it",
            f"a/points: {who} has made no progress for 0.03 s; going on without it",
        ]
        assert (tmp_path / "a--points.holder").read_text() == who

        def let_go(seconds: float) -> None:
            if not gone:
                os.write(go[1], b"x")
                gone.append(os.waitpid(pid, 0))
            time.sleep(seconds)

        with hold_lock(tmp_path, "a/points", Waiting(poll_s=0.01, sleep=let_go)) as is_locked:
            assert is_locked
            assert gone
            assert (tmp_path / "a--points.holder").read_text() == f"process {os.getpid()} on {HERE}"
        assert not (tmp_path / "a--points.holder").exists()
        for fd in (*held, *go):
            os.close(fd)


def test_a_lock_that_cannot_be_had_is_done_without(tmp_path: Path) -> None:
    """With the reason in one line: a link, or a file where the folder should be. Long names are cut."""
    (tmp_path / "points.lock").symlink_to("elsewhere")
    (tmp_path / "file").touch()
    no = "no lock can be had"
    for_itself = "if others fetch it too, each does so for itself"
    link = f"{tmp_path}/points.lock: this is a symbolic link, and nothing is written through it"
    file = f"{tmp_path}/file cannot be written: a file is in the way of a folder"
    for folder, reason in [(tmp_path, link), (tmp_path / "file", file)]:
        lines: list[str] = []
        with hold_lock(folder, "points", Waiting(report=lines.append)) as is_locked:
            assert not is_locked
        assert lines == [f"points: {no} ({reason}); {for_itself}"]
    assert not (tmp_path / "elsewhere").exists()
    with hold_lock(tmp_path, "\u00e9" * 200, Waiting(report=pytest.fail)) as is_locked:
        assert is_locked
        assert (tmp_path / ("\u00e9" * 100 + ".lock")).exists()
