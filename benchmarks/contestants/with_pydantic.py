# /// script
# requires-python = ">=3.10"
# dependencies = ["tinytorch-datasets"]
# ///
# What is measured pays for its imports, and pathlib is one.
# ruff: noqa: PTH123
"""A manifest by PyYAML's C loader and Pydantic, by hand, with this package's models."""

import os

import probe


def validated():
    """The whole manifest, read and checked against the models; no lines, no rules between values."""
    import yaml

    from tinytorch_datasets.manifest.models import Declarations

    with open(os.environ["TINYTORCH_DATASETS_MANIFEST"], "rb") as file:
        declared = Declarations.model_validate(yaml.load(file, Loader=yaml.CSafeLoader))
    probe.note(entries=len(declared.datasets))
    return declared


if __name__ == "__main__":
    probe.main({"validated": validated})
