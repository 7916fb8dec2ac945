"""Strings of one buffer: slices of them are views, and cost what they hold where they are copied."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.helpers.declared import made
from tinytorch_datasets import StringArray
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.text import opened_text, packed_lines
from tinytorch_datasets.storage import string_array
from tinytorch_datasets.storage.memmap import Part, Remapped, open_map
from tinytorch_datasets.storage.string_array import BYTES_AT_ONCE, STRINGS_AT_ONCE, parse_index

WORDS = [f"word {number} \u00e9" * (number % 3) for number in range(10_000)]


class TestPickles:
    """A worker process is sent what it works on."""

    @pytest.mark.parametrize(
        "index",
        [slice(10, 20), slice(None, None, 1000), slice(20, 10, -1), np.array([7, 9_999, 7]), [False, True] * 5_000],
    )
    def test_a_slice_is_sent_alone(self, index: object) -> None:
        """Whatever it was sliced out of."""
        part = StringArray.of(WORDS)[index]  # type: ignore[call-overload]
        sent = pickle.dumps(part, protocol=5)

        assert pickle.loads(sent) == list(part)
        assert len(sent) < 400 + 2 * 8 * len(part) + sum(len(word.encode()) for word in part)

    def test_nothing_and_all(self) -> None:
        """An empty slice has no bytes, and the whole is what it was."""
        words = StringArray.of(WORDS)

        assert list(pickle.loads(pickle.dumps(words[5:5]))) == []
        assert len(pickle.dumps(words[5:5])) < 1000
        assert pickle.loads(pickle.dumps(words)) == WORDS
        assert pickle.loads(pickle.dumps(words[:3]))[1:] == WORDS[1:3]

    def test_strings_that_are_taken_often(self) -> None:
        """Are sent once, if that is less."""
        words = StringArray.of(["a" * 1000, "b"])[np.zeros(100, np.int64)]

        assert len(pickle.dumps(words)) < 4000
        assert list(pickle.loads(pickle.dumps(words))) == ["a" * 1000] * 100

    def test_of_a_map_nothing_is_sent(self, tmp_path: Path) -> None:
        """Only the name of its file, and the places of the strings that were picked."""
        entry = """
        format: csv
        fields: {text: {dtype: str}}
        splits: {train: {samples: 10_000, file: t.csv}}
        """
        data = made(tmp_path, entry, t_csv="text\n" + "".join(f'"{word}"\n' for word in WORDS))
        part = data.train.text[2_000:4_000]

        assert len(pickle.dumps(part)) < 2_000
        assert pickle.loads(pickle.dumps(part)) == WORDS[2_000:4_000]
        assert len(pickle.dumps(data.train.text[np.arange(0, 10_000, 1_000)])) < 2_000


def test_a_loop_holds_one_string_at_a_time() -> None:
    """However many there are; and it gives what an index gives."""
    words = StringArray.of(WORDS * 20)
    tracemalloc.start()
    count = sum(1 for _ in words)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 200_000
    assert peak < 1 << 20
    assert list(words[:3]) == [words[0], words[1], words[2]] == WORDS[:3]


@pytest.mark.parametrize("with_pyarrow", [True, False])
class TestAsAList:
    """`list` gives what an index gives, by pyarrow, where the program has it, or without."""

    @pytest.fixture(autouse=True)
    def _imported(self, with_pyarrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if with_pyarrow:
            pytest.importorskip("pyarrow")
        else:
            monkeypatch.delitem(sys.modules, "pyarrow", raising=False)

    @pytest.mark.parametrize(
        "words",
        [
            ["", "no\r\n", "\n", "\0", "yes", ""] * 3_000,  # line ends are characters like others
            ["h\u00e9", "\U0001f600", "", "plain"] * 3_000,
            ["a" * 700, "b" * 200] * 3_000,
            ["\u00df" * 9_000_000, "", "c"],
            [""],
        ],
        ids=["ascii", "utf-8", "long", "longest", "empty"],
    )
    def test_it_has_the_same_strings(self, words: list[str]) -> None:
        """In any order and of any length: side by side, in steps, backwards, overlapping, none at all."""
        strings = StringArray.of(words)
        for part in (slice(None), slice(1, -1), slice(None, None, 3), slice(None, None, -1), slice(0, 0)):
            assert list(strings[part]) == words[part]
        assert list(strings[[0, 0, len(words) - 1]]) == [words[0], words[0], words[-1]]
        assert [strings[at] for at in (0, -1)] == [words[0], words[-1]]

    def test_a_damaged_map_gives_no_other_bytes(self) -> None:
        """What is not UTF-8 is an error, and a place outside of the buffer reads nothing that is there in memory."""
        damaged = StringArray.mapped(np.frombuffer(b"good\xffbad", np.uint8), np.array([0, 4, 8]))
        with pytest.raises(UnicodeDecodeError):
            list(damaged)
        for offsets in ([0, 4, 1 << 40], [-9, 0, 4], [4, 0, 4]):
            outside = StringArray.mapped(np.frombuffer(b"good", np.uint8), np.array(offsets))
            assert all(string in ("", "g", "go", "goo", "good") for string in outside)


class TestPackedOnTheWay:
    """Strings that lie side by side already are hashed and written as they lie, with the same results."""

    def test_their_digest_is_that_of_the_same_list(self) -> None:
        """Of all of them, of a part, of none, of empty ones, and of those with characters of several bytes."""
        words = ["", "no", "h\u00e9", "\U0001f600 yes", "", "a" * 300, ""]
        packed = StringArray.of(words)
        for part in (slice(None), slice(2, 5), slice(3, 3), slice(None, None, -2), slice(4, 5)):
            assert digest_of(packed[part]) == digest_of(words[part])

    def test_lines_are_those_that_python_splits(self, tmp_path: Path) -> None:
        """However long they are beside the pieces that are read at once; the last may lack its end."""
        random = Random(0)
        lengths = [0, 1, 2, 3, 50, 70_000, 300_000]
        for end in ("", "\n"):
            written = ["\u00df" * random.choice(lengths[: 5 if n % 9 else 7]) + str(n) for n in range(2_000)]
            path = tmp_path / "lines.txt"
            path.write_text("\n".join(written) + end, encoding="utf-8", newline="\n")
            with opened_text(ByteSource(path), ()) as stream:
                packed = list(packed_lines(stream))

            assert [line for piece in packed for line in piece] == written
            assert len(packed) > 1

    @pytest.mark.parametrize("wrong", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\r", b"\0"])
    def test_the_line_that_is_wrong_is_named(self, wrong: bytes, tmp_path: Path) -> None:
        """Not only the piece that it is in."""
        path = tmp_path / "lines.txt"
        path.write_bytes(b"good\n" * 100_000 + b"bad " + wrong + b"\n" + b"good\n" * 10)
        with opened_text(ByteSource(path), ()) as stream, pytest.raises(DecodeError, match="line 100,001 has "):
            list(packed_lines(stream))


# Of few strings, with characters of one to four bytes, and of more than are gone through at once.
FEW = ["no", "", "h\u00e9", "\u20ac uro", "\U0001f600", "yes" * 30, ""]
INDEXES: list[Any] = [
    slice(None), slice(1, 3), slice(-2, None), slice(None, None, 2), slice(None, None, -1), slice(5, 1), slice(2, 2),
    slice(-100, 100), slice(None, None, 10**30), [2, 0, 0, -1], [], [True, False] * 3 + [True], np.array([3], np.uint8),
    np.array([6, -7]), np.zeros(7, bool), (1, 2),
]  # fmt: skip


class TestAsASequence:
    """Whatever is asked of it is answered as a list of the same strings would."""

    @pytest.mark.parametrize("words", [FEW, WORDS[:5000], ["x" * 9, *FEW], []], ids=["few", "many", "ascii", "none"])
    def test_each_index(self, words: list[str], tmp_path: Path) -> None:
        """By numbers from both ends, slices, lists and truths; from memory, from a map, and out of a part."""
        encoded = [word.encode() for word in words]
        np.save(tmp_path / "utf8.npy", np.frombuffer(b"".join(encoded), np.uint8))
        np.save(tmp_path / "places.npy", np.cumsum([0, *map(len, encoded)]))
        maps = [
            open_map(tmp_path, Part(name, dtype, shape, 128))
            for name, dtype, shape in [
                ("utf8.npy", "|u1", (sum(map(len, encoded)),)),
                ("places.npy", "<i8", (len(words) + 1,)),
            ]
        ]
        for array in (
            StringArray.of(words),
            StringArray.mapped(*maps),
            pickle.loads(pickle.dumps(StringArray.of(words))),
        ):
            assert len(array) == len(words)
            assert list(array) == words
            assert array == words
            for number in range(-len(words), len(words), 1 + len(words) // 20):
                assert array[number] == array[np.int64(number)] == array[np.array(number)] == words[number]
                assert type(array[number]) is str
            for number in (len(words), -len(words) - 1, 10**30):
                with pytest.raises(IndexError):
                    array[number]
            if len(words) != len(FEW):
                continue
            for index in INDEXES:
                expected = (
                    words[index]
                    if isinstance(index, slice)
                    else list(np.array(words)[np.array(index, None if len(index) else int)])
                )
                part = array[index]
                assert isinstance(part, StringArray)
                assert list(part) == expected
                assert [part[n] for n in range(len(part))] == expected
                buffer, offsets = part.utf8()
                assert offsets.dtype == np.int64
                assert len(offsets) == len(part) + 1
                data = bytes(buffer)
                assert [data[a:b].decode() for a, b in pairwise(offsets)] == expected
                assert pickle.loads(pickle.dumps(part)) == expected

    def test_it_is_gone_through_in_pieces(self) -> None:
        """At the end of one; where few of many are taken, far from each other; and where they overlap."""
        letters = [f"{n}\u00e9" for n in range(2 * STRINGS_AT_ONCE + 1)]
        for count in (STRINGS_AT_ONCE - 1, STRINGS_AT_ONCE, STRINGS_AT_ONCE + 1, 2 * STRINGS_AT_ONCE + 1):
            for words in (letters[:count], [word[:-1] for word in letters[:count]]):
                assert list(StringArray.of(words)) == words
        array = StringArray.of(letters)
        for index in ([8000, 1], [0, 0, 0], list(range(4000, 0, -1)), [5, 8001, 7]):
            assert list(array[index]) == [letters[n] for n in index]
        long = StringArray.of(["a" * BYTES_AT_ONCE, "b", "c" * BYTES_AT_ONCE])
        assert list(map(len, long)) == [BYTES_AT_ONCE, 1, BYTES_AT_ONCE]
        assert list(long[:2]) == ["a" * BYTES_AT_ONCE, "b"]
        damaged = StringArray(np.array([104, 255], np.uint8), np.array([0]), np.array([2]))
        with pytest.raises(UnicodeDecodeError):
            list(damaged)
        with pytest.raises(UnicodeDecodeError):
            damaged[0]

    def test_it_equals_any_sequence_of_the_same(self) -> None:
        """And no text, nor what is no sequence."""
        array = StringArray.of(["a", "b"])
        assert array == ["a", "b"] == array
        assert array == ("a", "b")
        assert array == StringArray.of(["a", "b"])
        for other in (["a"], ["a", "c"], ["a", "b", "c"], "ab", {"a", "b"}, 7, None):
            assert array != other
        with pytest.raises(TypeError):
            hash(array)

    def test_its_line_has_three(self) -> None:
        """Long ones are cut, and none is longer than sixty characters then."""
        long = ["x" * 60, "y" * 61, "z"]
        assert repr(StringArray.of(long)) == f"<StringArray [{long[0]!r}, '{'y' * 57}...', 'z'], 3 in all>"
        assert repr(StringArray.of(["a"] * 4)) == "<StringArray ['a', 'a', 'a', ...], 4 in all>"
        assert repr(StringArray.of(["a"] * 1234)) == "<StringArray ['a', 'a', 'a', ...], 1,234 in all>"
        assert repr(StringArray.of([])) == "<StringArray [], 0 in all>"

    def test_its_page_has_ten(self) -> None:
        """And how many there are in all."""
        page = StringArray.of([f"<word {n}>" for n in range(1234)])._repr_html_()
        assert "1,234 texts" in page
        assert "&lt;word 9&gt;" in page
        assert "&lt;word 10&gt;" not in page
        assert "1,224 more" in page


class TestBytes:
    """Where strings lie side by side, nothing is copied."""

    def test_views(self) -> None:
        """Of all, and of a slice without a step; the offsets of others are made, and their bytes gathered."""
        array = StringArray.of(FEW)
        buffer, offsets = array.utf8()
        assert np.shares_memory(buffer, array._buffer)
        assert np.shares_memory(offsets, array._starts)
        assert not offsets.flags.writeable
        part, places = array[2:5].utf8()
        assert np.shares_memory(part, array._buffer)
        assert np.shares_memory(places, array._starts)
        assert places.tolist() == [2, 5, 12, 16]
        for other in (array[::3], array[[0, 3]], array[::-1]):
            gathered, places = other.utf8()
            assert not np.shares_memory(gathered, array._buffer)
            assert places[0] == 0
        assert [one.tolist() for one in array[:0].utf8()] == [[], [0]]
        assert array[:0].utf8()[0].dtype == np.uint8
        for starts, ends in [
            (np.array([0, 2], np.int32), np.array([2, 3], np.int32)),
            (np.array([0, 2]), np.array([2, 3])),
            (np.array([0, 9, 2, 9])[::2], np.array([2, 9, 3, 9])[::2]),
            (np.array([0, 2], np.int64), np.array([2, 3], np.int32)),
        ]:
            own = StringArray(np.frombuffer(b"abc", np.uint8), starts, ends)
            assert own.utf8()[1].dtype == np.int64
            assert own.utf8()[1].tolist() == [0, 2, 3]
            assert list(own) == ["ab", "c"]

    def test_offsets_that_are_views_are_read_only(self) -> None:
        """Whatever they are views of."""
        places = np.array([0, 2, 3])
        offsets = StringArray.mapped(np.frombuffer(b"abc", np.uint8), places).utf8()[1]
        assert np.shares_memory(offsets, places)
        assert not offsets.flags.writeable

    def test_nobody_writes_to_it(self) -> None:
        """Nor to what comes out of a pickle."""
        for array in (StringArray.of(FEW), pickle.loads(pickle.dumps(StringArray.of(FEW)))):
            for part in (array._buffer, array._starts, array._ends, array[2:4]._buffer):
                assert not part.flags.writeable

    def test_what_a_pickle_has(self, tmp_path: Path) -> None:
        """Its own bytes alone; a map's name, and the bytes of no others."""
        array = StringArray.of(FEW)
        assert array.__getstate__()[0] is array._buffer
        assert array[1:4].__getstate__()[0].tobytes() == "h\u00e9\u20ac uro".encode()
        assert array[[3, 3, 3, 5, 5]].__getstate__()[0] is array._buffer  # which is less than five strings
        np.save(tmp_path / "utf8.npy", np.frombuffer(b"abc", np.uint8))
        mapped = StringArray.mapped(open_map(tmp_path, Part("utf8.npy", "|u1", (3,), 128)), np.array([0, 1, 3]))
        for part in (mapped, mapped[1:]):
            state = part.__getstate__()[0]
            assert type(state) is Remapped
            assert state.path == str(tmp_path / "utf8.npy")


def test_which_pyarrow_makes_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the program has imported, of a version that is fast, and whole; else none is imported."""
    fast, whole = string_array.FAST_PYARROW, {"LargeStringArray": object}
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"__version__": f"{fast}.0.1", **whole}, True),
        ({"__version__": f"{fast + 1}", **whole}, True),
        ({"__version__": f"{fast - 1}.9.9", **whole}, False),
        ({"__version__": f"{fast}.0.1"}, False),
        ({"__version__": "dev", **whole}, False),
        (whole, False),
    ]
    for facts, is_taken in cases:
        module = SimpleNamespace(**facts)
        monkeypatch.setitem(sys.modules, "pyarrow", module)
        assert string_array._fast_pyarrow() is (module if is_taken else None)
    monkeypatch.delitem(sys.modules, "pyarrow")
    assert string_array._fast_pyarrow() is None


def test_what_names_samples() -> None:
    """A number, a slice, a list of numbers or of truths, however they come; and nothing else."""
    for index in (3, -1, np.int8(3), np.array(3, np.uint64), np.array(-2)):
        assert parse_index(index) == int(index)
        assert type(parse_index(index)) is int
    assert parse_index(slice(1, 2)) == slice(1, 2)
    several: list[tuple[Any, str]] = [
        ([], "int64"), ((), "int64"), (np.zeros(0, "f4"), "int64"), ([1, 2], "int64"), ([True], "bool"),
        (np.array([1], "u1"), "uint8"), (np.array([1], "i2"), "int16"),
    ]  # fmt: skip
    for index, dtype in several:
        places = parse_index(index)
        assert isinstance(places, np.ndarray)
        assert (places.dtype, places.tolist()) == (np.dtype(dtype), list(index))
    others: list[Any] = [
        True, np.bool_(False), 1.0, np.array(1.5), None, "a", [1.0], ["a"], [[1]], [[1], [2, 3]], [None],
        np.zeros((0, 2)), np.zeros((2, 2), int), {}, {1},
    ]  # fmt: skip
    for wrong in others:
        with pytest.raises(TypeError) as caught:
            parse_index(wrong)
        assert str(caught.value) == (
            f"samples are named by a number, a slice, or a list of numbers or of truths, not by {wrong!r}"
        )
