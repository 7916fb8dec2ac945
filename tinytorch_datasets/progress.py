"""Progress bars in terminals and notebooks, lines in logs, and sizes for people.

A Progress is anything that can be called with (file, bytes done, bytes in all). `bytes done` starts at what was here
already, may fall back when a mirror makes us start over, and equals `bytes in all` exactly once: when the file is in
its place. `bytes in all` is -1 while nobody knows it, as of a file that is in no manifest yet. Calls come from several
threads, but never two at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from tinytorch_datasets.errors import printable

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
LEAST_TOLD = 1_000_000  # bytes of a file whose tenths are written in a log
BETWEEN_UPDATES_S = 0.1  # of a notebook's page, which keeps each of them
MOST_BARS = 12  # of which those of whole files go first: a data set may have a file for each of its samples


class Shown(Protocol):
    """A Progress that a person sees, to be closed in the end."""

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Show that so much of the file is here."""

    def write_line(self, line: str) -> None:
        """Write a line of what is to come, or of what changed, above the bars."""

    def __enter__(self) -> Shown:
        """Return itself."""
        ...

    def __exit__(self, *error: object) -> None:
        """Leave the screen as it should stay."""


def usual(stream: TextIO | None = None) -> Shown:
    """Return bars on a terminal and in a notebook, plain lines elsewhere and in CI; on stderr by default."""
    if stream is None and notebook_shell() is not None:
        return NotebookBars(sys.modules["IPython"].display.display)
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
        self._whole: list[rich.progress.TaskID] = []
        self._hidden, self._hidden_bytes = 0, 0

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
        if bytes_done == bytes_in_all:
            self._whole.append(self._bars[file])
        if self._whole and len(self._bars) - self._hidden > MOST_BARS:
            first = self._whole.pop(0)
            self._hidden_bytes += int(self._drawn.tasks[first].completed)
            self._hidden += 1
            self._drawn.update(first, visible=False)

    def write_line(self, line: str) -> None:
        """Write a line, above the bars where there are some."""
        if self._drawn is None:
            _write_line(self._stream, line)
        else:
            self._drawn.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *error: object) -> None:
        if self._drawn is not None:
            if self._hidden:
                self.write_line(_more_files(self._hidden, self._hidden_bytes))
            self._drawn.stop()


class Lines:
    """Plain lines: one when a file begins to come, one each tenth of a large one; none where there is no stream."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._tenths: dict[str, int] = {}

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Write the line of that file, the first time, and when another tenth of it has come."""
        if self._stream is None:
            return
        tenth = bytes_done * 10 // bytes_in_all if bytes_in_all >= LEAST_TOLD else 0
        before = self._tenths.get(file)
        self._tenths[file] = max(tenth, before or 0)
        if before is not None:
            if tenth > before:
                _write_line(self._stream, f"{file}: {tenth}0 % of {readable(bytes_in_all)}")
            return
        if bytes_done == bytes_in_all:
            line = f"{file}: {readable(bytes_in_all)}, found on this computer"
        elif bytes_in_all < 0:
            line = f"{file}: fetching"
        elif bytes_done:
            line = f"{file}: fetching the rest of {readable(bytes_in_all)}, {readable(bytes_done)} are here"
        else:
            line = f"{file}: fetching {readable(bytes_in_all)}"
        _write_line(self._stream, line)

    def write_line(self, line: str) -> None:
        """Write a line, if there is a stream."""
        if self._stream is not None:
            _write_line(self._stream, line)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def notebook_shell() -> Any:
    """Return IPython's shell of the kernel that runs this program; None where none does."""
    ipython: Any = sys.modules.get("IPython")  # never imported for this
    shell = ipython.get_ipython() if hasattr(ipython, "get_ipython") else None
    return None if getattr(shell, "kernel", None) is None else shell


class NotebookBars:
    """A bar a file below a notebook's cell, in one place, which is updated as bytes come."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None  # nothing is shown before there is something to show
        self._lines: list[str] = []
        self._files: dict[str, _Flow] = {}
        self._updated = 0.0

    def __call__(self, file: str, bytes_done: int, bytes_in_all: int) -> None:
        """Move the bar of that file."""
        flow = self._files.get(file)
        if flow is None or bytes_done < flow.done:  # resumed bytes count as done, but not as speed
            flow = self._files[file] = _Flow(bytes_done)
        flow.done, flow.in_all = bytes_done, bytes_in_all
        if time.monotonic() - self._updated >= BETWEEN_UPDATES_S:  # and once more in the end
            self._update()

    def write_line(self, line: str) -> None:
        """Write a line above the bars."""
        self._lines.append(line)
        self._update()

    def __enter__(self) -> NotebookBars:
        return self

    def __exit__(self, *error: object) -> None:
        if self._handle is not None:
            self._update()

    def _update(self) -> None:
        shown = {"text/plain": self._as_text(), "text/html": self._as_html()}
        if self._handle is None:
            self._handle = self._display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)
        self._updated = time.monotonic()

    def _shown(self) -> tuple[list[str], dict[str, _Flow]]:
        """Return the lines and the files that are shown: of many files not the first ones that are whole."""
        whole = [file for file, flow in self._files.items() if flow.done == flow.in_all]
        left_out = {*whole[: max(len(self._files) - MOST_BARS, 0)]}
        shown = {file: flow for file, flow in self._files.items() if file not in left_out}
        done = sum(self._files[file].done for file in left_out)
        return [*self._lines, *([_more_files(len(left_out), done)] if left_out else [])], shown

    def _as_text(self) -> str:
        lines, files = self._shown()
        return "\n".join([*map(printable, lines), *(f"{printable(file)}: {flow}" for file, flow in files.items())])

    def _as_html(self) -> str:
        from html import escape

        shown, files = self._shown()
        lines = "".join(f"<div>{escape(printable(line))}</div>" for line in shown)
        rows = "".join(
            f'<tr><td style="text-align:left">{escape(printable(file))}</td><td>{flow.bar}</td>'
            f'<td style="text-align:left">{flow}</td></tr>'
            for file, flow in files.items()
        )
        return f"{lines}<table>{rows}</table>" if rows else lines


class _Flow:
    """What has come of one file since it was first reported, or since it started over."""

    def __init__(self, done: int) -> None:
        self._first, self._since = done, time.monotonic()
        self.done, self.in_all = done, -1

    @property
    def bar(self) -> str:
        """The bar as HTML; where nobody knows how much is to come, one that only moves."""
        known = f' value="{self.done}" max="{self.in_all}"' if self.in_all > 0 else ""
        return f'<progress{known} style="width:20em"></progress>'

    def __str__(self) -> str:
        if self.done == self.in_all:
            return readable(self.in_all)
        per_s = (self.done - self._first) / max(time.monotonic() - self._since, 0.001)
        parts = [f"{readable(self.done)} of {readable(self.in_all)}" if self.in_all >= 0 else readable(self.done)]
        if per_s:
            parts.append(f"{readable(int(per_s))}/s")
        if per_s and self.in_all >= 0:
            minutes, seconds = divmod(round((self.in_all - self.done) / per_s), 60)
            parts.append(f"{minutes}:{seconds:02} left")
        return ", ".join(parts)


def _more_files(count: int, done: int) -> str:
    return f"{count:,} more {'files are' if count > 1 else 'file is'} here, {readable(done)}"


def _write_line(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
