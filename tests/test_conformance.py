"""The vectors of conformance/, by which other programs read manifests and compute digests as this package does."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tinytorch_datasets import RaggedArray, load_manifest
from tinytorch_datasets.digests import digest_of
from tinytorch_datasets.errors import ManifestError, Problem
from tinytorch_datasets.manifest.filenames import check_addresses, why_unsafe
from tinytorch_datasets.manifest.rules import is_field_name
from tinytorch_datasets.manifest.yaml_syntax import UNCLEAR, plain

KIT = ROOT / "conformance"
if not KIT.is_dir():
    pytest.skip("no conformance folder: this is an unpacked archive without it", allow_module_level=True)

MANIFESTS: list[dict[str, Any]] = json.loads((KIT / "manifests.json").read_text())
ARRAYS: list[dict[str, Any]] = json.loads((KIT / "arrays.json").read_text())
VOCABULARY: dict[str, Any] = json.loads((KIT / "vocabulary.json").read_text())

# By which words of the package's own message it is known that a manifest was refused for that rule, and no other.
WORDS = {
    "yaml": "not YAML: |stands before",
    "duplicate-key": "duplicate key",
    "ambiguous": "do not agree|as something else than text",
    "tag": "the tag|merge keys",
    "wrong-type": r"must be (text|a |1, )|readers do not agree",
    "missing-key": "is missing",
    "unknown-key": "unknown key|has no such option",
    "wrong-value": "must be|this library reads|not a sha256|no decoder",
    "empty": "must not be empty",
    "wrong-length": "must be 2 values",
    "name": "name is lowercase letters",
    "alias": "an alias is|already",
    "path": "path below|leaves|dotted|device|composed form|begins with a dot",
    "clash": "one file on a disk|is a file|is kept while|is another file",
    "folders": "keep downloads",
    "address": "must start with|names (no host|another)|user name|must end in|has a|not an address",
    "no-address": "has no mirror and no url",
    "repeated": "is there twice",
    "class-field": "a field with classes is",
    "text-field": "text has no|only text",
    "range": "comes first|it cannot reach",
    "class-values": "values for|is the same as|is of a field with classes|has no meaning",
    "axes": "axes|one null|values for each sample|names for",
    "scale": "is of whole numbers that become floats|a label is a position",
    "too-large": "makes a sample of",
    "reference": "no (field|split) of that name|is not under files|no field has classes",
    "same-place": "the same places",
    "rows": "so .* has none|the split declares",
}


def name_of(vector: dict[str, Any]) -> str:
    """The name of a vector's file."""
    return Path(vector["file"]).stem


@pytest.mark.parametrize("vector", MANIFESTS, ids=name_of)
def test_a_manifest_is_read_or_refused_for_its_rule_at_its_line(vector: dict[str, Any]) -> None:
    """One that breaks no rule is read; any other has problems on one line, in the words of its rule."""
    try:
        load_manifest(KIT / vector["file"])
        problems: tuple[Problem, ...] = ()
    except ManifestError as error:
        problems = error.problems

    assert {problem.line for problem in problems} == ({vector["line"]} - {None})
    assert all(re.search(WORDS[vector["rule"]], problem.what) for problem in problems), problems


@pytest.mark.parametrize("vector", ARRAYS, ids=name_of)
def test_an_array_has_its_digest(vector: dict[str, Any]) -> None:
    """Whatever byte order and memory order it is stored in."""
    path = KIT / vector["file"]
    values: Any = json.loads(path.read_text()) if path.suffix == ".json" else np.load(path)
    if "samples" in vector:
        sizes = np.cumsum([0, *(int(np.prod(shape)) for shape in vector["samples"])])
        parts = [values[a:b].reshape(s) for a, b, s in zip(sizes, sizes[1:], vector["samples"], strict=False)]
        values = RaggedArray.of(parts, dtype=values.dtype, sample_shape=tuple(vector["shape"][1:]))

    assert digest_of(values) == vector["sha256"]


def test_there_are_as_many_as_an_implementation_needs() -> None:
    """Both verdicts and every rule, every dtype, both byte orders."""
    assert len([v for v in MANIFESTS if v["rule"] is None]) >= 30
    assert len([v for v in MANIFESTS if v["rule"]]) >= 100
    assert {v["rule"] for v in MANIFESTS} - {None} == WORDS.keys()
    assert len(ARRAYS) >= 40
    assert {v["dtype"] for v in ARRAYS} == {*VOCABULARY["dtypes"], "str"}


def test_the_specification_has_every_rule() -> None:
    """In one of its tables, and no other rule."""
    text = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) == sorted(WORDS)


def test_the_vectors_are_as_the_script_writes_them(tmp_path: Path) -> None:
    """So that a vector is changed in the script, where what is expected of it stands."""
    spec = importlib.util.spec_from_file_location("write_vectors", KIT / "write_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.HERE = tmp_path

    script.main()

    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    vectors = [KIT / "manifests.json", KIT / "arrays.json", *KIT.glob("manifests/*/*"), *KIT.glob("arrays/*")]
    kept = {path.relative_to(KIT): path.read_bytes() for path in vectors}
    assert written == kept


SCALARS = """
7 -7 +7 07 0 00 1_000 1__0 _1 1. 1.5 -1.5 .5 1e3 1E3 1.0e+3 1.0E+3 1.0e3 0x1F 0X1f 0o7 0b1 1:30 1:99 12:30.5 inf .inf
-.INF .iNf .NaN yes No ON off True false null Null ~ 2020-01-01 2020-1-1 2020-01-01T00 20-1-1 a 1a -a --1 1,0
"""
PATHS = (
    "a a/b a/b.c /a a//b ./a a/. ../a a/.. a\\b C:a a:b aux AUX.txt a/nul.b nul1 com1 com10 lpt\u00b2.x conin$"
    " a. a.b. .a a<b a? a* con.fig confer \u00e9 a\x01b a\x7fb"
)


ADDRESSES = """
https://b.org/ http://b.org/a/ HTTPS://B.org/ https://b.org https://b.org:8000/ https://b.org:/ https://b.org:a/ https:///a/
https://:80/a/ https://@b.org/ https://u@b.org/ https://u:p@b.org/ http://[::1]/ http://[::1]:80/a/ http://[::1/ ftp://b.org/
https://b.org/?a=/ https://b.org/#/ https://b.org/a https://b.org/a@b/ s3://b/ s3://b/a/ S3://b/a/ gs://b/a hf://datasets/a/b/
az://c/a/ s3:///a/ s3:// s3://b/?a s3://b/#/ s3://u@b/ memory://a/ memory:///a/ memory:a/ memory://a?b file:///a/ file:///
file://host/a/ file:/a/ file:a/ FILE:///a/ file:///a? file:///a?b/ a/ /a/ C:/a/ //b.org/a/
"""


class TestVocabulary:
    """vocabulary.json says what the code does."""

    def test_reserved_names(self) -> None:
        """Each is refused for a field, and would not be but for its meaning."""
        reserved = VOCABULARY["reserved"]

        assert not [name for name in reserved if is_field_name(name)]
        assert [name for name in reserved if not re.fullmatch(VOCABULARY["patterns"]["field"], name)] == []
        assert is_field_name("images")

    def test_dtypes(self) -> None:
        """Bytes, the lowest and the highest value, as NumPy has them."""
        for name, (nbytes, *span) in VOCABULARY["dtypes"].items():
            dtype = np.dtype(name)
            assert dtype.itemsize == nbytes
            if dtype.kind != "b":
                limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
                assert span == [limits.min, limits.max]

    def test_unquoted_scalars(self) -> None:
        """The patterns agree with the reader on what is a number, what is text, and what is refused."""
        patterns = VOCABULARY["patterns"]
        for value in SCALARS.split():
            is_number = re.fullmatch(patterns["whole"], value) or re.fullmatch(patterns["float"], value)
            is_word = value in ("true", "false", "null", "~")
            is_unclear = not is_number and not is_word and re.fullmatch(patterns["ambiguous"], value.lower())
            read = plain(value)
            assert (read is UNCLEAR) == bool(is_unclear), value
            assert isinstance(read, int | float) == bool(is_number or value in ("true", "false")), value

    def test_paths(self) -> None:
        """The patterns of paths refuse what the code refuses, but for NFC and lengths, which are no patterns."""
        whole = VOCABULARY["patterns"]["unsafe_path"].replace(r"\p{C}", r"\x00-\x1f\x7f-\x9f")
        for path in PATHS.split(" "):
            refused = re.fullmatch(whole, path) or any(
                re.fullmatch(VOCABULARY["patterns"]["unsafe_part"], part.lower()) for part in path.split("/")
            )
            assert bool(refused) == bool(why_unsafe(path)), path

    @pytest.mark.parametrize("kind", ["url", "mirror"])
    def test_addresses(self, kind: str) -> None:
        """The patterns refuse what the code refuses, but for ports past the last."""
        for address in ADDRESSES.split():
            scheme, colon, rest = address.partition(":")
            taken = re.fullmatch(VOCABULARY["patterns"][kind], scheme.lower() + colon + rest)
            assert bool(taken) == (not [*check_addresses([address], kind)]), address

    def test_patterns_are_those_of_every_dialect(self) -> None:
        """No looking ahead or behind, no reference back and no escape that RE2, and so Go, does not have."""
        for pattern in VOCABULARY["patterns"].values():
            assert not re.search(r"\(\?[=!<]|\\[1-9uU]", pattern)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, so that the second reader cannot run")
class TestTheSecondReader:
    """A reader in JavaScript, which shares no code with the package, comes to the same."""

    def read(self, folder: Path) -> tuple[int, list[str]]:
        """The exit code of the reader over a folder of vectors, and what it prints."""
        done = subprocess.run(["node", KIT / "read.mjs", folder], capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, done.stdout.splitlines()

    def test_its_verdicts_are_those_of_the_package(self) -> None:
        """Of every vector; and it has at most 200 lines, none longer than those of the package."""
        assert self.read(KIT) == (0, [f"{len(MANIFESTS)} manifests and {len(ARRAYS)} arrays, 0 not as expected"])
        lines = (KIT / "read.mjs").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 200
        assert max(map(len, lines)) <= 120

    def test_it_notices_whatever_else_is_expected(self, tmp_path: Path) -> None:
        """A verdict, a line, a byte of an array: each is a difference of its own."""
        shutil.copytree(KIT, tmp_path / "kit")
        shutil.copy(ROOT / "datasets.schema.json", tmp_path)
        kit = tmp_path / "kit"
        manifests = json.loads((kit / "manifests.json").read_text())
        bad = next(vector for vector in manifests if vector["file"].endswith("/octal.yaml"))
        good = next(vector for vector in manifests if vector["file"].endswith("/plain.yaml"))
        bad["line"] += 1
        good["rule"], good["line"] = "range", 10
        (kit / "manifests.json").write_text(json.dumps(manifests))
        array = kit / "arrays" / "uint8.npy"
        array.write_bytes(array.read_bytes()[:-1] + b"\x99")

        code, lines = self.read(kit)

        assert code == 1
        assert [line.partition(" ")[0] for line in lines] == [
            "manifests/good/plain.yaml:",
            "manifests/bad/octal.yaml:",
            "arrays/uint8.npy:",
            f"{len(MANIFESTS)}",
        ]
