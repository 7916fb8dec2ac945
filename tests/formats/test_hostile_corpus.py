"""The corpus of hostile and damaged inputs has every kind of them."""

from __future__ import annotations

import importlib
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import test_hostile_get
from tests.conftest import ROOT
from tests.formats import (
    test_audio,
    test_binary_records,
    test_hdf5,
    test_hostile_files,
    test_hostile_members,
    test_hostile_parquet,
    test_hostile_records,
    test_images,
    test_mat,
    test_svmlight,
    test_texts,
)
from tests.formats import test_hostile as test_formats_hostile
from tests.manifest import test_hostile_manifests, test_manifest
from tests.readers.pickle import test_memory as test_hostile_memory
from tests.readers.pickle import test_pickle as test_unpickle
from tinytorch_datasets import formats

CASES: tuple[Mapping[str, Any], ...] = (
    test_formats_hostile.CASES,
    test_hostile_files.MORE,
    test_hostile_parquet.CASES,
    test_hostile_records.CASES,
    test_svmlight.CASES,
    test_texts.CASES,
    test_images.CASES,
    test_mat.CASES,
    test_audio.CASES,
    test_hdf5.CASES,
    test_binary_records.CASES,
)
FILES: dict[str, Any] = {name: case for cases in CASES for name, case in cases.items()}
TABLES = {
    "files": len(FILES),
    "pickles that ask for more than arrays": len(test_unpickle.UNSAFE),
    "pickles that are damaged": len(test_unpickle.DAMAGED),
    "files that are as declared to the last byte": len(test_hostile_get.ENTRIES),
    "files that are not": len(test_hostile_get.WRONG_BYTES),
    "archives of samples": len(test_hostile_members.ATTACKS),
    "links": len(test_hostile_get.LINKED) + 7,
    "pickles that ask for memory": len(test_hostile_memory.GREEDY),
    "values in manifests": len(test_hostile_manifests.VALUES) + len(test_manifest.TestOneWrongThing.CASES),
    "names in manifests": len(test_hostile_manifests.NAMES) + len(test_hostile_manifests.TestNames.CLASHES),
    "addresses in manifests": len(test_hostile_manifests.ADDRESSES),
    "bytes of manifests": len(test_hostile_manifests.RAW) + len(test_manifest.TestHostileYaml.CASES),
}


def test_there_are_four_hundred() -> None:
    """Each with its own error in words, and a twin; the tables have them by name, so that none is there twice."""
    assert sum(map(len, CASES)) == len(FILES), "two cases of one name"
    assert sum(TABLES.values()) >= 400, TABLES


def test_every_format_has_some() -> None:
    """And the more it can say, the more of them; a new format has none yet, and fails here."""
    found = Counter(case.form for case in FILES.values())

    assert set(found) == set(formats.known())
    assert min(found.values()) >= 10, found


SEEDS = ROOT / "fuzz" / "seeds.py"


@pytest.mark.skipif(not SEEDS.exists(), reason="no fuzz folder: this is an unpacked archive without it")
def test_the_seeds_of_the_fuzzers_go_through_their_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they start from, nothing but our own errors comes out."""
    monkeypatch.syspath_prepend(str(SEEDS.parent))
    seeds, targets = map(importlib.import_module, ("seeds", "targets"))

    assert set(seeds.seeds()) == set(targets.TARGETS)
    with tempfile.TemporaryDirectory() as folder:
        for name, found in seeds.seeds().items():
            for data in found:
                targets.TARGETS[name](data, Path(folder))
