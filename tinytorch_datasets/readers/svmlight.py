"""Rows of svmlight's text: labels, queries, and pairs of index and value.

A block of lines is read at once by NumPy; where it is not plain, line by line, which finds what is wrong and where.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from tinytorch_datasets.plan import MAX_EXACT, Column
from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.readers.text import BOM, LONGEST_LINE

# How many bytes are read at once: a line may be two bytes, and what is made of a line takes a hundred.
AT_ONCE = 1 << 18

NUMBER = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_IS_NUMBER = re.compile(NUMBER)
COMMENT = re.compile(rb"#[^\n]*")
_QID = re.compile(rb"^([ \t]*[^\s:]+[ \t]+)qid:([0-9]{1,18})(?=[ \t\n])", re.MULTILINE)
_PLAIN = b"0123456789+-.eE: \t\n"


@dataclass(frozen=True)
class Rows:
    """Some samples: a label, a line number, and maybe a query each; and all pairs, with the row of each."""

    labels: np.ndarray
    lines: np.ndarray
    qids: np.ndarray | None
    rows: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    def part(self, first: int, last: int) -> Rows:
        """Return the rows from `first` up to before `last`."""
        begin, end = np.searchsorted(self.rows, [first, last])
        qids = None if self.qids is None else self.qids[first:last]
        pairs = (self.rows[begin:end] - first, self.indices[begin:end], self.values[begin:end])
        return Rows(self.labels[first:last], self.lines[first:last], qids, *pairs)


class RowReader:
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

    def blocks(self) -> Iterator[Rows]:
        """Yield all rows, each block of them from as many lines as are read at once."""
        line, rest, chunk = 1, b"", self._chunk().removeprefix(BOM)
        while chunk:
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield from self._block(whole + b"\n", line)
                line += whole.count(b"\n") + 1
            if len(rest) > self.longest_line:
                self.stream.fail(f"line {line:,} has more than {self.longest_line:,} bytes in one line")
            chunk = self._chunk()
        if rest:
            yield from self._block(rest + b"\n", line)

    def _chunk(self) -> bytes:
        view = memoryview(bytearray(AT_ONCE))
        return bytes(view[: self.stream.fill(view)])

    def _block(self, lines: bytes, number: int) -> Iterator[Rows]:
        rows = self._read_at_once(lines, number) or self._read_by_line(lines, number)
        if len(rows.labels):
            yield rows

    def _read_at_once(self, text: bytes, number: int) -> Rows | None:
        """Return the rows of lines that are plain in every way, and None of others."""
        text = COMMENT.sub(b"", text) if b"#" in text else text
        text = text.replace(b"\r\n", b"\n") if b"\r" in text else text
        if not text.strip():
            none = np.empty(0, np.int64)
            return Rows(none, none, None, none, none, none)
        qids = [qid for _, qid in _QID.findall(text)] if b"qid:" in text else []
        text = _QID.sub(rb"\1", text) if qids else text
        if text.translate(None, _PLAIN):
            return None
        try:
            # What is no number ends the reading, in older versions of NumPy without an error: so one more is read.
            numbers = np.fromstring(text.replace(b":", b" ") + b" 0", sep=" ")
        except (ValueError, DeprecationWarning):
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
        if len(colons) != len(pairs) or len(numbers) != len(starts) + len(pairs) + 1:
            return None
        numbers = numbers[:-1]
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
        if (indices < self.index_from).any() or (indices > (MAX_EXACT if self.last is None else self.last)).any():
            return None
        if len(qids) != len(label_at) and (qids or self.needs_qid):
            return None
        return Rows(
            numbers[label_at],
            line_of[is_label] + number,
            np.array(qids, np.int64) if qids else None,
            rows,
            indices.astype(np.int64),
            values,
        )

    def _read_by_line(self, text: bytes, number: int) -> Rows:
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
        return Rows(
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
