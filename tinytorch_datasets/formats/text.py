"""Plain text: a document a file, or a sample a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from tinytorch_datasets.errors import ContentError
from tinytorch_datasets.formats import ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import TEXT, Block, ByteSource, Column, Split
from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.readers.text import document, is_text, opened_text, packed_lines


def _detect(head: bytes, path: Path) -> Detection | None:
    if not is_text(head):
        return None
    return Detection(Certainty.POSSIBLE, lambda **given: _inspect(path, **given), takes_options=True)


def _inspect(path: Path, *, unit: str = "document") -> FileInfo:
    samples = 1
    if unit == "lines":
        with opened_text(ByteSource(path), ()) as stream:
            samples = sum(map(len, packed_lines(stream)))
    return FileInfo(path, "text", (ArrayInfo("", TEXT, (samples,), field="text"),), {"unit": unit})


@decodes("text", layout="file per split", detect=_detect)
def text(splits: Sequence[Split], *, unit: Literal["document", "lines"] = "document") -> Iterator[Block]:
    """UTF-8 text, plain or compressed, with LF at the end of its lines.

    A byte order mark, a NUL and a carriage return are errors: each would be a character to learn. Empty lines
    count. The last line may lack its LF.

    Args:
        splits: What to decode.
        unit: "document" for the whole file as one sample, "lines" for each line as one. A field that belongs to
            the split is the whole file either way.

    Raises:
        DecodeError: It is not such text; the reason names the line.
        ContentError: It has more lines than are declared, or is declared as something else than text.
    """
    for split in splits:
        for column in split.columns.values():
            if not column.is_text:
                reason = f"{column} is declared as {column.dtype}, this format holds text"
                raise ContentError(
                    column.file, reason, aspect="dtype", expected=column.dtype, actual="str", column=str(column)
                )
            with opened_text(column.source, ()) as stream:
                if unit == "document" or column.per == "split":
                    yield Block(column, 0, [document(stream)])
                else:
                    yield from _lines(column, stream)


def _lines(column: Column, stream: Stream) -> Iterator[Block]:
    start = 0
    for packed in packed_lines(stream):
        if start + len(packed) > column.count:
            stream.refuse(
                f"it has more lines than the {column.count:,} that {column} declares",
                aspect="samples",
                expected=column.count,
                actual=f"more than {column.count}",
                column=str(column),
            )
        yield Block(column, start, packed)
        start += len(packed)
    if not start:
        yield Block(column, 0, [])
