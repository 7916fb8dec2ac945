"""Detection of each file's format, or refusal of it by name.

From the bytes, never from the name alone.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_datasets import formats
from tinytorch_datasets.add import arrays, csv_tables, samples, typed_tables
from tinytorch_datasets.add.inputs import Unpacked, parse_options
from tinytorch_datasets.add.tables import Choices
from tinytorch_datasets.errors import DecodeError, UsageError, did_you_mean
from tinytorch_datasets.formats import (
    HEAD_BYTES,
    INSPECTED,
    INSPECTED_BYTES,
    Certainty,
    Detection,
    FileInfo,
    audio,
    images,
    texts,
)
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.source import is_zip
from tinytorch_datasets.readers.archives.zip import opened_zip
from tinytorch_datasets.readers.stream import encoding_of, opened
from tinytorch_datasets.readers.table import without_compression
from tinytorch_datasets.readers.text import is_text, other_encoding
from tinytorch_datasets.verify.diagnose import kind_of, kind_of_zip, wrong_content

NO_CHOICES = Choices()
# How many archives may be in one another.
MOST_ARCHIVES = 3
AS_IT_IS = "To have it as one text: --format text."
RECORDS = (
    "--format records --option 'record=[{key: labels, dtype: uint8}, {key: images, dtype: uint8, shape: [3, 32, 32]}]'"
)
AS_UTF8, ENCODINGS = "Save it as UTF-8.", "--option encoding=latin-1, cp1252 or another."
AS_LINES = "For one a line: --option unit=lines."

# From so many lines on, a text without paragraphs may be a list.
ENOUGH_LINES = 4
# Lines of prose that an editor has broken are about as long as this, and longer.
BROKEN_AT = 50


def detect(
    files: Iterable[tuple[Path, str]],
    choices: Choices = NO_CHOICES,
    *,
    form: str | None = None,
    options: Mapping[str, str] | None = None,
    unpacked: Unpacked | None = None,
) -> list[FileInfo]:
    """Recognize the files of a data set. Tables are described together.

    Args:
        files: The path of each, and its name in the data set.
        choices: What a person says of columns and arrays.
        form: The format that a person says they are in; None asks every format.
        options: Options of their format that a person says they are read by, each as it was typed.
        unpacked: Takes copies of the files in archives of data files; None recognizes no such.

    Raises:
        DecodeError: One is in none of the formats, or it is damaged.
        UsageError: There is no such format, option or column.
    """
    if form is not None and form not in formats.known():
        what = f"--format {form}: there is no such format{did_you_mean(form, formats.known())}"
        raise UsageError(what, hint=f"There are: {', '.join(formats.known())}.")
    files = list(files)
    if len(files) + len(choices.passed_over) > 1:
        choices = replace(choices, files=(*(name for _, name in files), *choices.passed_over))
    inspects = {"images": images.inspect_files, "audio": audio.inspect_files, "texts": texts.inspect_files}
    for name, inspect in inspects.items():
        typed = options or {}
        if len(files) > 1 and form in (None, name) and (of_files := inspect(files, typed, is_said=form == name)):
            of_files = replace(of_files, options={**of_files.options, **parse_options(name, typed)})
            return samples.describe([of_files], choices, form)
    if len(files) > 1 and form is None:
        samples.refuse_mixture(files[0][0].parent, [name for _, name in files], is_packed=False)
    every, files = files, [(path, name) for path, name in files if name not in choices.drop]
    infos = list[FileInfo]()
    try:
        for path, name in files:
            of_it = _of_file(path, name, form, options or {}, choices.drop, unpacked)
            infos += [replace(info, file=name) for info in of_it]
    except DecodeError as error:
        if unpacked:
            unpacked.let_name_its_archive(error)
        raise
    members = tuple(info.inside[-1] for info in infos if info.inside)
    choices = replace(choices, files=(*choices.files, *members))
    left_out = {name for _, name in every} | (unpacked.dropped if unpacked else set())
    asked, choices = choices.drop, replace(choices, drop=tuple(x for x in choices.drop if x not in left_out))
    if not infos and (dropped := left_out.intersection(asked)):
        what = f"--drop {sorted(dropped)[0]}: without it, no file is left that may be data"
        raise UsageError(what, hint="Leave out fewer of them.")
    if not infos:
        raise DecodeError(every[0][0], "it holds no file that may be data", hint="Name the one that you meant.")
    shapes = [array.shape for info in infos for array in info.arrays]
    if shapes and all(shape[:1] == (0,) for shape in shapes):
        raise DecodeError(infos[0].path, "it has no samples", hint="Leave it out, or name the one that you meant.")
    if choices.label is not None and infos[0].format not in samples.KINDS:
        what = f"--label is of samples that are a file each, and {infos[0].file} is {infos[0].format}"
        raise UsageError(what, hint="Leave it out; --target NAME is the column, or the array, that is the label.")
    if len({info.format for info in infos}) == 1:
        infos = list(formats.of(infos[0].format).join(infos))
        if infos[0].format == "csv":
            return csv_tables.describe(infos, choices)
        if infos[0].format in samples.KINDS:
            return samples.describe(infos, choices, form)
        if all(info.is_table for info in infos):
            return typed_tables.describe(infos, choices)
    return arrays.described(infos, choices)


def _of_file(
    path: Path,
    name: str,
    form: str | None,
    options: Mapping[str, str],
    dropped: Collection[str],
    unpacked: Unpacked | None,
    inside: tuple[str, ...] = (),
) -> Iterator[FileInfo]:
    """Yield what a file holds; where it is an archive of data files, what each of those does."""
    if unpacked is None or len(inside) == MOST_ARCHIVES or not (names := _files_in(path, form)):
        yield replace(_inspected(path, name, form, options), inside=inside)
        return
    samples.refuse_mixture(path, names, is_packed=True)
    for member, copy in unpacked.files(path, dropped):
        try:
            yield from _of_file(copy, member, form, options, dropped, unpacked, (*inside, member))
        except DecodeError as error:
            drop = f"or leave it out: --drop {samples.shell_word(member)}"
            error.hint = f"{error.hint.rstrip('.')}; {drop}." if error.hint else f"{drop[3:].capitalize()}."
            raise


def _files_in(path: Path, form: str | None) -> list[str]:
    """Return the names of the files in an archive that is of no format that reads archives; none of other files."""
    head = _head(path)
    if is_zip(path):
        with opened_zip(path) as archive:
            names = [name for name, entry in archive.entries.items() if entry.is_file]
        if kind_of_zip(names):
            return []
    elif head[257:262] == b"ustar":
        names = [name for name, _ in tar.begun(head, path)]
    else:
        return []
    asked = formats.known() if form is None else (form,)
    detections = (formats.of(name).detect(head, path) for name in asked)
    is_of_none = all(one is None or (form is None and one.certainty != Certainty.CERTAIN) for one in detections)
    return names if is_of_none else []


def _inspected(path: Path, name: str, form: str | None, options: Mapping[str, str]) -> FileInfo:
    """Return what a file holds, read by the given options."""
    found, detection = _detection(path, name, form, options)
    given = parse_options(found, options)
    try:
        info = detection.inspect(**given) if detection.takes_options else detection.inspect()
    except DecodeError as error:
        error.hint = encoding_hint(error, found)
        raise
    return replace(info, options={**info.options, **given})


def encoding_hint(error: DecodeError, form: str | None) -> str | None:
    """Return what to do about bytes that are not UTF-8, in a file of that format if it is known; or the given hint."""
    if not re.search(r"(?i)\bnot UTF-8\b", error.reason) or error.hint == AS_UTF8:
        return error.hint
    may_be_said = form is None or "encoding" in formats.of(form).options
    return f"If it is another encoding, say which: {ENCODINGS}" if may_be_said else AS_UTF8


def _as_said(path: Path, **options: Any) -> FileInfo:
    return FileInfo(path, "csv", options=options)


def _as_table(head: bytes, options: Mapping[str, Any]) -> bytes:
    """Return the first bytes of a table in UTF-8, from the line on which it begins by its options."""
    encoding = encoding_of(options.get("encoding", "utf-8")) or "utf-8"
    text = head.decode(encoding, "ignore").replace("\r\n", "\n")
    text = text if "\n" in text else text.replace("\r", "\n")
    lines = text.split("\n")[options.get("skip_lines", 0) :]
    comment = options.get("comment")
    return "\n".join(line for line in lines if not (comment and line.lstrip(" \t").startswith(comment))).encode()


def inspect_as(path: Path, form: str) -> FileInfo:
    """Read of a file that is known to be of a format what arrays it holds.

    Raises:
        DecodeError: It is of another format, or damaged.
    """
    return _detection(path, path.name, form, {})[1].inspect()


def _detection(path: Path, name: str, form: str | None, options: Mapping[str, str]) -> tuple[str, Detection]:
    """Ask every format whether the file is one of its own, and return what the surest of them says, and its name."""
    head = _head(path)
    if not head:
        raise DecodeError(path, "it is empty", hint="Leave it out, or name the one that you meant.")
    if form is not None and (describe := formats.of(form).describe):
        return form, Detection(Certainty.CERTAIN, partial(describe, path), takes_options=True)
    asked = formats.known() if form is None else (form,)
    heads = dict.fromkeys(asked, head)
    if options and "csv" in asked and options.keys() <= formats.of("csv").options.keys():
        heads["csv"] = _as_table(head, parse_options("csv", options))
        if "encoding" in options and form is None:
            _refuse_other_encoding(path, heads["csv"])
        if "delimiter" in options:
            return "csv", Detection(Certainty.LIKELY, partial(_as_said, path), takes_options=True)
    detections = {name: detection for name in asked if (detection := formats.of(name).detect(heads[name], path))}
    certainty = max((detection.certainty for detection in detections.values()), default=None)
    if (form is None or certainty is None) and certainty != Certainty.CERTAIN and (kind := kind_of(head)):
        reason = f"it is {kind.name}, which no format reads" if form is None else f"it is not {form}, but {kind.name}"
        raise DecodeError(path, reason, hint=kind.hint)
    is_said = bool(options) and "csv" in detections and heads["csv"] is not head
    if form is None and certainty != Certainty.CERTAIN and is_text(head) and not is_said:
        text = head.decode("utf-8", "ignore")
        if known := unsupported(text, name, whole=len(head) < HEAD_BYTES):
            raise DecodeError(path, known.what, hint=f"{known.hint} {AS_IT_IS}" if detections else known.hint)
    if certainty is None:
        hint = f"There are: {', '.join(formats.known())}."
        if not wrong_content(head, "") and not is_text(head) and other_encoding(head):
            may_be_said = "encoding" not in options and (form is None or "encoding" in formats.of(form).options)
            hint = f"{AS_UTF8[:-1]}; or say what it is: {ENCODINGS}" if may_be_said else AS_UTF8
        elif not is_text(head) and not wrong_content(head, ""):
            hint = f"{hint} What numbers without a header are, a person says: {RECORDS}."
        what = wrong_content(head, "") or other_encoding(head) or f"something that begins with {head[:8]!r}"
        reason = f"its format is not recognized: it is {what}" if form is None else f"it is not {form}, but {what}"
        raise DecodeError(path, reason, hint=hint)
    surest = [name for name, detection in detections.items() if detection.certainty == certainty]
    if form is None and surest == ["text"] and "unit" not in options and _may_be_lines(head.decode("utf-8", "ignore")):
        reason = "it is not certain what its samples are: all of it is one text, or each line is one"
        raise DecodeError(path, reason, hint=f"{AS_IT_IS} {AS_LINES}")
    if len(surest) > 1:
        reason = f"its format is not certain: it may be {' or '.join(surest)}"
        raise DecodeError(path, reason, hint="Say which: " + ", or ".join(f"--format {name}" for name in surest) + ".")
    return surest[0], detections[surest[0]]


def _refuse_other_encoding(path: Path, head: bytes) -> None:
    """Refuse text in another encoding than UTF-8 that has the commas of a table, and is of a format that reads none."""
    for name in ("jsonl", "json", "qa-text"):
        if (detection := formats.of(name).detect(head, path)) and detection.certainty == Certainty.CERTAIN:
            raise DecodeError(path, f"it is {name} in another encoding than UTF-8, which is not read", hint=AS_UTF8)


def _may_be_lines(text: str) -> bool:
    """Check whether the lines of a text may be samples: names, or sentences.

    They are not where lines end in the middle of a sentence, and not where sentences stand in paragraphs.
    """
    lines = text.strip().split("\n")
    given = [line.strip() for line in lines if line.strip()]
    if len(given) < ENOUGH_LINES:
        return False
    if any(
        before[-1] not in ".!?" and after[0].islower() and len(before) > BROKEN_AT
        for before, after in itertools.pairwise(given)
    ):
        return False
    ended = sum(not line[-1].isalnum() for line in given)
    return len(given) == len(lines) or ended < len(given) / 3


def _head(path: Path) -> bytes:
    with opened(path, limit=INSPECTED_BYTES, limit_reason=INSPECTED) as stream:
        view = memoryview(bytearray(HEAD_BYTES))
        return bytes(view[: stream.fill(view)])


# Notations of data that no format reads: recognized, so that they are refused by name and not taken for prose.
AS_CSV = "Save its samples as CSV, or its arrays as NPZ."


class Unsupported(NamedTuple):
    """What a file is, and what to do about it."""

    what: str
    hint: str


# What a file's name says, where its bytes say nothing.
_ENDINGS = {
    (".jsonl", ".ndjson"): "JSON Lines",
    (".json", ".geojson", ".ipynb"): "JSON",
    (".arff",): "ARFF",
    (".svm", ".svmlight", ".libsvm"): "svmlight",
    (".xml", ".svg"): "XML",
    (".html", ".htm"): "HTML",
    (".yaml", ".yml"): "YAML",
    (".toml", ".ini", ".cfg"): "settings",
    (".mtx", ".mm"): "Matrix Market",
    (".pbm", ".pgm", ".ppm", ".pnm"): "a Netpbm picture",
    (".ply", ".obj", ".stl", ".off"): "a 3D model",
    (".sql",): "SQL",
    (".xls", ".xlsx", ".ods"): "a workbook",
    (".pkl", ".pickle", ".npy", ".npz", ".idx", ".tar", ".zip", ".mat", ".h5", ".hdf5", ".parquet"): "binary data",
}

_FIRST_LINES: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"(?i)%%MatrixMarket\s"), "Matrix Market"),
    (re.compile(r"P[1-3]\s*(?:#.*|\d+\s+\d+.*)?"), "a Netpbm picture"),
    (re.compile(r"(?i)<(?:\?xml|svg|!doctype|[a-z][\w:.-]*(?:\s[^<>]*)?/?>)"), "XML"),
    (re.compile(r"%YAML|---\s*"), "YAML"),
    (re.compile(r"ply|solid .*|OFF"), "a 3D model"),
    (re.compile(r"\{'.*"), "records in Python's notation"),
)  # fmt: skip


def unsupported(text: str, name: str, *, whole: bool) -> Unsupported | None:
    """Return what a text is, if it is data in a notation that no format reads, or if its name says so.

    Args:
        text: The first characters of the file.
        name: The file's name.
        whole: Whether these are all of its characters.
    """
    text = text.removeprefix("\ufeff")
    lines = [line.strip() for line in (text if whole else text.rpartition("\n")[0]).split("\n")]
    lines = [line for line in lines if line]
    if what := _by_first_line(lines):
        return Unsupported(f"it is {what}, which no format reads", AS_CSV)
    if sep := re.match(r"(?i)\"?sep=(.)\"?\r?\n", text):
        what = f"its first line, 'sep={sep[1]}', is one that only Excel reads"
        return Unsupported(what, f"Pass over it: --option skip_lines=1 --option 'delimiter={sep[1]}'.")
    ending = "." + without_compression(name).rpartition(".")[2]
    for endings, what in _ENDINGS.items():
        if ending in endings:
            return Unsupported(f"its name says {what}, and it is text in no such format", AS_CSV)
    return None


def _by_first_line(lines: Sequence[str]) -> str | None:
    first = next((line for line in lines if not re.match(r"%(?!%|YAML)|#", line)), "")
    return next((what for pattern, what in _FIRST_LINES if pattern.match(first) and _fits(pattern, first, lines)), None)


def _fits(pattern: re.Pattern[str], first: str, lines: Sequence[str]) -> bool:
    """Check a short first line, which prose may have too, by what follows."""
    if first[:1] in "@%<{":
        return True
    if first.startswith("---"):
        return first == "---" and len(lines) > 1 and re.match(r"[\w-]+:(\s|$)|- ", lines[1]) is not None
    if first[:1] == "P":
        rest = [line for line in lines[1:] if not line.startswith("#")] or [first[2:]]
        return pattern.fullmatch(first) is not None and re.match(r"\s*\d+(\s+\d+)?\s*", rest[0]) is not None
    return len(lines) > 1 and re.match(r"format |facet |element |\d+ \d+ \d+$", lines[1]) is not None
