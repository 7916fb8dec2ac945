"""What fetch, verify, decode and audit cost per GB and per file; and 10 TB on 100 workers, by a simulation.

    python benchmarks/scale.py measure 1 5 20 --json benchmarks/scale.json
    python benchmarks/scale.py simulate --json benchmarks/scale.json

`measure` makes sparse shards of each size in GB, and many small files, and does each stage in a process of its own;
it needs as much room on the disk as the largest size, for what is fetched and what is decoded, and removes it.
`simulate` takes the costs that were measured and plays an audit of 10 TB: tasks are given out as `run_tasks` gives
them, the largest first; workers differ in speed, some are slow, some are lost with the task that they had begun, and
the storage gives all of them together so many GB a second. The docs are made from the file that both write.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import cluster
from harness import machine

from tinytorch_datasets.concurrency.executors import BUNDLE_BYTES, bundle_bytes, run_tasks
from tinytorch_datasets.concurrency.tasks import Task

RESULTS = Path(__file__).with_suffix(".json")
SHARD_BYTES = 100_003_840  # of 4,096 bytes a record
SMALL_FILES, SMALL_BYTES = 2000, 4096

# Each stage is given the manifest and a folder that has the files, and writes seconds: by the clock and of processors.
PREPARE = """
import json, sys, time
from pathlib import Path
from tinytorch_datasets import audit, get, load_manifest, pipeline
from tinytorch_datasets.fetch import fetch
from tinytorch_datasets.verify.files import StatCache, check_files
manifest, mirror = Path(sys.argv[1]), sys.argv[2]
plan, places = pipeline.placed(load_manifest(manifest), "shards")
quiet, locks = (lambda *_: None), places.cache / "locks"
began, of_processors = time.perf_counter(), time.process_time()
"""
STAGES = {
    "fetch": 'fetch(plan.files, plan.root, folder="shards", mirror=mirror, offline=False, locks=locks, progress=quiet)',
    "verify": 'check_files(plan, mode="always", stat_cache=StatCache())',
    "get": 'get("shards", manifest=manifest, offline=True, progress=quiet)',
    "audit": 'assert audit(manifest=manifest, decode="never").ok',
    "audit of values": 'assert audit(manifest=manifest, decode="always").ok',
}
REPORT = "\nprint(json.dumps([time.perf_counter() - began, time.process_time() - of_processors]))"


class Cost(NamedTuple):
    """Seconds of one stage: by the clock, and of all processors together."""

    clock_s: float
    processor_s: float


def measured(shards: int, shard_bytes: int, folder: Path | None) -> dict[str, Cost]:
    """Do each stage with so many shards, each in a process of its own."""
    costs = {}
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        if shutil.disk_usage(root).free < 1.3 * shards * shard_bytes:
            sys.exit(f"{root} has no room for {1.3 * shards * shard_bytes:,.0f} bytes")
        manifest = cluster.make_shards(root, shards, shard_bytes)
        home, kept = root / "home", root / "mirror"
        home.rename(kept)
        for stage, code in STAGES.items():
            command = [sys.executable, "-c", PREPARE + code + REPORT, str(manifest), str(kept)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            costs[stage] = Cost(*json.loads(done.stdout))
            if stage == "fetch":  # what was written goes; the sparse files take its place
                shutil.rmtree(home)
                shutil.copytree(kept, home, copy_function=_link)
            if stage == "get":
                shutil.rmtree(home / ".cache")
    return costs


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def seconds_a_task(tasks: int = 500) -> float:
    """What a task costs beside its work, by the clock of the process that gives it to a Dask scheduler."""
    from distributed import Client

    with (
        tempfile.TemporaryDirectory() as root,
        cluster.dask_cluster(Path(root), 2) as address,
        Client(address, set_as_default=False) as client,
        client.get_executor() as executor,
    ):
        each = [Task(float, BUNDLE_BYTES, (Path(root),))] * tasks
        run_tasks(each[:10], executor)
        seconds, _ = cluster.timed(lambda: run_tasks(each, executor))
    return seconds / tasks


class Cluster(NamedTuple):
    """What is assumed of the workers and the storage.

    Workers differ in speed by `spread` (the deviation of the logarithm), a share of them takes `slow_factor` times as
    long, and each is lost every so many hours and comes back after `restart_s`.
    """

    workers: int = 100
    spread: float = 0.1
    slow_share: float = 0.05
    slow_factor: float = 3.0
    hours_to_loss: float = 10.0
    restart_s: float = 60.0
    storage_gb_s: float = 20.0


def simulate(sizes_gb: Sequence[float], of: Cluster, *, s_a_gb: float, s_a_task: float, seed: int) -> float:
    """Return in how many seconds workers do these tasks, if each takes the next one whenever it is free.

    A lost worker's task is given out again behind those that wait. The process that gives tasks out gives one every
    `s_a_task`, and no worker reads faster than its share of the storage.

    >>> ideal = Cluster(workers=2, spread=0, slow_share=0, hours_to_loss=1e9, storage_gb_s=1e9)
    >>> simulate([1.0] * 10, ideal, s_a_gb=2.0, s_a_task=0.0, seed=0)
    10.0
    """
    chance = random.Random(seed)
    slow = {*chance.sample(range(of.workers), round(of.slow_share * of.workers))}
    at_least = of.workers / of.storage_gb_s
    rates = [
        max(at_least, s_a_gb * chance.lognormvariate(0, of.spread) * (of.slow_factor if worker in slow else 1))
        for worker in range(of.workers)
    ]
    waiting = sorted(sizes_gb)
    again: list[float] = []
    free = [(0.0, worker) for worker in range(of.workers)]
    ended, given = 0.0, 0.0
    while waiting or again:
        now, worker = heapq.heappop(free)
        size = waiting.pop() if waiting else again.pop(0)
        given = max(now, given) + s_a_task
        takes = size * rates[worker]
        lost_after = chance.expovariate(1 / (3600 * of.hours_to_loss))
        if lost_after < takes:
            again.append(size)
            heapq.heappush(free, (given + lost_after + of.restart_s, worker))
            continue
        ended = max(ended, given + takes)
        heapq.heappush(free, (given + takes, worker))
    return ended


SHAPES = {  # 10 TB in so many files, of so many GB
    "10,000,000 of 1 MB": (10_000_000, 0.001),
    "100,000 of 100 MB": (100_000, 0.1),
    "10,000 of 1 GB": (10_000, 1.0),
    "1,000 of 10 GB": (1_000, 10.0),
    "100 of 100 GB": (100, 100.0),
}
SITUATIONS = {
    "all alike": Cluster(spread=0, slow_share=0, hours_to_loss=1e9, storage_gb_s=1e9),
    "some slow": Cluster(hours_to_loss=1e9, storage_gb_s=1e9),
    "some lost": Cluster(storage_gb_s=1e9),
    "storage of 20 GB/s": Cluster(),
}


def constants(found: dict[str, Any]) -> dict[str, float]:
    """The costs that the simulation takes: of processors, of the largest size; a file's, of the small ones."""
    largest = found["sizes"][max(found["sizes"], key=float)]
    return {
        "s_a_gb": largest["costs"]["audit"][1] / (largest["bytes"] / 1e9),
        "s_a_file": found["small"]["costs"]["audit"][1] / found["small"]["files"],
        "s_a_task": found["task_s"],
    }


def bundles(files: int, size_gb: float) -> list[int]:
    """Return how many of so many files of that size are sent together, each time, as `run_tasks` does it."""
    made, left = [], files
    while left:
        most = bundle_bytes(round(left * size_gb * 1e9), round(files * size_gb * 1e9))
        made.append(min(left, math.ceil(most / (size_gb * 1e9))))
        left -= made[-1]
    return made


def simulated(of: dict[str, float], seeds: int = 20) -> dict[str, dict[str, list[float]]]:
    """The hours of each shape in each situation: half of the seeds take less than the first, 95 % than the other."""
    results: dict[str, dict[str, list[float]]] = {}
    for shape, (files, size) in SHAPES.items():
        for situation, assumed in SITUATIONS.items():
            # A file costs something whatever its size: that is as if it were larger.
            tasks = [together * (size + of["s_a_file"] / of["s_a_gb"]) for together in bundles(files, size)]
            tries = 1 if assumed == SITUATIONS["all alike"] else seeds
            costs = {"s_a_gb": of["s_a_gb"], "s_a_task": of["s_a_task"]}
            hours = sorted(simulate(tasks, assumed, **costs, seed=seed) / 3600 for seed in range(tries))
            late = hours[min(len(hours) - 1, round(0.95 * len(hours)))]
            results.setdefault(shape, {})[situation] = [statistics.median(hours), late]
    return results


def main() -> None:
    """Measure or simulate, and write or print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=["measure", "simulate"])
    options.add_argument("gigabytes", nargs="*", type=float, default=[1, 5, 20])
    options.add_argument("--folder", type=Path, help="Where there is room for the largest size")
    options.add_argument("--json", type=Path, metavar="FILE", help="Read and write the results")
    chosen = options.parse_args()
    found: dict[str, Any] = json.loads(chosen.json.read_text()) if chosen.json and chosen.json.exists() else {}
    if chosen.what == "measure":
        sizes = {}
        for gigabytes in chosen.gigabytes:
            shards = round(gigabytes * 1e9 / SHARD_BYTES)
            costs = measured(shards, SHARD_BYTES, chosen.folder)
            sizes[f"{gigabytes:g}"] = {"bytes": shards * SHARD_BYTES, "files": shards, "costs": costs}
            print(gigabytes, costs, flush=True)
        small = {"files": SMALL_FILES, "costs": measured(SMALL_FILES, SMALL_BYTES, chosen.folder)}
        found = {"date": date.today().isoformat(), "machine": machine.description(), "load": machine.load()}
        found |= {"sizes": sizes, "small": small, "task_s": seconds_a_task()}
    found["simulated"] = simulated(constants(found))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    print(costs_table(found), simulation_table(found), sep="\n\n")


def load() -> dict[str, Any]:
    """The results that the docs show."""
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


TITLES = {
    "fetch": "fetched from a folder, hashed on the way",
    "verify": "verified again: every byte hashed",
    "get": "first `get` of what is there: verified, decoded, hashed, written",
    "audit": "`audit --no-decode`",
    "audit of values": "`audit --decode`: hashed, decoded, every value compared",
}


def costs_table(found: dict[str, Any]) -> str:
    """The measured costs as Markdown."""
    of = found["machine"]
    head = (
        f"Measured on {found['date']}: {of['processor']}, {of['cores']} cores, {of['memory_gib']} GiB, {of['system']}, "
        f"load {found['load']}. Processor seconds are of all cores together; behind them, seconds by the clock."
    )
    sizes = list(found["sizes"])
    rows = [head, "", f"| stage | {' | '.join(f'{size} GB, a GB' for size in sizes)} | a small file |"]
    rows.append("|---" * (len(sizes) + 2) + "|")
    for stage, title in TITLES.items():
        cells = []
        for size in sizes:
            clock, processor = (
                each / (found["sizes"][size]["bytes"] / 1e9) for each in found["sizes"][size]["costs"][stage]
            )
            cells.append(f"{processor:.2f} s ({clock:.2f} s)")
        clock, processor = (1000 * each / found["small"]["files"] for each in found["small"]["costs"][stage])
        rows.append(f"| {title} | {' | '.join(cells)} | {processor:.2f} ms ({clock:.2f} ms) |")
    return "\n".join(rows)


def one_processor_table(found: dict[str, Any]) -> str:
    """What 10 TB in 10,000 files cost one processor, and a hundredth of it, as Markdown."""
    largest = found["sizes"][max(found["sizes"], key=float)]
    rows = ["| stage of 10 TB in 10,000 files | one processor | a hundredth |", "|---|---|---|"]
    for stage, title in TITLES.items():
        of_bytes = 1e4 * largest["costs"][stage][1] / (largest["bytes"] / 1e9)
        hours = (of_bytes + 1e4 * found["small"]["costs"][stage][1] / found["small"]["files"]) / 3600
        rows.append(f"| {title} | {hours:.1f} h | {60 * hours / 100:.0f} min |")
    return "\n".join(rows)


def simulation_table(found: dict[str, Any]) -> str:
    """The simulated audits as Markdown."""
    of = constants(found)
    head = (
        f"Simulated with {of['s_a_gb']:.2f} s a GB, {1000 * of['s_a_file']:.2f} ms a file and "
        f"{1000 * of['s_a_task']:.1f} ms a task; the median, and what 95 % of the runs take no longer than."
    )
    rows = [head, "", f"| 10 TB in files, minutes | {' | '.join(SITUATIONS)} |", "|---" * (len(SITUATIONS) + 1) + "|"]
    for shape, results in found["simulated"].items():
        cells = [f"{60 * half:.1f}" + (f", {60 * most:.1f}" if most != half else "") for half, most in results.values()]
        rows.append(f"| {shape} | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
