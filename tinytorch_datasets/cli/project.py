"""The commands `init` and `config`: a first manifest, and what is in force."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import click

from tinytorch_datasets import settings
from tinytorch_datasets.cli.common import echo, echo_json, json_option, load, manifest_options, writing_to

SCHEMA = "datasets.schema.json"

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

WHY = {
    "given": "by --manifest",
    "variable": f"by {settings.MANIFEST}",
    "found": "in this folder, or the nearest one above it that has one",
    "packaged": "came with the library: no other is given, and none found in this folder or above",
}


def first_manifest() -> str:
    """Return the text of a first manifest: the smallest whole one, with an example in comments."""
    import hashlib

    return FIRST.replace("{digest}", hashlib.sha256(FLOWERS).hexdigest())


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a first manifest into a folder, on top of the packaged one, and its schema, for editors.

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
    refuse_installed(path)
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
    if why_not := settings.why_not_taken(str(path)):
        echo(f"{path}: written; to be named by --manifest or {settings.MANIFEST}, because {why_not}")
    else:
        echo(f"{path}: written; `get` and every command use it in this folder and below")


@click.command()
@manifest_options
@json_option
def config(manifest: Path | None, home: Path | None, as_json: bool) -> None:
    """Print what is in force here, and why: the manifest, its folders, the mirror.

    \b
      tinytorch-datasets config
    """
    facts = _facts(manifest, home)
    if as_json:
        echo_json(facts)
        return
    width = max(len(str(fact["value"])) for fact in facts)
    for fact in facts:
        echo(f"{fact['name']:<10}{fact['value']!s:<{width}}  {fact['why']}".rstrip())


def _facts(manifest: Path | None, home: Path | None) -> list[dict[str, Any]]:
    from tinytorch_datasets import pipeline

    path, why = settings.chosen_manifest(manifest)
    chosen, loaded = settings.Settings.from_environment(), load(Path(path))
    facts = [{"name": "manifest", "value": path, "why": WHY[why]}]
    others = settings.files_above() if why in ("found", "packaged") else ()
    nearer = itertools.takewhile(lambda file: file[0] != path, others)
    facts += [{"name": "not taken", "value": other, "why": why_not} for other, why_not in nearer if why_not]
    facts += [{"name": "includes", "value": str(layer.path), "why": ""} for layer in loaded.layers[1:]]
    for layer in loaded.layers:
        where = pipeline.locations(layer, home)
        if home is not None:
            why = "by --home"
        elif chosen.homes:
            why = f"by {settings.HOME}"
        elif settings.is_installed(str(layer.path.parent)):
            why = "the user's cache: nothing is written into an installed package"
        elif layer.download_to == settings.DOWNLOAD_TO:
            why = "beside the manifest, in the usual folder"
        else:
            why = f"by download_to of {layer.path}"
        facts += [{"name": "downloads", "value": str(folder), "why": why} for folder in where.homes]
        if home is not None or chosen.homes:
            break
    facts += [
        {"name": "shipped", "value": str(layer.path.parent / layer.shipped_in), "why": f"by {layer.path}"}
        for layer in loaded.layers
        if any(entry.status == "shipped" for entry in layer.own.values())
    ]
    facts.append({"name": "mirror", "value": chosen.mirror or "none", "why": _by(settings.MIRROR)})
    facts.append({"name": "offline", "value": "yes" if chosen.offline else "no", "why": _by(settings.OFFLINE)})
    return facts


def _by(variable: str) -> str:
    return f"by {variable}" if os.environ.get(variable) else f"{variable} is not set"
