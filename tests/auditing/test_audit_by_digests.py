"""Auditing by declared digests: as fast as hashing, and nothing gets past it."""

from __future__ import annotations

import itertools
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.audit_world import World, build
from tests.helpers.cache_entries import replace_in_entry
from tests.helpers.faulty_server import sha256
from tests.helpers.mutations import MUTATIONS, Mutation
from tinytorch_datasets import audit, get

# What happens to bytes on disk; what is declared stays.
DAMAGE = [m for m in MUTATIONS if m.rule in ("array", "file-hash", "file-size", "file-missing", "file-swapped")]
DAMAGE = [m for m in DAMAGE if "MD5" not in m.what]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world of one's own, whose manifest declares the digest of every field of every split."""
    world = build(tmp_path / "world")
    declare_every_digest(world)
    return world


def declare_every_digest(world: World) -> None:
    """Give each field of each split its digest, worked out as docs/audit.md says."""
    text = re.sub(r", sha256: {[^}]*}", "", world.manifest.read_text())
    for name in ("flowers", "talk", "digits"):
        data = get(name, manifest=world.manifest)
        for field in data.train.fields:
            digests = ", ".join(f"{split}: {_digest_by_hand(data[split][field])}" for split in data)
            start = text.index(f"      {field}: {{dtype", text.index(f"\n  {name}:"))
            end = text.index("}\n", start)
            text = f"{text[:end]}, sha256: {{{digests}}}{text[end:]}"
    world.manifest.write_text(text)
    for name in ("flowers", "talk", "digits"):
        get(name, manifest=world.manifest)


def _texts(folder: Path, column: str) -> list[str]:
    raw, places = (np.load(folder / f"{column}.{part}.npy") for part in ("utf8", "places"))
    return [raw[start:end].tobytes().decode() for start, end in itertools.pairwise(places)]


def _digest_by_hand(values: Any) -> str:
    if isinstance(values, np.ndarray):
        shape = "x".join(map(str, values.shape))
        little = values.astype(values.dtype.newbyteorder("<"))
        return sha256(f"{values.dtype} {shape}\n".encode() + little.tobytes())
    texts = [text.encode() for text in values]
    return sha256(f"str {len(texts)}\n".encode() + b"".join(struct.pack("<Q", len(text)) + text for text in texts))


class TestWhenEveryDigestIsDeclared:
    """Cached arrays that have the declared digests are what decoding would give, so they are looked at instead."""

    def test_nothing_differs(self, world: World) -> None:
        """And as many samples are compared as ever."""
        report = audit(manifest=world.manifest)

        assert report.findings == ()
        assert [row.samples for row in report.datasets] == [30, 3, 18]

    @pytest.mark.parametrize("mutation", DAMAGE, ids=[m.what for m in DAMAGE])
    @pytest.mark.slow
    def test_what_is_damaged_is_found_all_the_same(self, world: World, mutation: Mutation) -> None:
        """A damaged array has not its digest, so its file is decoded, and tells which of the two is wrong."""
        mutation.do(world)
        findings = audit(manifest=world.manifest).findings

        assert (mutation.rule, world.line(mutation.line)) in [(f.rule, f.line) for f in findings]

    @pytest.mark.parametrize("name", ["train.features.npy", "train.lines.utf8.npy", "test.labels.npy"])
    def test_a_planted_array_with_a_planted_hash_is_found(self, world: World, name: str) -> None:
        """What the cache says of itself is not believed."""
        path = world.array(name)
        world.flip(path)
        column = name.removesuffix(".npy").removesuffix(".utf8")
        known = json.loads((path.parent / "digests.json").read_text())
        values = np.load(path)
        head, data = f"{values.dtype} {'x'.join(map(str, values.shape))}\n", values.tobytes()
        if "utf8" in name:
            texts = [text.encode() for text in _texts(path.parent, column)]
            head, data = f"str {len(texts)}\n", b"".join(struct.pack("<Q", len(text)) + text for text in texts)
        known[column][0] = sha256(head.encode() + data)
        (path.parent / "digests.json").write_text(json.dumps(known))

        (finding,) = audit(manifest=world.manifest).findings

        assert finding.rule == "array"
        assert finding.path.endswith(f"{column}.npy")

    @pytest.mark.parametrize(
        "places",
        [[0, 6, 1 << 60, 26], [0, 6, 18, 1 << 60], [0, -6, 18, 26], [0, 18, 6, 26], [-6, 6, 18, 26], [0, 6, 18, 27]],
        ids=str,
    )
    def test_texts_whose_offsets_lead_elsewhere(self, world: World, places: list[int]) -> None:
        """One flipped bit asks for more memory than any computer has; such an array is damaged, and no more."""
        array = world.array("train.lines.places.npy")
        assert np.load(array).tolist() == [0, 6, 18, 26]
        np.save(array, np.array(places))
        report = audit(["talk"], manifest=world.manifest)

        assert [(finding.rule, finding.path) for finding in report.findings] == [
            ("array", str(array.with_name("train.lines.npy")))
        ]
        assert [*get("talk", manifest=world.manifest, verify="always").train.lines] == [
            "Hello!", "How are you?", "Goodbye.",
        ]  # fmt: skip

    def test_the_checks_are_kept_by_what_is_cached(self, world: World) -> None:
        """A checks that was written after the data came is checked on the arrays."""
        world.edit("balance: 1\n", "balance: 1\n      empty: 0\n")
        world.edit("    checks:\n      empty: 0\n    files", "    checks:\n      duplicates: {across: 0}\n    files")
        world.edit("within: 0, across: 0", "within: 0, across: 0, of: [labels]")

        assert [f.rule for f in audit(["flowers"], manifest=world.manifest).findings] == ["duplicates"] * 3

    def test_the_pickles_are_read_when_they_are_decoded(self, home: Path, no_network: None) -> None:
        """TinyDigits' digests are declared: its cached arrays say enough, unless every file shall be decoded."""
        get("tinydigits")
        (row,) = audit(["tinydigits"], levels=["shipped"]).datasets
        (decoded,) = audit(["tinydigits"], levels=["shipped"], decode="always").datasets
        (hashed,) = audit(["tinydigits"], levels=["shipped"], decode="never").datasets

        assert (row.samples, row.pickles) == (1_200, ())
        assert decoded.samples == 1_200
        assert "numpy.ndarray" in decoded.pickles
        assert (hashed.samples, hashed.pickles) == (0, ())

    def test_how_to_decode_is_one_of_three_words(self) -> None:
        """Anything else is reported at once."""
        with pytest.raises(ValueError, match="decode is 'auto', 'always', 'never', not True"):
            audit(decode=True)  # type: ignore[arg-type]


def test_what_a_planted_cache_entry_names_is_hashed_for_nothing(world: World) -> None:
    """It says that an array is of another form, or elsewhere; what the arrays hold is compared as it is without it."""
    for planted in ({"|u1": "|i1"}, {"flowers-": "elsewhere-"}):
        for path in world.manifest.parent.rglob("entries/*.json"):
            replace_in_entry(path, planted)

        report = audit(manifest=world.manifest)

        assert {finding.rule for finding in report.findings} <= {"cache-entry"}
        assert [row.samples for row in report.datasets] == [30, 3, 18]
