"""Headers of pictures: their kind, mode and size, before anything is decoded.

Files are opened by the class of their own kind alone: Pillow's `open` asks one decoder after the other, and warns of
large pictures, which is no answer.
"""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets.errors import DecodeError, MissingLibrary
from tinytorch_datasets.readers.archives.members import Member
from tinytorch_datasets.readers.archives.samples import ending
from tinytorch_datasets.readers.archives.source import is_litter
from tinytorch_datasets.readers.stream import OUTPUT_CHUNK, Stream
from tinytorch_datasets.verify.diagnose import kind_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

LIBRARY = ("PIL", "images")
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
# Where Pillow begins to warn: what a picture has of pixels, where its size is not declared.
MOST_PIXELS = 89_478_485
# How many bytes show what kind it is, and how many hold the headers of most.
MAGIC_BYTES, HEAD_BYTES = 16, 1 << 16
# The most bytes of a file whose pixels are not declared.
LARGEST_FILE = 1 << 28
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".dib"})
ENDINGS |= {".pbm", ".pgm", ".ppm", ".pnm"}


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


AS_ARRAY = "Save all pictures as one array in an NPZ, with all of their bits."


class Header(NamedTuple):
    """What the first bytes of a picture state: its mode, and its size in pixels."""

    image: ImageFile
    kind: str
    mode: str
    width: int
    height: int

    @property
    def size(self) -> str:
        """Its size in words."""
        return f"{self.height:,} high and {self.width:,} wide"


def read_header(member: Member) -> Header:
    """Return what the header of a picture states; nothing is decoded yet.

    Raises:
        MissingLibrary: Pillow is not installed.
        DecodeError: It is no picture of a kind that is read, is damaged, or has several frames, or more bits than
            Pillow keeps.
    """
    kind = kind_of_picture(member.data[:MAGIC_BYTES])
    if not kind:
        other = kind_of(member.data[:64])
        member.fail(f"it is {other.name}, which is not read" if other else "it is no picture of a kind that is read")
    if importlib.util.find_spec(LIBRARY[0]) is None:  # asked first: below, it would be the picture's fault
        needing = "format 'images'"
        raise MissingLibrary(needing, *LIBRARY)
    try:
        image: ImageFile = _class_of(kind)(io.BytesIO(member.data))
        several = bool(getattr(image, "is_animated", False))
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder trips over in untrusted bytes
        member.fail(f"its {kind} header is damaged: {words_of(error)}")
    if several:
        hint = "Save each frame as a picture of its own, or leave the file out: options: {skip: [...]}."
        member.fail("it has several frames, and a sample is one picture", hint=hint)
    mode = image.mode
    decoder, raw, highest = _tile(image)
    if decoder.startswith("ppm") and highest not in (None, 255) and not (mode == "I" and highest == 65535):
        member.fail(f"its values go up to {highest}, and Pillow would stretch them", hint=AS_ARRAY)
    if mode in ("RGB", "RGBA", "LA", "CMYK") and raw.endswith((";16B", ";16L", ";16N")):
        member.fail(f"it has 16 bits in each of several channels, of which Pillow keeps 8: {raw}", hint=AS_ARRAY)
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


def check_png(member: Member) -> None:
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
        member.fail(f"its pixels are damaged: {words_of(error)}")
    if came != expected or not inflater.eof:
        more_or_less = "more" if came > expected else "fewer"
        member.fail(f"it has {more_or_less} pixels than the {height:,} x {width:,} that its header says")


def is_turned(image: Image) -> bool:
    """Check whether a camera says, by EXIF or by a tag of TIFF, that a picture is to be turned or mirrored."""
    return _orientation(image) in range(2, 9)


def _orientation(image: Image) -> Any:
    try:
        return image.getexif().get(0x0112, 1) if "exif" in image.info or image.format == "TIFF" else 1
    except Exception:  # what a camera says of it, in untrusted bytes
        return 1


def words_of(error: BaseException) -> str:
    """Return the first words of an error of Pillow, without addresses of objects."""
    words = (str(error) or type(error).__name__).partition("\n")[0].partition(" <")[0]
    return words[:120]


class Summary(NamedTuple):
    """What the header of a picture says, in plain values: its mode, height and width, and whether EXIF turns it.

    `upright` are height and width when it is turned so.
    """

    mode: str
    size: tuple[int, int]
    is_turned: bool
    upright: tuple[int, int]


def survey(files: Iterable[tuple[str, Path, Stream]], *, is_packed: bool) -> tuple[dict[str, Summary], list[str]]:
    """Return what the header of each picture says, and the names of the files that are none, litter among them.

    Args:
        files: The name of each file, the path of the archive or its own, and its bytes, read one after the other.
        is_packed: Whether they are members of an archive.

    Raises:
        DecodeError: The header of one is damaged.
    """
    headers, others = dict[str, Summary](), list[str]()
    for name, path, stream in files:
        if is_litter(name):
            others.append(name)
            continue
        view = memoryview(bytearray(HEAD_BYTES))
        begun = bytes(view[: stream.fill(view)]) if ending(name) in ENDINGS else b""
        if kind_of_picture(begun):
            headers[name] = _summary(Member("", name, begun, path, is_packed), stream)
        else:
            others.append(name)
    return headers, others


def _summary(member: Member, stream: Stream) -> Summary:
    """Return what the header of a picture says, which may be far behind its first bytes: thumbnails stand before it."""
    try:
        header = read_header(member)
    except DecodeError:
        data = bytearray(member.data)
        while len(data) <= LARGEST_FILE and (piece := stream.some(OUTPUT_CHUNK)):
            data += piece
        header = read_header(member._replace(data=bytes(data)))
    if header.width * header.height > MOST_PIXELS:
        member.fail(f"it is {header.size}, and the most that is read is {MOST_PIXELS:,} pixels")
    with header.image:
        size = (header.height, header.width)
        # Of TIFF, Pillow states the turned size.
        is_on_side = header.kind != "TIFF" and _orientation(header.image) in range(5, 9)
        return Summary(header.mode, size, is_turned(header.image), size[::-1] if is_on_side else size)
