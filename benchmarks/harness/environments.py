"""Virtual environments, one for each contestant.

In a virtual environment of its own with nothing in it but what its script asks for, made once and kept. This package
is installed anew at every run, as the wheel that anyone would get, so that what runs is what is in the checkout.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from harness.entrants import PACKAGE, Entrant

ROOT = Path(__file__).resolve().parent.parent.parent


class CannotRun(Exception):
    """The contestant's environment cannot be had here; the message says why."""


def python_of(environment: Path) -> Path:
    """The interpreter of an environment."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def made(entrant: Entrant, folder: Path) -> Path:
    """The contestant's environment, made now unless it is there.

    Raises:
        CannotRun: A requirement cannot be installed, or cannot be imported.
    """
    wanted = sorted(entrant.requirements)
    name = hashlib.sha256(json.dumps([wanted, sys.version]).encode()).hexdigest()[:12]
    environment = folder / f"{'-'.join(wanted)[:40].replace('/', '-')}-{name}"
    if not (environment / "ready").exists():
        shutil.rmtree(environment, ignore_errors=True)
        venv.create(environment, with_pip=True)
        _install(environment, [ROOT if need == PACKAGE else need for need in wanted])
        (environment / "ready").touch()
    return environment


def refresh(environment: Path) -> None:
    """Install the checkout as it is now over the one that is there, without looking at its requirements again."""
    _install(environment, ["--force-reinstall", "--no-deps", ROOT])


def versions(environment: Path) -> dict[str, str]:
    """What is installed, by name."""
    listed = subprocess.run(
        [python_of(environment), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {each["name"].lower(): each["version"] for each in json.loads(listed.stdout)}


def _install(environment: Path, what: list[str | Path]) -> None:
    # Compiled as they are installed: otherwise whoever runs first pays for it.
    command = [python_of(environment), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--compile", *what]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        msg = (errors or done.stderr.splitlines() or ["pip failed"])[-1].removeprefix("ERROR: ")
        raise CannotRun(msg)


# The command refuses to write into an installed package, which is right of it.
COMPILE = """
from pathlib import Path
from tinytorch_datasets import settings
from tinytorch_datasets.pipeline import manifests
for path, compiled in manifests.compiled(Path(settings.packaged_manifest())).items():
    path.write_bytes(compiled)
"""


def declare(environment: Path, manifest: Path) -> None:
    """Put a manifest in the place of the one that the package in an environment came with, and compile it."""
    # Isolated: in a folder that has the package, Python would take that one, and it is not ours to change.
    python = [python_of(environment), "-I"]
    find = "from tinytorch_datasets import settings; print(settings.packaged_manifest())"
    place = subprocess.run([*python, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    if environment.resolve() not in Path(place).resolve().parents:
        msg = f"the package is not in its environment, but at {place}"
        raise CannotRun(msg)
    shutil.copyfile(manifest, place)
    subprocess.run([*python, "-c", COMPILE], check=True, capture_output=True)
