"""`init` and `config`: a first manifest, and what is in force."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.conftest import ROOT
from tinytorch_datasets import get, load_manifest
from tinytorch_datasets.cli import main, project
from tinytorch_datasets.settings import packaged_manifest


def run(*arguments: str) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that somebody is in."""
    monkeypatch.delenv("TINYTORCH_DATASETS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestInit:
    """A first manifest is whole, and in force at once."""

    def test_it_has_what_is_packaged(self, folder: Path) -> None:
        """Nothing is fetched for that."""
        done = run("init")

        assert done.exit_code == 0
        assert (
            done.stdout == f"{folder}/datasets.yaml: written; `get` and every command use it in this folder and below\n"
        )
        assert list(load_manifest().datasets)[:4] == ["tinydigits", "tinytalks", "mnist", "cifar10"]
        assert load_manifest().path == folder / "datasets.yaml"

    def test_the_schema_lies_where_its_first_line_says(self, folder: Path) -> None:
        """For editors that complete and check it."""
        run("init")
        line = (folder / "datasets.yaml").read_text().splitlines()[0]

        assert (
            json.loads((folder / line.partition("$schema=")[2]).read_text())["title"]
            == "datasets.yaml of tinytorch-datasets"
        )

    def test_its_example_is_a_data_set(self, folder: Path) -> None:
        """Without its comment signs, as a person would use it."""
        run("init")
        text = (folder / "datasets.yaml").read_text()
        head, _, example = text.partition("datasets: {}")
        (folder / "datasets.yaml").write_text(f"{head}datasets:" + example.replace("\n#", "\n"))
        (folder / "datasets" / "flowers").mkdir(parents=True)
        (folder / "datasets" / "flowers" / "flowers.csv").write_bytes(project.FLOWERS)

        assert yaml.safe_load((folder / "datasets.yaml").read_text())["datasets"].keys() == {"flowers"}
        assert get("flowers").train.features.tolist() == [[1.5, 0.5], [2.0, 0.25]]
        assert get("flowers").train.labels.tolist() == [0, 1]

    def test_add_writes_into_it(self, folder: Path) -> None:
        """And not into the installed package."""
        run("init")
        (folder / "flowers.csv").write_bytes(project.FLOWERS)
        done = run(
            "add", "flowers.csv", "--ship", "--target", "kind", "--title", "x", "--license", "x", "--source", "x"
        )

        assert done.exit_code == 0, done.output
        assert get("flowers").train.labels.tolist() == [0, 1]
        assert "flowers:" in (folder / "datasets.yaml").read_text()

    def test_what_is_there_stays(self, folder: Path) -> None:
        """It may be somebody's work."""
        (folder / "datasets.yaml").write_text("version: 1\ndatasets: {}\n")
        done = run("init", str(folder))

        assert done.exit_code == 2
        assert done.stderr == (
            f"error: {folder}/datasets.yaml is there already\n  `tinytorch-datasets add FILES` adds a data set to it.\n"
        )
        assert (folder / "datasets.yaml").read_text() == "version: 1\ndatasets: {}\n"

    def test_nor_is_another_programs_schema_replaced(self, folder: Path) -> None:
        """Its name is not ours alone; an older one of ours is brought up to date."""
        (folder / "datasets.schema.json").write_text('{"title": "theirs"}')
        done = run("init")

        assert done.exit_code == 2
        assert done.stderr == (
            f"error: {folder}/datasets.schema.json is there already, and is no schema of a manifest\n"
            "  Name another folder, or give that file another name.\n"
        )
        assert not (folder / "datasets.yaml").exists()
        (folder / "datasets.schema.json").write_text('{"title": "datasets.yaml of tinytorch-datasets"}')
        assert run("init").exit_code == 0

    @pytest.mark.skipif(os.name == "nt", reason="rights of folders are others there")
    def test_where_it_is_not_in_force(self, folder: Path) -> None:
        """In a folder that every user may write to, nobody's manifest is found."""
        (folder / "shared").mkdir()
        (folder / "shared").chmod(0o777)
        done = run("init", "shared/../shared")

        assert done.stdout == (
            f"{folder}/shared/datasets.yaml: written; to be named by --manifest or TINYTORCH_DATASETS_MANIFEST, "
            "because every user may write to its folder\n"
        )

    def test_into_an_installed_package(self, folder: Path) -> None:
        """The next installation would undo it."""
        done = run("init", str(folder / "site-packages" / "coursekit"))

        assert (done.exit_code, done.stderr) == (
            2,
            f"error: {folder}/site-packages/coursekit/datasets.yaml is part of the installed package, "
            "which is not written to\n  Name a folder of your own: tinytorch-datasets init FOLDER.\n",
        )
        assert not (folder / "site-packages").exists()


class TestAdd:
    """It writes into the one file."""

    def test_a_name_of_an_included_manifest(self, folder: Path) -> None:
        """Which is not to be updated from here."""
        run("init")
        (folder / "points.csv").write_bytes(project.FLOWERS)
        done = run("add", "points.csv", "--ship", "--target", "kind", "--name", "tinydigits")

        assert done.exit_code == 2
        assert done.stderr.splitlines()[0] == (
            f"error: tinydigits is declared already, in {packaged_manifest()}, which {folder}/datasets.yaml includes"
        )
        assert "update" not in done.stderr


class TestConfig:
    """What is in force, each with why."""

    def test_of_a_folder_with_a_manifest(self, folder: Path) -> None:
        """Its layers have folders of their own."""
        run("init")
        facts = [(fact["name"], fact["value"]) for fact in json.loads(run("config", "--json").stdout)]
        clone = Path(packaged_manifest()).parent

        assert facts == [
            ("manifest", f"{folder}/datasets.yaml"),
            ("includes", packaged_manifest()),
            ("includes", f"{clone}/classics.yaml"),
            ("downloads", f"{folder}/downloaded-datasets"),
            ("downloads", f"{clone}/milestones/datasets"),
            ("shipped", f"{clone}/datasets"),
            ("mirror", "none"),
            ("offline", "no"),
        ]

    def test_variables_and_options(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One home is for all layers."""
        monkeypatch.setenv("TINYTORCH_DATASETS_MANIFEST", packaged_manifest())
        monkeypatch.setenv("TINYTORCH_DATASETS_OFFLINE", "1")
        done = run("config", "--home", str(folder / "usb"))

        lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
        assert lines[0] == ["manifest", packaged_manifest(), "by TINYTORCH_DATASETS_MANIFEST"]
        assert ["downloads", f"{folder}/usb", "by --home"] in lines
        assert ["offline", "yes", "by TINYTORCH_DATASETS_OFFLINE"] in lines
        assert ["mirror", "none", "TINYTORCH_DATASETS_MIRROR is not set"] in lines

    def test_columns_stand_apart_whatever_is_listed(self, folder: Path) -> None:
        """What is kept of audits has a longer name than all that is always there."""
        assert run("audit", "tinydigits").exit_code == 0
        facts = [(fact["name"], fact["value"], fact["why"]) for fact in json.loads(run("config", "--json").stdout)]
        lines = run("config").stdout.splitlines()

        longest = max(len(name) for name, _, _ in facts)
        assert "kept reports" in [name for name, _, _ in facts]
        for line, (name, value, why) in zip(lines, facts, strict=True):
            assert line.startswith(f"{name:<{longest}} {value}")
            assert line.endswith(f"  {why}" if why else str(value))

    @pytest.mark.skipif(os.name == "nt", reason="rights of folders are others there")
    def test_files_that_are_not_taken(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A person who put one there sees why it is not in force."""
        run("init")
        (folder / "shared" / "images").mkdir(parents=True)
        (folder / "shared" / "datasets.yaml").write_text("version: 1\n")
        (folder / "shared").chmod(0o777)
        (folder / "shared" / "images" / "datasets.yaml").write_text("train: images/train\n")
        monkeypatch.chdir(folder / "shared" / "images")

        facts = [(fact["name"], fact["value"], fact["why"]) for fact in json.loads(run("config", "--json").stdout)]
        assert facts[:3] == [
            ("manifest", f"{folder}/datasets.yaml", "in this folder, or the nearest one above it that has one"),
            (
                "not taken",
                f"{folder}/shared/images/datasets.yaml",
                "it has neither version nor include, and no mapping of datasets",
            ),
            ("not taken", f"{folder}/shared/datasets.yaml", "every user may write to its folder"),
        ]


class TestCompletion:
    """One command installs it, and reports each file; done again, it changes nothing."""

    @pytest.mark.parametrize("program", ["tinytorch-datasets", "ttds"])
    def test_bash_completes(self, program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a new bash that reads its start-up file, by either name: as if Tab was typed behind `get tinyd`."""
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        (folder / ".bashrc").write_text("alias ll='ls -l'")
        script = folder / ".local" / "share" / "tinytorch-datasets" / "completion.bash"

        done, again = run("completion", "bash", "--install"), run("completion", "bash", "--install")

        assert done.stdout == f"{script}: written\n{folder}/.bashrc: got the line `source {script}`\n"
        assert again.stdout == (f"{script}: is as it should be\n{folder}/.bashrc: has the line that reads it already\n")
        assert (folder / ".bashrc").read_text() == f"alias ll='ls -l'\nsource {script}\n"
        (folder / "bin").mkdir()
        (folder / "bin" / program).write_text(
            f'#!{sys.executable}\nimport sys\nfrom tinytorch_datasets.cli import main\nmain(prog_name="{program}")\n'
        )
        (folder / "bin" / program).chmod(0o755)
        typed = f"""
            source ~/.bashrc
            COMP_WORDS=({program} get tinyd) COMP_CWORD=2
            $(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/') {program}
            echo "${{COMPREPLY[@]}}"
        """
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
        bash = subprocess.run(["bash", "-c", typed], env=environment, capture_output=True, text=True, check=False)

        assert (bash.stdout, bash.stderr) == ("tinydigits\n", "")

    def test_zsh_and_fish(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where each of them looks; fish needs no line anywhere."""
        for variable, below in (("ZDOTDIR", "zsh"), ("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data")):
            monkeypatch.setenv(variable, str(folder / below))
        (folder / "zsh").mkdir()

        zsh, fish = (json.loads(run("completion", shell, "--install", "--json").stdout) for shell in ("zsh", "fish"))

        assert [file["path"] for file in zsh["files"]] == [
            f"{folder}/data/tinytorch-datasets/completion.zsh",
            f"{folder}/zsh/.zshrc",
        ]
        assert "compdef _ttds_completion ttds" in Path(zsh["files"][0]["path"]).read_text()
        assert [file["path"] for file in fish["files"]] == [
            f"{folder}/config/fish/completions/tinytorch-datasets.fish",
            f"{folder}/config/fish/completions/ttds.fish",
        ]

    def test_it_is_printed_for_the_shell_in_use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By SHELL; another shell than the three is asked for."""
        monkeypatch.setenv("SHELL", "/usr/bin/fish")
        assert "complete --no-files --command ttds" in run("completion").stdout
        monkeypatch.setenv("SHELL", "/bin/tcsh")
        done = run("completion")

        assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, "Error: name the shell: bash, zsh, fish")


def test_init_and_compile_report_to_programs(folder: Path) -> None:
    """What was written, and where."""
    written = json.loads(run("init", "--json").stdout)
    compiled = json.loads(run("compile", "--check", "--json").stdout)

    assert written == {"path": f"{folder}/datasets.yaml", "schema": f"{folder}/datasets.schema.json", "in_force": True}
    assert compiled == [
        {"path": str(ROOT / f"{name}.compiled.json"), "state": "up to date"} for name in ("datasets", "classics")
    ]
