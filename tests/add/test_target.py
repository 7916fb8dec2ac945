"""The target of records and of ARFF: named by a person or by itself, or asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.add_world import add, put
from tinytorch_datasets import Dataset, get, load_manifest

REAL = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")


def lines(*records: Any) -> str:
    """JSON Lines, by the standard library."""
    return "".join(json.dumps(record) + "\n" for record in records)


def added(manifest: Path, *arguments: object) -> Dataset:
    """What `get` returns of files that were added."""
    done = add(manifest, *arguments, "--ship", "--name", "mine")
    assert done.exit_code == 0, done.output
    return get("mine", manifest=manifest, offline=True)


def refused(manifest: Path, *arguments: object) -> str:
    """The first line of what is reported."""
    done = add(manifest, *arguments, "--ship", "--name", "mine")
    assert done.exit_code != 0
    return str(done.stderr.splitlines()[0])


FLOWERS = [{"wide": i, "long": i / 4, "kind": "ab"[i % 2], "note": f"no {i}"} for i in range(8)]


class TestRecords:
    """The rules are those of CSV."""

    def test_a_name_that_is_a_target(self, manifest: Path, tmp_path: Path) -> None:
        """Words become labels, the numbers beside them are joined under their names, texts stay."""
        data = added(manifest, *put(tmp_path / "made", all_jsonl=lines(*FLOWERS)))

        assert data.classes == ("a", "b")
        assert data.train.labels.tolist() == [0, 1] * 4
        assert data.train.features.tolist() == [[i, i / 4] for i in range(8)]
        assert list(data.train.note) == [f"no {i}" for i in range(8)]
        assert load_manifest(manifest).datasets["mine"].fields["features"].names == ("wide", "long")

    def test_a_target_that_a_person_names(self, manifest: Path, tmp_path: Path) -> None:
        """Of many values it stays a number; another column is left out."""
        files = put(tmp_path / "made", all_json=json.dumps(FLOWERS))
        data = added(manifest, *files, "--target", "long", "--drop", "note")

        assert data.train.fields == ("wide", "kind", "long")
        assert data.train.long.tolist() == [i / 4 for i in range(8)]

    @pytest.mark.parametrize(
        ("stored", "classes", "labels"),
        [
            ([1, 3, 1, 3] * 5, ("1", "3"), [0, 1, 0, 1] * 5),
            ([0, 1, 2, 0] * 2, ("0", "1", "2"), [0, 1, 2, 0] * 2),
            ([-1.0, 1.0] * 4, ("-1", "1"), [0, 1] * 4),
            ([True, False] * 4, ("false", "true"), [1, 0] * 4),
            (["2", "10"] * 4, ("10", "2"), [1, 0] * 4),
        ],
    )
    def test_what_is_stored_for_a_class(
        self, manifest: Path, tmp_path: Path, stored: list[Any], classes: tuple[str, ...], labels: list[int]
    ) -> None:
        """A number that is no position is declared beside its class, so that no label is another's."""
        records = [{"x": i / 8, "outcome": value} for i, value in enumerate(stored)]
        data = added(manifest, *put(tmp_path / "made", all_jsonl=lines(*records)), "--target", "outcome")

        assert (data.classes, data.train.labels.tolist()) == (classes, labels)

    def test_classes_are_those_of_all_files(self, manifest: Path, tmp_path: Path) -> None:
        """Though each file has not every one; and whole numbers beside fractions are floats in both."""
        train = lines(*({"x": i, "label": "ab"[i % 2]} for i in range(4)))
        test = lines(*({"x": i / 2, "label": "bc"[i % 2]} for i in range(4)))
        data = added(manifest, *put(tmp_path / "made", train_jsonl=train, test_jsonl=test))

        assert data.classes == ("a", "b", "c")
        assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1, 0, 1], [1, 2, 1, 2])
        assert (data.train.x.dtype, data.test.x.tolist()) == (np.float64, [0, 0.5, 1, 1.5])

    def test_where_nothing_says_it_is_asked(self, manifest: Path, tmp_path: Path) -> None:
        """Each column is a field of its own."""
        records = [{"a": i, "b": i % 2} for i in range(8)]
        done = add(manifest, *put(tmp_path / "made", all_jsonl=lines(*records)), "--ship", "--name", "mine")

        assert 'target: "?"' in done.stderr
        assert get("mine", manifest=manifest, offline=True).train.fields == ("a", "b")

    def test_a_column_called_test_is_no_split(self, manifest: Path, tmp_path: Path) -> None:
        """Keys are names of columns."""
        records = [{"train": i, "test": i / 3, "label": i % 2} for i in range(8)]
        data = added(manifest, *put(tmp_path / "made", all_jsonl=lines(*records)))

        assert (list(data), data.train.fields) == (["train"], ("features", "labels"))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--target", "knid"), "error: --target knid: there is no such column; did you mean 'kind'?"),
            (("--drop", "9"), "error: --drop 9: there is no such column"),
            (("--target", "kind", "--drop", "kind"), "error: --target kind: that column is left out"),
        ],
    )
    def test_a_column_that_there_is_not(
        self, manifest: Path, tmp_path: Path, options: tuple[str, ...], message: str
    ) -> None:
        """The nearest is named."""
        assert refused(manifest, *put(tmp_path / "made", all_jsonl=lines(*FLOWERS)), *options) == message

    def test_a_target_that_is_none(self, manifest: Path, tmp_path: Path) -> None:
        """No label is made up for it."""
        records = [{"a": i, "y": (1, None)[i % 2]} for i in range(8)]
        (file,) = put(tmp_path / "made", all_jsonl=lines(*records))

        reason = "column 2 ('y') is the target, and has null in 4 of 8 rows, where a value is missing"
        assert refused(manifest, file, "--target", "y") == f"error: {file}: {reason}"

    def test_a_target_of_several_values_a_sample(self, manifest: Path, tmp_path: Path) -> None:
        """It keeps its shape and its name: it is no class."""
        records = [{"a": i, "y": [i, i + 1]} for i in range(8)]
        data = added(manifest, *put(tmp_path / "made", all_jsonl=lines(*records)), "--target", "y")

        assert (data.train.fields, data.train.y.tolist()) == (("a", "y"), [record["y"] for record in records])


@real
class TestRealFiles:
    """Added without a word, or with one."""

    @pytest.mark.parametrize("name", ["jsonl/iris.json", "arff/iris.arff"])
    def test_iris(self, manifest: Path, name: str) -> None:
        """Four numbers under their names, and fifty of each species in the order of the file."""
        data = added(manifest, REAL / name)

        assert data.train.features.shape == (150, 4)
        assert data.train.features[0].tolist() == [5.1, 3.5, 1.4, 0.2]
        assert data.train.labels.tolist() == [0] * 50 + [1] * 50 + [2] * 50
        assert [name.lower()[-4:] for name in data.classes or ()] == ["tosa", "olor", "nica"]

    def test_votes(self, manifest: Path) -> None:
        """Two parties; each vote is a text, which keeps its question marks."""
        data = added(manifest, REAL / "arff" / "vote.arff")

        assert data.classes == ("democrat", "republican")
        assert np.bincount(data.train.labels).tolist() == [267, 168]
        assert sorted(set(data.train.crime)) == ["?", "n", "y"]

    def test_annealing(self, manifest: Path) -> None:
        """Six classes by the header, of which the eleven rows have one; the classes are the target's own."""
        data = added(manifest, REAL / "arff" / "anneal.arff.gz")

        assert data.classes == ("1", "2", "3", "4", "5", "U")
        assert data.train.labels.tolist() == [2] * 11
        assert load_manifest(manifest).datasets["mine"].fields["bore"].classes == ("0", "500", "600", "760")


class TestMarksAmongClasses:
    """A row whose class is not known is no sample of a class that is called ?."""

    def test_arff_says_so(self, manifest: Path, tmp_path: Path) -> None:
        """It is refused, as a target of numbers with gaps is."""
        rows = "".join(f"{i},{name}\n" for i, name in enumerate(["a", "?", "b"] * 6))
        header = "@relation r\n@attribute size numeric\n@attribute class {a, b}\n@data\n"
        (path,) = put(tmp_path / "made", all_arff=header + rows)

        assert refused(manifest, path) == (
            f"error: {path}: column 2 ('class') is the target, and has '?' in some rows, where a value is missing"
        )

    @pytest.mark.parametrize("name", ["?", "none", "NA", "nan"])
    def test_a_class_may_be_called_so(self, manifest: Path, tmp_path: Path, name: str) -> None:
        """It is one, and the entry says what else it may be."""
        text = "size,class\n" + "".join(f"{i},{('a', name)[i % 2]}\n" for i in range(12))
        got = added(manifest, *put(tmp_path / "made", all_csv=text))

        assert got.classes == tuple(sorted(["a", name]))
        note = f"# a label is a position in this list; {name!r} may mean a missing value, and is a class here\n"
        assert note in manifest.read_text(encoding="utf-8")
