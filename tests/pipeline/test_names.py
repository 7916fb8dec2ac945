"""Lists of the names of members, which say what a split has, and tables that have a row for each of them.

The archives are stand-ins in the layouts of published data sets: each picture is of one gray, which says which it is.
"""

from __future__ import annotations

import gzip
import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import io as scipy_io

from tests.helpers.declared import declare, made, plain
from tests.helpers.format_writers import member, tarred, zipped
from tinytorch_datasets import get
from tinytorch_datasets.errors import ContentError, DecodeError, ManifestError


def picture(gray: int, form: str = "PNG") -> bytes:
    """A picture of 2 x 3 pixels of one gray."""
    out = io.BytesIO()
    Image.new("L", (3, 2), gray).save(out, form)
    return out.getvalue()


def tar(members: dict[str, bytes]) -> bytes:
    """A tar archive, packed as most are."""
    return gzip.compress(tarred(*(member(name, data) for name, data in members.items())))


def grays(images: Any) -> list[int]:
    """Which pictures they are."""
    return [int(image[0, 0]) for image in images]


FIELDS = "fields: {images: {dtype: uint8, shape: [2, 3]}, labels: {dtype: int64, classes: [ant, bee]}}"
IMAGES = "fields: {images: {dtype: uint8, shape: [2, 3]}}"

# Four pictures in two folders of classes, of the grays 1 to 4.
FOUR = {
    f"all/images/{name}/{n}.png": picture(n) for name, numbers in (("ant", (1, 2)), ("bee", (3, 4))) for n in numbers
}
BY_FOLDER = """
format: images
{fields}
splits:
  train: {{samples: {samples}, file: all.zip, members: ["all/images/*/*.png"], rows: {rows}}}
"""


def listed(folder: Path, text: str, rows: str, samples: int = 2) -> Any:
    """What a list of some of the four pictures gives."""
    entry = BY_FOLDER.format(fields=FIELDS, samples=samples, rows=rows)
    return made(folder, entry, all_zip=zipped(FOUR), list_txt=text).train


class TestLists:
    """`rows` with `match`: the members of a split, and their order, are those of a list."""

    def test_a_line_is_a_name(self, tmp_path: Path) -> None:
        """In the order of the list; labels by folder go with them."""
        split = listed(tmp_path, "all/images/bee/3.png\nall/images/ant/2.png\n", "{file: list.txt, match: name}")

        assert grays(split.images) == [3, 2]
        assert plain(split.labels) == [1, 0]

    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("bee/3.png\nant/2.png\n", "match: name, prefix: all/images/"),
            ("bee/3\nant/2\n", "match: name, prefix: all/images/, suffix: .png"),
            ("./bee/3.png\n./ant/2.png\n", "match: name, prefix: all/images/"),
            ("3.png\n2.png\n", "match: file"),
            ("/home/someone/3.png\r\nother/2.png\r\n", "match: file"),
            ("3\n2", "match: stem"),
            ("masks/3.gif\n2.jpg", "match: stem"),
        ],
    )
    def test_what_of_a_name_is_compared_is_declared(self, tmp_path: Path, text: str, rule: str) -> None:
        """Folders, endings and `./` as lists have them."""
        assert grays(listed(tmp_path, text, f"{{file: list.txt, {rule}}}").images) == [3, 2]

    def test_a_list_may_be_a_column_of_any_table(self, tmp_path: Path) -> None:
        """Behind comments, beside other columns, in any format."""
        text = "#Image CLASS-ID SPECIES BREED\n#a header\n3 1 1 1\n2 1 2 1\n"
        rows = 'file: list.txt, format: csv, options: {header: false, delimiter: " ", comment: "#"}, column: 0'
        assert grays(listed(tmp_path, text, f"{{{rows}, match: stem}}").images) == [3, 2]

        rows = 'file: list.txt, format: json, options: {records: "train"}, key: image'
        text = '{"train": [{"image": "3"}, {"image": "2"}]}'
        assert grays(listed(tmp_path, text, f"{{{rows}, match: stem}}").images) == [3, 2]

    def test_a_list_may_be_a_member_of_the_archive(self, tmp_path: Path) -> None:
        """As in DTD: ten lists for each split, beside the pictures; splits may have pictures in common."""
        members = {
            **{f"dtd/images/{c}/{c}_{n:04}.jpg": picture(n, "JPEG") for c in ("banded", "dotted") for n in (1, 2)},
            "dtd/labels/train1.txt": b"banded/banded_0002.jpg\ndotted/dotted_0001.jpg\n",
            "dtd/labels/val1.txt": b"banded/banded_0001.jpg\n",
            "dtd/labels/train2.txt": b"banded/banded_0001.jpg\ndotted/dotted_0001.jpg\n",
        }
        splits = "".join(
            f"""
              {name}:
                samples: {samples}
                file: dtd.gz
                members: ["dtd/images/*/*.jpg"]
                rows: {{member: dtd/labels/{name}.txt, match: name, prefix: dtd/images/}}
            """
            for name, samples in (("train1", 2), ("val1", 1), ("train2", 2))
        )
        fields = IMAGES.replace("}}", "}, labels: {dtype: int64, classes: [banded, dotted]}}")
        data = made(tmp_path, f"format: images\n{fields}\nsplits:{splits}", dtd_gz=tar(members))

        assert [grays(split.images) for split in data.values()] == [[2, 1], [1], [1, 1]]
        assert [plain(split.labels) for split in data.values()] == [[0, 1], [0], [0, 1]]

    def test_declared_files_may_be_listed(self, tmp_path: Path) -> None:
        """Which are the samples where a split names no archive; the list itself is none."""
        entry = """
            format: texts
            fields: {texts: {dtype: str}}
            splits: {train: {samples: 2, members: ["*.text"], rows: {file: list.txt, match: stem}}}
            """
        data = made(tmp_path, entry, a_text="A", b_text="B", c_text="C", list_txt="c\na\n")

        assert plain(data.train.texts) == ["C", "A"]

    def test_recordings_may_be_listed(self, tmp_path: Path) -> None:
        """As in Speech Commands; the archive writes `./` in front of its names, and the list does not."""

        def recording(value: int) -> bytes:
            out = io.BytesIO()
            with wave.open(out, "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16_000)
                file.writeframes(np.full(4, value, "<i2").tobytes())
            return out.getvalue()

        members = {f"./{word}/{n}_nohash_0.wav": recording(n) for word in ("left", "right") for n in (1, 2)}
        members["./testing_list.txt"] = b"right/2_nohash_0.wav\nleft/1_nohash_0.wav\n"
        entry = """
            format: audio
            fields: {audio: {dtype: int16, shape: [4]}, labels: {dtype: int64, classes: [left, right]}}
            splits:
              test:
                samples: 2
                file: speech.gz
                members: ["*/*.wav"]
                rows: {member: testing_list.txt, match: name}
            """
        data = made(tmp_path, entry, speech_gz=tar(members))

        assert plain(data.test.audio[:, 0]) == [2, 1]
        assert plain(data.test.labels) == [1, 0]

    def test_a_list_may_be_in_an_archive_inside_an_archive(self, tmp_path: Path) -> None:
        """Beside the one of the pictures."""
        entry = """
            format: images
            fields: {images: {dtype: uint8, shape: [2, 3]}}
            splits:
              train:
                samples: 2
                file: all.zip
                member: images.tar.gz
                members: ["all/**/*.png"]
                rows: {file: all.zip, member: [lists.zip, train.txt], match: stem}
            """
        data = made(
            tmp_path, entry, all_zip=zipped({"images.tar.gz": tar(FOUR), "lists.zip": zipped({"train.txt": b"4\n1\n"})})
        )

        assert grays(data.train.images) == [4, 1]

    def test_names_may_be_cells_of_a_mat_file(self, tmp_path: Path) -> None:
        """As MATLAB keeps texts of several lengths."""
        out = io.BytesIO()
        scipy_io.savemat(out, {"list": np.array(["bee/3.png", "ant/2.png"], object).reshape(2, 1)})
        entry = BY_FOLDER.format(
            fields=IMAGES,
            samples=2,
            rows="{file: list.mat, format: mat, key: list, match: name, prefix: all/images/}",
        )

        assert grays(made(tmp_path, entry, all_zip=zipped(FOUR), list_mat=out.getvalue()).train.images) == [3, 2]

    def test_members_that_are_left_out_may_be_listed(self, tmp_path: Path) -> None:
        """A list may name those that are known to be damaged; each has to be there."""
        entry = BY_FOLDER.format(fields=IMAGES, samples=2, rows="{file: list.txt, match: stem}") + (
            "options: {skip: [all/images/ant/2.png]}"
        )
        assert grays(made(tmp_path, entry, all_zip=zipped(FOUR), list_txt="4\n2\n1\n").train.images) == [4, 1]

        with pytest.raises(DecodeError, match=r"member 'all/images/ant/2.png', which `skip` leaves out, is no member"):
            made(tmp_path, entry, all_zip=zipped(FOUR), list_txt="4\n1\n")


class TestRefusals:
    """Each in one sentence, with the line of the list and the name."""

    @pytest.mark.parametrize(
        ("text", "rule", "reason"),
        [
            (
                "bee/3.png\nant/9.png\n",
                "match: name, prefix: all/images/",
                "line 2 names 'ant/9.png', and no member of all.zip is 'all/images/ant/9.png'"
                "; did you mean 'all/images/ant/2.png'?",
            ),
            ("3.png\nzebra.png\n", "match: file", "line 2 names 'zebra.png', and no member of all.zip is 'zebra.png'"),
            ("3\n\n", "match: stem", "line 2 is empty"),
            ("3\n4\n3\n", "match: stem", "line 3 names '3', which is in the list twice"),
            ("bee/3\nant/3\n", "match: stem", "line 2 names 'ant/3', which is in the list twice"),
        ],
    )
    def test_a_name_that_is_not_there_or_twice(self, tmp_path: Path, text: str, rule: str, reason: str) -> None:
        """Also where only what is compared is there twice."""
        with pytest.raises(DecodeError) as caught:
            listed(tmp_path, text, f"{{file: list.txt, {rule}}}", samples=text.count("\n"))

        assert caught.value.path == tmp_path / "datasets" / "made" / "list.txt"
        assert caught.value.reason == reason

    def test_a_name_of_two_members(self, tmp_path: Path) -> None:
        """Which of them is meant nobody knows."""
        members = {**FOUR, "all/images/bee/1.png": picture(9)}
        entry = BY_FOLDER.format(fields=FIELDS, samples=1, rows="{file: list.txt, match: file}")
        with pytest.raises(DecodeError) as caught:
            made(tmp_path, entry, all_zip=zipped(members), list_txt="1.png\n")

        both = "'all/images/ant/1.png' and 'all/images/bee/1.png'"
        assert caught.value.reason == f"line 1 names '1.png', which is two members of all.zip: {both}"

    def test_a_stem_that_may_be_of_two_members(self, tmp_path: Path) -> None:
        """Where a list has no endings, what is behind the last dot is none."""
        entry = BY_FOLDER.format(fields=IMAGES, samples=1, rows="{file: list.txt, match: stem}")
        members = {"all/images/a/1.5.png": picture(15), "all/images/a/2.png": picture(2)}
        assert grays(made(tmp_path, entry, all_zip=zipped(members), list_txt="1.5\n").train.images) == [15]

        with pytest.raises(DecodeError) as caught:
            made(tmp_path, entry, all_zip=zipped({**members, "all/images/a/1.png": picture(1)}), list_txt="1.5\n")
        both = "'all/images/a/1.png' and 'all/images/a/1.5.png'"
        assert caught.value.reason == f"line 1 names '1.5', which is two members of all.zip: {both}"

    def test_names_are_compared_in_one_form_of_unicode(self, tmp_path: Path) -> None:
        """An archive that a Mac has written has them decomposed."""
        decomposed, composed = (
            "caf\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}",
            "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        )
        entry = BY_FOLDER.format(fields=IMAGES, samples=1, rows="{file: list.txt, match: name, prefix: all/images/}")
        members = {f"all/images/a/{decomposed}.png": picture(7), "all/images/a/cafe.png": picture(8)}
        data = made(tmp_path, entry, all_zip=zipped(members), list_txt=f"a/{composed}.png\n")

        assert grays(data.train.images) == [7]

    def test_a_list_in_an_archive_is_named(self, tmp_path: Path) -> None:
        """Behind its archive."""
        entry = BY_FOLDER.format(fields=FIELDS, samples=1, rows="{member: l.txt, match: file}")
        unknown = "zebra.jpg"
        with pytest.raises(DecodeError) as caught:
            made(tmp_path, entry, all_zip=zipped({**FOUR, "l.txt": unknown.encode()}))

        assert (
            caught.value.reason == "member 'l.txt': line 1 names 'zebra.jpg', and no member of all.zip is 'zebra.jpg'"
        )

    def test_fewer_or_more_names_than_samples(self, tmp_path: Path) -> None:
        """What is declared is what there is."""
        with pytest.raises(ContentError) as caught:
            listed(tmp_path, "1\n2\n", "{file: list.txt, match: stem}", samples=3)
        assert caught.value.reason == "it has 2 names of samples, and train declares 3 samples"

        with pytest.raises(ContentError, match=r"it has more rows than the 1 that train declares"):
            listed(tmp_path, "1\n2\n", "{file: list.txt, match: stem}", samples=1)

    @pytest.mark.parametrize(
        ("rows", "key", "what"),
        [
            (
                "{file: list.txt, prefix: a}",
                "rows.prefix",
                "is of names, so `match` has to say what of them is compared",
            ),
            ("{file: list.txt, match: name, first: 1}", "rows.first", "is of positions, and the list has names"),
            ("{match: name}", "rows", "names no file for the list"),
            (
                "{file: list.txt, match: name}, shuffle: {seed: 1}",
                "rows",
                "is a list of names, which are not shuffled",
            ),
        ],
    )
    def test_what_has_no_meaning_is_refused_before_anything_is_fetched(
        self, tmp_path: Path, rows: str, key: str, what: str
    ) -> None:
        """With its key."""
        path = declare(tmp_path, BY_FOLDER.format(fields=FIELDS, samples=1, rows=rows), all_zip=b"PK", list_txt="x")
        with pytest.raises(ManifestError) as caught:
            get("made", manifest=path)

        assert (f"made.splits.train.{key}", what) in [(problem.key, problem.what) for problem in caught.value.problems]

    def test_a_list_of_names_is_of_samples_that_are_members(self, tmp_path: Path) -> None:
        """Rows of a table have no names of members."""
        entry = """
            format: csv
            fields: {x: {dtype: int64}}
            splits: {train: {samples: 1, file: t.csv, rows: {file: l.txt, match: name}}}
            """
        with pytest.raises(ManifestError) as caught:
            get("made", manifest=declare(tmp_path, entry, t_csv="x\n1\n", l_txt="a\n"))

        (problem,) = caught.value.problems
        assert problem.what == "is a list of names of members, and no sample of this field is a member"


class TestPositions:
    """Rows of members by position: only those that a split has are read."""

    def test_positions_in_a_mat_file(self, tmp_path: Path) -> None:
        """As in Flowers 102: pictures of several sizes in a tar archive, positions from 1, labels by position."""
        setid, labels = io.BytesIO(), io.BytesIO()
        scipy_io.savemat(setid, {"trnid": np.array([[4, 1]], np.uint16), "tstid": np.array([[2, 3]], np.uint16)})
        scipy_io.savemat(labels, {"labels": np.array([[1, 1, 2, 2]], np.uint8)})
        members = {f"jpg/image_{n:05}.jpg": picture(40 * n, "JPEG") for n in (3, 1, 4, 2)}
        members["jpg/image_00005.jpg"] = b"damaged, and in no split"
        splits = "".join(
            f"""
              {name}:
                samples: 2
                file: flowers.tgz
                members: ["jpg/*.jpg"]
                stored_samples: 5
                rows: {{file: setid.mat, format: mat, key: {key}, first: 1}}
                labels: {{file: imagelabels.mat, format: mat, key: labels, stored_samples: 4}}
            """
            for name, key in (("train", "trnid"), ("test", "tstid"))
        )
        entry = f"""
            format: images
            fields:
              images: {{dtype: uint8, shape: [null, null]}}
              labels: {{dtype: int64, classes: [ant, bee], first: 1}}
            splits:{splits}
            """
        data = made(
            tmp_path, entry, flowers_tgz=tar(members), setid_mat=setid.getvalue(), imagelabels_mat=labels.getvalue()
        )

        assert [int(image[0, 0]) for image in data.train.images] == [160, 40]
        assert plain(data.train.labels) == [1, 0]
        assert [int(image[0, 0]) for image in data.test.images] == [80, 120]
        assert plain(data.test.labels) == [0, 1]

    def test_ranges_and_shuffles(self, tmp_path: Path) -> None:
        """Of members in the order of their names, those that are left out not counted."""
        entry = """
            format: images
            options: {skip: [all/images/ant/1.png]}
            fields: {images: {dtype: uint8, shape: [2, 3]}}
            splits:
              train: {samples: 2, file: all.zip, members: ["all/images/*/*.png"], rows: [0, 2], shuffle: {seed: 0}}
              test: {samples: 1, file: all.zip, members: ["all/images/*/*.png"], rows: [2, 3], shuffle: {seed: 0}}
            """
        data = made(tmp_path, entry, all_zip=zipped(FOUR))
        order = np.arange(3)
        np.random.RandomState(0).shuffle(order)

        assert grays(data.train.images) + grays(data.test.images) == [[2, 3, 4][at] for at in order]

    def test_another_number_of_members_is_refused(self, tmp_path: Path) -> None:
        """Positions would be others."""
        entry = """
            format: images
            fields: {images: {dtype: uint8, shape: [2, 3]}}
            splits: {train: {samples: 3, file: all.zip, members: ["all/images/*/*.png"], rows: [0, 3]}}
            """
        with pytest.raises(ContentError) as caught:
            made(tmp_path, entry, all_zip=zipped(FOUR))

        assert caught.value.reason == "train.images is rows of 3 stored samples, and 4 are stored"
        assert caught.value.hint == "Write how many are stored in the manifest, as `stored_samples`."


JOINED = """
format: images
fields: {{images: {{dtype: uint8, shape: [2, 3]}}, labels: {{dtype: int64, classes: [ant, bee], first: 1}}}}
splits:
  train:
    samples: {samples}
    file: all.zip
    members: ["all/images/*/*.png"]
    {more}
    labels: {labels}
"""
TABLE = "Filename;Width;ClassId\n4.png;3;2\n2.png;3;1\n1.png;3;1\n3.png;3;1\n"
BY_NAME = "{file: t.csv, format: csv, options: {delimiter: ;}, column: ClassId, join: {column: Filename, match: file}}"


class TestJoins:
    """`join`: a table has a row for each member, in an order of its own."""

    def joined(self, folder: Path, table: str, labels: str = BY_NAME, more: str = "", samples: int = 4) -> Any:
        """The split with labels of a table."""
        entry = JOINED.format(samples=samples, labels=labels, more=more)
        return made(folder, entry, all_zip=zipped(FOUR), t_csv=table, l_txt="4\n3\n").train

    def test_labels_are_those_of_the_rows_with_the_samples_names(self, tmp_path: Path) -> None:
        """As GTSRB has them, in a table behind semicolons."""
        assert plain(self.joined(tmp_path, TABLE).labels) == [1 - 1, 1 - 1, 1 - 1, 2 - 1]

    def test_a_table_may_have_rows_for_other_samples_too(self, tmp_path: Path) -> None:
        """Of all splits, with a list of which are in this one."""
        labels = BY_NAME.replace("column: ClassId", "stored_samples: 4, column: ClassId")
        split = self.joined(tmp_path, TABLE, labels, "rows: {file: l.txt, match: stem}", samples=2)

        assert grays(split.images) == [4, 3]
        assert plain(split.labels) == [1, 0]

    def test_a_table_may_be_a_member_of_the_archive(self, tmp_path: Path) -> None:
        """The column of names is in the same table, unless another is named."""
        labels = (
            "{member: t.txt, format: csv, options: {header: false, delimiter: whitespace}, column: 1, "
            "join: {column: 0, prefix: all/images/, suffix: .png}}"
        )
        entry = JOINED.format(samples=4, labels=labels, more="")
        table = b"bee/4 2\nant/2 1\nant/1 1\nbee/3 2\n"
        data = made(tmp_path, entry, all_zip=zipped({**FOUR, "t.txt": table}))

        assert plain(data.train.labels) == [0, 0, 1, 1]

    @pytest.mark.parametrize(
        ("table", "reason"),
        [
            (TABLE.replace("3.png;", "5.png;"), "it has no row for the sample 'all/images/bee/3.png', as '3.png'"),
            (TABLE + "4.png;3;1\n", "line 6 is the second row for the sample 'all/images/bee/4.png'"),
        ],
    )
    def test_a_sample_has_one_row(self, tmp_path: Path, table: str, reason: str) -> None:
        """None, and two, are refused."""
        labels = BY_NAME.replace("column: ClassId", f"stored_samples: {table.count('.png')}, column: ClassId")
        with pytest.raises(DecodeError) as caught:
            self.joined(tmp_path, table, labels)

        assert caught.value.path.name == "t.csv"
        assert caught.value.reason.startswith(reason)

    def test_a_row_is_of_one_sample(self, tmp_path: Path) -> None:
        """Where what is compared is the same of two."""
        members = {"all/images/ant/1.png": picture(1), "all/images/bee/1.png": picture(2)}
        labels = BY_NAME.replace("column: ClassId", "stored_samples: 4, column: ClassId")
        entry = JOINED.format(samples=2, labels=labels, more="")
        with pytest.raises(DecodeError) as caught:
            made(tmp_path, entry, all_zip=zipped(members), t_csv=TABLE)

        both = "'all/images/ant/1.png' and 'all/images/bee/1.png'"
        assert caught.value.reason == f"line 4 is the row of two samples, {both}"
        assert caught.value.hint == "Compare more of the names: `match: name`, with `prefix` and `suffix`."

    def test_more_rows_than_are_declared(self, tmp_path: Path) -> None:
        """The hint is what to write."""
        with pytest.raises(ContentError) as caught:
            self.joined(tmp_path, TABLE + "9.png;3;1\n")

        assert caught.value.hint == "Write how many are stored in the manifest, as `stored_samples`."

    @pytest.mark.parametrize(
        ("field", "what"),
        [
            (
                "images: {key: image, join: {column: 0}}",
                "is of a field in a table, in a split with another field whose",
            ),
            (f"labels: {BY_NAME[:-1]}, rows: [0, 4]}}", "has no meaning beside `join`, which says which row each"),
        ],
    )
    def test_what_has_no_meaning_is_refused(self, tmp_path: Path, field: str, what: str) -> None:
        """Before anything is fetched."""
        entry = f"""
            format: images
            {FIELDS}
            splits: {{train: {{samples: 4, file: all.zip, members: ["all/images/*/*.png"], {field}}}}}
            """
        with pytest.raises(ManifestError, match=what):
            get("made", manifest=declare(tmp_path, entry, all_zip=b"PK", t_csv=TABLE))


class TestAllBut:
    """`all_but`: the members that are in none of some lists."""

    ENTRY = """
        format: images
        fields: {{images: {{dtype: uint8, shape: [2, 3]}}}}
        splits:
          train: {{samples: {0}, file: all.zip, members: ["all/images/*/*.png"], rows: {{all_but: {1}}}}}
        """
    LISTS = "[{member: val.txt, match: stem}, {file: test.txt, match: name, prefix: all/images/}]"

    def split(self, folder: Path, lists: str = LISTS, *, samples: int = 2, test: str = "ant/2.png\n") -> Any:
        """The training split of four pictures, of which two are in lists."""
        members = {**FOUR, "val.txt": b"3\n"}
        return made(folder, self.ENTRY.format(samples, lists), all_zip=zipped(members), test_txt=test).train

    def test_a_split_has_what_no_list_has(self, tmp_path: Path) -> None:
        """In the order of the names, as Speech Commands has its training split."""
        assert grays(self.split(tmp_path).images) == [1, 4]

    def test_members_that_are_left_out_are_in_no_list(self, tmp_path: Path) -> None:
        """As the background noises of Speech Commands, which are no samples."""
        entry = self.ENTRY.format(1, self.LISTS) + "options: {skip: [all/images/ant/1.png]}"
        members = {**FOUR, "val.txt": b"3\n"}
        data = made(tmp_path, entry, all_zip=zipped(members), test_txt="ant/2.png\n")

        assert grays(data.train.images) == [4]

    def test_one_list_is_enough(self, tmp_path: Path) -> None:
        """Its names are whole, unless it says otherwise."""
        split = self.split(tmp_path, "[{file: test.txt}]", samples=3, test="all/images/bee/4.png\n")
        assert grays(split.images) == [1, 2, 3]

    @pytest.mark.parametrize(
        ("test", "samples", "reason"),
        [
            ("ant/2.png\n", 3, "it has 2 members that no list has, and train declares 3 samples"),
            ("ant/2.png\nbee/3.png\n", 1, "'all/images/bee/3.png' is in two of the lists"),
            ("zebra\n", 2, "line 1 names 'zebra', and no member of all.zip is 'all/images/zebra'"),
        ],
    )
    def test_what_is_wrong_with_the_lists(self, tmp_path: Path, test: str, samples: int, reason: str) -> None:
        """A name that no member has may be one that should have been left out."""
        with pytest.raises(DecodeError) as caught:
            self.split(tmp_path, samples=samples, test=test)
        assert caught.value.reason.partition("; did you mean")[0] == reason

    def test_beside_a_list_it_has_no_meaning(self, tmp_path: Path) -> None:
        """One or the other."""
        with pytest.raises(ManifestError, match=r"rows.file: has no meaning beside `all_but`"):
            self.split(tmp_path, "[{file: test.txt}], file: test.txt")


class TestWhere:
    """`where`: the samples for which a column has a value."""

    CUB = """
        format: images
        fields: {{images: {{dtype: uint8, shape: [2, 3]}}, labels: {{dtype: int64, classes: [ant, bee], first: 1}}}}
        splits:
          {split}:
            samples: 2
            file: all.zip
            members: ["all/images/*/*.png"]
            stored_samples: 4
            rows:
              member: images.txt
              format: csv
              options: &options {{header: false, delimiter: " "}}
              column: 1
              match: name
              prefix: all/images/
              where: &where
                {{file: all.zip, member: split.txt, format: csv, options: *options, column: 1, equals: {equals}}}
            labels: {{member: labels.txt, format: csv, options: *options, column: 1, rows: {{where: *where}}}}
        """

    @pytest.mark.parametrize(
        ("split", "equals", "images", "labels"), [("train", "[1]", [4, 3], [1, 1]), ("test", "[0]", [2, 1], [0, 0])]
    )
    def test_a_flag_in_another_list(
        self, tmp_path: Path, split: str, equals: str, images: list[int], labels: list[int]
    ) -> None:
        """As CUB-200 has it: a list of names, one of flags and one of labels, all in the same order."""
        lists = {
            "images.txt": b"1 bee/4.png\n2 ant/2.png\n3 bee/3.png\n4 ant/1.png\n",
            "split.txt": b"1 1\n2 0\n3 1\n4 0\n",
            "labels.txt": b"1 2\n2 1\n3 2\n4 1\n",
        }
        entry = self.CUB.format(split=split, equals=equals)
        data = made(tmp_path, entry, all_zip=zipped({**FOUR, **lists}))

        assert grays(data[split].images) == images
        assert plain(data[split].labels) == labels

    def test_a_column_beside_the_names(self, tmp_path: Path) -> None:
        """As CelebA has its partition: the name, and the number of the split; several may be taken together."""
        rows = (
            'file: list.txt, format: csv, options: {header: false, delimiter: " "}, column: 0, match: stem, '
            "where: {column: 1, equals: [0, 2]}"
        )
        entry = BY_FOLDER.format(fields=IMAGES, samples=2, rows=f"{{{rows}}}, stored_samples: 3")
        data = made(tmp_path, entry, all_zip=zipped(FOUR), list_txt="4.jpg 0\n1.jpg 1\n2.jpg 2\n")

        assert grays(data.train.images) == [4, 2]

    def test_a_column_of_the_table_itself(self, tmp_path: Path) -> None:
        """As FER-2013 has its usage; the column is no field."""
        entry = """
            format: csv
            fields: {x: {dtype: int64, shape: [2]}, y: {dtype: int64}}
            options: {columns: {x: [a, b]}}
            splits:
              train: {samples: 2, file: t.csv, stored_samples: 3, rows: {where: {column: usage, equals: [Training]}}}
              test: {samples: 1, file: t.csv, stored_samples: 3, rows: {where: {column: usage, equals: [PublicTest]}}}
            """
        table = "a,b,y,usage\n1,2,3,Training\n4,5,6,PublicTest\n7,8,9,Training\n"
        data = made(tmp_path, entry, t_csv=table)

        assert plain(data.train.x) == [[1, 2], [7, 8]]
        assert plain(data.train.y) == [3, 9]
        assert plain(data.test.y) == [6]

    def test_another_number_of_rows_is_refused(self, tmp_path: Path) -> None:
        """Of those that have the value, and of all."""
        entry = """
            format: csv
            fields: {{y: {{dtype: int64}}}}
            splits:
              train: {{samples: {0}, file: t.csv, stored_samples: {1}, rows: {{where: {{column: u, equals: [a]}}}}}}
            """
        table = "y,u\n1,a\n2,b\n3,a\n"
        with pytest.raises(ContentError) as caught:
            made(tmp_path, entry.format(1, 3), t_csv=table)
        assert caught.value.reason == "2 of its rows have the value, and train declares 1 samples"
        with pytest.raises(ContentError, match="rows of 4 stored samples, and 3 are stored"):
            made(tmp_path, entry.format(2, 4), t_csv=table)

    def test_what_is_wrong_is_refused_before_anything_is_fetched(self, tmp_path: Path) -> None:
        """With its key."""
        entry = """
            format: csv
            fields: {{y: {{dtype: int64}}}}
            splits: {{train: {{samples: 1, file: t.csv, rows: {{where: {{column: u, equals: {0}}}}}{1}}}}}
            """
        for equals, more, what in (
            ("[a]", "", r"rows: depends on a column, so `stored_samples` has to say how many rows that has"),
            (
                "[a, 1]",
                ", stored_samples: 3",
                r"rows.where.equals: has texts and numbers, and a column has one of them",
            ),
            ("a", ", stored_samples: 3", r"rows.where.equals: must be a list of texts or numbers, is 'a'"),
        ):
            with pytest.raises(ManifestError, match=what):
                get("made", manifest=declare(tmp_path, entry.format(equals, more), t_csv="y,u\n1,a\n"))


@pytest.mark.parametrize("cache", ["decoded", "encoded"])
def test_listed_members_of_an_inner_archive_are_the_same_in_either_cache(tmp_path: Path, cache: str) -> None:
    """Kept decoded, or as the bytes that the archive has of each."""
    entry = f"""
        format: images
        fields:
          images: {{dtype: uint8, shape: [2, 3], cache: {cache}}}
          labels: {{dtype: int64, classes: [ant, bee]}}
        splits:
          train:
            samples: 3
            file: all.zip
            member: images.tar.gz
            members: ["all/images/*/*.png"]
            rows: {{file: all.zip, member: train.txt, match: stem}}
          test: {{samples: 1, file: all.zip, member: images.tar.gz, members: ["all/images/bee/4.png"]}}
        """
    data = made(tmp_path, entry, all_zip=zipped({"images.tar.gz": tar(FOUR), "train.txt": b"3\n1\n2\n"}))

    assert grays(data.train.images) == [3, 1, 2]
    assert plain(data.train.labels) == [1, 0, 0]
    assert grays(data.test.images) == [4]


class TestOrder:
    """What is paired with members by position alone is in their order, as far as names show it."""

    NUMBERS = (1, 2, 3, 10)  # which are sorted as 1, 10, 2, 3
    ENTRY = """
        format: texts
        fields: {{texts: {{dtype: str}}, labels: {{dtype: int64}}}}
        splits:
          train: {{samples: {0}, file: all.zip, members: ["d/*.txt"], {1} labels: {{file: {2}, format: {3}{4}}}}}
        """

    def labels(
        self, folder: Path, table: bytes | str, form: str = "csv", *, more: str = "", rows: str = "", samples: int = 4
    ) -> Any:
        """The labels of four texts, 1.txt to 10.txt, by the position of their rows in a table."""
        name = {"csv": "t.csv", "parquet": "t.parquet"}.get(form, "t.json")
        entry = self.ENTRY.format(samples, rows, name, form, more)
        archive = zipped({f"d/{n}.txt": str(n).encode() for n in self.NUMBERS})
        data = made(folder, entry, **{"all_zip": archive, name.replace(".", "_"): table})
        assert plain(data.train.texts) == ["1", "10", "2", "3"][:samples]
        return plain(data.train.labels)

    def parquet(self, order: tuple[int, ...]) -> bytes:
        """A table with the names in that order."""
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        out = io.BytesIO()
        pq.write_table(pa.table({"path": [f"{n}.txt" for n in order], "labels": list(order)}), out)
        return out.getvalue()

    def rows_of(self, form: str, order: tuple[int, ...]) -> bytes | str:
        """A table with the names in that order, in any format."""
        if form == "parquet":
            return self.parquet(order)
        if form == "csv":
            return "path,labels\n" + "".join(f"{n}.txt,{n}\n" for n in order)
        if form == "arff":
            rows = "".join(f"{n}.txt,{n}\n" for n in order)
            return f"@relation t\n@attribute path string\n@attribute labels numeric\n@data\n{rows}"
        lines = [f'{{"path": "{n}.txt", "labels": {n}}}' for n in order]
        return "\n".join(lines) if form == "jsonl" else f"[{','.join(lines)}]"

    @pytest.mark.parametrize("form", ["csv", "json", "jsonl", "arff", "parquet"])
    def test_a_table_that_has_the_names_in_another_order_is_refused(self, tmp_path: Path, form: str) -> None:
        """Of any format; in the order of the samples it is read."""
        (tmp_path / "right").mkdir()
        assert self.labels(tmp_path / "right", self.rows_of(form, (1, 10, 2, 3)), form) == [1, 10, 2, 3]

        with pytest.raises(DecodeError) as caught:
            self.labels(tmp_path, self.rows_of(form, self.NUMBERS), form)

        assert caught.value.reason == (
            "labels is paired by position, and 'path' has the samples in another order: "
            "'2.txt' stands where 'd/10.txt' should"
        )
        assert caught.value.hint == "Pair them by name: `join: {column: path, match: file}`, or `match: stem`."

    @pytest.mark.parametrize(
        ("table", "more"),
        [
            ("id,labels\n1,1\n2,2\n3,3\n10,10\n", ""),  # numbers, each of one name
            ("1,x/1.png\n2,x/2.png\n3,x/3.png\n10,x/10.png\n", ", options: {header: false}, column: 0"),
            ("labels;name\n1;/home/1\n2;/home/2\n3;/home/3\n10;/home/10\n", ', options: {delimiter: ";"}'),
            ("labels,name\n1,text_1_b\n2,text_2_b\n3,text_3_b\n10,text_10_b\n", ""),
            ("labels,name\n1,1.txt\n2,2.txt\n3,3.txt\n10,11.txt\n", ""),  # one of them is another
        ],
    )
    def test_however_the_names_are_written(self, tmp_path: Path, table: str, more: str) -> None:
        """Other folders and endings, numbers, and with something around each."""
        with pytest.raises(DecodeError, match=r"is paired by position, and .* has the samples in another order"):
            self.labels(tmp_path, table, more=more)

    @pytest.mark.parametrize(
        ("table", "labels"),
        [
            ("labels\n5\n6\n7\n8\n", [5, 6, 7, 8]),
            ("labels,age\n5,3\n6,2\n7,1\n8,4\n", [5, 6, 7, 8]),  # of which three are names of samples
            ("labels,note\n5,2.txt\n6,2.txt\n7,1.txt\n8,1.txt\n", [5, 6, 7, 8]),
            ("labels\n10\n1\n3\n2\n", [10, 1, 3, 2]),  # the field's own numbers are no names
        ],
    )
    def test_other_columns_are_no_names(self, tmp_path: Path, table: str, labels: list[int]) -> None:
        """Numbers are, if all of them are, each once; and texts, if half of them are."""
        assert self.labels(tmp_path, table) == labels

    def test_rows_of_a_table_are_compared_as_they_are_chosen(self, tmp_path: Path) -> None:
        """A range of both, of which the table has a row for each of all samples."""
        rows = "rows: [0, 2], stored_samples: 4,"
        (tmp_path / "right").mkdir()
        table = "name,labels\n1.txt,1\n10.txt,10\n2.txt,2\n3.txt,3\n"
        assert self.labels(tmp_path / "right", table, rows=rows, samples=2) == [1, 10]

        with pytest.raises(DecodeError, match=r"'2\.txt' stands where 'd/10\.txt' should"):
            self.labels(tmp_path, "name,labels\n1.txt,1\n2.txt,2\n10.txt,10\n3.txt,3\n", rows=rows, samples=2)

    def test_numbers_beside_listed_samples_are_those_of_rows(self, tmp_path: Path) -> None:
        """As CUB-200 numbers the lines of all its lists."""
        entry = self.ENTRY.format(3, "rows: {file: l.txt, match: stem},", "t.csv", "csv", "")
        archive = zipped({f"d/{n}.txt": str(n).encode() for n in self.NUMBERS})
        data = made(tmp_path, entry, all_zip=archive, l_txt="3\n2\n1\n", t_csv="id,labels\n1,33\n2,22\n3,11\n")

        assert plain(data.train.labels) == [33, 22, 11]

    MASKS = """
        format: texts
        fields: {texts: {dtype: str}, masks: {dtype: str}}
        splits: {train: {samples: 3, members: ["*.txt"], texts: {file: a.zip}, masks: {file: b.zip}}}
        """

    @pytest.mark.parametrize(
        ("masks", "reason"),
        [
            (("1_m", "2_m", "10_m"), "sample 0 is '1.txt' in a.zip and '10_m.txt' here"),
            (("1", "3", "10"), "sample 2 is '2.txt' in a.zip and '3.txt' here"),
        ],
    )
    def test_samples_of_two_archives(self, tmp_path: Path, masks: tuple[str, ...], reason: str) -> None:
        """Names with something behind them are sorted otherwise; and where one is missing, another may be too many."""
        archives = [zipped({f"{name}.txt": name.encode() for name in names}) for names in (("1", "2", "10"), masks)]
        with pytest.raises(DecodeError) as caught:
            made(tmp_path, self.MASKS, a_zip=archives[0], b_zip=archives[1])

        assert caught.value.path.name == "b.zip"
        assert caught.value.reason == f"texts and masks are paired by position, and {reason}"

    @pytest.mark.parametrize("masks", [("01_m", "02_m", "10_m"), ("x", "y", "z"), ("m_1", "m_2", "m_10")])
    def test_two_archives_in_one_order(self, tmp_path: Path, masks: tuple[str, ...]) -> None:
        """Which their names show, or nothing does."""
        images = ("01", "02", "10") if masks[0] == "01_m" else ("1", "2", "10")
        archives = [zipped({f"{name}.txt": name.encode() for name in names}) for names in (images, masks)]
        data = made(tmp_path, self.MASKS, a_zip=archives[0], b_zip=archives[1])

        assert plain(data.train.masks) == sorted(masks)

    TABLES = """
        format: csv
        fields: {x: {dtype: int64}, y: {dtype: int64}}
        splits: {train: {samples: 3, x: {file: a.csv, column: x}, y: {file: b.csv, column: y}}}
        """

    @pytest.mark.parametrize("names", ["abc", "789"])
    def test_two_tables(self, tmp_path: Path, names: str) -> None:
        """Of features and of labels, which both have a column of names, or of numbers."""
        tables = [
            f"id,{field}\n" + "".join(f"{name},{n}\n" for n, name in enumerate(order))
            for field, order in (("x", names), ("y", names[::-1]), ("y", names))
        ]
        (tmp_path / "right").mkdir()
        assert plain(made(tmp_path / "right", self.TABLES, a_csv=tables[0], b_csv=tables[2]).train.y) == [0, 1, 2]

        with pytest.raises(DecodeError) as caught:
            made(tmp_path, self.TABLES, a_csv=tables[0], b_csv=tables[1])

        assert caught.value.path.name == "b.csv"
        assert caught.value.reason == (
            "y is paired by position, and 'id' has the samples in another order: "
            f"{names[2]!r} stands where {names[0]!r} should"
        )
        assert caught.value.hint == "Bring both tables into one order, or make them one."

    def test_two_tables_of_other_columns(self, tmp_path: Path) -> None:
        """Columns of other names, and those that repeat a value, say nothing."""
        data = made(tmp_path, self.TABLES, a_csv="id,x,z\na,1,u\nb,2,v\nc,3,u\n", b_csv="no,y,z\nc,1,v\nb,2,u\na,3,u\n")

        assert plain(data.train.y) == [1, 2, 3]
