"""Epochs by `batches(prefetch=2)` beside `prefetch=0`: where nothing is done between batches, and where something is.

    python benchmarks/prefetch.py

The arrays are generated, as large as MNIST's; the batches are shuffled. Between batches each is hashed, which lets
other threads run, or nothing is done. In each round both ways have one epoch, in turns that begin with the other one;
what is printed is the median of the ratios within the rounds, by the clock, and the shortest epochs. Both must give the
same batches before anything is timed. Two cores with nothing else to do are needed.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch_datasets import Split

SIZE, SAMPLES = 128, 60_000
TASKS: dict[str, Callable[[Any], object]] = {
    "nothing between batches": lambda images: None,
    "each batch hashed": lambda images: hashlib.sha256(images).digest(),
}


def seconds(split: Split, prefetch: int, task: Callable[[Any], object], dtype: str | None) -> float:
    """Return how long an epoch takes."""
    start = time.perf_counter()
    for images, _ in split.batches(SIZE, shuffle=True, seed=0, dtype=dtype, prefetch=prefetch):
        task(images)
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print a row a task and dtype."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    given = parser.parse_args()
    random = np.random.RandomState(0)
    images, labels = random.randint(0, 256, (SAMPLES, 28, 28)).astype(np.uint8), random.randint(0, 10, SAMPLES)
    split = Split("train", {"images": images, "labels": labels}, scales={"images": 255})
    ways = [split.batches(SIZE, shuffle=True, seed=0, prefetch=prefetch) for prefetch in (0, 2)]
    for batches in zip(*ways, strict=True):
        for plain, ahead in zip(*batches, strict=True):
            assert np.array_equal(plain, ahead), "both must give the same batches"
    print("| what | prefetch=0, ms | prefetch=2, ms | ratio |\n|---|---|---|---|")
    for what, task in TASKS.items():
        for dtype in (None, "float32"):
            rounds = []
            for number in range(given.rounds):
                order = (0, 2) if number % 2 else (2, 0)
                rounds.append({prefetch: seconds(split, prefetch, task, dtype) for prefetch in order})
            ratio = statistics.median(times[2] / times[0] for times in rounds)
            least = [min(times[prefetch] for times in rounds) * 1e3 for prefetch in (0, 2)]
            print(f"| {what}, {dtype or 'as stored'} | {least[0]:.1f} | {least[1]:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
