"""SHA-256 and MD5 of files, SHA-256 of decoded values; hashed on every core.

Jobs are done side by side, the largest first: hashlib lets go of the interpreter.

When they have one digest: the sha256 of a line that says dtype and shape (``uint8 60000x28x28``), then of the values in
C order, little end first. Of text, each string is its length in UTF-8 bytes, as 8 bytes, and those bytes. Where
samples differ in shape, the line says ``null`` for each axis that differs (``uint8 100xnullxnullx3``), and each sample
is its size on each of these axes, as 8 bytes, and its values.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets.concurrency import FAREWELL_S, POLL_S, Cancellation, Cancelled, cancelled_by, check_cancelled

if TYPE_CHECKING:  # and no NumPy: whoever has values to be hashed has it
    from concurrent.futures import Executor
    from pathlib import Path

    import numpy as np

    from tinytorch_datasets.plan import Column, RaggedBlock
    from tinytorch_datasets.storage.encoded_array import EncodedArray
    from tinytorch_datasets.storage.ragged_array import RaggedArray


BYTES_PER_S = 1.6e9  # about as many as a core hashes
CHUNK_BYTES = 2**19  # which stays in the cache of a core while it is copied and hashed
# A piece of an array that is mapped: hashing it waits for the interpreter once a piece, and reads nothing.
MAPPED_BYTES = 2**26
# How much of an array is looked at a time, in bytes, and how many strings.
BYTES_AT_ONCE = 2**24
STRINGS_AT_ONCE = 4096
Step = Callable[[int, int], None]


class Digest(NamedTuple):
    """What a file's bytes came to."""

    bytes: int
    sha256: str
    md5: str | None = None


class Meter:
    """Tells `step` how many bytes are done, of how many in all; from several threads but never two at once."""

    def __init__(self, step: Step | None, in_all: int) -> None:
        self._step, self._in_all, self._done = step, in_all, 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Note that so many more bytes are done."""
        if self._step is not None:
            with self._lock:
                self._done += count
                self._step(self._done, self._in_all)


def digests(
    paths: Iterable[Path], step: Step | None = None, executor: Executor | None = None
) -> dict[Path, Digest | OSError]:
    """Return the digest of each file, or why it cannot be read. `step` is called with bytes done and bytes in all.

    They are hashed by an executor, a file a task, or here on every core: the sha256 of one file cannot be taken in
    pieces.
    """
    from tinytorch_datasets.concurrency.executors import run_tasks  # which `DigestsAhead` does not wait for
    from tinytorch_datasets.concurrency.tasks import Task

    sizes = {path: size_of(path) for path in paths}
    meter = Meter(step, sum(sizes.values()))
    tasks = (Task(partial(digest_or_error, path), size, (path,)) for path, size in sizes.items())
    results = run_tasks(tasks, executor, add=meter.add)
    return dict(zip(sizes, results, strict=True))


def size_of(path: str | Path) -> int:
    """Return how many bytes a file has; none if it is not there, or in a folder that may not be looked into."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):  # this locale may have no bytes for its path
        return 0


def digest(
    path: str | Path, *, add: Callable[[int], None] | None = None, md5_too: bool = False, stretch: Stretch | None = None
) -> Digest:
    """Return the digest of a file, or of a stretch of it; `add` is called with each count of bytes read.

    Raises:
        OSError: It cannot be read.
    """
    its = stretch or Stretch(str(path))
    sha256, md5, size = hashlib.sha256(its.head), hashlib.md5(usedforsecurity=False), 0
    # While other threads import, each piece waits for the interpreter twice: as long as hashing a piece may take.
    piece_bytes = max(2 * CHUNK_BYTES, int(sys.getswitchinterval() * BYTES_PER_S)) if stretch else CHUNK_BYTES
    with open(path, "rb", buffering=0, opener=open_file) as stream:
        stream.seek(its.start)
        # One byte more, so that the end is met by the same buffer.
        buffer = memoryview(bytearray(min(piece_bytes, os.fstat(stream.fileno()).st_size + 1)))
        while count := stream.readinto(buffer):
            check_cancelled()
            sha256.update(buffer[:count])
            if md5_too:
                md5.update(buffer[:count])
            size += count
            if add is not None:
                add(count)
    return Digest(size, sha256.hexdigest(), md5.hexdigest() if md5_too else None)


def open_file(path: str, flags: int) -> int:
    """Open a file, and nothing else: a pipe that somebody planted would be waited for."""
    fd = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(errno.EISDIR, "it is no regular file", path)
    return fd


def digest_or_error(
    path: str | Path, *, add: Callable[[int], None] | None = None, md5_too: bool = False
) -> Digest | OSError:
    """Return the digest of a file, or why it cannot be read: one of many must not keep the others from being read."""
    try:
        return digest(path, add=add, md5_too=md5_too)
    except OSError as error:
        return error


def sha256_of(path: str | Path) -> str:
    """Return the sha256 of a file, as 64 lowercase hex digits; an OSError if it cannot be read."""
    return digest(path).sha256


class Stretch(NamedTuple):
    """What of a file is hashed: its bytes from `start` on, behind a line that is in no file, as values have."""

    path: str
    start: int = 0
    head: bytes = b""


def map_stretch(stretch: Stretch) -> Digest:
    """Hash an array as it is mapped when opened, in a thirtieth less time; a disk that fails ends the process."""
    if not stretch.head:
        return digest(stretch.path, stretch=stretch)
    import mmap

    sha256 = hashlib.sha256(stretch.head)
    with open(stretch.path, "rb", opener=open_file) as file:
        pages = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[stretch.start :]
    for start in range(0, len(pages), MAPPED_BYTES):
        check_cancelled()
        sha256.update(pages[start : start + MAPPED_BYTES])
    return Digest(len(pages), sha256.hexdigest())


class DigestsAhead:
    """Digests that will most likely be asked for, begun before that is known; at the end of the block, all are dropped.

    It decides nothing: `take` returns what a file's bytes came to since the block began, and only if the file is still
    as it was before they were read. What could not be read is not kept, so that whoever asks reads it, and fails.
    There is a thread for each core, and none without a stretch.
    """

    def __init__(self, stretches: Iterable[Stretch], hashing: Callable[[Stretch], Digest] = map_stretch) -> None:
        self._hash, self._cancellation, self._lock = hashing, Cancellation(), threading.Lock()
        self._waiting = sorted(set(stretches), key=lambda stretch: size_of(stretch.path))
        self._ends = {stretch: threading.Event() for stretch in self._waiting}
        self._ended: dict[Stretch, tuple[tuple[int, ...], Digest]] = {}
        self._threads: list[threading.Thread] = []
        self._has_free_core = threading.Event()

    def __enter__(self) -> DigestsAhead:
        for number in range(min(os.cpu_count() or 1, len(self._waiting))):
            thread = threading.Thread(target=self._work, name=f"tinytorch-datasets-ahead-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread is left, and whoever asks hashes it
                break
            self._threads.append(thread)
        if len(self._threads) < (os.cpu_count() or 1):
            self._has_free_core.set()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._waiting.clear()
        self._cancellation.cancel()
        for thread in self._threads:  # each ends at its next piece; until then it has a file open
            thread.join(FAREWELL_S)

    def wait_for_core(self) -> None:
        """Wait until fewer threads hash than there are cores.

        Whoever imports beside a thread on each core takes turns with all of them, for the interpreter and for a core;
        and the threads that NumPy's BLAS starts do nothing for a tenth of a second, and take half a core for it.
        """
        while not self._has_free_core.wait(POLL_S):
            check_cancelled()

    @property
    def is_at_work(self) -> bool:
        """Whether anything is still to be hashed."""
        with self._lock:
            return bool(self._waiting) or not all(end.is_set() for end in self._ends.values())

    def take(self, stretch: Stretch) -> Digest | None:
        """Return the digest of a stretch, once it is there; None if nobody has begun it, or its file has changed."""
        with self._lock:
            if stretch in self._waiting:
                self._waiting.remove(stretch)
                del self._ends[stretch]
        return self.wait(stretch)

    def wait(self, stretch: Stretch) -> Digest | None:
        """Return the digest of a stretch, once a thread has hashed it; None if none will, or its file has changed."""
        end = self._ends.get(stretch)
        while not (end is None or end.wait(POLL_S)):
            check_cancelled()
            if not any(thread.is_alive() for thread in self._threads):
                break
        before, taken = self._ended.get(stretch, ((), None))
        return taken if before and before == _signature(stretch.path) else None

    def take_or_run(
        self, stretch: Stretch, job: Callable[..., Any], add: Callable[[int], None] | None = None
    ) -> Digest | OSError | str | None:
        """Return what was hashed ahead, of values the sha256 alone; or what `job` returns, if that cannot be taken."""
        taken = self.take(stretch)
        if taken is None:
            return job(add=add)  # type: ignore[no-any-return]
        if add is not None:
            add(taken.bytes)
        return taken.sha256 if stretch.head else taken

    def _work(self) -> None:
        try:
            with cancelled_by(self._cancellation):
                while True:
                    with self._lock:
                        if not self._waiting:
                            return
                        stretch = self._waiting.pop()
                        end = self._ends[stretch]
                    try:
                        before = _signature(stretch.path)
                        self._ended[stretch] = before, self._hash(stretch)
                    except (OSError, ValueError, Cancelled):
                        pass
                    finally:
                        end.set()
        finally:
            self._has_free_core.set()


def _signature(path: str) -> tuple[int, ...]:
    """Return what changes when a file's contents do; nothing if it is not there."""
    try:
        about = os.stat(path)
    except OSError:
        return ()
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino


class ValueDigest:
    """The digest of one column's values, taken block by block, in whichever order the blocks come.

    A block that comes before its turn is held until then.
    """

    def __init__(self, dtype: str, shape: Sequence[int | None]) -> None:
        self._hash = hashlib.sha256(header(dtype, shape).encode())
        self._count, self._sample_shape = shape[0], shape[1:]
        self._early: dict[int, Any] = {}
        self.next = 0  # the sample whose turn it is

    @classmethod
    def of(cls, column: Column) -> ValueDigest:
        """Return the digest that is to be of what a column declares."""
        return cls(column.dtype, (column.count, *column.shape))

    def add(self, start: int, values: Any) -> None:
        """Take in the values from sample `start` on."""
        self._early[start] = values.values if hasattr(values, "encoded") else values  # of an `EncodedBlock`
        while self.next in self._early:
            block = self._early.pop(self.next)
            self._hash.update(_bytes(block, self._sample_shape))
            self.next += len(block)
            if not len(block):
                return

    @property
    def sha256(self) -> str | None:
        """The digest as 64 hex digits; None while samples are missing."""
        return self._hash.hexdigest() if self.next == self._count else None


def header(dtype: str, shape: Sequence[int | None]) -> str:
    """Return the line that what is hashed begins with.

    >>> header("uint8", (60000, 28, 28)), header("int32", (25000, None))
    ('uint8 60000x28x28\\n', 'int32 25000xnull\\n')
    """
    return f"{dtype} {'x'.join('null' if size is None else str(size) for size in shape)}\n"


def digest_of(values: np.ndarray | Sequence[str] | RaggedArray | EncodedArray) -> str:
    """Return the digest of a whole field, as `get` returns it; a str is the text of a split.

    >>> import numpy as np
    >>> digest_of(np.arange(3, dtype=np.uint8)) == digest_of(np.arange(3, dtype=np.uint8)[:])
    True
    >>> digest_of("no") == digest_of(["no"])
    True
    """
    if isinstance(values, str):
        values = [values]
    dtype: np.dtype[Any] | None = getattr(values, "dtype", None)
    shape = (len(values),) if dtype is None else values.shape  # type: ignore[union-attr]
    taken = ValueDigest("str" if dtype is None else dtype.name, shape)
    for start, piece in _pieces(values):
        taken.add(start, piece)
    return taken.sha256 or ""


def _pieces(values: Any) -> Iterator[tuple[int, Any]]:
    """Yield values in pieces of a size that can be held, each with its place."""
    row = getattr(values, "nbytes", 0) // max(1, len(values))
    step = max(1, BYTES_AT_ONCE // row) if row else STRINGS_AT_ONCE
    for start in range(0, len(values), step):
        check_cancelled()
        piece = values[start : start + step]
        piece = piece.decoded() if hasattr(piece, "decoded") else piece
        yield start, piece.block if hasattr(piece, "block") else piece


def _bytes(values: Any, sample_shape: Sequence[int | None]) -> Any:
    import numpy as np

    from tinytorch_datasets.plan import RaggedBlock

    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data
    if isinstance(values, RaggedBlock):
        return b"".join(_ragged_bytes(values, sample_shape))
    if hasattr(values, "utf8"):
        return _packed_bytes(*values.utf8())
    parts = [b""] * (2 * len(values))
    parts[1::2] = map(str.encode, values)
    lengths = np.fromiter(map(len, parts[1::2]), "<i8", len(values)).tobytes()
    parts[::2] = (lengths[start : start + 8] for start in range(0, len(lengths), 8))
    return b"".join(parts)


def _packed_bytes(buffer: np.ndarray, offsets: np.ndarray) -> Any:
    """Return strings that lie side by side, each behind its length, without making a str of any.

    Raises:
        ValueError: An offset leads out of the bytes, or back.
    """
    import numpy as np

    lengths = np.diff(offsets)
    # A damaged one would ask for any memory.
    if offsets[0] < 0 or offsets[-1] > len(buffer) or (offsets[1:] < offsets[:-1]).any():
        msg = "the offsets of strings are not those of their bytes"
        raise ValueError(msg)
    ends = np.arange(8, 8 * len(lengths) + 8, 8) + (offsets[:-1] - offsets[0])  # of the lengths, in what is returned
    parted = np.zeros(int(offsets[-1] - offsets[0]) + 8 * len(lengths), np.uint8)
    is_text = np.ones(len(parted), np.bool_)
    heads = (ends[:, np.newaxis] + np.arange(-8, 0)).ravel()
    is_text[heads] = False
    parted[heads] = lengths.astype("<i8").view(np.uint8)
    parted[is_text] = buffer[offsets[0] : offsets[-1]]
    return parted.data


def _ragged_bytes(block: RaggedBlock, sample_shape: Sequence[int | None]) -> Iterator[Any]:
    import numpy as np

    differing = [axis for axis, size in enumerate(sample_shape) if size is None]
    sizes, width = block.shapes[:, differing].astype("<i8").tobytes(), 8 * len(differing)
    flat = np.ascontiguousarray(block.values, block.values.dtype.newbyteorder("<")).view(np.uint8).data
    ends = (np.cumsum(block.shapes.prod(axis=1)) * block.values.dtype.itemsize).tolist()
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        yield sizes[number * width : (number + 1) * width]
        yield flat[start:end]
