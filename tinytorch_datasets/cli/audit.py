"""The command `audit` and where its report goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytorch_datasets.auditing.findings import LEVELS
from tinytorch_datasets.cli.common import (
    NOT_KEPT,
    bar,
    completed,
    json_too,
    say,
    say_json,
    when_interrupted,
    with_manifest,
)
from tinytorch_datasets.errors import ManifestError, StorageError, UsageError
from tinytorch_datasets.settings import OFFLINE, Settings

if TYPE_CHECKING:
    from tinytorch_datasets.auditing.findings import ProbeResult, Report


FILE = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completed)
@click.option("--only", type=click.Choice(LEVELS), multiple=True, help="This level and no other; may be repeated")
@click.option("--remote", is_flag=True, help="Ask every address of every file: is it there, and as long as declared?")
@click.option("--deep", is_flag=True, help="Download and hash what every address gives; implies --remote")
@click.option("--remember", is_flag=True, help="Note what good addresses said in mirrors.lock; implies --remote")
@click.option("--offline", is_flag=True, help="Open no socket: an error if --remote asks for one")
@click.option(
    "--decode/--no-decode",
    default=None,
    help="Decode every file again, whatever digests are declared; or hash files, and decode nothing",
)
@click.option("--mirror", type=FOLDER, metavar="FOLDER", help="Check a folder that `mirror` wrote, and nothing else")
@click.option("--lock", type=FILE, metavar="FILE", help="Find what moved since `provenance --json` wrote FILE")
@click.option("--strict", is_flag=True, help="Let warnings count as findings")
@with_manifest
@json_too
@click.option("--junit", type=FILE, metavar="FILE", help="Write JUnit XML, for test readers")
@click.option("--sarif", type=FILE, metavar="FILE", help="Write SARIF, for code scanners")
@click.option("--github", is_flag=True, help="Annotate the manifest's lines in a GitHub workflow")
@click.pass_context
def audit(
    ctx: click.Context,
    names: tuple[str, ...],
    only: tuple[Any, ...],
    remote: bool,
    deep: bool,
    remember: bool,
    offline: bool,
    decode: bool | None,
    mirror: Path | None,
    lock: Path | None,
    strict: bool,
    manifest: Path | None,
    as_json: bool,
    junit: Path | None,
    sarif: Path | None,
    github: bool,
) -> None:
    """Check everything on disk against the manifest; exit 1 if anything differs.

    Every byte is hashed; sample counts, shapes, dtypes, ranges and checks are compared. Opens no socket
    unless --remote is given. Exit 0 all ok, 1 findings, 2 the manifest or the call is wrong, 3 only the
    network failed.

    \b
      tinytorch-datasets audit
      tinytorch-datasets audit cifar10 --json
      tinytorch-datasets audit --remote --junit audit.xml
      tinytorch-datasets audit --mirror /media/usb/datasets
    """
    from tinytorch_datasets.auditing import audit as auditing
    from tinytorch_datasets.progress import is_watched
    from tinytorch_datasets.report import console

    if mirror and (only or remote or deep or remember or lock or decode is not None):
        msg = "--mirror checks that folder and nothing else: leave out --only, --remote, --deep, --remember, --lock "
        msg += "and --[no-]decode"
        raise click.UsageError(msg)
    levels = set(only or auditing.LOCAL) | ({"remote"} if remote else set())
    forbidden_by = "--offline" if offline else OFFLINE if Settings.from_environment().offline else None
    if forbidden_by and ("remote" in levels or deep or remember):
        msg = f"--remote opens sockets, and {forbidden_by} forbids it"
        raise click.UsageError(msg)

    def tell(asked: ProbeResult) -> None:
        say(console.address(asked), err=True)

    when_interrupted(NOT_KEPT)
    usable = True
    try:
        with bar("hashing") as step:
            report = auditing.audit(
                names,
                manifest=manifest,
                levels=None if mirror else [level for level in LEVELS if level in levels],
                decode="auto" if decode is None else "always" if decode else "never",
                deep=deep,
                remember=remember,
                mirror=mirror,
                lock=lock,
                strict=strict,
                progress=step,
                answered=tell if is_watched(sys.stderr) else None,
            )
    except ManifestError as error:
        say(f"error: {error}", err=True)
        report, usable = auditing.unusable(error), False
    _written(report, junit=junit, sarif=sarif)
    if as_json:
        say_json(report.as_dict())
    elif usable:
        say(console.written(report))
    if github:
        _annotated(report, err=as_json)
    ctx.exit(report.exit_code)


def _root() -> Path:
    """The folder that paths in reports are told from: the checkout's, in a workflow, else the one we are in."""
    return Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).absolute()


def _written(report: Report, *, junit: Path | None, sarif: Path | None) -> None:
    from tinytorch_datasets.report import junit as junit_report
    from tinytorch_datasets.report import sarif as sarif_report
    from tinytorch_datasets.storage.files import whole_file

    reports: list[tuple[Path | None, Callable[[], bytes]]] = [
        (junit, lambda: junit_report.written(report)),
        (sarif, lambda: sarif_report.written(report, _root())),
    ]
    for path, text in reports:
        if path is not None:
            try:
                with whole_file(path.absolute()) as out:
                    out.write(text())
            except StorageError as error:  # not 1: that would say that data differs
                raise UsageError(error.what, hint="Name a place that can be written to.") from error


def _annotated(report: Report, *, err: bool) -> None:
    from tinytorch_datasets.report import github

    for line in github.commands(report, _root()):
        say(line, err=err)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(page).open("a", encoding="utf-8") as out:
                out.write(github.summary(report))
        except OSError as error:
            what = f"{page} cannot be written: {error.strerror}"
            raise UsageError(what, hint="Let GITHUB_STEP_SUMMARY name a file that can be written to.") from error
