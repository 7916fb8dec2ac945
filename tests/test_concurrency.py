"""Jobs run side by side, items made ahead, and everything ends when nobody waits for it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import hear_ctrl_c
from tests.helpers.forked import in_a_fork
from tests.helpers.fresh_process import python
from tests.helpers.yardstick import soon
from tinytorch_datasets.concurrency import (
    Cancellation,
    Cancelled,
    check_cancelled,
    collection_paused,
    free_descriptors,
    run_all,
    switching_often,
)
from tinytorch_datasets.concurrency.ahead import mapped, prefetch, prefetched, prefetched_beside_work


def test_results_come_in_the_order_of_the_jobs_and_the_largest_begins_first() -> None:
    """With one worker, the sizes alone decide the order in which they are run."""
    order: list[int] = []

    def job(number: int) -> int:
        order.append(number)
        return number

    assert run_all([partial(job, n) for n in range(4)], sizes=[1, 30, 2, 30], workers=1) == [0, 1, 2, 3]
    assert order == [1, 3, 2, 0]
    assert run_all([]) == []


def test_no_more_run_at_once_than_there_are_workers() -> None:
    """And that many do: each of these waits for another one."""
    together = threading.Barrier(3)
    assert sorted(run_all([partial(together.wait, 10)] * 6, workers=3)) == [0, 0, 1, 1, 2, 2]


def test_the_first_error_cancels_the_others() -> None:
    """Those at work when they ask, and those that wait are not begun."""
    begun, cancelled = threading.Event(), threading.Event()

    def work_on() -> None:
        begun.set()
        try:
            while True:
                check_cancelled()
                time.sleep(0.001)
        except Cancelled:
            cancelled.set()
            raise

    def fail() -> None:
        begun.wait()
        raise ValueError("this one")  # noqa: EM101

    never: list[int] = []
    jobs: list[Callable[[], object]] = [work_on, fail, partial(never.append, 1)]
    with soon(clock=time.perf_counter), pytest.raises(ValueError, match="this one"):
        run_all(jobs, workers=2)

    assert cancelled.is_set()
    assert never == []
    check_cancelled()  # outside such a job, nothing is cancelled


def test_cancelling_from_outside_ends_the_jobs() -> None:
    """A sleep is woken, and so is whatever gave a way to wake it."""
    cancellation, woken = Cancellation(), threading.Event()

    def sit() -> None:
        with cancellation.waking(woken.set):
            woken.wait()
            cancellation.check()

    threading.Timer(0.05, cancellation.cancel).start()
    jobs: list[Callable[[], object]] = [sit, partial(cancellation.sleep, 60)]
    with soon(clock=time.perf_counter), pytest.raises(Cancelled):
        run_all(jobs, workers=2, cancellation=cancellation)


class TestMeanwhile:
    """What this thread does while jobs run in others."""

    def test_it_is_done_once_a_job_has_begun_and_before_it_ends(self) -> None:
        """The job waits for it, which waits for what the job sets."""
        begun, done = threading.Event(), threading.Event()
        order: list[str] = []

        def job() -> int:
            order.append("job")
            begun.set()
            assert done.wait(60)
            return threading.get_ident()

        def meanwhile() -> None:
            order.append("meanwhile")
            done.set()

        (thread,) = run_all([job], meanwhile=meanwhile, begun=begun)
        assert order == ["job", "meanwhile"]
        assert thread != threading.get_ident()

    def test_an_error_of_a_job_is_raised_after_it(self) -> None:
        """Though no job has set anything; so is a cancelling from outside, before any has begun."""
        done: list[int] = []

        with soon(clock=time.perf_counter), pytest.raises(ZeroDivisionError):
            run_all([lambda: 1 // 0], meanwhile=partial(done.append, 1))
        cancellation = Cancellation()
        cancellation.cancel()
        with soon(clock=time.perf_counter), pytest.raises(Cancelled):
            run_all([int], cancellation=cancellation, meanwhile=partial(done.append, 2))
        assert done == [1, 2]

    def test_ctrl_c_in_it_cancels_the_jobs(self) -> None:
        """As it does while they are waited for."""
        cancellation, begun = Cancellation(), threading.Event()

        def job() -> None:
            begun.set()
            cancellation.sleep(60)

        with soon(clock=time.perf_counter), pytest.raises(KeyboardInterrupt):
            run_all(
                [job], cancellation=cancellation, meanwhile=partial(signal.raise_signal, signal.SIGINT), begun=begun
            )


def test_without_threads_jobs_run_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a browser, or where no more may be started."""

    def none_left(thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    monkeypatch.setattr(threading.Thread, "start", none_left)

    done: list[int] = []

    assert run_all([threading.get_ident] * 3, meanwhile=partial(done.append, 1)) == [threading.get_ident()] * 3
    assert done == [1]
    assert list(prefetched(iter([1, 2]), 1)) == [1, 2]


class TestPrefetch:
    """A thread makes the next few items, and no more."""

    def test_items_are_the_same_and_another_thread_makes_them(self) -> None:
        """In their order; and the end stays the end."""
        threads: set[int] = set()

        def items() -> Iterator[int]:
            for number in range(100):
                threads.add(threading.get_ident())
                yield number

        with prefetch(items(), 2) as made:
            assert list(made) == list(range(100))
            assert list(made) == []
        assert len(threads) == 1
        assert threading.get_ident() not in threads

    def test_no_more_is_made_than_there_is_room_for(self) -> None:
        """The next item, while the last one is in use: two are held at once."""
        begun: list[int] = []
        second = threading.Event()

        def items() -> Iterator[int]:
            for number in range(10):
                begun.append(number)
                if number:
                    second.set()
                yield number

        with prefetch(items(), 1) as made:
            assert next(made) == 0
            assert second.wait(60)
            time.sleep(0.05)  # in which a thread that does not stop would go on
            assert begun == [0, 1]

    def test_an_error_comes_after_what_is_before_it_and_again(self) -> None:
        """For whoever asks again."""

        def items() -> Iterator[int]:
            yield 1
            raise OSError(28, "No space left on device")

        with prefetch(items(), 5) as made:
            assert next(made) == 1
            for _ in range(2):
                with pytest.raises(OSError, match="No space left"):
                    next(made)

    def test_closing_ends_the_thread(self) -> None:
        """Half way, after an error in the loop, and with an item in the making that `stop` wakes."""
        before = threading.active_count()
        woken = threading.Event()
        with prefetch(iter(woken.wait, None), 1, stop=woken.set):
            pass
        for _ in prefetched(range(10), 1):
            break

        assert threading.active_count() == before

    def test_who_takes_one_item_after_the_other_needs_no_thread(self) -> None:
        """What is passed between threads one by one takes longer than to make it."""
        before = threading.active_count()

        assert {threading.active_count() for _ in prefetched_beside_work(slow_items(20), 2)} == {before}

    def test_work_between_items_is_worth_a_thread(self) -> None:
        """Which ends with the loop."""
        before, counts, numbers = threading.active_count(), [], []
        for number in prefetched_beside_work(slow_items(20), 2):
            time.sleep(0.002)
            counts.append(threading.active_count() - before)
            numbers.append(number)

        assert numbers == list(range(20))
        assert counts[0] == 0
        assert counts[5] == 1
        assert threading.active_count() == before


def slow_items(count: int) -> Iterator[int]:
    """Numbers, each of which takes a millisecond."""
    for number in range(count):
        time.sleep(0.001)
        yield number


class TestMapped:
    """A function's results in the order of the items, several made at once, within a bound."""

    def test_results_come_in_order_whichever_is_ready_first(self) -> None:
        """Each of these waits for the one after it, which another thread makes."""
        ready = [threading.Event() for _ in range(40)]

        def work(number: int) -> int:
            ready[number].set()
            if number % 2 == 0:
                assert ready[number + 1].wait(10)
            return -number

        assert list(mapped(work, range(40), weigh=lambda _: 1, most=2, workers=2)) == [-n for n in range(40)]

    def test_no_more_is_taken_than_may_weigh_so_much(self) -> None:
        """One heavy item at a time, and as many light ones as the bound has room for."""
        taken: list[int] = []

        def items() -> Iterator[int]:
            for weight in (10, 10, 1, 1, 1, 1):
                taken.append(weight)
                yield weight

        results = mapped(abs, items(), weigh=abs, most=3, workers=2)

        assert [(next(results), len(taken)) for _ in range(6)] == [(10, 1), (10, 2), (1, 5), (1, 6), (1, 6), (1, 6)]

    @pytest.mark.parametrize("fails", ["function", "items"])
    def test_an_error_comes_in_its_place(self, fails: str) -> None:
        """After the results before it, though it was there first."""

        def work(number: int) -> int:
            if number == 5 and fails == "function":
                raise ValueError(number)
            time.sleep(0.002 * (5 - number))
            return number

        def items() -> Iterator[int]:
            yield from range(5 if fails == "items" else 9)
            if fails == "items":
                raise ValueError(5)

        results = mapped(work, items(), weigh=lambda _: 1, most=9, workers=3)

        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="5"):
            next(results)
        assert list(results) == []

    def test_closing_ends_the_threads(self) -> None:
        """Those that work finish the item that they have, and no other is begun."""
        begun: list[int] = []

        def work(number: int) -> int:
            begun.append(number)
            time.sleep(0.01)
            return number

        results = mapped(work, range(1000), weigh=lambda _: 1, most=100, workers=2, name="closing")
        assert next(results) == 0
        results.close()

        assert not [thread for thread in threading.enumerate() if thread.name.startswith("closing")]
        assert len(begun) < 10

    def test_without_threads_results_are_made_as_they_are_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As where a process may start none."""

        def refuse(_: threading.Thread) -> None:
            msg = "can't start new thread"
            raise RuntimeError(msg)

        monkeypatch.setattr(threading.Thread, "start", refuse)
        results = mapped(abs, iter([-1, -2]), weigh=abs, most=1)

        assert list(results) == [1, 2]


def test_ctrl_c_is_heard_where_a_shell_had_it_ignored() -> None:
    """As for tests behind `&`, where those that press it would wait for all that they meant to end."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        hear_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("was_enabled", [True, False])
def test_garbage_is_looked_for_again_after_an_import(was_enabled: bool) -> None:
    """As it was before, whether the import succeeds or not; and whoever has turned it off keeps it so."""
    (gc.enable if was_enabled else gc.disable)()
    try:
        with suppress(ImportError), collection_paused():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is was_enabled
    finally:
        gc.enable()


FROZEN = """
import gc, sys, weakref
from tinytorch_datasets.concurrency import collection_paused
class Circle: pass
def imported():
    with collection_paused():
        sys.modules["made_up"], circle = gc, Circle()
        circle.itself = circle
    del sys.modules["made_up"]
    return weakref.ref(circle)
gc.unfreeze()
circle = imported()
print(gc.get_freeze_count(), circle() is None, gc.collect() > 0, circle() is None)
gc.freeze()
count = gc.get_freeze_count()
imported()
print(gc.get_freeze_count() == count)
"""


def test_what_came_by_an_import_is_collected_as_ever() -> None:
    """But later than what is young; and what a server froze, before it forks, stays frozen."""
    assert python("-c", FROZEN).stdout == "0 False True True\nTrue\n"


class TestSwitchingOften:
    """Threads wait less for the interpreter while somebody asks for it, and as long as before afterwards."""

    def test_the_last_who_leaves_sets_it_back(self) -> None:
        """Of two threads, in whichever order they leave; after an error as well."""
        usual = sys.getswitchinterval()
        with suppress(ImportError), switching_often():
            with switching_often():
                assert 0 < sys.getswitchinterval() < 0.001
            assert sys.getswitchinterval() < 0.001
            raise ImportError

        assert sys.getswitchinterval() == usual

    def test_what_somebody_else_set_is_kept(self) -> None:
        """Less than that before, or anything meanwhile."""
        usual = sys.getswitchinterval()
        try:
            sys.setswitchinterval(0.00002)
            with switching_often():
                assert sys.getswitchinterval() == pytest.approx(0.00002)
                sys.setswitchinterval(0.007)
            assert sys.getswitchinterval() == pytest.approx(0.007)
        finally:
            sys.setswitchinterval(usual)

    def test_a_fork_has_it_as_before(self) -> None:
        """Whoever would set it back may be a thread, of which a forked process has none; nor is garbage left there."""

        def in_the_fork() -> tuple[float, bool, float]:
            at_first = sys.getswitchinterval(), gc.isenabled()
            with switching_often(), collection_paused():
                pass
            return *at_first, sys.getswitchinterval()

        usual, is_inside, may_leave = sys.getswitchinterval(), threading.Event(), threading.Event()

        def stay() -> None:
            with switching_often(), collection_paused():
                is_inside.set()
                may_leave.wait(10)

        thread = threading.Thread(target=stay)
        thread.start()
        try:
            assert is_inside.wait(10)
            assert sys.getswitchinterval() < usual
            assert not gc.isenabled()
            assert in_a_fork(in_the_fork) == (usual, True, usual)
        finally:
            may_leave.set()
            thread.join()
        assert sys.getswitchinterval() == usual
        assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="to have no /dev takes root")
def test_descriptors_where_nobody_lists_those_that_are_open(tmp_path: Path) -> None:
    """In a bare folder as root, which has no /dev, half of what the limit allows counts as free, and not none."""

    def count() -> int:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
        os.chroot(tmp_path)
        return free_descriptors()

    assert in_a_fork(count) == 500
