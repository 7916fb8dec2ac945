"""The folder of decoded arrays: read once, and believed only as far as it can be."""

from __future__ import annotations

import collections
import dataclasses
import errno
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets import get
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.plan import Column, Plan, Rows, Split
from tinytorch_datasets.storage import arrays
from tinytorch_datasets.storage.arrays import folder_name

# Counts what a process opens, by an audit hook that is there before anything is imported.
COUNTING = """
import collections, sys
opened = collections.Counter()
sys.addaudithook(lambda event, args: opened.update([str(args[0])]) if event == "open" else None)
from tinytorch_datasets import get
images = get({name!r}).train.images
print(*(f"{{count}} {{path}}" for path, count in opened.items() if "/.cache/arrays/" in path), sep="\\n")
"""


def opened_by_a_get(name: str) -> collections.Counter[str]:
    """How often a fresh process opens each file of decoded arrays for one `get`."""
    code = COUNTING.format(name=name)
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    counts = (line.split(" ", 1) for line in lines.splitlines() if line)
    return collections.Counter({path: int(count) for count, path in counts})


def test_without_a_cache_entry_each_header_is_read_once(home: Path) -> None:
    """Every array is opened once: its header is read, and it is mapped, by one descriptor. So are the digests."""
    get("tinydigits")
    shutil.rmtree(home / ".cache" / "entries")
    (folder,) = (home / ".cache" / "arrays").iterdir()
    opened = opened_by_a_get("tinydigits")

    assert opened.pop(str(folder / "digests.json")) == 1
    assert opened == dict.fromkeys(map(str, folder.glob("*.npy")), 1)


def test_with_a_cache_entry_no_header_is_read(home: Path) -> None:
    """Every array is opened once, to be mapped."""
    get("tinydigits")
    (folder,) = (home / ".cache" / "arrays").iterdir()

    assert opened_by_a_get("tinydigits") == dict.fromkeys(map(str, folder.glob("*.npy")), 1)


COLUMN = Column("train", "labels", "int64", 3, Path("/data/train.csv"), "label")
# What else a column may declare.
OTHERWISE: dict[str, Any] = {
    "where": "datasets.yaml:41",
    "sha256": "a" * 64,
    "sha256_where": "datasets.yaml:42",
    "split": "test",
    "field": "targets",
    "dtype": "int32",
    "samples": 4,
    "file": Path("/data/test.csv"),
    "key": "target",
    "shape": (None,),
    "range": (0, 9),
    "classes": ("no", "yes"),
    "per": "split",
    "missing": ("?", None),
    "missing_value": -1,
    "member": ("a.zip", "b.csv"),
    "columns": (0, "b"),
    "format": "npz",
    "options": {"header": False},
    "values": ("1", 2, 3.5),
    "stored": "one-hot",
    "names": ("a",),
    "rows": Rows(10, 0, 4, seed=113),
    "axes": (1, 0),
    "factor": 0.5,
    "stored_columns": 8,
    "stored_shape": (8, 8),
    "is_encoded": True,
}


def named(column: Column, **others: Any) -> str:
    """The name of the folder of a data set of one column."""
    split = Split("train", 3, {"labels": column})
    return folder_name(Plan("d", "d", Path("/data"), "remote", "csv", (), (split,), **others), [1])


class TestName:
    """Arrays that were made of something else, or in another way, have another folder."""

    @pytest.mark.parametrize("attribute", [field.name for field in dataclasses.fields(Column)])
    def test_all_that_a_column_declares_is_in_it(self, attribute: str) -> None:
        """But its lines in the manifest, and the digest that its values should have."""
        other = dataclasses.replace(COLUMN, **{attribute: OTHERWISE[attribute]})

        assert (named(other) == named(COLUMN)) == (attribute in ("where", "sha256", "sha256_where"))

    def test_so_is_a_list_of_rows_in_another_file(self) -> None:
        """Wherever the data set is, that is in it by its place below."""
        lists = [dataclasses.replace(COLUMN, file=Path(f"/data/{name}.txt"), where=name) for name in ("one", "other")]
        names = {named(dataclasses.replace(COLUMN, rows=Rows(10, listed=column))) for column in lists}

        assert len(names) == 2
        assert named(COLUMN, options={"header": True}) != named(COLUMN)


class TestAFolderThatANotebookHasMapped:
    """Windows moves no folder from which arrays are mapped, so none can be replaced."""

    @staticmethod
    def make(tmp_path: Path, values: bytes) -> tuple[Path, Path, Any]:
        """A new folder, one of that name that is held, and how it is moved."""
        aside, target = tmp_path / "aside", tmp_path / "target"
        for folder, data in ((aside, b"values"), (target, values)):
            folder.mkdir()
            (folder / "train.x.npy").write_bytes(data)

        def move(path: Path, to: Path) -> None:
            if path == target:
                raise PermissionError(errno.EACCES, "Access is denied", str(path))
            path.rename(to)

        return aside, target, move

    def test_the_same_arrays_are_taken_as_they_are(self, tmp_path: Path) -> None:
        """Another process was faster, and uses them already."""
        aside, target, move = self.make(tmp_path, b"values")
        (target / "digests.json").write_text("{}")
        arrays._into_place(aside, target, move=move)

        assert (target / "digests.json").read_text() == "{}"

    def test_other_arrays_are_an_error(self, tmp_path: Path) -> None:
        """They stay as they are, which whoever has them mapped relies on."""
        aside, target, move = self.make(tmp_path, b"damage")
        with pytest.raises(PermissionError):
            arrays._into_place(aside, target, move=move)

        assert (target / "train.x.npy").read_bytes() == b"damage"


class TestWriting:
    """Blocks come in whichever order the archive has them, and each file is on the disk before the folder appears."""

    @staticmethod
    def write(folder: Path, starts: list[int], samples: int, *, width: int = 3) -> tuple[np.ndarray, str]:
        """Write blocks of two samples each in that order; the values, and the digest that they were checked by."""
        values = np.arange(samples * width, dtype="<i4").reshape(samples, width)
        column = dataclasses.replace(COLUMN, dtype="int32", samples=samples, shape=(width,), classes=None, range=None)
        digests: dict[str, str] = {}
        blocks = [(column, start, values[start : start + 2]) for start in starts]
        arrays.write(folder, blocks, check=digests.update)
        return values, digests[str(column)]

    @pytest.mark.parametrize(
        "starts",
        [[0, 2, 4, 6], [6, 2, 4, 0], [2, 0, 6, 4], [0, 2, 2, 4, 6], [4, 2, 4, 0, 6], [0, 2, 4, 6, 2], [6, 5, 0, 2, 4]],
        ids=str,
    )
    def test_in_any_order(self, starts: list[int], tmp_path: Path) -> None:
        """The digest is that of all values in their order, also where some come twice."""
        values, sha256 = self.write(tmp_path / "arrays", starts, 8)

        assert sha256 == hashlib.sha256(b"int32 8x3\n" + values.tobytes()).hexdigest()
        assert (np.load(tmp_path / "arrays" / f"{COLUMN}.npy") == values).all()

    def test_blocks_larger_than_what_is_synced_or_read_at_a_time(self, tmp_path: Path) -> None:
        """The first one last, so that all others are read back."""
        values, sha256 = self.write(tmp_path / "arrays", [2, 4, 0], 6, width=1_200_000)

        assert sha256 == hashlib.sha256(b"int32 6x1200000\n" + values.tobytes()).hexdigest()

    @pytest.mark.parametrize("width", [3, 1_200_000], ids=["at the end", "on the way"])
    def test_what_the_disk_refuses_is_raised(self, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whenever it does: a system says it once, and a later call that succeeds says nothing of it."""

        def refuse(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match="Input/output error"):
            self.write(tmp_path / "arrays", [0], 2, width=width)

        assert not list(tmp_path.iterdir())
