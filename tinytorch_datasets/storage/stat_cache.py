"""Stat cache: for each file its stat signature and the SHA-256 it had then."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Literal

from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.storage.files import whole_file
from tinytorch_datasets.storage.memmap import StatSignature, stat_signature

Mode = Literal["auto", "always"]


class StatCache:
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
            if isinstance(known, list) and known[:-1] == stat_signature(path):
                return str(known[-1])
        return None

    def only_touched(self, path: Path) -> StatSignature | None:
        """The file's stamp now, if all that differs is when its links or rights changed; None otherwise."""
        known, now = self._known.get(str(path)), stat_signature(path)
        same = isinstance(known, list) and len(known) == 5 and [*known[:2], known[3]] == [*now[:2], now[3]]
        return now if same else None

    def remember(self, path: Path, sha256: str, seen: StatSignature | None = None) -> None:
        """Note that the file has this sha256: as it was `seen` before it was hashed, or as it is now."""
        self._known[str(path)] = [*(seen or stat_signature(path)), sha256]
        self._changed = True

    def save(self) -> None:
        """Keep what was learned. Where nothing can be written, the next run hashes again, and that is all."""
        if self._changed:
            with contextlib.suppress(StorageError), whole_file(self._path) as out:
                out.write(json.dumps(self._known, indent=1).encode())
