"""Streams: the samples of shards that come one by one, each verified, in bounded room on disk and in memory."""

from __future__ import annotations

import hashlib
import json
import pickle
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.conftest import Served
from tests.helpers.faulty_server import FaultyServer, answer, silent
from tests.helpers.fresh_process import begin, python
from tests.helpers.users import mounted
from tests.pipeline.test_shards import declare, npy, rows
from tinytorch_datasets import Dataset, RetryPolicy, Split, get, load_manifest
from tinytorch_datasets.errors import FetchError, StorageError, UsageError
from tinytorch_datasets.pipeline import cleaning, placed
from tinytorch_datasets.pipeline.streamed import StreamedSplit

SHARDS, EACH = 12, 10
SHARD_BYTES = 128 + EACH * 1000 * 8
X = np.arange(SHARDS * EACH)


def values(numbers: np.ndarray) -> np.ndarray:
    """Samples of 8 kB each, which begin with their number."""
    return np.repeat(numbers, 1000).reshape(-1, 1000)


class Big(NamedTuple):
    """A manifest, the folder that its files are served from, and what was asked for."""

    path: Path
    served: Path
    asked: list[str]

    @property
    def shards_asked(self) -> list[str]:
        """Which shards were asked for."""
        return [path for path in self.asked if path.endswith(".npy")]


@pytest.fixture
def big(tmp_path: Path, serve: Callable[[Path], Served]) -> Big:
    """A remote data set of 12 shards of ten samples."""
    files = {f"{n:02}.npy": npy(values(X[n * EACH : n * EACH + EACH])) for n in range(SHARDS)}
    entry = (
        "format: npy\nfields: {x: {dtype: int64, shape: [1000]}}\nmirrors: [ADDRESS]\n"
        f"splits: {{train: {{samples: {len(X)}, shard_samples: {EACH}, x: '*.npy'}}}}"
    )
    path = declare(tmp_path, entry, files, status="remote")
    address = serve(tmp_path / "datasets")
    path.write_text(path.read_text().replace("ADDRESS", f"{address}made/"))
    return Big(path, tmp_path / "datasets" / "made", address.asked)


def stream(big: Big | Path, bound: str = "1 MB", **options: Any) -> Any:
    """The training samples, streamed."""
    path = big.path if isinstance(big, Big) else big
    retry = RetryPolicy(tries=1)
    return get("made", manifest=path, home=path.parent / "home", stream=bound, retry=retry, **options).train


def gathered(batches: Any, into: list[int]) -> None:
    """Add the numbers of all samples, as long as they come."""
    for batch in batches:
        into += first([batch])


def first(batches: Any) -> list[int]:
    """The numbers of all samples, in the order in which they come."""
    return [int(sample[0]) for batch in batches for sample in batch.x]


def on_disk(big: Big) -> int:
    """The bytes that are kept."""
    total = 0
    for file in (big.path.parent / "home").rglob("*"):
        with suppress(FileNotFoundError):  # it has just been removed
            total += file.stat().st_size if file.is_file() else 0
    return total


def test_samples_and_batches_in_order(big: Big) -> None:
    """Each as of the data set in memory; batches go across the ends of shards."""
    train = stream(big)

    assert len(train) == 120
    assert [int(x[0]) for (x,) in train] == X.tolist()
    batches = train.batches(64, dtype="float32")
    assert len(batches) == 2
    made = list(batches)
    assert [batch.x.shape for batch in made] == [(64, 1000), (56, 1000)]
    assert made[0].x.dtype == np.float32
    assert first(made) == X.tolist()


def test_orders_are_those_of_seed_and_epoch(big: Big) -> None:
    """Each sample once; resumed in any batch; by each rank its part."""
    train = stream(big)
    whole = [
        [int(sample[0]) for sample in batch.x] for batch in train.batches(7, shuffle=True, seed=3, epoch=2, prefetch=1)
    ]
    flat = [number for batch in whole for number in batch]

    assert sorted(flat) == X.tolist()
    assert first(train.batches(7, shuffle=True, seed=3, epoch=2)) == flat
    assert first(train.batches(7, shuffle=True, seed=3, epoch=1)) != flat
    for start in (1, 17, len(whole)):
        rest = train.batches(7, shuffle=True, seed=3, epoch=2, start=start)
        assert len(rest) == len(whole) - start
        assert first(rest) == flat[7 * start :]
    parts = [first(train.shard(rank, 7).batches(7, shuffle=True, seed=3, epoch=2)) for rank in range(7)]
    assert sorted(number for part in parts for number in part) == X.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts[4] == first(stream(big, shards=(4, 7)).batches(7, shuffle=True, seed=3, epoch=2))


@pytest.mark.parametrize("seeds", [5, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("world", "window"), [(2, 1), (3, 4), (8, 1)])
def test_orders_of_many_seeds(world: int, window: int, seeds: int, big: Big) -> None:
    """By 200 seeds: each sample of each rank once, and the same again. Nothing is fetched for it."""
    train = stream(big)
    parts = [train.shard(rank, world) for rank in range(world)]

    orders = set()
    for seed in range(seeds):
        readings = [reading for part in parts for reading in part._order(seed, window, 0)]
        numbers = [
            reading.shards[member] * EACH + number
            for reading in readings
            for member, number in zip(reading.members, reading.numbers, strict=True)
        ]
        assert sorted(numbers) == X.tolist()
        orders.add(tuple(numbers))
    assert len(orders) == seeds
    assert not big.shards_asked


def test_the_samples_of_a_window_of_shards_are_shuffled_together(big: Big) -> None:
    """A batch has samples of each, in an order that is drawn; each sample once, and resumed in any batch."""
    train = stream(big, "2 MB")
    asked = {"shuffle": True, "seed": 3, "epoch": 2, "window": 5}
    whole = [first([batch]) for batch in train.batches(20, **asked)]
    flat = [number for batch in whole for number in batch]

    assert sorted(flat) == X.tolist()
    of_window = [number // EACH for number in flat[:50]]
    assert len(set(of_window)) == 5
    assert all(len(set(of_window[at : at + 10])) > 2 for at in range(0, 50, 10))
    assert first(train.batches(7, **asked)) == flat
    for start in (1, 2, 5):
        assert first(train.batches(20, start=start, **asked)) == flat[20 * start :]
    assert sorted(first(train.batches(7, window=99, shuffle=True, seed=1))) == X.tolist()


def test_windows_of_fields_that_are_no_arrays(tmp_path: Path) -> None:
    """Strings stay beside the numbers that they came with."""
    folder = tmp_path / "datasets" / "made"
    folder.mkdir(parents=True)
    files = ""
    for number in range(4):
        rows = "".join(f"{n},word {n}\n" for n in range(number * 5, number * 5 + 5))
        (folder / f"{number}.csv").write_text(f"x,word\n{rows}")
        digest = hashlib.sha256((folder / f"{number}.csv").read_bytes()).hexdigest()
        files += f"{number}.csv: {{bytes: {len(rows) + 7}, sha256: {digest}, samples: 5}}, "
    path = tmp_path / "datasets.yaml"
    path.write_text(
        "version: 1\ndatasets: {made: {title: Made, license: CC0-1.0, source: 'https://example.org', status: shipped, "
        "format: csv, fields: {x: {dtype: int64}, word: {dtype: str}}, "
        f"splits: {{train: {{samples: 20, file: '*.csv', x: x, word: word}}}}, files: {{{files}}}}}}}"
    )

    train = get("made", manifest=path, home=tmp_path / "home", stream=True).train
    batches = list(train.batches(6, shuffle=True, seed=1, window=3))

    pairs = [(int(x), word) for batch in batches for x, word in zip(batch.x, batch.word, strict=True)]
    assert sorted(pairs) == [(n, f"word {n}") for n in range(20)]
    assert [x for x, _ in pairs[:15]] != sorted(x for x, _ in pairs[:15])


def test_windows_that_cannot_be(big: Big) -> None:
    """None without shuffling, none that does not fit, and no shard is asked for."""
    train = stream(big, "600 kB")

    with pytest.raises(UsageError, match="a window is of shards that are shuffled together, and shuffle is not set\n"):
        train.batches(7, window=2)
    with pytest.raises(ValueError, match="the samples of 1 shard or more are shuffled together, not 0"):
        train.batches(7, shuffle=True, window=0)
    with pytest.raises(UsageError, match='may keep 600 kB, and 4 shards at once take 641 kB\n  Write `stream="705 kB"'):
        train.batches(7, shuffle=True, window=2)
    assert not big.shards_asked


def test_only_shards_that_are_asked_for_are_fetched(big: Big) -> None:
    """And few that follow; of a resumed epoch none before."""
    for _ in stream(big, "600 kB").batches(10, start=9):
        break

    asked = set(big.shards_asked)
    assert "/made/09.npy" in asked
    assert not {f"/made/{n:02}.npy" for n in range(9)} & asked


def test_what_is_kept_stays_below_the_bound(big: Big) -> None:
    """While it passes over 2 MB and keeps 600 kB; what was read last is there for the next pass."""
    most = 0
    for _ in stream(big, "600 kB").batches(10):
        most = max(most, on_disk(big))

    assert SHARD_BYTES < most <= 600_000 + 50_000  # notes beside arrays, and locks
    asked = len(big.asked)
    assert first(stream(big, "600 kB").batches(10, start=10)) == X[100:].tolist()
    assert len(big.asked) == asked


def test_a_wrong_shard_is_one_error_and_none_of_it_comes(big: Big) -> None:
    """It has the name; what came before it was seen, and nothing of it."""
    shard = big.served / "05.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    came = list[int]()

    with pytest.raises(FetchError, match=r"05\.npy could not be downloaded"):
        gathered(stream(big).batches(10), came)

    assert came == X[:50].tolist()


def test_it_goes_on_when_the_network_is_back(big: Big) -> None:
    """Without one, it ends where the bytes do; the same `start` goes on."""
    shard = big.served / "07.npy"
    shard.rename(shard.with_suffix(".away"))
    came = list[int]()
    with pytest.raises(FetchError):
        gathered(stream(big).batches(10), came)
    shard.with_suffix(".away").rename(shard)

    assert came + first(stream(big).batches(10, start=7)) == X.tolist()


def test_leaving_the_loop_ends_its_threads(big: Big) -> None:
    """Also in the middle of a fetch, as Ctrl-C does."""
    batches = iter(stream(big).batches(10))
    next(batches)
    batches.close()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stream")]


def test_what_is_there_anyway_is_not_fetched(big: Big) -> None:
    """A data set that was downloaded as a whole, or that ships."""
    home = big.path.parent / "home"
    get("made", manifest=big.path, home=home)
    asked = len(big.asked)

    assert first(stream(big).batches(50)) == X.tolist()
    assert len(big.asked) == asked
    assert len([*(home / "made").glob("*.npy")]) == SHARDS


def test_one_file_is_one_shard_and_texts_work(tmp_path: Path) -> None:
    """In whatever format; strings that go across the ends of shards, too."""
    table = "fields:\n  y: {dtype: int64, classes: [a, b, c]}\n  t: {dtype: str}\n"
    files = {f"{n}.csv": rows(part).encode() for n, part in enumerate((slice(0, 6), slice(6, 13)))}
    many = declare(
        tmp_path,
        f"format: csv\n{table}splits: {{train: {{samples: 13, file: '*.csv'}}}}",
        files,
        {"0.csv": 6, "1.csv": 7},
    )
    (batch,) = stream(many).batches(13)
    assert list(batch.t) == [f"text {2 * n}" for n in range(13)]
    assert batch.y.tolist() == [n % 3 for n in range(13)]

    one = declare(
        tmp_path / "one",
        f"format: csv\n{table}splits: {{train: {{samples: 13, file: a.csv}}}}",
        {"a.csv": rows(slice(0, 13)).encode()},
    )
    assert [text for _, text in stream(one)] == [f"text {2 * n}" for n in range(13)]


def test_what_a_stream_has_not(big: Big) -> None:
    """Each in a sentence that says what to do."""
    train = stream(big)

    with pytest.raises(UsageError, match=r"^split 'train' is a stream, which has no samples by number\n  Iterate"):
        train[3]
    with pytest.raises(AttributeError, match=r"^split 'train' is a stream, which has no 'x'\. Iterate over it or"):
        train.x  # noqa: B018
    with pytest.raises(AttributeError, match="which has no 'arrays'"):
        train.arrays()
    with pytest.raises(UsageError, match="a stream of split 'train' knows no mean and deviation of all its samples"):
        train.batches(3, normalize="standard")
    with pytest.raises(UsageError, match=r"may keep 200 kB, and 3 shards at once take 480 kB\n  Write `stream=\"528"):
        stream(big, "200 kB")
    with pytest.raises(UsageError, match='stream is True, or how much may be kept on disk, such as "2 GB", not 7'):
        stream(big, 7)  # type: ignore[arg-type]
    assert repr(train) == "<StreamedSplit train: 120 samples of x>"
    assert repr(train.shard(0, 2)) == "<StreamedSplit train: 60 of 120 samples of x>"
    assert not big.shards_asked


def test_what_type_checkers_take_its_splits_for(big: Big) -> None:
    """A stream's splits, whichever way they are reached: mypy reads these lines, with all of the tests."""
    data, plain, asked = get("made", manifest=big.path, stream="1 MB"), get("tinydigits"), bool(big.asked)
    by_attribute: StreamedSplit = data.train
    by_name: StreamedSplit = data["train"]
    every: list[StreamedSplit] = [*data.values(), *dict(data.items()).values()]
    of_none: Split = plain.train
    either: Dataset = get("made", manifest=big.path, stream=asked or True)

    assert {type(split) for split in (by_attribute, by_name, *every)} == {StreamedSplit}
    assert (type(of_none), isinstance(either, Dataset)) == (Split, True)
    assert by_attribute.batches(3, shuffle=True, window=2)


def test_a_stream_goes_to_another_process(big: Big) -> None:
    """As a loader's workers take it, and its batches."""
    batches = stream(big).batches(50, shuffle=True, seed=1)

    assert first(pickle.loads(pickle.dumps(batches))) == first(batches)


@pytest.mark.slow
def test_streams_that_read_the_same_shards(big: Big) -> None:
    """None removes a file that another one, as of another process, is about to decode, or still fetches."""
    results = dict[int, list[int]]()

    def pass_over(seed: int) -> None:
        results[seed] = first(stream(big, "600 kB").batches(10, shuffle=True, seed=seed, epoch=0))

    threads = [threading.Thread(target=pass_over, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [sorted(results[seed]) for seed in range(4)] == [X.tolist()] * 4


def test_a_split_in_one_file_needs_no_file_of_the_others(big: Big) -> None:
    """Neither those of a split in shards, nor another split's one."""
    for name, numbers in {"test": np.arange(5), "val": np.arange(4)}.items():
        (big.served / f"{name}.npy").write_bytes(npy(values(numbers)))
    text = big.path.read_text().replace("x: '*.npy'}}", "x: '{00..11}.npy'}, test: {samples: 5, x: test.npy}}")
    text = text.replace("test.npy}}", "test.npy}, val: {samples: 4, x: val.npy}}")
    for name in ("test", "val"):
        data = (big.served / f"{name}.npy").read_bytes()
        text += f"      {name}.npy: {{bytes: {len(data)}, sha256: {hashlib.sha256(data).hexdigest()}}}\n"
    big.path.write_text(text)

    test = get("made", manifest=big.path, home=big.path.parent / "home", stream="1 MB").test

    assert first(test.batches(2)) == [0, 1, 2, 3, 4]
    assert big.shards_asked == ["/made/test.npy"]


def test_batches_of_a_stream_have_no_numbers(big: Big) -> None:
    """A DataLoader would ask for them, and is told what to do."""
    with pytest.raises(UsageError, match="batches of a stream come in their order, and none by number\n  Iterate over"):
        stream(big).batches(10)[0]


@pytest.mark.parametrize("prefetch", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_ctrl_c_ends_it_soon(prefetch: int, tmp_path: Path) -> None:
    """Also while the server of the next shards is silent, and whoever waits for them: the loop, or its thread."""
    files = {f"{n}.npy": npy(values(X[n * EACH : n * EACH + EACH])) for n in range(3)}
    entry = (
        "format: npy\nfields: {x: {dtype: int64, shape: [1000]}}\nmirrors: [ADDRESS]\n"
        f"splits: {{train: {{samples: 30, shard_samples: {EACH}, x: '*.npy'}}}}"
    )
    path = declare(tmp_path, entry, files, status="remote")
    with FaultyServer() as server:
        server.at("/0.npy", answer(200, files["0.npy"]))
        server.at("/1.npy", silent)
        server.at("/2.npy", silent)
        path.write_text(path.read_text().replace("ADDRESS", f"{server.url}/"))
        code = f"""
from tinytorch_datasets import get
train = get("made", manifest={str(path)!r}, home={str(tmp_path / "home")!r}, stream="1 MB").train
for batch in train.batches({EACH}, prefetch={prefetch}):
    print(len(batch.x), flush=True)
"""
        process = begin("-c", code)
        assert process.stdout is not None
        assert process.stdout.readline() == "10\n"
        while not server.requests("/1.npy"):
            time.sleep(0.01)
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert err.rstrip().endswith("KeyboardInterrupt")
    assert time.monotonic() - before < 8  # it would wait 15 s for the server, thrice


def test_always_hashes_what_is_kept(big: Big) -> None:
    """An array in which a bit has changed is made anew, although it looks as it was written."""
    list(stream(big).batches(10))
    kept = [*(big.path.parent / "home").rglob("train.x.npy")]
    asked = len(big.asked)
    for folder in {path.parent for path in kept}:  # as if they were written with the wrong bit
        written = folder / "digests.json"
        written.write_text(written.read_text().replace(json.loads(written.read_text())["train.x"][0], "0" * 64))

    assert first(stream(big, verify="always").batches(10)) == X.tolist()
    assert len(big.asked) >= asked + len(kept)


def test_clean_removes_what_streams_keep(big: Big) -> None:
    """As all decoded arrays."""
    list(stream(big).batches(100))
    assert on_disk(big) > 100_000

    cleaning.clean(*placed(load_manifest(big.path), "made", big.path.parent / "home"))

    assert on_disk(big) < 1_000


def test_a_full_disk_is_said(big: Big, tmp_path: Path) -> None:
    """In a file system of 300 kB; what came before was right, and when there is room, it goes on."""
    with mounted(tmp_path / "disk", "size=300k") as disk:
        came = list[int]()
        options: dict[str, Any] = {"manifest": big.path, "home": disk, "retry": RetryPolicy(tries=1)}
        with pytest.raises(StorageError, match=r"the disk (has room for|is full)"):
            gathered(get("made", stream="1 MB", **options).train.batches(10), came)
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        rest = first(get("made", stream="1 MB", **options).train.batches(10, start=len(came) // 10))

    assert came + rest == X.tolist()


@pytest.mark.slow
def test_fifty_times_the_bound_goes_through_it(tmp_path: Path, serve: Callable[[Path], Served]) -> None:
    """Disk stays below the bound, and the process's memory where it was after the first shards."""
    shards, each = 320, 25
    numbers = np.arange(shards * each)
    files = {f"{n:03}.npy": npy(values(numbers[n * each : n * each + each])) for n in range(shards)}  # 64 MB in all
    address = serve(tmp_path / "datasets")
    split = f"{{samples: {len(numbers)}, shard_samples: {each}, x: '*.npy'}}"
    entry = f"format: npy\nfields: {{x: {{dtype: int64, shape: [1000]}}}}\nmirrors: ['{address}made/']\n"
    path = declare(tmp_path, f"{entry}splits: {{train: {split}}}", files, status="remote")
    code = f"""
import resource, os
from pathlib import Path
from tinytorch_datasets import get
home = Path({str(tmp_path / "home")!r})
train = get("made", manifest={str(path)!r}, home=home, stream="1.28 MB").train
most, total = 0, 0
for number, batch in enumerate(train.batches({each})):
    total += int(batch.x[:, 0].sum())
    if number % 8 == 0:
        kept = 0
        for file in (home / ".cache" / "streams").rglob("*.npy"):
            try:
                kept += file.stat().st_size
            except FileNotFoundError:  # it has just been removed
                pass
        most = max(most, kept)
    if number == 40:
        early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(total, most, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early)
"""
    total, most, grown = map(int, python("-c", code).stdout.split())

    assert total == numbers.sum()
    assert most <= 1_280_000
    assert grown < 20_000  # kB; 64 MB went through
