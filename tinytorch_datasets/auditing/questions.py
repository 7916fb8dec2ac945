"""Questions that an audit puts to the disk beside hashing, and their answers.

A question has a name, and is about a path. Which ones an audit has follows from its manifest, and from the levels that
it was asked for. Whoever lets an audit look at more adds it to `list_questions`, and raises `LAYOUT` of kept reports.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tinytorch_datasets import settings
from tinytorch_datasets.storage.cache_entry import CacheEntry
from tinytorch_datasets.storage.memmap import open_regular, read_regular

if TYPE_CHECKING:
    from tinytorch_datasets.manifest.manifest import Manifest
    from tinytorch_datasets.plan import Plan
    from tinytorch_datasets.settings import Locations

    Placed = Mapping[str, tuple[Plan, Locations]]

NUMPY_MAGIC = b"\x93NUMPY"


def list_questions(levels: Collection[str], loaded: Manifest, placed: Placed) -> Iterator[tuple[str, ...]]:
    """Yield every question that an audit may put to the disk, by its name, and what it is about; sometimes more."""
    from tinytorch_datasets import pipeline
    from tinytorch_datasets.auditing.local import containers, entry_files
    from tinytorch_datasets.manifest.generated import compiled_path

    for layer in loaded.layers:
        shipped = str(layer.path.parent / layer.shipped_in)
        yield "bytes", str(layer.path)
        yield "leads to", shipped
        yield from (("includes", str(layer.path), item) for item in layer.leads_to)
        if compiled := compiled_path(layer.path):
            yield "bytes", str(compiled)
        if "shipped" in levels:
            yield "below", shipped
    for name, (plan, locations) in placed.items():
        owner = loaded.owner(name)
        yield from (("is there", str(owner.path.parent / used)) for used in owner.entry(name).used_by)
        for home in locations.homes:
            if len(locations.homes) > 1:
                yield "takes files", str(home)
            yield from (("is there", str(home / ".cache" / kind / "any")) for kind in ("arrays", "entries"))
        roots = (locations.shipped,) if plan.status == "shipped" else locations.homes
        for one in containers(owner, plan, locations):
            folders = [str(root / one.folder) for root in roots]
            paths = [os.path.join(folder, file.name) for folder in folders for file in one.files]
            yield from (("leads to", folder) for folder in dict.fromkeys(map(os.path.dirname, paths)))
            yield from (("is", path) for path in paths)
            yield from (("arrays", str(path)) for path in pipeline.array_paths(one, locations))
        for path, _ in entry_files(loaded, name, locations):
            yield "bytes", path
            yield "counts", path


def ask(question: str, *about: str) -> Any:
    """Put a question to the disk; the answer is plain, or the number of the error."""
    try:
        return QUESTIONS[question](*about)
    except OSError as error:
        return error.errno


def _kind(path: str) -> list[Any]:
    """Return what a path is, and how large; of a link where it leads, and what is there."""
    about = os.lstat(path)
    if stat.S_ISLNK(about.st_mode):
        there = os.stat(path) if os.path.exists(path) else None
        return [about.st_mode, about.st_size, os.path.realpath(path), there and [there.st_mode, there.st_size]]
    return [about.st_mode, about.st_size if stat.S_ISREG(about.st_mode) else 0]


def _below(folder: str) -> list[list[Any]]:
    """List all that is below a folder, by its path from there; no link is followed."""
    listed = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        kind = ask("is", path)
        # Two spellings of a name in Unicode may be one file.
        listed.append([name, kind, *([] if name.isascii() else [os.lstat(path).st_ino])])
        if isinstance(kind, list) and stat.S_ISDIR(kind[0]):
            inside = ask("below", path)
            rows = inside if isinstance(inside, list) else [["", inside]]
            listed += [[os.path.join(name, below), *more] for below, *more in rows]
    return listed


def _arrays(folder: str) -> list[list[Any]]:
    """List a folder of arrays: each file's kind, and the digest of its header; of what notes digests, of all of it."""
    paths = (os.path.join(folder, name) for name in sorted(os.listdir(folder)))
    return [[os.path.basename(path), ask("is", path), ask("header", path)] for path in paths]


def _header(path: str) -> str:
    with os.fdopen(open_regular(path), "rb") as file:
        head = file.read(10)
        if head.startswith(NUMPY_MAGIC):
            head += file.read(int.from_bytes(head[8:10], "little"))  # as of version 1, and no other is read
        elif path.endswith(".json"):
            head += file.read()
    return hashlib.sha256(head).hexdigest()


def _counts(path: str) -> bool:
    """Check whether the stat signatures in a cache entry fit: of one that counts for nobody, an audit says nothing."""
    entry = CacheEntry.read(path)
    return entry is not None and entry.is_current()


# All that is asked of the disk, each of a path.
QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "bytes": lambda path: hashlib.sha256(read_regular(path)).hexdigest(),
    "leads to": os.path.realpath,
    "includes": lambda including, item: os.path.realpath(settings.included_path(item, including)),
    "is there": lambda path: bool(os.stat(path)),
    "is": _kind,
    "below": _below,
    "arrays": _arrays,
    "header": _header,
    "takes files": settings.is_writable,
    "counts": _counts,
}


def read_times(path: str) -> list[int]:
    """Return the stat signature of a path, and of what a link leads to; of what is not there, of the folder above."""
    abouts: list[os.stat_result] = []
    with suppress(OSError):
        abouts.append(os.lstat(path))
        abouts += [os.stat(path)] if stat.S_ISLNK(abouts[0].st_mode) else []
    if not abouts and path != os.path.dirname(path):
        return read_times(os.path.dirname(path))
    return [number for it in abouts for number in (it.st_size, it.st_mtime_ns, it.st_ctime_ns, it.st_ino)]
