"""Tables that people teach with, each declared in YAML alone; `get` returns what pandas reads."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.declared import declare
from tinytorch_datasets import Dataset, get
from tinytorch_datasets.errors import DecodeError

pd: Any = pytest.importorskip("pandas", reason="compares with pandas")
# From 3 on, that is what it does by itself.
NEAREST = {"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}

TABLES = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats" / "tables"
pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason="needs the real files")


def declared(folder: Path, entry: str, *names: str) -> Dataset:
    """What `get` returns of these files, the first of which the entry calls t.csv, the second u.csv."""
    files = {f"{letter}_csv": (TABLES / name).read_bytes() for letter, name in zip("tu", names, strict=False)}
    return get("made", manifest=declare(folder, entry, **files))


def pandas(name: str, **options: Any) -> Any:
    """The table as pandas reads it: each number as the nearest float64, as Python does."""
    return pd.read_csv(TABLES / name, **NEAREST, **options)


def same(values: Any, expected: Any) -> None:
    """Values equal those of a frame or a series, NaN as NaN."""
    expected = np.asarray(expected)
    np.testing.assert_array_equal(values, expected.astype(values.dtype))
    if values.dtype.kind in "iu":
        np.testing.assert_array_equal(expected.astype(values.dtype), expected)


def test_housing(tmp_path: Path) -> None:
    """Runs of blanks, no header, the target behind a range of columns."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: whitespace, header: false}
        fields:
          features:
            dtype: float64
            shape: [13]
            names: [CRIM, ZN, INDUS, CHAS, NOX, RM, AGE, DIS, RAD, TAX, PTRATIO, B, LSTAT]
          price: {dtype: float64}
        splits:
          train: {samples: 506, file: t.csv, features: {column: 0-12}, price: {column: 13}}
        """,
        "housing.data",
    )
    expected = pandas("housing.data", sep=r"\s+", header=None)

    same(data.train.features, expected.iloc[:, :13])
    same(data.train.price, expected[13])


def test_horse_colic(tmp_path: Path) -> None:
    """Marks of missing values in floats, and in whole numbers that say what stands for them."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: whitespace, header: false}
        fields:
          measures: {dtype: float64, shape: [22], missing: ["?"]}
          outcome: {dtype: int8, missing: ["?"], missing_value: -1}
          surgical: {dtype: int64, classes: ["yes", "no"], values: ["1", "2"]}
          hospital: {dtype: int64}
        splits:
          train:
            samples: 300
            file: t.csv
            measures: {column: [0-1, 3-21, 27]}
            outcome: {column: 22}
            surgical: {column: 23}
            hospital: {column: 2}
        """,
        "horse-colic.data",
    )
    expected = pandas("horse-colic.data", sep=r"\s+", header=None, na_values="?")

    same(data.train.measures, expected[[0, 1, *range(3, 22), 27]])
    same(data.train.outcome, expected[22].fillna(-1))
    same(data.train.surgical, expected[23] - 1)
    same(data.train.hospital, expected[2])


def test_ecoli(tmp_path: Path) -> None:
    """Text between blanks, and classes as they are spelled."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: whitespace, header: false, columns: {protein: 0, features: 1-7, site: -1}}
        fields:
          protein: {dtype: str}
          features: {dtype: float32, shape: [7]}
          site: {dtype: int64, classes: [cp, im, imL, imS, imU, om, omL, pp]}
        splits: {train: {samples: 336, file: t.csv}}
        """,
        "ecoli.data",
    )
    expected = pandas("ecoli.data", sep=r"\s+", header=None)

    assert list(data.train.protein) == expected[0].tolist()
    same(data.train.features, expected.iloc[:, 1:8])
    assert np.array(data.classes)[data.train.site].tolist() == expected[8].tolist()


def test_breast_cancer(tmp_path: Path) -> None:
    """Classes that are stored as 2 and 4, and a number that is not known in 16 rows."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {header: false}
        fields:
          id: {dtype: int64}
          features: {dtype: float64, shape: [9], missing: ["?"]}
          kind: {dtype: int64, classes: [benign, malignant], values: ["2", "4"]}
        splits: {train: {samples: 699, file: t.csv, id: {column: 0}, features: {column: 1-9}, kind: {column: 10}}}
        """,
        "breast-cancer-wisconsin.data",
    )
    expected = pandas("breast-cancer-wisconsin.data", header=None, na_values="?")

    same(data.train.id, expected[0])
    same(data.train.features, expected.iloc[:, 1:10])
    same(data.train.kind, expected[10] // 2 - 1)
    assert np.isnan(data.train.features).sum() == 16


def test_titanic(tmp_path: Path) -> None:
    """Quotes with commas in them, gaps, words as classes, and text that keeps its empty cells."""
    data = declared(
        tmp_path,
        """
        format: csv
        fields:
          survived: {dtype: int64, classes: [died, survived], values: ["0", "1"]}
          age: {dtype: float64, missing: [""]}
          sex: {dtype: int64, classes: [female, male]}
          numbers: {dtype: float64, shape: [4], names: [Pclass, SibSp, Parch, Fare]}
          passenger: {dtype: str}
          cabin: {dtype: str}
        splits:
          train:
            samples: 891
            file: t.csv
            survived: {column: Survived}
            age: {column: Age}
            sex: {column: Sex}
            passenger: {column: Name}
            cabin: {column: Cabin}
        """,
        "titanic_train.csv",
    )
    expected = pandas("titanic_train.csv")

    same(data.train.survived, expected["Survived"])
    same(data.train.age, expected["Age"])
    same(data.train.sex, expected["Sex"] == "male")
    same(data.train.numbers, expected[["Pclass", "SibSp", "Parch", "Fare"]])
    assert list(data.train.passenger) == expected["Name"].tolist()
    assert list(data.train.cabin) == expected["Cabin"].fillna("").tolist()


def test_penguins(tmp_path: Path) -> None:
    """Semicolons between cells, commas for decimals, and gaps."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: ";", decimal: ","}
        fields:
          measures:
            dtype: float64
            shape: [4]
            names: [culmen_length_mm, culmen_depth_mm, flipper_length_mm, body_mass_g]
            missing: ["", "NA"]
          species: {dtype: int64, classes: [Adelie, Chinstrap, Gentoo]}
          sex: {dtype: str}
        splits: {train: {samples: 344, file: t.csv, species: {column: species}, sex: {column: sex}}}
        """,
        "penguins_size.csv",
    )
    expected = pandas("penguins_size.csv", sep=";", decimal=",")
    with (TABLES / "penguins_size.csv").open(newline="") as file:
        sex = [row["sex"] for row in csv.DictReader(file, delimiter=";")]

    same(data.train.measures, expected.iloc[:, 3:7])
    assert np.array(data.classes)[data.train.species].tolist() == expected["species"].tolist()
    assert list(data.train.sex) == sex


def test_auto_mpg(tmp_path: Path) -> None:
    """A header despite its name; `names` take the columns of the header."""
    data = declared(
        tmp_path,
        """
        format: csv
        fields:
          features:
            dtype: float64
            shape: [6]
            names: [displacement, horsepower, weight, acceleration, modelyear, origin]
            missing: ["", "?"]
          mpg: {dtype: float64}
          car: {dtype: str}
        splits: {train: {samples: 398, file: t.csv, car: {column: car name}}}
        """,
        "auto-mpg.data",
    )
    expected = pandas("auto-mpg.data", na_values="?")

    same(data.train.features, expected[["displacement", "horsepower", "weight", "acceleration", "modelyear", "origin"]])
    same(data.train.mpg, expected["mpg"])
    assert list(data.train.car) == expected["car name"].tolist()


@pytest.mark.parametrize("blank", ["", " "], ids=["as it is", "with blanks behind commas, as UCI has it"])
def test_adult(tmp_path: Path, blank: str) -> None:
    """Words and numbers side by side; blanks around cells are left out where that is declared."""
    text = (TABLES / "adult.data").read_text().replace(",", "," + blank)
    manifest = declare(
        tmp_path,
        f"""
        format: csv
        options: {{strip: {str(bool(blank)).lower()}}}
        fields:
          numbers:
            dtype: int32
            shape: [6]
            names: [age, fnlwgt, education_num, capital_gain, capital_loss, hr_per_week]
          work: {{dtype: str}}
          sex: {{dtype: int64, classes: [Female, Male]}}
          income: {{dtype: int64, classes: ["<=50K", ">50K"]}}
        splits: {{train: {{samples: 30_162, file: t.csv, work: {{column: type_employer}}}}}}
        """,
        t_csv=text,
    )
    data = get("made", manifest=manifest)
    expected = pandas("adult.data")

    numbers = ["age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hr_per_week"]
    same(data.train.numbers, expected[numbers])
    assert list(data.train.work) == expected["type_employer"].tolist()
    same(data.train.sex, expected["sex"] == "Male")
    same(data.train.income, expected["income"] == ">50K")


def test_german_credit(tmp_path: Path) -> None:
    """In 41 rows of this copy a blank stands for a comma: two cells have become one, and which is not guessed."""
    entry = """
        format: csv
        fields:
          features: {dtype: uint8, shape: [24]}
          credit: {dtype: int64, classes: [good, bad], values: ["1", "2"]}
        splits: {train: {samples: 1_000, file: t.csv, credit: {column: CLASSIFICACAO}}}
        """
    with pytest.raises(DecodeError) as caught:
        declared(tmp_path, entry, "german.data-numeric")

    assert caught.value.reason == "line 20 has a row of 24, the first row is one of 25"
    rows = [line.split(",") for line in (TABLES / "german.data-numeric").read_text().splitlines()]
    manifest = declare(
        tmp_path, entry.replace("1_000", "959"), t_csv="\n".join(",".join(r) for r in rows if len(r) == 25)
    )
    data, expected = get("made", manifest=manifest), pd.DataFrame([row for row in rows[1:] if len(row) == 25])
    same(data.train.features, expected.iloc[:, :24].astype(int))
    same(data.train.credit, expected[24].astype(int) - 1)


def test_seeds(tmp_path: Path) -> None:
    """Tabs, sometimes two of them; three splits of one file, in another order."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: whitespace, header: false}
        fields:
          features: {dtype: float64, shape: [7]}
          kind: {dtype: int64, classes: [Kama, Rosa, Canadian], values: ["1", "2", "3"]}
        splits:
          train: {samples: 150, file: t.csv, features: {column: 0-6}, kind: {column: 7}, rows: [0, 150], shuffle: {seed: 7}, stored_samples: 210}
          test: {samples: 60, file: t.csv, features: {column: 0-6}, kind: {column: 7}, rows: [150, 210], shuffle: {seed: 7}, stored_samples: 210}
        """,  # noqa: E501 -- one split a line
        "seeds_dataset.txt",
    )
    expected = pandas("seeds_dataset.txt", sep=r"\s+", header=None)
    order = np.arange(210)
    np.random.RandomState(7).shuffle(order)

    same(data.train.features, expected.iloc[order[:150], :7])
    same(data.test.features, expected.iloc[order[150:], :7])
    same(data.test.kind, expected.iloc[order[150:], 7] - 1)


def test_semeion(tmp_path: Path) -> None:
    """Images as rows, and labels as the position of a 1; of this copy, the first sample is torn over 17 lines."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: whitespace, header: false, skip_lines: 17}
        fields:
          images: {dtype: uint8, shape: [16, 16], range: [0, 1]}
          labels: {dtype: int64, classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], stored: one-hot}
        splits: {train: {samples: 1_592, file: t.csv, images: {column: 0-255}, labels: {column: 256-265}}}
        """,
        "semeion.data",
    )
    expected = np.loadtxt(TABLES / "semeion.data", skiprows=17)

    same(data.train.images, expected[:, :256].reshape(-1, 16, 16))
    same(data.train.labels, expected[:, 256:266].argmax(axis=1))


def test_wine(tmp_path: Path) -> None:
    """A first line that counts rows and names classes is no header."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {header: false, skip_lines: 1}
        fields:
          features: {dtype: float64, shape: [13]}
          cultivar: {dtype: int64, classes: [class_0, class_1, class_2], values: [0, 1, 2]}
        splits: {train: {samples: 178, file: t.csv, features: {column: 0-12}, cultivar: {column: 13}}}
        """,
        "wine_data.csv",
    )
    expected = pandas("wine_data.csv", header=None, skiprows=1)

    same(data.train.features, expected.iloc[:, :13])
    same(data.train.cultivar, expected[13])


def test_linnerud(tmp_path: Path) -> None:
    """Two files in one split."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: whitespace}
        fields:
          exercise: {dtype: int64, shape: [3], names: [Chins, Situps, Jumps]}
          physiology: {dtype: int64, shape: [3], names: [Weight, Waist, Pulse]}
        splits: {train: {samples: 20, exercise: {file: t.csv}, physiology: {file: u.csv}}}
        """,
        "linnerud_exercise.csv",
        "linnerud_physiological.csv",
    )

    same(data.train.exercise, pandas("linnerud_exercise.csv", sep=" "))
    same(data.train.physiology, pandas("linnerud_physiological.csv", sep=" "))


def test_diabetes(tmp_path: Path) -> None:
    """Compressed, whatever they are called; a table of one column, of which a field needs no name."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: whitespace, header: false}
        fields:
          features: {dtype: float64, shape: [10], names: [age, sex, bmi, bp, s1, s2, s3, s4, s5, s6]}
          progression: {dtype: float64}
        splits: {train: {samples: 442, features: {file: t.csv}, progression: {file: u.csv}}}
        """,
        "diabetes_data_raw.csv.gz",
        "diabetes_target.csv.gz",
    )
    with gzip.open(TABLES / "diabetes_data_raw.csv.gz") as features, gzip.open(TABLES / "diabetes_target.csv.gz") as y:
        same(data.train.features, np.loadtxt(features))
        same(data.train.progression, np.loadtxt(y))


def test_ag_news(tmp_path: Path) -> None:
    """Classes have names, and the file has numbers for them; quoted text of several lines."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {header: false}
        fields:
          topic: {dtype: int64, classes: [World, Sports, Business, Sci/Tech], values: ["1", "2", "3", "4"]}
          headline: {dtype: str}
          text: {dtype: str}
        splits: {test: {samples: 7_600, file: t.csv, topic: {column: 0}, headline: {column: 1}, text: {column: 2}}}
        """,
        "ag_news_test.csv",
    )
    expected = pandas("ag_news_test.csv", header=None)

    same(data.test.topic, expected[0] - 1)
    assert list(data.test.headline) == expected[1].tolist()
    assert list(data.test.text) == expected[2].tolist()


def test_emotions(tmp_path: Path) -> None:
    """Sentences and what they are of; the header has the fields' names."""
    data = declared(
        tmp_path,
        """
        format: csv
        options: {delimiter: ";"}
        fields:
          sentence: {dtype: str}
          emotion: {dtype: int64, classes: [anger, fear, joy, love, sadness, surprise]}
        splits: {val: {samples: 2_000, file: t.csv}}
        """,
        "emotions_val.txt",
    )
    expected = pandas("emotions_val.txt", sep=";")

    assert list(data.val.sentence) == expected["sentence"].tolist()
    assert np.array(data.classes)[data.val.emotion].tolist() == expected["emotion"].tolist()


def test_gross_domestic_product(tmp_path: Path) -> None:
    """Tabs, Latin-1, signs between thousands, a mark of what is not known, and the source in the last lines."""
    data = declared(
        tmp_path,
        r"""
        format: csv
        options: {delimiter: "\t", encoding: latin-1, thousands: ",", skip_last_lines: 2}
        fields:
          country: {dtype: str}
          dollars: {dtype: float64, missing: ["", "n/a"]}
          estimated: {dtype: int16, missing: [""], missing_value: -1}
        splits:
          train:
            samples: 189
            file: t.csv
            country: {column: Country}
            dollars: {column: "2015"}
            estimated: {column: Estimates Start After}
        """,
        "gdp_per_capita.csv",
    )
    expected = pandas("gdp_per_capita.csv", sep="\t", encoding="latin-1", thousands=",", na_values="n/a").iloc[:-1]

    assert list(data.train.country) == expected["Country"].tolist()
    same(data.train.dollars, expected["2015"])
    same(data.train.estimated, expected["Estimates Start After"].fillna(-1))
