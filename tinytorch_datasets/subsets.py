"""Subsets of a split: positions of samples, drawn by a seed, and their digest.

Positions are drawn from NumPy's RandomState, whose streams are frozen (NEP 19): a Generator's may change with NumPy.
So a seed gives the same samples on every machine, classmates can share a subset by writing one number, and a digest of
the positions shows whether it is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinytorch_datasets.batches import checked_seed, places_of, whole_number
from tinytorch_datasets.errors import UnknownName, UsageError, check_choice
from tinytorch_datasets.storage.string_array import StringArray, Values

if TYPE_CHECKING:
    from typing_extensions import Self  # Python 3.10 has none of its own

# Each value of a field, and the places of its samples in the split.
Groups = Sequence[tuple[Any, np.ndarray]]

# What gives a data set's entry and its provenance, and which samples of it.
Source = tuple[Callable[[], tuple[Any, str]] | None, str]


class Subsets:
    """Where the samples of a split are, and its parts, each of which is a split again."""

    # What has a value here is what a whole split has, before its data set is known.
    _name: str
    _samples: int
    _in_all: int
    _part_of: tuple[Any, Any] | None = None  # the split, and the index of it
    _positions: np.ndarray | None = None
    _describe: Callable[[], tuple[Any, str]] | None = None
    _sources: tuple[Source, ...] = ()  # of what was put together by `+`
    _note = ""  # what everybody should know who sees it: "stand-in data"
    # Whose mean and deviation are "standard": None for its own, words for why that must be asked. Parts have those
    # of the whole, so that they stay comparable, and `test` those of `train`.
    _standard: Any = None

    def _is_part_of(self, whole: Any, index: Any) -> None:
        """Note of which split it is a part, and by which index."""
        self._part_of = whole, index
        self._in_all, self._describe, self._sources = whole._in_all, whole._describe, whole._sources
        self._note, self._standard = whole._note, whole._standard or whole

    def _belongs_to(self, dataset: str, train: Any, describe: Callable[[], tuple[Any, str]]) -> None:
        """Note whose split it is, and which one's mean and deviation are the standard, if one is called so."""
        self._describe = describe
        if train is None:
            self._standard = f"data set {dataset!r} has no split that is called train, whose mean and deviation count"
        elif train is not self and self._standard is None:
            self._standard = train

    def _of_rank(self, rank: Sequence[int], start: int, stop: int, first: int, whole: int) -> Self:
        """Return the samples that a rank has of those that are here, the first of which is number `first` of a split.

        Args:
            rank: The number of the rank, and how many there are.
            start: The first sample that it has, of those that are here.
            stop: The one behind the last.
            first: The number of the first sample here in the whole split.
            whole: How many samples the whole split has.
        """
        self._positions = np.arange(first, first + self._samples, dtype=np.int64)
        self._in_all = whole
        if rank[1] > 1:
            part = "part {} of {}".format(*rank)
            self._standard = (
                f"only {part} of split {self._name!r} is here, and the whole one's mean and deviation count"
            )
        return self._part(slice(start, stop))

    @property
    def name(self) -> str:
        """The split's name in the manifest."""
        return self._name

    if TYPE_CHECKING:

        def __getitem__(self, index: Any) -> Any: ...
        def _part(self, index: Any) -> Self: ...

    @property
    def positions(self) -> np.ndarray:
        """Where each sample is in the whole split: (samples,), int64, counted from 0."""
        if self._positions is None:
            whole = np.arange(self._samples, dtype=np.int64)
            self._positions = whole if self._part_of is None else self._part_of[0].positions[self._part_of[1]]
        self._positions.flags.writeable = False  # the digest is theirs
        return self._positions

    @property
    def digest(self) -> str:
        """The sha256 of `positions`, as little-endian int64: the same for the same samples, on every machine.

        Of a sum, `a + b`, which samples of what it was put together from stands before them.
        """
        from hashlib import sha256  # which nobody needs who only computes

        hashed = sha256("\0".join(which for _, which in self._sources).encode())
        hashed.update(np.ascontiguousarray(self.positions, "<i8").data)
        return hashed.hexdigest()

    @property
    def provenance(self) -> str:
        """One line to paste in a report: that of the data set, and which samples of it, by the start of `digest`."""
        lines, dataset = list[str](), ""
        for describe, which in self._described():
            if describe is not None and (line := describe()[1]) != dataset:
                lines.append(dataset := line)
            lines.append(which)
        return "; ".join(lines)

    def _described(self) -> tuple[Source, ...]:
        """Return what it was put together from, and which samples of that it has."""
        which = f"{self._counted(digits=16)} of split {self._name}"
        if not self._sources:
            return ((self._describe, which),)
        return (*self._sources, (None, which)) if self._is_part else self._sources

    @property
    def _is_part(self) -> bool:
        if self._part_of is None and self._positions is None:
            return False
        return not np.array_equal(self.positions, np.arange(self._in_all))

    def _counted(self, digits: int = 8) -> str:
        """Return the number of samples in words; of a part also that of the whole, and the digest."""
        of = f" of {self._in_all:,}" if self._is_part else ""
        return f"{self._samples:,}{of} samples{self._digest_shown(digits)}"

    def _digest_shown(self, digits: int = 8) -> str:
        """Return the first digits of the digest, to stand behind a number of samples, and what is to be known of them.

        Of a whole split, of which nothing is, it is empty.
        """
        digest = f"digest {self.digest[:digits]}" if self._is_part or self._sources else ""
        known = "; ".join(filter(None, (digest, self._note)))
        return f" ({known})" if known else ""

    def __contains__(self, sample: object) -> bool:
        return next(places_of(sample, self), None) is not None

    def index(self, sample: Any, start: int = 0, stop: int | None = None) -> int:
        """Return where the first sample is whose values are equal to these; ValueError if none is."""
        for place in places_of(sample, self, start, stop):
            return place
        msg = f"no such sample in split {self._name!r}"
        raise ValueError(msg)

    def count(self, sample: Any) -> int:
        """Return how many samples have values equal to these."""
        return len([*places_of(sample, self)])

    def shard(self, rank: int, world: int, *, even: Literal["pad", "drop"] | None = None) -> Self:
        """Return every `world`-th sample from number `rank` on, as views: what one of `world` processes works on.

        All shards together are the split, each sample once: they differ by one sample where `world` does not divide its
        number, and so may the numbers of their batches. Where all ranks wait for one another with each batch, as
        PyTorch's DistributedDataParallel does, `even` makes them equal.

        Args:
            rank: The number of this process, from 0.
            world: How many processes there are.
            even: "pad" gives the ranks that would have one sample less one more, from the start of the split, which is
                then there twice; "drop" leaves out the last samples of the split, fewer than `world`. None does
                neither.

        Raises:
            ValueError: `rank` is not from 0 to `world` - 1.
            UsageError: `even` is another word.

        >>> from tinytorch_datasets import Split
        >>> split = Split("train", {"x": np.arange(5)})
        >>> [split.shard(rank, 2).x.tolist() for rank in range(2)]
        [[0, 2, 4], [1, 3]]
        >>> split.shard(1, 2, even="pad").x.tolist(), split.shard(0, 2, even="drop").x.tolist()
        ([1, 3, 0], [0, 2])
        """
        world = whole_number(world, "there is 1 shard or more", least=1)
        rank = whole_number(rank, f"a shard is number 0 to {world - 1} of {world}", most=world - 1)
        if even is not None:
            check_choice(even, "even", ("pad", "drop"))
        each, rest = divmod(self._samples, world)
        if even == "pad" and rest and rank >= rest and self._samples:
            return self._part(np.arange(rank, (each + 1) * world, world) % self._samples)
        return self._part(slice(rank, each * world if even == "drop" else None, world))

    def filter(self, mask: Any) -> Self:
        """Return the samples for which a mask of truths has true: ``train.filter(train.labels == 3)``.

        Raises:
            IndexError: The mask has not one truth for each sample.
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_:  # positions, as many as samples, would count as true but for 0
            msg = f"a mask has one truth for each sample, not {mask.dtype}; split[[3, 1, 2]] takes samples by number"
            raise IndexError(msg)
        if mask.shape != (self._samples,):
            msg = f"a mask of {list(mask.shape)} truths, and split {self._name!r} has {self._samples:,} samples"
            raise IndexError(msg)
        return self._part(np.flatnonzero(mask))

    def take(self, count: int, *, each: str | None = None, seed: int | None = None) -> Self:
        """Return the first `count` samples; drawn at random with a seed; `count` of each value of a field with `each`.

        They keep the split's order. The same seed draws the same samples on every machine and NumPy version.

        Raises:
            ValueError: There are not so many.

        >>> from tinytorch_datasets import Split
        >>> digits = Split("train", {"images": np.zeros((6, 8, 8)), "labels": np.array([0, 1, 0, 1, 0, 0])})
        >>> digits.take(2, each="labels").labels.tolist()
        [0, 1, 0, 1]
        """
        count = whole_number(count, "count is a number of samples, 0 or more")
        seed = None if seed is None else checked_seed(seed)
        return self._part(taken_of_each(self._groups(each), count, seed=seed, each=each, split=self._name))

    def divide(self, fraction: float, *, by: str | None = None, seed: int = 0) -> tuple[Self, Self]:
        """Divide the samples at random into two splits, of which the first has `fraction`: training and validation.

        Both keep the split's order. The first has the nearest number of samples, and of half a sample the next one.

        Args:
            fraction: From 0 to 1.
            by: A field, mostly of labels, of whose values both get the same share, as nearly as whole samples allow.
            seed: Decides the division: the same on every machine and NumPy version.

        Raises:
            ValueError: `fraction` is not from 0 to 1.

        >>> from tinytorch_datasets import Split
        >>> digits = Split("train", {"images": np.zeros((10, 8, 8)), "labels": np.arange(10) // 5})
        >>> train, validation = digits.divide(0.8, by="labels")
        >>> train.labels.tolist(), validation.labels.tolist()
        ([0, 0, 0, 0, 1, 1, 1, 1], [0, 1])
        """
        if isinstance(fraction, bool) or not isinstance(fraction, int | float | np.number) or not 0 <= fraction <= 1:
            msg = f"a fraction is from 0 to 1, not {fraction!r}"
            raise ValueError(msg)
        # As Python's: of how many digits a product with one of NumPy's has, its version decides.
        first = first_share(self._groups(by), self._samples, float(fraction), seed=checked_seed(seed))
        return self[first], self[~first]

    def _groups(self, field: str | None) -> Groups:
        return [(None, np.arange(self._samples))] if field is None else grouped(field, self[field])


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
    if isinstance(values, StringArray):
        strings = list(values)  # NumPy's own strings would lose a NUL at their end
        distinct: list[Any] = sorted(set(strings))
        number_of = {value: number for number, value in enumerate(distinct)}
        group = np.fromiter(map(number_of.__getitem__, strings), np.intp, len(strings))
    else:
        numbers, group = np.unique(np.asarray(values), return_inverse=True)
        distinct = numbers.tolist()
    return [(value, np.flatnonzero(group == number)) for number, value in enumerate(distinct)]


def taken_of_each(groups: Groups, count: int, *, seed: int | None, each: str | None, split: str) -> np.ndarray:
    """Return the places of `count` samples of each group, sorted: the first ones, or drawn with a seed.

    Raises:
        ValueError: A group, which is of a value of the field `each`, has not so many.
    """
    random = None if seed is None else np.random.RandomState(seed)
    places = [np.empty(0, np.intp)]
    for value, group in groups:
        if count > len(group):
            of = f"of {each} {value!r} " if each else ""
            msg = f"{count:,} samples {of}are wanted, and split {split!r} has {len(group):,}"
            raise ValueError(msg)
        places.append(group[:count] if random is None else group[random.permutation(len(group))[:count]])
    return np.sort(np.concatenate(places))


def first_share(groups: Groups, samples: int, fraction: float, *, seed: int) -> np.ndarray:
    """Return a mask of the samples that are in the first of two parts, drawn with a seed: `fraction` of each group.

    Together they are the nearest number to `fraction` of all samples, and of half a sample the next one.

    >>> int(first_share([(0, np.arange(6)), (1, np.arange(6, 10))], 10, 0.5, seed=0).sum())
    5
    """
    wanted = int(fraction * samples + 0.5)
    shares = [fraction * len(group) for _, group in groups]
    counts = [int(share) for share in shares]
    # What is left goes to those that were cut short most; of equal ones to the first.
    short = sorted(range(len(groups)), key=lambda number: counts[number] - shares[number])
    for number in short[: wanted - sum(counts)]:
        counts[number] += 1
    random = np.random.RandomState(seed)
    first = np.zeros(samples, np.bool_)
    for (_, group), count in zip(groups, counts, strict=True):
        first[group[random.permutation(len(group))[:count]]] = True
    return first


def checked_rank(shards: Any, variant: str | None) -> tuple[int, int]:
    """Return which of how many processes this is; UsageError if that is not what was given."""
    is_pair = isinstance(shards, tuple | list) and [type(number) for number in shards] == [int, int]
    if not is_pair or not 0 <= shards[0] < shards[1]:
        msg = f"shards is which of how many processes this is, from 0, such as (3, 8), not {shards!r}"
        raise UsageError(msg)
    if variant is not None:
        msg = "variant is accepted by the digest of all values, of which shards= takes a part"
        raise UsageError(msg, hint="Leave out one of them.")
    return shards[0], shards[1]


_BOUND = r"(-?\d+(?:_\d+)*%?)?"
_ASKED = rf"\s*(\w[\w.-]*)\s*(?:\[\s*{_BOUND}\s*:\s*{_BOUND}\s*\])?\s*"  # compiled for the few who ask


def split_expression(name: str, asked: object, samples: Mapping[str, int]) -> str:
    """Return the Python for what other libraries call ``train[:10%]+test``: a share is the nearest number of samples.

    Args:
        name: The data set's name.
        asked: Splits, and slices of them, in those libraries' words; or several in a list.
        samples: The number of samples of each split.

    Raises:
        UnknownName: There is no split of a name.

    >>> split_expression("mnist", "train[:10%]+test", {"train": 60000, "test": 10000})
    "get('mnist').train[:6000] + get('mnist').test"
    """
    if isinstance(asked, list | tuple) and asked:
        return ", ".join(split_expression(name, one, samples) for one in asked)
    words = [*samples] if str(asked) == "all" and "all" not in samples else str(asked).split("+")
    parts = [re.fullmatch(_ASKED, word) for word in words]
    if not all(parts):
        parts = [re.fullmatch(_ASKED, next(iter(samples)))]  # whatever that was, this is one of them
    written = []
    for part in filter(None, parts):
        split, *bounds = part.groups()
        if split not in samples:
            raise UnknownName(split, samples, kind=f"split of {name!r}")
        first, end = (_bound(bound, samples[split]) for bound in bounds)
        sliced = f"[{first}:{end}]" if first or end else ""
        written.append(f"get({name!r})" + (f".{split}" if split.isidentifier() else f"[{split!r}]") + sliced)
    return " + ".join(written)


def _bound(asked: str | None, samples: int) -> str:
    """Return one end of a slice: a number of samples, or a share of them, as a number."""
    if not asked:
        return ""
    if not asked.endswith("%"):
        return str(int(asked))
    share = int(asked[:-1]) * samples
    nearest = (2 * abs(share) + 100) // 200
    if asked.startswith("-"):
        return str(-nearest or samples)  # -0 would count from the beginning
    return str(nearest)
