"""Archives inside archives: a member of the inner one is read as any other, by every format."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.declared import declare, made, plain
from tests.helpers.format_writers import member, npy, npz, tarred, zipped
from tinytorch_datasets import get
from tinytorch_datasets.errors import ContentError, DecodeError, ManifestError

NUMBERS = np.arange(6, dtype=np.int64).reshape(3, 2)


def tar(members: dict[str, bytes]) -> bytes:
    """A plain tar archive."""
    return tarred(*(member(name, data) for name, data in members.items()))


PACKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "zip": zipped,
    "tar": tar,
    "tar.gz": lambda members: gzip.compress(tar(members)),
    "tar.bz2": lambda members: bz2.compress(tar(members)),
    "tar.xz": lambda members: lzma.compress(tar(members)),
}


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that is this test's own."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def png(value: int) -> bytes:
    """A picture of 2 x 3 pixels of one gray."""
    out = io.BytesIO()
    Image.new("L", (3, 2), value).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("inner", PACKERS)
@pytest.mark.parametrize("outer", PACKERS)
def test_every_kind_of_archive_may_be_in_every_other(tmp_path: Path, outer: str, inner: str, temporary: Path) -> None:
    """Also where it is compressed; and no temporary file is left."""
    data = made(
        tmp_path,
        f"""
        format: npy
        fields: {{features: {{dtype: int64, shape: [2]}}}}
        splits:
          train: {{samples: 3, features: {{file: out.bin, member: [data/in.{inner}, a/x.npy]}}}}
        """,
        out_bin=PACKERS[outer]({"README": b"hello", f"data/in.{inner}": PACKERS[inner]({"a/x.npy": npy(NUMBERS)})}),
    )

    assert plain(data.train.features) == NUMBERS.tolist()
    assert not list(temporary.iterdir())


def test_samples_may_be_members_of_the_inner_archive(tmp_path: Path, temporary: Path) -> None:
    """As in Caltech 101, whose pictures are a tar.gz inside of a zip: `member` leads to the archive of `members`."""
    pictures = {
        f"101_ObjectCategories/{name}/image_{n:04}.png": png(10 * n + len(name))
        for name in ("ant", "bass")
        for n in (1, 2)
    }
    inner = PACKERS["tar.gz"](pictures)
    data = made(
        tmp_path,
        """
        format: images
        fields:
          images: {dtype: uint8, shape: [2, 3]}
          labels: {dtype: int64, classes: [ant, bass]}
        splits:
          train:
            samples: 4
            file: caltech.zip
            member: caltech-101/101_ObjectCategories.tar.gz
            members: ["101_ObjectCategories/*/*.png"]
        """,
        caltech_zip=zipped({"caltech-101/101_ObjectCategories.tar.gz": inner, "caltech-101/show.m": b"x"}),
    )

    assert plain(data.train.images[:, 0, 0]) == [13, 23, 14, 24]
    assert plain(data.train.labels) == [0, 0, 1, 1]
    assert not list(temporary.iterdir())


def test_parts_of_a_split_may_be_members_of_the_inner_archive(tmp_path: Path) -> None:
    """One after the other, in the order of the list; a field with a member of its own is there."""
    batches = {f"b/{n}.bin": bytes([n, n + 10]) for n in (1, 2)}
    data = made(
        tmp_path,
        """
        format: records
        options: {record: [{key: x, dtype: uint8}]}
        fields: {x: {dtype: uint8}, y: {dtype: int64}}
        splits:
          train:
            samples: 4
            file: out.tar
            member: in.zip
            members: [b/2.bin, b/1.bin]
            y: {member: y.npy, format: npy}
        """,
        out_tar=tar({"in.zip": zipped(batches), "y.npy": npy(np.arange(4))}),
    )

    assert plain(data.train.x) == [2, 12, 1, 11]
    assert plain(data.train.y) == [0, 1, 2, 3]


def test_three_archives_may_be_in_one_another(tmp_path: Path) -> None:
    """Two inner ones, and a member of the last that is compressed itself."""
    table = gzip.compress(b"x\n1\n2\n")
    data = made(
        tmp_path,
        """
        format: csv
        fields: {x: {dtype: int64}}
        splits: {train: {samples: 2, file: out.zip, member: [a.tar.gz, b.zip, t.csv.gz]}}
        """,
        out_zip=zipped({"a.tar.gz": PACKERS["tar.gz"]({"b.zip": zipped({"t.csv.gz": table})})}),
    )

    assert plain(data.train.x) == [1, 2]


def test_a_deeper_path_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    """Three names, as is documented."""
    path = declare(
        tmp_path,
        """
        format: npy
        fields: {x: {dtype: int64}}
        splits: {train: {samples: 2, x: {file: out.zip, member: [a.zip, b.zip, c.zip, x.npy]}}}
        """,
        out_zip=b"PK",
    )

    with pytest.raises(ManifestError) as caught:
        get("made", manifest=path)

    (problem,) = caught.value.problems
    assert problem.key == "made.splits.train.x.member"
    assert problem.what == "has 4 names, and the most is 3: two archives inside of the file, and a member"


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_table_that_is_read_from_its_end_may_be_a_member(tmp_path: Path, form: str) -> None:
    """It is held as an archive is."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    out = io.BytesIO()
    table = pyarrow.table({"x": [1, 2, 3]})
    parquet.write_table(table, out) if form == "parquet" else feather.write_feather(
        table, out, compression="uncompressed"
    )
    data = made(
        tmp_path,
        f"""
        format: {form}
        fields: {{x: {{dtype: int64}}}}
        splits: {{train: {{samples: 3, file: all.zip, member: data/t.{form}}}}}
        """,
        all_zip=zipped({f"data/t.{form}": out.getvalue()}),
    )

    assert plain(data.train.x) == [1, 2, 3]


NPZ_INSIDE = """
format: npz
fields: {x: {dtype: int64}}
splits: {train: {samples: 3, file: out.zip, member: [in.zip, x.npz]}}
"""


def test_an_npz_in_the_inner_archive_is_read(tmp_path: Path) -> None:
    """It is an archive itself."""
    inner = zipped({"x.npz": npz(x=np.arange(3))})

    assert plain(made(tmp_path, NPZ_INSIDE, out_zip=zipped({"in.zip": inner})).train.x) == [0, 1, 2]


class TestRefusals:
    """Each in one sentence that names the declared file, the way into it, and no temporary file."""

    def refused(self, folder: Path, out: bytes, entry: str = NPZ_INSIDE) -> DecodeError:
        """What `get` says of a file."""
        with pytest.raises(DecodeError) as caught:
            made(folder, entry, out_zip=out)
        assert caught.value.path == folder / "datasets" / "made" / "out.zip"
        assert str(caught.value).splitlines()[0] == f"{caught.value.path}: {caught.value.reason}"
        return caught.value

    def test_no_such_inner_archive(self, tmp_path: Path) -> None:
        """Of the outer one, as of any member."""
        error = self.refused(tmp_path, zipped({"inn.zip": b"x"}))

        assert error.reason == "it has no member 'in.zip'; did you mean 'inn.zip'?"

    def test_no_such_member_of_the_inner_archive(self, tmp_path: Path) -> None:
        """The inner one is named."""
        error = self.refused(tmp_path, zipped({"in.zip": zipped({"y.npz": b"x"})}))

        assert error.reason == "member 'in.zip': it has no member 'x.npz'; did you mean 'y.npz'?"

    def test_the_inner_one_is_no_archive(self, tmp_path: Path, temporary: Path) -> None:
        """Whatever it is called; and nothing is left of it."""
        error = self.refused(tmp_path, zipped({"in.zip": b"hello " * 1000}))

        assert error.reason.startswith("member 'in.zip': it is not a tar archive, or is damaged")
        assert not list(temporary.iterdir())

    def test_a_damaged_picture_of_the_inner_archive(self, tmp_path: Path) -> None:
        """All names on the way."""
        entry = """
            format: images
            fields: {images: {dtype: uint8, shape: [2, 3]}}
            splits: {train: {samples: 1, file: out.zip, member: in.tar, members: ["*.png"]}}
            """
        error = self.refused(tmp_path, zipped({"in.tar": tar({"a.png": png(1)[:40]})}), entry)

        assert error.reason.startswith("member 'in.tar': member 'a.png': ")

    def test_a_bomb_in_the_inner_archive(self, tmp_path: Path) -> None:
        """An archive of 64 MiB of zeros that takes 64 KiB in the outer one."""
        bomb = zipped({"in.zip": bytes(64 << 20)})
        error = self.refused(tmp_path, bomb)

        assert isinstance(error, ContentError)
        limit = 8 * len(bomb) + 4 * 24 + (16 << 20)
        assert error.reason == (
            f"member 'in.zip': more than {limit:,} bytes come out of it, but the file that it is in has {len(bomb):,}"
        )

    def test_a_bomb_behind_two_archives(self, tmp_path: Path) -> None:
        """The size of the file on disk is what counts, at every depth."""
        entry = NPZ_INSIDE.replace("[in.zip, x.npz]", "[a.zip, b.tar, x.npz]")
        bomb = zipped({"a.zip": zipped({"b.tar": bytes(64 << 20)})})
        error = self.refused(tmp_path, bomb, entry)

        assert error.reason.startswith("member 'a.zip': member 'b.tar': more than ")
        assert error.reason.endswith(f" bytes come out of it, but the file that it is in has {len(bomb):,}")
