"""The bytes of a file, or of a member of a zip or tar archive, for every format.

Nothing is extracted. A member that is compressed itself is inflated, as a file is. One of an archive inside an archive
is a member of that one, which `nested` holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.zip import LOCAL, opened_zip
from tinytorch_datasets.readers.stream import Stream, inflated, opened

# No compression that is read makes more of a byte (DEFLATE; bzip2 and xz are bounded by what is declared).
MOST_INFLATION = 1032

# How many bytes a text will come to is not declared. Prose shrinks to a fifth at best, tables of zeros further.
INFLATION = 32
SMALL_TEXT = 1 << 20

# So many of the files that are read one after the other are inflated ahead, beside the one that is being read.
FILES_AHEAD = 2


@contextmanager
def opened_source(source: ByteSource, *, limit: int | None = None, limit_reason: str = "") -> Iterator[Stream]:
    """Open a file, or a member of one, inflated if it is compressed; see `Stream` for the limit.

    Raises:
        DecodeError: The file is no archive, or has no such member.
    """
    path, member = source
    if not member:
        with opened(path, limit=limit, limit_reason=limit_reason) as stream:
            yield stream
        return
    (name,) = member
    with (
        opened_member(path, name, limit) as packed,
        inflated(packed, limit=limit, limit_reason=limit_reason) as stream,
    ):
        yield stream


@contextmanager
def opened_member(path: Path, name: str, limit: int | None) -> Iterator[Stream]:
    """Open a member of an archive as it is, compressed or not.

    Raises:
        DecodeError: The file is no archive, or has no such member.
    """
    if is_zip(path):
        with opened_zip(path) as archive:
            yield archive.member(name, name, archive.entries, kind="member")
        return
    most = limit if limit is not None else MOST_INFLATION * path.stat().st_size
    for _, stream in tar.members(path, {name: most}):
        yield stream


def in_turn(sources: Iterable[ByteSource]) -> Generator[Stream, None, None]:
    """Yield the bytes of each source; a stream ends when the next one is asked for, which is begun by then."""
    coming, begun = iter(sources), deque[tuple[Stream, ExitStack]]()
    with ExitStack() as still_open:
        while True:
            for source in islice(coming, 1 + FILES_AHEAD - len(begun)):
                this = still_open.enter_context(ExitStack())
                begun.append((this.enter_context(opened_source(source)), this))
            if not begun:
                return
            stream, this = begun.popleft()
            with this:
                yield stream


def is_zip(path: Path) -> bool:
    """Check whether a file begins as zip archives do."""
    with path.open("rb") as file:
        return file.read(len(LOCAL)) == LOCAL
