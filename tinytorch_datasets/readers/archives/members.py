"""Members that are a sample each: patterns of their names, their order, bytes.

They are those of a zip or tar archive, or files in folders. Nothing is extracted.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from tinytorch_datasets.errors import DecodeError, did_you_mean
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.source import INFLATION, SMALL_TEXT, is_litter, is_zip
from tinytorch_datasets.readers.archives.zip import NAMES_COMPARED, opened_zip
from tinytorch_datasets.readers.stream import OUTPUT_CHUNK, Stream, inflated, opened
from tinytorch_datasets.storage.files import writing

# A tar archive has its members in any order. To be given in another, they are held: so much of them in memory, the
# rest in a temporary file.
HELD_BYTES = 64 << 20


class Pattern:
    """A pattern of names: `*` is any characters but a slash, `**` any folders, or none.

    Both are matched from the left, as little as will do, and never tried again: so a pattern of many stars costs no
    more for a long name than one look at it for each.

    >>> [Pattern("a/**/*.txt").matches(name) for name in ("a/1.txt", "a/b/c/1.txt", "a/b/1.csv", "b/1.txt")]
    [True, True, False, False]
    """

    def __init__(self, pattern: str) -> None:
        self._groups: list[list[str]] = [[]]
        for part in pattern.split("/"):
            if part == "**":
                self._groups.append([])
            else:
                self._groups[-1].append(part)
        if len(self._groups) > 1 and not self._groups[-1]:  # a/** is all that is below a
            self._groups[-1].append("*")

    def matches(self, name: str) -> bool:
        """Check whether a name is one of those that it means."""
        parts = name.split("/")
        first, *middle = self._groups
        if not middle:
            return len(parts) == len(first) and _fit(parts, 0, first)
        last = middle.pop()
        at, end = len(first), len(parts) - len(last)
        if end < at or not _fit(parts, 0, first) or not _fit(parts, end, last):
            return False
        for group in middle:
            starts = range(at, end - len(group) + 1)
            start = next((start for start in starts if _fit(parts, start, group)), None)
            if start is None:
                return False
            at = start + len(group)
        return True


def _fit(parts: Sequence[str], start: int, patterns: Sequence[str]) -> bool:
    return all(_fits(parts[start + i], pattern) for i, pattern in enumerate(patterns))


def _fits(part: str, pattern: str) -> bool:
    if "*" not in pattern:
        return part == pattern
    first, *middle, last = pattern.split("*")
    at, end = len(first), len(part) - len(last)
    if end < at or not part.startswith(first) or not part.endswith(last):
        return False
    for piece in middle:
        if (at := part.find(piece, at, end)) < 0:
            return False
        at += len(piece)
    return True


# The parts of names that stand for no file: of a/../b, of /a, and of a//b.
_NAMES_OF_NOTHING = frozenset({"", ".", ".."})


# What Windows takes for a disk at the front of a name: C:/a.
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_name(path: Path, name: str) -> None:
    """Check that a member's name is a path below its archive on every system.

    Raises:
        DecodeError: It is not.
    """
    if not _NAMES_OF_NOTHING.isdisjoint(name.split("/")) or _DRIVE.match(name):
        raise DecodeError(path, f"member {name!r} has a name that leads out of the archive, or nowhere")
    if _CONTROL.search(name):
        raise DecodeError(path, f"member {name!r} has a character in its name that not every disk can store")
    if "\\" in name:
        reason = f"member {name!r} has a backslash in its name, which is a folder's end on some systems alone"
        raise DecodeError(path, reason, hint="Pack the archive anew, with / between folders.")


class _Item(NamedTuple):
    """One name or pattern of a split, `number` in its list."""

    split: int
    number: int
    text: str


class Skipped:
    """Names of members that are declared to be left out. Each must be there, and once."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._files: dict[str, set[Path]] = {name: set() for name in names}

    def leaves_out(self, name: str, path: Path) -> bool:
        """Check whether a member of an archive, or folder, is one of them, and note where it was."""
        if name not in self._files:
            return False
        self._files[name].add(path)
        return True

    def check(self, path: Path) -> None:
        """Check that each was met, in one of the files alone; `path` is for the error.

        Raises:
            DecodeError: One was not.
        """
        for number, (name, files) in enumerate(self._files.items()):
            if len(files) != 1:
                what = f"in {len(files)} of the files" if files else "no member of a split"
                keys = ("options", "skip", number)
                raise DecodeError(path, f"member {name!r}, which `skip` leaves out, is {what}", keys=keys)


class Selection:
    """Which members belong to which split, and their order.

    A split names them by exact names or by patterns. They come in the order of those; what one pattern matches,
    sorted by code points. What systems and editors leave as litter is matched by no pattern.
    """

    def __init__(self, path: Path, wanted: Mapping[str, Sequence[str]], skipped: Skipped | None = None) -> None:
        self.path, self.splits, self._skipped = path, list(wanted), skipped or Skipped()
        self.items = [_Item(s, n, text) for s, of in enumerate(wanted.values()) for n, text in enumerate(of)]
        # By the folder that a pattern names, so that a member is compared with those of its own folders alone.
        self._patterns: dict[str, list[tuple[Pattern, _Item]]] = {}
        for item in self.items:
            if "*" in item.text:
                folder = item.text[: item.text.index("*")].rpartition("/")[0]
                self._patterns.setdefault(folder, []).append((Pattern(item.text), item))
        self._lengths = {len(folder) for folder in self._patterns}
        self._exact: dict[str, list[_Item]] = {}
        for item in self.items:
            if "*" not in item.text:
                self._exact.setdefault(item.text, []).append(item)
        self._others, self._left_out = list[str](), set[_Item]()

    def item_of(self, name: str) -> _Item | None:
        """Return the name or pattern that means a member, or None if none does.

        Raises:
            DecodeError: Two do, so that it has no one place.
        """
        folders = [name[:length] for length in self._lengths if not length or name[length : length + 1] == "/"]
        near = [pair for folder in folders for pair in self._patterns.get(folder, ())]
        items = sorted(item for pattern, item in near if pattern.matches(name))
        items = [] if items and is_litter(name) else items
        items += self._exact.get(name, ())
        if len(items) > 1:
            of = [f" of {split}" if split else "" for split in self.splits]
            both = " and ".join(f"by {item.text!r}{of[item.split]}" for item in items[:2])
            reason = f"member {name!r} is named twice, {both}"
            raise DecodeError(self.path, reason, hint="A member is one sample of one split: name it once.")
        if not items and len(self._others) < NAMES_COMPARED:
            self._others.append(name)
        if items and self._skipped.leaves_out(name, self.path):
            self._left_out.add(items[0])
            return None
        return items[0] if items else None

    def ordered(self, names: Iterable[str], *, need_all: bool = True) -> list[tuple[str, str]]:
        """Return the split and the name of each member that is wanted, in order.

        Raises:
            DecodeError: A name or a pattern of a split means none of them, where all are needed; or a pattern means
                one that leads out of the archive, or two that differ in case alone.
        """
        found = [(item, name) for name in names if (item := self.item_of(name)) is not None]
        used = {item for item, _ in found} | self._left_out
        folded: dict[str, str] = {}
        for item, name in found:
            if "*" not in item.text:
                continue
            check_name(self.path, name)
            if (other := folded.setdefault(unicodedata.normalize("NFC", name).casefold(), name)) != name:
                what = "case" if other.casefold() == name.casefold() else "case, or in their form of Unicode,"
                reason = f"members {other!r} and {name!r} differ in {what} alone"
                raise DecodeError(self.path, reason, hint="If both are samples, name each of them under `members`.")
        for item in self.items:
            if need_all and item not in used:
                kind = "no member that matches" if "*" in item.text else "no member"
                reason = f"it has {kind} {item.text!r}{did_you_mean(item.text, self._others)}"
                raise DecodeError(self.path, reason)
        found.sort()
        return [(self.splits[item.split], name) for item, name in found]


class Member(NamedTuple):
    """One file of an archive, or of a folder: its split, its name there, and its bytes, inflated.

    `path` is the archive's, or its own.
    """

    split: str
    name: str
    data: bytes
    path: Path
    is_packed: bool = True

    @classmethod
    def of_cache(cls, data: bytes) -> Member:
        """Return one of which the cache has kept the bytes, and nothing else."""
        return cls("", "", data, Path(), is_packed=False)

    def fail(self, reason: str, *, hint: str | None = None) -> NoReturn:
        """Raise an error: the bytes are not what their format says."""
        raise DecodeError(self.path, f"member {self.name!r}: {reason}" if self.is_packed else reason, hint=hint)


class Allowance(NamedTuple):
    """How many bytes members may come to, beyond what text does that is compressed well.

    `declared` is what the declared samples take, `beside` what a tar archive may have around its members. `largest` is
    the most bytes of one member, None for as many as of all.
    """

    declared: int = 0
    beside: int = 0
    largest: int | None = None


ALLOWANCE = Allowance()


def read_members(
    path: Path,
    wanted: Mapping[str, Sequence[str]],
    *,
    skipped: Skipped | None = None,
    allowance: Allowance = ALLOWANCE,
) -> Iterator[Member]:
    """Yield the members that splits name, in order; see `Selection`. `path` may also be a folder of files.

    All together they may come to as many bytes as text does that is compressed well: a bounded multiple of what the
    file has on disk; and to what is allowed beside.

    Raises:
        DecodeError: It is no archive, a member is named twice or is not there, or is no plain file.
        ContentError: They are more.
    """
    selection = Selection(path, wanted, skipped)
    if path.is_dir():
        yield from _read_folder(path, selection, allowance)
    elif is_zip(path):
        yield from _read_zip(path, selection, allowance)
    else:
        yield from _read_tar(path, selection, allowance)


def names_of_members(path: Path, wanted: Iterable[str], *, beside: int) -> list[str]:
    """Return the names of an archive's files that names or patterns mean, in its own order.

    `beside` is how many bytes a tar archive may come to beyond what text does that is compressed well.

    Raises:
        DecodeError: It is no archive.
    """
    if is_zip(path):
        with opened_zip(path) as archive:
            return [name for name, entry in archive.entries.items() if not entry.is_folder]
    exact, patterns = set(wanted), [Pattern(text).matches for text in wanted if "*" in text]
    on_disk = path.stat().st_size
    limit = INFLATION * on_disk + SMALL_TEXT + beside

    def is_wanted(name: str) -> bool:
        return name in exact or (any(matches(name) for matches in patterns) and not is_litter(name))

    return [name for name, _ in tar.matching(path, is_wanted, limit=limit, limit_reason=f"the file has {on_disk:,}")]


def ordered_members(path: Path, wanted: Sequence[str], *, beside: int) -> list[str]:
    """Return the members of an archive that names or patterns mean, in order; see `Selection`.

    Raises:
        DecodeError: It is no archive, or one of them means none.
    """
    selection = Selection(path, {"": wanted})
    return [name for _, name in selection.ordered(names_of_members(path, wanted, beside=beside))]


def files_of(path: Path, *, limit: int, limit_reason: str) -> Iterator[tuple[Member, Stream]]:
    """Yield all files of an archive, each with its bytes, which are read before the next is asked for.

    Args:
        path: The archive.
        limit: How many bytes a tar archive may come to, if it has fewer itself.
        limit_reason: What sets that limit, for the error.
    """
    if is_zip(path):
        with opened_zip(path) as archive:
            for name, entry in archive.entries.items():
                if entry.is_file:
                    yield Member("", name, b"", path), archive.member(name, name, ())
    else:
        for name, stream in tar.files(path, limit=max(limit, path.stat().st_size), limit_reason=limit_reason):
            yield Member("", name, b"", path), stream


class _Budget:
    """What all members of a file together may still come to."""

    def __init__(self, on_disk: int, allowance: Allowance) -> None:
        self.limit = INFLATION * on_disk + SMALL_TEXT + allowance.declared
        self.reason = f"the file has {on_disk:,}"
        self._left, self._largest = self.limit, allowance.largest

    def read(self, stream: Stream) -> bytes:
        """Read all of a member."""
        out = bytearray()
        while piece := stream.some(OUTPUT_CHUNK):
            out += piece
            if self._largest is not None and len(out) > self._largest:
                most = self._largest
                reason = f"it is longer than {most:,} bytes, the most that is read of one"
                stream.refuse(reason, aspect="bytes", expected=most, actual=f"more than {most}")
            if len(out) > self._left:
                reason = f"up to here, its members come to more than {self.limit:,} bytes, but {self.reason}"
                stream.refuse(reason, aspect="bytes", expected=self.limit, actual=f"more than {self.limit}")
        self._left -= len(out)
        return bytes(out)


def _read_zip(path: Path, selection: Selection, allowance: Allowance) -> Iterator[Member]:
    budget = _Budget(path.stat().st_size, allowance)
    with opened_zip(path) as archive:
        names = (name for name, entry in archive.entries.items() if not entry.is_folder)
        for split, name in selection.ordered(names):
            with inflated(archive.member(name, name, (), kind="member")) as stream:
                yield Member(split, name, budget.read(stream), path)


def _read_tar(path: Path, selection: Selection, allowance: Allowance) -> Iterator[Member]:
    budget, places = _Budget(path.stat().st_size, allowance), dict[str, tuple[int, int]]()
    with tempfile.SpooledTemporaryFile(HELD_BYTES) as held:
        limit = budget.limit + allowance.beside
        wanted = tar.matching(
            path, lambda name: selection.item_of(name) is not None, limit=limit, limit_reason=budget.reason
        )
        at = 0
        for name, packed in wanted:
            with inflated(packed) as stream:
                data = budget.read(stream)
            with writing(Path(tempfile.gettempdir())):
                held.write(data)
            places[name], at = (at, len(data)), at + len(data)
        for split, name in selection.ordered(places):
            start, length = places[name]
            held.seek(start)
            yield Member(split, name, held.read(length), path)


def _read_folder(path: Path, selection: Selection, allowance: Allowance) -> Iterator[Member]:
    """Yield files whose exact names were resolved from those that are declared: a folder may hold others."""
    for split, name in selection.ordered([item.text for item in selection.items]):
        file = path / name
        if not file.is_file():
            raise DecodeError(path, f"it is a folder, and has no file {name!r}")
        budget = _Budget(file.stat().st_size, allowance)
        with opened(file) as stream:
            yield Member(split, name, budget.read(stream), file, is_packed=False)
