"""The kept form of one's own manifests: what it saves, what it must never hide, and who may have written it."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.helpers.fresh_process import python
from tests.manifest.test_compiled import ALL_KINDS, LISTS
from tests.manifest.test_include import DATA, LATER, entry, installed, write
from tinytorch_datasets import formats, get, list_datasets, load_manifest, settings
from tinytorch_datasets.cli import main
from tinytorch_datasets.cli.listing import rows
from tinytorch_datasets.errors import DatasetError
from tinytorch_datasets.manifest import generated, kept, yaml_syntax
from tinytorch_datasets.pipeline import manifests


def reads_yaml(action: Callable[[], Any]) -> bool:
    """Whether YAML is parsed while something is done."""
    calls = set[Any]()
    sys.setprofile(lambda frame, event, _: calls.add(frame.f_code) if event == "call" else None)
    try:
        action()
    finally:
        sys.setprofile(None)
    return yaml_syntax.parse_events.__code__ in calls


def result(*command: object) -> Any:
    """What a command that ends well prints."""
    done = CliRunner().invoke(main, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    return done


def form(manifest: Path) -> Path:
    """Where its kept form is."""
    path = kept.kept_path(manifest)
    assert path is not None
    return path


def sealed(body: bytes) -> bytes:
    """A kept form as this package writes one, with its digest in front."""
    return hashlib.sha256(body + b"\n").hexdigest().encode() + b"\n" + body


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A manifest with an included one, as it was kept when it was listed."""
    write(tmp_path / "shared" / "department.yaml", "theirs")
    path = write(tmp_path / "course" / "datasets.yaml", "ours", include="../shared/department.yaml")
    assert [*json.loads(result("list", "--json", "--manifest", path).stdout)]
    assert kept.names(path) == ["ours", "theirs"]
    return path


def with_an_alias(text: str) -> str:
    """A data set that is declared as another is: there are no lines below it."""
    return text.replace("  ours:", "  ours: &ours", 1)[: text.index("  more:") + len(" &ours")] + "  more: *ours\n"


def with_aliases_below(text: str) -> str:
    """A file and a class of the one, and a list and a mapping of the other."""
    text = text.replace("fields:", "fields: &fields", 1).replace("classes: [a, b]", "classes: &classes [&a a, b]", 1)
    at = text.index("  more:")
    first, last = text.index("    fields:", at), text.index("    splits:", at)
    return text[:first] + "    fields: *fields\n    description: *a\n" + text[last:]


def with_lines_of_windows(text: str) -> str:
    """As Notepad ends them, after the mark that it begins with."""
    return "\ufeff" + text.replace("\n", "\r\n")


def in_braces(text: str) -> str:
    """As JSON, on one line."""
    return json.dumps(yaml.safe_load(text))


def over_several_lines(text: str) -> str:
    """Folded, with blank lines and comments between."""
    title = "\"\\u0031e3 \\\n      0x1F\" # text\n\n    description: |\n      1e3\n\n      ~\n    citation: 'no'"
    return text.replace("title: ours", f"title: {title}", 1)


def with_numbers_of_all_kinds(text: str) -> str:
    """Wide and narrow ranges, to the last digit of a float, and with underscores."""
    return text.replace("dtype: float64", "dtype: float64, range: [-1.7976931348623157e+308, 9_007_199_254_740_993]", 1)


SPELLINGS = [
    with_an_alias, with_aliases_below, with_lines_of_windows, in_braces, over_several_lines, with_numbers_of_all_kinds,
]  # fmt: skip
GOOD_VECTORS = [
    vector["file"] for vector in json.loads((ROOT / "conformance" / "manifests.json").read_text())
    if vector["rule"] is None and "no-data-sets" not in vector["file"]
]  # fmt: skip


class TestWhatItSaves:
    """Once a manifest was found right, its YAML is not read again until something changes."""

    def test_a_list_reads_no_yaml_the_second_time(self, tmp_path: Path) -> None:
        """And is the same to the last letter, on the screen and for programs."""
        path = write(tmp_path / "datasets.yaml", "first", "second", include="packaged")
        printed = list[str]()

        def listed() -> None:
            printed.append(
                result("list", "--manifest", path).stdout + result("list", "--json", "--manifest", path).stdout
            )

        assert reads_yaml(listed)
        assert not reads_yaml(listed)
        form(path).unlink()
        assert reads_yaml(listed)
        assert len(set(printed)) == 1

    def test_so_it_imports_nothing_that_validates_or_computes(self, course: Path) -> None:
        """Neither YAML nor Pydantic nor NumPy, by the modules of a fresh process."""
        code = (
            "import sys; from tinytorch_datasets.cli import main; main(['list', '--manifest', sys.argv[1]], '', "
            "standalone_mode=False); print(*sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code, course], capture_output=True, text=True, check=True)
        assert not {"yaml", "pydantic", "numpy"} & set(done.stdout.split())

    def test_names_complete_and_are_listed_without_yaml(self, course: Path) -> None:
        """In the shell, and for programs."""
        assert not reads_yaml(lambda: list_datasets(manifest=course))
        assert list_datasets(manifest=course) == [*load_manifest(course).datasets]
        env = {**os.environ, "_TTDS_COMPLETE": "bash_complete", "COMP_CWORD": "4"}
        env["COMP_WORDS"] = f"ttds get --manifest {course} th"
        code = "from tinytorch_datasets.cli import main; main(prog_name='ttds')"
        assert python("-c", code, env=env).stdout == "plain,theirs\n"

    def test_a_first_get_reads_no_yaml(self, course: Path) -> None:
        """Of a data set that was never decoded; what it returns is what the manifest declares."""
        assert not reads_yaml(lambda: get("THEIRS", manifest=course))
        assert get("theirs", manifest=course).train.y.tolist() == [0, 1]

    def test_a_get_alone_keeps_it_too(self, tmp_path: Path) -> None:
        """So that the next data set of a large manifest comes at once."""
        path = write(tmp_path / "datasets.yaml", "first", "second")

        assert reads_yaml(lambda: get("first", manifest=path))
        assert not reads_yaml(lambda: get("second", manifest=path))

    def test_a_touched_manifest_reads_none_either(self, course: Path) -> None:
        """The bytes count, and no time of the file system: an hour ago, now, or in a year."""
        for when in (time.time() - 3600, time.time(), time.time() + 365 * 86400):
            os.utime(course, (when, when))
            assert not reads_yaml(lambda: kept.names(course))
            assert kept.names(course) == ["ours", "theirs"]

    def test_what_is_declared_is_what_the_manifest_declares(self, tmp_path: Path) -> None:
        """Each plan, line number, signature and entry of all that is packaged, equal either way."""
        for name in ("datasets.yaml", "classics.yaml"):
            shutil.copy(ROOT / name, tmp_path)
        path = write(tmp_path / "mine.yaml", "ours", include="datasets.yaml")
        loaded = load_manifest(path)
        kept.keep(loaded)

        assert kept.names(path) == [*loaded.datasets]
        of_all = [kept.Listed.of(loaded.declared(name)) for name in loaded.datasets]
        assert [*rows(kept.listed(path).values(), None)] == [*rows(of_all, None)]
        assert [(one.is_untried, one.is_included) for one in kept.listed(path).values()] == [
            (one.is_untried, one.is_included) for one in of_all
        ]
        for name in loaded.datasets:
            assert kept.declared(path, name, formats) == loaded.declared(name)

    @pytest.mark.parametrize("listed_rows", [None, *LISTS])
    def test_every_kind_of_value_comes_back_as_it_was(self, tmp_path: Path, listed_rows: dict[str, Any] | None) -> None:
        """With its line, in lists and in mappings within lists, whatever language its texts are in."""
        declared = {**ALL_KINDS, "title": "Straße \u2014 \U0001f337"[:8]}
        if listed_rows is not None:
            train = {"samples": 3, "file": "a.zip", "members": ["*.png"], "stored_samples": 9, "rows": listed_rows}
            fields = {"images": {"dtype": "uint8", "shape": [2, 2]}}
            files = {name: {"bytes": 10, "sha256": "a" * 64} for name in ("a.zip", "l.csv")}
            declared |= {
                "format": "images",
                "options": {},
                "fields": fields,
                "splits": {"train": train},
                "files": files,
            }
        path = tmp_path / "datasets.yaml"
        text = json.dumps({"version": 1, "datasets": {"all-kinds": declared}}, indent=1, ensure_ascii=False)
        path.write_text(text, encoding="utf-8")
        loaded = load_manifest(path)
        kept.keep(loaded)

        assert kept.declared(path, "all-kinds", formats) == loaded.declared("all-kinds")

    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_however_it_is_written(self, tmp_path: Path, spelling: Callable[[str], str]) -> None:
        """What YAML has several ways to write is kept as it was read, and each error has the same line."""
        path = write(tmp_path / "datasets.yaml", "ours", "more")
        path.write_bytes(spelling(path.read_text()).encode())
        loaded = load_manifest(path)
        kept.keep(loaded)

        assert kept.listed(path) == kept.listed_of(loaded)
        for name in loaded.datasets:
            assert kept.declared(path, name, formats) == loaded.declared(name)
        assert not reads_yaml(lambda: manifests.declared(path, "more"))

    @pytest.mark.parametrize("vector", GOOD_VECTORS)
    def test_the_manifests_that_other_readers_are_tested_by(self, vector: str) -> None:
        """Each that is right, of the kit that says what a manifest means."""
        path = ROOT / "conformance" / vector
        loaded = load_manifest(path)
        kept.keep(loaded)

        assert kept.listed(path) == kept.listed_of(loaded)
        for name in loaded.datasets:
            assert kept.declared(path, name, formats) == loaded.declared(name)

    def test_the_packaged_manifest_is_not_kept_again(self) -> None:
        """It has a compiled form of its own, which came with it."""
        packaged = Path(settings.packaged_manifest())
        kept.keep(load_manifest(packaged))

        assert not form(packaged).exists()


def edited_at_the_same_instant(course: Path) -> None:
    """As many bytes, the same times as far as they can be set, the same file."""
    about = course.stat()
    course.write_text(course.read_text().replace("title: ours", "title: 0urs"))
    os.utime(course, ns=(about.st_atime_ns, about.st_mtime_ns))


def restored_from_a_backup(course: Path) -> None:
    """Another file of that name, which is older than what was kept of the newer one."""
    course.unlink()
    write(course, "ours", "more", include="../shared/department.yaml")
    os.utime(course, (1_000_000_000, 1_000_000_000))


def included_one_edited(course: Path) -> None:
    """One on the way, of which the manifest itself says nothing."""
    write(course.parent.parent / "shared" / "department.yaml", "theirs", "more")


def included_by_a_link(course: Path) -> None:
    """The same path leads to another file."""
    shared = course.parent.parent / "shared"
    shared.rename(shared.with_name("old"))
    write(shared.with_name("new") / "department.yaml", "theirs", "more")
    shared.symlink_to("new")


def a_link_to_the_same_bytes(course: Path) -> None:
    """Whose shipped files are in another folder, where others are."""
    shared = course.parent.parent / "shared"
    shutil.copytree(shared, shared.with_name("copy"))
    shared.rename(shared.with_name("old"))
    shared.symlink_to("copy")


def a_link_in_its_own_place(course: Path) -> None:
    """The manifest is a link now, as of a course's current year."""
    course.rename(course.with_name("old.yaml"))
    write(course.with_name("new.yaml"), "ours", "more", include="../shared/department.yaml")
    course.symlink_to("new.yaml")


def a_shipped_folder_elsewhere(course: Path) -> None:
    """Whether two layers share one is a rule of theirs."""
    shipped = course.parent.parent / "shared" / "datasets"
    shipped.rename(shipped.with_name("moved"))
    shipped.symlink_to("moved")


def written_by_another_version(course: Path) -> None:
    """Which may have had other rules, and known other keys."""
    body = form(course).read_bytes()[65:]
    assert body.startswith(b'[[1,"')
    form(course).write_bytes(sealed(body.replace(b'[[1,"', b'[[1,"9.9', 1)))


def of_another_manifest(course: Path) -> None:
    """A form under a name that it does not belong to."""
    body = form(course).read_bytes()[65:]
    form(course).write_bytes(sealed(body.replace(str(course).encode(), str(course).encode() + b"x", 1)))


def one_bit_flipped(course: Path) -> None:
    """In the middle of an entry, where JSON would not mind."""
    whole = bytearray(form(course).read_bytes())
    whole[whole.index(b"made here")] ^= 1
    form(course).write_bytes(whole)


def sealed_nonsense(course: Path) -> None:
    """Whole, and of no sense."""
    form(course).write_bytes(sealed(b"[" * 100_000))


def a_folder_that_others_look_into(course: Path) -> None:
    """Who may do that may do more on some systems; the package made it for this user alone."""
    form(course).parent.chmod(0o755)


CHANGES = [
    edited_at_the_same_instant, restored_from_a_backup, included_one_edited, included_by_a_link,
    a_link_to_the_same_bytes, a_link_in_its_own_place, a_shipped_folder_elsewhere, written_by_another_version,
    of_another_manifest, one_bit_flipped, sealed_nonsense, a_folder_that_others_look_into,
]  # fmt: skip


class TestWhenItDoesNotCount:
    """The YAML is read, and what it says is returned: a wrong answer out of a cache is worse than a slow one."""

    @pytest.mark.parametrize("change", CHANGES)
    def test_after(self, course: Path, change: Callable[[Path], None]) -> None:
        """Whatever changed, a list and a declaration are as if nothing had been kept."""
        change(course)

        assert kept.listed(course) == {}
        assert kept.declared(course, "ours", formats) is None
        assert reads_yaml(lambda: manifests.declared(course, "theirs"))
        assert manifests.declared(course, "theirs") == load_manifest(course).declared("theirs")
        assert list_datasets(manifest=course) == [*load_manifest(course).datasets]

    def test_a_link_that_was_changed_while_it_was_read(self, course: Path) -> None:
        """What was checked is the one file, and what it leads to now is the other: neither is kept."""
        loaded = load_manifest(course)
        kept.forget(course)
        (item,) = loaded.leads_to
        loaded.leads_to[item] = str(course.parent / "other.yaml")
        kept.keep(loaded)

        assert not form(course).exists()

    @pytest.mark.parametrize("library", ["yaml", "pydantic"])
    def test_another_version_of_what_checked_it(
        self, course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
    ) -> None:
        """Which may refuse what the one before took, in words of its own once it makes a model of one entry."""
        version = kept.LIBRARIES[library]
        original = importlib.import_module(library).__file__
        assert original is not None
        (tmp_path / library).mkdir()
        later = tmp_path / library / version
        shutil.copy(Path(original).with_name(version), later)
        (tmp_path / library / "__init__.py").touch()
        loaded = importlib.import_module(library)
        monkeypatch.delitem(sys.modules, library)
        monkeypatch.syspath_prepend(str(tmp_path))
        as_it_was = kept.names(course)
        later.write_bytes(later.read_bytes() + b"# 9.9.9")
        now = kept.names(course)
        monkeypatch.setitem(sys.modules, library, loaded)

        assert (as_it_was, now) == (["ours", "theirs"], [])

    def test_another_environment_with_another_version_of_a_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whose manifest an item of `include` names; and one that is gone is an error, in the same words."""
        path = write(tmp_path / "datasets.yaml", "ours", include="kit")
        there = [*sys.path]
        sites = [installed(tmp_path / venv / "site-packages", data) for venv, data in (("a", DATA), ("b", LATER))]
        digests = []
        for site in (*sites, sites[0]):
            monkeypatch.setattr(sys, "path", [str(site), *there])
            for _ in range(2):
                digests.append(manifests.declared(path, "theirs").plan.files[0].sha256)
        monkeypatch.setattr(sys, "path", there)

        assert digests == [hashlib.sha256(data).hexdigest() for data in (DATA, DATA, LATER, LATER, DATA, DATA)]
        with pytest.raises(DatasetError, match="no installed package brings a manifest named 'kit'"):
            list_datasets(manifest=path)

    def test_two_packages_of_one_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody knows which is meant, though the first still leads where it led."""
        site = installed(tmp_path / "site-packages", DATA)
        monkeypatch.syspath_prepend(str(site))
        path = write(tmp_path / "datasets.yaml", "ours", include="kit")
        kept.keep(load_manifest(path))
        assert kept.names(path) == ["ours", "theirs"]
        about = site / "lab-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("[tinytorch_datasets.manifests]\nkit = lab\n")

        assert kept.names(path) == []


def message(action: Callable[[], Any]) -> str:
    """What is wrong, as a person sees it."""
    with pytest.raises(DatasetError) as caught:
        action()
    return str(caught.value)


class TestErrors:
    """Each in the same words, with the same line, whether the manifest was kept or is read."""

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda course: (course.parent / "datasets" / "ours" / "points.csv").unlink(),
            lambda course: (course.parent / "datasets" / "ours" / "points.csv").write_bytes(LATER),
            lambda course: (course.parent / "datasets" / "ours" / "points.csv").write_bytes(b"<html>"),
            lambda course: (course.parent.parent / "shared" / "datasets" / "theirs" / "points.csv").unlink(),
        ],
        ids=["missing", "other values", "another kind", "missing, of an included one"],
    )
    def test_of_a_file(self, course: Path, spoil: Callable[[Path], Any]) -> None:
        """They name the line that declares it, and of an included manifest the path."""
        spoil(course)
        names = [name for name in ("ours", "theirs") if not get_works(name, course)]
        with_it = [message(lambda name=name: get(name, manifest=course)) for name in names]  # type: ignore[misc]
        assert kept.forget(course)
        without = [message(lambda name=name: get(name, manifest=course)) for name in names]  # type: ignore[misc]

        assert names
        assert with_it == without
        assert ".yaml:" in with_it[0]

    def test_of_an_unknown_name(self, course: Path) -> None:
        """With the nearest that there is."""
        with_it = message(lambda: get("our", manifest=course))
        kept.forget(course)

        assert with_it == message(lambda: get("our", manifest=course))
        assert "'ours'" in with_it

    def test_of_the_values(self, tmp_path: Path) -> None:
        """What no reading of the manifest finds, and decoding does: the line of the field."""
        path = tmp_path / "datasets.yaml"
        text = entry("ours").replace("dtype: float64", "dtype: float64, range: [0, 1]")
        write(path, "ours")
        path.write_text(f"version: 1\ndatasets:\n{text}")
        kept.keep(load_manifest(path))
        with_it = message(lambda: get("ours", manifest=path))
        kept.forget(path)

        assert with_it == message(lambda: get("ours", manifest=path))
        assert "datasets.yaml:11" in with_it


def get_works(name: str, manifest: Path) -> bool:
    """Whether a data set comes."""
    try:
        get(name, manifest=manifest)
    except DatasetError:
        return False
    return True


class TestItsPlace:
    """In the user's cache folder, bounded, and removable; where nothing can be written, nothing is."""

    def test_where_nothing_can_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file stands where the folder would be: not a word about it, and the same list."""
        path = write(tmp_path / "datasets.yaml", "ours")
        (tmp_path / "cache").write_bytes(b"")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        done = [result("list", "--manifest", path) for _ in range(2)]

        assert [one.stderr for one in done] == ["", ""]
        assert done[0].stdout == done[1].stdout
        assert kept.forget(path) == kept.bytes_of(path) == 0

    def test_config_names_it_and_clean_removes_it(self, course: Path) -> None:
        """And says how much it was; only with all else, and never before it was asked."""
        size = form(course).stat().st_size
        facts = {
            fact["name"]: fact["value"] for fact in json.loads(result("config", "--json", "--manifest", course).stdout)
        }
        assert facts["kept form"] == str(form(course))
        result("clean", "ours", "--manifest", course)
        result("clean", "--arrays", "--yes", "--manifest", course)
        would = result("clean", "--dry-run", "--manifest", course).stderr
        assert form(course).stat().st_size == size
        done = result("clean", "--yes", "--manifest", course).stderr

        assert would == f"kept form of datasets.yaml: {size / 1000:.1f} kB would be freed\n"
        assert done == f"kept form of datasets.yaml: {size / 1000:.1f} kB freed\n"
        assert not form(course).exists()

    @pytest.mark.slow
    def test_many_write_and_read_it_at_once(self, course: Path) -> None:
        """Each reader gets all of one, or none; what is left is whole."""
        loaded, wrong = load_manifest(course), list[list[str]]()

        def write_and_read() -> None:
            for _ in range(20):
                kept.keep(loaded)
                if (names := kept.names(course)) not in ([], ["ours", "theirs"]):
                    wrong.append(names)

        threads = [threading.Thread(target=write_and_read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert not wrong
        assert kept.names(course) == ["ours", "theirs"]
        assert [path.name for path in form(course).parent.iterdir()] == [form(course).name]

    def test_it_is_read_by_no_audit(self, course: Path) -> None:
        """Which believes the manifest alone."""
        assert generated.declared(course, "ours") is None
        assert reads_yaml(lambda: result("audit", "--manifest", course, "--offline"))
