"""The private cache: where its files are, who may have written them, what they are of, and how many stay."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import tinytorch_datasets
from tests.helpers.users import open_to_all
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.storage import private_cache
from tinytorch_datasets.storage.files import write_if_possible
from tinytorch_datasets.storage.private_cache import FORMS, REPORTS

MANIFEST = "/course/datasets.yaml"
KEY = hashlib.sha256(MANIFEST.encode()).hexdigest()[:32]
LINES = [b"one", b"", b"\xff two"]
DAY = 24 * 60 * 60
OTHER_USER = 54_321
PACKAGE = Path(tinytorch_datasets.__file__).parent

by_modes = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no modes")
by_root = pytest.mark.skipif(
    getattr(os, "geteuid", int)() != 0 or os.name == "nt", reason="root alone gives files away"
)


@pytest.fixture
def path() -> Path:
    """A file that was written by this user, and is read."""
    path = private_cache.path_of(FORMS, MANIFEST)
    private_cache.write(path, LINES)
    assert private_cache.read(path) == LINES
    return Path(path)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for caches of this user, who kept nothing yet."""
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache


def write() -> bool:
    """Write a file, and return whether it is read."""
    path = private_cache.path_of(FORMS, MANIFEST)
    private_cache.write(path, LINES)
    return private_cache.read(path) == LINES


class TestWhereItIs:
    """Of each manifest there are files of its own, which are counted and removed together."""

    @pytest.mark.skipif(sys.platform != "linux", reason="a cache folder is elsewhere")
    def test_its_name(self, cache: Path) -> None:
        """Of the path's bytes, so that it stays the same; a path may be given as a str, and have any bytes."""
        folder = f"{cache}/tinytorch-datasets"
        assert private_cache.path_of(FORMS, MANIFEST) == f"{folder}/compiled/{KEY}.json"
        assert private_cache.path_of(REPORTS, Path(MANIFEST), "-strict") == f"{folder}/audits/{KEY}-strict.json"
        key = hashlib.sha256(b"/\xff.yaml").hexdigest()[:32]
        assert private_cache.path_of(FORMS, os.fsdecode(b"/\xff.yaml")) == f"{folder}/compiled/{key}.json"

    def test_all_of_one_manifest(self) -> None:
        """Sorted, and of no other; one that cannot be removed, or leads nowhere, is passed over."""
        folder, nowhere, strict, plain = (
            private_cache.path_of(REPORTS, MANIFEST, of) for of in ("-a", "-b", "-strict", "")
        )
        others = [private_cache.path_of(REPORTS, MANIFEST + "x"), private_cache.path_of(FORMS, MANIFEST)]
        assert private_cache.paths_of(REPORTS, MANIFEST) == []
        for path in (strict, plain, *others):
            private_cache.write(path, LINES)
        Path(folder).mkdir()
        Path(nowhere).symlink_to("nothing")
        size = Path(strict).stat().st_size

        assert private_cache.paths_of(REPORTS, MANIFEST) == [folder, nowhere, strict, plain]
        assert private_cache.bytes_of(REPORTS, MANIFEST) == 2 * size + Path(folder).stat().st_size
        assert private_cache.forget(REPORTS, MANIFEST) == 2 * size
        assert private_cache.paths_of(REPORTS, MANIFEST) == [folder, nowhere]
        assert [private_cache.read(path) for path in others] == [LINES, LINES]

    def test_nowhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No home is known, or its variable is of no use: nothing is kept, and no file of the current folder is one."""
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "homework.py").write_text("# all of it")

        assert private_cache.path_of(REPORTS, MANIFEST) == ""
        assert private_cache.paths_of(REPORTS, MANIFEST) == []
        assert private_cache.bytes_of(REPORTS, MANIFEST) == private_cache.forget(REPORTS, MANIFEST) == 0
        assert not write()
        assert private_cache.read("") is None
        assert [path.name for path in tmp_path.iterdir()] == ["homework.py"]


def cut_short(path: Path) -> None:
    """A write that a power cut tore."""
    path.write_bytes(path.read_bytes()[:-1])


def one_bit_flipped(path: Path) -> None:
    """In the last byte."""
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def zeros(path: Path) -> None:
    """What some file systems leave of a file that was being written."""
    path.write_bytes(bytes(path.stat().st_size))


def an_empty_file(path: Path) -> None:
    """The name is there, and nothing else."""
    path.write_bytes(b"")


def gone(path: Path) -> None:
    """By somebody who clears caches."""
    path.unlink()


def a_pipe(path: Path) -> None:
    """Which would be waited at for ever."""
    path.unlink()
    os.mkfifo(path)


def a_link(path: Path) -> None:
    """Somebody else's file, at the end of a link."""
    path.rename(path.parent.with_name("elsewhere.json"))
    path.symlink_to("../elsewhere.json")


def a_folder_by_a_link(path: Path) -> None:
    """Whose permissions are those of another folder."""
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


def a_file_for_a_folder(path: Path) -> None:
    """There is nothing below it."""
    path.unlink()
    path.parent.rmdir()
    path.parent.write_bytes(b"")
    path.parent.chmod(0o700)


CHANGES = [
    cut_short, one_bit_flipped, zeros, an_empty_file, gone, a_pipe, a_link, a_folder_by_a_link, a_file_for_a_folder
]  # fmt: skip


class TestReading:
    """What was written is read, whole and of this user, or nothing is."""

    @pytest.mark.parametrize("lines", [[], [b""], [b"", b""], LINES], ids=len)
    def test_it_is_a_digest_and_the_lines(self, path: Path, lines: list[bytes]) -> None:
        """As the versions before wrote it: the sha256 of the lines with their ends, in hex digits, is the first one."""
        private_cache.write(str(path), lines)
        digest = hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest().encode()

        assert path.read_bytes() == b"\n".join([digest, *lines])
        assert private_cache.read(str(path)) == lines

    @by_modes
    @pytest.mark.parametrize("change", CHANGES)
    def test_nothing_is_read_after(self, path: Path, change: Callable[[Path], None]) -> None:
        """Whoever asks finds it out again."""
        change(path)

        assert private_cache.read(str(path)) is None

    @by_modes
    @pytest.mark.parametrize("mode", [0o755, 0o777, 0o740, 0o720, 0o710, 0o704, 0o702, 0o701])
    def test_nor_where_others_may_look(self, path: Path, mode: int) -> None:
        """Who may do that may do more on some systems; the package made it for this user alone. None is written."""
        path.parent.chmod(mode)

        assert private_cache.read(str(path)) is None
        private_cache.write(str(path), [b"other"])
        assert path.read_bytes().endswith(LINES[-1])

    @by_root
    @pytest.mark.parametrize("which", ["file", "folder"])
    def test_nor_what_another_user_owns(self, path: Path, which: str) -> None:
        """Be it what it may: who owns it may write to it."""
        os.chown(path if which == "file" else path.parent, OTHER_USER, OTHER_USER)

        assert private_cache.read(str(path)) is None

    def test_nor_what_is_too_large(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing of that size was ever written: twice the most that lines may have, which leaves room for ends."""
        monkeypatch.setattr(private_cache, "MOST_BYTES", 40)
        for rest in (15, 16):
            body = b"a" * rest
            path.write_bytes(hashlib.sha256(body + b"\n").hexdigest().encode() + b"\n" + body)
            assert path.stat().st_size == 65 + rest
            assert private_cache.read(str(path)) == ([body] if rest == 15 else None)

    @pytest.mark.parametrize(("hours", "is_renewed"), [(25, True), (23, False)])
    def test_what_is_used_stays_young(self, path: Path, hours: int, is_renewed: bool) -> None:
        """By the day, for a time that is written at every use would be a write at every use."""
        then = int(time.time()) - hours * 60 * 60
        os.utime(path, (then, then))
        assert private_cache.read(str(path)) == LINES

        assert (path.stat().st_mtime != then) == is_renewed
        assert path.stat().st_mtime == then or time.time() - path.stat().st_mtime < 60

    def test_where_its_time_cannot_be_set(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a disk that is only read it counts all the same, however old it is."""
        os.utime(path, (time.time() - 80 * DAY,) * 2)

        def refused(*_: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(os, "utime", refused)  # mounting one takes root

        assert private_cache.read(str(path)) == LINES


class TestWriting:
    """Into a folder that is the user's alone, which is made if nobody else would be kept out of theirs by it."""

    @by_modes
    def test_what_is_kept_is_for_this_user_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A manifest may be readable for fewer people than a cache folder is; the folders above are made as any are."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet" / "there"))

        assert write()
        assert write()
        folder = Path(private_cache.path_of(FORMS, MANIFEST)).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_where_nothing_can_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file stands where the folder would be: nothing is kept, and nobody is told."""
        (tmp_path / "file").write_bytes(b"")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

        assert not write()
        assert private_cache.paths_of(FORMS, MANIFEST) == []

    @by_root
    def test_nothing_is_made_in_the_cache_of_another_user(self, cache: Path) -> None:
        """As `sudo` would, which keeps the variables of whoever types it: the folder would be closed to them."""
        os.chown(cache, OTHER_USER, -1)

        assert not write()
        assert [*cache.iterdir()] == []

    @by_modes
    @pytest.mark.parametrize(("mode", "is_kept"), [(0o1777, False), (0o757, False), (0o755, True), (0o775, True)])
    def test_nothing_is_made_in_a_cache_of_several_users(self, cache: Path, mode: int, is_kept: bool) -> None:
        """Who lists first would own the folder that the others download to; a group of one's own is no other."""
        cache.chmod(mode)

        assert write() == is_kept
        assert bool([*cache.iterdir()]) == is_kept

    @by_root
    @pytest.mark.parametrize(("mode", "is_kept"), [(0o2775, False), (0o2755, True)])
    def test_nor_in_the_cache_of_a_group(self, cache: Path, mode: int, is_kept: bool) -> None:
        """Such as a laboratory's, if all of it may write there."""
        os.chown(cache, -1, OTHER_USER)
        cache.chmod(mode)

        assert write() == is_kept
        assert bool([*cache.iterdir()]) == is_kept

    def test_what_is_very_large_is_not_kept(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bound for one, far above any manifest that a person reads; all lines count together."""
        path, lines = private_cache.path_of(FORMS, MANIFEST), [b"a" * 60, b"b" * 40]
        monkeypatch.setattr(private_cache, "MOST_BYTES", 99)
        private_cache.write(path, lines)
        assert private_cache.read(path) is None
        monkeypatch.setattr(private_cache, "MOST_BYTES", 100)
        private_cache.write(path, lines)

        assert private_cache.read(path) == lines

    @by_modes
    def test_what_code_found_out_that_was_changed_since(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is not the code that is there now, though a copy was given the time of what it was copied from."""
        for module in (tmp_path / "rules.py", tmp_path / "lint.py"):  # the first one there is the last of all
            module.touch()
            os.utime(module, (1, 1))
        last = module.stat().st_ctime
        monkeypatch.setattr(private_cache, "_PACKAGE", str(tmp_path))
        monkeypatch.setattr(private_cache, "LOADED_AT", last - 0.001)
        assert not write()
        assert private_cache.layout(7, {})[4] is False
        monkeypatch.setattr(private_cache, "LOADED_AT", last)

        assert write()
        assert private_cache.layout(7, {})[4] is True

    def test_where_its_modules_are_compiled_alone(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As some images have them, to be smaller: none of them was changed."""
        (tmp_path / "compiled.pyc").touch()
        monkeypatch.setattr(private_cache, "_PACKAGE", str(tmp_path))

        assert write()

    @by_root
    def test_a_folder_that_is_only_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By another user than root, who may write everywhere: it stays as it is, and nobody is told."""
        with open_to_all() as cache:
            monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
            os.chown(cache, OTHER_USER, -1)
            os.seteuid(OTHER_USER)
            try:
                assert write()
                folder = Path(private_cache.path_of(FORMS, MANIFEST)).parent
                os.utime(folder / f"{KEY}.json", (1, 1))
                folder.chmod(0o500)
                private_cache.write(private_cache.path_of(FORMS, "/other.yaml"), LINES)
                names = [path.name for path in folder.iterdir()]
            finally:
                os.seteuid(0)

        assert names == [f"{KEY}.json"]


class TestWhatStays:
    """When another file is written, what is too old or too much goes."""

    @staticmethod
    def left(path: Path, ages: Mapping[str, float]) -> set[str]:
        """Write once more beside files of these ages in seconds, and return what is left of them."""
        for name, age in ages.items():
            (path.parent / name).touch()
            os.utime(path.parent / name, (time.time() - age, time.time() - age))
        private_cache.write(str(path), LINES)
        left = {one.name for one in path.parent.iterdir()}
        assert path.name in left
        return left - {path.name}

    def test_what_nobody_used_for_long_is_removed(self, path: Path) -> None:
        """What is unused for a season, and what a writer left that was killed: not what one writes now."""
        ages: dict[str, float] = {"season.json": 91 * DAY, "nearly.json": 89 * DAY, "two.json": 2 * DAY}
        ages |= {".x.json.part": 1.1 * DAY, ".y.json.part": 0.9 * DAY}

        assert self.left(path, ages) == {"nearly.json", "two.json", ".y.json.part"}

    def test_the_newest_sixty_four(self, path: Path) -> None:
        """With the one that was written."""
        ages = {f"{number:03}.json": 60 + (number * 37) % 80 for number in range(80)}
        newest = sorted(ages, key=lambda name: ages[name])[:63]

        assert self.left(path, ages) == set(newest)

    def test_the_newest_of_a_quarter_of_a_gigabyte(self, path: Path) -> None:
        """Here of files without blocks. What a link leads to does not count, and a folder is not looked at."""
        half, folder, elsewhere = 128 * 2**20, path.parent, path.parent.with_name("elsewhere")
        (folder / "link.json").symlink_to(elsewhere)
        small = path.stat().st_size + len(str(elsewhere))
        for file, size in {"../elsewhere": 4 * half, "a.json": half, "b.json": half - small, "c.json": 1}.items():
            (folder / file).touch()
            os.truncate(folder / file, size)
        (folder / "folder.json").mkdir()
        left = self.left(path, {"a.json": 60, "b.json": 120, "c.json": 180})

        assert left == {"a.json", "b.json", "link.json", "folder.json"}


def signature_of(folder: Path, files: dict[str, str]) -> str:
    """The signature of a package of these files, each of one time."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    return private_cache.code_signature(folder)


class TestWhatItIsOf:
    """What is kept says of which Python, package and libraries it is, and counts for no other."""

    def test_all_of_it(self) -> None:
        """A number that is raised by hand, what nobody has to think of, and that it is the code that runs."""
        digest = hashlib.sha256(Path(pytest.__file__).read_bytes()).hexdigest()
        layout = private_cache.layout(7, {"pytest": "__init__.py", "no_such_library": "__init__.py"})

        assert layout == [7, VERSION, sys.version, private_cache.code_signature(PACKAGE), True, digest, ""]

    def test_another_code_of_the_same_version(self, tmp_path: Path) -> None:
        """In a clone the version stays while rules change: by places, sizes and times, and by no compiled file."""
        files = {"rules.py": "a", "below/rules.py": "b"}
        same = signature_of(tmp_path / "first", files)
        assert signature_of(tmp_path / "second", files | {"__pycache__/x.py": "", "x.txt": "", "x.pyc": ""}) == same
        changed = [{"rules.py": "ab"}, {"below/rules.py": "ab"}, {"new.py": ""}]
        moved = signature_of(tmp_path / "moved", {"rules.py": "a", "beyond/rules.py": "b"})
        signatures = {signature_of(tmp_path / f"{n}", files | change) for n, change in enumerate(changed)}
        os.utime(tmp_path / "first" / "rules.py", ns=(0, 1_700_000_000_000_000_001))
        signatures.add(private_cache.code_signature(str(tmp_path / "first")))

        assert len({*signatures, moved} - {same}) == 5

    def test_a_file_that_went_to_another_folder(self, tmp_path: Path) -> None:
        """Where it is another module, of the same name, size and time."""
        before = signature_of(tmp_path / "first", {"a/x.py": "", "a/y.py": "", "b/z.py": ""})

        assert signature_of(tmp_path / "second", {"a/x.py": "", "b/y.py": "", "b/z.py": ""}) != before

    def test_a_file_that_an_editor_marks(self, tmp_path: Path) -> None:
        """In a clone, by a link to nothing that is named like the file: nothing fails for it."""
        without = signature_of(tmp_path, {"rules.py": ""})
        (tmp_path / ".#rules.py").symlink_to("user@host.1234:5678")

        assert private_cache.code_signature(tmp_path) == without

    def test_libraries_that_are_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or are without that file, or a folder alone, or were put together in memory."""
        (tmp_path / "folder_alone").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setitem(sys.modules, "in_memory", types.ModuleType("in_memory"))
        names = {"nothing_of_this_name", "folder_alone", "in_memory"}

        assert {private_cache.library_signature(name, "__init__.py") for name in names} == {""}
        assert private_cache.library_signature("pytest", "version.py") == ""
        assert [private_cache.origin_signature(name) for name in (*names, "sys")] == [[]] * 4

    def test_the_file_that_is_imported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a library that lies in some folder without a version; and whether it may be what runs here."""
        decoder = tmp_path / "decoder_of_the_course.py"
        decoder.write_text("answer = 42")
        monkeypatch.syspath_prepend(str(tmp_path))
        about = decoder.stat()
        facts = [str(decoder), 11, about.st_mtime_ns, about.st_ctime_ns]
        for loaded_at, may_run in ((about.st_ctime, True), (about.st_ctime - 0.001, False)):
            monkeypatch.setattr(private_cache, "LOADED_AT", loaded_at)
            assert private_cache.origin_signature("decoder_of_the_course") == [*facts, may_run]

    def test_what_is_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each library by what it has beside it, wherever Python looks; what else is there counts for nothing."""
        first, second, archive = tmp_path / "first", tmp_path / "second", tmp_path / "modules.zip"
        for folder in (first, second):
            folder.mkdir()
        archive.write_bytes(b"1")
        monkeypatch.chdir(second)
        states = [private_cache.installed()]

        def now(*paths: object) -> str:
            monkeypatch.setattr(sys, "path", [*map(str, paths)])
            return private_cache.installed()

        empty = now(first)
        assert now() == empty == now(first, tmp_path / "missing", second, "")
        (first / "other.py").touch()
        assert now(first) == empty
        changes: list[Callable[[], object]] = [
            lambda: (first / "a-1.0.dist-info").mkdir(),
            lambda: (first / "a-1.0.dist-info").rename(first / "a-1.1.dist-info"),
            lambda: (first / "b.egg-info").touch(),
            lambda: (second / "c-1.0.dist-info").mkdir(),
            lambda: (second / os.fsdecode(b"\xff.dist-info")).mkdir(),
            lambda: archive.write_bytes(b"22"),
            lambda: os.utime(archive, ns=(0, 1_700_000_000_000_000_001)),
        ]
        for change in changes:
            change()
            states.append(now(first, archive, tmp_path / "missing", ""))

        assert len({*states}) == len(states)
        assert states[-1] == now(first, archive, second) == now(first, first, archive, second, archive)
        assert now(first) == now(first, tmp_path / "missing") != now(archive) != now(second)


def test_what_tells_that_it_is_torn_is_not_synced(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of its lines does; what else is written waits for the disk, or is not there."""

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    private_cache.write(str(path), [b"another"])
    write_if_possible(tmp_path / "synced", b"1")
    write_if_possible(tmp_path / "not synced", b"2", synced=False)

    assert private_cache.read(str(path)) == [b"another"]
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["not synced"]
