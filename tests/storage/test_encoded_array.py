"""Encoded arrays: samples kept as the files they were, which give what the decoded ones give, when asked for it."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import threading
import wave
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image

from tests.helpers import fresh_process
from tests.helpers.declared import declare
from tinytorch_datasets import (
    Dataset,
    EncodedArray,
    RaggedArray,
    Split,
    audit,
    export,
    formats,
    get,
    load_manifest,
    pipeline,
)
from tinytorch_datasets.batches.channels import STRETCH
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import DecodeError, ManifestError, StorageError
from tinytorch_datasets.manifest import loading
from tinytorch_datasets.storage.encoded_array import Recipe
from tinytorch_datasets.storage.memmap import MOST_READ

COUNT = 12


def photograph(number: int, height: int, width: int) -> Image.Image:
    """A picture with soft edges, another one for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str) -> bytes:
    """A picture in a file, by Pillow."""
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def wav(frames: np.ndarray) -> bytes:
    """A recording of 16 bits and one channel, by the standard library."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(frames.astype("<i2").tobytes())
    return out.getvalue()


def frames(number: int, count: int) -> np.ndarray:
    """The numbers of a recording."""
    return np.random.default_rng(number).integers(-(2**15), 2**15, count, np.int16)


def zipped(bodies: list[bytes], ending: str) -> bytes:
    """An archive of samples in the folders of two classes, in the order of their names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for number, body in enumerate(bodies):
            packed.writestr(zipfile.ZipInfo(f"{'ab'[number * 2 // len(bodies)]}/{number:03}.{ending}"), body)
    return out.getvalue()


def entry(ending: str, field: str, *, options: str = "{}", cache: str = "encoded", more: str = "") -> str:
    """What is declared of such an archive."""
    form, key = ("audio", "recording") if ending == "wav" else ("images", "image")
    return f"""
    format: {form}
    options: {options}
    fields:
      x: {{{field}, cache: {cache}}}
      labels: {{dtype: int64, classes: [a, b]}}
    splits:
      train: {{samples: {COUNT}, file: all.zip, members: ["*/*.{ending}"], x: {key}, labels: folder{more}}}
    """


def halves(image: Image.Image) -> np.ndarray:
    """A gray picture as floats."""
    return (np.asarray(image.convert("L"), np.float64) * 0.5).astype(np.float32)


SIZES = [(16, 24), (20, 12)]
SAME = [photograph(number, 16, 24) for number in range(COUNT)]
OTHER = [photograph(number, *SIZES[number % 2]) for number in range(COUNT)]
JPEGS = [saved(image, "JPEG") for image in SAME]
SOUNDS = [frames(number, 40 + number % 3) for number in range(COUNT)]

# The bodies of an archive, their ending, what is declared of the field and as options, and each sample's values as
# Pillow and the standard library have them.
CASES: Mapping[str, tuple[list[bytes], str, str, str, list[np.ndarray]]] = {
    "JPEG": (
        JPEGS,
        "jpg",
        "dtype: uint8, shape: [16, 24, 3], range: [0, 255]",
        "{}",
        [np.asarray(Image.open(io.BytesIO(body))) for body in JPEGS],
    ),
    "PNG of two sizes": (
        [saved(image, "PNG") for image in OTHER],
        "png",
        "dtype: uint8, shape: [null, null, 3], range: [0, 255]",
        "{}",
        [np.asarray(image) for image in OTHER],
    ),
    "scaled grays": (
        [saved(image, "PNG") for image in SAME],
        "png",
        "dtype: float32, shape: [16, 24], scale: 0.5",
        "{mode: L}",
        [halves(image) for image in SAME],
    ),
    "channels first": (
        [saved(image, "PNG") for image in SAME],
        "png",
        "dtype: uint8, shape: [3, 16, 24], axes: [0, 3, 1, 2]",
        "{}",
        [np.asarray(image).transpose(2, 0, 1) for image in SAME],
    ),
    "resized": (
        [saved(image, "PNG") for image in OTHER],
        "png",
        "dtype: uint8, shape: [8, 8, 3]",
        "{resize: bilinear}",
        [np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR)) for image in OTHER],
    ),
    "recordings": (
        [wav(one) for one in SOUNDS],
        "wav",
        "dtype: int16, shape: [null]",
        "{rate: 8000}",
        SOUNDS,
    ),
    "recordings of one length": (
        [wav(one) for one in SOUNDS],
        "wav",
        "dtype: float32, shape: [41], scale: 0.000030517578125",
        "{length: fit}",
        [(np.pad(one, (0, 1))[:41] / 32768).astype(np.float32) for one in SOUNDS],
    ),
}


def made(folder: Path, case: str, *, cache: str = "encoded", more: str = "") -> Dataset:
    """What `get` returns of a case."""
    bodies, ending, field, options, _ = CASES[case]
    text = entry(ending, field, options=options, cache=cache, more=more)
    return get("made", manifest=declare(folder, text, all_zip=zipped(bodies, ending)))


NOISE = [np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8) for number in range(COUNT)]
NOISY = [saved(Image.fromarray(values), "PNG") for values in NOISE]


def mapped(folder: Path) -> Split:
    """A split whose pictures are mapped, because they take more than is read when it is opened."""
    text = entry("png", "dtype: uint8, shape: [64, 64, 3], range: [0, 255]")
    train = get("made", manifest=declare(folder, text, all_zip=zipped(NOISY, "png"))).train
    assert train.x.encoded_nbytes > MOST_READ
    return train


def same(values: Any, expected: Any) -> bool:
    """Whether arrays, or lists of them, are of the same dtype, shapes and values."""
    pairs = list(zip(values, expected, strict=True))
    return all(
        np.asarray(a).dtype == np.asarray(b).dtype and np.shape(a) == np.shape(b) and np.array_equal(a, b)
        for a, b in pairs
    )


@pytest.mark.parametrize("case", CASES)
class TestEveryKind:
    """Pictures and recordings, of one shape or several, converted or as they are stored."""

    def test_has_the_samples_of_its_files(self, case: str, tmp_path: Path) -> None:
        """When it was just made, and when a cache entry opens it; each fresh and writable."""
        expected = CASES[case][4]
        for _ in range(2):
            field = made(tmp_path, case).train.x

            assert isinstance(field, EncodedArray)
            assert same(field, expected)
            assert same([field[number] for number in range(-COUNT, 0)], expected)
            assert field[3].flags.writeable
            assert same(field.decoded(), expected)
            assert (field.dtype, field.ndim, len(field)) == (expected[0].dtype, 1 + expected[0].ndim, COUNT)
            assert field.nbytes == sum(sample.nbytes for sample in expected)
            assert field.encoded_nbytes == sum(map(len, CASES[case][0]))

    def test_is_what_the_decoded_cache_is(self, case: str, tmp_path: Path) -> None:
        """Value by value: digests, batches in every dtype and order, parts and samples."""
        one = made(tmp_path / "encoded", case).train
        other = made(tmp_path / "decoded", case, cache="decoded").train

        assert digest_of(one.x) == digest_of(other.x)
        how: dict[str, Any]
        for how in ({}, {"shuffle": True, "seed": 3}, {"dtype": "float32", "prefetch": 2}, {"dtype": "float16"}):
            for ours, theirs in zip(one.batches(5, **how), other.batches(5, **how), strict=True):
                assert isinstance(ours.x, list) == isinstance(theirs.x, list)
                assert same(ours.x, theirs.x)
                assert ours.labels.tolist() == theirs.labels.tolist()
        for part in (slice(2, 9, 3), slice(None, None, -1), [4, 4, 0], np.arange(COUNT) % 2 == 1, slice(0, 0)):
            assert same(one[part].x, other[part].x)
            assert one[part].positions.tolist() == other[part].positions.tolist()
        assert same(one.batches(5)[1].x, other.batches(5)[1].x)
        assert same(one.arrays("float32")[0], other.arrays("float32")[0])
        if "recordings" not in case:
            how = {"channels": "first", "normalize": {"x": (0.5, 0.25)}}
            assert same(one.arrays(**how)[0], other.arrays(**how)[0])
            assert same(next(iter(one.batches(5, **how))).x, next(iter(other.batches(5, **how))).x)
        assert isinstance(one.arrays("float32")[0], np.ndarray | RaggedArray)
        assert same(one.collate(one.__getitems__([7, 2])).x, other.collate(other.__getitems__([7, 2])).x)
        assert same(one.divide(0.5)[1].shard(0, 2).take(1).x, other.divide(0.5)[1].shard(0, 2).take(1).x)
        assert same((one + one).x, [*other.x, *other.x])
        assert repr(one.show(2)) == repr(other.show(2))
        assert one.index(other[5]) == other.index(other[5])

    def test_rows_in_a_shuffled_order(self, case: str, tmp_path: Path) -> None:
        """As NumPy shuffles them."""
        field = made(tmp_path, case, more=", shuffle: {seed: 4}").train.x
        order = np.arange(COUNT)
        np.random.RandomState(4).shuffle(order)

        assert same(field, [CASES[case][4][number] for number in order])

    def test_a_pickle_names_its_file(self, case: str, tmp_path: Path) -> None:
        """So that a worker process maps it, and a part has no more than itself."""
        split = made(tmp_path, case).train
        code = "import pickle, sys; print([x.sum() for x in pickle.load(open(sys.argv[1], 'rb')).x])"
        (tmp_path / "split").write_bytes(pickle.dumps(split[[5, 2]]))

        printed = fresh_process.python("-c", code, str(tmp_path / "split"))

        assert printed.stdout.split() == str([CASES[case][4][number].sum() for number in (5, 2)]).split(), (
            printed.stderr
        )
        assert len(pickle.dumps(split.x)) < 2000 + 16 * COUNT * 4


@pytest.mark.parametrize("case", ["JPEG", "PNG of two sizes", "recordings"])
def test_what_takes_a_split_takes_it_decoded(case: str, tmp_path: Path) -> None:
    """Statistics to the last bit, by which both are normalized; Arrow tables, pages and pictures."""
    one = made(tmp_path / "encoded", case).train
    other = made(tmp_path / "decoded", case, cache="decoded").train

    assert [np.array(part).tolist() for part in one.statistics()["x"]] == [
        np.array(part).tolist() for part in other.statistics()["x"]
    ]
    assert np.any(one[:5].statistics()["x"].mean != one.statistics()["x"].mean)
    assert one._repr_html_() == other._repr_html_()
    assert pyarrow.table(one).equals(pyarrow.table(other))


@pytest.mark.parametrize("cache", ["encoded", "decoded"])
@pytest.mark.parametrize("case", ["JPEG", "PNG of two sizes", "recordings"])
def test_statistics_are_computed_once(cache: str, case: str, tmp_path: Path) -> None:
    """In a process, for every `get` of the same files, and for each part by itself."""
    first, again = made(tmp_path, case, cache=cache).train, get("made", manifest=tmp_path / "datasets.yaml").train

    assert first.statistics()["x"] is again.statistics()["x"]
    assert first[:5].statistics()["x"] is again[:5].statistics()["x"] is not first.statistics()["x"]


def test_statistics_of_long_samples_are_taken_in_the_same_stretches() -> None:
    """However many samples there are in one, or the other way round."""
    lengths = [STRETCH // 8 * 3 + 5, 0, 7, STRETCH // 8 - 12, 100]
    samples = [np.random.default_rng(length).normal(size=length) for length in lengths]

    def decoder(facts: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
        return np.frombuffer

    shapes = np.array(lengths).reshape(-1, 1)
    kind: dict[str, Any] = {"dtype": "float64", "sample_shape": (None,)}
    field = EncodedArray.of([one.tobytes() for one in samples], shapes, recipe=Recipe(decoder, {}), **kind)
    ragged = RaggedArray.of(samples)

    assert Split("train", {"x": field}).statistics() == Split("train", {"x": ragged}).statistics()


@pytest.mark.parametrize("kind", ["npz", "jsonl", "parquet", "png"])
def test_it_is_exported_as_the_decoded_one(kind: str, tmp_path: Path) -> None:
    """Byte by byte."""
    for cache in ("encoded", "decoded"):
        made(tmp_path / cache, "JPEG", cache=cache)
        export("made", kind, tmp_path / f"{kind}-{cache}", manifest=tmp_path / cache / "datasets.yaml")

    one, other = (sorted((tmp_path / f"{kind}-{cache}").rglob("*.*")) for cache in ("encoded", "decoded"))
    assert [path.name for path in one] == [path.name for path in other]
    its = [(a, b) for a, b in zip(one, other, strict=True) if a.suffix in (".npz", ".jsonl", ".parquet", ".png")]
    assert its
    assert all(a.read_bytes() == b.read_bytes() for a, b in its)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_loader_decode(method: str, tmp_path: Path) -> None:
    """By `collate`, and by numbered batches; samples of one shape come as one tensor."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; the package does not need it")
    split = made(tmp_path, "JPEG").train
    workers: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": method}

    for loader in (
        torch.utils.data.DataLoader(split, batch_size=5, collate_fn=split.collate, **workers),
        torch.utils.data.DataLoader(split.batches(5), batch_size=None, **workers),
    ):
        batches = list(loader)
        assert [type(batch.x) for batch in batches] == [torch.Tensor] * 3
        assert same([np.asarray(sample) for batch in batches for sample in batch.x], CASES["JPEG"][4])


class TestWhatIsLazy:
    """Nothing is decoded before it is asked for."""

    def test_parts_and_facts_decode_nothing(self) -> None:
        """Nor does a representation."""

        def refuse(facts: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
            raise AssertionError

        kind: dict[str, Any] = {"dtype": "uint8", "sample_shape": (2, 3)}
        field = EncodedArray.of([b"one", b"three"] * 600, None, recipe=Recipe(refuse, {}), **kind)

        assert repr(field[::2]) == "<EncodedArray: 600 samples of uint8[2, 3], 1.8 kB encoded>"
        assert field[[1, 2]][:1].shape == (1, 2, 3)
        assert field.shape == (1200, 2, 3)
        with pytest.raises(IndexError, match=r"^sample 1200 of an encoded array of 1,200$"):
            field[1200]

    def test_all_parts_have_one_decoder(self) -> None:
        """Whichever of them is the first to decode: making one may import a library."""
        made = list[int]()

        def decoder(facts: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
            made.append(1)
            return lambda data: np.frombuffer(data, np.uint8)

        field = EncodedArray.of([b"ab"] * 9, None, dtype="uint8", sample_shape=(2,), recipe=Recipe(decoder, {}))

        assert [batch.x.tolist() for batch in Split("train", {"x": field}).batches(4)][2] == [[97, 98]]
        assert field[3:][0].tolist() == field[0].tolist() == [97, 98]
        assert len(made) == 1

    def test_samples_of_several_shapes_are_no_one_array(self, tmp_path: Path) -> None:
        """What NumPy cannot hold is refused, and says what can."""
        field = made(tmp_path, "PNG of two sizes").train.x

        with pytest.raises(
            TypeError, match=r"differ in shape, so they are no one array: use decoded\(\), or list\(\)$"
        ):
            np.asarray(field)
        assert isinstance(field.decoded(), RaggedArray)

    def test_numpy_decodes_all_of_one_shape(self, tmp_path: Path) -> None:
        """In any dtype, as of any array."""
        field = made(tmp_path, "JPEG").train.x

        assert same(np.asarray(field), CASES["JPEG"][4])
        assert np.asarray(field, np.float32).dtype == np.float32
        assert field._repr_html_().count("<img ") == 1  # a row of ten pictures

    def test_one_thread_makes_the_same(self, tmp_path: Path) -> None:
        """Where no threads are started, which a limit of address space brings about."""
        split = made(tmp_path, "JPEG").train
        code = (
            "import pickle, resource, sys, threading; resource.setrlimit(resource.RLIMIT_AS, (2**46, 2**46));"
            "split = pickle.load(open(sys.argv[1], 'rb'));"
            "print(*(b.x.sum() for b in split.batches(5, shuffle=True, seed=1)), threading.active_count())"
        )
        (tmp_path / "split").write_bytes(pickle.dumps(split))

        printed = fresh_process.python("-c", code, str(tmp_path / "split"))

        expected = [batch.x.sum() for batch in split.batches(5, shuffle=True, seed=1)]
        assert printed.stdout.split() == [*map(str, expected), "1"], printed.stderr

    def test_a_loop_that_is_left_leaves_no_thread(self, tmp_path: Path) -> None:
        """Of batches, and of samples."""
        code = (
            "import pickle, sys, threading; split = pickle.load(open(sys.argv[1], 'rb'));"
            "[batch for batch, _ in zip(split.batches(2), range(1))]; [x for x, _ in zip(split.x, range(1))];"
            "print(threading.active_count())"
        )
        (tmp_path / "split").write_bytes(pickle.dumps(made(tmp_path, "JPEG").train))

        assert fresh_process.python("-c", code, str(tmp_path / "split")).stdout == "1\n"


class TestTrust:
    """Every sample is decoded and checked once; what is changed afterwards is noticed."""

    def test_a_picture_that_is_cut_short_never_gets_in(self, tmp_path: Path) -> None:
        """At the first get, by its name; and nothing is kept."""
        bodies = [*JPEGS[:-1], JPEGS[-1][:-20]]
        manifest = declare(tmp_path, entry("jpg", CASES["JPEG"][2]), all_zip=zipped(bodies, "jpg"))

        with pytest.raises(DecodeError, match=r"member 'b/011.jpg': it cannot be decoded: "):
            get("made", manifest=manifest)
        assert not [*tmp_path.rglob("*.npy")]

    def test_nor_one_of_another_size(self, tmp_path: Path) -> None:
        """As of any other field."""
        bodies = [*JPEGS[:-1], saved(photograph(1, 8, 8), "JPEG")]
        manifest = declare(tmp_path, entry("jpg", CASES["JPEG"][2]), all_zip=zipped(bodies, "jpg"))

        with pytest.raises(DecodeError, match=r"member 'b/011.jpg': it is 8 high and 8 wide"):
            get("made", manifest=manifest)

    def test_standard_in_a_worker_process(self, tmp_path: Path) -> None:
        """The training split goes there as the paths of its files."""
        dataset = made(tmp_path, "JPEG")
        expected = dataset.train[:2].arrays(normalize="standard")[0]

        part = pickle.loads(pickle.dumps(dataset.train[:2]))

        assert np.array_equal(part.arrays(normalize="standard")[0], expected)

    def test_the_declared_digest_is_of_the_values(self, tmp_path: Path) -> None:
        """Whatever the cache keeps of them."""
        digest = digest_of(np.stack(CASES["JPEG"][4]))
        for sha256, is_right in ((digest, True), ("0" * 64, False)):
            folder = tmp_path / sha256[:4]
            text = entry("jpg", f"{CASES['JPEG'][2]}, sha256: {{train: '{sha256}'}}")
            manifest = declare(folder, text, all_zip=zipped(JPEGS, "jpg"))
            if is_right:
                assert len(get("made", manifest=manifest, verify="always").train) == COUNT
            else:
                with pytest.raises(DecodeError, match=r"train.x has decoded values of sha256"):
                    get("made", manifest=manifest)

    @pytest.mark.parametrize("verify", ["auto", "always"])
    def test_a_cache_that_was_changed_is_made_anew(self, verify: Any, tmp_path: Path) -> None:
        """Its bytes, or where they begin and end."""
        for name in ("train.x.encoded.npy", "train.x.offsets.npy"):
            made(tmp_path, "JPEG")
            (file,) = tmp_path.rglob(name)
            data = bytearray(file.read_bytes())
            data[-40:] = bytes(40)
            file.write_bytes(data)

            assert same(get("made", manifest=tmp_path / "datasets.yaml", verify=verify).train.x, CASES["JPEG"][4])

    def test_bytes_that_change_under_an_open_field_are_an_error(self, tmp_path: Path) -> None:
        """In a sentence that says where they are."""
        field = mapped(tmp_path).x
        (file,) = tmp_path.rglob("train.x.encoded.npy")
        with file.open("r+b") as out:
            out.seek(-field.encoded_nbytes, os.SEEK_END)
            out.write(b"no picture")

        with pytest.raises(StorageError) as caught:
            field[0]

        length = len(NOISY[0])
        assert str(caught.value) == (
            f"sample 0 of a field that is cached encoded, bytes 0 to {length:,} of train.x.encoded.npy, cannot be "
            "decoded any more: it is no picture of a kind that is read\n"
            '  Get the data set again, with verify="always".'
        )
        assert caught.value.path == file

    def test_it_names_the_sample_of_the_whole_field(self, tmp_path: Path) -> None:
        """From a part, from a shuffled batch, and in a process that got either as pickle."""
        train = mapped(tmp_path)
        (file,) = tmp_path.rglob("train.x.encoded.npy")
        with file.open("r+b") as out:
            out.seek(-train.x.encoded_nbytes + sum(map(len, NOISY[:7])), os.SEEK_END)
            out.write(b"no picture")

        for ask in (
            lambda: train[::-1][2:][[9, 2]].x[1],
            lambda: list(train.batches(5, shuffle=True, seed=0)),
            lambda: pickle.loads(pickle.dumps(train[4:9])).x[3],
            lambda: list(pickle.loads(pickle.dumps(train.batches(5)))),
        ):
            with pytest.raises(StorageError, match=r"^sample 7 of a field that is cached encoded, bytes "):
                ask()

    def test_an_audit_finds_it(self, tmp_path: Path) -> None:
        """And nothing where all is well; nor does a lock differ from that of the decoded values."""
        made(tmp_path, "JPEG")
        manifest = tmp_path / "datasets.yaml"
        assert not audit(manifest=manifest, levels=["shipped"]).findings
        (file,) = tmp_path.rglob("train.x.encoded.npy")
        data = bytearray(file.read_bytes())
        data[-300] ^= 1
        file.write_bytes(data)

        (finding, *_) = audit(manifest=manifest, levels=["shipped"]).findings

        assert finding.what == "the cached array train.x is not what its file decodes to"

    def test_values_digests_are_those_of_the_decoded_cache(self, tmp_path: Path) -> None:
        """Which is what a lock has."""
        digests = []
        for cache in ("encoded", "decoded"):
            made(tmp_path / cache, "PNG of two sizes", cache=cache)
            manifest = load_manifest(tmp_path / cache / "datasets.yaml")
            locations = pipeline.locations(manifest)
            digests.append(pipeline.value_digests(pipeline.plan_of(manifest, "made", locations), locations))

        assert digests[0] == digests[1]

    def test_without_a_folder_it_is_in_memory(self, tmp_path: Path) -> None:
        """Encoded all the same."""
        bodies, ending, field, options, expected = CASES["PNG of two sizes"]
        manifest = declare(tmp_path, entry(ending, field, options=options), all_zip=zipped(bodies, ending))

        split = get("made", manifest=manifest, home="/dev/null/none").train

        assert same(split.x, expected)
        assert same(pickle.loads(pickle.dumps(split[3:5])).x, expected[3:5])
        assert len(pickle.dumps(split.x[3:5])) < sum(map(len, bodies[3:5])) + 2000


class TestRoom:
    """Before a byte is fetched, there must be room for what is written: the files, and what the cache keeps."""

    @pytest.mark.parametrize("cache", ["encoded", "decoded"])
    def test_it_is_that_of_the_files(self, cache: str, tmp_path: Path) -> None:
        """And not of values that no disk has room for: all that is then wrong is their size."""
        text = entry("jpg", "dtype: uint8, shape: [16_000, 24_000, 3]", cache=cache)
        text = text.replace(f"samples: {COUNT}", "samples: 100_000")
        manifest = declare(tmp_path, text, all_zip=zipped(JPEGS, "jpg"))
        manifest.write_text(
            manifest.read_text().replace("shipped", "remote") + "    mirrors: [https://nowhere.invalid/]\n"
        )
        error = DecodeError if cache == "encoded" else StorageError

        with pytest.raises(error, match=r"it is 16 high and 24 wide|the disk has room for"):
            get("made", manifest=manifest, mirror=tmp_path / "datasets", home=tmp_path / "home")


class TestDeclared:
    """What may be cached encoded, and what is, if nobody says."""

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            (
                "format: npy\nfields: {x: {dtype: uint8, shape: [2], cache: encoded}}\n"
                "splits: {train: {samples: 2, x: all.zip}}",
                "format 'npy' does not decode a sample at a time",
            ),
            (
                entry("jpg", "dtype: int64, classes: [a, b]"),
                "only what a sample's own file holds is, and such a field has a shape and no classes",
            ),
            (
                entry("jpg", "dtype: uint8, shape: [16, 24, 3], axes: [3, 0, 1, 2]"),
                "its stored axes do not begin with that of the samples",
            ),
        ],
    )
    def test_what_is_not_decoded_by_sample_is_refused(self, text: str, what: str, tmp_path: Path) -> None:
        """At its line of the manifest."""
        with pytest.raises(ManifestError) as caught:
            load_manifest(declare(tmp_path, text, all_zip=b"."))

        (problem,) = caught.value.problems
        assert problem.what == f"cannot be encoded: {what}"
        lines = (tmp_path / "datasets.yaml").read_text().splitlines()
        assert "cache: encoded" in lines[problem.line - 1]

    def test_no_other_format_is_looked_at(self, tmp_path: Path) -> None:
        """Each is a file to import, with libraries of its own."""
        asked = set[str]()

        class Registry:
            known = staticmethod(formats.known)

            def of(self, name: str) -> formats.Format:
                asked.add(name)
                return formats.of(name)

        text = "format: npy\nfields: {x: {dtype: uint8, shape: [2]}}\nsplits: {train: {samples: 2, x: all.zip}}"
        manifest = loading.load(declare(tmp_path, text, all_zip=b"."), Registry())

        assert not manifest.plan("made").columns[0].is_encoded
        assert asked == {"npy"}

    @pytest.mark.parametrize(
        ("shape", "samples", "size", "cache"),
        [
            ("[300, 300, 3]", 15_907, 1, "decoded"),
            ("[300, 300, 3]", 15_908, 1, "encoded"),  # more than 4 GiB
            ("[null, 300, 3]", 15_908, 2**30, "decoded"),
            ("[null, 300, 3]", 10, 2**30 + 1, "encoded"),  # more than 1 GiB of files
            ("[300, 300, 3], cache: decoded", 15_908, 1, "decoded"),
        ],
    )
    def test_large_ones_are_where_nobody_says(
        self, shape: str, samples: int, size: int, cache: str, tmp_path: Path
    ) -> None:
        """By what the values come to, or the files where that is not known; of formats that can."""
        text = entry("jpg", f"dtype: uint8, shape: {shape}").replace(", cache: encoded", "").replace(f"{COUNT}", "{n}")
        manifest = declare(tmp_path, text.replace("{n}", str(samples)), all_zip=b".")
        manifest.write_text(manifest.read_text().replace("bytes: 1,", f"bytes: {size},"))

        columns = load_manifest(manifest).plan("made").columns

        assert [column.is_encoded for column in columns] == [cache == "encoded", False]


def in_main_thread(facts: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
    """What decodes a sample to whether it is decoded in the main thread."""
    return lambda file: np.array([threading.current_thread() is threading.main_thread()])


def test_a_worker_process_decodes_by_itself() -> None:
    """A loader starts one for each core, so threads would be in each other's way; here there are threads."""
    field = EncodedArray.of([b""] * 8, None, dtype="bool", sample_shape=(1,), recipe=Recipe(in_main_thread, {}))
    receiving, sending = multiprocessing.Pipe(duplex=False)

    def work() -> None:
        sending.send([np.asarray(field).all(), np.all(list(field))])

    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()

    assert receiving.recv() == [True, True]
    assert not np.asarray(field).any()
