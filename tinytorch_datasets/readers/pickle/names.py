"""The names that a pickle asks for.

It is read, not loaded: only the stack is followed, as far as needed to know which texts become names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.readers.pickle.numpy_globals import ALLOWED
from tinytorch_datasets.readers.pickle.opcodes import BadPickle, instructions, source

# Reading names is linear in the file; these bound its memory too.
MOST_INSTRUCTIONS = 1_000_000
LONGEST_NAME = 256
LONGEST_SLOT = 20
MOST_NAMES = 1000
MOST_SHOWN = 20

# Instructions that reach outside the pickle without a name.
UNSAFE = {
    b"P": "a persistent id",
    b"Q": "a persistent id",
    b"\x82": "extension code {}",
    b"\x83": "extension code {}",
    b"\x84": "extension code {}",
    b"\x97": "a buffer outside the pickle",
    b"\x98": "a buffer outside the pickle",
}


def globals_of(pickle: Path | bytes | bytearray | Callable[[int], bytes]) -> tuple[str, ...]:
    """The names that a pickle asks for, in the order they first appear; it is not loaded.

    `pickle` is a file, the bytes themselves, or a function that reads at most so many of them.

    >>> globals_of(b"cos\\nsystem\\n(S'true'\\ntR.")
    ('os.system',)

    Raises:
        DecodeError: It is not a sound pickle, or asks for more than a thousand names.
    """
    if isinstance(pickle, Path):
        with pickle.open("rb") as file:
            return _globals_of(file.read, pickle)
    return _globals_of(pickle, Path("<bytes>"))


def _globals_of(data: bytes | bytearray | Callable[[int], bytes], path: Path) -> tuple[str, ...]:
    names: dict[str, None] = {}
    try:
        for name in _asked(instructions(source(data), _beginning), [], {}):
            names[spelled(*name)] = None
            if len(names) > MOST_NAMES:
                msg = f"it asks for more than {MOST_NAMES:,} names"
                raise BadPickle(msg)
    except BadPickle as error:
        reason = f"the pickle is not sound: {error}"
        raise DecodeError(path, reason) from error
    return tuple(names)


def named_after(
    first: str, rest: Iterator[tuple[int, bytes, Any]], levels: Sequence[list[Any]], memo: dict[int, Any]
) -> tuple[str, ...]:
    """The name that was refused first, and what the rest asks for that no array needs, as far as it can be read.

    `levels` and `memo` are the machine's, as they were when it stopped.
    """
    names = {first: None}
    stack: list[str | None] = []
    for level in levels:
        stack += [value if type(value) is str else None for value in level]
        stack.append(_MARK)
    known = {slot: value if type(value) is str else None for slot, value in memo.items()}
    try:
        for name in _asked(rest, stack[:-1], known):
            if name not in ALLOWED:
                names[spelled(*name)] = None
            if len(names) == MOST_SHOWN:
                break
    except (BadPickle, ValueError):
        pass
    return tuple(names)


def _beginning(code: bytes, pieces: Iterator[bytes]) -> bytes:
    """What is enough of an argument to know a name by; the rest is read and let go."""
    kept = next(pieces, b"")
    for _ in pieces:
        pass
    return kept


def spelled(module: str | None, name: str | None) -> str:
    """A global as people write it, with a colon before a name that has dots itself.

    >>> spelled("os", "system"), spelled("numpy", "core.multiarray._reconstruct"), spelled("os", None)
    ('os.system', 'numpy:core.multiarray._reconstruct', 'os.<computed>')
    """
    sign = ":" if "." in (name or "") else "."
    return sign.join("<computed>" if part is None or part == "" else _shortened(part) for part in (module, name))


def _shortened(part: str) -> str:
    return part if len(part) <= LONGEST_NAME else f"{part[:LONGEST_NAME]}..."


_MARK = "a mark, which no text can be the same object as"


def _asked(
    steps: Iterator[tuple[int, bytes, Any]], stack: list[str | None], memo: dict[int, str | None]
) -> Iterator[tuple[str | None, str | None]]:
    """Each (module, name) in the order they appear; ways out that have no name come as ("pickle", what)."""
    import pickletools  # large, and needed only here: it knows what each instruction takes off the stack

    takes = {op.code.encode("latin-1"): op for op in pickletools.opcodes}
    for count, (_, code, argument) in enumerate(steps):
        if count >= MOST_INSTRUCTIONS:
            msg = f"it has more than {MOST_INSTRUCTIONS:,} instructions"
            raise BadPickle(msg)
        if isinstance(argument, tuple):
            yield _text(argument[0]), _text(argument[1])
        elif code == b"\x93":
            module, name = [None, None, *stack[-2:]][-2:]
            yield module, name
        elif code in UNSAFE:
            yield "pickle", UNSAFE[code].format(argument)

        if code in (b"q", b"r", b"p", b"\x94"):
            memo[_slot(argument, len(memo))] = stack[-1] if stack else None
        elif code in (b"h", b"j", b"g"):
            stack.append(memo.get(_slot(argument, -1)))
        elif code == b"(":
            stack.append(_MARK)
        else:
            known = takes[code]
            taken = known.stack_before
            if pickletools.markobject in taken:
                while stack and stack.pop() is not _MARK:
                    pass
                taken = taken[: taken.index(pickletools.markobject)]
            del stack[max(len(stack) - len(taken), 0) :]
            stack.extend([_pushed(code, argument)] * len(known.stack_after))


def _slot(argument: object, implied: int) -> int:
    """The number of a memo's slot: MEMOIZE takes the next one, PUT and GET have it in decimal."""
    if isinstance(argument, bytes):
        return int(argument) if argument.isdigit() and len(argument) < LONGEST_SLOT else -2
    return argument if isinstance(argument, int) else implied


def _pushed(code: bytes, argument: object) -> str | None:
    """The text that an instruction pushes, if it could be part of a name."""
    if not isinstance(argument, bytes) or len(argument) > LONGEST_NAME:
        return None
    return _text(argument, "raw_unicode_escape" if code == b"V" else "utf-8")


def _text(raw: bytes, encoding: str = "utf-8") -> str:
    return raw.decode(encoding, "backslashreplace")
