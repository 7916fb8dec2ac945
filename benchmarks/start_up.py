"""Commands in a fresh process: how long `list` and `get` take, and with a manifest of ten thousand data sets.

    python benchmarks/start_up.py

What each prints is compared with what it must be before any of them is timed. They run in turns; the times are of the
processor, and the shortest of the rounds, since other programs make a process wait and never make it faster. Beside it
is the most memory of its own that the process had.
What is printed is also written to `start_up.json`, of which docs/performance.md has a table.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).resolve().parent.parent
ENTRIES = 10_000
ROUNDS = 5
DATA = b"x,y\n0.5,a\n1.5,b\n"
ENTRY = """\
  set-{number}:
    title: Set {number}
    status: {status}
    format: csv
    license: CC0-1.0
    source: generated
    mirrors: [https://example.invalid/]
    fields: {{x: {{dtype: float64}}, y: {{dtype: int64, classes: [a, b]}}}}
    splits: {{train: {{samples: 2, file: p.csv}}}}
    files:
      p.csv: {{bytes: {bytes}, sha256: "{sha256}"}}
"""


def write_manifest(folder: Path) -> Path:
    """A manifest of ten thousand data sets, the last of which is there."""
    entries = []
    for number in range(ENTRIES):
        is_last = number == ENTRIES - 1
        sha256 = hashlib.sha256(DATA if is_last else str(number).encode()).hexdigest()
        text = ENTRY.format(
            number=number, status="shipped" if is_last else "remote", bytes=len(DATA) if is_last else 100, sha256=sha256
        )
        entries.append(text.replace("    mirrors: [https://example.invalid/]\n", "") if is_last else text)
    path = folder / "datasets.yaml"
    path.write_text("version: 1\ndatasets:\n" + "".join(entries))
    (folder / "datasets" / f"set-{ENTRIES - 1}").mkdir(parents=True)
    (folder / "datasets" / f"set-{ENTRIES - 1}" / "p.csv").write_bytes(DATA)
    return path


# Runs a command in this very process, and says at its end how much memory that had, in kB: on Linux, the most that was
# in use at any time, less what is of files and may be given back.
PEAK = """
import runpy, sys
try:
    sys.argv[:] = sys.argv[1:]
    if sys.argv[0] == "-c":
        exec(sys.argv[1])
    else:
        sys.argv[:] = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    known = dict(line.split()[:2] for line in open("/proc/self/status") if line.startswith(("VmHWM", "RssFile")))
    print(int(known["VmHWM:"]) - int(known["RssFile:"]), file=sys.stderr)
"""


def run(folder: Path, *command: str) -> tuple[float, str, str]:
    """Run Python with these arguments in a folder. Returns the seconds of the processor, and what it printed."""
    cache = str(folder / "cache")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TINYTORCH_DATASETS_OFFLINE": "1", "XDG_CACHE_HOME": cache}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout, done.stderr


def measure(folder: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Return the seconds of each row, and the MiB of memory, by its name."""
    manifest, last = write_manifest(folder), f"set-{ENTRIES - 1}"
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    cli = ("-m", "tinytorch_datasets")
    value = f"from tinytorch_datasets import get; print(get('{last}', manifest='datasets.yaml').train.x.tolist())"

    def forget_arrays() -> None:
        shutil.rmtree(folder / "milestones", ignore_errors=True)
        shutil.rmtree(folder / "downloaded-datasets", ignore_errors=True)

    def forget_all() -> None:
        forget_arrays()
        shutil.rmtree(folder / "cache", ignore_errors=True)

    def touch() -> None:
        os.utime(manifest)

    rows: dict[str, tuple[Path, tuple[str, ...], Callable[[], None], Callable[[str], bool]]] = {
        "Python alone": (elsewhere, ("-c", "pass"), list, lambda out: out == ""),
        "Python and NumPy": (elsewhere, ("-c", "import numpy"), list, lambda out: out == ""),
        "`--version`": (elsewhere, (*cli, "--version"), list, lambda out: "version" in out),
        "`list`": (elsewhere, (*cli, "list", "--manifest", str(ROOT / "datasets.yaml")), list, lambda o: "mnist" in o),
        "`get tinydigits`": (
            elsewhere,
            (*cli, "get", "tinydigits", "--manifest", str(ROOT / "datasets.yaml")),
            list,
            lambda out: out.startswith("tinydigits: train 1,000, test 200"),
        ),
        "first `list` of 10,000": (folder, (*cli, "list"), forget_all, lambda o: len(o.splitlines()) == ENTRIES + 1),
        "`list` of them again": (folder, (*cli, "list"), list, lambda out: len(out.splitlines()) == ENTRIES + 1),
        "first `get` of one of 10,000": (folder, ("-c", value), forget_all, lambda out: out == "[0.5, 1.5]\n"),
        "first `get`, of a manifest that was listed": (
            folder,
            ("-c", value),
            forget_arrays,
            lambda out: out == "[0.5, 1.5]\n",
        ),
        "`get` of it again": (folder, ("-c", value), list, lambda out: out == "[0.5, 1.5]\n"),
        "after the manifest was only touched": (folder, ("-c", value), touch, lambda out: out == "[0.5, 1.5]\n"),
    }
    memory = {}
    for name, (where, command, prepare, is_right) in rows.items():
        prepare()
        assert is_right(run(where, *command)[1]), name
        prepare()
        memory[name] = round(int(run(where, "-c", PEAK, *command)[2].splitlines()[-1]) / 1024)
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, (where, command, prepare, _) in rows.items():
            prepare()
            seconds[name].append(run(where, *command)[0])
    return {name: round(min(times), 3) for name, times in seconds.items()}, memory


def table(found: dict[str, Any]) -> str:
    """Return the results as docs/performance.md shows them."""
    lines = [f"Measured with `python benchmarks/start_up.py`: {found['cores']} cores, Python {found['python']}.", ""]
    lines += ["| in a fresh process | seconds of the processor | MiB of memory |", "|---|---|---|"]
    rows = ((name, seconds, found["memory"].get(name, "")) for name, seconds in found["seconds"].items())
    return "\n".join([*lines, *(f"| {name} | {seconds:.3f} | {memory} |" for name, seconds, memory in rows)])


def load() -> dict[str, Any]:
    """Return the results that the docs show."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        times, peaks = measure(Path(scratch))
        version = ".".join(map(str, sys.version_info[:2]))
        results = {"cores": os.cpu_count(), "python": version, "seconds": times, "memory": peaks}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(results))
