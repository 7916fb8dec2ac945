"""What the tests of `add` share: a short manifest, because each command reads it several times."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.fixture
def manifest(manifest: Path) -> Path:
    """The repository's manifest, comments and all, with two of its four data sets: one ships, the other does not."""
    text = manifest.read_text(encoding="utf-8")
    head, *entries = re.split(r"(?m)^(?=  \w+:$)", text)
    kept = [entry for entry in entries if entry.startswith(("  tinydigits:", "  mnist:"))]
    assert len(kept) == 2
    manifest.write_text((head + "".join(kept)).rstrip() + "\n", encoding="utf-8")
    return manifest
