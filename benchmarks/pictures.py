"""The time of decoding a zip archive of photographs, beside Pillow by hand, and of an epoch beside torchvision.

    python benchmarks/pictures.py [COUNT] [SIDE]

The photographs are generated: JPEGs of 300 x 300 pixels, of some 28 kB each. By hand, threads of a pool read a member
under a lock, have Pillow decode it, and put it into an array of all; the package puts the same values into blocks.
Each is done five times in turn, in a process of its own, and the least counts: of seconds, and of those that
processors were at it. Memory is what a process has for itself at most while it decodes all, and keeps none.

An epoch is one pass over all of them in a shuffled order, in batches of 128 arrays of uint8, height, width and colors:
of `cache: encoded` by `batches`, and of torchvision's `ImageFolder` by a `DataLoader` of two workers, with the
transform `numpy.asarray`. Both read the same JPEGs, we out of the cache, torchvision out of a folder of files; all are
in the system's memory. Starting the workers is part of an epoch, for they are started in each; importing PyTorch, or
opening the data set, is not. Where torchvision is not installed, that line is left out.

What is printed is also written to `pictures.json`, of which docs/performance.md has a line.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tinytorch_datasets import formats, get
from tinytorch_datasets.plan import Block, Column, Split

COUNT, SIDE, TIMES = 2_000, 300, 5
KEPT = 2_000  # how many pictures are kept: those that come after take the places of the first
KINDS = 50  # different pictures, each in the archive many times
RESULTS = Path(__file__).with_suffix(".json")
BATCH, WORKERS, EPOCHS, ROUNDS = 128, 2, 2, 2

MANIFEST = """
version: 1
datasets:
  photographs:
    title: Generated photographs
    status: shipped
    format: images
    license: CC0
    source: generated
    folder: archive
    fields:
      images: {{dtype: uint8, shape: [{side}, {side}, 3], range: [0, 255], cache: encoded}}
      labels: {{dtype: int64, classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]}}
    splits:
      train: {{samples: {count}, file: photographs.zip, members: ["*/*.jpg"], images: image, labels: folder}}
    files:
      photographs.zip: {{bytes: {size}, sha256: {sha256}}}
"""


def archive(path: Path, count: int, side: int) -> None:
    """Write the archive that both read."""
    random = np.random.default_rng(0)
    bodies = []
    for _ in range(KINDS):
        coarse = Image.fromarray(random.integers(0, 256, (side // 6, side // 6, 3), np.uint8))
        out = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
        bodies.append(out.getvalue())
    with zipfile.ZipFile(path, "w") as packed:
        for number in range(count):
            packed.writestr(f"{number % 10}/{number:06}.jpg", bodies[number % KINDS])


def by_hand(path: Path, count: int, side: int) -> np.ndarray:
    """Return all pictures, by Pillow and a pool of threads."""
    result, lock = np.empty((KEPT, side, side, 3), np.uint8), threading.Lock()
    with zipfile.ZipFile(path) as packed, ThreadPoolExecutor(os.cpu_count()) as pool:

        def load(job: tuple[int, str]) -> None:
            with lock:
                data = packed.read(job[1])
            result[job[0] % KEPT] = np.asarray(Image.open(io.BytesIO(data)))

        for _ in pool.map(load, enumerate(sorted(packed.namelist()))):
            pass
    return result


def blocks(path: Path, count: int, side: int) -> Iterator[Block]:
    """Decode by the package."""
    column = Column("train", "images", "uint8", count, path, "image", shape=(side, side, 3))
    return formats.of("images").decode([Split("train", count, {"images": column}, path, ("*/*.jpg",))])


def ours(path: Path, count: int, side: int) -> int:
    """Go through all pictures, by the package."""
    return sum(len(block.values) for block in blocks(path, count, side))


def peak(path: Path, count: int, side: int) -> int:
    """Return the most memory that this process has for itself while it decodes all, and keeps none."""
    most, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.02):
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            most = max(most, sum(int(line.split()[1]) for line in lines if line.startswith("Private")))

    thread = threading.Thread(target=watch)
    thread.start()
    with Path(os.devnull).open("wb") as out:
        for block in blocks(path, count, side):
            out.write(np.asarray(block.values).data)
    ended.set()
    thread.join()
    return most


def declare(path: Path, count: int, side: int) -> None:
    """Declare the archive, get it once into the cache, and unpack it for torchvision."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    text = MANIFEST.format(count=count, side=side, size=path.stat().st_size, sha256=sha256)
    manifest = path.parents[2] / "datasets.yaml"
    manifest.write_text(text, encoding="utf-8")
    get("photographs", manifest=manifest, home=path.parents[2] / "home")
    if importlib.util.find_spec("torchvision"):
        with zipfile.ZipFile(path) as packed:
            packed.extractall(path.parents[2] / "folder")


def epochs(path: Path, count: int, side: int) -> float:
    """Return the least seconds of an epoch of `cache: encoded`."""
    root = path.parents[2]
    train = get("photographs", manifest=root / "datasets.yaml", home=root / "home").train
    passes = train.batches(BATCH, shuffle=True, seed=0)
    return min(_seconds(passes, count, side) for _ in range(EPOCHS))


def epochs_of_torchvision(path: Path, count: int, side: int) -> float:
    """Return the least seconds of an epoch of `ImageFolder`."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    folder = ImageFolder(str(path.parents[2] / "folder"), transform=np.asarray)
    passes = DataLoader(folder, BATCH, shuffle=True, num_workers=WORKERS)
    return min(_seconds(passes, count, side) for _ in range(EPOCHS))


def _seconds(passes: Iterable[Any], count: int, side: int) -> float:
    began, samples = time.perf_counter(), 0
    for images, labels in passes:
        assert tuple(images.shape) == (len(labels), side, side, 3)
        samples += len(labels)
    assert samples == count
    return time.perf_counter() - began


def main() -> None:
    """Print a line of times, one of memory, and one of epochs."""
    count, side = (int(given) for given in [*sys.argv[1:], *map(str, (COUNT, SIDE)[len(sys.argv) - 1 :])][:2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "datasets" / "archive" / "photographs.zip"
        path.parent.mkdir(parents=True)
        archive(path, count, side)
        runs: dict[str, list[list[float]]] = {"by_hand": [], "ours": []}
        for _ in range(TIMES):
            for name, its in runs.items():
                its.append([float(word) for word in _apart(name, path, count, side).split()])
        print(f"{count:,} JPEGs of {side} x {side}, {os.cpu_count()} threads")
        found: dict[str, Any] = {"count": count, "side": side, "cores": os.cpu_count()}
        for number, what in enumerate(("seconds", "seconds of processors")):
            hand, own = (min(run[number] for run in runs[name]) for name in ("by_hand", "ours"))
            print(f"{what}: Pillow by hand {hand:.2f}, ours {own:.2f}: {hand / own:.2f} times as fast")
            found[what] = {"by_hand": round(hand, 2), "ours": round(own, 2)}
        found["private MiB"] = round(int(_apart("peak", path, count, side)) / 1024)
        print(f"at most {found['private MiB']} MiB of memory of its own")
        declare(path, count, side)
        names = ["epochs", *(["epochs_of_torchvision"] if importlib.util.find_spec("torchvision") else [])]
        least = dict.fromkeys(names, math.inf)
        for _ in range(ROUNDS):
            for name in names:
                least[name] = min(least[name], float(_apart(name, path, count, side)))
        print(f"an epoch of cache: encoded: {least['epochs']:.2f} s")
        if len(names) > 1:
            theirs = least["epochs_of_torchvision"]
            ratio = theirs / least["epochs"]
            print(f"of ImageFolder with {WORKERS} workers: {theirs:.2f} s, so ours is {ratio:.2f} times as fast")
            found["epoch"] = {"torchvision": round(theirs, 2), "ours": round(least["epochs"], 2)}
            RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def table(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    where = f"{found['cores']} cores, {found['count']:,} JPEGs of {found['side']} x {found['side']}"
    seconds, epoch = found["seconds"], found["epoch"]
    rows = [
        (
            "all decoded, and kept by nobody; beside Pillow by hand, on as many threads",
            seconds["by_hand"],
            seconds["ours"],
        ),
        (
            "a shuffled epoch in batches of 128; beside `ImageFolder` with two workers",
            epoch["torchvision"],
            epoch["ours"],
        ),
    ]
    lines = [f"Measured with `python benchmarks/pictures.py`: {where}.", ""]
    lines += ["| what | by others | here | times as fast |", "|---|---|---|---|"]
    lines += [f"| {what} | {theirs:.1f} s | {ours:.1f} s | {theirs / ours:.2f} |" for what, theirs, ours in rows]
    return "\n".join([*lines, "", f"Decoding took at most {found['private MiB']} MiB of memory of its own."])


def load() -> dict[str, Any]:
    """Return the results that the docs show."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def _apart(name: str, *arguments: object) -> str:
    """Return what a function prints in a process of its own: the seconds that it took, or what it returned."""
    command = [sys.executable, __file__, "--apart", name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    if sys.argv[1:2] == ["--apart"]:
        job, given = globals()[sys.argv[2]], (Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
        began, worked = time.perf_counter(), time.process_time()
        made = job(*given)
        is_measured = job in (peak, epochs, epochs_of_torchvision)
        print(*([made] if is_measured else [time.perf_counter() - began, time.process_time() - worked]))
    else:
        main()
