"""Splits over many files: the same samples as of one file, in any format, and of them the ones that a rank needs."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.declared import HEAD
from tinytorch_datasets import get, load_manifest
from tinytorch_datasets.errors import (
    ContentError,
    DecodeError,
    HashMismatch,
    ManifestError,
    MissingFile,
    StandInWarning,
    UsageError,
)

COUNTS = [3, 5, 1, 4]
X = np.arange(13 * 2, dtype=np.float32).reshape(13, 2)
Y = np.arange(13) % 3
ENDS = np.cumsum(COUNTS)
PARTS = [slice(end - count, end) for end, count in zip(ENDS, COUNTS, strict=True)]
FIELDS = """
fields:
  x: {dtype: float32, shape: [2]}
  y: {dtype: int64, classes: [a, b, c]}
"""


def npy(values: Any) -> bytes:
    """An array as a .npy file."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    """Arrays as a .npz file."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def declare(
    folder: Path,
    entry: str,
    files: Mapping[str, bytes],
    samples: Mapping[str, int] | None = None,
    status: str = "shipped",
) -> Path:
    """Write files, and the manifest that declares them, each with its samples if any are given."""
    lines = []
    for name, data in files.items():
        path = folder / "datasets" / "made" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        count = f", samples: {samples[name]}" if samples and name in samples else ""
        lines.append(f"  {name}: {{bytes: {len(data)}, sha256: {hashlib.sha256(data).hexdigest()}{count}}}")
    body = textwrap.dedent(entry).strip("\n") + "\nfiles:\n" + "\n".join(lines)
    path = folder / "datasets.yaml"
    path.write_text(HEAD.replace("shipped", status) + textwrap.indent(body, "    ") + "\n", encoding="utf-8")
    return path


def in_npz(folder: Path, split: str = "{samples: 13, file: 'train-*.npz'}", **changed: bytes) -> Path:
    """Thirteen samples in four shards, train-8.npz to train-11.npz."""
    files = {f"train-{8 + n}.npz": npz(x=X[part], y=Y[part]) for n, part in enumerate(PARTS)}
    counts = dict(zip(files, COUNTS, strict=True))
    files |= {name.replace("_", "-") + ".npz": data for name, data in changed.items()}
    reverse = dict(reversed(files.items()))  # what order they are declared in is no matter
    return declare(folder, f"format: npz{FIELDS}splits:\n  train: {split}", reverse, counts)


def tarred(part: slice) -> bytes:
    """A tar archive of PNG pictures, in folders of their classes."""
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(13)[part]:
            png = io.BytesIO()
            image.fromarray(np.full((4, 4), number, np.uint8)).save(png, "png")
            info = tarfile.TarInfo(f"{'abc'[number % 3]}/{number:02}.png")
            info.size = len(png.getvalue())
            archive.addfile(info, io.BytesIO(png.getvalue()))
    return stream.getvalue()


def rows(part: slice) -> str:
    """Lines of a CSV file with a header."""
    lines = [f"{a},{b},{'abc'[y]},text {int(a)}" for (a, b), y in zip(X[part], Y[part], strict=True)]
    return "\n".join(["u,v,y,t", *lines]) + "\n"


def parquet(part: slice) -> bytes:
    """A table with a column of lists, one of class names and one of texts."""
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"x": X[part].tolist(), "y": ["abc"[y] for y in Y[part]], "t": [f"text {int(a)}" for a, _ in X[part]]}
    table = pyarrow.table({**columns, "x": pyarrow.array(columns["x"], pyarrow.list_(pyarrow.float32()))})
    stream = io.BytesIO()
    pytest.importorskip("pyarrow.parquet").write_table(table, stream)
    return stream.getvalue()


def idx(values: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return head + values.astype(np.uint8).tobytes()


TABLE = """
fields:
  x: {dtype: float32, shape: [2]}
  y: {dtype: int64, classes: [a, b, c]}
  t: {dtype: str}
"""
FORMS: dict[str, tuple[str, Callable[[slice], Mapping[str, bytes]]]] = {
    "npz": (
        f"format: npz{FIELDS}splits: {{train: {{samples: 13, file: 'n-*'}}}}",
        lambda p: {"n-": npz(x=X[p], y=Y[p])},
    ),
    "npy": (
        f"format: npy{FIELDS}splits: {{train: {{samples: 13, x: 'x-*', y: 'y-*'}}}}",
        lambda p: {"x-": npy(X[p]), "y-": npy(Y[p])},
    ),
    "idx": (
        "format: idx\nfields: {x: {dtype: uint8, shape: [2]}, y: {dtype: int64, classes: [a, b, c]}}\n"
        "splits: {train: {samples: 13, x: 'x-*', y: 'y-*'}}",
        lambda p: {"x-": idx(X[p]), "y-": idx(Y[p])},
    ),
    "csv": (
        f"format: csv{TABLE}splits: {{train: {{samples: 13, file: 'n-*', x: {{column: [u, v]}}}}}}",
        lambda p: {"n-": rows(p).encode()},
    ),
    "parquet": (
        f"format: parquet{TABLE}splits: {{train: {{samples: 13, file: 'n-*'}}}}",
        lambda p: {"n-": parquet(p)},
    ),
    "jsonl": (
        f"format: jsonl{TABLE}splits: {{train: {{samples: 13, file: 'n-*'}}}}",
        lambda p: {
            "n-": "".join(
                f'{{"x": [{a}, {b}], "y": "{"abc"[y]}", "t": "text {int(a)}"}}\n'
                for (a, b), y in zip(X[p], Y[p], strict=True)
            ).encode()
        },
    ),
    "text": (
        "format: text\noptions: {unit: lines}\nfields: {t: {dtype: str}}\nsplits: {train: {samples: 13, file: 'n-*'}}",
        lambda p: {"n-": "".join(f"text {int(a)}\n" for a, _ in X[p]).encode()},
    ),
    "records": (
        f"format: records\noptions:\n  record: [{{key: x, dtype: float32, shape: [2]}}, {{key: y, dtype: uint8}}]"
        f"{FIELDS}"
        "splits: {train: {samples: 13, file: 'n-*'}}",
        lambda p: {"n-": b"".join(x.tobytes() + bytes([y]) for x, y in zip(X[p], Y[p], strict=True))},
    ),
    "images in tar": (
        "format: images\nfields: {x: {dtype: uint8, shape: [4, 4]}, y: {dtype: int64, classes: [a, b, c]}}\n"
        "splits: {train: {samples: 13, file: 'n-*', members: ['*/*.png'], x: image, y: folder}}",
        lambda p: {"n-": tarred(p)},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_split_over_many_files_is_that_of_one(form: str, tmp_path: Path) -> None:
    """In every format, by the same words; what is in one file is as well one shard."""
    entry, files = FORMS[form]
    many = {f"{name}{n}": data for n, part in enumerate(PARTS) for name, data in files(part).items()}
    counts = {f"{next(iter(files(part)))}{n}": COUNTS[n] for n, part in enumerate(PARTS)}
    sharded = get("made", manifest=declare(tmp_path / "many", entry, many, counts), home=tmp_path / "home").train
    one = {f"{name}0": data for name, data in files(slice(0, 13)).items()}
    whole = get("made", manifest=declare(tmp_path / "one", entry, one), home=tmp_path / "home").train

    assert len(sharded) == 13
    for field in whole.fields:
        mine, expected = sharded[field], whole[field]
        if form == "images in tar":  # members come sorted in each archive
            mine, expected = np.sort(np.asarray(mine), axis=0), np.sort(np.asarray(expected), axis=0)
        assert np.array_equal(np.asarray(mine[:]), np.asarray(expected[:])), field
        assert list(mine[:]) == list(expected[:]) if field == "t" else True
    if "x" in whole.fields and form != "images in tar":
        assert np.array_equal(np.asarray(sharded.x), X)
        assert np.array_equal(sharded.y, Y)


def problems(path: Path) -> list[str]:
    """What is wrong with a manifest, each with its line's text, which says more than a number."""
    lines = path.read_text().splitlines()
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    return [f"{lines[problem.line - 1].strip().partition(':')[0]}: {problem.what}" for problem in caught.value.problems]


class TestOrder:
    """Which file is which shard."""

    def test_numbers_are_counted_whatever_their_width(self, tmp_path: Path) -> None:
        """train-8 to train-11 come in this order, and not as their names are sorted."""
        assert np.array_equal(get("made", manifest=in_npz(tmp_path)).train.x, X)

    def test_a_range_of_numbers(self, tmp_path: Path) -> None:
        """As `*`, and no other file of such a name."""
        extra = npz(x=X[:2], y=Y[:2])
        split = "{samples: 13, file: 'train-{8..11}.npz'}\n  extra: {samples: 2, file: train-12.npz}"
        data = get("made", manifest=in_npz(tmp_path, split, train_12=extra))

        assert np.array_equal(data.train.x, X)
        assert len(data.extra) == 2

    def test_shards_of_one_size_need_no_number_each(self, tmp_path: Path) -> None:
        """But for the last, which has the rest."""
        files = {f"n-{n:02}.npy": npy(X[4 * n : 4 * n + 4]) for n in range(4)}
        entry = "format: npy\nfields: {x: {dtype: float32, shape: [2]}}\n"
        split = "splits: {train: {samples: 13, shard_samples: 4, x: 'n-{00..03}.npy'}}"

        assert np.array_equal(get("made", manifest=declare(tmp_path, entry + split, files)).train.x, X)


class TestWhatIsRefused:
    """Each with the lines that contradict one another."""

    def test_a_number_that_is_missing(self, tmp_path: Path) -> None:
        """A shard that is nowhere declared would be missed by nobody."""
        path = in_npz(tmp_path)
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "train-10" not in line))

        assert problems(path) == ["train: 'train-*.npz' takes numbers 8 to 11, and 10 is not under files"]

    def test_numbers_of_a_range(self, tmp_path: Path) -> None:
        """Three are named of many."""
        what = "takes 1,000 files of which 996 are not under files: 'train-0.npz', 'train-1.npz', 'train-2.npz', ..."

        assert problems(in_npz(tmp_path, "{samples: 13, file: 'train-{0..999}.npz'}")) == [
            f"train: 'train-{{0..999}}.npz' {what}"
        ]

    def test_two_patterns_that_take_the_same_file(self, tmp_path: Path) -> None:
        """At the lines of both."""
        split = "{samples: 13, file: 'train-*.npz'}\n  test: {samples: 5, file: 'train-{10..11}.npz'}"

        assert problems(in_npz(tmp_path, split)) == [
            "train: 'train-*.npz' takes 'train-10.npz', which 'train-{10..11}.npz' of 'test' takes",
            "test: 'train-{10..11}.npz' takes 'train-10.npz', which 'train-*.npz' of 'train' takes",
        ]

    def test_a_file_that_no_split_takes(self, tmp_path: Path) -> None:
        """Because a pattern, unlike a name, does not say what it leaves out."""
        path = in_npz(tmp_path, "{samples: 13, file: 'train-{8..11}.npz'}", train_x=npz(x=X))

        assert problems(path) == ["train-x.npz: no split takes it"]

    def test_samples_that_do_not_add_up(self, tmp_path: Path) -> None:
        """Of the split, and of its shards."""
        assert problems(in_npz(tmp_path, "{samples: 14, file: 'train-*.npz'}")) == [
            "train: is 14, and its 4 shards have 13"
        ]
        bare = in_npz(tmp_path)
        bare.write_text(bare.read_text().replace(", samples: 5}", "}"))
        assert problems(bare) == [
            "train: declares no `shard_samples`, and 'train-9.npz' no `samples`: "
            "one of them says how many are in a shard"
        ]
        even = in_npz(tmp_path, "{samples: 13, shard_samples: 3, file: 'train-*.npz'}")
        text = even.read_text()
        for count in COUNTS:
            text = text.replace(f", samples: {count}}}", "}")
        even.write_text(text)
        assert problems(even) == ["train: is 13, and 4 shards of 3 have 10 to 12"]

    def test_fields_in_other_shards(self, tmp_path: Path) -> None:
        """At the lines of both; and a field that is in no shard."""
        files = {f"x-{n}.npy": npy(X) for n in (1, 2)} | {f"y-{n}.npy": npy(Y) for n in (2, 3)}
        split = "splits:\n  train:\n    samples: 26\n    shard_samples: 13\n    x: x-*.npy\n    y: y-*.npy"
        entry = f"format: npy{FIELDS}{split}"

        assert problems(declare(tmp_path, entry, files)) == [
            "x: 'x-*.npy' takes 2 files and 'y-*.npy' 2, and '1' is in one of them",
            "y: 'y-*.npy' takes 2 files and 'x-*.npy' 2, and '1' is in one of them",
        ]
        alone = {**{name: data for name, data in files.items() if name[0] == "x"}, "y.npy": npy(np.tile(Y, 2))}
        assert problems(declare(tmp_path, entry.replace("y-*", "y"), alone)) == [
            "y: the field 'y' is in no shard, and others are"
        ]

    def test_what_is_of_one_file(self, tmp_path: Path) -> None:
        """Rows of which shard they are, nobody could say."""
        split = "{samples: 13, file: 'train-*.npz', rows: [0, 13]}"
        assert problems(in_npz(tmp_path, split)) == [
            "train: `rows` is of samples in one file, and the split is in shards"
        ]
        split = "{samples: 13, file: 'train-*-*.npz'}"
        assert (
            problems(in_npz(tmp_path, split))[0]
            == "train: has one * or one range of numbers, and 'train-*-*.npz' has more"
        )

    def test_a_shard_with_other_samples_than_declared(self, tmp_path: Path) -> None:
        """The file and its line; those behind it would all have moved, and their sum may be right."""
        path = in_npz(tmp_path, train_9=npz(x=X[3:7], y=Y[3:7]), train_10=npz(x=X[7:9], y=Y[7:9]))

        with pytest.raises(ContentError, match=r"train\.x has 4 samples in this shard, declared are 5") as caught:
            get("made", manifest=path)
        assert caught.value.path.name == "train-9.npz"
        number = int(str(caught.value.where).rpartition(":")[2])
        assert "train-9.npz" in path.read_text().splitlines()[number - 1]

    def test_a_shard_that_is_damaged(self, tmp_path: Path) -> None:
        """The error names that file."""
        with pytest.raises(DecodeError, match=r"train-10\.npz"):
            get("made", manifest=in_npz(tmp_path, train_10=b"PK no archive"))


def many(folder: Path, shards: int, *, status: str = "shipped") -> Path:
    """Shards of one to three samples, whose values are their numbers."""
    counts = [n % 3 + 1 for n in range(shards)]
    ends = np.cumsum(counts)
    files = {f"{n:04}.npy": npy(np.arange(ends[n] - counts[n], ends[n])) for n in range(shards)}
    split = f"{{samples: {ends[-1]}, x: '*.npy'}}"
    entry = f"format: npy\nfields: {{x: {{dtype: int64}}}}\nsplits: {{train: {split}}}"
    return declare(folder, entry, files, dict(zip(files, counts, strict=True)), status)


class TestRanks:
    """`get(..., shards=(rank, world))`."""

    @pytest.mark.parametrize("world", [1, 2, 3, 8])
    def test_all_together_have_each_sample_once(self, world: int, tmp_path: Path) -> None:
        """And none has more than one sample more than another, whatever the shards have."""
        path = many(tmp_path, 40)

        parts = [
            get("made", manifest=path, shards=(rank, world), home=tmp_path / "home").train for rank in range(world)
        ]

        assert np.array_equal(np.concatenate([part.x for part in parts]), np.arange(79))
        assert np.array_equal(np.concatenate([part.positions for part in parts]), np.arange(79))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    def test_more_ranks_than_samples(self, tmp_path: Path) -> None:
        """Some have none, and that is no error."""
        path = many(tmp_path, 2)
        parts = [get("made", manifest=path, shards=(rank, 5)).train for rank in range(5)]

        assert [part.x.tolist() for part in parts] == [[], [0], [], [1], [2]]

    def test_only_the_shards_of_a_rank_are_read(self, tmp_path: Path) -> None:
        """The others need not be there, which `get` of everything says."""
        path = in_npz(tmp_path)
        for number in (10, 11):
            (tmp_path / "datasets" / "made" / f"train-{number}.npz").unlink()

        part = get("made", manifest=path, shards=(0, 2)).train

        assert np.array_equal(part.x, X[:6])
        with pytest.raises(MissingFile, match=r"train-11\.npz is missing"):
            get("made", manifest=path)

    def test_a_part_says_that_it_is_one(self, tmp_path: Path) -> None:
        """In what is shown, its digest and provenance, after a trip through pickle; its mean is not the whole one's."""
        path = in_npz(tmp_path)
        part, whole = (get("made", manifest=path, shards=(1, 3)), get("made", manifest=path))
        alike = whole.train[4:8]

        assert repr(part.train) == repr(alike)
        assert part.train.digest == alike.digest
        assert part.train.provenance == alike.provenance
        assert pickle.loads(pickle.dumps(part.train)).digest == alike.digest
        with pytest.raises(UsageError, match=r"^only part 1 of 3 of split 'train' is here, and the whole one's mean"):
            part.train.arrays(normalize="standard")
        assert part.train.arrays(normalize={"x": (0.0, 1.0)})[0].shape == (4, 2)

    def test_a_split_in_one_file_is_divided_too(self, tmp_path: Path) -> None:
        """So that a rank has its part of all that it asks for."""
        split = "{samples: 13, file: 'train-*.npz'}\n  test: {samples: 5, file: test.npz}"
        path = in_npz(tmp_path, split, test=npz(x=X[:5], y=Y[:5]))

        assert [get("made", manifest=path, shards=(rank, 2)).test.x[:, 0].tolist() for rank in range(2)] == [
            [0, 2],
            [4, 6, 8],
        ]

    def test_stand_in_data_has_the_same_parts(self, tmp_path: Path) -> None:
        """So that a script of several processes can be tried without any file."""
        path = in_npz(tmp_path)
        with pytest.warns(StandInWarning):
            part = get("made", manifest=path, shards=(1, 3), standin=True).train

        assert part.positions.tolist() == [4, 5, 6, 7]
        assert part.x.shape == (4, 2)

    def test_warm(self, tmp_path: Path) -> None:
        """Each rank's part has a cache entry of its own, which no other rank opens; clean removes them."""
        path = in_npz(tmp_path)
        first = [get("made", manifest=path, shards=(rank, 2)) for rank in range(2)]
        entries = sorted(one.name for one in tmp_path.rglob("entries/*"))
        from tinytorch_datasets.pipeline import cleaning, placed

        again = [get("made", manifest=path, shards=(rank, 2)) for rank in range(2)]

        assert [name.rpartition("-")[0] for name in entries] == ["made+0-of-2", "made+1-of-2"]
        assert [np.asarray(one.train.x).tolist() for one in first] == [
            np.asarray(one.train.x).tolist() for one in again
        ]
        cleaning.clean(*placed(load_manifest(path), "made"))
        assert not [*tmp_path.rglob("entries/*")]

    @pytest.mark.parametrize("shards", [3, (3,), (2, 2), (-1, 2), (True, 2), slice(2), "0/2", (0.0, 2)])
    def test_anything_else_is_refused(self, shards: Any, tmp_path: Path) -> None:
        """In one sentence."""
        with pytest.raises(UsageError, match="shards is which of how many processes this is, from 0, such as"):
            get("made", manifest=in_npz(tmp_path), shards=shards)


def test_a_changed_shard_is_decoded_again(tmp_path: Path) -> None:
    """A wrong one is refused by its name, as any file is."""
    path = in_npz(tmp_path)
    get("made", manifest=path)
    shard = tmp_path / "datasets" / "made" / "train-10.npz"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")

    with pytest.raises(HashMismatch, match=r"train-10\.npz is not the declared file"):
        get("made", manifest=path)
