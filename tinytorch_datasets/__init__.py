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
    from tinytorch_datasets import errors
    from tinytorch_datasets.api import get, list_datasets, load_manifest
    from tinytorch_datasets.auditing.audit import audit
    from tinytorch_datasets.auditing.doctor import doctor
    from tinytorch_datasets.auditing.findings import Check, DatasetReport, Diagnosis, Finding, ProbeResult, Report
    from tinytorch_datasets.catalog import Catalog, write_catalog
    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.exporting.export import export
    from tinytorch_datasets.fetch import RetryPolicy
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split
    from tinytorch_datasets.storage.encoded_array import EncodedArray
    from tinytorch_datasets.storage.ragged_array import RaggedArray
    from tinytorch_datasets.storage.string_array import StringArray


# Where each public name lives. Importing the package imports none of them: a name is fetched when it is used.
_HOMES = {
    "Catalog": "catalog",
    "Check": "auditing.findings",
    "Dataset": "dataset",
    "DatasetReport": "auditing.findings",
    "Diagnosis": "auditing.findings",
    "EncodedArray": "storage.encoded_array",
    "Entry": "manifest.models",
    "Finding": "auditing.findings",
    "Manifest": "manifest.manifest",
    "ProbeResult": "auditing.findings",
    "RaggedArray": "storage.ragged_array",
    "Report": "auditing.findings",
    "RetryPolicy": "fetch",
    "Split": "split",
    "StringArray": "storage.string_array",
    "audit": "auditing.audit",
    "doctor": "auditing.doctor",
    "export": "exporting.export",
    "get": "api",
    "list_datasets": "api",
    "load_manifest": "api",
    "write_catalog": "catalog",
}

# Written out, because type checkers and editors read it, and do not run it.
__all__ = [
    "Catalog",
    "Check",
    "Dataset",
    "DatasetReport",
    "Diagnosis",
    "EncodedArray",
    "Entry",
    "Finding",
    "Manifest",
    "ProbeResult",
    "RaggedArray",
    "Report",
    "RetryPolicy",
    "Split",
    "StringArray",
    "__version__",
    "audit",
    "doctor",
    "errors",
    "export",
    "get",
    "list_datasets",
    "load_manifest",
    "write_catalog",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("tinytorch_datasets.errors")
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
