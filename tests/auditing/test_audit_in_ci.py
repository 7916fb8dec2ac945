"""What other people's CI takes from this repository: the pre-commit hooks, the GitHub Action, the workflows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.audit_world import World, copied

BIN = Path(sys.executable).parent


@pytest.fixture
def world(pristine: World, tmp_path: Path) -> World:
    """A world of one's own: somebody's repository."""
    return copied(pristine, tmp_path / "theirs")


def run(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A real process, which finds this environment's tools first."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, **more}
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, env=environment, check=False)


def committed(folder: Path) -> str:
    """Make a folder a git repository with all of it in one commit; the commit."""
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "all")):
        done = run("git", *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    return run("git", "rev-parse", "HEAD", cwd=folder).stdout.strip()


def hooks(tmp_path: Path, *, language: str) -> Path:
    """A repository that offers this one's hooks; "system" takes the package that is installed here."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    (folder / ".pre-commit-hooks.yaml").write_text(text.replace("language: python", f"language: {language}"))
    if language == "python":
        for path in (*ROOT.glob("*.yaml"), *ROOT.glob("*.compiled.json")):
            shutil.copy(path, folder / path.name)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder / name)
        for name in ("tinytorch_datasets", "datasets"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def configured(world: World, hooks: Path) -> None:
    """Somebody's repository, with the hooks in its configuration."""
    config = {
        "repos": [
            {
                "repo": str(hooks),
                "rev": committed(hooks),
                "hooks": [{"id": "tinytorch-datasets-manifest"}, {"id": "tinytorch-datasets-audit"}],
            }
        ]
    }
    (world.root / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (world.root / ".gitignore").write_text("home/\n")
    committed(world.root)


class TestPreCommit:
    """The hooks run through pre-commit, in somebody else's repository."""

    def hooks_pass_and_fail(self, world: World, cache: Path) -> None:
        """Matching data passes; a flipped byte fails the one hook that reads data, with its line."""
        pre_commit = (BIN / "pre-commit", "run", "--all-files", "--color=never", "--verbose")
        well = run(*pre_commit, cwd=world.root, PRE_COMMIT_HOME=str(cache))
        world.flip(world.file("flowers/train.csv"))
        differs = run(*pre_commit, cwd=world.root, PRE_COMMIT_HOME=str(cache))

        assert well.returncode == 0, well.stdout + well.stderr
        assert len(re.findall(r"\.Passed\n", well.stdout)) == 2
        assert (differs.returncode, len(re.findall(r"\.Failed\n", differs.stdout))) == (1, 1)
        assert f"datasets.yaml:{world.line('train.csv: {b')}: flowers: " in differs.stdout
        assert "- exit code: 1" in differs.stdout

    @pytest.mark.slow
    def test_with_the_installed_package(self, world: World, tmp_path: Path) -> None:
        """No network: the hooks as they are, but for the environment that pre-commit would build."""
        configured(world, hooks(tmp_path, language="system"))
        self.hooks_pass_and_fail(world, tmp_path / "cache")

    @pytest.mark.slow
    @pytest.mark.network
    def test_as_it_is(self, world: World, tmp_path: Path) -> None:
        """pre-commit clones, builds the environment from the package index, and runs the hooks."""
        configured(world, hooks(tmp_path, language="python"))
        self.hooks_pass_and_fail(world, tmp_path / "cache")

    def test_their_manifest_is_one(self) -> None:
        """By pre-commit's own check."""
        result = run(BIN / "pre-commit", "validate-manifest", ".pre-commit-hooks.yaml", cwd=ROOT)

        assert (result.returncode, result.stdout) == (0, "")


class TestTheAction:
    """The script of action.yml, run by bash as a runner would: inputs as variables."""

    @pytest.fixture
    def action(self) -> Any:
        """The action's definition."""
        return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))

    def step(self, action: Any, world: World, tmp_path: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the one step, with the defaults for inputs that are not given, in an environment that is there."""
        (tool := tmp_path / "temp" / "tinytorch-datasets" / "bin").mkdir(parents=True, exist_ok=True)
        if not (tool / "tinytorch-datasets").exists():
            (tool / "tinytorch-datasets").symlink_to(BIN / "tinytorch-datasets")
        (only,) = action["runs"]["steps"]
        values = {name: about["default"] for name, about in action["inputs"].items()} | inputs
        variables = {"HERE": str(ROOT)}
        for variable, result in only["env"].items():
            name = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", result)
            variables |= {variable: values[name[1]]} if name else {}
        variables |= {"RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_OUTPUT": str(tmp_path / "output")}
        variables |= {"GITHUB_WORKSPACE": str(world.root), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
        return run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", only["run"], cwd=world.root, **variables)

    def test_all_well(self, action: Any, world: World, tmp_path: Path) -> None:
        """Exit 0, its code as an output, a summary for the run's page."""
        result = self.step(action, world, tmp_path, junit="audit.xml", sarif="audit.sarif")

        assert (result.returncode, (tmp_path / "output").read_text()) == (0, "exit-code=0\n"), result.stderr
        assert (
            (tmp_path / "summary.md")
            .read_text()
            .startswith("## Data sets\n\nEverything checked matches datasets.yaml.\n")
        )
        assert (world.root / "audit.xml").exists()
        assert (world.root / "audit.sarif").exists()

    def test_a_finding_fails_the_step_and_annotates_the_line(self, action: Any, world: World, tmp_path: Path) -> None:
        """The very line of the manifest."""
        world.flip(world.file("talk/talk.txt"))
        result = self.step(action, world, tmp_path)

        assert result.returncode == 1
        assert (
            f"::error file=datasets.yaml,line={world.line('talk.txt: {b')},title=talk%3A file-hash::" in result.stdout
        )

    @pytest.mark.slow
    def test_names_restrict_it(self, action: Any, world: World, tmp_path: Path) -> None:
        """Several, with blanks between them; one with a quote in it is a wrong name and nothing worse."""
        world.flip(world.file("talk/talk.txt"))

        assert self.step(action, world, tmp_path, names="flowers digits").returncode == 0
        assert self.step(action, world, tmp_path, names='"; touch pwned; "').returncode == 2
        assert not (world.root / "pwned").exists()

    def test_a_silent_network_is_forgiven_unless_asked_otherwise(
        self, action: Any, world: World, tmp_path: Path
    ) -> None:
        """Its code is an output all the same."""
        world.edit("https://mirror.invalid/\n", "http://127.0.0.1:9/\n")
        world.edit("      - https://mirror.invalid/digits/\n", "")
        result = self.step(action, world, tmp_path, remote="true")

        assert (result.returncode, (tmp_path / "output").read_text()) == (0, "exit-code=3\n"), result.stdout
        assert self.step(action, world, tmp_path, remote="true", **{"network-fails": "true"}).returncode == 3

    def test_extras_are_installed_beside_it(self, action: Any, world: World, tmp_path: Path) -> None:
        """What reads pictures or Parquet; a step that needs other ones has an environment of its own."""
        asked = tmp_path / "asked"
        pip = f'#!/bin/sh\necho "$@" >> {asked}\nln -s {BIN}/tinytorch-datasets "${{0%/*}}"\n'
        (made := tmp_path / "python").write_text(
            f'#!/bin/sh\nmkdir -p "$3/bin"\ncat > "$3/bin/pip" <<\'END\'\n{pip}END\nchmod +x "$3/bin/pip"\n'
        )
        made.chmod(0o755)
        for extras in ("images,tables", "images,tables", "audio"):
            result = self.step(action, world, tmp_path, python=str(made), extras=extras)
            assert result.returncode == 0, result.stderr
        lines = asked.read_text().splitlines()
        assert [line.split()[-1] for line in lines] == [f"{ROOT}[images,tables]", f"{ROOT}[audio]"]

    def test_every_input_is_used_and_described(self, action: Any) -> None:
        """As a variable of the step; none stands in the script itself."""
        (only,) = action["runs"]["steps"]

        assert {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]} <= set(only["env"].values())
        assert all(about["description"] for about in action["inputs"].values())
        assert "${{" not in only["run"]
        assert all(f"${variable}" in only["run"] or f'"${variable}"' in only["run"] for variable in only["env"])


@pytest.mark.parametrize(
    ("schema", "names"),
    [("github-actions", ["action.yml"]),
     ("github-workflows", [f".github/workflows/{name}.yml" for name in ("tests", "mirrors", "docs")])],
)  # fmt: skip
def test_github_would_take_it(schema: str, names: list[str]) -> None:
    """By the schema that check-jsonschema carries, which names each file that it refuses."""
    if not (BIN / "check-jsonschema").exists():
        pytest.skip("check-jsonschema is not installed: pip install -e '.[dev]'")
    result = run(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *names, cwd=ROOT)

    assert result.returncode == 0, result.stdout


def test_the_workflows_do_what_is_documented() -> None:
    """Tests, the audit of what ships and the documentation site on every push, the mirrors every week."""
    folder = ROOT / ".github" / "workflows"
    tests, mirrors, docs = (
        yaml.safe_load((folder / f"{name}.yml").read_bytes()) for name in ("tests", "mirrors", "docs")
    )
    steps = [step for job in tests["jobs"].values() for step in job["steps"]]

    assert "push" in tests[True], "YAML 1.1 reads `on` as True"
    assert {".ci/run", "./"} <= {step.get("run") or step.get("uses") for step in steps}
    assert "push" in docs[True]
    assert "python -m mkdocs build --strict" in [step.get("run") for step in docs["jobs"]["site"]["steps"]]
    assert mirrors[True]["schedule"][0]["cron"].endswith("* * 1")
    assert mirrors["jobs"]["remote"]["steps"][-1]["with"]["remote"] == "true"
