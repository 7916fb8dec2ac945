"""Pictures as arrays, by Pillow: checked by their headers, decoded, converted.

A file of a few bytes may say that it holds a picture of four thousand million pixels. So the size that its header
states is compared with what is declared before anything is decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import Column
from tinytorch_datasets.readers.archives.members import Member
from tinytorch_datasets.readers.picture_headers import (
    MOST_PIXELS,
    Header,
    Summary,
    check_png,
    is_turned,
    read_header,
    words_of,
)

if TYPE_CHECKING:
    from PIL.Image import Image

PictureMode = Literal["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]
Resize = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Orientation = Literal["ignore", "apply"]
Alpha = Literal["refuse", "drop"]

# What a file may have beside its pixels: thumbnails, profiles, other words.
SMALL_FILE = 1 << 24

# The number of channels, 0 for no axis of them, and the dtype of the arrays of each mode.
ARRAYS: Mapping[str, tuple[int, str]] = {
    "1": (0, "bool"),
    "L": (0, "uint8"),
    "P": (0, "uint8"),
    "I;16": (0, "uint16"),
    "LA": (2, "uint8"),
    "RGB": (3, "uint8"),
    "RGBA": (4, "uint8"),
}
# What other modes can be converted to: not to palettes or single bits, which would have to be invented.
INTO = frozenset({"L", "RGB", "RGBA"})
FROM = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"})
NAMES = {
    "1": "1 (a bit a pixel)",
    "L": "L (gray)",
    "LA": "LA (gray with transparency)",
    "P": "P (numbers of a palette)",
    "I;16": "I;16 (gray of 16 bits)",
    "RGBA": "RGBA (colors with transparency)",
    "CMYK": "CMYK (colors of print)",
}

TO_CONVERT = "To convert it: options: {{mode: {mode}}}."


@dataclass(frozen=True)
class Picture:
    """A picture that is to be decoded, by the size that its header states; `nbytes` is what that takes meanwhile."""

    member: Member
    header: Header

    @property
    def nbytes(self) -> int:
        """What it takes in memory while it is decoded: Pillow has four bytes a pixel, of what comes of it no more."""
        return len(self.member.data) + 8 * self.header.width * self.header.height


class Choices(NamedTuple):
    """What is declared of all pictures: see the format `images`."""

    mode: PictureMode | None = None
    resize: Resize | None = None
    orientation: Orientation = "ignore"
    alpha: Alpha = "refuse"


class Pictures:
    """How the pictures of one column are read, as it is declared.

    Raises:
        ContentError: It is declared as what no picture is, or as another mode is.
    """

    def __init__(self, column: Column, choices: Choices) -> None:
        self._column, self._resize, self._alpha = column, choices.resize, choices.alpha
        self._turn, self._is_declared = choices.orientation == "apply", choices.mode is not None
        self.mode, self.is_ragged, resize = self._mode(choices.mode), column.is_ragged, choices.resize
        self._height, self._width = column.shape[:2]
        if resize is not None:
            if column.is_ragged:
                self._refuse_options("resize", resize, "makes one size of all", "shape")
            if self.mode in ("1", "P", "I;16") and resize != "nearest":
                self._refuse_options("resize", resize, f"mixes values, which {NAMES[self.mode]} has not", "dtype")

    @property
    def pixel_bytes(self) -> int:
        """How many bytes of an array a pixel takes."""
        channels, dtype = ARRAYS[self.mode]
        return max(channels, 1) * np.dtype(dtype).itemsize

    def _mode(self, declared: PictureMode | None) -> str:
        shape, dtype = self._column.shape, self._column.dtype
        channels = 0 if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1) else shape[2] if len(shape) == 3 else -1
        free = self._column.factor is not None  # what is stored has another dtype than what is declared
        fitting = [mode for mode, of in ARRAYS.items() if of[0] == channels and (free or of[1] == dtype)]
        if declared is not None and declared not in fitting:
            number, its = ARRAYS[declared]
            of = f"{its} [height, width{f', {number}' if number else ''}]"
            self._refuse_options("mode", declared, f"is {of}", "shape")
        if not fitting:
            known = "[height, width] in bool, uint8 or uint16, and [height, width, 2, 3 or 4] in uint8"
            self._refuse("shape", known, f"{self._declared}, which no picture is: they are {known}")
        natural = "L" if "L" in fitting else fitting[0]
        return declared or natural

    @property
    def _declared(self) -> str:
        shape = ", ".join("null" if length is None else str(length) for length in self._column.shape)
        return f"{self._column} is declared as {self._column.dtype} [{shape}]"

    def _refuse(self, aspect: Any, actual: Any, reason: str, **more: Any) -> None:
        column = self._column
        expected = list(column.shape) if aspect == "shape" else column.dtype
        raise ContentError(
            column.file, reason, aspect=aspect, expected=expected, actual=actual, column=str(column), **more
        )

    def _refuse_options(self, option: str, value: str, why: str, aspect: str) -> None:
        self._refuse(aspect, value, f"`{option}: {value}` {why}, and {self._declared}", keys=("options", option))

    def open(self, member: Member) -> Picture:
        """Return a picture whose header is as declared: of that mode and size, or one that may be made so.

        Raises:
            DecodeError: It is damaged, or no picture.
            ContentError: It is of another size or mode, or too large.
        """
        header = read_header(member)
        if header.kind == "TIFF" and not self._turn and is_turned(header.image):
            hint = "Declare so: options: {orientation: apply}."
            member.fail("it is TIFF that is to be turned or mirrored, which Pillow always does", hint=hint)
        size = (header.height, header.width)
        declared = (self._height, self._width)
        if self._resize is None:
            fits = [all(b in (a, None) for a, b in zip(s, declared, strict=True)) for s in (size, size[::-1])]
            if not (fits[0] or (self._turn and fits[1])):
                hint = "To make one size of all: options: {resize: bilinear}. To keep theirs: shape: [null, null, ...]."
                wanted = " and ".join(
                    f"{length:,} {what}" for length, what in zip(declared, ("high", "wide"), strict=True) if length
                )
                reason = f"it is {header.size}, and {self._column} is declared as {wanted}"
                self._fail(member, reason, "shape", list(self._column.shape), list(size), hint)
        if (self._resize is not None or self._column.is_ragged) and header.width * header.height > MOST_PIXELS:
            reason = f"it is {header.size}, and the most that is read is {MOST_PIXELS:,} pixels"
            self._fail(member, reason, "shape", MOST_PIXELS, list(size), None)
        if header.mode != self.mode:
            self._check_conversion(member, header.mode)
        return Picture(member, header)

    def _check_conversion(self, member: Member, mode: str) -> None:
        its, name = NAMES.get(mode, mode), NAMES.get(self.mode, self.mode)
        if self._is_declared and self.mode in INTO and mode in FROM:
            return
        hint = None
        if not self._is_declared and self.mode in INTO and mode in FROM:
            hint = TO_CONVERT.format(mode=self.mode)
            if mode == "P" and self.mode == "L":
                hint = "Declare what is wanted: options: {mode: P} for the numbers, or {mode: L} for the grays."
        declared = "which is not converted" if self._is_declared else "as its shape and dtype say"
        reason = f"it is {its}, and {self._column} is of mode {name}" + ("" if hint else f", {declared}")
        self._fail(member, reason, "dtype", self.mode, mode, hint)

    def _fail(self, member: Member, reason: str, aspect: Any, expected: Any, actual: Any, hint: str | None) -> None:
        reason = f"member {member.name!r}: {reason}" if member.is_packed else reason
        raise ContentError(
            member.path,
            reason,
            aspect=aspect,
            expected=expected,
            actual=actual,
            column=str(self._column),
            hint=hint,
        )

    def check(self, picture: Picture) -> None:
        """Check for what the decoder would pass over in silence; once is enough.

        Raises:
            DecodeError: The picture is damaged.
        """
        if picture.header.kind == "PNG":
            check_png(picture.member)

    def decode(self, picture: Picture) -> np.ndarray:
        """Return the array of a picture; may be called in several threads at once.

        Raises:
            DecodeError: It is damaged; or it has transparent pixels where the declared mode has none.
        """
        member, header = picture.member, picture.header
        try:
            header.image.load()
            image = self._turned(header.image)
            has_alpha = "transparency" in image.info or image.mode in ("LA", "RGBA")
            if has_alpha and self.mode not in ("LA", "RGBA", "P"):
                image = self._without_alpha(member, image)
            if header.mode != self.mode and image.mode != self.mode:
                image = image.convert(self.mode)
            values = self._sized(image)
        except (MemoryError, DecodeError):
            raise
        except Exception as error:  # whatever a decoder trips over in untrusted bytes
            member.fail(f"it cannot be decoded: {words_of(error)}")
        finally:
            header.image.close()
        if len(self._column.shape) == 3 and values.ndim == 2:
            values = values[:, :, np.newaxis]
        expected = self._column.shape[: values.ndim]
        if any(length not in (None, its) for length, its in zip(expected, values.shape, strict=True)):
            reason = f"it is {list(values.shape)} when it is turned, and {self._column} is declared as {list(expected)}"
            self._fail(member, reason, "shape", list(expected), list(values.shape), None)
        return values

    def _turned(self, image: Image) -> Image:
        from PIL import ImageOps

        return ImageOps.exif_transpose(image) if self._turn and "exif" in image.info else image

    def _without_alpha(self, member: Member, image: Image) -> Image:
        if image.mode.startswith("I"):
            member.fail("it has a transparent color of 16 bits, which Pillow does not apply")
        colors = image.convert("RGBA")
        lowest = colors.getchannel("A").getextrema()[0]
        if isinstance(lowest, int | float) and lowest < 255 and self._alpha == "refuse":
            hint = "To keep that: options: {mode: RGBA}. To take what is beneath: options: {alpha: drop}."
            member.fail(f"it has transparent pixels, and {self.mode} has none", hint=hint)
        return colors if image.mode == "P" else image

    def _sized(self, image: Image) -> np.ndarray:
        from PIL.Image import Resampling

        if self._resize is not None and image.size != (self._width, self._height):
            image = image.resize((self._width or 0, self._height or 0), Resampling[self._resize.upper()])
        values = np.asarray(image)
        return values.astype(np.uint16) if self.mode == "I;16" else values


def common_mode(path: Path, headers: Mapping[str, Summary]) -> tuple[str, str]:
    """Return the mode that pictures are read in, and, where theirs are others, what they are."""
    counts = Counter(of.mode for of in headers.values())
    most = counts.most_common(1)[0][0]
    if len(counts) == 1 and most in ARRAYS and most != "P":
        return most, ""
    mode = most if most in INTO else "L" if counts.keys() <= {"1", "L"} else "RGB"
    if wrong := next((name for name, of in sorted(headers.items()) if of.mode not in FROM), None):
        reason = f"its pictures are {', '.join(sorted(counts))}, which have no mode in common: {wrong!r}"
        raise DecodeError(path, f"{reason} is {headers[wrong].mode}", hint="Add those of each mode by themselves.")
    listed = ", ".join(
        f"{count:,} {'is' if count == 1 else 'are'} {NAMES.get(name, name)}" for name, count in counts.most_common()
    )
    return mode, f"{listed}; read as {mode}"
