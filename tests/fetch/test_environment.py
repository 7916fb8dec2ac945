"""What the environment names is used, or named as what is wrong; what is secret stays here."""

from __future__ import annotations

import random
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme
import yaml

from tests.helpers.faulty_server import Exchange, FaultyServer, answer, free_port, redirect, serve, sha256
from tinytorch_datasets import load_manifest
from tinytorch_datasets.errors import FetchError, NetworkSettingsError, UsageError
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.plan import File

DATA = random.Random(16).randbytes(5_000)
EXAMPLE = "something like http://proxy.example.org:3128"


def fetched(folder: Path, *urls: str, mirror: str | None = None) -> bytes:
    """Fetch into a folder. Returns the bytes of the file."""
    file = File(name="points.bin", bytes=len(DATA), sha256=sha256(DATA), urls=urls)
    fetch(
        [file],
        folder / "points",
        folder="points",
        mirror=mirror,
        locks=folder / "locks",
        progress=lambda *_: None,
        reuse_from=(),
        retry=RetryPolicy(backoff_first_s=0.01),
    )
    return (folder / "points" / "points.bin").read_bytes()


def test_a_plain_address_needs_no_library_but_urllib3(server: FaultyServer, tmp_path: Path) -> None:
    """Over http, where no proxy is named: importing requests takes longer than such a fetch, and it has no part in it.

    A redirect without cookies changes nothing. A name for which no proxy counts is none of a proxy.
    """
    url = server.at("/f", redirect(server.at("/g", serve(DATA))))
    code = (
        "import sys; from pathlib import Path; from tinytorch_datasets.fetch import fetch;"
        "from tinytorch_datasets.plan import File; folder, url, size, sha256 = sys.argv[1:];"
        "fetch([File('f', int(size), sha256, (url,))], Path(folder), folder='f', locks=Path(folder, 'locks'),"
        " progress=lambda *_: None, reuse_from=());"
        "print(*sorted({'requests', 'urllib3', 'charset_normalizer', 'pooch', 'numpy'} & set(sys.modules)))"
    )
    env = {"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2]), "no_proxy": "example.org", "HTTPS_PROXY": ""}
    arguments = [str(tmp_path), url, str(len(DATA)), sha256(DATA)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, check=True)

    assert done.stdout == "urllib3\n"
    assert (tmp_path / "f").read_bytes() == DATA


class TestProxies:
    """A proxy that cannot be used is the environment's fault, and no address is asked."""

    @pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "http_proxy", "HTTP_PROXY"])
    def test_socks_without_its_library(
        self, variable: str, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The variable is named as it is spelled, and so is what is missing."""
        monkeypatch.setenv(variable, "socks5h://me:secret@127.0.0.1:1080")

        with pytest.raises(NetworkSettingsError) as caught:
            fetched(tmp_path, server.at("/f", serve(DATA)))

        assert str(caught.value) == (
            f'{variable} is "127.0.0.1:1080", and PySocks is not installed; no address can be asked\n'
            f"  Run `pip install PySocks`, or unset {variable}."
        )
        assert caught.value.variable == variable
        assert server.log == []

    @pytest.mark.parametrize(
        "value", ["http://", "proxy:port", "http://proxy:99999999", "http://[::1", "http//proxy:3128", "my proxy:3128"]
    )
    def test_malformed(self, value: str, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No attempt is made to guess what was meant."""
        monkeypatch.setenv("HTTP_PROXY", value)

        with pytest.raises(NetworkSettingsError) as caught:
            fetched(tmp_path, server.at("/f", serve(DATA)))

        assert str(caught.value) == (
            f'HTTP_PROXY is "{value}", which is not the address of a proxy; no address can be asked\n'
            f"  Set HTTP_PROXY to {EXAMPLE}, or unset it."
        )

    def test_of_another_kind(self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A scheme that nobody here speaks."""
        monkeypatch.setenv("HTTP_PROXY", "htp://proxy:3128")

        with pytest.raises(NetworkSettingsError) as caught:
            fetched(tmp_path, server.at("/f", serve(DATA)))

        assert str(caught.value).startswith(
            'HTTP_PROXY is "htp://proxy:3128", a proxy of a kind that is not supported: "htp"; no address can be asked'
        )

    def test_a_good_one_is_used(self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is asked for the whole address, of a host that only it knows."""
        monkeypatch.setenv("HTTP_PROXY", server.url.removeprefix("http://"))
        server.at("http://example.invalid/f", serve(DATA))

        assert fetched(tmp_path, "http://example.invalid/f") == DATA

    def test_one_that_is_not_for_this_host(
        self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """NO_PROXY is honored; what would not be used cannot be wrong."""
        monkeypatch.setenv("HTTP_PROXY", "socks5h://127.0.0.1:1080")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

        assert fetched(tmp_path, server.at("/f", serve(DATA))) == DATA

    def test_a_folder_needs_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where nothing is asked, nothing is wrong."""
        monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
        (tmp_path / "stick").mkdir()
        (tmp_path / "stick" / "points.bin").write_bytes(DATA)

        assert fetched(tmp_path, mirror=str(tmp_path / "stick")) == DATA

    def test_one_that_does_not_answer_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its address is well-formed, so only the attempt can tell."""
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")

        with pytest.raises(FetchError) as caught:
            fetched(tmp_path, "http://example.invalid/f")

        reason = "the proxy that HTTP_PROXY names cannot be used"
        assert caught.value.tried == (("http://example.invalid/f", reason),)


class TestCertificates:
    """Certificates that the environment names are trusted, or are named as missing."""

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_a_missing_file(self, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """At once, whatever the mirrors are."""
        for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv(variable, "/nowhere/ca.pem")
        before = time.monotonic()

        with pytest.raises(NetworkSettingsError) as caught:
            fetched(tmp_path, "https://example.invalid/f")

        assert time.monotonic() - before < 2
        assert str(caught.value) == (
            f'{variable} names "/nowhere/ca.pem", which is missing; no address can be asked\n'
            f"  Set {variable} to a file of certificates in PEM, or unset it."
        )

    def test_a_file_of_something_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is there, and holds no certificate."""
        (tmp_path / "ca.pem").write_text("not one\n")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))

        with pytest.raises(NetworkSettingsError, match="which has no certificates that can be read"):
            fetched(tmp_path, "https://example.invalid/f")

    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
    @pytest.mark.parametrize("path", ["/nowhere/ca.pem", "/"])
    def test_a_variable_of_other_programs(
        self, variable: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is named where no certificate is trusted; a mirror that needs none of it is asked all the same."""
        for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv(variable, path)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
        with FaultyServer(tls) as server, FaultyServer() as plain:
            url = server.at("/f", serve(DATA))
            with pytest.raises(FetchError) as caught:
                fetched(tmp_path, url)
            assert fetched(tmp_path, url, plain.at("/f", serve(DATA))) == DATA

        missing = f' names "{path}", which is missing, and' if path != "/" else ""
        [(_, reason)] = caught.value.tried
        assert reason.startswith("its TLS certificate is not trusted: ")
        assert reason.endswith(f" ({variable}{missing} is not read here: set REQUESTS_CA_BUNDLE)")
        assert caught.value.network_failed

    def test_a_good_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An authority of one's own."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        with FaultyServer(tls) as server:
            assert fetched(tmp_path, server.at("/f", serve(DATA))) == DATA


class TestEveryWay:
    """A plain address is asked by urllib3 alone; with a proxy named, requests has a part in it; a proxy has its own."""

    @pytest.mark.parametrize(
        "address",
        [
            "{server}/f",
            "{server}/a%20b",
            "{server}/a b",
            "{server}/\u00e4?\u00f6=1",
            "{server}/a/./b/../c",
            "{server}/a;b=1,2?c=d&e#f",
            "{server}?q",
            "{credentials}/f",
            "{server}/to?/there",
            "{server}/to?{credentials}/there",
            "{server}/to?file:///etc/passwd",
            "{server}/to?ftp://example.org/f",
            "{server}/to?/to?/there",
            "{server}/cookie",
            "{server}/f?206",
            "{server}/f?404",
            "{server}/f?503",
            "http://[::1",
            "http://127.0.0.1:99999/f",
            "http://.example.invalid/f",
        ],
    )
    def test_asks_the_same_and_gives_the_same(
        self, address: str, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each request with its header fields, and the bytes or what is wrong."""

        def act(exchange: Exchange) -> None:
            path, _, query = exchange.request.path.partition("?")
            if path.endswith("/to"):
                redirect(query)(exchange)
            elif path.endswith("/cookie"):
                answer(302, Location="/after", Set_Cookie="a=1; Path=/")(exchange)
            else:
                answer(int(query) if query.isdigit() else 200, DATA, Retry_After="99", WWW_Authenticate="Basic")(
                    exchange
                )

        by_way = []
        server.otherwise = act
        names = {"server": server.url, "credentials": server.url.replace("://", "://ada:p%40w@")}
        for way in ("plain", "not by the proxy", "by the proxy"):
            if way != "plain":
                monkeypatch.setenv("http_proxy", server.url)
                monkeypatch.setenv("no_proxy", "*" if way == "not by the proxy" else "")
            server.log.clear()
            try:
                outcome: object = fetched(tmp_path / way, address.format(**names))
            except FetchError as error:
                outcome = error.tried
            by_way.append(
                (outcome, [(it.path.removeprefix(server.url), sorted(it.headers.items())) for it in server.log])
            )

        assert by_way[1] == by_way[0]
        if "[::1" not in address and "invalid" not in address and "99999" not in address:  # or the proxy would say so
            assert by_way[2] == by_way[0]
            assert by_way[0][1]


class TestSecrets:
    """Nobody is sent what was not meant for them, and nobody is shown it."""

    def test_netrc_is_not_read(self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its `default` entry would go to every mirror, and a store answers 400 to it."""
        (tmp_path / "netrc").write_text("default login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

        fetched(tmp_path, server.at("/f", redirect("/there")), server.at("/there", serve(DATA)))

        assert [request.headers.get("Authorization") for request in server.log] == [None, None]

    def test_those_in_the_address_are_sent(self, server: FaultyServer, tmp_path: Path) -> None:
        """They were asked for; RFC 7617 has the encoding: base64 of "Aladdin:open sesame"."""
        url = server.at("/f", serve(DATA)).replace("http://", "http://Aladdin:open%20sesame@")

        fetched(tmp_path, url)

        assert server.log[0].headers["Authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="

    def test_a_token_is_not_shown(self, server: FaultyServer, tmp_path: Path) -> None:
        """Neither in the error nor in the note beside the part."""
        url = server.at("/points.bin?sv=2&sig=c2VjcmV0", serve(DATA, cut_after=1000), answer(404))

        with pytest.raises(FetchError) as caught:
            fetched(tmp_path, url)

        assert "c2VjcmV0" not in str(caught.value)
        assert f"{server.url}/points.bin?sv=2&sig=...: 404" in str(caught.value)
        assert "c2VjcmV0" not in (tmp_path / "points" / "points.bin.part.json").read_text()

    @pytest.mark.parametrize(("end", "shown"), [("?sig=c2VjcmV0", "?sig=..."), ("?v=2", "?v=2"), ("#files", "#files")])
    def test_a_mirror_with_a_query_is_refused(self, server: FaultyServer, tmp_path: Path, end: str, shown: str) -> None:
        """A file's name could not follow; before anything is asked, of any address."""
        with pytest.raises(UsageError) as caught:
            fetched(tmp_path, server.at("/f", serve(DATA)), mirror=f"{server.url}/data{end}")

        assert str(caught.value) == (
            f"the mirror {server.url}/data{shown} has a {end[0]!r} in it, after which no file's name can follow\n"
            "  Name the address of a folder, in `mirror` or TINYTORCH_DATASETS_MIRROR; or copy its files to a disk."
        )
        assert server.log == []

    @pytest.mark.parametrize("parameter", ["downloadToken", "jwt", "X-Amz-Credential", "q-signature", "key", "Expires"])
    def test_no_kind_of_key_is_shown(self, server: FaultyServer, tmp_path: Path, parameter: str) -> None:
        """The parameters are those that `add` refuses; and any that is called a key."""
        with pytest.raises(FetchError) as caught:
            fetched(tmp_path, server.at(f"/f?v=2&{parameter}=c2VjcmV0", answer(404)))

        assert f"{server.url}/f?v=2&{parameter}=...: 404" in str(caught.value)

    @pytest.mark.parametrize(
        "act",
        [
            answer(403, b"<Error><Code>\x1b]0;owned\x07</Code><Message>\x1b[2J\xc2\x9b31m</Message></Error>"),
            answer(403, b'{"error": "\\u001b[2J \\u202e gnp.exe"}'),
            answer(302, Location="gopher://\x1b[2J/"),
            answer(302, Location="/\x1b[2J"),
            answer(206, Content_Range="bytes \x1b[2J"),
            serve(b"<!DOCTYPE html><title>&#27;[2J</title>" + bytes(len(DATA))),
            serve(DATA, headers={"Content-Encoding": "br, \x1b[2J"}, chunked=True),
        ],
    )
    def test_control_codes_are_not_passed_on(self, act: object, server: FaultyServer, tmp_path: Path) -> None:
        """Whatever a mirror sends, the error is text that a terminal only prints."""
        with pytest.raises(FetchError) as caught:
            fetched(tmp_path, server.at("/f", act))  # type: ignore[arg-type]

        assert all(line.isprintable() for line in str(caught.value).split("\n"))


NAMES = {"a#1.csv": "a%231.csv", "a b.csv": "a%20b.csv", "a%20.csv": "a%2520.csv", "ä+(1).csv": "%C3%A4%2B(1).csv"}


@pytest.mark.parametrize(("name", "path"), NAMES.items())
def test_a_name_below_a_mirror_is_quoted(name: str, path: str, server: FaultyServer, tmp_path: Path) -> None:
    """A declared mirror is asked for the file, and not for what the address would mean unquoted (RFC 3986, 2.1)."""
    server.at(f"/data/{path}", serve(DATA))
    manifest = tmp_path / "datasets.yaml"
    entry = {
        "title": "points",
        "status": "remote",
        "format": "npy",
        "license": "CC0-1.0",
        "source": "made here",
        "fields": {"images": {"dtype": "uint8", "shape": [2]}},
        "splits": {"train": {"samples": 3, "images": name}},
        "mirrors": [f"{server.url}/data/"],
        "files": {name: {"bytes": len(DATA), "sha256": sha256(DATA)}},
    }
    manifest.write_text(yaml.safe_dump({"version": 1, "datasets": {"points": entry}}))
    file = load_manifest(manifest).plan("points").files[0]

    fetch([file], tmp_path / "points", folder="points", locks=tmp_path / "locks", reuse_from=(), progress=print)

    assert server.log[0].path == f"/data/{path}"
    assert (tmp_path / "points" / name).read_bytes() == DATA
