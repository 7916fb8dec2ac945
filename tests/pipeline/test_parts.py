"""Splits in several parts: members of an archive, or declared files, by a list or by a pattern."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.declared import declare, made, plain
from tests.helpers.format_writers import batch, member, tarred, zipped
from tinytorch_datasets import get
from tinytorch_datasets.errors import ContentError, DecodeError


def tar(members: dict[str, bytes]) -> bytes:
    """A tar archive, packed as most are."""
    return gzip.compress(tarred(*(member(name, data) for name, data in members.items())))


def records(numbers: list[int]) -> bytes:
    """As CIFAR's binary form has them: a label, and pixels; here two."""
    return b"".join(bytes([number % 2, number, number + 100]) for number in numbers)


CIFAR_BINARY = """
format: records
options: {{record: [{{key: labels, dtype: uint8}}, {{key: images, dtype: uint8, shape: [2]}}]}}
fields: {{images: {{dtype: uint8, shape: [2]}}, labels: {{dtype: int64, classes: [a, b]}}}}
splits:
  train: {{samples: 5, file: cifar.{ending}, members: {members}}}
  test: {{samples: 1, file: cifar.{ending}, members: [cifar/test_batch.bin]}}
"""
BATCHES = {
    "cifar/data_batch_2.bin": records([4, 5]),
    "cifar/data_batch_1.bin": records([1, 2, 3]),
    "cifar/test_batch.bin": records([9]),
    "cifar/._data_batch_3.bin": b"litter",
}


class TestRecords:
    """The parts of CIFAR's binary form, in an archive."""

    @pytest.mark.parametrize(("ending", "pack"), [("zip", zipped), ("gz", tar)])
    @pytest.mark.parametrize(
        ("members", "images"),
        [
            ('["cifar/data_batch_*.bin"]', [1, 2, 3, 4, 5]),
            ('["**/data_batch_*"]', [1, 2, 3, 4, 5]),
            ("[cifar/data_batch_2.bin, cifar/data_batch_1.bin]", [4, 5, 1, 2, 3]),
            ('[cifar/data_batch_2.bin, "cifar/*_1.bin"]', [4, 5, 1, 2, 3]),
        ],
    )
    def test_a_list_has_its_own_order_and_a_pattern_that_of_names(
        self, tmp_path: Path, ending: str, pack: Callable[[dict[str, bytes]], bytes], members: str, images: list[int]
    ) -> None:
        """Whatever order the archive has."""
        entry = CIFAR_BINARY.format(ending=ending, members=members)
        data = made(tmp_path, entry, **{f"cifar_{ending}": pack(BATCHES)})

        assert plain(data.train.images[:, 0]) == images
        assert plain(data.train.labels) == [image % 2 for image in images]
        assert plain(data.test.images) == [[9, 109]]

    def test_a_pattern_that_means_nothing_is_refused(self, tmp_path: Path) -> None:
        """It is a mistake, and no split of nothing."""
        entry = CIFAR_BINARY.format(ending="zip", members='["cifar/data_bach_*.bin"]')
        with pytest.raises(DecodeError) as caught:
            made(tmp_path, entry, cifar_zip=zipped(BATCHES))

        assert (
            caught.value.reason
            == "it has no member that matches 'cifar/data_bach_*.bin'; did you mean 'cifar/data_batch_2.bin'?"
        )


def test_the_pickles_of_cifar_may_be_a_pattern(tmp_path: Path) -> None:
    """Of any format whose splits are members."""
    images = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3, 32, 32)
    members = {f"b/data_batch_{n}": batch(images + n, [n, n]) for n in (2, 1)}
    entry = """
        format: cifar-python
        fields: {images: {dtype: uint8, shape: [3, 32, 32]}, labels: {dtype: int64, classes: [a, b, c]}}
        splits: {train: {samples: 4, file: cifar.gz, members: ["b/data_batch_*"]}}
        """
    data = made(tmp_path, entry, cifar_gz=tar(members))

    assert plain(data.train.labels) == [1, 1, 2, 2]
    assert np.array_equal(data.train.images[2:], images + 2)


def csv_of(numbers: list[int]) -> bytes:
    """A table with a header."""
    return "\n".join(["x,word", *(f"{n},n{n}" for n in numbers), ""]).encode()


def jsonl_of(numbers: list[int]) -> bytes:
    """An object a line."""
    return "".join(json.dumps({"x": n, "word": f"n{n}"}) + "\n" for n in numbers).encode()


def table_of(form: str, numbers: list[int]) -> bytes:
    """A table, as pyarrow writes it."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    table, out = pyarrow.table({"x": numbers, "word": [f"n{n}" for n in numbers]}), io.BytesIO()
    if form == "parquet":
        parquet.write_table(table, out)
    else:
        feather.write_feather(table, out, compression="uncompressed")
    return out.getvalue()


def part_of(form: str, numbers: list[int]) -> bytes:
    """A part of a table in that format."""
    if form in ("csv", "jsonl"):
        return csv_of(numbers) if form == "csv" else jsonl_of(numbers)
    return table_of(form, numbers)


TABLE = """
format: {form}
fields: {{x: {{dtype: int64}}, word: {{dtype: str}}}}
splits: {{train: {{samples: {samples}, {where}members: ["{folder}train-*.{form}"]}}}}
"""


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "arrow"])
class TestTables:
    """A table may be in several files, as Hugging Face keeps large ones."""

    def test_declared_files(self, tmp_path: Path, form: str) -> None:
        """One after the other, in the order of their names."""
        entry = TABLE.format(form=form, samples=5, where="", folder="")
        parts = {f"train-2_{form}": part_of(form, [4, 5]), f"train-1_{form}": part_of(form, [1, 2, 3])}
        data = made(tmp_path, entry, **parts, **{f"test_{form}": part_of(form, [9])})

        assert plain(data.train.x) == [1, 2, 3, 4, 5]
        assert plain(data.train.word) == ["n1", "n2", "n3", "n4", "n5"]

    def test_members_of_an_archive(self, tmp_path: Path, form: str) -> None:
        """Litter is none of them."""
        entry = TABLE.format(form=form, samples=5, where="file: all.zip, ", folder="d/")
        members = {f"d/train-{n}.{form}": part_of(form, numbers) for n, numbers in ((2, [4, 5]), (1, [1, 2, 3]))}
        data = made(tmp_path, entry, all_zip=zipped({**members, f"d/._train-3.{form}": b"x"}))

        assert plain(data.train.x) == [1, 2, 3, 4, 5]

    def test_another_number_of_rows_is_refused(self, tmp_path: Path, form: str) -> None:
        """More, as soon as they come, and fewer."""
        parts = {f"train-{n}_{form}": part_of(form, [n, n]) for n in (1, 2)}
        with pytest.raises(ContentError) as caught:
            made(tmp_path, TABLE.format(form=form, samples=3, where="", folder=""), **parts)
        assert caught.value.reason == f"up to 'train-2.{form}', it has more rows than the 3 that train declares"

        with pytest.raises(ContentError, match="samples"):
            made(tmp_path, TABLE.format(form=form, samples=5, where="", folder=""), **parts)

    def test_rows_are_of_all_parts_together(self, tmp_path: Path, form: str) -> None:
        """Counted from the first."""
        entry = TABLE.format(form=form, samples=2, where="rows: [1, 3], stored_samples: 4, ", folder="")
        parts = {f"train-{n}_{form}": part_of(form, [n, n + 10]) for n in (1, 2)}

        assert plain(made(tmp_path, entry, **parts).train.x) == [11, 2]


def test_a_field_beside_the_parts_is_a_table_of_its_own(tmp_path: Path) -> None:
    """In another file, whose rows are those of all parts."""
    entry = """
        format: csv
        fields: {x: {dtype: int64}, y: {dtype: int64}}
        splits:
          train: {samples: 4, file: all.zip, members: ["*.csv"], y: {file: y.csv}}
        """
    parts = zipped({"a.csv": b"x\n1\n2\n", "b.csv": b"x\n3\n4\n"})
    data = made(tmp_path, entry, all_zip=parts, y_csv="y\n5\n6\n7\n8\n")

    assert plain(data.train.x) == [1, 2, 3, 4]
    assert plain(data.train.y) == [5, 6, 7, 8]


def test_parts_are_hashed_as_all_files_are(tmp_path: Path) -> None:
    """A part that changed is found before it is read."""
    path = declare(
        tmp_path, TABLE.format(form="csv", samples=2, where="", folder=""), **{"train-1_csv": csv_of([1, 2])}
    )
    (tmp_path / "datasets" / "made" / "train-1.csv").write_bytes(csv_of([1, 3]))

    with pytest.raises(Exception, match="sha256"):
        get("made", manifest=path)
