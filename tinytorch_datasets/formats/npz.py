"""NPZ: NumPy's archive of several arrays in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tinytorch_datasets.formats import decodes
from tinytorch_datasets.plan import Block, Split
from tinytorch_datasets.readers.arrays import array
from tinytorch_datasets.readers.zip import Zip, opened_zip

SUFFIX = ".npy"


@decodes("npz", layout="file per split")
def npz(splits: Sequence[Split]) -> Iterator[Block]:
    """NPZ archives as np.savez and np.savez_compressed write them; a field's key is the name of its array.

    Raises:
        DecodeError: It is not a sound archive of that kind, or an array is missing.
        UnsafePickle: A wanted array holds Python objects.
        ContentError: An array's header promises more than is declared.
    """
    with ExitStack() as stack:
        archives: dict[Path, Zip] = {}
        for split in splits:
            for column in split.columns.values():
                if column.file not in archives:
                    archives[column.file] = stack.enter_context(opened_zip(column.file))
                archive = archives[column.file]
                names = [name[: -len(SUFFIX)] for name in archive.entries if name.endswith(SUFFIX)]
                yield from array(column, archive.member(column.key + SUFFIX, column.key, names))
