"""The declared checks of samples that differ in shape: repeated, of one value, of unequal classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinytorch_datasets import load_manifest
from tinytorch_datasets.auditing.arrays import Statistics
from tinytorch_datasets.plan import Column, Plan, RaggedBlock, Split


def statistics(images: list[np.ndarray], labels: list[list[int]]) -> list[str]:
    """What the checks of TinyDigits (no repeated, no constant image, equal classes) say of other values."""
    classes = tuple("0123456789")
    columns = {
        "images": Column("train", "images", "float32", len(images), Path("train.pkl"), "images", (None, None)),
        "labels": Column(
            "train", "labels", "int64", len(labels), Path("train.pkl"), "labels", (None,), classes=classes
        ),
    }
    split = Split("train", len(images), columns)
    gathered = Statistics(load_manifest(), Plan("tinydigits", "tinydigits", Path(), "shipped", "pickle", (), (split,)))
    gathered.add(columns["images"], 0, RaggedBlock.of(images[:2], "float32", 2))
    gathered.add(columns["images"], 2, RaggedBlock.of(images[2:], "float32", 2))
    gathered.add(columns["labels"], 0, RaggedBlock.of(labels, "int64", 1))
    return [finding.what for finding in gathered.findings()]


def test_samples_are_compared_with_their_shapes() -> None:
    """The same values in another shape are another sample; the same in the same shape repeat it."""
    image = np.arange(6).reshape(2, 3)
    every = [list(range(10)), [], [], []]

    assert statistics([image, image.reshape(3, 2), image.reshape(1, 6), np.zeros((0, 3))], every) == []
    assert statistics([image, image.T, image.reshape(1, 6), image], every) == [
        "1 samples of train repeat the images of an earlier one (3 repeats 0); checks allow 0"
    ]


def test_constant_samples_and_classes_are_counted() -> None:
    """An empty sample has no value; every label of a sample counts."""
    images = [np.full((2, 2), 3), np.zeros((0, 0)), np.full((1, 5), 0), np.arange(2).reshape(1, 2)]

    assert statistics(images, [[0, 0], list(range(10)), [], []]) == [
        "train.labels: '0' has 3 samples, '1' has 1: 3 times as many; checks allow 1",
        "train.images has 2 samples of one value throughout (0, 2); checks allow 0",
        "train.labels has 1 samples of one value throughout (0); checks allow 0",
    ]
