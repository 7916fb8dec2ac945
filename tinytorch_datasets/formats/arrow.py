"""Arrow: its file and its stream (IPC), and Feather, read by pyarrow."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
from tinytorch_datasets.plan import Block, Split
from tinytorch_datasets.readers.arrow.columns import prefixes, refuse_compressed, refusing
from tinytorch_datasets.readers.arrow.summary import describe
from tinytorch_datasets.readers.arrow.values import decode, first_rows
from tinytorch_datasets.readers.arrow.wire import BATCH, DICTIONARY, SCHEMA, Flat

FILE, STREAM, FEATHER_1 = b"ARROW1\0\0", b"\xff\xff\xff\xff", b"FEA1"
END, TAIL = b"\xff\xff\xff\xff\0\0\0\0", b"ARROW1"


def _detect(head: bytes, path: Path) -> Detection | None:
    is_stream = head.startswith(STREAM) and 0 < int.from_bytes(head[4:8], "little") < 2**31 and not head[4] % 8
    if not is_stream and not head.startswith((FILE, FEATHER_1)):
        return None
    return Detection(Certainty.CERTAIN, lambda: _inspect(path))


def _inspect(path: Path) -> FileInfo:
    formats.of("arrow").check_libraries()
    with refusing(path, "Arrow"):
        columns, left_out = describe(Table(path, INSPECTED_BYTES, INSPECTED))
    arrays = tuple(ArrayInfo(**column._asdict()) for column in columns)
    return FileInfo(path, "arrow", arrays, left_out=tuple(left_out), is_table=True)


@decodes(
    "arrow",
    layout="file per split",
    joins_members=True,
    reads_members=False,
    missing=("null",),
    needs=("pyarrow", "tables"),
    detect=_detect,
    first_rows=lambda column, options: first_rows(column, "Arrow", Table, formats.FIRST_ROWS),
)
def arrow(splits: Sequence[Split]) -> Iterator[Block]:
    """Arrow files and streams (IPC), Feather of version 2 among them; a field's key is the name of its column.

    What columns may hold, and how nulls are declared, is as in `parquet`.

    It needs pyarrow, which the extra `tables` brings.

    Raises:
        MissingLibrary: pyarrow is not installed.
        DecodeError: It is not sound Arrow, has no such column, or the column's type is not read.
        ContentError: It has more rows than declared, or a value that the declared dtype does not hold.
    """
    formats.of("arrow").check_libraries()
    yield from decode(splits, "Arrow", Table)


class Table:
    """An Arrow file or stream, mapped. At most `limit` bytes are inflated at once."""

    def __init__(self, path: Path, limit: int, limit_reason: str) -> None:
        import pyarrow as pa

        self.path, self._limit, self._limit_reason = path, limit, limit_reason
        self._inflated = 0
        with open(path, "rb", opener=open_file) as file:
            head = file.read(8)
        if head.startswith(FEATHER_1):
            raise DecodeError(
                path, "it is Feather of version 1, which is not read", hint="Write it again: pandas does."
            )
        if not head.startswith((FILE, STREAM)):
            refuse_compressed(path, head, "Arrow")
            raise DecodeError(path, f"it is not Arrow: it begins with {head[:6]!r}")
        self._is_file = head.startswith(FILE)
        self._map = pa.memory_map(str(path))
        self.rows = self._check_messages()
        self.schema = self._open().schema

    def _open(self, **options: Any) -> Any:
        import pyarrow as pa

        self._map.seek(0)
        with_options = pa.ipc.IpcReadOptions(**options)
        return (pa.ipc.open_file if self._is_file else pa.ipc.open_stream)(self._map, options=with_options)

    def batches(self, keys: Sequence[str], rows: int) -> Iterator[Any]:
        """Yield record batches of at most so many rows, which have at least these columns."""
        if self._inflated > self._limit:
            reason = f"more than {self._limit:,} bytes come out of it, but {self._limit_reason}"
            raise DecodeError(self.path, reason)
        roots = {name for key in keys for name in prefixes(key)}
        wanted = [at for at, name in enumerate(self.schema.names) if name in roots]
        reader = self._open(included_fields=wanted)
        whole = map(reader.get_batch, range(reader.num_record_batches)) if self._is_file else iter(reader)
        for batch in whole:
            # Nobody has looked at offsets yet, which say where in the file a text is.
            batch.validate(full=True)
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, rows)

    def _check_messages(self) -> int:
        """Look at all messages, before memory is taken for what they say; return how many rows there are.

        Raises:
            DecodeError: They are damaged.
        """
        rows, dictionaries = 0, 0
        try:
            for metadata, body in self._of_file() if self._is_file else self._of_stream():
                kind, header = Flat(metadata).message()
                of = header.table(1) if kind == DICTIONARY else header
                if kind == SCHEMA:
                    header.check_columns(self.path)
                elif of is not None:
                    inflated = of.inflated(body)
                    dictionaries += inflated if kind == DICTIONARY else 0
                    rows += header.number(0) if kind == BATCH else 0
                    self._inflated = max(self._inflated, dictionaries + (inflated if kind == BATCH else 0))
        except (struct.error, IndexError, OverflowError, ValueError) as error:
            if isinstance(error, DecodeError):
                raise
            raise DecodeError(self.path, "one of its messages is damaged") from error
        return rows

    def _of_stream(self) -> Iterator[tuple[Any, Any]]:
        """Yield the messages of a stream, and check its end."""
        import pyarrow as pa

        self._map.seek(0)
        try:
            for message in pa.ipc.MessageReader.open_stream(self._map):
                yield message.metadata, message.body
        except pa.ArrowInvalid as error:  # is a ValueError, too
            raise DecodeError(self.path, f"it cannot be read as Arrow: {error}") from error
        end, size = self._map.tell(), self._map.size()
        self._map.seek(max(end - len(END), 0))
        if self._map.read(len(END)) != END:
            raise DecodeError(self.path, "it ends without a mark of its end; is it cut short?")
        if end != size:
            raise DecodeError(self.path, f"it is {end:,} bytes, but {size - end:,} more follow")

    def _of_file(self) -> Iterator[tuple[Any, Any]]:
        """Yield the messages that the footer of a file lists, where it says that they are."""
        size = self._map.size()
        tail = self._map.read_at(len(TAIL) + 4, max(size - len(TAIL) - 4, 0))
        if tail[4:] != TAIL:
            reason = f"it is cut short, or something follows: it ends with {tail[4:]!r}, not {TAIL!r}"
            raise DecodeError(self.path, reason)
        length = int.from_bytes(tail[:4], "little")
        if length > size - len(FILE) - len(tail):
            raise DecodeError(self.path, f"it states a footer of {length:,} bytes, and has {size:,}")
        footer = Flat(self._map.read_at(length, size - len(tail) - length))
        schema = footer.table(1)
        if schema is None:
            raise ValueError
        schema.check_columns(self.path)
        for field in (2, 3):
            for at, stated, bytes_of in footer.blocks(field):
                metadata = self._map.read_at(stated, at)
                head = 8 if metadata[:4] == STREAM else 4
                self._map.seek(at + stated)
                yield metadata[head:], self._map.read_buffer(bytes_of)
