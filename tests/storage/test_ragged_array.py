"""Ragged arrays: samples of any shapes, in flat files, which behave as arrays do and refuse what they are not."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets import RaggedArray, Split, pipeline
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.plan import Block, Column, Declared, Plan, RaggedBlock
from tinytorch_datasets.plan import Split as PlannedSplit
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage.array_folder import ArrayFolder, collect
from tinytorch_datasets.storage.cache_entry import CacheEntry, assemble
from tinytorch_datasets.storage.memmap import open_map
from tinytorch_datasets.storage.ragged_array import exactly

RANDOM = np.random.RandomState(7)
# Sentences of numbered words, some of them empty, and photographs of several sizes.
WORDS = [RANDOM.randint(0, 30_000, size).astype(np.uint16) for size in (3, 0, 7, 1, 0, 12, 5)]
PHOTOS = [RANDOM.randint(0, 256, (high, wide, 3)).astype(np.uint8) for high, wide in ((4, 6), (1, 1), (5, 2), (0, 3))]
CASES = {
    "words": (WORDS, (None,)),
    "photographs": (PHOTOS, (None, None, 3)),
    "one axis of two": ([photo[:, :1, 0].astype(np.float64) for photo in PHOTOS], (None, 1)),
    "the last axis": ([np.arange(2 * size, dtype=">i4").reshape(2, size) for size in (3, 1, 0)], (2, None)),
    "no values": ([np.zeros(0, np.int64)] * 3, (None,)),
}
KEPT = ("in memory", "mapped", "by a cache entry", "pickled")


def plan_of(samples: Sequence[np.ndarray], shape: tuple[int | None, ...], root: Path) -> Plan:
    """The plan of a data set of one ragged field."""
    dtype = samples[0].dtype.name
    column = Column("train", "words", dtype, len(samples), root / "words.bin", "words", shape)
    split = PlannedSplit("train", len(samples), {"words": column})
    return Plan("ragged", "ragged", root, "shipped", "npz", (), (split,))


def written(plan: Plan, blocks: Sequence[RaggedBlock], folder: Path) -> ArrayFolder:
    """A folder of arrays, written block by block."""
    (column,) = plan.columns
    starts = np.cumsum([0, *map(len, blocks)]).tolist()
    array_store.write(
        folder,
        [Block(column, start, block) for start, block in zip(starts, blocks, strict=False)],
        check=lambda digests: None,
    )
    return ArrayFolder(plan, folder)


def block_of(samples: Sequence[np.ndarray], axes: int) -> RaggedBlock:
    """Samples as a decoder gives them, in the byte order of this machine."""
    return RaggedBlock.of(samples, samples[0].dtype.newbyteorder("="), axes)


def opened(kept: str, samples: Sequence[np.ndarray], shape: tuple[int | None, ...], tmp_path: Path) -> RaggedArray:
    """Samples as a user may come by them."""
    if kept == "in memory":
        return RaggedArray.of(samples, sample_shape=shape)
    plan = plan_of(samples, shape, tmp_path)
    folder = written(plan, [block_of(samples[:2], len(shape)), block_of(samples[2:], len(shape))], tmp_path / "arrays")
    values: Any = folder.values(plan.columns[0])
    if kept == "by a cache entry":
        declared = Declared(tmp_path / "m.yaml", [1, 2, 3, 4], "0" * 64, "", "", plan, {})
        (tmp_path / "entry.json").write_bytes(pipeline.make_cache_entry(declared, plan, folder, {}).to_bytes())
        entry = CacheEntry.read(tmp_path / "entry.json")
        assert entry is not None
        maps = [open_map(entry.folder, part) for part in entry.splits[0].fields["words"]]
        values = assemble(maps, entry.splits[0].ragged["words"])
    ragged: RaggedArray = pickle.loads(pickle.dumps(values)) if kept == "pickled" else values
    return ragged


def same(ragged: RaggedArray, samples: Sequence[np.ndarray]) -> bool:
    """Whether a ragged array has these samples, in their shapes, as NumPy compares."""
    return len(ragged) == len(samples) and all(
        own.shape == sample.shape and np.array_equal(own, sample) for own, sample in zip(ragged, samples, strict=True)
    )


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize(("samples", "shape"), CASES.values(), ids=CASES)
class TestEveryKind:
    """However many axes differ, and wherever the values are."""

    def test_has_its_samples(
        self, samples: list[np.ndarray], shape: tuple[int | None, ...], kept: str, tmp_path: Path
    ) -> None:
        """By each index, from both ends."""
        ragged = opened(kept, samples, shape, tmp_path)

        assert same(ragged, samples)
        assert ragged.tolist() == [sample.tolist() for sample in samples]
        assert (ragged.shape, ragged.ndim, ragged.dtype) == (
            (len(samples), *shape),
            1 + len(shape),
            samples[0].dtype.newbyteorder("="),
        )
        assert ragged.nbytes == sum(sample.nbytes for sample in samples)
        assert ragged.lengths.tolist() == [len(sample) for sample in samples]
        for number in range(-len(samples), len(samples)):
            assert np.array_equal(ragged[number], samples[number])
            assert ragged[np.int64(number)].shape == samples[number].shape

    def test_is_indexed_as_an_array_of_objects_is(
        self, samples: list[np.ndarray], shape: tuple[int | None, ...], kept: str, tmp_path: Path
    ) -> None:
        """Slices of every kind, indices and truths; also of what was indexed before."""
        ragged = opened(kept, samples, shape, tmp_path)
        objects = np.empty(len(samples), object)
        for number, sample in enumerate(samples):
            objects[number] = sample
        odd = np.arange(len(samples)) % 2 == 1
        indexes: list[Any] = [
            slice(1, 3), slice(None), slice(None, None, 2), slice(None, None, -1), slice(5, 1), slice(-2, None),
            [2, 0, 0, -1], [], odd, odd.tolist(),
        ]  # fmt: skip
        for index in indexes:
            assert same(ragged[index], list(objects[index]))
            if isinstance(index, slice):
                assert same(ragged[1:][:2][index], list(objects[1:][:2][index]))
            assert same(pickle.loads(pickle.dumps(ragged[index])), list(objects[index]))
            assert ragged[index].shape == (len(objects[index]), *shape)

    def test_its_digest_is_of_the_values(
        self, samples: list[np.ndarray], shape: tuple[int | None, ...], kept: str, tmp_path: Path
    ) -> None:
        """As docs/audit.md defines it, wherever they are kept."""
        axes = ["null" if size is None else str(size) for size in (len(samples), *shape)]
        hashed = hashlib.sha256(f"{samples[0].dtype.name} {'x'.join(axes)}\n".encode())
        for sample in samples:
            sizes = [size for size, declared in zip(sample.shape, shape, strict=True) if declared is None]
            hashed.update(np.array(sizes, "<u8").tobytes() + sample.astype(sample.dtype.newbyteorder("<")).tobytes())

        ragged = opened(kept, samples, shape, tmp_path)

        assert digest_of(ragged) == hashed.hexdigest()
        assert digest_of(ragged[::-1][::-1]) == hashed.hexdigest()
        assert digest_of(ragged[1:]) != hashed.hexdigest()

    def test_is_padded_at_the_end(
        self, samples: list[np.ndarray], shape: tuple[int | None, ...], kept: str, tmp_path: Path
    ) -> None:
        """To the largest size of each axis, as NumPy pads each."""
        largest = np.array([sample.shape for sample in samples]).max(axis=0)
        expected = np.stack(
            [
                np.pad(sample, [(0, most - size) for most, size in zip(largest, sample.shape, strict=True)])
                for sample in samples
            ]
        )
        padded = opened(kept, samples, shape, tmp_path).padded()
        padded[...] = padded  # it is fresh, and may be written to

        assert (padded.dtype.name, padded.shape) == (expected.dtype.name, expected.shape)
        assert np.array_equal(padded, expected)


class TestPadded:
    """One array of samples of several sizes."""

    def test_to_a_length_a_value_and_a_dtype(self) -> None:
        """All are chosen."""
        padded = RaggedArray.of([[1, 2, 3], [], [4]]).padded(4, value=-1, dtype="float32")

        assert padded.dtype == np.float32
        assert padded.tolist() == [[1, 2, 3, -1], [-1] * 4, [4, -1, -1, -1]]

    def test_cutting_is_asked_for(self) -> None:
        """A sample that is longer is named, and is cut only by the word for it."""
        ragged = RaggedArray.of([[1], [2, 3, 4]])
        with pytest.raises(ValueError, match=r"\A") as caught:
            ragged.padded(2)

        assert str(caught.value) == (
            'sample 1 has 3 values on an axis that is to have 2; overflow="truncate" would leave out the rest'
        )
        assert ragged.padded(2, overflow="truncate").tolist() == [[1, 0], [2, 3]]
        assert ragged.padded(0, overflow="truncate").shape == (2, 0)

    def test_of_several_axes_each_has_a_length(self) -> None:
        """None stands for the largest."""
        photos = RaggedArray.of(PHOTOS, sample_shape=(None, None, 3))

        assert photos.padded((8, None)).shape == (4, 8, 6, 3)
        assert photos.padded((2, 3), overflow="truncate").tolist()[0] == PHOTOS[0][:2, :3].tolist()

    def test_of_no_samples(self) -> None:
        """There is no largest."""
        nothing = RaggedArray.of(PHOTOS, sample_shape=(None, None, 3))[:0]

        assert nothing.padded().shape == (0, 0, 0, 3)
        assert nothing.padded((5, 4)).shape == (0, 5, 4, 3)

    @pytest.mark.parametrize(
        ("padding", "words"),
        [
            ({"overflow": "cut"}, 'overflow is "error" or "truncate", not \'cut\''),
            ({"length": -1}, "length is a size for each axis that differs, of which there are 1, not -1"),
            ({"length": True}, "length is a size for each axis that differs, of which there are 1, not True"),
            ({"length": (2, 3)}, "length is a size for each axis that differs, of which there are 1, not (2, 3)"),
            ({"length": 2.5}, "length is a size for each axis that differs, of which there are 1, not 2.5"),
            ({"value": 0.5}, "int64 does not hold all of the values"),
            ({"value": np.nan}, "int64 does not hold all of the values"),
            ({"dtype": "uint8"}, "uint8 does not hold all of the values"),
            ({"dtype": "bool"}, "bool does not hold all of the values"),
            ({"dtype": "int8", "value": 128}, "int8 does not hold all of the values"),
        ],
    )
    def test_nothing_becomes_another_value(self, padding: dict[str, Any], words: str) -> None:
        """What does not fit is refused, and so is what says nothing."""
        with pytest.raises(ValueError, match=r"\A") as caught:
            RaggedArray.of([[1, 300], [-1]]).padded(**padding)

        assert str(caught.value) == words


class TestWhatItIsNot:
    """It is not one array, and says so."""

    def test_numpy_is_told_of_padded(self) -> None:
        """In place of an array of objects."""
        ragged = RaggedArray.of([[1], [2, 3]])
        words = "the samples of a ragged array differ in shape, so they are no one array: use padded(), or list()"
        for convert in (np.asarray, np.array, np.mean):
            with pytest.raises(TypeError) as caught:
                convert(ragged)

            assert str(caught.value) == words

    def test_an_index_outside_is_an_index_error(self) -> None:
        """As of any sequence, so that loops end."""
        ragged = RaggedArray.of([[1], [2, 3]])
        for index in (2, -3):
            with pytest.raises(IndexError) as caught:
                ragged[index]

            assert str(caught.value) == f"sample {index} of a ragged array of 2"
        for indexes in ([0, 2], [True], [True, False, True]):
            with pytest.raises(IndexError):
                ragged[indexes]

    def test_a_truth_names_no_sample(self) -> None:
        """Nor does a float."""
        for index in (True, 0.0, None, "words"):
            with pytest.raises(TypeError, match="samples are named by a number, a slice"):
                RaggedArray.of([[1], [2, 3]])[index]  # type: ignore[index]

    def test_it_is_compared_by_name(self) -> None:
        """`==` compares objects; `equals` compares shapes and values, with any sequence of arrays."""
        ragged, again = RaggedArray.of([[1], [2, 3]]), RaggedArray.of([[1], [2, 3]])

        assert (ragged == again, ragged == ragged) == (False, True)
        assert ragged.equals(again)
        assert ragged.equals([[1], [2.0, 3.0]])
        assert not ragged.equals([[1], [2]])
        assert not ragged.equals([[1], [2, 3], []])

    def test_its_repr_is_a_line(self) -> None:
        """Whatever it holds."""
        photos = RaggedArray.of(PHOTOS, sample_shape=(None, None, 3))

        assert repr(photos) == "<RaggedArray: 4 samples of uint8[None, None, 3], 105 values>"
        assert repr(photos[1:2]) == "<RaggedArray: 1 samples of uint8[None, None, 3], 3 values>"

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: RaggedArray.of([[1], 2]), "samples have 1 axes, and sample 1 has the shape ()"),
            (lambda: RaggedArray.of([1, 2]), "samples have 1 or more axes, and sample 0 has the shape ()"),
            (lambda: RaggedArray.of([[[1]], [2]]), "samples have 2 axes, and sample 1 has the shape (1,)"),
            (
                lambda: RaggedArray.of([[[1, 2]]], sample_shape=(None, 3)),
                "samples have the shape (None, 3), and not all of the shapes are that",
            ),
            (
                lambda: RaggedArray.from_shapes(np.arange(3), np.array([1, 1])),
                "the shapes are those of 2 values in all, and the values have the shape (3,)",
            ),
            (
                lambda: RaggedArray.from_shapes(np.arange(3), np.array([4, -1])),
                "the shapes are those of 3 values in all, and the values have the shape (3,)",
            ),
            (
                lambda: RaggedArray.from_shapes(np.arange(0), np.array([[2**32, 2**32]])),
                "the shapes are those of 18,446,744,073,709,551,616 values in all, and the values have the shape (0,)",
            ),
        ],
    )
    def test_shapes_that_do_not_fit_are_refused(self, make: Callable[[], RaggedArray], words: str) -> None:
        """In a sentence."""
        with pytest.raises(ValueError, match=r"\A") as caught:
            make()

        assert str(caught.value) == words


class TestMapped:
    """What is on disk."""

    def test_slices_share_the_map_and_are_pickled_by_its_file(self, tmp_path: Path) -> None:
        """So that worker processes do not each get a copy."""
        samples = [np.arange(50_000) + number for number in range(20)]
        words = opened("mapped", samples, (None,), tmp_path)
        part = words[5:15]

        assert np.shares_memory(part[0], words.values)
        assert part.offsets[0] == 250_000
        assert len(pickle.dumps(words)) < 2_000
        assert len(pickle.dumps(part)) < 2_000
        assert same(pickle.loads(pickle.dumps(part)), samples[5:15])

    def test_the_slice_of_one_in_memory_is_pickled_alone(self) -> None:
        """Not with the values of the whole."""
        ragged = RaggedArray.of([np.arange(50_000), np.arange(3)])

        assert len(pickle.dumps(ragged[1:])) < 2_000

    def test_nothing_is_written_to(self, tmp_path: Path) -> None:
        """Samples are views of the map, and read-only."""
        words = opened("mapped", WORDS, (None,), tmp_path)
        with pytest.raises(ValueError, match="read-only"):
            words[0][0] = 1

    @pytest.mark.parametrize(
        ("samples", "shape", "files"),
        [
            (WORDS, (None,), {"values": (28,), "offsets": (8,)}),
            (PHOTOS, (None, None, 3), {"values": (105,), "offsets": (5,), "shapes": (4, 3)}),
        ],
    )
    def test_the_files_are_plain_arrays(
        self, samples: list[np.ndarray], shape: tuple[int | None, ...], files: dict[str, Any], tmp_path: Path
    ) -> None:
        """Which NumPy reads: the values, the offsets, and the shapes where the offsets do not say them."""
        opened("mapped", samples, shape, tmp_path)
        arrays = {path.name.split(".")[2]: np.load(path) for path in (tmp_path / "arrays").glob("train.words.*.npy")}

        assert {name: array.shape for name, array in arrays.items()} == files
        assert arrays["values"].tolist() == np.concatenate([sample.ravel() for sample in samples]).tolist()
        assert arrays["offsets"].tolist() == np.cumsum([0, *(sample.size for sample in samples)]).tolist()
        if "shapes" in arrays:
            assert arrays["shapes"].tolist() == [list(sample.shape) for sample in samples]

    def test_the_digest_is_that_of_the_note(self, tmp_path: Path) -> None:
        """Taken block by block while it is written."""
        ragged = opened("mapped", WORDS, (None,), tmp_path)
        note = json.loads((tmp_path / "arrays" / "digests.json").read_bytes())

        assert note["train.words"][0] == digest_of(ragged)

    def test_a_folder_with_other_shapes_is_not_whole(self, tmp_path: Path) -> None:
        """Fewer offsets, or a file that is gone."""
        plan = plan_of(PHOTOS, (None, None, 3), tmp_path)
        folder = written(plan, [block_of(PHOTOS, 3)], tmp_path / "arrays")

        assert folder.is_whole
        assert folder.matches("always")
        np.save(folder.path / "train.words.offsets.npy", np.arange(4))
        assert not ArrayFolder(plan, folder.path).is_whole
        np.save(folder.path / "train.words.offsets.npy", np.arange(5))
        assert ArrayFolder(plan, folder.path).is_whole
        (folder.path / "train.words.shapes.npy").unlink()
        assert not ArrayFolder(plan, folder.path).is_whole

    def test_offsets_within_the_samples_are_in_the_digest(self, tmp_path: Path) -> None:
        """Where the shapes say as much, both must say the same: samples are cut out by the offsets."""
        plan = plan_of(PHOTOS, (None, None, 3), tmp_path)
        folder = written(plan, [block_of(PHOTOS, 3)], tmp_path / "arrays")
        path = folder.path / "train.words.offsets.npy"
        offsets = np.load(path)
        offsets[1] += 1
        np.save(path, offsets)
        changed = ArrayFolder(plan, folder.path)

        assert changed.is_whole
        assert changed.digest_now(plan.columns[0]) is None
        with pytest.raises(ValueError, match="the offsets of a ragged array are not those of samples of its shapes"):
            list(changed.blocks())

    def test_blocks_are_what_was_written(self, tmp_path: Path) -> None:
        """In pieces that fit a processor's cache, as a decoder gives them."""
        samples = [np.full(300_000, number) for number in range(5)]
        folder = written(plan_of(samples, (None,), tmp_path), [block_of(samples, 1)], tmp_path / "arrays")
        blocks = list(folder.blocks())

        assert [(block.start, len(block.values)) for block in blocks] == [(number, 1) for number in range(5)]
        assert all(isinstance(block.values, RaggedBlock) for block in blocks)

    def test_in_memory_it_is_the_same(self, tmp_path: Path) -> None:
        """Where no folder can be written."""
        (column,) = plan_of(PHOTOS, (None, None, 3), tmp_path).columns
        blocks = [Block(column, 0, block_of(PHOTOS[:3], 3)), Block(column, 3, block_of(PHOTOS[3:], 3))]
        (ragged,) = collect(blocks).values()

        assert isinstance(ragged, RaggedArray)
        assert same(ragged, PHOTOS)
        assert not ragged[0].flags.writeable

    @pytest.mark.parametrize(
        ("block", "start", "words"),
        [
            (RaggedBlock(np.zeros(2, np.int8), np.array([[2]])), 0, "values of int8, where uint16 is declared"),
            (
                RaggedBlock(np.zeros(2, np.uint16), np.array([[3]])),
                0,
                "the shapes are those of 3 values in all, and the values have the shape (2,)",
            ),
            (
                RaggedBlock(np.zeros(2, np.uint16), np.array([[2]])),
                1,
                "samples that differ in size come in order, but sample 1 follows -1",
            ),
        ],
    )
    def test_a_decoder_that_contradicts_itself_is_refused(
        self, block: RaggedBlock, start: int, words: str, tmp_path: Path
    ) -> None:
        """Before the folder gets its name."""
        (column,) = plan_of(WORDS, (None,), tmp_path).columns
        with pytest.raises(ValueError, match=r"\A") as caught:
            array_store.write(tmp_path / "arrays", [Block(column, start, block)], check=lambda digests: None)

        assert str(caught.value).rpartition(": ")[2] == words
        assert not (tmp_path / "arrays").exists()


class TestInASplit:
    """A ragged field beside others."""

    @pytest.fixture
    def split(self) -> Split:
        """Seven sentences with labels."""
        words = RaggedArray.of(WORDS)
        return Split("train", {"words": words, "labels": np.arange(7)}, scales={"words": 30_000})

    def test_a_sample_is_fresh(self, split: Split) -> None:
        """As of any field."""
        words, label = split[2]
        words[:] = 0

        assert (split[2][0].tolist(), label) == (WORDS[2].tolist(), 2)
        assert repr(split) == "<Split train: 7 samples of words uint16[None], labels int64>"
        assert split.index((WORDS[5], 5)) == 5

    def test_smaller_splits(self, split: Split) -> None:
        """By a slice, and by a list of indices."""
        assert same(split[2:4].words, WORDS[2:4])
        assert same(split[[4, 2]].words, [WORDS[4], WORDS[2]])
        assert pickle.loads(pickle.dumps(split))[5][0].tolist() == WORDS[5].tolist()

    def test_arrays_are_converted(self, split: Split) -> None:
        """By the same rules as of any field whose samples have a shape."""
        words, labels = split.arrays(dtype="float32")

        assert same(words, [np.divide(sample, np.float32(30_000), dtype=np.float32) for sample in WORDS])
        assert (words.dtype, labels.dtype) == (np.float32, np.int64)
        assert split.arrays()[0] is split.words
        with pytest.raises(ValueError, match="uint8 holds 0 to 255; there are values of "):
            split.arrays(dtype="uint8")

    @pytest.mark.parametrize("prefetch", [0, 2])
    def test_batches_have_lists_of_arrays(self, split: Split, prefetch: int) -> None:
        """In order, or in the order that goes with the labels."""
        in_order = list(split.batches(3, prefetch=prefetch))
        assert [len(words) for words, _ in in_order] == [3, 3, 1]
        assert all(isinstance(words, list) for words, _ in in_order)
        for words, labels in [*in_order, *split.batches(3, shuffle=True, seed=1, prefetch=prefetch)]:
            assert [sample.tolist() for sample in words] == [WORDS[label].tolist() for label in labels]

    def test_batches_are_converted(self, split: Split) -> None:
        """Each array of the list."""
        for words, _ in split.batches(4, shuffle=True, dtype="float32"):
            assert {sample.dtype for sample in words} == {np.dtype("float32")}
            assert all((sample <= 1).all() for sample in words)


def as_floats(values: np.ndarray) -> np.ndarray:
    """A conversion that keeps the number of values."""
    return values.astype(np.float64)


class TestMadeByHand:
    """Of arrays, of flat values and shapes, and of nothing at all."""

    def test_its_dtype_is_that_of_what_is_filled(self) -> None:
        """An empty list has none; one that is asked for is taken, from the first array on."""
        cases: list[tuple[list[Any], Any, str]] = [
            ([[1], []], None, "int64"),
            ([[], [1]], None, "int64"),
            ([[1], [2.5]], None, "float64"),
            ([[], []], None, "float64"),
            ([np.zeros(0, "u1"), np.ones(2, "i2")], None, "int16"),
            ([], None, "float64"),
            ([], "u2", "uint16"),
            ([[1], []], "f4", "float32"),
            ([[2**63]], "u8", "uint64"),
        ]
        for samples, dtype, expected in cases:
            ragged = RaggedArray.of(samples, dtype=dtype)
            assert ragged.dtype == expected
            assert ragged.tolist() == [np.asarray(sample).tolist() for sample in samples]
            assert (ragged.sample_shape, ragged.shapes) == ((None,), None)
            assert ragged.offsets.dtype == np.int64
        assert RaggedArray.of([[2**63 + 1], [1]], dtype="u8").tolist() == [[2**63 + 1], [1]]
        empty = RaggedArray.of([], sample_shape=(None, 3))
        assert (empty.shape, empty.rows.shape) == ((0, None, 3), (0, 2))
        assert RaggedArray.of([]).shape == (0, None)
        deep = RaggedArray.of([np.ones((2, 0)), np.ones((1, 3))])
        assert deep.shapes is not None
        assert (deep.sample_shape, deep.shapes.tolist()) == ((None, None), [[2, 0], [1, 3]])
        with pytest.raises(ValueError, match=r"\Asamples have 2 axes, and sample 0 has the shape \(1,\)\Z"):
            RaggedArray.of([[1]], sample_shape=(None, 1))

    def test_of_values_that_are_flat(self) -> None:
        """Lengths or shapes, of any whole dtype; a size that is declared is compared, 0 too."""
        values = np.arange(6)
        for shapes in ([2, 0, 4], np.array([2, 0, 4], np.uint8), [[2], [0], [4]]):
            ragged = RaggedArray.from_shapes(values, np.asarray(shapes))
            assert ragged.tolist() == [[0, 1], [], [2, 3, 4, 5]]
            assert ragged.offsets.tolist() == [0, 2, 2, 6]
            assert ragged.offsets.dtype == np.int64
            assert ragged.values is values
            assert (ragged.shapes, ragged.sample_shape, ragged.rate) == (None, (None,), None)
        fits: list[Any] = [(3,), (None, 3), (None, None)]
        for shape in fits:
            shapes = np.array([3, 3] if shape == (3,) else [[1, 3], [1, 3]], np.uint8)
            ragged = RaggedArray.from_shapes(values, shapes, shape)
            assert ragged.sample_shape == shape
            assert ragged.shapes is not None
            assert ragged.shapes.dtype == np.int64
            assert len(ragged) == 2
        wrong: list[tuple[Any, Any]] = [
            ([[1, 3], [1, 3]], (None, 0)), ([[1, 3], [3, 1]], (None, 3)), ([[1, 3], [1, 3]], (None,)),
            ([6], (None, 6)), ([[2, 3]], (1, None)),
        ]  # fmt: skip
        for shapes, shape in wrong:
            with pytest.raises(ValueError, match="not all of the shapes are that") as caught:
                RaggedArray.from_shapes(values, np.array(shapes), shape)
            assert str(caught.value) == f"samples have the shape {shape}, and not all of the shapes are that"
        refused: list[tuple[Any, list[int], str, str]] = [
            (values.reshape(2, 3), [6], "6", "(2, 3)"),
            (values, [7, -1], "6", "(6,)"),
            (values, [3], "3", "(6,)"),
            (values, [1000, 1000], "2,000", "(6,)"),
        ]
        for bad, lengths, count, words in refused:
            with pytest.raises(ValueError, match="the shapes are those") as caught:
                RaggedArray.from_shapes(bad, np.array(lengths))
            assert (
                str(caught.value)
                == f"the shapes are those of {count} values in all, and the values have the shape {words}"
            )

    def test_of_its_parts(self) -> None:
        """As a map has them; what is not said is that all axes differ, and no rate."""
        values, offsets, shapes = np.arange(6), np.array([0, 2, 6]), np.array([[1, 2], [2, 2]])
        assert RaggedArray(values, offsets).sample_shape == (None,)
        assert RaggedArray(values, offsets, shapes).sample_shape == (None, None)
        whole = RaggedArray(values, offsets, shapes, (None, 2), 8000)
        assert (whole.sample_shape, whole.rate, whole.ndim) == ((None, 2), 8000, 3)
        for part in (
            whole[1:],
            whole[::-1],
            whole[[0]],
            whole.converted(as_floats),
            pickle.loads(pickle.dumps(whole)),
        ):
            assert (part.rate, part.sample_shape) == (8000, (None, 2))
        assert whole.converted(as_floats).dtype == np.float64
        assert whole[1:].converted(as_floats).offsets.tolist() == [0, 4]
        assert [part.tolist() for part in (whole[1:].flat, whole[1:].lengths, whole[1:].rows)] == (
            [[2, 3, 4, 5], [2], [[2, 2]]]
        )
        assert (whole[1:].nbytes, whole.nbytes) == (32, 48)
        one, other = whole.origin, whole[1:].origin
        assert one[0] is other[0] is values
        assert (one[1], other[1]) == (
            (offsets.tobytes() + shapes.tobytes(), offsets[1:].tobytes() + shapes[1:].tobytes())
        )
        assert RaggedArray(values, offsets).origin[1] == offsets.tobytes()
        with pytest.raises(IndexError, match=r"\Asample 2000 of a ragged array of 1,000\Z"):
            RaggedArray.from_shapes(np.zeros(0), np.zeros(1000, int))[2000]
        assert whole.equals([[[0, 1]], [[2, 3], [4, 5]]])
        assert not whole.equals([[[0, 1]]])
        assert not whole.equals([[0, 1], [2, 3, 4, 5]])
        block = whole[1:].block
        assert (block.values.tolist(), block.shapes.tolist()) == ([2, 3, 4, 5], [[2, 2]])
        with pytest.raises(
            ValueError, match=r"\Athe offsets of a ragged array are not those of samples of its shapes\Z"
        ):
            _ = RaggedArray(values, np.array([0, 3, 6]), shapes).block

    def test_joined_blocks_are_read_only(self) -> None:
        """And have the shape that is declared."""
        blocks = [RaggedBlock(np.arange(4), np.array([[2, 2]])), RaggedBlock(np.arange(2), np.array([[1, 2]]))]
        ragged = RaggedArray.joined(blocks, (None, 2))
        assert ragged.tolist() == [[[0, 1], [2, 3]], [[0, 1]]]
        assert ragged.sample_shape == (None, 2)
        assert not ragged.values.flags.writeable

    def test_what_is_converted_exactly(self) -> None:
        """To whole numbers and truths only what they hold, at their limits and just beyond."""
        big = 2**53
        exact: list[tuple[Any, str]] = [
            (np.array([-128, 127]), "i1"), (np.array([0, 255]), "u1"), (np.array([0.0, 1.0]), "?"),
            (np.array([0, 1]), "?"),
            (np.array([], "f8"), "i1"), (np.array([float(big)]), "i8"), (np.array([2**63 - 1]), "u8"),
            (np.array([-0.0]), "u1"), (np.array([True]), "u1"), (np.array([3], ">i4"), "<i4"),
            (np.array([-(2**63)]), "f4"),
            (np.array([1.5]), "f2"), (np.array([7], "i8"), "i8"),
        ]  # fmt: skip
        for values, dtype in exact:
            converted = exactly(values, np.dtype(dtype))
            assert converted.dtype == dtype
            assert converted.tolist() == values.astype(dtype).tolist()
        wrong: list[tuple[Any, str]] = [
            (np.array([-129]), "i1"), (np.array([128]), "i1"), (np.array([-1]), "u1"), (np.array([256]), "u1"),
            (np.array([2]), "?"), (np.array([-1]), "?"), (np.array([0.5]), "?"), (np.array([0.5]), "i8"),
            (np.array([np.nan]), "i8"), (np.array([np.inf]), "u1"), (np.array([2.0**63]), "i8"),
            (np.array([2**63], "u8"), "i8"),
            (np.array([0, 1, 2, 0.5]), "i4"), (np.array([0.0, 300.0]), "u1"), (np.array([0.0, -1.0]), "u1"),
        ]  # fmt: skip
        for values, dtype in wrong:
            with pytest.raises(ValueError, match="does not hold") as caught:
                exactly(values, np.dtype(dtype))
            assert str(caught.value) == f"{np.dtype(dtype)} does not hold all of the values"
        same = np.array([7], "i8")
        assert exactly(same, np.dtype("i8")) is same

    def test_lengths_that_are_none(self) -> None:
        """Of several axes as many, each a whole number, none below nothing; what is longer is named by its place."""
        deep = RaggedArray.of([np.ones((2, 3)), np.ones((1, 1))])
        assert deep.padded((None, 4)).shape == (2, 2, 4)
        assert deep.padded((np.int8(2), 3)).shape == (2, 2, 3)  # type: ignore[arg-type]
        assert deep.padded(np.array([5, 3])).shape == (2, 5, 3)  # type: ignore[arg-type]
        flat = RaggedArray.of([[1, 2], [3]])
        assert flat.padded((2,)).shape == flat.padded(2).shape == (2, 2)
        assert flat.padded(0, overflow="truncate").shape == (2, 0)
        assert RaggedArray.of([np.ones((2, 0))], sample_shape=(None, 0)).padded().shape == (1, 2, 0)
        assert flat.padded(dtype="float32").dtype == np.float32
        wrong: list[tuple[RaggedArray, Any]] = [
            (deep, 3), (deep, (3,)), (deep, (3, 3, 3)), (deep, (-1, 3)), (deep, (2.0, 3)), (deep, (True, 3)),
            (flat, -1), (flat, 1.5), (flat, (2, 2)), (flat, True), (flat, "2"),
        ]  # fmt: skip
        for ragged, length in wrong:
            with pytest.raises(ValueError, match="length is a size") as caught:
                ragged.padded(length)
            count = ragged.ndim - 1
            words = f"length is a size for each axis that differs, of which there are {count}, not {length!r}"
            assert str(caught.value) == words
        longer: list[tuple[RaggedArray, Any, int, Any, str]] = [
            (deep, (1, 3), 0, 2, "1"),
            (deep, (2, 2), 0, 3, "2"),
            (flat[::-1], 1, 1, 2, "1"),
            (RaggedArray.of([[1], [0] * 2000]), 1500, 1, "2,000", "1,500"),
        ]
        for ragged, length, number, has, size in longer:
            with pytest.raises(ValueError, match="would leave out") as caught:
                ragged.padded(length)
            assert str(caught.value) == (
                f"sample {number} has {has} values on an axis that is to have {size}; "
                'overflow="truncate" would leave out the rest'
            )
        with pytest.raises(ValueError, match='overflow is "error" or "truncate", not \'cut\''):
            flat.padded(overflow="cut")  # type: ignore[arg-type]

    def test_its_page_has_ten(self) -> None:
        """The sizes of each axis, one where all are the same; and how many there are in all."""
        page = RaggedArray.of([np.full((n, 3), n) for n in range(1, 13)], sample_shape=(None, 3))._repr_html_()
        assert "RaggedArray: 12 samples of int64[None, 3], 234 values" in page
        assert "&lt;" not in page
        assert "sizes: 1 to 12 x 3" in page
        assert "x 3 to" not in page
        assert "10 x 3" in page
        assert "11 x 3" not in page
        assert "2 more" in page
        assert RaggedArray.of([])._repr_html_().endswith("</table></div>")  # and no word of sizes below it
        assert "<img " in RaggedArray.of(PHOTOS[:3], sample_shape=(None, None, 3))._repr_html_()
        long = RaggedArray.from_shapes(np.zeros(3000), np.array([1000, 2000]))._repr_html_()
        assert "sizes: 1,000 to 2,000" in long
        sound = RaggedArray(np.zeros(4, np.int16), np.array([0, 4]), rate=8000)._repr_html_()
        assert "<audio" in sound
