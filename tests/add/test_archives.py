"""`add` of archives of data files, archives in archives, mixtures: what is read where it is, and what is asked."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.add.test_arrays import mat
from tests.add.test_images import picture, write
from tests.helpers.add_world import add
from tests.helpers.format_writers import COMPRESSORS, idx, member, npy, npz, tarred, zipped
from tinytorch_datasets import get
from tinytorch_datasets.add.detect import detect
from tinytorch_datasets.add.inputs import Unpacked
from tinytorch_datasets.errors import DecodeError

X, Y = np.random.RandomState(0).rand(12, 3), np.arange(12) % 3
PIXELS = np.random.RandomState(1).randint(0, 256, (12, 4, 4)).astype("u1")


def csv(start: int, count: int) -> bytes:
    """A table of two columns of numbers and a label."""
    rows = (f"{at},{at / 4},{('a', 'b')[at % 2]}\n" for at in range(start, start + count))
    return ("x,y,label\n" + "".join(rows)).encode()


def targz(files: Mapping[str, bytes]) -> bytes:
    """A compressed tar archive."""
    return COMPRESSORS["gzip"](tarred(*(member(*file) for file in files.items())))


def added(manifest: Path, folder: Path, data: bytes, *options: str) -> tuple[Any, dict[str, Any]]:
    """What `get` returns, and the entry."""
    (folder / "set.bin").write_bytes(data)
    done = add(manifest, folder / "set.bin", "--ship", "--name", "mine", *options)
    assert done.exit_code == 0, done.output
    return get("mine", manifest=manifest, offline=True), yaml.safe_load(manifest.read_text())["datasets"]["mine"]


def refused(manifest: Path, path: Path, *options: str) -> str:
    """Why it is not added, and what to do, without the path."""
    before = manifest.read_bytes()
    done = add(manifest, path, "--ship", "--name", "mine", *options)
    assert done.exit_code == 1, done.output
    assert manifest.read_bytes() == before
    return done.stderr.removeprefix(f"error: {path}: ")


class TestDataFiles:
    """They stay where they are: the entry names the members."""

    @pytest.mark.parametrize("pack", [zipped, targz])
    def test_tables_below_one_folder(self, manifest: Path, tmp_path: Path, pack: Callable[..., bytes]) -> None:
        """Splits by the names of members; what stands beside them is named."""
        files = {"set/readme.txt": b"about", "set/train.csv": csv(0, 20), "set/test.csv": csv(20, 6)}
        got, entry = added(manifest, tmp_path, pack(files))

        assert got.train.features.tolist() == [[at, at / 4] for at in range(20)]
        assert got.test.labels.tolist() == [0, 1] * 3
        assert entry["splits"]["test"] == {"samples": 6, "file": "set.bin", "member": "set/test.csv"}
        assert "left out: set/readme.txt: stands beside data, and is none" in manifest.read_text()

    @pytest.mark.parametrize("pack", [zipped, targz])
    @pytest.mark.parametrize(
        ("files", "field", "expected"),
        [
            ({"d/x_train.npy": npy(X), "d/y_train.npy": npy(Y)}, "features", X),
            (
                {
                    "gzip/images-idx3-ubyte.gz": gzip.compress(idx(PIXELS)),
                    "gzip/labels-idx1-ubyte": idx(Y.astype("u1")),
                },
                "images",
                PIXELS,
            ),
            ({"d/train.npz": npz(x=X, y=Y)}, "features", X),
            ({"images.npz": npz(arr_0=PIXELS), "labels.npz": npz(arr_0=Y)}, "images", PIXELS),
            ({"m.mat": mat(X=X, y=Y[:, None])}, "features", X),
        ],
        ids=["npy", "idx", "npz", "two npz", "mat"],
    )
    def test_arrays(
        self,
        manifest: Path,
        tmp_path: Path,
        files: dict[str, bytes],
        field: str,
        expected: np.ndarray,
        pack: Callable[..., bytes],
    ) -> None:
        """Of every format, a field a member or all in one."""
        got, _ = added(manifest, tmp_path, pack(files))

        np.testing.assert_array_equal(getattr(got.train, field), expected)
        assert got.train.labels.tolist() == Y.tolist()

    def test_a_member_of_its_own_kind(self, manifest: Path, tmp_path: Path) -> None:
        """What no format reads is named, with the flag that leaves it out."""
        files = {"train.npz": npz(x=X, y=Y), "weights.bin": b"\0\1\2\xff" * 9}
        path = tmp_path / "set.bin"
        path.write_bytes(targz(files))

        assert refused(manifest, path).splitlines()[0] == (
            "member 'weights.bin': its format is not recognized: it is something that begins with "
            "b'\\x00\\x01\\x02\\xff\\x00\\x01\\x02\\xff'"
        )
        assert added(manifest, tmp_path, targz(files), "--drop", "weights.bin")[0].train.labels.tolist() == Y.tolist()

    def test_records_are_said_by_a_person(self, manifest: Path, tmp_path: Path) -> None:
        """Numbers without a header say nothing of themselves: the hint has what to write."""
        path = tmp_path / "cifar.tar.gz"
        path.write_bytes(targz({"b/data_batch_1.bin": bytes(3073 * 4), "b/test_batch.bin": bytes(3073 * 2)}))

        assert (
            "What numbers without a header are, a person says: --format records --option "
            "'record=[{key: labels, dtype: uint8}, {key: images, dtype: uint8, shape: [3, 32, 32]}]'"
        ) in refused(manifest, path)

    def test_more_files_than_a_data_set_has(self, manifest: Path, tmp_path: Path) -> None:
        """A thousand tables are no splits."""
        path = tmp_path / "set.zip"
        path.write_bytes(zipped({f"{n}.csv": b"a\n" for n in range(1001)}))

        assert refused(manifest, path) == (
            "it is an archive of more than 1,000 files, which are no samples of one format\n"
            "  Unpack it, and add the files that are one data set.\n"
        )


class TestArchivesInArchives:
    """Each is gone into; the entry has the way."""

    def test_pictures(self, manifest: Path, tmp_path: Path) -> None:
        """A folder of classes, in a tar in a zip."""
        inner = targz({f"101/{kind}/{n}.png": picture(n) for kind in ("cat", "dog") for n in range(3)})
        got, entry = added(manifest, tmp_path, zipped({"set/101.tar.gz": inner, "set/README": b"about"}))

        assert (got.classes, got.train.labels.tolist()) == (("cat", "dog"), [0] * 3 + [1] * 3)
        place = {"file": "set.bin", "member": "set/101.tar.gz", "members": ["101/*/*.png"]}
        assert entry["splits"]["train"] == {"samples": 6, **place}

    def test_arrays(self, manifest: Path, tmp_path: Path) -> None:
        """A zip of arrays, in a zip."""
        got, entry = added(manifest, tmp_path, zipped({"in.zip": zipped({"train.npz": npz(x=X, y=Y)})}))

        np.testing.assert_array_equal(got.train.features, X)
        assert entry["splits"]["train"]["member"] == ["in.zip", "train.npz"]

    def test_a_damaged_one(self, manifest: Path, tmp_path: Path) -> None:
        """The error names the members on the way, and no copy."""
        path = tmp_path / "set.zip"
        path.write_bytes(zipped({"in.zip": zipped({"a/1.npz": npz(x=X)[:-30]})}))

        assert refused(manifest, path).startswith("member 'in.zip': member 'a/1.npz': it is")

    def test_bombs_in_bombs(self, tmp_path: Path) -> None:
        """All copies together are bounded, in however many archives they are."""
        inner = zipped({"zeros.csv": b"0,1\n" * 160_000})
        path = tmp_path / "set.zip"
        path.write_bytes(zipped({f"{n}.zip": inner for n in range(9)}))

        with pytest.raises(DecodeError) as caught:
            detect([(path, "set.zip")], unpacked=Unpacked(tmp_path / "scratch", limit=1 << 20))

        reason = "the files up to here are more than 1,048,576 bytes, the most that is read to recognize a file"
        assert caught.value.reason == f"member '1.zip': member 'zeros.csv': {reason}"


class TestMixtures:
    """Pictures, recordings and others, none of them most."""

    FILES = {f"{n}.png": picture(n) for n in range(3)} | {f"{n}.txt": b"a b c" for n in range(4)}

    def test_a_folder(self, manifest: Path, tmp_path: Path) -> None:
        """They are counted, and which is meant is asked."""
        path = write(tmp_path / "made", self.FILES)

        assert refused(manifest, path) == (
            "it holds 3 pictures and 4 other files, and which of them are the data set is not certain\n"
            "  Say which, and leave the others out: --format images.\n"
        )
        done = add(manifest, path, "--ship", "--name", "mine", "--format", "images")
        assert done.exit_code == 0, done.output
        assert "left out: '0.txt' and 3 more at the top: no picture" in done.stderr

    def test_an_archive(self, manifest: Path, tmp_path: Path) -> None:
        """In it, they are not chosen from."""
        path = tmp_path / "set.zip"
        path.write_bytes(zipped(self.FILES))

        assert refused(manifest, path).endswith("  Unpack it, and add the folder with --format images.\n")


@pytest.mark.parametrize(("label", "classes"), [("name:0", ("neg", "pos")), ("none", None)])
def test_texts_in_no_folders(manifest: Path, tmp_path: Path, label: str, classes: tuple[str, ...] | None) -> None:
    """A person says that each is a sample, and what of the name is the label."""
    files = {f"{kind}_{n}.txt": f"text {kind} {n}".encode() for kind in ("pos", "neg") for n in range(3)}
    path = write(tmp_path / "made", files)
    done = add(manifest, path, "--ship", "--name", "mine", "--format", "texts", "--label", label)

    assert done.exit_code == 0, done.output
    got = get("mine", manifest=manifest, offline=True)
    assert list(got.train.texts) == [files[name].decode() for name in sorted(files)]
    assert got.classes == classes


class TestRecords:
    """Numbers without a header, of which the file says nothing and a person everything."""

    RECORD = "record=[{key: labels, dtype: uint8}, {key: images, dtype: uint8, shape: [4, 4]}]"

    @staticmethod
    def records(start: int, stop: int) -> bytes:
        """Samples in CIFAR-10's binary form: a byte for the label, and the pixels."""
        return b"".join(bytes([Y[at]]) + PIXELS[at].tobytes() for at in range(start, stop))

    def test_batches_and_a_test_set(self, manifest: Path, tmp_path: Path) -> None:
        """In an archive as it is published; a list of names beside them is left out by its name."""
        data = targz(
            {
                "b/data_batch_1.bin": self.records(0, 5),
                "b/data_batch_2.bin": self.records(5, 10),
                "b/test_batch.bin": self.records(10, 12),
                "b/batches.meta.txt": b"cat\ndog\nfrog\n",
            }
        )
        options = ("--format", "records", "--option", self.RECORD, "--drop", "b/batches.meta.txt")
        dataset, entry = added(manifest, tmp_path, data, *options)

        assert entry["splits"]["train"]["members"] == ["b/data_batch_1.bin", "b/data_batch_2.bin"]
        assert np.array_equal(dataset.train.images, PIXELS[:10])
        assert dataset.train.labels.tolist() == Y[:10].tolist()
        assert np.array_equal(dataset.test.images, PIXELS[10:])

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ((), "format 'records' needs the option 'record': the parts of a record, in order"),
            (
                ("--option", "record=[{key: labels, dtype: uint8}, {key: images, dtype: uint8, shape: [4, 5]}]"),
                "it is not records of 21 bytes: 4 of them, and 1 bytes are left",
            ),
            (
                ("--option", RECORD, "--option", "header_bytes=3"),
                "it is not records of 17 bytes: 4 of them, and 14 bytes are left",
            ),
        ],
        ids=["no record", "another length", "a header that is none"],
    )
    def test_what_does_not_fit(self, manifest: Path, tmp_path: Path, options: Sequence[str], error: str) -> None:
        """Nothing is guessed from the length."""
        (tmp_path / "set.bin").write_bytes(self.records(0, 5))

        assert refused(manifest, tmp_path / "set.bin", "--format", "records", *options).splitlines()[0] == error

    @pytest.mark.parametrize("given", ["record=5", "record=[{dtype: uint9}]", "record=[{key: x"])
    def test_what_is_no_record(self, manifest: Path, tmp_path: Path, given: str) -> None:
        """It is refused as the manifest refuses it."""
        (tmp_path / "set.bin").write_bytes(self.records(0, 5))
        done = add(manifest, tmp_path / "set.bin", "--ship", "--format", "records", "--option", given)

        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: --option {given}: ")
