"""More damaged and hostile files, after those of test_hostile.py: what fuzzing and second thoughts came to."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.test_hostile import (
    BATCH,
    CIFAR,
    FLOATS,
    GOOD,
    LABELS,
    LINES,
    PIXELS,
    QA,
    TEXT,
    good_idx,
    good_npy,
    good_npz,
    good_tar,
    header,
    stored,
)
from tests.helpers.format_writers import CLASSES, batch, gzip_bomb, idx, npy, npy_with_header, npz, zipped
from tests.helpers.format_writers import member as tar_member
from tests.helpers.format_writers import tarred as tar
from tests.helpers.hostile import Case, check_refused, decode
from tests.readers.pickle.test_pickle import DAMAGED, UNSAFE, built
from tinytorch_datasets.errors import ContentError, UnsafePickle

ROWS = "a,b\n0,1\n2,3\n4,5\n"
HELD: dict[str, Any] = {"images": GOOD}
FLOAT_ROWS: dict[str, Any] = {"declared": {"dtype": "float32"}}
WHOLE_NUMBERS: dict[str, Any] = {"declared": {"dtype": "int64", "shape": ()}}


def pickled(**held: Any) -> bytes:
    """A pickled dict."""
    return pickle.dumps(held or HELD)


def pax(count: int, name: str = "b") -> bytes:
    """A batch behind pax headers of sixty thousand bytes each."""
    comment = tar_member("a", pax_headers={"comment": "x" * 60_000})
    return tar(*[comment] * count, tar_member(name, BATCH), form=tarfile.PAX_FORMAT)


def for_all(record: str) -> bytes:
    """A batch behind a global header, which speaks of all members."""
    body = f"{len(record) + 4} {record}\n".encode()  # its own length counts, too
    info, _ = tar_member("g", body, type=tarfile.XGLTYPE)
    return info.tobuf(tarfile.USTAR_FORMAT) + body.ljust(512, b"\0") + good_tar()


def nested(depth: int) -> bytes:
    """A list in a list in a list, under a dict's key."""
    return b"\x80\x02}U\x06images]" + b"]" * depth + b"a" * depth + b"s."


def zip64(size: int) -> bytes:
    """A member whose size stands in a ZIP64 field, as it may for any size."""
    data = npy(GOOD)
    name = b"images.npy"
    extra = struct.pack("<HHQ", 1, 8, size)
    crc = zipfile.crc32(data)  # type: ignore[attr-defined]
    local = struct.pack("<4sHHHHHLLLHH", b"PK\3\4", 45, 0, 0, 0, 33, crc, len(data), len(data), len(name), 0) + name
    entry = struct.pack("<4sHHHHHHLLL", b"PK\1\2", 45, 45, 0, 0, 0, 33, crc, len(data), 0xFFFFFFFF)
    entry += struct.pack("<HHHHHLL", len(name), len(extra), 0, 0, 0, 0, 0) + name + extra
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local) + len(data), 0)
    return local + data + entry + end


LONGER = b"numpy._core" in BATCH  # by a byte than what NumPy 1 pickles, which is numpy.core
MORE: dict[str, Case] = {
    "bz2, cut short": Case(
        "idx", lambda: bz2.compress(idx(GOOD))[:-1], "its bz2 data is cut short", lambda: bz2.compress(idx(GOOD))
    ),
    "bz2, something behind": Case(
        "idx",
        lambda: bz2.compress(idx(GOOD)) + b"more",
        "something else follows the end of its bz2 data",
        lambda: bz2.compress(idx(GOOD)[:5]) + bz2.compress(idx(GOOD)[5:]),
    ),
    "bz2, 32 MiB of zeros": Case(
        "idx",
        lambda: bz2.compress(idx(GOOD) + bytes(32 << 20)),
        "its header states 6 bytes of values, but 65,536 or more follow",
        lambda: bz2.compress(idx(GOOD)),
    ),
    "xz, cut short": Case(
        "idx", lambda: lzma.compress(idx(GOOD))[:-1], "its xz data is cut short", lambda: lzma.compress(idx(GOOD))
    ),
    "xz, a wrong checksum": Case(
        "idx",
        lambda: (d := lzma.compress(idx(GOOD)))[:-30] + bytes([d[-30] ^ 1]) + d[-29:],
        "its xz data is damaged",
        lambda: lzma.compress(idx(GOOD)) + bytes(4),
    ),
    "xz, something behind": Case(
        "idx",
        lambda: lzma.compress(idx(GOOD)) + b"more",
        "something else follows the end of its xz data",
        lambda: lzma.compress(idx(GOOD)[:5]) + lzma.compress(idx(GOOD)[5:]),
    ),
    "xz, zeros without end": Case(
        "idx",
        lambda: lzma.compress(idx(GOOD) + bytes(32 << 20)),
        "its header states 6 bytes of values, but 65,536 or more follow",
        lambda: lzma.compress(idx(GOOD), preset=9),
    ),
    "gzip, flags that are reserved": Case(
        "idx",
        lambda: (d := gzip.compress(idx(GOOD)))[:3] + b"\xe0" + d[4:],
        "its gzip data is damaged",
        lambda: gzip.compress(idx(GOOD)),
    ),
    "gzip, a name without end": Case(
        "idx",
        lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 10**6,
        "its gzip data is cut short",
        lambda: (d := gzip.compress(idx(GOOD), mtime=0))[:3] + b"\x08" + d[4:10] + b"name\0" + d[10:],
    ),
    "gzip, a damaged second member": Case(
        "idx",
        lambda: gzip.compress(idx(GOOD)[:5]) + (d := gzip.compress(idx(GOOD)[5:]))[:-8] + b"\0\0\0\0" + d[-4:],
        "its gzip data is damaged",
        lambda: gzip.compress(idx(GOOD)[:5]) + gzip.compress(idx(GOOD)[5:]),
    ),
    "gzip, in single bytes": Case(
        "csv",
        lambda: b"".join(gzip.compress(b"1", 1) for _ in range(20_000)),
        "1 columns are left for images, whose shape (2,) needs 2",
        lambda: b"".join(gzip.compress(b"%c" % c, 1) for c in ROWS.encode()),
        ContentError,
    ),
    "idx, big end last": Case(
        "idx",
        lambda: b"\x02\x08\0\0" + idx(GOOD)[4:],
        "it is not IDX: it begins with 0x02080000, not 0x0000, one of the types 08 09 0b 0c 0d 0e, and 01 to ff",
        good_idx,
    ),
    "idx, nothing but the magic number": Case(
        "idx",
        lambda: b"\0\0\x08\x02",
        "it ends inside the 2 dimensions of its header: 8 bytes expected, 0 came",
        good_idx,
    ),
    "npy, a pickle": Case(
        "npy",
        lambda: pickle.dumps(GOOD, 2),
        "it is not NPY: it begins with b'\\x80\\x02cnum', not b'\\x93NUMPY'",
        good_npy,
    ),
    "npy, a header that ends early": Case(
        "npy",
        lambda: npy_with_header(header("(3, 2)"))[:40],
        "it ends inside its header: 60 bytes expected, 30 came",
        good_npy,
    ),
    "npy, a header with blanks without end": Case(
        "npy",
        lambda: npy_with_header(header("(3, 2" + " " * 9000 + "x)"), GOOD.tobytes()),
        "its header is not one that NumPy writes: \"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2     \"",
        lambda: npy_with_header(header("(3, 2" + " " * 900 + ")"), GOOD.tobytes()),
    ),
    "npy, nine thousand dimensions": Case(
        "npy",
        lambda: npy_with_header(header("(" + "1," * 4000 + ")"), b"\0"),
        "the array has 4000 dimensions, the most is 32",
        good_npy,
    ),
    "npy, a dimension of twenty digits": Case(
        "npy",
        lambda: npy_with_header(header("(3, 99999999999999999999)")),
        "its header is not one that NumPy writes: \"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 999999\"",
        good_npy,
    ),
    "npy, a long double": Case(
        "npy",
        lambda: npy_with_header(header("(3, 2)", "'<f16'"), bytes(96)),
        "the array has dtype '<f16', which is not a plain number",
        good_npy,
    ),
    "npy, metadata for a dtype": Case(
        "npy",
        lambda: npy_with_header(header("(3, 2)", "('|u1', {'metadata': 1})")),
        "its header is not one that NumPy writes: \"{'descr': ('|u1', {'metadata': 1}), 'fortran_order': False, \"",
        good_npy,
    ),
    "npz, a size in ZIP64 that lies": Case(
        "npz",
        lambda: zip64(2**40),
        "member 'images.npy': it ends 1,099,511,627,642 short of the 1,099,511,627,776 bytes that the archive says",
        lambda: zip64(len(npy(GOOD))),
    ),
    "npz, in letter case of its own": Case(
        "npz", lambda: zipped({"IMAGES.NPY": npy(GOOD)}), "it has no array 'images'", good_npz
    ),
    "npz, an array that is a pickle": Case(
        "npz",
        lambda: zipped({"images.npy": pickle.dumps(GOOD, 2)}),
        "member 'images.npy': it is not NPY: it begins with b'\\x80\\x02cnum', not b'\\x93NUMPY'",
        lambda: zipped({"images.npy": npy(GOOD), "other.pkl": UNSAFE["os.system"][0]}),
    ),
    "npz, a zip within": Case("npz", lambda: zipped({"a.npz": npz(images=GOOD)}), "it has no array 'images'", good_npz),
    "npz, a list that points beyond the end": Case(
        "npz",
        lambda: stored(npy(GOOD))[:-6] + struct.pack("<LH", 2**31, 0),
        "it is damaged: its central directory is not where it says",
        lambda: stored(npy(GOOD)),
    ),
    "npz, a name that the member itself does not have": Case(
        "npz",
        lambda: stored(npy(GOOD)).replace(b"images.npy", b"hidden.npy", 1),
        "member 'images.npy': its own header says otherwise than the central directory",
        lambda: stored(npy(GOOD)),
    ),
    "tar, a folder by the name": Case(
        "cifar-python",
        lambda: tar(tar_member("b", type=tarfile.DIRTYPE)),
        "it has no member 'b'; did you mean 'b/'?",
        lambda: tar(tar_member("d", type=tarfile.DIRTYPE), tar_member("b", BATCH)),
        **CIFAR,
    ),
    "tar, a FIFO by the name": Case(
        "cifar-python",
        lambda: tar(tar_member("b", type=tarfile.FIFOTYPE)),
        "member 'b' is a FIFO, not a file",
        good_tar,
        **CIFAR,
    ),
    "tar, a name that differs by its Unicode form": Case(
        "cifar-python",
        lambda: tar(tar_member("b\u0301", BATCH)),
        "it has no member 'b'; did you mean 'b\u0301'?",
        good_tar,
        **CIFAR,
    ),
    "tar, a name with a drive": Case(
        "cifar-python", lambda: tar(tar_member("C:b", BATCH)), "it has no member 'b'", good_tar, **CIFAR
    ),
    "tar, pax headers without end": Case(
        "cifar-python",
        lambda: pax(80),
        "its extended headers are more than 4,194,304 bytes together",
        lambda: pax(3),
        **CIFAR,
    ),
    "tar, a size for all members": Case(
        "cifar-python",
        lambda: for_all("size=1"),
        "a global header sets the size of every member",
        lambda: for_all("comment=1"),
        **CIFAR,
    ),
    "tar, cut short inside a member": Case(
        "cifar-python",
        lambda: good_tar()[:1024],
        f"member 'b': the pickle is not sound: at byte {204 + LONGER}, 6,144 bytes are stated, {303 - LONGER} are left",
        good_tar,
        **CIFAR,
    ),
    "cifar, labels shorter than images": Case(
        "cifar-python",
        lambda: tar(tar_member("b", batch(PIXELS, [0]))),
        "member 'b': its 'labels' has the shape (1,), its share of train is 2 samples",
        good_tar,
        ContentError,
        declared={"samples": 2, "dtype": "int64", "shape": (), "classes": CLASSES},
    ),
    "cifar, a batch that calls": Case(
        "cifar-python",
        lambda: tar(tar_member("b", UNSAFE["os.system"][0])),
        "member 'b': the pickle asks for os.system, which no array of numbers needs; nothing was run",
        lambda: tar(tar_member("a", UNSAFE["os.system"][0]), tar_member("b", BATCH)),
        UnsafePickle,
        **CIFAR,
    ),
    "pickle, a list without bottom": Case(
        "pickle",
        lambda: nested(4000),
        "its 'images': sample 0 is a list with a list in it, train.images is declared as numbers",
        pickled,
        ContentError,
    ),
    "pickle, a list that holds itself": Case(
        "pickle",
        lambda: b"\x80\x02}U\x06images]q\0h\0as.",
        "its 'images': sample 0 is a list with a list in it, train.images is declared as numbers",
        pickled,
        ContentError,
    ),
    "pickle, a dict that is its own value": Case(
        "pickle", lambda: b"\x80\x02}q\0U\x06imagesh\0s.", "its 'images' is a dict, not an array", pickled
    ),
    "pickle, a number of 65 bits": Case(
        "pickle",
        lambda: pickled(images=[0, 1, 2**63]),
        "its 'images': sample 2 is a whole number of more than 64 bits, train.images is declared as numbers",
        lambda: pickled(images=[0, 1, 2**63 - 1]),
        ContentError,
        **WHOLE_NUMBERS,
    ),
    "pickle, a fraction for a label": Case(
        "pickle",
        lambda: pickled(images=[0, 1.5, 2]),
        "its 'images' holds numbers of the type float64, train.images is declared as int64",
        lambda: pickled(images=[0, 1, 2]),
        ContentError,
        **WHOLE_NUMBERS,
    ),
    "pickle, a list of one array": Case(
        "pickle",
        lambda: pickle.dumps([GOOD]),
        "its value: sample 0 has the shape [3, 2], train.images declares [2]",
        lambda: pickle.dumps(GOOD),
        ContentError,
    ),
    "pickle, a tuple of arrays": Case(
        "pickle",
        lambda: pickle.dumps((GOOD, GOOD)),
        "its value is a tuple, not an array",
        lambda: pickle.dumps([*GOOD]),
    ),
    "pickle, more samples than declared": Case(
        "pickle",
        lambda: pickled(images=np.zeros((4, 2), "u1")),
        "its 'images' is uint8 (4, 2), more than train.images declares: uint8 (3, 2)",
        pickled,
        ContentError,
    ),
    "pickle, text for numbers": Case(
        "pickle",
        lambda: pickled(images=np.array(["ab", "cd", "ef"])),
        "its 'images' holds text, train.images is declared as uint8",
        pickled,
        ContentError,
    ),
    "pickle, a key in letter case of its own": Case(
        "pickle", lambda: pickled(Images=GOOD), "it has no 'images'; did you mean 'Images'?", pickled
    ),
    "pickle, a call beside the arrays": Case(
        "pickle",
        lambda: b"(dp0\nS'images'\n" + built()[2:-1] + b"sS'x'\ncos\nsystem\ns.",
        "the pickle asks for os.system, which no array of numbers needs; nothing was run",
        lambda: pickled(images=GOOD, x=None),
        UnsafePickle,
    ),
    "pickle, names without end": Case(
        "pickle",
        lambda: b"".join(b"cm%d\nn\n0" % i for i in range(3000)) + b"N.",
        f"the pickle asks for {', '.join(f'm{i}.n' for i in range(20))}, which no array of numbers needs; "
        "nothing was run",
        pickled,
        UnsafePickle,
    ),
    "pickle, a name of a megabyte": Case(
        "pickle",
        lambda: b"cos\n" + b"x" * 200_000 + b"\n.",
        f"the pickle asks for os.{'x' * 256}..., which no array of numbers needs; nothing was run",
        pickled,
        UnsafePickle,
    ),
    "csv, a row over many lines": Case(
        "csv",
        lambda: "a,b\n" + ('"' + "1" * 100_000 + '\n",') * 30,
        "line 22 is in a row of more than 2,097,152 characters; is a quote open?",
        lambda: ROWS,
    ),
    "csv, a million columns": Case(
        "csv",
        lambda: "," * 1_000_000 + "\n",
        "1,000,001 columns are left for images, whose shape (2,) needs 2",
        lambda: ROWS,
        ContentError,
    ),
    "csv, nothing": Case("csv", lambda: "", "it is empty", lambda: ROWS),
    "csv, UTF-16": Case("csv", lambda: ROWS.encode("utf-16-le"), "line 1 has a NUL character", lambda: "\ufeff" + ROWS),
    "csv, a lone surrogate": Case(
        "csv", lambda: b"a,b\n0,\xed\xa0\x80\n", "line 2 has bytes that are not UTF-8: b'\\xed\\xa0\\x80'", lambda: ROWS
    ),
    "csv, a separator that splitlines would cut at": Case(
        "csv",
        lambda: "a,b\n0,1\u20282,3\n",
        "line 2 has a row of 3, the first row is one of 2",
        lambda: ROWS,
    ),
    "csv, nan among floats": Case(
        "csv",
        lambda: "a,b\n0,1\n2,NaN\n4,5\n",
        "line 3, column 2 ('b'): 'NaN' is not a number",
        lambda: "a,b\n0,1\n2,3e0\n4,5\n",
        ContentError,
        **FLOAT_ROWS,
    ),
    "csv, a number in hexadecimal": Case(
        "csv",
        lambda: "images\n1\n0x10\n3\n",
        "line 3, column 1 ('images'): '0x10' is not a number",
        lambda: "images\n1\n16.\n3\n",
        ContentError,
        **FLOATS,
    ),
    "csv, a class by its number": Case(
        "csv",
        lambda: "images\nant\n1\ncat\n",
        "line 3, column 1 ('images'): '1' is not one of the 3 classes of images",
        lambda: "images\nant\nbee\ncat\n",
        ContentError,
        **LABELS,
    ),
    "text, UTF-16": Case(
        "text",
        lambda: "one\n".encode("utf-16"),
        "line 1 has a NUL character",
        lambda: "one\n",
        **TEXT,
    ),
    "text, an overlong encoding": Case(
        "text", lambda: b"\xc0\x80\n", "line 1 has bytes that are not UTF-8: b'\\xc0\\x80\\n'", lambda: "one\n", **TEXT
    ),
    "text, a carriage return alone": Case(
        "text",
        lambda: "one\rtwo\n",
        "line 1 has a carriage return: lines must end in LF, not CRLF",
        lambda: "one\n\x0b\x1d\u2029",
        **TEXT,
    ),
    "lines, line feeds without end": Case(
        "text",
        lambda: gzip_bomb(b"\n", 16 << 20),
        "it has more lines than the 3 that train.images declares",
        lambda: gzip.compress(b"\n\n\n"),
        ContentError,
        **LINES,
    ),
    "qa, line feeds by the hundred thousand inside": Case(
        "qa-text",
        lambda: gzip.compress(b"Q: a\nA: b\n" + b"\n" * 600_000 + b"and"),
        "line 4: a line that starts with 'Q: ' is expected, not ''",
        lambda: gzip.compress(b"Q: a\nA: b\n" + b"\n" * 600_000),
        **QA,
    ),
    "qa, a lone surrogate": Case(
        "qa-text",
        lambda: b"Q: \xed\xbf\xbf\nA: b\n",
        "line 1 has bytes that are not UTF-8: b'\\xed\\xbf\\xbf\\n'",
        lambda: "Q: a\nA: b",
        **QA,
    ),
    "qa, nothing": Case(
        "qa-text",
        lambda: "",
        "line 1: a line that starts with 'Q: ' is expected, not ''",
        lambda: "Q: a\nA: b",
        **QA,
    ),
    "qa, a question of blanks": Case(
        "qa-text", lambda: "Q: \u2003\nA: b\n", "line 1: nothing follows 'Q: '", lambda: "Q: a\nA: b", **QA
    ),
}


@pytest.mark.parametrize("case", MORE.values(), ids=MORE)
def test_it_is_refused_and_its_harmless_twin_is_read(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In these words, by this class, soon, in little memory, and with nothing run or written.

    And the twin is read, so that refusing is not just being broken.
    """
    monkeypatch.chdir(tmp_path)  # where a file would appear that somebody's code makes

    check_refused(case, tmp_path)

    assert decode(case, case.twin(), tmp_path)


def test_damaged_pickles_have_a_twin() -> None:
    """The hostile ones of test_pickle.py are tables; what they spoil is whole here."""
    assert len(UNSAFE) + len(DAMAGED) >= 90
    assert built().endswith(b".")
