"""A data set declared in YAML over files that a test has made, and what `get` returns of it."""

from __future__ import annotations

import hashlib
import textwrap
from pathlib import Path
from typing import Any

from tinytorch_datasets import Dataset, get

HEAD = """
version: 1
datasets:
  made:
    title: Made
    status: shipped
    license: CC0
    source: made here
"""


def declare(folder: Path, entry: str, **files: bytes | str) -> Path:
    """Write files, and the manifest that declares them; the last underscore in a name stands for its dot."""
    (folder / "datasets" / "made").mkdir(parents=True, exist_ok=True)
    lines = ["files:"]
    for keyword, data in files.items():
        name = ".".join(keyword.rsplit("_", 1))
        data = data.encode() if isinstance(data, str) else data
        (folder / "datasets" / "made" / name).write_bytes(data)
        lines.append(f"  {name}: {{bytes: {len(data)}, sha256: {hashlib.sha256(data).hexdigest()}}}")
    body = textwrap.dedent(entry).strip("\n") + "\n" + "\n".join(lines)
    path = folder / "datasets.yaml"
    path.write_text(HEAD + textwrap.indent(body, "    ") + "\n", encoding="utf-8")
    return path


def made(folder: Path, entry: str, **files: bytes | str) -> Dataset:
    """Return what `get` returns of such a data set."""
    return get("made", manifest=declare(folder, entry, **files))


def plain(values: Any) -> Any:
    """Return values as lists, for a comparison that reads well."""
    return values.tolist() if hasattr(values, "tolist") else list(values)
