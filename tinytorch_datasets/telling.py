"""How are data sets told to a person, and to a program?"""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tinytorch_datasets import stages
from tinytorch_datasets.declarations import Entry, FieldEntry
from tinytorch_datasets.manifest import Manifest
from tinytorch_datasets.reports.people import shown
from tinytorch_datasets.sizes import readable

PIPED_COLUMNS = 200


def row(book: Manifest, name: str) -> dict[str, Any]:
    """What there is to know of a data set at a glance, in plain values."""
    entry = book.entry(name)
    root = stages.planned(book, name, stages.places(book)).root
    present = [file for file in entry.files if (root / file).is_file()]
    return {
        "name": name,
        "title": entry.title,
        "status": entry.status,
        "format": entry.format,
        "sample": _sample(next(iter(entry.fields.values()))),
        "splits": {split: declared.samples for split, declared in entry.splits.items()},
        "bytes": entry.bytes,
        "on_disk": "all" if len(present) == len(entry.files) else "none" if not present else "part",
        "path": str(root),
    }


def listed(rows: list[dict[str, Any]]) -> None:
    """Print a table of rows: as wide as the terminal, or uncut in a pipe."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "status", "format", "sample", "splits", "size", "on disk"):
        table.add_column(title, justify="right" if title == "size" else "left", no_wrap=title != "splits")
    for one in rows:
        size = readable(one["bytes"])
        splits = counts(one["splits"])
        table.add_row(one["name"], one["status"], one["format"], one["sample"], splits, size, one["on_disk"])
    columns = None if sys.stdout.isatty() else max(shutil.get_terminal_size().columns, PIPED_COLUMNS)
    console = Console(width=columns, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().splitlines():
        click.echo(line.rstrip())


def described(book: Manifest, name: str) -> None:
    """Print one entry in full: a label a fact, what is not declared left out."""
    entry, one = book.entry(name), row(book, name)
    facts: list[tuple[str, list[str | None]]] = [
        ("name", [name]),
        ("title", [entry.title]),
        ("about", [entry.description]),
        ("status", [f"{entry.status}, on disk: {one['on_disk']}"]),
        ("folder", [shown(one["path"])]),
        ("format", [entry.format, *(f"{key}: {value}" for key, value in entry.options.items())]),
        ("fields", [_field(field, declared) for field, declared in entry.fields.items()]),
        ("classes", [", ".join(book.plan(name).classes or ())]),
        ("splits", [f"{split}: {samples:,} samples" for split, samples in one["splits"].items()]),
        ("size", [f"{readable(entry.bytes)} ({entry.bytes:,} bytes)"]),
        ("files", [f"{file.sha256}  {path}" for path, file in entry.files.items()]),
        ("mirrors", _addresses(entry)),
        ("licence", [entry.license]),
        ("source", [entry.source]),
        ("cite", [entry.citation]),
        ("used by", list(entry.used_by)),
        ("declared", [book.where(name)]),
    ]
    for label, lines in facts:
        for i, line in enumerate(filter(None, lines)):
            click.echo(f"{click.style(f'{label if i == 0 else str():<10}', bold=True)}{line}")


def counts(splits: dict[str, int]) -> str:
    """Split sizes in a line.

    >>> counts({"train": 60000, "test": 10000})
    'train 60,000, test 10,000'
    """
    return ", ".join(f"{split} {samples:,}" for split, samples in splits.items())


def _sample(field: FieldEntry) -> str:
    return "text" if field.dtype == "str" else f"{field.dtype} {'x'.join(map(str, field.shape))}".rstrip()


def _field(name: str, field: FieldEntry) -> str:
    told = f"{name}: {field.dtype}"
    told += f" {list(field.shape)}" if field.shape else ""
    told += f", {field.range[0]} to {field.range[1]}" if field.range else ""
    return told + (", one for the whole split" if field.per == "split" else "")


def _addresses(entry: Entry) -> list[str | None]:
    return [*entry.mirrors, *(url for file in entry.files.values() for url in file.urls)]
