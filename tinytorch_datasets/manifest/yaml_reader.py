"""A YAML reader: bytes to plain data, with the line of every value.

YAML is read event by event through PyYAML's C parser. Its composer recurses in C and overruns the stack on
a few hundred kilobytes of "[", its constructor keeps the last of two equal keys, and its resolver turns
`no` into False and `0777` into 511; reading the events ourselves mends all three, and is no slower.

`events.py` makes the values; what is here knows the file, its lines, and what is wrong with it as a whole.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tinytorch_datasets.errors import ManifestError, Problem
from tinytorch_datasets.storage.memmap import StatSignature, stat_signature

MAX_DIGITS = 24
# No number is longer. The patterns below take linear time, because no two parts of one can share a character.
MAX_CHARACTERS = 256

_PLAIN = {"true": True, "false": False, "null": None, "~": None, "": None}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?")
# Unquoted scalars that YAML 1.1, YAML 1.2 or both read as something else than the text that stands there.
_AMBIGUOUS = re.compile(
    r"(?i:yes|no|on|off|true|false|null)"
    r"|[-+]?0[0-9_]+|[-+]?0(x[0-9a-f_]+|o[0-7_]+|b[01_]+)"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
    r"|[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    r"|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?([Tt ].*)?"
)

UNCLEAR = object()


def plain(value: str) -> Any:
    """What an unquoted scalar is, or UNCLEAR where YAML 1.1 and 1.2 do not agree.

    >>> plain("60_000"), plain("1.5"), plain("true"), plain("some text"), plain("no") is UNCLEAR
    (60000, 1.5, True, 'some text', True)
    """
    if len(value) > MAX_CHARACTERS:
        return value
    if value[:1] not in _NUMBER_STARTS and value.lower() not in _LOOSE_WORDS:
        return value
    if value in _PLAIN:
        return _PLAIN[value]
    if len(value) <= MAX_DIGITS and _INT.fullmatch(value):
        return int(value.replace("_", ""))
    if _FLOAT.fullmatch(value) and math.isfinite(number := float(value)):
        return number
    return UNCLEAR if _AMBIGUOUS.fullmatch(value) else value


def unclear(value: str) -> str:
    """What is wrong with an unclear scalar, and how to write what was meant."""
    short = value if len(value) <= MAX_DIGITS else f"{value[:8]}..."
    return f'YAML readers do not agree on what {short} is: write "{short}" for the text{_as_number(value)}'


def printable(key: str) -> str:
    r"""A key as it may stand in a message, which has lines and colours of its own.

    >>> printable("two\nlines")
    'two\\nlines'
    """
    return key if key.isprintable() else repr(key)[1:-1]


_NUMBER_STARTS = frozenset(["", *"-+.0123456789"])
_LOOSE_WORDS = frozenset(["yes", "no", "on", "off", "true", "false", "null", "~"])


def _as_number(value: str) -> str:
    if len(value) > MAX_DIGITS:
        return ""
    try:
        number = float(value.replace("_", ""))
    except ValueError:
        return ", or true or false for a switch" if value.lower() in _LOOSE_WORDS else ""
    return f", or {number:g} for the number" if _FLOAT.fullmatch(f"{number:g}") or number.is_integer() else ""


MAX_DEPTH = 32
MAX_NODES = 1_000_000
MAX_ALIASED_NODES = 20_000
MAX_KEY_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 65_536
# A text that is repeated by aliases counts as one value more for each so many of its characters.
CHARACTERS_A_NODE = 64
SHOWN_CHARACTERS = 60

TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep; a manifest needs six"

# What a terminal obeys instead of showing it, and what turns the order of the text around it.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Keys = tuple[str | int, ...]
# The line a value stands on, and a scalar's text as it is written there.
Lines = dict[Keys, tuple[int, str | None]]
_Report = Callable[[int, Keys, str], None]

_STR_TAGS = (None, "!", "tag:yaml.org,2002:str")


class TooMuch(Exception):
    """Reading stops here; `line` says where."""

    def __init__(self, event: Any, what: str) -> None:
        super().__init__(what)
        self.line = event.start_mark.line + 1


class _Open:
    """A mapping or list that is still being read."""

    __slots__ = ("anchor", "key", "lines", "start", "value")

    def __init__(self, value: Any, anchor: str | None, start: int) -> None:
        self.value = value
        self.anchor = anchor
        self.start = start
        self.key: str | None = None
        self.lines: dict[str, int] = {}

    @property
    def awaits_key(self) -> bool:
        return self.key is None and type(self.value) is dict


class Builder:
    """Plain values from YAML events, on a stack of our own: as deep as MAX_DEPTH, and not one level more."""

    def __init__(self, problem: _Report, places: Lines | None) -> None:
        self._problem = problem
        self._places = places
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._aliased = 0
        self._texts = 0
        self._documents = 0
        self._root: Any = None

    def build(self, raw: bytes) -> Any:
        """Read the one document that `raw` is."""
        handle = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        loader = yaml.CSafeLoader(raw)
        try:
            while loader.check_event():
                event = loader.get_event()
                if type(event) in handle:
                    handle[type(event)](event)
        finally:
            loader.dispose()
        return self._root

    def _path(self) -> Keys:
        keys: list[str | int] = []
        for level in self._stack:
            if type(level.value) is list:
                keys.append(len(level.value))
            elif level.key is not None:
                keys.append(level.key)
        return tuple(keys)

    def _tell(self, event: Any, what: str) -> None:
        self._problem(event.start_mark.line + 1, self._path(), what)

    def _note(self, event: Any, written: str | None) -> None:
        if self._places is not None and self._stack:
            keys = self._path()
            # A value that has a key stands on the key's line.
            line = self._places[keys][0] if keys in self._places else event.start_mark.line + 1
            self._places[keys] = (line, written)

    def _count(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise TooMuch(event, f"more than {MAX_NODES:,} values; a data set needs some forty")

    def _scalar(self, event: Any) -> None:
        self._count(event)
        is_key = bool(self._stack) and self._stack[-1].awaits_key
        most = MAX_KEY_CHARACTERS if is_key else MAX_TEXT_CHARACTERS
        if len(event.value) > most:
            raise TooMuch(event, f"a {'key' if is_key else 'text'} of more than {most:,} characters")
        if found := _CONTROLS.search(event.value):
            self._tell(event, f"has the control character U+{ord(found[0]):04X} in it")
        if is_key:
            self._key(event)
            return
        value, weight = self._value(event), len(event.value) // CHARACTERS_A_NODE
        self._note(event, event.value)
        self._texts += weight
        self._put(value, event.anchor, 1 + weight)

    def _key(self, event: Any) -> None:
        top, key, line = self._stack[-1], event.value, event.start_mark.line + 1
        top.key = key
        if key in top.lines:
            self._tell(event, f"duplicate key {key!r}; it stands on line {top.lines[key]} already")
        elif key == "<<" and event.implicit[0]:
            self._tell(event, "merge keys (<<) are not read here; write the keys out")
        elif event.implicit[0] and (plain(key) != key):
            self._tell(event, f'YAML reads {key} as something else than text: write "{key}"')
        top.lines.setdefault(key, line)
        if self._places is not None:
            self._places[self._path()] = (line, None)

    def _value(self, event: Any) -> Any:
        if not event.implicit[0]:
            if not event.implicit[1] and event.tag not in _STR_TAGS:
                self._tell(event, f"the tag {_short(event.tag)} is not allowed; only plain YAML is read")
            return event.value
        value = plain(event.value)
        if value is UNCLEAR:
            self._tell(event, unclear(event.value))
            return event.value
        return value

    def _start(self, event: Any) -> None:
        self._count(event)
        if len(self._stack) >= MAX_DEPTH:
            raise TooMuch(event, TOO_DEEP)
        if self._stack and self._stack[-1].awaits_key:
            raise TooMuch(event, "a mapping or list cannot be a key")
        if event.tag is not None and not event.implicit:
            self._tell(event, f"the tag {_short(event.tag)} is not allowed; only plain YAML is read")
        self._note(event, None)
        value: Any = {} if type(event) is yaml.MappingStartEvent else []
        self._stack.append(_Open(value, event.anchor, self._nodes + self._aliased + self._texts))

    def _end(self, event: Any) -> None:
        done = self._stack.pop()
        self._put(done.value, done.anchor, self._nodes + self._aliased + self._texts - done.start + 1)

    def _alias(self, event: Any) -> None:
        if self._stack and self._stack[-1].awaits_key:
            raise TooMuch(event, "an alias cannot be a key")
        if event.anchor not in self._anchors:
            raise TooMuch(event, f"the alias *{_short(event.anchor)} stands before (or inside) what it names")
        value, weight = self._anchors[event.anchor]
        self._aliased += weight
        if self._aliased > MAX_ALIASED_NODES:
            raise TooMuch(event, f"aliases expand to more than {MAX_ALIASED_NODES:,} values")
        self._note(event, None)
        self._put(value, None, weight)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise TooMuch(event, "a second document (---); a manifest is one")

    def _put(self, value: Any, anchor: str | None, weight: int) -> None:
        if anchor:
            self._anchors[anchor] = (value, weight)
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        if top.key is None:
            top.value.append(value)
        else:
            top.value[top.key] = value
            top.key = None


def _short(tag: str) -> str:
    tag = tag.replace("tag:yaml.org,2002:", "!!")
    return tag if len(tag) <= SHOWN_CHARACTERS else f"{tag[:SHOWN_CHARACTERS]}..."


MAX_BYTES = 32 * 2**20

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# What some versions of libyaml say, which give up by themselves and long before an event is out.
_PARSERS_TOO_DEEP = "exceeded maximum nesting depth"


class Document:
    """One YAML file: its `data` in plain Python values, and the line that each value stands on.

    `sha256` is of its bytes, `stamp` of the file as it was before it was read.
    """

    def __init__(self, path: Path, raw: bytes, stamp: StatSignature) -> None:
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
            about = stat_signature(path)
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
