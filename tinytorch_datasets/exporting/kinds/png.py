"""PNG: pictures, a file each, in folders of classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tinytorch_datasets.display import pictures as drawn
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.exporting import exports
from tinytorch_datasets.exporting.declared import shape_of
from tinytorch_datasets.exporting.kinds.csv import write_rows
from tinytorch_datasets.exporting.values import bytes_of
from tinytorch_datasets.manifest.filenames import folded, why_unsafe
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.readers.archives.source import is_litter
from tinytorch_datasets.storage.string_array import StringArray

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.models import Entry
    from tinytorch_datasets.split import Split


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
    fields = {
        name: field
        for name, field in entry.fields.items()
        if len(field.shape) in (2, 3) and not field.names and not drawn.is_series(field.shape, field.dtype)
    }
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
        if field.channels is not None:
            axes = [axis for axis in axes if axis == (0 if field.channels == "first" else 2)]
        if len(axes) != 1:
            which = "either its first or its last axis" if axes else "no axis"
            msg = f"{which} of field {name!r} {shape_of(field)} is channels, of which a picture has one to four"
            raise UsageError(msg, hint="Declare `channels: first`, or last, of the field." if axes else use)
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


def _check(entry: Entry) -> None:
    _pictures_of(entry)
    if "file_name" in entry.fields and len(entry.fields) > 1:
        msg = "field 'file_name' has the name of the column that says which picture a row of metadata.csv is of"
        raise UsageError(msg, hint="Export it as npz or parquet.")


def _room(split: Split, entry: Entry) -> int:
    return bytes_of(split) + 4096 * len(split)  # a disk gives each file a block at least


@exports("png", room=_room, check=_check)
def png(split: Split, folder: Path, entry: Entry) -> None:
    """Pictures, a PNG file each: `train/frog/00007.png`, as torchvision's ImageFolder reads them.

    `torchvision.datasets.ImageFolder("train")` reads a split that has classes. The number of a picture is that of the
    sample in its split, from 0. Which axis has the channels must be certain: as declared (`channels`), or the only one
    of one to four. Pixels have the very values that `get` gives, so only whole numbers from 0 to 65535 are
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
        (folder / split.name / name).write_bytes(drawn.png(_pixels(np.asarray(value), pictures)))
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
    exact = value.astype(pictures.dtype, copy=False)
    if (exact != value).any():  # a missing value, which no declared range includes
        msg = f"a value of field {pictures.field!r} is outside of its range, and PNG does not hold it"
        raise UsageError(msg, hint="Export it as npz or parquet.")
    return exact


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
