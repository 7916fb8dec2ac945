"""Real clusters: Dask's workers, one of which is killed, process pools, and Ray where it is installed."""

from __future__ import annotations

import filecmp
import importlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.helpers.faulty_server import until
from tests.helpers.fresh_process import python
from tinytorch_datasets import get
from tinytorch_datasets.auditing.audit import audit
from tinytorch_datasets.auditing.findings import Report

PAGE = ROOT / "docs" / "how-to" / "cluster.md"
SHARDS, SHARD_BYTES = 40, 50 * 2**20


def module(name: str) -> Any:
    """A module of the benchmarks, which are no package that is installed."""
    if str(ROOT / "benchmarks") not in sys.path:
        sys.path.insert(0, str(ROOT / "benchmarks"))
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of 2 GB of sparse shards, with one that is cut and one with another byte."""
    cluster = module("cluster")
    manifest: Path = cluster.make_shards(tmp_path_factory.mktemp("shards"), SHARDS, SHARD_BYTES)
    cluster.plant_faults(manifest)
    return manifest


@pytest.fixture(scope="module")
def local(shards: Path) -> Report:
    """What an audit reports that is done here."""
    return audit(manifest=shards)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler on the loopback, with four worker processes."""
    pytest.importorskip("distributed", reason="needs Dask, of the extra 'cluster'")
    with module("cluster").dask_cluster(tmp_path_factory.mktemp("dask"), workers=4) as address:
        yield address


def kill_one(pids: list[int], step: int, killed: list[int], done: int, in_all: int) -> None:
    """Kill a worker when so many bytes are done."""
    if done > step and not killed:
        killed.append(pids[0])
        os.kill(pids[0], signal.SIGKILL)


class Counting(Executor):
    """Another executor, of which each call is counted, and its number given to `before`."""

    def __init__(self, executor: Any, before: Callable[[int], object]) -> None:
        self.calls, self._executor, self._before = 0, executor, before

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Count it, and hand it on."""
        self.calls += 1
        self._before(self.calls)
        return self._executor.submit(function, *args, **kwargs)


@pytest.mark.slow
class TestDask:
    """A scheduler and four worker processes, on the loopback."""

    def test_an_audit_finds_the_same_and_a_killed_worker_changes_nothing(
        self, scheduler: str, shards: Path, local: Report
    ) -> None:
        """Both planted faults, in their order; the worker is killed in the middle."""
        from distributed import Client

        killed: list[int] = []
        with Client(scheduler, set_as_default=False) as client:
            pids = sorted(client.run(os.getpid).values())
            assert len(pids) == 4
            with client.get_executor() as executor:
                kill = partial(kill_one, pids, 2**28, killed)
                report = audit(manifest=shards, executor=executor, progress=kill)

        assert killed == pids[:1]
        assert report == local
        paths = [(finding.rule, Path(finding.path or "").name) for finding in report.findings]
        assert paths == [("file-hash", "00013.bin"), ("file-size", "00020.bin")]

    def test_shards_are_decoded_by_the_workers(self, scheduler: str, tmp_path: Path) -> None:
        """One of which is killed: the arrays are those of a `get` without them, byte for byte, and nothing is left."""
        from distributed import Client

        manifest = module("cluster").make_shards(tmp_path, 8, 2**24)
        in_one = 'members: ["*.bin"]'  # as one file after the other, of which nobody declares how many samples it has
        assert in_one in manifest.read_text()
        manifest.write_text(manifest.read_text().replace(in_one, f'file: "*.bin", shard_samples: {2**24 // 4096}'))
        plain, by_workers, killed = tmp_path / "plain", tmp_path / "by workers", list[int]()
        for home in (plain, by_workers):
            shutil.copytree(tmp_path / "home", home)
        get("shards", manifest=manifest, home=plain)
        with Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(4)  # a killed one comes again
            pids = sorted(client.run(os.getpid).values())
            with client.get_executor() as executor:
                counting = Counting(executor, lambda call: kill_one(pids, 11, killed, call, call))
                get("shards", manifest=manifest, home=by_workers, executor=counting)

        assert killed
        assert counting.calls >= 1 + 8 + 8  # whether it takes tasks, and each shard hashed, and decoded
        folders = [next((home / ".cache" / "arrays").iterdir()) for home in (plain, by_workers)]
        assert folders[0].name == folders[1].name
        pairs = zip(sorted(folders[0].glob("*.npy")), sorted(folders[1].glob("*.npy")), strict=True)
        assert all(filecmp.cmp(*pair, shallow=False) for pair in pairs)
        assert len([*(by_workers / ".cache" / "arrays").iterdir()]) == 1

    def test_the_command_line_takes_its_address(self, scheduler: str, shards: Path, local: Report) -> None:
        """And reports the same; hints are lines to type, which name the manifest."""
        done = python("-m", "tinytorch_datasets", "audit", "--manifest", str(shards), "--json", "--dask", scheduler)

        assert done.returncode == 1
        reports = [json.loads(done.stdout), json.loads(json.dumps(local.as_dict()))]
        for finding in (finding for report in reports for finding in report["findings"]):
            finding.pop("hint")
        assert reports[0] == reports[1]

    def test_ctrl_c_cancels_and_returns_at_once(self, scheduler: str, shards: Path) -> None:
        """Exit code 130, as of any command; and the workers are free for the next."""
        command = [sys.executable, "-m", "tinytorch_datasets", "audit", "--manifest", str(shards), "--dask", scheduler]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        from distributed import Client

        with Client(scheduler, set_as_default=False) as client:
            until(lambda: any(client.processing().values()), seconds=30)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert process.returncode == 130
            assert "interrupted" in err
            until(lambda: not any(client.processing().values()), seconds=30)

    def test_a_wrong_address_is_refused(self) -> None:
        """Before anything is read."""
        done = python("-m", "tinytorch_datasets", "audit", "tinydigits", "--dask", "tcp://127.0.0.1:9")

        assert done.returncode == 2
        assert done.stderr.endswith(
            "error: no Dask scheduler answers at tcp://127.0.0.1:9\n"
            "  Its log has its address, such as tcp://head-node:8786.\n"
        )


@pytest.mark.slow
class TestProcessPool:
    """The standard library's own."""

    def test_a_killed_process_changes_nothing(
        self, shards: Path, local: Report, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The pool is broken for good; what is left is done here, and a line says so."""
        import multiprocessing

        killed: list[int] = []
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            pids = [pool.submit(os.getpid).result()]
            report = audit(manifest=shards, executor=pool, progress=partial(kill_one, pids, 2**27, killed))

        assert killed
        assert report == local
        (message,) = caplog.messages
        assert re.match(rf"\d+ of {SHARDS} tasks are done in this process: BrokenProcessPool: ", message)


@pytest.mark.slow
def test_ray_by_the_lines_of_the_page(shards: Path, local: Report) -> None:
    """The same audit by the adapter that the page shows."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed; the package does not need it")
    (adapter,) = [code for code in blocks() if "import ray" in code]
    code = f"""
{adapter}
from tinytorch_datasets import audit
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
print(*((finding.rule, finding.path) for finding in audit(manifest={str(shards)!r}, executor=RayExecutor()).findings))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == " ".join(str((finding.rule, finding.path)) for finding in local.findings) + "\n", done.stderr


def blocks() -> list[str]:
    """The Python that the page shows."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_dask_explains_itself_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is done."""
    from click.testing import CliRunner

    from tinytorch_datasets.cli import main

    monkeypatch.setitem(sys.modules, "distributed", None)
    for command in (["audit"], ["mirror", "nowhere"]):
        result = CliRunner().invoke(main, [*command, "tinydigits", "--dask", "tcp://127.0.0.1:9"])
        assert result.exit_code == 2
        assert result.stderr == (
            "error: --dask needs distributed, which is not installed\n  pip install 'tinytorch-datasets[cluster]'\n"
        )


# What must be true of what a line of the page gives, and what is to be imported for it.
RECIPES = {
    "Dask arrays": ("dask.array", "numpy.array_equal(result.compute(scheduler='sync'), train.images)"),
    "Dask arrays, by tasks that carry no values": (
        "dask, dask.array, operator",
        "numpy.array_equal(result.compute(scheduler='sync'), train.images) and len(cloudpickle.dumps(result)) < 10**5",
    ),
    "Ray Data": ("ray.data, pyarrow", "[row['labels'] for row in result.take_all()] == train.labels.tolist()"),
    "WebDataset": (
        "webdataset",
        "[sample['cls'] for batch in result for sample in batch] == train.labels[1::4].tolist()",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("library", RECIPES)
def test_the_pages_line_for_a_library_runs(library: str) -> None:
    """And gives the values of the split."""
    (line,) = re.findall(rf"^\| {library} \| `(.*)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    modules, truth = RECIPES[library]
    for name in modules.split(", "):
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            pytest.skip(f"{name} is not installed; the package does not need it")
    code = f"""
import {modules}
import numpy
try:
    import cloudpickle
    import ray
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
except ImportError:
    pass
from tinytorch_datasets import get
train, rank, world = get("tinydigits").train, 1, 4
result = {line}
assert {truth}, result
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


class TestSimulation:
    """The figures of docs/scale.md are what the simulation makes of the measured costs."""

    def test_alike_workers_share_the_work_and_a_slow_one_is_waited_for(self) -> None:
        """Ten tasks of 2 s each: five each for two workers; alone, a task of 3 s ends last; and a limit is a limit."""
        scale = module("scale")
        alike = scale.Cluster(workers=2, spread=0, slow_share=0, hours_to_loss=1e9, storage_gb_s=1e9)
        costs = {"s_a_gb": 2.0, "s_a_task": 0.0, "seed": 0}

        assert scale.simulate([1.0] * 10, alike, **costs) == 10.0
        assert scale.simulate([1.5, 0.5], alike, **costs) == 3.0
        assert scale.simulate([1.0] * 10, alike._replace(slow_share=0.5), **costs) == pytest.approx(16.0, abs=2)
        assert scale.simulate([1.0] * 10, alike._replace(storage_gb_s=0.5), **costs) == 20.0
        assert scale.simulate([1.0] * 10, alike, **{**costs, "s_a_task": 3.0}) == 10 * 3.0 + 2.0
        often = alike._replace(hours_to_loss=3 / 3600, restart_s=1.0)
        assert 10.0 < scale.simulate([1.0] * 10, often, **costs) < 90.0

    @pytest.mark.slow
    def test_every_stage_is_measured(self, tmp_path: Path) -> None:
        """By the code that each is, in a process of its own; three shards of three records are enough for that."""
        costs = module("scale").measured(3, 3 * 4096, tmp_path)

        assert [*costs] == ["fetch", "verify", "get", "audit", "audit of values"]
        assert all(cost.clock_s > 0 and cost.processor_s > 0 for cost in costs.values())

    def test_the_page_has_what_it_gives_now(self) -> None:
        """Seeds are fixed, so it is the same on every machine."""
        found = module("scale").load()

        assert module("scale").simulated(module("scale").constants(found)) == found["simulated"]
