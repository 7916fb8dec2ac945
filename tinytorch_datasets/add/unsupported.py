"""Notations of data that no format reads, recognized to be refused by name.

What is not recognized here may be prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tinytorch_datasets.readers.table import without_compression

AS_CSV = "Save its samples as CSV, or its arrays as NPZ."


class Unsupported(NamedTuple):
    """What a file is, and what to do about it."""

    what: str
    hint: str


# What a file's name says, where its bytes say nothing.
_ENDINGS = {
    (".jsonl", ".ndjson"): "JSON Lines",
    (".json", ".geojson", ".ipynb"): "JSON",
    (".arff",): "ARFF",
    (".svm", ".svmlight", ".libsvm"): "svmlight",
    (".xml", ".svg"): "XML",
    (".html", ".htm"): "HTML",
    (".yaml", ".yml"): "YAML",
    (".toml", ".ini", ".cfg"): "settings",
    (".mtx", ".mm"): "Matrix Market",
    (".pbm", ".pgm", ".ppm", ".pnm"): "a Netpbm picture",
    (".ply", ".obj", ".stl", ".off"): "a 3D model",
    (".sql",): "SQL",
    (".xls", ".xlsx", ".ods"): "a workbook",
    (".pkl", ".pickle", ".npy", ".npz", ".idx", ".tar", ".zip", ".mat", ".h5", ".hdf5", ".parquet"): "binary data",
}

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_SVMLIGHT = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*(?:\s+qid:\d+)?(?:\s+\d+:{_NUMBER})*\s*(?:#.*)?")
_PAIR = re.compile(r"\s\d+:[-+.\d]")
_JSON_TOKENS = re.compile(r'(?:[\]\[{}:,\s]|"(?:[^"\\\n]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|NaN)*')
_CUT_TOKEN = re.compile(r'(?:"(?:[^"\\\n]|\\.)*\\?|[-+.\w]*)')

_FIRST_LINES: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"(?i)@(?:relation|attribute)\s"), "ARFF"),
    (re.compile(r"(?i)%%MatrixMarket\s"), "Matrix Market"),
    (re.compile(r"P[1-3]\s*(?:#.*|\d+\s+\d+.*)?"), "a Netpbm picture"),
    (re.compile(r"(?i)<(?:\?xml|svg|!doctype|[a-z][\w:.-]*(?:\s[^<>]*)?/?>)"), "XML"),
    (re.compile(r"%YAML|---\s*"), "YAML"),
    (re.compile(r"ply|solid .*|OFF"), "a 3D model"),
    (re.compile(r"\{'.*"), "records in Python's notation"),
)  # fmt: skip


def unsupported(text: str, name: str, *, whole: bool) -> Unsupported | None:
    """Return what a text is, if it is data in a notation that no format reads, or if its name says so.

    Args:
        text: The first characters of the file.
        name: The file's name.
        whole: Whether these are all of its characters.
    """
    text = text.removeprefix("\ufeff")
    lines = [line.strip() for line in (text if whole else text.rpartition("\n")[0]).split("\n")]
    lines = [line for line in lines if line]
    checks: tuple[Callable[[], str | None], ...] = (
        lambda: _json(text, lines, whole),
        lambda: _by_first_line(lines),
        lambda: "svmlight" if _is_svmlight(lines) else None,
    )
    for check in checks:
        if what := check():
            return Unsupported(f"it is {what}, which no format reads", AS_CSV)
    if sep := re.match(r"(?i)\"?sep=(.)\"?\r?\n", text):
        what = f"its first line, 'sep={sep[1]}', is one that only Excel reads"
        return Unsupported(what, "Take that line out.")
    ending = "." + without_compression(name).rpartition(".")[2]
    for endings, what in _ENDINGS.items():
        if ending in endings:
            return Unsupported(f"its name says {what}, and it is text in no such format", AS_CSV)
    return None


def _json(text: str, lines: Sequence[str], whole: bool) -> str | None:
    """Return JSON Lines if the first two lines are values of their own, JSON if all is made of its tokens."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    records = [_is_json(line) for line in lines[:2]]
    if len(records) > 1 and all(records):
        return "JSON Lines"
    if whole and _is_json(text):
        return "JSON"
    tokens = _JSON_TOKENS.match(text)
    rest = text[tokens.end() if tokens else 0 :]
    if not whole and _CUT_TOKEN.fullmatch(rest) and re.match(r'\s*[\[{]\s*["\[{\d-]', text):
        return "JSON"
    if re.match(r'\s*\{\s*"[^"\n]*"\s*:', text):
        return "JSON" + (" that is not sound" if whole else "")
    return None


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _by_first_line(lines: Sequence[str]) -> str | None:
    first = next((line for line in lines if not re.match(r"%(?!%|YAML)|#", line)), "")
    return next((what for pattern, what in _FIRST_LINES if pattern.match(first) and _fits(pattern, first, lines)), None)


def _fits(pattern: re.Pattern[str], first: str, lines: Sequence[str]) -> bool:
    """Check a short first line, which prose may have too, by what follows."""
    if first[:1] in "@%<{":
        return True
    if first.startswith("---"):
        return first == "---" and len(lines) > 1 and re.match(r"[\w-]+:(\s|$)|- ", lines[1]) is not None
    if first[:1] == "P":
        rest = [line for line in lines[1:] if not line.startswith("#")] or [first[2:]]
        return pattern.fullmatch(first) is not None and re.match(r"\s*\d+(\s+\d+)?\s*", rest[0]) is not None
    return len(lines) > 1 and re.match(r"format |facet |element |\d+ \d+ \d+$", lines[1]) is not None


def _is_svmlight(lines: Sequence[str]) -> bool:
    rows = [line for line in lines if not line.startswith("#")]
    return any(map(_PAIR.search, rows)) and all(map(_SVMLIGHT.fullmatch, rows))
