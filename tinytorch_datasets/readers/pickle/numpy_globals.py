"""The allow-list of pickle globals, and what is done in place of calling each.

Nothing that a pickle names is ever imported or called. Each allowed name stands for one of the small functions
here, which knows what NumPy itself writes there and refuses everything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets.readers.arrays import MOST_DIMENSIONS, plain, turned
from tinytorch_datasets.readers.pickle.opcodes import LONGEST_NAME, BadPickle
from tinytorch_datasets.readers.pickle.values import Latin1Text


class UnsafeGlobal(Exception):
    """The pickle asks for something that no array of plain numbers needs. `name` is what."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Allowance:
    """How many bytes may still be made of a pickle. Without it, one string could be copied a thousand times."""

    def __init__(self, left: int) -> None:
        self._most = self.left = left

    def spend(self, nbytes: int) -> None:
        """Take `nbytes` off, or refuse."""
        self.left -= nbytes
        if self.left < 0:
            msg = f"what it holds takes more than the {self._most:,} bytes that are allowed for it"
            raise BadPickle(msg)


class NdarrayType:
    """Stands for the name numpy.ndarray, which is only ever handed on to _reconstruct."""


class Dtype:
    """Stands for a numpy.dtype while the pickle spells it: first its kind and size, then its byte order."""

    def __init__(self, code: str) -> None:
        self._code = code
        self.value: np.dtype | None = None

    def set_state(self, state: Any) -> None:
        """Take (3, byte order, sub-dtype, names, fields, item size, alignment, flags), and from 4 on metadata."""
        if (
            type(state) is not tuple
            or len(state) not in (8, 9)
            or not _equals_any(state[0], 3, 4)
            or self.value is not None
        ):
            _not_as_numpy_writes("the state of a dtype")
        order = _text_of(state[1])
        if any(part is not None for part in state[2:5]) or len(state) == 9:
            _raise_unsafe(f"numpy.dtype {self._code!r} with fields, a sub-array or metadata")
        self.value = plain((order if order in ("<", ">", "|") else "?") + self._code)
        if self.value is None:
            _not_as_numpy_writes("the byte order of a dtype")


def _dtype(allowance: Allowance, args: tuple[Any, ...]) -> Dtype:
    if len(args) != 3 or not _equals_any(args[1], 0, False) or not _equals_any(args[2], 1, True):
        _not_as_numpy_writes("the arguments of numpy.dtype")
    code = _text_of(args[0])
    if code[:1] in ("<", ">", "|", "=") or plain(code) is None:
        _raise_unsafe(f"numpy.dtype {code!r}")
    return Dtype(code)


def _reconstruct(allowance: Allowance, args: tuple[Any, ...]) -> np.ndarray:
    # NumPy always writes (ndarray, (0,), b"b"): an empty array, which __setstate__ fills afterwards.
    if (
        len(args) != 3
        or args[0] is not NdarrayType
        or type(args[1]) is not tuple
        or len(args[1]) != 1
        or not _equals_any(args[1][0], 0)
        or not _equals_any(args[2], b"b", "b")
    ):
        _not_as_numpy_writes("the arguments of _reconstruct")
    return np.empty((0,), np.int8)


def set_array_state(array: np.ndarray, state: Any, allowance: Allowance) -> None:
    """Take (1, shape, dtype, whether the first axis is innermost, bytes), as NumPy writes for ndarray.__setstate__."""
    if array.dtype != np.int8 or array.shape != (0,):
        _not_as_numpy_writes("an array whose state is set twice")
    if (
        type(state) is not tuple
        or len(state) != 5
        or not _equals_any(state[0], 1)
        or not _equals_any(state[3], 0, 1, False, True)
    ):
        _not_as_numpy_writes("the state of an array")
    dtype, shape = _checked(state[2], state[1], state[4])
    # NumPy keeps the bytes that are there, if they are in its order and not few.
    if not dtype.isnative or len(state[4]) <= 1000 or type(state[4]) is not bytes:
        allowance.spend(len(state[4]))
    array.__setstate__((1, shape, dtype, bool(state[3]), bytes(state[4])))  # type: ignore[arg-type]


def _frombuffer(allowance: Allowance, args: tuple[Any, ...]) -> np.ndarray:
    # Protocol 5, from NumPy 1.16: (bytes, dtype, shape, order), and from NumPy 2.3 the order of axes for "K".
    if len(args) not in (4, 5) or not _equals_any(args[3], "C", "F", "K"):
        _not_as_numpy_writes("the arguments of _frombuffer")
    dtype, shape = _checked(args[1], args[2], args[0])
    if not dtype.isnative:
        allowance.spend(len(args[0]))
    flat = turned(np.frombuffer(args[0], dtype) if args[0] else np.empty(0, dtype))
    if args[3] != "K":
        return flat.reshape(shape, order=args[3])
    axes = args[4] if len(args) == 5 else None
    if type(axes) is not tuple or not all(type(a) is int for a in axes) or sorted(axes) != list(range(len(shape))):
        _not_as_numpy_writes("the order of axes in _frombuffer")
    return flat.reshape(shape).transpose(axes)


def _scalar(allowance: Allowance, args: tuple[Any, ...]) -> Any:
    if len(args) != 2:
        _not_as_numpy_writes("the arguments of scalar")
    dtype, _ = _checked(args[0], (), args[1])
    return np.frombuffer(args[1], dtype)[0]


def _encode(allowance: Allowance, args: tuple[Any, ...]) -> bytes:
    # Python 3 spells bytes this way under protocols 0 to 2, which have no instruction for them.
    if len(args) != 2 or not isinstance(args[0], str | Latin1Text) or not _equals_any(args[1], "latin1", "latin-1"):
        _not_as_numpy_writes("the arguments of _codecs.encode")
    if isinstance(args[0], Latin1Text):
        return args[0].raw
    allowance.spend(len(args[0]))
    try:
        return args[0].encode("latin-1")
    except UnicodeEncodeError as error:
        msg = "the text for _codecs.encode is not bytes spelled as latin-1"
        raise BadPickle(msg) from error


def _bytes(allowance: Allowance, args: tuple[Any, ...]) -> bytes:
    if args:
        _not_as_numpy_writes("the arguments of bytes")
    return b""


# Exactly these names, never a prefix, settled on real files: the allow-list is the union of the globals in
# TinyDigits' two pickles (_reconstruct in numpy._core, ndarray, dtype), CIFAR-10's seven (_reconstruct in numpy.core,
# ndarray, dtype) and tests/golden/, where Python 2.7 to 3.13 with NumPy 1.13 to 2.4 wrote the same arrays under
# protocols 0 to 5. Python 3 adds _codecs.encode and __builtin__.bytes (protocols 0 to 2), protocol 5 _frombuffer, and
# single numbers scalar. NumPy 2 renamed numpy.core to numpy._core, hence both. None of them runs anything: an attack
# would have to make _reconstruct or __setstate__ misbehave, so neither is given an argument that NumPy would not write.
ALLOWED: dict[tuple[str, str], Callable[[Allowance, tuple[Any, ...]], Any] | type[NdarrayType]] = {
    ("numpy", "ndarray"): NdarrayType,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _bytes,
}


def global_name(module: str | None, name: str | None) -> str:
    """Return a global as people write it, with a colon before a name that has dots itself.

    >>> global_name("os", "system"), global_name("numpy", "core.multiarray._reconstruct"), global_name("os", None)
    ('os.system', 'numpy:core.multiarray._reconstruct', 'os.<computed>')
    """
    sign = ":" if name and "." in name else "."
    return sign.join("<computed>" if part is None or part == "" else _shortened(part) for part in (module, name))


def name_part(value: Any) -> str | None:
    """Return a module's or a global's name as text, also one that Python 2 wrote; None if it is neither."""
    value = value.decode(errors="backslashreplace") if type(value) is bytes else value
    return value if type(value) is str else None


def _shortened(part: str) -> str:
    return part if len(part) <= LONGEST_NAME else f"{part[:LONGEST_NAME]}..."


def _checked(dtype: Any, shape: Any, raw: Any) -> tuple[np.dtype, tuple[int, ...]]:
    """Return the dtype and shape, once the bytes are known to be exactly theirs."""
    if type(dtype) is not Dtype or dtype.value is None:
        _not_as_numpy_writes("the dtype of an array")
    if type(shape) is not tuple or len(shape) > MOST_DIMENSIONS or not all(type(d) is int and d >= 0 for d in shape):
        _not_as_numpy_writes("the shape of an array")
    if type(raw) not in (bytes, bytearray):
        # A list here is how NumPy writes the elements of an object array.
        _raise_unsafe("an array whose values are not bytes")
    # A zero among the dimensions does not excuse the others: NumPy refuses (0, 2**62) as too big itself.
    if math.prod(max(d, 1) for d in shape) * dtype.value.itemsize >= 2**40:
        _not_as_numpy_writes("the shape of an array")
    nbytes = math.prod(shape) * dtype.value.itemsize
    if nbytes != len(raw):
        msg = f"an array of {nbytes:,} bytes is stated, {len(raw):,} are there"
        raise BadPickle(msg)
    if dtype.value == np.bool_ and raw.translate(None, b"\x00\x01"):
        msg = "a bool is neither 0 nor 1"
        raise BadPickle(msg)
    return dtype.value, shape


def _equals_any(value: Any, *options: Any) -> bool:
    """Check whether it is one of these, of the same type: an array would answer == with an array."""
    return any(type(value) is type(option) and value == option for option in options)


def _text_of(value: Any) -> str:
    """Return what NumPy writes as str, which under Python 2 comes as bytes."""
    if type(value) is bytes:
        return value.decode("latin-1")
    if type(value) is not str:
        _not_as_numpy_writes("what should be text")
    return value


def _raise_unsafe(name: str) -> NoReturn:
    raise UnsafeGlobal(name)


def _not_as_numpy_writes(what: str) -> NoReturn:
    msg = f"NumPy writes {what} otherwise"
    raise BadPickle(msg)
