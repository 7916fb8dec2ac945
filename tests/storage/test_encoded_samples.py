"""Encoded arrays of a kind that any test can write: what they are made of, how parts are named, what a pickle has."""

from __future__ import annotations

import functools
import os
import pickle
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.forked import in_a_fork
from tinytorch_datasets import EncodedArray, RaggedArray
from tinytorch_datasets.errors import DecodeError, StorageError
from tinytorch_datasets.plan import RaggedBlock
from tinytorch_datasets.storage.encoded_array import (
    EncodedBlock,
    Recipe,
    _writable,
    decoded_ahead,
    in_memory,
    plain_values,
)
from tinytorch_datasets.storage.memmap import Part, Remapped, open_map

THREADS = list[str]()  # the names of those that decode


def decoder(facts: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
    """Rows of two numbers, each a byte; a byte of 255 is damage, which has a reason, and one of 254 has none."""

    def decode(data: bytes) -> np.ndarray:
        THREADS.append(threading.current_thread().name)
        if b"\xff" in data:
            raise DecodeError(Path("d"), "it is damaged")
        if b"\xfe" in data:
            msg = "odd"
            raise ValueError(msg)
        values = np.frombuffer(data, np.uint8).astype(facts["dtype"])
        return values if facts["flat"] else values.reshape(-1, 2)

    return decode


RECIPE = Recipe(decoder, {"dtype": "uint8", "flat": True})
ROWS = Recipe(decoder, {"dtype": "uint16", "flat": False})
SAME = [bytes([n, n + 1, n + 2]) for n in range(40)]
OTHER = [bytes(range(2 * n)) for n in (1, 3, 0, 2)]
SHAPES = np.array([[len(data) // 2, 2] for data in OTHER])


def same(data: list[bytes] = SAME) -> EncodedArray:
    """Samples of one shape."""
    return EncodedArray.of(data, None, dtype="uint8", sample_shape=[3], recipe=RECIPE)


def other() -> EncodedArray:
    """Samples of several."""
    return EncodedArray.of(OTHER, SHAPES, dtype="uint16", sample_shape=(None, 2), recipe=ROWS)


def mapped(folder: Path, data: list[bytes] = SAME) -> EncodedArray:
    """The same in files."""
    maps = []
    for name, values in [
        ("data", np.frombuffer(b"".join(data), np.uint8)),
        ("offsets", np.cumsum([0, *map(len, data)])),
    ]:
        np.save(folder / f"{name}.npy", values)
        maps.append(open_map(folder, Part(f"{name}.npy", values.dtype.str, values.shape, 128)))
    return EncodedArray.mapped(maps, dtype=np.uint8, sample_shape=(3,), recipe=RECIPE)


def lists(samples: Any) -> list[Any]:
    """Samples as lists."""
    return [sample.tolist() for sample in samples]


class TestFacts:
    """They are known without decoding."""

    def test_of_one_shape_and_of_several(self) -> None:
        """Sizes of what is decoded, and of what is kept."""
        array: Any = same()
        ragged: Any = other()
        assert (array.shape, array.ndim, array.dtype, len(array)) == ((40, 3), 2, np.uint8, 40)
        assert (array.nbytes, array.encoded_nbytes) == (120, 120)
        assert (ragged.shape, ragged.ndim, ragged.dtype, len(ragged)) == ((4, None, 2), 3, np.uint16, 4)
        assert (ragged.nbytes, ragged.encoded_nbytes) == (24, 12)
        assert (ragged[1:3].nbytes, ragged[1:3].encoded_nbytes) == (12, 6)
        assert [*array.encoded] == SAME
        assert [*ragged[::-1].encoded] == OTHER[::-1]
        assert array.sample_shape == (3,)
        assert array.recipe is RECIPE
        assert array[2:].recipe is RECIPE
        assert not array._data.flags.writeable
        unknown = EncodedArray.of([], None, dtype="u1", sample_shape=(None,), recipe=RECIPE)
        assert unknown.nbytes == 0
        data, place = array.origin
        assert data is array._data
        assert place == np.arange(0, 120, 3).tobytes()
        assert array[3:5].origin[1] == np.array([9, 12]).tobytes()
        assert repr(array) == "<EncodedArray: 40 samples of uint8[3], 120 B encoded>"
        assert repr(same(SAME * 30)) == "<EncodedArray: 1,200 samples of uint8[3], 3.6 kB encoded>"
        assert repr(ragged) == "<EncodedArray: 4 samples of uint16[None, 2], 12 B encoded>"
        page = array._repr_html_()
        assert "EncodedArray: 40 samples of uint8[3], 120 B encoded" in page
        assert "&lt;" not in page
        assert page.endswith(">and 30 more</div></div>")  # and no word of sizes below it
        assert not any(word in page for word in ("sizes", "None"))

    def test_of_a_block(self) -> None:
        """A part of it has the bytes of its own samples."""
        block = EncodedBlock(np.arange(6).reshape(3, 2), [b"a", b"b", b"c"])
        part = block[1:]
        assert (len(block), len(part), part.encoded) == (3, 2, [b"b", b"c"])
        assert part.values.tolist() == [[2, 3], [4, 5]]  # type: ignore[union-attr]
        assert plain_values(part) is part.values
        assert plain_values(block.values) is block.values
        ragged = EncodedBlock(RaggedBlock(np.arange(3), np.array([[1], [2]])), [b"a", b"b"])[1:]
        assert ragged.values.shapes.tolist() == [[2]]  # type: ignore[union-attr]


class TestSamples:
    """By any index, by a loop, and all at once."""

    def test_each_index(self) -> None:
        """As of a list of them; a sample is fresh, and writable."""
        rows = [np.frombuffer(one, np.uint8).reshape(-1, 2).tolist() for one in OTHER]
        cases: list[tuple[EncodedArray, list[Any]]] = [(same(), [list(one) for one in SAME]), (other(), rows)]
        for array, data in cases:
            for number in range(-len(data), len(data)):
                sample = array[number]
                assert sample.tolist() == data[number]
                assert sample.dtype == array.dtype
                assert sample.flags.writeable
            for number in (len(data), -len(data) - 1):
                with pytest.raises(IndexError) as caught:
                    array[number]
                assert str(caught.value) == f"sample {number} of an encoded array of {len(data)}"
            odd = np.arange(len(data)) % 2 == 1
            indexes: list[Any] = [slice(1, 3), slice(None, None, -1), [2, 0, -1], np.zeros(0, int), odd]
            for index in indexes:
                part: Any = array[index]
                assert isinstance(part, EncodedArray)
                numbers = np.arange(len(data))[index]
                expected = [data[number] for number in numbers]
                assert lists(part) == expected
                assert part.decoded().tolist() == expected
                assert part.sample_shape == array.sample_shape
                assert part[1:][::2].shape[0] == len(expected[1:][::2])
                assert lists(part[1:][::2]) == expected[1:][::2]
            assert lists(array) == data
            assert all(sample.flags.writeable for sample in array)

    def test_all_at_once(self) -> None:
        """One array, or a ragged one; of no samples, too."""
        array, ragged = same().decoded(), other().decoded()
        assert isinstance(array, np.ndarray)
        assert (array.dtype, array.tolist()) == (np.dtype("u1"), [list(one) for one in SAME])
        assert isinstance(ragged, RaggedArray)
        assert (ragged.dtype, ragged.sample_shape, len(ragged)) == (np.dtype("u2"), (None, 2), 4)
        none, nothing = same()[:0].decoded(), other()[:0].decoded()
        assert isinstance(none, np.ndarray)
        assert (none.shape, none.dtype) == ((0, 3), np.dtype("u1"))
        assert isinstance(nothing, RaggedArray)
        assert (nothing.shape, nothing.dtype) == ((0, None, 2), np.dtype("u2"))
        assert in_memory(array) is array
        assert np.array_equal(np.asarray(same()), array)
        assert np.asarray(same(), np.float32).dtype == np.float32
        assert np.asarray(same()).dtype == np.uint8
        assert same().__array__(np.float32).dtype == np.float32
        lone: Any = in_memory(same()[:2])
        assert lone.tolist() == [[0, 1, 2], [1, 2, 3]]
        fresh = np.arange(3)
        assert _writable(fresh) is fresh
        with pytest.raises(TypeError) as caught:
            np.asarray(other())
        words = "the samples of this array differ in shape, so they are no one array: use decoded(), or list()"
        assert str(caught.value) == words
        with pytest.raises(ValueError, match="copy") as refused:
            same().__array__(copy=False)
        assert str(refused.value) == "encoded samples are decoded into a fresh array, and copy=False asks for none"
        assert same().__array__(copy=True).shape == (40, 3)

    def test_threads_decode_and_an_index_does_not(self) -> None:
        """They have a name, by which whoever looks knows them; in a limited process there are none."""
        THREADS.clear()
        list(same())
        same().decoded()
        assert all(name.startswith("tinytorch-datasets-decode-") for name in THREADS)
        assert len(THREADS) == 80
        THREADS.clear()
        _ = same()[1]
        assert [threading.main_thread().name] == THREADS

        def alone() -> Any:
            import multiprocessing

            multiprocessing.parent_process = os.getppid  # type: ignore[assignment]
            THREADS.clear()
            return [*map(np.ndarray.tolist, same()[:2])], same()[:1].decoded().tolist(), set(THREADS)

        assert in_a_fork(alone) == ([[0, 1, 2], [1, 2, 3]], [[0, 1, 2]], {threading.main_thread().name})

    def test_rows_of_several_fields(self) -> None:
        """Each encoded array of a row is decoded, what else is in it stays; rows come in order."""
        plain = np.arange(2)
        rows: list[list[Any]] = [[same()[:2], plain, other()[:3]], [same()[5:6], plain, other()[3:]]]
        for ahead in (1, 2, 32):
            first, second = decoded_ahead(iter(rows), ahead)
            assert first[0].tolist() == [[0, 1, 2], [1, 2, 3]]
            assert all(row[1] is plain for row in (first, second))
            assert lists(first[2]) == lists(other()[:3])
            assert type(first[2]) is list
            assert second[0].tolist() == [[5, 6, 7]]
            assert lists(second[2]) == lists(other()[3:])
        assert list(decoded_ahead([], 3)) == []

    def test_converted(self) -> None:
        """By a function of arrays of samples; its dtype and shape are known at once, and parts keep it."""

        def scaled(values: np.ndarray) -> np.ndarray:
            return values.astype(np.float32)[..., np.newaxis] / 2

        array: Any = same().converted(scaled)
        ragged: Any = other().converted(scaled)
        assert (array.shape, array.dtype, ragged.shape, ragged.dtype) == (
            (40, 3, 1), np.float32, (4, None, 2, 1), np.float32,
        )  # fmt: skip
        assert same().converted(np.negative).dtype == np.uint8
        assert array[3:][0].tolist() == [[1.5], [2.0], [2.5]]
        assert array.decoded().shape == (40, 3, 1)
        assert ragged[0].tolist() == [[[0.0], [0.5]]]
        assert [sample.shape for sample in ragged] == [(1, 2, 1), (3, 2, 1), (0, 2, 1), (2, 2, 1)]
        assert same().converted(functools.partial(np.sum, axis=1))[1] == 6
        whole = pickle.loads(pickle.dumps(same().converted(functools.partial(np.divide, 2))))
        assert (whole.dtype, whole[3].dtype) == (np.float64, np.float64)

    def test_joined(self) -> None:
        """In memory, and still encoded; with the shapes of both."""
        array = same()[:2].joined(same()[38:])
        assert lists(array) == lists([*same()[:2], *same()[38:]])
        assert [*array.encoded] == [*SAME[:2], *SAME[38:]]
        ragged: Any = other()[:1].joined(other()[3:])
        assert lists(ragged) == lists([other()[0], other()[3]])
        assert (ragged.shape, ragged.dtype, ragged.recipe) == ((2, None, 2), np.uint16, ROWS)


class TestDamage:
    """Which sample, of what, where, and why."""

    def test_in_memory_and_in_a_file(self, tmp_path: Path) -> None:
        """The number is that in the whole field, whatever part it is met in; the bytes are those of the file."""
        bad = [*SAME[:7], b"\xff12", *SAME[8:], *[b"123"] * 1300, b"\xfe1234"]
        hint = 'Get the data set again, with verify="always".'
        for array, file in [(same(bad), "memory"), (mapped(tmp_path, bad), "data.npy")]:
            for part in (array, array[5:], array[::-1], array[[7, 0]], pickle.loads(pickle.dumps(array))):
                at = [*part.encoded].index(b"\xff12")
                with pytest.raises(StorageError) as caught:
                    part[at]
                error: Any = caught.value
                start = f"sample 7 of a field that is cached encoded, bytes 21 to 24 of {file}, cannot be decoded"
                assert (error.what, error.hint) == (f"{start} any more: it is damaged", hint)
                assert error.path == (Path() if file == "memory" else tmp_path / file)
            with pytest.raises(StorageError) as caught:
                array[-1]
            assert caught.value.what == (
                f"sample 1,340 of a field that is cached encoded, bytes 4,020 to 4,025 of {file}, "
                "cannot be decoded any more: odd"
            )
            with pytest.raises(StorageError, match=r"^sample 7 of"):
                list(array)
            with pytest.raises(StorageError, match=r"^sample 7 of"):
                array.decoded()
        lone = pickle.loads(pickle.dumps(same(bad)[5:9]))
        with pytest.raises(StorageError, match=r"\Aa sample that is cached encoded, bytes 6 to 9 of memory, cannot"):
            lone[2]

    def test_another_shape_than_was_kept(self) -> None:
        """Of one shape for all, and of each."""
        array = same([b"123", b"12"])
        with pytest.raises(StorageError) as caught:
            array[1]
        assert caught.value.what.endswith(": its shape is [2], and was [3]")
        ragged = EncodedArray.of(OTHER, SHAPES[::-1], dtype="u2", sample_shape=(None, 2), recipe=ROWS)
        with pytest.raises(StorageError) as caught:
            ragged[0]
        assert caught.value.what.endswith(": its shape is [1, 2], and was [2, 2]")


class TestPickles:
    """A map by its file, what is in memory by its own bytes."""

    def test_of_a_map(self, tmp_path: Path) -> None:
        """Of a part, the places are sent; the whole field is known by its file, for errors."""
        array = mapped(tmp_path)
        for part in (array, array[3:9], array[::2]):
            state = part.__getstate__()
            assert type(state[0]) is Remapped
            assert type(state[4]) is Remapped
            again = pickle.loads(pickle.dumps(part))
            assert lists(again) == lists(part)
            assert (again.dtype, again.sample_shape, again.recipe) == (np.uint8, (3,), RECIPE)
            assert isinstance(again._data, np.memmap)
            assert np.array_equal(again._whole, array._starts)

    def test_of_what_is_in_memory(self) -> None:
        """Of a part its own bytes, and no number of a sample in the whole."""
        array = same()
        state = array.__getstate__()
        assert state[0] is array._data
        assert np.array_equal(state[4], array._starts)
        part = array[3:5]
        state = part.__getstate__()
        assert state[0].tobytes() == SAME[3] + SAME[4]
        assert state[4] is None
        again = pickle.loads(pickle.dumps(part))
        assert lists(again) == lists(part)
        assert again._whole is None
        assert array[::-1].__getstate__()[4] is None
        data = np.frombuffer(b"..abcdef", np.uint8)
        kind: dict[str, Any] = {"dtype": "u1", "sample_shape": (3,), "recipe": RECIPE}
        state = EncodedArray(data, np.array([2, 5]), np.array([5, 8]), None, **kind).__getstate__()
        assert (state[0].tobytes(), state[4]) == (b"abcdef", None)
        ragged = pickle.loads(pickle.dumps(other()[1:]))
        assert lists(ragged) == lists(other()[1:])
        assert (ragged.shape, ragged.nbytes) == ((3, None, 2), 20)
        for again in (pickle.loads(pickle.dumps(array)), ragged):
            for kept in (again._data, again._starts, again._ends):
                assert not kept.flags.writeable
