"""What a person holds after get(): splits, samples, batches."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets import Dataset, RaggedArray, Split
from tinytorch_datasets.errors import MissingFile, StorageError, UnknownName, UsageError
from tinytorch_datasets.storage.string_array import StringArray


@pytest.fixture
def split() -> Split:
    """Ten images of 2x2 whose pixels are the sample's number, and labels 0 to 9."""
    images = np.repeat(np.arange(10, dtype=np.uint8), 4).reshape(10, 2, 2) * 25
    labels = np.arange(10)
    for values in (images, labels):
        values.flags.writeable = False
    return Split("train", {"images": images, "labels": labels}, scales={"images": 255})


class TestSplit:
    """A split is a sequence of samples with its fields as attributes."""

    def test_fields_are_attributes_and_keys(self, split: Split) -> None:
        """Both give the same array, without a copy."""
        assert split.fields == ("images", "labels")
        assert split.images is split["images"]
        assert split.labels.tolist() == list(range(10))

    def test_a_sample_is_a_tuple_of_fresh_values(self, split: Split) -> None:
        """Writing into a sample cannot reach the data set."""
        image, label = split[3]
        image[:] = 0

        assert (split[3][0] == 75).all()
        assert label == 3
        assert split[-1][1] == 9

    def test_a_slice_or_a_list_of_indices_is_a_smaller_split(self, split: Split) -> None:
        """So that a subset trains, batches and counts as the whole does."""
        assert len(split[2:5]) == 3
        assert split[2:5].labels.tolist() == [2, 3, 4]
        assert split[[7, 1]].labels.tolist() == [7, 1]
        assert split[split.labels % 2 == 0].labels.tolist() == [0, 2, 4, 6, 8]
        assert np.shares_memory(split[2:5].images, split.images)

    def test_a_number_in_an_array_is_a_number(self, split: Split) -> None:
        """What indexing an array of indices gives is one sample."""
        assert split[np.array(3)][1] == split[3][1]
        assert StringArray.of(["a", "b"])[np.array(1)] == "b"

    def test_no_sample_is_named_by_a_truth(self, split: Split) -> None:
        """Nor by a table of numbers: NumPy would make other dimensions of both."""
        words = "samples are named by a number, a slice, or a list of numbers or of truths, not by "
        for index in (True, np.True_, np.array(False), np.array([[1, 2]]), 1.5, ["images"], ([1, 2], 3), [[1], [2, 3]]):
            for indexed in (split, StringArray.of(["a", "b"])):
                with pytest.raises(TypeError) as caught:
                    indexed[index]  # type: ignore[index]

                assert str(caught.value) == words + repr(index)

    def test_nothing_can_be_put_in_its_place(self, split: Split) -> None:
        """Everyone in the process has the same data set, and half of its methods would not see the change."""
        dataset = Dataset("d", {"train": split}, classes=None, describe=pytest.fail)
        for holder, name in ((split, "images"), (dataset, "train"), (dataset, "anything")):
            with pytest.raises(AttributeError, match=rf"'{name}' cannot be set: a (split|dataset) stays as it was"):
                setattr(holder, name, None)

    def test_a_class_of_ones_own_has_what_it_likes(self, split: Split) -> None:
        """Nobody else is handed it."""

        class Augmented(Split):
            """With a transform, as PyTorch's have."""

        augmented = Augmented("train", {"images": split.images})
        augmented.transform = len

        assert augmented.transform is len

    def test_a_sample_is_found_by_its_values(self, split: Split) -> None:
        """As in any sequence: `in`, `index`, `count`."""
        other = (np.ones((2, 2)), 3)

        assert split[3] in split
        assert (other in split, 3 in split) == (False, False)
        assert (split.index(split[3]), split.count(split[3]), split.count(other)) == (3, 1, 0)
        with pytest.raises(ValueError, match="no such sample in split 'train'"):
            split.index(split[3], 4)

    def test_an_empty_list_is_an_empty_split(self, split: Split) -> None:
        """As an empty slice is."""
        assert len(split[[]]) == len(split[:0]) == 0

    def test_iterating_gives_every_sample_once(self, split: Split) -> None:
        """The loop ends where the samples do."""
        assert [label for _, label in split] == list(range(10))

    def test_a_sample_outside_is_an_index_error(self, split: Split) -> None:
        """The message has the number of samples."""
        with pytest.raises(IndexError) as caught:
            split[10]

        assert str(caught.value) == "sample 10 of split 'train', which has 10"

    def test_a_wrong_field_gets_a_guess(self, split: Split) -> None:
        """As an attribute and as a key."""
        with pytest.raises(AttributeError) as attribute:
            split.image  # noqa: B018
        with pytest.raises(UnknownName) as key:
            split["lables"]

        assert str(attribute.value).startswith("no field of split 'train' named 'image'; did you mean 'images'?")
        assert str(key.value).startswith("no field of split 'train' named 'lables'; did you mean 'labels'?")

    def test_its_repr_names_what_it_has(self, split: Split) -> None:
        """One line, enough to know what to do with it."""
        assert repr(split) == "<Split train: 10 samples of images uint8[2, 2], labels int64>"


class TestConversion:
    """A float dtype brings integers of a declared range into 0 to 1; labels stay labels."""

    def test_images_are_divided_by_the_top_of_their_range(self, split: Split) -> None:
        """Bit for bit what dividing as float32 gives."""
        images, labels = split.arrays(dtype="float32")

        assert images.dtype == np.float32
        np.testing.assert_array_equal(images, split.images.astype(np.float32) / np.float32(255))
        assert labels.dtype == np.int64

    def test_nothing_is_copied_without_a_dtype(self, split: Split) -> None:
        """The arrays are the fields themselves."""
        images, labels = split.arrays()

        assert images is split.images
        assert labels is split.labels

    def test_floats_keep_their_values(self) -> None:
        """TinyDigits is in 0 to 1 on disk already."""
        split = Split("train", {"images": np.full((2, 3), 0.5, np.float32)}, scales={"images": 1})

        assert split.arrays(dtype="float64")[0].tolist() == [[0.5] * 3] * 2

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    @pytest.mark.parametrize(("wide", "top"), [("uint16", 65535), ("uint16", 60000), ("uint32", 2**32 - 1)])
    def test_a_range_that_is_wider_than_the_floats(self, dtype: str, wide: str, top: int) -> None:
        """0 to 1 all the same: what stands between is divided before it is rounded."""
        values = np.array([[0, top // 2, top]], wide)
        (divided,) = Split("train", {"x": values}, scales={"x": top}).arrays(dtype)

        assert divided.dtype == dtype
        np.testing.assert_array_equal(divided, (values.astype("float64") / top).astype(dtype))

    def test_what_is_converted_is_fresh(self) -> None:
        """Also where the dtype is that already: training code normalizes in place."""
        values = np.full((2, 3), 0.5, np.float32)
        values.flags.writeable = False
        split = Split("train", {"x": values})
        (converted,) = split.arrays("float32")
        converted -= 0.5

        assert split.x[0, 0] == 0.5
        assert next(iter(split.batches(1, dtype="float32")))[0].flags.writeable

    def test_an_integer_type_that_cannot_hold_them_is_refused(self, split: Split) -> None:
        """It would wrap round."""
        with pytest.raises(ValueError) as caught:
            split.arrays("int8")

        assert str(caught.value) == "int8 holds -128 to 127; there are values of 0 to 225"
        assert split[:5].arrays("int8")[0].dtype == "int8"

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (300.5, "uint8 holds 0 to 255; there are values of 300 to 300"),
            (float("nan"), "uint8 holds neither infinity nor NaN, and there are such values"),
            (float("-inf"), "uint8 holds neither infinity nor NaN, and there are such values"),
            (0.5, "uint8 holds whole numbers, and there are fractions, such as 0.5"),
        ],
    )
    def test_floats_that_an_integer_type_cannot_hold_are_refused(self, value: float, message: str) -> None:
        """Fractions too, which NumPy would cut: pixels of 0 to 1 would all be black."""
        with pytest.raises(ValueError) as caught:
            Split("train", {"x": np.array([[value]])}).arrays("uint8")

        assert str(caught.value) == message
        assert Split("train", {"x": np.array([[1.0]])}).arrays("uint8")[0].tolist() == [[1]]

    def test_another_integer_type_is_a_cast(self, split: Split) -> None:
        """Only floats are scaled."""
        assert split.arrays(dtype="int32")[0].max() == 225


class TestBatches:
    """Batches go through every sample once; a seed makes their order the same everywhere."""

    def test_sequential_batches_are_views(self, split: Split) -> None:
        """Without shuffling or converting there is nothing to copy."""
        batches = list(split.batches(4))

        assert [len(labels) for _, labels in batches] == [4, 4, 2]
        assert all(np.shares_memory(images, split.images) for images, _ in batches)

    def test_images_and_labels_stay_together_when_shuffled(self, split: Split) -> None:
        """Each image's pixels say which label it had."""
        for images, labels in split.batches(3, shuffle=True, seed=5):
            assert (images[:, 0, 0] == labels * 25).all()

    def test_shuffling_is_a_permutation_that_the_seed_decides(self, split: Split) -> None:
        """The order is RandomState(seed).permutation, whose stream NumPy has promised to keep (NEP 19)."""
        order = np.concatenate([labels for _, labels in split.batches(4, shuffle=True, seed=0)])

        assert order.tolist() == [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]

    def test_each_pass_has_a_new_order(self, split: Split) -> None:
        """Epochs over the same batches differ, and together are decided by the one seed."""
        batches = split.batches(10, shuffle=True, seed=1)
        first, second = (next(iter(batches))[1].tolist() for _ in range(2))

        assert sorted(first) == sorted(second) == list(range(10))
        assert first != second

    def test_a_short_last_batch_can_be_dropped(self, split: Split) -> None:
        """The length agrees with what is given."""
        batches = split.batches(4, drop_last=True)

        assert len(batches) == len(list(batches)) == 2
        assert len(split.batches(4)) == 3

    def test_batches_convert(self, split: Split) -> None:
        """Each batch is what arrays() gives for the same samples."""
        images, _ = next(iter(split.batches(4, dtype="float32")))

        np.testing.assert_array_equal(images, split.arrays(dtype="float32")[0][:4])

    def test_batches_made_ahead_are_the_same_batches(self, split: Split) -> None:
        """A thread changes when they are made, and nothing else."""
        ahead = [labels.tolist() for _, labels in split.batches(3, shuffle=True, seed=7, prefetch=2)]
        then = [labels.tolist() for _, labels in split.batches(3, shuffle=True, seed=7)]

        assert ahead == then

    def test_leaving_a_loop_ends_the_thread(self, split: Split) -> None:
        """No thread is left that waits for someone to take its batches."""

        def threads() -> list[threading.Thread]:
            return [thread for thread in threading.enumerate() if thread.name == "batches"]

        for number, _ in enumerate(split.batches(1, prefetch=2)):
            time.sleep(0.001)  # work between batches, which a thread is started for
            if number == 3:
                assert threads()
                break

        assert not threads()

    def test_a_loop_that_is_never_left_lets_python_end(self) -> None:
        """Nobody waits for a thread that is held for ever: Python 3.13 would."""
        code = (
            "import threading, time; import numpy as np; from tinytorch_datasets.split import Split;"
            "it = iter(Split('s', {'x': np.zeros((1000, 8))}).batches(4, prefetch=2));"
            "[(next(it), time.sleep(0.001)) for _ in range(5)]; print(threading.active_count())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

        assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")

    def test_whatever_is_wrong_is_reported_at_once(self, split: Split) -> None:
        """Not when the first batch is made, or in a thread."""
        dtype_is = 'dtype is one of numbers, such as "float32", not'
        cases: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"prefetch": -1}, ValueError, "0 batches or more are made ahead, not -1"),
            ({"prefetch": "2"}, ValueError, "0 batches or more are made ahead, not '2'"),
            ({"seed": -1}, ValueError, "a seed is 0 to 2**32 - 1, not -1"),
            ({"seed": "x"}, ValueError, "a seed is 0 to 2**32 - 1, not 'x'"),
            ({"dtype": "flaot32"}, TypeError, f"{dtype_is} 'flaot32'; did you mean 'float32'?"),
            ({"dtype": "datetime64[s]"}, TypeError, f"{dtype_is} 'datetime64[s]'"),
            ({"dtype": object}, TypeError, f"{dtype_is} <class 'object'>"),
            ({"shuffle": "yes"}, UsageError, "shuffle is True or False, not 'yes'"),
            ({"shuffle": 1}, UsageError, "shuffle is True or False, not 1"),
            ({"drop_last": "no"}, UsageError, "drop_last is True or False, not 'no'"),
        ]
        for more, kind, message in cases:
            with pytest.raises(kind) as caught:
                split.batches(4, **more)

            assert str(caught.value) == message

    def test_its_repr_says_how_many(self, split: Split) -> None:
        """And how large they are."""
        assert repr(split.batches(4)) == "<Batches: 3 of 4 samples>"

    @pytest.mark.parametrize("size", [0, -1, 2.5, True])
    def test_a_size_that_is_no_count_is_refused(self, split: Split, size: object) -> None:
        """At the call, not at the first batch."""
        with pytest.raises(ValueError, match="a batch has 1 sample or more"):
            split.batches(size)  # type: ignore[arg-type]


class TestTexts:
    """Strings in one buffer behave as a sequence of str."""

    WORDS = ("", "a", "caf\u00e9", "\U0001f600 smile", "line\u2028separator", "z" * 1000)

    def test_equals_the_strings_it_was_made_of(self) -> None:
        """Every character comes back, at every index."""
        texts = StringArray.of(self.WORDS)

        assert list(texts) == list(self.WORDS)
        assert texts == list(self.WORDS)
        assert texts[-1] == self.WORDS[-1]
        assert texts[1:3] == ["a", "caf\u00e9"]
        assert texts[[3, 0]] == ["\U0001f600 smile", ""]
        assert texts.index("a") == 1
        assert texts != ["a"]

    def test_an_index_outside_is_an_index_error(self) -> None:
        """As for any sequence, so that loops end."""
        with pytest.raises(IndexError):
            StringArray.of(["a"])[1]


class TestDataset:
    """A data set is a mapping of splits, each an attribute too."""

    @pytest.fixture
    def dataset(self, split: Split) -> Dataset:
        """One with a train and a test split."""
        return Dataset("tiny", {"train": split, "test": split[:2]}, classes=("a",), describe=lambda: (None, "line"))  # type: ignore[arg-type, return-value]

    def test_splits_are_items_and_attributes(self, dataset: Dataset) -> None:
        """They are the same objects."""
        assert dataset["train"] is dataset.train
        assert list(dataset) == ["train", "test"]
        assert repr(dataset) == "<Dataset tiny: train (10), test (2)>"

    def test_a_missing_split_is_a_key_error_with_a_guess(self, dataset: Dataset) -> None:
        """Mapping's own methods take it as one: `in` and `get` work."""
        with pytest.raises(KeyError) as caught:
            dataset["tset"]
        with pytest.raises(AttributeError, match="did you mean 'train'") as attribute:
            dataset.trian  # noqa: B018

        assert "Did you mean" not in "".join(traceback.format_exception(attribute.value))  # not twice
        assert str(caught.value) == "no split of 'tiny' named 'tset'; did you mean 'test'?\n  There are: train, test."
        assert type(caught.value) is UnknownName  # a public name, as a traceback has it
        assert "val" not in dataset
        assert dataset.get("val") is None

    def test_arrays_come_as_keras_gives_them(self, dataset: Dataset) -> None:
        """A tuple for each split, of a tuple for each field."""
        (x_train, y_train), (x_test, y_test) = dataset.arrays(dtype="float32")

        assert x_train.shape == (10, 2, 2)
        assert y_train.shape == (10,)
        assert x_test.dtype == np.float32
        assert y_test.tolist() == [0, 1]


class TestWorkers:
    """A split goes to a worker process as the path of its file, not as its bytes."""

    def test_a_mapped_split_pickles_small_and_maps_again(self, tmp_path: Path) -> None:
        """A DataLoader's spawned workers would copy the whole data set each otherwise."""
        np.save(tmp_path / "images.npy", np.arange(100_000))
        split = Split("train", {"images": np.load(tmp_path / "images.npy", mmap_mode="r")})

        raw = pickle.dumps(split)
        again = pickle.loads(raw)

        assert len(raw) < 2_000
        assert isinstance(again.images, np.memmap)
        np.testing.assert_array_equal(again.images, split.images)

    def test_a_part_of_a_mapped_split_pickles_its_own_samples(self, tmp_path: Path) -> None:
        """A slice is not the whole file, so it must not come back as the whole file."""
        np.save(tmp_path / "images.npy", np.arange(100))
        split = Split("train", {"images": np.load(tmp_path / "images.npy", mmap_mode="r")})

        for part in (split[10:20], split[90:], split[:7], split[::-1]):
            np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).images, part.images)

    def test_arrays_that_are_gone_when_a_split_is_unpickled(self, tmp_path: Path) -> None:
        """Someone cleaned in between: the file is named."""
        path = tmp_path / "images.npy"
        np.save(path, np.arange(100))
        raw = pickle.dumps(Split("train", {"images": np.load(path, mmap_mode="r")}))
        path.unlink()
        with pytest.raises(MissingFile) as gone:
            pickle.loads(raw)
        path.write_bytes(b"cut short")
        with pytest.raises(StorageError) as cut:
            pickle.loads(raw)

        assert str(gone.value) == (
            f"{path} is missing, from which a pickled split takes its values\n"
            "  Get the data set again, and pickle that."
        )
        assert cut.value.what.startswith(f"{path} cannot be read, from which a pickled split takes its values: ")


class TestParts:
    """Parts of a split that a class can share: the same on every machine."""

    @pytest.fixture
    @staticmethod
    def many() -> Split:
        """Return a hundred samples of three classes, 50, 30 and 20 of them."""
        labels = np.repeat([0, 1, 2], [50, 30, 20])
        images = np.arange(200).reshape(100, 2)
        return Split("train", {"images": images, "labels": labels, "names": StringArray.of("ab" * 50)})

    def test_a_division_has_every_sample_once_and_each_class_in_both(self, many: Split) -> None:
        """In the share that is asked for, and in the split's order."""
        train, validation = many.divide(0.9, by="labels", seed=1)

        assert np.bincount(train.labels).tolist() == [45, 27, 18]
        assert np.bincount(validation.labels).tolist() == [5, 3, 2]
        assert sorted([*train.positions, *validation.positions]) == list(range(100))
        assert np.array_equal(train.positions, np.sort(train.positions))
        assert np.array_equal(train.images, many.images[train.positions])

    def test_the_seed_decides_alone(self, many: Split) -> None:
        """Written down, so that another version of NumPy, or of Python, that draws otherwise is noticed."""
        random = np.random.RandomState(0)
        drawn = [first + random.permutation(count)[:2] for first, count in ((0, 50), (50, 30), (80, 20))]

        assert many.divide(0.05, seed=3)[0].positions.tolist() == [6, 64, 67, 93, 96]
        assert many.take(2, each="labels", seed=0).positions.tolist() == sorted(np.concatenate(drawn))
        assert many.divide(0.5)[0].positions.tolist() == many.divide(0.5, seed=0)[0].positions.tolist()

    def test_shares_that_do_not_fit_are_the_nearest_whole_numbers(self, many: Split) -> None:
        """All together as many as asked for."""
        train, _ = many.divide(0.33, by="labels")

        assert len(train) == 33
        assert np.bincount(train.labels).tolist() == [16, 10, 7]

    def test_as_many_of_each_class(self, many: Split) -> None:
        """The first ones, or drawn by a seed; more than there are is refused, by class."""
        assert many.take(3).positions.tolist() == [0, 1, 2]
        assert many.take(2, each="labels").positions.tolist() == [0, 1, 50, 51, 80, 81]
        assert many.take(1, each="names").positions.tolist() == [0, 1]
        with pytest.raises(ValueError, match=r"^21 samples of labels 2 are wanted, and split 'train' has 20$"):
            many.take(21, each="labels")
        with pytest.raises(ValueError, match="told apart by a field of single values, which 'images' is not"):
            many.take(1, each="images")

    def test_a_mask_has_a_truth_for_each_sample(self, many: Split) -> None:
        """Of any other length, it would be a mask of something else."""
        assert np.array_equal(many.filter(many.labels == 2).positions, np.arange(80, 100))
        with pytest.raises(IndexError, match=r"^a mask of \[3\] truths, and split 'train' has 100 samples$"):
            many.filter([True, False, True])

    def test_shards_are_the_split_together(self, many: Split) -> None:
        """Views, every third sample each."""
        shards = [many.shard(number, 3) for number in range(3)]

        assert [len(shard) for shard in shards] == [34, 33, 33]
        assert sorted(np.concatenate([shard.positions for shard in shards])) == list(range(100))
        assert np.shares_memory(shards[1].images, many.images)
        with pytest.raises(ValueError, match=r"^a shard is number 0 to 2 of 3, not 3$"):
            many.shard(3, 3)

    def test_positions_are_those_in_the_whole_split(self, many: Split) -> None:
        """Of a part of a part too, and after a trip through pickle without the whole."""
        part = many[10:90].filter(many.labels[10:90] == 1)[[3, 1]]

        assert part.positions.tolist() == [53, 51]
        assert pickle.loads(pickle.dumps(part)).positions.tolist() == [53, 51]
        assert len(pickle.dumps(part)) < 1500
        assert repr(part) == (
            "<Split train: 2 of 100 samples (digest cee27ab6) of images int64[2], labels int64, names str>"
        )

    def test_splits_are_put_behind_one_another(self, many: Split) -> None:
        """If they have the same fields of the same kinds."""
        both = many[:2] + many[98:]

        assert both.labels.tolist() == [0, 0, 2, 2]
        assert list(both.names) == ["a", "b", "a", "b"]
        other = Split("test", {"images": np.zeros((1, 2)), "labels": many.labels[:1], "names": StringArray.of(["a"])})
        with pytest.raises(ValueError, match=r"these are int64\[2\] and float64\[2\]"):
            many + other
        with pytest.raises(ValueError, match=r"fields images, labels, names cannot be joined with fields labels$"):
            many + Split("test", {"labels": many.labels})

    @pytest.mark.parametrize(("key", "theirs"), [("classes", ["no", "yes"]), ("range", [0, 1]), ("rate", 8000)])
    def test_what_is_declared_otherwise_is_not_put_together(self, key: str, theirs: object) -> None:
        """A label would get another class, a number another scale, a recording another speed."""
        ours = Split("a", {"x": np.array([0, 1])}, declared={"x": {"classes": ["yes", "no"]}})
        other = Split("b", {"x": np.array([0, 1])}, declared={"x": {"classes": ["yes", "no"], key: theirs}})

        with pytest.raises(ValueError, match=f"^{key} of field 'x' differ between the two splits"):
            ours + other


class TestNamedSamples:
    """A sample has its fields by name."""

    def test_of_samples_and_of_batches(self, split: Split) -> None:
        """Which are tuples all the same."""
        assert split[3].labels == 3
        assert [batch.labels.tolist() for batch in split.batches(6)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
        image, label = split[3]
        assert (image == split[3].images).all()
        assert label == 3

    def test_a_word_of_python_may_be_a_field(self) -> None:
        """It is no name of an argument, and is an attribute all the same."""
        sample = Split("train", {"class": np.arange(3)})[2]

        assert getattr(sample, "class") == 2
        assert pickle.loads(pickle.dumps(sample)) == sample


class TestNumberedBatches:
    """As loaders ask for them."""

    def test_a_batch_has_a_number(self, split: Split) -> None:
        """Counted from the end as well; also after a trip through pickle, as to a worker process."""
        batches = split.batches(4)

        assert [batches[number].labels.tolist() for number in (0, 2, -1)] == [[0, 1, 2, 3], [8, 9], [8, 9]]
        assert pickle.loads(pickle.dumps(batches))[1].labels.tolist() == [4, 5, 6, 7]
        with pytest.raises(IndexError, match=r"^batch 3 of 3$"):
            batches[3]

    def test_shuffled_ones_come_in_order(self, split: Split) -> None:
        """Number 0 begins a pass, in the order that iterating would have had; others would be of two passes."""
        batches, iterated = (split.batches(4, shuffle=True, seed=5) for _ in range(2))

        for _ in range(2):
            numbered = [batches[number].labels.tolist() for number in range(3)]
            assert numbered == [batch.labels.tolist() for batch in iterated]
        for number in (2, 1, -1):
            with pytest.raises(TypeError) as caught:
                batches[number]

            assert str(caught.value) == (
                "batches of shuffled samples are asked for in order, from the first of a pass on; "
                "let the batches shuffle, or the loader, and not both"
            )
        with pytest.raises(TypeError):
            split.batches(4, shuffle=True)[1]

    def test_samples_that_come_one_by_one_are_put_together(self, split: Split) -> None:
        """As those of several splits behind one another come, and of none."""
        names = StringArray.of(list("abcdefghij"))
        words = RaggedArray.of([[n] * (n % 3) for n in range(10)])
        whole = Split("train", {"images": split.images, "labels": split.labels, "names": names, "words": words})

        for samples in ([whole[3], whole[1]], whole.__getitems__([3, 1]), whole[[3, 1]]):
            batch = whole.collate(samples)

            assert np.array_equal(batch.images, split.images[[3, 1]])
            assert (np.asarray(batch.labels).tolist(), batch.names) == ([3, 1], ["d", "b"])
            assert [word.tolist() for word in batch.words] == [[], [1]]
        assert [len(column) for column in whole.collate([])] == [0, 0, 0, 0]
