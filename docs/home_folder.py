"""A drawing of a home folder, made from a real one, for docs/design.md."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import flowers

import tinytorch_datasets
from tinytorch_datasets.manifest import filenames

# What a path below the home folder is; the first pattern that fits.
NOTES = {
    r"flowers": "a data set's downloads",
    r"flowers/.*": "a file, here under its name once its sha256 is right",
    r"\.cache": "what can be made anew",
    r"\.cache/arrays": "decoded arrays",
    r"\.cache/arrays/[^/]*": "named by what it was made from",
    r"\.cache/arrays/.*/digests\.json": "sha256 of the values of each array, and stat signatures",
    r"\.cache/arrays/.*\.npy": "one field of one split",
    r"\.cache/entries": "cache entries",
    r"\.cache/entries/.*": "what a warm `get` opens, and the stat signatures of that",
    r"\.cache/locks": "locks between processes, empty files that stay",
    r"\.cache/locks/[^/]*--.*\.lock": "held while that file is fetched",
    r"\.cache/locks/.*\.lock": "held while that folder is written",
}
BESIDE = {
    ".part": "The bytes that have come so far; the next fetch resumes them.",
    ".part.json": "The mirror that gave them, and its validator (`ETag`).",
}


def make(folder: Path) -> Path:
    """Get one data set that ships and one from a folder mirror; return the home folder that they are in."""
    mirror, home = folder / "usb", folder / "home"
    (mirror / "flowers").mkdir(parents=True)
    (mirror / "flowers" / "flowers.csv").write_bytes(flowers.ROWS)
    manifest = folder / "datasets.yaml"
    manifest.write_text(flowers.manifest(), encoding="utf-8")
    tinytorch_datasets.get("flowers", manifest=manifest, home=home, mirror=str(mirror), progress=lambda *_: None)
    tinytorch_datasets.get("tinydigits", home=home)
    return home


def lines(folder: Path, home: Path, depth: int = 1) -> list[str]:
    """Draw a folder, a line for each file and folder in it, each with its note."""
    drawn = []
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        name = path.relative_to(home).as_posix()
        note = next(note for pattern, note in NOTES.items() if re.fullmatch(pattern, name))
        # The digits of a cache entry come from two paths, and here both are in a temporary folder.
        shown = "  " * depth + re.sub(r"-[0-9a-f]{8}(?=\.json$)", "-4f1d2c3b", path.name) + "/" * path.is_dir()
        drawn.append(f"{shown:42} {note}")
        if path.is_dir():
            drawn += lines(path, home, depth + 1)
    return drawn


def draw() -> str:
    """Draw the home folder, and make the table of what is beside a file that is being fetched, as Markdown."""
    with tempfile.TemporaryDirectory() as scratch:
        home = make(Path(scratch))
        drawn = ["```", "home/", *lines(home, home), "```"]
    drawn += ["", "While a file is fetched, and after that was interrupted, there are beside it:", ""]
    drawn += ["| name | what it is |", "|---|---|"]
    return "\n".join([*drawn, *(f"| `flowers.csv{suffix}` | {BESIDE[suffix]} |" for suffix in filenames.BESIDE)])
