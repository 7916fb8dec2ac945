"""IDX: the layout MNIST is published in, one array a file."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from tinytorch_datasets.formats import ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import Block, Column, Split
from tinytorch_datasets.readers.archives.source import in_turn
from tinytorch_datasets.readers.arrays import blocks, check_within_declared
from tinytorch_datasets.readers.stream import Stream

# "File formats for the MNIST database", http://yann.lecun.com/exdb/mnist/: the third byte of the magic number.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize the magic number: two zero bytes, a known type, and a few dimensions."""
    if not (
        len(head) > 7
        and head[:2] == b"\0\0"
        and head[2] in TYPES
        and 0 < head[3] <= (len(head) - 4) // 4
        and head[3] < 9
    ):
        return None
    shape = tuple(int(n) for n in np.frombuffer(head[: 4 + 4 * head[3]], ">u4", offset=4))
    array = ArrayInfo("", np.dtype(TYPES[head[2]]).name, shape)
    return Detection(Certainty.CERTAIN, lambda: FileInfo(path, "idx", (array,)))


@decodes("idx", layout="file per field", detect=_detect)
def idx(splits: Sequence[Split]) -> Iterator[Block]:
    """IDX files, one for each field of each split, plain or compressed.

    A header of two zero bytes, one byte for the element type, one for the number of dimensions, and each
    dimension as a 32-bit number; then the values. All numbers are big-endian. The shape is the file's own.

    Raises:
        DecodeError: It is not IDX, or its values are more or fewer than its header states.
        ContentError: Its header states more than is declared.
    """
    columns = [column for split in splits for column in split.columns.values()]
    with closing(in_turn(column.source for column in columns)) as streams:
        for column, stream in zip(columns, streams, strict=True):
            yield from _array(column, stream)


def _array(column: Column, stream: Stream) -> Iterator[Block]:
    zeros, code, dimensions = struct.unpack(">HBB", stream.take(4, "the IDX magic number"))
    if zeros or code not in TYPES or not dimensions:
        magic = (zeros << 16) | (code << 8) | dimensions
        known = " ".join(f"{c:02x}" for c in TYPES)
        stream.fail(f"it is not IDX: it begins with 0x{magic:08x}, not 0x0000, one of the types {known}, and 01 to ff")
    shape = struct.unpack(f">{dimensions}I", stream.take(4 * dimensions, f"the {dimensions} dimensions of its header"))
    dtype = np.dtype(TYPES[code])
    shape = check_within_declared(column, dtype, shape, stream.path, "the array")
    yield from blocks(column, stream, dtype, shape, "its body")
