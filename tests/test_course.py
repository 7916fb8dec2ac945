"""A course's repository: its manifest on top of a department's, on top of the packaged one, by every way to use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.auditing.test_audit_in_ci import committed, hooks, run
from tests.conftest import ROOT
from tests.manifest.test_include import write

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]

CHANGED = b"x,y\n0.5,a\n2.5,b\n"


@pytest.fixture
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder that the package is imported from: this one; or a copy, as a fresh clone or as its wheel has it."""
    layout = getattr(request, "param", None)
    if layout is None:
        return ROOT
    wheel = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("force-include]")[2].partition("\n[")[0]
    targets = {"tinytorch_datasets": "tinytorch_datasets"}
    targets |= dict(re.findall(r'^"([^"]+)" = "([^"]+)"', wheel, re.MULTILINE))
    root: Path = tmp_path / str(layout)
    for source, target in targets.items():
        copied = root / (target if layout == "site-packages" else source)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, copied, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, copied)
    return root


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Somebody's repository: a course's folder, with one for each week, and what its department shares."""
    root = tmp_path / "theirs"
    write(root / "shared" / "department.yaml", "theirs", include="packaged")
    write(root / "course" / "datasets.yaml", "ours", include="../shared/department.yaml")
    (root / "course" / "week1").mkdir()
    committed(root)
    return root


@pytest.fixture
def tool(package: Path, tmp_path: Path) -> Path:
    """The command, as a script that runs that package, in a folder for PATH."""
    bin_ = tmp_path / "temp" / "tinytorch-datasets" / "bin"
    bin_.mkdir(parents=True)
    script = bin_ / "tinytorch-datasets"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{package}" exec "{sys.executable}" -m tinytorch_datasets "$@"\n')
    script.chmod(0o755)
    return bin_


@pytest.fixture
def command(tool: Path, repository: Path, tmp_path: Path) -> Command:
    """Run something as a student of that course would, who has set nothing."""

    def at(folder: Path, *arguments: str | Path, **variables: str) -> Done:
        unset = {name: "" for name in os.environ if name.startswith("TINYTORCH_DATASETS_")}
        own = {"HOME": str(tmp_path / "user"), "XDG_CACHE_HOME": str(tmp_path / "user" / "cache")}
        own |= {"PYTHONDONTWRITEBYTECODE": "1", "PATH": f"{tool}{os.pathsep}{os.environ['PATH']}"}
        environment = {**os.environ, **unset, **own, **variables}
        given = [str(argument) for argument in arguments]
        return subprocess.run(given, cwd=folder, capture_output=True, text=True, env=environment, check=False)

    return at


def written_in(folder: Path) -> dict[str, int]:
    """Every file below a folder, with when it was last written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("package", ["clone", "site-packages"], indirect=True)
def test_each_command_does_what_its_user_expects(package: Path, repository: Path, command: Command) -> None:
    """In a week's folder: everything is there, checked and locked, and nothing is written where it does not belong."""
    is_installed = package.name == "site-packages"
    before = written_in(package) if is_installed else {}
    here = repository / "course" / "week1"

    listed = command(here, "tinytorch-datasets", "list", "--json")
    got = command(here, "tinytorch-datasets", "get", "ours", "theirs", "tinydigits")
    locked = command(here, "tinytorch-datasets", "lock", "ours", "theirs", "tinydigits")
    audited = command(here, "tinytorch-datasets", "audit", "ours", "theirs", "tinydigits", "--lock")

    names = [dataset["name"] for dataset in json.loads(listed.stdout)]
    assert names[:4] == ["ours", "theirs", "tinydigits", "tinytalks"], listed.stderr
    assert [done.returncode for done in (listed, got, locked, audited)] == [0] * 4, audited.stdout + audited.stderr
    assert got.stdout.splitlines()[0] == f"ours: train 2; {repository / 'course' / 'datasets' / 'ours'}"
    assert json.loads((repository / "course" / "datasets.lock").read_text())["datasets"].keys() >= {"theirs"}
    assert re.search(r"\nEverything checked matches .*/course/datasets.yaml[.;]", audited.stdout)
    status = run("git", "status", "--short", cwd=repository).stdout
    assert status == "?? course/datasets.lock\n", "downloads and arrays are in folders that git is told to ignore"
    for refused in ("lock", "compile", "update tinydigits", "audit --remember", "add x.csv"):
        if is_installed:
            done = command(repository, "tinytorch-datasets", *refused.split())
            assert (done.returncode, "is part of the installed package" in done.stderr) == (2, True), done
    in_course = command(here, "tinytorch-datasets", "update", "tinydigits").stderr
    assert ("Declare a data set of your own" if is_installed else "Update it there") in in_course
    assert not is_installed or written_in(package) == before


@pytest.mark.slow
def test_what_differs_is_named_in_its_own_file(repository: Path, command: Command) -> None:
    """With a command that mends it from where one stands: it names the manifest that declares it."""
    here = repository / "course" / "week1"
    (repository / "shared" / "datasets" / "theirs" / "points.csv").write_bytes(CHANGED)

    audited = command(here, "tinytorch-datasets", "audit", "theirs", "--json")
    (finding,) = json.loads(audited.stdout)["findings"]
    to_type = re.search(r"`tinytorch-datasets (update [^`]*)`", finding["hint"])
    assert to_type is not None
    updated = command(here, "tinytorch-datasets", *to_type[1].split())

    assert (audited.returncode, finding["where"]) == (1, "../shared/department.yaml:17")
    assert updated.returncode == 0, updated.stderr
    assert command(here, "tinytorch-datasets", "audit", "theirs").returncode == 0


@pytest.mark.slow
def test_the_action_annotates_both_files(repository: Path, command: Command, tmp_path: Path) -> None:
    """Its script, as a runner would run it from the checkout: relative paths of the manifest that declares each."""
    for place in ("shared/datasets/theirs", "course/datasets/ours"):
        (repository / place / "points.csv").write_bytes(CHANGED)
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    (step,) = action["runs"]["steps"]
    values = {name: about["default"] for name, about in action["inputs"].items()}
    values |= {"manifest": "course/datasets.yaml", "names": "ours theirs tinydigits", "sarif": "audit.sarif"}
    variables = {"HERE": str(ROOT), "RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_WORKSPACE": str(repository)}
    variables |= {"GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    for variable, value in step["env"].items():
        if name := re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value):
            variables[variable] = values[name[1]]

    done = command(repository, "bash", "--norc", "-eo", "pipefail", "-c", step["run"], **variables)

    log: Any = json.loads((repository / "audit.sarif").read_text())
    places = [result["locations"][0]["physicalLocation"] for result in log["runs"][0]["results"]]
    files = ["course/datasets.yaml", "shared/department.yaml"]
    assert done.returncode == 1, done.stderr
    assert re.findall(r"::error file=([^,]+),line=17", done.stdout) == files
    assert [place["artifactLocation"]["uri"] for place in places] == files


@pytest.mark.slow
def test_the_hooks_look_where_the_configuration_says(repository: Path, command: Command, tmp_path: Path) -> None:
    """For a manifest in a folder: its path as an argument, and the files that make the hook run."""
    offered = hooks(tmp_path, language="system")
    hook = {"id": "tinytorch-datasets-audit", "args": ["--manifest", "course/datasets.yaml", "ours", "theirs"]}
    config = {
        "repos": [{"repo": str(offered), "rev": committed(offered), "hooks": [{**hook, "files": "^(course|shared)/"}]}]
    }
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    committed(repository)
    pre_commit = (Path(sys.executable).parent / "pre-commit", "run", "--color=never")
    variables = {"PRE_COMMIT_HOME": str(tmp_path / "hooks-cache"), "GIT_CONFIG_GLOBAL": os.devnull}

    well = command(repository, *pre_commit, "--all-files", **variables)
    (repository / "shared" / "datasets" / "theirs" / "points.csv").write_bytes(CHANGED)
    run("git", "add", "-A", cwd=repository)
    differs = command(repository, *pre_commit, **variables)

    assert (well.returncode, differs.returncode) == (0, 1), well.stdout + well.stderr
    assert "shared/department.yaml:17: theirs: " in differs.stdout, differs.stdout
