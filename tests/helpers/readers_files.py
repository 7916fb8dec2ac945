"""The files and folders that readers of each page have, under the names that the page uses."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.desk import ADDRESS, Hosts, clone, declare_small_cifar
from tinytorch_datasets import settings

IRIS = "length,width,kind\n" + "".join(f"{3 + i % 7 / 10},{i % 5 / 10},{('rose', 'tulip')[i % 2]}\n" for i in range(60))


def put_files(page: str, desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    """Make what a page takes for granted, in the folder where its reader is."""
    folder: Path = desk["cwd"]
    text = (ROOT / page).read_text(encoding="utf-8")
    if "add pets" in text:
        _pictures(folder)
    if "ttds add notes" in text:
        _texts(folder)
    if "add recordings" in text:
        _recordings(folder)
    if page in PREPARE:
        PREPARE[page](desk, hosts, request)


def _pictures(folder: Path) -> None:
    names = {"pets": "cat/0 cat/1 cat/2 dog/0 dog/1", "birds": "train/owl/0 train/wren/0 test/owl/0"}
    pictures = pytest.importorskip("PIL.Image", reason="needs Pillow, of the extra 'images'")
    for number, path in enumerate(f"{top}/{name}.png" for top in names for name in names[top].split()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pictures.new("RGB", (8, 8), (20 * number, 90, 160)).save(folder / path)
    shutil.make_archive(str(folder / "pets"), "zip", folder, "pets")


def _texts(folder: Path) -> None:
    for path, text in {"happy/1": "What a day!", "happy/2": "Yes!", "sad/1": "No.", "sad/2": "Not again."}.items():
        (folder / "notes" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "notes" / f"{path}.txt").write_text(f"{text}\n", encoding="utf-8")
    (folder / "story.txt").write_text("Once upon a time there was a king.\nHe had a cat.\n", encoding="utf-8")


def _recordings(folder: Path) -> None:
    (folder / "recordings").mkdir()
    for name in ("7_anna_0", "7_ben_1", "3_anna_0", "3_ben_1"):
        with wave.open(str(folder / "recordings" / f"{name}.wav"), "wb") as recording:
            recording.setnchannels(1)
            recording.setsampwidth(2)
            recording.setframerate(8000)
            recording.writeframes(bytes(range(160)))
    shutil.make_archive(str(folder / "recordings"), "zip", folder, "recordings")


def _clone(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> Path:
    """Let commands write into a clone beside the reader's folder."""
    manifest = clone(desk["cwd"].parent / "clone")
    desk["env"][settings.MANIFEST] = str(manifest)
    return manifest


def _small_cifar(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> Path:
    """Put a clone there whose CIFAR-10 is a small archive of the real form."""
    cifar = request.getfixturevalue("realdata") / "cifar-10-mini" / "cifar-10-python.tar.gz"
    manifest = _clone(desk, hosts, request)
    declare_small_cifar(manifest, cifar)
    for host in list(hosts.lengths):
        if host.endswith("/cifar-10-python.tar.gz"):
            hosts.put(f"https://{host}", cifar)
    return manifest


def _fresh_clone(manifest: Path, desk: dict[str, Any], pattern: str) -> None:
    """Let each block that has the pattern begin with the manifest as it was: its reader types one of them."""
    shutil.copytree(manifest.parent, pristine := manifest.parent.with_name("pristine"))
    desk["fresh"].append((pattern, str(manifest.parent), str(pristine)))


def _add(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    folder: Path = desk["cwd"]
    _fresh_clone(_clone(desk, hosts, request), desk, r"datasets add ")
    (folder / "flowers.csv").write_text(IRIS, encoding="utf-8")
    hosts.put("https://example.org/flowers.csv", folder / "flowers.csv")
    numbers = np.random.default_rng(0)
    matlab = pytest.importorskip("scipy.io", reason="needs SciPy, of the extra 'test'")
    images = numbers.integers(0, 256, (32, 32, 3, 40), dtype=np.uint8)
    labels = np.arange(40) % 10
    matlab.savemat(folder / "train_32x32.mat", {"X": images, "y": labels[:, None] + 1})
    matlab.savemat(folder / "faces.mat", {"faces": images[:, :, 0]})
    np.savez(folder / "images.npz", images=numbers.integers(0, 256, (40, 8, 8), dtype=np.uint8))
    np.savez(folder / "labels.npz", labels=labels)
    table = numbers.random((30, 4)).round(3)
    np.savetxt(folder / "housing.data", table, fmt="%8.3f")
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("train.csv", IRIS)
        archive.writestr("test.csv", IRIS[: IRIS.index("\n", 400) + 1])
    shutil.copy(folder / "data.zip", folder / "measurements.zip")
    with zipfile.ZipFile(folder / "measurements.zip", "a") as archive:
        archive.writestr("notes.docx", bytes(range(256)))
    rows = np.concatenate([labels[:, None].astype(np.uint8), images.reshape(-1, 40).T], axis=1)
    (folder / "records").mkdir()
    for name, some in {"data_batch_1.bin": rows[:30], "test_batch.bin": rows[30:]}.items():
        (folder / "records" / name).write_bytes(some.tobytes())
    with tarfile.open(folder / "data.tar.gz", "w:gz") as archive_of_records:
        for path in sorted((folder / "records").iterdir()):
            archive_of_records.add(path, path.name)
    (folder / "shards").mkdir()
    for split, count in {"train": 3, "test": 2}.items():
        for number in range(count):
            values = numbers.random((4, 3)).astype(np.float32)
            np.savez(folder / "shards" / f"{split}-{number}.npz", points=values, labels=np.arange(4) % 2)


def _course(desk: dict[str, Any], hosts: Hosts) -> Path:
    """Put a manifest with flowers into a folder `course`, by the commands that do so."""
    folder: Path = desk["cwd"]
    (folder / "train.csv").write_text(IRIS, encoding="utf-8")
    hosts.put("https://example.org/flowers/train.csv", folder / "train.csv")
    command = "tinytorch-datasets init course && cd course && tinytorch-datasets add --title Flowers --license CC0-1.0"
    command += " --source https://example.org https://example.org/flowers/train.csv --name flowers"
    done = subprocess.run(
        ["bash", "-c", command], env=desk["env"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "course" / "datasets.yaml"


def _catalog(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    _course(desk, hosts)


def _cli(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    folder: Path = desk["cwd"]
    _fresh_clone(_small_cifar(desk, hosts, request), desk, r"datasets (?:add|update|compile)")
    (folder / "train.csv").write_text(IRIS, encoding="utf-8")
    hosts.put("https://example.org/flowers/train.csv", folder / "train.csv")
    _recordings(folder)
    shutil.copy(folder / "recordings.zip", folder / "a.zip")


def _classroom(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    folder: Path = desk["cwd"]
    desk["places"][ADDRESS] = "127.0.0.1"
    desk["env"][settings.HOME] = str(folder / "milestones" / "datasets")  # of a clone
    desk["shown"][f"{folder}/"] = desk["shown"][f"{ROOT}/"] = ""
    real = request.getfixturevalue("realdata")
    shutil.copytree(real / "mnist", folder / "milestones" / "datasets" / "mnist")
    desk["fresh"].append((r"(?m)^(?:\$ )?(?:tinytorch-datasets )?get[ (]", desk["env"][settings.HOME], ""))


def _firewall(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    real = request.getfixturevalue("realdata")
    shutil.copytree(real / "mnist", Path(desk["places"]["/media/usb"]) / "class" / "mnist")
    for file in (real / "mnist").iterdir():
        hosts.put(f"http://{ADDRESS}:8000/mnist/{file.name}", file)
    shutil.copy(hosts.certificates, Path(desk["env"]["HOME"]) / "school.pem")
    desk["fresh"].append((r"ttds get", desk["env"][settings.HOME], ""))


def _windows(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    real = request.getfixturevalue("realdata")
    shutil.copytree(real / "mnist", Path(desk["places"]["E:\\class"]) / "mnist")
    desk["fresh"].append((r"ttds get mnist", desk["places"]["D:\\datasets"], ""))
    shutil.copy(hosts.certificates, Path(desk["env"]["HOME"]) / "school.pem")


def _guide(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    real = request.getfixturevalue("realdata")
    shutil.copytree(real / "mnist", Path(desk["places"]["/media/usb"]) / "datasets" / "mnist")
    shutil.copy(_course(desk, hosts), desk["cwd"] / "my-datasets.yaml")


def _notebook(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    """Colab's own module: mounting makes a folder."""
    colab = desk["cwd"] / "google" / "colab"
    colab.mkdir(parents=True)
    (colab.parent / "__init__.py").write_text("", encoding="utf-8")
    (colab / "__init__.py").write_text("", encoding="utf-8")
    (colab / "drive.py").write_text(
        "import pathlib\n\n\ndef mount(place):\n    pathlib.Path(place, 'MyDrive').mkdir(parents=True)\n",
        encoding="utf-8",
    )


def _cloud(desk: dict[str, Any], hosts: Hosts, request: pytest.FixtureRequest) -> None:
    for library in ("s3fs", "boto3", "moto"):
        pytest.importorskip(library, reason="needs s3fs and moto, of the extra 'test'")
    from tests.helpers.s3_server import KEY, REGION, SECRET, S3Server

    server = S3Server()
    request.addfinalizer(server.__exit__)
    for file in (request.getfixturevalue("realdata") / "mnist").iterdir():
        for folder in ("datasets", "home"):
            server.put("my-bucket", f"{folder}/mnist/{file.name}", file.read_bytes())
    desk["env"] |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
    desk["env"]["AWS_ENDPOINT_URL"] = server.url
    desk["fresh"].append((r"\bget\b", desk["env"][settings.HOME], ""))


PREPARE: dict[str, Callable[[dict[str, Any], Hosts, pytest.FixtureRequest], object]] = {
    "README.md": _small_cifar,
    "docs/add.md": _add,
    "docs/audit.md": _clone,
    "docs/catalog.md": _catalog,
    "docs/classroom.md": _classroom,
    "docs/cli.md": _cli,
    "docs/export.md": _small_cifar,
    "docs/guide.md": _guide,
    "docs/how-to/cloud.md": _cloud,
    "docs/how-to/firewall.md": _firewall,
    "docs/how-to/notebook.md": _notebook,
    "docs/how-to/windows.md": _windows,
}
