"""What a notebook shows of splits, data sets and fields, and what `show` returns."""

from __future__ import annotations

import base64
import io
import pickle
import re
import tarfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.display.test_pictures import decoded
from tests.helpers import declared, fresh_process
from tests.test_get import declare
from tinytorch_datasets import Split, audit, get, load_manifest
from tinytorch_datasets.auditing.findings import DatasetReport, Finding, Report
from tinytorch_datasets.display.html import dataset
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.storage.ragged_array import RaggedArray
from tinytorch_datasets.storage.string_array import StringArray

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">$x^2$&amp;\x1b[31m\x00'
ALLOWED = {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "img", "span", "br", "audio"}


class Page(HTMLParser):
    """What a browser reads: tags, attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.depth = 0
        self.feed(html)
        self.close()
        assert self.depth == 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count what is open."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.depth += tag not in ("img", "br")

    def handle_endtag(self, tag: str) -> None:
        """Count what is closed."""
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.words += data


def checked(shown: object, most: int = 20_000) -> Page:
    """The page of an object: harmless, small, and of no color of its own."""
    html = shown._repr_html_()  # type: ignore[attr-defined]
    page = Page(html)
    assert set(page.tags) <= ALLOWED
    assert len(html.encode()) <= most
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "src" or value.startswith(("data:image/png;base64,", "data:audio/wav;base64,"))
        assert "url(" not in value
        assert not re.search(r"(^|;|-)color:|background:(?!currentColor)", value)
    assert 'class="tex2jax_ignore mathjax_ignore"' in html  # by which $x^2$ stays as it is
    return page


def picture(shown: object) -> np.ndarray:
    """The pixels of the one picture on the page."""
    (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)"', shown._repr_html_())  # type: ignore[attr-defined]
    return decoded(base64.b64decode(encoded))


class TestSplit:
    """A row of pictures with their classes; anything else as a table."""

    def test_digits_as_they_are(self) -> None:
        """Each pixel of the first ten, and their classes in their order."""
        digits = get("tinydigits")

        page, pixels = checked(digits.train), picture(digits.train)

        assert pixels.shape == (8, 10 * 8 + 9 * 2, 3)
        for number in range(10):
            expected = (digits.train.images[number] * 255).round()
            assert (pixels[:, number * 10 : number * 10 + 8, 0] == expected).all()
        labels, histogram = page.words.partition("train: 1,000 samples; 10 of them shown")[2].split("class")
        assert labels == "".join(map(str, digits.train.labels[:10]))
        assert histogram == "train" + "".join(f"{digit} 100" for digit in range(10))

    def test_texts_in_a_table(self) -> None:
        """Each in its own cell."""
        talk = get("tinytalks").train

        page = checked(talk)

        assert page.tags.count("tr") == 11
        assert all(question in page.words for question in talk.questions[:10])

    def test_a_text_of_the_whole_split(self) -> None:
        """Its beginning, where a split has nothing else."""
        split = Split("train", {}, texts={"text": "To be, <or> not to be. " * 1000})

        assert "To be, <or> not to be. To be" in checked(split).words

    def test_features_have_the_names_of_their_columns(self) -> None:
        """And the first few values as they are; how many there are, if there are more."""
        values = np.arange(20.0).reshape(2, 10) / 4
        names = [f"c{number}" for number in range(10)]
        split = Split("train", {"features": values}, declared={"features": {"names": names}})

        page = checked(split)

        assert page.words.startswith("train: 2 samplesc0c1c2c3c4c5c6c7... 10 in all000.250.5")
        assert "c8" not in page.words

    def test_hostile_names_are_text(self) -> None:
        """Of classes, and of whatever a text says; control codes are written out."""
        images = np.zeros((3, 4, 4), np.uint8)
        declared = {"labels": {"classes": [HOSTILE, "b"]}}
        pictures = Split("train", {"images": images, "labels": np.array([0, 1, 0])}, declared=declared)
        texts = Split("train", {"texts": StringArray.of([HOSTILE])})

        assert "<script>" in checked(pictures).words
        assert "\\x1b[31m\\x00" in checked(texts).words

    @pytest.mark.parametrize("shape", [(3, 500, 300), (40, 40), (2000, 3), (32, 32, 3)])
    def test_noise_stays_small(self, shape: tuple[int, ...]) -> None:
        """What no one can deflate, with the longest captions."""
        images = np.random.RandomState(0).randint(0, 256, (10, *shape), np.uint8)
        declared = {"labels": {"classes": ["\U0001f600" * 200, '"' * 200]}}

        split = Split("train", {"images": images, "labels": np.arange(10) % 2}, declared=declared)

        assert "img" in checked(split).tags

    def test_pictures_of_several_sizes(self) -> None:
        """Each whole, in a box as large as the largest."""
        ragged = RaggedArray.of([np.full((4, 2), 255), np.full((2, 4), 255)], dtype=np.uint8)

        pixels = picture(Split("train", {"images": ragged}, declared={"images": {"range": [0, 255]}}))

        assert pixels.shape == (4, 10, 3)

    def test_many_classes_are_counted_as_far_as_there_is_room(self) -> None:
        """Beside pictures that take most of it; what is no class is not counted, and labels of pixels are not."""
        images = np.random.RandomState(0).randint(0, 256, (100, 32, 32), np.uint8)
        masks, labels = np.zeros((100, 2), np.int64), np.array([0, 0, 99, -1, *range(96)])
        classes = {"classes": [f"class {number}" for number in range(98)]}
        split = Split(
            "train",
            {"images": images, "masks": masks, "labels": labels},
            declared={"labels": classes, "masks": classes},
        )

        words = checked(split).words

        assert "class 0 3class 1 1" in words
        assert re.search(r"and [89]\d more classes", words)

    def test_many_fields(self) -> None:
        """The first of them, and how many there are, also in a line."""
        split = Split("train", {f"field{number}": np.arange(3) for number in range(300)})

        assert "field15... 300 fields" in checked(split).words
        assert "field16" not in checked(split).words
        assert repr(split).endswith("field15 int64, ... 300 fields in all>")

    @pytest.mark.parametrize(
        "values",
        [
            np.array([0.0, np.nan, 7.0]),
            np.array([[0, 1], [1, 0], [0, 0]]),
            np.array([-1, 0, 2**40]),
            np.array([2**64 - 1, 0, 1], np.uint64),
            RaggedArray.of([[0, 1], [], [1]]),
        ],
    )
    def test_what_is_declared_as_labels_and_is_none(self, values: np.ndarray) -> None:
        """A number that no class has is shown as it is."""
        split = Split("train", {"labels": values}, declared={"labels": {"classes": ["no", "yes"]}})

        checked(split)
        repr(split.show())

    def test_a_mask_is_below_its_picture(self) -> None:
        """Where a sample has two pictures, both are shown."""
        split = Split("train", {"images": np.zeros((1, 5, 6)), "masks": np.ones((1, 5, 6))})

        assert picture(split).shape == (10, 6, 3)

    def test_a_number_that_stands_for_a_missing_value(self) -> None:
        """It is no number of the data, neither in a table nor in a caption."""
        fields = {"ages": np.array([7, -1]), "kinds": np.array([-1, 0]), "sizes": np.array([np.nan, 1.5])}
        declared: Any = {
            "sizes": {"missing": ["NA"]},
            "ages": {"missing_value": -1},
            "kinds": {"missing_value": -1, "classes": ["cat"]},
        }

        words = checked(Split("train", fields, declared=declared)).words
        pictured = Split("train", {"images": np.zeros((2, 8, 8)), **fields}, declared=declared)

        assert "07missingmissing1missingcat1.5" in words
        assert pictured.show().captions == ["7, missing, missing", "missing, cat, 1.5"]

    def test_an_axis_that_may_or_may_not_be_channels_makes_no_picture(self) -> None:
        """Unless it is declared, or the axes that differ leave one reading alone."""
        values = np.zeros((2, 3, 8, 3), np.uint8)
        ragged = RaggedArray.of([np.zeros((3, 8, 3)), np.zeros((9, 8, 3))], dtype=np.uint8)

        unsure = checked(Split("train", {"images": values}))
        assert "img" not in unsure.tags
        assert "0, ... 3 x 8 x 3 in all" in unsure.words
        last = {"images": {"channels": "last"}}
        assert picture(Split("train", {"images": values}, declared=last)).shape == (3, 18, 3)
        shape = {"images": {"shape": [None, 8, 3]}}
        assert picture(Split("train", {"images": ragged}, declared=shape)).shape == (9, 18, 3)

    def test_no_sample_at_all(self) -> None:
        """A mask may leave none."""
        split = get("tinydigits").train

        none = split.show(where=split.labels > 9)

        assert len(none) == 0
        assert repr(none).startswith("train: 0 of 1,000 samples (digest ")
        checked(none)

    def test_real_digits_and_photographs(self, realdata: Path, home: Path) -> None:
        """Ten of them below 20 kB; of CIFAR-10 in colors that are as near as 255 of them can be."""
        mnist = get("mnist", mirror=realdata / "mnist")
        with tarfile.open(realdata / "cifar-10-mini" / "cifar-10-python.tar.gz") as archive:
            stream = archive.extractfile("cifar-10-batches-py/test_batch")
            assert stream is not None
            photographs = pickle.load(stream, encoding="bytes")[b"data"].reshape(-1, 3, 32, 32)
        split = Split("test", {"images": photographs}, declared={"images": {"range": [0, 255]}})

        checked(mnist)
        checked(mnist.train)
        checked(split)

        assert picture(mnist.train).shape == (28, 10 * 28 + 9 * 2, 3)
        pixels = picture(split)
        for number in range(10):
            shown = pixels[:, number * 34 : number * 34 + 32].astype(float)
            assert np.abs(shown - photographs[number].transpose(1, 2, 0)).mean() < 5


class TestShow:
    """`split.show(n, seed=, where=)`."""

    def test_the_first_ones(self) -> None:
        """Or as many as there are."""
        split = get("tinydigits").test

        assert split.show().positions == tuple(range(10))
        assert len(split.show(1000)) == 200

    def test_the_same_for_the_same_seed(self) -> None:
        """In the order that they have in the split."""
        split = get("tinydigits").test

        shown = split.show(5, seed=1)

        assert shown.positions == split.show(5, seed=1).positions != split.show(5, seed=2).positions
        assert list(shown.positions) == sorted(shown.positions)

    def test_only_some(self) -> None:
        """Each of the wanted class, with its position in the whole split."""
        split = get("tinydigits").test

        shown = split.show(5, where=split.labels == 3)

        assert [split.labels[position] for position in shown.positions] == [3] * 5
        assert shown.captions == ["3"] * 5

    def test_a_terminal_draws_it(self) -> None:
        """As `print` does; of ink where there are no colors."""
        split = Split(
            "train",
            {"images": np.array([[[0, 0], [0, 0], [255, 255], [255, 0]]], np.uint8), "labels": np.array([1])},
            declared={"images": {"range": [0, 255]}, "labels": {"classes": ["no", "ok"]}},
        )

        assert repr(split.show()) == "\n@=\nok"

    def test_a_file(self, tmp_path: Path) -> None:
        """Every pixel in full, enlarged so that it can be seen; nothing that is no PNG file."""
        split = get("tinydigits").test

        split.show(3).save(tmp_path / "grid.png", a_row=2)

        pixels = decoded((tmp_path / "grid.png").read_bytes())
        assert pixels.shape == (2 * 64 + 16, 2 * 64 + 16, 4)
        assert (pixels[4:64:8, 4:64:8, 0] == (split.images[0] * 255).round()).all()
        with pytest.raises(UsageError, match=r"whose name ends in \.png, not 'grid\.jpg'"):
            split.show().save(tmp_path / "grid.jpg")
        with pytest.raises(UsageError, match="a_row is a number of pictures, 1 or more, not 0"):
            split.show().save(tmp_path / "none.png", a_row=0)
        with pytest.raises(UsageError, match="there are no pictures in these samples"):
            get("tinytalks").val.show().save(tmp_path / "grid.png")
        image = pytest.importorskip("PIL.Image").open(io.BytesIO((tmp_path / "grid.png").read_bytes()))
        assert image.size == (144, 144)

    def test_a_full_disk_leaves_no_half_picture(self, tmp_path: Path) -> None:
        """And the picture that was there before."""
        (tmp_path / "grid.png").write_bytes(b"earlier")
        code = """
import resource, sys
from tinytorch_datasets import get
shown = get("tinydigits").train.show(3)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    shown.save(sys.argv[1])
except OSError:
    sys.exit(9)
"""

        done = fresh_process.python("-c", code, str(tmp_path / "grid.png"))

        assert done.returncode == 9, done.stderr
        assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("grid.png", b"earlier")]


MINE = """
format: csv
options: {columns: {words: word}}
fields: {words: {dtype: str}}
splits: {train: {samples: 1, file: train.csv}}
"""


class TestTheRest:
    """Data sets, entries, fields and reports."""

    def test_a_data_set(self) -> None:
        """Splits, fields, ranges, classes, license, provenance, and how many samples each class has."""
        digits = get("tinydigits")

        words = checked(digits).words

        for fact in ("TinyDigits, 8x8", "train1,000", "test200", "8 x 8", "0 to 1", "BSD-3-Clause", "Alpaydin"):
            assert fact in words
        assert digits.provenance in words
        assert "(images_train, labels_train), (images_test, labels_test) = get('tinydigits').arrays()" in words
        assert re.search(r"0 100 20", words)

    def test_an_open_question_is_shown_as_one(self, tmp_path: Path, home: Path) -> None:
        """A data set without a title has its name for one, as on a page of a catalog."""
        manifest = declared.declare(tmp_path, MINE, train_csv="word\na\n")
        asked = manifest.read_text().replace("title: Made", 'title: "?"').replace("license: CC0", 'license: "?"')
        manifest.write_text(asked.replace("source: made here", 'source: "?"'))

        words = checked(get("made", manifest=manifest)).words

        assert words.startswith("madesplitsamples")
        assert "licensenot filled in yetsourcenot filled in yet" in words
        assert "?" not in words

    def test_the_line_that_gives_its_arrays_can_be_run(self, tmp_path: Path, home: Path) -> None:
        """Of one split, and of one field, too: a comma is behind what is alone."""
        (tmp_path / "datasets" / "words").mkdir(parents=True)
        (tmp_path / "datasets" / "words" / "train.csv").write_text("word\na\n", encoding="utf-8")
        path = declare(
            tmp_path,
            "words",
            format="csv",
            options={"columns": {"words": "word"}},
            fields={"words": {"dtype": "str"}},
            splits={"train": {"samples": 1, "file": "train.csv"}},
        )
        words = get("words", manifest=path)

        assert "words_train, = get('words').train.arrays()" in checked(words).words
        with pytest.raises(UsageError, match=re.escape("or `train = get('words').train`")):
            _x, _y = words

    def test_an_entry(self) -> None:
        """As much, but for what only the data says; and a line in place of its forty."""
        entry = load_manifest().datasets["mnist"]

        assert "train60,000" in checked(entry).words
        assert repr(entry) == "<Entry 'MNIST, handwritten digits': remote, idx; train (60,000), test (10,000)>"

    def test_every_field_for_which_there_is_room(self) -> None:
        """Where there is little else, more than a few."""
        fields = {f"field{number}": {"dtype": "float32", "shape": []} for number in range(25)}
        entry = {"splits": {"train": {"samples": 3}}, "fields": fields, "files": {"a.csv": {"bytes": 2000}}}

        words = Page(dataset("made: Made", entry)).words

        assert "field24float32" in words
        assert "size2,000 bytes in 1 file" in words

    def test_a_hostile_entry(self) -> None:
        """Nothing of it is more than text, and it is not too large."""
        entry = load_manifest().datasets["tinydigits"]
        hostile = entry.model_copy(update={"title": HOSTILE, "citation": HOSTILE * 100, "license": '"' * 10_000})

        assert "<script>" in checked(hostile).words

    def test_strings(self) -> None:
        """The first ten; in a line the first three, cut."""
        words = StringArray.of([HOSTILE, "x" * 1000, *map(str, range(20))])

        assert "and 12 more" in checked(words).words
        assert len(repr(words)) < 300

    def test_arrays_of_several_shapes(self) -> None:
        """Each with its shape and its first values, and how long they are."""
        ragged = RaggedArray.of([[3, 1, 2], [7], [1] * 9])

        words = checked(ragged).words

        assert "033, 1, 2117291, 1, 1, 1, 1, 1, 1, 1, ... 9 in all" in words
        assert "sizes: 1 to 9" in words
        checked(RaggedArray.of([]))

    def test_pictures_of_several_sizes_alone(self) -> None:
        """As in a split, from 0 to 255; numbers that are no bytes are numbers."""
        shapes = [(5, 2, 3), (2, 5, 3)]
        photographs = RaggedArray.of([np.full(shape, 51) for shape in shapes], dtype=np.uint8)

        pixels = picture(photographs)

        assert pixels[0].max() == 51
        assert pixels.shape == (5, 12, 3)
        assert "sizes: 2 to 5 x 2 to 5 x 3" in checked(photographs).words
        assert "img" not in checked(photographs.converted(lambda flat: flat.astype(np.float32))).tags

    def test_a_report(self) -> None:
        """The findings first."""
        report = audit(["tinydigits"])

        assert "tinydigits" in checked(report).words
        assert repr(report).startswith("<Report of ")

    def test_a_report_of_many_data_sets(self) -> None:
        """All of those that a course has, where nothing is wrong."""
        rows = [DatasetReport(f"set-{number}", "ok", 1, 2_000, 100) for number in range(32)]

        assert "set-31ok" in checked(Report("datasets.yaml", tuple(rows))).words

    def test_a_hostile_report(self) -> None:
        """Paths and answers of others are text; of thousands of findings the first, and how many more."""
        finding = Finding(rule="file-hash", dataset=HOSTILE, what=HOSTILE, path=HOSTILE, hint=HOSTILE * 50)
        report = Report("datasets.yaml", (DatasetReport(HOSTILE, "mismatch"),) * 500, (finding,) * 5000)

        words = checked(report).words

        assert "<script>" in words
        assert re.search(r"and 4,9\d\d more", words)
        assert repr(report) == "<Report of datasets.yaml: not ok, 500 data sets, 5,000 findings>"
        one = replace(report, datasets=report.datasets[:1], findings=report.findings[:1])
        assert repr(one) == "<Report of datasets.yaml: not ok, 1 data set, 1 finding>"
