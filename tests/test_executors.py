"""Tasks run by any executor: in their order, lost ones again, and only where the same files are seen."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.audit_world import World, build, copied
from tests.helpers.executors import Sending, fail
from tests.helpers.faulty_server import sha256
from tests.helpers.yardstick import soon
from tinytorch_datasets import __version__, get, load_manifest
from tinytorch_datasets.auditing.audit import audit
from tinytorch_datasets.concurrency import check_cancelled
from tinytorch_datasets.concurrency.executors import check_executor, run_tasks
from tinytorch_datasets.concurrency.tasks import Task, look_at
from tinytorch_datasets.digests import digest, digest_or_error, digests
from tinytorch_datasets.errors import HashMismatch, MissingLibrary, StorageError, UsageError
from tinytorch_datasets.mirror.copy import mirror, sums_in


class Backwards(Executor):
    """One that does nothing until it has so many calls, and then the last of them first; later ones at once."""

    def __init__(self, calls: int) -> None:
        self._calls, self._held = calls, list[tuple[Future[Any], Callable[[], Any]]]()

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Keep it, or run all."""
        future: Future[Any] = Future()
        self._held.append((future, partial(function, *args, **kwargs)))
        if len(self._held) >= self._calls:
            for held, call in reversed(self._held):
                held.set_result(call())
            self._calls = 0
            self._held.clear()
        return future


def raise_error(error: Exception) -> None:
    """A job that fails."""
    raise error


class Elaborate(Exception):
    """One that pickles, and cannot be made of what was pickled."""

    def __init__(self, *, where: str) -> None:
        super().__init__(f"wrong at {where}")


def raise_elaborate() -> None:
    """A job that fails in such a way."""
    raise Elaborate(where="row 3")


def raise_local() -> None:
    """A job whose error's class is nowhere to be found."""

    class Local(Elaborate):
        pass

    raise Local(where="row 3")


def sit() -> None:
    """A job that ends when nobody waits for it any more."""
    while True:
        check_cancelled()
        time.sleep(0.001)


def files_in(folder: Path, count: int) -> list[Path]:
    """Small files, each of another content and size."""
    paths = [folder / f"{number}.bin" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number * (number + 1))
    return paths


class TestRunTasks:
    """What comes back is what the tasks return here."""

    @pytest.mark.parametrize(
        "executor",
        [None, ThreadPoolExecutor(1), ThreadPoolExecutor(2), Sending(), Backwards(5)],
        ids=["none", "a thread", "threads", "sending", "backwards"],
    )
    def test_results_come_in_the_order_of_the_tasks(self, tmp_path: Path, executor: Executor | None) -> None:
        """With the bytes that are done; a file that is not there is an error of its own."""
        paths = [*files_in(tmp_path, 5), tmp_path / "none"]
        for path in paths[:5]:
            os.truncate(path, 2**24)  # of which each is a call
        steps: list[tuple[int, int]] = []
        found = digests(paths, lambda *step: steps.append(step), executor)

        assert [*found] == paths
        assert [str(of.sha256) for of in list(found.values())[:5]] == [sha256(path.read_bytes()) for path in paths[:5]]  # type: ignore[union-attr]
        assert isinstance(found[tmp_path / "none"], FileNotFoundError)
        assert steps[-1] == (5 * 2**24, 5 * 2**24)

    def test_small_tasks_go_together_and_large_ones_alone(self) -> None:
        """The largest first: 250 small ones are three calls, as a hundred at most are sent at once."""
        sending = Sending()
        tasks = [Task(partial(abs, -n), size=10) for n in range(250)]
        assert run_tasks(tasks, sending) == list(range(250))
        assert sending.calls == 3

        large = Sending()
        run_tasks([replace(task, size=2**24) for task in tasks[:5]], large)
        assert large.calls == 5

    def test_the_first_calls_have_the_most_to_do_and_the_last_the_least(self) -> None:
        """So that there are few calls, and no worker is waited for in the end; and thousands at most."""

        class Counting(Sending):
            def __init__(self) -> None:
                super().__init__()
                self.tasks = list[int]()

            def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                self.tasks.append(len(pickle.loads(args[2])))
                return super().submit(function, *args, **kwargs)

        task, counting = Task(partial(abs, -1), 5 * 2**24), Counting()
        run_tasks([task] * 400, counting)
        assert counting.tasks == sorted(counting.tasks, reverse=True)
        assert counting.tasks[0] == 7  # 512 MiB, and what the last file has more
        assert counting.tasks[-16:] == [1] * 16

        many = Sending()
        run_tasks([replace(task, size=2**30)] * 2 * 4096, many)
        assert many.calls == 4096 + 8  # two a call, until a 16th of what is left is less

    def test_the_error_of_a_job_is_raised_and_the_others_are_cancelled(self) -> None:
        """As it was raised there, and not tried again."""
        with ThreadPoolExecutor(1) as threads:
            waits = threading.Event()
            begun = threads.submit(waits.wait)
            tasks = [Task(partial(raise_error, ValueError("this one")), 2**25)]
            tasks += [Task(sit, 2**24)] * 3
            threading.Timer(0.05, waits.set).start()
            with soon(clock=time.perf_counter), pytest.raises(ValueError, match="this one"):
                run_tasks(tasks, threads)
            assert begun.result()

    @pytest.mark.parametrize("job", [raise_elaborate, raise_local])
    def test_an_error_that_cannot_be_sent_is_raised_here(
        self, job: Callable[[], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        """A pool through which one is sent would be broken for good, and its worker taken for lost."""
        sending = Sending()
        with pytest.raises(Elaborate, match="wrong at row 3"):
            run_tasks([Task(partial(abs, -1)), Task(job), Task(partial(abs, -2))], sending)
        assert sending.calls == 1
        assert not caplog.records


class TestImports:
    """That a worker has not all that this process has is told apart from a job that asks for what is nowhere."""

    def test_a_module_that_is_nowhere_is_the_jobs_own_error(self) -> None:
        """As is one without a name, and an attribute."""
        nowhere = ModuleNotFoundError("No module named 'nowhere'", name="nowhere")
        no_name = ImportError("cannot import name 'nothing' from 'json'", name="json")
        for error in (nowhere, no_name, ImportError("it needs a display"), AttributeError("nothing")):
            with pytest.raises(type(error)) as caught:
                run_tasks([Task(partial(raise_error, error))], Sending())
            assert not isinstance(caught.value, UsageError)
            assert str(caught.value) == str(error)

    def test_one_that_this_process_has_is_missing_to_the_worker(self) -> None:
        """Which is named; as is a name of a module, whose version must be another one."""
        no_module = ModuleNotFoundError("No module named 'json'", name="json")
        no_name = ImportError("cannot import name 'loads' from 'json' (there)", name="json")
        for error in (no_module, no_name):
            with pytest.raises(UsageError) as caught:
                run_tasks([Task(partial(raise_error, error))], Sending())
            assert str(caught.value) == (
                f"{socket.gethostname()}, process {os.getpid()}, thread {threading.get_ident()} cannot import what "
                f"this process can: {type(error).__name__}: {error}\n"
                "  Give every worker the same versions of Python, of tinytorch-datasets and of the libraries that it "
                "uses."
            )

    def test_a_library_that_a_format_needs_is_missing_there(self) -> None:
        """With the line that installs it."""
        error = MissingLibrary("format 'parquet'", "pyarrow", "parquet")
        with pytest.raises(MissingLibrary) as caught:
            run_tasks([Task(partial(raise_error, error))], Sending())
        assert str(caught.value).startswith(
            f"format 'parquet' needs pyarrow, which is not installed on the worker {socket.gethostname()}, process "
        )
        assert str(caught.value).endswith("\n  pip install 'tinytorch-datasets[parquet]'")

    def test_a_job_that_cannot_be_sent_is_done_here(self, caplog: pytest.LogCaptureFixture) -> None:
        """A function inside another one is nowhere to be found by a worker."""
        assert run_tasks([Task(lambda: 3)], Sending()) == [3]
        (message,) = caplog.messages
        assert message.startswith("1 of 1 tasks are done in this process: ")


class TestNested:
    """Whoever waits in a worker for that very executor may wait for ever."""

    def test_a_thread_of_the_pool_does_the_tasks_itself(self, tmp_path: Path) -> None:
        """It is in this process, as all of the pool are."""
        paths = files_in(tmp_path, 3)
        with ThreadPoolExecutor(1) as pool:

            def nested() -> Any:
                check_executor(pool)
                return digests(paths, executor=pool)

            assert pool.submit(nested).result(timeout=30) == {path: digest(path) for path in paths}

    def test_of_another_one_a_line_says_that_nothing_has_begun(self, caplog: pytest.LogCaptureFixture) -> None:
        """Once; it may begin all the same."""
        with ThreadPoolExecutor(1) as pool:
            waits = threading.Event()
            pool.submit(waits.wait)
            threading.Timer(0.5, waits.set).start()
            check_executor(pool, silent_s=0.01)
        assert caplog.messages == [
            "the executor has begun nothing for 0.01 s, and never will if all its workers wait for whoever waits here"
        ]


class TestLostWorkers:
    """A worker that is gone changes nothing but the time."""

    @pytest.mark.parametrize(
        "error", [BrokenExecutor("a process died"), CancelledError(), RuntimeError("no such node")]
    )
    def test_its_tasks_are_done_again(self, tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
        """By the executor: the first call is lost, the bundle's tasks then go one by one."""
        paths, sending = files_in(tmp_path, 3), Sending(fail(error, 1))
        assert digests(paths, executor=sending) == {path: digest(path) for path in paths}
        assert sending.calls == 1 + 3
        assert not caplog.records

    def test_after_three_times_they_are_done_here(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Which is said in a line."""
        paths, sending = files_in(tmp_path, 2), Sending(fail(MemoryError()))
        assert digests(paths, executor=sending) == {path: digest(path) for path in paths}
        assert sending.calls == 1 + 2 * 2
        assert caplog.messages == ["2 of 2 tasks are done in this process: MemoryError"]

    def test_an_executor_that_takes_no_more_leaves_the_rest_to_this_process(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A pool whose process was killed is broken for good."""

        class Breaking(Sending):
            def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                if self.calls == 1:
                    msg = "A process in the process pool was terminated abruptly"
                    raise BrokenExecutor(msg)
                return super().submit(function, *args, **kwargs)

        paths = files_in(tmp_path, 4)
        tasks = [Task(partial(digest, path), 2**24, (path,)) for path in paths]
        assert run_tasks(tasks, Breaking()) == [digest(path) for path in paths]
        assert caplog.messages == [
            "3 of 4 tasks are done in this process: "
            "BrokenExecutor: A process in the process pool was terminated abruptly"
        ]


class TestRefusals:
    """What cannot run tasks is refused before anything is done, in a sentence."""

    def refusal(self, executor: Any) -> str:
        """What is said of it by a whole audit, too."""
        with pytest.raises(UsageError) as caught:
            audit(["tinydigits"], executor=executor)
        return str(caught.value)

    def test_no_executor(self) -> None:
        """It has no `submit`."""
        assert self.refusal(3) == (
            "executor is a concurrent.futures.Executor, and 3 has no submit\n"
            "  Give a pool, or what the `get_executor()` of a Dask client returns."
        )

    def test_one_that_was_shut_down(self) -> None:
        """Which pools say themselves."""
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        assert self.refusal(pool) == (
            "executor takes no tasks: RuntimeError: cannot schedule new futures after shutdown\n"
            "  Make another one; one that was shut down is of no more use."
        )

    def test_one_that_is_broken(self) -> None:
        """From the start."""
        assert self.refusal(Sending(fail(BrokenExecutor("gone")))) == (
            "executor runs no tasks: BrokenExecutor: gone\n  Make another one."
        )

    def test_workers_without_the_package(self) -> None:
        """As a worker says that unpickles a task."""
        error = ModuleNotFoundError("No module named 'tinytorch_datasets'")
        assert self.refusal(Sending(fail(error))) == (
            f"the executor's workers cannot run tinytorch-datasets {__version__}: "
            "ModuleNotFoundError: No module named 'tinytorch_datasets'\n"
            "  Give every worker the same versions of Python, of tinytorch-datasets and of the libraries that it uses."
        )

    def test_workers_of_another_version(self) -> None:
        """Whichever worker it is."""

        class Older(Sending):
            def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                return super().submit(function, "0.0.9", *args[1:], **kwargs)

        with pytest.raises(UsageError, match=r"cannot run tinytorch-datasets .*: .* has tinytorch-datasets "):
            run_tasks([Task(partial(abs, -1))], Older())

    @pytest.mark.parametrize("other", ["another call's", None, [], (), (1, [])])
    def test_one_that_mixes_up_its_results(self, other: Any) -> None:
        """That both files are right would be said of both, if only one is."""

        class Mixed(Sending):
            first: Any = None

            def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                own = super().submit(function, *args, **kwargs).result()
                Mixed.first = Mixed.first or own
                future: Future[Any] = Future()
                future.set_result(Mixed.first if other == "another call's" else other)
                return future

        with pytest.raises(UsageError) as caught:
            run_tasks([Task(partial(abs, number), 2**24) for number in (-3, -4)], Mixed())
        assert caught.value.what.startswith("the executor returned for a call what that did not return: ")
        assert caught.value.hint == "It mixes up its results, or makes them up: leave it out."

    def test_one_that_takes_tasks(self) -> None:
        """It is asked once."""
        sending = Sending()
        check_executor(sending)
        assert sending.calls == 1


class Elsewhere(Sending):
    """An executor whose worker is in another folder: relative paths are other files to it, as all are elsewhere."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it there."""
        with working_in(self._folder):
            return super().submit(function, *args, **kwargs)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder, and come back."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class TestOtherFiles:
    """A worker that does not see the same files says so; nothing is reported of what it sees."""

    @pytest.fixture
    def here(self, tmp_path: Path) -> Iterator[Path]:
        """A folder to work in, with a file."""
        (tmp_path / "here").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "here" / "data").write_bytes(b"values")
        with working_in(tmp_path / "here"):
            yield tmp_path / "here"

    def error(self, here: Path) -> str:
        """What a task reports of a worker elsewhere."""
        task = Task(partial(digest_or_error, "data"), 6, (Path("data"),))
        with pytest.raises(StorageError) as caught:
            run_tasks([task], Elsewhere(here.parent / "elsewhere"))
        assert caught.value.path == Path("data")
        return str(caught.value)

    def test_one_that_is_missing_there(self, here: Path) -> None:
        """It is not reported as missing."""
        message = self.error(here)
        assert message.startswith("data is not the same to the worker ")
        assert message.endswith(
            " as to this process: No such file or directory\n"
            "  Give the workers the same file system at the same path, or leave the executor out."
        )

    def test_a_copy_of_the_same_size_and_time(self, here: Path) -> None:
        """What a worker says of its own copy says nothing of the one here."""
        there = here.parent / "elsewhere" / "data"
        there.write_bytes(b"others")
        os.utime(there, ns=(1, (here / "data").stat().st_mtime_ns))
        assert " as to this process: it is another file there, or a copy\n" in self.error(here)

    def test_a_file_that_was_changed_meanwhile_is_looked_at_again(self, here: Path) -> None:
        """It is no other file; it is what it is now."""

        def change(call: int) -> None:
            if call == 1:
                (here / "data").write_bytes(b"longer values")

        sending = Sending(change)
        assert digests([here / "data"], executor=sending) == {here / "data": digest(here / "data")}
        assert sending.calls == 2

    def test_a_folder_is_the_same_whatever_is_written_into_it(self, here: Path) -> None:
        """Files appear in a folder that workers write to."""
        before = look_at(here)
        (here / "more").write_bytes(b"")
        assert look_at(here) == before != look_at(here.parent)


@pytest.mark.skipif(os.name == "nt", reason="a file without blocks takes a call of its own there")
def test_ctrl_c_is_obeyed_at_once(tmp_path: Path) -> None:
    """What waits is cancelled, and threads of this process end at their next block."""
    small = tmp_path / "small"
    small.write_bytes(b"1")
    paths = [tmp_path / f"{n}" for n in range(3)]
    for path in paths:
        path.touch()
        os.truncate(path, 16 * 2**30)

    def press(done: int, in_all: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(len(paths) + 1) as threads:
        begun = time.perf_counter()
        with soon(clock=time.perf_counter), pytest.raises(KeyboardInterrupt):
            digests([*paths, small], press, threads)
    assert time.perf_counter() - begun < 30  # and the pool's own threads ended with it


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world as it is meant to be."""
    return build(tmp_path_factory.mktemp("world"))


class TestAudit:
    """An audit by an executor is the audit."""

    @pytest.mark.parametrize("decode", ["auto", "always", "never"])
    def test_findings_and_rows_are_the_same_in_the_same_order(self, built: World, tmp_path: Path, decode: Any) -> None:
        """With a byte changed, a file cut, one missing, one of other values, and a cached array of others."""
        world = copied(built, tmp_path)
        audit(manifest=world.manifest, decode="always")
        world.flip(world.file("flowers/test.csv"))
        world.file("talk/talk.txt").write_bytes(b"Hello!\n")
        world.put("digits/train-labels", world.file("digits/train-labels").read_bytes()[:-1] + b"\x07")
        here = audit(manifest=world.manifest, decode=decode)
        sending = Sending()

        assert audit(manifest=world.manifest, decode=decode, executor=sending) == here
        assert {finding.rule for finding in here.findings} >= {"file-hash", "file-size"}
        assert any(finding.rule == "content" for finding in here.findings) == (decode != "never")
        assert sending.calls > 1

    def test_cached_arrays_are_hashed_a_column_a_task(self, built: World, tmp_path: Path) -> None:
        """And a damaged one is found, and decoded again to know which of the two is wrong."""
        world = copied(built, tmp_path)
        get("digits", manifest=world.manifest, offline=True)
        world.flip(world.array("test.images.npy"))
        here = audit(["digits"], manifest=world.manifest)

        assert audit(["digits"], manifest=world.manifest, executor=Sending()) == here
        assert [finding.rule for finding in here.findings if finding.severity == "error"] == ["array"]


class TestMirror:
    """A mirror by an executor is the mirror."""

    def contents(self, folder: Path) -> dict[str, bytes]:
        """Every file of it."""
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def test_files_and_sums_are_the_same(self, built: World, tmp_path: Path) -> None:
        """As is what is done for each data set, also where all is there already."""
        here, there, manifest = tmp_path / "here", tmp_path / "there", load_manifest(built.manifest)
        sending = Sending()
        for _ in range(2):
            done = mirror(manifest, here, (), offline=True)
            assert mirror(manifest, there, (), offline=True, executor=sending) == done
            assert self.contents(there) == self.contents(here)
        assert audit(manifest=built.manifest, mirror=there, executor=sending).ok

    def test_what_was_copied_is_listed_whatever_became_of_the_others(self, built: World, tmp_path: Path) -> None:
        """The error is that of the first file that is wrong."""
        world, there = copied(built, tmp_path / "world"), tmp_path / "there"
        world.flip(world.file("digits/test-labels"))
        with pytest.raises(HashMismatch) as caught:
            mirror(load_manifest(world.manifest), there, ["digits"], offline=True, executor=Sending())
        assert caught.value.path == world.file("digits/test-labels")
        assert [*sums_in(there)] == [
            "datasets.yaml", "digits/test-images", "digits/train-images", "digits/train-labels"
        ]  # fmt: skip

    def test_a_worker_that_does_not_see_the_folder_writes_nothing(self, tmp_path: Path) -> None:
        """It would make one of its own."""
        (tmp_path / "here").mkdir()
        (tmp_path / "elsewhere").mkdir()
        with working_in(tmp_path / "here"):
            Path("mirror").mkdir()
            task = Task(partial(Path("mirror", "file").write_bytes, b"bytes"), 1, (Path("mirror"),))
            with pytest.raises(StorageError, match=r"^mirror is not the same to the worker "):
                run_tasks([task], Elsewhere(tmp_path / "elsewhere"))
        made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
        assert made == ["elsewhere", "here", "here/mirror"]


class TestGet:
    """What is hashed is hashed by the executor; the data set is the same."""

    def test_files_are_hashed_on_first_use_and_all_bytes_where_that_is_asked_for(
        self, built: World, tmp_path: Path
    ) -> None:
        """A cache entry is enough for what was hashed before, and the executor is only asked whether it works."""
        world, sending = copied(built, tmp_path), Sending()
        digits = get("digits", manifest=world.manifest, offline=True, executor=sending)
        plain = get("digits", manifest=world.manifest, offline=True)
        assert digits.train.images.tolist() == plain.train.images.tolist()
        first = sending.calls
        get("digits", manifest=world.manifest, offline=True, executor=sending)
        assert sending.calls == first + 1
        get("digits", manifest=world.manifest, offline=True, verify="always", executor=sending)
        assert sending.calls == first + 1 + 3  # asked, its four files, its four arrays

    def test_what_is_wrong_is_the_same_error(self, built: World, tmp_path: Path) -> None:
        """Word for word."""
        world = copied(built, tmp_path)
        world.flip(world.file("flowers/test.csv"))
        errors = []
        for executor in (None, Sending()):
            with pytest.raises(HashMismatch) as caught:
                get("flowers", manifest=world.manifest, executor=executor)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]
