"""Plans: frozen values that every stage passes on.

The manifest is YAML and Pydantic; what the stages pass on is this. A plan knows nothing of either, so a
decoder, a download or a cached copy of the plan can be tested, pickled and compared on its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np


class Block(NamedTuple):
    """A run of decoded samples of one column, in the shape and dtype that the file itself gives them.

    `start` is the index of the run's first sample. Text columns carry a list of str.
    """

    column: Column
    start: int
    values: np.ndarray | Sequence[str]


# "auto" hashes a file, or a decoded array, once and again when it changes; "always" hashes every byte now.
Mode = Literal["auto", "always"]

TEXT = "str"
DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", TEXT,
)  # fmt: skip


@dataclass(frozen=True)
class File:
    """One file of a data set, as it is declared.

    `name` is its path below the data set's folder, with forward slashes. `urls` are full addresses, in the
    order to try them. `where` is the line of the manifest that declares it (``datasets.yaml:41``).
    """

    name: str
    bytes: int
    sha256: str
    urls: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class Column:
    """One field of one split: what it must hold, and what inside which file holds it.

    `shape` is the shape of one sample, () for a scalar. `range` is (lowest, highest), both allowed. `per` is
    "sample", or "split" for a text that belongs to the split as a whole. `file` is the file's path on disk;
    `key` names the field inside that file (a member, an array, a column), where the format has such names.
    `sha256` is the declared digest of its values, if one is, on the line `sha256_where`. Cells equal to one of
    `missing` mean a missing value: NaN where the dtype is float, else `missing_value`.
    """

    split: str
    field: str
    dtype: str
    samples: int
    file: Path
    key: str
    shape: tuple[int, ...] = ()
    range: tuple[float, float] | None = None
    classes: tuple[str, ...] | None = None
    per: str = "sample"
    where: str = ""
    sha256: str | None = None
    sha256_where: str = ""
    missing: tuple[str, ...] = ()
    missing_value: int | None = None

    @property
    def is_text(self) -> bool:
        """Whether the values are strings rather than numbers."""
        return self.dtype == TEXT

    @property
    def count(self) -> int:
        """How many values the column holds: one a sample, or one in all."""
        return self.samples if self.per == "sample" else 1

    @property
    def nbytes(self) -> int:
        """The bytes that the whole array takes in memory. For text there is no such number: 0."""
        return 0 if self.is_text else self.count * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def scale(self) -> float | None:
        """What integers are divided by to be from 0 to 1; None where they are no such quantities."""
        from_zero = self.range is not None and self.range[0] == 0 and self.shape and self.missing_value is None
        return self.range[1] if self.range is not None and from_zero else None

    def __str__(self) -> str:
        return f"{self.split}.{self.field}"


@dataclass(frozen=True)
class Split:
    """One split: its columns by field name, and its file where one file holds all of them.

    `members` are the parts of that file that hold the split, in order, where the format has parts.
    """

    name: str
    samples: int
    columns: Mapping[str, Column]
    file: Path | None = None
    members: tuple[str, ...] = ()
    where: str = ""

    def under(self, root: Path) -> Split:
        """The same, of files that are in the folder `root`."""
        columns = {name: replace(column, file=root / column.file) for name, column in self.columns.items()}
        return replace(self, columns=columns, file=self.file and root / self.file)


@dataclass(frozen=True)
class Plan:
    """Everything that the stages after the manifest need to know about one data set.

    `folder` is the name of its folder, on a mirror too; `root` is where that folder is on this disk, as soon as
    that is known: until then it is ``.``, and so are the columns' files below it.
    """

    name: str
    folder: str
    root: Path
    status: str
    format: str
    files: tuple[File, ...]
    splits: tuple[Split, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column of every split."""
        return tuple(column for split in self.splits for column in split.columns.values())

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The class names of the first field that has any."""
        return next((column.classes for column in self.columns if column.classes), None)

    @property
    def hint(self) -> str:
        """What a person does about a file of this data set that is not right."""
        if self.status == "shipped":
            return "Restore it: `git checkout` it in a clone, or reinstall the package."
        return fetch_again(self.name)

    def under(self, root: Path) -> Plan:
        """The same, of files that are (or will be) in the folder `root`."""
        return replace(self, root=root, splits=tuple(split.under(root) for split in self.splits))


def fetch_again(dataset: str) -> str:
    """Say what a person does about a fetched file that is not right."""
    return f"Delete it and run `tinytorch-datasets get {dataset or 'NAME'}`; if it happens again, report the mirror."


class Declared(NamedTuple):
    """One data set as a manifest declares it: its plan, its files not placed yet, and its entry in plain values.

    `signature` and `sha256` are the manifest's own; `download_to` and `shipped_in` the folders that it names.
    """

    manifest: Path
    signature: list[int]
    sha256: str
    download_to: str
    shipped_in: str
    plan: Plan
    entry: Mapping[str, Any]
