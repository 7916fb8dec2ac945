"""What the tests of `add` and `update` type, and the files that they add."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner, Result

from tinytorch_datasets.cli import main


def add(manifest: Path, *arguments: object) -> Result:
    """`tinytorch-datasets add`, as typed."""
    return CliRunner().invoke(main, ["add", "--manifest", str(manifest), *map(str, arguments)])


def put(folder: Path, **files: bytes | str) -> list[Path]:
    """Files in a folder; `train_csv` is train.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, data in files.items():
        path = folder / re.sub(r"_(?=[a-z0-9]+$)", ".", name)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        paths.append(path)
    return paths


def update(manifest: Path, *arguments: object) -> Result:
    """`tinytorch-datasets update`, as typed."""
    return CliRunner().invoke(main, ["update", "--manifest", str(manifest), *map(str, arguments)])


def entry(name: str, *files: str, **more: str) -> str:
    """The lines of a data set of two texts that ships; `files` are those below `files:`, as they are to be written."""
    keys = {"title": "T", "status": "shipped", "format": "text", "options": "{unit: document}", **more}
    lines = [f"  {name}:", *(f"    {key}: {value}" for key, value in keys.items())]
    lines += ["    license: CC0-1.0", "    source: https://example.org", "    fields: {text: {dtype: str}}"]
    lines += [
        "    splits:",
        "      train: {samples: 1, file: a.txt}",
        "      test: {samples: 1, file: b.txt}",
        "    files:",
    ]
    return "\n".join([*lines, *(f"      {line}" for file in files for line in file.split("\n")), ""])
