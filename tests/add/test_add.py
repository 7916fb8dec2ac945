"""Adding a data set: one command writes the entry, and the data set loads with no edit in between."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import scipy.io.wavfile
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from tests.conftest import Served
from tests.helpers.add_world import add, put
from tests.helpers.faulty_server import Exchange, FaultyServer, answer, serve, sha256
from tests.helpers.format_writers import batch, idx, member, memory_below, npy, npz, table, tarred
from tinytorch_datasets import Dataset, formats, get, load_manifest
from tinytorch_datasets.add import naming, yaml_edit
from tinytorch_datasets.add.detect import detect
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml

X = np.random.RandomState(0).randint(0, 256, (30, 8, 8)).astype("u1")
Y = np.arange(30) % 3


def _idx(folder: Path) -> list[Path]:
    return put(
        folder,
        **{
            "train-images-idx3-ubyte_gz": gzip.compress(idx(X[:20])),
            "train-labels-idx1-ubyte_gz": gzip.compress(idx(Y[:20].astype("u1"))),
            "t10k-images-idx3-ubyte_gz": gzip.compress(idx(X[20:])),
            "t10k-labels-idx1-ubyte_gz": gzip.compress(idx(Y[20:].astype("u1"))),
        },
    )


def _npy(folder: Path) -> list[Path]:
    x = X.astype("f4") / 255
    files = {"x_train": x[:20], "y_train": Y[:20], "x_test": x[20:], "y_test": Y[20:]}
    return put(folder, **{f"{name}_npy": npy(values) for name, values in files.items()})


def _npz(folder: Path) -> list[Path]:
    return put(folder, mnist_npz=npz(x_train=X[:20], y_train=Y[:20], x_test=X[20:], y_test=Y[20:]))


def _mat(folder: Path) -> list[Path]:
    out = io.BytesIO()
    scipy.io.savemat(
        out, {"x_train": X[:20], "y_train": Y[:20], "x_test": X[20:], "y_test": Y[20:]}, do_compression=True
    )
    return put(folder, numbers_mat=out.getvalue())


def _hdf5(folder: Path) -> list[Path]:
    def written(part: slice) -> bytes:
        out = io.BytesIO()
        with h5py.File(out, "w") as file:
            file["labels"], file["images"] = Y[part], X[part]
        return out.getvalue()

    return put(folder, train_h5=written(slice(20)), test_h5=written(slice(20, 30)))


def _pickle(folder: Path) -> list[Path]:
    def dumped(part: slice) -> bytes:
        return pickle.dumps({"labels": Y[part], "images": X[part].astype("f4") / 16})

    return put(folder, train_pkl=dumped(slice(20)), test_pkl=dumped(slice(20, 30)))


def _csv(folder: Path) -> list[Path]:
    def rows(part: slice) -> str:
        kinds = ("setosa", "versicolor", "virginica")
        samples = [[x[0, 0] / 7, x[0, 1], kinds[y]] for x, y in zip(X[part], Y[part], strict=True)]
        return table([["sepal length", "petal length", "species"], *samples])

    return put(folder, train_csv=rows(slice(20)), test_csv=rows(slice(20, 30)))


def _arrow(part: slice) -> pa.Table:
    images = pa.array(X[part].tolist(), pa.list_(pa.list_(pa.uint8())))
    return pa.table({"labels": pa.array(Y[part], pa.int8()), "images": images})


def _parquet(folder: Path) -> list[Path]:
    for name, part in (("train", slice(20)), ("test", slice(20, 30))):
        put(folder)
        pq.write_table(_arrow(part), folder / f"{name}.parquet")
    return [folder / "train.parquet", folder / "test.parquet"]


def _feather(folder: Path) -> list[Path]:
    for name, part in (("train", slice(20)), ("test", slice(20, 30))):
        put(folder)
        feather.write_feather(_arrow(part), folder / f"{name}.arrow")
    return [folder / "train.arrow", folder / "test.arrow"]


def _records(part: slice) -> list[dict[str, Any]]:
    both = zip(X[part], Y[part], strict=True)
    return [{"label": int(y), "text": f"number {y}", "pixels": x[0].tolist()} for x, y in both]


def _arff(folder: Path) -> list[Path]:
    def rows(part: slice) -> str:
        head = "@relation r\n@attribute 'petal length' real\n@attribute label {no, yes, may}\n@data\n"
        names = ("no", "yes", "may")
        return head + "".join(f"{float(x[0, 0]) / 7}, {names[y]}\n" for x, y in zip(X[part], Y[part], strict=True))

    return put(folder, train_arff=rows(slice(20)), test_arff=rows(slice(20, 30)))


def _jsonl(folder: Path) -> list[Path]:
    files = {"train_jsonl": slice(20), "test_jsonl": slice(20, 30)}
    return put(folder, **{name: "".join(json.dumps(r) + "\n" for r in _records(part)) for name, part in files.items()})


def _json(folder: Path) -> list[Path]:
    files = {"train_json": slice(20), "test_json": slice(20, 30)}
    return put(folder, **{name: json.dumps({"data": _records(part)}) for name, part in files.items()})


def _text(folder: Path) -> list[Path]:
    return put(folder, train_txt="To be, or not to be.\nThat is it.\n", val_txt="Whether 'tis nobler\n")


def _qa(folder: Path) -> list[Path]:
    return put(
        folder, train_txt="Q: Hello!\nA: Hello.\n\nQ: Who are you?\nA: I am Bot.\n", test_txt="Q: Bye.\nA: Bye, then.\n"
    )


def _cifar(folder: Path) -> list[Path]:
    images = np.random.RandomState(1).randint(0, 256, (12, 3, 32, 32)).astype("u1")
    members = [
        member("b/batches.meta", pickle.dumps({"label_names": ["cat", "dog"]}, 2)),
        member("b/readme.html", b"<html>"),
    ]
    for i in (2, 1):  # out of order, as in the real one
        members.append(member(f"b/data_batch_{i}", batch(images[4 * i - 4 : 4 * i], [0, 1, 0, 1])))
    members.append(member("b/test_batch", batch(images[8:], [1, 1, 0, 1])))
    return put(folder, **{"cifar-mini-python.tar_gz": gzip.compress(tarred(*members))})


def _svmlight(folder: Path) -> list[Path]:
    def rows(part: slice) -> str:
        return "".join(f"{y} 1:{x[0, 0]} 3:{float(x[0, 2]) / 7}\n" for x, y in zip(X[part], Y[part], strict=True))

    return put(folder, train_libsvm=rows(slice(20)), test_libsvm=rows(slice(20, 30)))


def _texts(folder: Path) -> list[Path]:
    members = [
        member(f"reviews/{split}/{kind}/{i}.txt", f"{kind} {split} {i}\n".encode())
        for split in ("train", "test")
        for kind in ("good", "bad")
        for i in range(6)
    ]
    return put(folder, **{"reviews_tar.gz": gzip.compress(tarred(member("reviews/README", b"read"), *members))})


def _images(folder: Path) -> list[Path]:
    members = [
        member(f"flowers/{split}/{kind}/{i}.png", picture(PICTURES[4 * s + 2 * k + i]))
        for s, split in enumerate(("train", "test"))
        for k, kind in enumerate(("rose", "tulip"))
        for i in range(2)
    ]
    return put(folder, **{"flowers_tar.gz": gzip.compress(tarred(member("flowers/README", b"read"), *members))})


def picture(pixels: np.ndarray) -> bytes:
    """A PNG, by Pillow."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _audio(folder: Path) -> list[Path]:
    members = [
        member(f"words/{split}/{word}/{i}.wav", recording(SOUNDS[4 * s + 2 * w + i]))
        for s, split in enumerate(("train", "test"))
        for w, word in enumerate(("no", "yes"))
        for i in range(2)
    ]
    return put(folder, **{"words_tar.gz": gzip.compress(tarred(member("words/README", b"read"), *members))})


def recording(frames: np.ndarray) -> bytes:
    """WAV, by SciPy."""
    out = io.BytesIO()
    scipy.io.wavfile.write(out, 8000, frames)
    return out.getvalue()


SOUNDS = np.random.default_rng(1).integers(-(2**15), 2**15, (8, 50), np.int16)
PICTURES = np.random.default_rng(0).integers(0, 256, (8, 5, 7, 3), np.uint8)


def _expect_idx(got: Dataset) -> None:
    np.testing.assert_array_equal(got.train.images, X[:20])
    np.testing.assert_array_equal(got.test.labels, Y[20:])
    assert got.classes == ("0", "1", "2")


def _expect_floats(scale: int) -> Callable[[Dataset], None]:
    def same(got: Dataset) -> None:
        np.testing.assert_array_equal(got.test.images, X[20:].astype("f4") / scale)
        np.testing.assert_array_equal(got.train.labels, Y[:20])
        assert got.train.fields == ("images", "labels"), "a sample is (image, label), whatever the order in the file"

    return same


def _expect_csv(got: Dataset) -> None:
    assert got.classes == ("setosa", "versicolor", "virginica")
    assert got.train.labels.tolist() == Y[:20].tolist()
    np.testing.assert_allclose(got.test.features[:, 0], X[20:, 0, 0] / 7, rtol=1e-6)


def _expect_arff(got: Dataset) -> None:
    assert (got.train.labels.tolist(), got.classes) == (Y[:20].tolist(), ("no", "yes", "may"))
    np.testing.assert_array_equal(got.test.petal_length, X[20:, 0, 0] / 7)


def _expect_records(got: Dataset) -> None:
    assert (got.train.labels.tolist(), got.classes) == (Y[:20].tolist(), ("0", "1", "2"))
    assert list(got.test.text) == [f"number {y}" for y in Y[20:]]
    np.testing.assert_array_equal(got.test.pixels, X[20:, 0])


def _expect_text(got: Dataset) -> None:
    assert got.train.text[0] == "To be, or not to be.\nThat is it.\n"
    assert got.val.text[0] == "Whether 'tis nobler\n"


def _expect_qa(got: Dataset) -> None:
    assert list(got.train.questions) == ["Hello!", "Who are you?"]
    assert list(got.test.answers) == ["Bye, then."]
    assert got.train.text.startswith("Q: Hello!\nA: Hello.\n\n")


def _expect_cifar(got: Dataset) -> None:
    images = np.random.RandomState(1).randint(0, 256, (12, 3, 32, 32)).astype("u1")
    np.testing.assert_array_equal(got.train.images, images[:8])
    np.testing.assert_array_equal(got.test.images, images[8:])
    assert (got.classes, got.test.labels.tolist()) == (("cat", "dog"), [1, 1, 0, 1])


def _expect_svmlight(got: Dataset) -> None:
    expected = np.stack([X[20:, 0, 0], np.zeros(10), X[20:, 0, 2] / 7], axis=1)
    np.testing.assert_array_equal(got.test.features, expected)
    assert (got.classes, got.train.labels.tolist()) == (("0", "1", "2"), Y[:20].tolist())


def _expect_texts(got: Dataset) -> None:
    assert (got.classes, got.test.labels.tolist()) == (("bad", "good"), [0] * 6 + [1] * 6)
    assert got.test.texts[0] == "bad test 0\n"
    assert got.train.texts[11] == "good train 5\n"


def _expect_images(got: Dataset) -> None:
    np.testing.assert_array_equal(got.train.images, PICTURES[:4], strict=True)
    np.testing.assert_array_equal(got.test.images, PICTURES[4:], strict=True)
    assert (got.classes, got.train.labels.tolist()) == (("rose", "tulip"), [0, 0, 1, 1])


def _expect_audio(got: Dataset) -> None:
    np.testing.assert_array_equal(got.train.recordings, SOUNDS[:4], strict=True)
    np.testing.assert_array_equal(got.test.recordings, SOUNDS[4:], strict=True)
    assert (got.classes, got.train.labels.tolist()) == (("no", "yes"), [0, 0, 1, 1])


FORMATS: dict[str, tuple[Callable[[Path], list[Path]], Callable[[Dataset], None]]] = {
    "idx": (_idx, _expect_idx),
    "npy": (_npy, _expect_floats(255)),
    "npz": (_npz, _expect_idx),
    "mat": (_mat, _expect_idx),
    "hdf5": (_hdf5, _expect_idx),
    "pickle": (_pickle, _expect_floats(16)),
    "csv": (_csv, _expect_csv),
    "arff": (_arff, _expect_arff),
    "json": (_json, _expect_records),
    "jsonl": (_jsonl, _expect_records),
    "text": (_text, _expect_text),
    "qa-text": (_qa, _expect_qa),
    "cifar-python": (_cifar, _expect_cifar),
    "parquet": (_parquet, _expect_idx),
    "arrow": (_feather, _expect_idx),
    "svmlight": (_svmlight, _expect_svmlight),
    "texts": (_texts, _expect_texts),
    "images": (_images, _expect_images),
    "audio": (_audio, _expect_audio),
}


def _plain(number: Any) -> Any:
    return number.item() if isinstance(number, np.generic) else number


def classes(entry: Any) -> Any:
    """The class names of an entry's labels."""
    return entry.fields["labels"].classes


class TestEveryFormat:
    """`add`, then `get`, with no edit in between."""

    def test_every_format_is_here(self) -> None:
        """A format that is added to the package is added to this test, unless no file says that it is in it."""
        assert tuple(sorted([*FORMATS, "records"])) == formats.known()

    @pytest.mark.parametrize("form", FORMATS)
    def test_from_this_computer_to_the_shipped_data(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """The entry validates, the files are copied, the values are those that were written."""
        write, same = FORMATS[form]
        result = add(manifest, *write(tmp_path / "made"), "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        assert load_manifest(manifest).datasets["mine"].format == form
        same(get("mine", manifest=manifest, offline=True))

    @pytest.mark.parametrize("form", FORMATS)
    def test_from_an_address(self, manifest: Path, tmp_path: Path, form: str, serve: Callable[[Path], Served]) -> None:
        """What was downloaded is kept, so `get` opens no socket; a fresh clone fetches it from the same address."""
        write, same = FORMATS[form]
        paths = write(tmp_path / "made")
        mirror = serve(tmp_path / "made")
        result = add(manifest, *(mirror + path.name for path in paths), "--name", "mine")

        assert result.exit_code == 0, result.output
        assert load_manifest(manifest).datasets["mine"].mirrors == (str(mirror),)
        same(get("mine", manifest=manifest, offline=True))
        same(get("mine", manifest=manifest, home=tmp_path / "another"))

    def test_real_mnist(self, manifest: Path, realdata: Path) -> None:
        """The official files, recognized: 28 by 28, ten classes, 60,000 and 10,000."""
        result = add(manifest, *(realdata / "mnist").iterdir(), "--ship", "--name", "digits")
        line = load_manifest(manifest).where("digits").partition(":")[2]

        assert result.stdout == f"digits: {manifest}:{line}; idx, train 60,000, test 10,000\n"
        entry, official = load_manifest(manifest).datasets["digits"], load_manifest().datasets["mnist"]
        assert {f: e.sha256 for f, e in entry.files.items()} == {f: e.sha256 for f, e in official.files.items()}
        assert (entry.fields["images"].shape, classes(entry)) == ((28, 28), classes(official))

    def test_real_cifar(self, manifest: Path, realdata: Path) -> None:
        """The archive's own class names, five training members in order, one of tests."""
        result = add(manifest, realdata / "cifar-10-mini" / "cifar-10-python.tar.gz", "--ship", "--name", "cifar")

        assert result.exit_code == 0, result.output
        entry = load_manifest(manifest).datasets["cifar"]
        assert classes(entry) == classes(load_manifest().datasets["cifar10"])
        assert entry.splits["train"].members == load_manifest().datasets["cifar10"].splits["train"].members
        assert {name: split.samples for name, split in entry.splits.items()} == {"train": 3750, "test": 750}


class TestTheManifest:
    """Every other byte of it stays as it is."""

    def test_the_entry_is_put_at_the_end_and_nothing_else_changes(self, manifest: Path, tmp_path: Path) -> None:
        """Comments, order and style are what they were."""
        before = manifest.read_bytes()
        add(manifest, *_csv(tmp_path / "made"), "--ship", "--name", "irises")

        after = manifest.read_bytes()
        assert after.startswith(before)
        assert after[len(before) :].startswith(
            b'\n  irises:\n    title: "?" # what is it, in a line?\n    status: shipped\n'
        )

    def test_what_a_person_must_answer_is_marked(self, manifest: Path, tmp_path: Path) -> None:
        """On stderr with its line, in the entry as a question, and in every audit until it is answered."""
        result = add(manifest, *_text(tmp_path / "made"), "--ship", "--name", "hamlet")
        line = int(load_manifest(manifest).where("hamlet").rpartition(":")[2])

        assert result.stderr.splitlines() == [
            f'datasets.yaml:{line + 1}: to be filled in: title: "?" # what is it, in a line?',
            f'datasets.yaml:{line + 5}: to be filled in: license: "?" '
            '# which? "not stated by the authors", if they do not say',
            f'datasets.yaml:{line + 6}: to be filled in: source: "?" # the page of its authors',
        ]
        audited = CliRunner().invoke(main, ["audit", "hamlet", "--manifest", str(manifest), "--json"])
        assert [f["rule"] for f in json.loads(audited.stdout)["findings"]] == ["question"] * 3 + ["unused"]

    def test_a_class_that_is_a_question_mark_is_no_question(self, manifest: Path, tmp_path: Path) -> None:
        """UCI's tables have it where a value is missing."""
        rows: list[list[object]] = [["size", "kind"], *[[i, "?ab"[i % 3]] for i in range(12)]]
        facts = ("--title", "T", "--license", "CC0-1.0", "--source", "https://example.org")
        result = add(manifest, *put(tmp_path / "made", all_csv=table(rows)), "--ship", "--name", "mine", *facts)
        audited = CliRunner().invoke(main, ["audit", "mine", "--manifest", str(manifest), "--json"])

        assert (result.exit_code, result.stderr) == (0, "")
        assert classes(load_manifest(manifest).datasets["mine"]) == ("?", "a", "b")
        assert [f["rule"] for f in json.loads(audited.stdout)["findings"]] == ["unused"]

    def test_what_is_known_is_written(self, manifest: Path, tmp_path: Path) -> None:
        """--title, --license and --source leave no question."""
        facts = ("--title", "Hamlet: a soliloquy", "--license", "CC0-1.0", "--source", "https://example.org/hamlet")
        result = add(manifest, *_text(tmp_path / "made"), "--ship", "--name", "hamlet", *facts)

        assert result.stderr == ""
        assert load_manifest(manifest).datasets["hamlet"].title == "Hamlet: a soliloquy"

    def test_a_dry_run_prints_the_entry_and_writes_nothing(self, manifest: Path, tmp_path: Path) -> None:
        """What is printed is YAML, and what would have been written."""
        before = manifest.read_bytes()
        result = add(manifest, *_csv(tmp_path / "made"), "--ship", "--name", "irises", "--dry-run")
        assert manifest.read_bytes() == before
        assert not (manifest.parent / "datasets").exists()
        add(manifest, *_csv(tmp_path / "made"), "--ship", "--name", "irises")

        assert yaml.safe_load(result.stdout) == {"irises": yaml.safe_load(manifest.read_bytes())["datasets"]["irises"]}

    @pytest.mark.parametrize(
        "text", ["version: 1\ndatasets: {}\n", "version: 1\ndatasets:\n", "datasets: {} # none yet\nversion: 1\n"]
    )
    def test_an_empty_manifest_is_filled(self, tmp_path: Path, text: str) -> None:
        """However it says that it has none."""
        path = tmp_path / "datasets.yaml"
        path.write_text(text)
        result = add(path, *_npz(tmp_path / "made"), "--ship")

        assert result.exit_code == 0, result.output
        _expect_idx(get("mnist", manifest=path, offline=True))

    def test_a_manifest_that_is_not_there_is_made(self, tmp_path: Path) -> None:
        """The first data set of somebody's own."""
        path = tmp_path / "own" / "datasets.yaml"
        result = add(path, *_npz(tmp_path / "made"), "--ship")

        assert result.exit_code == 0, result.output
        _expect_idx(get("mnist", manifest=path, offline=True))

    def test_windows_line_endings_and_a_missing_last_one_are_kept(self, tmp_path: Path) -> None:
        """The entry has the line endings that the file has."""
        path = tmp_path / "datasets.yaml"
        path.write_bytes(b"version: 1\r\ndatasets: {}")
        add(path, *_npz(tmp_path / "made"), "--ship")

        assert b"\n" not in path.read_bytes().replace(b"\r\n", b"")
        assert load_manifest(path).datasets["mnist"].format == "npz"

    def test_a_key_after_the_data_sets_stays_after_them(self, tmp_path: Path) -> None:
        """The entry goes to the end of its block, not of the file."""
        path = tmp_path / "datasets.yaml"
        add(path, *_npz(tmp_path / "made"), "--ship", "--name", "one")
        path.write_text(path.read_text() + "# the folder\nshipped_in: datasets\n")
        add(path, *_npz(tmp_path / "made"), "--ship", "--name", "two")

        assert list(load_manifest(path).datasets) == ["one", "two"]
        assert path.read_text().endswith("# the folder\nshipped_in: datasets\n")


class TestRecognition:
    """What a file is, its bytes say; what it is for, from its name."""

    @pytest.mark.parametrize("form", FORMATS)
    def test_the_name_does_not_matter(self, tmp_path: Path, form: str) -> None:
        """Called data.bin, it is still what it is."""
        path = FORMATS[form][0](tmp_path / "made")[0]
        other = path.rename(path.with_name("data.bin"))
        if form == "csv":
            other.write_bytes(other.read_bytes())

        (found,) = detect([(other, other.name)])
        assert found.format == form

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"\x89ABC\r\n\x1a\n" + bytes(50), "it is something that begins with b'\\x89ABC\\r\\n\\x1a\\n'"),
            (b"<!DOCTYPE html><title>Log in</title>", 'it is an HTML page titled "Log in" (a login page?)'),
            (b"version https://git-lfs.github.com/spec/v1\nsize 12\n", "it is a Git LFS pointer to a file of 12 bytes"),
        ],
    )
    def test_what_is_none_is_refused_by_name(self, tmp_path: Path, data: bytes, message: str) -> None:
        """With the formats there are."""
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(DecodeError) as caught:
            detect([(tmp_path / "x", "x")])

        assert message in str(caught.value)
        assert f"There are: {', '.join(formats.known())}." in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,b\n1,2\n3\n4,5\n", "line 3 has another number of cells than the first row: 1, and not 2"),
            ('a,b\n1,"2\n3,4\n', "a quote in the row of line 2 never closes"),
        ],
    )
    def test_an_uneven_table_is_no_prose(self, tmp_path: Path, text: str, message: str) -> None:
        """Where its name says that it is one."""
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(DecodeError) as caught:
            detect([(tmp_path / "x.csv", "x.csv")])

        assert caught.value.reason == message

    def test_each_format_is_asked_and_the_surest_is_taken(self, tmp_path: Path) -> None:
        """A table and a dialogue are text, too: only what is nothing else is a text. A new format needs no list."""
        asked = {}
        for form, (write, _) in FORMATS.items():
            path = write(tmp_path / form)[0]
            head = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            answers = {other: formats.of(other).detect(head, path) for other in formats.known()}
            asked[form] = {other: answer.certainty.name for other, answer in answers.items() if answer}

        assert asked == {
            "svmlight": {"svmlight": "CERTAIN", "text": "POSSIBLE"},
            "texts": {"cifar-python": "LIKELY", "texts": "CERTAIN"},
            "images": {"cifar-python": "LIKELY", "images": "CERTAIN"},
            "audio": {"cifar-python": "LIKELY", "audio": "CERTAIN"},
            **{
                form: {form: "CERTAIN"}
                for form in ("idx", "npy", "npz", "mat", "hdf5", "pickle", "cifar-python", "parquet", "arrow")
            },
            "csv": {"csv": "LIKELY", "text": "POSSIBLE"},
            "arff": {"arff": "CERTAIN", "text": "POSSIBLE"},
            "json": {"json": "CERTAIN", "csv": "POSSIBLE", "text": "POSSIBLE"},
            "jsonl": {"jsonl": "CERTAIN", "csv": "LIKELY", "text": "POSSIBLE"},
            "qa-text": {"qa-text": "CERTAIN", "text": "POSSIBLE"},
            "text": {"text": "POSSIBLE"},
        }

    def test_an_empty_file(self, manifest: Path, tmp_path: Path) -> None:
        """It is in no format, and begins with nothing."""
        (path,) = put(tmp_path / "made", train_csv="")
        result = add(manifest, path, "--ship")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {path}: it is empty\n  Leave it out, or name the one that you meant.\n",
        )

    @pytest.mark.parametrize(
        "text", ["(dear reader, this is a text)\n", "(dp is what it begins with)\n", "}q is rare\n"]
    )
    def test_a_text_that_begins_as_old_pickles_do(self, manifest: Path, tmp_path: Path, text: str) -> None:
        """It goes on otherwise."""
        result = add(manifest, *put(tmp_path / "made", train_txt=text), "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        assert get("mine", manifest=manifest, offline=True).train.text[0] == text

    @pytest.mark.parametrize("protocol", range(6))
    def test_pickles_of_every_protocol(self, tmp_path: Path, protocol: int) -> None:
        """Also of those that begin with letters."""
        (path,) = put(tmp_path / "made", data_bin=pickle.dumps({"labels": [0, 1]}, protocol))

        assert [one.format for one in detect([(path, "data.bin")])] == ["pickle"]

    @pytest.mark.parametrize("sign", ["\x7f", "\x85"])
    def test_a_class_that_cannot_be_declared(self, manifest: Path, tmp_path: Path, sign: str) -> None:
        """What is wrong with it is reported by its place in the entry: the lines are ones that nobody has."""
        rows: list[list[object]] = [["size", "kind"], *[[i, f"{sign}ab"[i % 3]] for i in range(12)]]
        before = manifest.read_bytes()
        result = add(manifest, *put(tmp_path / "made", all_csv=table(rows)), "--ship", "--name", "mine")

        place = sorted([sign, "a", "b"]).index(sign)
        assert (result.exit_code, result.stderr) == (
            2,
            "error: what these files hold cannot be declared as it is\n"
            f"  mine.fields.labels.classes[{place}]: has the control character U+{ord(sign):04X} in it\n"
            "  Nothing was written. Change it in the files, or declare them by hand.\n",
        )
        assert manifest.read_bytes() == before

    def test_a_pickle_that_is_a_program_is_never_run(self, manifest: Path, tmp_path: Path) -> None:
        """It is refused by what it asked for, and the manifest is untouched."""
        before = manifest.read_bytes()
        (tmp_path / "evil.pkl").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R.")
        result = add(manifest, tmp_path / "evil.pkl", "--ship")

        assert result.exit_code == 1
        assert result.stderr == (
            f"error: {tmp_path}/evil.pkl: the pickle asks for os.system, which no array of numbers needs; "
            "nothing was run\n"
            "  Have whoever made it save its arrays as NPZ, and declare that file; "
            "do not load this one by other means.\n"
        )
        assert manifest.read_bytes() == before

    def test_a_file_that_is_cut_short_is_refused(self, manifest: Path, tmp_path: Path) -> None:
        """While it is looked at: no entry was made yet that could be corrected."""
        before = manifest.read_bytes()
        (path,) = put(tmp_path / "made", x_pkl=pickle.dumps({"images": X})[:-1])
        result = add(manifest, path, "--ship")

        assert result.stderr.startswith(f"error: {path}: the pickle is not sound: ")
        assert result.stderr.splitlines()[1:] == [
            "  The manifest is as it was. Is the file whole, and the one that you meant?"
        ]
        assert manifest.read_bytes() == before

    def test_a_tar_with_a_huge_extended_header_is_refused_in_little_memory(
        self, manifest: Path, tmp_path: Path
    ) -> None:
        """A few hundred kilobytes of gzip would otherwise be 96 MiB of one pax record."""
        about = tarfile.TarInfo("PaxHeader")
        about.type, about.size = tarfile.XHDTYPE, 96 * 2**20
        bomb = about.tobuf(tarfile.USTAR_FORMAT) + bytes(about.size) + tarred(member("a", b"a"))
        (path,) = put(tmp_path / "made", **{"batches-python_tar_gz": gzip.compress(bomb)})
        with memory_below(48):
            result = add(manifest, path, "--ship")

        assert result.stderr == (
            f"error: {path}: an extended header is 100,663,296 bytes long, the most is 65,536\n"
            "  The manifest is as it was. Is the file whole, and the one that you meant?\n"
        )

    def test_a_split_that_repeats_another_is_refused(self, manifest: Path, tmp_path: Path) -> None:
        """One file under two names: it is found when the entry is proved, and nothing is written."""
        before = manifest.read_bytes()
        paths = put(tmp_path / "made", train_npz=npz(x=X, y=Y), test_npz=npz(x=X, y=Y))
        result = add(manifest, *paths, "--ship", "--name", "twins")

        assert result.stderr == (
            f"error: {paths[1]}: test repeats train: all 30 samples are the same, in the same order\n"
            "  The manifest is as it was. Is each file the split that it was taken for? "
            "--split NAME=FILE says which it is.\n"
        ), "no line is named, because nobody has the entry"
        assert manifest.read_bytes() == before

    def test_splits_can_be_named(self, manifest: Path, tmp_path: Path) -> None:
        """Where names tell nothing, --split does: by file, or by the name inside one."""
        (path,) = put(tmp_path / "made", all_npz=npz(a=X[:20], b=X[20:]))
        result = add(manifest, path, "--ship", "--name", "mine", "--split", "train=a", "--split", "holdout=b")

        assert result.exit_code == 1, "a and b are other fields; no field is in both splits"
        (path,) = put(tmp_path / "made", more_npz=npz(images_a=X[:20], images_b=X[20:]))
        assert "--split NAME=FILE" in result.stderr

    def test_two_tables_by_pattern(self, manifest: Path, tmp_path: Path) -> None:
        """`--split test=holdout*` puts that file in the test split, the rest in train."""
        rows: list[list[object]] = [["a", "b", "kind"], *[[i, i * i, "xy"[i % 2]] for i in range(12)]]
        paths = put(tmp_path / "made", data_csv=table(rows[:9]), holdout_csv=table([rows[0], *rows[9:]]))
        result = add(manifest, *paths, "--ship", "--name", "mine", "--split", "test=holdout*")

        assert result.exit_code == 0, result.output
        got = get("mine", manifest=manifest, offline=True)
        assert (len(got.train), len(got.test), got.train.features.dtype) == (8, 4, np.int64)

    def test_a_folder_is_its_files(self, manifest: Path, tmp_path: Path) -> None:
        """Data cards and scripts beside them are no data; names keep their folders."""
        put(tmp_path / "hamlet" / "splits", train_txt="a\n", test_txt="b\n")
        put(tmp_path / "hamlet", README_md="# Hamlet\n", make_py="")
        result = add(manifest, tmp_path / "hamlet", "--ship")

        assert result.exit_code == 0, result.output
        assert list(load_manifest(manifest).datasets["hamlet"].files) == ["splits/test.txt", "splits/train.txt"]

    @pytest.mark.parametrize(
        ("values", "span"),
        [
            (np.array([np.finfo("f4").min, 0.5], "f4"), (float(np.finfo("f4").min), 0.5)),
            (np.array([-1e15, np.finfo("f8").max]), (-1e15, np.finfo("f8").max)),
            (np.array([5e-324, 1e-310]), (5e-324, 1e-310)),
            (np.array([-0.123456, 123.456]), (-0.1235, 123.5)),
            (np.array([-2.0, 1e14]), (-2, 10**14)),
            (np.array([0, 2**64 - 1], "u8"), (0, 2**64 - 1)),
            (np.array([-(2**63), 5]), (-(2**63), 5)),
        ],
    )
    def test_a_range_is_what_was_found(self, manifest: Path, tmp_path: Path, values: np.ndarray, span: Any) -> None:
        """However large or small: it is written so that it is read back, and holds every value."""
        result = add(manifest, *put(tmp_path / "made", x_npy=npy(np.stack([values, values]))), "--ship")

        assert result.exit_code == 0, result.output
        declared = load_manifest(manifest).datasets["x"].fields["features"].range
        assert (declared, [type(end) for end in declared or ()]) == (span, [type(end) for end in map(_plain, span)])

    def test_what_does_not_fit_is_left_out_and_reported(self, manifest: Path, tmp_path: Path) -> None:
        """A mean image among the samples, an array of one split only: reported on stderr, and in a comment."""
        paths = put(tmp_path / "made", mine_npz=npz(x_train=X[:20], x_test=X[20:], mean=X.mean(0), y_train=Y[:20]))
        result = add(manifest, *paths, "--ship")

        assert result.exit_code == 0, result.output
        assert "left out: mine.npz: 'mean': has 8 samples, the rest of train has 20" in result.stderr
        assert "left out: mine.npz: 'y_train': not in every split" in result.stderr
        assert list(load_manifest(manifest).datasets["mine"].fields) == ["images"]

    @pytest.mark.parametrize(
        ("files", "fields"),
        [
            ({"samples_npy": npy(X), "labels_npy": npy(Y)}, ("samples_", "labels")),
            ({"members_npy": npy(X)}, ("members_",)),
            ({"data_npy": npy(np.linspace(0, 1, 9))}, ("numbers",)),
            ({"all_npz": npz(samples=X, members=X + 1, labels=Y)}, ("samples_", "members_", "labels")),
            ({"all_npz": npz(keys=X, items=Y * 0.5)}, ("keys_", "items_")),
            (
                {"all_csv": table([["file", "items", "samples"], *[[f"a{i}", f"b{i}", i] for i in range(9)]])},
                ("samples_", "file_", "items_"),
            ),
        ],
    )
    def test_names_that_mean_something_already(
        self, manifest: Path, tmp_path: Path, files: dict[str, bytes], fields: tuple[str, ...]
    ) -> None:
        """An array called `samples` is a field called `samples_`: `get` and the manifest mean another thing by it."""
        result = add(manifest, *put(tmp_path / "made", **files), "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        assert sorted(get("mine", manifest=manifest, offline=True).train.fields) == sorted(fields)

    def test_what_of_a_pickle_is_not_understood_is_reported(self, manifest: Path, tmp_path: Path) -> None:
        """It is named, wherever it is, and not passed over."""
        data = pickle.dumps({"images": X, "labels": [np.uint8(0)] * 30, "more": [1, "a"], "about": {"made": "today"}})
        result = add(manifest, *put(tmp_path / "made", mine_pkl=data), "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        message = "and neither an array nor a list of numbers or of text"
        assert [line for line in result.stderr.splitlines() if line.startswith("left out: ")] == [
            f"left out: mine.pkl: 'more': a list, {message}",
            f"left out: mine.pkl: 'about.made': a text, {message}",
        ]
        assert get("mine", manifest=manifest, offline=True).train.labels.tolist() == [0] * 30

    @pytest.mark.parametrize(
        "labels", [Y.reshape(-1, 1), np.array(["ant", "bee", "cat"])[Y % 3]], ids=["column", "names"]
    )
    def test_labels_in_a_column_and_labels_by_name(self, labels: np.ndarray, manifest: Path, tmp_path: Path) -> None:
        """Are labels as others are, with their classes."""
        result = add(manifest, *put(tmp_path / "made", mine_npz=npz(x=X, y=labels)), "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        data = get("mine", manifest=manifest, offline=True)
        assert data.classes is not None
        assert [data.classes[label] for label in data.train.labels] == [str(label) for label in labels.reshape(-1)]

    def test_lists_of_different_lengths(self, manifest: Path, tmp_path: Path) -> None:
        """An array of objects, as Keras keeps IMDB, is a ragged field."""
        lists = np.empty(30, object)
        lists[:] = [list(range(n)) for n in range(30)]
        result = add(manifest, *put(tmp_path / "made", mine_npz=npz(x=lists, y=Y)), "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        assert "shape: [null]" in manifest.read_text(encoding="utf-8")
        train = get("mine", manifest=manifest, offline=True).train
        assert [train.features[n].tolist() for n in range(30)] == list(lists)

    def test_the_arrays_of_a_tuple(self, manifest: Path, tmp_path: Path) -> None:
        """Of pairs that only their positions tell apart, which split each is has to be said."""
        (path,) = put(tmp_path / "made", mine_pkl=pickle.dumps(((X[:20], Y[:20]), (X[20:], Y[20:])), 2))
        asked = add(manifest, path, "--ship")
        added = add(manifest, path, "--ship", "--name", "mine", "--split", "train=0.*", "--split", "test=1.*")

        assert (asked.exit_code, asked.stderr) == (
            1,
            f"error: {path}: mine.pkl: '0.0' and mine.pkl: '1.0' would both be train.images\n"
            "  Say which split each is, for example: --split train='0.*' --split test='1.*'.\n",
        )
        assert added.exit_code == 0, added.output
        data = get("mine", manifest=manifest, offline=True)
        np.testing.assert_array_equal(data.train.images, X[:20])
        np.testing.assert_array_equal(data.test.labels, Y[20:])

    @pytest.mark.parametrize(
        "root", [X, [X, Y], (X, Y), {"train": {"x": X, "y": Y}}], ids=["array", "list", "tuple", "dicts"]
    )
    def test_a_pickle_whatever_its_root(self, root: object, manifest: Path, tmp_path: Path) -> None:
        """The images are found, and by the path to them read again."""
        result = add(manifest, *put(tmp_path / "made", x_pkl=pickle.dumps(root)), "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        np.testing.assert_array_equal(get("mine", manifest=manifest, offline=True).train.images, X)

    def test_labels_without_inputs_are_refused(self, manifest: Path, tmp_path: Path) -> None:
        """As what stands beside them cannot be read: the reason names it."""
        (path,) = put(tmp_path / "made", mine_npz=npz(x=np.array([["a", "b"]] * 30), y=Y))
        result = add(manifest, path, "--ship", "--name", "mine")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {path}: it has labels, and nothing that they are of; left out: "
            "mine.npz: 'x': str32 (30, 2) is not a row of samples that can be declared\n"
            "  Add the files of the inputs too; or declare them in the entry of the inputs: "
            "`labels: {file: mine.npz, format: npz, key: y}`.\n",
        )

    def test_arrays_of_text_are_texts(self, manifest: Path, tmp_path: Path) -> None:
        """As `np.savez` keeps them, of characters or of bytes, in a column or not."""
        words, notes = np.array(["ant", "bee", "cat"] * 10), np.array([[b"a"], [b"b"]] * 15)
        data = npz(x=X, words=words, notes=notes)
        result = add(manifest, *put(tmp_path / "made", mine_npz=data), "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        train = get("mine", manifest=manifest, offline=True).train
        assert (list(train.words), list(train.notes)) == (words.tolist(), ["a", "b"] * 15)

    def test_arrays_that_are_no_samples_are_left_out(self, manifest: Path, tmp_path: Path) -> None:
        """Texts that are fewer, pairs of texts and records, which `np.savez` keeps as gladly: each is reported."""
        others = {"names": np.array(["a", "b"]), "raw": np.array([[b"a"] * 2]), "rows": np.zeros(30, [("a", "i4")])}
        result = add(manifest, *put(tmp_path / "made", mine_npz=npz(x=X, y=Y, **others)), "--ship")

        assert result.exit_code == 0, result.output
        assert result.stderr.splitlines()[:3] == [
            "left out: mine.npz: 'rows': void32 (30,) is not a row of samples that can be declared",
            "left out: mine.npz: 'names': has 2 samples, the rest of train has 30",
            "left out: mine.npz: 'raw': has 2 samples, the rest of train has 30",
        ]
        np.testing.assert_array_equal(get("mine", manifest=manifest, offline=True).train.images, X)

    @pytest.mark.parametrize(
        ("name", "data", "reason"),
        [
            (
                "x_npy",
                npy(np.array([["a", "b"]] * 2)),
                "nothing in it can be declared: x.npy: str32 (2, 2) is not a row of samples that can be declared",
            ),
            (
                "x_pkl",
                pickle.dumps({"about": "nothing"}),
                "it holds no array, and no list of numbers or texts; left out: x.pkl: 'about': a text, and neither an "
                "array nor a list of numbers or of text",
            ),
        ],
    )
    def test_what_has_nothing_to_declare_is_refused(
        self, manifest: Path, tmp_path: Path, name: str, data: bytes, reason: str
    ) -> None:
        """With what would be read."""
        (path,) = put(tmp_path / "made", **{name: data})
        result = add(manifest, path, "--ship")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {path}: {reason}\n  Save its samples as arrays of numbers.\n",
        )


class TestTheCall:
    """A wrong call is reported with its hint, exit 2, and nothing is written."""

    def test_a_file_that_is_not_there_is_reported_first(self, manifest: Path, tmp_path: Path) -> None:
        """Before that nobody could fetch it."""
        result = add(manifest, *_npz(tmp_path / "made"), tmp_path / "none.csv")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {tmp_path / 'none.csv'} is missing\n  Name a file, a folder of files, or an address.\n",
        )

    def test_a_file_that_others_could_not_get(self, manifest: Path, tmp_path: Path) -> None:
        """Neither shipped nor at an address."""
        result = add(manifest, *_npz(tmp_path / "made"))

        assert (result.exit_code, result.stderr) == (
            2,
            "error: a file on this computer has no address that others could fetch it from\n"
            "  Copy it to the shipped data with --ship, or say where it is with --mirror URL.\n",
        )

    def test_a_mirror_of_what_ships(self, manifest: Path, tmp_path: Path) -> None:
        """Nobody would ask it; it is not dropped in silence."""
        result = add(manifest, *_npz(tmp_path / "made"), "--ship", "--mirror", "https://example.org/")

        assert (result.exit_code, result.stderr) == (
            2,
            "error: files that ship have no mirror: they come with the manifest, "
            "and https://example.org/ would be asked by nobody\n"
            "  Leave out --ship or --mirror.\n",
        )

    def test_a_split_that_is_nowhere(self, manifest: Path, tmp_path: Path) -> None:
        """A slip of the pen puts nothing into the wrong split."""
        before, (path,) = manifest.read_bytes(), _npz(tmp_path / "made")
        result = add(manifest, path, "--ship", "--name", "mine", "--split", "test=holdot*")

        assert (result.exit_code, result.stderr) == (
            2,
            "error: --split test=holdot* matches none of: mnist.npz, x_train, y_train, x_test, y_test\n"
            "  Name a file, or what is inside one, by its whole name or with * and ?.\n",
        )
        assert manifest.read_bytes() == before

    def test_a_name_that_is_taken(self, manifest: Path, tmp_path: Path) -> None:
        """The other one's line, and what to do."""
        result = add(manifest, *_npz(tmp_path / "made"), "--ship")

        assert (result.exit_code, result.stderr) == (
            2,
            f"error: mnist is declared already\n  declared at {load_manifest(manifest).where('mnist')}\n"
            f"  `tinytorch-datasets update mnist --manifest {manifest}` refreshes its hashes; "
            "--name gives this one another name.\n",
        )

    def test_a_name_of_a_split_that_is_none(self, manifest: Path, tmp_path: Path) -> None:
        """Before anything is written in the manifest that it would refuse."""
        result = add(manifest, *_npz(tmp_path / "made"), "--ship", "--name", "mine", "--split", "items=*")

        assert (result.exit_code, result.stderr) == (
            2,
            "error: 'items' is no name of a split; 'items_' would be\n"
            "  A name is lowercase letters, digits and '_', and nothing that code already means.\n",
        )

    def test_a_name_that_is_none(self, manifest: Path, tmp_path: Path) -> None:
        """With the nearest that is one."""
        result = add(manifest, *_npz(tmp_path / "made"), "--ship", "--name", "My Data")

        assert (result.exit_code, result.stderr) == (
            2,
            "error: 'My Data' is no name of a data set; 'my-data' would be\n"
            "  A name is lowercase letters, digits, '.', '_' and '-'.\n",
        )

    def test_a_file_that_is_there_already(self, manifest: Path, tmp_path: Path) -> None:
        """Somebody's data is never overwritten; the same bytes are no trouble."""
        (path,) = _npz(tmp_path / "made")
        there = manifest.parent / "datasets" / "mine" / path.name
        there.parent.mkdir(parents=True)
        there.write_bytes(b"precious")
        refused = add(manifest, path, "--ship", "--name", "mine")
        there.write_bytes(path.read_bytes())
        taken = add(manifest, path, "--ship", "--name", "mine")

        assert (refused.exit_code, taken.exit_code) == (2, 0)
        assert refused.stderr.startswith(f"error: {there} is there already, and is another file\n")

    def test_a_manifest_that_is_wrong_already(self, manifest: Path, tmp_path: Path) -> None:
        """Its problems, by its own name; nothing is added to it."""
        text = manifest.read_text().replace("status: shipped", "status: shiped", 1)
        manifest.write_text(text)
        result = add(manifest, *_npz(tmp_path / "made"), "--ship", "--name", "mine")

        assert (result.exit_code, manifest.read_text()) == (2, text)
        assert "did you mean 'shipped'?" in result.stderr
        assert f"1 problem in {manifest}." in result.stderr

    def test_a_path_that_is_not_there(self, manifest: Path, tmp_path: Path) -> None:
        """Exit 1: the call is right, the file is missing."""
        result = add(manifest, tmp_path / "gone.csv", "--ship")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {tmp_path}/gone.csv is missing\n  Name a file, a folder of files, or an address.\n",
        )

    def test_an_address_of_another_kind(self, manifest: Path) -> None:
        """It is no path, either."""
        result = add(manifest, "ftp://example.org/iris.csv")
        shipped = add(manifest, "ftp://example.org/iris.csv", "--ship")

        assert (result.exit_code, shipped.exit_code, result.stderr) == (2, 2, shipped.stderr)
        assert result.stderr == (
            "error: ftp://example.org/iris.csv: only addresses that start with https:// or http:// are fetched\n"
            "  Download it by other means, and add the file.\n"
        )

    def test_a_manifest_that_somebody_else_changes_meanwhile(self, manifest: Path, tmp_path: Path) -> None:
        """Theirs stays; of ours nothing does, so that no audit finds files which nobody declares."""

        def change(exchange: Exchange) -> None:
            manifest.write_bytes(manifest.read_bytes() + b"# theirs\n")
            serve(npz(x_train=X, y_train=Y))(exchange)

        before = manifest.read_bytes()
        with FaultyServer() as server:
            result = add(manifest, server.at("/mine.npz", change), "--ship")

        assert (result.exit_code, result.stderr.splitlines()[1:]) == (
            1,
            [
                f"error: {manifest} was changed by someone else meanwhile; nothing was written to it",
                "  Run the same command again.",
            ],
        )
        assert manifest.read_bytes() == before + b"# theirs\n"
        assert not (manifest.parent / "datasets" / "mine").exists()

    def test_the_same_data_set_added_twice_at_once(self, manifest: Path, tmp_path: Path) -> None:
        """Whoever comes second leaves the first one's file where it is."""
        data = npz(x_train=X, y_train=Y)
        (path,) = put(tmp_path / "made", mine_npz=data)

        def overtake(exchange: Exchange) -> None:
            assert add(manifest, path, "--ship").exit_code == 0
            serve(data)(exchange)

        with FaultyServer() as server:
            result = add(manifest, server.at("/mine.npz", overtake), "--ship")

        assert result.exit_code == 1
        np.testing.assert_array_equal(get("mine", manifest=manifest, offline=True).train.images, X)

    def test_json_has_the_questions(self, manifest: Path, tmp_path: Path) -> None:
        """As stderr has them, for programs."""
        result = add(manifest, *_npz(tmp_path / "made"), "--ship", "--name", "mine", "--title", "T", "--json")
        line = int(load_manifest(manifest).where("mine").rpartition(":")[2])

        assert json.loads(result.stdout)["questions"] == [
            {"line": line + 4, "text": 'license: "?" # which? "not stated by the authors", if they do not say'},
            {"line": line + 5, "text": 'source: "?" # the page of its authors'},
        ]

    def test_a_link_that_leads_nowhere(self, manifest: Path, tmp_path: Path) -> None:
        """Among the files of a folder, it is named."""
        put(tmp_path / "made", train_csv="length,kind\n1,a\n")
        (tmp_path / "made" / "test.csv").symlink_to(tmp_path / "gone")
        result = add(manifest, tmp_path / "made", "--ship")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {tmp_path}/made/test.csv is missing\n  Name another file.\n",
        )

    def test_an_address_that_gives_a_page(self, manifest: Path) -> None:
        """A login page is no data set, whatever its status."""
        before = manifest.read_bytes()
        with FaultyServer() as server:
            url = server.at("/train.npz", answer(200, b"<!DOCTYPE html><title>Wi-Fi</title>"))
            result = add(manifest, url)

        assert (result.exit_code, result.stderr.splitlines()[-3:]) == (
            1,
            [
                "error: train.npz could not be downloaded:",
                f'  {url}: gives an HTML page titled "Wi-Fi" (a login page?)',
                "  Open the address in a browser to see what it gives.",
            ],
        )
        assert manifest.read_bytes() == before

    def test_a_download_that_is_cut_is_begun_again(self, manifest: Path) -> None:
        """Half a file is never taken for a whole one."""
        data = npz(x_train=X, y_train=Y)
        with FaultyServer() as server:
            url = server.at("/mine.npz", serve(data, cut_after=500), serve(data))
            result = add(manifest, url)

        assert result.exit_code == 0, result.output
        assert load_manifest(manifest).datasets["mine"].files["mine.npz"].sha256 == sha256(data)


class TestUpdate:
    """Hashes and sizes are refreshed after a deliberate change, and the difference is shown."""

    @pytest.fixture
    def mine(self, manifest: Path, tmp_path: Path) -> Path:
        """A manifest with a table that ships."""
        add(manifest, *_csv(tmp_path / "made"), "--ship", "--name", "mine")
        return manifest

    def update(self, manifest: Path, *arguments: str) -> Result:
        """`tinytorch-datasets update mine`."""
        return CliRunner().invoke(main, ["update", "mine", "--manifest", str(manifest), *arguments])

    def test_the_difference_is_shown_and_written(self, mine: Path) -> None:
        """Size, hash, and the digest of the labels change; everything else of the manifest is as it was."""
        path = mine.parent / "datasets/mine/train.csv"
        before, old = mine.read_text(), path.read_bytes()
        path.write_bytes(old.replace(b"setosa", b"versicolor", 1))
        new = path.read_bytes()
        result = self.update(mine)

        loaded, labels = load_manifest(mine), Y[:20].astype("<i8")
        digest_then = sha256(b"int64 20\n" + labels.tobytes())
        labels[0] = 1
        digest_now = sha256(b"int64 20\n" + labels.tobytes())
        at = {key: loaded.where("mine", "files", "train.csv", key) for key in ("bytes", "sha256")}
        of_sum = loaded.where("mine", "fields", "labels", "sha256", "train")
        assert result.stdout.splitlines() == [
            f"{at['bytes']}: mine.files.train.csv.bytes: {len(old)} -> {len(new)}",
            f"{at['sha256']}: mine.files.train.csv.sha256: {sha256(old)} -> {sha256(new)}",
            f"{of_sum}: mine.fields.labels.sha256.train: {digest_then} -> {digest_now}",
        ]
        expected = before.replace(sha256(old), sha256(new)).replace(digest_then, digest_now)
        assert mine.read_text() == expected.replace(f"bytes: {len(old)}\n", f"bytes: {len(new)}\n")
        assert get("mine", manifest=mine, offline=True).train.labels[0] == 1

    def test_a_dry_run_writes_nothing(self, mine: Path) -> None:
        """It shows the same."""
        path, before = mine.parent / "datasets/mine/train.csv", mine.read_bytes()
        path.write_bytes(path.read_bytes().replace(b"setosa", b"versicolor", 1))
        result = self.update(mine, "--dry-run")

        assert (result.stderr, len(result.stdout.splitlines()), mine.read_bytes()) == (
            "nothing was written\n",
            3,
            before,
        )

    def test_nothing_changed_is_reported(self, mine: Path) -> None:
        """Never silently."""
        assert self.update(mine).stdout == "mine: nothing changed\n"

    @pytest.mark.parametrize("rows", [1, -3], ids=["more", "fewer"])
    def test_samples_are_refreshed_and_shown(self, mine: Path, rows: int) -> None:
        """A row more, or some less: the old number and the new one, and everything is read by it."""
        path = mine.parent / "datasets/mine/train.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:rows], ""] if rows < 0 else [*lines, *[lines[-1]] * rows, ""]))
        result = self.update(mine)

        at = load_manifest(mine).where("mine", "splits", "train", "samples")
        assert result.exit_code == 0, result.output
        assert f"{at}: mine.splits.train.samples: 20 -> {20 + rows}" in result.stdout.splitlines()
        assert len(get("mine", manifest=mine, offline=True).train) == 20 + rows

    @pytest.mark.parametrize("form", ["npz", "npy", "pickle", "idx", "text", "cifar"])
    def test_samples_of_every_format_are_refreshed(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """What the file holds is counted by decoding it, as anything else of it is known."""

        def files(count: int) -> dict[str, bytes]:
            values = (np.arange(count * 4) % 7).astype("u1").reshape(count, 2, 2)
            labels = np.arange(count) % 2
            if form == "npz":
                return {"train.npz": npz(images=values, labels=labels)}
            if form == "npy":
                buffer = io.BytesIO()
                np.save(buffer, values)
                return {"train_x.npy": buffer.getvalue()}
            if form == "pickle":
                return {"train.pkl": pickle.dumps({"images": values, "labels": labels})}
            if form == "idx":
                head = bytes([0, 0, 8, 3]) + np.array([count, 2, 2], ">u4").tobytes()
                return {"train-images-idx3-ubyte": head + values.tobytes()}
            if form == "text":
                return {"train.txt": b"".join(b"line %d\n" % i for i in range(count))}
            batch = {b"data": np.zeros((count, 3072), "u1") + np.arange(count, dtype="u1")[:, None],
                     b"labels": [i % 2 for i in range(count)]}  # fmt: skip
            archive = io.BytesIO()
            with tarfile.open(fileobj=archive, mode="w:gz") as tar:
                for name in ("data_batch_1", "data_batch_2"):
                    data = pickle.dumps(batch)
                    member = tarfile.TarInfo(f"c/{name}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
            return {"c.tar.gz": archive.getvalue()}

        made = tmp_path / "made"
        made.mkdir()
        for name, data in files(20).items():
            (made / name).write_bytes(data)
        added = add(manifest, made, "--ship", "--name", "mine", *(["--format", "text"] if form == "text" else []))
        assert added.exit_code == 0, added.output
        if form == "text":
            manifest.write_text(manifest.read_text().replace("unit: document", "unit: lines").replace(
                "samples: 1\n", "samples: 20\n").replace("samples: 1,", "samples: 20,"))  # fmt: skip
        for count in (23, 17):
            for name, data in files(count).items():
                (manifest.parent / "datasets" / "mine" / name).write_bytes(data)
            result = self.update(manifest)

            assert result.exit_code == 0, result.output
            members = 2 if form == "cifar" else 1
            assert f"-> {count * members}" in result.stdout
            assert len(get("mine", manifest=manifest, offline=True).train) == count * members

    def test_fields_of_other_lengths_are_no_count(self, manifest: Path, tmp_path: Path) -> None:
        """One more image and no label for it: nothing is written."""
        (path,) = put(tmp_path / "made", mine_npz=npz(x_train=X, y_train=Y))
        add(manifest, path, "--ship")
        before = manifest.read_bytes()
        (manifest.parent / "datasets/mine/mine.npz").write_bytes(npz(x_train=np.concatenate([X, X[:1]]), y_train=Y))
        result = self.update(manifest)

        assert (result.exit_code, manifest.read_bytes()) == (1, before)
        assert f"train has not as many samples in each field: {len(X) + 1} images, {len(Y)} labels" in result.stderr

    def test_what_only_a_person_can_say_is_named_with_its_line(self, mine: Path) -> None:
        """A new row outside of the range: which key is to be corrected; nothing is written."""
        path, before = mine.parent / "datasets/mine/train.csv", mine.read_bytes()
        cells = path.read_text().splitlines()[-1].split(",")
        path.write_bytes(path.read_bytes() + ",".join(["1e6", *cells[1:]]).encode() + b"\n")
        result = self.update(mine)

        loaded = load_manifest(mine)
        (field,) = (field for field, declared in loaded.datasets["mine"].fields.items() if declared.range)
        assert (result.exit_code, mine.read_bytes()) == (1, before)
        assert f"train.{field} has range [" in result.stderr
        assert result.stderr.splitlines()[-1] == (
            f"  The manifest is as it was: first correct mine.fields.{field}.range "
            f"({loaded.where('mine', 'fields', field, 'range')})."
        )

    @pytest.mark.parametrize("in_a_new_row", [False, True], ids=["in a row", "in a new row"])
    def test_a_new_class_is_named_with_the_line_of_the_others(self, in_a_new_row: bool, mine: Path) -> None:
        """It may be a misspelled one; and where the samples are more as well, `update` could say that, and not this."""
        path, before = mine.parent / "datasets/mine/train.csv", mine.read_bytes()
        rows = path.read_bytes()
        new = rows + rows.splitlines()[-1].rpartition(b",")[0] + b",setoza\n"
        path.write_bytes(new if in_a_new_row else rows.replace(b"setosa", b"setoza", 1))
        result = self.update(mine)

        at = load_manifest(mine).where("mine", "fields", "labels", "classes")
        assert (result.exit_code, mine.read_bytes()) == (1, before)
        assert "'setoza' is not one of the" in result.stderr
        assert result.stderr.splitlines()[-1] == (
            f"  The manifest is as it was: first correct mine.fields.labels.classes ({at})."
        )

    def test_a_file_that_is_nowhere(self, manifest: Path, tmp_path: Path, serve: Callable[[Path], Served]) -> None:
        """What brings it back: `get` the one that is declared, --fetch the one that its host has."""
        put(tmp_path / "made", mine_npz=npz(x_train=X, y_train=Y))
        add(manifest, serve(tmp_path / "made") + "mine.npz")
        (path,) = (manifest.parent / load_manifest(manifest).download_to).rglob("mine.npz")
        path.unlink()
        result = self.update(manifest)

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {path} is missing\n"
            f"  `tinytorch-datasets get mine --manifest {manifest}` fetches what is declared; "
            "--fetch takes what is there now.\n",
        )

    def test_what_ships_is_fetched_from_nowhere(self, mine: Path) -> None:
        """It has no address: the call is wrong, and no host is."""
        result = self.update(mine, "--fetch")

        where = load_manifest(mine).where("mine", "files", "train.csv", "sha256")
        assert (result.exit_code, result.stderr) == (
            2,
            f"error: train.csv has no address to be fetched from\n  declared at {where}\n"
            f"  Put it into {mine.parent}/datasets/mine, and leave out --fetch.\n",
        )

    def test_what_is_in_a_store_is_not_fetched(self, mine: Path) -> None:
        """Nor is it called an address that cannot be opened, because `get` opens it."""
        mine.write_text(mine.read_text().replace("status: shipped", "status: remote\n    mirrors: [s3://course/mine/]"))
        result = self.update(mine, "--fetch")

        loaded = load_manifest(mine)
        assert (result.exit_code, result.stderr) == (
            2,
            "error: train.csv has no address that starts with https:// or http:// to be fetched from\n"
            f"  declared at {loaded.where('mine', 'files', 'train.csv', 'sha256')}\n"
            f"  Put it into {mine.parent / loaded.download_to}/mine, and leave out --fetch.\n",
        )

    def test_a_file_that_ships_and_is_gone(self, mine: Path) -> None:
        """As `audit` has it."""
        (mine.parent / "datasets/mine/train.csv").unlink()
        result = self.update(mine)

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {mine.parent}/datasets/mine/train.csv is missing\n"
            "  Restore it: `git checkout` it in a clone, or reinstall the package.\n",
        )

    def test_sums_are_refreshed_too(self, mine: Path) -> None:
        """Those that the entry declares, and no others."""
        expected = sha256(b"int64 20\n" + Y[:20].astype("<i8").tobytes())
        declared = load_manifest(mine).datasets["mine"].fields["labels"].sha256
        assert declared["train"] == expected
        text = mine.read_text().replace(expected, "f" * 64)
        mine.write_text(re.sub(rf"\n *test: {declared['test']}", "", text))
        result = self.update(mine)

        assert result.exit_code == 0, result.output
        assert load_manifest(mine).datasets["mine"].fields["labels"].sha256 == {"train": expected}

    def test_fetch_takes_the_files_anew(self, manifest: Path, tmp_path: Path, serve: Callable[[Path], Served]) -> None:
        """A mirror whose file was replaced on purpose: downloaded, decoded, shown, written, and kept."""
        (path,) = put(tmp_path / "made", mine_npz=npz(x_train=X, y_train=Y))
        add(manifest, serve(tmp_path / "made") + "mine.npz")
        path.write_bytes(npz(x_train=255 - X, y_train=Y))
        result = self.update(manifest, "--fetch")

        assert result.exit_code == 0, result.output
        assert f"-> {sha256(path.read_bytes())}" in result.stdout
        np.testing.assert_array_equal(get("mine", manifest=manifest, offline=True).train.images, 255 - X)


@pytest.mark.parametrize(
    "value",
    ["\u200b", "\U000e0041",
     "no", "1.10", "0777", "2020-01-01", "a: b", "#x", "- a", "", " x", "1e3", "0b11", "0b66", "null", "~", "é", "[a]",
     "x #y",
     "https://example.org/a?b=c", "a'b", 'a"b', "12:30", True, None, 0, 999, 1000, -5, 1.5, 1e-7, 1e22, -0.25],
)  # fmt: skip
def test_a_scalar_is_written_so_that_every_reader_agrees(value: Any) -> None:
    """PyYAML reads back what was meant; so does the package, which is stricter."""
    text = f"key: {yaml_edit.scalar(value)}\n"
    parsed = ParsedYaml(text, Path("x.yaml"))

    assert yaml.safe_load(text) == {"key": value}
    assert parsed.data == {"key": value}
    assert parsed.problems == []


def test_what_nobody_sees_is_written_as_its_number() -> None:
    """YAML 1.1 breaks lines at U+0085, and a terminal obeys U+009B."""
    assert yaml_edit.scalar("a\x7f\x85\x9b") == '"a\\u007f\\u0085\\u009b"'
    assert yaml.safe_load(yaml_edit.scalar("a\x7f\x85\x9b")) == "a\x7f\x85\x9b"


def test_a_hash_needs_quotes_only_where_readers_disagree() -> None:
    """One in 256 begins with 0b, and is a binary number to nobody unless all that follows is 0 and 1."""
    assert yaml_edit.scalar("0b668da6" * 8) == "0b668da6" * 8
    assert yaml_edit.scalar("0b10") == '"0b10"'


NAMES = [
    ("train-images-idx3-ubyte.gz", "train", "images"),
    ("t10k-labels-idx1-ubyte.gz", "test", "labels"),
    ("x_test", "test", "images"),
    ("y_valid", "val", "labels"),
    ("trainX", "train", "images"),
    ("holdout.csv", "test", "images"),
    ("data", None, "images"),
    ("coarse_labels", None, "coarse_labels"),
    ("sepal_width", None, "sepal_width"),
]


@pytest.mark.parametrize(("name", "split", "field"), NAMES)
def test_names_speak_of_splits_and_fields(name: str, split: str | None, field: str) -> None:
    """As people name their files and arrays."""
    shape = (5,) if field.endswith("labels") else (5, 2, 2)

    assert (naming.split_of(name), naming.field_of(name, shape, "u")) == (split, field)


def test_the_help_of_a_table_without_a_header(manifest: Path, tmp_path: Path) -> None:
    """Iris as it is published: no header, the kind in the last column."""
    rows = io.StringIO()
    for i in range(12):
        rows.write(f"{i / 2},{i / 3:.2f},Iris-{'ab'[i % 2]}\n")
    result = add(manifest, *put(tmp_path / "made", irises_data=rows.getvalue()), "--ship")

    assert result.exit_code == 0, result.output
    assert load_manifest(manifest).datasets["irises"].options == {"header": False, "columns": {"labels": 2}}
    assert get("irises", manifest=manifest, offline=True).classes == ("Iris-a", "Iris-b")


class TestWhatIsWrongWithTheCall:
    """It is reported of the call, whatever the files hold."""

    def test_a_place_that_cannot_be_made(self, manifest: Path, tmp_path: Path) -> None:
        """What stands in the way is named, and putting things back says nothing over it."""
        (path,) = put(tmp_path / "given", a_csv="x,y\n1,2\n3,4\n")
        (manifest.parent / "datasets").write_text("in the way")
        result = add(manifest, path, "--ship", "--name", "n")

        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: {manifest.parent / 'datasets' / 'n'}")
        assert f"{manifest.parent / 'datasets'} is in the way of a folder" in result.stderr

    def test_a_split_may_have_any_name_that_the_manifest_allows(self, manifest: Path, tmp_path: Path) -> None:
        """Not only those that a file's name would give."""
        first, second = put(tmp_path / "given", a_csv="x,y\n1,2\n3,4\n", b_csv="x,y\n5,6\n7,8\n")
        result = add(manifest, first, second, "--ship", "--dry-run", "--split", "part_=a.csv", "--split", "a__b=b.csv")

        assert result.exit_code == 0, result.stderr
        assert "part_: {samples: 2, file: a.csv}" in result.stdout
        assert "a__b: {samples: 2, file: b.csv}" in result.stdout

    def test_a_mirror_that_is_none(self, manifest: Path, tmp_path: Path) -> None:
        """The files are not blamed."""
        (path,) = put(tmp_path / "given", a_csv="x,y\n1,2\n3,4\n")
        result = add(manifest, path, "--mirror", "https://example.org/a?x=", "--mirror", "https://example.org/a?x=/")

        assert result.exit_code == 2
        assert result.stderr.startswith("error: what was given beside the files cannot be declared\n  a.mirrors[0]: ")
        assert result.stderr.endswith("\n  Nothing was written. Correct it, and type the command again.\n")
