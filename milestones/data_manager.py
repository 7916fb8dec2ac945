"""`DatasetManager`: the arrays and texts of each data set, for the milestones.

From `DatasetManager`, whichever data set it is. What a data set consists of, and where it comes from, is in
`datasets.yaml` alone; this class only gives the answers in the form that the scripts ask for, those of TinyTorch's
first generation and those of its second.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from tinytorch_datasets import Dataset, get, load_manifest, pipeline
from tinytorch_datasets.errors import DatasetError, OfflineError, UsageError
from tinytorch_datasets.progress import readable
from tinytorch_datasets.settings import Settings

Samples = tuple[np.ndarray, np.ndarray]
Getters = dict[str, Callable[[], str | tuple[Samples, Samples]]]

AUTO_DOWNLOAD = "TINYTORCH_AUTO_DOWNLOAD"
YES = ("1", "true", "yes", "on")  # as the other variables take it; any other word does not say that nobody is asked
LARGE_BYTES = 100_000_000  # who waits for this long may want to know it before
SAMPLE_CHARACTERS = 20_000

# Of what `get_tinypy` writes: each shape, with each verb and its sign, of each thing.
SHAPES = (
    """
    def {verb}_{name}s({name}s, start):
        result = start
        for {name} in {name}s:
            result = result {sign} {name}
        return result
    """,
    """
    def {verb}_to_each_{name}({name}s, other):
        return [{name} {sign} other for {name} in {name}s]
    """,
    """
    def {verb}_{name}_if_positive({name}, other):
        if {name} > 0:
            return {name} {sign} other
        return {name}
    """,
    """
    def {verb}_{name}_times({name}, count):
        while count > 0:
            {name} = {name} {sign} count
            count = count - 1
        return {name}
    """,
    """
    class {title}{action}:
        def __init__(self, {name}):
            self.{name} = {name}

        def {verb}(self, other):
            self.{name} = self.{name} {sign} other
            return self.{name}
    """,
)
SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
NAMES = (
    "angle", "area", "cost", "point", "depth", "distance", "error", "gain", "height", "length", "level", "charge",
    "limit", "number", "price", "rate", "ratio", "score", "size", "speed", "step", "sum", "time", "total", "value",
    "volume", "weight", "width", "year", "token",
)  # fmt: skip


class DownloadDeclined(DatasetError, RuntimeError):
    """Whoever was asked does not want a data set to be downloaded."""


class DatasetManager:
    """Data sets as arrays and texts, fetched and verified on first use.

    Args:
        data_dir: Where downloads go: ``<data_dir>/mnist/``, ``<data_dir>/cifar-10/``. None leaves that to
            ``TINYTORCH_DATASETS_HOME`` and, without it, to the manifest: ``milestones/datasets/`` in a clone.
        auto_confirm: Whether a large download begins without a question, as it does with
            ``TINYTORCH_AUTO_DOWNLOAD=1``. Where nobody can answer (no terminal), there is no question either.

    >>> X, y = DatasetManager().get_xor_data()
    >>> X.shape, X.dtype, y.shape, y.dtype
    ((1000, 2), dtype('float32'), (1000,), dtype('int64'))
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None = None, auto_confirm: bool = False) -> None:
        self._home = None if data_dir is None else Path(data_dir).expanduser().absolute()
        self.auto_confirm = auto_confirm or os.environ.get(AUTO_DOWNLOAD, "").strip().lower() in YES

    @cached_property
    def data_dir(self) -> Path:
        """The folder that downloads go to; it is made when it is asked for."""
        folder = self._home or pipeline.locations(load_manifest()).home
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def get(self, name: str) -> Dataset:
        """Any data set of the manifest, memory-mapped: for `batches`, `classes` and `provenance`.

        Raises:
            DownloadDeclined: It is large, and whoever was asked at the terminal said no.
        """
        if not self.auto_confirm and _somebody_can_answer() and not Settings.from_environment().offline:
            try:
                return get(name, home=self._home, offline=True)
            except OfflineError as error:
                self._confirm(name, sum(size for _, size in error.missing))
        return get(name, home=self._home)

    def _confirm(self, name: str, size: int) -> None:
        """Ask whether to download a large data set; Enter means yes, and the end of the input means no."""
        if size < LARGE_BYTES:
            return
        folder = self.data_dir
        free = readable(shutil.disk_usage(folder).free)
        # On stderr, as stdout may be a file, and nobody answers a question that is not seen.
        sys.stderr.write(f"{name} is {readable(size)} to download, into {folder}, where {free} are free.\n")
        sys.stderr.write("Download it? [Y/n] ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if answer.strip().lower() not in ("", "y", "yes") or not answer:
            what = f"{name} is not on this disk, and was not downloaded"
            raise DownloadDeclined(what, hint=f"Run it again and answer yes; {AUTO_DOWNLOAD}=1 asks nothing.")

    def get_mnist(self) -> tuple[Samples, Samples]:
        """Handwritten digits: ``(train_images, train_labels), (test_images, test_labels)``.

        Images are float32 (N, 28, 28), from 0 (paper) to 1 (ink); labels int64 (N,). N is 60,000 and 10,000.
        """
        return self._train_and_test("mnist")

    def get_cifar10(self) -> tuple[Samples, Samples]:
        """Color photographs in ten classes: ``(train_images, train_labels), (test_images, test_labels)``.

        Images are float32 (N, 3, 32, 32), from 0 to 1; labels int64 (N,). N is 50,000 and 10,000, which takes
        740 MB; ``get("cifar10").train.batches(...)`` makes floats of one batch at a time.
        """
        return self._train_and_test("cifar10")

    def get_tinydigits(self) -> tuple[Samples, Samples]:
        """Small handwritten digits: ``(train_images, train_labels), (test_images, test_labels)``.

        Images are float32 (N, 8, 8), from 0 (paper) to 1 (ink); labels int64 (N,). N is 1,000 and 200.
        """
        return self._train_and_test("tinydigits")

    def get_tinytalks(self, sample_only: bool = False, topic: str | None = None, split: str = "train") -> str:
        """Questions and answers as one text, line by line; ``get("tinytalks")`` has them apart.

        Args:
            sample_only: Makes no difference: all of it is here without a download.
            topic: Only None: this data set knows levels, and no topics.
            split: "train", "val" or "test".

        Raises:
            UsageError: A topic is given, or there is no such split.
        """
        if topic is not None:
            what = f"the questions are of no topic, and {topic!r} is asked for"
            raise UsageError(what, hint="Leave `topic` out for all of a split.")
        talks = self.get("tinytalks")
        if split not in talks:
            what = f"there is no split {split!r}"
            raise UsageError(what, hint=f"Splits are {', '.join(talks)}.")
        text: str = talks[split].text
        return text

    def get_tinyshakespeare(self, sample_only: bool = False) -> str:
        """Forty thousand lines from Shakespeare's plays, as one text of 1,115,394 characters.

        Args:
            sample_only: Whether only its beginning is wanted, about 20,000 characters that end with a line.
        """
        text: str = self.get("tiny-shakespeare").all.text[0]
        return text[: text.rindex("\n", 0, SAMPLE_CHARACTERS) + 1] if sample_only else text

    def get_shakespeare(self) -> str:
        """`get_tinyshakespeare`, by its first name."""
        return self.get_tinyshakespeare()

    def get_tinypy(self, sample_only: bool = False) -> str:
        """Small Python functions and classes, some 600, as one text: written by rule, and nobody's own program.

        It is not the text that TinyTorch ships by this name, which is written by hand; scripts that learn to write
        Python learn the same kinds of lines from it.

        Args:
            sample_only: Makes no difference: it is made here, without a download.
        """
        written = [
            textwrap.dedent(shape)
            .strip()
            .format(verb=verb, sign=sign, title=name.title(), action=verb.title(), name=name)
            for shape, (verb, sign), name in itertools.product(SHAPES, SIGNS.items(), NAMES)
        ]
        order = np.random.RandomState(1991).permutation(len(written))
        return "\n\n".join(written[i] for i in order) + "\n"

    def get_xor_data(self, num_samples: int = 1000) -> Samples:
        """Points near the four corners of the unit square; their class is 1 where the corner's coordinates differ.

        No straight line parts the classes. The two lines at 0.5 do, for the noise stays below 0.3.

        Returns:
            X, float32 (num_samples, 2), and y, int64 (num_samples,); fewer samples are the first of more.
        """
        where, noise = _uniform(num_samples)
        corner = where < 0.5
        return (corner + 0.6 * (noise - 0.5)).astype(np.float32), (corner[:, 0] ^ corner[:, 1]).astype(np.int64)

    def get_perceptron_data(self, num_samples: int = 1000) -> Samples:
        """Points around (2, 2), class 1, and (-2, -2), class 0; the line x + y = 0 parts them by a wide margin.

        Returns:
            X, float32 (num_samples, 2), and y, int64 (num_samples,); fewer samples are the first of more.
        """
        where, noise = _uniform(num_samples)
        y = (where[:, 0] < 0.5).astype(np.int64)
        return (4 * y[:, None] - 2 + 3 * (noise - 0.5)).astype(np.float32), y

    def _train_and_test(self, name: str) -> tuple[Samples, Samples]:
        (x_train, y_train), (x_test, y_test) = self.get(name).arrays(dtype="float32")
        return (_own(x_train), _own(y_train)), (_own(x_test), _own(y_test))


def _somebody_can_answer() -> bool:
    """Check for a person: a terminal to read from and to write to, of which this is the program in front."""
    if not (sys.stdin and sys.stderr and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    # Behind another program, in a shell's background, a read from the terminal would stop this one for good.
    return not hasattr(os, "tcgetpgrp") or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


def _uniform(num_samples: int) -> Samples:
    # Evenly spread noise, because it needs no logarithm: libraries of mathematics differ in the last bit of one.
    # A RandomState's stream is frozen for ever (NEP 19), a Generator's is not.
    drawn = np.random.RandomState(1969).random_sample((num_samples, 4))
    return drawn[:, :2], drawn[:, 2:]


def _own(values: np.ndarray) -> np.ndarray:
    # Memory maps are read-only; scripts shuffle and normalize in place.
    return values if values.flags.writeable else np.array(values)


def main() -> int:
    """Print the shape of everything; 1 if something could not be had."""
    manager, failed = DatasetManager(), 0
    of_points = {"perceptron": manager.get_perceptron_data, "xor": manager.get_xor_data}
    for name, made in of_points.items():
        X, y = made(100)
        print(f"{name}: X {X.shape}, y {y.shape}")
    of_images: Getters = {
        "tinydigits": manager.get_tinydigits,
        "mnist": manager.get_mnist,
        "cifar10": manager.get_cifar10,
    }
    of_text: Getters = {
        "tinytalks": manager.get_tinytalks,
        "tinyshakespeare": manager.get_tinyshakespeare,
        "tinypy": manager.get_tinypy,
    }
    for name, fetched in {**of_images, **of_text}.items():
        try:
            values = fetched()
        except DatasetError as error:
            print(f"{name}: {error}")
            failed = 1
        else:
            print(f"{name}: {_format_shapes(values)}")
    return failed


def _format_shapes(values: str | tuple[Samples, Samples]) -> str:
    if isinstance(values, str):
        return f"{len(values):,} characters"
    (x_train, y_train), (x_test, y_test) = values
    return f"train {x_train.shape} and {y_train.shape}, test {x_test.shape} and {y_test.shape}"


if __name__ == "__main__":
    sys.exit(main())
