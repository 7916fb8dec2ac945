"""NPZ: NumPy's archive of several arrays in one file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.exporting import exports
from tinytorch_datasets.progress import readable
from tinytorch_datasets.storage.encoded_array import in_memory
from tinytorch_datasets.storage.ragged_array import RaggedArray
from tinytorch_datasets.storage.string_array import StringArray

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split

# NumPy keeps a text in as many characters as the longest has, of 4 bytes each; of one long text among many, more than
# a computer has.
MOST_TEXT_BYTES = 2**28
# The earliest date that a zip archive can hold: with that of today, no two exports were equal.
EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX = 3  # as whose system's each member is written, wherever it is
# From about this size on, a member needs the fields for large files. Those of a smaller one Python has written in other
# ways in its versions.
LARGE = 2**31 - 2**10


def _room(split: Split, entry: Entry) -> int:
    sizes = []
    for field in split.fields:
        values = split[field]
        sizes.append(4 * len(values) * max(map(len, values)) if isinstance(values, StringArray) else values.nbytes)
    return sum(sizes)


@exports("npz", room=_room, ending=".npz")
def npz(split: Split, folder: Path, entry: Entry) -> None:
    """NumPy's archive of arrays: a file a split, with an array a field.

    `numpy.load("train.npz", allow_pickle=False)["images"]` reads a field of a split. Arrays are not compressed: they
    load fast, and have the same bytes wherever they are written. Texts are arrays of NumPy's `str`; refused are those
    that end in a NUL, which NumPy leaves out, and those that would take more than 256 MiB. A field `words` whose
    samples differ in shape is three arrays: `words.values`, all values one after the other; `words.offsets`, where each
    sample begins in them and the last one ends; and, where samples have several axes, `words.shapes`. Sample `i` is
    `values[offsets[i]:offsets[i + 1]].reshape(shapes[i])`.
    """
    with zipfile.ZipFile(folder / f"{split.name}.npz", "w", zipfile.ZIP_STORED) as archive:
        for name, array in _arrays(split):
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            member.create_system, member.external_attr = UNIX, 0o644 << 16
            with archive.open(member, "w", force_zip64=array.nbytes > LARGE) as out:
                np.lib.format.write_array(out, array, allow_pickle=False)


def _arrays(split: Split) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each array of a split, by the name that it has in the archive."""
    for field in split.fields:
        values = in_memory(split[field])
        if isinstance(values, StringArray):
            yield field, _characters(values, f"{split.name}.{field}")
        elif isinstance(values, RaggedArray):
            yield f"{field}.values", _little_endian(values.flat)
            yield f"{field}.offsets", _little_endian(np.asarray(values.offsets) - values.offsets[0])
            if values.shapes is not None:
                yield f"{field}.shapes", _little_endian(values.shapes)
        else:
            yield field, _little_endian(values)


def _little_endian(array: np.ndarray) -> np.ndarray:
    return np.asarray(array).astype(array.dtype.newbyteorder("<"), copy=False)


def _characters(texts: StringArray, name: str) -> np.ndarray:
    """Return texts as an array of characters, which needs no pickle.

    Raises:
        UsageError: It does not hold them, or takes too much room.
    """
    longest = 1
    for text in texts:
        longest = max(longest, len(text))
        if text.endswith("\0"):
            what = f"a text of {name} ends in a NUL, which NumPy's arrays of text leave out"
            raise UsageError(what, hint="Export it as parquet or jsonl.")
    if (size := 4 * longest * len(texts)) > MOST_TEXT_BYTES:
        what = (
            f"{name} would take {readable(size)} as NumPy's array of text, "
            f"all {len(texts):,} texts being as long as the longest: {longest:,} characters"
        )
        raise UsageError(what, hint="Export it as parquet or jsonl.")
    return np.array(list(texts), f"<U{longest}")
