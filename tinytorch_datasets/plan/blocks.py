"""Runs of samples: blocks, as decoders give them; shards; a rank's stretch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

# Not NumPy, which takes half the time of whoever only lists what a manifest declares: values bring it.
if TYPE_CHECKING:
    import numpy as np

    from tinytorch_datasets.plan import Column


class Block(NamedTuple):
    """A run of decoded samples of one column, in the shape and dtype that the file itself gives them.

    `start` is the first sample. Texts are a list of str, ragged samples a `RaggedBlock`, encoded an `EncodedBlock`.
    """

    column: Column
    start: int
    values: np.ndarray | Sequence[str] | RaggedBlock | Any


@dataclass(frozen=True)
class RaggedBlock:
    """A run of samples whose shapes differ.

    Attributes:
        values: All their values, one sample after the other, each in C order.
        shapes: (samples, dimensions), int64; the shape of each.
    """

    values: np.ndarray
    shapes: np.ndarray

    @classmethod
    def of(cls, samples: Sequence[Any], dtype: Any, dimensions: int) -> RaggedBlock:
        """Return the block of the given samples, each an array, or a list of numbers.

        >>> RaggedBlock.of([[1, 2], [3]], "int64", 1).shapes.tolist()
        [[2], [1]]
        """
        import numpy as np

        arrays = [np.asarray(sample, dtype) for sample in samples]
        shapes = np.array([array.shape for array in arrays], np.int64).reshape(len(arrays), dimensions)
        return cls(np.concatenate([a.reshape(-1) for a in arrays] or [np.empty(0, dtype)]), shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def samples(self) -> list[np.ndarray]:
        """Return the samples, each with its own shape."""
        import numpy as np

        ends = np.cumsum(np.prod(self.shapes, axis=1))[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(self.values, ends), self.shapes, strict=True)]

    def __getitem__(self, samples: slice) -> RaggedBlock:
        import numpy as np

        start, stop, _ = samples.indices(len(self))
        ends = np.concatenate([[0], np.cumsum(np.prod(self.shapes, axis=1))])
        return RaggedBlock(self.values[ends[start] : ends[stop]], self.shapes[start:stop])


@dataclass(frozen=True)
class Shard:
    """One shard of a split: how many samples it has, and its files' names; the line that declares the first of them."""

    samples: int
    files: tuple[str, ...]
    where: str = ""


# Which of several processes this is, from 0, and how many there are.
Rank: TypeAlias = "tuple[int, int]"


class Stretch(NamedTuple):
    """The samples of a split that a rank has: from `start` to before `stop` of those that are decoded.

    `first` is the number of the first decoded one in the whole split, which has `whole` samples.
    """

    start: int
    stop: int
    first: int
    whole: int
