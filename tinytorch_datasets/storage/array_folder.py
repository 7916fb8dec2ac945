"""`ArrayFolder`: the decoded arrays of a data set on disk, opened once.

Each array is a `.npy` file; beside them, `digests.json` has the digest of each column's values as they were written,
and the stat signatures of its files then. While the signatures fit, the arrays are what this package wrote on this
machine. When they do not, somebody changed them, or brought the folder from elsewhere with whatever digests: then the
digests that the manifest declares decide, and where it declares none, the arrays are decoded again.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.concurrency import run_all
from tinytorch_datasets.digests import STRINGS_AT_ONCE, digest_of
from tinytorch_datasets.plan import Block, Column, Mode, Plan
from tinytorch_datasets.storage.files import write_if_possible
from tinytorch_datasets.storage.memmap import Part, StatSignature, open_map, open_regular
from tinytorch_datasets.storage.string_array import StringArray, Values

DIGESTS = "digests.json"
BLOCK_BYTES = 2**20


class Written(NamedTuple):
    """What is noted of a column when it is written: the digest of its values, and the signature of each file."""

    sha256: str
    signatures: Mapping[str, StatSignature]


def file_names(column: Column) -> tuple[str, ...]:
    """Return the names of a column's files: one for numbers; for text, the buffer and the offsets in it."""
    return (f"{column}.utf8.npy", f"{column}.places.npy") if column.is_text else (f"{column}.npy",)


class ArrayFolder:
    """A folder of a plan's decoded arrays. Headers, signatures and digests are read once, when it is opened."""

    def __init__(self, plan: Plan, path: Path) -> None:
        self.plan, self.path = plan, path
        self._written = _read_written(path)
        self._signatures: dict[str, StatSignature] = {}
        self._parts = {str(column): self._whole_parts(column) for column in plan.columns}

    def _whole_parts(self, column: Column) -> list[Part] | None:
        parts = []
        for name in file_names(column):
            header = read_header(self.path, name)
            if header is None:
                return None
            part, self._signatures[name] = header
            parts.append(part)
        if column.is_text:
            return parts if parts[1].shape == (column.count + 1,) else None
        declared = ((column.samples, *column.shape), np.dtype(column.dtype).str)
        return parts if (parts[0].shape, parts[0].dtype) == declared else None

    @property
    def is_whole(self) -> bool:
        """Whether every array of the plan is there, whole and of the declared form, and the digest of each."""
        return all(self._parts.values()) and self._parts.keys() <= self._written.keys()

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each column's values as they were written, by column (``train.images``)."""
        return {column: self._written[column].sha256 for column in self._parts if column in self._written}

    @property
    def signatures(self) -> dict[str, StatSignature]:
        """The stat signature of each array's file, by path, as it was when the folder was opened."""
        return {str(self.path / name): signature for name, signature in self._signatures.items()}

    def parts(self, column: Column) -> list[Part]:
        """Return where in the folder a column's values are: one part for numbers, two for text.

        Raises:
            FileNotFoundError: They are not there, or not whole.
        """
        if (parts := self._parts[str(column)]) is None:
            raise FileNotFoundError(errno.ENOENT, "not there, or not whole", str(self.path / f"{column}.npy"))
        return parts

    def values(self, column: Column) -> Values | str:
        """Open a column's values, memory-mapped; the text of a whole split is a str.

        Raises:
            OSError: They are not there, or not whole.
            ValueError: They are no text, or were cut since.
        """
        values = [open_map(self.path, part) for part in self.parts(column)]
        if not column.is_text:
            return values[0]
        buffer, offsets = values
        return bytes(buffer).decode() if column.per == "split" else StringArray(buffer, offsets[:-1], offsets[1:])

    def digest_now(self, column: Column) -> str | None:
        """Hash a column's values as they are on disk now; None if they are not there, or are no text."""
        try:
            return digest_of(self.values(column))
        except (OSError, ValueError):
            return None

    def blocks(self) -> Iterator[Block]:
        """Yield all values in blocks small enough to stay in the processor's cache.

        Raises:
            OSError: An array is not there, or not whole.
            ValueError: An array is no text.
        """
        for column in self.plan.columns:
            values = self.values(column)
            if isinstance(values, str):
                yield Block(column, 0, [values])
                continue
            step = max(1, BLOCK_BYTES * len(values) // column.nbytes) if column.nbytes else STRINGS_AT_ONCE
            for start in range(0, len(values), step):
                yield Block(column, start, values[start : start + step])

    def matches(self, mode: Mode) -> bool:
        """Check whether the arrays are what the plan's files decode to, as far as can be known without decoding.

        Those whose signatures fit are taken for what was written; in mode "always" they are hashed all the same. All
        others must have the digest that the manifest declares: what lies beside them may have come with them.
        """
        if not self.is_whole:
            return False
        doubtful: list[tuple[Column, str]] = []
        from_elsewhere = False
        for column in self.plan.columns:
            written = self._written[str(column)]
            is_ours = all(self._signatures[name] == written.signatures.get(name) for name in file_names(column))
            expected = column.sha256 or (written.sha256 if is_ours else None)
            if expected is None or (is_ours and written.sha256 != expected):
                return False
            if mode == "always" or not is_ours:
                doubtful.append((column, expected))
            from_elsewhere = from_elsewhere or not is_ours
        jobs = [partial(self._has_digest, column, expected) for column, expected in doubtful]
        if not all(run_all(jobs, sizes=[column.nbytes for column, _ in doubtful])):
            return False
        if from_elsewhere:
            self._note(dict(doubtful))
        return True

    def _has_digest(self, column: Column, expected: str) -> bool:
        return self.digest_now(column) == expected

    def _note(self, digests: Mapping[Column, str]) -> None:
        """Note arrays that were found right, so that they need not be hashed again."""
        signatures = {str(c): {name: self._signatures[name] for name in file_names(c)} for c in digests}
        found_right = {str(c): Written(sha256, signatures[str(c)]) for c, sha256 in digests.items()}
        self._written = {**self._written, **found_right}
        write_if_possible(self.path / DIGESTS, written_to_bytes(self._written))


def written_to_bytes(written: Mapping[str, Written]) -> bytes:
    """Return the contents of the file that notes what was written of each column."""
    return json.dumps(written).encode()


def _read_written(folder: Path) -> dict[str, Written]:
    try:
        with os.fdopen(open_regular(folder / DIGESTS), "rb") as file:
            known = json.loads(file.read())
        return {str(column): Written(str(sha256), dict(files)) for column, (sha256, files) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def read_header(folder: Path, name: str) -> tuple[Part, StatSignature] | None:
    """Read what there is to note of a `.npy` file, and its stat signature; None if it is not there or not whole."""
    try:
        with os.fdopen(open_regular(folder / name), "rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                return None
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            offset, about = stream.tell(), os.fstat(stream.fileno())
    except Exception:
        # Cut short, removed, damaged or another program's: as good as absent, and the next decoding replaces it.
        # NumPy parses a header as Python, and lets out whatever its tokenizer says of a flipped bit.
        return None
    nbytes: Any = dtype.itemsize * int(np.prod(shape, dtype=object))
    if fortran or dtype.hasobject or about.st_size != offset + nbytes:
        return None
    signature = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
    return Part(name, dtype.str, tuple(shape), offset), signature
