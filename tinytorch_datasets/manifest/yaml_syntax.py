"""YAML syntax: unquoted scalars, events, and the nodes of a text.

PyYAML's resolver follows YAML 1.1, in which `no` is False and `0777` is 511; YAML 1.2 reads both otherwise. What the
two do not agree on is refused here, with the way to write what was meant. PyYAML's tree of nodes is of no use for edits
in place: in it, an alias is the very node that it names, whose marks lead to another place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from tinytorch_datasets.errors import Keys

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


_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
BYTE_ORDER_MARK = "\ufeff"

Kind = Literal["plain", "quoted", "folded", "alias", "block", "flow"]


@dataclass(slots=True)
class Node:
    """A key or a value of a YAML text: its characters from `start` to `end`, its `line` and `last_line`, from 1.

    `kind` is "plain", "quoted" or "folded" (the signs | and >) for a scalar, whose text is `value`; "block" or "flow"
    for a mapping or list; or "alias". `anchor` is the name of its anchor, or the one that an alias refers to; "" where
    it has neither. `children` are the values in a mapping, each with its key, or in a list, each with None. A block
    ends on the last line of its last value; its `end` is not known, and equal to its `start`.
    """

    kind: Kind
    start: int
    end: int
    line: int
    last_line: int
    anchor: str = ""
    value: str = ""
    children: list[tuple[Node | None, Node]] = field(default_factory=list)
    _by_key: dict[str, tuple[Node | None, Node]] = field(default_factory=dict, repr=False, compare=False)

    def child(self, key: str | int) -> tuple[Node | None, Node] | None:
        """Return the last key of that name in a mapping and its value, or the list item of that index and no key."""
        if isinstance(key, int):
            item = self.children[key] if 0 <= key < len(self.children) else None
            return item if item and item[0] is None else None
        if not self._by_key:  # made when it is wanted, and once: a mapping may have a hundred thousand keys
            self._by_key = {pair[0].value: pair for pair in self.children if pair[0] is not None}
        return self._by_key.get(key)

    def find(self, keys: Keys) -> Node | None:
        """Return the value at that path, or None if nothing stands there in the text itself."""
        node: Node | None = self
        for key in keys:
            pair = node.child(key) if node else None
            node = pair[1] if pair else None
        return node


def parse_events(text: str) -> Iterator[Any]:
    """Yield the events of PyYAML's parser: the C parser, or the Python parser where there is none.

    Raises:
        yaml.YAMLError: The text is not YAML; everything before was yielded.
    """
    # With the mark, PyYAML's two parsers count characters differently.
    parser = _Parser(text.removeprefix(BYTE_ORDER_MARK))
    try:
        while parser.check_event():
            yield parser.get_event()
    finally:
        parser.dispose()


def compose(text: str) -> Node | None:
    """Return the root node of a text that was read before, so is YAML and within the reader's bounds."""
    shift = 1 if text.startswith(BYTE_ORDER_MARK) else 0
    return _root(parse_events(text), shift)


def _root(events: Iterable[Any], shift: int) -> Node | None:
    root: Node | None = None
    stack: list[tuple[Node, bool, list[Node]]] = []  # with whether it is a mapping, and the key that has no value yet
    for event in events:
        if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            node = _leaf(event, shift)
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append((_opened(event, shift), isinstance(event, yaml.MappingStartEvent), []))
            continue
        elif isinstance(event, yaml.CollectionEndEvent):
            node = _closed(stack.pop()[0], event, shift)
        else:
            continue
        if not stack:
            root = node
            continue
        parent, is_mapping, key = stack[-1]
        parent.last_line = max(parent.last_line, node.last_line)
        if is_mapping and not key:
            key.append(node)
        else:
            parent.children.append((key.pop() if key else None, node))
    return root


# The library's types say that an event may have no mark, hence Any: those that are parsed have two.
def _opened(event: Any, shift: int) -> Node:
    kind: Kind = "flow" if event.flow_style else "block"
    start, line = event.start_mark.index + shift, event.start_mark.line + 1
    return Node(kind, start, start, line, line, event.anchor or "")


def _closed(node: Node, event: Any, shift: int) -> Node:
    if node.kind == "flow":  # the end of a block is where the next token begins, which may be far below
        node.end, node.last_line = event.end_mark.index + shift, event.end_mark.line + 1
    return node


def _leaf(event: Any, shift: int) -> Node:
    start, end = event.start_mark, event.end_mark
    where = (start.index + shift, end.index + shift, start.line + 1)
    if isinstance(event, yaml.AliasEvent):
        return Node("alias", *where, end.line + 1, str(event.anchor))
    is_folded = event.style in ("|", ">")
    # A folded scalar ends where the next line begins.
    last_line = end.line if is_folded and end.column == 0 else end.line + 1
    kind: Kind = "folded" if is_folded else "quoted" if event.style else "plain"
    return Node(kind, *where, last_line, event.anchor or "", event.value)
