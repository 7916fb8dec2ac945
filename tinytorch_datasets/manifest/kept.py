"""Kept forms of manifests: checked entries in the user's cache, for next time.

Reading ten thousand entries as YAML and checking them takes seconds; reading this form of them, a fraction of one, and
neither YAML nor Pydantic. It is written after a manifest was found right, and counts while nothing that was found right
can have changed: the bytes of each file that took part, by sha256 and by no time of a file system; where each item of
`include` leads; which folders are meant; and the code that checked it, with its libraries. In every other case, and if
it is damaged, the YAML is read, so that whatever is wrong is reported in the same words and with the same lines.

What is kept is of the user's own making, in a folder that is the user's alone, or else it is not looked at. What lies
beside a manifest never counts. The packaged manifests have a compiled form of their own: see `generated.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import stat
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets import settings
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.manifest.generated import canonical_name, compiled_path
from tinytorch_datasets.plan import NEVER, Declared
from tinytorch_datasets.storage.files import unlink, write_if_possible
from tinytorch_datasets.storage.memmap import StatSignature, open_regular, read_regular, stat_signature

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.format_options import Formats
    from tinytorch_datasets.manifest.manifest import Manifest

FOLDER = "compiled"  # in the user's cache folder
ENDING = ".json"
# Raise it when what is kept, or how, changes.
LAYOUT = 1

# What parses the text and checks the values, and its file that has the version: another may refuse what this one took.
LIBRARIES = {"yaml": "__init__.py", "pydantic": "version.py"}

# How many data sets are in a list of entries: one is asked for, or all of them.
IN_A_LIST = 100
# A manifest of ten thousand data sets takes 8 MB. What is larger than the first is not kept.
MOST_BYTES = 64 * 2**20
MOST_BYTES_IN_ALL = 256 * 2**20
MOST_KEPT = 64
DAY = 24 * 60 * 60
UNUSED_DAYS = 90


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
    folder = Path(settings.user_cache(), FOLDER)
    key = hashlib.sha256(os.fsencode(manifest)).hexdigest()[:32]
    return folder / f"{key}{ENDING}" if folder.is_absolute() else None


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
    lines = [b"", encode([_layout(), str(manifest.path), layers, aliases]).encode()]
    every = [(layer, name) for layer in manifest.layers for name in layer.own]
    for first in range(0, len(every), IN_A_LIST):
        few = every[first : first + IN_A_LIST]
        lines.append(encode([layer.plain(name) for layer, name in few]).encode())
        lines.append(encode([layer.lines_of(name) for layer, name in few]).encode())
    if sum(map(len, lines)) > MOST_BYTES or not _makes_private(path.parent):
        return
    lines[0] = _digest(lines[1:])
    write_if_possible(path, b"\n".join(lines))
    _remove_old(path.parent)


def forget(manifest: Path) -> int:
    """Remove what is kept of a manifest, and return the bytes freed."""
    path, size = kept_path(manifest), bytes_of(manifest)
    try:
        if path is not None:
            unlink(path)
    except OSError:
        return 0
    return size


def bytes_of(manifest: Path) -> int:
    """Return how many bytes are kept of a manifest."""
    path = kept_path(manifest)
    with contextlib.suppress(OSError):
        return path.stat().st_size if path is not None else 0
    return 0


def _layout() -> list[Any]:
    libraries = [library_signature(name, file) for name, file in LIBRARIES.items()]
    return [LAYOUT, VERSION, sys.version, code_signature(Path(__file__).resolve().parent.parent), *libraries]


def code_signature(package: Path) -> str:
    """Return what changes with the code of a package: in a clone, its version stays what it was for weeks."""
    hashed = hashlib.sha256()
    for folder, below, files in os.walk(package):
        below[:] = sorted(name for name in below if name != "__pycache__")
        for file in sorted(files):
            # An editor marks the file that it edits by a link to nothing, of nearly the same name.
            with contextlib.suppress(OSError):
                if file.endswith(".py"):
                    about = Path(folder, file).stat()
                    hashed.update(f"{file} {about.st_size} {about.st_mtime_ns}\n".encode())
    return hashed.hexdigest()


def library_signature(name: str, file: str) -> str:
    """Return what changes with the version of a library that takes long to import; "" where it is not installed."""
    with contextlib.suppress(OSError, ValueError):
        if (spec := importlib.util.find_spec(name)) is not None and spec.origin:
            return hashlib.sha256(Path(spec.origin).with_name(file).read_bytes()).hexdigest()
    return ""


def _current(manifest: Path) -> _Kept | None:
    """Read what is kept of a manifest; None unless it is all there, the user's own, and of what it is now."""
    try:
        path = kept_path(manifest)
        if path is None or compiled_path(manifest) is not None or not _is_private(path.parent):
            return None
        digest, *lines = _read_own(path).split(b"\n")
        if _digest(lines) != digest:
            return None
        head, *lists = lines
        layout, kept_of, plain, aliases = json.loads(head)
        if layout != _layout() or kept_of != str(manifest):
            return None
        layers = [_Layer(*layer) for layer in plain]
        signatures = [stat_signature(layer.path) for layer in layers]  # of before they are read
        if not all(map(_is_as_it_was, layers)):
            return None
        if path.stat().st_mtime < time.time() - DAY:
            with contextlib.suppress(OSError):  # on a disk that is only read
                os.utime(path)  # it is in use
        return _Kept(layers, signatures, aliases, lists)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        # Absent, damaged or of something else: all the same, because the manifest itself says what it would say.
        return None


def _digest(lines: Iterable[bytes]) -> bytes:
    """Return the sha256 of lines with their ends, in hex digits."""
    hashed = hashlib.sha256()
    for line in lines:
        hashed.update(line + b"\n")
    return hashed.hexdigest().encode()


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


def _read_own(path: Path) -> bytes:
    """Read a file that nobody but this user can have written.

    Raises:
        OSError: It is not there, or another's, or a link.
    """
    if path.is_symlink():
        raise PermissionError
    with os.fdopen(open_regular(path), "rb") as file:
        about = os.fstat(file.fileno())
        if about.st_size > 2 * MOST_BYTES or (hasattr(os, "geteuid") and about.st_uid != os.geteuid()):
            raise PermissionError
        return file.read()


def _is_private(folder: Path) -> bool:
    """Check whether a folder is this user's, and nobody else may look into it or write there.

    On Windows a user's folders are that by inheritance, and no mode says so.
    """
    about = os.lstat(folder)
    if not stat.S_ISDIR(about.st_mode):
        return False
    return not hasattr(os, "geteuid") or (about.st_uid == os.geteuid() and not stat.S_IMODE(about.st_mode) & 0o077)


def _makes_private(folder: Path) -> bool:
    """Make that folder, if it is missing, and check whether it is the user's alone.

    Nothing is made in a folder of somebody else's, such as that of the user for whom `sudo` works, nor in one that
    others use as well: whoever lists would be the only one who may download to what is made there.
    """
    try:
        above = next(part for part in folder.parents if part.exists())
        if hasattr(os, "geteuid") and not _is_own(above.stat()):
            return False
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return _is_private(folder)
    except OSError:
        return False


def _is_own(about: os.stat_result) -> bool:
    """Check whether a folder is this user's, and no other may write to it, but for the group that is theirs alone."""
    by_group = about.st_mode & stat.S_IWGRP and about.st_gid != os.getegid()
    return about.st_uid == os.geteuid() and not by_group and not about.st_mode & stat.S_IWOTH


def _remove_old(folder: Path) -> None:
    """Remove what nobody used for long, and the oldest of what is too much."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        files = [(entry.stat(follow_symlinks=False), entry.path) for entry in entries if entry.is_file()]
        of_all, oldest = 0, time.time() - UNUSED_DAYS * DAY
        for number, (about, path) in enumerate(sorted(files, key=lambda file: file[0].st_mtime, reverse=True)):
            of_all += about.st_size
            is_left = not path.endswith(ENDING) and about.st_mtime < time.time() - DAY  # by a writer that was killed
            if number >= MOST_KEPT or of_all > MOST_BYTES_IN_ALL or about.st_mtime < oldest or is_left:
                unlink(Path(path))
