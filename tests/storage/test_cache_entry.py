"""The warm path: what lets get() skip the stages, and what must make it run them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from tests.conftest import ROOT
from tests.helpers.audit_world import build
from tests.helpers.cache_entries import plain_entry, replace_in_entry, write_entry, write_text_entry
from tests.helpers.fresh_process import python
from tinytorch_datasets import audit, get, load_manifest, settings
from tinytorch_datasets.errors import HashMismatch, ManifestError, UnknownName
from tinytorch_datasets.storage.array_folder import read_header
from tinytorch_datasets.storage.cache_entry import CacheEntry

HEAVY = {"pydantic", "yaml", "pooch", "requests", "urllib3", "hashlib", "ssl", "click", "rich", "filelock"}
HEAVY |= {"pathlib"}  # takes as long as all the rest that a second `get` does


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A manifest with TinyDigits, in a folder of its own whose every byte a test may change."""
    (tmp_path / "datasets").mkdir()
    shutil.copytree(ROOT / "datasets" / "tinydigits", tmp_path / "datasets" / "tinydigits")
    text = (ROOT / "datasets.yaml").read_text()
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("include:"))
    start, end = text.index("  tinytalks:"), text.index("  mnist:")
    manifest = tmp_path / "datasets.yaml"
    manifest.write_text(text[:start] + text[end:].split("  mnist:")[0])
    return manifest


def entry_file(clone: Path) -> Path:
    """The one cache entry there is."""
    (path,) = (clone.parent / "milestones/datasets/.cache/entries").iterdir()
    return path


def entry_file_exists(clone: Path) -> bool:
    """Whether there is any cache entry."""
    return any((clone.parent / "milestones/datasets/.cache/entries").iterdir())


def modules_of_a_fresh(statement: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after a statement."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


class TestTheWarmPath:
    """A data set that was handed over before needs NumPy, and nothing else."""

    def test_nothing_heavy_is_imported(self, home: Path) -> None:
        """No YAML, no Pydantic, no hashing, no network library, in a fresh process."""
        get("tinydigits")
        warm = modules_of_a_fresh("from tinytorch_datasets import get; get('tinydigits').train.images.sum()")

        # Old versions of NumPy import hashlib by themselves.
        assert not (warm - modules_of_a_fresh("import numpy")) & HEAVY
        assert "numpy" in warm

    def test_no_garbage_is_looked_for_while_numpy_is_imported(self, home: Path) -> None:
        """Which makes none, and takes forty looks otherwise."""
        get("tinydigits")
        code = (
            "import gc; from tinytorch_datasets import get; looks = [];"
            "gc.callbacks.append(lambda phase, about: looks.append(phase));"
            "get('tinydigits'); print(looks.count('start'), gc.isenabled())"
        )
        looks, is_enabled = subprocess.check_output([sys.executable, "-c", code], text=True).split()

        assert (int(looks) < 5, is_enabled) == (True, "True")

    @pytest.mark.parametrize("cache", [None, "", "elsewhere"])
    def test_an_installed_package_knows_the_users_cache_folder(
        self, cache: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The one that platformdirs names, without importing it."""
        monkeypatch.delenv("TINYTORCH_DATASETS_HOME", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        if cache is not None:
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache) if cache else "")
        installed = Path(settings.__file__).with_name("datasets.yaml")
        code = f"from tinytorch_datasets import settings; print(*settings.likely_homes({str(installed)!r}))"

        assert settings.likely_homes(str(installed)) == (platformdirs.user_cache_dir("tinytorch-datasets"),)
        assert "platformdirs" not in modules_of_a_fresh(code) or sys.platform != "linux"

    def test_what_it_hands_over_is_the_same(self, home: Path) -> None:
        """Every field, the classes, the entry and the provenance."""
        code = (
            "from tinytorch_datasets import get; d = get({name!r});"
            "print([[s.name, [f if isinstance(f, str) else f.tolist() if hasattr(f, 'tolist') else list(f)"
            " for f in s.arrays()]] for s in d.values()])"
            "; print(d.classes, d.provenance, d.entry, getattr(d.train, 'text', 0))"
        )
        for name in ("tinydigits", "tinytalks"):
            cold, warm = (python("-c", code.format(name=name)).stdout for _ in range(2))
            assert cold == warm
            assert len(cold) > 10_000

    def test_the_second_get_in_a_process_reads_no_cache_entry(self, clone: Path) -> None:
        """What one says is known, as long as what it depends on has not changed."""
        expected = get("tinydigits", manifest=clone).train.images
        get("tinydigits", manifest=clone)
        entry_file(clone).unlink()
        again = get("tinydigits", manifest=clone).train.images

        assert not entry_file_exists(clone)
        assert np.array_equal(again, expected)

    def test_the_entry_is_that_of_the_arrays(self, clone: Path) -> None:
        """It comes out of the cache entry: a manifest that was edited meanwhile speaks of other arrays, maybe."""
        get("tinydigits", manifest=clone)
        warm = get("tinydigits", manifest=clone)
        expected = load_manifest(clone).datasets["tinydigits"]
        another_manifest(clone)

        assert warm.entry == expected
        assert get("tinydigits", manifest=clone).entry != expected

    def test_no_file_is_written(self, clone: Path) -> None:
        """A warm get leaves the disk as it is."""
        get("tinydigits", manifest=clone)
        before = {path: path.stat().st_mtime_ns for path in clone.parent.rglob("*")}
        modules_of_a_fresh(f"from tinytorch_datasets import get; get('tinydigits', manifest={str(clone)!r})")

        assert {path: path.stat().st_mtime_ns for path in clone.parent.rglob("*")} == before


def another_manifest(clone: Path) -> None:
    """One letter of a title."""
    clone.write_text(clone.read_text().replace("8x8 handwritten", "8X8 handwritten"))


def cut_the_entry(clone: Path) -> None:
    """A disk that was full."""
    entry_file(clone).write_bytes(entry_file(clone).read_bytes()[:-20])


def empty_the_entry(clone: Path) -> None:
    """Valid JSON of another kind."""
    write_entry(entry_file(clone), {})


def another_version(clone: Path) -> None:
    """What another version of the package wrote."""
    known = plain_entry(entry_file(clone))
    known[0][1] = "0.0.0"
    write_entry(entry_file(clone), known)


def another_folder(clone: Path) -> None:
    """A planted path that leads elsewhere."""
    known = plain_entry(entry_file(clone))
    known[3] = "../../../datasets"
    write_entry(entry_file(clone), known)


def a_longer_shape(clone: Path) -> None:
    """A planted shape past the end of the array."""
    known = plain_entry(entry_file(clone))
    known[4][0][1]["images"][0][2] = [10**9, 8, 8]
    write_entry(entry_file(clone), known)


def nonsense(clone: Path) -> None:
    """The right frame around something else."""
    known = plain_entry(entry_file(clone))
    known[4][0][1]["images"] = {"file": 7}
    write_entry(entry_file(clone), known)


def without_signatures(clone: Path) -> None:
    """One that would be current for ever, and opens the wrong split."""
    known = plain_entry(entry_file(clone))
    known[4][0][1], known[-1] = known[4][1][1], {}
    write_entry(entry_file(clone), known)


def another_part(file: object, dtype: object, shape: object, offset: object) -> Callable[[Path], None]:
    """One that says something impossible of where an array is."""

    def damage(clone: Path) -> None:
        known = plain_entry(entry_file(clone))
        known[4][0][1]["images"][0] = [file, dtype, shape, offset]
        write_entry(entry_file(clone), known)

    damage.__name__ = f"{file} {dtype} {shape} {offset}"
    return damage


IMAGES = "train.images.npy"
IMPOSSIBLE = [
    another_part(IMAGES, "<f4", [1000, 8, 8], -128),
    another_part(IMAGES, "<f4", [1000, 8, 8], -(10**30)),
    another_part(IMAGES, "<f4", [1000, 8, 8], 10**30),
    another_part(IMAGES, "<f4", [10**30], 128),
    another_part(IMAGES, "<f4", [10**30, 0], 128),
    another_part(IMAGES, "<f4", [-1, 8, 8], 128),
    another_part(IMAGES, "<f4", [-1, -8, 8], 128),
    another_part(IMAGES, "<f4", "1000", 128),
    another_part(IMAGES, "<f4", [1000.0, 8, 8], 128),
    another_part(IMAGES, "<f4", [True, 8, 8], 128),
    another_part(IMAGES, "|O", [1000, 8, 8], 128),
    another_part(IMAGES, "what?", [1000, 8, 8], 128),
    another_part(IMAGES, "f4,O", [1000, 8, 8], 128),
    another_part(IMAGES, "|V0", [1000, 8, 8], 128),
    another_part("", "<f4", [1000, 8, 8], 128),
    another_part("\0", "<f4", [1000, 8, 8], 128),
    another_part(7, "<f4", [1000, 8, 8], 128),
    another_part("../../../../datasets.yaml", "|u1", [1000, 1, 1], 0),
]


def a_pipe(clone: Path) -> None:
    """One that would be waited for, for ever."""
    path = entry_file(clone)
    path.unlink()
    os.mkfifo(path)


def pipes(clone: Path) -> None:
    """In place of everything that was decoded, too."""
    a_pipe(clone)
    for path in [*clone.parent.rglob("*.npy"), *clone.parent.rglob("digests.json"), *clone.parent.rglob("*.lock")]:
        path.unlink()
        os.mkfifo(path)


def brackets_without_end(clone: Path) -> None:
    """What exhausts the stack of whoever reads it, in everything that is kept as JSON."""
    write_text_entry(entry_file(clone), "[" * 200_000)
    for path in clone.parent.rglob("digests.json"):
        path.write_text("[" * 200_000)


def an_array_changed(clone: Path) -> None:
    """An array that lost its end."""
    path = next(clone.parent.rglob("train.images.npy"))
    raw = path.read_bytes()
    path.unlink()
    path.write_bytes(raw[:-4])


DAMAGES = [
    another_manifest,
    cut_the_entry,
    empty_the_entry,
    another_version,
    another_folder,
    a_longer_shape,
    nonsense,
    without_signatures,
    *IMPOSSIBLE,
    *([a_pipe, pipes] if hasattr(os, "mkfifo") else []),
    brackets_without_end,
    an_array_changed,
]


class TestWhatDoesNotFit:
    """Whatever is wrong with a cache entry, or with what it stands on, every stage runs and the result is right."""

    @pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
    def test_is_found_out_again(self, clone: Path, damage: Callable[[Path], None]) -> None:
        """In a fresh process, which knows only what is on disk."""
        expected = np.array(get("tinydigits", manifest=clone).train.images)
        damage(clone)
        code = (
            f"from tinytorch_datasets import get; d = get('tinydigits', manifest={str(clone)!r});"
            "import hashlib; print(hashlib.sha256(d.train.images.tobytes()).hexdigest(), d.train.images.shape)"
        )
        result = python("-c", code).stdout

        assert result.split(maxsplit=1) == [hashlib.sha256(expected.tobytes()).hexdigest(), "(1000, 8, 8)\n"]

    def test_another_letter_of_it(self, clone: Path) -> None:
        """As a damaged disk gives it, where every file that it names is as it was: the classes are the right ones."""
        get("tinydigits", manifest=clone)
        path = entry_file(clone)
        path.write_bytes(path.read_bytes().replace(b'"7"', b'"1"'))
        classes = f"from tinytorch_datasets import get; print(*get('tinydigits', manifest={str(clone)!r}).classes)"

        assert python("-c", classes).stdout == "0 1 2 3 4 5 6 7 8 9\n"

    def test_a_manifest_that_was_only_touched_is_not_read_again(self, clone: Path) -> None:
        """Its bytes are hashed, which are the same: neither YAML nor a stage, and from then on not even that."""
        get("tinydigits", manifest=clone)
        before = entry_file(clone).read_text()
        os.utime(clone, ns=(1, 1))
        warm = f"from tinytorch_datasets import get; get('tinydigits', manifest={str(clone)!r}).train.images.sum()"

        assert not modules_of_a_fresh(warm) & (HEAVY - {"hashlib", "pathlib"})

        after = entry_file(clone).read_text()
        assert after != before
        assert CacheEntry.read(entry_file(clone)).is_current()  # type: ignore[union-attr]
        get("tinydigits", manifest=clone)
        assert entry_file(clone).read_text() == after

    def test_a_touched_manifest_hides_no_changed_file(self, clone: Path) -> None:
        """Source files and arrays are compared as ever."""
        get("tinydigits", manifest=clone)
        os.utime(clone, ns=(1, 1))
        path = clone.parent / "datasets" / "tinydigits" / "test.pkl"
        path.write_bytes(path.read_bytes()[:-1] + b"!")

        with pytest.raises(HashMismatch):
            get("tinydigits", manifest=clone)

    def test_a_manifest_that_became_wrong_is_reported(self, clone: Path) -> None:
        """Arrays from a time when it was right do not hide that."""
        get("tinydigits", manifest=clone)
        clone.write_text(clone.read_text().replace("samples: 1_000", "samples: -1"))
        with pytest.raises(ManifestError):
            get("tinydigits", manifest=clone)

    def test_a_manifest_in_hand_runs_every_stage(self, clone: Path) -> None:
        """It may be older than the file it came from."""
        loaded = load_manifest(clone)
        get("tinydigits", manifest=clone)

        assert get("tinydigits", manifest=loaded).train.images.shape == (1000, 8, 8)

    def test_a_name_cannot_lead_out_of_the_folder(self, clone: Path) -> None:
        """A cache entry's path is built of the name that was asked for."""
        with pytest.raises(UnknownName):
            get("../entries/tinydigits", manifest=clone)


def other_hashes(clone: Path) -> None:
    """A planted hash, so that a planted array would pass for the one that was written."""
    known = plain_entry(entry_file(clone))
    known[8]["train.images"] = "f" * 64
    write_entry(entry_file(clone), known)


def another_entry(clone: Path) -> None:
    """A planted license."""
    known = plain_entry(entry_file(clone))
    known[9]["license"] = "none at all"
    write_entry(entry_file(clone), known)


def another_manifest_hash(clone: Path) -> None:
    """A planted hash of the manifest."""
    known = plain_entry(entry_file(clone))
    known[6][str(clone)] = "f" * 64
    write_entry(entry_file(clone), known)


class TestEveryByte:
    """With verify="always" a cache entry's digests are compared with what is on disk now."""

    @pytest.mark.parametrize("damage", [*DAMAGES, other_hashes, another_manifest_hash], ids=lambda d: d.__name__)
    def test_whatever_does_not_fit_is_found_out_again(self, clone: Path, damage: Callable[[Path], None]) -> None:
        """In a fresh process; the result is right."""
        expected = np.array(get("tinydigits", manifest=clone).train.images)
        damage(clone)
        code = (
            f"from tinytorch_datasets import get; d = get('tinydigits', manifest={str(clone)!r}, verify='always');"
            "import hashlib; print(hashlib.sha256(d.train.images.tobytes()).hexdigest())"
        )
        result = python("-c", code).stdout

        assert result.strip() == hashlib.sha256(expected.tobytes()).hexdigest()

    def test_the_one_in_hand_is_read_again_too(self, clone: Path) -> None:
        """A second call in one process hashes the bytes of its arrays as well."""
        get("tinydigits", manifest=clone)
        right = np.array(get("tinydigits", manifest=clone).test.images)
        path = next(clone.parent.rglob("test.images.npy"))
        seen = path.stat()
        with path.open("r+b") as stream:
            stream.seek(-1, 2)
            stream.write(b"?")
        forge = {
            str(seen.st_mtime_ns): str(path.stat().st_mtime_ns),
            str(seen.st_ctime_ns): str(path.stat().st_ctime_ns),
        }
        replace_in_entry(entry_file(clone), forge)

        assert np.array_equal(get("tinydigits", manifest=clone, verify="always").test.images, right)


def test_every_damaged_header_is_noticed(clone: Path) -> None:
    """Whichever bit of it: NumPy reads a header as Python, and says of it what Python says."""
    get("tinydigits", manifest=clone)
    (path,) = clone.parent.rglob("train.labels.npy")
    right = path.read_bytes()
    for bit in range(0, 8 * 128, 3):
        damaged = bytearray(right)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        header = read_header(path.parent, path.name)

        assert header is None or (header[0].file, header[0].offset) == (path.name, 128)


class TestAudit:
    """A planted cache entry can change what get() hands over, and the audit sees it."""

    def test_a_good_entry_is_no_finding(self, clone: Path) -> None:
        """The one that get() wrote."""
        get("tinydigits", manifest=clone)

        assert audit(["tinydigits"], manifest=clone, levels=["shipped"]).findings == ()

    def test_swapped_splits_are_seen(self, clone: Path) -> None:
        """StatCache fit, files and arrays are right, and yet test comes back as train."""
        get("tinydigits", manifest=clone)
        known = plain_entry(entry_file(clone))
        known[4][0][1], known[4][1][1] = known[4][1][1], known[4][0][1]
        write_entry(entry_file(clone), known)

        (finding,) = audit(["tinydigits"], manifest=clone, levels=["shipped"]).findings

        assert finding.rule == "cache-entry"
        assert finding.path == str(entry_file(clone))
        assert finding.what == "the cache entry by which `get` opens it is not what the manifest says"

    @pytest.mark.parametrize("planted", [other_hashes, another_entry, another_manifest_hash])
    def test_other_hashes_and_other_words_are_seen(self, clone: Path, planted: Callable[[Path], None]) -> None:
        """All that a cache entry says is in the manifest, or in what was written beside the arrays."""
        get("tinydigits", manifest=clone)
        planted(clone)

        assert [f.rule for f in audit(["tinydigits"], manifest=clone, levels=["shipped"]).findings] == ["cache-entry"]

    def test_one_that_nobody_would_take_is_no_finding(self, clone: Path) -> None:
        """Its stamps do not fit, so every stage runs."""
        get("tinydigits", manifest=clone)
        clone.write_text(clone.read_text() + "# a remark\n")

        assert audit(["tinydigits"], manifest=clone, levels=["shipped"]).ok

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform != "linux", reason="a system on which every path is UTF-8")
    def test_another_locale_spells_a_path_otherwise(self, tmp_path: Path) -> None:
        """The bytes are the same, and so are the files: no finding, and no error for `get`."""
        world = build(tmp_path / "world")
        mine, theirs = tmp_path / "mine", tmp_path / "caf\u00e9"
        mine.mkdir()
        (world.root / "home").rename(theirs)
        shutil.rmtree(theirs / ".cache")
        homes = {"TINYTORCH_DATASETS_HOME": f"{mine}:{theirs}", "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        got = f"from tinytorch_datasets import get; get('digits', manifest={str(world.manifest)!r}, offline=True)"
        audited = f"from tinytorch_datasets import audit; print(audit('digits', manifest={str(world.manifest)!r}).ok)"
        for one, other in ((plain, {"PYTHONUTF8": "1"}), ({"PYTHONUTF8": "1"}, plain)):
            shutil.rmtree(mine)
            mine.mkdir()
            for code, locale, result in ((got, one, ""), (audited, other, "True\n"), (got, other, "")):
                done = subprocess.run(
                    [sys.executable, "-c", code], env={**homes, **locale}, capture_output=True, text=True, check=False
                )
                assert (done.stdout, done.stderr) == (result, "")
