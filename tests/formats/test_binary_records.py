"""Records of a declared layout: published ones, stood in for, and what does not fit."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.declared import declare, made, plain
from tests.helpers.format_writers import COMPRESSORS, column, gzip_bomb, member, memory_below, put, read, split, tarred
from tests.helpers.hostile import Case
from tests.helpers.yardstick import soon
from tinytorch_datasets import get
from tinytorch_datasets.errors import ContentError, DecodeError, ManifestError

MEBIBYTES = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), np.uint8)
LABELS = (np.arange(20) % 10).astype("u1")
TEN = 'classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]'


def cifar(*labels: np.ndarray, of: slice) -> bytes:
    """Records as CIFAR's binary version has them: the bytes of labels, and then the pixels."""
    return b"".join(
        bytes(row) + image.tobytes() for *row, image in zip(*(part[of] for part in labels), IMAGES[of], strict=True)
    )


class TestPublishedLayouts:
    """Of data sets that are published as records; the bytes stand in for them."""

    @pytest.mark.parametrize("pack", [lambda data: data, COMPRESSORS["gzip"]], ids=["tar", "tar.gz"])
    def test_cifar_10_as_members_of_its_archive(self, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
        """Batches one after the other as they are declared, whatever their order in the archive."""
        batches = {
            "b/data_batch_1.bin": slice(0, 8),
            "b/data_batch_2.bin": slice(8, 15),
            "b/test_batch.bin": slice(15, 20),
        }
        members = [member(name, cifar(LABELS, of=of)) for name, of in reversed(batches.items())]
        data = made(
            tmp_path,
            f"""
            format: records
            options: {{record: [{{key: labels, dtype: uint8}}, {{key: images, dtype: uint8, shape: [3, 32, 32]}}]}}
            fields: {{images: {{dtype: uint8, shape: [3, 32, 32]}}, labels: {{dtype: int64, {TEN}}}}}
            splits:
              train: {{samples: 15, file: cifar.tar, members: [b/data_batch_1.bin, b/data_batch_2.bin]}}
              test: {{samples: 5, file: cifar.tar, members: [b/test_batch.bin]}}
            """,
            cifar_tar=pack(tarred(*members)),
        )

        for of, part in ((data.train, slice(0, 15)), (data.test, slice(15, 20))):
            np.testing.assert_array_equal(of.images, IMAGES[part], strict=True)
            assert plain(of.labels) == LABELS[part].tolist()

    def test_cifar_100_has_two_labels(self, tmp_path: Path) -> None:
        """Of which one may be passed over; the batches are files here."""
        coarse = LABELS // 2
        data = made(
            tmp_path,
            f"""
            format: records
            options:
              record:
              - {{key: coarse, dtype: uint8}}
              - {{key: labels, dtype: uint8}}
              - {{key: images, dtype: uint8, shape: [3, 32, 32]}}
            fields: {{images: {{dtype: uint8, shape: [3, 32, 32]}}, labels: {{dtype: int64, {TEN}}}}}
            splits: {{train: {{samples: 20, members: [b.bin, a.bin]}}}}
            """,
            a_bin=cifar(coarse, LABELS, of=slice(12, 20)),
            b_bin=cifar(coarse, LABELS, of=slice(0, 12)),
        )

        np.testing.assert_array_equal(data.train.images, IMAGES, strict=True)
        assert plain(data.train.labels) == LABELS.tolist()

    def test_stl_10_has_columns_first_and_labels_elsewhere(self, tmp_path: Path) -> None:
        """Pixels go down and then right, labels count from 1 in a file of their own."""
        raw = np.random.default_rng(1).integers(0, 256, (4, 3, 96, 96), np.uint8)
        data = made(
            tmp_path,
            f"""
            format: records
            fields:
              images: {{dtype: uint8, shape: [96, 96, 3], axes: [0, 3, 2, 1]}}
              labels: {{dtype: int64, first: 1, {TEN}}}
            options: {{record: [{{key: images, dtype: uint8, shape: [3, 96, 96]}}]}}
            splits:
              train:
                samples: 4
                images: {{file: stl.tar, member: stl10_binary/train_X.bin}}
                labels: {{file: stl.tar, member: stl10_binary/train_y.bin, format: records,
                         options: {{record: [{{key: labels, dtype: uint8}}]}}}}
            """,
            stl_tar=tarred(
                member("stl10_binary/train_y.bin", bytes([2, 10, 1, 7])),
                member("stl10_binary/train_X.bin", raw.tobytes()),
            ),
        )

        np.testing.assert_array_equal(data.train.images, np.transpose(raw, (0, 3, 2, 1)), strict=True)
        assert plain(data.train.labels) == [1, 9, 0, 6]

    @pytest.mark.parametrize("order", ["little", "big"])
    def test_norb_has_a_header(self, tmp_path: Path, order: str) -> None:
        """A magic number, the number of axes, and at least three lengths; then pairs of images, or numbers."""
        mark = ">" if order == "big" else "<"
        pairs = np.random.default_rng(2).integers(0, 256, (5, 2, 4, 4), np.uint8)
        data = made(
            tmp_path,
            f"""
            format: records
            fields: {{images: {{dtype: uint8, shape: [2, 4, 4]}}, labels: {{dtype: int64, classes: [a, b, c, d, e]}}}}
            splits:
              train:
                samples: 5
                images: {{file: dat.mat}}
                labels: {{file: cat.mat, options: {{header_bytes: 20, byte_order: {order},
                         record: [{{key: labels, dtype: int32}}]}}}}
            options: {{header_bytes: 24, record: [{{key: images, dtype: uint8, shape: [2, 4, 4]}}]}}
            """,
            dat_mat=struct.pack(f"{mark}6i", 0x1E3D4C55, 4, *pairs.shape) + pairs.tobytes(),
            cat_mat=struct.pack(f"{mark}5i5i", 0x1E3D4C54, 1, 5, 1, 1, 4, 3, 2, 1, 0),
        )

        np.testing.assert_array_equal(data.train.images, pairs, strict=True)
        assert plain(data.train.labels) == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint64", "float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_type_in_both_orders_of_bytes(dtype: str, order: str, tmp_path: Path) -> None:
    """Beside bytes that nobody asks for; more than one block of them."""
    values = (np.arange(9000 * 2) % 251).reshape(9000, 2).astype(dtype)
    of = np.dtype(dtype).newbyteorder("<" if order == "little" else ">")
    raw = np.zeros(9000, [("a", "V3"), ("b", of, 2)])
    raw["b"] = values
    result = split(column(put(tmp_path / "f", raw.tobytes()), samples=9000, shape=(2,), dtype=dtype))
    record = [{"dtype": "uint8", "shape": [3]}, {"key": "images", "dtype": dtype, "shape": [2]}]

    found = read("records", result, record=record, byte_order=order)

    np.testing.assert_array_equal(found["train.images"], values, strict=True)


OF_OPTIONS = {
    "no parts": ("record: []", "options.record: has 0 parts; there is one at least, and 1,000 at most"),
    "no layout": (
        "header_bytes: 4",
        "options: format 'records' needs the option 'record': the parts of a record, in order",
    ),
    "a type that is none": (
        "record: [{key: n, dtype: uint7}]",
        "options.record[0].dtype: needs a dtype: one of bool, int8, int16",
    ),
    "text": ("record: [{key: n, dtype: str}]", "options.record[0].dtype: needs a dtype: one of bool"),
    "no type": ("record: [{key: n}]", "options.record[0]: needs a dtype: one of bool, int8, int16"),
    "a key that is none": (
        "record: [{key: n, dtype: uint8, shap: [2]}]",
        "options.record[0].shap: no such key; did you mean 'shape'?",
    ),
    "a part twice": (
        "record: [{key: n, dtype: uint8}, {key: n, dtype: uint8}]",
        "options.record[1].key: is there twice: 'n'",
    ),
    "a shape of nothing": (
        "record: [{key: n, dtype: uint8, shape: [0]}]",
        "options.record[0].shape: must be a list of lengths, is [0]",
    ),
    "a shape of gigabytes": (
        "record: [{key: n, dtype: uint8, shape: [4000000000]}]",
        "options.record[0].shape: has more than 31 axes, or more than 2,147,483,648 values",
    ),
    "a record of gigabytes": (
        "record: [{key: n, dtype: float64, shape: [2000000000]}]",
        "options.record: makes a record of 16,000,000,000 bytes, the most is 2,147,483,648",
    ),
    "a negative header": (
        "header_bytes: -1, record: [{key: n, dtype: uint8}]",
        "options.header_bytes: is a number of bytes, 0 or more",
    ),
    "another order of bytes": (
        "byte_order: middle, record: [{key: n, dtype: uint8}]",
        "options.byte_order: must be 'little' or 'big', is 'middle'",
    ),
}


@pytest.mark.parametrize(("options", "message"), OF_OPTIONS.values(), ids=OF_OPTIONS)
def test_what_is_wrong_with_a_layout(options: str, message: str, tmp_path: Path) -> None:
    """Before a byte is read, at the value itself."""
    entry = "format: records\nfields: {n: {dtype: uint8}}\nsplits: {train: {samples: 4, file: n.bin}}\n"
    path = declare(tmp_path, f"{entry}options: {{{options}}}", n_bin=bytes(4))

    with pytest.raises(ManifestError) as caught:
        get("made", manifest=path)

    (problem,) = caught.value.problems
    assert f"{problem.key}: {problem.what}".startswith(f"made.{message}")


def test_members_without_a_file_are_declared_files(tmp_path: Path) -> None:
    """One that is not is a mistake, and so is a pattern of none."""
    entry = """
        format: records
        options: {{record: [{{key: n, dtype: uint8}}]}}
        fields: {{n: {{dtype: uint8}}}}
        splits: {{train: {{samples: 4, members: [{0}]}}}}
        """
    for name, wrong in (
        ("'m.bin'", "is not under files; did you mean 'n.bin'?"),
        ("'m*.bin'", "matches no file under files; did you mean 'n.bin'?"),
    ):
        with pytest.raises(ManifestError) as caught:
            get("made", manifest=declare(tmp_path, entry.format(name), n_bin=bytes(4)))
        (problem,) = caught.value.problems
        assert problem.key == "made.splits.train.members[0]"
        assert problem.what == f"{name} {wrong}"


ROW: dict[str, Any] = {
    "record": [{"key": "images", "dtype": "uint8", "shape": [2]}, {"key": "labels", "dtype": "uint8"}]
}
GOOD = bytes(range(9))


def wrong(reason: str, hostile: Callable[[], bytes], **more: Any) -> Case:
    """A case of three records of three bytes."""
    return Case("records", hostile, reason, lambda: GOOD, **{"options": ROW, **more})


def with_row(**more: Any) -> dict[str, Any]:
    """The options, and others."""
    return {"options": {**ROW, **more}}


CASES = {
    "records, nothing": wrong("it has 0 records of 3 bytes, declared are 3", lambda: b"", error=ContentError),
    "records, one less": wrong("it has 2 records of 3 bytes, declared are 3", lambda: GOOD[:6], error=ContentError),
    "records, cut short": wrong("it ends inside record 2: 3 bytes expected, 2 came", lambda: GOOD[:-1]),
    "records, one more": wrong(
        "its 3 records are all that are declared, and 3 bytes more follow", lambda: GOOD + b"abc", error=ContentError
    ),
    "records, a byte more": wrong(
        "its 3 records are all that are declared, and 1 bytes more follow", lambda: GOOD + b"a", error=ContentError
    ),
    "records, zeros without end": wrong(
        "its 3 records are all that are declared, and 65,536 bytes or more follow",
        lambda: gzip_bomb(b"\0", 64 << 20, GOOD),
        error=ContentError,
    ),
    "records, gzip data cut short": wrong("its gzip data is cut short", lambda: COMPRESSORS["gzip"](GOOD)[:-3]),
    "records, a header cut short": Case(
        "records",
        lambda: b"abc",
        "it ends inside its header: 4 bytes expected, 3 came",
        lambda: b"head" + GOOD,
        **with_row(header_bytes=4),
    ),
    "records, no such part": Case(
        "records",
        lambda: GOOD,
        "its record has no part 'image'; did you mean 'images'?",
        lambda: GOOD,
        declared={"key": "image"},
        options=ROW,
    ),
    "records, a larger part": wrong(
        "part 'images' of its records is uint8 (3, 2), more than train.images declares: uint8 (3,)",
        lambda: GOOD,
        declared={"shape": ()},
        error=ContentError,
    ),
    "records, a bool that is none": Case(
        "records",
        lambda: bytes([0, 1, 2]),
        "part 'images' holds a bool that is neither 0 nor 1",
        lambda: bytes([0, 1, 1]),
        declared={"dtype": "bool", "shape": ()},
        options={"record": [{"key": "images", "dtype": "bool"}]},
    ),
}

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def values(case: Case, data: bytes | str, folder: Path) -> Any:
    """What the format makes of these bytes."""
    result = split(column(put(folder / "file", data), **{"shape": (2,), **case.declared}))
    return read("records", result, **case.options)


@every
def test_the_hostile_one_is_refused(case: Case, tmp_path: Path) -> None:
    """In these words, by this class, soon, and in little memory."""
    data = case.hostile()

    with soon(), pytest.raises(DecodeError) as caught, memory_below(MEBIBYTES):
        values(case, data, tmp_path)

    assert caught.value.reason == case.reason
    assert type(caught.value) is case.error
    assert caught.value.path == tmp_path / "file"


@every
def test_its_harmless_twin_is_read(case: Case, tmp_path: Path) -> None:
    """So that refusing is not just being broken."""
    if case.declared.get("key") == "image" or case.declared == {"shape": ()}:
        case = case._replace(declared={})
    assert values(case, case.twin(), tmp_path)
