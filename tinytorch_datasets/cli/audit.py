"""The commands audit and lock, and where the report of an audit goes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytorch_datasets import settings
from tinytorch_datasets.auditing.findings import LEVELS, RULES
from tinytorch_datasets.cli.common import (
    NOT_RESUMABLE,
    Command,
    LocalPath,
    PathOrAddress,
    bar,
    complete_names,
    echo,
    echo_json,
    json_option,
    load,
    manifest_options,
    on_interrupt,
    repeat_options,
    typed,
    writing_to,
)
from tinytorch_datasets.errors import (
    LAYOUT,
    ManifestError,
    MissingLibrary,
    StorageError,
    UsageError,
    did_you_mean,
    printable,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from tinytorch_datasets.auditing.findings import ProbeResult, Report


FILE = LocalPath(path_type=Path)
FOLDER = PathOrAddress(path_type=Path, exists=True, file_okay=False)
DASK_S = 10  # the longest wait for a scheduler, and for its first worker


def dask_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --dask, and in its place an executor, connected before anything is done."""

    @wraps(command)
    def connected(*given: Any, dask: str | None, **options: Any) -> Any:
        if dask is None:
            return command(*given, executor=None, **options)
        with _executor_at(dask) as executor:
            return command(*given, executor=executor, **options)

    return click.option("--dask", metavar="ADDRESS", help="Let the workers of a Dask scheduler do it")(connected)


@contextmanager
def _executor_at(address: str) -> Iterator[Executor]:
    """Connect to the Dask scheduler of that address, and yield what gives its workers tasks.

    Raises:
        MissingLibrary: Dask is not installed.
        UsageError: No scheduler answers there, or it has no workers.
    """
    if importlib.util.find_spec("distributed") is None:
        needing = "--dask"
        raise MissingLibrary(needing, "distributed", "cluster")
    from distributed import Client

    try:
        client = Client(address, timeout=DASK_S, set_as_default=False)
    except (OSError, ValueError, TypeError, MemoryError) as error:  # the last: what is no Dask states any size
        what = f"no Dask scheduler answers at {address}"
        raise UsageError(what, hint="Its log has its address, such as tcp://head-node:8786.") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=DASK_S)
        except (OSError, TimeoutError) as error:
            what = f"the Dask scheduler at {address} has no workers"
            raise UsageError(what, hint=f"Start some: `dask worker {address}`.") from error
        yield client.get_executor(pure=False)


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_names)
@click.option("--only", type=click.Choice(LEVELS), multiple=True, help="This level and no other", metavar="LEVEL")
@click.option("--remote", is_flag=True, help="Ask every address for its file's length")
@click.option("--deep", is_flag=True, help="--remote, and hash all that it serves")
@click.option("--remember", is_flag=True, help="--remote, and note good answers in mirrors.lock")
@click.option("--offline", is_flag=True, default=None, help="Open no socket: --remote is an error")
@click.option(
    "--decode/--no-decode",
    default=None,
    help="Decode every file again; or only hash them",
)
@click.option("--mirror", metavar="URL_OR_FOLDER", help="Check what `mirror` wrote there, and nothing else")
@click.option(
    "--lock",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Compare with a file that `lock` wrote",
)
@click.option("--ignore", metavar="RULE", multiple=True, help="Leave out warnings of this rule")
@click.option("--strict", is_flag=True, help="Let warnings fail the audit")
@dask_option
@manifest_options
@json_option
@click.option("--junit", type=FILE, metavar="FILE", help="Write JUnit XML, for test readers")
@click.option("--sarif", type=FILE, metavar="FILE", help="Write SARIF, for code scanners")
@click.option("--github", is_flag=True, help="Annotate lines in a GitHub workflow")
@click.pass_context
def audit(
    ctx: click.Context,
    names: tuple[str, ...],
    only: tuple[Any, ...],
    remote: bool,
    deep: bool,
    remember: bool,
    offline: bool | None,
    decode: bool | None,
    mirror: str | None,
    lock: str | None,
    ignore: tuple[str, ...],
    strict: bool,
    executor: Executor | None,
    manifest: Path | None,
    home: Path | None,
    as_json: bool,
    junit: Path | None,
    sarif: Path | None,
    github: bool,
) -> None:
    """Compare everything on disk with the manifest; exit 1 if it differs.

    Every byte and value. Exit 2: wrong manifest or call; 3: network failed.

    \b
      tinytorch-datasets audit --remote --junit audit.xml
    """
    from tinytorch_datasets.auditing import audit as auditing
    from tinytorch_datasets.progress import is_watched
    from tinytorch_datasets.report import format_address, format_report

    if mirror and (only or remote or deep or remember or lock is not None or decode is not None):
        msg = "--mirror checks that mirror and nothing else: leave out --only, --remote, --deep, --remember, --lock "
        msg += "and --[no-]decode"
        raise click.UsageError(msg)
    for rule in ignore:
        if rule not in RULES:
            msg = f"there is no rule {rule!r}{did_you_mean(rule, RULES)}"
            raise click.UsageError(msg)
    typed(levels="--remote" if remote else "--only remote")
    levels = set(only or auditing.LOCAL_LEVELS) | ({"remote"} if remote else set())
    locked = Path(lock) if lock else None
    if lock == "":
        from tinytorch_datasets.auditing import lockfile

        locked = Path(settings.manifest_path(manifest)).with_name(lockfile.NAME)

    def echo_probe(probe: ProbeResult) -> None:
        echo(format_address(probe), err=True)

    on_interrupt(NOT_RESUMABLE)
    usable = True
    try:
        with bar("hashing") as step:
            report = auditing.audit(
                names,
                manifest=manifest,
                home=home,
                levels=None if mirror else [level for level in LEVELS if level in levels],
                decode="auto" if decode is None else "always" if decode else "never",
                deep=deep,
                remember=remember,
                mirror=mirror,
                lock=locked,
                strict=strict,
                ignore=ignore,
                progress=step,
                on_probe=echo_probe if is_watched(sys.stderr) else None,
                executor=executor,
                offline=offline,
            )
    except ManifestError as error:
        echo(repeat_options(f"error: {printable(str(error), keep=LAYOUT)}"), err=True)
        report, usable = auditing.unusable(error), False
    hinted = (replace(finding, hint=repeat_options(finding.hint or "") or None) for finding in report.findings)
    report = replace(report, findings=tuple(hinted))
    _write_reports(report, junit=junit, sarif=sarif)
    if as_json:
        echo_json(report.as_dict())
    elif usable:
        echo(format_report(report))
    if github:
        _annotate(report, err=as_json)
    ctx.exit(report.exit_code)


def _root() -> Path:
    """Return the folder that paths in reports are relative to: the checkout, in a workflow, else the working one."""
    return Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).absolute()


def _write_reports(report: Report, *, junit: Path | None, sarif: Path | None) -> None:
    if junit is None and sarif is None:
        return
    from tinytorch_datasets.report import junit as junit_report
    from tinytorch_datasets.report import sarif as sarif_report
    from tinytorch_datasets.storage.files import whole_file

    reports: list[tuple[Path | None, Callable[[], bytes]]] = [
        (junit, lambda: junit_report.format_report(report)),
        (sarif, lambda: sarif_report.format_report(report, _root())),
    ]
    for path, text in reports:
        if path is not None:
            try:
                with whole_file(path.absolute()) as out:
                    out.write(text())
            except StorageError as error:  # not exit 1: that means that data differs
                raise UsageError(error.what, hint="Name a place that can be written to.") from error


def _annotate(report: Report, *, err: bool) -> None:
    from tinytorch_datasets.report import github

    for line in github.commands(report, _root()):
        echo(line, err=err)
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(page).open("a", encoding="utf-8") as out:
                out.write(github.summary(report))
        except OSError as error:
            what = f"{page} cannot be written: {error.strerror}"
            raise UsageError(what, hint="Let GITHUB_STEP_SUMMARY name a file that can be written to.") from error


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_names)
@click.option(
    "-o", "--output", type=FILE, metavar="FILE", help="- for stdout [default: datasets.lock, beside the manifest]"
)
@manifest_options
@json_option
def lock(names: tuple[str, ...], output: Path | None, manifest: Path | None, home: Path | None, as_json: bool) -> None:
    """Write datasets.lock: the hash of every file and all values on disk.

    `audit --lock` later reports what differs from it, even if the manifest was changed, too.

    \b
      tinytorch-datasets lock
      tinytorch-datasets lock mnist --output mnist.lock
      tinytorch-datasets audit --lock
    """
    from tinytorch_datasets.add.validate import refuse_installed
    from tinytorch_datasets.auditing import lockfile
    from tinytorch_datasets.report import as_json as format_json
    from tinytorch_datasets.report import plural, shown
    from tinytorch_datasets.storage import files as disk

    on_interrupt(NOT_RESUMABLE)
    loaded = load(manifest)
    if output is None:
        refuse_installed(loaded.path, hint="Name the file to write: --output datasets.lock.")
    path = output or loaded.path.parent / lockfile.NAME
    to_stdout = str(path) == "-"
    if not to_stdout and path.exists():
        lockfile.refuse_to_replace(path)
    with bar("hashing") as step:
        record = lockfile.record(loaded, names, home=home, step=step)
    if not to_stdout:
        with writing_to(path), disk.whole_file(path.absolute()) as out:
            out.write(format_json(record).encode() + b"\n")
    locked = list(record["datasets"])
    if to_stdout:
        echo_json(record)
    elif as_json:
        echo_json({"path": str(path.absolute()), "datasets": locked})
    else:
        echo(f"{shown(str(path.absolute()))}: {plural(len(locked), 'data set')}: {', '.join(locked) or 'none'}")
    for name, (present, count) in {} if names else lockfile.partly_on_disk(loaded, home).items():
        are = "is" if count == 1 else "are"
        echo(f"left out: {name}, of which {present:,} of {plural(count, 'file')} {are} on disk", err=True)


COMMANDS = (audit, lock)
