"""What does a data set cost that is larger than memory?

    python benchmarks/larger_than_memory.py 1 2 5 20

For each size in GB: a generated set is fetched from a folder, verified, decoded, and gone through in batches, in a
process of its own whose private memory is watched. The file is sparse, so the disk holds it twice (the download and
the decoded array), not three times; both are removed in the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
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
WORK = """
import sys, time, json
from tinytorch_datasets import get
began = time.perf_counter()
data = get("large", manifest=sys.argv[1], home=sys.argv[2], mirror=sys.argv[3], progress=lambda *told: None)
got = time.perf_counter()
seen = 0
for images, labels in data.train.batches(64):
    seen += int(images.max(axis=(1, 2)).sum()) + len(labels)
done = time.perf_counter()
print(json.dumps({"get_s": got - began, "iterate_s": done - got, "seen": seen}))
"""


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


def run(gigabytes: int, root: Path) -> dict[str, float]:
    """One size: seconds to get and to iterate, and the most private memory in MiB."""
    files = write_large(root / "mirror" / "large", gigabytes)
    samples = gigabytes * SAMPLES_A_GB
    entry = {
        "title": "Large",
        "status": "remote",
        "format": "npy",
        "license": "CC0-1.0",
        "source": "generated",
        "fields": {
            "images": {"dtype": "uint8", "shape": list(SAMPLE), "range": [0, 255]},
            "labels": {"dtype": "int64", "classes": ["even", "odd"]},
        },
        "splits": {"train": {"samples": samples, "images": "images.npy", "labels": "labels.npy"}},
        "mirrors": ["https://example.invalid/"],
        "files": files,
    }
    manifest = root / "datasets.yaml"
    manifest.write_text(json.dumps({"version": 1, "datasets": {"large": entry}}))
    command = [sys.executable, "-c", WORK, str(manifest), str(root / "home"), str(root / "mirror")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        private = 0
        while process.poll() is None:
            private = max(private, anonymous_kib(process.pid))
            time.sleep(0.02)
        assert process.stdout is not None
        told: dict[str, float] = json.loads(process.stdout.read())
    assert process.returncode == 0
    assert told.pop("seen") == samples + 1 + 2, "not what was written"
    return {**told, "private_mib": private / 1024}


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
    sizes: dict[str, dict[str, float]] = {}
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
    rows = [
        head,
        "",
        "| GB | `get`, seconds a GB | once through, seconds a GB | private memory, peak |",
        "|---|---|---|---|",
    ]
    for size, seen in found["sizes"].items():
        per_gb = [f"{seen[what] / int(size):.2f}" for what in ("get_s", "iterate_s")]
        rows.append(f"| {size} | {per_gb[0]} | {per_gb[1]} | {seen['private_mib']:.0f} MiB |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
