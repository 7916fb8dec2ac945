"""A split in other libraries' hands: Arrow columns whose values are equal, and whose numbers nobody copied."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars
import pyarrow
import pytest

from tests.helpers import fresh_process
from tests.helpers.declared import made
from tinytorch_datasets import RaggedArray, StringArray, get
from tinytorch_datasets.errors import MissingLibrary
from tinytorch_datasets.split import Split
from tinytorch_datasets.storage.arrow_stream import record_batch, table_columns

IRIS = Split(
    "train",
    {"features": np.arange(12, dtype=np.float32).reshape(3, 4) / 8, "labels": np.array([0, 2, 1], np.uint8)},
    declared={
        "features": {"names": ["sepal length", "sepal width", "class", "petal width"]},
        "labels": {"classes": ["setosa", "versicolor", "virginica"]},
    },
)
pandas: Any = pytest.importorskip("pandas")
PICTURES = [np.arange(6).reshape(1, 2, 3), np.arange(12).reshape(2, 2, 3), np.ones((3, 1, 3), int)]
MIXED = Split(
    "train",
    {
        "words": RaggedArray.of([[3, 1, 2], [], [5]], dtype="int32"),
        "pictures": RaggedArray.of(PICTURES, dtype="uint8", sample_shape=(None, None, 3)),
        "boxes": RaggedArray.of([[[1, 2]], [[3], [4]], np.ones((0, 5))], dtype="float64"),
        "seen": np.array([True, False, True]),
        "grid": np.arange(12, dtype=np.int16).reshape(3, 2, 2),
        "class": StringArray.of(["cat", "", "döner"]),
    },
)


def plain(split: Split) -> dict[str, list[Any]]:
    """Return the values of every field as lists."""
    return {
        field: split[field].tolist() if hasattr(split[field], "tolist") else [*split[field]] for field in split.fields
    }


def buffers_of(column: Any) -> list[tuple[int, int]]:
    """Return the address and size of each buffer of a column."""
    chunk = column.chunk(0) if hasattr(column, "chunk") else column
    return [(buffer.address, buffer.size) for buffer in chunk.buffers() if buffer is not None]


def address_of(array: np.ndarray) -> int:
    """Return where the values of an array are in memory."""
    return int(array.__array_interface__["data"][0])


class TestValues:
    """Each neighbor has the values of the split, in the order of its samples, by the names of its fields."""

    @pytest.mark.parametrize(
        "part",
        [slice(None), [2, 0], slice(None, None, 2), slice(1, None), slice(0, 0), slice(None, None, -1)],
        ids=str,
    )
    def test_pyarrow_has_those_of_a_split_and_of_any_part_of_it(self, part: Any) -> None:
        """Pictures as lists of lists, strings, truths, samples of several shapes."""
        split = MIXED[part]

        table = pyarrow.table(split)

        assert table.to_pydict() == plain(split)
        table.validate(full=True)

    def test_polars_has_them_with_their_dtypes(self) -> None:
        """An unsigned byte stays one, and a picture is an array of its shape."""
        frame = polars.DataFrame(MIXED)

        assert frame.to_dict(as_series=False) == plain(MIXED)
        assert frame.schema["grid"] == polars.Array(polars.Int16, (2, 2))
        assert frame.schema["words"] == polars.List(polars.Int32)

    def test_duckdb_selects_from_a_variable_that_holds_a_split(self) -> None:
        """By its name, and columns by theirs."""
        split = MIXED

        with duckdb.connect() as database:
            rows = database.execute("select words, pictures, seen, grid from split").fetchall()
            names = database.execute("select class from split where seen order by class desc").fetchall()

        columns = [[np.asarray(value, object).tolist() for value in column] for column in zip(*rows, strict=True)]
        assert columns == [plain(split)[field] for field in ("words", "pictures", "seen", "grid")]
        assert names == [("döner",), ("cat",)]

    def test_pandas_has_them_by_way_of_arrow(self) -> None:
        """The way is open in pandas 2 as well."""
        frame = pyarrow.table(IRIS).to_pandas()

        assert frame.columns.tolist() == ["sepal length", "sepal width", "class", "petal width", "labels"]
        assert frame.dtypes.tolist() == [np.float32] * 4 + [np.uint8]
        np.testing.assert_array_equal(frame.iloc[:, :4], IRIS.features)
        if hasattr(pandas.DataFrame, "from_arrow"):
            pandas.testing.assert_frame_equal(pandas.DataFrame.from_arrow(IRIS), frame)

    def test_pandas_has_them_from_its_constructor(self) -> None:
        """A column a field, by its true name, an array a cell where samples have a shape."""
        frame = pandas.DataFrame(MIXED)

        assert frame.columns.tolist() == list(MIXED.fields)
        assert {field: [np.asarray(cell).tolist() for cell in frame[field]] for field in frame} == plain(MIXED)

    def test_hugging_face_has_them(self) -> None:
        """Its Dataset takes a table of pyarrow."""
        datasets = pytest.importorskip("datasets.arrow_dataset", reason="Hugging Face's datasets is not installed")

        rows = datasets.Dataset(pyarrow.table(MIXED))

        assert rows.to_dict() == plain(MIXED)

    def test_each_number_keeps_its_dtype(self) -> None:
        """All that a manifest can declare."""
        for dtype in ("bool", *(f"{s}int{b}" for s in ("", "u") for b in (8, 16, 32, 64)), "float16", "float32", ">i4"):
            values = np.array([0, 1, 1], dtype)

            column = pyarrow.table(Split("train", {"values": values}))["values"]

            assert column.to_numpy().dtype == values.dtype.newbyteorder("=")
            assert column.to_pylist() == values.tolist()


class TestNames:
    """Names that the manifest declares for the columns of a field become columns."""

    def test_a_field_with_names_is_a_column_for_each(self) -> None:
        """Between the other fields, in its place."""
        frame = polars.DataFrame(IRIS)

        assert frame.columns == ["sepal length", "sepal width", "class", "petal width", "labels"]
        np.testing.assert_array_equal(frame.drop("labels").to_numpy(), IRIS.features)

    def test_where_a_name_is_another_columns_too_the_fields_stands_before_it(self) -> None:
        """Frames refuse two columns of one name."""
        fields = {"features": np.ones((2, 2)), "labels": np.zeros(2), "more": np.ones((2, 1))}
        split = Split("train", fields, declared={"features": {"names": ["x", "labels"]}, "more": {"names": ["y"]}})

        assert polars.DataFrame(split).columns == ["features.x", "features.labels", "labels", "y"]

    def test_no_two_columns_have_one_name(self) -> None:
        """Not even where a name looks like a field's with a name behind it; a program would lose one of them."""
        fields = {"eyes": np.array([[1, 2]]), "hair": np.array([[3, 4]]), "color": np.array([5])}
        declared = {"eyes": {"names": ["color", "width"]}, "hair": {"names": ["eyes.color", "length"]}}

        table = pyarrow.table(Split("train", fields, declared=declared))

        assert table.to_pydict() == {
            "eyes.color": [1],
            "eyes.width": [2],
            "hair.eyes.color": [3],
            "hair.length": [4],
            "color": [5],
        }

    def test_classes_are_in_the_metadata_and_labels_stay_numbers(self) -> None:
        """As JSON."""
        field = pyarrow.table(IRIS).schema.field("labels")

        assert field.type == pyarrow.uint8()
        assert json.loads(field.metadata[b"classes"]) == ["setosa", "versicolor", "virginica"]

    def test_a_table_out_of_a_manifest_has_the_names_declared_there(self, tmp_path: Path) -> None:
        """From the file to the frame."""
        entry = """
        format: csv
        options: {columns: {features: [height, width], labels: kind}}
        fields:
          features: {dtype: float64, shape: [2], names: [height, width]}
          labels: {dtype: int64, classes: [a, b]}
        splits: {train: {samples: 2, file: flowers.csv}}
        """
        dataset = made(tmp_path, entry, flowers_csv="height,width,kind\n1.5,2,b\n3,4,a\n")

        assert polars.DataFrame(dataset.train).to_dict(as_series=False) == {
            "height": [1.5, 3.0],
            "width": [2.0, 4.0],
            "labels": [1, 0],
        }


class TestMemory:
    """Buffers are those of the split, wherever Arrow keeps values as they are kept here."""

    def test_numbers_are_not_copied(self) -> None:
        """Pictures and labels: their addresses are those of the memory map, in pyarrow and in polars."""
        train = get("tinydigits").train
        images, labels = map(address_of, (train.images, train.labels))

        table, frame = pyarrow.table(train), polars.DataFrame(train)

        assert isinstance(train.images, np.memmap)
        assert buffers_of(table["images"]) == [(images, train.images.nbytes)]
        assert buffers_of(table["labels"]) == [(labels, train.labels.nbytes)]
        assert address_of(frame["labels"].to_numpy(allow_copy=False)) == labels
        assert address_of(frame["images"].to_numpy(allow_copy=False)) == images

    def test_a_slice_is_not_copied_either(self) -> None:
        """Its buffers begin where its first sample is."""
        train = get("tinydigits").train
        part = train[100:200]

        address, size = buffers_of(pyarrow.table(part)["images"])[0]

        assert (address, size) == (address_of(train.images[100:]), part.images.nbytes)

    def test_strings_and_lists_are_not_copied(self) -> None:
        """Their bytes and values, and the places of each: Arrow's layout is ours."""
        for values in (get("tinytalks").train.questions, MIXED.words):
            column = pyarrow.table(Split("train", {"values": values}))["values"]
            arrays = (values.utf8()[::-1]) if isinstance(values, StringArray) else (values.offsets, values.values)

            assert [address for address, _ in buffers_of(column)] == [address_of(array) for array in arrays]
        strings = get("tinytalks").train.questions
        assert address_of(strings.utf8()[0]) == address_of(strings._buffer)

    def test_the_memory_stays_as_long_as_the_table(self) -> None:
        """When the split is gone, too."""
        table = pyarrow.table(Split("train", {"labels": np.arange(100_000)}))

        assert table["labels"].to_numpy().sum() == 4_999_950_000

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which this system does not have")
    def test_a_frame_of_pictures_takes_no_memory_of_its_own_and_one_of_named_columns_that_of_one(
        self, tmp_path: Path
    ) -> None:
        """Measured: the memory of a process that is no file's, before and after, for 64 MiB in a file."""
        np.save(tmp_path / "images.npy", np.ones((1 << 16, 1 << 8), np.float32))
        code = """
import gc, sys
import numpy as np, polars, pyarrow
from tinytorch_datasets.split import Split

def taken(split):
    with open("/proc/self/smaps_rollup") as lines:
        before = sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    frame = polars.DataFrame(split)
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) - before

images = np.load(sys.argv[1], mmap_mode="r")
named = Split("train", {"images": images}, declared={"images": {"names": [f"c{n}" for n in range(256)]}})
taken(named[:2])
print(taken(Split("train", {"images": images})), taken(named))
"""
        result = fresh_process.python("-c", code, str(tmp_path / "images.npy"))

        pictures, columns = (int(kibibytes) / 1024 for kibibytes in result.stdout.split())
        assert pictures < 8
        assert columns < 64 + 8


class TestRefusals:
    """What has no columns says so."""

    def test_a_split_of_one_text_has_no_columns(self) -> None:
        """It has no samples either."""
        with pytest.raises(
            ValueError, match=r"^a split that is one text as a whole has no samples, and so no columns$"
        ):
            pyarrow.table(Split("train", {}, texts={"text": "To be"}))

    def test_without_pyarrow_it_says_how_to_get_it(self) -> None:
        """And which of the extras has it."""
        code = """
import sys
sys.modules["pyarrow"] = None
from tinytorch_datasets import get
try:
    get("tinydigits").train.__arrow_c_stream__()
except ImportError as error:
    print(error)
"""
        result = fresh_process.python("-c", code)

        assert result.stdout == (
            "a split as an Arrow table needs pyarrow, which is not installed\n"
            "  pip install 'tinytorch-datasets[tables]'\n"
        )

    def test_the_schema_is_there_without_the_values(self) -> None:
        """And with a schema that a consumer wants, values are cast to it as far as that is possible."""
        assert pyarrow.schema(IRIS) == pyarrow.table(IRIS).schema
        wanted = pyarrow.schema([("labels", pyarrow.int64())])
        labels = Split("train", {"labels": np.array([0, 1], np.uint8)})
        assert pyarrow.RecordBatchReader.from_stream(labels, wanted).schema == wanted


def test_samples_one_after_the_other_are_those_by_their_numbers() -> None:
    """So is what pandas gets, which takes them so; of a class of one's own they are what it gives."""

    class Doubled(Split):
        """Gives each sample twice."""

        def __getitem__(self, index: Any) -> Any:
            """Return the sample twice."""
            return super().__getitem__(index) * 2

    for sample, number in zip(MIXED, range(3), strict=True):
        by_number = MIXED[number]
        assert type(sample) is type(by_number)
        for value, expected in zip(sample, by_number, strict=True):
            np.testing.assert_array_equal(value, expected)
            assert type(value) is type(expected)
            assert not isinstance(value, np.ndarray) or value.flags.writeable
    assert [len(sample) for sample in Doubled("train", {"labels": np.arange(2)})] == [2, 2]


def test_a_dict_of_a_split_has_the_array_of_each_field() -> None:
    """As Keras and TensorFlow take several inputs by name."""
    split = get("tinydigits").train

    assert list(dict(split)) == ["images", "labels"]
    assert dict(split)["images"] is split.images


class TestFlat:
    """`arrays(flat=True)`: a row of numbers for each sample."""

    def test_pictures_are_rows_without_a_copy(self) -> None:
        """Labels stay as they are."""
        train = get("tinydigits").train

        rows, labels = train.arrays(flat=True)

        assert (rows.shape, labels.shape) == ((1000, 64), (1000,))
        assert np.shares_memory(rows, train.images)
        assert [rows.shape for rows, _ in get("tinydigits").arrays("float64", flat=True)] == [(1000, 64), (200, 64)]

    def test_no_samples_are_no_rows_of_as_many_numbers(self) -> None:
        """Of an empty part."""
        assert get("tinydigits").train[:0].arrays(flat=True)[0].shape == (0, 64)

    def test_strings_stay_and_samples_of_several_shapes_are_refused(self) -> None:
        """They would be rows of several lengths."""
        assert MIXED[:1].fields[5] == "class"
        assert Split("train", {"class": MIXED["class"]}).arrays(flat=True)[0] is MIXED["class"]
        message = "^samples that differ in shape are no rows of equally many numbers: make one array of them by padded"
        with pytest.raises(ValueError, match=message):
            MIXED.arrays(flat=True)


class TestTheBatch:
    """The schema, the metadata and the places of each sample, as pyarrow reads them."""

    def test_its_schema(self) -> None:
        """No column and no item may be null; an axis of one size is a fixed-size list, any other a list."""
        fields: dict[str, Any] = {
            "a": np.zeros((2, 3, 4), np.int16),
            "b": RaggedArray.of(PICTURES[:2], dtype="uint8", sample_shape=(None, None, 3)),
            "c": StringArray.of(["x", "y"]),
            "d": np.zeros((2, 2)),
        }
        batch = record_batch(fields, {"d": {"names": ["p", "q"]}})
        assert [(field.name, str(field.type), field.nullable) for field in batch.schema] == [
            ("a", "fixed_size_list<item: fixed_size_list<item: int16 not null>[4] not null>[3]", False),
            (
                "b",
                "large_list<item: large_list<item: fixed_size_list<item: uint8 not null>[3] not null> not null>",
                False,
            ),
            ("c", "large_string", False),
            ("p", "double", False),
            ("q", "double", False),
        ]
        assert batch.schema.metadata is None
        assert all(field.metadata is None for field in batch.schema)
        batch.validate(full=True)

    def test_its_metadata(self) -> None:
        """What is declared besides, each as JSON, of every column of the field; a note in that of the whole."""
        declared: dict[str, dict[str, Any]] = {
            "x": {"names": ["p", "q"], "range": [0, 1], "missing_value": 0, "title": "X"},
            "y": {"classes": ["no", "h\u00e9"], "rate": None},
        }
        batch = record_batch({"x": np.ones((1, 2)), "y": np.ones(1), "z": np.ones(1)}, declared, note="made up")
        assert batch.schema.metadata == {b"note": b"made up"}
        kept = {b"range": b"[0, 1]", b"missing_value": b"0"}
        assert [field.metadata for field in batch.schema] == [kept, kept, {b"classes": b'["no", "h\\u00e9"]'}, None]
        sound = record_batch({"x": np.ones(1)}, {"x": {"rate": 8000}})
        assert sound.schema.field("x").metadata == {b"rate": b"8000"}

    def test_names_that_are_not_of_the_numbers(self) -> None:
        """As many as numbers, or the field is one column; so is one of no two axes, or none of arrays."""
        fields: dict[str, Any] = {
            "x": np.ones((1, 3)),
            "y": np.ones((1, 2, 2)),
            "z": RaggedArray.of([[1, 2]]),
            "w": np.arange(2).reshape(1, 2),
        }
        batch = record_batch(fields, {field: {"names": ["p", "q"]} for field in fields})
        assert batch.schema.names == ["x", "y", "z", "p", "q"]
        assert [batch[name].to_pylist() for name in ("p", "q")] == [[0], [1]]

    def test_parts_of_ragged_arrays(self) -> None:
        """Wherever they begin, of one axis and of several; the buffers are those of the array."""
        words = RaggedArray.of([[1, 2], [3], [4, 5, 6]])
        boxes = RaggedArray.of([np.ones((2, 1)), np.ones((1, 3)), np.ones((0, 2))])
        short = RaggedArray(np.arange(5, dtype=">i2"), np.array([0, 2, 5], np.int32))
        for part in (slice(None), slice(1, None), slice(2, None), slice(0, 2), slice(1, 1), slice(None, None, -1)):
            for ragged in (words, boxes, short):
                batch = record_batch({"x": ragged[part]}, {})
                batch.validate(full=True)
                assert batch["x"].to_pylist() == ragged[part].tolist()
        offsets, values = (buffer for buffer in record_batch({"x": words}, {})["x"].buffers() if buffer is not None)
        assert (offsets.address, values.address) == (address_of(words.offsets), address_of(words.values))
        assert str(record_batch({"x": short}, {}).schema.field("x").type) == "large_list<item: int16 not null>"

    def test_no_samples(self) -> None:
        """Of every kind."""
        fields: dict[str, Any] = {
            "a": np.zeros((0, 3)),
            "b": RaggedArray.of([], sample_shape=(None, 2)),
            "c": StringArray.of([]),
            "d": np.zeros(0, bool),
            "e": RaggedArray.of([]),
        }
        batch = record_batch(fields, {})
        batch.validate(full=True)
        assert (batch.num_rows, batch.schema.names) == (0, [*fields])

    def test_three_fields_that_clash(self) -> None:
        """A prefix that makes a name of a third field's gives that one a prefix too, and none loses its own."""
        names = {"a": ["b.c"], "b": ["c", "d"], "e": ["d"], "f": ["a.b.c"], "g": []}
        columns = table_columns(names)
        assert [column.name for column in columns] == ["a.b.c", "b.c", "b.d", "e.d", "f.a.b.c", "g"]
        assert len({column.name for column in columns}) == len(columns) == 6
        assert [(column.field, column.place) for column in columns] == (
            [("a", 0), ("b", 0), ("b", 1), ("e", 0), ("f", 0), ("g", None)]
        )

    def test_without_pyarrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is missing, for what, and of which extra."""
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(MissingLibrary) as caught:
            record_batch({"x": np.ones(1)}, {})
        error: Any = caught.value
        assert error.what == "a split as an Arrow table needs pyarrow, which is not installed"
        assert (error.name, error.extra) == ("pyarrow", "tables")
