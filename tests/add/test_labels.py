"""Labels in arrays: what is stored for a class is declared, and never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.add_world import add, put
from tests.helpers.format_writers import npz
from tinytorch_datasets import Dataset, get, load_manifest

X = np.random.RandomState(0).rand(60, 4)
EYE = np.eye(3)[np.arange(60) % 3]


def _added(manifest: Path, folder: Path, **arrays: np.ndarray) -> tuple[Any, Dataset]:
    """The labels as declared, and the data set as it loads."""
    result = add(manifest, *put(folder, mine_npz=npz(**arrays)), "--ship", "--name", "mine")
    assert result.exit_code == 0, result.output
    return load_manifest(manifest).datasets["mine"].fields["labels"], get("mine", manifest=manifest, offline=True)


@pytest.mark.parametrize(
    ("stored", "classes", "values"),
    [
        (np.arange(60) % 3, ("0", "1", "2"), ()),
        (np.arange(60) % 10 + 1, tuple(map(str, range(1, 11))), 1),
        (np.arange(60) % 2 * 2 - 1, ("-1", "1"), (-1, 1)),
        (np.arange(60) % 2 * 2 + 2, ("2", "4"), (2, 4)),
        ((np.arange(60) % 4).astype("f4"), ("0", "1", "2", "3"), ()),
        ((np.arange(60) % 4)[:, None], ("0", "1", "2", "3"), ()),
        (np.arange(60) % 2 == 1, ("false", "true"), ()),
        (np.array(["cat", "dog", "ant"] * 20), ("ant", "cat", "dog"), ()),
    ],
    ids=["from 0", "from 1", "-1 and 1", "2 and 4", "whole floats", "of shape (60, 1)", "bools", "names"],
)
def test_each_label_is_the_position_of_what_is_stored(
    manifest: Path, tmp_path: Path, stored: np.ndarray, classes: tuple[str, ...], values: tuple[int, ...]
) -> None:
    """`np.unique` says which values there are, and at which position in them each sample's is."""
    declared, got = _added(manifest, tmp_path / "made", x=X, y=stored)

    assert (declared.dtype, declared.shape, declared.classes) == ("int64", (), classes)
    assert (declared.first or declared.values) == values
    np.testing.assert_array_equal(got.train.labels, np.unique(stored.ravel(), return_inverse=True)[1])


def test_a_one_in_one_of_the_columns(manifest: Path, tmp_path: Path) -> None:
    """Where each row of the labels has one 1 among zeros, it is one-hot; the label is its place."""
    declared, got = _added(manifest, tmp_path / "made", x=X, y=EYE)

    assert (declared.stored, declared.classes, declared.shape) == ("one-hot", ("0", "1", "2"), ())
    assert got.train.labels.tolist() == [i % 3 for i in range(60)]


@pytest.mark.parametrize(
    "stored",
    [np.linspace(0.5, 9, 60), np.maximum(EYE, np.roll(EYE, 1, 0)), EYE * 2, np.arange(60) * 7 - 100],
    ids=["a quantity", "several 1s a row", "no 1", "as many numbers as samples"],
)
def test_what_is_no_class_stays_what_it_is(manifest: Path, tmp_path: Path, stored: np.ndarray) -> None:
    """Its dtype, shape and values."""
    declared, got = _added(manifest, tmp_path / "made", x=X, y=stored)

    assert (declared.classes, declared.dtype, declared.shape) == (None, str(stored.dtype), stored.shape[1:])
    np.testing.assert_array_equal(got.train.labels, stored)
