"""Archives as people pack them: names that begin with ./, and litter beside the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.format_writers import batch, column, member, npy, put, read, split, tarred, zipped
from tinytorch_datasets import formats
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.storage.files import is_litter

BATCH = batch(np.zeros((2, 3, 32, 32), "u1"), [1, 2])


@pytest.mark.parametrize(
    ("written", "declared"), [("b", "b"), ("./b", "b"), ("././b", "b"), (".//b", "b"), ("./b", "./b")]
)
def test_a_member_is_found_with_and_without_its_dot(written: str, declared: str, tmp_path: Path) -> None:
    """`tar c b` and `tar c ./b` pack the same file; what is declared with its dot is taken as it is."""
    file = put(tmp_path / "file", tarred(member(written, BATCH)))
    labels = column(file, "labels", samples=2, dtype="int64")

    assert read("cifar-python", split(labels, members=(declared,)))["train.labels"].tolist() == [1, 2]


def test_a_member_with_and_without_its_dot_is_one_member_twice(tmp_path: Path) -> None:
    """Which of the two is meant is not guessed."""
    file = put(tmp_path / "file", tarred(member("b", BATCH), member("./b", BATCH)))
    labels = column(file, "labels", samples=2, dtype="int64")

    with pytest.raises(DecodeError, match=r"member 'b' is in it twice$"):
        read("cifar-python", split(labels, members=("b",)))


def test_litter_in_an_archive_is_not_inspected(tmp_path: Path) -> None:
    """The resource forks that macOS packs beside each file are no arrays, whatever their suffix says."""
    images = npy(np.zeros((3, 2), "u1"))
    packed = zipped({"images.npy": images, "__MACOSX/._images.npy": b"\0\5\x16\7", "._images.npy": b"\0\5\x16\7"})
    path = put(tmp_path / "a.npz", packed)
    detected = formats.of("npz").detect(b"PK\3\4", path)

    assert detected is not None
    assert [array.key for array in detected.inspect().arrays] == ["images"]


LITTER = """.DS_Store ._a.csv x/._a __MACOSX/a/b.npy desktop.ini Desktop.ini thumbs.db Thumbs.db .directory a.csv~
.a.csv.swp #a.csv# .#a.csv ~$table.xlsx .~lock.table.ods# .Trash-1000/files/a .nfs000000000012 x/__pycache__/a.pyc
.git/config .ipynb_checkpoints/a.csv .idea/x .vscode/y .gitkeep"""


@pytest.mark.parametrize("path", LITTER.split())
def test_what_is_litter(path: str) -> None:
    """The leavings of systems, editors and programs."""
    assert is_litter(path)


@pytest.mark.parametrize("path", ["a.csv", "_b.npy", "thumbs/a.png", "~", ".train.npy", "swp", "a.swp.csv", "#1.csv"])
def test_what_is_not(path: str) -> None:
    """Names that only look like it."""
    assert not is_litter(path)
