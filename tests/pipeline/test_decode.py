"""What every format shares: places of fields, rows and shuffles of them, and how labels are stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.add_world import update
from tests.helpers.declared import declare, made, plain
from tests.helpers.format_writers import npy, npz, zipped
from tinytorch_datasets import get
from tinytorch_datasets.errors import ContentError, DecodeError, ManifestError

IRIS = "sepal,petal,species\n5.1,1.4,setosa\n7.0,4.7,versicolor\n6.3,6.0,virginica\n4.9,1.5,setosa\n"
SPECIES = "{dtype: int64, classes: [setosa, versicolor, virginica]}"


class TestPlaces:
    """Where a field is: in short, or in the long form."""

    def test_a_table_may_have_a_file_for_each_field(self, tmp_path: Path) -> None:
        """As exercises and physiology of the same people are kept."""
        data = made(
            tmp_path,
            """
            format: csv
            options: {delimiter: whitespace}
            fields: {exercise: {dtype: float64, shape: [2]}, weight: {dtype: int64}}
            splits:
              train: {samples: 2, exercise: {file: exercise.csv}, weight: {file: physiology.csv, column: Weight}}
            """,
            exercise_csv="Chins Situps\n5 162\n2 110\n",
            physiology_csv="Weight Waist\n191 36\n189 37\n",
        )

        assert plain(data.train.exercise) == [[5, 162], [2, 110]]
        assert plain(data.train.weight) == [191, 189]

    def test_a_field_may_have_a_format_of_its_own(self, tmp_path: Path) -> None:
        """Images in an array, labels in a table."""
        images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
        data = made(
            tmp_path,
            f"""
            format: npy
            fields: {{images: {{dtype: uint8, shape: [2, 3]}}, labels: {SPECIES}}}
            splits:
              train:
                samples: 4
                images: images.npy
                labels: {{file: labels.csv, format: csv, column: species}}
            """,
            images_npy=npy(images),
            labels_csv=IRIS,
        )

        assert plain(data.train.images) == images.tolist()
        assert plain(data.train.labels) == [0, 1, 2, 0]

    def test_a_field_may_be_a_member_of_an_archive(self, tmp_path: Path) -> None:
        """Of each format that reads a stream; nothing is unpacked."""
        images = np.arange(8, dtype=np.uint8).reshape(4, 2)
        data = made(
            tmp_path,
            f"""
            format: npy
            fields: {{images: {{dtype: uint8, shape: [2]}}, labels: {SPECIES}}}
            splits:
              train:
                samples: 4
                file: all.zip
                images: {{member: a/images.npy}}
                labels: {{member: a/iris.csv, format: csv, column: 2}}
            """,
            all_zip=zipped({"a/images.npy": npy(images), "a/iris.csv": IRIS.encode()}),
        )

        assert plain(data.train.images) == images.tolist()
        assert plain(data.train.labels) == [0, 1, 2, 0]

    def test_columns_are_ranges_and_names(self, tmp_path: Path) -> None:
        """Both ends of a range are included."""
        data = made(
            tmp_path,
            f"""
            format: csv
            fields: {{features: {{dtype: float64, shape: [2]}}, labels: {SPECIES}}}
            splits: {{train: {{samples: 4, file: iris.csv, features: {{column: 0-1}}, labels: {{column: species}}}}}}
            """,
            iris_csv=IRIS,
        )

        assert plain(data.train.features) == [[5.1, 1.4], [7.0, 4.7], [6.3, 6.0], [4.9, 1.5]]

    def test_names_take_the_columns_of_a_header_in_their_own_order(self, tmp_path: Path) -> None:
        """And a name that the header has not is reported with the nearest."""
        entry = """
            format: csv
            fields: {{features: {{dtype: float64, shape: [2], names: [{names}]}}, species: {species}}}
            splits: {{train: {{samples: 4, file: iris.csv}}}}
            """
        data = made(tmp_path, entry.format(names="petal, sepal", species=SPECIES), iris_csv=IRIS)
        assert plain(data.train.features) == [[1.4, 5.1], [4.7, 7.0], [6.0, 6.3], [1.5, 4.9]]

        with pytest.raises(DecodeError, match=r"its header has no column 'petals', .*; did you mean 'petal'\?"):
            made(tmp_path, entry.format(names="petals, sepal", species=SPECIES), iris_csv=IRIS)


def keras_split(x: np.ndarray, y: np.ndarray, seed: int, test_split: float) -> tuple[np.ndarray, ...]:
    """Split as the page of Keras' boston_housing says: shuffled by its seed, the first part for training."""
    indices = np.arange(len(x))
    np.random.RandomState(seed).shuffle(indices)
    x, y, cut = x[indices], y[indices], int(len(x) * (1 - test_split))
    return x[:cut], y[:cut], x[cut:], y[cut:]


class TestRows:
    """A split that is part of what a file holds."""

    def test_rows_of_a_shuffled_file_are_the_splits_of_keras(self, tmp_path: Path) -> None:
        """Boston housing's layout: 506 rows, a fifth for testing, seed 113."""
        random = np.random.default_rng(1)
        x, y = random.normal(size=(506, 13)), random.normal(size=506)
        data = made(
            tmp_path,
            """
            format: npz
            fields: {features: {dtype: float64, shape: [13]}, target: {dtype: float64}}
            target: target
            splits:
              train: {samples: 404, file: boston.npz, features: x, target: y, shuffle: {seed: 113}, rows: [0, 404]}
              test: {samples: 102, file: boston.npz, features: x, target: y, shuffle: {seed: 113}, rows: [404, 506]}
            """,
            boston_npz=npz(x=x, y=y),
        )

        expected = keras_split(x, y, seed=113, test_split=0.2)
        actual = (data.train.features, data.train.target, data.test.features, data.test.target)
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(actual, expected, strict=True))

    def test_a_shuffle_may_come_after_others_of_the_same_stream(self, tmp_path: Path) -> None:
        """As IMDB's reviews are: those for training first, then those for testing."""
        x = np.arange(50)
        data = made(
            tmp_path,
            """
            format: npz
            fields: {numbers: {dtype: int64}}
            splits: {test: {samples: 50, file: x.npz, numbers: x, shuffle: {seed: 113, after: [25]}}}
            """,
            x_npz=npz(x=x),
        )
        random = np.random.RandomState(113)
        random.shuffle(np.arange(25))
        random.shuffle(x)

        assert plain(data.test.numbers) == x.tolist()

    @pytest.mark.parametrize("form", ["csv", "npy"])
    def test_rows_without_a_shuffle_come_in_order_in_any_format(self, tmp_path: Path, form: str) -> None:
        """More than a block of them."""
        numbers = np.arange(20_000)
        content = npy(numbers) if form == "npy" else "n\n" + "\n".join(map(str, numbers)) + "\n"
        data = made(
            tmp_path,
            f"""
            format: {form}
            fields: {{n: {{dtype: int64}}}}
            splits:
              train: {{samples: 12000, n: {{file: n.{form}, rows: [0, 12000]}}}}
              test: {{samples: 8000, n: {{file: n.{form}, rows: [12000, 20000]}}}}
            """,
            **{f"n_{form}": content},
        )

        assert plain(data.train.n) == list(range(12_000))
        assert plain(data.test.n) == list(range(12_000, 20_000))

    def test_text_is_shuffled_like_numbers(self, tmp_path: Path) -> None:
        """Whatever a field holds, the samples stay together."""
        lines = [f"line {n}" for n in range(100)]
        data = made(
            tmp_path,
            """
            format: text
            options: {unit: lines}
            fields: {line: {dtype: str}}
            splits: {train: {samples: 90, line: {file: l.txt}, shuffle: {seed: 7}, rows: [10, 100]}}
            """,
            l_txt="\n".join(lines) + "\n",
        )
        order = np.arange(100)
        np.random.RandomState(7).shuffle(order)

        assert plain(data.train.line) == [lines[at] for at in order[10:]]

    def test_positions_may_stand_in_a_file(self, tmp_path: Path) -> None:
        """Counted from 0 or from 1, in the order of the list."""
        data = made(
            tmp_path,
            """
            format: npy
            fields: {n: {dtype: int64}}
            splits:
              train:
                samples: 3
                n: n.npy
                stored_samples: 10
                rows: {file: train.txt, format: csv, options: {header: false}, first: 1}
            """,
            n_npy=npy(np.arange(10) * 11),
            train_txt="10\n1\n4\n",
        )

        assert plain(data.train.n) == [99, 0, 33]

    @pytest.mark.parametrize(
        ("listed", "message"),
        [
            ("0\n1\n", "train.n has rows 0 in the list, declared is positions from 1 to 10"),
            ("1\n11\n", "train.n has rows 11 in the list, declared is positions from 1 to 10"),
            ("2\n2\n", "train.n has rows 2 twice in the list, declared is each position once"),
        ],
    )
    def test_a_list_names_what_is_stored_and_each_once(self, tmp_path: Path, listed: str, message: str) -> None:
        """Anything else would be a sample too many, or one that is not there."""
        with pytest.raises(ContentError, match=message):
            made(
                tmp_path,
                """
                format: npy
                fields: {n: {dtype: int64}}
                splits:
                  train:
                    samples: 2
                    n: n.npy
                    stored_samples: 10
                    rows: {file: list.csv, format: csv, options: {header: false}, first: 1}
                """,
                n_npy=npy(np.arange(10)),
                list_csv=listed,
            )

    def test_a_list_may_be_a_column_of_an_array(self, tmp_path: Path) -> None:
        """As a place of values may be; an error in it names the file of the list."""
        entry = """
            format: npy
            fields: {n: {dtype: int64}}
            splits:
              train: {samples: 2, n: n.npy, stored_samples: 5, rows: {file: rows.npy, column: 1, stored_columns: 2}}
            """
        stored = np.arange(10, 15)
        data = made(tmp_path, entry, n_npy=npy(stored), rows_npy=npy(np.array([[0, 4], [0, 2]])))
        assert plain(data.train.n) == [14, 12]

        with pytest.raises(ContentError, match=r"train.n has rows 5 in the list") as caught:
            made(tmp_path, entry, n_npy=npy(stored), rows_npy=npy(np.array([[0, 4], [0, 5]])))
        assert caught.value.path.name == "rows.npy"

    def test_rows_of_other_members_are_other_samples(self, tmp_path: Path) -> None:
        """Two splits that take rows of one archive by the same names do not share what is decoded."""
        texts = {f"{folder}/{n}.txt": f"{folder}{n}".encode() for folder in "ab" for n in range(3)}
        data = made(
            tmp_path,
            """
            format: texts
            fields: {texts: {dtype: str}}
            splits:
              train: {samples: 2, file: all.zip, members: ["a/*.txt"], rows: [0, 2], stored_samples: 3}
              test: {samples: 1, file: all.zip, members: ["b/*.txt"], rows: [2, 3]}
            """,
            all_zip=zipped(texts),
        )
        assert (list(data.train.texts), list(data.test.texts)) == (["a0", "a1"], ["b2"])

    def test_more_or_fewer_stored_samples_than_declared_are_refused(self, tmp_path: Path) -> None:
        """A shuffle of another number of samples would be another order, and nobody would notice."""
        entry = """
            format: npy
            fields: {n: {dtype: int64}}
            splits: {train: {samples: 4, n: n.npy, shuffle: {seed: 1}, rows: [0, 4]}}
            """
        with pytest.raises(ContentError) as caught:
            made(tmp_path, entry, n_npy=npy(np.arange(3)))
        assert caught.value.reason == "train.n is rows of 4 stored samples, and 3 are stored"
        assert caught.value.hint == "Write how many are stored in the manifest, as `stored_samples`."

        with pytest.raises(ContentError, match=r"more than train\.n declares"):
            made(tmp_path, entry, n_npy=npy(np.arange(5)))


class TestLabels:
    """A label is the position of its class, however it is stored."""

    @pytest.mark.parametrize(
        ("values", "stored"),
        [
            ('["1", "2", "4"]', "1\n4\n2\n4\n"),
            ("[1, 2, 4]", "1\n4\n2.0\n4\n"),
            ('["no", maybe, "yes"]', "no\nyes\nmaybe\nyes\n"),
        ],
    )
    def test_values_are_what_a_table_spells(self, tmp_path: Path, values: str, stored: str) -> None:
        """One for each class, in their order; numbers are compared as numbers."""
        data = made(
            tmp_path,
            f"""
            format: csv
            options: {{header: false}}
            fields: {{labels: {{dtype: int64, classes: [World, Sports, Business], values: {values}}}}}
            splits: {{train: {{samples: 4, file: t.csv}}}}
            """,
            t_csv=stored,
        )

        assert plain(data.train.labels) == [0, 2, 1, 2]

    @pytest.mark.parametrize(
        "stored", [np.array([10, 1, 2, 10]), np.array([10.0, 1, 2, 10]), np.array([10, 1, 2, 10], np.uint8)]
    )
    def test_values_are_the_numbers_of_an_array(self, tmp_path: Path, stored: np.ndarray) -> None:
        """As SVHN has 10 for the digit 0."""
        data = made(
            tmp_path,
            """
            format: npy
            fields: {labels: {dtype: int64, classes: ["0", "1", "2"], values: [10, 1, 2]}}
            splits: {train: {samples: 4, labels: l.npy}}
            """,
            l_npy=npy(stored),
        )

        assert plain(data.train.labels) == [0, 1, 2, 0]

    def test_a_value_of_no_class_is_refused_with_its_sample(self, tmp_path: Path) -> None:
        """And those that there are."""
        with pytest.raises(ContentError) as caught:
            made(
                tmp_path,
                """
                format: npy
                fields: {labels: {dtype: int64, classes: [a, b], values: [-1, 1]}}
                splits: {train: {samples: 3, labels: l.npy}}
                """,
                l_npy=npy(np.array([-1, 0, 1])),
            )

        assert caught.value.reason == "train.labels has labels 0 at sample 1, declared is one of -1, 1"

    def test_numbers_are_the_values_exactly(self, tmp_path: Path) -> None:
        """A class is not taken for another because both are one number in float64."""
        entry = """
            format: npy
            fields: {labels: {dtype: int64, classes: [a, b], values: [9007199254740992, 9007199254740993]}}
            splits: {train: {samples: 3, labels: labels.npy}}
            """
        stored = [2**53, 2**53 + 1, 2**53]
        assert plain(made(tmp_path, entry, labels_npy=npy(np.array(stored))).train.labels) == [0, 1, 0]
        with pytest.raises(ContentError, match=r"labels 9007199254740994 at sample 2, declared is one of"):
            made(tmp_path, entry, labels_npy=npy(np.array([*stored[:2], 2**53 + 2])))
        with pytest.raises(ContentError, match=r"declared is different numbers"):
            made(tmp_path, entry, labels_npy=npy(np.array(stored, np.float64)))

    def test_cells_are_the_values_exactly(self, tmp_path: Path) -> None:
        """A whole number beyond 2**53 is not taken for its neighbor, which is the same float."""
        entry = """
            format: csv
            fields: {labels: {dtype: int64, classes: [a, b], values: [9007199254740992, 3]}}
            splits: {train: {samples: 2, file: labels.csv}}
            """
        data = made(tmp_path, entry, labels_csv="labels\n3.0\n9007199254740992\n")
        assert plain(data.train.labels) == [1, 0]
        with pytest.raises(ContentError, match=r"'9007199254740993' is not one of the 2 classes"):
            made(tmp_path, entry, labels_csv="labels\n3.0\n9007199254740993\n")

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_values_may_be_fractions(self, tmp_path: Path, dtype: str) -> None:
        """Of arrays of floats, in each of which 0.1 is another number."""
        entry = """
            format: npy
            fields: {labels: {dtype: int64, classes: [low, high], values: [0.1, 2.5]}}
            splits: {train: {samples: 3, labels: labels.npy}}
            """
        data = made(tmp_path, entry, labels_npy=npy(np.array([0.1, 2.5, 0.1], dtype)))
        assert plain(data.train.labels) == [0, 1, 0]

    @pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "arrow"])
    def test_one_hot_labels_may_be_bools_of_a_table(self, tmp_path: Path, form: str) -> None:
        """As `pandas.get_dummies` makes them."""
        pandas = pytest.importorskip("pandas")
        dummies, name = pandas.get_dummies(pandas.Series(["b", "a", "b"])), tmp_path / f"dummies.{form}"
        match form:
            case "csv":
                dummies.to_csv(name, index=False)
            case "jsonl":
                dummies.to_json(name, orient="records", lines=True)
            case "parquet":
                dummies.to_parquet(name)
            case "arrow":
                dummies.to_feather(name)
        entry = f"""
            format: {form}
            fields: {{labels: {{dtype: int64, classes: [a, b], stored: one-hot}}}}
            splits: {{train: {{samples: 3, labels: {{file: dummies.{form}, column: [a, b]}}}}}}
            """
        data = made(tmp_path, entry, **{f"dummies_{form}": name.read_bytes()})
        assert plain(data.train.labels) == [1, 0, 1]

    def test_one_hot_labels_may_have_their_samples_last(self, tmp_path: Path) -> None:
        """As MATLAB's users store them: the axes are those of the numbers, and not of the labels."""
        entry = """
            format: npy
            fields: {labels: {dtype: int64, classes: [a, b], stored: one-hot, axes: [1, 0]}}
            splits: {train: {samples: 3, labels: labels.npy}}
            """
        data = made(tmp_path, entry, labels_npy=npy(np.array([[1, 0, 0], [0, 1, 1]])))
        assert plain(data.train.labels) == [0, 1, 1]

    def test_one_hot_labels_are_the_position_of_the_one(self, tmp_path: Path) -> None:
        """In a table as Semeion's, or in an array."""
        fields = "{x: {dtype: float64}, labels: {dtype: int64, classes: [a, b, c], stored: one-hot}}"
        data = made(
            tmp_path,
            f"""
            format: csv
            options: {{header: false}}
            fields: {fields}
            splits: {{train: {{samples: 2, file: t.csv, x: {{column: 0}}, labels: {{column: 1-3}}}}}}
            """,
            t_csv="0.5,0,0,1\n0.25,1,0,0\n",
        )
        assert plain(data.train.labels) == [2, 0]

        with pytest.raises(ContentError) as caught:
            made(
                tmp_path,
                f"""
                format: npz
                fields: {fields}
                splits: {{train: {{samples: 2, file: t.npz}}}}
                """,
                t_npz=npz(x=np.zeros(2), labels=np.array([[0, 1, 0], [0, 1, 1]], np.float32)),
            )
        assert caught.value.reason == (
            "train.labels has labels [0.0, 1.0, 1.0] at sample 1, declared is one 1 among zeros"
        )

    @pytest.mark.parametrize("stored", [np.array([1.0, 0.0]), np.array([True, False]), np.array([[1], [0]])])
    def test_whole_floats_bools_and_an_axis_of_one_are_labels(self, tmp_path: Path, stored: np.ndarray) -> None:
        """All of them are found in files."""
        data = made(
            tmp_path,
            """
            format: npy
            fields: {labels: {dtype: int64, classes: [a, b]}}
            splits: {train: {samples: 2, labels: l.npy}}
            """,
            l_npy=npy(stored),
        )

        assert plain(data.train.labels) == [1, 0]

    def test_a_label_between_two_classes_is_refused(self, tmp_path: Path) -> None:
        """0.5 is not rounded."""
        with pytest.raises(ContentError, match=r"train.labels has labels 0.5 at sample 1, declared is whole numbers"):
            made(
                tmp_path,
                """
                format: npy
                fields: {labels: {dtype: int64, classes: [a, b]}}
                splits: {train: {samples: 2, labels: l.npy}}
                """,
                l_npy=npy(np.array([1.0, 0.5])),
            )


class TestStoredAxes:
    """Arrays whose axes are in another order, or hold more than is wanted, or whole numbers for fractions."""

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_samples_may_be_stored_last(self, tmp_path: Path, order: Any) -> None:
        """As SVHN's images are: height, width, channel, sample."""
        images = np.arange(5 * 2 * 3 * 4, dtype=np.uint8).reshape(5, 2, 3, 4)
        stored = np.asarray(np.moveaxis(images, 0, -1), order=order)
        data = made(
            tmp_path,
            """
            format: npy
            fields: {images: {dtype: uint8, shape: [2, 3, 4], axes: [3, 0, 1, 2]}}
            splits:
              train: {samples: 3, images: {file: x.npy, rows: [0, 3]}}
              test: {samples: 2, images: {file: x.npy, rows: [3, 5]}}
            """,
            x_npy=npy(stored),
        )

        assert plain(data.train.images) == images[:3].tolist()
        assert plain(data.test.images) == images[3:].tolist()

    def test_a_column_of_an_array_is_a_position_on_its_last_axis(self, tmp_path: Path) -> None:
        """As QMNIST's labels are the first of eight numbers."""
        stored = np.arange(24, dtype=np.int32).reshape(3, 8)
        data = made(
            tmp_path,
            """
            format: npy
            fields: {n: {dtype: int32}, more: {dtype: int32, shape: [2]}}
            splits:
              train:
                samples: 3
                n: {file: l.npy, column: 0, stored_columns: 8}
                more: {file: l.npy, column: [7, 1], stored_columns: 8}
            """,
            l_npy=npy(stored),
        )

        assert plain(data.train.n) == [0, 8, 16]
        assert plain(data.train.more) == [[7, 1], [15, 9], [23, 17]]

    def test_whole_numbers_are_multiplied_by_the_scale(self, tmp_path: Path) -> None:
        """In float64, and then rounded once to the declared dtype."""
        stored = np.array([0, 1, 128, 255], np.uint8)
        entry = f"""
            format: npy
            fields: {{n: {{dtype: float32, range: [0, 1], scale: {1 / 255!r}}}}}
            splits: {{train: {{samples: 4, n: n.npy}}}}
            """
        data = made(tmp_path, entry, n_npy=npy(stored))
        assert plain(data.train.n) == (stored * (1 / 255)).astype(np.float32).tolist()

        with pytest.raises(ContentError, match=r"train.n has dtype float64, declared is whole numbers, to be scaled"):
            made(tmp_path, entry, n_npy=npy(stored * 0.5))

    @pytest.mark.parametrize(
        ("form", "place", "name", "data"),
        [
            ("csv", "file: n.csv", "n_csv", b"n\n0\n51\n255\n"),
            ("jsonl", "file: n.jsonl", "n_jsonl", b'{"n": 0}\n{"n": 51}\n{"n": 255}\n'),
            ("npy", "n: n.npy", "n_npy", npy(np.array([0.0, 51.0, 255.0]))),
        ],
    )
    def test_whole_numbers_may_be_floats_for_their_format(
        self, tmp_path: Path, form: str, place: str, name: str, data: bytes
    ) -> None:
        """Text has no dtype: 51 is read as the number that it is, and scaled."""
        entry = f"""
            format: {form}
            fields: {{n: {{dtype: float64, scale: 0.5}}}}
            splits: {{train: {{samples: 3, {place}}}}}
            """
        assert plain(made(tmp_path, entry, **{name: data}).train.n) == [0, 25.5, 127.5]

    def test_samples_of_different_lengths_are_scaled_like_others(self, tmp_path: Path) -> None:
        """Each of their values is."""
        entry = """
            format: npy
            fields: {n: {dtype: float64, shape: [null], scale: 0.5}}
            splits: {train: {samples: 2, n: n.npy}}
            """
        data = made(tmp_path, entry, n_npy=npy(np.array([[1, 2], [255]], object)))
        assert [plain(sample) for sample in data.train.n] == [[0.5, 1], [127.5]]

    def test_what_is_scaled_fits_the_declared_dtype(self, tmp_path: Path) -> None:
        """An infinity would be a value that no file holds."""
        entry = """
            format: npy
            fields: {n: {dtype: float16, scale: 10}}
            splits: {train: {samples: 2, n: n.npy}}
            """
        with pytest.raises(ContentError, match=r"train.n has range 70,000 times 10, declared is what float16 holds"):
            made(tmp_path, entry, n_npy=npy(np.array([1, 70_000])))

    @pytest.mark.parametrize(
        ("stored_shape", "axes", "arrange"),
        [
            ("[null, 6]", "", lambda stored: stored.reshape(5, 2, 3)),
            ("[null, 6]", "axes: [0, 2, 1]", lambda stored: stored.reshape(5, 3, 2).transpose(0, 2, 1)),
            ("[6, null]", "axes: [2, 0, 1]", lambda stored: stored.T.reshape(2, 3, 5).transpose(2, 0, 1)),
            ("[6, null]", "axes: [2, 1, 0]", lambda stored: stored.T.reshape(3, 2, 5).transpose(2, 1, 0)),
        ],
    )
    def test_an_array_may_be_stored_with_other_axes(
        self, tmp_path: Path, stored_shape: str, axes: str, arrange: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        """Pixels in a row, by rows or by columns: as NumPy's reshape has them, and then in the order of `axes`."""
        stored = np.arange(30, dtype=np.uint8).reshape(5, 6)
        entry = f"""
            format: npy
            fields: {{x: {{dtype: uint8, shape: [2, 3], stored_shape: {stored_shape}, {axes}}}}}
            splits:
              train: {{samples: 3, x: {{file: x.npy, rows: [0, 3]}}}}
              test: {{samples: 2, x: {{file: x.npy, rows: [3, 5]}}}}
            """
        data = made(tmp_path, entry, x_npy=npy(stored if stored_shape == "[null, 6]" else stored.T))
        expected = arrange(stored)

        assert plain(data.train.x) == expected[:3].tolist()
        assert plain(data.test.x) == expected[3:].tolist()

        with pytest.raises(ContentError, match=r"train.x has shape \[5, 3, 2\], declared is \[(5, 6|6, 5)\]"):
            made(tmp_path, entry, x_npy=npy(stored.reshape(5, 3, 2)))

    def test_the_first_class_may_be_stored_as_another_number(self, tmp_path: Path) -> None:
        """MATLAB counts from 1."""
        entry = """
            format: npy
            fields: {n: {dtype: int64, classes: [ant, bee, cat], first: 1}}
            splits: {train: {samples: 4, n: n.npy}}
            """
        assert plain(made(tmp_path, entry, n_npy=npy(np.array([3, 1, 2, 1]))).train.n) == [2, 0, 1, 0]

        with pytest.raises(ContentError, match=r"train.n has labels 0 at sample 1, declared is one of 1, 2, 3"):
            made(tmp_path, entry, n_npy=npy(np.array([3, 0, 2, 1])))


FIELDS = "fields: {n: {dtype: int64}}"
# What is wrong with a split, and the message.
FAULTS = {
    "rows of none": ("{samples: 4, n: n.npy, rows: [4, 4]}", "rows: goes from the first row to before the second"),
    "rows that are not as many as samples": (
        "{samples: 5, n: n.npy, rows: [0, 4]}",
        "rows: has 4 samples, and the split declares 5",
    ),
    "rows past what is stored": (
        "{samples: 4, n: n.npy, rows: [3, 7], stored_samples: 6}",
        "rows: ends at 7, and 6 samples are stored",
    ),
    "a shuffle of another number": (
        "{samples: 4, n: n.npy, shuffle: {seed: 1}, stored_samples: 5}",
        "stored_samples: has 5 samples, and the split declares 4",
    ),
    "a shuffle without a seed": ("{samples: 4, n: n.npy, shuffle: {}}", "shuffle.seed: is missing"),
    "a seed that NumPy does not take": (
        "{samples: 4, n: n.npy, shuffle: {seed: -1}}",
        "shuffle.seed: must be 0 or more, is -1",
    ),
    "a seed that NumPy's is too small for": (
        "{samples: 4, n: n.npy, shuffle: {seed: 4294967296}}",
        "shuffle.seed: must be less than 4294967296, is 4294967296",
    ),
    "a shuffle of more than a memory holds": (
        "{samples: 4, n: n.npy, shuffle: {seed: 1, after: [99_999_990, 7]}, rows: [0, 4]}",
        "shuffle: puts 100,000,001 samples into another order, and the most is 100,000,000",
    ),
    "a list of more than a memory holds": (
        "{samples: 4, n: n.npy, rows: {file: n.npy}, stored_samples: 1000000000000}",
        "rows: puts 1,000,000,000,000 samples into another order, and the most is 100,000,000",
    ),
    "a list that is a column of an array of unknown width": (
        "{samples: 4, n: n.npy, rows: {file: n.npy, column: 3}, stored_samples: 9}",
        "rows.column: is of an array, so `stored_columns` has to say how many columns are stored",
    ),
    "a list in a format of many members": (
        "{samples: 4, n: n.npy, rows: {file: n.npy, format: cifar-python}, stored_samples: 9}",
        "rows.format: format 'cifar-python' has several members in one archive, and a list is one",
    ),
    "a list without the number of stored samples": (
        "{samples: 4, n: n.npy, rows: {file: n.npy}}",
        "rows: is a list in a file, so `stored_samples` has to say how many samples are stored",
    ),
    "a list in no file": ("{samples: 4, n: n.npy, rows: {first: 1}, stored_samples: 9}", "rows: names no file"),
    "a list in a file that is not declared": (
        "{samples: 4, n: n.npy, rows: {file: m.npy}, stored_samples: 9}",
        "rows.file: 'm.npy' is not under files; did you mean 'n.npy'?",
    ),
    "a key of a place": ("{samples: 4, n: {file: n.npy, memebr: a}}", "n.memebr: unknown key; did you mean 'member'?"),
    "a file of a place": ("{samples: 4, n: {file: m.npy}}", "n.file: 'm.npy' is not under files"),
    "a format of a place": (
        "{samples: 4, n: {file: n.npy, format: idxx}}",
        "n.format: no decoder for format 'idxx'; did you mean 'idx'?",
    ),
    "an option of a place": (
        "{samples: 4, n: {file: n.npy, format: csv, options: {delimiter: ab}}}",
        "n.options.delimiter: must be one character",
    ),
    "an unsafe member": ("{samples: 4, n: {file: n.npy, member: ../x}}", "n.member: "),
    "a range of columns that has none": (
        "{samples: 4, n: {file: n.npy, format: csv, column: 5-3}}",
        "n.column: the range 5-3 has no columns",
    ),
    "a billion columns": (
        "{samples: 4, n: {file: n.npy, format: csv, column: 0-9999999}}",
        "n.column: the range 0-9999999 has no columns, or more than 1,048,576",
    ),
    "a column of an array of unknown width": (
        "{samples: 4, n: {file: n.npy, column: 3}}",
        "n.column: is of an array, so `stored_columns` has to say how many columns are stored",
    ),
    "a column that an array has not": (
        "{samples: 4, n: {file: n.npy, column: 3, stored_columns: 3}}",
        "n.column: is none of 0 to 2, the columns that are stored",
    ),
    "a name of a column of an array": (
        "{samples: 4, n: {file: n.npy, column: a, stored_columns: 3}}",
        "n.column: is of an array, whose columns have numbers and no names",
    ),
    "columns that nothing is taken of": (
        "{samples: 4, n: {file: n.npy, stored_columns: 3}}",
        "n.stored_columns: has no meaning without `column`, which says which of them are taken",
    ),
    "columns of a table, counted": (
        "{samples: 4, n: {file: n.npy, format: csv, column: 1, stored_columns: 3}}",
        "n.stored_columns: is of arrays, and format 'csv' has tables, which say it themselves",
    ),
    "a column by two names": (
        "{samples: 4, n: {file: n.npy, format: csv, column: 1, key: b}}",
        "n.key: is the name of a column, and `column` names it too: write one of them",
    ),
    "a list in a file that is null": (
        "{samples: 4, n: n.npy, rows: {file: null}, stored_samples: 9}",
        "rows: names no file for the list",
    ),
    "a column that is none": (
        "{samples: 4, n: {file: n.npy, format: csv, column: {}}}",
        "n.column: must be a column's name",
    ),
}


class TestWhatIsRefused:
    """Before a byte is read, with the line and a guess."""

    @pytest.mark.parametrize(("split", "message"), FAULTS.values(), ids=FAULTS)
    def test_of_a_split(self, tmp_path: Path, split: str, message: str) -> None:
        """One problem for one fault."""
        path = declare(tmp_path, f"format: npy\n{FIELDS}\nsplits: {{train: {split}}}", n_npy=npy(np.arange(4)))

        with pytest.raises(ManifestError) as caught:
            get("made", manifest=path)

        (problem,) = caught.value.problems
        assert f"{problem.line}: {problem.key}: {problem.what}".startswith(f"11: made.splits.train.{message}")


def test_missing_values_are_of_the_format_of_the_place(tmp_path: Path) -> None:
    """A column of a table may have them, whatever the format of the other fields is."""
    data = made(
        tmp_path,
        """
        format: npy
        fields: {n: {dtype: int64}, more: {dtype: float64, missing: ["?"]}}
        splits: {train: {samples: 2, n: n.npy, more: {file: more.csv, format: csv}}}
        """,
        n_npy=npy(np.arange(2)),
        more_csv="more\n?\n1.5\n",
    )
    assert np.array_equal(data.train.more, [np.nan, 1.5], equal_nan=True)

    entry = """
        format: csv
        fields: {n: {dtype: float64, missing: ["?"]}}
        splits: {train: {samples: 2, n: {file: n.npy, format: npy}}}
        """
    with pytest.raises(ManifestError, match=r"format 'npy' has no cells of text that could mean a missing value"):
        made(tmp_path, entry, n_npy=npy(np.arange(2)))


def test_rows_of_many_splits_are_one_decoding(tmp_path: Path) -> None:
    """However many splits are rows of one array."""
    splits = "".join(
        f"\n  s{n}: {{samples: 10, file: x.npz, n: x, rows: [{n * 10}, {n * 10 + 10}]}}" for n in range(100)
    )
    data = made(tmp_path, f"format: npz\n{FIELDS}\nsplits:{splits}", x_npz=npz(x=np.arange(1000)))

    assert [plain(split.n)[0] for split in data.values()] == list(range(0, 1000, 10))


@pytest.mark.parametrize("axes", ["axes: [0]", "stored_shape: [null]"])
def test_a_column_of_an_array_is_of_the_array_as_it_is_stored(tmp_path: Path, axes: str) -> None:
    """What the other axes of the field would be of, the array or what is left of it, nobody knows."""
    entry = f"""
        format: npy
        fields: {{n: {{dtype: int64, {axes}}}}}
        splits: {{train: {{samples: 2, n: {{file: n.npy, column: 1, stored_columns: 3}}}}}}
        """
    with pytest.raises(ManifestError, match=r"n.column: is of an array as it is stored, and takes none of a field"):
        made(tmp_path, entry, n_npy=npy(np.arange(6).reshape(2, 3)))


def test_the_names_of_columns_come_with_the_data_set(tmp_path: Path) -> None:
    """By field; those that have none are left out."""
    data = made(
        tmp_path,
        f"""
        format: csv
        fields: {{features: {{dtype: float64, shape: [2], names: [sepal, petal]}}, species: {SPECIES}}}
        splits: {{train: {{samples: 4, file: iris.csv}}}}
        """,
        iris_csv=IRIS,
    )

    assert data.names == {"features": ("sepal", "petal")}


class TestUpdate:
    """`update` of files of one's own that have grown."""

    ENTRY = """
        format: csv
        options: {{header: false}}
        fields: {{x: {{dtype: float64}}, labels: {{dtype: int64, classes: [a, b], stored: one-hot}}}}
        splits: {{train: {{samples: 2, file: t.csv, x: {{column: 0}}, labels: {{column: 1-2}}{rows}}}}}
        """

    def grown(self, folder: Path, rows: str) -> Path:
        """Declare a table of two rows, and let it have a third one."""
        path = declare(folder, self.ENTRY.format(rows=rows), t_csv="0.5,0,1\n1.5,1,0\n")
        (folder / "datasets" / "made" / "t.csv").write_text("0.5,0,1\n1.5,1,0\n2.5,1,0\n")
        return path

    def test_samples_are_counted_whatever_way_they_are_stored(self, tmp_path: Path) -> None:
        """Labels in two columns each are one a sample."""
        path = self.grown(tmp_path, "")

        assert update(path, "made").exit_code == 0
        assert plain(get("made", manifest=path).train.labels) == [1, 0, 0]

    def test_rows_stay_as_they_are_declared(self, tmp_path: Path) -> None:
        """That there are more now is for the person to say, who may mean more rows, or the same."""
        path = self.grown(tmp_path, ", rows: [0, 2]")
        before = path.read_text()

        refused = update(path, "made")

        assert refused.exit_code == 1
        assert "t.csv: it has more rows than the 2 that train declares (line 3)" in refused.output
        assert path.read_text() == before
