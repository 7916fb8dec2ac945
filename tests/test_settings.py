"""Of several homes, the first that can be written to takes what is new."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.manifest.test_include import write
from tinytorch_datasets import get, settings
from tinytorch_datasets.errors import StorageError, UsageError
from tinytorch_datasets.settings import Locations


class TestTheHome:
    """Whether a folder can be written to is asked of the system."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A file, which for nobody is a folder to write to, whatever its mode allows."""
        (tmp_path / "file").touch()
        (tmp_path / "file").chmod(0o777)
        return tmp_path / "file"

    def test_the_first_that_can_be_written_to(self, tmp_path: Path, file: Path) -> None:
        """One that is not there yet can, if it can be made."""
        (tmp_path / "later").mkdir()

        places = Locations(shipped=tmp_path, homes=(file / "home", tmp_path / "not" / "there", tmp_path / "later"))

        assert places.home == tmp_path / "not" / "there"

    def test_none(self, tmp_path: Path, file: Path) -> None:
        """All that were looked at are reported."""
        with pytest.raises(StorageError) as caught:
            Locations(shipped=tmp_path, homes=(file / "one", file / "two")).home  # noqa: B018

        assert str(caught.value) == (
            f"none of the folders in TINYTORCH_DATASETS_HOME can be written to: {file}/one, {file}/two\n"
            "  Add one of your own at the end of the list."
        )

    def test_by_writing_a_file(self, tmp_path: Path, file: Path) -> None:
        """As on Windows, whose rights cannot be asked for in another way; nothing is left there."""
        assert settings.write_test(str(tmp_path)) is None
        assert settings.write_test(str(file)) is not None
        assert list(tmp_path.iterdir()) == [file]


def test_what_a_manifest_says_of_its_folder_is_read_again_once_it_says_another(tmp_path: Path) -> None:
    """Also where it is as long as it was."""
    manifest = tmp_path / "datasets.yaml"
    for second, folder in enumerate(("one", "two")):
        manifest.write_text(f"version: 1\ndownload_to: {folder}\n")
        os.utime(manifest, (second, second))
        assert settings.likely_homes(str(manifest)) == (str(tmp_path / folder),)


def test_another_cache_folder_counts_in_the_same_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest that nobody writes beside has its arrays in the user's, which a variable names at each call."""
    manifest = write(tmp_path / "site-packages" / "course" / "datasets.yaml", "ours")
    monkeypatch.delenv("TINYTORCH_DATASETS_HOME", raising=False)
    for cache in ("one", "two", "one"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        x = get("ours", manifest=manifest).train.x
        assert x.tolist() == [0.5, 1.5]
        assert x.filename.startswith(str(tmp_path / cache))


class TestWhatIsNoPath:
    """It is said in a sentence, by the name of the argument or of the variable."""

    @pytest.mark.parametrize(
        ("arguments", "what"),
        [
            ({"manifest": 5}, "manifest is a path, or what load_manifest returned, not 5"),
            (
                {"manifest": ["datasets.yaml"]},
                "manifest is a path, or what load_manifest returned, not ['datasets.yaml']",
            ),
            ({"manifest": "a\0b"}, "manifest has a NUL character in it: 'a\\x00b'"),
            ({"home": "a\0b"}, "home has a NUL character in it: 'a\\x00b'"),
            ({"home": 5}, "home is a path, not 5"),
            ({"mirror": 5}, "mirror is a path, not 5"),
            (
                {"home": "~nobody-of-that-name/x"},
                "home is ~nobody-of-that-name/x, and nobody knows a home folder for ~nobody-of-that-name\n"
                "  Write the path from the root on.",
            ),
        ],
        ids=str,
    )
    def test_an_argument(self, arguments: dict[str, Any], what: str, home: Path) -> None:
        """Of `get`."""
        with pytest.raises(UsageError) as caught:
            get("tinydigits", **arguments)

        assert str(caught.value) == what

    @pytest.mark.parametrize("variable", [settings.HOME, settings.MANIFEST])
    def test_a_variable(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of the environment; the command line says so, too."""
        monkeypatch.setenv(variable, "~nobody-of-that-name/x")
        what = (
            f"{variable} is ~nobody-of-that-name/x, and nobody knows a home folder for ~nobody-of-that-name\n"
            "  Write the path from the root on."
        )
        with pytest.raises(UsageError) as caught:
            get("tinydigits")
        done = subprocess.run(
            [sys.executable, "-m", "tinytorch_datasets", "get", "tinydigits"],
            capture_output=True,
            text=True,
            check=False,
        )

        assert str(caught.value) == what
        assert (done.returncode, done.stderr) == (2, f"error: {what}\n")

    @pytest.mark.skipif(os.name == "nt", reason="a folder that somebody is in cannot be removed there")
    def test_a_relative_path_where_there_is_no_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The current folder was removed by somebody else."""
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        with pytest.raises(StorageError) as caught:
            get("tinydigits", home="here")

        assert str(caught.value) == "home is here, and the current folder is gone\n  Go to a folder that is there."
