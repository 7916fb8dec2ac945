"""Maps of `.npy` files: NumPy's own files and values, what is refused, and what a map is pickled as."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import pickle
import resource
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.forked import in_a_fork
from tinytorch_datasets.errors import MissingFile, StorageError
from tinytorch_datasets.storage import memmap
from tinytorch_datasets.storage.memmap import Part, Remapped, from_pickle, map_of, open_map, to_pickle

PAGE = mmap.ALLOCATIONGRANULARITY
DTYPES = ["?", "i1", "u1", "<i2", ">i2", "<u4", ">u8", "<i8", "<f2", ">f4", "<f8"]
SHAPES: list[tuple[int, ...]] = [(), (1,), (5,), (3, 0), (2, 3, 4), (PAGE + 1,)]


def saved(path: Path, values: np.ndarray, before: int = 0) -> Part:
    """Write an array as NumPy does, behind so many other bytes, and return where its values are."""
    with path.open("wb") as out:
        out.write(b"x" * before)
        np.lib.format.write_array(out, values, version=(1, 0))
        return Part(path.name, values.dtype.str, values.shape, out.tell() - values.nbytes)


class TestOpening:
    """A map has the values that NumPy wrote, wherever in the file they are."""

    def test_every_dtype_and_shape(self, tmp_path: Path) -> None:
        """In either byte order; below and beyond a page; nothing but the values of the part, and read-only."""
        path = tmp_path / "a.npy"
        for dtype in DTYPES:
            for shape in SHAPES:
                for before in (0, PAGE, 2 * PAGE + 17):
                    size = int(np.prod(shape))
                    values = (np.arange(size) % 2 if dtype == "?" else np.arange(size) % 100).astype(dtype)
                    values = values.reshape(shape)
                    part = saved(path, values, before)
                    array: Any = open_map(tmp_path, part)
                    assert (array.dtype.str, array.shape) == (values.dtype.str, shape)
                    assert np.array_equal(array, values)
                    assert not array.flags.writeable
                    if size:
                        assert isinstance(array, np.memmap)
                        assert (array.filename, array.offset, array.mode) == (str(path), part.offset, "c")
                    else:
                        assert type(array) is np.ndarray
                    del array

    def test_a_relative_folder_and_a_name_that_leads_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The path of a map is whole, for other processes; of a name, only what is below the folder counts."""
        part = saved(tmp_path / "a.npy", np.arange(5))
        monkeypatch.chdir(tmp_path)
        array: Any = open_map(".", part)
        assert array.filename == str(tmp_path / "a.npy")
        assert open_map(tmp_path, part._replace(file="../../b/a.npy")).tolist() == [0, 1, 2, 3, 4]
        assert open_map(tmp_path, part._replace(shape=[5])).tolist() == [0, 1, 2, 3, 4]  # type: ignore[arg-type]

    def test_what_the_file_does_not_hold_is_refused(self, tmp_path: Path) -> None:
        """One value too many, one byte before the beginning, a size below nothing, values that are no numbers."""
        part = saved(tmp_path / "a.npy", np.arange(6, dtype="<i8"))
        cases: list[tuple[dict[str, Any], str]] = [
            ({"shape": (7,)}, f"int64 and shape (7,) from byte {part.offset}"),
            ({"offset": part.offset + 1}, f"int64 and shape (6,) from byte {part.offset + 1}"),
            ({"offset": -1, "shape": (1,)}, "int64 and shape (1,) from byte -1"),
            ({"offset": -8, "shape": (0,)}, "int64 and shape (0,) from byte -8"),
            ({"shape": (-1,)}, f"int64 and shape (-1,) from byte {part.offset}"),
            ({"shape": (-1, -1)}, f"int64 and shape (-1, -1) from byte {part.offset}"),
            ({"shape": (0, -1)}, f"int64 and shape (0, -1) from byte {part.offset}"),
            ({"dtype": "<c16", "shape": (1,)}, f"complex128 and shape (1,) from byte {part.offset}"),
            ({"dtype": "|S1"}, f"|S1 and shape (6,) from byte {part.offset}"),
            ({"dtype": "|O"}, f"object and shape (6,) from byte {part.offset}"),
            ({"dtype": "|V1"}, f"|V1 and shape (6,) from byte {part.offset}"),
            ({"dtype": "<M8[s]"}, f"datetime64[s] and shape (6,) from byte {part.offset}"),
        ]
        for changes, words in cases:
            with pytest.raises(ValueError, match="does not hold") as caught:
                open_map(tmp_path, part._replace(**changes))
            assert str(caught.value) == f"{tmp_path}/a.npy does not hold values of {words} on"
        assert open_map(tmp_path, part._replace(offset=0, shape=(0,))).shape == (0,)
        assert open_map(tmp_path, part._replace(offset=0, shape=(1,)))[0] == int.from_bytes(b"\x93NUMPY\1\0", "little")
        whole = part.offset // 8 + 6
        assert open_map(tmp_path, part._replace(offset=0, shape=(whole,)))[-1] == 5

    def test_a_file_that_is_cut_anywhere(self, tmp_path: Path) -> None:
        """Is refused at every length but its own, and never read beyond its end."""
        path = tmp_path / "a.npy"
        part = saved(path, np.arange(4, dtype="<u2"))
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="does not hold values of uint16 and shape"):
                open_map(tmp_path, part)
        path.write_bytes(whole)
        assert open_map(tmp_path, part).tolist() == [0, 1, 2, 3]

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        """A folder, a pipe that nobody writes to, nothing; and no descriptor stays open."""
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "folder").mkdir()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for name in ("pipe", "folder"):
            part = Part(name, "|u1", (1,), 0)
            for opening in (partial(memmap.open_regular, tmp_path / name), partial(open_map, tmp_path, part)):
                with pytest.raises(IsADirectoryError) as caught:
                    opening()
                assert caught.value.args == (errno.EISDIR, os.strerror(errno.EISDIR))
                assert caught.value.filename == str(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            open_map(tmp_path, Part("none", "|u1", (0,), 0))
        with pytest.raises(ValueError, match="does not hold"):
            open_map(tmp_path, saved(tmp_path / "a", np.arange(3))._replace(shape=(4,)))
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_a_descriptor_is_no_child_processs(self, tmp_path: Path) -> None:
        """And is for reading; the bytes are all of the file's."""
        (tmp_path / "a").write_bytes(b"abc" * 100_000)
        fd = memmap.open_regular(tmp_path / "a")
        assert not os.get_inheritable(fd)
        with pytest.raises(OSError, match="descriptor"):
            os.write(fd, b"x")
        os.close(fd)
        assert memmap.read_regular(tmp_path / "a") == b"abc" * 100_000

    def test_the_signature_is_the_systems(self, tmp_path: Path) -> None:
        """By a path, as text or not, and by a descriptor; the system's own command reads the same."""
        (tmp_path / "a").write_bytes(b"abc")
        os.utime(tmp_path / "a", ns=(1, 123_456_789_012_345_678))
        about = (tmp_path / "a").stat()
        expected = [3, 123_456_789_012_345_678, about.st_ctime_ns, about.st_ino]
        fd = memmap.open_regular(tmp_path / "a")
        for file in (tmp_path / "a", str(tmp_path / "a"), fd):
            assert memmap.stat_signature(file) == expected
        os.close(fd)


class TestSignature:
    """Of a file that has to be as it was, the one that is opened is asked, not what has its name a moment before."""

    def test_another_one_is_refused(self, tmp_path: Path) -> None:
        """Whichever number of it differs; and so is a file that none is known of. No descriptor stays open."""
        part, path = saved(tmp_path / "a.npy", np.arange(5)), str(tmp_path / "a.npy")
        signature = memmap.stat_signature(path)
        before = len(list(Path("/proc/self/fd").iterdir()))
        assert open_map(tmp_path, part, {path: signature}).tolist() == [0, 1, 2, 3, 4]
        for number in range(4):
            other = [value + (at == number) for at, value in enumerate(signature)]
            with pytest.raises(ValueError, match="is not as it was") as caught:
                open_map(tmp_path, part, {path: other})
            assert str(caught.value) == f"{path} is not as it was"
        with pytest.raises(KeyError):
            open_map(tmp_path, part, {})
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestPages:
    """They are the process's own: whoever writes past the flag changes neither the file nor another's map."""

    def test_writing_past_the_flag(self, tmp_path: Path) -> None:
        """By a library that knows an address alone."""
        part = saved(tmp_path / "a.npy", np.arange(5), before=PAGE)
        one, other = open_map(tmp_path, part), open_map(tmp_path, part)
        pages: Any = one
        pages._mmap[part.offset - PAGE : part.offset - PAGE + 8] = b"\xff" * 8
        assert (one[0], other[0]) == (-1, 0)
        assert open_map(tmp_path, part)[0] == 0

    def test_what_is_small_is_read(self, tmp_path: Path) -> None:
        """Up to 64 KiB of its file, wherever in it: memory of one's own as well, which stays when the file goes."""
        for before in (0, 3 * PAGE):
            begin = saved(tmp_path / "a.npy", np.zeros(0, "u1"), before).offset % PAGE
            for more, kind in ((0, bytearray), (1, mmap.mmap)):
                values = (np.arange(memmap.MOST_READ - begin + more) % 251).astype("u1")
                array: Any = open_map(tmp_path, saved(tmp_path / "a.npy", values, before))
                (tmp_path / "a.npy").unlink()
                assert type(array._mmap) is kind
                assert len(array._mmap) == memmap.MOST_READ + more == 65_536 + more
                assert np.array_equal(array, values)

    def test_what_is_cut_before_it_is_read(self, tmp_path: Path) -> None:
        """After its size was asked, and however small it is: it is refused, and no fewer values are given."""
        (tmp_path / "a").write_bytes(b"1234567")
        fd = memmap.open_regular(tmp_path / "a")
        with pytest.raises(ValueError, match="greater than file size"):
            memmap.map_values(fd, str(tmp_path / "a"), Part("a", "|u1", (8,), 0), 8)
        os.close(fd)

    def test_what_cannot_be_mapped_is_read(self, tmp_path: Path) -> None:
        """Where it has room on the heap: the same bytes, from a place on, until the file ends before it should."""
        (tmp_path / "a").write_bytes(bytes(range(256)) * 64)
        fd = memmap.open_regular(tmp_path / "a")
        pages = memmap._read_pages(fd, "a", 2 * PAGE, PAGE)
        assert type(pages) is bytearray
        assert pages == (bytes(range(256)) * 64)[PAGE : 3 * PAGE]
        for length in (3 * PAGE + 1, 9 * PAGE):
            with pytest.raises(ValueError, match="cut") as caught:
                memmap._read_pages(fd, "some/a", length, PAGE)
            assert str(caught.value) == "some/a was cut while it was read"
        assert os.fstat(fd).st_size == 4 * PAGE  # it is still open
        os.close(fd)

    def test_where_no_more_can_be_mapped(self, tmp_path: Path) -> None:
        """Because a process has as many maps as it may, a small array is read; it is like any other."""
        limit = Path("/proc/sys/vm/max_map_count")
        if not limit.exists() or int(limit.read_text()) > 200_000:
            pytest.skip("no number of maps that is soon reached")
        part = saved(tmp_path / "a.npy", np.arange(memmap.MOST_READ, dtype="u2").astype("u1"), before=PAGE)
        fd = memmap.open_regular(tmp_path / "a.npy")

        room = bytearray(memmap.MOST_READ + PAGE)  # on the heap, for the array

        def opened() -> Any:
            system: Any = ctypes.CDLL(None)
            system.mmap.restype = ctypes.c_void_p
            system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
            failed = ctypes.c_void_p(-1).value
            while system.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE, fd, 0) != failed:
                pass
            del room[:]
            array: Any = open_map(tmp_path, part)
            last = to_pickle(array[-5:]).part.offset
            return type(array._mmap).__name__, array[-5:].tolist(), array.flags.writeable, last

        array: Any = open_map(tmp_path, part)
        assert type(array._mmap) is mmap.mmap
        assert in_a_fork(opened) == ("bytearray", array[-5:].tolist(), False, part.offset + memmap.MOST_READ - 5)
        os.close(fd)

    def test_a_reading_that_comes_in_pieces(self) -> None:
        """As of more than the 2 GiB that one system call reads; the system's own table comes a page at a time."""
        table = Path("/proc/kallsyms")
        if not table.exists():
            pytest.skip("no file of the system's that is read in pieces")
        with table.open("rb", buffering=0) as file:
            expected = b"".join(iter(lambda: file.read(4096), b""))[: 5 * PAGE]
            assert memmap._read_pages(file.fileno(), str(table), 5 * PAGE, 0) == expected

    def test_no_room_for_it_is_a_sentence(self, tmp_path: Path) -> None:
        """With the file and the bytes; what a system refuses for another reason stays its own error."""
        size = 2**28
        with (tmp_path / "a").open("wb") as out:
            out.truncate(size)

        assert open_map(tmp_path, Part("a", "|u1", (16,), 0)).shape == (16,)

        def limited() -> Any:
            resource.setrlimit(resource.RLIMIT_AS, (2**26, resource.RLIM_INFINITY))
            return open_map(tmp_path, Part("a", "|u1", (size,), 0)).shape

        error = in_a_fork(limited)
        assert isinstance(error, StorageError)
        assert str(error) == (
            f"{tmp_path}/a cannot be opened: a limit on this process's memory leaves no room for 268,435,456 bytes\n"
            "  Raise the limit (`ulimit -d` and `ulimit -v` show two of them), or open fewer arrays at once."
        )
        assert (error.path, error.errno) == (tmp_path / "a", errno.ENOMEM)
        with pytest.raises(StorageError) as refused:
            memmap._read_pages(0, str(tmp_path / "b"), 2**62, 0)
        own: Any = refused.value
        assert str(own) == str(error).replace("/a cannot", "/b cannot").replace("268,435,456", f"{2**62:,}")
        assert (own.path, own.errno) == (tmp_path / "b", errno.ENOMEM)
        state = Remapped(str(tmp_path / "a"), Part("", "|u1", (size,), 0))

        def unpickled() -> Any:
            resource.setrlimit(resource.RLIMIT_AS, (2**26, resource.RLIM_INFINITY))
            return from_pickle(state)

        assert str(in_a_fork(unpickled)) == str(error)
        fd = os.open(tmp_path / "a", os.O_WRONLY)
        with pytest.raises(PermissionError) as caught:
            memmap._map_pages(fd, "a", 16, 0)
        assert caught.value.errno == errno.EACCES
        os.close(fd)


class TestPickling:
    """A map is pickled as the name of its file, and a view of it as its own place in it; all else by its values."""

    def test_views_of_a_map(self, tmp_path: Path) -> None:
        """Each index of NumPy's that makes a view; those that are not side by side are pickled by their values."""
        for before in (0, PAGE + 16):
            values = np.arange(3 * PAGE, dtype="<i4").reshape(-1, 4)
            mapped: Any = open_map(tmp_path, saved(tmp_path / "a.npy", values, before))
            views: list[Any] = [
                mapped,
                mapped[5:9],
                mapped[2 * PAGE // 4 :],
                mapped[7],
                np.asarray(mapped)[4:],
                mapped.view("<u4")[1:3],
                mapped.reshape(-1)[5:],
                mapped.reshape(2, -1, 4)[1],
            ]
            for view in views:
                state = to_pickle(view)
                assert type(state) is Remapped
                assert state.path == str(tmp_path / "a.npy")
                assert (state.part.file, state.part.dtype, state.part.shape) == ("", view.dtype.str, view.shape)
                again = from_pickle(pickle.loads(pickle.dumps(state)))
                assert np.array_equal(again, view)
                assert again.dtype == view.dtype
                assert not again.flags.writeable
            for other in (mapped[3:3], mapped[::2], mapped[:, 1], mapped[::-1], mapped.T):
                assert to_pickle(other) is other
            assert to_pickle(mapped[6:]).part.offset == mapped.offset + 6 * 16
            assert map_of(np.asarray(mapped)[4:]) is mapped

    def test_what_is_in_no_file(self) -> None:
        """Is pickled by its values, read-only as it was; what is no array stays what it is."""
        array = np.arange(3)
        nameless = np.ndarray.__new__(np.memmap, (3,), np.uint8, buffer=bytearray(3))
        for values in (array, array[1:], nameless, None, (1, 2)):
            assert map_of(values) is None
            assert to_pickle(values) is values
        again = from_pickle(np.arange(3))
        assert not again.flags.writeable
        assert from_pickle((1, None)) == (1, None)

    def test_a_file_that_is_gone_or_another_one(self, tmp_path: Path) -> None:
        """Says which, and what to do."""
        path, hint = tmp_path / "a.npy", "Get the data set again, and pickle that."
        part = saved(path, np.arange(5))
        state = to_pickle(open_map(tmp_path, part))
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StorageError) as caught:
            from_pickle(state)
        error: Any = caught.value
        why = f"{path} does not hold values of int64 and shape (5,) from byte {part.offset} on"
        what = f"{path} cannot be read, from which a pickled split takes its values: {why}"
        assert (error.what, error.hint, error.path) == (what, hint, path)
        assert str(error.__cause__) == why
        path.unlink()
        with pytest.raises(MissingFile) as missing:
            from_pickle(state)
        error = missing.value
        what = f"{path} is missing, from which a pickled split takes its values"
        assert (error.what, error.hint, error.path) == (what, hint, path)
        assert isinstance(error.__cause__, FileNotFoundError)


def test_a_link_is_one_whatever_it_leads_to(tmp_path: Path) -> None:
    """A folder, a file, nothing; and what is no link is none."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for target in ("folder", "file", "none"):
        assert not memmap.is_link(tmp_path / target)
        (tmp_path / f"to-{target}").symlink_to(target)
        assert memmap.is_link(tmp_path / f"to-{target}")
