"""Pictures as arrays, by Pillow: checked by their headers, decoded, converted.

A file of a few bytes may say that it holds a picture of four thousand million pixels. So the size that its header
states is compared with what is declared before anything is decoded. Files are opened by the class of their own kind
alone: Pillow's `open` asks one decoder after the other, and warns of large pictures, which is no answer.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import Column
from tinytorch_datasets.readers.members import Member
from tinytorch_datasets.verify.diagnose import kind_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

PictureMode = Literal["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]
Resize = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Orientation = Literal["ignore", "apply"]
Alpha = Literal["refuse", "drop"]

# Where Pillow begins to warn: what a picture has of pixels, where its size is not declared.
MOST_PIXELS = 89_478_485
# A file of a picture is no larger than its pixels, but for what is said of it: thumbnails, profiles, other words.
LARGEST_FILE, SMALL_FILE = 1 << 28, 1 << 24

# The kinds that are read: how their files begin, and the module and the class by which Pillow reads them.
_KINDS = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBPVP8", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"BM", "BMP"),
    *((0, b"P%d" % number, "PPM") for number in range(1, 7)),
)
HEAD_BYTES = 16
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".dib"})
ENDINGS |= {".pbm", ".pgm", ".ppm", ".pnm"}

# The number of channels, 0 for no axis of them, and the dtype of the arrays of each mode.
_ARRAYS: Mapping[str, tuple[int, str]] = {
    "1": (0, "bool"),
    "L": (0, "uint8"),
    "P": (0, "uint8"),
    "I;16": (0, "uint16"),
    "LA": (2, "uint8"),
    "RGB": (3, "uint8"),
    "RGBA": (4, "uint8"),
}
# What other modes can be converted to: not to palettes or single bits, which would have to be invented.
_INTO = frozenset({"L", "RGB", "RGBA"})
_FROM = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"})
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


def kind_of_picture(head: bytes) -> str:
    """Return the kind of picture that begins like this, "" if it is none that is read.

    >>> kind_of_picture(b"P5 2 2 255 abcd"), kind_of_picture(b"P5S")
    ('PPM', '')
    """
    kind = next((kind for at, magic, kind in _KINDS if head.startswith(magic, at)), "")
    return "" if kind == "PPM" and not head[2:3].isspace() else kind


def _class_of(kind: str) -> Any:
    """Return Pillow's class of a kind."""
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    return {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "PPM": PpmImagePlugin.PpmImageFile,
    }[kind]


class Header(NamedTuple):
    """What the first bytes of a picture state: its mode, and its size in pixels."""

    image: ImageFile
    kind: str
    mode: str
    width: int
    height: int


def read_header(member: Member) -> Header:
    """Return what the header of a picture states; nothing is decoded yet.

    Raises:
        DecodeError: It is no picture of a kind that is read, is damaged, or has several frames, or more bits than
            Pillow keeps.
    """
    kind = kind_of_picture(member.data[:HEAD_BYTES])
    if not kind:
        other = kind_of(member.data[:64])
        member.fail(f"it is {other.name}, which is not read" if other else "it is no picture of a kind that is read")
    try:
        image: ImageFile = _class_of(kind)(io.BytesIO(member.data))
        several = bool(getattr(image, "is_animated", False))
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder trips over in untrusted bytes
        member.fail(f"its {kind} header is damaged: {_words(error)}")
    if several:
        member.fail("it has several frames, and a sample is one picture")
    mode = image.mode
    decoder, raw, highest = _tile(image)
    if decoder.startswith("ppm") and highest not in (None, 255) and not (mode == "I" and highest == 65535):
        member.fail(f"its values go up to {highest}, and Pillow would stretch them")
    if mode in ("RGB", "RGBA", "LA", "CMYK") and raw.endswith((";16B", ";16L", ";16N")):
        member.fail(f"it has 16 bits in each of several channels, of which Pillow keeps 8: {raw}")
    if mode in ("I;16B", "I;16L", "I;16N") or (kind == "PPM" and mode == "I"):
        mode = "I;16"
    return Header(image, kind, mode, *image.size)


def _tile(image: ImageFile) -> tuple[str, str, int | None]:
    """Return the name of a picture's decoder, how its values are packed, and the highest, where that is stated."""
    tile: Any = image.tile[0] if image.tile else None
    if tile is None:
        return "", "", None
    args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    raw = args[0] if args and isinstance(args[0], str) else ""
    return tile[0], raw, args[1] if tile[0].startswith("ppm") and len(args) > 1 else None


# Adam7, the order of interlaced rows: where each pass begins, and how far its pixels are from one another.
_WHOLE = ((0, 1, 0, 1),)
_PASSES = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PIECE = 1 << 16


def _check_png(member: Member) -> None:
    """Check that a PNG has as many bytes of pixels as its header says: Pillow takes those that are missing for 0.

    Source: "Portable Network Graphics", https://www.w3.org/TR/png-3/
    """
    data = member.data
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    expected = 0
    for left, across, top, down in _PASSES if interlaced else _WHOLE:
        columns, rows = max(0, -(-(width - left) // across)), max(0, -(-(height - top) // down))
        expected += rows * (1 + -(-columns * depth * _CHANNELS[color] // 8)) if columns else 0
    inflater, at, came = zlib.decompressobj(), 8, 0
    try:
        while came <= expected and at + 8 <= len(data):
            length, kind = struct.unpack(">I4s", data[at : at + 8])
            if kind == b"IDAT":
                packed = data[at + 8 : at + 8 + length]
                while packed and came <= expected:
                    came += len(inflater.decompress(packed, _PIECE))
                    packed = inflater.unconsumed_tail
            at += 12 + length
        while came < expected and (more := len(inflater.decompress(inflater.unconsumed_tail, _PIECE))):
            came += more
    except zlib.error as error:
        member.fail(f"its pixels are damaged: {_words(error)}")
    if came != expected or not inflater.eof:
        more_or_less = "more" if came > expected else "fewer"
        member.fail(f"it has {more_or_less} pixels than the {height:,} x {width:,} that its header says")


def turned(image: Image) -> int:
    """Return how a camera says that a picture is to be turned, as EXIF counts it: 1 is not at all."""
    return int(image.getexif().get(0x0112, 1)) if "exif" in image.info else 1


def _words(error: BaseException) -> str:
    """Return the first words of an error of Pillow, without addresses of objects."""
    words = (str(error) or type(error).__name__).partition("\n")[0].partition(" <")[0]
    return words[:120]


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
        channels, dtype = _ARRAYS[self.mode]
        return max(channels, 1) * np.dtype(dtype).itemsize

    def _mode(self, declared: PictureMode | None) -> str:
        shape, dtype = self._column.shape, self._column.dtype
        channels = 0 if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1) else shape[2] if len(shape) == 3 else -1
        free = self._column.factor is not None  # what is stored has another dtype than what is declared
        fitting = [mode for mode, of in _ARRAYS.items() if of[0] == channels and (free or of[1] == dtype)]
        if declared is not None and declared not in fitting:
            number, its = _ARRAYS[declared]
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
        size = (header.height, header.width)
        declared = (self._height, self._width)
        if self._resize is None:
            fits = [all(b in (a, None) for a, b in zip(s, declared, strict=True)) for s in (size, size[::-1])]
            if not (fits[0] or (self._turn and fits[1])):
                hint = "To make one size of all: options: {resize: bilinear}. To keep theirs: shape: [null, null, ...]."
                wanted = " and ".join(
                    f"{length:,} {what}" for length, what in zip(declared, ("high", "wide"), strict=True) if length
                )
                reason = f"it is {_size(header)}, and {self._column} is declared as {wanted}"
                self._fail(member, reason, "shape", list(self._column.shape), list(size), hint)
        if (self._resize is not None or self._column.is_ragged) and header.width * header.height > MOST_PIXELS:
            reason = f"it is {_size(header)}, and the most that is read is {MOST_PIXELS:,} pixels"
            self._fail(member, reason, "shape", MOST_PIXELS, list(size), None)
        if header.mode != self.mode:
            self._check_conversion(member, header.mode)
        return Picture(member, header)

    def _check_conversion(self, member: Member, mode: str) -> None:
        its, name = NAMES.get(mode, mode), NAMES.get(self.mode, self.mode)
        if self._is_declared and self.mode in _INTO and mode in _FROM:
            return
        hint = None
        if not self._is_declared and self.mode in _INTO and mode in _FROM:
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

    def decode(self, picture: Picture) -> np.ndarray:
        """Return the array of a picture; may be called in several threads at once.

        Raises:
            DecodeError: It is damaged; or it has transparent pixels where the declared mode has none.
        """
        member, header = picture.member, picture.header
        if header.kind == "PNG":
            _check_png(member)
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
            member.fail(f"it cannot be decoded: {_words(error)}")
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
            hint = "Declare `mode: RGBA`; or, to take what is beneath: options: {alpha: drop}."
            member.fail(f"it has transparent pixels, and {self.mode} has none", hint=hint)
        return colors if image.mode == "P" else image

    def _sized(self, image: Image) -> np.ndarray:
        from PIL.Image import Resampling

        if self._resize is not None and image.size != (self._width, self._height):
            image = image.resize((self._width or 0, self._height or 0), Resampling[self._resize.upper()])
        values = np.asarray(image)
        return values.astype(np.uint16) if self.mode == "I;16" else values


def _size(header: Header) -> str:
    return f"{header.height:,} high and {header.width:,} wide"
