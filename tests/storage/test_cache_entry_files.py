"""A cache entry as a file and as facts: what it depends on, whose it is, and what it says of every byte."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.cache_entries import plain_entry, write_entry, write_text_entry
from tests.helpers.faulty_server import until
from tinytorch_datasets import RaggedArray, StringArray
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.digests import Digest, DigestsAhead, Stretch
from tinytorch_datasets.storage import cache_entry
from tinytorch_datasets.storage.cache_entry import (
    CachedSplit,
    CacheEntry,
    assemble,
    entries_in,
    entries_of,
    entry_path,
    stretch_of,
)
from tinytorch_datasets.storage.memmap import Part, StatSignature, open_map

IMAGES = np.arange(12, dtype="<f4").reshape(3, 2, 2)
WORDS = ["no", "yes", "h\u00e9"]


def sha256(data: bytes) -> str:
    """Of a file, by the standard library."""
    return hashlib.sha256(data).hexdigest()


def saved(folder: Path, name: str, values: np.ndarray) -> Part:
    """Write an array as NumPy does, and return where its values are."""
    np.save(folder / name, values)
    offset = (folder / name).stat().st_size - values.nbytes
    return Part(name, values.dtype.str, values.shape, offset)


def value_digest(head: str, data: bytes) -> str:
    """As docs/audit.md defines it."""
    return sha256(head.encode() + data)


def strings_digest(words: list[str]) -> str:
    """Of strings, each behind its length."""
    data = b"".join(len(word.encode()).to_bytes(8, "little") + word.encode() for word in words)
    return value_digest(f"str {len(words)}\n", data)


@pytest.fixture
def made(tmp_path: Path) -> CacheEntry:
    """An entry of one split: images, words, the numbers of sentences, and a text of the whole."""
    folder = tmp_path / "home" / ".cache" / "arrays" / "d-1"
    folder.mkdir(parents=True)
    (tmp_path / "main.yaml").write_bytes(b"main")
    (tmp_path / "d.yaml").write_bytes(b"declares")
    (tmp_path / "d.csv").write_bytes(b"source")
    buffer = np.frombuffer("".join(WORDS).encode(), np.uint8)
    fields = {
        "images": [saved(folder, "train.images.npy", IMAGES)],
        "words": [
            saved(folder, "train.words.utf8.npy", buffer),
            saved(folder, "train.words.places.npy", np.array([0, 2, 5, 8])),
        ],
    }
    text = saved(folder, "train.text.npy", np.frombuffer(b"To be", np.uint8))
    split = CachedSplit("train", fields, {"text": text}, {"images": 255.0}, {"x": (None, 3)}, {"y": 8000}, {})
    manifests = {str(tmp_path / name): sha256((tmp_path / name).read_bytes()) for name in ("main.yaml", "d.yaml")}
    files = {str(tmp_path / "d.csv"): sha256(b"source")}
    digests = {
        "train.images": value_digest("float32 3x2x2\n", IMAGES.tobytes()),
        "train.words": strings_digest(WORDS),
        "train.text": strings_digest(["To be"]),
    }
    includes = {str(tmp_path / "main.yaml"): {"d.yaml": str(tmp_path / "d.yaml")}}
    paths = [*manifests, *files, *map(str, folder.iterdir())]
    signatures = {path: signature(path) for path in paths}
    own = (str(folder), (split,), ("a", "b"), manifests, files, digests, {"title": "D"}, (1, 4), includes, signatures)
    return CacheEntry("d", str(tmp_path / "main.yaml"), *own)


def signature(path: str | Path) -> list[int]:
    """What the system says of a file."""
    about = Path(path).stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


class TestTheFile:
    """It is JSON behind a checksum; whatever is not to be understood is as good as absent."""

    def test_it_is_json(self, made: CacheEntry, tmp_path: Path) -> None:
        """A list, which begins with the layout; what is read of it is what was written."""
        (tmp_path / "entry").write_bytes(made.to_bytes())
        checksum, _, text = made.to_bytes().partition(b"\n")
        plain = json.loads(text)

        assert checksum == b"%08x" % zlib.crc32(text)
        assert plain[:4] == [[10, VERSION, sys.byteorder], "d", str(tmp_path / "main.yaml"), made.folder]
        assert plain[5:] == [["a", "b"], *json.loads(json.dumps(made[5:]))]
        assert plain[4][0][:2] == ["train", json.loads(json.dumps(made.splits[0].fields))]
        again = CacheEntry.read(tmp_path / "entry")
        assert again is not None
        assert again.rank == [1, 4]
        assert again._replace(rank=(1, 4), splits=made.splits) == made
        split = again.splits[0]
        assert split._replace(ragged={"x": (None, 3)}) == made.splits[0]
        assert isinstance(split, CachedSplit)
        assert isinstance(split.texts["text"].shape, tuple)
        assert all(isinstance(part, Part) and isinstance(part.shape, tuple) for part in split.fields["words"])
        assert again.declared_in == str(tmp_path / "d.yaml")
        (tmp_path / "entry").write_bytes(made._replace(classes=None, rank=None).to_bytes())
        again = CacheEntry.read(str(tmp_path / "entry"))
        assert again is not None
        assert (again.classes, again.rank) == (None, None)

    def test_every_cut_and_every_other_content(self, made: CacheEntry, tmp_path: Path) -> None:
        """At many lengths; and with each part of it of another kind, or missing."""
        whole, path = made.to_bytes(), tmp_path / "entry"
        for length in (*range(0, len(whole), 7), *range(len(whole) - 9, len(whole))):
            path.write_bytes(whole[:length])
            assert CacheEntry.read(path) is None
        for bit in range(0, 8 * len(whole), 5):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            assert CacheEntry.read(path) is None
        path.write_bytes(whole)
        plain = plain_entry(path)

        def part(**others: Any) -> list[Any]:
            changed: list[Any] = json.loads(json.dumps(plain))
            file = {"file": "a.npy", "dtype": "<f4", "shape": [3, 2, 2], "offset": 128, **others}
            changed[4][0][1]["images"] = [list(file.values())]
            return changed

        write_entry(path, part())
        assert CacheEntry.read(path) is not None
        wrong = [
            [[9, *plain[0][1:]], *plain[1:]],
            [[10, "another", plain[0][2]], *plain[1:]],
            plain[:-1],
            [*plain, {}],
            *([*plain[:place], 7, *plain[place + 1 :]] for place in (0, 4, 5, 6, 7, 8, 9, 11, 12)),
            *([*plain[:place], None, *plain[place + 1 :]] for place in (0, 4, 6, 7, 8, 9, 11, 12)),
            [*plain[:11], {"a": 7}, plain[12]],
            part(file=7),
            part(file=None),
            part(dtype=7),
            part(shape=7),
            part(shape=None),
            part(shape=["3", 2, 2]),
            part(shape=[True, 2, 2]),
            part(shape=[3.0, 2, 2]),
            part(offset=128.0),
            part(offset=None),
            part(offset=False),
            part(more=1),
            {},
            7,
        ]
        for contents in wrong:
            write_entry(path, contents)
            assert CacheEntry.read(path) is None, contents
        write_text_entry(path, "[" * 100_000)
        assert CacheEntry.read(path) is None
        assert CacheEntry.read(tmp_path / "none") is None
        with pytest.raises(TypeError, match=r"\Anot the part of an array\Z"):
            cache_entry._read_part(7, "<f4", [1], 128)

    def test_its_name(self) -> None:
        """Another one for each data set, manifest, name of the cache, and rank; and the same as ever."""
        key = f"{zlib.crc32(b'/c', zlib.crc32(b'/m.yaml')):08x}"
        assert entry_path("/c", "/m.yaml", "d") == f"/c/entries/d-{key}.json"
        assert entry_path(Path("/c"), Path("/m.yaml"), "d", (1, 4)) == f"/c/entries/d+1-of-4-{key}.json"
        assert entry_path("/b/../c/", "/m.yaml", "d") == f"/b/../c/entries/d-{key}.json"
        # The number has zeros in front, so that no name is the beginning of another.
        short = next(f"/{n}" for n in range(10**6) if zlib.crc32(b"/c", zlib.crc32(f"/{n}".encode())) < 16**6)
        assert entry_path("/c", short, "d")[-14:-11] == "-00"


class TestWhetherItIsCurrent:
    """Every manifest, source file and array is as it was; any doubt is an answer."""

    def test_whatever_changes_or_goes(self, made: CacheEntry, tmp_path: Path) -> None:
        """Each file in turn, by its time, and by its absence."""
        assert made.is_current()
        for path in made.signatures:
            name = Path(path)
            data = name.read_bytes()
            os.utime(name, ns=(1, 1))
            assert not made.is_current()
            entry = made._replace(signatures={**made.signatures, path: signature(name)})
            assert entry.is_current()
            name.unlink()
            assert not entry.is_current()
            name.write_bytes(data)
            made = made._replace(signatures={**made.signatures, path: signature(name)})
            assert not made._replace(
                signatures={key: value for key, value in made.signatures.items() if key != path}
            ).is_current()
        assert made.is_current()

    def test_its_sources_alone(self, made: CacheEntry) -> None:
        """Who opens the arrays asks the signature of each: of manifests and source files it is asked here."""
        for path in made.signatures:
            os.utime(path, ns=(1, 1))
            assert made.has_current_sources() is path.startswith(made.folder)
            made = made._replace(signatures={**made.signatures, path: signature(Path(path))})

    def test_what_depends_on_nothing_is_not(self, made: CacheEntry) -> None:
        """Nobody wrote such an entry; nor one of a path that has no bytes, or is no path."""
        lacking: dict[str, Any] = {"files": {}, "splits": (), "manifests": {}}
        for field, nothing in lacking.items():
            assert not made._replace(**{field: nothing}).is_current()
            assert not made._replace(**{field: nothing}).has_current_sources()
        for path in ("\ud800", "a\0b"):
            assert not made._replace(files={path: ""}, signatures={**made.signatures, path: []}).is_current()

    def test_an_array_is_below_its_folder(self, made: CacheEntry) -> None:
        """Whatever the name of the part says."""
        split = made.splits[0]
        parts = [part._replace(file=f"../elsewhere/{part.file}") for part in split.fields["images"]]
        entry = made._replace(splits=(split._replace(fields={**split.fields, "images": parts}),))
        assert entry.is_current()
        os.utime(Path(made.folder) / "train.images.npy", ns=(1, 1))
        assert not entry.is_current()

    def test_an_include_that_leads_elsewhere(self, made: CacheEntry, tmp_path: Path) -> None:
        """A link was changed, which no file notices; of several, the last one too."""
        (tmp_path / "other.yaml").write_bytes(b"declares")
        (tmp_path / "link.yaml").symlink_to("d.yaml")
        main, target = str(tmp_path / "main.yaml"), str(tmp_path / "d.yaml")
        entry = made._replace(includes={main: {"d.yaml": target, "link.yaml": target}})
        assert entry.is_current()
        assert not made._replace(includes={main: {"d.yaml": str(tmp_path / "other.yaml")}}).is_current()
        (tmp_path / "link.yaml").unlink()
        (tmp_path / "link.yaml").symlink_to("other.yaml")
        assert not entry.is_current()
        assert not made._replace(includes={main: {"d.yaml": target}, target: {"x.yaml": "y"}}).is_current()

    def test_a_package_that_is_another_one_now(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first on Python's path is the one; a folder of packages in one on the path is none of its files."""
        one, two = tmp_path / "one", tmp_path / "two"
        for root in (one, two):
            (root / "pack").mkdir(parents=True)
        (two / "pack" / "m.yaml").touch()
        monkeypatch.setattr(sys, "path", [str(one), str(two), str(tmp_path)])
        main, path = str(tmp_path / "main.yaml"), str(two / "pack" / "m.yaml")

        def leads() -> bool:
            return cache_entry._leads_to("pack", main, path)

        assert leads()
        (one / "pack" / "m.yaml").touch()
        assert not leads()
        (one / "pack" / "m.yaml").unlink()
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        assert leads()  # as a file of the current folder, however deep
        (two / "pack-1.dist-info").mkdir()
        assert not leads()
        monkeypatch.setattr(sys, "path", [str(tmp_path), str(two)])
        assert leads()
        assert not cache_entry._leads_to("pack", main, str(tmp_path / "gone.yaml"))
        (tmp_path / "two-more").mkdir()
        assert not cache_entry._is_installed_in(str(two), f"{two}-more/m.yaml")
        (tmp_path / "link").symlink_to("two")
        monkeypatch.setattr(sys, "path", ["/nowhere", str(tmp_path / "link")])
        assert leads()
        assert cache_entry._is_installed_in(str(two), path)
        assert not cache_entry._is_installed_in(str(two / "pack" / "m"), path)
        (two / "pack" / "sub-1.dist-info").mkdir()
        assert not cache_entry._is_installed_in(str(two), path)

    def test_a_manifest_whose_times_tell_nothing_is_hashed(
        self, made: CacheEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in disk images that are built with one time for all, and mounted one after the other in one place."""
        seconds = 10**18

        def of_an_image(path: str | Path) -> StatSignature:
            """What such a file system says, which no test can mount everywhere: one time, and always the same."""
            return [Path(path).stat().st_size, 0, seconds, 15]

        def as_now() -> CacheEntry:
            return made._replace(signatures={path: of_an_image(path) for path in made.signatures})

        monkeypatch.setattr(cache_entry, "stat_signature", of_an_image)
        assert as_now().is_current()
        (tmp_path / "d.yaml").write_bytes(b"declared")
        assert not as_now().is_current()
        assert as_now().renewed() is None
        seconds += 1  # with a fraction, nothing is hashed
        assert as_now().is_current()

    def test_a_manifest_that_was_only_touched(self, made: CacheEntry, tmp_path: Path) -> None:
        """Its new signature is taken, if its bytes are the same; else, or if nothing changed, there is none."""
        assert made.renewed() is None
        for name in ("main.yaml", "d.yaml"):
            os.utime(tmp_path / name, ns=(7, 7))
        renewed = made.renewed()
        assert renewed is not None
        assert not made.is_current()
        assert renewed.is_current()
        changed = {str(tmp_path / name): signature(tmp_path / name) for name in ("main.yaml", "d.yaml")}
        assert renewed == made._replace(signatures={**made.signatures, **changed})
        os.utime(tmp_path / "d.csv", ns=(7, 7))
        again = renewed._replace(signatures={**renewed.signatures, str(tmp_path / "d.yaml"): [0]}).renewed()
        assert again is not None
        assert not again.is_current()
        assert made._replace(signatures={}).renewed() is None
        (tmp_path / "d.yaml").write_bytes(b"declare!")
        assert made.renewed() is None
        (tmp_path / "d.yaml").unlink()
        assert made.renewed() is None


class TestEveryByte:
    """Manifests, files and arrays are hashed now."""

    def opened(self, entry: CacheEntry) -> dict[str, Any]:
        """The data set, as it is opened from the entry."""
        split = entry.splits[0]
        fields = {
            name: assemble([open_map(entry.folder, part) for part in parts], None)
            for name, parts in split.fields.items()
        }
        return {"train": {**fields, "text": bytes(open_map(entry.folder, split.texts["text"])).decode()}}

    def matches(self, entry: CacheEntry, data: Mapping[str, Any], declared: Mapping[str, str] | None = None) -> bool:
        """Whether all is as it should be, hashed ahead; and the same where nothing was."""
        with DigestsAhead(entry.stretches()) as ahead:
            of_ahead = entry.matches_every_byte(data, declared or {}, ahead)
        with DigestsAhead(()) as nothing:
            assert entry.matches_every_byte(data, declared or {}, nothing) is of_ahead
        return of_ahead

    def test_each_of_them_is_compared(self, made: CacheEntry, tmp_path: Path) -> None:
        """With what the entry says; and, if the manifest declares a digest, with that alone."""
        data = self.opened(made)
        assert self.matches(made, data)
        for kind in ("manifests", "files", "digests"):
            for key in getattr(made, kind):
                wrong: dict[str, Any] = {kind: {**getattr(made, kind), key: "0" * 64}}
                assert not self.matches(made._replace(**wrong), data), key
                if kind == "digests":
                    assert not self.matches(made, data, {key: "0" * 64})
                    assert self.matches(made._replace(**wrong), data, {key: made.digests[key]})
        (tmp_path / "d.csv").unlink()
        assert not self.matches(made, data)

    def test_what_is_no_text_matches_nothing(self, made: CacheEntry) -> None:
        """Bytes that are not UTF-8."""
        data = self.opened(made)
        data["train"]["words"] = StringArray(np.array([255], np.uint8), np.array([0]), np.array([1]))
        assert not self.matches(made, data)

    def test_what_was_hashed_ahead_is_not_hashed_again(self, made: CacheEntry, tmp_path: Path) -> None:
        """Neither files nor what is mapped from them; here the values in hand are others, and nobody looks at them."""
        taken = list[Stretch | None]()

        class Noting(DigestsAhead):
            def take(self, stretch: Stretch) -> Digest | None:
                taken.append(stretch)
                return super().take(stretch)

        data = self.opened(made)
        data["train"]["images"] = np.zeros_like(IMAGES)
        with Noting(made.stretches()) as ahead:
            until(lambda: not ahead.is_at_work)
            assert made.matches_every_byte(data, {}, ahead)
            assert not made.matches_every_byte(data, {"train.images": "0" * 64}, ahead)
        assert {*taken} == {*made.stretches(), *(Stretch(str(tmp_path / name)) for name in ("main.yaml", "d.yaml"))}
        with DigestsAhead(()) as nothing:
            assert not made.matches_every_byte(data, {}, nothing)

    def test_whether_values_are_declared(self, made: CacheEntry, tmp_path: Path) -> None:
        """By the manifest that declares the data set, the last one, and by any digest that is of no file of it."""
        digest, of_file = "0f" * 32, made.files[str(tmp_path / "d.csv")]
        texts = {
            "\u00e9: no digest": True, f"d.csv: {{sha256: {of_file}}}": True, f"a: {{sha256:   '{of_file}'}}": True,
            f'{{"a": {{"sha256":"{of_file}"}}, "b": {{"sha256": "{of_file}"}}}}': True,
            f"x: {{sha256: {{train: {digest}}}}}": False, f"x: {{sha256: {{train: {of_file}}}}}": False,
            f"a: {{sha256: {of_file}}}\nb: {{sha256: {digest}}}": False, f"a: {{sha256: {of_file}0}}": False,
            f"a: {{sha256: {of_file}}}\nb: {of_file}": False, f"a: {{sha256: &a {of_file}}}\nb: {{sha256: *a}}": False,
            f"a: {{sha256: {of_file.upper()}}}": False, f"a: {{not_sha256: {of_file}}}": False,
        }  # fmt: skip
        (tmp_path / "main.yaml").write_text(digest)
        for text, is_so in texts.items():
            (tmp_path / "d.yaml").write_text(text, encoding="utf-8")
            assert made.declares_no_values() == is_so, text

    def test_what_is_likely_hashed(self, made: CacheEntry, tmp_path: Path) -> None:
        """The source files, and the values of plain arrays, from where they begin."""
        images = Path(made.folder) / "train.images.npy"
        assert list(made.stretches()) == [
            Stretch(str(tmp_path / "d.csv")),
            Stretch(str(images), made.splits[0].fields["images"][0].offset, b"float32 3x2x2\n"),
        ]
        cases = {
            "|b1": "bool", "|u1": "uint8", "|i1": "int8", "<u2": "uint16", "<i4": "int32", "<i8": "int64",
            "<f2": "float16", "<f8": "float64", ">f4": None, "=f4": None, "<c8": None, "|S1": None, "<f": None,
            "<f4x": None, "": None, "f4": None, "<f-4": None, "Xf4": None,
        }  # fmt: skip
        for dtype, name in cases.items():
            expected = None if name is None else Stretch("/x/a.npy", 64, f"{name} 2x5\n".encode())
            assert stretch_of("/x", Part("../y/a.npy", dtype, (2, 5), 64)) == expected, dtype


class TestWhichThereAre:
    """The files of a cache that are of a manifest, and those of them that may be believed."""

    def test_of_a_data_set(self, made: CacheEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In each home, of that rank, with its arrays in one of them; a name that is none has no path."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        monkeypatch.delenv("TINYTORCH_DATASETS_HOME", raising=False)
        homes = [str(tmp_path / name) for name in ("home", "second")]
        entry = made._replace(rank=None)
        paths = [Path(entry_path(f"{home}/.cache", made.manifest, "d")) for home in homes]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(entry.to_bytes())

        def of(*asked: Any) -> list[str]:
            return [path for path, _ in entries_of(*asked)]

        assert of("d", made.manifest, homes, homes[0]) == list(map(str, paths))
        assert of("d", made.manifest, homes, None) == [str(paths[0])]  # and that of the user's own cache
        assert [entry for _, entry in entries_of("d", made.manifest, homes, None)] == [CacheEntry.read(paths[0])]
        assert of("d", made.manifest, homes[1:], None) == []  # its arrays are in none of these
        assert of("d", str(tmp_path / "d.yaml"), homes, None) == []
        assert of("d", made.manifest, homes, None, (1, 4)) == []
        ranked = Path(entry_path(f"{homes[0]}/.cache", made.manifest, "d", (1, 4)))
        ranked.write_bytes(made.to_bytes())
        assert of("d", made.manifest, homes, None, (1, 4)) == [str(ranked)]
        paths[0].write_bytes(entry._replace(name="e").to_bytes())
        assert str(paths[0]) not in of("d", made.manifest, homes, None)
        for name in ("-", "_", "."):
            Path(entry_path(f"{homes[0]}/.cache", made.manifest, name)).write_bytes(
                entry._replace(name=name).to_bytes()
            )
        for name in ("", "-", "_", ".", "a/b", "..", "a b", "a:b", "a\0"):
            assert of(name, made.manifest, homes, None) == []
        for name in ("a-1", "a_1", "a.1", "-a", "\u00e9"):
            path = Path(entry_path(f"{homes[0]}/.cache", made.manifest, name))
            path.write_bytes(entry._replace(name=name).to_bytes())
            assert of(name, made.manifest, homes, None) == [str(path)]

    def test_of_a_manifest(self, made: CacheEntry, tmp_path: Path) -> None:
        """All in the order of their names, whole or in part; what is damaged, or of another manifest, is left out."""
        cache = str(tmp_path / "home" / ".cache")
        assert list(entries_in(cache, made.manifest)) == []
        kept = [("b", None), ("a", None), ("a", (0, 2)), ("c", None)]
        for name, rank in kept:
            path = Path(entry_path(cache, made.manifest, name, rank))
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"[" if name == "c" else made._replace(name=name, rank=rank).to_bytes())
        other = Path(entry_path(cache, str(tmp_path / "d.yaml"), "x"))
        other.write_bytes(made.to_bytes())
        found = [(entry.name, entry.rank) for entry in entries_in(cache, made.manifest)]
        assert found == [("a", [0, 2]), ("a", None), ("b", None)]
        assert [entry.name for entry in entries_in(cache, str(tmp_path / "d.yaml"))] == ["d"]

    def test_arrays_that_are_too_short(self, made: CacheEntry) -> None:
        """Of the size that was noted; a byte less is too short, in any field or text. What is no size is refused."""
        assert made.is_whole()
        split = made.splits[0]
        parts = [("images", split.fields["images"][0]), *(("words", part) for part in split.fields["words"])]
        for name, part in [*parts, ("text", split.texts["text"])]:
            path = str(Path(made.folder) / part.file)
            size = part.offset + int(part.dtype[2:]) * int(np.prod(part.shape))
            assert made._replace(signatures={**made.signatures, path: [size]}).is_whole()
            assert not made._replace(signatures={**made.signatures, path: [size - 1]}).is_whole(), name

        def changed(**others: Any) -> CacheEntry:
            (part,) = split.fields["images"]
            own = part._replace(**others)
            return made._replace(splits=(split, split._replace(fields={"images": [own]})))

        wrong: list[dict[str, Any]] = [
            {"dtype": "<c8"}, {"dtype": "|O"}, {"dtype": "<fx"}, {"dtype": "<f"}, {"dtype": ""}, {"offset": -1},
            {"shape": (-1, -1, -1)}, {"shape": (0, -1)}, {"shape": (3, 2, 3)},
        ]  # fmt: skip
        for others in wrong:
            assert not changed(**others).is_whole(), others
        assert not made._replace(splits=(split._replace(fields={"images": []}),)).is_whole()
        right: list[dict[str, Any]] = [
            {"shape": ()}, {"shape": (0,)}, {"file": "../x/train.images.npy"}, {"offset": 0}, {"dtype": "?b1"},
        ]  # fmt: skip
        for others in right:
            assert changed(**others).is_whole(), others


class TestWhoseItIs:
    """Of one data set, one manifest, one rank; its arrays in a cache that is asked for."""

    def test_belonging(self, made: CacheEntry, tmp_path: Path) -> None:
        """Each of them counts; a cache may be spelled otherwise."""
        manifest, cache = made.manifest, str(tmp_path / "home" / ".cache")
        assert made.belongs_to("d", manifest, ["/other", cache], (1, 4))
        assert made.belongs_to("d", manifest, [f"{cache}/../.cache/"], (1, 4))
        assert made._replace(rank=[1, 4]).belongs_to("d", manifest, [cache], (1, 4))
        assert made._replace(rank=None).belongs_to("d", manifest, [cache])
        odd = str(tmp_path / "home" / "x" / ".." / ".cache" / "arrays" / "d-1")
        assert made._replace(folder=odd).belongs_to("d", manifest, [cache], (1, 4))
        wrong: list[tuple[Any, ...]] = [
            ("D", manifest, [cache], (1, 4)),
            ("d", str(tmp_path / "d.yaml"), [cache], (1, 4)),
            ("d", manifest, [cache], (0, 4)),
            ("d", manifest, [cache]),
            ("d", manifest, [], (1, 4)),
            ("d", manifest, [f"{cache}/arrays"], (1, 4)),
            ("d", manifest, [str(tmp_path)], (1, 4)),
        ]
        for arguments in wrong:
            assert not made.belongs_to(*arguments), arguments
        others = {key: value for key, value in made.manifests.items() if key != manifest}
        assert not made._replace(manifests=others).belongs_to("d", manifest, [cache], (1, 4))

    def test_opening_the_same(self, made: CacheEntry) -> None:
        """Whatever the signatures; but each must have one of the same files. A path may be spelled by its bytes."""
        assert made.opens_same_as(made._replace(signatures={path: [1, 2, 3, 4] for path in made.signatures}))
        assert not made.opens_same_as(made._replace(signatures={}))
        for field in made._fields[:-1]:
            value: Any = getattr(made, field)
            others: dict[str, Any] = {field: f"{value}x" if isinstance(value, str) else type(value)()}
            assert not made.opens_same_as(made._replace(**others)), field

        def spelled(word: str) -> CacheEntry:
            path = f"/home/{word}"
            return made._replace(
                manifest=path,
                folder=path,
                manifests={path: "1"},
                files={path: "2"},
                includes={path: {"a": path}},
                signatures={path: [1]},
            )

        assert spelled("caf\u00e9").opens_same_as(spelled("caf\udcc3\udca9"))
        assert spelled("caf\udcc3\udca9").opens_same_as(spelled("caf\u00e9"))
        assert not spelled("caf\u00e9").opens_same_as(spelled("cafe"))


def test_values_are_assembled_from_their_parts() -> None:
    """An array of one, strings of two; a ragged array of two or three, with the shape of a sample."""
    flat, offsets, shapes = np.arange(8), np.array([0, 2, 8]), np.array([[1, 2], [3, 2]])
    assert assemble([flat], None) is flat
    words = assemble([np.frombuffer(b"noyes", np.uint8), np.array([0, 2, 5])], None)
    assert isinstance(words, StringArray)
    assert list(words) == ["no", "yes"]
    two, three = assemble([flat, offsets], [None]), assemble([flat, offsets, shapes], [None, 2])  # type: ignore[arg-type]
    for ragged, shape, lists in [
        (two, (None,), [[0, 1], [2, 3, 4, 5, 6, 7]]),
        (three, (None, 2), [[[0, 1]], [[2, 3], [4, 5], [6, 7]]]),
    ]:
        assert isinstance(ragged, RaggedArray)
        assert ragged.sample_shape == shape
        assert ragged.tolist() == lists
