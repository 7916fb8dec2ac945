"""Real files of every kind that data comes in: what `add` makes of each is what its own reader reads.

Each is added with the options that a person would need for it, and no word more.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.add.test_public_tables import same_as_pandas
from tests.helpers.add_world import add
from tinytorch_datasets import Dataset, get, load_manifest

pytest.importorskip("pandas", reason="compares with pandas")

REAL = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats"
pytestmark = [pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files"), pytest.mark.slow]


class Case(NamedTuple):
    """A table, the options that it needs, and what it is then: fields and classes."""

    file: str
    options: str
    fields: tuple[str, ...]
    classes: tuple[str, ...] | None = None


DIGITS = tuple("0123456789")
TABLES = (
    Case("ag_news_test.csv", "--option header=false --target 0", ("text_1", "text_2", "labels"), tuple("1234")),
    Case("auto-mpg.data", "--target mpg", ("features", "car_name", "mpg")),
    Case("breast-cancer-wisconsin.data", "--target -1 --drop 0", ("features", "labels"), ("2", "4")),
    Case("diabetes_data_raw.csv.gz", "", ("features",)),
    Case("diabetes_target.csv.gz", "", ("numbers",)),
    Case(
        "ecoli.data",
        "--target -1",
        ("features", "texts", "labels"),
        ("cp", "im", "imL", "imS", "imU", "om", "omL", "pp"),
    ),
    Case("emotions_val.txt", "", ("sentence", "labels"), ("anger", "fear", "joy", "love", "sadness", "surprise")),
    Case(
        "gdp_per_capita.csv",
        "--option encoding=latin-1 --option skip_last_lines=2",
        (
            "country",
            "subject_descriptor",
            "units",
            "scale",
            "country_series_specific_notes",
            "column_2015",
            "estimates_start_after",
        ),
    ),
    Case("horse-colic.data", "--target 23", ("features", "text_24", "text_25", "text_26", "labels"), ("1", "2")),
    Case("housing.data", "--target -1", ("features", "targets")),
    Case("linnerud_exercise.csv", "--target 0-2", ("targets",)),
    Case("linnerud_physiological.csv", "--target Waist", ("features", "waist")),
    Case(
        "penguins_size.csv",
        "",
        ("features", "individual_id", "island", "sex", "labels"),
        ("Adelie", "Chinstrap", "Gentoo"),
    ),
    Case("seeds_dataset.txt", "--target -1", ("features", "labels"), ("1", "2", "3")),
    Case(
        "semeion.data",
        "--option skip_lines=17 --option header=false --target 256-265 --drop 266",
        ("features", "labels"),
        DIGITS,
    ),
    Case(
        "titanic_train.csv",
        "--target Survived --drop PassengerId",
        ("features", "name_", "sex", "ticket", "cabin", "embarked", "labels"),
        ("0", "1"),
    ),
    Case(
        "wine_data.csv", "--option skip_lines=1 --option header=false --target -1", ("features", "labels"), tuple("012")
    ),
)


def added(manifest: Path, file: str, *options: str) -> Dataset:
    """What `get` returns of a file that was added."""
    result = add(manifest, REAL / file, "--ship", "--name", "mine", *options)
    assert result.exit_code == 0, result.output
    return get("mine", manifest=manifest, offline=True)


@pytest.mark.parametrize("case", TABLES, ids=[case.file for case in TABLES])
def test_a_table(manifest: Path, case: Case) -> None:
    """Every value is pandas', numbers, text and classes."""
    got = added(manifest, f"tables/{case.file}", *case.options.split())
    entry = load_manifest(manifest).datasets["mine"]
    (split,) = (getattr(got, name) for name in entry.splits)

    assert (split.fields, got.classes) == (case.fields, case.classes)
    same_as_pandas(REAL / "tables" / case.file, entry, split)


def test_splits_of_one_table(manifest: Path) -> None:
    """Keras divides its housing data so: 404 and 102 rows, in the order of its default seed."""
    rows = ("--rows", "train=0:404", "--rows", "test=404:506", "--shuffle", "113")
    got = added(manifest, "tables/housing.data", "--target", "-1", *rows)
    expected = np.loadtxt(REAL / "tables" / "housing.data")
    order = np.arange(len(expected))
    np.random.RandomState(113).shuffle(order)

    np.testing.assert_array_equal(got.train.features, expected[order[:404], :13])
    np.testing.assert_array_equal(got.test.targets, expected[order[404:], 13])


@pytest.mark.parametrize(
    ("file", "options", "reason", "hint"),
    [
        (
            "tables/flowers.xlsx",
            "",
            "it is an Excel workbook, which no format reads",
            "Save it as CSV, one file for each sheet.",
        ),
        (
            "tables/german.data-numeric",
            "",
            "line 20 has another number of cells than the first row: 24, and not 25",
            "A cell that has a ',' in it stands between quotes.",
        ),
        (
            "tables/wine_data.csv",
            "",
            "the first row has 5 cells, and each of the 178 rows below it has 14",
            "If it is no part of the table, pass over: --option skip_lines=1 --option header=false.",
        ),
        (
            "tables/semeion.data",
            "",
            "the first 17 rows have not all 267 cells, and each of the 1,592 rows below has 267",
            "If they are no part of the table, pass over: --option skip_lines=17 --option header=false.",
        ),
        (
            "tables/gdp_per_capita.csv",
            "",
            "its format is not recognized: it is text that is not in UTF-8",
            "Save it as UTF-8; or say what it is: --option encoding=latin-1, cp1252 or another.",
        ),
        (
            "tables/gdp_per_capita.csv",
            "--option encoding=latin-1",
            "line 191 is empty",
            "If the table ends above, pass over what is below: --option skip_last_lines=2.",
        ),
        (
            "tables/horse-colic.data",
            "--target 22",
            "column 23 is the target, and has '?' in 1 of 300 rows, where a value is missing",
            "Take those rows out, or choose another --target.",
        ),
        (
            "texts/names.txt",
            "",
            "it is not certain what its samples are: all of it is one text, or each line is one",
            "To have it as one text: --format text. For one a line: --option unit=lines.",
        ),
        (
            "svmlight/svmlight_multilabel.txt",
            "",
            "line 2: its label '1,0' is several, and a sample has one",
            "A sample has one label here: write an entry of another format for such data.",
        ),
        (
            "mat/setid.mat",
            "",
            "it has positions of samples in splits, and nothing that they are of",
            "Declare them in the entry of the samples: rows: {file: setid.mat, key: trnid, first: 1}.",
        ),
        (
            "mat/imagelabels.mat",
            "",
            "it has labels, and nothing that they are of",
            "Add the files of the inputs too; or declare them in the entry of the inputs: "
            "`labels: {file: imagelabels.mat, format: mat, key: labels}`.",
        ),
        (
            "mat/olivettifaces.mat",
            "",
            "which axis of 'faces' (4096, 400) counts the samples is not certain: the first, of 4,096, or the last, of "
            "400",
            "Say which: --samples first, or --samples last.",
        ),
        (
            "arrays/kmnist-test-labels.npz",
            "",
            "it has labels, and nothing that they are of",
            "Add the files of the inputs too; or declare them in the entry of the inputs: "
            "`labels: {file: kmnist-test-labels.npz, format: npz, key: arr_0}`.",
        ),
        (
            "arrays/cifar10.1_v4_labels.npy",
            "",
            "it has labels, and nothing that they are of",
            "Add the files of the inputs too; or declare them in the entry of the inputs: "
            "`labels: {file: cifar10.1_v4_labels.npy, format: npy}`.",
        ),
        (
            "arrays/python2/py3-objarr.npz",
            "",
            "it holds no array, and no list of numbers or texts; left out: py3-objarr.npz: member 'x.npy': the pickle "
            "asks for builtins.range, which no array of numbers needs; nothing was run",
            "Save its samples as arrays of numbers.",
        ),
        (
            "arrays/python2/py2-objarr.npy",
            "",
            "the pickle asks for __builtin__.xrange, which no array of numbers needs; nothing was run",
            "Have whoever made it save its arrays as NPZ, and declare that file; do not load this one by other means.",
        ),
        (
            "images/china.jpg",
            "",
            "it is one picture, JPEG, and no data set of them",
            "Add the folder, or the archive, that all of its pictures are in.",
        ),
        (
            "images",
            "",
            "'images_background_small1.zip' is an archive beside its pictures, and may be more",
            "Add it by itself; or leave it out: --drop images_background_small1.zip.",
        ),
        (
            "audio/0_george_0.wav",
            "",
            "it is one recording, a WAV sound, and no data set of them",
            "Add the folder, or the archive, that all of its recordings are in.",
        ),
        (
            "audio",
            "",
            "its recordings are called as '0_george_0.wav', and which part of the names is the label is not certain",
            "Say which: --label name:0 ('0', '2'), or --label name:1 ('george', 'jackson'); or --label none.",
        ),
    ],
)
def test_a_file_that_needs_a_word(manifest: Path, file: str, options: str, reason: str, hint: str) -> None:
    """Refused in one sentence, with the option that would do, if one does."""
    result = add(manifest, REAL / file, "--ship", "--name", "mine", *options.split())

    assert (result.exit_code, result.stderr) == (1, f"error: {REAL / file}: {reason}\n  {hint}\n")


@pytest.mark.parametrize("file", ["parquet/iris.parquet", "arff/iris.arff", "jsonl/iris.json"])
def test_iris(manifest: Path, file: str) -> None:
    """150 flowers, as scikit-learn's own copy has them but for the two numbers that UCI's has otherwise."""
    got = added(manifest, file)
    path = REAL / file
    if file.startswith("parquet"):
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = [list(row.values()) for row in parquet.read_table(path).to_pylist()]
    elif file.startswith("arff"):
        arff = pytest.importorskip("scipy.io.arff")
        rows = [[*list(row)[:4], row[4].decode()] for row in arff.loadarff(path)[0]]
    else:
        rows = [list(row.values()) for row in json.loads(path.read_text())]

    np.testing.assert_array_equal(got.train.features, [row[:4] for row in rows])
    classes = sorted({row[4] for row in rows})
    assert got.train.labels.tolist() == [classes.index(row[4]) for row in rows]
    assert got.classes == tuple(map(str, classes))


@pytest.mark.parametrize("file", ["vote.arff", "anneal.arff.gz"])
def test_arff(manifest: Path, file: str) -> None:
    """Values are those of the rows below @data: nominal ones by name, `?` where none is known."""
    packed = (REAL / "arff" / file).read_bytes()
    text = (gzip.decompress(packed) if file.endswith(".gz") else packed).decode()
    names = re.findall(r"(?im)^@attribute\s+('[^']+'|\S+)", text)
    places = {name.strip("'"): place for place, name in enumerate(names)}
    below = re.split(r"(?im)^@data\s*$", text)[1].strip().splitlines()
    rows = [[cell.strip().strip("'") for cell in line.split(",")] for line in below if not line.startswith("%")]
    got = added(manifest, f"arff/{file}")
    entry = load_manifest(manifest).datasets["mine"]
    (declared,) = entry.splits.values()

    for field in got.train.fields:
        values, classes = getattr(got.train, field), entry.fields[field].classes
        if columns := entry.fields[field].names:
            expected: Any = [[float(row[places[name]]) for name in columns] for row in rows]
            np.testing.assert_array_equal(values, expected)
            continue
        expected = [row[places[getattr(declared, field, field)]] for row in rows]
        assert [classes[value] if classes else value for value in values] == expected


def test_records_of_questions(manifest: Path) -> None:
    """1,319 questions with their answers; which is to be predicted is asked."""
    got = added(manifest, "jsonl/gsm8k_test.jsonl")
    expected = [json.loads(line) for line in (REAL / "jsonl" / "gsm8k_test.jsonl").read_text("utf-8").splitlines()]

    assert list(got.test.question) == [record["question"] for record in expected]
    assert list(got.test.answer) == [record["answer"] for record in expected]
    assert load_manifest(manifest).datasets["mine"].target == "?"


@pytest.mark.parametrize("file", ["heart_scale", "svmlight_classification.txt"])
def test_svmlight(manifest: Path, file: str) -> None:
    """Features and labels are scikit-learn's."""
    sklearn = pytest.importorskip("sklearn.datasets")
    features, labels = sklearn.load_svmlight_file(str(REAL / "svmlight" / file))
    got = added(manifest, f"svmlight/{file}")

    np.testing.assert_array_equal(got.train.features, features.toarray())
    assert got.classes is not None
    assert [int(got.classes[label]) for label in got.train.labels] == labels.tolist()


def test_reviews(manifest: Path) -> None:
    """2,000 texts in two folders, sorted by name, as tarfile reads them."""
    got = added(manifest, "texts/review_polarity.tar.gz")
    with tarfile.open(REAL / "texts" / "review_polarity.tar.gz") as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".txt"))
        expected = [archive.extractfile(name).read().decode() for name in names]  # type: ignore[union-attr]

    assert list(got.train.texts) == expected
    assert got.classes == ("neg", "pos")
    assert got.train.labels.tolist() == ["/pos/" in name for name in names]


def test_texts(manifest: Path, tmp_path: Path) -> None:
    """A book is one text; names are one a line, when somebody says so."""
    assert added(manifest, "texts/input.txt").train.text[0] == (REAL / "texts" / "input.txt").read_text()
    names = added(tmp_path / "second.yaml", "texts/names.txt", "--option", "unit=lines")
    assert list(names.train.text) == (REAL / "texts" / "names.txt").read_text().split()


def test_faces_of_matlab(manifest: Path) -> None:
    """400 columns of 4,096 pixels, as SciPy reads them."""
    sio = pytest.importorskip("scipy.io")
    got = added(manifest, "mat/olivettifaces.mat", "--samples", "last")

    np.testing.assert_array_equal(got.train.faces, sio.loadmat(REAL / "mat" / "olivettifaces.mat")["faces"].T)


def test_pictures_of_cats_in_hdf5(manifest: Path) -> None:
    """Arrays are h5py's, and the list of classes names them."""
    h5py = pytest.importorskip("h5py")
    got = added(manifest, "hdf5/train_catvnoncat.h5")
    with h5py.File(REAL / "hdf5" / "train_catvnoncat.h5") as file:
        np.testing.assert_array_equal(got.train.images, file["train_set_x"][:])
        np.testing.assert_array_equal(got.train.labels, file["train_set_y"][:])
        assert got.classes == tuple(name.decode() for name in file["list_classes"][:])


def test_inputs_and_labels_in_two_archives(manifest: Path) -> None:
    """Kuzushiji: one array in each, as NumPy reads them."""
    files = [REAL / "arrays" / f"kmnist-test-{what}.npz" for what in ("imgs", "labels")]
    done = add(manifest, *files, "--ship", "--name", "mine")
    assert done.exit_code == 0, done.output
    test = get("mine", manifest=manifest, offline=True).test

    for field, file in zip((test.images, test.labels), files, strict=True):
        with np.load(file) as arrays:
            np.testing.assert_array_equal(field, arrays["arr_0"])


def test_photographs(manifest: Path) -> None:
    """Two of different heights, as Pillow decodes them."""
    image = pytest.importorskip("PIL.Image")
    got = added(manifest, "images", "--drop", "images_background_small1.zip")

    for array, name in zip(got.train.images, ("china.jpg", "test_image_rgb.jpg"), strict=True):
        np.testing.assert_array_equal(array, np.asarray(image.open(REAL / "images" / name)))


@pytest.mark.slow
def test_a_large_table(manifest: Path) -> None:
    """30,162 rows of words and numbers."""
    got = added(manifest, "tables/adult.data", "--target", "income")
    entry = load_manifest(manifest).datasets["mine"]

    assert got.classes == ("<=50K", ">50K")
    same_as_pandas(REAL / "tables" / "adult.data", entry, got.train)
