"""Folders of decoded arrays: each file as NumPy reads it, each note as JSON, and whatever of them is not believed."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from tests.helpers.executors import Sending
from tests.helpers.forked import in_a_fork
from tinytorch_datasets import EncodedArray, RaggedArray, StringArray
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.plan import Block, Column, File, Mode, Plan, RaggedBlock, Rows, Shard, Split
from tinytorch_datasets.storage import array_folder, arrays
from tinytorch_datasets.storage.array_folder import ArrayFolder, file_names, read_header
from tinytorch_datasets.storage.encoded_array import EncodedBlock, Recipe
from tinytorch_datasets.storage.memmap import Remapped

ROOT = Path("/data")
COUNT = 5


def column(field: str, dtype: str, shape: tuple[int | None, ...] = (), **others: Any) -> Column:
    """A column of the split."""
    return Column("train", field, dtype, COUNT, ROOT / "d.bin", field, shape, **others)


def decoder(facts: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
    """Samples that are kept as bytes, each behind the number of its rows."""

    def decode(data: bytes) -> np.ndarray:
        return np.frombuffer(data[1:], facts["dtype"]).reshape((data[0], -1) if facts["rows"] else -1)

    return decode


def recipe(of: Column) -> Recipe:
    """How they are decoded."""
    return Recipe(decoder, {"dtype": of.dtype, "rows": len(of.shape) == 2})


def ragged(values: list[np.ndarray], axes: int, dtype: str = "int32") -> RaggedBlock:
    """A run of samples of several shapes."""
    return RaggedBlock.of(values, values[0].dtype if values else dtype, axes)


IMAGES = np.arange(COUNT * 6, dtype=np.uint16).reshape(COUNT, 2, 3)
LABELS = np.array([2, 0, 1, 1, 0])
WORDS = ["no", "h\u00e9", "", "\u20ac", "yes"]
LISTS = [np.arange(n, dtype=np.int32) for n in (3, 0, 1, 2, 4)]
BOXES = [np.full((n, 2), n, np.float32) for n in (1, 2, 0, 3, 1)]
ROWS = [np.arange(4, dtype=np.int16) + n for n in range(COUNT)]
TABLES = [np.full((n, 2), n, np.uint8) for n in (1, 3, 2, 1, 2)]
COLUMNS = [
    column("images", "uint16", (2, 3)),
    column("labels", "int64"),
    column("words", "str"),
    column("text", "str", per="split"),
    column("lists", "int32", (None,)),
    column("boxes", "float32", (None, 2)),
    column("rows", "int16", (4,), is_encoded=True),
    column("tables", "uint8", (None, 2), is_encoded=True),
]
BY_FIELD = {one.field: one for one in COLUMNS}
PLAN = Plan("d", "d", ROOT, "remote", "csv", (), (Split("train", COUNT, BY_FIELD),))
# Samples as they come: in runs, plain arrays in any order.
RUNS = [(0, 2), (2, 2), (2, 5)]


def runs(field: str) -> Iterator[tuple[int, Any]]:
    """The runs of a field."""
    for start, stop in RUNS:
        if field == "images":
            yield start, IMAGES[start:stop]
        elif field == "labels":
            yield start, LABELS[start:stop]
        elif field == "words":
            yield start, WORDS[start:stop] if start else StringArray.of(["x", *WORDS])[1 : 1 + stop]
        elif field == "text":
            if not start:
                yield 0, ["To be\n"]
        elif field == "lists":
            yield start, ragged(LISTS[start:stop], 1)
        elif field == "boxes":
            yield start, ragged(BOXES[start:stop], 2, "float32")
        elif field == "rows":
            values = np.array(ROWS[start:stop], np.int16).reshape(-1, 4)
            yield start, EncodedBlock(values, [bytes([1]) + row.tobytes() for row in values])
        else:
            own = TABLES[start:stop]
            yield start, EncodedBlock(ragged(own, 2, "uint8"), [bytes([len(one)]) + one.tobytes() for one in own])


def blocks() -> Iterator[Block]:
    """All columns' runs."""
    for one in COLUMNS:
        for start, values in runs(one.field):
            yield Block(one, start, values)


# What each file has, as it is documented: values, places, shapes.
FILES: dict[str, Any] = {
    "images": IMAGES,
    "labels": LABELS,
    "words.utf8": np.frombuffer("".join(WORDS).encode(), np.uint8),
    "words.places": np.array([0, 2, 5, 5, 8, 11]),
    "text.utf8": np.frombuffer(b"To be\n", np.uint8),
    "text.places": np.array([0, 6]),
    "lists.values": np.concatenate(LISTS),
    "lists.offsets": np.array([0, 3, 3, 4, 6, 10]),
    "boxes.values": np.concatenate([box.ravel() for box in BOXES]),
    "boxes.offsets": np.array([0, 2, 6, 6, 12, 14]),
    "boxes.shapes": np.array([[1, 2], [2, 2], [0, 2], [3, 2], [1, 2]]),
    "rows.encoded": np.concatenate([np.append(np.uint8(1), row.view(np.uint8)) for row in ROWS]),
    "rows.offsets": np.arange(0, 46, 9),
    "tables.encoded": np.concatenate([np.append(np.uint8(len(one)), one.ravel()) for one in TABLES]),
    "tables.offsets": np.array([0, 3, 10, 15, 18, 23]),
    "tables.shapes": np.array([[1, 2], [3, 2], [2, 2], [1, 2], [2, 2]]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of every kind of column."""
    target = tmp_path / "arrays" / "d-1"
    arrays.write(target, blocks(), check=lambda _: None)
    return target


def signature(path: Path) -> list[int]:
    """What the system says of a file."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


class TestWriting:
    """What is written is what NumPy reads; it is there whole, or not at all."""

    def test_each_file_is_numpys(self, folder: Path) -> None:
        """By its own loader, in the byte order of this machine; nothing else is there but the note."""
        assert sorted(path.name for path in folder.iterdir()) == (
            sorted([*(f"train.{name}.npy" for name in FILES), "digests.json"])
        )
        for name, expected in FILES.items():
            values = np.load(folder / f"train.{name}.npy")
            assert (values.dtype, values.shape) == (expected.dtype, expected.shape), name
            assert np.array_equal(values, expected)
            assert (folder / f"train.{name}.npy").stat().st_size % 64 == values.nbytes % 64
        assert [path.name for path in folder.parent.iterdir()] == ["d-1"]

    def test_the_note_has_digests_and_signatures(self, folder: Path, tmp_path: Path) -> None:
        """Of each column; and these digests were checked, before the folder was there."""
        checked: list[Mapping[str, str]] = []
        target = tmp_path / "other" / "d-2"

        def check(digests: Mapping[str, str]) -> None:
            assert not target.exists()
            checked.append(dict(digests))

        arrays.write(target, blocks(), check=check)
        note = json.loads((target / "digests.json").read_text())
        values: dict[str, Any] = {
            "images": IMAGES, "labels": LABELS, "words": WORDS, "text": "To be\n",
            "lists": RaggedArray.of(LISTS), "boxes": RaggedArray.of(BOXES, sample_shape=(None, 2)),
            "rows": np.stack(ROWS), "tables": RaggedArray.of(TABLES, sample_shape=(None, 2)),
        }  # fmt: skip
        expected = {f"train.{name}": digest_of(value) for name, value in values.items()}
        assert checked == [expected]
        assert {name: sha256 for name, (sha256, _) in note.items()} == expected
        for one in COLUMNS:
            assert note[str(one)][1] == {name: signature(target / name) for name in file_names(one)}

    def test_runs_of_an_array_come_in_any_order(self, tmp_path: Path) -> None:
        """Its digest is that of the whole; so is that of one whose bytes are the other way round."""
        images, big = BY_FIELD["images"], column("big", ">i4", (2,))
        values = np.arange(10, dtype=">i4").reshape(5, 2)
        some = [Block(images, 3, IMAGES[3:]), Block(big, 0, values), Block(images, 0, IMAGES[:3])]
        digests: dict[str, str] = {}
        arrays.write(tmp_path / "a", some, check=digests.update)
        assert np.array_equal(np.load(tmp_path / "a" / "train.images.npy"), IMAGES)
        assert np.load(tmp_path / "a" / "train.big.npy").dtype.str == ">i4"
        assert digests["train.images"] == digest_of(IMAGES)
        assert np.array_equal(np.load(tmp_path / "a" / "train.big.npy"), values)

    def test_what_a_decoder_must_not_give(self, tmp_path: Path) -> None:
        """Another dtype, or samples of several sizes out of order; and then nothing is left."""
        order = "samples that differ in size come in order, but sample"
        cases: list[tuple[str, list[tuple[int, Any]], str]] = [
            ("images", [(0, IMAGES.astype(np.int64))], "train.images.npy: values of int64, where uint16 is declared"),
            ("words", [(1, ["a"])], f"train.words: {order} 1 follows -1"),
            ("words", [(0, ["a"]), (3, ["b"])], f"train.words: {order} 3 follows 0"),
            ("lists", [(0, ragged(LISTS[:2], 1)), (1, ragged(LISTS[:1], 1))], f"train.lists: {order} 1 follows 1"),
            ("rows", [(2, EncodedBlock(np.stack(ROWS[:1]), [b"x"]))], f"train.rows: {order} 2 follows -1"),
            ("lists", [(0, ragged([one.astype(np.int64) for one in LISTS], 1))],
             "train.lists.values.npy: values of int64, where int32 is declared"),
            ("boxes", [(0, ragged([np.ones((1, 3), np.float32)], 2))],
             "samples have the shape (None, 2), and not all of the shapes are that"),
        ]  # fmt: skip
        for field, given, words in cases:
            wrong = [Block(BY_FIELD[field], start, values) for start, values in given]
            with pytest.raises(ValueError, match=r"\A") as caught:
                arrays.write(tmp_path / "a", wrong, check=lambda _: None)
            assert str(caught.value) == words
        assert list(tmp_path.iterdir()) == []

    def test_one_file_alone(self, tmp_path: Path) -> None:
        """Of a number of samples that is known, or of as many as come; by `write` at any place, by `append` behind."""
        file = arrays.NpyFile(tmp_path / "a.npy", "<f4", (2,))
        assert (file.count, file.files, file.path) == (0, (file,), tmp_path / "a.npy")
        file.append(np.array([[1, 2]], np.float32))
        file.append(np.zeros((0, 2), np.float32))
        file.append(np.array([[3, 4], [5, 6]], ">f4")[:, ::-1])
        assert file.count == 3
        assert [piece.tolist() for piece in file.read(1, 3)] == [[[4, 3], [6, 5]]]
        file.end()
        file.sync()
        assert np.load(tmp_path / "a.npy").tolist() == [[1, 2], [4, 3], [6, 5]]
        file.close()
        with pytest.raises(ValueError, match="closed"):
            file.sync()
        file = arrays.NpyFile(tmp_path / "b.npy", "<i2", samples=4)
        file.write(2, np.array([7, 8], np.int16))
        file.write(0, np.array([5], ">i2"))
        assert file.count == 1
        file.append(np.array([6], np.int16))
        with pytest.raises(ValueError, match=r"\Ab.npy: values of int8, where int16 is declared\Z"):
            file.append(np.array([6], np.int8))
        file.end()
        file.close()
        assert np.load(tmp_path / "b.npy").tolist() == [5, 6, 7, 8]
        for name, shape in [("a", (3, 2)), ("b", (4,))]:
            with (tmp_path / f"{name}.npy").open("rb") as stream:
                assert np.lib.format.read_magic(stream) == (1, 0)
                assert np.lib.format.read_array_header_1_0(stream)[:2] == (shape, False)

    def test_what_is_read_back_comes_in_pieces(self, tmp_path: Path) -> None:
        """Of a MiB each, or of a sample that is larger; from any sample to any other."""
        cases: list[tuple[int, tuple[int, ...], list[int]]] = [
            (2**20 + 5, (), [2**20, 4]), (6, (2**19,), [2, 2, 1]), (3, (2**20 + 1,), [1, 1]), (5, (0,), [4]),
        ]  # fmt: skip
        for count, row, expected in cases:
            file = arrays.NpyFile(tmp_path / "a.npy", "|u1", row)
            values = (np.arange(count * int(np.prod(row))) % 251).astype(np.uint8).reshape(count, *row)
            file.append(values)
            read = [piece.copy() for piece in file.read(1, count)]
            assert [len(piece) for piece in read] == expected
            assert np.array_equal(np.concatenate(read), values[1:])
            assert [piece.tolist() for piece in file.read(1, 2)] == [values[1:2].tolist()]
            file.close()

    def test_the_disk_begins_before_the_end(self, tmp_path: Path) -> None:
        """Whenever there are eight MiB more; what else is buffered is not waited for."""
        file = arrays.NpyFile(tmp_path / "a.npy", "|u1")
        synced = []
        for size in (2**23 - 1, 1, 5, 2**23 - 5):
            file.append(np.zeros(size, np.uint8))
            file.sync_some()
            synced.append(file._synced)
        assert synced == [0, 2**23, 2**23, 2**24]
        file.close()
        file._written += 2**23
        with pytest.raises(ValueError, match="closed"):
            file.sync_some()

    def test_the_digest_of_runs_in_any_order(self, tmp_path: Path) -> None:
        """Those that come early are read back; where samples are written twice, the file is what counts."""
        images = BY_FIELD["images"]
        other = IMAGES[::-1]
        orders: list[list[tuple[int, np.ndarray]]] = [
            [(4, IMAGES[4:]), (2, IMAGES[2:4]), (3, IMAGES[3:3]), (0, IMAGES[:2])],
            [(1, IMAGES[1:2]), (0, IMAGES[:1]), (3, IMAGES[3:]), (2, IMAGES[2:3])],
            [(0, other[:3]), (3, IMAGES[3:]), (0, IMAGES[:3])],
            [(0, IMAGES), (4, other[4:]), (4, IMAGES[4:])],
            [(0, other[:3]), (0, IMAGES[:3]), (3, IMAGES[3:])],
        ]
        for number, order in enumerate(orders):
            digests: dict[str, str] = {}
            given = [Block(images, start, values) for start, values in order]
            arrays.write(tmp_path / f"{number}", given, check=digests.update)
            assert digests == {"train.images": digest_of(IMAGES)}
            assert np.array_equal(np.load(tmp_path / f"{number}" / "train.images.npy"), IMAGES)

    def test_what_the_disk_refuses(self, tmp_path: Path) -> None:
        """Names the folder, and that another one can be named; nothing is left. What is no such error passes."""
        (tmp_path / "file").touch()
        target = tmp_path / "file" / "d-1"
        with pytest.raises(StorageError) as caught:
            arrays.write(target, blocks(), check=lambda _: None)
        assert caught.value.what == f"{tmp_path}/file cannot be written: a file is in the way of a folder"
        elsewhere = "or set TINYTORCH_DATASETS_HOME to a folder"
        assert caught.value.hint == f"Move it out of the way, {elsewhere} elsewhere."
        target = tmp_path / "d-1"

        def failing(error: BaseException) -> Iterator[Block]:
            yield next(blocks())
            raise error

        with pytest.raises(StorageError) as caught:
            arrays.write(target, failing(OSError(errno.ENOSPC, "full")), check=lambda _: None)
        assert caught.value.what == f"{target} cannot be written: the disk is full, or your share of it is"
        assert caught.value.hint == f"Free some room, {elsewhere} on a larger disk."
        own: BaseException
        for own in (
            StorageError("own", path=target, errno=errno.EIO),
            OSError("no number"),
            KeyError("a"),
            KeyboardInterrupt(),
        ):
            with pytest.raises(type(own)) as raised:
                arrays.write(target, failing(own), check=lambda _: None)
            assert raised.value is own

        def refuse(_: Mapping[str, str]) -> None:
            msg = "refused"
            raise ValueError(msg)

        with pytest.raises(ValueError, match="refused"):
            arrays.write(target, blocks(), check=refuse)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_while_it_is_written_it_has_another_name(self, tmp_path: Path) -> None:
        """Hidden, of its own, and such as is swept when its process was killed."""
        names: list[str] = []

        def watched() -> Iterator[Block]:
            yield from blocks()
            names.extend(path.name for path in tmp_path.iterdir())
            assert threading.current_thread().name == "decoding"
            assert {"writing", "hashing"} <= {thread.name for thread in threading.enumerate()}

        arrays.write(tmp_path / "d-1", watched(), check=lambda _: None)
        (name,) = names
        assert re.fullmatch(r"\.d-1\.[0-9a-f]{8}\.part", name)

    def test_in_memory_it_is_the_same(self, folder: Path) -> None:
        """Read-only, and the text of a whole split as a str."""
        held: dict[str, Any] = array_folder.collect(blocks(), recipe)
        opened = ArrayFolder(PLAN, folder, recipe=recipe)
        assert list(held) == list(map(str, COLUMNS))
        for one in COLUMNS:
            name = str(one)
            values: Any = opened.values(one)
            assert type(held[name]).__name__ in (type(values).__name__, "ndarray")
            assert digest_of(held[name]) == digest_of(values) == opened.digests[name]
            assert getattr(held[name], "dtype", None) == getattr(values, "dtype", None)
        assert held["train.text"] == "To be\n"
        for values in (held["train.images"], held["train.labels"], held["train.lists"].values):
            assert not values.flags.writeable
        kept: list[tuple[str, list[np.ndarray]]] = [("rows", ROWS), ("tables", TABLES)]
        for field, samples in kept:
            encoded = held[f"train.{field}"]
            assert isinstance(encoded, EncodedArray)
            assert encoded.sample_shape == BY_FIELD[field].shape
            assert list(map(np.ndarray.tolist, encoded)) == list(map(np.ndarray.tolist, samples))
        assert held["train.boxes"].sample_shape == (None, 2)


class TestTheName:
    """It is the data set's, and twenty digits of a hash of all that the arrays depend on."""

    def test_it_is_that_of_a_list(self) -> None:
        """Which any program can write: the layout, the format, what each column declares, and the files."""
        listed = column("l", "int64", where="m.yaml:3")
        rows = Rows(9, without=(Rows(8, listed=listed),))
        own = column(
            "x",
            "uint8",
            (None, 2),
            range=(0, 9),
            options=MappingProxyType({"a": 1}),
            rows=rows,
            where="m.yaml:2",
            sha256="0" * 64,
        )
        split = Split("train", COUNT, {"x": own, "l": listed}, ROOT / "d.bin", ("m",), shards=(Shard(5, ("s.bin",)),))
        files = (File("d.bin", 3, "a" * 64, ()), File("e.bin", 4, "b" * 64, ()))
        plan = Plan("d", "d", ROOT, "remote", "csv", files, (split,), {"z": 1, "b": [2]})
        plain = {
            "split": "train", "field": "x", "dtype": "uint8", "samples": 5, "file": "d.bin", "key": "x",
            "shape": [None, 2], "range": [0, 9], "classes": None, "per": "sample", "missing": [], "missing_value": None,
            "member": [], "columns": [], "format": "", "options": {"a": 1}, "values": [], "stored": "", "names": [],
            "rows": None, "axes": [], "factor": None, "stored_columns": None, "stored_shape": [], "is_encoded": False,
        }  # fmt: skip
        other = {**plain, "field": "l", "dtype": "int64", "key": "l", "shape": [], "range": None, "options": None}
        none: dict[str, Any] = {
            "of": 9, "start": 0, "stop": 0, "seed": None, "after": [], "listed": None, "first": 0, "names": None,
            "without": [], "equals": [],
        }  # fmt: skip
        plain["rows"] = {**none, "without": [{**none, "of": 8, "listed": other}]}
        members = [["train", "d.bin", ["m"]], ["train", 5, ["s.bin"]]]
        sums = [["d.bin", "a" * 64], ["e.bin", "b" * 64]]

        def named(version: Any) -> str:
            made_from = [5, "csv", version, {"z": 1, "b": [2]}, [plain, other], members, sums]
            return "d-" + hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:20]

        assert arrays.folder_name(plan, [3]) == named(3)
        images = Plan("d", "d", ROOT, "remote", "csv", files, (split,), {"z": 1, "b": [2]})
        assert arrays.folder_name(images, [3]) != arrays.folder_name(images, [4])
        two = Split("train", COUNT, {"x": column("x", "int64", format="npz")})
        plan = Plan("d", "d", ROOT, "remote", "csv", (), (two,))
        assert plan.formats == ("csv", "npz")
        x = {**other, "field": "x", "key": "x", "format": "npz"}
        made_from = [5, "csv", [["csv", 1], ["npz", 2]], {}, [x], [["train", None, []]], []]
        expected = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:20]
        assert arrays.folder_name(plan, [1, 2]) == f"d-{expected}"
        with pytest.raises(ValueError, match="zip"):
            arrays.folder_name(plan, [1, 2, 3])


class TestTheFolder:
    """What killed processes left is removed when it is old; what is of one data set is listed."""

    def test_only_what_is_old_is_swept(self, tmp_path: Path) -> None:
        """By the newest of its files; nothing that has another name, and nothing through a link."""
        folder, now = tmp_path / ".cache" / "arrays", time.time()
        ages = {
            ".old.1.part": (3700, 3700), ".new.1.part": (3700, 3500), ".young.1.part": (3500, 3700),
            ".old.other": (3700, 3700), "old.part": (3700, 3700), ".empty.part": (3700, None), ".z.part": (3700, 3700),
        }  # fmt: skip
        for name, (own, file) in ages.items():
            (folder / name).mkdir(parents=True)
            if file is not None:
                (folder / name / "a.npy").touch()
                os.utime(folder / name / "a.npy", (now - file, now - file))
            os.utime(folder / name, (now - own, now - own))
        (folder / ".file.part").touch()
        os.utime(folder / ".file.part", (1, 1))
        arrays.sweep(tmp_path / ".cache")
        left = {".file.part", ".new.1.part", ".young.1.part", ".old.other", "old.part"}
        assert {path.name for path in folder.iterdir()} == left
        (tmp_path / "two" / ".cache").mkdir(parents=True)
        (tmp_path / "two" / ".cache" / "arrays").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / ".a.part").mkdir(parents=True)
        os.utime(tmp_path / "elsewhere" / ".a.part", (1, 1))
        arrays.sweep(tmp_path / "two" / ".cache")
        assert (tmp_path / "elsewhere" / ".a.part").exists()
        with pytest.raises(StorageError) as caught:
            arrays.folders_of(tmp_path / "two" / ".cache", "a")
        assert caught.value.what.startswith(f"{tmp_path}/two/.cache/arrays: this is a symbolic link")
        arrays.sweep(tmp_path / "none")

    def test_those_of_one_data_set(self, tmp_path: Path) -> None:
        """Its name may have the sign in it that stands before the hash."""
        for name in ("d-1", "d-2", "d-d-1", "e-1", "d"):
            (tmp_path / "arrays" / name).mkdir(parents=True)
        assert arrays.folders_of(tmp_path, "d") == [tmp_path / "arrays" / "d-1", tmp_path / "arrays" / "d-2"]
        assert arrays.folders_of(tmp_path, "d-d") == [tmp_path / "arrays" / "d-d-1"]
        assert arrays.folders_of(tmp_path, "x") == []

    def test_another_process_was_faster(self, tmp_path: Path) -> None:
        """Its folder is replaced, however often one comes between; what else is refused is an error."""
        aside, target = tmp_path / "aside", tmp_path / "target"
        for folder in (aside, target):
            folder.mkdir()
            (folder / "a").write_text(folder.name)
        arrays._into_place(aside, target)
        assert (target / "a").read_text() == "aside"
        assert [path.name for path in tmp_path.iterdir()] == ["target"]

        moves: list[tuple[str, str]] = []

        def move(times: int, number: int, path: Path, to: Path) -> None:
            moves.append((path.name, to.name))
            if path == aside and len([one for one in moves if one[0] == "aside"]) <= times:
                target.mkdir(exist_ok=True)
                raise OSError(number, "refused")
            path.rename(to)

        for times in (1, 2, 3):
            for number in (errno.EEXIST, errno.ENOTEMPTY, errno.EACCES):
                aside.mkdir()
                moves.clear()
                arrays._into_place(aside, target, move=lambda path, to: move(times, number, path, to))  # noqa: B023
                assert [one for one, _ in moves] == ["aside", "target"] * times + ["aside"]
                assert all(re.fullmatch(r"\.target\.[0-9a-f]{8}\.part", to) for one, to in moves if one == "target")
                assert [path.name for path in tmp_path.iterdir()] == ["target"]
                assert not list(target.iterdir())
        aside.mkdir()
        for times, number in [(4, errno.EEXIST), (1, errno.EIO)]:
            moves.clear()
            with pytest.raises(OSError, match="refused"):
                arrays._into_place(aside, target, move=lambda path, to: move(times, number, path, to))  # noqa: B023
            assert len(moves) == (7 if times == 4 else 1)

        def gone(path: Path, to: Path) -> None:
            if path == target:
                target.rmdir()
                raise FileNotFoundError
            path.rename(to)

        target.mkdir(exist_ok=True)
        (target / "b").touch()
        (target / "b").unlink()
        refused = iter([OSError(errno.EEXIST, "there")])

        def once(path: Path, to: Path) -> None:
            if path == aside and (error := next(refused, None)):
                raise error
            gone(path, to)

        arrays._into_place(aside, target, move=once)
        assert not aside.exists()
        aside.mkdir()
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError):
            arrays._into_place(aside, tmp_path / "file")

    def test_whether_a_folder_is_a_copy(self, tmp_path: Path) -> None:
        """Byte for byte, but for the note; it may have more."""
        one, other = tmp_path / "one", tmp_path / "other"
        for folder in (one, other):
            folder.mkdir()
            (folder / "a.npy").write_bytes(b"abc")
            os.utime(folder / "a.npy", (7, 7))
            (folder / "digests.json").write_text(folder.name)
        (one / "more").touch()
        assert arrays._is_copy(one, other)
        assert not arrays._is_copy(other, one)
        one = one.rename(tmp_path / "changed")
        (one / "a.npy").write_bytes(b"abd")
        os.utime(one / "a.npy", (7, 7))
        assert not arrays._is_copy(one, other)


class TestReading:
    """The headers decide what there is, and the note what is believed."""

    def test_each_header_that_is_cut_or_of_another_kind(self, tmp_path: Path) -> None:
        """At every length; of other versions, in Fortran's order, of no numbers, of a size that does not fit."""
        values = np.arange(6, dtype="<i2").reshape(2, 3)
        path = tmp_path / "a.npy"
        np.save(path, values)
        whole = path.read_bytes()
        maps: dict[str, np.ndarray] = {}
        header = read_header(tmp_path, "a.npy", maps)
        assert header is not None
        assert tuple(header[0]) == ("a.npy", "<i2", (2, 3), len(whole) - 12)
        assert isinstance(header[0].shape, tuple)
        assert header[1] == signature(path)
        assert maps["a.npy"].tolist() == values.tolist()
        assert isinstance(maps["a.npy"], np.memmap)
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert read_header(tmp_path, "a.npy", maps) is None
        for data in (whole + b"x", whole.replace(b"<i2", b"<i4"), b"x" + whole[1:], whole.replace(b"(2,", b"(2 ")):
            path.write_bytes(data)
            assert read_header(tmp_path, "a.npy") is None
        for array, version in [
            (values, (2, 0)), (values, (3, 0)), (np.asfortranarray(values), (1, 0)), (np.array(["ab"]), (1, 0)),
            (np.array([1j]), (1, 0)), (np.array(["2020"], "M8[s]"), (1, 0)), (np.array([b"a"]), (1, 0)),
        ]:  # fmt: skip
            out = io.BytesIO()
            np.lib.format.write_array(out, array, version)
            path.write_bytes(out.getvalue())
            assert read_header(tmp_path, "a.npy") is None, array
        for dtype in ("?", "u1", ">f8"):
            np.save(path, np.zeros(3, dtype))
            assert read_header(tmp_path, "a.npy") is not None
        assert read_header(tmp_path, "none") is None
        assert list(maps) == ["a.npy"]

    def test_every_field_is_opened(self, folder: Path) -> None:
        """With the values that were written, mapped; each file once."""
        before = len(list(Path("/proc/self/fd").iterdir()))
        opened = ArrayFolder(PLAN, folder, {}, recipe)
        assert opened.is_whole
        values: Any = opened.arrays()
        assert list(values) == list(map(str, COLUMNS))
        for name, expected in (("images", IMAGES), ("labels", LABELS)):
            assert np.array_equal(values[f"train.{name}"], expected)
            assert isinstance(values[f"train.{name}"], np.memmap)
        assert values["train.words"] == WORDS
        assert bytes(values["train.text"]) == b"To be\n"
        assert opened.values(BY_FIELD["text"]) == "To be\n"
        assert values["train.lists"].equals(LISTS)
        assert values["train.boxes"].equals(BOXES)
        assert [type(part) for part in values["train.boxes"].__getstate__()[:3]] == [Remapped] * 3
        assert values["train.boxes"].sample_shape == (None, 2)
        for field, samples in (("rows", ROWS), ("tables", TABLES)):
            encoded = values[f"train.{field}"]
            assert [one.tolist() for one in encoded] == [one.tolist() for one in samples]
            assert (encoded.dtype, encoded.sample_shape) == (samples[0].dtype, BY_FIELD[field].shape)
        held = ArrayFolder(PLAN, folder, {}, recipe)
        assert held.values(BY_FIELD["images"]) is held.values(BY_FIELD["images"])
        lazy = ArrayFolder(PLAN, folder, None, recipe)
        assert lazy.values(BY_FIELD["images"]) is not lazy.values(BY_FIELD["images"])
        again = pickle.loads(pickle.dumps(held))
        assert again._maps is None
        assert np.array_equal(again.values(BY_FIELD["images"]), IMAGES)
        del opened, values, held, lazy, again, encoded
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_its_facts(self, folder: Path) -> None:
        """Parts, paths, digests and signatures; none of what is not there."""
        opened = ArrayFolder(PLAN, folder, recipe=recipe)
        note = json.loads((folder / "digests.json").read_text())
        assert opened.digests == {name: sha256 for name, (sha256, _) in note.items()}
        files = [folder / f"train.{name}.npy" for name in FILES]
        assert opened.signatures == {str(path): signature(path) for path in files}
        assert opened.paths(BY_FIELD["boxes"]) == (
            tuple(folder / f"train.boxes.{kind}.npy" for kind in ("values", "offsets", "shapes"))
        )
        assert [part.file for part in opened.parts(BY_FIELD["words"])] == [
            "train.words.utf8.npy",
            "train.words.places.npy",
        ]
        assert [opened.digest_now(one) for one in COLUMNS] == list(opened.digests.values())
        (folder / "train.labels.npy").unlink()
        (folder / "train.words.utf8.npy").write_bytes(b"")
        opened = ArrayFolder(PLAN, folder, recipe=recipe)
        assert not opened.is_whole
        for field in ("labels", "words"):
            with pytest.raises(FileNotFoundError) as caught:
                opened.parts(BY_FIELD[field])
            error = caught.value
            assert (error.errno, error.strerror, error.filename) == (
                (errno.ENOENT, "not there, or not whole", str(folder / f"train.{field}.npy"))
            )
            assert opened.digest_now(BY_FIELD[field]) is None
        (folder / "digests.json").write_text(
            json.dumps({"train.images": note["train.images"], "other": note["train.labels"]})
        )
        opened = ArrayFolder(PLAN, folder, recipe=recipe)
        assert opened.digests == {"train.images": note["train.images"][0]}
        text = BY_FIELD["text"]
        np.save(folder / "train.text.utf8.npy", np.array([255] * 6, np.uint8))
        assert ArrayFolder(PLAN, folder, recipe=recipe).digest_now(text) is None

    def test_shapes_and_dtypes_that_do_not_fit(self, folder: Path) -> None:
        """Of each file, one too many, one too few, one axis more, another dtype: then the column is not there."""
        for name, values in FILES.items():
            path, field = folder / f"train.{name}.npy", name.partition(".")[0]
            kind = name.partition(".")[2]
            others = [values[:-1], np.concatenate([values, values[:1]]), values[..., np.newaxis]]
            if kind in ("", "values", "encoded"):
                others = [
                    *([values[..., np.newaxis]] if kind else others),
                    values.astype("f8" if kind != "values" else "i8"),
                ]
            if kind == "utf8":
                continue
            data = path.read_bytes()
            for other in others:
                np.save(path, other)
                assert ArrayFolder(PLAN, folder, recipe=recipe)._parts[f"train.{field}"] is None, (name, other)
            path.write_bytes(data)
            assert ArrayFolder(PLAN, folder, recipe=recipe)._parts[f"train.{field}"] is not None

    def test_a_note_of_another_kind_is_none(self, folder: Path) -> None:
        """Damaged, cut, or another program's: nothing of it is believed."""
        note, path = (folder / "digests.json").read_bytes(), folder / "digests.json"
        for length in range(0, len(note), 31):
            path.write_bytes(note[:length])
            assert array_folder._read_written(folder) == {}
        for text in (
            "[]",
            "7",
            "null",
            '{"a": 7}',
            '{"a": ["x"]}',
            '{"a": ["x", 7]}',
            '{"a": ["x", {}, 1]}',
            "[" * 100_000,
        ):
            path.write_text(text)
            assert array_folder._read_written(folder) == {}
        path.write_text('{"a": [7, {"b": [1, 2, 3, 4]}]}')
        (written,) = array_folder._read_written(folder).values()
        assert (written.sha256, written.signatures) == ("7", {"b": [1, 2, 3, 4]})

    def test_what_is_believed(self, folder: Path, tmp_path: Path) -> None:
        """Signatures that fit; or else the digest that the manifest declares, which is then noted."""
        found = ArrayFolder.first_match(PLAN, [tmp_path / "none", folder], "auto", recipe)
        assert found is not None
        assert found.path == folder
        assert found._maps is not None
        assert len(found._maps) == len(FILES)
        assert found.values(BY_FIELD["rows"]) is not None
        assert ArrayFolder.first_match(PLAN, [tmp_path / "none"], "auto", recipe) is None
        asked: list[tuple[Mode, bool]] = [("auto", False), ("always", True)]
        for mode, is_asked in asked:
            executor = Sending()
            assert ArrayFolder.first_match(PLAN, [folder], mode, recipe, executor) is not None
            assert (executor.calls > 0) is is_asked

        def opened(**sha256: str) -> ArrayFolder:
            columns = {one.field: Column(**{**vars(one), "sha256": sha256.get(one.field)}) for one in COLUMNS}
            return ArrayFolder(
                Plan("d", "d", ROOT, "remote", "csv", (), (Split("train", COUNT, columns),)), folder, recipe=recipe
            )

        digests = {one.field: opened().digests[str(one)] for one in COLUMNS}
        before = signature(folder / "digests.json")
        assert opened().matches("always")
        assert opened(**digests).matches("auto")
        assert not opened(labels="0" * 64).matches("auto")
        assert signature(folder / "digests.json") == before
        # Changed under its note, with the size and the times of before: only `always` looks.
        path = folder / "train.labels.npy"
        data = path.read_bytes()
        path.write_bytes(data[:-1] + b"\1")
        assert not opened().matches("auto")
        assert not opened(**digests).matches("auto")
        note = json.loads((folder / "digests.json").read_text())
        note["train.labels"][1]["train.labels.npy"] = signature(path)
        (folder / "digests.json").write_text(json.dumps(note))
        assert opened().matches("auto")
        assert not opened().matches("always")
        # The right bytes from elsewhere: nothing is declared, or the digest is.
        path.write_bytes(data)
        assert not opened().matches("auto")
        assert not opened(labels="0" * 64).matches("auto")
        assert json.loads((folder / "digests.json").read_text()) == note
        believed = opened(labels=digests["labels"])
        assert believed.matches("auto")
        note["train.labels"] = [digests["labels"], {"train.labels.npy": signature(path)}]
        assert json.loads((folder / "digests.json").read_text()) == note
        assert opened().matches("auto")
        assert believed._written["train.labels"].signatures == {"train.labels.npy": signature(path)}
        path.unlink()
        assert not opened(**digests).matches("auto")

    def test_blocks_are_small(self, tmp_path: Path) -> None:
        """As many samples as fit into a MiB; of strings, as many as are gone through at once; a text whole."""
        count = 5000
        fields: dict[str, tuple[Column, Any]] = {}

        def add(field: str, dtype: str, shape: tuple[int | None, ...], values: Any, **others: Any) -> None:
            one = Column("train", field, dtype, count, ROOT / "d.bin", field, shape, **others)
            fields[field] = (one, values)

        add("text", "str", (), ["To be"], per="split")
        wide = np.arange(count * 512, dtype=np.uint32).reshape(count, 512)
        add("wide", "uint32", (512,), wide)
        add("big", "float64", (2**18,), np.zeros((0, 2**18)))
        add("none", "float64", (0,), np.zeros((count, 0)))
        add("words", "str", (), [str(n) for n in range(count)])
        add("lists", "uint8", (None,), RaggedBlock(np.zeros(count * 700, np.uint8), np.full((count, 1), 700)))
        small = np.repeat(np.arange(count) % 200, 512).astype(np.uint8).reshape(count, 512)
        kept = [bytes([255]) + row[:510].tobytes() for row in small]
        tables = RaggedBlock(small[:, :510].ravel(), np.tile([255, 2], (count, 1)))
        add("tables", "uint8", (None, 2), EncodedBlock(tables, kept), is_encoded=True)
        add("rows", "uint8", (512,), EncodedBlock(small, [b"\1" + row.tobytes() for row in small]), is_encoded=True)
        big, _ = fields.pop("big")
        plan = Plan(
            "d",
            "d",
            ROOT,
            "remote",
            "csv",
            (),
            (Split("train", count, {name: one for name, (one, _) in fields.items()}),),
        )
        arrays.write(tmp_path / "a", [Block(one, 0, values) for one, values in fields.values()], check=lambda _: None)
        opened = ArrayFolder(plan, tmp_path / "a", recipe=recipe)
        sizes: dict[str, list[int]] = {}
        values: Any
        for one, start, values in opened.blocks():
            sizes.setdefault(one.field, [])
            assert start == sum(sizes[one.field])
            sizes[one.field].append(len(values))
            if one.field in ("wide", "rows"):
                assert np.array_equal(values, (wide if one.field == "wide" else small)[start : start + len(values)])
            if one.field in ("lists", "tables"):
                assert type(values) is RaggedBlock
        assert sizes["wide"] == [512] * 9 + [392]
        assert sizes["none"] == sizes["words"] == [4096, 904]
        assert sizes["lists"] == [1497, 1497, 1497, 509]
        assert sizes["rows"] == [2048, 2048, 904]
        assert sizes["tables"] == [2056, 2056, 888]
        assert sizes["text"] == [1]
        assert big.nbytes == count * 2**21


def test_the_names_of_files() -> None:
    """One of an array; of all else one for each part, in the order in which they are opened."""
    names = {one.field: file_names(one) for one in COLUMNS}
    expected: dict[str, list[str]] = {}
    for name in FILES:
        expected.setdefault(name.partition(".")[0], []).append(f"train.{name}.npy")
    assert names == {field: tuple(files) for field, files in expected.items()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no limits of open files")
class TestManyColumns:
    """Each column is a file or several, and all are open while they are written."""

    def write(self, target: Path, count: int, *, highest: int | None = None) -> tuple[bytes, bool]:
        """Return the last text of the last of so many columns, and whether the limit of open files is as it was.

        The limit is of 40 files more than are open, and may be set to `highest`.
        """

        def work() -> tuple[bytes, bool]:
            import resource  # not on Windows

            limit = len([*Path("/dev/fd").iterdir()]) + 40
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, highest or limit))
            columns = [column(f"words_{number}", "str") for number in range(count)]
            arrays.write(target, ((each, 0, WORDS) for each in columns), check=lambda _: None)
            text = np.load(target / file_names(columns[-1])[0]).tobytes()
            return text, resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limit

        return in_a_fork(work)  # type: ignore[no-any-return]

    def test_the_limit_is_raised_where_it_may_be(self, tmp_path: Path) -> None:
        """Many systems allow 256 at first, and a table of words has two files a column."""
        assert self.write(tmp_path / "many", 60, highest=4096) == ("".join(WORDS).encode(), False)

    def test_it_stays_where_few_are_open(self, tmp_path: Path) -> None:
        """It is the whole program's."""
        assert self.write(tmp_path / "few", 7, highest=4096) == ("".join(WORDS).encode(), True)

    def test_where_it_may_not_be_raised(self, tmp_path: Path) -> None:
        """What to do is said, and nothing is left behind."""
        error = self.write(tmp_path / "many", 60)

        assert str(error) == (
            f"{tmp_path / 'many'} cannot be written: too many files are open\n  Raise the limit, `ulimit -n`."
        )
        assert [*tmp_path.iterdir()] == []
