"""Kept reports of audits, given again while nothing they were made from differs.

Of each call the last one is kept. What an audit of this computer reports is decided by its inputs, which are all here:

    the code      of this package and of libraries, as they were loaded and as a program set them; Python; who the user
                  is: `_made_by`
    the call      the manifest's path, the arguments, the variables of the environment, and their homes: `Call`
    the bytes     of each source file, and of each array that was checked or compared: a `Stretch` of a file each
    the answers   to all questions that are put to the disk beside those bytes: `questions.py`

A question is about a path: a manifest's bytes, where a link leads, what is in the shipped folder, whether a cache entry
counts. Which questions an audit has follows from its manifest and its call. So with the same code, call, answers and
bytes there is the same report. The bytes are hashed every time, all of them, and the questions are put every time: what
is saved is to read YAML, to import what decodes, and to work the report out. If anything differs, or nothing was kept,
the audit is done as a whole.

When it is kept, each answer is as it was before the audit looked and still is after it, by the disk's times as well; a
digest is of what the audit itself read, or was taken before. When it is given again, questions are put while the
files are hashed. There is no gap in this that a whole audit does not have, which lists a folder now and hashes a file
then: each answer was true while the audit ran, and a digest counts only if its file was not changed since.

Kept is only what is good: no report with an error, or of a folder that may not be looked into. It is as private as a
kept form of a manifest, see `private_cache.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets import settings
from tinytorch_datasets.auditing.questions import ask, list_questions, read_times
from tinytorch_datasets.digests import Digest, DigestsAhead, Meter, Step, Stretch, digests, size_of
from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.storage import private_cache
from tinytorch_datasets.storage.cache_entry import stretch_of

if TYPE_CHECKING:
    from pathlib import Path

    from tinytorch_datasets.auditing.findings import Finding, Level, Report
    from tinytorch_datasets.auditing.questions import Placed
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.plan import Plan
    from tinytorch_datasets.settings import Locations
    from tinytorch_datasets.storage.array_folder import ArrayFolder

    Vouched = Mapping[str, Sequence[ArrayFolder]]
    _Names = Iterable[str]

# Raise it when what is kept, or how, changes; or when an audit asks the disk for more than is listed here.
LAYOUT = 3

# What reads manifests, checks values and licenses, and its file that has the version.
LIBRARIES = {"yaml": "__init__.py", "pydantic": "version.py", "numpy": "version.py", "packaging": "__init__.py"}
# What decodes, if it is there; a folder on Python's path may have one and say nothing of its version.
DECODERS = ("numpy", "PIL", "pyarrow", "h5py", "soundfile", "isal")

# What a program sets for its whole process, by which more is read or other values come: a module, a name in it, and its
# value at first, which it has where nothing imported the module yet.
SET_BY_PROGRAMS = (
    ("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES", False),
    ("PIL.GifImagePlugin", "LOADING_STRATEGY", 0),
    ("PIL.PngImagePlugin", "MAX_TEXT_CHUNK", 2**20),
    ("PIL.PngImagePlugin", "MAX_TEXT_MEMORY", 2**26),
)
LONGEST_CELL = 2**17  # in the csv module, at first

# Variables that decide where folders are, beside this package's own.
PREFIX = "TINYTORCH_DATASETS_"
FOLDERS = ("HOME", "XDG_CACHE_HOME", "USERPROFILE", "LOCALAPPDATA")

# Rules whose findings depend on more than is asked here: what a closed folder has, what stands beside a manifest.
UNKEPT = frozenset({"unreadable", "compiled-stale"})


class Call(NamedTuple):
    """What an audit was asked for, and what the environment says. Of each a report is kept."""

    manifest: str
    names: tuple[str, ...]
    levels: tuple[str, ...]
    decode: str
    strict: bool
    ignore: tuple[str, ...]
    home: str | None
    homes: tuple[str, ...]  # which a variable may name from the current folder on
    variables: Mapping[str, str]

    @classmethod
    def of(
        cls, names: _Names, manifest: Any, home: Any, *, levels: _Names, decode: str, strict: bool, ignore: _Names
    ) -> Call | None:
        """Return the call; None if something is no path, or no name."""
        with suppress(DatasetError, OSError, ValueError, TypeError):  # the audit itself will say so
            path, root = settings.manifest_path(manifest), None if home is None else settings.absolute(home)
            variables = {n: os.environ[n] for n in sorted(os.environ) if n.startswith(PREFIX) or n in FOLDERS}
            how = ((*sorted(levels),), decode, strict, (*sorted(ignore),), root)
            if all(isinstance(name, str) for name in names):
                return cls(path, (*names,), *how, settings.Settings.from_environment().homes, variables)
        return None

    @property
    def path(self) -> str:
        """The file that its report is kept in; "" where nothing can be kept."""
        key = hashlib.sha256(json.dumps(self).encode()).hexdigest()[:32]
        return private_cache.path_of(private_cache.REPORTS, self.manifest, f"-{key}")


class KeptReport(NamedTuple):
    """A report as it was kept, and what it was made from: the digest of each stretch, the largest first."""

    made_by: list[Any]
    asked: list[list[Any]]
    stretches: dict[Stretch, Digest]
    plain: list[Any]

    @classmethod
    def read(cls, call: Call) -> KeptReport | None:
        """Read what was kept of a call; None if nothing was, or of something else."""
        try:
            lines = private_cache.read(call.path)
            made_by, of_call, asked, hashed, plain = map(json.loads, lines or ())
            if of_call != _as_json(call):
                return None
            stretches = {Stretch(path, at, head.encode()): Digest(*digest) for path, at, head, *digest in hashed}
            return cls(made_by, asked, stretches, plain)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None  # of another layout, or somebody's own making

    def report(self, ahead: DigestsAhead, step: Step | None) -> Report | None:
        """Return the report, if all that it was made from is the same now; `ahead` hashes its stretches meanwhile."""
        try:
            if self.made_by != _made_by() or any(ask(*question) != answer for *question, answer in self.asked):
                return None
            report = _report_of(self.plain)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None
        meter = Meter(step, sum(digest.bytes for digest in self.stretches.values()))
        for stretch, digest in self.stretches.items():
            if ahead.wait(stretch) != digest:
                return None
            meter.add(digest.bytes)
        return report


class Inputs:
    """What an audit is about to look at, as it is before it looks."""

    def __init__(self, call: Call, loaded: Manifest, placed: Placed) -> None:
        self._call, self._placed = call, placed
        self._made_by = _made_by()
        questions = dict.fromkeys(list_questions(call.levels, loaded, placed))
        self._asked = [[*question, ask(*question)] for question in questions]
        self._times = self._times_now()
        self._is_as_loaded = str(loaded.path) == call.manifest and _is_as_loaded(loaded, self._asked)
        self._digests = self._digests_now()

    @classmethod
    def of(cls, call: Call, loaded: Manifest, placed: Placed) -> Inputs | None:
        """Return the inputs of a call; None if there is more to ask than can be asked: of packages, of no folder."""
        homes = (home for _, locations in placed.values() for home in locations.homes)
        ways = (settings.included_path(item, str(layer.path)) for layer in loaded.layers for item in layer.leads_to)
        if not call.path or not all(home.is_absolute() for home in homes) or not all(ways):
            return None
        with suppress(OSError, ValueError, RecursionError):  # what it is, the audit will say
            return cls(call, loaded, placed)
        return None

    def keep(self, report: Report, findings: Iterable[Finding], vouched: Vouched) -> None:
        """Keep a report for next time, unless something has changed meanwhile.

        `findings` are all, also those that the report leaves out; `vouched` are the folders of arrays that have the
        declared digests, by the data set's name: those were hashed, and all other arrays were decoded again.
        """
        if any(finding.severity == "error" or finding.rule in UNKEPT for finding in findings):
            return
        try:
            stretches = self._stretches(vouched)
            is_same = self._is_as_loaded and all(ask(*question) == answer for *question, answer in self._asked)
            is_same = is_same and self._times_now() == self._times and _made_by() == self._made_by
            is_same = is_same and all(its[-1] for its in map(private_cache.origin_signature, DECODERS) if its)
            if not is_same or _report_of(_as_json(_plain(report))) != report:
                return
        except (OSError, ValueError, TypeError, LookupError, RecursionError):  # gone, never hashed, no JSON, very deep
            return
        largest_first = sorted(stretches.items(), key=lambda each: -each[1].bytes)
        hashed = [[its.path, its.start, its.head.decode(), *digest] for its, digest in largest_first]
        lines = (self._made_by, self._call, self._asked, hashed, _plain(report))
        private_cache.write(self._call.path, [json.dumps(line, default=repr).encode() for line in lines])

    def _audited(self) -> Iterator[tuple[Plan, Locations]]:
        levels = self._call.levels
        return (each for each in self._placed.values() if level_of(each[0]) in levels)

    def _compared(self) -> Iterator[tuple[Plan, list[ArrayFolder]]]:
        """Yield each plan whose values are compared, and the folders of its arrays."""
        from tinytorch_datasets import pipeline

        for plan, locations in self._audited() if self._call.decode != "never" else ():
            root = str(plan.root)
            if all(os.path.exists(os.path.join(root, file.name)) for file in plan.files):
                yield plan, [it for it in pipeline.array_folders(plan, locations) if os.path.exists(it.path)]

    def _digests_now(self) -> Mapping[Path, Any]:
        """Hash the arrays that an audit does not hash as they lie in their files: texts, and those it only compares."""
        paths = []
        for plan, folders in self._compared():
            is_declared = all(column.sha256 for column in plan.columns)
            for folder in folders:
                for column in plan.columns:
                    files = folder.paths(column)
                    paths += [path for path in files if len(files) > 1 or not is_declared or not folder.is_whole]
        return digests(path for path in paths if os.path.exists(path))

    def _stretches(self, vouched: Vouched) -> dict[Stretch, Digest]:
        """Return what is to be hashed next time, with the digests that the audit found, and that the manifest has.

        Raises:
            LookupError: An array was not hashed, because it was expected to be vouched for.
        """
        stretches = {}
        for plan, _ in self._audited():
            root = str(plan.root)
            for file in plan.files:
                if os.path.exists(path := os.path.join(root, file.name)):
                    stretches[Stretch(path)] = Digest(file.bytes, file.sha256)
        for plan, folders in self._compared():
            for folder in vouched.get(plan.name, folders):
                for column in plan.columns:
                    files = folder.paths(column)
                    if plan.name in vouched and len(files) == 1:
                        stretch = stretch_of(str(folder.path), folder.parts(column)[0])
                        if stretch is None or column.sha256 is None:
                            raise LookupError
                        stretches[stretch] = Digest(size_of(stretch.path) - stretch.start, column.sha256)
                        continue
                    for file_of in filter(os.path.exists, files):
                        if isinstance(digest := self._digests[file_of], OSError):
                            raise digest
                        stretches[Stretch(str(file_of))] = digest
        return stretches

    def _times_now(self) -> list[Any]:
        """Return what changes with everything that was asked for, even if it is changed back: times of the disk."""
        paths = dict.fromkeys(path for _, path, *_ in self._asked)
        for question, path, *_, answer in self._asked:
            if question in ("below", "arrays") and isinstance(answer, list):
                paths.update(dict.fromkeys(os.path.join(path, name) for name, *_ in answer))
        return [*map(read_times, paths)]


def _is_as_loaded(loaded: Manifest, asked: Iterable[list[Any]]) -> bool:
    """Check whether the answers are of the manifests that were loaded; they may have been changed since."""
    digests = {str(layer.path): layer.sha256 for layer in loaded.layers}
    files = {os.path.realpath(path) for path in digests}
    return all(
        digests.get(about[0], answer) == answer if question == "bytes" else answer in files
        for question, *about, answer in asked
        if question in ("bytes", "includes")
    )


def _made_by() -> list[Any]:
    """Return what decides on the report beside the call, the bytes and the answers."""
    ids = [os.getuid(), os.geteuid(), os.getegid(), sorted(os.getgroups())] if hasattr(os, "geteuid") else []
    of_names = [sys.getfilesystemencoding(), settings.packaged_manifest()]
    decoders = [*map(private_cache.origin_signature, DECODERS), sys.flags.optimize, *_set_by_programs()]
    return [*private_cache.layout(LAYOUT, LIBRARIES), private_cache.installed(), ids, *of_names, *decoders]


def _set_by_programs() -> list[Any]:
    reader = sys.modules.get("_csv")
    longest_cell = reader.field_size_limit() if reader is not None else LONGEST_CELL
    most_digits = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else 0
    named = [getattr(sys.modules.get(module), name, first) for module, name, first in SET_BY_PROGRAMS]
    return [longest_cell, most_digits, sys.getrecursionlimit(), *named]


def level_of(plan: Plan) -> Level:
    """Return the level of an audit that a data set's files are of."""
    return "shipped" if plan.status == "shipped" else "cached"


def _plain(report: Report) -> list[Any]:
    return [report.manifest, [*map(vars, report.datasets)], [*map(vars, report.findings)], report.strict]


def _report_of(plain: Any) -> Report:
    from tinytorch_datasets.auditing.findings import DatasetReport, Finding, Report

    manifest, rows, findings, strict = plain
    datasets = tuple(DatasetReport(**{**row, "pickles": tuple(row["pickles"])}) for row in rows)
    return Report(manifest, datasets, tuple(Finding(**finding) for finding in findings), strict=strict)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
