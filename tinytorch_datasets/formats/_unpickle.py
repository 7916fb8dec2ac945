"""What arrays does a pickle hold, and what else does it ask for?

A pickle is a program, so it is not given to `pickle`, which would run it. This is a machine of its own that
knows containers, numbers, text and NumPy's arrays, and has no instruction that imports, calls or looks up
anything: the names in a pickle are keys of a table (`_pickled_arrays.ALLOWED`), and nothing else. What it makes
is bounded by the bytes that are there, because every length is held against them and instructions are counted.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from tinytorch_datasets.errors import DecodeError, UnsafePickle
from tinytorch_datasets.formats._opcodes import PROTOCOLS, BadPickle, instructions
from tinytorch_datasets.formats._pickle_names import UNSAFE, globals_of, refused_names, spelled
from tinytorch_datasets.formats._pickled_arrays import ALLOWED, Allowance, Dtype, Refused, set_array_state

__all__ = ["globals_of", "load"]

# A 64-bit number in decimal, with its sign and Python 2's L. Longer ones are slow to read, and no label.
LONGEST_NUMBER = 24

_ESCAPES = re.compile(rb"\\(?:[\\'\"nrt]|x[0-9a-f]{2})")
_SURROGATES = re.compile("[\ud800-\udfff]")

KEYS = (str, bytes, int, float, bool, type(None))
LEAVES = (*KEYS, np.ndarray, np.generic)


def load(data: bytes | bytearray, path: Path, *, most: int, member: str = "") -> Any:
    """What the pickle holds: dict, list, tuple, str, bytes, int, float, bool, None, and arrays of plain numbers.

    Text that Python 2 wrote as str comes as bytes. `most` is how many instructions the pickle may have;
    `path` and `member` are for the errors.

    Raises:
        UnsafePickle: It asks for anything else; `names` says what. Nothing was imported or called.
        DecodeError: It is damaged, or longer than allowed.
    """
    inside = f"member {member!r}: " if member else ""
    try:
        return _Machine(data, most).run()
    except Refused as refused:
        names = refused_names(data) or (refused.name,)
        reason = f"{inside}the pickle asks for {', '.join(names)}, which no array of numbers needs; nothing was run"
        raise UnsafePickle(path, reason, names=names) from None
    except BadPickle as error:
        reason = f"{inside}the pickle is not sound: {error}"
        raise DecodeError(path, reason) from error


class _Machine:
    def __init__(self, data: bytes | bytearray, most: int) -> None:
        self._data, self._most = data, most
        # Twice, because bytes may be spelled as text first; what is left over is for single numbers.
        self._allowance = Allowance(2 * len(data) + (1 << 16))
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for count, (at, code, argument) in enumerate(instructions(self._data), 1):
            if count > self._most:
                msg = f"it has more than {self._most:,} instructions, which is more than its declared fields need"
                raise BadPickle(msg)
            if code == b".":
                break
            try:
                step = _STEPS.get(code)
                if step is None:
                    raise Refused(UNSAFE.get(code, "").format(argument) or f"instruction {code!r}")
                step(self, argument)
            except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
                msg = f"at byte {at:,}, instruction {code!r} does not fit what came before"
                raise BadPickle(msg) from error
        if len(self._stack) != 1 or self._below:
            msg = "it does not end with one value"
            raise BadPickle(msg)
        return _only_data(self._stack.pop())

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
            msg = "a whole number that is none, or has too many digits"
            raise BadPickle(msg)
        self.push({b"00": False, b"01": True}.get(digits, int(digits)))

    def long(self, raw: Any) -> None:
        if len(raw) > 9:
            msg = "a whole number of more than 64 bits"
            raise BadPickle(msg)
        self.push(int.from_bytes(raw, "little", signed=True))

    def real(self, line: Any) -> None:
        self.push(float(line[:64]))

    def text(self, raw: Any) -> None:
        self.push(raw.decode("utf-8"))

    def quoted(self, line: Any) -> None:
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            msg = "a string without its quotes"
            raise BadPickle(msg)
        # Whatever repr() does not write would be let through with a warning.
        if b"\\" in _ESCAPES.sub(b"", line):
            msg = "a string with an escape that repr() does not write"
            raise BadPickle(msg)
        self.push(codecs.escape_decode(line[1:-1])[0])

    def raw_text(self, line: Any) -> None:
        text = line.decode("raw_unicode_escape")
        if _SURROGATES.search(text):
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
            raise Refused(spelled(module, name))
        self.named(module, name)

    def reduce(self, _: Any) -> None:
        args, function = self._stack.pop(), self._stack.pop()
        # Only functions of the table can be on the stack: nothing else puts one there.
        if type(function) is not FunctionType or type(args) is not tuple:
            raise TypeError
        self.push(function(self._allowance, args))

    def build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is Dtype:
            target.set_state(state)
        elif type(target) is np.ndarray:
            set_array_state(target, state, self._allowance)
        else:
            raise TypeError


_Step = Callable[[_Machine, Any], None]

_STEPS: dict[bytes, _Step] = {
    b"(": _Machine.mark,
    b"0": _Machine.pop,
    b"1": _Machine.pop_mark,
    b"N": lambda m, _: m.push(None),
    b"\x88": lambda m, _: m.push(True),
    b"\x89": lambda m, _: m.push(False),
    **dict.fromkeys((b"I", b"L"), _Machine.number),
    **dict.fromkeys((b"\x8a", b"\x8b"), _Machine.long),
    **dict.fromkeys((b"J", b"K", b"M", b"G"), _Machine.push),
    b"F": _Machine.real,
    b"S": _Machine.quoted,
    b"V": _Machine.raw_text,
    **dict.fromkeys((b"X", b"\x8c", b"\x8d"), _Machine.text),
    **dict.fromkeys((b"T", b"U", b"B", b"C", b"\x8e", b"\x96"), _Machine.push),
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
    b"d": _Machine.mapping,
    b"s": _Machine.set_item,
    b"u": _Machine.set_items,
    **dict.fromkeys((b"q", b"r"), _Machine.put),
    b"p": lambda m, line: m.put(int(line[:LONGEST_NUMBER])),
    b"\x94": lambda m, _: m.put(len(m._memo)),
    **dict.fromkeys((b"h", b"j"), lambda m, key: m.push(m._memo[key])),
    b"g": lambda m, line: m.push(m._memo[int(line[:LONGEST_NUMBER])]),
    b"c": lambda m, lines: m.named(lines[0].decode("utf-8"), lines[1].decode("utf-8")),
    b"\x93": _Machine.stack_global,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
    b"\x80": _Machine.protocol,
    b"\x95": lambda m, _: None,
}


def _only_data(result: Any) -> Any:
    """The result, if nothing in it stands for a name."""
    seen: set[int] = set()
    left = [result]
    while left:
        value = left.pop()
        if isinstance(value, LEAVES):
            continue
        if type(value) not in (dict, list, tuple):
            msg = f"a {type(value).__name__} is left in what it holds"
            raise BadPickle(msg)
        if id(value) not in seen:
            seen.add(id(value))
            left.extend(value.values() if type(value) is dict else value)
    return result
