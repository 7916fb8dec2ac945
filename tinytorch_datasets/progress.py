"""Progress bars and lines on stderr, and sizes for people.

A Progress is anything that can be called with (file, bytes done, bytes in all). `bytes done` starts at what was here
already, may fall back when a mirror makes us start over, and equals `bytes in all` exactly once: when the file is in
its place. `bytes in all` is -1 while nobody knows it, as of a file that is in no manifest yet. Calls come from several
threads, but never two at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

if TYPE_CHECKING:
    import rich.progress


def readable(count: int) -> str:
    """Format bytes in the unit that keeps one to three digits before the point, 1 kB being 1000 bytes.

    >>> readable(999), readable(317_299), readable(170_498_071)
    ('999 B', '317 kB', '170 MB')
    >>> readable(4_542), readable(11_594_722), readable(999_950)
    ('4.5 kB', '11.6 MB', '1.0 MB')
    """
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            break
    return f"{size:.0f} {unit}" if size >= 99.95 else f"{size:.1f} {unit}"


Progress = Callable[[str, int, int], None]
BESIDE_THE_NAME = 51  # columns for the widest figures, and a bar in which something can be seen
NARROWEST_NAME = 12


class Shown(Protocol):
    """A Progress that a person sees, to be closed in the end."""

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Show that so much of the file is here."""

    def write_header(self, line: str) -> None:
        """Write a line of what is to come, above all files."""

    def __enter__(self) -> Shown:
        """Return itself."""
        ...

    def __exit__(self, *error: object) -> None:
        """Leave the screen as it should stay."""


def usual(stream: TextIO | None = None) -> Shown:
    """Return bars on a terminal, plain lines elsewhere and in CI; on stderr by default."""
    stream = sys.stderr if stream is None else stream  # which is None, too, in a program without a console
    return Bars(stream) if stream is not None and is_watched(stream) else Lines(stream)


def is_terminal(stream: TextIO | None) -> bool:
    """Check whether it is a terminal; a program without a console has no stream at all."""
    return stream is not None and stream.isatty()


def is_watched(stream: TextIO | None) -> bool:
    """Check whether a person sees what moves there: on a terminal, unless it is a CI system's.

    They keep what is written, and a bar that moves is written a thousand times.
    """
    return is_terminal(stream) and os.environ.get("CI", "").strip().lower() not in ("1", "true", "yes", "on")


def drawn_on(stream: TextIO, *, after: Literal["stays", "goes"]) -> rich.progress.Progress:
    """Return where bars over bytes can be added: share, size, speed and time left; in the end they stay, or go."""
    from rich.console import Console
    from rich.progress import (  # only where there is something to show
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    console = Console(file=stream)
    # A file's name is not ours: no markup in it, and one that is too long is cut, not the figures.
    roomy = console.width >= BESIDE_THE_NAME + NARROWEST_NAME
    widest = console.width - (BESIDE_THE_NAME if roomy else console.width // 2)
    name = Column(no_wrap=True, overflow="ellipsis", max_width=widest)
    figures = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True)) if roomy else ()
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),  # all that the others leave
        TaskProgressColumn(),
        *figures,
        console=console,
        transient=after == "goes",
        expand=True,
        redirect_stdout=False,  # what our caller prints goes where it sends it
        redirect_stderr=stream is sys.stderr,  # a warning is put above the bars, not through them
    )


class Bars:
    """A bar a file, with speed and time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: rich.progress.Progress | None = None  # nothing is drawn before there is something to show
        self._bars: dict[str, rich.progress.TaskID] = {}

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Move the bar of that file."""
        if self._drawn is None:
            self._drawn = drawn_on(self._stream, after="stays")
            self._drawn.start()
        bar, total = self._bars.get(file), None if bytes_in_all < 0 else bytes_in_all
        if bar is None:  # resumed bytes count as done, but not as speed
            self._bars[file] = self._drawn.add_task(file, total=total, completed=bytes_done)
        elif bytes_done < self._drawn.tasks[bar].completed:  # started over: what came before tells nothing of the speed
            self._drawn.reset(bar, completed=bytes_done)
        else:
            self._drawn.update(bar, total=total, completed=bytes_done)

    def write_header(self, line: str) -> None:
        """Write a line, before any bar is drawn."""
        _write_line(self._stream, line)

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *error: object) -> None:
        if self._drawn is not None:
            self._drawn.stop()


class Lines:
    """One plain line a file, when it begins to come; none where there is no stream."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._reported: set[str] = set()

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Write the line of that file, the first time."""
        if self._stream is None or file in self._reported:
            return
        self._reported.add(file)
        if bytes_done == bytes_in_all:
            line = f"{file}: {readable(bytes_in_all)}, found on this computer"
        elif bytes_in_all < 0:
            line = f"{file}: fetching"
        elif bytes_done:
            line = f"{file}: fetching the rest of {readable(bytes_in_all)}, {readable(bytes_done)} are here"
        else:
            line = f"{file}: fetching {readable(bytes_in_all)}"
        _write_line(self._stream, line)

    def write_header(self, line: str) -> None:
        """Write a line, if there is a stream."""
        if self._stream is not None:
            _write_line(self._stream, line)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def _write_line(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
