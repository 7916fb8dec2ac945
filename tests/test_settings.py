"""Of several homes, the first that can be written to takes what is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinytorch_datasets import settings
from tinytorch_datasets.errors import StorageError
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
        """All that were looked at are told."""
        with pytest.raises(StorageError) as caught:
            Locations(shipped=tmp_path, homes=(file / "one", file / "two")).home  # noqa: B018

        assert str(caught.value) == (
            f"none of the folders in TINYTORCH_DATASETS_HOME can be written to: {file}/one, {file}/two\n"
            "  Add one of your own at the end of the list."
        )

    def test_by_writing_a_file(self, tmp_path: Path, file: Path) -> None:
        """As on Windows, whose rights cannot be asked for in another way; nothing is left there."""
        assert settings._takes_a_file(tmp_path)
        assert not settings._takes_a_file(file)
        assert list(tmp_path.iterdir()) == [file]
