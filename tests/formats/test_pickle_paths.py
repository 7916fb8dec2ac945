"""Pickles whose root is no dict: a key is a path of keys and positions."""

from __future__ import annotations

import gzip
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.format_writers import CLASSES, column, member, memory_below, put, read, split, tarred, zipped
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError, UnsafePickle
from tinytorch_datasets.plan import RaggedBlock, Split

X, Y = np.arange(6, dtype="f4").reshape(3, 2), np.array([2, 0, 1])


def at(root: Any, key: str, folder: Path, **declared: Any) -> Any:
    """What the one column of a pickle is, at that key."""
    file = put(folder / "data", pickle.dumps(root, 2))
    return read("pickle", split(column(file, **{"dtype": "float32", "shape": (2,), "key": key, **declared})))[
        "train.images"
    ]


@pytest.mark.parametrize(
    ("root", "key"),
    [
        ((X, Y), "0"),
        ([Y, X], "1"),
        (((Y, Y), (Y, X)), "1.1"),
        ([[Y, [Y, (X,)]]], "0.1.1.0"),
        ({"train": (X, Y)}, "train.0"),
        ({"train": {"x": X, "y": Y}}, "train.x"),
        ({b"train": {b"x": X}}, "train.x"),
        ({"a.b": X, "a": {"b": Y}}, "a.b"),
        ({"a.b": {"c": X}, "a": {"b.c": Y}}, "a.b.c"),
        ({"a": {"b.c": X}}, "a.b.c"),
        ({"images": X}, "images"),
        (X, "images"),
        (X.tolist(), "images"),
        (list(X), "images"),
    ],
    ids=str,
)
def test_a_key_is_a_path(root: Any, key: str, tmp_path: Path) -> None:
    """A dict's own key is taken first; an array that is all there is has no key, but its field's name."""
    np.testing.assert_array_equal(at(root, key, tmp_path), X, strict=True)


@pytest.mark.parametrize(
    ("root", "key", "reason"),
    [
        ((X, Y), "2", "it is a tuple of 2, whose positions begin with 0; there is no '2'"),
        ([X, Y], "-1", "it is a list of 2, whose positions begin with 0; there is no '-1'"),
        ((X, Y), "images", "its value is a tuple, not an array"),
        ((X, Y), "x", "it is a tuple of 2, whose positions begin with 0; there is no 'x'"),
        ((X, Y), "0.0", "its '0' is an array of float32, in which there is no '0'"),
        (((X, Y), (X, Y)), "1", "its '1' is a tuple, not an array"),
        ({"train": (X, Y)}, "train", "its 'train' is a tuple, not an array"),
        ({"train": (X, Y)}, "train.9", "its 'train' is a tuple of 2, whose positions begin with 0; there is no '9'"),
        ({"train": {"x": X}}, "train.X", "its 'train' has no 'X'; did you mean 'x'?"),
        ({"train": {"x": X}}, "tain.x", "it has no 'tain'; did you mean 'train'?"),
        ({"images": X}, "\u0660", "it has no '\u0660'; it has 'images'"),
        ((X, Y), "0" * 5000, f"it is a tuple of 2, whose positions begin with 0; there is no '{'0' * 5000}'"),
    ],
    ids=str,
)
def test_a_path_that_leads_nowhere(root: Any, key: str, reason: str, tmp_path: Path) -> None:
    """The error shows how far it led, and what is there."""
    with pytest.raises(DecodeError) as caught:
        at(root, key, tmp_path)

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("root", "key", "hint"),
    [
        ((X, Y), "images", 'Write which of its 2 it is: `images: "0"` is the first.'),
        ({"train": (X, Y)}, "train", 'Write which of its 2 it is: `images: "train.0"` is the first.'),
        ({"images": {"x": X}}, "images", 'Write which of its 1 it is: `images: "images.x"` is the first.'),
    ],
    ids=str,
)
def test_a_path_that_is_too_short(root: Any, key: str, hint: str, tmp_path: Path) -> None:
    """The hint is what to write."""
    with pytest.raises(DecodeError) as caught:
        at(root, key, tmp_path)

    assert caught.value.hint == hint


@pytest.mark.parametrize("protocol", [2, 4])
def test_three_splits_in_one_tuple(protocol: int, tmp_path: Path) -> None:
    """As the pickle of MNIST that courses have used since 2010: three pairs of images and labels, compressed."""
    random = np.random.default_rng(0)
    pairs = [(random.random((n, 784), "f4"), random.integers(0, 10, n)) for n in (50, 10, 20)]
    file = put(tmp_path / "mnist.pkl.gz", gzip.compress(pickle.dumps(tuple(pairs), protocol)))
    digits = tuple("0123456789")
    splits = [
        split(
            column(file, split=name, samples=len(pair[1]), dtype="float32", shape=(784,), key=f"{at}.0"),
            column(file, "labels", split=name, samples=len(pair[1]), dtype="int64", classes=digits, key=f"{at}.1"),
        )
        for at, (name, pair) in enumerate(zip(("train", "valid", "test"), pairs, strict=True))
    ]

    found = read("pickle", *splits)

    for name, (images, labels) in zip(("train", "valid", "test"), pairs, strict=True):
        np.testing.assert_array_equal(found[f"{name}.images"], images, strict=True)
        np.testing.assert_array_equal(found[f"{name}.labels"], labels, strict=True)


@pytest.mark.parametrize("pack", ["zip", "tar"])
def test_a_pickle_inside_an_archive(pack: str, tmp_path: Path) -> None:
    """It is read there, and what it asks for is at hand for an audit."""
    data = pickle.dumps((X, Y))
    file = put(tmp_path / "data", zipped({"a/x.pkl": data}) if pack == "zip" else tarred(member("a/x.pkl", data)))
    result = split(column(file, dtype="float32", shape=(2,), key="0", member=("a/x.pkl",)))
    find = formats.of("pickle").pickles
    assert find is not None

    np.testing.assert_array_equal(read("pickle", result)["train.images"], X, strict=True)
    assert [(path, name) for path, name, _ in find([result])] == [(file, "a/x.pkl")]
    with pytest.raises(DecodeError, match=r"member 'a/x\.pkl': it is a tuple of 2"):
        read("pickle", split(column(file, dtype="float32", shape=(2,), key="7", member=("a/x.pkl",))))


@pytest.mark.parametrize("pack", ["zip", "tar"])
def test_an_npz_inside_an_archive(pack: str, tmp_path: Path) -> None:
    """It is held in memory, as it is packed, and bounded by what is declared of its fields."""

    def written(data: bytes) -> Path:
        return put(tmp_path / "data", zipped({"a/x.npz": data}) if pack == "zip" else tarred(member("a/x.npz", data)))

    declared: dict[str, Any] = {"dtype": "float32", "shape": (2,), "member": ("a/x.npz",)}
    stored = io.BytesIO()
    np.savez(stored, images=X)

    found = read("npz", split(column(written(stored.getvalue()), **declared)))["train.images"]
    np.testing.assert_array_equal(found, X, strict=True)

    np.savez(stored := io.BytesIO(), images=X, more=np.zeros(10**7))
    file = written(gzip.compress(stored.getvalue()))
    most = 24 + 32 * file.stat().st_size + 64 * 3 + (1 << 20)
    with memory_below(32), pytest.raises(DecodeError) as caught:
        read("npz", split(column(file, **declared)))
    assert caught.value.reason == (
        f"member 'a/x.npz': more than {most:,} bytes come out of it, but its declared fields take 24"
    )


class TestLists:
    """Lists in a pickle are arrays of what is in them."""

    @pytest.mark.parametrize(
        ("values", "dtype"),
        [([0.5, 1, 2], "float64"), ([0.5, 1, 2], "float32"), ([1, 2, 255], "uint8"), ([True, False, True], "bool")],
    )
    def test_of_numbers(self, values: list[Any], dtype: str, tmp_path: Path) -> None:
        """In the declared dtype, which must have each of them."""
        found = at({"images": values}, "images", tmp_path, dtype=dtype, shape=())

        np.testing.assert_array_equal(found, np.array(values, dtype), strict=True)

    @pytest.mark.parametrize("values", [["ant", "", "caf\u00e9"], np.array(["ant", "", "caf\u00e9"], object)], ids=str)
    def test_of_texts(self, values: Any, tmp_path: Path) -> None:
        """As a list or as an array; and as names of classes."""
        if isinstance(values, np.ndarray):
            with pytest.raises(UnsafePickle):  # only where objects are expected, and npz has them
                at({"images": values}, "images", tmp_path, dtype="str", shape=())
            return
        assert at({"images": values}, "images", tmp_path, dtype="str", shape=()) == values
        assert at(["bee", "ant", "bee"], "images", tmp_path, dtype="int64", shape=(), classes=CLASSES) == [
            *("bee", "ant", "bee")
        ]

    @pytest.mark.parametrize("protocol", range(6))
    def test_of_lists_that_differ(self, protocol: int, tmp_path: Path) -> None:
        """As a ragged field, beside labels and texts of the same file."""
        lists = [list(range(n * 300)) for n in range(9)] + [[1], []]
        root = (lists, list(range(11)), ["a"] * 11, X)
        file = put(tmp_path / "data", pickle.dumps(root, protocol))
        result = split(
            column(file, samples=11, dtype="int32", shape=(None,), key="0"),
            column(file, "labels", samples=11, dtype="int64", key="1"),
            column(file, "texts", samples=11, dtype="str", key="2"),
            column(file, "more", samples=11, dtype="float32", shape=(2,), key="3"),
        )
        images, labels, texts, more = (block.values for block in formats.of("pickle").decode([result]))

        assert isinstance(images, RaggedBlock)
        assert images.shapes.reshape(-1).tolist() == [len(one) for one in lists]
        np.testing.assert_array_equal(images.values, np.concatenate(lists).astype("i4"), strict=True)
        np.testing.assert_array_equal(labels, np.arange(11), strict=True)
        assert texts == ["a"] * 11
        np.testing.assert_array_equal(more, X, strict=True)

    def test_more_than_declared(self, tmp_path: Path) -> None:
        """Of each kind, with both numbers."""
        for root, declared in (
            ([1, 2, 3, 4], {"shape": (), "dtype": "int64"}),
            (["a"] * 4, {"shape": (), "dtype": "str"}),
        ):
            with pytest.raises(ContentError, match=r"4 .*, more than train\.images declares: 3") as caught:
                at(root, "images", tmp_path, **declared)
            assert (caught.value.aspect, caught.value.expected, caught.value.actual) == ("samples", 3, 4)


class TestPublishedLayouts:
    """Archives as Keras publishes them: lists as objects, labels as numbers, tables of floats."""

    @pytest.mark.parametrize(("words", "classes", "count"), [(88_584, 2, 250), (30_979, 46, 112)])
    def test_reviews_and_newswires(self, words: int, classes: int, count: int, tmp_path: Path) -> None:
        """IMDB: x_train and its kin in one file; Reuters: x and y, to be split later."""
        random = np.random.default_rng(113)
        lists = np.empty(count, object)
        lists[:] = [random.integers(1, words, random.integers(10, 2000)).tolist() for _ in range(count)]
        labels = random.integers(0, classes, count)
        file = tmp_path / "data.npz"
        np.savez(file, x=lists, y=labels)
        result = Split(
            "train",
            count,
            {
                "words": column(file, "words", samples=count, dtype="int32", shape=(None,), key="x"),
                "labels": column(file, "labels", samples=count, dtype="int64", key="y"),
            },
            file=file,
        )
        with memory_below(64):
            blocks = list(formats.of("npz").decode([result]))

        found = [one for block in blocks if isinstance(block.values, RaggedBlock) for one in block.values.samples()]
        assert [one.tolist() for one in found] == list(lists)
        np.testing.assert_array_equal(blocks[-1].values, labels, strict=True)

    @pytest.mark.parametrize(("count", "columns"), [(506, 13), (2064, 8)])
    def test_housing(self, count: int, columns: int, tmp_path: Path) -> None:
        """Boston and California: features and prices as float64."""
        random = np.random.default_rng(113)
        x, y = random.random((count, columns)), random.random(count)
        file = tmp_path / "data.npz"
        np.savez(file, x=x, y=y)
        result = split(
            column(file, samples=count, dtype="float64", shape=(columns,), key="x"),
            column(file, "prices", samples=count, dtype="float64", key="y"),
        )

        found = read("npz", result)

        np.testing.assert_array_equal(found["train.images"], x, strict=True)
        np.testing.assert_array_equal(found["train.prices"], y, strict=True)
