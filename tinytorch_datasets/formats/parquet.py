"""Parquet: tables by columns, compressed page by page, read by pyarrow."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from tinytorch_datasets import formats
from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import (
    INSPECTED,
    INSPECTED_BYTES,
    ArrayInfo,
    Certainty,
    Detection,
    FileInfo,
    decodes,
)
from tinytorch_datasets.plan import TEXT, Block, Split
from tinytorch_datasets.readers.arrow.columns import (
    leaves,
    prefixes,
    refuse_compressed,
    refusing,
    stored_as,
    text_lengths,
)
from tinytorch_datasets.readers.arrow.summary import describe
from tinytorch_datasets.readers.arrow.values import decode, first_rows
from tinytorch_datasets.readers.arrow.wire import BINARY, I32, I64, MOST_COLUMNS, MOST_DEPTH, Flat, Thrift

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"

# The footer is read whole, and takes far more room as objects: in a table, it is a small part of the file.
SMALL_FOOTER = 1 << 20
FOOTER_PART = 8
# Pages are written of about 1 MiB. What one comes to is held at once.
LARGEST_PAGE = 1 << 28
PAGE_HEAD, LONGEST_PAGE_HEAD = 1 << 9, 1 << 20
# What the texts of a batch come to at most, if each were the longest that there is.
TEXTS_A_BATCH = 1 << 26
BUFFER_BYTES = 1 << 20
# Texts are read as positions in their dictionary where each of its words is for so many rows of a batch.
ROWS_A_WORD = 8

# parquet.thrift: the types of pages, and of the encodings that make many texts of few bytes.
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3
DICTIONARY, PREFIXES = frozenset({2, 8}), 7


def _detect(head: bytes, path: Path) -> Detection | None:
    return Detection(Certainty.CERTAIN, lambda: _inspect(path)) if head.startswith((MAGIC, ENCRYPTED)) else None


def _inspect(path: Path) -> FileInfo:
    formats.of("parquet").check_libraries()
    with refusing(path, "Parquet"):
        table = Table(path, INSPECTED_BYTES, INSPECTED)
        columns, left_out = describe(table)
    arrays = tuple(ArrayInfo(**column._asdict()) for column in columns)
    return FileInfo(path, "parquet", arrays, left_out=tuple(left_out), is_table=True)


@decodes(
    "parquet",
    layout="file per split",
    joins_members=True,
    reads_members=False,
    missing=("null",),
    needs=("pyarrow", "tables"),
    detect=_detect,
    first_rows=lambda column, options: first_rows(column, "Parquet", Table, formats.FIRST_ROWS),
)
def parquet(splits: Sequence[Split]) -> Iterator[Block]:
    """Parquet files, one for each split; a field's key is the name of its column.

    A column inside a group is named by its path (`answer.text`). Columns are numbers, bools, text, and lists of
    numbers: lists that are all as long are a shape, or else the field is ragged (`shape: [null]`). Text is also
    what a dictionary encodes. Numbers are read into the declared dtype where that holds each of them exactly; a float
    of more digits is rounded to the nearest. A null is an error, unless the field has `missing: [null]`. Times,
    decimals and bytes (pictures, sounds) are not read. A split is one file, or several.

    It needs pyarrow, which the extra `tables` brings.

    Raises:
        MissingLibrary: pyarrow is not installed.
        DecodeError: It is not sound Parquet, has no such column, or the column's type is not read.
        ContentError: It has more rows than declared, or a value that the declared dtype does not hold.
    """
    formats.of("parquet").check_libraries()
    yield from decode(splits, "Parquet", Table)


@dataclass(frozen=True)
class Pages:
    """What the headers of a column's pages say, in one group of rows: `bytes` are all that they come to.

    `largest` is what the largest comes to, `encodings` are those of the values, `words` are in a dictionary.
    """

    bytes: int
    largest: int
    words: int
    encodings: frozenset[int]

    @property
    def has_dictionary(self) -> bool:
        """Whether values are numbers of a dictionary, in one page at least."""
        return bool(self.encodings & DICTIONARY)

    @property
    def is_dictionary(self) -> bool:
        """Whether all values are."""
        return self.encodings <= DICTIONARY


class Table:
    """A Parquet file, opened. At most `limit` bytes come out of the columns that are read of it."""

    def __init__(self, path: Path, limit: int, limit_reason: str) -> None:
        import pyarrow.parquet as pq

        self.path, self._limit, self._limit_reason = path, limit, limit_reason
        self._footer = Footer(path)
        self._options: dict[str, Any] = {
            "pre_buffer": False,
            "buffer_size": BUFFER_BYTES,
            "thrift_string_size_limit": max(SMALL_FOOTER, self._footer.size // FOOTER_PART),
            "thrift_container_size_limit": MOST_COLUMNS,
            "page_checksum_verification": True,
        }
        with pq.ParquetFile(path, **self._options) as file:
            self._metadata, self.schema, self.rows = file.metadata, file.schema_arrow, self._footer.rows

    def batches(self, keys: Sequence[str], rows: int) -> Iterator[Any]:
        """Yield record batches of at most so many rows, which have at least these columns."""
        import pyarrow.parquet as pq

        pages = self._pages(keys)
        kinds = {".".join(path): stored_as(kind) for path, kind in leaves(self.schema).items()}
        texts = [key for key in keys if getattr(kinds.get(key), "dtype", "") == TEXT]
        # A dictionary is read with each batch anew, so that a large one costs more than the texts.
        most = rows // ROWS_A_WORD
        whole = [key for key in texts if all(group[key].is_dictionary and group[key].words <= most for group in pages)]
        whole = [key for key in whole if key in self.schema.names]  # of parts of groups, pyarrow reads no dictionary
        with (
            pq.ParquetFile(self.path, metadata=self._metadata, read_dictionary=whole, **self._options) as file,
            pq.ParquetFile(self.path, metadata=self._metadata, read_dictionary=texts, **self._options) as by_dictionary,
        ):
            for at, group in enumerate(pages):
                longest = sum(self._longest(by_dictionary, at, key, group[key]) for key in texts if key not in whole)
                step = max(1, min(rows, TEXTS_A_BATCH // max(longest, 1)))
                for batch in file.iter_batches(step, row_groups=[at], columns=list(keys)):
                    for key in whole:  # pyarrow checks no position in a dictionary
                        batch.column(batch.schema.get_field_index(key)).validate(full=True)
                    yield batch

    def _longest(self, file: Any, at: int, key: str, pages: Pages) -> int:
        """Return what one text may come to by a dictionary, or by what it has in common with the one before."""
        if PREFIXES in pages.encodings:
            return pages.largest
        if not pages.has_dictionary:
            return 0
        if key not in self.schema.names:
            return pages.largest
        batch = next(file.iter_batches(1, row_groups=[at], columns=[key]), None)
        array = batch.column(batch.schema.get_field_index(key)) if batch is not None else None
        if array is None or not hasattr(array, "dictionary"):
            return pages.largest
        return int(text_lengths(array.dictionary).max(initial=0))

    def _pages(self, keys: Sequence[str]) -> list[dict[str, Pages]]:
        """Read the headers of all pages of these columns, by group of rows: before memory is taken for what they say.

        Raises:
            DecodeError: They are damaged, or come to more than may be read.
        """
        footer, groups, total = self._footer, list[dict[str, Pages]](), 0
        wanted = set(keys)
        chosen = [(at, key) for at, name in enumerate(footer.names) for key in prefixes(name) if key in wanted]
        with open(self.path, "rb", opener=open_file) as file:
            for rows, chunks in footer.groups:
                by_key = dict[str, Pages]()
                for at, key in chosen:
                    pages = _pages_of(file, chunks[at], rows, footer.damaged(at))
                    if footer.names[at] == key or key not in by_key:
                        by_key[key] = pages
                    total += pages.bytes
                    if total > self._limit:
                        reason = f"more than {self._limit:,} bytes come out of it, but {self._limit_reason}"
                        raise DecodeError(self.path, reason)
                groups.append(by_key)
        return groups


class Chunk(NamedTuple):
    """Where the pages of a column are, in one group of rows, and how many values they hold."""

    begin: int
    end: int
    values: int


class Group(NamedTuple):
    """A group of rows: how many it has, and the chunk of each column."""

    rows: int
    chunks: Sequence[Chunk]


# parquet.thrift, FileMetaData: of a column its name and how many are inside of it; of a group of rows each column's
# other file, number of values, size, places of its pages, and how it is encrypted.
_CHUNK = {1: BINARY, 3: {5: I64, 7: I64, 9: I64, 11: I64}, 8: {}, 9: BINARY}
_FOOTER = {2: [{4: BINARY, 5: I32}], 3: I64, 4: [{1: [_CHUNK], 3: I64}], 5: [{1: BINARY, 2: BINARY}], 8: {}}


class Footer:
    """The footer of a Parquet file: the path of each column, and the groups of rows.

    pyarrow reads it as well, but ends the process at some that are damaged, and takes memory for whatever it states.

    Raises:
        DecodeError: It is damaged, encrypted, or states more than there may be.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, path.stat().st_size
        try:
            fields = Thrift(self._bytes()).struct(0, _FOOTER)
            self.names = self._leaves(fields[2])
            self.rows: int = fields[3]
            self.groups = [self._group(group) for group in fields.get(4, ())]
            for pair in fields.get(5, ()):
                if pair.get(1) == b"ARROW:schema":
                    data = base64.b64decode(pair.get(2, b""))
                    Flat(data[8:]).message().header.check_columns(path)
        except (LookupError, ValueError, struct.error, TypeError) as error:
            if isinstance(error, DecodeError):
                raise
            raise DecodeError(path, "its footer is damaged") from error
        total = sum(group.rows for group in self.groups)
        if total != self.rows:
            raise DecodeError(path, f"its footer states {self.rows:,} rows, and {total:,} in its groups of rows")

    def _bytes(self) -> bytes:
        path, size = self.path, self.size
        with open(path, "rb", opener=open_file) as file:
            head = file.read(8)
            file.seek(max(size - 8, 0))
            tail = file.read(8)
            if ENCRYPTED in (head[:4], tail[4:]):
                self._refuse_encrypted()
            if not head.startswith(MAGIC):
                refuse_compressed(path, head, "Parquet")
                raise DecodeError(path, f"it is not Parquet: it begins with {head[:4]!r}, not {MAGIC!r}")
            if tail[4:] != MAGIC or size < 12:
                reason = f"it is cut short, or something follows: it ends with {tail[4:]!r}, not {MAGIC!r}"
                raise DecodeError(path, reason)
            length, most = int.from_bytes(tail[:4], "little"), min(size - 12, max(SMALL_FOOTER, size // FOOTER_PART))
            if length > most:
                reason = f"it states a footer of {length:,} bytes; in a file of {size:,}, the most is {most:,}"
                raise DecodeError(path, reason)
            file.seek(size - 8 - length)
            return file.read(length)

    def _refuse_encrypted(self) -> NoReturn:
        hint = "Have it saved without encryption."
        raise DecodeError(self.path, "it is encrypted Parquet, which is not read", hint=hint)

    def _leaves(self, elements: Sequence[Mapping[int, Any]]) -> list[str]:
        """Return the path of each column, and check how deep groups are nested: who reads them goes as deep."""
        if len(elements) > MOST_COLUMNS:
            raise DecodeError(self.path, f"its footer states more than {MOST_COLUMNS:,} columns")
        names, left = list[str](), list[int]()
        path = list[str]()
        for element in elements:
            name, children = element.get(4, b"").decode("utf-8", "replace"), element.get(5, 0)
            path.append(name)
            if children > 0:
                left.append(children)
                if len(left) > MOST_DEPTH:
                    reason = f"its columns are in more than {MOST_DEPTH} groups, one inside the other"
                    raise DecodeError(self.path, reason)
                continue
            names.append(".".join(path[1:]))
            while left:
                path.pop()
                left[-1] -= 1
                if left[-1]:
                    break
                left.pop()
        if left or len(path) > 1:
            raise ValueError
        return names

    def damaged(self, at: int) -> DecodeError:
        """Return the error that the pages of a column, by its number, are."""
        name = self.names[at] if at < len(self.names) else at
        return DecodeError(self.path, f"the pages of column {name!r} are not what its footer states")

    def _group(self, group: Mapping[int, Any]) -> Group:
        chunks = list[Chunk]()
        for chunk in group[1]:
            if 8 in chunk or 9 in chunk:
                self._refuse_encrypted()
            if name := chunk.get(1, b"")[:100].decode("utf-8", "replace"):
                raise DecodeError(self.path, f"it keeps columns in another file, {name!r}, which is not read")
            of = chunk[3]
            begin, dictionary = of[9], of.get(11, 0)
            begin = dictionary if 0 < dictionary < begin else begin
            if not 0 <= begin <= begin + of[7] <= self.size:
                raise self.damaged(len(chunks))
            chunks.append(Chunk(begin, begin + of[7], of[5]))
        if len(chunks) != len(self.names) or group[3] < 0:
            raise ValueError
        return Group(group[3], chunks)


def _pages_of(file: BinaryIO, chunk: Chunk, rows: int, damaged: DecodeError) -> Pages:
    """Read the headers of the pages of a column in one group of rows."""
    at, end, values = chunk
    if values < rows:
        raise damaged
    total = largest = values_read = words = 0
    encodings = set[int]()
    while values_read < values:
        page = _page(file, at, end, damaged)
        at, words = page.end, words + page.words
        total, largest, values_read = total + page.bytes, max(largest, page.bytes), values_read + page.values
        if page.encoding is not None:
            encodings.add(page.encoding)
    if values_read != values or largest > LARGEST_PAGE:
        raise damaged
    return Pages(total, largest, words, frozenset(encodings))


class Page(NamedTuple):
    """What the header of a page says; `encoding` is of its values, where they are no dictionary of `words`."""

    end: int
    bytes: int
    values: int
    words: int
    encoding: int | None


def _page(file: BinaryIO, at: int, end: int, damaged: DecodeError) -> Page:
    head = PAGE_HEAD
    while True:
        file.seek(at)
        data = file.read(min(head, end - at))
        thrift = Thrift(data)
        try:
            # Type, sizes inflated and as stored; of data pages the number of values and their encoding.
            fields = thrift.struct(0, {1: I32, 2: I32, 3: I32, 5: {1: I32, 2: I32}, 7: {1: I32}, 8: {1: I32, 4: I32}})
            break
        except IndexError:
            if len(data) < head or head >= LONGEST_PAGE_HEAD:
                raise damaged from None
            head *= 8
        except ValueError:
            raise damaged from None
    kind, inflated, stored = (fields.get(number, -1) for number in (1, 2, 3))
    after = at + thrift.at + stored
    if min(inflated, stored) < 0 or after > end:
        raise damaged
    values, encoding = 0, None
    if kind in (DATA_PAGE, DATA_PAGE_V2):
        of = fields.get(5 if kind == DATA_PAGE else 8, {})
        values, encoding = of.get(1, -1), of.get(2 if kind == DATA_PAGE else 4)
        if values < 0:
            raise damaged
    words = fields.get(7, {}).get(1, 0) if kind == DICTIONARY_PAGE else 0
    return Page(after, inflated, values, words, encoding)
