"""What does the YAML say, and on which line?

`events.py` makes the values; what is here knows the file, its lines, and what is wrong with it as a whole.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import yaml

from tinytorch_datasets.errors import ManifestError, Problem
from tinytorch_datasets.events import TOO_DEEP, Builder, Keys, Lines, TooMuch
from tinytorch_datasets.maps import Stamp, stamp
from tinytorch_datasets.scalars import printable

MAX_BYTES = 32 * 2**20

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# What some versions of libyaml say, which give up by themselves and long before an event is out.
_PARSERS_TOO_DEEP = "exceeded maximum nesting depth"


class Document:
    """One YAML file: its `data` in plain Python values, and the line that each value stands on.

    `sha256` is of its bytes, `stamp` of the file as it was before it was read.
    """

    def __init__(self, path: Path, raw: bytes, stamp: Stamp) -> None:
        self.path = path
        self.stamp = stamp
        self.sha256 = hashlib.sha256(raw).hexdigest()
        self._raw = raw
        self.problems: list[Problem] = []
        self.data: Any = self._read(None)

    @classmethod
    def load(cls, path: Path) -> Document:
        """Read the file at `path`.

        Raises:
            ManifestError: It is not there, too large, not UTF-8, or not YAML.
        """
        try:
            about = stamp(path)
            with path.open("rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
        except OSError as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
            raise ManifestError(path, [Problem(1, "", f"cannot be read: {reason}")]) from error
        if len(raw) > MAX_BYTES:
            raise ManifestError(path, [Problem(1, "", f"larger than {MAX_BYTES:,} bytes; this is no manifest")])
        if raw.startswith(_UTF_16):
            raise ManifestError(path, [Problem(1, "", "is UTF-16 text; save it as UTF-8")])
        return cls(path, raw, about)

    def where(self, *keys: str | int) -> str:
        """The place of a value, to name in an error: ``datasets.yaml:41``."""
        return f"{self.path.name}:{self.line(*keys)}"

    def line(self, *keys: str | int) -> int:
        """The line, from 1, of the key (or list item) at this path, or of the nearest parent that is there."""
        while keys and keys not in self._places:
            keys = keys[:-1]
        return self._places[keys][0] if keys else 1

    def written(self, *keys: str | int) -> str | None:
        """A scalar's text as it stands in the file, before anything was made of it."""
        return self._places[keys][1] if keys in self._places else None

    @functools.cached_property
    def _places(self) -> Lines:
        # Lines are wanted when something is wrong, so they cost a second reading then and nothing before.
        places: Lines = {}
        self._read(places)
        return places

    def _read(self, places: Lines | None) -> Any:
        try:
            report = self._note if places is None else lambda line, keys, what: None
            return Builder(report, places).build(self._raw)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            # At the end of the file PyYAML's mark is one line past the last.
            line = min(mark.line, len(self._raw.splitlines()) - 1) + 1 if mark else 1
            context = f"{error.context}, " if error.context else ""
            what = TOO_DEEP if error.problem == _PARSERS_TOO_DEEP else f"not YAML: {context}{error.problem}"
            problem = Problem(line, "", what)
            raise ManifestError(self.path, [*self.problems, problem]) from error
        except yaml.reader.ReaderError as error:
            line = self._raw[: error.position].count(b"\n") + 1
            problem = Problem(line, "", f"not readable as UTF-8 text: {error.reason}")
            raise ManifestError(self.path, [problem]) from error
        except TooMuch as error:
            raise ManifestError(self.path, [*self.problems, Problem(error.line, "", str(error))]) from error

    def problem(self, keys: Keys, what: str) -> Problem:
        """What is wrong with the value at that path, with its line."""
        return _problem(self.line(*keys), keys, what)

    def _note(self, line: int, keys: Keys, what: str) -> None:
        self.problems.append(_problem(line, keys, what))


def _problem(line: int, keys: Keys, what: str) -> Problem:
    named = len(keys) > 1 and keys[0] == "datasets"
    return Problem(line, dotted(keys), what, dotted(keys[:2]) if named else "")


def dotted(keys: Keys) -> str:
    """A path as a person reads it: ``mnist.fields.labels.classes[3]``."""
    shown = "".join(f"[{key}]" if isinstance(key, int) else f".{printable(key)}" for key in keys)
    return shown.removeprefix(".datasets").removeprefix(".") if len(keys) > 1 else shown.removeprefix(".")
