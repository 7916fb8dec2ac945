"""JSON in text, strictly: a document, or a value a line, in bounded memory.

Strictly is as RFC 8259 has it. Python's own parser also reads NaN and Infinity, and of a key that an object has twice
it keeps the last; a number would be missing, or lost, and nobody would notice. Both are refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from tinytorch_datasets.readers.stream import Stream, opened
from tinytorch_datasets.readers.table import without_compression

BOM = b"\xef\xbb\xbf"

# A document is held as a whole, as text and as values, and so is a line.
LARGEST_DOCUMENT = 1 << 29
LONGEST_LINE = 1 << 24

# Lines are parsed so many bytes at a time: the values of more do not stay in the processor's cache.
PIECE = 1 << 16

# A list or an object takes three characters and some hundred bytes of memory: so many may be in a line, or in a
# document, beside those that belong to the declared samples.
FREE_CONTAINERS = 1 << 18
CONTAINERS_A_SAMPLE = 64

# What a document may hold before anything is declared.
INSPECTED_SAMPLES = 1 << 16

_BLANKS = " \t\r\n"
_STRING_OR_CONTAINER = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]')


_TOKENS = re.compile(r'(?:[\]\[{}:,\s]|"(?:[^"\\\n]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|NaN)*')
_CUT_TOKEN = re.compile(r'(?:"(?:[^"\\\n]|\\.)*\\?|[-+.\w]*)')
_BEGINNING = re.compile(r'\s*[\[{]\s*["\[{\d-]')
_FIRST_KEY = re.compile(r'\s*\{\s*"[^"\n]*"\s*:')

LINES, DOCUMENT = "lines", "document"


def sniff(head: bytes, path: Path, *, whole: bool) -> str | None:
    """Return whether a file is lines of JSON or one document, by the first bytes; None if it is neither.

    Args:
        head: The first bytes, inflated.
        path: The file, in which the first line is looked at further if it is longer. Its name is asked where there
            is one line alone.
        whole: Whether these are all of its bytes.
    """
    text = head.removeprefix(BOM).decode("utf-8", "ignore")
    text = text if "\n" in text else text.replace("\r", "\n")
    if text.lstrip()[:1] not in ("{", "["):
        return None
    line, end, rest = text.lstrip().partition("\n")
    if not end and not whole:
        with opened(path, limit=LONGEST_LINE, limit_reason="the first line is looked at") as stream:
            line, end, rest = _first_line(stream)
    is_value = _is_container(line)
    if is_value and rest.strip():
        return LINES if rest.lstrip()[0] in "{[" else DOCUMENT
    if is_value and without_compression(path.name).endswith((".jsonl", ".ndjson")):
        return LINES
    if is_value or (whole and _is_container(text)):
        return DOCUMENT
    tokens = _TOKENS.match(text)
    after = text[tokens.end() if tokens else 0 :]
    is_cut = not whole and _CUT_TOKEN.fullmatch(after) and _BEGINNING.match(text)
    return DOCUMENT if is_cut or _FIRST_KEY.match(text) else None


def _first_line(stream: Stream) -> tuple[str, str, str]:
    """Return the first line, as far as it is looked at, its end, and what follows at once."""
    data = bytearray()
    while b"\n" not in data and len(data) < LONGEST_LINE - PIECE and (piece := stream.some(PIECE)):
        data += piece
    return data.decode("utf-8", "ignore").lstrip("\ufeff" + _BLANKS).partition("\n")


def _is_container(text: str) -> bool:
    """Check whether a text is one list or one object, also one with what is refused by name when it is read."""
    if text.count("[") + text.count("{") > FREE_CONTAINERS:
        return text.rstrip(_BLANKS)[-1:] in ("]", "}")
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False
    except RecursionError:
        return True


class _Refused(ValueError):
    """What Python's parser would have read."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        met = set[str]()
        repeated = next(key for key, _ in pairs if key in met or met.add(key))  # type: ignore[func-returns-value]
        msg = f"has the key {repeated[:40]!r} twice in one object"
        raise _Refused(msg)
    return made


def _constant(name: str) -> NoReturn:
    msg = f"has {name}, which is no number in JSON; a missing value is null"
    raise _Refused(msg)


# The parser looks at a string from a place on, and gives the value and where it ends; or raises StopIteration there.
_decoder: Any = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_parse = _decoder.scan_once


def json_lines(stream: Stream) -> Iterator[tuple[int, list[Any]]]:
    """Yield the values of some lines at a time, with the number of the first of those lines.

    Blank lines may stand at the end, and nowhere else: each value is that of the line of its own number.

    Raises:
        DecodeError: A line is not one JSON value.
    """
    blocks = _line_blocks(stream)
    for first, lines in blocks:
        values = list[Any]()
        for line in lines:
            try:
                value, end = _parse(line, 0)
            except (StopIteration, ValueError, RecursionError):
                if not line.strip(_BLANKS):
                    break
                value = _careful(stream, line, first + len(values))
            else:
                if end != len(line) and line[end:].strip(_BLANKS):
                    value = _careful(stream, line, first + len(values))
            values.append(value)
        if values:
            yield first, values
        if len(values) < len(lines):
            more = lines[len(values) :]
            for rest in chain([more], (lines for _, lines in blocks)):
                if any(line.strip(_BLANKS) for line in rest):
                    stream.fail(f"line {first + len(values):,} is empty, and others follow")


def _careful(stream: Stream, line: str, number: int) -> Any:
    """Return the value of a line that has blanks before it, or say what is wrong."""
    return _value(stream, line.strip(_BLANKS), f"line {number:,}")


def _line_blocks(stream: Stream) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of each piece of the text, without their ends, and the number of the first."""
    number, rest = 1, b""
    while chunk := stream.chunk():
        data = rest + chunk
        if number == 1:
            data = data.removeprefix(BOM)
        end = data.rfind(b"\n")
        rest = data[end + 1 :]
        begin = 0
        while begin <= end:
            stop = data.find(b"\n", min(begin + PIECE, end), end + 1)
            lines = _text(stream, data[begin:stop], number).split("\n")
            _check_length(stream, number, lines)
            yield number, lines
            number += len(lines)
            begin = stop + 1
        if len(rest) > LONGEST_LINE:
            stream.fail(f"line {number:,} has more than {LONGEST_LINE:,} bytes")
    if rest:
        lines = [_text(stream, rest, number)]
        _check_length(stream, number, lines)
        yield number, lines


def _check_length(stream: Stream, number: int, lines: Sequence[str]) -> None:
    """Refuse a line that is too long, or would take too much memory; only the first of a piece may be long."""
    if len(lines[0]) > LONGEST_LINE:
        stream.fail(f"line {number:,} has more than {LONGEST_LINE:,} bytes")
    if len(lines[0]) > FREE_CONTAINERS:
        _check_containers(stream, lines[0], FREE_CONTAINERS, f"line {number:,}")


def json_document(stream: Stream, samples: int) -> Any:
    """Return the value of a whole document, which holds about so many samples.

    Raises:
        DecodeError: It is not one JSON value, or too large to be held as a whole.
    """
    pieces, length = [], 0
    while piece := stream.chunk():
        pieces.append(piece)
        length += len(piece)
        if length > LARGEST_DOCUMENT:
            reason = f"it is one JSON document of more than {LARGEST_DOCUMENT:,} bytes, which is not held in memory"
            stream.fail(reason, hint="JSON Lines, a record a line, are read piece by piece.")
    data = b"".join(pieces).removeprefix(BOM)
    del pieces
    if not data.strip():
        stream.fail("it is empty")
    text = _text(stream, data, 1)
    del data
    _check_containers(stream, text, FREE_CONTAINERS + CONTAINERS_A_SAMPLE * samples, "the document")
    return _value(stream, text, "")


def _check_containers(stream: Stream, text: str, most: int, which: str) -> None:
    """Refuse more lists and objects than anybody declared: they take far more memory than text."""
    if text.count("[") + text.count("{") <= most:
        return
    count = sum(match[0] in "[{" for match in _STRING_OR_CONTAINER.finditer(text))
    if count > most:
        hint = "JSON Lines, a record a line, are read piece by piece." if which == "the document" else None
        stream.fail(f"{which} has {count:,} lists and objects, the most is {most:,}", hint=hint)


def _value(stream: Stream, text: str, place: str) -> Any:
    """Return the value of a line, called `place`, or of a document, whose places are lines of its own."""
    subject = place or "it"
    begin = len(text) - len(text.lstrip(_BLANKS)) if not place else 0
    try:
        value = _decode(text, begin)
    except json.JSONDecodeError as error:
        at = f"character {error.colno:,}" if place else f"line {error.lineno:,}, character {error.colno:,}"
        message = error.msg[:1].lower() + error.msg[1:].removesuffix(" at").removesuffix(" starting")
        stream.fail(f"{subject} is not JSON: {message}, at {at}")
    except _Refused as error:
        stream.fail(f"{subject} {error}")
    except RecursionError:
        stream.fail(f"{subject} is nested more deeply than is read")
    except ValueError:  # int() refuses what takes it too long
        stream.fail(f"{subject} has a number of more digits than are read")
    return value


def _decode(text: str, begin: int) -> Any:
    try:
        value, end = _parse(text, begin)
    except StopIteration as error:
        msg = "a value is expected"
        raise json.JSONDecodeError(msg, text, error.value) from None
    if rest := text[end:].lstrip(_BLANKS):
        msg = "more follows where the value ends"
        raise json.JSONDecodeError(msg, text, len(text) - len(rest))
    return value


def _text(stream: Stream, data: bytes, number: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + data.count(b"\n", 0, error.start)
        stream.fail(f"line {line:,} has bytes that are not UTF-8: {data[error.start : error.start + 4]!r}")
