"""What a field may declare of its missing values: each fault is reported with its line, and its twin is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.manifest.test_manifest import GOOD, result, write
from tinytorch_datasets import load_manifest
from tinytorch_datasets.errors import ManifestError

FIELD = "dtype: uint8, shape: [8, 8], range: [0, 16]"
AT = "10: digits.fields.images."
CSV = GOOD.replace("format: npz", "format: csv")

# A field, what it might be instead, and what is reported.
FAULTS = {
    "a mark twice": (
        'dtype: float64, missing: ["?", "", "?"]',
        'dtype: float64, missing: ["?", ""]',
        "missing[2]: the mark '?' is there twice",
    ),
    "no marks": (
        "dtype: float64, missing: []",
        'dtype: float64, missing: [""]',
        "missing: must not be empty",
    ),
    "a mark that YAML reads as a number": (
        "dtype: float64, missing: [-9]",
        'dtype: float64, missing: ["-9"]',
        'missing[0]: must be text, is the number -9: write "-9"',
    ),
    "a mark between blanks": (
        'dtype: float64, missing: [" ?"]',
        'dtype: float64, missing: ["?"]',
        "missing[0]: blanks around a cell do not count, so no cell is ' ?'",
    ),
    "of text": (
        'dtype: str, missing: [""]',
        "dtype: str",
        "missing: text keeps what its cells say, so it has no missing values",
    ),
    "of a bool": (
        'dtype: bool, missing: [""]',
        "dtype: bool",
        "missing: bool has no third value: declare the field as str",
    ),
    "of a label": (
        'dtype: int64, classes: [a, b], missing: ["?"]',
        'dtype: int64, classes: [a, b, "?"]',
        "missing: a label is one of its classes: name the mark among them, or declare the field as str",
    ),
    "whole numbers without a value for it": (
        'dtype: int64, missing: [""]',
        'dtype: int64, missing: [""], missing_value: -1',
        "missing: int64 has no NaN: declare a `missing_value` that no sample has, or float64",
    ),
    "a value for what is never missing": (
        "dtype: int64, missing_value: -1",
        "dtype: int64",
        "missing_value: needs `missing`, the cells that mean a missing value",
    ),
    "a value for a float": (
        'dtype: float32, missing: [""], missing_value: -1',
        'dtype: float32, missing: [""]',
        "missing_value: a missing value is NaN in a field of float32",
    ),
    "a value that the dtype does not hold": (
        'dtype: uint8, missing: [""], missing_value: -1',
        'dtype: int8, missing: [""], missing_value: -1',
        "missing_value: uint8 holds 0 to 255, so it cannot be -1",
    ),
    "a value in the range": (
        'dtype: uint8, range: [0, 16], missing: [""], missing_value: 16',
        'dtype: uint8, range: [0, 16], missing: [""], missing_value: 17',
        "missing_value: 16 is in the declared range, so it could be a value",
    ),
    "half a value": (
        'dtype: int8, missing: [""], missing_value: 0.5',
        'dtype: int8, missing: [""], missing_value: 0',
        "missing_value: must be a whole number, is the number 0.5",
    ),
    "a mark in the range": (
        'dtype: float64, range: [0, 99], missing: ["99"]',
        'dtype: float64, range: [0, 98], missing: ["99"]',
        "missing[0]: '99' is a number of the declared range, so it could be a value",
    ),
}


@pytest.mark.parametrize(("field", "twin", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_reported(field: str, twin: str, problem: str, tmp_path: Path) -> None:
    """In one sentence, on the field's line; what it might be instead is a manifest."""
    with pytest.raises(ManifestError) as caught:
        load_manifest(write(tmp_path, CSV.replace(FIELD, field)))

    (line,) = (line for line in str(caught.value).splitlines() if "images" in line)
    assert line.endswith(AT + problem)
    load_manifest(write(tmp_path, CSV.replace(FIELD, twin)))


def test_a_format_without_cells(tmp_path: Path) -> None:
    """In an array NaN is NaN, and nothing else could mean a missing value."""
    (problem,) = result(tmp_path, FIELD, f'{FIELD}, missing: ["?"], missing_value: 255')

    assert problem.endswith(f"{AT}missing: format 'npz' has no cells of text that could mean a missing value")


def test_what_is_declared_is_in_the_plan(tmp_path: Path) -> None:
    """Marks in their order, and the value."""
    manifest = load_manifest(write(tmp_path, CSV.replace(FIELD, 'dtype: int8, missing: ["", NA], missing_value: -1')))

    images = manifest.plan("digits").splits[0].columns["images"]
    assert (images.missing, images.missing_value) == (("", "NA"), -1)
