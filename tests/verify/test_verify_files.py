"""What stands in a file's place is looked at and reported, whatever it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers.faulty_server import sha256
from tests.helpers.users import open_to_all
from tinytorch_datasets.errors import MissingFile, StorageError
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.verify.files import StatCache, check

DATA = b"length,width\n1,2\n"
DECLARED = File(name="train.csv", bytes=len(DATA), sha256=sha256(DATA), where="datasets.yaml:7")
HINT = "Restore it: `git checkout` it in a clone, or reinstall the package."


def checked(path: Path) -> None:
    """Check the file at `path` as `get` does for the first time."""
    check(plan(path.parent), DECLARED, mode="auto", stat_cache=StatCache())


def plan(root: Path) -> Plan:
    """A shipped data set of that one file, in the folder `root`."""
    return Plan("d", "d", root, "shipped", "csv", (DECLARED,), ())


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass, unlike `tmp_path`."""
    with open_to_all() as folder:
        yield folder


def as_another_user(path: Path) -> str:
    """Check the file as a user who is not root. Returns the error as that process tells it."""
    code = f"""
import os
from pathlib import Path
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.verify.files import StatCache, check
plan = Plan("d", "d", Path({str(path.parent)!r}), "shipped", "csv", ({DECLARED!r},), ())
if os.geteuid() == 0: os.setuid(65534)
try:
    check(plan, plan.files[0], mode="auto", stat_cache=StatCache())
except Exception as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, cwd="/").stdout


class TestWhatCannotBeRead:
    """It is not said to be missing, nor to be another file: nobody knows that."""

    def test_nothing_there(self, tmp_path: Path) -> None:
        """That is missing."""
        with pytest.raises(MissingFile) as caught:
            checked(tmp_path / "train.csv")

        assert str(caught.value) == f"{tmp_path}/train.csv is missing\n  declared at datasets.yaml:7\n  {HINT}"

    def test_a_file_that_this_user_may_not_read(self, open_folder: Path) -> None:
        """Its size can be seen, and is right; its bytes cannot."""
        path = open_folder / "train.csv"
        path.write_bytes(DATA)
        path.chmod(0)

        assert as_another_user(path) == (
            f"StorageError: {path} cannot be read: you may not read it\n"
            "  declared at datasets.yaml:7\n"
            "  Ask its owner for the right to.\n"
        )

    def test_a_folder_that_this_user_may_not_pass(self, open_folder: Path) -> None:
        """Not even whether the file is there can be seen."""
        path = open_folder / "flowers" / "train.csv"
        path.parent.mkdir()
        path.write_bytes(DATA)
        path.parent.chmod(0)

        assert as_another_user(path) == (
            f"StorageError: {path} cannot be read: you may not read it\n"
            "  declared at datasets.yaml:7\n"
            "  Ask its owner for the right to.\n"
        )

    def test_a_file_in_place_of_its_folder(self, tmp_path: Path) -> None:
        """Then there is no such file."""
        (tmp_path / "flowers").touch()
        with pytest.raises(MissingFile) as caught:
            checked(tmp_path / "flowers" / "train.csv")

        assert str(caught.value) == (
            f"{tmp_path}/flowers/train.csv is missing\n  declared at datasets.yaml:7\n  {HINT}"
        )

    @pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
    def test_no_file_in_its_place(self, make: object, tmp_path: Path) -> None:
        """A folder, or a pipe, at which reading would wait for ever."""
        assert callable(make)
        make(tmp_path / "train.csv")
        with pytest.raises(StorageError) as caught:
            checked(tmp_path / "train.csv")

        assert str(caught.value) == (
            f"{tmp_path}/train.csv cannot be read: what is there is no file\n"
            "  declared at datasets.yaml:7\n"
            "  Move it out of the way."
        )
