"""svmlight: the values are scikit-learn's, and what it would misread is refused by line."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.helpers.add_world import add
from tests.helpers.format_writers import (
    CLASSES,
    column,
    gzip_bomb,
    member,
    memory_below,
    put,
    read,
    split,
    tarred,
    zipped,
)
from tests.helpers.yardstick import soon
from tinytorch_datasets import formats, get, load_manifest
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.formats import Certainty

HEART = "heart_scale"


@pytest.fixture
def sklearn() -> Any:
    """The reader and the writer to compare with."""
    return pytest.importorskip("sklearn.datasets", reason="compares with scikit-learn")


def decode(
    file: Path, samples: int, shape: tuple[int, ...], *, dtype: str = "float64", qid: bool = False, **options: Any
) -> dict[str, Any]:
    """Features, labels, and queries if asked for."""
    columns = [
        column(file, "features", samples=samples, shape=shape, dtype=dtype),
        column(file, "labels", samples=samples, dtype="float64"),
    ]
    columns += [column(file, "qid", samples=samples, dtype="int64")] if qid else []
    return read("svmlight", split(*columns), **options)


def written(sklearn: Any, features: np.ndarray, labels: np.ndarray, **more: Any) -> bytes:
    """What scikit-learn writes."""
    out = io.BytesIO()
    sklearn.dump_svmlight_file(features, labels, out, **more)
    return out.getvalue()


def random_rows(seed: int, samples: int = 300, features: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Sparse numbers of all magnitudes, and labels."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(samples, features)) * 10.0 ** rng.integers(-300, 300, (samples, features))
    values[rng.random((samples, features)) < 0.7] = 0
    return values, rng.integers(-1, 2, samples).astype(np.float64)


class TestValues:
    """Equal to those of scikit-learn's reader."""

    @pytest.mark.parametrize("name", [HEART, "svmlight_classification.txt"])
    def test_real_files(self, sklearn: Any, realdata: Path, name: str) -> None:
        """LIBSVM's heart data; and a file with remarks, a tab, explicit zeros and a line without pairs."""
        file = realdata / "formats" / "svmlight" / name
        features, labels = sklearn.load_svmlight_file(str(file), zero_based=False)

        found = decode(file, len(labels), features.shape[1:])

        np.testing.assert_array_equal(found["train.features"], features.toarray(), strict=True)
        np.testing.assert_array_equal(found["train.labels"], labels, strict=True)

    @pytest.mark.parametrize("zero_based", [False, True])
    @pytest.mark.parametrize("comment", [None, "caf\u00e9: a remark\nof two lines"])
    def test_every_double_survives(self, sklearn: Any, tmp_path: Path, zero_based: bool, comment: str | None) -> None:
        """Of every magnitude, in files that count from 0 and from 1; and the queries of ranking data."""
        features, labels = random_rows(0)
        qid = np.arange(len(labels)) // 7
        data = written(sklearn, features, labels, zero_based=zero_based, comment=comment, query_id=qid)
        file = put(tmp_path / "file", data)
        expected, _, queries = sklearn.load_svmlight_file(
            str(file), query_id=True, zero_based=zero_based, n_features=40
        )

        found = decode(file, 300, (40,), qid=True, index_from=0 if zero_based else 1)

        np.testing.assert_array_equal(found["train.features"], expected.toarray(), strict=True)
        np.testing.assert_allclose(found["train.features"], features, rtol=1e-14)  # of 16 digits
        np.testing.assert_array_equal(found["train.labels"], labels, strict=True)
        np.testing.assert_array_equal(found["train.qid"], queries, strict=True)

    @pytest.mark.parametrize("spoiler", ["", "# \t1:2 # 3\n", "\n  \n", "5\x0b1:2\n", "7 qid:3\n", "\ufeff\ufeff# a\n"])
    def test_lines_that_are_read_alone_give_the_same(self, sklearn: Any, tmp_path: Path, spoiler: str) -> None:
        """Whether a block of lines is read at once or line by line."""
        features, labels = random_rows(1)
        text = spoiler.replace("\ufeff\ufeff", "") + written(sklearn, features, labels, zero_based=False).decode()
        file = put(tmp_path / "file", text)
        expected, targets = sklearn.load_svmlight_file(str(file), zero_based=False, n_features=40)

        found = decode(file, len(targets), (40,))

        np.testing.assert_array_equal(found["train.features"], expected.toarray())
        np.testing.assert_array_equal(found["train.labels"], targets)

    def test_damaged_lines_are_refused_alike(self, tmp_path: Path) -> None:
        """However lines are read: a vertical tab, which is a blank, lets each be looked at alone."""
        rng = random.Random(0)
        sound = "+1 1:0.5 3:1\n-1 2:.25 # a\n\n7\n", "1 qid:1 1:1\n2 qid:1 1:2\n", "1 1:1 2:2 3:3.e-1\n"
        refused = 0
        for _ in range(300):
            text = list(rng.choice(sound))
            for _ in range(rng.randint(1, 3)):
                text[rng.randrange(len(text))] = rng.choice(["", *"0123456789:+-.eE \t\n#q"])
            outcomes = [self.outcome(put(tmp_path / "file", "".join(text) + end)) for end in ("\n", "\n\x0b\n")]
            assert outcomes[0] == outcomes[1], text
            refused += isinstance(outcomes[0], str)
        assert 30 < refused < 270  # some of each

    @staticmethod
    def outcome(file: Path) -> object:
        """The values as bytes, or the reason of the refusal."""
        try:
            return {name: values.tobytes() for name, values in decode(file, 9, (3,)).items()}
        except DecodeError as error:
            return error.reason

    @pytest.mark.parametrize("end", ["\r\n", "\r"])
    def test_other_ends_of_lines_and_a_bom(self, tmp_path: Path, end: str) -> None:
        """As editors write them."""
        file = put(tmp_path / "file", "\ufeff" + end.join(["1 1:2 3:.5", "# remark", "", "-1 2:1."]))

        found = decode(file, 2, (3,))

        assert found["train.features"].tolist() == [[2, 0, 0.5], [0, 1, 0]]
        assert found["train.labels"].tolist() == [1, -1]

    def test_a_sample_may_be_a_picture(self, tmp_path: Path) -> None:
        """The values of a row fill its declared shape, the last axis fastest."""
        file = put(tmp_path / "file", "3 2:255 4:7\n")

        found = decode(file, 1, (2, 2), dtype="uint8")

        np.testing.assert_array_equal(found["train.features"], np.array([[[0, 255], [0, 7]]], "u1"), strict=True)

    def test_labels_of_classes_are_given_as_stored(self, tmp_path: Path) -> None:
        """What a class's number is, the declaration says."""
        file = put(tmp_path / "file", "+1 1:1\n-1 1:1\n2.0 1:1\n")
        labels = column(file, "kind", key="labels", dtype="int64", classes=CLASSES)

        assert read("svmlight", split(labels))["train.kind"].tolist() == [1, -1, 2]

    def test_short_lines_of_long_rows_come_in_bounded_blocks(self, tmp_path: Path) -> None:
        """A hundred thousand features a line of one pair: dense, that is 160 MB."""
        file = put(tmp_path / "file", "1 100000:2\n" * 200)
        features = column(file, "features", samples=200, shape=(100_000,), dtype="float64")
        sums = []

        with memory_below(40):
            for block in formats.of("svmlight").decode([split(features)]):
                assert isinstance(block.values, np.ndarray)
                sums.append(block.values.sum())

        assert sum(sums) == 400


FEATURES: dict[str, Any] = {"shape": (3,), "dtype": "float64"}


class Case(NamedTuple):
    """One hostile file of three features a row, the reason of its refusal, and the harmless twin."""

    hostile: bytes | str | Callable[[], bytes]
    reason: str | Callable[[int], str]
    twin: bytes | str
    error: type[DecodeError] = DecodeError
    declared: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}
    hint: str | None = None
    form: str = "svmlight"


COUNT = "If the file counts from 0, declare it: options: {index_from: 0}."
SEVERAL = "A sample has one label here: write an entry of another format for such data."
LABEL: dict[str, Any] = {"key": "labels", "shape": ()}
QUERY: dict[str, Any] = {"key": "qid", "shape": (), "dtype": "int64"}

CASES = {
    "an index of 0": Case("1 1:1\n1 0:1\n", "line 2: index 0, and indices count from 1", "1 1:1\n1 1:1\n", hint=COUNT),
    "an index beyond": Case(
        "1 1:1\n\n1 2:1 4:1\n",
        "line 3: index '4' is beyond the last of train.images, which is 3",
        "1 1:1\n\n1 2:1 3:1\n",
        ContentError,
    ),
    "an index beyond, from 0": Case(
        "1 3:1\n",
        "line 1: index '3' is beyond the last of train.images, which is 2",
        "1 0:1 2:1\n",
        ContentError,
        options={"index_from": 0},
    ),
    "a billion columns": Case(
        "1 1000000000:1\n",
        "line 1: index '1000000000' is beyond the last of train.images, which is 3",
        "1 0000000003:1\n",
        ContentError,
    ),
    "an index of five thousand digits": Case(
        f"1 {'9' * 5000}:1\n",
        f"line 1: index '{'9' * 40}...' is beyond the last of train.images, which is 3",
        "1 3:1\n",
        ContentError,
    ),
    "an index twice": Case("1 2:1 2:1\n", "line 1: index 2 is there twice; the indices of a line increase", "1 2:1\n"),
    "indices out of order": Case(
        "1 2:1 1:1\n", "line 1: index 1 follows 2; the indices of a line increase", "1 1:1 2:1\n"
    ),
    "an index with a point": Case("1 1.0:1\n", "line 1: the index '1.0' in '1.0:1' is not a whole number", "1 1:1.0\n"),
    "an index with a sign": Case("1 -1:1\n", "line 1: the index '-1' in '-1:1' is not a whole number", "-1 1:-1\n"),
    "an index in another notation": Case(
        "1 1e0:1\n", "line 1: the index '1e0' in '1e0:1' is not a whole number", "1 1:1e0\n"
    ),
    "no index": Case("1 :1\n", "line 1: the index '' in ':1' is not a whole number", "1 1:1\n"),
    "no value": Case("1 1: 2:1\n", "line 1: '' is not a number", "1 1:0 2:1\n"),
    "two colons": Case("1 1:2:3\n", "line 1: '2:3' is not a number", "1 1:2\n"),
    "a word without a colon": Case("1 1:2 3\n", "line 1: '3' is no pair of an index and a value", "1 1:2 3:3\n"),
    "a colon that moved": Case("1 1:2: 3\n", "line 1: '2:' is not a number", "1 1:2 3:0\n"),
    "two numbers in one": Case("1 1:1-2\n", "line 1: '1-2' is not a number", "1 1:1e-2\n"),
    "a number that breaks off": Case("1 1:2.e-\n", "line 1: '2.e-' is not a number", "1 1:2.e-0\n"),
    "a point alone": Case("1 1:.\n", "line 1: '.' is not a number", "1 1:0.\n"),
    "no label": Case("1 1:1\n 1:1\n", "line 2: it begins with '1:1', where its label should be", "1 1:1\n 1 1:1\n"),
    "several labels": Case(
        "1,2 1:1\n", "line 1: its label '1,2' is several, and a sample has one", "1.2 1:1\n", hint=SEVERAL
    ),
    "a label that is a word": Case("yes 1:1\n", "line 1: 'yes' is not a number", "1 1:1 # yes\n", declared=LABEL),
    "nan": Case("1 1:nan\n", "line 1: 'nan' is not a number", "1 1:0\n"),
    "inf": Case("1 1:-inf\n", "line 1: '-inf' is not a number", "1 1:-1e300\n"),
    "a number beyond doubles": Case("1 1:1e999\n", "line 1: '1e999' is more than a double can hold", "1 1:1e308\n"),
    "a hexadecimal number": Case("1 1:0x1p3\n", "line 1: '0x1p3' is not a number", "1 1:8\n"),
    "an underscore": Case("1 1:1_0\n", "line 1: '1_0' is not a number", "1 1:10\n"),
    "a number beyond float32": Case(
        "1 1:1\n1 1:1 3:1e39\n",
        "line 2: 1e+39 is more than float32 can hold",
        "1 1:1\n1 1:1 3:1e38\n",
        ContentError,
        {"dtype": "float32"},
    ),
    "a fraction": Case(
        "1 1:1\n1 2:3.5\n",
        "line 2: 3.5 is not a whole number",
        "1 1:1\n1 2:3.0\n",
        ContentError,
        {"dtype": "uint8"},
    ),
    "more than the dtype can hold": Case(
        "1 1:1\n1 2:256\n",
        "line 2: 256 is outside 0 to 255, what uint8 can hold",
        "1 1:1\n1 2:255\n",
        ContentError,
        {"dtype": "uint8"},
    ),
    "a whole number that doubles do not have": Case(
        "1 1:9007199254740993\n",
        "line 1: 9.0072e+15 is a number that a double may not hold exactly, and int64 must",
        "1 1:9007199254740991\n",
        ContentError,
        {"dtype": "int64"},
    ),
    "no query": Case("1 qid:1 1:1\n1 1:1\n", "line 2: it has no qid behind its label", "1 qid:1\n", declared=QUERY),
    "a query that is none": Case(
        "1 qid:one 1:1\n", "line 1: 'qid:one' is no number of a query", "1 qid:1 1:1\n", declared=QUERY
    ),
    "a query at the end": Case(
        "1 1:1 qid:1\n", "line 1: the index 'qid' in 'qid:1' is not a whole number", "1 qid:1 1:1\n"
    ),
    "more rows than declared": Case(
        "1 1:1\n" * 4, "it has more rows than the 3 that train declares (line 4)", "1 1:1\n" * 3, ContentError
    ),
    "nothing but remarks": Case("# a\n\n", "it has no line with a label", "# a\n\n1\n"),
    "a NUL": Case("1 1:1\0\n", "line 1: '1\\x00' is not a number", "1 1:1\n"),
    "UTF-16": Case("1 1:1\n".encode("utf-16"), "line 1: '\\\\xff\\\\xfe1\\x00' is not a number", "1 1:1\n"),
    "a carriage return inside": Case("1 1:1\r2 1:1x\n", "line 1: '2' is no pair of an index and a value", "1 1:1\r\n"),
    "a line of 2 MiB": Case(
        b"1 " + b"1:1 " * (1 << 19), "line 1 has more than 1,048,672 bytes in one line", b"1 1:1" + b" " * (1 << 20)
    ),
    "64 MiB of line ends": Case(
        lambda: gzip_bomb(b"\n", 64 << 20),
        lambda size: (
            f"more than {32 * size + (1 << 20):,} bytes come out of it, but the file has {size:,} "
            "and its declared numbers take 72"
        ),
        "\n1 1:1\n",
        ContentError,
    ),
    "64 MiB of remarks": Case(
        lambda: gzip_bomb(b"#\n", 32 << 20),
        lambda size: (
            f"more than {32 * size + (1 << 20):,} bytes come out of it, but the file has {size:,} "
            "and its declared numbers take 72"
        ),
        "#\n1 1:1\n",
        ContentError,
    ),
    "a field of no such key": Case(
        "1 1:1\n",
        "this format has no field 'label'; did you mean 'labels'?",
        "1 1:1\n",
        declared={"key": "label"},
        hint="There are: features, labels, qid.",
    ),
    "labels of a shape": Case(
        "1 1:1\n",
        "train.images has the shape (3,), and labels is one number a sample",
        "1 1:1\n",
        ContentError,
        {"key": "labels"},
    ),
    "features of any shape": Case(
        "1 1:1\n",
        "train.images has the shape (None,), and features are the same for each sample",
        "1 1:1\n",
        ContentError,
        {"shape": (None,)},
    ),
    "text": Case(
        "1 1:1\n",
        "train.images is declared as str, and labels are numbers of each sample",
        "1 1:1\n",
        ContentError,
        {"key": "labels", "dtype": "str", "shape": ()},
    ),
}
# What is wrong with the declaration has its twin in a sound one.
SOUND: dict[str, dict[str, Any]] = {
    "a field of no such key": {"key": "labels", "shape": ()},
    "labels of a shape": {"key": "labels", "shape": ()},
    "features of any shape": {},
    "text": {"key": "labels", "shape": ()},
}

CASES = {f"svmlight, {name}": case for name, case in CASES.items()}
every = pytest.mark.parametrize("name", CASES)


def decode_case(folder: Path, data: bytes | str, declared: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """What the format makes of the one field `images` of at most three samples."""
    file = put(folder / "file", data)
    return read("svmlight", split(column(file, **{"key": "features", **FEATURES, **declared})), **options)


@every
def test_the_hostile_one_is_refused(name: str, tmp_path: Path) -> None:
    """In these words, by this class, soon, and in little memory."""
    case = CASES[name]
    data = case.hostile() if callable(case.hostile) else case.hostile

    with soon(clock=time.perf_counter), pytest.raises(DecodeError) as caught, memory_below(48):
        decode_case(tmp_path, data, case.declared, case.options)

    assert caught.value.reason == (case.reason(len(data)) if callable(case.reason) else case.reason)
    assert (type(caught.value), caught.value.hint) == (case.error, case.hint)


@every
def test_its_harmless_twin_is_read(name: str, tmp_path: Path) -> None:
    """So that refusing is not just being broken."""
    case = CASES[name]

    found = decode_case(tmp_path, case.twin, SOUND.get(name.partition(", ")[2], case.declared), case.options)

    assert len(found["train.images"])


def test_the_first_index_is_0_or_1(tmp_path: Path) -> None:
    """The manifest's check says so, before anything is fetched."""
    problems = list(formats.of("svmlight").check({"index_from": 2}, (), ()))

    assert problems == [(("index_from",), "must be 0 or 1, is 2")]


@pytest.mark.parametrize("pack", [lambda data: zipped({"a/b.svm": data}), lambda data: tarred(member("a/b.svm", data))])
def test_a_member_of_an_archive(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Compressed itself or not; an error names it."""
    for data in (b"1 1:2\n", gzip.compress(b"1 1:2\n")):
        labels = column(put(tmp_path / "file", pack(data)), "labels", samples=1, dtype="float64", member=("a/b.svm",))
        assert read("svmlight", split(labels))["train.labels"].tolist() == [1]

    put(tmp_path / "file", pack(b"1 2:2 1:1\n"))
    with pytest.raises(DecodeError) as caught:
        read("svmlight", split(labels))
    reason = "member 'a/b.svm': line 1: index 1 follows 2; the indices of a line increase"
    assert caught.value.reason == reason


class TestDetection:
    """`add` recognizes rows of pairs, and asks where they may be something else."""

    @pytest.mark.parametrize(
        ("text", "certainty"),
        [
            ("+1 1:0.5 3:1\n-1 2:0.25\n", Certainty.CERTAIN),
            ("2 qid:1 1:0.5 2:1 # a\n1 qid:1 1:0.25\n", Certainty.CERTAIN),
            ("# a remark\n\n1 1:2 2:3", Certainty.CERTAIN),
            ("7 12:30\n8 13:45\n", Certainty.LIKELY),  # or times of day
            ("1\n2\n", None),
            ("1 2:3 4\n", None),
            ("12:30\n13:45\n", None),
            ("To be: or not 1:2 to be.\n", None),
            ("1,2,3\n4,5,6\n", None),
        ],
    )
    def test_by_its_lines(self, tmp_path: Path, text: str, certainty: Certainty | None) -> None:
        """All of them, and never by the name."""
        detection = formats.of("svmlight").detect(text.encode(), tmp_path / "data.txt")

        assert (detection and detection.certainty) == certainty

    def test_a_real_file_is_added(self, sklearn: Any, manifest: Path, realdata: Path) -> None:
        """Its two labels are its classes, with the numbers that stand for them in the file."""
        file = realdata / "formats" / "svmlight" / HEART

        added = add(manifest, file, "--ship", "--name", "heart")

        assert added.exit_code == 0, added.output
        entry = load_manifest(manifest).datasets["heart"]
        assert (entry.format, entry.options) == ("svmlight", {})
        features, labels = sklearn.load_svmlight_file(str(file))
        data = get("heart", manifest=manifest, offline=True)
        np.testing.assert_array_equal(data.train.features, features.toarray())
        assert entry.fields["labels"].values == (-1, 1)
        assert data.classes is not None
        assert [int(data.classes[label]) for label in data.train.labels] == labels.tolist()

    def test_a_real_file_of_several_labels_is_refused_by_name(self, manifest: Path, realdata: Path) -> None:
        """With the line, though one of its lines has no label at all."""
        file = realdata / "formats" / "svmlight" / "svmlight_multilabel.txt"

        added = add(manifest, file, "--ship", "--name", "mine")

        assert added.exit_code == 1
        assert "line 2: its label '1,0' is several, and a sample has one\n" in added.stderr

    def test_compressed_files_that_count_from_0(self, manifest: Path, tmp_path: Path) -> None:
        """An index of 0 is what says so; each file may lack the last features."""
        (tmp_path / "made").mkdir()
        put(tmp_path / "made" / "train.svm.bz2", bz2.compress(b"0.5 0:1 4:2\n1.5 1:3\n"))
        put(tmp_path / "made" / "test.svm.bz2", bz2.compress(b"0.25 0:1 2:2\n"))

        added = add(manifest, tmp_path / "made", "--ship", "--name", "mine")

        assert added.exit_code == 0, added.output
        assert load_manifest(manifest).datasets["mine"].options == {"index_from": 0}
        data = get("mine", manifest=manifest, offline=True)
        assert data.train.features.tolist() == [[1, 0, 0, 0, 2], [0, 3, 0, 0, 0]]
        assert data.test.features.tolist() == [[1, 0, 2, 0, 0]]
        assert data.test.labels.tolist() == [0.25]

    @pytest.mark.parametrize(
        ("train", "test", "classes", "values", "first"),
        [
            ("124", "4", None, (), None),
            ("1" * 9 + "4" * 9, "1", ("1", "4"), (1, 4), None),
            ("0101", "1", ("0", "1"), (), None),
            ("12121", "3", ("1", "2", "3"), (), 1),
        ],
    )
    def test_labels_of_several_files(
        self, manifest: Path, tmp_path: Path, train: str, test: str, classes: object, values: object, first: object
    ) -> None:
        """They are classes by the rule for columns of tables, of all files together."""
        texts = {name: "".join(f"{label} 1:1 2:2\n" for label in of) for name, of in (("train", train), ("test", test))}
        (tmp_path / "made").mkdir()
        files = [put(tmp_path / "made" / f"{name}.svm", text) for name, text in texts.items()]

        added = add(manifest, *files, "--ship", "--name", "mine")

        assert added.exit_code == 0, added.output
        labels = load_manifest(manifest).datasets["mine"].fields["labels"]
        assert (labels.classes, labels.values, labels.first) == (classes, values, first)
        data = get("mine", manifest=manifest, offline=True)
        stored = [int(classes[label]) if isinstance(classes, tuple) else label for label in data.train.labels]
        assert stored == list(map(int, train))

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("1,2 1:1 2:3\n", "line 1: its label '1,2' is several, and a sample has one"),
            (
                "1 1:1 9000000000:1\n",
                "it has 9,000,000,000 features of 1 samples, more than can be an array with all its zeros",
            ),
            ("1 1:1 2:3\n" * 20_000 + "1 1:nan\n", "line 20,001: 'nan' is not a number"),
            ("1 1:1\n1 0:1\n1 3:1 2:1\n", "line 3: index 2 follows 3; the indices of a line increase"),
        ],
    )
    def test_what_is_refused(self, manifest: Path, tmp_path: Path, text: str, reason: str) -> None:
        """By name, and nothing is written."""
        before = manifest.read_bytes()

        added = add(manifest, put(tmp_path / "data.svm", text), "--ship", "--name", "mine")

        assert (added.exit_code, manifest.read_bytes()) == (1, before)
        assert reason in added.stderr
