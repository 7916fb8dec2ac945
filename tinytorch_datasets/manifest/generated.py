"""Generated files: the packaged manifest's compiled form, and the JSON Schema.

Beside `datasets.yaml` is `datasets.compiled.json`, which `tinytorch-datasets compile` writes: every entry as a plan.
With it a data set comes without reading YAML or importing Pydantic, which take nearly as long as MNIST takes to
inflate. It counts for the very bytes that were validated and the version of this package that did it; for any
other, or when it is damaged, the YAML is read.

It is part of the package, and trusted as its code is. A manifest of somebody else's is always read and checked,
whatever lies beside it. `audit` compiles the packaged one again and compares.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinytorch_datasets import settings
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.plan import Column, Declared, File, Names, Plan, Rows, Split
from tinytorch_datasets.storage.memmap import stat_signature

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Raise it when what a compiled manifest says, or how, changes.
LAYOUT = [2, VERSION]


def canonical_name(name: str, aliases: Mapping[str, Sequence[str]]) -> str | None:
    """Return the name of the data set that is asked for by its name or an alias, whatever the case of its letters.

    >>> canonical_name("CIFAR-10", {"mnist": (), "cifar10": ("cifar-10",)})
    'cifar10'
    """
    if name in aliases:
        return name
    folded = name.lower()
    return next((known for known, its in aliases.items() if folded == known or folded in its), None)


def compiled_path(manifest: Path) -> Path | None:
    """Return where the compiled form of a manifest is kept: beside the packaged one; None for any other.

    >>> compiled_path(Path(settings.packaged_manifest())).name
    'datasets.compiled.json'
    >>> compiled_path(Path("course") / "datasets.yaml")
    """
    return manifest.with_name("datasets.compiled.json") if str(manifest) == settings.packaged_manifest() else None


def declared(manifest: Path, name: str) -> Declared | None:
    """Return what the manifest declares of one data set; None unless it was compiled as it is now, with such a name."""
    return next(iter(every(manifest, name).values()), None)


def every(manifest: Path, *names: str) -> dict[str, Declared]:
    """Return what the manifest declares, by name; of these names or aliases only, if any; empty unless compiled now."""
    beside = compiled_path(manifest)
    if beside is None:
        return {}
    try:
        kept = json.loads(beside.read_bytes())
        # Of before it is read, as everywhere: a change since then is a change.
        about = stat_signature(manifest)
        sha256 = hashlib.sha256(manifest.read_bytes()).hexdigest()
        layout, compiled_from, download_to, shipped_in, datasets = kept
        if layout != LAYOUT or compiled_from != sha256:
            return {}
        aliases = {name: entry.get("aliases", ()) for name, (_, entry) in datasets.items()}
        wanted = {canonical_name(name, aliases) for name in names} if names else aliases.keys()
        return {
            name: Declared(manifest, about, sha256, download_to, shipped_in, _plan(plan), dict(entry))
            for name, (plan, entry) in datasets.items()
            if name in wanted
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # Absent, damaged or of another origin: all the same, because the manifest itself says what it would say.
        return {}


def format_compiled(of: Iterable[Declared]) -> bytes:
    """Return the compiled form of a manifest, all of whose data sets are given."""
    of = list(of)
    heads = [[one.sha256, one.download_to, one.shipped_in] for one in of[:1]] or [["", "", ""]]
    datasets = {one.plan.name: [dataclasses.asdict(one.plan), one.entry] for one in of}
    return json.dumps([LAYOUT, *heads[0], datasets], indent=1, default=Path.as_posix).encode() + b"\n"


def _plan(plain: Mapping[str, Any]) -> Plan:
    return Plan(
        **{
            **plain,
            "root": Path(plain["root"]),
            "files": tuple(File(**{**file, "urls": tuple(file["urls"])}) for file in plain["files"]),
            "splits": tuple(map(_split, plain["splits"])),
            "variants": tuple(map(_plan, plain["variants"])),
        }
    )


def _split(plain: Mapping[str, Any]) -> Split:
    return Split(
        **{
            **plain,
            "columns": {field: _column(column) for field, column in plain["columns"].items()},
            "file": _path(plain["file"]),
            "members": tuple(plain["members"]),
            "member": tuple(plain["member"]),
        }
    )


def _column(plain: Mapping[str, Any]) -> Column:
    # What is a list in JSON is a tuple in a plan.
    own: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    return Column(**{**own, "file": Path(own["file"]), "rows": _rows(own["rows"])})


def _rows(plain: Mapping[str, Any] | None) -> Rows | None:
    if plain is None:
        return None
    columns = {key: _column(plain[key]) for key in ("listed", "where") if plain[key] is not None}
    lists: dict[str, Any] = {key: tuple(plain[key]) for key in ("after", "equals")}
    lists["without"] = tuple(filter(None, map(_rows, plain["without"])))
    names = Names(**plain["names"]) if plain["names"] is not None else None
    return Rows(**{**plain, **columns, **lists, "names": names})


def _path(plain: str | None) -> Path | None:
    return None if plain is None else Path(plain)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `datasets.yaml`, made from the models and from the formats' own options.

    So an editor completes and checks exactly what `load_manifest` accepts, as far as JSON Schema can say it.

    >>> schema()["title"]
    'datasets.yaml of tinytorch-datasets'
    """
    from pydantic import TypeAdapter  # and with it all that a compiled manifest saves

    from tinytorch_datasets import formats
    from tinytorch_datasets.manifest.models import Declarations

    def options(form: formats.Format) -> dict[str, Any]:
        return {
            "description": form.summary,
            "properties": {option: TypeAdapter(kind).json_schema() for option, kind in form.options.items()},
            "required": sorted(form.required),
            "additionalProperties": False,
        }

    made = TypeAdapter(Declarations).json_schema()
    entry = made["$defs"]["Entry"]
    entry["properties"]["format"] |= {"enum": list(formats.known())}
    entry["allOf"] = [
        {
            "if": {"properties": {"format": {"const": name}}, "required": ["format"]},
            "then": {"properties": {"options": options(formats.of(name))}},
        }
        for name in formats.known()
    ]
    return {"$schema": DIALECT, **made, "title": "datasets.yaml of tinytorch-datasets"}


def format_schema() -> str:
    """Return the schema as it is committed: JSON with a newline at its end."""
    return json.dumps(schema(), indent=2) + "\n"
