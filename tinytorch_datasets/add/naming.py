"""Names of splits, fields and data sets, guessed from file and member names."""

from __future__ import annotations

import re

from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.manifest import rules

SPLITS = {
    "train": "train", "training": "train", "trn": "train", "tr": "train",
    "test": "test", "testing": "test", "tst": "test", "t10k": "test", "te": "test", "eval": "test", "holdout": "test",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
}  # fmt: skip
LABELS = frozenset({"y", "label", "labels", "target", "targets"})
INPUTS = frozenset({"x", "image", "images", "img", "imgs", "data", "feature", "features", "input", "inputs", "pixels"})
# Parts of file names that say how a file is written, not what it holds.
NOISE = re.compile(r"idx\d?|ubyte|u?int\d*|npy|npz|gz|bz2|xz|zip|pkl|pickle|txt|csv|tsv|data|batch|v?\d+|arr|file")

_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*k?|[A-Z]+|\d+")
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SUFFIX = re.compile(r"(?i)(\.(gz|bz2|xz|tgz|zip|npy|npz|pkl|pickle|csv|tsv|txt|data|tar|idx|dat|p|text))+$")


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
    # Folders are not told by abbreviations: tr/ and te/ are languages as well.
    above = (_splits_in(part, shortest=3) for part in reversed(name.split("/")[:-1]))
    return next((found[0] for found in (splits, *above) if len(found) == 1), None)


def _splits_in(name: str, *, shortest: int = 2) -> list[str]:
    return list(dict.fromkeys(split for word in tokens(name) if len(word) >= shortest and (split := _split_word(word))))


def _split_word(word: str) -> str | None:
    """Return the split that a word means, also with a number behind it: train2017, test_2."""
    return SPLITS.get(word) or SPLITS.get(word.rstrip("0123456789"))


def field_of(name: str, shape: tuple[int, ...], kind: str) -> str:
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

    >>> stem("splits/train-images.idx.gz"), stem("cifar-10-python.tar.gz")
    ('train-images', 'cifar-10-python')
    """
    return _SUFFIX.sub("", name.rpartition("/")[2]) or name


def entry_name(name: str) -> str:
    """Make a name that the manifest allows for a data set.

    >>> entry_name("Iris Flowers (1936)"), entry_name("--")
    ('iris-flowers-1936', 'dataset')
    """
    kept = re.sub(r"[^a-z0-9._]+", "-", name.casefold().encode("ascii", "ignore").decode()).strip("-._")
    return kept[:64].rstrip("-._") or "dataset"


def field_name(name: str) -> str:
    """Make a name that the manifest allows for a field or a split.

    >>> field_name("Sepal Length (cm)"), field_name("2nd"), field_name("samples")
    ('sepal_length_cm', 'f_2nd', 'samples_')
    """
    kept = re.sub(r"[^a-z0-9]+", "_", name.casefold().encode("ascii", "ignore").decode()).strip("_")[:60]
    kept = kept if kept[:1].isalpha() else f"f_{kept}".rstrip("_")
    return kept if is_field_name(kept) else f"{kept}_"


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
