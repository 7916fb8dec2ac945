"""`add` of files that are a shard each: one split, with a pattern and the samples of every file; or a question."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.add.test_images import write
from tests.helpers.add_world import add, update
from tests.pipeline.test_shards import idx, npy, npz, parquet, rows, tarred
from tinytorch_datasets import get

# The last is short, and one has a single sample.
PARTS = [slice(0, 7), slice(7, 8), slice(8, 13)]
WHOLE = [slice(0, 7), slice(3, 12), slice(2, 13)]  # for formats in which classes are known by coming twice
X, Y = np.arange(26, dtype=np.float32).reshape(13, 2), np.arange(13) % 3

FORMS: dict[str, tuple[list[slice], Callable[[int, slice], dict[str, bytes]]]] = {
    "npz": (PARTS, lambda n, part: {f"train-{n}.npz": npz(x=X[part], y=Y[part])}),
    "npy": (PARTS, lambda n, part: {f"x_{n}.npy": npy(X[part]), f"y_{n}.npy": npy(Y[part])}),
    "idx": (PARTS, lambda n, part: {f"train-images-{n}": idx(X[part]), f"train-labels-{n}": idx(Y[part])}),
    "csv": (PARTS, lambda n, part: {f"train-{n}.csv": rows(part).encode()}),
    "parquet": (WHOLE, lambda n, part: {f"train-{n}.parquet": parquet(part)}),
    "jsonl": (
        PARTS,
        lambda n, part: {
            f"train{n}.jsonl": "".join(
                json.dumps({"x": x, "label": "abc"[y]}) + "\n"
                for x, y in zip(X[part].tolist(), Y[part].tolist(), strict=True)
            ).encode()
        },
    ),
    "images": (WHOLE, lambda n, part: {f"train-{n}.tar": tarred(part)}),
}


def entry(manifest: Path) -> dict[str, dict[str, dict[str, object]]]:
    """What was written of the data set."""
    return dict(yaml.safe_load(manifest.read_text(encoding="utf-8"))["datasets"]["mine"])


@pytest.mark.parametrize("form", FORMS)
def test_numbered_files_are_one_split(form: str, manifest: Path, tmp_path: Path) -> None:
    """Of every format, all samples in the order of the numbers, and of one file too; a rank reads its part."""
    parts, files_of = FORMS[form]
    files = {name: data for n, part in enumerate(parts) for name, data in files_of(n, part).items()}
    done = add(manifest, write(tmp_path / "made", files), "--ship", "--name", "mine")
    assert done.exit_code == 0, done.output
    expected = np.concatenate([X[part] for part in parts]), np.concatenate([Y[part] for part in parts])

    train = get("mine", manifest=manifest).train
    declared = entry(manifest)

    assert "left out" not in done.output
    assert len(train) == len(expected[1])
    if form == "images":  # members come sorted in each archive, by class
        assert np.asarray(train.images)[:, 0, 0].tolist() == [
            n for part in parts for n in sorted(range(13)[part], key=lambda n: (n % 3, n))
        ]
        assert train.labels.tolist() == (np.asarray(train.images)[:, 0, 0] % 3).tolist()
    else:
        inputs = next(field for field in train.fields if field in ("features", "x"))
        assert np.array_equal(np.asarray(train[inputs]), expected[0])
        if "labels" in train.fields:
            assert train.labels.tolist() == expected[1].tolist()
    counts = {name: part.stop - part.start for n, part in enumerate(parts) for name in files_of(n, part)}
    assert {name: file["samples"] for name, file in declared["files"].items()} == counts
    halves = [len(get("mine", manifest=manifest, shards=(rank, 2)).train) for rank in range(2)]
    assert sum(halves) == len(train)


def test_splits_are_told_apart_by_what_is_before_the_number(manifest: Path, tmp_path: Path) -> None:
    """And a split in one file stays one."""
    files = {f"train-{n}.npz": npz(x=X[part], y=Y[part]) for n, part in enumerate(PARTS)}
    files |= {f"test-{n:02}.npz": npz(x=X[part], y=Y[part]) for n, part in enumerate(PARTS[:2])}
    files["val.npz"] = npz(x=X[3:9], y=Y[3:9])
    done = add(manifest, write(tmp_path / "made", files), "--ship", "--name", "mine")
    assert done.exit_code == 0, done.output

    data = get("mine", manifest=manifest)
    places = {name: split["file"] for name, split in entry(manifest)["splits"].items()}

    assert places == {"train": "train-*.npz", "val": "val.npz", "test": "test-*.npz"}
    assert [np.asarray(data[split].features).tolist() for split in places] == [
        X.tolist(),
        X[3:9].tolist(),
        X[:8].tolist(),
    ]


def test_a_pattern_that_no_shell_expanded(manifest: Path, tmp_path: Path) -> None:
    """In quotes, it takes the files that it fits; and none is an error."""
    files = {f"train-{n}.npz": npz(x=X[part], y=Y[part]) for n, part in enumerate(PARTS)} | {"notes.npz": npz(x=X)}
    path = write(tmp_path / "made", files)

    assert add(manifest, f"{path}/train-*.npz", "--ship", "--name", "mine").exit_code == 0
    assert np.array_equal(np.asarray(get("mine", manifest=manifest).train.features), X)
    assert f"{path}/x-*.npz is missing" in add(manifest, f"{path}/x-*.npz", "--ship", "--name", "other").stderr


def test_a_file_that_is_called_alike_is_not_taken(manifest: Path, tmp_path: Path) -> None:
    """The pattern is a range of numbers then, and not a sign for everything."""
    files = {f"train-{n}.csv": rows(part).encode() for n, part in enumerate(PARTS)}
    files["train-test.csv"] = rows(slice(2, 5)).encode()
    done = add(
        manifest,
        write(tmp_path / "made", files),
        "--ship",
        "--name",
        "mine",
        "--split",
        "test=train-test.csv",
    )
    assert done.exit_code == 0, done.output

    assert entry(manifest)["splits"]["train"]["file"] == "train-{0..2}.csv"
    assert [len(get("mine", manifest=manifest)[split]) for split in ("train", "test")] == [13, 3]


def test_what_is_not_certain_is_asked(manifest: Path, tmp_path: Path) -> None:
    """Files that may be a sample each, or anything of which there are two; a person says that they are shards."""
    for folder, names in {"numbers": ["0.npy", "1.npy"], "folds": ["fold-1.npz", "fold-2.npz"]}.items():
        made = npz if folder == "folds" else npy
        files = {
            names[0]: made(X[:7]) if made is npy else npz(x=X[:7]),
            names[1]: made(X[7:]) if made is npy else npz(x=X[7:]),
        }
        path = write(tmp_path / folder, files)
        done = add(manifest, path, "--ship", "--name", folder)
        sign = "'train=*.npy'" if folder == "numbers" else "'train=fold-*.npz'"

        assert done.exit_code == 1
        assert "would both be train.features" in done.stderr
        assert f"To have them as shards of one: --split {sign}." in done.stderr
        assert add(manifest, path, "--ship", "--name", folder, "--split", sign.strip("'")).exit_code == 0
        assert np.array_equal(np.asarray(get(folder, manifest=manifest).train.features), X)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("train-0.npz", "train-1.npz", "train-3.npz"), "takes numbers 0 to 3, and 2 is not there"),
        (("x-1-of-4.npz", "x-2-of-4.npz", "x-3-of-4.npz"), "takes 3 files, and by their names there are 4"),
        (("train-0.npz", "train-00.npz", "train-1.npz"), "takes two files of number 0"),
    ],
)
def test_a_shard_that_is_missing(names: tuple[str, ...], reason: str, manifest: Path, tmp_path: Path) -> None:
    """Its samples would be missed by nobody."""
    files = {name: npz(x=X[part], y=Y[part]) for name, part in zip(names, PARTS, strict=True)}
    before = manifest.read_text() if manifest.exists() else None

    done = add(manifest, write(tmp_path / "made", files), "--ship", "--name", "mine")

    assert done.exit_code == 1
    assert reason in done.stderr
    assert (manifest.read_text() if manifest.exists() else None) == before


def test_fields_that_are_in_other_shards(manifest: Path, tmp_path: Path) -> None:
    """As many samples in all, and each shard of others: refused, for nobody can say which are one."""
    files = {f"train-x-part{n}.npy": npy(X[part]) for n, part in enumerate(PARTS)}
    files |= {f"train-y-part{n}.npy": npy(Y[part]) for n, part in enumerate([slice(0, 5), slice(5, 8), slice(8, 13)])}

    done = add(manifest, write(tmp_path / "made", files), "--ship", "--name", "mine")

    assert done.exit_code == 1
    assert "of the same split is not in shards of the same numbers of samples" in done.stderr


def test_a_shard_of_another_kind(manifest: Path, tmp_path: Path) -> None:
    """Of another dtype, it is not left out in silence."""
    files = {"train-0.npz": npz(x=X[:7], y=Y[:7]), "train-1.npz": npz(x=X[7:].astype(np.float64), y=Y[7:])}

    done = add(manifest, write(tmp_path / "made", files), "--ship", "--name", "mine")

    assert done.exit_code == 1
    assert "would both be train.features" in done.stderr


def test_rows_of_shards(manifest: Path, tmp_path: Path) -> None:
    """They are of one file."""
    files = {f"train-{n}.npz": npz(x=X[part], y=Y[part]) for n, part in enumerate(PARTS)}

    done = add(manifest, write(tmp_path / "made", files), "--ship", "--name", "mine", "--rows", "train=0:5")

    assert done.exit_code == 2
    assert "--rows divides what one file holds, and the split is in shards" in done.stderr


def test_update_of_shards(manifest: Path, tmp_path: Path) -> None:
    """One that has more samples now, and one that has as many others: hashes and counts of each, and the sum."""
    files = {f"train-{n}.npz": npz(x=X[part], y=Y[part]) for n, part in enumerate(PARTS)}
    files["test.npz"] = npz(x=X[:4], y=Y[:4])
    assert add(manifest, write(tmp_path / "made", files), "--ship", "--name", "mine").exit_code == 0
    shipped = next(tmp_path.rglob("datasets/mine/train-1.npz"))
    shipped.write_bytes(npz(x=X[7:10], y=Y[7:10]))
    shipped.with_name("train-2.npz").write_bytes(npz(x=X[:5], y=Y[:5]))

    done = update(manifest, "mine")

    assert done.exit_code == 0, done.output
    declared = entry(manifest)
    assert {name: file["samples"] for name, file in declared["files"].items() if "samples" in file} == {
        "train-0.npz": 7,
        "train-1.npz": 3,
        "train-2.npz": 5,
    }
    assert {name: split["samples"] for name, split in declared["splits"].items()} == {"train": 15, "test": 4}
    assert np.array_equal(np.asarray(get("mine", manifest=manifest).train.features), np.concatenate([X[:10], X[:5]]))
