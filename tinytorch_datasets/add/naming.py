"""Names of splits, fields and data sets, guessed from file and member names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.manifest import rules
from tinytorch_datasets.manifest.shards import expand

SPLITS = {
    "train": "train", "training": "train", "trn": "train", "tr": "train",
    "test": "test", "testing": "test", "tst": "test", "t10k": "test", "te": "test", "eval": "test", "holdout": "test",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
}  # fmt: skip
LABELS = frozenset({"y", "label", "labels", "target", "targets"})
INPUTS = frozenset({"x", "image", "images", "img", "imgs", "data", "feature", "features", "input", "inputs", "pixels"})
# Parts of file names that say how a file is written, not what it holds.
NOISE = re.compile(r"idx\d?|ubyte|u?int\d*|npy|npz|gz|bz2|xz|zip|pkl|pickle|txt|csv|tsv|data|batch|set|v?\d+|arr|file")

# Words in front of a number that mean one of several files that are the same, and numbers that do: 00001-of-00004.
PARTS = frozenset({"part", "parts", "shard", "shards", "chunk", "chunks", "piece", "pieces", "batch", "batches"})
_OF_SO_MANY = re.compile(r"[-_.]?of[-_.]?([0-9]+)(?![0-9])", re.IGNORECASE)
NUMBER = re.compile(r"([0-9]+)")

_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*k?|[A-Z]+|\d+")
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SUFFIX = re.compile(
    r"(?i)(\.(gz|bz2|xz|tgz|zip|npy|npz|pkl|pickle|csv|tsv|txt|data|tar|idx|dat|p|text|mat|h5|hdf5"
    r"|json|jsonl|ndjson|parquet|arrow|feather|arff|svm|libsvm))+$"
)


def tokens(name: str) -> list[str]:
    """Split a name into its words.

    >>> tokens("t10k-images-idx3-ubyte"), tokens("xTrain"), tokens("x_train")
    (['t10k', 'images', 'idx3', 'ubyte'], ['x', 'train'], ['x', 'train'])
    """
    return [word.lower() for word in _TOKEN.findall(name)]


def split_of(name: str) -> str | None:
    """Return the split that a path speaks of, in its last part or else in the folder next above; None if in none.

    >>> split_of("train-images-idx3-ubyte.gz"), split_of("test/images.npy"), split_of("val2017/x.npy"), split_of("iris")
    ('train', 'test', 'val', None)

    Raises:
        UsageError: The last part names two splits.
    """
    splits = _splits_in(stem(name))
    if len(splits) > 1:
        what = f"{name!r} names two splits, {' and '.join(splits)}"
        raise UsageError(what, hint="Say which one it is: --split SPLIT=NAME.")
    # Folders are not recognized by abbreviations: tr/ and te/ are languages as well.
    above = (_splits_in(part, shortest=3) for part in reversed(name.split("/")[:-1]))
    return next((names[0] for names in (splits, *above) if len(names) == 1), None)


def _splits_in(name: str, *, shortest: int = 2) -> list[str]:
    return list(dict.fromkeys(split for word in tokens(name) if len(word) >= shortest and (split := _split_word(word))))


def _split_word(word: str) -> str | None:
    """Return the split that a word means, also with a number behind it: train2017, test_2."""
    return SPLITS.get(word) or SPLITS.get(word.rstrip("0123456789"))


def field_of(name: str, shape: tuple[int | None, ...], kind: str) -> str:
    """Return the field that a name speaks of; if it speaks of none, what an array of that shape most likely is.

    >>> field_of("y_train", (60,), "i"), field_of("x_test", (60, 8, 8), "u"), field_of("fine_labels", (60,), "i")
    ('labels', 'images', 'fine_labels')
    >>> field_of("labels/train.npy", (60,), "f")
    'labels'
    """
    words = [word for word in tokens(stem(name)) if not _split_word(word)]
    plain = [word for word in words if not NOISE.fullmatch(word) or word in INPUTS]
    if not plain:  # labels/train.npy
        plain = [word for part in name.split("/")[:-1] for word in tokens(part) if word in LABELS][-1:]
    if len(plain) > 1 or (plain and plain[0] not in LABELS | INPUTS):
        return field_name("_".join(plain))
    if plain and plain[0] in LABELS:
        return "labels"
    if len(shape) == 1:
        return "texts" if kind == "str" else "labels" if kind in "iu" and not plain else "numbers"
    return "features" if len(shape) == 2 else "images"


def stem(name: str) -> str:
    """Return a file's name without its folder and its endings.

    >>> stem("splits/train-images.idx.gz"), stem("cifar-10-python.tar.gz"), stem("pairs.jsonl")
    ('train-images', 'cifar-10-python', 'pairs')
    """
    return _SUFFIX.sub("", name.rpartition("/")[2]) or name


class Numbered(NamedTuple):
    """The number in which the names of several files differ: what is `before` and `behind` it, and each as written."""

    before: str
    behind: str
    numbers: tuple[str, ...]

    @property
    def first(self) -> int:
        """The lowest of the numbers."""
        return min(map(int, self.numbers))

    @property
    def word(self) -> str:
        """The last word in front of the number, without the folder; "" if there is none."""
        return next(reversed(tokens(self.before.rpartition("/")[2])), "")

    @property
    def total(self) -> int | None:
        """How many files there are, as the names say; None if they do not."""
        total = _OF_SO_MANY.match(self.behind)
        return int(total[1]) if total else None

    def pattern(self, names: Mapping[str, Any]) -> str:
        """Return the pattern that takes the files, and no other of all `names`: with a sign, or a range of numbers."""
        pattern = f"{self.before}*{self.behind}"
        if len(expand(pattern, names)[0]) > len(self.numbers):
            in_order = sorted(self.numbers, key=int)
            pattern = f"{self.before}{{{in_order[0]}..{in_order[-1]}}}{self.behind}"
        return pattern


def without_numbers(name: str) -> str:
    """Return what is the same in names that differ in numbers alone.

    >>> without_numbers("train-00000-of-00011.csv")
    'train-#-of-#.csv'
    """
    return NUMBER.sub("#", name)


def numbered(names: Sequence[str]) -> Numbered | None:
    """Return the one number in which several names differ; None if they differ in more.

    >>> numbered(["x1-0.npy", "x1-1.npy"]), numbered(["x1-0.npy", "x2-1.npy"])
    (Numbered(before='x1-', behind='.npy', numbers=('0', '1')), None)
    """
    texts = [NUMBER.split(name) for name in names]
    places = [place for place, texts_there in enumerate(zip(*texts, strict=True)) if len(set(texts_there)) > 1]
    if len(places) != 1 or places[0] % 2 == 0:
        return None
    (place,), one = places, texts[0]
    return Numbered("".join(one[:place]), "".join(one[place + 1 :]), tuple(text[place] for text in texts))


def entry_name(name: str) -> str:
    """Make a name that the manifest allows for a data set.

    >>> entry_name("Iris Flowers (1936)"), entry_name("--")
    ('iris-flowers-1936', 'dataset')
    """
    kept = re.sub(r"[^a-z0-9._]+", "-", _plain_letters(name)).strip("-._")
    return kept[:64].rstrip("-._") or "dataset"


def _plain_letters(name: str) -> str:
    """Return a name in small letters without accents, and a blank for each letter that is still not of ASCII."""
    apart = unicodedata.normalize("NFKD", name).casefold()
    return "".join(sign if sign.isascii() else " " for sign in apart if not unicodedata.combining(sign))


def field_name(name: str) -> str:
    r"""Make a name that the manifest allows for a field or a split.

    >>> field_name("Sepal Length (cm)"), field_name("2nd"), field_name("samples")
    ('sepal_length_cm', 'f_2nd', 'samples_')
    >>> field_name("\u00c9tiquette"), field_name("Gr\u00f6\u00dfe")
    ('etiquette', 'grosse')
    """
    kept = re.sub(r"[^a-z0-9]+", "_", _plain_letters(name)).strip("_")[:60]
    kept = kept if kept[:1].isalpha() else f"f_{kept}".rstrip("_")
    return kept if is_field_name(kept) else f"{kept}_"


def column_field(key: str) -> str:
    """Return the field that a column of a table is by its name.

    >>> column_field("Label"), column_field("Sepal.Length"), column_field("0")
    ('labels', 'sepal_length', 'column_0')
    """
    if key.casefold() in LABELS:
        return "labels"
    return f"column_{key}" if key.isdecimal() else field_name(key)


def is_field_name(name: str) -> bool:
    """Check whether a field or split may have that name: code and the manifest mean something else by some.

    >>> is_field_name("sepal_length"), is_field_name("samples"), is_field_name("Sepal")
    (True, False, False)
    """
    return _FIELD_NAME.fullmatch(name) is not None and not rules.is_reserved(name)


def common(names: list[str]) -> str:
    """Return what several file names have in common at their front, in whole words; "" if nothing.

    >>> common(["flowers-train.csv", "flowers-test.csv"]), common(["train.csv", "test.csv"])
    ('flowers', '')
    """
    words = [[word for word in tokens(stem(name)) if not _split_word(word)] for name in names]
    shared = []
    for group in zip(*words, strict=False):
        if len(set(group)) > 1:
            break
        shared.append(group[0])
    while shared and (NOISE.fullmatch(shared[-1]) or shared[-1] in LABELS | INPUTS):
        shared.pop()
    return "-".join(shared)


# The last parts of addresses that name what is done, and not what comes: OSF's /download, Zenodo's /content.
_ACTIONS = frozenset({
    "access", "attachment", "bitstream", "blob", "content", "datafile", "download", "downloads", "export", "fetch",
    "file", "files", "get", "latest", "media", "object", "original", "raw", "resolve", "stream", "uc", "view",
})  # fmt: skip
_SCRIPT = r"php\d?|aspx?|ashx|axd|cgi|jspx?|do|action|exe|dll|pl|rb|py"
_FILE_SUFFIX = re.compile(rf"(?i).+\.(?!({_SCRIPT})$)[a-z][a-z0-9]{{0,9}}")


def file_name(url: str, disposition: str = "") -> str:
    """Name the file that an address gives: by its last part, by what the host calls it, by the query, or a part before.

    Args:
        url: The address.
        disposition: The value of the header field Content-Disposition, if one came.

    >>> file_name("https://example.org/data/iris%20v1.csv?download=1")
    'iris v1.csv'
    >>> file_name("https://example.org/get.php?file=a/iris.csv"), file_name("https://example.org/iris.csv/content")
    ('iris.csv', 'iris.csv')
    >>> file_name("https://example.org/abc12/download", 'attachment; filename="iris.csv"')
    'iris.csv'
    """
    parts = url_parts(url)
    if parts and _FILE_SUFFIX.fullmatch(parts[-1]):
        return parts[-1]
    if disposition and (name := _disposition_name(disposition)):
        return name
    values = [safe_name(value) for _, value in parse_qsl(urlsplit(url).query)]
    if name := next((value for value in values if _FILE_SUFFIX.fullmatch(value)), ""):
        return name
    names = [part for part in parts if part.lower() not in _ACTIONS]
    return names[-1] if names else parts[-1] if parts else "data"


def url_parts(url: str) -> list[str]:
    """List the parts of an address's path, each as it may be a file's or a folder's name."""
    return [part for part in map(safe_name, map(unquote, urlsplit(url).path.split("/"))) if part]


def with_query(name: str, url: str) -> str:
    """Make a name that tells one address from another by the values of their queries.

    >>> with_query("data.csv", "https://example.org/data.csv?year=2019&month=5")
    'data-2019-5.csv'
    """
    front, dot, suffix = name.partition(".")
    values = [safe_name(value) for _, value in parse_qsl(urlsplit(url).query)]
    return "-".join([front, *values]) + dot + suffix


def safe_name(name: str) -> str:
    """Make the last part of a path a name that every disk can store; "" if nothing is left of it.

    >>> safe_name("a/b:c.csv"), safe_name("..")
    ('b_c.csv', '')
    """
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rstrip("/").rpartition("/")[2])
    return "".join("_" if c in '<>:"|?*' or not c.isprintable() else c for c in name).strip(" .")


def _disposition_name(disposition: str) -> str:
    """Return the file name in a Content-Disposition (RFC 6266), also one that is encoded."""
    message = Message()
    # Headers arrive as Latin-1, whatever they are; most hosts mean UTF-8.
    with suppress(UnicodeError):
        disposition = disposition.encode("latin-1").decode("utf-8")
    message["Content-Disposition"] = re.sub(r"[\r\n]", " ", disposition)
    try:
        return safe_name(message.get_filename() or "")
    except (ValueError, LookupError):  # an encoding that nobody knows
        return ""
