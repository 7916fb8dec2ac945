"""Other users of the computer, and file systems that are mounted for a test; both need root."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

UNKNOWN = 54_321  # a number that no user has


def _may_be_entered(folder: Path) -> bool:
    """Check whether every user may pass a folder and all that are above it."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid")
    or os.geteuid() != 0
    or not shutil.which("setpriv")
    or not shutil.which("unshare")
    or not (_may_be_entered(ROOT) and _may_be_entered(Path(sys.prefix))),
    reason="becoming another user takes root, setpriv, unshare, and a checkout that other users may enter",
)

# Python itself may be below a folder that is root's alone: then only what belongs to Python is shown there.
_BECOME = """
set -e
if [ -n "$CLOSED" ]; then
    mount --bind "$PREFIX" "$ASIDE"; mount -t tmpfs -o mode=755 none "$CLOSED"
    mkdir -p "$PREFIX"; mount --move "$ASIDE" "$PREFIX"
fi
unset CLOSED PREFIX ASIDE
exec setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"
"""


@contextlib.contextmanager
def becoming(uid: int, package: Path = ROOT) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Yield the command that is Python as the user of that number, and the environment it needs, with no other."""
    above = reversed(Path(sys.base_prefix).parents)
    closed = next((part for part in above if not part.stat().st_mode & stat.S_IXOTH), "")
    aside = Path(tempfile.mkdtemp())
    own = {"CLOSED": str(closed), "PREFIX": sys.base_prefix, "ASIDE": str(aside)}
    command = ["unshare", "-m", "bash", "-c", _BECOME, "become", str(uid), sys.executable]
    try:
        yield command, {"PATH": os.environ["PATH"], "PYTHONPATH": str(package), **own}
    finally:
        aside.rmdir()


def as_user(
    uid: int, *arguments: str, package: Path = ROOT, umask: int = 0o022, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with those arguments as the user of that number, with no environment but the one that is given."""
    with becoming(uid, package) as (command, own):
        return subprocess.run(
            [*command, *arguments],
            env={**own, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            umask=umask,
        )


@contextlib.contextmanager
def open_to_all() -> Iterator[Path]:
    """Make a folder that every user may pass, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a file system in memory at a folder, with options as ``size=64k``."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", *(["-o", ",".join(options)] if options else []), "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
