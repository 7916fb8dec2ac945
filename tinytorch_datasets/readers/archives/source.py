"""Bytes of files, and of members of archives, for every format; names of litter.

Nothing is extracted. A member that is compressed itself is inflated, as a file is. One of an archive inside an archive
is a member of that one. A list of names at its end, and samples in any order, ask for a file that can be read again: so
an inner archive is copied, still packed, into a temporary file, and what reads archives reads that. The file goes when
decoding ends, in whichever way.
"""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.zip import LOCAL, opened_zip
from tinytorch_datasets.readers.stream import OUTPUT_CHUNK, Stream, inflated, opened
from tinytorch_datasets.storage.files import writing

# No compression that is read makes more of a byte (DEFLATE; bzip2 and xz are bounded by what is declared).
MOST_INFLATION = 1032

# How many bytes a text will come to is not declared. Prose shrinks to a fifth at best, tables of zeros further.
INFLATION = 32
SMALL_TEXT = 1 << 20

# So many of the files that are read one after the other are inflated ahead, beside the one that is being read.
FILES_AHEAD = 2

# An archive takes about as much inside another one as outside, unless only the outer one is packed: a tar archive of
# texts in a .tar.gz. The growth is of the file on disk, however many archives are in one another.
GROWTH = 8
SMALL_ARCHIVE = 16 << 20


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
    with open(path, "rb", opener=open_file) as file:
        return file.read(len(LOCAL)) == LOCAL


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
                folder = tempfile.TemporaryDirectory(prefix="tinytorch-datasets-", ignore_cleanup_errors=True)
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


# Litter: what systems, editors and programs leave beside data, in folders, archives and mirrors. What looks for data
# passes over it; a file that is declared by its name is never litter to whoever reads the declaration. The names are in
# lower case: disks of macOS and Windows do not tell letter cases apart.
_LITTER_NAMES = frozenset(
    (
        # macOS
        *("__macosx", ".ds_store", ".appledouble", ".localized", "icon\r", ".spotlight-v100", ".trashes", ".fseventsd"),
        ".temporaryitems",
        # Windows
        *("desktop.ini", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "$recycle.bin", "system volume information"),
        # Linux desktops
        *(".directory", "lost+found"),
        # version control, editors, notebooks, Python
        *(".git", ".gitattributes", ".gitignore", ".gitkeep", ".hg", ".svn", ".idea", ".vscode", ".ipynb_checkpoints"),
        *("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
    )
)

# AppleDouble files, backups and locks of editors and office programs, the trash of Linux, files that NFS still holds.
_LITTER_PATTERN = re.compile(
    r"\._.*|.+~|(?:eh)?thumbs\.db:encryptable|\.fuse_hidden.*|#.*#|\.#.*|~\$.*|\.~lock\..*#|\..*\.sw[a-p]|\.trash-\d+|\.nfs[0-9a-f]{8,}|.*\.py[co]",
    re.DOTALL,
)


def is_litter(path: str) -> bool:
    """Check whether a path, with forward slashes, is of litter, or of a file in a folder of litter.

    >>> [is_litter(path) for path in ("__MACOSX/a/._b.npy", "a/Thumbs.db", "train.csv~", "a/train.csv", "./_b.npy")]
    [True, True, True, False, False]
    """
    parts = path.casefold().split("/")
    return any(part in _LITTER_NAMES or _LITTER_PATTERN.fullmatch(part) is not None for part in parts)
