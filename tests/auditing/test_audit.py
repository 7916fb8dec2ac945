"""Auditing: whatever differs is found, all of it, on the right line, with the right exit code."""

from __future__ import annotations

import doctest
import gzip
import json
import os
import pickle
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.helpers.audit_world import World, flowers, images, mirrored
from tests.helpers.faulty_server import FaultyServer, answer, free_port, serve, sha256, until
from tests.helpers.fresh_process import begin, python
from tests.helpers.mutations import MUTATIONS, NO_HASH, Mutation, digest_of, hash_of, swap
from tinytorch_datasets import audit, get
from tinytorch_datasets.auditing.findings import RULES
from tinytorch_datasets.auditing.lint import walk
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.fetch import RetryPolicy


def test_the_world_as_it_is_meant_to_be_is_well(world: World) -> None:
    """The twin of every mutation: the same audit, and nothing to find."""
    code, result = world.audit()

    assert (code, result["findings"]) == (0, [])
    assert {one["name"]: one["state"] for one in result["datasets"]} == dict.fromkeys(
        ("flowers", "talk", "digits"), "ok"
    )
    assert [one["samples"] for one in result["datasets"]] == [30, 3, 18]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[m.what for m in MUTATIONS])
def test_a_mutation_is_caught_on_its_line(world: World, mutation: Mutation) -> None:
    """With its rule, the line of the manifest that declares it, and the exit code."""
    mutation.do(world)
    code, result = world.audit()

    grave = [finding for finding in result["findings"] if finding["severity"] == "error"]
    assert code == result["exit_code"] == mutation.exit_code
    assert (mutation.rule, world.line(mutation.line)) in [(f["rule"], f["line"]) for f in grave]
    assert all(finding["hint"] and finding["path"] and finding["where"] for finding in grave)


class TestTheMirrors:
    """Every address is asked; a changed file is an error, a bad day is not."""

    PAGE = b"<!DOCTYPE html><title>Log in</title>" + b" " * 300
    CASES = (
        ("404", answer(404), "mirror-refuses", "does not serve the file: 404 Not Found"),
        ("403", answer(403), "mirror-refuses", "does not serve the file: 403 Forbidden"),
        ("another length", serve(b"\0\0\x08\x03" + bytes(30)), "mirror-length", "serves 34 bytes, declared are 208"),
        (
            "an HTML page",
            answer(200, PAGE),
            "mirror-wrong-content",
            'serves an HTML page titled "Log in" (a login page?)',
        ),
        (
            "an LFS pointer",
            answer(200, b"version https://git-lfs.github.com/spec/v1\nsize 9\n"),
            "mirror-wrong-content",
            "serves a Git LFS pointer to a file of 9 bytes (run `git lfs pull` where it was copied from)",
        ),
    )

    @pytest.mark.parametrize(("act", "rule", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
    def test_a_changed_mirror_is_an_error(
        self, world: World, server: FaultyServer, act: Callable[..., None], rule: str, message: str
    ) -> None:
        """Exit 1, on the mirror's line, with what came; the other files are as declared."""
        mirrored(world, server, {"train-images": act})
        code, result = world.audit("--remote")

        (finding,) = [f for f in result["findings"] if f["severity"] == "error"]
        assert (code, finding["rule"], finding["line"]) == (1, rule, world.line(server.url))
        assert finding["what"] == f"{server.url}/digits/train-images {message}"
        assert [asked["state"] for asked in result["addresses"]].count("ok") == 3

    def test_a_silent_host_is_no_error(self, world: World) -> None:
        """Nobody listens: exit 3, a state of its own, and not a word against the file."""
        port = free_port()
        world.edit("https://mirror.invalid/\n", f"http://127.0.0.1:{port}/\n")
        world.edit("      - https://mirror.invalid/digits/\n", "")
        code, result = world.audit("--only", "remote")

        assert code == 3
        assert {f["severity"] for f in result["findings"]} == {"unknown"}
        assert result["findings"][0]["what"] == (
            f"http://127.0.0.1:{port}/train-images could not be checked: the connection was refused"
        )

    def test_a_flaky_host_is_asked_again(self, world: World, server: FaultyServer) -> None:
        """503 and then the file: nothing to tell."""
        mirrored(world, server)
        whole = serve(world.file("digits/test-labels").read_bytes())
        server.at("/digits/test-labels", answer(503, Retry_After="0"), whole)

        assert world.audit("--only", "remote")[0] == 0

    def test_a_host_that_stays_flaky_fails_nothing_but_the_network(self, world: World, server: FaultyServer) -> None:
        """Three times 503 is exit 3; beside a changed file it is exit 1."""
        mirrored(world, server, {"test-labels": answer(503, Retry_After="0")})
        alone = world.audit("--only", "remote")[0]
        server.at("/digits/test-images", answer(404))

        assert (alone, world.audit("--only", "remote")[0]) == (3, 1)

    @pytest.mark.parametrize(
        ("wait_s", "asked", "message"),
        [
            ("0", 2, "503 Service Unavailable (2 tries)"),
            ("3600", 1, "503 Service Unavailable (it asks to wait 3,600 s)"),
        ],
    )
    def test_one_retry_policy_is_for_every_request(
        self, world: World, server: FaultyServer, wait_s: str, asked: int, message: str
    ) -> None:
        """As often as a fetch would try, and no longer than it would wait."""
        mirrored(world, server, {"test-labels": answer(503, Retry_After=wait_s)})
        report = audit(manifest=world.manifest, levels=["remote"], retry=RetryPolicy(tries=2))

        url = f"{server.url}/digits/test-labels"
        assert [finding.what for finding in report.findings] == [f"{url} could not be checked: {message}"]
        assert len(server.requests("/digits/test-labels")) == asked

    def test_a_host_that_drips_is_given_up(self, world: World, server: FaultyServer) -> None:
        """As by a download: nobody waits for days for a file that comes byte by byte."""
        data = world.file("digits/train-images").read_bytes()
        mirrored(world, server, {"train-images": serve(data, piece=1, pause_s=0.02)})
        haste = RetryPolicy(tries=1, drip_bytes_per_s=1000, drip_window_s=0.2)
        report = audit(manifest=world.manifest, levels=["remote"], deep=True, retry=haste)

        [finding] = report.findings
        assert (report.exit_code, finding.rule) == (3, "mirror-unreachable")
        assert re.search(r"/digits/train-images could not be checked: only drips \(\d+ bytes/s\)$", finding.what)
        assert server.requests("/digits/train-images")[0].sent < len(data)

    def test_ctrl_c_ends_the_wait(self, world: World, server: FaultyServer) -> None:
        """Nobody sits out what a mirror asked for."""
        mirrored(world, server, {"test-labels": answer(503, Retry_After="25")})
        command = ["-m", "tinytorch_datasets", "audit", "--only", "remote"]
        process = begin(*command, "--manifest", str(world.manifest))
        until(lambda: len(server.requests("/digits/test-labels")) == 1)
        time.sleep(0.3)

        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

        assert time.monotonic() - before < 5
        assert process.returncode == 130
        assert "interrupted" in err

    def test_deep_hashes_every_byte(self, world: World, server: FaultyServer) -> None:
        """A file of the right length and other bytes is found by reading it, and only so."""
        wrong = bytearray(world.file("digits/train-images").read_bytes())
        wrong[-1] ^= 1
        mirrored(world, server, {"train-images": serve(bytes(wrong))})

        assert world.audit("--only", "remote")[0] == 0
        code, result = world.audit("--only", "remote", "--deep")
        assert (code, [f["rule"] for f in result["findings"] if f["severity"] == "error"]) == (1, ["mirror-hash"])

    def test_a_length_that_is_not_stated_is_read_when_deep(self, world: World, server: FaultyServer) -> None:
        """Chunked answers have none: advice without --deep, nothing with it."""
        data = world.file("digits/train-images").read_bytes()
        mirrored(world, server, {"train-images": serve(data, chunked=True)})

        code, result = world.audit("--only", "remote")
        assert (code, [f["rule"] for f in result["findings"]]) == (0, ["mirror-no-length"])
        assert world.audit("--only", "remote", "--deep")[1]["findings"] == []

    def test_a_mirror_that_wraps_the_file_is_read_as_it_is_fetched(self, world: World, server: FaultyServer) -> None:
        """In gzip: unpacked, and compared. In what is refused when it is fetched, it is no mirror of the file."""
        data = world.file("digits/train-images").read_bytes()
        wrapped = serve(gzip.compress(data), headers={"Content-Encoding": "gzip"})
        wrong = serve(gzip.compress(data[:-1] + b"!"), headers={"Content-Encoding": "gzip"})
        no_gzip = serve(data[1:], headers={"Content-Encoding": "gzip"})
        other = serve(data[1:], headers={"Content-Encoding": "br"})
        mirrored(world, server, {"train-images": wrapped})

        def rules(*arguments: str) -> list[str]:
            return [found["rule"] for found in world.audit("--only", "remote", *arguments)[1]["findings"]]

        assert rules() == ["mirror-no-length"]
        assert rules("--deep") == []
        server.at("/digits/train-images", wrong)
        assert rules("--deep") == ["mirror-hash"]
        server.at("/digits/train-images", no_gzip)
        assert rules("--deep") == ["mirror-refuses"]
        server.at("/digits/train-images", other)
        assert rules() == rules("--deep") == ["mirror-refuses"]

    def test_a_moved_file_of_the_same_length_is_seen_by_its_lock(self, world: World, server: FaultyServer) -> None:
        """`--remember` notes ETag and date; when both move, exit 1, and the lock is no place for bad answers."""
        data = world.file("digits/train-images").read_bytes()
        before = {"ETag": '"1"', "Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        after = {"ETag": '"2"', "Last_Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}
        mirrored(world, server, {"train-images": answer(200, data, **before)})
        assert world.audit("--only", "remote", "--remember")[0] == 0
        server.at("/digits/train-images", answer(200, data, **after))
        code, result = world.audit("--only", "remote")

        assert code == 1
        assert result["findings"][0]["what"] == (
            f"{server.url}/digits/train-images was changed, at the same length: etag was '\"1\"', is '\"2\"', "
            "last_modified was 'Mon, 01 Jan 2024 00:00:00 GMT', is 'Tue, 02 Jan 2024 00:00:00 GMT'"
        )
        assert world.audit("--deep", "--remember")[0] == 0, "every byte was read and found right"
        assert world.audit("--only", "remote")[0] == 0

    def test_another_etag_alone_is_a_warning(self, world: World, server: FaultyServer) -> None:
        """Servers of one host may give one file several."""
        data = world.file("digits/train-images").read_bytes()
        date = {"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        mirrored(world, server, {"train-images": answer(200, data, ETag='"1"', **date)})
        world.audit("--remember")
        server.at("/digits/train-images", answer(200, data, ETag='"2"', **date))
        code, result = world.audit("--only", "remote")

        assert (code, [(f["rule"], f["severity"]) for f in result["findings"]]) == (0, [("mirror-changed", "warning")])

    def test_no_socket_is_opened_unless_asked_for(self, world: World, no_network: None) -> None:
        """An audit is for a train, too."""
        assert world.audit()[0] == 0

    @pytest.mark.parametrize(
        ("asked", "argument"),
        [
            ({"levels": ["remote"]}, "levels=['remote']"),
            ({"deep": True}, "deep=True"),
            ({"remember": True}, "remember=True"),
        ],
    )
    def test_offline_and_remote_contradict_each_other(self, world: World, asked: dict[str, Any], argument: str) -> None:
        """The call is refused, by the names of its arguments: at the command line they are options."""
        with pytest.raises(UsageError) as caught:
            audit(manifest=world.manifest, offline=True, **asked)

        assert str(caught.value) == (
            f"{argument} opens sockets, and offline=True forbids it\n  Leave it out, or audit what is on disk."
        )


class TestLint:
    """What a reviewer would ask of an entry is reported as advice, and fails only a strict audit."""

    CASES = (
        (
            "an open license",
            "license: CC0-1.0\n    source: https://example.org/talk",
            'license: "?"\n    source: https://example.org/talk',
            "question",
            "license is an open question: '?'",
        ),
        (
            "a license by other words",
            "license: CC0-1.0\n    source: https://example.org/talk",
            "license: CC BY 4.0\n    source: https://example.org/talk",
            "license",
            "license is no SPDX expression: 'CC BY 4.0'; did you mean 'CC-BY-4.0'?",
        ),
        (
            "a license of one's own",
            "license: CC0-1.0\n    source: https://example.org/talk",
            "license: for research only\n    source: https://example.org/talk",
            "license",
            "license is no SPDX expression: 'for research only'",
        ),
        (
            "a path that is gone",
            "used_by: [use.py]\n    fields:\n      lines",
            "used_by: [gone.py]\n    fields:\n      lines",
            "used-by-missing",
            "used_by names gone.py, which is not there",
        ),
        (
            "nobody uses it",
            "    used_by: [use.py]\n    fields:\n      lines",
            "    fields:\n      lines",
            "unused",
            "used_by names nothing that uses it",
        ),
        (
            "a single mirror",
            "      - https://mirror.invalid/digits/\n",
            "",
            "single-mirror",
            "train-images and 3 more: one address and no other",
        ),
        (
            "plain http",
            "https://mirror.invalid/digits/",
            "http://mirror.invalid/digits/",
            "plain-http",
            "http://mirror.invalid/digits/ is http only",
        ),
        (
            "a class that nothing has",
            '["0", "1", "2"]',
            '["0", "1", "2", "3"]',
            "class-unused",
            "class '3' of labels has no sample in any split",
        ),
        ("half a download", "", "", "partly-downloaded", "3 of 4 files are downloaded; test-labels is not"),
    )

    @pytest.mark.parametrize(("old", "new", "rule", "message"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
    def test_is_reported_as_a_warning(self, world: World, old: str, new: str, rule: str, message: str) -> None:
        """Exit 0; with --strict, exit 1."""
        if old:
            world.edit(old, new)
        else:
            world.file("digits/test-labels").unlink()
        code, result = world.audit()

        assert code == 0
        assert [(f["rule"], f["severity"], f["what"]) for f in result["findings"]] == [(rule, "warning", message)]
        assert world.audit("--strict")[0] == 1

    @pytest.mark.parametrize("place", ["urls", "source"])
    def test_a_signed_address_is_named_without_its_key(self, world: World, place: str) -> None:
        """It was written by hand, or by an earlier version; a report of it may be pasted anywhere."""
        if place == "urls":
            address = "https://mirror.invalid/x?v=2&X-Amz-Signature=s3cr3t"
            world.edit("train-images: {", f"train-images: {{urls: ['{address}'], ")
        else:
            text = world.manifest.read_text()
            world.manifest.write_text(
                re.sub(r"source: .*", "source: https://a.invalid/x?v=2&sig=s3cr3t", text, count=1)
            )
        code, result = world.audit("--only", "manifest")

        (finding,) = result["findings"]
        assert (code, finding["rule"], finding["severity"]) == (0, "secret-in-address", "warning")
        assert finding["what"] in (
            "https://mirror.invalid/x?v=2&X-Amz-Signature=...: X-Amz-Signature is a key or an expiry of whoever copied "
            "this address",
            "https://a.invalid/x?v=2&sig=...: sig is a key or an expiry of whoever copied this address",
        )
        assert "s3cr3t" not in json.dumps(result)
        assert finding["line"] == next(
            n for n, line in enumerate(world.manifest.read_text().splitlines(), 1) if "s3cr3t" in line
        )

    def test_unused_is_no_question_where_no_entry_has_used_by(self, world: World) -> None:
        """A manifest that does not use the key is not asked to."""
        world.manifest.write_text(world.manifest.read_text().replace("    used_by: [use.py]\n", ""))

        assert world.audit("--only", "manifest")[1]["findings"] == []

    @pytest.mark.parametrize(
        "given",
        ["MIT", "MIT OR (Apache-2.0 AND CC-BY-4.0)", "GPL-2.0-only WITH Classpath-exception-2.0", "LicenseRef-Ours"],
    )
    def test_an_spdx_expression_is_no_question(self, world: World, given: str) -> None:
        """Nor is that the authors state none."""
        world.edit("license: CC0-1.0\n    source: https://example.org/talk", f"license: {given}\n    source: x")
        world.edit(
            "license: CC0-1.0\n    source: https://example.org/digits",
            "license: not stated by the authors\n    source: x",
        )

        assert world.audit("--only", "manifest")[1]["findings"] == []

    def test_warnings_are_ignored_by_rule(self, world: World) -> None:
        """Even by --strict; an error of that rule is reported all the same, and a rule that is none is refused."""
        world.edit("https://mirror.invalid/digits/", "http://mirror.invalid/digits/")
        world.edit('["0", "1", "2"]', '["0", "1", "2", "3"]')
        code, result = world.audit("--strict", "--ignore", "plain-http")
        world.flip(world.file("talk/talk.txt"))
        _, wrong = world.audit("--ignore", "plain-http", "--ignore", "class-unused", "--ignore", "file-hash")
        refused = CliRunner().invoke(main, ["audit", "--manifest", str(world.manifest), "--ignore", "plain-htp"])

        assert (code, [f["rule"] for f in result["findings"]]) == (1, ["class-unused"])
        assert [f["rule"] for f in wrong["findings"]] == ["file-hash"]
        assert (refused.exit_code, refused.stderr.splitlines()[-1]) == (
            2, "Error: there is no rule 'plain-htp'; did you mean 'plain-http'?")  # fmt: skip

    def test_control_codes_of_a_mirror_reach_no_report(self, world: World, server: FaultyServer) -> None:
        """The words of an XML error, on a terminal and in JSON: written out."""
        page = b"<?xml version='1.0'?><Error><Code>No\x1b]0;pwned\x07Such\xc2\x9bKey</Code></Error>"
        mirrored(world, server, {"test-labels": answer(404, page)})
        arguments = ["audit", "--manifest", str(world.manifest), "--remote", "digits"]
        text = CliRunner().invoke(main, arguments, color=True).output
        as_json = CliRunner().invoke(main, [*arguments, "--json"]).output

        for report in (text, as_json):
            assert "Such" in report
            assert not {"\x1b", "\x07", "\x9b"} & set(re.sub("\x1b\\[[0-9;]*m", "", report))


@pytest.mark.parametrize(
    "name",
    ["._train.csv", "__MACOSX/talk/x", ".DS_Store", "desktop.ini", "Thumbs.db", "talk.txt~", ".talk.txt.swp", "#talk#",
     ".~lock.talk.txt#", ".nfs000000000000a", ".ipynb_checkpoints/talk.txt", "__pycache__/use.cpython-311.pyc"],
)  # fmt: skip
def test_litter_is_no_undeclared_file(world: World, tmp_path: Path, name: str) -> None:
    """What systems, editors and programs leave about, among the shipped data and in a mirror folder."""
    mirror = ["mirror", str(tmp_path / "usb"), "talk", "--manifest", str(world.manifest)]
    assert CliRunner().invoke(main, mirror).exit_code == 0
    for folder in (world.root / "datasets/talk", tmp_path / "usb/talk"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"left about")

    assert world.audit()[1]["findings"] == []
    assert world.audit("--mirror", str(tmp_path / "usb"))[1]["findings"] == []


def test_the_disk_is_asked_a_few_times_for_a_file(tmp_path: Path) -> None:
    """Of thousands of small ones, asking takes longer than reading: where links lead is asked once for a folder."""

    def asked(files: int) -> int:
        folder, count, names = tmp_path / f"of {files}", 0, [f"{number:03}.txt" for number in range(files)]
        (folder / "datasets" / "many").mkdir(parents=True)
        for name in names:
            (folder / "datasets" / "many" / name).write_text(name)
        declared = {name: {"bytes": len(name), "sha256": sha256(name.encode())} for name in names}
        entry = {
            **{"title": "Many", "status": "shipped", "format": "texts", "license": "CC0-1.0", "source": "made here"},
            **{"fields": {"text": {"dtype": "str"}}, "splits": {"train": {"samples": files, "members": ["*.txt"]}}},
            "files": declared,
        }
        manifest = folder / "datasets.yaml"
        manifest.write_text(json.dumps({"version": 1, "datasets": {"many": entry}}))

        def watch(_: object, event: str, function: object) -> None:
            nonlocal count
            count += event == "c_call" and function in (os.stat, os.lstat)

        sys.setprofile(watch)
        try:
            report = audit(manifest=manifest)
        finally:
            sys.setprofile(None)
        assert report.ok
        return count

    asked(1)  # and what it imports
    assert asked(60) - asked(20) <= 40 * 18


class TestNamedPipes:
    """Nobody writes into them, so whoever read them would wait for ever."""

    @pytest.mark.parametrize("name", ["datasets/talk/talk.txt", "home/digits/train-images"])
    def test_in_place_of_a_file(self, world: World, name: str) -> None:
        """A finding, as of any other file that cannot be read."""
        path = world.root / name
        path.unlink()
        os.mkfifo(path)
        result = python("-m", "tinytorch_datasets", "audit", "--manifest", str(world.manifest))

        assert result.returncode == 1
        assert f"{path} cannot be read: it is no regular file" in result.stdout

    @pytest.mark.parametrize("name", ["datasets.lock", "mirrors.lock"])
    def test_in_place_of_a_lock(self, world: World, name: str) -> None:
        """Exit 2, as of any other file that is none."""
        os.mkfifo(world.root / name)
        option = "--lock" if name == "datasets.lock" else "--remote"
        result = python("-m", "tinytorch_datasets", "audit", "--manifest", str(world.manifest), option)

        assert (result.returncode, result.stdout) == (2, "")
        assert str(world.root / name) in result.stderr


class TestAllOfIt:
    """Not the first finding, but every one."""

    def test_findings_of_every_level_come_together(self, world: World) -> None:
        """In the manifest's order, data set by data set, then what concerns no one of them."""
        world.flip(world.file("flowers/train.csv"))
        world.file("flowers/test.csv").unlink()
        world.edit("shape: [4, 4]", "shape: [4, 5]")
        world.edit("title: Digits", 'title: "?"')
        (world.root / "datasets/talk/x.bin").touch()
        code, result = world.audit()

        assert code == 1
        assert [(f["dataset"], f["rule"]) for f in result["findings"]] == [
            ("flowers", "file-hash"), ("flowers", "file-missing"), ("digits", "question"),
            ("digits", "content"), ("digits", "content"), ("talk", "undeclared")]  # fmt: skip

    def test_contents_are_wrong_in_several_ways_at_once(self, world: World) -> None:
        """A range and a class list: both are reported, each on its line."""
        world.edit("range: [0, 255]", "range: [0, 20]")
        world.edit('["0", "1", "2"]', '["0", "1"]')
        _, result = world.audit("digits")

        assert [f["what"].partition(": ")[2] for f in result["findings"]] == [
            "train.images has range [0, 48], declared is [0, 20]",
            "train.labels has labels 2 at sample 2, and 3 more outside, declared is 0 to 1",
            "test.images has range [36, 66], declared is [0, 20]",
            "test.labels has labels 2 at sample 2, and 1 more outside, declared is 0 to 1",
        ]
        assert {f["hint"] for f in result["findings"]} == {"The file has its declared hash, so correct the entry."}

    def test_a_wrong_byte_is_reported_in_full(self, world: World) -> None:
        """The file, both hashes, the manifest's line and the hint, word for word."""
        path = world.file("flowers/train.csv")
        before = hash_of(world, "train.csv")
        world.flip(path)
        report = audit(manifest=world.manifest)

        (finding,) = report.findings
        assert str(finding) == (
            f"datasets.yaml:{world.line('train.csv: {b')}: flowers: {path} is not the declared file: it has sha256\n"
            f"    {finding.actual}, declared is\n    {before}\n"
            "  Restore it: `git checkout` it in a clone, or reinstall the package. "
            "If the change was meant, `tinytorch-datasets update flowers` writes the new hash."
        )
        assert (report.exit_code, finding.expected, finding.path) == (1, before, str(path))

    def test_a_swap_is_named(self, world: World) -> None:
        """Both files, each with what it holds."""
        swap(world, "digits/train-labels", "digits/test-labels")
        report = audit(["digits"], manifest=world.manifest)

        assert [f.what.splitlines()[-1].strip() for f in report.findings] == [
            "That is what is declared for test-labels: the two were swapped, or one was copied over the other.",
            "That is what is declared for train-labels: the two were swapped, or one was copied over the other.",
        ]

    def test_a_flipped_byte_anywhere_is_found(self, world: World) -> None:
        """Each eighth byte of a file, one at a time; no decoding is needed for it."""
        path = world.file("digits/train-labels")
        for at in range(0, path.stat().st_size, 8):
            world.flip(path, at)
            assert world.audit("digits", "--no-decode")[0] == 1
            world.flip(path, at)
        assert world.audit("digits", "--no-decode")[0] == 0

    def test_a_stat_signature_never_hides_a_change_from_an_audit(self, world: World) -> None:
        """Same size, same time; and the next `get` knows what the audit saw."""
        path = world.file("flowers/test.csv")
        seen = path.stat()
        world.flip(path)
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))

        assert world.audit()[0] == 1

    def test_a_copy_of_the_arrays_elsewhere_is_found_too(self, world: World, tmp_path: Path) -> None:
        """Every folder that `get` would open arrays from is looked at."""
        world.flip(world.array("train.images.npy"))
        code, result = world.audit()

        assert [(f["rule"], f["path"]) for f in result["findings"]] == [("array", str(world.array("train.images.npy")))]
        assert "clean digits --arrays" in result["findings"][0]["hint"]
        assert code == 1

    def test_names_restrict_it(self, world: World) -> None:
        """What is wrong elsewhere is not reported."""
        world.flip(world.file("talk/talk.txt"))
        (world.root / "datasets/old.bin").touch()

        assert world.audit("flowers")[0] == 0
        assert world.audit("talk")[0] == 1

    def test_levels_restrict_it(self, world: World) -> None:
        """Each level finds what is its own."""
        world.flip(world.file("talk/talk.txt"))
        world.flip(world.file("digits/test-images"))
        world.edit("title: Talk", 'title: "?"')

        rules = {
            level: [f["rule"] for f in world.audit("--only", level)[1]["findings"]]
            for level in ("manifest", "shipped", "cached")
        }
        assert rules == {"manifest": ["question"], "shipped": ["file-hash"], "cached": ["file-hash"]}


class TestTheContract:
    """The checks of an entry's values, counted."""

    def test_a_leak_is_reported_with_its_samples(self, world: World) -> None:
        """Which sample of the test set is which of the training set."""
        world.put("flowers/test.csv", flowers(20, 9) + flowers(5, 1).split(b"\n", 1)[1])
        report = audit(["flowers"], manifest=world.manifest)

        assert [f.what for f in report.findings] == [
            "1 samples of test have the features of a sample in an earlier split (9 is train 5); checks allow 0"
        ]

    def test_what_is_allowed_is_no_finding(self, world: World) -> None:
        """The checks says how many; more than that is too many."""
        world.put("flowers/test.csv", flowers(20, 9) + flowers(5, 1).split(b"\n", 1)[1])
        world.edit("across: 0", "across: 1")

        assert audit(["flowers"], manifest=world.manifest).ok

    def test_the_same_arrays_in_another_container_have_the_same_digest(self, world: World, tmp_path: Path) -> None:
        """The declared digest holds for IDX and for NPZ alike."""
        world.edit("format: idx", "format: npz")
        x, y = images(0, 12), np.arange(12) % 3
        path = tmp_path / "world/home/digits/digits.npz"
        np.savez(path, a=x, b=y, c=images(12, 6), d=np.arange(6) % 3)
        world.edit("images: train-images, labels: train-labels", "file: digits.npz, images: a, labels: b")
        world.edit("images: test-images, labels: test-labels", "file: digits.npz, images: c, labels: d")
        facts = f"{{bytes: {path.stat().st_size}, sha256: {sha256(path.read_bytes())}}}"
        world.manifest.write_text(f"{world.manifest.read_text()}      digits.npz: {facts}\n")

        assert audit(["digits"], manifest=world.manifest).ok
        world.edit(digest_of(world), NO_HASH)
        assert [f.rule for f in audit(["digits"], manifest=world.manifest).findings] == ["content-hash"]


@pytest.mark.parametrize("name", ["talk/talk.txt", "talk"])
def test_a_shipped_file_behind_a_link_does_not_ship(world: World, tmp_path: Path, name: str) -> None:
    """Whether it is the file that is a link, or its folder; one that stays among what ships is well."""
    path = world.root / "datasets" / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    code, result = world.audit("talk")
    target = tmp_path / "elsewhere" / ("talk.txt" if name == "talk" else "")
    expected = f"{world.file('talk/talk.txt')} is behind a link to {target}, so its bytes do not ship"

    assert (code, result["datasets"][0]["state"]) == (1, "mismatch")
    assert [(found["rule"], found["line"], found["what"]) for found in result["findings"]][:1] == [
        ("file-missing", world.line("talk.txt: {b"), expected)
    ]
    path.unlink()
    (tmp_path / "elsewhere").rename(world.root / "datasets/README.txt")
    path.symlink_to(world.root / "datasets/README.txt")
    assert world.audit("talk")[0] == 0


def test_a_fault_of_a_data_set_with_dots_in_its_name_is_of_that_data_set(world: World) -> None:
    """And one of the whole manifest is of none."""
    world.edit("  talk:\n", "  tiny.talks:\n")
    world.edit("    title: Talk\n    status: shipped\n", "    title: Talk\n    status: ships\n")
    world.edit("  digits:\n", "  Digits:\n")
    world.edit("shipped_in: datasets", "shipped_in: ../datasets")
    code, result = world.audit()

    assert (code, [(found["dataset"], found["what"], found["line"]) for found in result["findings"]]) == (
        2,
        [
            ("", "shipped_in: leaves its folder: '../datasets'", world.line("shipped_in:")),
            ("tiny.talks", "status: must be 'shipped' or 'remote', is 'ships'; did you mean 'shipped'?",
             world.line("status: ships")),
            ("Digits", "a name is lowercase letters, digits, '.', '_' and '-', at most 64, not starting with a sign",
             world.line("  Digits:")),
        ],
    )  # fmt: skip


def test_every_rule_is_in_the_docs() -> None:
    """docs/audit.md has a row for each kind of finding."""
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")

    assert [rule for rule in RULES if f"| `{rule}` |" not in text] == []


def test_the_docs_work_out_a_digest_by_hand(home: Path) -> None:
    """The example in docs/audit.md runs, and gives what it says."""
    result = doctest.testfile(str(Path(__file__).parents[2] / "docs" / "audit.md"), module_relative=False)

    assert (result.failed, result.attempted) == (0, 5)


def test_the_shipped_data_is_well(home: Path, no_network: None) -> None:
    """The repository's own, without even advice."""
    report = audit(strict=True)

    assert (report.ok, report.findings) == (True, ())


class TestTheCall:
    """What `audit` is asked for."""

    def test_another_home(self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The folder that `get` was given is audited, whatever the environment says."""
        monkeypatch.setenv("TINYTORCH_DATASETS_HOME", str(tmp_path / "never"))
        get("digits", manifest=world.manifest, mirror=world.root / "home", home=tmp_path / "mine")

        def states(**how: Any) -> dict[str, str]:
            return {row.name: row.state for row in audit(manifest=world.manifest, levels=["cached"], **how).datasets}

        assert (states()["digits"], states(home=tmp_path / "mine")["digits"]) == ("not downloaded", "ok")

    @pytest.mark.parametrize(
        "more", [{"levels": ["remote"]}, {"decode": "never"}, {"deep": True}, {"remember": True}, {"lock": "x.lock"}]
    )
    def test_a_mirror_is_checked_alone(self, world: World, more: dict[str, Any], tmp_path: Path) -> None:
        """What would be passed over in silence is refused."""
        with pytest.raises(ValueError) as caught:
            audit(manifest=world.manifest, mirror=tmp_path, **more)

        assert str(caught.value) == (
            "mirror is checked and nothing else: it goes without levels, decode, deep, remember and lock"
        )

    @pytest.mark.parametrize("text", ["{", "{}", "[]", '{"addresses": 3}', '{"addresses": {"a": 3}}', "[" * 99_999])
    def test_a_damaged_record_of_addresses(self, world: World, text: str) -> None:
        """It is reported, with the hint; and the call ends as a wrong one does."""
        record = world.manifest.parent / "mirrors.lock"
        record.write_text(text)
        result = CliRunner().invoke(main, ["audit", "--manifest", str(world.manifest), "--remote"])

        assert result.exit_code == 2
        assert result.stderr.startswith(f"error: {record} is not a record of addresses (")
        again = f"tinytorch-datasets audit --remote --remember --manifest {world.manifest}"
        assert result.stderr.endswith(f"\n  Delete it; `{again}` writes it again.\n")


def test_real_mnist_keeps_its_checks(realdata: Path, home: Path) -> None:
    """70,000 images, none twice, the classes as even as declared, the values' digests as declared."""
    get("mnist", mirror=realdata)
    (row,) = audit(["mnist"], levels=["cached"]).datasets

    assert (row.state, row.samples) == ("ok", 70_000)


@pytest.mark.skipif(
    int(np.__version__.split(".")[0]) < 2, reason="NumPy 1 cannot unpickle what NumPy 2 wrote, as the witness must"
)
def test_the_names_that_pickles_ask_for_are_listed() -> None:
    """By data set; Python's own unpickler, which does load this trusted file, asks for the same ones."""
    named = set()

    class Asked(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            named.add(f"{module}.{name}")
            found: object = super().find_class(module, name)
            return found

    seen = {audited.name: audited.pickles for audited in audit(["tinydigits", "tinytalks"], decode="always").datasets}
    with (ROOT / "datasets/tinydigits/train.pkl").open("rb") as stream:
        Asked(stream).load()

    assert set(seen["tinydigits"]) == named
    assert seen["tinytalks"] == ()


def test_a_name_that_the_disk_lists_decomposed_is_the_declared_one(tmp_path: Path) -> None:
    """As disks of older Macs do, which open the file by either form; here a second link to it stands for that."""
    composed, decomposed = tmp_path / "caf\u00e9.csv", tmp_path / "cafe\u0301.csv"
    composed.write_text("1")
    decomposed.hardlink_to(composed)
    assert set(walk(tmp_path)) == {composed}

    decomposed.unlink()
    decomposed.write_text("2")  # on a disk that tells them apart it is another file, which nobody declared
    assert set(walk(tmp_path)) == {composed, decomposed}
