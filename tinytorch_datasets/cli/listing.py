"""The commands `list` and `info`: a data set as a row, and in full."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytorch_datasets import pipeline, settings
from tinytorch_datasets.api import origin
from tinytorch_datasets.cli.common import echo
from tinytorch_datasets.display import terminal
from tinytorch_datasets.errors import LAYOUT, StorageError, printable
from tinytorch_datasets.progress import readable
from tinytorch_datasets.report import shown
from tinytorch_datasets.storage.files import is_there

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.manifest.models import FieldEntry
    from tinytorch_datasets.plan import Column, Declared, Plan

NARROWEST_SPLITS = 12  # with which the packaged manifest fits the usual 80 columns


def row(declared: Declared, home: Path | None) -> dict[str, Any]:
    """Summarize a data set in plain values."""
    folders = {"download_to": declared.download_to, "shipped_in": declared.shipped_in}
    root = None if home is None else settings.absolute(home)
    plan = pipeline.locate(declared.plan, settings.locations(declared.manifest, root, **folders))
    return {
        "name": plan.name,
        "title": declared.entry["title"],
        "status": plan.status,
        "format": plan.format,
        "sample": _sample(next(iter(plan.columns))),
        "splits": {split.name: split.samples for split in plan.splits},
        "bytes": sum(file.bytes for file in plan.files),
        "on_disk": _on_disk(plan),
        "path": str(plan.root),
    }


def _on_disk(plan: Plan) -> str:
    try:
        present = [is_there(plan.root / file.name, at_home=True) for file in plan.files]
    except StorageError:
        return "unknown"  # a folder may not be looked into, which `audit` names
    return "all" if all(present) else "part" if any(present) else "none"


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print a table of rows: as wide as the terminal, or uncut in a pipe; splits may be on several lines."""
    from rich.table import Table  # only for tables: `get` and `path` print lines

    table = Table(box=None, pad_edge=False, header_style="bold")
    plain = ("name", "status", "format", "sample")
    cells = [
        [*(row[title] for title in plain), counts(row["splits"]), readable(row["bytes"]), row["on_disk"]]
        for row in rows
    ]
    widths = []
    for i, title in enumerate((*plain, "splits", "size", "on disk")):
        folds = title == "splits"
        widths.append(NARROWEST_SPLITS if folds else max(len(title), *(len(cell[i]) for cell in cells), 0))
        table.add_column(title, justify="right" if title == "size" else "left", no_wrap=not folds, min_width=widths[-1])
    for cell in cells:
        table.add_row(*cell)
    console, drawn = terminal.canvas()
    # A shortened name cannot be typed: on a terminal too narrow for the rest, lines wrap.
    console.width = max(console.width, sum(widths) + 2 * (len(widths) - 1))
    console.print(table)
    for line in drawn.getvalue().splitlines():
        echo(line.rstrip())


def print_entry(manifest: Manifest, name: str, home: Path | None) -> None:
    """Print one entry in full, one fact to a label; what is not declared is left out."""
    entry, summary, owner = manifest.entry(name), row(manifest.declared(name), home), manifest.owner(name)
    facts: list[tuple[str, list[str | None]]] = [
        ("name", [name]),
        ("title", [entry.title]),
        ("aliases", [", ".join(entry.aliases)]),
        ("about", [entry.description]),
        ("status", [f"{entry.status}, on disk: {summary['on_disk']}"]),
        ("folder", [shown(summary["path"])]),
        ("format", [entry.format, *(f"{key}: {value}" for key, value in entry.options.items())]),
        ("fields", [_field(field, declared) for field, declared in entry.fields.items()]),
        ("classes", [", ".join(manifest.plan(name).classes or ())]),
        ("splits", [f"{split}: {samples:,} samples" for split, samples in summary["splits"].items()]),
        ("size", [f"{readable(entry.bytes)} ({entry.bytes:,} bytes)"]),
        ("files", [f"{file.sha256}  {path}" for path, file in entry.files.items()]),
        ("mirrors", [address for address, _ in manifest.addresses(name)]),
        ("license", [entry.license]),
        ("source", [entry.source]),
        ("cite", [entry.citation]),
        ("used by", list(entry.used_by)),
        ("declared", [manifest.where(name)]),
        ("provenance", [origin(name, entry, owner.path, owner.sha256)]),
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


def _sample(column: Column) -> str:
    return "text" if column.is_text else f"{column.dtype} {'x'.join(_lengths(column.shape))}".rstrip()


def _lengths(shape: Iterable[int | None]) -> list[str]:
    """Return the lengths of a shape as the manifest writes them: null where it differs by sample."""
    return ["null" if length is None else str(length) for length in shape]


def _field(name: str, field: FieldEntry) -> str:
    text = f"{name}: {field.dtype}"
    text += f" [{', '.join(_lengths(field.shape))}]" if field.shape else ""
    text += f", {field.range[0]} to {field.range[1]}" if field.range else ""
    return text + (", one for the whole split" if field.per == "split" else "")
