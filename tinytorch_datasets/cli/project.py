"""Commands of a folder and a computer: init, config, clean, doctor, completion."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from tinytorch_datasets import settings
from tinytorch_datasets.cli.common import (
    PROGRAMS,
    Command,
    LocalPath,
    complete_names,
    echo,
    echo_json,
    exit_with,
    json_option,
    load,
    manifest_options,
    on_interrupt,
    repeat_options,
    writing_to,
)

SCHEMA = "datasets.schema.json"
SHELLS = ["bash", "zsh", "fish"]
COLORS = {"ok": "green", "warning": "yellow", "wrong": "red"}
CLEARED = "\r\x1b[K"  # the line, of what stood there before

FIRST = f"""\
# yaml-language-server: $schema=./{SCHEMA}
#
# The data sets of this folder and those below it. `tinytorch-datasets add FILES` adds one, `get("its-name")` returns
# it, and `tinytorch-datasets audit` compares every byte with what this file says.

version: 1
include: [packaged] # what came with the library: `get("mnist")`; another manifest's path may stand here, too
download_to: {settings.DOWNLOAD_TO} # both folders are relative to this file
shipped_in: datasets

datasets: {{}} # each as here, where `add` writes it:
#  flowers:
#    title: Two flowers, measured
#    status: shipped # its files are in datasets/flowers; or remote, with mirrors or urls
#    format: csv
#    license: CC0-1.0
#    source: https://example.org/flowers
#    fields:
#      features: {{dtype: float64, shape: [2]}}
#      labels: {{dtype: int64, classes: [rose, tulip]}}
#    splits:
#      train: {{samples: 2, file: flowers.csv, features: {{column: [length, width]}}, labels: kind}}
#    files:
#      flowers.csv: # length,width,kind and two rows
#        bytes: 44
#        sha256: {{digest}}
"""
FLOWERS = b"length,width,kind\n1.5,0.5,rose\n2,0.25,tulip\n"


def first_manifest() -> str:
    """Return the text of a first manifest: the smallest whole one, with an example in comments."""
    import hashlib

    return FIRST.replace("{digest}", hashlib.sha256(FLOWERS).hexdigest())


@click.command(cls=Command)
@click.argument("folder", default=".", type=LocalPath(path_type=Path))
@json_option
def init(folder: Path, as_json: bool) -> None:
    """Write a first manifest, on top of the packaged one, and its schema.

    The schema is for editors, which complete and check what is typed.

    \b
      tinytorch-datasets init
      tinytorch-datasets init course/week1
    """
    from tinytorch_datasets.add.validate import refuse_installed
    from tinytorch_datasets.errors import UsageError
    from tinytorch_datasets.manifest import generated
    from tinytorch_datasets.storage.files import whole_file

    folder = Path(os.path.normpath(settings.absolute(folder)))
    path, schema = folder / "datasets.yaml", folder / SCHEMA
    refuse_installed(path, hint="Name a folder of your own: tinytorch-datasets init FOLDER.")
    if os.path.lexists(path):
        msg = f"{path} is there already"
        raise UsageError(msg, hint="`tinytorch-datasets add FILES` adds a data set to it.")
    if schema.is_file() and generated.schema()["title"] not in schema.read_text(errors="replace"):
        msg = f"{schema} is there already, and is no schema of a manifest"
        raise UsageError(msg, hint="Name another folder, or give that file another name.")
    with writing_to(folder):
        for target, text in ((schema, generated.format_schema()), (path, first_manifest())):
            with whole_file(target) as out:
                out.write(text.encode())
    why_not = settings.why_not_taken(str(path))
    if as_json:
        echo_json({"path": str(path), "schema": str(schema), "in_force": not why_not})
    elif why_not:
        echo(f"{path}: written; to be named by --manifest or {settings.MANIFEST}, because {why_not}")
    else:
        echo(f"{path}: written; `get` and every command use it in this folder and below")


@click.command(cls=Command)
@manifest_options
@json_option
def config(manifest: Path | None, home: Path | None, as_json: bool) -> None:
    """Print what is in force, and why: manifest, folders, mirror.

    \b
      tinytorch-datasets config
    """
    from tinytorch_datasets.auditing.doctor import in_force

    facts = in_force(load(manifest), home, is_found=manifest is None)
    if as_json:
        echo_json(facts)
        return
    widths = [max(len(str(fact[key])) for fact in facts) for key in ("name", "value")]
    for fact in facts:
        echo(f"{fact['name']:<{widths[0]}} {fact['value']!s:<{widths[1]}}  {fact['why']}".rstrip())


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_names)
@click.option("--arrays", is_flag=True, help="Remove the decoded arrays only, and keep the downloads")
@click.option("--dry-run", is_flag=True, help="Report what would be removed, and remove nothing")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before removing those of every data set")
@manifest_options
@json_option
def clean(
    names: tuple[str, ...],
    arrays: bool,
    dry_run: bool,
    yes: bool,
    manifest: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Remove downloads and decoded arrays, never shipped files.

    A file that is not as declared is kept: it could not be downloaded again. Without a name, the
    downloads and decoded arrays of every data set are removed, and what is kept of the manifest
    (its checked form, reports of audits), after a question.

    \b
      tinytorch-datasets clean cifar10
      tinytorch-datasets clean --arrays --dry-run
    """
    from tinytorch_datasets import pipeline
    from tinytorch_datasets.manifest import kept
    from tinytorch_datasets.pipeline import cleaning
    from tinytorch_datasets.progress import is_terminal, readable
    from tinytorch_datasets.report import shown
    from tinytorch_datasets.storage import private_cache

    loaded = load(manifest)
    shipped = cleaning.shipped_files(loaded)
    listed = {
        name: cleaning.removable(*pipeline.placed(loaded, name, home), downloads=not arrays, sparing=shipped)
        for name in tuple(map(loaded.name_of, names)) or tuple(loaded.datasets)
    }
    removed = {name: (removable.bytes, removable.errors) for name, removable in listed.items()}
    if not (names or dry_run or yes):
        if not is_terminal(sys.stdin):
            msg = "without a name, clean removes the files of every data set: name some, or pass --yes or --dry-run"
            raise click.UsageError(msg)
        what = "the decoded arrays" if arrays else "downloads and decoded arrays"
        question = f"Remove {what} of every data set ({readable(sum(size for size, _ in removed.values()))})?"
        click.confirm(question, abort=True, err=True)
    of_form = 0 if names or arrays else kept.bytes_of(loaded.path)
    of_reports = 0 if names or arrays else private_cache.bytes_of(private_cache.REPORTS, loaded.path)
    if not dry_run:
        of_form = kept.forget(loaded.path) if of_form else 0
        of_reports = private_cache.forget(private_cache.REPORTS, loaded.path) if of_reports else 0
        removed = {name: removable.remove() for name, removable in listed.items()}
    freed = "would be freed" if dry_run else "freed"
    removed = {n: its for n, its in removed.items() if names or n in loaded.own or any(its) or listed[n].kept}
    for removable in listed.values():
        for path in removable.kept:
            echo(f"kept: {shown(str(path))}, which could not be downloaded again", err=True)
    for what in dict.fromkeys(error.what for removable in listed.values() for error in removable.passed_over):
        echo(f"passed over: {what}", err=True)
    if of_form:
        echo(f"kept form of {loaded.path.name}: {readable(of_form)} {freed}", err=True)
    if of_reports:
        echo(f"kept reports of audits of {loaded.path.name}: {readable(of_reports)} {freed}", err=True)
    if as_json:
        echo_json(
            [
                {"name": n, "bytes": size, "kept": list(map(str, listed[n].kept)), "errors": [e.what for e in errors]}
                for n, (size, errors) in removed.items()
            ]
        )
    else:
        for name, (size, _) in removed.items():
            echo(f"{name}: {readable(size)} {freed}")
    exit_with([error for _, errors in removed.values() for error in errors])


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_names)
@click.option("--all", "included", is_flag=True, help="Data sets of included manifests, too")
@click.option("--offline", is_flag=True, default=None, help="Ask no address")
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="For all addresses together",
)
@manifest_options
@json_option
def doctor(
    names: tuple[str, ...],
    included: bool,
    offline: bool | None,
    time_limit: float,
    manifest: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Check what data sets need here: versions, folders, addresses.

    Locks, room, proxies, certificates too; of each address the first 64 kB are read.
    It changes nothing, and shows no password. Exit 1: the disk, or what an address
    serves; 2: the manifest, the call or the installation; 3: only the network failed.

    \b
      tinytorch-datasets doctor
      tinytorch-datasets doctor mnist --json
    """
    from tinytorch_datasets.auditing import doctor as checking
    from tinytorch_datasets.progress import is_watched

    if names and included:
        msg = "name data sets, or --all, not both"
        raise click.UsageError(msg)

    def report(done: int, in_all: int) -> None:
        echo(f"{CLEARED}{done} of {in_all} addresses have answered", err=True, nl=False)

    on_interrupt("nothing was changed")
    is_seen = is_watched(sys.stderr)
    diagnosis = checking.doctor(
        names,
        manifest=manifest,
        home=home,
        included=included,
        offline=offline,
        time_limit_s=time_limit,
        progress=report if is_seen else None,
    )
    if is_seen:
        echo(CLEARED, err=True, nl=False)
    if as_json:
        echo_json(diagnosis.as_dict())
    else:
        for state, line in diagnosis.lines():
            mark = click.style(f"{state:<8}", fg=COLORS[state]) if state else ""
            echo(repeat_options(f"{mark}{line}".rstrip()))
    click.get_current_context().exit(diagnosis.exit_code)


@click.command(cls=Command)
@click.argument("shell", required=False, type=click.Choice(SHELLS))
@click.option("--install", is_flag=True, help="Write it where the shell reads it")
@json_option
def completion(shell: str | None, install: bool, as_json: bool) -> None:
    """Print what lets a shell complete commands and names, or install it.

    For the shell that SHELL names, unless another is named. --install reports each file
    that it writes: for bash and zsh also the start-up file, which gets one line.

    \b
      tinytorch-datasets completion --install
      tinytorch-datasets completion zsh
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        msg = f"name the shell: {', '.join(SHELLS)}"
        raise click.UsageError(msg)
    scripts = {name: _completion_script(shell, name) for name in PROGRAMS}
    if not install:
        text = "\n".join(scripts.values())
        if as_json:
            echo_json({"shell": shell, "script": text})
        else:
            echo(text)
        return
    files = [{"path": str(path), "state": state} for path, state in _install_completion(shell, scripts)]
    if as_json:
        echo_json({"shell": shell, "files": files})
        return
    for file in files:
        echo(f"{file['path']}: {file['state']}")
    echo(f"the next {shell} that you start completes", err=True)


def _completion_script(shell: str, name: str) -> str:
    """Return what lets a shell complete the program under one of its names."""
    of_shell = get_completion_class(shell)
    assert of_shell is not None
    root = click.get_current_context().find_root().command
    return of_shell(root, {}, name, f"_{name}_complete".replace("-", "_").upper()).source().strip() + "\n"


def _install_completion(shell: str, scripts: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Write the scripts, and the line of a start-up file that reads them; yield each file, and what was done to it.

    Done again, it changes nothing.
    """
    from tinytorch_datasets.storage.files import writing

    own = _folder("XDG_DATA_HOME", "~/.local/share") / PROGRAMS[0]
    if shell == "fish":  # which reads a file of the command's name
        folder = _folder("XDG_CONFIG_HOME", "~/.config") / "fish" / "completions"
        for name, script in scripts.items():
            yield folder / f"{name}.fish", _written(folder / f"{name}.fish", script)
        return
    path = own / f"completion.{shell}"
    yield path, _written(path, "\n".join(scripts.values()))
    start_up = _folder("ZDOTDIR" if shell == "zsh" else "HOME", "~") / f".{shell}rc"
    # zsh's own completion is a module that not every start-up file loads.
    loads = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }; " if shell == "zsh" else ""
    line = f"{loads}source {shlex.quote(str(path))}"
    before = start_up.read_text("utf-8", "surrogateescape") if start_up.exists() else ""
    if line in before.splitlines():
        yield start_up, "has the line that reads it already"
        return
    # Not with CR LF either, which Git Bash would take for a part of the path.
    added = f"{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n"
    with writing_to(start_up), writing(start_up), start_up.open("ab") as out:
        out.write(added.encode("utf-8", "surrogateescape"))
    yield start_up, f"got the line `{line}`"


def _folder(variable: str, usual: str) -> Path:
    return Path(settings.absolute(os.environ.get(variable) or usual, name=variable))


def _written(path: Path, text: str) -> str:
    from tinytorch_datasets.storage.files import read_file, whole_file

    if path.is_file() and read_file(path) == text.encode():
        return "is as it should be"
    with writing_to(path), whole_file(path) as out:
        out.write(text.encode())
    return "written"


COMMANDS = (init, config, clean, doctor, completion)
