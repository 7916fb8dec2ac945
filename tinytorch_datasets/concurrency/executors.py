"""Executors: tasks run by other threads, processes and machines, lost ones again.

Whatever has `submit`, as `concurrent.futures.Executor` has, can run a `Task` (`tasks.py`): a function of a module and
plain values, which every library of the kind can send. What comes back is plain as well, and in the order of the tasks.
What is sent is pickled here, so that no library looks into it.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import pickle
import re
import reprlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from tinytorch_datasets._version import VERSION
from tinytorch_datasets.concurrency import (
    POLL_S,
    check_cancelled,
    first_line,
    is_thread_of,
    run_all,
)
from tinytorch_datasets.concurrency.tasks import Outcome, Sight, Task, cancelling_after, do_tasks, look_at
from tinytorch_datasets.errors import MissingLibrary, StorageError, UsageError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

T = TypeVar("T")

TRIES = 3  # how often a task is given to an executor, before it is done in this process
# Tasks go together: to send one takes some milliseconds of several processes, in which a processor hashes several MB.
BUNDLE_BYTES = 2**24
BUNDLE_TASKS = 100
BUNDLE_PART = 16  # of all that is left: the first are the largest, and in the end no worker waits for another one
LARGE_BUNDLE_BYTES = 2**29
# Larger ones go together where there are so many that whoever gives them out would be waited for: a scheduler gives out
# some hundred a second, and some dozens for each of a hundred workers are enough for none to be idle in the end.
BUNDLES = 4096
SILENT_S = 30.0  # the longest wait for an executor's first word, before a line of the log says so

INSTALL = "Give every worker the same versions of Python, of tinytorch-datasets and of the libraries that it uses."
SILENT = "the executor has begun nothing for %s s, and never will if all its workers wait for whoever waits here"
SHARE = "Give the workers the same file system at the same path, or leave the executor out."

log = logging.getLogger("tinytorch_datasets.executor")


def check_executor(executor: Any, *, silent_s: float = SILENT_S) -> None:
    """Make sure that an executor takes tasks, by workers with this very version; log that none began for `silent_s`.

    Raises:
        UsageError: It is none, or was shut down, or is broken; or its workers cannot import the package.
    """
    if is_thread_of(executor):
        return
    if not callable(getattr(executor, "submit", None)):
        what = f"executor is a concurrent.futures.Executor, and {executor!r} has no submit"
        raise UsageError(what, hint="Give a pool, or what the `get_executor()` of a Dask client returns.")
    with _run(executor, [Task(os.getpid)]) as run:
        try:
            run.submit([0])
        except Exception as error:  # of a library that is not ours: each has its own for one that was shut down
            what = f"executor takes no tasks: {first_line(error)}"
            raise UsageError(what, hint="Make another one; one that was shut down is of no more use.") from error
        _, outcome = run.next(silent_s)
        if isinstance(outcome, BaseException):
            _check_able(outcome)
            what = f"executor runs no tasks: {first_line(outcome)}"
            raise UsageError(what, hint="Make another one.") from outcome


def run_tasks(
    tasks: Iterable[Task[T]],
    executor: Executor | None = None,
    *,
    add: Callable[[int], None] | None = None,
) -> list[T]:
    """Run all tasks and return what they returned, in their order: by an executor, or here on every core without one.

    The first error of any task cancels the others and is raised; so does Ctrl-C, which does not wait for the workers. A
    task whose worker was lost is given to the executor again, and after three times done in this process. So is one
    that returned an OSError: that a file cannot be read is of no interest unless this process cannot read it either;
    and one whose error cannot be sent. In a thread of the very pool all is done in this process.

    Args:
        tasks: What to run.
        executor: What runs them.
        add: Called with each count of bytes that are done. The jobs take it as an argument of that name, and are
            given it in this process.

    Raises:
        StorageError: A worker does not see the same files as this process.
        UsageError: A worker has another version of the package, or cannot import what this process can; or the executor
            mixes up its results.
        MissingLibrary: A worker has no library that a format is read by.

    >>> run_tasks([Task(partial(abs, -3)), Task(partial(abs, 4))])
    [3, 4]
    """
    tasks = list(tasks)
    jobs: list[Callable[[], T]] = [task.job if add is None else partial(task.job, add=add) for task in tasks]
    if executor is None or is_thread_of(executor):
        return run_all(jobs, sizes=[task.size for task in tasks])
    results: dict[int, T] = {}
    lost: BaseException | None = None
    with _run(executor, tasks) as run:
        for bundle in _bundles(tasks, run.look):
            lost = run.submit_or_leave(bundle) or lost
        while run.futures:
            check_cancelled()
            bundle, outcomes = run.next()
            if isinstance(outcomes, BaseException):
                lost = run.submit_or_leave(bundle, outcomes) or outcomes
                continue
            for number, outcome in zip(bundle, outcomes, strict=True):
                if outcome.error is not None:
                    _check_import(outcome)
                    raise outcome.error
                if outcome.mismatch is not None:
                    run.look_again(number, *outcome.mismatch, outcome.worker)
                    continue
                if outcome.is_left or isinstance(outcome.result, OSError):
                    run.left.add(number)
                    continue
                results[number] = outcome.result
                if add is not None:
                    add(tasks[number].size)
        left = sorted(run.left)
    if left:
        if lost is not None:
            log.warning("%s of %s tasks are done in this process: %s", len(left), len(tasks), first_line(lost))
        of_left = run_all([jobs[number] for number in left], sizes=[tasks[number].size for number in left])
        results.update(zip(left, of_left, strict=True))
    return [results[number] for number in range(len(tasks))]


def bundle_bytes(left: int, in_all: int) -> int:
    """Return how many bytes of tasks are sent together while so many are left, of so many.

    >>> bundle_bytes(10**8, 10**9) == BUNDLE_BYTES, bundle_bytes(10**13, 10**13) == 10**13 // BUNDLES
    (True, True)
    """
    return max(BUNDLE_BYTES, min(left // BUNDLE_PART, max(LARGE_BUNDLE_BYTES, in_all // BUNDLES)))


def _bundles(tasks: Sequence[Task[Any]], look: Callable[[int], bool]) -> Iterator[list[int]]:
    """Yield the numbers of tasks that are sent together, the largest first; one that cannot be read stays here."""
    in_all = left = sum(task.size for task in tasks)
    most_tasks = max(BUNDLE_TASKS, len(tasks) // BUNDLES)
    bundle: list[int] = []
    size = 0
    for number in sorted(range(len(tasks)), key=lambda number: -tasks[number].size):
        if not look(number):  # just before it is sent: workers are at the first while the last are looked at
            continue
        bundle.append(number)
        size += tasks[number].size
        if size >= bundle_bytes(left, in_all) or len(bundle) == most_tasks:
            yield bundle
            bundle, left, size = [], left - size, 0
    if bundle:
        yield bundle


class _Run:
    """One run of tasks by an executor: what is awaited, by its first task's number; what is `left` to be done here."""

    def __init__(self, executor: Any, tasks: Sequence[Task[Any]], name: str) -> None:
        self._executor, self._tasks, self._name = executor, tasks, name
        self._ended: SimpleQueue[tuple[list[int], Future[Any]]] = SimpleQueue()
        self._tries = [0] * len(tasks)
        self.futures, self._sights = dict[int, "Future[Any]"](), dict[int, tuple[Sight, ...]]()
        self.left = set[int]()

    def look(self, number: int) -> bool:
        """Look at what a task reads; return whether all is there, or else leave it."""
        sights = self._sights[number] = tuple(map(look_at, self._tasks[number].reads))
        if any(sight.error for sight in sights):
            self.left.add(number)
        return number not in self.left

    def submit(self, bundle: list[int]) -> None:
        """Give tasks to the executor, as one."""
        parts = []
        for number in bundle:
            self._tries[number] += 1
            task = self._tasks[number]
            parts.append((task.job, tuple(zip(map(str, task.reads), self._sights.get(number, ()), strict=True))))
        # The name makes each call another one: Dask gives a call that is equal to one before the same result.
        future = self._executor.submit(do_tasks, VERSION, self._name_of(bundle), pickle.dumps(parts))
        self.futures[bundle[0]] = future
        future.add_done_callback(lambda ended: self._ended.put((bundle, ended)))

    def _name_of(self, bundle: list[int]) -> str:
        return f"{self._name}-{bundle[0]}-{self._tries[bundle[0]]}"

    def submit_or_leave(self, bundle: list[int], lost: BaseException | None = None) -> BaseException | None:
        """Submit tasks, each of those that were lost alone; return why some are left, if they are."""
        _check_able(lost)
        for each in [bundle] if lost is None else [[number] for number in bundle]:
            if self._tries[each[0]] >= TRIES:
                self.left.update(each)
                continue
            try:
                self.submit(each)
            except Exception as error:  # as above; why it takes no more is logged, and its tasks are done here
                self.left.update(each)
                lost = error
        return lost

    def next(self, silent_s: float = math.inf) -> tuple[list[int], list[Outcome] | BaseException]:
        """Wait for a bundle, and return its outcomes, or what was raised in place of them; log that there is none."""
        until = time.monotonic() + silent_s
        while True:
            if time.monotonic() > until:
                log.warning(SILENT, silent_s)
                until = math.inf
            with suppress(Empty):  # with a timeout, Ctrl-C is heard on Windows as well
                bundle, future = self._ended.get(timeout=POLL_S)
                break
        del self.futures[bundle[0]]
        try:
            reply = future.result(timeout=0)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # CancelledError is no Exception to Dask
            return bundle, error
        # Of two files that are right each has a result like the other's, so that one mixed up would be seen by nobody.
        if not isinstance(reply, tuple) or len(reply) != 2 or reply[0] != self._name_of(bundle):
            what = f"the executor returned for a call what that did not return: {reprlib.repr(reply)}"
            raise UsageError(what, hint="It mixes up its results, or makes them up: leave it out.")
        return bundle, reply[1]

    def look_again(self, number: int, path: str, sight: Sight, worker: str) -> None:
        """Send a task again if its files were changed since; raise if a worker sees others than this process.

        Raises:
            StorageError: It does.
        """
        before = self._sights[number]
        if self.look(number) and before != self._sights[number]:
            self.submit_or_leave([number])
        if number in self.left or before != self._sights[number]:
            return
        why = sight.error or "it is another file there, or a copy"
        what = f"{path} is not the same to the worker {worker} as to this process: {why}"
        raise StorageError(what, hint=SHARE, path=Path(path))

    def cancel(self) -> None:
        """Cancel what waits, the last first: workers take the first."""
        for future in reversed(self.futures.values()):
            with suppress(Exception):  # of a library that is not ours; what cannot be cancelled is not waited for
                future.cancel()


@contextmanager
def _run(executor: Any, tasks: Sequence[Task[Any]]) -> Iterator[_Run]:
    name = os.urandom(8).hex()
    run = _Run(executor, tasks, name)
    with cancelling_after(name):
        try:
            yield run
        finally:
            run.cancel()


def _check_able(lost: BaseException | None) -> None:
    """Raise if a worker was not lost, but cannot do any task, however often it is asked."""
    if isinstance(lost, ImportError | AttributeError | UsageError):  # of sending: what a job raises is returned
        reason = lost.what if isinstance(lost, UsageError) else first_line(lost)
        what = f"the executor's workers cannot run tinytorch-datasets {VERSION}: {reason}"
        raise UsageError(what, hint=INSTALL) from lost


def _check_import(outcome: Outcome) -> None:
    """Raise if a job's error is that its worker lacks a module that this process has, or a library."""
    error = outcome.error
    if isinstance(error, MissingLibrary):
        error.what += f" on the worker {outcome.worker}"
    elif isinstance(error, ImportError) and _can_import(error):
        what = f"{outcome.worker} cannot import what this process can: {first_line(error)}"
        raise UsageError(what, hint=INSTALL) from error


def _can_import(error: ImportError) -> bool:
    """Check whether this process can import what an error is about; else it is the job that asks for what is not."""
    wanted = re.match(r"cannot import name '([^']+)'", str(error))
    try:
        module = importlib.import_module(error.name or "")
    except Exception:  # whatever a module does
        return False
    return wanted is None or hasattr(module, wanted[1])
