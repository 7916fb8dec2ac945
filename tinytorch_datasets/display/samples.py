"""`Samples`: some samples to look at, in notebooks, terminals and PNG files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch_datasets.concurrency import while_held
from tinytorch_datasets.display import html, sound
from tinytorch_datasets.display.pictures import GAP, as_picture, pixels_of, png, reduced, small_png, stacked, tiled
from tinytorch_datasets.errors import UsageError, printable
from tinytorch_datasets.progress import notebook_shell
from tinytorch_datasets.settings import is_writable

if TYPE_CHECKING:
    from rich.console import Console

A_ROW = 10  # pictures of one row in a notebook
AREA = 10_240  # pixels of one row there, such as ten of 32 x 32: a byte each, which is 14 kB of text
SIDE_SHOWN = 64  # pixels that a picture takes on the page, and in a file, at least
COLUMNS_SHOWN = 8  # of features
FIELDS_SHOWN = 16
WAVE_SAVED = 96  # pixels that a waveform is high in a file
HEARD_BYTES = 1 << 20  # of all WAV files of a page that was asked for by `show`
HISTOGRAM_BYTES = 3_500  # beside pictures
MISSING = "missing"


class Samples:
    """Some samples of a split, to look at: a notebook shows pictures and tables, a terminal draws them.

    ``print(train.show(5))`` draws them anywhere, and `save` writes a PNG file.

    Attributes:
        title: Of what split they are, in a line.
        fields: The names of the fields.
        samples: Each sample, a tuple of values.
        positions: Where each is in its split.
        declared: What is declared of each field, in plain values: range, classes, names.
        note: What everybody should know who sees them: "stand-in data".
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[str],
        samples: Sequence[tuple[Any, ...]],
        positions: Iterable[int],
        declared: Mapping[str, Mapping[str, Any]],
        *,
        note: str = "",
    ) -> None:
        self.note = note
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
        """Draw pictures and waveforms, or write out everything else: in a pipe in full, a line a field."""
        from rich.text import Text

        from tinytorch_datasets.display import terminal

        if not self.samples or self.note:
            console.print(Text(self.title), soft_wrap=True)
        if not self.samples:
            return
        if self.pictures:
            terminal.draw(self.pictures, self.captions, console)
        elif self._sound_fields:
            place = self._sound_fields[0]
            recordings = [sample[place] for sample in self.samples]
            terminal.draw_sounds(recordings, self._drawn_levels[place], self.captions, console)
        else:
            rows = [list(map(self.described, self.fields, sample)) for sample in self.samples]
            terminal.draw_texts(self.fields, rows, self.positions, console)

    def plain(self) -> list[dict[str, Any]]:
        """Return the samples in plain values, for programs: each with its position as `index`, and `note` if any."""
        noted = {"note": self.note} if self.note else {}
        return [
            {"index": index, **noted, **{f: np.asarray(v).tolist() for f, v in zip(self.fields, sample, strict=True)}}
            for index, sample in zip(self.positions, self.samples, strict=True)
        ]

    @cached_property
    def pictures(self) -> list[np.ndarray]:
        """The picture of each sample, (height, width, 3) of uint8; of several fields one below the other."""
        spans = [self._of(self.fields[place]).get("range") for place in self._picture_fields]
        each = zip(*self._picture_fields.values(), strict=True)
        return [stacked([pixels_of(*of_field) for of_field in zip(its, spans, strict=True)]) for its in each]

    @cached_property
    def _picture_fields(self) -> dict[int, list[np.ndarray]]:
        """The pictures of fields of which every sample has one, by place. What has named columns is a table."""
        fields = dict[int, list[np.ndarray]]()
        for place, field in enumerate(self.fields):
            declared = self._of(field)
            if not declared.get("names") and "rate" not in declared:
                pictures = [as_picture(sample[place], declared) for sample in self.samples]
                fields[place] = [picture for picture in pictures if picture is not None]
        return {place: its for place, its in fields.items() if its and len(its) == len(self)}

    @cached_property
    def _sound_fields(self) -> tuple[int, ...]:
        """The places of fields that are recordings, as their format's options say by a rate."""
        return tuple(
            place
            for place, field in enumerate(self.fields)
            if "rate" in self._of(field) and all(sound.is_sound(sample[place]) for sample in self.samples)
        )

    def _rate(self, place: int) -> int:
        return int(self._of(self.fields[place])["rate"])

    @cached_property
    def _levels(self) -> dict[int, tuple[float, float]]:
        """The silence and the loudest number of each field of recordings: the same for all samples."""
        spans = {at: self._of(self.fields[at]).get("range") for at in self._sound_fields}
        return {at: sound.silence_and_loudest([of[at] for of in self.samples], span) for at, span in spans.items()}

    @cached_property
    def _drawn_levels(self) -> dict[int, tuple[float, float]]:
        """The same to draw by: the loudest is that of these samples, so that quiet ones are no lines."""
        levels = self._levels.items()
        return {at: (silence, sound.peak([of[at] for of in self.samples], silence)) for at, (silence, _) in levels}

    @cached_property
    def waveforms(self) -> list[np.ndarray]:
        """The waveform of each recording, (height, width, 4) of uint8; of several fields one below the other."""
        levels, samples = self._drawn_levels.items(), self.samples if self._sound_fields else ()
        each = [[sound.waveform(of[at], level, height=WAVE_SAVED) for at, level in levels] for of in samples]
        return list(map(np.concatenate, each))

    @property
    def captions(self) -> list[str]:
        """What else each sample has, in a line; its position where it has nothing."""
        others = [(place, field) for place, field in enumerate(self.fields) if place not in self._picture_fields]
        others.sort(key=lambda other: other[0] in self._sound_fields)  # a class before how long it is
        return [
            ", ".join(self.described(field, sample[place]) for place, field in others) or f"{position:,}"
            for position, sample in zip(self.positions, self.samples, strict=True)
        ]

    def _of(self, field: str) -> Mapping[str, Any]:
        return self.declared.get(field, {})

    def described(self, field: str, value: Any) -> str:
        """Return a value as a person reads it: a label by its class, of many numbers the first."""
        if isinstance(value, str):
            return printable(value)  # a terminal obeys some characters, and data sets are other people's
        if self.fields.index(field) in self._sound_fields:
            return sound.format_duration(value, self._of(field)["rate"])
        classes, names = self._of(field).get("classes"), self._of(field).get("names")
        is_label = np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iu"
        if classes and is_label and 0 <= int(value) < len(classes):
            return printable(str(classes[int(value)]))
        if np.ndim(value) == 0 and self._number(field, np.asarray(value)) == MISSING:
            return MISSING
        if names and np.ndim(value) == 1:
            pairs = zip(names[: html.NUMBERS_SHOWN], np.asarray(value).tolist(), strict=False)
            more = f", ... {len(value):,} in all" if len(value) > html.NUMBERS_SHOWN else ""
            short = [(html.shortened(printable(str(name)), html.CLASS_CHARACTERS), number) for name, number in pairs]
            return ", ".join(f"{name} {html.plain_number(number)}" for name, number in short) + more
        return html.numbers(value)

    def _number(self, field: str, value: Any) -> Any:
        """Return a number as Python's own; of one that stands for a missing value, that it does."""
        number, declared = value.item(), self._of(field)
        is_missing = number == declared.get("missing_value") or (declared.get("missing") and number != number)  # NaN
        return MISSING if is_missing else number

    def _repr_html_(self) -> str:
        if self.pictures:
            most = -(-len(self) // A_ROW) * html.MOST_BYTES
            return html.page(self.title, *self._picture_rows(), most=most)
        heard = self.heard(sound.whole, HEARD_BYTES // max(len(self), 1)) if self._sound_fields else {}
        return html.page(self.title, self._table(heard), most=html.MOST_BYTES + (HEARD_BYTES * 4 // 3 if heard else 0))

    def brief_page(self, *, counts: Mapping[str, Mapping[str, int]] | None = None, more: str = "") -> str:
        """Return a page below 20 kB: the samples, a player of the first recording alone, and a histogram of classes."""
        parts = [*self._picture_rows()] if self.pictures else [self._table({})]
        room = html.MOST_BYTES - 1200 - len("".join(parts).encode())
        histogram = html.histogram(counts or {}, room=min(room, HISTOGRAM_BYTES))
        if self._sound_fields and self.samples:
            room -= len(histogram.encode()) + 800
            parts.append(self._first_heard(room * 3 // 4))  # base64 takes a third more
        return html.page(self.title, *parts, html.paragraph(more), histogram)

    def _first_heard(self, room: int) -> str:
        place, position = self._sound_fields[0], self.positions[0]
        heard = self.heard(sound.shortened, max(room, 0), samples=1).get((0, place))
        if heard is not None:
            return _heard_below(heard, f"sample {position:,}")
        value, rate = self.samples[0][place], self._rate(place)
        if not sound.is_playable(value, rate):
            return ""
        which = f"sample {position:,} ({sound.format_duration(value, rate)})"
        return html.paragraph(f"{which} is too much to be heard on this page; show(1) has a player of it")

    def _picture_rows(self) -> Iterator[str]:
        for first in range(0, len(self), A_ROW):
            row = self.pictures[first : first + A_ROW]
            side = math.isqrt(AREA // len(row))
            small = [reduced(picture, side, side) for picture in row]
            shown = max(SIDE_SHOWN, max(max(picture.shape[:2]) for picture in small)) + 4
            file = small_png(tiled(small, len(small)))
            yield html.picture_row(file, self.captions[first : first + A_ROW], width=shown)

    def heard(self, made: Any, room: int, *, samples: int | None = None) -> dict[tuple[int, int], sound.Heard]:
        """Return what can be heard, by the number of the sample and the place of the field."""
        room //= max(len(self._sound_fields), 1)
        files = {
            (number, place): made(sample[place], self._rate(place), self._levels[place], room)
            for number, sample in enumerate(self.samples[:samples])
            for place in self._sound_fields
        }
        return {at: file for at, file in files.items() if file is not None}

    def _table(self, heard: Mapping[tuple[int, int], sound.Heard]) -> str:
        room = 12_000 + sum(len(file) * 4 // 3 + 500 for file, _ in heard.values())
        return html.table(*self.cells(heard), room=room)

    def cells(self, heard: Mapping[tuple[int, int], sound.Heard]) -> tuple[list[str], Iterator[list[object]]]:
        """Return titles and rows of a table: a column a field, some of features; recordings with what is `heard`."""
        head, columns = [""], list[tuple[int, int | None]]()
        for place, field in enumerate(self.fields[:FIELDS_SHOWN]):
            shapes = {np.shape(sample[place]) for sample in self.samples}
            is_row = len(shapes) == 1 and len(*shapes) == 1 and None not in (self._of(field).get("shape") or ())
            if not is_row or place in self._sound_fields:
                head.append(field)
                columns.append((place, None))
                continue
            names, ((width,),) = self._of(field).get("names") or (), shapes
            for number in range(min(width, COLUMNS_SHOWN)):
                head.append(str(names[number]) if len(names) == width else f"{field}[{number}]")
                columns.append((place, number))
            if width > COLUMNS_SHOWN:
                head.append(f"... {width:,} in all")
                columns.append((place, -1))
        if len(self.fields) > FIELDS_SHOWN:
            head.append(f"... {len(self.fields):,} fields")
            columns.append((-1, -1))
        return head, self._rows(columns, heard)

    def _rows(
        self, columns: Sequence[tuple[int, int | None]], heard: Mapping[tuple[int, int], sound.Heard]
    ) -> Iterator[list[object]]:
        for at, (position, sample) in enumerate(zip(self.positions, self.samples, strict=True)):
            row: list[object] = [f"{position:,}"]
            for place, number in columns:
                value = sample[place]
                if place in self._sound_fields:
                    row.append(self._waveform(place, value, heard.get((at, place))))
                elif number is not None:
                    row.append("" if number < 0 else self._number(self.fields[place], value[number]))
                elif isinstance(value, str):
                    row.append(value)
                elif np.ndim(value) == 0 and not self._of(self.fields[place]).get("classes"):
                    row.append(self._number(self.fields[place], np.asarray(value)))
                else:
                    row.append(self.described(self.fields[place], value))
            yield row

    def _waveform(self, place: int, value: np.ndarray, heard: sound.Heard | None) -> html.Html:
        length = sound.format_duration(value, self._rate(place))
        file = small_png(sound.waveform(value, self._drawn_levels[place]))
        shown = html.picture(file, f"waveform of {length}", width=sound.WIDTH) + f" {html.escaped(length)}"
        return html.Html(shown + (f"<br>{_heard_below(heard)}" if heard else ""))

    def save(self, path: str | os.PathLike[str], *, a_row: int = A_ROW) -> None:
        """Write the pictures, or waveforms, as a PNG file, in full, so many a row; small ones are enlarged.

        Raises:
            UsageError: The samples are no pictures, the name does not end in `.png`, or a row has no picture.
            OSError: It cannot be written.
        """
        path = Path(path)
        if not self.pictures and not self.waveforms:
            msg = "there are no pictures in these samples to write as a PNG file"
            raise UsageError(msg)
        if path.suffix.lower() != ".png":
            msg = f"pictures are written as a PNG file, whose name ends in .png, not {path.name!r}"
            raise UsageError(msg)
        if not isinstance(a_row, int) or a_row < 1:
            msg = f"a_row is a number of pictures, 1 or more, not {a_row!r}"
            raise UsageError(msg)
        if self.pictures:
            enlarged = max(1, -(-SIDE_SHOWN // max(max(picture.shape[:2]) for picture in self.pictures)))
            pixels = tiled(self.pictures, a_row, enlarged=enlarged)
        else:
            pixels = np.concatenate([np.pad(one, ((0, GAP), (0, 0), (0, 0))) for one in self.waveforms])[:-GAP]
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")  # so that a full disk leaves no half picture
        try:
            aside.write_bytes(png(pixels, title=self.title))  # by which stand-in data is known to be some
            while_held(partial(aside.replace, path), partial(is_writable, str(path.parent)))
        finally:
            aside.unlink(missing_ok=True)


def _heard_below(heard: sound.Heard, what: str = "") -> str:
    note = html.paragraph(", ".join(filter(None, [what, heard.note])))
    return f"<div>{html.player(heard.file)}{note}</div>"


def ragged_page(
    title: str, samples: Sequence[np.ndarray], shape: Sequence[int | None], *, rate: int | None, of: int, lengths: str
) -> str:
    """Return a page of the first of so many samples, and of their sizes in all: recordings, pictures or numbers.

    Pictures are whole numbers of 8 bits with height and width, from black to white whatever numbers are there.
    """
    declared: dict[str, Any] = {"shape": shape, **({"range": (0, 255)} if rate is None else {"rate": rate})}
    shown = Samples(title, ["values"], [(one,) for one in samples], range(len(samples)), {"values": declared})
    if rate is None and not (shown.pictures and samples[0].dtype == np.uint8):
        return html.arrays(title, samples, of=of, lengths=lengths)
    left = f"and {of - len(samples):,} more" if of > len(samples) else ""
    return shown.brief_page(more="; ".join(filter(None, [left, lengths])))


def class_counts(split: Any) -> dict[str, int]:
    """Return how many samples each class has, of a split's first field of one label a sample; else nothing."""
    for field in split.fields:
        if counts := _counts(split[field], split._declared.get(field, {})):
            return counts
    return {}


def _counts(values: Any, declared: Mapping[str, Any]) -> dict[str, int]:
    """Return how many of some labels are of each class; nothing where they are no labels, of one sample each."""
    classes = declared.get("classes")
    if not classes or not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iu":
        return {}
    labels = values[(values >= 0) & (values < len(classes))].astype(np.int64)
    return dict(zip(map(str, classes), np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def let_notebooks_show(
    split: str, fields: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]], note: str
) -> None:
    """Let a notebook show each memory-mapped field of a split as a page; a slice of one stays NumPy's numbers.

    They are NumPy's arrays, of which a notebook shows numbers alone. Nothing is done where no kernel runs this, and a
    way to show memory maps that somebody has chosen stays.
    """
    if (shell := notebook_shell()) is None:
        return
    shown = shell.display_formatter.formatters["text/html"]
    if np.memmap not in shown.type_printers:
        shown.for_type(np.memmap, field_page)
    for field, values in fields.items():
        if type(values) is np.memmap:
            title = f"{split}.{field}: {values.dtype}{list(values.shape)}" + (f"; {note}" if note else "")
            vars(values)["shown_as"] = title, declared.get(field, {})


def field_page(values: Any) -> str | None:
    """Return the page of a memory-mapped field, as `let_notebooks_show` noted it; None of any other array."""
    title, declared = getattr(values, "shown_as", (None, {}))
    if title is None:
        return None
    count = min(len(values), A_ROW)
    samples = Samples(title, ["values"], [(values[at],) for at in range(count)], range(count), {"values": declared})
    counts = _counts(values, declared)
    more = f"and {len(values) - count:,} more" if len(values) > count else ""
    return samples.brief_page(counts={"samples": counts} if counts else None, more=more)


def chosen(split: Any, n: int, *, seed: int | None, where: Any) -> Samples:
    """Return so many samples of a split to look at, as `Split.show` says."""
    part = split if where is None else split.filter(where)
    shown = part.take(min(n, len(part)), seed=seed)
    more = "" if len(shown) == len(part) else f"; {len(shown):,} of them shown"
    title = f"{split.name}: {part._counted()}{more}"
    return Samples(title, split.fields, list(shown), shown.positions, split._declared, note=split._note)


def split_page(split: Any) -> str:
    """Return the page of a split: its first samples; of one that is text as a whole, its beginning."""
    if split.fields:
        counts = class_counts(split)
        shown = chosen(split, A_ROW, seed=None, where=None)
        return shown.brief_page(counts={split.name: counts} if counts else None)
    texts = [split[field] for field in split._texts]
    return html.strings(repr(split)[1:-1], texts, of=len(texts))
