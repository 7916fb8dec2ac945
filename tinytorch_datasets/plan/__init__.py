"""Plans: frozen values that every stage passes on.

The manifest is YAML and Pydantic; what the stages pass on is this. A plan knows nothing of either, so a
decoder, a download or a cached copy of the plan can be tested, pickled and compared on its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tinytorch_datasets.plan.blocks import Block as Block
from tinytorch_datasets.plan.blocks import RaggedBlock as RaggedBlock
from tinytorch_datasets.plan.blocks import Rank as Rank
from tinytorch_datasets.plan.blocks import Shard as Shard
from tinytorch_datasets.plan.blocks import Stretch as Stretch

if TYPE_CHECKING:
    from tinytorch_datasets.settings import Locations

# How several columns of a table are written as one: the first and the last of them.
COLUMN_RANGE = re.compile(r"([0-9]{1,7})-([0-9]{1,7})")

# "auto" hashes a file, or a decoded array, once and again when it changes; "always" hashes every byte now.
Mode = Literal["auto", "always"]

# Every whole number up to this one is a float64, and of a float64 beyond it nobody knows what was written.
MAX_EXACT = 2**53

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


# How many names the path to a member has at most: of archives inside one another, and of what is in the last.
MOST_MEMBER_PATH = 3


class ByteSource(NamedTuple):
    """Where bytes are: a file, and the path to a member in it, where it is an archive."""

    path: Path
    member: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """How the names in a list are those of members that are a sample each.

    Attributes:
        of: What the list has the names of: the "members" that are the samples, or the samples that the "rows" of a
            table belong to.
        match: What is compared: the whole "name", the "file" without its folders, or its "stem", without the last
            ending too.
        prefix: What stands in front of a listed name in the name of the member.
        suffix: What stands behind it.
    """

    of: Literal["members", "rows"]
    match: Literal["name", "file", "stem"] = "name"
    prefix: str = ""
    suffix: str = ""

    def whole(self, listed: str) -> str:
        """Return the name that is meant by a listed one; `./` in front of that says nothing.

        >>> Names("members", prefix="images/", suffix=".jpg").whole("./cat/1")
        'images/cat/1.jpg'
        """
        while listed.startswith("./"):
            listed = listed[2:]
        return f"{self.prefix}{listed}{self.suffix}"


@dataclass(frozen=True)
class Rows:
    """Which of the samples that a file holds a split has, and in which order.

    Attributes:
        of: How many samples the file holds.
        start: The first of them that the split has.
        stop: The one behind the last.
        seed: Where it is given, the samples are shuffled before they are counted, as by NumPy's
            ``RandomState(seed).shuffle(numpy.arange(of))``.
        after: How many samples each of the shuffles had that the same random numbers were drawn for before.
        listed: The column of another file that lists their positions, in place of `start` and `stop`.
        first: What the list calls the first position.
        names: How the list has names in place of positions, if it does.
        without: Lists of the members that it does not have, where it has all others.
        where: The column beside the stored samples, or the list, that `equals` one of these for those it has.
    """

    of: int
    start: int = 0
    stop: int = 0
    seed: int | None = None
    after: tuple[int, ...] = ()
    listed: Column | None = None
    first: int = 0
    names: Names | None = None
    without: tuple[Rows, ...] = ()
    where: Column | None = None
    equals: tuple[str | int | float, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns of other files that say which samples these are."""
        own = tuple(column for column in (self.listed, self.where) if column is not None)
        return own + tuple(column for rows in self.without for column in rows.columns)

    def under(self, root: Path) -> Rows:
        """Return the same, of files that are in the folder `root`."""
        listed, where = self.listed and self.listed.under(root), self.where and self.where.under(root)
        return replace(self, listed=listed, where=where, without=tuple(rows.under(root) for rows in self.without))


@dataclass(frozen=True)
class Column:
    """One field of one split: what it must hold, and what inside which file holds it.

    `shape` is the shape of one sample, () for a scalar; None in it is an axis that differs by sample. `range` is
    (lowest, highest), both allowed. `per` is "sample", or "split" for a text that belongs to the split as a whole.
    `file` is the file's path on disk, `member` the path inside the archive that it is; `key` names the field in there
    (an array, a column), where the format has such names, `columns` several columns of a table. `format` and
    `options` are of that file, where they are not the data set's own. `sha256` is the declared digest of its values,
    if one is, on the line `sha256_where`. What equals one of `missing` means a missing value, None a null: NaN
    where the dtype is float, else `missing_value`. `values` is what is stored for each class, in order; `stored` is
    "one-hot" where a label is stored as the position of a 1, or of a true. `names` are those of the last axis.
    `axes` are the stored axes in the order that is declared, samples first, once an array of `stored_shape` (None
    is the samples' axis) has as many as are declared; `factor` is what stored whole numbers are multiplied by. An
    array of which `columns` are taken has `stored_columns` on its last axis. If it `is_encoded`, the cache
    keeps the bytes of each sample, and not the values.
    """

    split: str
    field: str
    dtype: str
    samples: int
    file: Path
    key: str
    shape: tuple[int | None, ...] = ()
    range: tuple[float, float] | None = None
    classes: tuple[str, ...] | None = None
    per: str = "sample"
    where: str = ""
    sha256: str | None = None
    sha256_where: str = ""
    missing: tuple[str | None, ...] = ()
    missing_value: int | None = None
    member: tuple[str, ...] = ()
    columns: tuple[int | str, ...] = ()
    format: str = ""
    options: Mapping[str, Any] | None = None
    values: tuple[str | int | float, ...] = ()
    stored: str = ""
    names: tuple[str, ...] = ()
    rows: Rows | None = None
    axes: tuple[int, ...] = ()
    factor: float | None = None
    stored_columns: int | None = None
    stored_shape: tuple[int | None, ...] = ()
    is_encoded: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the values are strings rather than numbers."""
        return self.dtype == TEXT

    @property
    def is_ragged(self) -> bool:
        """Whether the shapes of the samples differ."""
        return None in self.shape

    @property
    def source(self) -> ByteSource:
        """Where its bytes are."""
        return ByteSource(self.file, self.member)

    @property
    def spelled(self) -> tuple[str, ...] | None:
        """How cells of text spell the classes: as what is stored for them, or else as their names."""
        return tuple(map(spell, self.values)) if self.values else self.classes

    @property
    def count(self) -> int:
        """How many values the column holds: one a sample, or one in all."""
        return self.samples if self.per == "sample" else 1

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample, where that is the same for all: of a ragged column, none is declared."""
        return tuple(length for length in self.shape if length is not None)

    @property
    def nbytes(self) -> int:
        """The bytes that the whole array takes in memory. For text and ragged fields there is no such number: 0."""
        if self.is_text or self.is_ragged:
            return 0
        bits = re.sub("[a-z]+", "", self.dtype) or "8"  # its name says how many, but that of bool; so NumPy need not
        return self.count * math.prod(self.sample_shape) * int(bits) // 8

    @property
    def scale(self) -> float | None:
        """What integers are divided by to be from 0 to 1; None where they are no such quantities."""
        if self.range is None or self.range[0] != 0 or not self.shape or self.missing_value is not None:
            return None
        return self.range[1]

    def under(self, root: Path) -> Column:
        """Return the same, of files that are in the folder `root`."""
        return replace(self, file=root / self.file, rows=self.rows and self.rows.under(root))

    def __str__(self) -> str:
        return f"{self.split}.{self.field}"


def format_shape(shape: Sequence[int | None]) -> str:
    """Format a shape as a manifest has it.

    >>> format_shape((None, 2))
    '[null, 2]'
    """
    return f"[{', '.join('null' if length is None else str(length) for length in shape)}]"


def spell(value: object) -> str:
    """Return a value as a cell of text has it.

    >>> spell(True), spell(4)
    ('true', '4')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Split:
    """One split: its columns by field name, and its file where one file holds all of them.

    `members` are the parts of that file that hold the split, in order, where the format has parts; they are in the
    archive that `member` leads to, where that file holds another. Of a split in `shards`, the columns say where the
    samples of the first shard are, and those of each other one are at the same places of its own files.
    """

    name: str
    samples: int
    columns: Mapping[str, Column]
    file: Path | None = None
    members: tuple[str, ...] = ()
    where: str = ""
    member: tuple[str, ...] = ()
    shards: tuple[Shard, ...] = ()
    stretch: Stretch | None = None

    def by_source(self) -> Iterator[tuple[ByteSource, list[Column]]]:
        """Yield where its bytes are, each place once, and the columns that are read there."""
        columns = self.columns.values()
        for source in dict.fromkeys(column.source for column in columns):
            yield source, [column for column in columns if column.source == source]

    def of_shards(self, first: int, stop: int, root: Path) -> Split:
        """Return the part that some shards are: from number `first` to before `stop`, in files below `root`."""
        shards = self.shards[first:stop]
        samples = sum(shard.samples for shard in shards)
        pairs = zip(self.shards[0].files, shards[0].files, strict=True)
        own: dict[Path | None, Path] = {root / name: root / its for name, its in pairs}
        columns = {
            # A digest is of all values.
            name: replace(column, file=own.get(column.file, column.file), samples=samples, sha256=None)
            for name, column in self.columns.items()
        }
        file = own.get(self.file, self.file)
        return replace(self, samples=samples, columns=columns, file=file, shards=shards)

    def under(self, root: Path) -> Split:
        """Return the same, of files that are in the folder `root`."""
        columns = {name: column.under(root) for name, column in self.columns.items()}
        return replace(self, columns=columns, file=self.file and root / self.file)


@dataclass(frozen=True)
class Plan:
    """Everything that the stages after the manifest need to know about one data set.

    `folder` is the name of its folder, on a mirror too; `root` is where that folder is on this disk, as soon as
    that is known: until then it is ``.``, and so are the columns' files below it. `variants` are of other containers.
    Of what one of several ranks needs, `rank` says which one it is.
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
    variant: str = ""
    variants: tuple[Plan, ...] = ()
    rank: Rank | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column of every split."""
        return tuple(column for split in self.splits for column in split.columns.values())

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of all formats that its files are read by, its own first."""
        columns = [of for column in self.columns for of in (column, *(column.rows.columns if column.rows else ()))]
        return tuple(dict.fromkeys((self.format, *(column.format for column in columns if column.format))))

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The class names of the field `labels`, or of the first field that has any."""
        by_field: dict[str, tuple[str, ...]] = {}
        for column in self.columns:
            if column.classes:
                by_field.setdefault(column.field, column.classes)
        return by_field.get("labels") or next(iter(by_field.values()), None)

    def frame_rate(self, column: Column) -> int | None:
        """Return how many frames a second a column of recordings has: what its format's options call `rate`."""
        options = self.options if column.options is None and not column.format else column.options or {}
        is_recording = column.shape and column.classes is None and not column.is_text
        return options.get("rate") if is_recording else None

    @property
    def hint(self) -> str:
        """What a person does about a file of this data set that is not right."""
        if self.status == "shipped":
            return "Restore it: `git checkout` it in a clone, or reinstall the package."
        return fetch_again(self.name)

    def placed(self, locations: Locations) -> Plan:
        """Return the same, with its files where they are or will be."""
        return self.under(self.root_in(locations))

    def root_in(self, locations: Locations) -> Path:
        """Return the folder that its files are in, or will be."""
        names = tuple(file.name for file in self.files)
        return locations.files(self.folder, shipped=self.status == "shipped", names=names)

    def under(self, root: Path) -> Plan:
        """Return the same, of files that are (or will be) in the folder `root`."""
        return replace(self, root=root, splits=tuple(split.under(root) for split in self.splits))


def fetch_again(dataset: str) -> str:
    """Say what a person does about a fetched file that is not right."""
    return f"Delete it and run `tinytorch-datasets get {dataset or 'NAME'}`; if it happens again, report the mirror."


# What an entry says under `tried` that nobody has tried; and what `add` writes where only a person knows the answer.
NEVER, UNANSWERED = "never", "?"


class Declared(NamedTuple):
    """One data set as a manifest declares it: its plan, its files not placed yet, and its entry in plain values.

    `signature` and `sha256` are the manifest's own; `download_to` and `shipped_in` the folders that it names.
    `included_by` has those on the way by path, the one that was asked for first: sha256, signature, and where each item
    of `include` leads.
    """

    manifest: Path
    signature: list[int]
    sha256: str
    download_to: str
    shipped_in: str
    plan: Plan
    entry: Mapping[str, Any]
    included_by: Mapping[str, tuple[str, list[int], Mapping[str, str]]] = {}

    @property
    def is_untried(self) -> bool:
        """Check whether the entry says that nobody has read the real files by it yet."""
        return self.entry.get("tried") == NEVER
