"""One call of `fetch`: jobs, locks, disk space, error texts."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tinytorch_datasets.concurrency import Cancellation, run_all
from tinytorch_datasets.errors import FetchError, OfflineError, StorageError
from tinytorch_datasets.fetch.base import Brought, Kind, SourceError, is_here, place_of
from tinytorch_datasets.fetch.mirrors import Slots, Trip
from tinytorch_datasets.fetch.partial import Part, lone_part, part_beside, progress_of, sweep
from tinytorch_datasets.fetch.retry import RetryPolicy
from tinytorch_datasets.fetch.reuse import Neighbours
from tinytorch_datasets.fetch.sources import missing_folder, sources_of
from tinytorch_datasets.plan import File
from tinytorch_datasets.progress import Progress, usual
from tinytorch_datasets.storage.files import ELSEWHERE, symlink_error, writing_at_home
from tinytorch_datasets.storage.lock import held

ANOTHER = "Name a folder that is there as the mirror"


def command(dataset: str) -> str:
    """What to type to fetch the data set."""
    return f"`tinytorch-datasets get {dataset or 'NAME'}`"


def not_brought(
    file: File, tried: Sequence[tuple[str, SourceError]], target: Path, dataset: str, bytes_here: int
) -> FetchError:
    """The error for a file that no mirror gave. `tried` has the failure with each."""
    told = tuple((url, failure.reason) for url, failure in tried)
    if not tried:
        what = f"{file.name}: no mirror is declared for this file"
        hint = f"Put the file itself at {target}, or name a mirror with TINYTORCH_DATASETS_MIRROR."
    else:
        mirrors = "the one mirror" if len(tried) == 1 else f"any of {len(tried)} mirrors"
        what = "\n".join(
            (f"{file.name} could not be downloaded from {mirrors}:", *(f"  {url}: {why}" for url, why in told))
        )
        hint = _hint([failure.kind for _, failure in tried], target, dataset, bytes_here)
    return FetchError(what, where=file.where or None, hint=hint, file=file.name, tried=told)


def _hint(kinds: Sequence[Kind | None], target: Path, dataset: str, bytes_here: int) -> str:
    again = f"run {command(dataset)} again"
    kept = f" ({bytes_here:,} bytes are kept)" if bytes_here else ""
    if Kind.LOGIN_PAGE in kinds:
        return f"Open any page in a browser and log in to the network, then {again}{kept}."
    astray = Kind.NO_FOLDER in kinds
    others = [kind for kind in kinds if kind is not Kind.NO_FOLDER]
    if others and all(kind is Kind.NO_NETWORK for kind in others):
        stick = ", or name another folder as the mirror," if astray else ""
        return f"Connect to a network{stick} and {again}{kept}."
    first = f"{ANOTHER}, or an address with http:// or https://, and" if astray else "Try later:"
    return f"{first} {again}{kept}. Or put the file itself at {target}, from wherever you can get it."


def not_here(missing: Sequence[File], dataset: str, into: Path, astray: Path | None) -> OfflineError:
    """The error for files that would have to be fetched, where no socket may be opened.

    `astray` is the folder that was given as the mirror, if there is none.
    """
    whose = f" of {dataset}" if dataset else ""
    count, are, them = ("1 file", "is", "it") if len(missing) == 1 else (f"{len(missing)} files", "are", "them")
    lines = [f"{count}{whose} {are} not here, and offline nothing is fetched:"]
    lines += [f"  {file.name}, {file.bytes:,} bytes" for file in missing]
    hint = f"Run {command(dataset)} where there is a network, or put {them} into {into}."
    if astray is not None:
        lines.append(f"  {astray}: there is no such folder")
        hint = f"{ANOTHER}. Or r{hint[1:]}"
    return OfflineError(
        "\n".join(lines),
        where=missing[0].where or None,
        hint=hint,
        file=missing[0].name,
        tried=(),
        missing=tuple((file.name, file.bytes) for file in missing),
    )


def make_folders(target: Path, into: Path) -> None:
    """Make the folder of `target`, refusing to pass a symbolic link at or below `into`.

    Above `into` links are welcome: that is how people move their downloads to another disk.
    """
    with writing_at_home(into):
        into.parent.mkdir(parents=True, exist_ok=True)
    folder = into.parent
    for part in target.parent.relative_to(into.parent).parts:
        folder /= part
        with writing_at_home(folder):
            if folder.is_symlink():
                raise symlink_error(folder)
            try:
                folder.mkdir()
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(folder).st_mode):
                    raise
    if target.is_symlink():
        raise symlink_error(target)
    with writing_at_home(target.parent):
        if not os.access(target.parent, os.W_OK | os.X_OK):
            number = errno.EROFS if _is_read_only(target.parent) else errno.EACCES
            raise OSError(number, os.strerror(number))


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def make_sure_of_room(folder: Path, bytes_to_come: int) -> None:
    """Refuse before the first byte what would not fit."""
    with writing_at_home(folder):
        free = shutil.disk_usage(folder).free
    if bytes_to_come > free:
        what = f"{folder}: {bytes_to_come:,} bytes are still to come, and the disk has room for {free:,}"
        hint = f"Free some room, or {ELSEWHERE} on a larger disk."
        raise StorageError(what, hint=hint, path=folder, errno=errno.ENOSPC)


log = logging.getLogger("tinytorch_datasets.fetch")


class Errand:
    """One call of `fetch`, for the files that are missing."""

    def __init__(
        self,
        files: Sequence[File],
        into: Path,
        *,
        folder: str,
        mirror: str | None,
        offline: bool,
        locks: Path,
        dataset: str,
        neighbours: Sequence[Path],
        retry: RetryPolicy,
    ) -> None:
        self._files, self._into, self._folder = files, into, folder
        self._mirror, self._offline, self._locks = mirror, offline, locks
        self._dataset, self._places, self._retry = dataset, neighbours, retry
        self._stop = Cancellation()
        self._slots = Slots(retry)
        self._turn_to_tell = threading.Lock()
        self._not_here: list[File] = []  # offline only

    def run(self, progress: Progress | None) -> list[Brought]:
        """Bring them all, or raise the first error. Returns those that this very call has brought."""
        if progress is not None:
            return self._run(progress)
        with usual() as shown:
            return self._run(shown)

    def _run(self, progress: Progress) -> list[Brought]:
        for file in self._files:
            make_folders(place_of(file.name, self._into), self._into)
        neighbours = Neighbours(self._files, self._places)
        make_sure_of_room(self._into, sum(map(self._bytes_to_come, neighbours.strangers())))
        jobs = [partial(self._bring, file, neighbours, progress) for file in self._files]
        came = run_all(
            jobs,
            workers=self._retry.connections_in_all,
            cancellation=self._stop,
            poll_s=self._retry.poll_s,
            farewell_s=self._retry.farewell_s,
        )
        brought = [one for one in came if one is not None]
        if self._not_here:
            missing = [file for file in self._files if file in self._not_here]
            raise not_here(missing, self._dataset, self._into, missing_folder(self._mirror))
        return brought

    def _bring(self, file: File, neighbours: Neighbours, progress: Progress) -> Brought | None:
        """Bring one file. None if another process did, or if it cannot be had offline."""
        target = place_of(file.name, self._into)
        label = f"{self._folder}/{file.name}"
        lock = held(
            self._locks,
            label,
            so_far=partial(progress_of, target),
            stop=self._stop,
            poll_s=self._retry.poll_s,
            told_after_s=self._retry.lock_told_after_s,
            silence_s=self._retry.holder_silence_s,
        )
        with lock as is_ours:
            if is_here(file, target, self._dataset):
                return None
            tell = partial(self._tell, file, progress)
            path = part_beside(target) if is_ours else lone_part(target)
            with Part(path, file, is_shared=is_ours) as part:
                if not part.is_right() and (kept := neighbours.keep(file, self._stop)):
                    log.info("%s: taken from %s", label, kept)
                    part.borrow(kept)
                if not part.is_right() and not self._fetch(file, target, part, tell):
                    return None
                seen = part.settle(target)
            sweep(target)
            tell(file.bytes)
        return Brought(file, seen)

    def _fetch(self, file: File, target: Path, part: Part, tell: partial[None]) -> bool:
        make_sure_of_room(target.parent, file.bytes - part.bytes)
        sources = sources_of(
            file,
            folder=self._folder,
            mirror=self._mirror,
            offline=self._offline,
            retry=self._retry,
            stop=self._stop,
        )
        trip = Trip(file, sources, retry=self._retry, stop=self._stop, slots=self._slots, tell=tell)
        if trip.bring(part):
            return True
        tried = [(turn.source.name, turn.failure) for turn in trip.turns]
        if self._offline:
            log.info(
                "%s: %s",
                file.name,
                "; ".join(f"{name}: {failure}" for name, failure in tried) or "no folder to look in",
            )
            self._not_here.append(file)
            return False
        raise not_brought(file, tried, target, self._dataset, part.bytes)

    def _tell(self, file: File, progress: Progress, bytes_done: int) -> None:
        with self._turn_to_tell:
            self._stop.check()
            progress(file.name, bytes_done, file.bytes)

    def _bytes_to_come(self, file: File) -> int:
        try:
            here = part_beside(place_of(file.name, self._into)).stat().st_size
        except OSError:
            here = 0
        return max(0, file.bytes - here)
