"""Concurrency: jobs side by side, cancelling, held files.

`run_all` returns what several jobs return. `Cancelled` is raised where nobody waits any more.

Threads are of use because zlib, ISA-L, bz2, lzma, hashlib, NumPy and sockets let other threads run while they work.
All of them are daemons: should one sit in a system call that nothing wakes, it must not keep the process from ending,
as the threads of a `ThreadPoolExecutor` would.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Sleep = Callable[[float], None]

POLL_S = 0.1  # how often a waiting main thread looks for Ctrl-C, where a signal does not wake it
HELD_FOR_S, FIRST_PAUSE_S = 2.5, 0.02  # the longest wait for a program that has a file open; pauses in it double
SHORT_SWITCH_S = 1e-4  # the switch interval, while threads need the interpreter for moments
FAREWELL_S = 5.0  # the longest wait for cancelled jobs; each ends at its next block
COLUMNS_A_LOOK, FEW_DESCRIPTORS = 8, 48  # each of so many columns has up to three files; and as many for others

# Windows' errors of files open elsewhere: shared, locked, still in their folder; of mapped ones, or of a missing right.
HELD, DENIED_OR_HELD = frozenset({32, 33, 145}), 5


class Cancelled(Exception):
    """Nobody waits for this any more: someone pressed Ctrl-C, or another job has failed."""


class Cancellation:
    """What cancels a group of jobs: one flag for all their threads. It also wakes those that sit in a read."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._wakers: list[Callable[[], None]] = []

    def cancel(self) -> None:
        """Ask every thread to end, and shut the sockets that they are reading from."""
        self._event.set()
        for wake in tuple(self._wakers):
            with suppress(Exception):  # a socket that is closed already needs no waking
                wake()

    def check(self) -> None:
        """Raise Cancelled if this has been cancelled."""
        if self._event.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until this is cancelled: then raise Cancelled."""
        if self._event.wait(seconds):
            raise Cancelled

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` if this is cancelled inside the block."""
        self._wakers.append(wake)
        try:
            self.check()  # it may have come just before
            yield
        finally:
            self._wakers.remove(wake)


_of_this_thread = threading.local()  # `cancellation`, in those that work for `run_all` or a run of tasks


def check_cancelled() -> None:
    """Raise Cancelled if this thread works on a job that nobody waits for."""
    cancellation: Cancellation | None = getattr(_of_this_thread, "cancellation", None)
    if cancellation is not None:
        cancellation.check()


@contextmanager
def cancelled_by(cancellation: Cancellation | None) -> Iterator[None]:
    """Let `check_cancelled` ask this cancellation, in this thread and inside the block."""
    before = getattr(_of_this_thread, "cancellation", None)
    _of_this_thread.cancellation = cancellation
    try:
        yield
    finally:
        _of_this_thread.cancellation = before


def is_held(error: OSError, is_writable: Callable[[], bool]) -> bool:
    """Check whether another program is in the way; `is_writable` is asked where it may be a right that is missing."""
    return (number := getattr(error, "winerror", None)) in HELD or (number == DENIED_OR_HELD and is_writable())


def while_held(action: Callable[[], T], is_writable: Callable[[], bool], *, sleep: Sleep = time.sleep) -> T:
    """Call `action`, which moves or removes a file, and call it again while another program has the file open.

    On Windows, scanners open each new file for a moment. All else is raised at once, on other systems everything.
    """
    left, pause = HELD_FOR_S, FIRST_PAUSE_S
    while True:
        try:
            return action()
        except OSError as error:
            if left <= 0 or not is_held(error, is_writable):
                raise
        check_cancelled()
        sleep(min(pause, left))
        left, pause = left - pause, 2 * pause


def run_all(
    jobs: Iterable[Callable[[], T]],
    *,
    sizes: Sequence[int] | None = None,
    workers: int | None = None,
    cancellation: Cancellation | None = None,
    poll_s: float = POLL_S,
    farewell_s: float = FAREWELL_S,
    meanwhile: Callable[[], None] | None = None,
    begun: threading.Event | None = None,
) -> list[T]:
    """Run all jobs, some at once, and return what they returned, in their order.

    The first error of any job cancels the others and is raised; so does Ctrl-C. Even a single job has a thread: the
    main thread must be free to hear the signal while the job sits in a read.

    Args:
        jobs: What to run. A job that may take long calls `check_cancelled` (or `cancellation.check`) now and then.
        sizes: How large each job is, in any unit; the largest begin first. None begins them in their order.
        workers: How many run at once; None for as many as there are cores.
        cancellation: What else may cancel them. It is cancelled when this returns or raises.
        poll_s: How often the main thread looks for Ctrl-C, in seconds.
        farewell_s: After an error, the longest wait for the other jobs to end, in seconds.
        meanwhile: Called once, in this thread, while jobs run: as soon as one of them sets `begun`, or has ended. What
            jobs raise is raised after it has returned.
        begun: Set by a job that has begun with what takes no part of the interpreter's time, such as a download.

    >>> run_all([lambda: "small", lambda: "large"], sizes=[1, 10**9])
    ['small', 'large']
    """
    numbered = list(enumerate(jobs))
    if sizes is not None:
        numbered.sort(key=lambda job: -sizes[job[0]])
    waiting = deque(numbered)
    cancellation, begun = cancellation or Cancellation(), begun or threading.Event()
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    ended = threading.Semaphore(0)

    def work() -> None:
        _of_this_thread.cancellation = cancellation
        try:
            while True:
                try:
                    number, job = waiting.popleft()
                except IndexError:  # none is left
                    break
                cancellation.check()
                results[number] = job()
                begun.set()
        except Cancelled:
            pass
        except BaseException as error:  # Ctrl-C too: raised again by whoever waits for the jobs
            errors.append(error)
        finally:
            _of_this_thread.cancellation = None
            begun.set()
            ended.release()

    at_work = 0
    try:
        for number in range(min(workers or os.cpu_count() or 1, len(numbered))):
            if start_thread(work, f"tinytorch-datasets-job-{number}") is None:
                if not at_work:
                    at_work += 1
                    work()  # without threads it is slower, and right
                break
            at_work += 1
        if meanwhile is not None:
            while at_work and not begun.wait(poll_s):
                pass
            meanwhile()
        # Not by thread.join: until Python 3.13, a Ctrl-C inside it takes the thread for ended, which it is not
        # (see bpo-45274 in threading.py, whose remedy cannot tell whether the join or the thread has the lock).
        while at_work and not errors:
            at_work -= ended.acquire(timeout=poll_s)
    finally:
        cancellation.cancel()
        until = time.monotonic() + farewell_s
        while at_work and (left_s := until - time.monotonic()) > 0:
            at_work -= ended.acquire(timeout=left_s)
    if errors:
        raise errors[0]
    if len(results) < len(numbered):  # cancelled from outside
        raise Cancelled
    return [results[number] for number in range(len(numbered))]


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the garbage collector, which finds no garbage among modules and manifests that are just being read.

    It takes a third of the time of reading ten thousand entries, and a twentieth of an audit in a fresh process. Two
    threads may do this at once: whoever finds the collector running sets it running again. Modules that came meanwhile
    stay, so what there is now counts as old, and is not looked at as young objects are, several times.
    """
    was_running, thread, modules = gc.isenabled(), threading.get_ident(), len(sys.modules)
    try:
        if was_running:
            _pausing.add(thread)
        gc.disable()  # within, as Ctrl-C may come right after it
        yield
    finally:
        if was_running:
            if len(sys.modules) > modules and hasattr(gc, "freeze") and not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()
            _pausing.discard(thread)


class _SwitchInterval:
    """The interpreter's switch interval, which is how long threads wait for it, and who has asked for a shorter one."""

    def __init__(self) -> None:
        self.guard, self.users = threading.Lock(), set[object]()
        self._usual_s = self._set_s = 0.0

    def shorten(self) -> None:
        """Let threads wait less, unless they wait less already."""
        self._usual_s = sys.getswitchinterval()
        sys.setswitchinterval(min(self._usual_s, SHORT_SWITCH_S))
        self._set_s = sys.getswitchinterval()  # which is whole microseconds

    def restore(self) -> None:
        """Let threads wait as long as before, unless somebody else has set it meanwhile."""
        if self._set_s and sys.getswitchinterval() == self._set_s:
            sys.setswitchinterval(self._usual_s)
        self._set_s = 0.0


_pausing = set[int]()
_switching = _SwitchInterval()


@contextmanager
def switching_often() -> Iterator[None]:
    """Let threads have the interpreter a tenth of a millisecond after asking for it, and not five.

    Whoever hashes or inflates needs it for a moment between pieces, while another thread imports and never lets go of
    it: waiting takes as long as the pieces then. It holds for the whole interpreter, so the last one who leaves sets it
    back, unless somebody else has set it meanwhile.
    """
    user = object()
    try:
        with _switching.guard:
            _switching.users.add(user)
            if len(_switching.users) == 1:
                _switching.shorten()
        yield
    finally:
        with _switching.guard:
            _switching.users.discard(user)
            if not _switching.users:
                _switching.restore()


def _restore_in_child() -> None:
    """Set back what other threads changed for a moment: none of them is in a process that was forked meanwhile."""
    _switching.guard = threading.Lock()
    _switching.users.clear()
    _switching.restore()
    if _pausing:
        _pausing.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore_in_child)


def start_thread(work: Callable[[], None], name: str) -> Thread | None:
    """Return a thread at that work; None where there are none, or none left, or no room for one."""
    thread = Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def is_address_space_limited() -> bool:
    """Check for a limit of address space: Linux reserves 64 MiB of it for a thread's heap, used or not."""
    try:
        import resource  # not on Windows
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def free_descriptors() -> int:
    """Count the files and connections that this process may open besides those it has."""
    try:
        import resource  # not on Windows
    except ImportError:
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    try:
        return max(0, limit - len([*os.scandir("/dev/fd")]))
    except OSError as error:  # none is left to list them by, or this system lists none
        return 0 if error.errno in (errno.EMFILE, errno.ENFILE) else limit // 2


def ensure_descriptors(columns: int) -> None:
    """Let this process open more files, as far as its user may, where so many columns are open and few files are left.

    Many systems allow 256 or 1,024 at first. It is looked at each time that there are some columns more, and most data
    sets have fewer: whoever is not in need has the limit as it was.
    """
    if columns % COLUMNS_A_LOOK != COLUMNS_A_LOOK - 1 or free_descriptors() >= FEW_DESCRIPTORS:
        return
    import resource  # where it is missing, there is no limit

    limit, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * limit + FEW_DESCRIPTORS
    wanted = wanted if highest == resource.RLIM_INFINITY else max(limit, min(wanted, highest))
    with suppress(ValueError, OSError):  # macOS has a limit beyond which it refuses any
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, highest))


def is_thread_of(executor: Any) -> bool:
    """Check whether this is a thread of that very pool, which would wait for itself."""
    prefix = getattr(executor, "_thread_name_prefix", "")  # a pool knows its threads only once they have begun
    return bool(prefix) and threading.current_thread().name.startswith(f"{prefix}_")


def thread_name() -> str:
    """Return which thread this is, of which process on which machine."""
    import socket  # for the one worker in a thousand that is asked for its name

    return f"{socket.gethostname()}, process {os.getpid()}, thread {threading.get_ident()}"


def first_line(error: BaseException) -> str:
    r"""Return what a job's error is, in one line.

    >>> first_line(OSError("gone\nfor good")), first_line(KeyboardInterrupt())
    ('OSError: gone', 'KeyboardInterrupt')
    """
    line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
