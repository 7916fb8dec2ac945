"""A pickle machine for arrays of objects, with lists of numbers as arrays.

NumPy writes an array of Python objects as a pickle, and samples of different lengths are kept that way. What the
objects may be, `rows` knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.readers.arrays import MOST_DIMENSIONS
from tinytorch_datasets.readers.pickle import BYTES_BESIDE_A_PICKLE, Data, run
from tinytorch_datasets.readers.pickle.machine import Machine
from tinytorch_datasets.readers.pickle.numpy_globals import ALLOWED, Allowance
from tinytorch_datasets.readers.pickle.opcodes import BadPickle
from tinytorch_datasets.readers.pickle.packed import Packer, Row
from tinytorch_datasets.readers.pickle.rows import describe

# What may be made in memory of a byte of such a pickle, and beside that of a sample: a number that is spelled in
# three bytes is an object of Python until its list is complete, and each list is an entry of the memo.
BYTES_A_BYTE = 16
BYTES_A_SAMPLE = 1024
# How long such a pickle may be, against the file that it comes from.
INFLATION = 32


class ObjectDtype:
    """Stands for the dtype of Python objects while a pickle spells it."""

    def set_state(self, state: Any) -> None:
        """(3, byte order, None, None, None, -1, -1, flags): there is nothing in it that could differ."""
        if type(state) is not tuple or len(state) != 8 or any(part is not None for part in state[2:5]):
            msg = "NumPy writes the state of a dtype of objects otherwise"
            raise BadPickle(msg)


# What NumPy writes for it: as of any age, on computers of 32 bits and of 64, and by Python 2.
_OBJECT_DTYPES = tuple((code, 0, 1) for code in ("O", "O4", "O8", b"O", b"O4", b"O8"))


def _dtype(allowance: Allowance, args: tuple[Any, ...]) -> Any:
    if args in _OBJECT_DTYPES:
        return ObjectDtype()
    return ALLOWED["numpy", "dtype"](allowance, args)  # type: ignore[call-arg]


_ALLOWED = {**ALLOWED, ("numpy", "dtype"): _dtype}


class ObjectMachine(Machine):
    """A machine that knows arrays of objects too, and keeps lists of numbers as arrays: as `Row`."""

    allowed = _ALLOWED

    def __init__(self, data: Data, most: int, declared: int) -> None:
        super().__init__(data, most, declared)
        self._packer = Packer()
        self._table = {**self._table, **_STEPS}

    def _run(self, buffer: bytes, at: int) -> int:
        packer, left = self._packer, self.allowance.left
        read = packer.run(buffer, at, self._stack, self._memo, self._left, left)
        if not read:
            return super()._run(buffer, at)
        self._left -= packer.steps
        self.allowance.spend(packer.cost)
        return read

    def _extend(self, items: list[Any]) -> None:
        row = self._stack[-1]
        if type(row) is not Row:
            raise TypeError
        self.allowance.spend(row.extend(items))

    def _build(self, _: Any) -> None:
        state, target = self._stack[-1], self._stack[-2]
        if type(target) is ObjectDtype:
            self._stack.pop()
            target.set_state(state)
        elif type(state) is tuple and len(state) == 5 and type(state[2]) is ObjectDtype:
            self._stack.pop()
            self._set_objects(target, *state)
        else:
            super()._build(None)

    def _set_objects(self, target: Any, version: Any, shape: Any, _: Any, is_fortran: Any, items: Any) -> None:
        is_empty = type(target) is np.ndarray and target.dtype == np.int8 and target.shape == (0,)
        is_shape = type(shape) is tuple and len(shape) <= MOST_DIMENSIONS and all(type(d) is int for d in shape)
        if not is_empty or not is_shape or type(items) is not Row or type(is_fortran) not in (bool, int):
            msg = "NumPy writes an array of objects otherwise"
            raise BadPickle(msg)
        if min(shape, default=0) < 0 or math.prod(shape) != len(items):
            msg = f"an array of the shape {shape} is stated, {len(items):,} objects are there"
            raise BadPickle(msg)
        self.allowance.spend(56 * len(items))
        target.__setstate__((1, shape, np.dtype(object), bool(is_fortran), items.tolist()))


_STEPS: dict[bytes, Callable[[Any, Any], object]] = {
    b"]": lambda m, _: m._push(Row()),
    b"l": lambda m, _: m._push(Row(m._to_mark())),
    b"b": ObjectMachine._build,
}


def load_objects(data: Data, path: Path, *, size: int, samples: int, member: str = "") -> np.ndarray:
    """Return the array of objects that a pickle holds: numbers, texts, arrays, and `Row` for each list.

    `size` is how many bytes the pickle has at most, `samples` how many are declared; they bound what is made of it.

    Raises:
        UnsafePickle: It asks for anything that is no array of numbers.
        DecodeError: It is damaged, or no array of objects.
    """
    loaded = load_rows(data, path, size=size, samples=samples, member=member)
    if type(loaded) is not np.ndarray or loaded.dtype != object:
        inside = f"member {member!r}: " if member else ""
        raise DecodeError(path, f"{inside}its pickle is {describe(loaded)}, not one of objects")
    return loaded


def load_rows(data: Data, path: Path, *, size: int, samples: int, member: str = "") -> Any:
    """Return what a pickle holds, as `load` does, but arrays of objects too, and each list as a `Row`."""
    machine = ObjectMachine(data, size, BYTES_A_BYTE * size + BYTES_A_SAMPLE * samples)
    return run(machine, machine.run, path, member)


def max_bytes(path: Path, samples: int) -> int:
    """Return how many bytes a pickle of objects may have, inside that file."""
    return INFLATION * path.stat().st_size + BYTES_BESIDE_A_PICKLE + 16 * samples
