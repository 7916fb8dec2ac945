"""Questions and answers in plain text, as TinyTalks is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError, Problems, did_you_mean
from tinytorch_datasets.formats import INSPECTED, INSPECTED_BYTES, ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import TEXT, Block, Column, Split
from tinytorch_datasets.readers.stream import opened
from tinytorch_datasets.readers.text import BOM, document, opened_text

FIELDS = ("questions", "answers", "levels", "text")
QUESTION, ANSWER = "Q: ", "A: "


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """Refuse levels of no split."""
    for split in options.get("levels") or ():
        if split not in splits:
            yield ("levels", split), f"no split of that name{did_you_mean(split, splits)}"


def _detect(head: bytes, path: Path) -> Detection | None:
    if not (head.removeprefix(BOM).startswith(QUESTION.encode()) and b"\n" + ANSWER.encode() in head):
        return None
    return Detection(Certainty.CERTAIN, lambda: _inspect(path))


def _inspect(path: Path) -> FileInfo:
    with opened(path, limit=INSPECTED_BYTES, limit_reason=INSPECTED) as stream:
        pairs = stream.whole().count(b"\n" + ANSWER.encode())
    of_samples = (ArrayInfo("", TEXT, (pairs,), field=name) for name in FIELDS[:2])
    return FileInfo(path, "qa-text", (*of_samples, ArrayInfo("", TEXT, (1,), field="text", per="split")))


@decodes("qa-text", layout="file per split", check=_check, detect=_detect)
def qa_text(splits: Sequence[Split], *, levels: dict[str, list[int]] | None = None) -> Iterator[Block]:
    """Pairs of a question and an answer, in UTF-8 text.

    The grammar, in which the very last LF may be missing:

        file = pair, { blank line, pair }, { blank line }
        pair = "Q: ", question, LF, "A: ", answer, LF

    A question or an answer is one line and not empty. The fields are `questions`, `answers`, `levels`, and
    `text`, all of it. Lines may end in CRLF, and a byte order mark at the front is dropped: editors write both. In
    `text`, and in all fields, lines then end in LF as in every other file.

    Args:
        splits: What to decode.
        levels: For each split, the number of pairs of level 1, of level 2, and so on; pairs come in that order.

    Raises:
        DecodeError: It does not follow the grammar; the reason names the line.
        ContentError: The pairs are more than declared, or not as many as the levels add up to.
    """
    for split in splits:
        for source, columns in split.by_source():
            path = source.path
            for column in columns:
                if column.field not in FIELDS:
                    hint = did_you_mean(column.field, FIELDS)
                    hint = f"There are: {', '.join(FIELDS)}."
                    raise DecodeError(path, f"this format has no field {column.field!r}{hint}", hint=hint)
            with opened_text(source, ()) as stream:
                whole = document(stream, plain=True)
            questions, answers = _pairs(whole, path, split)
            for column in columns:
                if column.field == "questions":
                    yield Block(column, 0, questions)
                elif column.field == "answers":
                    yield Block(column, 0, answers)
                elif column.field == "levels":
                    yield Block(column, 0, _levels(column, len(questions), levels or {}))
                else:
                    yield Block(column, 0, [whole])


def _pairs(text: str, path: Path, split: Split) -> tuple[list[str], list[str]]:
    questions: list[str] = []
    answers: list[str] = []
    number = 0
    pairs_end = len(text.rstrip("\n"))
    # What the grammar wants next goes round and round: a question, its answer, a blank line.
    for number, line in enumerate(_lines(text, pairs_end), 1):
        wanted = number % 3
        if wanted == 1 and len(questions) == split.samples:
            reason = f"it has more pairs than the {split.samples:,} that {split.name} declares (line {number:,})"
            raise ContentError(
                path,
                reason,
                aspect="samples",
                expected=split.samples,
                actual=f"more than {split.samples}",
                split=split.name,
            )
        if wanted == 0:
            if line:
                _raise_unexpected(path, number, "a blank line", line)
        else:
            start, into = (QUESTION, questions) if wanted == 1 else (ANSWER, answers)
            if not line.startswith(start):
                _raise_unexpected(path, number, f"a line that starts with {start!r}", line)
            if not line[len(start) :].strip():
                raise DecodeError(path, f"line {number:,}: nothing follows {start!r}")
            into.append(line[len(start) :])
    if number % 3 == 1:
        raise DecodeError(path, f"line {number:,}: the last question has no answer")
    return questions, answers


def _lines(text: str, last: int) -> Iterator[str]:
    """Yield the lines up to `last` one by one, so that a file of line feeds alone is not held as a list of them."""
    begin = 0
    while begin <= last:
        end = text.find("\n", begin, last)
        end = last if end < 0 else end
        yield text[begin:end]
        begin = end + 1


def _raise_unexpected(path: Path, number: int, wanted: str, line: str) -> NoReturn:
    raise DecodeError(path, f"line {number:,}: {wanted} is expected, not {line[:60]!r}")


def _levels(column: Column, pairs: int, levels: Mapping[str, Sequence[int]]) -> np.ndarray:
    counts = levels.get(column.split)
    if counts is None:
        reason = (
            f"the field {column.field!r} needs the option levels, with how many pairs of {column.split} are of each"
        )
        raise DecodeError(column.file, reason, keys=("options", "levels"))
    if any(type(count) is not int or count < 0 for count in counts) or sum(counts) != pairs:
        reason = f"{column.split} has {pairs:,} pairs, the option levels adds up to {sum(counts):,}: {list(counts)}"
        raise ContentError(
            column.file,
            reason,
            aspect="samples",
            expected=sum(counts),
            actual=pairs,
            split=column.split,
            keys=("options", "levels", column.split),
        )
    return np.repeat(np.arange(1, len(counts) + 1, dtype=np.int64), counts)
