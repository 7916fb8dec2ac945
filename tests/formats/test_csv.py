"""Tables are read many rows at once; what comes of it is what comes of reading one cell after the other."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.helpers.format_writers import column, put, read, split
from tinytorch_datasets.errors import DecodeError

DIGITS = st.text("0123456789", min_size=1, max_size=24)
NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.integers(-300, 300).map(str),
    st.floats().map(repr),
    st.floats(-1e6, 1e6).map(lambda number: f"{number:.4f}"),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-", "+"]), DIGITS, DIGITS),
    st.builds("{}{}".format, st.sampled_from(["", "-", "+", "00", "."]), DIGITS),
    st.builds("{}.".format, DIGITS),
    st.builds("{}e{}".format, DIGITS, st.integers(-400, 400)),
)
# What int() and float() take and a table does not, and what they do not take.
STRANGE = st.sampled_from(
    [
        *["", " ", "-", ".", "+.", "-.", "1_000", "0x1p3", "nan", "inf", "-Infinity", "\u0663", "1 2", "1-2", "--1"],
        *["1e", "e1", "1.2.3", "?", "NA", "1e400", "5e-324", "1,5", "\t1", "true", "1\u00a0", "\u00bd", "9" * 30],
        *["0" * 45, "-0", "-0.0", "1'000", "1.000,5"],
    ]
)
BLANKS = st.sampled_from(["", "", "", " ", "   ", " " * 12])
CELLS = st.builds("{}{}{}".format, BLANKS, st.one_of(NUMBERS, NUMBERS, NUMBERS, STRANGE), BLANKS)
DTYPES = ("int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64", "str", "bool")


def written(rows: list[list[str]], quoting: Any, end: str = "\n") -> bytes:
    """The rows as the csv module writes them."""
    text = io.StringIO()
    csv.writer(text, delimiter=";", quoting=quoting, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


def outcome(folder: Path, data: bytes, fields: dict[str, dict[str, Any]], samples: int, **options: Any) -> Any:
    """The values of the fields as bytes, or the error in full."""
    path = put(folder / "t.csv", data)
    columns = [column(path, name, samples=samples, **more) for name, more in fields.items()]
    try:
        values = read("csv", split(*columns), header=False, delimiter=";", **options)
    except DecodeError as error:
        return type(error), str(error)
    return {name: v if isinstance(v, list) else (v.dtype, v.shape, v.tobytes()) for name, v in values.items()}


def slow(rows: list[list[str]]) -> bytes:
    """The same with each cell in quotes, which are read row by row: of plain rows, quotes change nothing."""
    return written(rows, csv.QUOTE_ALL)


MARKS = st.sampled_from([(), ("?",), ("", "NA"), ("-1",), ("7.0", "?"), ("1e400",), ("99999999999999999999",)])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1)),
    dtype=st.sampled_from(DTYPES),
    marks=MARKS,
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from([None, "'", " "]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@example([["9007199254740993"]], "float64", (), ".", None, "\n")
@example([["0.1"], ["0.30000000000000004"], ["123456789012345678"]], "float64", (), ".", None, "\n")
@example([["-9223372036854775808"], ["9223372036854775807"]], "int64", (), ".", None, "\n")
@example([["18446744073709551615"], ["1"]], "uint64", (), ".", None, "\n")
@example([["7"], ["7.0"], ["?"], [" 7 "]], "int64", ("7.0", "?"), ".", None, "\n")
@example([["-1"], ["-128"]], "int8", ("-1",), ".", None, "\n")
def test_many_cells_at_once_are_each_cell_alone(
    rows: list[list[str]], dtype: str, marks: tuple[str, ...], decimal: str, thousands: str | None, end: str
) -> None:
    """Values by the bit, and errors by the word: where a cell is in doubt, it is read alone."""
    missing: dict[str, Any] = {}
    if marks and dtype not in ("str", "bool"):
        missing = {"missing": marks, "missing_value": None if dtype.startswith("float") else 100}
    field = {"images": {"dtype": dtype, "shape": (len(rows[0]),), **missing}}
    options = {"decimal": decimal, "thousands": thousands}
    with tempfile.TemporaryDirectory() as folder:
        fast = outcome(Path(folder), written(rows, csv.QUOTE_MINIMAL, end), field, len(rows), **options)
        assert fast == outcome(Path(folder), slow(rows), field, len(rows), **options)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(NUMBERS, min_size=1, max_size=30))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_decimals_are_the_nearest_floats(rows: list[str], dtype: str) -> None:
    """As Python reads them, which is as IEEE 754 has it."""
    most = float(np.finfo(dtype).max) / 2
    kept = [cell for cell in rows if abs(float(cell)) < most] or ["0"]
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "t.csv", "".join(f"{cell};1\n" for cell in kept) or "0;1\n")
        result = split(
            column(path, samples=max(1, len(kept)), dtype=dtype), column(path, "one", samples=len(kept) or 1)
        )
        found = read("csv", result, header=False, delimiter=";", columns={"one": 1})["train.images"]

    expected = np.array([float(cell) for cell in kept] or [0.0]).astype(dtype)
    assert found.tobytes() == expected.tobytes()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.tuples(st.integers(-999, 999).map(str), st.text("abé, 1\"'#", max_size=6), st.sampled_from("xyz")),
        min_size=1,
        max_size=40,
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    options=st.sampled_from([{}, {"encoding": "utf-16"}, {"encoding": "latin-1"}]),
)
def test_text_and_classes_beside_numbers(
    rows: list[tuple[str, str, str]], quoting: Any, options: dict[str, str]
) -> None:
    """Each field is what the csv module reads in its column."""
    text = io.StringIO()
    csv.writer(text, quoting=quoting).writerows([("n", "t", "k"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "t.csv", text.getvalue().encode(options.get("encoding", "utf-8")))
        fields: dict[str, dict[str, Any]] = {
            "n": {"dtype": "int16"},
            "t": {"dtype": "str"},
            "k": {"dtype": "int64", "classes": ("x", "y", "z")},
        }
        columns = [column(path, name, samples=len(rows), **more) for name, more in fields.items()]
        found = read("csv", split(*columns), **options)

    back = list(csv.reader(io.StringIO(text.getvalue(), newline="")))[1:]
    assert found["train.n"].tolist() == [int(row[0]) for row in back]
    assert found["train.t"] == [row[1] for row in back]
    assert found["train.k"].tolist() == ["xyz".index(row[2]) for row in back]


class TestPlacesOfErrors:
    """A fault deep in a long table is named as in a short one."""

    ROWS = 60_000

    @pytest.mark.parametrize(
        ("cell", "dtype", "reason"),
        [
            ("1_000", "int64", "line 50,002, column 3 ('c'): '1_000' is not a whole number"),
            ("300", "uint8", "line 50,002, column 3 ('c'): '300' is outside 0 to 255, what uint8 can hold"),
            ("1e999", "float64", "line 50,002, column 3 ('c'): '1e999' is more than float64 can hold"),
            ("", "float32", "line 50,002, column 3 ('c'): the cell is empty"),
            ("1,2", "int64", "line 50,002 has a row of 4, the first row is one of 3"),
            ("1\n", "int64", "line 50,003 is empty"),
            ("1\r2", "int64", "the row of line 50,002 has a carriage return in the middle of a cell without quotes"),
            ("\x00", "int64", "line 50,002 has a NUL character"),
        ],
    )
    def test_a_cell(self, tmp_path: Path, cell: str, dtype: str, reason: str) -> None:
        """By line and column, whatever was read at once."""
        cells = ["7"] * self.ROWS
        cells[50_000] = cell
        path = put(tmp_path / "t", "a,b,c\n" + "".join(f"1,2,{cell}\n" for cell in cells))
        fields = [column(path, name, samples=self.ROWS) for name in "ab"]
        with pytest.raises(DecodeError) as caught:
            read("csv", split(*fields, column(path, "c", samples=self.ROWS, dtype=dtype)))

        assert caught.value.reason == reason

    def test_a_row_too_many(self, tmp_path: Path) -> None:
        """By the line on which it begins, with lines that are none in front of it."""
        path = put(tmp_path / "t", "#\na,b\n" + "1,2\n" * 50_000 + "#\n" + "1,2\n" * 10_000)
        fields = [column(path, name, samples=55_000) for name in "ab"]
        with pytest.raises(DecodeError) as caught:
            read("csv", split(*fields), comment="#")

        assert caught.value.reason == "it has more rows than the 55,000 that train declares (line 55,004)"
