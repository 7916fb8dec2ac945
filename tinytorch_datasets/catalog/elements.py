"""Elements of the catalog's pages: documents, tables, lines to type, pictures.

Every text is escaped here, once. A page asks nobody for anything: what it shows is in it, but for one style sheet and a
few lines of script beside it, without which it can be read as well.
"""

from __future__ import annotations

import functools
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinytorch_datasets.display import html, sound
from tinytorch_datasets.display.html import Html
from tinytorch_datasets.display.pictures import png, reduced, small_png

STYLE, SCRIPT = "catalog.css", "catalog.js"
LONGEST_TEXT = 100_000
LARGEST_SIDE = 128  # pixels, of one sample
EXACT_SIDE = 64  # up to this side a picture has all of its colors, and its pixels are shown as they are
TILE = 96  # pixels on the page, of a small picture, as nearly as whole multiples allow
HEARD_BYTES = 400_000  # of one recording

# Drawn in 24 x 24, with the color of the text.
_FRAME = '<rect x="3" y="4" width="18" height="16" rx="2"/>'
_ICONS = {
    "pictures": f'{_FRAME}<circle cx="9" cy="10" r="2"/><path d="m4 18 5-4 3 2 4-5 5 6"/>',
    "sound": '<path d="M3 12h2M7 9v6M11 5v14M15 8v8M19 10v4M22 12h0"/>',
    "text": '<path d="M4 6h16M4 10h16M4 14h11M4 18h8"/>',
    "table": f'{_FRAME}<path d="M3 10h18M3 15h18M9 4v16M15 4v16"/>',
    "arrays": '<path d="m12 3 8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9"/>',
}  # fmt: skip


def text(value: object, most: int = LONGEST_TEXT) -> str:
    """Return a text as HTML that shows it and does nothing.

    >>> text("<script>")
    '&lt;script&gt;'
    """
    return html.escaped(value, most)


def mark(name: str) -> str:
    """Return what each file of a catalog has in its beginning, and no other file: that it is its own, and its name."""
    return f"tinytorch-datasets catalog: {name}"


def document(name: str, title: str, body: str, *, summary: str, json_ld: Any = None) -> str:
    """Return a whole page.

    Args:
        name: Its path in the catalog's folder: ``index.html``, or one that is a folder below.
        title: Its title, as a tab shows it.
        body: HTML of all that is on it.
        summary: What it is, for those who search.
        json_ld: What programs should know of it, in plain values.
    """
    beside = "" if "/" in name else "catalog/"
    # `<` would end the element, whatever stands in quotes; `&` and `>` do so for old readers of XHTML.
    codes = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}
    facts = json.dumps(json_ld, ensure_ascii=False, separators=(",", ":")).translate(codes) if json_ld else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="{mark(name)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="{text(summary, 300)}">
<title>{text(title, 200)}</title>
<link rel="icon" type="image/png" href="{_favicon()}">
<link rel="stylesheet" href="{beside}{STYLE}">
<script src="{beside}{SCRIPT}" defer></script>
{f'<script type="application/ld+json">{facts}</script>' if facts else ""}
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
{body}
</body>
</html>
"""


@functools.cache
def _favicon() -> str:
    """Return a picture of nine pixels, so that a browser does not ask for one."""
    shades = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]], np.uint8)[:, :, np.newaxis]
    pixels = shades * np.array([37, 99, 168], np.uint8) + (1 - shades) * np.array([147, 197, 253], np.uint8)
    return _address("image/png", png(pixels.astype(np.uint8).repeat(10, axis=0).repeat(10, axis=1)))


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


def section(identity: str, title: str, *parts: str) -> str:
    """Return a section with a heading, or nothing where it has no part."""
    inside = "\n".join(filter(None, parts))
    if not inside:
        return ""
    return f'<section id="{identity}" aria-label="{text(title)}">\n<h2>{text(title)}</h2>\n{inside}\n</section>'


def paragraph(words: str, kind: str = "") -> str:
    """Return a paragraph of text, nothing of no text; `kind` is how it looks."""
    chosen = f' class="{kind}"' if kind else ""
    return f'<p{chosen} dir="auto">{text(words)}</p>' if words else ""


def sentence(words: str) -> str:
    """Return a paragraph of our own words, of which those between backticks are code."""
    parts = (code(part) if number % 2 else text(part) for number, part in enumerate(words.split("`")))
    return f"<p>{''.join(parts)}</p>"


def code(words: object) -> Html:
    """Return a name or a number as code."""
    return Html(f"<code>{text(words)}</code>")


def link(address: str, words: str | None = None) -> Html:
    """Return a link to be clicked, to a page that is elsewhere."""
    return Html(f'<a href="{text(address)}" rel="noreferrer">{text(address if words is None else words)}</a>')


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of texts and numbers, of which the first of each row is its title; nothing of no rows."""
    kept = [list(row) for row in rows]
    if not kept:
        return ""
    lines = ["".join(_cell(value, is_title=not at) for at, value in enumerate(row)) for row in kept]
    are_numbers = [all(map(_is_number, column)) for column in zip(*kept, strict=True)]
    titles = "".join(
        f'<th scope="col"{_NUMBER if is_one else ""}>{text(title, 80)}</th>'
        for title, is_one in zip(head, are_numbers, strict=True)
    )
    inside = f"<caption>{text(caption)}</caption>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n"
    inside += "\n".join(f"<tr>{line}</tr>" for line in lines)
    label = text(caption, 200)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table>{inside}\n</tbody></table></div>'
    )


_NUMBER = ' class="number"'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _cell(value: object, *, is_title: bool) -> str:
    if isinstance(value, Html):
        shown, kind = str(value), ""
    elif _is_number(value):
        shown, kind = text(html.number(value)), _NUMBER
    else:
        shown, kind = text(value, 2_000), ' dir="auto"'
    return f'<th scope="row"{kind}>{shown}</th>' if is_title else f"<td{kind}>{shown}</td>"


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return labels and what they have; what has nothing is left out."""
    items = "\n".join(
        f"<div><dt>{text(label)}</dt><dd>{what if isinstance(what, Html) else text(what)}</dd></div>"
        for label, what in pairs
        if what
    )
    return f'<dl class="facts">\n{items}\n</dl>' if items else ""


def listed(items: Iterable[str]) -> Html:
    """Return a list of HTML; nothing of no items."""
    inside = "".join(f"<li>{item}</li>" for item in items)
    return Html(f"<ul>{inside}</ul>" if inside else "")


def lines_to_type(pairs: Iterable[tuple[str, str]]) -> str:
    """Return lines to type, each below where it is typed."""
    figures = (
        f'<figure class="type"><figcaption>{text(label)}</figcaption>'
        f'<pre tabindex="0"><code>{_unbroken(lines)}</code></pre></figure>'
        for label, lines in pairs
    )
    return f'<div class="lines">\n{chr(10).join(figures)}\n</div>'


def _unbroken(lines: str) -> str:
    """Return lines whose short words are not broken where they have a hyphen, as `--manifest`."""
    words = (text(word) for word in re.split(r"(\s+)", lines))
    return "".join(f'<span class="word">{word}</span>' if "-" in word and len(word) < 28 else word for word in words)


def icon(kind: str) -> str:
    """Return a small drawing of a kind of data, which those who do not see it need not know of."""
    return f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{_ICONS[kind]}</svg>'


def picture(pixels: np.ndarray, alt: str) -> str:
    """Return a picture, (height, width, 3) of uint8, as large as it is looked at: small ones enlarged."""
    small = reduced(pixels, LARGEST_SIDE, LARGEST_SIDE)
    height, width = small.shape[:2]
    is_exact = max(height, width) <= EXACT_SIDE
    scale = max(1, round(TILE / max(height, width)))
    if is_exact:
        is_gray = bool((small == small[:, :, :1]).all())
        file = png(np.ascontiguousarray(small[:, :, 0] if is_gray else small))
    else:
        file = small_png(np.dstack([small, np.full((height, width), 255, np.uint8)]))
    size = f'width="{width * scale}" height="{height * scale}"'
    kind = ' class="pixels"' if is_exact else ""
    return f'<img{kind} src="{_address("image/png", file)}" alt="{text(alt, 200)}" {size}>'


def drawing(pixels: np.ndarray, alt: str) -> str:
    """Return what was drawn, (height, width, 4) of uint8, as a picture as wide as its place."""
    height, width = pixels.shape[:2]
    size = f'width="{width}" height="{height}"'
    return f'<img class="pixels" src="{_address("image/png", small_png(pixels))}" alt="{text(alt, 200)}" {size}>'


def player(heard: sound.Heard, label: str) -> str:
    """Return a player of a recording, and what of it is in another way than it was recorded."""
    source = _address("audio/wav", heard.file)
    audio = f'<audio controls preload="metadata" aria-label="{text(label, 200)}" src="{source}"></audio>'
    return audio + paragraph(heard.note, "note")
