"""What the objects of a pickle become: blocks of samples, or a refusal that says which sample, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import CLASSES, column, put
from tinytorch_datasets.errors import ContentError, DecodeError, UnsafePickle
from tinytorch_datasets.plan import Block, RaggedBlock
from tinytorch_datasets.readers.pickle.packed import Row
from tinytorch_datasets.readers.pickle.rows import describe, object_blocks, row_blocks, text_blocks, type_of
from tinytorch_datasets.readers.pickle.values import Latin1Text

BYTES = 2  # of the file below
MOST = 32 * BYTES + 64 * 3 + (1 << 20)  # what three samples of a file of that size may come to
EXACT = 2**53


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two bytes, whose size alone is looked at."""
    return put(tmp_path / "data", "ab")


def objects(*items: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """An array of these objects, whatever they are."""
    array = np.empty(len(items), object)
    array[:] = items if items and not isinstance(items[0], (list, tuple, np.ndarray)) else None
    for at, item in enumerate(items):
        array[at] = item
    return array if shape is None else array.reshape(shape)


def row(*items: Any) -> Row:
    """A list as the machine makes it, lists in it as well."""
    return Row([row(*item) if isinstance(item, list) else item for item in items])


def slowly(*items: Any) -> Row:
    """A list to which its items were appended one by one."""
    made = Row()
    for item in items:
        made.extend([item])
    return made


def plainly(blocks: Iterator[Block]) -> list[Any]:
    """Of each block where it starts, its dtype and its values; and the shapes of its samples, if these differ."""
    plain: list[Any] = []
    for block in blocks:
        assert str(block.column) == "train.images"
        if isinstance(block.values, RaggedBlock):
            shapes = block.values.shapes
            assert shapes.dtype == np.int64
            plain.append((block.start, block.values.values.dtype.name, block.values.values.tolist(), shapes.tolist()))
        elif isinstance(block.values, np.ndarray):
            plain.append((block.start, block.values.dtype.name, block.values.tolist()))
        else:
            plain.append((block.start, block.values))
    return plain


RAGGED: dict[str, Any] = {"dtype": "int64", "shape": (None,)}
NUMBERS: dict[str, Any] = {"dtype": "int64", "shape": ()}
REALS: dict[str, Any] = {"dtype": "float32", "shape": (None,)}
LABELS: dict[str, Any] = {"dtype": "int64", "shape": (), "classes": CLASSES}
PAIRS: dict[str, Any] = {"dtype": "uint8", "shape": (2,)}
TABLES: dict[str, Any] = {"dtype": "int64", "shape": (None, 2)}

READ: dict[str, tuple[Sequence[Any], dict[str, Any], list[Any]]] = {
    "numbers": ([1, np.int8(2), 3], NUMBERS, [(0, "int64", [1, 2, 3])]),
    "numbers as floats": ([1, 2.5], {**NUMBERS, "dtype": "float32"}, [(0, "float32", [1.0, 2.5])]),
    "labels": ([2, 0], LABELS, [(0, "int64", [2, 0])]),
    "labels that are floats, which another refuses": ([2.0, 0.5], LABELS, [(0, "float64", [2.0, 0.5])]),
    "arrays of no axes": ([np.array(7), np.int64(8)], NUMBERS, [(0, "int64", [7, 8])]),
    "pairs": ([[1, 2], (3, 4), row(5, 6)], PAIRS, [(0, "uint8", [[1, 2], [3, 4], [5, 6]])]),
    "lists": ([row(1, 2), row(), [3]], RAGGED, [(0, "int64", [1, 2, 3], [[2], [0], [1]])]),
    "lists that came one by one": ([slowly(1, 2), slowly()], RAGGED, [(0, "int64", [1, 2], [[2], [0]])]),
    "lists of pairs": ([row([1, 2], [3, 4]), row()], TABLES, [(0, "int64", [1, 2, 3, 4], [[2, 2], [0, 2]])]),
    "arrays of pairs": ([np.ones((1, 2), "u1")], TABLES, [(0, "int64", [1, 1], [[1, 2]])]),
    "lists of tuples and arrays": (
        [[(1, 2), np.array([3, 4])], [row(5, 6)]],
        TABLES,
        [(0, "int64", [1, 2, 3, 4, 5, 6], [[2, 2], [1, 2]])],
    ),
    "two axes that differ": (
        [row([1, 2, 3]), row()],
        {**TABLES, "shape": (None, None)},
        [(0, "int64", [1, 2, 3], [[1, 3], [0, 0]])],
    ),
    "an empty sample of a shape": (
        [np.zeros((0, 3), "i8"), np.zeros((1, 2), "i8")],
        {**TABLES, "shape": (None, None)},
        [(0, "int64", [0, 0], [[0, 3], [1, 2]])],
    ),
    "both kinds of number": (
        [row(1), row(2.5, 3), row(2**24)],
        REALS,
        [(0, "float32", [1.0, 2.5, 3.0, 2.0**24], [[1], [2], [1]])],
    ),
    "whole numbers in a list of floats": (
        [[1, 0.5, EXACT]],
        {**REALS, "dtype": "float64"},
        [(0, "float64", [1.0, 0.5, float(EXACT)], [[3]])],
    ),
    "infinity": ([row(float("inf"), -float("inf"))], REALS, [(0, "float32", [np.inf, -np.inf], [[2]])]),
    "bools": (
        [row(True), row(), row(False)],
        {**RAGGED, "dtype": "bool"},
        [(0, "bool", [True, False], [[1], [0], [1]])],
    ),
    "the least and the most": (
        [row(-128, 127)],
        {**RAGGED, "dtype": "int8"},
        [(0, "int8", [-128, 127], [[2]])],
    ),
    "none of a shape": ([], PAIRS, [(0, "uint8", [])]),
    "none of any shape": ([], TABLES, [(0, "int64", [], [])]),
    "no numbers": ([], NUMBERS, [(0, "int64", [])]),
    "no labels": ([], {**LABELS, "dtype": "uint8"}, [(0, "int64", [])]),
    "empty ones alone": ([row(), row()], REALS, [(0, "float32", [], [[0], [0]])]),
    "empty ones of no kind": ([np.zeros(0)], RAGGED, [(0, "int64", [], [[0]])]),
}


@pytest.mark.parametrize("name", READ)
def test_samples_are_read(name: str, file: Path) -> None:
    """In the declared dtype, from the first on, with the shape of each where these differ."""
    items, declared, expected = READ[name]

    assert plainly(row_blocks(column(file, **declared), items, file, "its x")) == expected


def test_blocks_are_of_so_many_samples_or_numbers(file: Path) -> None:
    """4,096 samples, or as many as come to 131,072 numbers; the last may go beyond that."""
    many = column(file, samples=10_000, **RAGGED)
    half, over = np.zeros(1 << 16, np.int64), np.zeros((1 << 16) + 1, np.int64)

    def sizes(items: Sequence[Any]) -> list[tuple[int, int]]:
        return [(block.start, len(block.values)) for block in row_blocks(many, items, file, "its x")]

    assert sizes([row(1)] * 4096) == [(0, 4096)]
    assert sizes([row(1)] * 8193) == [(0, 4096), (4096, 4096), (8192, 1)]
    assert sizes([half, half, half]) == [(0, 2), (2, 1)]
    assert sizes([half, half[1:], half, half]) == [(0, 3), (3, 1)]
    assert sizes([over, over, over]) == [(0, 2), (2, 1)]
    singles = [*row_blocks(column(file, samples=10_000, **NUMBERS), [7] * 5000, file, "its x")]
    assert [(block.start, len(block.values)) for block in singles] == [(0, 5000)]
    error = caught_from(lambda: row_blocks(many, [row(1)] * 5000 + ["a"], file, "its x"))
    assert error.reason == "its x: sample 5,000 is a text, train.images is declared as numbers"


OBJECTS = "its x holds Python objects: sample 1 is {}, and no number, text or list of numbers; nothing was run"

REFUSED: dict[str, tuple[Sequence[Any], dict[str, Any], str, tuple[str, Any, Any] | str]] = {
    "too many": (
        [1] * 1001,
        {**NUMBERS, "samples": 1000},
        "its x has 1,001 samples, more than train.images declares: 1,000",
        ("samples", 1000, 1001),
    ),
    "nothing": ([1, None], NUMBERS, OBJECTS.format("None"), "Save what is missing as NaN, in an array of floats."),
    "a dict": ([1, {}], NUMBERS, OBJECTS.format("a dict"), "Have whoever made it save"),
    "objects": ([1, objects(1)], NUMBERS, OBJECTS.format("an array of objects"), "Have whoever made it save"),
    "nothing in a list": (
        [[1], [2, None]],
        RAGGED,
        OBJECTS.format("a list with None in it"),
        "Save what is missing as NaN, in an array of floats.",
    ),
    "a text": ([1, "a"], NUMBERS, "is a text", ("dtype", "int64", "a text")),
    "a text of Python 2": ([1, b"a"], NUMBERS, "is a text", ("dtype", "int64", "a text")),
    "a long text": ([1, Latin1Text(b"a")], NUMBERS, "is a text", ("dtype", "int64", "a text")),
    "a list": ([1, row(2)], NUMBERS, "is a list", ("dtype", "int64", "a list")),
    "a tuple": ([1, (2,)], NUMBERS, "is a list", ("dtype", "int64", "a list")),
    "a huge number": ([[1], 2**63], RAGGED, "is a whole number of more than 64 bits", ("dtype", "int64", "")),
    "a list in a list": ([[1], [[2]]], RAGGED, "is a list with a list in it", ("dtype", "int64", "")),
    "a text in a list": ([[1], [2, "a"]], RAGGED, "is a list with a text in it", ("dtype", "int64", "")),
    "a text in a list in a list": ([[], [[2, "a"]]], TABLES, "is a list with a text in it", ("dtype", "int64", "")),
    "lists of two lengths": (
        [[[1, 2]], [[1, 2], [3]]],
        TABLES,
        "is a list of lists that differ in length, or of lists and numbers",
        ("dtype", "int64", ""),
    ),
    "lists and numbers": (
        [[[1, 2]], [[1], 2]],
        TABLES,
        "is a list of lists that differ in length, or of lists and numbers",
        ("dtype", "int64", ""),
    ),
    "bools and numbers": (
        [[1], [1, True]],
        RAGGED,
        "is a list of numbers that no single type holds",
        ("dtype", "int64", ""),
    ),
    "bools and numbers one by one": (
        [[1], slowly(1, 0.5, EXACT + 1)],
        RAGGED,
        "is a list of numbers that no single type holds",
        ("dtype", "int64", ""),
    ),
    "lists of kinds that no type holds": (
        [[[1]], row([EXACT + 1], [0.5])],
        {**TABLES, "shape": (None, 1)},
        "is a list of numbers that no single type holds",
        ("dtype", "int64", ""),
    ),
    "a longer sample": (
        [[1, 2], [1, 2, 3]],
        PAIRS,
        "its x: sample 1 has the shape [3], train.images declares [2]",
        ("shape", [2], [3]),
    ),
    "a sample of fewer axes": (
        [[[1, 2]], [3]],
        TABLES,
        "its x: sample 1 has the shape [1], train.images declares [null, 2]",
        ("shape", [None, 2], [1]),
    ),
    "an empty sample of a length": (
        [[[1, 2]], []],
        {**TABLES, "shape": (1, None)},
        "its x: sample 1 has the shape [0, 0], train.images declares [1, null]",
        ("shape", [1, None], [0, 0]),
    ),
    "a number past its dtype": (
        [[1, 2], [], [3, 256, 257]],
        {**RAGGED, "dtype": "uint8"},
        "its x: sample 2 has 256, which train.images, declared as uint8, cannot hold",
        ("dtype", "uint8", "256"),
    ),
    "a number past its dtype, after others": (
        [row(1, 2), row(2.5), row(3, 2**24 + 1)],
        REALS,
        "its x: sample 2 has 16777217, which train.images, declared as float32, cannot hold",
        ("dtype", "float32", "16777217"),
    ),
    "a single number past its dtype": (
        [1, 2, -1],
        {**NUMBERS, "dtype": "uint8"},
        "its x: sample 2 has -1, which train.images, declared as uint8, cannot hold",
        ("dtype", "uint8", "-1"),
    ),
    "a number past its dtype, in tables": (
        [np.ones((3, 2), int), np.array([[1, 300]]), np.ones((1, 2), int)],
        {**TABLES, "dtype": "uint8"},
        "its x: sample 1 has 300, which train.images, declared as uint8, cannot hold",
        ("dtype", "uint8", "300"),
    ),
    "floats where none are": (
        [[1], [2.5]],
        RAGGED,
        "its x holds numbers of the type float64, train.images is declared as int64",
        ("dtype", "int64", "float64"),
    ),
    "bools where none are": (
        [[1], [True]],
        REALS,
        "its x holds numbers of the type bool, train.images is declared as float32",
        ("dtype", "float32", "bool"),
    ),
    "floats where bools are": (
        [[0.0], [1.0]],
        {**RAGGED, "dtype": "bool"},
        "its x holds numbers of the type float64, train.images is declared as bool",
        ("dtype", "bool", "float64"),
    ),
}


def caught_from(blocks: Callable[[], Iterator[Block]]) -> DecodeError:
    """What reading all of the blocks is refused with."""
    with pytest.raises(DecodeError) as caught:
        list(blocks())
    assert caught.value.path.name == "data"
    return caught.value


@pytest.mark.parametrize("name", REFUSED)
def test_samples_are_refused(name: str, file: Path) -> None:
    """What is plain as something else than declared, what is none as Python objects; each by its place."""
    items, declared, reason, facts = REFUSED[name]
    wanted = column(file, **declared)

    error = caught_from(lambda: row_blocks(wanted, items, file, "its x"))

    if reason.startswith("is a"):
        facts = ("dtype", facts[1], reason.removeprefix("is "))
        reason = f"its x: sample 1 {reason}, train.images is declared as numbers"
    assert error.reason == reason
    if isinstance(facts, str):
        assert type(error) is UnsafePickle
        assert error.names == ("dtype |O",)
        assert str(error.hint).startswith(facts)
    else:
        assert type(error) is ContentError
        assert (error.aspect, error.expected, error.actual, error.column) == (*facts, "train.images")


def test_samples_may_come_to_so_many_numbers(file: Path) -> None:
    """Each of them counts one more; a single number beyond that is refused."""
    declared = column(file, dtype="uint8", shape=(None,))
    reason = f"the samples of its x come to more than {MOST:,} numbers, which is too much for a file of its size"
    fits = np.zeros(MOST - 1, np.uint8)

    (block,) = row_blocks(declared, [fits], file, "its x")
    error = caught_from(lambda: row_blocks(declared, [np.zeros(MOST, np.uint8)], file, "its x"))

    assert isinstance(block.values, RaggedBlock)
    assert len(block.values.values) == MOST - 1
    assert (error.reason, type(error)) == (reason, DecodeError)
    # A list of two arrays counts each, the list, their numbers when they are joined, and those of the sample.
    wide = column(file, dtype="uint8", shape=(None, None))
    half = np.zeros(MOST // 4 - 1, np.uint8)
    assert MOST % 4 == 0
    (block,) = row_blocks(wide, [row(half, half)], file, "its x")
    assert isinstance(block.values, RaggedBlock)
    assert block.values.shapes.tolist() == [[2, len(half)]]
    assert caught_from(lambda: row_blocks(wide, [row(half, half), 1], file, "its x")).reason != reason
    assert caught_from(lambda: row_blocks(wide, [row(half, half), row(), row()], file, "its x")).reason == reason


TEXT: dict[str, Any] = {"dtype": "str", "shape": ()}


def test_texts_are_read(file: Path) -> None:
    """As text, whoever wrote them; 4,096 at once."""
    texts = ["a", "é".encode(), Latin1Text(b"\xe9"), np.str_("b"), ""]
    many = column(file, samples=10_000, **TEXT)

    assert plainly(text_blocks(many, texts, file, "its x")) == [(0, ["a", "é", "é", "b", ""])]
    assert plainly(text_blocks(many, [], file, "its x")) == [(0, [])]
    assert plainly(text_blocks(many, ["a"] * 4096, file, "its x")) == [(0, ["a"] * 4096)]
    blocks = plainly(text_blocks(many, ["a"] * 8192 + ["b"], file, "its x"))
    assert [(start, len(held), held[-1]) for start, held in blocks] == [
        (0, 4096, "a"),
        (4096, 4096, "a"),
        (8192, 1, "b"),
    ]


def test_texts_are_refused(file: Path) -> None:
    """By their place, or by how many they are."""
    declared = column(file, samples=6000, **TEXT)

    def refusal(items: Sequence[Any]) -> DecodeError:
        return caught_from(lambda: text_blocks(declared, items, file, "its x"))

    error = refusal(["a"] * 6001)
    assert error.reason == "its x has 6,001 texts, more than train.images declares: 6,000"
    assert isinstance(error, ContentError)
    assert (error.aspect, error.expected, error.actual, error.column) == ("samples", 6000, 6001, "train.images")
    error = refusal(["a"] * 5000 + [5])
    assert error.reason == "its x: sample 5,000 is a number, train.images is declared as text"
    assert isinstance(error, ContentError)
    assert (error.aspect, error.expected, error.actual, error.column) == ("dtype", "str", "a number", "train.images")
    error = refusal(["a", None])
    assert error.reason == OBJECTS.format("None")
    assert type(error) is UnsafePickle
    error = refusal(["a"] * 5000 + [b"\xff"])
    assert error.reason == "its x has a text that is not UTF-8, at sample 5,000"


def test_texts_may_come_to_so_many_characters(file: Path) -> None:
    """In all of their blocks."""
    declared = column(file, samples=6000, **TEXT)
    most = 32 * BYTES + 64 * 6000 + (1 << 20)
    text = "a" * (most - 4096)

    assert [block.start for block in text_blocks(declared, ["a"] * 4096 + [text], file, "its x")] == [0, 4096]
    error = caught_from(lambda: text_blocks(declared, ["a"] * 4096 + [text + "a"], file, "its x"))
    reason = f"its x: its texts come to more than {most:,} characters, which is too much for a file of its size"
    assert error.reason == reason


MADE: dict[str, tuple[np.ndarray, dict[str, Any], list[Any] | str]] = {
    "numbers": (objects(1, 2, 3), NUMBERS, [(0, "int64", [1, 2, 3])]),
    "a table": (objects(1, 2, 3, 4, shape=(2, 2)), PAIRS, [(0, "uint8", [[1, 2], [3, 4]])]),
    "a table of samples that may differ": (
        objects(1, 2, 3, 4, shape=(2, 2)),
        RAGGED,
        [(0, "int64", [1, 2, 3, 4], [[2], [2]])],
    ),
    "a column": (objects(1, 2, shape=(2, 1)), NUMBERS, [(0, "int64", [1, 2])]),
    "a column of labels": (objects(1, 2, shape=(2, 1)), LABELS, [(0, "int64", [1, 2])]),
    "an empty table": (objects(shape=(0, 2)), PAIRS, [(0, "uint8", [])]),
    "a table that no single type holds, though each of its rows is of one": (
        objects(EXACT + 2, 1, 0.5, 1.5, shape=(2, 2)),
        {**PAIRS, "dtype": "float64"},
        [(0, "float64", [[EXACT + 2.0, 1.0], [0.5, 1.5]])],
    ),
    "lists": (objects([1], [2, 3]), RAGGED, [(0, "int64", [1, 2, 3], [[1], [2]])]),
    "lists in a column": (objects([1], [2, 3], shape=(2, 1)), RAGGED, [(0, "int64", [1, 2, 3], [[1], [2]])]),
    "lists on their side": (objects(row(1), (2, 3), shape=(1, 2)), RAGGED, [(0, "int64", [1, 2, 3], [[1], [2]])]),
    "texts": (objects("a", b"b"), TEXT, [(0, ["a", "b"])]),
    "texts in a column": (objects("a", "b", shape=(2, 1)), TEXT, [(0, ["a", "b"])]),
    "names of classes": (objects("cat", "ant"), LABELS, [(0, ["cat", "ant"])]),
    "a number of the whole split": (objects(5, shape=()), {**NUMBERS, "per": "split"}, [(0, "int64", [5])]),
    "texts in a table": (
        objects("a", "b", "c", "d", shape=(2, 2)),
        TEXT,
        "its x is str (2, 2), more than train.images declares: str (3,)",
    ),
    "lists in a table": (
        objects([1], [1], [2, 3], [2, 3], shape=(2, 2)),
        RAGGED,
        "its x has 2 axes, and lists in them",
    ),
    "a list alone": (objects([1], shape=()), RAGGED, "its x has 0 axes, and lists in them"),
    "a number alone": (objects(1, shape=()), NUMBERS, "its x is a single value, not a row of samples"),
    "a number alone, of no kind": (objects(None, shape=()), NUMBERS, OBJECTS.format("None").replace("1", "0")),
    "a wider table": (
        objects(*range(9), shape=(3, 3)),
        PAIRS,
        "its x is uint8 (3, 3), more than train.images declares: uint8 (3, 2)",
    ),
    "a number past its dtype, in a table of samples that may differ": (
        objects(1, 256, shape=(1, 2)),
        {**RAGGED, "dtype": "uint8"},
        "its x: sample 0 has 256, which train.images, declared as uint8, cannot hold",
    ),
    "a text after names of classes": (
        objects("cat", 1),
        LABELS,
        "its x: sample 1 is a number, train.images is declared as numbers",
    ),
    "nothing in a table": (
        objects(1, 2, None, 4, shape=(2, 2)),
        PAIRS,
        OBJECTS.format("a list with None in it"),
    ),
    "a number in a table that its dtype does not hold": (
        objects(1, 2, 3, 256, shape=(2, 2)),
        PAIRS,
        "its x: sample 1 has 256, which train.images, declared as uint8, cannot hold",
    ),
    "a text after a number": (
        objects(1, "a"),
        TEXT,
        "its x: sample 0 is a number, train.images is declared as text",
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_an_array_of_objects_is_read_or_refused(name: str, file: Path) -> None:
    """Its samples are on the first axis, or on the only one that is longer than one."""
    held, declared, expected = MADE[name]
    wanted = column(file, **declared)

    if isinstance(expected, str):
        assert caught_from(lambda: object_blocks(wanted, held, file, "its x")).reason == expected
    else:
        assert plainly(object_blocks(wanted, held, file, "its x")) == expected


TYPES: dict[str, tuple[Sequence[Any], tuple[str, tuple[int | None, ...]]]] = {
    "texts": (["a", b"b", Latin1Text(b"c")], ("str", ())),
    "numbers": ([1, 2], ("int64", ())),
    "lists": ([row(1), row(2, 3), row()], ("int64", (None,))),
    "lists of one length": ([row(1, 2), row(2, 3)], ("int64", (2,))),
    "floats and numbers": ([row(1), row(2.5)], ("float64", (1,))),
    "bools": ([[True], [False, True], []], ("bool", (None,))),
    "tables": ([row([1, 2]), row([1, 2], [3, 4])], ("int64", (None, 2))),
    "arrays": ([np.zeros((4, 3), "f4"), np.zeros((2, 3), "f4")], ("float32", (None, 3))),
    "arrays of two dtypes": ([np.zeros(2, "u1"), np.zeros(1, "i2")], ("int16", (None,))),
    "arrays and lists": ([np.zeros(2, "u1"), row(1)], ("int64", (None,))),
    "floats and lists": ([np.zeros(2, "f4"), row(1, 2)], ("float64", (2,))),
}


@pytest.mark.parametrize("name", TYPES)
def test_the_type_of_samples_is_known(name: str, file: Path) -> None:
    """Before anything is declared: what Python's own numbers are is kept wide, what an array's are as it is."""
    items, expected = TYPES[name]

    assert type_of(items, file, "its x") == expected


NO_TYPE = "its x holds Python objects that are not all of one type and as many axes"
TYPELESS: dict[str, tuple[Sequence[Any], str]] = {
    "nothing": ([], NO_TYPE),
    "empty ones alone": ([row(), row()], NO_TYPE),
    "bools and numbers": ([row(1), row(True)], NO_TYPE),
    "numbers and lists": ([1, row(1)], NO_TYPE),
    "a text and a number": (["a", 1], "its x holds Python objects, one of them a text"),
    "a dict": ([row(1), {}], "its x holds Python objects, one of them a dict"),
    "too many": (
        [row(np.zeros((1 << 20) + 32 * BYTES + 64, np.uint8), row(1))],
        f"the samples of its x come to more than {(1 << 20) + 32 * BYTES + 64:,} numbers, "
        "which is too much for a file of its size",
    ),
}


@pytest.mark.parametrize("name", TYPELESS)
def test_the_type_of_what_has_none_is_refused(name: str, file: Path) -> None:
    """In one sentence."""
    items, reason = TYPELESS[name]

    with pytest.raises(DecodeError) as caught:
        type_of(items, file, "its x")

    assert (caught.value.reason, caught.value.path) == (reason, file)


def test_what_stands_for_a_sample_is_named() -> None:
    """As a person would."""
    named = {
        "None": None,
        "a text": b"a",
        "a number": 2.5,
        "a list": Row(),
        "a tuple": (),
        "a bool": True,
        "an array of objects": objects(1),
        "an array of float64": np.zeros(2),
        "a whole number of more than 64 bits": 2**63,
    }

    assert {describe(item): item for item in named.values()} == named
    assert describe(Latin1Text(b"a")) == "a text"
    assert [describe(n) for n in (-(2**63), 2**63 - 1)] == ["a number"] * 2
    assert describe(-(2**63) - 1) == "a whole number of more than 64 bits"
