"""Pictures and their PNG files: pixels from other readers, sizes from the file headers."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets.display.pictures import as_picture, pixels_of, png, reduced, small_png, tiled


def chunks(file: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG file by their names, each with the checksum that it should have."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    found, place = {}, 8
    while place < len(file):
        (length,) = struct.unpack_from(">I", file, place)
        kind, content = file[place + 4 : place + 8], file[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", file, place + 8 + length)[0] == zlib.crc32(kind + content)
        found[kind] = content
        place += length + 12
    return found


def decoded(file: bytes) -> np.ndarray:
    """The pixels of a PNG file of one byte a channel without filters, as (height, width, channels)."""
    parts = chunks(file)
    width, height, depth, color_type = struct.unpack_from(">IIBB", parts[b"IHDR"])
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[color_type]
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    assert depth == 8
    assert not lines[:, 0].any()
    pixels = lines[:, 1:].reshape(height, width, channels)
    if color_type == 3:
        return np.frombuffer(parts[b"PLTE"], np.uint8).reshape(-1, 3)[pixels[:, :, 0]]
    return pixels


class TestPng:
    """A file that every reader of PNG opens."""

    @pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4), (1, 1, 3)])
    def test_the_same_pixels_come_back(self, shape: tuple[int, ...]) -> None:
        """By zlib and struct alone, and by Pillow."""
        pixels = np.random.RandomState(0).randint(0, 256, shape, np.uint8)

        file = png(pixels)

        assert (decoded(file).reshape(shape) == pixels).all()
        image = pytest.importorskip("PIL.Image").open(io.BytesIO(file))
        assert (np.asarray(image) == pixels).all()

    def test_few_colors_are_kept_exactly(self) -> None:
        """Up to 255 of them, and where nothing is drawn stays empty."""
        colors = np.random.RandomState(0).randint(0, 256, (255, 3), np.uint8)
        pixels = np.concatenate([colors, np.full((255, 1), 255, np.uint8)], axis=1).reshape(5, 51, 4)
        pixels[2, 3] = 0

        file = small_png(pixels)

        drawn = pixels[:, :, 3] > 0
        assert (decoded(file)[drawn] == pixels[drawn][:, :3]).all()
        assert chunks(file)[b"tRNS"] == b"\0"
        image = pytest.importorskip("PIL.Image").open(io.BytesIO(file)).convert("RGBA")
        assert np.asarray(image)[2, 3, 3] == 0
        assert (np.asarray(image)[drawn] == pixels[drawn]).all()

    def test_many_colors_are_kept_nearly(self) -> None:
        """As many as a photograph has: no worse than Pillow's own median cut, and a byte a pixel at most."""
        image = pytest.importorskip("PIL.Image")
        ramp = np.linspace(0, 255, 64)
        photo = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], (ramp[:, None] + ramp) / 2), axis=2)
        photo = photo.astype(np.uint8)
        pixels = np.dstack([photo, np.full((64, 64), 255, np.uint8)])

        file = small_png(pixels)

        theirs = np.asarray(image.fromarray(photo).quantize(255, method=image.Quantize.MEDIANCUT).convert("RGB"))
        ours, other = (np.square(p.astype(float) - photo).mean() for p in (decoded(file), theirs))
        assert ours <= other
        assert len(file) < 64 * 65 + 256 * 3 + 200

    def test_one_color_alone(self) -> None:
        """Nothing is to be divided."""
        pixels = np.full((3, 3, 4), 255, np.uint8)

        assert (decoded(small_png(pixels)) == 255).all()


class TestPixels:
    """From values of any range to 0 to 255."""

    def test_the_declared_range_is_black_to_white(self) -> None:
        """And not the values that happen to be there."""
        assert pixels_of(np.array([[0.0, 0.5, 1.0]]), (0, 1))[0, :, 0].tolist() == [0, 128, 255]
        assert pixels_of(np.array([[0, 4, 8]]), (0, 16))[0, :, 0].tolist() == [0, 64, 128]

    def test_without_one_the_lowest_is_black(self) -> None:
        """And the highest white; what is no number is black."""
        assert pixels_of(np.array([[-3.0, 0.0, 3.0]]), None)[0, :, 0].tolist() == [0, 128, 255]
        assert pixels_of(np.array([[np.nan, 1.0, 3.0, np.inf]]), None)[0, :, 0].tolist() == [0, 0, 255, 255]
        assert pixels_of(np.array([[np.nan]]), None).tolist() == [[[0, 0, 0]]]
        assert pixels_of(np.array([[True, False]]), None)[0, :, 0].tolist() == [255, 0]

    @pytest.mark.parametrize("shape", [(3, 2, 6), (2, 6, 3), (1, 2, 6), (2, 6, 1), (2, 6), (4, 2, 6), (2, 6, 4)])
    def test_channels_stand_anywhere(self, shape: tuple[int, ...]) -> None:
        """Before height and width, behind them, or nowhere; a fourth says how opaque, and is left out."""
        picture = as_picture(np.zeros(shape, np.uint8), {})

        assert picture is not None
        assert pixels_of(picture, (0, 255)).shape == (2, 6, 3)

    @pytest.mark.parametrize("value", [np.zeros(5), np.zeros((2, 3, 4, 5)), np.zeros((5, 6, 7)), "text", np.float32(1)])
    def test_what_is_no_picture(self, value: object) -> None:
        """Neither one axis nor four, nor seven channels."""
        assert as_picture(value, {}) is None

    @pytest.mark.parametrize("shape", [(3, 32, 3), (1, 28, 1), (4, 4, 4)])
    def test_of_two_readings_the_declared_one_is_drawn(self, shape: tuple[int, ...]) -> None:
        """And none where none is declared."""
        value = np.arange(np.prod(shape)).reshape(shape)

        assert as_picture(value, {}) is None
        first, last = (as_picture(value, {"channels": which}) for which in ("first", "last"))
        assert first is not None
        assert last is not None
        assert (first == value.transpose(1, 2, 0)).all()
        assert (last == value).all()

    def test_a_narrow_picture_is_read_as_the_others_of_its_field(self) -> None:
        """Three pixels wide, of pictures that differ in size and are red, green and blue behind."""
        value = np.arange(36).reshape(3, 4, 3)

        picture = as_picture(value, {"shape": [None, None, 3]})

        assert picture is not None
        assert (picture == value).all()

    @pytest.mark.parametrize(
        ("shape", "declared"),
        [((100, 3), {}), ((68, 2), {}), ((2, 2), {"shape": [None, 2]}), ((32, 32), {"channels": "last"})],
    )
    def test_a_series_is_no_picture(self, shape: tuple[int, ...], declared: dict[str, Any]) -> None:
        """A few channels over time, or points with two coordinates each."""
        assert as_picture(np.zeros(shape), declared) is None

    def test_a_smaller_picture_has_means(self) -> None:
        """Of the pixels that each stands for; a smaller one than the room stays as it is."""
        pixels = np.repeat(np.array([[0, 100, 200, 40]], np.uint8)[:, :, None], 3, axis=2).repeat(2, axis=0)

        assert reduced(pixels, 1, 2)[:, :, 0].tolist() == [[50, 120]]
        assert reduced(pixels, 10, 10) is pixels

    def test_tiles_of_several_sizes(self) -> None:
        """Each in the middle of a box as large as the largest, nothing around it."""
        tall, wide = np.full((4, 2, 3), 10, np.uint8), np.full((2, 4, 3), 20, np.uint8)

        grid = tiled([tall, wide, tall], 2)

        assert grid.shape == (4 + 2 + 4, 4 + 2 + 4, 4)
        assert grid[0, :, 3].tolist() == [0, 255, 255, 0, 0, 0, 0, 0, 0, 0]
        assert grid[1, :, 0].tolist() == [0, 10, 10, 0, 0, 0, 20, 20, 20, 20]
