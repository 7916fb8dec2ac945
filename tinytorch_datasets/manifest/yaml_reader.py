"""A YAML reader: text to plain data, with the line of every value.

YAML is read event by event through PyYAML's C parser (or its Python parser, where PyYAML was built without libyaml).
Its composer recurses in C and overruns the stack on a few hundred kilobytes of "[", its constructor keeps the last of
two equal keys, and its resolver turns `no` into False and `0777` into 511; constructing from the events ourselves
solves all three, and is no slower.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from tinytorch_datasets.errors import Keys, ManifestError, Problem, printable
from tinytorch_datasets.manifest.yaml_syntax import (
    BYTE_ORDER_MARK,
    UNCLEAR,
    Composer,
    Node,
    compose,
    describe_error,
    parse_events,
    plain,
    unclear,
)
from tinytorch_datasets.storage.memmap import StatSignature, stat_signature

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
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_Report = Callable[[int, Keys, str], None]

_STR_TAGS = (None, "!", "tag:yaml.org,2002:str")


class TooMuch(Exception):
    """Reading stops here; `line` says where."""

    def __init__(self, event: Any, what: str) -> None:
        super().__init__(what)
        self.line = event.start_mark.line + 1


class _Open:
    """A mapping or list that is still being read.

    `lines` are those of its keys or items, and `inside` the same of those that are mappings or lists. In the end both
    are kept as plain as can be, because the garbage collector looks at every object that could be in a circle.
    """

    __slots__ = ("event", "inside", "is_mapping", "key", "lines", "start", "value")

    def __init__(self, value: Any, event: Any, start: int) -> None:
        self.value = value
        self.event = event
        self.start = start
        self.key: str | None = None
        self.is_mapping = type(value) is dict
        self.lines: Any = {} if self.is_mapping else array("i")
        self.inside: dict[str | int, Any] | None = None

    @property
    def awaits_key(self) -> bool:
        return self.key is None and self.is_mapping


class _Constructor:
    """Plain values from YAML events, on a stack of our own: as deep as MAX_DEPTH, and not one level more."""

    def __init__(self, report: _Report) -> None:
        self._report = report
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._aliased = 0
        self._texts = 0
        self._documents = 0
        self.data: Any = None
        self.lines: Any = None
        self.last: Any = None

    def construct(self, events: Iterable[Any]) -> None:
        """Construct the one document that the events are of: `data`, and the `lines` of what is in it."""
        handle = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        handler = handle.get
        for event in events:
            if handling := handler(type(event)):
                handling(event)
            self.last = event

    @property
    def opened(self) -> Any:
        """The event that began the innermost mapping or list that is still open, or None."""
        return self._stack[-1].event if self._stack else None

    def _path(self) -> Keys:
        keys: list[str | int] = []
        for level in self._stack:
            if type(level.value) is list:
                keys.append(len(level.value))
            elif level.key is not None:
                keys.append(level.key)
        return tuple(keys)

    def _refuse(self, event: Any, what: str) -> None:
        self._report(event.start_mark.line + 1, self._path(), what)

    def _note_item(self, event: Any) -> None:
        """Note the line of a list's item; a value that has a key stands on the key's line."""
        if self._stack and type(self._stack[-1].value) is list:
            self._stack[-1].lines.append(event.start_mark.line + 1)

    def _refuse_more(self, event: Any) -> None:
        raise TooMuch(event, f"more than {MAX_NODES:,} values; a data set needs some forty")

    def _scalar(self, event: Any) -> None:
        # Once for each value of a manifest, which is why a few calls of others are spelled out here.
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse_more(event)
        top, text = self._stack[-1] if self._stack else None, event.value
        is_key = top is not None and top.key is None and top.is_mapping
        most = MAX_KEY_CHARACTERS if is_key else MAX_TEXT_CHARACTERS
        if len(text) > most:
            raise TooMuch(event, f"a {'key' if is_key else 'text'} of more than {most:,} characters")
        if not (text.isascii() and text.isprintable()) and (control := _CONTROLS.search(text)):
            self._refuse(event, f"has the control character U+{ord(control[0]):04X} in it")
        if is_key:
            self._key(event)
            return
        value, weight = self._value(event), len(text) // CHARACTERS_A_NODE
        if top is not None and top.is_mapping and not event.anchor:
            top.value[top.key] = value
            top.key = None
        else:
            self._note_item(event)
            self._put(value, event.anchor, 1 + weight)
        self._texts += weight

    def _key(self, event: Any) -> None:
        top, key, lines = self._stack[-1], event.value, self._stack[-1].lines
        top.key = key
        if key in lines:
            self._refuse(event, f"duplicate key {key!r}; it stands on line {lines[key]} already")
        elif event.implicit[0]:
            if key == "<<":
                self._refuse(event, "merge keys (<<) are not read here; write the keys out")
            elif plain(key) != key:
                self._refuse(event, f'YAML reads {key} as something else than text: write "{key}"')
        lines[key] = event.start_mark.line + 1

    def _value(self, event: Any) -> Any:
        if not event.implicit[0]:
            if not event.implicit[1] and event.tag not in _STR_TAGS:
                self._refuse(event, f"the tag {_short(event.tag)} is not allowed; only plain YAML is read")
            return event.value
        value = plain(event.value)
        if value is UNCLEAR:
            self._refuse(event, unclear(event.value))
            return event.value
        return value

    def _start(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse_more(event)
        if len(self._stack) >= MAX_DEPTH:
            raise TooMuch(event, TOO_DEEP)
        if self._stack and self._stack[-1].awaits_key:
            raise TooMuch(event, "a mapping or list cannot be a key")
        if event.tag is not None and not event.implicit:
            self._refuse(event, f"the tag {_short(event.tag)} is not allowed; only plain YAML is read")
        value: Any = {} if type(event) is yaml.MappingStartEvent else []
        self._note_item(event)
        self._stack.append(_Open(value, event, self._nodes + self._aliased + self._texts))

    def _end(self, event: Any) -> None:
        done = self._stack.pop()
        lines = (done.lines, done.inside) if done.inside else done.lines
        if self._stack:
            top = self._stack[-1]
            if top.inside is None:
                top.inside = {}
            top.inside[len(top.value) if top.key is None else top.key] = lines
        else:
            self.lines = lines
        self._put(done.value, done.event.anchor, self._nodes + self._aliased + self._texts - done.start + 1)

    def _alias(self, event: Any) -> None:
        if self._stack and self._stack[-1].awaits_key:
            raise TooMuch(event, "an alias cannot be a key")
        if event.anchor not in self._anchors:
            raise TooMuch(event, f"the alias *{_short(event.anchor)} stands before (or inside) what it names")
        value, weight = self._anchors[event.anchor]
        self._aliased += weight
        if self._aliased > MAX_ALIASED_NODES:
            raise TooMuch(event, f"aliases expand to more than {MAX_ALIASED_NODES:,} values")
        self._note_item(event)
        self._put(value, None, weight)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise TooMuch(event, "a second document (---); a manifest is one")

    def _put(self, value: Any, anchor: str | None, weight: int) -> None:
        if anchor:
            self._anchors[anchor] = (value, weight)
        if not self._stack:
            self.data = value
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

# What YAML does not allow, in whichever way its text is written.
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# What some versions of libyaml say, which give up by themselves and long before an event is out.
_PARSERS_TOO_DEEP = "exceeded maximum nesting depth"


class ParsedYaml:
    """A YAML text as `data` in plain Python values, with the line that each value stands on.

    `problems` are those of single values, which are all reported together; `sha256` is of the text's bytes.
    """

    def __init__(self, text: str, path: Path, *, composer: Composer | None = None) -> None:
        """Read a text; `path` is the file that it is of, or shall be, and named in errors.

        A `composer` makes its nodes in the same reading.

        Raises:
            ManifestError: It is not YAML, or more than a manifest needs.
        """
        self.path = path
        self.text = text
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.problems: list[Problem] = []
        constructor = _Constructor(lambda line, keys, what: self.problems.append(_problem(line, keys, what)))
        events = parse_events(text)
        try:
            constructor.construct(composer.watch(events) if composer else events)
        except TooMuch as error:
            raise self._error(error.line, str(error)) from error
        except yaml.MarkedYAMLError as error:
            line, what = describe_error(error, text, constructor.last, constructor.opened)
            raise self._error(line, TOO_DEEP if error.problem == _PARSERS_TOO_DEEP else what) from error
        except yaml.reader.ReaderError as error:
            at = _UNREADABLE.search(text.removeprefix(BYTE_ORDER_MARK))
            line = text.count("\n", 0, at.start()) + 1 if at else 1
            what = f"has the control character U+{ord(at[0]):04X} in it" if at else str(error.reason)
            raise self._error(line, what) from error
        self.data: Any = constructor.data
        self._lines = constructor.lines
        if composer:
            self.nodes = composer.root

    @classmethod
    def of_kept(cls, path: Path, sha256: str, data: Any, keys: Sequence[str], lines: list[Any]) -> ParsedYaml:
        """Return what was read and kept of a text: `data`, and what `lines_below` gave for the value at `keys`."""
        other = cls.__new__(cls)
        other.path, other.text, other.sha256, other.problems, other.data = path, "", sha256, [], data
        line, below = lines
        other._lines = _restored(below)
        for key in reversed(keys):
            other._lines = ({key: line}, {key: other._lines})
        return other

    def lines_below(self, *keys: str) -> list[Any]:
        """Return the line of a mapping, and those of all that is in it, for JSON; of an alias there are none below."""
        level = self._lines
        for key in keys:
            level = level[1].get(key) if type(level) is tuple else None
        return [self.line(*keys), level]

    def _error(self, line: int, what: str) -> ManifestError:
        return ManifestError(self.path, [*self.problems, Problem(line, "", what)])

    @functools.cached_property
    def nodes(self) -> Node | None:
        """The root of the text's nodes, each with its first and last character; without a composer, read once more."""
        return compose(self.text)

    def with_data(self, data: Any) -> ParsedYaml:
        """Return this text as it would be read once it says `data`: new values have the lines of what is nearest."""
        other = copy.copy(self)
        other.data, other.nodes = data, None
        return other

    def where(self, *keys: str | int) -> str:
        """Return the place of a value, to name in an error: ``datasets.yaml:41``."""
        return f"{self.path.name}:{self.line(*keys)}"

    def line(self, *keys: str | int) -> int:
        """Return the line, from 1, of the key (or list item) at this path, or of the nearest parent that is there."""
        line, level = 1, self._lines
        for key in keys:
            lines, inside = level if type(level) is tuple else (level, {})
            try:
                line = lines[key]
            except (LookupError, TypeError):  # None has no lines
                break
            level = inside.get(key)
        return line

    def written(self, *keys: str | int) -> str | None:
        """Return a scalar's text as it stands in the file, before anything was made of it."""
        node = self.nodes.find(keys) if self.nodes else None
        return node.value if node and node.kind in ("plain", "quoted", "folded") else None

    def problem(self, keys: Keys, what: str) -> Problem:
        """Return what is wrong with the value at that path, with its line."""
        return _problem(self.line(*keys), keys, what)


def _restored(lines: Any) -> Any:
    """Return lines as they are held, from what JSON made of them: of a pair a list, of every key a text."""
    if not (isinstance(lines, list) and len(lines) == 2 and isinstance(lines[1], dict)):
        return lines
    own, inside = lines
    return own, {int(key) if isinstance(own, list) else key: _restored(its) for key, its in inside.items()}


def read_file(path: Path) -> tuple[str, StatSignature]:
    """Read the file's text, and its stat signature, taken before, so that a change meanwhile is a change.

    Raises:
        ManifestError: It is not there, too large, or not UTF-8.
    """
    try:
        signature = stat_signature(path)
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise ManifestError(path, [Problem(1, "", f"cannot be read: {reason}")]) from error
    if len(raw) > MAX_BYTES:
        raise ManifestError(path, [Problem(1, "", f"larger than {MAX_BYTES:,} bytes; this is no manifest")])
    if raw.startswith(_UTF_16):
        raise ManifestError(path, [Problem(1, "", "is UTF-16 text; save it as UTF-8")])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = len(raw[raw.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        what = f"is not UTF-8 text: column {column} has the byte 0x{raw[error.start]:02x}; save it as UTF-8"
        raise ManifestError(path, [Problem(line, "", what)]) from error
    return text, signature


def _problem(line: int, keys: Keys, what: str) -> Problem:
    named = len(keys) > 1 and keys[0] == "datasets"
    return Problem(line, dotted(keys), what, dotted(keys[:2]) if named else "")


def dotted(keys: Keys) -> str:
    """Format a path as a person reads it: ``mnist.fields.labels.classes[3]``."""
    shown = "".join(f"[{key}]" if isinstance(key, int) else f".{printable(key)}" for key in keys)
    return shown.removeprefix(".datasets").removeprefix(".") if len(keys) > 1 else shown.removeprefix(".")
