"""Whatever changes, and whenever: never another array than the manifest's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.helpers.fresh_process import python
from tinytorch_datasets import Dataset, api, get
from tinytorch_datasets.errors import DatasetError, HashMismatch
from tinytorch_datasets.fetch.partial import PartialFile
from tinytorch_datasets.plan import File
from tinytorch_datasets.storage.memmap import stat_signature

Arrays = dict[str, np.ndarray]


def declare(root: Path, arrays: Arrays, splits: dict[str, str], *, mirrors: list[str] | None = None) -> Path:
    """A manifest of one data set `d`: a `.npy` file each of `arrays`, and which of them is which split.

    It is shipped, or, where there are mirrors, remote; its files are in the same folder either way.
    """
    files = {}
    for name, values in arrays.items():
        path = root / "datasets" / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values)
        raw = path.read_bytes()
        files[name] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    one = next(iter(arrays.values()))
    entry = {
        "title": "d",
        "status": "remote" if mirrors else "shipped",
        **({"mirrors": mirrors} if mirrors else {}),
        "format": "npy",
        "license": "CC0-1.0",
        "source": "made here",
        "fields": {"v": {"dtype": str(one.dtype), "shape": list(one.shape[1:])}},
        "splits": {split: {"samples": len(one), "v": name} for split, name in splits.items()},
        "files": files,
    }
    manifest = root / "datasets.yaml"
    manifest.write_text(yaml.safe_dump({"version": 1, "download_to": "home", "datasets": {"d": entry}}))
    return manifest


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """A manifest of five numbers, 0 to 4."""
    return declare(tmp_path, {"x.npy": np.arange(5)}, {"train": "x.npy"})


def fresh(manifest: Path, home: str | Path | None = None) -> Dataset:
    """What a new process would get: nothing is remembered from an earlier call."""
    api._entries.clear()
    return get("d", manifest=manifest, home=home)


def damaged(home: Path) -> None:
    """Write another number into the decoded array of a home."""
    (path,) = home.rglob("train.v.npy")
    with path.open("r+b") as array:
        array.seek(-8, os.SEEK_END)
        array.write(b"\x63")


class TestTheManifest:
    """Arrays are found by what the manifest says, and by all that it says."""

    def test_two_files_of_one_name_that_change_places(self, tmp_path: Path) -> None:
        """Their folders tell them apart."""
        arrays = {"a/x.npy": np.array([1, 2, 3]), "b/x.npy": np.array([7, 8, 9])}
        before = fresh(declare(tmp_path, arrays, {"train": "a/x.npy", "test": "b/x.npy"}))
        after = fresh(declare(tmp_path, arrays, {"train": "b/x.npy", "test": "a/x.npy"}))

        assert (before.train.v.tolist(), before.test.v.tolist()) == ([1, 2, 3], [7, 8, 9])
        assert (after.train.v.tolist(), after.test.v.tolist()) == ([7, 8, 9], [1, 2, 3])

    def test_a_disk_that_takes_one_name_for_another(self, five: Path) -> None:
        """As those of macOS and Windows do with capitals: a name in another case is the same data set, read anew."""
        fresh(five)
        (entry,) = five.parent.rglob("entries/*.json")
        entry.with_name(entry.name.replace("d-", "D-")).symlink_to(entry)

        assert get("D", manifest=five).name == "d"


def test_a_home_of_two_names_is_warm_by_both(five: Path, tmp_path: Path) -> None:
    """Each has a cache entry of its own."""
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real").mkdir()
    for name in ("real", "link", "real", "link"):
        fresh(five, tmp_path / name)
    code = "import sys; from tinytorch_datasets import get\n"
    for name in ("real", "link"):
        code += f"print(get('d', manifest={str(five)!r}, home={str(tmp_path / name)!r}).train.v.tolist())\n"
    code += "print('yaml' in sys.modules)"
    message = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert message == "[0, 1, 2, 3, 4]\n[0, 1, 2, 3, 4]\nFalse\n"


class TestHomes:
    """What was found right in one folder says nothing of another one."""

    def test_a_copy_is_looked_at_itself(self, five: Path, tmp_path: Path) -> None:
        """The one that it was copied from is still there, and still right."""
        fresh(five, tmp_path / "one")
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        damaged(tmp_path / "two")

        assert fresh(five, tmp_path / "two").train.v.tolist() == [0, 1, 2, 3, 4]

    def test_of_several_the_same_one_is_opened_again(
        self, five: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first has a damaged copy; the second get opens what the first one did."""
        fresh(five, tmp_path / "one")
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        damaged(tmp_path / "two")
        for home in ("one", "two"):
            shutil.rmtree(tmp_path / home / ".cache" / "entries")
        monkeypatch.setenv("TINYTORCH_DATASETS_HOME", f"{tmp_path / 'two'}{os.pathsep}{tmp_path / 'one'}")

        assert [fresh(five).train.v.tolist() for _ in range(2)] == [[0, 1, 2, 3, 4]] * 2

    def test_arrays_in_the_second_home_are_opened_without_any_stage(
        self, five: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder that a class shares, and one of one's own before it."""
        fresh(five, tmp_path / "shared")
        monkeypatch.setenv("TINYTORCH_DATASETS_HOME", f"{tmp_path / 'own'}{os.pathsep}{tmp_path / 'shared'}")
        fresh(five)
        code = f"import sys; from tinytorch_datasets import get; d = get('d', manifest={str(five)!r})"
        code += "; print(d.train.v.filename, 'yaml' in sys.modules)"
        message = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        (shared,) = (tmp_path / "shared").rglob("train.v.npy")

        assert message == f"{shared} False\n"


# Another program writes to the source as soon as the first decoded block is about to be written.
CHANGED_MEANWHILE = """
import sys
from tinytorch_datasets import get
manifest, source = sys.argv[1:]
done = []
def hook(event, arguments):
    if event == "open" and ".part" in str(arguments[0]) and str(arguments[0]).endswith("train.v.npy") and not done:
        done.append(1)
        with open(source, "r+b") as file:
            file.seek(-1, 2)
            file.write(b"\\x63")
sys.addaudithook(hook)
try:
    get("d", manifest=manifest)
except Exception as error:
    print(len(done), type(error).__name__)
"""

TOUCHED_MEANWHILE = CHANGED_MEANWHILE.replace('file.write(b"\\x63")', 'file.write(b"\\0")') + (
    "else: print(len(done), 'handed over')\n"
)


# Another program removes the source when it has been hashed, and is about to be decoded.
GONE_MEANWHILE = """
import os, sys
from tinytorch_datasets import get
manifest, source = sys.argv[1:]
def hook(event, arguments):
    if event == "os.mkdir" and str(arguments[0]).endswith(".part") and os.path.exists(source):
        os.unlink(source)
sys.addaudithook(hook)
try:
    get("d", manifest=manifest)
except Exception as error:
    print(type(error).__name__, error.path == __import__("pathlib").Path(source), error.hint)
"""


BORROWING = """
import sys
from tinytorch_datasets import get
for n in range(2):
    data = get("d", manifest=sys.argv[1], home=f"{sys.argv[2]}-{n}", progress=lambda *_: None)
    assert not data.train.v.any()
"""


@pytest.mark.slow
def test_many_who_borrow_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hard link touches the file for all others, and changes not a byte of it."""
    manifest = declare(tmp_path, {"x.npy": np.zeros((16, 1 << 18), np.uint8)}, {"train": "x.npy"})
    text = (
        manifest.read_text()
        .replace("status: shipped", "status: remote")
        .replace("license:", "mirrors: [URL]\n    license:")
    )
    manifest.write_text(text.replace("URL", "http://127.0.0.1:9/"))
    kept = tmp_path / ".keras" / "datasets"
    kept.mkdir(parents=True)
    (tmp_path / "datasets/d/x.npy").rename(kept / "x.npy")
    monkeypatch.setenv("HOME", str(tmp_path))
    commands = [[sys.executable, "-c", BORROWING, str(manifest), str(tmp_path / str(n))] for n in range(4)]
    students = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]

    assert [student.communicate()[1] for student in students] == [""] * 4


class TestFiles:
    """A file is what it was when it was hashed, or it is not handed over."""

    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        """A manifest of 16 MiB of zeros, which come in many blocks."""
        return declare(tmp_path, {"x.npy": np.zeros((16, 1 << 20), np.uint8)}, {"train": "x.npy"})

    def run(self, code: str, manifest: Path) -> str:
        """What a process of its own says, in which that happens."""
        source = manifest.parent / "datasets/d/x.npy"
        done = python("-c", code, str(manifest), str(source))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_changed_while_it_is_decoded(self, large: Path) -> None:
        """It is hashed once more, and found to be another file; nothing made of it is kept."""
        source = large.parent / "datasets/d/x.npy"
        right = source.read_bytes()

        assert self.run(CHANGED_MEANWHILE, large) == "1 HashMismatch\n"
        with pytest.raises(HashMismatch):
            fresh(large)
        source.write_bytes(right)
        assert not fresh(large).train.v.any()

    def test_removed_before_it_is_decoded(self, large: Path) -> None:
        """That is reported of the file which is gone, not of the arrays that could not be written."""
        assert self.run(GONE_MEANWHILE, large) == (
            "MissingFile True Restore it: `git checkout` it in a clone, or reinstall the package.\n"
        )

    def test_touched_while_it_is_decoded(self, large: Path) -> None:
        """The same bytes, written again: decoded once more, and handed over."""
        assert self.run(TOUCHED_MEANWHILE, large) == "1 handed over\n"
        assert not fresh(large).train.v.any()


class TestBroughtFiles:
    """A file that has come is believed as it was when it was hashed, and no longer."""

    @pytest.fixture
    def two(self, tmp_path: Path) -> Path:
        """A manifest of two remote files of five numbers each."""
        arrays = {"x.npy": np.arange(5), "y.npy": np.arange(5) + 10}
        return declare(tmp_path, arrays, {"train": "x.npy", "test": "y.npy"}, mirrors=["http://127.0.0.1:9/"])

    def fetched(self, manifest: Path, last: bytes) -> Dataset:
        """What a new process would fetch, while another program writes `last` to the end of each file that has come."""

        def write(name: str, bytes_done: int, bytes_in_all: int) -> None:
            if bytes_done == bytes_in_all:
                with (manifest.parent / "home" / "d" / name).open("r+b") as file:
                    file.seek(-len(last), os.SEEK_END)
                    file.write(last)

        api._entries.clear()
        return get("d", manifest=manifest, mirror=str(manifest.parent / "datasets"), progress=write)

    def test_changed_while_others_are_on_their_way(self, two: Path) -> None:
        """It is hashed once more, and found to be another file."""
        with pytest.raises(HashMismatch) as caught:
            self.fetched(two, b"\x63" + bytes(7))

        assert caught.value.path == two.parent / "home" / "d" / "x.npy"
        with pytest.raises(HashMismatch):
            fresh(two)

    def test_touched_while_others_are_on_their_way(self, two: Path) -> None:
        """The same byte, written again: hashed once more, and handed over."""
        assert self.fetched(two, b"\0").train.v.tolist() == [0, 1, 2, 3, 4]

    @pytest.fixture
    def zeros(self, tmp_path: Path) -> Iterator[PartialFile]:
        """A thousand zeros that have come, and were found right."""
        raw = bytes(1000)
        path = tmp_path / "zeros.bin.part"
        path.write_bytes(raw)
        with PartialFile(path, File("zeros.bin", len(raw), hashlib.sha256(raw).hexdigest())) as part:
            assert part.matches()
            yield part

    def test_changed_before_it_has_its_name(self, zeros: PartialFile, tmp_path: Path) -> None:
        """Between its hash and its place it is changed as well; then it comes without a stat signature."""
        zeros.path.write_bytes(bytes([99]) * 1000)

        assert zeros.move_into_place(tmp_path / "zeros.bin") is None

    def test_left_alone(self, zeros: PartialFile, tmp_path: Path) -> None:
        """Its stat signature is the one that it has in its place, so nothing is hashed again."""
        assert zeros.move_into_place(tmp_path / "zeros.bin") == stat_signature(tmp_path / "zeros.bin")


CLEANING = """
import sys, time
from pathlib import Path
from tinytorch_datasets import pipeline
from tinytorch_datasets.pipeline import cleaning
loaded = pipeline.manifests.read(Path(sys.argv[1]))
where = pipeline.locations(loaded)
plan = pipeline.plan_of(loaded, "d", where)
print(flush=True)
while True:
    cleaning.clean(plan, where)
"""


@pytest.mark.slow
def test_beside_a_process_that_cleans(five: Path) -> None:
    """Five numbers, or an error of ours, at every single call; and once it has ended, five numbers."""
    with subprocess.Popen([sys.executable, "-c", CLEANING, str(five)], stdout=subprocess.PIPE) as cleaner:
        try:
            assert cleaner.stdout is not None
            cleaner.stdout.readline()
            until = time.monotonic() + 1
            while time.monotonic() < until:
                with contextlib.suppress(DatasetError):
                    assert fresh(five).train.v.tolist() == [0, 1, 2, 3, 4]
            assert cleaner.poll() is None
        finally:
            cleaner.kill()

    assert fresh(five).train.v.tolist() == [0, 1, 2, 3, 4]
