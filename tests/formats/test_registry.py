"""The folder's listing is the list of formats."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.formats.test_conformance import write_cifar
from tests.helpers.declared import declare
from tinytorch_datasets import formats
from tinytorch_datasets.errors import MissingLibrary
from tinytorch_datasets.formats import decodes
from tinytorch_datasets.readers.pickle import globals_of

FOLDER = Path(formats.__file__).parent


def test_known_is_the_listing() -> None:
    """A file without an underscore is a format, and nothing else is."""
    listed = sorted(p.stem.replace("_", "-") for p in FOLDER.glob("[!_]*.py"))

    assert formats.known() == tuple(listed)
    assert listed == [
        "arff",
        "arrow",
        "audio",
        "cifar-python",
        "csv",
        "hdf5",
        "idx",
        "images",
        "json",
        "jsonl",
        "mat",
        "npy",
        "npz",
        "parquet",
        "pickle",
        "qa-text",
        "records",
        "svmlight",
        "text",
        "texts",
    ]


@pytest.mark.parametrize("step", [1, -1])
def test_a_file_registers_its_own_name_and_no_other(step: int) -> None:
    """Importing one format brings in that one alone: each is the first of any two, in this order or in the other."""
    names = formats.known()[::step]
    code = "from tinytorch_datasets import formats\n"
    code += f"for name in {names}: formats.of(name); print(*formats._formats)"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert [line.split() for line in result.splitlines()] == [list(names[: n + 1]) for n in range(len(names))]


@pytest.mark.parametrize("name", formats.known())
def test_a_format_says_what_it_is(name: str) -> None:
    """One sentence for lists of formats; options have types that the manifest can be checked by."""
    form = formats.of(name)

    assert form.name == name
    assert re.fullmatch(r"[A-Z].*[^.]\.", form.summary), "the docstring begins with a sentence on one line"
    assert ". " not in form.summary
    assert not form.required, "an option without a default is a question that every entry must answer"
    assert all(not isinstance(annotation, str) for annotation in form.options.values())


def test_the_options_are_the_decoders_keywords() -> None:
    """Nothing else lists them."""
    options = {name: list(formats.of(name).options) for name in formats.known()}

    assert {name: names for name, names in options.items() if names} == {
        "arff": ["encoding"],
        "cifar-python": ["labels"],
        "csv": [
            *("delimiter", "header", "columns", "skip_lines", "comment", "encoding", "decimal", "thousands"),
            *("strip", "cell_delimiter", "skip_last_lines", "most_cells"),
        ],
        "images": ["mode", "resize", "orientation", "alpha", "label_folder", "label_split", "skip"],
        "json": ["records", "parents", "orient"],
        "jsonl": ["records", "parents"],
        "qa-text": ["levels"],
        "records": ["record", "header_bytes", "byte_order"],
        "svmlight": ["index_from"],
        "text": ["unit"],
        "texts": ["encoding", "newlines", "label_folder", "label_split", "skip"],
        "audio": ["rate", "length", "label_folder", "label_split", "skip"],
    }


def test_the_pickles_of_a_data_set_are_at_hand_for_an_audit(tmp_path: Path) -> None:
    """Each with its file and member, inflated, so that what it asks for can be listed without loading it."""
    result, _, _ = write_cifar(tmp_path, 4, 4)
    find = formats.of("cifar-python").pickles
    assert find is not None

    found = [(path, name, globals_of(data)) for path, name, data in find([result])]

    assert [(path, name) for path, name, _ in found] == [(result.file, "b2"), (result.file, "b1")]
    assert all("numpy.ndarray" in names for _, _, names in found)
    assert [name for name in formats.known() if formats.of(name).pickles] == ["cifar-python", "npy", "npz", "pickle"]


def test_a_name_cannot_be_taken_twice() -> None:
    """The second decoder is refused, and both are named."""
    formats.of("idx")

    with pytest.raises(ValueError) as caught:
        decodes("idx", layout="file per field")(lambda splits: iter(()))

    assert str(caught.value) == f"format 'idx' has two decoders: tinytorch_datasets.formats.idx and {__name__}"


def test_a_library_that_is_not_installed_is_named() -> None:
    """With the extra that brings it; one that is installed is no error."""
    needing = replace(formats.of("idx"), needs=("no_such_library", "tables"))

    with pytest.raises(MissingLibrary) as caught:
        needing.check_libraries()

    assert str(caught.value) == (
        "format 'idx' needs no_such_library, which is not installed\n  pip install 'tinytorch-datasets[tables]'"
    )
    assert (caught.value.name, caught.value.extra) == ("no_such_library", "tables")
    replace(needing, needs=("numpy", "tables")).check_libraries()


@pytest.mark.slow
def test_the_guide_to_a_new_format_has_one_that_works(tmp_path: Path) -> None:
    """In a copy of the package with that one file more; it refuses a byte too many, and is checked as all others."""
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r'^```python title="raw\.py"\n(.*?)^```$', guide, re.MULTILINE | re.DOTALL)
    shutil.copytree(FOLDER.parent, tmp_path / "copy" / "tinytorch_datasets", ignore=shutil.ignore_patterns("*.pyc"))
    (tmp_path / "copy/tinytorch_datasets/formats/raw.py").write_text(code, encoding="utf-8")
    entry = """
        format: raw
        options: {order: big}
        fields: {x: {dtype: int16, shape: [3]}}
        splits: {train: {samples: 2, x: x.raw}}
        """
    stored = np.arange(-3, 3, dtype=">i2").tobytes()
    script = "from tinytorch_datasets import get; print(get('made').train.x.tolist())"

    def printed(data: bytes) -> tuple[str, str]:
        declare(tmp_path, entry, x_raw=data)
        variables = {**os.environ, "PYTHONPATH": str(tmp_path / "copy"), "TINYTORCH_DATASETS_HOME": str(tmp_path / "h")}
        command = [sys.executable, "-P"] if sys.version_info >= (3, 11) else [sys.executable]
        done = subprocess.run(
            [*command, "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        return done.stdout, done.stderr

    assert printed(stored) == ("[[-3, -2, -1], [0, 1, 2]]\n", "")
    assert "x.raw: the samples are all that was declared, but 1 more follow" in printed(stored + b"!")[1]


def test_an_unknown_name_is_a_key_error() -> None:
    """The manifest guesses; this only knows."""
    with pytest.raises(KeyError):
        formats.of("idz")


def test_the_standard_library_is_not_hidden() -> None:
    """Files here are called as the formats are, csv and pickle among them; imports are absolute."""
    import csv
    import pickle

    formats.of("csv")
    formats.of("pickle")

    assert (csv.__package__, pickle.__name__) == ("", "pickle")
    assert hasattr(csv, "reader")
    assert hasattr(pickle, "loads")
