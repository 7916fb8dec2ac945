"""Kept reports: given again while nothing differs that they were made from, and never once anything does.

The witness is an audit by a user whose cache folder is empty: that one looks at everything.
"""

from __future__ import annotations

import csv
import errno
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
from click.testing import CliRunner

from tests.auditing.test_audit_by_digests import declare_every_digest
from tests.helpers.audit_world import World, build
from tests.helpers.cache_entries import replace_in_entry
from tests.helpers.fresh_process import python
from tests.manifest.test_include import LATER, write
from tests.manifest.test_kept_cache import reads_yaml, result, sealed
from tinytorch_datasets import audit, load_manifest, settings
from tinytorch_datasets.auditing import kept_report
from tinytorch_datasets.auditing.findings import Report
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.storage import private_cache

A_FOLDER = os.strerror(errno.EISDIR)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world that was audited before, and found right."""
    world = build(tmp_path / "world")
    assert audit(manifest=world.manifest).ok
    return world


def kept_of(world: World) -> list[Path]:
    """The files of kept reports of its manifest."""
    return [*map(Path, private_cache.paths_of(private_cache.REPORTS, world.manifest))]


def anew(world: World, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Report:
    """What an audit reports that knows of none before."""
    with monkeypatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(world.root.parent / "empty"))
        return audit(manifest=world.manifest, **how)


def is_given_again(world: World, **how: Any) -> bool:
    """Whether an audit gives what was kept: by whether it reads the manifest."""
    return not reads_yaml(lambda: audit(manifest=world.manifest, **how))


class TestWhileNothingDiffers:
    """The second audit hashes, and does not more."""

    def test_the_report_is_the_same(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Equal, and the same to programs, and on a terminal."""
        before = result("audit", "--manifest", world.manifest).stdout
        assert is_given_again(world)
        report, witness = audit(manifest=world.manifest), anew(world, monkeypatch)

        assert report == witness
        assert report.as_dict() == witness.as_dict()
        assert [type(finding) for finding in report.findings] == [type(finding) for finding in witness.findings]
        assert result("audit", "--manifest", world.manifest).stdout == before

    def test_so_is_one_with_warnings(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """In their order, with lines and hints; and one that is strict is another call."""
        world.edit("title: Talk", "title: '?'")
        world.edit("      - https://mirror.invalid/digits/\n", "")
        (world.root / "use.py").unlink()
        audit(manifest=world.manifest)
        assert is_given_again(world)
        report = audit(manifest=world.manifest)

        assert [finding.rule for finding in report.findings] == [
            "used-by-missing", "question", "used-by-missing", "single-mirror", "used-by-missing",
        ]  # fmt: skip
        assert report == anew(world, monkeypatch)
        assert report.ok
        assert not audit(manifest=world.manifest, strict=True).ok

    @pytest.mark.parametrize("is_declared", [True, False])
    def test_every_file_is_hashed_again(self, world: World, is_declared: bool) -> None:
        """Each that was hashed or compared: sources, arrays, the buffers of texts; as many bytes as before."""
        if is_declared:
            declare_every_digest(world)
            audit(manifest=world.manifest)
        steps = list[tuple[int, int]]()
        audit(manifest=world.manifest, progress=lambda *step: steps.append(step))
        head = 0 if not is_declared else 128 * 8  # of arrays of numbers with a declared digest, the values alone
        files = [*world.root.glob("datasets/*/*"), *world.root.glob("home/digits/*"), *world.root.rglob("*.npy")]

        assert steps[-1] == (sum(path.stat().st_size for path in files) - head,) * 2
        assert [*steps] == sorted(steps)

    def test_nothing_is_imported_that_reads_or_decodes(self, world: World) -> None:
        """By the modules of a fresh process, of the command."""
        code = "import sys; from tinytorch_datasets.cli import main\n"
        code += "try: main(['audit', '--manifest', sys.argv[1]])\nfinally: print(*sys.modules, file=sys.stderr)"
        done = subprocess.run([sys.executable, "-c", code, world.manifest], capture_output=True, text=True, check=True)

        assert "Everything checked matches" in done.stdout
        heavy = {"numpy", "yaml", "pydantic", "rich", "tinytorch_datasets.pipeline", "tinytorch_datasets.manifest"}
        assert not heavy & set(done.stderr.split())

    def test_by_aliases_of_a_call(self, world: World) -> None:
        """A path may be given as a str, and the rules in any order."""
        audit(["talk"], manifest=str(world.manifest), ignore=["unused", "budget"])

        assert is_given_again(world, names=("talk",), ignore={"budget", "unused"})

    def test_a_touched_file_is_as_it_was(self, world: World) -> None:
        """Bytes count, and no times; a cache entry that counts no more is another world, for once."""
        for path in (world.manifest, world.root / "use.py"):
            os.utime(path, (1, 1))
        audit(manifest=world.manifest)

        assert is_given_again(world)


def a_byte_of_a_source(world: World) -> None:
    """With the time that it had."""
    path = world.file("digits/train-images")
    about = path.stat()
    world.flip(path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def a_byte_of_a_shipped_file(world: World) -> None:
    """As many as before."""
    world.flip(world.file("talk/talk.txt"))


def a_byte_of_a_digested_array(world: World) -> None:
    """Whose digest the manifest declares."""
    world.flip(world.array("test.images.npy"))


def a_byte_of_a_compared_array(world: World) -> None:
    """Which was compared with what its file decodes to."""
    world.flip(world.array("train.labels.npy"))


def a_byte_of_a_text(world: World) -> None:
    """In the buffer of strings."""
    world.flip(world.array("train.lines.utf8.npy"))


def a_byte_of_a_header(world: World) -> None:
    """Numbers of another order."""
    path = world.array("test.labels.npy")
    path.write_bytes(path.read_bytes().replace(b"<i8", b">i8"))


def a_byte_of_the_digests(world: World) -> None:
    """Of what is noted beside arrays."""
    path = next(path for path in world.root.rglob("digests.json") if "digits" in str(path))
    path.write_bytes(path.read_bytes().replace(b"train.labels", b"train.lobels"))


def a_cache_entry(world: World) -> None:
    """Which opens other values."""
    path = next((world.root / "home" / ".cache" / "entries").glob("digits-*"))
    replace_in_entry(path, {"|u1": "|i1"})


def an_undeclared_file(world: World) -> None:
    """In the shipped folder."""
    (world.root / "datasets" / "talk" / "more.txt").write_bytes(b"x")


def a_file_over_the_budget(world: World) -> None:
    """Of a name that is no finding in itself."""
    (world.root / "datasets" / "README.md").write_bytes(bytes(7_000))


def an_empty_undeclared_folder_with_a_link(world: World) -> None:
    """To nothing."""
    (world.root / "datasets" / "new").mkdir()
    (world.root / "datasets" / "new" / "link").symlink_to("nowhere")


def a_missing_source(world: World) -> None:
    """Of four."""
    world.file("digits/test-labels").unlink()


def a_missing_shipped_file(world: World) -> None:
    """Which ships."""
    world.file("flowers/test.csv").unlink()


def a_missing_array(world: World) -> None:
    """So that the others are of no use."""
    world.array("train.images.npy").unlink()


def a_link_to_the_same_bytes(world: World) -> None:
    """In the place of a file that ships."""
    path = world.file("talk/talk.txt")
    path.rename(world.root / "elsewhere.txt")
    path.symlink_to(world.root / "elsewhere.txt")


def a_folder_by_a_link(world: World) -> None:
    """All of the shipped data elsewhere."""
    path = world.root / "datasets" / "talk"
    path.rename(world.root / "elsewhere")
    path.symlink_to(world.root / "elsewhere")


def the_manifest(world: World) -> None:
    """A question that it leaves open."""
    world.edit("title: Talk", "title: todo")


def a_rule_of_the_manifest(world: World) -> None:
    """What is checked of values that did not change."""
    world.edit("range: [0, 40]", "range: [0, 1]")


def a_path_of_use(world: World) -> None:
    """Which used_by names."""
    (world.root / "use.py").unlink()


def a_pipe(world: World) -> None:
    """Which would be waited at for ever."""
    path = world.file("talk/talk.txt")
    path.unlink()
    os.mkfifo(path)


def a_touched_source(world: World) -> None:
    """So that its cache entry counts no more, for whoever asks."""
    os.utime(world.file("digits/train-images"), (1, 1))


def arrays_that_are_gone(world: World) -> None:
    """As `clean --arrays` leaves it."""
    shutil.rmtree(world.root / "home" / ".cache")


CHANGES = [
    a_byte_of_a_source, a_byte_of_a_shipped_file, a_byte_of_a_digested_array, a_byte_of_a_compared_array,
    a_byte_of_a_text, a_byte_of_a_header, a_byte_of_the_digests, a_cache_entry, an_undeclared_file,
    a_file_over_the_budget, an_empty_undeclared_folder_with_a_link, a_missing_source, a_missing_shipped_file,
    a_missing_array, a_link_to_the_same_bytes, a_folder_by_a_link, the_manifest, a_rule_of_the_manifest, a_path_of_use,
    a_pipe, a_touched_source, arrays_that_are_gone,
]  # fmt: skip
# One of each kind; the others are of the slow set.
FAST = {a_byte_of_a_source, a_byte_of_a_text, a_cache_entry, an_undeclared_file, the_manifest, a_touched_source}
# After these, a whole audit finds nothing wrong either.
HARMLESS = {a_touched_source, arrays_that_are_gone}


class TestOnceAnythingDiffers:
    """The audit looks at everything, and reports what it finds."""

    @pytest.mark.parametrize(
        "change", [one if one in FAST else pytest.param(one, marks=pytest.mark.slow) for one in CHANGES]
    )
    def test_after(self, world: World, monkeypatch: pytest.MonkeyPatch, change: Callable[[World], None]) -> None:
        """Each input of an audit: the report is the one of an audit that knows of none before."""
        change(world)
        witness = anew(world, monkeypatch)
        reports = list[Report]()

        assert reads_yaml(lambda: reports.append(audit(manifest=world.manifest)))
        assert reports == [witness]
        assert (witness.findings == ()) == (change in HARMLESS)
        assert audit(manifest=world.manifest) == witness

    @pytest.mark.slow
    @pytest.mark.parametrize("change", [a_byte_of_a_digested_array, a_byte_of_a_text, a_byte_of_a_header])
    def test_where_declared_digests_vouch(
        self, world: World, monkeypatch: pytest.MonkeyPatch, change: Callable[[World], None]
    ) -> None:
        """Nothing was decoded then, and the arrays themselves were hashed."""
        declare_every_digest(world)
        audit(manifest=world.manifest)
        assert is_given_again(world)
        change(world)
        report = audit(manifest=world.manifest)

        assert [finding.rule for finding in report.findings] == ["array"]
        assert report == anew(world, monkeypatch)

    @pytest.mark.parametrize(
        "how",
        [
            {"decode": "always"},
            {"home": "other"},
            *(
                pytest.param(how, marks=pytest.mark.slow)
                for how in (
                    {"names": ["talk"]},
                    {"levels": ["shipped"]},
                    {"decode": "never"},
                    {"strict": True},
                    {"ignore": ["question"]},
                )
            ),
        ],
        ids=str,
    )
    def test_another_call(self, world: World, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]) -> None:
        """Has a report of its own, and is given that one again; "always" is how all is done anew."""
        if "home" in how:
            how = {"home": world.root / "other"}
        world.edit("title: Talk", "title: '?'")
        audit(manifest=world.manifest)
        witness = anew(world, monkeypatch, **how)

        assert audit(manifest=world.manifest, **how) == witness
        assert audit(manifest=world.manifest, **how) == witness
        assert is_given_again(world, **how) == (how.get("decode") != "always")

    def test_an_audit_with_an_error_is_done_each_time(self, world: World) -> None:
        """Whoever mends what it names shall see it go, and nothing is remembered of it."""
        audit(manifest=world.manifest)
        (before,) = kept_of(world)
        was = before.read_bytes()
        world.flip(world.file("talk/talk.txt"))
        assert not audit(manifest=world.manifest).ok
        assert not is_given_again(world)
        world.flip(world.file("talk/talk.txt"))

        assert before.read_bytes() == was
        assert audit(manifest=world.manifest).ok

    def test_variables(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that says where homes are, and one that refuses the audit."""
        monkeypatch.setenv(settings.HOME, str(world.root / "nothing"))
        assert [row.state for row in audit(manifest=world.manifest).datasets] == ["ok", "ok", "not downloaded"]
        monkeypatch.setenv(settings.STANDIN, "1")

        with pytest.raises(UsageError, match="an audit is of real data"):
            audit(manifest=world.manifest)

    def test_a_home_named_from_the_current_folder_on(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Is another one in another folder, though the variable has the same text."""
        monkeypatch.setenv(settings.HOME, "home")
        monkeypatch.chdir(world.root)
        assert audit(manifest=world.manifest).ok
        assert is_given_again(world)
        monkeypatch.chdir(world.root / "datasets")
        report = audit(manifest=world.manifest)

        assert report.datasets[2].state == "not downloaded"
        assert report == anew(world, monkeypatch)

    def test_a_new_home(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that comes first, and had nothing when it was audited, has a damaged copy now."""
        first = world.root / "first"
        monkeypatch.setenv(settings.HOME, os.pathsep.join([str(first), str(world.root / "home")]))
        assert audit(manifest=world.manifest).ok
        assert is_given_again(world)
        shutil.copytree(world.root / "home" / "digits", first / "digits")
        world.flip(first / "digits" / "test-images")
        report = audit(manifest=world.manifest)

        assert report.findings[0].path == str(first / "digits" / "test-images")
        assert report == anew(world, monkeypatch)

    def test_an_included_manifest(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And a link on the way to it, whose other end has data that is declared otherwise."""
        shared = tmp_path / "shared"
        write(shared / "department.yaml", "theirs")
        top = World(tmp_path / "course")
        write(top.manifest, "ours", include="../shared/department.yaml")
        assert audit(manifest=top.manifest).ok
        assert is_given_again(top)
        write(tmp_path / "new" / "department.yaml", "theirs", theirs=LATER)
        (tmp_path / "new" / "datasets" / "theirs" / "points.csv").write_bytes(LATER[:-1])
        shared.rename(tmp_path / "old")
        shared.symlink_to("new")
        report = audit(manifest=top.manifest)

        assert [(finding.rule, finding.dataset) for finding in report.findings] == [("file-size", "theirs")]
        assert report == anew(top, monkeypatch)

    def test_a_compiled_form(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beside the packaged manifest, where none was."""
        monkeypatch.setattr(settings, "_PACKAGE", str(world.root / "package"))
        assert audit(manifest=world.manifest).ok
        assert is_given_again(world)
        world.manifest.with_suffix(".compiled.json").write_text("[]")
        report = audit(manifest=world.manifest)

        assert [finding.rule for finding in report.findings] == ["compiled-stale"]
        assert report == anew(world, monkeypatch)
        assert not is_given_again(world)

    def test_code(self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of the same version; and what code found out that was changed since it was loaded is not kept."""
        package = tmp_path / "package"
        package.mkdir()
        (package / "lint.py").write_text("")
        monkeypatch.setattr(private_cache, "_PACKAGE", str(package))
        audit(manifest=world.manifest)
        assert not is_given_again(world)
        monkeypatch.setattr(private_cache, "LOADED_AT", time.time() + 60)
        audit(manifest=world.manifest)
        assert is_given_again(world)
        os.utime(package / "lint.py", (1, 1))

        assert not is_given_again(world)

    def test_libraries(self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that was installed now may decode otherwise, or register a manifest."""
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        assert is_given_again(world)
        (tmp_path / "site" / "codec-2.0.dist-info").mkdir(parents=True)

        assert not is_given_again(world)

    def test_a_library_whose_version_nothing_says(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder with nothing but the package comes first on Python's path; each may decode otherwise."""
        monkeypatch.setattr(private_cache, "LOADED_AT", time.time() + 60)
        for name in ("PIL", "pyarrow", "h5py", "soundfile", "isal"):
            init = tmp_path / name / name / "__init__.py"
            init.parent.mkdir(parents=True)
            init.write_text("raise ImportError\n")
            with monkeypatch.context() as patched:
                assert is_given_again(world)
                patched.delitem(sys.modules, name, raising=False)  # as in a process that has not imported it yet
                patched.syspath_prepend(str(tmp_path / name))
                assert not is_given_again(world)
            audit(manifest=world.manifest)

    def test_a_library_that_was_changed_since_the_start(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its old code may run in this process: what that finds out is not kept as the new one's."""
        (path,) = kept_of(world)
        path.unlink()
        init = tmp_path / "site" / "h5py" / "__init__.py"
        init.parent.mkdir(parents=True)
        init.write_text("")
        monkeypatch.delitem(sys.modules, "h5py", raising=False)  # as in a process that has not imported it yet
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        audit(manifest=world.manifest)

        assert kept_of(world) == []

    def test_code_that_was_changed_since_the_start(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process whose own code is older than the one that a report was made by does not give it."""
        assert is_given_again(world)
        monkeypatch.setattr(private_cache, "LOADED_AT", 0.0)

        assert not is_given_again(world)

    @pytest.mark.parametrize(
        ("module", "name", "value"),
        [
            ("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES", True),
            ("PIL.GifImagePlugin", "LOADING_STRATEGY", 2),
            ("PIL.PngImagePlugin", "MAX_TEXT_CHUNK", 2**30),
            ("PIL.PngImagePlugin", "MAX_TEXT_MEMORY", 2**30),
            ("PIL.PngImagePlugin", "MAX_TEXT_MEMORY", set()),
        ],
    )
    def test_what_a_program_sets_in_pillow(
        self, world: World, monkeypatch: pytest.MonkeyPatch, module: str, name: str, value: object
    ) -> None:
        """For all of its process: pictures that are read elsewhere are refused here, or come as other values."""
        module_itself = pytest.importorskip(module)
        audit(manifest=world.manifest)
        assert is_given_again(world)
        monkeypatch.setattr(module_itself, name, value)

        assert not is_given_again(world)

    @pytest.mark.parametrize(
        ("ask", "set_to", "value"),
        [
            (csv.field_size_limit, csv.field_size_limit, 2**30),
            (sys.get_int_max_str_digits, sys.set_int_max_str_digits, 0),
            (sys.getrecursionlimit, sys.setrecursionlimit, sys.getrecursionlimit() + 1_000),
        ],
    )
    def test_what_a_program_sets_in_python(
        self, world: World, ask: Callable[[], int], set_to: Callable[[int], object], value: int
    ) -> None:
        """A cell, a number or a record that is read with another limit is an error with this one."""
        before = ask()
        set_to(value)
        try:
            audit(manifest=world.manifest)
            assert is_given_again(world)
        finally:
            set_to(before)

        assert not is_given_again(world)

    def test_modules_that_nothing_has_imported(self) -> None:
        """Have the values that they begin with, or no process would be given what another has kept."""
        for module, name, first in kept_report.SET_BY_PROGRAMS:
            assert getattr(pytest.importorskip(module), name) == first
        assert csv.field_size_limit() == kept_report.LONGEST_CELL


class TestWhileItIsMade:
    """A report is kept of what was the same before and after it."""

    def test_what_is_put_away_for_a_moment(self, world: World) -> None:
        """And is back when it ends, at the size and with the time that it had."""
        extra, aside = world.root / "datasets" / "extra.bin", world.root / "extra.bin"
        extra.write_bytes(b"x")

        def put_away(*_: int) -> None:
            if extra.exists():
                extra.rename(aside)

        assert audit(manifest=world.manifest, progress=put_away, ignore=["budget"]).ok
        aside.rename(extra)
        report = audit(manifest=world.manifest, ignore=["budget"])

        assert [finding.rule for finding in report.findings] == ["undeclared"]

    @pytest.mark.slow
    def test_folders_in_folders(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Deeper than can be listed: the audit is as ever, and nothing is kept."""
        before = kept_of(world)
        at = os.open(world.root / "datasets", os.O_RDONLY)
        for _ in range(600):
            os.mkdir("a", dir_fd=at)
            at, above = os.open("a", os.O_RDONLY, dir_fd=at), at
            os.close(above)
        os.close(at)

        assert audit(manifest=world.manifest, ignore=["budget"]) == anew(world, monkeypatch, ignore=["budget"])
        assert kept_of(world) == before

    def test_what_is_hashed_is_read(self, world: World) -> None:
        """Of what is mapped, an error of the disk ends the process; whoever asks for arrays has them mapped anyway."""
        declare_every_digest(world)
        code = (
            "import sys; from tinytorch_datasets import audit, get; mapped = []\n"
            "sys.addaudithook(lambda event, about: mapped.append(about) if event == 'mmap.__new__' else None)\n"
            f"assert audit(manifest={str(world.manifest)!r}, ignore=['budget']).ok\n"
            "print(len(mapped))\n"
            f"get('digits', manifest={str(world.manifest)!r}, verify='always')\n"
            "print(len(mapped) > 0)"
        )
        for _ in range(2):  # and when the report is given again
            assert python("-c", code).stdout == "0\nTrue\n"

    def test_what_is_gone_once_it_was_hashed(self, world: World) -> None:
        """Is a finding, beside those of all others: a folder is in its place when it is to be decoded."""
        path, before = world.file("talk/talk.txt"), kept_of(world)

        def put_a_folder(done: int, in_all: int) -> None:
            if done == in_all and path.is_file():
                path.unlink()
                path.mkdir()

        report = audit(manifest=world.manifest, progress=put_a_folder, decode="always")

        assert [(finding.rule, finding.dataset, finding.what) for finding in report.findings] == [
            (
                "file-missing",
                "talk",
                f"{path} was hashed, and could not be read when it was to be decoded: it is no regular file",
            )
        ]
        assert kept_of(world) == before

    def test_what_is_written_meanwhile(self, world: World) -> None:
        """An array that was compared, or is about to be: which of both, nobody knows."""
        array = world.array("train.images.npy")

        def change(*_: int) -> None:
            world.flip(array)
            world.flip(array)

        audit(manifest=world.manifest, progress=change, ignore=["budget"])

        assert len(kept_of(world)) == 1  # of the fixture's own call


def sealed_nonsense(path: Path) -> None:
    """Whole, and of no sense."""
    path.write_bytes(sealed(b"[]\n[]\n[]\n[]\n[]"))


def of_a_later_layout(path: Path) -> None:
    """With a line more."""
    path.write_bytes(sealed(path.read_bytes()[65:] + b"\n[]"))


def of_another_call(path: Path) -> None:
    """Under this one's name."""
    body = path.read_bytes()[65:]
    assert b'"auto", false' in body
    path.write_bytes(sealed(body.replace(b'"auto", false', b'"auto", true')))


def in_an_open_folder(path: Path) -> None:
    """Who may write there may have put it there."""
    path.parent.chmod(0o777)


class TestItsPlace:
    """The user's own cache folder, and what is in it is believed of nobody else."""

    @pytest.mark.parametrize("change", [sealed_nonsense, of_a_later_layout, of_another_call, in_an_open_folder])
    def test_what_is_not_as_it_was_written(self, world: World, change: Callable[[Path], None]) -> None:
        """Is made anew."""
        (path,) = kept_of(world)
        change(path)

        assert not is_given_again(world)
        assert audit(manifest=world.manifest).ok

    @pytest.mark.parametrize("place", ["/dev/null/none", "relative"])
    def test_where_there_is_none(self, world: World, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        """The audit is as ever."""
        report = audit(manifest=world.manifest)
        monkeypatch.setenv("XDG_CACHE_HOME", place)

        assert audit(manifest=world.manifest) == report
        assert not is_given_again(world)
        assert not (Path.cwd() / place).exists()

    def test_config_names_it_and_clean_removes_it(self, world: World) -> None:
        """With the kept form of the manifest, and never before it was asked."""
        (path,) = kept_of(world)
        size = path.stat().st_size
        facts = json.loads(result("config", "--json", "--manifest", world.manifest).stdout)
        assert {"name": "kept reports", "value": str(path.parent)}.items() <= facts[-1].items()
        result("clean", "talk", "--manifest", world.manifest)
        assert path.exists()
        done = CliRunner().invoke(main, ["clean", "--yes", "--manifest", str(world.manifest)])

        assert f"kept reports of audits of datasets.yaml: {size / 1000:.1f} kB freed\n" in done.stderr
        assert not path.exists()

    @pytest.mark.slow
    def test_several_audits_at_once(self, world: World) -> None:
        """Each has the whole report, and what they leave is whole."""
        reports = list[Report]()

        def audit_twice() -> None:
            reports.extend(audit(manifest=world.manifest, levels=["shipped"]) for _ in range(2))

        threads = [threading.Thread(target=audit_twice) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(reports) == 6
        assert len({repr(report.as_dict()) for report in reports}) == 1
        assert is_given_again(world, levels=["shipped"])

    def test_nothing_is_kept_of_a_manifest_in_memory(self, world: World) -> None:
        """Which may be of no file any more; it is audited as it is."""
        (path,) = kept_of(world)
        path.unlink()

        assert audit(manifest=load_manifest(world.manifest)).ok
        assert kept_of(world) == []
