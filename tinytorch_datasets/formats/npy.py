"""NPY: NumPy's own file, one array each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tinytorch_datasets.formats import INSPECTED, INSPECTED_BYTES, ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import Block, Column, Split
from tinytorch_datasets.readers.archives.source import opened_source
from tinytorch_datasets.readers.npy import OBJECTS, array, inspect_header, inspect_objects, pickle_of
from tinytorch_datasets.readers.stream import Stream, opened


def _detect(head: bytes, path: Path) -> Detection | None:
    if not head.startswith(b"\x93NUMPY"):
        return None
    return Detection(Certainty.CERTAIN, lambda: _inspect(head, path))


def _inspect(head: bytes, path: Path) -> FileInfo:
    dtype, shape = inspect_header(head, path, "it")
    if dtype == OBJECTS:
        with opened(path, limit=max(INSPECTED_BYTES, path.stat().st_size), limit_reason=INSPECTED) as stream:
            dtype, shape = inspect_objects(stream, shape)
    return FileInfo(path, "npy", (ArrayInfo("", dtype, shape),))


def _pickles(splits: Sequence[Split]) -> Iterator[tuple[Path, str, Callable[[int], bytes]]]:
    """Yield the pickle of each array of objects."""
    for column, stream in _arrays(splits):
        if read := pickle_of(stream):
            yield column.file, stream.member, read


def _arrays(splits: Sequence[Split]) -> Iterator[tuple[Column, Stream]]:
    """Yield each column with the bytes of its array."""
    for split in splits:
        for column in split.columns.values():
            with opened_source(column.source) as stream:
                yield column, stream


@decodes("npy", layout="file per field", pickles=_pickles, detect=_detect)
def npy(splits: Sequence[Split]) -> Iterator[Block]:
    """NPY files, one for each field of each split, plain or compressed.

    Arrays of numbers, or of text (NumPy's ``str_``, or ``bytes_`` in UTF-8; a NUL at the end of a text is not
    part of it). Axes of length one do not matter: labels may be stored as (N, 1), images as (N, 28, 28, 1).
    Arrays of Python objects are read if each of these is a number, a text, or a list or an array of numbers: in a
    field of ``shape: [null]`` the samples differ in length. Their pickle is never run.

    Raises:
        DecodeError: It is not NPY, or its values are more or fewer than its header states.
        UnsafePickle: It holds Python objects that are neither numbers nor texts.
        ContentError: Its header states more than is declared.
    """
    for column, stream in _arrays(splits):
        yield from array(column, stream)
