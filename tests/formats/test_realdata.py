"""The real files, against figures that nobody here computed from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import column, read, split
from tinytorch_datasets.plan import Split

DIGITS = tuple("0123456789")
MEMBERS = {
    "train": [f"cifar-10-batches-py/data_batch_{n}" for n in range(1, 6)],
    "test": ["cifar-10-batches-py/test_batch"],
}


def mnist(folder: Path, name: str, prefix: str, samples: int) -> Split:
    """One split of MNIST, as the manifest declares it."""
    common: dict[str, Any] = {"samples": samples, "split": name}
    return split(
        column(folder / f"{prefix}-images-idx3-ubyte.gz", shape=(28, 28), **common),
        column(folder / f"{prefix}-labels-idx1-ubyte.gz", "labels", dtype="int64", classes=DIGITS, **common),
    )


def cifar(file: Path, a_batch: int) -> list[Split]:
    """CIFAR-10's two splits."""
    splits = []
    for name, members in MEMBERS.items():
        common: dict[str, Any] = {"samples": a_batch * len(members), "split": name}
        images = column(file, shape=(3, 32, 32), **common)
        labels = column(file, "labels", dtype="int64", classes=DIGITS, **common)
        splits.append(split(images, labels, members=members))
    return splits


def test_mnist(realdata: Path) -> None:
    """Label counts and mean are those that the literature gives."""
    folder = realdata / "mnist"

    found = read("idx", mnist(folder, "train", "train", 60_000), mnist(folder, "test", "t10k", 10_000))

    assert {name: (values.dtype.name, values.shape) for name, values in found.items()} == {
        "train.images": ("uint8", (60_000, 28, 28)),
        "train.labels": ("uint8", (60_000,)),
        "test.images": ("uint8", (10_000, 28, 28)),
        "test.labels": ("uint8", (10_000,)),
    }
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(found["train.labels"]).tolist() == counts
    assert found["train.images"].mean() == pytest.approx(33.3184, abs=5e-5)


def test_cifar_10_mini(realdata: Path) -> None:
    """750 real images a batch; the first label of the real training set is a frog."""
    found = read("cifar-python", *cifar(realdata / "cifar-10-mini" / "cifar-10-python.tar.gz", 750))

    assert found["train.images"].shape == (3750, 3, 32, 32)
    assert found["test.images"].shape == (750, 3, 32, 32)
    # The first of the real set, which any picture of CIFAR-10 shows: a frog, then two trucks; a cat, then two ships.
    assert found["train.labels"][:3].tolist() == [6, 9, 9]
    assert found["test.labels"][:3].tolist() == [3, 8, 8]
    # Its first pixel row by other loaders: R of the frog's corner.
    assert found["train.images"][0, :, 0, 0].tolist() == [59, 62, 63]


@pytest.mark.slow
def test_cifar_10_in_full_size(full_cifar: Path) -> None:
    """The stand-in has the real labels, of which there are 5,000 and 1,000 a class."""
    found = read("cifar-python", *cifar(full_cifar, 10_000))

    assert found["train.images"].shape == (50_000, 3, 32, 32)
    assert found["train.images"].dtype == np.uint8
    assert np.bincount(found["train.labels"]).tolist() == [5000] * 10
    assert np.bincount(found["test.labels"]).tolist() == [1000] * 10


@pytest.mark.parametrize(("name", "samples"), [("train", 1000), ("test", 200)])
def test_tinydigits(name: str, samples: int) -> None:
    """Ten digits in equal parts, pixels from 0 to 1 in sixteenths."""
    file = Path(__file__).parents[2] / "datasets" / "tinydigits" / f"{name}.pkl"
    images = column(file, samples=samples, dtype="float32", shape=(8, 8), split=name)

    found = read("pickle", split(images, column(file, "labels", samples=samples, dtype="int64", split=name)))

    assert found[f"{name}.images"].shape == (samples, 8, 8)
    assert set(np.unique(found[f"{name}.images"] * 16)) == set(range(17))
    assert np.bincount(found[f"{name}.labels"]).tolist() == [samples // 10] * 10
