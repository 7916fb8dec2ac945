"""Detection of each file's format, and of where its arrays belong.

From the bytes, never from the name alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tinytorch_datasets import formats
from tinytorch_datasets.add.detect_csv import Choices, describe_columns
from tinytorch_datasets.add.unsupported import unsupported
from tinytorch_datasets.errors import DecodeError, UsageError, did_you_mean
from tinytorch_datasets.formats import HEAD_BYTES, INSPECTED, INSPECTED_BYTES, Certainty, Detection, FileInfo
from tinytorch_datasets.readers.stream import opened
from tinytorch_datasets.readers.text import is_text
from tinytorch_datasets.verify.diagnose import foreign

NO_CHOICES = Choices()
AS_IT_IS = "To have it as one text: --format text."


def detect(
    files: Iterable[tuple[Path, str]], choices: Choices = NO_CHOICES, *, form: str | None = None
) -> list[FileInfo]:
    """Recognize the files of a data set. Tables are described together.

    Args:
        files: The path of each, and its name in the data set.
        choices: What a person says of the columns of tables.
        form: The format that a person says they are in; None asks every format.

    Raises:
        DecodeError: One is in none of the formats, or it is damaged.
        UsageError: There is no such format or column.
    """
    if form is not None and form not in formats.known():
        what = f"--format {form}: there is no such format{did_you_mean(form, formats.known())}"
        raise UsageError(what, hint=f"There are: {', '.join(formats.known())}.")
    infos = [replace(_detection(path, name, form).inspect(), file=name) for path, name in files]
    if choices and (other := next((info for info in infos if info.format != "csv"), None)):
        what = f"--target and --drop are for columns of tables, and {other.file} is {other.format}"
        raise UsageError(what, hint="Leave them out.")
    described = iter(describe_columns([info for info in infos if info.format == "csv"], choices))
    return [next(described) if info.format == "csv" else info for info in infos]


def _detection(path: Path, name: str, form: str | None) -> Detection:
    """Ask every format whether the file is one of its own, and return what the surest of them says."""
    head = _head(path)
    if not head:
        raise DecodeError(path, "it is empty", hint="Leave it out, or name the one that you meant.")
    asked = formats.known() if form is None else (form,)
    detections = {name: detection for name in asked if (detection := formats.of(name).detect(head, path))}
    certainty = max((detection.certainty for detection in detections.values()), default=None)
    if form is None and certainty != Certainty.CERTAIN and is_text(head):
        text = head.decode("utf-8", "ignore")
        if known := unsupported(text, name, whole=len(head) < HEAD_BYTES):
            raise DecodeError(path, known.what, hint=f"{known.hint} {AS_IT_IS}" if detections else known.hint)
    if certainty is None:
        hint = f"There are: {', '.join(formats.known())}."
        what = foreign(head, name) or _encoding(head) or f"something that begins with {head[:8]!r}"
        reason = f"its format is not recognized: it is {what}" if form is None else f"it is not {form}, but {what}"
        raise DecodeError(path, reason, hint=hint)
    surest = [name for name, detection in detections.items() if detection.certainty == certainty]
    if len(surest) > 1:
        reason = f"its format is not certain: it may be {' or '.join(surest)}"
        raise DecodeError(path, reason, hint="Say which: " + ", or ".join(f"--format {name}" for name in surest) + ".")
    return detections[surest[0]]


def _encoding(head: bytes) -> str | None:
    """Return how text is encoded that is not UTF-8, as far as its first bytes show."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text in UTF-16; formats of text read UTF-8"
    controls = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    return "text that is not in UTF-8" if not controls and head.count(b"\n") else None


def _head(path: Path) -> bytes:
    with opened(path, limit=INSPECTED_BYTES, promise=INSPECTED) as stream:
        view = memoryview(bytearray(HEAD_BYTES))
        return bytes(view[: stream.fill(view)])
