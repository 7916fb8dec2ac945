"""The manifest: what it may say, and how what is wrong with it is reported."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.helpers.yardstick import soon
from tinytorch_datasets import audit, load_manifest
from tinytorch_datasets.errors import ManifestError, UnknownName

HASH = "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"

GOOD = f"""
version: 1
datasets:
  digits:
    title: Digits
    status: remote
    format: npz
    license: CC0-1.0
    source: https://example.org/digits
    fields:
      images: {{dtype: uint8, shape: [8, 8], range: [0, 16]}}
      labels: {{dtype: int64, classes: ["0", "1"]}}
    splits:
      train: {{samples: 10, file: digits.npz, images: x_train, labels: y_train}}
    mirrors: [https://example.org/files/]
    files:
      digits.npz:
        bytes: 1_000
        sha256: {HASH}
""".lstrip()


def write(folder: Path, text: str) -> Path:
    """A manifest of that text."""
    path = folder / "datasets.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def result(folder: Path, old: str, new: str) -> list[str]:
    """The problems that the good manifest has once `old` is replaced, as a person sees them."""
    assert old in GOOD
    with pytest.raises(ManifestError) as caught:
        load_manifest(write(folder, GOOD.replace(old, new)))
    return str(caught.value).splitlines()[:-1]


class TestAGoodManifest:
    """A manifest that is right gives frozen entries, and a plan for the stages after it."""

    def test_the_packaged_manifest_declares_the_four_data_sets(self) -> None:
        """Two ship, two are fetched."""
        loaded = load_manifest()

        assert {name: entry.status for name, entry in loaded.own.items()} == {
            "tinydigits": "shipped",
            "tinytalks": "shipped",
            "mnist": "remote",
            "cifar10": "remote",
        }

    def test_published_figures_stand_in_it(self) -> None:
        """Sizes and hashes are those that TensorFlow Datasets and Keras publish for the same files."""
        loaded = load_manifest()

        mnist = loaded.datasets["mnist"].files
        assert {path: file.bytes for path, file in mnist.items()} == {
            "train-images-idx3-ubyte.gz": 9912422,
            "train-labels-idx1-ubyte.gz": 28881,
            "t10k-images-idx3-ubyte.gz": 1648877,
            "t10k-labels-idx1-ubyte.gz": 4542,
        }
        assert mnist["train-images-idx3-ubyte.gz"].sha256 == HASH
        cifar = loaded.datasets["cifar10"].files["cifar-10-python.tar.gz"]
        assert cifar.bytes == 170498071
        assert cifar.sha256 == "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

    def test_entries_are_frozen(self, tmp_path: Path) -> None:
        """What was validated stays as it was validated."""
        entry = load_manifest(write(tmp_path, GOOD)).datasets["digits"]

        with pytest.raises(ValueError, match="frozen"):
            entry.title = "Other"

    def test_mirrors_give_full_addresses_in_order(self, tmp_path: Path) -> None:
        """A file's own addresses come first, then each mirror with the file's name appended."""
        text = GOOD.replace("        bytes:", "        urls: [https://other.org/get?file=7]\n        bytes:")
        text = text.replace("[https://example.org/files/]", "[https://a.org/d/, http://b.org/]")
        plan = load_manifest(write(tmp_path, text)).plan("digits").under(tmp_path)

        assert plan.files[0].urls == (
            "https://other.org/get?file=7",
            "https://a.org/d/digits.npz",
            "http://b.org/digits.npz",
        )

    def test_a_plan_remembers_the_lines_of_what_it_declares(self, tmp_path: Path) -> None:
        """The place of a hash is the line that a person edits."""
        plan = load_manifest(write(tmp_path, GOOD)).plan("digits").under(tmp_path)

        assert plan.files[0].where == "datasets.yaml:18"
        assert plan.splits[0].columns["images"].where == "datasets.yaml:10"

    def test_a_wrong_name_gets_a_guess(self, tmp_path: Path) -> None:
        """Names are exact; the error has the nearest one, and all there are."""
        with pytest.raises(UnknownName) as caught:
            load_manifest(write(tmp_path, GOOD)).entry("digit")

        assert str(caught.value) == (
            "no data set named 'digit' in datasets.yaml; did you mean 'digits'?\n  There are: digits."
        )
        assert (caught.value.name, caught.value.guess, caught.value.known) == ("digit", "digits", ("digits",))


class TestOneWrongThing:
    """Each problem is reported with its line, its key, what is wrong, and a guess where there is one."""

    CASES = (
        ("an unknown key", "license:", "licence:", [
            "datasets.yaml:3: digits.license: is missing",
            "datasets.yaml:7: digits.licence: unknown key; did you mean 'license'?"]),
        ("a duplicate key", "    format: npz\n", "    format: npz\n    format: npz\n", [
            "datasets.yaml:7: digits.format: duplicate key 'format'; it stands on line 6 already"]),
        ("a wrong type", "bytes: 1_000", "bytes: many", [
            "datasets.yaml:17: digits.files.digits.npz.bytes: must be a whole number, is text 'many'"]),
        ("a number for text", "title: Digits", "title: 7", [
            'datasets.yaml:4: digits.title: must be text, is the number 7: write "7"']),
        ("a short hash", HASH, HASH[:-1], [
            "datasets.yaml:18: digits.files.digits.npz.sha256: "
            "not a sha256: 64 lowercase hex digits, has 63 characters"]),
        ("an uppercase hash", HASH, HASH.upper(), [
            "datasets.yaml:18: digits.files.digits.npz.sha256: not a sha256: 64 lowercase hex digits, has uppercase"]),
        ("an all-digit hash", HASH, "1" * 64, [
            "datasets.yaml:18: digits.files.digits.npz.sha256: YAML readers do not agree on what 11111111... is: "
            'write "11111111..." for the text']),
        ("no hash at all", f"        sha256: {HASH}\n", "", [
            "datasets.yaml:16: digits.files.digits.npz.sha256: is missing"]),
        ("an unknown format", "format: npz", "format: npzz", [
            "datasets.yaml:6: digits.format: no decoder for format 'npzz'; did you mean 'npz'?"]),
        ("an unknown option", "format: npz", "format: npz\n    options: {labels: x}", [
            "datasets.yaml:7: digits.options.labels: format 'npz' has no such option; it has none"]),
        ("a path that leaves the folder", "digits.npz", "../digits.npz", [
            "datasets.yaml:16: digits.files.../digits.npz: leaves its folder: '../digits.npz'"]),
        ("an absolute path", "digits.npz", "/etc/digits.npz", [
            "datasets.yaml:16: digits.files./etc/digits.npz: "
            "must be a path below the folder, with forward slashes; is '/etc/digits.npz'"]),
        ("a drive letter", "digits.npz", "C:digits.npz", [
            "datasets.yaml:16: digits.files.C:digits.npz: "
            "must be a path below the folder, with forward slashes; is 'C:digits.npz'"]),
        ("a negative count", "samples: 10", "samples: -10", [
            "datasets.yaml:13: digits.splits.train.samples: must be more than 0, is -10"]),
        ("a true for a count", "samples: 10", "samples: true", [
            "datasets.yaml:13: digits.splits.train.samples: must be a whole number, is the switch true"]),
        ("a file that is not declared", "file: digits.npz", "file: digit.npz", [
            "datasets.yaml:13: digits.splits.train.file: 'digit.npz' is not under files; did you mean 'digits.npz'?"]),
        ("a field that is not declared", "labels: y_train", "lables: y_train", [
            "datasets.yaml:13: digits.splits.train.lables: no field of that name; did you mean 'labels'?"]),
        ("no mirror", "    mirrors: [https://example.org/files/]\n", "", [
            "datasets.yaml:15: digits.files.digits.npz: is remote but has no mirror and no url"]),
        ("a mirror without its slash", "files/]", "files]", [
            "datasets.yaml:14: digits.mirrors[0]: must end in '/', because a file's name is appended to it: "
            "'https://example.org/files'"]),
        ("a mirror of another kind", "https://example.org/files/", "ftp://example.org/", [
            "datasets.yaml:14: digits.mirrors[0]: must start with https:// or http://, is 'ftp://example.org/'"]),
        ("a password", "https://example.org/files/", "https://me:secret@example.org/", [
            "datasets.yaml:14: digits.mirrors[0]: carries a user name or password; a manifest is read by everyone"]),
        ("an unknown dtype", "dtype: uint8", "dtype: uint9", [
            "datasets.yaml:10: digits.fields.images.dtype: must be 'bool', 'int8', 'int16', 'int32', 'int64', 'uint8', "
            "'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64' or 'str', is 'uint9'; "
            "did you mean 'uint8'?"]),
        ("labels that are not int64", "dtype: int64", "dtype: int32", [
            "datasets.yaml:11: digits.fields.labels.dtype: a field with classes is int64, whatever the file holds; "
            "is 'int32'"]),
        ("a class twice", '["0", "1"]', '["0", "0"]', [
            "datasets.yaml:11: digits.fields.labels.classes[1]: the class '0' is there twice"]),
        ("classes that YAML reads as something else", '["0", "1"]', "[no, 7, 1.10]", [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list of texts, has 2 values that are not text: "
            'write ["7", "1.10"]',
            "datasets.yaml:11: digits.fields.labels.classes[0]: YAML readers do not agree on what no is: "
            'write "no" for the text, or true or false for a switch']),
        ("classes that are numbers", '["0", "1"]', "[1, 2]", [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list of texts, has 2 values that are not text: "
            'write ["1", "2"]']),
        ("more classes than are shown", '["0", "1"]', "[0, 1, 2, 3, 4, 5, 6]", [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list of texts, has 7 values that are not text: "
            'write ["0", "1", "2", "3", "4", ...]']),
        ("classes that are switches", '["0", "1"]', "[true, false]", [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list of texts, has 2 values that are not text: "
            'write ["true", "false"]']),
        ("a number for a list", "classes: [\"0\", \"1\"]", "classes: 4", [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list, is the number 4: write [4]"]),
        ("a text for a list", "classes: [\"0\", \"1\"]", "classes: setosa", [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list, is text"]),
        ("classes by number", '["0", "1"]', '{1: "no", 0: setosa}', [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list, is a mapping: "
            'write the names alone, in the order of their numbers, [setosa, "no"]']),
        ("numbers by class", '["0", "1"]', "{virginica: 1, setosa: 0}", [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list, is a mapping: "
            "write the names alone, in the order of their numbers, [setosa, virginica]"]),
        ("classes by something else", '["0", "1"]', "{a: b}", [
            "datasets.yaml:11: digits.fields.labels.classes: must be a list, is a mapping"]),
        ("a version that is true", "version: 1", "version: true", ["datasets.yaml:1: version: must be 1, is true"]),
        ("a version with a point", "version: 1", "version: 1.0", ["datasets.yaml:1: version: must be 1, is 1.0"]),
        ("a version in quotes", "version: 1", 'version: "1"', ["datasets.yaml:1: version: must be 1, is '1'"]),
        ("an octal count", "samples: 10", "samples: 0777", [
            "datasets.yaml:13: digits.splits.train.samples: YAML readers do not agree on what 0777 is: "
            'write "0777" for the text, or 777 for the number']),
        ("a field that hides a method", "images", "batches", [
            "datasets.yaml:10: digits.fields.batches: a field's name is lowercase letters, digits and '_', "
            "starting with a letter; this one has a meaning of its own in code"]),
        ("no version that there was", "version: 1", "version: 0", [
            "datasets.yaml:1: version: must be 1, is 0"]),
        ("a version to come", "version: 1\ndatasets:", "version: 2\nnew_key: {}\ndatasets:", [
            "datasets.yaml:1: version: is 2, and this library reads 1: `pip install --upgrade tinytorch-datasets`"]),
        ("a Python object", "title: Digits", "title: !!python/name:os.system x", [
            "datasets.yaml:4: digits.title: the tag !!python/name:os.system is not allowed; only plain YAML is read"]),
    )  # fmt: skip

    @pytest.mark.parametrize(("old", "new", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
    def test_is_reported_with_its_line(self, tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
        """The whole message is compared, so that no word of it drifts."""
        assert result(tmp_path, old, new) == expected

    def test_two_names_for_one_file_on_a_folding_disk_are_refused(self, tmp_path: Path) -> None:
        """Windows and macOS fold letter case, so one of the two would overwrite the other."""
        text = GOOD + f"      Digits.npz: {{bytes: 1, sha256: {HASH}}}\n"
        with pytest.raises(ManifestError) as caught:
            load_manifest(write(tmp_path, text))

        assert str(caught.value).splitlines()[0] == (
            "datasets.yaml:19: digits.files.Digits.npz: "
            "'Digits.npz' and 'digits.npz' are one file on a disk that folds letter case"
        )


class TestManyWrongThings:
    """All problems are reported at once, in the order of their lines."""

    def test_all_are_reported_together(self, tmp_path: Path) -> None:
        """One run of the check tells everything there is to hint."""
        text = GOOD.replace("format: npz", "format: npzz").replace("samples: 10", "samples: -1")
        text = text.replace(HASH, HASH.upper()).replace("title:", "titel:")
        with pytest.raises(ManifestError) as caught:
            load_manifest(write(tmp_path, text))

        assert str(caught.value).splitlines() == [
            "datasets.yaml:3: digits.title: is missing",
            "datasets.yaml:4: digits.titel: unknown key; did you mean 'title'?",
            "datasets.yaml:6: digits.format: no decoder for format 'npzz'; did you mean 'npz'?",
            "datasets.yaml:13: digits.splits.train.samples: must be more than 0, is -1",
            "datasets.yaml:18: digits.files.digits.npz.sha256: not a sha256: 64 lowercase hex digits, has uppercase",
            f"5 problems in {tmp_path / 'datasets.yaml'}. Nothing was downloaded.",
        ]
        assert [problem.line for problem in caught.value.problems] == [3, 4, 6, 13, 18]

    def test_of_many_the_first_twenty_are_shown_and_their_number(self, tmp_path: Path) -> None:
        """A person mends one at a time; `problems` has every one, for programs."""
        path = write(tmp_path, GOOD + "".join(f"k{i}: 1\n" for i in range(1234)))
        with pytest.raises(ManifestError) as caught:
            load_manifest(path)

        lines = str(caught.value).splitlines()
        assert lines[:2] == ["datasets.yaml:19: k0: unknown key", "datasets.yaml:20: k1: unknown key"]
        assert lines[19:] == [
            "datasets.yaml:38: k19: unknown key",
            "... and 1,214 more, which `audit --json` has",
            f"1,234 problems in {path}. Nothing was downloaded.",
        ]
        assert len(caught.value.problems) == 1234

    @pytest.mark.parametrize(
        "wrong",
        [
            "file: datx{i:04}.npz, images: a, labels: b{i}",
            pytest.param("file: data0000.npz, imagex{i:04}: a, labels: b{i}", marks=pytest.mark.slow),
        ],
        ids=["of files", "of fields"],
    )
    def test_thousands_of_wrong_names_are_reported_soon(self, tmp_path: Path, wrong: str) -> None:
        """Each could be any of thousands of others; the first few get a guess, and all are reported."""
        count = 1600
        head, _, _ = GOOD.partition("    splits:\n")
        fields = "".join(f"      image{i:04}: {{dtype: uint8}}\n" for i in range(count)) if "imagex" in wrong else ""
        splits = "".join(f"      s{i}: {{samples: 1, {wrong.format(i=i)}}}\n" for i in range(count))
        files = "".join(f"      data{i:04}.npz: {{bytes: 1, sha256: {HASH}}}\n" for i in range(count))
        mirrors = "    mirrors: [https://example.org/]\n"
        path = write(tmp_path, f"{head}{fields}    splits:\n{splits}{mirrors}    files:\n{files}")

        with soon(), pytest.raises(ManifestError) as caught:
            load_manifest(path)

        assert len(caught.value.problems) >= count
        assert "did you mean" in caught.value.problems[0].what

    @pytest.mark.slow
    def test_a_table_of_a_thousand_columns_is_joined_to_pictures_soon(self, tmp_path: Path) -> None:
        """Which fields are pictures is asked once for each split, and not again for each column."""
        count = 1600
        columns = "".join(f"      c{i}: {{dtype: int64}}\n" for i in range(count))
        table = "{file: t.csv, format: csv, column: c, join: {column: name, match: file}}"
        places = "".join(f"        c{i}: {table}\n" for i in range(count))
        text = GOOD.partition("    fields:\n")[0].replace("npz", "images") + (
            f"    fields:\n      images: {{dtype: uint8, shape: [8, 8]}}\n{columns}"
            f"    splits:\n      train:\n        samples: 3\n        members: ['*.png']\n"
            f"        images: {{file: a.zip}}\n{places}    mirrors: [https://example.org/]\n    files:\n"
            f"      a.zip: {{bytes: 1, sha256: {HASH}}}\n      t.csv: {{bytes: 1, sha256: {HASH}}}\n"
        )
        with soon():
            load_manifest(write(tmp_path, text))

    def test_two_data_sets_may_not_put_different_files_under_one_name(self, tmp_path: Path) -> None:
        """They would overwrite each other's downloads."""
        body = GOOD.split("datasets:\n")[1].replace("  digits:\n", "  more:\n    folder: digits\n")
        text = GOOD + body.replace(HASH, "f" + HASH[1:])
        with pytest.raises(ManifestError) as caught:
            load_manifest(write(tmp_path, text))

        assert str(caught.value).splitlines()[0] == (
            "datasets.yaml:33: more.files.digits.npz: digits/digits.npz is another file in 'digits'; "
            "give one of them a `folder`"
        )


class TestHostileYaml:
    """A manifest from a stranger costs neither memory nor time, and runs nothing."""

    CASES = (
        ("deep brackets", b"[" * 200_000, "1: nested more than 32 levels deep; a manifest needs six"),
        ("deep dashes", b"- " * 200_000 + b"a", "1: nested more than 32 levels deep; a manifest needs six"),
        ("aliases that multiply",
         b"a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [" + b"*a," * 99 + b"]\nc: &c [" + b"*b," * 99 + b"]\nd: [" + b"*c," * 99,
         "3: aliases expand to more than 20,000 values"),
        ("an alias inside itself", b"a: &a [*a]", "1: the alias *a stands before (or inside) what it names"),
        ("not UTF-8", b"version: 1\ntitle: \xff", "2: is not UTF-8 text: column 8 has the byte 0xff; save it as UTF-8"),
        ("cut short", b"version: [1", "1: not YAML: the [ in column 10 is never closed"),
        ("two documents", b"version: 1\n---\nversion: 1\n", "2: a second document (---); a manifest is one"),
        ("a key that is a list", b"? [a]\n: b\n", "1: a mapping or list cannot be a key"),
    )  # fmt: skip

    @pytest.mark.parametrize(("raw", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
    def test_is_one_clear_problem(self, tmp_path: Path, raw: bytes, expected: str) -> None:
        """Reading stops where it stops making sense."""
        path = tmp_path / "datasets.yaml"
        path.write_bytes(raw)
        with pytest.raises(ManifestError) as caught:
            load_manifest(path)

        assert str(caught.value).splitlines()[0] == f"datasets.yaml:{expected}"

    def test_nothing_is_constructed(self, tmp_path: Path) -> None:
        """A tag that PyYAML's unsafe loader would run stays text."""
        marker = tmp_path / "executed"
        path = tmp_path / "datasets.yaml"
        path.write_text(f"version: !!python/object/apply:os.mkdir ['{marker}']\n")
        with pytest.raises(ManifestError):
            load_manifest(path)

        assert not marker.exists()

    def test_a_manifest_that_is_not_there_is_reported(self, tmp_path: Path) -> None:
        """The path is part of the message."""
        with pytest.raises(ManifestError) as caught:
            load_manifest(tmp_path / "none.yaml")

        assert str(caught.value) == (
            "none.yaml:1: cannot be read: there is no such file\n"
            f"1 problem in {tmp_path / 'none.yaml'}. Nothing was downloaded."
        )


class TestIgnore:
    """Warnings of a rule are left out, of one data set or of all; errors are not, and a rule that is none is one."""

    @staticmethod
    def rules(path: Path) -> list[tuple[str, str]]:
        """The findings of the manifest itself, each rule with its data set."""
        return [(finding.rule, finding.dataset) for finding in audit(manifest=path, levels=["manifest"]).findings]

    TWO = GOOD + GOOD.split("datasets:\n")[1].replace("  digits:\n", "  more:\n", 1)

    def test_of_one_data_set(self, tmp_path: Path) -> None:
        """The other one's warning stays."""
        path = write(tmp_path, self.TWO.replace("    title:", "    ignore: [single-mirror]\n    title:", 1))

        assert self.rules(path) == [("single-mirror", "more")]

    def test_of_all(self, tmp_path: Path) -> None:
        """A key beside `datasets`; without it, both have the warning."""
        path = write(tmp_path, self.TWO)
        assert self.rules(path) == [("single-mirror", "digits"), ("single-mirror", "more")]

        assert self.rules(write(tmp_path, f"ignore: [single-mirror]\n{self.TWO}")) == []

    def test_what_is_no_rule_is_reported(self, tmp_path: Path) -> None:
        """A misspelled rule would leave out nothing, and nobody would know why."""
        path = write(tmp_path, GOOD.replace("    title:", "    ignore: [single-miror]\n    title:", 1))
        (finding,) = (f for f in audit(manifest=path, levels=["manifest"]).findings if f.rule == "manifest")

        assert (finding.severity, finding.where) == ("error", "datasets.yaml:4")
        assert finding.what == "ignore names 'single-miror', and there is no such rule; did you mean 'single-mirror'?"


def printed_by(code: str) -> list[str]:
    """The words that a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_the_models_are_built_without_reading_their_source() -> None:
    """To find descriptions in it would cost every first `get` more than to read the manifest."""
    code = "import linecache, tinytorch_datasets.manifest.models; print(*linecache.cache)"

    assert not [name for name in printed_by(code) if name.endswith("declarations.py")]


def test_what_only_errors_need_is_imported_for_errors() -> None:
    """A manifest that is right needs no guesses at names, and a fetch that goes well no titles of web pages."""
    libraries = "import sys, numpy, pydantic, yaml, requests, pooch, filelock; before = set(sys.modules)"
    ours = "from tinytorch_datasets import load_manifest; load_manifest(); import tinytorch_datasets.fetch.download"

    loaded = printed_by(f"{libraries}; {ours}; print(*set(sys.modules) - before)")

    assert "tinytorch_datasets.fetch.download" in loaded
    assert not {"difflib", "html", "pkgutil"} & set(loaded)
