"""Epochs in parts: by ranks, and resumed in their middle. Every sample comes once, in an order that a seed decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch_datasets import Split
from tinytorch_datasets.errors import UsageError

SEEDS = range(200)
EACH = np.repeat(np.arange(1000), np.arange(1000) % 3 + 1)  # 1,000 shards of 1 to 3 samples


def numbers(batches: Any) -> list[int]:
    """The numbers of all samples, in the order in which they come."""
    return [int(number) for batch in batches for number in batch.x]


@pytest.mark.parametrize("world", [2, 3, 8])
def test_all_ranks_together_have_every_sample_once_in_every_epoch(world: int) -> None:
    """By 200 seeds, over 1,999 samples, which no number of ranks divides."""
    split = Split("train", {"x": np.arange(len(EACH))})
    parts = [split.shard(rank, world) for rank in range(world)]

    orders = set()
    for seed in SEEDS:
        came = [
            np.concatenate([batch.x for batch in part.batches(64, shuffle=True, seed=seed, epoch=seed % 5)])
            for part in parts
        ]
        assert np.array_equal(np.sort(np.concatenate(came)), np.arange(len(EACH)))
        orders.add(came[0].tobytes())
    assert len(orders) == len(SEEDS)


def test_an_epoch_is_the_pass_of_its_number() -> None:
    """Of batches that count their passes themselves; the one that is asked for comes as often as it is asked for."""
    split = Split("train", {"x": np.arange(50)})
    counting = split.batches(8, shuffle=True, seed=7)

    passes = [numbers(counting) for _ in range(4)]

    assert len({tuple(one) for one in passes}) == 4
    for epoch, expected in enumerate(passes):
        batches = split.batches(8, shuffle=True, seed=7, epoch=epoch)
        assert numbers(batches) == numbers(batches) == expected


def test_the_first_epochs_are_these() -> None:
    """On every machine; by NumPy's RandomState, of the seed, and of the seed and the number of the epoch."""
    split = Split("train", {"x": np.arange(9)})

    assert numbers(split.batches(4, shuffle=True, seed=3)) == np.random.RandomState(3).permutation(9).tolist()
    assert numbers(split.batches(4, shuffle=True, seed=3, epoch=2)) == [0, 7, 3, 5, 6, 4, 1, 8, 2]


@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"prefetch": 2}, {"shuffle": True, "seed": 5}])
def test_a_resumed_epoch_is_the_rest_of_the_whole_one(options: dict[str, Any]) -> None:
    """From each of its batches on, by iteration and by number, and of a rank's part as of the whole."""
    for split in (Split("train", {"x": np.arange(50)}), Split("train", {"x": np.arange(100)}).shard(1, 2)):
        whole = [batch.x.tolist() for batch in split.batches(8, epoch=1, **options)]
        for start in range(len(whole) + 1):
            rest = split.batches(8, epoch=1, start=start, **options)

            assert len(rest) == len(whole) - start
            assert [batch.x.tolist() for batch in rest] == whole[start:]
            assert [rest[number].x.tolist() for number in reversed(range(len(rest)))] == whole[start:][::-1]


def test_what_would_be_a_guess_is_refused() -> None:
    """An order that cannot be had again resumes nothing."""
    split = Split("train", {"x": np.arange(20)})

    with pytest.raises(ValueError, match=r"^the order of an epoch is that of a seed: write `seed=0, epoch=2`$"):
        split.batches(4, shuffle=True, epoch=2)
    with pytest.raises(ValueError, match=r"has another order: write which one goes on, `epoch=0, start=3`$"):
        split.batches(4, shuffle=True, seed=0, start=3)
    with pytest.raises(ValueError, match=r"^an epoch of 5 batches starts at number 0 to 5, not 6$"):
        split.batches(4, start=6)
    with pytest.raises(ValueError, match=r"^an epoch is number 0 to 2\*\*32 - 1, not -1$"):
        split.batches(4, epoch=-1)


@pytest.mark.parametrize("samples", [0, 1, 5, 16, 17])
@pytest.mark.parametrize("world", [1, 2, 8])
def test_even_ranks_have_equally_many_samples(samples: int, world: int) -> None:
    """Padded by the first samples, as PyTorch's DistributedSampler pads; or without the last ones."""
    split = Split("train", {"x": np.arange(samples)})
    padded = [split.shard(rank, world, even="pad").x for rank in range(world)]
    dropped = [split.shard(rank, world, even="drop").x for rank in range(world)]

    assert {len(part) for part in padded} == {-(-samples // world)}
    assert {len(part) for part in dropped} == {samples // world}
    in_order = [padded[at % world][at // world] for at in range(sum(map(len, padded)))]
    assert in_order == [at % samples for at in range(len(in_order))]
    assert sorted(np.concatenate(dropped)) == list(range(samples // world * world))
    with pytest.raises(UsageError, match="even"):
        split.shard(0, world, even="both")  # type: ignore[arg-type]
