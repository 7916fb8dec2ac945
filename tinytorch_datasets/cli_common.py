"""What do the commands share: options, the exit code of an error, and when to draw?"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytorch_datasets.errors import DatasetError, ManifestError, StorageError, UnknownDataset

if TYPE_CHECKING:
    from tinytorch_datasets.hashing import Step
    from tinytorch_datasets.manifest import Manifest
    from tinytorch_datasets.progress import Progress

DIFFERS, MISUSED, INTERRUPTED = 1, 2, 130


class Group(click.Group):
    """Turns the library's errors into one message on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except DatasetError as error:
            click.echo(f"error: {error}", err=True)
            misused = isinstance(error, ManifestError | UnknownDataset) or getattr(error, "misuse", False)
            ctx.exit(MISUSED if misused else DIFFERS)
        except KeyboardInterrupt:
            click.echo("\ninterrupted; what came so far is kept, and the same command goes on from there", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader (head, less) has seen enough. Python would complain about it once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


def with_manifest(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --manifest."""
    return click.option(
        "--manifest",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Another manifest than the packaged datasets.yaml",
    )(command)


json_too = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")


def load(manifest: Path | None) -> Manifest:
    """The manifest that a command works with."""
    from tinytorch_datasets import loader

    return loader.load_manifest(manifest)


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """What is written here was named by the person: where it cannot be, another place is the mend."""
    try:
        yield
    except StorageError as error:
        if error.path.absolute().is_relative_to(place.absolute()) or place.absolute().is_relative_to(
            error.path.absolute()
        ):
            error.mend = "Name a place that can be written to."
        raise


def draws() -> bool:
    """Whether somebody watches stderr: a terminal, and not that of a machine."""
    return sys.stderr.isatty() and os.environ.get("CI", "").lower() in ("", "0", "false")


def progress() -> Progress | None:
    """How to show downloads: plain lines in CI even on a terminal; else what the library thinks best."""
    from tinytorch_datasets.progress import Lines

    return None if draws() or not sys.stderr.isatty() else Lines(sys.stderr)


@contextmanager
def bar(title: str) -> Iterator[Step | None]:
    """One bar over all bytes to be read, where somebody watches; None elsewhere."""
    if not draws():
        yield None
        return
    from tinytorch_datasets.progress import drawn_on

    with drawn_on(sys.stderr, after="goes") as drawn:
        task = drawn.add_task(title, total=None)

        def step(done: int, in_all: int) -> None:
            drawn.update(task, total=in_all, completed=done)

        yield step
