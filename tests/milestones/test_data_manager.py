"""The class that milestone scripts get their data from. None of this needs PyTorch."""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.faulty_server import FaultyServer, serve
from tests.test_get import facts
from tinytorch_datasets import settings
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.progress import readable


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class, imported as the scripts import it: from the milestones folder."""
    monkeypatch.syspath_prepend(str(ROOT / "milestones"))
    return importlib.import_module("data_manager").DatasetManager


def put(folder: Path, name: str, place: str, shape: tuple[int, ...]) -> dict[str, object]:
    """Lay an .npz of a few images in a mirror folder; its entry, under the name of a real data set."""
    (folder / place).mkdir(parents=True)
    path = folder / place / "few.npz"
    images = np.arange(9 * np.prod(shape), dtype=np.uint64).reshape(9, *shape).astype(np.uint8)
    images[0].flat[:2] = 0, 255
    np.savez(path, a=images[:6], b=np.arange(6) % 10, c=images[6:], d=np.arange(3))
    return {
        "title": name,
        "status": "remote",
        "format": "npz",
        "license": "CC0-1.0",
        "source": "made here",
        "folder": place,
        "fields": {
            "images": {"dtype": "uint8", "shape": list(shape), "range": [0, 255]},
            "labels": {"dtype": "int64", "classes": list("abcdefghij")},
        },
        "splits": {
            "train": {"samples": 6, "file": path.name, "images": "a", "labels": "b"},
            "test": {"samples": 3, "file": path.name, "images": "c", "labels": "d"},
        },
        "mirrors": ["https://example.invalid/"],
        "files": {path.name: facts(path)},
    }


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest and a mirror with nine images of MNIST's shape, and nine of CIFAR-10's."""
    mirror = tmp_path / "mirror"
    sets = {
        "mnist": put(mirror, "mnist", "mnist", (28, 28)),
        "cifar10": put(mirror, "cifar10", "cifar-10", (3, 32, 32)),
    }
    (tmp_path / "datasets.yaml").write_text(yaml.safe_dump({"version": 1, "datasets": sets}, sort_keys=False))
    monkeypatch.setenv(settings.MANIFEST, str(tmp_path / "datasets.yaml"))
    monkeypatch.setenv(settings.MIRROR, str(mirror))


class TestTheArrays:
    """Images as float32 from 0 to 1, labels as int64, in the nested pairs that scripts unpack."""

    @pytest.mark.parametrize(("method", "shape"), [("get_mnist", (28, 28)), ("get_cifar10", (3, 32, 32))])
    def test_shapes_types_and_range(self, few: None, home: Path, manager: Any, method: str, shape: tuple[int]) -> None:
        """As TinyTorch's own class gives them, and as the manifest declares them: these files are .npz."""
        (x_train, y_train), (x_test, y_test) = getattr(manager(), method)()

        assert (x_train.shape, x_test.shape) == ((6, *shape), (3, *shape))
        assert (y_train.tolist(), y_test.tolist()) == ([0, 1, 2, 3, 4, 5], [0, 1, 2])
        assert {x_train.dtype, x_test.dtype} == {np.dtype("float32")}
        assert {y_train.dtype, y_test.dtype} == {np.dtype("int64")}
        assert (x_train.min(), x_train.max()) == (0.0, 1.0)

    def test_real_mnist(self, realdata: Path, home: Path, manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """60,000 and 10,000 digits; the mean of the training images is the one that everybody knows."""
        monkeypatch.setenv(settings.MIRROR, str(realdata))
        (x_train, y_train), (x_test, y_test) = manager().get_mnist()

        assert (x_train.shape, y_train.shape) == ((60_000, 28, 28), (60_000,))
        assert (x_test.shape, y_test.shape) == ((10_000, 28, 28), (10_000,))
        assert round(float(x_train.mean()), 4) == 0.1307

    def test_tinydigits_needs_no_network(self, home: Path, manager: Any, no_network: None) -> None:
        """A thousand and two hundred digits of 8x8, from the clone."""
        (x_train, y_train), (x_test, y_test) = manager().get_tinydigits()

        assert (x_train.shape, x_train.dtype, x_test.shape) == ((1000, 8, 8), np.float32, (200, 8, 8))
        assert (np.bincount(y_train).tolist(), np.bincount(y_test).tolist()) == ([100] * 10, [20] * 10)

    def test_the_arrays_are_the_callers_own(self, home: Path, manager: Any) -> None:
        """Scripts shuffle and normalize in place; the next call is none the worse for it."""
        (x_train, y_train), _ = manager().get_tinydigits()
        before = x_train[0].copy()
        x_train[:] = -1
        y_train[:] = -1
        (x_again, y_again), _ = manager().get_tinydigits()

        np.testing.assert_array_equal(x_again[0], before)
        assert y_again.min() == 0


class TestTheTexts:
    """Each as one str, as TinyTorch's second generation asks for it."""

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_tinytalks_are_the_shipped_file(self, home: Path, manager: Any, no_network: None, split: str) -> None:
        """Where its scripts look for it themselves; a sample is no less, as nothing is downloaded."""
        shipped = (ROOT / "datasets" / "tinytalks" / "splits" / f"{split}.txt").read_text(encoding="utf-8")

        assert manager().get_tinytalks(sample_only=True, topic=None, split=split) == shipped
        assert manager().get_tinytalks(split=split) == shipped

    def test_without_a_split_it_is_what_one_learns_from(self, home: Path, manager: Any) -> None:
        """So nobody trains on the test questions by leaving something out."""
        assert manager().get_tinytalks() == manager().get_tinytalks(False, None, "train")

    def test_a_topic_that_is_not_there_is_refused(self, home: Path, manager: Any) -> None:
        """And not answered with questions about something else; a split likewise."""
        with pytest.raises(UsageError) as topic:
            manager().get_tinytalks(topic="tinytorch")
        with pytest.raises(UsageError) as split:
            manager().get_tinytalks(split="validation")

        assert str(topic.value) == (
            "the questions are of no topic, and 'tinytorch' is asked for\n  Leave `topic` out for all of a split."
        )
        assert str(split.value) == "there is no split 'validation'\n  Splits are train, val, test."

    def test_real_shakespeare(self, realdata: Path, home: Path, manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """1,115,394 characters from one of 1,115,394 bytes; a sample is its beginning, up to the end of a line."""
        file = realdata / "formats" / "texts" / "input.txt"
        monkeypatch.setenv(settings.MANIFEST, str(one_text(home.parent, file)))
        monkeypatch.setenv(settings.MIRROR, str(file.parent))
        text = manager().get_tinyshakespeare()
        sample = manager().get_tinyshakespeare(sample_only=True)

        assert text == file.read_text() == manager().get_shakespeare()
        assert text.startswith(sample)
        assert 19_900 < len(sample) <= 20_000
        assert sample.endswith("\n")

    def test_tinypy_is_python_that_nobody_wrote(self, manager: Any, no_network: None) -> None:
        """Every line of it parses, no function is there twice, and every call gives the same."""
        text = manager().get_tinypy(sample_only=True)
        written = [ast.unparse(node) for node in ast.parse(text).body]

        assert len(written) == len(set(written)) == 600
        assert text == manager().get_tinypy()
        assert hashlib.sha256(text.encode()).hexdigest().startswith("2dcf1328abb344ff")


def one_text(folder: Path, file: Path) -> Path:
    """A manifest of one data set, one text in that file."""
    entry = {
        "title": "One text",
        "status": "remote",
        "format": "text",
        "license": "not stated by the authors",
        "source": "made here",
        "fields": {"text": {"dtype": "str"}},
        "splits": {"all": {"samples": 1, "file": file.name}},
        "mirrors": ["https://example.invalid/"],
        "files": {file.name: facts(file)},
    }
    path = folder / "one.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "datasets": {"tiny-shakespeare": entry}}))
    return path


class TestDataDir:
    """`data_dir` is where downloads go, and nothing else is disturbed."""

    def test_downloads_go_there(
        self, few: None, tmp_path: Path, home: Path, manager: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It wins over the environment, which is afterwards as it was; a relative one is taken from here."""
        monkeypatch.chdir(tmp_path)
        own = manager("own")
        own.get_mnist()
        own.get_cifar10()

        assert (tmp_path / "own/mnist/few.npz").is_file()
        assert (tmp_path / "own/cifar-10/few.npz").is_file()
        assert not home.exists()
        assert os.environ[settings.HOME] == str(home)

    def test_the_environment_is_restored_after_an_error_too(self, tmp_path: Path, manager: Any) -> None:
        """A variable that was not set is not set."""
        with pytest.raises(LookupError):
            manager(tmp_path).get("no-such-set")

        assert settings.HOME not in os.environ

    @pytest.mark.parametrize("given", [None, "own", Path("own/deeper")])
    def test_it_is_always_a_folder(
        self, home: Path, tmp_path: Path, manager: Any, monkeypatch: pytest.MonkeyPatch, given: Any
    ) -> None:
        """Scripts put files of their own there; without one it is where the library downloads to."""
        monkeypatch.chdir(tmp_path)
        folder = manager(given).data_dir

        assert folder == (home if given is None else tmp_path / given)
        assert folder.is_dir()

    def test_without_one_the_library_decides(self, few: None, home: Path, manager: Any) -> None:
        """So TINYTORCH_DATASETS_HOME moves the milestones' downloads, too."""
        manager().get_mnist()

        assert (home / "mnist/few.npz").is_file()


ASK = """
import sys
sys.path.insert(0, sys.argv[1])
import data_manager
data_manager.LARGE_BYTES = 1
try:
    print("fetched", len(data_manager.DatasetManager(sys.argv[2]).get("mnist").train))
except RuntimeError as error:
    print(error)
"""


class TestTheQuestion:
    """Before a large download somebody at a terminal is asked, and nobody else."""

    @pytest.fixture(autouse=True)
    def served(self, few: None, tmp_path: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
        """The nine images by HTTP, so that they are a download."""
        monkeypatch.setenv(settings.MIRROR, server.url)
        server.at("/mnist/few.npz", serve((tmp_path / "mirror/mnist/few.npz").read_bytes()))
        return server

    def at_a_terminal(self, folder: Path, answer: bytes) -> str:
        """What the script and its user write on a terminal of their own."""
        import pty  # which Windows has not

        ours, theirs = pty.openpty()
        arguments = [sys.executable, "-c", ASK, str(ROOT / "milestones"), str(folder)]
        process = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=in_front)
        os.close(theirs)
        written = b""
        while chunk := read_terminal(ours):
            written += chunk
            if b"[Y/n] " in chunk:
                os.write(ours, answer)
        os.close(ours)
        process.wait(timeout=20)
        return written.decode().replace("\r\n", "\n")

    @pytest.mark.slow
    @pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal of its own is a thing of POSIX")
    def test_it_has_size_and_free_space_and_an_answer(self, tmp_path: Path, served: FaultyServer) -> None:
        """No, the end of the input, and yes; what is here then is no question again."""
        folder = tmp_path / "own"
        size = readable((tmp_path / "mirror/mnist/few.npz").stat().st_size)
        declined = self.at_a_terminal(folder, b"n\n")
        ended = self.at_a_terminal(folder, b"\x04")
        asked_for = len(served.log)
        fetched = self.at_a_terminal(folder, b"\n")
        again = self.at_a_terminal(folder, b"")

        first, second, *rest = declined.splitlines()
        assert re.fullmatch(rf"mnist is {size} to download, into {re.escape(str(folder))}, where .+B are free\.", first)
        assert second.startswith("Download it? [Y/n] ")
        assert rest == [
            "mnist is not on this disk, and was not downloaded",
            "  Run it again and answer yes; TINYTORCH_AUTO_DOWNLOAD=1 asks nothing.",
        ]
        assert "was not downloaded" in ended
        assert asked_for == 0
        assert "fetched 6" in fetched
        assert again == "fetched 6\n"

    @pytest.mark.slow
    @pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal of its own is a thing of POSIX")
    @pytest.mark.parametrize("word", ["1", "True"])
    def test_it_is_answered_beforehand(self, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the environment, for whoever runs scripts one after the other."""
        monkeypatch.setenv("TINYTORCH_AUTO_DOWNLOAD", word)

        assert "[Y/n]" not in self.at_a_terminal(tmp_path / "own", b"")

    @pytest.mark.parametrize("stdin", ["", "n\n"])
    @pytest.mark.slow
    def test_a_pipe_is_nobody_to_ask(self, tmp_path: Path, stdin: str) -> None:
        """It neither hangs nor takes an answer from what is another program's input."""
        arguments = [sys.executable, "-c", ASK, str(ROOT / "milestones"), str(tmp_path / "own")]
        done = subprocess.run(arguments, input=stdin, capture_output=True, text=True, timeout=20, check=True)

        assert done.stdout == "fetched 6\n"
        assert "[Y/n]" not in done.stderr


def in_front() -> None:
    """In the new process: a session of its own, with the terminal it was given, as a shell does it."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def read_terminal(terminal: int) -> bytes:
    """What is written on a terminal next; nothing when nobody has it open any more, which Linux calls an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_main_prints_shapes(few: None, home: Path, manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """And what could not be had, in its place: this manifest has two data sets."""
    status = importlib.import_module("data_manager").main()
    lines = capsys.readouterr().out.splitlines()

    assert lines[:2] == ["perceptron: X (100, 2), y (100,)", "xor: X (100, 2), y (100,)"]
    assert "mnist: train (6, 28, 28) and (6,), test (3, 28, 28) and (3,)" in lines
    assert "cifar10: train (6, 3, 32, 32) and (6,), test (3, 3, 32, 32) and (3,)" in lines
    assert any(line.startswith("tinydigits: no data set named 'tinydigits' in datasets.yaml") for line in lines), lines
    assert (lines[-1].startswith("tinypy: "), lines[-1].endswith(" characters"), status) == (True, True, 1)


@pytest.mark.parametrize("method", ["get_xor_data", "get_perceptron_data"])
class TestMadeUpPoints:
    """What needs no file is drawn, the same everywhere."""

    def test_shapes_and_types(self, manager: Any, method: str) -> None:
        """float32 (n, 2) and int64 (n,), for odd numbers too; a thousand if none is given."""
        for n, (X, y) in ((1000, getattr(manager(), method)()), (7, getattr(manager(), method)(7))):
            assert (X.shape, X.dtype, y.shape, y.dtype) == ((n, 2), np.float32, (n,), np.int64)
            assert set(y.tolist()) == {0, 1}

    def test_every_call_gives_the_same(self, manager: Any, method: str) -> None:
        """Whatever else draws random numbers; and fewer samples are the first of more."""
        np.random.seed(1)
        first = getattr(manager(), method)()
        np.random.seed(2)
        drawn = np.random.random()
        np.random.seed(2)
        second = getattr(manager(), method)(100)

        np.testing.assert_array_equal(first[0][:100], second[0])
        np.testing.assert_array_equal(first[1][:100], second[1])
        assert np.random.random() == drawn

    def test_every_machine_gives_the_same(self, manager: Any, method: str) -> None:
        """The values are written down here, to the last bit."""
        X, y = getattr(manager(), method)()
        expected = PINNED[method]

        assert ([X[0, 0].item().hex(), X[-1, 1].item().hex()], int(y.sum())) == expected

    def test_the_classes_are_balanced(self, manager: Any, method: str) -> None:
        """Guessing gives about a half."""
        assert 0.45 < getattr(manager(), method)()[1].mean() < 0.55


PINNED = {
    "get_xor_data": (["0x1.0584100000000p-2", "0x1.8b2d0e0000000p-3"], 498),
    "get_perceptron_data": (["-0x1.7235d60000000p-1", "0x1.7b7e140000000p+1"], 497),
}


def perceptron(X: np.ndarray, y: np.ndarray, sweeps: int) -> int:
    """Errors of Rosenblatt's rule in its best sweep; it reaches 0 if a line parts the classes."""
    points, signs, weights, fewest = np.c_[X, np.ones(len(X))], 2 * y - 1, np.zeros(3), len(y)
    for _ in range(sweeps):
        for point, sign in zip(points, signs, strict=True):
            if sign * (weights @ point) <= 0:
                weights += sign * point
        fewest = min(fewest, int((signs * (points @ weights) <= 0).sum()))
    return fewest


def test_a_line_parts_the_perceptrons_classes(manager: Any) -> None:
    """Rosenblatt's rule finds one, and x + y = 0 is one with room on both sides."""
    X, y = manager().get_perceptron_data()

    assert perceptron(X, y, sweeps=20) == 0
    assert ((X.sum(axis=1) > 0) == y).all()
    assert np.abs(X.sum(axis=1)).min() > 0.9


def test_no_line_parts_xor_but_its_quadrants_do(manager: Any) -> None:
    """A line between points of one class crosses a line between points of the other; two lines part them."""
    X, y = manager().get_xor_data()
    right, up = (X > 0.5).T
    corners = ((False, False), (True, True), (False, True), (True, False))
    origin, opposite, above, beside = (X[(right == r) & (up == u)].mean(axis=0) for r, u in corners)
    # origin + s (opposite - origin) = above + t (beside - above): where on either diagonal is the crossing?
    crossing = np.linalg.solve(np.c_[opposite - origin, above - beside], above - origin)

    assert ((right ^ up) == y).all()
    assert ((crossing > 0.4) & (crossing < 0.6)).all()
    assert perceptron(X, y, sweeps=20) > 200


def test_it_is_imported_from_the_root_too() -> None:
    """As `milestones.data_manager`, which TinyTorch's own pages write; nothing beside it is needed on the path."""
    module = importlib.import_module("milestones.data_manager")

    assert module.DatasetManager().get_perceptron_data(10)[0].shape == (10, 2)


def test_it_knows_nothing_of_any_data_set(manager: Any) -> None:
    """No address, hash or file name stands in its source: the manifest has them."""
    source = (ROOT / "milestones/data_manager.py").read_text()

    assert not [word for word in ("http", "sha256", ".gz", ".pkl", "urllib", "pickle", "gzip") if word in source]
