"""Lists of numbers as arrays: what they are made of, when they are joined, and what is paid for them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets.readers.pickle import BYTES_BESIDE
from tinytorch_datasets.readers.pickle.objects import ObjectMachine
from tinytorch_datasets.readers.pickle.opcodes import BadPickle
from tinytorch_datasets.readers.pickle.packed import Packer, Row, joined, packed

EXACT = 2**53


def same(found: np.ndarray | None, values: list[Any] | None, dtype: str = "int64") -> None:
    """The same numbers, in the dtype; or none."""
    if values is None:
        assert found is None
    else:
        assert found is not None
        np.testing.assert_array_equal(found, np.array(values, dtype), strict=True)


def test_numbers_are_packed() -> None:
    """As what holds all of them, if there is one."""
    same(packed([1, -(2**63), 2**63 - 1]), [1, -(2**63), 2**63 - 1])
    same(packed([True, False]), [True, False], "bool")
    same(packed([0.5]), [0.5], "float64")
    same(packed([0.5, EXACT, -EXACT]), [0.5, EXACT, -EXACT], "float64")
    same(packed([np.int8(1), 2]), [1, 2])
    same(packed([np.float32(0.5), 2]), [0.5, 2], "float64")
    same(packed([np.bool_(True)]), [True], "bool")
    for items in ([], [2**63], [-(2**63) - 1], [1, True], [0.5, True], [0.5, EXACT + 1], [0.5, -EXACT - 1], ["a"]):
        assert packed(items) is None
    others: list[list[Any]] = [[None, 1], [np.str_("a")], [[1]], [np.array(1)], [np.float64(1), "a"], [1j]]
    for other in others:
        assert packed(other) is None


def test_arrays_are_joined() -> None:
    """If that changes none of them; empty ones have no part in it."""
    i, f, b = np.array([1, 2]), np.array([0.5]), np.array([True])
    same(joined([]), [])
    same(joined([f[:0]]), [], "float64")
    same(joined([i[:0], f[:0]]), [])
    assert joined([i]) is i
    assert joined([f[:0], i]) is i
    same(joined([i, i]), [1, 2, 1, 2])
    same(joined([i, f]), [1, 2, 0.5], "float64")
    same(joined([f, np.array([255], np.uint8), i]), [0.5, 255, 1, 2], "float64")
    same(joined([np.array([np.inf, np.nan]), i]), [np.inf, np.nan, 1, 2], "float64")
    same(joined([b, b]), [True, True], "bool")
    same(joined([f, f[:0], f]), [0.5, 0.5], "float64")
    same(joined([f, np.array([EXACT, -EXACT])]), [0.5, EXACT, -EXACT], "float64")
    for other in (EXACT + 1, -EXACT - 1):
        assert joined([f, np.array([0, other, 0])]) is None
        assert joined([f, i, np.array([other])]) is None
    assert joined([i, b]) is None
    assert joined([f, b]) is None
    assert joined([f, i, b]) is None
    assert joined([i, np.array([1], np.uint64)]) is None


def test_a_row_keeps_numbers_as_arrays() -> None:
    """And says what is held of it that was not paid for: an array, or the items of those that it has no more."""
    row = Row()
    assert (len(row), row.tolist(), row.items) == (0, [], [])
    same(row.numbers(), [])
    assert row.extend([1, 2, 3]) == 128
    assert row.extend([4]) == 0
    assert row.extend([5]) == 0
    assert (len(row), row.tolist(), row.loose, len(row.parts)) == (5, [1, 2, 3, 4, 5], [4, 5], 1)
    same(row.numbers(), [1, 2, 3, 4, 5])
    assert row.extend([0.5, 6]) == 128
    assert (row.loose, len(row), [part.dtype.name for part in row.parts]) == ([], 7, ["int64", "float64"])
    same(row.numbers(), [1, 2, 3, 4, 5, 0.5, 6], "float64")
    assert row.extend(["a"]) == 48 * 7
    assert (row.parts, row.loose, len(row), row.items) == ([], [], 8, [1, 2, 3, 4, 5, 0.5, 6, "a"])
    assert [type(item) for item in row.tolist()[2:4]] == [int, float]
    assert row.numbers() is None
    assert row.extend([7]) == 0
    assert row.tolist()[7:] == ["a", 7]
    assert Row([1, 2]).parts[0].tolist() == [1, 2]
    assert Row(["a", 1]).items == ["a", 1]


def test_numbers_that_come_one_by_one_wait_for_a_thousand() -> None:
    """Then they are an array; what is no number does not wait."""
    row = Row()
    assert [row.extend([n]) for n in range(999)] == [0] * 999
    assert (len(row.loose), row.parts) == (999, [])
    assert row.extend([0.5]) == 128
    assert (row.loose, len(row.parts[0]), len(row)) == ([], 1000, 1000)
    for item in (True, "a", None):
        row = Row()
        assert row.extend([1]) == 0
        assert row.extend([item]) == 0
        assert (row.items, row.loose) == ([1, item], [])
    row = Row([7, 8])
    assert row.extend([1]) == 0
    assert row.extend([EXACT + 1]) == 0
    assert row.extend([0.5]) == 0
    assert row.numbers() is None
    row = Row()
    assert row.extend([True]) == 128
    assert row.extend([True]) == 128


def one_by_one(data: bytes) -> Callable[[int], bytes]:
    """A function that reads so few bytes that no list can be seen as a whole."""
    file = io.BytesIO(data)
    return lambda _: file.read(1000)


def plainly(value: Any) -> Any:
    """Rows as the kind of their numbers, and their values."""
    if isinstance(value, Row):
        numbers = value.numbers()
        return None if numbers is None else numbers.dtype.kind, [plainly(item) for item in value.tolist()]
    return [plainly(item) for item in value] if isinstance(value, tuple) else value


def spell(code: bytes, form: str, number: float) -> bytes:
    """An instruction with its number."""
    return code + struct.pack(form, number)


SHORT, MEDIUM = spell(b"K", "<B", 200), spell(b"M", "<H", 0xABCD)
LONG, REAL = spell(b"J", "<i", -(2**31)), spell(b"G", ">d", -1e300)
PAIR = b"K\x01K\x02"

# Lists as pickles spell them, hundreds of which follow one another.
LISTS: dict[str, bytes] = {
    "of one size each": b"".join(b"](" + number * 3 + b"e" for number in (SHORT, MEDIUM, LONG, REAL)),
    "of all sizes of whole numbers": b"](" + (SHORT + MEDIUM + LONG) * 5 + b"e",
    "of floats between": b"](" + REAL * 2 + b"e](" + PAIR + b"e",
    "of both kinds": b"](" + PAIR + REAL + b"e",
    "in memos": b"]q\x01(" + PAIR + b"e]r\0\1\0\0(" + PAIR + b"e]\x94(" + PAIR + b"eh\x01j\0\1\0\0",
    "of one number": b"]" + SHORT + b"a]" + MEDIUM + b"a]" + LONG + b"a]" + REAL + b"a",
    "in two batches": b"](" + PAIR + b"e(" + PAIR + b"e" + SHORT + b"a",
    "after one by one": b"]" + SHORT + b"a" + SHORT + b"a(" + PAIR + b"e",
    "empty": b"](e](" + PAIR + b"e",
    "with others in them": b"](" + PAIR + b"Ne](" + PAIR + b"e]Na",
    "with lists in them": b"](](" + PAIR + b"e](" + PAIR + b"ee",
    "and other things": b"](" + PAIR + b"eN](" + PAIR + b"e\x88}](" + PAIR + b"e",
    "that look like others": b"](K]Ma(J(]eeG]((eaqKMe",
    "whose numbers stay": b"](" + PAIR + b"e" + PAIR,
}


def outcome(read: Any, most: int = 10**6, allowed: int = 10**9) -> Any:
    """What comes of a program: what it makes and remembers, and what that took; or what is wrong with it."""
    machine = ObjectMachine(read, most, allowed)
    try:
        result = plainly(machine.run())
    except BadPickle as error:
        return str(error), {key: plainly(value) for key, value in machine._memo.items()}
    memo = {key: plainly(value) for key, value in machine._memo.items()}
    return result, memo, machine._left


@pytest.mark.parametrize("name", LISTS)
def test_lists_read_together_are_those_read_one_by_one(name: str) -> None:
    """The same values, memos and number of instructions, wherever a window ends."""
    begin = b"]q\xfe(" + PAIR + b"e"  # what makes it worth to look
    program = b"(N" + (begin + LISTS[name]) * 100 + begin + LISTS[name] * 300 + b"t."

    assert outcome(program) == outcome(one_by_one(program))


def test_lists_read_together_are_counted_and_paid_for() -> None:
    """To the instruction and to the byte."""
    count = 200
    # A list, its memo, a mark, what appends; the array and its values. The numbers themselves are none.
    for lists, steps, cost in [
        (b"]\x94(" + PAIR + b"e", 6, 72 + 144 + 72 + 16 + 128 + 2 * 4),
        (b"]q\x01(" + LONG * 3 + b"e", 7, 72 + 144 + 72 + 16 + 128 + 3 * 4),
        (b"]r\0\1\0\0(" + REAL * 3 + b"e", 7, 72 + 144 + 72 + 16 + 128 + 3 * 8),
        (b"]\x94(" + PAIR + b"e" + SHORT + b"a", 8, 72 + 144 + 72 + 16 + 128 + 2 * 4 + 16 + 128 + 4),
    ]:
        program = b"(" + lists * count + b"t."
        together = ObjectMachine(program, 10**6, 10**9)
        together.run()
        paid = 10**9 + BYTES_BESIDE - together.allowance.left
        assert paid == cost * count + 72 + 72 + 16
        assert outcome(program, most=steps * count + 3)[2] == 0
        assert outcome(program, most=steps * count + 2)[0].startswith("it has more than")
        exact = ObjectMachine(program, 10**6, paid - BYTES_BESIDE)
        exact.run()
        assert exact.allowance.left == 0
        assert outcome(program, allowed=paid - 1 - BYTES_BESIDE)[0] == (
            f"what it holds takes more than the {paid - 1:,} bytes that are allowed for it"
        )


def test_what_a_packer_did_is_what_it_says() -> None:
    """How many bytes, instructions, and what they cost; a poor window is left to the machine."""
    lists = (b"](" + PAIR + b"e") * 1000
    stack: list[Any] = [Row()]
    memo: dict[int, Any] = {}
    packer = Packer()

    read = packer.run(lists[1:], 0, stack, memo, 10**6, 10**9)

    assert read > len(lists) - 2 * 1024
    made = read // 7 + 1
    assert len(stack) in (made, made + 1)
    assert stack[0].tolist() == stack[-2].tolist() == [1, 2]
    assert packer.run(b"N" + lists, 0, stack, memo, 10**6, 10**9) == 0
    assert (packer.steps, packer.cost) == (0, 0)
    assert Packer().run(lists[1:], 0, [Row()], memo, 3, 10**9) == 0
    assert Packer().run(lists[1:], 0, [Row()], memo, 4, 10**9) == 6
    assert Packer().run(lists[1:], 0, [], memo, 10**6, 10**9) == 0
    assert Packer().run(lists[1:], 0, [[]], memo, 10**6, 10**9) == 0
    assert Packer().run(lists[1:], 0, [Row(["a"])], memo, 10**6, 10**9) == 0
    loose = Row()
    loose.extend([1])
    assert Packer().run(lists[1:], 0, [loose], memo, 10**6, 10**9) == 0
