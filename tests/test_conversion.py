"""Shapes and values as a framework wants them: channels, normalization, one-hot labels."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets import Dataset, RaggedArray, Split
from tinytorch_datasets.errors import UnknownName, UsageError
from tinytorch_datasets.storage.string_array import StringArray

RANDOM = np.random.RandomState(0)
GRAY = RANDOM.randint(0, 256, (50, 7, 6)).astype(np.uint8)
FIRST = RANDOM.randint(0, 256, (50, 3, 7, 6)).astype(np.uint8)
LABELS = np.arange(50) % 10
DIGITS = {"labels": {"classes": list("0123456789")}}


def of_images(images: Any, declared: dict[str, Any] | None = None, name: str = "train") -> Split:
    """A split of pictures of 0 to 255 and labels of ten classes."""
    about = {"images": declared or {}, **DIGITS}
    return Split(name, {"images": images, "labels": LABELS[: len(images)]}, scales={"images": 255}, declared=about)


def joined(batches: Any) -> np.ndarray:
    """The pictures of all batches, one behind the other."""
    return np.concatenate([batch.images for batch in batches])


# Each way that a split gives its pictures, in its own order.
WAYS: dict[str, Callable[..., np.ndarray]] = {
    "arrays": lambda split, **wanted: split.arrays(**wanted)[0],
    "batches": lambda split, **wanted: joined(split.batches(7, **wanted)),
    "numbered": lambda split, **wanted: joined(map(split.batches(7, **wanted).__getitem__, range(8))),
    "collate": lambda split, **wanted: np.asarray(split.collate(split.__getitems__(range(50)), **wanted).images),
    "shuffled": lambda split, **wanted: joined(split.batches(7, shuffle=True, seed=1, **wanted))[
        np.argsort(np.random.RandomState(1).permutation(50))
    ],
}


@pytest.mark.parametrize("way", WAYS)
class TestChannels:
    """The axis of channels where a framework wants it."""

    @pytest.mark.parametrize("dtype", [None, "float32", "int16"])
    def test_gray_pictures_get_one(self, way: str, dtype: str | None) -> None:
        """Of length one: (samples, 1, height, width) or (samples, height, width, 1)."""
        plain = of_images(GRAY).arrays(dtype)[0]

        first = WAYS[way](of_images(GRAY), channels="first", dtype=dtype)
        last = WAYS[way](of_images(GRAY), channels="last", dtype=dtype)

        assert (first.shape, last.shape, first.dtype) == ((50, 1, 7, 6), (50, 7, 6, 1), plain.dtype)
        assert np.array_equal(first[:, 0], plain)
        assert np.array_equal(last[..., 0], plain)

    @pytest.mark.parametrize("dtype", [None, "float32", "int16"])
    @pytest.mark.parametrize("stored", ["first", "last"])
    def test_that_of_colors_moves(self, way: str, stored: str, dtype: str | None) -> None:
        """To where it is wanted, and stays where it is already."""
        images = FIRST if stored == "first" else FIRST.transpose(0, 2, 3, 1).copy()
        plain = of_images(FIRST).arrays(dtype)[0]

        for wanted, axes in (("first", (0, 1, 2, 3)), ("last", (0, 2, 3, 1))):
            given = WAYS[way](of_images(images), channels=wanted, dtype=dtype)

            assert given.dtype == plain.dtype
            assert np.array_equal(given, plain.transpose(axes))


class TestWhichAxis:
    """The axis of channels is declared, or certain; else it is asked."""

    @pytest.mark.parametrize(
        ("shape", "declared", "moved"),
        [
            ((3, 32, 32), {}, (3, 32, 32)),
            ((32, 32, 4), {}, (4, 32, 32)),
            ((1, 28, 28), {}, (1, 28, 28)),
            ((4, 5, 3), {"channels": "last"}, (3, 4, 5)),
            ((4, 5, 3), {"channels": "first"}, (4, 5, 3)),
            ((100, 2), {"channels": "last"}, (2, 100)),
            ((100, 6), {"names": list("abcdef")}, (6, 100)),
            ((9, 8, 8, 3), {"channels": "last"}, (3, 9, 8, 8)),
            ((2, 2), {}, (1, 2, 2)),
        ],
    )
    def test_is_known(self, shape: tuple[int, ...], declared: dict[str, Any], moved: tuple[int, ...]) -> None:
        """By its length beside longer ones, by `channels`, or by the names of columns."""
        split = of_images(np.zeros((5, *shape)), declared)

        assert split.arrays(channels="first")[0].shape[1:] == moved

    @pytest.mark.parametrize(
        ("shape", "shown"),
        [((4, 5, 3), "4, 5, 3"), ((7, 8, 9), "7, 8, 9"), ((100, 2), "100, 2"), ((9, 8, 8, 3), "9, 8, 8, 3")],
    )
    @pytest.mark.parametrize("wanted", [{"channels": "first"}, {"normalize": "standard"}])
    def test_is_asked(self, shape: tuple[int, ...], shown: str, wanted: Any) -> None:
        """Before a value is touched; what to write is shown."""
        for call in (partial(of_images(np.zeros((5, *shape))).batches, 2), of_images(np.zeros((5, *shape))).arrays):
            with pytest.raises(UsageError) as caught:
                call(**wanted)

            assert str(caught.value) == (
                f"which axis of field 'images' has the channels is not certain: its samples are [{shown}]\n"
                "  Declare `channels: first`, or last, of the field; or name the others: "
                '`channels={field: "first"}`, `normalize=train.statistics(field)`.'
            )

    def test_other_fields_can_be_named(self) -> None:
        """So that boxes beside pictures ask nothing."""
        split = Split("train", {"images": FIRST, "boxes": np.arange(400.0).reshape(50, 2, 4)})
        boxes = Split("train", {"images": FIRST, "boxes": np.arange(1000.0).reshape(50, 5, 4)})

        images, kept = boxes.arrays(channels={"images": "last"}, normalize=boxes.statistics("images"))

        assert (images.shape, images.dtype, kept) == ((50, 7, 6, 3), np.float32, boxes.boxes)
        with pytest.raises(UsageError, match="which axis of field 'boxes' has the channels is not certain"):
            boxes.arrays(channels="last")
        assert split.arrays(channels="last")[1].shape == (50, 2, 4, 1)

    def test_pictures_of_several_sizes_are_moved_one_by_one(self) -> None:
        """A batch has a list of them."""
        photos = [np.arange(height * 15).reshape(height, 5, 3) for height in (4, 6)]
        split = Split("train", {"photos": RaggedArray.of(photos, sample_shape=(None, 5, 3))})

        (batch,) = split.batches(2, channels="first", dtype="float32")
        (whole,) = split.arrays(channels="first")

        assert whole.sample_shape == (3, None, 5)
        for moved, kept, photo in zip(batch.photos, whole, photos, strict=True):
            assert moved.dtype == np.float32
            assert np.array_equal(moved, photo.transpose(2, 0, 1))
            assert np.array_equal(kept, photo.transpose(2, 0, 1))
        gray = Split("train", {"photos": RaggedArray.of([photo[..., 0] for photo in photos])})
        assert [photo.shape for photo in gray.arrays(channels="last")[0]] == [(4, 5, 1), (6, 5, 1)]

    def test_what_has_no_channels_stays_as_it_is(self) -> None:
        """Features of one axis, labels, masks of classes and texts, beside pictures."""
        masks = np.zeros((50, 7, 6), np.int64)
        fields: Any = {
            "images": GRAY,
            "masks": masks,
            "features": np.zeros((50, 4)),
            "names": StringArray.of(["a"] * 50),
        }
        split = Split("train", fields, declared={"masks": {"classes": ["sky", "sea"]}})

        shapes = [np.shape(values) for values in split.arrays(channels="last")]

        assert shapes == [(50, 7, 6, 1), (50, 7, 6), (50, 4), (50,)]


class TestNormalization:
    """Mean 0 and deviation 1, by statistics that are those of the training samples."""

    @pytest.mark.parametrize("way", WAYS)
    def test_gray_pictures_have_one_mean(self, way: str) -> None:
        """NumPy's own, of pixels brought into 0 to 1."""
        pixels = GRAY / 255

        given = WAYS[way](of_images(GRAY), normalize="standard")

        assert given.dtype == np.float32
        np.testing.assert_allclose(given, (pixels - pixels.mean()) / pixels.std(), atol=1e-5)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("wanted", [None, "first", "last"])
    @pytest.mark.parametrize("stored", ["first", "last"])
    def test_colors_have_one_each(self, way: str, stored: str, wanted: str | None) -> None:
        """Wherever they are stored, and wherever they are wanted."""
        images = FIRST if stored == "first" else FIRST.transpose(0, 2, 3, 1).copy()
        pixels = FIRST / 255
        expected = (pixels - pixels.mean((0, 2, 3), keepdims=True)) / pixels.std((0, 2, 3), keepdims=True)

        given = WAYS[way](of_images(images), normalize="standard", channels=wanted)

        axes = (0, 2, 3, 1) if (wanted or stored) == "last" else (0, 1, 2, 3)
        np.testing.assert_allclose(given, expected.transpose(axes), atol=1e-5)

    def test_large_pictures_too(self) -> None:
        """Whose channels are converted one after the other."""
        images = RANDOM.randint(0, 256, (3, 90, 80, 3)).astype(np.uint8)
        expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))

        np.testing.assert_allclose(of_images(images).arrays(normalize="standard")[0], expected, atol=1e-5)

    def test_columns_of_features_have_one_each(self) -> None:
        """float64 stays float64; a column of equal values becomes 0, and NaN stays and does not count."""
        table = np.array([[1.7e9, 0.1, 1.0], [1.7e9 + 2, 0.1, np.nan], [1.7e9 + 4, 0.1, 3.0]])
        split = Split("train", {"features": table})

        (given,) = split.arrays(normalize="standard")

        assert given.dtype == np.float64
        outer = np.sqrt(1.5)
        np.testing.assert_allclose(given, [[-outer, 0, -1], [0, 0, np.nan], [outer, 0, 1]], atol=1e-15)
        assert split.arrays("float32", normalize="standard")[0].dtype == np.float32

    def test_one_pass_over_many_stretches_is_what_numpy_computes_in_two(self) -> None:
        """Means that are large beside the deviation lose nothing."""
        values = RANDOM.normal(1e6, 1, (300_000, 2))

        mean, deviation = Split("train", {"x": values}).statistics()["x"]

        np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(deviation, values.std(axis=0), rtol=1e-9)

    def test_samples_that_differ_in_length_have_one_mean(self) -> None:
        """Of all their values."""
        sounds = [np.array([1.0, 2.0], np.float32), np.array([3.0], np.float32)]
        split = Split("train", {"sounds": RaggedArray.of(sounds)})

        (given,) = split.arrays(normalize="standard")

        assert split.statistics()["sounds"].mean == 2
        np.testing.assert_allclose(given.flat, np.array([-1, 0, 1]) * np.sqrt(1.5), rtol=1e-6)

    def test_a_split_in_place_of_the_word_is_whose_statistics_count(self) -> None:
        """The test samples are normalized by the training samples, and by no other."""
        train, test = of_images(GRAY[:40]), of_images(GRAY[40:], name="test")
        pixels = GRAY[:40] / 255
        expected = (GRAY[40:] / 255 - pixels.mean()) / pixels.std()

        for by in (train, train.statistics(), {"images": (pixels.mean(), pixels.std())}):
            np.testing.assert_allclose(test.arrays(normalize=by)[0], expected, atol=1e-5)

    def test_standard_means_the_training_split_of_the_data_set(self) -> None:
        """For every split of it, and for parts of them: the same numbers in all, also behind pickle."""
        pixels = GRAY[:40] / 255
        expected = (GRAY / 255 - pixels.mean()) / pixels.std()
        dataset = Dataset(
            "d",
            {"test": of_images(GRAY[40:], name="test"), "train": of_images(GRAY[:40])},
            classes=None,
            describe=pytest.fail,
        )
        train, validation = dataset.train.divide(0.5)

        (x_test, _), (x_train, _) = dataset.arrays(normalize="standard")
        np.testing.assert_allclose(np.concatenate([x_train, x_test]), expected, atol=1e-5)
        np.testing.assert_allclose(dataset.test[5:].arrays(normalize="standard")[0], expected[45:], atol=1e-5)
        np.testing.assert_allclose(
            validation.arrays(normalize="standard")[0], expected[validation.positions], atol=1e-5
        )
        both = (train + validation).arrays(normalize="standard")[0]
        np.testing.assert_allclose(both, expected[[*train.positions, *validation.positions]], atol=1e-5)

    def test_without_a_split_that_is_called_train_it_is_asked(self) -> None:
        """Which of them is for training, no name says."""
        splits = {"old": of_images(GRAY[:40], name="old"), "new": of_images(GRAY[40:], name="new")}
        dataset = Dataset("d", splits, classes=None, describe=pytest.fail)

        for call in (dataset.old.arrays, dataset.new[2:].arrays, dataset.arrays):
            with pytest.raises(UsageError) as caught:
                call(normalize="standard")

            assert str(caught.value) == (
                "data set 'd' has no split that is called train, whose mean and deviation count\n"
                "  Write whose count, such as `normalize=train`."
            )
        assert len(dataset.arrays(normalize=dataset.old)) == 2

    def test_in_a_worker_process_too(self, tmp_path: Path) -> None:
        """The whole goes there as the path of its file, or not at all."""
        np.save(tmp_path / "images.npy", GRAY)
        mapped = of_images(np.load(tmp_path / "images.npy", mmap_mode="r"))

        part = pickle.loads(pickle.dumps(mapped[:5]))
        expected = mapped.arrays(normalize="standard")[0][:5]

        assert np.array_equal(part.arrays(normalize="standard")[0], expected)
        batches = pickle.loads(pickle.dumps(mapped[:5].batches(5, normalize="standard")))
        assert np.array_equal(batches[0].images, expected)
        with pytest.raises(
            UsageError, match="split 'train', whose mean and deviation are the standard, is not in this"
        ):
            pickle.loads(pickle.dumps(of_images(GRAY)[:5])).arrays(normalize="standard")


class TestOneHot:
    """A label as a row of a number a class."""

    @pytest.mark.parametrize(("dtype", "given"), [(None, "float32"), ("float64", "float64"), ("uint8", "uint8")])
    def test_by_the_declared_classes(self, dtype: str | None, given: str) -> None:
        """As many as are declared, whichever of them a batch has."""
        for batch in of_images(GRAY).batches(7, one_hot="labels", dtype=dtype, shuffle=True, seed=0):
            assert batch.labels.dtype == given
            assert batch.labels.shape[1:] == (10,)
            assert (batch.labels.sum(axis=1) == 1).all()
        assert np.array_equal(of_images(GRAY).arrays(one_hot=["labels"])[1], np.eye(10)[LABELS])

    def test_of_truths(self) -> None:
        """Which NumPy would take for a mask, of as many samples as there are classes without a word."""
        split = Split("train", {"labels": np.array([True, False])}, declared={"labels": {"classes": ["no", "yes"]}})

        assert split.arrays(one_hot="labels")[0].tolist() == [[0, 1], [1, 0]]

    def test_labels_with_a_shape_keep_their_dtype(self) -> None:
        """As those without: frameworks take labels as integers, and they are no quantities that are divided."""
        masks = np.array([[[0, 1], [1, 1]]], np.uint8)
        split = Split("train", {"masks": masks}, declared={"masks": {"classes": ["a", "b"]}}, scales={"masks": 255})

        assert split.arrays("float32")[0] is split.masks
        assert split.arrays("float32", one_hot="masks")[0][0, 0].tolist() == [[1, 0], [0, 1]]

    @pytest.mark.parametrize("labels", [RaggedArray.of([[1, 0], [1]]), StringArray.of("ab"), np.zeros(2)])
    def test_of_what_are_no_whole_numbers_is_refused(self, labels: Any) -> None:
        """Or not as many in each sample."""
        with pytest.raises(UsageError) as caught:
            Split("train", {"labels": labels}, declared=DIGITS).batches(1, one_hot="labels")

        assert str(caught.value) == (
            "one-hot labels are made of whole numbers, as many in each sample, which field 'labels' has not"
        )

    def test_a_label_of_no_class_is_refused(self) -> None:
        """A missing one may be -1, which NumPy would take for the last class."""
        split = Split("train", {"labels": np.array([0, -1])}, declared=DIGITS)

        with pytest.raises(ValueError) as caught:
            split.arrays(one_hot="labels")

        assert str(caught.value) == "labels of 10 classes are 0 to 9, and there are -1 to 0"


class TestRefusals:
    """What cannot be is refused when it is asked for, in a sentence."""

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ({"channels": "frist"}, "channels is \"first\" or \"last\", not 'frist'; did you mean 'first'?"),
            ({"channels": True}, 'channels is "first" or "last", not True'),
            (
                {"normalize": "standrad"},
                "normalize is \"standard\", a split, or {field: (mean, deviation)}, not 'standrad'; "
                "did you mean 'standard'?",
            ),
            ({"normalize": True}, 'normalize is "standard", a split, or {field: (mean, deviation)}, not True'),
            (
                {"normalize": "standard", "dtype": "uint8"},
                "what is normalized is fractions, which dtype uint8 does not hold; leave it out, or use a float",
            ),
            (
                {"normalize": {"images": 3}},
                "field 'images' is normalized by (mean, deviation), numbers or one for each channel, not by 3",
            ),
            (
                {"normalize": {"images": (0.5, -1)}},
                "field 'images' is normalized by (mean, deviation), numbers or one for each channel, not by (0.5, -1)",
            ),
            (
                {"normalize": {"images": ((0, 0), (1, 1))}},
                "field 'images' has 3 channels, and means and deviations of 2",
            ),
            (
                {"normalize": {"labels": (0, 1)}},
                "field 'labels' is not normalized: its samples are no pictures and no features",
            ),
            ({"one_hot": "images"}, "field 'images' has no declared classes, by which it could be one-hot"),
            ({"one_hot": True}, "one_hot is the name of a field with classes, or several: one_hot='labels'; not True"),
        ],
    )
    def test_word_for_word(self, wanted: Any, message: str) -> None:
        """By `batches` as by `arrays`."""
        split = of_images(FIRST)
        for call in (split.arrays, partial(split.batches, 8), partial(split.collate, split[:2])):
            with pytest.raises(UsageError) as caught:
                call(**wanted)

            assert str(caught.value) == message

    def test_names_get_a_guess(self) -> None:
        """Of those that can be meant."""
        with pytest.raises(UnknownName, match="no field with classes named 'lables'; did you mean 'labels'"):
            of_images(GRAY).batches(8, one_hot="lables")
        with pytest.raises(UnknownName, match="no field named 'image'; did you mean 'images'"):
            of_images(GRAY).batches(8, normalize={"image": (0, 1)})

    def test_of_fields_that_are_named(self) -> None:
        """By a mapping of channels, and for statistics."""
        split = of_images(FIRST)

        with pytest.raises(UnknownName, match="no field of pictures named 'image'; did you mean 'images'"):
            split.batches(8, channels={"image": "first"})
        with pytest.raises(UsageError, match="channels is \"first\" or \"last\", not 'fist'; did you mean 'first'"):
            split.batches(8, channels={"images": "fist"})  # type: ignore[dict-item]
        with pytest.raises(UnknownName, match="no field of pictures or features named 'labels'"):
            split.statistics("labels")

    def test_what_could_be_normalized_is_not_there(self) -> None:
        """Nothing would be done, and nobody would notice."""
        words = Split("train", {"words": StringArray.of(["a"]), "labels": np.arange(1)})

        ways: list[Any] = ["standard", words, {}]
        for by in ways:
            with pytest.raises(UsageError) as caught:
                words.arrays(normalize=by)

            assert str(caught.value) == ("no field has pictures or features that could be normalized: words, labels")

    def test_channels_of_what_has_none(self) -> None:
        """A table has columns."""
        split = Split("train", {"features": np.zeros((3, 4)), "labels": np.arange(3)})

        with pytest.raises(UsageError) as caught:
            split.arrays(channels="first")

        assert str(caught.value) == "no field has pictures, whose channels could be first: features, labels"

    def test_statistics_that_are_none(self) -> None:
        """An infinite value, a number that stands for a missing one, or no value at all."""
        infinite = Split("train", {"x": np.array([[np.inf, 1.0]])})
        missing = Split("train", {"x": np.array([[-1, 1]])}, declared={"x": {"missing_value": -1}})

        with pytest.raises(UsageError, match=r"^field 'x' has infinite values"):
            infinite.statistics()
        with pytest.raises(UsageError, match=r"^field 'x' has -1 for missing values, which would count as a value\n"):
            missing.statistics()
        with pytest.raises(UsageError, match=r"^field 'x' has -1 for missing values, which would count as a value\n"):
            missing.arrays(normalize={"x": (0, 1)})
        for values, which in ((np.empty((0, 2)), "field 'x'"), (np.array([[0, np.nan]]), "channel 1 of field 'x'")):
            with pytest.raises(UsageError) as caught:
                missing[:0].arrays(normalize=Split("train", {"x": values}))
            assert str(caught.value) == f"{which} has no values, or missing ones alone, and so no mean and deviation"

    def test_statistics_of_another_scale(self) -> None:
        """Of columns in another order, or of integers that are 0 to 1 here and 0 to 255 there."""
        plain = Split("train", {"images": GRAY})
        first, second = (Split("t", {"x": np.eye(2)}, declared={"x": {"names": names}}) for names in ("ab", "ba"))

        for split, by, what in (
            (plain, of_images(GRAY), "range of field 'images'"),
            (first, second, "names of field 'x'"),
        ):
            for one, other in ((split, by), (by, split)):
                with pytest.raises(UsageError) as caught:
                    one.arrays(normalize=other)
                assert str(caught.value) == f"{what} differ between two splits, so one is not normalized by the other"


class TestExactness:
    """A value is what it was, as far as floats have digits, or is refused."""

    @pytest.mark.parametrize(
        ("values", "dtype", "message"),
        [
            ([0.0, np.nan], "bool", "bool holds neither infinity nor NaN, and there are such values"),
            ([0, 2], "bool", "bool holds 0 to 1; there are values of 0 to 2"),
            ([1 + 2j, 0], "float32", "complex128 has an imaginary part, which float32 does not hold"),
            ([0, 65_535], "float16", "float16 holds numbers up to 65504, and there are larger ones"),
            ([0, 1e39], "float32", "float32 holds numbers up to 3.40282e+38, and there are larger ones"),
        ],
    )
    def test_what_a_dtype_does_not_hold_is_refused(self, values: list[Any], dtype: str, message: str) -> None:
        """In each way, and in the middle of a pass."""
        split = Split("train", {"x": np.array([values])})

        for convert in (
            lambda: split.arrays(dtype),
            lambda: list(split.batches(1, dtype=dtype, shuffle=True, prefetch=1)),
            lambda: split.collate(split[:], dtype=dtype),
        ):
            with pytest.raises(ValueError) as caught:
                convert()
            assert str(caught.value) == message
        assert np.isinf(Split("t", {"x": np.array([[np.inf]])}).arrays("float16")[0]).all()  # which is held

    def test_either_byte_order(self) -> None:
        """Scaled, normalized or neither."""
        ways: list[dict[str, Any]] = [{}, {"normalize": "standard"}, {"channels": "first"}]
        for wanted in ways:
            swapped = of_images(GRAY).arrays(">f4", **wanted)[0]

            assert swapped.dtype == np.dtype(">f4")
            assert np.array_equal(swapped, of_images(GRAY).arrays("float32", **wanted)[0])

    def test_a_mean_that_is_large_shifts_nothing(self) -> None:
        """Two float32 beside one another are -1 and 1, though their mean is no float32."""
        years = np.array([[2**24], [2**24 + 2]], np.float32)

        (normalized,) = Split("train", {"x": years}).arrays(normalize="standard")

        assert normalized.dtype == np.float32
        assert normalized.tolist() == [[-1], [1]]

    def test_samples_that_the_split_has_no_room_for_are_refused(self) -> None:
        """By `collate` one by one: of another dtype, or with their fields in another order."""
        split = Split("train", {"images": GRAY, "labels": LABELS})
        other = Split("train", {"labels": LABELS, "images": GRAY})

        assert split.collate([(GRAY[3].astype(float), 7.0)]).images.tolist() == GRAY[[3]].tolist()
        for sample in ((GRAY[3] / 255, 7), (GRAY[3].astype(int) + 256, 7)):
            with pytest.raises(ValueError, match=r"^uint8 does not hold all of the values$"):
                split.collate([sample])
        with pytest.raises(ValueError, match=r"^samples have the fields labels, images, and the split has images, lab"):
            split.collate([other[0]])
        assert np.array_equal(split.collate(other.__getitems__([3])).images, GRAY[[3]])
        with pytest.raises(TypeError, match=r"^samples are named by a number, a slice, or a list .*, not by \[1.5\]$"):
            split.__getitems__([1.5])  # type: ignore[list-item]

    def test_arguments_that_are_written_to_are_looked_at_anew(self) -> None:
        """A loader keeps them for all batches."""
        split = of_images(GRAY)
        channels: dict[str, Any] = {"images": "first"}
        assert split.collate(split[:2], channels=channels).images.shape == (2, 1, 7, 6)
        part = split[:2]
        assert part.collate(part, channels=channels).images.shape == (2, 1, 7, 6)

        channels["images"] = "last"

        assert part.collate(part, channels=channels).images.shape == (2, 7, 6, 1)
