"""The layers: a module imports only from below, and importing the package is light."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tinytorch_datasets

PACKAGE = Path(tinytorch_datasets.__file__).parent
NAME = "tinytorch_datasets"

# From the ground up. A folder is one layer, a module at the top level is one, too.
LAYERS = (
    "_version",
    "errors",
    "concurrency",
    "plan",
    "settings",
    "progress",
    "digests",
    "display",
    "storage",
    "batches",
    "subsets",
    "split",
    "dataset",
    "verify",
    "readers",
    "formats",
    "manifest",
    "fetch",
    "pipeline",
    "api",
    "mirror",
    "exporting",
    "catalog",
    "auditing",
    "add",
    "report",
    "cli",
    "__init__",
    "__main__",
)


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name below the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def layer(module: str) -> int:
    """The layer of a module, or of the folder that it is in."""
    return LAYERS.index(module.split(".")[0])


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module, which several tests look at."""
    return ast.parse(path.read_text(encoding="utf-8"))


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Every statement, wherever in the file: a tenth of what `ast.walk` goes through, with all that is in them."""
    parts: list[ast.AST] = [tree]
    while parts:
        node = parts.pop()
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, ())
            parts.extend(inner if isinstance(inner, list) else ())
        if isinstance(node, ast.stmt):
            yield node


@functools.cache
def imported(path: Path) -> set[str]:
    """The package's own modules that a file imports, wherever in the file, but not those only for typing."""
    tree = parsed(path)
    for node in statements(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    known = modules()
    for node in statements(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == NAME:
            below = (node.module or "")[len(NAME) + 1 :]
            for alias in node.names:
                inner = f"{below}.{alias.name}".lstrip(".")
                names.add(inner if inner in known else below or "__init__")
        elif isinstance(node, ast.Import):
            names |= {a.name[len(NAME) + 1 :] for a in node.names if a.name.startswith(f"{NAME}.")}
    return names


def test_every_folder_and_top_level_module_has_a_layer() -> None:
    """And no layer is without code."""
    assert {module.split(".")[0] for module in modules()} == set(LAYERS)


def test_a_module_imports_only_from_its_own_folder_and_from_layers_below() -> None:
    """So folders stand in one order."""
    upward = [
        f"{module} imports {name}"
        for module, path in sorted(modules().items())
        for name in sorted(imported(path))
        if layer(name) > layer(module) or (layer(name) == layer(module) and "." not in module + name)
    ]

    assert not upward


def test_no_module_imports_itself_in_a_circle() -> None:
    """Within a folder neither; the standard library sorts what has none."""
    graphlib.TopologicalSorter({module: imported(path) for module, path in modules().items()}).prepare()


def test_nobody_reaches_into_the_parts_of_fetch() -> None:
    """What others need of it, its face gives by name; how it is made inside is its own."""
    reaching = [
        f"{module} imports {name}"
        for module, path in sorted(modules().items())
        for name in sorted(imported(path))
        if name.startswith("fetch.") and not module.startswith("fetch")
    ]

    assert not reaching


def test_nothing_of_somebody_elses_is_opened_where_a_pipe_would_be_waited_for() -> None:
    """A file that is hashed, decoded or copied is opened by `open_file`, `open_regular` or what reads by them."""
    folders = ("add", "auditing", "exporting", "fetch", "formats", "mirror", "readers", "verify")
    plainly = re.compile(r"\.read_(?:bytes|text)\(|\bopen\((?!.*opener=).*\"rb?\"")
    opening = [
        f"{module}: {line.strip()}"
        for module, path in sorted(modules().items())
        if module.startswith(folders)
        for line in path.read_text(encoding="utf-8").splitlines()
        if plainly.search(line) and "open_regular(" not in line
    ]

    assert opening == [
        'fetch.filesystems: stream = files.open(path, "rb", block_size=LARGEST_BLOCK, cache_type="none")'
    ]


class TestSize:
    """Few deep modules. A face, the `__init__.py` of a folder, hands on names and is not counted."""

    @staticmethod
    def lines() -> dict[str, int]:
        """How many lines each module has, faces left out."""
        inside = {module: path for module, path in modules().items() if path.name != "__init__.py"}
        return {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in inside.items()}

    def test_a_reader_can_hold_the_tree_in_mind(self) -> None:
        """Few modules beside formats and exports, of which each is a file; and few files at the top level."""
        assert len([module for module in self.lines() if not module.startswith(("formats.", "exporting."))]) <= 153
        assert len(list(PACKAGE.glob("*.py"))) <= 14

    def test_no_module_is_shallow(self) -> None:
        """Under thirty lines it belongs to another one; a format is a file of its own, however short."""
        conventional = {"__main__", "_version"}
        shallow = {module for module, count in self.lines().items() if count < 30} - conventional

        assert not {module for module in shallow if not module.startswith("formats.")}
        assert statistics.median(self.lines().values()) >= 150

    def test_no_module_is_past_400_lines(self) -> None:
        """Past that, a module is looking for its second noun."""
        counts = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in modules().items()}

        assert not {module: count for module, count in counts.items() if count > 400}


def test_a_modules_docstring_names_in_one_line_what_it_has() -> None:
    """No question, which a reader would have to answer; under 80 characters, as listings show it."""
    firsts = {}
    for module, path in modules().items():
        docstring = ast.get_docstring(parsed(path)) or ""
        firsts[module] = docstring.partition("\n")[0]

    assert not {module: line for module, line in firsts.items() if not line or len(line) >= 80 or "?" in line}


def test_a_functions_docstring_begins_with_a_verb() -> None:
    """It says what the function does. Not asked of a format's own, which is the summary of the format."""
    nouns = {"A", "All", "An", "Each", "Every", "Exactly", "How", "The", "What", "Where", "Whether", "Which"}
    named = [
        f"{module}.{node.name}: {docstring.partition(chr(10))[0]}"
        for module, path in modules().items()
        for node in statements(parsed(path))
        if isinstance(node, ast.FunctionDef) and not module.startswith("formats.")
        if not any(ast.unparse(decorator).endswith("property") for decorator in node.decorator_list)
        if (docstring := ast.get_docstring(node) or "").partition(" ")[0] in nouns
    ]

    assert not named


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter loads for a statement, beyond what it starts with."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    printed = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in printed.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Not even NumPy: a name is looked up when it is used."""
    heavy = {"numpy", "pydantic", "yaml", "pooch", "requests", "click", "rich", "filelock"}

    assert not loaded_by(f"import {NAME}") & heavy


def test_an_audit_begins_to_hash_before_it_imports_much() -> None:
    """Not even what the standard library has for paths and records, which takes as long as hashing 30 MB."""
    late = {"numpy", "pydantic", "yaml", "pathlib", "dataclasses", "logging", "pickle"}

    assert not loaded_by(f"sys.path.insert(0, {str(PACKAGE.parent)!r}); from {NAME} import audit") & late


def test_type_checkers_know_every_option_of_get() -> None:
    """Its overloads take them from `Options`, each with the type that the function itself has for it."""
    tree = ast.parse((PACKAGE / "api.py").read_text(encoding="utf-8"))  # with what is for type checkers
    (options,) = (node for node in statements(tree) if isinstance(node, ast.ClassDef) and node.name == "Options")
    gets = [node for node in statements(tree) if isinstance(node, ast.FunctionDef) and node.name == "get"]
    get = max(gets, key=lambda each: len(each.args.kwonlyargs))  # the overloads take **options
    listed = {ast.unparse(line) for line in options.body if isinstance(line, ast.AnnAssign)}
    taken = {ast.unparse(each) for each in get.args.kwonlyargs if each.arg != "stream"}

    assert listed == taken


def test_importing_the_loader_needs_no_network_library() -> None:
    """They are imported when something really is to be fetched."""
    assert not loaded_by(f"from {NAME} import get") & {"pooch", "requests", "urllib3", "click", "rich"}


def test_every_byte_may_be_hashed_before_numpy_is_imported() -> None:
    """It comes with the first array that is opened."""
    late = {"numpy", "pydantic", "yaml", "pathlib", "threading", "hashlib"}

    assert not loaded_by(f"sys.path.insert(0, {str(PACKAGE.parent)!r}); from {NAME} import get") & late


def test_importing_fetch_loads_nothing_of_the_network() -> None:
    """Every first `get` imports it, also of what ships; `Web` comes when it is asked for."""
    network = {"requests", "urllib3", "http", "socket", "ssl", "email", "random"}

    assert not loaded_by(f"from {NAME}.fetch import fetch, SourceError") & network
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
