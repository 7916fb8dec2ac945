"""Bytes that others wrote, kept on disk, are read as what they are.

`golden/write_golden.py` says who wrote them. SHA256SUMS says which bytes they are; no test writes either.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import column, put, read, split

GOLDEN = Path(__file__).parents[1] / "golden"
SUMS = {name: digest for digest, name in map(str.split, (GOLDEN / "SHA256SUMS").read_text("utf-8").splitlines())}


def test_the_sums_list_every_file() -> None:
    """Neither a file without its sum nor a sum without its file."""
    files = {p.name for p in GOLDEN.iterdir() if p.is_file()} - {"SHA256SUMS", "write_golden.py"}

    assert files == set(SUMS)


def golden(name: str) -> Path:
    """One of the files, its bytes held against its sum."""
    path = GOLDEN / name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SUMS[name]
    return path


def decoded(form: str, name: str, **declared: Any) -> np.ndarray:
    """The one column of a file."""
    found: np.ndarray = read(form, split(column(golden(name), **declared)))["train.images"]
    return found


@pytest.mark.parametrize(
    ("code", "dtype", "values"),
    [
        ("08", "uint8", [0, 7, 255]),
        ("09", "int8", [-128, 0, 127]),
        ("0b", "int16", [-300, 0, 300]),
        ("0c", "int32", [-70000, 0, 70000]),
        ("0d", "float32", [-0.5, 0.0, 1.5]),
        ("0e", "float64", [0.1, -2.0, 1e300]),
    ],
)
def test_idx_element_types(code: str, dtype: str, values: list[float]) -> None:
    """The six that IDX has."""
    found = decoded("idx", f"idx-{code}.idx", dtype=dtype)

    np.testing.assert_array_equal(found, np.array(values, dtype), strict=True)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
def test_idx_with_three_dimensions(suffix: str) -> None:
    """Plain and in each compression."""
    found = decoded("idx", f"idx-cube.idx{suffix}", shape=(2, 3))

    np.testing.assert_array_equal(found, np.arange(12, dtype="u1").reshape(2, 2, 3)[[0, 1]], strict=True)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("v1", "int32"), ("v2", "int32"), ("v3", "int32"), ("fortran", "float64"), ("big", "uint16")],
)
def test_npy(name: str, dtype: str) -> None:
    """Each version of the header, either order of axes, either order of bytes."""
    found = decoded("npy", f"npy-{name}.npy", dtype=dtype, shape=(2,))

    np.testing.assert_array_equal(found, np.array([[0, 1], [2, 3], [4, 5]], dtype), strict=True)


@pytest.mark.parametrize("name", ["stored", "deflated"])
def test_npz(name: str) -> None:
    """As np.savez and np.savez_compressed wrote it."""
    file = golden(f"npz-{name}.npz")
    labels = column(file, "labels", dtype="int64", classes=("a", "b"))

    found = read("npz", split(column(file, shape=(2,)), labels))

    np.testing.assert_array_equal(found["train.images"], np.array([[0, 1], [2, 3], [4, 5]], "u1"), strict=True)
    np.testing.assert_array_equal(found["train.labels"], np.array([1, 0, 1]), strict=True)


# What write_golden.py put into each pickle, spelled out once more.
IMAGES = np.array([[[0, 21], [42, 63]], [[84, 105], [126, 147]], [[168, 189], [210, 231]]], "u1")
PICKLED = {
    "images": IMAGES,
    "labels": np.array([2, 0, 1]),
    "floats": np.array([0.5, -1.25, 3.0], "f4"),
    "big": np.array([1, -2, 300], "i2"),
    "flags": np.array([True, False, True]),
    "fortran": np.array([[0, 1, 2], [3, 4, 5]], "i4"),
    "swapped_axes": np.arange(24, dtype="i4").reshape(2, 3, 4).transpose(1, 0, 2),
    "none": np.zeros((0, 3)),
    "list": np.array([2, 0, 1, 70000, -5, 2**40]),
}
PICKLES = sorted(name for name in SUMS if name.startswith("pickle-"))


def test_the_pickles_are_of_all_protocols_and_ages() -> None:
    """Python 2.7 to 3.13, NumPy 1.13 to 2.4, protocols 0 to 5."""
    assert {name[-5] for name in PICKLES} == set("012345")
    assert {name.split("-")[1] for name in PICKLES} == {"py2.7", "py3.6", "py3.8", "py3.11", "py3.13"}
    assert len(PICKLES) == 32


@pytest.mark.parametrize("name", PICKLES)
def test_pickle(name: str) -> None:
    """Every array in it comes out as it went in."""
    file = golden(name)
    columns = [
        column(file, key, samples=len(values), dtype=values.dtype.name, shape=values.shape[1:])
        for key, values in PICKLED.items()
    ]

    found = read("pickle", split(*columns))

    for key, values in PICKLED.items():
        np.testing.assert_array_equal(found[f"train.{key}"], values, strict=True)


@pytest.mark.parametrize(("labels", "expected"), [("labels", [1, 5, 2, 6]), ("fine_labels", [10, 99, 20, 99])])
def test_cifar(labels: str, expected: list[int]) -> None:
    """Batches of Python 2, which stand in the archive the other way round."""
    file = golden("cifar-py2.7.tar.gz")
    images = column(file, samples=4, shape=(3, 32, 32))
    result = split(images, column(file, "labels", samples=4, dtype="int64"), members=("batches/b1", "batches/b2"))

    found = read("cifar-python", result, labels=labels)

    rows = np.arange(2 * 3072)
    pixels = np.concatenate([rows % 251, rows * 2 % 251]).astype("u1").reshape(4, 3, 32, 32)
    np.testing.assert_array_equal(found["train.images"], pixels, strict=True)
    np.testing.assert_array_equal(found["train.labels"], np.array(expected), strict=True)


def test_csv() -> None:
    """Two numbers a row and a class, one of them in quotes."""
    file = golden("csv-flowers.csv")
    kinds = column(file, "kind", dtype="int64", classes=("rose", "tulip"))

    found = read("csv", split(column(file, dtype="float32", shape=(2,)), kinds))

    np.testing.assert_array_equal(found["train.images"], np.array([[1.5, 2], [0.25, -3], [100, 0]], "f4"), strict=True)
    np.testing.assert_array_equal(found["train.kind"], np.array([0, 1, 0]), strict=True)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("lines", ["one", "two\u2028still two", "th\u00e9e"]),
        ("document", ["one\ntwo\u2028still two\nth\u00e9e\n"]),
    ],
)
def test_text(unit: str, expected: list[str]) -> None:
    """A line separator of Unicode is not the end of a line."""
    result = split(column(golden("text-lines.txt"), "text", samples=len(expected), dtype="str"))

    assert read("text", result, unit=unit) == {"train.text": expected}


def test_qa_text() -> None:
    """Three pairs of two levels."""
    file = golden("qa-three.txt")
    columns = (column(file, name, dtype="str") for name in ("questions", "answers"))

    found = read("qa-text", split(*columns, column(file, "levels", dtype="int64")), levels={"train": [1, 2]})

    assert found.pop("train.levels").tolist() == [1, 2, 2]
    assert found == {
        "train.questions": ["Who are you?", "What is 2 + 2?", "Why?"],
        "train.answers": ["I am TinyBot.", "It is 4.", "Because."],
    }


@pytest.mark.parametrize("ends", ["\r\n", "\n\n\n", ""])
def test_qa_text_as_editors_save_it(ends: str, tmp_path: Path) -> None:
    """With CRLF, a byte order mark, and any number of blank lines at the end: the same pairs, and a text without CR."""
    plain = golden("qa-three.txt").read_text("utf-8").rstrip("\n")
    saved = plain.replace("\n", "\r\n") if "\r" in ends else plain
    file = put(tmp_path / "saved.txt", "\ufeff" + saved + ends)
    names = ("questions", "answers")

    found = read("qa-text", split(*(column(file, n, dtype="str") for n in names), column(file, "text", per="split")))

    pairs = [line[3:] for line in plain.split("\n") if line]
    assert found["train.questions"] == pairs[::2]
    assert found["train.answers"] == pairs[1::2]
    assert found["train.text"] == [plain + ends.replace("\r", "")]
