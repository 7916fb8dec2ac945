"""An audit of many shards by the workers of a Dask scheduler, beside the same work by other means.

    python benchmarks/cluster.py 20

The size in GB is that of a generated data set: sparse files, each with some bytes that are its own, of which one is
cut and one has another byte. In each round it is audited by a scheduler with four worker processes, by one thread of
one process, and by this process as `audit` does without an executor; and the same workers hash the same files by
hand: the folder is listed, each file is hashed with hashlib, and the hashes are compared with a list of them. Nobody
connects within what is timed, and everything was imported, and read, once before. All of it is on this machine and its
loopback. The ways come in another order each round. Findings are compared; what is printed are times by the clock,
seconds of all processors (of this process, the scheduler and the workers), and the ratios within a round.

On a computer with other work, the ratio of processor seconds is the one to look at: none of them waits.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# What takes room of a sparse file: some blocks of each.
OWN_BYTES = 2**16
SUMS = "SHA256SUMS"  # what an audit by hand compares with


def sha256_by_hand(path: str) -> str:
    """Hash a file as anybody would. Workers are given it, so it imports what it needs."""
    import hashlib

    digest, buffer = hashlib.sha256(), memoryview(bytearray(2**20))
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def make_shards(root: Path, shards: int, shard_bytes: int, *, hashed_by: int | None = None) -> Path:
    """Write sparse shards and the manifest that declares them; return its path. Each has bytes of its own at its end.

    Raises:
        SystemExit: The disk has no room for what of them is not sparse, or makes them whole.
    """
    needed = shards * (OWN_BYTES + 4096)
    if shutil.disk_usage(root).free < 2 * needed:
        sys.exit(f"{root} has no room for {2 * needed:,} bytes")
    folder = root / "home" / "shards"
    folder.mkdir(parents=True)
    paths = [folder / f"{number:05}.bin" for number in range(shards)]
    for number, path in enumerate(paths):
        own = hashlib.shake_128(str(number).encode()).digest(OWN_BYTES)
        with path.open("wb") as stream:
            stream.truncate(shard_bytes)
            for at in (0, shard_bytes // 2, max(0, shard_bytes - OWN_BYTES)):
                stream.seek(at)
                stream.write(own[: shard_bytes - at if at else 4096])
    with ThreadPoolExecutor(hashed_by or os.cpu_count()) as threads:
        hashes = list(threads.map(sha256_by_hand, map(str, paths)))
    sums = "".join(f"{sha256}  {path.name}\n" for path, sha256 in zip(paths, hashes, strict=True))
    (root / SUMS).write_text(sums)
    lines = "".join(
        f"      {path.name}: {{bytes: {shard_bytes}, sha256: {sha256}}}\n"
        for path, sha256 in zip(paths, hashes, strict=True)
    )
    manifest = root / "datasets.yaml"
    manifest.write_text(
        f"""\
version: 1
download_to: home
datasets:
  shards:
    title: Shards
    status: remote
    format: records
    options: {{record: [{{key: pixels, dtype: uint8, shape: [4096]}}]}}
    license: CC0-1.0
    source: https://example.org/shards
    used_by: [datasets.yaml]
    fields:
      pixels: {{dtype: uint8, shape: [4096]}}
    splits:
      train: {{samples: {shards * shard_bytes // 4096}, members: ["*.bin"]}}
    mirrors: [https://mirror.invalid/shards/, https://other.invalid/shards/]
    files:
{lines}"""
    )
    return manifest


def plant_faults(manifest: Path) -> None:
    """Change one byte of a shard, and cut another one."""
    folder = manifest.parent / "home" / "shards"
    paths = sorted(folder.iterdir())
    changed, cut = paths[len(paths) // 3], paths[len(paths) // 2]
    with changed.open("r+b") as stream:
        stream.seek(-OWN_BYTES // 2, os.SEEK_END)
        stream.write(b"not what was there")
    os.truncate(cut, cut.stat().st_size - 1)


@contextmanager
def dask_cluster(folder: Path, workers: int = 4) -> Iterator[str]:
    """Start a scheduler and worker processes of Dask on the loopback, and yield the scheduler's address."""
    from distributed import Client

    at = folder / "scheduler.json"
    environ = {**os.environ, "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "false"}

    def start(kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(at), *arguments]
        with (folder / f"{kind}.log").open("wb") as log:
            return subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=log)

    started = [start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")]
    try:
        started.append(
            start("worker", "--host", "127.0.0.1", "--nworkers", str(workers), "--nthreads", "1", "--no-dashboard")
        )
        until = time.monotonic() + 60
        while not at.exists() or not at.read_text():
            if time.monotonic() > until:
                raise TimeoutError((folder / "scheduler.log").read_text())
            time.sleep(0.05)
        address: str = json.loads(at.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long something took, and what it returned."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def audit_by_hand(client: Any, root: Path) -> list[str]:
    """Hash by the workers as anybody would who has only a client; return the names of files that differ."""
    declared = {name: sha256 for sha256, name in map(str.split, (root / SUMS).read_text().splitlines())}
    paths = sorted(str(path) for path in (root / "home" / "shards").iterdir())
    hashes = client.gather(client.map(sha256_by_hand, paths, pure=False))
    return [path for path, sha256 in zip(paths, hashes, strict=True) if declared[Path(path).name] != sha256]


def processor_s(of: Sequence[Any]) -> float:
    """Return how many seconds of processors these processes have used, and this one."""
    return time.process_time() + sum(sum(process.cpu_times()[:2]) for process in of)


def compare(root: Path, gigabytes: float, shards: int, rounds: int, workers: int) -> dict[str, Any]:
    """Make the shards, audit them in each way, and return the times of each round."""
    import psutil  # which Dask needs
    from distributed import Client

    from tinytorch_datasets import audit

    manifest = make_shards(root, shards, int(gigabytes * 1e9) // shards // 4096 * 4096)
    plant_faults(manifest)
    in_all = sum(path.stat().st_size for path in (root / "home" / "shards").iterdir())
    times: dict[str, list[float]] = {}
    of_processors: dict[str, list[float]] = {}
    with dask_cluster(root, workers) as address, Client(address, set_as_default=False) as client:
        others = [psutil.Process(pid) for pid in [*client.run(os.getpid).values(), client.run_on_scheduler(os.getpid)]]

        def by_cluster() -> Any:
            with client.get_executor() as executor:
                return audit(manifest=manifest, executor=executor)

        def by_one_thread() -> Any:
            with ThreadPoolExecutor(1) as one:
                return audit(manifest=manifest, executor=one)

        ways: dict[str, Callable[[], Any]] = {
            "cluster": by_cluster,
            "by hand": lambda: audit_by_hand(client, root),
            "one thread": by_one_thread,
            "here": lambda: audit(manifest=manifest),
        }
        by_cluster()
        audit_by_hand(client, root)
        for number in range(rounds):
            reports = {}
            for way in [*ways] if number % 2 == 0 else [*ways][::-1]:
                began = processor_s(others)
                seconds, reports[way] = timed(ways[way])
                times.setdefault(way, []).append(seconds)
                of_processors.setdefault(way, []).append(processor_s(others) - began)
            differing = [Path(path).name for path in reports.pop("by hand")]
            assert len({report.findings for report in reports.values()}) == 1, reports
            found = [(finding.rule, Path(finding.path or "").name) for finding in reports["here"].findings]
            assert sorted(rule for rule, _ in found) == ["file-hash", "file-size"], found
            assert sorted(name for _, name in found) == differing, differing
    return {"bytes": in_all, "shards": shards, "workers": workers, "times_s": times, "processor_s": of_processors}


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("gigabytes", nargs="?", type=float, default=20)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        result = compare(Path(root), arguments.gigabytes, arguments.shards, arguments.rounds, arguments.workers)
    times = result["times_s"]
    print(f"{result['bytes'] / 1e9:.3g} GB in {result['shards']} shards, {result['workers']} workers")
    for way, seconds in times.items():
        rate = result["bytes"] / 1e9 / statistics.median(seconds)
        processors = " ".join(f"{each:7.2f}" for each in result["processor_s"][way])
        print(
            f"{way:12}{' '.join(f'{each:7.2f} s' for each in seconds)}   {rate:.2f} GB/s, of processors {processors} s"
        )
    for other, aim in (("one thread", 1.6), ("by hand", 1.0), ("here", None)):
        wanted = f" (aim {aim})" if aim else ""
        print(
            f"{other} / cluster: {ratios(times, other)}{wanted}; of processors {ratios(result['processor_s'], other)}"
        )


def ratios(of: dict[str, list[float]], other: str) -> str:
    """Return the median of what another way took, in that of the cluster, and the ratio of each round."""
    each = [a / b for a, b in zip(of[other], of["cluster"], strict=True)]
    return f"{statistics.median(each):.2f} ({' '.join(f'{ratio:.2f}' for ratio in each)})"


if __name__ == "__main__":
    main()
