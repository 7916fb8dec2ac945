#!/usr/bin/env python3
"""How many changes of a module do its tests notice? `fuzz/mutate.py MODULE [--output FILE]`, by mutmut.

MODULE is one of those below. The score is that of the changes that some test runs into; the survivors are listed, so
that each gets a test, or a sentence in `fuzz/mutants.json`, which is published, and which this must not fall below.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "fuzz" / "mutants.json"

_RULES_TESTS = [f"tests/manifest/test_{name}.py" for name in ("rules", "manifest", "hostile_manifests", "missing")]

# Without the long ones, which start processes in which nothing is changed, and one that reads the source, in which all
# changes are.
_STORAGE_TESTS = [
    "tests/storage",
    *(f"--ignore=tests/storage/test_{name}.py" for name in ("cache_entry", "planted_arrays", "power_cut")),
    "--ignore=tests/storage/test_writing_past_the_flag.py",
    "--deselect=tests/storage/test_files.py::TestAFileThatAnotherProgramHolds::test_no_other_place_moves_or_removes_a_file",
]

# The files of each module, and the tests that belong to it.
MODULES = {
    "verify": (["verify/arrays.py", "verify/files.py"], ["tests/verify"]),
    "storage": (["storage/*.py"], _STORAGE_TESTS),
    "readers/pickle": (["readers/pickle/*.py"], ["tests/readers/pickle"]),
    "manifest/rules": (["manifest/rules.py"], _RULES_TESTS),
}
# What becomes of a change that a test notices; one that reads other memory may fail a test or end its process.
NOTICED = ("killed", "timeout", "segfault")
# A traceback of pytest's own takes longer to write than most of these tests take to fail.
CONFIG = """
[tool.mutmut]
source_paths = ["tinytorch_datasets"]
only_mutate = {files}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-q", "--tb=native"]
pytest_add_cli_args_test_selection = {tests}
also_copy = {beside}
"""


def copied(folder: Path, module: str) -> None:
    """Copy the repository, with what mutmut is to do in its pyproject.toml."""
    ignored = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", "mutants")
    shutil.copytree(ROOT, folder, ignore=ignored)
    beside = sorted(path.name for path in folder.iterdir() if path.name not in ("pyproject.toml", "tinytorch_datasets"))
    files, tests = MODULES[module]
    named = [f"tinytorch_datasets/{name}" for name in files]
    with (folder / "pyproject.toml").open("a") as out:
        out.write(CONFIG.format(files=json.dumps(named), tests=json.dumps(tests), beside=json.dumps(beside)))


def run(folder: Path, *, jobs: int) -> dict[str, str]:
    """Run mutmut, and return what became of each change, by its name."""
    # Or the first of several runs of tests in one process would remove the folder, in memory, that the others write to.
    files = folder.parent / "files"
    files.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"TMPDIR": str(files)}
    mutmut = [sys.executable, "-m", "mutmut"]
    subprocess.run([*mutmut, "run", "--max-children", str(jobs)], cwd=folder, env=environment, check=False)
    listed = subprocess.run(
        [*mutmut, "results", "--all", "true"], cwd=folder, capture_output=True, text=True, check=True
    )
    return dict(re.findall(r"^\s*(\S+): (.+)$", listed.stdout, re.MULTILINE))


def main() -> None:
    """Change one module, and compare its score with the published one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", choices=MODULES)
    parser.add_argument("--output", type=Path, help="where the score and the survivors are written, as JSON")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copied(Path(folder) / "copy", asked.module)
        results = run(Path(folder) / "copy", jobs=asked.jobs)
    counts = Counter(results.values())
    killed = sum(counts[result] for result in NOTICED)
    score = round(100 * killed / max(1, len(results)), 1)
    survivors = sorted(name for name, result in results.items() if result not in NOTICED)
    if asked.output:
        found = {"changes": len(results), "noticed": killed, "score": score, "survivors": survivors}
        asked.output.write_text(json.dumps({asked.module: found}, indent=2) + "\n")
    print(f"{asked.module}: {killed} of {len(results)} changes noticed, {score} %", *survivors, sep="\n  ")
    published = json.loads(PUBLISHED.read_text()).get(asked.module, {}).get("score", 0)
    if score < published:
        sys.exit(f"published are {published} %")


if __name__ == "__main__":
    main()
