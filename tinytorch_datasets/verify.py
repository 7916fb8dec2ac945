"""Are these the promised bytes, and these the arrays that were written?

A file is hashed once, and so is a decoded array. A stamp remembers it as it was then; while the stamp still fits, its
hash is known and nothing is read. `Mode` "always" reads every byte whatever the stamp says.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from tinytorch_datasets import cache
from tinytorch_datasets.disk import reading, whole_file
from tinytorch_datasets.errors import ChangedFile, StorageError
from tinytorch_datasets.hashing import sha256_of, side_by_side
from tinytorch_datasets.maps import Stamp, stamp
from tinytorch_datasets.plan import Column, File, Plan
from tinytorch_datasets.promises import broken, check_size
from tinytorch_datasets.value_digests import Run, holds

Mode = Literal["auto", "always"]


class Stamps:
    """What was hashed before: for each path the file's stamp then, and its sha256. Kept as one small JSON file.

    Of an array it is the sha256 of each run that was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[str | int]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError, RecursionError):
            known = json.loads(path.read_bytes())
            if isinstance(known, dict):
                self._known = known

    def sha256(self, path: Path) -> str | None:
        """The file's sha256, if it was hashed before and has not changed since; None otherwise."""
        known = self._known.get(str(path))
        with contextlib.suppress(OSError):
            if isinstance(known, list) and known[:-1] == stamp(path):
                return str(known[-1])
        return None

    def only_touched(self, path: Path) -> Stamp | None:
        """The file's stamp now, if all that differs is when its links or rights changed; None otherwise."""
        known, now = self._known.get(str(path)), stamp(path)
        same = isinstance(known, list) and len(known) == 5 and [*known[:2], known[3]] == [*now[:2], now[3]]
        return now if same else None

    def remember(self, path: Path, sha256: str, seen: Stamp | None = None) -> None:
        """Note that the file has this sha256: as it was `seen` before it was hashed, or as it is now."""
        self._known[str(path)] = [*(seen or stamp(path)), sha256]
        self._changed = True

    def save(self) -> None:
        """Keep what was learned. Where nothing can be written, the next run hashes again, and that is all."""
        if self._changed:
            with contextlib.suppress(StorageError), whole_file(self._path) as out:
                out.write(json.dumps(self._known, indent=1).encode())


def check(path: Path, promised: File, *, mode: Mode, stamps: Stamps, mend: str) -> None:
    """Make sure that the file at `path` is the promised one.

    Raises:
        MissingFile: It is not there.
        HashMismatch: Its size or its sha256 is another.
        StorageError: It cannot be read.
    """
    check_size(path, promised, mend=mend)
    with reading(path, where=promised.where or None, mend=mend):
        seen = stamp(path)
        known = stamps.sha256(path) if mode == "auto" else None
        actual = known or sha256_of(path)
        if actual != promised.sha256:
            raise broken(path, promised, actual, mend=mend)
        if known is None:
            stamps.remember(path, actual, seen)


def unchanged(plan: Plan, stamps: Stamps) -> None:
    """Make sure that every file of a plan is still as it was when it was found right.

    One that was only touched, as a hard link to it does, is hashed again.

    Raises:
        ChangedFile: One was changed since, or is gone.
    """
    for file in plan.files:
        path = plan.root / file.name
        with contextlib.suppress(OSError):
            if stamps.sha256(path) == file.sha256:
                continue
            if (touched := stamps.only_touched(path)) and sha256_of(path) == file.sha256:
                stamps.remember(path, file.sha256, touched)
                continue
        what = f"{path} was changed by another program while it was read"
        raise ChangedFile(what, where=file.where, mend="Leave it alone, and ask again.", path=path)


def arrays_hold(plan: Plan, folder: Path, *, mode: Mode, stamps: Stamps) -> bool:
    """Whether the folder has every array of a plan as it was written there.

    By their stamps, as files are; those whose stamp does not fit, and in mode "always" all of them, by their hashes.
    """
    if not cache.is_whole(plan, folder):
        return False
    written = cache.runs(folder)
    try:
        doubtful = [
            column
            for column in plan.columns
            if mode == "always" or any(stamps.sha256(path) != _mark(written, column) for path in _files(column, folder))
        ]
    except FileNotFoundError:  # another process is cleaning
        return False
    jobs = [
        ((run.stop - run.start) * column.nbytes // column.count, partial(_holds, column, folder, run))
        for column in doubtful
        for run in written.get(str(column), ())
    ]
    if not all(side_by_side(jobs)):
        return False
    remember_arrays(plan, folder, stamps)
    return True


def remember_arrays(plan: Plan, folder: Path, stamps: Stamps) -> None:
    """Note that the arrays, as they are now, are those that were written."""
    written = cache.runs(folder)
    for column in plan.columns:
        mark = _mark(written, column)
        for path in _files(column, folder):
            if stamps.sha256(path) != mark:
                stamps.remember(path, mark)


def _mark(written: Mapping[str, Sequence[Run]], column: Column) -> str:
    return " ".join(run.sha256 for run in written.get(str(column), ()))


def _holds(column: Column, folder: Path, run: Run) -> bool:
    try:
        values = cache.opened(column, folder)
        return values is not None and holds(values, run)
    except (OSError, ValueError):
        return False  # no longer there, or no text


def _files(column: Column, folder: Path) -> list[Path]:
    return [folder / part.file for part in cache.parts_of(column, folder)]
