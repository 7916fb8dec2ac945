"""The command `show`: samples drawn in a terminal.

Pictures are drawn in the terminal, two pixels a character; strings and numbers are written out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tinytorch_datasets.cli.common import echo
from tinytorch_datasets.cli.listing import canvas
from tinytorch_datasets.errors import printable
from tinytorch_datasets.manifest.models import Entry, FieldEntry
from tinytorch_datasets.split import Split

# Where there are no colors: from nothing to all of it, each character with more ink on it than the one before.
RAMP = " .:-=+*#%@"
BLOCK = "\u2580"  # its upper half is the foreground, its lower half the background
WIDEST = 64  # columns of one picture; a larger one is drawn with every second pixel, or third, ...
GAP = 2
NUMBERS_SHOWN = 8


class Sample(NamedTuple):
    """One sample: its place in the split, and its values by field."""

    place: int
    values: Mapping[str, Any]


def chosen(split: Split, count: int, seed: int) -> list[Sample]:
    """Return so many samples of a split, the same ones for the same seed, in the order they have there."""
    order = np.random.RandomState(seed).permutation(len(split))[:count]
    return [Sample(int(index), dict(zip(split.fields, split[int(index)], strict=True))) for index in sorted(order)]


def plain(samples: list[Sample]) -> list[dict[str, Any]]:
    """Return the samples in plain values, for programs."""
    return [
        {"index": sample.place, **{field: np.asarray(value).tolist() for field, value in sample.values.items()}}
        for sample in samples
    ]


def show(entry: Entry, samples: list[Sample]) -> None:
    """Print the samples: pictures side by side, anything else one below the other."""
    console, drawn = canvas()
    _show(entry, samples, console)
    echo(drawn.getvalue(), nl=False)


def _show(entry: Entry, samples: list[Sample], console: Console) -> None:
    picture = next((field for field, value in samples[0].values.items() if _is_picture(value)), None)
    if picture is None:
        for number, sample in enumerate(samples):
            if number:
                console.print()
            for field, value in sample.values.items():
                described = Text.assemble((f"{field:<12}", "bold"), _describe(entry.fields[field], value))
                console.print(described, soft_wrap=True)
        return
    span = entry.fields[picture].range
    drawings = [[*_drawn(_pixels(s.values[picture], span), console), _caption(entry, s, picture)] for s in samples]
    width = drawings[0][0].cell_len
    a_row = max(1, (console.width + GAP) // (width + GAP))
    for first in range(0, len(drawings), a_row):
        for lines in zip(*drawings[first : first + a_row], strict=True):
            for line in lines:
                line.truncate(width, overflow="ellipsis", pad=True)
            side_by_side = Text(" " * GAP).join(lines)
            side_by_side.rstrip()
            console.print(side_by_side, soft_wrap=True)
        if first + a_row < len(drawings):
            console.print()


def _is_picture(value: Any) -> bool:
    """Check whether a sample has height and width, and one or three channels before them or behind, or none."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "buif":
        return False
    return value.ndim == 2 or (value.ndim == 3 and bool({value.shape[0], value.shape[-1]} & {1, 3}))


def _pixels(value: np.ndarray, span: tuple[float, float] | None) -> np.ndarray:
    """Return height, width and three colors, from 0 to 255; the declared range is from black to white."""
    if value.ndim == 3 and value.shape[0] in (1, 3):
        value = np.moveaxis(value, 0, -1)
    if value.ndim == 2:
        value = value[:, :, np.newaxis]
    every = -(-value.shape[1] // WIDEST)
    value = np.nan_to_num(value[::every, ::every].astype(np.float64))
    low, high = span or (value.min(), value.max())
    share = ((value - low) / ((high - low) or 1)).clip(0, 1)
    return np.broadcast_to((share * 255).round().astype(np.uint8), (*share.shape[:2], 3))


def _drawn(pixels: np.ndarray, console: Console) -> Iterator[Text]:
    """Draw a picture in lines: a character is two pixels, one above the other."""
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    colors = console.color_system is not None and not console.no_color and _has(BLOCK)
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        line = Text()
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            if colors:
                line.append(BLOCK, Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
            else:
                line.append(RAMP[sum([*above, *below]) * (len(RAMP) - 1) // (6 * 255)])
        yield line


def _has(character: str) -> bool:
    """Check whether the terminal has that character."""
    try:
        character.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _caption(entry: Entry, sample: Sample, picture: str) -> Text:
    """Return what else the sample has, in a line; its place in the split where it has nothing."""
    described = [_describe(entry.fields[field], value) for field, value in sample.values.items() if field != picture]
    return Text(", ".join(described) or str(sample.place))


def _describe(field: FieldEntry, value: Any) -> str:
    """Return a value as a person reads it: a label by its class, of many numbers the first."""
    if isinstance(value, str):
        return printable(value)  # a terminal obeys some characters, and data sets are other people's
    if field.classes is not None:
        return field.classes[int(value)]
    numbers = np.ravel(value)
    more = f", ... {numbers.size:,} in all" if numbers.size > NUMBERS_SHOWN else ""
    return ", ".join(f"{number:g}" for number in numbers[:NUMBERS_SHOWN]) + more
