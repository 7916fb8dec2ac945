"""audio: a recording a sample, as Python's wave module and SciPy read it."""

from __future__ import annotations

import gzip
import io
import struct
import time
import wave
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile

from tests.formats.test_texts import declare
from tests.helpers.add_world import add
from tests.helpers.format_writers import column, member, memory_below, put, read, split, tarred, zipped
from tests.helpers.yardstick import soon
from tinytorch_datasets import formats, get, load_manifest
from tinytorch_datasets.errors import ContentError, DecodeError, ManifestError, MissingLibrary
from tinytorch_datasets.plan import Column, RaggedBlock

RATE = 8000


def wav(frames: np.ndarray, rate: int = RATE) -> bytes:
    """WAV, by SciPy: (frames,) or (frames, channels)."""
    out = io.BytesIO()
    wavfile.write(out, rate, frames)
    return out.getvalue()


def waved(raw: bytes, width: int, channels: int = 1, rate: int = RATE) -> bytes:
    """WAV of numbers of so many bytes, by the wave module."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return out.getvalue()


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """One chunk, its size as given, padded as it should be."""
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(code: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, frame_bytes: int | None = None) -> bytes:
    """The body of the chunk that says what the numbers are."""
    width = channels * bits // 8 if frame_bytes is None else frame_bytes
    return struct.pack("<HHIIHH", code, channels, rate, rate * width, width, bits)


def extensible(code: int, bits: int, valid: int, tail: str = "000000001000800000aa00389b71") -> bytes:
    """The same in its extensible form."""
    return fmt(0xFFFE, bits=bits) + struct.pack("<HHIH", 22, valid, 4, code) + bytes.fromhex(tail)


def riff(*chunks: bytes, size: int | None = None, name: bytes = b"RIFF") -> bytes:
    """A RIFF file of these chunks."""
    body = b"WAVE" + b"".join(chunks)
    return name + struct.pack("<I", len(body) if size is None else size) + body


def blocks(
    file: Path, samples: int, *patterns: str, dtype: str = "int16", shape: Any = (None,), **options: Any
) -> list[Any]:
    """The values of the blocks of one field of recordings."""
    of = column(file, "recordings", key="recording", samples=samples, dtype=dtype, shape=shape)
    return [block.values for block in formats.of("audio").decode([split(of, members=patterns or ("**/*",))], **options)]


def ragged(file: Path, samples: int, *patterns: str, **declared: Any) -> list[np.ndarray]:
    """The recordings of a field whose samples differ in length."""
    found = blocks(file, samples, *patterns, **declared)
    assert all(isinstance(values, RaggedBlock) for values in found)
    return [sample for values in found for sample in values.samples()]


def only(tmp_path: Path, data: bytes, **declared: Any) -> np.ndarray:
    """The one recording of an archive."""
    (found,) = ragged(put(tmp_path / "file", zipped({"a/1.wav": data})), 1, **declared)
    return found


NOISE = np.random.default_rng(0).integers(-(2**31), 2**31, (101, 2), np.int32)


class TestValues:
    """Numbers are what other readers of WAV find, in the type in which they are stored."""

    def test_real_recordings(self, realdata: Path) -> None:
        """Spoken digits, by the wave module; their label is what their names begin with."""
        folder = realdata / "formats" / "audio"
        names = sorted(path.name for path in folder.glob("*.wav"))
        expected = []
        for name in names:
            with wave.open(str(folder / name)) as file:
                assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
                expected.append(np.frombuffer(file.readframes(file.getnframes()), "<i2"))
        labels = column(folder, "labels", samples=2, dtype="int64", classes=("0", "2"))

        found = ragged(folder, 2, *names, rate=8000)
        named = read("audio", split(labels, members=names), label_split=["_", 0])

        assert [len(recording) for recording in found] == [2384, 3990]
        for actual, right in zip(found, expected, strict=True):
            np.testing.assert_array_equal(actual, right, strict=True)
        assert named["train.labels"] == ["0", "2"]

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_every_type_of_numbers(self, tmp_path: Path, dtype: str, channels: int) -> None:
        """Of one channel as (frames,), of several as (frames, channels)."""
        frames = (NOISE / 2**31 if dtype.startswith("f") else NOISE >> 8).astype(dtype)[:, :channels].squeeze()
        data = wav(frames)
        assert wavfile.read(io.BytesIO(data))[1].dtype == dtype

        found = only(tmp_path, data, dtype=dtype, shape=(None, 2) if channels == 2 else (None,))

        np.testing.assert_array_equal(found, frames, strict=True)

    @pytest.mark.parametrize("is_extensible", [False, True])
    def test_24_bits(self, tmp_path: Path, is_extensible: bool) -> None:
        """As int32 from -8,388,608 on; SciPy gives them times 256."""
        raw = (NOISE[:, :1] >> 8).astype("<i4").view("u1").reshape(-1, 4)[:, :3].tobytes()
        form = extensible(1, 24, 24) if is_extensible else fmt(bits=24)
        data = riff(chunk(b"fmt ", form), chunk(b"data", raw))
        expected = wavfile.read(io.BytesIO(data))[1] // 256

        found = only(tmp_path, data, dtype="int32")

        np.testing.assert_array_equal(found, expected, strict=True)
        np.testing.assert_array_equal(found, NOISE[:, 0] >> 8)

    def test_24_bits_by_the_wave_module(self, tmp_path: Path) -> None:
        """The least and the largest, and what is around 0."""
        values = [-(2**23), -1, 0, 1, 2**23 - 1]
        data = waved(b"".join(value.to_bytes(3, "little", signed=True) for value in values), 3)

        assert only(tmp_path, data, dtype="int32").tolist() == values

    @pytest.mark.parametrize(
        ("code", "bits", "valid"), [(1, 16, 16), (1, 16, 12), (1, 32, 24), (1, 16, 0), (3, 32, 32)]
    )
    def test_the_extensible_form(self, tmp_path: Path, code: int, bits: int, valid: int) -> None:
        """Numbers are as they are stored, however many of their bits count."""
        frames = NOISE[:, 0].astype(f"int{bits}") if code == 1 else (NOISE[:, 0] / 2**31).astype("float32")
        data = riff(chunk(b"fmt ", extensible(code, bits, valid)), chunk(b"data", frames.tobytes()))

        np.testing.assert_array_equal(only(tmp_path, data, dtype=frames.dtype.name), frames, strict=True)

    @pytest.mark.parametrize(
        "pack",
        [
            pytest.param(zipped, marks=pytest.mark.slow),
            lambda of: tarred(*(member(name, data) for name, data in of.items())),
        ],
    )
    def test_the_layout_of_speech_commands(self, tmp_path: Path, pack: Callable[[Mapping[str, bytes]], bytes]) -> None:
        """A folder a word, a second each, over more than one block; what is no recording is passed over."""
        waves = {
            f"./{word}/{n:05}.wav": NOISE[:64, 0].astype("int16") + n for word in ("yes", "no") for n in range(5000)
        }
        files = {"./README.md": b"x", "./yes/._1.wav": b"x", **{name: wav(of) for name, of in waves.items()}}
        file = put(tmp_path / "file", pack({name.removeprefix("./"): data for name, data in files.items()}))
        fields = [
            column(file, "recordings", key="recording", samples=10_000, dtype="int16", shape=(64,)),
            column(file, "labels", samples=10_000, dtype="int64", classes=("no", "yes")),
            column(file, "names", key="name", samples=10_000, dtype="str"),
        ]

        found = read("audio", split(*fields, members=("*/*.wav",)), rate=RATE)

        names = sorted(name.removeprefix("./") for name in waves)
        assert (found["train.names"], found["train.labels"]) == (names, [name.partition("/")[0] for name in names])
        np.testing.assert_array_equal(found["train.recordings"], [waves[f"./{name}"] for name in names], strict=True)

    def test_other_chunks(self, tmp_path: Path) -> None:
        """Of odd sizes too, before the numbers and behind them, with the byte that pads them and without it."""
        frames = NOISE[:, 0].astype("u1")
        chunks = [
            chunk(b"LIST", b"INFOabc"),
            b"note\3\0\0\0abc",
            chunk(b"fmt ", fmt(bits=8) + b"\0\0"),
            chunk(b"fact", struct.pack("<I", len(frames))),
            chunk(b"data", frames.tobytes()),
            chunk(b"LIST", b"INFO"),
            b"note\1\0\0\0a",
        ]

        np.testing.assert_array_equal(only(tmp_path, riff(*chunks), dtype="uint8"), frames, strict=True)

    @pytest.mark.parametrize(
        ("riff_size", "data_size", "is_written"),
        [(0xFFFFFFFF, 0xFFFFFFFF, "FFmpeg"), (0x7FFFF024, 0x7FFFF000, "SoX"), (36, 0, "wave"), (0, 0, "others")],
    )
    def test_recordings_that_were_streamed(
        self, tmp_path: Path, riff_size: int, data_size: int, is_written: str
    ) -> None:
        """Programs that cannot go back to the header leave no size in it: all that comes is numbers."""
        frames = NOISE[:, 0].astype("int16")
        data = riff(chunk(b"fmt ", fmt()), chunk(b"data", frames.tobytes(), data_size), size=riff_size)

        np.testing.assert_array_equal(only(tmp_path, data), frames, strict=True)

    def test_what_follows_the_end(self, tmp_path: Path) -> None:
        """That both sizes agree on is no sound: tags of some programs."""
        frames = NOISE[:, 0].astype("int16")

        np.testing.assert_array_equal(only(tmp_path, wav(frames) + b"TAG" + b"\xff" * 125), frames, strict=True)

    @pytest.mark.parametrize("by", [-36, -8, 8, 40_000])
    def test_a_size_of_the_file_that_is_wrong(self, tmp_path: Path, by: int) -> None:
        """As some programs count it: no number depends on it where nothing else follows."""
        frames = NOISE[:, 0].astype("int16")
        data = riff(chunk(b"fmt ", fmt()), chunk(b"data", frames.tobytes()), size=36 + frames.nbytes + by)

        np.testing.assert_array_equal(only(tmp_path, data), frames, strict=True)

    def test_a_recording_of_nothing(self, tmp_path: Path) -> None:
        """Has no frames, also where other chunks follow."""
        empty = riff(chunk(b"fmt ", fmt()), chunk(b"data", b""), chunk(b"LIST", b"INFO"))
        file = put(tmp_path / "file", zipped({"1.wav": empty, "2.wav": wav(NOISE[:, 0].astype("int16"))}))

        assert [len(recording) for recording in ragged(file, 2)] == [0, 101]

    def test_recordings_that_are_compressed_themselves(self, tmp_path: Path) -> None:
        """As files are: by their first bytes."""
        frames = NOISE[:, 0].astype("int16")

        np.testing.assert_array_equal(only(tmp_path, gzip.compress(wav(frames))), frames, strict=True)

    @pytest.mark.parametrize(
        ("shape", "expected"), [((None, 1), (101, 1)), ((1, None), (1, 101)), ((None, None), (101, 1))]
    )
    def test_the_axis_of_one_channel(self, tmp_path: Path, shape: tuple[int | None, ...], expected: Any) -> None:
        """Is there where it is declared, on either side."""
        frames = NOISE[:, 0].astype("int16")

        found = only(tmp_path, wav(frames), shape=shape)

        assert found.shape == expected
        np.testing.assert_array_equal(found.ravel(), frames)

    def test_rates_of_each(self, tmp_path: Path) -> None:
        """Recordings of several rates need a field that has them."""
        frames = NOISE[:, 0].astype("int16")
        file = put(tmp_path / "file", zipped({"1": wav(frames, 8000), "2": wav(frames, 44_100)}))
        rates = column(file, "rates", key="rate", samples=2, dtype="int32")

        found = read("audio", split(rates, members=("*",)))["train.rates"]

        np.testing.assert_array_equal(found, np.array([8000, 44_100], "int32"), strict=True)


def by_soundfile(frames: np.ndarray, **how: Any) -> bytes:
    """A recording in another format, by soundfile."""
    out = io.BytesIO()
    soundfile.write(out, frames, RATE, **how)
    return out.getvalue()


class TestOthers:
    """What is no WAV is read by soundfile, and only what is declared of its three kinds."""

    @pytest.mark.parametrize(
        ("subtype", "dtype", "bits"), [("PCM_S8", "int8", 8), ("PCM_16", "int16", 16), ("PCM_24", "int32", 24)]
    )
    @pytest.mark.parametrize("channels", [1, 2])
    def test_flac(self, tmp_path: Path, subtype: str, dtype: str, bits: int, channels: int) -> None:
        """Lossless: the numbers that were written."""
        frames = NOISE[:, :channels] >> (32 - bits)
        data = by_soundfile((frames << (32 - bits)).astype("int32"), format="FLAC", subtype=subtype)

        found = only(tmp_path, data, dtype=dtype, shape=(None, channels), rate=RATE)

        np.testing.assert_array_equal(found, frames.astype(dtype), strict=True)

    @pytest.mark.parametrize(
        "how",
        [
            {"format": "OGG", "subtype": "VORBIS"},
            {"format": "OGG", "subtype": "OPUS"},
            {"format": "MP3", "subtype": "MPEG_LAYER_III"},
        ],
        ids=["vorbis", "opus", "mp3"],
    )
    def test_what_loses(self, tmp_path: Path, how: dict[str, str]) -> None:
        """As soundfile reads the same file at once."""
        tone = np.sin(np.arange(20_000) / 9).astype("float32")
        data = by_soundfile(tone, **how)
        expected, rate = soundfile.read(io.BytesIO(data), dtype="float32")

        found = only(tmp_path, data, dtype="float32", rate=rate)

        np.testing.assert_array_equal(found, expected, strict=True)
        assert np.abs(found[1000:19_000] - tone[1000:19_000]).max() < 0.2

    def test_wav_and_flac_together(self, tmp_path: Path) -> None:
        """Are on one scale, so they are one field."""
        frames = NOISE[:, 0].astype("int16")
        file = put(tmp_path / "file", zipped({"1": by_soundfile(frames, format="FLAC"), "2": wav(frames)}))

        first, second = ragged(file, 2)

        np.testing.assert_array_equal(first, second, strict=True)

    @pytest.mark.parametrize("how", [{"format": "FLAC"}, {"format": "OGG"}, {"format": "MP3"}], ids=str)
    @pytest.mark.parametrize("part", [0.02, 0.5, 0.97])
    def test_one_that_is_cut_short(self, tmp_path: Path, how: dict[str, str], part: float) -> None:
        """Is an error that names it, never a shorter recording."""
        data = by_soundfile(np.random.default_rng(0).uniform(-1, 1, 40_000), **how)
        dtype = "int16" if how["format"] == "FLAC" else "float32"

        with pytest.raises(DecodeError) as caught:
            only(tmp_path, data[: int(len(data) * part)], dtype=dtype)

        assert caught.value.reason.startswith("member 'a/1.wav': it ")

    def test_a_header_of_a_bomb(self, tmp_path: Path) -> None:
        """Is refused before there is room made for what it says."""
        data = bytearray(by_soundfile(NOISE[:, 0].astype("int16"), format="FLAC"))
        data[22:26] = struct.pack(">I", 4_000_000_000)  # the lower bits of how many frames there are

        with pytest.raises(DecodeError) as caught, memory_below(8):
            only(tmp_path, bytes(data))

        reason = f"its header says 1 x 4,000,000,000 numbers, which are more than {len(data):,} bytes come to"
        assert caught.value.reason == f"member 'a/1.wav': {reason}"

    @pytest.mark.parametrize(
        ("frames", "reason"),
        [
            (0, "its header does not say how many frames it has"),
            (100, "its numbers are not those that its header has the MD5 of"),
            (102, "it is no FLAC that can be read: "),
        ],
    )
    def test_a_header_that_lies(self, tmp_path: Path, frames: int, reason: str) -> None:
        """What comes must be all that was written."""
        data = bytearray(by_soundfile(NOISE[:, 0].astype("int16"), format="FLAC"))
        data[22:26] = struct.pack(">I", frames)

        with pytest.raises(DecodeError) as caught:
            only(tmp_path, bytes(data))

        assert caught.value.reason.startswith(f"member 'a/1.wav': {reason}")

    def test_soundfile_is_asked_for_before_anything_is_downloaded(self) -> None:
        """Where the names of members say that it will be needed, and not for WAV."""
        audio = replace(formats.of("audio"), needs_by_ending={".flac": ("no_such_library", "audio")})
        audio.check_libraries(["*/*.wav", "x/README"])

        with pytest.raises(MissingLibrary) as caught:
            audio.check_libraries(["*/*.wav", "LibriSpeech/**/*.FLAC"])

        assert str(caught.value) == (
            "format 'audio' needs no_such_library, which is not installed\n  pip install 'tinytorch-datasets[audio]'"
        )
        assert {".flac", ".ogg", ".mp3"} <= set(formats.of("audio").needs_by_ending)


class TestLengths:
    """Recordings are cut and padded where that is declared, and only then."""

    @pytest.mark.parametrize(
        ("length", "given", "expected"),
        [
            ("pad", [1, 2], [1, 2, 0, 0]),
            ("fit", [1, 2], [1, 2, 0, 0]),
            ("cut", [1, 2, 3, 4, 5], [1, 2, 3, 4]),
            ("fit", [1, 2, 3, 4, 5], [1, 2, 3, 4]),
            ("pad", [1, 2, 3, 4], [1, 2, 3, 4]),
            ("pad", [], [0, 0, 0, 0]),
        ],
    )
    def test_a_declared_length(self, tmp_path: Path, length: str, given: list[int], expected: list[int]) -> None:
        """Silence at the end, or nothing of what is there too much."""
        data = waved(np.array(given, "<i2").tobytes(), 2)
        file = put(tmp_path / "file", zipped({"1.wav": data}))

        (found,) = blocks(file, 1, shape=(4,), length=length)

        np.testing.assert_array_equal(found, np.array([expected], "int16"), strict=True)

    def test_silence_of_8_bits(self, tmp_path: Path) -> None:
        """Is 128, the middle of what they may be."""
        file = put(tmp_path / "file", zipped({"1.wav": waved(b"\1\2\3\4", 1, channels=2)}))

        (found,) = blocks(file, 1, dtype="uint8", shape=(3, 2), length="pad")

        assert found.tolist() == [[[1, 2], [3, 4], [128, 128]]]

    @pytest.mark.parametrize(
        ("length", "given", "actual", "change"),
        [
            (None, 3, "3 frames", "pad"),
            (None, 5, "5 frames", "cut"),
            ("cut", 3, "3 frames", "pad"),
            ("pad", 5, "5 frames", "cut"),
        ],
    )
    def test_another_length_is_an_error(
        self, tmp_path: Path, length: str | None, given: int, actual: str, change: str
    ) -> None:
        """That names the member, and the option."""
        file = put(tmp_path / "file", zipped({"a/1.wav": wav(np.arange(given, dtype="int16"))}))

        with pytest.raises(ContentError) as caught:
            blocks(file, 1, shape=(4,), length=length)

        assert caught.value.reason == f"member 'a/1.wav': it has {actual}, and train.recordings declares 4"
        hint = f"Frames come first in a shape. To {change} recordings to that length: options: {{length: {change}}}."
        assert (caught.value.aspect, caught.value.hint) == ("shape", hint)

    def test_a_length_that_nothing_declares(self, tmp_path: Path) -> None:
        """There is none to pad to."""
        file = put(tmp_path / "file", zipped({"1.wav": wav(np.zeros(3, "int16"))}))

        with pytest.raises(DecodeError) as caught:
            ragged(file, 1, length="pad")

        reason = "train.recordings has the shape [null], and nothing says to which length to pad"
        assert (caught.value.reason, caught.value.keys) == (reason, ("options", "length"))


class Case(NamedTuple):
    """One hostile recording, its reason, and the harmless twin; both declared as one of the shape [null]."""

    hostile: bytes
    reason: str
    twin: bytes
    error: type[DecodeError] = DecodeError
    options: Mapping[str, Any] = {}
    form: str = "audio"


SOUND = NOISE[:50, 0].astype("int16").tobytes()
FMT, DATA = chunk(b"fmt ", fmt()), chunk(b"data", SOUND)
PLAIN = riff(FMT, DATA)


def wav_of(form: bytes) -> bytes:
    """A recording whose numbers are said to be this."""
    return riff(chunk(b"fmt ", form), DATA)


CASES = {
    "cut in its numbers": Case(PLAIN[:-1], "it ends inside its numbers: 100 bytes expected, 99 came", PLAIN),
    "cut before its numbers": Case(PLAIN[:36], "it ends before its numbers", PLAIN),
    "cut in a header": Case(PLAIN[:40], "at byte 36 it has no chunk, but b'data'", PLAIN),
    "cut in another chunk": Case(
        riff(FMT, chunk(b"LIST", b"abcd", 400)), "it ends inside its chunk 'LIST': 400 bytes expected, 4 came", PLAIN
    ),
    "nothing but a header": Case(riff(), "it ends before its numbers", PLAIN),
    "no header": Case(riff(DATA), "its numbers come before the chunk that says what they are", PLAIN),
    "two headers": Case(riff(FMT, FMT, DATA), "it says twice what its numbers are", riff(FMT, DATA)),
    "a short header": Case(wav_of(fmt()[:14]), "its chunk 'fmt ' has 14 bytes, and 16 are needed", wav_of(fmt())),
    "a short extensible header": Case(
        wav_of(extensible(1, 16, 16)[:30]),
        "its chunk 'fmt ' has 30 bytes, and its extensible form needs 40",
        wav_of(extensible(1, 16, 16)),
    ),
    "a kind of its own": Case(
        wav_of(extensible(1, 16, 16, "ff" * 14)),
        "its numbers are of a kind that only the program that wrote them knows",
        wav_of(extensible(1, 16, 16)),
    ),
    "mu-law": Case(wav_of(fmt(7, bits=8)), "it is compressed, as mu-law, which is not read", wav_of(fmt(1))),
    "ADPCM": Case(wav_of(fmt(2, bits=4)), "it is compressed, as ADPCM, which is not read", wav_of(fmt(1))),
    "an unknown kind": Case(wav_of(fmt(0x1234)), "it is compressed, as kind 0x1234, which is not read", wav_of(fmt(1))),
    "12 bits": Case(
        wav_of(fmt(bits=12, frame_bytes=2)), "it has whole numbers of 12 bits, which are not read", wav_of(fmt())
    ),
    "floats of 16 bits": Case(wav_of(fmt(3)), "it has floats of 16 bits, which are not read", wav_of(fmt())),
    "more bits than there is room for": Case(
        wav_of(extensible(1, 16, 20)),
        "it has whole numbers of 20 in 16 bits, which are not read",
        wav_of(extensible(1, 16, 12)),
    ),
    "no channels": Case(
        wav_of(fmt(channels=0)), "its header says 0 channels, and 8,000 frames a second", wav_of(fmt(channels=1))
    ),
    "no rate": Case(wav_of(fmt(rate=0)), "its header says 1 channels, and 0 frames a second", wav_of(fmt())),
    "frames of another size": Case(
        wav_of(fmt(frame_bytes=4)), "its header says 4 bytes for 1 channels of 16 bits", wav_of(fmt())
    ),
    "half a frame": Case(
        riff(FMT, chunk(b"data", SOUND[:-1])), "its numbers take 99 bytes, and are in frames of 2", riff(FMT, DATA)
    ),
    "half a frame that was streamed": Case(
        riff(FMT, b"data\xff\xff\xff\xff" + SOUND[:-1]), "its numbers take 99 bytes, and are in frames of 2", PLAIN
    ),
    "a size too small": Case(
        riff(FMT, chunk(b"data", SOUND, 20)),
        "80 bytes follow its numbers, and are no chunks of other things",
        riff(FMT, chunk(b"data", SOUND[:20])),
    ),
    "numbers twice": Case(
        riff(FMT, DATA, DATA), "108 bytes follow its numbers, and are no chunks of other things", riff(FMT, DATA)
    ),
    "a size that is too large": Case(
        riff(FMT, chunk(b"data", SOUND, 0xFFFFFFF0)),
        "it ends inside its numbers: 4,294,967,280 bytes expected, 100 came",
        riff(FMT, chunk(b"data", SOUND, 0xFFFFFFFF)),
    ),
    "a name of no letters": Case(
        riff(b"\0\1\2\3\4\0\0\0abcd", FMT, DATA),
        "at byte 12 it has no chunk, but b'\\x00\\x01\\x02\\x03\\x04\\x00\\x00\\x00'",
        riff(b"abcd\4\0\0\0abcd", FMT, DATA),
    ),
    "RF64": Case(
        riff(FMT, DATA, name=b"RF64"), "it is RF64, WAV of more than 4 GiB, which is not read", riff(FMT, DATA)
    ),
    "big-endian": Case(
        riff(FMT, DATA, name=b"RIFX"), "it is WAV in big-endian order, which is not read", riff(FMT, DATA)
    ),
    "a film": Case(
        b"RIFF\4\0\0\0AVI ", "it is no recording that is read, but something that begins with b'RIFF'", PLAIN
    ),
    "a text": Case(b"words", "it is no recording that is read, but something that begins with b'word'", PLAIN),
    "nothing": Case(b"", "it is no recording that is read, but something that begins with b''", PLAIN),
    "another rate": Case(
        wav_of(fmt(rate=44_100)),
        "it has 44,100 frames a second, and declared is `rate: 8000`",
        wav_of(fmt(rate=8000)),
        options={"rate": 8000},
    ),
    "two channels": Case(
        wav_of(fmt(channels=2)),
        "it has 2 channels, and train.recordings declares 1 of them",
        wav_of(fmt(channels=1)),
        ContentError,
    ),
    "65,535 channels": Case(
        riff(chunk(b"fmt ", fmt(channels=65_535, bits=8)), chunk(b"data", b"\0" * 65_535)),
        "it has 65535 channels, and train.recordings declares 1 of them",
        wav_of(fmt(channels=1)),
        ContentError,
    ),
    "numbers of another type": Case(
        wav_of(fmt(bits=8)),
        "it has whole numbers of 8 bits, which are uint8, and train.recordings declares int16",
        wav_of(fmt(bits=16)),
        ContentError,
    ),
    "floats": Case(
        wav_of(fmt(3, bits=32)),
        "it has floats of 32 bits, which are float32, and train.recordings declares int16",
        wav_of(fmt(1)),
        ContentError,
    ),
}
CASES = {f"audio, {name}": case for name, case in CASES.items()}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every
def test_the_hostile_one_is_refused(case: Case, tmp_path: Path) -> None:
    """In these words, with the member's name, in little memory."""
    file = put(tmp_path / "file", zipped({"a/0.wav": PLAIN, "a/1.wav": case.hostile}))

    with soon(clock=time.perf_counter), pytest.raises(DecodeError) as caught, memory_below(8):
        ragged(file, 2, **case.options)

    assert (caught.value.reason, type(caught.value)) == (f"member 'a/1.wav': {case.reason}", case.error)


@every
def test_its_harmless_twin_is_read(case: Case, tmp_path: Path) -> None:
    """So that refusing is not just being broken."""
    file = put(tmp_path / "file", zipped({"a/0.wav": PLAIN, "a/1.wav": case.twin}))

    assert len(ragged(file, 2, **case.options)) == 2


RECORDINGS = "train.recordings is recordings, whose shape is such as [null], [null, 2] or [16000]"


class TestWhatIsRefused:
    """What is no fault of one recording alone."""

    def test_a_bomb(self, tmp_path: Path) -> None:
        """Of silence that shrinks to a thousandth, where no length is declared."""
        data = zipped({"1.wav": waved(b"\0" * (64 << 20), 2)})
        limit = 32 * len(data) + (1 << 20)

        with pytest.raises(ContentError) as caught, memory_below(24):
            ragged(put(tmp_path / "file", data), 1)

        reason = f"up to here, its members come to more than {limit:,} bytes, but the file has {len(data):,}"
        assert caught.value.reason == f"member '1.wav': {reason}"

    def test_silence_of_a_declared_length(self, tmp_path: Path) -> None:
        """Is what was declared."""
        file = put(tmp_path / "file", zipped({"1.wav": waved(b"\0" * (8 << 20), 2)}))

        assert [values.shape for values in blocks(file, 1, shape=(4 << 20,))] == [(1, 4 << 20)]

    def test_recordings_of_two_rates(self, tmp_path: Path) -> None:
        """As numbers alone they could not be told apart."""
        frames = NOISE[:, 0].astype("int16")
        file = put(tmp_path / "file", zipped({"1": wav(frames, 8000), "2": wav(frames, 16_000)}))

        with pytest.raises(DecodeError) as caught:
            ragged(file, 2)

        assert caught.value.reason == "member '2': it has 16,000 frames a second, and '1' has 8,000"
        hint = "Convert them to one, or have each one's in a field: {rates: rate}, of the dtype int32."
        assert caught.value.hint == hint

    def test_recordings_on_two_scales(self, tmp_path: Path) -> None:
        """24 bits and 32 are both int32, and not one scale."""
        files = {"1": riff(chunk(b"fmt ", fmt(bits=24)), chunk(b"data", b"\0" * 24)), "2": wav(NOISE[:, 0])}

        with pytest.raises(DecodeError) as caught:
            ragged(put(tmp_path / "file", zipped(files)), 2, dtype="int32")

        assert (
            caught.value.reason == "member '2': it has whole numbers of 32 bits, and '1' has whole numbers of 24 bits"
        )

    def test_more_than_declared(self, tmp_path: Path) -> None:
        """By the name of the first that is too many."""
        file = put(tmp_path / "file", zipped({str(n): PLAIN for n in range(3)}))

        with pytest.raises(ContentError) as caught:
            ragged(file, 2)

        assert caught.value.reason == "it has more recordings than the 2 that train declares: '2' is one more"

    @pytest.mark.parametrize(
        ("declared", "reason"),
        [
            (
                {"dtype": "str"},
                f"{RECORDINGS}, and it is str",
            ),
            (
                {"shape": ()},
                f"{RECORDINGS}, and it is of the shape []",
            ),
            ({"key": "folder"}, "train.recordings is the folder, which is text, and declared as int16"),
            (
                {"key": "rate", "dtype": "float32", "shape": ()},
                "train.recordings is the rate, which is a whole number, and declared as float32 of the shape []",
            ),
            ({"per": "split"}, "train.recordings belongs to the split as a whole, and each recording is a sample"),
            (
                {"key": "rate", "dtype": "int8", "shape": ()},
                "train.recordings is declared as int8, and a recording has 8,000 frames a second",
            ),
        ],
    )
    def test_what_a_field_cannot_be(self, tmp_path: Path, declared: dict[str, Any], reason: str) -> None:
        """All that there is, is recordings, their rates and their names."""
        file = put(tmp_path / "file", zipped({"a/1": PLAIN}))
        of: Column = column(
            file, "recordings", samples=1, **{"key": "", "dtype": "int16", "shape": (None,), **declared}
        )

        with pytest.raises(ContentError) as caught:
            list(formats.of("audio").decode([split(of, members=("*/*",))]))

        assert caught.value.reason == reason

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"rate": 0}, (("rate",), "is the number of frames a second, which is 1 or more")),
            ({"label_folder": []}, (("label_folder",), "must list folders, each once")),
        ],
    )
    def test_what_is_wrong_with_options(self, options: dict[str, Any], problem: Any) -> None:
        """Found in the manifest, before anything is fetched."""
        assert list(formats.of("audio").check(options, (), ())) == [problem]


SPOKEN = {"0_a_0.wav": wav(NOISE[:30, 0].astype("int16")), "1_a_0.wav": wav(NOISE[:20, 1].astype("int16"))}
CHOICES: dict[str, Any] = {"rate": 8000, "label_split": ["_", 0]}


class TestManifests:
    """What is declared by YAML alone."""

    def made(
        self, tmp_path: Path, fields: Mapping[str, Any], options: Mapping[str, Any], *, packed: bool = True
    ) -> Any:
        """The training split of two recordings."""
        labels = {"dtype": "int64", "classes": ["zero", "one"], "values": ["0", "1"]}
        folder = "spoken/" if packed else ""
        train = {"samples": 2, "members": ["**/*.wav"], **({"file": "a.zip"} if packed else {}), "labels": "part"}
        files = {"a.zip": zipped({folder + name: data for name, data in SPOKEN.items()})} if packed else SPOKEN
        entry = {"fields": {**fields, "labels": labels}, "options": dict(options), "splits": {"train": train}}
        manifest = declare(tmp_path, files, format="audio", **entry)
        return get("mine", manifest=manifest, offline=True).train

    @pytest.mark.parametrize("packed", [True, False])
    def test_recordings_of_any_length(self, tmp_path: Path, home: Path, packed: bool) -> None:
        """A ragged field, with labels by the first part of the names."""
        train = self.made(tmp_path, {"recordings": {"dtype": "int16", "shape": [None]}}, CHOICES, packed=packed)

        assert [recording.tolist() for recording in train.recordings] == [
            NOISE[:30, 0].astype("int16").tolist(),
            NOISE[:20, 1].astype("int16").tolist(),
        ]
        assert train.labels.tolist() == [0, 1]

    @pytest.mark.parametrize(("shape", "length"), [([None], 20), ([25], 25), ([1, 25], 25), ([25, 1], 25)])
    def test_scaled_numbers(self, tmp_path: Path, home: Path, shape: list[int | None], length: int) -> None:
        """Floats from -1 to 1, of samples of any length and of one."""
        recordings = {"dtype": "float32", "shape": shape, "range": [-1, 1], "scale": 2.0**-15}
        fit = {} if None in shape else {"length": "fit"}

        train = self.made(tmp_path, {"recordings": recordings}, CHOICES | fit)

        found = train.recordings[1]
        expected = np.zeros(length, "float32")
        expected[:20] = NOISE[:20, 1].astype("int16") / np.float32(32768)
        assert found.shape == tuple(length if size is None else size for size in shape)
        np.testing.assert_array_equal(found.ravel(), expected, strict=True)

    def test_floats_are_not_scaled(self, tmp_path: Path) -> None:
        """They are floats already."""
        file = put(tmp_path / "file", zipped({"1": wav((NOISE[:, 0] / 2**31).astype("float32"))}))
        of = column(file, "recordings", samples=1, key="", dtype="float64", shape=(None,), factor=0.5)

        with pytest.raises(ContentError) as caught:
            list(formats.of("audio").decode([split(of, members=("*",))]))

        reason = "member '1': it has floats of 32 bits, and train.recordings declares whole numbers, to be scaled"
        assert (caught.value.reason, caught.value.hint) == (reason, "Leave `scale` out.")

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"length": "crop"}, "mine.options.length: "),
            ({"rate": -1}, "mine.options.rate: is the number of frames a second, which is 1 or more"),
        ],
    )
    def test_what_is_wrong_with_options(self, tmp_path: Path, options: dict[str, Any], problem: str) -> None:
        """With the line."""
        splits = {"train": {"samples": 1, "file": "a.zip", "members": ["*"]}}
        fields = {"recordings": {"dtype": "int16", "shape": [None]}}
        manifest = declare(tmp_path, {"a.zip": b"x"}, format="audio", fields=fields, splits=splits, options=options)

        with pytest.raises(ManifestError) as caught:
            load_manifest(manifest)

        assert problem in str(caught.value)


class TestAdd:
    """`add` recognizes archives and folders of recordings, their rate, their lengths, and classes by folder."""

    @pytest.mark.parametrize("pack", [zipped, lambda of: tarred(*(member(name, data) for name, data in of.items()))])
    @pytest.mark.parametrize("lengths", [(9, 9), (9, 7)])
    def test_an_archive_of_words(self, manifest: Path, tmp_path: Path, pack: Any, lengths: tuple[int, int]) -> None:
        """One length is declared, several are a ragged field."""
        names = [f"{word}/{n}.wav" for word in ("yes", "no") for n in range(4)]
        waves = {name: NOISE[n : n + lengths[n % 2], 0].astype("int16") for n, name in enumerate(names)}
        file = put(tmp_path / "words", pack({"README.md": b"x", **{name: wav(of) for name, of in waves.items()}}))

        added = add(manifest, file, "--ship", "--name", "mine")

        assert added.exit_code == 0, added.output
        assert "'README.md': no recording" in added.stderr
        entry = load_manifest(manifest).datasets["mine"]
        assert entry.fields["recordings"].shape == ((9,) if lengths == (9, 9) else (None,))
        assert entry.options == {"rate": RATE}
        train = get("mine", manifest=manifest, offline=True).train
        assert [of.tolist() for of in train.recordings] == [waves[name].tolist() for name in sorted(waves)]
        assert train.labels.tolist() == [0] * 4 + [1] * 4

    def test_the_real_folder(self, manifest: Path, realdata: Path) -> None:
        """Which part of the names is the label is asked; then the digit is."""
        folder = realdata / "formats" / "audio"
        asked = add(manifest, folder, "--ship", "--name", "mine")
        added = add(manifest, folder, "--ship", "--name", "mine", "--label", "name:0")

        assert asked.exit_code == 1
        assert "--label name:0 ('0', '2'), or --label name:1 ('george', 'jackson'); or --label none" in asked.stderr
        assert added.exit_code == 0, added.output
        data = get("mine", manifest=manifest, offline=True)
        assert [len(recording) for recording in data.train.recordings] == [2384, 3990]
        assert (data.classes, data.train.labels.tolist()) == (("0", "2"), [0, 1])

    @pytest.mark.parametrize(
        ("other", "reason"),
        [
            (wav(NOISE[:9, 0].astype("int16"), 44_100), "it has 44,100 frames a second, and 'a/1.wav' has 8,000"),
            (wav(NOISE[:9].astype("int16")), "it has 2 channels, and others have 1"),
            (wav(NOISE[:9, 0]), "it has whole numbers of 32 bits, and 'a/1.wav' has whole numbers of 16 bits"),
            (wav(NOISE[:9, 0].astype("int16"))[:-1], "it ends inside its numbers: 18 bytes expected, 17 came"),
        ],
    )
    def test_recordings_that_are_not_alike(self, manifest: Path, tmp_path: Path, other: bytes, reason: str) -> None:
        """Are refused by name, and nothing is written."""
        before = manifest.read_bytes()
        file = put(tmp_path / "words", zipped({"a/1.wav": wav(NOISE[:9, 0].astype("int16")), "b/1.wav": other}))

        added = add(manifest, file, "--ship", "--name", "mine")

        assert (added.exit_code, manifest.read_bytes()) == (1, before)
        assert f"member 'b/1.wav': {reason}" in " ".join(added.stderr.split())
