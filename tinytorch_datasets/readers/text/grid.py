"""`Grid`: cells of many rows of a table at once, as numbers and as texts.

A cell at a time is slow in Python. Here a piece of a table is looked at as bytes: where its cells begin and end, and,
eight of their bytes in one step, what number each is, or which of some words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from tinytorch_datasets.plan import MAX_EXACT
from tinytorch_datasets.readers.text import LF
from tinytorch_datasets.storage.string_array import StringArray

Array: TypeAlias = np.ndarray

TAB, CR, BLANK, QUOTE, PLUS, MINUS, ZERO, LOWER, LETTER_E = b'\t\r "+-0 e'

# In front of the data: of a cell's last bytes, as many as the longest of some words has, some may be in front of it.
_PADDING = b"\n" * 64
# Words of up to so many bytes are looked at eight bytes at a time; so are the cells of a column, up to fewer.
LONGEST_WORD, LONGEST_SHORT = 64, 24
# Up to so many words, to compare each cell with each is faster than to look it up.
FEW_WORDS = 16
# Where fewer than one in so many places are looked at, they are looked at one by one.
FEW_OF = 8

_MOST_DIGITS, _MOST_LONG_DIGITS = 18, 19
# Powers of ten up to 10**22 are exact in float64, as whole numbers up to MAX_EXACT are.
# Where long doubles have 64 bits, as on x86, they hold 19 digits exactly, too, and powers up to 10**27.
_HAS_LONG = np.finfo(np.longdouble).nmant == 63
_POWERS = 10 ** np.arange(_MOST_DIGITS + 1, dtype=np.uint64)
_MOST_POWER, _MOST_LONG_POWER = 22, 27
_FLOAT_POWERS = np.array([float(10**power) for power in range(_MOST_POWER + 1)])
_LONG_POWERS = np.cumprod([np.longdouble(1), *[np.longdouble(10)] * _MOST_LONG_POWER], dtype=np.longdouble)


class Numbers(NamedTuple):
    """The numbers of some cells, int64 or float64, and the positions among them of those that were not read."""

    values: np.ndarray
    unread: np.ndarray


class OpenQuoteError(ValueError):
    """No row is whole, because a quote is open."""


class Grid:
    """The cells of some rows of `width` cells each.

    Only what is sure is read: whole numbers of up to 18 digits, and decimals whose digits float64 holds exactly, or
    long doubles with no doubt of how they are rounded. All other cells stay unread: whoever asks reads them one by one.

    Attributes:
        rows: How many rows there are.
        size: How many bytes of the data they are; behind them, a row begins whose quote is open.
        starts: (rows, width), where each cell begins in `buffer`, behind its quote if it has one.
        ends: (rows, width), where the sign behind each cell is, or its quote.
        longest: How many bytes the longest row has.
    """

    def __init__(self, data: bytes, delimiter: int, width: int, *, strips: bool = False) -> None:
        """Look for the cells of `data`, of which each row ends in LF.

        Args:
            data: The rows; CR stands in front of LF alone, and in quotes, if there are any.
            delimiter: The sign between cells.
            width: How many cells each row has.
            strips: Whether blanks and tabs around cells are no part of texts.

        Raises:
            OpenQuoteError: There is no whole row.
            ValueError: The rows have not all `width` cells, or quotes stand where they need not mean any.
        """
        self._strips, self._others, self._up_to = strips, np.empty(0, np.intp), np.empty(0, np.int32)
        self.buffer = np.frombuffer(_PADDING + data, np.uint8)
        is_sign = (self.buffer == delimiter) | (self.buffer == LF)
        self._has_quotes = b'"' in data
        if self._has_quotes:
            is_sign |= (self.buffer == QUOTE) | (self.buffer == CR)
        signs = np.flatnonzero(is_sign)[len(_PADDING) - 1 :]
        quotes = signs[:0]
        if self._has_quotes:
            signs, quotes = self._outside(signs, delimiter)
        self.size = int(signs[-1]) + 1 - len(_PADDING)
        self.rows, more = divmod(len(signs) - 1, width)
        is_end = self.buffer[signs] == LF
        if more or not self.rows or not is_end[::width].all() or np.count_nonzero(is_end) != self.rows + 1:
            raise ValueError
        self.starts = (signs[:-1] + 1).reshape(self.rows, width)
        self.ends = signs[1:].reshape(self.rows, width)
        self.longest = int((self.ends[:, -1] - self.starts[:, 0]).max())
        self.has_empty_row = width == 1 and bool(np.isin(self.buffer[self.starts], (LF, CR)).any())
        if self._has_quotes:
            self._unquote(quotes, delimiter)
        if strips:
            self._is_blank = (self.buffer == BLANK) | (self.buffer == TAB)

    def _outside(self, signs: Array, delimiter: int) -> tuple[Array, Array]:
        """Return the signs between cells that are in no quotes, up to the end of the last whole row; and all quotes."""
        kinds = self.buffer[signs]
        is_quote = kinds == QUOTE
        is_outside = (np.cumsum(is_quote, dtype=np.uint8) & 1) == 0  # which needs the last bit alone
        self._check(self.buffer[signs[is_quote][::2] - 1], delimiter)
        ends = np.flatnonzero(is_outside & (kinds == LF))
        if len(ends) < 2:
            raise OpenQuoteError
        signs, kinds, is_quote, is_outside = (part[: ends[-1] + 1] for part in (signs, kinds, is_quote, is_outside))
        returns = signs[is_outside & (kinds == CR)]
        if (self.buffer[returns + 1] != LF).any():
            raise ValueError
        return signs[is_outside & ~is_quote & (kinds != CR)], signs[is_quote]

    @staticmethod
    def _check(beside: Array, *signs: int) -> None:
        """Check that beside quotes are signs between cells, or other quotes: then both are one inside of a cell."""
        if not np.isin(beside, (*signs, LF, QUOTE)).all():
            raise ValueError

    def _unquote(self, quotes: Array, delimiter: int) -> None:
        """Leave out the quotes around cells, and one of each two inside; and CR at the ends of lines."""
        self._check(self.buffer[quotes[1::2] + 1], delimiter, CR)
        starts, ends = self.starts.copy(), self.ends.copy()
        ends[:, -1] -= self.buffer[ends[:, -1] - 1] == CR
        is_quoted = (starts < ends) & (self.buffer[starts] == QUOTE)
        self.starts, self.ends = starts + is_quoted, ends - is_quoted
        # Each of these opens where one has just closed.
        doubled = quotes[::2][self.buffer[quotes[::2] - 1] == QUOTE]
        if len(doubled):
            is_kept = np.ones(len(self.buffer), np.bool_)
            is_kept[doubled] = False
            self.buffer, left_out = self.buffer[is_kept], np.cumsum(~is_kept, dtype=np.int32)
            self.starts, self.ends = (part - left_out[part] for part in (self.starts, self.ends))

    def numbers(self, places: Sequence[int], point: int | None = None) -> Numbers:
        """Return the numbers of some columns, row by row: whole ones, or decimals if there is a sign for that."""
        pick = _as_slice(places)
        starts, ends = self.starts[:, pick].ravel(), self.ends[:, pick].ravel()
        is_digits = (starts < ends) & (ends - starts <= _MOST_DIGITS)
        if point is not None:  # one row shows whether these are decimals, which are not looked at twice
            of_a_row = is_digits[: len(places)].copy()
            self._digits(starts[: len(places)], ends[: len(places)], of_a_row)
            is_digits &= of_a_row.any()
        values = self._digits(starts, ends, is_digits) if is_digits.any() else np.zeros(len(starts), np.int64)
        if point is not None:
            is_digits &= values <= MAX_EXACT
            values = values.astype(np.float64)
        rest = np.flatnonzero(~is_digits)
        if not len(rest):
            return Numbers(values, rest)
        if len(rest) == len(starts):
            return self._with_signs(starts, ends, point)
        read = self._with_signs(starts[rest], ends[rest], point)
        values[rest] = read.values
        return Numbers(values, rest[read.unread])

    def _with_signs(self, starts: Array, ends: Array, point: int | None) -> Numbers:
        """Return the numbers of cells that may have blanks around them, a sign, decimals if `point` is their sign."""
        if not len(self._others):
            is_other = (self.buffer - np.uint8(ZERO)) > 9
            self._others, self._up_to = np.flatnonzero(is_other), np.cumsum(is_other, dtype=np.int32)
        # Of all bytes that are no digits, which is the first behind each start, and how many are in the cell.
        starts, ends, nexts = starts.copy(), ends.copy(), self._up_to[starts - 1]
        inside = self._up_to[ends - 1] - nexts
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
            unread = (inside != 0) | (starts >= ends) | (ends - starts > _MOST_DIGITS)
            values[negative] *= -1
            return Numbers(values, np.flatnonzero(unread))
        return self._decimals(starts, ends, nexts, inside, negative, point)

    def texts(self, rows: Array, places: Array) -> list[str]:
        """Return some cells as they are, each by its row and its place there."""
        whole = self.buffer.tobytes()
        bounds = zip(*(part.tolist() for part in self._bounds((rows, places))), strict=True)
        return [whole[start:end].decode("utf-8") for start, end in bounds]

    def strings(self, place: int) -> StringArray:
        """Return the cells of a column as they are, side by side in a buffer of their own, and no str of any."""
        starts, ends = self._bounds((slice(None), place))
        offsets = np.zeros(self.rows + 1, np.int64)
        lengths = ends - starts
        np.cumsum(lengths, out=offsets[1:])
        longest = int(lengths.max())
        if not longest:
            return StringArray.mapped(self.buffer[:0], offsets)
        if longest > LONGEST_SHORT:
            whole = self.buffer.tobytes()
            parts = [whole[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
            return StringArray.mapped(np.frombuffer(b"".join(parts), np.uint8), offsets)
        words = self._words(ends, lengths, -(-longest // 8)).view(np.uint8)
        is_inside = np.arange(words.shape[1]) >= (words.shape[1] - lengths)[:, np.newaxis]
        return StringArray.mapped(words[is_inside], offsets)

    def positions(self, places: Sequence[int], words: Sequence[bytes]) -> Array:
        """Return which of some words each cell of some columns is, row by row: its position, or -1 for none."""
        starts, ends = (part.ravel() for part in self._bounds((slice(None), _as_slice(places))))
        lengths, known_lengths = ends - starts, np.array(list(map(len, words)))
        count = max(1, -(-int(known_lengths.max()) // 8))
        known = np.frombuffer(b"".join(word.rjust(8 * count, b"\0") for word in words), "<u8").reshape(-1, count)
        cells = self._words(ends, lengths, count)
        # A key for each: cells with the key of a word are compared with that word alone.
        factors = np.uint64(0x9E3779B97F4A7C15) ** np.arange(count, dtype=np.uint64)
        keys, known_keys = (cells * factors).sum(axis=1), (known * factors).sum(axis=1)
        if len(words) <= FEW_WORDS:
            at = np.zeros(len(keys), np.int64)
            for number, key in enumerate(known_keys[1:], 1):
                at[keys == key] = number
        else:
            order = np.argsort(known_keys)
            at = order[np.minimum(np.searchsorted(known_keys[order], keys), len(order) - 1)]
        at[(lengths != known_lengths[at]) | (cells != known[at]).any(axis=1)] = -1
        return at

    def _bounds(self, pick: tuple[slice | Array, int | slice | list[int] | Array]) -> tuple[Array, ...]:
        """Return where some cells begin and end, as texts."""
        starts, ends = self.starts[pick], self.ends[pick]
        if not self._strips:
            return starts, ends
        starts, ends = starts.copy(), ends.copy()
        at = np.nonzero(self._is_blank[starts] | self._is_blank[ends - 1])
        solid = np.flatnonzero(~self._is_blank)
        first, last = solid[solid.searchsorted(starts[at])], solid[solid.searchsorted(ends[at]) - 1] + 1
        starts[at] = np.minimum(first, ends[at])
        ends[at] = np.maximum(last, starts[at])
        return starts, ends

    def _words(self, ends: Array, lengths: Array, count: int) -> Array:
        """Return the last bytes of each cell, eight in a number, as many numbers; with zeros in front of the cell."""
        words = np.empty((len(ends), count), "<u8")
        for number in range(count):
            words[:, count - 1 - number], unused = self._eight_bytes(ends - 8 * number, lengths - 8 * number)
            words[:, count - 1 - number] >>= unused
            words[:, count - 1 - number] <<= unused
        return words

    def _eight_bytes(self, ends: Array, lengths: Array) -> tuple[Array, Array]:
        """Return the last eight bytes of each cell as a number, and how many bits of it are in front of the cell."""
        words = np.ndarray((len(self.buffer) - 7,), "<u8", self.buffer, strides=(1,))
        # NumPy copies all of them in order to take some, which is worth it for many.
        word = words.take(ends - 8) if FEW_OF * len(ends) > len(words) else words[ends - 8]
        return word, (64 - 8 * np.clip(lengths, 0, 8)).astype(np.uint64)

    def _decimals(self, starts: Array, ends: Array, nexts: Array, inside: Array, minus: Array, point: int) -> Numbers:
        one = np.flatnonzero(inside > 0)
        points = self._others[nexts[one]]
        is_point = self.buffer[points] == point
        one, points = one[is_point], points[is_point]
        inside[one] -= 1
        nexts[one] += 1
        scales = self._exponents(ends, nexts, inside)
        before = ends.copy()
        before[one] = points
        whole = self._digits(starts, before).view(np.uint64)
        decimals = np.zeros(len(starts), np.int64)
        decimals[one] = ends[one] - points - 1
        digits = np.where(whole > 0, before - starts, 0) + decimals
        unread = (inside != 0) | (before - starts + decimals < 1)
        unread |= (digits > _MOST_LONG_DIGITS) | (np.maximum(before - starts, decimals) > _MOST_DIGITS)
        if len(one):
            behind = self._digits(points + 1, ends[one]).view(np.uint64)
            whole[one] = whole[one] * _POWERS[np.minimum(decimals[one], _MOST_DIGITS)] + behind
        values = whole.astype(np.float64)
        if scales is None:
            scales, scaled = -decimals, one
        else:
            scales -= decimals
            scaled = np.flatnonzero(scales)
        if len(scaled):
            # Both are exact, so what comes of them is the float64 that is nearest to the decimal.
            by = scales[scaled]
            powers = _FLOAT_POWERS[np.minimum(np.abs(by), _MOST_POWER)]
            values[scaled] = np.where(by < 0, values[scaled] / powers, values[scaled] * powers)
        long = np.flatnonzero(((whole > MAX_EXACT) | (np.abs(scales) > _MOST_POWER)) & ~unread)
        if len(long):
            values[long], unread[long] = _long_products(whole[long], scales[long])
        values[minus] *= -1
        return Numbers(values, np.flatnonzero(unread))

    def _exponents(self, ends: Array, nexts: Array, inside: Array) -> Array | None:
        """Return the exponent of each cell, and end the cells that have one in front of it; None if there is none."""
        cells = np.flatnonzero(inside > 0)
        letters = self._others[nexts[cells]]
        is_letter = (self.buffer[letters] | LOWER) == LETTER_E
        cells, letters = cells[is_letter], letters[is_letter]
        if not len(cells):
            return None
        sign = self.buffer[letters + 1]
        is_signed = ((sign == PLUS) | (sign == MINUS)) & (letters + 1 < ends[cells])
        lengths = ends[cells] - letters - 1 - is_signed
        powers = self._eight(ends[cells], lengths)
        # A sign is one of those inside; one that is none leaves the cell unread, as too few or too many digits do.
        inside[cells] -= 1 + is_signed
        inside[cells[(lengths < 1) | (lengths > 3)]] += 1
        scales = np.zeros(len(ends), np.int64)
        scales[cells] = np.where(is_signed & (sign == MINUS), -powers, powers)
        ends[cells] = letters
        return scales

    def _strip(self, starts: Array, ends: Array, nexts: Array, inside: Array) -> None:
        """Leave out the blanks around cells, as many as cells of numbers have; a cell with more stays unread."""
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

    def _digits(self, starts: Array, ends: Array, is_digits: Array | None = None) -> Array:
        """Return the number that the digits of each cell are: of up to 18, and of others anything.

        Where a byte is none, `is_digits` becomes false.
        """
        lengths = ends - starts
        values = self._eight(ends, lengths, is_digits)
        for done in (8, 16):
            longer = np.flatnonzero(lengths > done)
            if not len(longer):
                break
            are_digits = None if is_digits is None else is_digits[longer]
            more = self._eight(ends[longer] - done, np.minimum(lengths[longer] - done, _MOST_DIGITS - done), are_digits)
            values[longer] += more * 10**done
            if is_digits is not None:
                is_digits[longer] = are_digits
        return values

    def _eight(self, ends: Array, lengths: Array, is_digits: Array | None = None) -> Array:
        """Return the number that the last digits of each cell are, up to eight."""
        word, unused = self._eight_bytes(ends, lengths)
        word ^= np.uint64(0x3030303030303030)
        word >>= unused
        if is_digits is not None:
            is_digits &= ((word | (word + np.uint64(0x0606060606060606))) & np.uint64(0xF0F0F0F0F0F0F0F0)) == 0
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


def _long_products(numbers: Array, scales: Array) -> tuple[Array, Array]:
    """Return numbers times powers of ten as the nearest float64, and for which of them that is not sure."""
    if not _HAS_LONG:
        return numbers.astype(np.float64), np.ones(len(numbers), np.bool_)
    long, powers = numbers.astype(np.longdouble), _LONG_POWERS[np.minimum(np.abs(scales), _MOST_LONG_POWER)]
    products = np.where(scales < 0, long / powers, long * powers)
    values = products.astype(np.float64)
    # Rounded twice, which differs from once only where the first left it halfway between two float64; below a power
    # of two they are twice as near.
    off, step = np.abs(products - values), np.spacing(values)
    return values, (2 * off == step) | (4 * off == step) | (np.abs(scales) > _MOST_LONG_POWER)


def _as_slice(places: Sequence[int]) -> slice | list[int]:
    """Return columns that follow each other as a slice, which copies nothing."""
    if list(places) == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return list(places)
