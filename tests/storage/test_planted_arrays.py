"""A home that came from elsewhere, as in the zip of a course: what it says of itself is not believed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.cache_entries import plain_entry, replace_in_entry, write_entry
from tinytorch_datasets import get
from tinytorch_datasets.errors import ContentError
from tinytorch_datasets.storage.cache_entry import CacheEntry
from tinytorch_datasets.storage.memmap import StatSignature, stat_signature


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A manifest with TinyDigits, whose values have declared digests, and its file."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "datasets" / "tinydigits", folder / "datasets" / "tinydigits")
    text = (ROOT / "datasets.yaml").read_text()
    alone = "".join(line for line in text.splitlines(True) if not line.startswith("include:"))
    (folder / "datasets.yaml").write_text(alone[: alone.index("  tinytalks:")])
    return folder / "datasets.yaml"


def no_digests(clone: Path) -> None:
    """Let the manifest declare no digest of values."""
    text = re.sub(r"^ {8}sha256:(?: #.*)?\n(?: {10}.*\n)+", "", clone.read_text(), flags=re.MULTILINE)
    assert text != clone.read_text()
    clone.write_text(text)


def tampered(home: Path) -> None:
    """Turn every image black, with all digests that lie beside it, or name it, made to fit."""
    (path,) = home.rglob("train.images.npy")
    raw = path.read_bytes()
    values = np.load(path)
    path.write_bytes(raw[: len(raw) - values.nbytes] + bytes(values.nbytes))
    head = f"{values.dtype} {'x'.join(map(str, values.shape))}\n".encode()
    digests = path.with_name("digests.json")
    old = json.loads(digests.read_text())["train.images"][0]
    new = hashlib.sha256(head + bytes(values.nbytes)).hexdigest()
    digests.write_text(digests.read_text().replace(old, new))
    for entry in home.rglob("entries/*.json"):
        replace_in_entry(entry, {old: new})


def with_signatures_that_fit(home: Path) -> None:
    """As only a program on this machine could, which writes its own."""

    def signature(path: Path) -> list[int]:
        about = path.stat()
        return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]

    for note in home.rglob("digests.json"):
        known = json.loads(note.read_text())
        for _, files in known.values():
            files.update({name: signature(note.with_name(name)) for name in files})
        note.write_text(json.dumps(known))
    for note in home.rglob("entries/*.json"):
        known = plain_entry(note)
        known[-1] = {path: signature(Path(path)) for path in known[-1]}
        write_entry(note, known)


def unzipped(home: Path) -> None:
    """Send a home through a zip, to where it was."""
    archive = home.with_name("course.zip")
    with zipfile.ZipFile(archive, "w") as out:
        for path in home.rglob("*"):
            out.write(path, path.relative_to(home))
    shutil.rmtree(home)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(home)


@pytest.mark.parametrize("verify", ["auto", "always"])
@pytest.mark.parametrize("declare", [lambda clone: None, no_digests], ids=["declared digests", "no declared digests"])
def test_planted_arrays_are_never_returned(
    clone: Path, home: Path, declare: Callable[[Path], None], verify: str
) -> None:
    """Neither with digests beside them that fit, nor by a cache entry."""
    declare(clone)
    right = np.array(get("tinydigits", manifest=clone).train.images)
    tampered(home)
    unzipped(home)

    assert np.array_equal(get("tinydigits", manifest=clone, verify=verify).train.images, right)  # type: ignore[call-overload]
    assert np.array_equal(get("tinydigits", manifest=clone).train.images, right)


def test_always_compares_with_the_declaration(clone: Path, home: Path) -> None:
    """Even where every signature fits, and every digest that the home itself has."""
    right = np.array(get("tinydigits", manifest=clone).train.images)
    tampered(home)
    with_signatures_that_fit(home)

    assert not np.array_equal(get("tinydigits", manifest=clone).train.images, right)  # "auto" trusts signatures
    assert np.array_equal(get("tinydigits", manifest=clone, verify="always").train.images, right)


def test_always_takes_no_declared_digest_for_that_of_a_file(clone: Path, home: Path) -> None:
    """Where the entry lists files that have the digests of values, as whoever planted it may add them."""
    dataset = get("tinydigits", manifest=clone)
    right = {f"{name}.{field}": np.array(getattr(of, field)) for name, of in dataset.items() for field in of.fields}
    tampered(home)
    (note,) = home.rglob("entries/*.json")
    entry = CacheEntry.read(str(note))
    assert entry is not None
    values = {
        home / column: f"{array.dtype} {'x'.join(map(str, array.shape))}\n".encode() + array.tobytes()
        for column, array in right.items()
    }
    for path, data in values.items():
        path.write_bytes(data)
    files = {str(path): hashlib.sha256(data).hexdigest() for path, data in values.items()}
    signatures: dict[str, StatSignature] = {path: stat_signature(path) for path in files}
    planted = entry._replace(files={**entry.files, **files}, signatures={**entry.signatures, **signatures})
    note.write_bytes(planted.to_bytes())
    with_signatures_that_fit(home)

    assert not np.array_equal(get("tinydigits", manifest=clone).train.images, right["train.images"])
    images = get("tinydigits", manifest=clone, verify="always").train.images
    assert np.array_equal(images, right["train.images"])


def test_always_compares_the_packaged_manifest_too(home: Path) -> None:
    """Whose declaration is compiled."""
    right = np.array(get("tinydigits").train.images)
    tampered(home)
    with_signatures_that_fit(home)

    assert np.array_equal(get("tinydigits", verify="always").train.images, right)


def backwards(entry: CacheEntry) -> CacheEntry:
    """A digit 0 is then called "9"."""
    assert entry.classes is not None
    return entry._replace(classes=entry.classes[::-1])


def without_classes(entry: CacheEntry) -> CacheEntry:
    """Labels have then no names."""
    return entry._replace(classes=None)


def other_splits(entry: CacheEntry) -> CacheEntry:
    """The first is then the test's."""
    return entry._replace(splits=entry.splits[::-1])


def fewer_splits(entry: CacheEntry) -> CacheEntry:
    """There is then no test."""
    return entry._replace(splits=entry.splits[:1])


def another_field(entry: CacheEntry) -> CacheEntry:
    """What a loop takes for the image is then the label."""
    first, *others = entry.splits
    fields = {"pixels": first.fields["labels"], **first.fields}
    digests = {**entry.digests, "train.pixels": entry.digests["train.labels"]}
    return entry._replace(splits=(first._replace(fields=fields), *others), digests=digests)


def another_scale(entry: CacheEntry) -> CacheEntry:
    """Floats are then of another range."""
    splits = (split._replace(scales={"images": 1_000.0}) for split in entry.splits)
    return entry._replace(splits=tuple(splits))


def another_license(entry: CacheEntry) -> CacheEntry:
    """What is shown of it is then not what the manifest says."""
    return entry._replace(entry={**entry.entry, "license": "CC0-1.0"})


def other_files(entry: CacheEntry) -> CacheEntry:
    """None of its own is then hashed."""
    return entry._replace(files={entry.manifest: entry.manifests[entry.manifest]})


FORGED = [
    backwards,
    without_classes,
    other_splits,
    fewer_splits,
    another_field,
    another_scale,
    another_license,
    other_files,
]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("is_packaged", [True, False], ids=["packaged", "of one's own"])
def test_always_opens_what_is_declared(
    is_packaged: bool, forged: Callable[[CacheEntry], CacheEntry], clone: Path, home: Path
) -> None:
    """Whatever a cache entry says of the right arrays: their names, their classes, what is shown of them."""
    manifest = None if is_packaged else clone
    get("tinydigits", manifest=manifest)
    (note,) = home.rglob("entries/*.json")
    entry = CacheEntry.read(str(note))
    assert entry is not None
    note.write_bytes(forged(entry).to_bytes())
    with_signatures_that_fit(home)

    get("tinydigits", manifest=manifest, verify="always")

    after = CacheEntry.read(str(note))
    assert after is not None
    assert after._replace(signatures=entry.signatures) == entry


def test_a_wrong_declared_digest_is_reported_when_values_are_decoded(clone: Path, home: Path) -> None:
    """By `get`, on the digest's own line; and nothing is left that a later call could take."""
    images = np.load(_images_of(clone, home))
    right = hashlib.sha256(b"float32 1000x8x8\n" + struct.pack("<64000f", *images.ravel())).hexdigest()
    text = clone.read_text()
    line = next(number for number, line in enumerate(text.splitlines(), 1) if right in line)
    clone.write_text(text.replace(right, "f" * 64))
    for _ in range(2):
        with pytest.raises(ContentError) as caught:
            get("tinydigits", manifest=clone)

        assert str(caught.value) == (
            f"{caught.value.path}: train.images has decoded values of sha256\n"
            f"    {right}, declared is\n    {'f' * 64}\n"
            f"  declared at datasets.yaml:{line}\n"
            "  The file has its declared hash, so correct the entry; "
            "`tinytorch-datasets audit tinydigits` lists all that differs."
        )


def _images_of(clone: Path, home: Path) -> Path:
    get("tinydigits", manifest=clone)
    (path,) = home.rglob("train.images.npy")
    return path
