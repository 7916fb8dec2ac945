"""Damaged and hostile records of JSON Lines, JSON and ARFF: each is refused, and its harmless twin is read.

The field is one whole number a record, of three records, unless a case says otherwise.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.format_writers import gzip_bomb
from tests.helpers.hostile import Case, check_refused, decode
from tinytorch_datasets.errors import ContentError, DecodeError

NUMBER: dict[str, Any] = {"dtype": "int64", "shape": ()}
FIRST: dict[str, Any] = {"declared": {**NUMBER, "key": "0"}}
NO_CONSTANT = "which is no number in JSON; a missing value is null"


def line(second: str, reason: str, twin: str = '{"images": 2}', error: type[DecodeError] = DecodeError) -> Case:
    """Three lines, of which the second is wrong."""
    first, third = '{"images": 1}\n', '\n{"images": 3}\n'
    return Case("jsonl", lambda: first + second + third, reason, lambda: first + twin + third, error, NUMBER)


def lines(
    data: Callable[[], bytes], reason: str | Callable[[int], str], twin: Callable[[], bytes], **more: Any
) -> Case:
    """A whole file of JSON Lines."""
    return Case("jsonl", data, reason, twin, declared={**NUMBER, **more.pop("declared", {})}, **more)


def document(
    data: bytes | str | Callable[[], bytes], reason: str | Callable[[int], str], twin: bytes | str, **more: Any
) -> Case:
    """One document, or what makes one that is large."""
    return Case("json", data if callable(data) else lambda: data, reason, lambda: twin, **{"declared": NUMBER, **more})


CASES: dict[str, Case] = {
    "lines, a key twice": line(
        '{"images": 1, "images": 2}', "line 2 has the key 'images' twice in one object", '{"images": 1, "image": 2}'
    ),
    "lines, a key twice inside": line(
        '{"images": 2, "x": {"y": [{"a": 1, "a": 1}]}}',
        "line 2 has the key 'a' twice in one object",
        '{"images": 2, "x": {"y": [{"a": 1}, {"a": 1}]}}',
    ),
    "lines, NaN": line('{"images": 2, "x": NaN}', f"line 2 has NaN, {NO_CONSTANT}", '{"images": 2, "x": null}'),
    "lines, -Infinity": line('{"images": 2, "x": -Infinity}', f"line 2 has -Infinity, {NO_CONSTANT}"),
    "lines, one is empty": line("", "line 2 is empty, and others follow"),
    "lines, two records in one": line(
        '{"images": 1} {"images": 2}', "line 2 is not JSON: more follows where the value ends, at character 15"
    ),
    "lines, a comma at the end": line(
        '{"images": 2},', "line 2 is not JSON: more follows where the value ends, at character 14"
    ),
    "lines, a zero leads": line('{"images": 02}', "line 2 is not JSON: expecting ',' delimiter, at character 13"),
    "lines, Python's quotes": line(
        "{'images': 2}", "line 2 is not JSON: expecting property name enclosed in double quotes, at character 2"
    ),
    "lines, one cut short": line('{"images": 2', "line 2 is not JSON: expecting ',' delimiter, at character 13"),
    "lines, a text without end": line(
        '{"images": 2, "x": "a', "line 2 is not JSON: unterminated string, at character 20", '{"images": 2, "x": "a"}'
    ),
    "lines, a tab in a text": line(
        '{"images": 2, "x": "a\tb"}',
        "line 2 is not JSON: invalid control character, at character 22",
        '{"images": 2, "x": "a\\tb"}',
    ),
    "lines, a NUL in a text": line(
        '{"images": 2, "x": "a\0b"}',
        "line 2 is not JSON: invalid control character, at character 22",
        '{"images": 2, "x": "a\\u0000b"}',
    ),
    "lines, a NUL": line(
        '{"images": 2}\0', "line 2 is not JSON: more follows where the value ends, at character 14"
    ),
    "lines, a blank of another kind": line(
        '{"images":\u00a02}', "line 2 is not JSON: a value is expected, at character 11", '{"images": 2}'
    ),
    "lines, no JSON": line("images: 2", "line 2 is not JSON: a value is expected, at character 1"),
    "lines, a number": line("5", "line 2 is a number, not an object, which is images", error=ContentError),
    "lines, null": line("null", "line 2 is null, not an object, which is images", error=ContentError),
    "lines, lists without end": line("[" * 100_000, "line 2 is nested more deeply than is read"),
    "lines, objects without end": line('{"a":' * 100_000, "line 2 is nested more deeply than is read"),
    "lines, lists in a list": line(
        '{"images": ' + "[" * 500 + "]" * 500 + "}", "line 2, 'images': a list is not a number", error=ContentError
    ),
    "lines, digits without end": line(
        '{"images": 2, "x": ' + "9" * 5000 + "}", "line 2 has a number of more digits than are read"
    ),
    "lines, an infinite number": line(
        '{"images": 1e999}', "line 2, 'images': Infinity is not a whole number", error=ContentError
    ),
    "lines, a key of controls": line(
        '{"imag\\u001b": 2}',
        "line 2 has nothing at 'images', which is images; did you mean 'imag\\x1b'?",
        error=ContentError,
    ),
    "lines, Latin-1": lines(
        lambda: b'{"images": 1}\n{"images": 2, "x": "\xe9"}\n',
        "line 2 has bytes that are not UTF-8: b'\\xe9\"}'",
        lambda: '{"images": 1}\n{"images": 2, "x": "\u00e9"}\n'.encode(),
    ),
    "lines, UTF-16": lines(
        lambda: '{"images": 1}\n'.encode("utf-16"),
        "line 1 has bytes that are not UTF-8: b'\\xff\\xfe{\\x00'",
        lambda: '{"images": 1}\n'.encode("utf-8-sig"),
    ),
    "lines, none": lines(lambda: b"", "it has no records", lambda: b'{"images": 1}'),
    "lines, only empty ones": lines(lambda: b"\n\n", "it has no records", lambda: b'{"images": 1}\n\n'),
    "lines, one of 20 MB": lines(
        lambda: b'{"images": 1, "x": "' + b"x" * 20_000_000 + b'"}\n',
        "line 1 has more than 16,777,216 bytes",
        lambda: b'{"images": 1, "x": "' + b"x" * 5_000_000 + b'"}\n',
    ),
    "lines, 300,000 lists in one": lines(
        lambda: b"[1" + b",[]" * 300_000 + b"]\n",
        "line 1 has 300,001 lists and objects, the most is 262,144",
        lambda: b"[1" + b",[]" * 100_000 + b"]\n",
        declared={"key": "0"},
    ),
    "lines, 30 MB of blanks": lines(
        lambda: gzip_bomb(b" ", 30_000_000, b'{"images": 1}'),
        lambda size: f"more than {32 * size + (1 << 20):,} bytes come out of it, but the file has {size:,} "
        "and its declared numbers take 24",
        lambda: gzip.compress(b'{"images": 1}' + b" " * 30_000, mtime=0),
        error=ContentError,
    ),
    "lines, a fourth": lines(
        lambda: b'{"images": 1}\n' * 4,
        "it has more records than the 3 that train declares (line 4)",
        lambda: b'{"images": 1}\n' * 3,
        error=ContentError,
    ),
    "document, a key twice": document(
        '[{"images": 1, "images": 1}]', "it has the key 'images' twice in one object", '[{"images": 1}]'
    ),
    "document, NaN": document('[{"images": NaN}]', f"it has NaN, {NO_CONSTANT}", '[{"images": 1}]'),
    "document, two": document(
        '[{"images": 1}]\n[]',
        "it is not JSON: more follows where the value ends, at line 2, character 1",
        '\ufeff\r\n[{"images": 1}]\r\n',
    ),
    "document, cut short": document(
        '[{"images": 1},\n{"images"',
        "it is not JSON: expecting ':' delimiter, at line 2, character 10",
        '[{"images": 1},\n{"images": 1}]',
    ),
    "document, lists without end": document("[" * 100_000, "it is nested more deeply than is read", "[[1]]", **FIRST),
    "document, objects without end": document(
        '[{"images": 1, "x": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}]",
        "it is nested more deeply than is read",
        '[{"images": 1, "x": ' + '{"a":' * 300 + "1" + "}" * 300 + "}]",
    ),
    "document, digits without end": document(
        "[[" + "9" * 5000 + "]]", "it has a number of more digits than are read", "[[9]]", **FIRST
    ),
    "document, none": document("", "it is empty", '[{"images": 1}]'),
    "document, blanks": document(" \n", "it is empty", ' \n[{"images": 1}]'),
    "document, no records": document("[]", "it has no records", '[{"images": 1}]'),
    "document, an object": document(
        '{"images": 1}', "it is not a list of records; the option records says where in it they are", '[{"images": 1}]'
    ),
    "document, a million objects": document(
        "[" + "{}," * 1_000_000 + "{}]",
        "the document has 1,000,002 lists and objects, the most is 262,336",
        '[{"images": 1, "x": "' + "{}" * 1_000_000 + '"}]',
    ),
    "document, 30 MB of blanks": document(
        lambda: lzma.compress(b"[1" + b" " * 30_000_000, preset=0),
        lambda size: f"more than {32 * size + (1 << 20):,} bytes come out of it, but the file has {size:,} "
        "and its declared numbers take 24",
        lzma.compress(b'[{"images": 1}' + b" " * 300_000 + b"]"),
        error=ContentError,
    ),
    "document, UTF-16": document(
        '[{"images": 1}]'.encode("utf-16-le"),
        "it is not JSON: a value is expected, at line 1, character 2",
        '[{"images": 1}]',
    ),
    "document, a fourth": document(
        '[{"images": 1}, {"images": 1}, {"images": 1}, {"images": 1}]',
        "it has more records than the 3 that train declares (record 4)",
        '[{"images": 1}, {"images": 1}, {"images": 1}]',
        error=ContentError,
    ),
    "document, columns of two lengths": document(
        '{"images": [1, 2], "x": [1]}',
        "the column 'x' has 1 values, and 'images' has 2",
        '{"images": [1, 2], "x": [1, 2]}',
        options={"orient": "columns"},
    ),
    "document, a path into nothing": document(
        '{"data": [{"images": 1}]}',
        "it has nothing at 'dta', where its records are by the option records; did you mean 'data'?",
        '{"dta": [{"images": 1}]}',
        options={"records": "dta"},
    ),
}  # fmt: skip

HEAD = "@relation r\n@attribute images numeric\n"
ROWS = "@data\n1\n2\n"
PAIR = "@relation r\n@attribute images numeric\n@attribute kind {ant, bee}\n@data\n"
TWO = HEAD + "@attribute k "


def table(data: bytes | str, reason: str | Callable[[int], str], twin: bytes | str, **more: Any) -> Case:
    """A table in ARFF."""
    return Case("arff", lambda: data, reason, lambda: twin, **{"declared": NUMBER, **more})


CASES |= {
    "arff, none": table("", "it is empty", HEAD + ROWS),
    "arff, no data": table(HEAD, "it has no @data", HEAD + ROWS),
    "arff, no rows": table(HEAD + "@data\n%\n\n", "it has no rows below @data", HEAD + ROWS),
    "arff, no attribute": table(
        "@relation r\n@data\n1\n", "line 2 begins the data, and no @attribute stands above", HEAD + ROWS
    ),
    "arff, a line of no keyword": table(
        "@relation r\nimages numeric\n" + ROWS,
        "line 2 is not one of @relation, @attribute and @data: 'images numeric'",
        "@RELATION r\n\t@Attribute images Numeric\n" + ROWS,
    ),
    "arff, an attribute twice": table(
        HEAD + "@attribute images real\n" + ROWS,
        "line 3 has the attribute 'images' a second time",
        HEAD + "@attribute image real\n@data\n1,2\n",
    ),
    "arff, no type": table(
        "@relation r\n@attribute images\n" + ROWS, "line 2 has an attribute 'images' of no known type: ''", HEAD + ROWS
    ),
    "arff, a type of no kind": table(
        "@relation r\n@attribute images reall\n" + ROWS,
        "line 2 has an attribute 'images' of no known type: 'reall'",
        "@relation r\n@attribute images REAL [0, 9]\n" + ROWS,
    ),
    "arff, a table in each row": table(
        TWO + "relational\n@attribute a real\n@end k\n@data\n1,'2'\n",
        "line 3 has a relational attribute ('k'), a table in each row, which is not read",
        TWO + "string\n@data\n1,'2'\n",
    ),
    "arff, sparse rows": table(
        PAIR + "{0 1, 1 ant}\n", "line 5 is a sparse row, {index value, ...}, which is not read", PAIR + "1, ant\n"
    ),
    "arff, a weight": table(
        PAIR + "1, ant, {0.5}\n", "line 5 has a weight of its row at its end, which is not read", PAIR + "1, ant\n"
    ),
    "arff, a remark in a row": table(
        PAIR + "1, ant % or bee\n",
        "line 5 has a % outside quotes: it may begin a remark, or be a part of the value",
        PAIR + "% or bee\n1, ant\n",
    ),
    "arff, a row too short": table(
        PAIR + "1, ant\n2\n", "line 6 has a row of 1, and the header has 2 attributes", PAIR + "1, ant\n2 bee\n"
    ),
    "arff, a row too long": table(
        PAIR + "1, ant, 2\n", "line 5 has a row of 3, and the header has 2 attributes", PAIR + "1,\t'ant'\n"
    ),
    "arff, an empty cell": table(PAIR + "1,\n", "line 5, column 2: the cell is empty", PAIR + "1,?\n"),
    "arff, an empty cell beside quotes": table(
        PAIR + ",'ant'\n", "line 5, column 1: the cell is empty", PAIR + "1,'ant'\n"
    ),
    "arff, no such value": table(
        PAIR + "1,ant\n2,cat\n",
        "line 6, column 2 ('kind'): 'cat' is not one of the 2 values that the header has",
        PAIR + "1,ant\n2,bee\n",
        declared={"dtype": "str", "shape": (), "key": "kind"},
    ),
    "arff, no values": table(
        TWO + "{}\n@data\n1,?\n", "line 3 has no value, or an empty one, for 'k'", TWO + "{' '}\n@data\n1,?\n"
    ),
    "arff, a value twice": table(
        TWO + "{a, 'a'}\n@data\n1,a\n", "line 3 has the value 'a' of 'k' twice", TWO + "{a, 'A'}\n@data\n1,a\n"
    ),
    "arff, values between blanks": table(
        TWO + "{low risk}\n@data\n1,?\n",
        "line 3 has values of 'k' without commas: they may be several, or one with blanks",
        TWO + "{'low risk'}\n@data\n1,?\n",
    ),
    "arff, values without end": table(
        TWO + "{a, b\n@data\n1,a\n", "line 3 has values of 'k' that do not end in }", TWO + "{a, b, '}'}\n@data\n1,a\n"
    ),
    "arff, a quote without end": table(
        PAIR + "1,'ant\n",
        "line 5 has a quote that never closes; a quote in a value is written with a \\ before it",
        PAIR + "1,'ant'\n",
    ),
    "arff, a quote twice": table(
        TWO + "string\n@data\n1,'a''b'\n",
        "line 5 has quotes inside a cell; a quote in a value is written with a \\ before it",
        TWO + "string\n@data\n1,'a\\'b'\n",
    ),
    "arff, an escape of no kind": table(
        TWO + "string\n@data\n1,'C:\\data'\n",
        "line 5 has an escape that is not known: '\\\\d'",
        TWO + "string\n@data\n1,'C:\\\\data'\n",
    ),
    "arff, a number that is none": table(
        PAIR + "1,ant\nx,ant\n",
        "line 6, column 1 ('images'): 'x' is not a whole number",
        PAIR + "1,ant\n2,ant\n",
        error=ContentError,
    ),
    "arff, a missing number": table(
        PAIR + "?,ant\n",
        "line 5, column 1 ('images'): '?' is not a whole number",
        PAIR + "5,ant\n",
        error=ContentError,
    ),
    "arff, a fourth row": table(
        HEAD + ROWS + "3\n4\n",
        "it has more rows than the 3 that train declares (line 7)",
        HEAD + ROWS + "3\n",
        error=ContentError,
    ),
    "arff, Latin-1": table(
        PAIR.encode() + b"1,\xe9\n", "line 5 has bytes that are not UTF-8: b'\\xe9'", PAIR.encode() + b"1,bee\n"
    ),
    "arff, a NUL": table(PAIR + "1,a\0\n", "line 5 has a NUL character", PAIR + "1,ant\n"),
    "arff, 30 MB of remarks": table(
        gzip_bomb(b"\n%", 15_000_000, HEAD.encode() + b"%" * 99),
        lambda size: f"more than {32 * size + (1 << 20):,} bytes come out of it, but the file has {size:,} "
        "and its declared numbers take 24",
        gzip.compress((HEAD + "%\n" * 1_000 + ROWS).encode()),
        error=ContentError,
    ),
}  # fmt: skip

# The largest, each beside a smaller one of its kind.
LARGE = {"arff, 30 MB of remarks", "document, a million objects"}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if name in LARGE else ()) for name, case in CASES.items()],
    ids=CASES,
)
def test_it_is_refused_and_its_harmless_twin_is_read(case: Case, tmp_path: Path) -> None:
    """In these words, by this class, soon, in little memory; the twin, so that refusing is not just being broken."""
    check_refused(case, tmp_path)

    assert all(len(values) for values in decode(case, case.twin(), tmp_path).values())
