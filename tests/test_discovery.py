"""Which manifest is in force: the one given, the variable's, the one of this folder or above, the packaged one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers import fresh_process
from tests.manifest.test_include import PACKAGED, write
from tinytorch_datasets import get, list_datasets, load_manifest
from tinytorch_datasets.errors import ManifestError, StorageError
from tinytorch_datasets.settings import chosen_manifest, manifest_path, packaged_manifest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a manifest, and somebody in a folder below it."""
    monkeypatch.delenv("TINYTORCH_DATASETS_HOME", raising=False)
    write(tmp_path / "datasets.yaml", "ours")
    (tmp_path / "week1" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "week1" / "notebooks")
    return tmp_path


class TestOrder:
    """The nearest word counts."""

    def test_a_folder_above(self, project: Path) -> None:
        """As ruff and pytest find their settings."""
        assert chosen_manifest(None) == (str(project / "datasets.yaml"), "found")
        assert list_datasets() == ["ours"]
        assert get("ours").train.y.tolist() == [0, 1]

    def test_the_nearest_one(self, project: Path) -> None:
        """A project inside of a project has its own."""
        write(project / "week1" / "datasets.yaml", "inner")

        assert list_datasets() == ["inner"]

    def test_a_variable_comes_before(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever sets it means it for every folder."""
        monkeypatch.setenv("TINYTORCH_DATASETS_MANIFEST", packaged_manifest())

        assert chosen_manifest(None) == (packaged_manifest(), "variable")
        assert list_datasets() == PACKAGED

    def test_an_argument_comes_first(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before the variable, too."""
        monkeypatch.setenv("TINYTORCH_DATASETS_MANIFEST", packaged_manifest())

        assert list_datasets(manifest=project / "datasets.yaml") == ["ours"]

    def test_nothing_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The packaged one."""
        monkeypatch.chdir(tmp_path)

        assert chosen_manifest(None) == (packaged_manifest(), "packaged")

    def test_the_command_line_finds_the_same(self, project: Path) -> None:
        """From the folder that one stands in."""
        done = fresh_process.python("-m", "tinytorch_datasets", "get", "ours", cwd=Path.cwd())

        assert (done.returncode, done.stdout) == (0, f"ours: train 2; {project}/datasets/ours\n")


class TestWhatIsNone:
    """A file of that name that is no manifest of ours, or may be anybody's, is passed over."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "train: images/train\nval: images/val\nnc: 80\n",
            "- 1\n- 2\n",
            "datasets:\n  - a\n",
            "# version: 1\nservices:\n  version: 1\n",
            "a: {include: 1}\n",
            '{"train": "version: 1"}',
        ],
    )
    def test_another_programs_file(self, project: Path, text: str) -> None:
        """Object detectors call theirs so, for one."""
        (project / "week1" / "datasets.yaml").write_text(text)

        assert list_datasets() == ["ours"]

    @pytest.mark.skipif(os.name == "nt", reason="rights of folders are others there")
    @pytest.mark.parametrize(
        "spelled",
        [
            '{{"version": 1,\n"include": ["packaged"], "download_to": "{}"}}',
            "{{include: [packaged], version: 1, download_to: {}}}",
            '"version": 1\n"include": [packaged]\n"download_to": {}\n',
            "# ours\n\n---\n  version: 1\n  include: [packaged]\n  download_to: {}\n",
            "version : 1\ninclude : [packaged]\ndownload_to : {}\n",
        ],
        ids=["JSON", "braces", "quotes", "indented", "a blank before the colon"],
    )
    def test_however_its_keys_are_written(self, project: Path, spelled: str) -> None:
        """The packaged manifest is not silently taken for it, whose data sets may have the same names."""
        (project / "datasets.yaml").write_text(spelled.format("here"))

        assert manifest_path(None) == str(project / "datasets.yaml")
        assert load_manifest().download_to == "here"

    def test_one_in_utf_16(self, project: Path) -> None:
        """As some editors on Windows write it: reading it says what to do, and no other is taken for it."""
        (project / "datasets.yaml").write_bytes("# ours\nversion: 1\ninclude: [packaged]\n".encode("utf-16"))

        with pytest.raises(ManifestError, match="is UTF-16 text; save it as UTF-8"):
            get("tinydigits")

    def test_a_folder_that_everybody_may_write_to(self, project: Path) -> None:
        """Whoever put it there could give any bytes the name of MNIST."""
        write(project / "week1" / "datasets.yaml", "theirs")
        (project / "week1").chmod(0o1777)

        assert list_datasets() == ["ours"]

    @pytest.mark.skipif(os.name == "nt", reason="rights of files are others there")
    def test_a_file_that_everybody_may_write_to(self, project: Path) -> None:
        """Though nobody else may put one there."""
        write(project / "week1" / "datasets.yaml", "theirs").chmod(0o666)

        assert list_datasets() == ["ours"]

    @pytest.mark.parametrize("kind", ["pipe", "folder"])
    def test_what_is_no_file(self, project: Path, kind: str) -> None:
        """Nobody waits for a pipe that nobody writes to."""
        make = os.mkfifo if kind == "pipe" else os.mkdir
        make(project / "week1" / "datasets.yaml")

        assert list_datasets() == ["ours"]

    def test_a_link_that_leads_nowhere(self, project: Path) -> None:
        """It may be this folder's manifest, on a disk that is not there; another one's data would be wrong."""
        link = project / "week1" / "datasets.yaml"
        link.symlink_to(project / "disk" / "datasets.yaml")

        with pytest.raises(StorageError) as caught:
            get("ours")
        assert str(caught.value) == (
            f"{link} cannot be read (No such file or directory), and may be the manifest of this folder\n"
            "  Name the one to use: manifest=, --manifest or TINYTORCH_DATASETS_MANIFEST."
        )
        assert get("ours", manifest=project / "datasets.yaml").train.y.tolist() == [0, 1]

    @pytest.mark.skipif(os.name == "nt", reason="a folder that somebody is in cannot be removed there")
    def test_a_folder_that_is_gone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """There is none above it that could be known."""
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()

        assert list_datasets() == PACKAGED


class TestDownloads:
    """A stranger's downloads lie beside the manifest, in a folder that says what it is."""

    def test_git_leaves_the_folder_alone(self, project: Path) -> None:
        """Without a word in the project's own .gitignore."""
        get("ours")
        subprocess.run(["git", "init", "-q", str(project)], check=True)
        done = subprocess.run(
            ["git", "-C", str(project), "status", "--porcelain"], capture_output=True, text=True, check=True
        )

        assert sorted(path.name for path in (project / "downloaded-datasets").iterdir()) == [".cache", ".gitignore"]
        assert "downloaded" not in done.stdout

    def test_a_folder_that_is_there_stays_as_it_is(self, project: Path) -> None:
        """It is somebody's own."""
        (project / "downloaded-datasets").mkdir()
        get("ours")

        assert [path.name for path in (project / "downloaded-datasets").iterdir()] == [".cache"]
