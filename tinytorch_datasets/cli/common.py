"""What commands share: options, output, exit codes, a progress bar."""

from __future__ import annotations

import codecs
import errno
import json
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

from tinytorch_datasets import settings
from tinytorch_datasets.auditing.findings import ExitCode, exit_code_of
from tinytorch_datasets.errors import (
    LAYOUT,
    DatasetError,
    StandInWarning,
    StorageError,
    UsageError,
    printable,
)
from tinytorch_datasets.report import as_json

if TYPE_CHECKING:
    from tinytorch_datasets.api import ManifestLike
    from tinytorch_datasets.digests import Step
    from tinytorch_datasets.manifest.kept import Listed
    from tinytorch_datasets.manifest.manifest import Manifest

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_UNDECODED = re.compile("[\udc80-\udcff]")  # bytes of a path that are no text in the locale


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
            is_ascii = bool(_UNDECODED.search(text)) and codecs.lookup(stream.encoding or "ascii").name == "ascii"
            click.echo(text.encode("utf-8", "surrogateescape") if is_ascii else text, err=err, nl=nl)
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
    echo_document(f"{as_json(value)}\n")


def echo_document(text: str) -> None:
    """Write a text for other programs to stdout: BibTeX, or JSON.

    JSON is UTF-8 to whoever reads it; where stdout is not, as in a pipe on Windows, its letters are escaped.
    """
    if text.startswith(("{", "[")) and codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8":
        text = _NOT_ASCII.sub(lambda letter: json.dumps(letter[0])[1:-1], text)
    echo(text, nl=False)


def _silence(stream: TextIO) -> None:
    """Redirect a stream to the null device: Python would complain of the closed pipe once more at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


RESUMABLE = "what was downloaded is kept; the same command resumes"
NOT_EXPORTED = "nothing was exported; the same command starts again, with what was downloaded"
NOT_RESUMABLE = "nothing was written; the same command starts from the beginning"
_INTERRUPTED = "tinytorch_datasets.interrupted"
_GIVEN, _TYPED = "tinytorch_datasets.given", "tinytorch_datasets.typed"
# A command in a message, up to its closing backtick; `compile` and `schema` take neither of the two options.
_TO_TYPE = re.compile(r"`tinytorch-datasets (?!compile\b|schema\b)[^`\n]*(?=`)")


def exit_with(errors: Sequence[DatasetError]) -> None:
    """Report errors, each once, and end the command with their exit code; do nothing if there are none."""
    for message in dict.fromkeys(map(_as_typed, errors)):
        echo(repeat_options(f"error: {printable(message, keep=LAYOUT)}"), err=True)
    codes = {exit_code_of(error) for error in errors}
    if codes:
        # What differs is worse than a network that failed, which is all that 3 says.
        click.get_current_context().exit(codes.pop() if len(codes) == 1 else ExitCode.MISMATCH)


def typed(**arguments: str) -> None:
    """Note how arguments of the function that a command calls were typed, if not by the option of their name."""
    click.get_current_context().meta[_TYPED] = arguments


def _as_typed(error: DatasetError) -> str:
    """Return the message with what was typed in place of arguments; `arguments` has their names, by how it has them."""
    what, arguments = error.what, getattr(error, "arguments", {})
    for spelled, name in arguments.items():
        what = what.replace(spelled, _options().get(name, spelled), 1)
    return str(error).replace(error.what, what, 1)


def _options() -> Mapping[str, str]:
    """Return what of the command is typed for each argument, by its name."""
    context = click.get_current_context()
    command = context.command
    if isinstance(command, click.Group):  # the command itself has ended by its error
        command = command.commands.get(context.invoked_subcommand or "", command)
    options = {each.name: each.opts[-1] for each in command.params if isinstance(each, click.Option)}
    return {**options, **context.meta.get(_TYPED, {})}


PROGRAMS = ("tinytorch-datasets", "ttds")  # as a person calls it
SCREEN_LINES = 24
OF_MOST = {"--manifest": " FILE", "--home": " FOLDER", "--json": "", "--help": ""}


class Command(click.Command):
    """A command whose help fits a screen, and has the name by which the program was called."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help; what it shares with most commands in one line, where it would be longer than a screen."""
        whole = click.HelpFormatter(width=formatter.width)
        self._write_help(ctx, whole, is_short=False)
        is_short = whole.getvalue().count("\n") > SCREEN_LINES
        self._write_help(ctx, formatter, is_short=is_short)

    def _write_help(self, ctx: click.Context, formatter: click.HelpFormatter, *, is_short: bool) -> None:
        self.format_usage(ctx, formatter)
        text = click.HelpFormatter(width=formatter.width)
        self.format_help_text(ctx, text)
        formatter.write("\n" + called(ctx, text.getvalue()))
        options = [option for option in self.get_params(ctx) if isinstance(option, click.Option)]
        shared = [option for option in options if is_short and OF_MOST.keys() & set(option.opts)]
        records = [record for option in options if option not in shared if (record := option.get_help_record(ctx))]
        if records:
            with formatter.section("Options"):
                formatter.write_dl([(flag, what.replace("  [", " [")) for flag, what in records], col_max=27)
        if shared:
            names = "  ".join(opts[-1] + OF_MOST[opts[-1]] for opts in (option.opts for option in shared))
            formatter.write(f"  And of most commands: {names}\n")


def called(ctx: click.Context, text: str) -> str:
    """Put the name by which the program was called into lines to type; by a path or by Python, the long one stays."""
    name = ctx.find_root().info_name or ""
    return text.replace(f"{PROGRAMS[0]} ", f"{name} ") if name in PROGRAMS else text


class Group(click.Group):
    """A group of commands whose errors become one message on stderr, and an exit code."""

    command_class = Command
    sections: Mapping[str, Sequence[str]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, by what they are for; those that are in no section only with their names."""
        shown = [name for names in self.sections.values() for name in names]
        width = max(map(len, shown))
        for section, names in self.sections.items():
            formatter.write(f"{section}:\n")
            for name in names:
                what = self.commands[name].get_short_help_str(formatter.width - width - 4)
                formatter.write(f"  {name:<{width}}  {what}\n")
        formatter.write(f"Others: {', '.join(sorted(self.commands.keys() - set(shown)))}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, and the options in a line."""
        formatter.write("\n")
        self.format_commands(ctx, formatter)
        formatter.write("Options: --version, -h, --help; of most commands --manifest, --home, --json\n")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the last lines as they are."""
        formatter.write(f"{self.epilog}\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with colors where the variables or the terminal allow them."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        elif os.environ.get("FORCE_COLOR"):
            ctx.color = True
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


class PathOrAddress(click.Path):
    """A path, or the address of a store as a str; file:// is the path that it names."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return it, and refuse the addresses that are neither."""
        scheme = settings.scheme_of(value) if isinstance(value, str) else ""
        if scheme in settings.STORES:
            from tinytorch_datasets.manifest.filenames import has_credentials

            if has_credentials(value):  # not shown, here or in any hint
                self.fail("this has credentials in it, which are of its store's configuration", param, ctx)
            return value
        if scheme or str(value).startswith("~"):  # which shells leave as it is behind an equals sign
            try:
                value = settings.absolute(value, name="this")
            except UsageError as error:
                self.fail(error.what, param, ctx)
        return super().convert(value, param, ctx)


class LocalPath(PathOrAddress):
    """A path on this computer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return it, and refuse addresses: a folder by the name of a scheme is none that anybody wants."""
        path = super().convert(value, param, ctx)
        if isinstance(path, str):
            self.fail(f"this is an address of {settings.scheme_of(path)}://, where a path is needed", param, ctx)
        return path


def manifest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --manifest and --home."""
    for option in (
        click.option(
            "--home",
            type=PathOrAddress(path_type=Path),
            callback=_note_option,
            metavar="FOLDER",
            help="The folder of downloads and decoded arrays",
        ),
        click.option(
            "--manifest",
            type=LocalPath(path_type=Path),
            callback=_note_option,
            metavar="FILE",
            help="Another manifest than the one in force (see config)",
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
    try:
        known = listed(ctx.params.get("manifest"))[1]
    except DatasetError:
        return []
    return [CompletionItem(name, help=one.entry["title"]) for name, one in known.items() if name.startswith(prefix)]


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")


def load(manifest: Path | None, offline: bool | None = None) -> Manifest:
    """Load the manifest that a command works with."""
    from tinytorch_datasets import api

    return api.load_manifest(manifest, offline=offline)


def listed(manifest: Path | None, offline: bool | None = None) -> tuple[ManifestLike, Mapping[str, Listed]]:
    """Return the data sets of a manifest, by name, and the manifest as `get` takes it.

    The packaged one is compiled, and any other was kept when it was read last, so that neither YAML nor Pydantic is
    imported for it.
    """
    from tinytorch_datasets.manifest import generated, kept

    path = Path(settings.manifest_path(manifest))
    if of_compiled := generated.every(path):
        return manifest, {name: kept.Listed.of(one) for name, one in of_compiled.items()}
    if of_kept := kept.listed(path):
        return manifest, of_kept
    loaded = load(manifest, offline)
    kept.keep(loaded)
    return loaded, kept.listed_of(loaded)


def resolve(name: str, known: Mapping[str, Listed], manifest: Path | None) -> str:
    """Return the name of the data set of that name or alias; the manifest itself reports one that it does not have."""
    from tinytorch_datasets.manifest.generated import canonical_name  # and with it NumPy, which help does without

    aliases = {name: one.entry.get("aliases", ()) for name, one in known.items()}
    return canonical_name(name, aliases) or load(manifest).name_of(name)


def names_to_get(
    names: Sequence[str], known: Mapping[str, Listed], manifest: Path | None, *, everything: bool
) -> tuple[str, ...]:
    """Return the named data sets; with `everything`, those of the manifest itself: it may include hundreds of GB.

    Raises:
        click.UsageError: Both were asked for, or neither, or the manifest has none of its own.
    """
    if bool(names) == everything:
        msg = "name the data sets to get, or --all" + (", not both" if names else "")
        raise click.UsageError(msg)
    own = [name for name, one in known.items() if not one.is_included]
    if everything and not own and known:
        msg = "the manifest has no data set of its own, only included ones: name those to get"
        raise click.UsageError(msg)
    return tuple(dict.fromkeys(resolve(name, known, manifest) for name in names)) or tuple(own)


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
    """Hint at another place if an error is that this one cannot be written to.

    A link has a hint of its own, and so has what is to be read there first.
    """
    if isinstance(error, StorageError) and error.errno != errno.ELOOP and error.action != "read":
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
