"""Litter: the files that systems, editors and programs leave beside data.

They are in folders, in archives and in mirrors, and no one put them there on purpose: what looks for data passes over
them. A file that is declared by its name is never litter to whoever reads the declaration.
"""

from __future__ import annotations

import re

# In lower case: disks of macOS and Windows do not tell letter cases apart.
_NAMES = frozenset(
    (
        # macOS
        *("__macosx", ".ds_store", ".appledouble", ".localized", "icon\r", ".spotlight-v100", ".trashes", ".fseventsd"),
        ".temporaryitems",
        # Windows
        *("desktop.ini", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "$recycle.bin", "system volume information"),
        # Linux desktops
        *(".directory", "lost+found"),
        # version control, editors, notebooks, Python
        *(".git", ".gitattributes", ".gitignore", ".gitkeep", ".hg", ".svn", ".idea", ".vscode", ".ipynb_checkpoints"),
        *("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
    )
)

# AppleDouble files, backups and locks of editors and office programs, the trash of Linux, files that NFS still holds.
_PATTERN = re.compile(
    r"\._.*|.+~|(?:eh)?thumbs\.db:encryptable|\.fuse_hidden.*|#.*#|\.#.*|~\$.*|\.~lock\..*#|\..*\.sw[a-p]|\.trash-\d+|\.nfs[0-9a-f]{8,}|.*\.py[co]",
    re.DOTALL,
)


def is_litter(path: str) -> bool:
    """Check whether a path, with forward slashes, is of litter, or of a file in a folder of litter.

    >>> [is_litter(path) for path in ("__MACOSX/a/._b.npy", "a/Thumbs.db", "train.csv~", "a/train.csv", "./_b.npy")]
    [True, True, True, False, False]
    """
    parts = path.casefold().split("/")
    return any(part in _NAMES or _PATTERN.fullmatch(part) is not None for part in parts)
