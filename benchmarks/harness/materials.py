"""The files that everything is measured on.

The four MNIST files and a full-size `cifar-10-python.tar.gz`. Real ones (and a stand-in for CIFAR-10 that starts with
real images) come from the folder that TINYTORCH_DATASETS_REALDATA names; without it both are generated, in the very
same forms and sizes. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REALDATA = "TINYTORCH_DATASETS_REALDATA"
MNIST = (
    ("train", "images", "train-images-idx3-ubyte.gz"),
    ("train", "labels", "train-labels-idx1-ubyte.gz"),
    ("test", "images", "t10k-images-idx3-ubyte.gz"),
    ("test", "labels", "t10k-labels-idx1-ubyte.gz"),
)
ARCHIVE = "cifar-10/cifar-10-python.tar.gz"
BATCHES = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")
MANY = 10_000
DIGITS = [str(digit) for digit in range(10)]
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@dataclass(frozen=True)
class Materials:
    """A folder to serve, and what there is to know of it."""

    served: Path
    mnist: str
    cifar10: str
    samples: dict[str, tuple[int, int]]

    @property
    def facts(self) -> Path:
        """Sizes and hashes of the files, for contestants that check them."""
        return self.served.parent / "facts.json"

    def manifest(self, kind: str) -> Path:
        """The manifest of that kind: "four" and "ten-thousand" are called what they have.

        "plain" has two entries, and takes the packaged one's place; "own" is the same where a person has it.
        """
        return self.served.parent / f"{kind}.yaml"


def make(folder: Path, *, quick: bool = False, realdata: Path | None = None) -> Materials:
    """Everything that is served, made in `folder`, or found there as an earlier run left it.

    Args:
        folder: A folder of this function's own.
        quick: Whether a tenth of the data will do.
        realdata: The folder with real files; None generates them.
    """
    served = folder / "served"
    label = folder / "served.json"
    (served / "mnist").mkdir(parents=True, exist_ok=True)
    (served / "cifar-10").mkdir(exist_ok=True)
    if not label.exists():
        origins = {
            "mnist": _mnist(served / "mnist", quick, realdata),
            "cifar10": _cifar10(served / ARCHIVE, quick, realdata),
        }
        _npz(served)
        _facts(served, folder / "facts.json")
        label.write_text(json.dumps(origins))
    origins = json.loads(label.read_text())
    facts = json.loads((folder / "facts.json").read_text())
    return Materials(served, origins["mnist"], origins["cifar10"], {k: tuple(v) for k, v in facts["samples"].items()})


def write_manifests(made: Materials, url: str, *, many: int = MANY) -> None:
    """The manifests of what is served at `url`, which is another one at every run."""
    facts = json.loads(made.facts.read_text())
    both = _entry_mnist(facts, url) + _entry_cifar10(facts, url)
    for kind, entries in (("plain", 2), ("own", 2), ("four", 4), ("ten-thousand", many)):
        rest = "".join(_entry_other(number) for number in range(entries - 2))
        made.manifest(kind).write_text(
            f"version: 1\ndownload_to: downloads\nshipped_in: nothing-ships\ndatasets:\n{both}{rest}"
        )


def _mnist(folder: Path, quick: bool, realdata: Path | None) -> str:
    if realdata is not None and not quick:
        for _, _, name in MNIST:
            shutil.copyfile(realdata / "mnist" / name, folder / name)
        return "the real files"
    random = np.random.RandomState(0)
    for split, field, name in MNIST:
        count = {"train": 60_000, "test": 10_000}[split] // (10 if quick else 1)
        values = random.randint(0, 10, count) if field == "labels" else _strokes(random, count)
        header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (folder / name).write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), 6, mtime=0))
    return "generated"


def _strokes(random: np.random.RandomState, count: int) -> np.ndarray:
    """Images that are four fifths paper and compress about as well as digits do."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 8:20, 8:20] = random.randint(0, 256, (count, 12, 12))
    return images


def _cifar10(path: Path, quick: bool, realdata: Path | None) -> str:
    if realdata is not None:
        if quick:
            shutil.copyfile(realdata / "cifar-10-mini" / path.name, path)
            return "real images, 750 a batch"
        builder = realdata / "build_cifar_like.py"
        subprocess.run([sys.executable, builder, "full", "--out", path], check=True, stdout=subprocess.DEVNULL)
        return "a stand-in of the real size, its first images and all labels real"
    random = np.random.RandomState(0)
    share = 1000 if quick else 10_000
    with tarfile.open(path, "w:gz", compresslevel=6) as archive:
        for name in (*BATCHES, "batches.meta"):
            if name == "batches.meta":
                body = _python2_meta()
            else:
                # Noise over a gradient: real photographs hardly compress either.
                images = random.randint(0, 230, (share, 3072)) + np.linspace(0, 25, 3072)
                body = _python2_batch(images.astype(np.uint8), random.randint(0, 10, share).tolist())
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return "generated"


def _python2_batch(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 and NumPy of that time pickled it, whose strings Python 3 has no way to write."""
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\0K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    shape = b"".join(b"J" + struct.pack("<i", extent) for extent in images.shape) + b"\x86"
    array = (
        reconstruct + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", images.nbytes) + images.tobytes() + b"tb"
    )
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x06labels" + listed + b"U\x04data" + array + b"u."


def _python2_meta() -> bytes:
    names = b"".join(b"U" + bytes([len(name)]) + name.encode() for name in CLASSES)
    return b"\x80\x02}U\x0blabel_names](" + names + b"es."


def _npz(served: Path) -> None:
    """MNIST in the one file that Keras fetches."""
    found = {}
    for split, field, name in MNIST:
        raw = gzip.decompress((served / "mnist" / name).read_bytes())
        shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
        values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
        found[f"{'x' if field == 'images' else 'y'}_{split}"] = values
    np.savez_compressed(served / "mnist.npz", **found)


def _facts(served: Path, target: Path) -> None:
    files = {}
    for path in sorted(served.rglob("*")):
        if path.is_file():
            body = path.read_bytes()
            name = path.relative_to(served).as_posix()
            md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
            files[name] = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "md5": md5}
    members = {}
    with tarfile.open(served / ARCHIVE) as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                body = file.read()
                members[member.name] = hashlib.md5(body, usedforsecurity=False).hexdigest()
                if member.name.endswith("/test_batch"):
                    share = len(pickle.loads(body, encoding="bytes")[b"labels"])
    with np.load(served / "mnist.npz") as npz:
        mnist = [len(npz["y_train"]), len(npz["y_test"])]
    samples = {"mnist": mnist, "cifar10": [5 * share, share]}
    sums = {"mnist": _sums_of_mnist(served), "cifar10": _sums_of_cifar10(served)}
    target.write_text(json.dumps({"files": files, "members_md5": members, "samples": samples, "sums": sums}))


def _sums_of_mnist(served: Path) -> dict[str, dict[str, str]]:
    with np.load(served / "mnist.npz") as npz:
        fields = {"images": "x", "labels": "y"}
        return {f: {s: _sum(npz[f"{x}_{s}"], f) for s in ("train", "test")} for f, x in fields.items()}


def _sums_of_cifar10(served: Path) -> dict[str, dict[str, str]]:
    found = {}
    with tarfile.open(served / ARCHIVE) as archive:
        for member in archive:
            if "_batch" in member.name and (file := archive.extractfile(member)) is not None:
                found[member.name.rpartition("/")[2]] = pickle.load(file, encoding="bytes")
    sums: dict[str, dict[str, str]] = {"images": {}, "labels": {}}
    for split, names in (("train", BATCHES[:-1]), ("test", BATCHES[-1:])):
        images = np.concatenate([found[name][b"data"] for name in names]).reshape(-1, 3, 32, 32)
        sums["images"][split] = _sum(images, "images")
        sums["labels"][split] = _sum(np.concatenate([found[name][b"labels"] for name in names]), "labels")
    return sums


def _sum(values: np.ndarray, field: str) -> str:
    """The sum that a manifest declares of values, worked out as docs/audit.md says."""
    values = values.astype("<i8" if field == "labels" else "u1")
    head = f"{values.dtype.name} {'x'.join(map(str, values.shape))}\n"
    return hashlib.sha256(head.encode() + values.tobytes()).hexdigest()


def _entry_mnist(facts: dict, url: str) -> str:
    train, test = facts["samples"]["mnist"]
    names, sums = [name for _, _, name in MNIST], facts["sums"]["mnist"]
    return f"""\
  mnist:
    title: MNIST, handwritten digits
    status: remote
    format: idx
    license: not stated by the authors
    source: http://yann.lecun.com/exdb/mnist/
    fields:
      images: {{dtype: uint8, shape: [28, 28], range: [0, 255], sha256: {json.dumps(sums["images"])}}}
      labels: {{dtype: int64, classes: {json.dumps(DIGITS)}, sha256: {json.dumps(sums["labels"])}}}
    splits:
      train: {{samples: {train}, images: {names[0]}, labels: {names[1]}}}
      test: {{samples: {test}, images: {names[2]}, labels: {names[3]}}}
    mirrors: [{url}mnist/]
    files:
{_files(facts, "mnist/")}"""


def _entry_cifar10(facts: dict, url: str) -> str:
    train, test = facts["samples"]["cifar10"]
    members = [f"cifar-10-batches-py/{name}" for name in BATCHES]
    name, sums = ARCHIVE.rpartition("/")[2], facts["sums"]["cifar10"]
    return f"""\
  cifar10:
    title: CIFAR-10, small color photographs in ten classes
    status: remote
    format: cifar-python
    license: not stated by the authors
    source: https://www.cs.toronto.edu/~kriz/cifar.html
    folder: cifar-10
    fields:
      images: {{dtype: uint8, shape: [3, 32, 32], range: [0, 255], sha256: {json.dumps(sums["images"])}}}
      labels: {{dtype: int64, classes: [{", ".join(CLASSES)}], sha256: {json.dumps(sums["labels"])}}}
    splits:
      train: {{samples: {train}, file: {name}, members: [{", ".join(members[:-1])}]}}
      test: {{samples: {test}, file: {name}, members: [{members[-1]}]}}
    mirrors: [{url}cifar-10/]
    files:
{_files(facts, "cifar-10/")}"""


def _entry_other(number: int) -> str:
    """An entry of the usual length, never fetched."""
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    return f"""\
  flowers-{number:05}:
    title: Flowers of meadow {number}, three kinds by four measurements
    status: remote
    format: csv
    options: {{header: false, columns: {{labels: 4}}}}
    license: CC-BY-4.0
    source: https://example.org/flowers/{number:05}
    fields:
      features: {{dtype: float32, shape: [4], range: [0, 10]}}
      labels: {{dtype: int64, classes: [setosa, versicolor, virginica]}}
    splits:
      train: {{samples: 150, file: flowers.csv}}
    mirrors: [https://example.org/flowers/{number:05}/]
    files:
      flowers.csv:
        bytes: {4000 + number}
        sha256: "{sha256}"
"""


def _files(facts: dict, prefix: str) -> str:
    """The files of a folder as an entry lists them; JSON is YAML, with the hashes in quotes."""
    listed = {name.removeprefix(prefix): about for name, about in facts["files"].items() if name.startswith(prefix)}
    return "".join(f"      {name}: {json.dumps(about)}\n" for name, about in listed.items())


def realdata() -> Path | None:
    """The folder of real files, if there is one."""
    folder = os.environ.get(REALDATA)
    return Path(folder) if folder else None
