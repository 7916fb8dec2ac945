"""What the disk refuses is reported with a hint that helps where it was refused."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

import pytest

from tinytorch_datasets import get, settings
from tinytorch_datasets.concurrency import while_held
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.storage import files as disk
from tinytorch_datasets.storage.memmap import is_link

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


def refused(winerror: int) -> PermissionError:
    """What Windows raises; elsewhere the attribute is set, as there it is."""
    error = PermissionError(errno.EACCES, "refused", "a")
    error.winerror = winerror  # type: ignore[attr-defined]
    return error


class Held:
    """A move that Windows refuses so many times, and a clock: how long was slept."""

    def __init__(self, error: OSError, times: int) -> None:
        self.error, self.times, self.slept = error, times, list[float]()

    def __call__(self) -> str:
        """Refuse, or move."""
        if self.times:
            self.times -= 1
            raise self.error
        return "moved"

    def wait(self, is_writable: bool = True) -> str:
        """Do it as every rename and removal is done."""
        return while_held(self, lambda: is_writable, sleep=self.slept.append)


class TestAFileThatAnotherProgramHolds:
    """On Windows: scanners and indexers open what was just written, and let it go again."""

    @pytest.mark.parametrize("winerror", [5, 32, 33, 145])
    def test_it_is_tried_again(self, winerror: int) -> None:
        """After pauses that double."""
        move = Held(refused(winerror), 4)

        assert move.wait() == "moved"
        assert move.slept == [0.02, 0.04, 0.08, 0.16]

    @pytest.mark.parametrize("winerror", [5, 32, 33])
    def test_not_for_ever(self, winerror: int) -> None:
        """For 2.5 s in all; then it is the system's own error."""
        move = Held(refused(winerror), 1_000)
        with pytest.raises(PermissionError) as caught:
            move.wait()

        assert caught.value is move.error
        assert sum(move.slept) == pytest.approx(2.5)
        assert len(move.slept) == 7

    def test_a_missing_right_is_not_waited_for(self) -> None:
        """Windows has one number for it and for a mapped file; whether a file can be written there tells them apart."""
        move = Held(refused(5), 1)
        with pytest.raises(PermissionError):
            move.wait(is_writable=False)

        assert move.slept == []

    def test_no_other_error_is_waited_for(self) -> None:
        """Nor anything that another system refuses, which holds no file for whoever has it open."""
        for error in (PermissionError(errno.EACCES, "no"), OSError(errno.EBUSY, "busy"), FileNotFoundError(2, "gone")):
            move = Held(error, 1)
            with pytest.raises(OSError, match=r"no|busy|gone"):
                move.wait()

            assert move.slept == []

    def test_the_error_says_what_to_close(self, tmp_path: Path) -> None:
        """And not to ask for rights that are there."""
        with pytest.raises(StorageError) as caught, disk.writing_at_home(tmp_path / "arrays"):
            raise refused(32)

        assert str(caught.value) == (
            f"{tmp_path / 'arrays'} cannot be written: another program has it open, or a file in it\n"
            "  Close what uses it (a notebook, an editor, a virus scanner), and do the same again."
        )

    def test_moves_and_removals_do_what_they_say(self, tmp_path: Path) -> None:
        """By the real system."""
        (tmp_path / "a").write_text("new")
        (tmp_path / "b").write_text("old")
        (tmp_path / "folder/below").mkdir(parents=True)
        disk.replace(tmp_path / "a", tmp_path / "b")
        disk.rename(tmp_path / "folder", tmp_path / "moved")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "moved"]
        assert (tmp_path / "b").read_text() == "new"

        disk.unlink(tmp_path / "b")
        disk.unlink(tmp_path / "b", missing_ok=True)
        disk.remove_folder(tmp_path / "moved")
        assert not list(tmp_path.iterdir())

    def test_no_other_place_moves_or_removes_a_file(self) -> None:
        """Every rename and removal of the package is one that waits, or one whose failure nobody minds."""
        calls = re.compile(
            r"\.(?:rename|unlink|rmtree|move)\(|os\.(?:replace|remove|rmdir)\b|\.replace\((?:path|target)\)"
        )
        package = Path(disk.__file__).parents[1]
        lines = {
            f"{path.relative_to(package).as_posix()}: {line.strip()}"
            for path in package.rglob("*.py")
            for line in path.read_text(encoding="utf-8").splitlines()
            if calls.search(line) and "ignore_errors=True" not in line and "#" not in line
        }

        assert lines == {
            # The home of all others.
            "storage/files.py: while_held(partial(os.replace, path, target), partial(_may_change, path, target))",
            # Display is below storage; it waits itself, and what it removes then is gone, or its own.
            "display/samples.py: aside.unlink(missing_ok=True)",
            # A probe, of which no other program knows.
            "settings.py: os.unlink(probe)",
        }


class TestAPathThatWindowsCannotOpen:
    """It has 260 characters or more, which is a setting of Windows; what is said of it there is that it is missing."""

    @pytest.mark.parametrize("winerror", [3, 206])
    def test_its_length_is_the_reason(self, winerror: int) -> None:
        """And where a shorter one can be named."""
        path = Path("C:/students", *["a-folder-of-a-long-name"] * 11, "train.npy")
        error = FileNotFoundError(errno.ENOENT, "The system cannot find the path specified")
        error.winerror = winerror  # type: ignore[attr-defined]
        with pytest.raises(StorageError) as caught, disk.writing_at_home(path):
            raise error

        assert str(caught.value) == (
            f"{path} cannot be written: its path has 285 characters, and Windows opens none of 260 or more\n"
            "  Let Windows have long paths (LongPathsEnabled), "
            "or set TINYTORCH_DATASETS_HOME to a folder with a shorter one."
        )

    def test_a_short_path_is_missing_for_another_reason(self) -> None:
        """The system's own words stay."""
        error = FileNotFoundError(errno.ENOENT, "The system cannot find the path specified")
        error.winerror = 3  # type: ignore[attr-defined]
        with pytest.raises(StorageError) as caught, disk.writing(Path("Q:/data")):
            raise error

        assert str(caught.value).startswith("Q:/data cannot be written: The system cannot find the path specified\n")


def test_what_is_flushed_is_there(tmp_path: Path) -> None:
    """By the way of this system; another one's is not tried here."""
    with (tmp_path / "a").open("wb", buffering=0) as file:
        file.write(b"values")
        disk.flush(file.fileno())

    assert (tmp_path / "a").read_bytes() == b"values"


def test_a_link_is_known_and_so_is_a_junction(tmp_path: Path) -> None:
    """Junctions are Windows' own; whoever may write beside a folder of ours can plant one, without any right."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    paths = [tmp_path / "link"]
    if sys.platform == "win32" and sys.version_info >= (3, 12):
        import _winapi

        _winapi.CreateJunction(str(tmp_path / "folder"), str(tmp_path / "junction"))
        paths.append(tmp_path / "junction")

    assert all(map(is_link, paths))
    assert not is_link(tmp_path / "folder")
    assert not is_link(tmp_path / "nothing")
