"""The commands `list`, `info`, `show`: a data set as a row, in full, and samples.

Pictures are drawn in the terminal, two pixels a character; strings and numbers are written out.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytorch_datasets import settings
from tinytorch_datasets.cli.common import echo, writing_to
from tinytorch_datasets.errors import LAYOUT, StorageError, UnknownName, UsageError, printable
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.progress import is_terminal, readable
from tinytorch_datasets.report import shown
from tinytorch_datasets.storage.files import is_there, writing

if TYPE_CHECKING:  # and no NumPy, no stages, no Rich: a list in a pipe needs none of them
    import numpy as np

    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.display.samples import Samples
    from tinytorch_datasets.manifest.kept import Listed
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.manifest.models import Entry, FieldEntry
    from tinytorch_datasets.settings import Locations
    from tinytorch_datasets.split import Split

# An included file with more data sets than this is listed by their names: the whole fits 80 x 24.
MOST_ROWS = 12
NAMES_WIDTH = 80
GAP = "  "
PIPED_COLUMNS = 200  # of what goes into a pipe in color
NARROWEST_SPLITS = 12  # with which the packaged manifest fits the usual 80 columns


def row(listed: Listed, home: Path | None) -> dict[str, Any]:
    """Summarize a data set in plain values."""
    return next(rows([listed], home))


def rows(several: Iterable[Listed], home: Path | None) -> Iterator[dict[str, Any]]:
    """Summarize data sets in plain values, each; the folders of a manifest are looked for once."""
    is_here = home is not None and settings.scheme_of(os.fspath(home)) not in settings.STORES
    root = settings.absolute(home, name="home") if home is not None and is_here else None
    places: dict[Path, Locations] = {}
    for listed in several:
        if listed.manifest not in places:
            folders = {"download_to": listed.download_to, "shipped_in": listed.shipped_in}
            places[listed.manifest] = settings.locations(listed.manifest, root, **folders)
        yield _row(listed, places[listed.manifest])


def _row(listed: Listed, places: Locations) -> dict[str, Any]:
    entry = listed.entry
    root, on_disk = _on_disk(listed, entry["files"], places)
    if any(_on_disk(listed, variant["files"], places)[1] == "all" for variant in entry.get("variants", {}).values()):
        on_disk = "all"
    return {
        "name": listed.name,
        "title": entry["title"],
        "status": entry["status"],
        "format": entry["format"],
        "sample": _sample(next(iter(entry["fields"].values()))),
        "splits": {split: its["samples"] for split, its in entry["splits"].items()},
        "bytes": sum(file["bytes"] for file in entry["files"].values()),
        "on_disk": on_disk,
        "path": root,
        "manifest": str(listed.manifest),
    }


def is_decoded(row: Mapping[str, Any], manifest: Path | None, home: Path | None) -> bool:
    """Check whether `get` would open a data set's arrays as they are, which takes NumPy, and longer than all else.

    What its row says of its splits was compared with the arrays when they were made, from the same manifest.
    """
    if settings.Settings.from_environment().standin or isinstance(home, str):  # in a store
        return False
    from tinytorch_datasets.storage.cache_entry import entries_of

    path, root = settings.manifest_path(manifest), None if home is None else settings.absolute(home, name="home")
    entries = entries_of(row["name"], path, settings.likely_homes(path, root), root)
    return any(
        [split.name for split in entry.splits] == [*row["splits"]] and entry.is_current() and entry.is_whole()
        for _, entry in entries
    )


def print_rows(rows: list[dict[str, Any]], manifest: str = "") -> None:
    """Print a table of rows; those of a long file that `manifest` includes by their names alone, if it is given.

    A table of sixty would push the manifest's own data sets off the screen.
    """
    of_files: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_files.setdefault(row["manifest"], []).append(row)
    long = {path: its for path, its in of_files.items() if manifest not in ("", path) and len(its) > MOST_ROWS}
    print_table([row for row in rows if row["manifest"] not in long])
    for path, its in long.items():
        _print_names(path, its)


def _print_names(path: str, rows: list[dict[str, Any]]) -> None:
    names = [f"{row['name']}{'*' if row['on_disk'] == 'all' else ''}" for row in rows]
    on_disk = "; * is on disk" if any(name.endswith("*") for name in names) else ""
    echo(f"\n{Path(path).name}: {len(rows)} more, in full by `list --all`{on_disk}")
    # In a pipe as well, which has no width: a line of all of them would be one to look for nothing in.
    width = min(shutil.get_terminal_size().columns, NAMES_WIDTH) if is_terminal(sys.stdout) else NAMES_WIDTH
    echo(textwrap.fill("  ".join(names), width, break_on_hyphens=False, break_long_words=False))


def _on_disk(listed: Listed, files: Mapping[str, Any], places: Locations) -> tuple[str, str]:
    """Return the folder of files, and whether all of them are in it, some or none."""
    root = str(places.files(listed.folder, shipped=listed.entry["status"] == "shipped", names=tuple(files)))
    try:
        present = [is_there(f"{root}/{file}", at_home=True) for file in files]
    except StorageError:
        return root, "unknown"  # a folder may not be looked into, which `audit` names
    return root, "all" if all(present) else "part" if any(present) else "none"


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print a table of rows: as wide as the terminal, or uncut in a pipe; splits may be on several lines.

    A table by Rich would take longer than all else that a list does, and twice as long for ten thousand rows.
    """
    titles = ("name", "status", "format", "sample", "splits", "size", "on disk")
    splits, size = titles.index("splits"), titles.index("size")
    cells = [
        (*(row[title] for title in titles[:splits]), counts(row["splits"]), readable(row["bytes"]), row["on_disk"])
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    is_drawn = is_terminal(sys.stdout) or bool(os.environ.get("FORCE_COLOR") and not os.environ.get("NO_COLOR"))
    if is_drawn:
        # A shortened name cannot be typed: on a terminal too narrow for the rest, lines wrap.
        columns = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else PIPED_COLUMNS
        others = sum(widths) - widths[splits] + len(GAP) * (len(widths) - 1)
        widths[splits] = min(widths[splits], max(NARROWEST_SPLITS, columns - others))
    lines = list[str]()
    for cell in (titles, *cells):
        head, *more = (
            textwrap.wrap(cell[splits], widths[splits], break_on_hyphens=False) if is_drawn else cell[splits:size]
        )
        padded = [text.ljust(width) for text, width in zip(cell, widths, strict=True)]
        padded[splits], padded[size] = head.ljust(widths[splits]), cell[size].rjust(widths[size])
        lines.append(GAP.join(padded).rstrip())
        lines += (" " * (sum(widths[:splits]) + len(GAP) * splits) + line for line in more)
    if is_drawn:
        lines[0] = re.sub(r"\S+(?: \S+)*", lambda title: click.style(title[0], bold=True), lines[0])
    echo("\n".join(lines))  # at once: each echo is a call of the system


def print_entry(manifest: Manifest, name: str, home: Path | None) -> None:
    """Print one entry in full, one fact to a label; what is not declared is left out."""
    from tinytorch_datasets.dataset import origin
    from tinytorch_datasets.manifest.kept import Listed
    from tinytorch_datasets.pipeline import UNTRIED

    entry, listed, owner = manifest.entry(name), Listed.of(manifest.declared(name)), manifest.owner(name)
    summary = row(listed, home)
    facts: list[tuple[str, list[str | None]]] = [
        ("name", [name]),
        ("title", [entry.title]),
        ("aliases", [", ".join(entry.aliases)]),
        ("about", [entry.description]),
        ("status", [f"{entry.status}, on disk: {summary['on_disk']}"]),
        ("tried", [f"{entry.tried}: {UNTRIED}" if listed.is_untried else entry.tried]),
        ("folder", [shown(summary["path"])]),
        ("format", [entry.format, *(f"{key}: {value}" for key, value in entry.options.items())]),
        ("fields", [_field(field, its) for field, its in entry.fields.items()]),
        ("classes", [", ".join(manifest.plan(name).classes or ())]),
        ("splits", [f"{split}: {samples:,} samples" for split, samples in summary["splits"].items()]),
        ("size", [f"{readable(entry.bytes)} ({entry.bytes:,} bytes)"]),
        ("files", [f"{file.sha256}  {path}" for path, file in entry.files.items()]),
        ("mirrors", [address for address, _ in manifest.addresses(manifest.plan(name))]),
        ("license", [entry.license]),
        ("source", [entry.source]),
        ("cite", [entry.citation]),
        ("used by", list(entry.used_by)),
        ("declared", [manifest.where(name) if owner is manifest else f"{owner.path}:{owner.line('datasets', name)}"]),
        ("provenance", [origin(name, entry.files, owner.path, owner.sha256)]),
    ]
    for label, lines in facts:
        for i, line in enumerate(filter(None, lines)):
            echo(f"{click.style(f'{label if i == 0 else str():<12}', bold=True)}{printable(line, keep=LAYOUT)}")


def counts(splits: dict[str, int]) -> str:
    """Format split sizes as a line.

    >>> counts({"train": 60000, "test": 10000})
    'train 60,000, test 10,000'
    """
    return ", ".join(f"{split} {samples:,}" for split, samples in splits.items())


def _sample(field: Mapping[str, Any]) -> str:
    if field["dtype"] == TEXT:
        return "text"
    return f"{field['dtype']} {'x'.join(_lengths(field.get('shape', ())))}".rstrip()


def _lengths(shape: Iterable[int | None]) -> list[str]:
    """Return the lengths of a shape as the manifest writes them: null where it differs by sample."""
    return ["null" if length is None else str(length) for length in shape]


def _field(name: str, field: FieldEntry) -> str:
    text = f"{name}: {field.dtype}"
    text += f" [{', '.join(_lengths(field.shape))}]" if field.shape else ""
    text += f", {field.range[0]} to {field.range[1]}" if field.range else ""
    return text + (", one for the whole split" if field.per == "split" else "")


def chosen(
    entry: Entry, split: Split, count: int, *, seed: int, named: str | None = None, indices: Sequence[int] = ()
) -> Samples:
    """Return samples of a split: those of these indices; or so many, drawn by a seed, of one class or of all.

    Raises:
        UnknownName: There is no such class.
        UsageError: There are no classes, or the split has not so many samples.
    """
    if indices:
        if wrong := [index for index in indices if index >= len(split)]:
            msg = f"no sample {wrong[0]:,} in split {split.name!r}, which has {len(split):,}, counted from 0"
            raise UsageError(msg)
        part: Split = split[list(indices)]
        return part.show(len(indices))
    return split.show(count, seed=seed, where=None if named is None else _of_class(entry, split, named))


def _of_class(entry: Entry, split: Split, named: str) -> np.ndarray:
    for field in split.fields:
        if classes := entry.fields[field].classes:
            if named not in classes:
                raise UnknownName(named, classes, kind=f"class of field {field!r}")
            mask: np.ndarray = split[field] == classes.index(named)
            return mask
    msg = f"no field of split {split.name!r} has classes, so there is none named {named!r}"
    raise UsageError(msg)


def histogram(dataset: Dataset, splits: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """Return how many samples each class has, by split.

    Raises:
        UsageError: There are no classes.
    """
    from tinytorch_datasets.display.samples import class_counts

    counted = {name: class_counts(dataset[name]) for name in splits}
    if not any(counted.values()):
        msg = f"no field of {dataset.name!r} has classes to be counted"
        raise UsageError(msg)
    return counted


def show(samples: Samples) -> None:
    """Print the samples: pictures side by side, anything else one below the other."""
    from tinytorch_datasets.display import terminal

    console, drawn = terminal.canvas()
    samples.print_to(console)
    echo(drawn.getvalue(), nl=False)


def show_counts(counted: Mapping[str, Mapping[str, int]]) -> None:
    """Print how many samples each class has, with bars."""
    from tinytorch_datasets.display import terminal

    console, drawn = terminal.canvas()
    terminal.draw_histogram(counted, console)
    echo(drawn.getvalue(), nl=False)


def save(samples: Samples, path: Path) -> None:
    """Write the pictures as a PNG file."""
    with writing_to(path), writing(path):
        samples.save(path)


def list_captions(samples: Samples) -> None:
    """Print what each picture of a file is, in their order."""
    for index, caption in zip(samples.positions, samples.captions, strict=True):
        echo(f"{index}: {caption}")
