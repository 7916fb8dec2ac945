"""Kinds of tables that `csv_tables.py` measures: how their rows are written, their fields, and how others read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

# What others do, in programs of their own, of which the first argument is the file.
READ_CSV = "import pandas; seen = len(pandas.read_csv(sys.argv[1], header=None%s))"
READ_JSON = "import pandas; seen = len(pandas.read_json(sys.argv[1], lines=True))"
READ_PARQUET = """
import pyarrow.parquet
table = pyarrow.parquet.read_table(sys.argv[1])
for column in table.columns:
    column.to_numpy()
seen = len(table)
"""
# The lowest and the highest value of the ten quantities of the forest cover types, as UCI publishes them.
QUANTITIES = (
    *((1859, 3858), (0, 360), (0, 66), (0, 1397), (-173, 601)),
    *((0, 7117), (0, 254), (0, 254), (0, 254), (0, 7173)),
)
COVERS = [str(number) for number in range(1, 8)]
WORDS = ["Private", "Self-emp-not-inc", "Local-gov", "State-gov", "Without-pay"]
INCOMES = ["<=50K", ">50K"]
Random = np.random.Generator


def whole_numbers(random: Random, rows: int) -> Iterable[str]:
    """Rows as those of the forest cover types: ten quantities, one of 4, one of 40, and the class."""
    quantities = np.column_stack([random.integers(low, high + 1, rows) for low, high in QUANTITIES])
    area, soil = np.eye(4, dtype=int)[random.integers(0, 4, rows)], np.eye(40, dtype=int)[random.integers(0, 40, rows)]
    table = np.column_stack([quantities, area, soil, random.integers(1, 8, rows)])
    return (",".join(map(str, row)) for row in table.tolist())


def written(spell: Callable[[float], str], columns: int, between: str = ",", scale: float = 100) -> Any:
    """Return what writes so many columns of floats."""

    def rows_of(random: Random, rows: int) -> Iterable[str]:
        return (between.join(map(spell, row)) for row in random.normal(0, scale, (rows, columns)).tolist())

    return rows_of


def exponents(random: Random, rows: int) -> Iterable[str]:
    """Ten numbers of many sizes, as `np.savetxt` writes them."""
    numbers = random.normal(0, 1, (rows, 10)) * 10.0 ** random.integers(-12, 13, (rows, 10))
    return (",".join(f"{value:.18e}" for value in row) for row in numbers.tolist())


def words_and_numbers(random: Random, rows: int) -> Iterable[str]:
    """Six numbers, eight words and a class, as in a census."""
    numbers, words = random.integers(0, 100_000, (rows, 6)), random.integers(0, 5, (rows, 8))
    for row, which, label in zip(numbers.tolist(), words.tolist(), random.integers(0, 2, rows).tolist(), strict=True):
        yield ",".join([*map(str, row), *(WORDS[word] for word in which), INCOMES[label]])


def wide(random: Random, rows: int) -> Iterable[str]:
    """A class and 1,000 pixels, most of them 0."""
    for row in range(0, rows, 100):
        pixels = random.integers(0, 256, (min(100, rows - row), 1000)) * (random.random((1, 1000)) < 0.3)
        yield from (f"{number % 10}," + ",".join(map(str, one)) for number, one in enumerate(pixels.tolist()))


def passengers(random: Random, rows: int) -> Iterable[str]:
    """Passengers of a ship: numbers with gaps, a name in quotes with a comma in it, sex, ticket, port; gaps there."""
    chances, ages, fares = random.random((rows, 3)).tolist(), random.random(rows).tolist(), random.gamma(1, 30, rows)
    kinds = random.integers(0, 3, (rows, 4)).tolist()
    for number, (chance, age, fare, kind) in enumerate(zip(chances, ages, fares.tolist(), kinds, strict=True)):
        name = f'"{WORDS[kind[0]]}, {("Mr.", "Mrs.", "Miss.")[kind[1]]} William ""Will"" {number}"'
        known = f"{age * 80:.0f}" if chance[0] < 0.8 else ""
        port, cabin = "SCQ"[kind[2]] if chance[1] < 0.99 else "", f"C{number % 148}" if chance[2] < 0.23 else ""
        sex = ("male", "female")[kind[1] > 0]
        yield f"{number},{kind[3] + 1},{name},{sex},{known},{kind[0]},A/5 {number},{fare:.4f},{cabin},{port}"


def gaps(random: Random, rows: int) -> Iterable[str]:
    """Ten measures, of which a seventh is not known: empty in some columns, NA in others, ? in whole numbers."""
    values, is_gap = random.normal(0, 10, (rows, 10)).tolist(), (random.random((rows, 10)) < 1 / 7).tolist()
    for row, gap in zip(values, is_gap, strict=True):
        cells = ["" if gap[at] else f"{row[at]:.2f}" for at in range(4)]
        cells += ["NA" if gap[at] else f"{row[at]:.2f}" for at in range(4, 8)]
        yield ",".join([*cells, *("?" if gap[at] else f"{row[at]:.0f}" for at in (8, 9))])


def sentences(random: Random, rows: int) -> Iterable[str]:
    """A class and two texts in quotes, as of news."""
    words = random.integers(0, 5, (rows, 30)).tolist()
    for number, row in enumerate(words):
        text = ", ".join(WORDS[word] for word in row)
        yield f'"{number % 4 + 1}","{text[:60]}","{text}"'


def reviews(random: Random, rows: int) -> Iterable[str]:
    """A text in quotes, of several lines, with quotes and letters beyond ASCII in it, and a class behind it."""
    words = random.integers(0, 5, (rows, 20)).tolist()
    for number, row in enumerate(words):
        text = " ".join(WORDS[word] for word in row)
        yield f'"{text[:90]}\n\n""{text[90:130]}"", caf\u00e9 {number}",{("negative", "positive")[number % 2]}'


def answers(random: Random, rows: int) -> Iterable[str]:
    """Ten columns of True and False."""
    return (",".join(map(str, row)) for row in (random.random((rows, 10)) < 0.5).tolist())


def days(random: Random, rows: int) -> Iterable[str]:
    """A time, three prices and a volume."""
    times = np.datetime64("2015-01-01T00:00:00") + np.arange(rows) * np.timedelta64(1, "h")
    prices, volumes = random.normal(100, 9, (rows, 3)).tolist(), random.integers(0, 10**7, rows).tolist()
    for at, price, volume in zip(np.datetime_as_string(times).tolist(), prices, volumes, strict=True):
        yield ",".join([at.replace("T", " "), *(f"{one:.2f}" for one in price), str(volume)])


def records(random: Random, rows: int) -> Iterable[str]:
    """JSON: two numbers, a text, a word, a truth."""
    words, values = random.integers(0, 5, (rows, 6)).tolist(), random.normal(0, 1, rows).tolist()
    for number, (row, value) in enumerate(zip(words, values, strict=True)):
        text = " ".join(WORDS[word] for word in row)
        one = {"id": number, "value": value, "text": text, "kind": WORDS[row[0]], "good": row[1] > 2}
        yield json.dumps(one)


def classes(names: Iterable[str]) -> dict[str, object]:
    """The field of classes that are spelled so."""
    return {"dtype": "int64", "classes": list(names)}


def numbers(dtype: str, columns: int = 0, **more: object) -> dict[str, object]:
    """A field of numbers, of several columns or of one."""
    return {"dtype": dtype, **({"shape": [columns]} if columns else {}), **more}


TEXT: dict[str, object] = {"dtype": "str"}


class Kind(NamedTuple):
    """A table: how its rows are made, its fields, and the first and last column of each of them, or its key."""

    rows: Callable[[Random, int], Iterable[str]]
    fields: Mapping[str, Mapping[str, Any]]
    columns: Mapping[str, tuple[int, int]] = {}
    options: Mapping[str, Any] = {}
    read: str = READ_CSV % ""
    form: str = "csv"
    times: float = 1  # as many rows as else


TEN = {"features": (0, 9)}
RECORD = {
    "id": numbers("int64"),
    "value": numbers("float64"),
    "text": TEXT,
    "kind": classes(WORDS),
    "good": {"dtype": "bool"},
}
PASSENGER = ["id", "level", "full_name", "sex", "age", "siblings", "ticket", "fare", "cabin", "port"]
KINDS: dict[str, Kind] = {
    "whole numbers": Kind(
        whole_numbers,
        {"features": numbers("int16", 54), "cover": classes(COVERS)},
        {"features": (0, 53), "cover": (54, 54)},
    ),
    "decimals": Kind(written("{:.4f}".format, 10), {"features": numbers("float64", 10)}, TEN),
    "floats": Kind(written(repr, 10), {"features": numbers("float64", 10)}, TEN),
    "20 floats": Kind(written(repr, 20), {"features": numbers("float64", 20)}, {"features": (0, 19)}),
    "exponents": Kind(exponents, {"features": numbers("float64", 10)}, TEN),
    "short exponents": Kind(written("{:.6g}".format, 10, scale=1e-5), {"features": numbers("float64", 10)}, TEN),
    "words and numbers": Kind(
        words_and_numbers,
        {
            "numbers": numbers("int64", 6),
            **{f"word_{number}": TEXT for number in range(8)},
            "income": classes(INCOMES),
        },
        {"numbers": (0, 5), **{f"word_{n}": (6 + n, 6 + n) for n in range(8)}, "income": (14, 14)},
    ),
    "categories and numbers": Kind(
        words_and_numbers,
        {
            "numbers": numbers("int64", 6),
            **{f"word_{number}": classes(WORDS) for number in range(8)},
            "income": classes(INCOMES),
        },
        {"numbers": (0, 5), **{f"word_{n}": (6 + n, 6 + n) for n in range(8)}, "income": (14, 14)},
    ),
    "passengers": Kind(
        passengers,
        {
            "id": numbers("int64"),
            "level": classes("123"),
            "full_name": TEXT,
            "sex": classes(["male", "female"]),
            "age": numbers("float64", missing=[""]),
            "siblings": numbers("int64"),
            "ticket": TEXT,
            "fare": numbers("float64"),
            "cabin": TEXT,
            "port": TEXT,
        },
        {name: (at, at) for at, name in enumerate(PASSENGER)},
    ),
    "gaps": Kind(
        gaps,
        {
            "empty": numbers("float64", 4, missing=[""]),
            "na": numbers("float32", 4, missing=["NA"]),
            "whole": numbers("int64", 2, missing=["?"], missing_value=-999),
        },
        {"empty": (0, 3), "na": (4, 7), "whole": (8, 9)},
    ),
    "sentences": Kind(
        sentences,
        {"topic": classes(["1", "2", "3", "4"]), "title": TEXT, "text": TEXT},
        {"topic": (0, 0), "title": (1, 1), "text": (2, 2)},
    ),
    "reviews": Kind(
        reviews, {"text": TEXT, "label": classes(["negative", "positive"])}, {"text": (0, 0), "label": (1, 1)}
    ),
    "bools": Kind(answers, {"answers": {"dtype": "bool", "shape": [10]}}, {"answers": (0, 9)}),
    "times": Kind(
        days,
        {"time": TEXT, "prices": numbers("float64", 3), "volume": numbers("int64")},
        {"time": (0, 0), "prices": (1, 3), "volume": (4, 4)},
    ),
    "wide": Kind(
        wide,
        {"label": classes("0123456789"), "pixels": numbers("uint8", 1000)},
        {"label": (0, 0), "pixels": (1, 1000)},
        times=0.2,
    ),
    "narrow": Kind(
        lambda random, rows: map(str, random.integers(0, 1000, rows).tolist()),
        {"value": numbers("int64")},
        {"value": (0, 0)},
        times=10,
    ),
    "tabs": Kind(
        written("{:.4f}".format, 10, "\t"),
        {"features": numbers("float64", 10)},
        TEN,
        {"delimiter": "\t"},
        READ_CSV % r', sep="\t"',
    ),
    "decimal comma": Kind(
        written(lambda value: f"{value:.4f}".replace(".", ","), 10, ";"),
        {"features": numbers("float64", 10)},
        TEN,
        {"delimiter": ";", "decimal": ","},
        READ_CSV % ', sep=";", decimal=","',
    ),
    "blanks": Kind(
        written("{:12.4f}".format, 10, " "),
        {"features": numbers("float64", 10)},
        TEN,
        {"delimiter": "whitespace"},
        READ_CSV % r', sep=r"\s+"',
    ),
    "json lines": Kind(records, RECORD, read=READ_JSON, form="jsonl"),
    "parquet": Kind(records, RECORD, read=READ_PARQUET, form="parquet"),
}
