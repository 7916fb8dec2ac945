"""Was this handed over before, and does everything it stood on still stand?

A receipt is a data set's entry in compiled form: where its decoded arrays are, and the stamps (size, time of
change, inode) of the manifest, of every source file and of every array as they were when last found right.
While all of them fit, `get` needs neither YAML nor Pydantic nor a hash: it opens the maps. When one does not,
or the receipt is damaged, or another version of the package wrote it, there is no receipt, and every stage runs.

A receipt speeds up and decides nothing: `audit` makes each one anew from the manifest and compares.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_datasets._version import VERSION
from tinytorch_datasets.batches import Values
from tinytorch_datasets.dataset import Dataset, Split
from tinytorch_datasets.maps import Part, Stamp, opened, stamp
from tinytorch_datasets.texts import Texts

if TYPE_CHECKING:
    import numpy as np

    from tinytorch_datasets.declarations import Entry

# Raise it when what a receipt says, or how, changes. Byte order is part of it: a stick may travel.
LAYOUT = [1, VERSION, sys.byteorder]

# A field's parts: one for numbers, two for strings (the buffer, the places in it).
Parts = list[Part]


@dataclass(frozen=True)
class SplitReceipt:
    """What opening one split takes. `scales` is the top of the range of fields that floats divide by."""

    name: str
    fields: Mapping[str, Parts]
    texts: Mapping[str, Part]
    scales: Mapping[str, float]


@dataclass(frozen=True)
class Receipt:
    """What opening one data set takes, and what it stands on."""

    manifest: str
    folder: str
    splits: tuple[SplitReceipt, ...]
    classes: tuple[str, ...] | None
    stamps: Mapping[str, Stamp]

    def holds(self) -> bool:
        """Whether everything it stands on is as it was."""
        try:
            return all(stamp(path) == seen for path, seen in self.stamps.items())
        except OSError:
            return False

    def dataset(self, name: str, arrays: Path, describe: Callable[[], tuple[Entry, str]]) -> Dataset:
        """The data set, its arrays mapped from the folder `arrays` holds of them."""
        folder = arrays / os.path.basename(self.folder)  # noqa: PTH119 - a name, and nothing above it
        splits = {split.name: _split(split, folder) for split in self.splits}
        return Dataset(name, splits, classes=self.classes, describe=describe)

    def same_as(self, other: Receipt) -> bool:
        """Whether both open the same arrays and stand on the same files, whatever the stamps of those are."""
        here, there = (json.loads(receipt.written()) for receipt in (self, other))
        return bool(here[:-1] == there[:-1] and here[-1].keys() == there[-1].keys())

    def written(self) -> bytes:
        """The receipt as a file."""
        splits = [[s.name, s.fields, s.texts, s.scales] for s in self.splits]
        return json.dumps([LAYOUT, self.manifest, self.folder, splits, self.classes, self.stamps]).encode()

    @classmethod
    def read(cls, path: Path) -> Receipt | None:
        """The receipt in that file; None if it is not there, damaged, or from another version."""
        try:
            layout, manifest, folder, splits, classes, stamps = json.loads(path.read_bytes())
            if layout != LAYOUT:
                return None
            return cls(
                manifest=manifest,
                folder=folder,
                splits=tuple(_read_split(*split) for split in splits),
                classes=tuple(classes) if classes is not None else None,
                stamps=dict(stamps),
            )
        except (OSError, ValueError, TypeError, AttributeError):
            # Absent, damaged or foreign: all the same, because what it would say can be found out again.
            return None


def place(cache: Path, manifest: Path, name: str) -> Path:
    """Where the receipt of a data set is kept. Manifests that share a cache have receipts apart."""
    import zlib

    return cache / "receipts" / f"{name}-{zlib.crc32(os.fsencode(manifest)):08x}.json"


def _read_split(name: str, fields: dict[str, Any], texts: dict[str, Any], scales: dict[str, float]) -> SplitReceipt:
    parts = {field: [Part(*part) for part in parts] for field, parts in fields.items()}
    return SplitReceipt(name, parts, {field: Part(*part) for field, part in texts.items()}, scales)


def _split(split: SplitReceipt, folder: Path) -> Split:
    fields: dict[str, Values] = {}
    for name, parts in split.fields.items():
        first: np.ndarray = opened(folder, parts[0])
        if len(parts) == 1:
            fields[name] = first
        else:
            places = opened(folder, parts[1])
            fields[name] = Texts(first, places[:-1], places[1:])
    texts = {name: opened(folder, part) for name, part in split.texts.items()}
    return Split(split.name, fields, texts=texts, scales=split.scales)
