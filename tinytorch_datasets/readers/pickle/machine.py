"""The pickle machine: instructions carried out on plain data, within limits.

The labels and file names of a data set are numbers, short texts and memos by the hundred thousand. One by one each
would take a dozen calls. So what is certain to be right is done in one loop, and paid for as it goes; where anything
else comes, or the allowance or the count does not reach, the loop stops before it and the machine goes on.

A pickle is a program. This is a machine of its own for it, that knows containers, numbers, text and NumPy's
arrays, and has no instruction that imports, calls or looks up anything: the names in a pickle are keys of a table
(`_pickled_arrays.ALLOWED`), and nothing else. What it makes is bounded: it is read piece by piece, instructions are
counted, and every byte that is made of them is paid for beforehand.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.readers.pickle import opcodes
from tinytorch_datasets.readers.pickle.names import UNSAFE, named_after, spelled
from tinytorch_datasets.readers.pickle.numpy_globals import ALLOWED, Allowance, Dtype, Refused, set_array_state
from tinytorch_datasets.readers.pickle.opcodes import PROTOCOLS, BadPickle, Spelled, instructions, joined, source

# What CPython takes for what an instruction makes, at most: an empty container, a number that is not kept ready, a
# slot of a dict that is growing. A reference takes 8, and 8 more while a list is copied.
COSTS = {
    **dict.fromkeys((b"(", b"]", b"}", b"l", b"d"), 72),
    **dict.fromkeys((b"\x85", b"\x86", b"\x87", b"t"), 72),
    **dict.fromkeys((b"I", b"L", b"J", b"M", b"G", b"F", b"\x8a", b"\x8b"), 48),
    **dict.fromkeys((b"S", b"V", b"T", b"U", b"X", b"B", b"C", b"\x8c", b"\x8d", b"\x8e", b"\x96"), 64),
    **dict.fromkeys((b"q", b"r", b"p", b"\x94"), 144),
    **dict.fromkeys((b"s", b"u", b"R"), 144),
}
REFERENCE = 16

# BININT1, SHORT_BINSTRING, SHORT_BINUNICODE, and BINPUT, LONG_BINPUT and MEMOIZE, which cost the same.
NUMBER, BYTES, TEXT, PUT, LONG_PUT, MEMOIZE = b"KU\x8cqr\x94"
LONGEST = 2 + 255


class Run(NamedTuple):
    """How many bytes were read, how many instructions they were, and what these cost."""

    read: int
    steps: int
    cost: int


def run(buffer: bytes, at: int, stack: list[Any], memo: dict[int, Any], most: int, left: int) -> Run:
    """Carry out the instructions that begin at `at`: at most so many, that cost no more than is left.

    >>> stack, memo = [], {}
    >>> run(b"K\\x07U\\x02hiq\\x01e" + bytes(LONGEST), 0, stack, memo, 1000, 1000), stack, memo
    (Run(read=8, steps=3, cost=226), [7, b'hi'], {1: b'hi'})
    """
    here, end = at, len(buffer) - LONGEST  # what begins before is there as a whole
    steps, spare = 0, left
    push = stack.append
    a_number, a_text, a_memo = REFERENCE, COSTS[b"U"], COSTS[b"q"]
    while here < end and steps < most:
        code = buffer[here]
        if code == NUMBER and spare >= a_number:
            push(buffer[here + 1])
            spare -= a_number
            here += 2
        elif code == BYTES and spare >= a_text + (length := buffer[here + 1]):
            push(buffer[here + 2 : here + 2 + length])
            spare -= a_text + length
            here += 2 + length
        elif code == TEXT and spare >= a_text + (length := buffer[here + 1]):
            raw = buffer[here + 2 : here + 2 + length]
            if not raw.isascii():
                break
            push(raw.decode("ascii"))
            spare -= a_text + length
            here += 2 + length
        elif code == PUT and stack and spare >= a_memo:
            memo[buffer[here + 1]] = stack[-1]
            spare -= a_memo
            here += 2
        elif code == LONG_PUT and stack and spare >= a_memo:
            memo[int.from_bytes(buffer[here + 1 : here + 5], "little")] = stack[-1]
            spare -= a_memo
            here += 5
        elif code == MEMOIZE and stack and spare >= a_memo:
            memo[len(memo)] = stack[-1]
            spare -= a_memo
            here += 1
        else:
            break
        steps += 1
    return Run(here - at, steps, left - spare)


# What a pickle's labels, file names and containers may take in memory beside its arrays.
BYTES_BESIDE = 40 << 20

# A 64-bit number in decimal, with its sign and Python 2's L. Longer ones are slow to read, and no label.
LONGEST_NUMBER = 24

_ESCAPES = re.compile(rb"\\(?:[\\'\"nrt]|x[0-9a-f]{2})")
_SURROGATES = re.compile("[\ud800-\udfff]")

KEYS = (str, bytes, int, float, bool, type(None))


class Machine:
    """The stack, the memo and the instructions. `run` gives what is left on the stack in the end."""

    def __init__(self, data: bytes | bytearray | Callable[[int], bytes], most: int, declared: int) -> None:
        self._left = most
        self.allowance = Allowance(declared + BYTES_BESIDE)
        self._steps = instructions(source(data), self._gather, self._run)
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        most = self._left
        for at, code, argument in self._steps:
            self.allowance.spend(COSTS.get(code, REFERENCE))
            self._left -= 1
            if self._left < 0:
                msg = f"it has more than {most:,} instructions, which is more than its declared fields need"
                raise BadPickle(msg)
            if code == b".":
                self._steps.close()  # it holds us, and we it: what was read would live on until circles are looked for
                break
            try:
                if (step := _STEPS.get(code)) is None:
                    raise Refused(_way_out(code, argument))
                step(self, argument)
            except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
                msg = f"at byte {at:,}, instruction {code!r} does not fit what came before"
                raise BadPickle(msg) from error
        if len(self._stack) != 1 or self._below:
            msg = "it does not end with one value"
            raise BadPickle(msg)
        return self._stack.pop()

    def _gather(self, code: bytes, pieces: Iterator[bytes]) -> Any:
        """One argument, each piece of it paid for before the next is read."""
        spend = self.allowance.spend
        first, second = next(pieces, b""), next(pieces, None)
        if second is None:
            spend(len(first))
            return first
        every = itertools.chain((first, second), pieces)
        if code not in _LONG_TEXTS:
            return joined(code, _paid(every, spend))
        try:
            return _LONG_TEXTS[code](every, spend)
        except DatasetError:
            raise  # of the stream that the pickle comes from
        except ValueError as error:
            msg = "a long text in it is not in its encoding"
            raise BadPickle(msg) from error

    def _run(self, buffer: bytes, at: int) -> int:
        """Carry out what is certain of the instructions that begin there; how many bytes they were."""
        done = run(buffer, at, self._stack, self._memo, self._left, self.allowance.left)
        self._left -= done.steps
        self.allowance.spend(done.cost)
        return done.read

    def names_after(self, refused: Refused) -> tuple[str, ...]:
        """What was refused, and what else the rest of the pickle asks for."""
        self._left = 0  # nothing more is carried out
        return named_after(refused.name, self._steps, [*self._below, self._stack], self._memo)

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self.to_mark()

    def pop_mark(self, _: Any) -> None:
        self.to_mark()

    def protocol(self, version: int) -> None:
        if version not in PROTOCOLS:
            msg = f"its protocol is {version}; 0 to 5 are known"
            raise BadPickle(msg)

    def number(self, line: Any) -> None:
        digits = line.strip().removesuffix(b"L")
        if len(digits) > LONGEST_NUMBER or not digits.lstrip(b"-").isdigit():
            msg = "not a whole number, or one of too many digits"
            raise BadPickle(msg)
        self.push({b"00": False, b"01": True}.get(digits, int(digits)))

    def long(self, raw: Any) -> None:
        if len(raw) > 9:
            msg = "a whole number of more than 64 bits"
            raise BadPickle(msg)
        self.push(int.from_bytes(raw, "little", signed=True))

    def real(self, line: Any) -> None:
        if len(line) > LONGEST_NUMBER + 8:
            msg = "a number that has too many digits"
            raise BadPickle(msg)
        self.push(float(line))

    def text(self, raw: Any) -> None:
        if type(raw) is bytes:
            raw = raw.decode("utf-8")
            self.allowance.spend(0 if raw.isascii() else 4 * len(raw))
        self.push(raw)

    def quoted(self, line: Any) -> None:
        if type(line) is not bytes:
            self.push(line.raw)
            return
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            msg = "a string without its quotes"
            raise BadPickle(msg)
        # Whatever repr() does not write would be let through with a warning.
        if b"\\" in _ESCAPES.sub(b"", line):
            msg = "a string with an escape that repr() does not write"
            raise BadPickle(msg)
        self.push(codecs.escape_decode(line[1:-1])[0])

    def raw_text(self, line: Any) -> None:
        text = line.decode("raw_unicode_escape") if type(line) is bytes else line
        if type(text) is str and _SURROGATES.search(text):
            raise ValueError
        self.push(text)

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError
        items = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self.push(items)

    def mapping(self, _: Any) -> None:
        items = self.to_mark()
        self.push({})
        self._set_items(items)

    def set_items(self, _: Any) -> None:
        self._set_items(self.to_mark())

    def set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        # Only plain keys: hashing a tuple a million levels deep would exhaust the C stack.
        if type(target) is not dict or len(items) % 2 or not all(type(key) in KEYS for key in items[::2]):
            raise TypeError
        self.allowance.spend(64 * len(items))
        target.update(zip(items[::2], items[1::2], strict=True))

    def extend(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise TypeError
        self._stack[-1].extend(items)

    def put(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def named(self, module: Any, name: Any) -> None:
        if (module, name) not in ALLOWED:
            raise Refused(spelled(module, name))
        self.push(ALLOWED[module, name])

    def stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise Refused(spelled(*(part if type(part) is str else None for part in (module, name))))
        self.named(module, name)

    def reduce(self, _: Any) -> None:
        args, function = self._stack.pop(), self._stack.pop()
        # Only functions of the table can be on the stack: nothing else puts one there.
        if type(function) is not FunctionType or type(args) is not tuple:
            raise TypeError
        self.push(function(self.allowance, args))

    def build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is Dtype:
            target.set_state(state)
        elif type(target) is np.ndarray:
            set_array_state(target, state, self.allowance)
        else:
            raise TypeError


def _paid(pieces: Iterator[bytes], spend: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        spend(len(piece))
        yield piece


# StringArray longer than a piece, which become what they spell as they come.
_LONG_TEXTS: dict[bytes, Callable[[Iterator[bytes], Callable[[int], None]], Spelled | str]] = {
    b"S": lambda pieces, spend: Spelled(opcodes.quoted(pieces, spend)),
    b"V": opcodes.raw_unicode,
    **dict.fromkeys((b"X", b"\x8d"), opcodes.utf8),
}

_Step = Callable[[Machine, Any], None]

_STEPS: dict[bytes, _Step] = {
    b"(": Machine.mark,
    b"0": Machine.pop,
    b"1": Machine.pop_mark,
    b"N": lambda m, _: m.push(None),
    b"\x88": lambda m, _: m.push(True),
    b"\x89": lambda m, _: m.push(False),
    **dict.fromkeys((b"I", b"L"), Machine.number),
    **dict.fromkeys((b"\x8a", b"\x8b"), Machine.long),
    **dict.fromkeys((b"J", b"K", b"M", b"G"), Machine.push),
    b"F": Machine.real,
    b"S": Machine.quoted,
    b"V": Machine.raw_text,
    **dict.fromkeys((b"X", b"\x8c", b"\x8d"), Machine.text),
    **dict.fromkeys((b"T", b"U", b"B", b"C", b"\x8e", b"\x96"), Machine.push),
    b")": lambda m, _: m.push(()),
    b"\x85": lambda m, _: m.tuple_of(1),
    b"\x86": lambda m, _: m.tuple_of(2),
    b"\x87": lambda m, _: m.tuple_of(3),
    b"t": lambda m, _: m.push(tuple(m.to_mark())),
    b"]": lambda m, _: m.push([]),
    b"l": lambda m, _: m.push(m.to_mark()),
    b"a": lambda m, _: m.extend([m._stack.pop()]),
    b"e": lambda m, _: m.extend(m.to_mark()),
    b"}": lambda m, _: m.push({}),
    b"d": Machine.mapping,
    b"s": Machine.set_item,
    b"u": Machine.set_items,
    **dict.fromkeys((b"q", b"r"), Machine.put),
    b"p": lambda m, line: m.put(int(line[:LONGEST_NUMBER])),
    b"\x94": lambda m, _: m.put(len(m._memo)),
    **dict.fromkeys((b"h", b"j"), lambda m, key: m.push(m._memo[key])),
    b"g": lambda m, line: m.push(m._memo[int(line[:LONGEST_NUMBER])]),
    b"c": lambda m, lines: m.named(lines[0].decode("utf-8"), lines[1].decode("utf-8")),
    b"\x93": Machine.stack_global,
    b"R": Machine.reduce,
    b"b": Machine.build,
    b"\x80": Machine.protocol,
    b"\x95": lambda m, _: None,
}


def _way_out(code: bytes, argument: Any) -> str:
    """What an instruction asks for that no data needs."""
    if code in UNSAFE:
        return spelled("pickle", UNSAFE[code].format(argument))
    if code == b"i":
        return spelled(*(part.decode("utf-8", "backslashreplace") for part in argument))
    return f"instruction {code!r}"
