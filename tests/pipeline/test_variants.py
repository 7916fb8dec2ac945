"""The same values in another container: taken where the first cannot be had, and only if they are the same."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import pickle
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.format_writers import batch, member, tarred, zipped
from tests.helpers.yardstick import soon
from tinytorch_datasets import EncodedArray, audit, get, load_manifest
from tinytorch_datasets.add.update import update
from tinytorch_datasets.auditing import remote
from tinytorch_datasets.auditing.lockfile import record
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import (
    ContentError,
    FetchError,
    ManifestError,
    MissingLibrary,
    OfflineError,
    StandInWarning,
    UnknownName,
    UsageError,
)
from tinytorch_datasets.fetch import RetryPolicy
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.mirror.copy import mirror
from tinytorch_datasets.pipeline import cleaning, placed

IMAGES = np.random.RandomState(3).randint(0, 256, (6, 4, 5)).astype(np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)


def idx(values: np.ndarray) -> bytes:
    """An IDX file, as its page describes it, in gzip."""
    head = bytes([0, 0, 8, values.ndim]) + b"".join(struct.pack(">I", length) for length in values.shape)
    return gzip.compress(head + values.tobytes(), mtime=0)


def npz(**arrays: np.ndarray) -> bytes:
    """An NPZ file by NumPy."""
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def png(pixels: np.ndarray) -> bytes:
    """A picture in a file, by Pillow."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


NAME_IS = "lowercase letters, digits, '.', '_' and '-', at most 64, not starting with a sign"

FIRST = {"images.gz": idx(IMAGES), "labels.gz": idx(LABELS)}
KERAS = {"digits.npz": npz(x=IMAGES, y=LABELS)}
RECORDS = {
    "digits.bin": b"".join(bytes([label]) + image.tobytes() for label, image in zip(LABELS, IMAGES, strict=True))
}
MATLAB = {"turned.npz": npz(x=IMAGES.transpose(1, 2, 0), y=(LABELS + 1)[:, np.newaxis])}


def files(of: Mapping[str, bytes], indent: int) -> str:
    """Files as a manifest declares them."""
    lines = [f"{name}: {{bytes: {len(data)}, sha256: {hashlib.sha256(data).hexdigest()}}}" for name, data in of.items()]
    return "".join(" " * indent + line + "\n" for line in lines)


def declare(folder: Path, *, keras: Mapping[str, bytes] = KERAS, digest: bool = True) -> Path:
    """A manifest with three variants, none of whose addresses is anybody's."""
    folder.mkdir(parents=True, exist_ok=True)
    of_images = f", sha256: {{train: {digest_of(IMAGES)}}}" if digest else ""
    path = folder / "datasets.yaml"
    path.write_text(f"""\
version: 1
datasets:
  digits:
    title: Digits
    status: remote
    format: idx
    license: CC0-1.0
    source: made here
    fields:
      images: {{dtype: uint8, shape: [4, 5], range: [0, 255]{of_images}}}
      labels: {{dtype: int64, classes: [a, b, c], sha256: {{train: {digest_of(LABELS.astype(np.int64))}}}}}
    splits:
      train: {{samples: 6, images: images.gz, labels: labels.gz}}
    mirrors: [http://127.0.0.1:9/]
    files:
{files(FIRST, 6)}\
    variants:
      keras:
        format: npz
        splits:
          train: {{file: digits.npz, images: x, labels: y}}
        mirrors: [http://127.0.0.1:9/keras/]
        files:
{files(keras, 10)}\
      binary:
        format: records
        options: {{record: [{{key: labels, dtype: uint8}}, {{key: images, dtype: uint8, shape: [4, 5]}}]}}
        splits:
          train: {{file: digits.bin}}
        mirrors: [http://127.0.0.1:9/binary/]
        files:
{files(RECORDS, 10)}\
      matlab:
        format: npz
        fields:
          images: {{axes: [2, 0, 1]}}
          labels: {{first: 1}}
        splits:
          train: {{file: turned.npz, images: x, labels: y}}
        mirrors: [http://127.0.0.1:9/matlab/]
        files:
{files(MATLAB, 10)}\
""")
    return path


def put(folder: Path, of: Mapping[str, bytes]) -> Path:
    """A folder with those files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in of.items():
        (folder / name).write_bytes(data)
    return folder


class TestWhatIsTaken:
    """The first container, or what is at hand."""

    @pytest.mark.parametrize("container", [FIRST, KERAS, RECORDS, MATLAB], ids=["first", "keras", "binary", "matlab"])
    def test_arrays_byte_for_byte(self, tmp_path: Path, container: Mapping[str, bytes]) -> None:
        """Whatever order of axes they are stored in, and whatever the labels are called there."""
        dataset = get("digits", manifest=declare(tmp_path), mirror=put(tmp_path / "stick", container), offline=True)

        assert dataset.train.images.tobytes() == IMAGES.tobytes()
        assert dataset.train.labels.tolist() == LABELS.tolist()
        assert dataset.train.labels.dtype == np.int64

    def test_a_second_get_opens_the_same(self, tmp_path: Path) -> None:
        """And asks nobody: neither the folder, which is gone, nor the addresses."""
        stick = put(tmp_path / "stick", KERAS)
        first = get("digits", manifest=declare(tmp_path), mirror=stick, offline=True)
        (stick / "digits.npz").unlink()

        again = get("digits", manifest=tmp_path / "datasets.yaml", offline=True)
        assert again.train.images.filename == first.train.images.filename

    def test_the_one_that_is_named(self, tmp_path: Path) -> None:
        """Though the first is at hand, too."""
        stick = put(put(tmp_path / "stick", FIRST), MATLAB)
        home = tmp_path / "home"

        get("digits", manifest=declare(tmp_path), mirror=stick, home=home, variant="matlab")
        assert [path.name for path in (home / "digits").iterdir()] == ["turned.npz"]

    def test_no_such_variant(self, tmp_path: Path) -> None:
        """With those that there are."""
        with pytest.raises(UnknownName) as caught:
            get("digits", manifest=declare(tmp_path), variant="kera")
        with pytest.raises(UsageError, match="variant is the name of one, not 1"):
            get("digits", manifest=tmp_path / "datasets.yaml", variant=1)  # type: ignore[call-overload]
        assert str(caught.value) == (
            "no variant of 'digits' named 'kera'; did you mean 'keras'?\n  There are: keras, binary, matlab."
        )

    def test_all_hosts_are_dead(self, tmp_path: Path) -> None:
        """The error is of the first container, and names the others."""
        with pytest.raises(OfflineError) as caught:
            get("digits", manifest=declare(tmp_path), offline=True)
        assert caught.value.missing == tuple((name, len(data)) for name, data in FIRST.items())
        assert str(caught.value.hint).endswith(
            "The same values in other containers cannot be fetched either: keras, binary, matlab."
        )


class TestLibraries:
    """A container that needs what is not installed is in no other container's way."""

    @pytest.fixture
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A manifest whose first variant is HDF5, on a computer without what reads it."""
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "h5py" else found(name))
        path = declare(tmp_path)
        path.write_text(path.read_text().replace("format: npz", "format: hdf5", 1))
        return path

    def test_the_first_is_taken_though_a_variant_is_at_hand(self, path: Path, tmp_path: Path) -> None:
        """Whose files are tried before all else."""
        stick = put(put(tmp_path / "stick", KERAS), RECORDS)

        assert get("digits", manifest=path, mirror=stick, offline=True).train.labels.tolist() == LABELS.tolist()

    def test_the_error_is_of_the_first(self, path: Path) -> None:
        """Which cannot be fetched, whatever the others lack."""
        with pytest.raises(OfflineError):
            get("digits", manifest=path, offline=True)

    def test_the_one_that_is_named(self, path: Path) -> None:
        """Nothing else would do, so its error counts."""
        with pytest.raises(MissingLibrary, match="needs h5py"):
            get("digits", manifest=path, variant="keras", offline=True)


def unpackable(folder: Path, *, change: tuple[str, str] = ("", "")) -> tuple[Path, dict[str, bytes]]:
    """A manifest of an archive of batches that nobody has, and of its members as files; and those."""
    random = np.random.RandomState(4)
    batches = {
        f"batches-py/{name}": batch(random.randint(0, 256, (3, 3072)).astype(np.uint8), [0, 2, 1])
        for name in ("data_batch_2", "data_batch_1", "test_batch")
    }
    archive = gzip.compress(tarred(*(member(name, data) for name, data in batches.items())), mtime=0)
    in_order = "[batches-py/data_batch_1, batches-py/data_batch_2]"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "datasets.yaml"
    text = f"""\
version: 1
datasets:
  small:
    title: Small photographs
    status: remote
    format: cifar-python
    license: CC0-1.0
    source: made here
    fields:
      images: {{dtype: uint8, shape: [3, 32, 32], range: [0, 255]}}
      labels: {{dtype: int64, classes: [a, b, c]}}
    splits:
      train: {{samples: 6, file: small.tar.gz, members: {in_order}}}
      test: {{samples: 3, file: small.tar.gz, members: [batches-py/test_batch]}}
    mirrors: [http://127.0.0.1:9/]
    files:
{files({"small.tar.gz": archive}, 6)}\
    variants:
      unpacked:
        format: cifar-python
        splits:
          train: {{members: {in_order}}}
          test: {{members: [batches-py/test_batch]}}
        files:
{files(batches, 10)}\
"""
    path.write_text(text.replace(*change) if change[0] else text)
    return path, {**batches, "small.tar.gz": archive}


class TestUnpacked:
    """The files that an archive holds, as other libraries leave them: each is the published one by its own sha256."""

    def test_an_unpacked_folder_is_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """From `data`, where torchvision's examples unpack it, before any address is asked; the archive's values."""
        path, held = unpackable(tmp_path)
        archive = put(tmp_path / "stick", {"small.tar.gz": held.pop("small.tar.gz")})
        for name, data in held.items():
            put((tmp_path / "data" / name).parent, {Path(name).name: data})
        monkeypatch.chdir(tmp_path)

        unpacked = get("small", manifest=path, home=tmp_path / "home")

        packed = get("small", manifest=path, home=tmp_path / "other", mirror=archive, offline=True, variant=None)
        for split in ("train", "test"):
            assert unpacked[split].images.tobytes() == packed[split].images.tobytes()
            assert unpacked[split].labels.tolist() == packed[split].labels.tolist()
        rows = np.concatenate([pickle.loads(held[f"batches-py/data_batch_{n}"])["data"] for n in (1, 2)])
        np.testing.assert_array_equal(unpacked.train.images.reshape(6, -1), rows)
        assert sorted(path.name for path in (tmp_path / "home" / "small" / "batches-py").iterdir()) == [
            "data_batch_1", "data_batch_2", "test_batch"
        ]  # fmt: skip

    def test_nothing_is_made_or_announced_for_one_that_no_address_gives(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither a folder, nor room on the disk, whose lack would hide that the archive's hosts are dead."""
        path, _ = unpackable(tmp_path)

        with caplog.at_level("INFO"), pytest.raises(FetchError) as caught:
            get("small", manifest=path, home=tmp_path / "home", progress=lambda *_: None)

        assert caught.value.file == "small.tar.gz"
        assert sum("to download" in record.message for record in caplog.records) == 1
        assert not (tmp_path / "home" / "small" / "batches-py").exists()

    @pytest.mark.parametrize("linked", ["data", "data/batches-py", "data/batches-py/data_batch_2"])
    def test_a_link_to_the_one_copy_of_a_computer(
        self, linked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A link back, too, which leads on for ever."""
        path, held = unpackable(tmp_path)
        for name, data in held.items():
            if name != "small.tar.gz":
                put((tmp_path / "data" / name).parent, {Path(name).name: data})
        (tmp_path / "data" / "again").symlink_to(tmp_path)
        (tmp_path / linked).rename(tmp_path / "elsewhere")
        (tmp_path / linked).symlink_to(tmp_path / "elsewhere")
        monkeypatch.chdir(tmp_path)

        assert len(get("small", manifest=path, home=tmp_path / "home", offline=True).train) == 6

    @pytest.mark.parametrize("given", ["mirror", "data"])
    def test_one_wrong_byte(self, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Is another file, of the same size or not: it is not taken, whichever folder it is in."""
        path, held = unpackable(tmp_path)
        name = "batches-py/data_batch_2"
        held[name] = held[name][:-50] + bytes([held[name][-50] ^ 1]) + held[name][-49:]
        for title, data in held.items():
            if title != "small.tar.gz":
                put((tmp_path / given / title).parent, {Path(title).name: data})
        monkeypatch.chdir(tmp_path)
        mirror = tmp_path / "mirror" if given == "mirror" else None

        with pytest.raises(FetchError):
            get("small", manifest=path, home=tmp_path / "home", mirror=mirror, offline=True)
        with pytest.raises(FetchError) as caught:
            get("small", manifest=path, home=tmp_path / "home", mirror=mirror, offline=True, variant="unpacked")

        assert name in str(caught.value)
        assert not (tmp_path / "home" / "small" / name).exists()

    @pytest.mark.parametrize(
        "change",
        [
            ("          train: {members: [batches-py/data_batch_1, batches-py/data_batch_2]}",
             "          train: {members: [batches-py/data_batch_2, batches-py/data_batch_1]}"),
            ("          test: {members: [batches-py/test_batch]}", '          test: {members: ["batches-py/test*"]}'),
            ("        format: cifar-python\n        splits",
             "        format: cifar-python\n        options: {labels: fine_labels}\n        splits"),
            ("        format: cifar-python\n        splits",
             "        format: cifar-python\n        fields: {images: {axes: [1, 0, 2, 3]}}\n        splits"),
        ],
        ids=["another order", "a pattern", "another option", "another layout"],
    )  # fmt: skip
    def test_what_is_read_otherwise_needs_digests(self, change: tuple[str, str], tmp_path: Path) -> None:
        """The same members by name, read alike, are the same values; of anything else only a digest can say so."""
        path, _ = unpackable(tmp_path, change=change)

        with pytest.raises(ManifestError) as caught:
            load_manifest(path)

        assert (
            "small.variants.unpacked: cannot be told from other values: images declares no sha256 of train, test"
            in (str(caught.value))
        )

    def test_real_batches(self, realdata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As the authors' archive has them, though fewer pictures: what Python's own pickle makes of them."""
        with tarfile.open(realdata / "cifar-10-mini" / "cifar-10-python.tar.gz") as archive:
            names = [name for name in archive.getnames() if "_batch" in name]
            held = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
        path, _ = unpackable(tmp_path)
        text = path.read_text()
        text = text[: text.index("    splits:")]
        train, test = ([name for name in sorted(held) if word in name] for word in ("data_batch", "test_batch"))
        parts = [("train", train), ("test", test)]
        splits = "".join(f"      {name}: {{samples: {750 * len(its)}, members: {its}}}\n" for name, its in parts)
        path.write_text(
            f"{text}    mirrors: [http://127.0.0.1:9/]\n    splits:\n{splits}    files:\n{files(held, 6)}".replace(
                "[a, b, c]", "[a, b, c, d, e, f, g, h, i, j]"
            )
        )
        for name, data in held.items():
            put((tmp_path / "stick" / name).parent, {Path(name).name: data})

        data = get("small", manifest=path, mirror=tmp_path / "stick", offline=True)

        witness = [pickle.loads(held[name], encoding="bytes") for name in train]
        assert data.train.labels.tolist() == [label for one in witness for label in one[b"labels"]]
        np.testing.assert_array_equal(
            data.train.images.reshape(-1, 3072), np.concatenate([one[b"data"] for one in witness])
        )

    def test_where_the_packaged_one_is_looked_for(self) -> None:
        """The names, sizes and md5 that torchvision has of the files of CIFAR-10."""
        entry = load_manifest().datasets["cifar10"].variants["unpacked"]

        assert {Path(name).name: (file.bytes, file.md5) for name, file in entry.files.items()} == {
            "data_batch_1": (31_035_704, "c99cafc152244af753f735de768cd75f"),
            "data_batch_2": (31_035_320, "d4bba439e000b95fd0a9bffe97cbabec"),
            "data_batch_3": (31_035_999, "54ebc095f3ab1f0389bbae665268c751"),
            "data_batch_4": (31_035_696, "634d18415352ddfa80567beed471001a"),
            "data_batch_5": (31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb"),
            "test_batch": (31_035_526, "40351d587109b95175f43aff81a1287e"),
        }


def test_keras_own_file_is_taken_before_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Keras keeps it, whatever it is called there."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    put(tmp_path / "keras" / "datasets", {"renamed.npz": KERAS["digits.npz"]})

    data = get("digits", manifest=declare(tmp_path), home=tmp_path / "home")

    assert data.train.images.tobytes() == IMAGES.tobytes()
    assert [path.name for path in (tmp_path / "home" / "digits").iterdir()] == ["digits.npz"]


@pytest.mark.parametrize("variant", [None, "tar", "npz"])
def test_encoded_samples(variant: str | None, tmp_path: Path) -> None:
    """Are kept as files where the container has files, and decoded where it has arrays: the values are the same."""
    pictures = np.random.RandomState(5).randint(0, 256, (5, 4, 6, 3)).astype(np.uint8)
    held = {f"p/{n}.png": png(picture) for n, picture in enumerate(pictures)}
    containers = {
        "a.zip": zipped(held),
        "a.tar": tarred(*(member(name, data) for name, data in held.items())),
        "a.npz": npz(x=pictures),
    }
    declared = {name: files({name: data}, 8) for name, data in containers.items()}
    of_tar = f"splits: {{train: {{file: a.tar, members: ['p/*']}}}}\n        files:\n  {declared['a.tar']}"
    of_npz = f"splits: {{train: {{file: a.npz, images: x}}}}\n        files:\n  {declared['a.npz']}"
    (tmp_path / "datasets.yaml").write_text(f"""\
version: 1
datasets:
  made:
    title: Pictures
    status: remote
    format: images
    license: CC0-1.0
    source: made here
    fields: {{images: {{dtype: uint8, shape: [4, 6, 3], cache: encoded, sha256: {{train: {digest_of(pictures)}}}}}}}
    splits: {{train: {{samples: 5, file: a.zip, members: ["p/*"]}}}}
    mirrors: [http://127.0.0.1:9/]
    files:
{declared["a.zip"]}\
    variants:
      tar:
        format: images
        mirrors: [http://127.0.0.1:9/]
        {of_tar}\
      npz:
        format: npz
        mirrors: [http://127.0.0.1:9/]
        {of_npz}\
""")
    stick = put(tmp_path / "stick", containers)

    data = get("made", manifest=tmp_path / "datasets.yaml", mirror=stick, offline=True, variant=variant)

    assert isinstance(data.train.images, EncodedArray) == (variant != "npz")
    np.testing.assert_array_equal(np.stack(list(data.train.images)), pictures)


def test_stand_ins_have_the_variants_that_there_are(tmp_path: Path) -> None:
    """Their values are made up alike; a name that is none is an error as ever."""
    with pytest.warns(StandInWarning):
        assert len(get("digits", manifest=declare(tmp_path), variant="keras", standin=True).train) == 6
    with pytest.raises(UnknownName, match="no variant of 'digits' named 'kera'; did you mean 'keras'"):
        get("digits", manifest=tmp_path / "datasets.yaml", variant="kera", standin=True)


class TestWhatIsRefused:
    """Other values are never taken for these."""

    def test_one_wrong_pixel(self, tmp_path: Path) -> None:
        """With the split and the field; nothing is kept of it."""
        wrong = IMAGES.copy()
        wrong[4, 2, 2] ^= 1
        container = {"digits.npz": npz(x=wrong, y=LABELS)}
        path = declare(tmp_path, keras=container)

        with pytest.raises(ContentError) as caught:
            get("digits", manifest=path, mirror=put(tmp_path / "stick", container), offline=True)
        assert caught.value.column == "train.images"
        assert caught.value.expected == digest_of(IMAGES)
        assert not list(tmp_path.rglob("*.npy"))

    def test_values_without_a_digest(self, tmp_path: Path) -> None:
        """Nothing could tell whether they are the same."""
        with pytest.raises(ManifestError) as caught:
            load_manifest(declare(tmp_path, digest=False))
        assert str(caught.value).splitlines()[0] == (
            "datasets.yaml:19: digits.variants.keras: cannot be told from other values: "
            "images declares no sha256 of train"
        )

    def test_thousands_of_variants(self, tmp_path: Path) -> None:
        """Each would be checked with all fields of the data set, so they are refused together, in one sentence."""
        path = declare(tmp_path)
        head, _, rest = path.read_text().partition("    variants:\n")
        path.write_text(
            head + "    variants:\n" + "".join(f"      v{i}: {{format: npz}}\n" for i in range(2000)) + rest
        )
        with soon(10), pytest.raises(ManifestError) as caught:
            load_manifest(path)
        assert "digits.variants: are 2,003, and the most is 16" in str(caught.value)

    @pytest.mark.parametrize(
        ("old", "new", "what"),
        [
            ("format: npz", "format: npx", "digits.variants.keras.format: no decoder for format 'npx'"),
            ("          train: {file: digits.npz", "          test: {file: digits.npz", "has not all splits: train"),
            ("labels: {first: 1}", "label: {first: 1}", "digits.variants.matlab.fields.label: no field of that name"),
            ("images: {axes: [2, 0, 1]}", "images: {dtype: int8}", "variants.matlab.fields.images.dtype: unknown key"),
            ("      keras:\n", '      "":\n', f"a variant's name is {NAME_IS}"),
            ("      keras:\n", "      Keras Set:\n", f"digits.variants.Keras Set: a variant's name is {NAME_IS}"),
            ("digits.bin", "images.gz", "is another file in the entry itself; call it otherwise"),
        ],
    )
    def test_what_is_wrong_with_a_variant(self, tmp_path: Path, old: str, new: str, what: str) -> None:
        """Found when the manifest is read, at its line."""
        path = declare(tmp_path)
        path.write_text(path.read_text().replace(old, new))

        with pytest.raises(ManifestError) as caught:
            load_manifest(path)
        assert what in str(caught.value)


class TestFilesOfOthers:
    """A variant's file has a path of its own, as every other file has."""

    def other(self, name: str) -> str:
        """Another data set in the same folder, one of whose files is called so."""
        return f"""\
  second:
    title: Second
    folder: digits
    status: remote
    format: idx
    license: CC0-1.0
    source: made here
    fields:
      images: {{dtype: uint8, shape: [4, 5]}}
    splits:
      train: {{samples: 6, images: {name}}}
    mirrors: [http://127.0.0.1:9/]
    files:
      {name}: {{bytes: 9, sha256: {"a" * 64}}}
"""

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("digits.npz", "digits/digits.npz is another file in 'digits'; give one of them a `folder`"),
            ("Digits.NPZ", "digits/Digits.NPZ is another file in 'digits'; give one of them a `folder`"),
            ("digits.npz/x.gz", "'digits/digits.npz' is a file, so it cannot be a folder too"),
        ],
    )
    def test_of_the_same_manifest(self, tmp_path: Path, name: str, what: str) -> None:
        """One of them would be in the other's place."""
        path = declare(tmp_path)
        path.write_text(path.read_text() + self.other(name))

        with pytest.raises(ManifestError) as caught:
            load_manifest(path)
        assert str(caught.value).splitlines()[0].endswith(f": second.files.{name}: {what}")

    def test_of_an_included_one(self, tmp_path: Path) -> None:
        """With both lines."""
        path = declare(tmp_path)
        (tmp_path / "other.yaml").write_text("version: 1\ndatasets:\n" + self.other("digits.npz"))
        path.write_text(path.read_text().replace("version: 1\n", "version: 1\ninclude: [other.yaml]\n"))

        line = 1 + next(i for i, line in enumerate(path.read_text().splitlines()) if "digits.npz: {" in line)
        with pytest.raises(ManifestError) as caught:
            load_manifest(path)
        assert str(caught.value).splitlines()[0] == (
            f"datasets.yaml:2: include[0]: digits/digits.npz is declared as two files: at {path}:{line} and at "
            f"{tmp_path}/other.yaml:16; give one of them a `folder`"
        )


class TestTheRest:
    """What else knows of a data set knows of its variants."""

    @pytest.fixture
    def loaded(self, tmp_path: Path) -> Manifest:
        """A manifest whose data set is here as a variant only."""
        loaded = load_manifest(declare(tmp_path))
        get("digits", manifest=loaded.path, mirror=put(tmp_path / "stick", KERAS), offline=True)
        return loaded

    def test_the_audit(self, loaded: Manifest) -> None:
        """It hashes and compares the container that is here."""
        report = audit(manifest=loaded)

        assert [finding for finding in report.findings if finding.severity == "error"] == []
        assert [(row.state, row.files, row.samples) for row in report.datasets] == [("ok", 1, 6)]

    def test_the_audit_of_a_changed_file(self, loaded: Manifest) -> None:
        """At the line that declares it."""
        root = placed(loaded, "digits")[0].root
        data = bytearray((root / "digits.npz").read_bytes())
        data[200] ^= 1
        (root / "digits.npz").write_bytes(bytes(data))

        finding = next(f for f in audit(manifest=loaded).findings if f.severity == "error")
        line = loaded.path.read_text().splitlines()[int(str(finding.where).partition(":")[2]) - 1]
        assert finding.rule == "file-hash"
        assert line.strip().startswith("digits.npz:")

    def test_the_lock(self, loaded: Manifest) -> None:
        """It has the values, whatever file they are in."""
        recorded = record(loaded)["datasets"]["digits"]

        assert list(recorded["files"]) == ["digits.npz"]
        assert recorded["contents"]["train"]["images"]["sha256"] == digest_of(IMAGES)

    def test_its_provenance(self, loaded: Manifest) -> None:
        """It names the files that the arrays are from, and none that nobody has seen."""
        line = get("digits", manifest=loaded.path).provenance
        taken, first = (next(iter(of.values())) for of in (KERAS, FIRST))

        assert f"digits.npz {hashlib.sha256(taken).hexdigest()[:16]}" in line
        assert hashlib.sha256(first).hexdigest()[:16] not in line

    def test_a_mirror_is_of_the_container_that_is_here(self, loaded: Manifest, tmp_path: Path) -> None:
        """And complete with it: it audits, its sums list it, and a student gets the data set from it."""
        made = mirror(loaded, tmp_path / "usb", [], offline=True)
        report = audit(manifest=loaded, mirror=tmp_path / "usb")

        assert [(one.name, one.copied, one.kept) for one in made] == [("digits", 1, 0)]
        assert report.findings == ()
        assert [(row.state, row.files) for row in report.datasets] == [("ok", 1)]
        assert (tmp_path / "usb" / "SHA256SUMS").read_text().splitlines()[1].endswith("  digits/digits.npz")
        again = get("digits", manifest=loaded.path, home=tmp_path / "home", mirror=tmp_path / "usb", offline=True)
        assert again.train.images.tobytes() == IMAGES.tobytes()

    def test_a_mirror_of_the_first_container(self, loaded: Manifest, tmp_path: Path) -> None:
        """It is kept and checked as it is, whatever container is on this computer."""
        other = tmp_path / "other"
        mirror(loaded, tmp_path / "usb", [], home=other, source=str(put(tmp_path / "stick2", FIRST)))
        (kept,) = mirror(loaded, tmp_path / "usb", [], offline=True)

        assert (kept.copied, kept.kept) == (0, 2)
        assert audit(manifest=loaded, mirror=tmp_path / "usb").findings == ()
        (tmp_path / "usb" / "digits" / "labels.gz").unlink()
        report = audit(manifest=loaded, mirror=tmp_path / "usb")
        assert [finding.rule for finding in report.findings if finding.dataset] == ["file-missing"]

    def test_a_mirror_of_two_containers(self, loaded: Manifest, tmp_path: Path) -> None:
        """Every byte of both is checked."""
        mirror(loaded, tmp_path / "usb", [], home=tmp_path / "other", source=str(put(tmp_path / "stick2", FIRST)))
        put(tmp_path / "usb" / "digits", {"digits.npz": KERAS["digits.npz"][:-1] + b"!"})

        report = audit(manifest=loaded, mirror=tmp_path / "usb")
        assert [Path(finding.path).name for finding in report.findings if finding.rule == "file-hash"] == ["digits.npz"]

    def test_every_address_is_asked(self, loaded: Manifest) -> None:
        """Of each container, at its own line, whichever of them is here."""
        plan = loaded.plan("digits")
        containers = (plan, *plan.variants)

        asked = [(address.url, address.where) for address in remote.addresses(loaded, plan)]
        lines = loaded.path.read_text().splitlines()
        assert [url for url, _ in asked] == [file.urls[0] for one in containers for file in one.files]
        assert all(url.rpartition("/")[0] in lines[int(where.partition(":")[2]) - 1] for url, where in asked)
        audited = audit(manifest=loaded, levels=["remote"], retry=RetryPolicy(tries=1))
        assert len(audited.addresses) == len(asked)

    def test_a_changed_file_that_a_variant_shares(self, tmp_path: Path) -> None:
        """`update` writes its new hash wherever the file is declared."""
        path = declare(tmp_path)
        text = path.read_text()
        labels = next(line for line in text.splitlines() if "labels.gz: {" in line).strip()
        path.write_text(text.replace("          digits.npz: {", f"          {labels}\n          digits.npz: {{"))
        put(tmp_path / "downloaded-datasets" / "digits", FIRST | {"labels.gz": gzip.compress(
            gzip.decompress(FIRST["labels.gz"]), compresslevel=1, mtime=1
        )})  # fmt: skip

        changes = update("digits", manifest=path)
        assert {change.key for change in changes} >= {
            "digits.files.labels.gz.sha256",
            "digits.variants.keras.files.labels.gz.sha256",
        }
        assert list(load_manifest(path).datasets) == ["digits"]

    def test_clean(self, loaded: Manifest) -> None:
        """It removes what `get` fetched."""
        plan, locations = placed(loaded, "digits")
        cleaning.clean(plan, locations)

        assert not (plan.root / "digits.npz").exists()
        assert not list(locations.home.rglob("*.npy"))
