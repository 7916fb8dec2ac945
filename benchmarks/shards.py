"""Fetching thousands of small shards, beside aria2: time, memory, and the first and the warm `get`.

    python benchmarks/shards.py 10000 3

So many shards of 100 kB are generated and served on the loopback by nginx, where it is installed, else by the harness's
own server; in either case by processes of its own. aria2 and `fetch` take them in turn, so many times, with as many
connections, each into a folder of its own that is emptied before; `fetch` compares each file with its sha256 as well,
and aria2, which can, is given the sha256 of each too. Then `get` decodes them, and opens them again. Processor time is
user and system of the downloader alone, per file: it says more than the clock where other programs run.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from harness import server

SAMPLES, SHAPE = 25, (1000,)  # float32: 100 kB
CONNECTIONS = 16
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
ENTRY = """version: 1
datasets:
  big:
    title: Many shards
    status: remote
    format: npy
    license: CC0-1.0
    source: https://example.org/big
    fields:
      x: {{dtype: float32, shape: [1000]}}
    splits:
      train: {{samples: {samples}, shard_samples: {each}, x: "train-*.npy"}}
    mirrors: [{url}]
    files:
"""
# What a process of its own does, so that its memory is its own.
FETCH = """
import resource, sys, time
from tinytorch_datasets import RetryPolicy, get
began = time.perf_counter()
from tinytorch_datasets import pipeline
from tinytorch_datasets.api import load_manifest
from tinytorch_datasets.fetch import fetch
from pathlib import Path
manifest, home, connections = sys.argv[1:]
plan, locations = pipeline.placed(load_manifest(manifest), "big", home)
retry = RetryPolicy(connections_per_host=int(connections), connections_in_all=int(connections))
read = time.perf_counter()
busy = time.process_time()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fetched = fetch(plan.files, plan.root, folder=plan.folder, locks=locations.cache / "locks", retry=retry,
                progress=lambda *_: None, reuse_from=[])
assert len(fetched) == len(plan.files)
took, busy = time.perf_counter() - read, time.process_time() - busy
print(took, read - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory, busy)
"""
GET = """
import resource, sys, time
from tinytorch_datasets import get
began = time.perf_counter()
data = get("big", manifest=sys.argv[1], home=sys.argv[2])
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def make(folder: Path, shards: int) -> dict[str, str]:
    """Write the shards; return the sha256 of each."""
    folder.mkdir(parents=True)
    chance, digests = np.random.RandomState(0), {}
    for number in range(shards):
        path = folder / f"train-{number:05}.npy"
        np.save(path, chance.rand(SAMPLES, *SHAPE).astype(np.float32))
        digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


@contextmanager
def serving(root: Path, folder: Path) -> Iterator[str]:
    """Serve a folder; its address."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        with server.serving(root) as url:
            yield url
        return
    port = 20_000 + os.getpid() % 20_000
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, root=root))
    with subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]) as process:
        time.sleep(0.5)
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


def aria2(digests: dict[str, str], url: str, into: Path) -> tuple[float, float]:
    """Fetch all by aria2, which compares the sha256 of each; the seconds that it took, and those of a processor."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    listed = "".join(f"{url}{name}\n  out={name}\n  checksum=sha-256={sha}\n" for name, sha in digests.items())
    (into / "list").write_text(listed)
    options = [f"-j{CONNECTIONS}", "-x1", "-s1", "--quiet", "--file-allocation=none", "--disk-cache=0"]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["aria2c", f"-i{into / 'list'}", f"-d{into}", *options], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(code: str, *arguments: Any) -> list[float]:
    """Run code in a process of its own; the numbers that it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(number) for number in done.stdout.split()]


def main(shards: int, rounds: int) -> dict[str, Any]:
    """Compare, and return what was measured."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # nginx's worker may be another user
        root = folder / "served"
        digests = make(root, shards)
        size = next(root.iterdir()).stat().st_size
        with serving(root, folder) as url:
            manifest = folder / "datasets.yaml"
            files = "".join(f"      {name}: {{bytes: {size}, sha256: {sha}}}\n" for name, sha in digests.items())
            head = ENTRY.format(samples=shards * SAMPLES, each=SAMPLES, url=url)
            manifest.write_text(head + files)
            others, own = [], []
            for _ in range(rounds):
                others.append(aria2(digests, url, folder / "aria2"))
                shutil.rmtree(folder / "home", ignore_errors=True)
                own.append(run(FETCH, manifest, folder / "home", CONNECTIONS))
            first = run(GET, manifest, folder / "home")
            warm = [run(GET, manifest, folder / "home")[0] for _ in range(3)]
    seconds = statistics.median(one[0] for one in own)
    return {
        "shards": shards,
        "aria2_s": round(statistics.median(other[0] for other in others), 2),
        "fetch_s": round(seconds, 2),
        "speed_of_aria2": round(statistics.median(o[0] / one[0] for o, one in zip(others, own, strict=True)), 2),
        "aria2_processor_ms_a_file": round(statistics.median(other[1] for other in others) * 1000 / shards, 2),
        "fetch_processor_ms_a_file": round(statistics.median(one[3] for one in own) * 1000 / shards, 2),
        "read_manifest_s": round(own[0][1], 2),
        "fetch_memory_mb": round(own[0][2] / 1024, 1),
        "first_get_s": round(first[0], 2),
        "first_get_memory_mb": round(first[1] / 1024, 1),
        "warm_get_s": round(statistics.median(warm), 3),
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2])), indent=1))
