"""The command `show`: which samples, and where they are drawn.

Pictures are drawn in the terminal, two pixels a character; strings and numbers are written out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinytorch_datasets.cli.common import echo, writing_to
from tinytorch_datasets.display import terminal
from tinytorch_datasets.display.samples import class_counts
from tinytorch_datasets.errors import UnknownName, UsageError
from tinytorch_datasets.storage.files import writing

if TYPE_CHECKING:
    from tinytorch_datasets.dataset import Dataset
    from tinytorch_datasets.display.samples import Samples
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split


def chosen(
    entry: Entry, split: Split, count: int, *, seed: int, named: str | None = None, indices: Sequence[int] = ()
) -> Samples:
    """Return samples of a split: those of these indices; or so many, drawn by a seed, of one class or of all.

    Raises:
        UnknownName: There is no such class.
        UsageError: There are no classes, or the split has not so many samples.
    """
    if indices:
        if wrong := [index for index in indices if index >= len(split)]:
            msg = f"no sample {wrong[0]:,} in split {split.name!r}, which has {len(split):,}, counted from 0"
            raise UsageError(msg)
        part: Split = split[list(indices)]
        return part.show(len(indices))
    return split.show(count, seed=seed, where=None if named is None else _of_class(entry, split, named))


def _of_class(entry: Entry, split: Split, named: str) -> np.ndarray:
    for field in split.fields:
        if classes := entry.fields[field].classes:
            if named not in classes:
                raise UnknownName(named, classes, kind=f"class of field {field!r}")
            mask: np.ndarray = split[field] == classes.index(named)
            return mask
    msg = f"no field of split {split.name!r} has classes, so there is none named {named!r}"
    raise UsageError(msg)


def counts(dataset: Dataset, splits: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """Return how many samples each class has, by split.

    Raises:
        UsageError: There are no classes.
    """
    counted = {name: class_counts(dataset[name]) for name in splits}
    if not any(counted.values()):
        msg = f"no field of {dataset.name!r} has classes to be counted"
        raise UsageError(msg)
    return counted


def show(samples: Samples) -> None:
    """Print the samples: pictures side by side, anything else one below the other."""
    console, drawn = terminal.canvas()
    samples.print_to(console)
    echo(drawn.getvalue(), nl=False)


def show_counts(counted: Mapping[str, Mapping[str, int]]) -> None:
    """Print how many samples each class has, with bars."""
    console, drawn = terminal.canvas()
    terminal.draw_histogram(counted, console)
    echo(drawn.getvalue(), nl=False)


def save(samples: Samples, path: Path) -> None:
    """Write the pictures as a PNG file."""
    with writing_to(path), writing(path):
        samples.save(path)


def list_captions(samples: Samples) -> None:
    """Print what each picture of a file is, in their order."""
    for index, caption in zip(samples.positions, samples.captions, strict=True):
        echo(f"{index}: {caption}")
