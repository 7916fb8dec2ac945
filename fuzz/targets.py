"""What is fuzzed: each target takes any bytes, and may raise a DatasetError and nothing else.

Nothing here needs atheris, so that the seeds go through every target in the ordinary tests too.
"""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinytorch_datasets import formats, load_manifest
from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.plan import Column, Split
from tinytorch_datasets.readers.pickle import globals_of, load
from tinytorch_datasets.verify import arrays as value_checks

Target = Callable[[bytes, Path], None]

SAMPLES = 3
INSTRUCTIONS = 10_000
DECLARED_BYTES = 4096
TAR_BLOCK = 512
CLASSES = ("ant", "bee", "cat")

FLOAT_TABLE: dict[str, Any] = {"dtype": "float32", "shape": (2,)}
TEXT_TABLE: dict[str, Any] = {"dtype": "str"}
LABEL_TABLE: dict[str, Any] = {"dtype": "int64", "classes": CLASSES}
RAGGED: dict[str, Any] = {"dtype": "int64", "shape": (None,)}
RECORDS: tuple[dict[str, Any], ...] = (
    {"dtype": "int64", "missing": (None,), "missing_value": -1},
    {"dtype": "float32", "shape": (2,)},
    TEXT_TABLE,
    {"dtype": "bool", "key": "a.b"},
)
TABLES = (FLOAT_TABLE, {"dtype": "uint8", "shape": (2,)}, LABEL_TABLE, TEXT_TABLE, {"dtype": "bool"})


def column(file: Path, field: str = "images", **declared: Any) -> Column:
    """One column of three samples."""
    return Column(split="train", field=field, samples=SAMPLES, file=file, **{"key": field, **declared})


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """To refuse is to be well."""
    with contextlib.suppress(DatasetError):
        yield


def decode(form: str, *columns: Column, members: tuple[str, ...] = (), **options: Any) -> None:
    """Decode and check, and hold that what comes out unrefused is all that was declared."""
    split = Split("train", SAMPLES, {c.field: c for c in columns}, file=columns[0].file, members=members)
    with refused():
        seen = dict.fromkeys(split.columns, 0)
        for block in value_checks.checked(formats.of(form).decode([split], **options), [split]):
            seen[block.column.field] += len(block.values)
        assert all(count == split.columns[field].count for field, count in seen.items())


def unpickler(data: bytes, folder: Path) -> None:
    """Pickles as they are loaded, and as an audit reads their names."""
    with refused():
        load(data, folder / "file", most=INSTRUCTIONS, declared=DECLARED_BYTES)
    with refused():
        globals_of(data)


def idx(data: bytes, folder: Path) -> None:
    """IDX, of a small type and of a large one."""
    file = folder / "file"
    file.write_bytes(data)
    decode("idx", column(file, dtype="uint8", shape=(2,)))
    decode("idx", column(file, dtype="float64", shape=(2, 2)))


def npy(data: bytes, folder: Path) -> None:
    """NPY: the header is a line of Python."""
    file = folder / "file"
    file.write_bytes(data)
    decode("npy", column(file, dtype="uint8", shape=(2,)))
    decode("npy", column(file, dtype="float64", shape=(2, 2)))


def tar(data: bytes, folder: Path) -> None:
    """Archives as they are, with their headers' checksums set right, and compressed."""
    file = folder / "file"
    splits = (
        column(file, dtype="uint8", shape=(3, 32, 32)),
        column(file, "labels", dtype="int64", classes=CLASSES),
    )
    for form in (data, with_checksums(data), gzip.compress(with_checksums(data), 1)):
        file.write_bytes(form)
        decode("cifar-python", *splits, members=("b",))


def svmlight(data: bytes, folder: Path) -> None:
    """Pairs of index and value, and what `add` is told of them."""
    file = folder / "file"
    file.write_bytes(data)
    decode("svmlight", column(file, "features", dtype="float32", shape=(4,)), column(file, "labels", dtype="float64"))
    decode("svmlight", column(file, "qid", dtype="uint8"), index_from=0)
    with refused():
        if detection := formats.of("svmlight").detect(data, file):
            detection.inspect()


def texts(data: bytes, folder: Path) -> None:
    """A text a member, of zip archives and of tars with right checksums; and what `add` is told of them."""
    file = folder / "file"
    fields = (column(file, "text", dtype="str"), column(file, "labels", dtype="int64", classes=CLASSES))
    for form in (data, with_checksums(data)):
        file.write_bytes(form)
        with refused():
            for _ in formats.of("texts").decode(
                [Split("train", SAMPLES, {c.field: c for c in fields}, file, ("**/*",))]
            ):
                pass
        with refused():
            if detection := formats.of("texts").detect(form, file):
                detection.inspect()


def audio(data: bytes, folder: Path) -> None:
    """A recording, of any length and of one."""
    file = folder / "1.wav"
    file.write_bytes(data)
    for shape in ((None,), (None, 2), (3,)):
        for dtype in ("uint8", "int16", "int32", "float32"):
            fields = (column(folder, "recording", dtype=dtype, shape=shape), column(folder, "rate", dtype="int64"))
            split = Split("train", SAMPLES, {c.field: c for c in fields}, folder, ("1.wav",))
            with refused():
                for _ in formats.of("audio").decode([split], length="fit" if None not in shape else None):
                    pass


def images(data: bytes, folder: Path) -> None:
    """A picture, of any size and of one, and converted."""
    file = folder / "1.png"
    file.write_bytes(data)
    sizes: list[tuple[tuple[int | None, ...], dict[str, Any]]] = [
        ((None, None), {}),
        ((None, None, 3), {"mode": "RGB", "orientation": "apply"}),
        ((2, 3, 4), {"mode": "RGBA", "resize": "bilinear"}),
    ]
    for shape, options in sizes:
        pixels = column(folder, "image", dtype="uint8", shape=shape)
        split = Split("train", SAMPLES, {"image": pixels}, folder, ("1.png",))
        with refused():
            for _ in formats.of("images").decode([split], **options):
                pass


def with_checksums(data: bytes) -> bytes:
    """The archive with right checksums, without which a fuzzer gets no further than its first header."""
    out, at = bytearray(data), 0
    for _ in range(8):
        header = out[at : at + TAR_BLOCK]
        if len(header) < TAR_BLOCK or not any(header):
            break
        header[148:156] = b" " * 8
        out[at + 148 : at + 156] = b"%06o\0 " % sum(header)
        with contextlib.suppress(ValueError):
            at += -int(bytes(header[124:135]).strip(b" \0") or b"0", 8) // TAR_BLOCK * -TAR_BLOCK
        at += TAR_BLOCK
    return bytes(out)


def csv(data: bytes, folder: Path) -> None:
    """Tables: the first byte says of what kind."""
    file, kind = folder / "file", data[0] if data else 0
    file.write_bytes(data[1:])
    declared = TABLES[kind % len(TABLES)]
    decode("csv", column(file, **declared), header=bool(kind & 16), delimiter=";" if kind & 32 else ",")


def arff(data: bytes, folder: Path) -> None:
    """ARFF, its numbers and its texts."""
    file = folder / "file"
    file.write_bytes(data)
    for declared in TABLES:
        decode("arff", column(file, **declared))


def records(data: bytes, folder: Path) -> None:
    """JSON Lines and JSON: the first byte says of what kind."""
    file, kind = folder / "file", data[0] if data else 0
    file.write_bytes(data[1:])
    declared = RECORDS[kind % len(RECORDS)]
    decode("jsonl", column(file, **declared))
    decode("json", column(file, **declared))
    decode("json", column(file, **declared), records="data", parents={"images": "data.x"} if kind & 16 else {})
    decode("json", column(file, **declared), orient="columns")


def qa_text(data: bytes, folder: Path) -> None:
    """Questions and answers, and the file as plain text and as lines."""
    file = folder / "file"
    file.write_bytes(data)
    fields = [column(file, field, dtype="str") for field in ("questions", "answers")]
    whole = column(file, "text", dtype="str", per="split")
    decode("qa-text", *fields, column(file, "levels", dtype="int64"), whole, levels={"train": [1, 2]})
    decode("text", whole)
    decode("text", column(file, "lines", dtype="str"), unit="lines")


def tables(data: bytes, folder: Path) -> None:
    """Parquet and Arrow: numbers, text, lists as a shape and ragged ones; and what `add` is told of them."""
    file = folder / "file"
    file.write_bytes(data)
    fields = [column(file, "number", dtype="float64", missing=(None,)), column(file, "text", dtype="str")]
    for form in ("parquet", "arrow"):
        decode(form, *fields, column(file, "pair", dtype="int64", shape=(2,)))
        with refused():
            for _ in formats.of(form).decode([Split("train", SAMPLES, {"pair": column(file, "pair", **RAGGED)})]):
                pass
            if detection := formats.of(form).detect(data, file):
                detection.inspect()


def mat(data: bytes, folder: Path) -> None:
    """MATLAB files: numbers, texts, cells, and what `add` learns of them."""
    file = folder / "file"
    file.write_bytes(data)
    for declared in ({"dtype": "uint8", "shape": (2,)}, {"dtype": "float64"}, TEXT_TABLE, LABEL_TABLE):
        decode("mat", column(file, **declared))
        decode("mat", column(file, key="a.b", **declared))
    with refused():
        for _ in formats.of("mat").decode([Split("train", SAMPLES, {"images": column(file, **RAGGED)})]):
            pass
        if detection := formats.of("mat").detect(data, file):
            detection.inspect()


def hdf5(data: bytes, folder: Path) -> None:
    """HDF5: numbers, texts and lists, and what `add` learns of them; the library that reads it is not ours."""
    file = folder / "file"
    file.write_bytes(data)
    for declared in ({"dtype": "uint8", "shape": (2,)}, TEXT_TABLE, LABEL_TABLE):
        decode("hdf5", column(file, **declared))
    with refused():
        for _ in formats.of("hdf5").decode([Split("train", SAMPLES, {"images": column(file, **RAGGED)})]):
            pass
    with refused():
        if detection := formats.of("hdf5").detect(data, file):
            detection.inspect()


def binary_records(data: bytes, folder: Path) -> None:
    """Records of a declared layout, of which one part is passed over."""
    file = folder / "file"
    file.write_bytes(data)
    record = [
        {"key": "labels", "dtype": "uint8"},
        {"dtype": "bool"},
        {"key": "images", "dtype": "float32", "shape": [2]},
    ]
    fields = [column(file, dtype="float32", shape=(2,)), column(file, "labels", **LABEL_TABLE)]
    decode("records", *fields, record=record, header_bytes=4, byte_order="big")


def manifest(data: bytes, folder: Path) -> None:
    """A manifest, and the plan of each data set in it."""
    file = folder / "datasets.yaml"
    file.write_bytes(data)
    with refused():
        loaded = load_manifest(file)
        for name in loaded.datasets:
            loaded.plan(name).under(folder)


TARGETS: dict[str, Target] = {
    "unpickler": unpickler,
    "idx": idx,
    "npy": npy,
    "tar": tar,
    "svmlight": svmlight,
    "texts": texts,
    "audio": audio,
    "images": images,
    "csv": csv,
    "arff": arff,
    "records": records,
    "qa-text": qa_text,
    "tables": tables,
    "mat": mat,
    "hdf5": hdf5,
    "binary-records": binary_records,
    "manifest": manifest,
}
