"""How do all missing files of one data set come?"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tinytorch_datasets.plan import File
from tinytorch_datasets.progress import Progress, usual

from ._beside import part_beside, sweep
from ._brought import Brought
from ._crew import together
from ._flow import Slots
from ._lock import held, lone_part
from ._neighbours import Neighbours
from ._part import Part
from ._patience import Patience
from ._room import is_here, make_folders, make_sure_of_room, place_of
from ._sources import missing_folder, sources_of
from ._stop import Stop
from ._trip import Trip
from ._words import not_brought, not_here

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
        patience: Patience,
    ) -> None:
        self._files, self._into, self._folder = files, into, folder
        self._mirror, self._offline, self._locks = mirror, offline, locks
        self._dataset, self._places, self._patience = dataset, neighbours, patience
        self._stop = Stop()
        self._slots = Slots(patience)
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
        brought = [one for one in together(jobs, self._patience, self._stop) if one is not None]
        if self._not_here:
            missing = [file for file in self._files if file in self._not_here]
            raise not_here(missing, self._dataset, self._into, missing_folder(self._mirror))
        return brought

    def _bring(self, file: File, neighbours: Neighbours, progress: Progress) -> Brought | None:
        """Bring one file. None if another process did, or if it cannot be had offline."""
        target = place_of(file.name, self._into)
        label = f"{self._folder}/{file.name}"
        with held(self._locks, label, target, patience=self._patience, stop=self._stop) as is_ours:
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
            patience=self._patience,
            stop=self._stop,
        )
        trip = Trip(file, sources, patience=self._patience, stop=self._stop, slots=self._slots, tell=tell)
        if trip.bring(part):
            return True
        tried = [(turn.source.name, turn.trouble) for turn in trip.turns]
        if self._offline:
            log.info(
                "%s: %s",
                file.name,
                "; ".join(f"{name}: {trouble}" for name, trouble in tried) or "no folder to look in",
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
