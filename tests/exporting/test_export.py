"""Exports: what is in the folder, what is refused, and that nothing is ever half there."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.exporting.conftest import ENTRY, ROWS, Made
from tests.helpers.declared import declare
from tests.helpers.format_writers import npz
from tests.helpers.fresh_process import python
from tinytorch_datasets import export, exporting, get, load_manifest
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import HashMismatch, MissingLibrary, StorageError, UnknownName, UsageError
from tinytorch_datasets.exporting.kinds.png import class_folders

FOLDERS = [kind for kind in exporting.known() if kind != "bibtex"]


def files_in(folder: Path) -> list[str]:
    """Every file below a folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, as the csv module reads them."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("kind", FOLDERS)
def test_two_exports_are_the_same_byte_for_byte(made: Made, tmp_path: Path, kind: str) -> None:
    """However long lies between them, and the sha256 of each file is in SHA256SUMS."""
    first, second = (export("made", kind, tmp_path / name, manifest=made.manifest) for name in ("first", "second"))
    for path in second.rglob("*"):
        os.utime(path, (10**9, 10**9))

    assert files_in(first) == files_in(second)
    assert [(first / file).read_bytes() for file in files_in(first)] == [
        (second / file).read_bytes() for file in files_in(second)
    ]
    lines = (first / "SHA256SUMS").read_text().splitlines()
    listed = {file: sha256 for sha256, file in (line.split("  ") for line in lines)}
    assert listed == {
        file: hashlib.sha256((first / file).read_bytes()).hexdigest()
        for file in files_in(first)
        if file != "SHA256SUMS"
    }


class TestNpz:
    """NumPy's archive."""

    def test_it_loads_without_pickle_and_has_the_values_of_each_field(self, made: Made, tmp_path: Path) -> None:
        """An array a field, of the declared dtype; texts are NumPy's."""
        folder = export("made", "npz", tmp_path / "out", manifest=made.manifest)

        assert files_in(folder) == ["README.md", "SHA256SUMS", "test.npz", "train.npz"]
        for split, values in made.values.items():
            with np.load(folder / f"{split}.npz", allow_pickle=False) as arrays:
                for field in ("images", "labels", "features", "flags", "sizes"):
                    assert arrays[field].dtype == values[field].dtype
                    np.testing.assert_array_equal(arrays[field], values[field])
                assert arrays["texts"].tolist() == values["texts"]

    def test_samples_that_differ_in_shape_are_flat_values_and_the_place_of_each(
        self, made: Made, tmp_path: Path
    ) -> None:
        """Under the field's name with a dot and `values`, `offsets`."""
        folder = export("made", "npz", tmp_path / "out", manifest=made.manifest)

        with np.load(folder / "train.npz") as arrays:
            assert arrays["words.values"].tolist() == [1, 2, -7]
            assert arrays["words.values"].dtype == np.int32
            assert arrays["words.offsets"].tolist() == [0, 2, 2, 3]
            assert "words.shapes" not in arrays

    def test_samples_of_several_axes_have_their_shapes_beside_them(self, tmp_path: Path, home: Path) -> None:
        """By which each is what it was."""
        entry = """
        format: jsonl
        fields: {boxes: {dtype: int16, shape: [null, 2]}}
        splits: {train: {samples: 2, file: boxes.jsonl}}
        """
        manifest = declare(tmp_path, entry, boxes_jsonl='{"boxes": [[1, 2], [3, 4]]}\n{"boxes": [[5, 6]]}\n')

        with np.load(export("made", "npz", tmp_path / "out", manifest=manifest) / "train.npz") as arrays:
            values, offsets, shapes = (arrays[f"boxes.{part}"] for part in ("values", "offsets", "shapes"))
        samples = [values[offsets[i] : offsets[i + 1]].reshape(shapes[i]).tolist() for i in range(2)]
        assert samples == [[[1, 2], [3, 4]], [[5, 6]]]

    def test_members_say_nothing_of_the_day_the_system_or_the_version_of_python(
        self, made: Made, tmp_path: Path
    ) -> None:
        """So the same values have the same bytes everywhere; they are not compressed, as each zlib does otherwise."""
        folder = export("made", "npz", tmp_path / "out", manifest=made.manifest)

        with zipfile.ZipFile(folder / "train.npz") as archive:
            facts = {
                (m.date_time, m.compress_type, m.create_system, m.create_version, m.extract_version)
                for m in archive.infolist()
            }
        assert facts == {((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED, 3, 20, 20)}

    def test_a_text_that_numpy_would_cut_is_refused(self, tmp_path: Path, home: Path) -> None:
        """NumPy leaves out NULs at the end of a text."""
        entry = """
        format: jsonl
        fields: {texts: {dtype: str}}
        splits: {train: {samples: 1, file: texts.jsonl}}
        """
        manifest = declare(tmp_path, entry, texts_jsonl=json.dumps({"texts": "a\0"}) + "\n")

        with pytest.raises(UsageError) as refused:
            export("made", "npz", tmp_path / "out", manifest=manifest)
        assert str(refused.value) == (
            "a text of train.texts ends in a NUL, which NumPy's arrays of text leave out\n"
            "  Export it as parquet or jsonl."
        )
        assert not (tmp_path / "out").exists()

    def test_texts_that_would_take_far_more_room_than_they_have_are_refused(self, tmp_path: Path, home: Path) -> None:
        """One long text among many makes all of them as long."""
        entry = """
        format: text
        options: {unit: lines}
        fields: {texts: {dtype: str}}
        splits: {train: {samples: 70_001, file: texts.txt}}
        """
        manifest = declare(tmp_path, entry, texts_txt="x\n" * 70_000 + "y" * 1000 + "\n")

        with pytest.raises(UsageError) as refused:
            export("made", "npz", tmp_path / "out", manifest=manifest)
        assert refused.value.what == (
            "train.texts would take 280 MB as NumPy's array of text, "
            "all 70,001 texts being as long as the longest: 1,000 characters"
        )


class TestPng:
    """Pictures in folders of classes."""

    def test_pictures_are_in_folders_of_classes_whose_order_is_that_of_the_labels(
        self, made: Made, tmp_path: Path
    ) -> None:
        """Names that are none of folders, or sorted otherwise, have the label before them, all of them."""
        folder = export("made", "png", tmp_path / "out", manifest=made.manifest)

        assert [file for file in files_in(folder) if file.endswith(".png")] == [
            "test/0-rose/0.png",
            "train/0-rose/0.png",
            "train/1-dog_cat/2.png",
            "train/2-_b_/1.png",
        ]
        assert sorted(path.name for path in (folder / "test").iterdir()) == [
            "0-rose", "1-dog_cat", "2-_b_", "metadata.csv",
        ]  # fmt: skip
        for row in rows_of(folder / "train" / "metadata.csv"):
            place = int(Path(row["file_name"]).stem)
            with Image.open(folder / "train" / row["file_name"]) as picture:
                np.testing.assert_array_equal(np.asarray(picture), made.values["train"]["images"][place])
            assert int(row["labels"]) == made.values["train"]["labels"][place]
            assert row["texts"] == made.values["train"]["texts"][place]

    @pytest.mark.parametrize(
        ("dtype", "shape", "mode"),
        [
            ("uint8", [3, 4, 5], "RGB"),
            ("uint8", [6, 5, 4], "RGBA"),
            ("uint8", [6, 5, 2], "LA"),
            ("uint8", [1, 5, 6], "L"),
            ("uint16", [5, 6], "I;16"),
            ("bool", [5, 9], "1"),
        ],
    )
    def test_pixels_have_the_very_values(
        self, tmp_path: Path, home: Path, dtype: str, shape: list[int], mode: str
    ) -> None:
        """Whichever axis has the channels, and however many bits a value has; Pillow reads them."""
        values = np.random.RandomState(0).randint(0, np.iinfo(dtype).max + 1 if dtype != "bool" else 2, (2, *shape))
        entry = f"""
        format: npz
        fields: {{images: {{dtype: {dtype}, shape: {shape}}}}}
        splits: {{train: {{samples: 2, file: a.npz}}}}
        """
        manifest = declare(tmp_path, entry, a_npz=npz(images=values.astype(dtype)))
        folder = export("made", "png", tmp_path / "out", manifest=manifest)

        assert files_in(folder / "train") == ["0.png", "1.png"]
        for file, expected in zip(("0.png", "1.png"), values, strict=True):
            with Image.open(folder / "train" / file) as picture:
                assert picture.mode == mode
                read = np.asarray(picture)
            channels = {"RGB": 0, "RGBA": 2, "LA": 2, "L": 0}.get(mode)
            wanted = expected if channels is None else np.moveaxis(expected, channels, -1)
            np.testing.assert_array_equal(read, wanted.reshape(read.shape))

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            (
                "images: {dtype: float32, shape: [2, 2]}",
                "PNG holds whole numbers from 0 to 255 or to 65535, and field 'images' is float32",
            ),
            (
                "images: {dtype: uint8, shape: [9]}",
                "no field is pictures: those have a height and a width, and one to four channels or none",
            ),
            (
                "a: {dtype: uint8, shape: [2, 2]}\n  b: {dtype: uint8, shape: [2, 2]}",
                "several fields are pictures, a and b, and a PNG file holds one",
            ),
            (
                "images: {dtype: uint8, shape: [3, 8, 3]}",
                "either its first or its last axis of field 'images' [3, 8, 3] is channels, "
                "of which a picture has one to four\n  Declare `channels: first`, or last, of the field.",
            ),
            (
                "images: {dtype: uint8, shape: [5, 8, 6]}",
                "no axis of field 'images' [5, 8, 6] is channels, of which a picture has one to four",
            ),
        ],
        ids=["floats", "no pictures", "several", "ambiguous channels", "no channels"],
    )
    def test_what_png_cannot_hold_is_refused_before_anything_is_read(
        self, tmp_path: Path, home: Path, fields: str, reason: str
    ) -> None:
        """By what is declared alone; the file is no archive."""
        entry = f"format: npz\nfields:\n  {fields}\nsplits: {{train: {{samples: 2, file: a.npz}}}}"
        manifest = declare(tmp_path, entry, a_npz="none")

        with pytest.raises(UsageError) as refused:
            export("made", "png", tmp_path / "out", manifest=manifest)
        hint = "" if "\n" in reason else "\n  Export it as npz or parquet."
        assert str(refused.value) == f"{reason}{hint}"

    @pytest.mark.parametrize("which", ["first", "last"])
    def test_of_two_readings_the_declared_one_is_written(self, tmp_path: Path, home: Path, which: str) -> None:
        """Three pixels wide, or three channels, or both."""
        values = np.arange(72, dtype=np.uint8).reshape(1, 3, 8, 3)
        entry = f"""
        format: npz
        fields: {{images: {{dtype: uint8, shape: [3, 8, 3], channels: {which}}}}}
        splits: {{train: {{samples: 1, file: a.npz}}}}
        """
        manifest = declare(tmp_path, entry, a_npz=npz(images=values))

        folder = export("made", "png", tmp_path / "out", manifest=manifest)

        with Image.open(folder / "train" / "0.png") as picture:
            wanted = values[0] if which == "last" else values[0].transpose(1, 2, 0)
            np.testing.assert_array_equal(np.asarray(picture), wanted)

    def test_points_beside_a_picture_are_no_picture(self, tmp_path: Path, home: Path) -> None:
        """They are in the list of what else a sample has."""
        entry = """
        format: npz
        fields: {faces: {dtype: uint8, shape: [8, 8]}, eyes: {dtype: int16, shape: [5, 2]}}
        splits: {train: {samples: 1, file: a.npz}}
        """
        eyes = np.arange(10, dtype=np.int16).reshape(1, 5, 2)
        manifest = declare(tmp_path, entry, a_npz=npz(faces=np.zeros((1, 8, 8), np.uint8), eyes=eyes))

        folder = export("made", "png", tmp_path / "out", manifest=manifest)

        assert files_in(folder / "train") == ["0.png", "metadata.csv"]
        assert (folder / "train" / "metadata.csv").read_text().endswith(f'"{eyes[0].tolist()}"\n'.replace(" ", ""))

    def test_a_missing_value_is_no_pixel(self, tmp_path: Path, home: Path) -> None:
        """It is outside of the range, and would be another number in as few bits."""
        entry = """
        format: jsonl
        fields: {images: {dtype: int16, shape: [1, 2], range: [0, 255], missing: [null], missing_value: -1}}
        splits: {train: {samples: 1, file: a.jsonl}}
        """
        manifest = declare(tmp_path, entry, a_jsonl='{"images": [[null, 3]]}\n')

        with pytest.raises(UsageError) as refused:
            export("made", "png", tmp_path / "out", manifest=manifest)
        assert str(refused.value) == (
            "a value of field 'images' is outside of its range, and PNG does not hold it\n"
            "  Export it as npz or parquet."
        )

    def test_photographs_that_are_kept_encoded_are_decoded(self, tmp_path: Path, home: Path) -> None:
        """Of any size, and as `get` decodes them: what is exported is pixels, not the files that they came in."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as members:
            for kind, size in (("cat", (5, 4)), ("dog", (3, 6))):
                jpeg = io.BytesIO()
                Image.linear_gradient("L").resize(size).convert("RGB").save(jpeg, "JPEG")
                members.writestr(f"{kind}/0.jpg", jpeg.getvalue())
        entry = """
        format: images
        fields:
          images: {dtype: uint8, shape: [null, null, 3]}
          labels: {dtype: int64, classes: [cat, dog]}
        splits: {train: {samples: 2, file: a.zip, members: ["*/*.jpg"]}}
        """
        manifest = declare(tmp_path, entry, a_zip=archive.getvalue())
        images = get("made", manifest=manifest).train.images
        folder = export("made", "png", tmp_path / "png", manifest=manifest)
        table = pq.read_table(export("made", "parquet", tmp_path / "parquet", manifest=manifest) / "train.parquet")

        for place, file in enumerate(("cat/0.png", "dog/1.png")):
            with Image.open(folder / "train" / file) as picture:
                np.testing.assert_array_equal(np.asarray(picture), images[place])
            np.testing.assert_array_equal(np.array(table["images"][place].as_py()), images[place])

    @pytest.mark.parametrize(
        ("classes", "folders"),
        [
            (["cat", "dog"], ["cat", "dog"]),
            (["dog", "cat"], ["0-dog", "1-cat"]),
            (["..", "cat"], ["0-", "1-cat"]),
            (["a/../../b", "c"], ["0-a_.._.._b", "1-c"]),
            (["Cat", "cat"], ["0-Cat", "1-cat"]),
            (["con", "dog"], ["0-con", "1-dog"]),
            (["__MACOSX", "a"], ["0-__MACOSX", "1-a"]),
            ([str(number) for number in range(11)], [f"{number:02d}-{number}" for number in range(11)]),
        ],
        ids=["plain", "unsorted", "above", "path", "letter case", "device", "litter", "numbers"],
    )
    def test_a_class_never_leads_out_of_the_folder(self, classes: list[str], folders: list[str]) -> None:
        """Its name may be anybody's; sorted folders are in the order of the labels."""
        assert class_folders(classes) == folders == sorted(folders)


class TestTables:
    """Parquet, CSV and JSON Lines."""

    def test_parquet_has_a_column_a_field_and_one_for_each_name(self, made: Made, tmp_path: Path) -> None:
        """Numbers keep their dtype, and pandas reads it."""
        folder = export("made", "parquet", tmp_path / "out", manifest=made.manifest)
        frame, values = pandas.read_parquet(folder / "train.parquet"), made.values["train"]

        columns = ["images", "labels", "petal width", "50 %", "words", "texts", "flags", "sizes"]
        assert list(frame.columns) == columns
        assert frame["petal width"].dtype == np.float32
        np.testing.assert_array_equal(frame[["petal width", "50 %"]].to_numpy(), values["features"])
        assert [[row.tolist() for row in image] for image in frame["images"]] == values["images"].tolist()
        assert [word.tolist() for word in frame["words"]] == values["words"]
        assert frame["texts"].tolist() == values["texts"]
        assert frame["sizes"].tolist() == values["sizes"].tolist()

    def test_parquet_names_the_classes_to_hugging_faces_library(self, made: Made, tmp_path: Path) -> None:
        """In the metadata that it writes itself."""
        folder = export("made", "parquet", tmp_path / "out", manifest=made.manifest)
        schema = pq.read_schema(folder / "train.parquet")

        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert features["labels"] == {"names": ["rose", "dog/cat", "<b>"], "_type": "ClassLabel"}
        assert features["images"] == [[{"dtype": "uint8", "_type": "Value"}]]

    @pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
    def test_the_readme_says_which_file_is_which_split(self, made: Made, tmp_path: Path, kind: str) -> None:
        """In the lines above it that Hugging Face's library reads; below, what a table has no room for."""
        readme = (export("made", kind, tmp_path / "out", manifest=made.manifest) / "README.md").read_text()

        assert readme.startswith(
            "---\nconfigs:\n- config_name: default\n  data_files:\n"
            f"  - split: train\n    path: train.{kind}\n  - split: test\n    path: test.{kind}\n---\n\n# Made\n"
        )
        assert "- License: CC0\n" in readme
        assert "## Classes of `labels`\n\n- 0: rose\n- 1: dog/cat\n- 2: \\<b\\>\n" in readme

    def test_csv_has_numbers_in_full_and_lists_as_json(self, made: Made, tmp_path: Path) -> None:
        """As the csv module reads them; the text of a number is that of the float64 that it is."""
        rows = rows_of(export("made", "csv", tmp_path / "out", manifest=made.manifest) / "train.csv")

        values = made.values["train"]
        assert [json.loads(row["images"]) for row in rows] == values["images"].tolist()
        assert [float(row["petal width"]) for row in rows] == values["features"][:, 0].tolist()
        assert [row["50 %"] for row in rows] == ["NaN", "-1.0", "0.0"]
        assert [row["texts"] for row in rows] == values["texts"]
        assert [row["flags"] for row in rows] == ["true", "false", "true"]
        assert [int(row["sizes"]) for row in rows] == values["sizes"].tolist()

    def test_json_lines_have_null_for_a_number_that_is_missing(self, made: Made, tmp_path: Path) -> None:
        """For JSON has no NaN; all else is as it was in the file that it came from."""
        folder = export("made", "jsonl", tmp_path / "out", manifest=made.manifest)
        rows = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]

        for row, expected in zip(rows, ROWS["train"], strict=True):
            features = [row.pop("petal width"), row.pop("50 %")]
            assert row == {key: value for key, value in expected.items() if key != "features"}
            assert [f if f is None else np.float32(f) for f in features] == [
                f if f is None else np.float32(f) for f in expected["features"]
            ]

    @pytest.mark.parametrize("kind", ["csv", "jsonl"])
    def test_an_infinite_number_in_a_list_is_refused(self, tmp_path: Path, home: Path, kind: str) -> None:
        """JSON has no word for it."""
        entry = """
        format: npz
        fields: {signals: {dtype: float64, shape: [2]}}
        splits: {train: {samples: 1, file: a.npz}}
        """
        manifest = declare(tmp_path, entry, a_npz=npz(signals=np.array([[1, np.inf]])))

        with pytest.raises(UsageError) as refused:
            export("made", kind, tmp_path / "out", manifest=manifest)
        assert str(refused.value) == (
            "column 'signals' has an infinite number, and JSON has no word for it\n  Export it as npz or parquet."
        )

    def test_texts_of_several_lines_stay_in_their_row(self, tmp_path: Path, home: Path) -> None:
        """However a line ends; read by the standard library and by pandas."""
        texts = ["a\rb", "\r", "", "c\r\nd", "e\n", " ", '"', "f\u2028g"]
        entry = """
        format: jsonl
        fields: {texts: {dtype: str}}
        splits: {train: {samples: 8, file: a.jsonl}}
        """
        lines = "".join(json.dumps({"texts": text}) + "\n" for text in texts)
        manifest = declare(tmp_path, entry, a_jsonl=lines)

        folder = export("made", "csv", tmp_path / "out", manifest=manifest)

        with (folder / "train.csv").open(encoding="utf-8", newline="") as file:
            assert [row["texts"] for row in csv.DictReader(file)] == texts
        pandas = pytest.importorskip("pandas")
        assert pandas.read_csv(folder / "train.csv", keep_default_na=False)["texts"].tolist() == texts
        assert b"\r\n" not in (folder / "train.csv").read_bytes().replace(b"c\r\nd", b"")

    @pytest.mark.parametrize("kind", ["csv", "datapackage"])
    def test_a_text_at_which_readers_of_csv_stop_is_refused(self, tmp_path: Path, home: Path, kind: str) -> None:
        """With every version of Python, of which some cannot write it."""
        entry = """
        format: jsonl
        fields: {texts: {dtype: str}}
        splits: {train: {samples: 1, file: a.jsonl}}
        """
        manifest = declare(tmp_path, entry, a_jsonl='{"texts": "a\\u0000b"}\n')

        with pytest.raises(UsageError) as refused:
            export("made", kind, tmp_path / "out", manifest=manifest)
        assert str(refused.value) == (
            "column 'texts' has a text with a NUL in it, at which readers of CSV stop\n  Export it as parquet or jsonl."
        )

    def test_csv_has_words_for_what_is_no_number_in_a_column(self, tmp_path: Path, home: Path) -> None:
        """Those of Frictionless Data, which pandas reads too."""
        entry = """
        format: npz
        fields: {signals: {dtype: float64}}
        splits: {train: {samples: 3, file: a.npz}}
        """
        values = np.array([np.nan, np.inf, -np.inf])
        manifest = declare(tmp_path, entry, a_npz=npz(signals=values))

        path = export("made", "csv", tmp_path / "out", manifest=manifest) / "train.csv"
        assert path.read_text() == "signals\nNaN\nINF\n-INF\n"
        np.testing.assert_array_equal(pandas.read_csv(path)["signals"].to_numpy(), values)


@pytest.mark.parametrize("kind", ["bibtex", "croissant", "csv", "datapackage"])
def test_an_open_question_is_exported_as_no_fact(made: Made, tmp_path: Path, kind: str) -> None:
    """Its title is its name, and nothing says that its license or its source is a question mark."""
    manifest = made.manifest
    asked = manifest.read_text().replace("title: Made", 'title: "?"')
    for fact in ("license", "source"):
        asked = re.sub(rf"^( *){fact}: .*$", rf'\1{fact}: "?"', asked, flags=re.MULTILINE)
    manifest.write_text(re.sub(r"^ *(citation|description): .*\n", "", asked, flags=re.MULTILINE))
    assert load_manifest(manifest).datasets["made"].license == "?"

    path = export("made", kind, tmp_path / "out", manifest=manifest)
    if kind == "bibtex":
        assert path.read_text() == "@misc{made,\n  title = {{made}}\n}\n"
        return
    if kind == "csv":
        assert "# made\n\n- Made from: " in (path / "README.md").read_text()
        return
    facts = json.loads((path / f"{kind}.json").read_text())
    assert not {"license", "licenses", "url", "homepage", "sources"} & facts.keys()
    title = facts["alternateName"] if kind == "croissant" else facts["title"]
    assert title in ("made", ["made"])
    assert facts.get("description") == ("made" if kind == "croissant" else None)


def test_a_text_that_is_one_for_a_split_is_a_file_beside_the_others(tmp_path: Path) -> None:
    """Byte for byte."""
    folder = export("tinytalks", "npz", tmp_path / "out")

    assert (folder / "val.text.txt").read_bytes().decode() == get("tinytalks").val.text
    assert {"train.text.txt", "val.text.txt", "test.text.txt"} < {*files_in(folder)}


class TestBibtex:
    """One entry of a bibliography."""

    @pytest.mark.parametrize(
        ("citation", "expected"),
        [
            (
                'R. A. Fisher and K. Pearson, "Pictures & words", Annals 7(2), 1936. https://doi.org/10.1000/xyz_1.',
                ["author = {R. A. Fisher and K. Pearson}", "title = {{Pictures \\& words}}", "year = {1936}",
                 "doi = {10.1000/xyz_1}"],
            ),
            ("Fisher, R. A., Annals of Eugenics 1950, 179-188", ["title = {{Made}}"]),
            ('The Group, "A title", 1998, revised, 2001', ["title = {{A title}}"]),
            ("", ["title = {{Made}}"]),
        ],
        ids=["all that is certain", "surnames first", "an organization, and two years", "none"],
    )  # fmt: skip
    def test_only_what_is_certain_is_taken_from_a_citation(
        self, tmp_path: Path, citation: str, expected: list[str]
    ) -> None:
        """The words themselves are the note; nothing is made up."""
        cite = f"citation: {json.dumps(citation)}\n" if citation else ""
        entry = ENTRY[: ENTRY.index("citation:")] + cite + ENTRY[ENTRY.index("fields:") :]
        manifest = declare(tmp_path, entry, train_jsonl="x", test_jsonl="x")

        lines = export("made", "bibtex", tmp_path / "made.bib", manifest=manifest).read_text().splitlines()
        facts = [line.strip().rstrip(",") for line in lines[1:-1] if "note = " not in line]
        assert lines[0] == "@misc{made,"
        assert facts == expected
        assert any("note = " in line for line in lines) == bool(citation)

    def test_a_citation_that_is_bibtex_is_given_as_it_is(self, tmp_path: Path) -> None:
        """With whatever it has."""
        cite = "citation: '@article{fisher, year = {1936}}'\n"
        entry = ENTRY[: ENTRY.index("citation:")] + cite + ENTRY[ENTRY.index("fields:") :]
        manifest = declare(tmp_path, entry, train_jsonl="x", test_jsonl="x")

        path = export("made", "bibtex", tmp_path / "made.bib", manifest=manifest)
        assert path.read_text() == "@article{fisher, year = {1936}}\n"

    def test_the_command_prints_it(self) -> None:
        """It is short, and goes into somebody's file; nothing is downloaded."""
        done = CliRunner().invoke(main, ["export", "MNIST", "--as", "bibtex"])

        assert (done.exit_code, done.stdout) == (0, (
            "@misc{mnist,\n"
            "  author = {Y. LeCun and L. Bottou and Y. Bengio and P. Haffner},\n"
            "  title = {{Gradient-Based Learning Applied to Document Recognition}},\n"
            "  year = {1998},\n"
            "  url = {http://yann.lecun.com/exdb/mnist/},\n"
            "  note = {Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "
            '"Gradient-Based Learning Applied to Document Recognition", '
            "Proceedings of the IEEE 86(11), 2278-2324, 1998.}\n"
            "}\n"
        ))  # fmt: skip


class TestOnlyVerifiedValues:
    """Nothing else leaves."""

    def test_a_file_that_was_changed_is_refused(self, made: Made, tmp_path: Path) -> None:
        """Although it has the size and the times of the one that was verified before."""
        get("made", manifest=made.manifest)
        path = made.manifest.parent / "datasets" / "made" / "train.jsonl"
        about = path.stat()
        path.write_bytes(path.read_bytes().replace(b"255", b"254"))
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))

        with pytest.raises(HashMismatch):
            export("made", "npz", tmp_path / "out", manifest=made.manifest)
        assert not (tmp_path / "out").exists()

    def test_decoded_arrays_that_were_changed_are_decoded_again(self, made: Made, tmp_path: Path, home: Path) -> None:
        """Every byte of them is hashed before it is exported."""
        get("made", manifest=made.manifest)
        (array,) = home.rglob("train.images.npy")
        about = array.stat()
        array.write_bytes(array.read_bytes()[:-1] + b"\x07")
        os.utime(array, ns=(about.st_atime_ns, about.st_mtime_ns))
        folder = export("made", "npz", tmp_path / "out", manifest=made.manifest)

        with np.load(folder / "train.npz") as arrays:
            np.testing.assert_array_equal(arrays["images"], made.values["train"]["images"])


class TestTheFolder:
    """Where an export goes, and what is there before."""

    def test_it_is_named_after_the_data_set_and_the_kind(self, made: Made, tmp_path: Path, home: Path) -> None:
        """In the folder that one is in."""
        done = python("-m", "tinytorch_datasets", "export", "made", "--as", "csv", "--manifest", str(made.manifest),
                      cwd=tmp_path, env={**os.environ})  # fmt: skip

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("made: made-csv; 4 files, ")
        assert files_in(tmp_path / "made-csv") == ["README.md", "SHA256SUMS", "test.csv", "train.csv"]

    def test_what_is_there_already_is_replaced_only_when_asked(self, made: Made, tmp_path: Path) -> None:
        """And then it is a new export, whatever was in the files of the earlier one."""
        folder = export("made", "npz", tmp_path / "out", manifest=made.manifest)
        whole = (folder / "train.npz").read_bytes()
        (folder / "train.npz").write_bytes(b"damaged")

        with pytest.raises(UsageError) as refused:
            export("made", "npz", tmp_path / "out", manifest=made.manifest)
        assert str(refused.value) == (
            f"{tmp_path / 'out'} is there already\n"
            "  Pass --force to replace it (in Python, force=True), or name another with --output."
        )
        export("made", "npz", tmp_path / "out", manifest=made.manifest, force=True)
        assert (folder / "train.npz").read_bytes() == whole

    @pytest.mark.parametrize("file", ["thesis.txt", "train/thesis.txt"])
    def test_a_folder_with_any_other_file_is_never_replaced(self, made: Made, tmp_path: Path, file: str) -> None:
        """Not even when asked: what an export did not write, it does not delete."""
        folder = export("made", "png", tmp_path / "out", manifest=made.manifest)
        (folder / file).write_text("years of work")

        with pytest.raises(UsageError) as refused:
            export("made", "png", tmp_path / "out", manifest=made.manifest, force=True)
        assert str(refused.value) == (
            f"{tmp_path / 'out'} is not replaced: it has files that no export wrote: {file}\n"
            "  Name another folder with --output, or delete this one."
        )
        assert (folder / file).read_text() == "years of work"

    @pytest.mark.parametrize("output", [".", "", ".."])
    def test_the_folder_that_one_is_in_is_not_taken_away(
        self, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
    ) -> None:
        """A shell would stay in one that is there no more."""
        (tmp_path / "above" / "here").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "above" / "here")

        with pytest.raises(UsageError) as refused:
            export("made", "npz", output, manifest=made.manifest)
        folder = tmp_path / "above" / "here" / (".." if output == ".." else "")
        assert str(refused.value) == (
            f"{folder} is the current folder, or has it in it, and an export is put in the place of a folder\n"
            "  Name a folder in it with --output."
        )

    def test_what_is_no_path_is_refused(self, made: Made) -> None:
        """As everywhere."""
        with pytest.raises(UsageError, match=r"^output is a path, not 5$"):
            export("made", "npz", 5, manifest=made.manifest)  # type: ignore[arg-type]

    def test_a_file_in_the_way_is_named(self, made: Made, tmp_path: Path) -> None:
        """And kept."""
        (tmp_path / "out").write_text("mine")

        with pytest.raises(UsageError, match="out is a file, and an export is a folder"):
            export("made", "npz", tmp_path / "out", manifest=made.manifest, force=True)
        assert (tmp_path / "out").read_text() == "mine"

    def test_an_empty_folder_is_taken(self, made: Made, tmp_path: Path) -> None:
        """There is nothing to lose in it."""
        (tmp_path / "out").mkdir()

        assert files_in(export("made", "csv", tmp_path / "out", manifest=made.manifest))

    def test_what_a_killed_export_left_is_removed_by_a_later_one(self, made: Made, tmp_path: Path) -> None:
        """Once it is so old that it is in the making no more."""
        old, new = (tmp_path / f".export-{name}.part" for name in ("0000000a", "0000000b"))
        for folder in (old, new):
            folder.mkdir()
            (folder / "train.csv").write_text("half")
        for path in (old / "train.csv", old):
            os.utime(path, (10**9, 10**9))
        export("made", "csv", tmp_path / "out", manifest=made.manifest)

        assert (old.exists(), new.exists()) == (False, True)

    def test_a_link_in_its_place_is_refused(self, made: Made, tmp_path: Path) -> None:
        """What it leads to is not replaced."""
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "out").symlink_to(tmp_path / "elsewhere")

        with pytest.raises(StorageError, match="this is a symbolic link"):
            export("made", "npz", tmp_path / "out", manifest=made.manifest)

    def test_a_wrong_name_or_kind_is_reported_with_a_guess(self, made: Made, tmp_path: Path) -> None:
        """Before anything else."""
        with pytest.raises(UnknownName, match="did you mean 'made'"):
            export("mad", "npz", tmp_path / "out", manifest=made.manifest)
        with pytest.raises(UsageError, match="did you mean 'parquet'"):
            export("made", "parket", tmp_path / "out", manifest=made.manifest)

    def test_only_croissant_can_do_without_values(self, made: Made, tmp_path: Path) -> None:
        """The rest is nothing but values."""
        with pytest.raises(UsageError) as refused:
            export("made", "npz", tmp_path / "out", manifest=made.manifest, values=False)
        assert str(refused.value) == ("an export as npz is nothing but values; bibtex and croissant can do without")


def test_json_has_the_path_the_size_and_every_sum(made: Made, tmp_path: Path) -> None:
    """For programs."""
    arguments = ["export", "made", "--as", "csv", "--output", str(tmp_path / "out"), "--manifest", str(made.manifest)]
    done = CliRunner().invoke(main, [*arguments, "--json"])
    facts = json.loads(done.stdout)

    sizes = [(tmp_path / "out" / file).stat().st_size for file in files_in(tmp_path / "out")]
    assert (facts["name"], facts["kind"], facts["path"]) == ("made", "csv", str(tmp_path / "out"))
    assert facts["bytes"] == sum(sizes)
    assert sorted(facts["files"]) == ["README.md", "test.csv", "train.csv"]


def test_a_library_that_is_missing_is_named_before_anything_is_downloaded(tmp_path: Path) -> None:
    """With the extra that brings it; MNIST is not here."""
    code = f"""
import importlib.util, sys
sys.modules["pyarrow"] = None
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "pyarrow" else find(name, *more)
from tinytorch_datasets import errors, export
try:
    export("mnist", "parquet", {str(tmp_path / "out")!r})
except errors.MissingLibrary as error:
    print(error)
"""
    done = python("-c", code, env={**os.environ})

    assert done.stdout == (
        "an export as parquet needs pyarrow, which is not installed\n  pip install 'tinytorch-datasets[tables]'\n"
    ), done.stderr
    assert MissingLibrary("x", "pyarrow", "tables").extra == "tables"


def test_a_disk_that_is_too_small_is_reported_before_the_first_byte(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many bytes a disk has free, no test can choose."""
    export("made", "csv", tmp_path / "whole", manifest=made.manifest)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))

    with pytest.raises(StorageError) as refused:
        export("made", "csv", tmp_path / "out", manifest=made.manifest)
    size = sum((tmp_path / "whole" / f"{split}.csv").stat().st_size for split in ("train", "test"))
    assert refused.value.what == (
        f"{tmp_path / 'out'}: an export as csv takes about {size} bytes, and the disk has room for 100"
    )
    assert refused.value.hint == "Free some room, or name a folder on a larger disk with --output."
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "datasets.yaml", "home", "whole"]


@pytest.mark.slow
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, home: Path) -> None:
    """Ctrl-C in the middle of thousands of pictures."""
    entry = """
    format: npz
    fields: {images: {dtype: uint8, shape: [32, 32]}}
    splits: {train: {samples: 60000, file: a.npz}}
    """
    manifest = declare(tmp_path, entry, a_npz=npz(images=np.zeros((60_000, 32, 32), np.uint8)))
    get("made", manifest=manifest)
    command = [sys.executable, "-m", "tinytorch_datasets", "export", "made", "--as", "png", "--output", "out"]
    process = subprocess.Popen(
        [*command, "--manifest", str(manifest)], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob(".export-*.part/train/*.png")):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, "")
    assert err.endswith(
        "\ninterrupted; nothing was exported; the same command starts again, with what was downloaded\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "datasets.yaml", "home"]
