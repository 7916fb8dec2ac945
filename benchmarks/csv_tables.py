"""The processor time of tables in text: `get` out of a folder, and `pandas.read_csv` of the same file.

    python benchmarks/csv_tables.py --rows 581_012

Each table is generated in the shape that is published of a known kind: whole numbers as in the forest cover types
(54 columns and a class), decimals, floats with all their digits, words and numbers side by side, sentences in quotes.
`get` has an empty home: it copies, hashes, decodes, checks and writes. Each run is a process of its own, imports and
all; within a round both run one after the other, and each round begins with the other one.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from harness import machine
from larger_than_memory import watched

GET = """
import json, resource, sys, tempfile
from tinytorch_datasets import get
with tempfile.TemporaryDirectory(dir=sys.argv[3]) as home:
    data = get("table", manifest=sys.argv[1], home=home, mirror=sys.argv[2], progress=lambda *_: None)
    seen = len(data.train)
    used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "seen": seen}))
"""
PANDAS = """
import json, resource, sys
import pandas
seen = len(pandas.read_csv(sys.argv[2] + "/table/table.csv.gz", header=None))
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "seen": seen}))
"""
# The lowest and the highest value of the ten quantities of the forest cover types, as UCI publishes them.
QUANTITIES = (
    *((1859, 3858), (0, 360), (0, 66), (0, 1397), (-173, 601)),
    *((0, 7117), (0, 254), (0, 254), (0, 254), (0, 7173)),
)
COVERS = [str(number) for number in range(1, 8)]
WORDS = ["Private", "Self-emp-not-inc", "Local-gov", "State-gov", "Without-pay"]


def whole_numbers(random: np.random.Generator, rows: int) -> Iterable[str]:
    """Rows as those of the forest cover types: ten quantities, one of 4, one of 40, and the class."""
    quantities = np.column_stack([random.integers(low, high + 1, rows) for low, high in QUANTITIES])
    area, soil = np.eye(4, dtype=int)[random.integers(0, 4, rows)], np.eye(40, dtype=int)[random.integers(0, 40, rows)]
    table = np.column_stack([quantities, area, soil, random.integers(1, 8, rows)])
    return (",".join(map(str, row)) for row in table.tolist())


def decimals(random: np.random.Generator, rows: int) -> Iterable[str]:
    """Ten numbers with four decimals."""
    return (",".join(f"{value:.4f}" for value in row) for row in random.normal(0, 100, (rows, 10)).tolist())


def floats(random: np.random.Generator, rows: int) -> Iterable[str]:
    """Ten numbers with all digits that float64 needs."""
    return (",".join(map(repr, row)) for row in random.normal(0, 100, (rows, 10)).tolist())


def words_and_numbers(random: np.random.Generator, rows: int) -> Iterable[str]:
    """Six numbers, eight words and a class, as in a census."""
    numbers, words = random.integers(0, 100_000, (rows, 6)), random.integers(0, 5, (rows, 8))
    for row, which, label in zip(numbers.tolist(), words.tolist(), random.integers(0, 2, rows).tolist(), strict=True):
        yield ",".join([*map(str, row), *(WORDS[word] for word in which), ("<=50K", ">50K")[label]])


def sentences(random: np.random.Generator, rows: int) -> Iterable[str]:
    """A class and two texts in quotes, as of news."""
    words = random.integers(0, 5, (rows, 30)).tolist()
    for number, row in enumerate(words):
        text = ", ".join(WORDS[word] for word in row)
        yield f'"{number % 4 + 1}","{text[:60]}","{text}"'


def classes(names: Iterable[str]) -> dict[str, object]:
    """The field of classes that are spelled so."""
    return {"dtype": "int64", "classes": list(names)}


# Each: how rows are made, the fields, the column or columns of each.
Kind = tuple[Callable[[np.random.Generator, int], Iterable[str]], dict[str, dict[str, object]], dict[str, object]]
TEXTS = {f"word_{number}": {"dtype": "str"} for number in range(8)}
KINDS: dict[str, Kind] = {
    "whole numbers": (
        whole_numbers,
        {"features": {"dtype": "int16", "shape": [54]}, "cover": classes(COVERS)},
        {"features": "0-53", "cover": 54},
    ),
    "decimals": (decimals, {"features": {"dtype": "float64", "shape": [10]}}, {"features": "0-9"}),
    "floats": (floats, {"features": {"dtype": "float64", "shape": [10]}}, {"features": "0-9"}),
    "words and numbers": (
        words_and_numbers,
        {"numbers": {"dtype": "int64", "shape": [6]}, **TEXTS, "income": classes(["<=50K", ">50K"])},
        {"numbers": "0-5", **{field: 6 + number for number, field in enumerate(TEXTS)}, "income": 14},
    ),
    "sentences": (
        sentences,
        {"topic": classes(["1", "2", "3", "4"]), "title": {"dtype": "str"}, "text": {"dtype": "str"}},
        {"topic": 0, "title": 1, "text": 2},
    ),
}


def write_table(root: Path, kind: str, rows: int) -> int:
    """A table of that kind in a folder that serves as mirror, with its manifest; its bytes."""
    made, fields, columns = KINDS[kind]
    path = root / "mirror" / "table" / "table.csv.gz"
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", compresslevel=6, encoding="utf-8") as file:
        file.writelines(f"{row}\n" for row in made(np.random.default_rng(0), rows))
    data = path.read_bytes()
    entry = {
        "title": "Table",
        "status": "remote",
        "format": "csv",
        "options": {"header": False, "columns": columns},
        "license": "CC0-1.0",
        "source": "generated",
        "fields": fields,
        "splits": {"train": {"samples": rows, "file": path.name}},
        "mirrors": ["https://example.invalid/"],
        "files": {path.name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}},
    }
    (root / "datasets.yaml").write_text(json.dumps({"version": 1, "datasets": {"table": entry}}))
    return len(data)


def measure(kind: str, rows: int, rounds: int, folder: Path | None) -> str:
    """One kind of table, by both: a row of the table that is printed."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        size = write_table(root, kind, rows)
        arguments = [root / "datasets.yaml", root / "mirror", root]
        seen: dict[str, list[dict[str, float]]] = {GET: [], PANDAS: []}
        for number in range(rounds):
            for work in (GET, PANDAS) if number % 2 else (PANDAS, GET):
                seen[work].append(watched([sys.executable, "-c", work, *arguments], rows))
        ours, theirs = (statistics.median(run["cpu_s"] for run in seen[work]) for work in (GET, PANDAS))
        least = min(run["cpu_s"] for run in seen[GET]) / min(run["cpu_s"] for run in seen[PANDAS])
        private = max(run["private_mib"] for run in seen[GET])
        cells = [kind, f"{rows:,}", f"{size / 1e6:.1f}", f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}"]
        return "| " + " | ".join([*cells, f"{least:.2f}", f"{private:.0f} MiB"]) + " |"


def main() -> None:
    """Measure each kind of table, and print what came out as Markdown."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=581_012, help="How many rows each table has")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", choices=KINDS, action="append", help="Some kinds only")
    options.add_argument("--folder", type=Path, help="Where there is room for the tables and what is decoded of them")
    chosen = options.parse_args()
    print(f"Load before: {machine.load()}; {machine.description()}")
    columns = [
        "table",
        "rows",
        "MB",
        "`get`, CPU s",
        "pandas, CPU s",
        "ratio",
        "of the shortest",
        "private memory, peak",
    ]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for kind in chosen.only or KINDS:
        print(measure(kind, chosen.rows, chosen.rounds, chosen.folder), flush=True)


if __name__ == "__main__":
    main()
