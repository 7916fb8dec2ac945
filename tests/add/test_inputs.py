"""What a person sees while `add` and `update --fetch` download, and after Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Served
from tests.helpers.add_world import add, put, update
from tests.helpers.faulty_server import FaultyServer
from tests.helpers.faulty_server import serve as serving
from tests.helpers.format_writers import npz
from tests.test_progress import Terminal
from tinytorch_datasets.progress import Bars, readable

DATA = npz(x_train=np.arange(60).reshape(30, 2) / 2, y_train=np.arange(30) % 3)


def test_a_line_a_file_that_comes(manifest: Path, tmp_path: Path, serve: Callable[[Path], Served]) -> None:
    """Where nobody watches, as of `get`; on stderr, so that stdout is the answer."""
    put(tmp_path / "made", mine_npz=DATA)
    facts = ("--title", "T", "--license", "CC0-1.0", "--source", "https://example.org")
    told = add(manifest, serve(tmp_path / "made") + "mine.npz", *facts)
    again = update(manifest, "mine", "--fetch")

    assert (told.exit_code, told.stderr) == (0, f"mine.npz: fetching {readable(len(DATA))}\n")
    assert (again.stdout, again.stderr) == ("mine: nothing changed\n", f"mine.npz: fetching {readable(len(DATA))}\n")


def test_a_file_whose_size_its_host_does_not_tell(manifest: Path) -> None:
    """The line has none, then."""
    with FaultyServer() as server:
        told = add(manifest, server.at("/mine.npz", serving(DATA, chunked=True)))

    assert (told.exit_code, told.stderr.splitlines()[0]) == (0, "mine.npz: fetching")


def test_a_bar_of_unknown_length() -> None:
    """It has what came, and its size as soon as all is here."""
    screen = Terminal()
    with Bars(screen) as bars:
        for done, in_all in ((0, -1), (1000, -1), (2000, 2000)):
            bars("mine.npz", done, in_all)

    assert "100%" in screen.getvalue()
    assert "2.0/2.0 kB" in screen.getvalue()


@pytest.mark.parametrize("command", ["add", "update"])
def test_an_interrupt_says_that_nothing_is_kept(manifest: Path, tmp_path: Path, command: str) -> None:
    """What came is in no manifest, so nothing could tell whether the rest belongs to it."""
    with FaultyServer() as server:
        url = server.at("/mine.npz", serving(DATA), serving(DATA, cut_after=100, end="hang"))
        if command == "update":
            add(manifest, url)
        else:
            server.at("/mine.npz", serving(DATA, cut_after=100, end="hang"))
        before = manifest.read_bytes()
        arguments = [url] if command == "add" else ["mine", "--fetch"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tinytorch_datasets", command, *arguments, "--manifest", str(manifest)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    assert (process.returncode, first, err) == (
        130,
        f"mine.npz: fetching {readable(len(DATA))}\n",
        "\ninterrupted; nothing was written; the same command starts from the beginning\n",
    )
    assert manifest.read_bytes() == before
