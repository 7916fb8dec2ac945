"""Strings of one buffer: slices of them are views, and cost what they hold where they are copied."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.declared import made
from tinytorch_datasets import StringArray

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
