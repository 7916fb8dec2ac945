"""`Samples`: some samples to look at, in notebooks, terminals and PNG files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch_datasets.display import html
from tinytorch_datasets.display.pictures import is_picture, pixels_of, png, reduced, small_png, tiled
from tinytorch_datasets.errors import UsageError, printable

if TYPE_CHECKING:
    from rich.console import Console

A_ROW = 10  # pictures of one row in a notebook
AREA = 10_240  # pixels of one row there, such as ten of 32 x 32: a byte each, which is 14 kB of text
SIDE_SHOWN = 64  # pixels that a picture takes on the page, and in a file, at least
COLUMNS_SHOWN = 8  # of features


class Samples:
    """Some samples of a split, to look at: a notebook shows pictures and tables, a terminal draws them.

    ``print(train.show(5))`` draws them anywhere, and `save` writes a PNG file.

    Attributes:
        title: Of what split they are, in a line.
        fields: The names of the fields.
        samples: Each sample, a tuple of values.
        positions: Where each is in its split.
        declared: What is declared of each field, in plain values: range, classes, names.
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[str],
        samples: Sequence[tuple[Any, ...]],
        positions: Iterable[int],
        declared: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.title, self.fields, self.samples = title, tuple(fields), tuple(samples)
        self.positions, self.declared = tuple(int(position) for position in positions), declared

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        from tinytorch_datasets.display import terminal

        console, drawn = terminal.canvas()
        self.print_to(console)
        return drawn.getvalue().rstrip("\n")

    def print_to(self, console: Console) -> None:
        """Draw the pictures side by side, or write out everything else, a line a field."""
        from rich.text import Text

        from tinytorch_datasets.display import terminal

        if not self.samples:
            console.print(Text(self.title), soft_wrap=True)
        elif self.pictures:
            terminal.draw(self.pictures, self.captions, console)
        else:
            for number, sample in enumerate(self.samples):
                if number:
                    console.print()
                for field, value in zip(self.fields, sample, strict=True):
                    line = Text.assemble((f"{field:<12}", "bold"), self._described(field, value))
                    console.print(line, soft_wrap=True)

    def plain(self) -> list[dict[str, Any]]:
        """Return the samples in plain values, for programs: each with its position as `index`."""
        return [
            {"index": index, **{f: np.asarray(v).tolist() for f, v in zip(self.fields, sample, strict=True)}}
            for index, sample in zip(self.positions, self.samples, strict=True)
        ]

    @cached_property
    def pictures(self) -> list[np.ndarray]:
        """The picture of each sample, (height, width, 3) of uint8; of several fields one below the other."""
        return [self._stacked(sample) for sample in self.samples] if self._picture_fields else []

    @cached_property
    def _picture_fields(self) -> tuple[int, ...]:
        """The places of fields of which every sample has a picture. What has named columns is a table."""
        return tuple(
            place
            for place, field in enumerate(self.fields)
            if self.samples and not self._of(field).get("names")
            if all(is_picture(sample[place]) for sample in self.samples)
        )

    def _stacked(self, sample: tuple[Any, ...]) -> np.ndarray:
        parts = [pixels_of(sample[p], self._of(self.fields[p]).get("range")) for p in self._picture_fields]
        wide = max(part.shape[1] for part in parts)
        return np.concatenate([np.pad(part, ((0, 0), (0, wide - part.shape[1]), (0, 0))) for part in parts])

    @property
    def captions(self) -> list[str]:
        """What else each sample has, in a line; its position where it has nothing."""
        others = [(place, field) for place, field in enumerate(self.fields) if place not in self._picture_fields]
        return [
            ", ".join(self._described(field, sample[place]) for place, field in others) or f"{position:,}"
            for position, sample in zip(self.positions, self.samples, strict=True)
        ]

    def _of(self, field: str) -> Mapping[str, Any]:
        return self.declared.get(field, {})

    def _described(self, field: str, value: Any) -> str:
        """Return a value as a person reads it: a label by its class, of many numbers the first."""
        if isinstance(value, str):
            return printable(value)  # a terminal obeys some characters, and data sets are other people's
        classes, names = self._of(field).get("classes"), self._of(field).get("names")
        if classes and np.ndim(value) == 0 and 0 <= int(value) < len(classes):
            return printable(str(classes[int(value)]))
        if names and np.ndim(value) == 1:
            pairs = zip(names[: html.NUMBERS_SHOWN], np.asarray(value).tolist(), strict=False)
            more = f", ... {len(value):,} in all" if len(value) > html.NUMBERS_SHOWN else ""
            return ", ".join(f"{printable(str(name))} {html.plain_number(number)}" for name, number in pairs) + more
        return html.numbers(value)

    def _repr_html_(self) -> str:
        if not self._picture_fields:
            return html.page(self.title, self._table())
        rows = []
        for first in range(0, len(self), A_ROW):
            row = self.pictures[first : first + A_ROW]
            side = math.isqrt(AREA // len(row))
            small = [reduced(picture, side, side) for picture in row]
            shown = max(SIDE_SHOWN, max(max(picture.shape[:2]) for picture in small)) + 4
            file = small_png(tiled(small, len(small)))
            rows.append(html.picture_row(file, self.captions[first : first + A_ROW], width=shown))
        return html.page(self.title, *rows, most=len(rows) * html.MOST_BYTES)

    def _table(self) -> str:
        """Return a table of the samples: a column a field, of features one for each of the first few."""
        head, columns = [""], list[tuple[int, int | None]]()
        for place, field in enumerate(self.fields):
            values = [sample[place] for sample in self.samples]
            wide = {len(value) if np.ndim(value) == 1 and not isinstance(value, str) else None for value in values}
            width = wide.pop() if len(wide) == 1 else None
            if width is None or None in (self._of(field).get("shape") or ()):
                head.append(field)
                columns.append((place, None))
                continue
            names = self._of(field).get("names") or ()
            for number in range(min(width, COLUMNS_SHOWN)):
                head.append(str(names[number]) if len(names) == width else f"{field}[{number}]")
                columns.append((place, number))
            if width > COLUMNS_SHOWN:
                head.append(f"... {width:,} in all")
                columns.append((place, -1))
        return html.table(head, self._rows(columns))

    def _rows(self, columns: Sequence[tuple[int, int | None]]) -> Iterator[list[object]]:
        for position, sample in zip(self.positions, self.samples, strict=True):
            row: list[object] = [f"{position:,}"]
            for place, number in columns:
                value = sample[place]
                if number is not None:
                    row.append("" if number < 0 else value[number].item())
                elif isinstance(value, str):
                    row.append(value)
                elif np.ndim(value) == 0 and not self._of(self.fields[place]).get("classes"):
                    row.append(np.asarray(value).item())
                else:
                    row.append(self._described(self.fields[place], value))
            yield row

    def save(self, path: str | os.PathLike[str], *, a_row: int = A_ROW) -> None:
        """Write the pictures as a PNG file, in full, so many a row; small ones are enlarged.

        Raises:
            UsageError: The samples are no pictures, or the name does not end in `.png`.
            OSError: It cannot be written.
        """
        path = Path(path)
        if not self.pictures:
            msg = "there are no pictures in these samples to write as a PNG file"
            raise UsageError(msg)
        if path.suffix.lower() != ".png":
            msg = f"pictures are written as a PNG file, whose name ends in .png, not {path.name!r}"
            raise UsageError(msg)
        side = max(max(picture.shape[:2]) for picture in self.pictures)
        path.write_bytes(png(tiled(self.pictures, a_row, enlarged=max(1, -(-SIDE_SHOWN // side)))))


def class_counts(split: Any) -> dict[str, int]:
    """Return how many samples each class has, of a split's first field with classes; nothing where none has."""
    for field in split.fields:
        if classes := split._declared.get(field, {}).get("classes"):
            counts = np.bincount(split[field], minlength=len(classes)).tolist()
            return {str(name): count for name, count in zip(classes, counts, strict=False)}
    return {}


def chosen(split: Any, n: int, *, seed: int | None, where: Any) -> Samples:
    """Return so many samples of a split to look at, as `Split.show` says."""
    part = split if where is None else split.filter(where)
    shown = part.take(min(n, len(part)), seed=seed)
    title = f"{split.name}: {len(shown):,} of {len(part):,} samples"
    return Samples(title, split.fields, list(shown), shown.positions, split._declared)


def split_page(split: Any) -> str:
    """Return the page of a split: its first samples; of one that is text as a whole, its beginning."""
    if split.fields:
        return chosen(split, A_ROW, seed=None, where=None)._repr_html_()
    texts = [split._text(field) for field in split._texts]
    return html.strings(repr(split)[1:-1], texts, of=len(texts))
