"""Have the bytes reached the disk?"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ._room import open_safely, open_to_read


class Flush:
    """The wait for the disk to have a file, spent in a thread beside the block; the block ends when both are done.

    The block may fail in its own way, and what it found may have to be put in its place: so what the disk had
    against the file is raised by `check`, and not at the block's end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._wait, name="tinytorch-datasets-flush", daemon=True)

    def __enter__(self) -> Flush:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def check(self) -> None:
        """Raise what the disk had against it."""
        if self._error is not None:
            raise self._error

    def _wait(self) -> None:
        try:
            # Any descriptor will do: what is flushed is the file, whoever wrote to it.
            try:
                fd = open_safely(self._path)
            except PermissionError:
                fd = open_to_read(self._path)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            self._error = error
