"""What arrays does a pickle hold, and what else does it ask for?

A pickle is a program, so it is not given to `pickle`, which would run it: `_pickle_machine` reads it, and knows
containers, numbers, text and NumPy's arrays, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import DecodeError, UnsafePickle
from tinytorch_datasets.formats._opcodes import BadPickle
from tinytorch_datasets.formats._pickle_machine import BYTES_BESIDE, KEYS, Machine
from tinytorch_datasets.formats._pickle_names import globals_of
from tinytorch_datasets.formats._pickled_arrays import Allowance, Refused
from tinytorch_datasets.formats._pickled_texts import Spelled

__all__ = ["BYTES_BESIDE", "globals_of", "load"]

LEAVES = (*KEYS, np.ndarray, np.generic)
PLAIN = frozenset(KEYS)


def load(
    data: bytes | bytearray | Callable[[int], bytes],
    path: Path,
    *,
    most: int,
    declared: int | None = None,
    member: str = "",
) -> Any:
    """What the pickle holds: dict, list, tuple, str, bytes, int, float, bool, None, and arrays of plain numbers.

    Text that Python 2 wrote as str comes as bytes. `data` is the pickle, or a function that reads at most so many
    bytes of it. `most` is how many instructions it may have, `declared` how many bytes its arrays may take (the
    pickle's own size if left out); `path` and `member` are for the errors.

    Raises:
        UnsafePickle: It asks for anything else; `names` says what. Nothing was imported or called.
        DecodeError: It is damaged, or longer than allowed.
    """
    inside = f"member {member!r}: " if member else ""
    if declared is None:
        declared = 0 if callable(data) else len(data)
    machine = Machine(data, most, declared)
    try:
        return _only_data(machine.run(), machine.allowance)
    except Refused as refused:
        names = machine.names_after(refused)
        reason = f"{inside}the pickle asks for {', '.join(names)}, which no array of numbers needs; nothing was run"
        raise UnsafePickle(path, reason, names=names) from None
    except BadPickle as error:
        reason = f"{inside}the pickle is not sound: {error}"
        raise DecodeError(path, reason) from error


def _only_data(result: Any, allowance: Allowance) -> Any:
    """The result, if nothing in it stands for a name; what is text in it after all is made so."""
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
            if type(value) is not tuple:
                for key, inner in list(value.items()) if type(value) is dict else enumerate(value):
                    if type(inner) is Spelled:
                        allowance.spend(len(inner.raw))
                        value[key] = inner.raw.decode("latin-1")
            left.extend(value.values() if type(value) is dict else value)
    return root[0]
