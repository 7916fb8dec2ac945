"""Whatever inflates, and in whichever thread: the same bytes, and the same words for what is wrong with them."""

from __future__ import annotations

import functools
import gzip
import lzma
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.test_conformance import SAMPLES, Sample, same
from tests.formats.test_golden import golden
from tests.formats.test_hostile import CASES
from tests.formats.test_hostile_files import MORE
from tests.helpers.format_writers import COMPRESSORS, column, inflating, put, read, split
from tests.helpers.hostile import Case, decode
from tinytorch_datasets import formats
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers import compression
from tinytorch_datasets.readers.archives.source import FILES_AHEAD, in_turn
from tinytorch_datasets.readers.compression import ALONE_BYTES, PIECE_BYTES, PIECES_AHEAD, ReadAhead
from tinytorch_datasets.readers.stream import Stream, opened

__all__ = ["inflating"]  # the fixture, which pytest looks up by name

# ISA-L, or zlib where it is not installed, is what all other tests run. So here zlib inflates whatever is deflated,
# and a thread whatever is a compressed file as a whole: members of zip archives have none.
WAYS = ("zlib", "isal", "beside")
KINDS = [*(("gzip", way) for way in WAYS), ("bz2", "beside"), ("xz", "beside")]
HOSTILE = [
    (name, case, way)
    for name, case in {**CASES, **MORE}.items()
    for way, kinds in (("zlib", ("gzip", "npz")), ("beside", ("gzip", "bz2", "xz")))
    if name.startswith(kinds) or ("zeros" in name and not name.startswith(("bz2", "xz")))
]
hostile = pytest.mark.parametrize(
    ("case", "inflating"),
    # A bomb takes as long in each way as in the one of test_hostile.py.
    [pytest.param(case, way, marks=pytest.mark.slow if "zeros" in name else ()) for name, case, way in HOSTILE],
    ids=[f"{name}-{way}" for name, _, way in HOSTILE],
    indirect=["inflating"],
)
# Arrow's own library reads what it compressed itself, and a file around it is refused.
OURS = {name: sample for name, sample in SAMPLES.items() if sample.form not in ("parquet", "arrow")}
each_kind = pytest.mark.parametrize(("kind", "inflating"), KINDS, indirect=["inflating"])
STORED_BLOCK = 65_540  # the most that one takes
DATA = np.random.default_rng(0).integers(0, 64, 3_000_000, "u1").tobytes()


@functools.cache
def compressed(kind: str) -> bytes:
    """The data in that compression, once: in the quickest way, which for xz takes a tenth of a second and not one."""
    quickly = {"gzip": partial(gzip.compress, compresslevel=1), "xz": partial(lzma.compress, preset=0)}
    return quickly.get(kind, COMPRESSORS[kind])(DATA)


def gzipped(data: bytes, *, extra: bytes = b"", name: bytes = b"", comment: bytes = b"", check: bool = False) -> bytes:
    """One member of gzip with these fields in its header (RFC 1952)."""
    flags = (4 if extra else 0) | (8 if name else 0) | (16 if comment else 0) | (2 if check else 0)
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(5) + b"\xff"
    header += struct.pack("<H", len(extra)) + extra if extra else b""
    header += name + b"\0" if name else b""
    header += comment + b"\0" if comment else b""
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF) if check else b""
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return header + engine.compress(data) + engine.flush() + struct.pack("<II", zlib.crc32(data), len(data))


def whole(path: Path) -> bytes:
    """Everything that comes out of a file."""
    with opened(path) as stream:
        return b"".join(iter(lambda: stream.some(100_000), b""))


def workers() -> list[threading.Thread]:
    """The threads that inflate."""
    return [thread for thread in threading.enumerate() if thread.name == "inflating"]


def begin(stream: Stream) -> None:
    """Read as much of a large file as is read without a thread, and a little more."""
    stream.skip(ALONE_BYTES)
    stream.some(1)


def rest(stream: Stream, into: bytearray) -> None:
    """Read a stream to its end."""
    while piece := stream.some(1 << 16):
        into += piece


@pytest.mark.usefixtures("inflating")
class TestEveryWay:
    """zlib, ISA-L, and a thread of its own from the first byte on."""

    @hostile
    def test_it_is_refused_in_the_same_words_and_its_harmless_twin_is_read(self, case: Case, tmp_path: Path) -> None:
        """Of everything that is compressed; the twin, so that refusing is not just being broken."""
        data = case.hostile()

        with pytest.raises(DecodeError) as caught:
            decode(case, data, tmp_path)

        assert caught.value.reason == (case.reason if isinstance(case.reason, str) else case.reason(len(data)))
        assert type(caught.value) is case.error
        assert decode(case, case.twin(), tmp_path)

    @pytest.mark.parametrize(
        ("sample", "inflating"),
        [
            pytest.param(sample, way, id=f"{name}-{way}", marks=() if way == ahead else pytest.mark.slow)
            for at, (name, sample) in enumerate(OURS.items())
            for ahead in [WAYS[at % 3]]
            for way in WAYS
        ],
        indirect=["inflating"],
    )
    def test_every_format_comes_back(self, sample: Sample, tmp_path: Path) -> None:
        """In blocks that tile; an NPZ is compressed inside."""
        # Thousands of members are slow to write; test_conformance.py has more than one block of them.
        samples = 900 if sample.form in ("texts", "images", "audio") else 9000
        result, options, expected = sample.write(tmp_path, samples, samples)
        for file in tmp_path.iterdir() if sample.form != "npz" else ():
            put(file, gzip.compress(file.read_bytes(), 1))

        same(read(sample.form, result, **options), expected)

    @each_kind
    def test_what_others_wrote_is_read(self, kind: str) -> None:
        """The golden file of each compression."""
        suffix = {"gzip": "gz"}.get(kind, kind)
        found = read("idx", split(column(golden(f"idx-cube.idx.{suffix}"), shape=(2, 3))))["train.images"]

        np.testing.assert_array_equal(found, np.arange(12, dtype="u1").reshape(2, 2, 3), strict=True)

    def test_a_golden_npz_is_read(self) -> None:
        """As np.savez_compressed wrote it."""
        found = read("npz", split(column(golden("npz-deflated.npz"), shape=(2,))))["train.images"]

        np.testing.assert_array_equal(found, np.array([[0, 1], [2, 3], [4, 5]], "u1"), strict=True)

    @pytest.mark.parametrize("chunk", [1, 5, 13, 100, compression.INPUT_CHUNK])
    def test_headers_may_have_anything_in_them_and_be_cut_anywhere(
        self, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where one member ends and the next begins."""
        monkeypatch.setattr(compression, "INPUT_CHUNK", chunk)
        every: dict[str, Any] = {"extra": b"BC\2\0\1\0", "name": b"a name", "comment": b"a comment", "check": True}
        fields: list[dict[str, Any]] = [{}, every, {"name": b"n" * 5000}, {"extra": b"e" * 5000, "check": True}]
        fields += [{key: value} for key, value in every.items()]
        members = [gzipped(bytes([at]) * 50, **held) for at, held in enumerate(fields * 3)]

        assert whole(put(tmp_path / "file", b"".join(members))) == b"".join(
            bytes([at]) * 50 for at in range(len(members))
        )

    @each_kind
    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param(1 << 10, marks=pytest.mark.slow),
            pytest.param(100_000, marks=pytest.mark.slow),
            pytest.param(PIECE_BYTES, marks=pytest.mark.slow),
            1 << 20,
        ],
    )
    def test_the_bytes_are_the_same_however_many_are_asked_for(self, kind: str, asked: int, tmp_path: Path) -> None:
        """More than one piece, and more of them than are made ahead."""
        with opened(put(tmp_path / "file", compressed(kind))) as stream:
            pieces = list(iter(lambda: stream.some(asked), b""))
            assert stream.some(asked) == b""

        assert max(map(len, pieces)) <= asked
        assert b"".join(pieces) == DATA

    @pytest.mark.parametrize("damage", [700_000, 1_500_000])
    def test_an_error_comes_after_what_is_before_it(self, damage: int, tmp_path: Path) -> None:
        """All but the last piece of it, in every way, and again for whoever asks again."""
        packed = bytearray(gzip.compress(DATA, 0))
        # The header of a stored block is its length, and the length's complement.
        at = packed.find(DATA[damage : damage + 50])
        header = range(at - STORED_BLOCK, at)
        blocks = (n for n in header if packed[n] ^ packed[n + 2] == packed[n + 1] ^ packed[n + 3] == 0xFF)
        packed[max(blocks)] ^= 0xFF
        got = bytearray()

        with opened(put(tmp_path / "file", bytes(packed))) as stream:
            for _ in range(2):
                with pytest.raises(DecodeError, match=r"its gzip data is damaged$"):
                    rest(stream, got)

        assert damage - PIECE_BYTES - STORED_BLOCK < len(got) <= damage
        assert DATA.startswith(bytes(got))


@pytest.mark.skipif(compression.isal() is None, reason="isal is not installed, so that zlib inflates")
def test_isal_is_used_where_it_is_installed(tmp_path: Path) -> None:
    """And not for headers that it misreads."""
    from isal.igzip_lib import IgzipDecompressor

    gzip_codec = compression.CODECS[0]
    assert isinstance(compression.deflated(), IgzipDecompressor)
    assert isinstance(gzip_codec.start(gzip.compress(b"")), IgzipDecompressor)
    assert isinstance(gzip_codec.start(gzipped(b"", name=b"a name")), IgzipDecompressor)
    for fields in ({"name": b"n" * 5000}, {"extra": b"e"}, {"comment": b"c"}, {"check": True}):
        assert isinstance(gzip_codec.start(gzipped(b"", **fields)), compression.Inflater)
    assert isinstance(gzip_codec.start(gzipped(b"", name=b"a name")[:12]), compression.Inflater)


class TestReadAhead:
    """A thread makes the next few pieces, and no more."""

    @pytest.fixture(autouse=True)
    def no_thread_is_left(self) -> Iterator[None]:
        """Whatever happened."""
        yield
        assert workers() == []

    def test_small_files_have_no_thread(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A large one has it from the start; one that looks small and is not, when that is seen."""
        monkeypatch.setattr(compression, "PIECES_AHEAD", 1)  # so that nobody is done before being asked
        small = put(tmp_path / "small", gzip.compress(DATA[:100_000]))
        large = put(tmp_path / "large", compressed("gzip"))
        dense = put(tmp_path / "dense", gzip.compress(bytes(4 * ALONE_BYTES)))
        assert dense.stat().st_size < ALONE_BYTES < large.stat().st_size

        with opened(small) as stream:
            assert len(b"".join(iter(lambda: stream.some(1 << 20), b""))) == 100_000
            assert workers() == []
        with opened(large):
            assert len(workers()) == 1
        with opened(dense) as stream:
            assert len(stream.some(1000)) == 1000
            assert workers() == []
            begin(stream)
            assert len(workers()) == 1

    def test_of_files_in_turn_the_next_few_are_begun(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No more of them, and each is closed when it has had its turn, or nobody asks for the next."""
        monkeypatch.setattr(compression, "PIECES_AHEAD", 1)  # so that nobody is done before being asked
        paths = [put(tmp_path / str(n), gzip.compress(DATA[n:], 1)) for n in range(FILES_AHEAD + 3)]

        with closing(in_turn(map(ByteSource, paths))) as streams:
            found: list[int] = []
            for stream in streams:
                left = len(paths) - len(found)
                assert len(workers()) == min(left, 1 + FILES_AHEAD)
                found.append(stream.skip(len(DATA)))
            assert found == [len(DATA) - n for n in range(len(paths))]

        with closing(in_turn(map(ByteSource, paths))) as streams:
            next(streams)
            assert len(workers()) == 1 + FILES_AHEAD
        assert workers() == []

    def test_only_so_much_is_made_as_there_is_room_for(self) -> None:
        """Beyond what has been read."""
        made = 0
        full = threading.Event()

        def make(most: int) -> bytes:
            nonlocal made
            made += most
            if made >= ALONE_BYTES + (PIECES_AHEAD + 2) * PIECE_BYTES:
                full.set()
            return bytes(most)

        with closing(ReadAhead(make, lambda: None)) as ahead:
            ahead.read(ALONE_BYTES)
            for _ in range(2):
                ahead.read(PIECE_BYTES)
            assert full.wait(60)
            time.sleep(0.05)  # in which a thread that does not stop would go on
            assert made == ALONE_BYTES + (PIECES_AHEAD + 2) * PIECE_BYTES

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
    def test_the_thread_ends_when_the_reader_does(
        self, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the file is closed."""
        monkeypatch.setattr(compression, "PIECES_AHEAD", 2)  # so that it is not done by itself
        files: list[list[threading.Thread]] = []

        def reading() -> None:
            with opened(put(tmp_path / "file", compressed("gzip"))) as stream:
                begin(stream)
                files.append(workers())
                raise error

        with pytest.raises(error):
            reading()

        assert [thread.is_alive() for thread in files[0]] == [False]
        (tmp_path / "file").unlink()  # which Windows refuses while it is open

    def test_a_decoder_that_is_dropped_takes_its_thread_along(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half way through its blocks."""
        monkeypatch.setattr(compression, "PIECES_AHEAD", 2)  # so that it is not done by itself
        shape = (1000, 3000)
        packed = gzip.compress(struct.pack(">HBBII", 0, 8, 2, *shape) + DATA, 1)
        result = split(column(put(tmp_path / "file", packed), samples=1000, shape=(3000,)))
        blocks = formats.of("idx").decode([result])
        next(iter(blocks))
        next(iter(blocks))
        assert len(workers()) == 1
        blocks.close()  # type: ignore[attr-defined]

    def test_without_threads_it_is_slower_and_right(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in a browser, or where no more may be started."""

        def none_left(thread: threading.Thread) -> None:
            msg = "can't start new thread"
            raise RuntimeError(msg)

        monkeypatch.setattr(threading.Thread, "start", none_left)

        assert whole(put(tmp_path / "file", compressed("gzip"))) == DATA

    @pytest.mark.parametrize("last", [b"", ValueError("the last")])
    def test_the_end_stays_the_end(self, last: bytes | ValueError) -> None:
        """However often it is asked for."""
        left = [b"x" * ALONE_BYTES, b"y", last]

        def make(most: int) -> bytes:
            piece = left.pop(0)
            if isinstance(piece, ValueError):
                raise piece
            return piece

        with closing(ReadAhead(make, lambda: None)) as ahead:
            read: Callable[[], bytes] = lambda: ahead.read(1 << 20)  # noqa: E731
            assert [len(read()), read()] == [ALONE_BYTES, b"y"]
            for _ in range(3):
                if last == b"":
                    assert read() == b""
                else:
                    with pytest.raises(ValueError, match=r"^the last$"):
                        read()
