"""The start page of a catalog, or of a mirror: cards, search, lines to type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from tinytorch_datasets._version import VERSION
from tinytorch_datasets.catalog import elements
from tinytorch_datasets.catalog.elements import paragraph, section, sentence, text
from tinytorch_datasets.catalog.pages import CLASSES_NAMED, KINDS, START, STATES, View, license_of, page_of, presence
from tinytorch_datasets.display import html
from tinytorch_datasets.display.pictures import reduced, tiled
from tinytorch_datasets.exporting.declared import title_of
from tinytorch_datasets.mirror.serve import install_line
from tinytorch_datasets.progress import readable
from tinytorch_datasets.settings import MIRROR

SIZES = {"small": (1e6, "up to 1 MB"), "medium": (1e8, "1 to 100 MB"), "large": (float("inf"), "over 100 MB")}
THUMBNAIL = (2, 4)  # rows and columns of pictures
THUMBNAIL_SIDE = 32


@dataclass(frozen=True)
class Card:
    """What the start page has of a data set: its HTML, and what it is searched and filtered by."""

    html: str
    filters: Mapping[str, str]
    words: str


def card(view: View) -> Card:
    """Return what the start page has of a data set."""
    entry, title = view.entry, title_of(view.name, view.entry)
    size = next(name for name, (most, _) in SIZES.items() if entry.bytes <= most)
    filters = {"kind": view.kind, "size": size, "status": entry.status, "license": license_of(entry)}
    classes = [name for its in entry.fields.values() for name in (its.classes or ())[:CLASSES_NAMED]]
    words = " ".join([view.name, *entry.aliases, title, entry.description or "", *map(str, classes)]).lower()
    data = "".join(f' data-{key}="{text(value)}"' for key, value in filters.items())
    splits = ", ".join(f"{name} {its.samples:,}" for name, its in islice(entry.splits.items(), 4))
    more = ", ..." if len(entry.splits) > 4 else ""
    shown = f"""<li class="card"{data} data-words="{text(words, 2_000)}">
{_thumbnail(view)}
<div class="words"><h2 dir="auto"><a href="{page_of(view.name)}">{text(title, 200)}</a></h2>
{name_line(view.name)}
<p class="figures">{text(splits + more, 200)}; {readable(entry.bytes)}</p>
<ul class="chips"><li class="kind">{elements.icon(view.kind)}{KINDS[view.kind]}</li>\
<li>{text(license_of(entry), 60)}</li><li>{entry.status}</li>{presence(view)}</ul></div>
</li>"""
    return Card(shown, filters, words)


def name_line(name: str) -> str:
    """Return the line of a card that has the name of the data set."""
    return f'<p class="name">{text(name)}</p>'


def _thumbnail(view: View) -> str:
    """Return something to recognize a data set by; its title stands beside it."""
    samples, kind, inside = view.samples, "", elements.icon(view.kind)
    if samples is not None and samples.pictures:
        rows, columns = THUMBNAIL
        step = max(1, len(samples) // (rows * columns))
        few = [reduced(one, THUMBNAIL_SIDE, THUMBNAIL_SIDE) for one in samples.pictures[::step][: rows * columns]]
        side = max(max(one.shape[:2]) for one in few)
        inside = elements.drawing(tiled(few, columns, enlarged=max(1, THUMBNAIL_SIDE // side)), "")
    elif samples is not None and samples.waveforms:
        kind, inside = " wave", elements.drawing(samples.waveforms[0], "")
    elif view.kind == "text" and (words := _first_words(view)):
        inside = f'<blockquote dir="auto">{text(words, 240)}</blockquote>'
    elif samples is not None and len(samples):
        _, cells = samples.cells({})
        lines = (
            "".join(f"<td>{text(html.number(v) if isinstance(v, int | float) else v, 24)}</td>" for v in row[1:5])
            for row in islice(cells, 5)
        )
        inside = f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
    return f'<div class="thumbnail{kind}" aria-hidden="true">{inside}</div>'


def _first_words(view: View) -> str:
    if view.samples is not None:
        return "\n".join(value for sample in view.samples.samples for value in sample if isinstance(value, str))
    return next(iter(view.texts.values()), "")


def start_page(
    title: str, cards: Sequence[Card], *, declared_in: str, address: str | None = None, packages: str | None = None
) -> str:
    """Return the start page.

    Args:
        title: What stands on top.
        cards: What it has of each data set, in their order.
        declared_in: The name of their manifest.
        address: Of the mirror that it is the start page of; "" for the folder itself, None where it is of no mirror.
        packages: For which Pythons and systems that mirror has wheels, in words; None without any.
    """
    count = f"{len(cards):,} data set" + ("s" if len(cards) != 1 else "")
    lead = f"{count}, declared in {declared_in}; every file is checked against its SHA-256."
    shown = text(lead)
    if address is not None:  # a mirror has the manifest
        shown = shown.replace(text(declared_in), f'<a href="{text(quote(declared_in))}">{text(declared_in)}</a>', 1)
    body = f"""<header>
<h1>{text(title)}</h1>
<p class="lead">{shown}</p>
</header>
<main id="main">
{mirror_lines(address, packages) if address is not None else ""}
{_filters(cards)}
<p id="count" role="status" data-all="{count}">{count}</p>
<p id="none" hidden>No data set fits: choose less, or search for other words.</p>
<ul class="cards">
{chr(10).join(each.html for each in cards)}
</ul>
</main>
<footer>{paragraph(f"Made by tinytorch-datasets {VERSION}.")}</footer>"""
    return elements.document(START, title, body, summary=lead)


def _filters(cards: Sequence[Card]) -> str:
    """Return the form that searches and filters, hidden until the script shows it."""
    offered: Mapping[str, Mapping[str, str]] = {
        "kind": KINDS,
        "size": {size: words for size, (_, words) in SIZES.items()},
        "status": STATES,
        "license": {name: name for name in sorted({each.filters["license"] for each in cards}, key=str.lower)},
    }
    selects = "\n".join(
        f'<label>{key}<select name="{key}"><option value="">any</option>{_options(key, words, cards)}</select></label>'
        for key, words in offered.items()
    )
    return f"""<form class="filters" role="search" hidden>
<label>search<input name="q" type="search" autocomplete="off" aria-keyshortcuts="/" \
placeholder="name, title, class, ..."></label>
{selects}
<button type="reset">Clear</button>
</form>"""


def _options(key: str, words: Mapping[str, str], cards: Iterable[Card]) -> str:
    there = {each.filters[key] for each in cards}
    return "".join(f'<option value="{text(v)}">{text(w, 60)}</option>' for v, w in words.items() if v in there)


def mirror_lines(address: str, packages: str | None = None) -> str:
    """Return how a student gets the data from the mirror: one line, in each of the places to type it.

    Before that, how the package is installed from it, if it has wheels for some `packages`.
    """
    if address:
        lead = f"Type one of these lines before `tinytorch-datasets get NAME`: the data comes from {address}, checked."
        lines = [
            ("bash, zsh", f"export {MIRROR}={address}"),
            ("PowerShell", f'$env:{MIRROR}="{address}"'),
            ("cmd", f'set "{MIRROR}={address}"'),
            ("Python", f'data = get(NAME, mirror="{address}")'),
        ]
    else:
        lead = "In a terminal that is in this folder, type one of these lines before `tinytorch-datasets get NAME`."
        lines = [
            ("bash, zsh", f'export {MIRROR}="$PWD"'),
            ("PowerShell", f'$env:{MIRROR}="$PWD"'),
            ("cmd", f'set "{MIRROR}=%CD%"'),
            ("Python", 'data = get(NAME, mirror="path/to/this/folder")'),
        ]
    data = section("mirror", "Get the data from this mirror", sentence(lead), elements.lines_to_type(lines))
    if packages is None:
        return data
    where = "in a terminal" if address else "in a terminal that is in this folder"
    first = f"For {packages}. Type this {where}, best in an environment of your own (`python -m venv`)."
    installing = elements.lines_to_type([("bash, zsh, PowerShell, cmd", install_line(address))])
    return section("packages", "Install tinytorch-datasets from this mirror", sentence(first), installing) + data
