"""`add` of tables in several files: numbered parts are one split, in the order of their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.add.test_archives import csv
from tests.add.test_images import write
from tests.helpers.add_world import add
from tests.helpers.format_writers import zipped
from tinytorch_datasets import get


def added(manifest: Path, path: Path, *options: str) -> tuple[Any, dict[str, Any]]:
    """What `get` returns, and the splits of the entry."""
    done = add(manifest, path, "--ship", "--name", "mine", *options)
    assert done.exit_code == 0, done.output
    return get("mine", manifest=manifest, offline=True), yaml.safe_load(manifest.read_text())["datasets"]["mine"][
        "splits"
    ]


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00011.csv", "train-00002-of-00011.csv", "train-00010-of-00011.csv"),
        ("part1.csv", "part2.csv", "part10.csv"),
        ("d/x_01.csv", "d/x_02.csv", "d/x_11.csv"),
    ],
)
def test_numbered_parts(manifest: Path, tmp_path: Path, form: str, names: tuple[str, ...]) -> None:
    """Of any length, in the order of the numbers, not of the letters."""
    files = dict(zip(names, (csv(0, 12), csv(12, 8), csv(20, 4)), strict=True))
    path = write(tmp_path / "made", files) if form == "folder" else tmp_path / "made.zip"
    if form == "zip":
        path.write_bytes(zipped(files))
    got, splits = added(manifest, path)

    assert got.train.features.tolist() == [[at, at / 4] for at in range(24)]
    assert got.train.labels.tolist() == [0, 1] * 12
    place = {"samples": 24, "members": list(names)}
    assert splits == {"train": place if form == "folder" else place | {"file": "made.zip"}}


def test_parts_of_two_splits_and_a_whole_one(manifest: Path, tmp_path: Path) -> None:
    """Words tell them apart."""
    files = {"train-0-of-2.csv": csv(0, 6), "train-1-of-2.csv": csv(6, 6), "val-0-of-2.csv": csv(12, 4)}
    files |= {"val-1-of-2.csv": csv(16, 2), "test.csv": csv(18, 4)}
    got, splits = added(manifest, write(tmp_path / "made", files))

    assert [len(got[split]) for split in splits] == [12, 6, 4]
    assert got.test.features[:, 0].tolist() == [18, 19, 20, 21]


def test_files_that_may_be_years(manifest: Path, tmp_path: Path) -> None:
    """They are no parts, unless a person says so."""
    path = write(tmp_path / "made", {"2019.csv": csv(0, 8), "2020.csv": csv(8, 8)})
    done = add(manifest, path, "--ship", "--name", "mine")

    assert done.exit_code == 1
    assert "To have them as one: --split train=PATTERN." in done.stderr
    got, splits = added(manifest, path, "--split", "train=*.csv")
    assert got.train.features[:, 0].tolist() == list(range(16))
    assert splits == {"train": {"samples": 16, "file": "*.csv"}}


def test_parts_with_other_columns(manifest: Path, tmp_path: Path) -> None:
    """They are not one table."""
    path = write(tmp_path / "made", {"part1.csv": csv(0, 8), "part2.csv": csv(8, 8).replace(b"x,y", b"x,z")})

    assert add(manifest, path, "--ship", "--name", "mine").exit_code == 1
