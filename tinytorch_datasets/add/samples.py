"""Data sets of a file a sample: labels that are part of names, lists beside.

Folders that are classes say so themselves. A part of a name may be a label, a speaker or a number: which of them only a
person knows, so it is asked, and a list that names the samples is never passed over in silence.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tinytorch_datasets.add import naming
from tinytorch_datasets.add.tables import Choices
from tinytorch_datasets.errors import DecodeError, UsageError, did_you_mean
from tinytorch_datasets.formats import INSPECTED, INSPECTED_BYTES, ArrayInfo, FileInfo
from tinytorch_datasets.formats.audio import SOUNDS
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.archives.members import Member, Pattern
from tinytorch_datasets.readers.archives.samples import FOLDER, PART, LabelSplit, Naming, ending, stem
from tinytorch_datasets.readers.archives.source import is_litter, opened_source
from tinytorch_datasets.readers.picture_headers import ENDINGS
from tinytorch_datasets.readers.text import is_text

KINDS = {"images": "pictures", "audio": "recordings", "texts": "texts"}

# Between parts of names, in the order in which they are tried.
SEPARATORS = ("_", "-", ".", " ", "@", "=", "#")
NO_LABEL = "none"
_LABEL = re.compile(r"(?:name:(?:([^\d:]+):)?(-?\d{1,3})(?::(-?\d{1,3}))?)|(?:folder:(-?\d{1,3}(?:,-?\d{1,3})*))")
LABEL_HINT = "Write --label name:0 (a part of the names), --label folder:-1 (the folder right above), or --label none."

SHOWN_VALUES = 3
MOST_FRONTS = 10

# Names of folders that hold a part of each sample, and no class.
HALVES = frozenset(
    ("image", "images", "img", "imgs", "mask", "masks", "label", "labels", "annotation", "annotations", "gt")
) | {"segmentation", "segmentations", "groundtruth", "ground_truth"}
# Lines of what is left out: more of them are counted by the endings of the names.
MOST_LINES = 12

# Files beside samples that may be lists of them, and how much of each is read to know.
TABLES = (".csv", ".tsv")
LISTS = (".txt", ".csv", ".tsv", ".lst", ".list", ".data", "")
ARRAYS = (".mat", ".npy", ".npz", ".h5", ".hdf5", ".parquet", ".pkl", ".arff")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
LIST_BYTES = 1 << 20
MOST_LISTS = 20


class _Part(NamedTuple):
    """A part of the names of all samples: between which separators it is, at which place, and what it may be."""

    separator: str
    place: tuple[int, ...]
    values: tuple[str, ...]

    @property
    def flag(self) -> str:
        """What to type for it."""
        shown = ", ".join(map(repr, self.values[:SHOWN_VALUES]))
        more = ", ..." if len(self.values) > SHOWN_VALUES else ""
        between = "" if self.separator == "_" else f"{self.separator}:"
        return f"--label name:{between}{':'.join(map(str, self.place))} ({shown}{more})"


def describe(infos: Sequence[FileInfo], choices: Choices, form: str | None = None) -> list[FileInfo]:
    """Return what archives, or folders, of samples hold, with the labels that their names are.

    `form` is the format that a person says they are in.

    Raises:
        DecodeError: Which part of the names is the label is not certain; or a list of the samples lies beside them.
        UsageError: Something was chosen that they do not have.
    """
    if choices.target or choices.missing:
        what = f"{'--target' if choices.target else '--missing'} is of tables and arrays, and this is {infos[0].format}"
        raise UsageError(what, hint=LABEL_HINT if choices.target else "Leave it out.")
    others = {name for info in infos for name in info.others}
    own = {name for info in infos for name in info.samples}
    for name in choices.drop:
        if name in own or any(one.startswith(f"{name.rstrip('/')}/") for one in own):
            what = f"--drop {name}: that is of the {KINDS[infos[0].format]}, which are taken together"
            raise UsageError(what, hint="Move it elsewhere, and add the rest.")
        if name not in others and name not in choices.passed_over:
            what = f"--drop {name}: there is no such file beside the {KINDS[infos[0].format]}"
            msg = f"{what}{did_you_mean(name, others)}"
            raise UsageError(msg, hint="Write its name with all folders.")
    for info in infos:
        if info.format == "texts" and form is None and all(array.field != "labels" for array in info.arrays):
            reason = "it has texts, and no folder for each class, so that it is not certain what its samples are"
            raise DecodeError(info.path, reason, hint="To have each file as a sample: --format texts.")
    return [_described(info, choices) for info in infos]


def refuse_mixture(path: Path, names: Sequence[str], *, is_packed: bool) -> None:
    """Refuse files of which some are samples of one kind, and as many or more are others.

    Raises:
        DecodeError: They are, and which of them are the data set is not certain.
    """
    own = [name for name in names if not is_litter(name)]
    kinds = {"images": ENDINGS, "audio": SOUNDS}
    counts = {form: sum(ending(name) in endings for name in own) for form, endings in kinds.items()}
    if sum(counts.values()) < 2:
        return
    others = len(own) - sum(counts.values())
    shown = [f"{count:,} {KINDS[form]}" for form, count in counts.items() if count]
    shown += [f"{others:,} other {'file' if others == 1 else 'files'}"] if others else []
    reason = f"it holds {' and '.join(shown)}, and which of them are the data set is not certain"
    flags = " or ".join(f"--format {form}" for form, count in counts.items() if count)
    unpack = "Unpack it, and add the folder with " if is_packed else "Say which, and leave the others out: "
    raise DecodeError(path, reason, hint=f"{unpack}{flags}.")


def _described(info: FileInfo, choices: Choices) -> FileInfo:
    _refuse_lists(info, [name for name in info.others if name not in choices.drop])
    info = replace(info, arrays=tuple(_split_by_name(info)), left_out=tuple(_summed_up(info)))
    if choices.label is not None:
        return _with_label(info, choices.label)
    if any(array.field == "labels" for array in info.arrays):
        _refuse_splits_as_classes(info)
        _refuse_halves_as_classes(info)
        return info
    if candidates := _candidates([stem(name) for name in info.samples]):
        reason = f"its {KINDS[info.format]} are called as {info.samples[0].rpartition('/')[2]!r}, and which part of "
        reason += "the names is the label is not certain"
        flags = ", or ".join(part.flag for part in candidates)
        raise DecodeError(info.path, reason, hint=f"Say which: {flags}; or --label none.")
    if fronts := _fronts([stem(name) for name in info.samples]):
        reason = f"its {KINDS[info.format]} have names that begin with {' and '.join(map(repr, fronts))}, and whether "
        hint = "If they are, put those of each into a folder of its own; if not, --label none."
        raise DecodeError(info.path, f"{reason}these are labels is not certain", hint=hint)
    return info


def _refuse_splits_as_classes(info: FileInfo) -> None:
    """Refuse folders called train and test as classes: who learned to tell them apart would learn nothing.

    Raises:
        DecodeError: They are all that the samples are in.
    """
    classes = next((array.classes for array in info.arrays if array.classes), ())
    if classes and all(naming.split_of(f"{folder}/*") for folder in classes):
        shown, kind = " and ".join(map(repr, classes)), KINDS[info.format]
        reason = f"its folders {shown} are splits and no classes, and {kind} have no other label"
        members = ", ".join(f"{folder}: {{members: [{folder}/*]}}" for folder in classes)
        raise DecodeError(info.path, reason, hint=f"Declare it by hand, with splits: {{{members}}}.")


def _refuse_halves_as_classes(info: FileInfo) -> None:
    """Refuse folders called images and masks as classes: a sample has a file in each.

    Raises:
        DecodeError: Such are among them.
    """
    classes = next((array.classes for array in info.arrays if array.classes), ())
    if halves := [folder for folder in classes if not HALVES.isdisjoint(folder.lower().split("/"))]:
        reason = f"its folder {halves[0]!r} is called as a part of samples is, and not as a class"
        hint = "Add the folder of the inputs by itself; or say which folder is the class: --label folder:-1."
        raise DecodeError(info.path, reason, hint=hint)


def _fronts(stems: Sequence[str]) -> list[str]:
    """Return the few words that numbers follow in all names, if there are several: cat001, dog001."""
    matches = [re.fullmatch(r"(\D*[^\W\d_])\d+", name) for name in stems]
    counts = Counter(match[1] for match in matches if match)
    return sorted(counts) if all(matches) and 1 < len(counts) <= len(stems) / 2 and len(counts) <= MOST_FRONTS else []


def _candidates(stems: Sequence[str]) -> list[_Part]:
    """Return the parts of names that may be labels: those that differ, and are not a count of the samples."""
    for separator in SEPARATORS:
        parts = [name.split(separator) for name in stems]
        counts = {len(of) for of in parts}
        if min(counts) < 2:
            continue
        # great_pyrenees_12 beside beagle_3: what is before the last, or the last
        places: list[tuple[int, ...]] = [(at,) for at in range(min(counts))] if len(counts) == 1 else [(0, -1), (-1,)]
        found = [
            _Part(separator, place, tuple(dict.fromkeys(_taken(of, place, separator) for of in parts)))
            for place in places
        ]
        differing = [part for part in found if len(part.values) > 1]
        repeated = [part for part in differing if 2 * len(part.values) <= len(stems)]
        if repeated or len(differing) > 1:
            return [part._replace(values=_in_order(part.values)) for part in repeated or differing]
    return []


def _taken(parts: Sequence[str], place: tuple[int, ...], separator: str) -> str:
    return separator.join(parts[place[0] : place[1]]) if len(place) > 1 else parts[place[0]]


def _in_order(values: Sequence[str]) -> tuple[str, ...]:
    """Sort names, and numbers by what they are.

    >>> _in_order(["10", "9"]), _in_order(["b", "10", "9"])
    (('9', '10'), ('10', '9', 'b'))
    """
    if all(value.isascii() and value.isdigit() for value in values):
        return tuple(sorted(values, key=lambda value: (int(value), value)))
    return tuple(sorted(values))


def _with_label(info: FileInfo, label: str) -> FileInfo:
    """Return the samples with the labels that a person says their names, or their folders, are.

    Raises:
        UsageError: There is no such part, or it is no label.
    """
    options = {key: value for key, value in info.options.items() if key not in ("label_folder", "label_split")}
    arrays = [array for array in info.arrays if array.field != "labels"]
    if label == NO_LABEL:
        return replace(info, arrays=tuple(arrays), options=options)
    given = _LABEL.fullmatch(label)
    if given is None:
        msg = f"--label {label}: it says no part of a name"
        raise UsageError(msg, hint=LABEL_HINT)
    if given[4]:
        folders = list(map(int, given[4].split(",")))
        options |= {"label_folder": folders if len(folders) > 1 else folders[0]} if folders != [-1] else {}
        key, how = FOLDER, Naming(folder=folders)
    else:
        places = [int(place) for place in given.groups()[1:3] if place is not None]
        options["label_split"] = split = _label_split(info, given[1], places)
        key, how = PART, Naming(split=split)
    try:
        of = {name: how.value(key, Member("", name, b"", info.path)) for name in info.samples}
    except DecodeError as error:
        msg = f"--label {label}: {error.reason}"
        raise UsageError(msg, hint=LABEL_HINT) from None
    classes = _in_order(tuple(set(of.values())))
    if len(classes) == 1:
        msg = f"--label {label}: all have the same there, {classes[0]!r}, so it is no label"
        raise UsageError(msg, hint=LABEL_HINT)
    labels = [replace(array, dtype="int64", shape=array.shape[:1], field="labels", note="") for array in arrays]
    return replace(info, arrays=(*arrays, *(replace(one, classes=classes) for one in labels)), options=options)


def _label_split(info: FileInfo, separator: str | None, places: Sequence[int]) -> LabelSplit:
    """Return the option for a part of the names, between the given separators, or those that all names have."""
    if separator is None:
        stems = [stem(name) for name in info.samples]
        separator = next((one for one in SEPARATORS if all(one in name for name in stems)), "_")
    return [separator, *places]


def _split_by_name(info: FileInfo) -> Iterator[ArrayInfo]:
    """Yield the arrays, of each split apart where names begin with those of splits, and no folder does."""
    if len({array.member for array in info.arrays}) > 1 or not info.arrays:
        yield from info.arrays
        return
    pattern = info.arrays[0].member
    folders, _, last = pattern.rpartition("/")
    fronts = [re.match(r"([A-Za-z]+)([_.-])", name.rpartition("/")[2]) for name in info.samples]
    begun = sorted({front[0] for front in fronts if front})
    if not all(fronts) or len(begun) < 2 or naming.split_of(pattern) or not last.startswith("*"):
        yield from info.arrays
        return
    if not all(word.lower()[:-1] in naming.SPLITS for word in begun):
        yield from info.arrays
        return
    for word in begun:
        narrowed = f"{folders}/{word}{last}" if folders else f"{word}{last}"
        count = sum(map(Pattern(narrowed).matches, info.samples))
        for array in info.arrays:
            yield replace(array, member=narrowed, shape=(count, *array.shape[1:]))


def _refuse_lists(info: FileInfo, others: Sequence[str]) -> None:
    """Refuse samples beside which a list of them lies, an archive, or arrays: they may be the labels or the splits.

    Raises:
        DecodeError: One does.
    """
    kind = KINDS[info.format]
    own = [name for name in others if not is_litter(name)]
    lists = [name for name in own if ending(name) in LISTS and not _is_about(name)][:MOST_LISTS]
    for name in lists:
        if listed := _listed(info, name):
            reason = f"{name!r} lists {listed.named} of its {len(info.samples):,} {kind}, and may be their labels or a "
            if listed.named == "some":
                reason = f"{name!r} is a table beside its {kind}, and may be their labels or a "
            hint = f"{listed.how_to_write(info, name)}. Or leave it out: {_drop(name)}."
            raise DecodeError(info.path, f"{reason}split", hint=hint)
    for endings, what in ((ARRAYS, "arrays"), (ARCHIVES, "an archive")):
        if name := next((one for one in own if ending(one) in endings), ""):
            reason = f"{name!r} is {what} beside its {kind}, and may be {'labels' if what == 'arrays' else 'more'}"
            raise DecodeError(info.path, reason, hint=f"Add it by itself; or leave it out: {_drop(name)}.")


def _is_about(name: str) -> bool:
    return re.match(r"(?i)(readme|licen[cs]e|notice|citation|copying|changelog)", name.rpartition("/")[2]) is not None


def _drop(name: str) -> str:
    return f"--drop {shell_word(name)}"


def shell_word(name: str) -> str:
    """Write a name as one word of a command."""
    return name if re.fullmatch(r"[\w./-]+", name) else f"'{name}'"


class _List(NamedTuple):
    """A text beside samples: how many of them it names, in which column, and by what of their names."""

    named: str
    column: int | str
    match: str
    width: int
    delimiter: str

    def how_to_write(self, info: FileInfo, name: str) -> str:
        """Say what to write in an entry for it: `rows` of a split, or `labels` that are joined by names."""
        place = f"member: {name}" if info.file else f"file: {name}"
        options = ["header: false"] if isinstance(self.column, int) else []
        if self.delimiter != ",":
            options.append(f"delimiter: {'whitespace' if self.delimiter == ' ' else json.dumps(self.delimiter)}")
        shown = f", options: {{{', '.join(options)}}}" if options and self.width > 1 else ""
        if self.named == "some":
            return "Add it by itself"
        if not self.match:
            return f"If it has the labels in the order of the names: `labels: {{{place}, format: csv, options: ...}}`"
        if self.width == 1 and self.column == 0:
            return f"If it is a split: `rows: {{{place}, match: {self.match}}}`"
        join = f"join: {{column: {self.column}, match: {self.match}}}"
        return f"If it has the labels in another column: `labels: {{{place}, format: csv{shown}, column: ..., {join}}}`"


def _listed(info: FileInfo, name: str) -> _List | None:
    """Return what a text beside samples lists of them; None if it is no list."""
    source = ByteSource(info.path, (name,)) if info.file else ByteSource(info.path / name)
    data = bytearray()
    with suppress(DecodeError), opened_source(source, limit=INSPECTED_BYTES, limit_reason=INSPECTED) as stream:
        while len(data) < LIST_BYTES and (piece := stream.some(LIST_BYTES)):
            data += piece
    if not data or not is_text(bytes(data[:4096])):
        return None
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    delimiter = next((one for one in ",;\t" if lines and one in lines[-1]), " ")
    rows = [
        [cell.strip('" ') for cell in (line.split() if delimiter == " " else line.split(delimiter))] for line in lines
    ]
    width, last = min(map(len, rows), default=0), [sample.rpartition("/")[2] for sample in info.samples]
    # A stem that is a number may be a class, or a position, in a list.
    names = {
        "name": set(info.samples),
        "file": set(last),
        "stem": {one for one in map(stem, last) if not one.isdigit()},
    }
    for column, match in itertools.product(range(width), names):
        named = [_part_of(match, row[column]) in names[match] for row in rows]
        if any(named) and 2 * sum(named) >= len(rows):
            title: int | str = rows[0][column] if not named[0] and all(named[1:]) else column
            return _List(f"{sum(named):,}", title, match, width, delimiter)
    counts = {len(info.samples), *(array.shape[0] or 0 for array in info.arrays)}
    is_as_long = len(lines) > 1 and not counts.isdisjoint({len(lines), len(lines) - 1})
    if ending(name) in TABLES and not is_as_long:
        return _List("some", 0, "", width, delimiter)
    return _List("all", 0, "", width, delimiter) if is_as_long else None


def _part_of(match: str, cell: str) -> str:
    last = cell.rpartition("/")[2]
    return cell.removeprefix("./") if match == "name" else last if match == "file" else stem(last) if last else ""


def _summed_up(info: FileInfo) -> Iterator[str]:
    """Say what is left out: a line for each folder that has such files, or, where that is many, for each ending."""
    litter = [name for name in info.others if is_litter(name)]
    if len(info.left_out) <= MOST_LINES:
        yield from info.left_out
    else:
        others = [name for name in info.others if not is_litter(name)]
        for kind, count in Counter(map(ending, others)).most_common():
            example = next(name for name in others if ending(name) == kind)
            yield f"{count:,} files such as {example!r}: none of its {KINDS[info.format]}"
    if litter:
        yield f"{len(litter):,} files of litter, such as {litter[0]!r}"


def sources_of(infos: Sequence[FileInfo]) -> set[str]:
    """Return the names of the files that are declared: of a folder of samples, those that are one."""
    samples = {name for info in infos if not info.file for name in info.samples}
    return samples | {info.file for info in infos if info.file}
