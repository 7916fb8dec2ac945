"""Where are files, on disk and on the net, and is none in another's way?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tinytorch_datasets.declarations import Declarations
from tinytorch_datasets.file_names import clashes, folded, why_hidden, why_unsafe
from tinytorch_datasets.parts import Keys, Problems, mapping, repeats

_FOLDERS = ("download_to", "shipped_in")


def of_folders(data: Mapping[str, Any]) -> Problems:
    """What is wrong with the two folders that a manifest names, or that are taken where it does not."""
    named = {key: data.get(key, Declarations.model_fields[key].default) for key in _FOLDERS}
    texts = {key: folder for key, folder in named.items() if isinstance(folder, str)}
    for key, folder in texts.items():
        if wrong := why_unsafe(folder):
            yield (key,), wrong
    parts = [folded(folder).split("/") for folder in texts.values()]
    if len(parts) == len(_FOLDERS) and all(one == other for one, other in zip(*parts, strict=False)):
        key = _FOLDERS[0] if _FOLDERS[0] in data else _FOLDERS[1]
        of_both = "one folder" if parts[0] == parts[1] else "inside one another"
        told = " and ".join(f"{key} {folder!r}" for key, folder in named.items())
        yield (key,), f"{told} are {of_both}; keep downloads, which `clean` removes, apart from what ships"


def of_entry(entry: Mapping[str, Any]) -> Problems:
    """What is wrong with the names and addresses of one data set's files."""
    met: dict[str, str] = {}
    files = mapping(entry.get("files"))
    for name, file in files.items():
        at: Keys = ("files", name)
        if wrong := why_unsafe(name):
            yield at, wrong
        same = met.setdefault(folded(name), name)
        if same != name:
            yield at, f"{name!r} and {same!r} are one file on a disk that folds letter case"
        urls = mapping(file).get("urls")
        if isinstance(urls, list):
            yield from (((*at, "urls", i), what) for i, what in _addresses(urls, "url"))
        if entry.get("status") == "remote" and not urls and not entry.get("mirrors"):
            yield at, "is remote but has no mirror and no url"
    if isinstance(folder := entry.get("folder"), str) and (wrong := why_unsafe(folder) or why_hidden(folder)):
        yield ("folder",), wrong
    used_by = entry.get("used_by")
    for i, script in enumerate(used_by if isinstance(used_by, list) else ()):
        if isinstance(script, str) and (wrong := why_unsafe(script)):
            yield ("used_by", i), wrong
    mirrors = entry.get("mirrors")
    if isinstance(mirrors, list):
        yield from ((("mirrors", i), what) for i, what in _addresses(mirrors, "mirror"))


def _addresses(addresses: list[Any], kind: str) -> Iterator[tuple[int, str]]:
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
            yield i, f"must start with https:// or http://, is {address!r}"
        elif not parts.hostname:
            yield i, f"names no host, is {address!r}"
        if secret:
            yield i, "carries a user name or password; a manifest is read by everyone"
        if kind == "mirror" and not address.endswith("/"):
            yield i, f"must end in '/', because a file's name is appended to it: {address!r}"
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
