"""HTML of what a notebook shows: tables, facts and pictures, every text escaped.

No script, no style sheet and nothing from elsewhere: notebooks that are not trusted leave those out. Colors are those
of the page around it, so that it can be read on white and on black.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape as _escape
from typing import Any

import numpy as np

from tinytorch_datasets.errors import printable
from tinytorch_datasets.plan import UNANSWERED

MOST_BYTES = 20_000  # of one page: a notebook keeps each that it shows
MOST_CHARACTERS = 160  # of one text
MOST_CLASSES = 30
CLASS_CHARACTERS = 40  # of the name of one class
SHORT_WORD = 24  # characters, which need no room beside them to be broken
WIDEST_WORD = 60  # characters, of which none is broken
NUMBERS_SHOWN = 8
BAR = 120  # pixels, of the largest class

# Notebooks typeset what stands between dollar signs, unless it is in one of these classes.
_PAGE = '<div class="tex2jax_ignore mathjax_ignore" style="max-width:60em">{}</div>'
_PADDED = "vertical-align:top;padding:.1em .8em .1em 0"
_CELL = f"text-align:left;white-space:pre-wrap;overflow-wrap:break-word;{_PADDED}"
_LABEL = f"text-align:left;white-space:nowrap;{_PADDED}"
_RIGHT = f"text-align:right;{_PADDED}"
_WORD = f"text-align:left;{_PADDED}"  # of which nothing can be broken
_NARROW = "text-align:left;padding:0 1em 0 0"


def escaped(text: object, most: int = MOST_CHARACTERS) -> str:
    """Return a text as HTML that shows it and does nothing, cut if it is long; control codes are written out.

    >>> escaped("<b>&"), escaped("abcdef", 4)
    ('&lt;b&gt;&amp;', 'abc…')
    """
    shown = printable(shortened(str(text), most), keep="\n")
    return _escape(shortened(shown, most), quote=True)


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, its end left out if need be.

    >>> shortened("abc", 3), shortened("abcd", 3)
    ('abc', 'ab…')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def page(title: str, *parts: str, most: int = MOST_BYTES) -> str:
    """Return a page: a title that is text, and parts that are HTML; a part with which it were too large is left out."""
    kept = f"<div><b>{escaped(title)}</b></div>"
    for part in filter(None, parts):
        fits = len((kept + part).encode()) < most - 500
        kept += part if fits else paragraph("too much to be shown here")
    return _PAGE.format(kept)


def paragraph(text: str) -> str:
    """Return a paragraph of text, in small print."""
    return f'<div style="font-size:85%;opacity:.8;overflow-wrap:anywhere">{escaped(text, 600)}</div>' if text else ""


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a table of labels and texts; what has no text is left out."""
    rows = "".join(
        f'<tr><th style="{_LABEL}">{escaped(label)}</th><td style="{_CELL}">{escaped(text, 600)}</td></tr>'
        for label, text in pairs
        if text
    )
    return f'<table style="margin:.4em 0">{rows}</table>' if rows else ""


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, room: int = 12_000, of: int | None = None) -> str:
    """Return a table of texts and numbers, as many of its first rows as the room, in bytes, allows.

    Args:
        head: The titles of the columns.
        rows: Texts, and numbers, which stand to the right.
        room: What it may take in all.
        of: How many rows there are, where `rows` has not all of them.
    """
    made: list[str] = []
    count, used = 0, 0
    for count, row in enumerate(rows, start=1):  # noqa: B007
        line = "<tr>" + "".join(_cell(value) for value in row) + "</tr>"
        used += len(line.encode())
        if used <= room:
            made.append(line)
    left = max(count, of or 0) - len(made)
    titles = "".join(f'<th style="{_CELL}">{escaped(title, 40)}</th>' for title in head)
    more = paragraph(f"and {left:,} more") if left else ""
    return f'<table style="margin:.4em 0"><thead><tr>{titles}</tr></thead><tbody>{"".join(made)}</tbody></table>{more}'


class Html(str):
    """What is HTML already, beside texts that are escaped."""

    __slots__ = ()


def _cell(value: object) -> str:
    if isinstance(value, Html):
        return f'<td style="{_CELL}">{value}</td>'
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return f'<td style="{_RIGHT}">{escaped(number(value))}</td>'
    longest = max(map(len, str(value).split()), default=0)
    if longest == len(str(value)) <= SHORT_WORD:
        return f'<td style="{_WORD}">{escaped(value)}</td>'
    broken = ";word-break:break-all" if longest > WIDEST_WORD else ""  # such as an address, which widens the table
    return f'<td style="{_CELL}{broken}">{escaped(value)}</td>'


def number(value: Any) -> str:
    """Return a number as a person reads it.

    >>> number(60000), number(0.1 + 0.2), number(np.float32(5.1))
    ('60,000', '0.3', '5.1')
    """
    return f"{int(value):,}" if isinstance(value, int | np.integer) else f"{float(value):g}"


def numbers(values: Any) -> str:
    """Return the first few of some numbers, and how many there are in all, by axis.

    >>> numbers(np.arange(1000)), numbers([1.5, -2.0])
    ('0, 1, 2, 3, 4, 5, 6, 7, ... 1,000 in all', '1.5, -2')
    >>> numbers(np.zeros((3, 3, 3)))
    '0, 0, 0, 0, 0, 0, 0, 0, ... 3 x 3 x 3 in all'
    """
    flat, sizes = np.ravel(values), " x ".join(f"{size:,}" for size in np.shape(values))
    more = f", ... {sizes} in all" if flat.size > NUMBERS_SHOWN else ""
    return ", ".join(map(plain_number, flat[:NUMBERS_SHOWN].tolist())) + more


def plain_number(value: float) -> str:
    """Return a number without marks between its digits, a whole one in full.

    >>> plain_number(1234567), plain_number(0.1 + 0.2), plain_number(True)
    ('1234567', '0.3', '1')
    """
    return str(int(value)) if isinstance(value, int) else f"{value:g}"


def picture(png: bytes, alt: str, *, width: int) -> Html:
    """Return a picture so many pixels wide; `alt` is what it shows, for those who do not see it."""
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    style = f"width:{width}px;max-width:100%;margin:0;vertical-align:middle"
    return Html(f'<img alt="{escaped(alt)}" src="{source}" style="{style}">')


def player(wav: bytes) -> Html:
    """Return a player of a WAV file, which is in it whole."""
    source = f"data:audio/wav;base64,{b64encode(wav).decode()}"
    style = "height:2.2em;width:20em;max-width:100%;vertical-align:middle"
    return Html(f'<audio controls preload="metadata" src="{source}" style="{style}"></audio>')


def picture_row(png: bytes, captions: Sequence[str], *, width: int) -> str:
    """Return a picture of several tiles, and the caption of each below it; `width` is that of a tile, in pixels."""
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    style = "width:100%;height:auto;image-rendering:pixelated;margin:0"
    most = max(8, 300 // len(captions))
    below = "text-align:center;vertical-align:top;overflow-wrap:break-word;padding:0;font-size:85%"
    cells = "".join(f'<td style="{below}">{escaped(caption, most)}</td>' for caption in captions)
    return (
        f'<table style="table-layout:fixed;width:{width * len(captions)}px;max-width:100%;border-spacing:0">'
        f'<tr><td colspan="{len(captions)}" style="padding:0"><img alt="" src="{source}" style="{style}"></td></tr>'
        f"<tr>{cells}</tr></table>"
    )


def histogram(counts: Mapping[str, Mapping[str, int]], *, room: int = 8_000) -> str:
    """Return a table of how many samples each class has, with a bar: ``{"train": {"cat": 5000, ...}, ...}``.

    Of many classes it has the first, as many as the room, in bytes, allows.
    """
    if not counts:
        return ""
    classes = list(dict.fromkeys(name for of_split in counts.values() for name in of_split))
    most = max((count for of_split in counts.values() for count in of_split.values()), default=0) or 1
    titles = "".join(f'<th style="{_NARROW}">{escaped(title, 40)}</th>' for title in ("class", *counts))
    rows, used = [], len(titles) + 300
    for name in classes[:MOST_CLASSES]:
        cells = "".join(_bar(of_split.get(name, 0), most) for of_split in counts.values())
        row = f'<tr><td style="{_NARROW}">{escaped(name, CLASS_CHARACTERS)}</td>{cells}</tr>'
        used += len(row.encode())
        if used > room:
            break
        rows.append(row)
    left = len(classes) - len(rows)
    more = paragraph(f"and {left:,} more classes") if left > 0 else ""
    return f'<table style="margin:.4em 0"><tr>{titles}</tr>{"".join(rows)}</table>{more}' if rows else more


def _bar(count: int, most: int) -> str:
    width = round(count / most * BAR)
    bar = f'<span style="display:inline-block;height:.6em;width:{width}px;background:currentColor;opacity:.4"></span>'
    return f'<td style="{_NARROW}">{bar} {count:,}</td>'


def strings(title: str, texts: Sequence[str], *, of: int) -> str:
    """Return a page of the first of so many texts."""
    return page(title, table(["", "text"], ((f"{place:,}", text) for place, text in enumerate(texts)), of=of))


def arrays(title: str, samples: Sequence[np.ndarray], *, of: int, lengths: str) -> str:
    """Return a page of the first of so many arrays that differ in shape, and of how long they are in all."""
    rows = ((f"{place:,}", " x ".join(map(str, one.shape)), numbers(one)) for place, one in enumerate(samples))
    return page(title, table(["", "shape", "values"], rows, of=of), paragraph(lengths))


def dataset(
    title: str,
    entry: Mapping[str, Any],
    *,
    counts: Mapping[str, Mapping[str, int]] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return a page of a data set, or of its entry in the manifest.

    Args:
        title: Its name and what it is.
        entry: What is declared of it, in plain values.
        counts: How many samples each class has, by split.
        notes: Lines to stand at the end.
    """
    fields, splits, files = (entry.get(key, {}) for key in ("fields", "splits", "files"))
    size = sum(file["bytes"] for file in files.values())
    about = [
        paragraph(entry.get("description") or ""),
        table(["split", "samples"], ((name, split["samples"]) for name, split in splits.items()), room=2000),
    ]
    end = [
        facts(
            [
                *((key, _answer(entry.get(key) or "")) for key in ("license", "source")),
                ("cite", entry.get("citation") or ""),
                ("format", entry.get("format") or ""),
                ("size", f"{size:,} bytes in {len(files):,} {'file' if len(files) == 1 else 'files'}"),
            ]
        ),
        *map(paragraph, notes),
    ]
    # What may be long, the fields and the classes, has the rest of the page.
    room = MOST_BYTES - 2000 - len("".join([title, *about, *end]).encode())
    of_fields = table(
        ["field", "dtype", "shape", "range", "classes or columns"],
        ([name, *_field(declared)] for name, declared in fields.items()),
        room=room * 2 // 3 if counts else room,
    )
    return page(title, *about, of_fields, histogram(counts or {}, room=room - len(of_fields.encode())), *end)


def _answer(given: str) -> str:
    return "not filled in yet" if given == UNANSWERED else given


def _field(declared: Mapping[str, Any]) -> list[str]:
    shape = ["any" if size is None else str(size) for size in declared.get("shape") or ()]
    span = declared.get("range")
    known = declared.get("classes") or declared.get("names") or ()
    names = [shortened(str(name), CLASS_CHARACTERS) for name in known[: MOST_CLASSES + 1]]
    more = ", ..." if len(names) > MOST_CLASSES else ""
    return [
        declared["dtype"],
        " x ".join(shape),
        f"{plain_number(span[0])} to {plain_number(span[1])}" if span else "",
        ", ".join(names[:MOST_CLASSES]) + more,
    ]
