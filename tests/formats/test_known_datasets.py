"""Public data sets in their published layouts, by YAML alone: `get` returns what the makers of their files put in."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT
from tests.formats.known_datasets import arrays, pictures, tables  # noqa: F401 -- each enters its makers
from tests.formats.known_datasets.stand_ins import MAKERS, Draw, StandIn
from tinytorch_datasets import Dataset, get

FOLDER = Path(__file__).parent / "known_datasets"
ENTRIES: dict[str, Any] = {
    name: entry
    for path in sorted(FOLDER.glob("*.yaml"))
    for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items()
}
PACKAGED = yaml.safe_load((ROOT / "datasets.yaml").read_text(encoding="utf-8"))["datasets"]


def entry_of(name: str) -> dict[str, Any]:
    """An entry of the files of this folder, or else of the packaged manifest."""
    entry = copy.deepcopy(ENTRIES.get(name) or PACKAGED[name])
    for key in ("checks", "mirrors", "used_by", "files"):
        entry.pop(key, None)
    for field in entry["fields"].values():
        field.pop("sha256", None)
    return dict(entry)


def manifest(folder: Path, name: str, stand_in: StandIn) -> Path:
    """The entry as it is, over the files and the counts of the stand-in."""
    entry = entry_of(name) | {"status": "shipped", "license": "CC0", "source": "made here", "folder": "files"}
    for split, fields in stand_in.values.items():
        entry["splits"][split] |= {"samples": len(next(iter(fields.values()))), **stand_in.places.get(split, {})}
    (folder / "datasets" / "files").mkdir(parents=True)
    entry["files"] = {}
    for file, data in stand_in.files.items():
        path = folder / "datasets" / "files" / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        entry["files"][file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path = folder / "datasets.yaml"
    path.write_text(json.dumps({"version": 1, "datasets": {name: entry}}), encoding="utf-8")
    return path


def assert_equal(data: Dataset, values: dict[str, dict[str, Any]]) -> None:
    """Each field of each split is as expected, its type too; NaN is NaN."""
    assert list(data) == list(values)
    for name, fields in values.items():
        assert set(fields) >= set(data[name].fields)
        for field, expected in fields.items():
            actual = getattr(data[name], field)
            if isinstance(expected, str):
                assert actual == expected
            elif isinstance(expected, np.ndarray):
                np.testing.assert_array_equal(actual, expected, strict=True)
            else:
                assert len(actual) == len(expected)
                for one, other in zip(actual, expected, strict=True):
                    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_declared(name: str, tmp_path: Path) -> None:
    """The YAML is what it would be for the real files; only counts are smaller."""
    stand_in = MAKERS[name](Draw(name))

    data = get(name, manifest=manifest(tmp_path, name, stand_in))

    assert_equal(data, stand_in.values)
