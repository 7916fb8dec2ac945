"""What stands in a file's place is looked at and reported, whatever it is."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.conftest import ROOT
from tests.helpers.faulty_server import sha256
from tests.helpers.users import open_to_all
from tinytorch_datasets.digests import digests
from tinytorch_datasets.errors import ChangedFile, HashMismatch, MissingFile, StorageError
from tinytorch_datasets.plan import File, Mode, Plan
from tinytorch_datasets.storage.memmap import stat_signature
from tinytorch_datasets.verify.files import GrowingDigest, StatCache, check_files, check_unchanged

DATA = b"length,width\n1,2\n"
DECLARED = File(name="train.csv", bytes=len(DATA), sha256=sha256(DATA), where="datasets.yaml:7")
HINT = "Restore it: `git checkout` it in a clone, or reinstall the package."


def checked(path: Path) -> None:
    """Check the file at `path` as `get` does for the first time."""
    check_files(plan(path.parent), mode="auto", stat_cache=StatCache())


def plan(root: Path) -> Plan:
    """A shipped data set of that one file, in the folder `root`."""
    return Plan("d", "d", root, "shipped", "csv", (DECLARED,), ())


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass, unlike `tmp_path`."""
    with open_to_all() as folder:
        yield folder


def as_another_user(path: Path) -> str:
    """Check the file as a user who is not root. Returns the error as that process tells it."""
    code = f"""
import os
from pathlib import Path
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.verify.files import StatCache, check_files
plan = Plan("d", "d", Path({str(path.parent)!r}), "shipped", "csv", ({DECLARED!r},), ())
if os.geteuid() == 0: os.setuid(65534)
try:
    check_files(plan, mode="auto", stat_cache=StatCache())
except Exception as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, cwd="/").stdout


class TestWhatCannotBeRead:
    """It is not said to be missing, nor to be another file: nobody knows that."""

    def test_nothing_there(self, tmp_path: Path) -> None:
        """That is missing."""
        with pytest.raises(MissingFile) as caught:
            checked(tmp_path / "train.csv")

        assert str(caught.value) == f"{tmp_path}/train.csv is missing\n  declared at datasets.yaml:7\n  {HINT}"

    def test_a_file_that_this_user_may_not_read(self, open_folder: Path) -> None:
        """Its size can be seen, and is right; its bytes cannot."""
        path = open_folder / "train.csv"
        path.write_bytes(DATA)
        path.chmod(0)

        assert as_another_user(path) == (
            f"StorageError: {path} cannot be read: you may not read it\n"
            "  declared at datasets.yaml:7\n"
            "  Ask its owner for the right to.\n"
        )

    def test_a_folder_that_this_user_may_not_pass(self, open_folder: Path) -> None:
        """Not even whether the file is there can be seen."""
        path = open_folder / "flowers" / "train.csv"
        path.parent.mkdir()
        path.write_bytes(DATA)
        path.parent.chmod(0)

        assert as_another_user(path) == (
            f"StorageError: {path} cannot be read: you may not read it\n"
            "  declared at datasets.yaml:7\n"
            "  Ask its owner for the right to.\n"
        )

    def test_a_file_in_place_of_its_folder(self, tmp_path: Path) -> None:
        """Then there is no such file."""
        (tmp_path / "flowers").touch()
        with pytest.raises(MissingFile) as caught:
            checked(tmp_path / "flowers" / "train.csv")

        assert str(caught.value) == (
            f"{tmp_path}/flowers/train.csv is missing\n  declared at datasets.yaml:7\n  {HINT}"
        )

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
    def test_no_file_in_its_place(self, make: object, tmp_path: Path) -> None:
        """A folder, or a pipe, at which reading would wait for ever."""
        assert callable(make)
        make(tmp_path / "train.csv")
        with pytest.raises(StorageError) as caught:
            checked(tmp_path / "train.csv")

        assert str(caught.value) == (
            f"{tmp_path}/train.csv cannot be read: what is there is no file\n"
            "  declared at datasets.yaml:7\n"
            "  Move it out of the way."
        )

    @pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no such file, which has a size and no bytes")
    @pytest.mark.parametrize("workers", [0, 1])
    def test_a_file_that_the_disk_does_not_give(self, workers: int) -> None:
        """It can be opened, and reading it is an error; by a worker too."""
        declared = File("mem", 0, sha256(b""), where="datasets.yaml:9")
        of = Plan("d", "d", Path("/proc/self"), "shipped", "csv", (declared,), ())
        with ThreadPoolExecutor(1) as pool, pytest.raises(StorageError) as caught:
            check_files(of, mode="auto", stat_cache=StatCache(), executor=pool if workers else None)

        assert str(caught.value) == (
            f"/proc/self/mem cannot be read: Input/output error\n  declared at datasets.yaml:9\n  {HINT}"
        )


class Meddler(ThreadPoolExecutor):
    """A worker after which the file is overwritten, once it was hashed."""

    def __init__(self, path: Path) -> None:
        super().__init__(1)
        self.path = path

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Write what is as long once the job is done."""
        future = super().submit(*args, **kwargs)
        future.exception()
        self.path.write_bytes(b"x" * len(DATA))
        os.utime(self.path, ns=(0, 1))  # whatever the resolution of the file system's clock is
        return future


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_what_a_worker_has_hashed_is_not_read_again(tmp_path: Path, mode: Mode) -> None:
    """What another program writes afterwards is noticed by the signature, which is that of before."""
    path, cache = tmp_path / "train.csv", StatCache()
    path.write_bytes(DATA)
    before = stat_signature(path)
    with Meddler(path) as executor:
        check_files(plan(tmp_path), mode=mode, stat_cache=cache, executor=executor)

    assert cache.signatures(plan(tmp_path)) == {str(path): before}
    with pytest.raises(ChangedFile):
        check_unchanged(plan(tmp_path), cache)


def test_sizes_are_compared_before_anything_is_hashed(tmp_path: Path) -> None:
    """A file that is missing is named at once, not after gigabytes of those before it."""
    (tmp_path / "train.csv").write_bytes(b"x" * len(DATA))
    later = File("later.csv", 1, sha256(b"1"), where="datasets.yaml:8")
    of = Plan("d", "d", tmp_path, "shipped", "csv", (DECLARED, later), ())
    with pytest.raises(MissingFile, match=r"later\.csv is missing"):
        check_files(of, mode="auto", stat_cache=StatCache())


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_large_files_are_hashed_side_by_side_and_the_first_wrong_one_is_named(tmp_path: Path, mode: Mode) -> None:
    """In the order of the manifest, whichever is hashed first; and right ones are remembered."""
    contents = {name: name.encode() * 2**22 for name in ("a", "b", "c")}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    files = [File(name, len(data), sha256(data), where=f"datasets.yaml:{len(name)}") for name, data in contents.items()]
    several, cache = Plan("d", "d", tmp_path, "shipped", "csv", tuple(files), ()), StatCache()

    check_files(several, mode=mode, stat_cache=cache)
    assert [cache.sha256(tmp_path / file.name) for file in files] == [file.sha256 for file in files]
    for name in ("b", "c"):
        (tmp_path / name).write_bytes(b"-" * 2**22)
    with pytest.raises(HashMismatch, match="b is not the declared file: it has sha256"):
        check_files(several, mode=mode, stat_cache=cache)


@pytest.mark.parametrize(
    ("sizes", "is_side_by_side"),
    [([2**22 + 1], False), ([1, 2], False), ([2**21, 2**21], False), ([2**21, 2**21 + 1], True), ([2**22, 1, 1], True)],
)
def test_threads_are_begun_for_several_files_of_more_than_four_mebibytes(
    tmp_path: Path, sizes: list[int], is_side_by_side: bool
) -> None:
    """Together: less is hashed sooner than they are begun, and one file is hashed by one thread."""
    files = []
    for number, size in enumerate(sizes):
        (tmp_path / str(number)).write_bytes(bytes(size))
        files.append(File(str(number), size, sha256(bytes(size)), where="datasets.yaml:7"))
    several, calls = Plan("d", "d", tmp_path, "shipped", "csv", tuple(files), ()), set[Any]()
    sys.setprofile(lambda frame, event, _: calls.add(frame.f_code) if event == "call" else None)
    try:
        check_files(several, mode="auto", stat_cache=StatCache())
    finally:
        sys.setprofile(None)

    assert (digests.__code__ in calls) == is_side_by_side


class TestGrowing:
    """A file is hashed while it grows, as the disk has it, by whoever alone writes to it."""

    @staticmethod
    def grow(path: Path, *pieces: bytes, before: Callable[[int], None] = lambda _: None) -> str | None:
        """Append the pieces, with something done before each; what the digest says in the end."""
        digest = GrowingDigest(path)
        with path.open("ab", buffering=0) as file:
            for number, piece in enumerate(pieces):
                before(number)
                digest.before_write(file.fileno())
                file.write(piece)
                digest.after_write(file.fileno())
            return digest.end(file.fileno())

    @pytest.mark.parametrize("there", [b"", b"from another day"])
    def test_all_that_it_has_in_the_end(self, there: bytes, tmp_path: Path) -> None:
        """Also what was in it before; more than is read or synced at a time."""
        pieces = [b"a" * 9_000_000, b"b", b"c" * 9_000_000, b""]
        (tmp_path / "file").write_bytes(there)

        assert self.grow(tmp_path / "file", *pieces) == sha256(there + b"".join(pieces))

    def test_nothing_is_known_where_another_program_writes_too(self, tmp_path: Path) -> None:
        """What it changed may have been hashed already."""
        path = tmp_path / "file"
        path.write_bytes(b"")

        def write_too(number: int) -> None:
            if number:
                with path.open("r+b") as other:
                    other.write(b"other")
                os.utime(path, ns=(0, number))  # whatever the resolution of the file system's clock is

        assert self.grow(path, b"right", b"right", before=write_too) is None

    def test_it_ends_at_once_when_nobody_wants_it(self, tmp_path: Path) -> None:
        """With its thread and its descriptor."""
        (tmp_path / "file").write_bytes(DATA)
        threads, digest = threading.active_count(), GrowingDigest(tmp_path / "file")

        assert "tinytorch-datasets-hash" in {thread.name for thread in threading.enumerate()}  # as a debugger lists it
        assert digest.end() is None
        assert threading.active_count() == threads

    @pytest.mark.parametrize("pieces", [[b"a"], [b"", b"a", b"", b"b"]])
    def test_to_the_last_byte(self, pieces: list[bytes], tmp_path: Path) -> None:
        """Also where that is the only one, or comes alone, or nothing comes."""
        (tmp_path / "file").touch()
        assert self.grow(tmp_path / "file", *pieces) == sha256(b"".join(pieces))

    @pytest.mark.skipif(os.name == "nt", reason="a file has all its blocks there")
    def test_nobody_waits_for_a_digest_that_nobody_wants(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not even while a terabyte is left, here of a file without blocks."""
        path, is_begun = tmp_path / "file", threading.Event()
        monkeypatch.setattr(os, "fsync", lambda _: is_begun.set())
        path.touch()
        digest = GrowingDigest(path)
        with path.open("wb", buffering=0) as file:
            file.truncate(2**40)
            digest.after_write(file.fileno())

            assert is_begun.wait(60)
            assert digest.end() is None

    def test_a_device_in_its_place_is_not_read(self, tmp_path: Path) -> None:
        """One that gives as many bytes as were written, and the same."""
        (tmp_path / "device").symlink_to("/dev/zero")
        digest = GrowingDigest(tmp_path / "device")
        with (tmp_path / "file").open("wb", buffering=0) as file:
            file.write(bytes(4))
            digest.after_write(file.fileno())

            assert digest.end(file.fileno()) is None

    @pytest.mark.skipif(os.utime not in os.supports_fd, reason="no times are set by a descriptor")
    def test_the_time_of_a_write_is_its_own(self, tmp_path: Path) -> None:
        """Now, and 300 ns past a microsecond: no clock ticks so, and a file system in steps of 100 ns can note it."""
        (tmp_path / "file").touch()
        before = time.time_ns()
        self.grow(tmp_path / "file", b"right")
        noted = (tmp_path / "file").stat().st_mtime_ns

        assert before - 1_000 < noted < time.time_ns() + 1_000
        assert noted % 1_000 == 300

    @pytest.mark.skipif(getattr(os, "geteuid", int)() != 0 or os.name == "nt", reason="root alone becomes another user")
    def test_nothing_is_known_of_a_file_of_another_user(self, tmp_path: Path) -> None:
        """To whom alone its times belong, though others may write to it: two changes may have the same one."""
        path = tmp_path / "file"
        path.touch()
        digest = GrowingDigest(path)
        with path.open("r+b", buffering=0) as file:
            file.write(DATA)
            os.seteuid(65534)
            try:
                digest.after_write(file.fileno())
            finally:
                os.seteuid(0)

            assert digest.end(file.fileno()) is None

    @pytest.mark.skipif(os.name == "nt", reason="only what may be written is synced there")
    def test_the_disk_is_asked_now_and_then(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once for each 16 MiB, not for each piece that is read: the disk would be waited for all the time."""
        system, is_synced = os.fsync, threading.Event()

        def fsync(fd: int) -> None:
            system(fd)
            is_synced.set()

        sync = Mock(side_effect=fsync)
        monkeypatch.setattr(os, "fsync", sync)
        path = tmp_path / "file"
        path.touch()
        digest = GrowingDigest(path)
        with path.open("r+b", buffering=0) as file:
            file.truncate(2**24)
            digest.after_write(file.fileno())
            assert is_synced.wait(60)
            file.truncate(2 * 2**24 + 5)
            digest.after_write(file.fileno())

            assert digest.end(file.fileno()) == sha256(bytes(2 * 2**24 + 5))
        assert sync.call_count == 2

    def test_also_within_one_tick_of_the_clock(self, tmp_path: Path) -> None:
        """Most file systems note a change by a clock that stands still for milliseconds, in which much is written."""
        path, tick = tmp_path / "file", 1_700_000_000_000_000_000
        digest = GrowingDigest(path)
        with path.open("wb", buffering=0) as file, path.open("r+b", buffering=0) as other:
            for _ in range(2):
                digest.before_write(file.fileno())
                file.write(b"right")
                os.utime(path, ns=(tick, tick))
                digest.after_write(file.fileno())
                other.seek(0)
                other.write(b"wrong")
                os.utime(path, ns=(tick, tick))
            assert digest.end(file.fileno()) is None

    def test_what_cannot_be_read_is_not_known(self, tmp_path: Path) -> None:
        """Here that the file is gone before it was opened; whoever hashes it in the end will say so."""
        digest = GrowingDigest(tmp_path / "missing")
        with (tmp_path / "file").open("wb", buffering=0) as file:
            file.write(DATA)
            digest.after_write(file.fileno())
            assert digest.end(file.fileno()) is None

        assert digest.error is None

    def test_what_the_disk_refuses_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The system says it once, to whoever syncs first."""
        refusal = OSError(errno.EIO, os.strerror(errno.EIO))
        monkeypatch.setattr(os, "fsync", Mock(side_effect=refusal))
        path = tmp_path / "file"
        path.touch()
        digest = GrowingDigest(path)
        with path.open("r+b", buffering=0) as file:
            file.write(bytes(2**24))
            digest.after_write(file.fileno())

            assert digest.end(file.fileno()) is None
            assert digest.error is refusal

    @pytest.mark.skipif(os.name == "nt", reason="only what may be written is synced there")
    def test_a_slow_disk_is_not_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All of the file is hashed while the disk has not even taken its first bytes."""
        is_hashed = threading.Event()
        waits = Mock(side_effect=lambda _: is_hashed.wait(60))
        monkeypatch.setattr(os, "fsync", waits)
        path = tmp_path / "file"
        path.touch()
        digest = GrowingDigest(path)
        with path.open("r+b", buffering=0) as file:
            file.truncate(3 * 2**24)
            digest.after_write(file.fileno())
            until = time.monotonic() + 60
            while digest.hashed < 3 * 2**24 and time.monotonic() < until:
                time.sleep(0.001)

            assert digest.hashed == 3 * 2**24
            assert waits.call_count == 1
            assert "tinytorch-datasets-sync" in {thread.name for thread in threading.enumerate()}
            is_hashed.set()
            assert digest.end(file.fileno()) == sha256(bytes(3 * 2**24))
