"""The private memory that a data set takes which is larger than memory.

    python benchmarks/larger_than_memory.py 1 2 5 20

For each size in GB: a generated set is fetched from a folder, verified, decoded, gone through in batches and audited,
in a process of its own whose private memory is watched; and beside it the same is done by hand, with NumPy and no
check. The file is sparse, so the disk holds it twice (the download and the decoded array), not three times; both are
removed in the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine

RESULTS = Path(__file__).with_suffix(".json")
SAMPLE = (1000, 1000)
SAMPLES_A_GB = 1000
# The memory that a virtual machine has given back to its host is dear to touch again; whoever runs first would pay.
TOUCHED_BYTES = 16 * 2**30

# Each is given the manifest, the home and the mirror, and tells seconds and what it has seen.
WORK = """
import sys, time, json
from tinytorch_datasets import audit, get
began = time.perf_counter()
data = get("large", manifest=sys.argv[1], home=sys.argv[2], mirror=sys.argv[3], progress=lambda *_: None)
got = time.perf_counter()
seen = 0
for images, labels in data.train.batches(64):
    seen += int(images.max(axis=(1, 2)).sum()) + len(labels)
done = time.perf_counter()
report = audit(manifest=sys.argv[1])
audited = time.perf_counter()
assert report.ok, report.findings
print(json.dumps({"get_s": got - began, "iterate_s": done - got, "audit_s": audited - done, "seen": seen}))
"""
BY_HAND = """
import hashlib, json, os, shutil, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
home, mirror = sys.argv[2], sys.argv[3] + "/large"
began = time.perf_counter()
os.mkdir(home)
for name in ("images.npy", "labels.npy"):
    with open(f"{mirror}/{name}", "rb") as there, open(f"{home}/{name}", "wb") as here:
        shutil.copyfileobj(there, here, 1 << 20)
    values = np.load(f"{home}/{name}", mmap_mode="r")
    with open(f"{home}/decoded-{name}", "wb") as out:
        np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(values))
        for start in range(0, len(values), 64):
            out.write(values[start : start + 64])
images, labels = (np.load(f"{home}/decoded-{name}.npy", mmap_mode="r") for name in ("images", "labels"))
got = time.perf_counter()
seen = 0
for start in range(0, len(images), 64):
    batch = images[start : start + 64]
    seen += int(batch.max(axis=(1, 2)).sum()) + len(labels[start : start + 64])
done = time.perf_counter()
def sha256(name):
    digest, buffer = hashlib.sha256(), memoryview(bytearray(1 << 20))
    with open(f"{home}/{name}", "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
with ThreadPoolExecutor(2) as threads:
    list(threads.map(sha256, sorted(os.listdir(home), key=lambda name: -os.path.getsize(f"{home}/{name}"))))
audited = time.perf_counter()
print(json.dumps({"get_s": got - began, "iterate_s": done - got, "audit_s": audited - done, "seen": seen}))
"""
CONTESTANTS = {"here": WORK, "by_hand": BY_HAND}


def write_large(folder: Path, gigabytes: int) -> dict[str, dict[str, object]]:
    """Two .npy files of that many GB and as many samples; what the manifest declares of them."""
    samples = gigabytes * SAMPLES_A_GB
    folder.mkdir(parents=True)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (samples, *SAMPLE))
    images[0], images[-1, -1, -1] = 1, 2
    del images
    np.save(folder / "labels.npy", np.arange(samples) % 2)
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(folder.iterdir())}


def sha256(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def value_sums(folder: Path) -> dict[str, str]:
    """The digests of the values that a manifest may declare, so that an audit need not decode."""
    from tinytorch_datasets.digests import digest_of

    return {path.stem: digest_of(np.load(path, mmap_mode="r")) for path in folder.iterdir()}


def run(gigabytes: int, root: Path) -> dict[str, dict[str, float]]:
    """One size, by each contestant: seconds for each of three tasks, and the most private memory in MiB."""
    mirror = root / "mirror" / "large"
    files, sums = write_large(mirror, gigabytes), value_sums(mirror)
    samples = gigabytes * SAMPLES_A_GB
    images = {"dtype": "uint8", "shape": list(SAMPLE), "range": [0, 255], "sha256": {"train": sums["images"]}}
    labels = {"dtype": "int64", "classes": ["even", "odd"], "sha256": {"train": sums["labels"]}}
    entry = {
        "title": "Large",
        "status": "remote",
        "format": "npy",
        "license": "CC0-1.0",
        "source": "generated",
        "fields": {"images": images, "labels": labels},
        "splits": {"train": {"samples": samples, "images": "images.npy", "labels": "labels.npy"}},
        "mirrors": ["https://example.invalid/"],
        "files": files,
    }
    manifest = root / "datasets.yaml"
    # Where an audit looks, too.
    declared = {"version": 1, "download_to": "home", "datasets": {"large": entry}}
    manifest.write_text(json.dumps(declared))
    seen = {}
    for name, work in CONTESTANTS.items():
        machine.touch_memory(TOUCHED_BYTES)
        seen[name] = watched([sys.executable, "-c", work, manifest, root / "home", root / "mirror"], samples + 1 + 2)
        shutil.rmtree(root / "home")
    return seen


def watched(command: list[str | Path], right: int) -> dict[str, float]:
    """What the process tells, and the most private memory that it was seen with; `right` is what it must have seen."""
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as process:
        private = 0
        while process.poll() is None:
            private = max(private, anonymous_kib(process.pid))
            time.sleep(0.02)
        assert process.stdout is not None
        report: dict[str, float] = json.loads(process.stdout.read())
    assert process.returncode == 0
    assert report.pop("seen") == right, "not what was written"
    return {**report, "private_mib": private / 1024}


def anonymous_kib(pid: int) -> int:
    """The memory that is this process's alone: not files that are mapped, which the system drops as it likes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)


def main() -> None:
    """Measure each size given, and print a table; or write what it is made of."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("gigabytes", nargs="*", type=int, default=[1, 2])
    options.add_argument("--folder", type=Path, help="Where there is room for twice the largest size")
    options.add_argument("--json", type=Path, metavar="FILE", help="Write the results")
    chosen = options.parse_args()
    sizes: dict[str, dict[str, dict[str, float]]] = {}
    for gigabytes in chosen.gigabytes:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as root:
            sizes[str(gigabytes)] = run(gigabytes, Path(root))
    found = {"date": date.today().isoformat(), "machine": machine.description(), "sizes": sizes}
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


def load() -> dict[str, Any]:
    """The results that the docs show."""
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    of = found["machine"]
    head = (
        f"Measured on {found['date']}: {of['processor']}, {of['cores']} cores, {of['memory_gib']} GiB, {of['system']}."
    )
    tasks = {"get_s": "`get`", "iterate_s": "once through", "audit_s": "`audit`"}
    titles = [cell for task in tasks.values() for cell in (f"{task}, seconds a GB", "by hand", "ratio")]
    columns = ["GB", *titles, "private memory, peak"]
    rows = [head, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for size, seen in found["sizes"].items():
        cells = [size]
        for task in tasks:
            here, by_hand = (seen[who][task] / int(size) for who in CONTESTANTS)
            cells += [f"{here:.2f}", f"{by_hand:.2f}", f"{here / by_hand:.2f}"]
        rows.append(f"| {' | '.join(cells)} | {seen['here']['private_mib']:.0f} MiB |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
