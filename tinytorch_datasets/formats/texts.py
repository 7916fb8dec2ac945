"""Texts, a file each: the members of an archive, or the files of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.members import Member, Pattern
from tinytorch_datasets.readers.archives.samples import (
    LabelSplit,
    Naming,
    check_naming,
    class_folders,
    decode_members,
    ending,
    grouped,
    key_of,
    left_out,
    patterns,
)
from tinytorch_datasets.readers.archives.source import is_litter, is_zip
from tinytorch_datasets.readers.archives.zip import opened_zip
from tinytorch_datasets.readers.stream import encoding_of, opened

DOCUMENT = "text"

# How the names of texts end. A table or a program is text too, and no text to learn.
SUFFIXES = ("", ".txt", ".text")

BLOCK_CHARACTERS = 1 << 20

NO_TEXT = "no text in a folder that every split has"


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """An encoding that is none of text, and labels that no name has."""
    if encoding_of(options.get("encoding", "utf-8")) is None:
        yield ("encoding",), f"no encoding of text is called {options['encoding']!r}"
    yield from check_naming(options)


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize an archive whose texts are in folders that may be their classes."""

    def inspect(**given: Any) -> FileInfo:
        return _inspect(path, given.get("encoding", "utf-8"))

    if is_zip(path):
        with opened_zip(path) as archive:
            files = {name: True for name, entry in archive.entries.items() if entry.is_file}
        return Detection(Certainty.CERTAIN, inspect, takes_options=True) if _class_folders(files) else None
    if head[257:262] != b"ustar":
        return None
    begun = [(name, data) for name, data in tar.begun(head, path) if not is_litter(name)]
    is_it = any("/" in name for name, _ in begun) and all(_may_be_text(name, data) for name, data in begun)
    return Detection(Certainty.CERTAIN, inspect, takes_options=True) if is_it else None


def _may_be_text(name: str, data: bytes, encoding: str = "utf-8") -> bool:
    is_wide = (encoding_of(encoding) or "").startswith(("utf-16", "utf-32"))
    return (is_wide or b"\0" not in data) and ending(name) in SUFFIXES


def _files(path: Path, encoding: str) -> dict[str, bool]:
    """Return the name of each file in an archive, and whether it may be text."""
    if is_zip(path):
        with opened_zip(path) as archive:
            names = [name for name, entry in archive.entries.items() if entry.is_file and not is_litter(name)]
            heads = {name: archive.member(name, name, ()).some(HEAD_BYTES) for name in names}
            return {name: _may_be_text(name, head, encoding) for name, head in heads.items()}
    limit = max(INSPECTED_BYTES, path.stat().st_size)
    files = tar.files(path, limit=limit, limit_reason=INSPECTED)
    heads = {name: stream.some(HEAD_BYTES) for name, stream in files if not is_litter(name)}
    return {name: _may_be_text(name, head, encoding) for name, head in heads.items()}


def _class_folders(files: Mapping[str, bool]) -> dict[str, dict[str, dict[str, int]]]:
    return class_folders(name for name, is_text in files.items() if is_text and ending(name) in SUFFIXES)


def inspect_files(
    files: Sequence[tuple[Path, str]], given: Mapping[str, Any], *, is_said: bool = False
) -> FileInfo | None:
    """Return the splits of files, each with its path and its name, that are texts in folders of classes; else None.

    Where a person says that they are, they need not be most of the files. `given` are options as they were typed.

    Raises:
        DecodeError: Others are among them.
    """
    roots = {path.as_posix().removesuffix(f"/{name}") for path, name in files}
    if len(roots) > 1 or not (is_said or _class_folders(dict.fromkeys((name for _, name in files), True))):
        return None
    texts = dict[str, bool]()
    for path, name in files:
        with opened(path) as stream:
            texts[name] = _may_be_text(name, stream.some(HEAD_BYTES), given.get("encoding", "utf-8"))
    if not (is_said and any(texts.values())) and not _class_folders(texts):
        return None
    return _describe(Path(roots.pop()), texts)


def _inspect(path: Path, encoding: str = "utf-8") -> FileInfo:
    return _describe(path, _files(path, encoding))


def _describe(path: Path, files: Mapping[str, bool]) -> FileInfo:
    """Return the splits of an archive, or of files: the folders that hold a folder for each class."""
    found = _class_folders(files)
    if not found:
        return _describe_flat(path, files)
    shared = set.intersection(*(set(folders) for folders in found.values()))
    if len(shared) < 2:
        reason = f"which folders are its classes is not certain: those in {' and in '.join(map(repr, found))} differ"
        raise DecodeError(path, reason, hint="Write the entry by hand, with the patterns of the members.")
    arrays, taken = list[ArrayInfo](), set[str]()
    for above, folders in sorted(found.items()):
        for pattern in patterns(path, above, {folder: folders[folder] for folder in sorted(shared)}, files, "texts"):
            matches = Pattern(pattern).matches
            names = [name for name in files if matches(name)]
            taken.update(names)
            shape = (len(names),)
            arrays.append(ArrayInfo("", TEXT, shape, field="texts", member=pattern))
            arrays.append(ArrayInfo("", "int64", shape, field="labels", member=pattern, classes=tuple(sorted(shared))))
    others = [name for name in files if name not in taken]
    why = tuple(left_out(others, NO_TEXT))
    return FileInfo(path, "texts", tuple(arrays), left_out=why, samples=tuple(sorted(taken)), others=tuple(others))


def _describe_flat(path: Path, files: Mapping[str, bool]) -> FileInfo:
    """Return the splits of texts that are in no folders of classes."""
    names = [name for name, is_text in sorted(files.items()) if is_text]
    if not names:
        raise DecodeError(path, "it is an archive of texts, and none of its files is one")
    others, arrays = [name for name in files if name not in set(names)], list[ArrayInfo]()
    for group in grouped(path, names, others, "texts"):
        for pattern in group.patterns:
            count = sum(map(Pattern(pattern).matches, group.samples))
            arrays.append(ArrayInfo("", TEXT, (count,), field="texts", member=pattern))
    why = tuple(left_out(others, "no text"))
    return FileInfo(path, "texts", tuple(arrays), left_out=why, samples=tuple(names), others=tuple(others))


@decodes("texts", layout="file per sample", check=_check, detect=_detect)
def texts(
    splits: Sequence[Split],
    *,
    encoding: str = "utf-8",
    newlines: Literal["lf", "keep"] = "lf",
    label_folder: int | list[int] | str = -1,
    label_split: LabelSplit | None = None,
    skip: list[str] | None = None,
) -> Iterator[Block]:
    """A text a sample: the members of a zip or tar archive, or files in folders, whose names may be labels.

    The members of a split are patterns, in which `*` is any characters but a slash and `**` any folders, or exact
    names. Samples come in their order; what one pattern matches, sorted by name (by code points). Litter (`._x`,
    `__MACOSX/`) is no sample. A member of two patterns is an error, and so are a pattern that matches nothing, a
    match that is no file, and two that differ in case, or in their form of Unicode, alone. A split that names no
    `file` is of files that the entry declares:

        train: {samples: 25_000, file: reviews.tar.gz, members: ["reviews/train/*/*.txt"], texts: text, labels: folder}
        test: {samples: 25_000, members: ["test/*/*.txt"], texts: text, labels: folder}

    A field's key says what it is: `text` is the text, `folder` the name of the folder that it is in, `part` a part of
    its own name, `name` its own name with all folders. Where no key says so, a field with classes is the folder, or
    the part if `label_split` says which; another is the text. A byte order mark at the front is dropped, and a NUL is
    an error.

    Args:
        splits: What to decode.
        encoding: The texts' encoding, as Python calls it: utf-8, latin-1, cp1252, utf-16.
        newlines: "lf" lets all lines end in LF, as Python reads text; "keep" keeps CRLF and CR as they are.
        label_folder: Which folder is the label: -1 is the one right above the file, -2 the one above that, 0 the
            outermost. Of a list, the folders with a slash between them; of a path, all folders below that one.
        label_split: Which part of the name, without its ending, is the label: `["_", 0]` is what is before the first
            `_`, `["_", 0, -1]` all that is before the last.
        skip: Members of splits that are no samples, by exact name. Each must be there.

    Raises:
        DecodeError: A text is not in that encoding, or the archive is damaged; the reason names the member.
        ContentError: There are more texts than are declared, or more bytes than the archive should come to.
    """
    naming = Naming(label_folder, label_split)

    def read(its: Mapping[str, Split], members: Iterator[Member]) -> Iterator[tuple[Member, list[str], int]]:
        keys = {name: [_key(column, naming) for column in split.columns.values()] for name, split in its.items()}
        for member in members:
            values = [
                _text(member, encoding, newlines) if key == DOCUMENT else naming.value(key, member)
                for key in keys[member.split]
            ]
            yield member, values, sum(map(len, values))

    yield from decode_members(splits, "texts", read, skip=skip, block_size=BLOCK_CHARACTERS)


def _key(column: Column, naming: Naming) -> str:
    key = key_of(column, DOCUMENT, "text", naming)
    if key == DOCUMENT and column.dtype != TEXT:
        reason = f"{column} is text, and declared as {column.dtype}"
        raise ContentError(column.file, reason, aspect="dtype", expected=column.dtype, actual=TEXT, column=str(column))
    return key


def _text(member: Member, encoding: str, newlines: str) -> str:
    try:
        text = member.data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = member.data[error.start : error.start + 4]
        hint = "If it is another encoding, declare it: options: {encoding: cp1252}, or latin-1, or another."
        member.fail(f"byte {error.start:,} is not {encoding}: {wrong!r}", hint=hint)
    text = text.removeprefix("\ufeff")
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        member.fail(f"line {line:,} has a NUL character, so it is no text in {encoding}")
    return text.replace("\r\n", "\n").replace("\r", "\n") if newlines == "lf" else text
