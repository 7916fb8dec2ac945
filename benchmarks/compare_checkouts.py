"""Comparison of two checkouts of this package: the same calls in fresh processes, in alternation.

    python benchmarks/compare_checkouts.py PATH_A PATH_B

Each run is a process of its own, of the same interpreter, whose PYTHONPATH is one of the checkouts; its time is from
its first line until it has the first batch. Within a round both checkouts run one after the other, and each round
begins with the other one. The ratio is that of the medians, B to A; beside it is that of the shortest runs, which a
noisy machine disturbs less. Cold runs fetch from a folder and have an empty home.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import materials

RUN = """
import time
start = time.perf_counter()
import json, sys
from tinytorch_datasets import get
name, options = json.loads(sys.argv[1])
for batch in get(name, progress=lambda *_: None, **options).train.batches(128):
    break
took = time.perf_counter() - start
import tinytorch_datasets
print(json.dumps([took, tinytorch_datasets.__file__]))
"""


class Task(NamedTuple):
    """One call that is timed; `is_cold` ones have an empty home each time."""

    label: str
    name: str
    has_own_manifest: bool
    is_cold: bool


TASKS = (
    Task("warm tinydigits", "tinydigits", has_own_manifest=False, is_cold=False),
    Task("warm mnist", "mnist", has_own_manifest=True, is_cold=False),
    Task("cold mnist", "mnist", has_own_manifest=True, is_cold=True),
    Task("cold cifar10", "cifar10", has_own_manifest=True, is_cold=True),
)


def run(checkout: Path, task: Task, home: Path, made: materials.Materials) -> float:
    """Return the seconds that one process took."""
    options = {"home": str(home), "mirror": str(made.served)}
    if task.has_own_manifest:
        options["manifest"] = str(made.manifest("plain"))
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps([task.name, options])],
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": ""},
        cwd=home.parent,
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds, imported = json.loads(done.stdout)
    if checkout not in Path(imported).parents:
        sys.exit(f"{imported} was imported, which is not in {checkout}")
    return float(seconds)


def measure(
    checkouts: Sequence[Path], task: Task, rounds: int, made: materials.Materials, scratch: Path
) -> list[list[float]]:
    """Return the seconds of every round but the first, which is not counted, for each checkout."""
    seconds: list[list[float]] = [[] for _ in checkouts]
    for number in range(rounds + 1):
        order = range(len(checkouts)) if number % 2 else reversed(range(len(checkouts)))
        for one in order:
            home = scratch / f"home-{one}"
            if task.is_cold:
                shutil.rmtree(home, ignore_errors=True)
            took = run(checkouts[one], task, home, made)
            if number:
                seconds[one].append(took)
    return seconds


def main() -> None:
    """Measure every task, and print a row for each as soon as it is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkouts", nargs=2, type=Path, metavar="PATH", help="two checkouts of this package")
    parser.add_argument("--only", nargs="+", default=[task.label for task in TASKS], metavar="TASK")
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds of warm tasks; cold ones have a third")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data and two rounds")
    chosen = parser.parse_args()
    checkouts = [path.resolve() for path in chosen.checkouts]
    realdata = os.environ.get(materials.REALDATA)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        made = materials.make(scratch / "made", quick=chosen.quick, realdata=Path(realdata) if realdata else None)
        materials.write_manifests(made, "https://example.org/", many=4)
        print(f"A is {checkouts[0]}\nB is {checkouts[1]}\nmnist is {made.mnist}; cifar10 is {made.cifar10}\n")
        print("| task | A, median ms | B, median ms | B to A, medians | B to A, shortest |\n|---|---|---|---|---|")
        for task in (task for task in TASKS if task.label in chosen.only):
            rounds = 2 if chosen.quick else max(3, chosen.rounds // 3) if task.is_cold else chosen.rounds
            a, b = measure(checkouts, task, rounds, made, scratch)
            medians = [1000 * statistics.median(seconds) for seconds in (a, b)]
            ratios = medians[1] / medians[0], min(b) / min(a)
            print(
                f"| {task.label} | {medians[0]:.1f} | {medians[1]:.1f} | {ratios[0]:.3f} | {ratios[1]:.3f} |",
                flush=True,
            )
            for home in scratch.glob("home-*"):
                shutil.rmtree(home)


if __name__ == "__main__":
    main()
