"""What can go wrong in the small world of `audit_world.py`, each with what an audit must say of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.helpers.audit_world import World, flowers

NO_HASH = "f" * 64


class Mutation(NamedTuple):
    """One thing that is wrong, and what is to be found: the rule, words on the manifest's line, the exit code."""

    what: str
    do: Callable[[World], object]
    rule: str
    line: str
    exit_code: int = 1


def swap(world: World, one: str, other: str) -> None:
    """Give each of two files the bytes of the other."""
    a, b = world.file(one), world.file(other)
    data = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(data)


def hash_of(world: World, name: str) -> str:
    """The sha256 that the manifest declares for a file."""
    text = world.manifest.read_text()
    return re.search(rf"{name}: {{bytes: \d+, sha256: ([0-9a-f]+)", text)[1]  # type: ignore[index]


def _append(path: Path) -> None:
    with path.open("ab") as out:
        out.write(b"!")


def _add_folder(world: World) -> None:
    (world.root / "datasets/old").mkdir()
    (world.root / "datasets/old/x.csv").touch()


def _swap_splits(world: World) -> None:
    for old, new in (("test.csv", "nowhere.csv"), ("train.csv", "test.csv"), ("nowhere.csv", "train.csv")):
        world.edit(f"file: {old}", f"file: {new}")


MUTATIONS = [
    # files
    Mutation(
        "a flipped byte in a shipped file", lambda w: w.flip(w.file("flowers/train.csv")), "file-hash", "train.csv: {b"
    ),
    Mutation(
        "a flipped byte in a download", lambda w: w.flip(w.file("digits/test-images")), "file-hash", "test-images: {b"
    ),
    Mutation("a flipped first byte", lambda w: w.flip(w.file("talk/talk.txt"), 0), "file-hash", "talk.txt: {b"),
    Mutation("a byte too many", lambda w: _append(w.file("talk/talk.txt")), "file-size", "talk.txt: {b"),
    Mutation(
        "a file cut short", lambda w: os.truncate(w.file("digits/train-labels"), 9), "file-size", "train-labels: {b"
    ),
    Mutation("an empty file", lambda w: os.truncate(w.file("flowers/test.csv"), 0), "file-size", "test.csv: {b"),
    Mutation("a deleted shipped file", lambda w: w.file("flowers/test.csv").unlink(), "file-missing", "test.csv: {b"),
    Mutation(
        "swapped train and test files",
        lambda w: swap(w, "flowers/train.csv", "flowers/test.csv"),
        "file-swapped",
        "train.csv: {b",
    ),
    Mutation(
        "an LFS pointer",
        lambda w: (
            w.file("talk/talk.txt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
            and None
        ),
        "lfs-pointer",
        "talk.txt: {b",
    ),
    Mutation(
        "converted line endings",
        lambda w: (
            w.file("talk/talk.txt").write_bytes(w.file("talk/talk.txt").read_bytes().replace(b"\n", b"\r\n")) and None
        ),
        "line-endings",
        "talk.txt: {b",
    ),
    Mutation(
        "an extra file",
        lambda w: (w.root / "datasets/flowers/more.bin").write_bytes(b"1") and None,
        "undeclared",
        "    files:",
    ),
    Mutation(
        "an extra folder",
        _add_folder,
        "undeclared",
        "shipped_in:",
    ),
    Mutation(
        "a package in the shipped folder",
        lambda w: (w.root / "datasets/__init__.py").touch(),
        "undeclared",
        "shipped_in:",
    ),
    Mutation("shipped data over its budget", lambda w: w.edit("6_000", "60"), "budget", "shipped_budget_bytes:"),
    # the manifest's facts
    Mutation(
        "a changed sha256", lambda w: w.edit(hash_of(w, "train-images"), NO_HASH), "file-hash", "train-images: {b"
    ),
    Mutation(
        "a changed size", lambda w: w.edit("talk.txt: {bytes: 29", "talk.txt: {bytes: 30"), "file-size", "talk.txt: {b"
    ),
    Mutation(
        "an added wrong MD5",
        lambda w: w.edit(f"{hash_of(w, 'talk.txt')}}}", f"{hash_of(w, 'talk.txt')}, md5: {'f' * 32}}}"),
        "file-hash",
        "talk.txt: {b",
    ),
    Mutation("a sample count too small", lambda w: w.edit("samples: 12", "samples: 11"), "content", "samples: 11"),
    Mutation("a sample count too large", lambda w: w.edit("samples: 12", "samples: 13"), "content", "samples: 13"),
    Mutation("a sample count of a table", lambda w: w.edit("samples: 10", "samples: 9"), "content", "samples: 9"),
    Mutation("a changed shape", lambda w: w.edit("shape: [4, 4]", "shape: [4, 5]"), "content", "images: {d"),
    Mutation("a folded shape", lambda w: w.edit("shape: [4, 4]", "shape: [2, 8]"), "content", "images: {d"),
    Mutation("a changed dtype", lambda w: w.edit("dtype: uint8", "dtype: uint16"), "content", "images: {d"),
    Mutation("a narrowed range", lambda w: w.edit("range: [0, 255]", "range: [0, 20]"), "content", "images: {d"),
    Mutation(
        "a class taken out",
        lambda w: w.edit('["0", "1", "2"]', '["0", "1"]'),
        "content",
        'labels: {dtype: int64, classes: ["0',
    ),
    Mutation("a class renamed", lambda w: w.edit("[rose, tulip]", "[rose, daisy]"), "content", "labels: {d"),
    Mutation("another format", lambda w: w.edit("format: idx", "format: npy"), "decode", "format: npy"),
    Mutation(
        "swapped splits",
        _swap_splits,
        "content",
        "samples: 20",
    ),
    Mutation(
        "swapped fields",
        lambda w: w.edit("images: train-images, labels: train-labels", "images: train-labels, labels: train-images"),
        "content",
        "images: {d",
    ),
    Mutation(
        "a changed digest of values",
        lambda w: w.edit("test: " + digest_of(w), "test: " + NO_HASH),
        "content-hash",
        "images: {d",
    ),
    # decoded arrays
    Mutation(
        "a flipped byte in a decoded array", lambda w: w.flip(w.array("train.features.npy")), "array", "features: {d"
    ),
    Mutation("a flipped byte in decoded text", lambda w: w.flip(w.array("train.lines.utf8.npy")), "array", "lines: {d"),
    Mutation(
        "a decoded array cut short", lambda w: os.truncate(w.array("test.images.npy"), 130), "array", "images: {d"
    ),
    # the checks
    Mutation(
        "a leaked sample",
        lambda w: w.put("flowers/test.csv", flowers(20, 9) + flowers(1, 1).split(b"\n", 1)[1]),
        "duplicates",
        "duplicates:",
    ),
    Mutation(
        "a repeated sample",
        lambda w: w.put("flowers/train.csv", flowers(0, 19) + flowers(1, 1).split(b"\n", 1)[1]),
        "duplicates",
        "duplicates:",
    ),
    Mutation(
        "lost balance",
        lambda w: w.put("flowers/train.csv", flowers(0, 20).replace(b"rose", b"tulip", 1)),
        "balance",
        "balance:",
    ),
    Mutation("an empty text", lambda w: w.put("talk/talk.txt", b"Hello!\n   \nGoodbye.\n"), "empty", "empty:"),
    Mutation(
        "a constant sample",
        lambda w: w.put("flowers/train.csv", flowers(0, 20).replace(b"0.0,21.0", b"21.0,21.0")),
        "constant",
        "constant:",
    ),
    # a manifest that cannot be used
    Mutation("an unknown key", lambda w: w.edit("title: Talk", "titel: Talk"), "manifest", "titel", 2),
    Mutation(
        "a duplicate key", lambda w: w.edit("title: Talk", "title: Talk\n    title: Again"), "manifest", "Again", 2
    ),
    Mutation(
        "an MD5 alone",
        lambda w: w.edit(f"sha256: {hash_of(w, 'talk.txt')}", f"md5: {'f' * 32}"),
        "manifest",
        "talk.txt: {b",
        2,
    ),
    Mutation("a short hash", lambda w: w.edit(hash_of(w, "talk.txt"), "abc"), "manifest", "talk.txt: {b", 2),
    Mutation("an uppercase hash", lambda w: w.edit(hash_of(w, "talk.txt"), "A" * 64), "manifest", "talk.txt: {b", 2),
    Mutation("an unknown format", lambda w: w.edit("format: idx", "format: ixd"), "manifest", "ixd", 2),
    Mutation(
        "a path that leaves the folder",
        lambda w: w.edit("      talk.txt:", "      ../talk.txt:"),
        "manifest",
        "../talk.txt",
        2,
    ),
    Mutation("a negative count", lambda w: w.edit("samples: 12", "samples: -12"), "manifest", "-12", 2),
    Mutation(
        "a digest for no split",
        lambda w: w.edit("{test: " + digest_of(w), "{tset: " + digest_of(w)),
        "manifest",
        "tset",
        2,
    ),
    Mutation(
        "a checks on no field", lambda w: w.edit("{within: 0, ", "{of: [labes], within: 0, "), "manifest", "labes", 2
    ),
]


def digest_of(world: World) -> str:
    """The digest that the manifest declares for the images of the test split."""
    return re.search(r"{test: ([0-9a-f]{64})", world.manifest.read_text())[1]  # type: ignore[index]
