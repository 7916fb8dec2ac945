"""Manifests on top of others: whose data sets they have, in which folders, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import trustme

from tests.conftest import ROOT, plain_yaml
from tests.helpers.faulty_server import FaultyServer, serve
from tinytorch_datasets import api, audit, get, list_datasets, load_manifest
from tinytorch_datasets.auditing.lockfile import record
from tinytorch_datasets.errors import FetchError, HashMismatch, ManifestError, OfflineError, UnknownName
from tinytorch_datasets.pipeline import cleaning, placed
from tinytorch_datasets.report import github, sarif
from tinytorch_datasets.settings import likely_homes, packaged_manifest
from tinytorch_datasets.storage.cache_entry import CacheEntry, entry_path
from tinytorch_datasets.storage.memmap import stat_signature

DATA = b"x,y\n0.5,a\n1.5,b\n"
LATER = b"x,y\n0.5,a\n9.0,b\n"

# The packaged manifest's own four, and the classics.
PACKAGED = [
    "tinydigits", "tinytalks", "mnist", "cifar10",
    *plain_yaml(ROOT / "classics.yaml")["datasets"],
]  # fmt: skip


def entry(name: str, *, data: bytes = DATA, more: str = "") -> str:
    """The entry of a shipped data set of one csv file."""
    return f"""\
  {name}:
    title: {name}
    status: shipped
    format: csv
    license: CC0-1.0
    source: made here
    {more}
    fields:
      x: {{dtype: float64}}
      y: {{dtype: int64, classes: [a, b]}}
    splits:
      train: {{samples: 2, file: points.csv}}
    files:
      points.csv: {{bytes: {len(data)}, sha256: {hashlib.sha256(data).hexdigest()}}}
"""


def write(path: Path, *names: str, include: str = "", top: str = "", **files: bytes) -> Path:
    """A manifest with these data sets, and their files beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path.parent / "datasets" / name).mkdir(parents=True, exist_ok=True)
        (path.parent / "datasets" / name / "points.csv").write_bytes(files.get(name, DATA))
    entries = "".join(entry(name, data=files.get(name, DATA)) for name in names)
    included = f"include: [{include}]\n" if include else ""
    path.write_text(f"version: 1\n{included}{top}" + (f"datasets:\n{entries}" if names else ""), encoding="utf-8")
    return path


def installed(site: Path, data: bytes, *values: str) -> Path:
    """A folder of installed packages with one that registers a manifest, of a data set with that file.

    Each value of an entry point is of a package of its own.
    """
    write(site / "coursekit" / "data" / "datasets.yaml", "theirs", theirs=data)
    (site / "coursekit" / "__init__.py").write_text("raise RuntimeError('it was run')\n")
    for number, value in enumerate(values or ["coursekit.data"]):
        about = site / f"kit{number}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kit{number}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[tinytorch_datasets.manifests]\nkit = {value}\n")
    return site


def refused(path: Path) -> str:
    """What is wrong with a manifest, as a person sees it."""
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    return str(caught.value)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course's manifest, on top of a department's, which is on top of the packaged one."""
    write(tmp_path / "shared" / "department.yaml", "theirs", include="packaged")
    return write(tmp_path / "course" / "datasets.yaml", "ours", include="packaged, ../shared/department.yaml")


class TestWhatIsThere:
    """The data sets of all, the own ones first."""

    def test_the_names(self, course: Path) -> None:
        """A manifest that two others include is there once."""
        assert list_datasets(manifest=course) == ["ours", *PACKAGED, "theirs"]
        assert [layer.path.name for layer in load_manifest(course).layers] == [
            "datasets.yaml",
            "datasets.yaml",
            "classics.yaml",
            "department.yaml",
        ]

    def test_each_is_found_where_its_own_manifest_says(self, course: Path) -> None:
        """Paths are relative to the file that wrote them."""
        assert get("theirs", manifest=course).train.y.tolist() == [0, 1]
        assert (course.parent.parent / "shared" / "downloaded-datasets" / ".cache").is_dir()
        assert get("ours", manifest=course).train.x.tolist() == [0.5, 1.5]
        assert (course.parent / "downloaded-datasets" / ".cache").is_dir()

    def test_a_packaged_one_is_the_packaged_one(self, course: Path) -> None:
        """The same maps of the same cache, and the same provenance; nothing is kept in the course's folder."""
        theirs, own = get("tinydigits", manifest=course), get("tinydigits", manifest=packaged_manifest())

        assert theirs.provenance == own.provenance
        assert theirs.train.images.filename == own.train.images.filename
        assert np.array_equal(theirs.train.images, own.train.images)
        assert not (course.parent / "downloaded-datasets").exists()

    def test_a_line_is_of_the_file_that_has_it(self, course: Path) -> None:
        """As errors and findings name it."""
        loaded = load_manifest(course)

        assert loaded.where("theirs", "title") == "department.yaml:5"
        assert loaded.where("ours", "title") == "datasets.yaml:5"

    def test_aliases_and_letter_case(self, course: Path) -> None:
        """As of one's own."""
        assert load_manifest(course).name_of("CIFAR-10") == "cifar10"
        with pytest.raises(UnknownName, match="did you mean 'theirs'"):
            get("their", manifest=course)

    def test_through_a_link_to_the_folder(self, course: Path, tmp_path: Path) -> None:
        """A path is relative to the folder that the file is in, whatever link leads there."""
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "link").symlink_to(course.parent)

        through = tmp_path / "elsewhere" / "link" / "datasets.yaml"
        assert list_datasets(manifest=through) == list_datasets(manifest=course)

    def test_a_pickled_manifest(self, course: Path) -> None:
        """Worker processes are given it whole."""
        loaded = load_manifest(course)
        copy = pickle.loads(pickle.dumps(loaded))

        assert [layer.path for layer in copy.layers] == [layer.path for layer in loaded.layers]
        assert get("theirs", manifest=copy).train.x.tolist() == [0.5, 1.5]
        assert get("tinydigits", manifest=copy).provenance == get("tinydigits", manifest=course).provenance

    def test_only_includes(self, tmp_path: Path) -> None:
        """A manifest need not declare anything itself."""
        alone = write(tmp_path / "datasets.yaml", include="packaged")

        assert list_datasets(manifest=alone) == PACKAGED


class TestWarm:
    """A second `get` opens the arrays and reads no YAML, and notices what changed in any of the files."""

    def test_it_reads_no_yaml(self, course: Path) -> None:
        """However many manifests are on the way."""
        for name in ("ours", "theirs", "tinydigits"):
            get(name, manifest=course)
        code = (
            "import sys; from tinytorch_datasets import get\n"
            f"for name in ('ours', 'theirs', 'tinydigits'): get(name, manifest={str(course)!r})\n"
            "print(*(module for module in ('yaml', 'pydantic', 'pathlib') if module in sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert done.stdout.split() == []

    @pytest.mark.parametrize(
        "spelled", ["include:\n- {}\n", "include: [\n  packaged, {},\n]\n", "include: ['{}'] # ours\n"]
    )
    def test_however_the_list_is_written(self, course: Path, spelled: str) -> None:
        """Where the arrays are is known from the text of the manifest."""
        text = course.read_text().replace("include: [packaged, ../shared/department.yaml]\n", "")
        course.write_text(text.replace("version: 1\n", "version: 1\n" + spelled.format("../shared/department.yaml")))

        assert str(course.parent.parent / "shared" / "downloaded-datasets") in likely_homes(str(course))

    @pytest.mark.parametrize("changed", ["course/datasets.yaml", "shared/department.yaml"])
    def test_a_change_on_the_way_is_a_change(self, course: Path, changed: str) -> None:
        """The data set may be included no more, or another one of that name be there."""
        get("theirs", manifest=course)
        path = course.parent.parent / changed
        path.write_text(path.read_text().replace("theirs", "others").replace("../shared/department.yaml", "packaged"))

        with pytest.raises((UnknownName, ManifestError)):
            get("theirs", manifest=course)

    def test_a_link_that_leads_elsewhere_now(self, tmp_path: Path) -> None:
        """`current.yaml`, once it is next year's: no file that was read has changed."""
        shared = tmp_path / "shared"
        for year, data in (("2026", DATA), ("2027", LATER)):
            write(shared / year / "datasets.yaml", "theirs", theirs=data)
        (shared / "current.yaml").symlink_to("2026/datasets.yaml")
        path = write(tmp_path / "course" / "datasets.yaml", "ours", include="../shared/current.yaml")
        before = get("theirs", manifest=path, home=tmp_path / "home").train.x.tolist()
        (shared / "current.yaml").unlink()
        (shared / "current.yaml").symlink_to("2027/datasets.yaml")

        assert (before, get("theirs", manifest=path, home=tmp_path / "home").train.x.tolist()) == ([0.5, 1.5], [0.5, 9])

    def test_by_an_alias(self, course: Path) -> None:
        """The manifests are read once, whatever name is asked for."""
        department = course.parent.parent / "shared" / "department.yaml"
        department.write_text(department.read_text().replace("title: theirs\n", "title: theirs\n    aliases: [all]\n"))
        get("theirs", manifest=course)
        get("all", manifest=course)

        assert ("all", str(course)) in {(name, manifest) for name, (manifest, *_) in api._entries}


class TestWhoeverWritesBesideAnIncludedManifest:
    """They have their own data sets in their hands, and no other's."""

    @pytest.fixture
    def forged(self, course: Path) -> Path:
        """A cache entry in the department's folder, by which other values would be the course's own data set."""
        evil = write(course.parent.parent / "shared" / "evil.yaml", "ours", ours=b"x,y\n9.5,b\n9.5,b\n")
        get("ours", manifest=evil)
        cache = evil.parent / "downloaded-datasets" / ".cache"
        entry = CacheEntry.read(entry_path(cache, evil, "ours"))
        assert entry is not None
        sha256 = hashlib.sha256(course.read_bytes()).hexdigest()
        forged = entry._replace(
            manifest=str(course),
            manifests={str(course): sha256, **entry.manifests},
            signatures={str(course): stat_signature(course), **entry.signatures},
        )
        path = Path(entry_path(cache, course, "ours"))
        path.write_bytes(forged.to_bytes())
        return path

    @pytest.mark.parametrize("verify", ["auto", "always"])
    def test_a_cache_entry_there_opens_nothing_else(
        self, course: Path, forged: Path, verify: Literal["auto", "always"]
    ) -> None:
        """Where the arrays of another manifest's data set are is read from one's own folders alone."""
        assert forged.exists()
        assert get("ours", manifest=course, verify=verify).train.x.tolist() == [0.5, 1.5]

    def test_those_of_the_including_manifest_are_the_users(self, course: Path) -> None:
        """And `clean` removes them."""
        get("theirs", manifest=course)
        entries = Path(os.environ["XDG_CACHE_HOME"], "tinytorch-datasets", ".cache", "entries")
        assert [path.name.rpartition("-")[0] for path in entries.iterdir()] == ["theirs"]

        cleaning.clean(*placed(load_manifest(course), "theirs"))
        assert list(entries.iterdir()) == []

    def test_one_that_does_not_say_who_asked(self, course: Path, tmp_path: Path) -> None:
        """Nobody would notice that the manifest changed."""
        get("theirs", manifest=course)
        (path,) = Path(os.environ["XDG_CACHE_HOME"]).rglob("theirs-*.json")
        entry = CacheEntry.read(path)
        assert entry is not None
        caches = [str(path.parent.parent.parent), entry.folder.partition("/arrays/")[0]]
        assert entry.belongs_to("theirs", str(course), caches)

        unsaid = entry._replace(manifests={entry.declared_in: entry.manifests[entry.declared_in]})
        assert not unsaid.belongs_to("theirs", str(course), caches)


class TestAudit:
    """All that is included is checked, where it is."""

    def test_everything_matches(self, course: Path) -> None:
        """Of the packaged ones, what ships."""
        report = audit(["ours", "theirs", "tinydigits"], manifest=course, levels=["shipped"])

        assert report.ok
        assert [(row.name, row.state) for row in report.datasets] == [
            ("ours", "ok"),
            ("theirs", "ok"),
            ("tinydigits", "ok"),
        ]

    def test_a_changed_file_of_an_included_manifest(self, course: Path) -> None:
        """Its finding names that manifest's line."""
        (course.parent.parent / "shared" / "datasets" / "theirs" / "points.csv").write_bytes(b"x,y\n0.5,a\n2.5,b\n")

        (finding,) = audit(["theirs"], manifest=course, levels=["shipped"]).findings

        assert (finding.rule, finding.where) == ("file-hash", "../shared/department.yaml:17")

    def test_a_file_that_no_layer_declares(self, course: Path) -> None:
        """Among the shipped data of whichever of them."""
        (course.parent.parent / "shared" / "datasets" / "stray.csv").write_bytes(b"")

        (finding,) = audit(manifest=course, levels=["shipped"]).findings

        assert finding.what == "stray.csv is in datasets and declared nowhere"

    def test_reports_name_the_file_that_a_line_is_of(self, tmp_path: Path) -> None:
        """Two manifests of one name: an annotation stands in the one that declares what is wrong, or ignores it."""
        write(tmp_path / "datasets.yaml", "theirs", top="ignore: [no-such-rule]\n")
        course = write(tmp_path / "course" / "datasets.yaml", "ours", include="../datasets.yaml")
        for folder, name in ((tmp_path, "theirs"), (course.parent, "ours")):
            (folder / "datasets" / name / "points.csv").write_bytes(b"x,y\n0.5,a\n2.5,b\n")
            (folder / "datasets" / "stray.csv").write_bytes(b"")

        report = audit(manifest=course, levels=["manifest", "shipped"])
        log = json.loads(sarif.format_report(report, tmp_path))
        places = [result["locations"][0]["physicalLocation"] for result in log["runs"][0]["results"]]
        lines = [command.partition(",title=")[0] for command in github.commands(report, tmp_path)]

        assert [(finding.rule, finding.where) for finding in report.findings] == [
            ("file-hash", "datasets.yaml:17"),
            ("file-hash", "../datasets.yaml:17"),
            ("manifest", "../datasets.yaml:2"),
            ("undeclared", "datasets.yaml:1"),
            ("undeclared", "../datasets.yaml:1"),
        ]
        assert lines == [
            "::error file=course/datasets.yaml,line=17",
            "::error file=datasets.yaml,line=17",
            "::error file=datasets.yaml,line=2",
            "::error file=course/datasets.yaml,line=1",
            "::error file=datasets.yaml,line=1",
        ]
        assert [place["artifactLocation"] for place in places] == [
            {"uri": line.partition("file=")[2].partition(",")[0], "uriBaseId": "ROOT"} for line in lines
        ]

    def test_a_lock_knows_every_file(self, course: Path, tmp_path: Path) -> None:
        """And `audit --lock` which of them is another now."""
        recorded = record(load_manifest(course), ["ours"])
        department = course.parent.parent / "shared" / "department.yaml"
        assert [file["file"] for file in recorded["included"]] == ["datasets.yaml", "classics.yaml", "department.yaml"]
        (tmp_path / "datasets.lock").write_text(json.dumps(recorded))

        department.write_text(department.read_text() + "# changed\n")
        (finding,) = audit(["ours"], manifest=course, levels=["shipped"], lock=tmp_path / "datasets.lock").findings

        assert finding.what.startswith("included manifests are datasets.yaml ")


class TestFromElsewhere:
    """From an address, and from an installed package."""

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A user's cache folder that is empty."""
        monkeypatch.delenv("TINYTORCH_DATASETS_HOME", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return tmp_path / "cache" / "tinytorch-datasets"

    @pytest.fixture
    def server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
        """A server that is trusted."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        with FaultyServer(tls) as server:
            yield server

    def including(self, folder: Path, url: str, text: bytes) -> Path:
        """A manifest that includes that address."""
        item = f"{{url: {url}, sha256: {hashlib.sha256(text).hexdigest()}}}"
        return write(folder / "datasets.yaml", "ours", include=item)

    def test_an_address(self, server: FaultyServer, tmp_path: Path, cache: Path) -> None:
        """It is asked once, and then never."""
        text = write(tmp_path / "there" / "theirs.yaml", "theirs").read_bytes()
        path = self.including(tmp_path / "here", server.at("/theirs.yaml", serve(text)), text)

        assert list_datasets(manifest=path) == ["ours", "theirs"]
        assert list_datasets(manifest=path) == ["ours", "theirs"]
        assert len(server.log) == 1
        assert load_manifest(path).layers[1].path.is_relative_to(cache / "manifests")

    def test_another_manifest_than_the_declared_one(self, server: FaultyServer, tmp_path: Path, cache: Path) -> None:
        """What its sha256 is now, and nothing is kept of it."""
        text, other = b"version: 1\ndatasets: {}\n", b"version: 1\ndatasets: {}\n#\n"
        path = self.including(tmp_path / "here", server.at("/theirs.yaml", serve(other)), text)

        with pytest.raises(HashMismatch) as caught:
            load_manifest(path)
        assert (caught.value.expected, caught.value.actual) == (
            hashlib.sha256(text).hexdigest(),
            hashlib.sha256(other).hexdigest(),
        )
        assert caught.value.where == f"{path}:2"
        assert not list(cache.rglob("datasets.yaml"))

    def test_a_path_in_it(self, server: FaultyServer, tmp_path: Path) -> None:
        """There is no folder around it, and whoever wrote it has no business with the files of this computer."""
        write(tmp_path / "mine.yaml", "mine")
        text = write(
            tmp_path / "there" / "theirs.yaml", "theirs", include=f"packaged, {tmp_path}/mine.yaml"
        ).read_bytes()
        path = self.including(tmp_path / "here", server.at("/theirs.yaml", serve(text)), text)

        assert refused(path).splitlines()[0] == (
            f"datasets.yaml:2: include[1]: {tmp_path}/mine.yaml is a path, and this manifest is from an address; "
            "include an address with its sha256"
        )

    def test_a_body_without_an_end(self, server: FaultyServer, tmp_path: Path) -> None:
        """No manifest has more bytes than one that is read from disk may have."""
        endless = serve(b"# datasets\n" * (33 * 2**20 // 11))
        path = self.including(tmp_path, server.at("/theirs.yaml", endless), b"")

        with pytest.raises(FetchError) as caught:
            load_manifest(path)
        assert [reason for _, reason in caught.value.tried] == ["gives more than 33,554,432 bytes"]
        assert caught.value.where == f"{path}:2"

    def test_offline(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No socket is opened for it."""
        monkeypatch.setenv("TINYTORCH_DATASETS_OFFLINE", "1")
        path = self.including(tmp_path, "https://127.0.0.1:9/theirs.yaml", b"")

        with pytest.raises(OfflineError) as caught:
            load_manifest(path)
        assert str(caught.value) == (
            "https://127.0.0.1:9/theirs.yaml is included, and no socket may be opened\n"
            f"  declared at {path}:2\n"
            "  Unset TINYTORCH_DATASETS_OFFLINE."
        )

    def test_an_installed_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        """Which registers it by an entry point; nothing of it is run, and nothing is written into it."""
        site = installed(tmp_path / "site-packages", DATA)
        monkeypatch.syspath_prepend(str(site))
        path = write(tmp_path / "datasets.yaml", "ours", include="kit")
        before = sorted(site.rglob("*"))

        assert get("theirs", manifest=path).train.y.tolist() == [0, 1]
        assert likely_homes(str(path))[1] == str(cache)
        assert sorted(site.rglob("*")) == before
        assert (cache / ".cache" / "arrays").is_dir()

    @pytest.mark.parametrize(
        ("values", "what"),
        [
            (["coursekit.x"], "the entry point 'kit' names coursekit.x, and there is no datasets.yaml in that package"),
            (["__main__"], "the entry point 'kit' names __main__, and there is no datasets.yaml in that package"),
            (
                ["coursekit.data", "lab"],
                "several installed packages bring a manifest named 'kit': coursekit.data, lab; uninstall all but one",
            ),
        ],
        ids=["no such file", "no package", "two of one name"],
    )  # fmt: skip
    def test_an_entry_point_that_leads_to_no_manifest(
        self, values: list[str], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or to more than one, of which nobody knows which is meant."""
        site = installed(tmp_path / "site-packages", DATA, *values)
        monkeypatch.syspath_prepend(str(site))
        path = write(tmp_path / "datasets.yaml", "ours", include="kit")

        assert refused(path).splitlines()[0] == f"datasets.yaml:2: include[0]: {what}"

    def test_another_environment_with_another_version_of_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both have one cache folder, and one course; each gets the values of its own version, and warm ones too."""
        path = write(tmp_path / "datasets.yaml", "ours", include="kit")
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend("")
        sites = [installed(tmp_path / venv / "site-packages", data) for venv, data in (("a", DATA), ("b", LATER))]
        there, values = sys.path[1:], list[list[float]]()
        for front in ([sites[0]], [sites[1]], [sites[0]], [sites[1], sites[0]]):
            monkeypatch.setattr(sys, "path", ["", *map(str, front), *there])
            values.append([get("theirs", manifest=path).train.x[1] for _ in range(2)])

        assert values == [[1.5, 1.5], [9, 9], [1.5, 1.5], [9, 9]]


class TestMistakes:
    """Each is told in a sentence, with the line of the manifest, and the other one's line where there is one."""

    @pytest.mark.parametrize(
        ("include", "what"),
        [
            ("../shared/none.yaml", "there is no such file: {root}/shared/none.yaml"),
            ("../shared", "../shared is a folder; write the file: ../shared/datasets.yaml"),
            (
                "https://example.org/datasets.yaml",
                "an address goes with the sha256 of what it gives: "
                "{{url: https://example.org/datasets.yaml, sha256: ...}}",
            ),
            (
                "package",
                "no installed package brings a manifest named 'package'; did you mean 'packaged'? A path ends in .yaml",
            ),
            ("..", ".. is a folder; write the file: ../datasets.yaml"),
            (
                "'..\\shared\\none.yaml'",
                "a path is written with forward slashes, for every system: ../shared/none.yaml",
            ),
            ("../shared/pipe.yaml", "{root}/shared/pipe.yaml is no regular file"),
            (
                "../shared/" + "x" * 300 + ".yaml",
                "{root}/shared/" + "x" * 300 + ".yaml cannot be read: File name too long",
            ),
            (
                "{{url: 'http://example.org/datasets.yaml', sha256: '" + "0" * 64 + "'}}",
                "http://example.org/datasets.yaml must start with https://",
            ),
            (
                "{{url: 'https://ada:pw@example.org/d.yaml', sha256: '" + "0" * 64 + "'}}",
                "https://example.org/d.yaml carries a user name or password; a manifest is read by everyone",
            ),
        ],
        ids=[
            "no file",
            "a folder",
            "an address alone",
            "a wrong word",
            "the folder above",
            "backslashes",
            "a pipe",
            "a long name",
            "http",
            "credentials",
        ],
    )
    def test_an_item_that_leads_nowhere(self, tmp_path: Path, include: str, what: str) -> None:
        """Nothing is asked of any address."""
        (tmp_path / "shared").mkdir()
        os.mkfifo(tmp_path / "shared" / "pipe.yaml")
        path = write(
            tmp_path / "course" / "datasets.yaml", "ours", include=include.replace("{{", "{").replace("}}", "}")
        )
        number = 1 if "packaged, " in include else 0

        expected = what.replace("{{", "{").replace("}}", "}").replace("{root}", str(tmp_path))
        assert refused(path).splitlines()[0] == f"datasets.yaml:2: include[{number}]: {expected}"

    def test_a_circle(self, tmp_path: Path) -> None:
        """With every line on it."""
        write(tmp_path / "a.yaml", "one", include="b.yaml")
        write(tmp_path / "b.yaml", "two", include="a.yaml")

        assert refused(tmp_path / "a.yaml") == (
            f"b.yaml:2: include[0]: is a circle: {tmp_path}/a.yaml:2 includes {tmp_path}/b.yaml:2 includes "
            f"{tmp_path}/a.yaml\n"
            f"1 problem in {tmp_path}/b.yaml, included at {tmp_path}/a.yaml:2. Nothing was downloaded."
        )

    def test_itself(self, tmp_path: Path) -> None:
        """The shortest circle."""
        assert refused(write(tmp_path / "a.yaml", "one", include="a.yaml")).splitlines()[0] == (
            f"a.yaml:2: include[0]: is a circle: {tmp_path}/a.yaml:2 includes {tmp_path}/a.yaml"
        )

    def test_a_name_twice(self, tmp_path: Path) -> None:
        """An own one and an included one; the line is the own entry's."""
        write(tmp_path / "other.yaml", "digits")
        path = write(tmp_path / "datasets.yaml", "digits", include="other.yaml")

        assert refused(path).splitlines()[0] == (
            f"datasets.yaml:2: include[0]: 'digits' is declared twice: at {tmp_path}/datasets.yaml:4 and at "
            f"{tmp_path}/other.yaml:3; rename one, or include less"
        )

    def test_an_alias_that_is_a_name(self, tmp_path: Path) -> None:
        """Whoever asks for it would get the one or the other."""
        write(tmp_path / "other.yaml", "digits")
        path = tmp_path / "datasets.yaml"
        write(path, "ours", include="other.yaml")
        path.write_text(path.read_text().replace("    title: ours\n", "    title: ours\n    aliases: [digits]\n"))

        assert "'digits' is declared twice: " in refused(path)

    def test_two_files_of_one_path(self, tmp_path: Path) -> None:
        """In a mirror, or a home that both use, one of them would be in the other's place."""
        write(tmp_path / "a" / "other.yaml", "digits", digits=b"x,y\n1.5,a\n1.5,b\n")
        path = write(tmp_path / "datasets.yaml", "ours", include="a/other.yaml")
        path.write_text(path.read_text().replace("    title: ours\n", "    title: ours\n    folder: digits\n"))

        assert refused(path).splitlines()[0] == (
            f"datasets.yaml:2: include[0]: digits/points.csv is declared as two files: at {path}:18 and at "
            f"{tmp_path}/a/other.yaml:16; give one of them a `folder`"
        )

    @pytest.mark.parametrize("key", ["download_to", "shipped_in"])
    def test_a_folder_outside_of_its_own(self, tmp_path: Path, key: str) -> None:
        """An included manifest has no more rights than any other."""
        write(tmp_path / "shared" / "other.yaml", "theirs", top=f"{key}: ../elsewhere\n")
        path = write(tmp_path / "datasets.yaml", "ours", include="shared/other.yaml")

        assert refused(path) == (
            f"other.yaml:2: {key}: leaves its folder: '../elsewhere'\n"
            f"1 problem in {tmp_path}/shared/other.yaml, included at {path}:2. Nothing was downloaded."
        )

    def test_a_wider_budget_for_the_same_folder(self, tmp_path: Path) -> None:
        """What the including manifest allows, an included one does not widen."""
        write(tmp_path / "other.yaml", "theirs", top="shipped_budget_bytes: 2_000\n")
        path = write(tmp_path / "datasets.yaml", "ours", include="other.yaml", top="shipped_budget_bytes: 1_000\n")

        assert refused(path).splitlines()[0] == (
            f"datasets.yaml:2: include[0]: {tmp_path}/other.yaml:2 allows 2,000 bytes of shipped data where "
            f"{path}:3 allows 1,000; an included manifest widens nothing"
        )

    def test_what_is_wrong_in_an_included_file(self, tmp_path: Path) -> None:
        """All of it, in that file's lines."""
        write(tmp_path / "other.yaml", "theirs")
        text = (tmp_path / "other.yaml").read_text()
        (tmp_path / "other.yaml").write_text(text.replace("float64", "float65").replace("title", "titel"))
        path = write(tmp_path / "datasets.yaml", "ours", include="other.yaml")

        said = refused(path).splitlines()
        assert [line.split(":")[:2] for line in said[:-1]] == [
            ["other.yaml", "3"],
            ["other.yaml", "4"],
            ["other.yaml", "11"],
        ]
        assert said[-1] == f"3 problems in {tmp_path}/other.yaml, included at {path}:2. Nothing was downloaded."

    def test_neither_data_sets_nor_includes(self, tmp_path: Path) -> None:
        """As before there were includes."""
        (tmp_path / "datasets.yaml").write_text("version: 1\n")

        assert refused(tmp_path / "datasets.yaml").splitlines()[0] == "datasets.yaml:1: datasets: is missing"

    def test_each_file_that_cannot_be_used_is_reported(self, tmp_path: Path) -> None:
        """With its own lines, and the lines that include it; what two others include once."""
        for name, include in (("a", "deep.yaml"), ("b", "deep.yaml"), ("deep", "")):
            write(tmp_path / f"{name}.yaml", name, include=include)
        for name in ("b", "deep"):
            path = tmp_path / f"{name}.yaml"
            path.write_text(path.read_text().replace("license: CC0-1.0", "licens: CC0-1.0"))
        path = write(tmp_path / "datasets.yaml", "ours", include="a.yaml, b.yaml, gone.yaml")

        with pytest.raises(ManifestError) as caught:
            load_manifest(path)

        lines = {
            name: (tmp_path / f"{name}.yaml").read_text().split("licens")[0].count("\n") + 1 for name in ("b", "deep")
        }
        text = str(caught.value)
        assert text.splitlines()[0].startswith("deep.yaml:")
        assert f"deep.yaml:{lines['deep']}: deep.licens: unknown key" in text
        assert f"b.yaml:{lines['b']}: b.licens: unknown key" in text
        assert f"2 problems in {tmp_path}/deep.yaml, included at {tmp_path}/a.yaml:2, included at {path}:2." in text
        assert f"2 problems in {tmp_path}/b.yaml, included at {path}:2." in text
        assert text.endswith(
            f"datasets.yaml:2: include[2]: there is no such file: {tmp_path}/gone.yaml\n"
            f"1 problem in {path}. Nothing was downloaded."
        )
        assert text.count("Nothing was downloaded.") == text.count(f"in {tmp_path}/deep.yaml") == 1
        assert [Path(one.path).name for one in (caught.value, *caught.value.also)] == [
            "deep.yaml", "b.yaml", "datasets.yaml"
        ]  # fmt: skip
        assert str(pickle.loads(pickle.dumps(caught.value))) == text

    @pytest.mark.parametrize("place", ["shared", "course/more"])
    def test_an_error_names_the_included_file_by_its_path(
        self, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From the manifest that was asked, whose own name most of the others have, too."""
        other = write(tmp_path / place / "datasets.yaml", "theirs")
        from_course = os.path.relpath(other, tmp_path / "course")
        path = write(tmp_path / "course" / "datasets.yaml", "ours", include=from_course)
        (other.parent / "datasets" / "theirs" / "points.csv").write_bytes(b"x,y\n0.5,a\n1.5,c\n")
        (path.parent / "datasets" / "ours" / "points.csv").write_bytes(b"x,y\n0.5,a\n1.5,c\n")

        with pytest.raises(HashMismatch) as caught:
            get("theirs", manifest=path)
        with pytest.raises(HashMismatch) as own:
            get("ours", manifest=path)

        line = other.read_text().split("points.csv: {bytes")[0].count("\n") + 1
        assert caught.value.where == f"{from_course}:{line}"
        assert own.value.where == f"datasets.yaml:{line + 1}"

    def test_too_many(self, tmp_path: Path) -> None:
        """Sixty-four manifests are more than any course has."""
        for number in range(70):
            write(tmp_path / f"{number}.yaml", f"set{number}", include=f"{number + 1}.yaml" if number < 69 else "")

        assert "include[0]: more than 64 manifests stand on one another" in refused(tmp_path / "0.yaml")
