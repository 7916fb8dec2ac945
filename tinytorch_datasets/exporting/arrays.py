"""Exports as arrays: NPZ files, and pictures as PNG files in folders of classes."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tinytorch_datasets.display.pictures import png as png_file
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.exporting import exports
from tinytorch_datasets.exporting.tables import bytes_of, write_rows
from tinytorch_datasets.manifest.filenames import folded, why_unsafe
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.progress import readable
from tinytorch_datasets.storage.encoded_array import in_memory
from tinytorch_datasets.storage.files import is_litter
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


def _npz_room(split: Split, entry: Entry) -> int:
    return sum(array.nbytes + 1024 for _, array in _npz_arrays(split))


@exports("npz", room=_npz_room, ending=".npz")
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
        for name, array in _npz_arrays(split):
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            member.create_system, member.external_attr = UNIX, 0o644 << 16
            with archive.open(member, "w", force_zip64=True) as out:
                np.lib.format.write_array(out, array, allow_pickle=False)


def _npz_arrays(split: Split) -> Iterator[tuple[str, np.ndarray]]:
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


class _Pictures(NamedTuple):
    """The field of a data set that is pictures, and how they are written."""

    field: str
    channels: int | None  # which axis of a sample has them
    dtype: str


def _pictures_of(entry: Entry) -> _Pictures:
    """Return which field is pictures that PNG files hold.

    Raises:
        UsageError: None is, or several are, or PNG does not hold what they are made of.
    """
    fields = {name: field for name, field in entry.fields.items() if len(field.shape) in (2, 3) and not field.names}
    use = "Export it as npz or parquet."
    if not fields:
        msg = "no field is pictures: those have a height and a width, and one to four channels or none"
        raise UsageError(msg, hint=use)
    if len(fields) > 1:
        msg = f"several fields are pictures, {' and '.join(fields)}, and a PNG file holds one"
        raise UsageError(msg, hint=use)
    ((name, field),) = fields.items()
    channels = None
    if len(field.shape) == 3:
        axes = [axis for axis in (0, 2) if field.shape[axis] in (1, 2, 3, 4)]
        if len(axes) != 1:
            which = "either its first or its last axis" if axes else "no axis"
            shape = str(list(field.shape)).replace("None", "null")
            msg = f"{which} of field {name!r} {shape} is channels, of which a picture has one to four"
            raise UsageError(msg, hint=use)
        channels = axes[0]
    low, high = field.range or (None, None)
    whole = field.dtype.startswith(("int", "uint"))
    if field.dtype == "bool" and channels is None:
        return _Pictures(name, channels, "bool")
    if field.dtype == "uint8" or (whole and low is not None and low >= 0 and high is not None and high <= 255):
        return _Pictures(name, channels, "uint8")
    if field.dtype == "uint16" or (whole and low is not None and low >= 0 and high is not None and high <= 65535):
        return _Pictures(name, channels, "uint16")
    msg = f"PNG holds whole numbers from 0 to 255 or to 65535, and field {name!r} is {field.dtype}"
    raise UsageError(msg, hint=use)


def _check_pictures(entry: Entry) -> None:
    _pictures_of(entry)
    if "file_name" in entry.fields and len(entry.fields) > 1:
        msg = "field 'file_name' has the name of the column that says which picture a row of metadata.csv is of"
        raise UsageError(msg, hint="Export it as npz or parquet.")


def _png_room(split: Split, entry: Entry) -> int:
    return bytes_of(split) + 4096 * len(split)  # a disk gives each file a block at least


@exports("png", room=_png_room, check=_check_pictures)
def png(split: Split, folder: Path, entry: Entry) -> None:
    """Pictures, a PNG file each: `train/frog/00007.png`, as torchvision's ImageFolder reads them.

    `torchvision.datasets.ImageFolder("train")` reads a split that has classes. The number of a picture is that of the
    sample in its split, from 0. Pixels have the very values that `get` gives, so only whole numbers from 0 to 65535 are
    exported, and truths. Where the names of classes cannot be names of folders, or would not be sorted in the order of
    the labels, all are `NUMBER-NAME`: so the labels that a reader counts by sorted folders are the declared ones.
    Without classes, pictures are in `train/` itself. What else a sample has is in `train/metadata.csv`, a row a picture
    by its `file_name`, and its label as well.
    """
    pictures = _pictures_of(entry)
    others = [field for field in split.fields if field != pictures.field]
    label = _label_field(entry)
    folders = class_folders(entry.fields[label].classes or ()) if label else []
    (folder / split.name).mkdir()
    for name in folders:  # of a class without samples too: a reader counts classes by folders
        (folder / split.name / name).mkdir()
    width = len(str(len(split) - 1))
    labels = split[label] if label else np.zeros(len(split), np.int64)
    names = [
        "/".join([*([folders[number]] if label else []), f"{place:0{width}d}.png"])
        for place, number in enumerate(np.asarray(labels).tolist())
    ]
    for name, value in zip(names, split[pictures.field], strict=True):
        (folder / split.name / name).write_bytes(png_file(_pixels(np.asarray(value), pictures)))
    if set(others) - {label}:
        rest = {"file_name": StringArray.of(names), **{field: split[field] for field in others}}
        write_rows(folder / split.name / "metadata.csv", rest, entry)


def _pixels(value: np.ndarray, pictures: _Pictures) -> np.ndarray:
    if not value.size:
        msg = f"a picture of field {pictures.field!r} has no pixels, which a PNG file cannot have"
        raise UsageError(msg, hint="Export it as npz or parquet.")
    if pictures.channels is not None:
        value = np.moveaxis(value, pictures.channels, -1)
        value = value[:, :, 0] if value.shape[2] == 1 else value
    return value.astype(pictures.dtype, copy=False)


def _label_field(entry: Entry) -> str | None:
    """Return the field whose classes are the folders: `labels`, or the first that has classes."""
    named = [name for name, field in entry.fields.items() if field.classes and field.dtype != TEXT]
    return "labels" if "labels" in named else next(iter(named), None)


def class_folders(classes: Sequence[str]) -> list[str]:
    """Return the name of each class's folder; sorted, they are in the order of the classes.

    >>> class_folders(["cat", "dog"]), class_folders(["dog", "cat"]), class_folders(["a/b", "a:b"])
    (['cat', 'dog'], ['0-dog', '1-cat'], ['0-a_b', '1-a_b'])
    """
    plain = all(why_unsafe(name) is None and "/" not in name and not is_litter(name) for name in classes)
    distinct = len({folded(name) for name in classes}) == len(classes)
    if plain and distinct and sorted(classes) == list(classes) and not any(name.startswith(".") for name in classes):
        return list(classes)
    width = len(str(len(classes) - 1))
    return [f"{number:0{width}d}-{_cleaned(name)}" for number, name in enumerate(classes)]


def _cleaned(name: str) -> str:
    """Return what of a class's name every disk can store."""
    return re.sub(r"[^A-Za-z0-9 ._-]", "_", name)[:60].strip(" .")
