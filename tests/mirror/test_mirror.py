"""Mirrors: a folder to carry or to serve, from which a class gets its data without the internet."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner, Result

from tests.helpers.audit_world import World, copied
from tests.helpers.faulty_server import sha256
from tests.helpers.fresh_process import Begun, begin, python
from tinytorch_datasets import get
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.mirror import serve
from tinytorch_datasets.mirror.copy import holding_list


def mirror(world: World, folder: Path, *arguments: str) -> Result:
    """`tinytorch-datasets mirror FOLDER`."""
    return CliRunner().invoke(main, ["mirror", str(folder), "--manifest", str(world.manifest), *arguments])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def relist(usb: Path, name: str, line: str) -> None:
    """Write that in place of a file's line in the list of sums; {} is the line."""
    old = (usb / "SHA256SUMS").read_text()
    (usb / "SHA256SUMS").write_text("".join(line.format(one) if name in one else one for one in old.splitlines(True)))


def link(path: Path, to: str) -> None:
    """A link in a file's place."""
    path.unlink()
    path.symlink_to(to)


# Audits a mirror folder once a folder in it may not be looked into, by a user to whom the system says no.
UNREADABLE = """
import os, sys
from tinytorch_datasets import audit
manifest, usb, closed = sys.argv[1:]
assert audit(manifest=manifest, mirror=usb).ok  # and imports what may not be readable later
os.chmod(closed, 0)
if os.geteuid() == 0:
    os.setuid(65534)
for finding in audit(manifest=manifest, mirror=usb).findings:
    print(f"{finding.rule}: {finding.what}")
"""

FILES = {
    "SHA256SUMS", "datasets.yaml", "flowers/train.csv", "flowers/test.csv", "talk/talk.txt", "digits/train-images",
    "digits/train-labels", "digits/test-images", "digits/test-labels",
}  # fmt: skip
PAGES = {"index.html"} | {
    f"catalog/{name}" for name in ("catalog.css", "catalog.js", "digits.html", "flowers.html", "talk.html")
}


class TestTheFolder:
    """`<folder>/<file>`, the manifest, and SHA256SUMS: the same folder every time."""

    def test_it_has_everything_and_nothing_else(self, world: World, tmp_path: Path) -> None:
        """Verified copies, and a line a data set."""
        result = mirror(world, tmp_path / "usb", "--offline")

        assert result.stdout.splitlines() == [
            "flowers: 2 files copied, 0 already there, 496 B in total",
            "talk: 1 file copied, 0 already there, 29 B in total",
            "digits: 4 files copied, 0 already there, 354 B in total",
        ]
        assert set(contents(tmp_path / "usb")) == FILES | PAGES
        assert (tmp_path / "usb/datasets.yaml").read_bytes() == world.manifest.read_bytes()

    def test_sha256sum_checks_it(self, world: World, tmp_path: Path) -> None:
        """The tool that every Linux has reads SHA256SUMS; and finds a flipped byte."""
        mirror(world, tmp_path / "usb", "--offline")
        check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
        result = subprocess.run(check, cwd=tmp_path / "usb", capture_output=True, text=True, check=True)
        assert result.stdout.splitlines() == [f"{name}: OK" for name in sorted(FILES - {"SHA256SUMS"})]

        world.flip(tmp_path / "usb/digits/test-labels")
        assert subprocess.run(check, cwd=tmp_path / "usb", capture_output=True, check=False).returncode == 1

    def test_it_is_the_same_every_time(self, world: World, tmp_path: Path) -> None:
        """Byte for byte, in one go or in two."""
        mirror(world, tmp_path / "a", "--offline")
        mirror(world, tmp_path / "b", "digits", "--offline")
        mirror(world, tmp_path / "b", "talk", "flowers", "--offline")

        assert contents(tmp_path / "a") == contents(tmp_path / "b")

    def test_two_runs_at_once_list_what_both_have_copied(self, world: World, tmp_path: Path) -> None:
        """A run waits while another one reads the list, and writes it with its own files."""
        usb = tmp_path / "usb"
        usb.mkdir()
        with ThreadPoolExecutor(1) as pool:
            with holding_list(usb):
                flowers = pool.submit(mirror, world, usb, "flowers", "--offline")
                until = time.monotonic() + 30
                while not (usb / "datasets.yaml").exists() and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(0.2)
                assert not (usb / "SHA256SUMS").exists()
                own = usb / "talk/talk.txt"
                own.parent.mkdir()
                shutil.copy(world.file("talk/talk.txt"), own)
                (usb / "SHA256SUMS").write_text(f"{sha256(own.read_bytes())}  talk/talk.txt\n")
            assert flowers.result(30).exit_code == 0

        listed = {line.split("  ")[1] for line in (usb / "SHA256SUMS").read_text().splitlines()}
        assert listed == {"datasets.yaml", "flowers/test.csv", "flowers/train.csv", "talk/talk.txt"}

    def test_it_goes_on_where_it_stopped(self, world: World, tmp_path: Path) -> None:
        """What is right stays; what is missing, cut short or damaged is copied anew."""
        mirror(world, tmp_path / "usb", "--offline")
        kept = tmp_path / "usb/digits/train-images"
        before = kept.stat().st_mtime_ns
        (tmp_path / "usb/digits/test-images").unlink()
        os.truncate(tmp_path / "usb/digits/test-labels", 3)
        world.flip(tmp_path / "usb/digits/train-labels")
        result = mirror(world, tmp_path / "usb", "digits", "--offline")

        assert result.stdout == "digits: 3 files copied, 1 already there, 354 B in total\n"
        assert kept.stat().st_mtime_ns == before
        assert contents(tmp_path / "usb")["digits/test-labels"] == world.file("digits/test-labels").read_bytes()

    def test_a_damaged_file_is_never_spread(self, world: World, tmp_path: Path) -> None:
        """Exit 1, its hashes and its line; no file of that name in the mirror."""
        world.flip(world.file("flowers/train.csv"))
        result = mirror(world, tmp_path / "usb", "--offline")

        assert result.exit_code == 1
        assert f"declared at datasets.yaml:{world.line('train.csv: {b')}" in result.stderr
        assert not (tmp_path / "usb/flowers/train.csv").exists()
        assert not list((tmp_path / "usb").rglob("*.part"))

    def test_one_that_cannot_be_copied_keeps_no_other_from_it(self, world: World, tmp_path: Path) -> None:
        """Every data set is tried, what was copied is listed, and each error is reported."""
        usb = tmp_path / "usb"
        world.flip(world.file("flowers/test.csv"))  # the second of its files
        world.file("digits/train-images").write_bytes(b"short")
        result = mirror(world, usb, "--offline")

        assert result.exit_code == 1
        assert result.stdout == "talk: 1 file copied, 0 already there, 29 B in total\n"
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert [Path(error.split()[1]).name for error in errors] == ["test.csv", "train-images"]
        listed = (usb / "SHA256SUMS").read_text().splitlines()
        assert [line.split()[1] for line in listed] == ["datasets.yaml", "flowers/train.csv", "talk/talk.txt"]
        assert not subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=usb, check=False).returncode
        data = ["SHA256SUMS", "datasets.yaml", "flowers/train.csv", "talk/talk.txt"]
        assert sorted(set(contents(usb)) - PAGES) == data

    def test_where_nothing_can_be_copied_nothing_is_written(self, world: World, tmp_path: Path) -> None:
        """A folder with a list of no file would look like a mirror."""
        shutil.rmtree(world.root / "home")
        result = mirror(world, tmp_path / "usb", "digits", "--offline")

        assert (result.exit_code, result.stdout) == (3, "")
        assert not (tmp_path / "usb").exists()

    def test_a_git_lfs_pointer_is_named(self, world: World, tmp_path: Path) -> None:
        """As `get` does, before a byte is copied."""
        path = world.file("flowers/train.csv")
        path.write_text("version https://git-lfs.github.com/spec/v1\nsize 12\n")
        result = mirror(world, tmp_path / "usb", "flowers")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {path} is a Git LFS pointer, not the file itself\n"
            f"  declared at datasets.yaml:{world.line('train.csv: {b')}\n"
            "  Run `git lfs pull`.\n",
        )

    def test_a_file_that_is_gone_is_missing(self, world: World, tmp_path: Path) -> None:
        """The mirror is not to blame: it is the file on this computer that the error names."""
        path = world.file("flowers/train.csv")
        path.unlink()
        result = mirror(world, tmp_path / "usb", "flowers")

        assert (result.exit_code, result.stderr) == (
            1,
            f"error: {path} is missing\n"
            f"  declared at datasets.yaml:{world.line('train.csv: {b')}\n"
            "  Restore it: `git checkout` it in a clone, or reinstall the package.\n",
        )

    def test_what_is_not_here_is_fetched_first(self, world: World, tmp_path: Path) -> None:
        """From another mirror, say; without one and offline, exit 1."""
        mirror(world, tmp_path / "usb", "--offline")
        CliRunner().invoke(main, ["clean", "digits", "--manifest", str(world.manifest)])
        assert mirror(world, tmp_path / "other", "digits", "--offline").exit_code == 3
        result = mirror(world, tmp_path / "other", "digits", "--from", str(tmp_path / "usb"))

        assert result.stdout == "digits: 4 files copied, 0 already there, 354 B in total\n"

    def test_get_reads_it(self, world: World, tmp_path: Path, no_network: None) -> None:
        """A stick in the hand, no network: the same arrays."""
        mirror(world, tmp_path / "usb", "--offline")
        mine = get("digits", manifest=world.manifest, home=tmp_path / "student", mirror=tmp_path / "usb")

        assert mine.train.images.tolist() == get("digits", manifest=world.manifest).train.images.tolist()

    @pytest.mark.parametrize("name", ["talk", "talk/talk.txt", "SHA256SUMS", "datasets.yaml"])
    def test_nothing_is_written_through_a_planted_symlink(self, world: World, tmp_path: Path, name: str) -> None:
        """Not into a folder of somebody else, and no file is replaced; the folder itself may be a link."""
        usb, target = tmp_path / "usb", tmp_path / "target"
        (tmp_path / "stick").mkdir()
        usb.symlink_to(tmp_path / "stick")
        assert mirror(world, usb, "talk").exit_code == 0
        (usb / name).rename(target)
        (usb / name).symlink_to(target)
        world.put("talk/talk.txt", b"Hello!\nWho are you?\nGoodbye.\n")
        before = contents(target) if target.is_dir() else target.read_bytes()
        result = mirror(world, usb, "talk")

        assert result.exit_code == 1
        assert result.stderr == (
            f"error: {usb / name}: this is a symbolic link, and nothing is written through it\n"
            "  Delete the link: what it leads to is not replaced, and does not go with the folder.\n"
        )
        assert (contents(target) if target.is_dir() else target.read_bytes()) == before

    @pytest.mark.parametrize("name", ["talk/talk.txt", "SHA256SUMS", "datasets.yaml"])
    def test_a_named_pipe_is_not_waited_for(self, world: World, tmp_path: Path, name: str) -> None:
        """Neither by the audit, which reports it, nor by writing the mirror again."""
        usb = tmp_path / "usb"
        assert mirror(world, usb, "talk").exit_code == 0
        (usb / name).unlink()
        os.mkfifo(usb / name)
        options = ("--manifest", str(world.manifest))
        audited = python("-m", "tinytorch_datasets", "audit", "--mirror", str(usb), *options)
        written = python("-m", "tinytorch_datasets", "mirror", str(usb), "talk", *options)

        assert written.returncode >= 0, "it was waited for, until a signal"
        assert audited.returncode == 1
        assert f"{usb / name} cannot be read: it is no regular file" in audited.stdout


class TestTheAudit:
    """`audit --mirror` finds what differs in the folder."""

    CASES = (
        ("a flipped byte", lambda usb, world: world.flip(usb / "digits/test-labels"), "file-hash", "test-labels: {b"),
        ("a missing file", lambda usb, world: (usb / "talk/talk.txt").unlink(), "file-missing", "talk.txt: {b"),
        ("an extra file", lambda usb, world: (usb / "virus.exe").touch(), "undeclared", "version: 1"),
        ("another manifest", lambda usb, world: (usb / "datasets.yaml").write_text("no"), "file-hash", "version: 1"),
        ("no list of sums", lambda usb, world: (usb / "SHA256SUMS").unlink(), "file-missing", "version: 1"),
        ("a changed list of sums", lambda usb, world: (usb / "SHA256SUMS").write_text(
            (usb / "SHA256SUMS").read_text().replace(sha256(world.file("talk/talk.txt").read_bytes()), "0" * 64)),
         "file-hash", "talk.txt: {b"),
        ("a file that is not listed", lambda usb, world: relist(usb, "talk/talk.txt", ""), "sums", "talk.txt: {b"),
        ("a manifest that is not listed", lambda usb, world: relist(usb, "datasets.yaml", ""), "sums", "version: 1"),
        ("a file listed twice", lambda usb, world: relist(usb, "talk/talk.txt", "{0}{0}"), "sums", "talk.txt: {b"),
        ("a line that says nothing", lambda usb, world: relist(usb, "talk/talk.txt", "{}one blank\n"), "sums",
         "version: 1"),
        ("an empty line", lambda usb, world: relist(usb, "talk/talk.txt", "\n{}"), "sums", "version: 1"),
        ("a dangling link", lambda usb, world: (usb / "talk/more").symlink_to("nowhere"), "undeclared", "version: 1"),
        ("a link that leads to itself", lambda usb, world: link(usb / "talk/talk.txt", "talk.txt"), "file-missing",
         "talk.txt: {b"),
        ("a list of sums that is a folder", lambda usb, world: ((usb / "SHA256SUMS").unlink(),
         (usb / "SHA256SUMS").mkdir()), "file-missing", "version: 1"),
    )  # fmt: skip

    @pytest.mark.parametrize(("damage", "rule", "line"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
    def test_what_differs_is_found(self, world: World, tmp_path: Path, damage: object, rule: str, line: str) -> None:
        """Exit 1, on the manifest's line; the same folder undamaged is well."""
        usb = tmp_path / "usb"
        mirror(world, usb, "--offline")
        assert world.audit("--mirror", str(usb))[0] == 0
        damage(usb, world)  # type: ignore[operator]
        code, result = world.audit("--mirror", str(usb))

        assert (code, [(f["rule"], f["line"]) for f in result["findings"]]) == (1, [(rule, world.line(line))])

    def test_a_wrong_line_before_the_right_one_is_reported(self, world: World, tmp_path: Path) -> None:
        """`sha256sum -c` fails by it, whatever follows; and whatever was added, its line is one line."""
        usb = tmp_path / "usb"
        mirror(world, usb, "--offline")
        right = sha256(world.file("talk/talk.txt").read_bytes())
        relist(usb, "talk/talk.txt", f"{'0' * 64}  talk/talk.txt\n{{}}{right} two.txt\n{right}  a\x1bb\n")
        _, result = world.audit("--mirror", str(usb))

        assert [found["what"] for found in result["findings"]] == [
            f"SHA256SUMS lists talk/talk.txt with sha256\n    {'0' * 64}, declared is\n    {right}",
            "line 9 of SHA256SUMS lists talk/talk.txt again, as line 8 does",
            "line 10 of SHA256SUMS is not a sha256, two blanks and a file's path",
            f"SHA256SUMS lists a\\x1bb with sha256\n    {right}, declared is\n    no such file",
        ]

    def test_a_name_that_no_terminal_should_see(self, world: World, tmp_path: Path) -> None:
        """It is reported as Python would write it."""
        mirror(world, tmp_path / "usb", "--offline")
        (tmp_path / "usb" / "a\x1bb").symlink_to("nowhere")
        _, result = world.audit("--mirror", str(tmp_path / "usb"))

        assert [found["what"] for found in result["findings"]] == ["a\\x1bb is in the mirror and declared nowhere"]

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="another system's rights")
    def test_a_folder_that_may_not_be_looked_into(self, world: World) -> None:
        """Its files cannot be read, and it may hold more: findings, and no traceback."""
        with TemporaryDirectory() as folder:  # where others may look into the folders above, too
            Path(folder).chmod(0o755)
            usb, mine = Path(folder) / "usb", copied(world, Path(folder) / "world")
            mine.root.chmod(0o755)
            mirror(mine, usb, "--offline")
            asked = [sys.executable, "-c", UNREADABLE, str(mine.manifest), str(usb), str(usb / "talk")]
            result = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout
            (usb / "talk").chmod(0o755)

        assert result.splitlines() == [
            f"file-missing: {usb}/talk/talk.txt cannot be read: Permission denied",
            "undeclared: talk is in the mirror and declared nowhere",
        ]

    def test_a_data_set_that_was_named_is_in_the_mirror(self, world: World, tmp_path: Path) -> None:
        """Or that it is not is a finding."""
        usb = tmp_path / "usb"
        mirror(world, usb, "talk", "--offline")
        code, result = world.audit("digits", "talk", "--mirror", str(usb))

        assert (code, [(found["line"], found["what"], found["hint"]) for found in result["findings"]]) == (
            1,
            [(world.line("  digits:"), f"nothing of digits is in {usb}",
              f"`tinytorch-datasets mirror {usb} digits --manifest {world.manifest}` adds it.")],
        )  # fmt: skip

    def test_a_mirror_of_some_data_sets_is_well(self, world: World, tmp_path: Path) -> None:
        """What was never put there is no finding."""
        mirror(world, tmp_path / "usb", "talk", "--offline")
        code, result = world.audit("--mirror", str(tmp_path / "usb"))

        assert (code, [one["state"] for one in result["datasets"]]) == (0, ["not downloaded", "ok", "not downloaded"])

    def test_a_file_that_two_share_says_nothing_of_the_other(self, world: World, tmp_path: Path) -> None:
        """It was put there for the first of them alone."""
        text = world.manifest.read_text()
        two = text[text.index("  talk:") : text.index("  digits:")].replace("  talk:", "  talks:\n    folder: talk")
        extra = world.root / "datasets/talk/more.txt"
        extra.write_text("more\n")
        two = two.rstrip() + f"\n      more.txt: {{bytes: 5, sha256: {sha256(extra.read_bytes())}}}\n"
        world.manifest.write_text(text + "\n" + two)
        mirror(world, tmp_path / "usb", "talk", "--offline")
        code, result = world.audit("--mirror", str(tmp_path / "usb"))

        assert {one["name"]: one["state"] for one in result["datasets"]}["talks"] == "not downloaded"
        assert (code, result["findings"]) == (0, [])

    def test_a_list_of_sums_as_others_write_it(self, world: World, tmp_path: Path) -> None:
        """With stars, as `sha256sum -b` does."""
        mirror(world, tmp_path / "usb", "--offline")
        sums = tmp_path / "usb" / "SHA256SUMS"
        sums.write_text(sums.read_text().replace("  ", " *"))

        assert world.audit("--mirror", str(tmp_path / "usb"))[0] == 0


@contextmanager
def in_a_thread(folder: Path) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server of a folder, in this process."""
    with serve.server(folder, "127.0.0.1", 0) as (httpd, _):
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", httpd.server_address[1], timeout=10)) as connection:
                yield connection
        finally:
            httpd.shutdown()
            thread.join()


@contextmanager
def served(world: World, folder: Path) -> Iterator[tuple[str, Begun | subprocess.Popen[str]]]:
    """`mirror FOLDER --serve` as a real process, and the line that it prints."""
    command = ["-m", "tinytorch_datasets", "mirror", str(folder), "--manifest", str(world.manifest)]
    process = begin(*command, "--offline", "--serve", "--bind", "127.0.0.1", "--port", "0")
    try:
        yield process.stdout.readline(), process  # type: ignore[union-attr]
    finally:
        process.terminate()
        process.communicate(timeout=10)


class TestServing:
    """Shared over HTTP, on a chosen address; the one line that students type is the answer."""

    def test_students_get_their_data(self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The printed variable is all they set."""
        with served(world, tmp_path / "usb") as (line, _):
            variable, _, address = line.removeprefix("export ").strip().partition("=")
            monkeypatch.setenv(variable, address)
            mine = get("digits", manifest=world.manifest, home=tmp_path / "student")

        assert line == f"export TINYTORCH_DATASETS_MIRROR={address}\n"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        assert len(mine.train) == 12

    def test_a_browser_is_shown_what_is_there(self, world: World, tmp_path: Path) -> None:
        """The root is the start page, with its address in the lines to type; it may load nothing from elsewhere."""
        with served(world, tmp_path / "usb") as (line, _):
            address = line.strip().partition("=")[2]
            answer = urllib.request.urlopen(address)
            start = answer.read().decode()
            style = urllib.request.urlopen(f"{address}catalog/catalog.css")
            page = urllib.request.urlopen(f"{address}catalog/talk.html").read()

        assert f"export TINYTORCH_DATASETS_MIRROR={address}</code>" in start
        assert f"$env:TINYTORCH_DATASETS_MIRROR=&quot;{address}&quot;</code>" in start
        assert f"set &quot;TINYTORCH_DATASETS_MIRROR={address}&quot;</code>" in start
        assert "one of these lines before <code>tinytorch-datasets get NAME</code>: the data comes from" in start
        assert f"data = get(NAME, mirror=&quot;{address}&quot;)</code>" in start
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert style.headers["Content-Type"] == "text/css; charset=utf-8"
        assert page == (tmp_path / "usb/catalog/talk.html").read_bytes()

    def test_it_counts_who_has_fetched_what(self, world: World, tmp_path: Path) -> None:
        """Computers that have every file of a data set, and nothing else of them; part of one is not counted."""
        with served(world, tmp_path / "usb") as (line, _):
            address = line.strip().partition("=")[2]
            get("digits", manifest=world.manifest, home=tmp_path / "student", mirror=address)
            urllib.request.urlopen(f"{address}flowers/train.csv").read()
            shown = urllib.request.urlopen(address).read().decode()

        assert re.findall(r'class="name">(.*)</p>\n<p class="fetched">(.*)</p>', shown) == [
            ("flowers", "fetched by nobody yet"),
            ("talk", "fetched by nobody yet"),
            ("digits", "fetched by 1 computer"),
        ]

    def test_a_page_of_somebody_else_is_kept_and_not_shown(self, world: World, tmp_path: Path) -> None:
        """The files are mirrored all the same, and audits still report what nobody declared."""
        (tmp_path / "usb").mkdir()
        (tmp_path / "usb/index.html").write_text("mine")
        result = mirror(world, tmp_path / "usb", "talk", "--offline")
        code, audited = world.audit("--mirror", str(tmp_path / "usb"))

        assert (result.exit_code, result.stderr) == (
            0,
            f"no start page: {tmp_path / 'usb/index.html'} is in the way: no catalog wrote it\n",
        )
        assert (tmp_path / "usb/index.html").read_text() == "mine"
        assert (code, [found["what"] for found in audited["findings"]]) == (
            1,
            ["index.html is in the mirror and declared nowhere"],
        )

    def test_the_rest_of_a_file_can_be_asked_for(self, world: World, tmp_path: Path) -> None:
        """So that an interrupted download goes on; nonsense is refused."""
        whole = world.file("digits/train-images").read_bytes()
        with served(world, tmp_path / "usb") as (line, _):
            url = line.strip().partition("=")[2] + "digits/train-images"
            part = urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=100-"}))
            rest = part.read()  # while there is a server
            some = urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=5-9"})).read()
            with pytest.raises(urllib.error.HTTPError, match="416"):
                urllib.request.urlopen(urllib.request.Request(url, headers={"Range": f"bytes={len(whole)}-"}))

        assert (part.status, rest) == (206, whole[100:])
        assert part.headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
        assert some == whole[5:10]

    def test_the_rest_of_another_file_is_the_whole(self, tmp_path: Path) -> None:
        """If-Range says of which one the beginning came: by its time, which is all that is known of it."""
        (tmp_path / "f").write_bytes(b"0123456789")
        (tmp_path / "SHA256SUMS").write_text(f"{sha256(b'0123456789')}  f\n")
        with in_a_thread(tmp_path) as connection:
            answers = []
            for since in (None, "Wed, 21 Oct 2015 07:28:00 GMT"):
                connection.request("HEAD", "/f")
                head = connection.getresponse()
                head.read()
                condition = since or head.headers["Last-Modified"]
                connection.request("GET", "/f", headers={"Range": "bytes=4-", "If-Range": condition})
                reply = connection.getresponse()
                answers.append((reply.status, reply.read()))

        assert answers == [(206, b"456789"), (200, b"0123456789")]

    def test_a_file_that_is_cut_ends_the_connection(self, tmp_path: Path) -> None:
        """Or what answers the next request would be taken for the rest of it."""
        size = 64 * 2**20  # more than a connection holds
        with (tmp_path / "f").open("wb") as file:
            file.truncate(size)
        (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  f\n")
        with in_a_thread(tmp_path) as connection:
            connection.request("GET", "/f")
            reply = connection.getresponse()
            os.truncate(tmp_path / "f", 1)
            with pytest.raises(http.client.IncompleteRead) as caught:
                reply.read()

        assert 0 < len(caught.value.partial) < size

    def test_nonsense_is_answered(self, world: World, tmp_path: Path) -> None:
        """Not by a traceback on the instructor's screen."""
        with served(world, tmp_path / "usb") as (line, process):
            host, _, port = line.strip().rpartition("//")[2].rstrip("/").rpartition(":")
            answers = []
            for asked in ("GET http://[::1 HTTP/1.1", f"GET /SHA256SUMS HTTP/1.1\r\nRange: bytes={'9' * 5000}-"):
                with socket.create_connection((host, int(port))) as student:
                    student.sendall(asked.encode() + b"\r\n\r\n")
                    answers.append(student.recv(12))
            process.send_signal(signal.SIGINT)
            _, result = process.communicate(timeout=10)

        assert set(answers) <= {b"HTTP/1.1 400", b"HTTP/1.1 200"}
        assert "Traceback" not in result

    def test_nothing_beside_the_mirror_is_shared(self, world: World, tmp_path: Path) -> None:
        """No listing, no way up, no file that is not on the list."""
        (tmp_path / "usb").mkdir()
        for name in ("secret", "secret.yaml"):
            (tmp_path / "usb" / name).write_text("mine")
        paths = (
            "catalog/",
            "digits/",
            "../world/use.py",
            "%2e%2e/world/use.py",
            "secret",
            "secret.yaml",
            "digits/../secret",
        )
        with served(world, tmp_path / "usb") as (line, _):
            for path in paths:
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(line.strip().partition("=")[2] + path)

    def test_ctrl_c_ends_it_quietly(self, world: World, tmp_path: Path) -> None:
        """No traceback; exit 0."""
        with served(world, tmp_path / "usb") as (line, process):
            process.send_signal(signal.SIGINT)
            _, result = process.communicate(timeout=10)

        assert (process.returncode, result.splitlines()[-1]) == (0, "server stopped")
        assert f"for PowerShell, cmd and Python, in a browser: {line.strip().partition('=')[2]}" in result.splitlines()

    def test_a_port_that_is_taken_is_reported(self, world: World, tmp_path: Path) -> None:
        """With what to do."""
        with served(world, tmp_path / "usb") as (line, _):
            port = line.strip().rpartition(":")[2].rstrip("/")
            result = mirror(world, tmp_path / "usb", "--offline", "--serve", "--bind", "127.0.0.1", "--port", port)

        assert result.exit_code == 1
        assert "  Choose another --port (0 takes any free one), or --bind.\n" in result.stderr

    @pytest.mark.slow
    def test_a_whole_class_at_once(self, world: World, tmp_path: Path) -> None:
        """Thirty at the same time, each with a folder of their own."""
        with served(world, tmp_path / "usb") as (line, _):
            address = line.strip().partition("=")[2]

            def student(number: int) -> int:
                home = tmp_path / f"student{number}"
                return len(
                    get("digits", manifest=world.manifest, home=home, mirror=address, progress=lambda *result: None)
                )

            with ThreadPoolExecutor(30) as pool:
                assert list(pool.map(student, range(30))) == [2] * 30


def test_an_unserved_mirror_is_reported_as_any_other(world: World, tmp_path: Path) -> None:
    """The server is off: the error names the address."""
    world.edit("      - https://mirror.invalid/\n", "")
    world.edit("https://mirror.invalid/digits/", "http://127.0.0.1:9/")
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9"):
        get("digits", manifest=world.manifest, home=tmp_path / "student", mirror="http://127.0.0.1:9/")
