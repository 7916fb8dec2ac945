"""A bounded reader of pickles: the arrays that one holds, nothing run.

A pickle is a program, so it is not given to `pickle`, which would run it: `machine` reads it, and knows
containers, numbers, text and NumPy's arrays, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DecodeError, UnsafePickle, did_you_mean
from tinytorch_datasets.readers.arrays import whole_numbers
from tinytorch_datasets.readers.pickle.machine import BYTES_BESIDE, KEYS, Machine
from tinytorch_datasets.readers.pickle.numpy_globals import Allowance, UnsafeGlobal
from tinytorch_datasets.readers.pickle.opcodes import BadPickle
from tinytorch_datasets.readers.pickle.packed import Row
from tinytorch_datasets.readers.pickle.rows import describe
from tinytorch_datasets.readers.pickle.values import Latin1Text

__all__ = [
    "BYTES_BESIDE",
    "array",
    "as_text",
    "entry",
    "globals_of",
    "load",
    "load_dict",
    "lookup",
    "max_extra_bytes",
    "max_instructions",
    "run",
    "text_keys",
]

# What a pickle holds besides its declared fields: a file name, a second label, and its own instructions.
BYTES_BESIDE_A_SAMPLE = 256
BYTES_BESIDE_A_PICKLE = 1 << 16
INSTRUCTIONS_A_SAMPLE = 16
INSTRUCTIONS_A_PICKLE = 10_000

Data = bytes | bytearray | Callable[[int], bytes]
LEAVES = (*KEYS, np.ndarray, np.generic)
PLAIN = frozenset(KEYS)


def max_extra_bytes(samples: int) -> int:
    """Return how many bytes a pickle of so many samples may have beside those of its declared fields."""
    return BYTES_BESIDE_A_PICKLE + BYTES_BESIDE_A_SAMPLE * samples


def max_instructions(samples: int) -> int:
    """Return how many instructions a pickle of so many samples may have."""
    return INSTRUCTIONS_A_PICKLE + INSTRUCTIONS_A_SAMPLE * samples


def load(data: Data, path: Path, *, most: int, declared: int | None = None, member: str = "") -> Any:
    """Return what the pickle holds: dict, list, tuple, str, bytes, number, bool, None, and arrays of plain numbers.

    Text that Python 2 wrote as str comes as bytes. `data` is the pickle, or a function that reads at most so many
    bytes of it. `most` is how many instructions it may have, `declared` how many bytes its arrays may take (the
    pickle's own size if left out); `path` and `member` are for the errors.

    Raises:
        UnsafePickle: It asks for anything else; `names` says what. Nothing was imported or called.
        DecodeError: It is damaged, or longer than allowed.
    """
    if declared is None:
        declared = 0 if callable(data) else len(data)
    machine = Machine(data, most, declared)
    return run(machine, lambda: _only_data(machine.run(), machine.allowance), path, member)


def run(machine: Machine, action: Callable[[], Any], path: Path, member: str) -> Any:
    """Return what an action with a machine does, its refusals as errors that name the file."""
    inside = _inside(member)
    try:
        return action()
    except UnsafeGlobal:
        names = machine.list_refused()
        reason = f"{inside}the pickle asks for {', '.join(names)}, which no array of numbers needs; nothing was run"
        raise UnsafePickle(path, reason, names=names) from None
    except BadPickle as error:
        reason = f"{inside}the pickle is not sound: {error}"
        raise DecodeError(path, reason) from error


def globals_of(pickle: Path | bytes | bytearray | Callable[[int], bytes]) -> tuple[str, ...]:
    """Return the names that a pickle asks for, in the order they first appear; it is not loaded.

    `pickle` is a file, the bytes themselves, or a function that reads at most so many of them.

    >>> globals_of(b"cos\\nsystem\\n(S'true'\\ntR.")
    ('os.system',)

    Raises:
        DecodeError: It is not a sound pickle, or asks for more than a thousand names.
    """
    if isinstance(pickle, Path):
        with open(pickle, "rb", opener=open_file) as file:
            return _globals_of(file.read, pickle)
    return _globals_of(pickle, Path("<bytes>"))


def _globals_of(data: Data, path: Path) -> tuple[str, ...]:
    machine = Machine(data, 0, 0)
    try:
        machine.list_names()
    except BadPickle as error:
        reason = f"the pickle is not sound: {error}"
        raise DecodeError(path, reason) from error
    return tuple(machine.names)


def load_dict(data: Data, path: Path, *, most: int, declared: int | None = None, member: str = "") -> dict[Any, Any]:
    """Return what `load` gives, if it is a dict; its keys that Python 2 wrote, which come as bytes, as text.

    Raises:
        UnsafePickle: As for `load`.
        DecodeError: As for `load`, or it is not a dict, or has a key twice, as text and as bytes.
    """
    loaded = load(data, path, most=most, declared=declared, member=member)
    if not isinstance(loaded, dict):
        raise DecodeError(path, f"{_inside(member)}it holds {describe(loaded)}, not a dict of arrays")
    return text_keys(loaded, path, member)


def text_keys(loaded: dict[Any, Any], path: Path, member: str = "") -> dict[Any, Any]:
    """Return a dict whose keys that Python 2 wrote, which come as bytes, are text.

    Raises:
        DecodeError: It has a key twice, as text and as bytes.
    """
    texts: dict[Any, Any] = {}
    for key, value in loaded.items():
        name = as_text(key) if isinstance(key, bytes) else key
        if name in texts and not _are_same(texts[name], value):
            reason = f"{_inside(member)}it has {name!r} twice, as text and as bytes, with different values"
            raise DecodeError(path, reason, hint="Have whoever made it keep one of them.")
        texts[name] = value
    return texts


def _are_same(one: Any, other: Any) -> bool:
    """Check whether two values are surely the same."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return type(one) in (*PLAIN, list) and type(one) is type(other) and repr(one) == repr(other)


def as_text(value: Any) -> str:
    """Return a key or a name as text, also one that Python 2 wrote.

    >>> as_text(b"cat"), as_text("cat")
    ('cat', 'cat')
    """
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def entry(loaded: dict[Any, Any], key: str, path: Path, member: str = "") -> tuple[Any, str]:
    """Return what a dict has under that key, and how errors call it.

    Raises:
        DecodeError: It has no such key.
    """
    if key not in loaded:
        raise DecodeError(path, f"{_inside(member)}it has no {key!r}{_what_it_has(loaded, key)}")
    return loaded[key], f"{_inside(member)}its {key!r}"


def lookup(loaded: Any, key: str, path: Path, member: str = "") -> tuple[Any, str]:
    """Return what is at a key, a path of keys of dicts and positions in lists and tuples, and how errors call it.

    A dict's own key comes first: "a.b" is what it has under "a.b", or else what is at "b" in what it has under "a".

    >>> lookup({"train": ([1, 2], [3])}, "train.1", Path("x.pkl"))
    ([3], "its 'train.1'")

    Raises:
        DecodeError: There is nothing.
    """
    value, rest = loaded, key
    while rest:
        before = key[: len(key) - len(rest)].removesuffix(".")
        value, front = _next(value, rest, f"{_inside(member)}{f'its {before!r}' if before else 'it'}", path, member)
        rest = rest[len(front) + 1 :]
    return value, f"{_inside(member)}its {key!r}" if key else f"{_inside(member)}its value"


def _what_it_has(loaded: dict[Any, Any], key: str) -> str:
    """Return the end of a sentence that says which key may have been meant, or else which there are."""
    names = [name for name in loaded if isinstance(name, str)]
    return did_you_mean(key, names) or f"; it has {', '.join(map(repr, names))}"


def _next(value: Any, rest: str, whose: str, path: Path, member: str) -> tuple[Any, str]:
    """Return what is at the beginning of a path, and that beginning."""
    parts = rest.split(".")
    if isinstance(value, dict):
        known = text_keys(value, path, member)
        for end in range(len(parts), 0, -1):
            front = ".".join(parts[:end])
            if front in known:
                return known[front], front
        raise DecodeError(path, f"{whose} has no {parts[0]!r}{_what_it_has(known, parts[0])}")
    if not isinstance(value, list | tuple | Row):
        raise DecodeError(path, f"{whose} is {describe(value)}, in which there is no {parts[0]!r}")
    items = value.tolist() if isinstance(value, Row) else value
    if parts[0].isdecimal() and len(parts[0]) < 10 and int(parts[0]) < len(items):
        return items[int(parts[0])], parts[0]
    what = "tuple" if isinstance(value, tuple) else "list"
    reason = f"{whose} is a {what} of {len(items):,}, whose positions begin with 0; there is no {parts[0]!r}"
    raise DecodeError(path, reason)


def array(values: Any, path: Path, whose: str) -> np.ndarray:
    """Return the array that a value is; a list of whole numbers is one, too.

    Raises:
        DecodeError: It is neither.
    """
    if isinstance(values, list):
        return whole_numbers(values, path, whose)
    if not isinstance(values, np.ndarray):
        raise DecodeError(path, f"{whose} is {describe(values)}, not an array")
    return values


def _inside(member: str) -> str:
    return f"member {member!r}: " if member else ""


def _only_data(result: Any, allowance: Allowance) -> Any:
    """Return the result, if nothing in it stands for a name; what is text in it after all is made so."""
    seen: set[int] = set()
    root = [result]
    left: list[Any] = [root]
    while left:
        value = left.pop()
        if isinstance(value, LEAVES):
            continue
        if type(value) not in (dict, list, tuple):
            msg = f"a {type(value).__name__} is left in what it holds"
            raise BadPickle(msg)
        if id(value) not in seen:
            allowance.spend(144)
            seen.add(id(value))
            if PLAIN.issuperset(map(type, value.values() if type(value) is dict else value)):
                continue  # as nearly all are: the labels and the names of a hundred thousand samples
            if type(value) is not tuple:  # which has none, or it is a function's
                for key, inner in list(value.items()) if type(value) is dict else enumerate(value):
                    if type(inner) is Latin1Text:
                        allowance.spend(len(inner.raw))
                        value[key] = inner.text
            left.extend(value.values() if type(value) is dict else value)
    return root[0]
