"""Lists of numbers in a pickle as arrays, with no Python object for each.

A pickle spells a list as instructions: an empty list, a mark, each number, and one that appends all of them. What
follows an instruction depends on its opcode alone, so the places where instructions begin are found for thousands at
once: from the place behind each byte, by following these twice, four times, eight times as far. Where anything else
comes, this stops before it, and the machine goes on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch_datasets.plan import MAX_EXACT
from tinytorch_datasets.readers.pickle.values import COSTS, REFERENCE

# A batch of a thousand numbers, as pickles are written, fits in twice.
WINDOW = 1 << 14
# Where a window gives fewer bytes than this, the machine goes on alone for a while: the next would be as poor.
POOR = 1 << 10
ALONE = 1 << 10

ARRAY = 128  # what NumPy takes for an array, beside its values
LOOSE = 1000  # so many numbers that were appended one by one are made an array

_MARK, _LIST, _APPEND, _APPENDS = b"(]ae"
_PUT, _LONG_PUT, _MEMOIZE = b"qr\x94"
_BYTE, _SHORT, _INT, _FLOAT = b"KMJG"
_LENGTHS = np.zeros(256, np.intp)
for _code, _length in zip(b"(]aeqr\x94KMJG", (1, 1, 1, 1, 2, 5, 1, 2, 3, 5, 9), strict=True):
    _LENGTHS[_code] = _length
_IS_NUMBER = np.zeros(256, np.bool_)
_IS_NUMBER[[_BYTE, _SHORT, _INT, _FLOAT]] = True

# So far apart, in instructions, are the places that are found one by one.
_STRIDES = 7
_BEGINNING = re.compile(rb"(?:q.|r....|\x94)?\((?:K.|M..|J....|G.{8}){2}", re.DOTALL)


class Row:
    """A list of a pickle, whose numbers are kept as arrays.

    `parts` and then `loose` are its numbers, `items` whatever it holds if that is not numbers alone.
    """

    __slots__ = ("items", "loose", "parts")

    def __init__(self, items: Sequence[Any] = ()) -> None:
        self.parts: list[np.ndarray] = []
        self.loose: list[Any] = []
        self.items: list[Any] = []
        if items:
            self.extend(items)

    def __len__(self) -> int:
        return len(self.items) + len(self.loose) + sum(map(len, self.parts))

    def extend(self, items: Sequence[Any]) -> int:
        """Append items; return how many bytes are held for them that nobody has paid for yet."""
        if self.items:
            self.items += items
            return 0
        self.loose += items
        if len(items) == 1 and len(self.loose) < LOOSE and type(items[0]) in (int, float):
            return 0
        numbers = packed(self.loose)
        if numbers is not None:
            self.parts.append(numbers)
            self.loose = []
            return ARRAY
        unpacked = sum(map(len, self.parts))
        self.items = self.tolist()
        self.parts, self.loose = [], []
        return 48 * unpacked

    def tolist(self) -> list[Any]:
        """Return its items, each number as one of Python's."""
        return self.items or [value for part in self.parts for value in part.tolist()] + self.loose

    def numbers(self) -> np.ndarray | None:
        """Return its numbers as one array, as `packed` does; None if it has other items."""
        last = packed(self.loose) if self.loose else None
        if self.items or (self.loose and last is None):
            return None
        return joined(self.parts if last is None else [*self.parts, last])


def packed(items: Sequence[Any]) -> np.ndarray | None:
    """Return numbers as an array of int64, float64 or bool, or None if there is something else among them.

    >>> packed([1, 2]).dtype, packed([1, 2.5]).dtype, packed([True, False]).dtype, packed([1, "a"]), packed([2**64])
    (dtype('int64'), dtype('float64'), dtype('bool'), None, None)
    """
    kinds = set(map(type, items))
    if any(issubclass(kind, np.generic) for kind in kinds):
        items = [item.item() if isinstance(item, np.generic) else item for item in items]
        kinds = set(map(type, items))
    try:
        if kinds == {int}:
            return np.array(items, np.int64)
        if kinds == {bool}:
            return np.array(items, np.bool_)
        if kinds and kinds <= {int, float} and not any(type(i) is int and abs(i) > MAX_EXACT for i in items):
            return np.array(items, np.float64)
    except OverflowError:
        pass
    return None


def joined(parts: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return arrays of numbers as one, or None if that would change one of them."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) < 2:
        return parts[0] if parts else np.empty(0, np.int64)
    kinds = {part.dtype.kind for part in parts}
    if "f" in kinds and kinds <= {"i", "u", "f"}:
        # As numbers of Python: as floats, those just beyond would have been rounded to what is exact.
        whole = [(int(part.min()), int(part.max())) for part in parts if part.dtype.kind != "f"]
        are_exact = all(least >= -MAX_EXACT and most <= MAX_EXACT for least, most in whole)
        return np.concatenate(parts) if are_exact else None
    return np.concatenate(parts) if len(kinds) == 1 else None


class Packer:
    """Carries out instructions that make lists of numbers, as far as that is certain."""

    def __init__(self) -> None:
        self._buffer, self._again = b"", 0
        self.steps = self.cost = 0

    def run(self, buffer: bytes, at: int, stack: list[Any], memo: dict[int, Any], most: int, left: int) -> int:
        """Carry out what begins at `at`: at most so many instructions, that cost no more than is left.

        Returns how many bytes they were. `steps` and `cost` are how many instructions, and what these cost.
        """
        self.steps = self.cost = 0
        if (buffer is self._buffer and at < self._again) or not _BEGINNING.match(buffer, at):
            return 0
        here = at
        while len(buffer) - here > POOR:
            read = self._window(buffer[here : here + WINDOW], stack, memo, most, left)
            here += read
            if read < POOR:
                self._buffer, self._again = buffer, here + ALONE
                break
        return here - at

    def _window(self, window: bytes, stack: list[Any], memo: dict[int, Any], most: int, left: int) -> int:
        """Carry out the lists that are complete in some bytes, the first of which begins an instruction."""
        raw = np.frombuffer(window, np.uint8)
        places = _places(raw)
        codes = raw[places]
        others = np.flatnonzero(~_IS_NUMBER[codes])
        numbers = _Numbers(raw, places, codes)
        done, after = 0, 0  # how many bytes, and how many instructions, have been carried out of these
        every = zip(others.tolist(), codes[others].tolist(), places[others].tolist(), strict=True)
        for index, code, place in every:
            cost, pushed = COSTS.get(bytes((code,)), REFERENCE), index - after
            end, values = place + int(_LENGTHS[code]), None
            if code == _MARK and not pushed:
                index, closing, place = next(every, (0, 0, 0))
                values = numbers.between(after + 1, index) if closing == _APPENDS else None
                cost, end = cost + REFERENCE, place + 1
            elif code == _APPEND and pushed == 1:
                values = numbers.between(after, index)
            elif pushed or code not in (_LIST, _PUT, _LONG_PUT, _MEMOIZE):
                break
            top = stack[-1] if stack else None
            if code in (_MARK, _APPEND):
                if values is None or type(top) is not Row or top.items or top.loose:
                    break
                cost += ARRAY + values.nbytes
            steps = index + 1 - after
            if self.cost + cost > left or self.steps + steps > most or (code != _LIST and top is None):
                break
            if values is not None and type(top) is Row:
                top.parts.append(values)
            elif code == _LIST:
                stack.append(Row())
            else:
                memo[_key(code, window[place + 1 : end], memo)] = top
            self.steps, self.cost = self.steps + steps, self.cost + cost
            done, after = end, index + 1
        return done


def _key(code: int, raw: bytes, memo: dict[int, Any]) -> int:
    return len(memo) if code == _MEMOIZE else int.from_bytes(raw, "little")


def _places(raw: np.ndarray) -> np.ndarray:
    """Return where instructions begin, from the first byte on, as long as they are known and complete."""
    count = len(raw)
    jump = np.arange(count + 1)
    jump[:count] += _LENGTHS[raw]
    incomplete = np.flatnonzero(jump > count)
    jump[incomplete] = incomplete
    jumps = [jump]
    for _ in range(_STRIDES):
        jumps.append(jumps[-1].take(jumps[-1]))
    far, at, found = jumps.pop(), 0, [0]
    while (then := int(far[at])) != at:
        found.append(at := then)
    places = np.array(found)
    for jump in reversed(jumps):
        places = np.stack([places, jump.take(places)], axis=-1).ravel()
    # Where an unknown one begins, every jump leads to itself.
    return places[: places.searchsorted(places[-1])]


class _Numbers:
    """The numbers that instructions push, of all that begin in a window."""

    def __init__(self, raw: np.ndarray, places: np.ndarray, codes: np.ndarray) -> None:
        self._codes = codes
        bytes_after = np.concatenate([raw, np.zeros(9, np.uint8)])
        self._whole = bytes_after[places + 1].astype(np.int32)
        is_short = codes == _SHORT
        self._whole[is_short] |= bytes_after[places[is_short] + 2].astype(np.int32) << 8
        is_int = np.flatnonzero(codes == _INT)
        self._whole[is_int] = _spelled(bytes_after, places[is_int], "<i4")
        is_real = np.flatnonzero(codes == _FLOAT)
        self._real = np.zeros(len(codes))
        self._real[is_real] = _spelled(bytes_after, places[is_real], ">f8")

    def between(self, start: int, end: int) -> np.ndarray | None:
        """Return the numbers of the instructions from `start` to `end`; None if they are none, or of both kinds."""
        are_real = self._codes[start:end] == _FLOAT
        if not len(are_real) or are_real.any() != are_real.all():
            return None
        return (self._real if are_real[0] else self._whole)[start:end].copy()


def _spelled(raw: np.ndarray, places: np.ndarray, dtype: str) -> np.ndarray:
    """Return the numbers that begin behind those places, each of them an instruction's."""
    size = np.dtype(dtype).itemsize
    return np.ascontiguousarray(raw[places[:, None] + np.arange(1, size + 1)]).view(dtype).ravel()
