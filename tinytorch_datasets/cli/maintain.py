"""The commands of maintainers: add, update, compile, mirror, catalog."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import click

from tinytorch_datasets import progress, settings
from tinytorch_datasets.cli.audit import dask_option
from tinytorch_datasets.cli.common import (
    NOT_RESUMABLE,
    Command,
    LocalPath,
    PathOrAddress,
    complete_names,
    echo,
    echo_json,
    exit_with,
    hint_at_another,
    json_option,
    load,
    manifest_options,
    on_interrupt,
    writing_to,
)
from tinytorch_datasets.errors import DatasetError


@click.command(cls=Command)
@click.argument("given", nargs=-1, required=True, metavar="URL_OR_PATH...")
@click.option("--name", metavar="NAME", help="Its name [default: from the files' names]")
@click.option("--split", "splits", multiple=True, metavar="SPLIT=PATTERN", help="Which file, member or key it is")
@click.option("--target", "targets", multiple=True, metavar="COLUMN", help="What is to be predicted")
@click.option("--label", metavar="PART", help="Label in the name: name:0, folder:-1, none")
@click.option("--samples", type=click.Choice(["first", "last"]), help="Which axis counts the samples")
@click.option("--drop", "drops", multiple=True, metavar="COLUMN", help="A column, array or file to leave out")
@click.option("--missing", "marks", multiple=True, metavar="MARK", help="A cell that means a missing value")
@click.option("--format", "form", metavar="NAME", help="The format, if it is not recognized")
@click.option("--option", "given_options", multiple=True, metavar="KEY=VALUE", help="An option of the format")
@click.option("--rows", "rows", multiple=True, metavar="SPLIT=FIRST:END", help="Which rows of the file it is")
@click.option("--shuffle", type=click.IntRange(0, 2**32 - 1), metavar="SEED", help="The order of rows, by NumPy")
@click.option("--ship", is_flag=True, help="Copy the files to the shipped data")
@click.option("--mirror", "mirrors", multiple=True, metavar="URL", help="Files' names are appended to it")
@click.option("--title", help="What it is, in a line")
@click.option("--license", "license_", help="Its license")
@click.option("--source", help="The page of its authors")
@click.option("--dry-run", is_flag=True, help="Print the entry, and write nothing")
@manifest_options
@json_option
def add(
    given: tuple[str, ...],
    name: str | None,
    splits: tuple[str, ...],
    targets: tuple[str, ...],
    label: str | None,
    samples: str | None,
    drops: tuple[str, ...],
    marks: tuple[str, ...],
    form: str | None,
    given_options: tuple[str, ...],
    rows: tuple[str, ...],
    shuffle: int | None,
    ship: bool,
    mirrors: tuple[str, ...],
    title: str | None,
    license_: str | None,
    source: str | None,
    dry_run: bool,
    manifest: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Write the entry for files: format, hashes, sizes, shapes, splits.

    Files are given by address or path; a folder or an archive stands for all in it.
    What only a person can know is left as a marked question.

    \b
      tinytorch-datasets add https://example.org/flowers/train.csv
      tinytorch-datasets add pets --ship        # pictures, a folder a class
      tinytorch-datasets add a.zip --ship --label name:0  # 7_jackson_32.wav
    """
    from tinytorch_datasets.add import add as adding
    from tinytorch_datasets.add.tables import Choices
    from tinytorch_datasets.cli.listing import counts
    from tinytorch_datasets.manifest.filenames import is_store, without_secrets
    from tinytorch_datasets.report import shown

    patterns = _pairs("--split", "SPLIT=PATTERN (test=holdout.csv)", splits)
    of_rows = _pairs("--rows", "SPLIT=FIRST:END (train=0:404)", rows)
    options = _pairs("--option", "KEY=VALUE (skip_lines=1)", given_options)
    if len(dict(options)) < len(options):
        twice = next(key for key, _ in options if [other for other, _ in options].count(key) > 1)
        msg = f"--option {twice}=... is given twice"
        raise click.UsageError(msg)
    for mirror in mirrors:
        if not mirror.lower().startswith(("http://", "https://")) and not is_store(mirror):
            msg = f"--mirror is an address that starts with https:// or http://, not {without_secrets(mirror)!r}"
            raise click.UsageError(msg)
    facts = {"title": title, "license": license_, "source": source}
    on_interrupt(NOT_RESUMABLE)
    with progress.usual() as report:
        added = adding.add(
            given,
            manifest=Path(settings.manifest_path(manifest)),
            home=home,
            name=name,
            splits=patterns,
            ship=ship,
            mirrors=list(dict.fromkeys(mirror.rstrip("/") + "/" for mirror in mirrors)),
            facts={key: fact for key, fact in facts.items() if fact is not None},
            choices=Choices(targets, drops, marks, label, samples),
            form=form,
            options=dict(options),
            rows=of_rows,
            shuffle=shuffle,
            dry_run=dry_run,
            progress=report,
        )
    if as_json:
        result: dict[str, Any] = {"name": added.name, "manifest": str(added.manifest), "line": added.line}
        result |= {"path": str(added.folder), "entry": added.text, "written": added.written}
        echo_json({**result, "questions": [question._asdict() for question in added.questions]})
    elif dry_run:
        echo(added.text, nl=False)
    else:
        sizes = counts({split: declared["samples"] for split, declared in added.draft.splits.items()})
        echo(f"{added.name}: {shown(str(added.manifest))}:{added.line}; {added.draft.format}, {sizes}")
    for left in (*added.passed_over, *added.draft.left_out):
        echo(f"left out: {left}", err=True)
    for field in added.draft.missing():
        echo(f"missing: {field}", err=True)
    for question in added.questions:
        echo(f"{added.manifest.name}:{question.line}: to be filled in: {question.text}", err=True)


def _pairs(option: str, form: str, given: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return what stands before and behind the = of each value of an option."""
    pairs = []
    for value in given:
        before, equals, behind = value.partition("=")
        if not (equals and before and behind):
            msg = f"{option} is {form}, not {value!r}"
            raise click.UsageError(msg)
        pairs.append((before, behind))
    return pairs


@click.command(cls=Command)
@click.argument("name", shell_complete=complete_names)
@click.option("--fetch", is_flag=True, help="Download the files again, instead of taking those on disk")
@click.option("--dry-run", is_flag=True, help="Show the difference, and write nothing")
@manifest_options
@json_option
def update(name: str, fetch: bool, dry_run: bool, manifest: Path | None, home: Path | None, as_json: bool) -> None:
    """Refresh an entry's sizes, hashes and counts; show the difference.

    Its files were changed on purpose.

    \b
      tinytorch-datasets update tinydigits --dry-run
      tinytorch-datasets update mnist --fetch
    """
    from tinytorch_datasets.add import update as updating

    on_interrupt(NOT_RESUMABLE)
    path = Path(settings.manifest_path(manifest))
    with progress.usual() as report:
        changes = updating.update(name, manifest=path, home=home, fetch=fetch, dry_run=dry_run, progress=report)
    if as_json:
        echo_json([{"where": c.where, "key": c.key, "before": c.before, "after": c.after} for c in changes])
        return
    for change in changes:
        echo(str(change))
    for other in dict.fromkeys(change.entry for change in changes if change.entry != name):
        echo(f"{other} shares a file: `tinytorch-datasets update {other}` refreshes its digests and samples", err=True)
    if not changes:
        echo(f"{name}: nothing changed")
    elif dry_run:
        echo("nothing was written", err=True)


@click.command(cls=Command)
@click.argument("folder", type=PathOrAddress(path_type=Path))
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_names)
@click.option("--from", "source", metavar="URL_OR_FOLDER", help="Try this before the declared mirrors")
@click.option("--offline", is_flag=True, default=None, help="Copy what is on this computer; open no socket")
@click.option("--with-packages", is_flag=True, help="Wheels of this package and of what it needs, too")
@click.option("--platform", "platforms", multiple=True, metavar="NAME", help="For it alone: linux, macos, windows")
@click.option("--python", "pythons", multiple=True, metavar="3.N", help="For it alone [default: 3.10 to 3.14]")
@click.option("--extra", "extras", multiple=True, metavar="NAME", help="With what it needs: tables, images, fast")
@click.option("--serve", is_flag=True, help="Share the folder over HTTP, until Ctrl-C")
@click.option("--bind", default="0.0.0.0", show_default=True, metavar="ADDRESS", help="The address to serve on")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 for any")
@dask_option
@manifest_options
@json_option
def mirror(
    folder: Path,
    names: tuple[str, ...],
    source: str | None,
    offline: bool | None,
    with_packages: bool,
    platforms: tuple[str, ...],
    pythons: tuple[str, ...],
    extras: tuple[str, ...],
    serve: bool,
    bind: str,
    port: int,
    executor: Any,
    manifest: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Copy verified files to a folder, to serve or to carry.

    And SHA256SUMS, by which `audit --mirror` checks it; its index.html shows it in a browser. Run again,
    it resumes. With --serve, it prints the line to type. No name means all of the manifest itself.

    \b
      tinytorch-datasets mirror class mnist --with-packages --serve
    """
    from tinytorch_datasets import catalog as cataloging
    from tinytorch_datasets.mirror import copy as copying
    from tinytorch_datasets.progress import readable
    from tinytorch_datasets.report import plural

    in_store, keep = isinstance(folder, str), cast(Any, copying.mirror)
    if in_store:
        from tinytorch_datasets.mirror.bucket import mirror_to_store as keep
    if in_store and (serve or with_packages or executor):
        msg = "--serve, --with-packages and --dask are of a mirror in a folder, not in a store"
        raise click.UsageError(msg)
    loaded = load(manifest, offline)
    list(map(loaded.entry, names))  # a wrong name is reported before the first byte is copied
    targets = _targets(with_packages, platforms, pythons, extras, offline)

    def report(result: copying.Mirrored) -> None:
        done.append(result)
        copied = f"{plural(result.copied, 'file')} copied, {result.kept} already there"
        if not as_json:
            echo(f"{result.name}: {copied}, {readable(result.bytes)} in total", err=serve)

    errors, done = list[DatasetError](), list[copying.Mirrored]()
    note = errors.append
    try:
        by = {} if executor is None else {"executor": executor}
        keep(loaded, folder, names, home=home, source=source, offline=offline, on_done=report, on_error=note, **by)
    except DatasetError as error:  # of what is in the folder beside the data sets
        note(error)
    packaged = None
    if targets:
        from tinytorch_datasets.mirror import packages as packaging

        kinds = plural(len(targets), "kind")
        echo(f"packages: asking pip for {kinds} of computer; each takes 20 to 30 MB, more with extras", err=True)

        def downloaded(target: packaging.Target, size: int) -> None:
            echo(f"packages for {target}: {readable(size)}", err=True)

        try:
            packaged = packaging.mirror_packages(loaded, folder, targets, extras=extras, on_done=downloaded)
        except DatasetError as error:
            note(error)
    if packaged is not None:
        errors += packaged.errors
        copied = f"{plural(packaged.copied, 'wheel')} copied, {packaged.kept} already there"
        if not as_json:
            sizes = f"{readable(packaged.bytes)} in total, {readable(packaged.before)} before"
            echo(f"packages: {copied}, {sizes}", err=serve)
        for path in packaged.left_over:
            echo(f"left over: {path}, an older version; delete it if nobody needs it", err=True)
    if (done or packaged is not None or not errors) and not in_store:
        try:
            cataloging.write_start_page(folder, loaded, home)
        except DatasetError as error:  # the files are there, which is what counts
            echo(f"no start page: {error.what}", err=True)
    if as_json:
        results = [dataclasses.asdict(result) for result in done]
        if packaged is not None:
            its = dataclasses.asdict(packaged)
            results.append({"name": "packages", **{key: its[key] for key in ("copied", "kept", "bytes", "left_over")}})
        echo_json(results)
    for failure in errors:
        hint_at_another(failure, Path(folder))
    exit_with(errors)
    if serve:
        from tinytorch_datasets.mirror import serve as serving

        folder = Path(settings.absolute(folder))
        with serving.server(folder, bind, port) as (httpd, address):
            there = cataloging.mirrored(folder, loaded)
            if (page := cataloging.served_start_page(folder, there, address)) is not None:
                serving.serve_pages(httpd, page, cataloging.pages_in(folder), there)
                echo(f"for PowerShell, cmd and Python, in a browser: {address}", err=True)
            try:
                echo(f"export {settings.MIRROR}={address}", err=as_json)
                if serving.packages_in(folder):
                    echo(serving.install_line(address), err=True)
                echo("serving until Ctrl-C", err=True)
                httpd.serve_forever(poll_interval=0.2)
            except KeyboardInterrupt:
                echo("\nserver stopped", err=True)


def _targets(
    wanted: bool, platforms: tuple[str, ...], pythons: tuple[str, ...], extras: tuple[str, ...], offline: bool | None
) -> list[Any]:
    """Return for what packages are to be downloaded: nothing, unless that is wanted."""
    from tinytorch_datasets.manifest.filenames import refuse_offline

    if not wanted:
        if platforms or pythons or extras:
            msg = "--platform, --python and --extra choose packages, and --with-packages is missing"
            raise click.UsageError(msg)
        return []
    refuse_offline("--with-packages", offline=offline, hint="go without: packages in the folder are kept.")
    from tinytorch_datasets.mirror.packages import targets_of

    return targets_of(platforms, pythons)


@click.command(cls=Command)
@click.argument("folder", type=LocalPath(path_type=Path))
@click.option("--get", "download", is_flag=True, help="Download what the manifest itself has, to show samples")
@manifest_options
@json_option
def catalog(folder: Path, download: bool, manifest: Path | None, home: Path | None, as_json: bool) -> None:
    """Write a static site of all data sets, to look at in any browser.

    An index, and a page of each: samples, classes, splits, checks, license, citation, hashes and the
    lines to type. Samples are of what is on disk. It needs no server and asks nobody for anything;
    run again, it replaces what has changed.

    \b
      tinytorch-datasets catalog site
      tinytorch-datasets catalog site --get
    """
    from tinytorch_datasets.catalog import write_catalog
    from tinytorch_datasets.report import plural, shown

    with progress.usual() as report, writing_to(folder):
        written = write_catalog(folder, download=download, manifest=load(manifest), home=home, progress=report)
    if as_json:
        sampled = {name: name in written.with_samples for name in written.pages}
        listed = [{"name": n, "path": str(path), "samples": sampled[n]} for n, path in written.pages.items()]
        echo_json({"start": str(written.start), "pages": listed, "removed": list(map(str, written.removed))})
    else:
        count, shown_count = plural(len(written.pages), "data set"), len(written.with_samples)
        echo(f"{shown(str(written.start))}: {count}, {shown_count:,} with samples")
    for path in written.removed:
        echo(f"removed: {shown(str(path))}, whose data set is gone", err=True)
    exit_with(written.errors)


@click.command("compile", cls=Command)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a compiled form is not up to date")
@json_option
def compile_(check: bool, as_json: bool) -> None:
    """Write the packaged manifests' compiled forms beside them, which `get` reads.

    Each is used until its manifest or the package's version changes; `add` and `update` refresh it.

    \b
      tinytorch-datasets compile
      tinytorch-datasets compile --check
    """
    from tinytorch_datasets.add.validate import refuse_installed
    from tinytorch_datasets.pipeline import manifests
    from tinytorch_datasets.report import shown
    from tinytorch_datasets.storage import files as disk

    path = Path(settings.packaged_manifest())
    if not check:
        refuse_installed(
            path, hint="Its compiled form came with it; `tinytorch-datasets compile --check` compares them."
        )
    errors, done = list[DatasetError](), list[dict[str, str]]()
    for beside, written in manifests.compiled(path).items():
        name = shown(str(beside))
        if not check:
            with disk.whole_file(beside) as out:
                out.write(written)
        elif not beside.is_file() or disk.read_file(beside) != written:
            what = f"{name} does not exist" if not beside.exists() else f"{name} is not up to date with the manifest"
            errors.append(DatasetError(what, hint="Run `tinytorch-datasets compile`."))
            continue
        done.append({"path": str(beside), "state": "up to date" if check else "written"})
        if not as_json:
            echo(f"{name}: {done[-1]['state']}")
    if as_json:
        echo_json(done)
    exit_with(errors)


COMMANDS = (add, update, compile_, mirror, catalog)
