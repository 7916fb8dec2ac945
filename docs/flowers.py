"""The example of a data set of two flowers, which pages show from the outside and from the inside."""

from __future__ import annotations

import hashlib

ROWS = b"5.1,3.5,rose\n4.9,3.0,tulip\n"


def manifest(rows: bytes = ROWS, *, samples: int = 2) -> str:
    """Return a manifest that declares a file of these rows, at an address where no server answers."""
    return f"""version: 1
datasets:
  flowers:
    title: Two flowers
    status: remote
    format: csv
    options: {{header: false, columns: {{labels: 2}}}}
    license: CC0-1.0
    source: https://example.org/flowers
    fields:
      features: {{dtype: float64, shape: [2]}}
      labels: {{dtype: int64, classes: [rose, tulip]}}
    splits:
      train: {{samples: {samples}, file: flowers.csv}}
    mirrors: [http://127.0.0.1:9/]
    files:
      flowers.csv: {{bytes: {len(rows)}, sha256: {hashlib.sha256(rows).hexdigest()}}}
"""
