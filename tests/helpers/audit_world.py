"""A small world to audit: two shipped data sets, one downloaded, in one manifest that says everything of them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from tests.helpers.faulty_server import FaultyServer, serve
from tests.helpers.format_writers import idx, table
from tinytorch_datasets import get
from tinytorch_datasets.cli import main

MANIFEST = """\
version: 1
download_to: home
shipped_in: datasets
shipped_budget_bytes: 6_000

datasets:
  flowers:
    title: Flowers
    status: shipped
    format: csv
    options: {columns: {labels: kind}}
    license: CC0-1.0
    source: https://example.org/flowers
    used_by: [use.py]
    fields:
      features: {dtype: float32, shape: [2], range: [0, 40]}
      labels: {dtype: int64, classes: [rose, tulip]}
    splits:
      train: {samples: 20, file: train.csv}
      test: {samples: 10, file: test.csv}
    checks:
      duplicates: {within: 0, across: 0}
      balance: 1
      constant: 0
    files:
%(flowers)s
  talk:
    title: Talk
    status: shipped
    format: text
    options: {unit: lines}
    license: CC0-1.0
    source: https://example.org/talk
    used_by: [use.py]
    fields:
      lines: {dtype: str}
    splits:
      train: {samples: 3, file: talk.txt}
    checks:
      empty: 0
    files:
%(talk)s
  digits:
    title: Digits
    status: remote
    format: idx
    license: CC0-1.0
    source: https://example.org/digits
    used_by: [use.py]
    fields:
      images: {dtype: uint8, shape: [4, 4], range: [0, 255], sha256: {test: %(sum)s}}
      labels: {dtype: int64, classes: ["0", "1", "2"]}
    splits:
      train: {samples: 12, images: train-images, labels: train-labels}
      test: {samples: 6, images: test-images, labels: test-labels}
    mirrors:
      - %(mirror)s
      - https://mirror.invalid/digits/
    files:
%(digits)s
"""


@dataclass
class World:
    """The folder of a manifest and its data, and what can be done to it."""

    root: Path

    @property
    def manifest(self) -> Path:
        """The manifest's path."""
        return self.root / "datasets.yaml"

    def file(self, name: str) -> Path:
        """A data set's file: "flowers/train.csv", "digits/train-images"."""
        shipped = self.root / "datasets" / name
        return shipped if shipped.exists() else self.root / "home" / name

    def edit(self, old: str, new: str) -> None:
        """Change the manifest's text in the one place that says so."""
        text = self.manifest.read_text()
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        self.manifest.write_text(text.replace(old, new))

    def put(self, name: str, data: bytes) -> None:
        """Change a file, and declare it as it is now: the manifest is right, its contents are new."""
        path = self.file(name)
        before = path.read_bytes()
        path.write_bytes(data)
        text = self.manifest.read_text().replace(_sha256(before), _sha256(data))
        text = re.sub(rf"({path.name}: {{bytes: )\d+", rf"\g<1>{len(data)}", text)
        self.manifest.write_text(text)

    def flip(self, path: Path, at: int = -3) -> None:
        """Flip one bit of one byte; the file keeps its size."""
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    def array(self, name: str) -> Path:
        """A decoded array in the cache."""
        found: Path = next((self.root / "home" / ".cache" / "arrays").rglob(name))
        return found

    def line(self, words: str) -> int:
        """The manifest's line that has these words, the first."""
        return next(i for i, line in enumerate(self.manifest.read_text().splitlines(), 1) if words in line)

    def audit(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """`tinytorch-datasets audit --json`: its exit code, and what it printed."""
        result = CliRunner().invoke(main, ["audit", "--manifest", str(self.manifest), "--json", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, json.loads(result.stdout)


def flowers(first: int, count: int) -> bytes:
    """Rows of a table; every row is another."""
    rows = [[i / 2, i / 4 + 21, ("rose", "tulip")[i % 2]] for i in range(first, first + count)]
    return table([["length", "width", "kind"], *rows]).encode()


def images(first: int, count: int) -> np.ndarray:
    """Images of which each is another, and none is of one value."""
    return (
        np.arange(count * 16).reshape(count, 4, 4) % 16 + 3 * np.arange(first, first + count)[:, None, None]
    ).astype("u1")


def build(root: Path, mirror: str = "https://mirror.invalid/") -> World:
    """The world as it is meant to be, downloaded and decoded."""
    files = {
        "datasets/flowers/train.csv": flowers(0, 20),
        "datasets/flowers/test.csv": flowers(20, 10),
        "datasets/talk/talk.txt": b"Hello!\nHow are you?\nGoodbye.\n",
        "home/digits/train-images": idx(images(0, 12)),
        "home/digits/train-labels": idx((np.arange(12) % 3).astype("u1")),
        "home/digits/test-images": idx(images(12, 6)),
        "home/digits/test-labels": idx((np.arange(6) % 3).astype("u1")),
        "use.py": b"",
    }
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    def facts(folder: str) -> str:
        named = {name.rpartition("/")[2]: data for name, data in files.items() if f"/{folder}/" in name}
        lines = [f"      {n}: {{bytes: {len(d)}, sha256: {_sha256(d)}}}" for n, d in named.items()]
        return "\n".join(lines)

    # Worked out as docs/manifest.md says, and not by the package.
    values = _sha256(b"uint8 6x4x4\n" + images(12, 6).tobytes())
    names = {name: facts(name) for name in ("flowers", "talk", "digits")}
    world = World(root)
    world.manifest.write_text(MANIFEST % {**names, "mirror": mirror, "sum": values})
    for name in names:
        get(name, manifest=world.manifest, offline=True)
    return world


def copied(world: World, to: Path) -> World:
    """A world of one's own to damage. Arrays are decoded anew where paths differ."""
    shutil.copytree(world.root, to, dirs_exist_ok=True)
    return World(to)


def mirrored(world: World, server: FaultyServer, acts: dict[str, Callable[..., Any]] | None = None) -> None:
    """Serve the downloads, and declare that server as the one mirror. `acts` misbehave, by file name."""
    for path in (world.root / "home" / "digits").iterdir():
        act = (acts or {}).get(path.name) or serve(path.read_bytes())
        server.at(f"/digits/{path.name}", act)
    world.edit("https://mirror.invalid/\n", f"{server.url}/digits/\n")
    world.edit("      - https://mirror.invalid/digits/\n", "")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
