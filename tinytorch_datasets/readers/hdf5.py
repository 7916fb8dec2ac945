"""HDF5 files read by h5py: within declared bounds, and no other file opened.

Layout: "HDF5 File Format Specification", The HDF Group. What is stored, how, and in how many bytes, is looked at before
h5py reads a value: links into other files are not followed, filters are of a short list, and chunks that are compressed
are measured, because the HDF5 library inflates them to whatever they come to. h5py is imported where it is used.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinytorch_datasets.digests import open_file
from tinytorch_datasets.errors import DatasetError, DecodeError, did_you_mean
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.archives.source import opened_source
from tinytorch_datasets.readers.archives.zip import NAMES_COMPARED
from tinytorch_datasets.readers.arrays import plain
from tinytorch_datasets.readers.compression import CODECS, MAGIC_BYTES
from tinytorch_datasets.readers.stream import OUTPUT_CHUNK
from tinytorch_datasets.storage.files import writing

# Where the kind of values of a length of their own is in an encoded type: 0 lists, 1 strings.
VLEN_BITS = 3
SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_DEPTH, MOST_OBJECTS = 32, 100_000

DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32_000
FILTERS = frozenset({DEFLATE, SHUFFLE, FLETCHER32, LZF})
FILTER_NAMES = {
    4: "szip", 5: "nbit", 6: "scaleoffset", 307: "bzip2", 32_001: "Blosc", 32_004: "LZ4", 32_008: "bitshuffle",
    32_013: "ZFP", 32_015: "Zstandard", 32_026: "Blosc2",
}  # fmt: skip

# Groups of MATLAB's that hold what is seen elsewhere, and how it is seen.
MATLAB_PARTS = {"#refs#": "holds what is in cells, which are not read", "#subsystem#": "holds MATLAB's own objects"}

# How much of a data set is a chunk, unless more is declared of its field; all of one is held at once.
CHUNK_BYTES = 64 << 20
# What a table has no more of.
MOST_COLUMNS = 4096
# What one chunk may come to in any case is not measured.
HARMLESS_BYTES = 1 << 20


class Stored(NamedTuple):
    """What a data set in a file is: its values' dtype and shape.

    `kind` is "numbers", "texts" (each of as many bytes as the dtype has), "strings" (each of its own length) or
    "ragged" (a list of numbers each). `id` is h5py's handle of it. Of a table, it is the one column `field`, and a row
    of all of them has `row_bytes`.
    """

    id: Any
    kind: str
    dtype: np.dtype
    shape: tuple[int, ...]
    chunk: tuple[int, ...] | None
    filters: tuple[int, ...]
    field: str = ""
    row_bytes: int = 0

    @property
    def chunk_bytes(self) -> int:
        """The bytes of a whole chunk, inflated; lists and strings have 16 there, wherever they are themselves."""
        size = self.dtype.itemsize if self.kind in ("numbers", "texts") else 16
        return math.prod(self.chunk or ()) * max(size, self.row_bytes)


@contextmanager
def on_disk(source: ByteSource, limit: int, limit_reason: str) -> Iterator[Path]:
    """Return a file that h5py can open: the file itself, or a copy without its compression, or of a member."""
    path = source.path
    with open(path, "rb", opener=open_file) as file:
        head = file.read(MAGIC_BYTES)
    if not source.member and not any(codec.magic.match(head) for codec in CODECS):
        yield path
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "inflated.h5"
        with opened_source(source, limit=limit, limit_reason=limit_reason) as stream, copy.open("wb") as out:
            while piece := stream.some(OUTPUT_CHUNK):
                with writing(copy):
                    out.write(piece)
        yield copy


@contextmanager
def opened(path: Path, named: Path) -> Iterator[Any]:
    """Open a file; what h5py says of its bytes is said of `named`.

    Raises:
        DecodeError: It is no sound HDF5, or has other bytes behind its end.
    """
    import h5py

    with refusing(named):
        _check_end(path, named)
        with h5py.File(path, "r", rdcc_nbytes=CHUNK_BYTES, rdcc_nslots=10_007) as file:
            yield file


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Report what h5py says of a file's bytes as what is wrong with the file."""
    try:
        yield
    except DatasetError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, UnicodeError, MemoryError) as error:
        message = " ".join(str(error).split("\n", 1)[0].split())[:200] or type(error).__name__
        raise DecodeError(path, f"it cannot be read as HDF5: {message.rstrip('.')}") from error


def _check_end(path: Path, named: Path) -> None:
    """Hold the size of a file against the end that its superblock states."""
    size = path.stat().st_size
    with open(path, "rb", opener=open_file) as file:
        start = 0
        while start < size:
            file.seek(start)
            head = file.read(96)
            if head.startswith(SIGNATURE):
                break
            start = 2 * start or 512
        else:
            raise DecodeError(named, "it is not HDF5: it has no superblock")
    version = head[8] if len(head) > 8 else 0
    if version > 3 or len(head) < 48:
        raise DecodeError(named, "it is not HDF5: its superblock is of an unknown version, or cut short")
    width = head[13] if version < 2 else head[9]
    at = {0: 24, 1: 28}.get(version, 12) + 2 * width
    end = int.from_bytes(head[at : at + width], "little")
    if width not in (2, 4, 8) or size > end:
        raise DecodeError(named, f"its superblock states that it ends at byte {end:,}, and it has {size:,}")


def find(file: Any, key: str, path: Path) -> Stored:
    """Return the data set at a path inside of a file.

    Raises:
        DecodeError: There is none, or it is not read.
    """
    from h5py import h5d, h5g, h5l, h5o

    group, names = h5g.open(file.id, b"/"), [part for part in key.split("/") if part]
    for at, part in enumerate(names):
        name, here = part.encode(), "/".join(names[: at + 1])
        if name not in group:
            known = [b"/".join([*map(str.encode, names[:at]), other]) for other in islice(group, NAMES_COMPARED)]
            guess = did_you_mean(key, [other.decode("utf-8", "replace") for other in known])
            raise DecodeError(path, f"it has no data set {key!r}{guess}")
        if group.links.get_info(name).type != h5l.TYPE_HARD:
            kind, target = _link(group, name)
            reason = f"{here!r} is {kind}, and links are not followed"
            elsewhere = "Declare that file, and name what is in it."
            hint = f"Name what it leads to: `key: {target}`." if target else elsewhere
            raise DecodeError(path, reason, hint=hint)
        group = h5o.open(group, name)
        is_last = at == len(names) - 1
        if isinstance(group, h5d.DatasetID) and not is_last and (columns := columns_of(group)):
            return _column(group, "/".join(names[at + 1 :]), columns, here, path)
        if not isinstance(group, h5d.DatasetID if is_last else h5g.GroupID):
            what = "no data set" if is_last else "no group"
            raise DecodeError(path, f"{here!r} is {what}")
    if not names:
        raise DecodeError(path, f"it has no data set {key!r}")
    described = describe(group)
    if isinstance(described, str):
        names = columns_of(group)
        of_table = f"Name a column of it: `key: {key}/{names[0]}`." if names else None
        raise DecodeError(path, f"data set {key!r} {described}", hint=of_table)
    return described


def columns_of(dataset: Any) -> list[str]:
    """Return the names of the columns of a table; none of what is no table, as complex numbers are none."""
    from h5py import h5t

    stored = dataset.get_type()
    if stored.get_class() != h5t.COMPOUND or stored.get_nmembers() > MOST_COLUMNS:
        return []
    names = [stored.get_member_name(number).decode("utf-8", "replace") for number in range(stored.get_nmembers())]
    return [] if names == ["r", "i"] else names


def _column(table: Any, name: str, columns: Sequence[str], key: str, path: Path) -> Stored:
    if name not in columns:
        raise DecodeError(path, f"table {key!r} has no column {name!r}{did_you_mean(name, columns)}")
    described = describe(table, name)
    if isinstance(described, str):
        raise DecodeError(path, f"column {name!r} of table {key!r} {described}")
    return described


def _link(group: Any, name: bytes) -> tuple[str, str]:
    """Return what kind of link is there, and where in the same file it leads."""
    from h5py import h5l

    if group.links.get_info(name).type == h5l.TYPE_SOFT:
        target = group.links.get_val(name).decode("utf-8", "replace")
        return f"a link to {target!r}", target
    return "a link into another file", ""


def walk(file: Any) -> Iterator[tuple[str, Stored | str]]:
    """Yield every data set of a file with its path; or why it is not read, for what is none or is not read."""
    from h5py import h5d, h5g, h5l, h5o

    met, count = dict[int, str](), 0
    waiting = [("", h5g.open(file.id, b"/"), 0)]
    while waiting:
        above, group, depth = waiting.pop(0)
        for name in group:
            count += 1
            key = f"{above}{name.decode('utf-8', 'replace')}"
            if count > MOST_OBJECTS:
                yield key, f"is one of more than {MOST_OBJECTS:,} objects"
                return
            if group.links.get_info(name).type != h5l.TYPE_HARD:
                yield key, f"is {_link(group, name)[0]}"
                continue
            found = h5o.open(group, name)
            address = hash(h5o.get_info(found).addr)
            if address in met:
                yield key, f"is another name of {met[address]!r}"
                continue
            met[address] = key
            if of_matlab := _not_values(found, key):
                yield key, of_matlab
            elif isinstance(found, h5d.DatasetID):
                columns = columns_of(found)
                yield from ((f"{key}/{column}", describe(found, column)) for column in columns)
                if not columns:
                    yield key, describe(found)
            elif isinstance(found, h5g.GroupID) and depth < MOST_DEPTH:
                waiting.append((f"{key}/", found, depth + 1))


def _not_values(found: Any, key: str) -> str:
    """Return what a data set or a group of MATLAB's holds in place of the values that it shows; "" if it has them."""
    if key in MATLAB_PARTS:
        return MATLAB_PARTS[key]
    if _attribute(found, b"MATLAB_sparse", "u8") is not None:
        return "is a sparse matrix, which is not read"
    if _attribute(found, b"MATLAB_class", "S16") == b"char":
        return "holds characters as numbers, as MATLAB stores them, which are not read as text"
    return ""


def _attribute(found: Any, name: bytes, dtype: str) -> Any:
    """Return the single value of an attribute, None if there is none, or it is of another kind."""
    from h5py import h5a, h5t

    if not h5a.exists(found, name):
        return None
    attribute = h5a.open(found, name)
    stored, value = attribute.get_type(), np.zeros((), dtype)
    is_text = stored.get_class() == h5t.STRING
    if (
        attribute.shape not in ((), (1,))
        or is_text != (value.dtype.kind == "S")
        or (is_text and stored.is_variable_str())
    ):
        return None
    value = value.reshape(attribute.shape)
    attribute.read(value)
    return value.reshape(())[()]


def describe(dataset: Any, column: str = "") -> Stored | str:
    """Return what a data set, or a column of a table, holds, or why it is not read."""
    from h5py import h5d, h5s

    plist = dataset.get_create_plist()
    layout = plist.get_layout()
    if layout == h5d.VIRTUAL:
        return "is made of data sets in other files (a virtual data set), which are not read"
    if plist.get_external_count():
        return "keeps its values in other files, which are not read"
    filters = [plist.get_filter(number) for number in range(min(plist.get_nfilters(), 8))]
    codes = tuple(code for code, *_ in filters)
    for code, _, _, name in filters:
        if code not in FILTERS:
            called = FILTER_NAMES.get(code) or name.decode("latin-1", "replace") or f"number {code}"
            return f"is compressed by the filter {called}, which is not read"
    if len(set(codes)) < len(codes) or {DEFLATE, LZF} <= set(codes):
        return "is compressed twice"
    if dataset.get_space().get_simple_extent_type() == h5s.NULL:
        return "holds nothing"
    if _attribute(dataset, b"MATLAB_empty", "u1"):
        return "is empty: MATLAB keeps its shape there"
    stored_type, row_bytes = dataset.get_type(), 0
    if column:
        row_bytes = stored_type.get_size()
        stored_type = stored_type.get_member_type(columns_of(dataset).index(column))
    kind = _kind(stored_type)
    if isinstance(kind, str):
        return kind
    if column and kind[0] not in ("numbers", "texts"):
        return "holds values of a length of their own, which are not read in a table"
    chunk = plist.get_chunk() if layout == h5d.CHUNKED else None
    stored = Stored(dataset, *kind, dataset.shape, chunk, codes, column, row_bytes)
    for code, _, values, _ in filters:
        if code == LZF and len(values) > 2 and values[2] > max(stored.chunk_bytes, HARMLESS_BYTES):
            return f"states {values[2]:,} bytes for a chunk of {stored.chunk_bytes:,}"
    return stored


def _kind(stored: Any) -> tuple[str, np.dtype] | str:
    """Return the kind and the dtype of the values that are stored by a type of HDF5; or why it is not read."""
    from h5py import h5t

    number = stored.get_class()
    if number == h5t.STRING:
        if stored.is_variable_str():
            return "strings", np.dtype(object)
        dtype = plain(f"S{stored.get_size()}")
        return ("texts", dtype) if dtype else f"holds texts of {stored.get_size():,} bytes, which is too long"
    if number == h5t.VLEN:
        if stored.encode()[VLEN_BITS] & 15:  # the library takes it for a list, and crashes
            return "holds values of a length of their own that are neither strings nor lists"
        inside = _kind(stored.get_super())
        if isinstance(inside, str) or inside[0] != "numbers":
            return "holds lists of something else than numbers"
        if not inside[1].isnative:  # h5py takes their bytes as they are, for numbers of this machine's order
            return "holds lists of numbers in the other order of bytes, which h5py does not read"
        return "ragged", inside[1]
    others = {
        h5t.COMPOUND: "a table of several columns (compound)", h5t.ARRAY: "arrays", h5t.OPAQUE: "bytes without meaning",
        h5t.REFERENCE: "references to other objects", h5t.BITFIELD: "bits", h5t.TIME: "times",
    }  # fmt: skip
    if number in others:
        return f"holds {others[number]}, which is not read as a field"
    if number not in (h5t.INTEGER, h5t.FLOAT, h5t.ENUM):
        return f"holds values of HDF5's class {number}, which is not read"
    try:
        dtype = np.dtype(stored.dtype.str)
    except TypeError:
        return f"holds numbers of {stored.get_size()} bytes, which NumPy does not have"
    if plain(dtype.str) is None:
        return f"holds {dtype.name}, which is not read"
    return "numbers", dtype


def names_of(stored: Stored) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names that a list of numbers has for them (an enumeration), and the numbers if not 0 and on."""
    from h5py import h5t

    kind = stored.id.get_type() if not stored.field else None
    if kind is None or kind.get_class() != h5t.ENUM or stored.dtype.kind == "b" or len(stored.shape) != 1:
        return (), ()
    numbers = range(min(kind.get_nmembers(), MOST_COLUMNS))
    members = sorted((int(kind.get_member_value(at)), kind.get_member_name(at)) for at in numbers)
    values = tuple(value for value, _ in members)
    names = tuple(name.decode("utf-8", "replace") for _, name in members)
    return names, () if values == tuple(range(len(values))) else values


def rows(stored: Stored, block_bytes: int, most: int) -> Iterator[tuple[int, Any]]:
    """Yield the values by runs along the first axis, each of whole chunks; `most` values of no fixed size in one."""
    import h5py

    dataset: Any = h5py.Dataset(stored.id)
    if stored.field:
        dataset = dataset.fields(stored.field)
    if not stored.shape:
        yield 0, np.reshape(np.asarray(dataset[()], object if stored.kind == "strings" else None), (1,))
        return
    count = stored.shape[0]
    if stored.kind in ("numbers", "texts"):
        row_bytes = max(math.prod(stored.shape[1:]) * max(stored.dtype.itemsize, stored.row_bytes), 1)
        step = max(1, block_bytes // row_bytes)
        if stored.chunk and stored.chunk[0] * row_bytes <= CHUNK_BYTES:
            step = max(1, step // stored.chunk[0]) * stored.chunk[0]
    else:
        step = max(1, most // max(math.prod(stored.shape[1:]), 1))
    for start in range(0, max(count, 1), step):
        yield start, dataset[start : start + step]


def flat(values: Any) -> Sequence[Any]:
    """Return the values of a block that are strings or lists, one after the other."""
    items: list[Any] = np.asarray(values, object).reshape(-1).tolist()
    return items
