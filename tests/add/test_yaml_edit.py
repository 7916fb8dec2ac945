"""Whatever style the manifest is written in: what was intended changes, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import yaml
from ruamel.yaml import YAML

import tinytorch_datasets
from tests.helpers.add_world import add, entry, put, update
from tests.helpers.faulty_server import FaultyServer, serve, sha256
from tests.helpers.format_writers import npz
from tinytorch_datasets import get, load_manifest
from tinytorch_datasets.add import yaml_edit
from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml

A, B, NEW = b"one\n", b"two\n", b"three\n"


def declaration(data: bytes) -> str:
    """What an entry says of a file."""
    return f"bytes: {len(data)}, sha256: {sha256(data)}"


def loaded(folder: Path, text: str, **data: bytes) -> Path:
    """A manifest of these entries, each of which has its a.txt and b.txt."""
    path = folder / "own" / "datasets.yaml"
    path.parent.mkdir()
    path.write_text(f"version: 1\ndatasets:\n{text}")
    for name in data or {"x": b""}:
        put(path.parent / "datasets" / name, a_txt=A, b_txt=data.get(name) or B)
    return path


def values(path: Path) -> Any:
    """All that the manifest says."""
    return yaml.safe_load(path.read_bytes())


class TestAnchorsAndAliases:
    """They stay what they are, and no value is changed that is another's, too."""

    def test_an_entry_that_ends_in_an_alias(self, tmp_path: Path) -> None:
        """The new one comes after it: an alias stands where it is written, and not where its anchor does."""
        path = loaded(tmp_path, entry("x", f"a.txt: &f {{{declaration(A)}}}", "b.txt: *f"), x=A)
        before = path.read_text()
        result = add(path, *put(tmp_path / "made", train_txt="new\n", test_txt="newer\n"), "--ship", "--name", "y")

        assert result.exit_code == 0, result.output
        assert path.read_text().startswith(f'{before}\n  "y":\n')
        assert list(values(path)["datasets"]["x"]["files"]) == ["a.txt", "b.txt"]

    def test_an_alias_is_not_changed_in_its_anchors_place(self, tmp_path: Path) -> None:
        """`update y` would change what x says of its file."""
        one, other = (
            entry("x", f"a.txt: &f {{{declaration(A)}}}", f"b.txt: {{{declaration(B)}}}"),
            entry("y", "a.txt: *f", "b.txt: *g"),
        )
        text = one.replace("b.txt: {", "b.txt: &g {") + other
        path = loaded(tmp_path, text, x=B, y=NEW)
        result = update(path, "y")

        assert (result.exit_code, result.stderr) == (
            2,
            "error: y.files.b.txt.bytes cannot be changed alone: y.files.b.txt is an alias, *g\n"
            f"  declared at datasets.yaml:{load_manifest(path).where('y', 'files', 'b.txt').partition(':')[2]}\n"
            "  Write out each of the values that share it, without & and *; nothing was changed.\n",
        )
        assert path.read_text() == f"version: 1\ndatasets:\n{text}"

    def test_what_has_an_anchor_is_not_changed_either(self, tmp_path: Path) -> None:
        """Whoever says *h elsewhere would say something else; without its &h he would say nothing."""
        files = f"a.txt: {{bytes: 4, sha256: &h {sha256(A)}}}\nb.txt: {{bytes: 4, sha256: *h}}"
        path = loaded(tmp_path, entry("x", files), x=A)
        put(path.parent / "datasets" / "x", a_txt=b"eno\n", b_txt=b"eno\n")
        before = path.read_text()
        result = update(path, "x")

        assert (result.exit_code, result.stderr.splitlines()[0]) == (
            2,
            "error: x.files.a.txt.sha256 cannot be changed alone: x.files.a.txt.sha256 has an anchor, &h",
        )
        assert path.read_text() == before

    def test_what_stands_beside_an_alias_is_changed(self, tmp_path: Path) -> None:
        """Only a value's own way to it counts."""
        text = entry("x", f"a.txt: {{{declaration(A)}}}", f"b.txt: {{{declaration(B)}}}", title="&t T") + entry(
            "y", f"a.txt: {{{declaration(A)}}}", f"b.txt: {{{declaration(B)}}}", title="*t"
        )
        path = loaded(tmp_path, text, x=B, y=NEW)
        result = update(path, "y")

        assert result.exit_code == 0, result.output
        assert path.read_text().count(sha256(NEW)) == 1
        assert get("y", manifest=path, offline=True).test.text[0] == "three\n"


@pytest.mark.parametrize(
    ("style", "then"),
    [
        (">-\n      {}\n", "{}\n"),
        ("| # folded by an editor\n      {}\n", "{} # folded by an editor\n"),
        ("'{}'\n", "'{}'\n"),
        ("{} # as published\n", "{} # as published\n"),
    ],
)
def test_a_hash_in_any_style_is_replaced(style: str, then: str) -> None:
    """Line for line, with the comment behind it."""
    old, new = sha256(A), sha256(B)
    text = f"file:\n    sha256: {style.format(old)}    md5: no\n"

    parsed = ParsedYaml(text, Path("datasets.yaml"))
    edit = yaml_edit.with_values(parsed, {("file", "sha256"): new})
    assert yaml_edit.read_back(parsed, edit).text == f"file:\n    sha256: {then.format(new)}    md5: no\n"


def test_nothing_is_written_that_says_something_else() -> None:
    """Where the new entry would change another one (here by an alias of the whole block), it is refused."""
    text = "version: 1\ndatasets: &all\n  x: {}\nagain: *all\n"
    parsed = ParsedYaml(text, Path("datasets.yaml"))
    entry = yaml_edit.Entry("y", {"title": "T"}, ["y:", "  title: T"], [])
    with pytest.raises(DatasetError) as caught:
        yaml_edit.read_back(parsed, yaml_edit.with_entry(parsed, entry), entry)

    assert str(caught.value) == (
        "the manifest is written in a style in which this cannot be changed without changing something else\n"
        "  declared at datasets.yaml:2\n"
        "  Nothing was written: write it in plain YAML blocks, or make the change by hand."
    )


class TestReadings:
    """The manifest is read once, and what is written in its place once, to prove that it says what it shall."""

    def test_add(self, tmp_path: Path) -> None:
        """With an entry there already, and of an archive of arrays."""
        path = loaded(tmp_path, entry("x", f"a.txt: {{{declaration(A)}}}", f"b.txt: {{{declaration(B)}}}"), x=B)
        (made,) = put(tmp_path / "made", all_npz=npz(images=np.zeros((3, 2), np.uint8), labels=np.arange(3)))

        with counted_readings() as readings:
            result = add(path, made, "--ship", "--name", "mine")

        assert result.exit_code == 0, result.output
        assert len(readings) == 2

    def test_update(self, tmp_path: Path) -> None:
        """Of a file with other bytes, and another number of samples."""
        path = loaded(
            tmp_path,
            entry("x", f"a.txt: {{{declaration(A)}}}", f"b.txt: {{{declaration(B)}}}", options="{unit: lines}"),
            x=B,
        )
        (path.parent / "datasets" / "x" / "a.txt").write_bytes(A + B)

        with counted_readings() as readings:
            result = update(path, "x")

        assert result.exit_code == 0, result.output
        assert "samples: 1 -> 2" in result.output
        assert len(readings) == 2


@contextmanager
def counted_readings() -> Iterator[list[str]]:
    """The name of the parser, for each text that PyYAML begins to parse."""
    loaders = {vars(yaml)[name].__init__.__code__: name for name in vars(yaml) if name.endswith("Loader")}
    readings: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in loaders:
            readings.append(loaders[frame.f_code])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield readings
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("command", ["add", "update"])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "version: 1\ndatasets: {} # f\xfcr\n".encode("latin-1"),
            "datasets.yaml:2: is not UTF-8 text: column 17 has the byte 0xfc; save it as UTF-8",
        ),
        ("version: 1\ndatasets: {}\n".encode("utf-16"), "datasets.yaml:1: is UTF-16 text; save it as UTF-8"),
        (b"version: 1\ndatasets: *all\n", "datasets.yaml:2: the alias *all stands before (or inside) what it names"),
    ],
)
def test_a_manifest_that_cannot_be_read(tmp_path: Path, command: str, text: bytes, problem: str) -> None:
    """It is reported as everywhere, and stays as it is."""
    path = tmp_path / "datasets.yaml"
    path.write_bytes(text)
    files = put(tmp_path / "made", train_txt="new\n")
    result = add(path, *files, "--ship") if command == "add" else update(path, "x")

    assert (result.exit_code, result.stderr, path.read_bytes()) == (
        2,
        f"error: {problem}\n1 problem in {path}. Nothing was downloaded.\n",
        text,
    )


@pytest.mark.parametrize(
    "nothing", ["null", "~", "{ }", "{\n}", "null # none yet", "\n  {} # none yet", "\n  # none yet"]
)
def test_no_data_sets_in_any_style(tmp_path: Path, nothing: str) -> None:
    """The first one takes the place of nothing; what is behind it stays."""
    path = tmp_path / "datasets.yaml"
    path.write_text(f"version: 1\ndatasets: {nothing}\nshipped_in: own\n")
    result = add(path, *put(tmp_path / "made", train_txt="new\n"), "--ship", "--name", "x")

    assert result.exit_code == 0, result.output
    assert (list(values(path)), list(values(path)["datasets"])) == (["version", "datasets", "shipped_in"], ["x"])
    assert path.read_text().count("# none yet") == nothing.count("# none yet")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# mine\nversion: 1\ndatasets: &d {}\n", 3),
        ("# mine\n{version: 1,\n datasets: {}}\n", 3),
    ],
)
def test_a_style_that_has_no_place_for_one(tmp_path: Path, text: str, line: int) -> None:
    """Its line is one that the file has."""
    path = tmp_path / "datasets.yaml"
    path.write_text(text)
    result = add(path, *put(tmp_path / "made", train_txt="new\n"), "--ship")

    assert (result.exit_code, result.stderr, path.read_text()) == (
        1,
        "error: the manifest has no block of data sets, one below the other, to add one to\n"
        f"  declared at datasets.yaml:{line}\n"
        "  Write `datasets:` on a line of its own, and each data set below it.\n",
        text,
    )


def test_a_manifest_behind_a_link(tmp_path: Path) -> None:
    """The link stays one, and the file keeps its mode; as an editor would have it."""
    path = loaded(tmp_path, entry("x", f"a.txt: {{{declaration(A)}}}", f"b.txt: {{{declaration(B)}}}"), x=B)
    kept = path.rename(tmp_path / "kept.yaml")
    kept.chmod(0o640)
    path.symlink_to(kept)
    result = add(path, *put(tmp_path / "made", train_txt="new\n"), "--ship", "--name", "y")

    assert result.exit_code == 0, result.output
    assert (path.is_symlink(), stat.S_IMODE(kept.stat().st_mode)) == (True, 0o640)
    assert list(values(kept)["datasets"]) == ["x", "y"]


def test_a_file_that_two_entries_share(tmp_path: Path) -> None:
    """It is one file, so both say the same of it: what `update` changes in one, it changes in the other, and shows."""
    declared = f"a.txt: {{{declaration(A)}}}", f"b.txt: {{{declaration(B)}}}"
    path = loaded(tmp_path, entry("x", *declared) + entry("y", *declared, folder="x"), x=NEW)
    result = update(path, "x")

    lines = {name: load_manifest(path).where(name, "files", "b.txt") for name in "xy"}
    assert (result.exit_code, result.stdout.splitlines(), result.stderr) == (
        0,
        [
            f"{lines[name]}: {name}.files.b.txt.{key}: {before} -> {after}"
            for name in "xy"
            for key, before, after in (("bytes", 4, 6), ("sha256", sha256(B), sha256(NEW)))
        ],
        "y shares a file: `tinytorch-datasets update y` refreshes its digests and samples\n",
    )
    assert get("y", manifest=path, offline=True).test.text[0] == "three\n"
    assert update(path, "y").stdout == "y: nothing changed\n"


TEXTS = ["y", "n", "N", "No", "on", "~", "null", "NaN", ".5", "1_0", "0x1F", "0o17", "1e3", "12:30", "2020-01-01", "=",
         "<<", "?", "- a", "a: b", "a #b", "*a", "&a", "!a", "%a", "@a", "`a", "{a", "[a", "a, b", "a]", "'a'", '"a"',
         "https://example.org/a?b=c", "https://example.org:8080/a,b", "https://example.org/a#b", "", " a", "a ", "...",
         "---", "a\tb", "setosa", "Iris (1936)", "train/x.csv", "é", "\u2028", "\u200b", "a\\b"]  # fmt: skip


class TestEveryReaderTakesIt:
    """What is written is the same text to readers of YAML 1.1 and of YAML 1.2, in blocks and between brackets."""

    @pytest.mark.parametrize("text", TEXTS)
    def test_by_readers_of_both_versions(self, text: str) -> None:
        """PyYAML reads YAML 1.1, ruamel.yaml reads 1.2: as a key, a value, and within both kinds of brackets."""
        one = yaml_edit.scalar(text)
        for written, wanted in {
            f"{one}: 1": {text: 1},
            f"k: {one}": {"k": text},
            f"k: [{one}, b]": {"k": [text, "b"]},
            f"k: {{{one}: a}}": {"k": {text: "a"}},
            f"- {one}": [text],
        }.items():
            assert yaml.safe_load(written) == wanted
            assert YAML(typ="safe", pure=True).load(written) == wanted

    def test_quoted_texts_are_json(self) -> None:
        """Which is a part of YAML that no reader takes otherwise."""
        assert [json.loads(yaml_edit.quoted(text)) for text in TEXTS] == TEXTS

    def test_an_address_with_a_query(self, tmp_path: Path) -> None:
        """Between brackets some readers take its ? for the sign of a key, and its colon for the end of one."""
        data = b"x,kind\n1,a\n2,b\n"
        with FaultyServer() as server:
            url = server.at("/get?file=mine.csv", serve(data))
            result = add(tmp_path / "datasets.yaml", url, "--name", "mine")

        assert result.exit_code == 0, result.output
        assert f'urls: ["{url}"]\n' in (tmp_path / "datasets.yaml").read_text()


OWN_MANIFEST = "Name a manifest of your own, which is made if it is not there: --manifest datasets.yaml."


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        pytest.param("add", OWN_MANIFEST, marks=pytest.mark.slow),
        pytest.param("update", "Declare a data set of your own, by another name.", marks=pytest.mark.slow),
        ("lock", "Name the file to write: --output datasets.lock."),
    ],
)
def test_an_installed_package_is_not_written_into(tmp_path: Path, command: str, hint: str) -> None:
    """The next installation would undo it, and in the meantime nobody would find it."""
    package = tmp_path / "site-packages" / "tinytorch_datasets"
    root = Path(tinytorch_datasets.__file__).parent
    shutil.copytree(root, package)
    for name in ("datasets.yaml", "classics.yaml"):
        shutil.copyfile(root.parent / name, package / name)
    before = (package / "datasets.yaml").read_bytes()
    (path,) = put(tmp_path / "made", train_txt="new\n")
    arguments = {"add": [str(path), "--ship"], "update": ["mnist"], "lock": ["tinydigits"]}[command]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent), "HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-m", "tinytorch_datasets", command, *arguments],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (result.returncode, result.stderr) == (
        2,
        f"error: {package}/datasets.yaml is part of the installed package, which is not written to\n  {hint}\n",
    )
    assert (package / "datasets.yaml").read_bytes() == before
    assert not (package / "datasets.lock").exists()
    assert not (package / "datasets").exists()


def test_a_long_list_takes_as_few_lines_as_there_is_room_for(manifest: Path, tmp_path: Path) -> None:
    """Two hundred names of columns are no two hundred lines; YAML reads the same, and `update` still edits it."""
    names = [f"pixel {i}" for i in range(200)]
    rows = [[(i * j) % 256 for j in range(200)] + [i % 3] for i in range(30)]
    table = "\n".join([",".join([*names, "label"]), *(",".join(map(str, row)) for row in rows)]) + "\n"
    assert add(manifest, *put(tmp_path / "made", all_csv=table), "--ship", "--name", "mine").exit_code == 0
    entry = yaml.safe_load(manifest.read_text())["datasets"]["mine"]

    assert entry["fields"]["features"]["names"] == names
    assert max(map(len, manifest.read_text().splitlines())) <= 120
    assert manifest.read_text().count("pixel") == 200
    path = manifest.parent / "datasets" / "mine" / "all.csv"
    path.write_text(table + table.splitlines()[-1] + "\n")
    assert update(manifest, "mine").exit_code == 0
    changed = yaml.safe_load(manifest.read_text())["datasets"]["mine"]
    assert changed["splits"]["train"]["samples"] == 31
    assert changed["fields"]["features"]["names"] == names
