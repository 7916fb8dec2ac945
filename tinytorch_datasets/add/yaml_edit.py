"""Edits of the manifest's text in place, every other byte kept.

The file is not written anew from what was read: the new lines are put in their place, found by the YAML parser's marks,
so that comments, order and style of the rest cannot change. What the new text says is then compared with what it shall
say, so that no value changes beside the intended ones either.

The marks are those of the parser's events, because an alias is an event with marks of its own. In a tree of nodes it is
the node that it names, and that one's marks lead to another place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from tinytorch_datasets.add.draft import Draft
from tinytorch_datasets.add.inputs import Source
from tinytorch_datasets.errors import DatasetError, ManifestError, UsageError
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml, dotted
from tinytorch_datasets.manifest.yaml_syntax import MAX_DIGITS, plain


@dataclass
class Spot:
    """A value's place: its characters from `start` to `end`, and its `line` and `last` line, counted from 0.

    `name` is that of its anchor, or the one that an alias names; "" where it has neither. `parts` are what is in a
    mapping, each with its key, or in a list, without. The end of a block is that of the last value in it.
    """

    kind: Literal["plain", "quoted", "folded", "alias", "block", "flow"]
    start: int
    end: int
    line: int
    last: int
    name: str = ""
    value: str = ""
    parts: list[tuple[Spot | None, Spot]] = field(default_factory=list)

    def part(self, key: str) -> tuple[Spot, Spot] | None:
        """The key of that name in a mapping, and its value."""
        return next(((k, v) for k, v in self.parts if k is not None and k.value == key), None)


def spots(text: str) -> Spot | None:
    """The places of everything in a text, which is YAML."""
    root: Spot | None = None
    stack: list[tuple[Spot, bool, list[Spot]]] = []  # with whether it is a mapping, and the key that has no value yet

    def put(one: Spot) -> None:
        nonlocal root
        if not stack:
            root = one
            return
        parent, is_mapping, key = stack[-1]
        parent.last = max(parent.last, one.last)
        if is_mapping and not key:
            key.append(one)
        else:
            parent.parts.append((key.pop() if key else None, one))

    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            put(_single(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append((_opened(event), isinstance(event, yaml.MappingStartEvent), []))
        elif isinstance(event, yaml.CollectionEndEvent):
            put(_closed(stack.pop()[0], event))
    return root


# The library's types say that an event may have no mark, hence Any: those that are parsed have two.
def _opened(event: Any) -> Spot:
    start = event.start_mark
    kind: Literal["flow", "block"] = "flow" if event.flow_style else "block"
    return Spot(kind, start.index, start.index, start.line, start.line, event.anchor or "")


def _closed(opened: Spot, event: Any) -> Spot:
    if opened.kind == "flow":  # the end of a block is where the next token begins, which may be far below
        opened.end, opened.last = event.end_mark.index, event.end_mark.line
    return opened


def _single(event: Any) -> Spot:
    start, end = event.start_mark, event.end_mark
    if isinstance(event, yaml.AliasEvent):
        return Spot("alias", start.index, end.index, start.line, end.line, str(event.anchor))
    folded = event.style in ("|", ">")
    # A folded scalar ends where the next line begins.
    last = end.line - 1 if folded and end.column == 0 else end.line
    kind: Literal["plain", "quoted", "folded"] = "folded" if folded else "quoted" if event.style else "plain"
    return Spot(kind, start.index, end.index, start.line, last, event.anchor or "", event.value)


def spot_of(root: Spot | None, keys: tuple[str, ...], file: str) -> Spot:
    """The place of the value at that path of keys, if it stands there and is nobody else's.

    Raises:
        UsageError: It, or something that it is in, has an anchor or is an alias: another value would change with it.
    """
    assert root is not None
    one = root
    for depth, key in enumerate(keys, 1):
        found = one.part(key)
        assert found is not None, keys
        one = found[1]
        if one.name:
            sign = "*" if one.kind == "alias" else "&"
            said = "is an alias" if one.kind == "alias" else "has an anchor"
            what = f"{dotted(keys)} cannot be changed alone: {dotted(keys[:depth])} {said}, {sign}{one.name}"
            hint = "Write out each of the values that share it, without & and *; nothing was changed."
            raise UsageError(what, where=f"{file}:{one.line + 1}", hint=hint)
    return one


WIDTH = 120
NEW = "version: 1\n\ndatasets:\n"
# What no YAML reader takes for anything but text, be it of YAML 1.1 or 1.2, in a block or between brackets. Some read
# y and n as booleans, some a ? in an address as a key's sign, some a colon between brackets as a key's end.
_UNQUOTED = re.compile(r"[A-Za-z][A-Za-z0-9_./() +-]*(?<! )")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9_./~-]+(:[0-9]+)?[A-Za-z0-9_./~-]*(?<!:)")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "none", "nan", "inf"})
TITLE = '"?" # what is it, in a line?'
LICENSE = '"?" # which? "not stated by the authors", if they do not say'
SOURCE = '"?" # the page of its authors'
TARGET = '"?" # which field is to be predicted? `add --target COLUMN` has it as labels; if none is, take this line out'


class Entry(NamedTuple):
    """The lines of an entry, indented by nothing. `questions` are the indices of those that a person is to answer."""

    lines: list[str]
    questions: list[int]


def entry(
    name: str, draft: Draft, sources: Sequence[Source], facts: Mapping[str, str], *, status: str, mirrors: Sequence[str]
) -> Entry:
    """Write a data set's entry. `facts` are title, license and source, as far as known; the rest is asked."""
    lines, questions = [f"{scalar(name)}:"], list[int]()

    def add(fact: str, question: str) -> None:
        if fact not in facts:
            questions.append(len(lines))
        lines.append(f"  {fact}: {scalar(facts[fact]) if fact in facts else question}")

    add("title", TITLE)
    lines += [f"  status: {status}", f"  format: {draft.format}"]
    if draft.options:
        lines += _key_lines("  ", "options", draft.options)
    add("license", LICENSE)
    add("source", SOURCE)
    if draft.asks_target:
        add("target", TARGET)
    lines.append("  fields:")
    for name, declared in draft.fields.items():
        keys: dict[str, Any] = {"dtype": declared.dtype}
        keys |= {"shape": list(declared.shape)} if declared.shape else {}
        keys |= {"range": list(declared.range)} if declared.range else {}
        keys |= {"classes": list(declared.classes)} if declared.classes else {}
        keys |= {"per": declared.per} if declared.per != "sample" else {}
        keys |= {"sha256": declared.sha256} if declared.sha256 else {}
        lines += _key_lines("    ", name, keys, comment=declared.note)
    lines.append("  splits:")
    for split, keys in draft.splits.items():
        lines += _key_lines("    ", split, keys)
    lines += ["".join(map(_escaped, f"  # left out: {reason}")) for reason in draft.left_out]
    if mirrors:
        lines += [
            "  mirrors:",
            *(f"    - {mirror if _ADDRESS.fullmatch(mirror) else quoted(mirror)}" for mirror in mirrors),
        ]
    lines.append("  files:")
    for source in sources:
        lines += [
            f"    {scalar(source.name)}:",
            f"      bytes: {source.bytes:_}",
            f"      sha256: {_hash(source.sha256)}",
        ]
        if source.url and not any(source.url == mirror + source.name for mirror in mirrors):
            lines.append(f"      urls: [{quoted(source.url)}]")
    return Entry(lines, questions)


def _hash(digest: str) -> str:
    return digest if plain(digest) == digest else json.dumps(digest)


def _key_lines(indent: str, key: str, value: Any, comment: str = "") -> Iterator[str]:
    """Write a key and its value on one line if that is not too long, else a line for each part."""
    note = f" # {comment}" if comment else ""
    line = f"{indent}{scalar(key)}: {flow(value)}"
    if len(line) + len(note) <= WIDTH or not isinstance(value, dict | list):
        yield line + note
        return
    yield f"{indent}{scalar(key)}:{note}"
    if isinstance(value, dict):
        for inner, part in value.items():
            yield from _key_lines(indent + "  ", inner, part)
    else:
        for part in value:
            yield f"{indent}  - {flow(part)}"


def flow(value: Any) -> str:
    """Write a value in YAML's flow style.

    >>> flow({"dtype": "uint8", "shape": [28, 28], "classes": ["0", "no"], "samples": 60000})
    '{dtype: uint8, shape: [28, 28], classes: ["0", "no"], samples: 60_000}'
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """Write a single value, quoted where YAML readers would not agree on it.

    >>> scalar("Iris-setosa"), scalar("1.10"), scalar(1e-07), scalar(True), scalar("a: b")
    ('Iris-setosa', '"1.10"', '1.0e-07', 'true', '"a: b"')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        grouped = f"{value:_}"
        return grouped if len(grouped) <= MAX_DIGITS else str(value)
    if isinstance(value, float):
        text = repr(value)
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)
    looks_plain = value.lower() not in _WORDS and (_UNQUOTED.fullmatch(value) or _DIGEST.fullmatch(value))
    return value if looks_plain and plain(value) == value else quoted(value)


def quoted(value: str) -> str:
    """Write a text between double quotes, which every YAML reader takes as what it is."""
    return "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))


def _escaped(character: str) -> str:
    """Write a character as it may stand between double quotes: what nobody sees as its number."""
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def with_entry(text: str, lines: Sequence[str], file: str) -> tuple[str, int]:
    """Return the manifest's text with the entry as its last data set, and the line that the entry begins on.

    Raises:
        DatasetError: There is no place for it that is surely right. `file` is the manifest's name, for the error.
    """
    text = text or NEW
    end = "\r\n" if "\r\n" in text else "\n"
    root = spots(text)
    key, value = (root and root.part("datasets")) or (None, None)
    is_block = root is not None and root.kind == "block"
    if not is_block or key is None or value is None or not (_has_nothing(value) or value.kind == "block"):
        what = "the manifest has no block of data sets, one below the other, to add one to"
        hint = "Write `datasets:` on a line of its own, and each data set below it."
        raise DatasetError(what, where=f"{file}:{key.line + 1 if key else 1}", hint=hint)
    if value.parts:
        rows = text.splitlines(keepends=True)
        first = value.parts[0][0]
        assert first is not None
        at = value.last + 1
        indent = first.start - text.rfind("\n", 0, first.start) - 1
        gap = [""] if at > 1 and _is_spaced(value, rows) else []
    else:  # `datasets:` or `datasets: {}`
        without = text[: value.start].rstrip(" ") + text[value.end :]
        rows = without.splitlines(keepends=True)
        at, indent, gap = key.line + 1, 2, []
    if rows and not rows[at - 1].endswith(("\n", "\r")):
        rows[at - 1] += end
    new = [*gap, *((" " * indent + line) if line else "" for line in lines)]
    rows[at:at] = [line + end for line in new]
    edited, line = "".join(rows), at + len(gap) + 1
    intended = _data(text)
    intended["datasets"] = {**(intended["datasets"] or {}), **_data("\n".join(lines))}
    _check_reads_as(edited, intended, f"{file}:{key.line + 1}")
    return edited, line


def is_empty(text: str) -> bool:
    """Check whether `datasets:` has nothing behind it, which no manifest may, until one is added."""
    try:
        root = spots(text)
    except yaml.YAMLError:
        return False  # whoever reads it as a manifest says what is wrong with it
    part = root.part("datasets") if root else None
    return part is not None and part[1].kind == "plain" and _has_nothing(part[1])


def _has_nothing(value: Spot) -> bool:
    if value.name:
        return False
    return value.value in ("", "~", "null") if value.kind == "plain" else value.kind == "flow" and not value.parts


def _is_spaced(datasets: Spot, rows: Sequence[str]) -> bool:
    """Check whether entries stand apart by an empty line: so they do if there is one alone, or if the second does."""
    if len(datasets.parts) < 2:
        return True
    second = datasets.parts[1][0]
    above = second.line - 1 if second else 0
    return not rows[above].strip() or rows[above].lstrip().startswith("#")


def with_values(text: str, changes: Mapping[tuple[str, ...], str | int], file: str) -> str:
    """Return the manifest's text with some single values changed, each by its path of keys.

    Raises:
        UsageError: One of them is not alone there: it has an anchor or is an alias. `file` is the manifest's name.
    """
    places, root, intended, edited = [], spots(text), _data(text), text
    for keys, value in changes.items():
        spot = spot_of(root, keys, file)
        places.append((spot.start, spot.end, _replacement(text[spot.start : spot.end], spot, value)))
        inner = intended
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
    for start, end, new in sorted(places, reverse=True):
        edited = edited[:start] + new + edited[end:]
    _check_reads_as(edited, intended, None)
    return edited


def _replacement(old: str, spot: Spot, value: str | int) -> str:
    """Write a value in the place and the style of another one."""
    if isinstance(value, int):
        return f"{value:_}" if "_" in old or (value >= 1000 and len(old) < 4) else str(value)
    if spot.kind == "folded":  # one line will do, with the comment that stood behind its sign
        comment = re.match(r"[|>][-+0-9]*([ \t]+#[^\r\n]*)?", old)
        return _hash(value) + (comment[1] or "" if comment else "") + old[len(old.rstrip()) :]
    return f"{old[0]}{value}{old[0]}" if spot.kind == "quoted" else _hash(value)


def _data(text: str) -> Any:
    """Read a text as plain data of which no two parts are one object: what aliases share is here as often as named."""
    return json.loads(json.dumps(ParsedYaml(text, Path("datasets.yaml")).data))


def _check_reads_as(edited: str, intended: Any, where: str | None) -> None:
    """Check that a text reads as intended, whatever style the manifest is written in.

    Raises:
        DatasetError: It does not.
    """
    try:
        data = _data(edited)
    except ManifestError as error:
        data = error
    if json.dumps(data, default=str) != json.dumps(intended):
        what = "the manifest is written in a style in which this cannot be changed without changing something else"
        hint = "Nothing was written: write it in plain YAML blocks, or make the change by hand."
        raise DatasetError(what, where=where, hint=hint)
