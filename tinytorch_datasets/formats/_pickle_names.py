"""What does a pickle ask for by name?

It is read, not loaded: only the stack is followed, as far as needed to know which texts become names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats._opcodes import BadPickle, instructions
from tinytorch_datasets.formats._pickled_arrays import ALLOWED

# Reading names is linear in the file; these bound its memory too.
MOST_INSTRUCTIONS = 1_000_000
LONGEST_NAME = 256
LONGEST_SLOT = 20

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


def globals_of(source: Path | bytes | bytearray) -> tuple[str, ...]:
    """The names that a pickle asks for, in the order they first appear; it is not loaded.

    >>> globals_of(b"cos\\nsystem\\n(S'true'\\ntR.")
    ('os.system',)

    Raises:
        DecodeError: It is not a sound pickle.
    """
    data, path = (source.read_bytes(), source) if isinstance(source, Path) else (source, Path("<bytes>"))
    try:
        return tuple(dict.fromkeys(spelled(*name) for name in _asked(data)))
    except BadPickle as error:
        reason = f"the pickle is not sound: {error}"
        raise DecodeError(path, reason) from error


def refused_names(data: bytes | bytearray) -> tuple[str, ...]:
    """Everything that the pickle asks for and that no array needs, as far as it can be read."""
    names: dict[str, None] = {}
    try:
        for name in _asked(data):
            if name not in ALLOWED:
                names[spelled(*name)] = None
    except BadPickle:
        pass
    return tuple(names)


def spelled(module: str | None, name: str | None) -> str:
    """A global as people write it, with a colon before a name that has dots itself.

    >>> spelled("os", "system"), spelled("numpy", "core.multiarray._reconstruct"), spelled("os", None)
    ('os.system', 'numpy:core.multiarray._reconstruct', 'os.<computed>')
    """
    module, name = module or "<computed>", name or "<computed>"
    return f"{module}:{name}" if "." in name else f"{module}.{name}"


_MARK = "a mark, which no text can be the same object as"


def _asked(data: bytes | bytearray) -> Iterator[tuple[str | None, str | None]]:
    """Each (module, name) in the order they appear; ways out that have no name come as ("pickle", what)."""
    import pickletools  # large, and needed only here: it knows what each instruction takes off the stack

    takes = {op.code.encode("latin-1"): op for op in pickletools.opcodes}
    stack: list[str | None] = []
    memo: dict[int, str | None] = {}
    for count, (_, code, argument) in enumerate(instructions(data)):
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
