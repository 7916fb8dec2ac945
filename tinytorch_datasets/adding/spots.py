"""Where in the manifest's text does each value stand?

Told by the YAML parser's events, because an alias is an event with marks of its own. In a tree of nodes it is the node
that it names, and that one's marks lead to another place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from tinytorch_datasets.document import dotted
from tinytorch_datasets.errors import UsageError


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
            mend = "Write out each of the values that share it, without & and *; nothing was changed."
            raise UsageError(what, where=f"{file}:{one.line + 1}", mend=mend)
    return one
