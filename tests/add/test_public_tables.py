"""Tables that others published: what `add` makes of them is what pandas reads, or a refusal in one sentence."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.add_world import add
from tinytorch_datasets import get, load_manifest
from tinytorch_datasets.manifest.format_options import columns_of

pandas = pytest.importorskip("pandas", reason="compares with pandas")


LARGE_BYTES = 1_000_000  # a table that takes seconds


def _package(name: str) -> Iterator[Path]:
    """The tables that an installed package carries as data sets."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None:
        yield from sorted((Path(spec.origin).parent / "datasets").rglob("*.csv*"))


def _real() -> Iterator[Path]:
    folder = os.environ.get("TINYTORCH_DATASETS_REALDATA")
    if folder:
        yield from sorted((Path(folder) / "formats" / "tables").iterdir())


def _cases() -> list[Any]:
    cases = []
    for name, paths in {
        "statsmodels": list(_package("statsmodels")),
        "sklearn": list(_package("sklearn")),
        "tables": list(_real()),
    }.items():
        mark = pytest.mark.skip(reason=f"needs {name}")
        for at, path in enumerate(paths):
            one_of_many = name == "statsmodels" and at % 3 > 0  # which are forty tables
            marks = [pytest.mark.slow] if one_of_many or path.stat().st_size > LARGE_BYTES else []
            cases.append(pytest.param(path, id=f"{name}-{path.parent.name}-{path.name}", marks=marks))
        cases += [] if paths else [pytest.param(None, id=name, marks=mark)]
    return cases


# Names by which a column is plainly what is to be predicted; any other has to be chosen, or asked for.
OBVIOUS = {"label", "target", "class", "y", "species", "kind", "category", "sentiment", "emotion"}


@pytest.mark.parametrize("path", _cases())
def test_the_values_are_those_of_pandas_or_it_is_refused_in_one_sentence(
    manifest: Path, tmp_path: Path, path: Path
) -> None:
    """None is silently text, and none has a label that is neither obvious nor asked for."""
    before = manifest.read_bytes()
    added = add(manifest, path, "--ship", "--name", "mine")

    if added.exit_code:
        assert (added.exit_code, manifest.read_bytes()) == (1, before), added.output
        error, *hints = added.stderr.splitlines()
        assert error.startswith(f"error: {path}: ")
        assert len(hints) == 1
        assert "Traceback" not in added.output
        return
    entry = load_manifest(manifest).datasets["mine"]
    assert entry.format == "csv"
    (split,) = (getattr(get("mine", manifest=manifest, offline=True), name) for name in entry.splits)
    same_as_pandas(path, entry, split)
    labels = entry.options.get("columns", {}).get("labels")
    if "labels" in entry.fields:
        assert entry.target == "?" or str(labels).casefold() in OBVIOUS
    if entry.target == "?":
        assert ': to be filled in: target: "?"' in added.stderr


def same_as_pandas(path: Path, entry: Any, split: Any) -> None:
    """Compare each field with pandas' columns: numbers by value, text and classes as they are written."""
    options, fields = dict(entry.options), entry.fields
    delimiter = options.get("delimiter", ",")
    result: dict[str, Any] = {
        "sep": r"\s+" if delimiter == "whitespace" else delimiter,
        "header": 0 if options.get("header", True) else None,
        **{name: options[name] for name in ("comment", "encoding", "decimal", "thousands") if name in options},
        "skiprows": options.get("skip_lines", 0),
        **({"skipfooter": options["skip_last_lines"], "engine": "python"} if "skip_last_lines" in options else {}),
    }
    exact = {} if pandas.__version__ >= "3" or "engine" in result else {"float_precision": "round_trip"}
    marks = sorted({mark for field in fields.values() for mark in field.missing})
    numbers = pandas.read_csv(path, index_col=False, na_values=marks, skipinitialspace=bool(marks), **exact, **result)
    texts = pandas.read_csv(path, dtype=str, keep_default_na=False, index_col=False, **result)
    names, wanted = [str(name) for name in texts.columns], dict(options.get("columns", {}))
    assert len(numbers) == len(split)
    (declared,) = entry.splits.values()
    for field in split.fields:
        place = getattr(declared, field, None)
        if place is not None:
            wanted[field] = list(columns_of(place.column))
        elif fields[field].names:
            wanted[field] = list(fields[field].names)
        wanted.setdefault(field, field if field in names else None)
    places = {
        field: [_place(one, names) for one in (at if isinstance(at, list) else [at])]
        for field, at in wanted.items()
        if at is not None
    }
    taken = {place for of_field in places.values() for place in of_field}
    for field in split.fields:
        at = places.get(field) or [place for place in range(len(names)) if place not in taken]
        values = getattr(split, field)
        if fields[field].stored == "one-hot":
            assert values.tolist() == numbers.iloc[:, at].to_numpy().argmax(axis=1).tolist()
        elif field == "labels":
            classes = [fields[field].classes[label] for label in values]
            cells = list(texts.iloc[:, at[0]])
            assert classes == cells or [float(one) for one in classes] == [float(cell) for cell in cells]
        elif isinstance(values, np.ndarray):
            expected = numbers.iloc[:, at].to_numpy().reshape(values.shape)
            np.testing.assert_array_equal(values, expected)
        else:
            assert list(values) == list(texts.iloc[:, at[0]])


def _place(name: str | int, names: list[str]) -> int:
    return name % len(names) if isinstance(name, int) else names.index(name)
