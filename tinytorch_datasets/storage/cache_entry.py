"""Cache entries, by which a warm `get` opens its arrays without a stage being run.

A receipt is a data set's entry in compiled form: the folder of its decoded arrays, and the stamps (size, time of
change, inode) of the manifest, of every source file and of every array there as they were when last found right.
While all of them fit, `get` needs neither YAML nor Pydantic nor a hash: it opens the maps. When one does not,
or the receipt is damaged, or another version of the package wrote it, there is no receipt, and every stage runs.
The hashes of all of these are in it too, for whoever wants every byte read now.

A receipt speeds up and decides nothing: `audit` makes each one anew from the manifest and compares.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets._version import VERSION
from tinytorch_datasets.storage.memmap import Part, StatSignature, stat_signature

if TYPE_CHECKING:
    from pathlib import Path


# Raise it when what a receipt says, or how, changes. Byte order is part of it: a stick may travel.
LAYOUT = [3, VERSION, sys.byteorder]

# A field's parts: one for numbers, two for strings (the buffer, the places in it).
Parts = list[Part]


class CachedSplit(NamedTuple):
    """What opening one split takes. `scales` is the top of the range of fields that floats divide by."""

    name: str
    fields: Mapping[str, Parts]
    texts: Mapping[str, Part]
    scales: Mapping[str, float]


class CacheEntry(NamedTuple):
    """What opening one data set takes, and what it stands on.

    `folder` is where its decoded arrays are, those that are stamped and no others that are named like it elsewhere.
    `files` are the sha256 of the source files by path, `runs` the hashes of the arrays by column (``train.images``);
    `entry` is what the manifest has below the data set's name.
    """

    name: str
    manifest: str
    folder: str
    splits: tuple[CachedSplit, ...]
    classes: tuple[str, ...] | None
    manifest_sha256: str
    files: Mapping[str, str]
    runs: Mapping[str, Sequence[tuple[int, int, str]]]
    entry: Mapping[str, Any]
    stamps: Mapping[str, StatSignature]

    def holds(self) -> bool:
        """Whether everything it stands on is as it was."""
        try:
            return all(stat_signature(path) == seen for path, seen in self.stamps.items())
        except (OSError, ValueError):  # it is gone, or this locale has no bytes for its path
            return False

    def holds_in_every_byte(self, dataset: Mapping[str, Any]) -> bool:
        """Whether manifest, files and the arrays of the data set made from it have their hashes, all read now."""
        from tinytorch_datasets.concurrency import run_all
        from tinytorch_datasets.digests import Run, covers, holds, sha256_of

        files = {self.manifest: self.manifest_sha256, **self.files}
        jobs = [(self.stamps[path][0], partial(_is, sha256_of, path, sha256)) for path, sha256 in files.items()]
        for split in self.splits:
            for field in (*split.fields, *split.texts):
                values = dataset[split.name][field]
                runs = [Run(*run) for run in self.runs[f"{split.name}.{field}"]]
                if not covers(runs, 1 if isinstance(values, str) else len(values)):
                    return False
                for run in runs:
                    jobs.append((getattr(values[run.start : run.stop], "nbytes", 0), partial(holds, values, run)))
        try:
            return all(run_all([job for _, job in jobs], sizes=[size for size, _ in jobs]))
        except (OSError, UnicodeDecodeError):
            return False  # gone, or no text

    def is_of(self, name: str, manifest: str, caches: Iterable[str]) -> bool:
        """Whether it is of that data set of that manifest, and its arrays are in one of these caches."""
        if (self.name, self.manifest) != (name, manifest):  # a disk may take one name for another
            return False
        holder = os.path.normpath(os.path.dirname(self.folder))
        return any(holder == os.path.normpath(os.path.join(cache, "arrays")) for cache in caches)

    def same_as(self, other: CacheEntry) -> bool:
        """Whether both open the same arrays and stand on the same files, whatever the stamps of those are."""
        here, there = (json.loads(receipt._respelled().written()) for receipt in (self, other))
        return bool(here[:-1] == there[:-1] and here[-1].keys() == there[-1].keys())

    def _respelled(self) -> CacheEntry:
        """The same with its paths as this locale spells them: another one may spell the same bytes otherwise."""

        def respelled(path: str) -> str:
            return os.fsdecode(os.fsencode(path))

        return self._replace(
            manifest=respelled(self.manifest),
            folder=respelled(self.folder),
            files={respelled(path): sha256 for path, sha256 in self.files.items()},
            stamps={respelled(path): seen for path, seen in self.stamps.items()},
        )

    def written(self) -> bytes:
        """The receipt as a file."""
        splits = [[s.name, s.fields, s.texts, s.scales] for s in self.splits]
        hashes = [self.manifest_sha256, self.files, self.runs]
        known = [LAYOUT, self.name, self.manifest, self.folder, splits, self.classes, hashes, self.entry, self.stamps]
        return json.dumps(known).encode()

    @classmethod
    def read(cls, path: str | Path) -> CacheEntry | None:
        """The receipt in that file; None if it is not there, damaged, or from another version."""
        try:
            with open(path, "rb") as file:
                layout, name, manifest, folder, splits, classes, hashes, entry, stamps = json.loads(file.read())
            if layout != LAYOUT:
                return None
            manifest_sha256, files, runs = hashes
            return cls(
                name=name,
                manifest=manifest,
                folder=str(folder),
                splits=tuple(_read_split(*split) for split in splits),
                classes=tuple(classes) if classes is not None else None,
                manifest_sha256=manifest_sha256,
                files=dict(files),
                runs=dict(runs),
                entry=dict(entry),
                stamps=dict(stamps),
            )
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            # Absent, damaged or foreign: all the same, because what it would say can be found out again.
            return None


def place(cache: str | Path, manifest: str | Path, name: str) -> str:
    """Where the receipt of a data set is kept: another one for each manifest, and for each name of the cache."""
    import zlib

    whose = zlib.crc32(os.fsencode(os.path.normpath(cache)), zlib.crc32(os.fsencode(manifest)))
    return os.path.join(cache, "entries", f"{name}-{whose:08x}.json")


def _read_split(name: str, fields: dict[str, Any], texts: dict[str, Any], scales: dict[str, float]) -> CachedSplit:
    parts = {field: [Part(*part) for part in parts] for field, parts in fields.items()}
    return CachedSplit(name, parts, {field: Part(*part) for field, part in texts.items()}, scales)


def _is(hashed: Callable[[str], str], path: str, sha256: str) -> bool:
    return hashed(path) == sha256
