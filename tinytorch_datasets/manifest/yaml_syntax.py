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
    r"yes|no|on|off|true|false|null"
    r"|[-+]?0[0-9_]+|[-+]?0(x[0-9a-f_]+|o[0-7_]+|b[01_]+)"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
    r"|[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)(e[-+]?[0-9]+)?"
    r"|[-+]?\.inf|\.nan"
    r"|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?([t ].*)?",
    re.IGNORECASE,
)

UNCLEAR = object()


def plain(value: str) -> Any:
    """Return what an unquoted scalar is, or UNCLEAR where YAML 1.1 and 1.2 do not agree.

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
    """Return what is wrong with an unclear scalar, and how to write what was meant."""
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
        yield from iter(parser.get_event, None)  # which is what both parsers give at the end
    finally:
        parser.dispose()


def compose(text: str) -> Node | None:
    """Return the root node of a text that was read before, so is YAML and within the reader's bounds."""
    composer = Composer(text)
    for _ in composer.watch(parse_events(text)):
        pass
    return composer.root


class Composer:
    """The nodes of a text, made of its events while somebody else reads them; `root` is there in the end."""

    def __init__(self, text: str) -> None:
        self.root: Node | None = None
        self._shift = 1 if text.startswith(BYTE_ORDER_MARK) else 0
        # With whether it is a mapping, and the key that has no value yet.
        self._stack: list[tuple[Node, bool, list[Node]]] = []

    def watch(self, events: Iterable[Any]) -> Iterator[Any]:
        """Pass the events on, and compose each once its reader has taken it, and has not refused it."""
        for event in events:
            yield event
            if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                self._put(_leaf(event, self._shift))
            elif isinstance(event, yaml.CollectionStartEvent):
                self._stack.append((_opened(event, self._shift), isinstance(event, yaml.MappingStartEvent), []))
            elif isinstance(event, yaml.CollectionEndEvent):
                self._put(_closed(self._stack.pop()[0], event, self._shift))

    def _put(self, node: Node) -> None:
        if not self._stack:
            self.root = node
            return
        parent, is_mapping, key = self._stack[-1]
        parent.last_line = max(parent.last_line, node.last_line)
        if is_mapping and not key:
            key.append(node)
        else:
            parent.children.append((key.pop() if key else None, node))


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


_KEY = re.compile(r"\s*(- +)*[^\s#:'\"{\[&*!|>%@`-][^:#]*$")
_KEY_WITHOUT_BLANK = re.compile(r"\s*(?:- +)*([A-Za-z0-9_.-]+):[^\s/]")


def describe_error(error: yaml.MarkedYAMLError, text: str, last: Any, opened: Any) -> tuple[int, str]:
    """Return the line at which a text stops being YAML, from 1, and what is wrong there, in plain words.

    `last` is the event before, and `opened` the one that began the innermost mapping or list that is still open; None
    where there is none. The parser's words are those of its grammar, and its two versions have different ones.
    """
    lines = text.removeprefix(BYTE_ORDER_MARK).splitlines() or [""]
    mark = error.problem_mark or error.context_mark
    start = error.context_mark or mark
    if mark is None or start is None:
        return 1, f"not YAML: {error.problem}"
    # At the end of the file PyYAML's mark is one line past the last.
    at, first = min(mark.line, len(lines) - 1), min(start.line, len(lines) - 1)
    column = mark.column + 1 if at == mark.line else len(lines[at]) + 1
    line, what = _describe(str(error.problem), str(error.context), lines, at, column, first, start.column, last, opened)
    return line + 1, f"not YAML: {what}"


def _describe(
    problem: str, context: str, lines: list[str], at: int, column: int, first: int, start: int, last: Any, opened: Any
) -> tuple[int, str]:
    here, before = lines[at], lines[first]
    for number in range(first, at + 1):
        indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
        if "\t" in indent and lines[number].strip():
            return number, f"line {number + 1} is indented with a tab, in column {indent.index(chr(9)) + 1}; use blanks"
    if "quoted scalar" in context and ("end of stream" in problem or "document indicator" in problem):
        return first, f"the quote in column {start + 1} is never closed"
    if "escape" in problem or "hexdecimal" in problem or "hexadecimal" in problem:
        column -= here[column - 2 : column - 1] == "\\"  # one of the two parsers points behind it
        return at, f"column {column} has an escape that YAML does not know; in single quotes a backslash is one"
    if last is not None and type(last) is yaml.ScalarEvent and last.style in ("'", '"'):
        began: Any = last.start_mark
        ended: Any = last.end_mark
        if began.line < ended.line and at - ended.line in (0, 1):
            return began.line, f"the quote in column {began.column + 1} is not closed on its line"
        behind = here[column - 1 : column] if ended.line == at and not here[ended.column : column - 1].strip() else ""
        if behind and behind not in "\"'[]{}":
            return at, f"column {column} has text behind a closing quote; put all of it in the other kind of quotes"
    sign = before[start : start + 1]
    if sign and sign in "*&!|>" and ("scanning" in context or "tag" in context):
        return first, f"a value cannot begin with {sign}, in column {start + 1}: put it in quotes"
    sign = here[column - 1 : column]
    if "cannot start any token" in problem:
        return at, f"a value cannot begin with {sign}, in column {column}: put it in quotes"
    if before[:1] == "%" or here[:1] == "%":
        return (first if before[:1] == "%" else at), "a line that begins with % is for YAML's readers; put it in quotes"
    if opened is not None and opened.flow_style:
        return _describe_flow(at, column, opened.start_mark, lines)
    if sign and sign in "]}":
        return at, f"the {sign} in column {column} closes nothing"
    return _describe_block(problem, lines, at, column, first)


def _describe_flow(at: int, column: int, opening: Any, lines: list[str]) -> tuple[int, str]:
    begin = lines[opening.line][opening.column : opening.column + 1]
    end, sign = "}" if begin == "{" else "]", lines[at][column - 1 : column]
    if sign and sign in "]}" and sign != end:
        return at, f"the {begin} in column {opening.column + 1} has a {sign} for its end, in column {column}"
    if at != opening.line or column > len(lines[at].rstrip()):
        return opening.line, f"the {begin} in column {opening.column + 1} is never closed"
    return at, f"column {column} needs a comma or a {end} before it"


def _describe_block(problem: str, lines: list[str], at: int, column: int, first: int) -> tuple[int, str]:
    here, needs_colon = lines[at], "':'" in problem
    if "sequence entries" in problem:
        return at, f"a list begins on a line of its own, or in brackets; column {column} has a - behind a key"
    above = next((n for n in range(at - 1, -1, -1) if lines[n].strip() and lines[n].lstrip()[0] != "#"), at)
    for number in dict.fromkeys((first, above, at)) if needs_colon else (above,):
        if pasted := _KEY_WITHOUT_BLANK.match(lines[number]):
            return number, f"line {number + 1} has no blank behind the colon in column {pasted.end(1) + 1}"
        if (needs_colon or _indent(lines[number]) <= _indent(here)) and _KEY.match(lines[number]):
            return number, f"line {number + 1} has no colon behind its key"
    item = first if needs_colon else at
    if needs_colon or "'-' indicator" in problem or "block end" in problem:
        listed = next((line for line in reversed(lines[:item]) if line.strip()), "")
        if listed.lstrip().startswith("- ") and _indent(listed) == _indent(lines[item]):
            return item, f"line {item + 1} is no item of the list above it: begin it with - or indent it less"
    if "mapping values" in problem and ": " in here[: column - 1]:
        return at, f"a value with a colon and a blank in it, in column {column}, must be in quotes"
    if needs_colon:
        return first, f"line {first + 1} has no colon behind its key"
    if _indent(here) + 1 >= column or "mapping values" in problem:
        return at, f"the indentation of line {at + 1}, {_indent(here)} blanks, fits none of the lines above it"
    return at, f"column {column} has something that cannot stand there; put the value in quotes"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
