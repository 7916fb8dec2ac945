"""Which numbers may a manifest declare, so that what keeps them can be held?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytorch_datasets.plan import DTYPES

# What no data set needs, and no computer holds: NumPy counts bytes in 64 bits and has 32 dimensions.
MOST_SAMPLES = 10**12
MOST_SAMPLE_BYTES = 2**31
MOST_SHAPE = 31


def wrong_range(span: list[float], dtype: Any) -> Iterator[str]:
    """What is wrong with a range of values of that dtype."""
    low, high = span
    if low > high:
        yield f"the lowest value comes first; {low} is more than {high}"
    if dtype in DTYPES and np.dtype(dtype).kind in "uib":
        limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if low < limits[0] or high > limits[1]:
            yield f"{dtype} holds {limits[0]} to {limits[1]}, so it cannot reach {low} to {high}"


def wrong_shape(shape: Any, dtype: Any) -> Iterator[str]:
    """What is wrong with the shape of one sample of that dtype."""
    if not isinstance(shape, list) or not all(isinstance(length, int) for length in shape):
        return
    if len(shape) > MOST_SHAPE:
        yield f"has {len(shape)} dimensions, the most is {MOST_SHAPE}"
    elif dtype in DTYPES and (nbytes := math.prod(shape) * np.dtype(dtype).itemsize) > MOST_SAMPLE_BYTES:
        yield f"makes a sample of {nbytes:,} bytes, the most is {MOST_SAMPLE_BYTES:,}"
