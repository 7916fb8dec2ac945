"""The digest of a part's positions, and the line that says where its samples are from."""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets import Dataset, RaggedArray, Split, get
from tinytorch_datasets.storage.string_array import StringArray

LABELS = np.arange(1000) ** 2 % 7

# As they were with Python 3.10 and NumPy 1.24.4, 3.12 and 1.26.4, 3.13 and 2.1.0, 3.11 and 2.4.6.
DIGESTS: dict[str, tuple[Callable[[Split], Split], str]] = {
    "a division": (lambda split: split.divide(0.9, by="labels", seed=0)[0], "7c3db13b1bcb47da"),
    "its other part": (lambda split: split.divide(0.9, by="labels", seed=0)[1], "b93324dfa013fdbf"),
    "a division alone": (lambda split: split.divide(0.5, seed=7)[0], "dec922e939e76157"),
    "some": (lambda split: split.take(100, seed=1), "e30a2f9dc6269db7"),
    "some of each": (lambda split: split.take(10, each="labels", seed=2), "495ce10211ec8f3d"),
    "a shard": (lambda split: split.shard(1, 3), "9d4ef6293781bc98"),
    "a filter": (lambda split: split.filter(LABELS == 4), "00c3537e9a933141"),
    "a slice": (lambda split: split[::-1], "1e4377ac4a3b4451"),
    "of a part": (lambda split: split.divide(0.9, by="labels")[0].take(50, seed=3)[5:], "d7d1a12a01d9ab9e"),
}


@pytest.fixture
def split() -> Split:
    """A thousand labels of four classes."""
    return Split("train", {"labels": LABELS})


@pytest.mark.parametrize("part", DIGESTS)
def test_a_digest_is_the_same_everywhere(split: Split, part: str) -> None:
    """Whatever draws: this file is run with every Python and NumPy that is supported."""
    made, digest = DIGESTS[part]

    assert made(split).digest[:16] == digest


def test_it_is_the_sha256_of_the_positions(split: Split) -> None:
    """Little-endian numbers of 64 bits, whichever way a part was come by; not of its values."""
    expected = hashlib.sha256(struct.pack("<3q", 5, 900, 6)).hexdigest()

    assert split[[5, 900, 6]].digest == split[5:][[0, 895, 1]].digest == expected
    assert pickle.loads(pickle.dumps(split[[5, 900, 6]])).digest == expected
    assert Split("test", {"x": np.zeros((1000, 2))})[[5, 900, 6]].digest == expected
    assert split[[900, 5, 6]].digest != expected


def test_a_part_shows_it(split: Split) -> None:
    """And a whole does not, nor what has all samples in their order."""
    assert repr(split[1:]) == f"<Split train: 999 of 1,000 samples (digest {split[1:].digest[:8]}) of labels int64>"
    assert "(digest 1e4377ac)" in repr(split[::-1])
    assert "(digest 1e4377ac)" in split[::-1]._repr_html_()
    for whole in (split, split[:], split[::-1][::-1], pickle.loads(pickle.dumps(split))):
        assert repr(whole) == "<Split train: 1,000 samples of labels int64>"


class TestProvenance:
    """One line that says which samples of which data set."""

    def test_of_a_whole_split_and_of_a_part(self) -> None:
        """That of the data set stands before it; also behind pickle."""
        digits = get("tinydigits")
        part = digits.train.take(10, seed=0)

        assert digits.test.provenance == f"{digits.provenance}; 200 samples of split test"
        for one in (part, pickle.loads(pickle.dumps(part))):
            assert one.provenance == (
                f"{digits.provenance}; 10 of 1,000 samples (digest {part.digest[:16]}) of split train"
            )

    def test_of_a_part_of_what_is_empty(self) -> None:
        """Which is a part of the data set as well; its digest is that of no byte."""
        digits = get("tinydigits")

        assert digits.train[:0][:].provenance == (
            f"{digits.provenance}; 0 of 1,000 samples (digest {hashlib.sha256().hexdigest()[:16]}) of split train"
        )

    def test_of_a_sum(self, split: Split) -> None:
        """Both of its parts are named, and what is a part of it again; equal sums have equal digests."""
        first, second = split.divide(0.9, by="labels")
        both = first[:3] + second[:2]
        parts = [
            f"{len(one)} of 1,000 samples (digest {one.digest[:16]}) of split train" for one in (first[:3], second[:2])
        ]

        assert both.provenance == "; ".join(parts)
        assert both[1:].provenance == "; ".join(
            [*parts, f"4 of 5 samples (digest {both[1:].digest[:16]}) of split train+train"]
        )
        assert repr(both) == f"<Split train+train: 5 samples (digest {both.digest[:8]}) of labels int64>"
        assert both.digest == (first[:3] + second[:2]).digest != (first[1:4] + second[:2]).digest
        assert both[[0, 1]].digest != first[[0, 1]].digest

    def test_of_two_data_sets(self) -> None:
        """Each stands before the samples that are from it."""
        described: Any = {name: (lambda line: lambda: (None, line))(name) for name in ("old", "new")}
        old, new = (
            Dataset(name, {"train": Split("train", {"x": np.arange(3)})}, classes=None, describe=describe)
            for name, describe in described.items()
        )
        three = "3 samples of split train"

        assert (old.train + new.train).provenance == f"old; {three}; new; {three}"
        assert (old.train + old.train).provenance == f"old; {three}; {three}"
        assert (old.train + new.train + old.train).provenance == f"old; {three}; new; {three}; old; {three}"


def test_positions_are_read_only(split: Split) -> None:
    """A digest that was shown once stays theirs."""
    for part in (split, split[5:], split[[3, 1]], pickle.loads(pickle.dumps(split[[3, 1]]))):
        assert not part.positions.flags.writeable


def test_a_fraction_of_numpy_is_a_number(split: Split) -> None:
    """Of which float16 has no product with 70,000, and newer versions of NumPy take no other."""
    many = Split("train", {"x": np.zeros(70_000, np.uint8)})

    fractions: list[Any] = [np.float16(0.9), np.float32(0.9), np.float64(0.9)]
    for fraction in fractions:
        assert len(many.divide(fraction)[0]) == int(float(fraction) * 70_000 + 0.5)


def test_strings_are_told_apart_to_their_end() -> None:
    """NumPy's own strings end where their last NULs begin."""
    words = Split("train", {"words": StringArray.of(["b", "a\0", "a", "b"])})

    assert list(words.take(1, each="words").words) == ["b", "a\0", "a"]


class TestSums:
    """Two splits are one where their values mean the same."""

    @pytest.mark.parametrize("key", ["classes", "names", "channels", "missing_value", "range"])
    def test_what_is_declared_is_equal(self, key: str) -> None:
        """A range may be known by what integers are divided by alone."""
        first, second = (
            Split("t", {"x": np.zeros((2, 3, 3, 3), np.uint8)}, declared={"x": {} if key == "range" else {key: which}})
            for which in ("a", "b")
        )
        scaled = Split("t", {"x": second.x}, scales={"x": 255})

        with pytest.raises(ValueError) as caught:
            first + (scaled if key == "range" else second)

        assert str(caught.value) == f"{key} of field 'x' differ between the two splits, so they cannot be joined"

    def test_of_two_calls_of_get_have_one_standard(self) -> None:
        """As of one: the same maps."""
        train, test = get("tinydigits").train, get("tinydigits").test

        both = (train[:10] + test).arrays(normalize="standard")[0]

        assert np.array_equal(both[:10], train[:10].arrays(normalize="standard")[0])
        assert np.array_equal(both[10:], test.arrays(normalize="standard")[0])

    def test_recordings_keep_their_rate(self) -> None:
        """By which a notebook plays them."""
        sounds = RaggedArray.of([[1, 2], [3]])
        sounds.rate = 8000
        split = Split("train", {"sounds": sounds})

        assert (split + split[::-1]).sounds.rate == split[[1]].sounds.rate == 8000
