"""Pictures, recordings and arrays that people teach with, each declared in YAML alone, from the real files.

Expected values are those of Pillow, of the wave module, of h5py and of NumPy; tables are in test_public_tables_by_yaml.
"""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.helpers.declared import made


@pytest.mark.slow
def test_omniglot(realdata: Path, tmp_path: Path) -> None:
    """2,720 drawings in folders of characters, in folders of alphabets, which are two fields."""
    data = (realdata / "formats" / "images" / "images_background_small1.zip").read_bytes()
    split = made(
        tmp_path,
        """
        format: images
        fields:
          images: {dtype: uint8, shape: [105, 105]}
          alphabet:
            dtype: int64
            classes: [Balinese, Early_Aramaic, Greek, Korean, Latin]
          character: {dtype: str}
        options: {mode: L}
        splits:
          train:
            samples: 2_720
            file: omniglot.zip
            members: ["images_background_small1/*/*/*.png"]
            images: image
            alphabet: {key: folder, options: {label_folder: -2}}
            character: folder
        """,
        omniglot_zip=data,
    ).train

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png") and "__MACOSX" not in name)
        images = [np.asarray(Image.open(archive.open(name)).convert("L")) for name in names]
    np.testing.assert_array_equal(split.images, images)
    alphabets = np.array(["Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"])
    assert alphabets[split.alphabet].tolist() == [name.split("/")[1] for name in names]
    assert list(split.character) == [name.split("/")[2] for name in names]


def test_photographs(realdata: Path, tmp_path: Path) -> None:
    """Two files, two sizes."""
    folder = realdata / "formats" / "images"
    files = [(folder / name).read_bytes() for name in ("china.jpg", "test_image_rgb.jpg")]
    split = made(
        tmp_path,
        """
        format: images
        fields: {images: {dtype: uint8, shape: [null, null, 3]}}
        splits: {train: {samples: 2, members: [a.jpg, b.jpg]}}
        """,
        a_jpg=files[0],
        b_jpg=files[1],
    ).train

    for actual, data in zip(split.images, files, strict=True):
        np.testing.assert_array_equal(actual, np.asarray(Image.open(io.BytesIO(data))), strict=True)


def test_recordings(realdata: Path, tmp_path: Path) -> None:
    """The digit is what a name begins with, and who said it comes next."""
    folder = realdata / "formats" / "audio"
    names = ["0_george_0.wav", "2_jackson_0.wav"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.write(folder / name, f"recordings/{name}")
    split = made(
        tmp_path,
        """
        format: audio
        options: {rate: 8_000}
        fields:
          recordings: {dtype: int16, shape: [null]}
          digit: {dtype: int64, classes: ["0", "1", "2"]}
          speaker: {dtype: str}
        splits:
          train:
            samples: 2
            file: fsdd.zip
            members: ["recordings/*.wav"]
            recordings: recording
            digit: {key: part, options: {rate: 8_000, label_split: [_, 0]}}
            speaker: {key: part, options: {rate: 8_000, label_split: [_, 1]}}
        """,
        fsdd_zip=packed.getvalue(),
    ).train

    for actual, name in zip(split.recordings, names, strict=True):
        with wave.open(str(folder / name)) as file:
            expected = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        np.testing.assert_array_equal(actual, expected, strict=True)
    assert split.digit.tolist() == [0, 2]
    assert list(split.speaker) == ["george", "jackson"]


def test_cats(realdata: Path, tmp_path: Path) -> None:
    """Two data sets of an HDF5 file."""
    path = realdata / "formats" / "hdf5" / "train_catvnoncat.h5"
    split = made(
        tmp_path,
        """
        format: hdf5
        fields:
          images: {dtype: uint8, shape: [64, 64, 3]}
          labels: {dtype: int64, classes: [non-cat, cat]}
        splits: {train: {samples: 209, file: cats.h5, images: train_set_x, labels: train_set_y}}
        """,
        cats_h5=path.read_bytes(),
    ).train

    with h5py.File(path) as file:
        np.testing.assert_array_equal(split.images, file["train_set_x"][:], strict=True)
        np.testing.assert_array_equal(split.labels, file["train_set_y"][:], strict=True)


def test_kmnist(realdata: Path, tmp_path: Path) -> None:
    """An array a file, both of one name."""
    folder = realdata / "formats" / "arrays"
    split = made(
        tmp_path,
        """
        format: npz
        fields:
          images: {dtype: uint8, shape: [28, 28]}
          labels: {dtype: int64, classes: [o, ki, su, tsu, na, ha, ma, ya, re, wo]}
        splits:
          test:
            samples: 10_000
            images: {file: images.npz, key: arr_0}
            labels: {file: labels.npz, key: arr_0}
        """,
        images_npz=(folder / "kmnist-test-imgs.npz").read_bytes(),
        labels_npz=(folder / "kmnist-test-labels.npz").read_bytes(),
    ).test

    np.testing.assert_array_equal(split.images, np.load(folder / "kmnist-test-imgs.npz")["arr_0"], strict=True)
    np.testing.assert_array_equal(split.labels, np.load(folder / "kmnist-test-labels.npz")["arr_0"])
