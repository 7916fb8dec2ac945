"""svmlight, the text of LIBSVM: a line a sample, pairs of index and value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import DecodeError, Problems, did_you_mean
from tinytorch_datasets.formats import HEAD_BYTES, ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import MAX_EXACT, Block, ByteSource, Column, Split
from tinytorch_datasets.readers.columns import MAX_COUNTED_CLASSES, ColumnInfo, Kind, classes_of
from tinytorch_datasets.readers.stream import Stream, utf8_with_lf
from tinytorch_datasets.readers.svmlight import COMMENT, NUMBER, RowReader, Rows
from tinytorch_datasets.readers.table import without_compression
from tinytorch_datasets.readers.text import BOM, opened_text

FEATURES, LABELS, QID = "features", "labels", "qid"
KEYS = (FEATURES, LABELS, QID)

# A block of samples: they are dense, so a short line may come to a long row.
BLOCK_BYTES = 4 << 20
# An array of this size is none for a course, and its file holds next to nothing of it.
LARGEST_DENSE = 16 << 30
_ROW = re.compile(
    rb"(?:%s(?:,%s)*(?:[ \t]+|$))?(?:qid:[0-9]+(?:[ \t]+|$))?(?:[0-9]+:%s(?:[ \t]+|$))*" % (NUMBER, NUMBER, NUMBER)
)
_ENDINGS = (".svm", ".svmlight", ".libsvm")


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """A first index that no file has."""
    if options.get("index_from", 1) not in (0, 1):
        yield ("index_from",), f"must be 0 or 1, is {options['index_from']}"


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize rows of pairs. One pair a row may be a time of day (7 12:30): that is not certain."""
    text = COMMENT.sub(b"", head.removeprefix(BOM))
    rows = [row.strip() for row in (text if len(head) < HEAD_BYTES else text.rpartition(b"\n")[0]).split(b"\n")]
    rows = [row for row in rows if row]
    most = max((row.count(b":") - row.count(b"qid:") for row in rows), default=0)
    labeled = sum(b":" not in row.split(None, 1)[0] for row in rows)  # with several labels, one line may have none
    if not most or 2 * labeled < len(rows) or not all(map(_ROW.fullmatch, rows)):
        return None
    is_certain = most > 1 or without_compression(path.name.lower()).endswith(_ENDINGS)
    return Detection(Certainty.CERTAIN if is_certain else Certainty.LIKELY, partial(_inspect, path), takes_options=True)


def _inspect(path: Path, *, index_from: int = 1) -> FileInfo:
    """Return how many samples and features a file has, and which labels."""
    samples, lowest, highest, has_qid, is_whole = 0, index_from, 0, True, True
    stored = set[float]()
    with opened_text(ByteSource(path), ()) as stream:
        for rows in RowReader(utf8_with_lf(stream)).blocks():
            samples += len(rows.labels)
            lowest = min(lowest, int(rows.indices.min(initial=1)))
            highest = max(highest, int(rows.indices.max(initial=0)))
            has_qid = has_qid and rows.qids is not None
            if len(stored) <= MAX_COUNTED_CLASSES:
                stored.update(np.unique(rows.labels).tolist())
            is_whole = is_whole and bool(
                ((rows.labels == np.floor(rows.labels)) & (np.abs(rows.labels) < MAX_EXACT)).all()
            )
    features = highest + 1 - lowest
    if samples * features * 8 > LARGEST_DENSE:
        reason = f"it has {features:,} features of {samples:,} samples, more than can be an array with all its zeros"
        raise DecodeError(path, reason, hint="Use a smaller part of it, or another data set.")
    if not features:
        raise DecodeError(path, "it has labels, and no feature of any sample", hint="Leave it out.")
    values = tuple(sorted(map(int, stored))) if is_whole and len(stored) <= MAX_COUNTED_CLASSES else ()
    labels = ArrayInfo(LABELS, "int64" if is_whole else "float64", (samples,), field=LABELS, values=values)
    arrays = [ArrayInfo(FEATURES, "float64", (samples, features), field=FEATURES), labels]
    if has_qid:
        arrays.append(ArrayInfo(QID, "int64", (samples,), field=QID, note="the query that a sample belongs to"))
    return FileInfo(path, "svmlight", tuple(arrays), {} if lowest else {"index_from": 0})


def _join(infos: Sequence[FileInfo]) -> Sequence[FileInfo]:
    """Count from 0 if one of the files does, and up to the last index of all: a sparse file has not each of them.

    Whether their labels are classes shows in all of them, too.
    """
    begins = [info.options.get("index_from", 1) for info in infos]
    widest = max(info.arrays[0].shape[1] + begin for info, begin in zip(infos, begins, strict=True))
    options = {"index_from": 0} if 0 in begins else {}
    is_whole = all(info.arrays[1].dtype == "int64" for info in infos)
    classes = _classes([info.arrays[1] for info in infos])
    joined = []
    for info in infos:
        features, labels, *others = info.arrays
        features = replace(features, shape=(features.shape[0], widest - min(begins)))
        dtype, values = "int64" if is_whole else "float64", tuple(map(int, classes or ()))
        values = () if values == tuple(range(len(values))) else values
        labels = replace(labels, dtype=dtype, classes=classes, values=values)
        joined.append(replace(info, arrays=(features, labels, *others), options=options))
    return joined


def _classes(labels: Sequence[ArrayInfo]) -> tuple[str, ...] | None:
    """Return the classes of all files' labels, by the rule for the columns of tables, or None if they are numbers."""
    values = {value for array in labels for value in array.values}
    if not all(array.values for array in labels):
        return None
    column = ColumnInfo(0, LABELS, frozenset(map(str, values)), Kind.WHOLE, "int64")
    return classes_of(column, sum(array.shape[0] or 0 for array in labels))


@decodes("svmlight", layout="file per split", check=_check, detect=_detect, join=_join)
def svmlight(splits: Sequence[Split], *, index_from: int = 1) -> Iterator[Block]:
    """LIBSVM's and SVMlight's text, plain or compressed: `label index:value index:value ...`, a line a sample.

    A field's key says what it is: `features` are the values, dense by the declared shape, 0 where a line has no pair;
    `labels` is the number at the front; `qid` the query of ranking data, which stands behind the label as `qid:7`.
    The indices of a line increase. What follows a # is a remark, and lines with nothing else are passed over. Numbers
    are read as doubles, as by LIBSVM; nan and inf are refused. So are lines of several labels (`1,2 3:4`).

    Args:
        splits: What to decode.
        index_from: The index of the first feature: 1 in LIBSVM's own files, 0 in some that programs write.

    Raises:
        DecodeError: It is not such text; the reason names the line.
        ContentError: An index is beyond the shape, a number is not of the declared dtype, or the rows are more than
            declared.

    Source: "LIBSVM: a library for support vector machines", its README, https://www.csie.ntu.edu.tw/~cjlin/libsvm/
    """
    for split in splits:
        for source, columns in split.by_source():
            with opened_text(source, columns) as stream:
                for column in columns:
                    _check_column(stream, column)
                yield from _decode(utf8_with_lf(stream), split, columns, index_from)


def _check_column(stream: Stream, column: Column) -> None:
    if column.key not in KEYS:
        reason = f"this format has no field {column.key!r}{did_you_mean(column.key, KEYS)}"
        stream.fail(reason, hint=f"There are: {', '.join(KEYS)}.")
    if column.is_text or column.per == "split":
        what = f"{column} is declared as {column.dtype}, and {column.key} are numbers of each sample"
        stream.refuse(what, aspect="dtype", expected=column.dtype, actual="float64", column=str(column))
    if column.is_ragged or (column.shape and column.key != FEATURES):
        is_one = "are the same for each" if column.key == FEATURES else "is one number a"
        what = f"{column} has the shape {column.shape}, and {column.key} {is_one} sample"
        stream.refuse(what, aspect="shape", expected="another", actual=column.shape, column=str(column))


def _decode(stream: Stream, split: Split, columns: Sequence[Column], index_from: int) -> Iterator[Block]:
    widths = {math.prod(column.sample_shape): column for column in columns if column.key == FEATURES}
    features = widths[min(widths)] if widths else None
    reader = RowReader(stream, index_from, features, needs_qid=any(column.key == QID for column in columns))
    row_bytes = max((column.nbytes // column.samples for column in columns), default=1)
    most_rows = max(1, BLOCK_BYTES // max(row_bytes, 1))
    start = 0
    for block in reader.blocks():
        if start + len(block.labels) > split.samples:
            line = block.lines[split.samples - start]
            stream.refuse_more("rows", split, f"line {line:,}")
        for first in range(0, len(block.labels), most_rows):
            rows = block.part(first, first + most_rows)
            for column in columns:
                yield Block(column, start + first, _values(stream, column, rows, index_from))
        start += len(block.labels)
    if not start:
        stream.fail("it has no line with a label")


def _values(stream: Stream, column: Column, rows: Rows, index_from: int) -> np.ndarray:
    if column.key == QID:
        assert rows.qids is not None, "the reader refuses a row that has none"
        return rows.qids if column.classes is not None else _cast(stream, column, rows.qids, rows.lines)
    if column.key == LABELS:
        return rows.labels if column.classes is not None else _cast(stream, column, rows.labels, rows.lines)
    width, dtype = math.prod(column.sample_shape), np.dtype(column.dtype)
    try:
        out = np.zeros((len(rows.labels), width), dtype)
    except (MemoryError, ValueError) as error:
        stream.fail(f"there is no room for a sample of {width:,} values", cause=error)
    where = rows.rows * width
    where += rows.indices
    where -= index_from
    out.reshape(-1)[where] = _cast(stream, column, rows.values, rows.lines, rows.rows)
    return out.reshape(len(rows.labels), *column.sample_shape)


def _cast(
    stream: Stream, column: Column, values: np.ndarray, lines: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """Return numbers in the declared dtype; what it cannot hold is an error that names the line."""
    dtype = np.dtype(column.dtype)
    if dtype.kind == "f":
        if dtype == values.dtype:
            return values
        with np.errstate(over="ignore"):
            out = values.astype(dtype)
        wrong, says = ~np.isfinite(out), f"more than {dtype} can hold"
    else:
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        wrong, says = values != np.floor(values), "not a whole number"
        if not wrong.any():
            wrong, says = (values < low) | (values > high), f"outside {low} to {high}, what {dtype} can hold"
        if not wrong.any() and values.dtype.kind == "f":
            # The numbers are doubles, LIBSVM's and SVMlight's alike.
            wrong, says = np.abs(values) >= MAX_EXACT, f"a number that a double may not hold exactly, and {dtype} must"
        out = values if wrong.any() else values.astype(dtype)
    if wrong.any():
        at = int(np.argmax(wrong))
        line, value = lines[at if rows is None else rows[at]], values[at].item()
        stream.refuse(
            f"line {line:,}: {value:g} is {says}",
            aspect="dtype",
            expected=column.dtype,
            actual=value,
            column=str(column),
        )
    return out
