"""Stand-ins for the data sets of tables.yaml, by the csv module; and real files, which scikit-learn's package has."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tests.conftest import ROOT
from tests.formats.known_datasets.stand_ins import Draw, StandIn, sklearn_folder, stand_in, tarred, zipped


def text(rows: Iterable[Sequence[Any]], delimiter: str = ",", end: str = "\n") -> bytes:
    """Rows, by the csv module."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=end).writerows(rows)
    return file.getvalue().encode()


def real(name: str) -> bytes:
    """A file that the package of scikit-learn has."""
    return (sklearn_folder() / "data" / name).read_bytes()


def numbers(data: bytes, **options: Any) -> np.ndarray:
    """A table of numbers, by NumPy."""
    return np.loadtxt(io.BytesIO(data), **options)


@stand_in("semeion")
def semeion(draw: Draw) -> StandIn:
    """Floats with blanks behind each, and ten more numbers, one of them 1."""
    images, labels = draw.pixels(5, 16, 16, high=2), draw.labels(5, 10)
    lines = [
        "".join(f"{pixel:.4f} " for pixel in image.ravel()) + "".join(f"{int(n == label)} " for n in range(10)) + "\n"
        for image, label in zip(images, labels, strict=True)
    ]
    return StandIn(
        {"semeion.data": "".join(lines).encode()}, {"all": {"images": images.astype("f4"), "labels": labels}}
    )


@stand_in("boston-housing-csv")
def boston_housing(draw: Draw) -> StandIn:
    """A header, and the target last."""
    names = ["CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT", "MEDV"]
    rows = draw.floats(5, 14)
    values = {"all": {"features": rows[:, :13], "price": rows[:, 13]}}
    return StandIn({"boston_housing.csv": text([names, *rows.tolist()])}, values)


@stand_in("california-housing-csv")
def california_housing(draw: Draw) -> StandIn:
    """Without a header, in an archive, beside the names of columns."""
    rows = draw.floats(5, 9)
    members = {
        "CaliforniaHousing/cal_housing.data": text([[f"{cell:.6f}" for cell in row] for row in rows]),
        "CaliforniaHousing/cal_housing.domain": b"longitude: continuous.\n",
    }
    values = {"all": {"features": rows[:, :8], "value": rows[:, 8]}}
    return StandIn({"cal_housing.tgz": tarred(members)}, values)


@stand_in("iris-uci")
def iris_uci(draw: Draw) -> StandIn:
    """Names last, and an empty line at the end."""
    rows, labels = draw.floats(5, 4), draw.labels(5, 3)
    names = ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]
    table = text([*row, names[label]] for row, label in zip(rows.tolist(), labels, strict=True)) + b"\n"
    archive = zipped({"Index": b"x", "iris.data": table, "iris.names": b"x", "bezdekIris.data": b"x"})
    return StandIn({"iris.zip": archive}, {"all": {"features": rows, "species": labels}})


def counted(name: str, file: str, features: int, target: str) -> None:
    """Enter one of scikit-learn's real tables, whose first line counts rows and names classes."""

    @stand_in(name)
    def make(draw: Draw) -> StandIn:
        table = numbers(real(file), delimiter=",", skiprows=1)
        values = {"features": table[:, :features], target: table[:, features].astype("i8")}
        return StandIn({file: real(file)}, {"all": values})


counted("iris", "iris.csv", 4, "species")
counted("wine", "wine_data.csv", 13, "cultivar")
counted("breast-cancer", "breast_cancer.csv", 30, "diagnosis")


@stand_in("digits-8x8")
def digits_8x8(draw: Draw) -> StandIn:
    """The real ones: 64 pixels, then the digit."""
    table = numbers(gzip.decompress(real("digits.csv.gz")), delimiter=",").astype("i8")
    values = {"images": table[:, :64].astype("u1").reshape(-1, 8, 8), "labels": table[:, 64]}
    return StandIn({"digits.csv.gz": real("digits.csv.gz")}, {"all": values})


@stand_in("diabetes")
def diabetes(draw: Draw) -> StandIn:
    """The real ones, in two compressed files."""
    files = {name: real(name) for name in ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz")}
    features, progression = (numbers(gzip.decompress(data)) for data in files.values())
    return StandIn(files, {"all": {"features": features, "progression": progression}})


@stand_in("linnerud")
def linnerud(draw: Draw) -> StandIn:
    """The real ones, in two files, each with a header."""
    files = {name: real(name) for name in ("linnerud_exercise.csv", "linnerud_physiological.csv")}
    exercise, physiology = (numbers(data, skiprows=1, dtype="i8") for data in files.values())
    return StandIn(files, {"all": {"exercise": exercise, "physiology": physiology}})


@stand_in("covtype")
def covtype(draw: Draw) -> StandIn:
    """Whole numbers, the last of them the class, from 1."""
    rows, labels = draw.pixels(5, 54, high=4000, dtype="i4"), draw.labels(5, 7)
    table = text([*row, label + 1] for row, label in zip(rows.tolist(), labels, strict=True))
    return StandIn({"covtype.data.gz": gzip.compress(table)}, {"all": {"features": rows, "cover": labels}})


@stand_in("kddcup99")
def kddcup99(draw: Draw) -> StandIn:
    """Words among 38 numbers, a class with a dot at its end, and a name that does not say that it is compressed."""
    features = np.hstack([draw.pixels(3, 20, high=900, dtype="i8"), draw.floats(3, 18).clip(0, 1)])
    words = [("tcp", "http", "SF"), ("udp", "domain_u", "SF"), ("icmp", "ecr_i", "REJ")]
    attacks = ["normal.", "smurf.", "back."]
    rows = [
        [row[0], *word, *row[1:], attack] for row, word, attack in zip(features.tolist(), words, attacks, strict=True)
    ]
    values = {
        "features": features,
        "protocol": np.array([1, 2, 0]),
        "service": [word[1] for word in words],
        "flag": [word[2] for word in words],
        "attack": np.array([0, 18, 1]),
    }
    return StandIn({"kddcup99_data": gzip.compress(text(rows))}, {"all": values})


@stand_in("species_distributions")
def species_distributions(draw: Draw) -> StandIn:
    """Two tables in an archive."""
    members: dict[str, bytes] = {}
    values = {}
    for split in ("train", "test"):
        places = draw.floats(3, 2)
        names = ["bradypus_variegatus", "bradypus_variegatus", "microryzomys_minutus"]
        rows = [[name, *place] for name, place in zip(names, places.tolist(), strict=True)]
        members[f"samples_{split}.csv"] = text([["species", "dd long", "dd lat"], *rows])
        values[split] = {"species": names, "place": places}
    return StandIn({"samples.zip": zipped(members)}, values)


@stand_in("titanic")
def titanic(draw: Draw) -> StandIn:
    """Names with commas in quotes, and ? for what is not known."""
    header = [
        "pclass",
        "survived",
        "name",
        "sex",
        "age",
        "sibsp",
        "parch",
        "ticket",
        "fare",
        "cabin",
        "embarked",
        "boat",
        "body",
        "home.dest",
    ]
    rows = [
        [
            1,
            1,
            "Allen, Miss. Elisabeth Walton",
            "female",
            29,
            0,
            0,
            "24160",
            211.3375,
            "B5",
            "S",
            "2",
            "?",
            "St Louis, MO",
        ],
        [3, 0, 'Abbott, Mr. Rossmore "Ross"', "male", "?", 1, 1, "C.A. 2673", "?", "?", "S", "?", 190, "?"],
    ]
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows([header, *rows])
    values = {
        "numbers": np.array([[29, 0, 0, 211.3375], [np.nan, 1, 1, np.nan]]),
        "ticket_class": np.array([0, 2]),
        "sex": np.array([0, 1]),
        "passenger": [str(row[2]) for row in rows],
        "body": np.array([-1, 190], "i4"),
        "survived": np.array([1, 0]),
    }
    return StandIn({"phpMYEkMl": file.getvalue().encode()}, {"all": values})


PENGUINS = ["culmen_length_mm", "culmen_depth_mm", "flipper_length_mm", "body_mass_g"]


@stand_in("penguins")
def penguins(draw: Draw) -> StandIn:
    """NA where nothing was measured."""
    rows: list[list[Any]] = [
        ["Adelie", "Torgersen", 39.1, 18.7, 181, 3750, "MALE"],
        ["Adelie", "Torgersen", "NA", "NA", "NA", "NA", "NA"],
        ["Gentoo", "Biscoe", 44.5, 15.7, 217, 4875, "."],
    ]
    values = {
        "features": np.array([[39.1, 18.7, 181, 3750], [np.nan] * 4, [44.5, 15.7, 217, 4875]], "f4"),
        "island": np.array([2, 2, 0]),
        "sex": ["MALE", "NA", "."],
        "species": np.array([0, 0, 2]),
    }
    return StandIn({"penguins_size.csv": text([["species", "island", *PENGUINS, "sex"], *rows])}, {"all": values})


@stand_in("penguins-processed")
def penguins_processed(draw: Draw) -> StandIn:
    """Numbers of classes, and fractions."""
    features, labels = draw.floats(4, 4), draw.labels(4, 3)
    rows = [[label, *row] for label, row in zip(labels, features.tolist(), strict=True)]
    values = {"features": features.astype("f4"), "species": labels}
    return StandIn({"penguins_processed.csv": text([["species", *PENGUINS], *rows])}, {"all": values})


@stand_in("forest-fires")
def forest_fires(draw: Draw) -> StandIn:
    """Words among numbers, and CRLF."""
    header = ["X", "Y", "month", "day", "FFMC", "DMC", "DC", "ISI", "temp", "RH", "wind", "rain", "area"]
    features, area = draw.floats(3, 10), draw.floats(3)
    words = [("mar", "fri"), ("oct", "tue"), ("dec", "sun")]
    rows = [
        [*row[:2], *word, *row[2:], burnt]
        for row, word, burnt in zip(features.tolist(), words, area.tolist(), strict=True)
    ]
    values = {"features": features, "month": np.array([2, 9, 11]), "day": np.array([4, 1, 6]), "area": area}
    return StandIn({"forestfires.csv": text([header, *rows], end="\r\n")}, {"all": values})


@stand_in("german-credit-numeric")
def german_credit_numeric(draw: Draw) -> StandIn:
    """Numbers in columns of four characters, and classes 1 and 2."""
    features, labels = draw.pixels(5, 24, high=100, dtype="i4"), draw.labels(5, 2)
    lines = [
        "".join(f"{cell:4}" for cell in row) + f"{label + 1:4} \n" for row, label in zip(features, labels, strict=True)
    ]
    values = {"all": {"features": features, "credit": labels}}
    return StandIn({"german.data-numeric": "".join(lines).encode()}, values)


@stand_in("fer2013")
def fer2013(draw: Draw) -> StandIn:
    """2,304 numbers in a cell, and what each is used for."""
    images, labels = draw.pixels(8, 48, 48), draw.labels(8, 7)
    uses = ["Training", "Training", "PublicTest", "Training", "PrivateTest", "Training", "PublicTest", "PrivateTest"]
    pixels = [" ".join(map(str, image.ravel())) for image in images]
    rows = zip(labels, pixels, uses, strict=True)
    values = {}
    for split, use in (("train", "Training"), ("validation", "PublicTest"), ("test", "PrivateTest")):
        its = np.array(uses) == use
        values[split] = {"images": images[its], "labels": labels[its]}
    places = {split: {"stored_samples": 8} for split in values}
    return StandIn({"fer2013.csv": text([["emotion", "pixels", "Usage"], *rows])}, values, places)


@stand_in("imdb-text")
def imdb_text(draw: Draw) -> StandIn:
    """A folder a class; a third has no labels, and lists of addresses lie beside."""
    members: dict[str, bytes] = {}
    values = {}
    for split in ("train", "test"):
        its = {
            f"aclImdb/{split}/{folder}/{n}_{rating}.txt": f"Review {n} to {split}, rated {rating}. \xe9"
            for folder, n, rating in [("neg", 0, 3), ("neg", 10, 1), ("pos", 0, 9), ("pos", 10, 10)]
        }
        names = sorted(its)
        members |= {name: content.encode() for name, content in its.items()}
        members[f"aclImdb/{split}/urls_pos.txt"] = b"http://\n"
        values[split] = {
            "reviews": [its[name] for name in names],
            "labels": np.array([0, 0, 1, 1]),
            "rating": [name.rpartition("_")[2][: -len(".txt")] for name in names],
        }
    members |= {"aclImdb/train/unsup/0_0.txt": b"x", "aclImdb/imdb.vocab": b"x", "aclImdb/README": b"x"}
    return StandIn({"aclImdb_v1.tar.gz": tarred(members)}, values)


@stand_in("twenty_newsgroups")
def twenty_newsgroups(draw: Draw) -> StandIn:
    """Names that are numbers, in folders with dots, in Latin-1."""
    members: dict[str, bytes] = {}
    values = {}
    for split in ("train", "test"):
        its = {
            f"20news-bydate-{split}/{group}/{n}": f"From: \xe9\n\nPost {n} to {split}\n"
            for group, n in [("alt.atheism", 49960), ("alt.atheism", 51060), ("talk.religion.misc", 82757)]
        }
        members |= {name: content.encode("latin-1") for name, content in its.items()}
        values[split] = {"posts": list(its.values()), "group": np.array([0, 0, 19])}
    return StandIn({"20news-bydate.tar.gz": tarred(members)}, values)


@stand_in("tiny-shakespeare")
def tiny_shakespeare(draw: Draw) -> StandIn:
    """One text, which is one sample."""
    content = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n"
    return StandIn({"input.txt": content.encode()}, {"all": {"text": [content]}})


@stand_in("names")
def names(draw: Draw) -> StandIn:
    """A name a line, the last without an end."""
    return StandIn({"names.txt": b"emma\nolivia\nava"}, {"all": {"text": ["emma", "olivia", "ava"]}})


@stand_in("gsm8k")
def gsm8k(draw: Draw) -> StandIn:
    """A record a line."""
    values = {split: {"question": [f"{split} 1?", "2?"], "answer": ["a\n#### 1", "b"]} for split in ("train", "test")}
    files = {}
    for split, fields in values.items():
        records = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
        files[f"{split}.jsonl"] = "".join(f"{json.dumps(record)}\n" for record in records).encode()
    return StandIn(files, values)


@stand_in("tinydigits")
def tinydigits(draw: Draw) -> StandIn:
    """The real ones, which are packaged."""
    files, values = {}, {}
    for split in ("train", "test"):
        files[f"{split}.pkl"] = (ROOT / "datasets" / "tinydigits" / f"{split}.pkl").read_bytes()
        values[split] = pickle.loads(files[f"{split}.pkl"])
    return StandIn(files, values)


@stand_in("tinytalks")
def tinytalks(draw: Draw) -> StandIn:
    """The real ones, which are packaged: a question, its answer, an empty line."""
    files, values = {}, {}
    for path in (ROOT / "datasets" / "tinytalks").rglob("*.txt"):
        files[path.relative_to(ROOT / "datasets" / "tinytalks").as_posix()] = path.read_bytes()
    levels = {"train": [35, 70, 35, 70, 35], "val": [8, 15, 7, 15, 8], "test": [7, 15, 8, 15, 7]}
    for split, counts in levels.items():
        content = next(data for name, data in files.items() if name.endswith(f"{split}.txt")).decode()
        pairs = [pair.split("\n") for pair in content.strip("\n").split("\n\n")]
        values[split] = {
            "questions": [question.removeprefix("Q: ") for question, _ in pairs],
            "answers": [answer.removeprefix("A: ") for _, answer in pairs],
            "levels": np.repeat(np.arange(1, 6), counts),
            "text": content,
        }
    return StandIn(files, values)
