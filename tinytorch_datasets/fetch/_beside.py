"""What lies beside a file while it comes, and may be left there when a fetch is killed?"""

from __future__ import annotations

import glob
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tinytorch_datasets.file_names import BESIDE, PART

ABANDONED_S = 24 * 60 * 60


def part_beside(target: Path) -> Path:
    """Where the bytes of `target` wait until they are whole."""
    return target.with_name(target.name + PART)


def leftovers(target: Path) -> list[Path]:
    """All that fetches of `target` have left beside it, if they were interrupted."""
    beside = (target.with_name(target.name + suffix) for suffix in BESIDE)
    return [*(path for path in beside if path.exists() or path.is_symlink()), *_lone(target)]


def sweep(target: Path) -> None:
    """Delete the parts that processes without a lock left when they were killed, a day or more ago."""
    for left in _lone(target):
        with suppress(OSError):
            if left.lstat().st_mtime < time.time() - ABANDONED_S:
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _lone(target: Path) -> Iterator[Path]:
    return target.parent.glob(f"{glob.escape(target.name)}.*-*-*{PART}*")
