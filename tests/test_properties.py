"""What holds for any array, any text, any manifest and any changed byte, as far as hypothesis can think of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import pickle
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.formats.test_conformance import SAMPLES, Sample, same
from tests.helpers.format_writers import (
    COMPRESSORS,
    IDX_CODES,
    batch,
    column,
    idx,
    member,
    npy,
    npz,
    put,
    read,
    split,
    table,
    tarred,
)
from tests.manifest.test_manifest import HASH
from tests.test_get import declare
from tinytorch_datasets import get, load_manifest
from tinytorch_datasets.errors import DatasetError, DecodeError, HashMismatch, ManifestError
from tinytorch_datasets.plan import DTYPES, TEXT
from tinytorch_datasets.verify.arrays import checked

# The same examples at every run: a test that is red on one machine only helps nobody.
quickly = settings(
    derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)

NUMBERS = [dtype for dtype in DTYPES if dtype != TEXT]


def arrays(dtypes: list[str]) -> st.SearchStrategy[np.ndarray]:
    """Arrays of one to four dimensions, of at least one sample, in either byte order."""
    shapes = hnp.array_shapes(max_dims=4, max_side=5)
    either = st.sampled_from(dtypes).flatmap(
        lambda name: st.sampled_from([np.dtype(name), np.dtype(name).newbyteorder()])
    )
    return either.flatmap(lambda dtype: hnp.arrays(dtype, shapes))


def back(form: str, data: bytes | str, values: np.ndarray, **options: Any) -> np.ndarray:
    """What the format reads of a file that holds these values under the name `images`."""
    with tempfile.TemporaryDirectory() as folder:
        file = put(Path(folder) / "file", data)
        result = column(file, samples=len(values), shape=values.shape[1:], dtype=values.dtype.name)
        found: np.ndarray = read(form, split(result), **options)["train.images"]
        return found


def equal(found: np.ndarray, values: np.ndarray) -> None:
    """Equal bit by bit, so that NaN is NaN, in this machine's byte order."""
    native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))
    assert (found.dtype, found.shape) == (native.dtype, native.shape)
    assert np.ascontiguousarray(found).tobytes() == native.tobytes()


class TestArrays:
    """Any array of any supported dtype and shape, written by the format's own writer, reads back equal."""

    @quickly
    @given(arrays(NUMBERS), st.booleans(), st.sampled_from(sorted(COMPRESSORS)))
    def test_npy(self, values: np.ndarray, by_columns: bool, kind: str) -> None:
        """In either order of axes and of bytes, compressed or not."""
        equal(back("npy", COMPRESSORS[kind](npy(np.asfortranarray(values) if by_columns else values)), values), values)

    @quickly
    @given(arrays(NUMBERS))
    def test_npz(self, values: np.ndarray) -> None:
        """As np.savez_compressed writes it."""
        equal(back("npz", npz(images=values, other=values[:1]), values), values)

    @quickly
    @given(arrays(NUMBERS), st.integers(0, 5), st.booleans(), st.sampled_from(sorted(COMPRESSORS)))
    def test_pickle(self, values: np.ndarray, protocol: int, by_columns: bool, kind: str) -> None:
        """Under every protocol."""
        held = np.asfortranarray(values) if by_columns else values
        equal(back("pickle", COMPRESSORS[kind](pickle.dumps({"images": held}, protocol)), values), values)

    @quickly
    @given(arrays([np.dtype(code).name for code in IDX_CODES]), st.sampled_from(sorted(COMPRESSORS)))
    def test_idx(self, values: np.ndarray, kind: str) -> None:
        """Of its six dtypes."""
        equal(back("idx", COMPRESSORS[kind](idx(values)), values), values)

    @quickly
    @given(arrays(NUMBERS))
    def test_csv(self, values: np.ndarray) -> None:
        """All but NaN and infinity, which a table cannot say."""
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0) if values.dtype.kind == "f" else values
        rows = values.reshape(len(values), -1)
        cells = [[repr(float(v)) if values.dtype.kind == "f" else int(v) for v in row] for row in rows]

        equal(back("csv", table(cells), values, header=False), values)

    @quickly
    @given(arrays(NUMBERS), st.sampled_from(["jsonl", "json"]))
    def test_json(self, values: np.ndarray, form: str) -> None:
        """All but NaN and infinity, which JSON has not, as lists of any depth."""
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0) if values.dtype.kind == "f" else values
        records = [{"other": None, "images": sample} for sample in values.tolist()]
        data = "".join(json.dumps(record) + "\n" for record in records) if form == "jsonl" else json.dumps(records)

        equal(back(form, data, values), values)

    @quickly
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), st.booleans())
    def test_texts_in_json(self, texts: list[str], ascii_only: bool) -> None:
        """Any text, with escapes or as it is; also ends of lines that Python alone takes for such."""
        data = "".join(json.dumps({"images": text}, ensure_ascii=ascii_only) + "\n" for text in texts)
        with tempfile.TemporaryDirectory() as folder:
            file = put(Path(folder) / "file", data)
            result = split(column(file, samples=len(texts), dtype="str"))
            assert read("jsonl", result)["train.images"] == texts

    @quickly
    @given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(3072))), st.integers(0, 5))
    def test_cifar(self, values: np.ndarray, protocol: int) -> None:
        """Rows of 3,072 bytes."""
        with tempfile.TemporaryDirectory() as folder:
            file = put(Path(folder) / "file", tarred(member("b", batch(values, [0] * len(values), protocol=protocol))))
            result = split(column(file, samples=len(values), shape=(3, 32, 32)), members=("b",))
            equal(read("cifar-python", result)["train.images"], values.reshape(-1, 3, 32, 32))


# Any character but those that a text file may not hold; a line has no line feed, and nothing else ends it.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufeff")
LINE = st.text(CHARACTERS, max_size=30)
SPOKEN = LINE.filter(lambda text: bool(text.strip()))


class TestTexts:
    """Any Unicode that a format takes comes back as it is."""

    @quickly
    @given(st.lists(LINE, min_size=1, max_size=20), st.sampled_from(sorted(COMPRESSORS)))
    def test_lines(self, texts: list[str], kind: str) -> None:
        """A line a sample."""
        with tempfile.TemporaryDirectory() as folder:
            file = put(Path(folder) / "f", COMPRESSORS[kind]("".join(f"{t}\n" for t in texts).encode()))
            result = split(column(file, samples=len(texts), dtype="str"))
            assert read("text", result, unit="lines")["train.images"] == texts

    @quickly
    @given(st.lists(st.tuples(SPOKEN, SPOKEN), min_size=1, max_size=8))
    def test_pairs(self, pairs: list[tuple[str, str]]) -> None:
        """Questions and answers."""
        text = "\n".join(f"Q: {q}\nA: {a}\n" for q, a in pairs)
        with tempfile.TemporaryDirectory() as folder:
            file = put(Path(folder) / "f", text)
            fields = [column(file, f, samples=len(pairs), dtype="str") for f in ("questions", "answers")]
            found = read("qa-text", split(*fields))
        assert list(zip(found["train.questions"], found["train.answers"], strict=True)) == pairs

    @quickly
    @given(st.lists(st.tuples(st.text(CHARACTERS | st.just("\n"), max_size=20), LINE), min_size=1, max_size=8))
    def test_cells(self, rows: list[tuple[str, str]]) -> None:
        """With quotes, delimiters and line feeds in them."""
        with tempfile.TemporaryDirectory() as folder:
            file = put(Path(folder) / "f", table([["a", "b"], *rows]))
            fields = [column(file, f, samples=len(rows), dtype="str") for f in ("a", "b")]
            found = read("csv", split(*fields))
        assert list(zip(found["train.a"], found["train.b"], strict=True)) == rows

    @quickly
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1), st.integers(0, 5))
    def test_pickled(self, texts: list[str], protocol: int) -> None:
        """Under every protocol."""
        with tempfile.TemporaryDirectory() as folder:
            file = put(Path(folder) / "f", pickle.dumps({"images": texts}, protocol))
            result = split(column(file, samples=len(texts), dtype="str"))
            assert read("pickle", result)["train.images"] == texts


# In these every byte counts, because a checksum stands behind it; zip and bz2 have a byte or two of no meaning.
CHECKED = ("gzip", "xz")
PLAIN = {name: sample for name, sample in SAMPLES.items() if sample.form != "npz"}


class TestOneByte:
    """One changed byte is an error, or says the same, or (where there is no checksum) is caught by the hash."""

    @pytest.mark.parametrize(
        ("sample", "kind"),
        [
            pytest.param(sample, kind, id=f"{name}-{kind}", marks=() if at % 2 == of else pytest.mark.slow)
            for at, (name, sample) in enumerate(PLAIN.items())
            for of, kind in enumerate(CHECKED)
        ],
    )
    @settings(quickly, max_examples=25)
    @given(st.integers(0, 2**30), st.integers(1, 255))
    def test_in_a_container_with_a_checksum(self, sample: Sample, kind: str, at: int, flip: int) -> None:
        """The values are what they were, or there are none."""
        with tempfile.TemporaryDirectory() as folder:
            result, options, expected = sample.write(Path(folder), 6, 6)
            for file in sorted(Path(folder).iterdir()):
                data = bytearray(COMPRESSORS[kind](file.read_bytes()))
                data[at % len(data)] ^= flip
                put(file, bytes(data))
            with contextlib.suppress(DecodeError):
                same(read(sample.form, result, **options), expected)

    @settings(quickly, max_examples=200)
    @given(st.integers(0, 2**30), st.integers(1, 255))
    def test_in_an_npz(self, at: int, flip: int) -> None:
        """Its members have checksums of their own."""
        with tempfile.TemporaryDirectory() as folder:
            result, options, expected = SAMPLES["npz"].write(Path(folder), 6, 6)
            [file] = Path(folder).iterdir()
            data = bytearray(file.read_bytes())
            data[at % len(data)] ^= flip
            put(file, bytes(data))
            with contextlib.suppress(DecodeError):
                same(read("npz", result, **options), expected)

    @pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
    @settings(quickly, max_examples=40)
    @given(st.integers(0, 2**30), st.integers(1, 255))
    @pytest.mark.slow
    def test_in_any_file(self, sample: Sample, at: int, flip: int) -> None:
        """Nothing comes out but our own errors and values of the declared form."""
        with tempfile.TemporaryDirectory() as folder:
            result, options, _ = sample.write(Path(folder), 6, 6)
            for file in sorted(Path(folder).iterdir()):
                data = bytearray(file.read_bytes())
                data[at % len(data)] ^= flip
                put(file, bytes(data))
            with contextlib.suppress(DecodeError):
                found = list(checked(read_blocks(sample.form, result, options), [result]))
                assert sum(len(block.values) for block in found if block.column.field == next(iter(result.columns)))

    @settings(quickly, max_examples=25)
    @given(st.integers(0, 2**30), st.integers(1, 255))
    def test_of_a_declared_file_is_caught_by_its_hash(self, at: int, flip: int) -> None:
        """A raw array has no checksum of its own."""
        values = np.arange(12, dtype="u1").reshape(3, 4)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "datasets" / "x").mkdir(parents=True)
            file = put(folder / "datasets" / "x" / "f", npy(values))
            path = declare(
                folder,
                "x",
                format="npy",
                fields={"images": {"dtype": "uint8", "shape": [4]}},
                splits={"train": {"samples": 3, "images": "f"}},
            )
            declared = hashlib.sha256(file.read_bytes()).hexdigest()
            data = bytearray(file.read_bytes())
            data[at % len(data)] ^= flip
            put(file, bytes(data))

            with pytest.raises(HashMismatch) as caught:
                get("x", manifest=path, home=folder / "home")

            assert (caught.value.expected, caught.value.actual) == (declared, hashlib.sha256(data).hexdigest())


def read_blocks(form: str, result: Any, options: Mapping[str, Any]) -> Any:
    """The decoder's own blocks."""
    from tinytorch_datasets import formats

    return formats.of(form).decode([result], **options)


# A number by YAML 1.2 (section 10.3.2 of its specification). PyYAML, which is of YAML 1.1, leaves some of them without
# quotes as text (08, 1e5); what stands so in a manifest is refused, which is another test's claim.
NUMBER_BY_YAML_1_2 = re.compile(r"[-+]?([0-9]+|(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)|0o[0-7]+|0x[0-9a-fA-F]+")


def agreed(text: str) -> bool:
    """Whether it is text, or a number, to readers of both versions of YAML as PyYAML would leave it without quotes."""
    by_1_1 = yaml.SafeDumper(io.StringIO()).resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return by_1_1 != "tag:yaml.org,2002:str" or not NUMBER_BY_YAML_1_2.fullmatch(text)


WORDS = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Cf", "Cn"]), min_size=1, max_size=40
).filter(agreed)
FIELD = {"dtype": st.sampled_from(NUMBERS), "shape": st.lists(st.integers(1, 9), max_size=3)}
ENTRY = st.fixed_dictionaries(
    {
        "title": WORDS,
        "status": st.just("remote"),
        "format": st.just("npz"),
        "license": WORDS,
        "source": WORDS,
        "fields": st.fixed_dictionaries(
            {
                "images": st.fixed_dictionaries(FIELD),
                "labels": st.fixed_dictionaries(
                    {"dtype": st.just("int64"), "classes": st.lists(WORDS, min_size=1, max_size=4, unique=True)}
                ),
            }
        ),
        "splits": st.fixed_dictionaries(
            {"train": st.fixed_dictionaries({"samples": st.integers(1, 10**9), "file": st.just("f.npz")})}
        ),
        "mirrors": st.just(["https://example.org/"]),
        "files": st.fixed_dictionaries(
            {"f.npz": st.fixed_dictionaries({"bytes": st.integers(1, 10**12), "sha256": st.just(HASH)})}
        ),
    },
    optional={"description": WORDS, "citation": WORDS, "folder": st.sampled_from(["a", "b-c/d", "caf\u00e9"])},
)
REQUIRED = ("title", "status", "format", "license", "source", "fields", "splits", "files", "mirrors")
SPOIL: dict[str, Callable[[Any], Any]] = {
    "gone": lambda value: None,
    "a number": lambda value: 7.5,
    "a list in a list": lambda value: [[value]],
    "a switch": lambda value: True,
}


def written(folder: str, entry: Mapping[str, Any]) -> Path:
    """A manifest with one data set, as PyYAML writes it."""
    path = Path(folder) / "datasets.yaml"
    body = {"version": 1, "datasets": {"x": entry}}
    path.write_text(yaml.safe_dump(body, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


class TestManifests:
    """What is well-formed validates, however it is written; what is not is reported with its line."""

    @quickly
    @given(ENTRY)
    def test_any_entry_comes_back(self, entry: dict[str, Any]) -> None:
        """Dumped by PyYAML, read by ours: each text the same text, each number the same number."""
        with tempfile.TemporaryDirectory() as folder:
            found = load_manifest(written(folder, entry)).datasets["x"]

        assert {key: getattr(found, key) for key in ("title", "license", "source")} == {
            key: entry[key] for key in ("title", "license", "source")
        }
        assert found.description == entry.get("description")
        assert found.fields["labels"].classes == tuple(entry["fields"]["labels"]["classes"])
        assert found.splits["train"].samples == entry["splits"]["train"]["samples"]
        assert found.files["f.npz"].bytes == entry["files"]["f.npz"]["bytes"]

    @quickly
    @given(ENTRY, st.sampled_from(REQUIRED), st.sampled_from(sorted(SPOIL)))
    def test_any_key_that_is_spoiled_is_reported_with_its_line(self, entry: dict[str, Any], key: str, how: str) -> None:
        """The line of the key, or of something that needed it."""
        entry = entry | {key: SPOIL[how](entry[key])}
        with tempfile.TemporaryDirectory() as folder:
            path = written(folder, entry)
            lines = path.read_text(encoding="utf-8").split("\n")
            with pytest.raises(ManifestError) as caught:
                load_manifest(path)

        line = next(i for i, text in enumerate(lines, 1) if text.startswith(f"    {key}:"))
        assert any(line <= problem.line for problem in caught.value.problems)
        assert any(key in problem.key for problem in caught.value.problems)

    @quickly
    @given(ENTRY, st.sampled_from(REQUIRED))
    def test_any_key_that_is_left_out_is_reported(self, entry: dict[str, Any], key: str) -> None:
        """Or another name is read for it, and refused."""
        missing = {name: value for name, value in entry.items() if name != key}
        other = missing | {f"{key}_": entry[key]}
        with tempfile.TemporaryDirectory() as folder:
            for spoiled in (missing, other):
                with pytest.raises(ManifestError):
                    load_manifest(written(folder, spoiled))

    @settings(quickly, max_examples=200)
    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_bytes_are_a_manifest_or_an_error(self, raw: bytes) -> None:
        """And nothing else comes out."""
        with tempfile.TemporaryDirectory() as folder:
            path = put(Path(folder) / "datasets.yaml", raw)
            with pytest.raises(DatasetError):
                load_manifest(path)
