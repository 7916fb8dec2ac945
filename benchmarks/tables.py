"""The processor time of decoding a table of 100 MB, beside what pyarrow takes for the same values.

    python benchmarks/tables.py

The table is generated: eight columns of floats, four of whole numbers, one of texts, one of words that repeat. By
hand, pyarrow reads all of it and each column becomes a NumPy array; the package yields the same values in blocks, each
number compared with its declared dtype. Each is done five times in turn, and the fastest counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from tinytorch_datasets import formats
from tinytorch_datasets.plan import Column, Split

ROWS = 1_200_000
TIMES = 5


def table(rows: int) -> pa.Table:
    """The table that both read."""
    random = np.random.default_rng(0)
    columns = {f"float{n}": random.standard_normal(rows) for n in range(8)}
    columns |= {f"whole{n}": random.integers(0, 1000, rows) for n in range(4)}
    columns["word"] = np.array(["setosa", "versicolor", "virginica"])[random.integers(0, 3, rows)]
    return pa.table({**columns, "text": [f"review {n} {'word ' * (n % 9)}" for n in range(rows)]})


def decode(form: str, path: Path, of: pa.Table) -> None:
    """Every value, by the package."""
    columns = {
        name: Column(
            "train",
            name,
            "str" if pa.types.is_string(kind) else str(kind.to_pandas_dtype()().dtype),
            len(of),
            path,
            name,
        )
        for name, kind in zip(of.schema.names, of.schema.types, strict=True)
    }
    for _ in formats.of(form).decode([Split("train", len(of), columns, file=path)]):
        pass


def by_hand(read: Callable[[], pa.Table]) -> None:
    """Every value, by pyarrow."""
    for column in read().columns:
        column.to_numpy()


def main() -> None:
    """Print a line for each format."""
    of = table(ROWS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        for form in ("parquet", "arrow"):
            pq.write_table(of, path) if form == "parquet" else feather.write_feather(of, path)
            read = (lambda: pq.read_table(path)) if form == "parquet" else (lambda: feather.read_table(path))
            jobs = {"pyarrow": lambda read=read: by_hand(read), "ours": lambda form=form: decode(form, path, of)}
            best = dict.fromkeys(jobs, float("inf"))
            for _ in range(TIMES):
                for name, job in jobs.items():
                    began = time.process_time()
                    job()
                    best[name] = min(best[name], time.process_time() - began)
            megabytes = path.stat().st_size / 1e6
            ratio = best["ours"] / best["pyarrow"]
            print(
                f"{form}, {megabytes:.0f} MB: pyarrow {best['pyarrow']:.2f} s, ours {best['ours']:.2f} s, {ratio:.2f}"
            )


if __name__ == "__main__":
    main()
