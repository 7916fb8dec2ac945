"""The Pydantic models of a manifest.

Frozen Pydantic models, one for each level of the YAML. Their descriptions are the documentation of the keys,
in `docs/manifest.md` and in the JSON Schema that editors read. A field's is an argument and not a string below it,
because Pydantic would read and parse this very file for those, each time it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Strict, Tag

from tinytorch_datasets import plan
from tinytorch_datasets.manifest.values import (
    AS_MAPPING,
    AS_WORDS,
    ColumnNames,
    Count,
    Factor,
    FilledWordList,
    Md5,
    MemberPath,
    Positive,
    Ratio,
    Sha256,
    StoredValues,
    Tried,
    Version,
    WordList,
    Words,
    kind,
)
from tinytorch_datasets.settings import DOWNLOAD_TO


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileEntry(_Model):
    """One file: what its bytes must be."""

    bytes: Positive = Field(description="The file's size in bytes.")
    sha256: Sha256 = Field(description="The sha256 of the whole file, 64 lowercase hex digits. Never optional.")
    md5: Md5 | None = Field(default=None, description="An MD5 as others publish it, beside the sha256, not instead.")
    samples: Positive | None = Field(
        default=None, description="How many samples are in it, where it is a shard: one of the files of a pattern."
    )
    urls: WordList = Field(
        default=(),
        description="Full addresses of this one file, tried before the mirrors, for hosts that name it otherwise.",
    )


class StoredEntry(_Model):
    """How the values of a field are stored, where that is not as they are returned."""

    values: StoredValues = Field(
        default=(),
        description="What is stored for each class, in their order, where it is neither its name nor its number.",
    )
    first: int | None = Field(
        default=None,
        description="What is stored for the first class, where the others are counted on from there: 1 in MATLAB.",
    )
    stored: Literal["one-hot"] | None = Field(
        default=None, description="one-hot: the label is stored as as many numbers as there are classes, one of them 1."
    )
    axes: Annotated[tuple[Count, ...], Strict(False)] = Field(
        default=(),
        description="The stored axes in the order of the declared ones, where that of samples is not stored first: "
        "[3, 2, 0, 1] has samples last.",
    )
    stored_shape: Annotated[tuple[Positive | None, ...], Strict(False)] = Field(
        default=(),
        description="The shape that is stored, where it has as many values but other axes; null is that of the "
        "samples. It is read as by `numpy.reshape`: [null, 784] as samples of [28, 28]; `axes` are those after that.",
    )
    scale: Factor | None = Field(
        default=None,
        description="What stored whole numbers are multiplied by, in a field of floats: 0.00392156862745098.",
    )


class FieldEntry(StoredEntry):
    """One field: what every sample has."""

    dtype: Literal[plan.DTYPES] = Field(  # type: ignore[valid-type]
        description="The NumPy dtype that `get` returns, or str for text. A field with classes is int64."
    )
    shape: Annotated[tuple[Positive | None, ...], Strict(False)] = Field(
        default=(),
        description="The shape of one sample; left out for a scalar. null is an axis whose length differs by sample.",
    )
    range: Annotated[tuple[int | float, int | float], Strict(False)] | None = Field(
        default=None, description="The lowest and highest value allowed, both included."
    )
    classes: FilledWordList | None = Field(
        default=None, description="The class names; a label is a position in this list, from 0."
    )
    channels: Literal["first", "last"] | None = Field(default=None, description="Which axis has the channels (colors).")
    names: FilledWordList | None = Field(
        default=None,
        description="The names of the columns of a field, of its last axis. In a table with a header it takes those.",
    )
    missing: Annotated[tuple[str | None, ...], Field(min_length=1), Strict(False)] = Field(
        default=(),
        description="What means a missing value, cells of text or null: NaN where the dtype is float, else "
        "`missing_value`. A blank around a cell does not count.",
    )
    missing_value: int | None = Field(
        default=None,
        description="What a missing value is in a field of whole numbers; no value of the data.",
    )
    cache: Literal["decoded", "encoded"] | None = Field(
        default=None,
        description="What is kept: decoded values, or each sample encoded, as its file is. Left out, what is large is.",
    )
    per: Literal["sample", "split"] = Field(
        default="sample", description="Whether each sample has one, or (text only) the split as a whole."
    )
    sha256: Mapping[str, Sha256] = Field(
        default={},
        description="The sha256 of the decoded values, by split: the same arrays in another container have the same.",
    )


class ShuffleEntry(_Model):
    """An order of samples, drawn at random and the same for ever: `numpy.random.RandomState(seed).shuffle`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(description="What the random numbers start from.")
    after: Annotated[tuple[Positive, ...], Strict(False)] = Field(
        default=(),
        description="How many samples were shuffled with the same random numbers before, one after the other.",
    )


class _Location(_Model):
    file: Words | None = Field(default=None, description="The file; that of the split if left out.")
    member: MemberPath | None = Field(
        default=None,
        description="The member of the archive that the file is; a list where it is in an archive inside of that: "
        "[inner.tar.gz, a/b.npy].",
    )
    key: Words | None = Field(
        default=None, description='The name of an array or of a column in it; in a pickle, the path to it ("0.1").'
    )
    column: ColumnNames | None = Field(
        default=None,
        description='A column of a table by its name or number from 0, or several, ranges ("0-12") among them; '
        "of an array, a number on its last axis.",
    )
    format: Words | None = Field(default=None, description="Its form on disk, where it is not the data set's.")
    options: Mapping[str, Any] | None = Field(
        default=None, description="The decoder's options, in place of the data set's."
    )
    stored_columns: Positive | None = Field(
        default=None, description="How many columns the last axis of an array has, of which `column` takes some."
    )


class JoinEntry(_Location):
    """The column of a table that says which sample, by the name of its member, each row belongs to."""

    match: Literal["name", "file", "stem"] | None = Field(
        default=None,
        description="What of the names of members is compared: the whole name; file, that without folders; stem, that "
        "without its ending. A list of `rows` for which it is left out has positions.",
    )
    prefix: str = Field(default="", description="What stands in front of a listed name in the name of the member.")
    suffix: str = Field(default="", description="What stands behind a listed name in the name of the member: .jpg.")


class WhereEntry(_Location):
    """The rows of a table, or of a list, in which a column has a value."""

    equals: StoredValues = Field(description="The values, of which a row that is taken has one: [train].")


class ListedRowsEntry(JoinEntry):
    """Samples that a list in a file has, by their positions or the names of members; or a column of a table."""

    first: Count = Field(default=0, description="What the list calls the first position: 0 or 1.")
    where: WhereEntry | None = Field(
        default=None, description="The stored samples, or names in the list, of which a column has a value."
    )
    all_but: tuple[JoinEntry, ...] = Field(
        default=(), strict=False, description="Lists of names of members; the split has all others."
    )


RowsEntry = Annotated[
    Annotated[tuple[Count, Count], Strict(False), Tag(AS_WORDS)] | Annotated[ListedRowsEntry, Tag(AS_MAPPING)],
    Discriminator(kind),
]


class _Selection(_Model):
    rows: RowsEntry | None = Field(
        default=None,
        description="Which of the stored samples: from the first number to before the second, counted from 0; "
        "or where a list of their positions is.",
    )
    shuffle: ShuffleEntry | None = Field(default=None, description="In which order the stored samples are counted.")
    stored_samples: Positive | None = Field(
        default=None,
        description="How many samples are stored, where that is more than the end of any `rows` of them.",
    )


class PlaceEntry(_Location, _Selection):
    """Where the values of one field of one split are."""

    join: JoinEntry | None = Field(
        default=None,
        description="Where a table has a row for each sample in another order: its column of their members' names.",
    )
    values: StoredValues = Field(default=(), description="What is stored here for each class, where splits differ.")


class VariantSplitEntry(_Selection):
    """Where the fields of one split are in another container; as many samples as there.

    Any other key is the name of a field. Its value says where the field is: in short, the name of its file, or
    with `file` its name inside that file; or a mapping, each of whose keys can be left out.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[
        str, Annotated[Annotated[Words, Tag(AS_WORDS)] | Annotated[PlaceEntry, Tag(AS_MAPPING)], Discriminator(kind)]
    ]

    file: Words | None = Field(default=None, description="The file that holds all fields of the split.")
    member: MemberPath | None = Field(
        default=None,
        description="The member of that file that holds all fields; with `members`, the archive inside of it that "
        "they are in.",
    )
    members: FilledWordList | None = Field(
        default=None,
        description="The archive's members that hold the split, by names, in that order, or patterns, whose members "
        "come sorted: * is any characters but a slash, ** any folders; without `file`, they are declared files.",
    )
    shard_samples: Positive | None = Field(
        default=None,
        description="Where `file` is a pattern, how many samples each shard has, and the last at most.",
    )


class SplitEntry(VariantSplitEntry):
    """One split: how many samples, and where its fields are.

    Any other key is the name of a field. Its value says where the field is: in short, the name of its file, or
    with `file` its name inside that file; or a mapping, each of whose keys can be left out.
    """

    samples: Positive = Field(description="The number of samples.")


class VariantEntry(_Model):
    """The same values in another container, taken where the first cannot be had, and only if they are the same."""

    format: Words = Field(description="Its form on disk: the name of a decoder.")
    options: Mapping[str, Any] = Field(default={}, description="The decoder's options.")
    fields: Mapping[str, StoredEntry] = Field(default={}, description="How fields are stored there.")
    splits: Mapping[str, VariantSplitEntry] = Field(min_length=1, description="Where each split is.")
    mirrors: WordList = Field(default=(), description="Addresses to which a file's name is appended.")
    files: Mapping[str, FileEntry] = Field(min_length=1, description="Every file, by its path below the folder.")


class DuplicatesEntry(_Model):
    """How many samples may repeat another one."""

    of: WordList = Field(
        default=(), description="The fields that make two samples the same one; the first field if left out."
    )
    within: Count | None = Field(
        default=None, description="The most samples that repeat an earlier one of their own split."
    )
    across: Count | None = Field(
        default=None,
        description="The most samples that are in an earlier split too: "
        "what a test set must not share with a training set.",
    )


class ChecksEntry(_Model):
    """What the decoded values must be like, beyond their form. `audit` checks it."""

    duplicates: DuplicatesEntry | None = Field(default=None, description="How many samples may repeat another one.")
    balance: Ratio | None = Field(
        default=None,
        description="In each split, how many times as many samples the largest class may have as the smallest; "
        "1 is the same.",
    )
    constant: Count | None = Field(
        default=None,
        description="The most samples of a field with a shape (images, features) that may be all of one value.",
    )
    empty: Count | None = Field(default=None, description="The most texts that may have nothing but blanks.")


class Entry(_Model):
    """One data set: thing, what it is, its form, what it holds, how it splits, where it is."""

    title: Words = Field(description="What it is, in a line.")
    description: Words | None = Field(default=None, description="What a person should know before using it.")
    aliases: WordList = Field(
        default=(), description="Other names that get() takes for it: cifar-10. The case of letters never matters."
    )
    status: Literal["shipped", "remote"] = Field(
        description="shipped: its bytes come with this project. remote: fetched on first use."
    )
    format: Words = Field(description="Its form on disk: the name of a decoder.")
    options: Mapping[str, Any] = Field(default={}, description="The decoder's options.")
    license: Words = Field(description='The license by its SPDX id (CC-BY-4.0), or "not stated by the authors".')
    source: Words = Field(description="Where it comes from: the page of its authors.")
    citation: Words | None = Field(default=None, description="How its authors want it cited.")
    tried: Tried | None = Field(
        default=None,
        description="The day (2026-11-29) when somebody last read the real files and found the declared values; never, "
        "where sizes, hashes and layout are taken over from others, and nobody has yet.",
    )
    used_by: WordList = Field(default=(), description="Paths of the scripts that use it, relative to the manifest.")
    ignore: WordList = Field(default=(), description="Rules whose warnings `audit` leaves out: single-mirror.")
    folder: Words | None = Field(default=None, description="The folder its files are in; its own name if left out.")
    fields: Mapping[str, FieldEntry] = Field(
        min_length=1, description="What every sample has, by name, in the order of a sample's tuple."
    )
    target: Words | None = Field(
        default=None,
        description='The field that is to be predicted, where none has classes; "?" while nobody has said which.',
    )
    splits: Mapping[str, SplitEntry] = Field(min_length=1, description="How it splits, by name.")
    checks: ChecksEntry | None = Field(
        default=None, description="What `audit` must find of the decoded values, beyond their form."
    )
    mirrors: WordList = Field(
        default=(),
        description="Addresses to which a file's name is appended, in the order to try them; each ends in a slash.",
    )
    files: Mapping[str, FileEntry] = Field(min_length=1, description="Every file, by its path below the folder.")

    variants: Mapping[str, VariantEntry] = Field(
        default={},
        description="The same values in other containers, by name, tried in their order where the first cannot be had. "
        "Accepted only with the declared `sha256` of every field, or as the same archive's members, unpacked.",
    )

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.bytes for file in self.files.values())

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} ({split.samples:,})" for name, split in self.splits.items())
        return f"<Entry {self.title!r}: {self.status}, {self.format}; {splits}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from tinytorch_datasets.display import html  # which only notebooks need

        return html.dataset(self.title, self.model_dump(mode="json"))


class RemoteManifest(_Model):
    """A manifest at an address. It is downloaded once, and is that one or none."""

    url: Words = Field(description="Its address, which begins with https://.")
    sha256: Sha256 = Field(description="The SHA-256 of its bytes.")


Included = Annotated[Annotated[Words, Tag(AS_WORDS)] | Annotated[RemoteManifest, Tag(AS_MAPPING)], Discriminator(kind)]


class Declarations(_Model):
    """A manifest of data sets."""

    version: Version = Field(description="The version of this layout.")
    include: Annotated[tuple[Included, ...], Strict(False)] = Field(
        default=(),
        description=(
            "Manifests whose data sets are there too: `packaged`, which came with this library; a path, relative to "
            "this file; an address with its sha256; or the name by which an installed package registers its own."
        ),
    )
    download_to: Words = Field(default=DOWNLOAD_TO, description="The folder for downloads, relative to this file.")
    shipped_in: Words = Field(default="datasets", description="The folder of the shipped bytes, relative to this file.")
    shipped_budget_bytes: Positive | None = Field(
        default=None, description="The most bytes that the folder of the shipped bytes may hold."
    )
    ignore: WordList = Field(
        default=(), description="Rules whose warnings `audit` leaves out, of every data set: single-mirror."
    )
    datasets: Mapping[str, Entry] = Field(default={}, description="Every data set, by the name that get() takes.")
