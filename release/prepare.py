#!/usr/bin/env python3
"""Prepare a release: `python release/prepare.py VERSION` sets the version wherever it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent


def prepare(root: Path, version: str, day: str) -> None:
    """Set the version and its day in `_version.py`, in the changelog and in the citation."""
    code = root / "tinytorch_datasets" / "_version.py"
    code.write_text(re.sub(r'^VERSION = "[^"]*"', f'VERSION = "{version}"', code.read_text(), flags=re.MULTILINE))
    log = root / "CHANGELOG.md"
    text = log.read_text(encoding="utf-8")
    if f"\n## {version} " not in text:
        text = text.replace("\n## Unreleased\n", f"\n## Unreleased\n\n## {version} ({day})\n", 1)
    log.write_text(text, encoding="utf-8")
    cff = root / "CITATION.cff"
    cited = re.sub(r"^version: .*$", f"version: {version}", cff.read_text(), flags=re.MULTILINE)
    cff.write_text(re.sub(r"^date-released: .*$", f"date-released: {day}", cited, flags=re.MULTILINE))


def main() -> None:
    """Prepare the version that is named, as of today."""
    if len(sys.argv) != 2 or str(Version(sys.argv[1])) != sys.argv[1]:
        sys.exit(__doc__)
    prepare(ROOT, sys.argv[1], f"{datetime.now(tz=timezone.utc):%Y-%m-%d}")
    subprocess.run([sys.executable, "-m", "tinytorch_datasets", "compile"], cwd=ROOT, check=True)
    print(f"read `git diff`, commit it, and tag it v{sys.argv[1]}")


if __name__ == "__main__":
    main()
