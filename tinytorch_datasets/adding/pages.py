"""The manifest's text, with an entry added or a value changed, and every other byte as it was.

The file is not written anew from what was read: the new lines are put in their place, found by the YAML parser's marks,
so that comments, order and style of the rest cannot change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from tinytorch_datasets.adding.drafts import Draft
from tinytorch_datasets.adding.sources import Source
from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.scalars import plain

WIDTH = 120
NEW = "version: 1\n\ndatasets:\n"
_BARE = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./() +-]*(?<! )")
LICENCE = '"?" # which? "not stated by the authors", if they do not say'
SOURCE = '"?" # the page of its authors'


class Entry(NamedTuple):
    """The lines of an entry, indented by nothing. `questions` are the places of those that a person is to answer."""

    lines: list[str]
    questions: list[int]


def entry(
    name: str, draft: Draft, sources: Sequence[Source], facts: Mapping[str, str], *, status: str, mirrors: Sequence[str]
) -> Entry:
    """What is written of a data set. `facts` are title, license and source, as far as known; the rest is asked."""
    lines, questions = [f"{name}:"], list[int]()

    def add(fact: str, question: str) -> None:
        if fact not in facts:
            questions.append(len(lines))
        lines.append(f"  {fact}: {scalar(facts[fact]) if fact in facts else question}")

    add("title", f"{scalar(name)} # what is it, in a line?")
    lines += [f"  status: {status}", f"  format: {draft.format}"]
    if draft.options:
        lines += _one_or_more("  ", "options", draft.options)
    add("license", LICENCE)
    add("source", SOURCE)
    lines.append("  fields:")
    for field, one in draft.fields.items():
        told: dict[str, Any] = {"dtype": one.dtype}
        told |= {"shape": list(one.shape)} if one.shape else {}
        told |= {"range": list(one.range)} if one.range else {}
        told |= {"classes": list(one.classes)} if one.classes else {}
        told |= {"per": one.per} if one.per != "sample" else {}
        told |= {"sha256": one.sha256} if one.sha256 else {}
        lines += _one_or_more("    ", field, told, comment=one.note)
    lines.append("  splits:")
    for split, said in draft.splits.items():
        lines += _one_or_more("    ", split, said)
    lines += [f"  # {line}" for line in (f"left out: {told}" for told in draft.left_out)]
    if mirrors:
        lines += ["  mirrors:", *(f"    - {scalar(mirror)}" for mirror in mirrors)]
    lines.append("  files:")
    for source in sources:
        lines += [
            f"    {scalar(source.name)}:",
            f"      bytes: {source.bytes:_}",
            f"      sha256: {_hash(source.sha256)}",
        ]
        if source.url and not any(source.url == mirror + source.name for mirror in mirrors):
            lines.append(f"      urls: [{scalar(source.url)}]")
    return Entry(lines, questions)


def _hash(digest: str) -> str:
    return digest if plain(digest) == digest else json.dumps(digest)


def _one_or_more(indent: str, key: str, value: Any, comment: str = "") -> Iterator[str]:
    """A key and its value on one line if that is not too long, else a line for each part."""
    note = f" # {comment}" if comment else ""
    line = f"{indent}{scalar(key)}: {flow(value)}"
    if len(line) + len(note) <= WIDTH or not isinstance(value, dict | list):
        yield line + note
        return
    yield f"{indent}{scalar(key)}:{note}"
    if isinstance(value, dict):
        for inner, part in value.items():
            yield from _one_or_more(indent + "  ", inner, part)
    else:
        for part in value:
            yield f"{indent}  - {flow(part)}"


def flow(value: Any) -> str:
    """A value in YAML's flow style.

    >>> flow({"dtype": "uint8", "shape": [28, 28], "classes": ["0", "no"], "samples": 60000})
    '{dtype: uint8, shape: [28, 28], classes: ["0", "no"], samples: 60_000}'
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A single value, quoted where YAML readers would not agree on it.

    >>> scalar("Iris-setosa"), scalar("1.10"), scalar(1e-07), scalar(True), scalar("a: b")
    ('Iris-setosa', '"1.10"', '1.0e-07', 'true', '"a: b"')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 1000 else str(value)
    if isinstance(value, float):
        text = repr(value)
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)
    address = re.fullmatch(r"https?://[A-Za-z0-9_./~%?&=+@-]+(:[0-9]+)?[A-Za-z0-9_./~%?&=+@-]*", value)
    bare = (_BARE.fullmatch(value) or address) and plain(value) == value
    return value if bare else json.dumps(value, ensure_ascii=False)


def with_entry(text: str, lines: Sequence[str]) -> tuple[str, int]:
    """The manifest's text with the entry as its last data set, and the line that the entry begins on."""
    text = text or NEW
    end = "\r\n" if "\r\n" in text else "\n"
    root: Any = yaml.compose(text, yaml.SafeLoader)
    value = next((v for k, v in getattr(root, "value", ()) if k.value == "datasets"), None)
    rows = text.splitlines(keepends=True)
    if value is None or (isinstance(value, yaml.MappingNode) and value.flow_style and value.value):
        what = "the manifest has no block of data sets, one below the other, to add one to"
        raise DatasetError(what, mend="Write `datasets:` on a line of its own, and each data set below it.")
    if isinstance(value, yaml.MappingNode) and value.value:
        indent, at = value.value[0][0].start_mark.column, _last_line(value) + 1
        gap = [""] if at > 1 and _is_spaced(value, rows) else []
    else:  # `datasets:` or `datasets: {}`
        key = next(k for k, _ in root.value if k.value == "datasets")
        at = key.start_mark.line + 1
        rows[at - 1] = re.sub(r":\s*(\{\s*\})?[ \t]*", ": ", rows[at - 1].rstrip("\r\n"), count=1).rstrip() + end
        indent, gap = 2, []
    if rows and not rows[at - 1].endswith(("\n", "\r")):
        rows[at - 1] += end
    added = [*gap, *((" " * indent + line) if line else "" for line in lines)]
    rows[at:at] = [line + end for line in added]
    return "".join(rows), at + len(gap) + 1


def is_bare(text: str) -> bool:
    """Whether `datasets:` has nothing behind it, which no manifest may, until one is added."""
    try:
        root: Any = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return False  # whoever reads it as a manifest says what is wrong with it
    found = [value for key, value in getattr(root, "value", ()) if key.value == "datasets"]
    return bool(found) and isinstance(found[0], yaml.ScalarNode) and found[0].value in ("", "~", "null")


def _is_spaced(datasets: yaml.MappingNode, rows: Sequence[str]) -> bool:
    """Whether entries stand apart by an empty line: so they do if there is one alone, or if the second does."""
    if len(datasets.value) < 2:
        return True
    above = datasets.value[1][0].start_mark.line - 1
    return not rows[above].strip() or rows[above].lstrip().startswith("#")


def _last_line(node: yaml.Node) -> int:
    """The number, from 0, of the line on which a value's last character stands."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.line
    # A block scalar (|, >) ends where the next line begins.
    return (
        end - 1 if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") and node.end_mark.column == 0 else end
    )


def with_values(text: str, changes: Mapping[tuple[str, ...], str | int]) -> str:
    """The manifest's text with some single values changed, each by its path of keys."""
    spots = []
    root: Any = yaml.compose(text, yaml.SafeLoader)
    for keys, value in changes.items():
        node = root
        for key in keys:
            node = next(v for k, v in node.value if k.value == key)
        old = text[node.start_mark.index : node.end_mark.index]
        if isinstance(value, int):
            new = f"{value:_}" if "_" in old or (value >= 1000 and len(old) < 4) else str(value)
        else:
            new = f"{old[0]}{value}{old[0]}" if old[:1] in "\"'" else _hash(value)
        spots.append((node.start_mark.index, node.end_mark.index, new))
    for start, end, new in sorted(spots, reverse=True):
        text = text[:start] + new + text[end:]
    return text
