"""Decoded values are held against the declaration, whatever decoder they come from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import column, split
from tinytorch_datasets.errors import ContentError
from tinytorch_datasets.plan import Block, Column, Split
from tinytorch_datasets.verify.arrays import checked

FILE = Path("data")
TEN = column(FILE, samples=10)
VALUES = np.arange(10, dtype="u1")


def blocks(result: Column, *runs: tuple[int, int]) -> list[Block]:
    """Blocks of the samples of each run, from its first to before its last."""
    return [Block(result, first, VALUES[first:last]) for first, last in runs]


def refusal(found: Iterable[Block], *splits: Split) -> ContentError:
    """The error that these blocks are."""
    with pytest.raises(ContentError) as caught:
        list(checked(found, splits))
    return caught.value


class TestTiling:
    """Each sample comes once, in whichever order."""

    @pytest.mark.parametrize(
        "runs",
        [
            [(0, 10)],
            [(0, 5), (5, 10)],
            [(5, 10), (0, 5)],
            [(8, 10), (0, 2), (4, 6), (2, 4), (6, 8)],
            [(0, 0), (0, 10), (10, 10)],
            [(n, n + 1) for n in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)],
        ],
        ids=str,
    )
    def test_blocks_that_tile_pass(self, runs: list[tuple[int, int]]) -> None:
        """All of them, as they came."""
        found = list(checked(blocks(TEN, *runs), [split(TEN)]))

        assert [(block.start, len(block.values)) for block in found] == [(a, b - a) for a, b in runs]

    @pytest.mark.parametrize(
        ("runs", "result"),
        [
            ([(0, 5), (0, 5)], "train.images has samples 0 to 4 twice, declared is each once"),
            ([(0, 5), (4, 9)], "train.images has samples 4 to 4 twice, declared is each once"),
            ([(4, 9), (0, 6)], "train.images has samples 4 to 5 twice, declared is each once"),
            ([(0, 10), (3, 7)], "train.images has samples 3 to 6 twice, declared is each once"),
            ([(2, 4), (6, 8), (0, 10)], "train.images has samples 2 to 3 twice, declared is each once"),
            ([(0, 5), (6, 10)], "train.images has samples 9, declared is 10"),
            ([(0, 11)], "train.images has samples 11 or more, declared is 10"),
            ([], "train.images has samples 0, declared is 10"),
        ],
        ids=str,
    )
    def test_an_overlap_or_a_gap_is_refused(self, runs: list[tuple[int, int]], result: str) -> None:
        """Though the samples may be as many as declared: a gap would be read as zeros."""
        found = [Block(TEN, first, np.zeros(last - first, "u1")) for first, last in runs]

        assert refusal(found, split(TEN)).reason == result


class TestValues:
    """What is not as declared is reported with numbers."""

    CASES: tuple[tuple[str, dict[str, Any], Any, str], ...] = (
        ("another dtype", {}, np.array([1, 2, 3]), "train.images has dtype int64, declared is uint8"),
        ("another shape", {}, np.zeros((3, 2), "u1"), "train.images has shape [2], declared is []"),
        ("text for numbers", {}, ["a", "b", "c"], "train.images has dtype str, declared is uint8"),
        ("numbers for text", {"dtype": "str"}, np.zeros(3, "u1"), "train.images has dtype uint8, declared is str"),
        ("bytes for text", {"dtype": "str"}, [b"a", b"b", b"c"],
         "train.images has dtype something else, declared is str"),
        ("below the range", {"dtype": "int8", "range": (0, 9)}, np.array([0, -1, 3], "i1"),
         "train.images has range [-1, 3], declared is [0, 9]"),
        ("above the range", {"range": (0, 2)}, np.array([0, 1, 3], "u1"),
         "train.images has range [0, 3], declared is [0, 2]"),
        ("NaN where a range is declared", {"dtype": "float32", "range": (0, 1)}, np.array([0, np.nan, 1], "f4"),
         "train.images has range [nan, nan], declared is [0, 1]"),
        ("infinity where a range is declared", {"dtype": "float64", "range": (0, 1)}, np.array([0, np.inf, 1]),
         "train.images has range [0.0, inf], declared is [0, 1]"),
        ("infinity in a range that its dtype cannot reach", {"dtype": "float16", "range": (-1, 65000)},
         np.array([0, np.inf, 1], "f2"), "train.images has range [0.0, inf], declared is [-1, 65000]"),
        ("a label below the classes", {"dtype": "int64", "classes": ("a", "b")}, np.array([0, -1, 1], "i1"),
         "train.images has labels -1 at sample 1, declared is 0 to 1"),
        ("labels beyond the classes", {"dtype": "int64", "classes": ("a", "b")}, np.array([2, 0, 2**64 - 1], "u8"),
         "train.images has labels 2 at sample 0, and 1 more outside, declared is 0 to 1"),
        ("labels that are floats", {"dtype": "int64", "classes": ("a", "b")}, np.array([0.0, 1, 1]),
         "train.images has dtype float64, declared is whole numbers for labels"),
    )  # fmt: skip

    @pytest.mark.parametrize(("declared", "values", "result"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
    def test_they_are_refused(self, declared: dict[str, Any], values: Any, result: str) -> None:
        """In these words."""
        kept = column(FILE, **declared)

        assert refusal([Block(kept, 0, values)], split(kept)).reason == result

    @pytest.mark.parametrize(
        ("dtype", "span", "values"),
        [
            ("float16", (0, 1e9), [0, 5, 65504]),
            ("float32", (0, 0.1), [0, 0.1, 0.05]),
            ("float32", (-1e300, 1e300), [0, 3e38, -3e38]),
            ("uint8", (0, 255), [0, 255, 7]),
            ("int64", (-(10**20), 10**20), [0, 2**62, -(2**62)]),
        ],
    )
    def test_a_range_is_what_the_dtype_makes_of_it(self, dtype: str, span: tuple[float, float], values: Any) -> None:
        """0.1 as float32 is more than 0.1, and is meant; an end that the dtype cannot reach is no end."""
        result = column(FILE, dtype=dtype, range=span)
        given = np.array(values, dtype)

        [block] = checked([Block(result, 0, given)], [split(result)])

        assert block.values is given


def pair(name: str, images: Any, labels: Any) -> tuple[Split, list[Block]]:
    """A split of images and labels, and its blocks, two of them."""
    result = [
        column(FILE, split=name, samples=len(images)),
        column(FILE, "labels", split=name, samples=len(images), dtype="int64"),
    ]
    arrays = (np.array(images, "u1"), np.array(labels))
    runs = [(slice(2, None), 2), (slice(0, 2), 0)]
    return split(*result), [Block(c, at, a[run]) for c, a in zip(result, arrays, strict=True) for run, at in runs]


class TestSplits:
    """Two splits of the same samples are one split under two names."""

    def test_a_split_that_repeats_another_is_refused(self) -> None:
        """With both names and how many; however the samples came in."""
        train, first = pair("train", [1, 2, 3], [0, 1, 0])
        test, second = pair("test", [1, 2, 3], [0, 1, 0])

        error = refusal([*first, *second[::-1]], train, test)

        assert error.reason == "test repeats train: all 3 samples are the same, in the same order"
        assert (error.expected, error.actual) == ("other samples than those of train", "the same")

    @pytest.mark.parametrize(
        ("images", "labels"), [([1, 2, 4], [0, 1, 0]), ([1, 2, 3], [0, 1, 1]), ([1, 2, 3, 3], [0, 1, 0, 0])]
    )
    def test_one_other_value_makes_another_split(self, images: list[int], labels: list[int]) -> None:
        """Its harmless twin: few samples may well have the same labels."""
        train, first = pair("train", [1, 2, 3], [0, 1, 0])
        test, second = pair("test", images, labels)

        assert len(list(checked([*first, *second], [train, test]))) == 8

    def test_texts_repeat_too(self) -> None:
        """String by string: ["ab", "c"] is not ["a", "bc"]."""
        one, other = (column(FILE, split=name, samples=2, dtype="str") for name in ("train", "test"))
        same = [Block(one, 0, ["ab", "c"]), Block(other, 0, ["ab", "c"])]
        alike = [Block(one, 0, ["ab", "c"]), Block(other, 0, ["a", "bc"])]

        assert refusal(same, split(one), split(other)).reason == (
            "test repeats train: all 2 samples are the same, in the same order"
        )
        assert len(list(checked(alike, [split(one), split(other)]))) == 2


def test_whoever_listens_hears_everything() -> None:
    """An audit does not stop at the first fault; what is wrong is left out."""
    result = column(FILE, samples=4, range=(0, 5))
    heard: list[str] = []
    found = [Block(result, 0, VALUES[:2]), Block(result, 1, VALUES[:2]), Block(result, 2, VALUES[6:8])]

    passed = list(checked(found, [split(result)], on_error=lambda error: heard.append(error.reason)))

    assert [block.start for block in passed] == [0]
    assert heard == [
        "train.images has samples 1 to 1 twice, declared is each once",
        "train.images has range [6, 7], declared is [0, 5]",
    ]
