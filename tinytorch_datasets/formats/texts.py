"""Texts, a file each: the members of an archive, or the files of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tinytorch_datasets.errors import ContentError, DecodeError, Problems
from tinytorch_datasets.formats import (
    HEAD_BYTES,
    INSPECTED,
    INSPECTED_BYTES,
    ArrayInfo,
    Certainty,
    Detection,
    FileInfo,
    decodes,
)
from tinytorch_datasets.plan import TEXT, Block, Column, Split
from tinytorch_datasets.readers import tar
from tinytorch_datasets.readers.archive import Member, Pattern, is_zip, read_members
from tinytorch_datasets.readers.stream import encoding_of, opened
from tinytorch_datasets.readers.zip import opened_zip
from tinytorch_datasets.storage.files import is_litter

DOCUMENT, FOLDER, NAME = "text", "folder", "name"
KEYS = (DOCUMENT, FOLDER, NAME)

# How the names of texts end. A table or a program is text too, and no text to learn.
SUFFIXES = ("", ".txt", ".text")

TEXTS_A_BLOCK = 4096
BLOCK_CHARACTERS = 1 << 20

# What a text takes in a tar archive beside its bytes: a header, and a second one for its long name or its times.
TAR_BYTES_A_TEXT = 4096


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """An encoding that is none of text."""
    if encoding_of(options.get("encoding", "utf-8")) is None:
        yield ("encoding",), f"no encoding of text is called {options['encoding']!r}"


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize an archive whose texts are in folders that may be their classes."""
    if is_zip(path):
        with opened_zip(path) as archive:
            files = {name: True for name, entry in archive.entries.items() if entry.is_file}
        return Detection(Certainty.CERTAIN, lambda: _inspect(path)) if _class_folders(files) else None
    if head[257:262] != b"ustar":
        return None
    begun = [(name, data) for name, data in tar.begun(head, path) if not is_litter(name)]
    is_it = any("/" in name for name, _ in begun) and all(_may_be_text(name, data) for name, data in begun)
    return Detection(Certainty.CERTAIN, lambda: _inspect(path)) if is_it else None


def _may_be_text(name: str, data: bytes) -> bool:
    return b"\0" not in data and _suffix(name) in SUFFIXES


def _suffix(name: str) -> str:
    """Return the ending of a text's name, "" if it has none, or is a number: 20 newsgroups' have names like 49960."""
    front, dot, ending = name.rpartition("/")[2].rpartition(".")
    return dot + ending.lower() if front and not ending.isdigit() else ""


def _files(path: Path) -> dict[str, bool]:
    """Return the name of each file in an archive, and whether it may be text."""
    if is_zip(path):
        with opened_zip(path) as archive:
            names = [name for name, entry in archive.entries.items() if entry.is_file and not is_litter(name)]
            return {name: _may_be_text(name, archive.member(name, name, ()).some(HEAD_BYTES)) for name in names}
    limit = max(INSPECTED_BYTES, path.stat().st_size)
    files = tar.files(path, limit=limit, limit_reason=INSPECTED)
    return {name: _may_be_text(name, stream.some(HEAD_BYTES)) for name, stream in files if not is_litter(name)}


def _class_folders(files: Mapping[str, bool]) -> dict[str, dict[str, dict[str, int]]]:
    """Return the folders of texts in the folders that hold several such: how many are of each ending."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name, is_text in files.items():
        if is_text and _suffix(name) in SUFFIXES and name.count("/") and not is_litter(name):
            above, _, folder = name.rpartition("/")[0].rpartition("/")
            endings = found.setdefault(above, {}).setdefault(folder, {})
            endings[_suffix(name)] = endings.get(_suffix(name), 0) + 1
    return {above: folders for above, folders in found.items() if len(folders) > 1}


def inspect_files(files: Sequence[tuple[Path, str]]) -> FileInfo | None:
    """Return the splits of files, each with its path and its name, that are texts in folders of classes; else None.

    Raises:
        DecodeError: Others are among them.
    """
    roots = {path.as_posix().removesuffix(f"/{name}") for path, name in files}
    if len(roots) > 1 or not _class_folders(dict.fromkeys((name for _, name in files), True)):
        return None
    texts = dict[str, bool]()
    for path, name in files:
        with opened(path) as stream:
            texts[name] = _may_be_text(name, stream.some(HEAD_BYTES))
    if not _class_folders(texts):
        return None
    info = _describe(Path(roots.pop()), texts)
    if info.left_out:
        raise DecodeError(info.path, info.left_out[0], hint="Leave it out, and add the folders of the splits.")
    return replace(info, samples=tuple(texts))


def _inspect(path: Path) -> FileInfo:
    return _describe(path, _files(path))


def _describe(path: Path, files: Mapping[str, bool]) -> FileInfo:
    """Return the splits of an archive, or of files: the folders that hold a folder for each class."""
    found = _class_folders(files)
    if not found:
        reason = "it is an archive of texts, and no folder of it has a folder for each class"
        raise DecodeError(path, reason, hint="Unpack it, and add the files in it; or write the entry by hand.")
    shared = set.intersection(*(set(folders) for folders in found.values()))
    if len(shared) < 2:
        reason = f"which folders are its classes is not certain: those in {' and in '.join(map(repr, found))} differ"
        raise DecodeError(path, reason, hint="Write the entry by hand, with the patterns of the members.")
    arrays, taken = list[ArrayInfo](), set[str]()
    for above, folders in sorted(found.items()):
        for pattern in _patterns(path, above, {folder: folders[folder] for folder in sorted(shared)}, files):
            matches = Pattern(pattern).matches
            names = [name for name in files if matches(name)]
            taken.update(names)
            shape = (len(names),)
            arrays.append(ArrayInfo("", TEXT, shape, field="texts", member=pattern))
            arrays.append(ArrayInfo("", "int64", shape, field="labels", member=pattern, classes=tuple(sorted(shared))))
    others = [name for name in files if name not in taken]
    return FileInfo(path, "texts", tuple(arrays), left_out=tuple(_left_out(others)))


def _patterns(path: Path, above: str, folders: Mapping[str, Mapping[str, int]], files: Mapping[str, bool]) -> list[str]:
    """Return what matches the texts of some folders and nothing else: one pattern, or one a folder."""
    endings = {ending for of in folders.values() for ending in of}
    if len(endings) > 1:
        reason = f"its texts in {above or 'its folders'} end in {' and in '.join(repr(end) for end in sorted(endings))}"
        raise DecodeError(path, reason, hint="Write the entry by hand, with the patterns of the members.")
    front, back = f"{above}/" if above else "", f"/*{endings.pop()}"
    number = sum(sum(of.values()) for of in folders.values())
    for patterns in ([f"{front}*{back}"], [f"{front}{folder}{back}" for folder in folders]):
        matchers = [Pattern(pattern).matches for pattern in patterns]
        if sum(any(matches(name) for matches in matchers) for name in files) == number:
            return patterns
    reason = f"in the folders of {above or 'it'}, other files are named as its texts are"
    raise DecodeError(path, reason, hint="Take them out, or write the entry by hand.")


def _left_out(names: Sequence[str]) -> Iterator[str]:
    """Say of each folder which of its files are no texts of a class."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        by_folder.setdefault(name.rpartition("/")[0], []).append(name)
    for folder, its in sorted(by_folder.items()):
        more = f" and {len(its) - 1:,} more in {folder or 'the archive'}" if len(its) > 1 else ""
        yield f"{its[0]!r}{more}: no text in a folder that every split has"


@decodes("texts", layout="members", reads_members=False, check=_check, detect=_detect, member_patterns=True)
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
    match that is no file. A split that names no `file` is of files that the entry declares:

        train: {samples: 25_000, file: reviews.tar.gz, members: ["reviews/train/*/*.txt"], texts: text, labels: folder}
        test: {samples: 25_000, members: ["test/*/*.txt"], texts: text, labels: folder}

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
