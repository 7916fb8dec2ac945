"""Pickles that ask for memory get what is declared, and 64 MiB to be read in, and not a page more.

Each is read by a process of its own, to which the system gives no more.
"""

from __future__ import annotations

import gzip
import pickle
import struct
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from tests.helpers.fresh_process import python

pytest.importorskip("resource", reason="this system has no limit for a process's memory")

MIB = 1 << 20
DECLARED = 24 * MIB
BESIDE = 64 * MIB
MANY = 1_000_000  # samples of one byte each, which allow for sixteen million instructions

# Reads the file under the limit and prints how it is refused.
READ = """
import resource, sys
from pathlib import Path
import numpy
from tinytorch_datasets import formats
from tinytorch_datasets.verify.arrays import checked
from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.plan import Column, Split
file, samples, width, declared = Path(sys.argv[1]), *map(int, sys.argv[2:])
shape = (width,) if width > 1 else ()
column = Column("train", "images", "uint8", samples, file, "images", shape=shape)
split = Split("train", samples, {"images": column}, file=file)
form = formats.of("pickle")
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + declared, used + declared))
try:
    for block in checked(form.decode([split]), [split]):
        pass
    print("read")
except DatasetError as error:
    print(error.reason)
"""

ALLOWED = "the pickle is not sound: what it holds takes more than the {} bytes that are allowed for it"
# Twice the declared size for what begins as protocol 2 and later do, six times for text, and 256 bytes a sample.
PAST = "more than {:,} bytes come out of it, but its declared fields take {:,}"
SPARE = 256 * DECLARED // 4096 + 65_536
BINARY_PAST, TEXT_PAST = (PAST.format(n * DECLARED + SPARE, DECLARED) for n in (2, 6))


class Greedy(NamedTuple):
    """What a pickle is made of, and how it is refused; `width` is how many bytes a sample has."""

    made_of: Callable[[], Iterator[bytes]]
    result: str = ALLOWED
    width: int = 4096


# Under RLIMIT_AS everything is done in one thread; this one counts what may be written to, and lets others start.
READ_BESIDE = READ.replace("split()[0]", "split()[5]").replace("RLIMIT_AS", "RLIMIT_DATA")


def times(count: int, unit: bytes) -> Iterator[bytes]:
    """So many bytes of units, a megabyte at a time."""
    piece = unit * (MIB // len(unit))
    yield from (piece for _ in range(count // len(piece)))


def around(before: bytes, count: int, unit: bytes, after: bytes = b".") -> Callable[[], Iterator[bytes]]:
    """A pickle that has so many bytes of units in it."""

    def parts() -> Iterator[bytes]:
        yield before
        yield from times(count, unit)
        yield after

    return parts


def numbered(before: bytes, after: bytes = b"") -> Callable[[], Iterator[bytes]]:
    """A pickle of three million instructions, each with a number of its own."""

    def parts() -> Iterator[bytes]:
        yield before[:-1]
        for first in range(0, 3_000_000, 10_000):
            each["number"] = range(first, first + 10_000)
            yield each.tobytes()
        yield b"."

    spelled = np.dtype([("code", "S1"), ("number", "<u4"), ("after", f"S{len(after)}")][: 3 if after else 2])
    each = np.zeros(10_000, spelled)
    each["code"] = before[-1:]
    if after:
        each["after"] = after
    return parts


LENGTH = struct.pack("<I", 4 * DECLARED)

GREEDY: dict[str, Greedy] = {
    "zeros": Greedy(
        around(b"", 4 * DECLARED, b"\0"), "the pickle is not sound: at byte 0, b'\\x00' is not an instruction"
    ),
    "bytes": Greedy(around(b"\x80\x03B" + LENGTH, 4 * DECLARED, b"a"), BINARY_PAST),
    "latin text in UTF-8": Greedy(around(b"\x80\x02X" + LENGTH, 4 * DECLARED, b"\xc3\xbf"), BINARY_PAST),
    "text of which one character is wide": Greedy(
        around(b"\x80\x02X" + LENGTH, 2 * DECLARED - MIB, b"a", "\U0001f600".encode() + b"a" * (MIB - 4) + b".")
    ),
    "wide text": Greedy(around(b"\x80\x02X" + LENGTH, 2 * DECLARED, "\U0001f600".encode())),
    "a string of Python 2": Greedy(around(b"S'", 8 * DECLARED, b"\\xff", b"'\n."), TEXT_PAST),
    "text of protocol 0": Greedy(around(b"V", 8 * DECLARED, b"\\u00ff", b"\n."), TEXT_PAST),
    "a line without end": Greedy(around(b"I", 4 * DECLARED, b"9", b""), ALLOWED),
    "empty lists": Greedy(around(b"\x80\x02", 12 * MIB, b"]"), width=1),
    "empty dicts": Greedy(around(b"\x80\x02", 12 * MIB, b"}"), width=1),
    "marks": Greedy(around(b"\x80\x02", 12 * MIB, b"("), width=1),
    "nothings": Greedy(around(b"\x80\x02", 12 * MIB, b"N"), width=1),
    "tuples in tuples": Greedy(around(b"\x80\x02)", 12 * MIB, b"\x85"), width=1),
    "short texts": Greedy(around(b"\x80\x04", 12 * MIB, b"\x8c\x02ab"), width=1),
    "numbers": Greedy(numbered(b"\x80\x02J"), width=1),
    "memos": Greedy(numbered(b"\x80\x02Nr"), width=1),
    "keys": Greedy(numbered(b"\x80\x02}J", b"Ns"), width=1),
}


# Those that take long, and whose like does not.
SLOW = frozenset(
    {"zeros", "text of protocol 0", "nothings", "keys", "a string of Python 2", "numbers", "latin text in UTF-8"}
    | {"wide text", "empty dicts", "marks", "tuples in tuples", "1", "2", "3", "4"}
)


def in_both_ways(names: Iterable[str], cases: Iterable[object], fast: Container[str]) -> list[ParameterSet]:
    """Each case alone; and beside a thread, which only inflates: but for a few, when there is time for slow tests."""
    both = []
    for name, case in zip(names, cases, strict=True):
        marks = () if name in fast else (pytest.mark.slow,)
        of_alone = (pytest.mark.slow,) if name in SLOW else ()
        both.append(pytest.param(case, READ, id=f"{name}-alone", marks=of_alone))
        both.append(pytest.param(case, READ_BESIDE, id=f"{name}-beside", marks=marks))
    return both


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not say what a process uses")
@pytest.mark.parametrize(("greedy", "code"), in_both_ways(GREEDY, GREEDY.values(), fast=("bytes", "empty lists")))
def test_it_is_refused_within_the_declared_size_and_64_mib(greedy: Greedy, code: str, tmp_path: Path) -> None:
    """Small on disk, as a mirror would send it."""
    file = tmp_path / "file"
    with gzip.open(file, "wb", compresslevel=1) as out:
        out.writelines(greedy.made_of())
    samples, declared = (MANY, MANY) if greedy.width == 1 else (DECLARED // greedy.width, DECLARED)
    declared = max(declared, file.stat().st_size)

    given = [str(file), str(samples), str(greedy.width), str(declared + BESIDE)]
    done = python("-c", code, *given)

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == greedy.result.format(f"{declared + 40 * MIB:,}")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not say what a process uses")
@pytest.mark.parametrize(("protocol", "code"), in_both_ways("012345", range(6), fast="05"))
def test_its_twin_is_read_within_as_much(protocol: int, code: str, tmp_path: Path) -> None:
    """An array of the declared size, however it is spelled."""
    held: dict[str, Any] = {"images": np.arange(DECLARED, dtype="u4").astype("u1").reshape(-1, 4096)}
    file = tmp_path / "file"
    file.write_bytes(gzip.compress(pickle.dumps(held, protocol), 1))

    given = [str(file), str(DECLARED // 4096), "4096", str(DECLARED + BESIDE)]
    done = python("-c", code, *given)

    assert done.stdout.strip() == "read", done.stderr[-2000:]
