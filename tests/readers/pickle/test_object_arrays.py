"""Arrays of Python objects in a pickle: what NumPy writes of one, and nothing else."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets.errors import DecodeError, UnsafePickle
from tinytorch_datasets.readers.pickle import BYTES_BESIDE
from tinytorch_datasets.readers.pickle.objects import ObjectMachine, load_objects, load_rows, max_bytes
from tinytorch_datasets.readers.pickle.packed import Row

FILE = Path("some.npy")


def objects(*items: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """An array of these objects."""
    array = np.empty(len(items), object)
    for at, item in enumerate(items):
        array[at] = item
    return array if shape is None else array.reshape(shape)


def plainly(value: Any) -> Any:
    """Lists as Python has them."""
    if isinstance(value, Row):
        return [plainly(item) for item in value.tolist()]
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_an_array_of_objects_is_read() -> None:
    """Whatever the protocol, in its shape and order."""
    held = objects([1, 2], "a", 2.5, None, (3,), np.arange(2))
    for protocol in range(6):
        found = load_objects(pickle.dumps(held, protocol), FILE, size=1000, samples=6)
        assert found.dtype == object
        assert found.shape == (6,)
        assert [plainly(item) for item in found] == [[1, 2], "a", 2.5, None, (3,), [0, 1]]
        table = objects(*range(6), shape=(2, 3))
        for order in (table, np.asfortranarray(table)):
            found = load_objects(pickle.dumps(order, protocol), FILE, size=1000, samples=6)
            assert found.tolist() == [[0, 1, 2], [3, 4, 5]]
            assert (found.flags.c_contiguous, found.flags.f_contiguous) == (order is table, order is not table)
        alone = load_objects(pickle.dumps(objects(7, shape=()), protocol), FILE, size=1000, samples=1)
        assert (alone.shape, alone.tolist()) == ((), 7)


def test_rows_are_lists_of_any_pickle() -> None:
    """Also beside arrays, which are as they were."""
    held = {"a": [1, 2], "b": [[3], []], "c": np.arange(3, dtype=">i2"), "d": objects([4])}
    for protocol in range(6):
        found = load_rows(pickle.dumps(held, protocol), FILE, size=1000, samples=2)
        assert {key: plainly(value) for key, value in found.items() if key != "d"} == {
            "a": [1, 2],
            "b": [[3], []],
            "c": [0, 1, 2],
        }
        assert plainly(found["d"][0]) == [4]
    assert plainly(load_rows(b"(K\x01K\x02l.", FILE, size=100, samples=0)) == [1, 2]


SOUND = pickletools.optimize(pickle.dumps(objects(1, 2, 3), 2))
DTYPE = "NumPy writes the state of a dtype of objects otherwise"
ARRAY = "NumPy writes an array of objects otherwise"
STATE = b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t"


def swapped(old: bytes, new: bytes) -> bytes:
    """The sound pickle, with something else in it."""
    assert SOUND.count(old) == 1, old
    return SOUND.replace(old, new)


WRONG: list[tuple[bytes, str]] = [
    (swapped(STATE, b"N"), DTYPE),
    (swapped(STATE, b"(NNNNNNNt"), DTYPE),
    (swapped(STATE, b"(NNNNNNNNNt"), DTYPE),
    *[(swapped(STATE, b"(" + b"N" * at + b")" + b"N" * (7 - at) + b"t"), DTYPE) for at in (2, 3, 4)],
    (swapped(b"K\x03\x85", b"]"), ARRAY),
    (swapped(b"K\x03\x85", b"\x88\x85"), ARRAY),
    (swapped(b"K\x03\x85", b"(" + b"K\x01" * 32 + b"K\x03t"), ARRAY),
    (swapped(b"K\x03\x85", b"J\xff\xff\xff\xff\x85"), "an array of the shape (-1,) is stated, 3 objects are there"),
    (swapped(b"K\x03\x85", b"K\x02\x85"), "an array of the shape (2,) is stated, 3 objects are there"),
    (swapped(b"K\x03\x85", b"K\x03K\xff\x86"), "an array of the shape (3, 255) is stated, 3 objects are there"),
    (swapped(b"K\x03\x85", b")"), "an array of the shape () is stated, 3 objects are there"),
    (swapped(b"\x89]", b"N]"), ARRAY),
    (swapped(b"\x89]", b"G\0\0\0\0\0\0\0\0]"), ARRAY),
    (swapped(b"\x89](K\x01K\x02K\x03e", b"\x89N"), ARRAY),
    (swapped(b"\x89](K\x01K\x02K\x03e", b"\x89C\x03abc"), ARRAY),
    (b"N(K\x01K\x03\x85cnumpy\ndtype\nX\x02\0\0\0O8K\0K\x01\x87R\x89]tb.", ARRAY),
    (b"K\x05(K\x01K\0\x85cnumpy\ndtype\nX\x02\0\0\0O8K\0K\x01\x87R\x89]tb.", ARRAY),
    (b"Nb.", "at byte 1, instruction b'b' does not fit what came before"),
    (b"b.", "at byte 0, instruction b'b' does not fit what came before"),
    (b"N(NNNNNtb.", "at byte 8, instruction b'b' does not fit what came before"),
    (b"N](K\x01e0Na.", "at byte 8, instruction b'a' does not fit what came before"),
    (b"}(K\x01e.", "at byte 4, instruction b'e' does not fit what came before"),
]


def test_what_numpy_does_not_write_is_refused() -> None:
    """Of the state of a dtype, and of an array."""
    assert load_objects(SOUND, FILE, size=1000, samples=3).tolist() == [1, 2, 3]
    wide = load_objects(swapped(b"K\x03\x85", b"(" + b"K\x01" * 31 + b"K\x03t"), FILE, size=1000, samples=3)
    assert wide.shape == (*[1] * 31, 3)
    assert load_objects(swapped(b"\x89]", b"K\x01]"), FILE, size=1000, samples=3).tolist() == [1, 2, 3]
    for data, reason in WRONG:
        with pytest.raises(DecodeError) as caught:
            load_objects(data, FILE, size=1000, samples=3)
        assert (caught.value.reason, caught.value.path) == (f"the pickle is not sound: {reason}", FILE), data


def test_a_dtype_of_objects_is_spelled_in_six_ways() -> None:
    """By writers of all ages; any other dtype is what it is elsewhere."""
    for code in (b"X\x01\0\0\0O", b"X\x02\0\0\0O4", b"X\x02\0\0\0O8", b"U\x01O", b"U\x02O4", b"U\x02O8"):
        data = swapped(b"X\x02\x00\x00\x00O8", code)
        assert load_objects(data, FILE, size=1000, samples=3).tolist() == [1, 2, 3]
    for code, name in [(b"X\x03\0\0\0O16", "numpy.dtype 'O16'"), (b"X\x02\0\0\0V8", "numpy.dtype 'V8'")]:
        with pytest.raises(UnsafePickle) as caught:
            load_objects(swapped(b"X\x02\x00\x00\x00O8", code), FILE, size=1000, samples=3)
        assert caught.value.names == (name,)
    with pytest.raises(DecodeError, match=r"NumPy writes the arguments of numpy\.dtype otherwise$"):
        load_objects(b"cnumpy\ndtype\n)R.", FILE, size=1000, samples=3)


def test_what_is_no_array_of_objects_is_refused() -> None:
    """By what it is; the member is named."""
    for data, what in [
        (pickle.dumps(np.arange(3)), "an array of int64"),
        (pickle.dumps(np.array(["ab"])), "an array of str64"),
        (b"].", "a list"),
        (b"N.", "None"),
    ]:
        for member, inside in (("", ""), ("m", "member 'm': ")):
            with pytest.raises(DecodeError) as caught:
                load_objects(data, FILE, size=1000, samples=3, member=member)
            assert caught.value.reason == f"{inside}its pickle is {what}, not one of objects"
            assert caught.value.path == FILE
    for load in (load_objects, load_rows):
        with pytest.raises(DecodeError, match=r"^some\.npy: the pickle is not sound: at byte 1, it is cut short$"):
            load(b"N", FILE, size=1000, samples=3)
        with pytest.raises(DecodeError) as caught:
            load(b"N", FILE, size=1000, samples=3, member="m")
        assert caught.value.reason == "member 'm': the pickle is not sound: at byte 1, it is cut short"
        assert caught.value.path == FILE


def test_limits_grow_with_the_file_and_its_samples(tmp_path: Path) -> None:
    """How long such a pickle may be, what it may make, and how many instructions it may have."""
    file = tmp_path / "x.npy"
    file.write_bytes(b"abc")
    assert max_bytes(file, 5) == 32 * 3 + 65_536 + 16 * 5

    assert load_rows(b"N0N.", FILE, size=4, samples=0) is None
    with pytest.raises(DecodeError, match=r"it has more than 3 instructions, which is more than its"):
        load_rows(b"N0N.", FILE, size=3, samples=0)
    long = b"X" + (7_000_003).to_bytes(4, "little") + "\u20ac".encode() + b"a" * 7_000_000 + b"."
    with pytest.raises(DecodeError) as caught:
        load_rows(long, FILE, size=10, samples=3)
    assert f"more than the {BYTES_BESIDE + 16 * 10 + 1024 * 3:,} bytes" in caught.value.reason


def test_objects_are_paid_for() -> None:
    """The array's own, each list's array, and a list of numbers that becomes one of objects."""
    for program, cost in [
        (b"](K\x01K\x02e.", 72 + 72 + 16 + 16 + 16 + 128 + 16),
        (b"]K\x01aK\x02a.", 72 + 4 * 16 + 16),
        (b"](K\x01K\x02eNa.", 72 + 72 + 16 + 16 + 16 + 128 + 16 + 16 + 48 * 2 + 16),
        (b"(K\x01K\x02l.", 72 + 16 + 16 + 72 + 16),
    ]:
        machine = ObjectMachine(program, 100, cost - BYTES_BESIDE)
        machine.run()
        assert machine.allowance.left == 0, program
    few, more = (ObjectMachine(pickle.dumps(objects(*range(n)), 2), 1000, 0) for n in (2, 3))
    few.run()
    more.run()
    assert few.allowance.left - more.allowance.left == 56 + 16
