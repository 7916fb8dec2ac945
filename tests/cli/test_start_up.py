"""What commands import and read: nothing that they can answer without, and the same answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.cli.test_cli import on_a_terminal
from tests.conftest import plain_yaml
from tests.helpers.cache_entries import plain_entry, write_entry
from tests.manifest.test_include import LATER, write
from tinytorch_datasets import settings
from tinytorch_datasets.cli import main


def run(*command: object) -> Any:
    """A command, and what it printed."""
    return CliRunner().invoke(main, [str(word) for word in command])


@pytest.fixture
def points(tmp_path: Path) -> Path:
    """A manifest whose data set was decoded before."""
    path = write(tmp_path / "datasets.yaml", "points")
    assert run("get", "points", "--manifest", path).exit_code == 0
    return path


def arrays(points: Path) -> Path:
    """The folder of its decoded arrays."""
    (folder,) = (points.parent / settings.DOWNLOAD_TO / ".cache" / "arrays").iterdir()
    return folder


class TestList:
    """A table on a terminal is drawn by no library that takes longer than the list itself."""

    def test_it_imports_neither_rich_nor_numpy(self) -> None:
        """By the modules of a fresh process, whose pipe is drawn on like a terminal."""
        code = "import sys; from tinytorch_datasets.cli import main; main(['list'], '', standalone_mode=False); "
        code += "print(*sys.modules, file=sys.stderr)"
        env = {**os.environ, "FORCE_COLOR": "1"}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)

        assert not {"rich", "numpy"} & set(done.stderr.split())
        assert done.stdout.startswith("\x1b[1mname\x1b[0m")

    def test_splits_are_folded_and_no_word_is_shortened(self, tmp_path: Path) -> None:
        """However narrow the terminal is: what was cut could not be typed."""
        path = write(tmp_path / "datasets.yaml", "ours")
        splits = ["train", "a_very_long_name_of_a_split", "test"]
        declared = plain_yaml(path)
        declared["datasets"]["ours"]["splits"] = {name: {"samples": 2, "file": f"{name}.csv"} for name in splits}
        facts = declared["datasets"]["ours"]["files"]["points.csv"]
        declared["datasets"]["ours"]["files"] = {f"{name}.csv": facts for name in splits}
        path.write_text(json.dumps(declared))
        seen, code = on_a_terminal("list", "--manifest", str(path), COLUMNS="60", NO_COLOR="1")

        assert code == 0
        assert seen.replace("\r\n", "\n") == (
            "name  status   format  sample   splits         size  on disk\n"
            "ours  shipped  csv     float64  train 2, a_ve  48 B  none\n"
            "                                ry_long_name_\n"
            "                                of_a_split 2,\n"
            "                                test 2\n"
        )

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
    def test_without_colors_a_pipe_gets_what_a_terminal_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
    ) -> None:
        """No column is wider than what is in it; and of the two variables, the one that says no has the last word."""
        path = write(tmp_path / "datasets.yaml", "ours")
        drawn, _ = on_a_terminal("list", "--manifest", str(path), COLUMNS="100", NO_COLOR="1")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        piped = run("list", "--manifest", path).stdout

        assert drawn.replace("\r\n", "\n") == piped
        assert piped.splitlines()[0] == "name  status   format  sample   splits   size  on disk"

    def test_in_color_a_pipe_is_as_wide_as_it_takes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """But for what would be wider than any screen."""
        path = write(tmp_path / "datasets.yaml", "ours")
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.delenv("NO_COLOR", raising=False)
        plain = re.sub("\x1b[^m]*m", "", run("list", "--manifest", path).stdout)

        assert plain.splitlines()[0] == "name  status   format  sample   splits   size  on disk"


class TestGet:
    """What was decoded and has not changed since is opened by no command that only says so."""

    def test_a_changed_file_is_noticed(self, points: Path) -> None:
        """As by the function."""
        (points.parent / "datasets" / "points" / "points.csv").write_bytes(LATER)
        done = run("get", "points", "--manifest", points)

        assert done.exit_code == 1
        assert "points.csv" in done.stderr

    def test_a_missing_array_is_decoded_again(self, points: Path) -> None:
        """And is there afterwards."""
        (array,) = arrays(points).glob("train.x*.npy")
        array.unlink()
        done = run("get", "points", "--manifest", points)

        assert done.stdout == f"points: train 2; {points.parent / 'datasets' / 'points'}\n"
        assert array.is_file()

    @pytest.mark.parametrize(
        ("at", "wrong"), [(2, [10**9]), (2, [-1]), (1, "<f9"), (1, "<u0"), (1, "<U1"), (3, -1), (3, 10**9)]
    )
    def test_a_cache_entry_that_does_not_fit_its_arrays(self, points: Path, at: int, wrong: Any) -> None:
        """Whose signatures fit, and whose values would be past the end of the file, or of no dtype: it is made anew."""
        (path,) = (points.parent / settings.DOWNLOAD_TO / ".cache" / "entries").iterdir()
        known = plain_entry(path)
        part = [*known[4][0][1]["x"][0]]
        known[4][0][1]["x"][0][at] = wrong
        write_entry(path, known)
        done = run("get", "points", "--manifest", points)

        assert done.stdout == f"points: train 2; {points.parent / 'datasets' / 'points'}\n"
        assert plain_entry(path)[4][0][1]["x"][0] == part

    def test_a_cache_entry_without_a_field_s_arrays(self, points: Path) -> None:
        """Of which opening would find nothing to open."""
        (path,) = (points.parent / settings.DOWNLOAD_TO / ".cache" / "entries").iterdir()
        known = plain_entry(path)
        known[4][0][1]["x"] = []
        write_entry(path, known)
        run("get", "points", "--manifest", points)

        assert len(plain_entry(path)[4][0][1]["x"]) == 1

    def test_stand_in_data_is_said_to_be_that(self, points: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Though the real one is decoded."""
        monkeypatch.setenv(settings.STANDIN, "1")

        assert run("get", "points", "--manifest", points).stdout == "points: train 2; stand-in data\n"

    def test_what_has_no_arrays_yet_is_decoded(self, points: Path, tmp_path: Path) -> None:
        """In another home, for one."""
        done = run("get", "points", "--manifest", points, "--home", tmp_path / "home")

        assert done.exit_code == 0
        assert [*(tmp_path / "home" / ".cache" / "arrays").iterdir()]
