"""What is said of a disk that refuses, word for word, and what is done on one that does not."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.forked import NOBODY, in_a_fork
from tests.helpers.users import UNKNOWN, needs_root, open_to_all
from tinytorch_datasets.errors import DatasetError, MissingFile, StorageError
from tinytorch_datasets.storage import files as disk


def as_nobody(what: Callable[[], Any]) -> Any:
    """Return what a call returns, or the error that it raises, for a user who owns nothing."""
    return in_a_fork(what, NOBODY)


def facts(error: BaseException) -> tuple[Any, ...]:
    """What an error says and carries."""
    assert isinstance(error, DatasetError)
    return (
        type(error),
        error.what,
        error.where,
        error.hint,
        getattr(error, "path", None),
        getattr(error, "errno", None),
    )


def oserror(number: int | None, winerror: int | None = None, words: str = "") -> OSError:
    """What a system raises of that number."""
    error = OSError("no number") if number is None else OSError(number, words)
    if winerror is not None:
        error.winerror = winerror  # type: ignore[attr-defined]
    return error


HOME = "set TINYTORCH_DATASETS_HOME to a folder"
LINK = "this is a symbolic link, and nothing is written through it"
UNLINK = f"Delete the link; to keep the data elsewhere, {HOME} there."
FULL = ("the disk is full, or your share of it is", "Free some room", " on a larger disk")
DENIED = ("you may not write there", "Ask its owner for the right to", " of your own")
LONG = "its path has {} characters, and Windows opens none of 260 or more"
# Of each error: the reason, the hint, and what another folder would have to be, None if no other one helps.
REFUSED: list[tuple[OSError, str, str, str | None]] = [
    (oserror(errno.ENOSPC), *FULL),
    (oserror(errno.EDQUOT), *FULL),
    (oserror(errno.EFBIG), *FULL),
    (oserror(errno.EROFS), "the file system is read-only", "Make it writable", " that is"),
    (oserror(errno.EACCES), *DENIED),
    (oserror(errno.EPERM), *DENIED),
    (oserror(errno.EISDIR), "what is there is no file", "Move it out of the way", None),
    (oserror(errno.EMFILE), "too many files are open", "Raise the limit, `ulimit -n`", None),
    (oserror(errno.ENFILE), "too many files are open", "Raise the limit, `ulimit -n`", None),
    (oserror(errno.EIO, words="Gone wrong"), "Gone wrong", "Look at the disk", " elsewhere"),
    (oserror(None), "no number", "Look at the disk", " elsewhere"),
    (oserror(errno.ENOENT, 7, "not that"), "not that", "Look at the disk", " elsewhere"),
]


class TestWhatCannotBeWritten:
    """The reason, the hint, and for what belongs to the downloads or the cache another folder."""

    def test_each_reason(self) -> None:
        """With the path and the system's number as attributes."""
        path = Path("here/a")
        for error, reason, hint, other in REFUSED:
            what = f"here/a cannot be written: {reason}"
            elsewhere = "" if other is None else f", or {HOME}{other}"

            expected = (StorageError, what, None, f"{hint}.", path, error.errno)
            assert facts(disk.storage_error(error, path)) == expected
            expected = (StorageError, what, None, f"{hint}{elsewhere}.", path, error.errno)
            assert facts(disk.storage_error(error, path, at_home=True)) == expected
            removed = disk.storage_error(error, path, what="removed")
            assert removed.what == f"here/a cannot be removed: {reason}"

    def test_a_link(self) -> None:
        """As the kernel refuses it, by either of its numbers."""
        for number in (errno.ELOOP, errno.EMLINK):
            error = disk.storage_error(oserror(number), Path("a"), at_home=True)
            assert facts(error) == (StorageError, f"a: {LINK}", None, UNLINK, Path("a"), errno.ELOOP)

    def test_a_path_that_is_too_long_for_windows(self) -> None:
        """From 248 characters on, because a folder has to have room for a name; by either of its numbers."""
        for number in (3, 206):
            for length in (247, 248, 1_000):
                path = Path("C:/" + "x" * (length - 3))
                error = disk.storage_error(oserror(errno.ENOENT, number, "not found"), path, at_home=True)
                reason, hint = LONG.format(f"{length:,}"), "Let Windows have long paths (LongPathsEnabled)"
                is_long = length > 247
                assert error.what == f"{path} cannot be written: {reason if is_long else 'not found'}"
                if is_long:
                    assert error.hint == f"{hint}, or {HOME} with a shorter one."

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        """At the path itself, or above it; what was moved away meanwhile counts as at the path."""
        (tmp_path / "file").touch()
        above = tmp_path / "file" / "a" / "b"
        cases = {
            tmp_path / "file": "a file",
            above: f"the file {tmp_path}/file",
            tmp_path / "none": "a file",
        }
        for path, whose in cases.items():
            for number in (errno.ENOTDIR, errno.EEXIST):
                error = disk.storage_error(oserror(number), path, at_home=True)
                what = f"{path} cannot be written: {whose} is in the way of a folder"
                hint = f"Move it out of the way, or {HOME} elsewhere."
                assert facts(error) == (StorageError, what, None, hint, path, number)

    def test_our_own_errors_pass(self) -> None:
        """They say more, and where."""
        own = StorageError("own", path=Path("b"), errno=errno.EIO)
        for block in (
            disk.writing(Path("a")),
            disk.writing_at_home(Path("a")),
            disk.reading(Path("a"), where=None, hint=""),
        ):
            with pytest.raises(StorageError) as caught, block:
                raise own
            assert caught.value is own


class TestWhatCannotBeRead:
    """The reason, the line that declares it, and the hint of whoever reads."""

    def test_each_reason(self) -> None:
        """What is missing is of another class; a right and a folder have hints of their own."""
        cases = [
            (oserror(errno.ENOENT), MissingFile, "a is missing", "Get it.", None),
            (oserror(errno.ENOTDIR), MissingFile, "a is missing", "Get it.", None),
            (oserror(errno.EIO, words="Bad"), StorageError, "a cannot be read: Bad", "Get it.", errno.EIO),
            (oserror(None), StorageError, "a cannot be read: no number", "Get it.", None),
            *(
                (
                    oserror(number),
                    StorageError,
                    "a cannot be read: you may not read it",
                    "Ask its owner for the right to.",
                    number,
                )
                for number in (errno.EACCES, errno.EPERM)
            ),
            (
                oserror(errno.EISDIR),
                StorageError,
                "a cannot be read: what is there is no file",
                "Move it out of the way.",
                errno.EISDIR,
            ),
        ]
        for error, kind, what, hint, number in cases:
            with pytest.raises(DatasetError) as caught, disk.reading(Path("a"), where="m.yaml:3", hint="Get it."):
                raise error
            assert facts(caught.value) == (kind, what, "m.yaml:3", hint, Path("a"), number)
            assert caught.value.__cause__ is error
            assert getattr(caught.value, "action", None) == ("read" if kind is StorageError else None)

    def test_what_was_refused_is_a_fact(self) -> None:
        """Whoever handles an error need not look for words in its message."""
        error = oserror(errno.EACCES)

        assert disk.storage_error(error, Path("a")).action == "written"
        assert disk.storage_error(error, Path("a"), what="removed").action == "removed"
        assert StorageError("there is no room", path=Path("a")).action == ""

    def test_names_in_a_folder(self, tmp_path: Path) -> None:
        """In order; none of what is no folder; one whose name the system does not take is an error."""
        for name in ("b", "a", "c"):
            (tmp_path / name).touch()

        assert disk.names_in(tmp_path) == ["a", "b", "c"]
        assert disk.names_in(tmp_path / "a") == disk.names_in(tmp_path / "none") == []
        path = tmp_path / ("x" * 300)
        with pytest.raises(StorageError) as caught:
            disk.names_in(path)
        what = f"{path} cannot be read: {os.strerror(errno.ENAMETOOLONG)}"
        assert facts(caught.value) == (StorageError, what, None, "Look at the disk.", path, errno.ENAMETOOLONG)

    def test_whether_anything_is_there(self, tmp_path: Path) -> None:
        """A file, a folder, nothing, nothing below a file; of a name that is too long nobody knows."""
        (tmp_path / "a").touch()
        for path, there in [(tmp_path, True), (tmp_path / "a", True), (tmp_path / "b", False)]:
            assert disk.is_there(path, at_home=False) is disk.exists(path) is there
            assert disk.is_file(path) is (path.name == "a")
        assert not disk.is_there(tmp_path / "a" / "b", at_home=True)
        path = tmp_path / ("x" * 300)
        with pytest.raises(StorageError) as caught:
            disk.is_there(path, at_home=True)
        what = f"{path} cannot be read: {os.strerror(errno.ENAMETOOLONG)}"
        assert facts(caught.value) == (StorageError, what, None, "Look at the disk.", path, errno.ENAMETOOLONG)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that every user may pass, with one in it that is its owner's alone."""
    with open_to_all() as folder:
        (folder / "closed" / "below").mkdir(parents=True)
        (folder / "closed" / "below" / "file").write_bytes(b"12345")
        (folder / "closed").chmod(0o700)
        yield folder


@needs_root
class TestOtherUsers:
    """The folder that is closed is named, and whom to ask."""

    def test_what_is_in_a_closed_folder_is_not_known(self, closed: Path) -> None:
        """The owner is named; by number, if no user has it; oneself is given the command."""
        path, folder = closed / "closed" / "below" / "file", closed / "closed"
        for uid, hint in [
            (0, "Ask its owner, root, for the right to"),
            (UNKNOWN, f"Ask its owner, user {UNKNOWN}, for the right to"),
            (NOBODY, f"Give yourself the right to: `chmod u+rwx {folder}`"),
        ]:
            os.chown(folder, uid, uid)
            folder.chmod(0o000)
            what = f"{folder} cannot be read: you may not read it"
            for at_home, other in [(False, "."), (True, f", or {HOME} of your own.")]:
                error = as_nobody(partial(disk.is_there, path, at_home=at_home))
                assert facts(error) == (StorageError, what, None, hint + other, folder, errno.EACCES)
        assert disk.is_there(path, at_home=True)
        assert as_nobody(lambda: disk.exists(path)) is False
        assert disk.exists(path)
        assert as_nobody(lambda: disk.device_of(path)) is None
        for ask in (as_nobody, lambda work: work()):
            assert ask(lambda: disk._closed_folder(closed / "none" / "below")) == closed / "none" / "below"
        os.chown(folder, 0, 0)
        assert disk._ask_owner(folder) == f"Give yourself the right to: `chmod u+rwx {folder}`"

    def test_what_cannot_be_listed(self, closed: Path) -> None:
        """With the same words as a file."""
        folder = closed / "closed"
        error = as_nobody(lambda: disk.names_in(folder))
        what, hint = f"{folder} cannot be read: you may not read it", "Ask its owner for the right to."
        assert facts(error) == (StorageError, what, None, hint, folder, errno.EACCES)

    def test_what_cannot_be_removed(self, closed: Path) -> None:
        """The folder in which nobody may write: that of the path, the path itself, or one below it."""
        own, deep = closed / "own", closed / "own" / "a" / "b"
        deep.mkdir(parents=True)
        (deep / "file").touch()
        for path in (own, own / "a", deep, deep / "file"):
            os.chown(path, NOBODY, NOBODY)
        ask = "Ask its owner, root, for the right to."
        give = f"Give yourself the right to: `chmod u+rwx {deep}`."
        sticky = closed / "sticky"
        sticky.mkdir()
        (sticky / "file").touch()
        sticky.chmod(0o1777)
        (closed / "open").mkdir()
        (closed / "open" / "file").touch()
        (closed / "open").chmod(0o777)
        deep.chmod(0o500)
        theirs = f"{sticky}/file cannot be removed: it is another user's"
        assert facts(as_nobody(lambda: disk.remove(sticky / "file"))) == (
            (StorageError, theirs, None, ask, sticky / "file", errno.EPERM)
        )
        for path, folder, hint in [
            (closed / "open", closed, ask),
            (own / "a", deep, give),
            (deep / "file", deep, give),
        ]:
            error = as_nobody(partial(disk.remove, path))
            what = f"{path} cannot be removed: you may not write in {folder}"
            assert facts(error) == (StorageError, what, None, hint, path, errno.EACCES)
        assert (deep / "file").exists()
        mine = disk._not_removed(oserror(errno.EACCES), closed)
        assert mine.what == f"{closed} cannot be removed: it is another user's"
        assert mine.hint == f"Give yourself the right to: `chmod u+rwx {closed}`."

    def test_what_may_be_changed(self, closed: Path) -> None:
        """What is not there yet, in a folder that takes files; what is there, if it may be written to."""
        (closed / "own").mkdir()
        os.chown(closed / "own", NOBODY, NOBODY)
        (closed / "own" / "theirs").touch()
        (closed / "own" / "dangling").symlink_to("nowhere")
        (closed / "loose").touch()
        (closed / "loose").chmod(0o666)
        new = closed / "own" / "new"
        cases = {
            (new,): True,
            (new, closed / "own" / "theirs"): False,
            (closed / "own" / "theirs", new): False,
            (closed / "loose",): False,
            (closed / "new",): False,
            (closed / "own" / "dangling",): False,
            (): True,
        }
        for paths, expected in cases.items():
            assert as_nobody(partial(disk._may_change, *paths)) is expected
        held = oserror(errno.EACCES, 5)
        words = "cannot be removed: another program has it open, or a file in it"
        assert disk._not_removed(held, closed / "loose").what == f"{closed}/loose {words}"
        assert disk._not_removed(oserror(errno.EIO, words="Bad"), closed).what == f"{closed} cannot be removed: Bad"

    def test_what_another_program_holds_is_tried_again(self, closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where files may be changed at both ends; else nobody waits. Windows has one number for both."""
        (closed / "own").mkdir()
        os.chown(closed / "own", NOBODY, NOBODY)

        def tries(module: Any, name: str, call: Callable[..., None], *paths: Path) -> int:
            calls, function = list[int](), getattr(module, name)

            def refuse_first(*what: Any, **more: Any) -> Any:
                calls.append(1)
                if len(calls) == 1:
                    raise oserror(errno.EACCES, 5)
                return function(*what, **more)

            monkeypatch.setattr(module, name, refuse_first)
            with contextlib.suppress(PermissionError):
                call(*paths)
            monkeypatch.undo()
            return len(calls)

        own, theirs = closed / "own", closed
        kinds: list[tuple[Any, str, Callable[..., None], list[tuple[Path, ...]], list[tuple[Path, ...]]]] = [
            (os, "replace", disk.replace, [(own, own)], [(own, theirs), (theirs, own)]),
            (os, "rename", disk.rename, [(own, own)], [(own, theirs), (theirs, own)]),
            (Path, "unlink", disk.unlink, [(own,)], [(theirs,)]),  # which Python 3.10 has bound before
            (shutil, "rmtree", disk.remove_folder, [(own,)], [(theirs,)]),
        ]
        for module, name, call, changed, kept in kinds:
            for folders in (*changed, *kept):
                paths = [folder / letter for folder, letter in zip(folders, "ab", strict=False)]
                for ask, expected in [(as_nobody, 2 if folders in changed else 1), (lambda work: work(), 2)]:
                    for path in (own / "a", own / "b", theirs / "a", theirs / "b"):
                        disk.remove(path)
                    paths[0].mkdir() if name in ("rename", "rmtree") else paths[0].touch()
                    os.chown(paths[0], NOBODY, NOBODY)
                    assert ask(partial(tries, module, name, call, *paths)) == expected, (name, folders)
        for make in (disk.storage_error, disk._not_removed):
            held = oserror(errno.EACCES, 5)
            assert "another program has it open" in make(held, own / "a").what
            where = "there" if make is disk.storage_error else f"in {theirs}"
            assert f"you may not write {where}" in as_nobody(partial(make, held, theirs / "a")).what


class TestRemoval:
    """The bytes that are free then; of a link, the link alone."""

    def test_what_is_freed(self, tmp_path: Path) -> None:
        """Of a file, of all below a folder, of a link its own; nothing of what is gone."""
        kept = tmp_path / "kept"
        (kept / "deep").mkdir(parents=True)
        (kept / "a").write_bytes(b"12")
        (kept / "deep" / "b").write_bytes(b"345")
        (tmp_path / "file").write_bytes(b"1234567")
        (tmp_path / "link").symlink_to("kept")
        (tmp_path / "copy").symlink_to("file")

        assert disk.bytes_below(kept) == 5
        assert [disk.remove(tmp_path / name) for name in ("link", "copy", "none")] == [4, 4, 0]
        assert [disk.remove(tmp_path / name) for name in ("file", "kept", "kept")] == [7, 5, 0]
        assert list(tmp_path.iterdir()) == []
        assert disk.bytes_below(kept) == 0
        with pytest.raises(FileNotFoundError):
            disk.unlink(kept)

    def test_what_is_below_a_file_is_an_error(self, tmp_path: Path) -> None:
        """Such as the system gives it."""
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "below"
        with pytest.raises(StorageError) as caught:
            disk.remove(path)
        what = f"{path} cannot be removed: the file {tmp_path}/file is in the way of a folder"
        assert facts(caught.value) == (StorageError, what, None, "Move it out of the way.", path, errno.ENOTDIR)


class TestLinks:
    """One at or above a folder of ours is somebody's trap; above the cache they are people's own."""

    def test_the_first_one_of_ours_is_found(self, tmp_path: Path) -> None:
        """From the folder upwards to the cache itself, and no further."""
        (tmp_path / "disk").mkdir()
        (tmp_path / "home").symlink_to("disk")
        home = tmp_path / "home"
        for kind in ("arrays", "entries", "locks"):
            assert disk.find_link(home / ".cache" / kind / "a" / "b") is None
        assert disk.find_link(home) is None
        (home / ".cache" / "arrays").mkdir(parents=True)
        (home / ".cache" / "arrays" / "a").symlink_to(tmp_path)
        assert disk.find_link(home / ".cache" / "arrays" / "a") == home / ".cache" / "arrays" / "a"
        (home / ".cache" / "locks").symlink_to(tmp_path)
        assert disk.find_link(home / ".cache" / "locks") == home / ".cache" / "locks"
        assert disk.find_link(home / ".cache" / "locks" / "a") == home / ".cache" / "locks"
        assert disk.find_link(home / ".cache" / "other" / "a") is None
        (tmp_path / "arrays").symlink_to("disk")
        assert disk.find_link(tmp_path / "arrays" / "a") is None
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / ".cache").symlink_to(home / ".cache")
        assert disk.find_link(tmp_path / "two" / ".cache" / "entries" / "a") == tmp_path / "two" / ".cache"
        # A cache in a folder of the name of ours, and one in a cache.
        assert disk.find_link(tmp_path / "two" / ".cache" / "x" / ".cache" / "entries") is None

    def test_a_folder_is_not_made_through_one(self, tmp_path: Path) -> None:
        """And none is left where it leads."""
        (tmp_path / ".cache").mkdir()
        (tmp_path / "elsewhere").mkdir()
        link = tmp_path / ".cache" / "arrays"
        link.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StorageError) as caught:
            disk.make_folder(link / "a")
        assert facts(caught.value) == (StorageError, f"{link}: {LINK}", None, UNLINK, link, errno.ELOOP)
        assert list((tmp_path / "elsewhere").iterdir()) == []
        disk.make_folder(tmp_path / "x" / "y")
        disk.make_folder(tmp_path / "x" / "y")
        assert (tmp_path / "x" / "y").is_dir()
        (tmp_path / "file").touch()
        for at_home, more in [(False, ""), (True, f", or {HOME} elsewhere")]:
            with pytest.raises(StorageError) as caught:
                disk.make_folder(tmp_path / "file", at_home=at_home)
            assert caught.value.hint == f"Move it out of the way{more}."

    def test_a_path_below_a_folder_of_ours(self, tmp_path: Path) -> None:
        """The folder itself may be a link; nothing below it, the last part included."""
        (tmp_path / "real" / "a").mkdir(parents=True)
        (tmp_path / "ours").symlink_to("real")
        (tmp_path / "real" / "link").symlink_to("a")
        (tmp_path / "real" / "a" / "link").symlink_to("..")
        ours = tmp_path / "ours"
        disk.check_no_link(ours / "a" / "b", ours)
        for path, link in [("link/b", "link"), ("a/link", "a/link"), ("link", "link"), ("a/link/a/link", "a/link")]:
            with pytest.raises(StorageError) as caught:
                disk.check_no_link(ours / path, ours)
            assert caught.value.what == f"{ours / link}: {LINK}"


class TestWriting:
    """A file is there whole, or as it was."""

    def test_it_appears_when_it_is_complete(self, tmp_path: Path) -> None:
        """Until then it is beside it, under a hidden name of its own; nothing is left of one that failed."""
        path = tmp_path / "new" / "file"
        with disk.whole_file(path) as out:
            out.write(b"first")
            (aside,) = path.parent.iterdir()
            assert re.fullmatch(r"\.file\.[0-9a-f]{8}\.part", aside.name)
        assert path.read_bytes() == b"first"

        def fail_in_the_middle() -> None:
            with disk.whole_file(path) as out:
                out.write(b"second")
                raise KeyError

        with pytest.raises(KeyError):
            fail_in_the_middle()
        assert [(one.name, one.read_bytes()) for one in path.parent.iterdir()] == [("file", b"first")]
        disk.write_if_possible(path, b"third")
        disk.write_if_possible(path / "below", b"fourth")
        assert path.read_bytes() == disk.read_file(path) == b"third"
        assert disk.bytes_of(path) == 5
        with pytest.raises(StorageError) as caught, disk.whole_file(path.parent) as out:
            out.write(b"fifth")
        assert facts(caught.value)[1:] == (
            (
                f"{path.parent} cannot be written: what is there is no file",
                None,
                "Move it out of the way.",
                path.parent,
                errno.EISDIR,
            )
        )

    def test_what_is_no_file_is_neither_read_nor_waited_for(self, tmp_path: Path) -> None:
        """A folder, and a pipe that nobody writes to."""
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "folder").mkdir()
        for name in ("pipe", "folder"):
            with pytest.raises(IsADirectoryError) as caught:
                disk.bytes_of(tmp_path / name)
            assert (caught.value.errno, caught.value.strerror) == (errno.EISDIR, os.strerror(errno.EISDIR))
            with pytest.raises(IsADirectoryError, match="it is no regular file"):
                disk.read_file(tmp_path / name)

    def test_a_file_of_ours_is_opened_safely(self, tmp_path: Path) -> None:
        """For reading and writing, for no child process; made if it is missing, as the mask has it; through no link."""
        path, other = tmp_path / "file", tmp_path / "other"
        mask = os.umask(0o020)
        try:
            fd = disk.open_safely(path)
        finally:
            os.umask(mask)
        assert os.write(fd, b"abc") == 3
        assert os.pread(fd, 3, 0) == b"abc"
        assert not os.get_inheritable(fd)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
        os.close(fd)
        assert stat.S_IMODE(path.stat().st_mode) == 0o646
        os.close(disk.open_safely(path))
        assert path.read_bytes() == b"abc"

        os.link(path, other)
        os.close(disk.open_safely(path, os.O_TRUNC))
        assert (path.read_bytes(), other.read_bytes()) == (b"", b"abc")
        (tmp_path / "link").symlink_to("other")
        for flags in (0, os.O_TRUNC):
            with pytest.raises(StorageError) as caught:
                disk.open_safely(tmp_path / "link", flags)
            assert caught.value.what == f"{tmp_path}/link: {LINK}"
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(IsADirectoryError) as refused:
            disk.open_safely(tmp_path / "pipe")
        assert (refused.value.errno, refused.value.strerror, refused.value.filename) == (
            (errno.EISDIR, os.strerror(errno.EISDIR), str(tmp_path / "pipe"))
        )
        os.close(disk.open_safely(tmp_path / "pipe", os.O_TRUNC))
        assert (tmp_path / "pipe").read_bytes() == b""
        os.close(disk.open_safely(tmp_path / "missing", os.O_TRUNC))
        assert (tmp_path / "missing").is_file()

    def test_a_file_of_others_is_only_read(self, tmp_path: Path) -> None:
        """Through no link, not made, and not written to."""
        (tmp_path / "file").write_bytes(b"abc")
        (tmp_path / "link").symlink_to("file")
        fd = disk.open_to_read(tmp_path / "file")
        assert os.read(fd, 9) == b"abc"
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        assert not os.get_inheritable(fd)
        os.close(fd)
        for name, number in [("link", errno.ELOOP), ("none", errno.ENOENT)]:
            with pytest.raises(OSError, match=name) as caught:
                disk.open_to_read(tmp_path / name)
            assert caught.value.errno == number
        assert not (tmp_path / "none").exists()

    def test_the_disk_of_a_path(self, tmp_path: Path) -> None:
        """Of one that is there, and of one that will be: that of the nearest folder above."""
        (tmp_path / "file").touch()
        for path in (tmp_path, tmp_path / "file", tmp_path / "a" / "b", tmp_path / "file" / "below"):
            assert disk.device_of(path) == tmp_path.stat().st_dev

    def test_what_is_flushed_has_left_the_buffer(self, tmp_path: Path) -> None:
        """Of a file that Python buffers, and of a descriptor."""
        with (tmp_path / "a").open("wb") as out:
            out.write(b"values")
            disk.flush(out)
            assert (tmp_path / "a").read_bytes() == b"values"
            disk.flush(out.fileno())
        with pytest.raises(OSError, match="descriptor"):
            disk.flush(99_999)
