# -*- coding: utf-8 -*-
# It runs on Python 2.7 too, which linter, formatter and type checker do not know.
# ruff: noqa
# mypy: ignore-errors
# fmt: off
"""The script that wrote the golden bytes in this folder.

This script, under the Python and NumPy that each file's name gives. It is kept to be read, not to be run by
tests: the files never change, SHA256SUMS says what they are, and no test makes a missing one. It runs on
Python 2.7 and on every Python 3, so it uses nothing newer. How they were made:

    for each of  2.7/1.16.6  3.6/1.13.3  3.8/1.24.4  3.11/1.26.4  3.13/2.1.0  3.11/2.4.6:
        python write_golden.py pickles
    python2.7/1.16.6  write_golden.py cifar
    python3.11/2.4.6  write_golden.py others
    sha256sum pickle-* cifar-* idx-* npy-* npz-* csv-* text-* qa-* > SHA256SUMS
"""

import gzip
import io
import pickle
import struct
import sys
import tarfile

import numpy as np

try:
    import cPickle as pickle  # what people used on Python 2; its opcodes differ from pickle.py's
except ImportError:
    pass


def content():
    """The same arrays in every pickle: see test_formats_golden.py, which spells them out again."""
    return {
        "images": np.arange(12, dtype="u1").reshape(3, 2, 2) * 21,
        "labels": np.array([2, 0, 1], dtype="i8"),
        "floats": np.array([0.5, -1.25, 3.0], dtype="<f4"),
        "big": np.array([1, -2, 300], dtype=">i2"),
        "flags": np.array([True, False, True]),
        "fortran": np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3)),
        "swapped_axes": np.arange(24, dtype="<i4").reshape(2, 3, 4).transpose(1, 0, 2),
        "none": np.zeros((0, 3), dtype="<f8"),
        "scalar": np.float32(1.5),
        "names": ["caf\xe9", "plain"],
        "list": [2, 0, 1, 70000, -5, 2**40],
        "other": (None, True, 1.5, b"bytes"),
    }


def pickles():
    name = "pickle-py%d.%d-numpy%s" % (sys.version_info[:2] + (np.__version__,))
    for protocol in range(min(pickle.HIGHEST_PROTOCOL, 5) + 1):
        with open("%s-p%d.pkl" % (name, protocol), "wb") as f:
            pickle.dump(content(), f, protocol)


def cifar():
    """Two batches of two rows, as Python 2 writes them, in an archive whose order is not theirs."""
    assert sys.version_info[0] == 2
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        for number in (2, 1):
            data = (np.arange(2 * 3072) * number % 251).astype("u1").reshape(2, 3072)
            batch = {
                "data": data,
                "labels": [number, number + 4],
                "filenames": ["a.png", "b.png"],
                "fine_labels": [number * 10, 99],
                "batch_label": "batch %d" % number,
            }
            body = pickle.dumps(batch, 2)
            entry = tarfile.TarInfo("batches/b%d" % number)
            entry.size = len(body)
            t.addfile(entry, io.BytesIO(body))
    with open("cifar-py2.7.tar.gz", "wb") as f:
        z = gzip.GzipFile("", "wb", 9, f, 0)
        z.write(out.getvalue())
        z.close()


def others():
    import bz2
    import lzma

    def put(name, data):
        with open(name, "wb") as f:
            f.write(data)

    # IDX by hand, from the description on MNIST's page: two zero bytes, type, dimensions, sizes, big-endian values.
    for code, kind, values in [
        (0x08, "B", [0, 7, 255]),
        (0x09, "b", [-128, 0, 127]),
        (0x0B, "h", [-300, 0, 300]),
        (0x0C, "i", [-70000, 0, 70000]),
        (0x0D, "f", [-0.5, 0.0, 1.5]),
        (0x0E, "d", [0.1, -2.0, 1e300]),
    ]:
        put("idx-%02x.idx" % code, struct.pack(">HBBI3" + kind, 0, code, 1, 3, *values))
    cube = struct.pack(">HBB3I", 0, 8, 3, 2, 2, 3) + bytes(range(12))
    put("idx-cube.idx", cube)
    put("idx-cube.idx.gz", gzip.compress(cube, mtime=0))
    put("idx-cube.idx.bz2", bz2.compress(cube))
    put("idx-cube.idx.xz", lzma.compress(cube))
    # NPY, by numpy: every version of the header, C and Fortran order, little and big end first.
    a = np.arange(6).reshape(3, 2)
    for version in [(1, 0), (2, 0), (3, 0)]:
        with open("npy-v%d.npy" % version[0], "wb") as f:
            np.lib.format.write_array(f, a.astype("<i4"), version=version)
    np.save("npy-fortran.npy", np.asfortranarray(a.astype("<f8")))
    np.save("npy-big.npy", a.astype(">u2"))
    np.savez("npz-stored.npz", images=a.astype("u1"), labels=np.array([1, 0, 1]))
    np.savez_compressed("npz-deflated.npz", images=a.astype("u1"), labels=np.array([1, 0, 1]))
    put("csv-flowers.csv", b'long,wide,kind\n1.5,2,rose\n0.25,-3,"tulip"\n1e2,0,rose\n')
    put("text-lines.txt", "one\ntwo\u2028still two\nth\u00e9e\n".encode("utf-8"))
    put(
        "qa-three.txt", b"Q: Who are you?\nA: I am TinyBot.\n\nQ: What is 2 + 2?\nA: It is 4.\n\nQ: Why?\nA: Because.\n"
    )


if __name__ == "__main__":
    {"pickles": pickles, "cifar": cifar, "others": others}[sys.argv[1]]()
