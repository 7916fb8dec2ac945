"""NPY: NumPy's own file, one array each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tinytorch_datasets.formats import ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import Block, Split
from tinytorch_datasets.readers.archive import opened_source
from tinytorch_datasets.readers.npy import array, inspect_header


def _detect(head: bytes, path: Path) -> Detection | None:
    if not head.startswith(b"\x93NUMPY"):
        return None
    inspect = lambda: FileInfo(path, "npy", (ArrayInfo("", *inspect_header(head, path, "it")),))  # noqa: E731
    return Detection(Certainty.CERTAIN, inspect)


@decodes("npy", layout="file per field", detect=_detect)
def npy(splits: Sequence[Split]) -> Iterator[Block]:
    """NPY files, one for each field of each split, plain or compressed.

    Arrays of numbers, or of text (NumPy's ``str_``, or ``bytes_`` in UTF-8; a NUL at the end of a text is not
    part of it). Axes of length one do not matter: labels may be stored as (N, 1), images as (N, 28, 28, 1).

    Raises:
        DecodeError: It is not NPY, or its values are more or fewer than its header states.
        UnsafePickle: It holds Python objects.
        ContentError: Its header states more than is declared.
    """
    for split in splits:
        for column in split.columns.values():
            with opened_source(column.source) as stream:
                yield from array(column, stream)
