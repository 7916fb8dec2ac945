"""`readers.archive`: the bytes of a file, or of a member of an archive."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.archive import opened_source

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
    for member in ("a/table.csv", "a/table.csv.gz"):
        with pytest.raises(ContentError), opened_source(ByteSource(path, (member,)), limit=1000) as stream:
            stream.whole()


@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_member_that_is_not_there_is_named_with_the_nearest(tmp_path: Path, archive: str) -> None:
    """As every name is."""
    path = ARCHIVES[archive](tmp_path)
    reason = r"it has no member 'a/tabel.csv'; did you mean 'a/table.csv'\?"

    with pytest.raises(DecodeError, match=reason), opened_source(ByteSource(path, ("a/tabel.csv",)), limit=1) as stream:
        stream.whole()


def test_an_archive_inside_an_archive_is_refused(tmp_path: Path) -> None:
    """In one sentence."""
    path = make_zip(tmp_path / "x.zip", {"in.zip": b"PK"})

    with pytest.raises(DecodeError) as caught, opened_source(ByteSource(path, ("in.zip", "t.csv"))):
        pass

    assert caught.value.reason == "member 't.csv' is in an archive inside an archive, which is not read"
