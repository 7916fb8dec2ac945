#!/usr/bin/env python3
"""Set the owner of the repository, everywhere: `python release/set_owner.py NAME`.

`release/owner` is the one place that says it; every other file has it in an address, which is written anew from here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){0,38}")
# What stands behind the owner's name, wherever it is part of an address.
REPOSITORY = "tinytorch-datasets"


def files(root: Path) -> list[Path]:
    """The texts of the repository that have an address of it; of an unpacked archive, those of the whole folder."""
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout.split()
    paths = [root / name for name in listed] or [path for path in root.rglob("*") if path.is_file()]
    return [
        path for path in paths if path.suffix in (".md", ".yml", ".yaml", ".toml", ".cff", ".json") and path.is_file()
    ]


def set_owner(root: Path, new: str) -> list[Path]:
    """Write the name into all of them, and into the package's homepage; return which were changed."""
    old = (root / "release" / "owner").read_text().strip()
    mention = re.compile(rf"(?<![\w-]){re.escape(old)}/{REPOSITORY}\b")
    explained = re.compile(
        rf"(; |^)`{re.escape(old)}` stands for the owner of the repository that [^.\n]*\.(\n?)", re.M
    )
    changed = []
    for path in files(root):
        text = path.read_text(encoding="utf-8")
        # What a placeholder stands for is of no more use, be it a line of its own or the end of one.
        written = explained.sub(lambda found: "." + found[2] if found[1] else "", text)
        written = mention.sub(f"{new}/{REPOSITORY}", written)
        if written != text:
            path.write_text(written, encoding="utf-8")
            changed.append(path)
    version = root / "tinytorch_datasets" / "_version.py"
    homepage = f'HOMEPAGE = "https://github.com/{new}/{REPOSITORY}"'
    version.write_text(re.sub(r'^HOMEPAGE = "[^"]*"', homepage, version.read_text(), flags=re.MULTILINE))
    (root / "release" / "owner").write_text(f"{new}\n")
    return [*changed, version]


def main() -> None:
    """Set the owner that is named."""
    if len(sys.argv) != 2 or not NAME.fullmatch(sys.argv[1]):
        sys.exit(__doc__)
    for path in set_owner(ROOT, sys.argv[1]):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
