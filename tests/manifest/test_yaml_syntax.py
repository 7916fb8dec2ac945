"""Text that is not YAML: what is wrong, with its line and column, by either of PyYAML's parsers; and nodes' places."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.manifest.test_manifest import GOOD, write
from tinytorch_datasets import load_manifest
from tinytorch_datasets.errors import ManifestError
from tinytorch_datasets.manifest.yaml_syntax import compose

TITLE = "    title: Digits\n"

# What of the good manifest is replaced, by what, and the first thing that is reported.
CASES: dict[str, tuple[str, str, str]] = {
    "a tab": ("    title", "\ttitle", "4: not YAML: line 4 is indented with a tab, in column 1; use blanks"),
    "a tab behind blanks": (
        "    status",
        "  \tstatus",
        "5: not YAML: line 5 is indented with a tab, in column 3; use blanks",
    ),
    "a tab before a field": (
        "      images:",
        "      \timages:",
        "10: not YAML: line 10 is indented with a tab, in column 7; use blanks",
    ),
    "two tabs": ("        bytes", "\t\tbytes", "17: not YAML: line 17 is indented with a tab, in column 1; use blanks"),
    "a blank too few": (
        "    status",
        "   status",
        "5: not YAML: the indentation of line 5, 3 blanks, fits none of the lines above it",
    ),
    "a blank too many": (
        "    status",
        "     status",
        "5: not YAML: the indentation of line 5, 5 blanks, fits none of the lines above it",
    ),
    "a blank too many on the last line": (
        "        sha256",
        "         sha256",
        "18: not YAML: the indentation of line 18, 9 blanks, fits none of the lines above it",
    ),
    "no colon": ("title:", "title", "4: not YAML: line 4 has no colon behind its key"),
    "no colon in the middle": ("status: remote", "status remote", "5: not YAML: line 5 has no colon behind its key"),
    "no colon behind a mapping's key": ("fields:", "fields", "9: not YAML: line 9 has no colon behind its key"),
    "no colon behind a name": ("  digits:\n", "  digits\n", "3: not YAML: line 3 has no colon behind its key"),
    "no colon on the first line": ("version: 1", "version 1", "1: not YAML: line 1 has no colon behind its key"),
    "no colon on the last line": ("sha256: ", "sha256 ", "18: not YAML: line 18 has no colon behind its key"),
    "no blank behind a colon": ("title: ", "title:", "4: not YAML: line 4 has no blank behind the colon in column 10"),
    "a quote that a later one closes": (
        "title: Digits",
        'title: "Digits',
        "4: not YAML: the quote in column 12 is not closed on its line",
    ),
    "a quote that nothing closes": (
        "title: Digits",
        "title: 'Digits",
        "4: not YAML: the quote in column 12 is never closed",
    ),
    "an apostrophe in single quotes": (
        "title: Digits",
        "title: 'it's'",
        "4: not YAML: column 16 has text behind a closing quote; put all of it in the other kind of quotes",
    ),
    "quotes in quotes": (
        "title: Digits",
        'title: "a "b" c"',
        "4: not YAML: column 16 has text behind a closing quote; put all of it in the other kind of quotes",
    ),
    "a bracket that nothing closes": ("files/]", "files/", "14: not YAML: the [ in column 14 is never closed"),
    "a brace that nothing closes": ("y_train}", "y_train", "13: not YAML: the { in column 14 is never closed"),
    "a bracket that a brace closes": (
        "[8, 8]",
        "[8, 8}",
        "10: not YAML: the [ in column 37 has a } for its end, in column 42",
    ),
    "a bracket too many": ("files/]", "files/]]", "14: not YAML: the ] in column 42 closes nothing"),
    "no comma": ('["0", "1"]', '["0" "1"]', "11: not YAML: column 44 needs a comma or a ] before it"),
    "a percent sign": (
        "Digits\n",
        "%Digits\n",
        "4: not YAML: a value cannot begin with %, in column 12: put it in quotes",
    ),
    "an at sign": ("Digits\n", "@Digits\n", "4: not YAML: a value cannot begin with @, in column 12: put it in quotes"),
    "a backtick": (
        "Digits\n",
        "`Digits`\n",
        "4: not YAML: a value cannot begin with `, in column 12: put it in quotes",
    ),
    "an at sign in a list": (
        "[8, 8]",
        "[@8, 8]",
        "10: not YAML: a value cannot begin with @, in column 38: put it in quotes",
    ),
    "a star": ("Digits\n", "*.csv\n", "4: not YAML: a value cannot begin with *, in column 12: put it in quotes"),
    "an ampersand": (
        "Digits\n",
        "& more\n",
        "4: not YAML: a value cannot begin with &, in column 12: put it in quotes",
    ),
    "an exclamation mark": (
        "Digits\n",
        "!<a b\n",
        "4: not YAML: a value cannot begin with !, in column 12: put it in quotes",
    ),
    "a greater than": (
        "Digits\n",
        ">= 5\n",
        "4: not YAML: a value cannot begin with >, in column 12: put it in quotes",
    ),
    "a colon in a value": (
        "Digits\n",
        "Digits: a set\n",
        "4: not YAML: a value with a colon and a blank in it, in column 18, must be in quotes",
    ),
    "a dash behind a key": (
        "title: Digits",
        "title: - Digits",
        "4: not YAML: a list begins on a line of its own, or in brackets; column 12 has a - behind a key",
    ),
    "a backslash": (
        "title: Digits",
        'title: "C:\\digits"',
        "4: not YAML: column 15 has an escape that YAML does not know; in single quotes a backslash is one",
    ),
    "an item without its dash": (
        "[https://example.org/files/]",
        "\n      - https://a.org/\n      https://b.org/",
        "16: not YAML: line 16 is no item of the list above it: begin it with - or indent it less",
    ),
}

# Prints the first problem of each file. Hidden from PyYAML is the module of libyaml, as where it was built without.
WITHOUT_LIBYAML = """
import sys
sys.modules["yaml._yaml"] = None
import yaml
assert not yaml.__with_libyaml__
from tinytorch_datasets import load_manifest
from tinytorch_datasets.errors import ManifestError
for path in sys.argv[1:]:
    try:
        print(*load_manifest(path).datasets)
    except ManifestError as error:
        print(str(error).splitlines()[0])
"""


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES)
def test_it_is_reported_with_its_line_and_column(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """In words that name what a person typed, not a rule of YAML's grammar."""
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)

    assert str(caught.value).splitlines()[0] == f"datasets.yaml:{expected}"
    assert caught.value.problems[0].line == int(expected.partition(":")[0])


def test_without_libyaml_a_manifest_reads_the_same(tmp_path: Path) -> None:
    """PyYAML may have been built without it: slower, and equal in values, lines and words."""
    texts = [GOOD, GOOD.replace("dtype: uint8", "dtype: uint9"), "[" * 10_000]
    texts += [GOOD.replace(old, new, 1) for old, new, _ in CASES.values()]
    paths = []
    for i, text in enumerate(texts):
        (tmp_path / str(i)).mkdir()
        paths.append(write(tmp_path / str(i), text))

    done = subprocess.run([sys.executable, "-c", WITHOUT_LIBYAML, *paths], capture_output=True, text=True, check=True)

    good, wrong, deep, *broken = done.stdout.splitlines()
    assert good == "digits"
    assert wrong.startswith("datasets.yaml:10: digits.fields.images.dtype: must be 'bool', ")
    assert deep == "datasets.yaml:1: nested more than 32 levels deep; a manifest needs six"
    assert broken == [f"datasets.yaml:{expected}" for _, _, expected in CASES.values()]


class TestNodes:
    """A node's first and last characters are those of the text, whatever stands before it."""

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("a: b\nkey: here # why\n", "here"),
            ("\u00e9: \U0001f600\nkey: here\n", "here"),
            ("\ufeffkey: here\n", "here"),
            ("a: 1\r\nkey: 'here'\r\n", "'here'"),
            ("key: [here, {b: c}]\n", "[here, {b: c}]"),
            ("key: |\n  here\nb: c\n", "|\n  here\n"),
            ("a: &x here\nkey: *x\n", "*x"),
            ("key: a\nkey: here\n", "here"),
        ],
        ids=["plain", "beyond ASCII", "byte order mark", "CRLF", "flow", "folded", "alias", "twice"],
    )
    def test_they_are_its_own(self, text: str, written: str) -> None:
        """By the path of its keys; of a key that stands twice, the last."""
        root = compose(text)
        assert root is not None
        node = root.find(("key",))
        assert node is not None

        assert text[node.start : node.end] == written
        assert node.line == text.count("\n", 0, node.start) + 1

    def test_a_path_that_is_not_there_has_none(self) -> None:
        """Nor has one that leads through an alias, whose values stand elsewhere."""
        root = compose("a: &x {b: 1}\nc: *x\nd: [1]\n")
        assert root is not None

        assert [root.find(keys) for keys in [("e",), ("c", "b"), ("d", 1), ("d", "0"), ("a", 0)]] == [None] * 5
