"""HDF5 files: what h5py wrote, what a course hands out, and what nobody should have written."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.helpers.declared import made
from tests.helpers.format_writers import column, memory_below, put, read, split, zipped
from tests.helpers.hostile import Case
from tests.helpers.yardstick import soon
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.formats import ArrayInfo, FileInfo

MEBIBYTES = 64
GOOD = np.arange(6, dtype="u1").reshape(3, 2)


def written(fill: Callable[[h5py.File], Any], **how: Any) -> bytes:
    """A file by h5py."""
    out = io.BytesIO()
    with h5py.File(out, "w", **how) as file:
        fill(file)
    return out.getvalue()


def holding(**arrays: Any) -> bytes:
    """A file of such data sets; double underscores stand for the slashes of groups."""
    return written(lambda file: [file.create_dataset(n.replace("__", "/"), data=a) for n, a in arrays.items()])


def chunked(values: np.ndarray = GOOD, **how: Any) -> bytes:
    """A file of one data set, in chunks."""
    return written(lambda file: file.create_dataset("images", data=values, **{"chunks": True, **how}))


def with_chunk(data: bytes, shape: tuple[int, ...] = (3, 2), **how: Any) -> bytes:
    """A file of one chunk whose stored bytes are these, whatever comes out of them."""

    def fill(file: h5py.File) -> None:
        made = file.create_dataset("images", shape, "u1", **{"chunks": shape, "compression": "gzip", **how})
        made.id.write_direct_chunk((0,) * len(shape), data)

    return written(fill)


def blocks(path: Path, **declared: Any) -> Any:
    """The values of one ragged field."""
    (block,) = formats.of("hdf5").decode([split(column(path, **declared))])
    return block.values


class TestValues:
    """As h5py gives them."""

    @pytest.mark.parametrize(
        "how",
        [
            {},
            {"chunks": (1000, 2, 1)},
            {"chunks": (7, 2, 3), "compression": "gzip", "shuffle": True},
            {"chunks": True, "compression": "lzf", "fletcher32": True},
            {"chunks": (4000, 1, 2), "shuffle": True},
            {"chunks": (4096, 2, 3), "compression": "gzip", "fletcher32": True, "maxshape": (None, 2, 3)},
        ],
    )
    @pytest.mark.parametrize("dtype", ["u1", "<i2", ">f4", "f8", "?"])
    def test_numbers(self, dtype: str, how: Mapping[str, Any], tmp_path: Path) -> None:
        """In one piece or in chunks, compressed or not, in either order of bytes; more than one block of them."""
        values = np.random.default_rng(0).integers(0, 100, (9000, 2, 3)).astype(dtype)
        libver = ("earliest", "latest")[len(how) % 2]
        path = put(tmp_path / "f", written(lambda f: f.create_dataset("a/images", data=values, **how), libver=libver))
        dtype = values.dtype.newbyteorder("=").name

        found = read("hdf5", split(column(path, key="a/images", samples=9000, shape=(2, 3), dtype=dtype)))

        np.testing.assert_array_equal(found["train.images"], values.astype(dtype), strict=True)

    @pytest.mark.parametrize("how", [{}, {"compression": "gzip", "shuffle": True, "chunks": (1000,)}])
    def test_a_column_of_a_table_is_named_behind_it(self, how: Mapping[str, Any], tmp_path: Path) -> None:
        """As h5py gives the fields of a compound type; several of one table, more than one block of them."""
        values = np.zeros(9000, [("n", "<i2"), ("name", "S8"), ("x y", ">f8"), ("far/away", "u1")])
        values["n"], values["x y"], values["far/away"] = np.arange(9000), np.arange(9000) / 2, np.arange(9000) % 7
        values["name"] = [f"car {n % 50}".encode() for n in range(9000)]
        path = put(tmp_path / "f", written(lambda f: f.create_dataset("a/cars", data=values, **how)))
        columns = (
            column(path, "n", key="a/cars/n", samples=9000, dtype="int16"),
            column(path, "words", key="a/cars/name", samples=9000, dtype="str"),
            column(path, "x", key="a/cars/x y", samples=9000, dtype="float64"),
            column(path, "far", key="a/cars/far/away", samples=9000, dtype="uint8"),
        )

        found = read("hdf5", split(*columns))

        with h5py.File(path) as file:
            stored = file["a/cars"][:]
        np.testing.assert_array_equal(found["train.n"], stored["n"], strict=True)
        np.testing.assert_array_equal(found["train.x"], stored["x y"].astype("f8"), strict=True)
        np.testing.assert_array_equal(found["train.far"], stored["far/away"], strict=True)
        assert found["train.words"] == [name.decode() for name in stored["name"].tolist()]

    def test_a_column_that_is_not_read_is_named(self, tmp_path: Path) -> None:
        """And one that is not there, with the nearest."""
        kinds = [("a", "i4"), ("s", h5py.string_dtype()), ("v", "i4", (2,)), ("t", [("b", "i4")])]
        path = put(tmp_path / "f", written(lambda file: file.create_dataset("x", (3,), kinds)))
        for name, reason in (
            ("aa", "table 'x' has no column 'aa'; did you mean 'a'?"),
            ("s", "column 's' of table 'x' holds values of a length of their own, which are not read in a table"),
            ("v", "column 'v' of table 'x' holds arrays, which is not read as a field"),
            ("t", "column 't' of table 'x' holds a table of several columns (compound), which is not read as a field"),
        ):
            with pytest.raises(DecodeError) as caught:
                read("hdf5", split(column(path, "x", key=f"x/{name}", dtype="int32")))
            assert caught.value.reason == reason
        with pytest.raises(DecodeError) as caught:
            read("hdf5", split(column(path, "x", dtype="int32")))
        assert caught.value.hint == "Name a column of it: `key: x/a`."

    def test_text_of_a_fixed_and_of_its_own_length(self, tmp_path: Path) -> None:
        """In a list, or in a column."""
        texts = ["ant", "", "caf\u00e9 \U0001f600"]
        raw = np.array([text.encode() for text in texts])
        path = put(
            tmp_path / "f", holding(a=raw, b=np.array(texts, object), c=raw[:, None], d=np.array([texts], object))
        )

        for name in "abcd":
            assert read("hdf5", split(column(path, name, dtype="str")))[f"train.{name}"] == texts

    @pytest.mark.parametrize("how", [{}, {"compression": "lzf"}, {"compression": "gzip", "shuffle": True}])
    def test_strings_in_compressed_chunks(self, how: Mapping[str, Any], tmp_path: Path) -> None:
        """Of which the chunks have the places alone."""
        texts = [f"text {n}" * (n % 5) for n in range(6000)]
        fill = lambda file: file.create_dataset("t", data=np.array(texts, object), chunks=(1000,), **how)  # noqa: E731
        path = put(tmp_path / "f", written(fill, userblock_size=512))

        assert read("hdf5", split(column(path, "t", samples=6000, dtype="str")))["train.t"] == texts

    def test_lists_are_ragged(self, tmp_path: Path) -> None:
        """Of any numbers, also none."""
        words = [[1, 2, 3], [], [2**40]]

        def fill(file: h5py.File) -> None:
            made = file.create_dataset("words", (3,), h5py.vlen_dtype(np.dtype("i8")))
            for at, word in enumerate(words):
                made[at] = word

        path = put(tmp_path / "f", written(fill))
        found = blocks(path, field="words", shape=(None,), dtype="int64")

        assert [sample.tolist() for sample in found.samples()] == words
        assert found.values.dtype == np.int64
        with pytest.raises(ContentError, match=r"data set 'words' holds lists of numbers, .* declared as int64 \[3\]"):
            blocks(path, field="words", shape=(3,), dtype="int64")

    def test_axes_of_length_one_do_not_matter(self, tmp_path: Path) -> None:
        """As MATLAB's users have them."""
        for shape in ((3, 1), (1, 3), (1, 3, 1)):
            path = put(tmp_path / "f", holding(x=np.arange(3).reshape(shape)))
            assert read("hdf5", split(column(path, "x", dtype="int64")))["train.x"].tolist() == [0, 1, 2]

    @pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped({"a/x.h5": data})], ids=["gzip", "zip"])
    def test_a_file_inside_of_another(self, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
        """PatchCamelyon's files are compressed as a whole."""
        path = put(tmp_path / "f", pack(holding(images=GOOD)))
        member = ("a/x.h5",) if pack is not gzip.compress else ()

        found = read("hdf5", split(column(path, shape=(2,), member=member)))

        np.testing.assert_array_equal(found["train.images"], GOOD, strict=True)

    def test_what_matlab_keeps_before_it(self, tmp_path: Path) -> None:
        """A block of 512 bytes, which h5py skips; the axes come in the opposite order."""
        data = written(lambda file: file.create_dataset("images", data=GOOD.T), userblock_size=512)
        head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
        data = head + data[len(head) :]
        result = made(
            tmp_path,
            """
            format: hdf5
            fields: {images: {dtype: uint8, shape: [2], axes: [1, 0]}}
            splits: {train: {samples: 3, file: x.mat}}
            """,
            x_mat=data,
        )

        np.testing.assert_array_equal(result.train.images, GOOD, strict=True)

    def test_a_real_one(self, realdata: Path) -> None:
        """Cats and others, as a course hands them out."""
        path = realdata / "formats" / "hdf5" / "train_catvnoncat.h5"
        columns = (
            column(path, key="train_set_x", samples=209, shape=(64, 64, 3)),
            column(path, "labels", key="train_set_y", samples=209, dtype="int64", classes=("non-cat", "cat")),
        )

        found = read("hdf5", split(*columns))

        with h5py.File(path) as file:
            np.testing.assert_array_equal(found["train.images"], file["train_set_x"][:], strict=True)
            np.testing.assert_array_equal(found["train.labels"], file["train_set_y"][:], strict=True)
        assert read("hdf5", split(column(path, "c", key="list_classes", samples=2, dtype="str"))) == {
            "train.c": ["non-cat", "cat"]
        }


def described(data: bytes, path: Path) -> FileInfo:
    """What the format says of these bytes."""
    detection = formats.of("hdf5").detect(data[: formats.HEAD_BYTES], put(path, data))
    assert detection is not None
    return detection.inspect()


class TestInspect:
    """What `add` learns of a file."""

    def test_what_matlab_keeps_in_place_of_values(self, tmp_path: Path) -> None:
        """A shape where nothing is, the codes of characters, the parts of sparse matrices and of cells: all named."""

        def fill(file: h5py.File) -> None:
            file["x"] = np.zeros((5, 4))
            file["none"] = np.array([5, 0], "u8")
            file["none"].attrs["MATLAB_empty"] = np.uint8(1)
            file["names"] = np.full((4, 5), ord("a"), "u2")
            file["names"].attrs["MATLAB_class"] = np.bytes_("char")
            file["sparse/data"] = np.ones(5)
            file["sparse/ir"] = np.arange(5)
            file["sparse"].attrs["MATLAB_sparse"] = np.uint64(4)
            file["#refs#/a"] = np.ones(5)
            file["cells"] = np.array([file["#refs#/a"].ref] * 5, h5py.ref_dtype)
            file["x"].attrs["MATLAB_class"] = np.bytes_("double")

        info = described(written(fill), tmp_path / "f")

        assert [array.key for array in info.arrays] == ["x"]
        assert sorted(info.left_out) == [
            "'#refs#' holds what is in cells, which are not read",
            "'cells' holds references to other objects, which is not read as a field",
            "'names' holds characters as numbers, as MATLAB stores them, which are not read as text",
            "'none' is empty: MATLAB keeps its shape there",
            "'sparse' is a sparse matrix, which is not read",
        ]

    @pytest.mark.parametrize(("numbers", "values"), [((0, 1, 2), ()), ((1, 3, 7), (1, 3, 7))])
    def test_names_of_numbers(self, numbers: tuple[int, ...], values: tuple[int, ...], tmp_path: Path) -> None:
        """An enumeration has the names of the classes; one of bools is of bools."""

        def fill(file: h5py.File) -> None:
            kind = h5py.enum_dtype(dict(zip(("cat", "dog", "eel"), numbers, strict=True)), "u1")
            file.create_dataset("y", data=np.array(numbers * 4, "u1"), dtype=kind)
            file["z"] = np.ones(12, bool)

        assert described(written(fill), tmp_path / "f").arrays == (
            ArrayInfo("y", "uint8", (12,), classes=("cat", "dog", "eel"), values=values),
            ArrayInfo("z", "bool", (12,)),
        )

    def test_the_order_of_matlabs_axes(self, tmp_path: Path) -> None:
        """Of pictures it is noted: they lie on their side."""

        def fill(file: h5py.File) -> None:
            file["x"] = np.zeros((5, 4, 3))
            file["y"] = np.zeros((1, 5))

        data = written(fill, userblock_size=512)
        head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
        note = "the axes are as HDF5 has them, in the opposite order of MATLAB's"

        assert [one.note for one in described(data, tmp_path / "f").arrays] == ["", ""]
        assert [one.note for one in described(head + data[len(head) :], tmp_path / "g").arrays] == [note, ""]

    @pytest.mark.parametrize("value", ["char", np.zeros(3, "u1"), np.float64(1), h5py.Empty("u1")])
    def test_attributes_of_other_kinds(self, value: Any, tmp_path: Path) -> None:
        """Whatever stands under MATLAB's names is none of MATLAB's, and no reason to fail."""

        def fill(file: h5py.File) -> None:
            file["x"] = np.zeros((5, 4))
            for name in ("MATLAB_class", "MATLAB_empty"):
                file["x"].attrs[name] = value if not isinstance(value, np.float64) else np.zeros((1, 1))

        assert [array.key for array in described(written(fill), tmp_path / "f").arrays] == ["x"]

    def test_each_data_set_is_an_array(self, tmp_path: Path) -> None:
        """In groups too; what is not read, and what is a link, is named."""

        def fill(file: h5py.File) -> None:
            file["a/x"] = np.zeros((5, 2), "f4")
            file["a/y"] = np.zeros((5, 1), bool)
            file["a/z"] = np.zeros(5, ">u2")
            file["t"] = np.array(["a", "b"], object)
            file["s"] = np.array([b"a", b"b"])
            file.create_dataset("words", (4,), h5py.vlen_dtype(np.dtype("i4")))
            file["table"] = np.zeros(5, [("a", "i4"), ("b", "f8")])
            file["one"] = 7
            file["a/again"] = file["a"]
            file["soft"] = h5py.SoftLink("/a/x")
            file["other"] = h5py.ExternalLink("/etc/passwd", "/x")
            file["last"] = np.zeros((7, 5))

        info = described(written(fill), tmp_path / "f")

        assert sorted(info.arrays, key=lambda array: array.key) == [
            ArrayInfo("a/x", "float32", (5, 2)),
            ArrayInfo("a/y", "bool", (5, 1)),
            ArrayInfo("a/z", "uint16", (5,)),
            ArrayInfo("last", "float64", (7, 5)),
            ArrayInfo("s", "str", (2,)),
            ArrayInfo("t", "str", (2,)),
            ArrayInfo("table/a", "int32", (5,)),
            ArrayInfo("table/b", "float64", (5,)),
            ArrayInfo("words", "int32", (4, None)),
        ]
        assert sorted(info.left_out) == [
            "'a/again' is another name of 'a'",
            "'one' is a single value",
            "'other' is a link into another file",
            "'soft' is a link to '/a/x'",
        ]


def wrong(reason: str, hostile: Callable[[], bytes], twin: Callable[[], bytes] = chunked, **more: Any) -> Case:
    """A case of this format."""
    return Case("hdf5", hostile, reason, twin, **more)


def of_type(dtype: Any) -> Callable[[], bytes]:
    """A file of three values of that type."""
    return lambda: written(lambda file: file.create_dataset("images", (3,), dtype))


def virtual(file: h5py.File) -> None:
    """A data set that is another file's."""
    layout = h5py.VirtualLayout((3, 2), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 2))
    file.create_virtual_dataset("images", layout)


def strings() -> bytes:
    """A file of three strings, which are in a heap."""
    return holding(images=np.array(["a", "bcde", "f"], object))


def in_heap(data: bytes, at: int, new: bytes) -> bytes:
    """The same with other bytes in its heap."""
    start = data.index(b"GCOL") + at
    return data[:start] + new + data[start + len(new) :]


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    """The same with other bytes in one place."""
    assert data.count(old) == 1, data.count(old)
    return data.replace(old, new)


TEXT: dict[str, Any] = {"dtype": "str", "shape": ()}
RAGGED: dict[str, Any] = {"dtype": "int64", "shape": (None,)}
PACKED = zlib.compress(GOOD.tobytes())


def lists(*values: Any) -> Callable[[], bytes]:
    """A file of lists."""

    def fill(file: h5py.File) -> None:
        made = file.create_dataset("images", (len(values),), h5py.vlen_dtype(np.dtype("i8")), chunks=True)
        for at, value in enumerate(values):
            made[at] = value

    return lambda: written(fill)


CASES = {
    "hdf5, no superblock": wrong("it is not HDF5: it has no superblock", lambda: bytes(2000)),
    "hdf5, a superblock cut short": wrong(
        "it is not HDF5: its superblock is of an unknown version, or cut short", lambda: chunked()[:30]
    ),
    "hdf5, an unknown superblock": wrong(
        "it is not HDF5: its superblock is of an unknown version, or cut short",
        lambda: (d := chunked())[:8] + b"\x09" + d[9:],
    ),
    "hdf5, something behind": wrong(
        "its superblock states that it ends at byte 4,022, and it has 4,026",
        lambda: chunked() + b"more",
    ),
    "hdf5, cut short": wrong("it cannot be read as HDF5: ", lambda: chunked()[:-9]),
    "hdf5, zeros behind the superblock": wrong(
        "it cannot be read as HDF5: ", lambda: (d := chunked())[:100] + bytes(len(d) - 100)
    ),
    "hdf5, no such data set": wrong(
        "it has no data set 'images'; did you mean 'image'?", lambda: holding(image=GOOD), lambda: holding(images=GOOD)
    ),
    "hdf5, a group": wrong("'images' is no data set", lambda: holding(images__x=GOOD)),
    "hdf5, a data set in a data set": wrong(
        "'a' is no group", lambda: holding(a=GOOD), lambda: holding(a__images=GOOD), declared={"key": "a/images"}
    ),
    "hdf5, a link into another file": wrong(
        "'images' is a link into another file, and links are not followed",
        lambda: written(lambda file: file.update({"images": h5py.ExternalLink("/etc/passwd", "/images")})),
    ),
    "hdf5, a link": wrong(
        "'images' is a link to '/x', and links are not followed",
        lambda: written(lambda file: file.update({"x": GOOD, "images": h5py.SoftLink("/x")})),
    ),
    "hdf5, a link to itself": wrong(
        "'images' is a link to '/images', and links are not followed",
        lambda: written(lambda file: file.update({"images": h5py.SoftLink("/images")})),
    ),
    "hdf5, a virtual data set": wrong(
        "data set 'images' is made of data sets in other files (a virtual data set), which are not read",
        lambda: written(virtual),
    ),
    "hdf5, values in another file": wrong(
        "data set 'images' keeps its values in other files, which are not read",
        lambda: written(lambda f: f.create_dataset("images", (3, 2), "u1", external=[("/etc/passwd", 0, 6)])),
    ),
    "hdf5, a filter": wrong(
        "data set 'images' is compressed by the filter scaleoffset, which is not read", lambda: chunked(scaleoffset=0)
    ),
    "hdf5, a table": wrong(
        "data set 'images' holds a table of several columns (compound), which is not read as a field",
        of_type([("a", "i4"), ("b", "f8")]),
    ),
    "hdf5, references": wrong(
        "data set 'images' holds references to other objects, which is not read as a field", of_type(h5py.ref_dtype)
    ),
    "hdf5, arrays in a data set": wrong(
        "data set 'images' holds arrays, which is not read as a field", of_type(np.dtype(("u1", (2,))))
    ),
    "hdf5, bytes without meaning": wrong(
        "data set 'images' holds bytes without meaning, which is not read as a field", of_type(np.dtype("V8"))
    ),
    "hdf5, complex": wrong(
        "data set 'images' holds a table of several columns (compound), which is not read as a field", of_type("c8")
    ),
    "hdf5, nothing": wrong(
        "data set 'images' holds nothing", lambda: written(lambda file: file.update({"images": h5py.Empty("u1")}))
    ),
    "hdf5, a single value": wrong(
        "data set 'images' is a single value, not a row of samples", lambda: holding(images=np.uint8(7))
    ),
    "hdf5, more samples": wrong(
        "data set 'images' is uint8 (4, 2), more than train.images declares: uint8 (3, 2)",
        lambda: holding(images=np.zeros((4, 2), "u1")),
        error=ContentError,
    ),
    "hdf5, terabytes": wrong(
        "data set 'images' is uint8 (1000000, 2000000), more than train.images declares: uint8 (3, 2)",
        lambda: written(lambda f: f.create_dataset("images", (10**6, 2 * 10**6), "u1", chunks=(1, 10**6))),
        error=ContentError,
    ),
    "hdf5, a chunk of gigabytes": wrong(
        "data set 'images' is stored in chunks of 2,000,000,000 bytes, and 6 are declared",
        lambda: written(
            lambda f: f.create_dataset(
                "images", (3, 2), "u1", chunks=(10**9, 2), maxshape=(None, 2), compression="gzip"
            )
        ),
    ),
    "hdf5, a bomb in a chunk": wrong(
        "data set 'images' has a chunk at (0, 0) that comes to more than the 6 bytes of a chunk",
        lambda: with_chunk(zlib.compress(bytes(32 << 20))),
        lambda: with_chunk(PACKED),
    ),
    "hdf5, a bomb in an LZF chunk": wrong(
        "data set 'images' has a chunk at (0, 0) that comes to more than the 6 bytes of a chunk",
        lambda: with_chunk(b"\0a" + b"\xe0\xff\0" * 20_000, compression="lzf"),
        lambda: with_chunk(b"\5\0\1\2\3\4\5", compression="lzf"),
    ),
    "hdf5, a chunk of nothing": wrong(
        "data set 'images' has a chunk at (0, 0) that is not as long as it should be",
        lambda: with_chunk(b"abcd", fletcher32=True),
        lambda: chunked(compression="gzip", fletcher32=True),
    ),
    "hdf5, a chunk that is too short": wrong(
        "data set 'images' has a chunk at (0, 0) that is not as long as it should be",
        lambda: with_chunk(b"abcde", compression=None),
        lambda: with_chunk(b"abcdef", compression=None),
    ),
    "hdf5, gzip data that is damaged": wrong(
        "data set 'images' has a chunk at (0, 0) whose gzip data is damaged",
        lambda: with_chunk(b"\x78\x9c" + b"\xff" * 5000),
        lambda: with_chunk(PACKED),
    ),
    "hdf5, gzip data that is damaged in a small chunk": wrong(
        "it cannot be read as HDF5: ", lambda: with_chunk(b"\x78\x9c\xff\xff"), lambda: with_chunk(PACKED)
    ),
    "hdf5, a checksum": wrong(
        "it cannot be read as HDF5: ",
        lambda: patched(chunked(np.full((3, 2), 77, "u1"), fletcher32=True), b"M" * 6, b"MMMNMM"),
        lambda: chunked(fletcher32=True),
    ),
    "hdf5, text": wrong(
        "data set 'images' holds text, train.images is declared as uint8",
        lambda: holding(images=np.array([b"a", b"b", b"c"])),
        error=ContentError,
    ),
    "hdf5, text that is not UTF-8": wrong(
        "data set 'images' has a text that is not UTF-8, at sample 1",
        lambda: holding(images=np.array([b"a", b"\xff", b"c"])),
        lambda: holding(images=np.array([b"a", b"b", b"c"])),
        declared=TEXT,
    ),
    "hdf5, strings that are not UTF-8": wrong(
        "data set 'images' has a text that is not UTF-8, at sample 2",
        lambda: holding(images=np.array([b"a", b"b", b"\xff"], h5py.string_dtype())),
        lambda: holding(images=np.array([b"a", b"b", b"c"], h5py.string_dtype())),
        declared=TEXT,
    ),
    "hdf5, texts of gigabytes": wrong(
        "data set 'images' holds texts of 1,000,000,000 bytes, which is too long",
        of_type("S1000000000"),
        of_type("S10"),
        declared=TEXT,
    ),
    "hdf5, texts that are a bomb": wrong(
        "data set 'images' states 7,200,000,000 bytes of text, too many for a file of its size",
        lambda: written(lambda file: file.create_dataset("images", (80_000,), "S90000", chunks=(1,))),
        lambda: written(lambda file: file.create_dataset("images", (8,), "S9", chunks=(1,))),
        declared={**TEXT, "samples": 80_000},
    ),
    "hdf5, a heap without end": wrong(
        "the heap at byte 1,448 is damaged",
        lambda: in_heap(strings(), 16, struct.pack("<HHIQ", 0, 0, 0, 0)),
        strings,
        declared=TEXT,
    ),
    "hdf5, a heap whose object is larger": wrong(
        "the heap at byte 1,448 is damaged",
        lambda: in_heap(strings(), 24, struct.pack("<Q", 2**64 - 16)),
        strings,
        declared=TEXT,
    ),
    "hdf5, a heap that is larger than the file": wrong(
        "the heap at byte 1,448 is damaged",
        lambda: in_heap(strings(), 8, struct.pack("<Q", 2**40)),
        strings,
        declared=TEXT,
    ),
    "hdf5, a string of gigabytes": wrong(
        "data set 'images' states 4,294,967,296 bytes or more of strings or lists, the most is 4,904,704",
        lambda: patched(strings(), struct.pack("<IQI", 4, 1448, 2), struct.pack("<IQI", 2**32 - 2, 1448, 2)),
        strings,
        declared=TEXT,
    ),
    "hdf5, a string that is longer than is said": wrong(
        "data set 'images' has a string or a list of another length than is said of it",
        lambda: patched(strings(), struct.pack("<IQI", 4, 1448, 2), struct.pack("<IQI", 2, 1448, 2)),
        strings,
        declared=TEXT,
    ),
    "hdf5, a string that is nowhere": wrong(
        "data set 'images' has a string or a list of another length than is said of it",
        lambda: patched(strings(), struct.pack("<IQI", 4, 1448, 2), struct.pack("<IQI", 4, 1448, 2**16 + 2)),
        strings,
        declared=TEXT,
    ),
    "hdf5, more lists": wrong(
        "data set 'images' has (4,) lists, more than the 3 that train.images declares",
        lists([1], [2], [3], [4]),
        lists([1], [2], [3]),
        declared=RAGGED,
        error=ContentError,
    ),
    "hdf5, lists of the other order of bytes": wrong(
        "data set 'images' holds lists of numbers in the other order of bytes, which h5py does not read",
        of_type(h5py.vlen_dtype(np.dtype(np.int64).newbyteorder("S"))),
        lists([1], [2], [3]),
        declared=RAGGED,
    ),
    "hdf5, lists that are none": wrong(
        "data set 'images' holds values of a length of their own that are neither strings nor lists",
        lambda: patched(lists([1], [2], [3])(), b"\x19\0\0\0\x10\0\0\0", b"\x19\x37\0\0\x10\0\0\0"),
        lists([1], [2], [3]),
        declared=RAGGED,
    ),
    "hdf5, lists of texts": wrong(
        "data set 'images' holds lists of something else than numbers",
        of_type(h5py.vlen_dtype(h5py.string_dtype())),
        lists([1], [2], [3]),
        declared=RAGGED,
    ),
}

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def read_blocks(case: Case, path: Path) -> list[Any]:
    """What the format makes of a file."""
    return list(formats.of("hdf5").decode([split(column(path, **{"shape": (2,), **case.declared}))]))


@every
def test_the_hostile_one_is_refused(case: Case, tmp_path: Path) -> None:
    """In these words, by this class, soon, and in little memory."""
    path = put(tmp_path / "file", case.hostile())

    with soon(), pytest.raises(DecodeError) as caught, memory_below(MEBIBYTES):
        read_blocks(case, path)

    assert isinstance(case.reason, str)
    if case.reason.endswith(": "):  # what follows is h5py's
        assert caught.value.reason.startswith(case.reason)
        assert len(caught.value.reason) < 300
    else:
        assert caught.value.reason == case.reason
    assert type(caught.value) is case.error
    assert caught.value.path == path


@every
def test_its_harmless_twin_is_read(case: Case, tmp_path: Path) -> None:
    """So that refusing is not just being broken."""
    assert all(len(block.values) for block in read_blocks(case, put(tmp_path / "file", case.twin())))


MEASURE = """
import resource, sys
from pathlib import Path
from tests.formats.test_hdf5 import CASES, read_blocks
from tinytorch_datasets.errors import DecodeError
case = CASES[sys.argv[1]]
read_blocks(case, Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20), used + (512 << 20)))
try:
    read_blocks(case, Path(sys.argv[3]))
except DecodeError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", CASES)
def test_memory_is_bounded(name: str, tmp_path: Path) -> None:
    """No chunk and no header makes the process grow: not by 96 MiB, measured from outside of Python."""
    twin, hostile = put(tmp_path / "twin", CASES[name].twin()), put(tmp_path / "hostile", CASES[name].hostile())

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, name, twin, hostile], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 96 << 10
