"""What commands share: options, output, exit codes, a progress bar."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from click.shell_completion import CompletionItem

from tinytorch_datasets import errors, settings
from tinytorch_datasets.auditing.findings import ExitCode
from tinytorch_datasets.errors import LAYOUT, DatasetError, FetchError, StandInWarning, StorageError, printable
from tinytorch_datasets.report import as_json
from tinytorch_datasets.settings import HOME

if TYPE_CHECKING:
    from tinytorch_datasets.api import ManifestLike
    from tinytorch_datasets.digests import Step
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.plan import Declared


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Write to stdout, or to stderr.

    After the reader (head, less) has closed the pipe, the rest is dropped; the command goes on, and ends with the same
    exit code.

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
        _silence(stream)
    except OSError as error:
        _silence(stream)
        what = f"{'stderr' if err else 'stdout'} cannot be written: {error.strerror}"
        raise StorageError(what, hint="Free some space, or redirect it elsewhere.", path=Path(stream.name)) from error


def echo_json(value: Any) -> None:
    """Write plain values to stdout as JSON."""
    echo(as_json(value))


def _silence(stream: TextIO) -> None:
    """Redirect a stream to the null device: Python would complain of the closed pipe once more at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


# Errors of the manifest, of the call, or of what is installed; every other error is about the data.
MISUSE = (errors.ManifestError, errors.LockError, errors.UsageError, errors.UnknownName, errors.MissingLibrary)

RESUMABLE = "what was downloaded is kept; the same command resumes"
NOT_EXPORTED = "nothing was exported; the same command starts again, with what was downloaded"
NOT_RESUMABLE = "nothing was written; the same command starts from the beginning"
_INTERRUPTED = "tinytorch_datasets.interrupted"
_GIVEN = "tinytorch_datasets.given"
# A command in a message, up to its closing backtick; `compile` and `schema` take neither of the two options.
_TO_TYPE = re.compile(r"`tinytorch-datasets (?!compile\b|schema\b)[^`\n]*(?=`)")


def exit_code_of(error: DatasetError) -> ExitCode:
    """Return the exit code of a command that ended by an error."""
    if isinstance(error, MISUSE):
        return ExitCode.USAGE
    return ExitCode.NETWORK if isinstance(error, FetchError) and error.network_failed else ExitCode.MISMATCH


def exit_with(errors: Sequence[DatasetError]) -> None:
    """Report errors, each once, and end the command with their exit code; do nothing if there are none."""
    for message in dict.fromkeys(map(str, errors)):
        echo(repeat_options(f"error: {printable(message, keep=LAYOUT)}"), err=True)
    codes = {exit_code_of(error) for error in errors}
    if codes:
        # What differs is worse than a network that failed, which is all that 3 says.
        click.get_current_context().exit(codes.pop() if len(codes) == 1 else ExitCode.MISMATCH)


class Group(click.Group):
    """A group of commands whose errors become one message on stderr, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except DatasetError as error:
            exit_with([error])
        except PermissionError as error:  # of a folder on the way, wherever it was met
            what = f"{printable(error.filename or 'a file')} cannot be used: you have no permission to"
            echo(f"error: {what}\n  Ask its owner for it, or name another folder with --home.", err=True)
            ctx.exit(ExitCode.MISMATCH)
        except KeyboardInterrupt:
            echo(f"\ninterrupted; {ctx.meta.get(_INTERRUPTED, RESUMABLE)}", err=True)
            ctx.exit(ExitCode.INTERRUPTED)


def on_interrupt(message: str) -> None:
    """Set what Ctrl-C reports from here on to the end of the command, in place of `RESUMABLE`."""
    click.get_current_context().meta[_INTERRUPTED] = message


def manifest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --manifest and --home."""
    for option in (
        click.option(
            "--home",
            type=click.Path(path_type=Path),
            callback=_note_option,
            metavar="FOLDER",
            help=f"The folder of downloads and decoded arrays, in place of {HOME}",
        ),
        click.option(
            "--manifest",
            type=click.Path(path_type=Path),
            callback=_note_option,
            metavar="FILE",
            help="Another manifest than the packaged datasets.yaml",
        ),
    ):
        command = option(command)
    return command


def _note_option(ctx: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    if value is not None:
        ctx.meta.setdefault(_GIVEN, {})[option.opts[0]] = os.fspath(value)
    return value


def repeat_options(text: str) -> str:
    """Add the --manifest and --home that were given to each command that a message says to type without them."""
    given: dict[str, str] = click.get_current_context().meta.get(_GIVEN, {})

    def with_options(match: re.Match[str]) -> str:
        missing = [item for item in sorted(given.items(), reverse=True) if f" {item[0]} " not in match[0]]
        return match[0] + "".join(f" {name} {shlex.quote(value)}" for name, value in missing)

    return _TO_TYPE.sub(with_options, text) if given else text


def complete_names(ctx: click.Context, _: click.Parameter, prefix: str) -> list[CompletionItem]:
    """Return the data sets whose names begin so, for the shell."""
    from tinytorch_datasets import api

    try:
        known = api.load_manifest(ctx.params.get("manifest")).datasets
    except DatasetError:
        return []
    return [CompletionItem(name, help=entry.title) for name, entry in known.items() if name.startswith(prefix)]


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")


def load(manifest: Path | None) -> Manifest:
    """Load the manifest that a command works with."""
    from tinytorch_datasets import api

    return api.load_manifest(manifest)


def declared(manifest: Path | None) -> tuple[ManifestLike, Mapping[str, Declared]]:
    """Return what a manifest declares, by name, and the manifest as `get` takes it.

    The packaged one is compiled, so that neither YAML nor Pydantic is imported for it.
    """
    from tinytorch_datasets.manifest import generated

    if of_compiled := generated.every(Path(settings.manifest_path(manifest))):
        return manifest, of_compiled
    loaded = load(manifest)
    return loaded, {name: loaded.declared(name) for name in loaded.datasets}


def resolve(name: str, known: Mapping[str, Declared], manifest: Path | None) -> str:
    """Return the name of the data set of that name or alias; the manifest itself reports one that it does not have."""
    from tinytorch_datasets.manifest.generated import canonical_name  # and with it NumPy, which help does without

    aliases = {name: one.entry.get("aliases", ()) for name, one in known.items()}
    return canonical_name(name, aliases) or load(manifest).name_of(name)


@contextmanager
def warnings_as_messages() -> Iterator[None]:
    """Write what is warned of inside to stderr as a line, without the place in the code, which nobody asked for."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StandInWarning)
        yield
    for warning in caught:
        echo(f"warning: {warning.message}", err=True)


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Hint at another place if the one that the user named cannot be written to."""
    try:
        yield
    except StorageError as error:
        hint_at_another(error, place)
        raise


def hint_at_another(error: DatasetError, place: Path) -> None:
    """Hint at another place if an error is that this one cannot be written to; a link has a hint of its own."""
    if isinstance(error, StorageError) and error.errno != errno.ELOOP:
        path, place = error.path.absolute(), place.absolute()
        if path.is_relative_to(place) or place.is_relative_to(path):
            error.hint = "Name a place that can be written to."


@contextmanager
def bar(title: str) -> Iterator[Step | None]:
    """Draw one bar over all bytes to be read, if stderr is a terminal; else yield None."""
    from tinytorch_datasets.progress import drawn_on, is_watched

    if not is_watched(sys.stderr):
        yield None
        return

    with drawn_on(sys.stderr, after="goes") as drawn:
        task = drawn.add_task(title, total=None)

        def step(done: int, in_all: int) -> None:
            drawn.update(task, total=in_all, completed=done)

        yield step
