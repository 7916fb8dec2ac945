"""The data sets of Keras and of scikit-learn, declared in YAML alone: the same values, in the same splits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.declared import made
from tests.helpers.format_writers import npz
from tinytorch_datasets import Dataset, RaggedArray

# Each of scikit-learn's toy sets: how it is declared, the file of each keyword, and the fields that make its X and y.
TOYS: dict[str, tuple[str, dict[str, str]]] = {
    "iris": (
        """
        format: csv
        options: {header: false, skip_lines: 1}
        fields:
          features: {dtype: float64, shape: [4]}
          labels: {dtype: int64, classes: [setosa, versicolor, virginica], values: [0, 1, 2]}
        splits: {train: {samples: 150, file: iris.csv, labels: {column: -1}}}
        """,
        {"iris_csv": "iris.csv"},
    ),
    "wine": (
        """
        format: csv
        options: {header: false, skip_lines: 1}
        fields:
          features: {dtype: float64, shape: [13]}
          labels: {dtype: int64, classes: [class_0, class_1, class_2], values: [0, 1, 2]}
        splits: {train: {samples: 178, file: wine.csv, labels: {column: -1}}}
        """,
        {"wine_csv": "wine_data.csv"},
    ),
    "breast_cancer": (
        """
        format: csv
        options: {header: false, skip_lines: 1}
        fields:
          features: {dtype: float64, shape: [30]}
          labels: {dtype: int64, classes: [malignant, benign], values: [0, 1]}
        splits: {train: {samples: 569, file: cancer.csv, features: {column: 0-29}, labels: {column: 30}}}
        """,
        {"cancer_csv": "breast_cancer.csv"},
    ),
    "digits": (
        """
        format: csv
        options: {header: false}
        fields:
          features: {dtype: float64, shape: [64], range: [0, 16]}
          labels: {dtype: int64, classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]}
        splits: {train: {samples: 1797, file: digits.gz, labels: {column: 64}}}
        """,
        {"digits_gz": "digits.csv.gz"},
    ),
    "diabetes": (
        """
        format: csv
        options: {header: false, delimiter: whitespace}
        fields: {features: {dtype: float64, shape: [10]}, target: {dtype: float64}}
        target: target
        splits: {train: {samples: 442, features: {file: data.gz}, target: {file: target.gz}}}
        """,
        {"data_gz": "diabetes_data_raw.csv.gz", "target_gz": "diabetes_target.csv.gz"},
    ),
    "linnerud": (
        """
        format: csv
        options: {delimiter: whitespace}
        fields:
          features: {dtype: float64, shape: [3], names: [Chins, Situps, Jumps]}
          target: {dtype: float64, shape: [3], names: [Weight, Waist, Pulse]}
        target: target
        splits: {train: {samples: 20, features: {file: exercise.csv}, target: {file: physiological.csv}}}
        """,
        {"exercise_csv": "linnerud_exercise.csv", "physiological_csv": "linnerud_physiological.csv"},
    ),
}


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_set_of_scikit_learn_has_its_values(tmp_path: Path, name: str) -> None:
    """Out of the files that scikit-learn brings, as its own loader reads them."""
    entry, files = TOYS[name]
    datasets = pytest.importorskip("sklearn.datasets", reason="compares with scikit-learn's files, as it reads them")
    bundled = Path(datasets.__file__).parent / "data"
    data = made(tmp_path, entry, **{keyword: (bundled / file).read_bytes() for keyword, file in files.items()})
    unscaled = {"scaled": False} if name == "diabetes" else {}
    expected = getattr(datasets, f"load_{name}")(**unscaled)

    features, target = data.train.arrays()
    assert np.array_equal(features, expected.data)
    assert np.array_equal(target, expected.target)
    assert target.shape == expected.target.shape


def shuffled(random: np.random.RandomState, *arrays: Any) -> list[Any]:
    """Shuffle arrays of the same length in one order, as Keras' load_data() does."""
    order = np.arange(len(arrays[0]))
    random.shuffle(order)
    return [array[order] for array in arrays]


def words(count: int, seed: int) -> np.ndarray:
    """Make an array of lists of numbers, as Keras keeps texts."""
    random = np.random.default_rng(seed)
    lists = np.empty(count, object)
    lists[:] = [random.integers(1, 90_000, random.integers(0, 40)).tolist() for _ in range(count)]
    return lists


def with_objects(**arrays: np.ndarray) -> bytes:
    """Write an NPZ with arrays of objects, as `np.savez` does."""
    np.savez(out := io.BytesIO(), **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def same(mine: Any, theirs: Any) -> bool:
    """Check whether values are equal, lists of several lengths too."""
    if isinstance(mine, RaggedArray):
        return bool([sample.tolist() for sample in mine] == theirs.tolist())
    return np.array_equal(mine, theirs)


def fields(data: Dataset) -> tuple[Any, ...]:
    """Return inputs and targets as Keras' load_data() orders them: of training, then of testing."""
    return (*data.train.arrays(), *data.test.arrays())


@pytest.mark.parametrize(("file", "columns"), [("boston", 13), ("california", 8)])
def test_housing_is_split_as_by_keras(tmp_path: Path, file: str, columns: int) -> None:
    """One file with `x` and `y`; shuffled by seed 113, the last fifth is for testing."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=(515, columns)), random.normal(size=515)
    data = made(
        tmp_path,
        f"""
        format: npz
        fields: {{features: {{dtype: float64, shape: [{columns}]}}, target: {{dtype: float64}}}}
        target: target
        splits:
          train: {{samples: 412, file: {file}.npz, features: x, target: y, shuffle: {{seed: 113}}, rows: [0, 412]}}
          test: {{samples: 103, file: {file}.npz, features: x, target: y, shuffle: {{seed: 113}}, rows: [412, 515]}}
        """,
        **{f"{file}_npz": npz(x=x, y=y)},
    )

    x, y = shuffled(np.random.RandomState(113), x, y)
    cut = int(len(x) * (1 - 0.2))
    assert all(map(same, fields(data), (x[:cut], y[:cut], x[cut:], y[cut:])))


def test_reuters_is_split_as_by_keras(tmp_path: Path) -> None:
    """Lists of word numbers; shuffled by seed 113, the last fifth is for testing."""
    x, y = words(100, 2), np.random.default_rng(3).integers(0, 46, 100)
    names = ", ".join(f'"topic {number}"' for number in range(46))
    data = made(
        tmp_path,
        f"""
        format: npz
        fields: {{words: {{dtype: int64, shape: [null]}}, topic: {{dtype: int64, classes: [{names}]}}}}
        splits:
          train: {{samples: 80, file: reuters.npz, words: x, topic: y, shuffle: {{seed: 113}}, rows: [0, 80]}}
          test: {{samples: 20, file: reuters.npz, words: x, topic: y, shuffle: {{seed: 113}}, rows: [80, 100]}}
        """,
        reuters_npz=with_objects(x=x, y=y),
    )

    x, y = shuffled(np.random.RandomState(113), x, y)
    assert all(map(same, fields(data), (x[:80], y[:80], x[80:], y[80:])))


def test_imdb_is_shuffled_as_by_keras(tmp_path: Path) -> None:
    """Reviews for training and for testing one after the other, with one stream of random numbers."""
    x_train, x_test = words(60, 4), words(50, 5)
    y_train, y_test = np.arange(60) % 2, np.arange(50) // 25
    data = made(
        tmp_path,
        """
        format: npz
        fields: {words: {dtype: int64, shape: [null]}, labels: {dtype: int64, classes: [negative, positive]}}
        splits:
          train: {samples: 60, file: imdb.npz, words: x_train, labels: y_train, shuffle: {seed: 113}}
          test: {samples: 50, file: imdb.npz, words: x_test, labels: y_test, shuffle: {seed: 113, after: [60]}}
        """,
        imdb_npz=with_objects(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test),
    )

    random = np.random.RandomState(113)
    expected = (*shuffled(random, x_train, y_train), *shuffled(random, x_test, y_test))
    assert all(map(same, fields(data), expected))


def test_mnist_in_one_file_is_as_keras_keeps_it(tmp_path: Path) -> None:
    """Four arrays in an NPZ; Fashion-MNIST and CIFAR are kept as their authors publish them."""
    random = np.random.default_rng(6)
    arrays = {
        "x_train": random.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        "y_train": random.integers(0, 10, 60, dtype=np.uint8),
        "x_test": random.integers(0, 256, (10, 28, 28), dtype=np.uint8),
        "y_test": random.integers(0, 10, 10, dtype=np.uint8),
    }
    data = made(
        tmp_path,
        """
        format: npz
        fields:
          images: {dtype: uint8, shape: [28, 28]}
          labels: {dtype: int64, classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]}
        splits:
          train: {samples: 60, file: mnist.npz, images: x_train, labels: y_train}
          test: {samples: 10, file: mnist.npz, images: x_test, labels: y_test}
        """,
        mnist_npz=npz(**arrays),
    )

    assert all(map(same, fields(data), (arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"])))
