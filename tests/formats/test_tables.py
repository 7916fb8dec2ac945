"""Tables as people have them: real files, whose values pandas reads too, and every way to write a number."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import column, put, read, split
from tinytorch_datasets import formats, get
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.verify.arrays import checked

REAL = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats" / "tables"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")


def numbers(path: Path, shape: tuple[int, int], **options: Any) -> np.ndarray:
    """A whole table of numbers, as float64."""
    images = column(path, samples=shape[0], shape=(shape[1],), dtype="float64")
    values: np.ndarray = read("csv", split(images), **options)["train.images"]
    return values


def cells(data: bytes | str, path: Path, dtype: str = "float64", samples: int = 9, **options: Any) -> list[Any]:
    """The one column of a table without a header, or its error."""
    result = split(column(put(path, data), samples=samples, dtype=dtype))
    return list(read("csv", result, header=False, **options)["train.images"])


@real
class TestRealFiles:
    """Values are those that another reader of the same file sees."""

    @pytest.mark.parametrize(
        ("name", "shape", "header"),
        [
            ("housing.data", (506, 14), False),
            ("seeds_dataset.txt", (210, 8), False),
            ("linnerud_exercise.csv", (20, 3), True),
            ("linnerud_physiological.csv", (20, 3), True),
            ("diabetes_data_raw.csv.gz", (442, 10), False),
            ("diabetes_target.csv.gz", (442, 1), False),
        ],
    )
    def test_runs_of_blanks(self, name: str, shape: tuple[int, int], header: bool) -> None:
        """NumPy's loadtxt takes them for one delimiter, too, and so it does tabs."""
        expected = np.loadtxt(REAL / name, ndmin=2, skiprows=int(header))
        found = numbers(REAL / name, expected.shape, delimiter="whitespace", header=header)

        np.testing.assert_array_equal(found, expected, strict=True)
        assert expected.shape == shape

    def test_text_between_blanks(self) -> None:
        """The first and the last column of E. coli's proteins are names."""
        path = REAL / "ecoli.data"
        rows = [line.split() for line in path.read_text().splitlines()]
        fields = [column(path, name, samples=336, dtype="str") for name in ("protein", "site")]
        values = column(path, samples=336, shape=(7,), dtype="float64")
        options = {"delimiter": "whitespace", "header": False, "columns": {"protein": 0, "site": -1}}

        found = read("csv", split(*fields, values), **options)

        assert found["train.protein"] == [row[0] for row in rows]
        assert found["train.site"] == [row[-1] for row in rows]
        assert found["train.images"].tolist() == [list(map(float, row[1:-1])) for row in rows]

    def test_lines_that_come_before_the_table(self) -> None:
        """Wine's first line is counts and classes."""
        expected = np.loadtxt(REAL / "wine_data.csv", delimiter=",", skiprows=1)

        found = numbers(REAL / "wine_data.csv", (178, 14), header=False, skip_lines=1)

        np.testing.assert_array_equal(found, expected, strict=True)

    def test_another_encoding(self, tmp_path: Path) -> None:
        """Latin-1, with CRLF and tabs: the csv module reads the same rows."""
        data = (REAL / "gdp_per_capita.csv").read_bytes()
        path = put(tmp_path / "gdp", data.rpartition(b"\r\nInternational")[0])  # its last line says where it is from
        with path.open(encoding="latin-1", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter="\t") if row]
        countries = column(path, "Country", samples=len(rows) - 1, dtype="str")

        found = read("csv", split(countries), delimiter="\t", encoding="latin-1")["train.Country"]

        assert found == [row[0] for row in rows[1:]]

    def test_quoted_text(self) -> None:
        """AG's news as the csv module reads them."""
        path = REAL / "ag_news_test.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        fields = [column(path, name, samples=7600, dtype="str") for name in ("title", "text")]
        label = column(path, "label", samples=7600, dtype="int64")
        columns = {"label": 0, "title": 1, "text": 2}

        found = read("csv", split(label, *fields), header=False, columns=columns)

        assert found["train.label"].tolist() == [int(row[0]) for row in rows]
        assert found["train.text"] == [row[2] for row in rows]


class TestText:
    """How the text of a table may be written."""

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])
    def test_encodings(self, encoding: str, tmp_path: Path) -> None:
        """As Python writes them; a byte order mark is no part of a cell."""
        option = encoding.removesuffix("-sig")
        found = cells("caf\u00e9\nna\u00efve\n".encode(encoding), tmp_path / "t", "str", encoding=option)

        assert found == ["caf\u00e9", "na\u00efve"]

    def test_bytes_that_are_not_of_the_encoding(self, tmp_path: Path) -> None:
        """Are an error that says where."""
        with pytest.raises(DecodeError) as caught:
            cells(b"\0a\0", tmp_path / "t", "str", encoding="utf-16-be")

        assert caught.value.reason == "near byte 3, it is not utf-16-be: truncated data"

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_ends_of_lines(self, end: str, tmp_path: Path) -> None:
        """Of Unix, Windows, and the old Macintosh."""
        assert cells(f"1{end}2{end}3{end}", tmp_path / "t") == [1, 2, 3]

    def test_a_cell_of_two_lines(self, tmp_path: Path) -> None:
        """As the csv module reads it, and a comment sign inside is no comment."""
        text = '"a\n# b"\n"c ""d"""\n'

        assert cells(text, tmp_path / "t", "str", comment="#") == ["a\n# b", 'c "d"']
        assert [row[0] for row in csv.reader(io.StringIO(text))] == ["a\n# b", 'c "d"']

    def test_lines_that_are_skipped_keep_their_numbers(self, tmp_path: Path) -> None:
        """The error names the line of the file."""
        with pytest.raises(ContentError) as caught:
            cells("made by hand\n# on a Monday\n1\n # and\nx\n", tmp_path / "t", skip_lines=1, comment="#")

        assert caught.value.reason == "line 5, column 1: 'x' is not a number"

    def test_blanks_and_quotes(self, tmp_path: Path) -> None:
        """A quoted cell may have blanks and tabs in it, where these are what divides."""
        path = put(tmp_path / "t", '  "New  York"\t 1 \n Rome 2\t\n')
        city, size = column(path, "city", samples=2, dtype="str"), column(path, "size", samples=2, dtype="int64")

        found = read("csv", split(city, size), header=False, delimiter="whitespace", columns={"city": 0})

        assert found["train.city"] == ["New  York", "Rome"]
        assert found["train.size"].tolist() == [1, 2]


class TestNumbers:
    """Decimal commas and signs between thousands, and nothing that only looks like it."""

    @pytest.mark.parametrize(
        ("text", "decimal", "thousands", "expected"),
        [
            ("39,1\n-18,75\n,5\n2\n1e3\n", ",", None, [39.1, -18.75, 0.5, 2, 1000]),
            ("1.234,5\n1.234.567\n12\n", ",", ".", [1234.5, 1234567, 12]),
            ("1'234.5\n12\n", ".", "'", [1234.5, 12]),
            ("1 234\n", ".", " ", [1234]),
            ("1\u00a0234\n", ".", "\u00a0", [1234]),
        ],
    )
    def test_what_is_read(
        self, text: str, decimal: str, thousands: str | None, expected: list[float], tmp_path: Path
    ) -> None:
        """As people write them."""
        assert cells(text, tmp_path / "t", delimiter=";", decimal=decimal, thousands=thousands) == expected

    def test_whole_numbers_too(self, tmp_path: Path) -> None:
        """Populations are no floats."""
        assert cells("1.234.567\n", tmp_path / "t", "int64", delimiter=";", decimal=",", thousands=".") == [1234567]

    @pytest.mark.parametrize(
        ("cell", "decimal", "thousands"),
        [("1.5", ",", None), ("1.23", ",", "."), ("12.34.567", ",", "."), ("1,2,3", ",", None), ("1234.567", ",", ".")],
    )
    def test_what_is_refused(self, cell: str, decimal: str, thousands: str | None, tmp_path: Path) -> None:
        """A point that is no decimal point does not pass for one, nor a group of two digits for one of three."""
        with pytest.raises(ContentError) as caught:
            cells(f"{cell}\n", tmp_path / "t", delimiter=";", decimal=decimal, thousands=thousands)

        assert caught.value.reason == f"line 1, column 1: {cell!r} is not a number"

    @pytest.mark.parametrize(
        ("options", "where", "what"),
        [
            ({"skip_lines": -1}, "skip_lines", "must be 0 or more, is -1"),
            ({"comment": "//"}, "comment", "must be one character and no quote, is '//'"),
            ({"encoding": "rot13"}, "encoding", "no encoding of text is called 'rot13'"),
            ({"decimal": ";"}, "decimal", "must be '.' or ',', is ';'"),
            ({"delimiter": "blanks"}, "delimiter", "must be one character and no quote, or the word whitespace"),
            ({"thousands": "."}, "thousands", "is '.', and so is the sign of decimals"),
            ({"comment": ","}, "comment", "is ',', and so is the delimiter"),
        ],
    )
    def test_options_that_cannot_be(self, options: dict[str, Any], where: str, what: str) -> None:
        """Are reported before a byte is fetched."""
        ((keys, problem),) = formats.of("csv").check(options, (), ())

        assert keys == (where,)
        assert problem.startswith(what)


def got(path: Path, tmp_path: Path, samples: int, fields: dict[str, str], options: str = "{}") -> Any:
    """The training split of a real file that a manifest in YAML declares, each field by its line."""
    manifest = tmp_path / "datasets.yaml"
    (tmp_path / "datasets" / "table").mkdir(parents=True)
    data = path.read_bytes()
    put(tmp_path / "datasets" / "table" / "t.csv", data)
    lines = "\n".join(f"      {name}: {{{declared}}}" for name, declared in fields.items())
    put(
        manifest,
        f"""version: 1
datasets:
  table:
    title: A table
    status: shipped
    format: csv
    options: {options}
    license: not stated by the authors
    source: https://example.org/
    fields:
{lines}
    splits:
      train: {{samples: {samples}, file: t.csv}}
    files:
      t.csv: {{bytes: {len(data)}, sha256: {hashlib.sha256(data).hexdigest()}}}
""",
    )
    return get("table", manifest=manifest, home=tmp_path / "home").train


@real
class TestMissingValuesOfRealFiles:
    """Declared in YAML, fetched by `get`, and NaN exactly where pandas has NaN."""

    def test_ages_of_the_titanic(self, tmp_path: Path) -> None:
        """177 of 891 are not known; whole numbers take the declared value."""
        pandas = pytest.importorskip("pandas")
        frame = pandas.read_csv(REAL / "titanic_train.csv")
        fields = {"age": 'dtype: float64, range: [0, 100], missing: [""]', "cabin": "dtype: str"}

        train = got(REAL / "titanic_train.csv", tmp_path, 891, fields, "{columns: {age: Age, cabin: Cabin}}")

        np.testing.assert_array_equal(train.age, frame.Age.to_numpy(), strict=True)
        assert np.isnan(train.age).sum() == 177
        assert list(train.cabin) == frame.Cabin.fillna("").tolist()

    def test_penguins(self, tmp_path: Path) -> None:
        """With a decimal comma, as floats and as whole numbers."""
        pandas = pytest.importorskip("pandas")
        frame = pandas.read_csv(REAL / "penguins_size.csv", sep=";", decimal=",")
        samples = len(frame)
        columns = ["culmen_length_mm", "culmen_depth_mm"]
        fields = {
            "culmen": 'dtype: float64, shape: [2], missing: ["", NA]',
            "mass": 'dtype: int64, range: [1000, 9000], missing: ["", NA], missing_value: -1',
        }
        options = f"{{delimiter: ';', decimal: ',', columns: {{culmen: [{', '.join(columns)}], mass: body_mass_g}}}}"

        train = got(REAL / "penguins_size.csv", tmp_path, samples, fields, options)

        np.testing.assert_array_equal(train.culmen, frame[columns].to_numpy(), strict=True)
        assert train.mass.tolist() == frame.body_mass_g.fillna(-1).astype(int).tolist()
        assert frame.body_mass_g.isna().any()

    def test_horsepower(self, tmp_path: Path) -> None:
        """Some cars of auto-mpg have none."""
        pandas = pytest.importorskip("pandas")
        marks = ["?", "NA", ""]
        frame = pandas.read_csv(REAL / "auto-mpg.data", na_values=marks)
        fields = {"horsepower": 'dtype: float32, missing: ["?", NA, ""]'}

        train = got(REAL / "auto-mpg.data", tmp_path, len(frame), fields)

        np.testing.assert_array_equal(train.horsepower, frame.horsepower.to_numpy(np.float32), strict=True)
        assert np.isnan(train.horsepower).any()

    def test_horse_colic(self, tmp_path: Path) -> None:
        """A third of its cells is a question mark, between blanks."""
        pandas = pytest.importorskip("pandas")
        frame = pandas.read_csv(REAL / "horse-colic.data", sep=r"\s+", header=None, na_values=["?"])
        fields = {"features": 'dtype: float64, shape: [28], missing: ["?"]'}

        train = got(REAL / "horse-colic.data", tmp_path, len(frame), fields, "{delimiter: whitespace, header: false}")

        np.testing.assert_array_equal(train.features, frame.to_numpy(np.float64), strict=True)
        assert np.isnan(train.features).any()

    def test_breast_cancer(self, tmp_path: Path) -> None:
        """Sixteen samples lack their bare nuclei."""
        pandas = pytest.importorskip("pandas")
        frame = pandas.read_csv(REAL / "breast-cancer-wisconsin.data", header=None, na_values=["?"])
        fields = {"cells": 'dtype: uint8, shape: [9], range: [1, 10], missing: ["?"], missing_value: 0'}
        options = "{header: false, columns: {cells: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}"

        train = got(REAL / "breast-cancer-wisconsin.data", tmp_path, 699, fields, options)

        np.testing.assert_array_equal(train.cells, frame.iloc[:, 1:10].fillna(0).to_numpy(np.uint8), strict=True)
        assert (train.cells == 0).sum() == 16


class TestMissingValues:
    """Which cells are missing, and which are errors."""

    def missing(self, path: Path, text: str, dtype: str = "float64", **declared: Any) -> np.ndarray:
        """The one column of a table with marks."""
        result = split(column(put(path, text), samples=text.count("\n"), dtype=dtype, **declared))
        values: np.ndarray = read("csv", result, header=False, delimiter=";")["train.images"]
        return values

    def test_blanks_around_a_mark(self, tmp_path: Path) -> None:
        """Do not count, and letters do: a mark is taken as it is written."""
        values = self.missing(tmp_path / "t", "1\n ? \n  \n", missing=("?", ""))

        np.testing.assert_array_equal(values, [1, np.nan, np.nan])
        with pytest.raises(ContentError, match="line 2, column 1: 'na' is not a number"):
            self.missing(tmp_path / "t", "1\nna\n", missing=("NA",))

    @pytest.mark.parametrize(
        ("dtype", "bits"), [("float16", 0x7E00), ("float32", 0x7FC00000), ("float64", 0x7FF8 << 48)]
    )
    def test_one_pattern_of_bits(self, dtype: str, bits: int, tmp_path: Path) -> None:
        """The quiet NaN of IEEE 754 without a sign, so that digests agree on all machines."""
        values = self.missing(tmp_path / "t", "nan\n-nan\n", dtype, missing=("nan", "-nan"))

        assert values.view(f"u{values.itemsize}").tolist() == [bits, bits]

    def test_a_mark_that_is_a_number(self, tmp_path: Path) -> None:
        """Is that number, however it is spelled; and whole numbers are compared in all their digits."""
        values = self.missing(tmp_path / "t", "-999\n-999.0\n-9.99e2\n-998\n", missing=("-999",))

        np.testing.assert_array_equal(values, [np.nan, np.nan, np.nan, -998])
        large = self.missing(
            tmp_path / "t", f"{2**63 - 1}\n{2**63 - 2}\n", "int64", missing=(str(2**63 - 1),), missing_value=-1
        )
        assert large.tolist() == [-1, 2**63 - 2]

    @pytest.mark.parametrize("value", [-1, 0])
    def test_a_value_that_is_the_one_of_missing_values(self, value: int, tmp_path: Path) -> None:
        """Would be taken for a missing one by everybody, so it is an error."""
        with pytest.raises(ContentError) as caught:
            self.missing(tmp_path / "t", f"?\n7\n{value}\n", "int64", missing=("?",), missing_value=value)

        assert caught.value.reason == (
            f"line 3, column 1: '{value}' is the `missing_value`, and no mark of a missing value"
        )

    @pytest.mark.parametrize(
        ("cell", "dtype", "declared", "hint"),
        [
            ("?", "float64", {}, "If it means a missing value, declare `missing: ['?']` for images."),
            (" NA", "float32", {}, "If it means a missing value, declare `missing: ['NA']` for images."),
            (
                " ",
                "int64",
                {},
                "If it means a missing value, declare `missing: ['']` for images, and a `missing_value` that is no "
                "value of the data.",
            ),
            ("null", "float64", {"missing": ("?",)}, "If it means a missing value, add 'null' to `missing` of images."),
            ("seven", "float64", {"missing": ("?",)}, None),
        ],
    )
    def test_what_is_not_declared_is_an_error(
        self, cell: str, dtype: str, declared: dict[str, Any], hint: str | None, tmp_path: Path
    ) -> None:
        """With its line, behind marks that are fine; the hint names the key if it looks like a missing value."""
        first = "?" if declared else "1"
        with pytest.raises(ContentError) as caught:
            self.missing(tmp_path / "t", f"{first}\n{cell}\n", dtype, **declared)

        assert caught.value.reason.startswith("line 2, column 1: ")
        assert caught.value.hint == hint

    @pytest.mark.parametrize(("dtype", "value"), [("float64", None), ("int64", -1)])
    def test_a_range_holds_for_what_is_there(self, dtype: str, value: int | None, tmp_path: Path) -> None:
        """All may be missing; what is there may not be outside."""
        marks: dict[str, Any] = {"missing": ("?",), "missing_value": value, "range": (0, 5)}

        def through(text: str) -> np.ndarray:
            result = split(column(put(tmp_path / "t", text), samples=2, dtype=dtype, **marks))
            (block,) = checked(formats.of("csv").decode([result], header=False), [result])
            return np.asarray(block.values)

        assert len(through("?\n?\n")) == len(through("?\n5\n")) == 2
        with pytest.raises(ContentError) as caught:
            through("?\n6\n")
        assert caught.value.aspect == "range"

    def test_no_missing_value_is_scaled(self, tmp_path: Path) -> None:
        """As floats, -1 is still -1, and not a sixteenth below nothing that passes for a quantity."""
        fields = {"pixels": "dtype: int8, shape: [2], range: [0, 16], missing: ['?'], missing_value: -1"}
        train = got(put(tmp_path / "source", "a,b\n16,?\n"), tmp_path, 1, fields)

        assert train.arrays(dtype="float32")[0].tolist() == [[16, -1]]

    def test_arrays_are_made_anew_when_marks_change(self, tmp_path: Path) -> None:
        """What was -1 for a missing value becomes -2, and the arrays of the earlier entry are not believed."""
        text = put(tmp_path / "source", "age\n1\n?\n")
        fields = {"age": "dtype: int64, missing: ['?'], missing_value: -1"}
        assert got(text, tmp_path, 2, fields).age.tolist() == [1, -1]

        manifest = tmp_path / "datasets.yaml"
        put(manifest, manifest.read_text(encoding="utf-8").replace("missing_value: -1", "missing_value: -2"))

        again = get("table", manifest=manifest, home=tmp_path / "home").train
        assert again.age.tolist() == [1, -2]
