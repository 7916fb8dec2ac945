"""The time of decoding a zip archive of photographs, beside Pillow by hand on as many threads, and its memory.

    python benchmarks/pictures.py [COUNT] [SIDE]

The photographs are generated: JPEGs of 300 x 300 pixels, of some 28 kB each. By hand, threads of a pool read a member
under a lock, have Pillow decode it, and put it into an array of all; the package puts the same values into blocks.
Each is done five times in turn, in a process of its own, and the least counts: of seconds, and of those that
processors were at it. Memory is what a process has for itself at most while it decodes all, and keeps none.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tinytorch_datasets import formats
from tinytorch_datasets.plan import Block, Column, Split

COUNT, SIDE, TIMES = 2_000, 300, 5
KEPT = 2_000  # how many pictures are kept: those that come after take the places of the first
KINDS = 50  # different pictures, each in the archive many times


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


def main() -> None:
    """Print a line of times, and one of memory."""
    count, side = (int(given) for given in [*sys.argv[1:], *map(str, (COUNT, SIDE)[len(sys.argv) - 1 :])][:2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photographs.zip"
        archive(path, count, side)
        runs: dict[str, list[list[float]]] = {"by_hand": [], "ours": []}
        for _ in range(TIMES):
            for name, its in runs.items():
                its.append([float(word) for word in _apart(name, path, count, side).split()])
        print(f"{count:,} JPEGs of {side} x {side}, {os.cpu_count()} threads")
        for number, what in enumerate(("seconds", "seconds of processors")):
            hand, own = (min(run[number] for run in runs[name]) for name in ("by_hand", "ours"))
            print(f"{what}: Pillow by hand {hand:.2f}, ours {own:.2f}: {hand / own:.2f} times as fast")
        print(f"at most {int(_apart('peak', path, count, side)) / 1024:.0f} MiB of memory of its own")


def _apart(name: str, *arguments: object) -> str:
    """Return what a function prints in a process of its own: the seconds that it took, or what it returned."""
    command = [sys.executable, __file__, "--apart", name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    if sys.argv[1:2] == ["--apart"]:
        job, given = globals()[sys.argv[2]], (Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
        began, worked = time.perf_counter(), time.process_time()
        made = job(*given)
        print(*([made] if job is peak else [time.perf_counter() - began, time.process_time() - worked]))
    else:
        main()
