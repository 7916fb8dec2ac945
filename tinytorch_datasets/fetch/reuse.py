"""Reuse of files that Keras, scikit-learn and torchvision have downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from tinytorch_datasets.concurrency import Cancellation
from tinytorch_datasets.digests import digest
from tinytorch_datasets.plan import File

DEEPEST = 4  # torchvision: data/MNIST/raw/train-images-idx3-ubyte.gz
FILES_LOOKED_AT = 20_000  # a folder with more is no folder of data sets, or a slow one
FILES_HASHED = 4  # of the declared size; more would cost longer than many a download


def library_folders(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """List the folders where Keras, scikit-learn and torchvision keep what they downloaded.

    Keras and scikit-learn have a folder of their own, which their own variable moves. torchvision has none: it
    writes where it is told to, and `data`, here or in the home folder, is what its examples tell it.
    """
    environ = os.environ if environ is None else environ
    keras = Path(environ.get("KERAS_HOME") or "~/.keras") / "datasets"
    scikit_learn = Path(environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data")
    folders = []
    for folder in (keras, scikit_learn, Path("data"), Path("~/data")):
        try:
            folders.append(folder.expanduser())
        except RuntimeError:  # no home folder: a container with an unknown user
            continue
    return tuple(folders)


class ReusableFiles:
    """Files in the given folders that have the size of a declared one. One walk finds them for all files at once."""

    def __init__(self, files: Iterable[File], folders: Iterable[Path]) -> None:
        self._files = tuple(files)
        self._same_size: dict[int, list[Path]] = {file.bytes: [] for file in self._files}
        for folder in folders:
            for path in islice(_walk(folder), FILES_LOOKED_AT):
                if (same_size := self._same_size.get(_size(path))) is not None:
                    same_size.append(path)

    def to_download(self) -> list[File]:
        """List the files that none of the folders can have."""
        return [file for file in self._files if not self._same_size[file.bytes]]

    def find(self, file: File, cancellation: Cancellation) -> Path | None:
        """Return the path of one that has the declared bytes, whatever its name is there."""
        same_size = self._same_size[file.bytes][:FILES_HASHED]
        return next((path for path in same_size if _sha256(path, cancellation) == file.sha256), None)


def _walk(folder: Path, depth: int = 1) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_file():
                yield Path(entry.path)
            elif depth < DEEPEST and entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), depth + 1)
        except OSError:
            continue


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _sha256(path: Path, cancellation: Cancellation) -> str | None:
    try:
        return digest(path, add=lambda _: cancellation.check()).sha256
    except OSError:
        return None
