"""An uncompressed `.npz` of some GB: the first `get` of it out of a folder, and the same by hand with no check.

    python benchmarks/npz.py 2 --rounds 5

A first `get` copies the archive, hashes it, decodes, checks, hashes the values and writes them; by hand it is
`shutil.copyfile`, `np.load` and `np.save`, which checks nothing. Each run is a process of its own, in turns that begin
with another one each round; the digests of both contestants' arrays must be equal before anything is timed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from larger_than_memory import anonymous_kib, sha256

SAMPLE = (1000, 1000)
SAMPLES_A_GB = 1000
DISTINCT = 100  # samples of noise, repeated

# Each is given the folder of everything and one to write to, and leaves `.npy` files of its arrays somewhere in that.
HERE = """
import sys
from tinytorch_datasets import get
root, home = sys.argv[1:]
get("archive", manifest=root + "/datasets.yaml", home=home, mirror=root + "/mirror", progress=lambda *_: None)
"""
BY_HAND = """
import shutil, sys
import numpy as np
root, home = sys.argv[1:]
shutil.copyfile(root + "/mirror/archive/archive.npz", home + "/archive.npz")
with np.load(home + "/archive.npz") as arrays:
    for name in arrays.files:
        np.save(home + "/train." + name + ".npy", arrays[name])
"""
CONTESTANTS = {"by hand": BY_HAND, "here": HERE}


def write_archive(root: Path, gigabytes: float) -> None:
    """An archive in a folder that serves as mirror, and its manifest."""
    path = root / "mirror" / "archive" / "archive.npz"
    path.parent.mkdir(parents=True)
    noise = np.random.RandomState(0).randint(0, 256, (DISTINCT, *SAMPLE)).astype(np.uint8)
    samples = round(gigabytes * SAMPLES_A_GB / DISTINCT) * DISTINCT
    np.savez(path, images=np.tile(noise, (samples // DISTINCT, 1, 1)), labels=np.arange(samples) % 2)
    entry = {
        "title": "Archive",
        "status": "remote",
        "format": "npz",
        "license": "CC0-1.0",
        "source": "generated",
        "fields": {
            "images": {"dtype": "uint8", "shape": list(SAMPLE), "range": [0, 255]},
            "labels": {"dtype": "int64", "classes": ["even", "odd"]},
        },
        "splits": {"train": {"samples": samples, "file": path.name}},
        "mirrors": ["https://example.invalid/"],
        "files": {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}},
    }
    (root / "datasets.yaml").write_text(json.dumps({"version": 1, "datasets": {"archive": entry}}))


def run(work: str, root: Path, *, digests: dict[str, str] | None = None) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, the most private memory in MiB; `digests` takes those of arrays."""
    with tempfile.TemporaryDirectory(dir=root) as home:
        os.sync()  # or a run would wait for what the one before has left the disk to do
        begun, private = time.perf_counter(), 0
        process = subprocess.Popen([sys.executable, "-c", work, str(root), home])
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            private = max(private, anonymous_kib(process.pid))
            time.sleep(0.005)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, "it failed"
        if digests is not None:
            for path in Path(home).rglob("*.npy"):
                values = np.load(path, mmap_mode="r")
                about = f"{values.dtype} {values.shape}".encode()
                digests[path.name] = hashlib.sha256(about + hashlib.sha256(values.data).digest()).hexdigest()
    return seconds, usage.ru_utime + usage.ru_stime, private / 1024


def main() -> None:
    """Print a row for each contestant, and the ratios within rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gigabytes", type=float, nargs="?", default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    where = "where there is room for four times as much: a disk, or memory (/dev/shm) for what the processor takes"
    parser.add_argument("--folder", type=Path, help=where)
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        write_archive(root, given.gigabytes)
        arrays: dict[str, dict[str, str]] = {name: {} for name in CONTESTANTS}
        for name, work in CONTESTANTS.items():  # a round that is not counted
            run(work, root, digests=arrays[name])
        assert arrays["here"] == arrays["by hand"], "both must give the same arrays"
        assert len(arrays["here"]) == 2
        rounds = []
        for number in range(given.rounds):
            order = list(CONTESTANTS)[:: 1 if number % 2 else -1]
            rounds.append({name: run(CONTESTANTS[name], root) for name in order})
    finally:
        shutil.rmtree(root)
    print("| what | by hand | here | ratio, median of rounds | of the shortest runs |\n|---|---|---|---|---|")
    for at, what in enumerate(("seconds by the clock", "seconds of the processor", "private memory, peak, MiB")):
        hand, here = ([seen[name][at] for seen in rounds] for name in CONTESTANTS)
        ratio = statistics.median(ours / theirs for ours, theirs in zip(here, hand, strict=True))
        medians = f"{statistics.median(hand):.2f} | {statistics.median(here):.2f}"
        print(f"| {what} | {medians} | {ratio:.2f} | {min(here) / min(hand):.2f} |")


if __name__ == "__main__":
    main()
