"""Unquoted YAML scalars: numbers, switches, texts, and what YAML readers do not agree on.

PyYAML's resolver follows YAML 1.1, in which `no` is False and `0777` is 511; YAML 1.2 reads both otherwise. What the
two do not agree on is refused, with the way to write what was meant.
"""

from __future__ import annotations

import math
import re
from typing import Any

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
