"""How is TinyDigits cut out of scikit-learn's digits?

    python create_tinydigits.py FOLDER

writes FOLDER/train.pkl and FOLDER/test.pkl, byte for byte the two files beside this script.
Needs scikit-learn and NumPy 2; reading the files needs neither scikit-learn nor this script.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np

# Per digit. The rarest digit, 8, has 174 images in the source, so 120 of each is within reach.
TRAIN_PER_DIGIT = 100
TEST_PER_DIGIT = 20

SEED = 42

# Python 3.8 to 3.13 write protocol 4 when not told otherwise; 3.14 writes 5, which would change every hash.
PICKLE_PROTOCOL = 4

SHA256 = {
    "train.pkl": "254293630e549113002cdc3f7f1542715e0a40288a3a8a0358fb8e478dce1e54",
    "test.pkl": "767ea1644a12dac6f3f94f63536de4deace8a0fa1f5c54f80a9419a267c7802d",
}


def choose() -> dict[str, dict[str, np.ndarray]]:
    """Choose the images of both splits, the same number of each digit.

    Returns:
        {"train.pkl": ..., "test.pkl": ...}, each {"images": float32 (N, 8, 8), row then column,
        0.0 is paper and 1.0 full ink; "labels": int64 (N,), the digit}, N being 1000 and 200.

    Source: `sklearn.datasets.load_digits`, whose pixels are whole numbers from 0 to 16.
    """
    # Here and not above: importing this module for its constants must not need scikit-learn.
    from sklearn.datasets import load_digits

    source = load_digits()
    pixels = source.images.astype(np.float32) / 16.0
    digits = source.target.astype(np.int64)

    # A legacy generator of our own draws what `np.random.seed(42)` would, and disturbs nobody else's numbers.
    # NumPy keeps its stream as it is for good (NEP 19), which it does not promise of `default_rng`.
    generator = np.random.RandomState(SEED)

    train: list[np.ndarray] = []
    test: list[np.ndarray] = []
    for digit in range(10):
        where = np.flatnonzero(digits == digit)
        generator.shuffle(where)
        train.append(where[:TRAIN_PER_DIGIT])
        test.append(where[TRAIN_PER_DIGIT : TRAIN_PER_DIGIT + TEST_PER_DIGIT])

    chosen = {}
    # The order of these two lines is part of the recipe: each permutation draws from the one generator.
    for file, rows in (("train.pkl", np.concatenate(train)), ("test.pkl", np.concatenate(test))):
        rows = rows[generator.permutation(len(rows))]
        chosen[file] = {"images": pixels[rows], "labels": digits[rows]}
    return chosen


def write(folder: Path) -> dict[str, str]:
    """Write train.pkl and test.pkl into a folder, and say the sha256 of each."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for file, arrays in choose().items():
        data = pickle.dumps(arrays, protocol=PICKLE_PROTOCOL)
        (folder / file).write_bytes(data)
        written[file] = hashlib.sha256(data).hexdigest()
    return written


def main(arguments: list[str]) -> int:
    """Write both files; exit 1 if they are not the published ones, 2 if the call is wrong."""
    if len(arguments) != 1:
        print("usage: python create_tinydigits.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    strangers = 0
    for file, sha256 in write(folder).items():
        print(f"{sha256}  {folder / file}")
        if sha256 != SHA256[file]:
            strangers += 1
            # NumPy 1 pickles arrays under other module names: same numbers, other bytes.
            print(
                f"{folder / file} is not the published file, whose sha256 is {SHA256[file]}.\n"
                f"NumPy here is {np.__version__}; the recipe needs NumPy 2.",
                file=sys.stderr,
            )
    return 1 if strangers else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
