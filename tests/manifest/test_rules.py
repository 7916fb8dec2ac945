"""What values must be to each other: each rule's fault in its whole words, and beside it what is just still good.

Each fault has a manifest of its own; all that is good stands in one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.manifest.test_manifest import HASH
from tinytorch_datasets import load_manifest
from tinytorch_datasets.errors import ManifestError

FLAT = "is of fields of numbers whose samples have one shape"
ONE_HOT = "has no meaning where labels are stored one-hot: the position of the 1 is the label"
NO_CLASSES = "is of a field with classes, and this one has none"
NAME_IS = "lowercase letters, digits, '.', '_' and '-', at most 64, not starting with a sign"
ELEVEN = ", ".join(map(str, [10, *range(10)]))

# A field of a table, what it might be instead (None: that stands elsewhere), and the problems, each as `key: what`.
FIELDS: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "values of no classes": ("dtype: int64, values: [1, 2]", "dtype: int64", (f"values: {NO_CLASSES}",)),
    "too few values": (
        "dtype: int64, classes: [a, b], values: [1]",
        "dtype: int64, classes: [a, b], values: [1, 2]",
        ("values: has 1 values for 2 classes: one for each, in their order",),
    ),
    "a value twice": (
        "dtype: int64, classes: [a, b], values: [1, 1]",
        "dtype: int64, classes: [a, b], values: [1, -1]",
        ("values[1]: the value '1' is there twice",),
    ),
    "a value twice as another number": (
        "dtype: int64, classes: [a, b], values: [1, 1.0]",
        "dtype: int64, classes: [a, b], values: [1, 1.5]",
        ("values[1]: the value '1.0' is the same as '1'",),
    ),
    "a value twice as a switch": (
        "dtype: int64, classes: [a, b], values: [1, true]",
        "dtype: int64, classes: [a, b], values: [0, true]",
        ("values[1]: the value 'true' is the same as '1'",),
    ),
    "a value twice as text": (
        "dtype: int64, classes: [a, b], values: [1, '1']",
        "dtype: int64, classes: [a, b], values: [1, '1.0']",
        ("values[1]: the value '1' is there twice",),
    ),
    "values of lists": (
        "dtype: int64, classes: [a, b, c], values: [[1], 2, 2]",
        None,
        ("values: must be a list of texts or numbers, is [[1], 2, 2]", "values[2]: the value '2' is there twice"),
    ),
    "one-hot of no classes": (
        "dtype: int64, stored: one-hot",
        "dtype: int64, classes: [a], stored: one-hot",
        (f"stored: {NO_CLASSES}",),
    ),
    "another way of storing": (
        "dtype: int64, classes: [a], stored: onehot",
        None,
        ("stored: must be 'one-hot', is 'onehot'; did you mean 'one-hot'?",),
    ),
    "the first of no classes": (
        "dtype: int64, first: 1",
        "dtype: int64, classes: [a], first: 1",
        (f"first: {NO_CLASSES}",),
    ),
    "the first beside all": (
        "dtype: int64, classes: [a], values: [1], first: 1",
        None,
        ("first: has no meaning beside `values`, which say what is stored for each class",),
    ),
    "the first of one-hot labels": (
        "dtype: int64, classes: [a], stored: one-hot, first: 1",
        None,
        (f"first: {ONE_HOT}",),
    ),
    "values of one-hot labels": (
        "dtype: int64, classes: [a, b], stored: one-hot, values: [1, 2]",
        "dtype: int64, classes: [a, b], stored: null, values: [1, 2]",
        (f"values: {ONE_HOT}",),
    ),
    "a class twice, and a shape": (
        "dtype: int64, shape: [2], classes: [a, b, a]",
        "dtype: int64, shape: [], classes: [a, b, A]",
        (
            "classes[2]: the class 'a' is there twice",
            "shape: a field with classes is one label a sample, so it has no shape",
        ),
    ),
    "names without columns": (
        "dtype: int64, names: [a]",
        "dtype: int64, shape: [1], names: [a]",
        ("names: are of the columns of the last axis, and `shape` has none of a declared length",),
    ),
    "names of an empty shape": (
        "dtype: int64, shape: [], names: [a]",
        None,
        ("names: are of the columns of the last axis, and `shape` has none of a declared length",),
    ),
    "names of columns that differ": (
        "dtype: int64, shape: [2, null], names: [a, b]",
        "dtype: int64, shape: [null, 2], names: [a, b]",
        ("names: are of the columns of the last axis, and `shape` has none of a declared length",),
    ),
    "too many names": (
        "dtype: int64, shape: [2], names: [a, b, c]",
        "dtype: int64, shape: [3, 2], names: [a, b]",
        ("names: has 3 names for the 2 columns of the last axis",),
    ),
    "a name twice": (
        "dtype: int64, shape: [2], names: [a, a]",
        "dtype: int64, shape: [2], names: [a, A]",
        ("names[1]: the name 'a' is there twice",),
    ),
    "channels of one axis": (
        "dtype: int64, shape: [3], channels: first",
        "dtype: int64, shape: [3, 4], channels: first",
        ("channels: is of fields whose samples have two axes or more",),
    ),
    "channels in the middle": (
        "dtype: int64, shape: [3, 4, 5], channels: middle",
        "dtype: int64, shape: [3, 4, 5], channels: last",
        ("channels: must be 'first' or 'last', is 'middle'",),
    ),
    "axes that are not all": (
        "dtype: int64, shape: [2], axes: [1, 1]",
        "dtype: int64, shape: [2], axes: [1, 0]",
        ("axes: names each of the 2 stored axes once, the samples' among them, from 0",),
    ),
    "two axes of numbers": (
        "dtype: int64, axes: [1, 0]",
        "dtype: int64, axes: [0]",
        ("axes: names each of the 1 stored axes once, the samples' among them, from 0",),
    ),
    "two axes of labels": (
        "dtype: int64, classes: [a, b, c], axes: [0, 1]",
        "dtype: int64, classes: [a, b, c], axes: [0]",
        ("axes: names each of the 1 stored axes once, the samples' among them, from 0",),
    ),
    "an axis of one-hot labels": (
        "dtype: int64, classes: [a, b, c], stored: one-hot, axes: [0]",
        "dtype: int64, classes: [a, b, c], stored: one-hot, axes: [1, 0]",
        ("axes: names each of the 2 stored axes once, the samples' among them, from 0",),
    ),
    "ten axes that are counted from 1": (
        "dtype: int8, shape: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], axes: [11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
        f"dtype: int8, shape: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], axes: [{ELEVEN}]",
        ("axes: names each of the 11 stored axes once, the samples' among them, from 0",),
    ),
    "axes of samples that differ": ("dtype: int64, shape: [null], axes: [1, 0]", None, (f"axes: {FLAT}",)),
    "axes of text": ("dtype: str, axes: [0]", "dtype: str", (f"axes: {FLAT}",)),
    "a stored shape without samples": (
        "dtype: int64, shape: [2], stored_shape: [2]",
        "dtype: int64, shape: [2], stored_shape: [null, 2]",
        ("stored_shape: has one null, which is the axis of the samples",),
    ),
    "a stored shape with samples twice": (
        "dtype: int64, shape: [2], stored_shape: [null, null]",
        None,
        ("stored_shape: has one null, which is the axis of the samples",),
    ),
    "a stored shape of more values": (
        "dtype: int64, shape: [20, 300], stored_shape: [null, 7000]",
        "dtype: int64, shape: [20, 300], stored_shape: [null, 6000]",
        ("stored_shape: has 7,000 values for each sample, and `shape` has 6,000",),
    ),
    "a stored shape with samples last": (
        "dtype: int64, shape: [2, 3], stored_shape: [6, null]",
        "dtype: int64, shape: [2, 3], stored_shape: [6, null], axes: [2, 0, 1]",
        ("stored_shape: has its samples not first, so `axes` has to say in which order the axes are",),
    ),
    "a stored shape of text": ("dtype: str, stored_shape: [null]", None, (f"stored_shape: {FLAT}",)),
    "a stored shape of samples that differ": (
        "dtype: int64, shape: [null, 2], stored_shape: [null, 4]",
        None,
        (f"stored_shape: {FLAT}",),
    ),
    "a scale of whole numbers": (
        "dtype: int64, scale: 0.5",
        "dtype: float16, scale: 0.5",
        ("scale: is of whole numbers that become floats, so the dtype is a float; is 'int64'",),
    ),
    "a scale of labels": (
        "dtype: int64, classes: [a], scale: 0.5",
        "dtype: int64, classes: [a], scale: null",
        ("scale: has no meaning in a field with classes: a label is a position in their list",),
    ),
    "a scale of nothing": (
        "dtype: float64, scale: 0",
        "dtype: float64, scale: 0.001",
        ("scale: must be more than 0, is 0",),
    ),
    "missing values of samples that differ": (
        'dtype: float64, shape: [null], missing: ["?"]',
        'dtype: float64, shape: [2], missing: ["?"]',
        ("missing: is of fields whose samples have one shape, and this one's differ",),
    ),
    "classes of text": (
        "dtype: str, classes: [a]",
        "dtype: str, classes: null",
        (
            "classes: text has no classes",
            "dtype: a field with classes is int64, whatever the file holds; is 'str'",
        ),
    ),
    "a range of text": ("dtype: str, range: [0, 1]", "dtype: str, range: null", ("range: text has no range",)),
    "a range upside down by one": (
        "dtype: float32, range: [6, 5]",
        "dtype: float32, range: [5, 5]",
        ("range: the lowest value comes first; 6 is more than 5",),
    ),
    "a range below the dtype": (
        "dtype: int8, range: [-129, 127]",
        "dtype: int8, range: [-128, 127]",
        ("range: int8 holds -128 to 127, so it cannot reach -129 to 127",),
    ),
    "a range above the dtype": (
        "dtype: uint16, range: [0, 65536]",
        "dtype: uint16, range: [0, 65535]",
        ("range: uint16 holds 0 to 65535, so it cannot reach 0 to 65536",),
    ),
    "a range above a float": (
        "dtype: float16, range: [0, 65505]",
        "dtype: float16, range: [-65504, 65504]",
        ("range: float16 holds -65504.0 to 65504.0, so it cannot reach 0 to 65505",),
    ),
    "a range below a float": (
        "dtype: float32, range: [-3.5e+38, 0]",
        "dtype: float32, range: [-3.4e+38, 0]",
        ("range: float32 holds -3.4028234663852886e+38 to 3.4028234663852886e+38, so it cannot reach -3.5e+38 to 0",),
    ),
    "a range above a bool": (
        "dtype: bool, range: [0, 2]",
        "dtype: bool, range: [0, 1]",
        ("range: bool holds 0 to 1, so it cannot reach 0 to 2",),
    ),
    "a sample of a byte too many": (
        "dtype: uint8, shape: [2147483649]",
        "dtype: uint8, shape: [2147483648]",
        ("shape: makes a sample of 2,147,483,649 bytes, the most is 2,147,483,648",),
    ),
    "a sample of a number too many": (
        "dtype: float64, shape: [null, 268435457]",
        "dtype: float64, shape: [null, 268435456]",
        ("shape: makes a sample of 2,147,483,656 bytes, the most is 2,147,483,648",),
    ),
    "an axis too many": (
        f"dtype: uint8, shape: [{', '.join(['1'] * 32)}]",
        f"dtype: uint8, shape: [{', '.join(['1'] * 31)}]",
        ("shape: has 32 dimensions, the most is 31",),
    ),
    "digests of a split that is none": (
        f"dtype: int64, sha256: {{trian: {HASH}, test: {HASH}}}",
        f"dtype: int64, sha256: {{train: {HASH}}}",
        ("sha256.test: no split of that name", "sha256.trian: no split of that name; did you mean 'train'?"),
    ),
}

# A place of a field of labels (or of numbers, or one-hot), and the problems.
PLACES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "values of a field without classes": (
        "number: {file: t.csv, values: [1, 2]}",
        "number: {file: t.csv, key: n}",
        ("number.values: is of a field with classes that are not stored one-hot",),
    ),
    "values of one-hot labels": (
        "hot: {file: t.csv, values: [1, 2]}",
        "hot: {file: t.csv}",
        ("hot.values: is of a field with classes that are not stored one-hot",),
    ),
    "too many values": (
        "label: {file: t.csv, values: [1, 2, 3]}",
        "label: {file: t.csv, values: [1, 2]}",
        ("label.values: has 3 values for 2 classes: one for each, in their order",),
    ),
    "a value twice, after a place without values": (
        "number: {file: t.csv, column: n}, label: {file: t.csv, values: [x, x]}",
        "number: {file: t.csv, column: n}, label: {file: t.csv, values: [x, X]}",
        ("label.values[1]: the value 'x' is there twice",),
    ),
    "values of no field, and a value twice": (
        "nubmer: {file: t.csv, values: [1]}, label: {file: t.csv, values: [y, y]}",
        "number: {file: t.csv}",
        (
            "label.values[1]: the value 'y' is there twice",
            "nubmer: no field of that name; did you mean 'number'?",
        ),
    ),
}

ENTRY = (
    """
    title: One
    status: remote
    format: csv
    license: CC0-1.0
    source: https://example.org/
    fields:
      label: {dtype: int64, classes: [a, b]}
      number: {dtype: float64}
      whole: {dtype: str}
    splits: {train: {samples: 2, file: t.csv}}
    mirrors: [https://example.org/]
    files:
      t.csv: {bytes: 9, sha256: HASH}
""".strip("\n").replace("HASH", HASH)
    + "\n"
)
UNPACKED = f"""
    variants:
      a.zip:
        format: csv
        splits: {{train: {{file: u.csv}}}}
        mirrors: [https://example.org/]
        files: {{u.csv: {{bytes: 9, sha256: {HASH[::-1]}}}}}
""".lstrip("\n")
Edits = tuple[tuple[str, str], ...]
WITH_DIGESTS: Edits = tuple((f"{end}}}", f"{end}, sha256: {{train: {HASH}}}}}") for end in ("b]", "float64", "str"))

MISSING = ("float64}", 'float64, missing: ["?"]}')


def in_splits(*places: str) -> tuple[str, str]:
    """The edit that puts the numbers there, each place written as `split: {key: value}`."""
    splits = ", ".join(
        f"{split}: {{samples: 2, file: t.csv, rows: [{2 * i}, {2 * i + 2}], number: {{file: t.csv, {own[1:]}}}"
        for i, (split, own) in enumerate(place.split(": ", 1) for place in places)
    )
    return "train: {samples: 2, file: t.csv}", splits


def no_cells(form: str) -> str:
    """What is said of missing values in that format."""
    return f"format {form!r} has no cells of text that could mean a missing value"


# What of the entry is replaced by what; what by instead, if that is another entry than the one above; the problems.
ENTRIES: dict[str, tuple[Edits, Edits, tuple[str, ...]]] = {
    "a target that is no field": (
        (("    title", "    target: lable\n    title"),),
        (("    title", "    target: label\n    title"),),
        ("target: no field of that name; did you mean 'label'?",),
    ),
    "a target that nobody has named": (
        (("    title", "    target: what\n    title"),),
        (("    title", '    target: "?"\n    title'),),
        ("target: no field of that name",),
    ),
    "duplicates of no field": (
        (("    title", "    checks: {duplicates: {of: [number, lable]}}\n    title"),),
        (("    title", "    checks: {duplicates: {of: [number, label]}}\n    title"),),
        ("checks.duplicates.of[1]: no field of that name; did you mean 'label'?",),
    ),
    "duplicates of a whole split": (
        (
            ("    title", "    checks: {duplicates: {of: [label, whole]}}\n    title"),
            ("dtype: str", "dtype: str, per: split"),
        ),
        (("    title", "    checks: {duplicates: {within: 0}}\n    title"), ("dtype: str", "dtype: str, per: split")),
        ("checks.duplicates.of[1]: a split has one 'whole', so no sample repeats another's",),
    ),
    "duplicates of a first field that is a whole split": (
        (
            ("    title", "    checks: {duplicates: {across: 0}}\n    title"),
            ("      label:", "      text: {dtype: str, per: split}\n      label:"),
        ),
        (
            ("    title", "    checks: {duplicates: null}\n    title"),
            ("      label:", "      text: {dtype: str, per: split}\n      label:"),
        ),
        (
            "checks.duplicates: are of the first field if none is named, and a split has one 'text': "
            "name others under `of`",
        ),
    ),
    "a balance of no classes": (
        (("    title", "    checks: {balance: 2}\n    title"), ("classes: [a, b]", "classes: null")),
        (("    title", "    checks: {balance: 2}\n    title"),),
        ("checks.balance: no field has classes to be balanced",),
    ),
    "a balance that is null": (
        (("    title", "    checks: {balance: 1}\n    title"), (", classes: [a, b]", "")),
        (("    title", "    checks: {balance: null}\n    title"), (", classes: [a, b]", "")),
        ("checks.balance: no field has classes to be balanced",),
    ),
    "urls of one file twice": (
        ((f"sha256: {HASH}", f"sha256: {HASH}, urls: [https://a.org/t, https://b.org/t, https://a.org/t]"),),
        ((f"sha256: {HASH}", f"sha256: {HASH}, urls: [https://a.org/t, https://b.org/t]"),),
        ("files.t.csv.urls[2]: the url 'https://a.org/t' is there twice",),
    ),
    "a url that is none": (
        ((f"sha256: {HASH}", f"sha256: {HASH}, urls: [https://a.org/t?v=1, 's3://b/t?v=1']"),),
        ((f"sha256: {HASH}", f"sha256: {HASH}, urls: [https://a.org/t?v=1, 's3://b/t']"),),
        (
            "files.t.csv.urls[1]: has a '?' in it; "
            "an address of a store has no query, and no key belongs into a manifest",
        ),
    ),
    "a mirror twice": (
        (("[https://example.org/]", "[https://example.org/, https://example.org/]"),),
        (("[https://example.org/]", "[https://example.org/, http://example.org/]"),),
        ("mirrors[1]: the mirror 'https://example.org/' is there twice",),
    ),
    "remote, and at no address": (
        (("    mirrors: [https://example.org/]\n", ""),),
        (("    mirrors: [https://example.org/]\n", ""), ("status: remote", "status: shipped")),
        ("files.t.csv: is remote but has no mirror and no url",),
    ),
    "a script that is no path": (
        (("    title", "    used_by: [a.py, ../b.py, 7, /c.py]\n    title"),),
        (("    title", "    used_by: [a.py, b/b.py]\n    title"),),
        (
            "used_by[1]: leaves its folder: '../b.py'",
            'used_by[2]: must be text, is the number 7: write "7"',
            "used_by[3]: must be a path below the folder, with forward slashes; is '/c.py'",
        ),
    ),
    "a rule that is ignored twice": (
        (("    title", "    ignore: [single-mirror, unused, unused]\n    title"),),
        (("    title", "    ignore: [single-mirror, unused]\n    title"),),
        ("ignore[2]: the rule 'unused' is there twice",),
    ),
    "a name that no split may have": (
        (("{train:", "{Train:"),),
        (("{train:", "{train_2:"),),
        ("splits.Train: a split's name is lowercase letters, digits and '_', and nothing that code already means",),
    ),
    "a name that no field may have": (
        (("      label:", "      2nd: {dtype: str}\n      member: {dtype: str}\n      label:"),),
        (("      label:", f"      {'a' * 64}: {{dtype: str}}\n      member_: {{dtype: str}}\n      label:"),),
        (
            "fields.2nd: a field's name is lowercase letters, digits and '_', starting with a letter",
            "fields.member: a field's name is lowercase letters, digits and '_', starting with a letter; this one has "
            "a meaning of its own in code",
        ),
    ),
    "a field that is a number, before another": (
        (("      label:", "      odd: 7\n      Odd: {dtype: str}\n      label:"),),
        (("      label:", "      odd: {dtype: str}\n      label:"),),
        (
            "fields.odd: must be a mapping of keys to values, is the number 7",
            "fields.Odd: a field's name is lowercase letters, digits and '_', starting with a letter",
        ),
    ),
    "a name that no variant may have": (
        (("    title", f"{UNPACKED.replace('a.zip', 'A.zip')}    title"), *WITH_DIGESTS),
        (("    title", f"{UNPACKED}    title"), *WITH_DIGESTS),
        (f"variants.A.zip: a variant's name is {NAME_IS}",),
    ),
    "what is wrong in a variant": (
        (("    title", f"{UNPACKED.replace('u.csv}', 'v.csv}')}    title"), *WITH_DIGESTS),
        (("    title", f"{UNPACKED}    title"), *WITH_DIGESTS),
        ("variants.a.zip.splits.train.file: 'v.csv' is not under files; did you mean 'u.csv'?",),
    ),
    "missing values, and one split in another format": (
        (MISSING, in_splits("train: {format: npz}")),
        (MISSING, in_splits("train: {format: csv}"), ("format: csv", "format: npz")),
        (f"fields.number.missing: {no_cells('npz')}",),
    ),
    "missing values, and two splits in other formats": (
        (MISSING, in_splits("train: {format: npz}", "test: {format: mat}")),
        (MISSING, in_splits("train: {format: npz}", "test: {column: n}")),
        (f"fields.number.missing: {no_cells('npz')}",),
    ),
    "missing values, and the second split in another format": (
        (MISSING, in_splits("train: {key: n}", "test: {format: mat}"), ("format: csv", "format: npz")),
        (MISSING, in_splits("train: {key: n}", "test: {format: csv}"), ("format: csv", "format: npz")),
        (f"fields.number.missing: {no_cells('npz')}",),
    ),
    "missing values, and a split that is a number": (
        (MISSING, in_splits("train: {format: npz}"), ("splits: {", "splits: {odd: 7, ")),
        (MISSING, in_splits("train: {column: n}")),
        (
            f"fields.number.missing: {no_cells('npz')}",
            "splits.odd: must be a mapping of keys to values, is the number 7",
        ),
    ),
    "a split that is another but for a null": (
        (("{samples: 2, file: t.csv}", "{samples: 2, file: t.csv}, test: {samples: 2, member: null, file: t.csv}"),),
        (
            (
                "{samples: 2, file: t.csv}",
                "{samples: 2, file: t.csv, rows: [0, 2]}, test: {samples: 2, file: t.csv, rows: [2, 4]}",
            ),
        ),
        ("splits.test: is where 'train' is: the same file, and the same places in it",),
    ),
}


def problems(text: str) -> list[tuple[int, str]]:
    """The line and the `key: what` of each problem of a manifest of that text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "datasets.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load_manifest(path)
        except ManifestError as error:
            return [(problem.line, f"{problem.key}: {problem.what}") for problem in error.problems]
    return []


def edited(edits: Edits) -> str:
    """The entry with what is replaced in it."""
    text = ENTRY
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def placed(place: str) -> str:
    """The entry with that place in its split, and a field of one-hot labels."""
    of_hot = "      hot: {dtype: int64, classes: [a, b], stored: one-hot}\n      label:"
    return edited((("      label:", of_hot), ("file: t.csv}", f"file: t.csv, {place}}}")))


def data_sets(entries: Mapping[str, str]) -> str:
    """A manifest of those entries, whose names are those with hyphens for blanks."""
    named = {name.replace(" ", "-").replace(",", ""): text for name, text in entries.items()}
    return "version: 1\ndatasets:\n" + "".join(f"  {name}:\n{text}" for name, text in named.items())


def fields(bodies: Mapping[str, str]) -> str:
    """A manifest of a data set with those fields, each on a line of its own, the first on line 10."""
    lines = "".join(f"      f{i}: {{{body}}}\n" for i, body in enumerate(bodies.values()))
    head, tail = ENTRY.split("    fields:\n")
    return f"version: 1\ndatasets:\n  one:\n{head}    fields:\n{lines}{tail[tail.index('    splits:') :]}"


class TestFields:
    """What a field declares goes together."""

    @pytest.mark.parametrize(("bad", "expected"), [(bad, what) for bad, _, what in FIELDS.values()], ids=FIELDS)
    def test_a_fault_is_reported_on_its_line(self, bad: str, expected: tuple[str, ...]) -> None:
        """In these words, and no other."""
        assert problems(fields({"": bad})) == [(10, f"one.fields.f0.{what}") for what in expected]

    def test_their_twins_are_well(self) -> None:
        """What differs in that one thing, and lies just within the rule."""
        assert problems(fields({name: good for name, (_, good, _) in FIELDS.items() if good})) == []


class TestEntries:
    """What a data set declares goes together."""

    @pytest.mark.parametrize(("bad", "expected"), [(bad, what) for bad, _, what in ENTRIES.values()], ids=ENTRIES)
    def test_a_fault_is_reported(self, bad: Edits, expected: tuple[str, ...]) -> None:
        """In these words, and no other."""
        assert [what for _, what in problems(data_sets({"one": edited(bad)}))] == [f"one.{what}" for what in expected]

    @pytest.mark.parametrize(("bad", "expected"), [(bad, what) for bad, _, what in PLACES.values()], ids=PLACES)
    def test_a_fault_of_a_place_is_reported(self, bad: str, expected: tuple[str, ...]) -> None:
        """Of the values that one split has for the classes."""
        found = problems(data_sets({"one": placed(bad)}))

        assert [what for _, what in found] == [f"one.splits.train.{what}" for what in expected]

    def test_their_twins_are_well(self) -> None:
        """What differs in that one thing."""
        entries = {name: edited(good) for name, (_, good, _) in ENTRIES.items()}
        places = {name: placed(good) for name, (_, good, _) in PLACES.items()}

        assert problems(data_sets({**entries, **places})) == []


# A manifest, without its version, and its problems; none for one that is right.
MANIFESTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no data sets": ("download_to: data", ("datasets: is missing",)),
    "no data sets, and an empty include": ("include: []", ("datasets: is missing",)),
    "no data sets but included ones": ("include: [packaged]", ()),
    "a mapping without data sets": ("datasets: {}", ()),
    "a manifest included twice": (
        "include: [packaged, packaged]",
        ("include[1]: the manifest 'packaged' is there twice",),
    ),
    "a rule ignored twice": (
        "ignore: [single-mirror, single-mirror]\ndatasets: {}",
        ("ignore[1]: the rule 'single-mirror' is there twice",),
    ),
    "two rules ignored": ("ignore: [single-mirror, unused]\ndatasets: {}", ()),
    "a data set that is a number, before a wrong name": (
        "datasets:\n  one: 7\n  Two:\n" + ENTRY,
        (f"Two: a name is {NAME_IS}", "one: must be a mapping of keys to values, is the number 7"),
    ),
    "names of data sets": (
        "datasets:\n" + "".join(f"  {name}:\n{ENTRY}" for name in (".a", "a" * 65, "a" * 64, '"0"', "a.b_c-d")),
        (f".a: a name is {NAME_IS}", f"{'a' * 65}: a name is {NAME_IS}"),
    ),
    "aliases that are taken": (
        f"datasets:\n  a:\n    aliases: [c, A, b, 7, c]\n{ENTRY}  b:\n    aliases: [c, d]\n{ENTRY}",
        (
            f"a.aliases[1]: an alias is {NAME_IS}",
            "a.aliases[2]: 'b' is the name of a data set already",
            'a.aliases[3]: must be text, is the number 7: write "7"',
            "a.aliases[4]: 'c' is an alias of 'a' already",
            "b.aliases[0]: 'c' is an alias of 'a' already",
        ),
    ),
}


@pytest.mark.parametrize(("text", "expected"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_as_a_whole(text: str, expected: tuple[str, ...]) -> None:
    """Its keys at the top, and the names of all its data sets."""
    assert sorted(what for _, what in problems(f"version: 1\n{text}\n")) == list(expected)
