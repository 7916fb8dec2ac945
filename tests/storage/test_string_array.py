"""Strings of one buffer: slices of them are views, and cost what they hold where they are copied."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests.helpers.declared import made
from tinytorch_datasets import StringArray
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.text import opened_text, packed_lines

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
