"""The commands of maintainers: add, update, compile, mirror, provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinytorch_datasets import progress, settings
from tinytorch_datasets.cli.common import (
    NOT_KEPT,
    bar,
    completed,
    json_too,
    load,
    say,
    say_json,
    when_interrupted,
    with_manifest,
    writing_to,
)

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("given", nargs=-1, required=True, metavar="URL_OR_PATH...")
@click.option("--name", metavar="NAME", help="Its name; made from the files' names if left out")
@click.option("--split", "splits", multiple=True, metavar="SPLIT=PATTERN", help="Which file, member or key a split is")
@click.option("--ship", is_flag=True, help="Copy the files to the shipped data")
@click.option("--mirror", "mirrors", multiple=True, metavar="URL", help="An address to which files' names are appended")
@click.option("--title", help="What it is, in a line")
@click.option("--license", "license_", help="Its licence")
@click.option("--source", help="The page of its authors")
@click.option("--dry-run", is_flag=True, help="Print the entry, and write nothing")
@with_manifest
@json_too
def add(
    given: tuple[str, ...],
    name: str | None,
    splits: tuple[str, ...],
    ship: bool,
    mirrors: tuple[str, ...],
    title: str | None,
    license_: str | None,
    source: str | None,
    dry_run: bool,
    manifest: Path | None,
    as_json: bool,
) -> None:
    """Write the manifest's entry for files: format, hashes, sizes, shapes, splits.

    Downloads or reads them, recognizes their format from their bytes, decodes them, and adds a commented entry;
    every other byte of the manifest stays as it is. What only a person can know is left as a marked question.

    \b
      tinytorch-datasets add https://example.org/flowers/train.csv https://example.org/flowers/test.csv
      tinytorch-datasets add digits.npz --ship --name digits --license CC-BY-4.0
      tinytorch-datasets add data.csv holdout.csv --split test=holdout.csv --ship --dry-run
    """
    from tinytorch_datasets.add import add as adding
    from tinytorch_datasets.cli.listing import counts
    from tinytorch_datasets.report.console import shown

    wanted = []
    for told in splits:
        split, equals, pattern = told.partition("=")
        if not (equals and split and pattern):
            msg = f"--split is SPLIT=PATTERN (test=holdout.csv), not {told!r}"
            raise click.UsageError(msg)
        wanted.append((split, pattern))
    for mirror in mirrors:
        if not mirror.lower().startswith(("http://", "https://")):
            msg = f"--mirror is an address that starts with https:// or http://, not {mirror!r}"
            raise click.UsageError(msg)
    facts = {"title": title, "license": license_, "source": source}
    when_interrupted(NOT_KEPT)
    with progress.usual() as seen:
        added = adding.add(
            given,
            manifest=Path(settings.manifest_path(manifest)),
            name=name,
            splits=wanted,
            ship=ship,
            mirrors=list(dict.fromkeys(mirror.rstrip("/") + "/" for mirror in mirrors)),
            facts={key: fact for key, fact in facts.items() if fact is not None},
            dry_run=dry_run,
            progress=seen,
        )
    if as_json:
        told_of: dict[str, Any] = {"name": added.name, "manifest": str(added.manifest), "line": added.line}
        told_of |= {"path": str(added.folder), "entry": added.text, "written": added.written}
        say_json({**told_of, "questions": [question._asdict() for question in added.questions]})
    elif dry_run:
        say(added.text, nl=False)
    else:
        said = counts({split: one["samples"] for split, one in added.draft.splits.items()})
        say(f"{added.name}: {shown(str(added.manifest))}:{added.line}; {added.draft.format}, {said}")
    for left in added.draft.left_out:
        say(f"left out: {left}", err=True)
    for question in added.questions:
        say(f"{added.manifest.name}:{question.line}: to be answered: {question.text}", err=True)


@click.command()
@click.argument("name", shell_complete=completed)
@click.option("--fetch", is_flag=True, help="Download the files anew, instead of taking those on disk")
@click.option("--dry-run", is_flag=True, help="Show the difference, and write nothing")
@with_manifest
@json_too
def update(name: str, fetch: bool, dry_run: bool, manifest: Path | None, as_json: bool) -> None:
    """Refresh an entry's sizes and hashes after a deliberate change; show the difference.

    \b
      tinytorch-datasets update tinydigits --dry-run
      tinytorch-datasets update mnist --fetch
    """
    from tinytorch_datasets.add import update as updating

    when_interrupted(NOT_KEPT)
    path = Path(settings.manifest_path(manifest))
    with progress.usual() as seen:
        changes = updating.update(name, manifest=path, fetch=fetch, dry_run=dry_run, progress=seen)
    if as_json:
        say_json([{"where": c.where, "key": c.key, "before": c.before, "after": c.after} for c in changes])
        return
    for change in changes:
        say(str(change))
    for other in dict.fromkeys(change.entry for change in changes if change.entry != name):
        say(f"{other} shares a file: `tinytorch-datasets update {other}` refreshes its digests", err=True)
    if not changes:
        say(f"{name}: nothing changed")
    elif dry_run:
        say("nothing was written", err=True)


@click.command()
@click.argument("folder", type=FILE)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completed)
@click.option("--from", "source", metavar="URL_OR_FOLDER", help="Try this before the declared mirrors")
@click.option("--offline", is_flag=True, default=None, help="Copy what is on this computer; open no socket for more")
@click.option("--serve", is_flag=True, help="Share the folder over HTTP, until Ctrl-C")
@click.option("--bind", default="0.0.0.0", show_default=True, metavar="ADDRESS", help="The address to serve on")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 for any")
@with_manifest
@json_too
def mirror(
    folder: Path,
    names: tuple[str, ...],
    source: str | None,
    offline: bool | None,
    serve: bool,
    bind: str,
    port: int,
    manifest: Path | None,
    as_json: bool,
) -> None:
    """Copy verified files and the manifest to a folder to serve or carry; goes on where it stopped.

    The folder has SHA256SUMS, for `sha256sum -c`; `audit --mirror` checks it. With --serve, what is printed is
    the line that students type.

    \b
      tinytorch-datasets mirror /media/usb/datasets
      tinytorch-datasets mirror class mnist --serve --bind 192.168.1.5
    """
    from tinytorch_datasets.mirror import copy as copying
    from tinytorch_datasets.progress import readable
    from tinytorch_datasets.report.console import plural

    loaded = load(manifest)
    for name in names:
        loaded.entry(name)  # a wrong name is told before the first byte is copied

    def told(one: copying.Mirrored) -> None:
        line = (
            f"{one.name}: {plural(one.copied, 'file')} copied, {one.kept} there already, {readable(one.bytes)} in all"
        )
        if not as_json:
            say(line, err=serve)

    with writing_to(folder):
        done = copying.mirror(loaded, folder, names, source=source, offline=offline, done=told)
    if as_json:
        say_json([{"name": one.name, "copied": one.copied, "kept": one.kept, "bytes": one.bytes} for one in done])
    if serve:
        from tinytorch_datasets.mirror import serve as serving

        with serving.server(folder.expanduser().absolute(), bind, port) as (httpd, address):
            try:
                say(f"export {settings.MIRROR}={address}", err=as_json)
                say("serving until Ctrl-C", err=True)
                httpd.serve_forever(poll_interval=0.2)
            except KeyboardInterrupt:
                say("\nserved no longer", err=True)


@click.command("compile")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if it would be something else than is there")
def compile_(check: bool) -> None:
    """Write the packaged manifest's compiled form beside it, by which `get` need not read and check the YAML.

    It counts until the next change of the manifest, or of the package's version; `add` and `update` keep it.

    \b
      tinytorch-datasets compile
      tinytorch-datasets compile --check
    """
    from tinytorch_datasets import pipeline
    from tinytorch_datasets.errors import DatasetError
    from tinytorch_datasets.manifest import compiled
    from tinytorch_datasets.report.console import shown
    from tinytorch_datasets.storage import files as disk

    path = Path(settings.packaged_manifest())
    beside, written = compiled.place(path), pipeline.compile_manifest(path)
    assert beside is not None
    told = shown(str(beside))
    if not check:
        with disk.whole_file(beside) as out:
            out.write(written)
        say(f"{told}: written")
        return
    if not beside.exists() or beside.read_bytes() != written:
        what = f"{told} is not there" if not beside.exists() else f"{told} is not what the manifest says now"
        raise DatasetError(what, hint="Run `tinytorch-datasets compile`.")
    say(f"{told}: as the manifest says")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completed)
@with_manifest
@json_too
def provenance(names: tuple[str, ...], manifest: Path | None, as_json: bool) -> None:
    """Say exactly which bytes and values are on disk: a line each to paste, or --json for a lock file.

    \b
      tinytorch-datasets provenance mnist
      tinytorch-datasets provenance --json > datasets.lock
      tinytorch-datasets audit --lock datasets.lock
    """
    from tinytorch_datasets.api import origin
    from tinytorch_datasets.auditing import lockfile

    when_interrupted(NOT_KEPT)
    loaded = load(manifest)
    with bar("hashing") as step:
        record = lockfile.record(loaded, names, step=step)
    if as_json:
        say_json(record)
        return
    for name in record["datasets"]:
        say(origin(name, loaded.entry(name), loaded.path, loaded.sha256))
