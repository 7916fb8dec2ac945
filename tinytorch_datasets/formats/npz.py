"""NPZ: NumPy's archive of several arrays in one file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import HEAD_BYTES, ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import Block, ByteSource, Column, Split
from tinytorch_datasets.readers.archives.source import is_litter, is_zip, opened_source
from tinytorch_datasets.readers.archives.zip import Zip, opened_zip
from tinytorch_datasets.readers.arrays import max_decoded
from tinytorch_datasets.readers.npy import OBJECTS, array, inspect_header, inspect_objects, pickle_of
from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.verify.diagnose import kind_of_zip

SUFFIX = ".npy"


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize a zip archive that is one as it stands on disk, surely if there is an array in it."""
    if not is_zip(path):
        return None
    with opened_zip(path) as archive:
        has_array = any(name.endswith(SUFFIX) for name in archive.entries)
    return Detection(Certainty.CERTAIN if has_array else Certainty.LIKELY, lambda: _inspect(path))


def _inspect(path: Path) -> FileInfo:
    with opened_zip(path) as archive:
        kept = [name for name in archive.entries if not is_litter(name)]
        keys = [name.removesuffix(SUFFIX) for name in kept if name.endswith(SUFFIX)]
        if not keys:
            if kind := kind_of_zip(list(archive.entries)):
                raise DecodeError(path, f"it is {kind[0]}, which no format reads", hint=kind[1])
            reason = "it is a zip archive without arrays; of those only NumPy's npz is read"
            raise DecodeError(path, reason, hint="Unpack it, and add the files in it.")
        heads = {key: archive.member(key + SUFFIX, key, keys).some(HEAD_BYTES) for key in keys}
        arrays, left_out = [], []
        for key, head in heads.items():
            dtype, shape = inspect_header(head, path, f"array {key!r}")
            try:
                if dtype == OBJECTS:
                    dtype, shape = inspect_objects(archive.member(key + SUFFIX, key, keys), shape)
            except DecodeError as error:
                left_out.append(error.reason)
            else:
                arrays.append(ArrayInfo(key, dtype, shape))
    return FileInfo(path, "npz", tuple(arrays), left_out=tuple(left_out))


def _pickles(splits: Sequence[Split]) -> Iterator[tuple[Path, str, Callable[[int], bytes]]]:
    """Yield the pickle of each array of objects."""
    for column, stream in _members(splits):
        if read := pickle_of(stream):
            yield column.file, stream.member, read


@decodes("npz", layout="file per split", pickles=_pickles, detect=_detect)
def npz(splits: Sequence[Split]) -> Iterator[Block]:
    """NPZ archives as np.savez and np.savez_compressed write them; a field's key is the name of its array.

    The arrays are as those of `npy`.

    Raises:
        DecodeError: It is not a sound archive of that kind, or an array is missing.
        UnsafePickle: A wanted array holds Python objects that are neither numbers nor texts.
        ContentError: An array's header states more than is declared.
    """
    for column, stream in _members(splits):
        yield from array(column, stream)


def _members(splits: Sequence[Split]) -> Iterator[tuple[Column, Stream]]:
    """Yield each column with the bytes of its array."""
    columns = [column for split in splits for column in split.columns.values()]
    with ExitStack() as stack:
        archives: dict[ByteSource, Zip] = {}
        for column in columns:
            if column.source not in archives:
                of_it = [other for other in columns if other.source == column.source]
                archives[column.source] = stack.enter_context(_opened(column.source, of_it))
            archive = archives[column.source]
            names = [name[: -len(SUFFIX)] for name in archive.entries if name.endswith(SUFFIX)]
            yield column, archive.member(column.key + SUFFIX, column.key, names)


@contextmanager
def _opened(source: ByteSource, columns: Sequence[Column]) -> Iterator[Zip]:
    """Open an archive; one inside another, which is read from its end, is held in memory as it is."""
    path = source.path
    if not source.member:
        with opened_zip(path) as archive:
            yield archive
        return
    fields = sum(column.nbytes for column in columns)
    limit = fields + max_decoded(path, sum(column.count for column in columns))
    with opened_source(source, limit=limit, limit_reason=f"its declared fields take {fields:,}") as stream:
        yield Zip(path, io.BytesIO(stream.whole()))
