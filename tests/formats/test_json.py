"""JSON Lines and JSON: records as people have them, and everything that JSON may be and records may not."""

from __future__ import annotations

import gzip
import json
import lzma
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import column, put, read, split, zipped
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import RaggedBlock

REAL = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats" / "jsonl"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")

SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "Mercury",
            "paragraphs": [
                {
                    "context": "It is small.",
                    "qas": [
                        {"id": "a", "question": "Size?", "answers": [{"text": "small", "answer_start": 6}]},
                        {
                            "id": "b",
                            "question": "Small?",
                            "answers": [{"text": "It", "answer_start": 0}, {"text": "is", "answer_start": 3}],
                        },
                    ],
                },
                {"context": "It is hot.", "qas": [{"id": "c", "question": "Hot?", "answers": []}]},
            ],
        },
        {"title": "Venus", "paragraphs": []},
    ],
}
INEXACT = "a whole number that float64 does not hold exactly"
BY_OPTION = "where its records are by the option records"
NO_FIELD = "no field of that name; did you mean 'images'?"
NO_KEY = "a path has a key between its dots, and at its ends"
OF_SQUAD: dict[str, Any] = {"records": ["data", "paragraphs", "qas"]}


def lines(*records: Any) -> str:
    """JSON Lines, by the standard library."""
    return "".join(json.dumps(record) + "\n" for record in records)


def values(form: str, data: bytes | str, path: Path, samples: int = 9, **more: Any) -> Any:
    """The values of the field `images`, or the error; options are `more` that no column has."""
    options = {name: more.pop(name) for name in ("records", "parents", "orient") if name in more}
    file = put(path / "data", data)
    result = split(column(file, samples=samples, **{"dtype": "int64", **more}))
    parts: list[Any] = [block.values for block in formats.of(form).decode([result], **options)]
    if isinstance(parts[0], RaggedBlock):
        return [
            part.values[end - size : end].reshape(shape).tolist()
            for part in parts
            for size, end, shape in zip(
                part.shapes.prod(axis=1), np.cumsum(part.shapes.prod(axis=1)), part.shapes, strict=True
            )
        ]
    return [x for part in parts for x in part] if isinstance(parts[0], list) else np.concatenate(parts)


def refusal(form: str, data: bytes | str, path: Path, samples: int = 9, **more: Any) -> str:
    """The reason for which a file is refused."""
    with pytest.raises(DecodeError) as caught:
        values(form, data, path, samples, **more)
    return str(caught.value.reason)


def both(data: list[Any]) -> list[tuple[str, str]]:
    """The same records as JSON Lines and as one document."""
    return [("jsonl", lines(*data)), ("json", json.dumps(data, indent=1))]


@real
class TestRealFiles:
    """Values are those that the json module reads."""

    def test_grade_school_mathematics(self) -> None:
        """1,319 questions and answers, each as it is."""
        expected = [json.loads(line) for line in (REAL / "gsm8k_test.jsonl").read_text("utf-8").splitlines()]
        columns = [
            column(REAL / "gsm8k_test.jsonl", name, samples=1319, dtype="str") for name in ("question", "answer")
        ]

        found = read("jsonl", split(*columns))

        assert found == {f"train.{name}": [record[name] for record in expected] for name in ("question", "answer")}
        assert len(expected) == 1319

    def test_iris(self) -> None:
        """150 records, of which whole numbers are among the others; names with dots."""
        expected = json.loads((REAL / "iris.json").read_text("utf-8"))
        names = ("Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width")
        features = column(REAL / "iris.json", samples=150, dtype="float64", columns=names, shape=(4,))
        species = column(REAL / "iris.json", "species", samples=150, dtype="str", key="Species")

        found = read("json", split(features, species))

        np.testing.assert_array_equal(found["train.images"], [[record[name] for name in names] for record in expected])
        assert found["train.species"] == [record["Species"] for record in expected]


class TestValues:
    """What stands in the record comes out, in the declared dtype and shape, or nothing does."""

    @pytest.mark.parametrize(
        ("stored", "declared", "expected"),
        [
            ([1, -2, 3.0, 1e2], {"dtype": "int8"}, np.array([1, -2, 3, 100], "i1")),
            ([0, 2**64 - 1], {"dtype": "uint64"}, np.array([0, 2**64 - 1], "u8")),
            ([-(2**63), 2**63 - 1], {"dtype": "int64"}, np.array([-(2**63), 2**63 - 1])),
            ([1, 0.1, -1e-320], {"dtype": "float64"}, np.array([1, 0.1, -1e-320])),
            ([2**53, 2**60], {"dtype": "float64"}, np.array([2.0**53, 2.0**60])),
            ([0.1, 3], {"dtype": "float32"}, np.array([0.1, 3], "f4")),
            ([True, False, 1, 0], {"dtype": "bool"}, np.array([True, False, True, False])),
            ([[1, 2], [3, 4]], {"dtype": "int64", "shape": (2,)}, np.array([[1, 2], [3, 4]])),
            ([[[1, 2, 3], [4, 5, 6]]], {"dtype": "uint8", "shape": (2, 3)}, np.array([[[1, 2, 3], [4, 5, 6]]], "u1")),
            (["a", "", "\u00e9\U0001f600 \u0000"], {"dtype": "str"}, ["a", "", "\u00e9\U0001f600 \u0000"]),
            ([[1, 2], [], [3]], {"dtype": "int64", "shape": (None,)}, [[1, 2], [], [3]]),
            ([[[1, 2]], [[3, 4], [5, 6]]], {"dtype": "int64", "shape": (None, 2)}, [[[1, 2]], [[3, 4], [5, 6]]]),
            ([[], [[1], [2]], [[]]], {"dtype": "int64", "shape": (None, None)}, [[], [[1], [2]], [[]]]),
            ([[[1, 2, 3], [4, 5, 6]], [[1], [2]]], {"shape": (2, None)}, [[[1, 2, 3], [4, 5, 6]], [[1], [2]]]),
        ],
    )
    def test_values_of_each_kind(
        self, stored: list[Any], declared: dict[str, Any], expected: Any, tmp_path: Path
    ) -> None:
        """In lines and in a document alike."""
        for form, data in both([{"images": value} for value in stored]):
            found = values(form, data, tmp_path, **declared)
            if isinstance(expected, list):
                assert found == expected
            else:
                np.testing.assert_array_equal(found, expected, strict=True)

    @pytest.mark.parametrize(
        ("stored", "expected"),
        [
            (["bee", "ant"], ["bee", "ant"]),
            ([1, 0], np.array([1, 0])),
            ([1.0, 0], np.array([1.0, 0.0])),
            ([True, False], np.array([True, False])),
        ],
    )
    def test_labels_come_as_they_are_stored(self, stored: list[Any], expected: Any, tmp_path: Path) -> None:
        """Which class that is, is of a later stage."""
        for form, data in both([{"images": value} for value in stored]):
            found = values(form, data, tmp_path, classes=("ant", "bee"))
            if isinstance(expected, list):
                assert found == expected
            else:
                np.testing.assert_array_equal(found, expected, strict=True)

    @pytest.mark.parametrize(
        ("stored", "declared", "says"),
        [
            ([1, 1.5], {"dtype": "int64"}, "1.5 is not a whole number"),
            ([1, 300], {"dtype": "uint8"}, "300 is outside 0 to 255, what uint8 can hold"),
            ([1, -1], {"dtype": "uint64"}, f"-1 is outside 0 to {2**64 - 1}, what uint64 can hold"),
            ([1, 2**64], {"dtype": "int64"}, f"{2**64} is outside {-(2**63)} to {2**63 - 1}, what int64 can hold"),
            ([1, 2.0**60], {"dtype": "int64"}, "1.152921504606847e+18 is not a whole number"),
            (
                [1.5, 2**53 + 1],
                {"dtype": "float64"},
                f"{2**53 + 1} is a whole number that float64 does not hold exactly",
            ),
            (
                [1.5, 10**400],
                {"dtype": "float64"},
                f"a number of many digits is {INEXACT}",
            ),
            ([1, 1e39], {"dtype": "float32"}, "1e+39 is more than float32 can hold"),
            ([1, "2"], {"dtype": "int64"}, '"2" is not a number'),
            ([1, True], {"dtype": "int64"}, "true is not a number"),
            ([1, None], {"dtype": "float64"}, "null is not a number"),
            ([1, [2]], {"dtype": "float64"}, "a list is not a number"),
            ([True, 2], {"dtype": "bool"}, "2 is neither true nor false"),
            (["a", 5], {"dtype": "str"}, "5 is not a text"),
            (["a", None], {"dtype": "str"}, "null is not a text"),
            (["a", "x\ud800"], {"dtype": "str"}, '"x\\ud800" is no text: it has half of a surrogate pair'),
            ([[1, 2], [3]], {"shape": (2,)}, "a list has 1 values, where the shape [2] has 2"),
            ([[1, 2], 3], {"shape": (2,)}, "3 is not a list"),
            ([[1, 2], None], {"shape": (None,)}, "null is not a list"),
            ([[[1], [2]], [[1], [2, 3]]], {"shape": (2, None)}, "a list has 2 values, where others before it have 1"),
            (["ant", 1], {"classes": ("ant", "bee")}, "1 is not a text, as the label before"),
            (["ant", None], {"classes": ("ant", "bee")}, "null is no label: neither a number nor a text"),
            ([1, 2**70], {"classes": ("ant", "bee")}, f"{2**70} is no label: it does not fit 64 bits"),
        ],
    )
    def test_what_does_not_fit_is_refused_by_its_place(
        self, stored: list[Any], declared: dict[str, Any], says: str, tmp_path: Path
    ) -> None:
        """The second record is the wrong one."""
        for (form, data), place in zip(
            both([{"images": value} for value in stored]), ("line 2", "record 2"), strict=True
        ):
            assert refusal(form, data, tmp_path, **declared) == f"{place}, 'images': {says}"

    def test_a_number_that_is_larger_than_float64(self, tmp_path: Path) -> None:
        """Python's parser makes an infinity of it."""
        assert refusal("jsonl", '{"images": 1e400}\n', tmp_path, dtype="float64").endswith(
            "is more than float64 can hold"
        )

    @pytest.mark.parametrize("records", [2, 3])
    def test_more_records_than_declared(self, records: int, tmp_path: Path) -> None:
        """The first that is too many is named; as many as declared are read."""
        for (form, data), place in zip(both([{"images": 1}] * records), ("line 3", "record 3"), strict=True):
            if records == 2:
                assert values(form, data, tmp_path, 2).tolist() == [1, 1]
            else:
                says = f"it has more records than the 2 that train declares ({place})"
                assert refusal(form, data, tmp_path, 2) == says


class TestMissing:
    """A null is a missing value where that is declared, and an error everywhere else."""

    def test_null_and_nothing_are_the_same(self, tmp_path: Path) -> None:
        """NaN in float fields, the declared value in others."""
        for form, data in both([{"images": 1}, {"images": None}, {}]):
            found = values(form, data, tmp_path, dtype="float32", missing=(None,))
            np.testing.assert_array_equal(found, np.array([1, np.nan, np.nan], "f4"), strict=True)
            found = values(form, data, tmp_path, dtype="int64", missing=(None,), missing_value=-1)
            assert found.tolist() == [1, -1, -1]

    def test_other_marks(self, tmp_path: Path) -> None:
        """A text, and a number however it is written."""
        data = lines({"images": "NA"}, {"images": -9.0}, {"images": -9}, {"images": 5})
        found = values("jsonl", data, tmp_path, dtype="float64", missing=("NA", "-9"))

        np.testing.assert_array_equal(found, [np.nan, np.nan, np.nan, 5])

    def test_a_value_that_is_the_mark(self, tmp_path: Path) -> None:
        """Nobody could tell it from a missing one."""
        data = lines({"images": None}, {"images": -1})
        says = "line 2, 'images': -1 is the `missing_value`, and no mark of a missing value"

        assert refusal("jsonl", data, tmp_path, missing=(None,), missing_value=-1) == says

    @pytest.mark.parametrize(
        ("record", "declared", "says", "hint"),
        [
            (
                {"images": None},
                {"dtype": "float64"},
                "line 1, 'images': null is not a number",
                "If it means a missing value, declare `missing: [null]` for images.",
            ),
            (
                {"imagse": 1},
                {"dtype": "int64"},
                "line 1 has nothing at 'images', which is images; did you mean 'imagse'?",
                "If it means a missing value, declare `missing: [null]` for images, and a `missing_value` that is no "
                "value of the data.",
            ),
            (
                {"images": None},
                {"dtype": "int64", "missing": ("NA",), "missing_value": -1},
                "line 1, 'images': null is not a number",
                "If it means a missing value, add null to `missing` of images.",
            ),
            (
                {},
                {"dtype": "str"},
                "line 1 has nothing at 'images', which is images",
                "A field of text has no mark of a missing value: leave it out, or take another.",
            ),
        ],
    )
    def test_what_to_declare(self, record: Any, declared: dict[str, Any], says: str, hint: str, tmp_path: Path) -> None:
        """The hint names the key of the manifest."""
        with pytest.raises(ContentError) as caught:
            values("jsonl", lines(record), tmp_path, **declared)

        assert (caught.value.reason, caught.value.hint) == (says, hint)


class TestPaths:
    """A key is a path into the record, and the records are where a path leads."""

    @pytest.mark.parametrize(
        ("record", "key", "expected"),
        [
            ({"a": {"b": 1}}, "a.b", 1),
            ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
            ({"a": {"b.c": 1}}, "a.b.c", 1),
            ({"a": [5, {"b": 6}]}, "a.1.b", 6),
            ([7, 8], "1", 8),
            ({"1": 9}, "1", 9),
        ],
    )
    def test_a_key(self, record: Any, key: str, expected: int, tmp_path: Path) -> None:
        """Dots go into objects, numbers into lists; the longest name that fits is taken."""
        assert values("jsonl", lines(record), tmp_path, key=key).tolist() == [expected]

    @pytest.mark.parametrize("key", ["a.c", "a.b.c", "b", "a.b.0", "l.2", "l.-1", "."])
    def test_a_key_that_leads_nowhere(self, key: str, tmp_path: Path) -> None:
        """Not to some other value."""
        assert refusal("jsonl", lines({"a": {"b": 1}, "l": [1, 2]}), tmp_path, key=key).startswith(
            "line 1 has nothing at"
        )

    def test_several_columns_are_the_last_axis(self, tmp_path: Path) -> None:
        """In the order in which they are named."""
        data = lines({"a": 1, "b": {"c": 2}}, {"a": 3, "b": {"c": 4}})

        assert values("jsonl", data, tmp_path, columns=("b.c", "a"), shape=(2,)).tolist() == [[2, 1], [4, 3]]
        assert values("jsonl", "[1, 2, 3]\n", tmp_path, columns=(2, 0), shape=(2,)).tolist() == [[3, 1]]
        says = "line 1, 'a': \"x\" is not a number"
        assert refusal("jsonl", lines({"a": "x", "b": 1}), tmp_path, columns=("b", "a"), shape=(2,)) == says

    def test_squad(self, tmp_path: Path) -> None:
        """The questions of all paragraphs, what stands above them, and the starts of their answers."""
        data = json.dumps(SQUAD)
        parents = {"images": "data.paragraphs.context"}

        found = [values("json", data, tmp_path, dtype="str", key=key, **OF_SQUAD) for key in ("id", "question")]
        contexts = values("json", data, tmp_path, dtype="str", parents=parents, **OF_SQUAD)
        titles = values("json", data, tmp_path, dtype="str", parents={"images": ["data", "title"]}, **OF_SQUAD)
        starts = values("json", data, tmp_path, key="answers.answer_start", shape=(None,), **OF_SQUAD)

        assert found == [["a", "b", "c"], ["Size?", "Small?", "Hot?"]]
        assert contexts == ["It is small.", "It is small.", "It is hot."]
        assert titles == ["Mercury"] * 3
        assert starts == [[6], [0, 3], []]

    def test_several_records_in_a_line(self, tmp_path: Path) -> None:
        """As MRQA has them."""
        data = lines(*SQUAD["data"][0]["paragraphs"])  # type: ignore[index]

        options: dict[str, Any] = {"records": "qas", "dtype": "str"}
        assert values("jsonl", data, tmp_path, key="id", **options) == ["a", "b", "c"]
        assert values("jsonl", data, tmp_path, parents={"images": "context"}, **options)[1:] == [
            "It is small.",
            "It is hot.",
        ]
        assert refusal("jsonl", data, tmp_path, key="answers.0.text", **options) == (
            "line 2, record 1 has nothing at 'answers.0.text', which is images; did you mean 'answers'?"
        )

    @pytest.mark.parametrize(
        "top",
        [
            {"a": [1, 2, 3], "b": ["x", "y", "z"]},
            {"a": {"0": 1, "1": 2, "2": 3}, "b": {"0": "x", "1": "y", "2": "z"}},
        ],
    )
    def test_an_object_of_columns(self, top: Any, tmp_path: Path) -> None:
        """As pandas writes it, with lists and without."""
        options: dict[str, Any] = {"orient": "columns"}
        assert values("json", json.dumps(top), tmp_path, key="a", **options).tolist() == [1, 2, 3]
        below = json.dumps({"data": top})
        assert values("json", below, tmp_path, key="b", dtype="str", records="data", **options) == ["x", "y", "z"]

    @pytest.mark.parametrize(
        ("top", "says"),
        [
            ({"a": [1, 2], "b": [1]}, "the column 'b' has 1 values, and 'a' has 2"),
            ({"a": [1, 2], "b": {"0": 1, "1": 2}}, "the column 'b' is an object, where 'a' is a list"),
            ({"a": {"0": 1}, "b": {"1": 2}}, "the columns 'b' and 'a' do not name their values alike"),
            ([1], "it has a list in place of an object of columns"),
        ],
    )
    def test_columns_that_do_not_fit(self, top: Any, says: str, tmp_path: Path) -> None:
        """A value would be in another record's place."""
        assert refusal("json", json.dumps(top), tmp_path, key="a", orient="columns") == says

    @pytest.mark.parametrize(
        ("top", "path", "says"),
        [
            ({"a": 1}, None, "it is not a list of records; the option records says where in it they are"),
            (
                {"dta": []},
                "data",
                f"it has nothing at 'data', {BY_OPTION}; did you mean 'dta'?",
            ),
            (
                {"data": {"x": 1}},
                "data",
                f"it has an object, not a list, at 'data', {BY_OPTION}",
            ),
            (
                {"data": 5},
                "data",
                f"it has a number, not a list, at 'data', {BY_OPTION}",
            ),
            (
                {"data": [{"a": []}, {}]},
                "data.a",
                f"it has nothing at 'data.a', {BY_OPTION}",
            ),
            ([], None, "it has no records"),
        ],
    )
    def test_records_that_are_not_there(self, top: Any, path: str | None, says: str, tmp_path: Path) -> None:
        """The option that leads to them is named."""
        options: dict[str, Any] = {"records": path} if path else {}
        assert refusal("json", json.dumps(top), tmp_path, **options) == says


class TestLines:
    """Lines as they come from every editor."""

    @pytest.mark.parametrize(
        "data",
        [
            b'{"images": 1}\n{"images": 2}\n',
            b'{"images": 1}\n{"images": 2}',
            b'\xef\xbb\xbf{"images": 1}\r\n{"images": 2}\r\n',
            b'{"images": 1}\r{"images": 2}\r',
            b' {"images": 1} \n\t{"images" :2}\t\n\n \n',
        ],
    )
    @pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, lambda data: zipped({"d/a.jsonl": data})])
    def test_ends_of_lines(self, data: bytes, pack: Any, tmp_path: Path) -> None:
        """Plain, compressed, and in an archive."""
        member = ("d/a.jsonl",) if pack(b"x" * 9).startswith(b"PK") else ()
        assert values("jsonl", pack(data), tmp_path, member=member).tolist() == [1, 2]

    def test_a_long_line_is_read(self, tmp_path: Path) -> None:
        """A document of some mebibytes may be a sample."""
        texts = ["x" * 3_000_000, "y", "\u00e9" * 2_000_000]

        assert values("jsonl", lines(*({"images": text} for text in texts)), tmp_path, dtype="str") == texts

    def test_many_lines_are_numbered_as_in_an_editor(self, tmp_path: Path) -> None:
        """Over all of the pieces in which a file is read."""
        data = lines(*({"images": n, "text": "x" * (n % 97)} for n in range(50_000)))

        assert values("jsonl", data, tmp_path, 50_000).tolist() == list(range(50_000))
        assert refusal("jsonl", data + "{}\n", tmp_path, 60_000).startswith("line 50,001 has nothing at 'images'")


@pytest.mark.parametrize(
    ("options", "where", "says"),
    [
        ({"records": "data..x"}, ("records",), NO_KEY),
        ({"records": "d", "parents": {"imags": "d"}}, ("parents", "imags"), NO_FIELD),
        ({"parents": {"images": "x"}}, ("parents",), "records have no parents without the option records"),
        ({"records": "data", "parents": {"images": []}}, ("parents", "images"), NO_KEY),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_options_are_checked_with_the_manifest(form: str, options: dict[str, Any], where: Any, says: str) -> None:
    """Before anything is downloaded."""
    assert list(formats.of(form).check(options, ["images"], ["train"])) == [(where, says)]
