"""`add` of pictures: classes from folders, splits from folders, sizes and modes from every header."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.formats.test_images import png
from tests.helpers.add_world import add, put
from tests.helpers.format_writers import member, tarred, zipped
from tests.helpers.fresh_process import python
from tinytorch_datasets import get

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 24, 24, 3), np.uint8)


def picture(
    number: int = 0, height: int = 6, width: int = 9, mode: str = "RGB", kind: str = "PNG", **how: Any
) -> bytes:
    """A picture of random colors, by Pillow."""
    out = io.BytesIO()
    Image.fromarray(PIXELS[number % 64, :height, :width]).convert(mode).save(out, kind, **how)
    return out.getvalue()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Files in folders."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def added(manifest: Path, path: Path) -> dict[str, Any]:
    """The entry that is written."""
    done = add(manifest, path, "--ship", "--name", "mine")
    assert done.exit_code == 0, done.output
    entry: dict[str, Any] = yaml.safe_load(manifest.read_text())["datasets"]["mine"]
    return entry


def refusal(manifest: Path, path: Path) -> str:
    """Why it is not added, without its path."""
    done = add(manifest, path, "--ship", "--name", "mine")
    assert done.exit_code == 1, done.output
    return done.stderr.splitlines()[0].partition(f"{path}")[2].removeprefix(": ").removeprefix("/")


FILES = {
    f"pets/{split}/{kind}/{number}.png": picture(number + 8 * (split == "test") + 16 * (kind == "dog"))
    for split in ("train", "test")
    for kind in ("cat", "dog")
    for number in range(4)
}


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_splits_and_classes_are_folders(manifest: Path, home: Path, tmp_path: Path, form: str) -> None:
    """In a folder, and in archives, as they are."""
    path = tmp_path / f"made.{form}"
    if form == "folder":
        path = write(tmp_path / "made", FILES) / "pets"
    else:
        path.write_bytes(zipped(FILES) if form == "zip" else tarred(*(member(*file) for file in FILES.items())))

    entry = added(manifest, path)

    assert entry["fields"]["images"]["shape"] == [6, 9, 3]
    data = get("mine", manifest=manifest, home=home, offline=True)
    assert data.classes == ("cat", "dog")
    for split in ("train", "test"):
        expected = [np.asarray(Image.open(io.BytesIO(FILES[name]))) for name in sorted(FILES) if f"/{split}/" in name]
        np.testing.assert_array_equal(data[split].images, np.stack(expected), strict=True)
        assert data[split].labels.tolist() == [0] * 4 + [1] * 4


@pytest.mark.slow
def test_omniglot(manifest: Path, home: Path, realdata: Path) -> None:
    """Two levels of folders are one class: character01 is another one in each alphabet."""
    path = realdata / "formats" / "images" / "images_background_small1.zip"
    with zipfile.ZipFile(path) as packed:
        names = sorted(name for name in packed.namelist() if name.endswith(".png"))
        expected = np.stack([np.asarray(Image.open(packed.open(name))) for name in names])
    folders = ["/".join(name.split("/")[1:3]) for name in names]

    entry = added(manifest, path)

    assert entry["options"] == {"label_folder": [-2, -1]}
    data = get("mine", manifest=manifest, home=home, offline=True)
    assert data.classes == tuple(sorted(set(folders)))
    np.testing.assert_array_equal(data.train.images, expected, strict=True)
    assert [data.classes[label] for label in data.train.labels] == folders


def test_sizes_that_differ(manifest: Path, home: Path, tmp_path: Path) -> None:
    """Only the axis that does is left open."""
    files = {f"{kind}/{n}.png": picture(n, width=9 + n) for kind in ("cat", "dog") for n in range(4)}

    entry = added(manifest, write(tmp_path / "made", files))

    assert entry["fields"]["images"]["shape"] == [6, None, 3]
    data = get("mine", manifest=manifest, home=home, offline=True)
    assert [image.shape for image in data.train.images] == [(6, 9 + n, 3) for n in range(4)] * 2


def test_a_mixture_of_modes_is_reported(manifest: Path, home: Path, tmp_path: Path) -> None:
    """Most decide; the comment has all."""
    modes = ["RGB", "L", "RGB", "P", "RGB", "RGB"]
    files = {f"{kind}/{n}.png": picture(n, mode=mode) for kind in ("cat", "dog") for n, mode in enumerate(modes)}

    entry = added(manifest, write(tmp_path / "made", files))

    assert entry["options"] == {"mode": "RGB"}
    assert "8 are RGB, 2 are L (gray), 2 are P (numbers of a palette); read as RGB" in manifest.read_text()
    data = get("mine", manifest=manifest, home=home, offline=True)
    expected = [np.asarray(Image.open(io.BytesIO(files[name])).convert("RGB")) for name in sorted(files)]
    np.testing.assert_array_equal(data.train.images, np.stack(expected), strict=True)


def test_pictures_that_a_camera_says_are_to_be_turned(manifest: Path, tmp_path: Path) -> None:
    """They are counted, and taken as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {f"{kind}/{n}.jpg": picture(n, kind="JPEG") for kind in ("cat", "dog") for n in range(4)}
    files["cat/1.jpg"] = picture(1, kind="JPEG", exif=exif)

    entry = added(manifest, write(tmp_path / "made", files))

    assert "options" not in entry
    assert "1 are to be turned by their EXIF: orientation: apply does so" in manifest.read_text()


def test_several_endings(manifest: Path, home: Path, tmp_path: Path) -> None:
    """A pattern each, capitals as they are."""
    endings = ("png", "jpg", "JPG", "png")
    files = {f"{kind}/{n}.{e}": picture(n) for kind in ("cat", "dog") for n, e in enumerate(endings)}

    entry = added(manifest, write(tmp_path / "made", files))

    assert entry["splits"]["train"]["members"] == ["*/*.JPG", "*/*.jpg", "*/*.png"]
    assert get("mine", manifest=manifest, home=home, offline=True).train.labels.tolist() == [0, 1, 0, 1, 0, 0, 1, 1]


def test_without_classes(manifest: Path, tmp_path: Path) -> None:
    """Pictures of one folder have no labels, and neither have those of a folder each."""
    assert list(added(manifest, write(tmp_path / "one", {f"{n}.png": picture(n) for n in range(4)}))["fields"]) == [
        "images"
    ]


def test_folders_that_are_no_classes(manifest: Path, tmp_path: Path) -> None:
    """As many as there are pictures."""
    files = {f"person{n}/face.png": picture(n) for n in range(4)}

    assert list(added(manifest, write(tmp_path / "made", files))["fields"]) == ["images"]


GOOD = {f"{kind}/{n}.png": picture(n) for kind in ("cat", "dog") for n in range(2)}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {**GOOD, "dog/more/1.png": picture()},
            "its pictures lie at different depths, so that their classes are not certain: 'cat/0.png' and "
            "'dog/more/1.png'",
        ),
        ({**GOOD, "dog/2.png": picture()[:20]}, "dog/2.png: its PNG header is damaged: "),
        (
            {**GOOD, "dog/2.png": b"text"},
            "'dog/2.png' is named as its pictures are, and is none of them",
        ),
        (
            {**GOOD, "dog/2.png": picture(mode="I;16")},
            "its pictures are I;16, RGB, which have no mode in common: 'dog/2.png' is I;16",
        ),
        (
            {name: png(65535, 65535, b"\0") for name in GOOD},
            "cat/0.png: it is 65,535 high and 65,535 wide, and the most that is read is 89,478,485 pixels",
        ),
    ],
)
def test_what_is_not_certain_is_refused(
    manifest: Path, tmp_path: Path, files: Mapping[str, bytes], reason: str
) -> None:
    """In one sentence."""
    assert refusal(manifest, write(tmp_path / "made", files)).startswith(reason)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_pictures_and_other_files(manifest: Path, home: Path, tmp_path: Path, form: str) -> None:
    """They are left out, and named."""
    files = {**GOOD, "dog/notes.txt": b"text", "dog/song.mid": b"MThd", "cat/a.xml": b"<a/>"}
    path = write(tmp_path / "made", files) if form == "folder" else tmp_path / "made.zip"
    if form == "zip":
        path.write_bytes(zipped(files))

    done = add(manifest, path, "--ship", "--name", "mine")

    assert done.exit_code == 0, done.output
    assert "'dog/notes.txt' and 1 more in dog: no picture" in done.stderr
    assert "'cat/a.xml': no picture" in done.stderr
    assert get("mine", manifest=manifest, home=home, offline=True).train.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("is_packed", [False, True], ids=["a folder", "a zip archive"])
def test_without_pillow_no_picture_is_called_damaged(is_packed: bool, manifest: Path, tmp_path: Path) -> None:
    """The library is named that reads them, and what to install."""
    files = {"pets/cat/0.png": picture(), "pets/dog/0.png": picture(1)}
    path = put(tmp_path, pets_zip=zipped(files))[0] if is_packed else write(tmp_path, files) / "pets"
    code = f"""
import sys
sys.modules["PIL"] = None
from tinytorch_datasets.cli import main
main({["add", str(path), "--ship", "--manifest", str(manifest)]!r})
"""
    done = python("-c", code)

    assert (done.returncode, done.stderr) == (
        2,
        "error: format 'images' needs PIL, which is not installed\n  pip install 'tinytorch-datasets[images]'\n",
    )
