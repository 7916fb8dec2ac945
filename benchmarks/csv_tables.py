"""The processor time of tables: `get` out of a folder, and what pandas or pyarrow takes for the same file.

    python benchmarks/csv_tables.py --rows 581_012

Each table is generated, most in the shape that is published of a known kind: whole numbers as in the forest cover types
(54 columns and a class), words beside numbers as in a census, passengers with gaps, sentences and reviews in quotes.
Text is compared with `pandas.read_csv`, JSON Lines with `pandas.read_json`, Parquet with `pyarrow` alone. First, what
`get` returns must equal what the modules csv and json, and pyarrow, read of the file, value for value.

`get` has an empty home: it copies, hashes, decodes, checks and writes. Each run is a process of its own, imports and
all; within a round both run one after the other, and each round begins with the other one. `--pyarrow` has a third run
in each round, of pyarrow's own reader of CSV.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine
from larger_than_memory import watched
from table_kinds import KINDS, Kind

from tinytorch_datasets import get

GET = """
import json, resource, sys, tempfile
from tinytorch_datasets import get
with tempfile.TemporaryDirectory(dir=sys.argv[3]) as home:
    data = get("table", manifest=sys.argv[1], home=home, mirror=sys.argv[2], progress=lambda *_: None)
    seen = len(data.train)
    used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "seen": seen}))
"""
THEIRS = """
import json, resource, sys
%s
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "seen": seen}))
"""
PYARROW_CSV = """
import pyarrow.csv
read = pyarrow.csv.ReadOptions(autogenerate_column_names=True)
parse = pyarrow.csv.ParseOptions(delimiter=%r, newlines_in_values=True)
seen = len(pyarrow.csv.read_csv(sys.argv[1], read_options=read, parse_options=parse))
"""


def write_table(root: Path, kind: Kind, rows: int) -> Path:
    """Write a table of that kind into a folder that serves as mirror, with its manifest."""
    path = root / "mirror" / "table" / ("table.parquet" if kind.form == "parquet" else f"table.{kind.form}.gz")
    path.parent.mkdir(parents=True)
    if kind.form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(
            pa.Table.from_pylist([json.loads(row) for row in kind.rows(np.random.default_rng(0), rows)]), path
        )
    else:
        with gzip.open(path, "wt", compresslevel=6, encoding="utf-8", newline="") as file:
            file.writelines(f"{row}\n" for row in kind.rows(np.random.default_rng(0), rows))
    data = path.read_bytes()
    columns = {name: f"{low}-{high}" if high > low else low for name, (low, high) in kind.columns.items()}
    entry = {
        "title": "Table",
        "status": "remote",
        "format": kind.form,
        "options": {"header": False, "columns": columns, **kind.options} if kind.form == "csv" else {},
        "license": "CC0-1.0",
        "source": "generated",
        "fields": kind.fields,
        "splits": {"train": {"samples": rows, "file": path.name}},
        "mirrors": ["https://example.invalid/"],
        "files": {path.name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}},
    }
    (root / "datasets.yaml").write_text(json.dumps({"version": 1, "datasets": {"table": entry}}))
    return path


def rows_by_hand(path: Path, kind: Kind) -> Iterator[list[Any]]:
    """Yield, for each row, the cells of each field, as the standard library reads them, or pyarrow."""
    if kind.form == "csv":
        delimiter = kind.options.get("delimiter", ",")
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = map(str.split, file) if delimiter == "whitespace" else csv.reader(file, delimiter=delimiter)
            for row in rows:
                yield [row[low : high + 1] for low, high in kind.columns.values()]
        return
    if kind.form == "jsonl":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from ([[row[name]] for name in kind.fields] for row in map(json.loads, file))
        return
    import pyarrow.parquet as pq

    yield from ([[row[name]] for name in kind.fields] for row in pq.read_table(path).to_pylist())


def value_of(field: Mapping[str, Any], decimal: str) -> Callable[[Any], Any]:
    """Return what makes the value of a field of one cell."""
    if "classes" in field:
        return field["classes"].index  # type: ignore[no-any-return]
    if field["dtype"] == "str":
        return str
    if field["dtype"] == "bool":
        return lambda cell: {"True": True, "False": False}[str(cell)]
    read, missing = (float, np.nan) if field["dtype"].startswith("float") else (int, field.get("missing_value"))
    marks = field.get("missing", ())
    return lambda cell: missing if cell in marks else read(str(cell).replace(decimal, "."))


def check(root: Path, path: Path, kind: Kind) -> None:
    """Compare all that `get` returns with the same by hand."""
    with tempfile.TemporaryDirectory(dir=root) as home:
        data = get("table", manifest=root / "datasets.yaml", home=home, mirror=root / "mirror", progress=quiet)
        made = [value_of(field, kind.options.get("decimal", ".")) for field in kind.fields.values()]
        expected: list[list[Any]] = [[] for _ in made]
        for row in rows_by_hand(path, kind):
            for values, value, cells in zip(expected, made, row, strict=True):
                values.extend(map(value, cells))
        for (name, field), values in zip(kind.fields.items(), expected, strict=True):
            ours = getattr(data.train, name)
            if field["dtype"] == "str":
                assert list(ours) == values, name
            else:
                assert ours.dtype == field["dtype"], name
                by_hand = np.array(values, "float64" if field["dtype"].startswith("float") else None)
                np.testing.assert_array_equal(ours.ravel(), by_hand.astype(ours.dtype), err_msg=name, strict=True)


def quiet(*_: object) -> None:
    """Show no progress."""


def measure(name: str, rows: int, rounds: int, folder: Path | None, *, with_pyarrow: bool) -> str:
    """Measure one kind of table, by all: a row of the table that is printed."""
    kind = KINDS[name]
    rows = round(rows * kind.times)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        root = Path(temporary)
        path = write_table(root, kind, rows)
        check(root, path, kind)
        works = {
            "get": [sys.executable, "-c", GET, root / "datasets.yaml", root / "mirror", root],
            "theirs": [sys.executable, "-c", THEIRS % kind.read, path],
        }
        delimiter = kind.options.get("delimiter", ",")
        if with_pyarrow and kind.form == "csv" and len(delimiter) == 1:
            works["pyarrow"] = [sys.executable, "-c", THEIRS % (PYARROW_CSV % delimiter), path]
        runs: dict[str, list[dict[str, float]]] = {work: [] for work in works}
        for number in range(rounds):
            for work in list(works)[:: 1 if number % 2 else -1]:
                runs[work].append(watched(works[work], rows))
        median = {work: statistics.median(run["cpu_s"] for run in runs[work]) for work in runs}
        least = {work: min(run["cpu_s"] for run in runs[work]) for work in runs}
        cells = [name, f"{rows:,}", f"{path.stat().st_size / 1e6:.1f}", f"{median['get']:.2f}"]
        for work in list(runs)[1:]:
            ratio = statistics.median(
                ours["cpu_s"] / run["cpu_s"] for ours, run in zip(runs["get"], runs[work], strict=True)
            )
            cells += [f"{median[work]:.2f}", f"{ratio:.2f}", f"{least['get'] / least[work]:.2f}"]
        cells.append(f"{max(run['private_mib'] for run in runs['get']):.0f} MiB")
        return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure each kind of table, and print what came out as Markdown."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=200_000, help="How many rows each table has")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", choices=KINDS, action="append", help="Some kinds only")
    options.add_argument("--folder", type=Path, help="Where there is room for the tables and what is decoded of them")
    options.add_argument("--pyarrow", action="store_true", help="Compare with pyarrow's reader of CSV, too")
    chosen = options.parse_args()
    print(f"Load before: {machine.load()}; {machine.description()}")
    columns = ["table", "rows", "MB", "`get`, CPU s", "theirs, CPU s", "ratio", "of the shortest"]
    columns += ["pyarrow, CPU s", "ratio", "of the shortest"] if chosen.pyarrow else []
    columns.append("private memory, peak")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for kind in chosen.only or KINDS:
        print(measure(kind, chosen.rows, chosen.rounds, chosen.folder, with_pyarrow=chosen.pyarrow), flush=True)


if __name__ == "__main__":
    main()
