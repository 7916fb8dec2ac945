"""How each format's files are written, by the tools that people write them with, and read back in tests.

Nothing here uses the package's own readers to write, so that a fault in one cannot hide in the other.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch_datasets import formats
from tinytorch_datasets.plan import Column, Split
from tinytorch_datasets.readers import compression

CLASSES = ("ant", "bee", "cat")
IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def column(file: Path, field: str = "images", *, samples: int = 3, **more: Any) -> Column:
    """A column with sensible defaults; its key is its field's name."""
    declared = {"split": "train", "dtype": "uint8", "key": field, **more}
    return Column(field=field, samples=samples, file=file, **declared)


def split(*columns: Column, members: Sequence[str] = ()) -> Split:
    """One split of these columns."""
    first = columns[0]
    return Split(first.split, first.samples, {c.field: c for c in columns}, file=first.file, members=tuple(members))


def read(form: str, *splits: Split, **options: Any) -> dict[str, Any]:
    """Every column as a whole, by "split.field", put together from blocks that must tile it exactly."""
    parts: dict[str, list[tuple[int, Any]]] = {}
    for block in formats.of(form).decode(splits, **options):
        parts.setdefault(str(block.column), []).append((block.start, block.values))
    whole: dict[str, Any] = {}
    for name, pieces in parts.items():
        pieces.sort(key=lambda piece: piece[0])
        at = 0
        for start, values in pieces:
            assert start == at, f"{name} has a gap or an overlap at {at}"
            at += len(values)
        values = [piece for _, piece in pieces]
        is_text = isinstance(values[0], Sequence)
        whole[name] = [text for piece in values for text in piece] if is_text else np.concatenate(values)
    return whole


def put(path: Path, data: bytes | str) -> Path:
    """A file with that content."""
    path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    return path


def idx(values: np.ndarray) -> bytes:
    """IDX, from its description on MNIST's page."""
    code = IDX_CODES[values.dtype.str[1:]]
    header = struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def npy(values: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    """NPY, by NumPy."""
    out = io.BytesIO()
    np.lib.format.write_array(out, values, version=version)
    return out.getvalue()


def npy_with_header(header: str, body: bytes = b"", version: int = 1) -> bytes:
    """NPY with a header that NumPy would not write."""
    text = header.encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + body


def npz(**arrays: np.ndarray) -> bytes:
    """NPZ, by NumPy."""
    out = io.BytesIO()
    save: Callable[..., None] = np.savez_compressed  # typed by hand: NumPy 2.4 has a keyword of type bool as well
    save(out, **arrays)
    return out.getvalue()


def gzip_bomb(unit: bytes, count: int, before: bytes = b"") -> bytes:
    """What `gzip.compress(before + unit * count)` holds, in a tenth of the time: a mebibyte is deflated, and repeated.

    After a full flush nothing refers to what is before it, so the same bytes may follow as often as one likes.
    """
    at_once = max(1, 2**20 // len(unit))
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = engine.compress(before) + engine.flush(zlib.Z_FULL_FLUSH)
    piece = engine.compress(unit * at_once) + engine.flush(zlib.Z_FULL_FLUSH)
    last = engine.compress(unit * (count % at_once)) + engine.flush()
    length, crc = len(before) + len(unit) * count, zlib.crc32(before)
    for _ in range(count // at_once):
        crc = zlib.crc32(unit * at_once, crc)
    crc = zlib.crc32(unit * (count % at_once), crc)
    header, end = b"\x1f\x8b\x08\0\0\0\0\0\2\xff", struct.pack("<II", crc, length % 2**32)
    return header + first + piece * (count // at_once) + last + end


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive, by the standard library."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def table(rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    """CSV, by the standard library."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()


def member(name: str, data: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a tar archive; `more` is set on its header."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tarred(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive, by the standard library."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


def batch(images: np.ndarray, labels: Sequence[int], key: str = "labels", protocol: int = 2) -> bytes:
    """One of CIFAR's batches, as Python 3 would pickle it."""
    return pickle.dumps({"data": images.reshape(len(images), -1), key: list(labels)}, protocol)


@contextmanager
def memory_below(mebibytes: float) -> Iterator[None]:
    """What happens inside must never hold more than this at once."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    except BaseException:
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        assert peak < mebibytes, f"{peak:.1f} MiB were held"
        raise
    finally:
        tracemalloc.stop()
    assert peak < mebibytes, f"{peak:.1f} MiB were held"


@pytest.fixture(params=["zlib", "isal", "beside"])
def inflating(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to inflate: by zlib, by ISA-L, and by a thread of its own from the first byte on."""
    way: str = request.param
    if way == "isal" and compression.isal() is None:
        pytest.skip("isal is not installed, so that zlib inflates")
    if way == "zlib":
        monkeypatch.setattr(compression, "isal", lambda: None)
    if way == "beside":
        monkeypatch.setattr(compression, "ALONE_BYTES", 0)
    return way
