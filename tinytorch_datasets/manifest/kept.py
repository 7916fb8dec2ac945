"""Kept forms of manifests: checked entries in the user's cache, for next time.

Reading ten thousand entries as YAML and checking them takes seconds; reading this form of them, a fraction of one, and
neither YAML nor Pydantic. It is written after a manifest was found right, and counts while nothing that was found right
can have changed: the bytes of each file that took part, by sha256 and by no time of a file system; where each item of
`include` leads; which folders are meant; and the code that checked it, with its libraries. In every other case, and if
it is damaged, the YAML is read, so that whatever is wrong is reported in the same words and with the same lines.

What is kept is of the user's own making, see `private_cache.py`; what lies beside a manifest never counts. The packaged
manifests have a compiled form of their own: see `generated.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets import settings
from tinytorch_datasets.manifest.generated import canonical_name, compiled_path
from tinytorch_datasets.plan import NEVER, Declared
from tinytorch_datasets.storage import private_cache
from tinytorch_datasets.storage.memmap import StatSignature, read_regular, stat_signature

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.format_options import Formats
    from tinytorch_datasets.manifest.manifest import Manifest

# Raise it when what is kept, or how, changes.
LAYOUT = 1

# What parses the text and checks the values, and its file that has the version: another may refuse what this one took.
LIBRARIES = {"yaml": "__init__.py", "pydantic": "version.py"}

# How many data sets are in a list of entries: one is asked for, or all of them.
IN_A_LIST = 100


class Listed(NamedTuple):
    """One data set as a list of them has it: its entry in plain values, and what its manifest says of folders."""

    name: str
    manifest: Path
    download_to: str
    shipped_in: str
    entry: Mapping[str, Any]
    is_included: bool

    @classmethod
    def of(cls, declared: Declared) -> Listed:
        """Return the same of what all stages get."""
        folders = (declared.download_to, declared.shipped_in)
        return cls(declared.plan.name, declared.manifest, *folders, declared.entry, bool(declared.included_by))

    @property
    def folder(self) -> str:
        """The folder of its files, below that of downloads or of the shipped data."""
        return self.entry.get("folder") or self.name

    @property
    def is_untried(self) -> bool:
        """Check whether the entry says that nobody has read the real files by it yet."""
        return bool(self.entry.get("tried") == NEVER)


class _Layer(NamedTuple):
    """One of the files that a manifest is made of, as it was when all of them were found right."""

    path: str
    sha256: str
    download_to: str
    shipped_in: str
    shipped: str  # where that folder is: no two layers may allow it another size
    leads_to: Mapping[str, str]
    names: list[str]


class _Kept(NamedTuple):
    """What is kept of a manifest: its layers, and for every few data sets two lists in JSON, entries and lines."""

    layers: list[_Layer]
    signatures: list[StatSignature]
    aliases: Mapping[str, list[str]]
    lists: list[bytes]

    @property
    def every(self) -> list[tuple[int, str]]:
        """The name of each data set in order, and the number of its layer."""
        return [(number, name) for number, layer in enumerate(self.layers) for name in layer.names]


def kept_path(manifest: Path) -> Path | None:
    """Return where the form of a manifest is kept; None where nobody knows a home folder for this user."""
    path = private_cache.path_of(private_cache.FORMS, manifest)
    return Path(path) if path else None


def listed(manifest: Path) -> dict[str, Listed]:
    """Return every data set of a manifest, by name; none unless it is kept as it is now."""
    kept = _current(manifest)
    if kept is None:
        return {}
    entries = (entry for few in kept.lists[::2] for entry in json.loads(few))
    folders = [(Path(layer.path), layer.download_to, layer.shipped_in) for layer in kept.layers]
    return {
        name: Listed(name, *folders[number], entry, is_included=number > 0)
        for (number, name), entry in zip(kept.every, entries, strict=True)
    }


def names(manifest: Path) -> list[str]:
    """Return the names of its data sets; none unless it is kept as it is now."""
    kept = _current(manifest)
    return [name for _, name in kept.every] if kept else []


def declared(manifest: Path, name: str, formats: Formats) -> Declared | None:
    """Return what a manifest declares of one data set; None unless it is kept as it is now, with such a name.

    That one entry is made a model of, and a plan, by the code that does it for whole manifests.
    """
    kept = _current(manifest)
    if kept is None:
        return None
    of_names = {its: (at, number) for at, (number, its) in enumerate(kept.every)}
    canonical = canonical_name(name, {its: kept.aliases.get(its, ()) for its in of_names})
    if canonical is None:
        return None
    from tinytorch_datasets.manifest.manifest import Manifest  # and with it Pydantic
    from tinytorch_datasets.manifest.models import Declarations
    from tinytorch_datasets.manifest.yaml_reader import ParsedYaml

    at, number = of_names[canonical]
    layer, signature = kept.layers[number], kept.signatures[number]
    first = at // IN_A_LIST * 2
    entry, lines = (json.loads(few)[at % IN_A_LIST] for few in kept.lists[first : first + 2])
    folders = {"download_to": layer.download_to, "shipped_in": layer.shipped_in}
    plain = {"version": 1, **folders, "datasets": {canonical: entry}}
    parsed = ParsedYaml.of_kept(Path(layer.path), layer.sha256, plain, ("datasets", canonical), lines)
    made = Manifest(parsed, Declarations.model_validate(plain), signature, formats).declared(canonical)
    others = zip(kept.layers, kept.signatures, strict=True)
    including = {
        other.path: (other.sha256, its, other.leads_to) for other, its in others if number and other is not layer
    }
    return made._replace(included_by=including)


def listed_of(manifest: Manifest) -> dict[str, Listed]:
    """Return every data set of a manifest that was read now, as `listed` does of one that was kept."""
    return {
        name: Listed(
            name, layer.path, layer.download_to, layer.shipped_in, layer.plain(name), is_included=layer is not manifest
        )
        for layer in manifest.layers
        for name in layer.own
    }


def keep(manifest: Manifest) -> None:
    """Keep a manifest that was found right, for next time; where nothing can be kept, nothing is."""
    path = kept_path(manifest.path)
    if path is None or not manifest.signature or compiled_path(manifest.path) is not None:
        return
    encode = json.JSONEncoder(separators=(",", ":"), default=list).encode
    layers = [
        _Layer(
            path=str(layer.path),
            sha256=layer.sha256,
            download_to=layer.download_to,
            shipped_in=layer.shipped_in,
            shipped=os.path.realpath(layer.path.parent / layer.shipped_in),
            leads_to=layer.leads_to,
            names=[*layer.own],
        )
        for layer in manifest.layers
    ]
    # A link that was changed while they were read leads to what is no layer.
    checked = {os.path.realpath(layer.path) for layer in layers}
    if any(target not in checked for layer in layers for target in layer.leads_to.values()):
        return
    aliases = {name: entry.aliases for name, entry in manifest.datasets.items() if entry.aliases}
    lines = [encode([_layout(), str(manifest.path), layers, aliases]).encode()]
    every = [(layer, name) for layer in manifest.layers for name in layer.own]
    for first in range(0, len(every), IN_A_LIST):
        few = every[first : first + IN_A_LIST]
        lines.append(encode([layer.plain(name) for layer, name in few]).encode())
        lines.append(encode([layer.lines_of(name) for layer, name in few]).encode())
    private_cache.write(str(path), lines)


def forget(manifest: Path) -> int:
    """Remove what is kept of a manifest, and return the bytes freed."""
    return private_cache.forget(private_cache.FORMS, manifest)


def bytes_of(manifest: Path) -> int:
    """Return how many bytes are kept of a manifest."""
    return private_cache.bytes_of(private_cache.FORMS, manifest)


def _layout() -> list[Any]:
    return private_cache.layout(LAYOUT, LIBRARIES)


def _current(manifest: Path) -> _Kept | None:
    """Read what is kept of a manifest; None unless it is all there, the user's own, and of what it is now."""
    try:
        path = kept_path(manifest)
        lines = private_cache.read(str(path)) if path is not None and compiled_path(manifest) is None else None
        if not lines:
            return None
        head, *lists = lines
        layout, kept_of, plain, aliases = json.loads(head)
        if layout != _layout() or kept_of != str(manifest):
            return None
        layers = [_Layer(*layer) for layer in plain]
        signatures = [stat_signature(layer.path) for layer in layers]  # of before they are read
        if not all(map(_is_as_it_was, layers)):
            return None
        return _Kept(layers, signatures, aliases, lists)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        # Absent, damaged or of something else: all the same, because the manifest itself says what it would say.
        return None


def _is_as_it_was(layer: _Layer) -> bool:
    if hashlib.sha256(read_regular(layer.path)).hexdigest() != layer.sha256:
        return False
    if os.path.realpath(Path(layer.path).parent / layer.shipped_in) != layer.shipped:
        return False
    return all(_leads_to(item, layer.path) == target for item, target in layer.leads_to.items())


def _leads_to(item: str, including: str) -> str:
    """Return the file that an item of `include` leads to now."""
    if not (path := settings.included_path(item, including)):
        from tinytorch_datasets.manifest.loading import path_of_package  # and with it all that a kept form saves

        path = str(path_of_package(item))
    return os.path.realpath(path)
