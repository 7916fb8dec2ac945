"""What the disk refuses is reported with a hint that helps where it was refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tinytorch_datasets import get, settings
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.storage import files as disk

MENDS = {
    errno.ENOSPC: ("the disk is full, or your share of it is", "Free some room", "on a larger disk"),
    errno.EROFS: ("the file system is read-only", "Make it writable", "that is"),
    errno.EACCES: ("you may not write there", "Ask its owner for the right to", "of your own"),
    errno.EIO: (os.strerror(errno.EIO), "Look at the disk", "elsewhere"),
}


class TestTheHint:
    """Another folder can be named for the downloads and the cache, and for nothing else."""

    @pytest.mark.parametrize("number", MENDS)
    def test_of_the_downloads_and_the_cache(self, number: int) -> None:
        """The variable that moves them is reported."""
        reason, hint, other = MENDS[number]
        with pytest.raises(StorageError) as caught, disk.writing_at_home(Path("here")):
            raise OSError(number, os.strerror(number))

        assert str(caught.value) == (
            f"here cannot be written: {reason}\n  {hint}, or set TINYTORCH_DATASETS_HOME to a folder {other}."
        )

    @pytest.mark.parametrize("number", MENDS)
    def test_of_anything_else(self, number: int) -> None:
        """What lies beside a manifest stays there, wherever the downloads are."""
        reason, hint, _ = MENDS[number]
        with pytest.raises(StorageError) as caught, disk.writing(Path("here")):
            raise OSError(number, os.strerror(number))

        assert str(caught.value) == f"here cannot be written: {reason}\n  {hint}."

    def test_a_file_beside_a_manifest(self, tmp_path: Path) -> None:
        """As the compiled form is, and what addresses said."""
        (tmp_path / "file").touch()
        with (
            pytest.raises(StorageError) as caught,
            disk.whole_file(tmp_path / "file" / "loaded" / "datasets.compiled.json"),
        ):
            pass

        assert str(caught.value) == (
            f"{tmp_path}/file/loaded cannot be written: the file {tmp_path}/file is in the way of a folder\n"
            "  Move it out of the way."
        )


def test_a_home_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named, and the variable."""
    (tmp_path / "home").touch()
    monkeypatch.setenv(settings.HOME, str(tmp_path / "home"))
    with pytest.raises(StorageError) as caught:
        get("tinydigits")

    assert str(caught.value) == (
        f"{tmp_path}/home/.cache/arrays cannot be written: the file {tmp_path}/home is in the way of a folder\n"
        "  Move it out of the way, or set TINYTORCH_DATASETS_HOME to a folder elsewhere."
    )
