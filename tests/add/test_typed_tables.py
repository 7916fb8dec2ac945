"""Tables whose columns have types: the columns are chosen as those of CSV are, whatever the format."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import yaml

from tests.helpers.add_world import add, put
from tinytorch_datasets import Dataset, get

Rows = list[dict[str, Any]]


def _parquet(rows: Rows, path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def _feather(rows: Rows, path: Path) -> None:
    feather.write_feather(pa.Table.from_pylist(rows), path)


def _jsonl(rows: Rows, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _json(rows: Rows, path: Path) -> None:
    path.write_text(json.dumps(rows))


WRITERS = {"parquet": _parquet, "arrow": _feather, "jsonl": _jsonl, "json": _json}
each = pytest.mark.parametrize(("form", "write"), WRITERS.items(), ids=WRITERS)

FLOWERS: Rows = [
    {"length": i / 4, "width": i % 5 + 0.5, "city": f"town {i}", "kind": ("rose", "tulip")[i % 2]} for i in range(24)
]


class Added:
    """A table that was added: the entry, what was printed, and the data set."""

    def __init__(self, manifest: Path, folder: Path, form: str, tables: dict[str, Rows], *options: str) -> None:
        put(folder)
        for name, rows in tables.items():
            WRITERS[form](rows, folder / f"{name}.{form}")
        paths = [folder / f"{name}.{form}" for name in tables]
        self.result = add(manifest, *paths, "--ship", "--name", "mine", *options)
        self.stderr = self.result.stderr.replace(f"{folder}/", "")
        self._manifest = manifest

    @property
    def entry(self) -> dict[str, Any]:
        """As YAML has it."""
        assert self.result.exit_code == 0, self.result.output
        entry: dict[str, Any] = yaml.safe_load(self._manifest.read_bytes())["datasets"]["mine"]
        return entry

    def get(self) -> Dataset:
        """As it loads."""
        assert self.result.exit_code == 0, self.result.output
        return get("mine", manifest=self._manifest, offline=True)


@each
class TestColumns:
    """Numbers are features, the target is labels, words are texts: of every format."""

    def test_an_obvious_target(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """Numbers are stacked with their names; the column of kinds has classes; each other one is its own field."""
        added = Added(manifest, tmp_path / "made", form, {"all": FLOWERS})
        got = added.get()

        expected = np.array([[row["length"], row["width"]] for row in FLOWERS])
        np.testing.assert_array_equal(got.train.features, expected)
        assert got.names == {"features": ("length", "width")}
        assert (got.classes, got.train.labels.tolist()) == (("rose", "tulip"), [0, 1] * 12)
        assert list(got.train.city) == [row["city"] for row in FLOWERS]
        assert "target" not in added.entry

    def test_no_obvious_target(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """It is asked, and each column is a field of its own until somebody says."""
        rows = [{"rooms": i % 7, "age": i, "price": i * 1.5} for i in range(20)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows})

        assert added.entry["target"] == "?"
        assert ': to be filled in: target: "?"' in added.stderr
        assert added.get().train.fields == ("rooms", "age", "price")

    def test_a_chosen_target(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """A quantity keeps its name; whole numbers from 1 say so."""
        rows = [{"rooms": i % 7, "age": i, "price": i * 1.5, "stars": i % 5 + 1} for i in range(40)]
        price = Added(manifest, tmp_path / "made", form, {"all": rows}, "--target", "price", "--drop", "stars")

        assert price.get().train.fields == ("features", "price")
        np.testing.assert_array_equal(price.get().train.price, [row["price"] for row in rows])
        second = tmp_path / "second.yaml"
        stars = Added(second, tmp_path / "made", form, {"all": rows}, "--target", "stars")
        labels = stars.entry["fields"]["labels"]
        assert (labels["classes"], labels["first"]) == (["1", "2", "3", "4", "5"], 1)
        assert stars.get().train.labels.tolist() == [i % 5 for i in range(40)]

    def test_a_column_that_there_is_not(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """With those that there are."""
        added = Added(manifest, tmp_path / "made", form, {"all": FLOWERS}, "--target", "kinds")

        assert (added.result.exit_code, added.stderr) == (
            2,
            "error: --target kinds: there is no such column; did you mean 'kind'?\n"
            "  There are: length, width, city, kind.\n",
        )

    def test_a_target_with_gaps(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """It cannot be learned from rows that do not have it."""
        rows = [{"h": i * 1.5, "price": None if i == 3 else i * 0.5} for i in range(20)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows}, "--target", "price")

        assert (added.result.exit_code, added.stderr) == (
            1,
            f"error: all.{form}: column 2 ('price') is the target, and has null in 1 of 20 rows, "
            "where a value is missing\n  Take those rows out, or choose another --target.\n",
        )

    def test_missing_values(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """A null among numbers is declared, counted on stderr, and NaN."""
        rows = [{"h": i * 1.5, "w": None if i == 3 else i, "kind": "ab"[i % 2]} for i in range(20)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows})

        assert added.entry["fields"]["features"]["missing"] == [None]
        assert "missing: features: null in 1 cell means a missing value, which is NaN" in added.stderr
        expected = [[row["h"], np.nan if row["w"] is None else row["w"]] for row in rows]
        np.testing.assert_array_equal(added.get().train.features, expected)

    def test_one_hot_columns(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """Several targets of which each row has a 1 in one are the classes, by their names."""
        rows = [{"h": i * 1.5, "is_a": int(i % 2 == 0), "is_b": i % 2} for i in range(20)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows}, "--target", "is_a", "--target", "is_b")

        assert added.entry["fields"]["labels"]["stored"] == "one-hot"
        assert (added.get().classes, added.get().train.labels.tolist()) == (("is_a", "is_b"), [0, 1] * 10)

    def test_several_quantities(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """Are one field, by their names."""
        rows = [{"h": i * 1.5, "waist": i + 30, "pulse": i + 60} for i in range(20)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows}, "--target", "waist", "--target", "pulse")

        assert added.get().names == {"targets": ("waist", "pulse")}
        np.testing.assert_array_equal(added.get().train.targets, [[i + 30, i + 60] for i in range(20)])

    def test_several_files(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """Classes are those of all of them, also where one lacks some."""
        tables = {"train": FLOWERS, "test": [row for row in FLOWERS if row["kind"] == "tulip"]}
        added = Added(manifest, tmp_path / "made", form, tables)

        assert (added.get().classes, added.get().test.labels.tolist()) == (("rose", "tulip"), [1] * 12)

    def test_numbers_beyond_what_one_array_holds(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """No number is given up: what float64 does not hold stays a field of its own."""
        rows = [{"id": 2**53 + 1 + i, "h": i / 4, "w": i / 2, "kind": "ab"[i % 2]} for i in range(20)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows})

        assert added.get().train.fields == ("features", "id", "labels")
        assert added.get().train.id.tolist() == [row["id"] for row in rows]

    def test_bools(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """As the target they are classes, else a field of their own."""
        rows = [{"h": i / 4, "w": i / 2, "open": i % 3 == 0, "label": i % 2 == 0} for i in range(20)]
        got = Added(manifest, tmp_path / "made", form, {"all": rows}).get()

        assert (got.classes, got.train.labels.tolist()) == (("false", "true"), [1, 0] * 10)
        assert (got.train.fields, got.train.open.dtype) == (("features", "open", "labels"), np.dtype(bool))

    def test_lists_of_differing_lengths(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """Are ragged."""
        rows = [{"words": list(range(i % 4 + 1)), "label": i % 2} for i in range(20)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows})

        assert added.entry["fields"]["words"]["shape"] == [None]
        assert [words.tolist() for words in added.get().train.words] == [row["words"] for row in rows]

    def test_an_index_that_has_no_name(self, manifest: Path, tmp_path: Path, form: str, write: Any) -> None:
        """Numbers of the rows are left out, which is said."""
        rows = [{"Unnamed: 0": i, "h": i / 4, "w": i / 2, "kind": "ab"[i % 2]} for i in range(20)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows})

        assert added.get().names == {"features": ("h", "w")}
        assert "left out: " in added.stderr
        assert "column 1 ('Unnamed: 0'): numbers the rows, and has no name of its own" in added.stderr


def test_records_that_are_lists(manifest: Path, tmp_path: Path) -> None:
    """Their columns have places and no names: the words at the end are labels, which is asked."""
    (path,) = put(tmp_path / "made", all_jsonl="".join(json.dumps([i, i / 2, "ab"[i % 2]]) + "\n" for i in range(20)))
    result = add(manifest, path, "--ship", "--name", "mine")

    assert result.exit_code == 0, result.output
    got = get("mine", manifest=manifest, offline=True)
    np.testing.assert_array_equal(got.train.features, [[i, i / 2] for i in range(20)])
    assert (got.names, got.classes, got.train.labels.tolist()) == ({}, ("a", "b"), [0, 1] * 10)
    assert ': to be filled in: target: "?"' in result.stderr


def test_columns_of_several_types(manifest: Path, tmp_path: Path) -> None:
    """What is a number in one file and a text in the other is not joined."""
    rows = [[{"h": i, "label": i % 2} for i in range(8)], [{"h": f"about {i}", "label": i % 2} for i in range(8)]]
    paths = put(tmp_path / "made", train_json=json.dumps(rows[0]), test_json=json.dumps(rows[1]))
    result = add(manifest, *paths, "--ship")

    assert result.exit_code == 1
    assert "its column 'h' is not the same in each file: int64 [] and str []" in result.stderr


def test_names_that_the_manifest_has_no_place_for(manifest: Path, tmp_path: Path) -> None:
    """A line break is in no name, one that reads as a range is in no list, and a column without one is left out."""
    columns = {"a\nb": range(20), "0-12": range(20), "": range(20), "x": np.arange(20) / 2, "label": ["u", "v"] * 10}
    put(tmp_path / "made")
    pq.write_table(pa.table(columns), tmp_path / "made" / "all.parquet")
    result = add(manifest, tmp_path / "made" / "all.parquet", "--ship", "--name", "mine")

    assert result.exit_code == 0, result.output
    got = get("mine", manifest=manifest, offline=True)
    np.testing.assert_array_equal(got.train.features, [[i, i / 2] for i in range(20)])
    assert (got.train.fields, got.train.f_0_12.tolist()) == (("features", "f_0_12", "labels"), list(range(20)))
    assert "left out: all.parquet: column 3 has no name" in result.stderr


def test_names_that_fields_have_already(manifest: Path, tmp_path: Path) -> None:
    """A column called features is one of them, and columns called as labels are what they are until one is chosen."""
    rows = [{"features": i, "x": i / 2, "label": i % 2} for i in range(20)]
    (path,) = put(tmp_path / "made", all_jsonl="".join(json.dumps(row) + "\n" for row in rows))
    assert add(manifest, path, "--ship", "--name", "mine").exit_code == 0
    several = [{"labels": [0, 1], "label": i, "target": i / 2} for i in range(20)]
    (path,) = put(tmp_path / "more", all_jsonl="".join(json.dumps(row) + "\n" for row in several))
    assert add(manifest, path, "--ship", "--name", "more").exit_code == 0

    got, more = (get(name, manifest=manifest, offline=True) for name in ("mine", "more"))
    np.testing.assert_array_equal(got.train.features, [[i, i / 2] for i in range(20)])
    assert (got.train.fields, more.train.fields) == (("features", "labels"), ("labels", "label", "target"))


def _stream(table: pa.Table, path: Path, rows: int) -> Path:
    """An Arrow stream, so many rows a batch."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=rows)
    return path


class TestColumnsThatAreNotRead:
    """They are named, however many they are."""

    @pytest.mark.parametrize("form", ["parquet", "arrow"])
    def test_none_is_read(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """The file is refused by what its columns hold."""
        rows = [{"day": datetime.date(2026, 1, 1)}] * 3
        added = Added(manifest, tmp_path / "made", form, {"all": rows})

        assert (added.result.exit_code, added.stderr) == (
            1,
            f"error: all.{form}: none of its columns can be read; 'day' holds values of the type date32[day], which "
            "is not read\n  Save what is to be learned from as numbers or as text.\n",
        )

    @pytest.mark.parametrize("form", ["parquet", "arrow"])
    def test_no_rows(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """There is nothing to learn from, whatever the columns."""
        path = put(tmp_path / "made", **{f"all_{form}": b""})[0]
        table = pa.table({"x": pa.array([], pa.int64()), "s": pa.array([], pa.string())})
        pq.write_table(table, path) if form == "parquet" else feather.write_feather(table, path)
        result = add(manifest, path, "--ship")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {path}: it has no samples\n  Leave it out, or name the one that you meant.\n",
        )

    @pytest.mark.parametrize("form", ["parquet", "arrow"])
    def test_two_columns_of_one_path(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """`a.b` may be a name with a dot, or a part of the group `a`: never the values of one under both names."""
        rows = [{"a.b": i, "x": i / 2, "a": {"b": -i}} for i in range(9)]
        added = Added(manifest, tmp_path / "made", form, {"all": rows})

        assert added.get().train.fields == ("x",)
        assert f"left out: all.{form}: 'a.b' is the name of several columns\n" in added.stderr

    def test_a_null_list_in_an_early_batch(self, manifest: Path, tmp_path: Path) -> None:
        """The batches behind it do not matter any more."""
        table = pa.table({"x": range(9), "l": [[1], None, *[[2]] * 7]})
        path = _stream(table, put(tmp_path / "made", all_arrow=b"")[0], rows=3)
        result = add(manifest, path, "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        assert "left out: all.arrow: 'l' has null in one sample\n" in result.stderr
        assert get("mine", manifest=manifest, offline=True).train.x.tolist() == list(range(9))
