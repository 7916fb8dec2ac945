"""Samples drawn in a terminal: two pixels a character, as large as it allows."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TextIO

import numpy as np

from tinytorch_datasets.display import sound
from tinytorch_datasets.display.pictures import reduced
from tinytorch_datasets.errors import printable
from tinytorch_datasets.progress import is_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Where there are no colors: from nothing to all of it, each character with more ink on it than the one before.
RAMP = " .:-=+*#%@"
BLOCK = "\u2580"  # its upper half is the foreground, its lower half the background
BAR = "\u2588"
WIDEST = 64  # pixels of one picture, on either side
SMALLEST = 12  # pixels of the longer side: below that, one scrolls rather than sees nothing
GAP = 2
FIELD_COLUMNS = 12
PIPED_COLUMNS = 200
LINES_OF_THE_SHELL = 2  # the command above and the prompt below, which should stay in sight
WIDEST_BAR = 40
WIDEST_WAVE = 100
WAVE_LINES = 3


def canvas(stream: TextIO | None = None) -> tuple[Console, StringIO]:
    """Return a console like stdout, and the buffer that it writes to."""
    from rich.console import Console

    stream = sys.stdout if stream is None else stream
    drawn, watched = StringIO(), is_terminal(stream)
    has_codes = watched or bool(os.environ.get("FORCE_COLOR") and not os.environ.get("NO_COLOR"))
    columns = None if watched else max(shutil.get_terminal_size().columns, PIPED_COLUMNS)
    # In a notebook it would display by itself, in its own way, what is only to be drawn.
    return Console(file=drawn, force_terminal=has_codes, force_jupyter=False, width=columns, highlight=False), drawn


class _Layout(NamedTuple):
    a_row: int
    height: int  # pixels of the box of a picture
    width: int


def _layout(count: int, height: int, width: int, columns: int, lines: int | None) -> _Layout:
    """Return how pictures of at most that size are put into columns and lines: as large as they fit, as few rows.

    Without a number of lines they may take any.
    """
    fits = []
    for a_row in range(1, count + 1):
        wide = (columns + GAP) // a_row - GAP
        scale = min(1.0, wide / width)
        if lines is not None:
            of_a_row = (lines + 1) // -(-count // a_row) - 2  # below each its caption, and a blank line
            scale = min(scale, 2 * of_a_row / height)
        fits.append((scale, a_row))
    scale, a_row = max(fits)
    least = min(1.0, SMALLEST / max(height, width), columns / width)
    if scale < least:
        scale = least
        a_row = max(1, (columns + GAP) // (round(width * scale) + GAP))
    return _Layout(min(a_row, count), max(1, round(height * scale)), max(1, round(width * scale)))


def draw(pictures: Sequence[np.ndarray], captions: Sequence[str], console: Console) -> None:
    """Print pictures, (height, width, 3) of uint8 each, side by side, each with its caption below."""
    from rich.cells import cell_len
    from rich.text import Text

    # Of several sizes, so that one panorama does not make specks of the others.
    pictures = [reduced(picture, WIDEST, WIDEST) for picture in pictures]
    high, wide = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    lines = max(1, console.height - LINES_OF_THE_SHELL) if console.is_terminal else None
    a_row, high, wide = _layout(len(pictures), high, wide, console.width, lines)
    roomy = (console.width + GAP) // a_row - GAP
    captions = [printable(caption) for caption in captions]
    column = min(max(wide, *map(cell_len, captions), 1), max(roomy, wide))
    for first in range(0, len(pictures), a_row):
        its = range(first, min(first + a_row, len(pictures)))
        drawn = [list(_lines(reduced(pictures[number], high, wide), console)) for number in its]
        most = max(map(len, drawn))
        for line in range(most):
            _print_row(console, [d[line] if line < len(d) else Text() for d in drawn], column)
        _print_row(console, [Text(captions[number]) for number in its], column)
        if its.stop < len(pictures):
            console.print()


def draw_sounds(
    recordings: Sequence[np.ndarray], level: tuple[float, float], captions: Sequence[str], console: Console
) -> None:
    """Print how loud recordings are, one below the other, each beside its caption, in as many lines as there are."""
    from rich.cells import cell_len
    from rich.text import Text

    blocks = sound.BLOCKS if _has(sound.BLOCKS) else RAMP
    lines = WAVE_LINES
    if console.is_terminal:
        lines = min(max((console.height - LINES_OF_THE_SHELL) // len(recordings), 1), WAVE_LINES)
    captions = [printable(caption) for caption in captions]
    title = min(max(map(cell_len, captions)), max(console.width // 3, 1))
    columns = min(max(console.width - title - GAP, 1), WIDEST_WAVE)
    for recording, caption in zip(recordings, captions, strict=True):
        for number, line in enumerate(sound.block_lines(recording, level, columns, lines, blocks)):
            beside = Text("" if number < lines - 1 else caption)  # where the line is that is never empty
            beside.truncate(title, overflow="ellipsis", pad=True)
            row = beside + Text(" " * GAP + line)
            row.rstrip()
            console.print(row, soft_wrap=True)


def draw_texts(
    fields: Sequence[str], rows: Sequence[Sequence[str]], positions: Sequence[int], console: Console
) -> None:
    """Print samples, a line a field; on a terminal as much of each text as it has room for, or else a line a sample."""
    from rich.text import Text

    most = None
    if console.is_terminal and fields:
        room = max(console.height - LINES_OF_THE_SHELL, 1) - (len(rows) - 1)
        lines = room // (len(rows) * len(fields))
        most = max(lines * console.width - FIELD_COLUMNS, 0)
        if most == 0:
            _draw_table(
                ["", *map(printable, fields)],
                [[f"{p:,}", *row] for p, row in zip(positions, rows, strict=True)],
                console,
            )
            return
    for number, row in enumerate(rows):
        if number:
            console.print()
        for field, text in zip(fields, row, strict=True):
            shown = Text(text)
            if most is not None:
                shown.truncate(most, overflow="ellipsis")
            console.print(Text.assemble((f"{field:<{FIELD_COLUMNS}}", "bold"), shown), soft_wrap=True)


def _draw_table(head: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print a line a row; what a narrow column leaves goes to the wide ones."""
    from rich.cells import cell_len
    from rich.text import Text

    lines = [[text[: console.width] for text in row] for row in (head, *rows)]
    natural = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    room, widths = console.width - GAP * (len(head) - 1), dict[int, int]()
    for left, place in enumerate(sorted(range(len(head)), key=natural.__getitem__)):
        widths[place] = max(min(natural[place], room // (len(head) - left)), 0)
        room -= widths[place]
    for number, line in enumerate(lines):
        texts = [Text(text, style="" if number else "bold") for text in line]
        for place, text in enumerate(texts):
            text.truncate(widths[place], overflow="ellipsis", pad=True)
        whole = Text(" " * GAP).join(texts)
        whole.truncate(console.width)
        whole.rstrip()
        console.print(whole, soft_wrap=True)


def _print_row(console: Console, texts: Sequence[Text], column: int) -> None:
    from rich.text import Text

    for text in texts:
        text.truncate(column, overflow="ellipsis", pad=True)
    side_by_side = Text(" " * GAP).join(texts)
    side_by_side.rstrip()
    console.print(side_by_side, soft_wrap=True)


def _lines(pixels: np.ndarray, console: Console) -> Iterator[Text]:
    """Draw a picture in lines: a character is two pixels, one above the other."""
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    # Sixteen colors, which each terminal has as it likes, show less of a picture than characters do.
    colors = console.color_system in ("256", "truecolor") and not console.no_color and _has(BLOCK)
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        line = Text()
        for (above, below), run in groupby(zip(upper, lower, strict=True)):
            count = len(list(run))
            if colors:
                line.append(BLOCK * count, Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
            else:
                line.append(RAMP[sum([*above, *below]) * (len(RAMP) - 1) // (6 * 255)] * count)
        yield line


def _has(character: str) -> bool:
    """Check whether the terminal has that character."""
    try:
        character.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, AttributeError):
        return False
    return True


def draw_histogram(counts: Mapping[str, Mapping[str, int]], console: Console) -> None:
    """Print how many samples each class has, by split, with bars: ``{"train": {"cat": 5000, ...}, ...}``."""
    from rich.cells import cell_len
    from rich.text import Text

    bar = BAR if _has(BAR) else "#"
    most = max((count for of_split in counts.values() for count in of_split.values()), default=0) or 1
    widest = max((cell_len(printable(name)) for of_split in counts.values() for name in of_split), default=0)
    title = min(max(widest, 1), 30)
    room = max(1, min(WIDEST_BAR, console.width - title - 2 * GAP - len(f"{most:,}")))
    for number, (split, of_split) in enumerate(counts.items()):
        if number:
            console.print()
        console.print(Text(f"{split}: {sum(of_split.values()):,} samples", style="bold"), soft_wrap=True)
        for name, count in of_split.items():
            filled = bar * max(round(count / most * room), 1 if count else 0)
            line = Text(printable(name))
            line.truncate(title, overflow="ellipsis", pad=True)
            line.append(f"  {count:>{len(f'{most:,}')},}  {filled}")
            line.rstrip()
            console.print(line, soft_wrap=True)
