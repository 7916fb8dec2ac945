"""The milestone scripts: what they learn, what they say, and that they need no more than they say.

The slow ones train, and print each script's last line; run them with -s to see the times.
"""

from __future__ import annotations

import html
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.fresh_process import python
from tests.test_get import facts
from tinytorch_datasets import get, load_manifest, settings

MILESTONES = ROOT / "milestones"
SCRIPTS = sorted(MILESTONES.glob("0*/0*.py"))
TINYDIGITS_MLP, MNIST_MLP, TINYDIGITS_CNN, CIFAR_CNN, TRANSFORMER = SCRIPTS

# Runs a script with an audit hook in place before anything is imported: no code can take that back, or catch it.
UNCONNECTED = """
import os, runpy, sys
def watch(event, args):
    if event in {"socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.bind"}:
        os.write(2, f"a socket was opened: {event} {args}".encode())
        os._exit(97)
sys.addaudithook(watch)
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch, of the extra 'milestones'")

MATPLOTLIB = find_spec("matplotlib") is not None

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, home: Path) -> Run:
    """Run a script from a folder far from the clone; its output, or all it said if it failed."""

    def start(script: Path, *arguments: str, sockets: bool = False) -> str:
        command = [sys.executable, *([] if sockets else ["-c", UNCONNECTED]), str(script), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ.copy(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        print(f"\n{done.stdout.splitlines()[-1]}")  # noqa: T201 -- the result, for whoever runs with -s
        return done.stdout

    return start


def texts(picture: Path) -> list[str]:
    """All texts of an SVG picture in their order: matplotlib draws their outlines, and writes each in a comment."""
    return [html.unescape(text) for text in re.findall(r"<!-- (.*?) -->", picture.read_text(encoding="utf-8"))]


def numbers(output: str) -> list[float]:
    """All percentages and decimal numbers of the last line, in order, percentages as shares of 1."""
    found = re.findall(r"(\d+(?:\.\d+)?)(%|(?<=\.\d\d\d))", output.splitlines()[-1])
    return [float(number) / (100 if unit else 1) for number, unit in found]


@needs_torch
@pytest.mark.slow
class TestWhatTheyLearn:
    """Each learns with the default seed; the long ones in few epochs, for what they reach in all is in their README."""

    @pytest.mark.frameworks
    def test_tinydigits_mlp(self, run: Run) -> None:
        """At least 90 %, without a socket."""
        assert numbers(run(TINYDIGITS_MLP))[0] >= 0.90

    @pytest.mark.frameworks
    def test_tinydigits_cnn(self, run: Run) -> None:
        """At least 95 %, without a socket."""
        assert numbers(run(TINYDIGITS_CNN))[0] >= 0.95

    def test_mnist_mlp(self, run: Run, realdata: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """At least 94 % of the real test digits in two epochs; once the files are here, without a socket."""
        monkeypatch.setenv(settings.MIRROR, str(realdata))
        assert numbers(run(MNIST_MLP, "--epochs", "2", sockets=True))[0] >= 0.94

        monkeypatch.delenv(settings.MIRROR)
        monkeypatch.setenv(settings.OFFLINE, "1")
        assert numbers(run(MNIST_MLP, "--epochs", "1"))[0] >= 0.90

    def test_cifar10_cnn(self, run: Run, realdata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Above a linear model on test photographs, having seen 3,750 of CIFAR-10's own."""
        archive = realdata / "cifar-10-mini" / "cifar-10-python.tar.gz"
        (tmp_path / "mirror" / "cifar-10").mkdir(parents=True)
        (tmp_path / "mirror" / "cifar-10" / archive.name).symlink_to(archive)
        loaded = yaml.safe_load((ROOT / "datasets.yaml").read_text())
        entry = loaded["datasets"]["cifar10"] | {"files": {archive.name: facts(archive)}}
        for split, samples in (("train", 3750), ("test", 750)):
            entry["splits"][split]["samples"] = samples
        manifest = tmp_path / "datasets.yaml"
        manifest.write_text(yaml.safe_dump({"version": 1, "datasets": {"cifar10": entry}}, sort_keys=False))
        monkeypatch.setenv(settings.MANIFEST, str(manifest))
        monkeypatch.setenv(settings.MIRROR, str(tmp_path / "mirror"))
        lenet, linear = numbers(run(CIFAR_CNN, "--epochs", "12", sockets=True))

        assert linear > 0.3
        assert lenet > linear + 0.02

    @pytest.mark.frameworks
    def test_tinytalks_transformer(self, run: Run, tmp_path: Path) -> None:
        """In three epochs of reading it comes from 4.2 nats a character, if all were as likely, to little over half."""
        picture = ["--plot", "learned.svg"] if MATPLOTLIB else []
        validation, trigram, _ = numbers(run(TRANSFORMER, "--epochs", "8", *picture))

        assert 1.85 < trigram < 1.95
        assert validation < 2.5
        assert not picture or {"training", "validation", "trigram", "train", "test"} <= {
            *texts(tmp_path / "learned.svg")
        }


@needs_torch
@pytest.mark.slow
class TestHowTheyRun:
    """The same four options everywhere, plain lines where there is no terminal, the same numbers for a seed."""

    def test_a_seed_gives_the_same_numbers(self, run: Run) -> None:
        """And another seed others."""
        first, again, other = (run(TINYDIGITS_MLP, "--epochs", "5", "--seed", seed) for seed in "112")

        assert first.splitlines()[0] == again.splitlines()[0] != other.splitlines()[0]

    @pytest.mark.skipif(not MATPLOTLIB, reason="matplotlib is not installed")
    @pytest.mark.parametrize("script", [TINYDIGITS_MLP, TINYDIGITS_CNN], ids=lambda path: path.stem)
    def test_a_picture_is_saved(self, run: Run, script: Path, tmp_path: Path) -> None:
        """Where --plot says, as a PNG."""
        run(script, "--epochs", "2", "--plot", "learned.png")

        assert (tmp_path / "learned.png").read_bytes().startswith(b"\x89PNG")

    def test_no_bar_is_drawn_without_a_terminal(self, run: Run) -> None:
        """Every line stands for itself."""
        assert "\r" not in run(TINYDIGITS_CNN, "--quick")

    def test_exactness_is_that_of_the_written_answers(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer counted as exact is the one that the model writes, and no other is."""
        monkeypatch.syspath_prepend(str(MILESTONES))
        monkeypatch.syspath_prepend(str(TRANSFORMER.parent))
        script = importlib.import_module(TRANSFORMER.stem)
        talks = get("tinytalks")
        monkeypatch.setattr(script, "WARM_UP", 20)
        few = talks.train[105:113]  # sums, which are short
        script.repeatable(0)
        model = script.Transformer(sorted(set(talks.train.text)))
        for _ in script.learn(model, script.texts_of(few), 160):
            pass
        exact = script.examine(model, few)[1] == 1

        assert exact.tolist() == [model.answer(q) == a for q, a in zip(few.questions, few.answers, strict=True)]
        assert exact.any()


@pytest.mark.slow
@pytest.mark.skipif(not MATPLOTLIB, reason="matplotlib is not installed")
class TestPictures:
    """What a picture says, read from its SVG."""

    @pytest.fixture
    def classified(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Draws test images and what they were taken for."""
        monkeypatch.syspath_prepend(str(MILESTONES))
        draw: Callable[..., None] = importlib.import_module("pictures").classified
        return draw

    @pytest.mark.parametrize("misses", [0, 3, 60, 100])
    def test_misses_come_first(self, classified: Callable[..., None], tmp_path: Path, misses: int) -> None:
        """Each as "guess (truth)"; up to 24 of 40, so that some that are right have room, if there are any."""
        labels, guesses = np.zeros(100, int), np.zeros(100, int)
        guesses[100 - misses :] = 1

        classified(tmp_path / "a.svg", "title", [0.1, 0.9], np.zeros((100, 4, 4)), labels, guesses, ["no", "yes"])

        drawn = texts(tmp_path / "a.svg")
        captions = [text for text in drawn if text in ("no", "yes (no)")]
        shown = 40 if misses == 100 else min(misses, 24)
        assert captions == ["yes (no)"] * shown + ["no"] * (40 - shown)
        assert f'{misses} of 100 are misses; misses first, as "guess (truth)"' in drawn

    @pytest.mark.parametrize("epochs", [1, 2, 3, 40])
    def test_the_axes(self, classified: Callable[..., None], tmp_path: Path, epochs: int) -> None:
        """Whole epochs from the first on, and accuracy from chance on."""
        images, labels = np.zeros((2, 3, 4, 4)), np.zeros(2, int)

        classified(tmp_path / "a.svg", "title", [0.5] * epochs, images, labels, labels, [*"0123456789"])

        drawn = texts(tmp_path / "a.svg")
        before, at = drawn[: drawn.index("epoch")], drawn.index("chance")
        assert all(tick.isdecimal() for tick in before if tick != "title")
        assert before[-1] == str(max(epochs, 2))
        assert drawn[at : at + 6] == ["chance", "20 %", "40 %", "60 %", "80 %", "100 %"]


class TestTheCommandLine:
    """A wrong wish is reported before any minute is spent on it."""

    @pytest.fixture
    def options(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        """The options that a script would get for the given arguments."""
        monkeypatch.syspath_prepend(str(MILESTONES))
        module = importlib.import_module("command_line")

        def asked(*arguments: str) -> Any:
            monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
            return module.options("about", epochs=40, quick=10)

        return asked

    def test_the_defaults(self, options: Callable[..., Any]) -> None:
        """Quick means fewer epochs, unless a number is given."""
        assert vars(options()) == {"epochs": 40, "seed": 0, "quick": False, "plot": None}
        assert options("--quick").epochs == 10
        assert options("--quick", "--epochs", "3").epochs == 3

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--epochs", "0"), "argument --epochs: 1 or more, not '0'"),
            (("--plot", "a.doc"), "argument --plot: 'a.doc' ends in none of .png, .svg, .pdf"),
            (("--plot", "/no/such/a.png"), "argument --plot: there is no folder /no/such"),
        ],
    )
    def test_what_is_wrong_is_reported(
        self, options: Callable[..., Any], arguments: tuple[str, ...], message: str,
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """In one sentence, with exit code 2."""
        monkeypatch.setattr("command_line.find_spec", lambda name: name)
        with pytest.raises(SystemExit) as caught:
            options(*arguments)

        assert caught.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1] == f"script.py: error: {message}"

    def test_a_missing_matplotlib_explains_itself(
        self, options: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the command that installs it."""
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(SystemExit):
            options("--plot", "a.png")

        assert "matplotlib draws it, and is not installed here: pip install matplotlib" in capsys.readouterr().err

    @pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
    def test_a_missing_torch_explains_itself(self, script: Path) -> None:
        """With the command that installs it, and no traceback."""
        code = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
        done = python("-c", code, str(script))

        assert done.returncode == 1
        assert "pip install -e '.[milestones]'" in done.stderr
        assert "Traceback" not in done.stderr


class TestTheTrigram:
    """What the transformer is measured against is a sound model itself."""

    def test_probabilities_sum_to_one(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        """After contexts often seen, rarely seen and never seen."""
        monkeypatch.syspath_prepend(str(TRANSFORMER.parent))
        train = get("tinytalks").train
        model = importlib.import_module("trigram").Trigram([train.text])

        for context in ("th", "Q:", "zz", "\n\n", "Xj"):
            total = sum(model.probability(character, context) for character in model.characters)
            np.testing.assert_allclose(total, 1.0)
        assert model.loss([train.text]) < model.loss([get("tinytalks").val.text]) < np.log(69)


class TestTheFolder:
    """The scripts are where the manifest says, short enough to read at one sitting, and load data in one way."""

    def test_the_manifest_names_scripts_that_exist(self) -> None:
        """Each data set's `used_by` is a file or a folder of the clone, and every script is used."""
        used = {ROOT / path for entry in load_manifest().datasets.values() for path in entry.used_by}

        assert not [path for path in used if not path.exists()]
        assert all(script in used or script.parent in used for script in SCRIPTS)

    @pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
    def test_a_script_is_short_and_loads_data_through_the_package(self, script: Path) -> None:
        """Fewer than 150 lines, and no way to a file or an address of its own."""
        source = script.read_text()

        assert len(source.splitlines()) < 150
        assert "from data_manager import DatasetManager" in source
        assert not re.findall(r"urllib|requests|pickle|gzip|torchvision|sklearn|\bopen\(|np\.load", source)

    def test_each_milestone_has_a_readme_that_gives_the_commands(self) -> None:
        """One that can be pasted, for each script."""
        for script in SCRIPTS:
            assert f"python {script.relative_to(ROOT)}" in (script.parent / "README.md").read_text()
