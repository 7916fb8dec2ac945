"""UTF-8 text: its lines; cells of many rows at once, and plain numbers in them.

UTF-8, strictly. Lines end in LF and nowhere else: str.splitlines would also cut at twelve other characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.plan import MAX_EXACT, ByteSource, Column
from tinytorch_datasets.readers.archives.source import INFLATION, SMALL_TEXT, opened_source
from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.storage.string_array import StringArray
from tinytorch_datasets.verify.diagnose import wrong_content

BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 20
PIECE_BYTES = 1 << 18

CHARACTERS_A_NUMBER = 32


@contextmanager
def opened_text(source: ByteSource, columns: Iterable[Column]) -> Iterator[Stream]:
    """Open a text file, plain, compressed or in an archive, bounded by its size on disk and its declared numbers."""
    on_disk = source.path.stat().st_size
    numbers = sum(column.nbytes for column in columns)
    limit = max(INFLATION * on_disk, CHARACTERS_A_NUMBER * numbers) + SMALL_TEXT
    limit_reason = f"the file has {on_disk:,}" + (f" and its declared numbers take {numbers:,}" if numbers else "")
    with opened_source(source, limit=limit, limit_reason=limit_reason) as stream:
        yield stream


def is_text(head: bytes) -> bool:
    """Check whether the first bytes of a file are UTF-8 text, and neither a web page nor an error of a server."""
    if b"\0" in head or not head:
        return False
    try:
        head[: max(len(head) - 4, 1)].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start <= len(head) - 8 or not error.start:
            return False  # not only a character that the end of the head has cut
    return wrong_content(head, "data") is None


def document(stream: Stream, *, plain: bool = False) -> str:
    """Return all of the text, as it is. A carriage return is an error, because it would be a character to learn.

    With `plain`, a byte order mark at the front is dropped and CRLF comes as LF, as editors read them.
    """
    data = stream.whole()
    if plain:
        data = data.removeprefix(BOM).replace(b"\r\n", b"\n")
    if data.startswith(BOM):
        _fail_at_line(stream, 1, "a byte order mark (BOM)")
    wrong_end = "a carriage return that ends no line" if plain else "a carriage return: lines must end in LF, not CRLF"
    for byte, what in ((b"\0", "a NUL character"), (b"\r", wrong_end)):
        if (at := data.find(byte)) >= 0:
            _fail_at_line(stream, data.count(b"\n", 0, at) + 1, what)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        _fail_at_line(stream, data.count(b"\n", 0, error.start) + 1, _not_utf8(data, error))


def pieces(stream: Stream, *, bom: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines together, as many as fit the processor's cache, with the number of the first.

    Each line ends in LF, but the last of the text need not. `bom` lets a byte order mark stand at the front, where it
    is dropped.
    """
    number, rest, first = 1, b"", True
    # Full chunks, because a stream may come in single bytes, and each would copy the line begun.
    while chunk := stream.chunk():
        if first and chunk[:3] == BOM:
            if not bom:
                _fail_at_line(stream, 1, "a byte order mark (BOM)")
            chunk = chunk[3:]
        first = False
        data, at = rest + chunk, 0
        while end := data.rfind(b"\n", at, at + PIECE_BYTES) + 1 or data.find(b"\n", at) + 1:
            piece = data[at:end]
            yield number, piece
            number, at = number + piece.count(b"\n"), end
        rest = data[at:]
        if len(rest) > LONGEST_LINE:
            decoded_line(stream, number, rest)
    if rest:
        yield number, rest


def lines(stream: Stream, *, bom: bool = False, carriage_returns: bool = False) -> Iterator[str]:
    """Yield each line without its LF; `bom` lets a byte order mark stand at the front, where it is dropped."""
    for first, piece in pieces(stream, bom=bom):
        for number, line in enumerate(piece.removesuffix(b"\n").split(b"\n"), first):
            yield decoded_line(stream, number, line, carriage_returns=carriage_returns)


def packed_lines(stream: Stream) -> Iterator[StringArray]:
    """Yield the lines as `lines` does, many at once, and without making a str of each."""
    for first, piece in pieces(stream):
        text = np.frombuffer(piece if piece.endswith(b"\n") else piece + b"\n", np.uint8)
        ends = np.flatnonzero(text == LF)
        starts = np.concatenate(([0], ends[:-1] + 1))
        if b"\0" in piece or b"\r" in piece or (ends - starts).max() > LONGEST_LINE or not is_utf8(piece):
            for number, line in enumerate(piece.removesuffix(b"\n").split(b"\n"), first):
                decoded_line(stream, number, line)  # one of which says what is wrong
        offsets = np.append(starts - np.arange(len(starts)), ends[-1] - len(ends) + 1)
        yield StringArray.mapped(np.frombuffer(piece.replace(b"\n", b""), np.uint8), offsets)


def is_utf8(data: bytes) -> bool:
    """Check whether bytes are UTF-8, strictly."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decoded_line(stream: Stream, number: int, line: bytes, *, carriage_returns: bool = False) -> str:
    """Return a line as text; what no line of a text has is an error, which names its number."""
    if len(line) > LONGEST_LINE:
        _fail_at_line(stream, number, f"more than {LONGEST_LINE:,} bytes in one line")
    if b"\0" in line:
        _fail_at_line(stream, number, "a NUL character")
    if b"\r" in line and not carriage_returns:
        _fail_at_line(stream, number, "a carriage return: lines must end in LF, not CRLF")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        _fail_at_line(stream, number, _not_utf8(line, error))


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> str:
    return f"bytes that are not UTF-8: {data[error.start : error.start + 4]!r}"


def _fail_at_line(stream: Stream, number: int, what: str) -> NoReturn:
    stream.fail(f"line {number:,} has {what}")


# What stands where a value is not known, folded; no column is called so.
MISSING = frozenset({"", "?", "-", "--", ".", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none"})


def is_missing(cell: str) -> bool:
    """Check whether a cell looks as if its value is not known."""
    return cell.strip().casefold() in MISSING


# How a number is spelled in a table.
REAL = re.compile(r" *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)? *")


LF, BLANK, ZERO, PLUS, MINUS = b"\n 0+-"

# In front of the data: of a cell's last eight bytes, three times, some may be in front of the cell.
_PADDING = b"\n" * 24
_MOST_DIGITS = 18
# Powers of ten up to 10**22 are exact in float64, as whole numbers up to MAX_EXACT are.
# Where long doubles have 64 bits, as on x86, they hold 18 digits exactly, too.
_HAS_LONG = np.finfo(np.longdouble).nmant == 63
_POWERS = 10 ** np.arange(_MOST_DIGITS + 1, dtype=np.int64)


class Numbers(NamedTuple):
    """The numbers of some cells, int64 or float64, and the positions among them of those that were not read."""

    values: np.ndarray
    odd: np.ndarray


class Grid:
    """The cells of some rows of `width` cells each, all of them without quotes.

    A cell at a time is slow in Python. Here a piece of a table is looked at as bytes: where its cells begin and end,
    and, eight digits in one step, what number each is. Only what is sure is read: whole numbers of up to 18 digits,
    and decimals whose digits float64 holds exactly. All other cells are odd, and are read one by one by who asks.

    Attributes:
        rows: How many rows there are.
        starts: (rows, width), where each cell begins in `buffer`.
        ends: (rows, width), where the sign behind each cell is.
    """

    def __init__(self, data: bytes, delimiter: int, width: int) -> None:
        """Look for the cells of `data`, of which each row ends in LF.

        Raises:
            ValueError: The rows have not all `width` cells.
        """
        self.buffer = np.frombuffer(_PADDING + data, np.uint8)
        # All that is no digit, and which of that is a sign between cells: for whole numbers, all.
        others = np.flatnonzero((self.buffer - np.uint8(ZERO)) > 9)[len(_PADDING) - 1 :]
        signs = self.buffer[others]
        is_end = (signs == delimiter) | (signs == LF)
        at = np.flatnonzero(is_end)
        self.rows, more = divmod(len(at) - 1, width)
        ends_of_rows = signs[at[width::width]] if not more else signs[:0]
        if len(ends_of_rows) != self.rows or not self.rows:
            msg = "not all rows have as many cells"
            raise ValueError(msg)
        if (ends_of_rows != LF).any() or np.count_nonzero(signs == LF) != self.rows + 1:
            msg = "not all rows have as many cells"
            raise ValueError(msg)
        places = others[at]
        self.starts = (places[:-1] + 1).reshape(self.rows, width)
        self.ends = places[1:].reshape(self.rows, width)
        # For each cell, which of `others` is the first one behind its start, and how many of them it holds.
        self._others = others
        self._next = (at[:-1] + 1).reshape(self.rows, width)
        self._inside = np.diff(at).reshape(self.rows, width) - 1
        self._is_digits = len(at) == len(others)

    def numbers(self, places: Sequence[int], point: int | None = None) -> Numbers:
        """Return the numbers of some columns, row by row: whole ones, or decimals if there is a sign for that."""
        pick = _as_slice(places)
        starts, ends = self.starts[:, pick].ravel(), self.ends[:, pick].ravel()
        if self._is_digits:
            odd = (starts == ends) | (ends - starts > _MOST_DIGITS)
            values = self._digits(starts, ends)
            if point is not None:
                odd |= values > MAX_EXACT
                return Numbers(values.astype(np.float64), np.flatnonzero(odd))
            return Numbers(values, np.flatnonzero(odd))
        nexts, inside = self._next[:, pick].ravel(), self._inside[:, pick].ravel()
        starts, ends, nexts, inside = (np.array(part) for part in (starts, ends, nexts, inside))
        self._strip(starts, ends, nexts, inside)
        has_more = np.flatnonzero(inside > 0)
        first = self._others[nexts[has_more]]
        sign = self.buffer[first]
        is_sign = (first == starts[has_more]) & ((sign == PLUS) | (sign == MINUS))
        negative, signed = has_more[is_sign & (sign == MINUS)], has_more[is_sign]
        starts[signed] += 1
        nexts[signed] += 1
        inside[signed] -= 1
        if point is None:
            values = self._digits(starts, ends)
            odd = (inside != 0) | (starts >= ends) | (ends - starts > _MOST_DIGITS)
            values[negative] *= -1
            return Numbers(values, np.flatnonzero(odd))
        return self._decimals(starts, ends, nexts, inside, negative, point)

    def texts(self, rows: np.ndarray, places: np.ndarray) -> list[str]:
        """Return some cells as they are, each by its row and its place there."""
        whole = self.buffer.tobytes()
        bounds = zip(self.starts[rows, places].tolist(), self.ends[rows, places].tolist(), strict=True)
        return [whole[start:end].decode("utf-8") for start, end in bounds]

    def strings(self, place: int) -> StringArray:
        """Return the cells of a column as they are, side by side in a buffer of their own, and no str of any."""
        starts, ends = self.starts[:, place], self.ends[:, place]
        offsets = np.zeros(self.rows + 1, np.int64)
        np.cumsum(ends - starts, out=offsets[1:])
        # Where each byte is: a step further than the one before it, but at the first of a cell.
        at = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
        return StringArray.mapped(self.buffer.take(at), offsets)

    def _decimals(
        self,
        starts: np.ndarray,
        ends: np.ndarray,
        nexts: np.ndarray,
        inside: np.ndarray,
        negative: np.ndarray,
        point: int,
    ) -> Numbers:
        one = np.flatnonzero(inside == 1)
        points = self._others[nexts[one]]
        is_point = self.buffer[points] == point
        one, points = one[is_point], points[is_point]
        inside[one] -= 1
        before = ends.copy()
        before[one] = points
        whole = self._digits(starts, before)
        decimals = np.zeros(len(starts), np.int64)
        decimals[one] = ends[one] - points - 1
        digits = np.where(whole > 0, before - starts, 0) + decimals
        odd = (inside != 0) | (before - starts + decimals < 1)
        odd |= (digits > _MOST_DIGITS) | (before - starts > _MOST_DIGITS)
        if len(one):
            behind = self._digits(points + 1, ends[one])
            whole[one] = whole[one] * _POWERS[np.minimum(decimals[one], _MOST_DIGITS)] + behind
        values = whole.astype(np.float64)
        if len(one):
            # Both are exact, so the quotient is the float64 that is nearest to the decimal.
            values[one] /= _POWERS[np.minimum(decimals[one], _MOST_DIGITS)].astype(np.float64)
        long = np.flatnonzero((whole > MAX_EXACT) & ~odd)
        if len(long):
            values[long], odd[long] = _long_quotients(whole[long], _POWERS[decimals[long]])
        values[negative] *= -1
        return Numbers(values, np.flatnonzero(odd))

    def _strip(self, starts: np.ndarray, ends: np.ndarray, nexts: np.ndarray, inside: np.ndarray) -> None:
        """Leave out the blanks around cells, as many as cells of numbers have; where there are more, they stay odd."""
        for _ in range(8):
            cells = np.flatnonzero(inside > 0)
            before = cells[self.buffer[starts[cells]] == BLANK]
            starts[before] += 1
            nexts[before] += 1
            inside[before] -= 1
            cells = np.flatnonzero(inside > 0)
            behind = cells[self.buffer[ends[cells] - 1] == BLANK]
            ends[behind] -= 1
            inside[behind] -= 1
            if not len(before) and not len(behind):
                return

    def _digits(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return the number that the digits of each cell are: of up to 18, and of others anything."""
        lengths = ends - starts
        values = self._eight(ends, lengths)
        for done in (8, 16):
            longer = np.flatnonzero(lengths > done)
            if not len(longer):
                break
            more = self._eight(ends[longer] - done, np.minimum(lengths[longer] - done, _MOST_DIGITS - done))
            values[longer] += more * 10**done
        return values

    def _eight(self, ends: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the number that the last digits of each cell are, up to eight."""
        words = np.ndarray((len(self.buffer) - 7,), "<u8", self.buffer, strides=(1,))
        word = words.take(ends - 8)
        unused = (64 - 8 * np.clip(lengths, 0, 8)).astype(np.uint64)  # bits of what is in front of the cell
        word >>= unused
        word <<= unused
        # Each byte is a digit; neighbors become a number of two digits, of four, of eight.
        word &= np.uint64(0x0F0F0F0F0F0F0F0F)
        word *= np.uint64(10 * 2**8 + 1)
        word >>= np.uint64(8)
        word &= np.uint64(0x00FF00FF00FF00FF)
        word *= np.uint64(100 * 2**16 + 1)
        word >>= np.uint64(16)
        word &= np.uint64(0x0000FFFF0000FFFF)
        word *= np.uint64(10_000 * 2**32 + 1)
        word >>= np.uint64(32)
        return word.astype(np.int64)


def _long_quotients(numbers: np.ndarray, powers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return quotients as the nearest float64, and for which of them that is not sure."""
    if not _HAS_LONG:
        return numbers.astype(np.float64), np.ones(len(numbers), np.bool_)
    quotients = numbers.astype(np.longdouble) / powers
    values = quotients.astype(np.float64)
    # Rounded twice, which differs from once only where the first left it halfway between two float64; below a power
    # of two they are twice as near.
    off, step = np.abs(quotients - values), np.spacing(values)
    return values, (2 * off == step) | (4 * off == step)


def _as_slice(places: Sequence[int]) -> slice | list[int]:
    """Return columns that follow each other as a slice, which copies nothing."""
    if list(places) == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return list(places)
