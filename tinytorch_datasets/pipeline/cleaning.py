"""Removable files of a data set: downloads and decoded arrays, in every home.

What ships is never removed, nor what no mirror has. One file that may not be removed keeps no other from going.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tinytorch_datasets.digests import digest
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.fetch import leftovers
from tinytorch_datasets.manifest.manifest import Manifest
from tinytorch_datasets.pipeline.shard_cache import STREAMS
from tinytorch_datasets.plan import File, Plan
from tinytorch_datasets.settings import Locations
from tinytorch_datasets.storage import arrays as array_store
from tinytorch_datasets.storage import files as disk
from tinytorch_datasets.storage.cache_entry import RANK_SIGN


class Removable(NamedTuple):
    """What can be removed of a data set.

    Attributes:
        paths: Files and folders to remove.
        kept: Files that stay because they could not be downloaded again.
        errors: Why more may be there that is not in `paths`.
        passed_over: Why a folder was not looked into that is one of several; `get` passes over it, too.
    """

    paths: list[Path]
    kept: list[Path]
    errors: list[StorageError]
    passed_over: list[StorageError]

    @property
    def bytes(self) -> int:
        """The bytes that removing frees."""
        return sum(disk.bytes_below(path) for path in self.paths)

    def remove(self) -> tuple[int, list[StorageError]]:
        """Remove all that can be removed. Returns the bytes freed, and `errors` with those of removing."""
        freed, errors = 0, list(self.errors)
        for path in self.paths:
            try:
                freed += disk.remove(path)
            except StorageError as error:
                errors.append(error)
        return freed, errors


def removable(plan: Plan, locations: Locations, *, downloads: bool = True, sparing: Collection[Path] = ()) -> Removable:
    """List a data set's decoded arrays and, if it is remote, its downloads, whole or in part, in every home.

    A file is kept if it is in `sparing`, as those that ship, in whose folder downloads may be as well; or if it is
    not what the entry declares: no mirror has that.
    """
    listed = Removable([], [], [], [])
    spared = {path.resolve() for path in sparing}
    homes = [home for home in locations.homes if home.is_absolute()]
    homes += [streams for home in homes if disk.exists(streams := home / ".cache" / STREAMS)]
    for home in homes:
        try:
            disk.is_there(home / "any", at_home=True)
        except StorageError as error:
            (listed.passed_over if len(homes) > 1 else listed.errors).append(error)
            continue
        _collect(listed, partial(_list_decoded, listed, home / ".cache", plan.name))
        files = [file for one in (plan, *plan.variants) for file in one.files]
        for file in dict.fromkeys(files) if downloads and plan.status == "remote" else ():
            _collect(listed, partial(_list_downloads, listed, home, plan.folder, file, spared))
    for cache in set(locations.caches_of_including) - {home / ".cache" for home in homes}:
        _collect(listed, partial(_list_entries, listed, cache, plan.name))
    return listed


def _collect(listed: Removable, look: Callable[[], None]) -> None:
    """Keep the error of one look beside the others; a folder that all files are in is named once."""
    try:
        look()
    except StorageError as error:
        if error.what not in [other.what for other in listed.errors]:
            listed.errors.append(error)


def _list_decoded(listed: Removable, cache: Path, name: str) -> None:
    _list_entries(listed, cache, name)
    listed.paths.extend(array_store.folders_of(cache, name))


def _list_entries(listed: Removable, cache: Path, name: str) -> None:
    entries = cache / "entries"
    if link := disk.find_link(entries):
        raise disk.symlink_error(link)
    names = {entry: entry.rpartition("-")[0].partition(RANK_SIGN)[0] for entry in disk.names_in(entries)}
    listed.paths.extend(entries / entry for entry, its in names.items() if its == name)


def _list_downloads(listed: Removable, home: Path, folder: str, file: File, spared: Collection[Path]) -> None:
    target = home / folder / file.name
    disk.check_no_link(target.parent, below=home)  # as in fetching
    disk.is_there(target, at_home=True)
    if target.resolve() in spared:
        return
    if os.path.lexists(target):
        (listed.paths if _is_download(target, file) else listed.kept).append(target)
    with disk.writing(target):
        listed.paths.extend(leftovers(target))


def _is_download(target: Path, file: File) -> bool:
    """Check whether a file can be downloaded again: it is a file of its own, as declared."""
    try:
        same_size = not target.is_symlink() and disk.bytes_of(target) == file.bytes
        return same_size and digest(target).sha256 == file.sha256
    except OSError:
        return False


def clean(plan: Plan, locations: Locations) -> int:
    """Remove what `removable` lists; return the bytes freed.

    Raises:
        StorageError: Something could not be removed. Everything else was.
    """
    freed, errors = removable(plan, locations).remove()
    if errors:
        raise errors[0]
    return freed


def shipped_files(manifest: Manifest) -> set[Path]:
    """Return the path of every file that ships, whichever entry of whichever layer declares it."""
    return {
        layer.path.parent / layer.shipped_in / file.path
        for layer in manifest.layers
        for file in layer.own_files()
        if layer.own[file.dataset].status == "shipped"
    }
