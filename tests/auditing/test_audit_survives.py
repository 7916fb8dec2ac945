"""One data set's trouble ends no audit: it is a finding, and all others are audited."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.helpers.audit_world import World
from tinytorch_datasets import audit
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.auditing.findings import Report
from tinytorch_datasets.cli import main

NO_DEVICE = Path("/proc/self/mem")  # a file whose first byte is an error of the device to everybody


def once_hashed(world: World, change: Callable[[], object], **options: Any) -> Report:
    """The report of an audit in which something happens between hashing and decoding."""
    changes = [change]

    def step(done: int, in_all: int) -> None:
        if done == in_all and changes:
            changes.pop()()

    return audit(manifest=world.manifest, progress=step, ignore=["budget"], **options)


def found(report: Report) -> list[tuple[str, str, str]]:
    """Rule, data set and text of each finding."""
    return [(finding.rule, finding.dataset, finding.what) for finding in report.findings]


def gone(path: Path) -> str:
    """Nothing is there."""
    path.unlink()
    return f"{path} was hashed, and is gone since"


def a_folder(path: Path) -> str:
    """A folder has its name."""
    path.unlink()
    path.mkdir()
    return f"{path} was hashed, and could not be read when it was to be decoded: it is no regular file"


def a_pipe(path: Path) -> str:
    """A pipe has its name, into which nobody writes."""
    path.unlink()
    os.mkfifo(path)
    return f"{path} was hashed, and could not be read when it was to be decoded: it is no regular file"


def unread(path: Path) -> str:
    """Its disk gives an error in place of bytes."""
    path.unlink()
    path.symlink_to(NO_DEVICE)
    return f"{path.parent} was hashed, and could not be read when it was to be decoded: Input/output error"


TROUBLE = [
    gone,
    a_folder,
    pytest.param(a_pipe, marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")),
    pytest.param(unread, marks=pytest.mark.skipif(not NO_DEVICE.exists(), reason="the system has no such file")),
]


class TestOnceHashed:
    """What becomes of a file between being hashed and being decoded."""

    @pytest.mark.parametrize("decode", ["auto", "always"])
    @pytest.mark.parametrize("trouble", TROUBLE)
    def test_of_a_download(self, world: World, trouble: Callable[[Path], str], decode: Any) -> None:
        """It is a finding of its data set, and the others are decoded."""
        path, what = world.file("digits/train-images"), list[str]()
        report = once_hashed(world, lambda: what.append(trouble(path)), decode=decode)

        assert found(report) == [("file-missing", "digits", *what)]
        assert [(row.name, row.state, row.samples) for row in report.datasets if row.name != "digits"] == [
            ("flowers", "ok", 30),
            ("talk", "ok", 3),
        ]

    @pytest.mark.parametrize("decode", ["auto", "always", "never"])
    def test_a_shipped_file_that_is_removed(self, world: World, decode: Any) -> None:
        """Is missing, and was not audited, whatever it was when it was hashed."""
        path, what = world.file("talk/talk.txt"), list[str]()
        report = once_hashed(world, lambda: what.append(gone(path)), decode=decode)

        assert found(report) == [("file-missing", "talk", *what)]
        assert [row.state for row in report.datasets] == ["ok", "mismatch", "ok"]

    @pytest.mark.parametrize("trouble", TROUBLE[1:3])
    def test_of_one_split_beside_a_damaged_one(self, world: World, trouble: Callable[[Path], str]) -> None:
        """Both are findings, though one of them ends the decoder."""
        world.put("flowers/train.csv", b"length,width,kind\n1,2\n")
        path, what = world.file("flowers/test.csv"), list[str]()
        report = once_hashed(world, lambda: what.append(trouble(path)), decode="always")

        damaged, changed = sorted(found(report))
        assert damaged[:2] == ("decode", "flowers")
        assert str(world.file("flowers/train.csv")) in damaged[2]
        assert changed == ("file-missing", "flowers", *what)

    def test_of_a_file_that_is_another_one(self, world: World) -> None:
        """That it is another is known; what its bytes show of the reason is not, any more."""
        path = world.file("talk/talk.txt")
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        report = once_hashed(world, path.unlink)

        assert [(rule, dataset) for rule, dataset, _ in found(report)] == [
            ("file-size", "talk"),
            ("file-missing", "talk"),
        ]


def test_values_that_a_lock_has_and_nobody_can_decode_here(world: World) -> None:
    """A cache that takes no arrays is a finding of each data set, and what else differs is found."""
    assert CliRunner().invoke(main, ["lock", "--manifest", str(world.manifest)]).exit_code == 0
    lock = world.root / "datasets.lock"
    lock.write_text(lock.read_text().replace(VERSION, "0.0.1"))
    arrays = world.root / "home" / ".cache" / "arrays"
    shutil.rmtree(arrays)
    arrays.touch()
    report = audit(manifest=world.manifest, lock=lock)

    assert [what.replace(str(arrays), "ARRAYS") for rule, _, what in found(report) if rule == "lock"] == [
        f"library version is {VERSION}, locked is 0.0.1",
        *(
            f"{name} is locked, and its values were not compared: ARRAYS cannot be written: "
            "a file is in the way of a folder"
            for name in ("flowers", "talk", "digits")
        ),
    ]
