"""Errors of verification carry their facts, and what was checked once is checked again only where it has changed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.faulty_server import sha256
from tests.helpers.format_writers import column, split
from tinytorch_datasets.errors import ChangedFile, ContentError, DecodeError, HashMismatch
from tinytorch_datasets.plan import Block, Column, File, Plan, RaggedBlock
from tinytorch_datasets.storage.cache_entry import CacheEntry
from tinytorch_datasets.storage.encoded_array import EncodedBlock
from tinytorch_datasets.storage.memmap import stat_signature
from tinytorch_datasets.storage.string_array import StringArray
from tinytorch_datasets.verify.arrays import checked, declared_at, other_digests
from tinytorch_datasets.verify.files import (
    StatCache,
    check_files,
    check_size,
    check_unchanged,
    describe_mismatch,
    mismatch_error,
)

FILE = Path("data")


def refusal(values: Any, **declared: Any) -> tuple[Any, ...]:
    """The facts of the error that a block of three samples is."""
    of = column(FILE, **declared)
    with pytest.raises(ContentError) as caught:
        list(checked([Block(of, 0, values)], [split(of)]))
    error = caught.value
    assert error.path == FILE
    assert error.column == "train.images"
    return error.reason, error.aspect, error.expected, error.actual


def passed(of: Column, values: Any) -> Any:
    """The values that a block of all samples has after the checks."""
    [block] = checked([Block(of, 0, values)], [split(of)])
    return block.values


def ragged(*shapes: tuple[int, ...], dtype: str = "u1") -> RaggedBlock:
    """Samples of these shapes, of values from 0 on."""
    sizes = np.array(shapes)
    return RaggedBlock(np.arange(sizes.prod(axis=1).sum()).astype(dtype), sizes)


class TestFacts:
    """Each error says what was expected and what is there, for whoever reads it by program."""

    def test_of_numbers(self) -> None:
        """A dtype as text, a shape and a range as lists of plain numbers."""
        assert refusal(np.zeros(3))[1:] == ("dtype", "uint8", "float64")
        assert refusal(["a", "b", "c"])[1:] == ("dtype", "uint8", "str")
        assert refusal(np.zeros((3, 2), "u1"), shape=(4,))[1:] == ("shape", [4], [2])
        assert refusal(np.array([1, 2, 9], "u1"), range=(0, 8))[1:] == ("range", [0, 8], [1, 9])
        assert refusal(np.array([1, 2, 9], "f4"), dtype="float32", range=(2, 9))[1:] == ("range", [2, 9], [1.0, 9.0])

    def test_of_labels(self) -> None:
        """The first one outside, and how many there are."""
        declared = {"dtype": "int64", "classes": ("a", "b")}
        assert refusal(np.array([0, 1, 2], "u1"), **declared)[1:] == ("labels", "0 to 1", "2 at sample 2")
        found = refusal(np.array([3, 7, 2], "u1"), **declared)
        assert found[1:] == ("labels", "0 to 1", "3 at sample 0, and 2 more outside")
        assert refusal(np.zeros(3), **declared)[1:] == ("dtype", "whole numbers for labels", "float64")

    def test_labels_are_counted_from_the_first_sample_of_all(self) -> None:
        """And not from that of their block."""
        of = column(FILE, samples=2000, dtype="int64", classes=("a", "b"))
        blocks = [Block(of, 0, np.zeros(1500, "u1")), Block(of, 1500, np.array([0] * 499 + [5]))]
        with pytest.raises(ContentError) as caught:
            list(checked(blocks, [split(of)]))

        assert caught.value.actual == "5 at sample 1,999"

    def test_labels_come_out_as_int64(self) -> None:
        """Whatever they are stored as; those that are int64 already are not copied."""
        of = column(FILE, dtype="int64", classes=("a", "b"))
        found = passed(of, np.array([0, 1, 1], "u1"))
        assert found.dtype == np.int64
        assert found.tolist() == [0, 1, 1]
        same = np.array([0, 1, 1])
        found = passed(of, same)
        assert found is same

    def test_of_texts(self) -> None:
        """Numbers are none, nor is anything else; strings in one buffer are taken as they are."""
        assert refusal(np.zeros(3, "u1"), dtype="str")[1:] == ("dtype", "str", "uint8")
        assert refusal(["a", "b", 3], dtype="str")[1:] == ("dtype", "str", "something else")
        of = column(FILE, dtype="str")
        strings = StringArray.of(["a", "b", ""])
        found = passed(of, strings)
        assert found is strings

    def test_of_counts(self) -> None:
        """Too few, too many, or twice."""
        of = column(FILE, samples=2000)
        heard: list[ContentError] = []
        blocks = [Block(of, -1, np.zeros(1, "u1")), Block(of, 0, np.zeros(2001, "u1")), Block(of, 0, np.zeros(5, "u1"))]
        assert len(list(checked([*blocks, blocks[-1]], [split(of)], on_error=heard.append))) == 1
        assert [(e.aspect, e.expected, e.actual, e.column) for e in heard] == [
            ("samples", "2,000", "0 or more", "train.images"),
            ("samples", "2,000", "2,001 or more", "train.images"),
            ("samples", "each once", "0 to 4 twice", "train.images"),
            ("samples", "2,000", "5", "train.images"),
        ]

    def test_of_a_copy(self) -> None:
        """Which split it is, and of which file."""
        one, other = (column(Path(f"{name}.npy"), split=name, samples=1000) for name in ("train", "test"))
        values = np.arange(1000).astype("u1")
        with pytest.raises(ContentError) as caught:
            list(checked([Block(one, 0, values), Block(other, 0, values)], [split(one), split(other)]))

        error = caught.value
        assert error.reason == "test repeats train: all 1,000 samples are the same, in the same order"
        assert (error.aspect, error.split, error.path) == ("copy", "test", Path("test.npy"))
        assert (error.expected, error.actual) == ("other samples than those of train", "the same")


class TestMissingValues:
    """A value that is marked as missing is outside of no range, and any other is."""

    def test_a_mark_in_whole_numbers(self) -> None:
        """-1 is not below the range; -2 is."""
        declared: dict[str, Any] = {"dtype": "int64", "range": (0, 9), "missing": ("?",), "missing_value": -1}
        of = column(FILE, **declared)
        assert len(passed(of, np.array([-1, 0, 9]))) == 3
        assert len(passed(of, np.array([-1, -1, -1]))) == 3
        assert refusal(np.array([-1, -2, 9]), **declared)[2:] == ([0, 9], [-2, 9])

    def test_nan_in_floats(self) -> None:
        """Where a mark of missing values is declared."""
        declared: dict[str, Any] = {"dtype": "float64", "range": (0, 9), "missing": ("?",)}
        of = column(FILE, **declared)
        assert len(passed(of, np.array([np.nan, 0, 9]))) == 3
        assert len(passed(of, np.array([np.nan] * 3))) == 3
        assert refusal(np.array([np.nan, 0, 10]), **declared)[2:] == ([0, 9], [0.0, 10.0])


class TestRagged:
    """Samples that differ in shape have the axes that are declared, and lengths where those are."""

    def test_as_declared(self) -> None:
        """They pass as they are, and so does what is kept encoded around them."""
        of = column(FILE, shape=(None, 2))
        values = ragged((1, 2), (0, 2), (3, 2))
        found = passed(of, values)
        assert found is values
        encoded = EncodedBlock(values, [b"a", b"b", b"c"])
        found = passed(of, encoded)
        assert found.encoded == [b"a", b"b", b"c"]
        assert found.values is values

    def test_otherwise(self) -> None:
        """One array for all, another number of axes, another length, another dtype, a value outside the range."""
        shape = {"shape": (None, 2)}
        assert refusal(np.zeros((3, 1, 2), "u1"), **shape)[1:] == ("shape", "[null, 2]", "one for all samples")
        assert refusal(ragged((1,), (2,), (3,)), **shape)[1:] == ("shape", "[null, 2]", "of 1 dimensions")
        found = refusal(ragged((1, 2), (1, 1003), (1, 4)), **shape)
        assert found[1:] == ("shape", "[null, 2]", "1,003 along axis 1")
        assert refusal(ragged((1, 2), (1, 2), (1, 2), dtype="i8"), **shape)[1:] == ("dtype", "uint8", "int64")
        assert refusal(ragged((1, 2), (1, 2), (1, 2)), range=(0, 4), **shape)[1:] == ("range", [0, 4], [0, 5])

    def test_no_value_at_all_is_outside_of_no_range(self) -> None:
        """Three empty samples."""
        of = column(FILE, shape=(None,), range=(5, 6))
        assert len(passed(of, ragged((0,), (0,), (0,)))) == 3


class TestDigestsOfValues:
    """Digests that are declared are compared with those that were taken."""

    def test_another_one(self) -> None:
        """With both, at the line that declares it; a column without one has none to differ from."""
        declared = column(FILE, sha256="ab", sha256_where="datasets.yaml:9")
        free = column(FILE, "labels")

        assert list(other_digests([declared, free], {"train.images": "ab"})) == []
        [error] = other_digests([free, declared], {"train.images": "cd", "train.labels": "ef"})
        assert error.reason == "train.images has decoded values of sha256\n    cd, declared is\n    ab"
        facts = (error.aspect, error.expected, error.actual, error.column, error.where, error.path)
        assert facts == ("sha256", "ab", "cd", "train.images", "datasets.yaml:9", FILE)
        [error] = other_digests([declared], {})
        assert error.actual is None

    def test_where_it_is_declared(self) -> None:
        """A field's line for what is of it, the split's for how many samples, and none for what is of neither."""
        images = column(FILE, where="datasets.yaml:5")
        of = dataclasses.replace(split(images), where="datasets.yaml:7")

        def where(**facts: Any) -> str | None:
            return declared_at(ContentError(FILE, "x", **{"expected": 1, "actual": 2, **facts}), [of])

        assert where(aspect="dtype", column="train.images") == "datasets.yaml:5"
        assert where(aspect="samples", column="train.images") == "datasets.yaml:7"
        assert where(aspect="copy", split="train") == "datasets.yaml:7"
        assert where(aspect="dtype", column="test.images") is None
        assert declared_at(DecodeError(FILE, "x"), [of]) is None


DATA = b"length,width\n1,2\n"
DECLARED = File("train.csv", len(DATA), sha256(DATA), where="datasets.yaml:7")


def plan(root: Path) -> Plan:
    """A shipped data set of that one file."""
    return Plan("d", "d", root, "shipped", "csv", (DECLARED,), ())


class TestFiles:
    """A file is hashed once, and again when it may have changed."""

    def test_another_file(self, tmp_path: Path) -> None:
        """Its size is compared first, and then its hash; the error has both, the path, the line and the hint."""
        path = tmp_path / "train.csv"
        hint = "Restore it: `git checkout` it in a clone, or reinstall the package."
        for data, expected, actual in (
            (DATA + b"x", len(DATA), len(DATA) + 1),
            (DATA[:-1] + b"x", DECLARED.sha256, sha256(DATA[:-1] + b"x")),
        ):
            path.write_bytes(data)
            with pytest.raises(HashMismatch) as caught:
                check_files(plan(tmp_path), mode="auto", stat_cache=StatCache())
            error = caught.value
            assert (error.path, error.expected, error.actual) == (path, expected, actual)
            assert (error.where, error.hint) == ("datasets.yaml:7", hint)
        assert str(error) == (
            f"{path} is not the declared file: it has sha256\n    {sha256(DATA[:-1] + b'x')}, declared is\n"
            f"    {DECLARED.sha256}\n  declared at datasets.yaml:7\n  {hint}"
        )

    def test_a_pointer_of_git_lfs(self, tmp_path: Path) -> None:
        """It says where the file is, and is not it."""
        path = tmp_path / "train.csv"
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n")
        with pytest.raises(HashMismatch) as caught:
            check_size(path, DECLARED, hint="Do something else.")

        assert str(caught.value) == (
            f"{path} is a Git LFS pointer, not the file itself\n  declared at datasets.yaml:7\n  Run `git lfs pull`."
        )

    def test_a_file_that_is_declared_nowhere(self, tmp_path: Path) -> None:
        """Its error has no place."""
        path = tmp_path / "train.csv"
        path.write_bytes(b"x")
        with pytest.raises(HashMismatch) as caught:
            check_size(path, dataclasses.replace(DECLARED, where=""), hint="H.")

        assert caught.value.where is None

    def test_what_differs_in_a_sentence(self) -> None:
        """Of large files too."""
        large = File("a.csv", 1_234_567, "ab", ())
        assert describe_mismatch(Path("a.csv"), large, size=7_654_321) == (
            "a.csv is not the declared file: it has 7,654,321 bytes, declared are 1,234,567"
        )

    def test_it_is_hashed_once(self, tmp_path: Path) -> None:
        """While its signature fits, what is noted of it counts; in mode "always" its bytes do."""
        path = tmp_path / "train.csv"
        path.write_bytes(DATA[:-1] + b"x")
        noted = StatCache()
        assert noted.sha256(path) is None
        noted.remember(path, DECLARED.sha256, stat_signature(path))

        check_files(plan(tmp_path), mode="auto", stat_cache=noted)
        with pytest.raises(HashMismatch):
            check_files(plan(tmp_path), mode="always", stat_cache=noted)
        path.write_bytes(DATA)
        check_files(plan(tmp_path), mode="auto", stat_cache=noted)
        assert noted.sha256(path) == DECLARED.sha256
        assert noted.signatures(plan(tmp_path)) == {str(path): stat_signature(path)}
        path.unlink()
        assert noted.sha256(path) is None

    def test_what_is_known_has_the_declared_size_too(self, tmp_path: Path) -> None:
        """Which a manifest that was edited since may no longer say, though it names the same sha256."""
        path, noted = tmp_path / "train.csv", StatCache()
        path.write_bytes(DATA)
        check_files(plan(tmp_path), mode="auto", stat_cache=noted)

        assert noted.knows(path, DECLARED)
        assert not noted.knows(path, dataclasses.replace(DECLARED, bytes=len(DATA) + 1))
        assert not noted.knows(path, dataclasses.replace(DECLARED, sha256=sha256(b"")))

    def test_a_file_that_was_only_touched_is_hashed_again(self, tmp_path: Path) -> None:
        """A new hard link changes its signature and not its bytes; any other change is one."""
        path = tmp_path / "train.csv"
        path.write_bytes(DATA)
        noted = StatCache()
        assert noted.only_touched(path) is None
        check_files(plan(tmp_path), mode="auto", stat_cache=noted)
        before = stat_signature(path)
        check_unchanged(plan(tmp_path), noted)

        while stat_signature(path) == before:  # some clocks tick slowly
            path.chmod(0o600)
            path.chmod(0o644)
        assert noted.sha256(path) is None
        assert noted.only_touched(path) == stat_signature(path)
        check_unchanged(plan(tmp_path), noted)
        assert noted.sha256(path) == DECLARED.sha256

        os.utime(path, (1, 1))
        assert noted.only_touched(path) is None
        with pytest.raises(ChangedFile) as caught:
            check_unchanged(plan(tmp_path), noted)
        assert str(caught.value) == (
            f"{path} was changed by another program while it was read\n  declared at datasets.yaml:7\n"
            "  Leave it alone, and ask again."
        )
        assert caught.value.path == path

    def test_a_file_whose_bytes_changed_under_the_same_times(self, tmp_path: Path) -> None:
        """As many bytes, the same time of change: its hash decides."""
        path = tmp_path / "train.csv"
        path.write_bytes(DATA)
        noted = StatCache()
        check_files(plan(tmp_path), mode="auto", stat_cache=noted)
        about = path.stat()
        with path.open("r+b") as out:
            out.write(b"L")
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))

        with pytest.raises(ChangedFile):
            check_unchanged(plan(tmp_path), noted)

    def test_a_file_that_is_gone(self, tmp_path: Path) -> None:
        """It was changed, too."""
        (tmp_path / "train.csv").write_bytes(DATA)
        noted = StatCache()
        check_files(plan(tmp_path), mode="auto", stat_cache=noted)
        (tmp_path / "train.csv").unlink()

        with pytest.raises(ChangedFile):
            check_unchanged(plan(tmp_path), noted)


def test_a_column_without_samples_is_whole_from_the_start() -> None:
    """Nothing has to come."""
    of: Column = column(FILE, samples=0)
    assert list(checked([], [split(of)])) == []


class TestMoreThanOne:
    """What is true of the first file, or of the first run of samples, is true of each."""

    def test_every_file_of_a_plan(self, tmp_path: Path) -> None:
        """The second is looked at where the first is as it was, and where it was only touched."""
        files = tuple(dataclasses.replace(DECLARED, name=name) for name in ("a.csv", "b.csv"))
        of = dataclasses.replace(plan(tmp_path), files=files)
        noted = StatCache()
        for file in files:
            (tmp_path / file.name).write_bytes(DATA)
        check_files(of, mode="auto", stat_cache=noted)
        (tmp_path / "b.csv").write_bytes(DATA[:-1] + b"x")
        with pytest.raises(ChangedFile):
            check_unchanged(of, noted)
        before = stat_signature(tmp_path / "a.csv")
        while stat_signature(tmp_path / "a.csv") == before:
            (tmp_path / "a.csv").chmod(0o600)
            (tmp_path / "a.csv").chmod(0o644)

        with pytest.raises(ChangedFile):
            check_unchanged(of, noted)

    def test_a_run_after_others(self) -> None:
        """A sample that comes twice is named, however many runs came before it."""
        of = column(FILE, samples=20)
        heard: list[str] = []
        runs = [(0, 2), (4, 6), (10, 12), (6, 8), (11, 13), (16, 18), (14, 16), (17, 19), (12, 14), (2, 4), (8, 10)]
        blocks = [Block(of, a, np.zeros(b - a, "u1")) for a, b in [*runs, (12, 13), (18, 20)]]
        found = list(checked(blocks, [split(of)], on_error=lambda error: heard.append(error.reason)))

        assert all(block.column is of for block in found)
        assert heard == [
            "train.images has samples 11 to 11 twice, declared is each once",
            "train.images has samples 17 to 17 twice, declared is each once",
            "train.images has samples 12 to 12 twice, declared is each once",
        ]

    def test_samples_kept_encoded_are_checked(self) -> None:
        """Labels of a later block are counted on."""
        of = column(FILE, samples=4, shape=(2,))
        blocks = [Block(of, 0, EncodedBlock(np.zeros((4, 2), "i8"), [b""] * 4))]
        with pytest.raises(ContentError, match="has dtype int64, declared is uint8"):
            list(checked(blocks, [split(of)]))

    def test_the_sizes_of_another_file(self, tmp_path: Path) -> None:
        """Both of them, in words, with its path."""
        path = tmp_path / "train.csv"
        path.write_bytes(b"x")
        with pytest.raises(HashMismatch) as caught:
            check_size(path, DECLARED, hint="H.")

        what = f"{path} is not the declared file: it has 1 bytes, declared are {len(DATA)}"
        assert str(caught.value) == f"{what}\n  declared at datasets.yaml:7\n  H."

    def test_the_size_and_the_hash_of_another_file(self) -> None:
        """In one sentence where both are known."""
        what = describe_mismatch(Path("a.csv"), File("a.csv", 7, "ab", ()), size=6, sha256="cd")
        assert what == (
            "a.csv is not the declared file: it has 6 bytes, declared are 7; it has sha256\n    cd, declared is\n    ab"
        )

    def test_a_file_that_is_gone_by_now(self, tmp_path: Path) -> None:
        """What it was is said, and not that it was a pointer."""
        error = mismatch_error(tmp_path / "a.csv", File("a.csv", 7, "ab", ()), 6, hint="H.")
        assert str(error) == f"{tmp_path}/a.csv is not the declared file: it has 6 bytes, declared are 7\n  H."

    def test_files_that_a_cache_entry_notes(self, tmp_path: Path) -> None:
        """Those with a hash and a signature; the entry has signatures of arrays, too."""
        path, other = tmp_path / "a.csv", tmp_path / "b.csv"
        path.write_bytes(DATA)
        signatures = {str(path): stat_signature(path), "train.images.npy": [1, 2, 3, 4]}
        files = {str(path): "ab", str(other): "cd"}
        entry: dict[str, Any] = {**dict.fromkeys(CacheEntry._fields), "files": files, "signatures": signatures}
        noted = StatCache(CacheEntry(**entry))

        assert noted.sha256(path) == "ab"
        assert noted.sha256(other) is None

    def test_a_range_beyond_what_floats_count(self) -> None:
        """Whole numbers are compared as whole numbers."""
        of = column(FILE, dtype="int64", range=(0, 2**53 + 1))
        assert len(passed(of, np.array([0, 2**53 + 1, 1]))) == 3
        assert refusal(np.array([0, 2**53 + 2, 1]), dtype="int64", range=(0, 2**53 + 1))[3] == [0, 2**53 + 2]
