"""Arrays of Python objects: samples of different lengths, texts and numbers; what else they hold is refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.format_writers import CLASSES, column, memory_below, npy, npy_with_header, npz, put, split
from tests.helpers.yardstick import soon
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError, UnsafePickle
from tinytorch_datasets.plan import RaggedBlock
from tinytorch_datasets.readers.pickle import globals_of
from tinytorch_datasets.readers.pickle.numpy_globals import UnsafeGlobal
from tinytorch_datasets.readers.pickle.objects import ObjectMachine
from tinytorch_datasets.readers.pickle.opcodes import BadPickle
from tinytorch_datasets.readers.pickle.packed import Packer, Row

REAL = Path(os.environ.get("TINYTORCH_DATASETS_REALDATA", "nowhere")) / "formats" / "arrays" / "python2"
MEBIBYTES = 48


def objects(*items: Any) -> np.ndarray:
    """An array of these objects, whatever they are."""
    array = np.empty(len(items), object)
    for at, item in enumerate(items):
        array[at] = item
    return array


def pickled(items: Any, protocol: int) -> bytes:
    """NPY of an array of objects, its pickle in a protocol that NumPy would not choose today."""
    array = objects(*items)
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {array.shape}, }}"
    return npy_with_header(header, pickle.dumps(array, protocol))


def blocks(file: Path, form: str = "npy", **declared: Any) -> list[Any]:
    """The values of each block of the one column in a file."""
    wanted = {"dtype": "int64", "shape": (None,), **declared}
    return [block.values for block in formats.of(form).decode([split(column(file, **wanted))])]


def samples(file: Path, form: str = "npy", **declared: Any) -> list[Any]:
    """Each sample of a ragged column as an array."""
    found: list[Any] = []
    for block in blocks(file, form, **declared):
        assert isinstance(block, RaggedBlock)
        ends = np.cumsum(np.prod(block.shapes, axis=1)).tolist()
        starts = [0, *ends[:-1]]
        assert len(block.values) == (ends or [0])[-1]
        found += [block.values[s:e].reshape(shape) for s, e, shape in zip(starts, ends, block.shapes, strict=True)]
    return found


def same(found: list[Any], expected: list[Any], dtype: str = "int64") -> None:
    """The same samples, each in the dtype."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, np.array(other, dtype), strict=True)


LISTS: dict[str, list[list[Any]]] = {
    "small numbers": [[1, 2, 3], [4], [], [5, 6]],
    "of each size": [[0, 255, 256, 65535, 65536, 2**31 - 1], [-1, -(2**31), 2**31, 2**63 - 1, -(2**63)]],
    "long ones": [list(range(2500)), list(range(70_000, 71_001)), [1]],
    "one number each": [[n] for n in range(3000)],
    "bytes that look like instructions": [[0x4B, 0x4D4B, 0x4A4D, 0x28, 0x65, 0x5D, 0x71] * 200, [0x4B65] * 999],
}


class TestLists:
    """Lists of numbers of different lengths are samples of a ragged field."""

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("kind", LISTS)
    def test_whole_numbers_of_every_protocol(self, kind: str, protocol: int, tmp_path: Path) -> None:
        """As they were, whatever instruction spells them."""
        file = put(tmp_path / "data", pickled(LISTS[kind], protocol))

        same(samples(file, samples=len(LISTS[kind])), LISTS[kind])

    @pytest.mark.parametrize("protocol", range(6))
    def test_fractions(self, protocol: int, tmp_path: Path) -> None:
        """Also beside whole numbers, and those alone."""
        items = [[0.1, -1e300, float("inf")], [1, 2.5], [3, 4], [], [n / 7 for n in range(1500)]]
        file = put(tmp_path / "data", pickled(items, protocol))

        same(samples(file, samples=5, dtype="float64"), items, "float64")

    @pytest.mark.slow
    def test_random_lists_in_every_size_of_number(self, tmp_path: Path) -> None:
        """Numbers of one, two, four and eight bytes, mixed: every boundary of what is read at once is crossed."""
        random = np.random.default_rng(18)
        lengths = random.integers(0, 3000, 300)
        items = [(2 ** (random.random(n) * 40)).astype(np.int64).tolist() for n in lengths]
        file = put(tmp_path / "data", npz(x=objects(*items)))

        same(samples(file, "npz", samples=300, key="x"), items)

    def test_bools(self, tmp_path: Path) -> None:
        """Where bools are declared."""
        items = [[True, False], [], [False]]

        same(samples(put(tmp_path / "data", npy(objects(*items))), dtype="bool"), items, "bool")

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64", "float16", "float32", "float64"])
    def test_numbers_come_in_the_declared_dtype(self, dtype: str, tmp_path: Path) -> None:
        """If it has each of them."""
        items = [[1, 2, 255], [0], []]

        same(samples(put(tmp_path / "data", npy(objects(*items))), dtype=dtype), items, dtype)

    @pytest.mark.parametrize(
        ("items", "dtype", "what"),
        [
            ([[1], [2, 256]], "uint8", "sample 1 has 256, which train.images, declared as uint8, cannot hold"),
            ([[1], [-1]], "uint16", "sample 1 has -1, which train.images, declared as uint16, cannot hold"),
            ([[1], [], [5, 2**24 + 1]], "float32", "sample 2 has 16777217, which train.images, declared as float32"),
            ([[2**53 + 1]], "float64", "sample 0 has 9007199254740993, which train.images, declared as float64"),
            ([[1.0], [1e39]], "float32", "sample 1 has 1e+39, which train.images, declared as float32, cannot hold"),
            ([[1], [1.5]], "int64", "holds numbers of the type float64, train.images is declared as int64"),
            ([[True], [False]], "int64", "holds numbers of the type bool, train.images is declared as int64"),
            ([[1], [0]], "bool", "holds numbers of the type int64, train.images is declared as bool"),
        ],
    )
    def test_a_number_that_the_dtype_cannot_hold(self, items: Any, dtype: str, what: str, tmp_path: Path) -> None:
        """Is refused at its sample, and never rounded or wrapped."""
        file = put(tmp_path / "data", npy(objects(*items)))

        with pytest.raises(ContentError) as caught:
            blocks(file, dtype=dtype)

        assert what in caught.value.reason
        assert (caught.value.aspect, caught.value.expected) == ("dtype", dtype)

    def test_pairs_and_lists_of_lists(self, tmp_path: Path) -> None:
        """With as many axes as are declared."""
        items = [[[1, 2], [3, 4], [5, 6]], [[7, 8]], []]
        file = put(tmp_path / "data", npy(objects(*items)))

        found = samples(file, shape=(None, 2))

        assert [one.tolist() for one in found] == items
        assert [one.shape for one in found] == [(3, 2), (1, 2), (0, 2)]

    def test_a_list_that_two_samples_share(self, tmp_path: Path) -> None:
        """A pickle has it once, and both have its numbers."""
        shared = [1, 2, 300]

        same(samples(put(tmp_path / "data", npy(objects(shared, [4], shared)))), [shared, [4], shared])

    def test_lists_of_one_length_are_saved_as_a_table(self, tmp_path: Path) -> None:
        """NumPy makes of them an array of two axes, of objects or of numbers."""
        items = [[1, 2], [3, 4], [5, 6]]

        same(samples(put(tmp_path / "objects", npy(np.array(items, object)))), items)
        same(samples(put(tmp_path / "numbers", npy(np.array(items)))), items)
        same(samples(put(tmp_path / "fortran", npy(np.asfortranarray(items)))), items)

    def test_many_come_in_blocks(self, tmp_path: Path) -> None:
        """Of a bounded number of samples, and of numbers."""
        file = put(tmp_path / "data", npy(objects(*([n] * 100 for n in range(5000)))))

        found = blocks(file, samples=5000)

        assert [len(block) for block in found] == [1311, 1311, 1311, 1067]
        assert np.concatenate([block.values for block in found]).tolist() == [
            n for n in range(5000) for _ in range(100)
        ]


class TestArrays:
    """Arrays of numbers in an array of objects."""

    @pytest.mark.parametrize("dtype", ["u1", "<i4", ">i4", "f4", ">f8", "?"])
    def test_recordings(self, dtype: str, tmp_path: Path) -> None:
        """In either byte order, as their dtype is."""
        items = [np.array(values, dtype) for values in ([0, 1, 1], [], [1])]
        name = np.dtype(dtype).newbyteorder("=").name

        same(samples(put(tmp_path / "data", npy(objects(*items))), dtype=name), items, name)

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_photographs(self, order: str, tmp_path: Path) -> None:
        """Two axes that differ, and one that does not; in C order, whichever they had."""
        random = np.random.default_rng(0)
        shapes = [(4, 5, 3), (2, 7, 3), (1, 1, 3)]
        items = [np.asarray(random.integers(0, 255, shape, np.uint8), order=order) for shape in shapes]  # type: ignore[call-overload]

        found = samples(
            put(tmp_path / "data", npz(images=objects(*items))), "npz", dtype="uint8", shape=(None, None, 3)
        )

        same(found, items, "uint8")

    def test_an_axis_that_is_declared(self, tmp_path: Path) -> None:
        """Is the same for all samples."""
        file = put(tmp_path / "data", npy(objects(np.zeros((2, 13)), np.zeros((3, 13)), np.zeros((3, 12)))))

        with pytest.raises(ContentError) as caught:
            samples(file, dtype="float64", shape=(None, 13))

        assert caught.value.reason == ("the array: sample 2 has the shape [3, 12], train.images declares [null, 13]")
        assert (caught.value.aspect, caught.value.expected, caught.value.actual) == ("shape", [None, 13], [3, 12])

    def test_samples_of_one_shape_fill_a_field_of_that_shape(self, tmp_path: Path) -> None:
        """Also as lists: an array of objects may hold what would have fitted in a plain one."""
        file = put(tmp_path / "data", npy(objects([1, 2], np.array([3, 4]), [5, 6])))
        (values,) = blocks(file, shape=(2,))

        np.testing.assert_array_equal(values, np.array([[1, 2], [3, 4], [5, 6]]), strict=True)


class TestTextsAndLabels:
    """Objects that are texts, or single numbers."""

    @pytest.mark.parametrize("protocol", range(6))
    def test_texts(self, protocol: int, tmp_path: Path) -> None:
        """Short, long, empty, and not in ASCII."""
        texts = ["ant", "", "caf\u00e9 \U0001f600", "x" * 100_000, "\u00e9" * 70_000, "\u20ac" * 70_000]
        file = put(tmp_path / "data", pickled(texts, protocol))

        assert blocks(file, samples=6, dtype="str", shape=()) == [texts]

    def test_names_of_classes(self, tmp_path: Path) -> None:
        """As pandas saves them."""
        file = put(tmp_path / "data", npz(labels=objects("cat", "ant", "cat")))

        assert blocks(file, "npz", key="labels", shape=(), classes=CLASSES) == [["cat", "ant", "cat"]]

    @pytest.mark.parametrize("items", [[1, 0, 2], [np.int64(1), np.int64(0), np.int64(2)], [[1], [0], [2]]], ids=str)
    def test_numbers(self, items: Any, tmp_path: Path) -> None:
        """Each of them an object, or in a list of its own."""
        (values,) = blocks(put(tmp_path / "data", npy(np.array(items, object))), shape=(), classes=CLASSES)

        np.testing.assert_array_equal(values.reshape(-1), [1, 0, 2])

    def test_a_text_among_numbers(self, tmp_path: Path) -> None:
        """Is refused at its place, and so is a number among texts."""
        file = put(tmp_path / "data", npy(objects([1], "two", [3])))

        with pytest.raises(ContentError, match=r"^.*: the array: sample 1 is a text, .* is declared as numbers$"):
            blocks(file)
        with pytest.raises(ContentError, match=r"^.*: the array: sample 0 is a list, .* is declared as text$"):
            blocks(file, dtype="str", shape=())


@pytest.mark.parametrize(
    ("held", "dtype", "shape"),
    [
        (objects([1], [2, 3], []), "int64", (3, None)),
        (objects([1], [2, 3], []).reshape(3, 1), "int64", (3, None)),
        (objects([1, 2], [3, 4]), "int64", (2, 2)),
        (objects([1], [2.5, 3]), "float64", (2, None)),
        (objects(np.zeros((4, 5, 3), "u1"), np.zeros((2, 7, 3), "u1")), "uint8", (2, None, None, 3)),
        (objects("a", "b"), "str", (2,)),
        (objects(1, 2, 3), "int64", (3,)),
        (np.array([[1, 2], [3, 4]], object), "int64", (2, 2)),
    ],
    ids=str,
)
def test_what_an_array_of_objects_is_declared_as(held: Any, dtype: str, shape: Any, tmp_path: Path) -> None:
    """Found out before an entry is written: an axis that differs is none of a fixed length."""
    file = put(tmp_path / "data", npy(held))
    detection = formats.of("npy").detect(file.read_bytes(), file)
    assert detection is not None
    (array,) = detection.inspect().arrays

    assert (array.dtype, array.shape) == (dtype, shape)


@pytest.mark.parametrize(
    "held", [objects([1], {}), objects([1], "a"), objects([1], [[2]]), objects([1], None), objects({"a": 1})], ids=str
)
def test_what_cannot_be_declared_is_refused(held: Any, tmp_path: Path) -> None:
    """An archive that has such an array is read, without it."""
    file = put(tmp_path / "data", npy(held))
    archive = put(tmp_path / "data.npz", npz(x=held, y=np.arange(3)))
    alone = formats.of("npy").detect(file.read_bytes(), file)
    beside = formats.of("npz").detect(archive.read_bytes(), archive)
    assert alone is not None
    assert beside is not None

    with pytest.raises(DecodeError, match="holds Python objects"):
        alone.inspect()
    info = beside.inspect()

    assert [array.key for array in info.arrays] == ["y"]
    assert len(info.left_out) == 1


class TestHostile:
    """What is no array of numbers or texts is refused in one sentence, soon, in little memory, and nothing is run."""

    @pytest.mark.parametrize(
        ("item", "what"),
        [
            ({}, "a dict"),
            ([{}], "a list with a dict in it"),
            (None, "None"),
            ([1, None], "a list with None in it"),
            ([1, "a", 2], "a list with a text in it"),
            ([1, [2]], "a list with a list in it"),
            ([2**64], "a list with a whole number of more than 64 bits in it"),
            ([1, 2**63], "a list with a whole number of more than 64 bits in it"),
            (objects([1]), "an array of objects"),
            (np.array(["a"]), "an array of str32"),
            ([1, True], "a list of numbers that no single type holds"),
            ([0.5, 2**60], "a list of numbers that no single type holds"),
        ],
        ids=str,
    )
    def test_what_is_no_sample(self, item: Any, what: str, tmp_path: Path) -> None:
        """By its place, and by what it is."""
        file = put(tmp_path / "data", npy(objects([1], item, [3])))

        with pytest.raises(DecodeError) as caught:
            blocks(file)

        assert f"sample 1 is {what}" in caught.value.reason
        assert len(caught.value.reason.splitlines()) == 1

    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize("depth", [0, 1])
    def test_a_program(self, protocol: int, depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is named, for the error and for an audit, and not run."""
        monkeypatch.chdir(tmp_path)
        items = [[1], [Evil()] if depth else Evil(), [2]]
        file = put(tmp_path / "data", pickled(items, protocol))

        with pytest.raises(UnsafePickle) as caught:
            blocks(file)
        find = formats.of("npy").pickles
        assert find is not None
        (names,) = [globals_of(read) for _, _, read in find([split(column(file))])]

        system = f"{os.system.__module__}.system"
        assert caught.value.names == (system,)
        assert caught.value.reason == f"the pickle asks for {system}, which no array of numbers needs; nothing was run"
        assert system in names
        assert not (tmp_path / "marker").exists()

    def test_a_list_that_contains_itself(self, tmp_path: Path) -> None:
        """A pickle can say so."""
        item: list[Any] = [[1]]
        item.append(item)

        with pytest.raises(DecodeError, match="sample 0 is a list"):
            blocks(put(tmp_path / "data", npy(objects(item, [1], [2]))), shape=(None, 1))

    @pytest.mark.slow
    def test_lists_in_lists_without_end(self, tmp_path: Path) -> None:
        """Thirty thousand levels."""
        deep = b"(" + b"]" * 30_000 + b"a" * 29_999 + b"]e"
        file = put(tmp_path / "data", written(deep, 2))

        with soon(), memory_below(MEBIBYTES), pytest.raises(DecodeError, match="sample 0 is a list with a list in it"):
            blocks(file)

    def test_more_samples_than_declared(self, tmp_path: Path) -> None:
        """With both numbers."""
        file = put(tmp_path / "data", npy(objects([1], [2], [3], [4])))

        with pytest.raises(ContentError) as caught:
            blocks(file)

        assert caught.value.reason == "the array has 4 samples, more than train.images declares: 3"
        assert (caught.value.aspect, caught.value.expected, caught.value.actual) == ("samples", 3, 4)

    @pytest.mark.parametrize("claimed", [(10**9,), (4,), (2,), (3, 1), (), (0,)])
    def test_another_shape_in_the_header_than_in_the_pickle(self, claimed: tuple[int, ...], tmp_path: Path) -> None:
        """Nothing is made as large as the header claims."""
        header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {claimed}, }}"
        file = put(tmp_path / "data", npy_with_header(header, pickle.dumps(objects([1], [2], [3]))))

        with memory_below(4), pytest.raises(DecodeError) as caught:
            blocks(file)

        assert caught.value.reason == f"its header states the shape {claimed}, its pickle holds an array of (3,)"

    @pytest.mark.parametrize("shape", [(10**9,), (2,), (0, 10**18), (10**10, 10**10), (-1,)])
    def test_another_shape_in_the_pickle_than_there_are_objects(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        """It is compared before an array is made."""
        file = put(tmp_path / "data", written(b"(]K\1a]K\2a]K\3ae", 3, shape=shape))

        with memory_below(4), pytest.raises(DecodeError, match=r"the pickle is not sound: .*3 objects are there"):
            blocks(file)
        same(samples(put(tmp_path / "twin", written(b"(]K\1a]K\2a]K\3ae", 3))), [[1], [2], [3]])

    @pytest.mark.slow
    def test_a_memo_of_a_billion(self, tmp_path: Path) -> None:
        """A key of the memo is only a key; many of them are paid for."""
        one = b"(]r\xff\xff\xff\xff(K\1K\2e]K\2a]K\3ae"
        same(samples(put(tmp_path / "one", written(one, 3))), [[1, 2], [2], [3]])
        many = b"(]" + b"".join(b"r" + struct.pack("<I", n) for n in range(60_000)) + b"e"

        with memory_below(MEBIBYTES):
            same(samples(put(tmp_path / "many", written(many, 1))), [[]])

    @pytest.mark.parametrize(
        "spelled", [b"(]K\1K\2e", b"(]M\1e", b"(](K\1K\2.", b"(](K\1K\2", b"(](K\1K\2e(", b"(](K\1K\2ae"]
    )
    def test_lists_that_are_not_made_as_lists_are(self, spelled: bytes, tmp_path: Path) -> None:
        """An instruction that does not fit, one that is cut, an end in the middle."""
        with pytest.raises(DecodeError, match="the pickle is not sound: "):
            blocks(put(tmp_path / "data", written(spelled * 500, 3)))

    @pytest.mark.slow
    def test_references_that_multiply(self, tmp_path: Path) -> None:
        """One list of two thousand numbers, ten thousand times: as many numbers are more than the file may hold."""
        one = b"(]q\xfe(" + b"K\1" * 2000 + b"e" + b"h\xfe" * 200_000 + b"e"
        file = put(tmp_path / "data", written(one, 200_001))

        decoded = formats.of("npy").decode([split(column(file, samples=200_001, dtype="int64", shape=(None,)))])

        with memory_below(MEBIBYTES), pytest.raises(DecodeError, match=r"come to more than .* too much for a file"):
            for _ in decoded:
                pass

    def test_a_bomb(self, tmp_path: Path) -> None:
        """A short archive of a pickle of many megabytes, all of them numbers."""
        file = put(tmp_path / "data", npz(x=objects(*([1] * 500_000 for _ in range(3)))))
        most = 32 * file.stat().st_size + (1 << 16) + 16 * 3

        with memory_below(MEBIBYTES), pytest.raises(DecodeError) as caught:
            blocks(file, "npz", key="x")

        assert caught.value.reason == (
            f"member 'x.npy': its pickle is longer than {most:,} bytes, which is too much for a file of its size"
        )

    @pytest.mark.parametrize("name", ["py2-objarr.npy", "py2-np0-objarr.npy"])
    @pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")
    def test_real_ones_of_python_2(self, name: str) -> None:
        """NumPy's own test files hold None, and a text."""
        with pytest.raises(UnsafePickle):
            blocks(REAL / name, samples=4)


# Lists of numbers as pickles spell them, and pieces of what they are made of, in an order that no pickle has.
NUMBERS = st.one_of(
    st.builds(b"K%c".__mod__, st.integers(0, 255)),
    st.builds(lambda number: b"M" + struct.pack("<H", number), st.integers(0, 2**16 - 1)),
    st.builds(lambda number: b"J" + struct.pack("<i", number), st.integers(-(2**31), 2**31 - 1)),
    st.builds(lambda number: b"G" + struct.pack(">d", number), st.floats(allow_nan=False)),
)
PUTS = st.sampled_from([b"", b"\x94", b"q\x00", b"q\x01", b"r\x00\x01\x00\x00"])
PARTS = st.one_of(
    st.builds(
        lambda put, numbers, end: b"]" + put + (b"(" + b"".join(numbers) + end if numbers else b""),
        PUTS,
        st.lists(NUMBERS, max_size=30),
        st.sampled_from([b"e", b"e", b"e", b"a", b"le", b""]),
    ),
    NUMBERS,
    PUTS,
    st.sampled_from([b"(", b"]", b"e", b"a", b"l", b"0", b"N", b"h\x00", b"h\x01", b"t", b"X\x01\0\0\0a", b"M", b"c"]),
)


class TestManyAtOnce:
    """Lists of numbers are carried out many at once, and that can be seen by nothing but time and memory."""

    def outcome(self, data: bytes, chunk: int) -> object:
        """What comes of a program: what it makes and remembers, or what was wrong with it."""
        file = io.BytesIO(data)
        machine = ObjectMachine(lambda _: file.read(chunk), 10**6, 10**9)
        try:
            result = machine.run()
        except (BadPickle, UnsafeGlobal) as error:
            return str(error)
        return plainly(result), {key: plainly(value) for key, value in machine._memo.items()}, machine._left

    def same_as_one_by_one(self, parts: list[bytes], times: int, chunk: int) -> None:
        """The same values, memos and count; the same refusals."""
        lists = b"](K\x01M\x02\x03e" * 5 + b"\x94" + b"".join(parts)
        for program in (b"(" + lists * times + b"l.", b"(" + (b"\x94](K\x07K\x08e" * 200 + lists) * times + b"t."):
            together = self.outcome(program, chunk)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Packer, "run", lambda *_: 0)
                assert self.outcome(program, chunk) == together

    programs = given(
        parts=st.lists(PARTS, min_size=1, max_size=20),
        times=st.sampled_from([1, 40, 300]),
        chunk=st.sampled_from([3000, 20_000, 10**6]),
    )
    test_what_comes_of_it_is_the_same_as_one_by_one = hypothesis.settings(deadline=None, max_examples=25)(
        programs(same_as_one_by_one)
    )
    test_and_of_many_more = pytest.mark.slow(
        hypothesis.settings(deadline=None, max_examples=400)(programs(same_as_one_by_one))
    )

    def test_a_pickle_of_lists_is_carried_out_so(self) -> None:
        """Or the test before would compare a thing with itself."""
        data = pickle.dumps([list(range(1000)) for _ in range(300)], 2)
        machine = ObjectMachine(data, 10**6, 10**9)
        steps = 0
        packer = machine._packer
        run = packer.run

        def counted(*args: Any) -> int:
            nonlocal steps
            read = run(*args)
            steps += packer.steps if read else 0
            return read

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packer, "run", counted)
            machine.run()

        assert steps > 0.9 * 300_000


def plainly(value: Any, depth: int = 3) -> object:
    """A value with its rows as lists of Python's numbers, as deep as a list may contain itself."""
    if isinstance(value, Row):
        return [plainly(one, depth - 1) for one in value.tolist()] if depth else "a row"
    if isinstance(value, tuple | list):
        return type(value)(plainly(one, depth - 1) for one in value) if depth else "a tuple"
    return value


class Evil:
    """An object whose pickle is a program."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch marker",)


def written(items: bytes, count: int, shape: tuple[int, ...] | None = None) -> bytes:
    """NPY of objects that are spelled by hand: instructions that append them to a list."""
    sound = pickle.dumps(objects(*range(7)), 2)
    numbers = b"K\x00K\x01K\x02K\x03K\x04K\x05K\x06e"
    before, after = sound[: sound.index(numbers) - 4], sound[sound.index(numbers) + len(numbers) :]
    shape = (count,) if shape is None else shape
    spelled = pickle.dumps(shape, 2)[2:-1].replace(b"q\x00", b"")
    assert before.count(b"K\x07\x85") == 1
    body = before.replace(b"K\x07\x85", spelled) + b"]" + items + after
    header = (
        f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape if min(shape, default=0) >= 0 else (count,)}, }}"
    )
    return npy_with_header(header, body)
