"""Version 1 of manifests: what was written for it is read for ever, and what is of a later one is refused.

`golden/manifest-v1` has a manifest with every key there is, and what was made of it (`plans.json`). A key that the
version gains is added to both; nothing that stands there is changed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tests.conftest import ROOT
from tinytorch_datasets import get, load_manifest, settings
from tinytorch_datasets.errors import ManifestError
from tinytorch_datasets.manifest import models

GOLDEN = ROOT / "tests" / "golden" / "manifest-v1"


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the golden manifest, with what it includes by its address as if it had been downloaded before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(GOLDEN, tmp_path / "golden")
    declared = yaml.safe_load((GOLDEN / "datasets.yaml").read_text())["include"][1]
    kept = Path(settings.user_cache(), settings.DOWNLOADED, declared["sha256"], settings.MANIFEST_NAME)
    kept.parent.mkdir(parents=True)
    shutil.copy(GOLDEN / "included.yaml", kept)
    return tmp_path / "golden" / "datasets.yaml"


def keys_of(value: Any) -> Iterator[str]:
    """Every key of a mapping, and of those below it."""
    if isinstance(value, dict):
        yield from value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_of(below)


def plain(value: Any) -> Any:
    """A plan as JSON has it, without lines, nor what is at its default: what plans gain later makes no difference."""
    if dataclasses.is_dataclass(value):
        fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        kept = [(field.name, given) for field, given in fields if given != field.default]
        return {name: plain(given) for name, given in kept if not str(given).startswith("datasets.yaml:")}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, PurePath) else value


def test_the_golden_manifest_has_every_key() -> None:
    """Of every model; a new one belongs into it, with what is made of it."""
    known = {
        key
        for model in vars(models).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == models.__name__
        for key in model.model_fields
    }

    assert known - set(keys_of(yaml.safe_load((GOLDEN / "datasets.yaml").read_text()))) == set()


def test_it_means_what_it_meant(golden: Path, no_network: None) -> None:
    """Each data set's plan is the one that was kept: shapes, classes, places, orders, addresses, digests."""
    manifest = load_manifest(golden)
    plans = {name: plain(manifest.plan(name)) for name in manifest.own}

    assert json.loads(json.dumps(plans)) == json.loads((GOLDEN / "plans.json").read_text())
    assert [layer.path.parent.name for layer in manifest.layers[1:]] != []
    assert (manifest.download_to, manifest.shipped_in, manifest.shipped_budget_bytes) == (
        "downloads",
        "shipped",
        10_000,
    )


def test_its_values_are_those_of_its_file(golden: Path, no_network: None) -> None:
    """What ships beside it loads, by its alias too: the rows of group a, as the file has them."""
    meadow = get("flowers", manifest=golden)

    assert meadow.train.features.tolist() == [[1.5, 2.0], [100.0, 0.0], [-3.0, 7.0]]
    assert meadow.train.labels.tolist() == [0, 0, 1]


def test_a_later_version_is_refused_in_one_sentence(golden: Path) -> None:
    """With what to do, and without a word on keys that this library cannot know."""
    text = golden.read_text().replace("version: 1\n", "version: 2\nalso: {new: [things]}\n")
    golden.write_text(text.replace("status: shipped", "state: here"))
    with pytest.raises(ManifestError) as caught:
        load_manifest(golden)

    line = text.splitlines().index("version: 2") + 1
    assert str(caught.value).splitlines()[0] == (
        f"datasets.yaml:{line}: version: is 2, and this library reads 1: `pip install --upgrade tinytorch-datasets`"
    )
    assert len(caught.value.problems) == 1
