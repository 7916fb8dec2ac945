"""The table of public data sets in formats.md: what each is declared with, from the entries that the tests load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "formats" / "known_datasets"

_DESCRIBES = ("title", "description", "format", "options", "fields", "splits")
# What every entry has, or what says no more than the name of a file.
_PLAIN = {"title", "description", "format", "options", "fields", "splits", "dtype", "shape", "samples", "file", "key"}


def entries() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield each entry, with where it is written, below the root, and its name; the packaged manifests' first."""
    for file in ("datasets.yaml", "classics.yaml"):
        for name, entry in yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["datasets"].items():
            yield file, name, {key: entry[key] for key in _DESCRIBES if key in entry}
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.stem != "not_declared":
            for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
                yield path.relative_to(ROOT).as_posix(), name, entry


def not_declared() -> dict[str, str]:
    """Return why each data set that no entry can declare has none."""
    return dict(yaml.safe_load((FOLDER / "not_declared.yaml").read_text(encoding="utf-8")))


def keys(entry: Mapping[str, Any]) -> list[str]:
    """Return the keys that an entry uses, options last."""
    found = dict[str, None]()
    options = dict[str, None]()
    bodies = [*entry["fields"].values(), *entry["splits"].values()]
    bodies += [place for split in entry["splits"].values() for place in split.values() if isinstance(place, dict)]
    bodies += [body["join"] for body in bodies if "join" in body]
    for body in [entry, *bodies]:
        options |= dict.fromkeys(body.get("options") or ())
        if None in (body.get("shape") or ()):
            found["null in a shape"] = None
        found |= {key: None for key in body if key not in _PLAIN and key not in entry["fields"] and key != "sha256"}
    return [*found, *options]


def table() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| data set | what it is | format | keys and options |"
    yield "|---|---|---|---|"
    for path, name, entry in sorted(entries(), key=lambda item: item[1]):
        what = " ".join(part for part in (f"{entry['title']}.", entry.get("description")) if part)
        places = [place for split in entry["splits"].values() for place in split.values() if isinstance(place, dict)]
        forms = dict.fromkeys([entry["format"], *(place["format"] for place in places if "format" in place)])
        shown = ", ".join(f"[{form}](#{form})" for form in forms)
        used = ", ".join(f"`{key}`" for key in keys(entry))
        yield f"| [{name}](../{path}) | {what} | {shown} | {used} |"
