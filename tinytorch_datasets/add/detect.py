"""Detection of each file's format, and of where its arrays belong.

From the bytes, never from the name alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tinytorch_datasets import formats
from tinytorch_datasets.add import detect_csv
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import HEAD_BYTES, INSPECTED, INSPECTED_BYTES, Detection, FileInfo
from tinytorch_datasets.readers.stream import opened
from tinytorch_datasets.verify.diagnose import foreign


def detect(files: Iterable[tuple[Path, str]]) -> list[FileInfo]:
    """Recognize the files of a data set, each at a path and with a name in it. Tables are described together.

    Raises:
        DecodeError: One is in none of the formats, or it is damaged.
    """
    infos = [replace(_surest(path, name).inspect(), file=name) for path, name in files]
    described = iter(detect_csv.describe_columns([info for info in infos if info.format == "csv"]))
    return [next(described) if info.format == "csv" else info for info in infos]


def _surest(path: Path, name: str) -> Detection:
    """Ask every format whether the file is one of its own, and return what the surest of them says."""
    head = _head(path)
    if not head:
        raise DecodeError(path, "it is empty", hint="Leave it out, or name the one that you meant.")
    detections = {form: detection for form in formats.known() if (detection := formats.of(form).detect(head, path))}
    hint = f"There are: {', '.join(formats.known())}."
    if not detections:
        what = foreign(head, name) or f"something that begins with {head[:8]!r}"
        raise DecodeError(path, f"its format is not recognized: it is {what}", hint=hint)
    certainty = max(detection.certainty for detection in detections.values())
    surest = [form for form, detection in detections.items() if detection.certainty == certainty]
    if len(surest) > 1:
        raise DecodeError(path, f"its format is not certain: it may be {' or '.join(surest)}", hint=hint)
    return detections[surest[0]]


def _head(path: Path) -> bytes:
    with opened(path, limit=INSPECTED_BYTES, promise=INSPECTED) as stream:
        view = memoryview(bytearray(HEAD_BYTES))
        return bytes(view[: stream.fill(view)])
