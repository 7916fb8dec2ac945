"""Subsets of a split: the positions of their samples, drawn by a seed.

Positions are drawn from NumPy's RandomState, whose streams are frozen (NEP 19): a Generator's may change with NumPy.
So a seed gives the same samples on every machine, and classmates can share a subset by writing one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch_datasets.storage.string_array import StringArray, Values

# Each value of a field, and the places of its samples in the split.
Groups = Sequence[tuple[Any, np.ndarray]]


def grouped(field: str, values: Values) -> Groups:
    """Return each value of a field, sorted, with the places of its samples.

    Raises:
        ValueError: A sample has not one value but several.

    >>> [(value, places.tolist()) for value, places in grouped("labels", np.array([7, 3, 7]))]
    [(3, [1]), (7, [0, 2])]
    """
    if not isinstance(values, StringArray) and getattr(values, "ndim", 0) != 1:
        msg = f"samples are told apart by a field of single values, which {field!r} is not"
        raise ValueError(msg)
    distinct, group = np.unique(np.asarray(list(values)), return_inverse=True)
    return [(value.item(), np.flatnonzero(group == number)) for number, value in enumerate(distinct)]


def taken_of_each(groups: Groups, count: int, *, seed: int | None, each: str | None, split: str) -> np.ndarray:
    """Return the places of `count` samples of each group, sorted: the first ones, or drawn with a seed.

    Raises:
        ValueError: A group, which is of a value of the field `each`, has not so many.
    """
    random = None if seed is None else np.random.RandomState(seed)
    places = [np.empty(0, np.intp)]
    for value, its in groups:
        if count > len(its):
            of = f"of {each} {value!r} " if each else ""
            msg = f"{count:,} samples {of}are wanted, and split {split!r} has {len(its):,}"
            raise ValueError(msg)
        places.append(its[:count] if random is None else its[random.permutation(len(its))[:count]])
    return np.sort(np.concatenate(places))


def first_share(groups: Groups, samples: int, fraction: float, *, seed: int) -> np.ndarray:
    """Return a mask of the samples that are in the first of two parts, drawn with a seed: `fraction` of each group.

    Together they are the nearest number to `fraction` of all samples, and of half a sample the next one.

    >>> first_share([(0, np.arange(6)), (1, np.arange(6, 10))], 10, 0.5, seed=0).sum()
    5
    """
    wanted = int(fraction * samples + 0.5)
    shares = [fraction * len(its) for _, its in groups]
    counts = [int(share) for share in shares]
    # What is left goes to those that were cut short most; of equal ones to the first.
    short = sorted(range(len(groups)), key=lambda group: counts[group] - shares[group])
    for group in short[: wanted - sum(counts)]:
        counts[group] += 1
    random = np.random.RandomState(seed)
    first = np.zeros(samples, np.bool_)
    for (_, its), count in zip(groups, counts, strict=True):
        first[its[random.permutation(len(its))[:count]]] = True
    return first
