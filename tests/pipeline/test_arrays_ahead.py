"""Arrays that are decoded while their files are still hashed: those of the right bytes, or none."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinytorch_datasets import get, load_manifest, pipeline
from tinytorch_datasets.errors import ChangedFile, DecodeError
from tinytorch_datasets.pipeline.workers import OPEN_FILES, ArraysAhead
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage.memmap import stat_signature
from tinytorch_datasets.verify.files import StatCache

pytestmark = pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="an open file has no path of its own here")

X, Y = np.arange(600, dtype=np.uint8).reshape(20, 5, 6), np.arange(20) % 2
LARGE = (34, 1 << 20)  # more than 32 MiB are left to be hashed


def declare(root: Path, **arrays: np.ndarray) -> Path:
    """A manifest of arrays, a `.npy` file each, in a folder that serves as the mirror."""
    (root / "mirror" / "made").mkdir(parents=True)
    files = {}
    for name, values in arrays.items():
        path = root / "mirror" / "made" / f"{name}.npy"
        np.save(path, values)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    entry = {
        "title": "Made",
        "status": "remote",
        "format": "npy",
        "license": "CC0-1.0",
        "source": "made here",
        "fields": {name: {"dtype": str(v.dtype), "shape": list(v.shape[1:])} for name, v in arrays.items()},
        "splits": {"train": {"samples": len(X), **{name: f"{name}.npy" for name in arrays}}},
        "mirrors": ["https://example.invalid/"],
        "files": files,
    }
    if (first := next(iter(arrays.values()))).nbytes > X.nbytes:
        entry["splits"]["train"]["samples"] = len(first)  # type: ignore[index]
    (root / "datasets.yaml").write_text(json.dumps({"version": 1, "datasets": {"made": entry}}))
    return root / "datasets.yaml"


class Home(NamedTuple):
    """A data set whose files are about to come, and its files on the mirror."""

    declared: Plan
    plan: Plan
    locations: Locations
    mirror: Path

    def ahead(self, executor: Any = None) -> ArraysAhead:
        """What decodes it ahead."""
        return ArraysAhead(self.declared, self.plan, self.locations, executor)

    def bring(self, name: str, data: bytes | None = None) -> Path:
        """Write all bytes of a file, which have no right to its name yet."""
        part = self.plan.root / f"{name}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes((self.mirror / name).read_bytes() if data is None else data)
        os.utime(part, ns=(1, 1))  # any later change has another time, whatever the clock's steps are
        return part

    def find_right(self) -> StatCache:
        """Give each file its name, as one that was hashed and is right."""
        stat_cache = StatCache()
        for file in self.plan.files:
            path = self.plan.root / file.name
            if not path.exists():
                path.with_name(f"{file.name}.part").rename(path)
            stat_cache.remember(path, file.sha256, stat_signature(path))
        return stat_cache

    @property
    def folders(self) -> list[Path]:
        """What is in the folder of arrays."""
        arrays = self.locations.cache / "arrays"
        return sorted(arrays.iterdir()) if arrays.exists() else []


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A data set of two files. Whatever becomes of it, no thread and no open file is left, nor anything half-made."""
    manifest = load_manifest(declare(tmp_path, x=X, y=Y))
    plan, locations = pipeline.placed(manifest, "made", tmp_path / "home")
    made = Home(manifest.plan("made"), plan, locations, tmp_path / "mirror" / "made")
    threads, descriptors = threading.active_count(), len([*OPEN_FILES.iterdir()])
    yield made
    assert threading.active_count() == threads
    assert len([*OPEN_FILES.iterdir()]) == descriptors
    assert not [folder for folder in made.folders if folder.name.endswith(".part")]


def until(is_so: Callable[[], bool]) -> None:
    """Wait for another thread."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def accept(_: object) -> None:
    """A check of digests that has nothing against any, so that only what comes before it keeps arrays away."""


class TestTaken:
    """What was decoded of the right bytes is put into its place."""

    def test_they_are_what_the_files_hold(self, home: Home) -> None:
        """Begun when the last file is there, not yet by its name; and nothing can be seen of it before it is taken."""
        digests: dict[str, str] = {}
        x, y = home.plan.files
        with home.ahead() as ahead:
            ahead.add(x, home.bring("x.npy"))
            assert not home.folders
            ahead.add(y, home.bring("y.npy"))
            stat_cache = home.find_right()
            until(lambda: len(home.folders) == 1)
            assert home.folders[0].name.startswith(".")
            assert ahead.take(stat_cache, digests.update)
            assert not ahead.take(stat_cache, accept)
        dataset = get("made", manifest=home.mirror.parents[1] / "datasets.yaml", home=home.plan.root.parent)

        np.testing.assert_array_equal(dataset.train.x, X)
        np.testing.assert_array_equal(dataset.train.y, Y)
        assert digests == pipeline.value_digests(home.plan, home.locations)

    def test_a_file_that_is_in_its_place_needs_not_come(self, home: Home) -> None:
        """It was small, say, and hashed before the other one came."""
        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with home.ahead() as ahead:
            ahead.add(x, home.bring("x.npy"))

            assert ahead.take(home.find_right(), accept)
        assert len(home.folders) == 1


class TestNotTaken:
    """Of other bytes nothing is ever seen, nor of what cannot be decoded: whoever asks decodes the files."""

    def test_bytes_that_turned_out_to_be_wrong(self, home: Home) -> None:
        """Their file, and what was made of it, go at once: the right ones need the room. None is begun again."""
        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with home.ahead() as ahead:
            are_wrong = ahead.add(x, home.bring("x.npy", (home.mirror / "x.npy").read_bytes()[::-1]))
            are_wrong()
            assert not home.folders
            ahead.add(x, home.bring("x.npy"))

            assert not ahead.take(home.find_right(), accept)
            assert not home.folders

    @pytest.mark.parametrize("data", [b"no array", b"", np.lib.format.MAGIC_PREFIX])
    def test_what_cannot_be_decoded(self, data: bytes, home: Home) -> None:
        """No error: it is no news, as the bytes may be wrong."""
        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with home.ahead() as ahead:
            ahead.add(x, home.bring("x.npy", data))

            assert not ahead.take(home.find_right(), accept)
        assert not home.folders

    def test_a_file_that_was_changed_before_it_was_hashed(self, home: Home) -> None:
        """What was decoded may be of the bytes before, or of some of both."""
        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with home.ahead() as ahead:
            part = home.bring("x.npy")
            ahead.add(x, part)
            with part.open("r+b") as other:
                other.write(b"\x93")

            assert not ahead.take(home.find_right(), accept)
            assert not home.folders

    def test_a_file_that_was_replaced(self, home: Home) -> None:
        """By another one of the same size and time."""
        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with home.ahead() as ahead:
            part = home.bring("x.npy")
            ahead.add(x, part)
            part.rename(part.with_name("away"))
            home.bring("x.npy")

            assert not ahead.take(home.find_right(), accept)
            assert not home.folders

    def test_a_file_that_was_changed_after_it_was_hashed(self, home: Home) -> None:
        """Which is the error that it is when a file is changed while it is decoded."""
        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with home.ahead() as ahead:
            ahead.add(x, home.bring("x.npy"))
            stat_cache = home.find_right()
            with (home.plan.root / "x.npy").open("r+b") as other:
                other.write(b"-")

            with pytest.raises(ChangedFile, match=r"x\.npy was changed by another program while it was read"):
                ahead.take(stat_cache, accept)
        assert not home.folders

    def test_values_of_another_digest_than_declared(self, home: Home) -> None:
        """They are decoded again, and that error is raised."""

        def refuse(_: object) -> None:
            raise DecodeError(home.plan.root, "other digests")

        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with home.ahead() as ahead:
            ahead.add(x, home.bring("x.npy"))

            assert not ahead.take(home.find_right(), refuse)
            assert not home.folders

    def test_when_nobody_takes_them(self, home: Home) -> None:
        """After Ctrl-C, or when a mirror fails."""
        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with home.ahead() as ahead:
            ahead.add(x, home.bring("x.npy"))

        assert not home.folders

    def test_a_data_set_of_many_files(self, home: Home) -> None:
        """A descriptor for each would be missing in the fetch of the others."""
        x, y = home.plan.files
        files = (x, y, *(replace(y, name=f"{number}.npy") for number in range(15)))
        many = home._replace(declared=replace(home.declared, files=files), plan=replace(home.plan, files=files))
        before = len([*OPEN_FILES.iterdir()])
        with many.ahead() as ahead:
            ahead.add(x, home.bring("x.npy"))

            assert len([*OPEN_FILES.iterdir()]) == before

    def test_where_workers_decode(self, home: Home) -> None:
        """Those of an executor, once the files are right."""
        x, _ = home.plan.files
        home.bring("y.npy").rename(home.plan.root / "y.npy")
        with ThreadPoolExecutor() as executor, home.ahead(executor) as ahead:
            ahead.add(x, home.bring("x.npy"))

            assert not ahead.take(home.find_right(), accept)


class TestGet:
    """`get` decodes a large file while it is hashed, here one that an earlier run has left whole."""

    @pytest.mark.parametrize("is_right", [True, False])
    def test_a_large_file(self, is_right: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """If that is wrong, what the mirror has is the data set, and nothing is left of what was decoded first."""
        values = np.zeros(LARGE, np.uint8)
        values[::3] = 7
        manifest = declare(tmp_path, x=values)
        part = tmp_path / "home" / "made" / "x.npy.part"
        part.parent.mkdir(parents=True)
        data = bytearray((tmp_path / "mirror" / "made" / "x.npy").read_bytes())
        data[-1] ^= not is_right
        part.write_bytes(data)
        with caplog.at_level(logging.INFO, "tinytorch_datasets.get"):
            dataset = get("made", manifest=manifest, home=tmp_path / "home", mirror=str(tmp_path / "mirror"))

        np.testing.assert_array_equal(dataset.train.x, values)
        (line,) = [message for message in caplog.messages if "hashed" in message]
        assert line.startswith("made: decoded while its" if is_right else "made: decoded in vain while its")
        assert [path.name for path in (tmp_path / "home" / "made").iterdir()] == ["x.npy"]
        (folder,) = (tmp_path / "home" / ".cache" / "arrays").iterdir()
        assert sorted(path.name for path in folder.iterdir()) == ["digests.json", "train.x.npy"]
