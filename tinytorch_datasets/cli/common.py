"""What commands share: options, output, exit codes, a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from click.shell_completion import CompletionItem

from tinytorch_datasets import errors
from tinytorch_datasets.auditing.findings import ExitCode
from tinytorch_datasets.errors import DatasetError, StorageError
from tinytorch_datasets.report import as_json
from tinytorch_datasets.settings import HOME

if TYPE_CHECKING:
    from tinytorch_datasets.digests import Step
    from tinytorch_datasets.manifest.manifest import Manifest


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Write to stdout, or to stderr.

    Once the reader (head, less) has seen enough, nobody hears the rest; what is being done is done all the same, and
    ends as it would have.

    Raises:
        StorageError: It goes to a file, and the disk is full.
    """
    stream = sys.stderr if err else sys.stdout
    try:
        try:
            click.echo(text, err=err, nl=nl)
        except UnicodeEncodeError:  # an old terminal, or a file's name that is no text
            encoding = stream.encoding or "ascii"
            click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err, nl=nl)
    except BrokenPipeError:
        _deafen(stream)
    except OSError as error:
        _deafen(stream)
        what = f"{'stderr' if err else 'stdout'} cannot be written: {error.strerror}"
        raise StorageError(what, hint="Make room, or send it elsewhere.", path=Path(stream.name)) from error


def say_json(value: Any) -> None:
    """Write plain values to stdout as JSON."""
    say(as_json(value))


def _deafen(stream: TextIO) -> None:
    """Let what is still written go nowhere: Python would complain of it once more at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


# Whoever meets one of these can hint the manifest or the call; every other error is about the data.
MISUSE = (errors.ManifestError, errors.LockError, errors.UsageError, errors.UnknownName)

KEPT = "what came so far is kept, and the same command goes on from there"
NOT_KEPT = "nothing was written, and nothing is kept: the same command begins anew"
_INTERRUPTED = "tinytorch_datasets.interrupted"


class Group(click.Group):
    """Turns the library's errors into one message on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except DatasetError as error:
            say(f"error: {error}", err=True)
            ctx.exit(ExitCode.USAGE if isinstance(error, MISUSE) else ExitCode.MISMATCH)
        except KeyboardInterrupt:
            say(f"\ninterrupted; {ctx.meta.get(_INTERRUPTED, KEPT)}", err=True)
            ctx.exit(ExitCode.INTERRUPTED)


def when_interrupted(told: str) -> None:
    """What an interrupt means from here on to the end of the command, where it is something else than `KEPT`."""
    click.get_current_context().meta[_INTERRUPTED] = told


def with_manifest(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --manifest and --home."""
    for option in (
        click.option(
            "--home",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            expose_value=False,
            callback=_as_if_exported,
            help=f"The folder of downloads and decoded arrays, in place of {HOME}",
        ),
        click.option(
            "--manifest",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Another manifest than the packaged datasets.yaml",
        ),
    ):
        command = option(command)
    return command


def completed(ctx: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """The data sets that begin so, for the shell to complete a name by."""
    from tinytorch_datasets import api

    try:
        known = api.load_manifest(ctx.params.get("manifest")).datasets
    except DatasetError:
        return []
    return [CompletionItem(name, help=entry.title) for name, entry in known.items() if name.startswith(begun)]


def _as_if_exported(ctx: click.Context, _: click.Parameter, home: Path | None) -> None:
    """Let everything that a command calls find its folder where it would look for it anyway."""
    if home is not None:
        before = os.environ.get(HOME)
        os.environ[HOME] = os.fspath(home)
        ctx.call_on_close(lambda: os.environ.pop(HOME) if before is None else os.environ.update({HOME: before}))


json_too = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")


def load(manifest: Path | None) -> Manifest:
    """The manifest that a command works with."""
    from tinytorch_datasets import api

    return api.load_manifest(manifest)


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """What is written here was named by the person: where it cannot be, another place is the hint."""
    try:
        yield
    except StorageError as error:
        if error.path.absolute().is_relative_to(place.absolute()) or place.absolute().is_relative_to(
            error.path.absolute()
        ):
            error.hint = "Name a place that can be written to."
        raise


@contextmanager
def bar(title: str) -> Iterator[Step | None]:
    """One bar over all bytes to be read, where somebody watches; None elsewhere."""
    from tinytorch_datasets.progress import drawn_on, is_watched

    if not is_watched(sys.stderr):
        yield None
        return

    with drawn_on(sys.stderr, after="goes") as drawn:
        task = drawn.add_task(title, total=None)

        def step(done: int, in_all: int) -> None:
            drawn.update(task, total=in_all, completed=done)

        yield step
