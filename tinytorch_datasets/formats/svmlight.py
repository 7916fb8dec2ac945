"""svmlight, the text of LIBSVM: a line a sample, pairs of index and value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets.errors import DecodeError, Problems, did_you_mean
from tinytorch_datasets.formats import HEAD_BYTES, ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import Block, ByteSource, Column, Split
from tinytorch_datasets.readers.stream import Stream, utf8_with_lf
from tinytorch_datasets.readers.table import without_compression
from tinytorch_datasets.readers.text import BOM, LONGEST_LINE, opened_text

FEATURES, LABELS, QID = "features", "labels", "qid"
KEYS = (FEATURES, LABELS, QID)

# The numbers are doubles, LIBSVM's and SVMlight's alike: from here on they do not hold every whole number.
EXACT = 2**53

_NUMBER = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_IS_NUMBER = re.compile(_NUMBER)
_COMMENT = re.compile(rb"#[^\n]*")
_QID = re.compile(rb"^([ \t]*[^\s:]+[ \t]+)qid:([0-9]{1,18})(?=[ \t\n])", re.MULTILINE)
_PLAIN = b"0123456789+-.eE: \t\n"

# A block of samples: they are dense, so a short line may come to a long row.
BLOCK_BYTES = 4 << 20
# An array of this size is none for a course, and its file holds next to nothing of it.
LARGEST_DENSE = 16 << 30
_ROW = re.compile(rb"%s(?:,%s)*(?:[ \t]+qid:[0-9]+)?(?:[ \t]+[0-9]+:%s)*" % (_NUMBER, _NUMBER, _NUMBER))
_ENDINGS = (".svm", ".svmlight", ".libsvm")


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """A first index that no file has."""
    if options.get("index_from", 1) not in (0, 1):
        yield ("index_from",), f"must be 0 or 1, is {options['index_from']}"


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize rows of pairs. One pair a row may be a time of day (7 12:30): that is not certain."""
    text = _COMMENT.sub(b"", head.removeprefix(BOM))
    rows = [row.strip() for row in (text if len(head) < HEAD_BYTES else text.rpartition(b"\n")[0]).split(b"\n")]
    rows = [row for row in rows if row]
    most = max((row.count(b":") - row.count(b"qid:") for row in rows), default=0)
    if not most or not all(map(_ROW.fullmatch, rows)):
        return None
    is_certain = most > 1 or without_compression(path.name.lower()).endswith(_ENDINGS)
    return Detection(Certainty.CERTAIN if is_certain else Certainty.LIKELY, lambda: _inspect(path))


def _inspect(path: Path) -> FileInfo:
    """Return how many samples and features a file has, and which labels."""
    samples, lowest, highest, has_qid, is_whole = 0, 1, 0, True, True
    with opened_text(ByteSource(path), ()) as stream:
        for rows in _Reader(utf8_with_lf(stream)).blocks():
            samples += len(rows.labels)
            lowest = min(lowest, int(rows.indices.min(initial=1)))
            highest = max(highest, int(rows.indices.max(initial=0)))
            has_qid = has_qid and rows.qids is not None
            is_whole = is_whole and bool(((rows.labels == np.floor(rows.labels)) & (np.abs(rows.labels) < EXACT)).all())
    features = highest + 1 - lowest
    if samples * features * 8 > LARGEST_DENSE:
        reason = f"it has {features:,} features of {samples:,} samples, more than can be an array with all its zeros"
        raise DecodeError(path, reason, hint="Use a smaller part of it, or another data set.")
    if not features:
        raise DecodeError(path, "it has labels, and no feature of any sample", hint="Leave it out.")
    arrays = [
        ArrayInfo(FEATURES, "float64", (samples, features), field=FEATURES),
        ArrayInfo(LABELS, "int64" if is_whole else "float64", (samples,), field=LABELS),
    ]
    if has_qid:
        arrays.append(ArrayInfo(QID, "int64", (samples,), field=QID, note="the query that a sample belongs to"))
    return FileInfo(path, "svmlight", tuple(arrays), {} if lowest else {"index_from": 0})


def _join(infos: Sequence[FileInfo]) -> Sequence[FileInfo]:
    """Count from 0 if one of the files does, and up to the last index of all: a sparse file has not each of them."""
    begins = [info.options.get("index_from", 1) for info in infos]
    widest = max(info.arrays[0].shape[1] + begin for info, begin in zip(infos, begins, strict=True))
    options = {"index_from": 0} if 0 in begins else {}
    is_whole = all(info.arrays[1].dtype == "int64" for info in infos)
    joined = []
    for info in infos:
        features, labels, *others = info.arrays
        features = replace(features, shape=(features.shape[0], widest - min(begins)))
        labels = replace(labels, dtype="int64" if is_whole else "float64")
        joined.append(replace(info, arrays=(features, labels, *others), options=options))
    return joined


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
        for source in dict.fromkeys(column.source for column in split.columns.values()):
            columns = [column for column in split.columns.values() if column.source == source]
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
    reader = _Reader(stream, index_from, features, needs_qid=any(column.key == QID for column in columns))
    row_bytes = max((column.nbytes // column.samples for column in columns), default=1)
    most_rows = max(1, BLOCK_BYTES // max(row_bytes, 1))
    start = 0
    for block in reader.blocks():
        if start + len(block.labels) > split.samples:
            line = block.lines[split.samples - start]
            stream.refuse(
                f"it has more rows than the {split.samples:,} that {split.name} declares (line {line:,})",
                aspect="samples",
                expected=split.samples,
                actual=f"more than {split.samples}",
                split=split.name,
            )
        for first in range(0, len(block.labels), most_rows):
            rows = block.part(first, first + most_rows)
            for column in columns:
                yield Block(column, start + first, _values(stream, column, rows, index_from))
        start += len(block.labels)
    if not start:
        stream.fail("it has no line with a label")


def _values(stream: Stream, column: Column, rows: _Rows, index_from: int) -> np.ndarray:
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
            wrong, says = np.abs(values) >= EXACT, f"a number that a double may not hold exactly, and {dtype} must"
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


@dataclass(frozen=True)
class _Rows:
    """Some samples: a label, a line number, and maybe a query each; and all pairs, with the row of each."""

    labels: np.ndarray
    lines: np.ndarray
    qids: np.ndarray | None
    rows: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    def part(self, first: int, last: int) -> _Rows:
        """Return the rows from `first` up to before `last`."""
        begin, end = np.searchsorted(self.rows, [first, last])
        qids = None if self.qids is None else self.qids[first:last]
        pairs = (self.rows[begin:end] - first, self.indices[begin:end], self.values[begin:end])
        return _Rows(self.labels[first:last], self.lines[first:last], qids, *pairs)


class _Reader:
    """The rows of a text, in blocks.

    A block of whole lines is read at once by NumPy. Where it is anything but plain, it is read line by line, which
    either finds out what is wrong and where, or gives the same.
    """

    def __init__(
        self, stream: Stream, index_from: int = 0, features: Column | None = None, *, needs_qid: bool = False
    ) -> None:
        self.stream, self.index_from, self.features, self.needs_qid = stream, index_from, features, needs_qid
        width = math.prod(features.sample_shape) if features else None
        self.last = None if width is None else index_from + width - 1
        self.longest_line = LONGEST_LINE + 32 * (width or 0)  # how many pairs a line may have is declared

    def blocks(self) -> Iterator[_Rows]:
        """Yield all rows, each block of them from as many lines as are read at once."""
        line, rest, chunk = 1, b"", self.stream.chunk().removeprefix(BOM)
        while chunk:
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield from self._block(whole + b"\n", line)
                line += whole.count(b"\n") + 1
            if len(rest) > self.longest_line:
                self.stream.fail(f"line {line:,} has more than {self.longest_line:,} bytes in one line")
            chunk = self.stream.chunk()
        if rest:
            yield from self._block(rest + b"\n", line)

    def _block(self, lines: bytes, number: int) -> Iterator[_Rows]:
        rows = self._read_at_once(lines, number) or self._read_by_line(lines, number)
        if len(rows.labels):
            yield rows

    def _read_at_once(self, text: bytes, number: int) -> _Rows | None:
        """Return the rows of lines that are plain in every way, and None of others."""
        text = _COMMENT.sub(b"", text) if b"#" in text else text
        text = text.replace(b"\r\n", b"\n") if b"\r" in text else text
        qids = [qid for _, qid in _QID.findall(text)] if b"qid:" in text else []
        text = _QID.sub(rb"\1", text) if qids else text
        if text.translate(None, _PLAIN):
            return None
        try:
            numbers = np.fromstring(text.replace(b":", b" "), sep=" ")  # the text as ASCII; bytes are no copy
        except (ValueError, DeprecationWarning):  # one of them is no number
            return None
        characters = np.frombuffer(text, np.uint8)
        is_blank = characters <= 32
        is_start = ~is_blank
        is_start[1:] &= is_blank[:-1]
        starts, colons = np.flatnonzero(is_start), np.flatnonzero(characters == ord(":"))
        line_of = np.searchsorted(np.flatnonzero(characters == ord("\n")), starts)
        is_label = np.ones(len(starts), np.bool_)
        is_label[1:] = line_of[1:] != line_of[:-1]
        # One colon in each word, and inside it, but none in the first of a line: so each other is a pair.
        pairs = starts[~is_label]
        if len(colons) != len(pairs) or len(numbers) != len(starts) + len(pairs):
            return None
        if (colons <= pairs).any() or (np.searchsorted(starts, colons) != np.flatnonzero(~is_label) + 1).any():
            return None
        not_digit = np.cumsum((characters < ord("0")) | (characters > ord("9")), dtype=np.int32)
        if (not_digit[colons] - not_digit[pairs] > 1).any() or (characters[pairs] < ord("0")).any():
            return None
        words = np.cumsum(~is_label)
        label_at = np.flatnonzero(is_label) + words[is_label]
        is_pair = np.ones(len(numbers), np.bool_)
        is_pair[label_at] = False
        indices, values = numbers[is_pair].reshape(-1, 2).T
        rows = np.cumsum(is_label)[~is_label] - 1
        same_row = rows[1:] == rows[:-1]
        if not np.isfinite(numbers).all() or (same_row & (indices[1:] <= indices[:-1])).any():
            return None
        if (indices < self.index_from).any() or (indices > (EXACT if self.last is None else self.last)).any():
            return None
        if len(qids) != len(label_at) and (qids or self.needs_qid):
            return None
        return _Rows(
            numbers[label_at],
            line_of[is_label] + number,
            np.array(qids, np.int64) if qids else None,
            rows,
            indices.astype(np.int64),
            values,
        )

    def _read_by_line(self, text: bytes, number: int) -> _Rows:
        """Return the rows of lines, each looked at alone."""
        labels, lines, qids, rows = list[float](), list[int](), list[int | None](), list[int]()
        indices, values = list[int](), list[float]()
        for at, line in enumerate(text.split(b"\n")[:-1], number):
            words = line.partition(b"#")[0].split()
            if not words:
                continue
            labels.append(self._label(at, words[0]))
            lines.append(at)
            qid, pairs = self._qid(at, words)
            qids.append(qid)
            last = -1
            for pair in pairs:
                index, value = self._pair(at, pair)
                if index <= last:
                    what = f"index {index:,} is there twice" if index == last else f"index {index:,} follows {last:,}"
                    self._fail(at, f"{what}; the indices of a line increase")
                rows.append(len(labels) - 1)
                indices.append(index)
                values.append(value)
                last = index
        has_qid = bool(qids) and None not in qids
        return _Rows(
            np.array(labels, np.float64),
            np.array(lines, np.int64),
            np.array(qids, np.int64) if has_qid else None,
            np.array(rows, np.int64),
            np.array(indices, np.int64),
            np.array(values, np.float64),
        )

    def _label(self, line: int, word: bytes) -> float:
        if b"," in word:
            hint = "A sample has one label here: write an entry of another format for such data."
            self._fail(line, f"its label {_shown(word)} is several, and a sample has one", hint)
        if b":" in word:
            self._fail(line, f"it begins with {_shown(word)}, where its label should be")
        return self._number(line, word)

    def _qid(self, line: int, words: list[bytes]) -> tuple[int | None, list[bytes]]:
        if len(words) > 1 and words[1].startswith(b"qid:"):
            digits = words[1][4:]
            if not digits.isdigit() or len(digits) > 18:
                self._fail(line, f"{_shown(words[1])} is no number of a query")
            return int(digits), words[2:]
        if self.needs_qid:
            self._fail(line, "it has no qid behind its label")
        return None, words[1:]

    def _pair(self, line: int, word: bytes) -> tuple[int, float]:
        index, colon, value = word.partition(b":")
        if not colon:
            self._fail(line, f"{_shown(word)} is no pair of an index and a value")
        if not index.isdigit():
            self._fail(line, f"the index {_shown(index)} in {_shown(word)} is not a whole number")
        at = int(index) if len(index) <= 18 else 10**18
        if at < self.index_from:
            hint = "If the file counts from 0, declare it: options: {index_from: 0}."
            self._fail(line, f"index {at}, and indices count from {self.index_from}", hint)
        if self.last is not None and at > self.last:
            assert self.features is not None
            what = f"line {line:,}: index {_shown(index)} is beyond the last of {self.features}, which is {self.last:,}"
            self.stream.refuse(what, aspect="shape", expected=self.last, actual=at, column=str(self.features))
        return at, self._number(line, value)

    def _number(self, line: int, word: bytes) -> float:
        if not _IS_NUMBER.fullmatch(word):
            self._fail(line, f"{_shown(word)} is not a number")
        if not math.isfinite(number := float(word)):
            self._fail(line, f"{_shown(word)} is more than a double can hold")
        return number

    def _fail(self, line: int, what: str, hint: str | None = None) -> NoReturn:
        self.stream.fail(f"line {line:,}: {what}", hint=hint)


def _shown(word: bytes) -> str:
    return repr((word if len(word) <= 40 else word[:40] + b"...").decode("utf-8", "backslashreplace"))
