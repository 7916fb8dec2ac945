"""Pictures, a file each: members of an archive, or files, read by Pillow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.concurrency.ahead import mapped
from tinytorch_datasets.errors import ContentError, DecodeError, Problems
from tinytorch_datasets.formats import (
    INSPECTED,
    INSPECTED_BYTES,
    ArrayInfo,
    Certainty,
    Detection,
    FileInfo,
    decodes,
)
from tinytorch_datasets.plan import Block, Column, Split
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.members import Member, Pattern, files_of
from tinytorch_datasets.readers.archives.samples import (
    LabelSplit,
    Naming,
    check_naming,
    class_names,
    decode_members,
    ending,
    grouped,
    key_of,
    left_out,
)
from tinytorch_datasets.readers.archives.source import is_litter, is_zip
from tinytorch_datasets.readers.archives.zip import opened_zip
from tinytorch_datasets.readers.picture_headers import (
    ENDINGS,
    LARGEST_FILE,
    LIBRARY,
    Summary,
    kind_of_picture,
    survey,
)
from tinytorch_datasets.readers.pictures import (
    ARRAYS,
    SMALL_FILE,
    Alpha,
    Choices,
    Orientation,
    Picture,
    PictureMode,
    Pictures,
    Resize,
    common_mode,
)
from tinytorch_datasets.readers.stream import Stream, opened
from tinytorch_datasets.verify.diagnose import kind_of, kind_of_zip

IMAGE = "image"

BLOCK_BYTES = 1 << 22

# What pictures that are read ahead take in memory together, decoded or not yet.
AHEAD_BYTES = 32 << 20

# What pictures of several sizes come to, for each byte of their files. Photographs shrink to a tenth, line drawings to
# a hundredth.
INFLATION = 1000
SMALL = 64 << 20


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """Labels that no name has."""
    yield from check_naming(options)


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize an archive of pictures: half of its files, or more, are called so."""
    if is_zip(path):
        with opened_zip(path) as archive:
            names = [name for name, entry in archive.entries.items() if entry.is_file and not is_litter(name)]
        pictures = sum(ending(name) in ENDINGS for name in names)
        is_it = bool(pictures) and 2 * pictures >= len(names) and not kind_of_zip(names)
    elif head[257:262] == b"ustar":
        begun = tar.begun(head, path)
        is_it = any(kind_of_picture(data) for name, data in begun if not is_litter(name) and ending(name) in ENDINGS)
    else:
        one = kind_of_picture(head) if kind_of(head) else ""
        return Detection(Certainty.CERTAIN, lambda: _refuse_one(path, one)) if one else None
    return Detection(Certainty.CERTAIN, lambda **given: _inspect(path, given), takes_options=True) if is_it else None


def _refuse_one(path: Path, kind: str) -> NoReturn:
    reason = f"it is one picture, {kind}, and no data set of them"
    raise DecodeError(path, reason, hint="Add the folder, or the archive, that all of its pictures are in.")


def inspect_files(
    files: Sequence[tuple[Path, str]], given: Mapping[str, Any], *, is_said: bool = False
) -> FileInfo | None:
    """Return the splits of files, each with its path and its name, if they are pictures in folders; else None.

    Where a person says that they are, they need not be most of the files. `given` are options as they were typed.

    Raises:
        DecodeError: One is damaged, or their classes are not certain.
        MissingLibrary: Pillow is not installed.
    """
    roots = {path.as_posix().removesuffix(f"/{name}") for path, name in files}
    if len(roots) > 1 or not (is_said or 2 * sum(ending(name) in ENDINGS for _, name in files) >= len(files)):
        return None
    headers, others = survey(_opened(files), is_packed=False)
    if not headers:
        return None
    return _describe(Path(roots.pop()), headers, others, given)


def _opened(files: Sequence[tuple[Path, str]]) -> Iterator[tuple[str, Path, Stream]]:
    for path, name in files:
        with opened(path) as stream:
            yield name, path, stream


def _inspect(path: Path, given: Mapping[str, Any]) -> FileInfo:
    formats.of("images").check_libraries()
    files = files_of(path, limit=INSPECTED_BYTES, limit_reason=INSPECTED)
    surveyed = survey(((member.name, path, stream) for member, stream in files), is_packed=True)
    return _describe(path, *surveyed, given)


def _describe(path: Path, headers: Mapping[str, Summary], others: Sequence[str], given: Mapping[str, Any]) -> FileInfo:
    """Return the splits of an archive, or of files: their pictures, and labels where folders are classes."""
    if not headers:
        reason = "it is an archive of pictures by their names, and none of them is one that is read"
        raise DecodeError(path, reason, hint="Unpack it, and add the files in it.")
    own = [name for name in others if not is_litter(name)]
    groups = grouped(path, sorted(headers), own, "pictures")
    mode, note = (given["mode"], "") if given.get("mode") in ARRAYS else common_mode(path, headers)
    channels, dtype = ARRAYS[mode]
    is_turned = given.get("orientation") == "apply"
    sizes = [{(of.upright if is_turned else of.size)[axis] for of in headers.values()} for axis in (0, 1)]
    shape = (*(one.pop() if len(one) == 1 else None for one in sizes), *([channels] if channels else []))
    natural = {of.mode for of in headers.values()} == {mode}
    if not is_turned and (turned := sum(of.is_turned for of in headers.values())):
        note += f"{'; ' * bool(note)}{turned:,} are to be turned by their EXIF: orientation: apply does so"
    options: dict[str, Any] = {} if natural else {"mode": mode}
    levels = groups[0].label_folder
    labels = class_names(groups)
    if labels and levels != (-1,):
        options["label_folder"] = list(levels) if len(levels) > 1 else levels[0]
    arrays = list[ArrayInfo]()
    for group in groups:
        for pattern in group.patterns:
            matches = Pattern(pattern).matches
            count = sum(matches(name) for name in group.samples)
            arrays.append(ArrayInfo("", dtype, (count, *shape), field="images", member=pattern, note=note))
            if labels:
                arrays.append(ArrayInfo("", "int64", (count,), field="labels", member=pattern, classes=labels))
    why = tuple(left_out(own, "no picture"))
    return FileInfo(
        path, "images", tuple(arrays), options, left_out=why, samples=tuple(sorted(headers)), others=tuple(others)
    )


@decodes(
    "images",
    layout="file per sample",
    check=_check,
    detect=_detect,
    needs=LIBRARY,
    sample=lambda column, options: _sample(column, options),
)
def images(
    splits: Sequence[Split],
    *,
    mode: PictureMode | None = None,
    resize: Resize | None = None,
    orientation: Orientation = "ignore",
    alpha: Alpha = "refuse",
    label_folder: int | list[int] | str = -1,
    label_split: LabelSplit | None = None,
    skip: list[str] | None = None,
) -> Iterator[Block]:
    """A picture a sample: the members of a zip or tar archive, or files in folders, whose names may be labels.

    Kinds that are read are PNG, JPEG, GIF, WebP, TIFF, BMP and Netpbm (PBM, PGM, PPM), each recognized by its first
    bytes; of one frame, and at most 8 bits a channel, or 16 where it is gray. Values are those of Pillow.

        train: {samples: 2_720, file: omniglot.zip, members: ["images_background/*/*/*.png"], images: image}
        test: {samples: 400, members: ["test/*/*.jpg", "test/*/*.png"], images: image, labels: folder}

    The members of a split are patterns or exact names, in order as those of `texts`. A field's key says what it is:
    `image` is the picture, `folder` the name of the folder that it is in, `part` a part of its own name, `name` its
    own name with all folders. Where no key says so, a field with classes is the folder, or the part if `label_split`
    says which; another is the picture.

    The shape of a picture is `[height, width]`, or `[height, width, channels]`; of those that differ in size,
    `[null, null, 3]`. What is declared is what a picture must be: gray is uint8 of two axes (Pillow's mode L) or
    uint16 (I;16), single bits are bool (1), colors have three channels (RGB), or four with their transparency (RGBA),
    gray with transparency has two (LA). Another is an error that names the member, unless `mode` says what all are
    converted to, by Pillow's own rules: grays are weighted by ITU-R 601-2; color profiles are not applied, to CMYK
    neither. Nothing else is converted: to bits or numbers of a palette, or from 16 bits.

    A picture's header is compared with the declared shape before it is decoded. Where that leaves the size open, a
    picture has at most 89,478,485 pixels, where Pillow warns, and all of a file come to at most 1,000 times their
    bytes and 64 MiB. A picture that is cut short is an error; but where a JPEG says that it ends before it has all of
    its pixels, the JPEG library makes up the rest, and no one can tell. Pictures are decoded on every core, in bounded
    memory; one core makes the same bytes.

    Photographs need not be kept decoded: see `cache` of a field.

    It needs Pillow, which the extra `images` brings.

    Args:
        splits: What to decode.
        mode: Pillow's name of the mode that pictures are converted to: L, RGB or RGBA. With P, they are the numbers of
            their palettes, as masks have them; P, LA, 1 and I;16 must be what the files have.
        resize: How pictures of other sizes are made as large as the declared shape, by Pillow's filter of that name;
            the sides are stretched as needed. If left out, another size is an error.
        orientation: "ignore" takes the pixels as they are stored; "apply" turns and mirrors each as its EXIF says,
            which is what cameras write and browsers do. Pillow always does so with TIFF, where "ignore"
            makes one that is to be turned an error.
        alpha: Where the declared mode has no transparency, "refuse" makes transparent pixels an error, and "drop"
            takes the colors that are beneath.
        label_folder: Which folder is the label: -1 is the one right above the file, -2 the one above that, 0 the
            outermost. Of a list, the folders with a slash between them; of a path, all folders below that one.
        label_split: Which part of the name, without its ending, is the label: `["_", 0]` is what is before the first
            `_`, `["_", 0, -1]` all that is before the last.
        skip: Members of splits that are no samples, because they are damaged, by exact name. Each must be there.

    Raises:
        MissingLibrary: Pillow is not installed.
        DecodeError: A picture or the archive is damaged, or of a kind that is not read; the reason names the member.
        ContentError: A picture is of another size or mode than declared, or there are more than declared.
    """
    formats.of("images").check_libraries()
    naming, choices = Naming(label_folder, label_split), Choices(mode, resize, orientation, alpha)

    def read(its: Mapping[str, Split], members: Iterator[Member]) -> Iterator[tuple[Member, list[Any], int]]:
        readers, budget = {name: _Reader.of(split, naming, choices) for name, split in its.items()}, _Budget()
        opened = (readers[member.split].open(member, budget) for member in members)
        for sample, values in mapped(_decode, opened, weigh=_weigh, most=AHEAD_BYTES, name="tinytorch-datasets-image"):
            size = sum(value.nbytes if isinstance(value, np.ndarray) else len(value) for value in values)
            yield sample.member, values, size

    def largest(its: Mapping[str, Split]) -> int:
        columns = [column for split in its.values() for column in split.columns.values()]
        if resize or any(column.is_ragged for column in columns):
            return LARGEST_FILE
        return SMALL_FILE + max(column.nbytes // max(column.count, 1) for column in columns)

    for path in {column.file for split in splits for column in split.columns.values()}:
        _check_pillow(path)
    yield from decode_members(splits, "pictures", read, skip=skip, block_size=BLOCK_BYTES, largest=largest)


def _check_pillow(path: Path) -> None:
    from PIL import ImageFile

    if ImageFile.LOAD_TRUNCATED_IMAGES:
        reason = "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so that pictures that are cut short cannot be told"
        raise DecodeError(path, reason, hint="Set it to False.")


def _sample(column: Column, options: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
    """Return what decodes one picture, of bytes that were checked when the cache took them in."""
    _check_pillow(column.file)
    pictures = Pictures(column, Choices(**{name: options[name] for name in Choices._fields if name in options}))
    return lambda data: pictures.decode(pictures.open(Member.of_cache(data)))


class _Reader(NamedTuple):
    """How the values of the columns of one split come of a member: a picture each, or what of its name."""

    columns: list[Pictures | str]
    naming: Naming

    @classmethod
    def of(cls, split: Split, naming: Naming, choices: Choices) -> _Reader:
        """Return how the columns of a split are read."""
        keys = [(column, key_of(column, IMAGE, "picture", naming)) for column in split.columns.values()]
        return cls([Pictures(column, choices) if key == IMAGE else key for column, key in keys], naming)

    def open(self, member: Member, budget: _Budget) -> _Sample:
        """Return a sample whose headers are as declared, its pictures counted if they may be of any size."""
        values = list[Picture | str]()
        for column in self.columns:
            if isinstance(column, str):
                values.append(self.naming.value(column, member))
            else:
                values.append(picture := column.open(member))
                if column.is_ragged:
                    budget.take(member, picture.header.width * picture.header.height * column.pixel_bytes)
        return _Sample(self, member, values)


class _Sample(NamedTuple):
    reader: _Reader
    member: Member
    values: list[Picture | str]


def _weigh(sample: _Sample) -> int:
    return sum(value.nbytes if isinstance(value, Picture) else len(value) for value in sample.values)


def _decode(sample: _Sample) -> tuple[_Sample, list[Any]]:
    decoded = list[Any]()
    for column, value in zip(sample.reader.columns, sample.values, strict=True):
        if isinstance(column, Pictures) and isinstance(value, Picture):
            column.check(value)
            decoded.append(column.decode(value))
        else:
            decoded.append(value)
    return sample._replace(values=[]), decoded


class _Budget:
    """What all pictures of several sizes in a file may come to."""

    def __init__(self) -> None:
        self._left = SMALL
        self._given = self._read = 0

    def take(self, member: Member, size: int) -> None:
        """Count one more.

        Raises:
            ContentError: They are more.
        """
        self._read += len(member.data)
        self._given += size
        limit = INFLATION * self._read + SMALL
        if self._given > limit:
            reason = f"up to here, its pictures come to more than {limit:,} bytes, but their files have {self._read:,}"
            raise ContentError(
                member.path,
                f"member {member.name!r}: {reason}" if member.is_packed else reason,
                aspect="bytes",
                expected=limit,
                actual=f"more than {limit}",
            )
