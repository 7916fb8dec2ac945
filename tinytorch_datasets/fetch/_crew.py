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

    def work() -> None:
        while True:
            try:
                number, job = waiting.get_nowait()
                stop.check()
                results[number] = job()
            except (Empty, Stopped):
                return
            except BaseException as error:
                errors.append(error)
                stop.set()
                return

    # Daemons: should one sit in a system call that nothing wakes, it must not keep the process from ending.
    threads = [
        threading.Thread(target=work, name=f"tinytorch-datasets-fetch-{n}", daemon=True)
        for n in range(min(patience.connections_in_all, count))
    ]
    try:
        for thread in threads:
            thread.start()
        while not errors and any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(patience.poll_s)
                if errors:
                    break
    finally:
        stop.set()
        until = time.monotonic() + patience.farewell_s
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
    if errors:
        raise errors[0]
    return [results[number] for number in range(count)]
