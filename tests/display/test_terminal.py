"""Samples on a terminal of 24 lines by 80 columns: all in sight, whatever they are and whatever colors it has."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tests.display.test_samples import HOSTILE
from tests.display.test_sound import spoken, tone
from tinytorch_datasets import RaggedArray, Split, get
from tinytorch_datasets.storage.string_array import StringArray

COLORS = [None, "standard", "256", "truecolor"]


def drawn(split: Split, colors: Any = "256", count: int = 10) -> str:
    """What is written on a terminal, escapes and all."""
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, force_jupyter=False, width=80, height=24, color_system=colors, highlight=False
    )
    split.show(count).print_to(console)
    return stream.getvalue()


def plain(written: str) -> list[str]:
    """Its lines without escapes, each no wider than the terminal; two are left to the shell."""
    lines = Text.from_ansi(written).plain.rstrip("\n").split("\n")
    assert len(lines) <= 22
    assert max(map(cell_len, lines)) <= 80
    return lines


class TestPictures:
    """Two rows of five."""

    def test_ten_digits(self, realdata: Any, home: Any) -> None:
        """Real ones, each above its class; as blocks where there are 256 colors or more, else as ink."""
        digits = get("mnist", mirror=realdata / "mnist").train

        for colors in COLORS:
            written = drawn(digits, colors)

            lines = plain(written)
            captions = [line.split() for line in lines if line.replace(" ", "").isdecimal()]
            assert captions == [[*"50419"], [*"21314"]]
            has_colors = colors in ("256", "truecolor")
            assert ("\u2580" in written, "\x1b[38;" in written) == (has_colors, has_colors)
            assert ("*" in written) == (not has_colors)
            assert len(written) < 15_000  # a run of one color is written at once

    def test_of_several_sizes(self) -> None:
        """A panorama, a column, and one as large as a photograph."""
        shapes = [(20, 600, 3), (600, 20, 3), (480, 640, 3), (1, 1, 3)] * 2
        images = RaggedArray.of([np.full(shape, 255) for shape in shapes], dtype=np.uint8)

        plain(drawn(Split("train", {"images": images}, declared={"images": {"range": [0, 255]}})))


class TestSounds:
    """A line or two each."""

    @pytest.mark.parametrize("colors", COLORS)
    def test_ten_recordings(self, colors: str | None) -> None:
        """Each beside its class and its length."""
        lines = plain(drawn(spoken(*[tone(4000 + number) for number in range(10)]), colors))

        assert sum(line.startswith(("no, 0.50 s", "yes, 0.50 s")) for line in lines) == 10


class TestTexts:
    """A line a field while there is room, else a line a sample."""

    def test_few_in_full(self) -> None:
        """As in a pipe."""
        lines = plain(drawn(get("tinytalks").train, count=2))

        assert lines[:3] == [
            "questions   Hello!",
            "answers     Hello, and welcome! What would you like to talk about?",
            "levels      1",
        ]

    def test_ten_as_a_table(self) -> None:
        """A narrow column leaves its room to the others; each sample begins with its position."""
        head, first, *others = plain(drawn(get("tinytalks").train))

        assert head.split() == ["questions", "answers", "levels"]
        assert first.split("  ")[:2] == ["0", "Hello!"]
        assert len(others) == 9
        assert others[-1].startswith("9  Where do you live?")

    def test_one_long_text(self) -> None:
        """As much of it as there is room for."""
        (line,) = Text.from_ansi(
            drawn(Split("train", {"texts": StringArray.of(["word " * 100_000])}))
        ).plain.splitlines()

        assert line.startswith("texts       word word")
        assert 21 * 80 <= len(line) <= 22 * 80

    @pytest.mark.parametrize(
        "hostile", [HOSTILE, "\u202eright to left", "\x1b]0;title\x07", "a\nb\rc\td", "\u732b" * 200]
    )
    def test_what_a_terminal_would_obey(self, hostile: str) -> None:
        """Is written out, in texts and in names of classes, in tables and below pictures."""
        declared = {"labels": {"classes": [hostile]}}
        fields: dict[str, Any] = {"texts": StringArray.of([hostile] * 10), "labels": np.zeros(10, np.int64)}
        pictures: dict[str, Any] = {"images": np.zeros((10, 8, 8), np.uint8), "labels": np.zeros(10, np.int64)}

        for split in (
            Split("train", fields, declared=declared),
            Split("train", pictures, declared=declared),
        ):
            lines = plain(drawn(split, None))
            assert all(line.isprintable() for line in lines)
