"""Stand-in data: made up from a declaration alone, as it declares, and never to be taken for the real data."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.fresh_process import python
from tinytorch_datasets import (
    Dataset,
    RaggedArray,
    StringArray,
    __version__,
    audit,
    export,
    get,
    load_manifest,
    settings,
)
from tinytorch_datasets.auditing import lockfile
from tinytorch_datasets.errors import StandInWarning, UnknownName, UsageError
from tinytorch_datasets.mirror.copy import mirror

HEAD = """
version: 1
datasets:
  made:
    title: Made
    status: remote
    license: CC0
    source: made here
    format: npz
    fields:
{fields}
    splits:
      train: {{samples: {samples}, file: a.npz}}
      test: {{samples: 40, file: b.npz}}
    files:
      a.npz: {{bytes: 9, sha256: {sha}, urls: ['https://example.invalid/a.npz']}}
      b.npz: {{bytes: 9, sha256: {sha}, urls: ['https://example.invalid/b.npz']}}
"""

FIELDS = "x: {dtype: float32, shape: [2]}\nlabels: {dtype: int64, classes: [a, b, c]}"


def declared(folder: Path, fields: str, samples: int = 300) -> Path:
    """Write a manifest whose files are nowhere, with such fields."""
    path = folder / "datasets.yaml"
    lines = "\n".join(f"      {line.strip()}" for line in fields.strip().splitlines())
    path.write_text(HEAD.format(fields=lines, samples=samples, sha="a" * 64))
    return path


def made_up(name: str, manifest: Path | None = None) -> Dataset:
    """Return stand-in data, of which is warned."""
    with pytest.warns(StandInWarning):
        return get(name, manifest=manifest, standin=True)


class TestValues:
    """As declared: dtype, shape, count, classes and range."""

    @pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
    @pytest.mark.parametrize("span", ["[0, 100]", "[1, 1]", "[5, 127]"])
    def test_whole_numbers_fill_their_range(self, dtype: str, span: str, tmp_path: Path) -> None:
        """Both ends of it are values, as far as there are samples enough."""
        images = made_up("made", declared(tmp_path, f"images: {{dtype: {dtype}, shape: [8, 9], range: {span}}}"))

        values, (low, high) = images.train.images, map(int, span.strip("[]").split(","))
        assert (values.dtype, values.shape) == (np.dtype(dtype), (300, 8, 9))
        assert (values.min(), values.max()) == (low, high)

    @pytest.mark.parametrize("span", ["[-9223372036854775808, 9223372036854775807]", "[-128, -1]"])
    def test_ranges_of_signed_numbers_do_not_wrap(self, span: str, tmp_path: Path) -> None:
        """However wide they are."""
        low, high = map(int, span.strip("[]").split(","))

        values = made_up("made", declared(tmp_path, f"x: {{dtype: int64, shape: [4], range: {span}}}")).train.x

        assert low <= values.min() < values.max() <= high

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_floats_stay_in_their_range_when_they_are_rounded(self, dtype: str, tmp_path: Path) -> None:
        """0.1 as a float32 is more than 0.1."""
        fields = f"images: {{dtype: {dtype}, shape: [4, 4], range: [-0.1, 0.1]}}\nany: {{dtype: {dtype}, shape: [2]}}"

        train = made_up("made", declared(tmp_path, fields)).train

        assert train.images.dtype == train.any.dtype == np.dtype(dtype)
        assert -0.1 <= float(train.images.min()) < -0.05 < 0.05 < float(train.images.max()) <= 0.1
        assert np.isfinite(train.any).all()

    def test_labels_have_as_many_of_each_class_as_there_can_be(self, tmp_path: Path) -> None:
        """And other labels follow from those with the most classes."""
        fields = """
        kinds: {dtype: int64, classes: [a, b]}
        labels: {dtype: int64, classes: [c, d, e, f]}
        """
        train = made_up("made", declared(tmp_path, fields)).train

        assert np.bincount(train.labels).tolist() == [75] * 4
        assert train.kinds.tolist() == (train.labels // 2).tolist()
        assert train.labels.dtype == train.kinds.dtype == np.int64

    def test_values_that_may_be_missing_are_here_and_there(self, tmp_path: Path) -> None:
        """So that a program that cannot take it fails here already."""
        fields = """
        heights: {dtype: float32, range: [0, 2], missing: ["?"]}
        ages: {dtype: int16, range: [0, 99], missing: ["?"], missing_value: -1}
        """
        path = declared(tmp_path, fields)
        path.write_text(path.read_text().replace("npz", "csv"))

        train = made_up("made", path).train

        assert 0 < np.isnan(train.heights).mean() < 0.2
        assert 0 < (train.ages == -1).mean() < 0.2
        assert (np.nanmin(train.heights) >= 0, train.ages.max() <= 99) == (True, True)

    def test_truths_are_both_and_texts_are_sentences(self, tmp_path: Path) -> None:
        """Of four words to ten."""
        train = made_up("made", declared(tmp_path, "seen: {dtype: bool, shape: [3]}\nwords: {dtype: str}")).train

        assert set(train.seen.ravel().tolist()) == {False, True}
        assert isinstance(train.words, StringArray)
        assert len(train.words) == 300
        assert all(3 < len(text.split()) < 11 and text.endswith(".") for text in train.words)

    def test_samples_of_several_shapes_have_several(self, tmp_path: Path) -> None:
        """An axis that is declared is as long as that."""
        fields = """
        sentences: {dtype: int32, shape: [null], range: [1, 500]}
        pictures: {dtype: uint8, shape: [null, null, 3], range: [0, 255]}
        """
        train = made_up("made", declared(tmp_path, fields)).train

        assert isinstance(train.pictures, RaggedArray)
        assert {picture.shape[2] for picture in train.pictures} == {3}
        assert len({picture.shape for picture in train.pictures}) > 100
        assert train.sentences.lengths.min() == 8
        assert train.sentences.lengths.max() == 32
        assert train.sentences.flat.min() >= 1

    def test_recordings_are_long_enough_to_be_heard(self, tmp_path: Path) -> None:
        """An eighth of a second to two, at their rate."""
        path = declared(tmp_path, "sounds: {dtype: int16, shape: [null]}", samples=50)
        text = path.read_text().replace("format: npz", "format: audio\n    options: {rate: 8000}")
        path.write_text(text.replace(".npz}", ".zip, members: ['*.wav']}").replace(".npz", ".zip"))

        train = made_up("made", path).train

        assert 1000 <= train.sounds.lengths.min() < train.sounds.lengths.max() <= 2000

    @pytest.mark.parametrize("name", ["tinydigits", "tinytalks"])
    def test_packaged_data_sets_are_as_their_entries_say(self, name: str) -> None:
        """Field by field; and texts of a split as a whole, too."""
        entry = load_manifest().datasets[name]

        dataset = made_up(name)

        for split in dataset.values():
            for field, of in entry.fields.items():
                if of.per == "split":
                    assert split[field].count("\n") >= 200
                    continue
                assert len(split[field]) == entry.splits[split.name].samples
                if of.dtype != "str":
                    assert split[field].dtype == np.dtype(of.dtype)
                    assert split[field].shape[1:] == tuple(of.shape or ())
        assert dataset.classes == (
            tuple(next(f.classes for f in entry.fields.values() if f.classes)) if name != "tinytalks" else None
        )


class TestLearning:
    """What a model learns on one split holds on another. Only these import scikit-learn, which takes seconds."""

    @pytest.mark.parametrize("shape", ["[16, 16]", "[2]", "[3000]"])
    def test_of_pictures_and_features_classes_are_learned(self, shape: str, tmp_path: Path) -> None:
        """Each class has a mean of its own."""
        from sklearn.naive_bayes import GaussianNB  # type: ignore[import-untyped]

        fields = f"x: {{dtype: float32, shape: {shape}}}\nlabels: {{dtype: int64, classes: [a, b, c]}}"

        (x, y), (other_x, other_y) = made_up("made", declared(tmp_path, fields)).arrays(flat=True)

        assert GaussianNB().fit(x, y).score(other_x, other_y) > 0.8

    def test_a_target_that_is_a_number_is_learned(self, tmp_path: Path) -> None:
        """By a straight line."""
        from sklearn.linear_model import Ridge  # type: ignore[import-untyped]

        fields = "x: {dtype: float64, shape: [6]}\nprice: {dtype: float64, range: [10, 500]}"

        (x, y), (other_x, other_y) = made_up("made", declared(tmp_path, fields)).arrays()

        assert Ridge().fit(x, y).score(other_x, other_y) > 0.5
        assert 10 <= y.min() < 50 < 450 < y.max() <= 500

    def test_texts_are_told_apart_by_their_words(self, tmp_path: Path) -> None:
        """Half of them are the class's own."""
        from sklearn.naive_bayes import MultinomialNB

        fields = "texts: {dtype: str}\nlabels: {dtype: int64, classes: [a, b]}"

        dataset = made_up("made", declared(tmp_path, fields))

        words = sorted({word for text in dataset.train.texts for word in text.lower().rstrip(".").split()})
        counts = [[[t.lower().count(word) for word in words] for t in split.texts] for split in dataset.values()]
        model = MultinomialNB().fit(counts[0], dataset.train.labels)
        assert model.score(counts[1], dataset.test.labels) > 0.8


class TestSeed:
    """The name is the seed."""

    def test_the_same_name_gives_the_same_values(self) -> None:
        """Two splits have other samples."""
        first, second = made_up("tinydigits"), made_up("TinyDigits")

        np.testing.assert_array_equal(first.train.images, second.train.images)
        assert not np.array_equal(first.train.images[:200], first.test.images)

    def test_values_are_the_same_on_every_machine(self) -> None:
        """Witnesses, written down once: with NumPy 1.24 and 2 they are these."""
        dataset = made_up("tinydigits")

        assert dataset.train.labels[:8].tolist() == [4, 5, 0, 6, 4, 6, 4, 0]
        assert [round(float(pixel), 6) for pixel in dataset.train.images[0, 0, :4]] == [
            0.432773,
            0.413517,
            0.52486,
            0.089236,
        ]


class TestFlag:
    """Nobody takes it for the real data."""

    def test_every_picture_of_it_says_so(self) -> None:
        """A part of it, too, and real samples that it is joined with."""
        dataset = made_up("tinydigits")

        assert repr(dataset) == "<Dataset tinydigits: train (1,000), test (200); stand-in data>"
        assert (
            repr(dataset.train) == "<Split train: 1,000 samples (stand-in data) of images float32[8, 8], labels int64>"
        )
        assert "; stand-in data) of images" in repr(dataset.train[:3])
        real = get("tinydigits")
        assert (dataset.is_standin, real.is_standin) == (True, False)
        assert "; stand-in data) of images" in repr(real.test + dataset.test)
        assert "(stand-in data) of images" in repr(pickle.loads(pickle.dumps(dataset.test)))
        assert "stand-in" not in repr(real)
        for shown in (dataset, dataset.train, dataset.train.show(3)):
            assert "stand-in data" in shown._repr_html_()

    def test_whatever_leaves_it_says_so(self, tmp_path: Path) -> None:
        """What is printed, JSON, a PNG file, an Arrow table; and none of it where the data is real."""
        shown, real = made_up("tinydigits").train.show(2), get("tinydigits").train.show(2)
        for samples, file in ((shown, "made-up.png"), (real, "real.png")):
            samples.save(tmp_path / file)

        title = "train: 1,000 samples (stand-in data); 2 of them shown"
        assert repr(shown).startswith(f"{title}\n")
        assert [sample["note"] for sample in shown.plain()] == ["stand-in data"] * 2
        assert title.encode() in (tmp_path / "made-up.png").read_bytes()
        assert "stand-in" not in repr(real)
        assert set(real.plain()[0]) == {"index", "images", "labels"}
        assert b"stand-in" not in (tmp_path / "real.png").read_bytes()
        pyarrow = pytest.importorskip("pyarrow")
        assert pyarrow.table(made_up("tinydigits").train).schema.metadata == {b"note": b"stand-in data"}
        assert pyarrow.table(get("tinydigits").train).schema.metadata is None

    def test_its_provenance_says_so_and_names_no_file(self) -> None:
        """But for the manifest."""
        manifest = f"datasets.yaml {load_manifest().sha256[:16]}"

        assert made_up("tinydigits").provenance == (
            f"stand-in data for tinydigits, made up by tinytorch-datasets {__version__}; sha256 of {manifest}"
        )

    def test_one_sentence_warns_at_the_line_that_asked(self) -> None:
        """Python shows it once for each such line."""
        with pytest.warns(StandInWarning) as caught:
            get("tinydigits", standin=True)

        assert [str(warning.message) for warning in caught] == [
            "tinydigits is stand-in data, made up from its declaration: "
            "nothing measured on it says anything of the real"
        ]
        assert caught[0].filename == __file__

    def test_nothing_is_written_and_the_real_data_comes_afterwards(self, tmp_path: Path) -> None:
        """No cache entry, no array, no folder."""
        home = tmp_path / "home"
        with pytest.warns(StandInWarning):
            dataset = get("made", manifest=declared(tmp_path, FIELDS), home=home, standin=True, offline=True)

        assert not home.exists()
        assert not dataset.train.labels.flags.writeable
        assert get("tinydigits", home=home, standin=False).is_standin is False


class TestVariable:
    """`TINYTORCH_DATASETS_STANDIN`: for a whole run."""

    def test_it_asks_for_stand_in_data_unless_the_call_says_otherwise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As with `offline`."""
        monkeypatch.setenv(settings.STANDIN, "1")

        with pytest.warns(StandInWarning):
            assert get("tinydigits").is_standin
        assert not get("tinydigits", standin=False).is_standin
        monkeypatch.setenv(settings.STANDIN, "0")
        assert not get("tinydigits").is_standin

    def test_what_is_of_real_data_alone_refuses(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A lock, an audit, a mirror, an export."""
        monkeypatch.setenv(settings.STANDIN, "1")
        manifest = load_manifest()

        for task, refused in (
            ("a lock", lambda: lockfile.record(manifest, ["tinydigits"])),
            ("an audit", lambda: audit(["tinydigits"])),
            ("a mirror", lambda: mirror(manifest, tmp_path / "mirror", ["tinydigits"])),
            ("an export", lambda: export("tinydigits", "npz", tmp_path / "export")),
        ):
            with pytest.raises(UsageError) as caught:
                refused()
            assert str(caught.value) == (
                f"{task} is of real data, and TINYTORCH_DATASETS_STANDIN asks for stand-in data\n"
                "  Unset TINYTORCH_DATASETS_STANDIN."
            )
        assert not list(tmp_path.iterdir())

    def test_the_command_line_gets_and_shows_it(self, tmp_path: Path) -> None:
        """Without a file, and without the line of code that warned."""
        manifest = str(declared(tmp_path, FIELDS))
        plain = {**os.environ, settings.HOME: str(tmp_path / "home"), settings.MANIFEST: manifest}
        asking = {**plain, settings.STANDIN: "1"}
        warning = (
            "warning: made is stand-in data, made up from its declaration: nothing measured on it says anything of "
            "the real\n"
        )

        got = python("-m", "tinytorch_datasets", "get", "made", env=asking)
        shown = python("-m", "tinytorch_datasets", "show", "made", "--standin", "--index", "3", env=plain)
        locked = python("-m", "tinytorch_datasets", "lock", "--output", "-", env=asking)

        assert (got.stdout, got.stderr) == ("made: train 300, test 40; stand-in data\n", warning)
        assert (shown.returncode, shown.stderr) == (0, warning)
        assert locked.returncode == 2
        assert not (tmp_path / "home").exists()


class TestRefusals:
    """What cannot be made up says so in one sentence."""

    def test_ten_gigabytes_are_not_made(self, tmp_path: Path) -> None:
        """Before any memory is taken."""
        manifest = declared(tmp_path, "images: {dtype: float32, shape: [500, 500]}", samples=10_000)

        with pytest.raises(UsageError) as caught:
            get("made", manifest=manifest, standin=True)

        assert str(caught.value) == (
            "stand-in data of 'made' would take 10.0 GB of memory, and may take 1.1 GB\n"
            "  Declare fewer `samples` in a manifest of your own, or get the real data."
        )

    def test_many_texts_and_many_classes_stay_within_it(self, tmp_path: Path) -> None:
        """A million texts are a million places in a few sentences."""
        classes = ", ".join(f"c{number}" for number in range(5000))
        fields = (
            f"texts: {{dtype: str}}\nlabels: {{dtype: int64, classes: [{classes}]}}\nx: {{dtype: float32, shape: [9]}}"
        )

        train = made_up("made", declared(tmp_path, fields, samples=100_000)).train

        assert len(train.texts) == 100_000
        assert np.unique(train.labels).size == 5000

    def test_wrong_arguments_are_refused(self) -> None:
        """A name, and a flag that is a text."""
        with pytest.raises(UnknownName):
            get("cifar11", standin=True)
        with pytest.raises(UsageError, match=r"^standin is True or False, not 'yes'$"):
            get("mnist", standin="yes")  # type: ignore[call-overload]
