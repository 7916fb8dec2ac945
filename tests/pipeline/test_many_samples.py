"""Archives with as many samples as published data sets have are no attack: they are added, and loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.add.test_images import picture
from tests.formats.test_audio import wav
from tests.helpers.add_world import add
from tests.helpers.declared import made
from tinytorch_datasets import get

pytestmark = pytest.mark.slow

PICTURE = picture(height=2, width=2)
SOUND = wav(np.arange(2, dtype="int16"))


def many(path: Path, count: int, folder: str, each: int, ending: str, data: bytes) -> Path:
    """A zip archive of so many samples, a number of them in each folder."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{folder}{number // each:04}/{number:06}.{ending}", data)
    return path


def test_omniglot_is_added(manifest: Path, tmp_path: Path) -> None:
    """13,180 pictures, 20 of each of 659 characters, under names that make a list of more than a megabyte."""
    folder = "images_evaluation/Atemayar_Qelisayer/character"
    path = many(tmp_path / "images_evaluation.zip", 13_180, folder, 20, "png", PICTURE)

    done = add(manifest, path, "--ship", "--name", "mine")

    assert done.exit_code == 0, done.output
    got = get("mine", manifest=manifest, offline=True)
    assert got.classes is not None
    assert (len(got.train), len(got.classes)) == (13_180, 659)
    assert np.bincount(got.train.labels).tolist() == [20] * 659


def test_speech_commands_is_loaded(tmp_path: Path) -> None:
    """105,829 recordings, more than any other published data set of a file a sample has (Food-101: 101,000)."""
    count = 105_829
    path = many(tmp_path / "all.zip", count, "speech_commands/word_", 3024, "wav", SOUND)
    got = made(
        tmp_path,
        f"""
        format: audio
        fields: {{recordings: {{dtype: int16, shape: [2]}}}}
        splits: {{train: {{samples: {count}, file: a.zip, members: ["**/*.wav"]}}}}
        """,
        a_zip=path.read_bytes(),
    )

    np.testing.assert_array_equal(got.train.recordings, np.tile(np.array([0, 1], "int16"), (count, 1)))
