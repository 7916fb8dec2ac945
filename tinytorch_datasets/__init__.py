"""Small, hash-checked data sets for TinyTorch, declared in one YAML file.

>>> from tinytorch_datasets import get
>>> digits = get("tinydigits")           # ships with the package; no network
>>> digits.train.images.shape
(1000, 8, 8)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinytorch_datasets._version import VERSION as __version__

if TYPE_CHECKING:
    from tinytorch_datasets import errors as errors
    from tinytorch_datasets.auditor import audit
    from tinytorch_datasets.dataset import Dataset, Split
    from tinytorch_datasets.declarations import Entry
    from tinytorch_datasets.findings import Finding, Report
    from tinytorch_datasets.loader import get, list_datasets, load_manifest
    from tinytorch_datasets.manifest import Manifest

# Where each public name lives. Importing the package imports none of them: a name is fetched when it is used.
_HOMES = {
    "Dataset": "dataset",
    "Entry": "declarations",
    "Finding": "findings",
    "Manifest": "manifest",
    "Report": "findings",
    "Split": "dataset",
    "audit": "auditor",
    "get": "loader",
    "list_datasets": "loader",
    "load_manifest": "loader",
}

__all__ = [
    "Dataset",
    "Entry",
    "Finding",
    "Manifest",
    "Report",
    "Split",
    "__version__",
    "audit",
    "errors",
    "get",
    "list_datasets",
    "load_manifest",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("tinytorch_datasets.errors")
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
