"""The compiled manifest: what lets a first get() skip YAML and Pydantic, and what must make it read them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from tinytorch_datasets import audit, get, load_manifest, pipeline, settings
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import ManifestError, UnknownName
from tinytorch_datasets.manifest import generated
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.storage.cache_entry import CacheEntry

VALIDATING = {"pydantic", "yaml"}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packaged manifest with TinyDigits alone, compiled, in a folder whose every byte a test may change."""
    shutil.copytree(ROOT / "datasets" / "tinydigits", tmp_path / "datasets" / "tinydigits")
    text = (ROOT / "datasets.yaml").read_text(encoding="utf-8")
    manifest = tmp_path / "datasets.yaml"
    alone = "".join(line for line in text.splitlines(True) if not line.startswith("include:"))
    manifest.write_text(alone[: alone.index("  tinytalks:")], encoding="utf-8")
    monkeypatch.setattr(settings, "_PACKAGE", tmp_path / "tinytorch_datasets")
    result("compile")
    return manifest


def form(manifest: Path) -> Path:
    """Where its compiled form is."""
    return manifest.with_suffix(".compiled.json")


def result(*command: object) -> str:
    """What a command prints that ends well."""
    done = CliRunner().invoke(main, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    return done.output


def imported_by_first_get(manifest: Path, home: Path) -> set[str]:
    """The top-level modules that a fresh process has loaded after its first get of TinyDigits."""
    code = (
        "import sys; from tinytorch_datasets import get; get('tinydigits', manifest=sys.argv[1], home=sys.argv[2]);"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code, manifest, home], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def change(compiled_form: Path, old: str, new: str) -> None:
    """Change the compiled form by hand."""
    text = compiled_form.read_text(encoding="utf-8")
    assert old in text
    compiled_form.write_text(text.replace(old, new), encoding="utf-8")


def _cache_entry(loaded: Manifest, name: str) -> CacheEntry:
    """What `get` notes of a data set, as it is read again; its arrays are nowhere."""
    declared = loaded.declared(name)
    made = pipeline.make_cache_entry(declared, declared.plan, None, {})
    return made._replace(entry=json.loads(json.dumps(made.entry)))


LISTS: list[dict[str, Any]] = [
    {"file": "l.csv", "match": "name", "prefix": "x/", "suffix": ".png"},
    {"all_but": [{"file": "l.csv"}, {"file": "a.zip", "member": "l.txt", "match": "file"}]},
    {"where": {"file": "l.csv", "format": "csv", "column": "usage", "equals": ["a", "b"]}},
    {"file": "l.csv", "match": "stem", "where": {"file": "l.csv", "format": "csv", "column": 1, "equals": [0.5]}},
]


class TestWhatItSaves:
    """With it, a data set comes without what validates."""

    def test_a_first_get_imports_neither_yaml_nor_pydantic(self, tmp_path: Path) -> None:
        """Nothing of this data set was on this machine before, and nothing of its manifest is kept in the home."""
        assert not imported_by_first_get(ROOT / "datasets.yaml", tmp_path / "home") & VALIDATING

    def test_the_packaged_manifest_is_compiled(self) -> None:
        """As it is now, by this version; `tinytorch-datasets compile` in the clone writes it."""
        assert (
            result("compile", "--check") == "datasets.compiled.json: up to date\nclassics.compiled.json: up to date\n"
        )

    def test_what_it_declares_is_what_the_manifest_declares(self) -> None:
        """Each plan, each line number, each entry: equal, whichever way it was come by."""
        loaded = load_manifest()

        for name in loaded.datasets:
            assert generated.declared(loaded.path, name) == loaded.declared(name)

    def test_digests_of_values_come_without_a_plan(self) -> None:
        """Those of the manifest's own data sets, by their very name; and of no other manifest's."""
        loaded = load_manifest()
        for name in loaded.own:
            digests = {str(column): column.sha256 for column in loaded.plan(name).columns if column.sha256}
            assert generated.value_digests(_cache_entry(loaded, name)) == digests
        mnist = _cache_entry(loaded, "mnist")
        assert len(generated.value_digests(mnist) or ()) == 4

        for name in ("MNIST", "no-such-name", *(set(loaded.datasets) - set(loaded.own))):
            assert generated.value_digests(mnist._replace(name=name)) is None, name
        elsewhere = {str(ROOT / "datasets" / "datasets.yaml"): loaded.sha256}
        assert generated.value_digests(mnist._replace(manifests=elsewhere)) is None

    def test_no_digests_come_of_a_manifest_that_has_changed(self, clone: Path) -> None:
        """Though its digests may be the same still."""
        entry = _cache_entry(load_manifest(clone), "tinydigits")
        assert generated.value_digests(entry)
        clone.write_text(f"{clone.read_text()}\n# changed\n")
        assert generated.value_digests(entry) is None

    def test_every_kind_of_value_comes_back_as_it_was(self, clone: Path, tmp_path: Path) -> None:
        """Options, folders, ranges with fractions, members and texts too."""
        clone.write_text(json.dumps({"version": 1, "download_to": "here", "datasets": {"all-kinds": ALL_KINDS}}))
        result("compile")
        kept, read = generated.declared(clone, "all-kinds"), load_manifest(clone).declared("all-kinds")

        assert kept == read
        assert kept is not None
        assert [type(value) for value in kept.plan.columns[0].range or ()] == [float, int]
        assert kept.plan.under(tmp_path) == read.plan.under(tmp_path)

    @pytest.mark.parametrize("rows", LISTS)
    def test_lists_of_names_come_back_as_they_were(self, clone: Path, tmp_path: Path, rows: dict[str, Any]) -> None:
        """With their files, of which each may have a format of its own; so do tables that are joined, and archives."""
        place = {"file": "l.csv", "format": "csv", "column": 1, "join": {"column": 0, "match": "stem"}}
        train = {"samples": 3, "file": "a.zip", "member": ["b.tar"], "members": ["*.png"], "stored_samples": 9}
        entry = {
            **ALL_KINDS,
            "format": "images",
            "options": {},
            "fields": {"images": {"dtype": "uint8", "shape": [2, 2]}, "kind": ALL_KINDS["fields"]["kind"]},
            "splits": {"train": {**train, "rows": rows, "kind": place}},
            "files": {name: {"bytes": 10, "sha256": "a" * 64} for name in ("a.zip", "l.csv")},
        }
        clone.write_text(json.dumps({"version": 1, "datasets": {"all-kinds": entry}}))
        result("compile")
        kept, read = generated.declared(clone, "all-kinds"), load_manifest(clone).declared("all-kinds")

        assert kept == read
        assert kept is not None
        assert kept.plan.under(tmp_path) == read.plan.under(tmp_path)
        (column,) = (column for column in kept.plan.under(tmp_path).columns if column.field == "images")
        assert column.rows is not None
        assert all(of.file.parent == tmp_path for of in column.rows.columns)

    def test_what_it_hands_over_has_entry_and_provenance(self, clone: Path, tmp_path: Path) -> None:
        """The same as by way of the YAML."""
        by_compiled = get("tinydigits", manifest=clone, home=tmp_path / "home")
        form(clone).unlink()
        by_yaml = get("tinydigits", manifest=clone, home=tmp_path / "another")

        assert by_compiled.entry == by_yaml.entry
        assert by_compiled.provenance == by_yaml.provenance
        assert by_compiled.classes == by_yaml.classes == tuple("0123456789")
        assert np.array_equal(by_compiled.train.images, by_yaml.train.images)


class TestWhenItDoesNotCount:
    """It is passed over, and the YAML is read and checked."""

    def test_a_changed_byte_of_the_manifest(self, clone: Path) -> None:
        """Even one that means nothing to YAML."""
        assert generated.declared(clone, "tinydigits") is not None

        clone.write_text(clone.read_text(encoding="utf-8") + "# \n", encoding="utf-8")
        assert generated.declared(clone, "tinydigits") is None
        assert len(get("tinydigits", manifest=clone).train) == 1000

    def test_a_manifest_that_became_wrong_is_reported(self, clone: Path) -> None:
        """With its line, as if nothing had ever been compiled."""
        clone.write_text(clone.read_text(encoding="utf-8").replace("version: 1", "version: 2"), encoding="utf-8")

        with pytest.raises(ManifestError, match="version"):
            get("tinydigits", manifest=clone)

    def test_another_version_of_the_package(self, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it makes of a manifest may be something else."""
        monkeypatch.setattr(generated, "LAYOUT", [1, "0.0.1"])

        assert generated.declared(clone, "tinydigits") is None

    @pytest.mark.parametrize(
        "damaged",
        [b"", b"[]", b"{}", b"null", b"[[1", b"\xff", b'[[1, "0.1.0"], 1, 2, 3, 4]', b"[" * 200_000],
        ids=["empty", "list", "mapping", "null", "cut", "not text", "other values", "deep"],
    )
    def test_a_damaged_one(self, clone: Path, damaged: bytes) -> None:
        """Whatever became of it."""
        form(clone).write_bytes(damaged)

        assert len(get("tinydigits", manifest=clone).train) == 1000

    @pytest.mark.parametrize("key", ["files", "splits", "columns", "dtype", "urls", "shape", "sha256"])
    def test_one_without_a_key(self, clone: Path, key: str) -> None:
        """Its checksum of the manifest is right, and yet it says too little."""
        change(form(clone), f'"{key}"', '"odd"')

        assert generated.declared(clone, "tinydigits") is None
        assert len(get("tinydigits", manifest=clone).train) == 1000

    def test_one_that_lies_beside_somebody_elses_manifest(self, tmp_path: Path) -> None:
        """However well it fits: what has not passed the rules may name files outside the folder."""
        outsider = tmp_path / "datasets.yaml"
        for name in ("datasets.yaml", "classics.yaml"):
            shutil.copyfile(ROOT / name, tmp_path / name)
        shutil.copyfile(form(ROOT / "datasets.yaml"), form(outsider))
        shutil.copytree(ROOT / "datasets" / "tinydigits", tmp_path / "datasets" / "tinydigits")

        assert generated.declared(outsider, "tinydigits") is None
        assert imported_by_first_get(outsider, tmp_path / "home") >= VALIDATING

    def test_a_name_that_it_does_not_have(self, clone: Path) -> None:
        """The error is the manifest's own, with its guess."""
        with pytest.raises(UnknownName, match="did you mean 'tinydigits'"):
            get("tinydigit", manifest=clone)


class TestIncluded:
    """An included file of the package has a form of its own, which is read only for what it declares."""

    @pytest.fixture
    def both(self, clone: Path) -> Path:
        """The manifest of TinyDigits, which includes another with a data set of every kind."""
        clone.with_name("classics.yaml").write_text(json.dumps({"version": 1, "datasets": {"all-kinds": ALL_KINDS}}))
        clone.write_text("include: [classics.yaml]\n" + clone.read_text(encoding="utf-8"), encoding="utf-8")
        assert result("compile").count("written") == 2
        return clone

    def test_it_is_what_the_yaml_declares(self, both: Path) -> None:
        """Asked for through the file that includes it, and by itself."""
        classics = both.with_name("classics.yaml")

        assert generated.declared(both, "all-kinds") == load_manifest(both).declared("all-kinds")
        assert generated.declared(both, "all-kinds").included_by.keys() == {str(both)}  # type: ignore[union-attr]
        assert generated.declared(classics, "all-kinds") == load_manifest(classics).declared("all-kinds")
        assert list(generated.every(both)) == ["tinydigits", "all-kinds"]

    def test_the_first_files_data_sets_do_without_it(self, both: Path) -> None:
        """A first get of one of them reads nothing of the sixty others."""
        form(both.with_name("classics.yaml")).write_bytes(b"")

        assert generated.declared(both, "tinydigits") == load_manifest(both).declared("tinydigits")
        assert generated.declared(both, "all-kinds") is None
        assert generated.every(both) == {}

    @pytest.mark.parametrize("changed", ["datasets.yaml", "classics.yaml"])
    def test_a_changed_byte_of_either(self, both: Path, changed: str) -> None:
        """The YAML counts."""
        path = both.with_name(changed)
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")

        assert generated.declared(both, "all-kinds") is None

    def test_another_file_of_that_name(self, both: Path) -> None:
        """Compiled by itself, and not what the first was compiled with."""
        classics = both.with_name("classics.yaml")
        classics.write_text(json.dumps({"version": 1, "datasets": {"others": ALL_KINDS}}))
        form(classics).write_bytes(generated.format_compiled(load_manifest(classics)))

        assert generated.declared(both, "others") is None
        assert generated.declared(classics, "others") is not None

    def test_an_audit_watches_both(self, both: Path) -> None:
        """A planted one is an error, at the file that it is of."""
        change(form(both.with_name("classics.yaml")), '"train"', '"other"')
        report = audit(["tinydigits"], manifest=both, levels=["manifest"])

        compiled = [(f.rule, f.where) for f in report.findings if f.rule.startswith("compiled")]
        assert compiled == [("compiled", "classics.yaml:1")]


class TestWhoWatchesIt:
    """It decides nothing that an audit would not see."""

    def test_a_planted_one_is_an_error_of_the_audit(self, clone: Path) -> None:
        """One that counts, and says something else than the manifest."""
        change(form(clone), '"test"', '"train"')
        report = audit(["tinydigits"], manifest=clone, levels=["manifest"])

        assert [str(finding) for finding in report.findings if finding.rule == "compiled"] == [
            "datasets.yaml:1: its compiled form is not what the manifest says\n"
            "  Run `tinytorch-datasets compile`, or delete it."
        ]
        assert report.exit_code == 1

    def test_a_stale_one_is_a_warning(self, clone: Path) -> None:
        """It only saves nothing any more."""
        clone.write_text(clone.read_text(encoding="utf-8") + "# \n", encoding="utf-8")
        report = audit(["tinydigits"], manifest=clone, levels=["manifest"])

        assert [(f.rule, f.severity) for f in report.findings if f.rule.startswith("compiled")] == [
            ("compiled-stale", "warning")
        ]
        assert report.exit_code == 0

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
    def test_one_that_cannot_be_read_is_a_warning(self, clone: Path) -> None:
        """As a pipe, which would be waited for: `get` goes past it, and reads the manifest."""
        form(clone).unlink()
        os.mkfifo(form(clone))
        report = audit(["tinydigits"], manifest=clone, levels=["manifest"])

        assert [(f.what, f.severity) for f in report.findings if f.rule.startswith("compiled")] == [
            ("its compiled form cannot be read: it is no regular file", "warning")
        ]

    def test_none_is_no_finding(self, clone: Path) -> None:
        """Nobody must compile."""
        form(clone).unlink()
        report = audit(["tinydigits"], manifest=clone, levels=["manifest"])

        assert not [finding for finding in report.findings if finding.rule.startswith("compiled")]


class TestTheCommand:
    """`compile` writes it, `--check` compares, and what writes a manifest keeps it in step."""

    def test_check_reports_what_differs_and_what_to_do(self, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Exit 1, and nothing is written."""
        monkeypatch.chdir(clone.parent)
        clone.write_text(clone.read_text(encoding="utf-8") + "# \n", encoding="utf-8")
        before = form(clone).read_bytes()
        done = CliRunner().invoke(main, ["compile", "--check"])

        assert (done.exit_code, done.output) == (
            1,
            "error: datasets.compiled.json is not up to date with the manifest\n  Run `tinytorch-datasets compile`.\n",
        )
        assert form(clone).read_bytes() == before
        form(clone).unlink()
        done = CliRunner().invoke(main, ["compile", "--check"])
        assert done.output.startswith("error: datasets.compiled.json does not exist\n")

    def test_add_keeps_it_in_step(self, clone: Path) -> None:
        """What is added can be had at once, without reading YAML."""
        np.savez(clone.parent / "more.npz", images=np.zeros((4, 2, 2), np.uint8), labels=np.array([0, 1, 0, 1]))
        result("add", clone.parent / "more.npz", "--ship", "--manifest", clone)

        assert result("compile", "--check").endswith("up to date\n")
        assert generated.declared(clone, "more") is not None


ALL_KINDS: dict[str, Any] = {
    "title": "All kinds",
    "status": "remote",
    "format": "csv",
    "options": {"delimiter": ";"},
    "license": "CC0-1.0",
    "source": "generated",
    "folder": "kinds",
    "fields": {
        "weight": {"dtype": "float64", "range": [0.5, 3]},
        "age": {"dtype": "int8", "missing": ["", "?"], "missing_value": -1},
        "kind": {"dtype": "int64", "classes": ["rose", "tulip"]},
    },
    "splits": {"train": {"samples": 3, "file": "train.csv"}, "test": {"samples": 2, "file": "test.csv"}},
    "mirrors": ["https://example.org/kinds/"],
    "files": {
        "train.csv": {"bytes": 10, "sha256": "a" * 64, "urls": ["https://example.com/t.csv"]},
        "test.csv": {"bytes": 11, "sha256": "b" * 64, "md5": "c" * 32},
    },
}
