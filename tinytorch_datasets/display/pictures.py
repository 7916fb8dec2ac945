"""Samples as pictures: pixels, tiles in a row, and PNG files.

Only NumPy and zlib are needed. Whatever is drawn, in a notebook or in a terminal, comes from the same pixels.
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GAP = 2
CHANNELS = (1, 3, 4)  # gray; red, green and blue; and how opaque a pixel is
MOST_CHANNELS = max(CHANNELS)  # no side of a picture is as short, unless the other is as well
MOST_INDEXED = 255  # colors of a picture with a palette, and one more that nothing is drawn with
_GRAY, _RGB, _INDEXED, _GRAY_ALPHA, _RGBA = 0, 2, 3, 4, 6  # color types of PNG (ISO/IEC 15948, table 11.1)


def is_series(shape: Sequence[int | None], dtype: DTypeLike) -> bool:
    """Check whether samples of two axes are a few channels over time, or points, and no pictures: not of bytes.

    >>> is_series([100, 3], "float32"), is_series([None, 2], "int16"), is_series([100, 3], "uint8")
    (True, True, False)
    """
    short = [size is not None and size <= MOST_CHANNELS for size in shape]
    return len(short) == 2 and short[0] != short[1] and np.dtype(dtype) != np.uint8


def as_picture(value: Any, declared: Mapping[str, Any]) -> np.ndarray | None:
    """Return a sample with height and width, and channels behind them if it has any; None where it is no picture.

    Nor is it one where it is not certain which axis has the channels: [3, 32, 3] has two readings, of which one is a
    wrong picture; and [100, 3] is a hundred numbers of three channels each, unless they are bytes, as pixels are.

    Args:
        value: A sample.
        declared: What is declared of its field: `channels` says which axis has them. `shape` has null for the axes that
            differ, so that a picture three pixels wide is read as the others are.

    >>> as_picture(np.zeros((28, 28)), {}).shape, as_picture(np.zeros((3, 32, 32)), {}).shape
    ((28, 28), (32, 32, 3))
    >>> as_picture(np.zeros((3, 32, 3)), {}), as_picture(np.zeros((3, 32, 3)), {"channels": "last"}).shape
    (None, (3, 32, 3))
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "buif" or not value.size:
        return None
    sizes = declared.get("shape") or ()
    if len(sizes) != value.ndim or (value.ndim == 3 and not any(sizes)):
        sizes = value.shape
    if value.ndim == 2:
        return None if is_series(sizes, value.dtype) or declared.get("channels") else value
    if value.ndim != 3:
        return None
    able = [axis for axis in (0, 2) if sizes[axis] in CHANNELS]
    if which := declared.get("channels"):
        able = [axis for axis in able if axis == (0 if which == "first" else 2)]
    return np.moveaxis(value, able[0], -1) if len(able) == 1 else None


def pixels_of(picture: np.ndarray, span: Sequence[float] | None) -> np.ndarray:
    """Return the pixels of a picture: (height, width, 3), uint8.

    Args:
        picture: As `as_picture` returns it. Of four channels the last, which is how opaque a pixel is, does not count.
        span: The declared range, from black to white; without one, from the lowest of its values to the highest.
    """
    numbers = (picture[:, :, np.newaxis] if picture.ndim == 2 else picture[:, :, :3]).astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = span if span is not None else (finite.min(), finite.max()) if finite.size else (0, 1)
    share = np.nan_to_num((numbers - low) / ((high - low) or 1), nan=0, posinf=1, neginf=0).clip(0, 1)
    return np.broadcast_to((share * 255).round().astype(np.uint8), (*share.shape[:2], 3))


def stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures one below the other, the narrow ones with black beside them."""
    wide = max(picture.shape[1] for picture in pictures)
    return np.concatenate([np.pad(each, ((0, 0), (0, wide - each.shape[1]), (0, 0))) for each in pictures])


def reduced(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the picture as large as fits into height and width, its sides in proportion; never enlarged.

    Each pixel is the mean of those that it stands for.
    """
    scale = min(1.0, height / pixels.shape[0], width / pixels.shape[1])
    if scale == 1.0:
        return pixels
    means = pixels.astype(np.float64)
    for axis in (0, 1):
        old = pixels.shape[axis]
        starts = np.arange(new := max(1, round(old * scale))) * old // new
        counts = np.diff(starts, append=old).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        means = np.add.reduceat(means, starts, axis=axis) / counts
    return means.round().astype(np.uint8)


def tiled(pictures: Sequence[np.ndarray], a_row: int, *, enlarged: int = 1) -> np.ndarray:
    """Return pictures side by side, so many a row: (height, width, 4), uint8; around them nothing is drawn."""
    high, wide = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    rows = -(-len(pictures) // a_row)
    a_row = min(a_row, len(pictures))
    gap = GAP * enlarged
    size = (rows * (high * enlarged + gap) - gap, a_row * (wide * enlarged + gap) - gap, 4)
    canvas = np.zeros(size, np.uint8)
    for number, picture in enumerate(pictures):
        large = picture.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
        top = number // a_row * (high * enlarged + gap) + (high * enlarged - large.shape[0]) // 2
        left = number % a_row * (wide * enlarged + gap) + (wide * enlarged - large.shape[1]) // 2
        canvas[top : top + large.shape[0], left : left + large.shape[1], :3] = large
        canvas[top : top + large.shape[0], left : left + large.shape[1], 3] = 255
    return canvas


def png(pixels: np.ndarray, *, title: str = "") -> bytes:
    """Return the PNG file of a picture, exactly.

    Args:
        pixels: (height, width), or with 2 to 4 channels, of uint8 or uint16; or (height, width) of truths.
        title: A text that is in the file, and not in the picture.

    >>> png(np.zeros((2, 2), np.uint8))[:8] == SIGNATURE
    True
    """
    color_type = _GRAY if pixels.ndim == 2 else {2: _GRAY_ALPHA, 3: _RGB, 4: _RGBA}[pixels.shape[2]]
    # UTF-8, not compressed, of no language (PNG, 11.3.3.4).
    return _png(pixels, color_type, *([(b"iTXt", b"Title\0\0\0\0\0" + title.encode())] if title else []))


def small_png(pixels: np.ndarray) -> bytes:
    """Return a PNG file of at most 255 colors, a byte a pixel before it is deflated: (height, width, 4), uint8."""
    drawn = pixels[:, :, 3] > 0
    palette, index = _quantized(pixels[drawn][:, :3])
    indices = np.zeros(pixels.shape[:2], np.uint8)
    indices[drawn] = index + 1
    colors = np.concatenate([np.zeros((1, 3), np.uint8), palette])
    return _png(indices, _INDEXED, (b"PLTE", colors.tobytes()), (b"tRNS", b"\0"))


def _png(pixels: np.ndarray, color_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    height, width = pixels.shape[:2]
    if pixels.dtype == np.bool_:
        bits, samples = 1, np.packbits(pixels, axis=1)
    else:
        bits = 8 * pixels.dtype.itemsize
        samples = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    lines = np.zeros((height, 1 + samples.shape[1]), np.uint8)  # each begins with its filter: 0, none
    lines[:, 1:] = samples
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    data = (b"IDAT", zlib.compress(lines.tobytes(), 9))
    return SIGNATURE + b"".join(_chunk(*chunk) for chunk in ((b"IHDR", header), *chunks, data, (b"IEND", b"")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _quantized(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a palette of at most 255 colors, and the place in it of each of the given ones: (n, 3), uint8.

    By median cut (P. Heckbert, "Color image quantization for frame buffer display", 1982): boxes of colors are
    divided where half of their pixels are on either side, the one that is spread furthest first.
    """
    packed = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    distinct, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    values = np.stack([distinct >> 16, distinct >> 8 & 255, distinct & 255], axis=1).astype(np.float64)
    boxes = [_box(values, counts, np.arange(len(distinct)), 0)]
    while len(boxes) < MOST_INDEXED and boxes[0][0] < 0:
        _, number, axis, members = heapq.heappop(boxes)
        ordered = members[values[members, axis].argsort(kind="stable")]
        filled = counts[ordered].cumsum()
        cut = int(np.searchsorted(filled, filled[-1] / 2)) + 1
        cut = min(max(cut, 1), len(ordered) - 1)
        for half, its_number in ((ordered[:cut], number), (ordered[cut:], len(boxes) + 1)):
            heapq.heappush(boxes, _box(values, counts, half, its_number))
    palette = np.zeros((len(boxes), 3), np.uint8)
    places = np.zeros(len(distinct), np.uint8)
    for place, (*_, members) in enumerate(boxes):
        weights = counts[members] / counts[members].sum()
        palette[place] = (weights @ values[members]).round() if len(members) else 0
        places[members] = place
    return palette, places[inverse.reshape(-1)]


def _box(values: np.ndarray, counts: np.ndarray, members: np.ndarray, number: int) -> tuple[Any, ...]:
    """Return colors as a heap has them: how far spread, negative; a number that no other has; the axis."""
    if len(members) < 2:
        return 0.0, number, 0, members
    spread = np.ptp(values[members], axis=0)
    axis = int(spread.argmax())
    return -float(spread[axis] * np.sqrt(counts[members].sum())), number, axis, members
