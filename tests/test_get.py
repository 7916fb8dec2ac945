"""get(), from the manifest to the arrays in hand."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT, Served, plainly_unpickled
from tests.helpers.cache_entries import plain_entry, replace_in_entry, write_entry
from tinytorch_datasets import Dataset, get, list_datasets
from tinytorch_datasets.errors import DecodeError, HashMismatch, MissingFile, OfflineError, UnknownName

LABEL_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def facts(path: Path) -> dict[str, object]:
    """What a manifest declares of a file, worked out here and not by the package."""
    raw = path.read_bytes()
    return {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def declare(folder: Path, name: str, **entry: object) -> Path:
    """Write a manifest with one shipped data set, whose files lie in `<folder>/datasets/<name>/`."""
    files = {p.name: facts(p) for p in sorted((folder / "datasets" / name).iterdir())}
    result = {"title": name, "status": "shipped", "license": "CC0-1.0", "source": "made here", "files": files, **entry}
    path = folder / "datasets.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "datasets": {name: result}}, sort_keys=False))
    return path


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A manifest for a CSV of 30 flowers, in two files, declared and nothing else."""
    folder = tmp_path / "datasets" / "flowers"
    folder.mkdir(parents=True)
    for split, count in (("train", 20), ("test", 10)):
        with (folder / f"{split}.csv").open("w", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(["length", "width", "kind"])
            rows.writerows([i / 2, i / 4, ("rose", "tulip")[i % 2]] for i in range(count))
    return declare(
        tmp_path,
        "flowers",
        format="csv",
        options={"columns": {"labels": "kind"}},
        fields={
            "features": {"dtype": "float32", "shape": [2]},
            "labels": {"dtype": "int64", "classes": ["rose", "tulip"]},
        },
        splits={"train": {"samples": 20, "file": "train.csv"}, "test": {"samples": 10, "file": "test.csv"}},
    )


class TestTheShippedSets:
    """They need no network, from the first call on."""

    def test_tinydigits_is_the_published_arrays(self, home: Path, no_network: None) -> None:
        """The same values as a plain unpickling of the files gives, as many of each digit."""
        digits = get("tinydigits")

        assert digits.train.images.shape == (1000, 8, 8)
        assert digits.test.images.dtype == np.float32
        assert np.bincount(digits.train.labels).tolist() == [100] * 10
        assert np.bincount(digits.test.labels).tolist() == [20] * 10
        published = plainly_unpickled(ROOT / "datasets/tinydigits/train.pkl")
        np.testing.assert_array_equal(digits.train.images, published["images"])
        np.testing.assert_array_equal(digits.train.labels, published["labels"])

    def test_tinytalks_gives_pairs_levels_and_text(self, home: Path, no_network: None) -> None:
        """A pair's level is declared by counts, in order; the text is the file."""
        talks = get("tinytalks")

        assert {name: len(split) for name, split in talks.items()} == {"train": 245, "val": 53, "test": 52}
        assert np.bincount(talks.train.levels).tolist() == [0, 35, 70, 35, 70, 35]
        question, answer, level = talks.train[0]
        assert talks.train.text.startswith(f"Q: {question}\nA: {answer}\n\nQ: ")
        assert level == 1
        assert all(f"Q: {q}\nA: {a}\n" in talks.val.text for q, a, _ in talks.val)

    def test_a_second_get_opens_the_same_maps(self, home: Path, no_network: None) -> None:
        """Decoded once; read-only and memory-mapped ever after."""
        get("tinydigits")
        before = {path: path.stat().st_mtime_ns for path in home.rglob("*.npy")}
        images = get("tinydigits").train.images

        assert isinstance(images, np.memmap)
        assert not images.flags.writeable
        assert before
        assert {path: path.stat().st_mtime_ns for path in home.rglob("*.npy")} == before

    def test_provenance_is_one_line(self, home: Path) -> None:
        """Name, version, and the hashes of manifest and files."""
        line = get("tinydigits").provenance

        assert line.startswith("tinydigits from tinytorch-datasets ")
        assert "train.pkl 254293630e549113" in line
        assert "\n" not in line

    def test_a_wrong_name_is_reported_with_a_guess(self, home: Path) -> None:
        """No name is taken for one that it only resembles."""
        with pytest.raises(UnknownName) as caught:
            get("mnits")

        assert caught.value.what == "no data set named 'mnits' in datasets.yaml; did you mean 'mnist'?"

    def test_a_wrong_verify_is_refused(self, home: Path) -> None:
        """Before anything is read."""
        with pytest.raises(ValueError, match='verify is "auto" or "always", not True'):
            get("tinydigits", verify=True)  # type: ignore[call-overload]


class TestRealMnist:
    """The real files, over loopback and from a folder, under the official hashes."""

    def same(self, mnist: Dataset) -> None:
        """Witnesses published elsewhere: shapes, label counts by class, the mean of the training images."""
        assert mnist.train.images.shape == (60000, 28, 28)
        assert mnist.test.images.shape == (10000, 28, 28)
        assert mnist.train.images.dtype == np.uint8
        assert mnist.train.labels.dtype == mnist.test.labels.dtype == np.int64
        assert np.bincount(mnist.train.labels).tolist() == LABEL_COUNTS
        assert round(float(mnist.train.images.mean()), 4) == 33.3184

    def test_over_http(self, realdata: Path, home: Path, serve: Callable[[Path], Served]) -> None:
        """Each file is asked for once; afterwards nothing is."""
        mirror = serve(realdata)
        self.same(get("mnist", mirror=mirror))
        asked = sorted(mirror.asked)
        self.same(get("mnist", mirror=mirror))

        assert asked == sorted(f"/mnist/{path.name}" for path in (realdata / "mnist").iterdir())
        assert len(mirror.asked) == len(asked)

    def test_from_a_folder_and_then_offline(
        self, realdata: Path, home: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A USB stick is a mirror; once here, the data needs neither the stick nor a socket."""
        self.same(get("mnist", mirror=realdata))
        monkeypatch.setenv("TINYTORCH_DATASETS_OFFLINE", "1")
        self.same(get("mnist"))

    @pytest.mark.slow
    def test_keras_habit(self, realdata: Path, home: Path) -> None:
        """Float images in 0 to 1, in the nested tuples that Keras gives."""
        (x_train, y_train), (x_test, _) = get("mnist", mirror=realdata).arrays(dtype="float32")

        assert (x_train.min(), x_train.max()) == (0.0, 1.0)
        assert x_test.dtype == np.float32
        assert y_train[:3].tolist() == [5, 0, 4]


def cifar_like(folder: Path, archive: Path, batch: int) -> Path:
    """A manifest for an archive in CIFAR-10's on-disk form, served from where it lies."""
    batches = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    path = folder / "datasets.yaml"
    entry = {
        "title": "CIFAR-10's form",
        "status": "remote",
        "format": "cifar-python",
        "license": "not stated by the authors",
        "source": "https://www.cs.toronto.edu/~kriz/cifar.html",
        "folder": archive.parent.name,
        "fields": {
            "images": {"dtype": "uint8", "shape": [3, 32, 32], "range": [0, 255]},
            "labels": {"dtype": "int64", "classes": classes},
        },
        "splits": {
            "train": {"samples": 5 * batch, "file": archive.name, "members": batches},
            "test": {"samples": batch, "file": archive.name, "members": ["cifar-10-batches-py/test_batch"]},
        },
        "mirrors": ["https://example.invalid/"],
        "files": {archive.name: facts(archive)},
    }
    path.write_text(yaml.safe_dump({"version": 1, "datasets": {"cifar": entry}}))
    return path


class TestRealCifarForm:
    """Archives of pickled batches, read member by member without extracting."""

    def test_750_real_images_a_batch(self, realdata: Path, home: Path, tmp_path: Path, no_network: None) -> None:
        """Split sizes are the file's own; the first labels are those published for CIFAR-10."""
        archive = realdata / "cifar-10-mini" / "cifar-10-python.tar.gz"
        cifar = get("cifar", manifest=cifar_like(tmp_path, archive, 750), mirror=realdata)

        assert cifar.train.images.shape == (3750, 3, 32, 32)
        assert cifar.test.images.shape == (750, 3, 32, 32)
        assert [cifar.classes[label] for label in cifar.train.labels[:5]] == [  # type: ignore[index]
            "frog", "truck", "truck", "deer", "automobile"]  # fmt: skip
        assert [cifar.classes[label] for label in cifar.test.labels[:4]] == ["cat", "ship", "ship", "airplane"]  # type: ignore[index]
        assert not [path for path in home.rglob("*") if "batch" in path.name]

    @pytest.mark.slow
    def test_the_full_size(self, full_cifar: Path, home: Path, tmp_path: Path) -> None:
        """60,000 images in real member sizes; the test labels are balanced, as the authors say."""
        mirror = full_cifar.parent.parent
        cifar = get("cifar", manifest=cifar_like(tmp_path, full_cifar, 10_000), mirror=mirror)

        assert cifar.train.images.shape == (50_000, 3, 32, 32)
        assert np.bincount(cifar.test.labels).tolist() == [1000] * 10


class TestAddedByYamlAlone:
    """A data set is one entry in a manifest, and no Python."""

    def test_a_csv(self, flowers: Path, home: Path, no_network: None) -> None:
        """String labels become ids, in the order of the declared classes."""
        got = get("flowers", manifest=flowers)

        assert got.train.features.dtype == np.float32
        assert got.train.features[3].tolist() == [1.5, 0.75]
        assert got.test.labels.tolist() == [0, 1] * 5
        assert got.classes == ("rose", "tulip")

    def test_an_npz(self, tmp_path: Path, home: Path) -> None:
        """Both splits in one archive, told apart by the names inside it."""
        folder = tmp_path / "datasets" / "noise"
        folder.mkdir(parents=True)
        x = np.arange(7 * 5 * 5, dtype=np.int16).reshape(7, 5, 5)
        np.savez_compressed(folder / "noise.npz", x_train=x[:5], y_train=x[:5, 0, 0] % 2, x_test=x[5:], y_test=[1, 0])
        path = declare(
            tmp_path,
            "noise",
            format="npz",
            fields={
                "images": {"dtype": "int16", "shape": [5, 5]},
                "labels": {"dtype": "int64", "classes": ["even", "odd"]},
            },
            splits={
                "train": {"samples": 5, "file": "noise.npz", "images": "x_train", "labels": "y_train"},
                "test": {"samples": 2, "file": "noise.npz", "images": "x_test", "labels": "y_test"},
            },
        )
        noise = get("noise", manifest=path)

        np.testing.assert_array_equal(noise.train.images, x[:5])
        np.testing.assert_array_equal(noise.test.images, x[5:])
        assert noise.test.labels.tolist() == [1, 0]

    @pytest.mark.parametrize(("unit", "samples"), [("document", 1), ("lines", 3)])
    def test_a_text(self, tmp_path: Path, home: Path, unit: str, samples: int) -> None:
        """One document as a whole, or a sample a line."""
        folder = tmp_path / "datasets" / "poem"
        folder.mkdir(parents=True)
        (folder / "poem.txt").write_text("roses are red\nviolets are blue\ncaf\u00e9\u2028au lait\n", encoding="utf-8")
        field = {"text": {"dtype": "str", "per": "split"}} if unit == "document" else {"lines": {"dtype": "str"}}
        path = declare(
            tmp_path,
            "poem",
            format="text",
            options={"unit": unit},
            fields=field,
            splits={"train": {"samples": samples, "file": "poem.txt"}},
        )
        train = get("poem", manifest=path).train

        assert len(train) == samples
        if unit == "document":
            assert train.text[:13] == "roses are red"
        else:
            assert train.lines == ["roses are red", "violets are blue", "caf\u00e9\u2028au lait"]


class TestWrongBytes:
    """A file that is not the declared one is refused, by name, with both hashes and the manifest's line."""

    def test_a_flipped_byte_is_refused(self, flowers: Path, home: Path) -> None:
        """Even when its size is right, and whatever was cached before."""
        get("flowers", manifest=flowers)
        path = flowers.parent / "datasets" / "flowers" / "test.csv"
        declared = hashlib.sha256(path.read_bytes()).hexdigest()
        raw = bytearray(path.read_bytes())
        raw[-2] ^= 1
        path.write_bytes(raw)

        for verify in ("auto", "always"):
            with pytest.raises(HashMismatch) as caught:
                get("flowers", manifest=flowers, verify=verify)
            assert (caught.value.expected, caught.value.actual) == (declared, hashlib.sha256(raw).hexdigest())
            lines = flowers.read_text().splitlines()
            line = next(i for i, text in enumerate(lines, 1) if declared in text)
            assert str(caught.value) == (
                f"{path} is not the declared file: it has sha256\n    {hashlib.sha256(raw).hexdigest()}, declared is\n"
                f"    {declared}\n  declared at datasets.yaml:{line}\n"
                "  Restore it: `git checkout` it in a clone, or reinstall the package. "
                "If the change was meant, `tinytorch-datasets update flowers` writes the new hash."
            )

    def test_a_change_that_hides_itself_is_seen(self, flowers: Path, home: Path) -> None:
        """Size and time of change as they were are not enough to pass for the same file."""
        path = flowers.parent / "datasets" / "flowers" / "test.csv"
        get("flowers", manifest=flowers)
        seen = path.stat()
        with path.open("r+b") as stream:
            stream.seek(-2, os.SEEK_END)
            stream.write(b"?")
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))

        with pytest.raises(HashMismatch):
            get("flowers", manifest=flowers)

    def test_verify_always_reads_every_byte_whatever_the_stat_signatures_are(self, flowers: Path, home: Path) -> None:
        """Forged stamps deceive "auto", which trusts them, and not "always"."""
        path = flowers.parent / "datasets" / "flowers" / "test.csv"
        get("flowers", manifest=flowers)
        old = path.stat()
        with path.open("r+b") as stream:
            stream.seek(-2, os.SEEK_END)
            stream.write(b"?")
        new = path.stat()
        (entry,) = home.rglob("entries/*.json")
        forge = {str(old.st_mtime_ns): str(new.st_mtime_ns), str(old.st_ctime_ns): str(new.st_ctime_ns)}
        replace_in_entry(entry, forge)

        get("flowers", manifest=flowers)
        with pytest.raises(HashMismatch):
            get("flowers", manifest=flowers, verify="always")

    def test_another_size_is_reported_as_a_size(self, flowers: Path, home: Path) -> None:
        """Nothing is hashed for that."""
        path = flowers.parent / "datasets" / "flowers" / "test.csv"
        size = path.stat().st_size
        with path.open("ab") as out:
            out.write(b"!")
        with pytest.raises(HashMismatch) as caught:
            get("flowers", manifest=flowers)

        assert (caught.value.expected, caught.value.actual) == (size, size + 1)
        assert f"it has {size + 1} bytes, declared are {size}\n" in str(caught.value)

    def test_a_git_lfs_pointer_is_named(self, flowers: Path, home: Path) -> None:
        """A clone without LFS has those in place of the files."""
        path = flowers.parent / "datasets" / "flowers" / "test.csv"
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
        with pytest.raises(HashMismatch) as caught:
            get("flowers", manifest=flowers)

        assert str(caught.value).startswith(f"{path} is a Git LFS pointer, not the file itself\n")
        assert str(caught.value).endswith("\n  Run `git lfs pull`.")

    def test_a_shipped_file_that_is_gone_is_missing(self, flowers: Path, home: Path) -> None:
        """Arrays that were decoded before do not stand in for it."""
        get("flowers", manifest=flowers)
        path = flowers.parent / "datasets" / "flowers" / "test.csv"
        path.unlink()
        with pytest.raises(MissingFile) as caught:
            get("flowers", manifest=flowers)

        assert caught.value.path == path


class TestWrongContents:
    """Right bytes that hold something else than declared are an error with numbers."""

    CASES = (
        ("more samples", "samples: 20", "samples: 19", "it has more rows than the 19 that train declares (line 21)",
         "samples: 19"),
        ("fewer samples", "samples: 20", "samples: 21", "train.features has samples 20, declared is 21", "samples: 21"),
        ("another range", "dtype: float32", "dtype: float32\n        range: [0, 4]",
         "train.features has range [0.0, 9.5], declared is [0, 4]", "features:"),
        ("another class", "- tulip", "- tulp",
         "line 3, column 3 ('kind'): 'tulip' is not one of the 2 classes of labels; did you mean 'tulp'?", "labels:\n"),
        ("another shape", "- 2\n", "- 3\n", "2 columns are left for features, whose shape (3,) needs 3", "features:"),
        ("another option", "labels: kind", "labels: knd",
         "its header has no column 'knd', which is labels; did you mean 'kind'?", "labels: knd"),
    )  # fmt: skip

    @pytest.mark.parametrize(("old", "new", "expected", "line"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
    def test_is_reported(self, flowers: Path, home: Path, old: str, new: str, expected: str, line: str) -> None:
        """On the line that declares it; and nothing is left in the cache that a later call could take."""
        text = flowers.read_text()
        assert old in text
        text = text.replace(old, new, 1)
        flowers.write_text(text)
        with pytest.raises(DecodeError) as caught:
            get("flowers", manifest=flowers)

        assert str(caught.value) == (
            f"{caught.value.path}: {expected}\n"
            f"  declared at datasets.yaml:{text[: text.rindex(line)].count(chr(10)) + 1}\n"
            "  The file has its declared hash, so correct the entry; "
            "`tinytorch-datasets audit flowers` lists all that differs."
        )
        assert not list(home.rglob("*.npy"))


def inodes_of_arrays(home: Path) -> dict[Path, int]:
    """The inode of each decoded array: another one, where an array was written again."""
    return {path: path.stat().st_ino for path in (home / ".cache" / "arrays").rglob("*.npy")}


class TestTheCache:
    """A changed manifest or a changed file never meets an old array."""

    def test_a_changed_option_decodes_again(self, flowers: Path, home: Path) -> None:
        """The classes' order decides the labels."""
        before = get("flowers", manifest=flowers).train.labels[:2].tolist()
        text = flowers.read_text().replace("- rose\n        - tulip", "- tulip\n        - rose")
        flowers.write_text(text)

        assert before == [0, 1]
        assert get("flowers", manifest=flowers).train.labels[:2].tolist() == [1, 0]

    @pytest.mark.parametrize("damage", ["cut", "gone", "of another file"])
    def test_a_damaged_array_is_decoded_again(self, flowers: Path, home: Path, damage: str) -> None:
        """As good as absent."""
        get("flowers", manifest=flowers)
        path = next(home.rglob("train.features.npy"))
        raw = path.read_bytes()
        if damage == "cut":
            path.write_bytes(raw[:-1])
        elif damage == "gone":
            path.unlink()
        else:
            path.write_bytes(b"not an array")

        assert get("flowers", manifest=flowers).train.features[3].tolist() == [1.5, 0.75]
        assert path.read_bytes() == raw

    def test_arrays_in_use_stay_readable_when_they_are_decoded_again(self, flowers: Path, home: Path) -> None:
        """A running script keeps the pages it mapped."""
        held = get("flowers", manifest=flowers).train.features
        next(home.rglob("train.labels.npy")).unlink()
        get("flowers", manifest=flowers)

        assert held[3].tolist() == [1.5, 0.75]

    @pytest.mark.parametrize("array", ["train.features.npy", "train.labels.npy"])
    def test_an_array_with_one_flipped_bit_is_decoded_again(self, flowers: Path, home: Path, array: str) -> None:
        """Its size is right, and so is its header; its time of change is not, so it is hashed."""
        get("flowers", manifest=flowers)
        path = next(home.rglob(array))
        raw = path.read_bytes()
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))

        assert get("flowers", manifest=flowers).train.features[3].tolist() == [1.5, 0.75]
        assert path.read_bytes() == raw

    def test_a_text_with_one_other_letter_is_decoded_again(self, home: Path) -> None:
        """Likewise."""
        expected = list(get("tinytalks").train.questions)
        path = next(home.rglob("train.questions.utf8.npy"))
        path.write_bytes(path.read_bytes()[:-1] + b"!")

        assert list(get("tinytalks").train.questions) == expected

    def test_arrays_that_were_carried_elsewhere_are_compared_with_declared_digests(self, home: Path) -> None:
        """On a stick every signature is another; the arrays that have the declared digests are not decoded again."""
        get("tinydigits")
        shutil.copytree(home, home.with_name("stick"))
        inodes = inodes_of_arrays(home.with_name("stick"))
        get("tinydigits", home=home.with_name("stick"))

        assert inodes_of_arrays(home.with_name("stick")) == inodes

    def test_arrays_that_were_carried_elsewhere_are_decoded_where_no_digest_is_declared(
        self, flowers: Path, home: Path
    ) -> None:
        """Nobody but whoever brought them says what they are."""
        get("flowers", manifest=flowers)
        shutil.copytree(home, home.with_name("stick"))
        inodes = inodes_of_arrays(home.with_name("stick"))
        get("flowers", manifest=flowers, home=home.with_name("stick"))

        assert not set(inodes_of_arrays(home.with_name("stick")).values()) & set(inodes.values())

    def test_forged_signatures_do_not_pass_where_every_byte_is_read(self, flowers: Path, home: Path) -> None:
        """ "auto" trusts stat signatures; "always" reads, and decodes again what is not what was written."""
        get("flowers", manifest=flowers)
        path = next(home.rglob("train.features.npy"))
        raw = path.read_bytes()
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        about = path.stat()
        forged = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
        (entry,), (digests,) = home.rglob("entries/*.json"), home.rglob("digests.json")
        known = plain_entry(entry)
        known[-1][str(path)] = forged
        write_entry(entry, known)
        known = json.loads(digests.read_text())
        known["train.features"][1][path.name] = forged
        digests.write_text(json.dumps(known))

        get("flowers", manifest=flowers)
        assert path.read_bytes() != raw
        get("flowers", manifest=flowers, verify="always")
        assert path.read_bytes() == raw

    def test_every_byte_is_read_with_nothing_but_numpy_once_it_was_returned(self, flowers: Path, home: Path) -> None:
        """The hashes are in the cache entry, so neither YAML nor Pydantic is needed to read every byte again."""
        get("flowers", manifest=flowers)
        code = (
            f"from tinytorch_datasets import get; get('flowers', manifest={str(flowers)!r}, verify='always');"
            "import sys; print({'pydantic', 'yaml', 'pooch'} & set(sys.modules))"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

        assert result == "set()\n"


class TestOffline:
    """With no socket allowed, what is missing is named, with its size and the command that fetches it."""

    def test_what_is_missing_is_reported(self, home: Path, no_network: None) -> None:
        """All of it, and in one message."""
        with pytest.raises(OfflineError) as caught:
            get("cifar10", offline=True)

        assert caught.value.missing == (("cifar-10-python.tar.gz", 170498071),)
        assert "tinytorch-datasets get cifar10" in str(caught.value)


def test_list_datasets_gives_the_names_that_get_takes() -> None:
    """In the manifest's order, then those of the one that it includes."""
    assert list_datasets()[:5] == ["tinydigits", "tinytalks", "mnist", "cifar10", "fashion-mnist"]
