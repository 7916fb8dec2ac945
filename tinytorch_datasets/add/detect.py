"""Detection of formats, fields and shapes, from the bytes.

Told from the bytes, never from the name.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.add import detect_csv, naming
from tinytorch_datasets.add.fileinfo import INFLATED_BYTES, INSTRUCTIONS, Look, Seen
from tinytorch_datasets.errors import DecodeError, UnsafePickle
from tinytorch_datasets.formats.cifar_python import PIXELS
from tinytorch_datasets.formats.idx import TYPES
from tinytorch_datasets.plan import DTYPES, TEXT
from tinytorch_datasets.readers import tar
from tinytorch_datasets.readers.pickle.load import as_text, load_dict
from tinytorch_datasets.readers.stream import opened
from tinytorch_datasets.readers.zip import opened_zip
from tinytorch_datasets.verify.diagnose import foreign

LABEL_KEYS = ("labels", "fine_labels", "coarse_labels")
NAME_KEYS = {"labels": "label_names", "fine_labels": "fine_label_names", "coarse_labels": "coarse_label_names"}


def look(path: Path, file: str) -> Look:
    """What an archive of batches holds. Nothing is extracted: members are read where they are."""
    loaded = {}
    limit = max(INFLATED_BYTES, path.stat().st_size)
    for name, stream in tar.files(path, limit=limit, promise="the most that is read to recognise a file"):
        most_bytes = min(stream.size or 0, limit)
        try:
            loaded[name] = load_dict(stream.some, path, most=INSTRUCTIONS, declared=most_bytes, member=name)
        except UnsafePickle:
            raise
        except DecodeError:
            continue  # a readme, which is no batch
    found = {name: batch for name, batch in loaded.items() if _is_batch(batch)}
    if not found:
        reason = "it is a tar archive, and none of its members is a batch of CIFAR's"
        raise DecodeError(path, reason, hint="Unpack it, and add the files in it.")
    key = next(k for k in LABEL_KEYS if k in next(iter(found.values())))
    classes = next((tuple(map(as_text, m[NAME_KEYS[key]])) for m in loaded.values() if NAME_KEYS[key] in m), None)
    seen = []
    for name in sorted(found, key=_naturally):
        samples, split = len(found[name]["data"]), naming.split_of(name) or "train"
        about: dict[str, Any] = {"split": split, "member": name}
        seen.append(Seen("", "uint8", (samples, 3, 32, 32), field="images", **about))
        seen.append(Seen("", "int64", (samples,), field="labels", classes=classes, **about))
    return Look(file, path, "cifar-python", tuple(seen), {"labels": key} if key != "labels" else {})


def _is_batch(loaded: dict[Any, Any]) -> bool:
    data = loaded.get("data")
    is_images = isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == PIXELS
    return is_images and any(key in loaded for key in LABEL_KEYS)


def _naturally(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


HEAD_BYTES = 2**16
_OLD_PICKLE = re.compile(rb"\(dp[0-9]+\r?\n|\}q\0")
NUMBERS = frozenset(DTYPES) - {TEXT}


def looks(files: Iterable[tuple[Path, str]]) -> list[Look]:
    """Recognise the files of a data set, each at a path and with a name in it. Tables are looked at together.

    Raises:
        DecodeError: One is none of the formats, or it is damaged.
    """
    found = [_look(path, file) for path, file in files]
    told = iter(detect_csv.looks([one for one in found if isinstance(one, detect_csv.Table)]))
    return [next(told) if isinstance(one, detect_csv.Table) else one for one in found]


def _look(path: Path, file: str) -> Look | detect_csv.Table:
    with path.open("rb") as raw:
        packed = raw.read(4)
    with opened(path, limit=INFLATED_BYTES, promise="the most that is read to recognise a file") as stream:
        head = b""
        while len(head) < HEAD_BYTES and (more := stream.some(HEAD_BYTES - len(head))):
            head += more
    if not head:
        raise DecodeError(path, "it is empty", hint="Leave it out, or name the one that you meant.")
    for is_one, read in _KINDS:
        if is_one(packed if read is _npz else head, path):
            return read(path, file, head)
    what = foreign(head, file) or f"something that begins with {head[:8]!r}"
    hint = f"There are: {', '.join(formats.known())}."
    raise DecodeError(path, f"its format is not recognised: it is {what}", hint=hint)


def _is_idx(head: bytes, path: Path) -> bool:
    return len(head) > 4 and head[:2] == b"\0\0" and head[2] in TYPES and 0 < head[3] < 9


def _idx(path: Path, file: str, head: bytes) -> Look:
    dimensions = head[3]
    shape = tuple(int(n) for n in np.frombuffer(head, ">u4", dimensions, 4))
    return Look(file, path, "idx", (Seen("", np.dtype(TYPES[head[2]]).name, shape),))


def _npy(path: Path, file: str, head: bytes) -> Look:
    return Look(file, path, "npy", (_array(head, "", path),))


def _npz(path: Path, file: str, head: bytes) -> Look:
    with opened_zip(path) as archive:
        keys = [name.removesuffix(".npy") for name in archive.entries if name.endswith(".npy")]
        if not keys:
            reason = "it is a zip archive without arrays; of those only NumPy's npz is read"
            raise DecodeError(path, reason, hint="Unpack it, and add the files in it.")
        heads = {key: archive.member(f"{key}.npy", key, keys).some(HEAD_BYTES) for key in keys}
    return Look(file, path, "npz", tuple(_array(head, key, path) for key, head in heads.items()))


def _array(head: bytes, key: str, path: Path) -> Seen:
    stream = io.BytesIO(bytes(head))
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(stream)
    except ValueError as error:
        raise DecodeError(path, f"array {key or 'itself'!r} has no header that can be read: {error}") from error
    return Seen(key, dtype.name, shape)


def _is_pickle(head: bytes, path: Path) -> bool:
    """A dictionary of protocol 0 or 1 begins with letters, as texts do; but not with these."""
    return (head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")) or bool(_OLD_PICKLE.match(head))


def _pickle(path: Path, file: str, head: bytes) -> Look:
    limit = max(INFLATED_BYTES, path.stat().st_size)
    with opened(path, limit=limit, promise="the most that is read to recognise a file") as stream:
        loaded = load_dict(stream.whole(), path, most=INSTRUCTIONS)
    seen = [_held(as_text(key), value) for key, value in loaded.items()]
    return Look(file, path, "pickle", tuple(one for one in seen if one))


def _held(key: str, value: Any) -> Seen | None:
    if isinstance(value, np.ndarray):
        return Seen(key, value.dtype.name, value.shape)
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return Seen(key, "int64", (len(value),))
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return Seen(key, TEXT, (len(value),))
    return None


def _is_text(head: bytes, path: Path) -> bool:
    if b"\0" in head or not head:
        return False
    try:
        head[: max(len(head) - 4, 1)].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 8 and error.start > 0
    return foreign(head, "data") is None


def _qa(path: Path, file: str, head: bytes) -> Look:
    with opened(path, limit=INFLATED_BYTES, promise="the most that is read to recognise a file") as stream:
        pairs = stream.whole().count(b"\nA: ")
    of_samples = (Seen("", TEXT, (pairs,), field=name) for name in ("questions", "answers"))
    return Look(file, path, "qa-text", (*of_samples, Seen("", TEXT, (1,), field="text", per="split")))


def _text(path: Path, file: str, head: bytes) -> Look:
    return Look(file, path, "text", (Seen("", TEXT, (1,), field="text"),), {"unit": "document"})


def _table(path: Path, file: str, head: bytes) -> detect_csv.Table:
    return detect_csv.read(path, file)


def _is_table(head: bytes, path: Path) -> bool:
    if not _is_text(head, path):
        return False
    text = head.decode("utf-8", "ignore")
    return detect_csv.delimiter_of(text, path.name) is not None or detect_csv.calls_itself_one(text, path.name)


def _batches(path: Path, file: str, head: bytes) -> Look:
    return look(path, file)


_Read = Callable[[Path, str, bytes], Look | detect_csv.Table]
_KINDS: tuple[tuple[Callable[[bytes, Path], bool], _Read], ...] = (
    (lambda head, path: head == b"PK\x03\x04", _npz),
    (lambda head, path: head[:6] == b"\x93NUMPY", _npy),
    (lambda head, path: head[257:262] == b"ustar", _batches),
    (_is_pickle, _pickle),
    (_is_idx, _idx),
    (lambda head, path: _is_text(head, path) and head[:3] == b"Q: " and b"\nA: " in head, _qa),
    (_is_table, _table),
    (_is_text, _text),
)


def placed(found: list[Look], wanted: Callable[[str], str | None]) -> Iterator[tuple[Look, Seen, str, str]]:
    """Everything seen, with the split and the field that it is. `wanted` is what a person said of a name."""
    for one in found:
        for seen in one.seen:
            said = wanted(seen.member or seen.key) or wanted(one.file)
            split = (
                said or seen.split or naming.split_of(seen.member or seen.key) or naming.split_of(one.file) or "train"
            )
            # NumPy has names for dtypes that it does not read back, such as str32; they are left out as unusable.
            kind = TEXT if seen.dtype not in NUMBERS else np.dtype(seen.dtype).kind
            field = seen.field or naming.field_of(seen.key or one.file, seen.shape, kind)
            yield one, seen, split, field


def usable(seen: Seen) -> bool:
    """Whether the manifest can declare it: plain numbers or text, with one sample or more."""
    return seen.dtype in DTYPES and bool(seen.shape) and math.prod(seen.shape) > 0
