#!/usr/bin/env python3
"""Write the vectors of this folder: `python conformance/write_vectors.py` needs NumPy and nothing of the package.

What is expected of each stands here, written by hand, and not as some reader has it: the rule that a manifest breaks,
and by the sign § the line. Digests are made from bytes by `hashlib`, as docs/specification.md has it in words.
"""

# ruff: noqa: E501 (an edit of the manifest is a line of the script)

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
HASH = "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
OTHER = HASH[::-1]

BASE = f"""
version: 1
datasets:
  digits:
    title: Digits
    status: remote
    format: npz
    license: CC0-1.0
    source: https://example.org/digits
    fields:
      images: {{dtype: uint8, shape: [8, 8], range: [0, 16]}}
      labels: {{dtype: int64, classes: ["0", "1"]}}
    splits:
      train: {{samples: 10, file: digits.npz, images: x_train, labels: y_train}}
    mirrors: [https://example.org/files/]
    files:
      digits.npz:
        bytes: 1_000
        sha256: {HASH}
""".lstrip()

# What is put in place of what, in the manifest above.
Edit = tuple[str, str]
DIGITS, MIRRORS, TRAIN = "  digits:\n", "    mirrors: [https://example.org/files/]", "      train: "
IMAGES, LABELS = "{dtype: uint8, shape: [8, 8], range: [0, 16]}", '{dtype: int64, classes: ["0", "1"]}'
FILE = f"      digits.npz:\n        bytes: 1_000\n        sha256: {HASH}\n"
ENTRY = BASE[BASE.index(DIGITS) :]
SECOND = ENTRY.replace("  digits:", "  second:")
AT_IMAGES, AT_LABELS = f"      images: {IMAGES}", f"      labels: {LABELS}"

GOOD: dict[str, list[Edit]] = {
    "plain": [],
    "no-data-sets": [("datasets:\n" + ENTRY, "datasets: {}\n")],
    "comments-and-blank-lines": [("version: 1\n", "# what it is\n\nversion: 1 # of the layout\n\n")],
    "quoted": [("title: Digits", "title: 'It''s \"0\" to 9: all'"), ("license: CC0-1.0", 'license: "CC0-1.0"')],
    "unicode": [("title: Digits", 'title: "Chiffres \\u00e9crits, 手写数字"')],
    "document-start": [("version: 1", "---\nversion: 1")],
    "text-of-300-digits": [("title: Digits", "title: " + "1" * 256 + "0" * 44)],
    "stores": [
        (
            MIRRORS,
            "    mirrors: [s3://b/x/, gs://b/, hf://datasets/a/b/, 'memory://x/', file:///srv/x/, HTTPS://B.org:443/]",
        )
    ],
    "host-in-brackets": [(MIRRORS, "    mirrors: ['http://[::1]:8000/']")],
    "block-lists": [(" [https://example.org/files/]", "\n      - https://example.org/files/\n      - http://b.org/x/")],
    "block-mappings": [(IMAGES, "\n        dtype: uint8\n        shape:\n        - 8\n        - 8")],
    "lines-of-flow": [('classes: ["0", "1"]', 'classes: [\n        "0", # none\n        "1",\n      ]')],
    "anchor": [("license: CC0-1.0", "license: &l CC0-1.0"), ("source: https://example.org/digits", "source: *l")],
    "anchor-of-a-list": [
        ("shape: [8, 8]", "shape: &s [8, 8]"),
        ("      labels:", "      other: {dtype: int8, shape: *s}\n      labels:"),
    ],
    "null-is-left-out": [("    license:", "    citation: null\n    license:")],
    "null-keys-of-a-field": [
        (IMAGES, "{dtype: uint8, shape: [8, 8], first: null, stored: null, scale: null, channels: null}")
    ],
    "null-keys-of-text": [(IMAGES, "{dtype: str, range: null, classes: null}")],
    "null-checks": [
        (LABELS, "{dtype: int64}"),
        ("    splits:", "    checks: {balance: null, duplicates: null}\n    splits:"),
    ],
    "tilde-is-null": [("    license:", "    citation: ~\n    license:")],
    "quoted-key": [("    license:", '    "license":')],
    "address-of-a-file": [
        (MIRRORS + "\n", ""),
        ("        bytes:", "        urls: [https://b.org/get?file=7]\n        bytes:"),
    ],
    "shipped-without-mirrors": [("status: remote", "status: shipped"), (MIRRORS + "\n", "")],
    "no-digest-is-a-number": [("1_000", "1000")],
    "float-range": [(IMAGES, "{dtype: float32, shape: [8, 8], range: [-1.5, 2.0]}")],
    "ragged": [(IMAGES, "{dtype: uint8, shape: [null, null, 3]}")],
    "text": [(IMAGES, "{dtype: str}")],
    "bool": [(IMAGES, "{dtype: bool, range: [0, 1]}")],
    "stored-values": [(LABELS, '{dtype: int64, classes: ["no", "yes"], values: [-1, 1]}')],
    "first": [(LABELS, '{dtype: int64, classes: ["0", "1"], first: 1}')],
    "one-hot": [(LABELS, '{dtype: int64, classes: ["0", "1"], stored: one-hot}')],
    "axes": [(IMAGES, "{dtype: uint8, shape: [8, 4], axes: [2, 0, 1]}")],
    "stored-shape": [(IMAGES, "{dtype: uint8, shape: [8, 8], stored_shape: [null, 64]}")],
    "scale": [(IMAGES, "{dtype: float32, shape: [8, 8], scale: 0.0625}")],
    "names": [(IMAGES, "{dtype: float64, shape: [2], names: [width, height]}")],
    "channels": [(IMAGES, "{dtype: uint8, shape: [8, 8, 3], channels: last}")],
    "digest-of-a-split": [(LABELS, f'{{dtype: int64, classes: ["0", "1"], sha256: {{train: {HASH}}}}}')],
    "target": [("    splits:", "    target: labels\n    splits:")],
    "target-that-nobody-has-named": [("    splits:", '    target: "?"\n    splits:')],
    "aliases": [("    title:", "    aliases: [digits-8x8]\n    title:")],
    "rows": [("{samples: 10, file", "{samples: 10, rows: [5, 15], file")],
    "two-splits-by-rows": [
        (
            TRAIN,
            "      test: {samples: 5, rows: [10, 15], file: digits.npz, images: x_train, labels: y_train}\n      train: ",
        ),
        ("{samples: 10, file", "{samples: 10, rows: [0, 10], file"),
    ],
    "checks": [("    splits:", "    checks: {duplicates: {of: [images], within: 0}, balance: 1.5}\n    splits:")],
    "one-file-of-two-data-sets": [(DIGITS, f"{SECOND}    folder: digits\n  digits:\n")],
    "a-file-in-a-folder": [("      digits.npz:", "      a/digits.npz:"), ("file: digits.npz", "file: a/digits.npz")],
    "csv": [
        ("format: npz", "format: csv\n    options: {header: false, delimiter: ;}"),
        ("images: x_train, labels: y_train", 'images: {column: "0-63"}, labels: {column: 64}'),
    ],
}

BAD: dict[str, tuple[str, list[Edit]]] = {
    # YAML
    "tab": ("yaml", [("    status: remote", "\t§status: remote")]),
    "open-bracket": ("yaml", [("shape: [8, 8]", "shape:§ [8, 8")]),
    "open-quote": ("yaml", [("title: Digits", 'title: §"Digits')]),
    "no-colon": ("yaml", [("    status: remote", "    status§")]),
    "unknown-alias": ("yaml", [("license: CC0-1.0", "license: *n§one")]),
    "duplicate-key": ("duplicate-key", [("    status:", "    title: Again§\n    status:")]),
    "duplicate-key-in-flow": ("duplicate-key", [("range: [0, 16]", "dtype: int8§")]),
    "duplicate-data-set": ("duplicate-key", [(ENTRY, ENTRY + ENTRY.replace("  digits:", "  digits:§"))]),
    "no-is-a-switch": ("ambiguous", [('["0", "1"]', "[no§, yes1]")]),
    "number-of-25-digits": ("ambiguous", [("1_000", "1" * 25 + "§")]),
    "at-sign": ("yaml", [("title: Digits", "title: @digits§")]),
    "percent-sign": ("yaml", [("title: Digits", "title: %digits§")]),
    "a-dash-alone": ("yaml", [("title: Digits", "title: -§")]),
    "octal": ("ambiguous", [("title: Digits", "title: 0777§")]),
    "date": ("ambiguous", [("title: Digits", "title: 2020-01-01§")]),
    "exponent": ("ambiguous", [("1_000", "1e3§")]),
    "hexadecimal": ("ambiguous", [("1_000", "0x10§")]),
    "hexadecimal-in-capitals": ("ambiguous", [("title: Digits", "title: 0x1F§")]),
    "sexagesimal": ("ambiguous", [("title: Digits", "title: 12:30§")]),
    "infinity": ("ambiguous", [("range: [0, 16]", "range: [0, .inf§]")]),
    "key-is-a-switch": ("ambiguous", [("      images:", "      on§:"), (" images: x_", ' "on": x_')]),
    "tag": ("tag", [("title: Digits", "title: !!python/name:os.system§ x")]),
    "merge-key": ("tag", [("    title: Digits", "    <<: {license: x}§\n    title: Digits")]),
    # types and keys
    "empty": ("wrong-type", [(BASE, "§\n")]),
    "a-list": ("wrong-type", [(BASE, "§- digits\n")]),
    "no-version": ("missing-key", [("version: 1\n", ""), ("datasets:", "datasets:§")]),
    "another-version": ("wrong-value", [("version: 1", "version: 2§")]),
    "version-is-text": ("wrong-type", [("version: 1", 'version: "1"§')]),
    "version-is-a-float": ("wrong-type", [("version: 1", "version: 1.0§")]),
    "no-title": ("missing-key", [("    title: Digits\n", ""), (DIGITS, "  digits:§\n")]),
    "no-license": ("missing-key", [("    license: CC0-1.0\n", ""), (DIGITS, "  digits:§\n")]),
    "no-sha256": ("missing-key", [(f"        sha256: {HASH}\n", ""), ("      digits.npz:", "      digits.npz:§")]),
    "no-dtype": ("missing-key", [(IMAGES, "{shape: [8, 8]}§")]),
    "no-samples": ("missing-key", [("{samples: 10, ", "§{")]),
    "quoted-merge-key": ("unknown-key", [("    title:", '    "<<": {license: x}§\n    title:')]),
    "reference-to-a-method": ("reference", [("    title:", "    target: constructor§\n    title:")]),
    "key-of-every-object": ("unknown-key", [("    title:", "    __proto__: x§\n    title:")]),
    "unknown-key": ("unknown-key", [("    license:", "    licence: x§\n    license:")]),
    "unknown-key-at-the-top": ("unknown-key", [("version: 1\n", "version: 1\nversions: 1§\n")]),
    "unknown-key-of-a-field": ("unknown-key", [("range: [0, 16]", "ranges: [0, 16]§")]),
    "title-is-a-number": ("wrong-type", [("title: Digits", "title: 7§")]),
    "title-is-empty": ("empty", [("title: Digits", 'title: ""§')]),
    "class-is-a-number": ("wrong-type", [('["0", "1"]', '["0", 1§]')]),
    "no-classes": ("empty", [('["0", "1"]', "[]§")]),
    "bytes-are-text": ("wrong-type", [("1_000", '"1000"§')]),
    "bytes-are-a-float": ("wrong-type", [("1_000", "1000.0§")]),
    "bytes-are-a-switch": ("wrong-type", [("1_000", "true§")]),
    "no-bytes": ("wrong-value", [("1_000", "0§")]),
    "shape-is-a-number": ("wrong-type", [("[8, 8]", "8§")]),
    "length-is-zero": ("wrong-value", [("[8, 8]", "[8, 0§]")]),
    "range-of-three": ("wrong-length", [("[0, 16]", "[0, 8, 16]§")]),
    "fields-are-a-list": (
        "wrong-type",
        [
            (AT_IMAGES + "\n" + AT_LABELS, "    - images"),
            ("    fields:", "    fields:§"),
            (", images: x_train, labels: y_train", ""),
        ],
    ),
    "short-sha256": ("wrong-value", [(HASH, HASH[1:] + "§")]),
    "upper-case-sha256": ("wrong-value", [(HASH, HASH.upper() + "§")]),
    "unknown-status": ("wrong-value", [("status: remote", "status: remotely§")]),
    "unknown-dtype": ("wrong-value", [("dtype: uint8", "dtype: uint7§")]),
    "big-endian-dtype": ("wrong-value", [("dtype: uint8", 'dtype: ">i4"§'), (", range: [0, 16]", "")]),
    # names
    "upper-case-name": ("name", [("  digits:", "  Digits:§")]),
    "long-name": ("name", [("  digits:", f"  {'d' * 65}:§")]),
    "field-with-a-sign": ("name", [("      images:", "      the-images:§"), ("images: x_", "the-images: x_")]),
    "reserved-field": ("name", [("      images:", "      batches:§"), ("images: x_", "batches: x_")]),
    "reserved-split": ("name", [(TRAIN, "      rows:§ ")]),
    "alias-of-another": ("alias", [("    title:", "    aliases: [digits]§\n    title:")]),
    "alias-in-upper-case": ("alias", [("    title:", "    aliases: [Digits]§\n    title:")]),
    # paths
    "path-leaves": ("path", [("      digits.npz:", "      ../digits.npz:§"), ("file: d", "file: ../d")]),
    "absolute-path": ("path", [("      digits.npz:", "      /digits.npz:§"), ("file: d", "file: /d")]),
    "drive": ("path", [("      digits.npz:", '      "C:digits.npz":§'), ("file: digits.npz", 'file: "C:digits.npz"')]),
    "backslash": ("path", [("      digits.npz:", "      a\\digits.npz:§"), ("file: d", "file: a\\d")]),
    "device": ("path", [("      digits.npz:", "      aux.npz:§"), ("file: digits.npz", "file: aux.npz")]),
    "dotted-part": ("path", [("      digits.npz:", "      ./digits.npz:§"), ("file: d", "file: ./d")]),
    "trailing-dot": ("path", [("      digits.npz:", "      digits.:§"), ("file: digits.npz", "file: digits.")]),
    "not-composed": (
        "path",
        [("      digits.npz:", "      cafe\u0301.npz:§"), ("file: digits.npz", "file: cafe\u0301.npz")],
    ),
    "folder-leaves": ("path", [("    title:", "    folder: ../x§\n    title:")]),
    "hidden-folder": ("path", [("    title:", "    folder: .cache§\n    title:")]),
    "sharp-s-in-capitals": (
        "clash",
        [
            (FILE, FILE.replace("digits.", "\u00df.") + FILE.replace("digits.npz:", "SS.npz:§")),
            ("file: digits", "file: \u00df"),
        ],
    ),
    "two-letter-cases": ("clash", [(FILE, FILE + FILE.replace("digits.npz:", "Digits.npz:§"))]),
    "file-in-a-file": ("clash", [(FILE, FILE + FILE.replace("digits.npz:", "digits.npz/a:§"))]),
    "name-of-a-part": ("clash", [(FILE, FILE + FILE.replace("digits.npz:", "digits.npz.part:§"))]),
    "another-file-of-two": (
        "clash",
        [(ENTRY, ENTRY + SECOND.replace(HASH, OTHER).replace("npz:", "npz:§") + "    folder: digits\n")],
    ),
    "one-folder-for-both": ("folders", [("version: 1", "version: 1\ndownload_to: datasets§")]),
    "a-folder-in-the-other": ("folders", [("version: 1", "version: 1\ndownload_to: datasets/down§")]),
    # addresses
    "port-past-the-last": ("address", [(MIRRORS, "    mirrors: ['https://example.org:123456/']§")]),
    "port-without-a-host": ("address", [(MIRRORS, "    mirrors: ['https://:80/files/']§")]),
    "user-without-a-name": ("address", [(MIRRORS, "    mirrors: ['https://@example.org/files/']§")]),
    "another-computer": ("address", [(MIRRORS, "    mirrors: ['file://there/files/']§")]),
    "bucket-without-a-name": ("address", [(MIRRORS, "    mirrors: ['s3:///files/']§")]),
    "query-in-a-store": ("address", [("        bytes:", "        urls: ['s3://b/a?key=1']§\n        bytes:")]),
    "ftp": ("address", [(MIRRORS, "    mirrors: [ftp://example.org/files/]§")]),
    "no-host": ("address", [(MIRRORS, "    mirrors: ['https:///files/']§")]),
    "password": ("address", [(MIRRORS, "    mirrors: ['https://ada:pw@example.org/']§")]),
    "mirror-without-slash": ("address", [(MIRRORS, "    mirrors: [https://example.org/files]§")]),
    "mirror-with-a-query": ("address", [(MIRRORS, "    mirrors: ['https://example.org/?a=/']§")]),
    "address-with-a-blank": ("address", [("        bytes:", "        urls: ['https://b.org/a b']§\n        bytes:")]),
    "no-mirror": ("no-address", [(MIRRORS + "\n", ""), ("      digits.npz:", "      digits.npz:§")]),
    "mirror-twice": ("repeated", [(MIRRORS, "    mirrors:\n    - https://b.org/\n    - https://b.org/§")]),
    # fields
    "class-twice": ("repeated", [('["0", "1"]', '["0", "0"]§')]),
    "classes-in-uint8": ("class-field", [("dtype: int64", "dtype: uint8§")]),
    "classes-with-a-shape": ("class-field", [("dtype: int64", "shape: [2]§, dtype: int64")]),
    "range-upside-down": ("range", [("range: [0, 16]", "range: [16, 0]§")]),
    "range-past-the-dtype": ("range", [("range: [0, 16]", "range: [0, 256]§")]),
    "range-below-the-dtype": ("range", [("range: [0, 16]", "range: [-1, 16]§")]),
    "range-past-a-float": ("range", [(IMAGES, "{dtype: float16, shape: [8, 8], range: [0, 70_000]}§")]),
    "text-with-a-shape": ("text-field", [(IMAGES, "{dtype: str, shape: [8]}§")]),
    "text-with-a-range": ("text-field", [(IMAGES, "{dtype: str, range: [0, 1]}§")]),
    "numbers-of-a-split": ("text-field", [(IMAGES, "{dtype: uint8, per: split}§")]),
    "too-many-values": ("class-values", [(LABELS, '{dtype: int64, classes: ["0", "1"], values: [1, 2, 3]}§')]),
    "equal-values": ("class-values", [(LABELS, '{dtype: int64, classes: ["0", "1"], values: [1, 1.0]}§')]),
    "values-without-classes": ("class-values", [("range: [0, 16]", "values: [1]§")]),
    "values-and-first": ("class-values", [(LABELS, '{dtype: int64, classes: ["0", "1"], values: [1, 2], first: 1}§')]),
    "channels-of-one-axis": ("axes", [(IMAGES, "{dtype: uint8, shape: [8], channels: last}§")]),
    "axes-of-another-number": ("axes", [(IMAGES, "{dtype: uint8, shape: [8, 8], axes: [1, 0]}§")]),
    "stored-shape-of-others": ("axes", [(IMAGES, "{dtype: uint8, shape: [8, 8], stored_shape: [null, 63]}§")]),
    "stored-shape-without-null": ("axes", [(IMAGES, "{dtype: uint8, shape: [8, 8], stored_shape: [10, 64]}§")]),
    "names-for-others": ("axes", [(IMAGES, "{dtype: uint8, shape: [3], names: [a, b]}§")]),
    "scale-of-whole-numbers": ("scale", [("range: [0, 16]", "scale: 0.5§")]),
    "huge-sample": ("too-large", [("shape: [8, 8], range: [0, 16]", "shape: [65536, 65536]§")]),
    # what refers to what
    "target-of-nothing": ("reference", [("    splits:", "    target: label§\n    splits:")]),
    "digest-of-no-split": (
        "reference",
        [(LABELS, f'{{dtype: int64, classes: ["0", "1"], sha256: {{trian: {HASH}}}}}§')],
    ),
    "checks-of-no-field": ("reference", [("    splits:", "    checks: {duplicates: {of: [image]}}§\n    splits:")]),
    "undeclared-file": ("reference", [("file: digits.npz", "file: digit.npz§")]),
    "split-with-another-field": ("reference", [("labels: y_train", "label: y_train§")]),
    "balance-without-classes": (
        "reference",
        [(LABELS, "{dtype: int64}"), ("    splits:", "    checks: {balance: 2}§\n    splits:")],
    ),
    "balance-of-classes-that-are-null": (
        "reference",
        [(LABELS, "{dtype: int64, classes: null}"), ("    splits:", "    checks: {balance: 2}§\n    splits:")],
    ),
    "one-place-of-two-splits-but-for-a-null": (
        "same-place",
        [
            (
                TRAIN,
                "      test: {samples: 10, members: null, file: digits.npz, images: x_train, labels: y_train}\n      train§: ",
            )
        ],
    ),
    "scale-of-labels": ("scale", [(LABELS, '{dtype: int64, classes: ["0", "1"], scale: 0.5}§')]),
    "one-place-of-two-splits": (
        "same-place",
        [(TRAIN, "      test: {samples: 10, file: digits.npz, images: x_train, labels: y_train}\n      train§: ")],
    ),
    "rows-backwards": ("rows", [("{samples: 10, file", "{samples: 10, rows: [10, 0]§, file")]),
    "rows-of-another-number": ("rows", [("{samples: 10, file", "{samples: 10, rows: [0, 9]§, file")]),
    # formats
    "unknown-format": ("wrong-value", [("format: npz", "format: npx§")]),
    "unknown-option": ("unknown-key", [("format: npz", "format: npz\n    options: {header: true}§")]),
    "option-of-another-type": (
        "wrong-type",
        [
            ("format: npz", "format: csv\n    options: {header: 7}§"),
            ("images: x_train, labels: y_train", 'images: {column: "0-63"}, labels: {column: 64}'),
        ],
    ),
}


def edited(edits: list[Edit]) -> str:
    """The manifest above with every edit made, each of which fits once."""
    text = BASE
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def write_manifests() -> list[dict[str, Any]]:
    """Write the manifests, and return what is expected of each."""
    expected: list[dict[str, Any]] = []
    for name, edits in GOOD.items():
        expected.append({"file": f"manifests/good/{name}.yaml", "rule": None, "line": None})
        (HERE / "manifests/good").mkdir(parents=True, exist_ok=True)
        (HERE / expected[-1]["file"]).write_text(edited(edits), encoding="utf-8")
    for name, (rule, edits) in BAD.items():
        before, sign, after = edited(edits).partition("§")
        assert sign, name
        assert "§" not in after, name
        expected.append({"file": f"manifests/bad/{name}.yaml", "rule": rule, "line": before.count("\n") + 1})
        (HERE / "manifests/bad").mkdir(parents=True, exist_ok=True)
        (HERE / expected[-1]["file"]).write_text(before + after, encoding="utf-8")
    return expected


def sha256(dtype: str, shape: list[int | None], *parts: bytes) -> str:
    """The digest of a line of dtype and shape, and of the bytes after it."""
    line = f"{dtype} {'x'.join('null' if size is None else str(size) for size in shape)}\n"
    return hashlib.sha256(line.encode("ascii") + b"".join(parts)).hexdigest()


def arrays() -> dict[str, np.ndarray]:
    """The arrays of one shape, by name, as they are stored in their files."""
    counted = np.arange(24).reshape(2, 3, 4)
    signed = counted - 12
    return {
        "bool": np.array([True, False, True, True]),
        "bool-empty": np.zeros((0,), "?"),
        "uint8": counted.astype("u1"),
        "uint8-extremes": np.array([0, 127, 128, 255], "u1"),
        "uint8-fortran": np.asfortranarray(counted.astype("u1")),
        "uint8-no-samples": np.zeros((0, 28, 28), "u1"),
        "uint8-empty-axis": np.zeros((3, 0, 2), "u1"),
        "uint8-one": np.array([7], "u1"),
        "int8": signed.astype("i1"),
        "int16-little": signed.astype("<i2"),
        "int16-big": signed.astype(">i2"),
        "uint16-little": (counted * 2000).astype("<u2"),
        "uint16-big": (counted * 2000).astype(">u2"),
        "int32-little": (signed * 10**8).astype("<i4"),
        "int32-big": (signed * 10**8).astype(">i4"),
        "uint32-big": (counted * 10**8).astype(">u4"),
        "int64-little": np.array([-(2**63), -1, 0, 2**63 - 1], "<i8"),
        "int64-big": np.array([-(2**63), -1, 0, 2**63 - 1], ">i8"),
        "uint64-little": np.array([0, 2**53 + 1, 2**64 - 1], "<u8"),
        "uint64-big": np.array([0, 2**53 + 1, 2**64 - 1], ">u8"),
        "float16-little": np.array([0.5, -2, 65504, 6e-8], "<f2"),
        "float16-big": np.array([0.5, -2, 65504, 6e-8], ">f2"),
        "float32-little": np.array([[0.1, -0.0], [np.inf, 1e-45]], "<f4"),
        "float32-big": np.array([[0.1, -0.0], [np.inf, 1e-45]], ">f4"),
        "float32-fortran-big": np.asfortranarray(counted.astype(">f4") / 7),
        "float64-little": np.array([0.1, -np.inf, 5e-324, 1.7976931348623157e308], "<f8"),
        "float64-big": np.array([0.1, -np.inf, 5e-324, 1.7976931348623157e308], ">f8"),
        "float32-nan": np.array([0x7FC00000, 0xFFC00000, 0x7FC00001], "<u4").view("<f4"),
        "float64-nan-big": np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000001], ">u8").view(">f8"),
        "float32-signaling-nan-big": np.array([0x7F800001, 0xFFBFFFFF], ">u4").view(">f4"),
        "float16-bits": np.array([0, 0x8000, 0x7E00, 0xFE00, 0x7E01, 0x7C01, 0xFC00], "<u2").view("<f2"),
        "bool-fortran": np.asfortranarray(counted % 2 == 0),
        "float32-zeros": np.array([0.0, -0.0], "<f4"),
    }


TEXTS: dict[str, list[str]] = {
    "str-ascii": ["a", "bc", ""],
    "str-none": [],
    "str-one-empty": [""],
    "str-unicode": ["caf\u00e9", "cafe\u0301", "手写", "\U0001f600", "\u2028", "line\nline\r\n"],
    "str-zero-bytes": ["\0", "a\0b", "\0"],
    "str-split-otherwise": ["ab", "c"],
}
RAGGED: dict[str, tuple[str, list[int | None], list[list[int]]]] = {
    "ragged-words": ("int32", [None], [[3], [0], [5]]),
    "ragged-empty-samples": ("float16", [None, 2], [[0, 2], [0, 2]]),
    "ragged-of-no-width": ("uint64", [None, 0], [[3, 0], [0, 0]]),
    "ragged-no-samples": ("int32", [None], []),
    "ragged-pictures": ("uint8", [None, None, 3], [[2, 1, 3], [1, 4, 3], [0, 2, 3]]),
    "ragged-middle": ("float64", [2, None], [[2, 3], [2, 0], [2, 1]]),
}


def write_arrays() -> list[dict[str, Any]]:
    """Write the arrays, and return the digest of each."""
    (HERE / "arrays").mkdir(exist_ok=True)
    expected: list[dict[str, Any]] = []

    def note(name: str, ending: str, dtype: str, shape: list[int | None], *parts: bytes, **more: object) -> None:
        facts = {"file": f"arrays/{name}.{ending}", "dtype": dtype, "shape": shape, **more}
        expected.append({**facts, "sha256": sha256(dtype, shape, *parts)})

    for name, values in arrays().items():
        np.save(HERE / f"arrays/{name}.npy", values)
        turned = values if values.dtype.byteorder != ">" else values.byteswap()
        note(name, "npy", values.dtype.newbyteorder("=").name, [*values.shape], turned.tobytes("C"))
    for name, texts in TEXTS.items():
        (HERE / f"arrays/{name}.json").write_text(json.dumps(texts) + "\n", encoding="ascii")
        encoded = [text.encode("utf-8") for text in texts]
        note(name, "json", "str", [len(texts)], *(struct.pack("<q", len(one)) + one for one in encoded))
    for name, (dtype, sample_shape, shapes) in RAGGED.items():
        sizes = [int(np.prod(shape)) for shape in shapes]
        flat = np.arange(sum(sizes)).astype(dtype)
        np.save(HERE / f"arrays/{name}.npy", flat)
        parts = []
        for shape, size, end in zip(shapes, sizes, np.cumsum(sizes, dtype=int), strict=True):
            differ = [length for length, declared in zip(shape, sample_shape, strict=True) if declared is None]
            parts.append(struct.pack(f"<{len(differ)}q", *differ) + flat[end - size : end].tobytes())
        note(name, "npy", dtype, [len(shapes), *sample_shape], *parts, samples=shapes)
    return expected


def main() -> None:
    """Write the files, and the two lists of what is expected."""
    for name, expected in (("manifests", write_manifests()), ("arrays", write_arrays())):
        lines = ",\n".join(json.dumps(one) for one in expected)
        (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")


if __name__ == "__main__":
    main()
