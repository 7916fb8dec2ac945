"""How does work that needs no attention come to be done beside ours?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread, current_thread


def begun(work: Callable[[], None], name: str) -> Thread | None:
    """A thread at that work; None where there are none, or none left, or no room for one.

    A daemon: should it sit in a system call that nothing wakes, it must not keep the process from ending.
    """
    if _rationed():
        return None
    thread = Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def wait_for(thread: Thread) -> None:
    """Wait until a thread has ended, where that can be waited for.

    Garbage is closed by any thread, even by that one, which cannot wait for itself; and it is closed when Python exits,
    by when other threads are held for ever.
    """
    if thread is not current_thread() and not sys.is_finalizing():
        thread.join()


class Behind:
    """Does jobs one after the other, in a thread of its own.

    Who hands over a job waits until the one before is done: so at most one is under way, and what it holds is held.
    Where there is no thread to be had, jobs are done as they are handed over.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._turn = Lock()  # held while a job is under way
        self._error: BaseException | None = None
        self._thread = begun(self._work, name)

    def do(self, job: Callable[[], object]) -> None:
        """Have a job done.

        Raises:
            BaseException: What an earlier job raised. This one is not done then, nor is any later one.
        """
        if self._thread is None:
            job()
            return
        self._turn.acquire()
        if self._error is not None:
            self._turn.release()
            raise self._error
        self._jobs.put(job)

    def wait(self) -> None:
        """Wait until all is done.

        Raises:
            BaseException: What a job raised.
        """
        with self._turn:
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Wait until the job that is under way is done, and end the thread."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
        self._error = None  # its traceback has us in it

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as error:  # for whoever hands over the next, or waits
                self._error = error
            finally:
                del job  # and with it what it held, before there is room for more
                self._turn.release()


def _rationed() -> bool:
    """Whether address space is limited: Linux reserves 64 MiB of it for a thread's heap, used or not."""
    try:
        import resource  # not on Windows
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
