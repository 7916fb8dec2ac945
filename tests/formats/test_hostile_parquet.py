"""Hostile Parquet and Arrow files: refused in one sentence, in bounded memory; their harmless twins are read."""

from __future__ import annotations

import base64
import gzip
import io
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.formats.test_parquet import as_stream
from tests.helpers.format_writers import column, put, split
from tests.helpers.format_writers import read as read_whole
from tests.helpers.yardstick import soon
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import Split

GOOD = pa.table({"x": [0, 1, 2]})
LONG = "a" * 1_000_000


def thrift(fields: dict[int, Any]) -> bytes:
    """A struct in Thrift's compact protocol: an int is of 32 bits, a tuple of one of 64; a list is of one kind."""
    out, last = b"", 0
    for number, value in sorted(fields.items()):
        kind, data = _thrift_value(value)
        out += bytes([number - last << 4 | kind]) if number - last < 16 else bytes([kind]) + varint(2 * number)
        out, last = out + data, number
    return out + b"\0"


def _thrift_value(value: Any) -> tuple[int, bytes]:
    if isinstance(value, int):
        return 5, varint(2 * value)
    if isinstance(value, tuple):
        return 6, varint(2 * value[0])
    if isinstance(value, bytes):
        return 8, varint(len(value)) + value
    if isinstance(value, dict):
        return 12, thrift(value)
    made = {id(one): _thrift_value(one) for one in {id(one): one for one in value}.values()}  # the same ones but once
    kinds = {kind for kind, _ in made.values()} or {12}
    return 9, bytes([0xF0 | kinds.pop()]) + varint(len(value)) + b"".join(made[id(one)][1] for one in value)


def varint(value: int) -> bytes:
    """A whole number in groups of seven bits."""
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


ROOT: dict[int, Any] = {4: b"schema", 5: 1}
LEAF: dict[int, Any] = {1: 2, 3: 0, 4: b"x"}  # a required INT64
META: dict[int, Any] = {1: 2, 2: [0], 3: [b"x"], 4: 0, 5: (3,), 6: (24,), 7: (1 << 10,), 9: (4,)}
PAGE: dict[int, Any] = {1: 0, 2: 24, 3: 24, 5: {1: 3, 2: 0, 3: 3, 4: 3}}


def parquet(footer: bytes, pages: bytes = b"") -> bytes:
    """A file with that footer."""
    return b"PAR1" + pages + footer + struct.pack("<I", len(footer)) + b"PAR1"


def by_hand(page: Any = None, meta: Any = None, *, values: int = 3, chunk: Any = None, **footer: Any) -> bytes:
    """A file of three numbers, in which each header says what it is told to."""
    pages = thrift({**PAGE, **(page or {})}) + struct.pack("<3q", 0, 1, 2)
    of = {**META, 7: (len(pages),), **(meta or {})}
    group = {1: [{2: (0,), 3: of, **(chunk or {})}], 2: (24,), 3: (values,)}
    fields = {1: 1, 2: [ROOT, LEAF], 3: (values,), 4: [group], **{int(k[1:]): v for k, v in footer.items()}}
    return parquet(thrift(fields), pages)


def flat_schema(columns: int) -> bytes:
    """A message of Arrow with a schema that names one column so many times, 4 bytes each."""
    field = struct.pack("<HHHHHHH", 14, 9, 0, 0, 8, 4, 0)  # vtable: type_type at 8, type at 4
    data = bytearray(struct.pack("<I", 20))  # the root: a table at 20
    data += struct.pack("<HHHHH", 10, 12, 4, 6, 8) + bytes(6)  # its vtable at 4: version, header_type, header
    data += struct.pack("<iHBBI", 16, 4, 1, 0, 12)  # at 20: V5, a schema, which is 12 further than 28
    data += bytes(4)[: (36 - len(data)) % 4]
    data += struct.pack("<HHHH", 8, 8, 0, 4)  # vtable of the schema at 32: fields at 4
    at = len(data)
    data[28:32] = struct.pack("<I", at - 28)
    data += struct.pack("<iI", at - (at - 8), 4) + struct.pack("<I", columns)
    end = len(data) + 4 * columns
    for place in range(len(data), end, 4):
        data += struct.pack("<I", end + len(field) + 2 - place)
    data += field + bytes(2) + struct.pack("<iIB", len(field) + 2, 8, 1) + bytes(7)
    data += bytes(-len(data) % 8)
    return b"\xff\xff\xff\xff" + struct.pack("<i", len(data)) + bytes(data)


def written(table: pa.Table, **how: Any) -> bytes:
    """Parquet in one group of rows."""
    out = io.BytesIO()
    pq.write_table(table, out, **{"compression": "zstd", **how})
    return out.getvalue()


def as_file(table: pa.Table) -> bytes:
    """An Arrow file of one batch, compressed."""
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return out.getvalue()


def bomb(length: int) -> pa.Table:
    """One list of zeros, and two short ones."""
    offsets = pa.array([0, length, length + 1, length + 2], pa.int32())
    return pa.table({"x": pa.ListArray.from_arrays(offsets, pa.array(np.zeros(length + 2, "i8")))})


def repeated(text: str, times: int) -> pa.Table:
    """One text, so many times, of which a dictionary keeps one."""
    return pa.table({"x": pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, "i4")), pa.array([text]))})


def with_buffers(kind: pa.DataType, *buffers: bytes) -> pa.Table:
    """Three values of which the bytes are given."""
    array = pa.Array.from_buffers(kind, 3, [None, *(pa.py_buffer(data) for data in buffers)])
    return pa.table({"x": array})


def viewed(rows: int) -> pa.Table:
    """So many views of the same megabyte."""
    text = LONG.encode()
    views = struct.pack("<i4sii", len(text), text[:4], 0, 0) * rows
    array = pa.Array.from_buffers(pa.string_view(), rows, [None, pa.py_buffer(views), pa.py_buffer(text)])
    return pa.table({"x": array})


def beyond_the_dictionary() -> pa.Table:
    """Three values of a dictionary of one."""
    indices = pa.array([0, 9, 0], pa.int32())
    return pa.table({"x": pa.DictionaryArray.from_arrays(indices, pa.array(["a"]), safe=False)})


def encrypted() -> bytes:
    """A file whose footer can be read, and whose column is encrypted."""
    return by_hand(chunk={8: {2: {1: [b"x"]}}})


def with_rows(rows: int) -> bytes:
    """A stream of three rows whose batch says that they are so many."""
    return as_stream(GOOD).replace(struct.pack("<q", 3), struct.pack("<q", rows))


class Case(NamedTuple):
    """One hostile file of one column, its twin, and the reason that is given."""

    form: str
    hostile: Callable[[], bytes]
    reason: str
    twin: Callable[[], bytes]
    declared: Mapping[str, Any] = {}
    samples: int = 3
    error: type[DecodeError] = DecodeError


TEXT: dict[str, Any] = {"dtype": "str"}
RAGGED: dict[str, Any] = {"dtype": "int64", "shape": (None,)}
MORE = "more than {0:,} bytes come out of it, but the file has {1:,} bytes, and 3 values are declared"

CASES = {
    "more rows": Case(
        "parquet",
        lambda: written(pa.table({"x": np.zeros(5_000_000, "i8")})),
        "it has 5,000,000 rows, more than the 3 that train declares",
        lambda: written(GOOD),
        error=ContentError,
    ),
    "a billion rows in no group": Case(
        "parquet",
        lambda: parquet(thrift({1: 1, 2: [ROOT, LEAF], 3: (10**9,), 4: []})),
        "its footer states 1,000,000,000 rows, and 0 in its groups of rows",
        by_hand,
    ),
    "a billion rows in a group": Case(
        "parquet",
        lambda: by_hand(values=10**9),
        "it has 1,000,000,000 rows, more than the 3 that train declares",
        by_hand,
        error=ContentError,
    ),
    "a billion columns": Case(
        "parquet",
        lambda: parquet(b"\x15\x02\x19\xfc" + varint(10**9) + thrift(ROOT)),
        "its footer is damaged",
        by_hand,
    ),
    "a list of a trillion bytes": Case(
        "parquet",
        lambda: parquet(b"\x19\xf3" + varint(10**12) + b"\0"),
        "its footer is damaged",
        by_hand,
    ),
    "many columns of few bytes": Case(
        "parquet",
        lambda: parquet(thrift({1: 1, 2: [{4: b"s", 5: 99_999}, *[{1: 2, 3: 0, 4: b""}] * 99_999], 3: (0,), 4: []})),
        "its footer states more than 65,536 columns",
        by_hand,
    ),
    "groups inside of groups": Case(
        "parquet",
        lambda: parquet(thrift({1: 1, 2: [*[{3: 0, 4: b"x", 5: 1}] * 50_000, LEAF], 3: (0,), 4: []})),
        "its columns are in more than 32 groups, one inside the other",
        by_hand,
    ),
    "a column of many names": Case(
        "parquet",
        lambda: by_hand(_5=[{1: b"ARROW:schema", 2: base64.b64encode(flat_schema(150_000))}]),
        "it has more than 65,536 columns",
        by_hand,
    ),
    "a large page": Case(
        "parquet",
        lambda: by_hand({2: 2**31 - 1}),
        "the pages of column 'x' are not what its footer states",
        by_hand,
    ),
    "a page of a billion values": Case(
        "parquet",
        lambda: by_hand({5: {1: 10**9, 2: 0, 3: 3, 4: 3}}),
        "the pages of column 'x' are not what its footer states",
        by_hand,
    ),
    "pages that lead out of the file": Case(
        "parquet",
        lambda: by_hand(meta={7: (10**12,)}),
        "the pages of column 'x' are not what its footer states",
        by_hand,
    ),
    "values in another file": Case(
        "parquet",
        lambda: by_hand(chunk={1: b"/etc/passwd"}),
        "it keeps columns in another file, '/etc/passwd', which is not read",
        by_hand,
    ),
    "an encrypted column": Case("parquet", encrypted, "it is encrypted Parquet, which is not read", by_hand),
    "an encrypted footer": Case(
        "parquet",
        lambda: by_hand().replace(b"PAR1", b"PARE"),
        "it is encrypted Parquet, which is not read",
        by_hand,
    ),
    "a long list of zeros": Case(
        "parquet",
        lambda: written(bomb(10_000_000), use_dictionary=False),
        MORE,
        lambda: written(bomb(30)),
        RAGGED,
    ),
    "one text a hundred thousand times": Case(
        "parquet",
        lambda: written(repeated(LONG, 100_000)),
        "more than {0:,} bytes of text come out of it, but the file has {1:,} bytes, and 100,000 values are declared",
        lambda: written(repeated("a", 100_000)),
        TEXT,
        samples=100_000,
    ),
    "texts that begin as the one before": Case(
        "parquet",
        lambda: written(
            pa.table({"x": [LONG[:10_000]] * 3000}), use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"}
        ),
        "more than {0:,} bytes of text come out of it, but the file has {1:,} bytes, and 3,000 values are declared",
        lambda: written(pa.table({"x": ["a"] * 3000}), use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"}),
        TEXT,
        samples=3000,
    ),
    "text that is not UTF-8": Case(
        "parquet",
        lambda: written(pa.table({"x": ["abc", "def", "ghi"]}), compression="none").replace(b"def", b"d\xff\xfe"),
        "it cannot be read as Parquet: ",
        lambda: written(pa.table({"x": ["abc", "def", "ghi"]}), compression="none"),
        TEXT,
    ),
    "a footer cut off": Case(
        "parquet",
        lambda: by_hand()[:-40],
        "it is cut short, or something follows: it ends with ",
        by_hand,
    ),
    "compressed as a whole": Case(
        "parquet",
        lambda: gzip.compress(by_hand()),
        "it is compressed with gzip as a whole, and Parquet is compressed inside",
        by_hand,
    ),
    "more rows of arrow": Case(
        "arrow",
        lambda: as_file(pa.table({"x": np.zeros(1_000_000, "i8")})),
        "it has 1,000,000 rows, more than the 3 that train declares",
        lambda: as_file(GOOD),
        error=ContentError,
    ),
    "a long list of zeros of arrow": Case(
        "arrow",
        lambda: as_file(bomb(10_000_000)),
        MORE,
        lambda: as_file(bomb(30)),
        RAGGED,
    ),
    "one text a hundred thousand times of arrow": Case(
        "arrow",
        lambda: as_file(repeated(LONG, 100_000)),
        "more than {0:,} bytes of text come out of it, but the file has {1:,} bytes, and 100,000 values are declared",
        lambda: as_file(repeated("a", 100_000)),
        TEXT,
        samples=100_000,
    ),
    "texts that lead out of the file": Case(
        "arrow",
        lambda: as_stream(with_buffers(pa.string(), struct.pack("<4i", 0, 2**30, 2, 3), b"abc")),
        "it cannot be read as Arrow: ",
        lambda: as_stream(with_buffers(pa.string(), struct.pack("<4i", 0, 1, 2, 3), b"abc")),
        TEXT,
    ),
    "beyond the dictionary": Case(
        "arrow",
        lambda: as_stream(beyond_the_dictionary()),
        "it cannot be read as Arrow: ",
        lambda: as_stream(repeated("a", 3)),
        TEXT,
    ),
    "a column of many names of arrow": Case(
        "arrow",
        lambda: flat_schema(150_000) + b"\xff\xff\xff\xff\0\0\0\0",
        "it has more than 65,536 columns",
        lambda: as_stream(GOOD),
    ),
    "no mark of the end": Case(
        "arrow",
        lambda: as_stream(GOOD)[:-8],
        "it ends without a mark of its end; is it cut short?",
        lambda: as_stream(GOOD),
    ),
    "views of the same bytes": Case(
        "arrow",
        lambda: as_file(viewed(100_000)),
        "more than {0:,} bytes of text come out of it, but the file has {1:,} bytes, and 100,000 values are declared",
        lambda: as_file(pa.table({"x": pa.array(["a"] * 100_000, pa.string_view())})),
        TEXT,
        samples=100_000,
    ),
    "a batch where no batch is": Case(
        "arrow",
        lambda: re.sub(rb"ARROW1$", b"", as_file(GOOD)).replace(b"\xff\xff\xff\xff", bytes(4)) + b"ARROW1",
        "one of its messages is damaged",
        lambda: as_file(GOOD),
    ),
    "a footer larger than the file": Case(
        "arrow",
        lambda: as_file(GOOD)[:-10] + struct.pack("<I", 2**31 - 1) + b"ARROW1",
        f"it states a footer of {2**31 - 1:,} bytes, and has {len(as_file(GOOD)):,}",
        lambda: as_file(GOOD),
    ),
    "more behind the end": Case(
        "arrow",
        lambda: as_stream(GOOD) + b"more",
        f"it is {len(as_stream(GOOD)):,} bytes, but 4 more follow",
        lambda: as_stream(GOOD),
    ),
    "a batch cut off": Case(
        "arrow",
        lambda: as_stream(GOOD)[:-20],
        "it cannot be read as Arrow: ",
        lambda: as_stream(GOOD),
    ),
    "a batch of fewer than no rows": Case(
        "arrow",
        lambda: with_rows(-1),
        "one of its messages is damaged",
        lambda: with_rows(3),
    ),
    "a batch of a billion rows": Case(
        "arrow",
        lambda: with_rows(10**9),
        "it has 1,000,000,000 rows, more than the 3 that train declares",
        lambda: with_rows(3),
        error=ContentError,
    ),
    "arrow compressed as a whole": Case(
        "arrow",
        lambda: gzip.compress(as_stream(GOOD)),
        "it is compressed with gzip as a whole, and Arrow is compressed inside",
        lambda: as_stream(GOOD),
    ),
    "Feather of version 1": Case(
        "arrow", lambda: b"FEA1" + bytes(50), "it is Feather of version 1, which is not read", lambda: as_file(GOOD)
    ),
}


try:
    viewed(3)
except ValueError:  # the oldest pyarrow reads views, but takes no buffers for them, so that none can be made
    del CASES["views of the same bytes"]


def declared(case: Case, path: Path) -> Split:
    """The one column of a case."""
    return split(column(path, "x", samples=case.samples, **{"dtype": "int64", **case.declared}))


def read_blocks(case: Case, path: Path) -> None:
    """All values of a case, none of them kept."""
    for _ in formats.of(case.form).decode([declared(case, path)]):
        pass


# Whose twin takes seconds to write.
LARGE = {"views of the same bytes"}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if name in LARGE else ()) for name, case in CASES.items()],
    ids=CASES,
)
def test_it_is_refused_and_its_twin_is_read(case: Case, tmp_path: Path) -> None:
    """In one sentence, soon."""
    read_blocks(case, put(tmp_path / "twin", case.twin()))
    hostile = put(tmp_path / "hostile", case.hostile())

    with pytest.raises(DecodeError) as caught, soon():
        read_blocks(case, hostile)

    error, size = caught.value, hostile.stat().st_size
    assert type(error) is case.error
    assert "\n" not in error.reason
    if "{" in case.reason:
        limit = max(32 * size, 2 * case.samples * (256 if case.declared is TEXT else 0)) + 2**20
        assert error.reason == case.reason.format(limit, size)
    elif case.reason.endswith(" "):
        assert error.reason.startswith(case.reason)
        assert len(error.reason) < 300
    else:
        assert error.reason == case.reason


def test_a_file_by_hand_is_what_it_says(tmp_path: Path) -> None:
    """pyarrow reads it too, so that each case is wrong in one thing alone."""
    path = put(tmp_path / "t", by_hand())

    assert pq.read_table(path).to_pydict() == {"x": [0, 1, 2]}
    assert pa.ipc.open_stream(flat_schema(3) + b"\xff\xff\xff\xff\0\0\0\0").schema.names == ["", "", ""]
    assert read_whole("parquet", split(column(path, "x", samples=3, dtype="int8")))["train.x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["one text a hundred thousand times", "one text a hundred thousand times of arrow"])
def test_a_dictionary_is_not_written_out_to_describe_it(name: str, tmp_path: Path) -> None:
    """A hundred gigabytes of one text are one class."""
    path = put(tmp_path / "t", CASES[name].hostile())
    detection = formats.of(CASES[name].form).detect(path.read_bytes()[: formats.HEAD_BYTES], path)
    assert detection is not None

    with soon():
        (array,) = detection.inspect().arrays

    assert (array.classes, array.shape) == ((LONG,), (100_000,))


MEASURE = """
import resource, sys
from pathlib import Path
import pyarrow.parquet, pyarrow.compute
from tests.formats.test_hostile_parquet import CASES, read_blocks
from tinytorch_datasets.errors import DecodeError
case = CASES[sys.argv[1]]
read_blocks(case, Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20), used + (512 << 20)))
try:
    read_blocks(case, Path(sys.argv[3]))
except DecodeError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", CASES)
def test_memory_is_bounded(name: str, tmp_path: Path) -> None:
    """No page, footer or dictionary makes the process grow: not by 96 MiB, measured from outside of Python."""
    twin, hostile = put(tmp_path / "twin", CASES[name].twin()), put(tmp_path / "hostile", CASES[name].hostile())

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, name, twin, hostile], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 96 << 10
