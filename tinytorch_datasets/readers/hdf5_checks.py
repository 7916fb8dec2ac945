"""Checks of HDF5 chunks, heaps and strings, before the library reads them.

The HDF5 library inflates a chunk to whatever it comes to, believes how long a string is said to be, and walks a heap
for ever that has an object without a size. All of that is looked at here first.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.readers.hdf5 import CHUNK_BYTES, DEFLATE, FLETCHER32, HARMLESS_BYTES, LZF, Stored

# What a chunk comes to at most, for each of its bytes.
MOST_INFLATION = {DEFLATE: 1032, LZF: 88}
CHECKSUM_BYTES = 4
# A collection of the global heap, of version 1; then each object of it has 16 bytes before its own.
HEAP, HEAP_OBJECT = b"GCOL\1", 16
# An object's number has so many bits; no file is so long that the place of its heap does not fit into the others.
INDEX_BITS, MOST_PLACE = 16, 2**64 - 1
REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("object", "<u4")])


def check_chunks(stored: Stored, declared: int, fail: Callable[[str], NoReturn]) -> None:
    """Refuse chunks that are larger than declared, or come to more than they state, before one is read."""
    import h5py

    size = stored.chunk_bytes
    if not stored.chunk:
        return
    if size > max(CHUNK_BYTES, declared):
        fail(f"is stored in chunks of {size:,} bytes, and {declared:,} are declared")
    suspect, damaged = list[tuple[int, ...]](), list[tuple[int, ...]]()

    def used(mask: int) -> set[int]:
        return {code for number, code in enumerate(stored.filters) if not mask >> number & 1}

    def look(info: h5py.h5d.StoreInfo) -> None:
        filters = used(info.filter_mask)
        checksum = CHECKSUM_BYTES if FLETCHER32 in filters else 0
        packing = filters & {DEFLATE, LZF}
        if info.size <= checksum or (not packing and info.size != size + checksum):
            damaged.append(tuple(info.chunk_offset))
        elif packing and info.size * max(map(MOST_INFLATION.__getitem__, packing)) > max(HARMLESS_BYTES, size):
            suspect.append(tuple(info.chunk_offset))

    stored.id.chunk_iter(look)
    if damaged:
        fail(f"has a chunk at {damaged[0]} that is not as long as it should be")
    for place in suspect:
        mask, data = stored.id.read_direct_chunk(place)
        try:
            inflate = zlib.decompressobj().decompress if DEFLATE in used(mask) else _lzf
            came = len(inflate(data, size + CHECKSUM_BYTES + 1))
        except zlib.error:
            fail(f"has a chunk at {place} whose gzip data is damaged")
        if came > size + CHECKSUM_BYTES:
            fail(f"has a chunk at {place} that comes to more than the {size:,} bytes of a chunk")


class Heaps(NamedTuple):
    """The objects of all heaps of a file: where each is, in order, and how many bytes it has."""

    places: np.ndarray
    sizes: np.ndarray


def read_heaps(path: Path, base: int, named: Path) -> Heaps:
    """Find the heaps of a file, which hold its strings and lists. `base` is where the first byte of HDF5 is.

    Raises:
        DecodeError: An object of a heap does not fit into it, or a heap into the file.
    """
    places, sizes = array("Q"), array("Q")
    with open(path, "rb", opener=open_file) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, end = data.find(HEAP), 0
        while at >= 0:
            start, end = end, at + int.from_bytes(data[at + 8 : at + 16], "little")
            inside = at + HEAP_OBJECT
            is_sound = start <= at and inside <= end <= len(data)
            while is_sound and end - inside >= HEAP_OBJECT:
                index, size = struct.unpack_from("<H6xQ", data, inside)
                taken = HEAP_OBJECT + (size + 7) // 8 * 8 if index else size  # what is free has no number
                is_sound = HEAP_OBJECT <= taken <= end - inside
                inside += taken
                if index and is_sound:
                    places.append((at - base << INDEX_BITS | index) & MOST_PLACE)
                    sizes.append(size)
            if not is_sound:
                raise DecodeError(named, f"the heap at byte {at:,} is damaged")
            at = data.find(HEAP, at + len(HEAP))
    found = np.frombuffer(places, np.uint64) if places else np.empty(0, np.uint64)
    order = np.argsort(found, kind="stable")
    return Heaps(found[order], (np.frombuffer(sizes, np.uint64) if sizes else found)[order])


def check_lengths(stored: Stored, path: Path, heaps: Heaps, most: int, fail: Callable[[str], NoReturn]) -> None:
    """Refuse strings or lists that are not as long as is said of them, or come to more than so many bytes together.

    The library makes room for the length that is said, and fills it with what is there.

    Raises:
        DecodeError: They do, by `fail`.
    """
    size, total = 1 if stored.kind == "strings" else stored.dtype.itemsize, 0
    for raw in _references(stored, path, fail):
        references = np.frombuffer(raw[: len(raw) // REFERENCE.itemsize * REFERENCE.itemsize], REFERENCE)
        references = references[references["length"] > 0]
        lengths = references["length"].astype(np.uint64) * np.uint64(size)
        total += int(lengths.sum())
        if total > most:
            fail(f"states {total:,} bytes or more of strings or lists, the most is {most:,}")
        wanted = references["heap"] << np.uint64(INDEX_BITS) | references["object"]
        is_there = (references["heap"] >> np.uint64(64 - INDEX_BITS) == 0) & (references["object"] >> INDEX_BITS == 0)
        at = np.minimum(np.searchsorted(heaps.places, wanted), max(len(heaps.places) - 1, 0))
        if len(wanted) and not len(heaps.places):
            fail("has strings or lists, and no heap that holds them")
        if len(wanted) and not np.all(is_there & (heaps.places[at] == wanted) & (heaps.sizes[at] == lengths)):
            fail("has a string or a list of another length than is said of it")


def _references(stored: Stored, path: Path, fail: Callable[[str], NoReturn]) -> Iterator[bytes]:
    """Yield what stands in a data set for its strings or lists: how long each is, and where."""
    if stored.chunk is None:
        start = stored.id.get_offset()
        if start is not None:
            with open(path, "rb", opener=open_file) as file:
                file.seek(start)
                yield file.read(math.prod(stored.shape) * REFERENCE.itemsize)
        elif stored.id.get_storage_size():
            fail("keeps strings or lists in its header (compact), which are not read")
        return
    places = list[tuple[int, ...]]()
    stored.id.chunk_iter(lambda info: places.append(tuple(info.chunk_offset)))
    for place in places:
        mask, data = stored.id.read_direct_chunk(place)
        for number, code in reversed(list(enumerate(stored.filters))):
            if mask >> number & 1:
                continue
            if code == FLETCHER32:
                data = data[:-CHECKSUM_BYTES]
            elif code == DEFLATE:
                data = zlib.decompressobj().decompress(data, stored.chunk_bytes + CHECKSUM_BYTES)
            elif code == LZF:
                data = _lzf(data, stored.chunk_bytes + CHECKSUM_BYTES)
            else:  # the first bytes of all, then the second ones
                data = np.frombuffer(data, np.uint8).reshape(REFERENCE.itemsize, -1).T.tobytes()
        yield data


def _lzf(data: bytes, most: int) -> bytes:
    """Return what LZF data comes to, and not much more than so many bytes of it.

    Source: the layout is that of Marc Lehmann's liblzf, lzf_d.c.
    """
    out, at, end = bytearray(), 0, len(data)
    while at < end and len(out) <= most:
        control = data[at]
        at += 1
        if control < 32:  # so many bytes and one follow as they are
            out += data[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length, at = length + data[at] if at < end else length, at + 1
        back = len(out) - ((control & 31) << 8) - (data[at] if at < end else 0) - 1
        at += 1
        piece = out[max(back, 0) : max(back, 0) + length + 2]
        out += (piece * (length + 2))[: length + 2] if piece else bytes(length + 2)
    return bytes(out)
