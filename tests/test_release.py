"""Releases: what is refused, what is set in one place, and what the workflows run."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tinytorch_datasets._version import VERSION

OWNER = (ROOT / "release" / "owner").read_text().strip()


def script(name: str) -> Any:
    """A script of the folder release/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "release" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the scripts read and write."""
    for name in ("CHANGELOG.md", "CITATION.cff", "SECURITY.md", "README.md", "pyproject.toml", "docs", "release"):
        source = ROOT / name
        if source.is_dir():  # without what Python leaves beside the modules that write the docs
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    (tmp_path / "tinytorch_datasets").mkdir()
    shutil.copy(ROOT / "tinytorch_datasets" / "_version.py", tmp_path / "tinytorch_datasets")
    return tmp_path


def replaced(path: Path, old: str, new: str) -> None:
    """Replace what stands once in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


class TestARefusal:
    """What keeps a commit from being released is said at once, before anything is built."""

    def test_this_commit_could_be_tried(self) -> None:
        """A dry run of what has no tag needs lines for what is unreleased."""
        assert script("run").check(ROOT, [], publish=False) == []

    def test_the_changelog_needs_a_section(self, copy: Path) -> None:
        """Of the version, once there is a tag; an empty one is none."""
        check = script("run").check
        tag = f"v{VERSION}"
        missing = [f"CHANGELOG.md has no section for {VERSION} with a line in it"]

        assert check(copy, [tag], publish=False) == missing
        replaced(copy / "CHANGELOG.md", "## Unreleased\n", f"## Unreleased\n\n## {VERSION} (2026-11-30)\n\n## 0.0.1\n")
        assert check(copy, [tag], publish=False) == missing
        replaced(copy / "CHANGELOG.md", f"## {VERSION} (2026-11-30)\n", f"## {VERSION} (2026-11-30)\n\n- First.\n")
        assert check(copy, [tag], publish=False) == []

    def test_the_tag_names_the_version(self, copy: Path) -> None:
        """Each tag of the commit does, and a release has one."""
        check = script("run").check

        assert check(copy, ["v9.9"], publish=False)[0] == f"the tag v9.9 is not v{VERSION}, the version in _version.py"
        assert check(copy, [], publish=True)[0] == "no tag names this version"

    def test_the_citation_has_the_version(self, copy: Path) -> None:
        """It is what people cite."""
        replaced(copy / "CITATION.cff", f"version: {VERSION}", "version: 9.9")

        assert script("run").check(copy, [], publish=False) == [f"CITATION.cff is not of version {VERSION}"]

    def test_the_owner_is_set_before_anything_is_uploaded(self, copy: Path) -> None:
        """A placeholder is nobody's repository."""
        refusal = "the owner is not set: python release/set_owner.py NAME"
        check, set_owner = script("run").check, script("set_owner").set_owner
        set_owner(copy, "OWNER")
        assert refusal in check(copy, [f"v{VERSION}"], publish=True)
        set_owner(copy, "ada")

        assert refusal not in check(copy, [f"v{VERSION}"], publish=True)


def test_a_release_is_prepared_in_one_step(copy: Path) -> None:
    """The version, its day, and a section of what was unreleased."""
    before, title, unreleased = (copy / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n## Unreleased\n")
    script("prepare").prepare(copy, "7.8.9", "2027-01-02")

    assert script("run").check(copy, ["v7.8.9"], publish=False) == []
    prepared = f"{before}{title}\n## 7.8.9 (2027-01-02)\n{unreleased}"
    assert (copy / "CHANGELOG.md").read_text(encoding="utf-8") == prepared
    assert "\ndate-released: 2027-01-02\n" in (copy / "CITATION.cff").read_text()


class TestTheOwner:
    """release/owner is the one place that says whose repository this is."""

    def test_every_address_has_the_one_owner(self) -> None:
        """In whichever file an address of this repository stands."""
        mention = re.compile(r"([\w.-]+)/tinytorch-datasets\b(?!/bin)")
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
        if not listed:
            pytest.skip("this is no clone, so nothing says which files are of the repository")
        paths = [ROOT / name for name in listed.split() if name.endswith((".md", ".yml", ".yaml", ".toml", ".cff"))]
        owners = {
            owner: path.name
            for path in paths
            for line in path.read_text(encoding="utf-8").splitlines()
            if "github.com/" in line or "uses:" in line or "--repo" in line
            for owner in mention.findall(line)
        }

        assert owners.keys() == {OWNER}, owners

    def test_it_is_set_everywhere_at_once(self, copy: Path) -> None:
        """No file keeps the old one, and the program's homepage is written too."""
        changed = script("set_owner").set_owner(copy, "ada-l")

        assert {path.name for path in changed} >= {
            "pyproject.toml",
            "README.md",
            "SECURITY.md",
            "CITATION.cff",
            "ci.md",
        }
        texts = {path.name: path.read_text(encoding="utf-8") for path in copy.rglob("*.*")}
        assert [name for name, text in texts.items() if f"{OWNER}/tinytorch-datasets" in text] == []
        assert [name for name, text in texts.items() if "stands for the owner" in text] == ["set_owner.py"]
        assert "installs the package and the two small data sets.\n" in (copy / "README.md").read_text(encoding="utf-8")
        code = (copy / "tinytorch_datasets" / "_version.py").read_text()
        assert '\nHOMEPAGE = "https://github.com/ada-l/tinytorch-datasets"' in code
        assert f'\nVERSION = "{VERSION}"\n' in code
        names: dict[str, str] = {}
        exec(code, names)  # what pages of a catalog say of how to install is what README says
        assert names["INSTALL"] == "pip install git+https://github.com/ada-l/tinytorch-datasets"
        assert f"`{names['INSTALL']}`" in (copy / "README.md").read_text(encoding="utf-8")
        assert (copy / "release" / "owner").read_text() == "ada-l\n"


WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), ROOT / "action.yml"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    """A tag can be moved by whoever owns the action; a commit cannot. The tag stands beside it, for people."""
    for line in workflow.read_text(encoding="utf-8").splitlines():
        used = re.match(r"\s*(?:- )?uses: (\S+)(.*)", line)
        if used and not used[1].startswith("./"):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used[1]), line
            assert re.fullmatch(r" # v[\d.]+", used[2]), line


def test_only_the_upload_may_ask_for_an_identity() -> None:
    """No other job of a release can publish or attest, and each has the rights that it names alone."""
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())

    assert release["permissions"] == {"contents": "read"}
    rights = {name: job.get("permissions") for name, job in release["jobs"].items()}
    assert rights == {
        "build": None,
        "tests": None,
        "attest": {"contents": "read", "id-token": "write", "attestations": "write"},
        "upload": {"id-token": "write"},
    }
    assert release["jobs"]["upload"]["environment"] == "pypi"
    assert "password" not in str(release)


def test_the_citation_is_one() -> None:
    """Of version 1.2.0 of the Citation File Format, with every key that it must have."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["cff-version"] == "1.2.0"
    assert all(author.keys() == {"name"} for author in cited["authors"])
    assert cited["version"] == VERSION
    assert str(cited["date-released"])[:2] == "20"
