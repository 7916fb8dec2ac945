"""A data set with something of every kind, whose values are written here and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.helpers.declared import declare

ENTRY = """
description: Something of every kind.
format: jsonl
citation: 'R. A. Fisher and K. Pearson, "Pictures & words", Annals of Tests 7, 1936. https://doi.org/10.1000/xyz_1.'
fields:
  images: {dtype: uint8, shape: [2, 3], range: [0, 255]}
  labels: {dtype: int64, classes: [rose, "dog/cat", "<b>"]}
  features: {dtype: float32, shape: [2], names: [petal width, "50 %"], missing: [null]}
  words: {dtype: int32, shape: [null]}
  texts: {dtype: str}
  flags: {dtype: bool}
  sizes: {dtype: int64}
splits:
  train: {samples: 3, file: train.jsonl}
  test: {samples: 1, file: test.jsonl}
"""
ROWS: dict[str, list[dict[str, Any]]] = {
    "train": [
        {
            "images": [[0, 1, 2], [3, 4, 255]],
            "labels": 0,
            "features": [0.1, None],
            "words": [1, 2],
            "texts": 'a\n"b",c',
        },
        {"images": [[9, 9, 9], [9, 9, 9]], "labels": 2, "features": [2.5, -1], "words": [], "texts": ""},
        {"images": [[7, 0, 7], [0, 7, 0]], "labels": 1, "features": [1e30, 0], "words": [-7], "texts": "hé NA 🐸"},
    ],
    "test": [{"images": [[1, 1, 1], [1, 1, 1]], "labels": 0, "features": [0, 0], "words": [5], "texts": "x"}],
}
for _rows in ROWS.values():
    for _place, _row in enumerate(_rows):
        _row |= {"flags": _place % 2 == 0, "sizes": 2**53 + _place}


class Made(NamedTuple):
    """The manifest of the data set, and its values by split and field."""

    manifest: Path
    values: dict[str, dict[str, Any]]


@pytest.fixture
def made(tmp_path: Path, home: Path) -> Made:
    """The data set `made`."""
    lines = {split: "".join(json.dumps(row) + "\n" for row in rows) for split, rows in ROWS.items()}
    manifest = declare(tmp_path, ENTRY, train_jsonl=lines["train"], test_jsonl=lines["test"])
    values: dict[str, dict[str, Any]]
    values = {split: {field: [row[field] for row in rows] for field in rows[0]} for split, rows in ROWS.items()}
    dtypes = {"images": "uint8", "labels": "int64", "features": "float32", "flags": "bool", "sizes": "int64"}
    for of_split in values.values():
        of_split |= {field: np.array(of_split[field], dtype) for field, dtype in dtypes.items()}
    return Made(manifest, values)
