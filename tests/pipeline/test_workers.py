"""Decoding by the workers of an executor: the same values and the same errors, and nothing that a worker made up."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.audit_world import World, build
from tests.helpers.executors import Sending, fail
from tests.pipeline.test_shards import COUNTS, FORMS, PARTS, X, Y, declare, in_npz, npz
from tinytorch_datasets import get, load_manifest, pipeline
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import DecodeError, StorageError
from tinytorch_datasets.pipeline import shards, workers
from tinytorch_datasets.plan import Plan
from tinytorch_datasets.storage import arrays as array_store


def plan_of(manifest: Path, name: str = "made") -> Plan:
    """A data set's plan, its files placed."""
    return pipeline.placed(load_manifest(manifest), name)[0]


def written(plan: Plan, folder: Path, executor: Any = None) -> dict[str, str]:
    """The digest of each column, decoded by an executor or here, checked and written as `get` does."""
    source = partial(workers.decoded, executor=executor, target=folder / "arrays" / "made", least_bytes=0)
    digests: dict[str, str] = {}
    blocks = pipeline.blocks(plan, source=source if executor else shards.decoded)
    array_store.write(folder / "arrays" / "made", blocks, check=digests.update)
    assert [path.name for path in (folder / "arrays").iterdir()] == ["made"]  # and nothing beside it
    return digests


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Data sets without shards."""
    return build(tmp_path_factory.mktemp("world"))


class TestValues:
    """Whoever decodes, the values are the same."""

    @pytest.mark.parametrize("form", FORMS)
    def test_a_shard_is_a_part(self, form: str, tmp_path: Path) -> None:
        """In every format: ragged and texts, tables and pictures."""
        entry, files = FORMS[form]
        many = {f"{name}{n}": data for n, part in enumerate(PARTS) for name, data in files(part).items()}
        counts = {f"{next(iter(files(part)))}{n}": COUNTS[n] for n, part in enumerate(PARTS)}
        plan, sending = plan_of(declare(tmp_path, entry, many, counts)), Sending()
        digests = written(plan, tmp_path / "theirs", sending)

        assert digests == written(plan, tmp_path / "own")
        assert sending.calls
        if form in ("npz", "npy", "csv", "parquet", "jsonl", "records"):
            assert digests["train.x"] == digest_of(X)
            assert digests["train.y"] == digest_of(Y.astype(np.int64))

    def test_what_is_in_one_file_of_several_is_a_part(self, world: World, tmp_path: Path) -> None:
        """A field where each has a file, a split where each has one; columns of one table stay together."""
        digits, flowers = (plan_of(world.manifest, name) for name in ("digits", "flowers"))
        for plan in (digits, flowers):
            digests = {
                str(column): digest_of(
                    get(plan.name, manifest=world.manifest, offline=True)[column.split][column.field]
                )
                for column in plan.columns
            }
            assert written(plan, tmp_path / plan.name, Sending()) == digests

        of_digits = [[str(column) for column in part.plan.columns] for part in workers.parts_of(digits, 0)]
        assert of_digits == [["train.images"], ["train.labels"], ["test.images"], ["test.labels"]]
        assert [len(part.plan.files) for part in workers.parts_of(digits, 0)] == [1] * 4
        of_flowers = [[str(column) for column in part.plan.columns] for part in workers.parts_of(flowers, 0)]
        assert of_flowers == [["train.features", "train.labels"], ["test.features", "test.labels"]]

    def test_shards_go_together_until_they_are_worth_sending(self, tmp_path: Path) -> None:
        """Each once, in their order; what is small is not sent."""
        plan = plan_of(in_npz(tmp_path))
        together = [[shard.samples for shard in part.plan.splits[0].shards] for part in workers.parts_of(plan, 800)]
        assert together == [[3, 5], [1, 4]]
        assert [part.first for part in workers.parts_of(plan, 800)] == [0, 8]

        [whole] = workers.parts_of(plan)
        assert not whole.is_sent
        sending = Sending()
        get("made", manifest=in_npz(tmp_path / "small"), executor=sending)
        assert sending.calls == 2  # whether it takes tasks, and the hashes of the files

    def test_what_is_kept_encoded_is_decoded_here(self, tmp_path: Path) -> None:
        """Its digest is of the decoded values."""
        entry, files = FORMS["images in tar"]
        entry = entry.replace("shape: [4, 4]}", "shape: [4, 4], cache: encoded}")
        many = {f"n-{n}": files(part)["n-"] for n, part in enumerate(PARTS)}
        plan = plan_of(declare(tmp_path, entry, many, {f"n-{n}": count for n, count in enumerate(COUNTS)}))
        sending = Sending()

        assert written(plan, tmp_path / "theirs", sending) == written(plan, tmp_path / "own")
        assert not sending.calls

    def test_a_lost_worker_changes_nothing(self, tmp_path: Path) -> None:
        """Its part is decoded again."""
        plan = plan_of(in_npz(tmp_path))
        assert written(plan, tmp_path, Sending(fail(RuntimeError("gone"), 1)))["train.x"] == digest_of(X)

    def test_a_worker_that_is_taken_for_lost_is_in_nobodys_way(self, tmp_path: Path) -> None:
        """It writes its part while the one does that took it over, and when that is being read."""
        plan = plan_of(in_npz(tmp_path))

        class Twice(Sending):
            def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                future = super().submit(function, *args, **kwargs)
                [path] = tmp_path.glob("arrays/.made.*.part/2/*/train.x.npy")
                super().submit(function, *args, **kwargs)
                assert path.exists()
                for other in {*tmp_path.glob("arrays/.made.*.part/2/*/train.x.npy")} - {path}:
                    other.write_bytes(b"half of ")
                return future

        assert written(plan, tmp_path, Twice())["train.x"] == digest_of(X)

    def test_a_thread_of_the_pool_does_not_wait_for_itself(self, tmp_path: Path) -> None:
        """It decodes all; it is other threads that would ask for parts, so it is asked before they begin."""
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(workers.source_for, pool, tmp_path).result(30) is shards.decoded
            assert workers.source_for(pool, tmp_path) is not shards.decoded


WRONG: dict[str, dict[str, Any]] = {
    "damaged": {"train_10": b"PK no archive"},
    "another count": {"train_9": npz(x=X[3:7], y=Y[3:7])},
    "another dtype": {"train_10": npz(x=X[PARTS[2]].astype(np.int64), y=Y[PARTS[2]])},
    "no class": {"train_11": npz(x=X[PARTS[3]], y=Y[PARTS[3]] + 7)},
}


class TestRefusals:
    """What is wrong is found as it is without an executor."""

    @pytest.mark.parametrize("wrong", WRONG)
    def test_an_error_is_the_same_to_the_word(self, wrong: str, tmp_path: Path) -> None:
        """With its line; and nothing is left of it."""
        plan, errors = plan_of(in_npz(tmp_path, **WRONG[wrong])), list[DecodeError]()
        for executor in (None, Sending()):
            with pytest.raises(DecodeError) as caught:
                written(plan, tmp_path, executor)
            errors.append(caught.value)
        assert type(errors[0]) is type(errors[1])
        assert str(errors[0]) == str(errors[1])
        assert not [*(tmp_path / "arrays").iterdir()]

    def test_a_worker_that_does_not_see_the_cache_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the folder into which it would write."""
        plan = plan_of(in_npz(tmp_path))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        source = partial(workers.decoded, target=Path("arrays/made"), least_bytes=0)

        class Elsewhere(Sending):
            def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                os.chdir(tmp_path / "elsewhere")
                try:
                    return super().submit(function, *args, **kwargs)
                finally:
                    os.chdir(tmp_path)

        with pytest.raises(StorageError, match=r"^arrays/\.made\..*\.part is not the same to the worker .*") as caught:
            list(pipeline.blocks(plan, source=partial(source, executor=Elsewhere())))
        assert str(caught.value).endswith(
            " as to this process: No such file or directory\n"
            "  Give the workers the same file system at the same path, or leave the executor out."
        )
        assert not [*(tmp_path / "elsewhere").iterdir()]
        assert not [*(tmp_path / "arrays").iterdir()]

    @pytest.mark.parametrize(
        "change",
        [
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"),
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            lambda path: path.unlink(),
        ],
        ids=["changed", "cut", "gone"],
    )
    def test_what_is_read_must_be_what_was_written(self, tmp_path: Path, change: Callable[[Path], object]) -> None:
        """A file system that is shared may not be, or may be late."""
        plan = plan_of(in_npz(tmp_path))

        class Changing(Sending):
            def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                future = super().submit(function, *args, **kwargs)
                change(next(tmp_path.glob("arrays/.made.*.part/2/*/train.x.npy")))
                return future

        with pytest.raises(StorageError) as caught:
            written(plan, tmp_path, Changing())
        folder = caught.value.path
        assert folder.parent.name == "2"
        assert str(caught.value) == (
            f"{folder} is not the same to this process as to the worker that wrote it\n"
            "  Give the workers the same file system at the same path, or leave the executor out."
        )

    def test_a_worker_that_cannot_write_there(self, tmp_path: Path) -> None:
        """Its error is raised."""
        plan = plan_of(in_npz(tmp_path))

        class InTheWay(Sending):
            def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                for folder in tmp_path.glob("arrays/.made.*.part"):
                    (folder / "0").write_bytes(b"")
                return super().submit(function, *args, **kwargs)

        with pytest.raises(StorageError) as caught:
            written(plan, tmp_path, InTheWay())
        assert caught.value.path.name == "0"
        assert str(caught.value).startswith(
            f"{caught.value.path} cannot be written: a file is in the way of a folder\n"
        )
