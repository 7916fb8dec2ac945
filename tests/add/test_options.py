"""What a person says of the files: options of their format, marks of missing values, rows of splits."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import Result

from tests.helpers.add_world import add, put, update
from tests.helpers.format_writers import npz, zipped
from tinytorch_datasets import Dataset, get, load_manifest

ROWS = "".join(f"{i / 4},{i % 5},{'ab'[i % 2]}\n" for i in range(20))
TABLE = "h,w,kind\n" + ROWS


def added(manifest: Path, folder: Path, files: Mapping[str, str | bytes], *options: str) -> Dataset:
    """What `get` returns of files that were added."""
    result = add(manifest, *put(folder, **files), "--ship", "--name", "mine", *options)
    assert result.exit_code == 0, result.output
    return get("mine", manifest=manifest, offline=True)


def refused(manifest: Path, folder: Path, files: Mapping[str, str | bytes], *options: str) -> list[str]:
    """What is printed of files that cannot be added, without their folder; nothing was written."""
    before = manifest.read_bytes()
    result: Result = add(manifest, *put(folder, **files), "--ship", "--name", "mine", *options)
    assert result.exit_code != 0
    assert manifest.read_bytes() == before
    return result.stderr.replace(f"{folder}/", "").splitlines()


class TestFormatOptions:
    """`--option KEY=VALUE` says how a file is written, where its bytes do not."""

    @pytest.mark.parametrize(
        ("data", "options"),
        [
            ("2 flowers\n" + TABLE, ["skip_lines=1"]),
            ("// by hand\n" + TABLE.replace(",", "/"), ["skip_lines=1", "delimiter=/"]),
            (TABLE.replace(",", "\t"), [r"delimiter=\t"]),
            (TABLE.encode("utf-16-le"), ["encoding=utf-16-le"]),
            (TABLE.replace(",", "~"), ["delimiter=~", "header=true"]),
        ],
    )
    def test_how_a_table_is_written(
        self, manifest: Path, tmp_path: Path, data: str | bytes, options: list[str]
    ) -> None:
        """The values are those of the plain table, and the entry has the options."""
        got = added(manifest, tmp_path, {"all_csv": data}, *(part for one in options for part in ("--option", one)))

        np.testing.assert_array_equal(got.train.features, [[i / 4, i % 5] for i in range(20)])
        assert got.train.labels.tolist() == [i % 2 for i in range(20)]
        declared = load_manifest(manifest).datasets["mine"].options
        assert {one.partition("=")[0] for one in options} - {"header"} <= declared.keys()

    def test_an_encoding_that_cannot_be_known(self, manifest: Path, tmp_path: Path) -> None:
        """It is asked for, and then used."""
        data = TABLE.replace("a\n", "\u00e4\n").encode("latin-1")

        assert refused(manifest, tmp_path, {"all_csv": data}) == [
            "error: all.csv: its format is not recognized: it is text that is not in UTF-8",
            "  Save it as UTF-8; or say what it is: --option encoding=latin-1, cp1252 or another.",
        ]
        assert added(manifest, tmp_path, {"all_csv": data}, "--option", "encoding=latin-1").classes == ("b", "\u00e4")

    @pytest.mark.parametrize("form", ["arff", "zip"])
    def test_an_encoding_of_other_formats(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """Where bytes are not UTF-8, the option is named; and it is enough."""
        arff = (
            "@relation r\n@attribute h numeric\n@attribute class {caf\u00e9,tea}\n@data\n" + "1,caf\u00e9\n2,tea\n" * 4
        )
        members = {f"{kind}/{i}.txt": f"{kind} caf\u00e9".encode("latin-1") for kind in ("a", "b") for i in range(5)}
        files = {f"all_{form}": arff.encode("latin-1") if form == "arff" else zipped(members)}

        assert refused(manifest, tmp_path, files)[1] == (
            "  If it is another encoding, say which: --option encoding=latin-1, cp1252 or another."
        )
        got = added(manifest, tmp_path, files, "--option", "encoding=latin-1")
        assert got.classes == ("caf\u00e9", "tea") if form == "arff" else got.train.texts[0] == "a caf\u00e9"

    def test_the_first_index_of_a_sparse_file(self, manifest: Path, tmp_path: Path) -> None:
        """Where no sample has the feature 0, no byte shows that there is one."""
        data = {"all_svm": "".join(f"{i % 2} 1:{i} 3:{i / 2}\n" for i in range(20))}

        assert added(manifest, tmp_path, data, "--option", "index_from=0").train.features[2].tolist() == [0, 2, 0, 1]

    def test_an_encoding_that_it_is_not(self, manifest: Path, tmp_path: Path) -> None:
        """UTF-16 without its mark could be either of two."""
        assert refused(manifest, tmp_path, {"all_csv": TABLE}, "--option", "encoding=utf-16")[0] == (
            "error: all.csv: near byte 0, it is not utf-16: UTF-16 stream does not start with BOM"
        )

    def test_whether_the_first_row_is_names(self, manifest: Path, tmp_path: Path) -> None:
        """Where words stand above words."""
        text = {"all_csv": "hello,hola\nbye,adios\nyes,si\nno,ninguno\n"}

        assert list(added(manifest, tmp_path, text, "--option", "header=true").train.hola) == ["adios", "si", "ninguno"]
        second = tmp_path / "second.yaml"
        assert len(added(second, tmp_path, text, "--option", "header=false").train) == 4

    def test_several_numbers_in_a_cell(self, manifest: Path, tmp_path: Path) -> None:
        """Pixels between blanks are an array, and lists of differing lengths are ragged; else they are text."""
        pixels = np.random.RandomState(0).randint(0, 256, (30, 24))
        rows = [f"{i % 3},{' '.join(map(str, pixels[i]))},{' '.join('5' * (i % 4 + 1))}" for i in range(30)]
        table = {"all_csv": "\n".join(["emotion,pixels,words", *rows]) + "\n"}
        got = added(manifest, tmp_path, table, "--option", "cell_delimiter=whitespace")

        np.testing.assert_array_equal(got.train.pixels, pixels)
        assert got.train.pixels.dtype == np.uint8
        assert [words.tolist() for words in got.train.words] == [[5] * (i % 4 + 1) for i in range(30)]
        second = tmp_path / "second.yaml"
        assert added(second, tmp_path, table).train.pixels[0] == " ".join(map(str, pixels[0]))
        assert (
            "# text: several numbers in a cell; `--option cell_delimiter=whitespace` reads them" in second.read_text()
        )

    def test_a_line_that_only_excel_reads(self, manifest: Path, tmp_path: Path) -> None:
        """It is refused with the options that pass over it."""
        table = {"all_csv": "sep=;\n" + TABLE.replace(",", ";")}

        hint = refused(manifest, tmp_path, table)[1]
        assert hint.startswith("  Pass over it: --option skip_lines=1 --option 'delimiter=;'.")
        got = added(manifest, tmp_path, table, "--option", "skip_lines=1", "--option", "delimiter=;")
        assert got.train.labels.tolist() == [i % 2 for i in range(20)]

    def test_records_inside_a_document(self, manifest: Path, tmp_path: Path) -> None:
        """Where there are two lists of them."""
        document = {"old": [{"h": 1, "label": 0}] * 4, "new": [{"h": i / 2, "label": i % 2} for i in range(8)]}
        files: Mapping[str, str | bytes] = {"all_json": json.dumps(document)}

        assert refused(manifest, tmp_path, files)[1] == "  Say which: --option records=old."
        got = added(manifest, tmp_path, files, "--option", "records=new")
        assert got.train.h.tolist() == [i / 2 for i in range(8)]

    @pytest.mark.parametrize(
        ("files", "option", "lines"),
        [
            (
                {"all_csv": TABLE},
                "skip_line=1",
                ["error: --option skip_line: format 'csv' has no such option; did you mean 'skip_lines'?"],
            ),
            ({"all_csv": TABLE}, "skip_lines=two", ["error: --option skip_lines=two: must be a valid integer, "]),
            ({"all_csv": TABLE}, "delimiter=ab", ["error: --option delimiter=ab: must be one character and no "]),
            (
                {"all_csv": TABLE},
                "columns=a",
                ["error: --option columns: columns are chosen by --target and --drop"],
            ),
            (
                {"all_npz": npz(x=np.ones((9, 2)))},
                "skip_lines=1",
                ["error: --option skip_lines: format 'npz' has no such option; it has none"],
            ),
            ({"all_csv": TABLE}, "skip_lines", ["Error: --option is KEY=VALUE (skip_lines=1), not 'skip_lines'"]),
        ],
    )
    def test_an_option_that_is_none(
        self, manifest: Path, tmp_path: Path, files: Mapping[str, str | bytes], option: str, lines: list[str]
    ) -> None:
        """A wrong call, with a guess."""
        printed = refused(manifest, tmp_path, files, "--option", option)

        assert any(line.startswith(lines[0]) for line in printed), printed


class TestFirstAndLastLines:
    """Lines that are no rows are refused, with the option that passes over them."""

    @pytest.mark.parametrize(
        ("text", "option"),
        [
            ("Table 1: flowers\n" + TABLE, "--option skip_lines=1."),
            ("Table 1: flowers\n\n" + TABLE, "--option skip_lines=2."),
            ("20,3,a,b\n" + ROWS, "--option skip_lines=1."),
            ("1,2,3,4\n5,6\n" + ROWS.replace("a", "1").replace("b", "2"), "skip_lines=2 --option header=false."),
            (TABLE + "Source: a garden\n", "--option skip_last_lines=1."),
            (TABLE + "\nSource: a garden\n", "--option skip_last_lines=2."),
        ],
    )
    def test_the_hint(self, manifest: Path, tmp_path: Path, text: str, option: str) -> None:
        """It is the command's own."""
        assert refused(manifest, tmp_path, {"all_csv": text})[1].endswith(option)


class TestRemarks:
    """Lines behind a sign are no rows."""

    def test_names_in_a_remark(self, manifest: Path, tmp_path: Path) -> None:
        """As `np.savetxt(header=...)` writes them: reported, and not taken for names unasked."""
        text = io.StringIO()
        np.savetxt(text, np.random.RandomState(0).rand(9, 2), header="height width")
        result = add(manifest, *put(tmp_path / "made", all_txt=text.getvalue()), "--ship", "--format", "csv")

        assert result.exit_code == 0, result.output
        assert "left out: all.txt: line 1, which may be the columns' names: height, width" in result.stderr


class TestSignsOfNumbers:
    """Signs between thousands are read where they are certain, and named where they are not."""

    @pytest.mark.parametrize(
        ("delimiter", "numbers", "options"),
        [
            (",", ["1,234,567", "12", "999"], {"thousands": ","}),
            (",", ["1,234.5", "12.25", "999"], {"thousands": ","}),
            (";", ["1.234,5", "12,25", "999"], {"thousands": ".", "decimal": ","}),
            (";", ["1'234'567", "12", "999"], {"thousands": "'"}),
        ],
    )
    def test_certain_ones(
        self, manifest: Path, tmp_path: Path, delimiter: str, numbers: list[str], options: dict[str, str]
    ) -> None:
        """Two groups, or a group and decimals."""
        rows = [f'"{numbers[i % 3]}"{delimiter}{"ab"[i % 2]}' for i in range(12)]
        got = added(manifest, tmp_path, {"all_csv": "\n".join([f"amount{delimiter}kind", *rows]) + "\n"})

        plain = [text.replace(options["thousands"], "").replace(",", ".") for text in numbers]
        assert got.train.amount.tolist() == [float(plain[i % 3]) for i in range(12)]
        declared = load_manifest(manifest).datasets["mine"].options
        assert {key: declared[key] for key in options} == options

    def test_uncertain_ones(self, manifest: Path, tmp_path: Path) -> None:
        """One group may be decimals: text, whose note has the option that reads it."""
        table = {"all_csv": "amount,kind\n" + "".join(f'"1,{i:03d}",{"ab"[i % 2]}\n' for i in range(12))}

        assert list(added(manifest, tmp_path, table).train.amount[:2]) == ["1,000", "1,001"]
        assert "`--option thousands=,` reads them" in manifest.read_text()
        second = tmp_path / "second.yaml"
        got = added(second, tmp_path, table, "--option", "thousands=,")
        assert got.train.amount.tolist() == [1000 + i for i in range(12)]


class TestMarks:
    """`--missing MARK` says which cells mean a missing value, beside those that everybody writes."""

    @pytest.mark.parametrize(("cell", "mark"), [("unknown", "unknown"), ("-999", "-999"), ("-999.0", "-999")])
    def test_a_mark_of_ones_own(self, manifest: Path, tmp_path: Path, cell: str, mark: str) -> None:
        """It is NaN, counted on stderr, and declared."""
        table = {"all_csv": "h,w,kind\n" + "".join(f"{cell if i == 3 else i},{i}.5,{'ab'[i % 2]}\n" for i in range(12))}
        got = added(manifest, tmp_path, table, "--missing", mark)

        assert np.flatnonzero(np.isnan(got.train.features[:, 0])).tolist() == [3]
        assert load_manifest(manifest).datasets["mine"].fields["features"].missing == (cell,)

    def test_a_mark_that_no_cell_has(self, manifest: Path, tmp_path: Path) -> None:
        """A slip of the pen is no silence."""
        table = {"all_csv": TABLE.replace("4.75", "?")}

        assert refused(manifest, tmp_path, table, "--missing", "??") == [
            "error: --missing '??': no cell of a column of numbers says so",
            "  Those that do say '?'.",
        ]

    def test_of_a_format_without_cells(self, manifest: Path, tmp_path: Path) -> None:
        """It has null for them, or nothing."""
        (tmp_path / "made").mkdir()
        pq.write_table(pa.table({"a": [1, 2], "label": [0, 1]}), tmp_path / "made" / "all.parquet")
        result = add(manifest, tmp_path / "made" / "all.parquet", "--ship", "--missing", "x")

        assert result.stderr.splitlines()[0] == (
            "error: --missing is for cells of text, and all.parquet is parquet, which has null for them"
        )

    def test_a_number_in_records(self, manifest: Path, tmp_path: Path) -> None:
        """Where a program wrote -999 for what it did not know."""
        rows = [{"h": -999 if i == 3 else i, "w": i / 2, "label": i % 2} for i in range(12)]
        got = added(manifest, tmp_path, {"all_json": json.dumps(rows)}, "--missing", "-999")

        assert np.flatnonzero(np.isnan(got.train.features[:, 0])).tolist() == [3]
        assert got.train.features[:, 1].tolist() == [i / 2 for i in range(12)]


class TestRows:
    """`--rows` makes splits of one file."""

    def test_in_order(self, manifest: Path, tmp_path: Path) -> None:
        """From the first row to before the last number."""
        got = added(manifest, tmp_path, {"all_csv": TABLE}, "--rows", "train=0:15", "--rows", "test=15:")

        assert got.train.features[:, 0].tolist() == [i / 4 for i in range(15)]
        assert got.test.features[:, 0].tolist() == [i / 4 for i in range(15, 20)]

    def test_shuffled(self, manifest: Path, tmp_path: Path) -> None:
        """In the order that NumPy's frozen generator gives, as Keras' own splits are made."""
        data = {"all_npz": npz(x=np.arange(20.0)[:, None], y=np.arange(20) % 2)}
        got = added(manifest, tmp_path, data, "--rows", "train=:16", "--rows", "test=16:", "--shuffle", "113")
        order = np.arange(20)
        np.random.RandomState(113).shuffle(order)

        assert got.train.features[:, 0].tolist() == order[:16].tolist()
        assert got.test.labels.tolist() == (order[16:] % 2).tolist()

    def test_rows_that_are_in_no_split(self, manifest: Path, tmp_path: Path) -> None:
        """Are reported."""
        result = add(manifest, *put(tmp_path / "made", all_csv=TABLE), "--ship", "--rows", "train=0:15")

        assert "left out: 5 of 20 rows are in none of the splits" in result.stderr

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            (["--rows", "train=0:21"], "--rows train=0:21: there are no such rows; the file has 20, counted from 0"),
            (["--rows", "train=5:5"], "--rows train=5:5: there are no such rows; the file has 20, counted from 0"),
            (["--rows", "train=first"], "--rows train=first: there are no such rows; the file has 20, counted from 0"),
            (
                ["--rows", "train=0:15", "--rows", "test=14:"],
                "--rows: rows 14 to 15 would be in train and in test",
            ),
            (["--rows", "train=0:5", "--rows", "train=5:"], "--rows train=... is given twice"),
            (
                ["--shuffle", "3"],
                "--shuffle is the order in which the rows of splits are counted, and no --rows are given",
            ),
        ],
    )
    def test_rows_that_are_none(self, manifest: Path, tmp_path: Path, options: list[str], error: str) -> None:
        """A wrong call, and nothing is written."""
        assert refused(manifest, tmp_path, {"all_csv": TABLE}, *options)[0] == f"error: {error}"

    def test_a_split_by_its_file_and_by_rows(self, manifest: Path, tmp_path: Path) -> None:
        """One of the two would be passed over."""
        options = ("--split", "test=all.csv", "--rows", "train=0:5")

        assert refused(manifest, tmp_path, {"all_csv": TABLE}, *options)[0] == (
            "error: --split says which split a file is, and --rows divides one file into splits"
        )

    def test_a_name_that_no_split_may_have(self, manifest: Path, tmp_path: Path) -> None:
        """Before anything is read."""
        assert refused(manifest, tmp_path, {"all_csv": TABLE}, "--rows", "Train=0:5")[0] == (
            "error: 'Train' is no name of a split; 'train' would be"
        )

    def test_of_two_files(self, manifest: Path, tmp_path: Path) -> None:
        """They are splits already."""
        tables: Mapping[str, str | bytes] = {"train_csv": TABLE, "test_csv": TABLE + "5,5,a\n"}

        assert refused(manifest, tmp_path, tables, "--rows", "train=0:5")[0] == (
            "error: --rows divides one split, and the files are 2: train, test"
        )


class TestTexts:
    """Folders that texts are in."""

    def test_folders_of_splits_are_no_classes(self, manifest: Path, tmp_path: Path) -> None:
        """Nobody learns to tell train from test."""
        members = {f"{split}/{i}.txt": f"text {i} of {split}".encode() for split in ("train", "test") for i in range(5)}

        assert refused(manifest, tmp_path, {"all_zip": zipped(members)})[0] == (
            "error: all.zip: its folders 'test' and 'train' are splits and no classes, and texts have no other label"
        )


class TestArrays:
    """`--target` and `--drop` mean arrays, where there are no columns."""

    def test_a_target_by_its_key(self, manifest: Path, tmp_path: Path) -> None:
        """It is labels then."""
        data = {"all_npz": npz(x=np.ones((20, 2)), kind=np.arange(20) % 3, z=np.arange(20.0))}
        got = added(manifest, tmp_path, data, "--target", "kind", "--drop", "z")

        assert (got.train.fields, got.classes) == (("features", "labels"), ("0", "1", "2"))

    def test_an_array_that_there_is_not(self, manifest: Path, tmp_path: Path) -> None:
        """With those that there are."""
        data = {"all_npz": npz(x=np.ones((20, 2)), kind=np.arange(20) % 3)}

        assert refused(manifest, tmp_path, data, "--target", "kid") == [
            "error: --target kid: there is no such array; did you mean 'kind'?",
            "  There are: kind, x.",
        ]


class TestUpdate:
    """What a person said of the files stays as it is, when they change."""

    def test_names_rows_and_options(self, manifest: Path, tmp_path: Path) -> None:
        """Only sizes, hashes and digests are refreshed."""
        options = ("--option", "skip_lines=1", "--rows", "train=0:15", "--rows", "test=15:", "--missing", "-999")
        rows = TABLE.replace("4.75,", "-999,")
        added(manifest, tmp_path, {"all_csv": "flowers\n" + rows}, *options)
        before = yaml.safe_load(manifest.read_bytes())["datasets"]["mine"]
        path = manifest.parent / "datasets" / "mine" / "all.csv"
        path.write_text(path.read_text().replace("flowers", "Flowers, again").replace("0.25,1,b", "0.5,1,b"))

        assert update(manifest, "mine").exit_code == 0
        after = yaml.safe_load(manifest.read_bytes())["datasets"]["mine"]
        got = get("mine", manifest=manifest, offline=True)
        assert got.train.features[1].tolist() == [0.5, 1]
        for entry in (before, after):
            for field in entry["fields"].values():
                del field["sha256"]
            del entry["files"]
        assert before == after


class TestEncodings:
    """What is said of text that is not UTF-8 can be done."""

    RECORDS = "".join(json.dumps({"size": i, "kind": "größe"}, ensure_ascii=False) + "\n" for i in range(9))

    @pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
    @pytest.mark.parametrize("ending", ["jsonl", "json"])
    def test_records_are_no_table(self, manifest: Path, tmp_path: Path, ending: str, encoding: str) -> None:
        """Their commas would make one of them, if their encoding is given."""
        text = self.RECORDS if ending == "jsonl" else f"[{','.join(self.RECORDS.splitlines())}]"
        files = {f"all_{ending}": text.encode(encoding)}

        assert refused(manifest, tmp_path, files, "--option", f"encoding={encoding}") == [
            f"error: all.{ending}: it is {ending} in another encoding than UTF-8, which is not read",
            "  Save it as UTF-8.",
        ]

    @pytest.mark.parametrize(
        ("name", "text"), [("all_jsonl", RECORDS), ("all_txt", "Q: größe\nA: b\n"), ("all_npz", "")]
    )
    def test_formats_that_are_utf_8(self, manifest: Path, tmp_path: Path, name: str, text: str) -> None:
        """No option reads another encoding, so none is named."""
        data = text.encode("latin-1") or npz(x=np.array(["größe".encode("latin-1")] * 9))

        assert refused(manifest, tmp_path, {name: data})[-1] == "  Save it as UTF-8."

    def test_prose(self, manifest: Path, tmp_path: Path) -> None:
        """An option that tables have does not read it, so the advice to give one is not given twice."""
        prose = "Es war einmal ein Käse,\nder sehr lange nicht gegessen wurde.\n".encode("latin-1")

        for options in (("--option", "encoding=latin-1"), ("--format", "text")):
            assert refused(manifest, tmp_path, {"all_txt": prose}, *options)[-1] == "  Save it as UTF-8."

    def test_a_table(self, manifest: Path, tmp_path: Path) -> None:
        """It may be read, wherever in the file the first such letter is."""
        table = TABLE.encode() * 4000 + "1,2,ä\n".encode("latin-1")

        assert refused(manifest, tmp_path, {"all_csv": table})[-1] == (
            "  If it is another encoding, say which: --option encoding=latin-1, cp1252 or another."
        )

    def test_other_marks(self, manifest: Path, tmp_path: Path) -> None:
        """UTF-32 begins as UTF-16 does; a NUL is in no text."""
        for data, what in (
            (TABLE.encode("utf-32"), "text in UTF-32; formats of text read UTF-8"),
            (TABLE.replace("1", "\0", 1).encode(), "text with a NUL character at byte 22, as other encodings have it"),
        ):
            assert refused(manifest, tmp_path, {"all_csv": data})[0] == (
                f"error: all.csv: its format is not recognized: it is {what}"
            )


@pytest.mark.parametrize(
    ("cell", "what", "hint"),
    [
        (' "a, b"', "a blank in front of a quote, which then quotes nothing", "Pass over it: --option strip=true."),
        ("'a, b'", "a cell that begins with ', which quotes nothing", 'What quotes a cell is ".'),
    ],
)
def test_quotes_that_quote_nothing(manifest: Path, tmp_path: Path, cell: str, what: str, hint: str) -> None:
    """They are named, and no name of a column is asked for."""
    table = "size,text\n" + f"1,{cell}\n" * 9

    assert refused(manifest, tmp_path, {"all_csv": table}) == [
        f"error: all.csv: line 2 has {what}, and 3 cells for the 2 of the first row",
        f"  {hint}",
    ]


def test_matlab_of_version_4(manifest: Path, tmp_path: Path) -> None:
    """It has no mark of its own; its header is known by its parts, in both orders of bytes."""
    scipy_io = pytest.importorskip("scipy.io", reason="SciPy writes the file")
    out = io.BytesIO()
    scipy_io.savemat(out, {"X": np.ones((5, 4)), "y": np.arange(5.0)}, format="4")
    big = np.array([1000, 5, 4, 0, 2], ">i4").tobytes() + b"X\0" + np.ones((5, 4), ">f8").tobytes()

    for data in (out.getvalue(), big):
        assert refused(manifest, tmp_path, {"all_mat": data}) == [
            "error: all.mat: it is a MATLAB file of version 4, which is not read",
            "  Save it again: by `scipy.io.savemat(file, scipy.io.loadmat(file))`, or by MATLAB with -v7.",
        ]


@pytest.mark.parametrize("options", [("--option", "unit=lines"), ("--format", "text")])
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Anna\r\nBert\r\n", "a carriage return: lines must end in LF, not CRLF"),
        ("\ufeffAnna\nBert\n", "a byte order mark (BOM)"),
    ],
)
def test_text_as_windows_saves_it(
    manifest: Path, tmp_path: Path, text: str, what: str, options: tuple[str, str]
) -> None:
    """Characters to learn that nobody sees: what to do is said."""
    assert refused(manifest, tmp_path, {"all_txt": text}, *options) == [
        f"error: all.txt: line 1 has {what}",
        "  Save it as UTF-8 without a mark, with LF at the end of its lines.",
    ]
