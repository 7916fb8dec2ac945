"""Epochs through PyTorch's DataLoader, beside `batches` alone and beside a TensorDataset of the same arrays.

    python benchmarks/loader.py

PyTorch must be installed. The arrays are generated, as large as MNIST's. In each round every way has one epoch, and the
fastest of seven counts; a ratio is the median of those within the rounds. An epoch reads a number of each batch.
Worker processes stay from epoch to epoch.

The ways differ in what they leave undone, so each is compared with the one that does the same: `batches` alone of
shuffled samples gathers them as a loader does, while in the split's order it copies nothing at all, and no loader can
cost twice nothing.

Then photographs, of 256 x 256, are decoded from JPEG by one worker process and by two, if Pillow is installed. That is
bound by the processor: it has to have two cores, and nothing else to do.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from tinytorch_datasets import Split
from tinytorch_datasets.storage.encoded_array import EncodedArray, Recipe

ROUNDS = 7
SIZE = 128
PHOTOS = 1_500


def ways(split: Split) -> dict[str, Iterable[Any]]:
    """Return every way to an epoch, by name."""
    floats = partial(split.collate, dtype="float32")
    tensors = TensorDataset(torch.tensor(split.images), torch.tensor(split.labels))
    shuffled = {"shuffle": True, "generator": torch.Generator().manual_seed(0)}
    by_number: dict[str, Any] = {"batch_size": None}
    by_workers: dict[str, Any] = {"num_workers": 2, "persistent_workers": True}
    return {
        "batches, in order (views)": split.batches(SIZE),
        "batches, shuffled": split.batches(SIZE, shuffle=True, seed=0),
        "batches, shuffled, float32": split.batches(SIZE, shuffle=True, seed=0, dtype="float32"),
        "DataLoader(split, collate_fn=split.collate), in order": DataLoader(
            split, batch_size=SIZE, collate_fn=split.collate
        ),
        "DataLoader(split, collate_fn=split.collate), shuffled": DataLoader(
            split, batch_size=SIZE, collate_fn=split.collate, **shuffled
        ),
        "DataLoader(split, collate_fn=... float32), shuffled": DataLoader(
            split, batch_size=SIZE, collate_fn=floats, **shuffled
        ),
        "DataLoader(batches), in order": DataLoader(split.batches(SIZE), **by_number),
        "DataLoader(batches), shuffled": DataLoader(split.batches(SIZE, shuffle=True, seed=0), **by_number),
        "DataLoader(batches, float32), shuffled": DataLoader(
            split.batches(SIZE, shuffle=True, seed=0, dtype="float32"), **by_number
        ),
        "DataLoader(TensorDataset), in order": DataLoader(tensors, batch_size=SIZE),
        "DataLoader(TensorDataset), shuffled": DataLoader(tensors, batch_size=SIZE, **shuffled),
        "DataLoader(split, collate_fn=split.collate, num_workers=2), shuffled": DataLoader(
            split, batch_size=SIZE, collate_fn=split.collate, **shuffled, **by_workers
        ),
        "DataLoader(TensorDataset, num_workers=2), shuffled": DataLoader(
            tensors, batch_size=SIZE, **shuffled, **by_workers
        ),
    }


COMPARED = (
    ("DataLoader(split, collate_fn=split.collate), shuffled", "batches, shuffled"),
    ("DataLoader(split, collate_fn=... float32), shuffled", "batches, shuffled, float32"),
    ("DataLoader(split, collate_fn=split.collate), in order", "batches, shuffled"),
    ("DataLoader(split, collate_fn=split.collate), in order", "DataLoader(TensorDataset), in order"),
    ("DataLoader(split, collate_fn=split.collate), shuffled", "DataLoader(TensorDataset), shuffled"),
    (
        "DataLoader(split, collate_fn=split.collate, num_workers=2), shuffled",
        "DataLoader(TensorDataset, num_workers=2), shuffled",
    ),
    ("DataLoader(batches), shuffled", "batches, shuffled"),
    ("DataLoader(batches, float32), shuffled", "batches, shuffled, float32"),
)


def seconds(epoch: Iterable[Any], samples: int) -> float:
    """Return how long an epoch takes."""
    start, count = time.perf_counter(), 0
    for images, labels in epoch:
        count += len(labels)
        assert np.asarray(images)[(0,) * images.ndim] >= 0  # by NumPy: to index a tensor takes as long as to make one
    assert count == samples
    return time.perf_counter() - start


def decoder(facts: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
    """Return what decodes a JPEG."""
    from PIL import Image

    return lambda file: np.array(Image.open(io.BytesIO(file)))


def photographs() -> Split:
    """Return a split of photographs that are kept encoded."""
    from PIL import Image

    noise = np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((256, 256)).save(file, "JPEG", quality=95)
    images = EncodedArray.of(
        [file.getvalue()] * PHOTOS, None, dtype="uint8", sample_shape=(256, 256, 3), recipe=Recipe(decoder, {})
    )
    return Split("train", {"images": images, "labels": np.arange(PHOTOS)})


def main() -> None:
    """Measure, and print a line a way and a line a ratio."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    random = np.random.RandomState(0)
    images, labels = random.randint(0, 256, (60_000, 28, 28)).astype(np.uint8), random.randint(0, 10, 60_000)
    measured = ways(Split("train", {"images": images, "labels": labels}, scales={"images": 255}))
    rounds = [{name: seconds(epoch, 60_000) for name, epoch in measured.items()} for _ in range(ROUNDS)]
    for name in measured:
        print(f"{min(times[name] for times in rounds) * 1000:9.1f} ms  {name}")
    print()
    for name, beside in COMPARED:
        print(f"{statistics.median(times[name] / times[beside] for times in rounds):9.2f} x   {name}: {beside}")
    try:
        photos = photographs()
    except ImportError:
        sys.exit("Pillow is not installed, so nothing is decoded")
    loaders = {
        n: DataLoader(photos.batches(32), batch_size=None, num_workers=n, persistent_workers=True) for n in (1, 2)
    }
    epochs = [{n: seconds(loader, PHOTOS) for n, loader in loaders.items()} for _ in range(ROUNDS)][1:]
    print(f"{statistics.median(times[1] / times[2] for times in epochs):9.2f} x   as fast by two workers as by one")


if __name__ == "__main__":
    main()
