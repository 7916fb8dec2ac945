"""What does NumPy's own header say, and what array follows it?

The header is a line of Python, which is never evaluated here. Layout: numpy.lib.format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from tinytorch_datasets.formats._numbers import allow, fortran, not_plain, plain, rows
from tinytorch_datasets.formats._registry import Block
from tinytorch_datasets.formats._stream import Stream
from tinytorch_datasets.plan import Column

MAGIC = b"\x93NUMPY"
LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}

# NumPy's own bound (numpy.lib.format._MAX_HEADER_SIZE): a header of plain numbers takes 118 bytes.
LONGEST_HEADER = 10_000

# {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }; Python 2 may write 60000L.
_ITEM = re.compile(
    r"""\s*(['"])(?P<key>\w+)\1\s*:\s*(?:
        (['"])(?P<text>[^'"\\]*)\3
        | (?P<flag>True|False)
        | \((?P<shape>(?:\s*\d{1,19}L?\s*,)*\s*(?:\d{1,19}L?\s*)?)\)
        | (?P<fields>\[.*)
    )\s*(?:,|(?=\}))""",
    re.ASCII | re.DOTALL | re.VERBOSE,
)


def array(column: Column, stream: Stream) -> Iterator[Block]:
    """Blocks of the NPY array that the stream holds."""
    dtype, shape, by_columns = _header(stream)
    allow(column, dtype, shape, stream.path, _whose(stream))
    # One dimension has the same order either way.
    read = fortran if by_columns and len(shape) > 1 else rows
    yield from read(column, stream, dtype, shape, "its body")


def _header(stream: Stream) -> tuple[np.dtype, tuple[int, ...], bool]:
    head = stream.take(8, "the NPY magic number")
    version = (head[6], head[7])
    if not head.startswith(MAGIC):
        stream.fail(f"it is not NPY: it begins with {bytes(head[:6])!r}, not {MAGIC!r}")
    if version not in LENGTH_BYTES:
        stream.fail(f"its NPY version is {version[0]}.{version[1]}; 1.0, 2.0 and 3.0 are known")
    length = int.from_bytes(stream.take(LENGTH_BYTES[version], "the length of its header"), "little")
    if length > LONGEST_HEADER:
        stream.fail(f"its header is {length:,} bytes long, the most is {LONGEST_HEADER:,}")
    raw = stream.take(length, "its header")
    try:
        text = raw.decode("utf-8" if version == (3, 0) else "latin-1").strip()
    except UnicodeDecodeError as error:
        stream.fail("its header is not UTF-8", cause=error)

    items: dict[str, re.Match[str]] = {}
    at = 1
    while found := _ITEM.match(text, at):
        if found["key"] in items:
            stream.fail(f"its header has {found['key']!r} twice")
        items[found["key"]], at = found, found.end()
    descr = items.get("descr")
    if descr is not None and descr["fields"] is not None:
        raise not_plain(stream.path, descr["fields"].partition("]")[0] + "]", _whose(stream))
    complete = items.keys() == {"descr", "fortran_order", "shape"} and text[:1] == "{" and text[at:].strip() == "}"
    if not complete or any(
        items[key][kind] is None for key, kind in [("descr", "text"), ("fortran_order", "flag"), ("shape", "shape")]
    ):
        stream.fail(f"its header is not one that NumPy writes: {text[:60]!r}")
    dtype = plain(items["descr"]["text"])
    if dtype is None:
        raise not_plain(stream.path, items["descr"]["text"], _whose(stream))
    shape = tuple(int(d.strip().rstrip("L")) for d in items["shape"]["shape"].split(",") if d.strip())
    return dtype, shape, items["fortran_order"]["flag"] == "True"


def _whose(stream: Stream) -> str:
    return f"member {stream.member!r}" if stream.member else "the array"
