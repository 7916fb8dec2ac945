"""get() of what a stranger made: files whose sizes and hashes are as the manifest says, but not what is in them."""

from __future__ import annotations

import contextlib
import gzip
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from tests.helpers.format_writers import batch, gzip_bomb, idx, member, npy, npz, tarred
from tests.helpers.fresh_process import python
from tests.helpers.yardstick import soon
from tests.readers.pickle.test_pickle import UNSAFE
from tests.test_get import declare, facts
from tinytorch_datasets import get, load_manifest, pipeline
from tinytorch_datasets.errors import ContentError, DatasetError, DecodeError, StorageError, UnsafePickle
from tinytorch_datasets.pipeline import cleaning

X = np.arange(12, dtype="u1").reshape(3, 4)
Y = np.array([0, 1, 0])
IMAGES: dict[str, Any] = {"dtype": "uint8", "shape": [4]}
LABELS: dict[str, Any] = {"dtype": "int64", "classes": ["a", "b"]}
FLOATS: dict[str, Any] = {"dtype": "float32", "range": [0, 1]}
TEXT: dict[str, Any] = {"dtype": "str"}
BOTH: dict[str, Any] = {"images": IMAGES, "labels": LABELS}


class Entry(NamedTuple):
    """One data set: its files, hostile and harmless, how it is declared, and what is reported."""

    form: str
    fields: dict[str, Any]
    splits: dict[str, Any]
    hostile: dict[str, bytes]
    twin: dict[str, bytes]
    result: str
    error: type[DecodeError] = ContentError
    options: Mapping[str, Any] = {}


def by_file(**fields: str) -> dict[str, Any]:
    """One split of three samples, a file for each field."""
    return {"train": {"samples": 3, **fields}}


ONE = {"train": {"samples": 3, "file": "f"}}
TWO = {"train": {"samples": 3, "file": "f"}, "test": {"samples": 3, "file": "g"}}
GOOD_PICKLE = pickle.dumps({"images": X, "labels": Y})
NAN = np.array([0, np.nan, 1], "f4")
TALKS = b"Q: a\nA: b\n\nQ: c\nA: d\n\nQ: e\nA: f\n"
PIXELS = np.zeros((3, 3072), "u1")
CIFAR = {"train": {"samples": 3, "file": "f", "members": ["b"]}}

ENTRIES: dict[str, Entry] = {
    "a pickle that calls": Entry(
        "pickle",
        BOTH,
        ONE,
        {"f": UNSAFE["os.system"][0]},
        {"f": GOOD_PICKLE},
        "the pickle asks for os.system, which no array of numbers needs; nothing was run",
        UnsafePickle,
    ),
    "a compressed pickle that evaluates": Entry(
        "pickle",
        BOTH,
        ONE,
        {"f": gzip.compress(UNSAFE["eval"][0])},
        {"f": gzip.compress(GOOD_PICKLE)},
        "the pickle asks for builtins.eval, which no array of numbers needs; nothing was run",
        UnsafePickle,
    ),
    "a batch that calls": Entry(
        "cifar-python",
        {"images": {"dtype": "uint8", "shape": [3, 32, 32]}},
        CIFAR,
        {"f": tarred(member("b", UNSAFE["stack global"][0]))},
        {"f": tarred(member("b", batch(PIXELS, [0])))},
        "member 'b': the pickle asks for os.system, which no array of numbers needs; nothing was run",
        UnsafePickle,
    ),
    "objects": Entry(
        "npz",
        BOTH,
        ONE,
        {"f": npz(images=np.array([{}, [], None], object), labels=Y)},
        {"f": npz(images=X, labels=Y)},
        "member 'images.npy' holds Python objects: sample 0 is a dict, and no number, text or list of numbers; "
        "nothing was run",
        UnsafePickle,
    ),
    "a bomb": Entry(
        "idx",
        {"images": IMAGES},
        by_file(images="f"),
        {"f": gzip_bomb(b"\0", 64 << 20, idx(X))},
        {"f": gzip.compress(idx(X))},
        "its header states 12 bytes of values, but 65,536 or more follow",
        DecodeError,
    ),
    "an archive that climbs": Entry(
        "cifar-python",
        {"images": {"dtype": "uint8", "shape": [3, 32, 32]}},
        CIFAR,
        {"f": tarred(member("../../marker", b"x"), member("/tmp/marker", b"x"))},
        {"f": tarred(member("../../marker", b"x"), member("b", batch(PIXELS, [0])))},
        "it has no member 'b'",
        DecodeError,
    ),
    "labels shorter than images": Entry(
        "npy",
        BOTH,
        by_file(images="x", labels="y"),
        {"x": npy(X), "y": npy(Y[:2])},
        {"x": npy(X), "y": npy(Y)},
        "train.labels has samples 2, declared is 3",
    ),
    "images shorter than labels": Entry(
        "npz",
        BOTH,
        ONE,
        {"f": npz(images=X[:1], labels=Y)},
        {"f": npz(images=X, labels=Y)},
        "train.images has samples 1, declared is 3",
    ),
    "labels longer than declared": Entry(
        "idx",
        BOTH,
        by_file(images="x", labels="y"),
        {"x": idx(X), "y": idx(np.zeros(4, "u1"))},
        {"x": idx(X), "y": idx(Y.astype("u1"))},
        "the array is uint8 (4,), more than train.labels declares: int64 (3,)",
    ),
    "a label outside the classes": Entry(
        "npz",
        BOTH,
        ONE,
        {"f": npz(images=X, labels=Y + 1)},
        {"f": npz(images=X, labels=Y)},
        "train.labels has labels 2 at sample 1, declared is 0 to 1",
    ),
    "a label below the classes": Entry(
        "pickle",
        BOTH,
        ONE,
        {"f": pickle.dumps({"images": X, "labels": [0, -1, -1]})},
        {"f": GOOD_PICKLE},
        "train.labels has labels -1 at sample 1, and 1 more outside, declared is 0 to 1",
    ),
    "a label by a name that is none": Entry(
        "csv",
        {"labels": LABELS},
        ONE,
        {"f": b"labels\na\nb\nc\n"},
        {"f": b"labels\na\nb\na\n"},
        "line 4, column 1 ('labels'): 'c' is not one of the 2 classes of labels",
    ),
    "NaN": Entry(
        "npy",
        {"x": FLOATS},
        by_file(x="x"),
        {"x": npy(NAN)},
        {"x": npy(np.nan_to_num(NAN))},
        "train.x has range [nan, nan], declared is [0, 1]",
    ),
    "infinity": Entry(
        "idx",
        {"x": FLOATS},
        by_file(x="x"),
        {"x": idx(np.array([0, np.inf, 1], "f4"))},
        {"x": idx(np.array([0, 0.5, 1], "f4"))},
        "train.x has range [0.0, inf], declared is [0, 1]",
    ),
    "NaN in a table": Entry(
        "csv",
        {"x": {"dtype": "float32"}},
        ONE,
        {"f": b"x\n0\nnan\n1\n"},
        {"f": b"x\n0\n-1e3\n1\n"},
        "line 3, column 1 ('x'): 'nan' is not a number",
    ),
    "another dtype of the same size": Entry(
        "npy",
        {"images": IMAGES},
        by_file(images="x"),
        {"x": npy(X.astype("i1"))},
        {"x": npy(X)},
        "train.images has dtype int8, declared is uint8",
    ),
    "another shape of the same size": Entry(
        "npy",
        {"images": IMAGES},
        by_file(images="x"),
        {"x": npy(X.reshape(3, 2, 2))},
        {"x": npy(np.asfortranarray(X))},
        "train.images has shape [2, 2], declared is [4]",
    ),
    "rows and columns exchanged": Entry(
        "npy",
        {"images": IMAGES},
        by_file(images="x"),
        {"x": npy(np.ascontiguousarray(X.T))},
        {"x": npy(X)},
        "the array is uint8 (4, 3), more than train.images declares: uint8 (3, 4)",
    ),
    "a split that repeats another": Entry(
        "npz",
        BOTH,
        TWO,
        {"f": npz(images=X, labels=Y), "g": npz(labels=Y, images=X)},
        {"f": npz(images=X, labels=Y), "g": npz(images=X[::-1], labels=Y)},
        "test repeats train: all 3 samples are the same, in the same order",
    ),
    "a split of text that repeats another": Entry(
        "text",
        {"lines": TEXT},
        TWO,
        {"f": b"a\nb\nc\n", "g": gzip.compress(b"a\nb\nc")},
        {"f": b"a\nb\nc\n", "g": b"a\nb\nd\n"},
        "test repeats train: all 3 samples are the same, in the same order",
        options={"unit": "lines"},
    ),
    "more pairs than declared": Entry(
        "qa-text",
        {"questions": TEXT, "answers": TEXT},
        ONE,
        {"f": TALKS + b"\nQ: g\nA: h\n"},
        {"f": TALKS},
        "it has more pairs than the 3 that train declares (line 10)",
    ),
    "fewer pairs than declared": Entry(
        "qa-text",
        {"questions": TEXT, "answers": TEXT},
        ONE,
        {"f": TALKS[:10]},
        {"f": TALKS},
        "train.questions has samples 1, declared is 3",
    ),
    "samples without end": Entry(
        "text",
        {"lines": TEXT},
        {"train": {"samples": 10**12, "file": "f"}},
        {"f": b"a\n"},
        {"f": b"a\n"},
        "train.lines has samples 1, declared is 1,000,000,000,000",
        options={"unit": "lines"},
    ),
    "a sample of a quarter of a gigabyte": Entry(
        "idx",
        {"images": {"dtype": "uint8", "shape": [2**28]}},
        by_file(images="f"),
        {"f": b"\0\0\x08\x02\0\0\0\3\x10\0\0\0"},
        {"f": b"\0\0\x08\x02\0\0\0\3\0\0\0\1abc"},
        "its header states 805,306,368 bytes of values, but only 0 came",
        DecodeError,
    ),
}

every = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder: files with their bytes, links with where they lead."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else "a folder"
    return found


def declared(folder: Path, entry: Entry, files: dict[str, bytes], **more: Any) -> Path:
    """The manifest, and beside it the files, as it says to the last byte."""
    place = folder / "datasets" / "x"
    place.mkdir(parents=True)
    for name, data in files.items():
        (place / name).write_bytes(data)
    return declare(
        folder, "x", format=entry.form, options=entry.options, fields=entry.fields, splits=entry.splits, **more
    )


class TestContents:
    """The hash is right, and the contents are not."""

    @every
    def test_it_is_refused_and_leaves_nothing(
        self, entry: Entry, tmp_path: Path, home: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the file and the manifest's line; no array is kept, nothing beside is touched, nothing runs."""
        monkeypatch.chdir(tmp_path)
        path = declared(tmp_path / "given", entry, entry.hostile)
        before = tree(tmp_path / "given")

        with soon(), pytest.raises(entry.error) as caught:
            get("x", manifest=path)

        assert caught.value.reason == entry.result
        assert type(caught.value) is entry.error
        assert caught.value.path.parent == tmp_path / "given" / "datasets" / "x"
        assert str(caught.value.where).startswith("datasets.yaml:")
        assert caught.value.hint
        assert tree(tmp_path / "given") == before
        assert {part.name for part in tmp_path.iterdir()} <= {"given", "home"}
        assert not list(home.rglob("*.npy"))
        assert not list(home.rglob("*.part"))

    @every
    def test_its_twin_is_handed_over(self, entry: Entry, tmp_path: Path, home: Path) -> None:
        """The same entry, with files that are what it says."""
        if entry.hostile == entry.twin:
            entry = entry._replace(splits={"train": {"samples": 1, "file": "f"}})
        if entry.form == "idx" and entry.fields["images" if "images" in entry.fields else "x"].get("shape") == [2**28]:
            entry = entry._replace(fields={"images": {"dtype": "uint8", "shape": [1]}})
        found = get("x", manifest=declared(tmp_path, entry, entry.twin))

        assert len(found["train"]) == entry.splits["train"]["samples"]


LINKED = ("", "arrays", "entries", "locks")


class TestLinks:
    """A symbolic link that somebody planted leads nothing that is written elsewhere."""

    ENTRY = ENTRIES["labels shorter than images"]

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Path:
        """A folder with something precious in it, old enough to be swept."""
        folder = tmp_path / "elsewhere"
        (folder / ".x-0123.part").mkdir(parents=True)
        (folder / ".x-0123.part" / "precious").write_bytes(b"precious")
        (folder / "x-0123").mkdir()
        os.utime(folder / ".x-0123.part", (0, 0))
        return folder

    @pytest.mark.parametrize("name", LINKED)
    def test_in_place_of_a_folder_of_the_cache(self, name: str, tmp_path: Path, home: Path, elsewhere: Path) -> None:
        """The arrays cannot be kept, and it is said why; what only saves work is left out."""
        path = declared(tmp_path / "given", self.ENTRY, self.ENTRY.twin)
        link = home / ".cache" / name
        link.parent.mkdir(parents=True)
        link.symlink_to(elsewhere)
        before = tree(elsewhere)

        if name in ("", "arrays"):
            with pytest.raises(StorageError) as caught:
                get("x", manifest=path)
            assert str(caught.value) == (
                f"{link}: this is a symbolic link, and nothing is written through it\n  Delete the link; "
                "to keep the data elsewhere, set TINYTORCH_DATASETS_HOME to a folder there."
            )
        else:
            assert len(get("x", manifest=path).train) == 3

        assert tree(elsewhere) == before

    def test_in_place_of_a_lock(self, tmp_path: Path, home: Path, elsewhere: Path) -> None:
        """What it leads to is not emptied."""
        path = declared(tmp_path / "given", self.ENTRY, self.ENTRY.twin)
        get("x", manifest=path)
        [arrays] = (home / ".cache" / "arrays").iterdir()
        shutil.rmtree(arrays)
        lock = home / ".cache" / "locks" / f"{arrays.name}.lock"
        lock.unlink(missing_ok=True)
        lock.symlink_to(elsewhere / ".x-0123.part" / "precious")
        before = tree(elsewhere)

        assert len(get("x", manifest=path).train) == 3
        assert tree(elsewhere) == before

    def test_in_place_of_a_file_of_the_cache(self, tmp_path: Path, home: Path, elsewhere: Path) -> None:
        """The link is replaced, and what it led to stays."""
        path = declared(tmp_path / "given", self.ENTRY, self.ENTRY.twin)
        get("x", manifest=path)
        [file] = (home / ".cache" / "entries").iterdir()
        file.unlink()
        file.symlink_to(elsewhere / ".x-0123.part" / "precious")
        before = tree(elsewhere)

        assert len(get("x", manifest=path, verify="always").train) == 3
        assert tree(elsewhere) == before

    @pytest.mark.parametrize("name", ["x", "x/x", "x/x.part"])
    def test_in_the_folder_of_downloads(self, name: str, tmp_path: Path, home: Path, elsewhere: Path) -> None:
        """The data set's folder, the file, and what is kept beside it on its way."""
        mirror = tmp_path / "mirror" / "x"
        mirror.mkdir(parents=True)
        (mirror / "x").write_bytes(npy(X))
        path = remote(tmp_path, mirror / "x")
        link = home / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(elsewhere / "new")
        before = tree(elsewhere)

        with pytest.raises(StorageError) as caught:
            get("x", manifest=path, mirror=tmp_path / "mirror")

        assert str(caught.value).startswith(f"{link}: this is a symbolic link, and nothing is written through it\n")
        assert tree(elsewhere) == before
        link.unlink()
        assert len(get("x", manifest=path, mirror=tmp_path / "mirror").train) == 3

    def test_above_the_cache_links_are_welcome(
        self, tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That is how people move their data to another disk."""
        path = declared(tmp_path / "given", self.ENTRY, self.ENTRY.twin)
        (tmp_path / "home").symlink_to(elsewhere)
        monkeypatch.setenv("TINYTORCH_DATASETS_HOME", str(tmp_path / "home"))

        assert len(get("x", manifest=path).train) == 3
        assert list((elsewhere / ".cache" / "arrays").iterdir())

    @pytest.mark.parametrize("kind", ["arrays", "entries"])
    def test_nothing_is_cleaned_through_one(self, kind: str, tmp_path: Path, home: Path, elsewhere: Path) -> None:
        """Where `get` writes nothing, `clean` removes nothing."""
        path = declared(tmp_path / "given", self.ENTRY, self.ENTRY.twin)
        link = home / ".cache" / kind
        link.parent.mkdir(parents=True)
        link.symlink_to(elsewhere)
        before = tree(elsewhere)

        with pytest.raises(StorageError) as caught:
            clean_x(path)

        assert caught.value.what == f"{link}: this is a symbolic link, and nothing is written through it"
        assert tree(elsewhere) == before

    @pytest.mark.parametrize("name", ["", "x"])
    def test_no_download_is_cleaned_through_one(self, name: str, tmp_path: Path, home: Path, elsewhere: Path) -> None:
        """The data set's folder is one; or the file: then the link is all that could go, and it stays."""
        (elsewhere / "x").write_bytes(npy(X))
        path = remote(tmp_path, elsewhere / "x")
        link = home / "x" / name
        link.parent.mkdir(parents=True)
        link.symlink_to(elsewhere / name)
        before = tree(elsewhere)

        with contextlib.suppress(StorageError):
            clean_x(path)

        assert tree(elsewhere) == before


def clean_x(manifest: Path) -> None:
    """What `tinytorch-datasets clean x` does."""
    loaded = load_manifest(manifest)
    locations = pipeline.locations(loaded)
    cleaning.clean(pipeline.plan_of(loaded, "x", locations), locations)


class TestHardLinks:
    """A hard link that somebody planted is replaced: nothing is written into the file that it shares."""

    @pytest.mark.parametrize("name", ["x/x.part", "x/x.part.json", ".cache/locks/x--x.holder"])
    def test_beside_a_download(self, name: str, tmp_path: Path, home: Path) -> None:
        """What comes, what is noted of it, and who is at it."""
        mirror = tmp_path / "mirror" / "x"
        mirror.mkdir(parents=True)
        (mirror / "x").write_bytes(npy(X))
        precious = tmp_path / "precious"
        precious.write_bytes(b"precious")
        (home / name).parent.mkdir(parents=True)
        (home / name).hardlink_to(precious)

        assert len(get("x", manifest=remote(tmp_path, mirror / "x"), mirror=tmp_path / "mirror").train) == 3
        assert precious.read_bytes() == b"precious"

    def test_in_the_cache(self, tmp_path: Path, home: Path) -> None:
        """What is written anew has a file of its own."""
        entry = ENTRIES["labels shorter than images"]
        path = declared(tmp_path / "given", entry, entry.twin)
        get("x", manifest=path)
        precious = tmp_path / "precious"
        precious.write_bytes(b"precious")
        for file in (*home.rglob("*.npy"), *home.rglob("*.json")):
            file.unlink()
            file.hardlink_to(precious)

        assert len(get("x", manifest=path).train) == 3
        assert precious.read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
class TestPipes:
    """A named pipe that somebody planted in a home is not waited for, whatever looks at it."""

    NAMES = (
        "x/x",
        "x/x.part",
        "x/x.part.json",
        ".cache/locks/x--x.holder",
        ".cache/locks/x--x.lock",
        ".cache",
        ".cache/arrays",
        ".cache/entries",
        "x",
    )

    @pytest.mark.parametrize("name", NAMES)
    def test_every_command_ends(self, name: str, tmp_path: Path, home: Path) -> None:
        """With the data, or with an error of this package."""
        mirror = tmp_path / "mirror" / "x"
        mirror.mkdir(parents=True)
        (mirror / "x").write_bytes(npy(X))
        options = ["--manifest", str(remote(tmp_path, mirror / "x"))]
        (home / name).parent.mkdir(parents=True)
        os.mkfifo(home / name)
        commands = ["list", "audit x", "lock x --output -", "get x", "audit x", "get x --verify always", "clean x"]
        code = f"""
from tinytorch_datasets.cli import main
for command in {commands!r}:
    try:
        main([*command.split(), *{options!r}])
    except SystemExit:
        pass
print("all have ended")
"""
        done = python("-c", code, env={**os.environ, "TINYTORCH_DATASETS_MIRROR": str(tmp_path / "mirror")})

        assert done.stdout.endswith("all have ended\n"), done.stderr


def remote(folder: Path, file: Path) -> Path:
    """A manifest of one file that is fetched."""
    entry = {
        "title": "x",
        "status": "remote",
        "format": "npy",
        "license": "CC0-1.0",
        "source": "made here",
        "fields": {"images": IMAGES},
        "splits": {"train": {"samples": 3, "images": "x"}},
        "mirrors": ["https://example.invalid/"],
        "files": {"x": facts(file)},
    }
    path = folder / "datasets.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "datasets": {"x": entry}}))
    return path


WRONG_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "a changed bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "a byte less": lambda data: data[:-1],
    "a byte more": lambda data: data + b"\0",
    "nothing": lambda data: b"",
    "a page": lambda data: b"<!DOCTYPE html><title>404</title>".ljust(len(data)),
    "zeros": lambda data: bytes(len(data)),
    "compressed": gzip.compress,
    "a pickle that calls": lambda data: UNSAFE["os.system"][0],
}


class TestMirrors:
    """What a mirror sends is the declared file, or is never looked into."""

    @pytest.fixture
    def offers(self, tmp_path: Path) -> Callable[[bytes], Path]:
        """A mirror's folder that has these bytes for the one file."""

        def offer(data: bytes) -> Path:
            place = tmp_path / "mirror" / "x"
            place.mkdir(parents=True, exist_ok=True)
            (place / "x").write_bytes(data)
            return tmp_path / "mirror"

        return offer

    @pytest.mark.parametrize("spoil", WRONG_BYTES.values(), ids=WRONG_BYTES)
    def test_other_bytes_are_not_kept(
        self,
        spoil: Callable[[bytes], bytes],
        tmp_path: Path,
        home: Path,
        offers: Callable[[bytes], Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Nothing of them is decoded, run, or there afterwards; with the right ones the same call succeeds."""
        monkeypatch.chdir(tmp_path)
        data = npy(X)
        path = remote(tmp_path, offers(data) / "x" / "x")

        with pytest.raises(DatasetError):
            get("x", manifest=path, mirror=offers(spoil(data)), offline=True)

        assert not (home / "x" / "x").exists()
        assert not (tmp_path / "marker").exists()
        np.testing.assert_array_equal(get("x", manifest=path, mirror=offers(data)).train.images, X)
