"""Tables are read many rows at once; what comes of it is what comes of reading one cell after the other."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.helpers.declared import made, plain
from tests.helpers.format_writers import column, put, read, split, zipped
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError, ManifestError
from tinytorch_datasets.plan import RaggedBlock
from tinytorch_datasets.readers.text import PIECE_BYTES

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
    st.floats(-1e30, 1e30).map(lambda number: f"{number:.18e}"),
    st.builds("{}.{}E{}{}".format, DIGITS, DIGITS, st.sampled_from(["", "-", "+"]), st.integers(0, 50)),
)
# What int() and float() take and a table does not, and what they do not take.
STRANGE = st.sampled_from(
    [
        *["", " ", "-", ".", "+.", "-.", "1_000", "0x1p3", "nan", "inf", "-Infinity", "\u0663", "1 2", "1-2", "--1"],
        *["1e", "e1", "1.2.3", "?", "NA", "1e400", "5e-324", "1,5", "\t1", "true", "1\u00a0", "\u00bd", "9" * 30],
        *["0" * 45, "-0", "-0.0", "1'000", "1.000,5", "1e+-5", "1.5e+", "1e5.5"],
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
    """The same with a remark at the end, which makes all of it be read row by row; its sign is #."""
    return written(rows, csv.QUOTE_ALL) + b"#\n"


MARKS = st.sampled_from([(), ("?",), ("", "NA"), ("-1",), ("7.0", "?"), ("1e400",), ("99999999999999999999",)])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1)),
    dtype=st.sampled_from(DTYPES),
    marks=MARKS,
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from([None, "'", " "]),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@example([["9007199254740993"]], "float64", (), ".", None, "\n", csv.QUOTE_MINIMAL)
@example([["0.1"], ["0.30000000000000004"], ["123456789012345678"]], "float64", (), ".", None, "\n", csv.QUOTE_MINIMAL)
@example([["-9223372036854775808"], ["9223372036854775807"]], "int64", (), ".", None, "\n", csv.QUOTE_MINIMAL)
@example([["18446744073709551615"], ["1"]], "uint64", (), ".", None, "\n", csv.QUOTE_MINIMAL)
@example([["7"], ["7.0"], ["?"], [" 7 "]], "int64", ("7.0", "?"), ".", None, "\n", csv.QUOTE_MINIMAL)
@example([["-1"], ["-128"]], "int8", ("-1",), ".", None, "\n", csv.QUOTE_MINIMAL)
def test_many_cells_at_once_are_each_cell_alone(
    rows: list[list[str]],
    dtype: str,
    marks: tuple[str, ...],
    decimal: str,
    thousands: str | None,
    end: str,
    quoting: Any,
) -> None:
    """Values by the bit, and errors by the word: where a cell is in doubt, it is read alone."""
    missing: dict[str, Any] = {}
    if marks and dtype not in ("str", "bool"):
        missing = {"missing": marks, "missing_value": None if dtype.startswith("float") else 100}
    field = {"images": {"dtype": dtype, "shape": (len(rows[0]),), **missing}}
    options = {"decimal": decimal, "thousands": thousands}
    with tempfile.TemporaryDirectory() as folder:
        fast = outcome(Path(folder), written(rows, quoting, end), field, len(rows), **options)
        assert fast == outcome(Path(folder), slow(rows), field, len(rows), comment="#", **options)


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
        st.tuples(st.integers(-999, 999).map(str), st.text("abé, 1\"'#\n", max_size=6), st.sampled_from("xyz")),
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


def quoted(text: str) -> str:
    """The text in quotes, each of its own written twice."""
    return '"' + text.replace('"', '""') + '"'


PLAIN_CELLS = st.text("ab1e.- \u00e9\t", max_size=5)
RAW_CELLS = st.one_of(PLAIN_CELLS, PLAIN_CELLS, st.text('ab;"\n ', max_size=6).map(quoted))
RAW_ROWS = st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[RAW_CELLS] * width), min_size=1, max_size=8))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=RAW_ROWS,
    end=st.sampled_from(["\n", "\r\n"]),
    is_ended=st.booleans(),
    at=st.integers(0, 60),
    damage=st.sampled_from(["", "", '"', '""', ";", "\n", '";', ';"', '"\n', ' "', '" ', "\n\n"]),
)
@example([("a",), ("",)], "\n", True, 60, "")
@example([("", '"a\n"'), ("b", "c")], "\r\n", False, 0, '"')
@example([("x", "y"), ('"a"b', "c")], "\n", True, 60, "")
@example([("x",), ('a"b',), ('c"',)], "\n", True, 60, "")
@example([("x", "y"), ('a"b', '"c"')], "\n", True, 60, "")
@example([("x", "y"), ('"a"', "b\rc")], "\n", True, 60, "")
def test_texts_are_those_of_the_csv_module(rows: Any, end: str, is_ended: bool, at: int, damage: str) -> None:
    """Of rows as they may be written, and with a sign too many somewhere; what it refuses is refused.

    The first row is read alone, so that what is odd stands in others.
    """
    text = end.join(";".join(row) for row in rows) + end * is_ended
    text = text[:at] + damage + text[at:]
    try:
        lines = (line + "\n" for line in text.removesuffix("\n").split("\n"))
        expected = list(csv.reader(lines, delimiter=";", strict=True))
    except csv.Error:
        expected = []
    while len(expected) > 1 and not expected[-1] and len(expected[0]) > 1:  # empty lines at the end are no rows
        expected.pop()
    width = len(expected[0]) if expected else 0
    fields = {f"c{place}": {"dtype": "str"} for place in range(width or len(rows[0]))}
    places, samples = {field: int(field[1:]) for field in fields}, len(expected) or len(rows)
    with tempfile.TemporaryDirectory() as folder:
        found = outcome(Path(folder), text.encode(), fields, samples, columns=places)

    if width and {len(row) for row in expected} == {width}:
        assert found == {f"train.c{place}": [row[place] for row in expected] for place in range(width)}
    else:
        assert found[0] in (DecodeError, ContentError)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_of_several_lines_in_a_long_table(tmp_path: Path, end: str) -> None:
    """Rows in quotes that go over lines are whole, wherever the pieces end that are looked at together."""
    texts = ["two\nlines, a comma\n" * 4, '"', "", "caf\u00e9\r\n" * 9, '"a" ""b""', "plain" * 30]
    rows = [[str(number), texts[number % 6], "xyz"[number % 3], f'"{number}'] for number in range(9000)]
    path = put(tmp_path / "t", written(rows, csv.QUOTE_ALL, end))
    fields: list[dict[str, Any]] = [{"dtype": "int32"}, {"dtype": "str"}, {"dtype": "int64", "classes": tuple("xyz")}]
    columns = [column(path, f"c{at}", samples=9000, **more) for at, more in enumerate([*fields, {"dtype": "str"}])]
    found = read("csv", split(*columns), header=False, delimiter=";", columns={f"c{at}": at for at in range(4)})

    assert path.stat().st_size > 2 * PIECE_BYTES
    assert found["train.c0"].tolist() == list(range(9000))
    assert found["train.c1"] == [row[1] for row in rows]
    assert found["train.c2"].tolist() == [number % 3 for number in range(9000)]
    assert found["train.c3"] == [row[3] for row in rows]


class TestClasses:
    """Cells are compared with the names of classes many at once, eight bytes in one step."""

    LENGTHS = (0, 1, 7, 8, 9, 16, 17, 64, 65)

    @pytest.mark.parametrize("longest", [9, 64, 65])
    @pytest.mark.parametrize("copies", [1, 9])
    def test_names_that_begin_and_end_alike(self, tmp_path: Path, longest: int, copies: int) -> None:
        """Short and long ones, few and many, of letters beyond ASCII; with blanks around them that are left out."""
        names = [f"{chr(97 + copy)}{'a' * length}z"[:length] for copy in range(copies) for length in self.LENGTHS]
        names = [name for name in dict.fromkeys([*names, "caf\u00e9", "caf\u00e8"]) if name and len(name) <= longest]
        path = put(tmp_path / "t", "".join(f"1; {name} \n2;{name}\n" for name in names))
        field = column(path, "k", samples=2 * len(names), dtype="int64", classes=tuple(names))
        found = read("csv", split(field), header=False, delimiter=";", strip=True, columns={"k": 1})["train.k"]

        assert found.tolist() == [number // 2 for number in range(2 * len(names))]

    def test_a_part_of_a_name_is_none(self, tmp_path: Path) -> None:
        """Nor is a name with more in front of it."""
        for cell in ("ale", "femal", "xfemale", "", "female "):
            path = put(tmp_path / "t", f"1;male\n2;female\n3;{cell}\n")
            field = column(path, "k", samples=3, dtype="int64", classes=("female", "male"))
            with pytest.raises(DecodeError, match=f"line 3, column 2: '{cell}' is not one of the 2 classes of k"):
                read("csv", split(field), header=False, delimiter=";", columns={"k": 1})


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


def refused(path: Path, *fields: Any, **options: Any) -> str:
    """Why a table is refused."""
    with pytest.raises(DecodeError) as caught:
        read("csv", split(*(column(path, **field) for field in fields)), **options)
    return str(caught.value.reason)


class TestBlanks:
    """Blanks around cells are text, unless they are declared to be none."""

    ADULT = "39, State-gov , <=50K\n50, Private , >50K\n"

    def fields(self, path: Path, *classes: str) -> Any:
        """An age, an employer and a class."""
        employer = column(path, "employer", samples=2, dtype="str")
        label = column(path, "label", samples=2, dtype="int64", classes=classes)
        return split(column(path, "age", samples=2), employer, label)

    COLUMNS: ClassVar = {"columns": {"age": 0, "employer": 1, "label": 2}, "header": False}

    def test_they_stay(self, tmp_path: Path) -> None:
        """As the csv module has them."""
        path = put(tmp_path / "t", self.ADULT)
        found = read("csv", self.fields(path, " <=50K", " >50K"), **self.COLUMNS)

        assert found["train.employer"] == [" State-gov ", " Private "]
        assert found["train.age"].tolist() == [39, 50]
        assert found["train.label"].tolist() == [0, 1]

    @pytest.mark.parametrize(
        "text",
        [ADULT, ADULT.replace(" ", "\t "), ADULT.replace(" Private ", '  "Private "'), ADULT.replace("39", " 39 ")],
    )
    def test_they_are_left_out(self, tmp_path: Path, text: str) -> None:
        """Of text, of classes and in front of quotes; tabs too, and in quotes."""
        path = put(tmp_path / "t", text)
        found = read("csv", self.fields(path, "<=50K", ">50K"), strip=True, **self.COLUMNS)

        assert found["train.employer"] == ["State-gov", "Private"]
        assert found["train.age"].tolist() == [39, 50]
        assert found["train.label"].tolist() == [0, 1]

    def test_behind_a_quote(self, tmp_path: Path) -> None:
        """A quote ends its cell: of what stands behind it nobody knows whether it is one."""
        path = put(tmp_path / "t", '1, "a" , x\n')
        reason = "line 1 has a cell that goes on after its quote; a quote inside is written twice"

        assert refused(path, {"samples": 1, "shape": (3,)}, header=False, strip=True) == reason

    def test_names_of_columns(self, tmp_path: Path) -> None:
        """A header has blanks, too."""
        path = put(tmp_path / "t", "x, y\n1, 2\n")
        fields = split(column(path, "x", samples=1), column(path, "y", samples=1))

        assert read("csv", fields, strip=True)["train.y"].tolist() == [2]


class TestSeveralNumbersInACell:
    """An image, or a list, is one cell of a table."""

    def test_pixels(self, tmp_path: Path) -> None:
        """As FER2013 has them: the label, the pixels, and what the row is for."""
        pixels = np.random.default_rng(0).integers(0, 256, (300, 48, 48), np.uint8)
        rows = [f"{n % 7},{' '.join(map(str, image.ravel().tolist()))},Training" for n, image in enumerate(pixels)]
        for text in ("\n".join(["emotion,pixels,Usage", *rows]), "\n".join(['"emotion",pixels,Usage', *rows])):
            path = put(tmp_path / "t", text.replace(",Training", ',"Training"') if text[0] == '"' else text)
            fields = [column(path, "emotion", samples=300), column(path, "pixels", samples=300, shape=(48, 48))]
            found = read("csv", split(*fields), cell_delimiter=" ")

            np.testing.assert_array_equal(found["train.pixels"], pixels, strict=True)
            assert found["train.emotion"].tolist() == [n % 7 for n in range(300)]

    @pytest.mark.parametrize(("sign", "dtype"), [(" ", "int32"), ("whitespace", "float64"), (";", "float32")])
    def test_lists_of_any_length(self, tmp_path: Path, sign: str, dtype: str) -> None:
        """A cell that is empty is a list of nothing."""
        between = "  " if sign == "whitespace" else sign
        lists = [[1, 2, 3], [], [40], [-5, 6]]
        path = put(tmp_path / "t", "id,words\n" + "".join(f"7,{between.join(map(str, one))}\n" for one in lists))
        field = column(path, "words", samples=4, shape=(None,), dtype=dtype)
        (_, words) = formats.of("csv").decode([split(column(path, "id", samples=4), field)], cell_delimiter=sign)

        assert isinstance(words.values, RaggedBlock)
        assert words.values.values.dtype == dtype
        assert [sample.tolist() for sample in words.values.samples()] == lists

    def test_rows_of_points(self, tmp_path: Path) -> None:
        """An axis that differs beside one that does not."""
        path = put(tmp_path / "t", "1 2 3 4;9\n5 6;9\n")
        fields = [column(path, "points", samples=2, shape=(None, 2)), column(path, "id", samples=2)]
        options: dict[str, Any] = {"header": False, "delimiter": ";", "cell_delimiter": " ", "columns": {"points": 0}}
        points, _ = formats.of("csv").decode([split(*fields)], **options)

        assert isinstance(points.values, RaggedBlock)
        assert [sample.tolist() for sample in points.values.samples()] == [[[1, 2], [3, 4]], [[5, 6]]]

    @pytest.mark.parametrize(
        ("text", "shape", "reason"),
        [
            ("1 2 3\n1 2\n", (3,), "line 2, column 1: 2 numbers, and the shape [3] needs 3"),
            ("1 2 3\n1 x 2\n", (3,), "line 2, column 1: 'x' is not a whole number"),
            ("1 2 3\n1 256 2\n", (3,), "line 2, column 1: '256' is outside 0 to 255, what uint8 can hold"),
            (
                "1 2\n1 2 3\n",
                (None, 2),
                "line 2, column 1: 3 numbers, and the shape [null, 2] needs 2 of them, or a multiple",
            ),
            ("1  2\n1 2\n", (None,), "line 1, column 1: the cell is empty"),
            (
                "1 2\n",
                (None, None),
                "images differs by sample on more than one axis, which a row of numbers does not tell",
            ),
        ],
    )
    def test_what_is_none(self, tmp_path: Path, text: str, shape: Any, reason: str) -> None:
        """The number that is wrong is named by the line and the column of its cell."""
        path = put(tmp_path / "t", text)

        assert refused(path, {"shape": shape, "samples": 2}, header=False, cell_delimiter=" ") == reason

    def test_without_the_option(self, tmp_path: Path) -> None:
        """Rows of a table are all as long as the first."""
        reason = "the samples of images differ in shape, and the columns of a table do not"

        assert refused(put(tmp_path / "t", "1\n2\n"), {"shape": (None,), "samples": 2}, header=False) == reason


class TestRangesOfColumns:
    """Many columns are written as the first and the last of them."""

    def test_both_ends_are_in_it(self, tmp_path: Path) -> None:
        """Beside names and numbers."""
        path = put(tmp_path / "t", "a,b,c,d,e\n1,2,3,4,5\n")
        fields = split(column(path, samples=1, shape=(4,)), column(path, "c", samples=1))

        found = read("csv", fields, columns={"images": ["3-4", "a", 1], "c": "c"})
        assert found["train.images"].tolist() == [[4, 5, 1, 2]]

    def test_a_column_of_that_name(self, tmp_path: Path) -> None:
        """Is that column, and no range."""
        path = put(tmp_path / "t", "0-1,b\n7,8\n")

        assert read("csv", split(column(path, samples=1)), columns={"images": "0-1"})["train.images"].tolist() == [7]

    @pytest.mark.parametrize(
        ("columns", "reason"),
        [
            ("1-9999999", "images is column 2 by the option columns, but a row has 2"),
            ("5-9999999", "images is column 9999999 by the option columns, but a row has 2"),
            ("1-0", "the range 1-0 of the option columns has no columns"),
        ],
    )
    def test_beyond_a_row(self, tmp_path: Path, columns: str, reason: str) -> None:
        """The first that there is not is named, however many there were."""
        path = put(tmp_path / "t", "a,b\n1,2\n")

        assert refused(path, {"samples": 1, "shape": (2,)}, columns={"images": columns}) == reason


class TestLineEnds:
    """How lines end, the first decides; where others end otherwise, that is an error, and no longer line."""

    @pytest.mark.slow
    def test_cr_in_a_long_text(self, tmp_path: Path) -> None:
        """Over many pieces of the text."""
        rows = np.random.default_rng(0).integers(0, 256, (400_000, 2), np.uint8)
        path = put(tmp_path / "t", "a,b\r" + "".join(f"{a},{b}\r" for a, b in rows.tolist()))

        found = read("csv", split(column(path, samples=400_000, shape=(2,))))["train.images"]
        np.testing.assert_array_equal(found, rows, strict=True)

    def test_lf_behind_many_cr(self, tmp_path: Path) -> None:
        """Whether there are as many rows as it seems, nobody knows."""
        path = put(tmp_path / "t", "1,2\r" * 400_000 + "1,2\n" * 9)

        reason = "line 400,001 ends in LF, and the lines before it in CR"
        assert refused(path, {"samples": 400_009, "shape": (2,)}, header=False) == reason

    def test_cr_behind_lf(self, tmp_path: Path) -> None:
        """A first line by another hand."""
        path = put(tmp_path / "t", "1,2\n" + "1,2\r" * 9)

        reason = "the row of line 2 has a carriage return in the middle of a cell without quotes"
        assert refused(path, {"samples": 10, "shape": (2,)}, header=False) == reason


class TestComments:
    """Lines that begin with the sign are no rows, wherever they are; in a cell it is a character like others."""

    def test_everywhere_but_in_cells(self, tmp_path: Path) -> None:
        """At the front, behind blanks, between rows, and not in quotes."""
        text = '# one\na,b\n1,x#y\n  # two\n2,"\n#z"\n3,#\n#'
        path = put(tmp_path / "t", text)
        fields = split(column(path, "a", samples=3), column(path, "b", samples=3, dtype="str"))
        found = read("csv", fields, comment="#")

        assert found["train.a"].tolist() == [1, 2, 3]
        assert found["train.b"] == ["x#y", "\n#z", "#"]

    def test_skipped_lines_are_counted_first(self, tmp_path: Path) -> None:
        """A line that is skipped may hold anything, an open quote too."""
        path = put(tmp_path / "t", '"skipped\n#1\na\n5\n')

        assert read("csv", split(column(path, "a", samples=1)), skip_lines=1, comment="#")["train.a"].tolist() == [5]


class TestLastLines:
    """Lines at the end may be no rows; how many is declared."""

    @pytest.mark.parametrize("end", ["\n", "", "\r\n"])
    @pytest.mark.parametrize("rows", [1, 3, pytest.param(70_000, marks=pytest.mark.slow)])
    def test_they_are_left_out(self, tmp_path: Path, end: str, rows: int) -> None:
        """Whatever they hold, and whether or not the last one ends in LF."""
        body = "".join(f"{n % 100},{n % 7}\n" for n in range(rows))
        path = put(tmp_path / "t", f'a,b\n{body}\nSource: "a table{end}')
        field = column(path, samples=rows, shape=(2,))
        found = read("csv", split(field), skip_last_lines=2)["train.images"]

        assert found.tolist() == [[n % 100, n % 7] for n in range(rows)]

    def test_more_than_there_are(self, tmp_path: Path) -> None:
        """No rows are left."""
        path = put(tmp_path / "t", "a,b\n1,2\n")

        assert refused(path, {"samples": 1, "shape": (2,)}, skip_last_lines=3) == "it is empty"


class TestRestOfALine:
    """`most_cells`: the last cell of a row has all that is left of its line."""

    @pytest.mark.parametrize(
        ("text", "delimiter", "labels"),
        [
            ("1025794 Cessna 172\n0034309 737-300\n", " ", ["Cessna 172", "737-300"]),
            ("1025794 Cessna 172\r\n0034309  DC-9  30 \r\n", "whitespace", ["Cessna 172", "DC-9  30"]),
            ("1;a;b\n2;c\n", ";", ["a;b", "c"]),
            ("1 Fokker 100\n2 B\u00f6lkow 207", " ", ["Fokker 100", "B\u00f6lkow 207"]),
        ],
    )
    def test_delimiters_in_it_are_a_part_of_it(
        self, tmp_path: Path, text: str, delimiter: str, labels: list[str]
    ) -> None:
        """As FGVC-Aircraft writes the names of its variants behind a number."""
        path = put(tmp_path / "t", text)
        options: dict[str, Any] = {"header": False, "delimiter": delimiter, "most_cells": 2}
        columns = (
            column(path, "n", samples=2, dtype="int64", columns=(0,)),
            column(path, "label", samples=2, dtype="str", columns=(1,)),
        )

        found = read("csv", split(*columns), **options)

        assert found["train.label"] == labels
        numbers = [int(line.replace(";", " ").split()[0]) for line in text.splitlines()]
        assert found["train.n"].tolist() == numbers

    def test_what_is_wrong_is_reported_with_its_line(self, tmp_path: Path) -> None:
        """A row of fewer cells, and the code that takes the place of delimiters."""
        wish = {"samples": 2, "dtype": "str", "shape": (), "columns": (1,)}
        options: dict[str, Any] = {"header": False, "delimiter": " ", "most_cells": 2}

        assert refused(put(tmp_path / "a", "1 a b\n2\n"), wish, **options).startswith("line 2 ")
        reason = "line 2 has the control code '\\x1f'"
        assert refused(put(tmp_path / "b", "1 a b\n2 a\x1fb\n"), wish, **options) == reason


class TestThroughAManifest:
    """What is declared in YAML comes out of `get`; what is wrong is reported by its line there."""

    ENTRY = """
        format: csv
        options: {cell_delimiter: " "}
        fields:
          pixels: {dtype: uint8, shape: [2, 2], range: [0, 255]}
          words: {dtype: int32, shape: [null]}
          emotion: {dtype: int64, classes: [angry, happy], values: ["0", "3"]}
        splits:
          train: {samples: 2, file: t.csv, rows: [0, 2], stored_samples: 3}
          test: {samples: 1, file: t.csv, rows: [2, 3], stored_samples: 3}
        """
    TEXT = "emotion,pixels,words\n0,1 2 3 4,1 2 3\n3,5 6 7 8,\n3,9 9 9 9,7\n"

    @pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gz", "xz"])
    def test_lists_in_cells(self, tmp_path: Path, pack: Any) -> None:
        """Of one length and of many, in rows of a compressed file."""
        data = made(tmp_path, self.ENTRY, t_csv=pack(self.TEXT.encode()))

        assert plain(data.train.pixels) == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
        assert [words.tolist() for words in data.train.words] == [[1, 2, 3], []]
        assert plain(data.train.emotion) == [0, 1]
        assert plain(data.test.pixels) == [[[9, 9], [9, 9]]]
        assert data.test.words[0].tolist() == [7]

    def test_a_table_in_an_archive(self, tmp_path: Path) -> None:
        """By the name of the member; the columns by range, by negative number and by their names."""
        rows = "a,b,c,d\n1,2,3,x\n4,5,6,y\n"
        entry = """
        format: csv
        fields:
          features: {dtype: int64, shape: [3]}
          named: {dtype: float32, shape: [2], names: [c, a]}
          label: {dtype: int64, classes: [x, y]}
        splits:
          train: {samples: 2, file: t.zip, member: in/t.csv, features: {column: 0-2}, label: {column: -1}}
        """
        for member in (rows.encode(), gzip.compress(rows.encode())):
            data = made(tmp_path, entry, t_zip=zipped({"in/t.csv": member}))

            assert plain(data.train.features) == [[1, 2, 3], [4, 5, 6]]
            assert plain(data.train.named) == [[3, 1], [6, 4]]
            assert plain(data.train.label) == [0, 1]

    @pytest.mark.parametrize(
        ("options", "field", "reason", "line"),
        [
            ("{}", "names: [a, q]", "its header has no column 'q', which is features", 12),
            ("{columns: {features: 3-4}}", "", "features is column 3 by the option columns, but a row has 3", 10),
        ],
    )
    def test_columns_that_there_are_not(self, tmp_path: Path, options: str, field: str, reason: str, line: int) -> None:
        """The line is that of what names them."""
        entry = f"""
        format: csv
        options: {options}
        fields:
          features: {{dtype: int64, shape: [2]{", " if field else ""}{field}}}
          label: {{dtype: int64, classes: [x, y]}}
        splits:
          train: {{samples: 1, file: t.csv, label: {{column: label}}}}
        """
        with pytest.raises(DecodeError) as caught:
            made(tmp_path, entry, t_csv="a,b,label\n1,2,x\n")

        assert caught.value.reason == reason
        assert caught.value.where == f"datasets.yaml:{line}"

    def test_options_that_are_none(self, tmp_path: Path) -> None:
        """All of them at once, before anything is fetched."""
        options = '{columns: {pixels: 2-1}, cell_delimiter: ",", skip_last_lines: -1, strip: 3, most_cells: 1}'
        with pytest.raises(ManifestError) as caught:
            made(tmp_path, self.ENTRY.replace('{cell_delimiter: " "}', options), t_csv=self.TEXT)

        found = [line.partition(".options.")[2] for line in str(caught.value).splitlines() if ".options." in line]
        assert sorted(found) == [
            "cell_delimiter: is ',', and so is the delimiter",
            "columns.pixels: the range 2-1 has no columns",
            "most_cells: must be 2 or more, is 1",
            "skip_last_lines: must be from 0 to 100, is -1",
            "strip: must be a valid boolean, is 3",
        ]

    def test_blanks_that_are_the_delimiter_are_not_left_out(self, tmp_path: Path) -> None:
        """A blank cannot both end a cell and mean nothing."""
        with pytest.raises(ManifestError, match="leaves out blanks, and the delimiter is one"):
            made(tmp_path, self.ENTRY.replace("{cell", '{strip: true, delimiter: " ", cell'), t_csv=self.TEXT)


@pytest.mark.slow
def test_quotes_here_and_there_in_a_long_table(tmp_path: Path) -> None:
    """Rows that are read at once and rows that are read one by one follow each other, wherever the pieces end."""
    random = np.random.default_rng(0)
    texts = np.array(["plain", "\u00e9", 'a "b"', "two\nlines", "a, b", "\n" * 9])
    picked = [
        0 if number // 30_000 % 2 else kind for number, kind in enumerate(random.integers(0, 6, 120_000).tolist())
    ]
    rows = [(str(number), texts[kind], str(number / 8)) for number, kind in enumerate(picked)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("n", "text", "x"), *rows])
    path = put(tmp_path / "t", text.getvalue())
    fields = [
        column(path, "n", samples=120_000, dtype="int32"),
        column(path, "text", samples=120_000, dtype="str"),
        column(path, "x", samples=120_000, dtype="float64"),
    ]
    found = read("csv", split(*fields))

    assert found["train.n"].tolist() == list(range(120_000))
    assert found["train.text"] == [row[1] for row in rows]
    assert found["train.x"].tolist() == [number / 8 for number in range(120_000)]
