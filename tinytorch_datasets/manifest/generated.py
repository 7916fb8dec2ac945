"""Generated files: the packaged manifests' compiled form, and the JSON Schema.

Beside `datasets.yaml` is `datasets.compiled.json`, which `tinytorch-datasets compile` writes: every entry as a plan;
and beside each file that it includes, such as `classics.yaml`, one of its own, which is read only for its data sets.
With it a data set comes without reading YAML or importing Pydantic, which take nearly as long as MNIST takes to
inflate. It counts for the very bytes that were validated, included ones too, and the version of this package that did
it; for any other, or when it is damaged, the YAML is read.

It is part of the package, and trusted as its code is. A manifest of somebody else's is always read and checked,
whatever lies beside it. `audit` compiles the packaged ones again and compares.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets import settings
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.storage.memmap import StatSignature, read_regular, stat_signature

if TYPE_CHECKING:  # to import these takes as long as to hash MNIST, and who asks for digests needs none
    from pathlib import Path

    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.plan import Column, Declared, Plan, Rows, Split
    from tinytorch_datasets.storage.cache_entry import CacheEntry

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Raise it when what a compiled manifest says, or how, changes.
LAYOUT = [5, VERSION]

# Absent, damaged or of another origin: all the same, because the manifest itself says what it would say.
_UNUSABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)

# The packaged manifest, and what it includes: all of one folder.
_PACKAGED = ("datasets.yaml", "classics.yaml")


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
    """Return where the compiled form of a manifest is kept: beside the packaged ones; None for any other.

    >>> from pathlib import Path
    >>> compiled_path(Path(settings.packaged_manifest())).name
    'datasets.compiled.json'
    >>> compiled_path(Path("course") / "datasets.yaml")
    """
    from pathlib import Path

    beside = _compiled_beside(os.fspath(manifest))
    return None if beside is None else Path(beside)


def _compiled_beside(manifest: str) -> str | None:
    folder, name = os.path.split(manifest)
    is_packaged = name in _PACKAGED and folder == os.path.dirname(settings.packaged_manifest())
    return os.path.join(folder, f"{os.path.splitext(name)[0]}.compiled.json") if is_packaged else None


def value_digests(entry: CacheEntry) -> dict[str, str] | None:
    """Return the digests that a compiled manifest declares of a cache entry's values, by column (``train.images``).

    None unless it was compiled as it is now, and the entry is of the files that it declares, and opens the same splits,
    fields and classes. No plan is made: that takes as long as hashing MNIST.
    """
    try:
        plan, declared, opened = _layer(entry.declared_in).datasets[entry.name]
        containers = [{file["sha256"] for file in one["files"]} for one in (plan, *plan["variants"])]
        if {*entry.files.values()} not in containers or entry.entry != declared or _opened_by(entry) != opened:
            return None
        columns = [column for split in plan["splits"] for column in split["columns"].values()]
        return {f"{column['split']}.{column['field']}": column["sha256"] for column in columns if column["sha256"]}
    except _UNUSABLE:
        return None


def _opened(plan: Plan) -> list[Any]:
    """Return what decides how arrays are opened, beside the arrays: what values mean, and under which names."""
    splits = []
    for split in plan.splits:
        columns = split.columns.items()
        fields = [field for field, column in columns if column.per == "sample"]
        texts = [field for field, column in columns if column.per == "split"]
        scales = {field: column.scale for field, column in columns if column.scale is not None}
        ragged = {field: column.shape for field, column in columns if column.is_ragged and not column.is_encoded}
        rates = {field: rate for field, column in columns if (rate := plan.frame_rate(column)) is not None}
        encoded = {field: "by a plan alone" for field, column in columns if column.is_encoded}
        splits.append([split.name, fields, texts, scales, ragged, rates, encoded])
    return [plan.classes, splits, plan.rank]


def _opened_by(entry: CacheEntry) -> list[Any]:
    """Return the same of a cache entry that was read, as JSON has it."""
    splits = [[it.name, [*it.fields], [*it.texts], *it[3:7]] for it in entry.splits]
    return [entry.classes and [*entry.classes], splits, entry.rank]


def declared(manifest: Path, name: str) -> Declared | None:
    """Return what the manifest declares of one data set; None unless it was compiled as it is now, with such a name."""
    return next(iter(every(manifest, name).values()), None)


class _Layer(NamedTuple):
    """One manifest as it was compiled, and the sha256 of each that it includes, by its name in the same folder."""

    path: str
    signature: StatSignature
    sha256: str
    download_to: str
    shipped_in: str
    included: Mapping[str, str]
    datasets: Mapping[str, Any]


def every(manifest: Path, *names: str) -> dict[str, Declared]:
    """Return what the manifest declares, by name; of these names or aliases only, if any; empty unless compiled now."""
    try:
        layers = [_layer(os.fspath(manifest))]
        if names and len(chosen := _chosen(layers[0], names, {})) == len(names):
            return chosen
        layers += [_layer(os.fspath(manifest.with_name(name)), sha256) for name, sha256 in layers[0].included.items()]
        leads_to = {name: str(manifest.with_name(name).resolve()) for name in layers[0].included}
        every_one: dict[str, Declared] = {}
        for layer in layers:
            # Any of them may come to declare the same name, which would be an error.
            others = {
                other.path: (other.sha256, other.signature, leads_to if other is layers[0] else {})
                for other in layers
                if other is not layer
            }
            every_one |= _chosen(layer, names, others if layer is not layers[0] else {})
        return every_one
    except _UNUSABLE:
        return {}


def _layer(manifest: str, expected: str = "") -> _Layer:
    beside = _compiled_beside(manifest)
    if beside is None:
        raise FileNotFoundError
    kept = json.loads(read_regular(beside))
    # Of before it is read, as everywhere: a change since then is a change.
    about = stat_signature(manifest)
    sha256 = hashlib.sha256(read_regular(manifest)).hexdigest()
    layout, compiled_from, *facts = kept
    if layout != LAYOUT or compiled_from != sha256 or expected not in ("", sha256):
        raise ValueError
    download_to, shipped_in, included, datasets = facts
    return _Layer(manifest, about, sha256, download_to, shipped_in, included, datasets)


def _chosen(
    layer: _Layer, names: Sequence[str], included_by: Mapping[str, tuple[str, StatSignature, Mapping[str, str]]]
) -> dict[str, Declared]:
    from pathlib import Path

    from tinytorch_datasets.plan import Declared

    aliases = {name: entry.get("aliases", ()) for name, (_, entry, _) in layer.datasets.items()}
    wanted = {canonical_name(name, aliases) for name in names} if names else aliases.keys()
    facts = (Path(layer.path), layer.signature, layer.sha256, layer.download_to, layer.shipped_in)
    return {
        name: Declared(*facts, _plan(plan), dict(entry), dict(included_by))
        for name, (plan, entry, _) in layer.datasets.items()
        if name in wanted
    }


def format_compiled(manifest: Manifest) -> bytes:
    """Return the compiled form of a manifest: of its own data sets, and of which files it includes."""
    import dataclasses
    from pathlib import Path

    of = [manifest.declared(name) for name in manifest.own]
    datasets = {one.plan.name: [dataclasses.asdict(one.plan), one.entry, _opened(one.plan)] for one in of}
    included = {layer.path.name: layer.sha256 for layer in manifest.layers[1:]}
    kept = [LAYOUT, manifest.sha256, manifest.download_to, manifest.shipped_in, included, datasets]
    return json.dumps(kept, indent=1, default=Path.as_posix).encode() + b"\n"


def _plan(plain: Mapping[str, Any]) -> Plan:
    from pathlib import Path

    from tinytorch_datasets.plan import File, Plan

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
    from tinytorch_datasets.plan import Shard, Split

    return Split(
        **{
            **plain,
            "columns": {field: _column(column) for field, column in plain["columns"].items()},
            "file": _path(plain["file"]),
            "members": tuple(plain["members"]),
            "member": tuple(plain["member"]),
            "shards": tuple(Shard(**{**shard, "files": tuple(shard["files"])}) for shard in plain["shards"]),
        }
    )


def _column(plain: Mapping[str, Any]) -> Column:
    from pathlib import Path

    from tinytorch_datasets.plan import Column

    # What is a list in JSON is a tuple in a plan.
    own: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    return Column(**{**own, "file": Path(own["file"]), "rows": _rows(own["rows"])})


def _rows(plain: Mapping[str, Any] | None) -> Rows | None:
    if plain is None:
        return None
    from tinytorch_datasets.plan import Names, Rows

    columns = {key: _column(plain[key]) for key in ("listed", "where") if plain[key] is not None}
    lists: dict[str, Any] = {key: tuple(plain[key]) for key in ("after", "equals")}
    lists["without"] = tuple(filter(None, map(_rows, plain["without"])))
    names = Names(**plain["names"]) if plain["names"] is not None else None
    return Rows(**{**plain, **columns, **lists, "names": names})


def _path(plain: str | None) -> Path | None:
    from pathlib import Path

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
