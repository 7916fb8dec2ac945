"""A table is told from its cells: which delimiter, a header or none, which column is the label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.add_world import add, put
from tinytorch_datasets import Dataset, formats, get, load_manifest
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import Column, Split

KINDS = [f"{i / 4},{i % 5},{'ab'[i % 2]}\n" for i in range(12)]


def added(manifest: Path, folder: Path, **files: str) -> Dataset:
    """What `get` hands over of tables that were added."""
    told = add(manifest, *put(folder / "made", **files), "--ship", "--name", "mine")
    assert told.exit_code == 0, told.output
    return get("mine", manifest=manifest, offline=True)


def refused(manifest: Path, folder: Path, **files: str) -> list[str]:
    """What is told of tables that cannot be added, without their folder."""
    before = manifest.read_bytes()
    told = add(manifest, *put(folder / "made", **files), "--ship", "--name", "mine")
    assert (told.exit_code, manifest.read_bytes()) == (1, before)
    return told.stderr.replace(f"{folder}/made/", "").splitlines()


class TestTheHeader:
    """The first row is one of names, or a sample; never both."""

    @pytest.mark.parametrize(
        ("header", "index", "columns"),
        [
            (",h,w,kind", True, 3),  # pandas.DataFrame.to_csv
            ("0,1,label", False, 2),
            (",0,1,label", True, 3),
            ("h,h,kind", False, 2),
            ("1,2,thing", False, 2),
        ],
    )
    def test_names_that_are_empty_numbers_or_the_same(
        self, manifest: Path, tmp_path: Path, header: str, index: bool, columns: int
    ) -> None:
        """As pandas writes them: no sample is made of them, and no class."""
        rows = [f"{i},{row}" if index else row for i, row in enumerate(KINDS)]
        got = added(manifest, tmp_path, all_csv="".join([header, "\n", *rows]))

        assert (len(got.train), got.classes, got.train.features.shape) == (12, ("a", "b"), (12, columns))
        assert got.train.features.dtype == np.float32

    def test_years_among_names(self, manifest: Path, tmp_path: Path) -> None:
        """A name may be a number, where most are words and none of them is below."""
        got = added(manifest, tmp_path, all_csv="area,height,2020,kind\n" + "".join(f"1,{row}" for row in KINDS))

        assert (len(got.train), got.classes) == (12, ("a", "b"))

    def test_a_table_of_numbers_below_their_places(self, manifest: Path, tmp_path: Path) -> None:
        """`DataFrame(array).to_csv(index=False)` counts its columns."""
        got = added(manifest, tmp_path, all_csv="0,1,2\n" + "5.5,1.5,0.5\n" * 9)

        assert got.train.features.shape == (9, 3)

    @pytest.mark.parametrize("first", ["0.5,nan,a", "5.1,3,a", "7,?,a", "7,unknown,a"])
    def test_a_value_that_is_missing_is_no_name(self, manifest: Path, tmp_path: Path, first: str) -> None:
        """So the first sample is not lost for it."""
        got = added(manifest, tmp_path, all_csv="".join([first, "\n", *KINDS]))

        assert len(got.train) == 13

    def test_a_class_is_never_told_from_the_first_row_alone(self, manifest: Path, tmp_path: Path) -> None:
        """It may as well be a column's name."""
        assert refused(manifest, tmp_path, all_csv="".join(["1990,2000,label\n", *KINDS])) == [
            "error: all.csv: line 1 has 'label' in column 3, and no other line has: is it a class, or a name?",
            "  Give each column a name in line 1; or, if it is a class, let another row be the first.",
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

        assert got.train.fields == ("size", "a_b", "a_b_1")


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

        assert (got.train.texts[1], got.classes) == ("well, 1th", ("a", "b"))

    def test_a_decimal_comma_is_told(self, manifest: Path, tmp_path: Path) -> None:
        """Nothing is made of halves of numbers."""
        rows = "".join(f"1,{i};2,25;{'ab'[i % 2]}\n" for i in range(9))

        assert refused(manifest, tmp_path, all_csv=rows) == [
            "error: all.csv: column 1 has numbers with a comma ('1,0'), which are read as text",
            "  Write them with a point.",
        ]


class TestSeveralFiles:
    """What a column is, is told from all files that have it."""

    def test_whole_numbers_in_one_split_and_halves_in_another(self, manifest: Path, tmp_path: Path) -> None:
        """All of them are float32."""
        got = added(manifest, tmp_path, train_csv="".join(KINDS), test_csv="7,8,a\n8,9,b\n9,1,a\n7,1,b\n")

        assert (got.train.features.dtype, got.test.features.dtype) == (np.float32, np.float32)
        assert got.test.features[:2].tolist() == [[7, 8], [8, 9]]

    def test_a_split_in_which_every_class_is_there_once(self, manifest: Path, tmp_path: Path) -> None:
        """Three samples of three classes have labels, as the many of the other split."""
        train = "h,kind\n" + "".join(f"{i},{'abc'[i % 3]}\n" for i in range(30))
        got = added(manifest, tmp_path, train_csv=train, test_csv="h,kind\n1,c\n2,b\n3,a\n")

        assert (got.classes, got.test.labels.tolist()) == (("a", "b", "c"), [2, 1, 0])
        assert load_manifest(manifest).datasets["mine"].options == {"columns": {"h": "h", "labels": "kind"}}


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
            "error: all.csv: line 5 has another number of cells than the first row",
            "  A cell that has a ',' in it stands between quotes.",
        ]

    @pytest.mark.parametrize(("header", "line"), [("a", 3), ("a,b", None)])
    def test_a_table_of_one_column_has_none(self, tmp_path: Path, header: str, line: int | None) -> None:
        """There an empty line may be an empty text."""
        (path,) = put(tmp_path, all_csv=f"{header}\n{header}\n\n\n")
        fields = {name: Column("train", name, "str", 1, path, name) for name in header.split(",")}
        decoded = formats.of("csv").decode((Split("train", 1, fields, file=path),))
        if line is None:
            assert [list(block.values) for block in decoded] == [["a"], ["b"]]
            return
        with pytest.raises(DecodeError) as caught:
            list(decoded)

        assert caught.value.reason == f"line {line} is empty"
