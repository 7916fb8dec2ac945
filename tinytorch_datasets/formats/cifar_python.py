"""CIFAR-10 and CIFAR-100 in their "python version": pickled batches in a tar."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError, UnsafePickle
from tinytorch_datasets.formats import (
    INSPECTED,
    INSPECTED_BYTES,
    INSPECTED_INSTRUCTIONS,
    ArrayInfo,
    Certainty,
    Detection,
    FileInfo,
    decodes,
)
from tinytorch_datasets.plan import Block, Column, Split
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.source import is_litter
from tinytorch_datasets.readers.arrays import check_within_declared
from tinytorch_datasets.readers.pickle import array, as_text, entry, load_dict, max_extra_bytes, max_instructions
from tinytorch_datasets.readers.stream import opened

PIXELS = 3 * 32 * 32
# What CIFAR-10 and CIFAR-100 call the labels of a batch, each with what they call the list of their names.
LABEL_NAMES = {"labels": "label_names", "fine_labels": "fine_label_names", "coarse_labels": "coarse_label_names"}


class Batch(NamedTuple):
    """One member of the archive, or one file of it unpacked: the samples of a split from `start` on."""

    split: Split
    start: int
    samples: int
    declared_bytes: int
    most_bytes: int


def _pickles(splits: Sequence[Split]) -> Iterator[tuple[Path, str, Callable[[int], bytes]]]:
    """Yield each batch as it comes by, in the order of the archive."""
    return ((path, member, read) for _, path, member, read in _opened_batches(splits))


def _opened_batches(splits: Sequence[Split]) -> Iterator[tuple[Batch, Path, str, Callable[[int], bytes]]]:
    """Yield each batch with the file that it is in, what it is called inside of that, and how it is read."""
    for path, batches in _batches(splits).items():
        if not path.is_dir():
            for name, member in tar.members(path, {name: batch.most_bytes for name, batch in batches.items()}):
                yield batches[name], path, name, member.some
            continue
        for name, batch in batches.items():  # files that were in the archive
            limit_reason = f"its declared samples take at most {batch.declared_bytes:,}"
            with opened(path / name, limit=batch.most_bytes, limit_reason=limit_reason) as stream:
                yield batch, path / name, "", stream.some


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize a tar archive, surely if one of the first files in it is a pickle."""
    if head[257:262] != b"ustar":
        return None
    is_certain = any(data.startswith((b"\x80", b"(")) for _, data in tar.begun(head, path))
    return Detection(Certainty.CERTAIN if is_certain else Certainty.LIKELY, lambda: _inspect(path))


def _inspect(path: Path) -> FileInfo:
    """Return what an archive of batches holds. Nothing is extracted: members are read where they are."""
    loaded = {}
    limit = max(INSPECTED_BYTES, path.stat().st_size)
    for name, stream in tar.files(path, limit=limit, limit_reason=INSPECTED):
        if is_litter(name):
            continue
        declared = min(stream.size or 0, limit)
        try:
            loaded[name] = load_dict(stream.some, path, most=INSPECTED_INSTRUCTIONS, declared=declared, member=name)
        except UnsafePickle:
            raise
        except DecodeError:
            continue  # a readme, which is no batch
    batches = {name: batch for name, batch in loaded.items() if _is_batch(batch)}
    if not batches:
        reason = "it is a tar archive, and none of its members is a batch of CIFAR's"
        raise DecodeError(path, reason, hint="Unpack it, and add the files in it.")
    key = next(key for key in LABEL_NAMES if key in next(iter(batches.values())))
    names = LABEL_NAMES[key]
    classes = next((tuple(map(as_text, one[names])) for one in loaded.values() if names in one), None)
    arrays = []
    for name in sorted(batches, key=_by_number):
        samples = len(batches[name]["data"])
        arrays.append(ArrayInfo("", "uint8", (samples, 3, 32, 32), field="images", member=name))
        arrays.append(ArrayInfo("", "int64", (samples,), field="labels", member=name, classes=classes))
    return FileInfo(path, "cifar-python", tuple(arrays), {"labels": key} if key != "labels" else {})


def _is_batch(loaded: dict[Any, Any]) -> bool:
    data = loaded.get("data")
    is_images = isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == PIXELS
    return is_images and any(key in loaded for key in LABEL_NAMES)


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts data_batch_2 before data_batch_10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


@decodes("cifar-python", layout="members", pickles=_pickles, detect=_detect)
def cifar_python(splits: Sequence[Split], *, labels: str = "labels") -> Iterator[Block]:
    """CIFAR's batches: a tar archive of pickles, each with rows of pixels and a list of labels; or those pickles.

    Without `file`, the members are declared files, as they lie in the archive unpacked. Each member of a split holds
    as many samples as the others, and samples come in the order in which the members are declared, whatever the order
    in the archive. A field with classes, or of single numbers, is the labels; the other is the images, whose rows of
    3,072 numbers take the declared shape.

    Args:
        splits: What to decode.
        labels: What a batch calls its labels; in CIFAR-100 that is "fine_labels" or "coarse_labels".

    Raises:
        UnsafePickle: A batch asks for more than arrays.
        ContentError: A batch has more or fewer samples than its share, or rows of another length.
        DecodeError: A member is missing, or the archive or a batch is damaged.

    Source: "The CIFAR-10 dataset", https://www.cs.toronto.edu/~kriz/cifar.html
    """
    for batch, path, name, read in _opened_batches(splits):
        most = max_instructions(batch.samples)
        loaded = load_dict(read, path, most=most, declared=batch.declared_bytes, member=name)
        for column in batch.split.columns.values():
            yield Block(column, batch.start, _values(column, batch, loaded, name, path, labels))
        del loaded  # a batch may be large, and is not to be held while the next one is loaded


def _batches(splits: Sequence[Split]) -> dict[Path, dict[str, Batch]]:
    """List which members of which archive hold what."""
    batches: dict[Path, dict[str, Batch]] = {}
    for split in splits:
        path = split.file or next(iter(split.columns.values())).file
        roles = [_is_labels(column) for column in split.columns.values()]
        if len(roles) != len(set(roles)):
            fields = " and ".join(repr(name) for name in split.columns)
            reason = f"a batch holds images and labels; which of the fields {fields} is which cannot be told"
            raise DecodeError(path, reason)
        share, left = divmod(split.samples, max(len(split.members), 1))
        if left or not split.members:
            reason = (
                f"the {split.samples:,} samples of {split.name} do not share evenly among {len(split.members)} members"
            )
            raise ContentError(
                path, reason, aspect="samples", expected=split.samples, actual=len(split.members), split=split.name
            )
        pixels = sum(c.nbytes for c in split.columns.values() if not _is_labels(c)) // len(split.members)
        declared = max(pixels, share * PIXELS)
        most = declared + max_extra_bytes(share)
        for number, member in enumerate(split.members):
            if member in batches.setdefault(path, {}):
                reason = f"member {member!r} is declared for {batches[path][member].split.name} and for {split.name}"
                raise DecodeError(path, reason)
            batches[path][member] = Batch(split, number * share, share, declared, most)
    return batches


def _is_labels(column: Column) -> bool:
    return column.classes is not None or column.shape == ()


def _values(column: Column, batch: Batch, loaded: dict[Any, Any], name: str, path: Path, labels: str) -> np.ndarray:
    held, whose = entry(loaded, labels if _is_labels(column) else "data", path, name)
    values = array(held, path, whose)
    if values.shape[:1] != (batch.samples,):
        reason = f"{whose} has the shape {values.shape}, its share of {batch.split.name} is {batch.samples:,} samples"
        raise ContentError(
            path, reason, aspect="samples", expected=batch.samples, actual=values.shape, column=str(column)
        )
    # The file has only the length of a row; how a row is folded is the one thing that is taken from the manifest.
    if values.ndim == 2 and column.shape and values.shape[1] == math.prod(column.sample_shape):
        values = values.reshape(len(values), *column.shape)
    elif values.shape[1:] != column.shape:
        reason = f"{whose} has rows of the shape {values.shape[1:]}, {column} is declared as {column.shape}"
        raise ContentError(
            path, reason, aspect="shape", expected=column.shape, actual=values.shape[1:], column=str(column)
        )
    check_within_declared(column, values.dtype, values.shape, path, whose)
    return values
