"""The JSON Schema: what an editor completes and checks is what the package accepts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.audit_world import World, copied
from tests.helpers.mutations import digest_of, hash_of
from tinytorch_datasets import formats, load_manifest
from tinytorch_datasets.errors import ManifestError
from tinytorch_datasets.manifest import generated

CHECK = jsonschema.Draft202012Validator(generated.schema())


@pytest.fixture
def world(pristine: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world of one's own."""
    return copied(pristine, tmp_path_factory.mktemp("own"))


def complaints(text: str) -> list[str]:
    """What a validator has against a manifest's text, as the path of each value."""
    return sorted(error.json_path for error in CHECK.iter_errors(yaml.safe_load(text)))


def test_it_is_a_schema() -> None:
    """By the meta-schema of its own dialect."""
    jsonschema.Draft202012Validator.check_schema(generated.schema())


def test_the_committed_one_is_the_one_that_is_printed() -> None:
    """Editors read the file; `tinytorch-datasets schema` writes it."""
    assert (ROOT / "datasets.schema.json").read_text(encoding="utf-8") == generated.format_schema()


def test_the_manifest_names_it_for_editors() -> None:
    """YAML language servers look for this line."""
    first = (ROOT / "datasets.yaml").read_text(encoding="utf-8").splitlines()[0]

    assert first == "# yaml-language-server: $schema=./datasets.schema.json"


def test_it_accepts_what_the_package_accepts(world: World) -> None:
    """The repository's manifest, and one with checks and digests."""
    assert complaints((ROOT / "datasets.yaml").read_text(encoding="utf-8")) == []
    assert complaints(world.manifest.read_text()) == []


REJECTED: list[tuple[str, Callable[[World], object], str]] = [
    ("an unknown key", lambda w: w.edit("title: Talk", "titel: Talk"), "$.datasets.talk"),
    ("a missing key", lambda w: w.edit("    title: Talk\n", ""), "$.datasets.talk"),
    ("an unknown format", lambda w: w.edit("format: idx", "format: ixd"), "$.datasets.digits.format"),
    ("an unknown status", lambda w: w.edit("status: remote", "status: remoet"), "$.datasets.digits.status"),
    ("an option of another format", lambda w: w.edit("{unit: lines}", "{header: true}"), "$.datasets.talk.options"),
    ("an option of another type", lambda w: w.edit("{unit: lines}", "{unit: line}"), "$.datasets.talk.options.unit"),
    ("a short hash", lambda w: w.edit(hash_of(w, "talk.txt"), "abc"), "$.datasets.talk.files['talk.txt'].sha256"),
    ("an uppercase hash", lambda w: w.edit(hash_of(w, "talk.txt"), "A" * 64),
     "$.datasets.talk.files['talk.txt'].sha256"),
    ("an MD5 alone", lambda w: w.edit(f"sha256: {hash_of(w, 'talk.txt')}", f"md5: {'f' * 32}"),
     "$.datasets.talk.files['talk.txt']"),
    ("a negative count", lambda w: w.edit("samples: 12", "samples: -12"), "$.datasets.digits.splits.train.samples"),
    ("a count in words", lambda w: w.edit("samples: 12", "samples: twelve"), "$.datasets.digits.splits.train.samples"),
    ("an unknown dtype", lambda w: w.edit("dtype: uint8", "dtype: uint7"), "$.datasets.digits.fields.images.dtype"),
    ("no classes", lambda w: w.edit("[rose, tulip]", "[]"), "$.datasets.flowers.fields.labels.classes"),
    ("a class that is a number", lambda w: w.edit("[rose, tulip]", "[rose, 7]"),
     "$.datasets.flowers.fields.labels.classes"),
    ("a shape of nothing", lambda w: w.edit("shape: [4, 4]", "shape: [4, 0]"),
     "$.datasets.digits.fields.images.shape[1]"),
    ("a checks in another word", lambda w: w.edit("balance: 1", "balanced: 1"), "$.datasets.flowers.checks"),
    ("a balance below equal parts", lambda w: w.edit("balance: 1", "balance: 0.5"), "$.datasets.flowers.checks"),
    ("a scale of nothing", lambda w: w.edit("shape: [4, 4]", "shape: [4, 4], scale: 0"),
     "$.datasets.digits.fields.images.scale"),
    ("a negative allowance", lambda w: w.edit("constant: 0", "constant: -1"), "$.datasets.flowers.checks"),
    ("a digest that is none", lambda w: w.edit(digest_of(w), "abc"), "$.datasets.digits.fields.images.sha256.test"),
    ("a budget in words", lambda w: w.edit("6_000", "little"), "$.shipped_budget_bytes"),
    ("another version", lambda w: w.edit("version: 1", "version: 2"), "$.version"),
]  # fmt: skip


@pytest.mark.parametrize(("mutate", "path"), [case[1:] for case in REJECTED], ids=[case[0] for case in REJECTED])
def test_it_rejects_what_the_package_rejects(world: World, mutate: Callable[[World], object], path: str) -> None:
    """At the place of the fault, so that an editor underlines it; and the package agrees."""
    mutate(world)

    assert any(found.startswith(path) for found in complaints(world.manifest.read_text()))
    with pytest.raises(ManifestError):
        load_manifest(world.manifest)


def test_a_language_server_has_something_to_complete() -> None:
    """Every key of every level has a description; `format` its values, each format's options their names."""
    made: Any = generated.schema()
    for name, model in made["$defs"].items():
        for key, about in model["properties"].items():
            assert about.get("description"), f"{name}.{key} says nothing to whoever hovers over it"
    entry = made["$defs"]["Entry"]
    branches = {b["if"]["properties"]["format"]["const"]: b["then"]["properties"]["options"] for b in entry["allOf"]}

    assert entry["properties"]["format"]["enum"] == list(formats.known()) == sorted(branches)
    assert {"columns", "comment", "decimal", "delimiter", "header", "thousands"} <= set(branches["csv"]["properties"])


@pytest.mark.slow
def test_it_is_stable() -> None:
    """The same text from every process: no set's order, no chance of hashing."""
    code = "from tinytorch_datasets.manifest import generated; print(generated.format_schema(), end='')"

    def printed(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout

    assert printed("1") == printed("2") == generated.format_schema()
    assert json.loads(generated.format_schema()) == generated.schema()
