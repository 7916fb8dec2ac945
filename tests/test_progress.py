"""What a person sees while a file comes."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.test_architecture import loaded_by
from tinytorch_datasets.progress import Bars, Lines, NotebookBars, readable, usual


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


class TestUsual:
    """Bars on a terminal, plain lines elsewhere, and nothing on stdout."""

    def test_the_choice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By what the stream says of itself, and in CI, whose logs keep every movement of a bar, never a bar."""
        assert isinstance(usual(Terminal()), Bars)
        assert isinstance(usual(io.StringIO()), Lines)
        monkeypatch.setenv("CI", "true")
        assert isinstance(usual(Terminal()), Lines)

    def test_ipython_is_never_imported_for_it(self) -> None:
        """A notebook has imported it long before; where there is none, nobody looks for one."""
        assert "IPython" not in loaded_by("from tinytorch_datasets.progress import usual; usual()")

    def test_stderr_unless_asked_otherwise(self, capsys: pytest.CaptureFixture[str]) -> None:
        """stdout belongs to the answer."""
        usual()("a.gz", 0, 2000)

        assert capsys.readouterr() == ("", "a.gz: fetching 2.0 kB\n")


class TestLines:
    """A plain line when a file begins to come, and one for each tenth of a large one."""

    @pytest.mark.parametrize(
        ("here", "line"),
        [
            (0, "a.gz: fetching 170 MB\n"),
            (50_000_000, "a.gz: fetching the rest of 170 MB, 50.0 MB are here\n"),
            (170_498_071, "a.gz: 170 MB, found on this computer\n"),
        ],
    )
    def test_the_first_line(self, here: int, line: str) -> None:
        """It tells what is to come, however often that is reported."""
        stream = io.StringIO()
        with Lines(stream) as lines:
            lines("a.gz", here, 170_498_071)
            lines("a.gz", here, 170_498_071)

        assert stream.getvalue() == line

    def test_a_line_each_tenth(self) -> None:
        """None twice where a mirror makes us start over, and one where several come at once."""
        stream = io.StringIO()
        with Lines(stream) as lines:
            for done in (0, 100_000, 200_001, 450_000, 0, 999_999, 1_000_000, 1_999_999, 2_000_000):
                lines("a.gz", done, 2_000_000)

        assert stream.getvalue().splitlines() == [
            "a.gz: fetching 2.0 MB",
            "a.gz: 10 % of 2.0 MB",
            "a.gz: 20 % of 2.0 MB",
            "a.gz: 40 % of 2.0 MB",
            "a.gz: 50 % of 2.0 MB",
            "a.gz: 90 % of 2.0 MB",
            "a.gz: 100 % of 2.0 MB",
        ]

    def test_small_files_have_one_line(self) -> None:
        """Below a megabyte, and where nobody knows how large it is."""
        stream = io.StringIO()
        with Lines(stream) as lines:
            for done in range(0, 1_000_000, 99_999):
                lines("a.gz", done, 999_990)
                lines("b.gz", done, -1)

        assert stream.getvalue() == "a.gz: fetching 1.0 MB\nb.gz: fetching\n"

    def test_a_line_for_each_file(self) -> None:
        """In the order in which they begin."""
        stream = io.StringIO()
        with Lines(stream) as lines:
            for name in ("b", "a", "b", "a"):
                lines(name, 0, 10)

        assert stream.getvalue() == "b: fetching 10 B\na: fetching 10 B\n"


class TestBars:
    """A bar a file, with what is done, the speed and the time left."""

    @pytest.fixture(autouse=True)
    def _eighty_columns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "xterm")

    def last(self, *counts: int, file: str = "a.gz", in_all: int = 2_000_000) -> str:
        """The bar as it stands in the end, without its colors."""
        stream = Terminal()
        with Bars(stream) as bars:
            for done in counts:
                bars(file, done, in_all)
        return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).strip())[-1]

    def test_a_whole_file(self) -> None:
        """It ends full."""
        assert re.fullmatch(r"a\.gz ━+ 100% 2\.0/2\.0 MB [\d.]+ [kMGT]?B/s +00:00", self.last(0, 500_000, 2_000_000))

    def test_resumed_bytes_are_done_but_not_fetched(self) -> None:
        """A bar that begins at a half says so, and knows no speed yet."""
        assert re.fullmatch(r"a\.gz ━+╸━+ +50% 1\.0/2\.0 MB \? +-+:-+", self.last(1_000_000))

    def test_a_fresh_start(self) -> None:
        """A mirror that makes us start over moves the bar back."""
        assert " 25% 0.5/2.0 MB " in self.last(1_000_000, 1_500_000, 0, 500_000)

    def test_a_long_name_is_cut_and_not_the_figures(self) -> None:
        """Nor is anything in it markup, for it is a stranger's."""
        bar = self.last(170_498_071, file="cifar-10-[red]python-version-of-2009.tar.gz", in_all=170_498_071)

        assert bar.startswith("cifar-10-[red]python-version… ━")
        assert " 100% 170.5/170.5 MB " in bar
        assert len(bar) <= 80

    def test_a_line_stands_above_the_bar(self) -> None:
        """Nothing in it is markup; the bar goes on below it."""
        stream = Terminal()
        with Bars(stream) as bars:
            bars("a.gz", 0, 2)
            bars.write_line("a.gz: [red]http://slow/ is slow")
            bars("a.gz", 2, 2)

        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
        assert plain.index("a.gz: [red]http://slow/ is slow\n") < plain.rindex("a.gz ━")

    def test_many_files(self) -> None:
        """A dozen bars at once; in the end a line says how many others came."""
        stream = Terminal()
        with Bars(stream) as bars:
            for number in range(30):
                bars(f"{number}.png", 0, 1000)
                bars(f"{number}.png", 1000, 1000)

        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
        assert "18 more files are here, 18.0 kB" in plain
        assert re.findall(r"\d+\.png", plain)[-12:] == [f"{number}.png" for number in range(18, 30)]

    def test_nothing_reported_draws_nothing(self) -> None:
        """Not even an empty line."""
        stream = Terminal()
        with Bars(stream):
            pass

        assert stream.getvalue() == ""

    def test_the_cursor_comes_back_after_an_error(self) -> None:
        """Ctrl-C, too, leaves the terminal as it was."""
        stream = Terminal()
        bars = Bars(stream)
        bars("a.gz", 0, 2)
        bars.__exit__(KeyboardInterrupt)

        assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


class TestNotebookBars:
    """What a notebook is given to show; that it shows and updates it is tested with a kernel."""

    def last(self, *calls: tuple[str, int, int]) -> dict[str, str]:
        """The page in the end, as HTML and as text."""
        pages: list[dict[str, str]] = []

        class Handle:
            def update(self, page: dict[str, str], *, raw: bool) -> None:
                pages.append(page)

        def display(page: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
            pages.append(page)
            return Handle()

        with NotebookBars(display) as bars:
            for call in calls:
                bars(*call)
        return pages[-1]

    def test_many_files(self) -> None:
        """Those that are not whole, and the last that are; a page stays small, whatever comes."""
        calls = [(f"{number}.png", done, 1000) for number in range(1000) for done in (0, 1000)]

        page = self.last(("late.png", 10, 1000), *calls)

        assert page["text/plain"].splitlines()[0] == "989 more files are here, 989 kB"
        assert page["text/plain"].count("png: ") == 12
        assert page["text/plain"].splitlines()[1].startswith("late.png: 10 B of 1.0 kB")
        assert len(page["text/html"]) < 3000

    def test_names_are_text(self) -> None:
        """Other people's, in HTML and in a terminal."""
        page = self.last(("<script>\x1b[31m", 5, -1))

        assert "&lt;script&gt;\\x1b[31m" in page["text/html"]
        assert page["text/plain"] == "<script>\\x1b[31m: 5 B"


class TestSize:
    """Sizes are given in the units of disks and networks: a kB is 1000 bytes."""

    @pytest.mark.parametrize(
        ("count", "size"),
        [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_949, "99.9 kB"),
            (99_950, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (10**16, "10000 TB"),
        ],
    )
    def test_readable(self, count: int, size: str) -> None:
        """With a decimal below a hundred, and never 1000 of anything that has a larger unit."""
        assert readable(count) == size


def test_the_example_with_tqdm_that_the_docs_have(capsys: pytest.CaptureFixture[str]) -> None:
    """Run as it stands there, but for the download: each bar ends full, also after a fresh start."""
    pytest.importorskip("tqdm", reason="the example needs tqdm; the package does not")
    (example,) = re.findall(
        r"```python\n(from tqdm.*?)```", (ROOT / "docs" / "how-to" / "notebook.md").read_text("utf-8"), re.DOTALL
    )
    names: dict[str, Any] = {}

    exec(example.partition("\nmnist = ")[0], names)
    for file in ("a", "b"):
        for done in (0, 1_000_000, 500_000, 2_000_000):
            names["progress"](file, done, 2_000_000)

    assert [(bar.n, bar.total) for bar in names["bars"].values()] == [(2_000_000, 2_000_000)] * 2
    assert "2.00M/2.00M" in capsys.readouterr().err
