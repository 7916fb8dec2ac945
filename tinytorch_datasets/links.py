"""Where would a symbolic link lead what is written to the cache?"""

from __future__ import annotations

from pathlib import Path

FOLDER = ".cache"
KINDS = ("arrays", "stamps", "receipts", "locks")


def planted(folder: Path) -> Path | None:
    """The symbolic link at or above a folder of ours, up to the cache itself; None where there is none.

    Above the cache links are welcome: that is how people move their data to another disk.
    """
    below = [folder, *folder.parents]
    ours = next((i for i, part in enumerate(below) if i and part.name == FOLDER and below[i - 1].name in KINDS), -1)
    return next((part for part in below[: ours + 1] if part.is_symlink()), None)
