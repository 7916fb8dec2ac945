"""PyTorch's DataLoader over splits and over batches: the same samples, each once, whoever makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.test_shards import declare, npy
from tinytorch_datasets import Split, get

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed; the package does not need it")
data: Any = torch.utils.data

WORKERS: dict[str, dict[str, Any]] = {
    "none": {},
    "fork": {"num_workers": 2, "multiprocessing_context": "fork"},
    "spawn": {"num_workers": 2, "multiprocessing_context": "spawn"},
    "kept": {"num_workers": 2, "multiprocessing_context": "fork", "persistent_workers": True},
}


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """22 mapped pictures whose pixels are the sample's number, and labels 0 to 21."""
    np.save(tmp_path / "images.npy", np.repeat(np.arange(22, dtype=np.uint8), 4).reshape(22, 2, 2))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    return Split("train", {"images": images, "labels": np.arange(22)}, scales={"images": 255})


def numbers(loader: Any) -> list[int]:
    """The labels of an epoch in its order; the pictures must be theirs."""
    labels = []
    for batch in loader:
        assert isinstance(batch.images, torch.Tensor)
        assert (batch.images[:, 0, 0] == batch.labels).all()
        labels += batch.labels.tolist()
    return labels


def test_a_split_is_taken_as_it_is(split: Split) -> None:
    """A map-style data set needs len() and an index, and nothing else."""
    assert numbers(data.DataLoader(split, batch_size=4)) == list(range(22))


@pytest.mark.filterwarnings("error")  # such as PyTorch's, of memory that cannot be written to
@pytest.mark.parametrize("workers", [pytest.param("spawn", marks=pytest.mark.slow), "none", "fork", "kept"])
class TestWorkers:
    """In this process, and in others that were forked or started anew."""

    def test_in_the_splits_order(self, split: Split, workers: str) -> None:
        """By `collate`, and by number."""
        collated = data.DataLoader(split, batch_size=4, collate_fn=split.collate, **WORKERS[workers])
        numbered = data.DataLoader(split.batches(4), batch_size=None, **WORKERS[workers])

        assert numbers(collated) == numbers(numbered) == list(range(22))

    def test_shuffled_batches_have_each_sample_once_and_each_pass_another_order(
        self, split: Split, workers: str
    ) -> None:
        """Also after a pass that was left in its middle."""
        torch.manual_seed(0)
        loader = data.DataLoader(split.batches(4, shuffle=True, seed=0), batch_size=None, **WORKERS[workers])

        first = numbers(loader)
        if workers != "spawn":  # which takes seconds for each pass
            next(iter(loader))
        second = numbers(loader)

        assert sorted(first) == sorted(second) == list(range(22))
        assert first != second


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [8, 1 << 17])
def test_what_a_worker_sends_is_a_tensor_whose_memory_is_free(size: int) -> None:
    """A small batch comes in a message, a large one as a file of shared memory; both may be written to."""
    images = np.arange(8 * size, dtype=np.float32).reshape(8, size)
    split = Split("train", {"images": images, "labels": np.arange(8)})
    loader = data.DataLoader(split, batch_size=4, collate_fn=split.collate, **WORKERS["fork"])
    for number, batch in enumerate(loader):
        np.testing.assert_array_equal(batch.images.numpy(), images[4 * number : 4 * number + 4], strict=True)
        assert batch.images.is_shared() is (size > 8)
        assert (batch.images.zero_() == 0).all()
        assert batch.labels.dtype == torch.int64


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_tensors_that_are_no_arrays_come_as_they_are(split: Split) -> None:
    """Of a dtype that NumPy has not, or sparse ones, as a function of the user's own may make them."""

    def collate(samples: Any) -> Any:
        batch = split.collate(samples)
        return type(batch)(batch.images.to(torch.bfloat16), batch.labels.to_sparse())

    loader = data.DataLoader(split, batch_size=4, collate_fn=collate, timeout=20, **WORKERS["fork"])

    assert {(batch.images.dtype, batch.labels.layout) for batch in loader} == {(torch.bfloat16, torch.sparse_coo)}


@pytest.mark.parametrize("workers", ["none", "fork", "kept"])
class TestSeeds:
    """The orders of shuffled batches."""

    def test_are_decided_by_seeds(self, split: Split, workers: str) -> None:
        """That of the batches alone; in workers by PyTorch's, too."""
        orders = []
        for seed in (0, 0, 1):
            torch.manual_seed(3)
            batches = split.batches(4, shuffle=True, seed=seed)
            orders.append(numbers(data.DataLoader(batches, batch_size=None, **WORKERS[workers])))

        assert orders[0] == orders[1] != orders[2]


def test_two_that_shuffle_are_one_too_many(split: Split) -> None:
    """A pass would have some samples twice, which nobody would notice."""
    torch.manual_seed(1)
    loader = data.DataLoader(split.batches(2, shuffle=True), batch_size=None, shuffle=True)

    with pytest.raises(TypeError, match="let the batches shuffle, or the loader, and not both"):
        list(loader)
    assert sorted(numbers(data.DataLoader(split.batches(2), batch_size=None, shuffle=True))) == list(range(22))


def test_parts_and_sums_made_by_pytorch(split: Split) -> None:
    """`random_split` and `ConcatDataset` give samples by their own ways."""
    first, second = data.random_split(split, [10, 12])
    both = data.ConcatDataset([split[:3], split[20:]])

    labels = numbers(data.DataLoader(first, batch_size=4, collate_fn=split.collate))
    labels += numbers(data.DataLoader(second, batch_size=4, collate_fn=split.collate))

    assert sorted(labels) == list(range(22))
    assert numbers(data.DataLoader(both, batch_size=4, collate_fn=split.collate)) == [0, 1, 2, 20, 21]


def test_samples_in_reverse_are_tensors() -> None:
    """Which no tensor can be without a copy."""
    split = Split("train", {"x": np.arange(3)})[::-1]

    assert split.collate(split).x.tolist() == [2, 1, 0]


@pytest.mark.parametrize("workers", ["none", "fork"])
def test_a_stream_comes_by_parts(workers: str, tmp_path: Path) -> None:
    """As docs/how-to/shards.md has it: each sample once, whoever reads it, in bounded room."""
    page = Path("docs/how-to/shards.md").read_text(encoding="utf-8")
    made: dict[str, Any] = {}
    begin, end = page.index("from torch.utils.data"), page.index("train = get(", page.index("class Batches"))
    exec(page[begin:end], made)
    parts = {f"{n}.npy": npy(np.arange(n * 5, n * 5 + 5)) for n in range(4)}
    entry = "format: npy\nfields: {x: {dtype: int64}}\nsplits: {train: {samples: 20, shard_samples: 5, x: '*.npy'}}"
    train = get("made", manifest=declare(tmp_path, entry, parts), home=tmp_path / "home", stream="1 MB").train

    loader = data.DataLoader(made["Batches"](train, 3, 0), batch_size=None, **WORKERS[workers])

    assert sorted(int(x) for batch in loader for x in batch.x) == list(range(20))
