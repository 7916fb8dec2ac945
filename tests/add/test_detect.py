"""What no format reads is refused by name, and prose is what is nothing else."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import sys
import wave
import zipfile
from pathlib import Path

import pytest

from tests.helpers.add_world import add, put
from tinytorch_datasets import formats, get, load_manifest

ROWS = "".join(f"{i},{i / 4}\n" for i in range(8))


def refusal(manifest: Path, folder: Path, name: str, data: bytes | str) -> str:
    """The reason for which a file is not added."""
    return refusal_and_hint(manifest, folder, name, data)[0]


def refusal_and_hint(manifest: Path, folder: Path, name: str, data: bytes | str) -> tuple[str, str]:
    """The reason for which a file is not added, and what to do."""
    before = manifest.read_bytes()
    (path,) = put(folder / "made", **{name: data})
    done = add(manifest, path, "--ship", "--name", "mine")
    assert (done.exit_code, manifest.read_bytes()) == (1, before), done.output
    error, hint = done.stderr.splitlines()
    assert hint.startswith("  ")
    return error.removeprefix(f"error: {path}: "), hint.strip()


@pytest.mark.parametrize("name", ["all_txt", "all_csv", "all_bin", "own"])
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("%%MatrixMarket matrix array real general\n2 1\n0.5\n1\n", "Matrix Market"),
        ('<?xml version="1.0"?>\n<rows><row>1</row></rows>\n', "XML"),
        ("P2\n2 2\n255\n0 1\n2 3\n", "a Netpbm picture"),
        ("{'text': 'a', 'label': 0}\n{'text': 'b', 'label': 1}\n", "records in Python's notation"),
    ],
)
def test_data_in_another_notation(manifest: Path, tmp_path: Path, name: str, text: str, what: str) -> None:
    """Whatever the file's name: it is no table, and no prose."""
    assert refusal(manifest, tmp_path, name, text) == f"it is {what}, which no format reads"


NOTEBOOK = '{"cells": [{"cell_type": "code"}], "nbformat": 4, "nbformat_minor": 5}'
MAP = '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"x": 1}}]}'
SEVERAL = '{"images": [{"id": 1}], "annotations": [{"id": 2}, {"id": 3}]}'
INSIDE = '{"data": [{"title": "t", "paragraphs": [{"context": "c"}]}]}'
SEVERAL_LISTS = "of its values are the samples is not certain: it has lists of records"
NO_LIST = "it is a JSON document without a list of records"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (NOTEBOOK, "it is a Jupyter notebook, which no format reads"),
        (MAP, "it is GeoJSON, shapes on a map, which no format reads"),
        ('{"name": "x", "version": "1.0", "dependencies": {"a": "1"}}', "it is the description of a package"),
        ('{"a": {"b": 1}}', NO_LIST),
        ('{"a":' * 900 + "1" + "}" * 900, NO_LIST),
        ("[1, 2, 3]", "it is a JSON list of other things than records: of numbers"),
        ('[{"a": 1}, 2]', "it is a JSON list of other things than records: of numbers, objects"),
        ("[]", "it has no records"),
        ('{"error": {"code": 404, "message": "Not here"}}', 'it is a JSON error: "Not here"'),
        (SEVERAL, f"which {SEVERAL_LISTS} at 'images' and 'annotations'"),
        (
            json.dumps({key: [{"x": 1}] for key in "abcdef"}),
            f"which {SEVERAL_LISTS} at 'a' and 'b' and 'c' and 'd' and 2 more, beside other columns",
        ),
        (
            json.dumps([{key: [] for key in "abcdefghij"}]),
            "its records have no field that can be declared; "
            + "; ".join(f"{key!r}: holds lists without a value" for key in "abcdefgh")
            + "; and 2 more",
        ),
        (INSIDE, "its records hold lists of records themselves, at 'paragraphs': which are the samples is not certain"),
        ('{"a": [1,\n}', "it is not JSON: a value is expected, at line 2, character 1"),
        ('{"a": 1}\n{"a": }\n', "line 2 is not JSON: a value is expected, at character 7"),
        ('{"a": 1}\n{"a": 2, "a": 3}\n', "line 2 has the key 'a' twice in one object"),
        ('{"a": NaN}\n{"a": 1}\n', "line 1 has NaN, which is no number in JSON; a missing value is null"),
        ('{"t": ["a"]}\n{"t": []}\n', "its records have no field that can be declared; 't': holds lists of texts"),
        ("[" * 70_000, "it is nested more deeply than is read"),
    ],
)  # fmt: skip
def test_json_that_is_no_records(manifest: Path, tmp_path: Path, text: str, reason: str) -> None:
    """Notebooks, maps, settings, errors of servers; and what is not sound, by its place."""
    assert refusal(manifest, tmp_path, "all_json", text) == reason


@pytest.mark.parametrize(
    ("name", "what"), [("all_json", "JSON"), ("all_yaml", "YAML"), ("all_arff", "ARFF"), ("all_svm", "svmlight")]
)
def test_a_name_that_says_otherwise(manifest: Path, tmp_path: Path, name: str, what: str) -> None:
    """A suffix is evidence: what it says is not there, so this is no prose either."""
    result = refusal(manifest, tmp_path, name, "To be, or not to be.\n")

    assert result == f"its name says {what}, and it is text in no such format"


def test_a_line_for_excel(manifest: Path, tmp_path: Path) -> None:
    """It is no name of a column, and no prose."""
    result = refusal(manifest, tmp_path, "all_csv", "sep=;\na;b\n1;2\n3;4\n")

    assert result == "its first line, 'sep=;', is one that only Excel reads"


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("value", [(1, 2), "a text", {}, []])
def test_a_pickle_of_no_array(manifest: Path, tmp_path: Path, protocol: int, value: object) -> None:
    """Of the protocols that are letters, too; what it holds instead is said."""
    reason, _, rest = refusal(manifest, tmp_path, "all_pkl", pickle.dumps(value, protocol)).partition("; left out: ")

    assert reason == "it holds no array, and no list of numbers or texts"
    assert ("neither an array nor a list of numbers or of text" in rest) == (value != {})


@pytest.mark.parametrize("text", ["1 2\n3 4\n5 6\n", " 0.5  18.0\n 0.7   0.0\n12.5  1.0\n", "a\tb\n1\t2\n3\t4\n"])
@pytest.mark.parametrize("name", ["all_txt", "all_data", "all_csv"])
def test_a_table_of_numbers_is_no_prose(manifest: Path, tmp_path: Path, name: str, text: str) -> None:
    """Whatever stands between them: it is read as a table, or refused as one."""
    (path,) = put(tmp_path / "made", **{name: text})
    done = add(manifest, path, "--ship", "--name", "mine")

    if done.exit_code:
        assert "table" in done.stderr or "may be csv or text" in done.stderr
    else:
        assert load_manifest(manifest).datasets["mine"].format == "csv"


@pytest.mark.parametrize("ending", ["csv", "txt"])
def test_one_column_of_numbers(manifest: Path, tmp_path: Path, ending: str) -> None:
    """It needs no delimiter."""
    (path,) = put(tmp_path / "made", **{f"all_{ending}": "1.5\n2.25\n-3\n"})
    done = add(manifest, path, "--ship", "--name", "mine")

    assert done.exit_code == 0, done.output
    assert get("mine", manifest=manifest, offline=True).train.numbers.tolist() == [1.5, 2.25, -3]


@pytest.mark.parametrize("pack", [gzip, bz2, lzma])
def test_a_short_table_that_is_compressed(manifest: Path, tmp_path: Path, pack: object) -> None:
    """Its name says that it is one, below the compression's."""
    ending = {gzip: "csv.gz", bz2: "csv.bz2", lzma: "csv.xz"}[pack]  # type: ignore[index]
    path = tmp_path / f"all.{ending}"
    path.write_bytes(pack.compress(b"h,w\n1,2\n"))  # type: ignore[attr-defined]
    done = add(manifest, path, "--ship", "--name", "mine")

    assert done.exit_code == 0, done.output
    assert get("mine", manifest=manifest, offline=True).train.w.tolist() == [2]


def test_rows_that_go_over_many_lines(manifest: Path, tmp_path: Path) -> None:
    """The sample is of rows: a quoted cell may have more lines than the sample has rows."""
    long = "\n".join(f"line {i}, and more" for i in range(400))
    rows = "".join(f'"{long}",{"ab"[i % 2]}\n' for i in range(6))
    for name in ("all_csv", "other_bin"):
        (path,) = put(tmp_path / "made", **{name: "said,label\n" + rows})
        done = add(manifest, path, "--ship", "--name", name.partition("_")[0], "--format", "csv")

        assert done.exit_code == 0, done.output
        assert get(name.partition("_")[0], manifest=manifest, offline=True).train.said[0] == long


@pytest.mark.parametrize(
    "text",
    [
        "well, said\nbut, never\nonce, more\nto, him\n",
        "a,b,c\nd,e,f\ng,h,i\nj,k,l\nm,n,o\np,q\n",
        "1,2\n3,4\n",
        "# h w\n1 2\n3 4\n5 6\n",  # np.savetxt
    ],
)
def test_what_may_be_a_table_or_prose(manifest: Path, tmp_path: Path, text: str) -> None:
    """It is asked, and --format answers."""
    result = refusal(manifest, tmp_path, "all_txt", text)
    done = add(manifest, tmp_path / "made" / "all.txt", "--ship", "--name", "mine", "--format", "text")

    assert result == "its format is not certain: it may be csv or text"
    assert done.exit_code == 0, done.output
    assert get("mine", manifest=manifest, offline=True).train.text[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "To be, or not to be.\nThat is it.\n",
        "[Music]\nHello, world.\n",
        "{curly} is how it begins.\n",
        "Part 1: the beginning.\nPart 2: the end.\n",
        "1. Wash the rice.\n2. Boil it.\n",
        "P1 was the first of them.\n",
        "- a\n- b\n",
    ],
)
def test_prose(manifest: Path, tmp_path: Path, text: str) -> None:
    """It is nothing else."""
    done = add(manifest, *put(tmp_path / "made", all_txt=text), "--ship", "--name", "mine")

    assert done.exit_code == 0, done.output
    assert get("mine", manifest=manifest, offline=True).train.text[0] == text


def test_a_format_that_there_is_not(manifest: Path, tmp_path: Path) -> None:
    """With those that there are."""
    done = add(manifest, *put(tmp_path / "made", all_csv=ROWS), "--ship", "--format", "cvs")

    assert (done.exit_code, done.stderr) == (
        2,
        "error: --format cvs: there is no such format; did you mean 'csv'?\n"
        f"  There are: {', '.join(formats.known())}.\n",
    )


def test_a_format_that_it_is_not(manifest: Path, tmp_path: Path) -> None:
    """What it is instead."""
    (path,) = put(tmp_path / "made", all_csv=ROWS)
    done = add(manifest, path, "--ship", "--format", "npz")

    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {path}: it is not npz, but ")


def _zip(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return data.getvalue()


def _sqlite() -> bytes:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (a)")
    return database.serialize() if sys.version_info >= (3, 11) else b"SQLite format 3\0" + bytes(100)


def _wav() -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(100))
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "what", "hint"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "a JPEG 2000 picture", "Pillow"),
        (b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n" * 4, "a PDF document", "UTF-8 text"),
        (b"SIMPLE  =                    T".ljust(2880), "a FITS file", "NPZ"),
        (_sqlite(), "an SQLite database", "sqlite3"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "a 7z archive", "Unpack it"),
        (_zip("[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"), "an Excel workbook", "as CSV"),
        (_zip("[Content_Types].xml", "word/document.xml"), "a Word document", "UTF-8 text"),
        (_zip("model/data.pkl", "model/data/0"), "a PyTorch file", "NPZ"),
    ],
)
@pytest.mark.parametrize("name", ["all_bin", "all_csv", "all_txt"])
def test_a_known_kind_of_file(manifest: Path, tmp_path: Path, name: str, data: bytes, what: str, hint: str) -> None:
    """It is called by its name, with what to do instead, whatever its own name says."""
    reason, message = refusal_and_hint(manifest, tmp_path, name, data)

    assert reason == f"it is {what}, which no format reads"
    assert hint in message


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(50), "JPEG"),
        (b"GIF89a\1\0\1\0" + bytes(50), "GIF"),
        (b"BM6\0\0\0" + bytes(50), "BMP"),
    ],
)
def test_one_picture(manifest: Path, tmp_path: Path, data: bytes, kind: str) -> None:
    """It is a sample, and no data set."""
    reason, message = refusal_and_hint(manifest, tmp_path, "all_csv", data)

    assert reason == f"it is one picture, {kind}, and no data set of them"
    assert "Add the folder, or the archive, that all of its pictures are in." in message


@pytest.mark.parametrize(
    ("data", "kind"), [(b"ID3\4\0\0" + bytes(50), "an MP3 sound"), (_wav(), "a WAV sound")], ids=["MP3", "WAV"]
)
def test_one_recording(manifest: Path, tmp_path: Path, data: bytes, kind: str) -> None:
    """It is a sample, too."""
    reason, message = refusal_and_hint(manifest, tmp_path, "all_csv", data)

    assert reason == f"it is one recording, {kind}, and no data set of them"
    assert "Add the folder, or the archive, that all of its recordings are in." in message


@pytest.mark.parametrize("name", ["all_html", "all_txt", "all_csv", "all_bin"])
def test_a_web_page(manifest: Path, tmp_path: Path, name: str) -> None:
    """Also where its name says so."""
    page = "<!DOCTYPE html><html><head><title>Iris</title></head><body>1,2</body></html>\n"

    assert refusal(manifest, tmp_path, name, page).endswith('it is an HTML page titled "Iris" (a login page?)')


@pytest.mark.parametrize("text", ["BMW,120\nMZ,30\nVW,110\n", "ORC,1\nELF,2\nMAN,3\n", "ID3,1\nID4,2\nID5,3\n"])
def test_a_table_that_begins_like_another_kind_of_file(manifest: Path, tmp_path: Path, text: str) -> None:
    """A few letters that text may begin with are no evidence in text."""
    done = add(manifest, *put(tmp_path / "made", all_csv=text), "--ship", "--name", "mine")

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{name}\n" for name in ("emma", "olivia", "ava", "isabella", "sophia")),
        "New York\nBerlin\nSao Paulo\nLagos\n",
        "a fine film .\na bad one .\nnot for me .\nfor all of us .\n",
        "ant\nbee\n\ncat\ncow\n\ndog\nduck\n",
    ],
)
def test_lines_that_may_be_samples(manifest: Path, tmp_path: Path, text: str) -> None:
    """Names or sentences, one a line: it is asked whether each is a sample, and --format answers."""
    reason, hint = refusal_and_hint(manifest, tmp_path, "all_txt", text)
    done = add(manifest, tmp_path / "made" / "all.txt", "--ship", "--name", "mine", "--format", "text")

    assert reason == "it is not certain what its samples are: all of it is one text, or each line is one"
    assert hint == ("To have it as one text: --format text. For one a line: --option unit=lines.")
    assert done.exit_code == 0, done.output
    assert list(get("mine", manifest=manifest, offline=True).train.text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "Call me Ishmael. Some years ago, never mind how long precisely, having\nlittle or no money in my purse, and "
        "nothing particular to interest me on\nshore, I thought I would sail about a little and see the watery\n"
        "part.\n",
        "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n" * 3,
    ],
)
def test_prose_in_lines(manifest: Path, tmp_path: Path, text: str) -> None:
    """Lines that end in the middle of a sentence, or stand in paragraphs, are one text: nothing is asked."""
    done = add(manifest, *put(tmp_path / "made", all_txt=text), "--ship", "--name", "mine")

    assert done.exit_code == 0, done.output
    assert len(get("mine", manifest=manifest, offline=True).train) == 1
