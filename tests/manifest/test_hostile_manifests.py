"""Manifests from strangers: each fault is reported with its line and the hint, at no cost, and nothing comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinytorch_datasets
from tests.helpers.fresh_process import python
from tests.helpers.yardstick import soon
from tests.manifest.test_manifest import GOOD, HASH, write
from tinytorch_datasets import load_manifest
from tinytorch_datasets.errors import ManifestError
from tinytorch_datasets.manifest.yaml_syntax import plain

MEBIBYTES = 64

# A format is a file in the folder.
FORMAT_FILES = Path(tinytorch_datasets.__file__).with_name("formats").glob("[a-z]*.py")
ALL_FORMATS = ", ".join(sorted(path.stem.replace("_", "-") for path in FORMAT_FILES))

# Reads the file, which must be refused, and prints how many MiB more than before were held at the peak.
HELD = """
import resource, sys
from pathlib import Path
from tinytorch_datasets.manifest.yaml_reader import ParsedYaml, read_file
from tinytorch_datasets.errors import ManifestError
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
try:
    path = Path(sys.argv[1])
    ParsedYaml(read_file(path)[0], path)
except ManifestError:
    print((peak() - before) / (1 << 20 if sys.platform == "darwin" else 1 << 10))
"""

# A fault of a value: what of the good manifest is replaced, by what, by what it might be instead (None: the good
# manifest itself is the twin), and what is reported.
VALUES: dict[str, tuple[str, str, str | None, tuple[str, ...]]] = {
    "a key in capitals": (
        "    title:",
        "    Title:",
        "    title:",
        ("3: digits.title: is missing", "4: digits.Title: unknown key; did you mean 'title'?"),
    ),
    "a key with a trailing blank": (
        "    title: Digits",
        '    "title ": Digits',
        '    "title": Digits',
        ("3: digits.title: is missing", "4: digits.title : unknown key; did you mean 'title'?"),
    ),
    "a list for a mapping": (
        "    splits:\n      train: {samples: 10, file: digits.npz, images: x_train, labels: y_train}",
        "    splits: [train]",
        None,
        ("12: digits.splits: must be a mapping of keys to values, is a list",),
    ),
    "a mapping for text": (
        "title: Digits",
        "title: {a: b}",
        "title: a, b",
        ("4: digits.title: must be text, is a mapping",),
    ),
    "nothing for text": ("title: Digits", "title:", 'title: "~"', ("4: digits.title: must be text, is empty",)),
    "an empty text": ("title: Digits", 'title: ""', 'title: " "', ("4: digits.title: must not be empty",)),
    "no data sets": ("datasets:\n", "datasets: {}\nothers:\n", None, ("3: others: unknown key",)),
    "a yes": (
        "title: Digits",
        "title: yes",
        'title: "yes"',
        (
            '4: digits.title: YAML readers do not agree on what yes is: write "yes" for the text, or '
            "true or false for a switch",
        ),
    ),
    "a version number": (
        "title: Digits",
        "title: 1.10",
        'title: "1.10"',
        ('4: digits.title: must be text, is the number 1.10: write "1.10"',),
    ),
    "an exponent": (
        "title: Digits",
        "title: 1e3",
        'title: "1e3"',
        (
            '4: digits.title: YAML readers do not agree on what 1e3 is: write "1e3" for the text, or '
            "1000 for the number",
        ),
    ),
    "an octal number": (
        "title: Digits",
        "title: 0o17",
        'title: "0o17"',
        ('4: digits.title: YAML readers do not agree on what 0o17 is: write "0o17" for the text',),
    ),
    "a hexadecimal number": (
        "bytes: 1_000",
        "bytes: 0x3e8",
        "bytes: 1000",
        ('17: digits.files.digits.npz.bytes: YAML readers do not agree on what 0x3e8 is: write "0x3e8" for the text',),
    ),
    "a date": (
        "title: Digits",
        "title: 2020-01-01",
        'title: "2020-01-01"',
        ('4: digits.title: YAML readers do not agree on what 2020-01-01 is: write "2020-01-01" for the text',),
    ),
    "a time in sixties": (
        "samples: 10",
        "samples: 1:30",
        "samples: 90",
        ('13: digits.splits.train.samples: YAML readers do not agree on what 1:30 is: write "1:30" for the text',),
    ),
    "a word in a range": (
        "range: [0, 16]",
        "range: [a, 16]",
        "range: [0, 16]",
        ("10: digits.fields.images.range[0]: must be a number, is text 'a'",),
    ),
    "a mapping in a range": (
        "range: [0, 16]",
        "range: [0, {int: 16}]",
        "range: [0, 16]",
        ("10: digits.fields.images.range[1]: must be a number, is a mapping {'int': 16}",),
    ),
    "a word for a balance": (
        "    mirrors:",
        "    checks: {balance: even}\n    mirrors:",
        "    checks: {balance: 1}\n    mirrors:",
        ("14: digits.checks.balance: must be a number, is text 'even'",),
    ),
    "less than balance": (
        "    mirrors:",
        "    checks: {balance: 0.5}\n    mirrors:",
        "    checks: {balance: 1.5}\n    mirrors:",
        ("14: digits.checks.balance: must be 1 or more, is 0.5",),
    ),
    "columns of no field": (
        "format: npz",
        "format: csv\n    options: {columns: {images: [a, b], label: kind}}",
        "format: csv\n    options: {columns: {images: [a, b], labels: kind}}",
        ("7: digits.options.columns.label: no field of that name; did you mean 'labels'?",),
    ),
    "a delimiter of two": (
        "format: npz",
        "format: csv\n    options: {delimiter: ';;'}",
        "format: csv\n    options: {delimiter: ';'}",
        ("7: digits.options.delimiter: must be one character and no quote, or the word whitespace, is ';;'",),
    ),
    "a delimiter that is a number, and columns of no field": (
        "format: npz",
        "format: csv\n    options: {delimiter: 1, columns: {zzz: q}}",
        "format: csv\n    options: {delimiter: '1', columns: {images: q}}",
        (
            "7: digits.options.columns.zzz: no field of that name",
            "7: digits.options.delimiter: must be a valid string, is 1",
        ),
    ),
    "levels of no split": (
        "format: npz",
        "format: qa-text\n    options: {levels: {trian: [1]}}",
        "format: qa-text\n    options: {levels: {train: [1]}}",
        ("7: digits.options.levels.trian: no split of that name; did you mean 'train'?",),
    ),
    "infinity": (
        "range: [0, 16]",
        "range: [0, .inf]",
        "range: [0, 255]",
        ('10: digits.fields.images.range[1]: YAML readers do not agree on what .inf is: write ".inf" for the text',),
    ),
    "a number beyond floats": (
        "range: [0, 16]",
        "range: [0, 1.0e+999]",
        "range: [0, 1.0e+2]",
        (
            "10: digits.fields.images.range[1]: YAML readers do not agree on what 1.0e+999 is: write "
            '"1.0e+999" for the text',
        ),
    ),
    "not a number": (
        "range: [0, 16]",
        "range: [.nan, 16]",
        "range: [0, 16]",
        ('10: digits.fields.images.range[0]: YAML readers do not agree on what .nan is: write ".nan" for the text',),
    ),
    "an all-digit key": (
        "      digits.npz:\n        bytes",
        "      7:\n        bytes",
        None,
        (
            "13: digits.splits.train.file: 'digits.npz' is not under files",
            '16: digits.files.7: YAML reads 7 as something else than text: write "7"',
        ),
    ),
    "a key that is a switch": (
        "    title: Digits",
        "    on: Digits",
        None,
        ("3: digits.title: is missing", '4: digits.on: YAML reads on as something else than text: write "on"'),
    ),
    "half a range": (
        "range: [0, 16]",
        "range: [0]",
        "range: [0, 1]",
        ("10: digits.fields.images.range[1]: is missing",),
    ),
    "a range of three": (
        "range: [0, 16]",
        "range: [0, 1, 2]",
        "range: [0, 1]",
        ("10: digits.fields.images.range: must be 2 values, has 3",),
    ),
    "a range of text": (
        "range: [0, 16]",
        "range: [a, b]",
        "range: [0, 1]",
        (
            "10: digits.fields.images.range[0]: must be a number, is text 'a'",
            "10: digits.fields.images.range[1]: must be a number, is text 'b'",
        ),
    ),
    "no samples at all": (
        "samples: 10",
        "samples: 0",
        "samples: 1",
        ("13: digits.splits.train.samples: must be more than 0, is 0",),
    ),
    "half a sample": (
        "samples: 10",
        "samples: 9.5",
        "samples: 9",
        ("13: digits.splits.train.samples: must be a whole number, is the number 9.5",),
    ),
    "more samples than atoms in a hand": (
        "samples: 10",
        "samples: 999999999999999999999999",
        "samples: 1000000000000",
        ("13: digits.splits.train.samples: must be 1,000,000,000,000 or fewer, is 999,999,999,999,999,999,999,999",),
    ),
    "more digits than a number has": (
        "samples: 10",
        "samples: 999999999999999999999999999999",
        "samples: 9",
        (
            "13: digits.splits.train.samples: YAML readers do not agree on what 99999999... is: "
            'write "99999999..." for the text',
        ),
    ),
    "a dimension of nothing": (
        "shape: [8, 8]",
        "shape: [8, 0]",
        "shape: [8, 1]",
        ("10: digits.fields.images.shape[1]: must be more than 0, is 0",),
    ),
    "a dimension below nothing": (
        "shape: [8, 8]",
        "shape: [8, -8]",
        "shape: [8, 8]",
        ("10: digits.fields.images.shape[1]: must be more than 0, is -8",),
    ),
    "a shape in words": (
        "shape: [8, 8]",
        "shape: [8, eight]",
        "shape: [8, 8]",
        ("10: digits.fields.images.shape[1]: must be a whole number, is text 'eight'",),
    ),
    "no classes": (
        'classes: ["0", "1"]',
        "classes: []",
        'classes: ["0"]',
        ("11: digits.fields.labels.classes: must not be empty",),
    ),
    "a class of nothing": (
        'classes: ["0", "1"]',
        'classes: ["0", ""]',
        'classes: ["0", " "]',
        ("11: digits.fields.labels.classes[1]: must not be empty",),
    ),
    "classes of an image": (
        "range: [0, 16]}",
        'range: [0, 16], classes: ["a"]}',
        "range: [0, 16]}",
        (
            "10: digits.fields.images.dtype: a field with classes is int64, whatever the file holds; is 'uint8'",
            "10: digits.fields.images.shape: a field with classes is one label a sample, so it has no shape",
        ),
    ),
    "an object array": (
        "dtype: uint8",
        "dtype: object",
        "dtype: uint8",
        (
            "10: digits.fields.images.dtype: must be 'bool', 'int8', 'int16', 'int32', 'int64', "
            "'uint8', 'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64' or 'str', is 'object'",
        ),
    ),
    "a huge dtype": (
        "dtype: uint8",
        "dtype: S999999999",
        "dtype: uint8",
        (
            "10: digits.fields.images.dtype: must be 'bool', 'int8', 'int16', 'int32', 'int64', "
            "'uint8', 'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64' or 'str', is 'S999999999'",
        ),
    ),
    "a dtype in other words": (
        "dtype: uint8",
        "dtype: '|u1'",
        "dtype: uint8",
        (
            "10: digits.fields.images.dtype: must be 'bool', 'int8', 'int16', 'int32', 'int64', "
            "'uint8', 'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64' or 'str', is '|u1'",
        ),
    ),
    "text with a shape": (
        "{dtype: uint8, shape: [8, 8], range: [0, 16]}",
        "{dtype: str, shape: [8]}",
        "{dtype: str}",
        ("10: digits.fields.images.shape: text has no shape",),
    ),
    "a number for the split as a whole": (
        "range: [0, 16]}",
        "per: split}",
        "per: sample}",
        ("10: digits.fields.images.per: only text can belong to the split as a whole",),
    ),
    "a split that repeats another": (
        "labels: y_train}\n",
        "labels: y_train}\n      test: {samples: 10, file: digits.npz, images: x_train, labels: y_train}\n",
        "labels: y_train}\n      test: {samples: 10, file: digits.npz, images: x_test, labels: y_test}\n",
        ("14: digits.splits.test: is where 'train' is: the same file, and the same places in it",),
    ),
    "a split of a reserved name": (
        "      train: {",
        "      arrays: {",
        "      training: {",
        (
            "13: digits.splits.arrays: a split's name is lowercase letters, digits and '_', and "
            "nothing that code already means",
        ),
    ),
    "a field in capitals": (
        "      images: {",
        "      Images: {",
        "      images: {",
        (
            "10: digits.fields.Images: a field's name is lowercase letters, digits and '_', starting with a letter",
            "13: digits.splits.train.images: no field of that name; did you mean 'Images'?",
        ),
    ),
    "members where a format has none": (
        "file: digits.npz,",
        "file: digits.npz, members: [a],",
        "file: digits.npz,",
        ("13: digits.splits.train.members: format 'npz' has no members",),
    ),
    "a member that leaves": (
        "file: digits.npz,",
        "file: digits.npz, members: [../a],",
        None,
        (
            "13: digits.splits.train.members: format 'npz' has no members",
            "13: digits.splits.train.members[0]: leaves its folder: '../a'",
        ),
    ),
    "a member twice": (
        "file: digits.npz,",
        "file: digits.npz, members: [a, a],",
        None,
        (
            "13: digits.splits.train.members: format 'npz' has no members",
            "13: digits.splits.train.members[1]: the member 'a' is there twice",
        ),
    ),
    "no file for a split": (
        "file: digits.npz, ",
        "",
        None,
        (
            "13: digits.splits.train: names no file: format 'npz' has all fields of a split in one",
            "13: digits.splits.train.images: 'x_train' is not under files",
            "13: digits.splits.train.labels: 'y_train' is not under files",
        ),
    ),
    "no format of that kind": (
        "format: npz",
        "format: ../npz",
        "format: npz",
        ("6: digits.format: no decoder for format '../npz'; did you mean 'npz'?",),
    ),
    "a private module for a format": (
        "format: npz",
        "format: _zip",
        "format: npz",
        (f"6: digits.format: no decoder for format '_zip'; there are {ALL_FORMATS}",),
    ),
    "a format of its own making": (
        "format: npz",
        "format: os.system",
        "format: npz",
        (f"6: digits.format: no decoder for format 'os.system'; there are {ALL_FORMATS}",),
    ),
    "an MD5 for a sha256": (
        "sha256: 440f",
        "md5: 440fcabf73cc546fa21475e81ea37026\n        sha1: 440f",
        None,
        (
            "16: digits.files.digits.npz.sha256: is missing; an MD5 may stand beside it, never instead of it",
            "19: digits.files.digits.npz.sha1: unknown key; did you mean 'sha256'?",
        ),
    ),
    "a size below nothing": (
        "bytes: 1_000",
        "bytes: -1",
        "bytes: 1",
        ("17: digits.files.digits.npz.bytes: must be more than 0, is -1",),
    ),
    "a mapping for the name of a field": (
        "    files:\n",
        "    checks: {duplicates: {of: [{a: b}]}}\n    files:\n",
        "    checks: {duplicates: {of: [images]}}\n    files:\n",
        ("15: digits.checks.duplicates.of[0]: must be text, is a mapping",),
    ),
    "a size with a unit": (
        "bytes: 1_000",
        "bytes: 1 kB",
        "bytes: 1",
        ("17: digits.files.digits.npz.bytes: must be a whole number, is text '1 kB'",),
    ),
}

# A name that a file must not have, and why.
NAMES: dict[str, tuple[str, str]] = {
    "up": ("../x.npz", "leaves its folder: '../x.npz'"),
    "up in the middle": ("a/../../x.npz", "leaves its folder: 'a/../../x.npz'"),
    "root": ("/x.npz", "must be a path below the folder, with forward slashes; is '/x.npz'"),
    "drive": ("C:/x.npz", "must be a path below the folder, with forward slashes; is 'C:/x.npz'"),
    "share": ("//host/x.npz", "must be a path below the folder, with forward slashes; is '//host/x.npz'"),
    "a home": ("~/../x.npz", "leaves its folder: '~/../x.npz'"),
    "dot": ("./x.npz", "has an empty or dotted part: './x.npz'"),
    "empty part": ("a//x.npz", "has an empty or dotted part: 'a//x.npz'"),
    "folder alone": ("a/", "has an empty or dotted part: 'a/'"),
    "dots alone": ("...", "has an empty or dotted part: '...'"),
    "a dot at the end": ("x.npz.", "has an empty or dotted part: 'x.npz.'"),
    "a blank at the end": ("x.npz ", "has an empty or dotted part: 'x.npz '"),
    "a blank in front": (" x.npz", "has an empty or dotted part: ' x.npz'"),
    "device": ("NUL", "is a device's name on Windows: 'NUL'"),
    "device with an ending": ("aux.npz", "is a device's name on Windows: 'aux.npz'"),
    "device below": ("a/con/x.npz", "is a device's name on Windows: 'a/con/x.npz'"),
    "console": ("CONIN$", "is a device's name on Windows: 'CONIN$'"),
    "superscript device": ("com¹.npz", "is a device's name on Windows: 'com¹.npz'"),
    "a star": ("x*.npz", "has a character that not every disk can store: 'x*.npz'"),
    "a question": ("x?.npz", "has a character that not every disk can store: 'x?.npz'"),
    "a pipe": ("x|y.npz", "has a character that not every disk can store: 'x|y.npz'"),
    "a stream": ("x.npz:stream", "has a character that not every disk can store: 'x.npz:stream'"),
    "a quote": ('x".npz', "has a character that not every disk can store: 'x\".npz'"),
    "an angle": ("x<y.npz", "has a character that not every disk can store: 'x<y.npz'"),
    "decomposed": (
        "cafe\u0301.npz",
        "is not in Unicode's composed form (NFC), so another disk would store it otherwise: 'cafe\u0301.npz'",
    ),
    "invisible": ("x\u200b.npz", "has a character that not every disk can store: 'x\\u200b.npz'"),
    "private": ("x\ue000.npz", "has a character that not every disk can store: 'x\\ue000.npz'"),
    "long": ("a" * 246 + ".npz", "is longer than every disk can store: 245 bytes a name, 1,024 in all"),
    "unassigned": ("x\u0378.npz", "has a character that not every disk can store: 'x\\u0378.npz'"),
}

# An address that a mirror must not have, and why.
ADDRESSES: dict[str, tuple[str, str]] = {
    "another computer": (
        "file://server/share/",
        "names another computer, is 'file://server/share/'; file:/// has three slashes",
    ),
    "ftp": ("ftp://example.org/", "must start with https:// or http://, is 'ftp://example.org/'"),
    "javascript": ("javascript:alert(1)/", "must start with https:// or http://, is 'javascript:alert(1)/'"),
    "data": ("data:text/plain,a/", "must start with https:// or http://, is 'data:text/plain,a/'"),
    "no scheme": ("example.org/files/", "must start with https:// or http://, is 'example.org/files/'"),
    "a port without a host": ("https://:80/files/", "names no host, is 'https://:80/files/'"),
    "a user without a name": ("https://@b.org/", "carries a user name or password; a manifest is read by everyone"),
    "no host": ("https:///files/", "names no host, is 'https:///files/'"),
    "user": ("https://me@example.org/", "carries a user name or password; a manifest is read by everyone"),
    "password": ("https://me:pw@example.org/", "carries a user name or password; a manifest is read by everyone"),
    "a blank": ("https://example.org/a b/", "has a blank or control character in it"),
    "a tab": ("https://example.org/a\\tb/", "has a blank or control character in it"),
    "a line feed": ("https://example.org/\\n/", "has a blank or control character in it"),
    "broken": ("https://[::1/", "not an address: Invalid IPv6 URL"),
    "s3a": ("s3a://bucket/", "must start with https:// or http://, is 's3a://bucket/'; did you mean 's3://'?"),
    "no bucket": ("s3:///files/", "names no host, is 's3:///files/'"),
    "a bucket's key": ("s3://ada:pw@bucket/", "carries a user name or password; a manifest is read by everyone"),
    "a bucket's query": (
        "s3://bucket/?versionId=1/",
        "has a '?' in it, after which a file's name would be no part of the path; write whole urls",
    ),
    "ssh": ("ssh://example.org/", "must start with https:// or http://, is 'ssh://example.org/'"),
    "slashless": (
        "https://example.org/files",
        "must end in '/', because a file's name is appended to it: 'https://example.org/files'",
    ),
    "a query": (
        "https://example.org/get?file=/",
        "has a '?' in it, after which a file's name would be no part of the path; write whole urls",
    ),
    "a fragment": (
        "https://example.org/files#/",
        "has a '#' in it, after which a file's name would be no part of the path; write whole urls",
    ),
    "port of text": ("https://example.org:port/", "not an address: Port could not be cast to integer value as 'port'"),
    "port too large": ("https://example.org:99999/", "not an address: Port out of range 0-65535"),
}

G = GOOD.encode()

# Bytes that are no manifest, each with the first thing that is reported, and a twin where it is not the good manifest.
RAW: dict[str, tuple[bytes, str, bytes | None]] = {
    "nothing": (b"", "1: must be a mapping of keys to values, is empty", None),
    "a comment alone": (b"# a\n", "1: must be a mapping of keys to values, is empty", b"# a\n" + G),
    "a list": (b"- a\n", "1: must be a mapping of keys to values, is a list", None),
    "a text": (b"a\n", "1: must be a mapping of keys to values, is text", None),
    "UTF-16": (GOOD.encode("utf-16"), "1: is UTF-16 text; save it as UTF-8", b"\xef\xbb\xbf" + G),
    "UTF-16, big end first": (b"\xfe\xff" + GOOD.encode("utf-16-be"), "1: is UTF-16 text; save it as UTF-8", None),
    "UTF-16 without its mark": (
        GOOD.encode("utf-16-le"),
        "1: has the control character U+0000 in it",
        None,
    ),
    "Latin-1": (
        G.replace(b"Digits", b"Caf\xe9"),
        "4: is not UTF-8 text: column 15 has the byte 0xe9; save it as UTF-8",
        G.replace(b"Digits", b"Caf\xc3\xa9"),
    ),
    "an overlong encoding": (
        G.replace(b"Digits", b"\xc0\xaf"),
        "4: is not UTF-8 text: column 12 has the byte 0xc0; save it as UTF-8",
        None,
    ),
    "a surrogate": (
        G.replace(b"Digits", b"\xed\xa0\x80"),
        "4: is not UTF-8 text: column 12 has the byte 0xed; save it as UTF-8",
        G.replace(b"Digits", b"\xf0\x9f\x98\x80"),
    ),
    "an escaped surrogate": (
        G.replace(b"title: Digits", b'title: "\\ud800"'),
        "4: not YAML: column 15 has an escape that YAML does not know; in single quotes a backslash is one",
        G.replace(b"title: Digits", b'title: "\\u00e9"'),
    ),
    "a NUL": (
        G.replace(b"Digits", b"Dig\0its"),
        "4: has the control character U+0000 in it",
        None,
    ),
    "an escaped NUL": (
        G.replace(b"title: Digits", b'title: "\\0"'),
        "4: digits.title: has the control character U+0000 in it",
        G.replace(b"title: Digits", b'title: "a\\tb"'),
    ),
    "colors for a terminal": (
        G.replace(b"title: Digits", b'title: "\\e[31mred"'),
        "4: digits.title: has the control character U+001B in it",
        None,
    ),
    "a line that only some end": (
        G.replace(b"title: Digits", 'title: "Dig\u2028its"'.encode()),
        "4: digits.title: has the control character U+2028 in it",
        None,
    ),
    "text that turns round": (
        G.replace(b"Digits", "\u202esdrawkcab".encode()),
        "4: digits.title: has the control character U+202E in it",
        G.replace(b"Digits", "\u05d0\u05d1".encode()),
    ),
    "a key that forges a line": (
        G.replace(b"    title:", b'    "a\\ndatasets.yaml:1": b\n    title:'),
        "4: digits.a\\ndatasets.yaml:1: unknown key",
        None,
    ),
    "a tab for indentation": (
        G.replace(b"    title", b"\ttitle"),
        "4: not YAML: line 4 is indented with a tab, in column 1; use blanks",
        G.replace(b"\n", b"\r\n"),
    ),
    "brackets without end": (b"[" * 200_000, "1: nested more than 32 levels deep; a manifest needs six", None),
    "braces without end": (b"{a: " * 200_000, "1: nested more than 32 levels deep; a manifest needs six", None),
    "keys that are keys": (b"? " * 100_000 + b"a", "1: a mapping or list cannot be a key", None),
    "a billion laughs": (
        b"a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n"
        + b"".join(b"%c: &%c [%b]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(8)),
        "5: aliases expand to more than 20,000 values",
        G.replace(b"Digits", b"&a Digits").replace(b"CC0-1.0", b"*a"),
    ),
    "a long text a thousand times": (
        b"a: &a " + b"x" * 60_000 + b"\nb: [" + b"*a," * 1000 + b"]\n",
        "2: aliases expand to more than 20,000 values",
        None,
    ),
    "an alias before its anchor": (
        b"a: *b\nb: &b 1\n",
        "1: the alias *b stands before (or inside) what it names",
        None,
    ),
    "an alias for a key": (b"a: &a 1\n*a : 2\n", "2: an alias cannot be a key", None),
    "a merge": (
        b"a: &a {b: 1}\nc:\n  <<: *a\n",
        "3: c.<<: merge keys (<<) are not read here; write the keys out",
        None,
    ),
    "a set": (b"a: !!set {b}\n", "1: a: the tag !!set is not allowed; only plain YAML is read", None),
    "binary": (b"a: !!binary aGk=\n", "1: a: the tag !!binary is not allowed; only plain YAML is read", None),
    "a call": (
        b"a: !!python/object/apply:os.system ['touch marker']\n",
        "1: a: the tag !!python/object/apply:os.system is not allowed; only plain YAML is read",
        G.replace(b"title: Digits", b"title: !!str Digits"),
    ),
    "a new object": (
        b"a: !!python/object/new:os.system ['touch marker']\n",
        "1: a: the tag !!python/object/new:os.system is not allowed; only plain YAML is read",
        None,
    ),
    "a module": (
        b"!!python/module:os x",
        "1: the tag !!python/module:os is not allowed; only plain YAML is read",
        None,
    ),
    "a tag of its own": (
        b"%TAG ! tag:x,2000:\n---\na: !b c\n",
        "3: a: the tag tag:x,2000:b is not allowed; only plain YAML is read",
        b"%YAML 1.1\n---\n" + G,
    ),
    "YAML of the future": (
        b"%YAML 9.0\n---\na: b\n",
        "1: not YAML: a line that begins with % is for YAML's readers; put it in quotes",
        None,
    ),
    "an unknown directive": (
        b"%FOO bar\n---\na: b\n",
        "1: not YAML: a line that begins with % is for YAML's readers; put it in quotes",
        None,
    ),
    "thirty thousand keys": (
        G + b"".join(b"k%d: 1\n" % i for i in range(30_000)),
        "19: k0: unknown key",
        None,
    ),
    "thirty thousand times one key": (
        b"a: 1\n" * 30_000,
        "2: a: duplicate key 'a'; it stands on line 1 already",
        None,
    ),
    "a million dashes": (b"- a\n" * 10**6, "1000000: more than 1,000,000 values; a data set needs some forty", None),
    "a text of a million": (b"title: " + b"x" * 10**6, "1: a text of more than 65,536 characters", None),
    "a block of a million": (b"a: |\n" + b" b\n" * 300_000, "1: a text of more than 65,536 characters", None),
    "a key of a thousand": (b'"' + b"x" * 1000 + b'": 1\n', "1: a key of more than 256 characters", None),
    "a number of a million digits": (b"a: " + b"9" * 10**6, "1: a text of more than 65,536 characters", None),
    "an anchor of a thousand": (
        b"a: *" + b"x" * 1000,
        f"1: the alias *{'x' * 60}... stands before (or inside) what it names",
        None,
    ),
    "forty megabytes": (
        b"#" * (40 << 20),
        "1: larger than 33,554,432 bytes; this is no manifest",
        b"#" * (1 << 20) + b"\n" + G,
    ),
    "forty thousand unknown keys": (
        G.replace(b"    title", b"".join(b"    titl%d: 1\n" % i for i in range(20_000)) + b"    title"),
        "4: digits.titl0: unknown key; did you mean 'title'?",
        None,
    ),
    "six thousand wrong data sets by alias": (
        b"version: 1\nx: &x {titl: 1}\ndatasets: {" + b", ".join(b"d%d: *x" % i for i in range(6000)) + b"}\n",
        "2: x: unknown key",
        None,
    ),
    "a quote without end": (
        b'a: "b',
        "1: not YAML: the quote in column 4 is never closed",
        None,
    ),
    "a bracket too many": (b"a: [b]]\n", "1: not YAML: the ] in column 7 closes nothing", None),
    "two manifests": (G + b"---\n" + G, "19: a second document (---); a manifest is one", b"---\n" + G + b"...\n"),
}


def problems(path: Path) -> list[str]:
    """What is reported of a manifest, without the file's name."""
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    assert caught.value.path == path
    return [line.removeprefix("datasets.yaml:") for line in str(caught.value).splitlines()[:-1]]


class TestValues:
    """A value that no manifest should have is reported with its line, and all that follows from it."""

    @pytest.mark.parametrize(("old", "new", "twin", "result"), VALUES.values(), ids=VALUES)
    def test_it_is_reported(
        self, tmp_path: Path, old: str, new: str, twin: str | None, result: tuple[str, ...]
    ) -> None:
        """In these words."""
        assert old in GOOD
        assert problems(write(tmp_path, GOOD.replace(old, new, 1))) == list(result)

    @pytest.mark.parametrize(
        ("old", "twin"), [pytest.param(old, twin, id=name) for name, (old, _, twin, _) in VALUES.items() if twin]
    )
    def test_its_twin_is_well(self, tmp_path: Path, old: str, twin: str) -> None:
        """The same place, filled as it should be; or the good manifest, which `test_manifest.py` reads."""
        assert list(load_manifest(write(tmp_path, GOOD.replace(old, twin, 1))).datasets) == ["digits"]


class TestNames:
    """A name is one file below its folder, on every machine the same, or it is refused."""

    @pytest.mark.parametrize(("name", "result"), NAMES.values(), ids=NAMES)
    def test_it_is_refused(self, tmp_path: Path, name: str, result: str) -> None:
        """Wherever the manifest names a file or a folder, and in all places at once."""
        quoted = '"' + name.replace('"', '\\"') + '"'
        text = f"download_to: {quoted}\n" + GOOD.replace("digits.npz", quoted).replace(
            "    title:", f"    folder: {quoted}\n    used_by: [{quoted}]\n    title:"
        )
        places = [line.split(": ")[1] for line in problems(write(tmp_path, text)) if line.endswith(f": {result}")]

        assert {"download_to", "digits.folder", "digits.used_by[0]"} < set(places)
        assert [place for place in places if place.startswith("digits.files.")]

    @pytest.mark.parametrize(
        "name", ["x.npz", "a/b/x.npz", "a-b_c (1).npz", "caf\u00e9.npz", "\u6587\u5b57.npz", ".x", "nulls"]
    )
    def test_its_twins_are_well(self, tmp_path: Path, name: str) -> None:
        """Letters of any script, blanks inside, dots in front."""
        loaded = load_manifest(write(tmp_path, GOOD.replace("digits.npz", f'"{name}"')))

        assert list(loaded.datasets["digits"].files) == [name]

    CLASHES = (
        ("letter case", "Digits.npz",
         "19: digits.files.Digits.npz: 'Digits.npz' and 'digits.npz' are one file on a disk that folds letter case"),
        ("letter case beyond ASCII", "D\u0130gits.npz", None),
        ("a file as a folder", "digits.npz/more",
         "19: digits.files.digits.npz/more: 'digits/digits.npz' is a file, so it cannot be a folder too"),
        ("a download of another", "digits.npz.part",
         "19: digits.files.digits.npz.part: is where 'digits/digits.npz' is kept while it is downloaded; "
         "give it another name"),
        ("notes on another's download", "DIGITS.npz.part.json",
         "19: digits.files.DIGITS.npz.part.json: is where 'digits/digits.npz' is kept while it is downloaded; "
         "give it another name"),
    )  # fmt: skip

    @pytest.mark.parametrize(("name", "result"), [c[1:] for c in CLASHES], ids=[c[0] for c in CLASHES])
    def test_two_names_in_each_others_way_are_refused(self, tmp_path: Path, name: str, result: str | None) -> None:
        """One would overwrite the other, on some machine at least."""
        path = write(tmp_path, GOOD + f"      {name}: {{bytes: 1, sha256: {HASH}}}\n")
        if result is None:
            assert len(load_manifest(path).datasets["digits"].files) == 2
        else:
            assert problems(path) == [result]

    @pytest.mark.parametrize("folder", [".cache", ".cache/stat", ".hidden"])
    def test_the_folder_of_what_was_verified_is_not_a_data_sets(self, tmp_path: Path, folder: str) -> None:
        """Its downloads could say of any file on this machine that it was verified."""
        text = GOOD.replace("    title:", f"    folder: {folder}\n    title:")

        assert problems(write(tmp_path, text)) == [
            f"4: digits.folder: begins with a dot; such names are reserved for .cache: {folder!r}"
        ]

    TWO = (
        ("a folder in another", "digits", "sub/a.txt", "digits/sub", "a.txt",
         "34: more.files.a.txt: digits/sub/a.txt is another file in 'digits'; give one of them a `folder`"),
        ("a folder where a file is", "digits", "sub", "digits/sub", "a.txt",
         "34: more.files.a.txt: 'digits/sub' is a file, so it cannot be a folder too"),
        ("a file where a folder is", "digits/sub", "a.txt", "digits", "SUB",
         "17: digits.files.a.txt: 'digits/SUB' is a file, so it cannot be a folder too"),
        ("a download of another's", "digits", "a", "digits", "a.part",
         "34: more.files.a.part: is where 'digits/a' is kept while it is downloaded; give it another name"),
        ("the same file", "digits", "sub/a.txt", "digits/sub", "a.txt", None),
        ("folders that begin alike", "digits", "a", "digits2", "a.part", None),
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("folder", "name", "other", "its", "result"), [c[1:] for c in TWO], ids=[c[0] for c in TWO]
    )
    def test_two_data_sets_in_each_others_way_are_refused(
        self, tmp_path: Path, folder: str, name: str, other: str, its: str, result: str | None
    ) -> None:
        """Wherever their folders meet; a file of both must be the same file."""
        head, _, body = GOOD.partition("  digits:\n")
        one = f"  digits:\n    folder: {folder}\n{body.replace('digits.npz', name)}"
        two = f"  more:\n    folder: {other}\n{body.replace('digits.npz', its)}"
        path = write(tmp_path, head + one + (two if result is None else two.replace(HASH, HASH[::-1])))
        if result is None:
            assert len(load_manifest(path).datasets) == 2
        else:
            assert problems(path) == [result]

    FOLDERS = (
        ("one folder", "download_to: data\nshipped_in: data",
         "1: download_to: download_to 'data' and shipped_in 'data' are one folder"),
        ("one folder on a folding disk", "shipped_in: data\ndownload_to: Data",
         "2: download_to: download_to 'Data' and shipped_in 'data' are one folder"),
        ("downloads among what ships", "download_to: datasets/more",
         "1: download_to: download_to 'datasets/more' and shipped_in 'datasets' are inside one another"),
        ("what ships among downloads", "shipped_in: downloaded-datasets/too",
         "1: shipped_in: download_to 'downloaded-datasets' and shipped_in 'downloaded-datasets/too' "
         "are inside one another"),
    )  # fmt: skip

    @pytest.mark.parametrize(("folders", "result"), [c[1:] for c in FOLDERS], ids=[c[0] for c in FOLDERS])
    def test_downloads_and_what_ships_have_folders_apart(self, tmp_path: Path, folders: str, result: str) -> None:
        """`clean` removes the former."""
        assert problems(write(tmp_path, f"{folders}\n{GOOD}")) == [
            f"{result}; keep downloads, which `clean` removes, apart from what ships"
        ]

    @pytest.mark.parametrize("folders", ["download_to: data\nshipped_in: data2", "download_to: more/datasets"])
    def test_their_twins_are_well(self, tmp_path: Path, folders: str) -> None:
        """Names that begin alike, and that end alike."""
        assert load_manifest(write(tmp_path, f"{folders}\n{GOOD}")).datasets


class TestAddresses:
    """Only http and https, without a secret, and nothing that is no address."""

    @pytest.mark.parametrize(("address", "result"), ADDRESSES.values(), ids=ADDRESSES)
    def test_it_is_refused(self, tmp_path: Path, address: str, result: str) -> None:
        """As a mirror."""
        text = GOOD.replace("[https://example.org/files/]", f'["{address}"]')

        assert f"14: digits.mirrors[0]: {result}" in problems(write(tmp_path, text))

    @pytest.mark.parametrize("address", ["http://example.org/", "https://example.org:8443/a/", "http://[::1]:80/"])
    def test_its_twins_are_well(self, tmp_path: Path, address: str) -> None:
        """Ports, numbers for hosts."""
        text = GOOD.replace("[https://example.org/files/]", f'["{address}"]')

        assert load_manifest(write(tmp_path, text)).datasets["digits"].mirrors == (address,)


# Which take a second, each beside a quicker one of its kind.
LARGE = {"a million dashes", "six thousand wrong data sets by alias"}


class TestBytes:
    """Bytes that are no manifest, or one that would cost dearly."""

    @pytest.mark.parametrize(
        ("raw", "result", "twin"),
        [pytest.param(*case, marks=pytest.mark.slow if name in LARGE else ()) for name, case in RAW.items()],
        ids=RAW,
    )
    def test_it_is_reported_soon_and_in_little_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes, result: str, twin: bytes | None
    ) -> None:
        """And nothing is written or run for it."""
        monkeypatch.chdir(tmp_path)
        path = tmp_path / "datasets.yaml"
        path.write_bytes(raw)

        with soon():
            found = problems(path)

        assert result in found
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("twin", [pytest.param(twin, id=name) for name, (_, _, twin) in RAW.items() if twin])
    def test_its_twin_is_read(self, tmp_path: Path, twin: bytes) -> None:
        """What differs in that one thing alone; or the good manifest, which `test_manifest.py` reads."""
        path = tmp_path / "datasets.yaml"
        path.write_bytes(twin)

        assert list(load_manifest(path).datasets) == ["digits"]

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("a million dashes", marks=pytest.mark.slow),
            "a long text a thousand times",
            "a text of a million",
        ],
    )
    def test_reading_it_takes_little(self, tmp_path: Path, name: str) -> None:
        """Of memory, until it is refused. A process of its own says what it held: to trace a million values is slow."""
        pytest.importorskip("resource", reason="this system does not say what a process held")
        path = tmp_path / "datasets.yaml"
        path.write_bytes(RAW[name][0])

        done = python("-c", HELD, str(path))

        assert float(done.stdout) < MEBIBYTES


class TestScalars:
    """The patterns for numbers and dates take as long as the text is long, and no longer."""

    @pytest.mark.parametrize("unit", ["1", "1_", "1.", ":1", "1:1", "1_1.1_", "0x1", "e1", "-", ".", "1e+", " "])
    def test_what_nearly_is_a_number_takes_no_longer(self, unit: str) -> None:
        """The longest that is looked at, a thousand times, is soon done, whatever it ends in."""
        for end in "x:e.":
            text = ("1" + unit * 256)[:255] + end

            with soon(15):
                for _ in range(1000):
                    plain(text)
