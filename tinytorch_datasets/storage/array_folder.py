"""`ArrayFolder`: decoded arrays on disk, opened once; or `collect`ed in memory.

Each array is a `.npy` file; beside them, `digests.json` has the digest of each column's values as they were written,
and the stat signatures of its files then. While the signatures fit, the arrays are what this package wrote on this
machine. When they do not, somebody changed them, or brought the folder from elsewhere with whatever digests: then the
digests that the manifest declares decide, and where it declares none, the arrays are decoded again.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytorch_datasets.concurrency.executors import run_tasks
from tinytorch_datasets.concurrency.tasks import Task
from tinytorch_datasets.digests import STRINGS_AT_ONCE, digest_of
from tinytorch_datasets.plan import Block, Column, Mode, Plan
from tinytorch_datasets.storage.cache_entry import assemble
from tinytorch_datasets.storage.encoded_array import EncodedArray, Recipe
from tinytorch_datasets.storage.files import write_if_possible
from tinytorch_datasets.storage.memmap import (
    Part,
    StatSignature,
    map_values,
    open_map,
    open_regular,
    read_regular,
    stat_signature,
)
from tinytorch_datasets.storage.ragged_array import RaggedArray
from tinytorch_datasets.storage.string_array import StringArray, Values

if TYPE_CHECKING:
    from concurrent.futures import Executor

DIGESTS = "digests.json"
BLOCK_BYTES = 2**20


class Written(NamedTuple):
    """What is noted of a column when it is written: the digest of its values, and the signature of each file."""

    sha256: str
    signatures: Mapping[str, StatSignature]


def file_names(column: Column) -> tuple[str, ...]:
    """Return the names of a column's files: of an array, or of the arrays that strings and ragged arrays consist of."""
    if column.is_encoded:
        kinds = ["encoded", "offsets", "shapes"] if column.is_ragged else ["encoded", "offsets"]
    elif column.is_ragged:
        kinds = ["values", "offsets"] if len(column.shape) == 1 else ["values", "offsets", "shapes"]
    else:
        kinds = ["utf8", "places"] if column.is_text else []
    return tuple(f"{column}.{kind}.npy" for kind in kinds) or (f"{column}.npy",)


class ArrayFolder:
    """A folder of a plan's decoded arrays. Headers, signatures and digests are read once, when it is opened.

    Args:
        plan: What the arrays are of.
        path: The folder.
        maps: Takes the map of each array, by its file's name, so that no file is opened again. A map holds a file
            descriptor, of which a process has few: without this, an array is mapped when it is asked for.
        recipe: How the samples of a column are decoded that is kept encoded.
    """

    def __init__(
        self,
        plan: Plan,
        path: Path,
        maps: dict[str, np.ndarray] | None = None,
        recipe: Callable[[Column], Recipe] | None = None,
    ) -> None:
        self.plan, self.path = plan, path
        self._maps, self._recipe = maps, recipe
        self._written = _read_written(path)
        self._signatures: dict[str, StatSignature] = {}
        self._parts = {str(column): self._whole_parts(column) for column in plan.columns}

    @classmethod
    def first_match(
        cls,
        plan: Plan,
        paths: Iterable[Path],
        mode: Mode,
        recipe: Callable[[Column], Recipe] | None = None,
        executor: Executor | None = None,
    ) -> ArrayFolder | None:
        """Open the first of these folders whose arrays match, with all of them mapped; None if none does."""
        folders = (cls(plan, path, {}, recipe) for path in paths)
        return next((folder for folder in folders if folder.matches(mode, executor)), None)

    def _whole_parts(self, column: Column) -> list[Part] | None:
        parts = []
        for name in file_names(column):
            header = read_header(self.path, name, self._maps)
            if header is None:
                return None
            part, self._signatures[name] = header
            parts.append(part)
        if column.is_text:
            return parts if parts[1].shape == (column.count + 1,) else None
        if column.is_ragged or column.is_encoded:
            shapes = [(column.samples + 1,), (column.samples, len(column.shape))][: len(parts) - 1]
            is_whole = [part.shape for part in parts[1:]] == shapes and len(parts[0].shape) == 1
        else:
            is_whole = parts[0].shape == (column.samples, *column.shape)
        dtype = np.dtype(np.uint8 if column.is_encoded else column.dtype).str
        return parts if is_whole and parts[0].dtype == dtype else None

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
        """Return where in the folder a column's values are: one part for each of its files.

        Raises:
            FileNotFoundError: They are not there, or not whole.
        """
        if (parts := self._parts[str(column)]) is None:
            raise FileNotFoundError(errno.ENOENT, "not there, or not whole", str(self.path / f"{column}.npy"))
        return parts

    def paths(self, column: Column) -> tuple[Path, ...]:
        """Return the files that a column's values are in, or would be."""
        return tuple(self.path / name for name in file_names(column))

    def values(self, column: Column) -> Values | str:
        """Open a column's values, memory-mapped; the text of a whole split is a str.

        Raises:
            OSError: They are not there, or not whole.
            ValueError: They are no text, or were cut since.
        """
        values = self._open(column)
        if column.per == "split":
            return bytes(values[0]).decode()
        if column.is_encoded:
            assert self._recipe is not None  # whoever opens what is encoded says how it is decoded
            recipe = self._recipe(column)
            return EncodedArray.mapped(values, dtype=column.dtype, sample_shape=column.shape, recipe=recipe)
        return assemble(values, column.shape if column.is_ragged else None)

    def arrays(self) -> dict[str, Values]:
        """Open the values of each column (``train.images``); of the text of a whole split, its bytes.

        Raises:
            OSError: They are not there, or not whole.
        """
        return {
            str(column): self._open(column)[0] if column.per == "split" else self.values(column)  # type: ignore[misc]
            for column in self.plan.columns
        }

    def _open(self, column: Column) -> list[np.ndarray]:
        maps = self._maps or {}
        return [maps[part.file] if part.file in maps else open_map(self.path, part) for part in self.parts(column)]

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
            nbytes = getattr(values, "nbytes", 0)
            step = max(1, BLOCK_BYTES * len(values) // nbytes) if nbytes else STRINGS_AT_ONCE
            if isinstance(values, EncodedArray):
                for at in range(0, len(values), step):
                    part = values[at : at + step].decoded()
                    yield Block(column, at, part.block if isinstance(part, RaggedArray) else part)
                continue
            if isinstance(values, RaggedArray):
                yield from (Block(column, at, values[at : at + step].block) for at in range(0, len(values), step))
                continue
            for start in range(0, len(values), step):
                yield Block(column, start, values[start : start + step])

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle: not the maps, which would be the values."""
        return {**self.__dict__, "_maps": None}

    def matches(self, mode: Mode, executor: Executor | None = None) -> bool:
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
        sizes = [sum(self._signatures[name][0] for name in file_names(column)) for column, _ in doubtful]
        tasks = (
            Task(partial(self._has_digest, column, expected), size, self.paths(column))
            for (column, expected), size in zip(doubtful, sizes, strict=True)
        )
        has_digest = run_tasks(tasks, executor)
        if not all(has_digest):
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


def collect(
    blocks: Iterable[tuple[Column, int, Any]], recipe: Callable[[Column], Recipe] | None = None
) -> dict[str, Values | str]:
    """Gather all columns' blocks in memory, by column (``train.images``), read-only as memory maps are.

    `recipe` says how the samples of a column are decoded that is kept encoded.
    """
    arrays: dict[str, Any] = {}
    columns: dict[str, Column] = {}
    for column, start, values in blocks:
        name = str(column)
        columns[name] = column
        if column.is_encoded or column.is_ragged or column.is_text:
            arrays.setdefault(name, []).append(values)
            continue
        if name not in arrays:
            arrays[name] = np.empty((column.samples, *column.sample_shape), column.dtype)
        arrays[name][start : start + len(values)] = values
    for name, values in arrays.items():
        if columns[name].is_encoded:
            column = columns[name]
            assert recipe is not None  # whoever keeps samples encoded says how they are decoded
            encoded = [one for block in values for one in block.encoded]
            shapes = np.concatenate([block.values.shapes for block in values]) if column.is_ragged else None
            kind: dict[str, Any] = {"dtype": column.dtype, "sample_shape": column.shape}
            arrays[name] = EncodedArray.of(encoded, shapes, recipe=recipe(column), **kind)
        elif columns[name].is_ragged:
            arrays[name] = RaggedArray.joined(values, columns[name].shape)
        elif columns[name].is_text:
            strings = [text for block in values for text in block]
            arrays[name] = strings[0] if columns[name].per == "split" else StringArray.of(strings)
        else:
            values.flags.writeable = False
    return arrays


def written_to_bytes(written: Mapping[str, Written]) -> bytes:
    """Return the contents of the file that notes what was written of each column."""
    return json.dumps(written).encode()


def _read_written(folder: Path) -> dict[str, Written]:
    try:
        known = json.loads(read_regular(folder / DIGESTS))
        return {str(column): Written(str(sha256), dict(files)) for column, (sha256, files) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def read_header(
    folder: Path, name: str, maps: dict[str, np.ndarray] | None = None
) -> tuple[Part, StatSignature] | None:
    """Read what there is to note of a `.npy` file, and its stat signature; None if it is not there or not whole.

    If `maps` is given, it takes the map of the values, of the same opening of the file.
    """
    try:
        fd = open_regular(folder / name)
    except (OSError, ValueError):
        return None
    with os.fdopen(fd, "rb") as stream:
        try:
            if np.lib.format.read_magic(stream) != (1, 0):
                return None
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        except Exception:
            # Cut short, damaged or another program's: as good as absent, and the next decoding replaces it.
            # NumPy parses a header as Python, and lets out whatever its tokenizer says of a flipped bit.
            return None
        part, signature = Part(name, dtype.str, tuple(shape), stream.tell()), stat_signature(fd)
        nbytes: Any = dtype.itemsize * int(np.prod(shape, dtype=object))
        if fortran or dtype.kind not in "biuf" or signature[0] != part.offset + nbytes:
            return None
        if maps is not None:
            maps[name] = map_values(fd, str(folder / name), part, signature[0])
    return part, signature
