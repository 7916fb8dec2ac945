"""Archives inside archives: the inner one in a temporary file while it is read.

A list of names at its end and samples in any order ask for a file that can be read again, so an inner archive is
copied, still packed, into a temporary file, and what reads archives reads that. Nothing in it is extracted, and the
file goes when decoding ends, in whichever way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.archives.source import opened_member
from tinytorch_datasets.readers.stream import OUTPUT_CHUNK, Stream
from tinytorch_datasets.storage.files import writing

# An archive takes about as much inside another one as outside, unless only the outer one is packed: a tar archive of
# texts in a .tar.gz. The growth is of the file on disk, however many archives are in one another.
GROWTH = 8
SMALL_ARCHIVE = 16 << 20


class HeldMembers:
    """Members of archives, each in a temporary file as long as they are needed."""

    def __init__(self, until: ExitStack) -> None:
        self._until = until
        self._folder: Path | None = None
        self._files: dict[ByteSource, Path] = {}

    def file(self, source: ByteSource, *, declared: int = 0) -> Path:
        """Return a file with the bytes of a member, as they are; `declared` is what the declared values in it take.

        Raises:
            DecodeError: There is no such member, or one that it is in is no archive.
            ContentError: It is larger than anything that was declared lets it be.
        """
        if not source.member:
            return source.path
        if source in self._files:
            return self._files[source]
        on_disk = source.path.stat().st_size
        limit = GROWTH * on_disk + 4 * declared + SMALL_ARCHIVE
        outer = self.file(source._replace(member=source.member[:-1]), declared=declared)
        if self._folder is None:
            with writing(Path(tempfile.gettempdir())):
                folder = tempfile.TemporaryDirectory(prefix="tinytorch-datasets-")
            self._folder = Path(self._until.enter_context(folder))
        path = self._folder / str(len(self._files))
        with opened_member(outer, source.member[-1], limit) as packed, path.open("xb") as out:
            reason = f"the file that it is in has {on_disk:,}"
            stream = Stream(packed.path, packed.some, member=packed.member, limit=limit, limit_reason=reason)
            while piece := stream.some(OUTPUT_CHUNK):
                with writing(path):
                    out.write(piece)
        self._files[source] = path
        return path

    def let_name_its_archive(self, error: DecodeError) -> None:
        """Let an error name the file that was declared and the members on the way, and no temporary file."""
        for source, path in self._files.items():
            if error.path == path:
                inside = "".join(f"member {name!r}: " for name in source.member)
                error.path, error.reason = source.path, f"{inside}{error.reason}"
                error.what = f"{error.path}: {error.reason}"
                return


@contextmanager
def held_members() -> Iterator[HeldMembers]:
    """Hold members until the block ends; what is wrong with their bytes is reported of the declared file."""
    with ExitStack() as until:
        held = HeldMembers(until)
        try:
            yield held
        except DecodeError as error:
            held.let_name_its_archive(error)
            raise
