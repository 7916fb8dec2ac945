"""`add` of arrays: the axis of samples, names of classes, positions of splits, inputs and labels in two files."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from tests.helpers.add_world import add, put
from tests.helpers.format_writers import npz
from tinytorch_datasets import get

sio = pytest.importorskip("scipy.io", reason="writes files of MATLAB's")

RNG = np.random.RandomState(0)
PIXELS = RNG.randint(0, 256, (8, 6, 3, 40)).astype("u1")
TABLE = RNG.rand(40, 5)
KINDS = (np.arange(40) % 4 + 1).astype("u1")
ORDER = RNG.permutation(40)


def mat(**arrays: Any) -> bytes:
    """A file of MATLAB's, by SciPy."""
    out = io.BytesIO()
    sio.savemat(out, arrays)
    return out.getvalue()


def hdf5(**arrays: Any) -> bytes:
    """HDF5, by h5py."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return out.getvalue()


def added(manifest: Path, folder: Path, *options: str, **files: bytes) -> tuple[Any, dict[str, Any]]:
    """What `get` returns, and the entry."""
    done = add(manifest, *put(folder / "made", **files), "--ship", "--name", "mine", *options)
    assert done.exit_code == 0, done.output
    return get("mine", manifest=manifest, offline=True), yaml.safe_load(manifest.read_text())["datasets"]["mine"]


def refused(manifest: Path, folder: Path, *options: str, **files: bytes) -> str:
    """Why it is not added, and what to do, without the path."""
    before = manifest.read_bytes()
    done = add(manifest, *put(folder / "made", **files), "--ship", "--name", "mine", *options)
    assert done.exit_code == 1, done.output
    assert manifest.read_bytes() == before
    return done.stderr.replace(f"error: {folder}/made/", "")


class TestSamplesLast:
    """As users of MATLAB have them: certain where a list of labels is as long, and asked where nothing is."""

    @pytest.mark.parametrize("write", [mat, hdf5])
    def test_labels_say_so(self, manifest: Path, tmp_path: Path, write: Callable[..., bytes]) -> None:
        """All other axes stay in their order, and labels count from 1."""
        got, entry = added(manifest, tmp_path, all_mat=write(X=PIXELS, y=KINDS[:, None]))

        np.testing.assert_array_equal(got.train.images, np.moveaxis(PIXELS, -1, 0), strict=True)
        assert got.train.labels.tolist() == (KINDS - 1).tolist()
        assert entry["fields"]["images"]["axes"] == [3, 0, 1, 2]
        assert entry["fields"]["labels"]["first"] == 1

    def test_files_of_version_7_3(self, manifest: Path, tmp_path: Path) -> None:
        """They have all axes in the opposite order, so that a column of labels is a row."""
        got, entry = added(manifest, tmp_path, all_mat=hdf5(X=PIXELS.T, y=KINDS[None]))

        np.testing.assert_array_equal(got.train.images, PIXELS.T, strict=True)
        assert got.train.labels.tolist() == (KINDS - 1).tolist()
        assert "axes" not in entry["fields"]["images"]

    def test_samples_first_are_left_alone(self, manifest: Path, tmp_path: Path) -> None:
        """Where the labels, or a second array, say that they are."""
        got, entry = added(manifest, tmp_path, all_mat=mat(X=TABLE, Y=TABLE[:, :2]))

        np.testing.assert_array_equal(got.train.features, TABLE)
        assert "axes" not in entry["fields"]["features"]

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("all_mat", mat(faces=TABLE)),
            ("all_mat", mat(faces=np.zeros((5, 5)), y=np.arange(5))),
            ("all_h5", hdf5(faces=TABLE, bins=np.zeros(5))),
        ],
    )
    def test_it_is_asked(self, manifest: Path, tmp_path: Path, name: str, data: bytes) -> None:
        """Where nothing says so, or both axes are as long, or what is as long as the last may be no labels."""
        message = refused(manifest, tmp_path, **{name: data})

        assert "which axis of 'faces' (" in message
        assert message.endswith("  Say which: --samples first, or --samples last.\n")

    @pytest.mark.parametrize(("samples", "expected"), [("first", TABLE), ("last", TABLE.T)])
    def test_it_is_said(self, manifest: Path, tmp_path: Path, samples: str, expected: np.ndarray) -> None:
        """By one option, for every format."""
        for name, write in (("a_mat", mat), ("b_h5", hdf5), ("c_npz", npz)):
            path = tmp_path / f"{name}.yaml"
            got, _ = added(path, tmp_path, "--samples", samples, **{name: write(faces=TABLE)})
            np.testing.assert_array_equal(got.train.faces, expected, strict=True)


class TestNamesOfClasses:
    """A list of them in the file names the classes, where it is called so and is as long."""

    @pytest.mark.parametrize("key", ["list_classes", "class_names", "label_names", "categories"])
    def test_numbers_from_0(self, manifest: Path, tmp_path: Path, key: str) -> None:
        """A label is a position in the list."""
        got, _ = added(manifest, tmp_path, all_npz=npz(x=TABLE, y=KINDS - 1, **{key: np.array(list("wxyz"))}))

        assert (got.classes, got.train.labels.tolist()) == (tuple("wxyz"), (KINDS - 1).tolist())

    def test_numbers_from_1(self, manifest: Path, tmp_path: Path) -> None:
        """As many names as numbers: the first name is that of 1."""
        got, entry = added(manifest, tmp_path, all_mat=mat(x=TABLE, y=KINDS, classes=np.array(list("wxyz"), object)))

        assert (got.classes, got.train.labels.tolist()) == (tuple("wxyz"), (KINDS - 1).tolist())
        assert entry["fields"]["labels"]["first"] == 1

    @pytest.mark.parametrize(
        ("y", "names"), [(KINDS - 1, "wxy"), (KINDS, "vwxyz"), (KINDS - 1, "wxyy"), (TABLE[:, 0], "wxyz")]
    )
    def test_a_list_that_does_not_fit(self, manifest: Path, tmp_path: Path, y: np.ndarray, names: str) -> None:
        """Too few, one more than numbers from 1, one twice, or of no classes: it is left out, and said to be."""
        file = npz(x=TABLE, y=y, class_names=np.array(list(names)))
        done = add(manifest, *put(tmp_path / "made", all_npz=file), "--ship", "--name", "mine")

        assert done.exit_code == 0, done.output
        said = f"'class_names': {len(names)} names, and of which classes is not certain"
        assert f"left out: all.npz: {said}" in done.stderr

    def test_names_of_features_name_no_classes(self, manifest: Path, tmp_path: Path) -> None:
        """However many there are."""
        file = npz(x=TABLE, y=KINDS - 1, feature_names=np.array(list("abcde")), target_names=np.array(list("wxyz")))

        assert added(manifest, tmp_path, all_npz=file)[0].classes == tuple("wxyz")


class TestPositions:
    """Lists of positions are the splits, where they have each sample once."""

    @pytest.mark.parametrize(
        ("names", "first"), [(("train_idx", "test_idx"), 0), (("trnid", "tstid"), 1), (("idx_train", "idx_test"), 1)]
    )
    def test_each_sample_once(self, manifest: Path, tmp_path: Path, names: tuple[str, str], first: int) -> None:
        """From which number they count, they say themselves."""
        lists = dict(zip(names, (ORDER[:30] + first, ORDER[30:] + first), strict=True))
        got, entry = added(manifest, tmp_path, all_npz=npz(X=TABLE, y=KINDS - 1, **lists))

        np.testing.assert_array_equal(got.train.features, TABLE[ORDER[:30]])
        np.testing.assert_array_equal(got.test.labels, KINDS[ORDER[30:]] - 1)
        expected = {"file": "all.npz", "key": names[0], **({"first": 1} if first else {})}
        assert entry["splits"]["train"]["rows"] == expected

    @pytest.mark.parametrize("rest", [ORDER[31:], ORDER[29:]])
    def test_not_each_sample_once(self, manifest: Path, tmp_path: Path, rest: np.ndarray) -> None:
        """One is in none, or in two: refused."""
        file = npz(X=TABLE, y=KINDS - 1, train_idx=ORDER[:30] + 1, test_idx=rest + 1)

        assert refused(manifest, tmp_path, all_npz=file).startswith(
            "all.npz: 'train_idx' and 'test_idx' are called as positions of samples in splits are, and are not each of"
        )

    def test_nothing_that_they_are_of(self, manifest: Path, tmp_path: Path) -> None:
        """The line to write where the samples are."""
        file = mat(trnid=ORDER[:20] + 1, valid=ORDER[20:30] + 1, tstid=ORDER[30:] + 1)

        assert refused(manifest, tmp_path, ids_mat=file) == (
            "ids.mat: it has positions of samples in splits, and nothing that they are of\n"
            "  Declare them in the entry of the samples: rows: {file: ids.mat, key: trnid, first: 1}.\n"
        )


def test_inputs_and_labels_in_two_files(manifest: Path, tmp_path: Path) -> None:
    """Each field has a place of its own."""
    got, entry = added(manifest, tmp_path, imgs_npz=npz(arr_0=PIXELS.T), labels_npz=npz(arr_0=KINDS - 1))

    np.testing.assert_array_equal(got.train.images, PIXELS.T)
    assert got.train.labels.tolist() == (KINDS - 1).tolist()
    assert entry["splits"]["train"]["images"] == {"file": "imgs.npz", "key": "arr_0"}


class TestWithoutSamples:
    """Versions, settings and empty arrays stand beside samples, and are none."""

    @pytest.mark.parametrize(("write", "ending"), [(npz, "npz"), (hdf5, "h5")])
    def test_a_single_value(self, manifest: Path, tmp_path: Path, write: Callable[..., bytes], ending: str) -> None:
        """It is left out, which is said, and the arrays are read."""
        data = write(x=np.ones((9, 4)), y=np.arange(9) % 3, version=np.array(2))
        got, _ = added(manifest, tmp_path, **{f"all_{ending}": data})

        assert (got.train.features.shape, len(got.train.labels)) == ((9, 4), 9)
        assert "'version' is a single value" in manifest.read_text(encoding="utf-8")

    @pytest.mark.parametrize(("write", "ending"), [(npz, "npz"), (hdf5, "h5"), (mat, "mat")])
    def test_an_empty_array(self, manifest: Path, tmp_path: Path, write: Callable[..., bytes], ending: str) -> None:
        """As MATLAB's []: no axis of it is asked for."""
        data = write(x=np.ones((9, 4)), y=np.arange(9) % 3, notes=np.zeros((0, 0)))
        got, _ = added(manifest, tmp_path, **{f"all_{ending}": data})

        assert (got.train.features.shape, len(got.train.labels)) == ((9, 4), 9)
        assert "'notes' is empty: float64 (0, 0)" in manifest.read_text(encoding="utf-8")

    def test_nothing_else(self, manifest: Path, tmp_path: Path) -> None:
        """Then the file is refused, by what it holds."""
        assert refused(manifest, tmp_path, all_npz=npz(version=np.array(2))) == (
            "all.npz: it holds no array, and no list of numbers or texts; "
            "left out: all.npz: 'version' is a single value\n  Save its samples as arrays of numbers.\n"
        )
        assert refused(manifest, tmp_path, all_npz=npz(x=np.zeros((0, 3)), y=np.zeros(0, int))) == (
            "all.npz: it has no samples\n  Leave it out, or name the one that you meant.\n"
        )

    def test_all_are_dropped(self, manifest: Path, tmp_path: Path) -> None:
        """Somebody left out too much."""
        data = npz(x=np.ones((9, 4)), y=np.arange(9) % 3)
        result = add(manifest, *put(tmp_path, all_npz=data), "--ship", "--drop", "x", "--drop", "y")

        assert (result.exit_code, result.stderr) == (
            2,
            "error: --drop y: without it, no array is left\n  Leave out fewer of them.\n",
        )


class TestPickledLists:
    """A list of arrays may be one of samples, or of splits and fields."""

    @pytest.mark.parametrize("count", [8, 20])
    def test_arrays_of_several_lengths(self, manifest: Path, tmp_path: Path, count: int) -> None:
        """As many as there are labels: one field, and never the one that happens to be as long as the labels."""
        ragged = [np.arange(i + 1) for i in range(count)]
        data = pickle.dumps({"x": ragged, "y": np.arange(count) % 2})
        got, _ = added(manifest, tmp_path, all_pkl=data)

        assert got.train.fields == ("features", "labels")
        assert [sample.tolist() for sample in got.train.features] == [sample.tolist() for sample in ragged]

    def test_arrays_of_one_shape(self, manifest: Path, tmp_path: Path) -> None:
        """They are one array."""
        pictures = np.arange(20 * 12).reshape(20, 3, 4)
        got, _ = added(manifest, tmp_path, all_pkl=pickle.dumps({"x": list(pictures), "y": [0, 1] * 10}))

        np.testing.assert_array_equal(got.train.images, pictures)

    def test_an_array_a_split(self, manifest: Path, tmp_path: Path) -> None:
        """So few are no samples, whatever is as many."""
        data = pickle.dumps({"x": [np.ones((9, 4)), np.ones((3, 4))], "names": ["a", "b"]})
        got, _ = added(manifest, tmp_path, "--split", "train=*.0", "--split", "test=*.1", all_pkl=data)

        assert (len(got.train), len(got.test)) == (9, 3)

    @pytest.mark.parametrize(
        ("held", "what"),
        [
            ([(np.ones(3), 1)] * 20, "a list of 20 tuples or dicts, and not of numbers or of texts"),
            ({"x": [{"a": 1}] * 20}, "'x': a list of 20 tuples or dicts, and not of numbers or of texts"),
            ({0: np.ones((9, 4))}, "'0': its key is no text (int), so that no entry can name it"),
        ],
    )
    def test_what_no_entry_can_name(self, manifest: Path, tmp_path: Path, held: object, what: str) -> None:
        """It is refused by what it is."""
        assert refused(manifest, tmp_path, all_pkl=pickle.dumps(held)) == (
            f"all.pkl: it holds no array, and no list of numbers or texts; left out: all.pkl: {what}\n"
            "  Save its samples as arrays of numbers.\n"
        )
