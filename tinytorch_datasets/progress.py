"""What does a person see while a file comes?

A Progress is anything that can be called with (file, bytes done, bytes in all). `bytes done` starts at what was here
already, may fall back when a mirror makes us start over, and equals `bytes in all` exactly once: when the file is in
its place. Calls come from several threads, but never two at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from tinytorch_datasets.sizes import readable

if TYPE_CHECKING:
    from tqdm import tqdm

Progress = Callable[[str, int, int], None]


class Shown(Protocol):
    """A Progress that a person sees, to be closed in the end."""

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Show that so much of the file is here."""

    def __enter__(self) -> Shown:
        """Itself."""
        ...

    def __exit__(self, *error: object) -> None:
        """Leave the screen as it should stay."""


def usual(stream: TextIO | None = None) -> Shown:
    """Bars on a terminal, plain lines elsewhere and in CI; on stderr unless told otherwise."""
    stream = sys.stderr if stream is None else stream
    # CI systems keep what is written, and a bar that moves is written a thousand times.
    return Bars(stream) if stream.isatty() and not os.environ.get("CI") else Lines(stream)


class Bars:
    """A bar a file, with speed and time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: dict[str, tqdm[Any]] = {}

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Move the bar of that file."""
        bar = self._bars.get(file)
        if bar is None:
            bar = self._bars[file] = self._bar(file, bytes_done, bytes_in_all)
        if bytes_done < bar.n:  # started over: what came before says nothing about the time left
            bar.initial = 0
            bar.reset(total=bytes_in_all)
        bar.update(bytes_done - bar.n)
        if bytes_done == bytes_in_all:
            bar.close()

    def _bar(self, file: str, bytes_here: int, bytes_in_all: int) -> tqdm[Any]:
        from tqdm import tqdm  # only where there is something to show

        return tqdm(
            desc=file,
            initial=bytes_here,  # resumed bytes count as done, but not as speed
            total=bytes_in_all,
            unit="B",
            unit_scale=True,
            file=self._stream,
            dynamic_ncols=True,
        )

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *error: object) -> None:
        for bar in self._bars.values():
            bar.close()


class Lines:
    """One plain line a file, when it begins to come."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: set[str] = set()

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Write the line of that file, the first time."""
        if file in self._told:
            return
        self._told.add(file)
        if bytes_done == bytes_in_all:
            line = f"{file}: {readable(bytes_in_all)}, found on this computer"
        elif bytes_done:
            line = f"{file}: fetching the rest of {readable(bytes_in_all)}, {readable(bytes_done)} are here"
        else:
            line = f"{file}: fetching {readable(bytes_in_all)}"
        self._stream.write(line + "\n")
        self._stream.flush()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass
