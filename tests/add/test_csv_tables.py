"""A table is recognized by its cells: which delimiter, a header or none, which column is the label."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.helpers.add_world import add, put
from tinytorch_datasets import Dataset, formats, get, load_manifest
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import Column, Split

KINDS = [f"{i / 4},{i % 5},{'ab'[i % 2]}\n" for i in range(12)]


def added(manifest: Path, folder: Path, **files: str | bytes) -> Dataset:
    """What `get` hands over of tables that were added."""
    result = add(manifest, *put(folder / "made", **files), "--ship", "--name", "mine")
    assert result.exit_code == 0, result.output
    return get("mine", manifest=manifest, offline=True)


def refused(manifest: Path, folder: Path, **files: str | bytes) -> list[str]:
    """What is reported of tables that cannot be added, without their folder."""
    before = manifest.read_bytes()
    result = add(manifest, *put(folder / "made", **files), "--ship", "--name", "mine")
    assert (result.exit_code, manifest.read_bytes()) == (1, before)
    return result.stderr.replace(f"{folder}/made/", "").splitlines()


class TestTheHeader:
    """The first row is one of names, or a sample; never both."""

    @pytest.mark.parametrize(
        ("header", "index", "columns"),
        [
            (",h,w,kind", True, 2),  # pandas.DataFrame.to_csv
            ("0,1,label", False, 2),
            (",0,1,label", True, 2),
            ("h,h,kind", False, 2),
            ("1,2,class", False, 2),
        ],
    )
    def test_names_that_are_empty_numbers_or_the_same(
        self, manifest: Path, tmp_path: Path, header: str, index: bool, columns: int
    ) -> None:
        """As pandas writes them: no sample is made of them, and no class."""
        rows = [f"{i},{row}" if index else row for i, row in enumerate(KINDS)]
        got = added(manifest, tmp_path, all_csv="".join([header, "\n", *rows]))

        assert (len(got.train), got.classes, got.train.features.shape) == (12, ("a", "b"), (12, columns))

    def test_years_among_names(self, manifest: Path, tmp_path: Path) -> None:
        """A name may be a number, where most are words and none of them is below."""
        got = added(manifest, tmp_path, all_csv="area,height,2020,kind\n" + "".join(f"1,{row}" for row in KINDS))

        assert (len(got.train), got.classes) == (12, ("a", "b"))

    def test_a_table_of_numbers_below_their_places(self, manifest: Path, tmp_path: Path) -> None:
        """`DataFrame(array).to_csv(index=False)` counts its columns."""
        got = added(manifest, tmp_path, all_csv="0,1,2\n" + "5.5,1.5,0.5\n" * 9)

        assert got.train.features.shape == (9, 3)

    @pytest.mark.parametrize(
        ("frame", "index"),
        [
            ([[0.5, 1.5], [2.5, 3.5]], True),
            ([["a", 1.5], ["b", 3.5]], False),
            ([["a", 15], ["b", 35]], True),
            ([["a", "u"], ["b", "v"]], False),
            ([[True, 1.5, 2.5], [False, 3.5, 0.5]], False),
            ([[0, 1, 1, 0], [1, 1, 0, 0]], False),
        ],
    )
    def test_frames_without_names(self, manifest: Path, tmp_path: Path, frame: list[list[Any]], index: bool) -> None:
        """The places of the columns, as pandas writes them, are never a sample."""
        pandas = pytest.importorskip("pandas", reason="pandas writes these tables")
        got = added(manifest, tmp_path, all_csv=pandas.DataFrame(frame * 5).to_csv(index=index))

        assert len(got.train) == 10

    @pytest.mark.parametrize(
        "text",
        [
            "0 1 2 3 4\n5 6 7 8 9\n10 11 12 13 14\n15 16 17 18 19\n",
            "0,1,2\n7,40,5\n8,50,6\n",
            "0,1\n0.5,1.5\n2.5,3.5\n",
            "0\n0.5\n2.5\n",
            "0\n1\n0\n1\n",
        ],
    )
    def test_places_that_may_be_a_sample(self, manifest: Path, tmp_path: Path, text: str) -> None:
        """The first is `numpy.savetxt("all.csv", numpy.arange(20).reshape(4, 5), fmt="%d")`, without names."""
        shown = ", ".join(map(repr, re.split("[, ]", text.partition("\n")[0])[:3]))

        assert refused(manifest, tmp_path, all_csv=text) == [
            f"error: all.csv: line 1 ({shown}) may be the columns' names, or a sample, and nothing below says which",
            "  Say which: --option header=true, or --option header=false.",
        ]

    @pytest.mark.parametrize("first", ["5.1,3,a", "7,unknown,a"])
    def test_a_word_that_is_no_name(self, manifest: Path, tmp_path: Path, first: str) -> None:
        """So the first sample is not lost for it."""
        got = added(manifest, tmp_path, all_csv="".join([first, "\n", *KINDS]))

        assert len(got.train) == 13

    @pytest.mark.parametrize("first", ["0.5,nan,a", "7,?,a"])
    def test_a_value_that_is_missing_is_no_name(self, manifest: Path, tmp_path: Path, first: str) -> None:
        """It is the first sample's."""
        got = added(manifest, tmp_path, all_csv="".join([first, "\n", *KINDS]))

        assert (len(got.train), np.isnan(got.train.features[0]).tolist()) == (13, [False, True])

    def test_years_above_a_wide_table(self, manifest: Path, tmp_path: Path) -> None:
        """The World Bank's tables: words above words, and years that follow one another above numbers."""
        rows = "".join(f"land {i},people,{i},{i + 1},{i + 2}\n" for i in range(9))
        got = added(manifest, tmp_path, all_csv="Country,Indicator,1960,1961,1962\n" + rows)

        assert (list(got.train.country[:2]), got.train.features[0].tolist()) == (["land 0", "land 1"], [0, 1, 2])

    def test_words_above_words_of_which_none_is_there_twice(self, manifest: Path, tmp_path: Path) -> None:
        """They may be names, or a sample: refused, until one of them is named on the command line."""
        text = "hello,hola\nbye,adios\nyes,si\nno,ninguno\n"

        assert refused(manifest, tmp_path, all_csv=text) == [
            "error: all.csv: line 1 ('hello', 'hola') may be the columns' names, or a sample, "
            "and nothing below says which",
            "  Say which: --option header=true, or --option header=false.",
        ]

    def test_a_class_is_never_concluded_from_the_first_row_alone(self, manifest: Path, tmp_path: Path) -> None:
        """It may as well be a column's name."""
        assert refused(manifest, tmp_path, all_csv="".join(["1990,2000,label\n", *KINDS])) == [
            "error: all.csv: line 1 ('1990', '2000', 'label') may be the columns' names, or a sample, "
            "and nothing below says which",
            "  Say which: --option header=true, or --option header=false.",
        ]

    def test_the_same_words_at_the_front_of_every_file(self, manifest: Path, tmp_path: Path) -> None:
        """They are names, also where one file is too small to tell."""
        train = "said,mood\n" + "".join(f"text {i},{('glad', 'sad')[i % 2]}\n" for i in range(8))
        got = added(manifest, tmp_path, train_csv=train, test_csv="said,mood\nsaid,glad\n")

        assert (list(got.test.said), got.classes) == (["said"], ("glad", "sad"))

    def test_names_that_are_one_in_the_manifests_letters(self, manifest: Path, tmp_path: Path) -> None:
        """Two columns of text stay two fields."""
        rows = "".join(f"x{i},y{i},{i}\n" for i in range(6))
        got = added(manifest, tmp_path, all_csv="a b,a_b,size\n" + rows)

        assert got.train.fields == ("a_b", "a_b_1", "size")


class TestTheDelimiter:
    """Of those by which every row has as many cells, the one that makes numbers of them."""

    @pytest.mark.parametrize(
        ("name", "row"), [("all_csv", "{i};{j};a, b"), ("all_tsv", "{i}\t{j}\ta, b"), ("all_data", "{i}|{j}|a, b")]
    )
    def test_a_comma_in_every_row(self, manifest: Path, tmp_path: Path, name: str, row: str) -> None:
        """It is a part of the text."""
        rows = "".join(row.format(i=i / 2, j=i % 3) + "\n" for i in range(9))
        got = added(manifest, tmp_path, **{name: rows})

        assert (got.train.features.shape, got.classes) == ((9, 2), ("a, b",))

    def test_the_ending_decides_where_there_are_no_numbers(self, manifest: Path, tmp_path: Path) -> None:
        """A .tsv has tabs."""
        rows = "".join(f"well, {i}th\t{'ab'[i % 2]}\n" for i in range(9))
        got = added(manifest, tmp_path, all_tsv=rows)

        assert (got.train.text_0[1], got.train.text_1[1]) == ("well, 1th", "b")

    def test_a_decimal_comma(self, manifest: Path, tmp_path: Path) -> None:
        """Nothing is made of halves of numbers."""
        rows = "".join(f"1,{i};{i};{'ab'[i % 2]}\n" for i in range(9))
        got = added(manifest, tmp_path, all_csv="h;n;kind\n" + rows)

        assert got.train.features.tolist() == [[float(f"1.{i}"), i] for i in range(9)]
        assert got.classes == ("a", "b")

    @pytest.mark.parametrize("number", ["1,{}e+02", "1,{}E-1", ",{}"])
    def test_a_decimal_comma_of_other_numbers(self, manifest: Path, tmp_path: Path, number: str) -> None:
        """With an exponent, as pandas writes them, or nothing in front, as SPSS does, they are numbers too."""
        rows = "".join(f"{number.format(i)};{i};{'ab'[i % 2]}\n" for i in range(9))
        got = added(manifest, tmp_path, all_csv="h;n;kind\n" + rows)

        plain = [number.format(i).replace(",", ".") for i in range(9)]
        assert got.train.features.tolist() == [[float(text), i] for i, text in enumerate(plain)]

    def test_a_decimal_comma_between_commas(self, manifest: Path, tmp_path: Path) -> None:
        """It is text, and its note says what it looks like: with an exponent, too."""
        rows = "".join(f'"1,{i}e+02",{i},{"ab"[i % 2]}\n' for i in range(9))
        got = added(manifest, tmp_path, all_csv="h,n,kind\n" + rows)

        assert got.train.h[1] == "1,1e+02"
        assert "text: its numbers are written with signs ('1,0e+02')" in manifest.read_text()

    @pytest.mark.parametrize(
        ("row", "what"),
        [
            ("1,25{i};0.5;a\n", "it has numbers with a comma ('1,250') and with a point ('0.5')"),
            ("1{i},250;5;a\n", "it has numbers with a comma ('10,250'), which may be one of thousands"),
        ],
    )
    def test_a_comma_that_may_be_another_sign(self, manifest: Path, tmp_path: Path, row: str, what: str) -> None:
        """1,250 is more than a thousand in one land, and little more than one in another."""
        result = refused(
            manifest, tmp_path, all_csv="h;n;kind\n" + "".join(row.replace("{i}", str(i)) for i in range(9))
        )

        assert result == [
            f"error: all.csv: {what}",
            "  Say how: --option decimal=, or --option thousands=, (or another sign).",
        ]

    @pytest.mark.parametrize("name", ["all_txt", "all_data"])
    def test_runs_of_blanks(self, manifest: Path, tmp_path: Path, name: str) -> None:
        """As Fortran and NumPy write them, blanks in front, tabs between, or blanks behind."""
        got = added(manifest, tmp_path, **{name: "   h    w\n  0.5  18\n 12.25\t 1\n1.5   2  \n"})

        assert (got.train.h.tolist(), got.train.w.tolist()) == ([0.5, 12.25, 1.5], [18, 1, 2])

    @pytest.mark.parametrize("sign", ["#", "%"])
    def test_remarks(self, manifest: Path, tmp_path: Path, sign: str) -> None:
        """They are no rows, and it is said that there are some; a sign inside of a row is a part of it."""
        text = f"{sign} by hand, and late\n" + "h,kind\n" + "".join(f"{i},a{sign}{i % 2}\n" for i in range(9))
        (path,) = put(tmp_path / "made", all_csv=text + f"{sign} the end\n")
        done = add(manifest, path, "--ship", "--name", "mine")

        assert "left out: all.csv: 2 lines of remarks, the first of them line 1\n" in done.stderr
        got = get("mine", manifest=manifest, offline=True)
        assert (len(got.train), got.classes) == (9, (f"a{sign}0", f"a{sign}1"))

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
    def test_an_encoding_that_marks_itself(self, manifest: Path, tmp_path: Path, encoding: str) -> None:
        """Its byte order mark is certain."""
        letters = "\u00e4b"
        text = "said,label\r\n" + "".join(f"r{i} \u20ac,{letters[i % 2]}\r\n" for i in range(9))
        got = added(manifest, tmp_path, all_csv=text.encode(encoding))

        assert (got.train.said[1], got.classes) == ("r1 \u20ac", ("b", "\u00e4"))

    def test_an_encoding_that_does_not(self, manifest: Path, tmp_path: Path) -> None:
        """Each byte is a letter in many of them: none is guessed."""
        letters = "\u00e4b"
        text = "name,kind\n" + "".join(f"r{i},{letters[i % 2]}\n" for i in range(9))

        assert refused(manifest, tmp_path, all_csv=text.encode("latin-1")) == [
            "error: all.csv: its format is not recognized: it is text that is not in UTF-8",
            "  Save it as UTF-8; or say what it is: --option encoding=latin-1, cp1252 or another.",
        ]

    def test_lines_that_end_in_cr(self, manifest: Path, tmp_path: Path) -> None:
        """As old Excel for the Mac writes them."""
        got = added(manifest, tmp_path, all_csv="h,kind\r" + "".join(f"{i},{'ab'[i % 2]}\r" for i in range(9)))

        assert (len(got.train), got.classes) == (9, ("a", "b"))


class TestSeveralFiles:
    """What a column is, is decided by all files that have it."""

    def test_whole_numbers_in_one_split_and_halves_in_another(self, manifest: Path, tmp_path: Path) -> None:
        """All of them are float64."""
        got = added(manifest, tmp_path, train_csv="".join(KINDS), test_csv="7,8,a\n8,9,b\n9,1,a\n7,1,b\n")

        assert (got.train.features.dtype, got.test.features.dtype) == (np.float64, np.float64)
        assert got.test.features[:2].tolist() == [[7, 8], [8, 9]]

    def test_a_split_in_which_every_class_is_there_once(self, manifest: Path, tmp_path: Path) -> None:
        """Three samples of three classes have labels, as the many of the other split."""
        train = "h,kind\n" + "".join(f"{i},{'abc'[i % 3]}\n" for i in range(30))
        got = added(manifest, tmp_path, train_csv=train, test_csv="h,kind\n1,c\n2,b\n3,a\n")

        assert (got.classes, got.test.labels.tolist()) == (("a", "b", "c"), [2, 1, 0])
        assert load_manifest(manifest).datasets["mine"].options == {"columns": {"labels": "kind"}}


class TestEmptyLines:
    """At the end of a table they mean nothing; elsewhere they are a row that was lost."""

    @pytest.mark.parametrize("end", ["\n", "\n\n", "\r\n"])
    def test_at_the_end(self, manifest: Path, tmp_path: Path, end: str) -> None:
        """As in UCI's iris.data."""
        assert len(added(manifest, tmp_path, iris_data="".join(KINDS) + end).train) == 12

    def test_elsewhere(self, manifest: Path, tmp_path: Path) -> None:
        """By the number of the line, whatever cells went over several lines before it."""
        rows = ['said,kind\n"one\nand\nmore",a\n', "two,b\n", "\n", "three,a\n", "four,b\n"]

        assert refused(manifest, tmp_path, all_csv="".join(rows)) == [
            "error: all.csv: line 6 is empty",
            "  Take it out; empty lines may stand at the end.",
        ]

    def test_the_line_of_an_uneven_row(self, manifest: Path, tmp_path: Path) -> None:
        """It is the file's line, and not the number of the row."""
        assert refused(manifest, tmp_path, all_csv='said,kind\n"one\nand\nmore",a\ntwo\n') == [
            "error: all.csv: line 5 has another number of cells than the first row: 1, and not 2",
            "  A cell that has a ',' in it stands between quotes.",
        ]

    def test_a_first_line_of_another_width_than_the_table(self, manifest: Path, tmp_path: Path) -> None:
        """As in scikit-learn's wine_data.csv, whose first line counts what follows."""
        assert refused(manifest, tmp_path, all_csv="2,4,a,b,c\n1,2\n3,4\n5,6\n") == [
            "error: all.csv: the first row has 5 cells, and each of the 3 rows below it has 2",
            "  If it is no part of the table, pass over: --option skip_lines=1 --option header=false.",
        ]

    def test_a_delimiter_at_the_end_of_each_row_but_the_first(self, manifest: Path, tmp_path: Path) -> None:
        """It is no matter of quotes."""
        rows = "".join(row.replace("\n", ",\n") for row in KINDS)

        assert refused(manifest, tmp_path, all_csv="x,y,kind\n" + rows) == [
            "error: all.csv: each row below the first ends in one ',' more than the first, and nothing behind it",
            "  Put a ',' at the end of line 1, or take it out of the others.",
        ]

    def test_rows_with_names_of_their_own(self, manifest: Path, tmp_path: Path) -> None:
        """As R's write.table has them: nothing stands above."""
        rows = "".join(f"r{i},{row}" for i, row in enumerate(KINDS))

        assert refused(manifest, tmp_path, all_csv="x,y,kind\n" + rows) == [
            "error: all.csv: each row below the first has 4 cells, and the first has 3: one name is missing",
            "  Write it in line 1; in front of the others, if it is the row's own.",
        ]

    @pytest.mark.parametrize("text", ["a,b,c\n", "a,b,c", "\ufeffname,kind\r\n"])
    def test_names_and_no_rows(self, manifest: Path, tmp_path: Path, text: str) -> None:
        """They are no sample."""
        assert refused(manifest, tmp_path, all_csv=text) == [
            "error: all.csv: it has one row, of words: it is one of names without rows below, or one sample",
            "  Put its rows below, or leave it out.",
        ]

    @pytest.mark.parametrize(("header", "line"), [("a", 3), ("a,b", None)])
    def test_a_table_of_one_column_has_none(self, tmp_path: Path, header: str, line: int | None) -> None:
        """There an empty line may be an empty text."""
        (path,) = put(tmp_path, all_csv=f"{header}\n{header}\n\n\n")
        fields = {name: Column("train", name, "str", 1, path, name) for name in header.split(",")}
        decoded = formats.of("csv").decode((Split("train", 1, fields, file=path),))
        if line is None:
            assert [block.values for block in decoded] == [["a"], ["b"]]
            return
        with pytest.raises(DecodeError) as caught:
            list(decoded)

        assert caught.value.reason == f"line {line} is empty"


def stderr(manifest: Path, folder: Path, *options: str, **files: str) -> str:
    """What is said of tables while they are added."""
    done = add(manifest, *put(folder / "made", **files), "--ship", "--name", "mine", *options)
    assert done.exit_code == 0, done.output
    return done.stderr


class TestNumbers:
    """Every cell is exact in the dtype that is declared, or it is text."""

    def test_whole_numbers_beside_decimals(self, manifest: Path, tmp_path: Path) -> None:
        """float64 holds what float32 does not: an id of nine digits, and a very small number."""
        got = added(manifest, tmp_path, all_csv="id,price,label\n" + "123456789,1e-50,a\n16777217,2.25,b\n" * 3)

        assert got.train.features[:2].tolist() == [[123456789, 1e-50], [16777217, 2.25]]

    def test_whole_numbers_that_float64_does_not_hold(self, manifest: Path, tmp_path: Path) -> None:
        """They are a field of their own: 2**53 + 1 is the first."""
        got = added(manifest, tmp_path, all_csv="id,price,label\n" + f"{2**53 + 1},0.5,a\n7,2.25,b\n" * 3)

        assert (got.train.id[:2].tolist(), got.train.price[:2].tolist()) == ([2**53 + 1, 7], [0.5, 2.25])

    @pytest.mark.parametrize(("number", "dtype"), [(2**63 - 1, "int64"), (2**63, "uint64"), (2**64 - 1, "uint64")])
    def test_the_largest_whole_numbers(self, manifest: Path, tmp_path: Path, number: int, dtype: str) -> None:
        """As NumPy holds them."""
        got = added(manifest, tmp_path, all_csv=f"n,label\n{number},a\n0,b\n{number},b\n5,a\n")

        assert (got.train.n.tolist(), got.train.n.dtype) == ([number, 0, number, 5], dtype)

    @pytest.mark.parametrize(
        "cells",
        [
            ("02139", "10001", "08123"),  # codes of places
            ("00", "01", "02"),
            ("18446744073709551616", "1", "2"),  # 2**64
            ("9007199254740993", "0.5", "1"),
            ("$1,200", "$3", "$12.50"),
            ("12%", "3%", "100%"),
            ("1 200", "3 400", "500"),
            ("2020-01-31", "2021-02-28", "1999-12-31"),
            ("12:30", "23:59", "00:00"),
            ("1_000", "2", "3"),
        ],
    )
    def test_what_no_dtype_holds_as_it_is_written(self, manifest: Path, tmp_path: Path, cells: tuple[str, ...]) -> None:
        """It is text, cell by cell, and no class."""
        rows = "".join(f'"{cell}",{i}\n' for i, cell in enumerate(cells * 4))
        got = added(manifest, tmp_path, all_csv="value,size\n" + rows)

        assert list(got.train.value) == list(cells * 4)
        assert got.train.fields == ("value", "size")

    def test_numbers_that_no_float_holds(self, manifest: Path, tmp_path: Path) -> None:
        """1e999 is no infinity."""
        assert refused(manifest, tmp_path, all_csv="n,label\n1e999,a\n2,b\n") == [
            "error: all.csv: column 1 ('n') has numbers that are larger than float64 can hold",
            "  Leave it out with --drop n, or replace them.",
        ]

    @pytest.mark.parametrize("sign", ["inf", "-inf", "Infinity"])
    def test_infinity(self, manifest: Path, tmp_path: Path, sign: str) -> None:
        """It makes no text of the numbers beside it."""
        assert refused(manifest, tmp_path, all_csv=f"n,label\n{sign},a\n2,b\n3,b\n")[0] == (
            f"error: all.csv: column 1 ('n') has numbers that are not finite ({sign!r})"
        )

    def test_bools(self, manifest: Path, tmp_path: Path) -> None:
        """True and False are values of a dtype of their own."""
        got = added(manifest, tmp_path, all_csv="is_open,label\n" + "True,a\nFalse,b\nTrue,b\n" * 2)

        assert (got.train.is_open.dtype, got.train.is_open[:3].tolist()) == (np.bool_, [True, False, True])


class TestMissing:
    """A column that is numbers but for marks of missing ones is never text, and never classes."""

    @pytest.mark.parametrize("mark", ["", "?", "NA", "NaN", "nan", "null", "None", "-", ".", "N/A", " "])
    def test_one_of_them(self, manifest: Path, tmp_path: Path, mark: str) -> None:
        """It is declared, and NaN; stderr says what means it, and how often."""
        shown = "nothing" if not mark.strip() else repr(mark)
        rows = "".join(f"{i % 3},{i}\n" for i in range(20))
        printed = stderr(manifest, tmp_path, all_csv=f"grade,size\n{rows}{mark},7\n")
        declared = load_manifest(manifest).datasets["mine"].fields["grade"]
        got = get("mine", manifest=manifest, offline=True).train

        assert f"missing: grade: {shown} in 1 cell means a missing value, which is NaN\n" in printed
        assert (declared.dtype, declared.missing, declared.range) == ("float64", (mark.strip(),), (0, 2))
        assert got.grade[:20].tolist() == [i % 3 for i in range(20)]
        assert np.isnan(got.grade[20])
        assert got.size.dtype == np.int64

    def test_several_in_columns_that_are_joined(self, manifest: Path, tmp_path: Path) -> None:
        """One field has all their marks."""
        rows = "".join(f"{i},{i / 2},{i % 3},{'ab'[i % 2]}\n" for i in range(8))
        printed = stderr(manifest, tmp_path, all_csv=f"h,w,n,kind\n{rows},?,1,a\n1,NA,2,b\n")
        got = get("mine", manifest=manifest, offline=True).train.features

        assert "missing: features: nothing or '?' or 'NA' in 3 cells means a missing value, which is NaN\n" in printed
        np.testing.assert_array_equal(got[8:], [[np.nan, np.nan, 1], [1, np.nan, 2]])

    def test_only_one_split_has_it(self, manifest: Path, tmp_path: Path) -> None:
        """The field is the same in both."""
        rows = "".join(f"{i},{'ab'[i % 2]}\n" for i in range(8))
        got = added(manifest, tmp_path, train_csv=f"h,kind\n{rows}", test_csv=f"h,kind\n{rows}?,a\n")

        assert (got.train.h.dtype, got.test.h.dtype, np.isnan(got.test.h).sum()) == (np.float64, np.float64, 1)

    def test_numbers_that_float64_does_not_hold(self, manifest: Path, tmp_path: Path) -> None:
        """It has NaN, and would change them: neither is done in silence."""
        rows = "".join(f"{2**53 + 1 + i},{i}\n" for i in range(20))

        assert refused(manifest, tmp_path, all_csv=f"code,size\n{rows}?,7\n") == [
            "error: all.csv: column 1 ('code') has numbers, and '?' in 1 of 21 rows, where a value is missing; "
            "float64, which has NaN for it, does not hold its numbers exactly",
            "  Leave it out with --drop code, or replace them.",
        ]

    def test_a_target_that_is_missing(self, manifest: Path, tmp_path: Path) -> None:
        """A sample without a label is nothing to learn from."""
        rows = "".join(f"{i},{i % 3}\n" for i in range(20))

        assert refused(manifest, tmp_path, all_csv=f"size,label\n{rows}7,?\n") == [
            "error: all.csv: column 2 ('label') is the target, and has '?' in 1 of 21 rows, where a value is missing",
            "  Take those rows out, or choose another --target.",
        ]

    def test_without_that_column(self, manifest: Path, tmp_path: Path) -> None:
        """The rest is as it was."""
        rows = "".join(f"{i % 3},{i},{'ab'[i % 2]}\n" for i in range(20))
        stderr(manifest, tmp_path, "--drop", "grade", all_csv=f"grade,size,label\n{rows},7,a\n")
        got = get("mine", manifest=manifest, offline=True)

        assert (got.train.fields, got.train.size.tolist(), got.classes) == (
            ("size", "labels"), [*range(20), 7], ("a", "b"),
        )  # fmt: skip


class TestTheTarget:
    """Which column is to be predicted is chosen, or plain by its name, or asked: never guessed in silence."""

    def test_one_of_two_columns_of_few_values(self, manifest: Path, tmp_path: Path) -> None:
        """Nobody can see that it is `survived`: each column is a field, and the entry asks."""
        rows = "".join(f"{i % 2},{('male', 'female')[i % 2]},{7.25 * i}\n" for i in range(12))
        result = stderr(manifest, tmp_path, all_csv="survived,sex,fare\n" + rows)
        entry = load_manifest(manifest).datasets["mine"]
        line = load_manifest(manifest).where("mine", "target")

        assert (entry.target, list(entry.fields)) == ("?", ["survived", "sex", "fare"])
        assert f'{line}: to be filled in: target: "?" # which field is to be predicted?' in result
        audited = CliRunner().invoke(main, ["audit", "mine", "--manifest", str(manifest), "--json"])
        found = [f for f in json.loads(audited.stdout)["findings"] if f["rule"] == "question"]
        assert "target is an open question: '?'" in [f["what"] for f in found]

    def test_the_one_that_was_chosen(self, manifest: Path, tmp_path: Path) -> None:
        """It is the labels; numbers beside it are features, and nothing is asked."""
        rows = "".join(f"{i % 2},{('male', 'female')[i % 2]},{7.25 * i}\n" for i in range(12))
        result = stderr(manifest, tmp_path, "--target", "survived", all_csv="survived,sex,fare\n" + rows)
        got = get("mine", manifest=manifest, offline=True)

        assert "target" not in result
        assert (got.classes, got.train.labels.tolist()) == (("0", "1"), [i % 2 for i in range(12)])
        assert (list(got.train.sex[:2]), got.train.fare[1]) == (["male", "female"], 7.25)

    @pytest.mark.parametrize("target", ["2", "-1"])
    def test_by_its_number(self, manifest: Path, tmp_path: Path, target: str) -> None:
        """Where columns have no names, or always."""
        rows = "".join(f"{i / 4},{i % 5},{i % 3}\n" for i in range(12))
        stderr(manifest, tmp_path, "--target", target, all_csv=rows)
        got = get("mine", manifest=manifest, offline=True)

        assert (got.train.features.shape, got.classes) == ((12, 2), ("0", "1", "2"))

    @pytest.mark.parametrize("name", ["y", "target", "label"])
    def test_a_real_valued_one(self, manifest: Path, tmp_path: Path, name: str) -> None:
        """It is numbers, apart from the features, however often each is there."""
        rows = "".join(f"{i},{i % 7},{38.5 + i % 3}\n" for i in range(30))
        got = added(manifest, tmp_path, all_csv=f"a,b,{name}\n{rows}")

        assert (got.train.features.shape, getattr(got.train, name)[:3].tolist()) == ((30, 2), [38.5, 39.5, 40.5])

    def test_y_beside_x_is_a_place(self, manifest: Path, tmp_path: Path) -> None:
        """And no target."""
        rows = "".join(f"{i},{i % 7 / 2}\n" for i in range(30))
        stderr(manifest, tmp_path, all_csv=f"x,y\n{rows}")

        assert load_manifest(manifest).datasets["mine"].target == "?"

    @pytest.mark.parametrize("index", [range(12), range(1, 13), [5, 3, 99, 4, 1, 0, 2, 6, 8, 7, 10, 9]])
    def test_the_index_of_a_frame(self, manifest: Path, tmp_path: Path, index: list[int]) -> None:
        """As pandas writes it, shuffled too: it has no name, and is left out, which is said."""
        rows = "".join(f"{i},{row}" for i, row in zip(index, KINDS, strict=True))
        result = stderr(manifest, tmp_path, all_csv=",x,y,kind\n" + rows)
        got = get("mine", manifest=manifest, offline=True)

        assert "left out: all.csv: column 1: numbers the rows, and has no name of its own" in result
        assert (got.train.features[3].tolist(), got.classes) == ([0.75, 3], ("a", "b"))

    def test_a_column_that_is_empty(self, manifest: Path, tmp_path: Path) -> None:
        """As a comma at the end of each line makes it."""
        rows = "".join(row.replace("\n", ",\n") for row in KINDS)
        result = stderr(manifest, tmp_path, all_csv="x,y,kind,\n" + rows)
        got = get("mine", manifest=manifest, offline=True)

        assert "left out: all.csv: column 4: has no value in any row" in result
        assert (got.train.features.shape, got.classes) == ((12, 2), ("a", "b"))

    def test_numbers_of_classes_that_are_spelled_in_two_ways(self, manifest: Path, tmp_path: Path) -> None:
        """0 and 0.0 are one class: they are compared as values."""
        train = "size,label\n" + "".join(f"{i},{i % 3}\n" for i in range(12))
        test = "size,label\n" + "".join(f"{i},{i % 3}.0\n" for i in range(6))
        got = added(manifest, tmp_path, train_csv=train, test_csv=test)

        assert (got.classes, got.test.labels.tolist()) == (("0", "1", "2"), [0, 1, 2, 0, 1, 2])

    def test_words_at_the_end_of_rows_without_names(self, manifest: Path, tmp_path: Path) -> None:
        """As in UCI's iris.data: they are taken for labels, and it is asked."""
        result = stderr(manifest, tmp_path, iris_data="".join(KINDS))

        assert get("mine", manifest=manifest, offline=True).classes == ("a", "b")
        assert 'to be filled in: target: "?"' in result

    @pytest.mark.parametrize(
        ("option", "column", "error"),
        [
            ("--target", "knd", "--target knd: there is no such column; did you mean 'kind'?"),
            ("--drop", "7", "--drop 7: there is no such column"),
        ],
    )
    def test_a_column_that_there_is_not(
        self, manifest: Path, tmp_path: Path, option: str, column: str, error: str
    ) -> None:
        """With those that there are."""
        paths = put(tmp_path / "made", all_csv="h,w,kind\n" + "".join(KINDS))
        done = add(manifest, *paths, "--ship", option, column)

        assert (done.exit_code, done.stderr) == (2, f"error: {error}\n  There are: h, w, kind.\n")

    def test_a_column_that_hundreds_are_not(self, manifest: Path, tmp_path: Path) -> None:
        """The first of them, and how many there are beside."""
        header, row = (",".join(f"{letter}{number}" for number in range(300)) for letter in "cw")
        paths = put(tmp_path / "made", all_csv=f"{header}\n{row}\n")
        done = add(manifest, *paths, "--ship", "--option", "header=true", "--target", "x")

        named = ", ".join(f"c{number}" for number in range(20))
        assert done.stderr == f"error: --target x: there is no such column\n  There are: {named}, and 280 more.\n"

    def test_a_target_of_what_is_no_table(self, manifest: Path, tmp_path: Path) -> None:
        """A wrong call, and not a file that is wrong."""
        done = add(manifest, *put(tmp_path / "made", all_txt="To be.\n"), "--ship", "--target", "kind")

        assert (done.exit_code, done.stderr) == (
            2, "error: --target kind: there is no such array\n  There are: all.txt, text.\n",
        )  # fmt: skip


class TestLinesThatAreNoRows:
    """Nobody would notice that they are samples: what makes a table of numbers one of words is refused."""

    ROWS = "".join(f"{i},{i}.5\n" for i in range(9))

    @pytest.mark.parametrize(
        ("above", "line", "cell"),
        [("group,group\na,b\n", 2, "a"), ("My table,\n,\na,b\n", 3, "a"), ("a,b\n---,---\n", 2, "---")],
    )
    def test_above(self, manifest: Path, tmp_path: Path, above: str, line: int, cell: str) -> None:
        """A second row of names, a title as Excel saves it, a rule."""
        hint = f"If the names stand there, pass over the lines above: --option skip_lines={line - 1}; else take it out."

        assert refused(manifest, tmp_path, all_csv=above + self.ROWS) == [
            f"error: all.csv: line {line} has {cell!r}, and in its columns that are not all words only numbers are "
            "below",
            f"  {hint}",
        ]

    def test_units_below_the_names(self, manifest: Path, tmp_path: Path) -> None:
        """Said to be names, line 1 is; line 2 is then no row."""
        (path,) = put(tmp_path, all_csv="a,b\nm,kg\n" + self.ROWS)
        result = add(manifest, path, "--ship", "--option", "header=true")

        assert result.exit_code == 1
        assert "line 2 has 'm'" in result.stderr

    def test_a_column_of_texts_that_mostly_are_numbers(self, manifest: Path, tmp_path: Path) -> None:
        """The first of its cells are words by chance."""
        rows = "".join(f"n{i % 3},{('good', 'bad', *range(9))[i]}\n" for i in range(11))
        got = added(manifest, tmp_path, all_csv="name,remark\n" + rows)

        assert (len(got.train), list(got.train.remark[:3])) == (11, ["good", "bad", "0"])

    def test_a_word_among_the_first_numbers(self, manifest: Path, tmp_path: Path) -> None:
        """One column of several has one: its row is a sample, and the column is text."""
        got = added(manifest, tmp_path, all_csv="a,b\nunknown,0.5\n" + self.ROWS)

        assert (len(got.train), got.train.a[0]) == (10, "unknown")

    def test_below(self, manifest: Path, tmp_path: Path) -> None:
        """Rows of commas alone, as Excel saves them."""
        (path,) = put(tmp_path, all_csv="a,b\n" + self.ROWS + ",\n,\n")
        result = add(manifest, path, "--ship")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {path}: from line 11 on, its rows have nothing in any cell\n"
            "  If they are no samples: --option skip_last_lines=2.\n",
        )
        again = add(manifest, path, "--ship", "--name", "mine", "--option", "skip_last_lines=2")
        assert again.exit_code == 0, again.output
        assert len(get("mine", manifest=manifest, offline=True).train) == 9

    def test_a_title(self, manifest: Path, tmp_path: Path) -> None:
        """It is no name of a column."""
        assert refused(manifest, tmp_path, all_csv="My table\na,b\n" + self.ROWS) == [
            "error: all.csv: each row below the first has 2 cells, and the first has 1: it is a title, or one name is "
            "missing",
            "  If it is a title: --option skip_lines=1; a cell with ',' in it is quoted.",
        ]


def test_points_that_may_be_of_thousands(manifest: Path, tmp_path: Path) -> None:
    """Where semicolons are between cells, 1.234 may be a whole number; either is read, if it is said."""
    (path,) = put(tmp_path, all_csv="item;price\n" + "".join(f"a{i};1.{i:03}\n" for i in range(9)))
    result = add(manifest, path, "--ship")

    assert (result.exit_code, result.stderr) == (
        1,
        f"error: {path}: it has numbers with a point ('1.000'), which may be one of thousands where ; is between "
        "cells\n"
        "  Say which: --option decimal=. (as it is), or --option thousands=. --option decimal=, (whole numbers).\n",
    )
    for name, options, first in (("a", ["decimal=."], 1.001), ("b", ["thousands=.", "decimal=,"], 1001)):
        flags = [part for option in options for part in ("--option", option)]
        assert add(manifest, path, "--ship", "--name", name, *flags).exit_code == 0
        assert get(name, manifest=manifest, offline=True).train.price[1] == first


def test_classes_that_differ_in_blanks(manifest: Path, tmp_path: Path) -> None:
    """They are one class, which only a person can say."""
    table = "size,class\n" + "".join(f"{i},{('a', 'b', 'a ')[i % 3]}\n" for i in range(12))

    assert refused(manifest, tmp_path, all_csv=table) == [
        "error: all.csv: column 2 ('class') is the target, and its classes 'a' and 'a ' differ in blanks alone",
        "  To pass over them: --option strip=true.",
    ]
