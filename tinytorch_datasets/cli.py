"""What do people type?

stdout is the answer (and ``--json`` gives it to programs), stderr is the story. Exit 0 all well, 1 something
differs or could not be had, 2 the manifest or the call is wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tinytorch_datasets import auditor, loader, schema, telling
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.errors import DatasetError, ManifestError, UnknownDataset
from tinytorch_datasets.sizes import readable

MISUSED = 2
INTERRUPTED = 130


class _Group(click.Group):
    """Turns the library's errors into one message on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DatasetError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(MISUSED if isinstance(error, ManifestError | UnknownDataset) else 1)
        except KeyboardInterrupt:
            click.echo("\ninterrupted; what came so far is kept, and the same command goes on from there", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader (head, less) has seen enough. Python would complain about it once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--manifest",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Another manifest than the packaged datasets.yaml",
    )(command)


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Folders: TINYTORCH_DATASETS_HOME, _MANIFEST, _MIRROR and _OFFLINE, see the README.",
)
@click.version_option(VERSION, prog_name="tinytorch-datasets")
def main() -> None:
    """Small, hash-checked data sets, declared in one YAML file."""


@main.command("list")
@_common
@_as_json
def list_(manifest: Path | None, as_json: bool) -> None:
    """List every data set: format, shape, splits, size, and what is on disk.

    \b
      tinytorch-datasets list
      tinytorch-datasets list --json
    """
    book = loader.load_manifest(manifest)
    rows = [telling.row(book, name) for name in book.datasets]
    if as_json:
        telling.as_json(rows)
    else:
        telling.listed(rows)


@main.command()
@click.argument("name")
@_common
@_as_json
def info(name: str, manifest: Path | None, as_json: bool) -> None:
    """Show one entry of the manifest in full.

    \b
      tinytorch-datasets info cifar10
    """
    book = loader.load_manifest(manifest)
    if as_json:
        entry, row = book.entry(name), telling.row(book, name)
        telling.as_json({"name": name, **entry.model_dump(mode="json"), "on_disk": row["on_disk"], "path": row["path"]})
    else:
        telling.described(book, name)


@main.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="Get every data set of the manifest")
@click.option("--mirror", metavar="URL_OR_FOLDER", help="Try this before the declared mirrors")
@click.option("--offline", is_flag=True, default=None, help="Open no socket; say what is missing")
@click.option("--verify", type=click.Choice(["auto", "always"]), default="auto", help="Hash every byte again: always")
@_common
@_as_json
def get(
    names: tuple[str, ...],
    everything: bool,
    mirror: str | None,
    offline: bool | None,
    verify: Any,
    manifest: Path | None,
    as_json: bool,
) -> None:
    """Fetch, verify and decode data sets; print what arrived and where.

    \b
      tinytorch-datasets get mnist cifar10
      tinytorch-datasets get --all --mirror /media/usb/datasets
    """
    book = loader.load_manifest(manifest)
    if bool(names) == everything:
        msg = "name the data sets to get, or --all" + (", not both" if names else "")
        raise click.UsageError(msg)
    wanted = names or tuple(book.datasets)
    for name in wanted:
        book.entry(name)  # a wrong name is told before the first byte is fetched
    arrived = []
    for name in wanted:
        dataset = loader.get(name, manifest=book, mirror=mirror, offline=offline, verify=verify)
        splits = {split: len(samples) for split, samples in dataset.items()}
        arrived.append({"name": name, "splits": splits, "path": telling.row(book, name)["path"]})
        if not as_json:
            click.echo(f"{name}: {telling.counts(splits)}; {telling.shown(arrived[-1]['path'])}")
    if as_json:
        telling.as_json(arrived)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_common
@_as_json
def audit(names: tuple[str, ...], manifest: Path | None, as_json: bool) -> None:
    """Check everything on disk against the manifest; exit 1 if anything differs.

    Every byte is hashed; sample counts, shapes, dtypes and ranges are compared. Opens no socket.

    \b
      tinytorch-datasets audit
      tinytorch-datasets audit cifar10 --json
    """
    report = auditor.audit(names, manifest=manifest)
    if as_json:
        telling.as_json(report.as_dict())
    else:
        telling.reported(report)
    sys.exit(0 if report.well else 1)


@main.command()
@click.argument("name")
@_common
def path(name: str, manifest: Path | None) -> None:
    """Print the folder that a data set's files are in.

    \b
      ls $(tinytorch-datasets path mnist)
    """
    book = loader.load_manifest(manifest)
    row = telling.row(book, name)
    click.echo(row["path"])
    if row["on_disk"] != "all":
        click.echo(f"{row['on_disk']} of it is there; `tinytorch-datasets get {name}` fetches it", err=True)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--arrays", is_flag=True, help="Free the decoded arrays only, and keep the downloads")
@_common
def clean(names: tuple[str, ...], arrays: bool, manifest: Path | None) -> None:
    """Free the downloads and decoded arrays, never the shipped bytes.

    \b
      tinytorch-datasets clean cifar10
      tinytorch-datasets clean --arrays
    """
    book = loader.load_manifest(manifest)
    where = loader.places(book)
    for name in names or tuple(book.datasets):
        freed = loader.clean(loader.planned(book, name, where), where, downloads=not arrays)
        click.echo(f"{name}: {readable(freed)} freed")


@main.command("schema")
def schema_() -> None:
    """Print the JSON Schema of the manifest, by which editors complete and check it.

    \b
      tinytorch-datasets schema > datasets.schema.json
    """
    click.echo(schema.text(), nl=False)
