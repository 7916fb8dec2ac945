"""What does a text file say, line by line, and on which line is it not text?

UTF-8, strictly. Lines end in LF and nowhere else: str.splitlines would also cut at twelve other characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tinytorch_datasets.formats._stream import OUTPUT_CHUNK, Stream, opened
from tinytorch_datasets.plan import Column

BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 20

# How many bytes a text will come to is not declared. Prose shrinks to a fifth at best, tables of zeros further.
INFLATION = 32
SMALL_TEXT = 1 << 20
CHARACTERS_A_NUMBER = 32


@contextmanager
def opened_text(path: Path, columns: Iterable[Column]) -> Iterator[Stream]:
    """A text file, plain or compressed, bounded by its size on disk and by the numbers it is to hold."""
    on_disk = path.stat().st_size
    numbers = sum(column.nbytes for column in columns)
    limit = max(INFLATION * on_disk, CHARACTERS_A_NUMBER * numbers) + SMALL_TEXT
    promise = f"the file has {on_disk:,}" + (f" and its declared numbers take {numbers:,}" if numbers else "")
    with opened(path, limit=limit, promise=promise) as stream:
        yield stream


def document(stream: Stream) -> str:
    """All of the text, as it is. A carriage return is an error, because it would be a character to learn."""
    data = stream.whole()
    if data.startswith(BOM):
        _bad(stream, 1, "a byte order mark (BOM)")
    for byte, what in ((b"\0", "a NUL character"), (b"\r", "a carriage return: lines must end in LF, not CRLF")):
        if (at := data.find(byte)) >= 0:
            _bad(stream, data.count(b"\n", 0, at) + 1, what)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        _bad(stream, data.count(b"\n", 0, error.start) + 1, _not_utf8(data, error))


def lines(stream: Stream, *, bom: bool = False, carriage_returns: bool = False) -> Iterator[str]:
    """Each line without its LF; `bom` lets a byte order mark stand at the front, where it is dropped."""
    number, rest, first = 0, b"", True
    # Full chunks, because a stream may come in single bytes, and each would copy the line begun.
    while chunk := _chunk(stream):
        if first and chunk[:3] == BOM:
            if not bom:
                _bad(stream, 1, "a byte order mark (BOM)")
            chunk = chunk[3:]
        first = False
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            yield _line(stream, number, line, carriage_returns)
        if len(rest) > LONGEST_LINE:
            _line(stream, number + 1, rest, carriage_returns)
    if rest:
        yield _line(stream, number + 1, rest, carriage_returns)


def _chunk(stream: Stream) -> bytes:
    chunk = bytearray(OUTPUT_CHUNK)
    return bytes(memoryview(chunk)[: stream.fill(memoryview(chunk))])


def _line(stream: Stream, number: int, line: bytes, carriage_returns: bool) -> str:
    if len(line) > LONGEST_LINE:
        _bad(stream, number, f"more than {LONGEST_LINE:,} bytes in one line")
    if b"\0" in line:
        _bad(stream, number, "a NUL character")
    if b"\r" in line and not carriage_returns:
        _bad(stream, number, "a carriage return: lines must end in LF, not CRLF")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        _bad(stream, number, _not_utf8(line, error))


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> str:
    return f"bytes that are not UTF-8: {data[error.start : error.start + 4]!r}"


def _bad(stream: Stream, number: int, what: str) -> NoReturn:
    stream.fail(f"line {number:,} has {what}")
