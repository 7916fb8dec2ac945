"""Cache entries, by which a warm `get` opens its arrays and runs no stage.

A cache entry is a data set's entry in compiled form: the folder of its decoded arrays, and the stat signatures (size,
times of change, inode) of the manifest, of every source file and of every array as they were when last found right.
While all of them fit, `get` needs neither YAML nor Pydantic nor a hash: it opens the maps. When one does not, or
the cache entry is damaged, or lacks a signature, or another version of the package wrote it, every stage runs.
The digests of all of these are in it too, for whoever wants every byte read now.

A cache entry speeds up and decides nothing: `audit` makes each one anew from the manifest and compares.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets import settings
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.storage.memmap import Part, StatSignature, part_path, read_regular, stat_signature

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from tinytorch_datasets.digests import DigestsAhead, Stretch
    from tinytorch_datasets.storage.string_array import Values


# Raise it when what a cache entry says, or how, changes. Byte order is part of it: a stick may travel.
LAYOUT = [10, VERSION, sys.byteorder]

# Times without a fraction are of a disk image, or a stick: two images may be built with the same times, and be mounted
# one after the other in one place. The bytes of a manifest are compared there, which has the digests of all others.
SECOND = 10**9

# What stands between a data set's name and a rank, in the name of a cache entry.
RANK_SIGN = "+"

# What NumPy calls the kinds of numbers.
KINDS = {"b": "bool", "u": "uint", "i": "int", "f": "float"}
# The bytes that a number of each kind may have.
SIZES = {"b": ("1",), "u": ("1", "2", "4", "8"), "i": ("1", "2", "4", "8"), "f": ("2", "4", "8")}

# A field's parts: one for an array; two for strings (the buffer, the offsets in it); two or three for a ragged array
# (the values, the offsets in them, and the shapes), and for samples that are kept encoded.
Parts = list[Part]


class CachedSplit(NamedTuple):
    """What opening one split takes.

    `scales` is the top of the range of fields that floats divide by, `ragged` the shape of a sample of each field whose
    samples differ in shape, `rates` how many frames a second recordings have, `encoded` by what the samples of each
    field are decoded that is kept encoded. `stretch` is which of them one of several ranks has, as `plan.Stretch`.
    """

    name: str
    fields: Mapping[str, Parts]
    texts: Mapping[str, Part]
    scales: Mapping[str, float]
    ragged: Mapping[str, tuple[int | None, ...]]
    rates: Mapping[str, int]
    encoded: Mapping[str, Mapping[str, Any]]
    stretch: Sequence[int] | None = None


def assemble(maps: Sequence[np.ndarray], sample_shape: tuple[int | None, ...] | None) -> Values:
    """Return the values of a field from its parts, as they were mapped."""
    if sample_shape is not None:
        from tinytorch_datasets.storage.ragged_array import RaggedArray  # which few data sets have

        return RaggedArray(maps[0], maps[1], maps[2] if len(maps) > 2 else None, tuple(sample_shape))
    if len(maps) == 1:
        return maps[0]
    from tinytorch_datasets.storage.string_array import StringArray

    return StringArray.mapped(*maps)


class CacheEntry(NamedTuple):
    """What opening one data set takes, and what it depends on.

    `manifest` is the one that was asked for. `manifests` are the sha256 of those that were read for it, by path: the
    ones that include others, and last the one that declares the data set. `folder` is where its decoded arrays are, and
    no other folder that is named like it elsewhere. `files` are the sha256 of the source files by path, `digests` those
    of the arrays' values by column (``train.images``); `entry` is what the manifest has below the data set's name.
    `rank` is which of how many ranks these are the arrays of, if it is not all of them. `includes` are the files that
    the items of `include` of those manifests lead to, by the including file.
    """

    name: str
    manifest: str
    folder: str
    splits: tuple[CachedSplit, ...]
    classes: tuple[str, ...] | None
    manifests: Mapping[str, str]
    files: Mapping[str, str]
    digests: Mapping[str, str]
    entry: Mapping[str, Any]
    rank: Sequence[int] | None
    includes: Mapping[str, Mapping[str, str]]
    signatures: Mapping[str, StatSignature]

    @property
    def declared_in(self) -> str:
        """The manifest that declares the data set."""
        return [*self.manifests][-1]

    def is_current(self) -> bool:
        """Check whether manifest, every source file and every array are as they were."""
        return self._has_signatures(itertools.chain(self.manifests, self.files, self._arrays()))

    def has_current_sources(self) -> bool:
        """Check whether manifest and every source file are as they were: who opens the arrays asks that of them."""
        return self._has_signatures(itertools.chain(self.manifests, self.files))

    def _has_signatures(self, paths: Iterable[str]) -> bool:
        if not self.files or not self.splits or not self.manifests:
            return False
        try:
            is_unchanged = all(stat_signature(path) == self.signatures[path] for path in paths)
            if is_unchanged and any(self.signatures[path][2] % SECOND == 0 for path in self.manifests):
                is_unchanged = self._has_its_manifests()
            ways = ((item, by, path) for by, items in self.includes.items() for item, path in items.items())
            return is_unchanged and all(_leads_to(*way) for way in ways)
        except (OSError, ValueError, KeyError):  # it is gone, or this locale has no bytes for its path
            return False

    def is_whole(self) -> bool:
        """Check whether every array is as long as its values, which opening it finds as well, and takes NumPy for."""
        for split in self.splits:
            if not all(split.fields.values()):
                return False
            for part in itertools.chain(*split.fields.values(), split.texts.values()):
                size, file = part.dtype[2:], part_path(self.folder, part.file)
                if size not in SIZES.get(part.dtype[1:2], ()) or min(part.offset, *part.shape, 0) < 0:
                    return False
                if part.offset + int(size) * math.prod(part.shape) > self.signatures[file][0]:
                    return False
        return True

    def renewed(self) -> CacheEntry | None:
        """Return the same with the signatures that its manifests have now, if they have the bytes that they had.

        A manifest that was only touched, by a `git checkout` for one, takes seconds to be read, and no time to be
        hashed. None if one of them is another, or all are as they were.
        """
        try:
            now = {path: stat_signature(path) for path in self.manifests}  # of before they are read
            if all(self.signatures[path] == signature for path, signature in now.items()):
                return None
            if not self._has_its_manifests():
                return None
        except (OSError, ValueError, KeyError):
            return None
        return self._replace(signatures={**self.signatures, **now})

    def _has_its_manifests(self) -> bool:
        from hashlib import sha256  # which nobody needs whose manifest was left alone

        return all(sha256(read_regular(path)).hexdigest() == digest for path, digest in self.manifests.items())

    def _arrays(self) -> Iterator[str]:
        for split in self.splits:
            for parts in (*split.fields.values(), split.texts.values()):
                for part in parts:
                    yield part_path(self.folder, part.file)

    def matches_every_byte(self, dataset: Mapping[str, Any], declared: Mapping[str, str], ahead: DigestsAhead) -> bool:
        """Hash manifest, files and the arrays of the data set opened from it, all read now, and compare.

        `declared` are the digests of values that the manifest declares, by column: what this entry says is another
        array's digest counts for nothing beside them. `ahead` hashes `stretches` already.
        """
        from tinytorch_datasets.concurrency import run_all
        from tinytorch_datasets.digests import Stretch, digest_of, sha256_of

        files = {**self.manifests, **self.files}
        jobs = [
            partial(_has_digest, ahead, Stretch(path), partial(sha256_of, path), sha256)
            for path, sha256 in files.items()
        ]
        sizes = [self.signatures[path][0] for path in files]
        for split in self.splits:
            for field in (*split.fields, *split.texts):
                column, values = f"{split.name}.{field}", dataset[split.name][field]
                expected = declared.get(column, self.digests[column])
                stretch = self._stretch(split.fields.get(field, ()))
                jobs.append(partial(_has_digest, ahead, stretch, partial(digest_of, values), expected))
                sizes.append(getattr(values, "nbytes", 0))
        try:
            return all(run_all(jobs, sizes=sizes))
        except (OSError, ValueError):
            return False  # gone, or no text

    def declares_no_values(self) -> bool:
        """Check whether each digest in its manifest is plainly that of one of its files, so that none is of values.

        Those stand behind the name of a split. A file may have such a digest as well, and only be here for that.
        """
        manifest = read_regular(self.declared_in)
        of_files = re.findall(rb"\bsha256[\"']?: *[\"']?([0-9a-f]{64})\b", manifest)
        is_each = manifest.count(b"sha256") == len(of_files) == len(re.findall(rb"[0-9a-f]{64}", manifest))
        return is_each and {digest.decode() for digest in of_files} <= set(self.files.values())

    def stretches(self) -> Iterator[Stretch]:
        """Yield what is most likely hashed of the data set: its source files, and its plain arrays' values."""
        from tinytorch_datasets.digests import Stretch

        yield from map(Stretch, self.files)
        for split in self.splits:
            yield from filter(None, map(self._stretch, split.fields.values()))

    def _stretch(self, parts: Sequence[Part]) -> Stretch | None:
        return stretch_of(self.folder, parts[0]) if len(parts) == 1 else None

    def belongs_to(self, name: str, manifest: str, caches: Iterable[str], rank: Sequence[int] | None = None) -> bool:
        """Check whether it is of that data set, or rank's part, of that manifest, its arrays in one of these caches."""
        if (self.name, self.manifest) != (name, manifest):  # a disk may take one name for another
            return False
        if (self.rank and tuple(self.rank)) != rank:
            return False
        if manifest not in self.manifests:  # or it would not be noticed that it changed
            return False
        holder = os.path.normpath(os.path.dirname(self.folder))
        return any(holder == os.path.normpath(os.path.join(cache, "arrays")) for cache in caches)

    def opens_same_as(self, other: CacheEntry) -> bool:
        """Check whether both open the same arrays and depend on the same files, whatever the signatures of those."""
        here, there = (json.loads(json.dumps(entry._respelled())) for entry in (self, other))
        return bool(here[:-1] == there[:-1] and here[-1].keys() == there[-1].keys())

    def _respelled(self) -> CacheEntry:
        """Return the same with its paths as this locale spells them: another may spell the same bytes otherwise."""

        def respelled(path: str) -> str:
            return os.fsdecode(os.fsencode(path))

        return self._replace(
            manifest=respelled(self.manifest),
            folder=respelled(self.folder),
            manifests={respelled(path): sha256 for path, sha256 in self.manifests.items()},
            files={respelled(path): sha256 for path, sha256 in self.files.items()},
            includes={
                respelled(including): {item: respelled(path) for item, path in items.items()}
                for including, items in self.includes.items()
            },
            signatures={respelled(path): signature for path, signature in self.signatures.items()},
        )

    def to_bytes(self) -> bytes:
        """Return the cache entry as the contents of a file: a checksum, and on the next line JSON."""
        plain = json.dumps([LAYOUT, *self]).encode()
        return _checksum(plain) + b"\n" + plain

    @classmethod
    def read(cls, path: str | Path) -> CacheEntry | None:
        """Read the cache entry in that file; None if it is not there, damaged, or from another version."""
        try:
            checksum, _, plain = read_regular(path).partition(b"\n")
            if checksum != _checksum(plain):  # or a damaged disk could give a class another name, and nothing else
                return None
            layout, name, manifest, folder, splits, classes, *mappings = json.loads(plain)
            if layout != LAYOUT:
                return None
            rank = mappings.pop(4)
            manifests, files, digests, entry, includes, signatures = map(dict, mappings)
            includes = {including: dict(items) for including, items in includes.items()}
            splits = tuple(_read_split(*split) for split in splits)
            classes = tuple(classes) if classes is not None else None
            head = (name, str(manifest), str(folder), splits, classes)
            return cls(*head, manifests, files, digests, entry, rank, includes, signatures)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            # Absent, damaged or another program's: all the same, because what it would say can be found out again.
            return None


def _checksum(data: bytes) -> bytes:
    """Return the CRC-32 of data, as hexadecimal digits: against accidents; whoever plants an entry can count, too."""
    return b"%08x" % zlib.crc32(data)


def stretch_of(folder: str, part: Part) -> Stretch | None:
    """Return what the digest of an array's values is of, if they are in its file as they are hashed; asks no NumPy."""
    from tinytorch_datasets.digests import Stretch, header

    kind, size = KINDS.get(part.dtype[1:2]), part.dtype[2:]
    if kind is None or not size.isdecimal() or part.dtype[0] not in "<|":
        return None
    name = kind if kind == "bool" else f"{kind}{8 * int(size)}"
    return Stretch(part_path(folder, part.file), part.offset, header(name, part.shape).encode())


def entry_path(cache: str | Path, manifest: str | Path, name: str, rank: Sequence[int] | None = None) -> str:
    """Return where the cache entry of a data set is: another one for each manifest, each name of the cache, and rank.

    No data set's name has the sign that stands before a rank.
    """
    key = zlib.crc32(os.fsencode(os.path.normpath(cache)), zlib.crc32(os.fsencode(manifest)))
    of_rank = "{}{}-of-{}".format(RANK_SIGN, *rank) if rank else ""
    return os.path.join(cache, "entries", f"{name}{of_rank}-{key:08x}.json")


def entries_of(
    name: str, manifest: str, homes: Sequence[str], home: str | None, rank: tuple[int, int] | None = None
) -> Iterator[tuple[str, CacheEntry]]:
    """Yield the cache entries that a data set of a manifest may have in these likely homes, each with its path."""
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return  # no data set's name, and nothing to build a path of
    caches = [os.path.join(home, ".cache") for home in homes]
    for kept in homes_of_entries(homes, home):
        path = entry_path(os.path.join(kept, ".cache"), manifest, name, rank)
        entry = CacheEntry.read(path)
        if entry is not None and entry.belongs_to(name, manifest, caches, rank):
            yield path, entry


def homes_of_entries(homes: Sequence[str], home: str | None) -> Iterator[str]:
    """Yield the folders whose cache entries count, of the likely homes of a manifest and of those that it includes.

    That of an included one counts for that one alone: see `Locations.caches_of_including`.
    """
    yield from homes if settings.given_homes(home) else (homes[0], settings.likely_cache())


def entries_in(cache: str, manifest: str) -> Iterator[CacheEntry]:
    """Yield what is kept in a cache of a manifest's data sets, whole or in part."""
    folder, end = os.path.split(entry_path(cache, manifest, ""))
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    yield from filter(None, (CacheEntry.read(os.path.join(folder, name)) for name in names if name.endswith(end)))


def _leads_to(item: str, including: str, path: str) -> bool:
    """Check whether an item of `include` still leads to that file.

    A link may lead elsewhere now, or another environment have another version of a package: neither changes a file.
    """
    if leads_to := settings.included_path(item, including):
        return os.path.realpath(leads_to) == path
    # Which package registers it takes long to find out. That it is the first of its kind on Python's path does not.
    roots = [os.path.realpath(root) for root in sys.path]
    below = next((path[len(root) :] for root in roots if _is_installed_in(root, path)), None)
    return below is not None and path == next((root + below for root in roots if os.path.isfile(root + below)), None)


def _is_installed_in(root: str, path: str) -> bool:
    """Check whether a package's file is below that folder, and not below another folder of packages in it.

    The current folder is on Python's path, too, and often has several environments in it.
    """
    if not path.startswith(os.path.join(root, "")):
        return False
    while len(path := os.path.dirname(path)) > len(root):
        if any(name.endswith(".dist-info") for name in os.listdir(path)):
            return False
    return True


def _read_split(name: str, fields: dict[str, Any], texts: dict[str, Any], *others: Any) -> CachedSplit:
    parts = {field: [_read_part(*part) for part in parts] for field, parts in fields.items()}
    return CachedSplit(name, parts, {field: _read_part(*part) for field, part in texts.items()}, *others)


def _read_part(file: Any, dtype: Any, shape: Any, offset: Any) -> Part:
    if not (isinstance(file, str) and isinstance(dtype, str) and all(type(size) is int for size in (*shape, offset))):
        msg = "not the part of an array"
        raise TypeError(msg)
    return Part(file, dtype, tuple(shape), offset)


def _has_digest(ahead: DigestsAhead, stretch: Stretch | None, hashed: Callable[[], str], expected: str) -> bool:
    taken = ahead.take(stretch) if stretch is not None else None
    return (taken.sha256 if taken is not None else hashed()) == expected
