"""The floors: a module imports only from below, and importing the package is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinytorch_datasets

PACKAGE = Path(tinytorch_datasets.__file__).parent
NAME = "tinytorch_datasets"

FLOORS = (
    {"errors", "_version", "sizes", "scalars", "maps", "exit_codes", "file_names", "hashing", "threads"}
    | {"diagnosis", "links", "parts"},
    {"plan", "answers", "findings", "events", "texts", "progress", "paths"},
    {"batches", "declarations", "document", "disk", "formats._registry", "value_digests", "limits", "compiled"},
    {"dataset", "writers", "promises", "whereabouts"},
    {"cache", "rules", "receipts"},
    {"complaints", "verify", "contents", "fetch", "formats._*"},
    {"manifest", "formats.*"},
    {"formats", "comparing"},
    {"stages", "schema"},
    {"loader", "provenance", "mirroring"},
    {"auditing", "reports", "serving"},
    {"auditor", "adding"},
    {"adder", "updater", "telling", "cli_common"},
    {"cli_audit", "cli_upkeep", "showing"},
    {"cli"},
    {"__init__", "__main__"},
)

# Packages that stand on one floor as a whole.
FOLDERS = {"fetch", "auditing", "adding", "reports"}


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name below the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def floor(module: str) -> int:
    """The floor a module stands on."""
    name = module.split(".")[0] if module.split(".")[0] in FOLDERS else module
    for i, names in enumerate(FLOORS):
        if name in names:
            return i
    if name.startswith("formats."):
        wanted = "formats._*" if name.startswith("formats._") else "formats.*"
        return next(i for i, names in enumerate(FLOORS) if wanted in names)
    pytest.fail(f"{module} stands on no floor; add it to FLOORS")


def imported(path: Path) -> set[str]:
    """The package's own modules that a file imports, wherever in the file, but not those only for typing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    known = modules()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == NAME:
            below = (node.module or "")[len(NAME) + 1 :]
            for alias in node.names:
                inner = f"{below}.{alias.name}".lstrip(".")
                names.add(inner if inner in known else below or "__init__")
        elif isinstance(node, ast.Import):
            names |= {a.name[len(NAME) + 1 :] for a in node.names if a.name.startswith(f"{NAME}.")}
    return names


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_only_from_below(module: str) -> None:
    """Or from its own folder, for the parts of one package; there is no circle anywhere."""
    for name in imported(modules()[module]):
        same_package = name.split(".")[0] == module.split(".")[0] in FOLDERS
        peers = module.startswith("formats._") and name.startswith("formats._")
        assert floor(name) < floor(module) or same_package or peers, f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(modules()))
def test_nobody_reaches_into_fetch(module: str) -> None:
    """What others need of it, it gives by name; how it is made inside is its own."""
    if module.split(".")[0] != "fetch":
        assert not {name for name in imported(modules()[module]) if name.startswith("fetch._")}


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_module_is_past_300_lines(module: str) -> None:
    """Past that, a module is looking for its second noun."""
    assert len(modules()[module].read_text(encoding="utf-8").splitlines()) <= 300


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter loads for a statement, beyond what it starts with."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    told = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in told.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Not even NumPy: a name is looked up when it is used."""
    heavy = {"numpy", "pydantic", "yaml", "pooch", "requests", "click", "rich", "filelock"}

    assert not loaded_by(f"import {NAME}") & heavy


def test_importing_the_loader_needs_no_network_library() -> None:
    """They are imported when something really is to be fetched."""
    assert not loaded_by(f"from {NAME} import get") & {"pooch", "requests", "urllib3", "click", "rich"}


def test_importing_fetch_loads_nothing_of_the_network() -> None:
    """Every first `get` imports it, also of what ships; `Web` comes when it is asked for."""
    network = {"requests", "urllib3", "http", "socket", "ssl", "email", "random"}

    assert not loaded_by(f"from {NAME}.fetch import fetch, Trouble") & network
    assert "http" in loaded_by(f"from {NAME}.fetch import Web")


def test_the_public_names_are_the_ones_listed() -> None:
    """`__all__` is the whole of it, for those who run the package and for those who only read it."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "__future__"]
    read = {alias.asname or alias.name for node in imports for alias in node.names} - {"TYPE_CHECKING", "Any"}

    assert tinytorch_datasets.__all__ == sorted(read) == dir(tinytorch_datasets)
    for name in tinytorch_datasets.__all__:
        assert getattr(tinytorch_datasets, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'load'"):
        tinytorch_datasets.load  # noqa: B018


def test_the_datasets_folder_never_hides_hugging_faces_package() -> None:
    """With an __init__.py it would, for everyone who runs Python from the clone's root."""
    assert not list((PACKAGE.parent / "datasets").rglob("__init__.py"))
