"""Edits of the manifest's text in place, every other byte kept.

The file is not written anew from what was read: the new lines are put in their place, found by the YAML parser's marks,
so that comments, order and style of the rest cannot change. What the new text says is then compared with what it shall
say, so that no value changes beside the intended ones either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tinytorch_datasets.add.draft import Draft
from tinytorch_datasets.add.inputs import Source
from tinytorch_datasets.errors import DatasetError, ManifestError, UsageError
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml, dotted
from tinytorch_datasets.manifest.yaml_syntax import MAX_DIGITS, Node, plain
from tinytorch_datasets.plan import UNANSWERED

WIDTH = 120
MOST_ITEMS = 20  # of a list, to have a line each
NEW = "version: 1\n\ndatasets:\n"
# What no YAML reader takes for anything but text, be it of YAML 1.1 or 1.2, in a block or between brackets. Some read
# y and n as booleans, some a ? in an address as a key's sign, some a colon between brackets as a key's end.
_UNQUOTED = re.compile(r"[A-Za-z][A-Za-z0-9_./() +-]*(?<! )")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9_./~-]+(:[0-9]+)?[A-Za-z0-9_./~-]*(?<!:)")
_DIGEST = re.compile(r"[0-9a-f]{32}([0-9a-f]{32})?")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "none", "nan", "inf"})
TITLE = "what is it, in a line?"
LICENSE = 'which? "not stated by the authors", if they do not say'
SOURCE = "the page of its authors"
TARGET = "which field is to be predicted? `add --target COLUMN` has it as labels; if none is, take this line out"


class Entry(NamedTuple):
    """A data set's entry: the `data` that it says, and its `lines`, indented by nothing.

    `questions` are the indices of those lines that a person is to answer.
    """

    name: str
    data: dict[str, Any]
    lines: list[str]
    questions: list[int]


class Edit(NamedTuple):
    """A manifest's text with a change in it, the `data` that it shall say, and the `line` that the change is on."""

    text: str
    data: Any
    line: int


def entry(
    name: str, draft: Draft, sources: Sequence[Source], facts: Mapping[str, str], *, status: str, mirrors: Sequence[str]
) -> Entry:
    """Make a data set's entry. `facts` are title, license and source, as far as known; the rest is asked."""
    data: dict[str, Any] = {}
    lines, questions = [f"{scalar(name)}:"], list[int]()

    def add(fact: str, question: str) -> None:
        data[fact] = facts.get(fact, UNANSWERED)
        if fact not in facts:
            questions.append(len(lines))
        lines.append(f"  {fact}: {scalar(data[fact])}" + (f" # {question}" if fact not in facts else ""))

    def put(key: str, value: Any) -> None:
        data[key] = value
        lines.extend(_key_lines("  ", key, value))

    def head(key: str) -> dict[str, Any]:
        lines.append(f"  {key}:")
        data[key] = inside = dict[str, Any]()
        return inside

    add("title", TITLE)
    put("status", status)
    put("format", draft.format)
    if draft.options:
        put("options", draft.options)
    add("license", LICENSE)
    add("source", SOURCE)
    if draft.asks_target:
        add("target", TARGET)
    fields = head("fields")
    for field, declared in draft.fields.items():
        keys: dict[str, Any] = {"dtype": declared.dtype}
        keys |= {"shape": list(declared.shape)} if declared.shape else {}
        keys |= {"range": list(declared.range)} if declared.range else {}
        keys |= {"missing": list(declared.missing)} if declared.missing else {}
        keys |= {"classes": list(declared.classes)} if declared.classes else {}
        keys |= {"first": declared.values[0]} if _are_counted_on(declared.values) else {}
        keys |= {"values": list(declared.values)} if declared.values and "first" not in keys else {}
        keys |= {"stored": declared.stored} if declared.stored else {}
        keys |= {"axes": list(declared.axes)} if declared.axes else {}
        keys |= {"names": list(declared.names)} if declared.names else {}
        keys |= {"per": declared.per} if declared.per != "sample" else {}
        keys |= {"sha256": declared.sha256} if declared.sha256 else {}
        fields[field] = keys
        lines += _key_lines("    ", field, keys, comment=declared.note)
    splits = head("splits")
    for split, keys in draft.splits.items():
        splits[split] = keys
        lines += _key_lines("    ", split, keys)
    lines += ["".join(map(_escaped, f"  # left out: {reason}")) for reason in draft.left_out]
    if mirrors:
        data["mirrors"] = list(mirrors)
        lines.append("  mirrors:")
        lines += [f"    - {mirror if _ADDRESS.fullmatch(mirror) else quoted(mirror)}" for mirror in mirrors]
    files = head("files")
    samples = {shard.name: shard.samples for shards in draft.shards.values() for shard in shards}
    for source in sources:
        keys = {"bytes": source.bytes, "sha256": source.sha256}
        if source.url and not any(source.url == mirror + source.name for mirror in mirrors):
            keys["urls"] = [source.url]
        keys |= {"samples": samples[source.name]} if source.name in samples else {}
        files[source.name] = keys
        lines.append(f"    {scalar(source.name)}:")
        for key, value in keys.items():
            lines += _key_lines("      ", key, value)
    return Entry(name, data, lines, questions)


def _are_counted_on(values: Sequence[Any]) -> bool:
    """Check whether stored values of classes are whole numbers that follow one another, from another than 0."""
    return len(values) > 1 and all(type(value) is int and value == values[0] + at for at, value in enumerate(values))


def _key_lines(indent: str, key: str, value: Any, comment: str = "") -> Iterator[str]:
    """Write a key and its value on one line if that is not too long, else a line for each part."""
    note = f" # {comment}" if comment else ""
    line = f"{indent}{scalar(key)}: {flow(value)}"
    if len(line) + len(note) <= WIDTH or not isinstance(value, dict | list):
        yield line + note
        return
    if isinstance(value, list) and len(value) > MOST_ITEMS and not any(isinstance(part, dict | list) for part in value):
        yield from _wrapped(f"{indent}{scalar(key)}:{note}", indent + "  ", list(map(flow, value)))
        return
    yield f"{indent}{scalar(key)}:{note}"
    if isinstance(value, dict):
        for inner, part in value.items():
            yield from _key_lines(indent + "  ", inner, part)
    else:
        for part in value:
            yield f"{indent}  - {flow(part)}"


def _wrapped(head: str, indent: str, items: Sequence[str]) -> Iterator[str]:
    """Write a long list of single values, as many on a line as there is room for."""
    yield head
    line = indent + "["
    for item in items[:-1]:
        if len(line) + len(item) + 2 > WIDTH:
            yield line.rstrip(" ")
            line = indent + " "
        line += f"{item}, "
    if len(line) + len(items[-1]) + 1 > WIDTH:
        yield line.rstrip(" ")
        line = indent + " "
    yield f"{line}{items[-1]}]"


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

    >>> scalar("Iris-setosa"), scalar("1.10"), scalar(1e-07), scalar(True), scalar(None), scalar("a: b")
    ('Iris-setosa', '"1.10"', '1.0e-07', 'true', 'null', '"a: b"')
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
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


def with_entry(parsed: ParsedYaml, entry: Entry) -> Edit:
    """Return the manifest with the entry as its last data set.

    Raises:
        DatasetError: There is no place for it that is surely right.
    """
    text, root = parsed.text, parsed.nodes
    end = "\r\n" if "\r\n" in text else "\n"
    key, value = (root and root.child("datasets")) or (None, None)
    is_block = root is not None and root.kind == "block"
    if not is_block or key is None or value is None or not (_has_nothing(value) or value.kind == "block"):
        what = "the manifest has no block of data sets, one below the other, to add one to"
        hint = "Write `datasets:` on a line of its own, and each data set below it."
        raise DatasetError(what, where=f"{parsed.path.name}:{key.line if key else 1}", hint=hint)
    if value.children:
        rows = text.splitlines(keepends=True)
        first = value.children[0][0]
        assert first is not None
        at = value.last_line
        indent = first.start - text.rfind("\n", 0, first.start) - 1
        gap = [""] if at > 1 and _is_spaced(value, rows) else []
    else:  # `datasets:` or `datasets: {}`
        without = text[: value.start].rstrip(" ") + text[value.end :]
        rows = without.splitlines(keepends=True)
        at, indent, gap = key.line, 2, []
    if rows and not rows[at - 1].endswith(("\n", "\r")):
        rows[at - 1] += end
    new = [*gap, *((" " * indent + line) if line else "" for line in entry.lines)]
    rows[at:at] = [line + end for line in new]
    intended = _copy(parsed.data)
    intended["datasets"] = {**(intended["datasets"] or {}), entry.name: _copy(entry.data)}
    return Edit("".join(rows), intended, at + len(gap) + 1)


def is_empty(parsed: ParsedYaml) -> bool:
    """Check whether `datasets:` has nothing behind it, which no manifest may, until one is added."""
    pair = parsed.nodes.child("datasets") if parsed.nodes else None
    return pair is not None and pair[1].kind == "plain" and _has_nothing(pair[1])


def _has_nothing(value: Node) -> bool:
    if value.anchor:
        return False
    return value.value in ("", "~", "null") if value.kind == "plain" else value.kind == "flow" and not value.children


def _is_spaced(datasets: Node, rows: Sequence[str]) -> bool:
    """Check whether entries stand apart by an empty line: so they do if there is one alone, or if the second does."""
    if len(datasets.children) < 2:
        return True
    second = datasets.children[1][0]
    above = second.line - 2 if second else 0
    return not rows[above].strip() or rows[above].lstrip().startswith("#")


def with_values(parsed: ParsedYaml, changes: Mapping[tuple[str, ...], str | int]) -> Edit:
    """Return the manifest with some single values changed, each by its path of keys.

    Raises:
        UsageError: One of them is not alone there: it has an anchor or is an alias.
    """
    text, intended, places = parsed.text, _copy(parsed.data), []
    for keys, value in changes.items():
        node = _node_of(parsed, keys)
        places.append((node.start, node.end, _replacement(text[node.start : node.end], node, value)))
        inner = intended
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
    for start, end, new in sorted(places, reverse=True):
        text = text[:start] + new + text[end:]
    return Edit(text, intended, 0)


def _node_of(parsed: ParsedYaml, keys: tuple[str, ...]) -> Node:
    """Return the node of the value at that path of keys, if it stands there and is nobody else's.

    Raises:
        UsageError: It, or something that it is in, has an anchor or is an alias: another value would change with it.
    """
    assert parsed.nodes is not None
    node = parsed.nodes
    for depth, key in enumerate(keys, 1):
        pair = node.child(key)
        assert pair is not None, keys
        node = pair[1]
        if node.anchor:
            sign = "*" if node.kind == "alias" else "&"
            shared = "is an alias" if node.kind == "alias" else "has an anchor"
            what = f"{dotted(keys)} cannot be changed alone: {dotted(keys[:depth])} {shared}, {sign}{node.anchor}"
            hint = "Write out each of the values that share it, without & and *; nothing was changed."
            raise UsageError(what, where=f"{parsed.path.name}:{node.line}", hint=hint)
    return node


def _replacement(old: str, node: Node, value: str | int) -> str:
    """Write a value in the place and the style of another one."""
    if isinstance(value, int):
        return f"{value:_}" if "_" in old or (value >= 1000 and len(old) < 4) else str(value)
    if node.kind == "folded":  # one line will do, with the comment that stood behind its sign
        comment = re.match(r"[|>][-+0-9]*([ \t]+#[^\r\n]*)?", old)
        return scalar(value) + (comment[1] or "" if comment else "") + old[len(old.rstrip()) :]
    return f"{old[0]}{value}{old[0]}" if node.kind == "quoted" else scalar(value)


def _copy(data: Any) -> Any:
    """Copy plain data so that no two parts are one object: what aliases share is there as often as it is named."""
    return json.loads(json.dumps(data))


def read_back(before: ParsedYaml, edit: Edit, entry: Entry | None = None) -> ParsedYaml:
    """Read an edited text, whatever style it is written in, and check that it says what it shall.

    Raises:
        ManifestError: The new `entry` is by itself no YAML, or more of it than a manifest may have.
        DatasetError: The text says something else.
    """
    try:
        after = ParsedYaml(edit.text, before.path)
    except ManifestError:
        if entry:
            ParsedYaml("\n".join(entry.lines), before.path)
        after = before
    if json.dumps(after.data) != json.dumps(edit.data):
        what = "the manifest is written in a style in which this cannot be changed without changing something else"
        hint = "Nothing was written: write it in plain YAML blocks, or make the change by hand."
        raise DatasetError(what, where=before.where("datasets") if entry else None, hint=hint)
    return after
