"""The laws that every format keeps, whichever it is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import scipy.io
from PIL import Image

from tests.helpers.format_writers import (
    CLASSES,
    COMPRESSORS,
    batch,
    column,
    idx,
    member,
    npy,
    npz,
    put,
    read,
    split,
    table,
    tarred,
)
from tinytorch_datasets import formats
from tinytorch_datasets.errors import ContentError, DecodeError
from tinytorch_datasets.plan import Split

Written = tuple[Split, dict[str, Any], dict[str, Any]]  # the split, the decoder's options, what must come back


NUMBERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "b1")


class Sample(NamedTuple):
    """One way to write `samples` samples in a format, declared as `declared` of them."""

    form: str
    write: Callable[[Path, int, int], Written]


def _images(samples: int) -> np.ndarray:
    return (np.arange(samples * 12) % 251).astype("u1").reshape(samples, 3, 4)


def _labels(samples: int) -> np.ndarray:
    return np.arange(samples) % len(CLASSES)


def _both(folder: Path, declared: int, images: bytes, labels: bytes) -> Split:
    return split(
        column(put(folder / "images", images), samples=declared, shape=(3, 4)),
        column(put(folder / "labels", labels), "labels", samples=declared, dtype="int64", classes=CLASSES),
    )


def _one(folder: Path, declared: int, data: bytes | str, **more: Any) -> Split:
    file = put(folder / "data", data)
    return split(
        column(file, samples=declared, shape=(3, 4)),
        column(file, "labels", samples=declared, dtype="int64", classes=CLASSES),
        **more,
    )


def _expected(samples: int) -> dict[str, Any]:
    return {"train.images": _images(samples), "train.labels": _labels(samples)}


def write_idx(folder: Path, samples: int, declared: int) -> Written:
    """Two IDX files."""
    labels = idx(_labels(samples).astype("u1"))
    return _both(folder, declared, idx(_images(samples)), labels), {}, _expected(samples)


def write_npy(folder: Path, samples: int, declared: int) -> Written:
    """Two NPY files."""
    return _both(folder, declared, npy(_images(samples)), npy(_labels(samples))), {}, _expected(samples)


def write_npy_fortran(folder: Path, samples: int, declared: int) -> Written:
    """Two NPY files, the images with their first axis innermost."""
    images = npy(np.asfortranarray(_images(samples)))
    return _both(folder, declared, images, npy(_labels(samples).astype(">i4"))), {}, _expected(samples)


def write_npz(folder: Path, samples: int, declared: int) -> Written:
    """An NPZ archive."""
    data = npz(images=_images(samples), labels=_labels(samples))
    return _one(folder, declared, data), {}, _expected(samples)


def write_pickle(folder: Path, samples: int, declared: int) -> Written:
    """A pickled dict."""
    data = pickle.dumps({"images": _images(samples), "labels": _labels(samples)})
    return _one(folder, declared, data), {}, _expected(samples)


def write_npz_objects(folder: Path, samples: int, declared: int) -> Written:
    """An NPZ archive of Python objects: an array for each image, a number for each label."""
    images = np.empty(samples, object)
    images[:] = list(_images(samples))
    data = npz(images=images, labels=_labels(samples).astype(object))
    return _one(folder, declared, data), {}, _expected(samples)


def write_npy_text(folder: Path, samples: int, declared: int) -> Written:
    """An array of text, in a column, a text of which is empty."""
    texts = ["", *(f"caf\u00e9 {n}" for n in range(samples - 1))]
    file = put(folder / "data", npy(np.array(texts).reshape(-1, 1)))
    return split(column(file, "text", samples=declared, dtype="str")), {}, {"train.text": texts}


def write_pickle_tuple(folder: Path, samples: int, declared: int) -> Written:
    """A pickled tuple of arrays, and of texts beside them."""
    data = pickle.dumps(({"x": _images(samples)}, [_labels(samples).tolist(), ["a"] * samples]), 2)
    file = put(folder / "data", data)
    images = column(file, samples=declared, shape=(3, 4), key="0.x")
    labels = column(file, "labels", samples=declared, dtype="int64", classes=CLASSES, key="1.0")
    return split(images, labels), {}, _expected(samples)


def write_csv(folder: Path, samples: int, declared: int) -> Written:
    """A table with a header, the labels by name in its last column."""
    rows = [[*image.flat, CLASSES[label]] for image, label in zip(_images(samples), _labels(samples), strict=True)]
    data = table([[*(f"pixel{i}" for i in range(12)), "labels"], *rows])
    return _one(folder, declared, data), {}, _expected(samples)


def write_csv_bare(folder: Path, samples: int, declared: int) -> Written:
    """A table without a header, divided by semicolons, the labels first."""
    rows = [[CLASSES[label], *image.flat] for image, label in zip(_images(samples), _labels(samples), strict=True)]
    options = {"header": False, "delimiter": ";", "columns": {"labels": 0}}
    return _one(folder, declared, table(rows, ";")), options, _expected(samples)


def _arrow(samples: int) -> pa.Table:
    return pa.table({"images": _images(samples).tolist(), "labels": _labels(samples)})


def write_parquet(folder: Path, samples: int, declared: int) -> Written:
    """A column of lists in lists, and one of numbers, in groups of rows."""
    out = io.BytesIO()
    pq.write_table(_arrow(samples), out, row_group_size=4000)
    return _one(folder, declared, out.getvalue()), {}, _expected(samples)


def write_parquet_columns(folder: Path, samples: int, declared: int) -> Written:
    """A column for each pixel, without dictionaries, of which one field takes all."""
    pixels = {f"pixel{i}": column for i, column in enumerate(_images(samples).reshape(samples, 12).T)}
    out = io.BytesIO()
    table = pa.table({**pixels, "labels": _labels(samples).astype("i1")})
    pq.write_table(table, out, use_dictionary=False, compression="zstd", data_page_version="2.0")
    result = _one(folder, declared, out.getvalue())
    images = replace(result.columns["images"], columns=tuple(pixels))
    return replace(result, columns={**result.columns, "images": images}), {}, _expected(samples)


def write_arrow_file(folder: Path, samples: int, declared: int) -> Written:
    """A file of compressed batches, as Feather is."""
    out = io.BytesIO()
    feather.write_feather(_arrow(samples), out, compression="lz4", chunksize=4000)
    return _one(folder, declared, out.getvalue()), {}, _expected(samples)


def write_arrow_stream(folder: Path, samples: int, declared: int) -> Written:
    """A stream, of one batch."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, _arrow(samples).schema) as writer:
        writer.write_table(_arrow(samples))
    return _one(folder, declared, out.getvalue()), {}, _expected(samples)


def _records(samples: int) -> list[dict[str, Any]]:
    both = zip(_images(samples), _labels(samples), strict=True)
    return [{"labels": int(label), "images": image.tolist()} for image, label in both]


def write_jsonl(folder: Path, samples: int, declared: int) -> Written:
    """An object a line, by the standard library."""
    data = "".join(json.dumps(record) + "\n" for record in _records(samples))
    return _one(folder, declared, data), {}, _expected(samples)


def write_arff(folder: Path, samples: int, declared: int) -> Written:
    """A table of Weka's, the labels nominal."""
    names = "".join(f"@attribute pixel{i} integer\n" for i in range(12))
    data = f"% made up\n@relation r\n{names}@attribute labels {{{', '.join(CLASSES)}}}\n@data\n"
    rows = [[*image.flat, CLASSES[label]] for image, label in zip(_images(samples), _labels(samples), strict=True)]
    return _one(folder, declared, data + table(rows)), {}, _expected(samples)


def write_json(folder: Path, samples: int, declared: int) -> Written:
    """A document with a list of objects below a key, by the standard library."""
    data = json.dumps({"version": 1, "data": _records(samples)}, indent=1)
    return _one(folder, declared, data), {"records": ["data"]}, _expected(samples)


def write_json_columns(folder: Path, samples: int, declared: int) -> Written:
    """An object of lists."""
    data = json.dumps({"labels": _labels(samples).tolist(), "images": _images(samples).tolist()})
    return _one(folder, declared, data), {"orient": "columns"}, _expected(samples)


def write_cifar(folder: Path, samples: int, declared: int) -> Written:
    """An archive of two batches, the second half first."""
    half, images, labels = samples // 2, _images(samples), _labels(samples).tolist()
    data = tarred(member("b2", batch(images[half:], labels[half:])), member("b1", batch(images[:half], labels[:half])))
    return _one(folder, declared, data, members=("b1", "b2")), {}, _expected(samples)


def write_lines(folder: Path, samples: int, declared: int) -> Written:
    """A line a sample, one of them empty, one with a separator that is no LF."""
    texts = ["", "two\u2028lines, one sample", *(f"caf\u00e9 {n}" for n in range(samples - 2))]
    file = put(folder / "data", "".join(f"{t}\n" for t in texts))
    return split(column(file, "text", samples=declared, dtype="str")), {"unit": "lines"}, {"train.text": texts}


def write_qa(folder: Path, samples: int, declared: int) -> Written:
    """Pairs of three levels."""
    pairs = [(f"What is {n}?", f"It is {n}.") for n in range(samples)]
    text = "\n\n".join(f"Q: {q}\nA: {a}" for q, a in pairs) + "\n"
    file = put(folder / "data", text)
    counts = [1, samples - 2, 1]
    columns = (
        column(file, "questions", samples=declared, dtype="str"),
        column(file, "answers", samples=declared, dtype="str"),
        column(file, "levels", samples=declared, dtype="int64"),
        column(file, "text", samples=declared, dtype="str", per="split"),
    )
    expected = {
        "train.questions": [q for q, _ in pairs],
        "train.answers": [a for _, a in pairs],
        "train.levels": np.repeat([1, 2, 3], counts),
        "train.text": [text],
    }
    return split(*columns), {"levels": {"train": counts}}, expected


def write_svmlight(folder: Path, samples: int, declared: int) -> Written:
    """A line a sample, without the pixels that are 0."""
    rows = zip(_images(samples), _labels(samples), strict=True)
    lines = [" ".join([f"{y}", *(f"{i}:{v}" for i, v in enumerate(image.flat, 1) if v)]) + "\n" for image, y in rows]
    file = put(folder / "data", "".join(lines))
    columns = (
        column(file, samples=declared, shape=(3, 4), key="features"),
        column(file, "labels", samples=declared, dtype="int64", classes=CLASSES),
    )
    return split(*columns), {}, _expected(samples)


def write_texts(folder: Path, samples: int, declared: int) -> Written:
    """A tar archive of a text a sample, the last one first, with labels by folder."""
    names = [f"{CLASSES[n % 3]}/{n:05}.txt" for n in range(samples)]
    file = put(folder / "data", tarred(*(member(name, f"caf\u00e9 {name}".encode()) for name in reversed(names))))
    columns = (
        column(file, "texts", samples=declared, dtype="str"),
        column(file, "labels", samples=declared, dtype="int64", classes=CLASSES),
    )
    texts = [f"caf\u00e9 {name}" for name in sorted(names)]
    labels = [name.partition("/")[0] for name in sorted(names)]
    return split(*columns, members=("**/*.txt",)), {}, {"train.texts": texts, "train.labels": labels}


def _hdf5(folder: Path, samples: int, declared: int, **how: Any) -> Written:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, values in (("labels", _labels(samples).astype(">i2")), ("images", _images(samples))):
            file.create_dataset(name, data=values, **how)
    return _one(folder, declared, out.getvalue()), {}, _expected(samples)


def write_hdf5(folder: Path, samples: int, declared: int) -> Written:
    """Two data sets, each in one piece."""
    return _hdf5(folder, samples, declared)


def write_hdf5_chunked(folder: Path, samples: int, declared: int) -> Written:
    """Two data sets in compressed chunks."""
    return _hdf5(folder, samples, declared, chunks=True, compression="gzip", shuffle=True, fletcher32=True)


def _mat(folder: Path, samples: int, declared: int, *, compressed: bool) -> Written:
    out = io.BytesIO()
    held = {"other": np.eye(3), "labels": _labels(samples).astype("u1"), "images": _images(samples)}
    scipy.io.savemat(out, held, do_compression=compressed)
    return _one(folder, declared, out.getvalue()), {}, _expected(samples)


def write_mat(folder: Path, samples: int, declared: int) -> Written:
    """Three variables by SciPy, one of which nobody asks for."""
    return _mat(folder, samples, declared, compressed=False)


def write_mat_compressed(folder: Path, samples: int, declared: int) -> Written:
    """The same, compressed."""
    return _mat(folder, samples, declared, compressed=True)


def write_images(folder: Path, samples: int, declared: int) -> Written:
    """A tar archive of a PNG a sample, the last one first, with labels by folder."""
    packed = []
    for n, image in enumerate(_images(samples)):
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        packed.append(member(f"{n:05}/{CLASSES[n % 3]}/1.png", out.getvalue()))
    file = put(folder / "data", tarred(*reversed(packed)))
    columns = (
        column(file, samples=declared, shape=(3, 4)),
        column(file, "labels", samples=declared, dtype="int64", classes=CLASSES),
    )
    labels = [CLASSES[n % 3] for n in range(samples)]
    expected = {"train.images": _images(samples), "train.labels": labels}
    return split(*columns, members=("**/*.png",)), {}, expected


def write_audio(folder: Path, samples: int, declared: int) -> Written:
    """A tar archive of a WAV file a sample, by the wave module, the last one first, with labels by folder."""
    packed = []
    for n, image in enumerate(_images(samples)):
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setparams((4, 1, 8000, 3, "NONE", ""))
            file.writeframes(image.tobytes())
        packed.append(member(f"{n:05}/{CLASSES[n % 3]}/1.wav", out.getvalue()))
    data = put(folder / "data", tarred(*reversed(packed)))
    columns = (
        column(data, samples=declared, shape=(3, 4)),
        column(data, "labels", samples=declared, dtype="int64", classes=CLASSES),
    )
    expected = {"train.images": _images(samples), "train.labels": [CLASSES[n % 3] for n in range(samples)]}
    return split(*columns, members=("**/*.wav",)), {"rate": 8000}, expected


def write_records(folder: Path, samples: int, declared: int) -> Written:
    """A byte for the label and twelve for the pixels, behind a header."""
    rows = zip(_images(samples), _labels(samples), strict=True)
    data = b"head" + b"".join(bytes([label]) + image.tobytes() for image, label in rows)
    parts = [{"key": "labels", "dtype": "uint8"}, {"key": "images", "dtype": "uint8", "shape": [3, 4]}]
    return _one(folder, declared, data), {"record": parts, "header_bytes": 4}, _expected(samples)


SAMPLES = {
    "idx": Sample("idx", write_idx),
    "npy": Sample("npy", write_npy),
    "npy-fortran": Sample("npy", write_npy_fortran),
    "npz": Sample("npz", write_npz),
    "npz-objects": Sample("npz", write_npz_objects),
    "npy-text": Sample("npy", write_npy_text),
    "pickle": Sample("pickle", write_pickle),
    "pickle-tuple": Sample("pickle", write_pickle_tuple),
    "csv": Sample("csv", write_csv),
    "csv-bare": Sample("csv", write_csv_bare),
    "parquet": Sample("parquet", write_parquet),
    "parquet-columns": Sample("parquet", write_parquet_columns),
    "arrow-file": Sample("arrow", write_arrow_file),
    "arrow-stream": Sample("arrow", write_arrow_stream),
    "arff": Sample("arff", write_arff),
    "jsonl": Sample("jsonl", write_jsonl),
    "json": Sample("json", write_json),
    "json-columns": Sample("json", write_json_columns),
    "cifar-python": Sample("cifar-python", write_cifar),
    "text-lines": Sample("text", write_lines),
    "qa-text": Sample("qa-text", write_qa),
    "svmlight": Sample("svmlight", write_svmlight),
    "texts": Sample("texts", write_texts),
    "records": Sample("records", write_records),
    "hdf5": Sample("hdf5", write_hdf5),
    "hdf5-chunked": Sample("hdf5", write_hdf5_chunked),
    "mat": Sample("mat", write_mat),
    "mat-compressed": Sample("mat", write_mat_compressed),
    "images": Sample("images", write_images),
    "audio": Sample("audio", write_audio),
}

every = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
# These are compressed inside, and are not read from front to end.
_INSIDE = ("npz", "parquet", "arrow")
_WHOLE = {name: sample for name, sample in SAMPLES.items() if sample.form not in _INSIDE}
compressible = pytest.mark.parametrize("sample", _WHOLE.values(), ids=_WHOLE)


def test_every_format_is_here() -> None:
    """A format that nobody added to this suite fails it."""
    assert {sample.form for sample in SAMPLES.values()} == set(formats.known())


def same(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal columns, values and shapes; labels may have any whole dtype."""
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, list):
            assert actual[name] == values
        else:
            np.testing.assert_array_equal(actual[name], values, strict=not name.endswith("labels"))
            assert actual[name].dtype.isnative


class TestRoundTrip:
    """What the format's own writer wrote comes back equal."""

    @every
    def test_a_few_samples_come_back(self, sample: Sample, tmp_path: Path) -> None:
        """Values, shapes and dtypes."""
        result, options, expected = sample.write(tmp_path, 6, 6)

        same(read(sample.form, result, **options), expected)

    @every
    @pytest.mark.slow
    def test_many_samples_come_back_in_blocks_that_tile(self, sample: Sample, tmp_path: Path) -> None:
        """No gap and no overlap, over more than one block where the format streams."""
        result, options, expected = sample.write(tmp_path, 9000, 9000)

        same(read(sample.form, result, **options), expected)

    @compressible
    def test_compression_is_seen_in_the_bytes_not_the_name(self, sample: Sample, tmp_path: Path) -> None:
        """The name says nothing, the magic number everything."""
        result, options, expected = sample.write(tmp_path, 6, 6)
        whole = {file: file.read_bytes() for file in tmp_path.iterdir()}
        for compress in COMPRESSORS.values():
            for file, data in whole.items():
                put(file, compress(data))

            same(read(sample.form, result, **options), expected)

    @every
    def test_two_splits_do_not_mix(self, sample: Sample, tmp_path: Path) -> None:
        """Each split has its own files and its own values."""
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        first, options, expected = sample.write(tmp_path / "a", 6, 6)
        second, _, _ = sample.write(tmp_path / "b", 6, 6)
        columns = {n: type(c)(**{**vars(c), "split": "test"}) for n, c in second.columns.items()}
        other = Split("test", 6, columns, second.file, second.members)
        if "levels" in options:
            options["levels"]["test"] = options["levels"]["train"]

        found = read(sample.form, first, other, **options)

        same(found, expected | {k.replace("train", "test"): v for k, v in expected.items()})


class TestDamage:
    """What is damaged is an error that names the file, never a shorter or another array."""

    @every
    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
    def test_a_pipe_in_place_of_a_file_is_not_waited_for(self, sample: Sample, tmp_path: Path) -> None:
        """Somebody may put one there after the file was hashed."""
        result, options, _ = sample.write(tmp_path, 6, 6)
        for file in tmp_path.iterdir():
            file.unlink()
            os.mkfifo(file)

        with pytest.raises((OSError, DecodeError), match="it is no regular file"):
            read(sample.form, result, **options)

    @every
    def test_an_empty_file_is_an_error(self, sample: Sample, tmp_path: Path) -> None:
        """Nothing is not zero samples."""
        result, options, _ = sample.write(tmp_path, 6, 6)
        for file in tmp_path.iterdir():
            put(file, b"")
        if sample.form == "text":
            assert read(sample.form, result, **options) == {"train.text": []}  # no line, which the count then catches
            return

        with pytest.raises(DecodeError) as caught:
            read(sample.form, result, **options)

        assert str(caught.value).startswith(str(caught.value.path))

    @every
    def test_a_file_cut_short_is_an_error_or_comes_out_shorter(self, sample: Sample, tmp_path: Path) -> None:
        """Text has no end of its own, nor has a tar archive; there only the count can tell. Everything else must."""
        result, options, expected = sample.write(tmp_path, 60, 60)
        whole = {file: file.read_bytes() for file in tmp_path.iterdir()}
        for part in (0.01, 0.3, 0.7, 0.99):
            for file, data in whole.items():
                put(file, data[: int(len(data) * part)])

            if sample.form in ("arff", "csv", "jsonl", "svmlight", "text", "texts", "images", "audio"):
                with contextlib.suppress(DecodeError):
                    read(sample.form, result, **options)
            elif sample.form == "cifar-python" and part > 0.2:
                same(read(sample.form, result, **options), expected)  # cut within the zeros that end a tar archive
            else:
                with pytest.raises(DecodeError) as caught:
                    read(sample.form, result, **options)
                assert caught.value.path in whole, part

    @compressible
    def test_a_compressed_file_cut_short_is_always_an_error(self, sample: Sample, tmp_path: Path) -> None:
        """The checksum at the end is what says that all came."""
        result, options, _ = sample.write(tmp_path, 60, 60)
        whole = {file: file.read_bytes() for file in tmp_path.iterdir()}
        for kind in ("gzip", "bz2", "xz"):
            for file, data in whole.items():
                put(file, COMPRESSORS[kind](data)[:-3])

            with pytest.raises(DecodeError) as caught:
                read(sample.form, result, **options)

            assert caught.value.reason == f"its {kind} data is cut short"

    @every
    def test_what_follows_the_end_is_an_error(self, sample: Sample, tmp_path: Path) -> None:
        """A file is all of what its format says, and nothing else."""
        result, options, _ = sample.write(tmp_path, 6, 6)
        for file in tmp_path.iterdir():
            put(file, file.read_bytes() + b"more\0\xff")

        with pytest.raises(DecodeError):
            read(sample.form, result, **options)


class TestBudget:
    """What is declared is all that is ever decoded."""

    @every
    def test_more_samples_than_declared_are_refused(self, sample: Sample, tmp_path: Path) -> None:
        """With both numbers."""
        result, options, _ = sample.write(tmp_path, 8, 6)

        with pytest.raises(ContentError) as caught:
            read(sample.form, result, **options)

        assert caught.value.expected != caught.value.actual

    @every
    def test_fewer_samples_than_declared_are_handed_on_or_refused(self, sample: Sample, tmp_path: Path) -> None:
        """A decoder never makes samples up: what it yields is what the file has."""
        result, options, expected = sample.write(tmp_path, 6, 8)

        try:
            same(read(sample.form, result, **options), expected)
        except ContentError:
            # a batch has no place if it is not its share, and records have no end but that of the file
            assert sample.form in ("cifar-python", "records")

    @every
    def test_an_error_survives_the_way_between_processes(self, sample: Sample, tmp_path: Path) -> None:
        """Worker processes raise these."""
        result, options, _ = sample.write(tmp_path, 8, 6)

        with pytest.raises(ContentError) as caught:
            read(sample.form, result, **options)
        copy = pickle.loads(pickle.dumps(caught.value))

        assert (str(copy), vars(copy)) == (str(caught.value), vars(caught.value))
        assert copy.aspect == "samples"
        assert copy.column in map(str, result.columns.values()) or copy.split == result.name


class TestDtypes:
    """The element type is the file's own, in this machine's byte order."""

    @pytest.mark.parametrize("code", ["u1", "i1", "i2", "i4", "f4", "f8"])
    def test_idx_has_six(self, code: str, tmp_path: Path) -> None:
        """All big end first on disk."""
        values = np.array([[0, 1], [100, 7]], code)
        result = split(column(put(tmp_path / "f", idx(values)), samples=2, shape=(2,), dtype=values.dtype.name))

        np.testing.assert_array_equal(read("idx", result)["train.images"], values, strict=True)

    @pytest.mark.parametrize(
        ("form", "code"),
        [
            *(("npy", order + code) for order in "<>" for code in NUMBERS),
            *(("pickle", ">" + code) for code in NUMBERS),
            ("npz", ">f4"),  # whose arrays are NPY inside
        ],
    )
    def test_numpys_own_formats_have_all(self, form: str, code: str, tmp_path: Path) -> None:
        """In either byte order; pickles of this machine's own are read by every other test."""
        values = np.array([[0, 1], [1, 0], [1, 1]], code)
        data = {"npy": npy(values), "npz": npz(images=values), "pickle": pickle.dumps({"images": values})}[form]
        result = split(column(put(tmp_path / "f", data), samples=3, shape=(2,), dtype=values.dtype.name))

        found = read(form, result)["train.images"]

        np.testing.assert_array_equal(found, values.astype(values.dtype.newbyteorder("=")), strict=True)

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float16", "float32", "float64", "bool"])
    def test_csv_gives_the_declared_one(self, dtype: str, tmp_path: Path) -> None:
        """Text has none of its own."""
        top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
        result = split(column(put(tmp_path / "f", f"images\n0\n1\n{top}\n"), dtype=dtype))

        expected = np.array([0, 1, top], dtype)
        np.testing.assert_array_equal(read("csv", result)["train.images"], expected, strict=True)

    def test_every_float32_survives_a_table(self, tmp_path: Path) -> None:
        """Nine digits bring back the same bits."""
        values = np.random.default_rng(0).integers(0, 2**31 - 2**24, 5000).astype(np.uint32).view(np.float32)
        values = values[np.isfinite(values)]
        file = put(tmp_path / "f", table([["images"], *([repr(float(v))] for v in values)]))

        found = read("csv", split(column(file, samples=len(values), dtype="float32")))["train.images"]

        np.testing.assert_array_equal(found, values, strict=True)
