"""The command line: `tinytorch-datasets` and its commands.

stdout has the result (for programs: ``--json``), stderr the progress and messages. Exit 0 success, 1 data differs or
cannot be used, 2 the manifest or the call is wrong, 3 only the network failed, 130 interrupted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinytorch_datasets import settings
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.cli import audit, maintain, project
from tinytorch_datasets.cli.common import (
    NOT_EXPORTED,
    Group,
    LocalPath,
    complete_names,
    echo,
    echo_document,
    echo_json,
    exit_with,
    json_option,
    listed,
    load,
    manifest_options,
    names_to_get,
    on_interrupt,
    repeat_options,
    resolve,
    warnings_as_messages,
)
from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.exporting import known


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Variables: TINYTORCH_DATASETS_HOME, _MANIFEST, _MIRROR, _OFFLINE, _STANDIN",
)
@click.version_option(VERSION, prog_name="tinytorch-datasets")
def main() -> None:
    """Small, hash-checked data sets, declared in one YAML file."""


# Commands import what they need when they run, so that `--help` and a wrong option answer at once.
@main.command("list")
@click.option("--all", "everything", is_flag=True, help="A line for each data set of large included manifests, too")
@manifest_options
@json_option
def list_(everything: bool, manifest: Path | None, home: Path | None, as_json: bool) -> None:
    """List data sets: format, shape, splits, size, what is on disk.

    Of an included manifest with many of them, such as the classics, the names alone are listed.

    \b
      tinytorch-datasets list
      tinytorch-datasets list --all
      tinytorch-datasets list --json
    """
    from tinytorch_datasets.cli import listing
    from tinytorch_datasets.concurrency import collection_paused

    with collection_paused():
        rows = list(listing.rows(listed(manifest)[1].values(), home))
        if as_json:
            echo_json(rows)
            return
        listing.print_rows(rows, "" if everything else settings.manifest_path(manifest))


@main.command()
@click.argument("name", shell_complete=complete_names)
@manifest_options
@json_option
def info(name: str, manifest: Path | None, home: Path | None, as_json: bool) -> None:
    """Show an entry of the manifest in full, and how to cite it.

    \b
      tinytorch-datasets info cifar10
    """
    from tinytorch_datasets.cli import listing
    from tinytorch_datasets.dataset import origin
    from tinytorch_datasets.manifest.kept import Listed

    loaded = load(manifest)
    name = loaded.name_of(name)
    if as_json:
        entry, row = loaded.entry(name), listing.row(Listed.of(loaded.declared(name)), home)
        facts = {"name": name, **entry.model_dump(mode="json"), "on_disk": row["on_disk"], "path": row["path"]}
        owner = loaded.owner(name)
        echo_json({**facts, "provenance": origin(name, entry.files, owner.path, owner.sha256)})
    else:
        listing.print_entry(loaded, name, home)


@main.command()
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=complete_names)
@click.option("--all", "everything", is_flag=True, help="Every data set of the manifest, but for included ones")
@click.option("--mirror", metavar="URL_OR_FOLDER", help="Try this before the declared mirrors")
@click.option("--offline", is_flag=True, default=None, help="Open no socket; report what is missing")
@click.option("--verify", type=click.Choice(["auto", "always"]), default="auto", help="Hash every byte again: always")
@click.option("--variant", metavar="NAME", help="The same values from another container")
@manifest_options
@json_option
def get(
    names: tuple[str, ...],
    everything: bool,
    mirror: str | None,
    offline: bool | None,
    verify: Any,
    variant: str | None,
    manifest: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Download, verify and decode data sets; print what they hold.

    \b
      tinytorch-datasets get mnist cifar10
      tinytorch-datasets get --all --mirror /media/usb/datasets
    """
    from tinytorch_datasets.cli import listing
    from tinytorch_datasets.report import shown

    chosen, known = listed(manifest, offline)
    # A wrong name is reported before the first byte is downloaded.
    wanted = names_to_get(names, known, manifest, everything=everything)
    results, errors = list[dict[str, Any]](), list[DatasetError]()
    for name in wanted:
        row = listing.row(known[name], home)
        if known[name].is_untried and row["on_disk"] != "all":
            from tinytorch_datasets.pipeline import UNTRIED

            echo(f"{name}: {UNTRIED}", err=True)
        is_plain = mirror is None and variant is None and verify == "auto"
        splits, is_standin = row["splits"], False
        try:
            if not (is_plain and listing.is_decoded(row, manifest, home)):
                from tinytorch_datasets import api

                with warnings_as_messages():
                    dataset = api.get(
                        name,
                        manifest=chosen,
                        home=home,
                        mirror=mirror,
                        offline=offline,
                        verify=verify,
                        variant=variant,
                    )
                splits = {split: len(samples) for split, samples in dataset.items()}
                row, is_standin = listing.row(known[name], home), dataset.is_standin
        except DatasetError as error:  # the others are wanted all the same
            errors.append(error)
            continue
        path = None if is_standin else row["path"]
        results.append({"name": name, "splits": splits, "path": path})
        if not as_json:
            echo(f"{name}: {listing.counts(splits)}; {shown(path) if path else 'stand-in data'}")
    if as_json:
        echo_json(results)
    exit_with(errors)


@main.command()
@click.argument("name", shell_complete=complete_names)
@click.option("--split", metavar="SPLIT", help="Of this split; the first one if left out")
@click.option("--count", type=click.IntRange(min=1), default=10, show_default=True, help="How many samples")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Another seed, others")
@click.option("--class", "named", metavar="CLASS", help="Only samples of this class")
@click.option("--index", "indices", type=click.IntRange(min=0), multiple=True, help="This sample, counted from 0")
@click.option("--histogram", is_flag=True, help="How many samples of each class, by split")
@click.option("--output", type=LocalPath(path_type=Path), metavar="FILE", help="Write what is drawn to this PNG file")
@click.option("--standin", is_flag=True, default=None, help="Of made-up data; downloads nothing")
@manifest_options
@json_option
def show(
    name: str,
    split: str | None,
    count: int,
    seed: int,
    named: str | None,
    indices: tuple[int, ...],
    histogram: bool,
    output: Path | None,
    standin: bool | None,
    manifest: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Show samples: pictures and waveforms drawn, texts written out.

    Pictures are as large as the terminal allows. --index may be given several times.

    \b
      tinytorch-datasets show tinytalks --split val --count 3
      tinytorch-datasets show cifar10 --class frog --output frogs.png
    """
    from tinytorch_datasets import api
    from tinytorch_datasets.cli import listing

    if indices and named is not None:
        msg = "--index says which samples, and --class which to draw from: leave one out"
        raise click.UsageError(msg)
    if histogram and (indices or named is not None or output is not None):
        msg = "--histogram counts every sample of a split: leave out --index, --class and --output"
        raise click.UsageError(msg)
    loaded = load(manifest)
    with warnings_as_messages():
        dataset = api.get(name, manifest=loaded, home=home, standin=standin)
    if histogram:
        counted = listing.histogram(dataset, [dataset[split].name] if split else list(dataset))
        if as_json:
            echo_json(counted)
        else:
            listing.show_counts(counted)
        return
    samples = listing.chosen(
        loaded.entry(name), dataset[split or next(iter(dataset))], count, seed=seed, named=named, indices=indices
    )
    if output is not None:
        listing.save(samples, output)
    if as_json:
        echo_json(samples.plain())
    elif output is not None:
        listing.list_captions(samples)
    else:
        listing.show(samples)


@main.command()
@click.argument("name", shell_complete=complete_names)
@manifest_options
@json_option
def path(name: str, manifest: Path | None, home: Path | None, as_json: bool) -> None:
    """Print the folder that a data set's files are in.

    \b
      ls $(tinytorch-datasets path mnist)
    """
    from tinytorch_datasets.cli import listing

    known = listed(manifest)[1]
    name = resolve(name, known, manifest)
    row = listing.row(known[name], home)
    if as_json:
        echo_json({key: row[key] for key in ("name", "path", "on_disk")})
        return
    echo(row["path"])
    if row["on_disk"] != "all":
        echo(repeat_options(f"on disk: {row['on_disk']}; `tinytorch-datasets get {name}` downloads it"), err=True)


@main.command()
@click.argument("name", shell_complete=complete_names)
@click.option("--as", "kind", required=True, type=click.Choice(known()), help="As what")
@click.option(
    "--output", type=LocalPath(path_type=Path), metavar="PATH", help="The folder to make [default: NAME-KIND]"
)
@click.option("--force", is_flag=True, help="Replace an earlier export")
@click.option("--no-values", is_flag=True, help="Of croissant: no samples; downloads nothing")
@click.option("--mirror", metavar="URL_OR_FOLDER", help="Try this before the declared mirrors")
@click.option("--offline", is_flag=True, default=None, help="Open no socket; report what is missing")
@manifest_options
@json_option
def export(
    name: str,
    kind: str,
    output: Path | None,
    force: bool,
    no_values: bool,
    mirror: str | None,
    offline: bool | None,
    manifest: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Write a data set in another format, with SHA256SUMS.

    For programs without this package. What is missing is downloaded, and every byte is verified.
    bibtex, and croissant with --no-values, are one text, which goes to stdout without --output.

    \b
      tinytorch-datasets export mnist --as npz
      tinytorch-datasets export cifar10 --as png --output cifar10
      tinytorch-datasets export tinydigits --as bibtex
    """
    from tinytorch_datasets.exporting import export as exporting
    from tinytorch_datasets.mirror.copy import sums_in
    from tinytorch_datasets.progress import readable
    from tinytorch_datasets.report import plural, shown
    from tinytorch_datasets.storage.files import bytes_below

    on_interrupt(NOT_EXPORTED)
    loaded, values = load(manifest, offline), not no_values
    if output is None and exporting.is_text(kind, values=values):
        text = exporting.text_of(name, kind, manifest=loaded)
        if as_json:
            echo_json({"name": loaded.name_of(name), "kind": kind, "text": text})
        else:
            echo_document(text)
        return
    path = exporting.export(
        name,
        kind,
        output,
        force=force,
        values=values,
        manifest=loaded,
        home=home,
        mirror=mirror,
        offline=offline,
    )
    name, size, files = loaded.name_of(name), bytes_below(path), sums_in(path)
    if as_json:
        echo_json({"name": name, "kind": kind, "path": str(path), "bytes": size, "files": files})
    else:
        echo(f"{name}: {shown(str(path))}; {plural(len(files) + 1, 'file') + ', ' if files else ''}{readable(size)}")


@main.command("schema")
def schema_() -> None:
    """Print the JSON Schema of the manifest, for editors that complete and check it.

    \b
      tinytorch-datasets schema > datasets.schema.json
    """
    from tinytorch_datasets.manifest import generated

    echo_document(generated.format_schema())


for command in (*project.COMMANDS, *audit.COMMANDS, *maintain.COMMANDS):
    main.add_command(command)

main.sections = {
    "Get and look": ("list", "info", "get", "show", "path", "export", "clean"),
    "Check": ("doctor", "audit", "config"),
    "Declare and share": ("init", "add", "catalog", "mirror"),
}
