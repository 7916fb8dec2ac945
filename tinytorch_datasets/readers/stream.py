"""`Stream`: the bytes of a file, decompressed, never more than declared.

A file is compressed or not by its own first bytes, never by its name. Checksums are checked because streams are
read to their end.
"""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import Aspect, ContentError, DecodeError, Keys
from tinytorch_datasets.plan import Split
from tinytorch_datasets.readers.compression import CODECS, MAGIC_BYTES, Inflated, ReadAhead

OUTPUT_CHUNK = 1 << 20

# How far past its proper end a stream is read, to say how much more there is.
OVERRUN = 1 << 16


class Stream:
    """Bytes to be read once, from front to end, of a file or of a member of an archive.

    `read` gives at most so many bytes, and none at the end. At most `limit` bytes are given out; if more come,
    the error repeats `limit_reason`, which says what was declared instead. `size` is the length, where it is known.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[int], bytes],
        *,
        member: str = "",
        size: int | None = None,
        limit: int | None = None,
        limit_reason: str = "",
    ) -> None:
        self.path, self.member, self.size = path, member, size
        self._read, self.limit, self._limit_reason = read, limit, limit_reason
        self._given, self._again = 0, b""

    def begin_with(self, begun: bytes) -> None:
        """Give out once more what was looked at, before what comes next."""
        self._again = begun

    def some(self, most: int) -> bytes:
        """Return at most `most` bytes, and none only at the end."""
        if self._again:
            out, self._again = self._again[:most], self._again[most:]
            return out
        if self.limit is None:
            return self._read(most)
        left = self.limit - self._given
        out = self._read(min(most, left) if left else 1)
        if out and not left:
            reason = f"more than {self.limit:,} bytes come out of it, but {self._limit_reason}"
            self.refuse(reason, aspect="bytes", expected=self.limit, actual=f"more than {self.limit}")
        self._given += len(out)
        return out

    def fill(self, view: memoryview) -> int:
        """Read into `view` until it is full or the end is reached; how many bytes came."""
        done = 0
        while done < len(view) and (piece := self.some(min(len(view) - done, OUTPUT_CHUNK))):
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def take(self, count: int, what: str) -> bytearray:
        """Return exactly `count` bytes, which are `what`; only ever called with counts within what was declared."""
        out = bytearray(count)
        came = self.fill(memoryview(out))
        if came < count:
            self.fail(f"it ends inside {what}: {count:,} bytes expected, {came:,} came")
        return out

    def whole(self) -> bytes:
        """Return all bytes to the end. The stream must have a limit."""
        assert self.limit is not None
        # Grown in place and handed over as it is: b"".join would hold everything twice.
        out = io.BytesIO()
        out.writelines(iter(lambda: self.some(OUTPUT_CHUNK), b""))
        return out.getvalue()

    def skip(self, count: int) -> int:
        """Read past `count` bytes; how many came."""
        done = 0
        while done < count and (piece := self.some(min(count - done, OUTPUT_CHUNK))):
            done += len(piece)
        return done

    def end(self, whole: str) -> None:
        """Refuse anything that still comes; `whole` says what should have been all."""
        extra = self.skip(OVERRUN)
        if extra:
            more = f"{extra:,} more follow" if extra < OVERRUN else f"{extra:,} or more follow"
            self.fail(f"{whole}, but {more}")

    def fail(
        self, reason: str, *, hint: str | None = None, keys: Keys = (), cause: BaseException | None = None
    ) -> NoReturn:
        """Raise an error: the bytes are not what their format, or the value at `keys` of the entry, says."""
        raise DecodeError(self.path, self._with_member(reason), hint=hint, keys=keys) from cause

    def chunk(self) -> bytes:
        """Return the next bytes, as many as are written at once; fewer at the end."""
        first = self.some(OUTPUT_CHUNK)
        if not first or len(first) == OUTPUT_CHUNK:
            return first  # as it is, and no copy
        chunk = bytearray(OUTPUT_CHUNK)
        chunk[: len(first)] = first
        return bytes(memoryview(chunk)[: len(first) + self.fill(memoryview(chunk)[len(first) :])])

    def refuse(
        self, reason: str, *, aspect: Aspect, expected: Any, actual: Any, hint: str | None = None, **whose: str
    ) -> NoReturn:
        """Raise an error: sound bytes, but not what was declared; `whose` is the `column` or the `split`."""
        error = ContentError(
            self.path, self._with_member(reason), aspect=aspect, expected=expected, actual=actual, **whose
        )
        error.hint = hint
        raise error

    def refuse_more(self, things: str, split: Split, place: str = "") -> NoReturn:
        """Raise an error: there are more of the things that are a sample each than a split declares."""
        self.refuse(
            f"it has more {things} than the {split.samples:,} that {split.name} declares{place and f' ({place})'}",
            aspect="samples",
            expected=split.samples,
            actual=f"more than {split.samples}",
            split=split.name,
        )

    def _with_member(self, reason: str) -> str:
        return f"member {self.member!r}: {reason}" if self.member else reason


@contextmanager
def opened(path: Path, *, limit: int | None = None, limit_reason: str = "") -> Iterator[Stream]:
    """Return the bytes of a file on disk, inflated if they are compressed."""
    with open(path, "rb", opener=open_file) as file:
        head = file.read(MAGIC_BYTES)
        codec = next((c for c in CODECS if c.magic.match(head)), None)
        if codec is None:
            file.seek(0)
            yield Stream(path, file.read, limit=limit, limit_reason=limit_reason)
        else:
            try:
                inflated = Inflated(path, file, head, codec)
            except ImportError as error:
                reason = f"it is compressed with {codec.name}, which this Python was built without"
                raise DecodeError(path, reason) from error
            with closing(ReadAhead(inflated.read, stop=file.close, coming=os.fstat(file.fileno()).st_size)) as ahead:
                yield Stream(path, ahead.read, limit=limit, limit_reason=limit_reason)


@contextmanager
def inflated(packed: Stream, *, limit: int | None = None, limit_reason: str = "") -> Iterator[Stream]:
    """Return the bytes of a member of an archive, inflated if they are compressed themselves."""
    head = _Bytes(packed).read(MAGIC_BYTES)
    codec = next((c for c in CODECS if c.magic.match(head)), None)
    if codec is None:
        packed.begin_with(head)
        read = packed.some
    else:
        try:
            read = Inflated(packed.path, _Bytes(packed), head, codec).read
        except ImportError as error:
            packed.fail(f"it is compressed with {codec.name}, which this Python was built without", cause=error)
    size = packed.size if codec is None else None
    yield Stream(packed.path, read, member=packed.member, size=size, limit=limit, limit_reason=limit_reason)


class _Bytes:
    """A stream as a file, of which `read` gives as many bytes as it is asked for, and fewer at the end."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self, count: int) -> bytes:
        """Read so many bytes."""
        buffer = bytearray(count)
        return bytes(memoryview(buffer)[: self._stream.fill(memoryview(buffer))])


# Encodings of text as files have it. Python knows others, which are no files' (idna, unicode_escape).
_ENCODINGS = re.compile(
    r"ascii|utf-8|utf-(?:16|32)(?:-[lb]e)?|iso8859-\d+|cp\d+|koi8-[rtu]|mac-roman|shift_jis\w*|euc_\w+|gbk|gb2312|gb18030"
    r"|big5\w*|johab|hz|tis-620"
)


def encoding_of(name: str) -> str | None:
    """Return Python's own name of a text encoding, or None if there is none of that name.

    >>> encoding_of("latin-1"), encoding_of("UTF-8"), encoding_of("rot13")
    ('iso8859-1', 'utf-8', None)
    """
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return known if _ENCODINGS.fullmatch(known) else None


def utf8_with_lf(stream: Stream, encoding: str = "utf-8") -> Stream:
    """Return the same text in UTF-8; where its lines end in CR alone, they end in LF.

    What they end in is told by the first that ends. If that was CR, an LF further down is an error: the lines in
    front of it would be others by it. UTF-8 itself is passed on as it is, to be decoded line by line.
    """
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
    ends_in_cr: bool | None = None
    left, done, lines = b"", 0, 1

    def read(most: int) -> bytes:
        nonlocal ends_in_cr, left, done, lines
        while not left:
            raw = stream.chunk()
            if decoder is not None:
                try:
                    text = decoder.decode(raw, final=not raw)
                except UnicodeError as error:  # a mark at the front that is missing is no error of a byte
                    why = error.reason if isinstance(error, UnicodeDecodeError) else error
                    stream.fail(f"near byte {done:,}, it is not {encoding}: {why}", cause=error)
                done += len(raw)
                left = text.encode("utf-8", "surrogatepass")
            else:
                left = raw
            if not raw and not left:
                return b""
            if ends_in_cr is None and (b"\n" in left or b"\r" in left[:-1] or (left[-1:] == b"\r" and not raw)):
                ends_in_cr = b"\n" not in left
            if ends_in_cr:
                if (at := left.find(b"\n")) >= 0:
                    lines += left.count(b"\r", 0, at)
                    stream.fail(f"line {lines:,} ends in LF, and the lines before it in CR")
                lines += left.count(b"\r")
                left = left.replace(b"\r", b"\n")
        out, left = left[:most], left[most:]
        return out

    return Stream(stream.path, read, member=stream.member)
