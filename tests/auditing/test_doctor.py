"""`doctor`: what `get` needs here, each fault in a line of its own, nothing changed, nothing secret shown."""

from __future__ import annotations

import gzip
import json
import os
import platform
import random
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trustme
import yaml
from click.testing import CliRunner

from tests.conftest import ROOT
from tests.helpers.faulty_server import (
    Act,
    FaultyServer,
    answer,
    babble,
    drip,
    free_port,
    redirect,
    serve,
    sha256,
    silent,
    until,
)
from tests.helpers.format_writers import gzip_bomb
from tinytorch_datasets import Check, Diagnosis, RetryPolicy, doctor
from tinytorch_datasets.auditing.doctor import EXTRAS
from tinytorch_datasets.auditing.first_bytes import (
    ANOTHER,
    CONNECT,
    GONE,
    INSPECTED,
    LATER,
    LET_THROUGH,
    LOG_IN,
    NO_RIGHT,
)
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import UnknownName, UsageError
from tinytorch_datasets.storage.lock import Waiting, hold_lock

# Long enough for a computer that is busy with other tests to answer.
HASTE = RetryPolicy(connect_timeout_s=2.0, read_timeout_s=0.6, response_timeout_s=0.8, stall_window_s=0.5)
NAME = "rows.csv.gz"
NOWHERE = "http://mirror.invalid/f"  # a name that nobody has (RFC 6761)
DATA = gzip.compress(random.Random(3).randbytes(20_000), mtime=0)
SIZE = f"{len(DATA):,}"
LARGE = gzip.compress(random.Random(4).randbytes(200_000), mtime=0)
FLIPPED = DATA[:9_000] + bytes([DATA[9_000] ^ 1]) + DATA[9_001:]
PORTAL = b"<!DOCTYPE html>\n<html><head><title>Campus Wi-Fi &amp; more</title></head>" + b"<p>Please log in.</p>" * 50
DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 300123\n"
NAMED_GZIP = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03t10k-labels-idx1-ubyte\0" + DATA[10:]


@pytest.fixture(autouse=True)
def no_certificates_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable names certificates; to read those of a whole system takes longer than all else here."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def declared(folder: Path, *urls: str, data: bytes = DATA, name: str = NAME, include: str = "") -> Path:
    """A manifest with one remote data set, whose file has these addresses."""
    entry = {
        "title": "Rows",
        "status": "remote",
        "format": "csv",
        "license": "CC0-1.0",
        "source": "https://example.org/",
        "fields": {"features": {"dtype": "float64", "shape": [2]}},
        "splits": {"train": {"samples": 3, "file": name, "features": {"column": ["a", "b"]}}},
        "files": {name: {"bytes": len(data), "sha256": sha256(data), "urls": list(urls or [NOWHERE])}},
    }
    path = folder / "datasets.yaml"
    path.write_text(include + yaml.safe_dump({"version": 1, "datasets": {"rows": entry}}))
    return path


def addresses(diagnosis: Diagnosis) -> list[Check]:
    """The checks of addresses."""
    return [check for check in diagnosis.checks if check.group == "addresses"]


def of(diagnosis: Diagnosis, name: str) -> Check:
    """The one check of that name."""
    [check] = [check for check in diagnosis.checks if check.name == name]
    return check


# What a server does; what is reported, or how that begins; the hint; and the exit code.
FAULTS: dict[str, tuple[Act, str, str, int]] = {
    "dropped": (serve(DATA, cut_after=9_000), f"after 9,000 of {SIZE} bytes: the connection was lost", LATER, 3),
    "dropped, without a length": (
        serve(DATA, cut_after=9_000, length=None),
        f"ended after 9,000 of {SIZE} bytes: the right kind of file, but shorter: truncated, or another version",
        ANOTHER,
        1,
    ),
    "dropped amid chunks": (
        serve(DATA, cut_after=9_000, chunked=True),
        f"after 9,000 of {SIZE} bytes: the connection was lost",
        LATER,
        3,
    ),
    "reset": (
        serve(DATA, cut_after=9_000, end="reset"),
        f"after 9,000 of {SIZE} bytes: the connection was lost",
        LATER,
        3,
    ),
    "hangs in the body": (
        serve(DATA, cut_after=9_000, end="hang"),
        f"after 9,000 of {SIZE} bytes: nothing came for 0.6 s",
        LATER,
        3,
    ),
    "says nothing": (silent, "nothing came for 0.6 s", LATER, 3),
    "drips a header": (
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"x", pause_s=0.05),
        "drips: nothing of the file came within 0.8 s",
        LATER,
        3,
    ),
    "drips the body": (serve(DATA, piece=1, pause_s=0.1), "only drips (", LATER, 3),
    "truncated": (
        serve(DATA[:9_000]),
        f"has a file of 9,000 bytes, not {SIZE}: the right kind of file, but shorter: truncated, or another version",
        ANOTHER,
        1,
    ),
    "empty": (answer(200), f"has a file of 0 bytes, not {SIZE}: an empty file", ANOTHER, 1),
    "one byte flipped": (
        serve(FLIPPED),
        "sends other bytes than the declared ones: their sha256 is another",
        ANOTHER,
        1,
    ),
    "longer": (serve(DATA + b"!"), f"has a file of {len(DATA) + 1:,} bytes, not {SIZE}: another gzip", ANOTHER, 1),
    "longer, without a length": (
        serve(DATA + b"!", length=None),
        f"sends more than the {SIZE} declared bytes",
        ANOTHER,
        1,
    ),
    "500": (answer(500), "500 Internal Server Error", LATER, 3),
    "503 with an XML error": (
        answer(503, b"<Error><Code>SlowDown</Code></Error>"),
        '503 Service Unavailable (an XML storage error, "SlowDown")',
        LATER,
        3,
    ),
    "429": (answer(429, Retry_After="3600"), "429 Too Many Requests", LATER, 3),
    "400": (answer(400), "400 Bad Request", ANOTHER, 1),
    "401": (answer(401), "401 Unauthorized", NO_RIGHT, 1),
    "403": (answer(403, DENIED), '403 Forbidden (an XML storage error, "AccessDenied": "Access Denied")', NO_RIGHT, 1),
    "404": (answer(404), "404 Not Found", GONE, 1),
    "410": (answer(410), "410 Gone", GONE, 1),
    "204": (answer(204), "204 No Content", ANOTHER, 1),
    "416": (answer(416), "416 ", ANOTHER, 1),
    "206 unasked": (answer(206, DATA), "sent another range than the asked one (none given)", ANOTHER, 1),
    "redirect to ftp": (
        redirect("ftp://127.0.0.1/f"),
        "redirects to ftp://127.0.0.1/f, which is neither http nor https",
        ANOTHER,
        1,
    ),
    "redirect to itself": (redirect("/f"), "redirects in a circle, by way of http://127.0.0.1:", ANOTHER, 1),
    "a page": (serve(PORTAL), 'an HTML page titled "Campus Wi-Fi & more" (a login page?) came instead', LOG_IN, 1),
    "XML with 200": (serve(DENIED), 'an XML storage error, "AccessDenied": "Access Denied" came instead', ANOTHER, 1),
    "JSON with 200": (serve(b'{"message": "quota"}'), 'a JSON error: "quota" came instead', ANOTHER, 1),
    "a Git LFS pointer": (
        serve(POINTER),
        "a Git LFS pointer to a file of 300,123 bytes (run `git lfs pull` where it was copied from) came instead",
        ANOTHER,
        1,
    ),
    "another gzip": (
        serve(NAMED_GZIP),
        f'has a file of {len(NAMED_GZIP):,} bytes, not {SIZE}: another gzip of "t10k-labels-idx1-ubyte"',
        ANOTHER,
        1,
    ),
    "no gzip": (serve(b"\0" * len(DATA)), "sends something that is no .gz file", ANOTHER, 1),
    "Content-Encoding br": (
        serve(DATA, headers={"Content-Encoding": "br"}),
        "sends Content-Encoding br, which was not asked for",
        ANOTHER,
        1,
    ),
    "calls itself gzip": (
        serve(b"\0" * 1000, headers={"Content-Encoding": "gzip"}),
        "calls its answer gzip, which it is not",
        ANOTHER,
        1,
    ),
    "a gzip bomb": (
        serve(gzip.compress(gzip_bomb(b"\0", 90_000_000)), headers={"Content-Encoding": "gzip"}),
        f"sends more than the {SIZE} declared bytes",
        ANOTHER,
        1,
    ),
    "not HTTP": (babble(b"SSH-2.0-OpenSSH_9.6\r\n"), "what it answered is not HTTP (BadStatusLine)", LATER, 3),
    "closed without a word": (babble(b""), "the connection was lost", LATER, 3),
    "a header without end": (
        babble(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
        "what it answered is not HTTP (LineTooLong)",
        LATER,
        3,
    ),
}  # fmt: skip


@pytest.mark.usefixtures("home")
class TestEachFault:
    """A line of its own, which says what came instead, and what to do."""

    @pytest.mark.parametrize(("act", "reported", "hint", "code"), FAULTS.values(), ids=FAULTS)
    def test_has_a_line(
        self, act: Act, reported: str, hint: str, code: int, server: FaultyServer, tmp_path: Path
    ) -> None:
        """With the address, the result and a hint; asked once; the exit code is that of `get`."""
        url = server.at("/f", act)

        diagnosis = doctor(manifest=declared(tmp_path, url), retry=HASTE)

        [check] = addresses(diagnosis)
        assert (check.name, check.state, check.hint) == (url, "wrong", hint)
        assert check.result.startswith(reported)
        assert (diagnosis.exit_code, diagnosis.ok) == (code, False)
        assert len(server.log) == (2 if "circle" in reported else 1)
        assert f"wrong   {url}  {check.result}" in str(diagnosis).splitlines()

    def test_a_host_that_is_not_there(self, tmp_path: Path) -> None:
        """A port that nobody listens on, a name that nobody has, a scheme that nobody speaks."""
        urls = (f"http://127.0.0.1:{free_port()}/f", "http://mirror.invalid/f")

        diagnosis = doctor(manifest=declared(tmp_path, *urls), retry=HASTE)

        assert [(check.result, check.hint) for check in addresses(diagnosis)] == [
            ("the connection was refused", LET_THROUGH),
            ("its host name cannot be found (is there a network?)", CONNECT),
        ]
        assert diagnosis.exit_code == 3

    def test_a_certificate_that_is_not_trusted(self, tmp_path: Path) -> None:
        """As where a school inspects TLS; the hint names the variable."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        with FaultyServer(tls=context) as secure:
            [check] = addresses(doctor(manifest=declared(tmp_path, secure.at("/f", serve(DATA))), retry=HASTE))

        assert check.result.startswith("its TLS certificate is not trusted: ")
        assert check.hint == INSPECTED

    def test_no_tls_at_all(self, server: FaultyServer, tmp_path: Path) -> None:
        """https to a server that speaks http."""
        url = server.at("/f", serve(DATA)).replace("http:", "https:")

        [check] = addresses(doctor(manifest=declared(tmp_path, url), retry=HASTE))

        assert check.result.startswith("TLS failed: ")
        assert check.hint == "Its host does not speak TLS there, or something on the way does not let it through."


@pytest.mark.usefixtures("home")
class TestGoodAddresses:
    """What is right is said to be, with what was measured."""

    @pytest.mark.parametrize(
        "act",
        [
            serve(DATA),
            serve(DATA, length=None),
            serve(DATA, chunked=True),
            serve(DATA, headers={"Content-Encoding": "gzip"}),
            serve(gzip.compress(DATA), headers={"Content-Encoding": "gzip"}),
        ],
        ids=["plain", "without a length", "chunked", "called gzip", "wrapped in gzip"],
    )
    def test_a_small_file_is_compared_whole(self, act: Act, server: FaultyServer, tmp_path: Path) -> None:
        """Its sha256 too."""
        diagnosis = doctor(manifest=declared(tmp_path, server.at("/f", act)), retry=HASTE)

        [check] = addresses(diagnosis)
        assert (check.state, check.hint, diagnosis.exit_code) == ("ok", None, 0)
        assert check.result.endswith("; every byte is as declared")
        assert check.facts["declared_at"].startswith("datasets.yaml:")

    def test_of_a_large_one_64_kb_are_read(self, server: FaultyServer, tmp_path: Path) -> None:
        """And the speed is noted; a megabyte more may be on its way by then, and no more of it."""
        url = server.at("/f", redirect("/g?sig=c2VjcmV0&v=1"))
        server.at("/g?sig=c2VjcmV0&v=1", serve(LARGE, piece=16_384, pause_s=0.01))

        [check] = addresses(doctor(manifest=declared(tmp_path, url, data=LARGE), retry=HASTE))

        assert 64 * 1024 <= check.facts["bytes"] <= 100_000
        assert check.facts["bytes_per_s"] > 0
        assert (check.facts["status"], check.facts["tls"]) == (200, None)
        assert check.facts["redirects"] == [f"{server.url}/g?sig=...&v=1"]
        assert check.result.endswith(f"; redirected to {server.url}/g?sig=...&v=1")

    def test_tls_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By its version."""
        authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with FaultyServer(tls=context) as secure:
            [check] = addresses(doctor(manifest=declared(tmp_path, secure.at("/f", serve(DATA))), retry=HASTE))

        assert (check.state, check.facts["tls"]) == ("ok", "TLSv1.3")
        assert check.result.endswith("; TLSv1.3")

    def test_a_slow_one_is_a_warning(self, server: FaultyServer, tmp_path: Path) -> None:
        """With the time that the whole file would take."""
        url = server.at("/f", serve(LARGE, piece=1_000, pause_s=0.05))

        diagnosis = doctor(manifest=declared(tmp_path, url, data=LARGE), retry=HASTE)

        [check] = addresses(diagnosis)
        assert (check.state, diagnosis.exit_code) == ("warning", 0)
        assert check.result.startswith("slow: ")
        assert check.hint == "The file would take about 1 min from there."

    def test_another_address_that_is_good_makes_it_a_warning(self, server: FaultyServer, tmp_path: Path) -> None:
        """`get` goes on to that one, so nothing stands in its way."""
        urls = server.at("/gone", answer(404)), server.at("/f", serve(DATA))

        diagnosis = doctor(manifest=declared(tmp_path, *urls), retry=HASTE)

        assert [check.state for check in addresses(diagnosis)] == ["warning", "ok"]
        assert addresses(diagnosis)[0].hint == f"`get` goes on to the next address of this file, which is good.\n{GONE}"
        assert diagnosis.exit_code == 0


@pytest.mark.usefixtures("home")
class TestWhichAddresses:
    """Those of the manifest's own data sets, or of those named; the mirror first; none offline."""

    def test_not_those_of_included_manifests(self, server: FaultyServer, tmp_path: Path) -> None:
        """A packaged one may have hundreds; they are asked with `included`, or by name."""
        (tmp_path / "below").mkdir()
        declared(tmp_path / "below", server.at("/below", serve(DATA)))
        path = declared(tmp_path, server.at("/own", serve(DATA)), include="include: [below/datasets.yaml]\n")
        path.write_text(path.read_text().replace("  rows:", "  lines:"))

        calls = ((), False), ((), True), (("rows",), False), ("rows", False)
        diagnoses = [doctor(names, manifest=path, included=included, retry=HASTE) for names, included in calls]

        asked = [[check.facts["dataset"] for check in addresses(one)] for one in diagnoses]
        assert asked == [
            ["lines"],
            ["lines", "rows"],
            ["rows"],
            ["rows"],
        ]

    def test_offline_opens_no_socket(self, no_network: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the call, or by the variable, which is named."""
        path = declared(tmp_path)

        assert addresses(doctor(manifest=path, offline=True))[0].result == "none is asked offline"
        monkeypatch.setenv("TINYTORCH_DATASETS_OFFLINE", "1")
        diagnosis = doctor(manifest=path)

        assert [check.result for check in diagnosis.checks if check.name == "offline"] == [
            "yes (by TINYTORCH_DATASETS_OFFLINE)",
            "no address is asked: TINYTORCH_DATASETS_OFFLINE forbids it",
        ]
        assert diagnosis.exit_code == 0

    def test_a_mirror_is_asked_first(
        self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Below the data set's folder or beside it, and that it is in one of the two is no warning."""
        monkeypatch.setenv("TINYTORCH_DATASETS_MIRROR", server.url.replace("://", "://ada:geheim@") + "/m")
        server.at(f"/m/{NAME}", serve(DATA))

        diagnosis = doctor(manifest=declared(tmp_path, server.at("/f", serve(DATA))), retry=HASTE)

        assert [(check.name, check.state) for check in addresses(diagnosis)] == [
            (f"{server.url}/m/{NAME}", "ok"),
            (f"{server.url}/f", "ok"),
        ]
        assert "geheim" not in str(diagnosis) + json.dumps(diagnosis.as_dict())

    def test_a_mirror_that_can_be_none(
        self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is named without its key, and the declared addresses are asked all the same; exit 2."""
        monkeypatch.setenv("TINYTORCH_DATASETS_MIRROR", f"{server.url}/m?token=geheim")

        diagnosis = doctor(manifest=declared(tmp_path, server.at("/f", serve(DATA))), retry=HASTE)

        assert [(check.name, check.state) for check in addresses(diagnosis)] == [
            ("mirror", "wrong"),
            (f"{server.url}/f", "ok"),
        ]
        assert diagnosis.exit_code == 2
        assert "geheim" not in str(diagnosis) + json.dumps(diagnosis.as_dict())

    def test_a_stick_that_is_not_plugged_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Named as the folder that it is, offline too."""
        monkeypatch.setenv("TINYTORCH_DATASETS_MIRROR", str(tmp_path / "stick"))

        diagnosis = doctor(manifest=declared(tmp_path), offline=True)

        [check] = addresses(diagnosis)
        assert (check.name, check.result) == (str(tmp_path / "stick"), "there is no such folder")
        assert (check.hint or "").startswith("Is the stick plugged in?")
        assert diagnosis.exit_code == 1

    def test_a_time_limit_holds_for_all(self, server: FaultyServer, tmp_path: Path) -> None:
        """What was asked has not answered, and what is left is counted."""
        urls = [server.at(f"/{n}", silent) for n in range(10)]
        before = time.monotonic()

        diagnosis = doctor(manifest=declared(tmp_path, *urls), time_limit_s=0.3)

        assert time.monotonic() - before < 5
        results = [check.result for check in addresses(diagnosis)]
        assert results == ["did not answer within 0.3 s"] * 8 + ["2 of 10 were not asked within 0.3 s"]
        assert diagnosis.exit_code == 3


class TestThisComputer:
    """Versions, folders, locks, room, variables."""

    def test_versions(self, home: Path) -> None:
        """As the libraries state them; every extra of pyproject.toml is listed that brings something to users."""
        diagnosis = doctor(["tinydigits"], offline=True)

        assert of(diagnosis, "Python").result.startswith(platform.python_version())
        assert of(diagnosis, "NumPy").result == np.__version__
        # Python 3.10 has no reader of TOML.
        _, _, section = (ROOT / "pyproject.toml").read_text().partition("\n[project.optional-dependencies]\n")
        extras = dict(re.findall(r'^(\w+) = \["([\w-]+)>=[^"]*"\]', section.partition("\ntest = ")[0], re.MULTILINE))
        assert extras == {extra: distribution for extra, (_, distribution) in EXTRAS.items()}
        assert of(diagnosis, "tables").facts["enables"] == ["format arrow", "format parquet"]

    def test_it_changes_nothing(self, tmp_path: Path, server: FaultyServer) -> None:
        """A folder that is not there is not made, and the file of the write test is removed."""
        path = declared(tmp_path, server.at("/f", serve(DATA)))
        (tmp_path / "one").mkdir()
        before = sorted(tmp_path.rglob("*"))

        one, two = (doctor(manifest=path, home=tmp_path / home, retry=HASTE) for home in ("one", "two"))

        assert sorted(tmp_path.rglob("*")) == before
        assert [c.result for c in one.checks if c.group == "folders"] == [f"{tmp_path}/one can be written"]
        assert [c.result for c in two.checks if c.group == "folders"] == [
            f"{tmp_path}/two is not there yet; the first download makes it"
        ]

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file stands in its place; of several folders one that can be written is enough."""
        (tmp_path / "file").touch()
        path = declared(tmp_path)

        diagnosis = doctor(manifest=path, home=tmp_path / "file", offline=True)
        monkeypatch.setenv("TINYTORCH_DATASETS_HOME", f"{tmp_path / 'file'}{os.pathsep}{tmp_path / 'own'}")
        several = doctor(manifest=path, offline=True)

        [check] = [check for check in diagnosis.checks if check.group == "folders"]
        assert (check.state, check.result) == ("wrong", f"{tmp_path}/file cannot be written: Not a directory")
        assert check.hint == "Set TINYTORCH_DATASETS_HOME to a folder of your own, or ask its owner."
        assert diagnosis.exit_code == 1
        assert several.exit_code == 0

    def test_a_lock_and_its_holder(self, tmp_path: Path) -> None:
        """Of a process that lives, and of one that was killed, whose lock is gone with it."""
        path, home = declared(tmp_path), tmp_path / "home"
        locks = home / ".cache" / "locks"
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        with hold_lock(locks, "rows.csv.gz", Waiting()):
            (locks / "gone.holder").write_text(f"process {ended.pid} on {platform.node()}")
            diagnosis = doctor(manifest=path, home=home, offline=True)

        assert of(diagnosis, "rows.csv.gz").result == f"held by process {os.getpid()} on {platform.node()} for 0 s"
        assert of(diagnosis, "gone").result == (
            f"process {ended.pid} on {platform.node()} has ended; its lock ended with it"
        )
        assert of(doctor(manifest=declared(tmp_path), home=tmp_path / "new", offline=True), "locks").state == "ok"

    def test_room(self, tmp_path: Path) -> None:
        """For a file of more bytes than any disk has, there is none."""
        path = declared(tmp_path)
        text = path.read_text()
        path.write_text(text.replace(f"bytes: {len(DATA)}", f"bytes: {10**17}"))

        diagnosis = doctor(manifest=path, home=tmp_path / "home", offline=True)

        [check] = [check for check in diagnosis.checks if check.group == "room"]
        assert (check.name, check.state) == (str(tmp_path / "home"), "wrong")
        assert check.result.endswith(" free; 100000 TB to come: rows")
        assert check.hint == "Free some room, or set TINYTORCH_DATASETS_HOME to a folder on a larger disk."
        assert diagnosis.exit_code == 1

    @pytest.mark.parametrize(
        ("variable", "value", "state", "result"),
        [
            ("HTTPS_PROXY", "http://ada:geheim@127.0.0.1:3128", "ok", "127.0.0.1:3128"),
            (
                "HTTP_PROXY",
                "http://ada:geheim@:3128",
                "wrong",
                'HTTP_PROXY is ":3128", which is not the address of a proxy; no address can be asked',
            ),
            ("NO_PROXY", "127.0.0.1", "ok", "127.0.0.1"),
            (
                "REQUESTS_CA_BUNDLE",
                "/no/such/file",
                "wrong",
                'REQUESTS_CA_BUNDLE names "/no/such/file", which is missing; no address can be asked',
            ),
        ],
    )
    def test_variables_of_the_network(
        self, variable: str, value: str, state: str, result: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each that is set, without its password, and what is wrong with it."""
        monkeypatch.setenv(variable, value)

        diagnosis = doctor(["tinydigits"])

        check = of(diagnosis, variable)
        assert (check.state, check.result) == (state, result)
        assert diagnosis.exit_code == (0 if state == "ok" else 3)
        assert "geheim" not in str(diagnosis) + json.dumps(diagnosis.as_dict())

    def test_a_wrong_manifest_is_one_line_among_others(self, tmp_path: Path, home: Path) -> None:
        """The rest is checked all the same; exit 2."""
        path = tmp_path / "datasets.yaml"
        path.write_text("version: 1\ndatasets: [")

        diagnosis = doctor(manifest=path, offline=True)

        check = of(diagnosis, "manifest")
        assert (check.state, check.result.splitlines()[0].partition(":")[0]) == ("wrong", "datasets.yaml")
        assert diagnosis.exit_code == 2
        assert {check.group for check in diagnosis.checks} >= {"versions", "folders", "network"}

    def test_wrong_calls(self, home: Path) -> None:
        """A name that there is not, a limit that is none."""
        with pytest.raises(UnknownName, match="did you mean 'tinydigits'"):
            doctor(["tinydigit"])
        with pytest.raises(UsageError, match="time_limit_s is more than 0, not 0"):
            doctor(time_limit_s=0)


class TestTheCommand:
    """Aligned and colored for a person, JSON for programs, and ended by Ctrl-C."""

    def test_exit_and_json(self, home: Path, server: FaultyServer, tmp_path: Path) -> None:
        """The same values as from Python."""
        path = declared(tmp_path, server.at("/f", answer(404)))

        done = CliRunner().invoke(main, ["doctor", "--manifest", str(path), "--json"])

        report = json.loads(done.stdout)
        assert (done.exit_code, report["exit_code"], report["ok"]) == (1, 1, False)
        [check] = [check for check in report["checks"] if check["group"] == "addresses"]
        assert (check["result"], check["facts"]["status"]) == ("404 Not Found", 404)

    def test_colors(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By FORCE_COLOR, in a pipe too; NO_COLOR is stronger."""
        arguments = ["doctor", "tinydigits", "--offline"]
        plain = CliRunner().invoke(main, arguments).stdout
        monkeypatch.setenv("FORCE_COLOR", "1")
        forced = CliRunner().invoke(main, arguments).stdout
        monkeypatch.setenv("NO_COLOR", "1")
        neither = CliRunner().invoke(main, arguments).stdout

        assert "ok      NumPy               " in plain
        assert "\x1b[32mok      \x1b[0mNumPy" in forced
        assert neither == plain

    def test_wrong_calls(self, home: Path) -> None:
        """Exit 2."""
        assert CliRunner().invoke(main, ["doctor", "tinydigit"]).exit_code == 2
        assert CliRunner().invoke(main, ["doctor", "mnist", "--all"]).exit_code == 2
        assert CliRunner().invoke(main, ["doctor", "--time-limit", "0"]).exit_code == 2

    @pytest.mark.slow
    def test_an_interrupt_ends_it(self, home: Path, server: FaultyServer, tmp_path: Path) -> None:
        """At once, while addresses say nothing."""
        path = declared(tmp_path, server.at("/f", silent))
        command = [sys.executable, "-m", "tinytorch_datasets", "doctor", "--manifest", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: bool(server.log))
        before = time.monotonic()
        process.send_signal(2)
        out, err = process.communicate(timeout=20)

        assert (process.returncode, out, err) == (130, "", "\ninterrupted; nothing was changed\n")
        assert time.monotonic() - before < 5
