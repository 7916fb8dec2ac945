"""The registry of formats: `decodes`, `known`, `of`, `check_libraries`.

A format is a file in this folder; the folder's listing is the list of formats, so nothing is imported until
a data set of that format is decoded or checked. It is read once: ten thousand entries ask for it.

One file in this folder, named as the format is (``cifar_python.py`` for ``cifar-python``), with one function
in it that carries `decodes`. The function takes the splits to decode and yields their values block by block;
its keyword-only parameters are the format's options, checked against ``options:`` in the manifest by their
annotations. It knows bytes: never YAML, never the network, never where the values go.

`decodes` also takes the function that recognizes the format from the first bytes of a file, by which
`tinytorch-datasets add` finds out what a file is.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from tinytorch_datasets.errors import MissingLibrary, Problems
from tinytorch_datasets.plan import Block, Column, Plan, Split

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "ArrayInfo",
    "Block",
    "Certainty",
    "Decoder",
    "Detection",
    "FileInfo",
    "Format",
    "Layout",
    "check_libraries",
    "decodes",
    "known",
    "of",
    "registered",
]

# How many bytes a compressed file, and how many instructions a pickle, may come to while it is inspected: before an
# entry declares how large they are.
INSPECTED_BYTES = 2**31
INSPECTED_INSTRUCTIONS = 2**24
INSPECTED = "the most that is read to recognize a file"

FIRST_ROWS = 20

# How many of the first bytes of a file, inflated, are given to `detect`.
HEAD_BYTES = 2**16

# The formats that need a library which is none of the package's own, always or for some members. All others need not be
# imported, and NumPy with them, to be asked for theirs before anything is downloaded.
NEED_LIBRARIES = frozenset({"arrow", "audio", "hdf5", "images", "parquet"})

_KNOWN = tuple(sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[!_]*.py")))


def known() -> tuple[str, ...]:
    """Return the names of all formats, sorted.

    >>> "idx" in known()
    True
    """
    return _KNOWN


def of(name: str) -> Format:
    """Return the format of that name, its file imported if it was not yet.

    Raises:
        KeyError: There is no file for it.

    >>> of("idx").layout
    'file per field'
    """
    if registered(name) is None:
        if name not in known():
            raise KeyError(name)
        importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    form = registered(name)
    if form is None:
        msg = f"formats/{name.replace('-', '_')}.py does not register {name!r}: use @decodes({name!r}, ...)"
        raise KeyError(msg)
    return form


def check_libraries(plan: Plan) -> None:
    """Check that the libraries are installed by which a plan's files are decoded, before they are downloaded.

    Raises:
        MissingLibrary: One is not.
    """
    try:
        for name in NEED_LIBRARIES.intersection(plan.formats):
            of(name).check_libraries(member for split in plan.splits for member in split.members)
    except MissingLibrary as error:
        raise error.with_context(where=plan.where) from None


Layout = Literal["file per field", "file per split", "file per sample", "members"]
Missing = Literal["text", "null"]
Decoder = Callable[..., Iterator[Block]]
Check = Callable[[Mapping[str, Any], Iterable[str], Iterable[str]], Problems]
SampleDecoder: TypeAlias = "Callable[[Column, Mapping[str, Any]], Callable[[bytes], np.ndarray]]"
FirstRows = Callable[[Column, Mapping[str, Any]], Sequence[Mapping["str | int", "str | int"]]]
Pickles = Callable[[Sequence[Split]], Iterator[tuple[Path, str, Callable[[int], bytes]]]]


@dataclass(frozen=True)
class ArrayInfo:
    """One array, or one column of texts, in a file. `shape` has the samples first.

    `key` is its name inside the file, "" where it is the file; `member` the archive's part that it is in. `field` is
    what the format itself calls it; where it is None, names decide. `note` is what a reader of the entry should know,
    `missing` what means a missing value, None a null. None in `shape` is an axis that differs by sample. `values` is
    what is stored for each class, in order; `names` are those of the last axis. `columns` are the columns of a table
    that it is, by name or number; `stored` is "one-hot" where a label is the place of a 1 in them. `axes` are those
    that are stored, in the order of `shape`, where that is another.
    """

    key: str
    dtype: str
    shape: tuple[int | None, ...]
    field: str | None = None
    member: str = ""
    per: str = "sample"
    classes: tuple[str, ...] | None = None
    note: str = ""
    missing: tuple[str | None, ...] = ()
    values: tuple[str | int | float, ...] = ()
    names: tuple[str, ...] = ()
    columns: tuple[int | str, ...] = ()
    stored: str = ""
    axes: tuple[int, ...] = ()


class TablePart(NamedTuple):
    """One of several files, or members, that are one table or split: its name, where it is now, and its samples."""

    name: str
    path: Path
    samples: int


@dataclass(frozen=True)
class FileInfo:
    """What a file holds, in plain values. `options` are those of its format, `file` its name in the data set.

    `left_out` is what it holds that is not among the arrays, and why. `asks_target` is whether one of the arrays may
    be what is to be predicted, and nothing says which. `is_table` is whether each array is a column of one table.
    `samples` are the names of files, or members, that are a sample each, and `others` those of all the rest; where
    they are files, they are below the folder `path`, and `file` is "". `inside` are the members of archives, from the
    outermost, that what is described is of `file`; `parts` are the files, or members, that one table is in. `shards`
    are the files, of which `file` is the first, that have the samples of one split; their names fit `pattern`.
    """

    path: Path
    format: str
    arrays: tuple[ArrayInfo, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    left_out: tuple[str, ...] = ()
    asks_target: bool = False
    is_table: bool = False
    samples: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    parts: tuple[TablePart, ...] = ()
    shards: tuple[TablePart, ...] = ()
    pattern: str = ""


class Certainty(IntEnum):
    """How surely a file is of a format: of several formats, the surest is taken."""

    POSSIBLE = 1  # nothing speaks against it
    LIKELY = 2  # all of the first bytes have its structure
    CERTAIN = 3  # they begin as files of no other format do


class Detection(NamedTuple):
    """A format recognized in a file; `inspect` reads as much of the file as is needed to say what it holds.

    Where it `takes_options`, it is called with those that a person says the file is read by, by their names.
    """

    certainty: Certainty
    inspect: Callable[..., FileInfo]
    takes_options: bool = False


Detect = Callable[[bytes, Path], "Detection | None"]
Join = Callable[[Sequence[FileInfo]], Sequence[FileInfo]]


def _undetected(head: bytes, path: Path) -> None:
    return None


def _as_they_are(infos: Sequence[FileInfo]) -> Sequence[FileInfo]:
    return infos


def _nothing(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    return iter(())


@dataclass(frozen=True)
class Format:
    """One on-disk format.

    Attributes:
        name: What the manifest calls it.
        decode: ``decode(splits, **options)``, yielding blocks.
        layout: How a split names its bytes: a file for each field, one file for all, patterns of files or members that
            are a sample each, or members of one file that hold several each.
        version: Part of the name of every decoded array; raise it when the same bytes would decode otherwise.
        options: Type of each option, by name; `required` are those without a default.
        check: ``check(options, fields, splits)``, yielding what is wrong with options of the right types, and where
            below ``options:``; `fields` and `splits` are the names that the entry has.
        needs: The library that it decodes by, and the extra that brings it, where that is none of the package's own.
            The format's file imports it only inside of functions, and the format is one of `NEED_LIBRARIES`.
        needs_by_ending: The same, of members whose names end so, where only some kinds of them need one.
        pickles: ``pickles(splits)``, yielding (file, member or "", function that reads at most so many bytes) of
            each pickle that decoding would read, to be read before the next is asked for: for an audit of what they
            ask for. None where there are no pickles.
        detect: ``detect(head, path)``, the `Detection` of this format in a file that begins so once it is inflated,
            or None.
        describe: ``describe(path, **options)``, what a file holds by the options that a person gives, where the file
            itself says nothing; or None.
        join: ``join(infos)``, the same infos, of the several files of a data set, where one file alone does not say
            all that it is: a sparse file how many features there are.
        missing: What may be declared to mean a missing value in a table: a "text" in its cell, a "null". Formats that
            have neither read no tables.
        names_classes: Whether it reads the names of classes in cells of text, and gives labels as their positions,
            because only it can say in which cell there is none.
        reads_members: Whether what it reads may be a member of an archive. Where a split names members, it may not.
        joins_members: Whether a split may also be several members, or several files, one after the other.
        sample: ``sample(column, options)``, the function that decodes one sample of a column from the bytes of its
            file, in several threads at once: so the cache may keep those in place of the values. None where a sample
            is not decoded on its own.
        first_rows: ``first_rows(column, options)``, the texts and whole numbers in the first rows (`FIRST_ROWS`) of the
            table that a column is in, by the names or numbers of their columns: so that names of samples in it are
            noticed. None where it reads no tables.
    """

    name: str
    decode: Decoder
    layout: Layout
    version: int
    options: Mapping[str, Any]
    required: frozenset[str]
    check: Check = _nothing
    needs: tuple[str, str] | None = None
    needs_by_ending: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    pickles: Pickles | None = None
    detect: Detect = _undetected
    describe: Callable[..., FileInfo] | None = None
    join: Join = _as_they_are
    missing: frozenset[Missing] = frozenset()
    joins_members: bool = False
    names_classes: bool = False
    reads_members: bool = True
    sample: SampleDecoder | None = None
    first_rows: FirstRows | None = None

    @property
    def reads_columns(self) -> bool:
        """Whether it reads a table, of which it takes columns by name or number itself."""
        return bool(self.missing)

    @property
    def summary(self) -> str:
        """The first line of the decoder's docstring."""
        return (inspect.getdoc(self.decode) or "").partition("\n")[0]

    def check_libraries(self, members: Iterable[str] = ()) -> None:
        """Check that the libraries are installed that it needs, for members of such names or patterns too.

        Raises:
            MissingLibrary: One is not.
        """
        endings = {"." + name.rpartition(".")[2].lower() for name in members}
        for needs in (self.needs, *(self.needs_by_ending[of] for of in self.needs_by_ending if of in endings)):
            if needs is not None and importlib.util.find_spec(needs[0]) is None:
                needing = f"format {self.name!r}"
                raise MissingLibrary(needing, *needs)


_formats: dict[str, Format] = {}


def decodes(
    name: str,
    *,
    layout: Layout,
    version: int = 1,
    check: Check = _nothing,
    needs: tuple[str, str] | None = None,
    needs_by_ending: Mapping[str, tuple[str, str]] | None = None,
    pickles: Pickles | None = None,
    detect: Detect = _undetected,
    describe: Callable[..., FileInfo] | None = None,
    join: Join = _as_they_are,
    missing: Iterable[Missing] = (),
    joins_members: bool = False,
    names_classes: bool = False,
    reads_members: bool = True,
    sample: SampleDecoder | None = None,
    first_rows: FirstRows | None = None,
) -> Callable[[Decoder], Decoder]:
    """Register the decorated function as the decoder of format `name`."""

    def register(decode: Decoder) -> Decoder:
        if name in _formats:
            msg = f"format {name!r} has two decoders: {_formats[name].decode.__module__} and {decode.__module__}"
            raise ValueError(msg)
        if bool(needs or needs_by_ending) != (name in NEED_LIBRARIES):
            msg = f"format {name!r} is in NEED_LIBRARIES if, and only if, it needs one"
            raise ValueError(msg)
        keywords = [
            p
            for p in inspect.signature(decode, eval_str=True).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        ]
        _formats[name] = Format(
            name=name,
            decode=decode,
            layout=layout,
            version=version,
            options={p.name: p.annotation for p in keywords},
            required=frozenset(p.name for p in keywords if p.default is inspect.Parameter.empty),
            check=check,
            needs=needs,
            needs_by_ending=needs_by_ending or {},
            pickles=pickles,
            detect=detect,
            describe=describe,
            join=join,
            missing=frozenset(missing),
            joins_members=joins_members,
            names_classes=names_classes,
            reads_members=reads_members and layout not in ("file per sample", "members"),
            sample=sample,
            first_rows=first_rows,
        )
        return decode

    return register


def registered(name: str) -> Format | None:
    """Return the format of that name, if its file has been imported."""
    return _formats.get(name)
