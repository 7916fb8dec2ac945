"""Portable file names and addresses: what is refused, what clashes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tinytorch_datasets.errors import Problems
from tinytorch_datasets.manifest.addresses import without_secrets
from tinytorch_datasets.storage.files import is_litter as is_litter

# What fetching keeps beside a file while it is on its way: the bytes so far, and a note of which mirror gave them.
PART, NOTE = BESIDE = (".part", ".part.json")

# Most file systems store a name in at most so many bytes; fetching adds a few of its own.
LONGEST_NAME = 255 - max(map(len, BESIDE))
LONGEST_PATH = 1024

_DEVICE = re.compile(r"(?i:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(\..*)?")


def why_unsafe(path: str) -> str | None:
    """What makes a path leave its folder, or mean something else on another machine; None if nothing does.

    >>> why_unsafe("splits/train.txt"), why_unsafe("../train.txt"), why_unsafe("aux.txt")
    (None, "leaves its folder: '../train.txt'", "is a device's name on Windows: 'aux.txt'")
    """
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or re.match(r"[A-Za-z]:", path):
        return f"must be a path below the folder, with forward slashes; is {path!r}"
    if ".." in parts:
        return f"leaves its folder: {path!r}"
    if any(part in ("", ".") or part != part.strip(" ") or part.endswith(".") for part in parts):
        return f"has an empty or dotted part: {path!r}"
    if any(unicodedata.category(c).startswith("C") for c in path) or any(c in '<>:"|?*' for c in path):
        return f"has a character that not every disk can store: {path!r}"
    if unicodedata.normalize("NFC", path) != path:
        return f"is not in Unicode's composed form (NFC), so another disk would store it otherwise: {path!r}"
    if any(_DEVICE.fullmatch(part) for part in parts):
        return f"is a device's name on Windows: {path!r}"
    if len(path.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in parts):
        return f"is longer than every disk can store: {LONGEST_NAME} bytes a name, {LONGEST_PATH:,} in all"
    return None


def why_hidden(folder: str) -> str | None:
    """What is wrong with a folder that begins with a dot: decoded arrays and what was verified are kept in such a one.

    >>> why_hidden(".cache"), why_hidden("cifar-10")
    ("begins with a dot; such names are reserved for .cache: '.cache'", None)
    """
    return f"begins with a dot; such names are reserved for .cache: {folder!r}" if folder[:1] == "." else None


def clashes(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names that are in each other's way on disk, each with why: a file as a folder, or where another is downloaded."""
    names = {folded(name): name for name in files}
    for fold, name in names.items():
        parts = fold.split("/")
        above = ["/".join(parts[:i]) for i in range(1, len(parts))]
        if way := next((names[a] for a in above if a in names), None):
            yield name, f"{way!r} is a file, so it cannot be a folder too"
        beside = [fold.removesuffix(suffix) for suffix in BESIDE if fold.endswith(suffix)]
        if way := next((names[b] for b in beside if b in names), None):
            yield name, f"is where {way!r} is kept while it is downloaded; give it another name"


def folded(name: str) -> str:
    """What a name is on a disk that folds letter case and composes letters: equal for names that are one file there.

    >>> folded("Cafe\\u0301") == folded("caf\\u00e9")
    True
    """
    return unicodedata.normalize("NFC", name).casefold()


def mapping(value: Any) -> Mapping[str, Any]:
    """The value, or an empty mapping if it is none."""
    return value if isinstance(value, dict) else {}


def repeats(values: Any, kind: str) -> Iterator[tuple[int, str]]:
    """The positions in a list of texts at which one stands again, each with what is wrong."""
    if not isinstance(values, list):
        return
    first: dict[Any, int] = {}
    for i, value in enumerate(values):
        if isinstance(value, str) and first.setdefault(value, i) != i:
            yield i, f"the {kind} {value!r} is there twice"


def wrong_addresses(addresses: list[Any], kind: str) -> Iterator[tuple[int, str]]:
    """Yield the positions of addresses that are none, or not safe to share, each with what is wrong."""
    yield from repeats(addresses, kind)
    for i, address in enumerate(addresses):
        if not isinstance(address, str):
            continue
        try:
            parts = urlsplit(address)
            secret, _ = parts.username or parts.password, parts.port
        except ValueError as error:
            yield i, f"not an address: {error}"
            continue
        if parts.scheme not in ("http", "https"):
            yield i, f"must start with https:// or http://, is {without_secrets(address)!r}"
        elif not parts.hostname:
            yield i, f"names no host, is {without_secrets(address)!r}"
        if secret:
            yield i, "carries a user name or password; a manifest is read by everyone"
        if kind == "mirror" and not address.endswith("/"):
            yield i, f"must end in '/', because a file's name is appended to it: {without_secrets(address)!r}"
        if kind == "mirror" and (sign := next((sign for sign in "?#" if sign in address), "")):
            yield i, f"has a {sign!r} in it, after which a file's name would be no part of the path; write whole urls"
        if any(ord(c) <= 32 or ord(c) == 127 for c in address):
            yield i, "has a blank or control character in it"


def shared(datasets: Mapping[str, Any]) -> Problems:
    """What is wrong with the files of several data sets in one folder: they may be the same, but in no other's way."""
    owners: dict[str, list[tuple[str, str, str]]] = {}
    for dataset, entry in datasets.items():
        folder = mapping(entry).get("folder") or dataset
        for name in mapping(mapping(entry).get("files")):
            if isinstance(folder, str) and not why_unsafe(path := f"{folder}/{name}"):
                owners.setdefault(folded(path), []).append((dataset, name, path))
    for (first, its_name, _), *others in owners.values():
        promise = _promise(datasets[first], its_name)
        for dataset, name, path in others:
            if dataset != first and promise != _promise(datasets[dataset], name):
                what = f"{path} is another file in {first!r}; give one of them a `folder`"
                yield ("datasets", dataset, "files", name), what
    for path, what in clashes(told[0][2] for told in owners.values()):
        for dataset, name, _ in owners[folded(path)]:
            yield ("datasets", dataset, "files", name), what


def _promise(entry: Any, name: str) -> Any:
    file = mapping(entry["files"][name])
    return file.get("sha256"), file.get("bytes")
