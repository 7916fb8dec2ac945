"""`show`: a person sees some samples of a data set, and a program gets them."""

from __future__ import annotations

import json
import pickle
import re
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.cli.test_cli import on_a_terminal
from tests.test_get import declare
from tinytorch_datasets import get
from tinytorch_datasets.cli import main
from tinytorch_datasets.cli.listing import show_counts

CLASSES = ["rose", "tulip", "a lily of the valley"]


def show(*arguments: str) -> Result:
    """The command, its output piped."""
    return CliRunner().invoke(main, ["show", *arguments], catch_exceptions=False)


@pytest.fixture
def pictures(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Declares pictures of a given form, labeled 0, 1, 2, 0, ..., as the manifest in use."""

    def put(images: np.ndarray, span: tuple[int, int] = (0, 255)) -> None:
        folder = tmp_path / "datasets" / "flowers"
        folder.mkdir(parents=True)
        np.savez(folder / "train.npz", images=images, labels=np.arange(len(images)) % 3)
        path = declare(
            tmp_path,
            "flowers",
            format="npz",
            fields={
                "images": {"dtype": str(images.dtype), "shape": list(images.shape[1:]), "range": list(span)},
                "labels": {"dtype": "int64", "classes": CLASSES},
            },
            splits={"train": {"samples": len(images), "file": "train.npz"}},
        )
        monkeypatch.setenv("TINYTORCH_DATASETS_MANIFEST", str(path))

    return put


class TestPictures:
    """Two pixels a character, one above the other; the label's class below."""

    def test_ink_where_there_are_no_colors(self, pictures: Any) -> None:
        """From nothing for the lowest value of the range to all of it for the highest."""
        pictures(np.array([[[0, 0, 0], [0, 0, 0], [255, 255, 0], [255, 0, 0]]], np.uint8))

        assert show("flowers").stdout == "\n@=\nrose\n"

    def test_a_last_row_alone_is_drawn_on_black(self, pictures: Any) -> None:
        """Five rows take three lines, the last with half the ink."""
        pictures(np.full((1, 5, 4), 255, np.uint8))

        assert show("flowers").stdout == "@@@@\n@@@@\n====\nrose\n"

    @pytest.mark.parametrize("shape", [(3, 2, 6), (2, 6, 3), (1, 2, 6), (2, 6, 1), (2, 6)])
    def test_channels_stand_anywhere(self, pictures: Any, shape: tuple[int, ...]) -> None:
        """Before height and width, behind them, or nowhere."""
        pictures(np.full((1, *shape), 255, np.uint8))

        assert show("flowers").stdout == "@@@@@@\nrose\n"

    def test_how_opaque_pixels_are_is_not_drawn(self, pictures: Any) -> None:
        """Of four channels, the first three are the colors."""
        pictures(np.concatenate([np.full((1, 2, 6, 3), 255, np.uint8), np.zeros((1, 2, 6, 1), np.uint8)], axis=3))

        assert show("flowers").stdout == "@@@@@@\nrose\n"

    def test_pictures_of_other_sizes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Side by side, from their upper edge, each in as much room as the widest takes."""
        folder = tmp_path / "datasets" / "flowers"
        folder.mkdir(parents=True)
        for name, shape in (("rose", (2, 6)), ("tulip", (4, 3))):
            Image.new("L", shape[::-1], 255).save(folder / f"{name}_1.png")
        path = declare(
            tmp_path,
            "flowers",
            format="images",
            fields={
                "images": {"dtype": "uint8", "shape": [None, None], "range": [0, 255]},
                "labels": {"dtype": "int64", "classes": ["rose", "tulip"]},
            },
            splits={"train": {"samples": 2, "members": ["*.png"]}},
            options={"label_split": ["_", 0]},
        )
        monkeypatch.setenv("TINYTORCH_DATASETS_MANIFEST", str(path))

        assert show("flowers").stdout == "@@@@@@  @@@\n        @@@\nrose    tulip\n"

    def test_the_declared_range_is_black_to_white(self, pictures: Any) -> None:
        """TinyDigits' goes from 0 to 1, and nobody's from 0 to 255 only because it is 8 bits wide."""
        pictures(np.full((1, 2, 4), 0.5, np.float32), (0, 1))
        assert show("flowers").stdout == "====\nrose\n"

    def test_as_many_side_by_side_as_fit(self, pictures: Any) -> None:
        """In a pipe that is 200 columns: of pictures of 48 four, and two columns between them."""
        pictures(np.full((6, 2, 48), 255, np.uint8))

        lines = show("flowers").stdout.splitlines()

        assert lines[0] == "  ".join(["@" * 48] * 4)
        assert [part.strip() for part in lines[1].split("  ") if part.strip()] == ["rose", "tulip", CLASSES[2], "rose"]
        assert lines[2:4] == ["", "  ".join(["@" * 48] * 2)]

    def test_a_large_one_is_drawn_small(self, pictures: Any) -> None:
        """64 pixels wide or high at most, each the mean of those that it stands for."""
        pictures(np.full((1, 200, 400), 255, np.uint8))

        *lines, caption = show("flowers").stdout.splitlines()

        assert {len(line) for line in lines} == {64}
        assert len(lines) == 16  # two pixels a line
        assert caption == "rose"

    def test_a_terminal_has_colors(self, pictures: Any) -> None:
        """The upper pixel in the color of the character, the lower in that behind it."""
        red, blue = [255, 0, 0], [0, 0, 255]
        pictures(np.array([[[red] * 4, [blue] * 4]], np.uint8))

        seen, code = on_a_terminal("show", "flowers", COLORTERM="truecolor")

        assert code == 0
        assert "\x1b[38;2;255;0;0;48;2;0;0;255m▀" in seen

    def test_unless_there_are_to_be_none(self, pictures: Any) -> None:
        """NO_COLOR is honored."""
        pictures(np.full((1, 2, 4), 255, np.uint8))

        seen, _ = on_a_terminal("show", "flowers", COLORTERM="truecolor", NO_COLOR="1")

        assert seen.replace("\r\n", "\n").endswith("@@@@\nrose\n")
        assert "38;2;" not in seen

    def test_sixteen_colors_are_none(self, pictures: Any) -> None:
        """Each terminal has its own; characters show more of a picture. 256 are the same everywhere."""
        pictures(np.full((1, 2, 4), 255, np.uint8))

        sixteen, _ = on_a_terminal("show", "flowers", TERM="xterm")
        many, _ = on_a_terminal("show", "flowers", TERM="xterm-256color")

        assert sixteen.replace("\r\n", "\n").endswith("@@@@\nrose\n")
        assert "\x1b[38;5;231;48;5;231m▀" in many

    @pytest.mark.parametrize(
        "count", [pytest.param(1, marks=pytest.mark.slow), 3, pytest.param(10, marks=pytest.mark.slow)]
    )
    def test_they_fit_into_columns_and_lines(self, pictures: Any, count: int) -> None:
        """All in sight, the shell's two lines too; each with its class."""
        pictures(np.full((20, 28, 28), 255, np.uint8))

        seen, _ = on_a_terminal("show", "flowers", "--count", str(count), TERM="xterm")

        lines = seen.replace("\r\n", "\n").splitlines()[-22:]
        assert len(seen.replace("\r\n", "\n").splitlines()) - seen.count("flowers: ") <= 22
        assert max(map(len, lines)) <= 100
        assert len(re.findall("rose|tulip|a lily", seen)) == count
        assert "@" * (14 if count == 10 else 28) in seen

    def test_pictures_of_several_sizes(self, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The lower ones end earlier; the captions stand in one line."""
        folder = tmp_path / "datasets" / "flowers"
        folder.mkdir(parents=True)
        samples = np.empty(2, object)
        samples[:] = [np.full((4, 2), 255, np.uint8), np.full((2, 4), 255, np.uint8)]
        with (folder / "train.pkl").open("wb") as stream:
            pickle.dump({"images": list(samples)}, stream)
        path = declare(
            tmp_path,
            "flowers",
            format="pickle",
            fields={"images": {"dtype": "uint8", "shape": [None, None], "range": [0, 255]}},
            splits={"train": {"samples": 2, "file": "train.pkl"}},
        )

        assert show("flowers", "--manifest", str(path)).stdout == "@@    @@@@\n@@\n0     1\n"


class TestRecordings:
    """How loud they are, by blocks of characters, beside their class and length."""

    def test_in_a_terminal_and_in_a_file(self, tmp_path: Path, home: Path) -> None:
        """The second half is silent; a file has the waveforms, and their captions are printed."""
        folder = tmp_path / "datasets" / "words"
        folder.mkdir(parents=True)
        for name in ("no_1", "yes_1"):
            with wave.open(str(folder / f"{name}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(np.repeat([32767, 0], 4000).astype("<i2").tobytes())
        path = declare(
            tmp_path,
            "words",
            format="audio",
            options={"rate": 8000, "label_split": ["_", 0]},
            fields={
                "recordings": {"dtype": "int16", "shape": [None]},
                "labels": {"dtype": "int64", "classes": ["no", "yes"]},
            },
            splits={"train": {"samples": 2, "members": ["*.wav"]}},
        )

        lines = show("words", "--manifest", str(path)).stdout.splitlines()
        result = show("words", "--manifest", str(path), "--class", "yes", "--output", str(tmp_path / "waves.png"))

        loud = "\u2588" * 50  # of a hundred characters
        assert lines == [
            f"             {loud}",
            f"             {loud}",
            f"no, 1.00 s   {loud}",
            f"             {loud}",
            f"             {loud}",
            f"yes, 1.00 s  {loud}",
        ]
        assert result.stdout == "1: yes, 1.00 s\n"
        assert (tmp_path / "waves.png").read_bytes()[16:24] == struct.pack(">II", 240, 96)


class TestAnythingElse:
    """Is written out, a line a field."""

    def test_texts(self) -> None:
        """As they are in the split, nothing in them taken for markup."""
        talk = get("tinytalks").val
        first = json.loads(show("tinytalks", "--split", "val", "--count", "1", "--json").stdout)[0]

        lines = show("tinytalks", "--split", "val", "--count", "1").stdout.splitlines()

        assert lines == [
            f"questions   {talk.questions[first['index']]}",
            f"answers     {talk.answers[first['index']]}",
            f"levels      {talk.levels[first['index']]}",
        ]

    def test_what_a_terminal_would_obey_is_spelled_out(self, tmp_path: Path, home: Path) -> None:
        """Texts are other people's, and may hold more than letters."""
        folder = tmp_path / "datasets" / "words"
        folder.mkdir(parents=True)
        (folder / "train.csv").write_text("word\n\x1b[31mred\n", encoding="utf-8")
        path = declare(
            tmp_path,
            "words",
            format="csv",
            options={"columns": {"words": "word"}},
            fields={"words": {"dtype": "str"}},
            splits={"train": {"samples": 1, "file": "train.csv"}},
        )

        assert show("words", "--manifest", str(path)).stdout == "words       \\x1b[31mred\n"

    def test_numbers(self, tmp_path: Path, home: Path) -> None:
        """Few in full, of many the first."""
        folder = tmp_path / "datasets" / "points"
        folder.mkdir(parents=True)
        np.savez(folder / "train.npz", few=np.array([[1.5, -2.0]]), many=np.arange(1000.0).reshape(1, 1000))
        path = declare(
            tmp_path,
            "points",
            format="npz",
            fields={"few": {"dtype": "float64", "shape": [2]}, "many": {"dtype": "float64", "shape": [1000]}},
            splits={"train": {"samples": 1, "file": "train.npz"}},
        )

        assert show("points", "--manifest", str(path)).stdout.splitlines() == [
            "few         1.5, -2",
            "many        0, 1, 2, 3, 4, 5, 6, 7, ... 1,000 in all",
        ]


class TestWhichSamples:
    """Drawn by a seed, so that two people see the same ones."""

    def test_the_same_for_the_same_seed(self) -> None:
        """And others for another."""
        first, again, other = (show("tinydigits", "--json", "--seed", seed).stdout for seed in ("0", "0", "1"))

        assert first == again != other

    def test_a_program_gets_their_values(self) -> None:
        """Those of `get`, each with its place in the split."""
        digits = get("tinydigits")

        result = json.loads(show("tinydigits", "--split", "test", "--count", "3", "--json").stdout)

        assert len({sample["index"] for sample in result}) == 3
        for sample in result:
            assert sample["images"] == digits.test.images[sample["index"]].tolist()
            assert sample["labels"] == digits.test.labels[sample["index"]]

    def test_no_more_than_there_are(self) -> None:
        """A split that is smaller is shown whole."""
        result = json.loads(show("tinytalks", "--split", "val", "--count", "1000", "--json").stdout)

        assert [sample["index"] for sample in result] == list(range(53))

    def test_a_wrong_split_is_reported_with_a_guess(self) -> None:
        """Exit 2, as for a wrong name."""
        result = show("tinydigits", "--split", "tets")

        assert (result.exit_code, result.stdout) == (2, "")
        assert (
            result.stderr
            == "error: no split of 'tinydigits' named 'tets'; did you mean 'test'?\n  There are: train, test.\n"
        )

    def test_by_their_places(self) -> None:
        """In the order given, counted from 0."""
        result = json.loads(show("tinydigits", "--index", "7", "--index", "3", "--json").stdout)

        assert [sample["index"] for sample in result] == [7, 3]
        assert result[0]["images"] == get("tinydigits").train.images[7].tolist()

    def test_a_place_that_is_not_there(self) -> None:
        """Exit 2, and how many there are."""
        result = show("tinydigits", "--index", "1000")

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "error: no sample 1,000 in split 'train', which has 1,000, counted from 0\n"

    def test_of_one_class(self) -> None:
        """Each drawn is one of it."""
        result = json.loads(show("tinydigits", "--class", "3", "--count", "20", "--json").stdout)

        assert {sample["labels"] for sample in result} == {3}
        assert len(result) == 20

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("tinydigits", "--class", "33"), "error: no class of field 'labels' named '33'"),
            (("tinytalks", "--class", "a"), "error: no field of split 'train' has classes, so there is none named 'a'"),
            (("tinytalks", "--histogram"), "error: no field of 'tinytalks' has classes to be counted"),
            (("tinydigits", "--class", "3", "--index", "1"), "--index says which samples, and --class which to draw"),
            (("tinydigits", "--histogram", "--output", "x.png"), "leave out --index, --class and --output"),
            (("tinytalks", "--output", "x.png"), "error: there are no pictures in these samples"),
            (("tinydigits", "--output", "x.gif"), "whose name ends in .png, not 'x.gif'"),
        ],
    )
    def test_what_cannot_be(self, arguments: tuple[str, ...], message: str) -> None:
        """Exit 2, and nothing drawn or written."""
        result = show(*arguments)

        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr


class TestElsewhere:
    """A file, and how many there are of each class."""

    def test_a_png_file(self, tmp_path: Path) -> None:
        """With what each picture is, in their order."""
        result = show("tinydigits", "--index", "7", "--index", "3", "--output", str(tmp_path / "grid.png"))

        labels = get("tinydigits").train.labels
        assert result.stdout == f"7: {labels[7]}\n3: {labels[3]}\n"
        assert (tmp_path / "grid.png").read_bytes()[16:24] == struct.pack(">II", 64 * 2 + 16, 64)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        """Is named, with what to do."""
        result = show("tinydigits", "--output", str(tmp_path / "none" / "grid.png"))

        assert result.exit_code == 1
        assert "Name a place that can be written to." in result.stderr

    def test_wide_characters_are_counted_by_their_columns(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Those of Chinese and Japanese take two, so that the numbers stand below each other."""
        show_counts({"train": {"\u732b": 1, "cat": 1, "<b>\x1b": 1, "x" * 99: 1}})

        lines = capsys.readouterr().out.splitlines()

        assert lines[1].startswith("\u732b" + " " * 28 + "  1  ")
        assert lines[2].startswith("cat" + " " * 27 + "  1  ")
        assert lines[3].startswith("<b>\\x1b" + " " * 23 + "  1  ")
        assert lines[4].startswith("x" * 29 + "\u2026  1  ")

    def test_a_histogram(self) -> None:
        """Of every split, or of one; numbers for programs."""
        lines = show("tinydigits", "--histogram").stdout.splitlines()

        assert lines[0] == "train: 1,000 samples"
        assert lines[1] == "0  100  " + "█" * 40
        assert lines[12:14] == ["test: 200 samples", "0   20  " + "█" * 8]
        assert json.loads(show("tinydigits", "--histogram", "--split", "test", "--json").stdout) == {
            "test": {str(digit): 20 for digit in range(10)}
        }
