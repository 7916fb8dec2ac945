"""texts: a member a sample, in sorted order, as the standard library reads the archive."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.helpers.add_world import add, update
from tests.helpers.format_writers import column, gzip_bomb, member, memory_below, put, read, split, tarred, zipped
from tests.helpers.yardstick import soon
from tinytorch_datasets import formats, get, load_manifest
from tinytorch_datasets.errors import ContentError, DecodeError, ManifestError
from tinytorch_datasets.readers.archives import members
from tinytorch_datasets.readers.archives.members import Pattern

Pack = Callable[[Mapping[str, bytes]], bytes]


def as_tar(members: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive, its folders in it as `tar c` writes them."""
    folders = {name.rpartition("/")[0] for name in members if "/" in name}
    infos = [member(folder, type=tarfile.DIRTYPE) for folder in sorted(folders)]
    return tarred(*infos, *(member(name, data) for name, data in members.items()), form=form)


PACKERS: dict[str, Pack] = {
    "zip": zipped,
    "stored zip": lambda members: zipped(members, zipfile.ZIP_STORED),
    "tar": as_tar,
    "GNU tar": lambda members: as_tar(members, tarfile.GNU_FORMAT),
    "tar.gz": lambda members: gzip.compress(as_tar(members)),
    "tar.bz2": lambda members: bz2.compress(as_tar(members)),
    "tar.xz": lambda members: lzma.compress(as_tar(members)),
}
every_archive = pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)


def decode(
    file: Path, samples: int, *patterns: str, fields: Sequence[str] = ("text", "folder", "name"), **options: Any
) -> dict[str, Any]:
    """The texts, folders and names of one split, and the parts of names if those are declared."""
    columns = [column(file, key, samples=samples, dtype="str") for key in fields]
    return read("texts", split(*columns, members=patterns), **options)


def texts_of(file: Path, samples: int, *patterns: str, **options: Any) -> list[str]:
    """The texts alone."""
    found: list[str] = decode(file, samples, *patterns, fields=("text",), **options)["train.text"]
    return found


class TestValues:
    """Each text is what the standard library takes out of the archive."""

    def test_real_reviews(self, realdata: Path) -> None:
        """2,000 film reviews in two folders, in the order of their names, as any file manager shows them."""
        file = realdata / "formats" / "texts" / "review_polarity.tar.gz"
        with tarfile.open(file) as packed:
            members = {info.name: packed.extractfile(info) for info in packed if info.name.endswith(".txt")}
            expected = {name: body.read().decode("ascii") for name, body in members.items() if body is not None}

        found = decode(file, 2000, "txt_sentoken/*/*.txt")

        assert found["train.name"] == sorted(expected)
        assert found["train.text"] == [expected[name] for name in sorted(expected)]
        assert [found["train.folder"].count(name) for name in ("neg", "pos")] == [1000, 1000]

    @pytest.mark.parametrize(
        "pack",
        [pytest.param(p, marks=() if name in ("zip", "tar.gz") else pytest.mark.slow) for name, p in PACKERS.items()],
        ids=PACKERS,
    )
    def test_any_order_in_any_archive(self, tmp_path: Path, pack: Pack) -> None:
        """Members come sorted by code points, whatever their order in the archive, over more than one block."""
        names = [f"train/{folder}/{n}_{n % 10}.txt" for folder in ("pos", "neg", "\u00e9") for n in range(1500)]
        shuffled = random.Random(0).sample(names, len(names))
        file = put(tmp_path / "file", pack({name: f"caf\u00e9 {name}\n".encode() for name in shuffled}))

        found = decode(file, 4500, "train/*/*.txt")

        assert found["train.name"] == sorted(names)
        assert found["train.text"] == [f"caf\u00e9 {name}\n" for name in sorted(names)]
        assert found["train.folder"][:1] + found["train.folder"][-1:] == ["neg", "\u00e9"]

    @every_archive
    def test_splits_of_one_archive(self, tmp_path: Path, pack: Pack) -> None:
        """Each has its own members, and what belongs to none is passed over: a readme, a picture, litter."""
        names = ["a/train/x/2.txt", "a/test/x/1.txt", "a/train/y/1.txt", "a/test/y/2.txt"]
        others = {
            "a/README": b"",
            "a/train/x/1.jpg": b"\xff",
            "a/train/x/._2.txt": b"\0",
            "__MACOSX/a/train/x/2.txt": b"",
        }
        file = put(tmp_path / "file", pack({**others, **{name: name.encode() for name in names}}))
        splits = [
            split(column(file, "text", split=name, samples=2, dtype="str"), members=(f"**/{name}/*/*.txt",))
            for name in ("train", "test")
        ]

        found = read("texts", *splits)

        assert found == {
            "train.text": ["a/train/x/2.txt", "a/train/y/1.txt"],
            "test.text": ["a/test/x/1.txt", "a/test/y/2.txt"],
        }

    @every_archive
    def test_names_come_in_their_declared_order(self, tmp_path: Path, pack: Pack) -> None:
        """And what one pattern matches at the pattern's place."""
        file = put(tmp_path / "file", pack({name: name.encode() for name in ("b/2", "b/1", "c", "a")}))

        assert texts_of(file, 4, "c", "b/*", "a") == ["c", "b/1", "b/2", "a"]

    @every_archive
    def test_members_that_are_compressed_themselves(self, tmp_path: Path, pack: Pack) -> None:
        """As files are: by their first bytes."""
        file = put(tmp_path / "file", pack({"a/1.gz": gzip.compress(b"one"), "a/2.txt": b"two"}))

        assert texts_of(file, 2, "a/*") == ["one", "two"]

    def test_files_of_a_folder(self, tmp_path: Path) -> None:
        """By the exact names that were found among the declared files; what else is there is none of it."""
        for name in ("neg/2.txt", "pos/1.txt", "pos/other.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(name)

        found = decode(tmp_path, 2, "neg/2.txt", "pos/1.txt")

        assert found == {
            "train.text": ["neg/2.txt", "pos/1.txt"],
            "train.folder": ["neg", "pos"],
            "train.name": ["neg/2.txt", "pos/1.txt"],
        }

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        """Is named; a pattern is none, because a folder may hold what nobody declared."""
        put(tmp_path / "1.txt", "one")

        with pytest.raises(DecodeError) as caught:
            decode(tmp_path, 1, "*.txt")

        assert (caught.value.path, caught.value.reason) == (tmp_path, "it is a folder, and has no file '*.txt'")

    @pytest.mark.parametrize(("level", "folder"), [(-1, "c"), (-2, "b"), (0, "a"), (1, "b")])
    def test_the_folder_of_the_label(self, tmp_path: Path, level: int, folder: str) -> None:
        """Counted from the file, or from the outermost."""
        file = put(tmp_path / "file", zipped({"a/b/c/1.txt": b""}))

        assert decode(file, 1, "**/*.txt", label_folder=level)["train.folder"] == [folder]

    def test_several_folders_are_one_label(self, tmp_path: Path) -> None:
        """With a slash between them, in the order that is declared."""
        file = put(tmp_path / "file", zipped({"a/b/c/1.txt": b""}))

        assert decode(file, 1, "**/*.txt", label_folder=[-2, -1])["train.folder"] == ["b/c"]

    def test_all_folders_below_one_are_one_label(self, tmp_path: Path) -> None:
        """However many they are: SUN397 has `a/abbey` beside `a/athletic_field/outdoor`."""
        file = put(tmp_path / "file", zipped({"SUN/a/abbey/1.txt": b"", "SUN/a/field/outdoor/2.txt": b""}))

        found = decode(file, 2, "SUN/**/*.txt", label_folder="SUN")

        assert found["train.folder"] == ["a/abbey", "a/field/outdoor"]

    @pytest.mark.parametrize(
        ("name", "label_split", "part"),
        [
            ("7_jackson_32.txt", ["_", 0], "7"),
            ("7_jackson_32.txt", ["_", 1], "jackson"),
            ("7_jackson_32.txt", ["_", -1], "32"),
            ("great_pyrenees_12.txt", ["_", 0, -1], "great_pyrenees"),
            ("great_pyrenees_12.txt", ["_", 1, 3], "pyrenees_12"),
            ("cat.0.txt", [".", 0], "cat"),
            ("a_b/cat - 1", [" - ", 0], "cat"),
        ],
    )
    def test_a_part_of_the_name(self, tmp_path: Path, name: str, label_split: list[str | int], part: str) -> None:
        """Between separators, counted from either end, as Python splits and slices."""
        file = put(tmp_path / "file", zipped({name: b""}))

        found = decode(file, 1, "**/*", fields=("part",), label_split=label_split)

        assert found["train.part"] == [part]

    def test_labels_are_parts_of_names_if_those_are_declared(self, tmp_path: Path) -> None:
        """Of a field with classes, whatever its key."""
        file = put(tmp_path / "file", zipped({"a/pos_1": b"", "a/neg_1": b""}))
        labels = column(file, "labels", samples=2, dtype="int64", classes=("neg", "pos"))

        found = read("texts", split(labels, members=("*/*",)), label_split=["_", 0])

        assert found["train.labels"] == ["neg", "pos"]

    @every_archive
    def test_members_that_are_left_out(self, tmp_path: Path, pack: Pack) -> None:
        """By their exact names; what is left is all that counts."""
        file = put(tmp_path / "file", pack({f"a/{n}": b"" for n in range(5)}))

        assert decode(file, 3, "a/*", skip=["a/1", "a/4"])["train.name"] == ["a/0", "a/2", "a/3"]

    def test_labels_are_the_names_of_folders(self, tmp_path: Path) -> None:
        """Of a field with classes, whatever its key; which class a name is, the declaration says."""
        file = put(tmp_path / "file", zipped({"pos/1": b"", "neg/1": b""}))
        labels = column(file, "labels", samples=2, dtype="int64", classes=("neg", "pos"))

        assert read("texts", split(labels, members=("*/*",)))["train.labels"] == ["neg", "pos"]

    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le", "koi8-r", "shift_jis"])
    def test_encodings(self, tmp_path: Path, encoding: str) -> None:
        """As Python calls them."""
        text = {"koi8-r": "\u041f\u0440\u0438\u0432\u0435\u0442", "shift_jis": "\u3053\u3093"}.get(
            encoding, "caf\u00e9"
        )
        file = put(tmp_path / "file", zipped({"1": text.encode(encoding)}))

        assert texts_of(file, 1, "*", encoding=encoding) == [text]

    def test_ends_of_lines_and_a_bom(self, tmp_path: Path) -> None:
        """LF, as Python reads text, unless they are to be kept; a byte order mark is never text."""
        written = "\ufeffa\r\nb\rc\nd\r\n\r\n"
        file = put(tmp_path / "file", zipped({"1": written.encode()}))

        assert texts_of(file, 1, "*") == [io.TextIOWrapper(io.BytesIO(written[1:].encode())).read()]
        assert texts_of(file, 1, "*", newlines="keep") == [written[1:]]

    @pytest.mark.parametrize("pack", [pytest.param(zipped, marks=pytest.mark.slow), as_tar])
    def test_texts_that_memory_does_not_hold(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Pack) -> None:
        """Those of a tar archive are sorted by way of a temporary file."""
        monkeypatch.setattr(members, "HELD_BYTES", 1 << 20)
        body = random.Random(0).randbytes(1 << 19).hex().encode()
        file = put(tmp_path / "file", pack({f"{n}": body for n in reversed(range(40))}))
        text = column(file, "text", samples=40, dtype="str")
        count = 0

        with memory_below(12):
            for block in formats.of("texts").decode([split(text, members=("*",))]):
                count += len(block.values)

        assert count == 40


class Case(NamedTuple):
    """One hostile archive, declared as two texts, the reason of its refusal, and the harmless twin."""

    hostile: Callable[[], bytes]
    reason: str | Callable[[int], str]
    twin: Callable[[], bytes]
    error: type[DecodeError] = DecodeError
    members: tuple[str, ...] = ("*/*",)
    options: Mapping[str, Any] = {}
    hint: str | None = None
    form: str = "texts"


ENCODING = "If it is another encoding, declare it: options: {encoding: cp1252}, or latin-1, or another."
PLACES = "must be a separator, and one number or two: which part, or from which to before which"
ONCE = "A member is one sample of one split: name it once."


def link(kind: bytes) -> bytes:
    """A tar archive with a text, and beside it a link."""
    return tarred(member("a/1", b"one"), member("a/2", type=kind, linkname="/etc/passwd"))


def linked_zip() -> bytes:
    """A zip archive with a symbolic link, as Info-ZIP packs it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        info = zipfile.ZipInfo("a/1")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        packed.writestr(info, "/etc/passwd")
    return out.getvalue()


CASES = {
    "not in the encoding": Case(
        lambda: zipped({"a/1": b"caf\xe9 "}),
        "member 'a/1': byte 3 is not utf-8: b'\\xe9 '",
        lambda: zipped({"a/1": b"caf\xc3\xa9 "}),
        hint=ENCODING,
    ),
    "a picture": Case(
        lambda: zipped({"a/1": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"}),
        "member 'a/1': line 3 has a NUL character, so it is no text in latin-1",
        lambda: zipped({"a/1": b"\x89PNG\r\n\x1a\n"}),
        options={"encoding": "latin-1"},
    ),
    "more than declared": Case(
        lambda: zipped({"a/1": b"", "a/2": b"", "a/3": b""}),
        "it has more texts than the 2 that train declares: 'a/3' is one more",
        lambda: zipped({"a/1": b"", "a/2": b""}),
        ContentError,
    ),
    "nothing that matches": Case(
        lambda: zipped({"A/1": b""}),
        "it has no member that matches 'a/*'; did you mean 'A/1'?",
        lambda: zipped({"a/1": b""}),
        members=("a/*",),
    ),
    "no such member": Case(
        lambda: zipped({"a/text": b""}),
        "it has no member 'a/texts'; did you mean 'a/text'?",
        lambda: zipped({"a/texts": b""}),
        members=("a/texts",),
    ),
    "no such member of a tar": Case(
        lambda: as_tar({"a/text": b""}),
        "it has no member 'a/texts'; did you mean 'a/text'?",
        lambda: as_tar({"a/texts": b""}),
        members=("a/texts",),
    ),
    "named twice": Case(
        lambda: zipped({"a/1": b""}),
        "member 'a/1' is named twice, by '*/*' of train and by 'a/1' of train",
        lambda: zipped({"a/1": b"", "b": b""}),
        members=("*/*", "a/1"),
        hint=ONCE,
    ),
    "a name twice": Case(
        lambda: tarred(member("a/1"), member("a/1")), "member 'a/1' is in it twice", lambda: tarred(member("a/1"))
    ),
    "a symbolic link": Case(
        lambda: link(tarfile.SYMTYPE), "member 'a/2' is a symbolic link, not a file", lambda: link(tarfile.DIRTYPE)
    ),
    "a hard link": Case(
        lambda: link(tarfile.LNKTYPE), "member 'a/2' is a hard link, not a file", lambda: link(tarfile.DIRTYPE)
    ),
    "a device": Case(
        lambda: link(tarfile.CHRTYPE), "member 'a/2' is a device, not a file", lambda: link(tarfile.DIRTYPE)
    ),
    "a symbolic link in a zip": Case(
        linked_zip, "member 'a/1': it is a link or a device, not a file", lambda: zipped({"a/1": b"/etc/passwd"})
    ),
    "no archive": Case(
        lambda: b"one\ntwo\n",
        "it ends inside a tar header: 512 bytes expected, 8 came",
        lambda: as_tar({"a/1": b"one"}),
    ),
    "a bomb in a zip": Case(
        lambda: zipped({"a/1": b"a" * (64 << 20)}),
        lambda size: (
            f"member 'a/1': up to here, its members come to more than {32 * size + (1 << 20):,} bytes, "
            f"but the file has {size:,}"
        ),
        lambda: zipped({"a/1": b"a" * (1 << 20)}),
        ContentError,
    ),
    "a bomb of two": Case(
        lambda: zipped({"a/1": b"a" * (1 << 20), "a/2": b"a" * (1 << 20)}),
        lambda size: (
            f"member 'a/2': up to here, its members come to more than {32 * size + (1 << 20):,} bytes, "
            f"but the file has {size:,}"
        ),
        lambda: zipped({"a/1": b"a" * (1 << 20), "a/2": b"a"}),
        ContentError,
    ),
    "a bomb in a member": Case(
        lambda: zipped({"a/1": gzip_bomb(b"a", 64 << 20)}),
        lambda size: (
            f"member 'a/1': up to here, its members come to more than {32 * size + (1 << 20):,} bytes, "
            f"but the file has {size:,}"
        ),
        lambda: zipped({"a/1": gzip.compress(b"a" * (1 << 20))}),
        ContentError,
    ),
    "a bomb around a tar": Case(
        lambda: gzip.compress(as_tar({"b": b"\0" * (64 << 20), "a/1": b""})),
        lambda size: f"more than {32 * size + (1 << 20) + 8192:,} bytes come out of it, but the file has {size:,}",
        lambda: gzip.compress(as_tar({"b": b"\0" * (1 << 20), "a/1": b""})),
        ContentError,
    ),
    "out of the archive": Case(
        lambda: as_tar({"a/../../1": b""}),
        "member 'a/../../1' has a name that leads out of the archive, or nowhere",
        lambda: as_tar({"a/1": b""}),
        members=("a/**",),
    ),
    "a name from the root": Case(
        lambda: zipped({"/a/1": b""}),
        "member '/a/1' has a name that leads out of the archive, or nowhere",
        lambda: zipped({"a/1": b""}),
        members=("**/*",),
    ),
    "names that differ in case": Case(
        lambda: zipped({"a/Cat": b"", "a/cat": b""}),
        "members 'a/Cat' and 'a/cat' differ in case alone",
        lambda: zipped({"a/Cat": b"", "a/Bat": b""}),
        hint="If both are samples, name each of them under `members`.",
    ),
    "names in two forms of Unicode": Case(
        lambda: zipped({"a/e\u0301": b"", "a/\u00e9": b""}),
        "members 'a/e\u0301' and 'a/\u00e9' differ in case, or in their form of Unicode, alone",
        lambda: zipped({"a/e\u0301": b"", "a/e": b""}),
        hint="If both are samples, name each of them under `members`.",
    ),
    "nothing to leave out": Case(
        lambda: zipped({"a/1": b""}),
        "member 'a/2', which `skip` leaves out, is no member of a split",
        lambda: zipped({"a/1": b"", "a/2": b""}),
        options={"skip": ["a/2"]},
    ),
    "no such part of the name": Case(
        lambda: zipped({"a/b_1": b""}),
        "member 'a/b_1': its name has 2 parts between '_', and label_split is ['_', 2]",
        lambda: zipped({"a/b_1_2": b""}),
        options={"label_split": ["_", 2]},
    ),
    "fewer parts of the name": Case(
        lambda: zipped({"a/b_1": b""}),
        "member 'a/b_1': its name has 2 parts between '_', and label_split is ['_', 0, 3]",
        lambda: zipped({"a/b_1_2": b""}),
        options={"label_split": ["_", 0, 3]},
    ),
    "no part of the name": Case(
        lambda: zipped({"a/b": b""}),
        "member 'a/b': its name has 1 part between '_', and label_split is ['_', 0, -1]",
        lambda: zipped({"a/b_1": b""}),
        options={"label_split": ["_", 0, -1]},
    ),
    "no folder": Case(
        lambda: zipped({"1": b""}),
        "member '1': it is in no folder, and label_folder is -1",
        lambda: zipped({"a/1": b""}),
        members=("**/*",),
    ),
    "not so many folders": Case(
        lambda: zipped({"a/1": b""}),
        "member 'a/1': it is in one folder, and label_folder is -2",
        lambda: zipped({"b/a/1": b""}),
        members=("**/*",),
        options={"label_folder": -2},
    ),
    "no folder below one": Case(
        lambda: zipped({"a/1": b""}),
        "member 'a/1': it is in no folder below 'a', which label_folder names",
        lambda: zipped({"a/b/1": b""}),
        members=("**/*",),
        options={"label_folder": "a"},
    ),
}
CASES = {f"texts, {name}": case for name, case in CASES.items()}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def fields_of(case: Case) -> tuple[str, ...]:
    """The keys of the fields that are asked for: with a part of the name where one is declared, which not all have."""
    return ("text", "folder", "name", *(["part"] if "label_split" in case.options else []))


def test_a_member_to_leave_out_of_two_archives(tmp_path: Path) -> None:
    """Which of the two is meant is not guessed."""
    files = [put(tmp_path / name, zipped({"1": b"", "2": b""})) for name in ("x", "y")]
    splits = [split(column(file, "text", split=file.name, samples=1, dtype="str"), members=("*",)) for file in files]

    with pytest.raises(DecodeError) as caught:
        read("texts", *splits, skip=["2"])

    assert caught.value.reason == "member '2', which `skip` leaves out, is in 2 of the files"
    assert caught.value.keys == ("options", "skip", 0)


@every
def test_the_hostile_one_is_refused(case: Case, tmp_path: Path) -> None:
    """In these words, by this class, soon, and in little memory."""
    data = case.hostile()
    file = put(tmp_path / "file", data)

    with soon(clock=time.perf_counter), pytest.raises(DecodeError) as caught, memory_below(24):
        decode(file, 2, *case.members, fields=fields_of(case), **case.options)

    assert caught.value.reason == (case.reason(len(data)) if callable(case.reason) else case.reason)
    assert (type(caught.value), caught.value.hint) == (case.error, case.hint)


@every
def test_its_harmless_twin_is_read(case: Case, tmp_path: Path) -> None:
    """So that refusing is not just being broken."""
    members = case.members if case.hint != ONCE else case.members[:1]

    found = decode(put(tmp_path / "file", case.twin()), 2, *members, fields=fields_of(case), **case.options)

    assert found["train.text"]


def test_a_member_of_two_splits_is_refused(tmp_path: Path) -> None:
    """A test set must not be what was trained on."""
    file = put(tmp_path / "file", zipped({"a/1": b""}))
    splits = [split(column(file, "text", split=name, samples=1, dtype="str"), members=("a/*",)) for name in ("x", "y")]

    with pytest.raises(DecodeError) as caught:
        read("texts", *splits)

    assert caught.value.reason == "member 'a/1' is named twice, by 'a/*' of x and by 'a/*' of y"


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"key": "text", "dtype": "int64"}, "train.images is text, and declared as int64"),
        ({"key": "folder", "dtype": "uint8"}, "train.images is the folder, which is text, and declared as uint8"),
        ({"dtype": "str", "per": "split"}, "train.images belongs to the split as a whole, and each text is a sample"),
    ],
)
def test_what_a_field_cannot_be(tmp_path: Path, declared: dict[str, Any], reason: str) -> None:
    """All that there is, is text."""
    file = put(tmp_path / "file", zipped({"a/1": b""}))

    with pytest.raises(ContentError) as caught:
        read("texts", split(column(file, **declared), members=("*/*",)))

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("*", ["a", ".b", "\u00e9\n"], ["a/b"]),
        ("a/*", ["a/b"], ["a", "a/b/c", "b/a/b"]),
        ("*.txt", [".txt", "a.txt"], ["a.TXT", "a.txt.gz", "a/b.txt"]),
        ("a*b*c", ["abc", "axbxc", "abcbc"], ["ab", "acb", "abcd", "ac"]),
        ("a*a", ["aa", "aba"], ["a"]),
        ("**/a", ["a", "b/a", "c/b/a"], ["ab", "a/b"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a/c"]),
        ("**", ["a", "a/b"], []),
        ("a/**/b/**/c", ["a/b/c", "a/x/b/y/z/c", "a/b/b/c"], ["a/c", "a/b", "b/c"]),
        ("a/**/*/b", ["a/x/b", "a/x/y/b"], ["a/b"]),
        ("**/x/**/x/*", ["x/x/1", "a/x/b/x/1"], ["x/1", "x/x"]),
        ("[ab]?.txt", ["[ab]?.txt"], ["ab.txt"]),
    ],
)
def test_patterns(pattern: str, matched: list[str], others: list[str]) -> None:
    """A star stays in its folder, two stand for folders; nothing else is special."""
    assert [name for name in matched + others if Pattern(pattern).matches(name)] == matched


def test_a_pattern_of_many_stars_takes_no_longer() -> None:
    """Where a regular expression would try every way to share the letters."""
    with soon(clock=time.perf_counter):
        assert not Pattern("*a" * 200 + "b").matches("a" * 60_000)
        assert not Pattern("**/a/" * 200 + "b").matches("/".join("a" * 4_000))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"label_folder": []}, (("label_folder",), "must list folders, each once")),
        ({"label_folder": [-1, -1]}, (("label_folder",), "must list folders, each once")),
        ({"label_folder": "/"}, (("label_folder",), "must name a folder, is none")),
        ({"label_split": ["_"]}, (("label_split",), PLACES)),
        ({"label_split": ["", 0]}, (("label_split",), PLACES)),
        ({"label_split": ["_", "0"]}, (("label_split",), PLACES)),
        ({"label_split": [0, 0]}, (("label_split",), PLACES)),
        ({"skip": ["a", "b", "a"]}, (("skip", 2), "names 'a' twice")),
    ],
)
def test_what_is_wrong_with_options(options: dict[str, Any], problem: Any) -> None:
    """Found in the manifest, before anything is fetched."""
    assert list(formats.of("texts").check(options, (), ())) == [problem]


def test_an_encoding_that_is_none(tmp_path: Path) -> None:
    """The manifest's check says so, before anything is fetched."""
    problems = list(formats.of("texts").check({"encoding": "rot13"}, (), ()))

    assert problems == [(("encoding",), "no encoding of text is called 'rot13'")]


def declare(folder: Path, files: Mapping[str, bytes], **entry: Any) -> Path:
    """A manifest of one data set, `mine`, whose files are there."""
    for name, data in files.items():
        path = folder / "datasets" / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    facts = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    about = {"title": "T", "status": "shipped", "format": "texts", "license": "CC0-1.0", "source": "here"}
    fields = {
        "texts": {"dtype": "str"},
        "labels": {"dtype": "int64", "classes": ["bad", "good"], "values": ["neg", "pos"]},
    }
    plain = {"version": 1, "datasets": {"mine": {**about, "fields": fields, **entry, "files": facts}}}
    return put(folder / "datasets.yaml", yaml.safe_dump(plain, sort_keys=False))


SMALL = {"pos/b.txt": b"fine", "neg/c.txt": b"dull", "pos/a.txt": b"good", "README.txt": b"x"}


class TestManifests:
    """What is declared by YAML alone, and what is wrong with it before anything is read."""

    @pytest.mark.parametrize("pack", [zipped, as_tar])
    def test_an_archive(self, tmp_path: Path, home: Path, pack: Pack) -> None:
        """Labels are the positions of the classes for whose folders they stand."""
        splits = {"train": {"samples": 3, "file": "a.zip", "members": ["*/*.txt"], "texts": "text", "labels": "folder"}}
        manifest = declare(tmp_path, {"a.zip": pack(SMALL)}, splits=splits)

        data = get("mine", manifest=manifest, home=home, offline=True)

        assert (data.train.labels.tolist(), list(data.train.texts)) == ([0, 1, 1], ["dull", "good", "fine"])

    def test_files_in_folders(self, tmp_path: Path, home: Path) -> None:
        """A split that names no archive is of declared files: a file that is only there is none of them."""
        splits = {"train": {"samples": 3, "members": ["*/*.txt"], "where": "name"}}
        fields = {"texts": {"dtype": "str"}, "where": {"dtype": "str"}}
        manifest = declare(tmp_path, SMALL, splits=splits, fields=fields)
        put(tmp_path / "datasets" / "mine" / "pos" / "z.txt", "undeclared")

        data = get("mine", manifest=manifest, home=home, offline=True)

        assert list(data.train.where) == ["neg/c.txt", "pos/a.txt", "pos/b.txt"]
        assert list(data.train.texts) == ["dull", "good", "fine"]

    def test_a_file_that_is_no_text_is_named(self, tmp_path: Path, home: Path) -> None:
        """By its own path, with the line of the manifest."""
        splits = {"train": {"samples": 1, "members": ["pos/*.txt"]}}
        manifest = declare(tmp_path, {"pos/b.txt": b"caf\xe9"}, splits=splits)

        with pytest.raises(DecodeError) as caught:
            get("mine", manifest=manifest, home=home, offline=True)

        assert (caught.value.path.name, caught.value.reason) == ("b.txt", "byte 3 is not utf-8: b'\\xe9'")

    @pytest.mark.parametrize(
        ("split", "problem"),
        [
            (
                {"members": ["pos/*.text"]},
                "mine.splits.train.members[0]: 'pos/*.text' matches no file under files; did you mean 'pos/b.txt'?",
            ),
            (
                {"members": ["pos/a.text"]},
                "mine.splits.train.members[0]: 'pos/a.text' is not under files; did you mean 'pos/a.txt'?",
            ),
            (
                {"members": ["*/*.txt", "pos/a.txt"]},
                "mine.splits.train.members: member 'pos/a.txt' is named twice, by '*/*.txt' and by 'pos/a.txt'",
            ),
            (
                {"members": ["pos/**.txt"]},
                "mine.splits.train.members[0]: has two stars that do not stand alone between slashes: 'pos/**.txt'",
            ),
            ({"members": ["../*.txt"]}, "mine.splits.train.members[0]: leaves its folder: '../*.txt'"),
            (
                {"members": ["*/*.txt"], "texts": {"file": "pos/a.txt"}},
                "mine.splits.train: names no file for the field 'labels'",
            ),
            (
                {"members": ["*/*.txt"], "labels": {"format": "csv"}},
                "mine.splits.train: names no file for the field 'labels'",
            ),
            ({}, "mine.splits.train: names no members: format 'texts' has several in one archive"),
        ],
    )
    def test_what_is_wrong_with_members(self, tmp_path: Path, split: dict[str, Any], problem: str) -> None:
        """With line and guess."""
        manifest = declare(tmp_path, SMALL, splits={"train": {"samples": 3, **split}})

        with pytest.raises(ManifestError) as caught:
            load_manifest(manifest)

        assert problem in [line.partition(": ")[2] for line in str(caught.value).splitlines()]


IMDB = [f"aclImdb/{split}/{kind}/{n}_7.txt" for split in ("train", "test") for kind in ("pos", "neg") for n in range(9)]
BESIDE = {"aclImdb/README": b"read", "aclImdb/train/unsup/1_0.txt": b"?", "aclImdb/train/urls_pos.txt": b"http"}
NEWS = [
    f"20news-bydate-{split}/{group}/{n}"
    for split in ("train", "test")
    for group in ("alt.atheism", "sci.space")
    for n in range(49960, 49965)
]


class TestAdd:
    """`add` recognizes archives of texts whose folders are their classes."""

    @every_archive
    def test_the_layout_of_imdb(self, manifest: Path, tmp_path: Path, pack: Pack) -> None:
        """Splits by their folders; what only one of them has is left out, and named."""
        file = put(tmp_path / "reviews", pack({**BESIDE, **{name: name.encode() for name in IMDB}}))

        added = add(manifest, file, "--ship", "--name", "mine")

        assert added.exit_code == 0, added.output
        assert "'aclImdb/README': no text in a folder that every split has" in added.stderr
        assert "'aclImdb/train/unsup/1_0.txt': no text in a folder that every split has" in added.stderr
        data = get("mine", manifest=manifest, offline=True)
        classes = data.classes or ()
        assert (classes, list(data)) == (("neg", "pos"), ["train", "test"])
        for split_name, of in (("train", data.train), ("test", data.test)):
            names = sorted(name for name in IMDB if f"/{split_name}/" in name)
            assert list(of.texts) == names
            assert [classes[label] for label in of.labels] == [name.split("/")[2] for name in names]

    @pytest.mark.parametrize("pack", [zipped, lambda members: gzip.compress(as_tar(members))])
    def test_the_layout_of_newsgroups(self, manifest: Path, tmp_path: Path, pack: Pack) -> None:
        """Files whose names are numbers, in folders whose names have dots."""
        file = put(tmp_path / "news", pack({name: name.encode() for name in NEWS}))

        added = add(manifest, file, "--ship", "--name", "mine")

        assert added.exit_code == 0, added.output
        data = get("mine", manifest=manifest, offline=True)
        assert (data.classes, len(data.train), len(data.test)) == (("alt.atheism", "sci.space"), 10, 10)

    @pytest.mark.slow
    def test_real_reviews(self, manifest: Path, realdata: Path) -> None:
        """All of them, and not the readme beside them."""
        file = realdata / "formats" / "texts" / "review_polarity.tar.gz"

        added = add(manifest, file, "--ship", "--name", "mine")

        assert added.exit_code == 0, added.output
        split_entry = load_manifest(manifest).datasets["mine"].splits["train"]
        assert (split_entry.samples, split_entry.members) == (2000, ("txt_sentoken/*/*.txt",))

    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            (
                {"a/pos/1.txt": b"caf\xe9 ", "a/neg/1.txt": b"b"},
                "member 'a/pos/1.txt': byte 3 is not utf-8: b'\\xe9 '",
            ),
            (
                {"a/pos/1.txt": b"a", "a/neg/1": b"b"},
                "its texts in a end in '' and in '.txt'",
            ),
        ],
    )
    @pytest.mark.parametrize("pack", [zipped, as_tar])
    def test_what_is_refused(
        self, manifest: Path, tmp_path: Path, members: dict[str, bytes], reason: str, pack: Pack
    ) -> None:
        """By name, and nothing is written."""
        before = manifest.read_bytes()

        added = add(manifest, put(tmp_path / "texts", pack(members)), "--ship", "--name", "mine")

        assert (added.exit_code, manifest.read_bytes()) == (1, before)
        assert reason in added.stderr

    def test_what_is_named_as_texts_are_and_is_none(self, manifest: Path, tmp_path: Path) -> None:
        """No pattern tells it from them."""
        members = {"a/pos/1.txt": b"a", "a/neg/1.txt": b"b", "a/neg/2.txt": b"\0\1"}

        added = add(manifest, put(tmp_path / "texts.zip", zipped(members)), "--ship", "--name", "mine")

        assert added.exit_code == 1
        assert "in the folders of a, other files are named as its texts are" in added.stderr

    @pytest.mark.parametrize(
        ("members", "hint"),
        [
            ({"1.txt": b"a", "2.txt": b"b"}, "To have each file as a sample: --format texts."),
            ({"a/1.txt": b"a", "a/2.txt": b"b"}, "To have each file as a sample: --format texts."),
            ({"a/x/1.csv": b"1,2", "a/y/1.csv": b"3,4"}, "Say which split each is: --split NAME=FILE."),
            ({"a/x/1.bin": b"\0\1\2", "a/y/1.bin": b"\0\1\3"}, "or leave it out: --drop a/x/1.bin."),
        ],
    )
    @pytest.mark.parametrize("pack", [zipped, as_tar])
    def test_other_archives_are_not_taken_for_texts(
        self, manifest: Path, tmp_path: Path, members: dict[str, bytes], hint: str, pack: Pack
    ) -> None:
        """They are refused, with what to do."""
        added = add(manifest, put(tmp_path / "file", pack(members)), "--ship", "--name", "mine")

        assert added.exit_code == 1
        assert hint in added.stderr

    def test_a_folder_of_texts(self, manifest: Path, tmp_path: Path) -> None:
        """Each file is declared, and each is a sample."""
        for name in IMDB:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

        added = add(manifest, tmp_path / "aclImdb", "--ship", "--name", "mine")

        assert added.exit_code == 0, added.output
        entry = load_manifest(manifest).datasets["mine"]
        assert (entry.splits["train"].file, entry.splits["train"].members) == (None, ("train/*/*.txt",))
        assert len(entry.files) == len(IMDB)
        data = get("mine", manifest=manifest, offline=True)
        assert list(data.test.texts) == sorted(name for name in IMDB if "/test/" in name)
        assert (data.classes, data.train.labels.tolist()) == (("neg", "pos"), [0] * 9 + [1] * 9)

    @pytest.mark.parametrize(
        ("others", "reason", "code"),
        [
            ({"notes.txt": b"a"}, "left out: 'notes.txt': no text in a folder that every split has", 0),
            ({"doc/a/1.txt": b"a", "doc/b/1.txt": b"b"}, "which folders are its classes is not certain: those in", 1),
        ],
    )
    def test_a_folder_of_texts_and_others(
        self, manifest: Path, tmp_path: Path, others: dict[str, bytes], reason: str, code: int
    ) -> None:
        """What they are is not guessed; what is none is named."""
        for name, data in {"x/pos/1.txt": b"a", "x/neg/1.txt": b"b", **others}.items():
            path = tmp_path / "made" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

        added = add(manifest, tmp_path / "made", "--ship", "--name", "mine")

        assert added.exit_code == code
        assert reason in added.stderr

    @pytest.mark.parametrize("is_packed", [True, False])
    def test_an_update_counts_the_texts(self, tmp_path: Path, home: Path, is_packed: bool) -> None:
        """By the patterns of the entry, in an archive and in folders."""
        split_entry = {"samples": 3, "members": ["*/*.txt"], **({"file": "a.zip"} if is_packed else {})}
        files = {"a.zip": zipped(SMALL)} if is_packed else SMALL
        manifest = declare(tmp_path, files, splits={"train": split_entry})
        more = {"a.zip": zipped({**SMALL, "neg/z.txt": b"bad"})} if is_packed else {"neg/c.txt": b"very dull"}
        for name in more:
            (tmp_path / "datasets" / "mine" / name).write_bytes(more[name])

        done = update(manifest, "mine")

        assert done.exit_code == 0, done.output
        data = get("mine", manifest=manifest, home=home, offline=True)
        assert data.train.labels.tolist() == ([0, 0, 1, 1] if is_packed else [0, 1, 1])
        assert next(iter(data.train.texts)) == ("dull" if is_packed else "very dull")
