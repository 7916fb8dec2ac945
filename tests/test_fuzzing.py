"""The night's fuzzing finds what it is there for."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers.fresh_process import python

COMMAND = [sys.executable, "fuzz/run", "--seconds", "600", "--keep"]
NIGHT = ROOT / ".github" / "workflows" / "night.yml"


@pytest.mark.skipif(not NIGHT.exists(), reason="no workflows: this is an unpacked archive without them")
def test_every_target_has_ten_minutes_each_night() -> None:
    """By the command that the next test runs, and with the corpora of earlier nights."""
    text = NIGHT.read_text(encoding="utf-8")
    listing = "import runpy, sys; sys.argv[:] = ['fuzz/run', '--list']; runpy.run_path('fuzz/run', run_name='__main__')"
    known = python("-c", listing, cwd=ROOT)

    assert known.returncode == 0, known.stderr
    assert "python fuzz/run --seconds 600 --keep corpora ${{ matrix.target }}" in text
    assert f"target: [{', '.join(known.stdout.split())}]" in text
    assert "restore-keys: corpora-${{ matrix.target }}-" in text


def test_every_change_that_no_test_notices_has_a_reason() -> None:
    """Where the score of a module is published it is at least 90 %, and what survives is explained."""
    published = json.loads((ROOT / "fuzz" / "mutants.json").read_text(encoding="utf-8"))

    assert "verify" in published
    for module in published.values():
        assert module["score"] == round(100 * module["noticed"] / module["changes"], 1) >= 90
        assert sum(one["changes"] for one in module["survivors"]) == module["changes"] - module["noticed"]
        assert all(one["why"].endswith(".") for one in module["survivors"])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris, of the extra `fuzz`")
def test_a_planted_crash_is_found(tmp_path: Path) -> None:
    """In a reader of a copy: one kind of number, which no seed has."""
    for name in ("tinytorch_datasets", "fuzz", "datasets"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    reader = tmp_path / "tinytorch_datasets" / "formats" / "idx.py"
    planted = "    if code == 0x0B:\n        raise RuntimeError(code)\n"
    mark = "    shape = struct."
    code = reader.read_text(encoding="utf-8")
    assert code.count(mark) == 1
    reader.write_text(code.replace(mark, planted + mark), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(
        [*COMMAND, "kept", "idx"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 found crash-" in done.stdout
    assert "RuntimeError: 11" in (tmp_path / "kept" / "idx.log").read_text(errors="replace")
