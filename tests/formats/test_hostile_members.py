"""Archives that lie, lead elsewhere or hide something, with samples of every kind that archives have.

Each is refused by `get` and by `add`, in one sentence that names the member, and nothing is written.
"""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.add.test_arrays import hdf5, mat
from tests.add.test_images import picture
from tests.formats.test_audio import wav
from tests.helpers.add_world import add
from tests.helpers.declared import made
from tests.helpers.format_writers import COMPRESSORS, member, memory_below, tarred, zipped
from tests.helpers.yardstick import soon
from tinytorch_datasets.errors import DecodeError

VALUES = np.arange(12, dtype="u1").reshape(3, 4)
LABELS = np.arange(3) % 2
TWO_MEMBERS = "splits: {train: {samples: 2, file: all.zip, members: ['**/*.%s']}}"
ONE_MEMBER = "fields: {x: {dtype: uint8, shape: [4]}}\nsplits: {train: {samples: 3, file: all.zip, member: %s}}"


class Kind(NamedTuple):
    """A format: the ending of its files, one that is whole, and how two of them, or one, are declared."""

    ending: str
    good: bytes
    entry: str
    is_slow: bool

    @property
    def is_a_sample(self) -> bool:
        """Whether each member is one."""
        return "members" in self.entry

    def declared(self, name: str) -> str:
        """The entry, of which `name` is a member."""
        return self.entry % (self.ending if self.is_a_sample else name)


KINDS = {
    "images": Kind(
        "png",
        picture(),
        f"format: images\nfields: {{images: {{dtype: uint8, shape: [6, 9, 3]}}}}\n{TWO_MEMBERS}",
        is_slow=False,
    ),
    "audio": Kind(
        "wav",
        wav(np.arange(9, dtype="int16")),
        f"format: audio\nfields: {{sounds: {{dtype: int16, shape: [9]}}}}\n{TWO_MEMBERS}",
        is_slow=True,
    ),
    "mat": Kind("mat", mat(x=VALUES, y=LABELS), f"format: mat\n{ONE_MEMBER}", is_slow=False),
    "hdf5": Kind("h5", hdf5(x=VALUES, y=LABELS), f"format: hdf5\n{ONE_MEMBER}", is_slow=True),
    "records": Kind(
        "bin",
        VALUES.tobytes(),
        f"format: records\noptions: {{record: [{{key: x, dtype: uint8, shape: [4]}}]}}\n{ONE_MEMBER}",
        is_slow=True,
    ),
}


class Attack(NamedTuple):
    """How an archive is made of a whole file, which of its members is hostile, and why it is refused."""

    make: Callable[[str, bytes], bytes]
    name: str
    reason: str


def patched(at: int, value: bytes) -> Callable[[str, bytes], bytes]:
    """A zip archive whose list says otherwise of its second member, in so many bytes from `at` on."""

    def make(ending: str, good: bytes) -> bytes:
        data = bytearray(zipped({f"a/0.{ending}": good, f"a/1.{ending}": good}))
        entry = data.rindex(b"PK\1\2")
        data[entry + at : entry + at + len(value)] = value
        return bytes(data)

    return make


def second(name: str, more: int = 0) -> Callable[[str, bytes], bytes]:
    """A zip archive whose second member has such a name, or something behind its end."""
    return lambda ending, good: zipped({f"a/0.{ending}": good, f"{name}.{ending}": good + bytes(more)})


def twice(ending: str, good: bytes) -> bytes:
    """A zip archive with two members of one name."""
    names = (f"a/1.{ending}", f"a/2.{ending}")
    return zipped({f"a/0.{ending}": good, **dict.fromkeys(names, good)}).replace(names[1].encode(), names[0].encode())


def tarred_second(name: str, more: int = 0, **facts: Any) -> Callable[[str, bytes], bytes]:
    """A compressed tar archive with such a member, as which it has no bytes if `facts` say that it is no file."""

    def make(ending: str, good: bytes) -> bytes:
        facts_of = {
            key: value.replace("%s", ending) if isinstance(value, str) else value for key, value in facts.items()
        }
        data = b"" if facts else good + bytes(more)
        return COMPRESSORS["gzip"](tarred(member(f"a/0.{ending}", good), member(f"{name}.{ending}", data, **facts_of)))

    return make


def cut(ending: str, good: bytes) -> bytes:
    """A tar archive that ends inside of its second member."""
    whole = tarred(member(f"a/0.{ending}", good), member(f"a/1.{ending}", good))
    blocks = 3 + (len(good) + 511) // 512
    return whole[: blocks * 512 + len(good) - 8 - 512]


ZEROS = 48 << 20
OUT = "has a name that leads out of the archive, or nowhere"
BACKSLASH = "has a backslash in its name, which is a folder's end on some systems alone"

ATTACKS = {
    "zip, encrypted": Attack(patched(8, b"\1\0"), "a/1", ": it is encrypted"),
    "zip, an unknown method": Attack(
        patched(10, b"\x63\0"), "a/1", ": it is compressed by method 99; only 0 (stored) and 8 (deflated) are read"
    ),
    "zip, another checksum": Attack(patched(16, bytes(4)), "a/1", ": its checksum is wrong"),
    "zip, packed up to the end": Attack(
        patched(20, struct.pack("<L", 2**31 - 1)), "a/1", " overlaps the central directory"
    ),
    "zip, a size of 4 GiB": Attack(patched(24, struct.pack("<L", 0xFFFFFFF0)), "a/1", ": it ends 4,29"),
    "zip, a size of 4 bytes": Attack(
        patched(24, struct.pack("<L", 4)), "a/1", ": it is longer than the 4 bytes that the archive says"
    ),
    "zip, a size in a ZIP64 field that is not there": Attack(
        patched(24, b"\xff" * 4), "a/1", " has no ZIP64 size in its directory"
    ),
    "zip, a symbolic link": Attack(
        patched(38, struct.pack("<L", 0o120777 << 16)), "a/1", ": it is a link or a device, not a file"
    ),
    "zip, elsewhere": Attack(patched(42, struct.pack("<L", 2**31 - 1)), "a/1", " overlaps the central directory"),
    "zip, as the first": Attack(patched(42, bytes(4)), "a/1", " overlaps another"),
    "zip, a name twice": Attack(twice, "a/1", " is in it twice"),
    "zip, a name that goes up": Attack(second("../1"), "../1", f" {OUT}"),
    "zip, a name that goes up inside": Attack(second("a/../../1"), "a/../../1", f" {OUT}"),
    "zip, a name from the root": Attack(second("/a/1"), "/a/1", f" {OUT}"),
    "zip, a name with a drive": Attack(second("C:/a/1"), "C:/a/1", f" {OUT}"),
    "zip, a name of Windows": Attack(second("C:\\a\\1"), "C:\\a\\1", f" {OUT}"),
    "zip, a name with a backslash": Attack(second("a\\1"), "a\\1", f" {BACKSLASH}"),
    "zip, a name of two lines": Attack(
        second("a/1\n2"), "a/1\n2", " has a character in its name that not every disk can store"
    ),
    "tar, a symbolic link": Attack(
        tarred_second("a/1", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a/1", " is a symbolic link, not a file"
    ),
    "tar, a hard link": Attack(
        tarred_second("a/1", type=tarfile.LNKTYPE, linkname="a/0.%s"), "a/1", " is a hard link, not a file"
    ),
    "tar, a device": Attack(tarred_second("a/1", type=tarfile.CHRTYPE), "a/1", " is a device, not a file"),
    "tar, a FIFO": Attack(tarred_second("a/1", type=tarfile.FIFOTYPE), "a/1", " is a FIFO, not a file"),
    "tar, a name twice": Attack(tarred_second("a/0"), "a/0", " is in it twice"),
    "tar, a name that goes up": Attack(tarred_second("../1"), "../1", f" {OUT}"),
    "tar, a name from the root": Attack(tarred_second("/a/1"), "/a/1", f" {OUT}"),
    "tar, a name with a drive": Attack(tarred_second("C:/a/1"), "C:/a/1", f" {OUT}"),
    "tar, a name with a backslash": Attack(tarred_second("a\\1"), "a\\1", f" {BACKSLASH}"),
}


each_kind = pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[pytest.mark.slow] * kind.is_slow) for form, kind in KINDS.items()]
)


def cases(is_wanted: Callable[[Kind, str], bool]) -> list[Any]:
    """Each attack on each kind of samples; those that repeat what the same code does are left to the slow run."""
    return [
        pytest.param(kind, attack, id=f"{form}, {title}", marks=[pytest.mark.slow] * kind.is_slow)
        for form, kind in KINDS.items()
        for title, attack in ATTACKS.items()
        if is_wanted(kind, title)
    ]


def sentence(kind: Kind, attack: Attack) -> str:
    """Why it is refused, with the member's name."""
    return f"member {f'{attack.name}.{kind.ending}'!r}{attack.reason}"


# A manifest may not name such a member, so that one is reached by a pattern alone.
@pytest.mark.parametrize(
    ("kind", "attack"), cases(lambda kind, title: kind.is_a_sample or ("name" not in title or "twice" in title))
)
def test_get_refuses_it(kind: Kind, attack: Attack, tmp_path: Path) -> None:
    """Soon, and by its name."""
    data = attack.make(kind.ending, kind.good)

    with soon(), pytest.raises(DecodeError) as caught:
        made(tmp_path, kind.declared(f"{attack.name}.{kind.ending}"), all_zip=data)

    assert caught.value.reason.removeprefix("it is damaged: ").startswith(sentence(kind, attack))
    assert "\n" not in caught.value.reason


# Records have no header by which `add` could know them.
@pytest.mark.parametrize(("kind", "attack"), cases(lambda kind, _: kind.ending != "bin"))
def test_add_refuses_it(kind: Kind, attack: Attack, manifest: Path, tmp_path: Path) -> None:
    """In the same words; nothing is written."""
    before = manifest.read_bytes()
    path = tmp_path / "all.bin"
    path.write_bytes(attack.make(kind.ending, kind.good))

    with soon():
        done = add(manifest, path, "--ship", "--name", "mine")

    reason = done.stderr.splitlines()[0].removeprefix(f"error: {path}: ").removeprefix("it is damaged: ")
    assert (done.exit_code, reason.startswith(sentence(kind, attack))) == (1, True), done.output
    assert manifest.read_bytes() == before
    assert not (manifest.parent / "datasets" / "mine").exists()


@pytest.mark.parametrize("form", ["images", "audio"])
@pytest.mark.parametrize("make", [second("A/0"), tarred_second("A/0")], ids=["zip", "tar"])
def test_names_that_differ_in_case(form: str, make: Any, manifest: Path, tmp_path: Path) -> None:
    """They are one file on disks of macOS and Windows, and which is meant is not guessed."""
    kind = KINDS[form]
    names = sorted([f"A/0.{kind.ending}", f"a/0.{kind.ending}"], reverse=True)
    data, path = make(kind.ending, kind.good), tmp_path / "all.bin"
    path.write_bytes(data)
    reason = f"members {names[0]!r} and {names[1]!r} differ in case alone"

    with pytest.raises(DecodeError) as caught:
        made(tmp_path / "got", kind.declared(""), all_zip=data)
    assert caught.value.reason == reason
    assert add(manifest, path, "--ship", "--name", "mine").stderr.startswith(f"error: {path}: {reason}\n")


@each_kind
@pytest.mark.parametrize("make", [second("a/1", ZEROS), tarred_second("a/1", ZEROS)], ids=["zip", "tar"])
def test_a_bomb_is_refused_by_name(form: str, make: Any, tmp_path: Path) -> None:
    """48 MiB of nothing behind the end of a file are never held together."""
    kind = KINDS[form]
    data = make(kind.ending, kind.good)

    with soon(), pytest.raises(DecodeError) as caught, memory_below(40):
        made(tmp_path, kind.declared(f"a/1.{kind.ending}"), all_zip=data)

    assert caught.value.reason.startswith(f"member 'a/1.{kind.ending}': ")


@each_kind
def test_a_member_that_ends_early(form: str, tmp_path: Path) -> None:
    """The archive does, in the middle of it."""
    kind = KINDS[form]

    with pytest.raises(DecodeError, match=rf"member 'a/1\.{kind.ending}'"):
        made(tmp_path, kind.declared(f"a/1.{kind.ending}"), all_zip=cut(kind.ending, kind.good))


@pytest.mark.parametrize(
    ("form", "data", "reason"),
    [
        ("images", picture(width=8), "it is 6 high and 8 wide, and train.images is declared as 6 high and 9 wide"),
        ("images", picture(mode="L"), "it is L (gray), and train.images is of mode RGB"),
        ("images", picture(mode="I;16"), "it is I;16 (gray of 16 bits), and train.images is of mode RGB"),
        ("audio", wav(np.arange(9, dtype="int16"), 44_100), "it has 44,100 frames a second, and 'a/0.wav' has 8,000"),
        ("audio", wav(np.zeros((9, 2), "int16")), "it has 2 channels, and train.sounds declares 1 of them"),
        ("audio", wav(np.zeros(9, "u1")), "it has whole numbers of 8 bits, which are uint8, and train.sounds declares"),
        ("audio", wav(np.zeros(8, "int16")), "it has 8 frames, and train.sounds declares 9"),
    ],
)
def test_another_one_in_the_middle(form: str, data: bytes, reason: str, tmp_path: Path) -> None:
    """The first that is not as declared is named."""
    kind = KINDS[form]
    names = [f"a/{n}.{kind.ending}" for n in range(5)]
    entry = kind.declared("").replace("samples: 2", "samples: 5")

    with pytest.raises(DecodeError) as caught:
        made(tmp_path, entry, all_zip=zipped({**dict.fromkeys(names, kind.good), names[2]: data}))

    assert caught.value.reason.startswith(f"member 'a/2.{kind.ending}': {reason}"), caught.value.reason


@pytest.mark.parametrize("form", KINDS)
@pytest.mark.parametrize("make", [second("a/1"), tarred_second("a/1")], ids=["zip", "tar"])
def test_the_harmless_twin_is_read(form: str, make: Any, tmp_path: Path) -> None:
    """So that refusing is not just being broken."""
    kind = KINDS[form]
    got = made(tmp_path, kind.declared(f"a/1.{kind.ending}"), all_zip=make(kind.ending, kind.good))

    assert len(got.train) == (2 if kind.is_a_sample else 3)
