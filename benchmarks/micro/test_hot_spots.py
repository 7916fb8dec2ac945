"""Micro-benchmarks of the parts that everything passes through.

`pytest -m bench benchmarks/micro`; pytest-benchmark prints a table. Nothing here asserts a time.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
materials = importlib.import_module("harness.materials")
server = importlib.import_module("harness.server")

pytestmark = pytest.mark.bench


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A tenth of the data, generated, and a server for it."""
    made = materials.make(tmp_path_factory.mktemp("materials"), quick=True)
    with server.serving(made.served) as url:
        materials.write_manifests(made, url, many=500)
        yield made


@pytest.fixture(scope="session")
def home(served: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both data sets are, fetched and decoded."""
    from tinytorch_datasets import get

    home: Path = tmp_path_factory.mktemp("home")
    for name in ("mnist", "cifar10"):
        get(name, manifest=served.manifest("plain"), home=home, progress=lambda *_: None)
    return home


def test_get_again(benchmark: Any, served: Any, home: Path) -> None:
    """The second `get` in one process."""
    from tinytorch_datasets import get

    benchmark(lambda: get("mnist", manifest=served.manifest("plain"), home=home))


def test_cache_entry(benchmark: Any, served: Any, home: Path) -> None:
    """Reading a cache entry and opening its maps, as the first `get` of a process does."""
    from tinytorch_datasets import api, get

    def first() -> Any:
        api._held.clear()
        return get("mnist", manifest=served.manifest("plain"), home=home)

    benchmark(first)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_batches(benchmark: Any, served: Any, home: Path, shuffle: bool, dtype: str | None) -> None:
    """A pass over 5,000 images of 3,072 bytes in batches of 128."""
    from tinytorch_datasets import get

    train = get("cifar10", manifest=served.manifest("plain"), home=home).train
    benchmark(lambda: [None for _ in train.batches(128, shuffle=shuffle, seed=0, dtype=dtype)])


def test_gather_by_hand(benchmark: Any, served: Any, home: Path) -> None:
    """The same shuffled pass in float32 by hand: what `test_batches[float32-True]` stands beside."""
    from tinytorch_datasets import get

    train = get("cifar10", manifest=served.manifest("plain"), home=home).train
    x, y = train.images, train.labels

    def epoch() -> None:
        order = np.random.RandomState(0).permutation(len(x))
        for start in range(0, len(x), 128):
            j = order[start : start + 128]
            x[j].astype("float32") / 255, y[j]

    benchmark(epoch)


@pytest.mark.parametrize("inflater", ["zlib", "isal"])
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_decode(
    benchmark: Any, served: Any, home: Path, name: str, inflater: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inflating, unpacking and checking every block, with nothing written."""
    from tinytorch_datasets import load_manifest, pipeline, settings
    from tinytorch_datasets.readers import compression

    if inflater == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(compression, "isal", lambda: None)
    manifest = load_manifest(served.manifest("plain"))
    locations = settings.locations(
        manifest.path, home, download_to=manifest.download_to, shipped_in=manifest.shipped_in
    )
    plan = pipeline.plan_of(manifest, name, locations)
    benchmark(lambda: [None for _ in pipeline.blocks(plan)])


def test_manifest(benchmark: Any, served: Any) -> None:
    """Reading and checking a manifest of 500 entries."""
    from tinytorch_datasets import load_manifest

    benchmark.pedantic(load_manifest, (served.manifest("ten-thousand"),), rounds=3)
