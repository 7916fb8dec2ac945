"""How do several files come at once, and all stop at once?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import TypeVar

from ._patience import Patience
from ._stop import Stop, Stopped

T = TypeVar("T")


def together(jobs: Iterable[Callable[[], T]], patience: Patience, stop: Stop) -> list[T]:
    """Do all jobs, some at once, and return what they returned, in their order.

    The first error of any job stops the others and is raised; so does Ctrl-C. Even a single job has a thread: the
    main thread must be free to hear the signal while the job sits in a read.
    """
    waiting: SimpleQueue[tuple[int, Callable[[], T]]] = SimpleQueue()
    for numbered in enumerate(jobs):
        waiting.put(numbered)
    count = waiting.qsize()
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    ended = threading.Semaphore(0)

    def work() -> None:
        try:
            while True:
                number, job = waiting.get_nowait()
                stop.check()
                results[number] = job()
        except (Empty, Stopped):
            pass
        except BaseException as error:
            errors.append(error)
        finally:
            ended.release()

    # Daemons: should one sit in a system call that nothing wakes, it must not keep the process from ending.
    threads = [
        threading.Thread(target=work, name=f"tinytorch-datasets-fetch-{n}", daemon=True)
        for n in range(min(patience.connections_in_all, count))
    ]
    at_work = 0
    try:
        for thread in threads:
            thread.start()
            at_work += 1
        # Not by thread.join: until Python 3.13, a Ctrl-C inside it takes the thread for ended, which it is not
        # (see bpo-45274 in threading.py, whose remedy cannot tell whether the join or the thread has the lock).
        while at_work and not errors:
            at_work -= ended.acquire(timeout=patience.poll_s)
    finally:
        stop.set()
        until = time.monotonic() + patience.farewell_s
        while at_work and (left_s := until - time.monotonic()) > 0:
            at_work -= ended.acquire(timeout=left_s)
    if errors:
        raise errors[0]
    return [results[number] for number in range(count)]
