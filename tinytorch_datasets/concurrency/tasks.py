"""Tasks: work for whichever process, and how a worker does it.

A worker may be on another machine, where the same path is another file, or none. So each task goes with what its
sender sees of the files that it reads, and a worker that sees anything else does nothing. Nor is a worker's own error
taken for one of the machinery around it: whatever a job raises is returned, so what is raised is that a worker was
lost.
"""

from __future__ import annotations

import os
import pickle
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from tinytorch_datasets._version import VERSION
from tinytorch_datasets.concurrency import Cancellation, cancelled_by, thread_name
from tinytorch_datasets.errors import UsageError

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Task(Generic[T_co]):
    """A piece of work for whichever process: `job` is a module's function, or a partial of it with plain values.

    `size` is how large it is, in bytes. `reads` are the files that it reads, and the folders that it writes to, which a
    worker must see as this process does.
    """

    job: Callable[..., T_co]
    size: int = 0
    reads: tuple[Path, ...] = ()


class Sight(NamedTuple):
    """What a process sees at a path: size, time of change in nanoseconds and inode; of a folder its inode alone."""

    size: int = 0
    changed_ns: int = 0
    inode: int = 0
    error: str = ""


class Outcome(NamedTuple):
    """What became of a task: its result, or its error, or the path that its worker sees otherwise than who sent it."""

    result: Any = None
    error: BaseException | None = None
    mismatch: tuple[str, Sight] | None = None
    is_left: bool = False  # to whoever asked
    worker: str = ""  # of an error or a mismatch


def look_at(path: str | Path) -> Sight:
    """Return what this process sees at a path. A file is opened for it: only then does NFS ask its server."""
    try:
        about = Path(path).stat()
        if stat.S_ISDIR(about.st_mode):
            return Sight(inode=about.st_ino)
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            about = os.fstat(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return Sight(error=error.strerror or type(error).__name__)
    return Sight(about.st_size, about.st_mtime_ns, about.st_ino)


# The runs of this process: a thread of it at their tasks can be cancelled, as no other process can.
_cancellations: dict[str, Cancellation] = {}


@contextmanager
def cancelling_after(run: str) -> Iterator[None]:
    """Cancel, after the block, the tasks of a run by its name that are done in this process."""
    _cancellations[run] = cancellation = Cancellation()
    try:
        yield
    finally:
        cancellation.cancel()
        del _cancellations[run]


def do_tasks(version: str, name: str, payload: bytes) -> tuple[str, list[Outcome]]:
    """Do tasks that were sent together, and return the call's name with their outcomes; all of it is plain values."""
    if version != VERSION:
        what = f"{thread_name()} has tinytorch-datasets {VERSION}"
        raise UsageError(what)
    outcomes = []
    with cancelled_by(_cancellations.get(name.partition("-")[0])):
        parts = pickle.loads(payload)
        for job, sent in parts:
            sights = ((path, sight, look_at(path)) for path, sight in sent)
            mismatch = next(((path, now) for path, sight, now in sights if now != sight), None)
            if mismatch is not None:
                outcomes.append(Outcome(mismatch=mismatch, worker=thread_name()))
                continue
            try:
                outcomes.append(Outcome(job()))
            except MemoryError:  # of a machine with less than others have: another one may do it
                raise
            except Exception as error:  # of the job, whatever it raises: it is raised again by whoever sent the task
                if not _survives_sending(error):  # a process pool that it is sent through is broken for good
                    outcomes.append(Outcome(is_left=True))
                    continue
                outcomes.append(Outcome(error=error, worker=thread_name()))
                break
    return name, outcomes + [Outcome()] * (len(parts) - len(outcomes))


def _survives_sending(error: Exception) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does, such as ask for arguments that it does not keep
        return False
    return True
