"""Recordings, a file each: the members of an archive, or the files of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.errors import Aspect, ContentError, DecodeError, Problems
from tinytorch_datasets.formats import INSPECTED, INSPECTED_BYTES, ArrayInfo, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import TEXT, Block, Column, Split, format_shape
from tinytorch_datasets.readers.archives import tar
from tinytorch_datasets.readers.archives.members import Member, Pattern, files_of
from tinytorch_datasets.readers.archives.samples import (
    LabelSplit,
    Naming,
    check_naming,
    class_names,
    decode_members,
    ending,
    grouped,
    key_of,
    left_out,
)
from tinytorch_datasets.readers.archives.source import is_litter, is_zip
from tinytorch_datasets.readers.archives.zip import opened_zip
from tinytorch_datasets.readers.sound import (
    AS_PCM,
    ENDINGS,
    LIBRARY,
    Recording,
    is_wav,
    kind_of_sound,
    read_compressed,
    read_wav,
)
from tinytorch_datasets.readers.stream import OUTPUT_CHUNK, Stream, opened
from tinytorch_datasets.verify.diagnose import kind_of

RECORDING, RATE = "recording", "rate"

BLOCK_BYTES = 1 << 22

Length = Literal["pad", "cut", "fit"]

# The endings of names that archives of recordings have, and the longest file that is read to recognize it.
SOUNDS = (".wav", ".wave", *ENDINGS)
LARGEST = 1 << 28

AS_ONE_SCALE = "Convert them, so that the numbers of all are on one scale."


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """A rate that no recording has, and labels that no name has."""
    rate = options.get("rate")
    if rate is not None and rate < 1:
        yield ("rate",), "is the number of frames a second, which is 1 or more"
    yield from check_naming(options)


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize an archive of recordings: half of its files, or more, are called so."""
    if is_zip(path):
        with opened_zip(path) as archive:
            names = [name for name, entry in archive.entries.items() if entry.is_file and not is_litter(name)]
        is_it = _are_mostly_sound(names)
    elif (is_wav(head) or kind_of_sound(head)) and (kind := kind_of(head)):
        return Detection(Certainty.CERTAIN, lambda: _refuse_one(path, kind.name))
    else:
        begun = tar.begun(head, path) if head[257:262] == b"ustar" else []
        is_it = any(_is_sound(name, data) for name, data in begun if not is_litter(name))
    members = files_of(path, limit=INSPECTED_BYTES, limit_reason=INSPECTED)
    return Detection(Certainty.CERTAIN, lambda: _describe(path, members)) if is_it else None


def _refuse_one(path: Path, kind: str) -> NoReturn:
    hint = "Add the folder, or the archive, that all of its recordings are in."
    raise DecodeError(path, f"it is one recording, {kind}, and no data set of them", hint=hint)


def _are_mostly_sound(names: Sequence[str]) -> bool:
    called = sum(ending(name) in SOUNDS for name in names)
    return bool(called) and 2 * called >= len(names)


def _is_sound(name: str, data: bytes) -> bool:
    return ending(name) in SOUNDS and (is_wav(data) or kind_of_sound(data) is not None)


def inspect_files(
    files: Sequence[tuple[Path, str]], given: Mapping[str, Any], *, is_said: bool = False
) -> FileInfo | None:
    """Return the splits of files, each with its path and its name, if most are recordings, or said to be; else None.

    No option that was `given` changes what is found.

    Raises:
        DecodeError: One is damaged, or they are not alike.
    """
    roots = {path.as_posix().removesuffix(f"/{name}") for path, name in files}
    if len(roots) > 1 or not (is_said or _are_mostly_sound([name for _, name in files])):
        return None
    return _describe(Path(roots.pop()), _opened(files))


def _opened(files: Sequence[tuple[Path, str]]) -> Iterator[tuple[Member, Stream]]:
    for path, name in files:
        with opened(path) as stream:
            yield Member("", name, b"", path, is_packed=False), stream


def _describe(path: Path, files: Iterator[tuple[Member, Stream]]) -> FileInfo:
    """Return the splits of an archive, or of files: their recordings, and labels where folders are classes."""
    names, others, lengths, channels = list[str](), list[str](), set[int](), set[int]()
    alike, first = _Alike(None, may_rates_differ=False), None
    for file, stream in files:
        if is_litter(file.name):
            others.append(file.name)
            continue
        data = bytearray()
        while (ending(file.name) in SOUNDS) and len(data) <= LARGEST and (piece := stream.some(OUTPUT_CHUNK)):
            data += piece
        member = file._replace(data=bytes(data))
        if not _is_sound(file.name, member.data):
            others.append(file.name)
            continue
        if len(data) > LARGEST:
            member.fail(f"it is longer than {LARGEST:,} bytes, the most that is read of one to recognize it")
        recording = _read(member)
        alike.check(member, recording)
        first = first or recording._replace(frames=recording.frames[:0].copy())
        names.append(file.name)
        lengths.add(len(recording.frames))
        channels.add(recording.frames.shape[1])
        if len(channels) > 1:
            member.fail(f"it has {recording.frames.shape[1]} channels, and others have {first.frames.shape[1]}")
    if first is None:
        raise DecodeError(path, "it has files that are called as recordings are, and none of them is one")
    own, samples = [name for name in others if not is_litter(name)], tuple(sorted(names))
    groups = grouped(path, samples, own, "recordings")
    labels, levels = class_names(groups), groups[0].label_folder
    options: dict[str, Any] = {"rate": first.rate}
    if labels and levels != (-1,):
        options["label_folder"] = list(levels) if len(levels) > 1 else levels[0]
    shape = (lengths.pop() if len(lengths) == 1 else None, *(channels if channels != {1} else ()))
    arrays, dtype = list[ArrayInfo](), first.frames.dtype.name
    for group in groups:
        for pattern in group.patterns:
            count = sum(map(Pattern(pattern).matches, group.samples))
            arrays.append(ArrayInfo("", dtype, (count, *shape), field="recordings", member=pattern))
            if labels:
                arrays.append(ArrayInfo("", "int64", (count,), field="labels", member=pattern, classes=labels))
    why = tuple(left_out(own, "no recording"))
    return FileInfo(path, "audio", tuple(arrays), options, left_out=why, samples=samples, others=tuple(others))


class _Wish(NamedTuple):
    """What the recordings of a column should be; `frames` and `channels` are None where they may differ.

    `dtype` is "" where the numbers are scaled afterwards, and may be whole numbers of any size.
    """

    column: Column
    frames: int | None
    channels: int | None
    dtype: str
    length: Length | None

    @classmethod
    def of(cls, column: Column, length: Length | None) -> _Wish:
        """Return what a column declares.

        Raises:
            ContentError: No recording is that.
            DecodeError: No length is declared, and other lengths should be made that.
        """
        shape = column.shape
        if column.is_text or not 1 <= len(shape) <= 2:
            declared = TEXT if column.is_text else f"of the shape {format_shape(shape)}"
            reason = (
                f"{column} is recordings, whose shape is such as [null], [null, 2] or [16000], and it is {declared}"
            )
            raise _error(column, "dtype" if column.is_text else "shape", "recordings", declared, reason)
        frames, channels = (shape[0], 1) if len(shape) == 1 else shape
        if len(shape) == 2 and shape[0] == 1 and shape[1] != 1:
            frames, channels = shape[1], 1  # the axis of the one channel first, as some libraries have it
        if length is not None and frames is None:
            reason = f"{column} has the shape {format_shape(shape)}, and nothing says to which length to {length}"
            raise DecodeError(column.file, reason, keys=("options", "length"))
        return cls(column, frames, channels, "" if column.factor is not None else column.dtype, length)

    def numbers(self, member: Member, recording: Recording) -> np.ndarray:
        """Return the numbers of a recording, cut or padded: (frames,) of one channel, else (frames, channels).

        Raises:
            ContentError: They are not as declared.
        """
        frames, channels = recording.frames, recording.frames.shape[1]
        if self.channels not in (None, channels):
            self._fail(member, "shape", f"{self.channels} of them", f"{channels} channels", "channels are not mixed")
        if self.dtype and self.dtype != frames.dtype.name:
            hint = "Declare its dtype; or a float, and `scale`, by which whole numbers are multiplied."
            stored = f"{recording.stored}, which are {frames.dtype.name}"
            self._fail(member, "dtype", self.dtype, stored, hint)
        if not self.dtype and frames.dtype.kind not in "iu":
            self._fail(member, "dtype", "whole numbers, to be scaled", recording.stored, "Leave `scale` out.")
        frames = self._of_length(member, frames)
        frames = frames[:, 0] if self.channels == 1 else frames
        if self.column.is_ragged and frames.ndim != len(self.column.shape):
            return frames.reshape([size or -1 for size in self.column.shape])  # with the axis of the one channel
        return frames

    def _of_length(self, member: Member, frames: np.ndarray) -> np.ndarray:
        if self.frames is None or len(frames) == self.frames:
            return frames
        if len(frames) < self.frames and self.length in ("pad", "fit"):
            whole = np.zeros((self.frames, frames.shape[1]), frames.dtype)
            whole[:] = 128 if frames.dtype == np.uint8 else 0
            whole[: len(frames)] = frames
            return whole
        if len(frames) > self.frames and self.length in ("cut", "fit"):
            return frames[: self.frames].copy()  # without the rest, which may be large
        change = "pad" if len(frames) < self.frames else "cut"
        hint = f"Frames come first in a shape. To {change} recordings to that length: options: {{length: {change}}}."
        return self._fail(member, "shape", f"{self.frames:,}", f"{len(frames):,} frames", hint)

    def _fail(self, member: Member, aspect: Aspect, expected: str, actual: str, hint: str) -> NoReturn:
        reason = f"it has {actual}, and {self.column} declares {expected}"
        reason = f"member {member.name!r}: {reason}" if member.is_packed else reason
        error = _error(self.column, aspect, expected, actual, reason)
        error.path, error.hint = member.path, hint
        raise error


class _Alike:
    """What the recordings of a file must have in common, where nothing declares it: their rate, how they are stored."""

    def __init__(self, rate: int | None, *, may_rates_differ: bool) -> None:
        self._rate, self._may_rates_differ = rate, may_rates_differ
        self._first: tuple[Recording, str] | None = None

    def check(self, member: Member, recording: Recording) -> None:
        """Check one more.

        Raises:
            DecodeError: It is another.
        """
        if self._rate is not None and recording.rate != self._rate:
            hint = "Nothing is resampled: correct `rate`, or leave it out: options: {skip: [...]}."
            member.fail(f"it has {recording.rate:,} frames a second, and declared is `rate: {self._rate}`", hint=hint)
        if self._first is None:
            self._first = recording._replace(frames=recording.frames[:0]), member.name
        first, name = self._first
        if recording.stored != first.stored:
            member.fail(f"it has {recording.stored}, and {name!r} has {first.stored}", hint=AS_ONE_SCALE)
        if not self._may_rates_differ and recording.rate != first.rate:
            hint = "Convert them to one, or have each one's in a field: {rates: rate}, of the dtype int32."
            member.fail(f"it has {recording.rate:,} frames a second, and {name!r} has {first.rate:,}", hint=hint)


@decodes(
    "audio",
    layout="file per sample",
    check=_check,
    detect=_detect,
    needs_by_ending=dict.fromkeys(ENDINGS, LIBRARY),
    sample=lambda column, options: _sample(column, options),
)
def audio(
    splits: Sequence[Split],
    *,
    rate: int | None = None,
    length: Length | None = None,
    label_folder: int | list[int] | str = -1,
    label_split: LabelSplit | None = None,
    skip: list[str] | None = None,
) -> Iterator[Block]:
    """A recording a sample: the members of a zip or tar archive, or files in folders, whose names may be labels.

    Files are WAV with whole numbers of 8, 16, 24 or 32 bits or floats of 32 or 64; or FLAC, Ogg (Vorbis, Opus) or MP3,
    by soundfile, which the extra `audio` brings. Each is recognized by its bytes:

        train: {samples: 2_700, file: digits.zip, members: ["*/recordings/*.wav"], recordings: recording, labels: part}
        test: {samples: 300, members: ["test/*/*.wav"], recordings: recording, labels: folder}

    The members of a split are patterns or exact names, in order as those of `texts`. A field's key says what it is:
    `recording` is the numbers, `rate` the frames a second, `folder` the name of the folder that it is in, `part` a part
    of its own name, `name` its own name with all folders. Where no key says so, a field with classes is the folder, or
    the part if `label_split` says which; another is the recording.

    The shape is `[null]` where recordings differ in length, and `[16_000]` where all have so many frames; of two
    channels it is `[null, 2]`. Channels are never mixed, and nothing is resampled. Numbers are as they are stored, and
    the dtype is theirs: uint8 from 8 bits (silence is 128), int16, int32 from 24 bits (from -8,388,608 on) and from 32,
    float32, float64. FLAC has int8, int16 and int32. Ogg and MP3 come as float32, whose last bits are those of the
    decoder: another version of soundfile may make others.

    With `scale` a field of floats has whole numbers times that: from -1 to 1 it is `scale: 0.000030517578125` for 16
    bits, which is 1/32768. All recordings of a file are stored alike, and at one rate, unless a field has the rate of
    each.

    The chunk of the numbers must be there whole. Where it is said to be of 0 or of 4 GiB, as a program leaves it that
    cannot go back, it ends with the file; what follows the end that all sizes agree on is passed over. Sizes that are
    otherwise wrong are errors, and so are WAV of more than 4 GiB (RF64) and compressed numbers in WAV.

    Args:
        splits: What to decode.
        rate: How many frames a second every recording must have, by its header.
        length: What is done with recordings that are not as long as the declared shape: "pad" adds silence at the end
            of shorter ones, "cut" takes the first frames of longer ones, "fit" does both. If left out, another length
            is an error.
        label_folder: Which folder is the label: -1 is the one right above the file, -2 the one above that, 0 the
            outermost. Of a list, the folders with a slash between them; of a path, all folders below that one.
        label_split: Which part of the name, without its ending, is the label: `["_", 0]` is what is before the first
            `_`, `["_", 0, -1]` all that is before the last.
        skip: Members of splits that are no samples, by exact name. Each must be there.

    Raises:
        MissingLibrary: A recording is FLAC, Ogg or MP3, and soundfile is not installed.
        DecodeError: A recording or the archive is damaged, or of a kind that is not read; the reason names the member.
        ContentError: A recording is not as declared, or there are more than declared.
    """
    naming = Naming(label_folder, label_split)

    def read(its: Mapping[str, Split], members: Iterator[Member]) -> Iterator[tuple[Member, list[Any], int]]:
        parts = {name: [(c, _part(c, naming, length)) for c in split.columns.values()] for name, split in its.items()}
        alike = _Alike(rate, may_rates_differ=all(any(part == RATE for _, part in of) for of in parts.values()))
        for member in members:
            recording = _read(member)
            values = [_value(c, part, member, recording, naming) for c, part in parts[member.split]]
            alike.check(member, recording)
            yield member, values, sum(value.nbytes for value in values if isinstance(value, np.ndarray))

    yield from decode_members(splits, "recordings", read, skip=skip, block_size=BLOCK_BYTES)


def _sample(column: Column, options: Mapping[str, Any]) -> Callable[[bytes], np.ndarray]:
    """Return what decodes one recording, of bytes that were checked when the cache took them in."""
    wish = _Wish.of(column, options.get("length"))
    return lambda data: wish.numbers(member := Member.of_cache(data), _read(member))


def _part(column: Column, naming: Naming, length: Length | None) -> _Wish | str:
    """Return what the recordings of a column should be, or, if it has none, what of a file it is."""
    if column.key == RATE:
        if column.shape or column.classes or np.dtype(column.dtype).kind not in "iu":
            declared = f"{column.dtype} of the shape {format_shape(column.shape)}"
            reason = f"{column} is the rate, which is a whole number, and declared as {declared}"
            raise _error(column, "dtype", "a whole number", declared, reason)
        return RATE
    key = key_of(column, RECORDING, "recording", naming)
    return _Wish.of(column, length) if key == RECORDING else key


def _value(column: Column, part: _Wish | str, member: Member, recording: Recording, naming: Naming) -> Any:
    if isinstance(part, _Wish):
        return part.numbers(member, recording)
    if part != RATE:
        return naming.value(part, member)
    if recording.rate > np.iinfo(column.dtype).max:
        reason = f"{column} is declared as {column.dtype}, and a recording has {recording.rate:,} frames a second"
        raise _error(column, "dtype", column.dtype, recording.rate, reason)
    return np.array(recording.rate, column.dtype)


def _read(member: Member) -> Recording:
    if is_wav(member.data):
        return read_wav(member)
    if kind := kind_of_sound(member.data):
        return read_compressed(member, kind)
    reason = f"it is no recording that is read, but something that begins with {member.data[:4]!r}"
    return member.fail(reason, hint=AS_PCM)


def _error(column: Column, aspect: Aspect, expected: Any, actual: Any, reason: str) -> ContentError:
    return ContentError(column.file, reason, aspect=aspect, expected=expected, actual=actual, column=str(column))
