"""Loading a manifest: reading, validation, and the manifests that it includes.

Each file is a manifest of its own, read and checked by itself, with its own folders; what one says of folders, budgets
and rules to ignore holds for its own data sets. Together they are a `Manifest` whose data sets have names and files
that are in no other's way. A file that is included on two ways is one layer; one that includes itself is refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from tinytorch_datasets import settings
from tinytorch_datasets.concurrency import collection_paused
from tinytorch_datasets.errors import DatasetError, ManifestError, Problem, bounded_guesses, did_you_mean
from tinytorch_datasets.manifest import rules
from tinytorch_datasets.manifest.filenames import clashes, folded, has_credentials, without_secrets
from tinytorch_datasets.manifest.format_options import Formats
from tinytorch_datasets.manifest.manifest import DeclaredFile, Manifest
from tinytorch_datasets.manifest.messages import translate
from tinytorch_datasets.manifest.models import Declarations, RemoteManifest
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml, dotted, read_file
from tinytorch_datasets.storage.memmap import StatSignature

VERSION = 1  # of manifests, the newest that is read
# The manifests that may stand on one another. A course has three.
MOST_FILES = 64
ENTRY_POINTS = "tinytorch_datasets.manifests"

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

Download = Callable[[str, str], Path]


def load(path: Path, formats: Formats, download: Download | None = None) -> Manifest:
    """Read and check the manifest at `path`, and those that it includes, against the formats there are.

    `download` brings an included manifest from its address, with the sha256 that is declared, and returns its path.

    Raises:
        ManifestError: Something is wrong with one of them; `problems` has everything that is, with lines.
    """
    with collection_paused():
        text, signature = read_file(path)
        return _Loader(formats, download).complete(ParsedYaml(text, path), signature)


def check_parsed(parsed: ParsedYaml, formats: Formats, download: Download | None = None) -> Manifest:
    """Check a manifest that was read before, and may stand in no file yet.

    Raises:
        ManifestError: Something is wrong with it; `problems` has everything that is, with lines.
    """
    with collection_paused():
        return _Loader(formats, download).complete(parsed, [])


class _Opened(NamedTuple):
    """A manifest whose includes are being loaded: its file, and the line of the one that is.

    The line is named with its whole path, because the files of several folders mostly have one name.
    """

    file: str
    where: str


class _Loader:
    """Loads each file once, whichever ways lead to it."""

    def __init__(self, formats: Formats, download: Download | None) -> None:
        self._formats, self._download = formats, download
        self._loaded: dict[str, Manifest] = {}
        self._broken: set[str] = set()
        self._opened: list[_Opened] = []
        self._downloaded: set[Path] = set()

    def complete(self, parsed: ParsedYaml, signature: StatSignature) -> Manifest:
        """Return a manifest that was read, checked, with all that it includes.

        Raises:
            ManifestError: Something is wrong with one of them.
        """
        declared = _validated(parsed, self._formats)
        included: list[tuple[int, Manifest]] = []
        problems: list[Problem] = []
        broken: list[ManifestError] = []
        for number, given in enumerate(declared.include):
            where = f"{parsed.path}:{parsed.line('include', number)}"
            self._opened.append(_Opened(os.path.realpath(parsed.path), where))
            try:
                layer = self._include(given, parsed.path)
            except IncludeError as error:
                problems.append(parsed.problem(("include", number), str(error)))
            except ManifestError as error:
                broken += [ManifestError(e.path, e.problems, (*e.included_at, where)) for e in (error, *error.also)]
            except DatasetError as error:  # what is at an address
                error.with_context(where=where)
                raise
            else:
                included += [(number, layer)] if layer is not None else []
            self._opened.pop()
        manifest = Manifest(parsed, declared, signature, self._formats, [layer for _, layer in included])
        problems += _conflicts(manifest, {id(layer): number for number, layer in reversed(included)})
        if problems:
            broken.append(ManifestError(parsed.path, sorted(problems)))
        if broken:
            first, *others = broken
            raise ManifestError(first.path, first.problems, first.included_at, others)
        return manifest

    def _include(self, given: str | RemoteManifest, including: Path) -> Manifest | None:
        """Return the manifest that an item stands for; None if it cannot be used, which was reported before."""
        path = self._path(given, including)
        file = os.path.realpath(path)
        if file in [opened.file for opened in self._opened]:
            first = next(i for i, opened in enumerate(self._opened) if opened.file == file)
            way = " includes ".join([opened.where for opened in self._opened[first:]] + [str(path)])
            msg = f"is a circle: {way}"
            raise IncludeError(msg)
        if file in self._broken:
            return None
        if file not in self._loaded:
            if len(self._loaded) + len(self._opened) >= MOST_FILES:
                msg = f"more than {MOST_FILES} manifests stand on one another"
                raise IncludeError(msg)
            text, signature = read_file(path)
            try:
                self._loaded[file] = self.complete(ParsedYaml(text, path), signature)
            except ManifestError:
                self._broken.add(file)
                raise
        return self._loaded[file]

    def _path(self, given: str | RemoteManifest, including: Path) -> Path:
        """Return the file that an item of `include` stands for."""
        if isinstance(given, RemoteManifest):
            return self._remote(given)
        if given == settings.PACKAGED:
            return Path(settings.packaged_manifest())
        if _ADDRESS.match(given):
            shown = without_secrets(given)
            msg = f"an address goes with the sha256 of what it gives: {{url: {shown}, sha256: ...}}"
            raise IncludeError(msg)
        if "\\" in given:
            given = given.replace("\\", "/")
            msg = f"a path is written with forward slashes, for every system: {given}"
            raise IncludeError(msg)
        file = settings.included_path(given, str(including))
        if not file:
            return path_of_package(given)
        if including in self._downloaded:
            msg = f"{given} is a path, and this manifest is from an address; include an address with its sha256"
            raise IncludeError(msg)
        path = Path(file)
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            msg = f"there is no such file: {path}"
            raise IncludeError(msg) from None
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror}"
            raise IncludeError(msg) from None
        if stat.S_ISDIR(mode):
            msg = f"{given} is a folder; write the file: {given.rstrip('/')}/datasets.yaml"
            raise IncludeError(msg)
        if not stat.S_ISREG(mode):
            msg = f"{path} is no regular file"
            raise IncludeError(msg)
        return path

    def _remote(self, given: RemoteManifest) -> Path:
        shown = without_secrets(given.url)
        if not given.url.startswith("https://"):
            msg = f"{shown} must start with https://"
            raise IncludeError(msg)
        if has_credentials(given.url):
            msg = f"{shown} carries a user name or password; a manifest is read by everyone"
            raise IncludeError(msg)
        if self._download is None:
            msg = f"{shown} is fetched only where a manifest is loaded from its file"
            raise IncludeError(msg)
        path = self._download(given.url, given.sha256)
        self._downloaded.add(path)
        return path


class IncludeError(ValueError):
    """An item of `include` that leads to no manifest; its text says why."""


def path_of_package(name: str) -> Path:
    """Return the manifest that an installed package registers by that name: `datasets.yaml` in its own folder.

    The package is found, and nothing of it is run.

    Raises:
        IncludeError: There is none, or more than one.
    """
    from importlib.metadata import entry_points  # which takes as long to import as a small manifest to read
    from importlib.util import find_spec

    points = entry_points(group=ENTRY_POINTS)
    if not (values := sorted({point.value for point in points if point.name == name})):
        known = [settings.PACKAGED, *sorted(points.names)]
        guess = did_you_mean(name, known) or "."
        msg = f"no installed package brings a manifest named {name!r}{guess} A path ends in .yaml"
        raise IncludeError(msg)
    if len(values) > 1:
        msg = f"several installed packages bring a manifest named {name!r}: {', '.join(values)}; uninstall all but one"
        raise IncludeError(msg)
    package = values[0].partition(":")[0].strip()
    try:
        spec = find_spec(package.partition(".")[0])
    except ValueError:  # a module of that name was made by hand in this process
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder, *package.split(".")[1:], "datasets.yaml")
        if path.is_file():
            return path
    msg = f"the entry point {name!r} names {package}, and there is no datasets.yaml in that package"
    raise IncludeError(msg)


def _conflicts(manifest: Manifest, includes: dict[int, int]) -> Iterator[Problem]:
    """Yield where layers are in each other's way: names, files, and budgets of one folder.

    `includes` has the number of the item of `include` that leads to a directly included layer.
    """
    if not manifest.included:
        return
    # Where several items lead to one layer, the first of them brings it.
    items = {id(layer): includes[id(direct)] for direct in reversed(manifest.included) for layer in direct.layers}

    def problem(layer: Manifest, keys: tuple[str | int, ...], what: str) -> Problem:
        if layer is manifest:
            return Problem(layer.line(*keys), dotted(keys[1:]), what, dotted(keys[1:2]))
        item = items[id(layer)]
        return Problem(manifest.line("include", item), f"include[{item}]", what)

    yield from _same_names(manifest.layers, problem)
    yield from _same_files(manifest.layers, problem)
    yield from _wider_budgets(manifest.layers, problem)


_ToProblem = Callable[[Manifest, "tuple[str | int, ...]", str], Problem]


def _same_names(layers: Iterable[Manifest], problem: _ToProblem) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    for layer in layers:
        own: list[tuple[str, tuple[str | int, ...]]] = []
        for name, entry in layer.own.items():
            own += [(name, (name,)), *((alias, (name, "aliases", i)) for i, alias in enumerate(entry.aliases))]
        for title, keys in own:
            if title in taken:
                here = _place(layer, *keys)
                what = f"{title!r} is declared twice: at {taken[title]} and at {here}; rename one, or include less"
                # In the file that includes both, the line of its own entry, or of the item that brings the second.
                yield problem(layer, ("datasets", *keys), what)
        taken.update({title: _place(layer, *keys) for title, keys in own if title not in taken})


def _same_files(layers: Iterable[Manifest], problem: _ToProblem) -> Iterator[Problem]:
    """Yield other files of one path: in a mirror, and in a home that is given, there is one folder for all layers."""
    owners: dict[str, tuple[Manifest, DeclaredFile]] = {}
    for layer in layers:
        for file in layer.own_files():
            owner, other = owners.setdefault(folded(file.path), (layer, file))
            is_same = (other.facts.sha256, other.facts.bytes) == (file.facts.sha256, file.facts.bytes)
            if owner is not layer and not is_same:
                there, here = _place(owner, other.dataset, *other.keys), _place(layer, file.dataset, *file.keys)
                what = f"{file.path} is declared as two files: at {there} and at {here}; give one of them a `folder`"
                yield problem(layer, ("datasets", file.dataset, *file.keys), what)
    for path, what in clashes(file.path for _, file in owners.values()):
        layer, file = owners[folded(path)]
        keys = (file.dataset, *file.keys)
        yield problem(layer, ("datasets", *keys), f"{_place(layer, *keys)}: {what}")


def _wider_budgets(layers: Iterable[Manifest], problem: _ToProblem) -> Iterator[Problem]:
    """Yield layers that would let the same shipped folder grow beyond what the one above allows."""
    budgets: dict[Path, tuple[Manifest, int]] = {}
    for layer in layers:
        folder, budget = layer.path.parent / layer.shipped_in, layer.shipped_budget_bytes
        if budget is None:
            continue
        above, allowed = budgets.setdefault(Path(os.path.realpath(folder)), (layer, budget))
        if budget > allowed:
            places = f"{_top(layer)} allows {budget:,} bytes of shipped data where {_top(above)} allows {allowed:,}"
            yield problem(layer, ("shipped_budget_bytes",), f"{places}; an included manifest widens nothing")


def _top(layer: Manifest) -> str:
    return f"{layer.path}:{layer.line('shipped_budget_bytes')}"


def _place(layer: Manifest, *keys: str | int) -> str:
    return f"{layer.path}:{layer.line('datasets', *keys)}"


def _validated(parsed: ParsedYaml, formats: Formats) -> Declarations:
    version = parsed.data.get("version") if isinstance(parsed.data, dict) else None
    if type(version) is int and version > VERSION:
        # What else is in it has another meaning now, or none yet: one sentence, and not one for each key.
        what = f"is {version}, and this library reads {VERSION}: `pip install --upgrade tinytorch-datasets`"
        raise ManifestError(parsed.path, [parsed.problem(("version",), what)])
    problems = list(parsed.problems)
    misread = {(problem.line, problem.key) for problem in problems}
    later: list[Problem] = []
    lists: set[str] = set()
    declared: Declarations | None = None
    with bounded_guesses():
        try:
            declared = Declarations.model_validate(parsed.data)
        except ValidationError as error:
            later += translate(error, parsed)
            # A mapping in the place of a list is one mistake, whatever its keys are.
            of_list = [finding["loc"] for finding in error.errors() if finding["type"] in ("tuple_type", "list_type")]
            lists = {parsed.problem(keys, "").key for keys in of_list}
        # The rules look at the plain data, so that one wrong key does not hide what else is wrong.
        later += [parsed.problem(keys, what) for keys, what in rules.check(parsed.data, formats)]
    problems = [problem for problem in problems if problem.key.rpartition(".")[0] not in lists]
    # What was misread as YAML is reported once, and not again for the type it turned into.
    problems += [problem for problem in dict.fromkeys(later) if (problem.line, problem.key) not in misread]
    if declared is None or problems:
        raise ManifestError(parsed.path, sorted(problems, key=lambda problem: (problem.line, problem.key)))
    return declared
