"""Tables as people have them: real files, whose values pandas reads too, and every way to write a number."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import column, put, read, split
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError

REAL = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats" / "tables"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")


def numbers(path: Path, shape: tuple[int, int], **options: Any) -> np.ndarray:
    """A whole table of numbers, as float64."""
    images = column(path, samples=shape[0], shape=(shape[1],), dtype="float64")
    values: np.ndarray = read("csv", split(images), **options)["train.images"]
    return values


def cells(data: bytes | str, path: Path, dtype: str = "float64", samples: int = 9, **options: Any) -> list[Any]:
    """The one column of a table without a header, or its error."""
    told = split(column(put(path, data), samples=samples, dtype=dtype))
    return list(read("csv", told, header=False, **options)["train.images"])


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
            ({"thousands": ","}, "thousands", "is ',', and so is the delimiter"),
        ],
    )
    def test_options_that_cannot_be(self, options: dict[str, Any], where: str, what: str) -> None:
        """Are told before a byte is fetched."""
        ((keys, problem),) = formats.of("csv").check(options, (), ())

        assert keys == (where,)
        assert problem.startswith(what)
