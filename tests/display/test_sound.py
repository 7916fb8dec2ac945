"""Recordings in notebooks and terminals: waveforms that fit the numbers, players that other readers of WAV read."""

from __future__ import annotations

import base64
import io
import pickle
import re
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.display.test_pictures import decoded
from tests.display.test_samples import HOSTILE, checked
from tests.test_get import declare
from tinytorch_datasets import RaggedArray, Split, get
from tinytorch_datasets.display import sound


def tone(frames: int, loudness: float = 0.5, rate: int = 8000) -> np.ndarray:
    """A tone of 440 Hz as whole numbers of 16 bits."""
    return (np.sin(np.arange(frames) * 2 * np.pi * 440 / rate) * 32767 * loudness).astype(np.int16)


def spoken(*recordings: np.ndarray, rate: int | None = 8000, **declared: object) -> Split:
    """A split of recordings with labels, which are declared to be sound if there is a rate."""
    of_field = {**declared, **({"rate": rate} if rate is not None else {})}
    values = RaggedArray.of(recordings)
    values.rate = rate
    labels = np.arange(len(recordings)) % 2
    return Split(
        "train",
        {"labels": labels, "recordings": values},
        declared={"recordings": of_field, "labels": {"classes": ["no", "yes"]}},
    )


def players(shown: object) -> list[tuple[int, int, int, np.ndarray]]:
    """Of each player its channels, bits, rate and numbers, (frames, channels), by the standard library's reader."""
    heard = []
    for encoded in re.findall(r'src="data:audio/wav;base64,([^"]+)"', shown._repr_html_()):  # type: ignore[attr-defined]
        with wave.open(io.BytesIO(base64.b64decode(encoded))) as file:
            channels, wide, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            numbers = np.frombuffer(file.readframes(file.getnframes()), "<i2" if wide == 2 else np.uint8)
            heard.append((channels, 8 * wide, rate, numbers.reshape(-1, channels)))
    return heard


def pictures(shown: object) -> list[np.ndarray]:
    """Where each waveform of the page is drawn: (height, width) of truths."""
    encoded = re.findall(r'src="data:image/png;base64,([^"]+)"', shown._repr_html_())  # type: ignore[attr-defined]
    return [np.asarray(decoded(base64.b64decode(one)).any(axis=2)) for one in encoded]


class TestWhatIsDeclared:
    """Numbers are sound where a rate is declared for them, and nowhere else."""

    @pytest.mark.parametrize("shape", [[None], [400]])
    def test_the_rate_of_the_formats_options(self, tmp_path: Path, home: Path, shape: list[int | None]) -> None:
        """Of the recordings, not of their labels; known again when it is opened from the cache."""
        folder = tmp_path / "datasets" / "words"
        folder.mkdir(parents=True)
        for name, loudness in (("no_1", 0.5), ("yes_1", 0.25)):
            with wave.open(str(folder / f"{name}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(tone(400, loudness).tobytes())
        path = declare(
            tmp_path,
            "words",
            format="audio",
            options={"rate": 8000, "label_split": ["_", 0]},
            fields={
                "recordings": {"dtype": "int16", "shape": shape},
                "labels": {"dtype": "int64", "classes": ["no", "yes"]},
            },
            splits={"train": {"samples": 2, "members": ["*.wav"]}},
        )

        for split in (get("words", manifest=path).train, get("words", manifest=path).train):
            heard = players(split.show())
            assert [(channels, bits, rate) for channels, bits, rate, _ in heard] == [(1, 16, 8000)] * 2
            assert (heard[1][3][:, 0] == tone(400, 0.25)).all()
            assert split.show().captions == ["no, 0.05 s", "yes, 0.05 s"]
            checked(split)
            checked(split[:1])

    def test_an_array_knows_its_own(self) -> None:
        """Slices, gathered samples, converted and pickled ones, too."""
        values = spoken(tone(400), tone(500)).recordings

        for part in (values[:1], values[[1, 0]], values.converted(np.float32), pickle.loads(pickle.dumps(values))):
            assert part.rate == 8000
            assert len(players(part)) == 1
            checked(part)
        assert RaggedArray.of([[1, 2]]).rate is None

    def test_other_numbers_are_no_sound(self) -> None:
        """However long they are."""
        page = checked(spoken(tone(4000), rate=None))

        assert "audio" not in page.tags
        assert "4,000 in all" in page.words


class TestPages:
    """A waveform of each, and a player where it fits."""

    def test_a_short_recording_is_heard_whole(self) -> None:
        """As many and the same numbers, in a page below 20 kB."""
        split = spoken(*[tone(1000 + number) for number in range(12)])

        page, (heard,) = checked(split), players(split)

        assert page.tags.count("img") == 10
        assert heard[:3] == (1, 16, 8000)
        assert (heard[3][:, 0] == tone(1000)).all()
        assert "sample 0" in page.words
        assert "no6yes6" in page.words.replace(" ", "")

    def test_a_longer_one_is_made_smaller_and_the_page_says_so(self) -> None:
        """All of it, as means of 8 bits."""
        split = spoken(*[tone(16_000, rate=16_000)] * 10, rate=16_000)

        page, ((channels, bits, rate, numbers),) = checked(split), players(split)

        assert (channels, bits) == (1, 8)
        assert len(numbers) == pytest.approx(rate, rel=0.01)  # one second
        assert f"one channel of 8 bits, {rate:,} frames a second, so that this page stays small" in page.words
        strength = np.abs(np.fft.rfft(numbers[:, 0] - 128.0))
        assert strength.argmax() == pytest.approx(440, abs=3)

    def test_what_is_too_long_has_none(self) -> None:
        """And the page says where one is."""
        split = spoken(tone(80_000))

        assert players(split) == []
        assert (
            "sample 0 (10 s) is too much to be heard on this page; show(1) has a player of it" in checked(split).words
        )
        assert (players(split.show(1))[0][3][:, 0] == tone(80_000)).all()

    def test_show_has_a_player_each(self) -> None:
        """Of the beginning, where all of them are more than a megabyte."""
        split = spoken(*[tone(400_000)] * 4)

        heard = players(split.show())

        assert len(heard) == 4
        assert all(len(numbers) == (1 << 18) // 2 - 22 for *_, numbers in heard)
        page = checked(split.show(), most=1_500_000)
        assert page.words.count("the first 16 s of it") == 4

    def test_a_waveform_is_as_high_as_the_numbers(self) -> None:
        """The loudest of all takes the whole height, half as loud a half, silence a line."""
        loud, half, silence = pictures(spoken(tone(8000, 1.0), tone(8000, 0.5), np.zeros(8000, np.int16)))

        assert loud.any(axis=1).sum() == sound.HEIGHT
        assert half.any(axis=1).sum() == pytest.approx(sound.HEIGHT / 2, abs=1)
        assert silence.any(axis=1).sum() == 1
        assert silence.any(axis=0).all()

    def test_it_stands_where_the_sound_is(self) -> None:
        """Nothing but a line in the half that is silent."""
        (drawn,) = pictures(spoken(np.concatenate([np.zeros(4000, np.int16), tone(4000)])))

        half = drawn.shape[1] // 2
        assert drawn[:, : half - 1].any(axis=1).sum() == 1
        assert drawn[:, half + 1 :].any(axis=1).sum() >= sound.HEIGHT - 1

    @pytest.mark.parametrize(
        "recording",
        [
            np.array([], np.int16),
            np.array([[0, 1], [2, 3]], np.int16),
            np.array([[1, 2, 3, 4]], np.float32),
            np.array([np.nan, np.inf, -np.inf, 0.5], np.float32),
            np.array([0, 128, 255], np.uint8),
            np.array([-(2**31), 2**31 - 1], np.int32),
            np.full(100, 2**23 - 1, np.int32),
            np.zeros((9, 9), np.float64),
        ],
    )
    def test_any_numbers(self, recording: np.ndarray) -> None:
        """Of several channels, of none, of any width, and what is no number."""
        split = spoken(recording)

        checked(split)
        checked(split.show())
        assert len(players(split.show())) == (recording.size > 0 and recording.shape[-1] != 9)
        assert repr(split.show())

    def test_two_channels_stay_two(self) -> None:
        """And 8 bits 8."""
        stereo = np.stack([tone(100), -tone(100)], axis=1)
        small = np.array([0, 128, 255], np.uint8)

        assert (players(spoken(stereo).show())[0][3] == stereo).all()
        assert "0.01 s, 2 channels" in checked(spoken(stereo)).words
        ((_, bits, _, numbers),) = players(spoken(small).show())
        assert bits == 8
        assert (numbers[:, 0] == small).all()

    def test_channels_stand_anywhere(self) -> None:
        """Before the frames, too, as `axes` may put them."""
        stereo = np.stack([tone(100), -tone(100)])

        assert (players(spoken(stereo).show())[0][3] == stereo.T).all()
        assert spoken(stereo).show().captions == ["no, 0.01 s, 2 channels"]

    def test_floats_are_whole_numbers_of_16_bits(self) -> None:
        """1 is the loudest; beyond it, the loudest of them."""
        for recording in (np.array([0, 0.5, -1], np.float32), np.array([0, 100, -200], np.float32)):
            assert players(spoken(recording).show())[0][3][:, 0].tolist() == [0, 16384, -32767]

    @pytest.mark.parametrize("rate", [1, 2999, 10**12])
    def test_a_rate_that_nothing_plays(self, rate: int) -> None:
        """Has a waveform alone."""
        split = spoken(tone(100), rate=rate)

        assert players(split.show()) == []
        assert "img" in checked(split).tags

    def test_hostile_names_are_text(self) -> None:
        """As beside pictures."""
        split = spoken(tone(100))
        split._declared["labels"] = {"classes": [HOSTILE, "b"]}

        assert "<script>" in checked(split).words


class TestElsewhere:
    """In a terminal, and in a file."""

    def test_blocks_of_characters(self) -> None:
        """As high as it is loud, beside its class and its length."""
        lines = repr(spoken(tone(8000, 1.0), tone(8000, 0.5)).show()).splitlines()

        assert len(lines) == 6
        assert [line.partition("  ")[0] for line in (lines[2], lines[5])] == ["no, 1.00 s", "yes, 1.00 s"]
        assert "\u2588" * 90 in lines[0]
        assert "\u2588" not in lines[3]
        assert {*lines[4].strip()} == {"\u2584"}  # half of three lines: one, and a half of the next

    def test_a_file(self, tmp_path: Path) -> None:
        """Waveforms, one below the other."""
        spoken(tone(8000), tone(100)).show().save(tmp_path / "waves.png")

        assert decoded((tmp_path / "waves.png").read_bytes()).shape == (2 * 96 + 2, sound.WIDTH, 4)
