"""Parquet and Arrow: what pyarrow reads is what comes, or it is refused in one sentence."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.format_writers import column, put, split
from tests.helpers.format_writers import read as read_whole
from tests.helpers.fresh_process import python
from tinytorch_datasets import audit, formats, get
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import RaggedBlock
from tinytorch_datasets.readers.arrays import exact

ROWS = 7


def as_parquet(table: pa.Table, **how: Any) -> bytes:
    """Parquet, in groups of three rows."""
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=3, **how)
    return out.getvalue()


def as_file(table: pa.Table, **how: Any) -> bytes:
    """An Arrow file, in batches of three rows."""
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema, options=pa.ipc.IpcWriteOptions(**how)) as writer:
        writer.write_table(table, max_chunksize=3)
    return out.getvalue()


def as_stream(table: pa.Table) -> bytes:
    """An Arrow stream, in batches of three rows."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return out.getvalue()


WRITERS: dict[str, tuple[str, Callable[[pa.Table], bytes]]] = {
    "parquet": ("parquet", as_parquet),
    "file": ("arrow", lambda table: as_file(table, compression="zstd")),
    "stream": ("arrow", as_stream),
}
each = pytest.mark.parametrize(("form", "write"), WRITERS.values(), ids=WRITERS)


def values(
    folder: Path, values: Any, form: str = "parquet", write: Callable[[pa.Table], bytes] = as_parquet, **declared: Any
) -> Any:
    """The one column of a file that is written so, as it is declared."""
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    path = put(folder / "t", write(pa.table({"x": array})))
    return read_whole(form, split(column(path, "x", samples=len(array), **declared)))["train.x"]


def refusal(folder: Path, stored: Any, error: type[DecodeError] = ContentError, **declared: Any) -> DecodeError:
    """The error that a column is, as it is declared."""
    with pytest.raises(error) as caught:
        values(folder, stored, **declared)
    assert type(caught.value) is error
    return caught.value


class TestColumns:
    """Each kind of column, in every way to write it."""

    @each
    @pytest.mark.parametrize(
        "dtype",
        [
            *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
            *("float16", "float32", "float64", "bool"),
        ],
    )
    def test_numbers(self, form: str, write: Any, dtype: str, tmp_path: Path) -> None:
        """In the dtype that they are stored in."""
        stored = np.arange(ROWS).astype(dtype)

        found = values(tmp_path, pa.array(stored), form, write, dtype=dtype)

        np.testing.assert_array_equal(found, stored, strict=True)

    @each
    @pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
    def test_text(self, form: str, write: Any, kind: pa.DataType, tmp_path: Path) -> None:
        """Also as a dictionary encodes it."""
        texts = ["caf\u00e9", "", "b", "caf\u00e9", "\U0001f40d", "a\nb", "b"]

        assert values(tmp_path, pa.array(texts).cast(kind), form, write, dtype="str") == texts

    @each
    def test_a_large_dictionary(self, form: str, write: Any, tmp_path: Path) -> None:
        """Larger than the batches that use it."""
        words = [f"word {n}" for n in range(500)]
        indices = [499, 0, 250, 499, 1, 0, 7]
        array = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int16()), pa.array(words))

        found = values(tmp_path, array, form, write, dtype="str")

        assert found == [words[index] for index in indices]
        assert values(tmp_path, array, form, write, dtype="int64", classes=tuple(words)) == found

    def test_null_in_a_dictionary(self, tmp_path: Path) -> None:
        """Is null in each place that it is used, and nowhere if it is not."""
        for words in (["a", None], ["a", None, "b", "c", "d"]):
            for indices, at in (([0, 0, 1], 2), ([0, 0, 0], None)):
                array = pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(words))
                path = put(tmp_path / "t", as_stream(pa.table({"x": array})))
                declared = split(column(path, "x", samples=3, dtype="str"))
                if at is None:
                    assert read_whole("arrow", declared)["train.x"] == ["a", "a", "a"]
                    continue
                with pytest.raises(ContentError) as caught:
                    read_whole("arrow", declared)
                assert caught.value.reason == f"column 'x' has null at sample {at}"

    @pytest.mark.parametrize("write", [as_file, as_stream])
    @pytest.mark.parametrize("kind", [pa.string_view(), pa.dictionary(pa.uint32(), pa.string_view())])
    def test_text_as_views(self, write: Any, kind: pa.DataType, tmp_path: Path) -> None:
        """As Polars writes it."""
        texts = [
            "short",
            "",
            "a text of more than twelve bytes",
            "short",
            "caf\u00e9",
            "x",
            "a text of more than twelve bytes",
        ]
        if pa.types.is_dictionary(kind):
            words = sorted(set(texts))
            indices = pa.array([words.index(text) for text in texts], pa.uint32())
            array = pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string_view()))
        else:
            array = pa.array(texts, kind)

        assert values(tmp_path, array, "arrow", write, dtype="str") == texts
        (described_as,) = described(tmp_path / "t", "arrow").arrays
        assert described_as.dtype == "str"
        classes = ("long enough to be no short view", "b")
        put(tmp_path / "t", write(pa.table({"x": pa.array(classes * 3, pa.string_view())})))
        assert described(tmp_path / "t", "arrow").arrays[0].classes == tuple(sorted(classes))

    def test_batches_where_the_footer_says(self, tmp_path: Path) -> None:
        """Other writers leave a gap behind the magic number, so that the file is no stream behind it."""
        table = pa.table({"x": list(range(ROWS))})
        data = as_file(table)
        at = len(data) - 10 - int.from_bytes(data[-10:-6], "little")
        body, footer = data[:at], data[at:]
        for message in re.finditer(b"\xff\xff\xff\xff", body):
            if message.start() == 8:
                continue  # the schema, of which the footer has its own
            footer = footer.replace(struct.pack("<q", message.start()), struct.pack("<q", message.start() + 56))
        path = put(tmp_path / "t", body[:8] + bytes(56) + body[8:] + footer)

        found = read_whole("arrow", split(column(path, "x", samples=ROWS, dtype="int64")))

        assert pa.ipc.open_file(path).read_all() == table
        assert found["train.x"].tolist() == list(range(ROWS))

    @each
    @pytest.mark.parametrize("kind", [pa.list_(pa.int16()), pa.large_list(pa.int16()), pa.list_(pa.int16(), 2)])
    def test_lists_that_are_as_long(self, form: str, write: Any, kind: pa.DataType, tmp_path: Path) -> None:
        """Are a shape."""
        stored = [[n, -n] for n in range(ROWS)]

        found = values(tmp_path, pa.array(stored, kind), form, write, dtype="int16", shape=(2,))

        np.testing.assert_array_equal(found, np.array(stored, "int16"), strict=True)

    @each
    def test_lists_in_lists(self, form: str, write: Any, tmp_path: Path) -> None:
        """As deep as the shape; flat lists are folded, in C order."""
        stored = np.arange(ROWS * 6, dtype="float32").reshape(ROWS, 2, 3)

        nested = values(tmp_path, stored.tolist(), form, write, dtype="float32", shape=(2, 3))
        flat = values(tmp_path, stored.reshape(ROWS, 6).tolist(), form, write, dtype="float32", shape=(2, 3))

        np.testing.assert_array_equal(nested, stored, strict=True)
        np.testing.assert_array_equal(flat, stored, strict=True)

    @each
    def test_lists_of_other_lengths(self, form: str, write: Any, tmp_path: Path) -> None:
        """Are ragged, of one axis or of two; an empty one has the declared lengths inside."""
        path = tmp_path / "t"
        words = [[1, 2, 3], [], [4], [5, 6], [], [7], [8, 9]]
        boxes = [[[1, 2, 3, 4]] * n for n in range(ROWS)]
        put(path, write(pa.table({"words": words, "boxes": boxes})))
        fields = [
            column(path, "words", samples=ROWS, dtype="int32", shape=(None,)),
            column(path, "boxes", samples=ROWS, dtype="float64", shape=(None, 4)),
        ]

        found: dict[str, list[Any]] = {"words": [], "boxes": []}
        for block in formats.of(form).decode([split(*fields)]):
            assert isinstance(block.values, RaggedBlock)
            ends = np.cumsum(block.values.shapes.prod(axis=1))
            parts = np.split(block.values.values, ends[:-1])
            shaped = [part.reshape(shape) for part, shape in zip(parts, block.values.shapes, strict=True)]
            found[block.column.field] += shaped

        assert [array.tolist() for array in found["words"]] == words
        assert [array.shape for array in found["boxes"]] == [(n, 4) for n in range(ROWS)]
        assert [array.tolist() for array in found["boxes"]] == boxes
        assert {array.dtype.name for array in found["words"] + found["boxes"]} == {"int32", "float64"}

    @each
    def test_columns_of_groups(self, form: str, write: Any, tmp_path: Path) -> None:
        """By their path; a column that is called as the path is comes first. Where a group is null, its parts are."""
        groups = [{"text": f"t{n}", "size": n} for n in range(ROWS)]
        table = pa.table({"answer": pa.array([*groups[:-1], None]), "answer.text": ["own"] * ROWS})
        path = put(tmp_path / "t", write(table))

        own = column(path, "own", samples=ROWS, dtype="str", key="answer.text")
        size = column(path, "size", samples=ROWS, dtype="float32", key="answer.size", missing=(None,))
        found = read_whole(form, split(own, size))

        assert found["train.own"] == ["own"] * ROWS
        np.testing.assert_array_equal(found["train.size"], [*range(ROWS - 1), np.nan])

    @each
    def test_several_columns(self, form: str, write: Any, tmp_path: Path) -> None:
        """By names or numbers, of several dtypes, are the last axis of one field."""
        table = pa.table({"a": pa.array(range(ROWS), pa.int8()), "b": [n / 2 for n in range(ROWS)], "c": [0] * ROWS})
        path = put(tmp_path / "t", write(table))

        found = read_whole(
            form, split(column(path, "x", samples=ROWS, dtype="float32", shape=(3,), columns=("b", 0, -1)))
        )

        expected = table.select(["b", "a", "c"]).to_pandas().to_numpy("float32")
        np.testing.assert_array_equal(found["train.x"], expected, strict=True)

    def test_columns_that_are_not_as_many_as_the_shape(self, tmp_path: Path) -> None:
        """Are an error of the entry."""
        path = put(tmp_path / "t", as_parquet(pa.table({"a": [1], "b": [2]})))

        with pytest.raises(ContentError) as caught:
            read_whole("parquet", split(column(path, "x", samples=1, shape=(3,), columns=("a", "b"))))

        assert caught.value.reason == "column 'a' is one of 2, train.x has shape [3]"

    @each
    def test_labels_come_as_they_are_stored(self, form: str, write: Any, tmp_path: Path) -> None:
        """Numbers, or texts: which class each is, is not known here."""
        declared: dict[str, Any] = {"dtype": "int64", "classes": ("a", "b", "c")}
        texts = ["a", "b", "c", "a", "b", "c", "c"]

        assert values(tmp_path, texts, form, write, **declared) == texts
        assert values(tmp_path, [0, 1, 2, 0, 1, 2, 2], form, write, **declared).tolist() == [0, 1, 2, 0, 1, 2, 2]
        assert values(tmp_path, [True] * ROWS, form, write, **declared).tolist() == [True] * ROWS
        refused = refusal(tmp_path, ["a", None], **declared)
        assert refused.reason == "column 'x' has null at sample 1"

    @each
    def test_tensors_of_a_fixed_shape(self, form: str, write: Any, tmp_path: Path) -> None:
        """Are arrays of that shape, which `add` is reported."""
        stored = np.arange(ROWS * 6, dtype="float32").reshape(ROWS, 2, 3)
        tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(stored)

        found = values(tmp_path, tensors, form, write, dtype="float32", shape=(2, 3))

        np.testing.assert_array_equal(found, stored, strict=True)
        (array,) = described(tmp_path / "t", form).arrays
        assert (array.dtype, array.shape) == ("float32", (ROWS, 2, 3))
        turned = pa.FixedShapeTensorArray.from_numpy_ndarray(stored.transpose(0, 2, 1))
        refused = refusal(tmp_path, turned, DecodeError, dtype="float32", shape=(3, 2))
        assert refused.reason == "column 'x' holds tensors whose axes are permuted ([1, 0]), which is not read"

    @each
    def test_nothing_at_all(self, form: str, write: Any, tmp_path: Path) -> None:
        """No rows are no values, in the declared dtype."""
        found = values(tmp_path, pa.array([], pa.int8()), form, write, dtype="float32", shape=())

        assert (found.dtype.name, found.shape) == ("float32", (0,))

    def test_every_encoding_of_parquet(self, tmp_path: Path) -> None:
        """As other writers choose them."""
        numbers, texts = [5 * n for n in range(4000)], [f"prefix of all, {n}" for n in range(4000)]
        for encoding in ("PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"):
            data = io.BytesIO()
            how: dict[str, Any] = {"use_dictionary": False, "data_page_version": "2.0", "compression": "gzip"}
            how["column_encoding"] = {"n": "DELTA_BINARY_PACKED", "t": encoding}
            pq.write_table(pa.table({"n": numbers, "t": texts}), data, **how)
            path = put(tmp_path / "t", data.getvalue())
            n = column(path, "n", samples=4000, dtype="int32")
            found = read_whole("parquet", split(n, column(path, "t", samples=4000, dtype="str")))
            assert found["train.n"].tolist() == numbers
            assert found["train.t"] == texts

    def test_a_dictionary_that_overflows(self, tmp_path: Path) -> None:
        """The usual writer gives a dictionary up where it grows too large: the texts are what they were."""
        texts = [f"{n:01000}" for n in range(3000)] + ["a", "b"] * 500
        data = io.BytesIO()
        pq.write_table(pa.table({"x": texts}), data)
        path = put(tmp_path / "t", data.getvalue())
        encodings = pq.ParquetFile(path).metadata.row_group(0).column(0).encodings

        found = read_whole("parquet", split(column(path, "x", samples=4000, dtype="str")))

        assert {"PLAIN", "RLE_DICTIONARY"} <= set(encodings)
        assert found["train.x"] == texts


class TestNulls:
    """Declared, they are missing values; else errors with their sample."""

    @each
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_in_floats(self, form: str, write: Any, dtype: str, tmp_path: Path) -> None:
        """Are NaN, whatever the numbers are stored as."""
        stored = [None, 1, 2, None, 4, 5, None]

        found = values(tmp_path, stored, form, write, dtype=dtype, missing=(None,))

        expected = [np.nan if value is None else value for value in stored]
        np.testing.assert_array_equal(found, np.array(expected, dtype), strict=True)

    @each
    def test_in_whole_numbers(self, form: str, write: Any, tmp_path: Path) -> None:
        """Are the declared value, which no other may have."""
        found = values(tmp_path, [None, 1, 2, 0, None], form, write, dtype="int16", missing=(None,), missing_value=-1)

        assert found.tolist() == [-1, 1, 2, 0, -1]
        refused = refusal(tmp_path, [None, 1, -1], dtype="int16", missing=(None,), missing_value=-1)
        assert refused.reason == "column 'x' has -1 at sample 2, the `missing_value`, and no null"

    @each
    def test_in_lists(self, form: str, write: Any, tmp_path: Path) -> None:
        """Inside of one they are missing; in place of one they are errors."""
        found = values(tmp_path, [[1.5, None], [None, 2.5]], form, write, dtype="float64", shape=(2,), missing=(None,))

        np.testing.assert_array_equal(found, [[1.5, np.nan], [np.nan, 2.5]])
        refused = refusal(tmp_path, [[1.5], None], dtype="float64", shape=(1,), missing=(None,))
        assert refused.reason == "column 'x' has null at sample 1"
        assert refused.hint == "Leave the field out, or fill the gaps in the file."

    @pytest.mark.parametrize(
        ("stored", "declared", "hint"),
        [
            ([1.5, 0, None], {"dtype": "float64"}, "If it means a missing value, declare `missing: [null]` for x."),
            (
                [1, 2, 3, 4, 5, 6, None],
                {"dtype": "int8"},
                "If it means a missing value, declare `missing: [null]` for x, and a `missing_value` that is no value "
                "of the data.",
            ),
            (["a", None], {"dtype": "str"}, "Leave the field out, or fill the gaps in the file."),
            ([True, None], {"dtype": "bool"}, "Leave the field out, or fill the gaps in the file."),
        ],
    )
    def test_that_are_not_declared(self, stored: list[Any], declared: Any, hint: str, tmp_path: Path) -> None:
        """With a hint, whichever group of rows they are in."""
        refused = refusal(tmp_path, stored, **declared)

        assert refused.reason == f"column 'x' has null at sample {len(stored) - 1}"
        assert refused.hint == hint

    def test_a_mark_that_is_text(self, tmp_path: Path) -> None:
        """Is in no column of numbers, and would be passed over."""
        refused = refusal(tmp_path, [-999.0, 1.5], dtype="float64", missing=("-999", None))

        assert refused.reason == "column 'x' holds float64, of which none is '-999'"
        assert refused.hint == "A mark is a cell of text; here only null can be one: `missing: [null]`."


class TestExactness:
    """A number that the declared dtype does not hold is an error, and never another number."""

    @pytest.mark.parametrize(
        ("stored", "dtype", "reason"),
        [
            (pa.array([0, 300]), "uint8", "has 300 at sample 1, which uint8 does not hold"),
            (pa.array([-1], pa.int8()), "uint64", "has -1 at sample 0, which uint64 does not hold"),
            (pa.array([2**64 - 1], pa.uint64()), "int64", f"has {2**64 - 1} at sample 0, which int64 does not hold"),
            (pa.array([1, 2, 3, 1.5]), "int32", "has 1.5 at sample 3, which int32 does not hold"),
            (pa.array([float("nan")]), "int32", "has nan at sample 0, which int32 does not hold"),
            (pa.array([2.0**63]), "int64", f"has {2.0**63} at sample 0, which int64 does not hold"),
            (pa.array([2**53 + 1]), "float64", f"has {2**53 + 1} at sample 0, which float64 does not hold"),
            (pa.array([2**63 - 1]), "float64", f"has {2**63 - 1} at sample 0, which float64 does not hold"),
            (pa.array([2**24 + 1]), "float32", f"has {2**24 + 1} at sample 0, which float32 does not hold"),
            (pa.array([1e39]), "float32", "has 1e+39 at sample 0, which float32 does not hold"),
            (pa.array([True]), "int8", "holds bools, train.x is declared as int8"),
            (pa.array([1]), "bool", "holds int64, train.x is declared as bool"),
            (pa.array(["1"]), "int64", "holds text, train.x is declared as int64"),
            (pa.array([1]), "str", "holds numbers (int64), train.x is declared as text"),
        ],
    )
    def test_what_is_refused(self, stored: pa.Array, dtype: str, reason: str, tmp_path: Path) -> None:
        """With the sample."""
        refused = refusal(tmp_path, stored, dtype=dtype)

        assert refused.reason == f"column 'x' {reason}"

    @pytest.mark.parametrize(
        ("stored", "dtype"),
        [
            (np.array([-(2**63), 2**62]), "float64"),
            (np.array([2**63], "u8"), "float32"),
            (np.array([0.0, -0.0, 255.0]), "uint8"),
            (np.array([-(2.0**63)]), "int64"),
            (np.array([np.inf, np.nan, -np.inf]), "float32"),
            (np.array([7], "u8"), "int8"),
        ],
    )
    def test_what_is_held(self, stored: np.ndarray, dtype: str) -> None:
        """Every number is what it was."""
        out, wrong = exact(stored, np.dtype(dtype))

        assert wrong is None or not wrong.any()
        assert out.dtype == dtype
        assert [float(n) for n in out] == pytest.approx([float(n) for n in stored], rel=0, abs=0, nan_ok=True)

    def test_a_float_of_fewer_digits_is_the_nearest(self, tmp_path: Path) -> None:
        """As csv reads it."""
        found = values(tmp_path, [0.1], dtype="float32")

        assert found.tolist() == [float(np.float32(0.1))]


class TestShapes:
    """Lists that are not as declared."""

    @pytest.mark.parametrize(
        ("stored", "shape", "reason"),
        [
            ([[1, 2], [1, 2, 3]], (2,), "has 3 values at sample 1, train.x has 2 values"),
            ([[1, 2]] * 5 + [[1]], (2,), "has 1 values at sample 5, train.x has 2 values"),
            ([[1, 2]], (2, 2), "has 2 values at sample 0, train.x has 4 values"),
            ([[[1, 2]]], (2,), "holds lists of 2 axes, train.x has 1"),
            ([[[1, 2], [3]]], (2, 2), "has lists of 1 and of 2 in sample 0, which is no array"),
            ([[[1, 2], [3]]], (None, None), "has lists of 1 and of 2 in sample 0, which is no array"),
            ([[1]], (None, None), "holds lists of 1 axes, train.x has 2"),
            ([[[1, 2]], [[1, 2, 3]]], (None, 2), "has 3 values at sample 1, train.x has 2 values"),
            ([1, 2], (2,), "holds single values, train.x has shape [2]"),
            ([1, 2], (None,), "holds single values, train.x has shape [null]"),
        ],
    )
    def test_what_is_refused(
        self, stored: list[Any], shape: tuple[int | None, ...], reason: str, tmp_path: Path
    ) -> None:
        """With the sample, counted from 0."""
        refused = refusal(tmp_path, stored, dtype="int64", shape=shape)

        assert refused.reason == f"column 'x' {reason}"

    @pytest.mark.parametrize("form", [[1, 2], [[1], [2]], [[[1]], [[2]]]])
    def test_axes_of_length_one(self, form: list[Any], tmp_path: Path) -> None:
        """Hold single values, and single values one sample each."""
        assert values(tmp_path, form, dtype="int64").tolist() == [1, 2]
        if not isinstance(form[0], int):
            return
        assert values(tmp_path, form, dtype="int64", shape=(1,)).tolist() == [[1], [2]]


class TestTypes:
    """What is not read is refused by name."""

    @pytest.mark.parametrize(
        ("stored", "what", "hint"),
        [
            (
                pa.array([b"\0"]),
                "bytes (binary)",
                "Pictures and sounds inside of a table are not read: save each as a file.",
            ),
            (
                pa.array([{"bytes": b"\0", "path": "a.png"}]),
                "a group of columns (bytes, path)",
                "Pictures and sounds inside of a table are not read: save each as a file.",
            ),
            (pa.array([{"a": 1}]), "a group of columns (a)", "Name one of them by its path, such as outer.inner."),
            (
                pa.array([0], pa.timestamp("ms", "UTC")),
                "values of the type timestamp[ms, tz=UTC]",
                "Leave it out, or save it as numbers or as text.",
            ),
            (
                pa.array([0], pa.date32()),
                "values of the type date32[day]",
                "Leave it out, or save it as numbers or as text.",
            ),
            (
                pa.array([None], pa.decimal128(20, 2)),
                "values of the type decimal128(20, 2)",
                "Leave it out, or save it as numbers or as text.",
            ),
            (
                pa.array([["a"]]),
                "lists of texts (list<element: string>)",
                "Leave it out, or save it as numbers or as text.",
            ),
        ],
    )
    def test_what_is_refused(self, stored: pa.Array, what: str, hint: str, tmp_path: Path) -> None:
        """Whatever is declared."""
        for dtype in ("str", "int64"):
            refused = refusal(tmp_path, stored, DecodeError, dtype=dtype)

            assert refused.reason == f"column 'x' holds {what}, which is not read"
            assert refused.hint == hint

    def test_names(self, tmp_path: Path) -> None:
        """One that is not there is guessed at; one that is there twice is refused."""
        path = put(tmp_path / "t", as_parquet(pa.table({"sepals": [1]})))
        with pytest.raises(DecodeError) as caught:
            read_whole("parquet", split(column(path, "sepal", samples=1, dtype="int64")))
        assert caught.value.reason == "it has no column 'sepal', which is sepal; did you mean 'sepals'?"

        twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])
        put(path, as_parquet(twice))
        with pytest.raises(DecodeError) as caught:
            read_whole("parquet", split(column(path, "x", samples=1, dtype="int64")))
        assert caught.value.reason == "it has the column 'x' twice"

        with pytest.raises(DecodeError) as caught:
            read_whole("parquet", split(column(path, "x", samples=1, dtype="int64", columns=(2,))))
        assert caught.value.reason == "x is column 2, but it has 2 columns"


def test_iris_as_pandas_reads_it(realdata: Path) -> None:
    """The real file."""
    pandas = pytest.importorskip("pandas")
    path = realdata / "formats" / "parquet" / "iris.parquet"
    frame = pandas.read_parquet(path)
    features = tuple(frame.columns[:4])

    found = read_whole(
        "parquet",
        split(
            column(path, "features", samples=150, dtype="float64", shape=(4,), columns=features),
            column(path, "labels", samples=150, dtype="int64", key="class", classes=("a", "b", "c")),
        ),
    )

    np.testing.assert_array_equal(found["train.features"], frame[list(features)].to_numpy(), strict=True)
    np.testing.assert_array_equal(found["train.labels"], frame["class"].to_numpy(), strict=True)


def described(path: Path, form: str) -> formats.FileInfo:
    """What `add` is reported of a file."""
    detection = formats.of(form).detect(path.read_bytes()[: formats.HEAD_BYTES], path)
    assert detection is not None
    assert detection.certainty == formats.Certainty.CERTAIN
    return detection.inspect()


class TestDescribed:
    """What a file is said to hold: each column is an array of one table, or is left out by name."""

    @each
    def test_columns(self, form: str, write: Any, tmp_path: Path) -> None:
        """Dtypes and shapes are the file's own; None is an axis that differs."""
        rows = 20
        table = pa.table(
            {
                "small": pa.array(range(rows), pa.uint8()),
                "real": [n / 2 for n in range(rows)],
                "truth": [n % 3 == 0 for n in range(rows)],
                "group": [{"size": n} for n in range(rows)],
                "vector": [[n, n] for n in range(rows)],
                "words": [[1] * (n % 5) for n in range(rows)],
                "boxes": [[[1.0, 2.0]] * (1 + n % 2) for n in range(rows)],
                "name": [f"name {n}" for n in range(rows)],
            }
        )

        info = described(put(tmp_path / "t", write(table)), form)

        assert (info.format, info.is_table, info.left_out) == (form, True, ())
        assert [(array.key, array.dtype, array.shape, array.classes, array.missing) for array in info.arrays] == [
            ("small", "uint8", (rows,), None, ()),
            ("real", "float64", (rows,), None, ()),
            ("truth", "bool", (rows,), None, ()),
            ("group.size", "int64", (rows,), None, ()),
            ("vector", "int64", (rows, 2), None, ()),
            ("words", "int64", (rows, None), None, ()),
            ("boxes", "float64", (rows, None, 2), None, ()),
            ("name", "str", (rows,), None, ()),
        ]

    @each
    def test_words_of_which_there_are_few(self, form: str, write: Any, tmp_path: Path) -> None:
        """Are classes, whether the file has a dictionary of them or not, in the order of the alphabet."""
        words = ["b", "a", "c"] * 10
        table = pa.table({"plain": words, "encoded": pa.array(words).dictionary_encode(), "gaps": ["a", ""] * 15})

        info = described(put(tmp_path / "t", write(table)), form)

        assert [(array.key, array.dtype, array.classes) for array in info.arrays] == [
            ("plain", "int64", ("a", "b", "c")),
            ("encoded", "int64", ("a", "b", "c")),
            ("gaps", "str", None),
        ]

    @each
    def test_nulls(self, form: str, write: Any, tmp_path: Path) -> None:
        """Are marks in numbers, which are floats then; where there is no mark, the column is left out."""
        table = pa.table(
            {
                "real": pa.array([None, 1.5, 2], pa.float32()),
                "whole": [1, 2, None],
                "large": [1, 2**60, None],
                "truth": [True, None, None],
                "text": ["a", None, "c"],
                "nothing": pa.nulls(3),
                "inside": [[1.5, None], [1, 2], [3, 4]],
                "instead": [[1], None, [2]],
                "uneven": [[[1], [1, 2]], [], []],
            }
        )

        info = described(put(tmp_path / "t", write(table)), form)

        assert [(array.key, array.dtype, array.shape, array.missing) for array in info.arrays] == [
            ("real", "float32", (3,), (None,)),
            ("whole", "float64", (3,), (None,)),
            ("inside", "float64", (3, 2), (None,)),
        ]
        assert info.left_out == (
            "'large' has 1 null, for which int64 has no mark",
            "'truth' has 2 nulls, for which bool has no mark",
            "'text' has 1 null, for which a text has no mark",
            "'nothing' holds nothing but null",
            "'instead' has null in one sample",
            "'uneven' has lists of 1 and of 2 in one sample",
        )

    @each
    def test_what_other_tools_note(self, form: str, write: Any, tmp_path: Path) -> None:
        """Names of classes by Hugging Face's metadata, and its pictures; the index of a pandas frame."""
        noted = {
            "label": {"names": ["neg", "pos", "both"], "_type": "ClassLabel"},
            "unlabeled": {"names": ["neg", "pos"], "_type": "ClassLabel"},
            "image": {"_type": "Image"},
        }
        files = pa.array([{"bytes": b"", "path": "a"}] * 3)
        table = pa.table(
            {"label": [1, 0, 1], "unlabeled": [-1] * 3, "image": files, "sound": files, "__index_level_0__": [5, 6, 7]}
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": noted}})})

        info = described(put(tmp_path / "t", write(table)), form)

        (label,) = info.arrays
        assert (label.key, label.dtype, label.classes) == ("label", "int64", ("neg", "pos", "both"))
        assert info.left_out == (
            "'image' holds files, such as pictures or sounds, which are not read",
            "'sound' holds files, such as pictures or sounds, which are not read",
            "'__index_level_0__' is the index of a pandas frame",
            "'unlabeled' has other numbers than those of its 2 classes",
        )

    @pytest.mark.parametrize(
        "noted", [b"{", b"[]", b'{"info": 3}', b'{"info": {"features": {"x": 3}}}', b"[" * 100_000]
    )
    def test_notes_that_are_none(self, noted: bytes, tmp_path: Path) -> None:
        """Are no notes."""
        table = pa.table({"x": [1]}).replace_schema_metadata({b"huggingface": noted})

        (array,) = described(put(tmp_path / "t", as_parquet(table)), "parquet").arrays

        assert array.classes is None

    def test_iris(self, realdata: Path) -> None:
        """The real file."""
        info = described(realdata / "formats" / "parquet" / "iris.parquet", "parquet")

        assert {array.key: (array.dtype, array.shape) for array in info.arrays} == {
            **dict.fromkeys(["sepal_length", "sepal_width", "petal_length", "petal_width"], ("float64", (150,))),
            "class": ("int64", (150,)),
        }


MANIFEST = """version: 1
datasets:
  table:
    title: A table
    status: shipped
    format: {form}
    license: not stated by the authors
    source: https://example.org/
    fields:
      features: {{dtype: float32, shape: [3], names: [width, height, depth]}}
      species: {{dtype: int64, classes: [Setosa, Virginica], values: [s, v]}}
      kind: {{dtype: int64, classes: [none, some]}}
      age: {{dtype: float64, missing: [null]}}
      rooms: {{dtype: int16, missing: [null], missing_value: -1}}
      words: {{dtype: uint16, shape: [null]}}
      picture: {{dtype: uint8, shape: [2, 2], range: [0, 255]}}
      remark: {{dtype: str}}
    splits:
      train: {{samples: 40, rows: [0, 40], stored_samples: 60, file: table, age: person.age}}
      test: {{samples: 20, rows: [40, 60], stored_samples: 60, file: table, age: person.age}}
    files:
      table: {{bytes: {bytes}, sha256: {sha256}}}
"""


class TestManifest:
    """Declared in YAML alone, and returned by `get`."""

    def table(self) -> pa.Table:
        """Sixty rows, of every kind of column."""
        rows = range(60)
        return pa.table(
            {
                "height": [n / 4 for n in rows],
                "width": pa.array(rows, pa.int8()),
                "depth": [2.0 * n for n in rows],
                "species": pa.array(["sv"[n % 2] for n in rows]).dictionary_encode(),
                "kind": [float(n % 2) for n in rows],
                "person": [{"age": None if n % 7 == 0 else n} for n in rows],
                "rooms": [None if n % 5 == 0 else n for n in rows],
                "words": [[n] * (n % 4) for n in rows],
                "picture": [[[n, 0], [255, n]] for n in rows],
                "remark": [f"of row {n}" for n in rows],
            }
        )

    @each
    def test_every_kind_of_field(self, form: str, write: Any, tmp_path: Path) -> None:
        """In two splits, which are rows of one file."""
        table = self.table()
        (tmp_path / "datasets" / "table").mkdir(parents=True)
        data = put(tmp_path / "datasets" / "table" / "table", write(table)).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        text = MANIFEST.format(form=form, bytes=len(data), sha256=digest)

        got = get("table", manifest=put(tmp_path / "datasets.yaml", text), home=tmp_path / "home")

        columns = table.to_pydict()
        for split_of, rows in ((got.train, slice(0, 40)), (got.test, slice(40, 60))):
            expected = np.array([columns[name][rows] for name in ("width", "height", "depth")], "float32").T
            np.testing.assert_array_equal(split_of.features, expected, strict=True)
            assert split_of.species.tolist() == ["sv".index(word) for word in columns["species"][rows]]
            assert split_of.kind.tolist() == columns["kind"][rows]
            ages = [person["age"] for person in columns["person"][rows]]
            np.testing.assert_array_equal(split_of.age, np.array([np.nan if age is None else age for age in ages]))
            assert split_of.rooms.tolist() == [-1 if n is None else n for n in columns["rooms"][rows]]
            assert [words.tolist() for words in split_of.words] == columns["words"][rows]
            assert split_of.picture.tolist() == columns["picture"][rows]
            assert list(split_of.remark) == columns["remark"][rows]
        assert audit(["table"], manifest=tmp_path / "datasets.yaml", home=tmp_path / "home", decode="always").ok


class TestLibrary:
    """Without pyarrow nothing is downloaded, nor hashed."""

    CODE = """
import sys
sys.modules["pyarrow"] = None
from tinytorch_datasets.cli import main
main({arguments!r})
"""

    def run(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """Exit code and stderr of a command where pyarrow is not installed."""
        code = self.CODE.format(arguments=[*arguments])
        done = python("-c", code, cwd=folder)
        return done.returncode, done.stderr

    @pytest.mark.parametrize("form", ["parquet", pytest.param("arrow", marks=pytest.mark.slow)])
    def test_get_and_audit_name_it(self, form: str, tmp_path: Path) -> None:
        """With the line, and what to install."""
        digest = "0" * 64
        manifest = put(
            tmp_path / "datasets.yaml",
            f"""version: 1
datasets:
  table:
    title: A table
    status: remote
    format: {form}
    license: not stated by the authors
    source: https://example.org/
    mirrors: [https://example.org/]
    fields: {{x: {{dtype: int64}}}}
    splits: {{train: {{samples: 1, file: t}}}}
    files: {{t: {{bytes: 1, sha256: "{digest}"}}}}
""",
        )
        where = ("--manifest", str(manifest), "--home", str(tmp_path / "home"))
        expected = (
            f"error: format {form!r} needs pyarrow, which is not installed\n"
            "  declared at datasets.yaml:3\n"
            "  pip install 'tinytorch-datasets[tables]'\n"
        )

        assert self.run(tmp_path, "get", "table", *where) == (2, expected)
        assert not (tmp_path / "home").exists()
        assert self.run(tmp_path, "audit", "table", *where)[0] == 0  # nothing is there to be decoded
        (tmp_path / "home" / "table").mkdir(parents=True)
        put(tmp_path / "home" / "table" / "t", b"x")
        assert self.run(tmp_path, "audit", "table", *where) == (2, expected)

    def test_add_names_it(self, tmp_path: Path) -> None:
        """As soon as it has seen what the file is."""
        path = put(tmp_path / "t.parquet", as_parquet(pa.table({"x": [1]})))
        put(tmp_path / "datasets.yaml", "version: 1\ndatasets: {}\n")

        code, message = self.run(tmp_path, "add", str(path), "--ship", "--manifest", "datasets.yaml")

        assert (code, message) == (
            2,
            "error: format 'parquet' needs pyarrow, which is not installed\n"
            "  pip install 'tinytorch-datasets[tables]'\n",
        )
