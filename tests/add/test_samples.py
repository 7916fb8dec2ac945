"""`add` of a file a sample: labels that are a part of names, lists that lie beside, splits by name."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.add.test_images import picture, write
from tests.formats.test_audio import wav
from tests.helpers.add_world import add
from tests.helpers.format_writers import member, tarred, zipped
from tinytorch_datasets import Dataset, get, load_manifest

SOUND = wav(np.arange(9, dtype="int16"))
DIGITS = {f"{digit}_{name}_{n}.wav": SOUND for digit in (7, 10) for name in ("jackson", "theo") for n in range(2)}
PETS = {f"{pet}_{n}.png": picture(n) for pet in ("great_dane", "pug") for n in range(3)}
KINDS = {f"{kind}/{n}.png": picture(n) for kind in ("cat", "dog") for n in range(4)}


def _path(form: str, folder: Path, files: Mapping[str, bytes]) -> Path:
    if form == "folder":
        return write(folder / "made", files)
    path = folder / f"made.{form}"
    path.write_bytes(zipped(files) if form == "zip" else tarred(*(member(*file) for file in files.items())))
    return path


def added(manifest: Path, path: Path, *options: str) -> Dataset:
    """What `get` returns of what was added."""
    done = add(manifest, path, "--ship", "--name", "mine", *options)
    assert done.exit_code == 0, done.output
    return get("mine", manifest=manifest, offline=True)


def refused(manifest: Path, path: Path, *options: str) -> tuple[str, str]:
    """Why it is not added, without its path, and what to do."""
    before = manifest.read_bytes()
    done = add(manifest, path, "--ship", "--name", "mine", *options)
    assert done.exit_code, done.output
    assert manifest.read_bytes() == before
    reason, hint = done.stderr.removeprefix(f"error: {path}: ").removeprefix("error: ").splitlines()
    return reason, hint.strip()


class TestLabelsInNames:
    """Nothing is guessed: a person says which part it is."""

    @pytest.mark.parametrize("form", ["folder", "zip", "tar"])
    def test_it_is_asked(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """With what each part would be, and the flag for it."""
        assert refused(manifest, _path(form, tmp_path, DIGITS)) == (
            "its recordings are called as '10_jackson_0.wav', and which part of the names is the label is not certain",
            "Say which: --label name:0 ('7', '10'), or --label name:1 ('jackson', 'theo'), "
            "or --label name:2 ('0', '1'); or --label none.",
        )

    @pytest.mark.parametrize(
        ("files", "label", "classes", "labels", "option"),
        [
            (DIGITS, "name:0", ("7", "10"), [1, 1, 1, 1, 0, 0, 0, 0], ["_", 0]),
            (DIGITS, "name:1", ("jackson", "theo"), [0, 0, 1, 1] * 2, ["_", 1]),
            (DIGITS, "name:-2", ("jackson", "theo"), [0, 0, 1, 1] * 2, ["_", -2]),
            (PETS, "name:0:-1", ("great_dane", "pug"), [0, 0, 0, 1, 1, 1], ["_", 0, -1]),
            (
                {name.replace("_", "-"): data for name, data in DIGITS.items()},
                "name:0",
                ("7", "10"),
                [1] * 4 + [0] * 4,
                ["-", 0],
            ),
            (
                {name.replace("_jackson", ".jackson"): SOUND for name in DIGITS if "jackson" in name},
                "name:.:0",
                ("7", "10"),
                [1, 1, 0, 0],
                [".", 0],
            ),
        ],
    )
    def test_it_is_said(
        self,
        manifest: Path,
        tmp_path: Path,
        files: Mapping[str, bytes],
        label: str,
        classes: tuple[str, ...],
        labels: list[int],
        option: list[Any],
    ) -> None:
        """Numbers are sorted as numbers; samples stay in the order of their names."""
        got = added(manifest, write(tmp_path / "made", files), "--label", label)

        assert (got.classes, got.train.labels.tolist()) == (classes, labels)
        assert load_manifest(manifest).datasets["mine"].options["label_split"] == option

    def test_there_is_none(self, manifest: Path, tmp_path: Path) -> None:
        """A person says so."""
        assert added(manifest, write(tmp_path / "made", DIGITS), "--label", "none").train.fields == ("recordings",)

    def test_folders_that_are_classes_need_no_word(self, manifest: Path, tmp_path: Path) -> None:
        """Unless a person says that a part of the name is."""
        path = write(tmp_path / "made", {f"{k}/{n}_{c}.png": picture(n) for k in "ab" for n in range(2) for c in "xy"})

        assert added(manifest, path).classes == ("a", "b")
        assert added(manifest, path, "--name", "other", "--label", "name:1").classes == ("a", "b")
        assert get("other", manifest=manifest, offline=True).classes == ("x", "y")

    def test_one_of_two_folders(self, manifest: Path, tmp_path: Path) -> None:
        """Both are one class together, unless a person says which is the class."""
        files = {f"{k}/{s}/{n}.png": picture(n) for k in ("cat", "dog") for s in ("s1", "s2") for n in range(2)}
        path = write(tmp_path / "made", files)

        assert added(manifest, path).classes == ("cat/s1", "cat/s2", "dog/s1", "dog/s2")
        assert added(manifest, path, "--name", "other", "--label", "folder:-2").classes is not None
        assert get("other", manifest=manifest, offline=True).classes == ("cat", "dog")

    @pytest.mark.parametrize(
        ("label", "reason"),
        [
            ("nmae:0", "--label nmae:0: it says no part of a name"),
            ("name:7", "--label name:7: member '10_jackson_0.wav': its name has 3 parts between '_', and label_split"),
            ("name:-:1", "--label name:-:1: member '10_jackson_0.wav': its name has 1 part between '-', and"),
            ("folder:-1", "--label folder:-1: member '10_jackson_0.wav': it is in no folder, and label_folder is [-1]"),
        ],
    )
    def test_a_slip_of_the_pen(self, manifest: Path, tmp_path: Path, label: str, reason: str) -> None:
        """Is refused before anything is written."""
        assert refused(manifest, write(tmp_path / "made", DIGITS), "--label", label)[0].startswith(reason)

    def test_a_part_that_all_have(self, manifest: Path, tmp_path: Path) -> None:
        """It is no label."""
        files = {f"img_{name}": data for name, data in DIGITS.items()}

        assert refused(manifest, write(tmp_path / "made", files), "--label", "name:0")[0] == (
            "--label name:0: all have the same there, 'img', so it is no label"
        )

    @pytest.mark.parametrize("names", [["a_1", "a_2", "a_3"], ["0001", "0002"], ["x", "y", "z"]])
    def test_names_that_only_count(self, manifest: Path, tmp_path: Path, names: list[str]) -> None:
        """Nothing is asked about them."""
        path = write(tmp_path / "made", {f"{name}.wav": SOUND for name in names})

        assert added(manifest, path).train.fields == ("recordings",)

    def test_tables_have_no_such_label(self, manifest: Path, tmp_path: Path) -> None:
        """What they have is a target."""
        path = tmp_path / "made.csv"
        path.write_text("a,b\n1,2\n3,4\n")

        assert refused(manifest, path, "--label", "name:0") == (
            "--label is of samples that are a file each, and made.csv is csv",
            "Leave it out; --target NAME is the column, or the array, that is the label.",
        )


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_splits_that_names_begin_with(manifest: Path, tmp_path: Path, form: str) -> None:
    """Where no folder is one."""
    files = {f"{split}_{kind}_{n}.png" for split in ("train", "test") for kind in ("a", "b") for n in range(3)}
    pictures = {name: picture(n) for n, name in enumerate(sorted(files))}
    got = added(manifest, _path(form, tmp_path, pictures), "--label", "name:1")

    assert list(load_manifest(manifest).datasets["mine"].splits) == ["train", "test"]
    assert got.train.labels.tolist() == got.test.labels.tolist() == [0, 0, 0, 1, 1, 1]


class TestBeside:
    """What lies beside samples may be their labels, or say which are which split."""

    @pytest.mark.parametrize("form", ["folder", "zip", "tar"])
    @pytest.mark.parametrize(
        ("name", "text", "count", "hint"),
        [
            (
                "train.txt",
                "cat/0.png\n./dog/1.png\ndog/0.png\n",
                "3",
                "If it is a split: `rows: {{{place}, match: name}}`",
            ),
            (
                "labels.csv",
                "image,label\n" + "".join(f"{name},1\n" for name in KINDS),
                "8",
                "If it has the labels in another column: "
                "`labels: {{{place}, format: csv, column: ..., join: {{column: image, match: name}}}}`",
            ),
            (
                "lists/all.txt",
                "".join(f"/home/me/{name} 1\n" for name in KINDS),
                "8",
                "If it has the labels in another column: `labels: {{{place}, format: csv, options: {{header: false, "
                "delimiter: whitespace}}, column: ..., join: {{column: 0, match: file}}}}`",
            ),
            (
                "labels.txt",
                "1\n2\n" * 4,
                "all",
                "If it has the labels in the order of the names: `labels: {{{place}, format: csv, options: ...}}`",
            ),
        ],
    )
    def test_a_list(
        self, manifest: Path, tmp_path: Path, form: str, name: str, text: str, count: str, hint: str
    ) -> None:
        """Is named, with what to write, and with the flag that leaves it out."""
        path = _path(form, tmp_path, {**KINDS, name: text.encode()})
        place = f"file: {name}" if form == "folder" else f"member: {name}"

        assert refused(manifest, path) == (
            f"{name!r} lists {count} of its 8 pictures, and may be their labels or a split",
            f"{hint.format(place=place)}. Or leave it out: --drop {name}.",
        )
        assert added(manifest, path, "--drop", name).train.labels.tolist() == [0] * 4 + [1] * 4

    @pytest.mark.parametrize(("name", "what"), [("setid.mat", "arrays"), ("more.zip", "an archive")])
    def test_arrays_and_archives(self, manifest: Path, tmp_path: Path, name: str, what: str) -> None:
        """They are data, too."""
        path = write(tmp_path / "made", {**KINDS, name: b"data"})
        may_be = "labels" if what == "arrays" else "more"

        assert refused(manifest, path)[0] == f"{name!r} is {what} beside its pictures, and may be {may_be}"
        assert len(added(manifest, path, "--drop", name).train) == 8

    def test_a_file_that_is_not_there(self, manifest: Path, tmp_path: Path) -> None:
        """Is no file to leave out."""
        path = write(tmp_path / "made", {**KINDS, "train.txt": b"cat/0.png"})

        assert refused(manifest, path, "--drop", "trian.txt")[0] == (
            "--drop trian.txt: there is no such file beside the pictures; did you mean 'train.txt'?"
        )

    @pytest.mark.parametrize("name", ["cat/0.png", "cat", "cat/"])
    def test_one_of_the_pictures(self, manifest: Path, tmp_path: Path, name: str) -> None:
        """Is a sample, and no file beside them."""
        assert refused(manifest, write(tmp_path / "made", KINDS), "--drop", name) == (
            f"--drop {name}: that is of the pictures, which are taken together",
            "Move it elsewhere, and add the rest.",
        )

    def test_litter_in_archives_is_counted(self, manifest: Path, tmp_path: Path) -> None:
        """It is named once, however much there is."""
        litter = {f"__MACOSX/cat/._{n}.png": b"x" for n in range(3)} | {"cat/.DS_Store": b"x", "Thumbs.db": b"x"}
        done = add(manifest, _path("zip", tmp_path, {**KINDS, **litter}), "--ship", "--name", "mine")

        assert done.exit_code == 0, done.output
        assert "left out: made.zip: 5 files of litter, such as '__MACOSX/cat/._0.png'" in done.stderr

    def test_many_others_are_counted(self, manifest: Path, tmp_path: Path) -> None:
        """By their endings."""
        files = {f"{kind:02}/{n}.png": picture(n) for kind in range(20) for n in range(2)}
        files |= {f"{kind:02}/0.xml": b"<a/>" for kind in range(20)}
        done = add(manifest, write(tmp_path / "made", files), "--ship", "--name", "mine")

        assert done.exit_code == 0, done.output
        assert done.stderr.splitlines()[0] == "left out: 20 files such as '00/0.xml': none of its pictures"

    def test_a_table_of_something_else(self, manifest: Path, tmp_path: Path) -> None:
        """It may be labels all the same."""
        path = write(tmp_path / "made", {**KINDS, "about.csv": b"name,number\nx,1\n"})

        assert refused(manifest, path) == (
            "'about.csv' is a table beside its pictures, and may be their labels or a split",
            "Add it by itself. Or leave it out: --drop about.csv.",
        )

    def test_a_list_of_each_split(self, manifest: Path, tmp_path: Path) -> None:
        """It has a line for each sample of its own."""
        files = {
            f"{split}/images/{n}.png": picture(n + 9 * (split == "test"))
            for split in ("train", "test")
            for n in range(4)
        }
        path = write(tmp_path / "made", {**files, "train/labels.txt": b"1\n2\n1\n2\n"})

        assert refused(manifest, path)[0].startswith("'train/labels.txt' lists all of its 8 pictures, and may be")


def test_folders_that_hold_a_part_of_each_sample(manifest: Path, tmp_path: Path) -> None:
    """Images and their masks are no two classes."""
    path = write(tmp_path / "made", {f"{kind}/{n}.png": picture(n) for kind in ("images", "masks") for n in range(4)})

    assert refused(manifest, path) == (
        "its folder 'images' is called as a part of samples is, and not as a class",
        "Add the folder of the inputs by itself; or say which folder is the class: --label folder:-1.",
    )
    assert added(manifest, path / "images").train.fields == ("images",)


def test_words_in_front_of_numbers(manifest: Path, tmp_path: Path) -> None:
    """Nothing stands between them by which they could be told apart, so a person is asked."""
    path = write(tmp_path / "made", {f"{kind}{n:03}.png": picture(n) for kind in ("cat", "dog") for n in range(3)})

    assert refused(manifest, path) == (
        "its pictures have names that begin with 'cat' and 'dog', and whether these are labels is not certain",
        "If they are, put those of each into a folder of its own; if not, --label none.",
    )
    assert added(manifest, path, "--label", "none").train.fields == ("images",)


class TestOptionsOfFolders:
    """`--option` holds for a folder of files as for an archive of them."""

    @pytest.mark.parametrize("form", ["folder", "zip"])
    def test_a_mode(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """All are converted, and the shape is that of the mode."""
        path = _path(form, tmp_path, {f"{kind}/{i}.png": picture(i) for kind in "ab" for i in range(3)})
        got = added(manifest, path, "--option", "mode=L")
        data = io.BytesIO(picture(1))
        np.testing.assert_array_equal(got.train.images[1], np.asarray(Image.open(data).convert("L")))

    @pytest.mark.parametrize("form", ["folder", "zip"])
    @pytest.mark.parametrize(("kind", "orientation"), [("JPEG", 6), ("JPEG", 3), ("PNG", 8), ("TIFF", 6)])
    def test_pictures_are_turned(self, manifest: Path, tmp_path: Path, form: str, kind: str, orientation: int) -> None:
        """The shape is that of the turned pictures, as Pillow has them."""
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = io.BytesIO()
        Image.fromarray(np.arange(120, dtype=np.uint8).reshape(5, 8, 3)).save(data, kind, exif=exif)
        files = {f"{pet}/{i}.{kind[:4].lower()}": data.getvalue() for pet in ("cat", "dog") for i in range(2)}
        path = _path(form, tmp_path, files)
        got = added(manifest, path, "--option", "orientation=apply")

        np.testing.assert_array_equal(got.train.images[0], np.asarray(ImageOps.exif_transpose(Image.open(data))))

    @pytest.mark.parametrize("form", ["folder", "zip"])
    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
    def test_an_encoding(self, manifest: Path, tmp_path: Path, form: str, encoding: str) -> None:
        """Texts are read by it, also where letters have two bytes."""
        files = {f"{kind}/{i}.txt": f"Größe {i}".encode(encoding) for kind in ("neg", "pos") for i in range(2)}
        got = added(manifest, _path(form, tmp_path, files), "--option", f"encoding={encoding}")

        assert list(got.train.texts) == ["Größe 0", "Größe 1"] * 2

    @pytest.mark.parametrize("form", ["folder", "zip"])
    def test_no_such_option(self, manifest: Path, tmp_path: Path, form: str) -> None:
        """A slip of the pen is not passed over."""
        path = _path(form, tmp_path, {f"{kind}/{i}.png": picture(i) for kind in "ab" for i in range(3)})

        assert refused(manifest, path, "--option", "modus=L") == (
            "--option modus: format 'images' has no such option; did you mean 'mode'?",
            "Correct it, or leave it out.",
        )


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_texts_whose_names_end_in_capitals(manifest: Path, tmp_path: Path, form: str) -> None:
    """As some programs of Windows write them, and others beside."""
    names = ("neg/0.TXT", "neg/1.TXT", "pos/0.TXT", "pos/1.txt")
    got = added(manifest, _path(form, tmp_path, {name: name.encode() for name in names}))

    assert got.classes
    labels = [got.classes[label] for label in got.train.labels]
    assert sorted(zip(got.train.texts, labels, strict=True)) == [(name, name[:3]) for name in names]


def test_an_option_is_named_as_it_is_typed(manifest: Path, tmp_path: Path) -> None:
    """And what is typed so reads the pictures."""
    names = [f"{pet}/{n}.png" for pet in ("cat", "dog") for n in range(3)]
    path = write(
        tmp_path / "made",
        {name: picture(n, kind="PNG", mode="P", transparency=bytes(256)) for n, name in enumerate(names)},
    )

    assert refused(manifest, path) == (
        f"{path}/cat/0.png: it has transparent pixels, and RGB has none",
        "To keep that: --option mode=RGBA. To take what is beneath: --option alpha=drop.",
    )
    assert added(manifest, path, "--option", "mode=RGBA").train.images.shape == (6, 6, 9, 4)
