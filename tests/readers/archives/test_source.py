"""The bytes of a file, or of a member; archives as people pack them: ./ before a name, and litter."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.format_writers import batch, column, member, npy, put, read, split, tarred, zipped
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.archives.members import read_members
from tinytorch_datasets.readers.archives.source import is_litter, opened_source

DATA = b"".join(b"%d,%d\n" % (n, n * n) for n in range(20_000))


def make_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    """Write a tar archive."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


MEMBERS = {
    "a/first.csv": b"no\n",
    "a/table.csv": DATA,
    "a/table.csv.gz": gzip.compress(DATA),
    "b.bz2": bz2.compress(DATA),
}
ARCHIVES: dict[str, Callable[[Path], Path]] = {
    "zip, deflated": lambda at: make_zip(at / "x.zip", MEMBERS),
    "zip, stored": lambda at: make_zip(at / "x.zip", MEMBERS, zipfile.ZIP_STORED),
    "tar": lambda at: make_tar(at / "x.tar", MEMBERS, "w"),
    "tar.gz": lambda at: make_tar(at / "x.tar.gz", MEMBERS),
    "tar.xz": lambda at: make_tar(at / "x.tar.xz", MEMBERS, "w:xz"),
}


@pytest.mark.parametrize("member", ["a/table.csv", "a/table.csv.gz", "b.bz2"])
@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_member_is_read_and_inflated_without_being_extracted(tmp_path: Path, archive: str, member: str) -> None:
    """The name's end says nothing: the first bytes do."""
    path = ARCHIVES[archive](tmp_path)
    before = sorted(tmp_path.iterdir())

    with opened_source(ByteSource(path, (member,)), limit=len(DATA)) as stream:
        data = stream.whole()

    assert data == DATA
    assert sorted(tmp_path.iterdir()) == before


def test_without_a_member_it_is_the_file(tmp_path: Path) -> None:
    """Inflated, too."""
    (tmp_path / "t.gz").write_bytes(gzip.compress(DATA))

    with opened_source(ByteSource(tmp_path / "t.gz"), limit=len(DATA)) as stream:
        assert stream.whole() == DATA


@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_member_longer_than_declared_is_refused(tmp_path: Path, archive: str) -> None:
    """Whether it is compressed or not."""
    path = ARCHIVES[archive](tmp_path)
    for name in ("a/table.csv", "a/table.csv.gz"):
        with pytest.raises(ContentError), opened_source(ByteSource(path, (name,)), limit=1000) as stream:
            stream.whole()


@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_member_that_is_not_there_is_named_with_the_nearest(tmp_path: Path, archive: str) -> None:
    """As every name is."""
    path = ARCHIVES[archive](tmp_path)
    reason = r"it has no member 'a/tabel.csv'; did you mean 'a/table.csv'\?"

    with pytest.raises(DecodeError, match=reason), opened_source(ByteSource(path, ("a/tabel.csv",)), limit=1) as stream:
        stream.whole()


BATCH = batch(np.zeros((2, 3, 32, 32), "u1"), [1, 2])


@pytest.mark.parametrize(
    ("written", "declared"), [("b", "b"), ("./b", "b"), ("././b", "b"), (".//b", "b"), ("./b", "./b")]
)
def test_a_member_is_found_with_and_without_its_dot(written: str, declared: str, tmp_path: Path) -> None:
    """`tar c b` and `tar c ./b` pack the same file; what is declared with its dot is taken as it is."""
    file = put(tmp_path / "file", tarred(member(written, BATCH)))
    labels = column(file, "labels", samples=2, dtype="int64")

    assert read("cifar-python", split(labels, members=(declared,)))["train.labels"].tolist() == [1, 2]


def test_a_member_with_and_without_its_dot_is_one_member_twice(tmp_path: Path) -> None:
    """Which of the two is meant is not guessed."""
    file = put(tmp_path / "file", tarred(member("b", BATCH), member("./b", BATCH)))
    labels = column(file, "labels", samples=2, dtype="int64")

    with pytest.raises(DecodeError, match=r"member 'b' is in it twice$"):
        read("cifar-python", split(labels, members=("b",)))


def test_litter_in_an_archive_is_not_inspected(tmp_path: Path) -> None:
    """The resource forks that macOS packs beside each file are no arrays, whatever their suffix says."""
    images = npy(np.zeros((3, 2), "u1"))
    packed = zipped({"images.npy": images, "__MACOSX/._images.npy": b"\0\5\x16\7", "._images.npy": b"\0\5\x16\7"})
    path = put(tmp_path / "a.npz", packed)
    detected = formats.of("npz").detect(b"PK\3\4", path)

    assert detected is not None
    assert [array.key for array in detected.inspect().arrays] == ["images"]


MANY = 105_829  # as many as Speech Commands has, the largest of the classics that are a file a sample


def many_in_a_zip() -> bytes:
    """Empty members, and one of three bytes, by the layout of PKWARE's note."""
    body, directory = bytearray(), bytearray()
    for n in range(MANY):
        name, data = b"%06d.txt" % n, b"two" if n == 2 else b""
        fields = struct.pack("<5H3L2H", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0)
        directory += b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<3H2L", 0, 0, 0, 0, len(body)) + name
        body += b"PK\3\4" + fields + name + data
    ends = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, MANY, MANY, len(directory), len(body))
    ends += struct.pack("<4sLQL", b"PK\6\7", 0, len(body) + len(directory), 1)
    ends += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *(0xFFFF,) * 2, *(0xFFFFFFFF,) * 2, 0)
    return bytes(body + directory + ends)


def many_in_a_tar() -> bytes:
    """The same, by the layout of POSIX."""
    out = bytearray()
    for n in range(MANY):
        header = bytearray(
            struct.pack("100s8s8s8s12s12s8s1s", b"%06d.txt" % n, *(b"0",) * 3, b"3" * (n == 2), b"0", b" " * 8, b"0")
        )
        header[148:156] = b"%06o\0 " % sum(header)
        out += header.ljust(512, b"\0") + (b"two".ljust(512, b"\0") if n == 2 else b"")
    return bytes(out + b"\0" * 1024)


@pytest.mark.parametrize("pack", [many_in_a_zip, many_in_a_tar])
@pytest.mark.slow
def test_a_member_a_sample(tmp_path: Path, pack: Callable[[], bytes]) -> None:
    """A hundred thousand are no attack."""
    file = put(tmp_path / "file", gzip.compress(pack(), 1) if pack is many_in_a_tar else pack())

    with opened_source(ByteSource(file, ("000002.txt",))) as stream:
        assert stream.some(9) == b"two"


LITTER = """.DS_Store ._a.csv x/._a __MACOSX/a/b.npy desktop.ini Desktop.ini thumbs.db Thumbs.db .directory a.csv~
.a.csv.swp #a.csv# .#a.csv ~$table.xlsx .~lock.table.ods# .Trash-1000/files/a .nfs000000000012 x/__pycache__/a.pyc
.git/config .ipynb_checkpoints/a.csv .idea/x .vscode/y .gitkeep"""


@pytest.mark.parametrize("path", LITTER.split())
def test_what_is_litter(path: str) -> None:
    """The leavings of systems, editors and programs."""
    assert is_litter(path)


@pytest.mark.parametrize("path", ["a.csv", "_b.npy", "thumbs/a.png", "~", ".train.npy", "swp", "a.swp.csv", "#1.csv"])
def test_what_is_not(path: str) -> None:
    """Names that only look like it."""
    assert not is_litter(path)


def test_members_of_one_archive_are_listed_once(tmp_path: Path) -> None:
    """A field of each of ten thousand members takes no hundred million looks at its list."""
    members = {f"{n}.csv": b"%d" % n for n in range(10_000)}
    path = make_zip(tmp_path / "x.zip", members, zipfile.ZIP_STORED)
    began = time.process_time()
    for n in range(0, 10_000, 20):
        with opened_source(ByteSource(path, (f"{n}.csv",))) as stream:
            assert stream.some(99) == b"%d" % n
    assert time.process_time() - began < 5  # listing it 500 times takes 20 s and more


def test_another_archive_in_its_place_is_listed_anew(tmp_path: Path) -> None:
    """Also where it has the same size."""
    path = make_zip(tmp_path / "x.zip", {"a": b"1"})
    with opened_source(ByteSource(path, ("a",))) as stream:
        assert stream.some(9) == b"1"
    path.unlink()
    make_zip(tmp_path / "x.zip", {"b": b"2"})
    with opened_source(ByteSource(path, ("b",))) as stream:
        assert stream.some(9) == b"2"
    with pytest.raises(DecodeError, match=r"it has no member 'a'"), opened_source(ByteSource(path, ("a",))):
        pass


def test_patterns_of_many_folders_are_compared_with_their_own_members(tmp_path: Path) -> None:
    """Ten thousand splits of one archive, each of its own folder, take no hundred million comparisons."""
    members = {f"{n}/deep/{n}.txt": b"%d" % n for n in range(5_000)}
    path = make_zip(tmp_path / "x.zip", members, zipfile.ZIP_STORED)
    wanted = {f"s{n}": [f"{n}/**/*.txt" if n % 2 else f"{n}/d*/{n}.txt"] for n in range(5_000)}
    began = time.process_time()
    read = {member.split: member.data for member in read_members(path, wanted)}
    assert read == {f"s{n}": b"%d" % n for n in range(5_000)}
    assert time.process_time() - began < 8  # comparing each with each takes 40 s and more


def test_patterns_mean_members_of_any_folder_that_fits(tmp_path: Path) -> None:
    """From the top of the archive, too; the nearest one has no precedence."""
    path = make_zip(tmp_path / "x.zip", {"a.txt": b"", "b/a.txt": b"", "b/c/d.txt": b"", "bc/d.txt": b""})
    for pattern, names in {
        "*.txt": ["a.txt"],
        "**/*.txt": ["a.txt", "b/a.txt", "b/c/d.txt", "bc/d.txt"],
        "b*/*.txt": ["b/a.txt", "bc/d.txt"],
        "b/*.txt": ["b/a.txt"],
        "b/**/d.txt": ["b/c/d.txt"],
    }.items():
        assert [member.name for member in read_members(path, {"train": [pattern]})] == names
    with pytest.raises(
        DecodeError, match=r"'b/a.txt' is named twice, by '\*\*/a.txt' of train and by 'b/\*.txt' of test"
    ):
        list(read_members(path, {"train": ["**/a.txt"], "test": ["b/*.txt"]}))


@pytest.mark.parametrize("encoding", ["cp437", "utf-8"])
def test_names_in_a_zip_without_a_flag(tmp_path: Path, encoding: str) -> None:
    """They are in DOS's code page, as the standard library reads them; many programs write UTF-8."""
    name = "caf\N{LATIN SMALL LETTER E WITH ACUTE}.txt"
    packed = zipped({"caf__.txt" if encoding == "utf-8" else "caf_.txt": b"text"})
    for plain in (b"caf__.txt", b"caf_.txt"):
        packed = packed.replace(plain, name.encode(encoding))
    path = put(tmp_path / "x.zip", packed)

    assert [(member.name, member.data) for member in read_members(path, {"": ["*.txt"]})] == [(name, b"text")]
    if encoding == "cp437":
        assert zipfile.ZipFile(path).namelist() == [name]
