"""The TinyDigits that ships is the published one, and anybody can make it again."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.conftest import plainly_unpickled

FOLDER = Path(__file__).parents[1] / "datasets" / "tinydigits"

# Written here once more, and not taken from the script or the manifest: those are what is being checked.
PUBLISHED = {
    "train.pkl": (264_255, "254293630e549113002cdc3f7f1542715e0a40288a3a8a0358fb8e478dce1e54"),
    "test.pkl": (53_044, "767ea1644a12dac6f3f94f63536de4deace8a0fa1f5c54f80a9419a267c7802d"),
}
PER_DIGIT = {"train.pkl": 100, "test.pkl": 20}


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def arrays(file: str) -> dict[str, np.ndarray]:
    """What a shipped file holds, read without any code of this project."""
    # Only ever bytes whose hash is known: a pickle from elsewhere could run code.
    assert sha256(FOLDER / file) == PUBLISHED[file][1]
    content: dict[str, np.ndarray] = plainly_unpickled(FOLDER / file)
    return content


@pytest.fixture
def recipe() -> ModuleType:
    """create_tinydigits.py, run as a module without leaving a __pycache__ among the shipped files."""
    pytest.importorskip("sklearn", reason="the digits come from scikit-learn, a development dependency")
    pytest.importorskip("numpy", minversion="2.0", reason="NumPy 1 pickles the same arrays to other bytes")
    script = FOLDER / "create_tinydigits.py"
    module = ModuleType(script.stem)
    exec(compile(script.read_text(encoding="utf-8"), script, "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("file", PUBLISHED)
class TestTheFiles:
    """Both files are the published bytes, and hold what the data card says."""

    def test_the_bytes_are_the_published_ones(self, file: str) -> None:
        """Size and sha256 are those of the published file."""
        path = FOLDER / file

        assert (path.stat().st_size, sha256(path)) == PUBLISHED[file]

    def test_images_and_labels_have_their_types_and_shapes(self, file: str) -> None:
        """Images are float32 (N, 8, 8), labels int64 (N,), and there is nothing else."""
        content = arrays(file)
        count = 10 * PER_DIGIT[file]

        assert list(content) == ["images", "labels"]
        assert (content["images"].dtype, content["images"].shape) == (np.dtype("float32"), (count, 8, 8))
        assert (content["labels"].dtype, content["labels"].shape) == (np.dtype("int64"), (count,))

    def test_every_digit_is_there_equally_often(self, file: str) -> None:
        """No class is larger than another."""
        assert np.bincount(arrays(file)["labels"]).tolist() == [PER_DIGIT[file]] * 10

    def test_every_pixel_is_a_whole_number_of_sixteenths(self, file: str) -> None:
        """Values go from 0.0 to 1.0, both reached, in the seventeen steps of the source."""
        sixteenths = arrays(file)["images"] * 16

        assert np.array_equal(sixteenths, np.round(sixteenths))
        assert (sixteenths.min(), sixteenths.max()) == (0, 16)

    def test_the_rows_are_shuffled(self, file: str) -> None:
        """A batch of the first hundred rows meets all ten digits."""
        assert set(arrays(file)["labels"][:100].tolist()) == set(range(10))


class TestTheSplits:
    """What tests a model has not trained it."""

    def test_no_image_is_in_both_splits(self) -> None:
        """Not one of the test images is, pixel for pixel, a training image."""
        train, test = ({image.tobytes() for image in arrays(file)["images"]} for file in PUBLISHED)

        assert not train & test

    def test_a_nearest_neighbor_reads_most_test_digits(self) -> None:
        """Labels belong to their images: the closest training image names 95 % of the test digits or more."""
        train, test = arrays("train.pkl"), arrays("test.pkl")
        differences = test["images"].reshape(200, 1, 64) - train["images"].reshape(1, 1000, 64)
        closest = np.square(differences).sum(axis=2).argmin(axis=1)

        assert np.mean(train["labels"][closest] == test["labels"]) >= 0.95


class TestTheRecipe:
    """create_tinydigits.py makes the published bytes from scikit-learn's digits."""

    def test_a_rebuild_is_byte_for_byte_the_published_data(self, recipe: ModuleType, tmp_path: Path) -> None:
        """Both files come out with the published size and sha256, and the script says those hashes."""
        folder = tmp_path / "new folder"
        digests = recipe.write(folder)

        made = {path.name: (path.stat().st_size, sha256(path)) for path in folder.iterdir()}
        assert made == PUBLISHED
        assert digests == {file: digest for file, (_, digest) in PUBLISHED.items()}

    def test_the_global_generator_is_left_alone(self, recipe: ModuleType, tmp_path: Path) -> None:
        """The recipe's seed is its own: the caller's random numbers go on as if nothing had happened."""
        np.random.seed(7)
        expected = np.random.RandomState(7).random_sample()

        recipe.write(tmp_path)

        assert np.random.random_sample() == expected

    def test_the_script_exits_0_when_the_bytes_are_right(
        self, recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """stdout has one line for each file, as sha256sum writes it; stderr stays empty."""
        assert recipe.main([str(tmp_path)]) == 0

        out, err = capsys.readouterr()
        assert out.splitlines() == [f"{digest}  {tmp_path / file}" for file, (_, digest) in PUBLISHED.items()]
        assert err == ""

    def test_the_script_exits_1_when_they_are_not(
        self,
        recipe: ModuleType,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Another seed makes other bytes, and stderr names each file that differs."""
        monkeypatch.setattr(recipe, "SEED", 43)

        assert recipe.main([str(tmp_path)]) == 1

        err = capsys.readouterr().err
        for file, (_, digest) in PUBLISHED.items():
            assert f"{tmp_path / file} is not the published file, whose sha256 is {digest}." in err

    @pytest.mark.parametrize("arguments", [[], ["one", "two"]])
    def test_the_script_exits_2_without_exactly_one_folder(
        self, recipe: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A wrong call writes nothing and says how to call it."""
        assert recipe.main(arguments) == 2

        assert capsys.readouterr().err == "usage: python create_tinydigits.py FOLDER\n"


class TestTheDataCard:
    """README.md says what the files hold."""

    @pytest.mark.parametrize("file", PUBLISHED)
    def test_its_table_agrees_with_the_file(self, file: str) -> None:
        """Types, shapes, counts and bytes in the row of each file are measured ones."""
        card = (FOLDER / "README.md").read_text(encoding="utf-8")
        content = arrays(file)
        images, labels = content["images"], content["labels"]
        each = np.bincount(labels).tolist()[0]
        size = (FOLDER / file).stat().st_size

        row = f"| {file} | {images.dtype} {images.shape} | {labels.dtype} {labels.shape} | {each} | {size} |"
        assert row in card.splitlines()

    def test_license_and_card_name_the_authors_of_the_images(self) -> None:
        """Attribution travels with the bytes: authors, year and DOI in both texts."""
        for name in ("README.md", "LICENSE"):
            text = " ".join((FOLDER / name).read_text(encoding="utf-8").split())

            assert re.search(r"E\. Alpaydin and C\. Kaynak \(1998\)", text)
            assert "https://doi.org/10.24432/C50P49" in text
