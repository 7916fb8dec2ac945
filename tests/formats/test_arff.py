"""ARFF: real files as others read them, and every way to write a name, a value and a row."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import arff as liac  # type: ignore[import-untyped]
import numpy as np
import pytest
from scipy.io import arff as scipy_arff

from tests.helpers.format_writers import column, put, read, split
from tinytorch_datasets import formats
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import FileInfo

REAL = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats" / "arff"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")


def strings(data: str | bytes, path: Path, key: str = "s", **options: Any) -> list[str]:
    """The texts of one attribute."""
    texts = column(put(path / "data", data), samples=9, dtype="str", key=key)
    found: list[str] = read("arff", split(texts), **options)["train.images"]
    return found


@real
@pytest.mark.parametrize(("name", "samples"), [("iris.arff", 150), ("vote.arff", 435), ("anneal.arff.gz", 11)])
def test_real_files_are_as_liac_arff_reads_them(name: str, samples: int) -> None:
    """Every attribute, as OpenML's own reader has it: NaN for a ? among numbers, and a ? as it is among words."""
    data = (REAL / name).read_bytes()
    expected = liac.loads((gzip.decompress(data) if name.endswith(".gz") else data).decode())
    rows, attributes = expected["data"], expected["attributes"]
    assert len(rows) == samples
    columns = []
    for i, (attribute, kind) in enumerate(attributes):
        declared: dict[str, Any] = {"dtype": "str"} if isinstance(kind, list) else {"dtype": "float64"}
        missing = () if isinstance(kind, list) else ("?",)
        columns.append(column(REAL / name, f"f{i}", samples=samples, key=attribute, missing=missing, **declared))

    found = read("arff", split(*columns))

    for i, (attribute, kind) in enumerate(attributes):
        values = [row[i] for row in rows]
        if isinstance(kind, list):
            assert found[f"train.f{i}"] == ["?" if value is None else value for value in values], attribute
        else:
            np.testing.assert_array_equal(found[f"train.f{i}"], np.array(values, float))


@real
@pytest.mark.parametrize("name", ["iris.arff", "vote.arff"])
def test_real_files_are_as_scipy_reads_them(name: str) -> None:
    """SciPy, too, keeps a ? among words. (It does not read the third file, whose header has blanks after words.)"""
    expected, meta = scipy_arff.loadarff(REAL / name)
    texts = [key for key in meta.names() if meta[key][0] == "nominal"]
    columns = [column(REAL / name, f"f{i}", samples=len(expected), dtype="str", key=key) for i, key in enumerate(texts)]

    found = read("arff", split(*columns))

    assert found == {f"train.f{i}": [value.decode() for value in expected[key]] for i, key in enumerate(texts)}


@real
def test_labels_are_in_the_order_of_the_header() -> None:
    """Fifty of each species, one after the other; the numbers are what is left."""
    classes = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")
    file = REAL / "iris.arff"
    labels = column(file, "labels", samples=150, dtype="int64", key="class", classes=classes)
    features = column(file, "features", samples=150, dtype="float32", shape=(4,))

    found = read("arff", split(labels, features))

    assert found["train.labels"].tolist() == [0] * 50 + [1] * 50 + [2] * 50
    assert found["train.features"][0].tolist() == np.array([5.1, 3.5, 1.4, 0.2], "f4").tolist()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a,1", "a"),
        ("  a b \t, 1", "a b"),
        ("a 1", "a"),
        ("a\t1", "a"),
        ("'a, b',1", "a, b"),
        ('"it\'s" 1', "it's"),
        (r"'it\'s \\ \n \t \" \% \u00e9',1", "it's \\ \n \t \" % \u00e9"),
        ("'50 %',1", "50 %"),
        ("'',1", ""),
        ("?,1", "?"),
        (r"a\b,1", r"a\b"),
    ],
)
def test_a_value(written: str, expected: str, tmp_path: Path) -> None:
    """Between commas or blanks, quoted in either way, with Weka's escapes."""
    data = f"@relation r\n@attribute s string\n@attribute x real\n@data\n{written}\n"

    assert strings(data, tmp_path) == [expected]


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("@attribute s string", "s"),
        ("  @ATTRIBUTE\ts\tString", "s"),
        ("@attribute 'a b' string", "a b"),
        (r"@attribute 'it\'s' DATE 'yyyy-MM-dd'", "it's"),
        ("@attribute s{x,'y z', \"w}\"}", "s"),
        ("@attribute 5%.a string", "5%.a"),
    ],
)
def test_a_name_and_its_type(declared: str, name: str, tmp_path: Path) -> None:
    """Names may be quoted, keywords are of any case, dates are text."""
    value = "w}" if "{" in declared else "2001-04-05"
    data = f"% remark\n\n@relation 'r r'\n{declared}\n@attribute x real\n@data\n% remark\n\n'{value}', 5\n"

    assert strings(data, tmp_path, key=name) == [value]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines_and_encodings(end: str, tmp_path: Path) -> None:
    """As csv has them."""
    text = end.join(["@relation r", "@attribute s string", "@data", "'caf\u00e9'", "x"]) + end

    assert strings(b"\xef\xbb\xbf" + text.encode(), tmp_path) == ["caf\u00e9", "x"]
    assert strings(text.encode("latin-1"), tmp_path, encoding="latin-1") == ["caf\u00e9", "x"]


def test_an_encoding_of_no_kind_is_refused_with_the_manifest() -> None:
    """Before anything is downloaded."""
    problems = list(formats.of("arff").check({"encoding": "utf8000"}, [], []))

    assert problems == [(("encoding",), "no encoding of text is called 'utf8000'")]


def test_what_to_declare_for_a_missing_number(tmp_path: Path) -> None:
    """A ? is never silently something."""
    file = put(tmp_path / "data", "@relation r\n@attribute images real\n@data\n?\n2\n")

    with pytest.raises(DecodeError) as caught:
        read("arff", split(column(file, dtype="float64")))

    assert caught.value.hint == "If it means a missing value, declare `missing: ['?']` for images."
    found = read("arff", split(column(file, dtype="int64", missing=("?",), missing_value=-1)))
    assert found["train.images"].tolist() == [-1, 2]


class TestInspection:
    """What `add` takes from the header, and from the rows."""

    @staticmethod
    def inspect(data: str, path: Path) -> FileInfo:
        """What a file holds."""
        file = put(path / "data", data)
        detection = formats.of("arff").detect(file.read_bytes(), file)
        assert detection is not None
        return detection.inspect()

    def test_whole_numbers_labels_texts_and_gaps(self, tmp_path: Path) -> None:
        """Nominal attributes are labels in the order of the header, unless a value is missing."""
        head = "@relation r\n@attribute a real\n@attribute b real\n@attribute k {y, n}\n@attribute l {y, n}\n"

        info = self.inspect(head + "@attribute none real\n@data\n1,0.5,n,y,?\n2,?,n,?,?\n", tmp_path)

        assert [(a.key, a.dtype, a.classes, a.missing) for a in info.arrays] == [
            ("a", "int64", None, ()),
            ("b", "float64", None, ("?",)),
            ("k", "int64", ("y", "n"), ()),
            ("l", "str", None, ()),
        ]
        assert info.arrays[3].note == "text: '?' in 1 of 2 rows is a missing value"
        assert info.left_out == ("'none': has no value in any row",)

    def test_a_number_that_is_none(self, tmp_path: Path) -> None:
        """The header says numeric: no text is made of it."""
        with pytest.raises(DecodeError) as caught:
            self.inspect("@relation r\n@attribute a real\n@data\n1\nx\n", tmp_path)

        assert caught.value.reason == "line 5, column 1 ('a'): 'x' is not a number, which the header says it is"
