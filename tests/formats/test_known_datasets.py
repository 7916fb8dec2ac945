"""Public data sets in their published layouts, by YAML alone: `get` returns what the makers of their files put in."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, plain_yaml
from tests.formats.known_datasets import arrays, others, pictures, tables  # noqa: F401 -- each enters its makers
from tests.formats.known_datasets.stand_ins import MAKERS, Draw, StandIn, sklearn_folder
from tinytorch_datasets import Dataset, Manifest, Report, audit, get, load_manifest

FOLDER = Path(__file__).parent / "known_datasets"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
NOT_DECLARED = plain_yaml(FILES.pop("not_declared"))
ENTRIES: dict[str, dict[str, Any]] = {stem: plain_yaml(path) for stem, path in FILES.items()}
for packaged in ("datasets", "classics"):
    ENTRIES[packaged] = plain_yaml(ROOT / f"{packaged}.yaml")["datasets"]

# Those of torchvision's classification sets that are not MNIST and its successors.
OF_TORCHVISION = [
    "caltech101", "caltech256", "cifar10", "cifar100", "dtd", "eurosat_rgb", "fer2013", "flowers102", "food101",
    "gtsrb", "lfw", "moving-mnist", "omniglot", "oxford_iiit_pet", "semeion", "stl10", "svhn", "usps",
]  # fmt: skip

# Other parts, or other containers, of a data set that is counted already; and two that no library has.
PARTS = [
    "omniglot-small", "cmaterdb-devanagari", "cmaterdb-telugu", "cifar10-binary", "cifar100-binary", "iris-uci",
    "stl10-unlabeled", "penguins-processed", "boston-housing-csv", "california-housing-csv", "imdb-text",
    "mnist.npz", "kmnist.npz", "names", "gsm8k",
]  # fmt: skip


def entry_of(name: str) -> dict[str, Any]:
    """An entry, as it is written."""
    entry: dict[str, Any] = copy.deepcopy(next(entries[name] for entries in ENTRIES.values() if name in entries))
    for key in ("checks", "mirrors", "used_by", "files", "variants", "tried"):
        entry.pop(key, None)
    for field in entry["fields"].values():
        field.pop("sha256", None)
    return entry


def manifest(folder: Path, name: str, stand_in: StandIn) -> Path:
    """The entry as it is, over the files and the counts of the stand-in."""
    entry = entry_of(name) | {"status": "shipped", "license": "CC0", "source": "made here", "folder": "files"}
    for split, fields in stand_in.values.items():
        body = entry["splits"][split]
        body["samples"] = len(next(iter(fields.values())))
        for key, place in stand_in.places.get(split, {}).items():
            body[key] = body[key] | place if isinstance(place, dict) else place
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


def test_how_many_are_declared() -> None:
    """Of 63 data sets that other libraries load, all but those that say why; each has files that it is loaded from."""
    names = {name for stem, entries in ENTRIES.items() if stem not in ("medmnist", "others") for name in entries}

    assert len(names - set(PARTS)) == 62
    assert names.issuperset(PARTS)
    assert list(NOT_DECLARED) == ["rcv1"]
    assert len(OF_TORCHVISION) == 18
    assert names.issuperset(OF_TORCHVISION)
    assert len(ENTRIES["medmnist"]) == 12
    assert sorted(MAKERS) == sorted(name for entries in ENTRIES.values() for name in entries)


@pytest.mark.parametrize("stem", FILES)
def test_entries_are_what_a_person_would_write(stem: str, tmp_path: Path) -> None:
    """With the published counts, and in the text of the file, each is an entry of a manifest that has no problem."""
    lines = ["version: 1", "datasets:"]
    for line in FILES[stem].read_text(encoding="utf-8").splitlines():
        lines.append(f"  {line}" if line else "")
        if line and line[0] not in " #":
            lines += ["    status: remote", "    license: not stated", "    source: https://example.org/"]
            lines += ["    mirrors: [https://example.org/files/]", "    files:"]
            name = line.rstrip(":")
            lines += [f"      {file}: {{bytes: 1, sha256: {'a' * 64}}}" for file in MAKERS[name](Draw(name)).files]
    (tmp_path / "datasets.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    assert set(load_manifest(tmp_path / "datasets.yaml").datasets) == set(ENTRIES[stem])


def real_files() -> dict[str, Path]:
    """The real files that are at hand, by their sha256: scikit-learn's own, and those of a folder that may be there."""
    folders = [sklearn_folder() / "data", sklearn_folder() / "images"]
    if realdata := os.environ.get("TINYTORCH_DATASETS_REALDATA"):
        folders += [path for path in Path(realdata, "formats").iterdir() if path.is_dir()]
    sizes = {file["bytes"] for entry in ENTRIES["classics"].values() for file in entry["files"].values()}
    paths = [path for folder in folders for path in folder.iterdir() if path.stat().st_size in sizes]
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in paths}


REAL = real_files()
TRIED = [name for name, entry in ENTRIES["classics"].items() if entry.get("tried", "never") != "never"]


def splits_at_hand(entry: dict[str, Any]) -> list[str]:
    """The splits of an entry all of whose real files are at hand."""
    here = {file for file, facts in entry["files"].items() if facts["sha256"] in REAL}
    return [
        title
        for title, split in entry["splits"].items()
        if (named := {file for file in entry["files"] if f"'{file}'" in str(split)}) and named <= here
    ]


AT_HAND = [name for name, entry in ENTRIES["classics"].items() if splits_at_hand(entry) == list(entry["splits"])]
OTHERS_TRIED = [name for name in TRIED if name not in AT_HAND]


def test_how_many_classics_are_at_hand() -> None:
    """Those of scikit-learn at least, whose package is among what tests need; whichever is, says that it was tried."""
    assert {"digits-8x8", "sample-images", "iris", "wine", "breast-cancer", "diabetes", "linnerud"} <= set(AT_HAND)
    assert set(AT_HAND) <= set(TRIED)


@pytest.mark.parametrize("name", OTHERS_TRIED)
def test_the_splits_of_a_classic_whose_real_files_are_here(name: str, tmp_path: Path) -> None:
    """Each has the declared digests; the entry is as it is, without the other splits, whose files others have."""
    entry = copy.deepcopy(ENTRIES["classics"][name])
    titles = splits_at_hand(entry)
    if not titles:
        pytest.skip(f"tried on {entry['tried']}, and none of its splits is at hand: {', '.join(entry['files'])}")
    for key in ("checks", "variants"):
        entry.pop(key, None)
    entry["splits"] = {title: entry["splits"][title] for title in titles}
    entry["files"] = {file: facts for file, facts in entry["files"].items() if f"'{file}'" in str(entry["splits"])}
    for field in entry["fields"].values():
        field["sha256"] = {title: field["sha256"][title] for title in titles}
    path, folder = tmp_path / "datasets.yaml", tmp_path / "home" / entry.get("folder", name)
    path.write_text(json.dumps({"version": 1, "datasets": {name: entry}}), encoding="utf-8")
    folder.mkdir(parents=True)
    for file, facts in entry["files"].items():
        shutil.copyfile(REAL[facts["sha256"]], folder / file)

    data = get(name, manifest=path, home=tmp_path / "home", offline=True)

    assert {split: len(samples) for split, samples in data.items()} == {
        title: split["samples"] for title, split in entry["splits"].items()
    }
    report = audit([name], manifest=path, home=tmp_path / "home", decode="always")
    assert [(row.state, row.name) for row in report.datasets] == [("ok", name)]


@functools.cache
def audited(home: Path) -> tuple[Manifest, Report]:
    """The packaged manifest, and one audit of all whose real files are at hand, put into that folder."""
    loaded = load_manifest()
    for name in AT_HAND:
        for file, facts in loaded.entry(name).files.items():
            (home / loaded.folder(name)).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REAL[facts.sha256], home / loaded.folder(name) / file)
    return loaded, audit(AT_HAND, home=home, decode="always")


@pytest.mark.parametrize("name", AT_HAND)
def test_a_classic_by_its_real_files(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It loads as the packaged manifest declares it, every digest and check included, and says that it was tried."""
    home = tmp_path_factory.getbasetemp() / "classics"
    loaded, report = audited(home)

    data = get(name, home=home, offline=True)

    assert {split: len(samples) for split, samples in data.items()} == {
        split: declared.samples for split, declared in loaded.entry(name).splits.items()
    }
    assert all(set(field.sha256) == set(data) for field in loaded.entry(name).fields.values())
    assert [row.state for row in report.datasets if row.name == name] == ["ok"]
    assert not report.findings
    assert loaded.entry(name).tried not in (None, "never")
