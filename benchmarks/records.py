"""The processor time of decoding JSON Lines, beside what the json module takes for the same values by hand.

    python benchmarks/records.py 150

The file is generated, of so many MB: whole numbers, fractions, words that repeat, lists of eight numbers, an object in
the record, and a text. By hand, each line goes through `json.loads`, each field is collected in a list, and numbers
become a NumPy array at the end; the package yields the same values in blocks, each compared with its declared dtype,
and refuses keys that are there twice. Each is done three times in turn, and the fastest counts.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.plan import Column, Split

TIMES = 3
FIELDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "id": ("int64", ()),
    "x": ("float64", ()),
    "y": ("float32", ()),
    "word": ("str", ()),
    "vector": ("float32", (8,)),
    "text": ("str", ()),
}


def write(path: Path, megabytes: float) -> int:
    """Write the file; return how many records it has."""
    chance, records = random.Random(0), 0
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1e6:
            block = []
            for record in range(records, records + 10_000):
                values = {
                    "id": record,
                    "x": chance.random(),
                    "y": chance.gauss(0, 1),
                    "word": chance.choice(["setosa", "versicolor", "virginica"]),
                    "vector": [round(chance.random(), 4) for _ in range(8)],
                    "meta": {"language": "en", "length": record % 97},
                    "text": f"review {record}: {'word ' * (record % 40)}",
                }
                block.append(json.dumps(values) + "\n")
            file.write("".join(block))
            records += 10_000
    return records


def by_hand(path: Path) -> dict[str, Any]:
    """Every value, by the json module."""
    fields: dict[str, list[Any]] = {name: [] for name in FIELDS}
    with path.open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            for name, values in fields.items():
                values.append(record[name])
    return {
        name: values if FIELDS[name][0] == "str" else np.array(values, FIELDS[name][0])
        for name, values in fields.items()
    }


def decode(path: Path, records: int) -> None:
    """Every value, by the package."""
    columns = {
        name: Column("train", name, dtype, records, path, name, shape) for name, (dtype, shape) in FIELDS.items()
    }
    for _ in formats.of("jsonl").decode([Split("train", records, columns, file=path)]):
        pass


def main() -> None:
    """Print what both took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        records = write(path, float(sys.argv[1]) if len(sys.argv) > 1 else 150)
        jobs: dict[str, Callable[[], Any]] = {"json": lambda: by_hand(path), "ours": lambda: decode(path, records)}
        best = dict.fromkeys(jobs, float("inf"))
        for _ in range(TIMES):
            for name, job in jobs.items():
                began = time.process_time()
                job()
                best[name] = min(best[name], time.process_time() - began)
        megabytes, ratio = path.stat().st_size / 1e6, best["ours"] / best["json"]
        print(f"jsonl, {megabytes:.0f} MB: by hand {best['json']:.2f} s, ours {best['ours']:.2f} s, {ratio:.2f}")


if __name__ == "__main__":
    main()
