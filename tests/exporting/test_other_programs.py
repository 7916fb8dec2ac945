"""What programs that do not know this package read in an export, and that they refuse a flipped byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.exporting.conftest import Made
from tinytorch_datasets import Dataset, export, get, list_datasets, load_manifest
from tinytorch_datasets.exporting import ExportedFile
from tinytorch_datasets.exporting.kinds.bibtex import bibtex
from tinytorch_datasets.exporting.kinds.croissant import croissant
from tinytorch_datasets.exporting.kinds.datapackage import datapackage
from tinytorch_datasets.manifest.models import Entry

DECLARED = load_manifest().datasets
SHIPPED = [name for name in list_datasets() if DECLARED[name].status == "shipped"]

# In a process of its own: the library logs, warns and keeps a cache of its own.
RECORDS = """
import itertools, json, logging, sys
logging.disable()
import mlcroissant
import numpy as np

def plain(value):
    if isinstance(value, (list, np.ndarray)):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value

dataset = mlcroissant.Dataset(sys.argv[1])
found = {}
for record_set in dataset.metadata.record_sets:
    if record_set.data is None:
        records = itertools.islice(dataset.records(record_set.id), int(sys.argv[2]))
        found[record_set.id] = [{key: plain(value) for key, value in record.items()} for record in records]
print(json.dumps(found))
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program's answer; it opens no connection, and keeps nothing outside of the test."""
    environment = {**os.environ, "CROISSANT_CACHE": str(cwd / "cache"), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def croissant_records(folder: Path, most: int = 10_000) -> dict[str, list[dict[str, Any]]]:
    """The records of every record set, as mlcroissant loads them."""
    done = run(sys.executable, "-c", RECORDS, str(folder / "croissant.json"), str(most), cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return loaded


def frictionless(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `frictionless validate` says."""
    return run(sys.executable, "-m", "frictionless", "validate", "datapackage.json", cwd=folder)


def flip_a_byte(path: Path) -> None:
    """Change one bit in the middle of a file, and nothing of its size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def as_records(dataset: Dataset) -> dict[str, list[dict[str, Any]]]:
    """What `get` gives, as records with the names that Croissant gives them."""
    texts = [name for name, field in dataset.entry.fields.items() if field.per == "split"]
    records: dict[str, list[dict[str, Any]]] = {}
    for name, split in dataset.items():
        fields = [
            split[field].tolist() if hasattr(split[field], "tolist") else list(split[field]) for field in split.fields
        ]
        records[name] = [
            {f"{name}/{field}": value for field, value in zip(split.fields, sample, strict=True)}
            for sample in zip(*fields, strict=True)
        ]
        records |= {f"{name}-{text}": [{f"{name}-{text}/{text}": split[text]}] for text in texts}
    return records


@pytest.mark.slow
class TestCroissant:
    """mlcroissant loads it, offline."""

    @pytest.mark.parametrize("name", SHIPPED)
    def test_its_records_are_the_samples(self, tmp_path: Path, name: str) -> None:
        """Each value of each field of each split, and the texts of whole splits."""
        records = croissant_records(export(name, "croissant", tmp_path / "out"))

        assert records == as_records(get(name))

    def test_its_records_are_those_of_mnist(self, tmp_path: Path, realdata: Path, home: Path) -> None:
        """Its first ones, of which a thousand take seconds."""
        records = croissant_records(export("mnist", "croissant", tmp_path / "out", mirror=realdata), 500)

        for name, split in get("mnist", mirror=realdata).items():
            images = np.array([record[f"{name}/images"] for record in records[name]])
            np.testing.assert_array_equal(images, split.images[:500])
            assert [record[f"{name}/labels"] for record in records[name]] == split.labels[:500].tolist()

    def test_fields_of_every_kind_come_back(self, made: Made, tmp_path: Path) -> None:
        """Lists that differ in length, truths, large numbers; what is missing is None, and any name is a column's."""
        records = croissant_records(export("made", "croissant", tmp_path / "out", manifest=made.manifest))

        values = made.values["train"]
        features = [[None if x != x else x for x in row] for row in values["features"].tolist()]
        assert records["train"] == [
            {
                "train/images": values["images"][place].tolist(),
                "train/labels": values["labels"][place].tolist(),
                "train/petal%20width": features[place][0],
                "train/50%20%25": features[place][1],
                "train/words": values["words"][place],
                "train/texts": values["texts"][place],
                "train/flags": values["flags"][place].tolist(),
                "train/sizes": values["sizes"][place].tolist(),
            }
            for place in range(3)
        ]

    def test_a_flipped_byte_is_refused(self, made: Made, tmp_path: Path) -> None:
        """By the sha256 of the file."""
        folder = export("made", "croissant", tmp_path / "out", manifest=made.manifest)
        flip_a_byte(folder / "train.parquet")
        done = run(sys.executable, "-c", RECORDS, str(folder / "croissant.json"), "9", cwd=tmp_path)

        assert done.returncode != 0
        assert "train.parquet is not identical with the reference in the Croissant JSON-LD" in done.stderr

    @pytest.mark.parametrize("name", list_datasets())
    def test_what_is_declared_is_valid_without_any_values(self, tmp_path: Path, name: str) -> None:
        """For a catalogue; nothing is downloaded."""
        path = export(name, "croissant", tmp_path / "croissant.json", values=False)
        code = (
            "import json, sys, mlcroissant\n"
            "splits = mlcroissant.Dataset(sys.argv[1]).records('splits')\n"
            "print(json.dumps({split['splits/name']: split['splits/samples'] for split in splits}))"
        )
        done = run(sys.executable, "-c", code, str(path), cwd=tmp_path)

        assert done.returncode == 0, done.stderr
        declared = load_manifest().datasets[name].splits
        assert json.loads(done.stdout) == {split: its.samples for split, its in declared.items()}


@pytest.mark.slow
class TestDataPackage:
    """`frictionless validate` reads every value."""

    @pytest.mark.parametrize("name", SHIPPED)
    def test_it_is_valid(self, tmp_path: Path, name: str) -> None:
        """Schema, sizes, hashes, and each value."""
        done = frictionless(export(name, "datapackage", tmp_path / "out"))

        assert (done.returncode, "INVALID" in done.stdout) == (0, False), done.stdout + done.stderr

    def test_its_values_are_those_of_every_kind_of_field(self, made: Made, tmp_path: Path) -> None:
        """As frictionless reads them, by the schema."""
        folder = export("made", "datapackage", tmp_path / "out", manifest=made.manifest)
        assert frictionless(folder).returncode == 0

        code = (
            "import json, sys; from frictionless import Package\n"
            "rows = Package('datapackage.json').get_resource('train').read_rows()\n"
            "print(json.dumps([dict(row) for row in rows], default=float))"
        )
        rows = json.loads(run(sys.executable, "-c", code, cwd=folder).stdout)
        values = made.values["train"]
        assert [row["images"] for row in rows] == values["images"].tolist()
        assert [row["words"] for row in rows] == values["words"]
        assert [row["texts"] for row in rows] == values["texts"]
        assert [row["flags"] for row in rows] == values["flags"].tolist()
        assert [row["sizes"] for row in rows] == values["sizes"].tolist()
        features = np.array([[row["petal width"], row["50 %"]] for row in rows], np.float32)
        np.testing.assert_array_equal(features, values["features"])

    def test_a_flipped_byte_is_refused(self, made: Made, tmp_path: Path) -> None:
        """By the sha256 of the file."""
        folder = export("made", "datapackage", tmp_path / "out", manifest=made.manifest)
        flip_a_byte(folder / "test.csv")
        done = frictionless(folder)

        assert done.returncode == 1
        assert "hash-count" in done.stdout


@pytest.mark.slow
def test_sha256sum_checks_every_file(made: Made, tmp_path: Path) -> None:
    """And names the one with a flipped byte."""
    folder = export("made", "png", tmp_path / "out", manifest=made.manifest)
    assert run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=folder).returncode == 0

    flip_a_byte(folder / "train" / "0-rose" / "0.png")
    done = run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "train/0-rose/0.png: FAILED\n")


@pytest.mark.slow
def test_torchvisions_image_folder_counts_the_same_labels(made: Made, tmp_path: Path) -> None:
    """Though the classes are not declared in the order of the alphabet."""
    torchvision = pytest.importorskip("torchvision", reason="reads folders of pictures; the package does not need it")
    folder = export("made", "png", tmp_path / "out", manifest=made.manifest)
    pictures = torchvision.datasets.ImageFolder(str(folder / "train"))

    labels = {int(Path(path).stem): label for path, label in pictures.samples}
    assert [labels[place] for place in range(3)] == made.values["train"]["labels"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_hugging_faces_library_loads_every_split(made: Made, tmp_path: Path, kind: str) -> None:
    """From the folder; of Parquet with the names of classes."""
    pytest.importorskip("datasets.load", reason="Hugging Face's library; the package does not need it")
    folder = export("made", kind, tmp_path / "out", manifest=made.manifest)
    code = (
        "import json, sys, datasets\n"
        "loaded = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])\n"
        "names = getattr(loaded['train'].features['labels'], 'names', None)\n"
        "print(json.dumps([{split: rows['labels'][:] for split, rows in loaded.items()}, names]))"
    )
    done = run(sys.executable, "-c", code, str(folder), str(tmp_path / "cache"), cwd=folder)

    assert done.returncode == 0, done.stderr
    labels, names = json.loads(done.stdout.splitlines()[-1])
    assert labels == {split: values["labels"].tolist() for split, values in made.values.items()}
    assert names == (["rose", "dog/cat", "<b>"] if kind == "parquet" else None)


class TestPureFunctions:
    """What is declared, as others write it, without a folder or a file: for a page of a catalogue."""

    def test_bibtex_is_read_by_pybtex(self) -> None:
        """A parser of others finds the facts, whatever signs TeX obeys are in them."""
        pybtex = pytest.importorskip("pybtex.database", reason="reads BibTeX")
        entry = load_manifest().datasets["tinydigits"]

        (read,) = pybtex.parse_string(bibtex("tinydigits", entry), "bibtex").entries.values()
        assert [" ".join(person.last_names) for person in read.persons["author"]] == ["Alpaydin", "Kaynak"]
        assert (read.fields["year"], read.fields["doi"]) == ("1998", "10.24432/C50P49")
        assert read.fields["url"] == entry.source
        odd = entry.model_copy(update={"title": "50 % of {a & ~b^c_d \\\\ #$}}", "citation": None})
        assert len(pybtex.parse_string(bibtex("odd", odd), "bibtex").entries["odd"].fields) == 2

    def test_croissant_says_where_the_original_files_are(self) -> None:
        """With their sha256; the first of the declared addresses, and none that carries a key."""
        entry = load_manifest().datasets["mnist"]
        files = croissant("mnist", entry)["distribution"]

        assert [file["contentUrl"] for file in files] == [entry.mirrors[0] + path for path in entry.files]
        assert [file["sha256"] for file in files] == [file.sha256 for file in entry.files.values()]
        secret = "https://example.org/a.gz?X-Amz-Signature=1f0a"
        path, file = next(iter(entry.files.items()))
        hidden = entry.model_copy(update={"mirrors": (), "files": {path: file.model_copy(update={"urls": (secret,)})}})
        assert "distribution" not in croissant("mnist", hidden)

    def test_croissant_describes_splits_fields_and_classes(self) -> None:
        """Dtypes and shapes are Croissant's own; labels refer to the classes."""
        entry = load_manifest().datasets["mnist"]
        facts = croissant("mnist", entry, [ExportedFile("train.parquet", 3, "0" * 64)])
        sets = {one["@id"]: one for one in facts["recordSet"]}

        assert list(sets) == ["labels-classes", "train"]
        images, labels = sets["train"]["field"]
        assert (images["dataType"], images["isArray"], images["arrayShape"]) == ("cr:UInt8", True, "28,28")
        assert labels["references"] == {"field": {"@id": "labels-classes/number"}}
        assert sets["labels-classes"]["data"][3] == {"labels-classes/number": 3, "labels-classes/name": "3"}
        assert facts["citeAs"].startswith("Y. LeCun, L. Bottou")
        assert facts["license"] == "not stated by the authors"
        assert not {"version", "creator", "datePublished"} & facts.keys()

    def test_croissant_lists_splits_and_fields_where_nothing_was_exported(self) -> None:
        """In words: Croissant has no fields without a file."""
        sets = {one["@id"]: one for one in croissant("mnist", load_manifest().datasets["mnist"])["recordSet"]}

        assert list(sets) == ["labels-classes", "splits", "fields"]
        assert sets["fields"]["data"][0] == {
            "fields/name": "images",
            "fields/description": "uint8 [28, 28], from 0 to 255",
        }

    @pytest.mark.parametrize(
        ("license_", "facts"),
        [
            ("CC-BY-4.0", {"licenses": [{"name": "CC-BY-4.0"}]}),
            ("not stated by the authors", {"description": "License: not stated by the authors"}),
        ],
        ids=["a name", "words"],
    )
    def test_a_data_package_names_a_license_that_has_a_name(self, license_: str, facts: dict[str, Any]) -> None:
        """Words about one are words: the specification takes none for a license."""
        entry = load_manifest().datasets["mnist"].model_copy(update={"license": license_})
        package = datapackage("mnist", entry, [])

        assert {key: package[key] for key in ("licenses", "description") if key in package} == facts

    def test_they_need_nothing_but_an_entry(self) -> None:
        """As anybody may make one."""
        entry = Entry.model_validate(
            {
                "title": "A {title of 50 %", "status": "shipped", "format": "npy", "license": "CC0-1.0",
                "source": "made here", "fields": {"x": {"dtype": "int8"}},
                "splits": {"all": {"samples": 1, "x": "x.npy"}}, "files": {"x.npy": {"bytes": 1, "sha256": "0" * 64}},
            }
        )  # fmt: skip

        assert bibtex("mine", entry) == "@misc{mine,\n  title = {{A \\textbraceleft{}title of 50 \\%}}\n}\n"
        assert croissant("mine", entry)["recordSet"][1]["data"] == [{"fields/name": "x", "fields/description": "int8"}]
