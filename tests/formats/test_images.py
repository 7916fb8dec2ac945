"""images: a picture a sample, as Pillow itself reads it."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from tests.formats.test_texts import declare, every_archive
from tests.helpers.format_writers import column, memory_below, put, split, zipped
from tests.helpers.yardstick import soon
from tinytorch_datasets import formats, get
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import RaggedBlock

Pack = Callable[[Mapping[str, bytes]], bytes]


def decode(
    file: Path, samples: int, *patterns: str, shape: Sequence[int | None], dtype: str = "uint8", **options: Any
) -> list[np.ndarray]:
    """The pictures of one split, each as an array."""
    pictures = column(file, "images", samples=samples, dtype=dtype, shape=tuple(shape))
    found: list[Any] = []
    for block in formats.of("images").decode([split(pictures, members=patterns or ("**/*",))], **options):
        assert block.start == len(found)
        values: Any = block.values
        found += values.samples() if isinstance(values, RaggedBlock) else list(values)
    return found


def saved(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    """A picture in a file, by Pillow."""
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def noise(*shape: int, seed: int = 0) -> Image.Image:
    """A picture of random pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def photograph(height: int, width: int, seed: int = 0) -> Image.Image:
    """A picture with soft edges, as cameras take them."""
    return noise(height // 8 + 1, width // 8 + 1, 3, seed=seed).resize((width, height), Image.Resampling.BICUBIC)


def as_pillow(data: bytes) -> np.ndarray:
    """What Pillow makes of a file."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


class TestRealFiles:
    """Each picture is what Pillow makes of it."""

    @pytest.mark.slow
    def test_omniglot(self, realdata: Path) -> None:
        """2,720 drawings of single bits, in the order of their names."""
        file = realdata / "formats" / "images" / "images_background_small1.zip"
        with zipfile.ZipFile(file) as packed:
            names = sorted(name for name in packed.namelist() if name.endswith(".png"))
            expected = np.stack([as_pillow(packed.read(name)) for name in names])

        found = decode(file, 2720, "**/*.png", shape=(105, 105), dtype="bool")

        assert (str(expected.dtype), expected.shape) == ("bool", (2720, 105, 105))
        np.testing.assert_array_equal(np.stack(found), expected, strict=True)

    def test_omniglot_in_grays(self, realdata: Path) -> None:
        """As others load it: white is 255."""
        file = realdata / "formats" / "images" / "images_background_small1.zip"
        with zipfile.ZipFile(file) as packed:
            names = sorted(name for name in packed.namelist() if "/Korean/" in name and name.endswith(".png"))
            expected = [np.asarray(Image.open(packed.open(name)).convert("L")) for name in names]

        found = decode(file, len(names), "*/Korean/*/*.png", shape=(105, 105), mode="L")

        np.testing.assert_array_equal(found, expected, strict=True)

    def test_photographs_of_two_sizes(self, realdata: Path) -> None:
        """Each with its own size."""
        folder = realdata / "formats" / "images"
        names = ("china.jpg", "test_image_rgb.jpg")

        found = decode(folder, 2, *names, shape=(None, None, 3))

        assert [values.shape for values in found] == [(427, 640, 3), (480, 640, 3)]
        for values, name in zip(found, names, strict=True):
            np.testing.assert_array_equal(values, np.asarray(Image.open(folder / name)), strict=True)

    @pytest.mark.parametrize("resize", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
    def test_resized(self, realdata: Path, resize: str) -> None:
        """By Pillow's filter of that name."""
        folder = realdata / "formats" / "images"
        names = ("china.jpg", "test_image_rgb.jpg")
        how = Image.Resampling[resize.upper()]

        found = decode(folder, 2, *names, shape=(64, 48, 3), resize=resize)

        for values, name in zip(found, names, strict=True):
            expected = np.asarray(Image.open(folder / name).resize((48, 64), how))
            np.testing.assert_array_equal(values, expected, strict=True)


GRAYS = noise(5, 7)
COLORS = noise(5, 7, 3)
CLEAR = noise(5, 7, 4)
PALETTE = COLORS.quantize(16)
DEEP = Image.fromarray(np.random.default_rng(0).integers(0, 2**16, (5, 7), np.uint16))
BITS = Image.fromarray(np.random.default_rng(0).integers(0, 2, (5, 7), np.uint8) * 255).convert("1")


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, by its specification."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, *, color: int = 0, depth: int = 8, adam7: int = 0) -> bytes:
    """A PNG whose header says what it likes, in chunks of 7 bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, adam7))
    packed = zlib.compress(rows)
    size = max(7, len(packed) // 100)
    pixels = b"".join(chunk(b"IDAT", packed[at : at + size]) for at in range(0, len(packed), size))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def interlaced() -> bytes:
    """The grays in the seven passes of Adam7, by slices, which no writer of Pillow makes."""
    values = np.asarray(GRAYS)
    passes = [values[0::8, 0::8], values[0::8, 4::8], values[4::8, 0::4], values[0::4, 2::4]]
    passes += [values[2::4, 0::2], values[0::2, 1::2], values[1::2, 0::1]]
    return png(7, 5, b"".join(b"\0" + row.tobytes() for rows in passes if rows.size for row in rows), adam7=1)


KINDS: dict[str, tuple[bytes, tuple[int, ...], str]] = {
    "PNG, bits": (saved(BITS), (5, 7), "bool"),
    "PNG, gray": (saved(GRAYS), (5, 7), "uint8"),
    "PNG, gray, 16 bits": (saved(DEEP), (5, 7), "uint16"),
    "PNG, gray and alpha": (saved(CLEAR.convert("LA")), (5, 7, 2), "uint8"),
    "PNG, colors": (saved(COLORS), (5, 7, 3), "uint8"),
    "PNG, colors and alpha": (saved(CLEAR), (5, 7, 4), "uint8"),
    "JPEG, gray": (saved(GRAYS, "JPEG"), (5, 7), "uint8"),
    "JPEG, colors": (saved(COLORS, "JPEG", progressive=True, subsampling=2), (5, 7, 3), "uint8"),
    "PNG, interlaced": (interlaced(), (5, 7), "uint8"),
    "WebP": (saved(COLORS, "WEBP"), (5, 7, 3), "uint8"),
    "WebP, alpha": (saved(CLEAR, "WEBP", lossless=True), (5, 7, 4), "uint8"),
    "TIFF, bits": (saved(BITS, "TIFF", compression="group4"), (5, 7), "bool"),
    "TIFF, gray, 16 bits": (saved(DEEP, "TIFF"), (5, 7), "uint16"),
    "TIFF, colors, LZW": (saved(COLORS, "TIFF", compression="tiff_lzw"), (5, 7, 3), "uint8"),
    "BMP": (saved(COLORS, "BMP"), (5, 7, 3), "uint8"),
    "BMP, gray": (saved(GRAYS, "BMP"), (5, 7), "uint8"),
    "PBM": (saved(BITS, "PPM"), (5, 7), "bool"),
    "PGM": (saved(GRAYS, "PPM"), (5, 7), "uint8"),
    "PPM": (saved(COLORS, "PPM"), (5, 7, 3), "uint8"),
    "PPM, plain": (b"P3 2 1 255\n1 2 3 4 5 6\n", (1, 2, 3), "uint8"),
}
every_kind = pytest.mark.parametrize(("data", "shape", "dtype"), KINDS.values(), ids=KINDS)


class TestKinds:
    """Each kind that is read, in each of its modes, as the shape and the dtype of the field say."""

    @every_kind
    def test_as_pillow(self, tmp_path: Path, data: bytes, shape: tuple[int, ...], dtype: str) -> None:
        """Equal to Pillow's own array."""
        file = put(tmp_path / "file", zipped({"a": data}))

        (found,) = decode(file, 1, shape=shape, dtype=dtype)

        np.testing.assert_array_equal(found, as_pillow(data), strict=True)

    @every_kind
    def test_of_any_size(self, tmp_path: Path, data: bytes, shape: tuple[int, ...], dtype: str) -> None:
        """Equal as well."""
        file = put(tmp_path / "file", zipped({"a": data}))

        (found,) = decode(file, 1, shape=(None, None, *shape[2:]), dtype=dtype)

        np.testing.assert_array_equal(found, as_pillow(data), strict=True)

    def test_gray_of_sixteen_bits_in_pgm(self, tmp_path: Path) -> None:
        """Big end first."""
        file = put(tmp_path / "file", zipped({"a": b"P5 2 1 65535\n\x01\x02\xff\xfe"}))

        assert decode(file, 1, shape=(1, 2), dtype="uint16")[0].tolist() == [[0x0102, 0xFFFE]]

    def test_gray_of_sixteen_bits_in_a_tiff_of_big_ends(self, tmp_path: Path) -> None:
        """In this machine's order."""
        data = saved(Image.frombytes("I;16B", (2, 1), b"\x01\x02\xff\xfe"), "TIFF")
        file = put(tmp_path / "file", zipped({"a": data}))

        (found,) = decode(file, 1, shape=(1, 2), dtype="uint16")

        assert found.tolist() == [[0x0102, 0xFFFE]]
        assert found.dtype == np.uint16

    def test_numbers_of_a_palette(self, tmp_path: Path) -> None:
        """As masks have them, where they are asked for."""
        file = put(tmp_path / "file", zipped({"a": saved(PALETTE)}))

        (found,) = decode(file, 1, shape=(5, 7), mode="P")

        np.testing.assert_array_equal(found, np.asarray(PALETTE), strict=True)

    def test_an_axis_of_one_channel(self, tmp_path: Path) -> None:
        """Is a shape of gray too, also where sizes differ."""
        file = put(tmp_path / "file", zipped({"a": saved(GRAYS)}))

        for shape in ((5, 7, 1), (None, None, 1)):
            assert decode(file, 1, shape=shape)[0].tolist() == np.asarray(GRAYS)[:, :, None].tolist()

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
    @pytest.mark.parametrize(
        ("image", "kind"),
        [
            (BITS, "PNG"),
            (GRAYS, "JPEG"),
            (COLORS, "TIFF"),
            (PALETTE, "PNG"),
            (PALETTE, "GIF"),
            (COLORS.convert("CMYK"), "JPEG"),
            (COLORS.convert("CMYK"), "TIFF"),
            (CLEAR.convert("RGB").convert("RGBA"), "PNG"),
        ],
    )
    def test_converted(self, tmp_path: Path, image: Image.Image, kind: str, mode: str) -> None:
        """By Pillow's own conversion, where a mode is declared."""
        data = saved(image, kind)
        file = put(tmp_path / "file", zipped({"a": data}))
        shape = {"L": (5, 7), "RGB": (5, 7, 3), "RGBA": (5, 7, 4)}[mode]

        (found,) = decode(file, 1, shape=shape, mode=mode)

        expected = np.asarray(Image.open(io.BytesIO(data)).convert(mode))
        np.testing.assert_array_equal(found, expected, strict=True)

    def test_transparency_is_dropped_where_that_is_declared(self, tmp_path: Path) -> None:
        """The colors beneath are taken."""
        file = put(tmp_path / "file", zipped({"a": saved(CLEAR)}))

        (found,) = decode(file, 1, shape=(5, 7, 3), mode="RGB", alpha="drop")

        np.testing.assert_array_equal(found, np.asarray(CLEAR)[:, :, :3], strict=True)

    @pytest.mark.parametrize("turn", range(1, 9))
    def test_orientation(self, tmp_path: Path, turn: int) -> None:
        """What a camera says of it is followed where that is declared, and the stored pixels are taken otherwise."""
        exif = Image.Exif()
        exif[0x0112] = turn
        data = saved(COLORS, "JPEG", exif=exif)
        file = put(tmp_path / "file", zipped({"a": data}))
        turned = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))

        np.testing.assert_array_equal(decode(file, 1, shape=(5, 7, 3))[0], as_pillow(data), strict=True)
        for shape in (turned.shape, (None, None, 3)):
            np.testing.assert_array_equal(decode(file, 1, shape=shape, orientation="apply")[0], turned, strict=True)

    @pytest.mark.parametrize("turn", range(2, 9))
    def test_orientation_of_tiff(self, tmp_path: Path, turn: int) -> None:
        """Pillow turns it in any case, so that stored pixels cannot be had."""
        data = saved(COLORS, "TIFF", tiffinfo={0x0112: turn})
        file = put(tmp_path / "file", zipped({"a": data}))

        (found,) = decode(file, 1, shape=as_pillow(data).shape, orientation="apply")
        np.testing.assert_array_equal(found, as_pillow(data), strict=True)
        with pytest.raises(DecodeError) as caught:
            decode(file, 1, shape=(5, 7, 3))
        assert caught.value.reason == (
            "member 'a': it is TIFF that is to be turned or mirrored, which Pillow always does"
        )
        assert caught.value.hint == "Declare so: options: {orientation: apply}."


@every_archive
def test_any_archive(tmp_path: Path, pack: Pack) -> None:
    """In sorted order, with labels by folder and parts of names, over several blocks, without what is to be skipped."""
    names = [f"data/{folder}/{n:03}_{n % 3}.png" for folder in ("cat", "dog") for n in range(60)]
    files = {name: saved(noise(40, 50, 3, seed=seed)) for seed, name in enumerate(names)}
    shuffled = {name: files[name] for name in random.Random(0).sample(names, len(names))}
    file = put(tmp_path / "file", pack({"data/README.txt": b"", **shuffled, "data/cat/000_0.png": b"broken"}))
    columns = (
        column(file, samples=119, shape=(40, 50, 3)),
        column(file, "labels", samples=119, dtype="int64", classes=("cat", "dog"), key="folder"),
        column(file, "part", samples=119, dtype="str"),
    )
    splits = [split(*columns, members=("data/*/*.png",))]
    found: dict[str, list[Any]] = {"images": [], "labels": [], "part": []}

    for block in formats.of("images").decode(splits, skip=["data/cat/000_0.png"], label_split=["_", 1]):
        values: Any = block.values
        found[block.column.field] += list(values)

    np.testing.assert_array_equal(found["images"], [as_pillow(files[name]) for name in names[1:]], strict=True)
    assert found["labels"] == ["cat"] * 59 + ["dog"] * 60
    assert found["part"] == [str(n % 3) for folder in range(2) for n in range(60)][1:]


@pytest.mark.slow
def test_one_core_makes_the_same(tmp_path: Path) -> None:
    """Order and bytes, where no thread can be started."""
    files = {f"{n:03}": saved(photograph(40, 50 + n % 3, seed=n), "JPEG") for n in range(200)}
    file = put(tmp_path / "file", zipped(files))
    code = f"""
import hashlib, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
from tests.formats.test_images import decode
found = decode(Path({str(file)!r}), 200, shape=(40, None, 3))
print(hashlib.sha256(b"".join(values.tobytes() for values in found)).hexdigest())
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    found = decode(file, 200, shape=(40, None, 3))
    assert printed.strip() == hashlib.sha256(b"".join(values.tobytes() for values in found)).hexdigest()


def gif_of_two() -> bytes:
    """A film."""
    return saved(GRAYS, "GIF", save_all=True, append_images=[noise(5, 7, seed=1)])


def with_transparency(image: Image.Image) -> bytes:
    """A PNG one of whose grays or colors is transparent."""
    values = np.asarray(image)[0, 0].tolist()
    return saved(image, transparency=tuple(values) if isinstance(values, list) else values)


def animated() -> bytes:
    """An APNG."""
    return saved(GRAYS, save_all=True, append_images=[noise(5, 7, seed=1)])


def two_pages() -> bytes:
    """A TIFF as scanners write them."""
    return saved(GRAYS, "TIFF", save_all=True, append_images=[GRAYS])


CONVERT = "To convert it: options: {mode: L}."
SIZE = "To make one size of all: options: {resize: bilinear}. To keep theirs: shape: [null, null, ...]."
ALPHA = "To keep that: options: {mode: RGBA}. To take what is beneath: options: {alpha: drop}."
FRAMES = "Save each frame as a picture of its own, or leave the file out: options: {skip: [...]}."
WITH_BITS = "Save all pictures as one array in an NPZ, with all of their bits."
Options = Mapping[str, Any]


class Case(NamedTuple):
    """One hostile picture, what is declared of it, why it is refused, and the harmless twin, declared alike."""

    hostile: bytes
    declared: Options
    reason: str
    hint: str | None
    twin: bytes
    form: str = "images"


# The picture, what is declared of it, and what is wrong with it.
_WRONG: dict[str, tuple[Any, ...]] = {
    "a bomb": (
        png(65535, 65535, b"\0"),
        {},
        "it is 65,535 high and 65,535 wide, and train.images is declared as 5 high and 7 wide",
        SIZE,
    ),
    "a bomb to be resized": (
        png(65535, 65535, b"\0"),
        {"resize": "box"},
        "it is 65,535 high and 65,535 wide, and the most that is read is 89,478,485 pixels",
        None,
    ),
    "a bomb of any size": (
        png(2**31 - 1, 2**31 - 1, b"\0"),
        {"shape": (None, None)},
        "it is 2,147,483,647 high and 2,147,483,647 wide, and the most that is read is 89,478,485 pixels",
        None,
    ),
    "more pixels than its bytes can be": (
        saved(Image.new("1", (12000, 7400)), "TIFF", compression="group4"),
        {"shape": (None, None), "dtype": "bool"},
        "up to here, its pictures come to more than {limit:,} bytes, but their files have {size:,}",
        None,
    ),
    "another size": (
        saved(noise(7, 5)),
        {},
        "it is 7 high and 5 wide, and train.images is declared as 5 high and 7 wide",
        SIZE,
    ),
    "another height": (
        saved(noise(7, 5)),
        {"shape": (5, None)},
        "it is 7 high and 5 wide, and train.images is declared as 5 high",
        SIZE,
    ),
    "cut short": (saved(GRAYS, "JPEG")[:-20], {}, "it cannot be decoded: {words}", None),
    "cut in its header": (saved(GRAYS)[:20], {}, "its PNG header is damaged: {words}", None),
    "fewer pixels than it says": (
        png(7, 5, bytes(39)),
        {},
        "it has fewer pixels than the 5 x 7 that its header says",
        None,
    ),
    "more pixels than it says": (
        png(7, 5, bytes(41)),
        {},
        "it has more pixels than the 5 x 7 that its header says",
        None,
    ),
    "a bomb behind its header": (
        png(7, 5, bytes(64 << 20)),
        {},
        "it has more pixels than the 5 x 7 that its header says",
        None,
    ),
    "cut in its pixels": (
        saved(GRAYS)[:-40],
        {},
        "it has fewer pixels than the 5 x 7 that its header says",
        None,
    ),
    "damaged": (saved(GRAYS).replace(b"IDAT", b"IDAX"), {}, "its PNG header is damaged: {words}", None),
    "no picture": (b"pixels", {}, "it is no picture of a kind that is read", None),
    "empty": (b"", {}, "it is no picture of a kind that is read", None),
    "a program": (b"MZ\0", {}, "it is a program, which is not read", None),
    "another kind": (
        b"\0\0\0\x0cjP  \r\n\x87\n\0\0",
        {},
        "it is a JPEG 2000 picture, which is not read",
        None,
    ),
    "colors": (saved(COLORS), {}, "it is RGB, and train.images is of mode L (gray)", CONVERT),
    "single bits": (saved(BITS), {}, "it is 1 (a bit a pixel), and train.images is of mode L (gray)", CONVERT),
    "numbers of a palette": (
        saved(PALETTE),
        {},
        "it is P (numbers of a palette), and train.images is of mode L (gray)",
        "Declare what is wanted: options: {mode: P} for the numbers, or {mode: L} for the grays.",
    ),
    "no numbers of a palette": (
        saved(GRAYS),
        {"mode": "P"},
        "it is L (gray), and train.images is of mode P (numbers of a palette), which is not converted",
        None,
    ),
    "16 bits": (
        saved(DEEP),
        {},
        "it is I;16 (gray of 16 bits), and train.images is of mode L (gray), as its shape and dtype say",
        None,
    ),
    "16 bits to convert": (
        saved(DEEP),
        {"mode": "L"},
        "it is I;16 (gray of 16 bits), and train.images is of mode L (gray), which is not converted",
        None,
    ),
    "no 16 bits": (
        saved(GRAYS),
        {"dtype": "uint16"},
        "it is L (gray), and train.images is of mode I;16 (gray of 16 bits), as its shape and dtype say",
        None,
    ),
    "colors of 16 bits": (
        png(1, 1, bytes(7), color=2, depth=16),
        {"shape": (1, 1, 3)},
        "it has 16 bits in each of several channels, of which Pillow keeps 8: RGB;16B",
        WITH_BITS,
    ),
    "a scale of its own": (
        b"P5 2 1 100\nab",
        {"shape": (1, 2)},
        "its values go up to 100, and Pillow would stretch them",
        WITH_BITS,
    ),
    "transparent pixels": (
        saved(CLEAR),
        {"shape": (5, 7, 3), "mode": "RGB"},
        "it has transparent pixels, and RGB has none",
        ALPHA,
    ),
    "a transparent gray": (with_transparency(GRAYS), {}, "it has transparent pixels, and L has none", ALPHA),
    "a transparent color": (
        with_transparency(COLORS),
        {"shape": (5, 7, 3)},
        "it has transparent pixels, and RGB has none",
        ALPHA,
    ),
    "a transparent color of a palette": (
        saved(PALETTE, transparency=0),
        {"shape": (5, 7, 3), "mode": "RGB"},
        "it has transparent pixels, and RGB has none",
        ALPHA,
    ),
    "a film": (gif_of_two(), {}, "it has several frames, and a sample is one picture", FRAMES),
    "an animated PNG": (animated(), {}, "it has several frames, and a sample is one picture", FRAMES),
    "a TIFF of pages": (two_pages(), {}, "it has several frames, and a sample is one picture", FRAMES),
}


def _twin(declared: Options) -> bytes:
    """A picture that is as declared."""
    shape, dtype = declared.get("shape", (5, 7)), declared.get("dtype", "uint8")
    if shape == (1, 2):
        return b"P5 2 1 255\nab"
    if shape == (1, 1, 3):
        return png(1, 1, bytes(4), color=2)
    if len(shape) == 3:
        return saved(COLORS)
    return saved({"bool": BITS, "uint16": DEEP}.get(dtype, PALETTE if declared.get("mode") == "P" else GRAYS))


CASES = {
    f"a picture: {name}": Case(data, declared, reason, hint, _twin(declared))
    for name, (data, declared, reason, hint) in _WRONG.items()
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every
def test_a_hostile_picture_is_refused_in_one_sentence(case: Case, tmp_path: Path) -> None:
    """With the member's name, soon, and in little memory."""
    file = put(tmp_path / "file", zipped({"a/1": case.hostile}))

    with soon(), pytest.raises(DecodeError) as caught, memory_below(24):
        decode(file, 1, **{"shape": (5, 7), **case.declared})

    front, words, _ = f"member 'a/1': {case.reason}".partition("{")
    assert caught.value.reason.startswith(front)
    assert words or caught.value.reason == front
    assert caught.value.hint == case.hint
    assert "\n" not in caught.value.reason
    assert " at 0x" not in caught.value.reason


@every
def test_its_harmless_twin_is_read(case: Case, tmp_path: Path) -> None:
    """So that refusing is not just being broken."""
    file = put(tmp_path / "file", zipped({"a/1": case.twin}))

    assert len(decode(file, 1, **{"shape": (5, 7), **case.declared})) == 1


def test_another_mode_in_the_middle(tmp_path: Path) -> None:
    """The first that is not as declared is named, also while others are decoded."""
    files = {f"{n:03}": saved(noise(5, 7, 3, seed=n), "JPEG") for n in range(300)}
    file = put(tmp_path / "file", zipped({**files, "150": saved(GRAYS, "JPEG"), "151": b"", "149x": b"no picture"}))

    with pytest.raises(DecodeError, match="member '149x': it is no picture"):
        decode(file, 301, shape=(5, 7, 3))
    with pytest.raises(ContentError, match=r"member '150': it is L \(gray\), and train.images is of mode RGB"):
        decode(file, 300, shape=(5, 7, 3), skip=["149x"])


def test_a_damaged_one_comes_before_one_that_is_wrong(tmp_path: Path) -> None:
    """Errors come in the order of samples, whichever was found first."""
    files = {f"{n:03}": saved(noise(5, 7), "JPEG") for n in range(60)}
    file = put(tmp_path / "file", zipped({**files, "020": files["020"][:-20], "021": b"no picture"}))

    for _ in range(10):
        with pytest.raises(DecodeError, match="member '020': it cannot be decoded"):
            decode(file, 60, shape=(5, 7))


def test_a_picture_larger_than_any_file_of_it(tmp_path: Path) -> None:
    """Bytes are bounded by the declared pixels, before they are looked at."""
    info = PngImagePlugin.PngInfo()
    data = saved(GRAYS, pnginfo=info) + bytes(17 << 20)
    file = put(tmp_path / "file", zipped({"a": data}, zipfile.ZIP_STORED))

    with pytest.raises(ContentError) as caught:
        decode(file, 1, shape=(5, 7))

    assert caught.value.reason == "member 'a': it is longer than 16,777,251 bytes, the most that is read of one"


@pytest.mark.slow
def test_large_pictures_take_bounded_memory(tmp_path: Path) -> None:
    """As few are decoded ahead as memory allows: 40 of 12 MB each are never held together."""
    data = saved(photograph(2000, 2000), "JPEG")
    file = put(tmp_path / "file", zipped({f"{n:02}": data for n in range(40)}, zipfile.ZIP_STORED))
    pictures = column(file, samples=40, shape=(2000, 2000, 3))

    with memory_below(100):
        count = sum(len(b.values) for b in formats.of("images").decode([split(pictures, members=("*",))]))

    assert count == 40


def test_truncated_pictures_are_never_filled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may have asked Pillow for that; nobody would notice the gray."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    file = put(tmp_path / "file", zipped({"a": saved(GRAYS, "JPEG")[:-60]}))

    with pytest.raises(DecodeError, match="LOAD_TRUNCATED_IMAGES is set"):
        decode(file, 1, shape=(5, 7))


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (
            {"shape": (5,)},
            "train.images is declared as uint8 [5], which no picture is: they are [height, width] in bool, uint8 or "
            "uint16, and [height, width, 2, 3 or 4] in uint8",
        ),
        (
            {"shape": (5, 7, None)},
            "train.images is declared as uint8 [5, 7, null], which no picture is: they are [height, width] in bool, "
            "uint8 or uint16, and [height, width, 2, 3 or 4] in uint8",
        ),
        (
            {"shape": (5, 7), "mode": "RGB"},
            "`mode: RGB` is uint8 [height, width, 3], and train.images is declared as uint8 [5, 7]",
        ),
        (
            {"shape": (5, 7), "mode": "L", "dtype": "bool"},
            "`mode: L` is uint8 [height, width], and train.images is declared as bool [5, 7]",
        ),
        (
            {"shape": (None, 7), "resize": "box"},
            "`resize: box` makes one size of all, and train.images is declared as uint8 [null, 7]",
        ),
        (
            {"shape": (5, 7), "mode": "P", "resize": "box"},
            "`resize: box` mixes values, which P (numbers of a palette) has not, and train.images is declared as "
            "uint8 [5, 7]",
        ),
    ],
)
def test_what_is_declared_must_be_a_picture(tmp_path: Path, declared: dict[str, Any], reason: str) -> None:
    """Before one is looked at."""
    file = put(tmp_path / "file", zipped({"a": b""}))

    with pytest.raises(ContentError) as caught:
        decode(file, 1, **declared)

    assert caught.value.reason == reason


def test_a_manifest_of_files_in_folders(tmp_path: Path, home: Path) -> None:
    """By YAML alone: classes in their declared order, pictures of their own sizes."""
    files = {
        "dog/b.jpg": saved(photograph(30, 20), "JPEG"),
        "cat/c.jpg": saved(photograph(20, 30), "JPEG"),
        "dog/a.png": saved(COLORS),
        "README.txt": b"x",
    }
    fields = {
        "images": {"dtype": "uint8", "shape": [None, None, 3], "range": [0, 255]},
        "labels": {"dtype": "int64", "classes": ["Dogs", "Cats"], "values": ["dog", "cat"]},
    }
    splits = {"train": {"samples": 3, "members": ["*/*.jpg", "*/*.png"], "images": "image", "labels": "folder"}}
    manifest = declare(tmp_path, files, splits=splits, fields=fields, format="images")

    data = get("mine", manifest=manifest, home=home, offline=True)

    assert data.train.labels.tolist() == [1, 0, 0]
    for values, name in zip(data.train.images, ("cat/c.jpg", "dog/b.jpg", "dog/a.png"), strict=True):
        np.testing.assert_array_equal(values, as_pillow(files[name]), strict=True)


def test_labels_from_a_table(tmp_path: Path, home: Path) -> None:
    """Pictures of an archive, in the order of their names, and a row of a table for each."""
    pictures = {f"{n}.png": saved(noise(5, 7, 3, seed=n)) for n in range(4)}
    fields = {
        "images": {"dtype": "uint8", "shape": [5, 7, 3], "range": [0, 255]},
        "labels": {"dtype": "int64", "classes": ["cat", "dog"]},
    }
    labels = {"file": "labels.csv", "format": "csv", "key": "kind"}
    splits = {"train": {"samples": 4, "file": "a.zip", "members": ["*.png"], "labels": labels}}
    files = {"a.zip": zipped(pictures), "labels.csv": b"id,kind\n0,dog\n1,cat\n2,cat\n3,dog\n"}
    manifest = declare(tmp_path, files, splits=splits, fields=fields, format="images")

    data = get("mine", manifest=manifest, home=home, offline=True)

    assert data.train.labels.tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(data.train.images, [as_pillow(data) for data in pictures.values()], strict=True)


def test_two_parts_of_a_name_are_two_fields(tmp_path: Path, home: Path) -> None:
    """Each with options of its own: the digit, and who wrote it."""
    files = {f"{digit}_{who}_{n}.png": saved(noise(5, 7)) for digit in "01" for who in ("ann", "bob") for n in range(2)}
    fields = {
        "images": {"dtype": "uint8", "shape": [5, 7]},
        "labels": {"dtype": "int64", "classes": ["0", "1"]},
        "writers": {"dtype": "int64", "classes": ["ann", "bob"]},
    }
    writers = {"file": "a.zip", "key": "part", "options": {"label_split": ["_", 1]}}
    splits = {"train": {"samples": 8, "file": "a.zip", "members": ["*.png"], "writers": writers}}
    options = {"label_split": ["_", 0]}
    manifest = declare(
        tmp_path, {"a.zip": zipped(files)}, splits=splits, fields=fields, format="images", options=options
    )

    data = get("mine", manifest=manifest, home=home, offline=True)

    assert data.train.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert data.train.writers.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


def test_channels_first_and_fractions(tmp_path: Path, home: Path) -> None:
    """As networks take them: `axes` and `scale` are of pictures too."""
    files = {f"{n}.png": saved(noise(5, 7, 3, seed=n)) for n in range(3)}
    images = {"dtype": "float32", "shape": [3, 5, 7], "axes": [0, 3, 1, 2], "scale": 1 / 255}
    splits = {"train": {"samples": 3, "file": "a.zip", "members": ["*.png"]}}
    manifest = declare(tmp_path, {"a.zip": zipped(files)}, splits=splits, fields={"images": images}, format="images")

    data = get("mine", manifest=manifest, home=home, offline=True)

    expected = np.stack([as_pillow(picture) for picture in files.values()]).transpose(0, 3, 1, 2) * np.float64(1 / 255)
    np.testing.assert_array_equal(data.train.images, expected.astype(np.float32), strict=True)
