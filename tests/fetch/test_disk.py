"""What is here is left alone, what cannot be written is said, and nothing is written through a link."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.helpers.faulty_server import FaultyServer, serve, sha256, until
from tinytorch_datasets.errors import FetchError, HashMismatch, OfflineError, StorageError
from tinytorch_datasets.fetch import fetch, library_folders
from tinytorch_datasets.fetch.partial import BackgroundSync, PartialFile
from tinytorch_datasets.plan import File

ROOT = Path(__file__).resolve().parents[2]
DATA = random.Random(7).randbytes(500_000)
HINT = "set TINYTORCH_DATASETS_HOME to a folder"


def declared_file(*urls: str, name: str = "points.bin", data: bytes = DATA) -> File:
    """What a manifest would declare."""
    return File(name=name, bytes=len(data), sha256=sha256(data), urls=urls, where="datasets.yaml:7")


class Place:
    """A downloads folder with one data set in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.into = root, root / "downloads" / "points"
        self.result: list[tuple[str, int, int]] = []

    def fetch(
        self, *files: File, offline: bool = False, mirror: str | None = None, reuse_from: tuple[Path, ...] = ()
    ) -> list[File]:
        """Fetch."""
        fetched = fetch(
            files,
            self.into,
            folder="points",
            offline=offline,
            mirror=mirror,
            locks=self.root / "downloads" / ".cache" / "locks",
            progress=lambda *result: self.result.append(result),
            dataset="points",
            reuse_from=reuse_from,
        )
        return [one.file for one in fetched]

    def put(self, path: str, data: bytes = DATA) -> Path:
        """Write a file below the root."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty downloads folder."""
    return Place(tmp_path)


class TestWhatIsHere:
    """A file at its declared size is left alone; one at another size is refused, never overwritten."""

    def test_no_socket_is_opened(self, place: Place, no_network: None) -> None:
        """All files are here: nothing is brought, nothing is reported."""
        place.put("downloads/points/points.bin")

        assert place.fetch(declared_file("http://127.0.0.1:9/never")) == []
        assert place.result == []

    def test_nothing_is_hashed(self, place: Place) -> None:
        """Whether the bytes are right is the next stage's question."""
        place.put("downloads/points/points.bin", b"\0" * len(DATA))

        assert place.fetch(declared_file("http://127.0.0.1:9/never")) == []

    def test_nothing_heavy_is_imported(self, place: Place) -> None:
        """Neither by importing fetch nor by calling it when all is here."""
        place.put("downloads/points/points.bin")
        code = (
            "import sys; from pathlib import Path\n"
            "from tinytorch_datasets.fetch import fetch\n"
            "from tinytorch_datasets.plan import File\n"
            f"fetch([File('points.bin', {len(DATA)}, '0' * 64)], Path('downloads/points'), folder='points',\n"
            "      locks=Path('locks'))\n"
            "print(sorted({'pooch', 'requests', 'urllib3', 'filelock', 'ssl', 'http'} & set(sys.modules)))\n"
        )
        child = [sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}

        out = subprocess.run(child, cwd=place.root, env=environment, check=True, capture_output=True, text=True).stdout

        assert out == "[]\n"

    def test_another_size_is_refused(self, place: Place) -> None:
        """Both sizes are reported, and the file is not touched."""
        path = place.put("downloads/points/points.bin", DATA[:-1])

        with pytest.raises(HashMismatch) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never"))

        assert str(caught.value) == (
            f"{path} is not the declared file: it has 499,999 bytes, declared are 500,000\n"
            "  declared at datasets.yaml:7\n"
            "  Delete it and run `tinytorch-datasets get points`; if it happens again, report the mirror."
        )
        assert (caught.value.expected, caught.value.actual, caught.value.path) == (500_000, 499_999, path)
        assert path.read_bytes() == DATA[:-1]

    def test_a_git_lfs_pointer_is_named(self, place: Place) -> None:
        """Somebody's clone without LFS was copied here."""
        path = place.put("downloads/points/points.bin", b"version https://git-lfs.github.com/spec/v1\nsize 500000\n")

        with pytest.raises(HashMismatch) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never"))

        assert str(caught.value) == (
            f"{path} is a Git LFS pointer, not the file itself\n  declared at datasets.yaml:7\n  Run `git lfs pull`."
        )

    def test_only_what_is_missing_comes(self, server: FaultyServer, place: Place) -> None:
        """And only that is returned, for the loader to trust."""
        place.put("downloads/points/a.bin")
        here, missing = (
            declared_file(server.at("/a", serve(DATA)), name="a.bin"),
            declared_file(server.at("/b", serve(DATA))),
        )

        assert place.fetch(here, missing) == [missing]
        assert [request.path for request in server.log] == ["/b"]

    def test_an_empty_file_can_be_declared(self, server: FaultyServer, place: Place) -> None:
        """An empty file can be declared, too, and needs no network."""
        file = declared_file(server.at("/f", serve(b"")), data=b"")

        assert place.fetch(file) == [file]
        assert (place.into / "points.bin").read_bytes() == b""


class TestRoomAndRights:
    """A disk that refuses is named, with the path and the hint, before the first byte if that can be known."""

    def test_too_large_for_the_disk(self, server: FaultyServer, place: Place) -> None:
        """Nothing is asked for that would not fit."""
        url = server.at("/f", serve(DATA))
        huge = File(name="huge.bin", bytes=10**18, sha256="0" * 64, urls=(url,))

        with pytest.raises(StorageError) as caught:
            place.fetch(huge)

        first, hint = str(caught.value).splitlines()
        free = f"{place.into}: 1,000,000,000,000,000,000 bytes are still to come, and the disk has room for "
        assert first.startswith(free)
        assert hint == f"  Free some room, or {HINT} on a larger disk."
        assert server.log == []
        assert caught.value.errno == errno.ENOSPC

    def test_too_large_once_it_is_decoded(self, server: FaultyServer, tmp_path: Path) -> None:
        """The arrays that will be made of it count as well, before a byte is asked for."""
        url = server.at("/f", serve(DATA))

        with pytest.raises(StorageError) as caught:
            fetch([declared_file(url)], tmp_path / "x", folder="x", locks=tmp_path, reuse_from=(), extra_bytes=10**18)

        decoded = "1,000,000,000,000,000,000 bytes of arrays will be decoded from them"
        first = f"{tmp_path}/x: 500,000 bytes are still to come and {decoded}, and the disk has room for "
        assert str(caught.value).startswith(first)
        assert server.log == []

    def test_what_is_to_come_is_reported_before_it_comes(
        self, server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """On stderr, above the lines of the files: to download, to decode, and the room for it."""
        url = server.at("/f", serve(DATA))
        fetch([declared_file(url)], tmp_path / "x", folder="x", locks=tmp_path, reuse_from=(), extra_bytes=2_000_000)

        header, *lines = capsys.readouterr().err.splitlines()
        assert header.startswith("x: 500 kB to download, 2.0 MB to decode, ")
        assert header.endswith(" free")
        assert lines == ["points.bin: fetching 500 kB"]

    def test_a_file_in_place_of_the_folder(self, place: Place) -> None:
        """It is not overwritten."""
        place.put("downloads/points", b"mine")

        with pytest.raises(StorageError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never"))

        assert str(caught.value) == (
            f"{place.into} cannot be written: a file is in the way of a folder\n"
            f"  Move it out of the way, or {HINT} elsewhere."
        )

    def test_a_file_in_place_of_a_folder_above(self, place: Place) -> None:
        """It is named: it is not the one that was to be written."""
        path = place.put("downloads", b"mine")

        with pytest.raises(StorageError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never"))

        assert str(caught.value) == (
            f"{place.into} cannot be written: the file {path} is in the way of a folder\n"
            f"  Move it out of the way, or {HINT} elsewhere."
        )

    def test_a_folder_in_place_of_the_file(self, place: Place) -> None:
        """It is no file, and nobody knows whose it is."""
        (place.into / "points.bin").mkdir(parents=True)

        with pytest.raises(StorageError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never"))

        assert str(caught.value) == (
            f"{place.into}/points.bin cannot be read: what is there is no file\n"
            "  declared at datasets.yaml:7\n"
            "  Move it out of the way."
        )

    def test_a_folder_in_place_of_the_part(self, place: Place) -> None:
        """Nothing can be written there."""
        (place.into / "points.bin.part").mkdir(parents=True)

        with pytest.raises(StorageError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never"))

        assert str(caught.value) == (
            f"{place.into}/points.bin.part cannot be written: what is there is no file\n  Move it out of the way."
        )

    def test_a_pipe_in_place_of_the_part(self, place: Place) -> None:
        """Opening it must not wait for someone to write."""
        place.into.mkdir(parents=True)
        os.mkfifo(place.into / "points.bin.part")

        with pytest.raises(StorageError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never"))

        assert str(caught.value) == (
            f"{place.into}/points.bin.part cannot be written: what is there is no file\n  Move it out of the way."
        )

    @pytest.mark.parametrize("name", ["../points.bin", "/points.bin", "a/../../points.bin", "..", "", "a\\b"])
    def test_a_name_that_leaves_the_folder(self, name: str, place: Place) -> None:
        """The manifest refuses it too; here is the second lock on the same door."""
        with pytest.raises(StorageError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never", name=name))

        assert str(caught.value) == (
            f"{name!r}: a file's name may not leave its folder\n  Correct the name in the manifest."
        )

    def test_no_permission(self, server: FaultyServer) -> None:
        """Someone else's folder, for a user who is not root."""
        root = Path(tempfile.mkdtemp())
        try:
            (root / "downloads").mkdir(mode=0o555)
            root.chmod(0o755)
            result = child(NO_ROOT, root, declared_file(server.at("/f", serve(DATA))))
        finally:
            shutil.rmtree(root)

        assert result == (
            f"StorageError: {root}/downloads/points cannot be written: you may not write there\n"
            f"  Ask its owner for the right to, or {HINT} of your own.\n"
        )

    def test_a_read_only_file_system(self, server: FaultyServer, tmp_path: Path) -> None:
        """A shared copy that is mounted read-only."""
        in_a_namespace()
        (tmp_path / "downloads").mkdir()
        mount = f"subprocess.run(['mount', '-t', 'tmpfs', '-o', 'ro', 'none', '{tmp_path}/downloads'], check=True)"

        result = child(mount, tmp_path, declared_file(server.at("/f", serve(DATA))), *NAMESPACE)

        assert result == (
            f"StorageError: {tmp_path}/downloads/points cannot be written: the file system is read-only\n"
            f"  Make it writable, or {HINT} that is.\n"
        )

    def test_a_folder_on_a_read_only_file_system(self, server: FaultyServer, tmp_path: Path) -> None:
        """Said of the folder that is there already, too."""
        in_a_namespace()
        (tmp_path / "downloads" / "points").mkdir(parents=True)
        at = tmp_path / "downloads"
        mount = f"for how in (['--bind', '{at}', '{at}'], ['-o', 'remount,bind,ro', '{at}']):\n"
        mount += "    subprocess.run(['mount', *how], check=True)"

        result = child(mount, tmp_path, declared_file(server.at("/f", serve(DATA))), *NAMESPACE)

        assert result == (
            f"StorageError: {tmp_path}/downloads/points cannot be written: the file system is read-only\n"
            f"  Make it writable, or {HINT} that is.\n"
        )

    def test_a_disk_that_fills_up_meanwhile(self, server: FaultyServer, tmp_path: Path) -> None:
        """There was room before the first byte, and then someone else took it."""
        in_a_namespace()
        (tmp_path / "downloads").mkdir()
        mount = (
            f"subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', '{tmp_path}/downloads'], check=True)\n"
            "def progress(*_):\n"
            f"    with suppress(OSError), open('{tmp_path}/downloads/other', 'wb') as other: other.write(bytes(2**20))"
        )

        result = child(mount, tmp_path, declared_file(server.at("/f", serve(DATA))), *NAMESPACE)

        assert result == (
            f"StorageError: {tmp_path}/downloads/points/points.bin.part cannot be written: "
            "the disk is full, or your share of it is\n"
            f"  Free some room, or {HINT} on a larger disk.\n"
        )


class TestLinks:
    """Nothing is written through a symbolic link at or below the data set's folder."""

    def refusal(self, place: Place, at: Path, name: str = "points.bin") -> None:
        """The error that names the link."""
        with pytest.raises(StorageError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/never", name=name))
        assert str(caught.value) == (
            f"{at}: this is a symbolic link, and nothing is written through it\n"
            f"  Delete the link; to keep the data elsewhere, {HINT} there."
        )

    def test_at_the_target(self, place: Place) -> None:
        """A link to nowhere, that a write would make a file of."""
        place.into.mkdir(parents=True)
        (place.into / "points.bin").symlink_to(place.root / "elsewhere")

        self.refusal(place, place.into / "points.bin")
        assert not (place.root / "elsewhere").exists()

    def test_at_the_part(self, place: Place) -> None:
        """A link to something precious."""
        precious = place.put("precious/file", b"precious")
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").symlink_to(precious)

        self.refusal(place, place.into / "points.bin.part")
        assert precious.read_bytes() == b"precious"

    def test_at_the_note(self, server: FaultyServer, place: Place) -> None:
        """The note beside the part is a file of ours as well."""
        precious = place.put("precious", b"precious")
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part.json").symlink_to(precious)

        with pytest.raises(StorageError):
            place.fetch(declared_file(server.at("/f", serve(DATA))))
        assert precious.read_bytes() == b"precious"

    def test_at_the_folder(self, place: Place) -> None:
        """The data set's folder itself."""
        (place.root / "elsewhere").mkdir()
        place.into.parent.mkdir()
        place.into.symlink_to(place.root / "elsewhere")

        self.refusal(place, place.into)

    def test_at_a_folder_below(self, place: Place) -> None:
        """A folder inside it."""
        (place.root / "elsewhere").mkdir()
        place.into.mkdir(parents=True)
        (place.into / "splits").symlink_to(place.root / "elsewhere")

        self.refusal(place, place.into / "splits", name="splits/points.bin")

    def test_above_the_folder_links_are_welcome(self, server: FaultyServer, place: Place) -> None:
        """That is how people move their downloads to another disk."""
        (place.root / "large disk").mkdir()
        place.into.parent.symlink_to(place.root / "large disk")

        place.fetch(declared_file(server.at("/f", serve(DATA))))

        assert (place.root / "large disk" / "points" / "points.bin").read_bytes() == DATA

    def test_a_part_that_is_hard_linked_is_not_appended_to(self, server: FaultyServer, place: Place) -> None:
        """It is someone else's file as well."""
        precious = place.put("precious", DATA[:1000])
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").hardlink_to(precious)

        place.fetch(declared_file(server.at("/f", serve(DATA))))

        assert precious.read_bytes() == DATA[:1000]
        assert (place.into / "points.bin").read_bytes() == DATA


class TestFoundBeforeFetched:
    """What another library keeps already is not fetched again."""

    def test_by_its_bytes_whatever_its_name(self, place: Place, no_network: None) -> None:
        """Keras has a name of its own for CIFAR-10. The file is linked, not copied."""
        kept = place.put("keras/datasets/another-name.tar.gz")
        file = declared_file("http://127.0.0.1:9/never")

        assert place.fetch(file, reuse_from=(place.root / "keras",)) == [file]

        assert (place.into / "points.bin").samefile(kept)
        assert place.result == [("points.bin", 500_000, 500_000)]

    def test_offline_too(self, place: Place, no_network: None) -> None:
        """A disk is no network."""
        place.put("keras/points.bin")

        assert place.fetch(declared_file(), reuse_from=(place.root / "keras",), offline=True)

    def test_the_size_alone_is_not_enough(self, server: FaultyServer, place: Place) -> None:
        """Other bytes of the same size are left where they are."""
        other = place.put("keras/points.bin", b"\0" * len(DATA))

        place.fetch(declared_file(server.at("/f", serve(DATA))), reuse_from=(place.root / "keras",))

        assert (place.into / "points.bin").read_bytes() == DATA
        assert other.read_bytes() == b"\0" * len(DATA)

    def test_copied_where_no_link_can_be(self, place: Place) -> None:
        """Another file system: /dev/shm is one, as seen from /tmp, and the other way round."""
        others = [Path("/dev/shm"), Path("/tmp")]
        another = next((it for it in others if it.is_dir() and it.stat().st_dev != place.root.stat().st_dev), None)
        if another is None:
            pytest.skip("there is no second file system here")
        folder = Path(tempfile.mkdtemp(dir=another))
        try:
            (folder / "kept").write_bytes(DATA)
            place.fetch(declared_file(), reuse_from=(folder,))
            assert (place.into / "points.bin").read_bytes() == DATA
        finally:
            shutil.rmtree(folder)

    @pytest.mark.skipif(os.name == "nt", reason="no mode says there who may write to a file")
    def test_copied_where_others_may_write_to_it(self, place: Place) -> None:
        """As in a `data` of a folder that all may write to: by a map of it they could change what was hashed."""
        kept = place.put("data/points.bin")
        kept.chmod(0o666)

        place.fetch(declared_file(), reuse_from=(place.root / "data",))

        assert not (place.into / "points.bin").samefile(kept)
        assert (place.into / "points.bin").read_bytes() == DATA

    @pytest.mark.skipif(os.name == "nt", reason="no mode says there who may write to a file")
    def test_nor_is_a_part_taken_that_is_such_a_file(self, place: Place, server: FaultyServer) -> None:
        """Whole and right as it is: whoever linked it there may write to it by its other name."""
        theirs = place.put("theirs")
        theirs.chmod(0o666)
        place.into.mkdir(parents=True)
        (place.into / "points.bin.part").hardlink_to(theirs)

        place.fetch(declared_file(server.at("/f", serve(DATA))))

        assert not (place.into / "points.bin").samefile(theirs)
        assert (place.into / "points.bin").read_bytes() == theirs.read_bytes() == DATA

    def test_a_read_only_file_of_another_library(self) -> None:
        """It is linked all the same, by a user whom its mode does bind."""
        root = Path(tempfile.mkdtemp())
        try:
            root.chmod(0o777)
            first = (
                'kept = Path("keras/points.bin"); kept.parent.mkdir(); kept.write_bytes(bytes(9)); kept.chmod(0o444)'
            )
            result = child(f"{NO_ROOT}\nos.chdir({str(root)!r}); {first}", root, declared_file(data=bytes(9)))

            assert result == ""
            assert (root / "downloads/points/points.bin").samefile(root / "keras/points.bin")
            assert sorted(path.name for path in (root / "downloads/points").iterdir()) == ["points.bin"]
        finally:
            shutil.rmtree(root)

    @pytest.mark.parametrize("size", [5, 9])
    def test_a_part_that_may_not_be_written(self, size: int, server: FaultyServer) -> None:
        """Begun anew if there is more to come, and used as it is if it is whole; in either case the file comes."""
        root = Path(tempfile.mkdtemp())
        try:
            root.chmod(0o777)
            first = 'part = Path("downloads/points/points.bin.part"); part.parent.mkdir(parents=True)'
            first += f"; part.write_bytes(bytes({size})); part.chmod(0o444)"
            url = server.at("/f", serve(bytes(9)))
            result = child(f"{NO_ROOT}\nos.chdir({str(root)!r}); {first}", root, declared_file(url, data=bytes(9)))

            assert result == ""
            assert (root / "downloads/points/points.bin").read_bytes() == bytes(9)
            assert server.sent("/f") == (9 if size < 9 else 0)
        finally:
            shutil.rmtree(root)

    def test_our_own_part_is_no_copy_of_anyone(self, server: FaultyServer, place: Place) -> None:
        """Not even where a place holds our downloads, and the part is complete and wrong."""
        place.put("downloads/points/points.bin.part", b"\0" * len(DATA))

        place.fetch(declared_file(server.at("/f", serve(DATA))), reuse_from=(place.root / "downloads",))

        assert (place.into / "points.bin").read_bytes() == DATA

    def test_the_usual_places(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each library's own folder, moved by its own variable."""
        monkeypatch.setenv("HOME", "/home/ada")

        assert [str(path) for path in library_folders({})] == [
            "/home/ada/.keras/datasets",
            "/home/ada/scikit_learn_data",
            "data",
            "/home/ada/data",
        ]
        moved = library_folders({"KERAS_HOME": "/k", "SCIKIT_LEARN_DATA": "~/s"})
        assert [str(path) for path in moved[:2]] == ["/k/datasets", "/home/ada/s"]


class TestOffline:
    """Offline, no socket is opened, ever, and what is missing is named."""

    def test_all_that_is_missing_is_named(self, place: Place, no_network: None) -> None:
        """Each file with its size, and the command that would fetch them."""
        place.put("downloads/points/here.bin")
        files = [declared_file("http://127.0.0.1:9/f", name=name) for name in ("here.bin", "a.bin", "splits/b.bin")]

        with pytest.raises(OfflineError) as caught:
            place.fetch(*files, offline=True, mirror="http://127.0.0.1:9")

        assert str(caught.value) == (
            "2 files of points are not here, and offline nothing is fetched:\n"
            "  a.bin, 500,000 bytes\n"
            "  splits/b.bin, 500,000 bytes\n"
            "  declared at datasets.yaml:7\n"
            f"  Run `tinytorch-datasets get points` where there is a network, or put them into {place.into}."
        )
        assert caught.value.missing == (("a.bin", 500_000), ("splits/b.bin", 500_000))
        assert isinstance(caught.value, FetchError)

    def test_where_no_folder_could_be_made(self, place: Place, no_network: None) -> None:
        """What is missing is the reason; that its folder could not be made is no matter, and none is made."""
        (place.root / "downloads").write_bytes(b"a file in the way")

        with pytest.raises(OfflineError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/f"), offline=True, mirror=str(place.root))

        assert caught.value.what.startswith("1 file of points is not here")
        assert caught.value.network_failed

    def test_one_file(self, place: Place, no_network: None) -> None:
        """The same, of one."""
        with pytest.raises(OfflineError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/f"), offline=True)

        assert str(caught.value) == (
            "1 file of points is not here, and offline nothing is fetched:\n"
            "  points.bin, 500,000 bytes\n"
            "  declared at datasets.yaml:7\n"
            f"  Run `tinytorch-datasets get points` where there is a network, or put it into {place.into}."
        )

    def test_a_folder_that_is_not_there_is_named(self, place: Place, no_network: None) -> None:
        """Its name may be misspelt, and with the right one the files may come."""
        with pytest.raises(OfflineError) as caught:
            place.fetch(
                declared_file("http://127.0.0.1:9/f"), declared_file(name="b.bin"), offline=True, mirror="/nope"
            )

        assert str(caught.value) == (
            "2 files of points are not here, and offline nothing is fetched:\n"
            "  points.bin, 500,000 bytes\n"
            "  b.bin, 500,000 bytes\n"
            "  /nope: there is no such folder\n"
            "  declared at datasets.yaml:7\n"
            "  Name a folder that is there as the mirror. Or run `tinytorch-datasets get points` where there is a "
            f"network, or put them into {place.into}."
        )

    def test_a_wrong_file_on_the_named_folder(self, place: Place, no_network: None) -> None:
        """What was found there, and why it was refused."""
        place.put("stick/points/points.bin", DATA[:9])
        stick = str(place.root / "stick")

        with pytest.raises(OfflineError) as caught:
            place.fetch(declared_file("http://127.0.0.1:9/f"), declared_file(name="b.bin"), offline=True, mirror=stick)

        reason = "has a file of 9 bytes, not 500,000: a shorter file"
        assert str(caught.value).splitlines()[1:4] == [
            "  points.bin, 500,000 bytes",
            f"    {stick}/points/points.bin: {reason}",
            "  b.bin, 500,000 bytes",
        ]
        assert caught.value.tried == ((f"{stick}/points/points.bin", reason),)
        assert not caught.value.network_failed

    def test_other_bytes_on_the_named_folder(self, place: Place, no_network: None) -> None:
        """Both digests, for the entry may be wrong."""
        other = bytes(len(DATA))
        place.put("stick/points/points.bin", other)
        stick = str(place.root / "stick")

        with pytest.raises(OfflineError) as caught:
            place.fetch(declared_file(), offline=True, mirror=stick)

        lines = str(caught.value).splitlines()
        assert lines[2].startswith(f"    {stick}/points/points.bin: sends other bytes than the declared ones")
        assert lines[3:5] == [
            f"    sha256 of what came: {sha256(other)}",
            f"    sha256 declared:     {sha256(DATA)}",
        ]
        assert lines[6].startswith("  The entry may be wrong: compare its sha256 with the publisher's. Run `")

    def test_a_folder_mirror_may_be_used(self, place: Place, no_network: None) -> None:
        """A USB stick is no network; what it has is brought before the rest is named."""
        place.put("stick/points/a.bin")
        files = [declared_file("http://127.0.0.1:9/f", name=name) for name in ("a.bin", "b.bin")]

        with pytest.raises(OfflineError) as caught:
            place.fetch(*files, offline=True, mirror=str(place.root / "stick"))

        assert caught.value.missing == (("b.bin", 500_000),)
        assert (place.into / "a.bin").read_bytes() == DATA


NO_ROOT = "if os.geteuid() == 0: os.setuid(65534)"
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def in_a_namespace() -> None:
    """Skip where a user may not mount a file system of their own."""
    able = shutil.which("unshare") and subprocess.run(
        [*NAMESPACE, "sh", "-c", f"mount -t tmpfs none {tempfile.gettempdir()}"], capture_output=True, check=False
    )
    if not able or able.returncode:
        pytest.skip("no user namespaces here")


def child(first: str, root: Path, file: File, *under: str) -> str:
    """Do something first and then fetch, in a process of its own. Returns the error as the process tells it."""
    code = f"""
import json, os, subprocess, sys
from contextlib import suppress
from pathlib import Path
from tinytorch_datasets.fetch import fetch
import tinytorch_datasets.fetch.download
from tinytorch_datasets.plan import File
import filelock, pooch, requests
def progress(*_): pass
{first}
file = json.loads(sys.argv[1])
root = Path({str(root)!r})
try:
    fetch([File(**{{**file, "urls": tuple(file["urls"])}})], root / "downloads" / "points", folder="points",
          locks=root / "locks", progress=progress, reuse_from=(root / "keras",))
except Exception as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""
    command = [*under, sys.executable, "-c", code, json.dumps(asdict(file))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, cwd="/").stdout


class TestLarge:
    """A file that is hashed while it comes is the declared one, or is not taken."""

    RIGHT = b"0123456789abcdef" * (1 << 17) + b"end"

    def test_other_bytes_are_refused_and_those_that_follow_taken(self, place: Place) -> None:
        """From the start, resumed, and after all was dropped; also where another process wrote to the part."""
        file = File("large.bin", len(self.RIGHT), sha256(self.RIGHT))
        part = place.root / "large.bin.part"
        for there in (b"", self.RIGHT[:1_000_000], b"-" * 1_000_000):
            part.write_bytes(there)
            with PartialFile(part, file) as partial:
                for start in range(len(there), file.bytes, 1 << 19):
                    partial.write(self.RIGHT[start : start + (1 << 19)])
                assert partial.matches() is (there[:1] != b"-")
                assert partial.sha256 == sha256(there + self.RIGHT[len(there) :])
        part.unlink()
        with PartialFile(part, file) as partial:
            partial.write(self.RIGHT[:-3])
            with part.open("r+b") as other:
                other.write(b"-")
            os.utime(part, ns=(0, 0))
            partial.write(b"end")
            assert not partial.matches()
            partial.drop()
            partial.write(self.RIGHT)
            assert partial.matches()
            partial.move_into_place(place.root / "large.bin")

        assert (place.root / "large.bin").read_bytes() == self.RIGHT

    @pytest.mark.skipif(os.name == "nt", reason="what is open cannot be removed there")
    def test_a_part_that_was_removed_meanwhile(self, place: Place) -> None:
        """By somebody who cleans up: an error, and no empty file of that name."""
        part = place.root / "large.bin.part"
        with PartialFile(part, File("large.bin", len(self.RIGHT), sha256(self.RIGHT))) as partial:
            partial.write(self.RIGHT[:-3])
            until(lambda: partial._growing is not None and partial._growing.hashed > 0)  # it has it open
            part.unlink()
            partial.write(b"end")
            assert partial.matches()
            with pytest.raises(StorageError, match=r"large\.bin\.part cannot be written: No such file or directory"):
                partial.move_into_place(place.root / "large.bin")

        assert not list(place.root.glob("large.bin*"))


class TestWhatTheDiskLost:
    """A system says once that the disk did not take some bytes, which can still be read, until a power cut."""

    @pytest.mark.skipif(os.name == "nt", reason="there, nothing is synced while it comes")
    @pytest.mark.parametrize("megabytes", [0.1, 2, 17])
    def test_they_are_not_taken_for_those_on_disk(
        self, megabytes: float, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the next fetch, whose own sync would succeed: by a descriptor, beside the hashing, and while it comes."""
        data = random.Random(8).randbytes(int(megabytes * 2**20))
        sync, refusals = os.fsync, [OSError(errno.EIO, os.strerror(errno.EIO))]

        def refuse_once(fd: int) -> None:
            if refusals:
                raise refusals.pop()
            sync(fd)

        with FaultyServer() as server:
            file = declared_file(server.at("/points.bin", serve(data)), data=data)
            monkeypatch.setattr(os, "fsync", refuse_once)
            with pytest.raises(StorageError, match=r"points\.bin\.part cannot be written: Input/output error"):
                place.fetch(file)
            assert not [path for path in place.into.iterdir() if path.is_file()]

            place.fetch(file)

            assert [request.range for request in server.log] == [None, None]
        assert (place.into / "points.bin").read_bytes() == data

    @pytest.mark.skipif(os.name == "nt", reason="there, nothing is synced while it comes")
    def test_nor_after_a_cut(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the thread that hashes was refused, and the last byte did not come."""
        part = place.root / "large.bin.part"
        monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(errno.EIO, os.strerror(errno.EIO))))
        with PartialFile(part, File("large.bin", 2**26, sha256(b""))) as partial:
            partial.write(bytes(2**24))
            until(lambda: partial._growing is not None and partial._growing.error is not None)

        assert not part.exists()

    def test_more_than_was_written_is_not_taken(self, place: Place) -> None:
        """Another program has appended to a small file since its last byte came."""
        part = place.root / "points.bin.part"
        with PartialFile(part, declared_file()) as partial:
            partial.write(DATA)
            with part.open("ab") as other:
                other.write(b"!")

            assert not partial.matches()


class TestFlush:
    """The disk is waited for beside something else, and what it says is not lost."""

    def test_a_file_on_a_sound_disk(self, place: Place) -> None:
        """Nothing is said, and nothing is changed."""
        path = place.put("points.bin")
        with BackgroundSync(path) as flush:
            pass

        flush.check()
        assert path.read_bytes() == DATA

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
    def test_what_cannot_be_flushed_is_an_error_when_asked_for(self, place: Place) -> None:
        """A pipe has no disk behind it: an error of the disk, after the block and not out of it."""
        os.mkfifo(place.root / "pipe")
        with BackgroundSync(place.root / "pipe") as flush:
            done = True

        assert done
        with pytest.raises(OSError) as caught:
            flush.check()
        assert caught.value.errno == errno.EISDIR

    def test_the_blocks_own_error_comes_first(self, place: Place) -> None:
        """It says more: the bytes are wrong, wherever they are."""
        with pytest.raises(ValueError, match="wrong bytes"), BackgroundSync(place.root / "missing" / "file"):
            raise ValueError("wrong bytes")  # noqa: EM101

    def test_it_leaves_no_descriptor_open(self, place: Place) -> None:
        """The system gives the lowest free number, which is the same after as before."""
        path = place.put("points.bin")

        def lowest_free() -> int:
            with path.open("rb") as stream:
                return stream.fileno()

        before = lowest_free()
        for _ in range(10):
            with BackgroundSync(path):
                pass

        assert lowest_free() == before
