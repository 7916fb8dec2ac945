"""MATLAB files: what SciPy wrote, what MATLAB wrote, and what nobody should have written."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from tests.helpers.declared import made, plain
from tests.helpers.format_writers import CLASSES, column, put, read, split, zipped
from tests.helpers.hostile import Case, check_refused
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.formats import ArrayInfo, FileInfo


def saved(**variables: Any) -> bytes:
    """A file by SciPy, of version 5, its variables compressed."""
    out = io.BytesIO()
    scipy.io.savemat(out, variables, do_compression=True)
    return out.getvalue()


def of_objects(*values: Any) -> np.ndarray:
    """What SciPy writes as a row of cells."""
    out = np.empty(len(values), object)
    out[:] = values
    return out


def element(kind: int, data: bytes, order: str = "<", *, states: int | None = None) -> bytes:
    """An element with its tag, which may state another size."""
    size = len(data) if states is None else states
    return struct.pack(f"{order}II", kind, size) + data + bytes(-len(data) % 8)


def array(
    *rest: bytes, name: str = "images", kind: int = 9, dims: tuple[int, ...] = (3, 2), flags: int = 0, order: str = "<"
) -> bytes:
    """An array, by hand: flags, dimensions, name, and what follows."""
    parts = (
        element(6, struct.pack(f"{order}II", kind | flags, 0), order),
        element(5, struct.pack(f"{order}{len(dims)}i", *dims), order),
        element(1, name.encode(), order),
    )
    return element(14, b"".join(parts) + b"".join(rest), order)


def file(*elements: bytes, order: str = "<", version: int = 0x0100) -> bytes:
    """A file, by hand."""
    mark = struct.pack(f"{order}HH", version, 0x4D49)
    return b"MATLAB 5.0 MAT-file, by hand".ljust(124, b" ") + mark + b"".join(elements)


def packed(data: bytes) -> bytes:
    """A compressed variable; those are not filled up."""
    data = zlib.compress(data)
    return struct.pack("<II", 15, len(data)) + data


NUMBERS = element(2, bytes(range(6)))  # by columns: [[0, 3], [1, 4], [2, 5]]
GOOD = array(NUMBERS)


def by_hand(*rest: bytes, **header: Any) -> Callable[[], bytes]:
    """A file of one such array."""
    return lambda: file(array(*(rest or (NUMBERS,)), **header))


class TestNumbers:
    """Arrays of numbers, as SciPy shows them."""

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("wrap", [lambda data: data, packed], ids=["plain", "compressed"])
    def test_both_orders_of_bytes(self, order: str, wrap: Callable[[bytes], bytes], tmp_path: Path) -> None:
        """Small elements too, whose tags hold their bytes; SciPy reads the same."""
        if order == ">" and wrap is packed:
            wrap = lambda data: struct.pack(">II", 15, len(zlib.compress(data))) + zlib.compress(data)  # noqa: E731
        values = np.array([[-1.5, 2], [3, 4], [5, 1e300]])
        small = struct.pack(f"{order}I", (2 << 16) | 1) + b"ab\0\0"
        body = [
            element(6, struct.pack(f"{order}II", 6, 0), order),
            element(5, struct.pack(f"{order}2i", 3, 2), order),
            small,
            element(9, values.astype(f"{order}f8").tobytes(order="F"), order),
        ]
        path = put(tmp_path / "f", file(wrap(element(14, b"".join(body), order)), order=order))

        found = read("mat", split(column(path, "ab", shape=(2,), dtype="float64")))["train.ab"]

        np.testing.assert_array_equal(found, values, strict=True)
        np.testing.assert_array_equal(found, scipy.io.loadmat(path)["ab"])

    @pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
    def test_every_type(self, dtype: str, tmp_path: Path) -> None:
        """Of three axes, more than one block of them."""
        values = np.arange(9000 * 2 * 3).reshape(9000, 2, 3).astype(dtype)
        path = put(tmp_path / "f", saved(images=values))

        found = read("mat", split(column(path, samples=9000, shape=(2, 3), dtype=values.dtype.name)))

        np.testing.assert_array_equal(found["train.images"], scipy.io.loadmat(path)["images"], strict=True)

    @pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1), (4, 1, 1), (1, 1, 4)])
    def test_axes_of_length_one_do_not_matter(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        """MATLAB has no fewer than two, and a list is a row."""
        path = put(tmp_path / "f", saved(x=np.arange(4.0).reshape(shape)))

        assert read("mat", split(column(path, "x", samples=4, dtype="int64")))["train.x"].tolist() == [0, 1, 2, 3]

    def test_whole_numbers_may_be_stored_as_others(self, tmp_path: Path) -> None:
        """They come as declared where that holds them, and are an error where it does not."""
        path = put(tmp_path / "f", saved(x=np.array([0.0, 255.0, 256.0]), y=np.array([True, False, True])))

        def of(field: str, dtype: str) -> np.ndarray:
            found: np.ndarray = read("mat", split(column(path, field, dtype=dtype)))[f"train.{field}"]
            return found

        for dtype in ("float64", "float32", "uint16", "int64"):
            np.testing.assert_array_equal(of("x", dtype), np.array([0, 255, 256], dtype), strict=True)
        assert of("y", "bool").tolist() == [True, False, True]
        with pytest.raises(ContentError, match=r"variable 'x' holds 256\.0 at sample 2, which uint8 does not hold"):
            of("x", "uint8")
        with pytest.raises(ContentError, match=r"variable 'x' holds 255\.0 at sample 1, which bool does not hold"):
            of("x", "bool")

    def test_structs_are_named_by_their_path(self, tmp_path: Path) -> None:
        """EMNIST's layout: images and labels two structs deep."""
        images, labels = np.arange(12, dtype="u1").reshape(3, 4), np.array([[2], [0], [1]], "u1")
        inside = {"images": images, "labels": labels, "writers": np.array([[1], [2], [3]])}
        path = put(tmp_path / "f", saved(dataset={"train": inside, "mapping": np.eye(2)}))
        columns = (
            column(path, shape=(4,), key="dataset.train.images"),
            column(path, "labels", key="dataset.train.labels", dtype="int64", classes=CLASSES),
        )

        found = read("mat", split(*columns))

        np.testing.assert_array_equal(found["train.images"], images, strict=True)
        assert found["train.labels"].tolist() == [2, 0, 1]
        with pytest.raises(
            DecodeError, match=r"no variable 'dataset.train.image'; did you mean 'dataset.train.images'"
        ):
            read("mat", split(column(path, shape=(4,), key="dataset.train.image")))

    @pytest.mark.slow
    def test_each_struct_of_an_array_is_a_sample(self, tmp_path: Path) -> None:
        """As Stanford Cars has its annotations: names, classes from 1, and boxes, a struct for each picture."""
        structs = np.zeros((1, 5000), [("x1", object), ("x2", object), ("class", object), ("fname", object)])
        for n in range(5000):
            structs[0, n] = (n, n + 300, n % 3 + 1, f"{n:05}.jpg")
        path = put(tmp_path / "f", saved(annotations=structs))
        columns = (
            column(path, "files", key="annotations.fname", samples=5000, dtype="str"),
            column(
                path, "labels", key="annotations.class", samples=5000, dtype="int64", classes=CLASSES, values=(1, 2, 3)
            ),
            column(path, "x2", key="annotations.x2", samples=5000, dtype="int16"),
        )

        found = read("mat", split(*columns))

        loaded = scipy.io.loadmat(path, squeeze_me=True)["annotations"]
        assert found["train.files"] == loaded["fname"].tolist()
        assert found["train.labels"].tolist() == loaded["class"].tolist()
        np.testing.assert_array_equal(found["train.x2"], loaded["x2"].astype("i2"), strict=True)

    def test_each_struct_in_a_cell_is_a_sample(self, tmp_path: Path) -> None:
        """Also where a field is a struct, or has a cell around its value."""
        cells = of_objects({"name": "a", "box": {"x": 1.5}}, {"name": of_objects("bc"), "box": {"x": 2.5}})
        path = put(tmp_path / "f", saved(list=cells))
        columns = (
            column(path, "words", key="list.name", samples=2, dtype="str"),
            column(path, "x", key="list.box.x", samples=2, dtype="float32"),
        )

        found = read("mat", split(*columns))

        assert found["train.words"] == ["a", "bc"]
        assert found["train.x"].tolist() == [1.5, 2.5]

    def test_fields_of_structs_may_be_lists_of_several_lengths(self, tmp_path: Path) -> None:
        """They are ragged, as cells are."""
        structs = np.zeros((3, 1), [("words", object)])
        for n in range(3):
            structs[n, 0] = (np.arange(n + 1.0),)
        path = put(tmp_path / "f", saved(docs=structs))

        words = column(path, "w", key="docs.words", dtype="int64", shape=(None,))
        found: list[Any] = [block.values for block in formats.of("mat").decode([split(words)])]

        assert [sample.tolist() for block in found for sample in block.samples()] == [[0], [0, 1], [0, 1, 2]]

    def test_a_cell_around_a_text_is_that_text(self, tmp_path: Path) -> None:
        """Tools that make a list of texts of each text leave such."""
        path = put(tmp_path / "f", saved(x=of_objects(of_objects("a"), "b")))

        assert read("mat", split(column(path, "x", samples=2, dtype="str")))["train.x"] == ["a", "b"]

    def test_a_field_that_no_struct_has_is_reported_with_the_nearest(self, tmp_path: Path) -> None:
        """As every name is."""
        structs = np.zeros((1, 2), [("fname", object), ("grid", object)])
        for n in range(2):
            structs[0, n] = ("x", np.zeros(2, [("y", object)]))
        path = put(tmp_path / "f", saved(annotations=structs))

        with pytest.raises(
            DecodeError, match=r"it has no variable 'annotations.name'; did you mean 'annotations.fname'"
        ):
            read("mat", split(column(path, "f", key="annotations.name", samples=2, dtype="str")))
        with pytest.raises(DecodeError, match=r"is several structs in one, and a sample is one value"):
            read("mat", split(column(path, "f", key="annotations.grid.y", samples=2, dtype="int64")))

    def test_one_variable_may_be_two_fields(self, tmp_path: Path) -> None:
        """Each as it declares it."""
        path = put(tmp_path / "f", saved(x=np.array([[0, 1, 2]])))
        columns = (column(path, "a", key="x", dtype="float32"), column(path, "b", key="x", dtype="int8"))

        found = read("mat", split(*columns))

        assert [found[f"train.{name}"].dtype.name for name in "ab"] == ["float32", "int8"]


class TestTextAndCells:
    """Rows of characters, and cells."""

    def test_rows_of_characters_are_texts(self, tmp_path: Path) -> None:
        """As long as the longest, as SciPy shows them."""
        path = put(tmp_path / "f", saved(t=np.array(["abc", "d\u00e9", ""])))

        assert read("mat", split(column(path, "t", dtype="str")))["train.t"] == scipy.io.loadmat(path)["t"].tolist()

    def test_cells_are_texts(self, tmp_path: Path) -> None:
        """In a row or a column, also empty, also beyond the first plane of Unicode."""
        texts = ["ant", "", "\u00e9\U0001f600 bee"]
        for values in (of_objects(*texts), of_objects(*texts)[:, None]):
            path = put(tmp_path / "f", saved(t=values))
            assert read("mat", split(column(path, "t", dtype="str")))["train.t"] == texts

    def test_cells_are_arrays(self, tmp_path: Path) -> None:
        """Of one shape, of one number, or ragged."""
        images = [np.arange(6).reshape(2, 3) + n for n in range(3)]
        words = [[1, 2, 3], [], [4]]
        data = saved(images=of_objects(*images), n=of_objects(1.0, 2.0, 300.0), words=of_objects(*map(np.array, words)))
        path = put(tmp_path / "f", data)
        columns = (
            column(path, shape=(2, 3), dtype="uint8"),
            column(path, "n", dtype="int16"),
            column(path, "words", shape=(None,), dtype="int64"),
        )

        found: dict[str, Any] = {
            block.column.field: block.values for block in formats.of("mat").decode([split(*columns)])
        }

        np.testing.assert_array_equal(found["images"], np.array(images, "u1"), strict=True)
        assert found["n"].tolist() == [1, 2, 300]
        assert [sample.tolist() for sample in found["words"].samples()] == words


class TestCellsInRowsAndColumns:
    """A row of them is a sample, as of any other matrix."""

    ENTRY = """
        format: mat
        fields: {{images: {{dtype: uint8, shape: {0}}}}}
        splits: {{train: {{samples: 2, file: x.mat}}}}
        """

    def file(self, *shapes: tuple[int, int]) -> bytes:
        """Two rows of three arrays, of those shapes, each of its own number."""
        cells = np.empty((2, 3), object)
        for number, place in enumerate(np.ndindex(2, 3)):
            cells[place] = np.full(shapes[number % len(shapes)], number, np.uint8)
        file = io.BytesIO()
        scipy.io.savemat(file, {"images": cells})
        return file.getvalue()

    def test_by_rows(self, tmp_path: Path) -> None:
        """In the order in which MATLAB and SciPy show them, which is not that of the file."""
        data = made(tmp_path, self.ENTRY.format([3, 4, 5]), x_mat=self.file((4, 5)))

        assert data.train.images.shape == (2, 3, 4, 5)
        assert data.train.images[:, :, 0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]

    @pytest.mark.parametrize(
        ("shape", "shapes", "reason"),
        [
            ([4, 5], [(4, 5)], "variable 'images' has cells of the shape (2, 3), of which a row is a sample"),
            (
                [3, 4, 5],
                [(4, 5), (5, 4)],
                "variable 'images', cell 2 has the shape (5, 4), train.images is declared as [4, 5]",
            ),
        ],
        ids=["another shape is declared", "arrays of two shapes"],
    )
    def test_what_is_refused(
        self, tmp_path: Path, shape: list[int], shapes: list[tuple[int, int]], reason: str
    ) -> None:
        """With what would be right, or the cell, which the file counts by columns."""
        with pytest.raises(DecodeError) as caught:
            made(tmp_path, self.ENTRY.format(shape), x_mat=self.file(*shapes))

        assert caught.value.reason == reason


class TestPublished:
    """Files as they are published, by YAML alone."""

    def test_flowers_splits_are_lists_of_positions(self, realdata: Path, tmp_path: Path) -> None:
        """102 Category Flower Dataset: labels from 1 to 102, and for each split the numbers of its images."""
        folder = realdata / "formats" / "mat"
        data = made(
            tmp_path,
            f"""
            format: mat
            fields: {{labels: {{dtype: int64, first: 1, classes: {[f"flower {n}" for n in range(1, 103)]}}}}}
            splits:
              train:
                samples: 1_020
                stored_samples: 8_189
                labels: {{file: labels.mat, rows: {{file: setid.mat, key: trnid, first: 1}}}}
              test:
                samples: 6_149
                stored_samples: 8_189
                labels: {{file: labels.mat, rows: {{file: setid.mat, key: tstid, first: 1}}}}
            """,
            labels_mat=(folder / "imagelabels.mat").read_bytes(),
            setid_mat=(folder / "setid.mat").read_bytes(),
        )

        labels, ids = (scipy.io.loadmat(folder / name) for name in ("imagelabels.mat", "setid.mat"))
        for of, key in ((data.train, "trnid"), (data.test, "tstid")):
            expected = labels["labels"][0][ids[key][0] - 1].astype("int64") - 1
            np.testing.assert_array_equal(of.labels, expected, strict=True)

    def test_olivetti_faces_are_what_scikit_learn_makes_of_them(self, realdata: Path, tmp_path: Path) -> None:
        """Pixels by columns, samples last, 0 to 255 made 0 to 1."""
        path = realdata / "formats" / "mat" / "olivettifaces.mat"
        data = made(
            tmp_path,
            """
            format: mat
            fields:
              images: {dtype: float32, shape: [64, 64], stored_shape: [4096, null], axes: [2, 1, 0],
                       scale: 0.00392156862745098}
            splits: {train: {samples: 400, file: faces.mat, images: faces}}
            """,
            faces_mat=path.read_bytes(),
        )

        faces = np.float32(scipy.io.loadmat(path)["faces"].T / 255)
        expected = faces.reshape(400, 64, 64).transpose(0, 2, 1)  # as scikit-learn's fetch_olivetti_faces folds them
        np.testing.assert_array_equal(data.train.images, expected, strict=True)

    def test_the_layout_of_emnist(self, tmp_path: Path) -> None:
        """In a zip, two structs deep; a row for each image, its pixels by columns; letters count from 1."""
        images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
        rows, labels = images.transpose(0, 2, 1).reshape(6, 784), np.array([[1], [26], [3], [4], [5], [6]], "u1")
        parts = {"train": slice(4), "test": slice(4, 6)}
        inside = {name: {"images": rows[part], "labels": labels[part]} for name, part in parts.items()}
        place = "{{file: emnist.zip, member: matlab/emnist-letters.mat, key: dataset.{0}.{1}}}".format
        data = made(
            tmp_path,
            f"""
            format: mat
            fields:
              images: {{dtype: uint8, shape: [28, 28], stored_shape: [null, 784], axes: [0, 2, 1]}}
              labels: {{dtype: int64, first: 1, classes: {[f"letter {n}" for n in range(26)]}}}
            splits:
              train: {{samples: 4, images: {place("train", "images")}, labels: {place("train", "labels")}}}
              test: {{samples: 2, images: {place("test", "images")}, labels: {place("test", "labels")}}}
            """,
            emnist_zip=zipped({"matlab/emnist-letters.mat": saved(dataset=inside)}),
        )

        np.testing.assert_array_equal(data.train.images, images[:4], strict=True)
        np.testing.assert_array_equal(data.test.images, images[4:], strict=True)
        assert plain(data.train.labels) == [0, 25, 2, 3]

    def test_the_layout_of_svhn(self, tmp_path: Path) -> None:
        """Samples last, and 10 stored for the class 0."""
        images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 20), np.uint8)
        labels = (np.arange(20) % 10 + 1).reshape(20, 1).astype("u1")
        data = made(
            tmp_path,
            """
            format: mat
            fields:
              images: {dtype: uint8, shape: [32, 32, 3], axes: [3, 0, 1, 2]}
              labels: {dtype: int64, classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
                       values: [10, 1, 2, 3, 4, 5, 6, 7, 8, 9]}
            splits: {train: {samples: 20, file: train.mat, images: X, labels: y}}
            """,
            train_mat=saved(X=images, y=labels),
        )

        np.testing.assert_array_equal(data.train.images, images.transpose(3, 0, 1, 2), strict=True)
        assert plain(data.train.labels) == [n % 10 for n in range(1, 21)]


class TestInspect:
    """What `add` learns of a file."""

    @staticmethod
    def described(data: bytes, path: Path) -> FileInfo:
        """What the format says of these bytes."""
        detection = formats.of("mat").detect(data[: formats.HEAD_BYTES], put(path, data))
        assert detection is not None
        return detection.inspect()

    def test_each_variable_is_an_array(self, tmp_path: Path) -> None:
        """Rows and columns are lists; structs are gone into; what cannot be declared is named."""
        data = saved(
            x=np.zeros((5, 2)),
            y=np.ones((1, 5), "u1"),
            t=of_objects("a", "b"),
            w=of_objects(np.arange(3.0), np.arange(2.0)),
            s={"z": np.zeros((5, 2, 2), "f4")},
            c=np.array([1j]),
            last=np.zeros((7, 7, 5)),
            m=of_objects("a", 1),
            a=np.array([[("x.jpg", 1, np.eye(2)), ("y.jpg", 2, np.eye(3))]], [(n, object) for n in ("f", "k", "e")]),
        )

        info = self.described(data, tmp_path / "f")

        assert info.arrays == (
            ArrayInfo("x", "float64", (5, 2)),
            ArrayInfo("y", "uint8", (5,)),
            ArrayInfo("t", "str", (2,)),
            ArrayInfo("w", "float64", (2, None)),
            ArrayInfo("s.z", "float32", (5, 2, 2)),
            ArrayInfo("last", "float64", (7, 7, 5)),
            ArrayInfo("a.f", "str", (2,)),
            ArrayInfo("a.k", "int64", (2,)),
        )
        assert info.left_out == (
            "'c' is complex",
            "'m' is cells of several types",
            "'a.e' is cells of several shapes",
        )


PLAIN = by_hand()


def wrong(reason: str, hostile: Callable[[], bytes], twin: Callable[[], bytes] = PLAIN, **more: Any) -> Case:
    """A case of this format."""
    return Case("mat", hostile, reason, twin, **more)


TEXT: dict[str, Any] = {"dtype": "str", "shape": ()}
RAGGED: dict[str, Any] = {"dtype": "int64", "shape": (None,)}
CELLS: dict[str, Any] = {"dtype": "uint8", "shape": ()}


def cell(data: bytes, dims: tuple[int, ...] = (1, 1), kind: int = 9) -> bytes:
    """One cell."""
    return array(data, name="", dims=dims, kind=kind)


ONE = cell(element(2, b"\1"))
FIELD_NAMES = element(5, struct.pack("<i", 8)) + element(1, b"a".ljust(8, b"\0"))
CASES = {
    "mat, no header": wrong("it is no MATLAB file of version 5: its header ends in b'    '", lambda: b" " * 128 + GOOD),
    "mat, 7.3": wrong("it is a MATLAB file of version 7.3, which is HDF5 inside", lambda: file(GOOD, version=0x0200)),
    "mat, a header cut short": wrong(
        "it ends inside the header of a MATLAB file: 128 bytes expected, 100 came", lambda: file()[:100]
    ),
    "mat, no variables": wrong("it has no variable 'images'", file),
    "mat, another name": wrong("it has no variable 'images'; did you mean 'image'?", by_hand(name="image")),
    "mat, a name twice": wrong("variable 'images' is there twice", lambda: file(GOOD, GOOD)),
    "mat, something behind": wrong("the file ends inside a tag: 8 bytes expected, 3 came", lambda: file(GOOD) + b"abc"),
    "mat, another element": wrong(
        "the file has an element of type 2 where a variable should be", lambda: file(NUMBERS, GOOD)
    ),
    "mat, numbers cut short": wrong(
        "variable 'images' states the shape (3, 2), which makes 6 bytes, and 5 are stored",
        by_hand(element(2, bytes(5))),
    ),
    "mat, more numbers": wrong(
        "variable 'images' states the shape (3, 2), which makes 6 bytes, and 48 are stored",
        by_hand(element(2, bytes(48))),
        by_hand(element(9, bytes(48))),
    ),
    "mat, the file cut short": wrong("its header states 6 bytes of values, but only 4 came", lambda: file(GOOD)[:-4]),
    "mat, an element longer than its variable": wrong(
        "variable 'images' ends inside an element: 4,000,000,000 bytes expected, 8 are left",
        by_hand(element(2, bytes(6), states=4_000_000_000)),
    ),
    "mat, values behind the values": wrong(
        "variable 'images' has 16 bytes more than its values", by_hand(NUMBERS, NUMBERS)
    ),
    "mat, negative dimensions": wrong(
        "variable 'images' has the dimensions (-3, -2)".replace("variable 'images'", "a variable"),
        by_hand(dims=(-3, -2)),
    ),
    "mat, one dimension": wrong("a variable has the dimensions (6,)", by_hand(dims=(6,))),
    "mat, a thousand dimensions": wrong(
        "a variable states 4,000 bytes for the dimensions of an array, the most is 128", by_hand(dims=(1,) * 1000)
    ),
    "mat, terabytes": wrong(
        "variable 'images' states the shape (2147483647, 2147483647), which makes 4,611,686,014,132,420,609 bytes, "
        "and 0 are stored",
        by_hand(element(2, b""), dims=(2**31 - 1, 2**31 - 1)),
    ),
    "mat, more samples": wrong(
        "variable 'images' is uint8 (4, 2), more than train.images declares: uint8 (3, 2)",
        by_hand(element(2, bytes(8)), dims=(4, 2)),
        error=ContentError,
    ),
    "mat, a long name": wrong(
        "a variable states 10,000 bytes for the name of an array, the most is 256", by_hand(name="a" * 10_000)
    ),
    "mat, a class that is none": wrong("a variable is of class 99, which is none of MATLAB's", by_hand(kind=99)),
    "mat, complex": wrong("variable 'images' holds complex numbers", by_hand(NUMBERS, NUMBERS, flags=0x0800)),
    "mat, sparse": wrong("variable 'images' is a sparse matrix, which is not read as a field", by_hand(kind=5)),
    "mat, an object": wrong("variable 'images' is an object, which is not read as a field", by_hand(kind=3)),
    "mat, a function": wrong("variable 'images' is a function, which is not read as a field", by_hand(kind=16)),
    "mat, a struct": wrong("variable 'images' is a struct, which is not read as a field", by_hand(kind=2)),
    "mat, text": wrong(
        "variable 'images' holds text, train.images is declared as uint8",
        by_hand(element(4, b"a\0" * 6), kind=4),
        error=ContentError,
    ),
    "mat, a tag that holds more than it can": wrong(
        "variable 'images' has a tag that holds 6 bytes itself, the most is 4",
        by_hand(struct.pack("<I", (6 << 16) | 2) + b"abcd"),
    ),
    "mat, zlib damaged": wrong(
        "a compressed variable is compressed, and its zlib data is damaged",
        lambda: file(struct.pack("<II", 15, 20) + bytes(20)),
        lambda: file(packed(GOOD)),
    ),
    "mat, zlib cut short": wrong(
        "variable 'images' is compressed, and its zlib data is cut short",
        lambda: file(struct.pack("<II", 15, len(d := zlib.compress(GOOD)) - 4) + d[:-4]),
        lambda: file(packed(GOOD)),
    ),
    "mat, zlib's checksum": wrong(
        "variable 'images' is compressed, and its zlib data is damaged",
        lambda: file(struct.pack("<II", 15, len(d := zlib.compress(GOOD))) + d[:-1] + bytes([d[-1] ^ 1])),
        lambda: file(packed(GOOD)),
    ),
    "mat, a bomb behind the variable": wrong(
        "variable 'images' is all of its compressed element, but 65,536 or more follow",
        lambda: file(packed(GOOD + bytes(64 << 20))),
        lambda: file(packed(GOOD)),
    ),
    "mat, a bomb in the variable": wrong(
        "variable 'images' has 67,108,864 bytes more than its values",
        lambda: file(packed(array(NUMBERS + bytes(64 << 20)))),
        lambda: file(packed(GOOD)),
    ),
    "mat, compressed twice": wrong(
        "a compressed variable has an element of type 15 where a variable should be",
        lambda: file(packed(packed(GOOD))),
        lambda: file(packed(GOOD)),
    ),
    "mat, text that is too long": wrong(
        "variable 'images' holds 3,000,000,000 characters, more than the 1,054,912 that its texts may come to",
        by_hand(element(4, b""), kind=4, dims=(3, 10**9)),
        by_hand(element(4, b"a\0b\0c\0"), kind=4, dims=(3, 1)),
        declared=TEXT,
    ),
    "mat, text without its characters": wrong(
        "variable 'images' states 6 characters, and 2 are stored",
        by_hand(element(4, b"a\0b\0"), kind=4),
        by_hand(element(4, b"a\0" * 6), kind=4),
        declared=TEXT,
    ),
    "mat, half a character": wrong(
        "variable 'images' holds text that is not UTF-16-LE",
        by_hand(element(4, b"\0\xdca\0b\0"), kind=4, dims=(3, 1)),
        by_hand(element(4, b"a\0b\0c\0"), kind=4, dims=(3, 1)),
        declared=TEXT,
    ),
    "mat, a billion cells": wrong(
        "variable 'images' has 1,000,000,000 samples, more than the 3 that train.images declares",
        by_hand(kind=1, dims=(1, 10**9)),
        by_hand(ONE * 3, kind=1, dims=(1, 3)),
        declared=CELLS,
        error=ContentError,
    ),
    "mat, cells that are not there": wrong(
        "variable 'images' ends where an array should be",
        by_hand(ONE * 2, kind=1, dims=(1, 3)),
        by_hand(ONE * 3, kind=1, dims=(1, 3)),
        declared=CELLS,
    ),
    "mat, cells in cells": wrong(
        "variable 'images', cell 2, is cells in a cell, which is not read",
        by_hand(ONE, cell(ONE * 2, dims=(1, 2), kind=1), ONE, kind=1, dims=(1, 3)),
        by_hand(ONE, cell(ONE, kind=1), ONE, kind=1, dims=(1, 3)),
        declared=CELLS,
    ),
    "mat, cells in one another without end": wrong(
        "variable 'images', cell 1, is cells in a cell, which is not read",
        by_hand(functools.reduce(lambda inner, _: cell(inner, kind=1), range(9), ONE), kind=1, dims=(1, 1)),
        by_hand(functools.reduce(lambda inner, _: cell(inner, kind=1), range(7), ONE), kind=1, dims=(1, 1)),
        declared=CELLS,
    ),
    "mat, fewer structs than stated": wrong(
        "variable 'images' ends where an array should be",
        by_hand(FIELD_NAMES, ONE * 2, kind=2, dims=(1, 3)),
        by_hand(FIELD_NAMES, ONE * 3, kind=2, dims=(1, 3)),
        declared={**CELLS, "key": "images.a"},
    ),
    "mat, more structs than declared": wrong(
        "variable 'images' has 1,000,000,000 samples, more than the 3 that train.images declares",
        by_hand(FIELD_NAMES, ONE * 2, kind=2, dims=(1, 10**9)),
        by_hand(FIELD_NAMES, ONE * 3, kind=2, dims=(1, 3)),
        declared={**CELLS, "key": "images.a"},
        error=ContentError,
    ),
    "mat, structs without fields": wrong(
        "it has no variable 'images.a'; did you mean 'images'?",
        by_hand(element(5, struct.pack("<i", 8)), element(1, b""), kind=2, dims=(1, 3)),
        by_hand(FIELD_NAMES, ONE * 3, kind=2, dims=(1, 3)),
        declared={**CELLS, "key": "images.a"},
    ),
    "mat, a cell of another shape": wrong(
        "variable 'images', cell 3 has the shape (1, 2), train.images is declared as []",
        by_hand(ONE * 2, cell(element(2, b"ab"), (1, 2)), kind=1, dims=(1, 3)),
        by_hand(ONE * 3, kind=1, dims=(1, 3)),
        declared=CELLS,
        error=ContentError,
    ),
    "mat, a cell of a billion numbers": wrong(
        "variable 'images', cell 3, states the shape (1, 100000000), which makes 100,000,000 bytes, and 2 are stored",
        by_hand(ONE * 2, cell(element(2, b"ab"), (1, 10**8)), kind=1, dims=(1, 3)),
        by_hand(ONE * 2, cell(element(2, b"ab"), (1, 2)), kind=1, dims=(1, 3)),
        declared=RAGGED,
    ),
    "mat, ragged cells that are a bomb": wrong(
        "variable 'images', cell 1, holds 64,000,000 numbers, more than the 3,",
        lambda: file(packed(array(cell(element(2, bytes(64_000_000)), (1, 64_000_000)), kind=1, dims=(1, 1)))),
        by_hand(ONE, kind=1, dims=(1, 1)),
        declared=RAGGED,
    ),
    "mat, a number that does not fit": wrong(
        "variable 'images' holds 256 at sample 1, which uint8 does not hold",
        by_hand(element(4, struct.pack("<6H", 1, 256, 3, 4, 5, 6))),
        error=ContentError,
    ),
}

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every
def test_the_hostile_one_is_refused(case: Case, tmp_path: Path) -> None:
    """In these words, by this class, soon, and in little memory."""
    check_refused(case, tmp_path)


@every
def test_its_harmless_twin_is_read(case: Case, tmp_path: Path) -> None:
    """So that refusing is not just being broken."""
    assert all(len(block.values) for block in decoded_blocks(case, tmp_path))


def decoded_blocks(case: Case, folder: Path) -> list[Any]:
    """The blocks of a twin."""
    result = column(put(folder / "file", case.twin()), **{"shape": (2,), **case.declared})
    return list(formats.of("mat").decode([split(result)]))


def test_a_file_by_hand_is_what_it_says(tmp_path: Path) -> None:
    """SciPy reads it too, so that each case is wrong in one thing alone."""
    path = put(tmp_path / "f", file(GOOD))

    assert scipy.io.loadmat(path)["images"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert read("mat", split(column(path, shape=(2,))))["train.images"].tolist() == [[0, 3], [1, 4], [2, 5]]
