"""The pickle machine: instructions carried out on plain data, within limits.

A pickle is a program. This is a machine of its own for it, that knows containers, numbers, text and NumPy's
arrays, and has no instruction that imports, calls or looks up anything: the names in a pickle are keys of a table
(`numpy_globals.ALLOWED`), and nothing else. What it makes is bounded: it is read piece by piece, instructions are
counted, and every byte that is made of them is paid for beforehand.

The machine records the names that it meets. From the first that is refused on, and where only names are wanted, it
makes nothing any more: it follows the stack as far as needed to know which texts become names.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FunctionType
from typing import Any

import numpy as np

from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.readers.pickle import opcodes
from tinytorch_datasets.readers.pickle.numpy_globals import (
    ALLOWED,
    Allowance,
    Dtype,
    UnsafeGlobal,
    global_name,
    name_part,
    set_array_state,
)
from tinytorch_datasets.readers.pickle.opcodes import (
    EFFECTS,
    PROTOCOLS,
    STACK_ONLY,
    TEXT_ENCODINGS,
    UNSAFE,
    BadPickle,
    instructions,
    joined,
    source,
)
from tinytorch_datasets.readers.pickle.values import COSTS, LONG_TEXTS, REFERENCE, Latin1Text, run

# What a pickle's labels, file names and containers may take in memory beside its arrays.
BYTES_BESIDE = 40 << 20

# A 64-bit number in decimal, with its sign and Python 2's L. Longer ones are slow to read, and no label.
LONGEST_NUMBER = 24

_ESCAPES = re.compile(rb"\\(?:[\\'\"nrt]|x[0-9a-f]{2})")
_SURROGATES = re.compile("[\ud800-\udfff]")

KEYS = (str, bytes, int, float, bool, type(None))

# Reading names alone is linear in the file; these bound its memory too.
MOST_INSTRUCTIONS = 1_000_000
BYTES_FOR_NAMES = 256 << 20
MOST_NAMES, MOST_SHOWN = 1000, 20


class Machine:
    """The stack, the memo and the instructions.

    `run` returns what is left on the stack in the end, `list_names` reads on for the names alone. `names` are those
    that were met, as `global_name` writes them, in the order they first appear; `refused` are those of them that no
    array needs.
    """

    allowed = ALLOWED

    def __init__(self, data: bytes | bytearray | Callable[[int], bytes], most: int, declared: int) -> None:
        self._left = most
        self._table = _STEPS
        self.allowance = Allowance(declared + BYTES_BESIDE)
        self._steps = instructions(source(data), self._gather, self._run)
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._names_only = False
        self.names: dict[str, None] = {}
        self.refused: dict[str, None] = {}

    def run(self) -> Any:
        """Carry out every instruction, and return what is left on the stack.

        Raises:
            BadPickle: It is not sound, or has more instructions than allowed.
            UnsafeGlobal: It asks for a name that no array needs.
        """
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
                if (step := self._table.get(code)) is None:
                    raise self._unsafe_instruction(code, argument)
                step(self, argument)
            except UnsafeGlobal as refused:
                self.refused.setdefault(refused.name)
                raise
            except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
                msg = f"at byte {at:,}, instruction {code!r} does not fit what came before"
                raise BadPickle(msg) from error
        if len(self._stack) != 1 or self._below:
            msg = "it does not end with one value"
            raise BadPickle(msg)
        return self._stack.pop()

    def _gather(self, code: bytes, pieces: Iterator[bytes]) -> Any:
        """Return one argument, each piece of it paid for before the next is read."""
        if self._names_only:
            return opcodes.beginning(pieces)
        spend = self.allowance.spend
        first, second = next(pieces, b""), next(pieces, None)
        if second is None:
            spend(len(first))
            return first
        every = itertools.chain((first, second), pieces)
        if code not in LONG_TEXTS:
            return joined(code, _charged(every, spend))
        try:
            return LONG_TEXTS[code](every, spend)
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

    def list_names(self, shown: int = MOST_NAMES + 1) -> None:
        """Read to the end, or until so many names are refused, and make nothing on the way.

        Raises:
            BadPickle: It is damaged, or asks for too many names. Those before that are recorded.
        """
        self._names_only, self._left, self.allowance = True, MOST_INSTRUCTIONS, Allowance(BYTES_FOR_NAMES)
        for at, code, argument in self._steps:
            self.allowance.spend(COSTS.get(code, REFERENCE))
            self._left -= 1
            if self._left < 0:
                msg = f"it has more than {MOST_INSTRUCTIONS:,} instructions"
                raise BadPickle(msg)
            if len(self.refused) >= shown:
                self._steps.close()
                return
            try:
                self._follow(code, argument)
            except (IndexError, KeyError, ValueError) as error:
                msg = f"at byte {at:,}, instruction {code!r} does not fit what came before"
                raise BadPickle(msg) from error

    def list_refused(self) -> tuple[str, ...]:
        """Return what was refused, and what else the rest of the pickle asks for, as far as it can be read."""
        with suppress(BadPickle, DatasetError):
            self.list_names(MOST_SHOWN)
        return tuple(self.refused)

    def _follow(self, code: bytes, argument: Any) -> None:
        """Do to the stack and the memo what an instruction does, but make nothing except texts: None stands for it."""
        if code in STACK_ONLY:
            _STEPS[code](self, argument)
            return
        if code in TEXT_ENCODINGS:
            self._push(opcodes.short_text(code, argument))
            return
        if code in (b"c", b"i"):
            self._meet(*(part.decode(errors="backslashreplace") for part in argument))
        elif code == b"\x93":
            name, module = self._stack[-1], self._stack[-2]
            self._meet(name_part(module), name_part(name))
        elif code in UNSAFE:
            self._meet("pickle", UNSAFE[code].format(argument))
        takes, gives = EFFECTS.get(code, (0, True))
        if takes is None:
            self._to_mark()
        else:
            for _ in range(takes):
                self._stack.pop()
        if gives:
            self._push(None)

    def _meet(self, module: str | None, name: str | None) -> None:
        shown = global_name(module, name)
        self.names.setdefault(shown)
        if (module, name) not in self.allowed:
            self.refused.setdefault(shown)
        if len(self.names) > MOST_NAMES:
            msg = f"it asks for more than {MOST_NAMES:,} names"
            raise BadPickle(msg)

    def _unsafe_instruction(self, code: bytes, argument: Any) -> UnsafeGlobal:
        """Return the refusal of an instruction that no data needs, once its effect on the stack is followed."""
        self._follow(code, argument)
        return UnsafeGlobal(next(reversed(self.refused), f"instruction {code!r}"))

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _protocol(self, version: int) -> None:
        if version not in PROTOCOLS:
            msg = f"its protocol is {version}; 0 to 5 are known"
            raise BadPickle(msg)

    def _number(self, line: Any) -> None:
        digits = line.strip().removesuffix(b"L")
        if len(digits) > LONGEST_NUMBER or not digits.lstrip(b"-").isdigit():
            msg = "not a whole number, or one of too many digits"
            raise BadPickle(msg)
        self._push({b"00": False, b"01": True}.get(digits, int(digits)))

    def _long(self, raw: Any) -> None:
        if len(raw) > 9:
            msg = "a whole number of more than 64 bits"
            raise BadPickle(msg)
        self._push(int.from_bytes(raw, "little", signed=True))

    def _real(self, line: Any) -> None:
        if len(line) > LONGEST_NUMBER + 8:
            msg = "a number that has too many digits"
            raise BadPickle(msg)
        self._push(float(line))

    def _text(self, raw: Any) -> None:
        if type(raw) is bytes:
            raw = raw.decode()
            self.allowance.spend(0 if raw.isascii() else 4 * len(raw))
        self._push(raw)

    def _quoted(self, line: Any) -> None:
        if type(line) is not bytes:
            self._push(line.raw)
            return
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            msg = "a string without its quotes"
            raise BadPickle(msg)
        # Whatever repr() does not write would be let through with a warning.
        if b"\\" in _ESCAPES.sub(b"", line):
            msg = "a string with an escape that repr() does not write"
            raise BadPickle(msg)
        self._push(codecs.escape_decode(line[1:-1])[0])

    def _raw_text(self, line: Any) -> None:
        text = line.decode("raw_unicode_escape") if type(line) is bytes else line
        if type(text) is str and _SURROGATES.search(text):
            raise ValueError
        self._push(text)

    def _take(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _tuple(self, items: list[Any]) -> None:
        # What a function is given stays the bytes that a long text may spell; any other tuple is data.
        if not self._stack or type(self._stack[-1]) is not FunctionType:
            for at, item in enumerate(items):
                if type(item) is Latin1Text:
                    self.allowance.spend(len(item.raw))
                    items[at] = item.text
        self._push(tuple(items))

    def _mapping(self, _: Any) -> None:
        items = self._to_mark()
        self._push({})
        self._set_pairs(items)

    def _set_pairs(self, items: list[Any]) -> None:
        target = self._stack[-1]
        # Only plain keys: hashing a tuple a million levels deep would exhaust the C stack.
        if type(target) is not dict or len(items) % 2 or not all(type(key) in KEYS for key in items[::2]):
            raise TypeError
        self.allowance.spend(64 * len(items))
        target.update(zip(items[::2], items[1::2], strict=True))

    def _extend(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise TypeError
        self._stack[-1].extend(items)

    def _put(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def _named(self, module: Any, name: Any) -> None:
        self._meet(module, name)
        if (module, name) not in self.allowed:
            self._push(None)
            raise UnsafeGlobal(global_name(module, name))
        self._push(self.allowed[module, name])

    def _stack_global(self, _: Any) -> None:
        module, name = self._take(2)
        if type(name) is not str or type(module) is not str:
            self._push(None)
            raise UnsafeGlobal(global_name(name_part(module), name_part(name)))
        self._named(module, name)

    def _reduce(self, _: Any) -> None:
        function, args = self._take(2)
        # Only functions of the table can be on the stack: nothing else puts one there.
        if type(function) is not FunctionType or type(args) is not tuple:
            raise TypeError
        self._push(None)  # for what follows, should it be refused
        self._stack[-1] = function(self.allowance, args)

    def _build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is Dtype:
            target.set_state(state)
        elif type(target) is np.ndarray:
            set_array_state(target, state, self.allowance)
        else:
            raise TypeError


def _charged(pieces: Iterator[bytes], spend: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        spend(len(piece))
        yield piece


_Step = Callable[[Machine, Any], object]

_STEPS: dict[bytes, _Step] = {
    b"(": Machine._mark,
    b"0": Machine._pop,
    b"1": lambda m, _: m._to_mark(),
    b"N": lambda m, _: m._push(None),
    b"\x88": lambda m, _: m._push(True),
    b"\x89": lambda m, _: m._push(False),
    **dict.fromkeys((b"I", b"L"), Machine._number),
    **dict.fromkeys((b"\x8a", b"\x8b"), Machine._long),
    **dict.fromkeys((b"J", b"K", b"M", b"G"), Machine._push),
    b"F": Machine._real,
    b"S": Machine._quoted,
    b"V": Machine._raw_text,
    **dict.fromkeys((b"X", b"\x8c", b"\x8d"), Machine._text),
    **dict.fromkeys((b"T", b"U", b"B", b"C", b"\x8e", b"\x96"), Machine._push),
    b")": lambda m, _: m._push(()),
    b"\x85": lambda m, _: m._tuple(m._take(1)),
    b"\x86": lambda m, _: m._tuple(m._take(2)),
    b"\x87": lambda m, _: m._tuple(m._take(3)),
    b"t": lambda m, _: m._tuple(m._to_mark()),
    b"]": lambda m, _: m._push([]),
    b"l": lambda m, _: m._push(m._to_mark()),
    b"a": lambda m, _: m._extend(m._take(1)),
    b"e": lambda m, _: m._extend(m._to_mark()),
    b"}": lambda m, _: m._push({}),
    b"d": Machine._mapping,
    b"s": lambda m, _: m._set_pairs(m._take(2)),
    b"u": lambda m, _: m._set_pairs(m._to_mark()),
    **dict.fromkeys((b"q", b"r"), Machine._put),
    b"p": lambda m, line: m._put(int(line[:LONGEST_NUMBER])),
    b"\x94": lambda m, _: m._put(len(m._memo)),
    **dict.fromkeys((b"h", b"j"), lambda m, key: m._push(m._memo[key])),
    b"g": lambda m, line: m._push(m._memo[int(line[:LONGEST_NUMBER])]),
    b"c": lambda m, lines: m._named(lines[0].decode("utf-8"), lines[1].decode("utf-8")),
    b"\x93": Machine._stack_global,
    b"R": Machine._reduce,
    b"b": Machine._build,
    b"\x80": Machine._protocol,
    b"\x95": lambda m, _: None,
}
