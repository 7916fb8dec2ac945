"""Packages in a mirror: wheels for every platform and Python of a class, as an index without the internet."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from tests.helpers.audit_world import World
from tinytorch_datasets.api import manifest_of
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import DatasetError, FetchError, StorageError, UnknownName, UsageError
from tinytorch_datasets.mirror import packages, serve
from tinytorch_datasets.mirror.copy import Packaged, format_sums, sums_in, wheel_facts, write_index
from tinytorch_datasets.mirror.packages import Target, closure, installed_wheel, targets_of
from tinytorch_datasets.mirror.serve import packages_in

ROOT = Path(__file__).parents[2]
NEW = "Requires-Python: >=3.11\n"
ANY = "py3-none-any"
LINUX, WINDOWS = Target("linux", "3.12"), Target("windows", "3.12")


def wheel(
    folder: Path, name: str, version: str, *requires: str, tags: str = "py3-none-any", metadata: str = ""
) -> Path:
    """A wheel with one module, as small as one can be."""
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    path, info = folder / f"{module}-{version}-{tags}.whl", f"{module}-{version}.dist-info"
    lines = "".join(f"Requires-Dist: {each}\n" for each in requires) + metadata
    members = {
        f"{module}.py": f"VERSION = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(member), text)  # of no time, so the same again
    return path


OWN = (
    "colors>=2; sys_platform == 'win32'",
    "sums[quick]>=1",
    "tables; extra == 'tables'",
    "old; python_version<'3.11'",
)


def own(folder: Path) -> Path:
    """This package, as far as an index is concerned."""
    return wheel(folder, "tinytorch-datasets", "0.1.0", *OWN, metadata="Provides-Extra: tables\n")


class TestWhatIsNeeded:
    """By the metadata of the wheels, for a computer that is not this one."""

    def needed(self, folder: Path, target: Target, extras: tuple[str, ...] = ()) -> tuple[set[str], list[str]]:
        """What a target takes of what is in the folder, and lacks."""
        wheels = {path.name.partition("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}
        return closure(wheels, target, extras)

    def test_a_marker_is_of_the_other_computer(self, tmp_path: Path) -> None:
        """Its system and its Python; and an extra of a requirement has requirements of its own."""
        own(tmp_path)
        wheel(tmp_path, "sums", "1.5", "quick-sums; extra == 'quick'", metadata="Provides-Extra: quick\n")
        wheel(tmp_path, "quick-sums", "3")

        assert self.needed(tmp_path, LINUX) == ({"tinytorch-datasets", "sums", "quick-sums"}, [])
        assert self.needed(tmp_path, WINDOWS)[1] == ["colors>=2"]
        assert self.needed(tmp_path, Target("linux", "3.10"))[1] == ["old"]
        assert self.needed(tmp_path, LINUX, ("tables",))[1] == ["tables"]

    def test_another_version_is_as_good_as_none(self, tmp_path: Path) -> None:
        """pip is asked for the one that fits."""
        own(tmp_path)
        wheel(tmp_path, "sums", "0.9")

        assert self.needed(tmp_path, LINUX) == ({"tinytorch-datasets"}, ["sums>=1"])

    def test_a_marker_that_no_computer_can_answer(self, tmp_path: Path) -> None:
        """A wheel may say anything; it is named."""
        wheel(tmp_path, "tinytorch-datasets", "0.1.0", "sums; python_version ~= 'new'")
        with pytest.raises(DatasetError) as caught:
            self.needed(tmp_path, LINUX)

        assert str(caught.value) == (
            "tinytorch_datasets-0.1.0-py3-none-any.whl requires what cannot be understood: "
            'sums; python_version ~= "new"'
        )

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_a_damaged_wheel(self, tmp_path: Path, method: int) -> None:
        """Whichever byte it is, the wheel can be read, or is named as none that can."""
        path = tmp_path / "sums-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("sums-1.dist-info/METADATA", "Name: sums\nVersion: 1\n" * 9)
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
            with contextlib.suppress(DatasetError):
                assert wheel_facts(path).name == "sums"


class TestWhatIsAskedFor:
    """Platforms and Pythons."""

    def test_a_class_has_all_kinds_of_laptops(self) -> None:
        """So without a word there is everything for the three systems, and both processors of macOS."""
        targets = targets_of((), ())

        assert {each.platform for each in targets} == {"linux", "macos-arm64", "macos-intel", "windows"}
        assert {each.python for each in targets} == {"3.10", "3.11", "3.12", "3.13", "3.14"}
        assert len(targets) == 20
        assert targets_of(("macos-arm64", "linux"), ("3.12",)) == [Target("macos-arm64", "3.12"), LINUX]

    def test_a_wrong_name_is_refused(self) -> None:
        """Before anything is downloaded, with what there is."""
        with pytest.raises(UnknownName, match="no platform named 'window'; did you mean 'windows'"):
            targets_of(("window",), ())
        with pytest.raises(UsageError) as caught:
            targets_of((), ("3.12.1",))

        assert str(caught.value) == (
            "'3.12.1' is no version of Python from 3.10 on\n  Name it as 3.14 is named, without a third number."
        )

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (
                ["--platform", "linux"],
                "--platform, --python and --extra choose packages, and --with-packages is missing",
            ),
            (["--with-packages", "--offline"], "--with-packages opens sockets, and --offline forbids it"),
        ],
    )
    def test_options_that_contradict_one_another(self, world: World, given: list[str], message: str) -> None:
        """Exit 2, and nothing is written."""
        result = CliRunner().invoke(
            main, ["mirror", str(world.root / "usb"), "--manifest", str(world.manifest), *given]
        )

        assert (result.exit_code, (world.root / "usb").exists()) == (2, False)
        assert message in " ".join(result.stderr.split())

    def test_a_data_set_by_the_name_of_the_folder(self, world: World, tmp_path: Path) -> None:
        """Its files would lie among the wheels."""
        world.edit("\n  talk:\n", "\n  simple:\n")
        with pytest.raises(UsageError) as caught:
            packages.mirror_packages(manifest_of(world.manifest), tmp_path / "usb", [LINUX])

        assert str(caught.value) == (
            "packages cannot be in a mirror of datasets.yaml: the folder of simple has the same name\n"
            f"  declared at datasets.yaml:{world.line('  simple:')}\n"
            "  Mirror them without --with-packages."
        )


@pytest.fixture
def usb(world: World, tmp_path: Path) -> Path:
    """A mirror with two packages, and their index."""
    folder = tmp_path / "usb"
    made = CliRunner().invoke(main, ["mirror", str(folder), "talk", "--manifest", str(world.manifest), "--offline"])
    assert made.exit_code == 0, made.output
    wheels = (
        own(folder / "packages"),
        wheel(folder / "packages", "numpy", "2.4.6", tags="cp311-cp311-macosx_11_0_arm64"),
        wheel(
            folder / "packages", "numpy", "2.4.6", tags="cp313-cp313-win_amd64", metadata="Requires-Python: >=3.11\n"
        ),
    )
    sums = {f"packages/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}
    write_index(folder, {**sums_in(folder), **sums})
    return folder


class TestTheIndex:
    """PEP 503: any web server will do, and so will a stick."""

    def test_it_has_a_link_with_a_hash_to_each_wheel(self, usb: Path) -> None:
        """And which Pythons it is for, so that pip does not download one that it cannot install."""
        name = "numpy-2.4.6-cp313-cp313-win_amd64.whl"
        sha256 = hashlib.sha256((usb / "packages" / name).read_bytes()).hexdigest()
        link = f'<a href="../../packages/{name}#sha256={sha256}" data-requires-python="&gt;=3.11">{name}</a>'

        assert link in (usb / "simple/numpy/index.html").read_text()
        assert '<a href="tinytorch-datasets/">' in (usb / "simple/index.html").read_text()

    def test_sha256sum_checks_all_of_it(self, usb: Path) -> None:
        """Wheels and pages."""
        check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
        lines = subprocess.run(check, cwd=usb, capture_output=True, text=True, check=True).stdout.splitlines()

        own_files = {path.relative_to(usb).as_posix() for path in usb.rglob("*") if path.is_file()}
        pages = {name for name in own_files if name.startswith("catalog/") or name == "index.html"}
        assert {line.removesuffix(": OK") for line in lines} == own_files - pages - {"SHA256SUMS"}

    def test_a_later_mirror_of_data_sets_keeps_it(self, world: World, usb: Path) -> None:
        """And the start page says for whom it is."""
        before = sums_in(usb)
        CliRunner().invoke(main, ["mirror", str(usb), "digits", "--manifest", str(world.manifest), "--offline"])
        page = (usb / "index.html").read_text()

        assert before.items() <= sums_in(usb).items()
        assert packages_in(usb) == "Python 3.11, 3.13 on macOS, Windows"
        assert "For Python 3.11, 3.13 on macOS, Windows." in page
        assert "--find-links packages" in re.sub("<[^>]*>", "", page)

    def test_a_list_of_files_that_leads_out_of_the_folder(self, usb: Path, tmp_path: Path) -> None:
        """A stick may have been anybody's: what is elsewhere is not removed, and nothing is served from there."""
        page = tmp_path / "away/index.html"
        page.parent.mkdir()
        page.write_text("mine")
        (usb / "simple/linked").symlink_to(page.parent)
        names = ("simple/../../away/index.html", "simple/linked/index.html")
        (usb / "SHA256SUMS").write_bytes(format_sums({**sums_in(usb), **dict.fromkeys(names, "0" * 64)}))
        with serving(usb) as address:
            for name in names:
                with closing(http.client.HTTPConnection(urlsplit(address).netloc)) as connection:
                    connection.request("GET", f"/{name}")
                    assert connection.getresponse().status == 404
        with pytest.raises(StorageError, match="symbolic link"):
            write_index(usb, sums_in(usb))
        (usb / "simple/linked").unlink()
        write_index(usb, sums_in(usb))

        assert page.read_text() == "mine"

    def test_wheels_for_no_certain_python(self, usb: Path) -> None:
        """They are in nobody's way on the start page."""
        path = wheel(usb / "packages", "numpy", "3")
        (usb / "packages/numpy-2.4.6-cp313-cp313-win_amd64.whl").unlink()
        write_index(usb, {**sums_in(usb), f"packages/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()})

        assert packages_in(usb) == "Python 3.11 on macOS"

    def test_a_folder_in_place_of_the_list(self, world: World, tmp_path: Path) -> None:
        """One sentence, and pip is asked for nothing."""
        (tmp_path / "usb/SHA256SUMS").mkdir(parents=True)
        with pytest.raises(StorageError) as caught:
            packages.mirror_packages(manifest_of(world.manifest), tmp_path / "usb", [LINUX])

        assert str(caught.value) == (
            f"{tmp_path / 'usb/SHA256SUMS'} cannot be read: what is there is no file\n  Move it out of the way."
        )

    CASES: tuple[tuple[str, Callable[[Path], object], str, str], ...] = (
        ("a changed wheel", lambda usb: (usb / "packages/numpy-2.4.6-cp313-cp313-win_amd64.whl").write_bytes(b"PK"),
         "file-hash", "packages/numpy-2.4.6-cp313-cp313-win_amd64.whl has sha256\n"),
        ("a wheel that is gone", lambda usb: (usb / "packages/numpy-2.4.6-cp313-cp313-win_amd64.whl").unlink(),
         "file-missing", "packages/numpy-2.4.6-cp313-cp313-win_amd64.whl is missing"),
        ("a link to elsewhere", lambda usb: (usb / "simple/numpy/index.html").write_text("<a href='http://evil/'>"),
         "file-hash", "simple/numpy/index.html is missing, or is not the index"),
        ("no page", lambda usb: (usb / "simple/index.html").unlink(),
         "file-missing", "simple/index.html is missing, or is not the index"),
        ("a wheel that is not listed", lambda usb: wheel(usb / "packages", "evil", "1"),
         "undeclared", "packages/evil-1-py3-none-any.whl is in the mirror and declared nowhere"),
    )  # fmt: skip

    @pytest.mark.parametrize(("damage", "rule", "what"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
    def test_the_audit_finds_what_differs(
        self, world: World, usb: Path, damage: Callable[[Path], object], rule: str, what: str
    ) -> None:
        """One finding; the same folder undamaged has none."""
        assert world.audit("--mirror", str(usb))[0] == 0
        damage(usb)
        code, result = world.audit("--mirror", str(usb))

        assert (code, [found["rule"] for found in result["findings"]]) == (1, [rule])
        assert result["findings"][0]["what"].startswith(what)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The server of a mirror, in a thread."""
    with serve.server(folder, "127.0.0.1", 0) as (httpd, address):
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield address
        finally:
            httpd.shutdown()
            thread.join()


class TestServing:
    """As pip asks for it."""

    def test_a_page_by_its_folder(self, usb: Path) -> None:
        """HTML, which is all that pip reads as an index; without the last slash it is sent to the one with it."""
        with serving(usb) as address:
            page = urllib.request.urlopen(f"{address}simple/numpy")
            head = urllib.request.urlopen(urllib.request.Request(f"{address}simple/", method="HEAD"))
            data = urllib.request.urlopen(f"{address}packages/numpy-2.4.6-cp313-cp313-win_amd64.whl").read()
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{address}simple/evil/")

            assert page.url == f"{address}simple/numpy/"
            assert page.read() == (usb / "simple/numpy/index.html").read_bytes()
        assert {each.headers["Content-Type"] for each in (page, head)} == {"text/html; charset=utf-8"}
        assert data == (usb / "packages/numpy-2.4.6-cp313-cp313-win_amd64.whl").read_bytes()


def installed(folder: Path) -> importlib.metadata.Distribution:
    """What pip makes of a wheel where it installs it."""
    info = folder / "course-1.0.dist-info"
    info.mkdir(parents=True)
    files = {
        "course.py": b"x = 1\n",
        "course-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: course\nVersion: 1.0\n",
    }
    lines = "../../bin/course,sha256=abc,1\n__pycache__/course.cpython-311.pyc,,\ncourse-1.0.dist-info/RECORD,,\n"
    for name, data in {**files, "course-1.0.dist-info/INSTALLER": b"pip\n"}.items():
        (folder / name).write_bytes(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        lines += f"{name},sha256={digest},{len(data)}\n"
    (info / "RECORD").write_text(lines)
    return importlib.metadata.Distribution.at(info)


class TestTheOwnWheel:
    """Of the very files that run here, where there is no clone to build it from."""

    def test_it_has_what_was_installed_and_nothing_of_pip(self, tmp_path: Path) -> None:
        """By its RECORD; and the same every time."""
        made = installed_wheel(installed(tmp_path / "site"), tmp_path)
        first = made.read_bytes()
        with zipfile.ZipFile(made) as archive:
            names, record = set(archive.namelist()), archive.read("course-1.0.dist-info/RECORD").decode()

        assert made.name == "course-1.0-py3-none-any.whl"
        assert names == {"course.py", "course-1.0.dist-info/METADATA", "course-1.0.dist-info/RECORD"}
        assert {line.split(",")[0] for line in record.splitlines()} == names
        assert installed_wheel(importlib.metadata.Distribution.at(tmp_path / "site/course-1.0.dist-info"), tmp_path)
        assert made.read_bytes() == first

    def test_a_changed_file_is_refused(self, tmp_path: Path) -> None:
        """Nobody knows what such a wheel would be."""
        distribution = installed(tmp_path / "site")
        (tmp_path / "site/course.py").write_text("x = 2\n")
        with pytest.raises(DatasetError) as caught:
            installed_wheel(distribution, tmp_path)

        assert str(caught.value) == (
            f"no wheel of course can be made: {tmp_path / 'site/course.py'} is not as it was installed\n"
            "  Install it again, and type the same command."
        )

    def test_nobody_knows_its_files(self, tmp_path: Path) -> None:
        """As where a system's own packages have no RECORD."""
        distribution = installed(tmp_path / "site")
        (tmp_path / "site/course-1.0.dist-info/RECORD").unlink()
        with pytest.raises(DatasetError) as caught:
            installed_wheel(distribution, tmp_path)

        assert str(caught.value) == (
            "no wheel of course can be made: nothing lists its files\n  Install it again, and type the same command."
        )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index in a folder, the only one that pip knows."""
    folder = tmp_path / "index"
    wheel(folder, "sums", "1.5", "quick-sums; extra == 'quick'", metadata="Provides-Extra: quick\n")
    wheel(folder, "quick-sums", "3", tags="cp312-cp312-win_amd64")
    wheel(folder, "quick-sums", "3", tags="cp312-cp312-manylinux_2_28_x86_64")
    wheel(folder, "colors", "2.1")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def download(world: World, folder: Path, *targets: Target, extras: tuple[str, ...] = ()) -> Packaged:
    """What `mirror --with-packages` does for the packages."""
    return packages.mirror_packages(manifest_of(world.manifest), folder, targets, extras=extras, make_own=own)


@pytest.mark.slow
class TestDownloading:
    """By pip itself."""

    def test_each_platform_has_its_own(self, world: World, tmp_path: Path, index: Path) -> None:
        """What only Windows requires is there, though pip ran elsewhere; what there is no wheel of is named."""
        usb = tmp_path / "usb"
        first = download(world, usb, Target("macos-arm64", "3.12"), LINUX, WINDOWS)

        assert {path.name for path in (usb / "packages").iterdir()} == {
            "colors-2.1-py3-none-any.whl",
            "quick_sums-3-cp312-cp312-manylinux_2_28_x86_64.whl",
            "quick_sums-3-cp312-cp312-win_amd64.whl",
            "sums-1.5-py3-none-any.whl",
            "tinytorch_datasets-0.1.0-py3-none-any.whl",
        }
        assert (first.copied, first.kept, first.before) == (5, 0, 0)
        assert [error.what.partition(": ")[0] for error in first.errors] == [
            "pip could not download packages for Python 3.12 on macOS on Apple silicon"
        ]
        assert "quick-sums" in str(first.errors[0])

    def test_again_it_brings_what_is_missing(self, world: World, tmp_path: Path, index: Path) -> None:
        """Nothing, even without an index; or a newer version, and the older one is named and kept."""
        usb = tmp_path / "usb"
        download(world, usb, LINUX)
        times = {path: path.stat().st_mtime_ns for path in usb.rglob("*") if path.is_file()}
        index.rename(tmp_path / "away")
        again = download(world, usb, LINUX)
        (tmp_path / "away").rename(index)
        unchanged = {path: path.stat().st_mtime_ns for path in usb.rglob("*") if path.is_file()}

        wheel(index, "sums", "1.6", "quick-sums; extra == 'quick'", metadata="Provides-Extra: quick\n")
        damaged = usb / "packages/quick_sums-3-cp312-cp312-manylinux_2_28_x86_64.whl"
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:-1])
        newer = download(world, usb, LINUX)

        assert (again.copied, again.kept, again.before, again.left_over) == (0, 3, again.bytes, ())
        assert unchanged == times
        assert (newer.copied, newer.left_over) == (2, ("packages/sums-1.5-py3-none-any.whl",))
        assert damaged.read_bytes() == whole
        assert (usb / "simple/sums/index.html").read_text().count("<a ") == 2
        assert not list(usb.glob(".packages-*"))

    def test_a_run_that_was_killed_before_its_list(self, world: World, tmp_path: Path, index: Path) -> None:
        """Its wheels are listed by the next one; in a folder whose name pip could read otherwise."""
        usb = tmp_path / "x; y#[1] \u00e9%20"
        download(world, usb, LINUX)
        before = {path: path.read_bytes() for path in usb.rglob("*") if path.is_file()}
        (usb / "SHA256SUMS").unlink()
        shutil.rmtree(usb / "simple")
        (usb / ".packages-x.part").mkdir()

        assert download(world, usb, LINUX).copied == 0
        assert {path: path.read_bytes() for path in usb.rglob("*") if path.is_file()} == before

    def test_two_runs_at_once(self, world: World, tmp_path: Path, index: Path) -> None:
        """For other computers: neither removes what the other has downloaded, and both are listed."""
        usb, (first, second) = tmp_path / "usb", (threading.Event(), threading.Event())

        def own_meanwhile(folder: Path) -> Path:
            first.set()
            assert second.wait(60)
            return own(folder)

        def other() -> Packaged:
            assert first.wait(60)
            done = download(world, usb, WINDOWS)
            second.set()
            return done

        with ThreadPoolExecutor(1) as pool:
            of_other = pool.submit(other)
            mine = packages.mirror_packages(manifest_of(world.manifest), usb, [LINUX], make_own=own_meanwhile)
            assert (mine.errors, of_other.result().errors) == ((), ())
        wheels = {f"packages/{path.name}" for path in (usb / "packages").iterdir()}
        assert {name for name in sums_in(usb) if name.startswith("packages/")} == wheels

    def test_a_stick_with_a_pip_of_its_own(
        self, world: World, tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In the current folder, where Python would look for modules first; it does not run."""
        (tmp_path / "usb").mkdir()
        (tmp_path / "usb/pip.py").write_text("open('owned', 'w')")
        monkeypatch.chdir(tmp_path / "usb")

        assert download(world, tmp_path / "usb", LINUX).copied == 3
        assert not (tmp_path / "usb/owned").exists()

    def test_a_clone_that_cannot_be_built(self, tmp_path: Path, index: Path) -> None:
        """The reason is that of the pip which pip calls, and not that there was one."""
        requires = '[build-system]\nrequires = ["nowhere-to-be-had"]\nbuild-backend = "none"\n'
        (tmp_path / "pyproject.toml").write_text(requires)
        with pytest.raises(DatasetError) as caught:
            packages.pip("wheel", "--no-deps", tmp_path.as_uri(), doing="as a test")

        assert caught.value.what == (
            "pip could not wheel packages as a test: No matching distribution found for nowhere-to-be-had"
        )

    def test_an_unknown_extra(self, world: World, tmp_path: Path, index: Path) -> None:
        """With what there is."""
        with pytest.raises(
            UnknownName, match=r"no extra named 'table' in tinytorch-datasets .*; did you mean 'tables'"
        ):
            download(world, tmp_path / "usb", LINUX, extras=("table",))

    def test_an_index_that_is_not_reached(
        self, world: World, tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is a fault of the network, and asked for no second target."""
        monkeypatch.setenv("PIP_NO_INDEX", "0")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
        monkeypatch.setenv("PIP_RETRIES", "1")
        (index / "sums-1.5-py3-none-any.whl").unlink()
        with pytest.raises(FetchError, match=r"pip could not download packages for Python 3.12 on Linux"):
            download(world, tmp_path / "usb", LINUX)


# A student's computer with no route out but to itself, where the mirror is: an environment, the package, MNIST.
LESSON = """
import fcntl, os, pathlib, socket, struct, subprocess, sys
usb, place, root, data = sys.argv[1:]
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
clean = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
ours = {**clean, "PYTHONPATH": root, "HOME": place, "TINYTORCH_DATASETS_HOME": place + "/teacher"}
command = ["mirror", usb, "mnist", "--offline", "--from", data, "--serve", "--bind", "127.0.0.1", "--port", "0"]
command = [sys.executable, "-m", "tinytorch_datasets", *command]
teacher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ours)
try:
    address = teacher.stdout.readline().strip().partition("=")[2]
    subprocess.run([sys.executable, "-m", "venv", place + "/venv"], check=True, env=clean)
    bin = place + "/venv/bin/"
    student = {**clean, "HOME": place + "/student", "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": address + "simple/"}
    subprocess.run([bin + "pip", "install", "-q", "tinytorch-datasets"], check=True, env=student, cwd=place)
    student["TINYTORCH_DATASETS_MIRROR"] = address
    subprocess.run([bin + "tinytorch-datasets", "get", "mnist"], check=True, env=student, cwd=place)
finally:
    teacher.terminate()
"""


@pytest.mark.slow
def test_a_computer_without_a_route_out_installs_from_it_and_gets_mnist(tmp_path: Path) -> None:
    """In a network of its own, in which there is nothing but the mirror."""
    data = os.environ.get("TINYTORCH_DATASETS_REALDATA")
    alone = (
        ["unshare", "--net"]
        if hasattr(os, "geteuid") and os.geteuid() == 0
        else ["unshare", "--map-root-user", "--net"]
    )
    if data is None:
        pytest.skip("TINYTORCH_DATASETS_REALDATA names no folder with MNIST's files")
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network of its own can be made here (unshare --net)")
    usb, here = tmp_path / "usb", f"{sys.version_info.major}.{sys.version_info.minor}"
    given = ["mirror", str(usb), "mnist", "--from", data, "--home", str(tmp_path / "home")]
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "tinytorch_datasets",
            *given,
            "--with-packages",
            "--platform",
            "linux",
            "--python",
            here,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode == 3:
        pytest.skip(f"no index of packages is reached: {made.stderr.splitlines()[0]}")
    assert made.returncode == 0, made.stderr
    lesson = [sys.executable, "-c", LESSON, str(usb), str(tmp_path), str(ROOT), data]
    done = subprocess.run([*alone, *lesson], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mnist: train 60,000, test 10,000; ")
