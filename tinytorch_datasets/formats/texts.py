"""Texts, a file each: the members of an archive, or the files of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tinytorch_datasets.errors import ContentError, Problems
from tinytorch_datasets.formats import decodes
from tinytorch_datasets.plan import TEXT, Block, Column, Split
from tinytorch_datasets.readers.archive import Member, read_members
from tinytorch_datasets.readers.stream import encoding_of

DOCUMENT, FOLDER, NAME = "text", "folder", "name"
KEYS = (DOCUMENT, FOLDER, NAME)

TEXTS_A_BLOCK = 4096
BLOCK_CHARACTERS = 1 << 20

# What a text takes in a tar archive beside its bytes: a header, and a second one for its long name or its times.
TAR_BYTES_A_TEXT = 4096


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """An encoding that is none of text."""
    if encoding_of(options.get("encoding", "utf-8")) is None:
        yield ("encoding",), f"no encoding of text is called {options['encoding']!r}"


@decodes("texts", layout="members", reads_members=False, check=_check)
def texts(
    splits: Sequence[Split],
    *,
    encoding: str = "utf-8",
    newlines: Literal["lf", "keep"] = "lf",
    label_folder: int = -1,
) -> Iterator[Block]:
    """A text a sample: the members of a zip or tar archive, or files in folders, whose names may be labels.

    The members of a split are patterns, in which `*` is any characters but a slash and `**` any folders, or exact
    names. Samples come in their order; what one pattern matches, sorted by name (by code points). Litter (`._x`,
    `__MACOSX/`) is no sample. A member of two patterns is an error, and so are a pattern that matches nothing, and a
    match that is no file.

    A field's key says what it is: `text` is the text, `folder` the name of the folder that it is in, `name` its own
    name with all folders. Where no key says so, a field with classes is the folder, another the text. A byte order
    mark at the front is dropped, and a NUL is an error.

    Args:
        splits: What to decode.
        encoding: The texts' encoding, as Python calls it: utf-8, latin-1, cp1252, utf-16.
        newlines: "lf" lets all lines end in LF, as Python reads text; "keep" keeps CRLF and CR as they are.
        label_folder: Which folder is the label: -1 is the one right above the file, -2 the one above that, 0 the
            outermost.

    Raises:
        DecodeError: A text is not in that encoding, or the archive is damaged; the reason names the member.
        ContentError: There are more texts than are declared, or more bytes than the archive should come to.
    """
    for path in dict.fromkeys(column.file for split in splits for column in split.columns.values()):
        its = {split.name: split for split in splits if any(c.file == path for c in split.columns.values())}
        makers = {name: _Maker(split, path, encoding, newlines, label_folder) for name, split in its.items()}
        beside = TAR_BYTES_A_TEXT * sum(split.samples for split in its.values())
        for member in read_members(path, {name: split.members for name, split in its.items()}, beside=beside):
            yield from makers[member.split].add(member)
        for maker in makers.values():
            yield from maker.flush()


class _Maker:
    """The blocks of one split, made of members as they come."""

    def __init__(self, split: Split, path: Path, encoding: str, newlines: str, label_folder: int) -> None:
        self._split, self._encoding = split, encoding
        self._newlines, self._label_folder = newlines, label_folder
        values_of = {DOCUMENT: self._text, FOLDER: self._folder, NAME: self._name}
        self._columns = [(c, values_of[_key(c)]) for c in split.columns.values() if c.file == path]
        self._values: list[list[str]] = [[] for _ in self._columns]
        self._start = self._held = self._characters = 0

    def add(self, member: Member) -> Iterator[Block]:
        """Take in one more sample, and yield the blocks that are full then."""
        if self._start + self._held == self._split.samples:
            split = self._split
            reason = (
                f"it has more texts than the {split.samples:,} that {split.name} declares: {member.name!r} is one more"
            )
            raise ContentError(
                member.path,
                reason,
                aspect="samples",
                expected=split.samples,
                actual=f"more than {split.samples}",
                split=split.name,
            )
        for (_, value_of), values in zip(self._columns, self._values, strict=True):
            values.append(value_of(member))
            self._characters += len(values[-1])
        self._held += 1
        if self._held == TEXTS_A_BLOCK or self._characters > BLOCK_CHARACTERS:
            yield from self.flush()

    def flush(self) -> Iterator[Block]:
        """Yield what is held."""
        if self._held:
            for (column, _), values in zip(self._columns, self._values, strict=True):
                yield Block(column, self._start, values)
            self._values = [[] for _ in self._columns]
        self._start, self._held, self._characters = self._start + self._held, 0, 0

    def _text(self, member: Member) -> str:
        try:
            text = member.data.decode(self._encoding)
        except UnicodeDecodeError as error:
            wrong = member.data[error.start : error.start + 4]
            hint = "If it is another encoding, declare it: options: {encoding: cp1252}, or latin-1, or another."
            member.fail(f"byte {error.start:,} is not {self._encoding}: {wrong!r}", hint=hint)
        text = text.removeprefix("\ufeff")
        if (at := text.find("\0")) >= 0:
            line = text.count("\n", 0, at) + 1
            member.fail(f"line {line:,} has a NUL character, so it is no text in {self._encoding}")
        return text.replace("\r\n", "\n").replace("\r", "\n") if self._newlines == "lf" else text

    def _name(self, member: Member) -> str:
        return member.name

    def _folder(self, member: Member) -> str:
        folders = member.name.split("/")[:-1]
        try:
            return folders[self._label_folder]
        except IndexError:
            has = "no folder" if not folders else "one folder" if len(folders) == 1 else f"{len(folders)} folders"
            member.fail(f"it is in {has}, and label_folder is {self._label_folder}")


def _key(column: Column) -> str:
    """Return what a column is: by its key, or else by what it may be.

    Raises:
        ContentError: It is declared as what it cannot be.
    """
    key = column.key if column.key in KEYS else FOLDER if column.classes is not None else DOCUMENT
    if column.dtype != TEXT and (key != FOLDER or column.classes is None):
        has = f"is the {key}, which is text" if key != DOCUMENT else "is text"
        reason = f"{column} {has}, and declared as {column.dtype}"
        raise ContentError(column.file, reason, aspect="dtype", expected=column.dtype, actual=TEXT, column=str(column))
    if column.per == "split":
        reason = f"{column} belongs to the split as a whole, and each text is a sample"
        raise ContentError(column.file, reason, aspect="samples", expected=1, actual="a text each", column=str(column))
    return key
