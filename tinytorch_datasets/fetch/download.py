"""One call of `fetch`: jobs, locks, disk space, error texts."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_datasets.concurrency import Cancellation, collection_paused, free_descriptors, run_all
from tinytorch_datasets.errors import FetchError, OfflineError, StorageError
from tinytorch_datasets.fetch import base
from tinytorch_datasets.fetch.base import Fetched, Kind, RetryPolicy, Source, SourceError, is_on_disk, local_path
from tinytorch_datasets.fetch.mirrors import HostLimit, MirrorLoop
from tinytorch_datasets.fetch.partial import (
    SMALL_BYTES,
    PartialFile,
    has_private_parts,
    part_progress,
    private_part,
    remove_abandoned,
    shared_part,
)
from tinytorch_datasets.fetch.sources import ReusableFiles, check_libraries, list_sources, missing_folder
from tinytorch_datasets.plan import File
from tinytorch_datasets.progress import Progress, readable, usual
from tinytorch_datasets.storage.files import ELSEWHERE, symlink_error, writing_at_home
from tinytorch_datasets.storage.lock import Locks, Waiting, hold_lock
from tinytorch_datasets.storage.memmap import is_link

if TYPE_CHECKING:
    from tinytorch_datasets.fetch.connection import Connections

Tried = Sequence[tuple[str, SourceError]]

# Of a file that is fetched: its lock, its part and its connection, and two more at the start; and of all else.
DESCRIPTORS, MOST_DESCRIPTORS, SPARE_DESCRIPTORS = 4, 6, 8

OTHER_FOLDER = "Name a folder that is there as the mirror"


def get_command(dataset: str) -> str:
    """Return what to type to fetch the data set."""
    return f"`tinytorch-datasets get {dataset or 'NAME'}`"


def download_error(file: File, tried: Tried, target: Path, dataset: str, bytes_on_disk: int) -> FetchError:
    """Make the error for a file that no mirror gave. `tried` has the failure of each."""
    reasons = tuple((url, failure.reason) for url, failure in tried)
    if not tried:
        what = f"{file.name}: no mirror is declared for this file"
        hint = f"Put the file itself at {target}, or name a mirror with TINYTORCH_DATASETS_MIRROR."
    else:
        mirrors = "the one mirror" if len(tried) == 1 else f"any of {len(tried)} mirrors"
        what = "\n".join(
            (f"{file.name} could not be downloaded from {mirrors}:", *(f"  {url}: {why}" for url, why in reasons))
        )
        hint = _hint([failure.kind for _, failure in tried], target, dataset, bytes_on_disk)
        what += "".join(f"\n  {line}" for line in _compared(file, tried))
        hint = " ".join(filter(None, (_doubt(tried), hint)))
    unreached = [failure.is_of_the_way for _, failure in tried if failure.kind is not Kind.NO_FOLDER]
    network_failed = bool(unreached) and all(unreached)
    facts = {"file": file.name, "tried": reasons, "network_failed": network_failed}
    return FetchError(what, where=file.where or None, hint=hint, **facts)


def _compared(file: File, tried: Tried) -> Iterator[str]:
    """Yield lines with the digests of what came, and the declared one; a size is in the reason already."""
    others = Counter(failure.other for _, failure in tried if failure.other)
    digests = [(other.shown, count) for other, count in others.most_common() if other.aspect == "sha256"]
    for shown, count in digests:
        yield f"sha256 of what came: {shown}" + (f" (from {count} mirrors)" if count > 1 else "")
    if digests:
        yield f"sha256 declared:     {file.sha256}"


def _doubt(tried: Tried) -> str:
    """Return a sentence that doubts the entry, where mirrors that have a file have the same, or most of them."""
    others = Counter(failure.other for _, failure in tried if failure.other)
    if not others or (len(others) > 1 and max(others.values()) == 1):
        return ""
    [(other, count)] = others.most_common(1)
    what = other.shown if other.aspect == "size" else "other bytes"
    agree = f"{count} mirrors agree on {what}, so the" if count > 1 else "The"
    return f"{agree} entry may be wrong: compare its {other.aspect} with the publisher's."


def _hint(kinds: Sequence[Kind | None], target: Path, dataset: str, bytes_on_disk: int) -> str:
    again = f"run {get_command(dataset)} again"
    kept = f" ({bytes_on_disk:,} bytes are kept)" if bytes_on_disk else ""
    if Kind.LOGIN_PAGE in kinds:
        return f"Open any page in a browser and log in to the network, then {again}{kept}."
    folder_is_missing = Kind.NO_FOLDER in kinds
    others = [kind for kind in kinds if kind is not Kind.NO_FOLDER]
    if others and all(kind is Kind.NO_NETWORK for kind in others):
        stick = ", or name another folder as the mirror," if folder_is_missing else ""
        return f"Connect to a network{stick} and {again}{kept}. `tinytorch-datasets doctor` says what is in the way."
    if others and all(kind is Kind.NO_CREDENTIALS for kind in others):
        return f"{base.CONFIGURE_CREDENTIALS}, and {again}{kept}."
    is_no_mirror = folder_is_missing or Kind.UNSUPPORTED in kinds  # and never will be one
    first = f"{OTHER_FOLDER}, or an address with http:// or https://, and" if is_no_mirror else "Try later:"
    return f"{first} {again}{kept}. Or put the file itself at {target}, from wherever you can get it."


def offline_error(missing: Mapping[File, Tried], dataset: str, into: Path, no_folder: Path | None) -> OfflineError:
    """Make the error for files that would have to be fetched, where no socket may be opened.

    `missing` has what was tried for each; `no_folder` is the folder that was given as the mirror, if it is missing.
    That a wrong file is there is no fault of the network.
    """
    whose = f" of {dataset}" if dataset else ""
    count, are, them = ("1 file", "is", "it") if len(missing) == 1 else (f"{len(missing)} files", "are", "them")
    lines = [f"{count}{whose} {are} not here, and offline nothing is fetched:"]
    refused: list[tuple[str, str]] = []
    for file, tried in missing.items():
        lines.append(f"  {file.name}, {file.bytes:,} bytes")
        absent = (Kind.NO_FILE, Kind.NO_FOLDER, Kind.UNSUPPORTED)
        what_is_there = [(name, error.reason) for name, error in tried if error.kind not in absent]
        lines += [f"    {name}: {reason}" for name, reason in what_is_there]
        lines += [f"    {line}" for line in _compared(file, tried)]
        refused += what_is_there
    hint = f"Run {get_command(dataset)} where there is a network, or put {them} into {into}."
    if no_folder is not None:
        lines.append(f"  {no_folder}: there is no such folder")
        hint = f"{OTHER_FOLDER}. Or r{hint[1:]}"
    doubts = dict.fromkeys(_doubt(tried) for tried in missing.values())
    first = next(iter(missing))
    return OfflineError(
        "\n".join(lines),
        where=first.where or None,
        hint=" ".join(filter(None, (*doubts, hint))),
        file=first.name,
        tried=tuple(refused),
        network_failed=not refused,
        missing=tuple((file.name, file.bytes) for file in missing),
    )


def make_folder_below(folder: Path, into: Path) -> None:
    """Make a folder, refusing to pass a symbolic link at or below `into`.

    Above `into` links are welcome: that is how people move their downloads to another disk.
    """
    with writing_at_home(into):
        into.parent.mkdir(parents=True, exist_ok=True)
    made = into.parent
    for part in folder.relative_to(into.parent).parts:
        made /= part
        with writing_at_home(made):
            if is_link(made):
                raise symlink_error(made)
            try:
                made.mkdir()
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(made).st_mode):
                    raise
    with writing_at_home(folder):
        if not os.access(folder, os.W_OK | os.X_OK):
            number = errno.EROFS if _is_read_only(folder) else errno.EACCES
            raise OSError(number, os.strerror(number))


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _names_in(folder: Path) -> set[str] | None:
    """List the names in a folder, so that not each of thousands of files is asked for; None where that is forbidden."""
    try:
        return {entry.name for entry in os.scandir(folder)}
    except OSError:
        return None


def _may_be_among(path: Path, names: set[str] | None) -> bool:
    return names is None or path.name in names


def check_disk_space(folder: Path, bytes_to_come: int, extra_bytes: int = 0) -> int:
    """Refuse before the first byte what would not fit, with what will be made of it; return the bytes that are free."""
    with writing_at_home(folder):
        free = shutil.disk_usage(folder).free
    if bytes_to_come + extra_bytes > free:
        decoded = f" and {extra_bytes:,} bytes of arrays will be decoded from them" if extra_bytes else ""
        what = f"{folder}: {bytes_to_come:,} bytes are still to come{decoded}, and the disk has room for {free:,}"
        hint = f"Free some room, or {ELSEWHERE} on a larger disk."
        raise StorageError(what, hint=hint, path=folder, errno=errno.ENOSPC)
    return free


log = logging.getLogger("tinytorch_datasets.fetch")


@dataclass
class Download:
    """One call of `fetch`, whose arguments these are, for the files that are missing."""

    files: Sequence[File]
    into: Path
    folder: str
    mirror: str | None
    stores: Sequence[str]
    offline: bool
    locks: Path
    dataset: str
    reuse_from: Sequence[Path]
    retry: RetryPolicy
    extra_bytes: int
    cancellation: Cancellation
    meanwhile: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self._cancellation = self.cancellation
        # Where few descriptors are left, fewer files come at once.
        free = free_descriptors() - SPARE_DESCRIPTORS
        self._workers = max(1, min(self.retry.connections_in_all, free // MOST_DESCRIPTORS))
        self._descriptors_to_keep = free - self._workers * DESCRIPTORS
        self._hosts, self._locks = HostLimit(self.retry), Locks(self.locks)
        self._report_lock, self._has_begun = threading.Lock(), threading.Event()
        self._connections: Connections | None = None
        self._missing: dict[File, Tried] = {}  # offline only
        self._folders_with_parts: set[Path] = set()  # of those that were there before
        self._announce: Callable[[str], None] = log.info

    def run(self, progress: Progress | None) -> list[Fetched]:
        """Fetch them all, or raise the first error. Returns those that this very call has fetched."""
        try:
            if progress is not None:
                return self._run(progress, log.info)
            with usual() as shown:
                return self._run(shown, log.info if self.offline else shown.write_line)
        finally:
            if self._connections is not None:
                self._connections.close()

    def _run(self, progress: Progress, announce: Callable[[str], None]) -> list[Fetched]:
        self._announce = announce
        reusable = ReusableFiles(self.files, self.reuse_from)
        to_download = reusable.to_download()
        places: dict[str, Any] = {"folder": self.folder, "mirror": self.mirror, "stores": self.stores}
        check_libraries(to_download, offline=self.offline, **places)
        if self.offline and len(to_download) == len(self.files):
            # Before a folder is made: where nothing can come, it is no matter whether it could be written.
            absent = {file: self._absent(file) for file in self.files}
            missing = {file: tried for file, tried in absent.items() if tried is not None}
            if len(missing) == len(self.files):
                raise self._offline_error(missing)
        for file in to_download:  # nor is there room to look for, or a size to announce, of what no source gives
            if not (self.offline or file.urls or self._list_sources(file)) and self._bytes_to_come(file):
                raise download_error(file, [], local_path(file.name, self.into), self.dataset, 0)
        before: dict[Path, set[str] | None] = {}  # the names in each folder
        for file in self.files:
            target = local_path(file.name, self.into)
            if (folder := target.parent) not in before:
                make_folder_below(folder, self.into)
                before[folder] = _names_in(folder)
            if _may_be_among(target, before[folder]) and is_link(target):
                raise symlink_error(target)
        self._folders_with_parts = set(filter(has_private_parts, before))
        bytes_to_come = 0
        for file in to_download:
            part = shared_part(local_path(file.name, self.into))
            bytes_to_come += self._bytes_to_come(file) if _may_be_among(part, before[part.parent]) else file.bytes
        free = check_disk_space(self.into, bytes_to_come, self.extra_bytes)
        if bytes_to_come:
            decoded = f", {readable(self.extra_bytes)} to decode" if self.extra_bytes else ""
            name = self.dataset or self.folder
            announce(f"{name}: {readable(bytes_to_come)} to download{decoded}, {readable(free)} free")
        results = run_all(
            [partial(self._fetch_file, file, reusable, progress) for file in self.files],
            workers=self._workers,
            cancellation=self._cancellation,
            poll_s=self.retry.poll_s,
            farewell_s=self.retry.cancel_wait_s,
            meanwhile=self.meanwhile,
            begun=self._has_begun,
        )
        if self._missing:
            missing = {file: self._missing[file] for file in self.files if file in self._missing}
            raise self._offline_error(missing)
        return [fetched for fetched in results if fetched is not None]

    def _offline_error(self, missing: Mapping[File, Tried]) -> OfflineError:
        return offline_error(missing, self.dataset, self.into, missing_folder(self.mirror))

    def _absent(self, file: File) -> Tried | None:
        """Return why no source on this computer has a file; None if one has, or if some of it came before."""
        if self._bytes_to_come(file) < file.bytes:
            return None
        tried = []
        for source in self._list_sources(file):
            try:
                source.open(0, None).close()
            except SourceError as failure:
                tried.append((source.name, failure))
            else:
                return None
        return tried

    def _fetch_file(self, file: File, reusable: ReusableFiles, progress: Progress) -> Fetched | None:
        """Fetch one file. None if another process did, or if it is missing offline."""
        target = local_path(file.name, self.into)
        label = f"{self.folder}/{file.name}"
        waiting = Waiting(
            progress=partial(part_progress, target),
            sleep=self._cancellation.sleep,
            report=log.warning,
            work="fetching",
            poll_s=self.retry.poll_s,
            notice_after_s=self.retry.lock_notice_after_s,
            silence_s=self.retry.holder_silence_s,
        )
        with hold_lock(self._locks, label, waiting) as is_locked:
            if is_on_disk(file, target, self.dataset):
                return None
            report = partial(self._report, file, progress)
            path = shared_part(target) if is_locked else private_part(target)
            with PartialFile(path, file, is_shared=is_locked) as part:
                if not part.matches() and (existing := reusable.find(file, self._cancellation)):
                    log.info("%s: taken from %s", label, existing)
                    part.link_to(existing)
                if not part.matches() and not self._download(file, target, part, report):
                    return None
                if not is_locked and is_on_disk(file, target, self.dataset):  # another process was faster
                    return None
                signature = part.move_into_place(target)
            if target.parent in self._folders_with_parts:
                remove_abandoned(target)
            report(file.bytes)
        return Fetched(file, signature)

    def _download(self, file: File, target: Path, part: PartialFile, report: partial[None]) -> bool:
        if file.bytes > SMALL_BYTES:  # the room for all was checked before, and who writes small ones learns of it soon
            check_disk_space(target.parent, file.bytes - part.bytes)
        loop = MirrorLoop(
            file,
            self._list_sources(file),
            retry=self.retry,
            cancellation=self._cancellation,
            hosts=self._hosts,
            report=report,
            announce=self._announce_safely,
        )
        if loop.run(part):
            return True
        tried = [(mirror.source.name, mirror.failure) for mirror in loop.mirrors]
        if self.offline:
            reasons = "; ".join(f"{name}: {failure}" for name, failure in tried)
            log.info("%s: %s", file.name, reasons or "no folder to look in")
            self._missing[file] = tried
            return False
        raise download_error(file, tried, target, self.dataset, part.bytes)

    def _list_sources(self, file: File) -> list[Source]:
        return list_sources(
            file,
            folder=self.folder,
            mirror=self.mirror,
            offline=self.offline,
            retry=self.retry,
            cancellation=self._cancellation,
            stores=self.stores,
            connections=self._shared_connections,
        )

    def _shared_connections(self) -> Connections:
        """Return what all files of this run share; made by the first that comes from the web."""
        with collection_paused():
            from tinytorch_datasets.fetch.connection import Connections  # and with it urllib3, which is heavy

        with self._report_lock:
            if self._connections is None:
                at_once = min(self.retry.connections_per_host, self._workers)
                self._connections = Connections(at_once, self._descriptors_to_keep)
            return self._connections

    def _report(self, file: File, progress: Progress, bytes_done: int) -> None:
        with self._report_lock:
            self._cancellation.check()
            self._has_begun.set()
            progress(file.name, bytes_done, file.bytes)

    def _announce_safely(self, line: str) -> None:
        with self._report_lock:
            self._announce(line)

    def _bytes_to_come(self, file: File) -> int:
        try:
            bytes_on_disk = shared_part(local_path(file.name, self.into)).stat().st_size
        except OSError:
            bytes_on_disk = 0
        return max(0, file.bytes - bytes_on_disk)
