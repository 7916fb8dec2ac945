"""Commands where the manifest includes many data sets: the classics, or any file that is as long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.manifest.test_include import PACKAGED, entry, write
from tinytorch_datasets import load_manifest
from tinytorch_datasets.cli import main

MANY = 20


def run(*command: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, [str(word) for word in command])


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A manifest of one data set that includes a file of twenty: shipped ones, and two that nobody serves or tried."""
    names = [f"set{number}" for number in range(MANY)]
    library = write(tmp_path / "shared" / "library.yaml", *names)
    text = library.read_text(encoding="utf-8")
    for name in names[:2]:
        untried = (
            entry(name).replace("status: shipped", "status: remote").replace("source:", "tried: never\n    source:")
        )
        text = text.replace(entry(name), untried + "    mirrors: [https://127.0.0.1:1/]\n")
    library.write_text(text, encoding="utf-8")
    return write(tmp_path / "course" / "datasets.yaml", "ours", include="../shared/library.yaml")


class TestList:
    """What a person sees first is what the manifest itself declares."""

    def test_the_classics_are_listed_by_their_names(self) -> None:
        """Under the table of the four, so that all fits 80 x 24."""
        lines = run("list").stdout.splitlines()
        names = [word.rstrip("*") for line in lines[7:] for word in line.split()]

        assert [line.split()[0] for line in lines[:5]] == ["name", *PACKAGED[:4]]
        assert lines[5:7] == ["", f"classics.yaml: {len(PACKAGED) - 4} more, in full by `list --all`"]
        assert names == PACKAGED[4:]
        assert len(lines) < 24
        assert max(map(len, lines[6:])) <= 80

    def test_all_of_them_on_a_line_each(self, course: Path) -> None:
        """With --all, and in JSON always, with the file that declares it."""
        table = run("list", "--all", "--manifest", course).stdout.splitlines()
        rows = json.loads(run("list", "--json", "--manifest", course).stdout)

        assert [line.split()[0] for line in table] == ["name", "ours", *(f"set{n}" for n in range(MANY))]
        assert [row["name"] for row in rows] == [line.split()[0] for line in table[1:]]
        assert [Path(row["manifest"]).name for row in rows] == ["datasets.yaml"] + ["library.yaml"] * MANY

    def test_a_star_is_at_what_is_on_disk(self, course: Path) -> None:
        """Of a list of names, it is what else one would ask."""
        names = run("list", "--manifest", course).stdout.splitlines()[3:]

        assert names[0] == "library.yaml: 20 more, in full by `list --all`; * is on disk"
        assert " ".join(names[1:]).split() == ["set0", "set1", *(f"set{n}*" for n in range(2, MANY))]

    def test_a_short_included_file_is_in_the_table(self, tmp_path: Path) -> None:
        """A course's three data sets, and its department's two."""
        write(tmp_path / "shared.yaml", "theirs")
        course = write(tmp_path / "datasets.yaml", "ours", include="shared.yaml")

        assert [line.split()[0] for line in run("list", "--manifest", course).stdout.splitlines()] == [
            "name",
            "ours",
            "theirs",
        ]


class TestGetAll:
    """All of the manifest itself: nobody means to download what sixty others are."""

    def test_it_takes_no_included_one(self, course: Path, tmp_path: Path) -> None:
        """They come by their names."""
        done = run("get", "--all", "--manifest", course, "--home", tmp_path / "home")

        assert done.exit_code == 0
        assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["ours"]

    def test_a_manifest_without_any(self, tmp_path: Path) -> None:
        """It says so, and does nothing."""
        alone = write(tmp_path / "datasets.yaml", include="packaged")
        done = run("get", "--all", "--manifest", alone, "--home", tmp_path / "home")

        assert done.exit_code == 2
        assert "the manifest has no data set of its own, only included ones: name those to get" in done.stderr

    def test_the_packaged_one(self) -> None:
        """It has the four, as it had before it included any."""
        assert list(load_manifest().own) == PACKAGED[:4]


class TestNeverTried:
    """What nobody has tried on real files says so, where one decides to rely on it."""

    def test_get_says_it_before_it_downloads(self, course: Path, tmp_path: Path) -> None:
        """In a sentence, on stderr."""
        done = run("get", "set0", "--manifest", course, "--home", tmp_path / "home")

        assert done.exit_code == 3
        assert done.stderr.splitlines()[0] == (
            "set0: declared from what others publish, and never tried on the real files"
        )

    def test_info_says_it(self, course: Path) -> None:
        """And of an entry that was tried, when."""
        never = "tried       never: declared from what others publish, and never tried on the real files"

        assert never in run("info", "set0", "--manifest", course).stdout.splitlines()
        assert "tried       2026-11-29" in run("info", "iris").stdout.splitlines()
        assert "tried" not in run("info", "ours", "--manifest", course).stdout

    def test_a_file_that_does_not_decode(self, course: Path) -> None:
        """The entry may be what is wrong, which its readers cannot know."""
        library = course.parent.parent / "shared" / "library.yaml"
        text = library.read_text(encoding="utf-8").replace("status: remote", "status: shipped")
        text = text.replace("samples: 2", "samples: 3", 1)
        library.write_text(text.replace("    mirrors: [https://127.0.0.1:1/]\n", ""), encoding="utf-8")
        done = run("get", "set0", "--manifest", course)

        assert done.exit_code == 1
        assert "It is declared from what others publish, and never tried on the real files: please report this." in (
            done.stderr
        )


class TestOthers:
    """Commands that mean all of them."""

    def test_a_mirror_has_the_manifests_own_and_every_manifest(self, tmp_path: Path) -> None:
        """So that the copy of the manifest can be used where it is; included data sets come by their names."""
        write(tmp_path / "shared.yaml", "theirs", "others")
        course = write(tmp_path / "datasets.yaml", "ours", include="shared.yaml")
        done = run("mirror", tmp_path / "usb", "--manifest", course)
        assert (done.exit_code, done.stdout.partition(":")[0]) == (0, "ours")

        sums = (tmp_path / "usb" / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
        assert [line.split()[1] for line in sums] == ["datasets.yaml", "ours/points.csv", "shared.yaml"]
        assert not list((tmp_path / "usb").rglob("*theirs*"))
        assert load_manifest(tmp_path / "usb" / "datasets.yaml").datasets.keys() == {"ours", "theirs", "others"}
        assert run("audit", "--mirror", tmp_path / "usb", "--manifest", course).exit_code == 0

        (tmp_path / "usb" / "shared.yaml").write_text("version: 1\n")
        assert (
            "shared.yaml is another manifest" in run("audit", "--mirror", tmp_path / "usb", "--manifest", course).stdout
        )

    def test_clean_lists_no_included_one_of_which_there_is_nothing(self, course: Path) -> None:
        """Sixty lines of 0 B would hide the one that is not."""
        run("get", "set5", "--manifest", course)
        lines = run("clean", "--dry-run", "--manifest", course).stdout.splitlines()

        assert [line.partition(":")[0] for line in lines] == ["ours", "set5"]

    def test_an_audit_counts_what_was_never_downloaded(self) -> None:
        """In a line, where it is more than a few; in JSON each has its own."""
        done = run("audit", "--only", "manifest", "--only", "shipped", "--only", "cached")
        rows = json.loads(run("audit", "--json").stdout)["datasets"]

        assert done.exit_code == 0
        assert [row["name"] for row in rows] == PACKAGED
        absent = [row["name"] for row in rows if row["state"] == "not downloaded"]
        assert f"\n{len(absent)} others  not downloaded\n" in done.stdout
