"""`DatasetManager`: the arrays of each data set, for the milestones.

From `DatasetManager`, whichever data set it is. What a data set consists of, and where it comes from, is in
`datasets.yaml` alone; this class only gives the answers in the form that the scripts ask for.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tinytorch_datasets import Dataset, get

Samples = tuple[np.ndarray, np.ndarray]


class DatasetManager:
    """Data sets as arrays, fetched and verified on first use.

    Args:
        data_dir: Where downloads go: ``<data_dir>/mnist/``, ``<data_dir>/cifar-10/``. None leaves that to
            ``TINYTORCH_DATASETS_HOME`` and, without it, to the manifest: ``milestones/datasets/`` in a clone.

    >>> X, y = DatasetManager().get_xor_data()
    >>> X.shape, X.dtype, y.shape, y.dtype
    ((1000, 2), dtype('float32'), (1000,), dtype('int64'))
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None = None) -> None:
        self.data_dir = None if data_dir is None else Path(data_dir).expanduser().absolute()

    def get(self, name: str) -> Dataset:
        """Any data set of the manifest, memory-mapped: for `batches`, `classes` and `provenance`."""
        return get(name, home=self.data_dir)

    def get_mnist(self) -> tuple[Samples, Samples]:
        """Handwritten digits: ``(train_images, train_labels), (test_images, test_labels)``.

        Images are float32 (N, 28, 28), from 0 (paper) to 1 (ink); labels int64 (N,). N is 60,000 and 10,000.
        """
        return self._train_and_test("mnist")

    def get_cifar10(self) -> tuple[Samples, Samples]:
        """Color photographs in ten classes: ``(train_images, train_labels), (test_images, test_labels)``.

        Images are float32 (N, 3, 32, 32), from 0 to 1; labels int64 (N,). N is 50,000 and 10,000, which takes
        740 MB; ``get("cifar10").train.batches(...)`` makes floats of one batch at a time.
        """
        return self._train_and_test("cifar10")

    def get_tinydigits(self) -> tuple[Samples, Samples]:
        """Small handwritten digits: ``(train_images, train_labels), (test_images, test_labels)``.

        Images are float32 (N, 8, 8), from 0 (paper) to 1 (ink); labels int64 (N,). N is 1,000 and 200.
        """
        return self._train_and_test("tinydigits")

    def get_tinytalks(self) -> Dataset:
        """Questions and answers: `train`, `val` and `test`, each with `text`, `questions`, `answers`, `levels`."""
        return self.get("tinytalks")

    def get_xor_data(self, num_samples: int = 1000) -> Samples:
        """Points near the four corners of the unit square; their class is 1 where the corner's coordinates differ.

        No straight line parts the classes. The two lines at 0.5 do, for the noise stays below 0.3.

        Returns:
            X, float32 (num_samples, 2), and y, int64 (num_samples,); fewer samples are the first of more.
        """
        where, noise = _uniform(num_samples)
        corner = where < 0.5
        return (corner + 0.6 * (noise - 0.5)).astype(np.float32), (corner[:, 0] ^ corner[:, 1]).astype(np.int64)

    def get_perceptron_data(self, num_samples: int = 1000) -> Samples:
        """Points around (2, 2), class 1, and (-2, -2), class 0; the line x + y = 0 parts them by a wide margin.

        Returns:
            X, float32 (num_samples, 2), and y, int64 (num_samples,); fewer samples are the first of more.
        """
        where, noise = _uniform(num_samples)
        y = (where[:, 0] < 0.5).astype(np.int64)
        return (4 * y[:, None] - 2 + 3 * (noise - 0.5)).astype(np.float32), y

    def _train_and_test(self, name: str) -> tuple[Samples, Samples]:
        (x_train, y_train), (x_test, y_test) = self.get(name).arrays(dtype="float32")
        return (_own(x_train), _own(y_train)), (_own(x_test), _own(y_test))


def _uniform(num_samples: int) -> Samples:
    # Evenly spread noise, because it needs no logarithm: libraries of mathematics differ in the last bit of one.
    # A RandomState's stream is frozen for ever (NEP 19), a Generator's is not.
    drawn = np.random.RandomState(1969).random_sample((num_samples, 4))
    return drawn[:, :2], drawn[:, 2:]


def _own(values: np.ndarray) -> np.ndarray:
    # Memory maps are read-only; scripts shuffle and normalize in place.
    return values if values.flags.writeable else np.array(values)
