"""Damaged and hostile files: each is refused in clear words, and its harmless twin is read.

A case is one file of one column, `images`, declared as three samples of uint8 in the shape (2,) unless it says
otherwise. The twin differs from the hostile file in the one thing that is wrong with it.
"""

from __future__ import annotations

import gzip
import lzma
import pickle
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import (
    CLASSES,
    batch,
    gzip_bomb,
    idx,
    member,
    npy,
    npy_with_header,
    npz,
    tarred,
    zipped,
)
from tests.helpers.hostile import Case, check_refused, decode
from tinytorch_datasets.errors import ContentError, UnsafePickle
from tinytorch_datasets.readers.compression import PIECE_BYTES, PIECES_AHEAD

# What a refusal may cost, beside what a thread has inflated ahead by then; every file declared here is far smaller.
MEBIBYTES = 12 + (PIECE_BYTES * PIECES_AHEAD >> 20)

GOOD = np.array([[0, 1], [2, 3], [4, 5]], "u1")


def raw(method: int, crc: int, packed: bytes, size: int, flags: int = 0, name: bytes = b"images.npy") -> bytes:
    """A zip archive of one member that says of itself whatever it is told to."""
    fields = struct.pack("<HHHHHLLLHH", 20, flags, method, 0, 33, crc, len(packed), size, len(name), 0)
    local = b"PK\x03\x04" + fields + name + packed
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name
    return local + entry + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local), 0)


def stored(data: bytes, **lies: Any) -> bytes:
    """The same, with the truth where it is not told to lie."""
    truth: dict[str, Any] = {"method": 0, "crc": zlib.crc32(data), "packed": data, "size": len(data)}
    return raw(**(truth | lies))


def deflated(data: bytes) -> bytes:
    """Bare deflate, as zip members have it."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def overlapping() -> bytes:
    """Two entries that are the same bytes of the archive, as in David Fifield's zip bomb."""
    data = zipped({"images.npy": npy(GOOD)})
    at = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[at:end]
    twice = entry + entry.replace(b"images.npy", b"copies.npy")
    return data[:at] + twice + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(twice), at, 0)


def doubled() -> bytes:
    """Two members of one name."""
    return zipped({"images.npy": npy(GOOD), "copies.npy": npy(GOOD)}).replace(b"copies.npy", b"images.npy")


def claiming(count: int, size: int) -> bytes:
    """An archive whose end says that its central directory has so many members, and so many bytes."""
    data = npz(images=GOOD)
    at = len(data)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    return data + record + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *(0xFFFF,) * 2, *(0xFFFFFFFF,) * 2, 0)


def bomb(size: int, before: bytes = b"") -> bytes:
    """Zeros, which shrink a thousandfold."""
    return gzip_bomb(b"\0", size, before)


def pax_bomb() -> bytes:
    """A header of 64 MiB, which says nothing."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 64 << 20
    return bomb(64 << 20, header.tobuf(tarfile.USTAR_FORMAT))


CIFAR: dict[str, Any] = {"declared": {"samples": 2, "shape": (3, 32, 32)}}
PIXELS = np.zeros((2, 3072), "u1")
BATCH = batch(PIXELS, [0, 1])
SPARSE = member("b", BATCH, type=tarfile.GNUTYPE_SPARSE)
LABELS: dict[str, Any] = {"declared": {"dtype": "int64", "shape": (), "classes": CLASSES}}
FLOATS: dict[str, Any] = {"declared": {"dtype": "float32", "shape": ()}}
TEXT: dict[str, Any] = {"declared": {"dtype": "str", "shape": ()}}
LINES: dict[str, Any] = {**TEXT, "options": {"unit": "lines"}}
QA: dict[str, Any] = {"declared": {"dtype": "str", "shape": (), "samples": 2}}
PAIRS = "Q: a\nA: b\n\nQ: c\nA: d\n"


def good_idx() -> bytes:
    """IDX of the three samples."""
    return idx(GOOD)


def good_npy() -> bytes:
    """NPY of the three samples."""
    return npy(GOOD)


def good_npz() -> bytes:
    """NPZ of the three samples."""
    return npz(images=GOOD)


def good_tar() -> bytes:
    """An archive of one batch."""
    return tarred(member("b", BATCH))


def header(shape: str, descr: str = "'|u1'", order: str = "False") -> str:
    """A header as NumPy spells it."""
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


CASES: dict[str, Case] = {
    # Compression, the same for all formats.
    "gzip, wrong checksum": Case(
        "idx",
        lambda: (d := gzip.compress(idx(GOOD), mtime=0))[:-8] + b"\0\0\0\0" + d[-4:],
        "its gzip data is damaged",
        lambda: gzip.compress(idx(GOOD)),
    ),
    "gzip, wrong length": Case(
        "idx",
        lambda: gzip.compress(idx(GOOD))[:-4] + b"\0\0\0\0",
        "its gzip data is damaged",
        lambda: gzip.compress(idx(GOOD)),
    ),
    "gzip, cut short": Case(
        "idx", lambda: gzip.compress(idx(GOOD))[:-1], "its gzip data is cut short", lambda: gzip.compress(idx(GOOD))
    ),
    "gzip, something behind": Case(
        "idx",
        lambda: gzip.compress(idx(GOOD)) + b"\0\0more",
        "something else follows the end of its gzip data",
        lambda: gzip.compress(idx(GOOD)) + b"\0" * 70_000,
    ),
    "gzip, a second member too many": Case(
        "idx",
        lambda: gzip.compress(idx(GOOD)) + gzip.compress(b"more"),
        "its header states 6 bytes of values, but 4 more follow",
        lambda: gzip.compress(idx(GOOD)[:9]) + gzip.compress(b"") + gzip.compress(idx(GOOD)[9:]),
    ),
    "gzip, ten thousand empty members": Case(
        "idx",
        lambda: gzip.compress(b"") * 10_000 + gzip.compress(idx(GOOD)),
        "its gzip data has more than 1,000 empty members in a row",
        lambda: gzip.compress(b"") * 100 + gzip.compress(idx(GOOD)),
    ),
    "gzip in gzip": Case(
        "idx",
        lambda: gzip.compress(gzip.compress(idx(GOOD))),
        "it is not IDX: it begins with 0x1f8b0800, not 0x0000, one of the types 08 09 0b 0c 0d 0e, and 01 to ff",
        lambda: gzip.compress(idx(GOOD)),
    ),
    "gzip, 128 MiB of zeros": Case(
        "pickle",
        lambda: bomb(128 << 20, b"\x80\x03B\xff\xff\xff\x07"),
        lambda size: f"more than {size:,} bytes come out of it, but its declared fields take 6",
        lambda: pickle.dumps({"images": GOOD}),
        ContentError,
    ),
    "bz2, damaged": Case(
        "idx",
        lambda: b"BZh91AY&SY" + b"\0" * 40,
        "its bz2 data is damaged",
        good_idx,
    ),
    "xz, wants 1 GiB of memory": Case(
        "idx",
        lambda: lzma.compress(
            idx(GOOD),
            filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30, "mf": lzma.MF_HC3, "mode": lzma.MODE_FAST}],
        ),
        "its xz data needs more than 66 MiB of memory",
        lambda: lzma.compress(idx(GOOD), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]),
    ),
    # IDX.
    "idx, not IDX": Case(
        "idx",
        lambda: b"<!DOCTYPE html>",
        "it is not IDX: it begins with 0x3c21444f, not 0x0000, one of the types 08 09 0b 0c 0d 0e, and 01 to ff",
        good_idx,
    ),
    "idx, an unknown type": Case(
        "idx",
        lambda: b"\0\0\x0a\x01\0\0\0\0",
        "it is not IDX: it begins with 0x00000a01, not 0x0000, one of the types 08 09 0b 0c 0d 0e, and 01 to ff",
        good_idx,
    ),
    "idx, no dimensions": Case(
        "idx",
        lambda: b"\0\0\x08\0\x07",
        "it is not IDX: it begins with 0x00000800, not 0x0000, one of the types 08 09 0b 0c 0d 0e, and 01 to ff",
        good_idx,
    ),
    "idx, cut in its dimensions": Case(
        "idx",
        lambda: idx(GOOD)[:9],
        "it ends inside the 2 dimensions of its header: 8 bytes expected, 5 came",
        good_idx,
    ),
    "idx, more samples than declared": Case(
        "idx",
        lambda: idx(np.zeros((4, 2), "u1")),
        "the array is uint8 (4, 2), more than train.images declares: uint8 (3, 2)",
        good_idx,
        ContentError,
    ),
    "idx, a larger type than declared": Case(
        "idx",
        lambda: idx(GOOD.astype("f8")),
        "the array is float64 (3, 2), more than train.images declares: uint8 (3, 2)",
        good_idx,
        ContentError,
    ),
    "idx, dimensions that overflow": Case(
        "idx",
        lambda: b"\0\0\x08\x03\0\0\0\3" + b"\xff" * 8,
        "the array is uint8 (3, 4294967295, 4294967295), more than train.images declares: uint8 (3, 2)",
        good_idx,
        ContentError,
    ),
    "idx, no samples of great size": Case(
        "idx",
        lambda: b"\0\0\x08\x04\0\0\0\0" + b"\xff" * 12,
        "the array is uint8 (0, 4294967295, 4294967295, 4294967295), more than train.images declares: uint8 (3, 2)",
        good_idx,
        ContentError,
    ),
    "idx, 255 dimensions": Case(
        "idx",
        lambda: b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\7",
        "the array has 255 dimensions, the most is 32",
        good_idx,
    ),
    "idx, values missing": Case(
        "idx", lambda: idx(GOOD)[:-2], "its header states 6 bytes of values, but only 4 came", good_idx
    ),
    "idx, values too many": Case(
        "idx", lambda: idx(GOOD) + b"\6\7", "its header states 6 bytes of values, but 2 more follow", good_idx
    ),
    "idx, very many values too many": Case(
        "idx",
        lambda: idx(GOOD) + bytes(10**6),
        "its header states 6 bytes of values, but 65,536 or more follow",
        good_idx,
    ),
    # NPY.
    "npy, not NPY": Case(
        "npy",
        lambda: b"PK\3\4" + bytes(40),
        "it is not NPY: it begins with b'PK\\x03\\x04\\x00\\x00', not b'\\x93NUMPY'",
        good_npy,
    ),
    "npy, version 9": Case(
        "npy",
        lambda: b"\x93NUMPY\x09\x00" + npy(GOOD)[8:],
        "its NPY version is 9.0; 1.0, 2.0 and 3.0 are known",
        good_npy,
    ),
    "npy, objects": Case(
        "npy",
        lambda: npy(np.array([None, 1, 2], object)),
        "the array holds Python objects: sample 0 is None, and no number, text or list of numbers; nothing was run",
        good_npy,
        UnsafePickle,
    ),
    "npy, an object in a structure": Case(
        "npy",
        lambda: npy_with_header(header("(3,)", "[('a', '|O'), ('b', '<i4')]")),
        "the array holds Python objects (dtype \"[('a', '|O'), ('b', '<i4')]\"), "
        "which are a pickle inside; nothing was run",
        good_npy,
        UnsafePickle,
    ),
    "npy, a structure": Case(
        "npy",
        lambda: npy(np.zeros(3, [("a", "u1"), ("b", "u1")])),
        "the array has dtype \"[('a', '|u1'), ('b', '|u1')]\", which is a structure, which is a table of its own",
        good_npy,
    ),
    "npy, text": Case(
        "npy",
        lambda: npy(np.array(["a", "b", "c"])),
        "the array holds text, train.images is declared as uint8",
        good_npy,
        ContentError,
    ),
    "npy, dates": Case(
        "npy", lambda: npy(np.zeros(3, "M8[s]")), "the array has dtype '<M8[s]', which is dates", good_npy
    ),
    "npy, durations": Case(
        "npy", lambda: npy(np.zeros(3, "m8[D]")), "the array has dtype '<m8[D]', which is durations", good_npy
    ),
    "npy, complex numbers": Case(
        "npy", lambda: npy(np.zeros((3, 2), "c8")), "the array has dtype '<c8', which is complex numbers", good_npy
    ),
    "npy, a header that is code": Case(
        "npy",
        lambda: npy_with_header("__import__('os').system('touch marker') or " + header("(3, 2)")),
        "its header is not one that NumPy writes: \"__import__('os').system('touch marker') or {'descr': '|u1', \"",
        lambda: npy_with_header(header("(3, 2)"), GOOD.tobytes()),
    ),
    "npy, code for a shape": Case(
        "npy",
        lambda: npy_with_header(header("(3, 2**40)"), GOOD.tobytes()),
        "its header is not one that NumPy writes: \"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2**40)\"",
        lambda: npy_with_header(header("(3, 2)"), GOOD.tobytes()),
    ),
    "npy, a negative dimension": Case(
        "npy",
        lambda: npy_with_header(header("(3, -2)"), GOOD.tobytes()),
        "its header is not one that NumPy writes: \"{'descr': '|u1', 'fortran_order': False, 'shape': (3, -2), }\"",
        good_npy,
    ),
    "npy, a huge shape": Case(
        "npy",
        lambda: npy_with_header(header("(3, 1000000000000)")),
        "the array is uint8 (3, 1000000000000), more than train.images declares: uint8 (3, 2)",
        good_npy,
        ContentError,
    ),
    "npy, a huge shape in Fortran order": Case(
        "npy",
        lambda: npy_with_header(header("(3, 1000000000000)", order="True")),
        "the array is uint8 (3, 1000000000000), more than train.images declares: uint8 (3, 2)",
        good_npy,
        ContentError,
    ),
    "npy, a huge item": Case(
        "npy",
        lambda: npy_with_header(header("(3,)", "'<U100000'")),
        "the array has dtype '<U100000', which is texts longer than 99,999 characters, or empty",
        lambda: npy(np.array(["a" * 500, "b", ""])),
        **TEXT,
    ),
    "npy, texts that are not there": Case(
        "npy",
        lambda: npy_with_header(header("(3,)", "'<U99999'")),
        "its header states 1,199,988 bytes of values, but only 0 came",
        lambda: npy(np.array(["a", "b", ""])),
        **TEXT,
    ),
    "npy, texts that are too many": Case(
        "npy",
        lambda: npy(np.array(["a", "b", "c", "d"])),
        "the array is str (4,), more than train.images declares: str (3,)",
        lambda: npy(np.array(["a", "b", "c"])),
        ContentError,
        **TEXT,
    ),
    "npy, two texts a sample": Case(
        "npy",
        lambda: npy(np.array([["a", "b"]] * 3)),
        "the array is str (3, 2), more than train.images declares: str (3,)",
        lambda: npy(np.array([["a"], ["b"], ["c"]])),
        ContentError,
        **TEXT,
    ),
    "npy, a bomb of text": Case(
        "npy",
        lambda: gzip.compress(npy(np.array(["a" * 90_000] * 30))),
        lambda size: (
            f"its texts come to more than {32 * size + 64 * 30 + (1 << 20):,} characters, "
            "which is too much for a file of its size"
        ),
        lambda: gzip.compress(npy(np.array(["a" * 9_000] * 30))),
        declared={**TEXT["declared"], "samples": 30},
    ),
    "npy, text that is not UTF-8": Case(
        "npy",
        lambda: npy(np.array([b"a", b"caf\xe9", b"c"])),
        "its body has a text that is not UTF-8, at sample 1",
        lambda: npy(np.array([b"a", "caf\u00e9".encode(), b"c"])),
        **TEXT,
    ),
    "npy, half a character": Case(
        "npy",
        lambda: npy(np.array(["a", "b", "\ud800"])),
        "its body has a text that is not Unicode, at sample 2",
        lambda: npy(np.array(["a", "b", "\U0001f600"])),
        **TEXT,
    ),
    "npy, a number that is no character": Case(
        "npy",
        lambda: npy_with_header(header("(3,)", "'<U1'"), struct.pack("<3I", 97, 0x110000, 98)),
        "its body has a text that is not Unicode, at sample 1",
        lambda: npy_with_header(header("(3,)", "'<U1'"), struct.pack("<3I", 97, 0x10FFFF, 98)),
        **TEXT,
    ),
    "npy, a header of 4 GB": Case(
        "npy",
        lambda: b"\x93NUMPY\2\0\xff\xff\xff\xff",
        "its header is 4,294,967,295 bytes long, the most is 10,000",
        lambda: npy(GOOD, (2, 0)),
    ),
    "npy, a key twice": Case(
        "npy",
        lambda: npy_with_header("{'descr': '|u1', 'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }"),
        "its header has 'descr' twice",
        lambda: npy_with_header("{'shape':(3L, 2L),'descr':\"|u1\",'fortran_order':False}", GOOD.tobytes()),
    ),
    "npy, a thousand brackets": Case(
        "npy",
        lambda: npy_with_header("{" + "(" * 9000),
        "its header is not one that NumPy writes: '{((((((((((((((((((((((((((((((((((((((((((((((((((((((((((('",
        good_npy,
    ),
    "npy, one value": Case(
        "npy", lambda: npy(np.array(7, "u1")), "the array is a single value, not a row of samples", good_npy
    ),
    "npy, a bool that is 2": Case(
        "npy",
        lambda: npy_with_header(header("(3,)", "'|b1'"), b"\0\1\2"),
        "its body holds a bool that is neither 0 nor 1",
        lambda: npy_with_header(header("(3,)", "'|b1'"), b"\0\1\1"),
        declared={"dtype": "bool", "shape": ()},
    ),
    "npy, values missing in Fortran order": Case(
        "npy",
        lambda: npy(np.asfortranarray(GOOD))[:-1],
        "its header states 6 bytes of values, but only 5 came",
        lambda: npy(np.asfortranarray(GOOD)),
    ),
    # NPZ.
    "npz, not a zip": Case(
        "npz", lambda: npy(GOOD), "it is not a zip archive, or is cut short: its central directory is missing", good_npz
    ),
    "npz, cut short": Case(
        "npz",
        lambda: npz(images=GOOD)[:-9],
        "it is not a zip archive, or is cut short: its central directory is missing",
        good_npz,
    ),
    "npz, something behind": Case(
        "npz", lambda: npz(images=GOOD) + b"more", "something follows the end of the zip archive", good_npz
    ),
    "npz, a name that is nearly right": Case(
        "npz", lambda: npz(Images=GOOD), "it has no array 'images'; did you mean 'Images'?", good_npz
    ),
    "npz, a name with dots": Case(
        "npz",
        lambda: zipped({"../images.npy": npy(GOOD)}),
        "it has no array 'images'; did you mean '../images'?",
        good_npz,
    ),
    "npz, a name twice": Case("npz", doubled, "member 'images.npy' is in it twice", good_npz),
    "npz, members that overlap": Case("npz", overlapping, "member 'copies.npy' overlaps another", good_npz),
    "npz, a central directory of 64 MiB and more": Case(
        "npz",
        lambda: claiming(1, (64 << 20) + 1),
        "its central directory is 67,108,865 bytes long, the most is 67,108,864",
        good_npz,
    ),
    "npz, more than a million members": Case(
        "npz",
        lambda: claiming(1_000_001, 50),
        "it has 1,000,001 members, the most is 1,000,000",
        lambda: zipped({f"{n:040}": b"" for n in range(15_000)} | {"images.npy": npy(GOOD)}),
    ),
    "npz, a link": Case(
        "npz",
        lambda: npz(images=GOOD).replace(b"\x80\x01", b"\x80\xa1", 1),
        "member 'images.npy': it is a link or a device, not a file",
        good_npz,
    ),
    "npz, encrypted": Case(
        "npz", lambda: stored(npy(GOOD), flags=1), "member 'images.npy': it is encrypted", lambda: stored(npy(GOOD))
    ),
    "npz, compressed otherwise": Case(
        "npz",
        lambda: zipped({"images.npy": npy(GOOD)}, zipfile.ZIP_LZMA),
        "member 'images.npy': it is compressed by method 14; only 0 (stored) and 8 (deflated) are read",
        good_npz,
    ),
    "npz, a size that is too small": Case(
        "npz",
        lambda: stored(npy(GOOD), method=8, packed=deflated(npy(GOOD)), size=len(npy(GOOD)) - 1),
        "member 'images.npy': it is longer than the 133 bytes that the archive says",
        lambda: stored(npy(GOOD), method=8, packed=deflated(npy(GOOD))),
    ),
    "npz, a size that is too large": Case(
        "npz",
        lambda: stored(npy(GOOD), size=len(npy(GOOD)) + 1),
        "member 'images.npy': it ends 1 short of the 135 bytes that the archive says",
        lambda: stored(npy(GOOD)),
    ),
    "npz, a wrong checksum": Case(
        "npz", lambda: stored(npy(GOOD), crc=7), "member 'images.npy': its checksum is wrong", lambda: stored(npy(GOOD))
    ),
    "npz, bytes behind the deflated data": Case(
        "npz",
        lambda: stored(npy(GOOD), method=8, packed=deflated(npy(GOOD)) + b"hidden"),
        "member 'images.npy': 6 bytes follow the end of its deflated data",
        lambda: stored(npy(GOOD), method=8, packed=deflated(npy(GOOD))),
    ),
    "npz, a bomb": Case(
        "npz",
        lambda: zipped({"images.npy": npy(GOOD) + bytes(64 << 20)}),
        "member 'images.npy': its header states 6 bytes of values, but 65,536 or more follow",
        good_npz,
    ),
    "npz, objects": Case(
        "npz",
        lambda: npz(images=np.array([{}, 1, 2], object)),
        "member 'images.npy' holds Python objects: sample 0 is a dict, and no number, text or list of numbers; "
        "nothing was run",
        good_npz,
        UnsafePickle,
    ),
    # CIFAR's archives.
    "tar, not a tar": Case(
        "cifar-python",
        lambda: b"x" * 1024,
        "it is not a tar archive, or is damaged: the checksum in a header is not a number",
        good_tar,
        **CIFAR,
    ),
    "tar, a member missing": Case(
        "cifar-python", lambda: tarred(member("B", BATCH)), "it has no member 'b'; did you mean 'B'?", good_tar, **CIFAR
    ),
    "tar, a member twice": Case(
        "cifar-python",
        lambda: tarred(member("b", BATCH), member("b", BATCH)),
        "member 'b' is in it twice",
        good_tar,
        **CIFAR,
    ),
    "tar, a name with dots": Case(
        "cifar-python", lambda: tarred(member("../b", BATCH)), "it has no member 'b'", good_tar, **CIFAR
    ),
    "tar, an absolute name": Case(
        "cifar-python",
        lambda: tarred(member("/b", BATCH)),
        "it has no member 'b'; did you mean '/b'?",
        good_tar,
        **CIFAR,
    ),
    "tar, a link": Case(
        "cifar-python",
        lambda: tarred(member("b", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        "member 'b' is a symbolic link, not a file",
        lambda: tarred(member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd"), member("b", BATCH)),
        **CIFAR,
    ),
    "tar, a hard link": Case(
        "cifar-python",
        lambda: tarred(member("a", BATCH), member("b", type=tarfile.LNKTYPE, linkname="a")),
        "member 'b' is a hard link, not a file",
        good_tar,
        **CIFAR,
    ),
    "tar, a device": Case(
        "cifar-python",
        lambda: tarred(member("b", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
        "member 'b' is a device, not a file",
        good_tar,
        **CIFAR,
    ),
    "tar, a sparse member": Case(
        "cifar-python", lambda: tarred(SPARSE), "member 'b' is sparse, which no data set needs to be", good_tar, **CIFAR
    ),
    "tar, sparse by pax": Case(
        "cifar-python",
        lambda: tarred(member("b", BATCH, pax_headers={"GNU.sparse.major": "1"}), form=tarfile.PAX_FORMAT),
        "member 'b' is sparse, which no data set needs to be",
        lambda: tarred(member("b", BATCH, pax_headers={"comment": "1"}), form=tarfile.PAX_FORMAT),
        **CIFAR,
    ),
    "tar, a pax header of 64 MiB": Case(
        "cifar-python", pax_bomb, "an extended header is 67,108,864 bytes long, the most is 65,536", good_tar, **CIFAR
    ),
    "tar, a member that is too long": Case(
        "cifar-python",
        lambda: tarred(member("b", (BATCH + bytes(80_000))[:80_000])),
        "member 'b': it is 80,000 bytes long, but what is declared of it takes at most 72,192",
        good_tar,
        ContentError,
        **CIFAR,
    ),
    "tar, a member of 8 exabytes": Case(
        "cifar-python",
        lambda: member("b", size=1 << 63)[0].tobuf(tarfile.GNU_FORMAT),
        "member 'b': it is 9,223,372,036,854,775,808 bytes long, but what is declared of it takes at most 72,192",
        good_tar,
        ContentError,
        **CIFAR,
    ),
    "tar, a bomb beside the data": Case(
        "cifar-python",
        lambda: gzip.compress(tarred(member("a", bytes(64 << 20)), member("b", BATCH))),
        lambda size: (
            f"more than {4 * (72_192 + size) + (16 << 20):,} bytes come out of it, "
            "but its declared members take at most 72,192"
        ),
        lambda: gzip.compress(tarred(member("a", bytes(1 << 20)), member("b", BATCH))),
        ContentError,
        **CIFAR,
    ),
    "tar, an archive behind the archive": Case(
        "cifar-python",
        lambda: good_tar() + good_tar(),
        "something follows the end of the tar archive",
        lambda: good_tar() + bytes(10240),
        **CIFAR,
    ),
    "tar, a damaged header": Case(
        "cifar-python",
        lambda: b"c" + good_tar()[1:],
        "it is not a tar archive, or is damaged: the checksum of a header is wrong",
        good_tar,
        **CIFAR,
    ),
    "cifar, more samples than its share": Case(
        "cifar-python",
        lambda: tarred(member("b", batch(PIXELS[[0, 0, 0]], [0]))),
        "member 'b': its 'data' has the shape (3, 3072), its share of train is 2 samples",
        good_tar,
        ContentError,
        **CIFAR,
    ),
    "cifar, rows of another length": Case(
        "cifar-python",
        lambda: tarred(member("b", batch(PIXELS[:, 1:], [0]))),
        "member 'b': its 'data' has rows of the shape (3071,), train.images is declared as (3, 32, 32)",
        good_tar,
        ContentError,
        **CIFAR,
    ),
    "cifar, no data": Case(
        "cifar-python",
        lambda: tarred(member("b", pickle.dumps({"dat": PIXELS}, 2))),
        "member 'b': it has no 'data'; did you mean 'dat'?",
        good_tar,
        **CIFAR,
    ),
    "cifar, a list of lists": Case(
        "cifar-python",
        lambda: tarred(member("b", pickle.dumps({"data": [[1], [2]]}, 2))),
        "member 'b': its 'data' is a list whose item 0 is not a whole number of 64 bits but a list",
        good_tar,
        **CIFAR,
    ),
    # CSV.
    "csv, a row too long": Case(
        "csv",
        lambda: "a,b\n0,1\n2,3,9\n4,5\n",
        "line 3 has a row of 3, the first row is one of 2",
        lambda: "a,b\n0,1\n2,3\n4,5\n",
    ),
    "csv, a row too short": Case(
        "csv",
        lambda: "a,b\n0,1\n2\n4,5\n",
        "line 3 has a row of 1, the first row is one of 2",
        lambda: "a,b\r\n0,1\r\n2,3\r\n4,5\r\n",
    ),
    "csv, an empty line": Case("csv", lambda: "a,b\n0,1\n\n4,5\n", "line 3 is empty", lambda: "a,b\n0,1\n2,3\n4,5"),
    "csv, a quote that never closes": Case(
        "csv",
        lambda: 'a,b\n0,1\n2,"3\n4,5\n',
        "a quote in the row of line 3 never closes",
        lambda: 'a,b\n0,1\n2,"3"\n4,5\n',
    ),
    "csv, a quote that never closes for long": Case(
        "csv",
        lambda: 'a,b\n0,1\n2,"3\n' + "4,5\n" * 100_000,
        "a cell in the row of line 3 has more than 131,072 characters; is its quote closed?",
        lambda: 'a,b\n0,1\n2,"3"\n4,5\n',
    ),
    "csv, a cell that goes on": Case(
        "csv",
        lambda: 'a,b\n0,1\n2,"3"3\n4,5\n',
        "line 3 has a cell that goes on after its quote; a quote inside is written twice",
        lambda: 'a,b\n0,1\n2,"3"\n4,5\n',
    ),
    "csv, a line of 2 MiB": Case(
        "csv",
        lambda: "a,b\n" + "1" * (2 << 20),
        "line 2 has more than 1,048,576 bytes in one line",
        lambda: "a,b\n0,1\n2,3\n4,5\n",
    ),
    "csv, a NUL": Case(
        "csv", lambda: "a,b\n0,1\n2,\0\n4,5\n", "line 3 has a NUL character", lambda: "a,b\n0,1\n2,3\n4,5\n"
    ),
    "csv, not UTF-8": Case(
        "csv",
        lambda: b"a,b\n0,1\n2,\xff\n4,5\n",
        "line 3 has bytes that are not UTF-8: b'\\xff'",
        lambda: "\ufeffa,b\n0,1\n2,3\n4,5\n",
    ),
    "csv, a carriage return in a cell": Case(
        "csv",
        lambda: "a,b\n0,1\n2\r2,3\n4,5\n",
        "the row of line 3 has a carriage return in the middle of a cell without quotes",
        lambda: "a,b\r\n0,1\r\n2,3\n4,5\n",
    ),
    "csv, an empty cell": Case(
        "csv",
        lambda: "a,b\n0,1\n2,\n4,5\n",
        "line 3, column 2 ('b'): the cell is empty",
        lambda: "a,b\n0,1\n2, 3 \n4,5\n",
        ContentError,
    ),
    "csv, a fraction": Case(
        "csv",
        lambda: "a,b\n0,1\n2,3.5\n4,5\n",
        "line 3, column 2 ('b'): '3.5' is not a whole number",
        lambda: "a,b\n0,1\n2,+3\n4,5\n",
        ContentError,
    ),
    "csv, an underscore": Case(
        "csv",
        lambda: "a,b\n0,1\n2,1_0\n4,5\n",
        "line 3, column 2 ('b'): '1_0' is not a whole number",
        lambda: "a,b\n0,1\n2,10\n4,5\n",
        ContentError,
    ),
    "csv, digits of another script": Case(
        "csv",
        lambda: "a,b\n0,1\n2,\u0663\n4,5\n",
        "line 3, column 2 ('b'): '٣' is not a whole number",
        lambda: "a,b\n0,1\n2,3\n4,5\n",
        ContentError,
    ),
    "csv, more than the dtype can hold": Case(
        "csv",
        lambda: "a,b\n0,1\n2,256\n4,5\n",
        "line 3, column 2 ('b'): '256' is outside 0 to 255, what uint8 can hold",
        lambda: "a,b\n0,1\n2,255\n4,5\n",
        ContentError,
    ),
    "csv, five thousand digits": Case(
        "csv",
        lambda: f"a,b\n0,1\n2,{'1' * 5000}\n4,5\n",
        "line 3, column 2 ('b'): '1111111111111111111111111111111111111111...' is not a whole number",
        lambda: "a,b\n0,1\n2,255\n4,5\n",
        ContentError,
    ),
    "csv, nan": Case(
        "csv",
        lambda: "images\n1\nnan\n3\n",
        "line 3, column 1 ('images'): 'nan' is not a number",
        lambda: "images\n1\n-2.5e-3\n3\n",
        ContentError,
        **FLOATS,
    ),
    "csv, inf": Case(
        "csv",
        lambda: "images\n1\n2\n-inf\n",
        "line 4, column 1 ('images'): '-inf' is not a number",
        lambda: "images\n1\n2\n.5\n",
        ContentError,
        **FLOATS,
    ),
    "csv, more than a float32 can hold": Case(
        "csv",
        lambda: "images\n1\n2\n1e39\n",
        "line 4, column 1 ('images'): '1e39' is more than float32 can hold",
        lambda: "images\n1\n2\n1e38\n",
        ContentError,
        **FLOATS,
    ),
    "csv, no class": Case(
        "csv",
        lambda: "images\nant\nBee\ncat\n",
        "line 3, column 1 ('images'): 'Bee' is not one of the 3 classes of images; did you mean 'bee'?",
        lambda: "images\nant\nbee\ncat\n",
        ContentError,
        **LABELS,
    ),
    "csv, more rows than declared": Case(
        "csv",
        lambda: "a,b\n" + "0,1\n" * 4,
        "it has more rows than the 3 that train declares (line 5)",
        lambda: "a,b\n" + "0,1\n" * 3,
        ContentError,
    ),
    "csv, more columns than declared": Case(
        "csv",
        lambda: "a,b,c\n0,1,2\n",
        "3 columns are left for images, whose shape (2,) needs 2",
        lambda: "a,b\n0,1\n",
        ContentError,
    ),
    "csv, a column that is not there": Case(
        "csv",
        lambda: "a,B\n0,1\n",
        "its header has no column 'b', which is images; did you mean 'B'?",
        lambda: "a,b\n0,1\n",
        options={"columns": {"images": ["a", "b"]}},
    ),
    "csv, a column twice": Case(
        "csv",
        lambda: "b,a,b\n0,1,1\n",
        "its header has the column 'b' twice",
        lambda: "a,b,c\n0,1,2\n",
        options={"columns": {"images": ["a", "b"]}},
    ),
    "csv, a column beyond the last": Case(
        "csv",
        lambda: "a,b\n0,1\n",
        "images is column 2 by the option columns, but a row has 2",
        lambda: "a,b,c\n0,1,2\n",
        options={"columns": {"images": [0, -3 + 5]}},
    ),
    "csv, 64 MiB of zeros": Case(
        "csv", lambda: bomb(64 << 20), "line 1 has more than 1,048,576 bytes in one line", lambda: "a,b\n0,1\n"
    ),
    # Text.
    "text, not UTF-8": Case(
        "text",
        lambda: b"one\ntw\xffo\n",
        "line 2 has bytes that are not UTF-8: b'\\xffo\\n'",
        lambda: "one\ntw\u00ffo\n",
        **TEXT,
    ),
    "text, a lone surrogate": Case(
        "text",
        lambda: b"one\n\xed\xa0\x80\n",
        "line 2 has bytes that are not UTF-8: b'\\xed\\xa0\\x80\\n'",
        lambda: "one\n\U0001f600\n",
        **TEXT,
    ),
    "text, a NUL": Case("text", lambda: "one\ntwo\0\n", "line 2 has a NUL character", lambda: "one\ntwo\n", **TEXT),
    "text, a BOM": Case(
        "text", lambda: "\ufeffone\n", "line 1 has a byte order mark (BOM)", lambda: "one\ufeff\n", **TEXT
    ),
    "text, CRLF": Case(
        "text",
        lambda: "one\ntwo\r\n",
        "line 2 has a carriage return: lines must end in LF, not CRLF",
        lambda: "one\ntwo\n",
        **TEXT,
    ),
    "lines, not UTF-8": Case(
        "text",
        lambda: b"one\ntw\xffo\n",
        "line 2 has bytes that are not UTF-8: b'\\xffo'",
        lambda: "one\ntw\u00ffo\n",
        **LINES,
    ),
    "lines, CRLF": Case(
        "text",
        lambda: "one\ntwo\r\n",
        "line 2 has a carriage return: lines must end in LF, not CRLF",
        lambda: "one\ntwo\x85\x0b\u2029\n",
        **LINES,
    ),
    "lines, a BOM": Case(
        "text", lambda: "\ufeffone\n", "line 1 has a byte order mark (BOM)", lambda: "one\ufeff\n", **LINES
    ),
    "lines, more than declared": Case(
        "text",
        lambda: "1\n2\n3\n4\n",
        "it has more lines than the 3 that train.images declares",
        lambda: "1\n2\n3\n",
        ContentError,
        **LINES,
    ),
    "lines, one of 2 MiB": Case(
        "text",
        lambda: "1" * (2 << 20),
        "line 1 has more than 1,048,576 bytes in one line",
        lambda: "1" * (1 << 20),
        **LINES,
    ),
    "text, 32 MiB of zeros": Case(
        "text",
        lambda: bomb(32 << 20),
        lambda size: f"more than {32 * size + (1 << 20):,} bytes come out of it, but the file has {size:,}",
        lambda: "one\n",
        ContentError,
        **TEXT,
    ),
    # Questions and answers.
    "qa, a question without an answer": Case(
        "qa-text", lambda: "Q: a\nA: b\n\nQ: c\n", "line 4: the last question has no answer", lambda: PAIRS, **QA
    ),
    "qa, two questions": Case(
        "qa-text",
        lambda: "Q: a\nQ: b\nA: c\n",
        "line 2: a line that starts with 'A: ' is expected, not 'Q: b'",
        lambda: PAIRS,
        **QA,
    ),
    "qa, an answer first": Case(
        "qa-text",
        lambda: "A: b\nQ: a\n",
        "line 1: a line that starts with 'Q: ' is expected, not 'A: b'",
        lambda: PAIRS,
        **QA,
    ),
    "qa, stray text": Case(
        "qa-text",
        lambda: "Q: a\nA: b\nand\n\nQ: c\nA: d\n",
        "line 3: a blank line is expected, not 'and'",
        lambda: PAIRS,
        **QA,
    ),
    "qa, no blank line": Case(
        "qa-text",
        lambda: "Q: a\nA: b\nQ: c\nA: d\n",
        "line 3: a blank line is expected, not 'Q: c'",
        lambda: PAIRS,
        **QA,
    ),
    "qa, two blank lines": Case(
        "qa-text",
        lambda: "Q: a\nA: b\n\n\nQ: c\nA: d\n",
        "line 4: a line that starts with 'Q: ' is expected, not ''",
        lambda: PAIRS,
        **QA,
    ),
    "qa, an empty answer": Case("qa-text", lambda: "Q: a\nA: \n", "line 2: nothing follows 'A: '", lambda: PAIRS, **QA),
    "qa, no space": Case(
        "qa-text",
        lambda: "Q:a\nA: b\n",
        "line 1: a line that starts with 'Q: ' is expected, not 'Q:a'",
        lambda: PAIRS,
        **QA,
    ),
    "qa, a carriage return in a line": Case(
        "qa-text",
        lambda: PAIRS.replace(" ", " \r", 1),
        "line 1 has a carriage return that ends no line",
        lambda: "\ufeff" + PAIRS.replace("\n", "\r\n") + "\r\n\n",
        **QA,
    ),
    "qa, line feeds alone": Case(
        "qa-text", lambda: "\n" * 9, "line 1: a line that starts with 'Q: ' is expected, not ''", lambda: PAIRS, **QA
    ),
    "qa, a separator that splitlines would cut at": Case(
        "qa-text",
        lambda: "Q: a\u2028A: b\n",
        "line 1: the last question has no answer",
        lambda: "Q: a\u2028A: b\nA: c\x0bd\n\nQ: c\nA: d\n",
        **QA,
    ),
    "qa, more pairs than declared": Case(
        "qa-text",
        lambda: PAIRS + "\nQ: e\nA: f\n",
        "it has more pairs than the 2 that train declares (line 7)",
        lambda: PAIRS,
        ContentError,
        **QA,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_refused_and_its_harmless_twin_is_read(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In these words, by this class, soon, in little memory, and with nothing run or written.

    And the twin is read, so that refusing is not just being broken.
    """
    monkeypatch.chdir(tmp_path)  # where a file would appear that somebody's code makes

    check_refused(case, tmp_path, mebibytes=MEBIBYTES, clock=time.perf_counter)

    found = decode(case, case.twin(), tmp_path)

    assert len(found) == 1
    assert all(len(values) for values in found.values())
