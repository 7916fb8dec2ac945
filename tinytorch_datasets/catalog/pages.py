"""The page of a data set in a catalog: samples, classes, fields, license, files."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from tinytorch_datasets._version import INSTALL
from tinytorch_datasets.catalog import elements
from tinytorch_datasets.catalog.elements import code, facts, link, listed, paragraph, section, text
from tinytorch_datasets.display import html, sound
from tinytorch_datasets.display.html import Html
from tinytorch_datasets.exporting.declared import answered, is_address, title_of
from tinytorch_datasets.exporting.kinds.bibtex import bibtex
from tinytorch_datasets.exporting.kinds.croissant import croissant
from tinytorch_datasets.manifest.filenames import without_secrets
from tinytorch_datasets.plan import UNANSWERED
from tinytorch_datasets.progress import readable

if TYPE_CHECKING:
    from tinytorch_datasets.display.samples import Samples
    from tinytorch_datasets.manifest.models import ChecksEntry, Entry, FieldEntry

START = "index.html"
KINDS = {"pictures": "Pictures", "sound": "Sound", "text": "Text", "table": "Table", "arrays": "Arrays"}
STATES = {"shipped": "shipped, nothing to download", "remote": "downloaded on first use"}
MOST_CLASSES = 200
CLASSES_NAMED = 40
TEXT_SHOWN = 600  # characters of one sample
WHOLE_TEXT_SHOWN = 1_500


@dataclass(frozen=True)
class View:
    """What a page shows of a data set.

    Attributes:
        name: Its name in the manifest.
        entry: Its entry.
        kind: One of `KINDS`.
        declared_in: The manifest's name, where `get` has to be given it.
        provenance: One line that says where it is from.
        samples: Some of them; None where they are not on disk.
        split: The split that they are of, by its name.
        counts: How many samples each class has, by split.
        texts: The text of the split, by field, where that is one for the whole split.
        problem: Why there are none, if that is an error.
    """

    name: str
    entry: Entry
    kind: str
    declared_in: str
    provenance: str
    samples: Samples | None = None
    split: str = ""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def is_shown(self) -> bool:
        """Whether there is something of it to look at."""
        return self.samples is not None or bool(self.texts)


def page_of(name: str) -> str:
    """Return the path of the page of a data set, below the catalog's folder."""
    return f"catalog/{name}.html"


def dataset_page(view: View) -> str:
    """Return the page of a data set."""
    entry = view.entry
    parts = [
        section("samples", "Samples", *_samples(view)),
        section("use", "Use it", elements.lines_to_type(_lines(view))),
        section("classes", "Classes", *_classes(view)),
        section("fields", "What a sample has", _fields(entry)),
        section("splits", "Splits", _splits(entry)),
        section("checks", "Checks", *_checks(entry)),
        section("license", "License and citation", *_license(view)),
        section("files", "Files and mirrors", *_files(entry)),
    ]
    titles = {"samples": "Samples", "use": "Use it", "classes": "Classes", "fields": "Fields", "splits": "Splits"}
    titles |= {"checks": "Checks", "license": "License", "files": "Files"}
    jumps = (f'<a href="#{key}">{title}</a>' for (key, title), part in zip(titles.items(), parts, strict=True) if part)
    title = title_of(view.name, entry)
    body = f"""<header>
<nav class="trail" aria-label="Way back"><a href="../{START}">&larr; All data sets</a></nav>
<h1 dir="auto">{text(title)}</h1>
{_chips(view)}
{paragraph(entry.description or "", "lead")}
<nav class="parts" aria-label="On this page">{listed(jumps)}</nav>
</header>
<main id="main">
{chr(10).join(filter(None, parts))}
</main>
<footer>{paragraph(view.provenance)}</footer>"""
    summary = entry.description or title
    both = title if title == view.name else f"{title} ({view.name})"
    facts_of = croissant(view.name, entry)
    return elements.document(page_of(view.name), both, body, summary=summary, json_ld=facts_of)


def _chips(view: View) -> str:
    entry = view.entry
    chips = [
        f"<li>{code(view.name)}</li>",
        f'<li class="kind">{elements.icon(view.kind)}{KINDS[view.kind]}</li>',
        f"<li>{sum(split.samples for split in entry.splits.values()):,} samples</li>",
        f"<li>{readable(entry.bytes)}</li>",
        f"<li>{text(license_of(entry), 80)}</li>",
        f"<li>{STATES[entry.status]}</li>",
        presence(view),
    ]
    return f'<ul class="chips">{"".join(chips)}</ul>'


def license_of(entry: Entry) -> str:
    """Return the license as a person reads it; a question mark stands where nobody has said yet which it is."""
    return "license not filled in yet" if entry.license == UNANSWERED else entry.license


def presence(view: View) -> str:
    """Return whether a data set is on disk, as an item of a list."""
    return '<li class="here">on disk</li>' if view.is_shown else '<li class="away">not on disk</li>'


def _samples(view: View) -> Iterator[str]:
    if view.problem:
        yield f'<p class="alarm">{text(view.problem, 3_000)}</p>'
    elif not view.is_shown:
        how = f"tinytorch-datasets get {view.name}"
        yield f"<p>Not on disk when this page was made: {code(how)} gets it.</p>"
    samples = view.samples
    if samples is not None and len(samples):
        total = view.entry.splits[view.split].samples
        yield paragraph(f"{len(samples):,} of the {total:,} samples of {view.split}.", "note")
        if samples.pictures:
            is_large = max(max(picture.shape[:2]) for picture in samples.pictures) > elements.TILE // 2
            figures = map(_picture, samples.pictures, samples.captions, samples.positions)
            yield f'<ul class="grid{" large" if is_large else ""}">\n{chr(10).join(figures)}\n</ul>'
        elif samples.waveforms:
            yield f'<ul class="recordings">\n{chr(10).join(_recordings(samples))}\n</ul>'
        elif view.kind == "text":
            yield f'<ul class="texts">\n{chr(10).join(_texts(samples))}\n</ul>'
        else:
            head, rows = samples.cells({})
            yield f'<div class="samples">{elements.table("Values", ["sample", *head[1:]], rows)}</div>'
    for name, whole in view.texts.items():
        more = " The beginning of it." if len(whole) > WHOLE_TEXT_SHOWN else ""
        yield f"<h3>{text(name)}</h3>" + paragraph(f"One text for the whole split {view.split}.{more}", "note")
        yield f'<pre class="wrapped" tabindex="0" dir="auto">{text(whole, WHOLE_TEXT_SHOWN)}</pre>'


def _picture(pixels: np.ndarray, caption: str, position: int) -> str:
    is_number = caption == f"{position:,}"
    alt = f"sample {position:,}" if is_number else f"sample {position:,}: {caption}"
    below = f'<figcaption dir="auto">{text(caption, 120)}</figcaption>'
    return f"<li><figure>{elements.picture(pixels, alt)}{below}</figure></li>"


def _recordings(samples: Samples) -> Iterator[str]:
    heard = samples.heard(sound.shortened, elements.HEARD_BYTES)
    for number, (wave, caption) in enumerate(zip(samples.waveforms, samples.captions, strict=True)):
        label = f"sample {samples.positions[number]:,}: {caption}"
        files = [file for (of, _), file in heard.items() if of == number]
        players = "".join(elements.player(file, label) for file in files) or paragraph("no browser plays it", "note")
        drawn = elements.drawing(wave, f"waveform of {label}")
        yield f'<li><figure><figcaption dir="auto">{text(caption, 300)}</figcaption>{drawn}{players}</figure></li>'


def _texts(samples: Samples) -> Iterator[str]:
    for sample in samples.samples:
        items = []
        for name, value in zip(samples.fields, sample, strict=True):
            kind = ' class="long"' if isinstance(value, str) else ""
            shown = value if isinstance(value, str) else samples.described(name, value)
            items.append(f'<div><dt>{text(name)}</dt><dd{kind} dir="auto">{text(shown, TEXT_SHOWN)}</dd></div>')
        yield f"<li><dl>{''.join(items)}</dl></li>"


def _lines(view: View) -> list[tuple[str, str]]:
    """Return the lines to type in Python, in a shell and in a notebook."""
    argument = f", manifest={json.dumps(view.declared_in, ensure_ascii=False)}" if view.declared_in else ""
    option = f" --manifest {shlex.quote(view.declared_in)}" if view.declared_in else ""
    python = f'from tinytorch_datasets import get\n\ndata = get("{view.name}"{argument})'
    splits = [name for name in view.entry.splits if name.isidentifier()]
    names = [name for name, its in view.entry.fields.items() if its.per == "sample"]
    if splits and names:
        left = ", ".join(names) + ("," if len(names) == 1 else "")
        python += f"\n{left} = data.{splits[0]}.arrays()" if all(map(str.isidentifier, names)) else ""
    install = f"{INSTALL}\n" if INSTALL else ""
    notebook = f"{install and '%'}{install}{python}\ndata.{splits[0] if splits else ''}".rstrip(".")
    shell = f"{install}tinytorch-datasets get {view.name}{option}"
    return [("Python", python), ("Shell", shell), ("Notebook", notebook)]


def _classes(view: View) -> Iterator[str]:
    """Yield how many samples each class has, or else the names of the classes."""
    if not view.counts:
        for name, its in view.entry.fields.items():
            if its.classes:
                shown = listed(text(each, 200) for each in its.classes[:MOST_CLASSES])
                yield paragraph(f"The {len(its.classes):,} classes of {name}, by their numbers from 0:") + shown
                yield _more(len(its.classes))
        return
    classes = list(dict.fromkeys(name for of_split in view.counts.values() for name in of_split))
    most = max((count for of_split in view.counts.values() for count in of_split.values()), default=0) or 1
    rows = (
        [name, *(_bar(of_split.get(name, 0), most) for of_split in view.counts.values())]
        for name in islice(classes, MOST_CLASSES)
    )
    table = elements.table("How many samples each class has", ["class", *view.counts], rows)
    yield f'<div class="histogram">{table}</div>'
    yield _more(len(classes))


def _more(count: int) -> str:
    return paragraph(f"and {count - MOST_CLASSES:,} more", "note") if count > MOST_CLASSES else ""


def _bar(count: int, most: int) -> Html:
    empty = "" if count else " empty"
    return Html(f'<span class="bar{empty}" style="--share:{count / most:.4f}"></span>{count:,}')


def _fields(entry: Entry) -> str:
    rows = ([code(name), *_of_field(its)] for name, its in entry.fields.items())
    return elements.table("Fields, in the order of a sample's tuple", ["field", "type", "shape", "range", "more"], rows)


def _of_field(its: FieldEntry) -> list[str]:
    shape = " \u00d7 ".join("any" if size is None else f"{size:,}" for size in its.shape) or "one value"
    span = f"{html.plain_number(its.range[0])} to {html.plain_number(its.range[1])}" if its.range else ""
    named = [*map(str, its.names or ())]
    more = [
        f"{len(its.classes):,} classes" if its.classes else "",
        "columns: " + ", ".join(named[:CLASSES_NAMED]) + (", ..." if len(named) > CLASSES_NAMED else "")
        if named
        else "",
        "one for the whole split" if its.per == "split" else "",
        f"a missing value is {its.missing_value}" if its.missing_value is not None else "",
        "a missing value is NaN" if its.missing and its.missing_value is None else "",
    ]
    return [its.dtype, "the whole text" if its.per == "split" else shape, span, "; ".join(filter(None, more))]


def _splits(entry: Entry) -> str:
    total = sum(split.samples for split in entry.splits.values())
    rows = ([code(name), its.samples, f"{its.samples / total:.1%}"] for name, its in entry.splits.items())
    return elements.table(f"{total:,} samples in all", ["split", "samples", "share"], rows)


def _checks(entry: Entry) -> Iterator[str]:
    yield "<p>Every file must have the size and SHA-256 below, every value the type, shape and range above.</p>"
    digests = sum(len(its.sha256) for its in entry.fields.values())
    lines = [f"the SHA-256 of decoded values, of {digests:,} arrays"] if digests else []
    lines += _declared_checks(entry.checks) if entry.checks else []
    if lines:
        yield f"<p>{code('tinytorch-datasets audit')} checks besides:</p>" + listed(map(text, lines))


def _declared_checks(checks: ChecksEntry) -> Iterator[str]:
    if repeated := checks.duplicates:
        of = f" by {', '.join(repeated.of)}" if repeated.of else ""
        yield from _at_most(repeated.within, f"sample that repeats one of its own split{of}")
        yield from _at_most(repeated.across, f"sample that is in another split too{of}")
    if checks.balance is not None:
        most = f"at most {checks.balance:g} times as many samples as the smallest"
        yield "all classes have the same number of samples" if checks.balance == 1 else f"the largest class has {most}"
    yield from _at_most(checks.constant, "sample that is all of one value")
    yield from _at_most(checks.empty, "text that is empty")


def _at_most(count: int | None, noun: str) -> Iterator[str]:
    if count is not None:
        yield f"no {noun}" if count == 0 else f"at most {count:,} of: {noun}"


def _license(view: View) -> Iterator[str]:
    entry = view.entry
    source = without_secrets(entry.source)
    yield facts(
        [
            ("License", license_of(entry)),
            ("Source", link(source) if is_address(source) else answered(view.name, entry).source),
            ("Cite", entry.citation),
            ("Other names", ", ".join(entry.aliases)),
            ("Used by", listed(map(code, entry.used_by))),
        ]
    )
    cited = text(bibtex(view.name, entry).rstrip())
    yield f'<h3>BibTeX</h3><pre class="wrapped" tabindex="0"><code>{cited}</code></pre>'


def _files(entry: Entry) -> Iterator[str]:
    rows = (
        [path, file.bytes, Html(f'<code class="hash">{file.sha256}</code>'), _links(file.urls)]
        for path, file in entry.files.items()
    )
    caption = f"{len(entry.files):,} files, {entry.bytes:,} bytes in all" if len(entry.files) > 1 else "One file"
    has_urls = any(file.urls for file in entry.files.values())
    head = ["file", "bytes", "SHA-256", *(["addresses"] if has_urls else [])]
    yield elements.table(caption, head, (row[: len(head)] for row in rows))
    if entry.mirrors:
        yield "<h3>Mirrors, in the order to try</h3>" + listed(link(without_secrets(each)) for each in entry.mirrors)
    for name, variant in entry.variants.items():
        rows = (
            [path, its.bytes, Html(f'<code class="hash">{its.sha256}</code>')] for path, its in variant.files.items()
        )
        caption = f"The same values in another container: {name} ({variant.format})"
        yield elements.table(caption, head[:3], rows) + listed(link(without_secrets(each)) for each in variant.mirrors)


def _links(addresses: Sequence[str]) -> Html:
    shown = [without_secrets(address) for address in addresses]
    return Html("<br>".join(link(each, posixpath.basename(each.rstrip("/")) or each) for each in shown))
