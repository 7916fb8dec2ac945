"""Variants of an entry: the same values in another container, as entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinytorch_datasets.errors import Keys, Problems
from tinytorch_datasets.manifest.filenames import folded, mapping

# What a variant says instead of its entry. What stays the same: the fields, their digests, and what is known of them.
OWN = ("format", "options", "splits", "mirrors", "files")
# How a field of the entry is stored is not how it is stored in another container.
_STORED = ("values", "first", "stored", "axes", "stored_shape", "scale")
# Each is checked like an entry, with all its fields. A data set is published in two or three containers.
MOST_VARIANTS = 16


def as_entry(entry: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """Return a variant in plain values as an entry of its own: its container, and the fields that both have.

    >>> as_entry({"format": "idx", "fields": {"x": {"dtype": "uint8", "axes": [1, 0]}}, "splits": {"train": {
    ...     "samples": 2}}}, {"format": "npz", "splits": {"train": {"file": "x.npz"}}, "files": {}})["splits"]
    {'train': {'samples': 2, 'file': 'x.npz'}}
    """
    kept = {key: value for key, value in entry.items() if key not in (*OWN, "variants", "fields")}
    own = {key: variant[key] for key in OWN if key in variant}
    stored, counts = mapping(variant.get("fields")), mapping(entry.get("splits"))
    fields = {
        name: {
            **{key: value for key, value in mapping(field).items() if key not in _STORED},
            **mapping(stored.get(name)),
        }
        for name, field in mapping(entry.get("fields")).items()
    }
    splits = {name: _counted(split, counts.get(name)) for name, split in mapping(variant.get("splits")).items()}
    return {**kept, "fields": fields, **own, "splits": splits}


def _counted(split: Any, declared: Any) -> Any:
    samples = mapping(declared).get("samples")
    return {"samples": samples, **split} if isinstance(split, dict) and samples is not None else split


def is_unpacked(entry: Mapping[str, Any], variant: Mapping[str, Any]) -> bool:
    """Check whether a variant is the entry's archives unpacked: the same members by name, read alike, each a file.

    What is in them is what they are made of: the `sha256` of each says that it is the published one, as that of the
    archive does.
    """
    splits, own = mapping(entry.get("splits")), mapping(variant.get("splits"))
    if variant.get("format") != entry.get("format") or mapping(variant.get("options")) != mapping(entry.get("options")):
        return False
    if mapping(variant.get("fields")) or splits.keys() != own.keys():
        return False
    return all(
        "file" in (there := mapping(split))
        and "file" not in (here := mapping(own[name]))
        and {"samples": there.get("samples"), "file": there["file"], **here} == there
        and mapping(variant.get("files")).keys() >= set(map(str, here.get("members") or ["none"]))
        for name, split in splits.items()
    )


def check_variants(entry: Mapping[str, Any], check: Callable[[dict[str, Any]], Problems]) -> Problems:
    """Yield what is wrong with an entry's variants; `check` yields what is wrong with an entry."""
    fields, splits = mapping(entry.get("fields")), mapping(entry.get("splits"))
    met = {
        folded(str(file)): ("", mapping(declared).get("sha256"))
        for file, declared in mapping(entry.get("files")).items()
    }
    variants = mapping(entry.get("variants"))
    if len(variants) > MOST_VARIANTS:
        yield ("variants",), f"are {len(variants):,}, and the most is {MOST_VARIANTS}"
        return
    digests = {field: mapping(mapping(declared).get("sha256")) for field, declared in fields.items()}
    without = {field: [split for split in splits if split not in known] for field, known in digests.items()}
    for name, variant in variants.items():
        at: Keys = ("variants", name)
        if not isinstance(variant, dict):
            continue
        for field, missing in without.items():
            if missing and not is_unpacked(entry, variant):
                yield at, f"cannot be told from other values: {field} declares no sha256 of {', '.join(missing)}"
        own = mapping(variant.get("splits"))
        if own and (missing := [split for split in splits if split not in own]):
            yield (*at, "splits"), f"has not all splits: {', '.join(missing)}"
        for split in own:
            if split not in splits:
                yield (*at, "splits", split), "no split of that name"
        for field in mapping(variant.get("fields")):
            if field not in fields:
                yield (*at, "fields", field), "no field of that name"
        for file, declared in mapping(variant.get("files")).items():
            other = met.setdefault(folded(str(file)), (name, mapping(declared).get("sha256")))
            if other[1] != mapping(declared).get("sha256"):
                yield (*at, "files", file), f"is another file in {other[0] or 'the entry itself'}; call it otherwise"
        merged = as_entry(entry, variant)
        if is_unpacked(entry, variant):
            merged.setdefault("mirrors", entry.get("mirrors"))  # of the archive that its files come from
        # What is wrong with the fields themselves is reported where they stand.
        yield from (((*at, *keys), what) for keys, what in check(merged) if keys[0] in OWN)
