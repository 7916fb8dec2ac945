"""Every fault ends in the right bytes or in one clear error."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.helpers.faulty_server import (
    Act,
    FaultyServer,
    answer,
    babble,
    free_port,
    lying_range,
    redirect,
    serve,
    sha256,
    silent,
)
from tests.helpers.format_writers import gzip_bomb
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch import RetryPolicy, fetch
from tinytorch_datasets.plan import File

HASTE = RetryPolicy(
    connect_timeout_s=1.0,
    read_timeout_s=0.4,
    stall_window_s=0.4,
    drip_window_s=0.6,
    backoff_first_s=0.01,
    backoff_limit_s=0.05,
    retry_after_limit_s=2.0,
    poll_s=0.01,
)
NAME = "train-images.gz"
DATA = gzip.compress(random.Random(3).randbytes(300_000), mtime=0)
OTHER = gzip.compress(random.Random(4).randbytes(300_000), mtime=0)[: len(DATA)]
SIZE = f"{len(DATA):,}"
FLIPPED = DATA[:150_000] + bytes([DATA[150_000] ^ 1]) + DATA[150_001:]
PORTAL = b"<!DOCTYPE html>\n<html><head><title>Campus Wi-Fi &amp; more</title></head>" + b"<p>Please log in.</p>" * 50
DENIED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>4</RequestId></Error>"""
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 300123\n"
DEEP_JSON = b'{"":' + b"[" * 8000
NAMED_GZIP = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03t10k-labels-idx1-ubyte\0" + DATA[10:]


@dataclass
class Place:
    """A downloads folder with one data set in it, and all that was reported while it was fetched."""

    root: Path

    def __post_init__(self) -> None:
        self.into = self.root / "downloads" / "mnist"
        self.result: list[tuple[str, int, int]] = []

    def fetch(self, *files: File, mirror: str | None = None, retry: RetryPolicy = HASTE) -> list[File]:
        """Fetch, hastily."""
        fetched = fetch(
            files,
            self.into,
            folder="mnist",
            mirror=mirror,
            locks=self.root / "downloads" / ".cache" / "locks",
            progress=lambda *result: self.result.append(result),
            dataset="mnist",
            reuse_from=(),
            retry=retry,
        )
        return [one.file for one in fetched]

    def here(self) -> dict[str, bytes]:
        """What the folder holds, but for parts."""
        return {
            path.name: path.read_bytes() for path in self.into.iterdir() if not path.name.startswith(f"{NAME}.part")
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty downloads folder."""
    return Place(tmp_path)


def declared_file(*urls: str, data: bytes = DATA, name: str = NAME) -> File:
    """What a manifest would declare."""
    return File(name=name, bytes=len(data), sha256=sha256(data), urls=urls, where="datasets.yaml:41")


def cut_short(*more: Act) -> tuple[Act, ...]:
    """Two thirds of the file, and then whatever follows."""
    return (serve(DATA, cut_after=200_000), *more)


RIGHT_IN_THE_END: dict[str, tuple[Act, ...]] = {
    "as it should be": (serve(DATA),),
    "dropped after 200,000 bytes": cut_short(serve(DATA)),
    "dropped after 1 byte": (serve(DATA, cut_after=1), serve(DATA)),
    "dropped, without a length": (serve(DATA, cut_after=200_000, length=None), serve(DATA)),
    "dropped amid a chunk": (serve(DATA, cut_after=200_000, chunked=True), serve(DATA)),
    "reset by peer": (serve(DATA, cut_after=200_000, end="reset"), serve(DATA)),
    "hang in the body": (serve(DATA, cut_after=200_000, end="hang"), serve(DATA)),
    "hang before the first byte, once": (silent, serve(DATA)),
    "Range ignored": cut_short(serve(DATA, ranges=False)),
    "Range lies: from the beginning, as if it were the rest": cut_short(lying_range(DATA, honest_header=False)),
    "Range lies: the wrong range, and says so": cut_short(lying_range(DATA, honest_header=True), serve(DATA)),
    "Range refused with 416": cut_short(answer(416), serve(DATA)),
    "206 without a Content-Range": cut_short(answer(206, DATA[200_000:]), serve(DATA)),
    "the rest is from another file": (serve(OTHER, cut_after=200_000), serve(DATA)),
    "no length, ends with the connection": (serve(DATA, length=None),),
    "no length, chunked": (serve(DATA, chunked=True),),
    "500, then fine": (answer(500), serve(DATA)),
    "502 and 503, then fine": (answer(502, b"<html>Bad gateway"), answer(503), serve(DATA)),
    "408, then fine": (answer(408), serve(DATA)),
    "429 with Retry-After": (answer(429, Retry_After="1"), serve(DATA)),
    "ETag changes on resume": (serve(DATA, etag='"1"', cut_after=200_000), serve(DATA, etag='"2"')),
    "ETag changes from request to request": tuple(serve(DATA, etag=f'"{n}"', cut_after=200_000) for n in range(5)),
    "Content-Encoding gzip over a .gz": (serve(DATA, headers={"Content-Encoding": "gzip"}),),
    "Content-Encoding gzip over a .gz, chunked": (serve(DATA, headers={"Content-Encoding": "gzip"}, chunked=True),),
    "gzip around a .gz": (serve(gzip.compress(DATA), headers={"Content-Encoding": "gzip"}),),
    "gzip around a .gz, chunked": (serve(gzip.compress(DATA), headers={"Content-Encoding": "gzip"}, chunked=True),),
    "gzip around a .gz, on resume": cut_short(serve(gzip.compress(DATA), headers={"Content-Encoding": "gzip"})),
    "not HTTP, once": (babble(b"SSH-2.0-OpenSSH_9.6\r\n"), serve(DATA)),
    "closed without a word, once": (babble(b""), serve(DATA)),
    "one byte a time, but fast": (serve(DATA, piece=997),),
}

NEVER_RIGHT: dict[str, tuple[tuple[Act, ...], str]] = {
    "dropped at the same byte each time": (
        (serve(DATA, cut_after=200_000, ranges=False),),
        f"was cut off after 200,000 of {SIZE} bytes (4 tries)",
    ),
    "truncated": (
        (serve(DATA[:200_000]),),
        f"has a file of 200,000 bytes, not {SIZE}: the right kind of file, but shorter: truncated, or another version",
    ),
    "truncated, without a length": (
        (serve(DATA[:200_000], length=None),),
        f"was cut off after 200,000 of {SIZE} bytes (4 tries)",
    ),
    "empty": ((answer(200),), f"has a file of 0 bytes, not {SIZE}: an empty file"),
    "one byte flipped": ((serve(FLIPPED),), "sends other bytes than the declared ones: another gzip"),
    "Content-Length too large": (
        (serve(DATA, length=len(DATA) + 10),),
        f"has a file of {len(DATA) + 10:,} bytes, not {SIZE}: another gzip",
    ),
    "Content-Length too small": (
        (serve(DATA, length=len(DATA) - 10),),
        f"has a file of {len(DATA) - 10:,} bytes, not {SIZE}: "
        "the right kind of file, but shorter: truncated, or another version",
    ),
    "endless": (
        (serve(DATA * 10, length=None),),
        f"sends more than the {SIZE} declared bytes: another gzip",
    ),
    "500 each time": ((answer(500),), "500 Internal Server Error (3 tries)"),
    "503 with an XML error": (
        (answer(503, b"<Error><Code>SlowDown</Code></Error>"),),
        '503 Service Unavailable (an XML storage error, "SlowDown") (3 tries)',
    ),
    "429 that asks for an hour": (
        (answer(429, Retry_After="3600"),),
        "429 Too Many Requests (it asks to wait 3,600 s)",
    ),
    "400": ((answer(400),), "400 Bad Request"),
    "401": ((answer(401),), "401 Unauthorized"),
    "403 with an XML error": (
        (answer(403, DENIED),),
        '403 Forbidden (an XML storage error, "AccessDenied": "Access Denied")',
    ),
    "404": ((answer(404, b"<html><title>Not Found</title></html>"),), "404 Not Found"),
    "404 with a JSON error": (
        (answer(404, b'{"error": {"code": 404, "message": "No such object: b/o"}}'),),
        '404 Not Found (a JSON error: "No such object: b/o")',
    ),
    "410": ((answer(410),), "410 Gone"),
    "204": ((answer(204),), "204 No Content"),
    "299": ((answer(299),), "299, a status of its own"),
    "redirect to ftp": (
        (redirect("ftp://127.0.0.1/f"),),
        "redirects to ftp://127.0.0.1/f, which is neither http nor https",
    ),
    "HTML with 200": (
        (serve(PORTAL),),
        'an HTML page titled "Campus Wi-Fi & more" (a login page?) came instead',
    ),
    "HTML with 200, without a length": (
        (serve(PORTAL, chunked=True),),
        'an HTML page titled "Campus Wi-Fi & more" (a login page?) came instead',
    ),
    "XML with 200": ((serve(DENIED),), 'an XML storage error, "AccessDenied": "Access Denied" came instead'),
    "JSON with 200": ((serve(b'{"message": "quota"}'),), 'a JSON error: "quota" came instead'),
    "a Git LFS pointer": (
        (serve(POINTER),),
        "a Git LFS pointer to a file of 300,123 bytes (run `git lfs pull` where it was copied from) came instead",
    ),
    "a gzip of the wrong thing": (
        (serve(NAMED_GZIP),),
        f'has a file of {len(NAMED_GZIP):,} bytes, not {SIZE}: another gzip of "t10k-labels-idx1-ubyte"',
    ),
    "no gzip at all": (
        (serve(b"\0" * len(DATA)),),
        "sends other bytes than the declared ones: something that is no .gz file",
    ),
    "hang before the first byte": ((silent,), "nothing came for 0.4 s (3 tries)"),
    "hang in the body each time": (
        (serve(DATA, cut_after=200_000, end="hang", ranges=False),),
        "nothing came for 0.4 s (4 tries)",
    ),
    "Content-Encoding br": (
        (serve(DATA[:1000], headers={"Content-Encoding": "br"}),),
        "sends Content-Encoding br, which was not asked for",
    ),
    "calls itself gzip, is not": (
        (serve(b"\0" * 1000, headers={"Content-Encoding": "gzip"}),),
        "calls its answer gzip, which it is not",
    ),
    "a gzip bomb": (
        (serve(gzip_bomb(b"\0", 50_000_000), headers={"Content-Encoding": "gzip"}),),
        f"sends more than the {SIZE} declared bytes: something that is no .gz file",
    ),
    "200 with JSON that is too deep to be read": (
        (serve(DEEP_JSON),),
        f"has a file of {len(DEEP_JSON):,} bytes, not {SIZE}: something that is no .gz file",
    ),
    "404 with JSON that is too deep to be read": ((answer(404, DEEP_JSON),), "404 Not Found"),
    "503 with a Retry-After that no clock can hold": (
        (answer(503, Retry_After="Wed, 21 Oct 2015 07:28:00 +99999999999999999999"),),
        "503 Service Unavailable (3 tries)",
    ),
    "a Content-Length of 5000 digits": (
        (serve(DATA[:200_000], headers={"Content-Length": "9" * 5000}, length=None, ranges=False),),
        f"was cut off after 200,000 of {SIZE} bytes (4 tries)",
    ),
    "a Content-Range of 5000 digits": (
        (answer(206, DATA, Content_Range="bytes 0-5/" + "9" * 5000),),
        f'sent another range than the asked one ("bytes 0-5/{"9" * 67}...")',
    ),
    "not HTTP": ((babble(b"SSH-2.0-OpenSSH_9.6\r\n"),), "what it answered is not HTTP (BadStatusLine) (3 tries)"),
    "closed without a word": ((babble(b""),), "the connection was lost (3 tries)"),
    "a header without end": (
        (babble(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),),
        "what it answered is not HTTP (LineTooLong) (3 tries)",
    ),
}


class TestRightInTheEnd:
    """A mirror that can be made to give the declared bytes gives them."""

    @pytest.mark.parametrize("acts", RIGHT_IN_THE_END.values(), ids=RIGHT_IN_THE_END)
    def test_the_bytes_are_right(self, acts: tuple[Act, ...], server: FaultyServer, place: Place) -> None:
        """The file is whole, under its name, and nothing else is left; and it is reported as whole exactly once.

        `bytes done` equals `bytes in all` in the last call of the progress and in no other.
        """
        file = declared_file(server.at("/f", *acts))

        assert place.fetch(file) == [file]

        assert [path.name for path in place.into.iterdir()] == [NAME]
        assert place.here() == {NAME: DATA}
        whole = (NAME, len(DATA), len(DATA))
        assert place.result[-1] == whole
        assert place.result.count(whole) == 1


class TestOneClearError:
    """A mirror that cannot is reported of in one FetchError, and no wrong byte gets the right name."""

    @pytest.mark.parametrize(("acts", "reason"), NEVER_RIGHT.values(), ids=NEVER_RIGHT)
    def test_the_reason_is_reported(
        self, acts: tuple[Act, ...], reason: str, server: FaultyServer, place: Place
    ) -> None:
        """The error names the address and the reason; the folder holds at most the part."""
        url = server.at("/f", *acts)

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url))

        assert caught.value.tried == ((url, reason),)
        assert caught.value.file == NAME
        assert place.here() == {}

    @pytest.mark.parametrize(("acts", "reason"), NEVER_RIGHT.values(), ids=NEVER_RIGHT)
    def test_the_next_mirror_is_right(
        self, acts: tuple[Act, ...], reason: str, server: FaultyServer, place: Place
    ) -> None:
        """Whatever the first mirror does, a good second one is not hurt by it."""
        file = declared_file(server.at("/bad", *acts), server.at("/good", serve(DATA)))

        assert place.fetch(file) == [file]
        assert place.here() == {NAME: DATA}

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    def test_some_answers_are_final(self, status: int, server: FaultyServer, place: Place) -> None:
        """A mirror that says no is asked once."""
        url = server.at("/f", answer(status))

        with pytest.raises(FetchError):
            place.fetch(declared_file(url))

        assert len(server.requests("/f")) == 1

    def test_the_whole_message(self, server: FaultyServer, place: Place) -> None:
        """What, where it was declared, what happened at each mirror, and the hint."""
        one, two = server.at("/one", answer(404)), server.at("/two", serve(DATA, cut_after=1000), answer(403))

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(one, two))

        assert str(caught.value) == (
            f"train-images.gz could not be downloaded from any of 2 mirrors:\n"
            f"  {one}: 404 Not Found\n"
            f"  {two}: 403 Forbidden\n"
            f"  declared at datasets.yaml:41\n"
            f"  Try later: run `tinytorch-datasets get mnist` again (1,000 bytes are kept). "
            f"Or put the file itself at {place.into / NAME}, from wherever you can get it."
        )

    def test_a_login_page_is_to_be_logged_in_to(self, server: FaultyServer, place: Place) -> None:
        """The hint of a captive portal is a browser."""
        url = server.at("/f", serve(PORTAL))

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url))

        assert str(caught.value) == (
            f"train-images.gz could not be downloaded from the one mirror:\n"
            f'  {url}: an HTML page titled "Campus Wi-Fi & more" (a login page?) came instead\n'
            f"  declared at datasets.yaml:41\n"
            f"  Open any page in a browser and log in to the network, then run `tinytorch-datasets get mnist` again."
        )

    def test_a_mirrors_own_words_do_not_choose_the_hint(self, server: FaultyServer, place: Place) -> None:
        """A store that speaks as we do of pages and networks is no login page, and no missing network."""
        message = b'{"error": "see (a login page?), (is there a network?)"}'
        url = server.at("/f", answer(404, message))

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url))

        assert str(caught.value) == (
            f"train-images.gz could not be downloaded from the one mirror:\n"
            f'  {url}: 404 Not Found (a JSON error: "see (a login page?), (is there a network?)")\n'
            f"  declared at datasets.yaml:41\n"
            f"  Try later: run `tinytorch-datasets get mnist` again. "
            f"Or put the file itself at {place.into / NAME}, from wherever you can get it."
        )

    def test_no_network_is_to_be_connected_to(self, place: Place) -> None:
        """Where no mirror's name can be found, it is not the mirrors."""
        one, two = "http://mirror.invalid/f", "http://other.invalid/f"

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(one, two))

        assert str(caught.value) == (
            f"train-images.gz could not be downloaded from any of 2 mirrors:\n"
            f"  {one}: its host name cannot be found (is there a network?)\n"
            f"  {two}: its host name cannot be found (is there a network?)\n"
            f"  declared at datasets.yaml:41\n"
            f"  Connect to a network and run `tinytorch-datasets get mnist` again. "
            f"`tinytorch-datasets doctor` says what is in the way."
        )

    def test_no_mirror_at_all(self, place: Place) -> None:
        """A file without an address says so."""
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file())

        assert str(caught.value) == (
            "train-images.gz: no mirror is declared for this file\n"
            "  declared at datasets.yaml:41\n"
            f"  Put the file itself at {place.into / NAME}, or name a mirror with TINYTORCH_DATASETS_MIRROR."
        )

    def test_a_password_is_not_shown(self, server: FaultyServer, place: Place) -> None:
        """An address with a password in it is reported without it."""
        result = [server.at("/f", answer(404)), "ftp://127.0.0.1/f"]

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(*(url.replace("://", "://me:secret@") for url in result)))

        assert [url for url, _ in caught.value.tried] == result
        assert "secret" not in str(caught.value)

    def test_a_password_is_not_kept(self, server: FaultyServer, place: Place) -> None:
        """Nor is it noted beside what has come; the note still tells that mirror from others."""
        url = server.at("/f", serve(DATA, etag='"1"', cut_after=200_000), answer(404), serve(DATA, etag='"1"'))
        secret = declared_file(url.replace("://", "://me:secret@"))

        with pytest.raises(FetchError):
            place.fetch(secret)
        assert json.loads((place.into / f"{NAME}.part.json").read_text()) == {"url": url, "validator": '"1"'}
        assert place.fetch(secret) == [secret]
        assert server.log[-1].headers["If-Range"] == '"1"'


class TestLooks:
    """What a file looks like says nothing against it, if it has the declared size: its hash decides."""

    @pytest.mark.parametrize(
        "data",
        [b'{"message": "hello", "label": 1}\n{"message": "bye", "label": 0}\n', PORTAL, DENIED, POINTER],
        ids=["JSON", "HTML", "XML", "a Git LFS pointer"],
    )
    @pytest.mark.parametrize("length", [-1, None])
    def test_the_declared_file_may_look_like_an_error(
        self, data: bytes, length: int | None, server: FaultyServer, place: Place
    ) -> None:
        """With a length that says so, or with so few bytes that all are here before the first is written."""
        file = declared_file(server.at("/f", serve(data, length=length)), data=data, name="train.qa")

        assert place.fetch(file)
        assert (place.into / "train.qa").read_bytes() == data

    def test_a_page_of_the_declared_size_is_still_named(self, server: FaultyServer, place: Place) -> None:
        """Once its hash has failed."""
        data = PORTAL.replace(b"Campus", b"campus")

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(server.at("/f", serve(PORTAL)), data=data, name="train.qa"))

        assert [why for _, why in caught.value.tried] == [
            'sends other bytes than the declared ones: an HTML page titled "Campus Wi-Fi & more" (a login page?)'
        ]


class TestWrapping:
    """A Content-Encoding that nobody asked for is taken off, if and only if it is a wrapping."""

    TEXT = b"a line of text\n" * 20_000

    @pytest.mark.parametrize("chunked", [True, False])
    def test_around_a_text(self, chunked: bool, server: FaultyServer, place: Place) -> None:
        """The usual case: a server that compresses texts, whether it is asked to or not."""
        wrapped = serve(gzip.compress(self.TEXT), headers={"Content-Encoding": "gzip"}, chunked=chunked)

        place.fetch(declared_file(server.at("/f", wrapped), data=self.TEXT, name="lines.txt"))

        assert (place.into / "lines.txt").read_bytes() == self.TEXT
        assert len(server.log) == 1

    @pytest.mark.parametrize("chunked", [True, False])
    @pytest.mark.parametrize("cut_after", [None, 1000])
    def test_around_a_gzip_that_gets_shorter_by_it(
        self, chunked: bool, cut_after: int | None, server: FaultyServer, place: Place
    ) -> None:
        """It ends, or is cut, before the declared size; what came is seen to be a wrapping, and is unpacked."""
        stored = gzip.compress(self.TEXT, 0, mtime=0)
        wrapped = serve(
            gzip.compress(stored, mtime=0),
            headers={"Content-Encoding": "gzip"},
            chunked=chunked,
            length=None,
            ranges=False,
            cut_after=cut_after,
        )
        whole = serve(
            gzip.compress(stored, mtime=0), headers={"Content-Encoding": "gzip"}, chunked=chunked, length=None
        )

        assert place.fetch(declared_file(server.at("/f", wrapped, whole), data=stored))
        assert (place.into / NAME).read_bytes() == stored
        assert [request.range for request in server.log] == [None, None]

    def test_cut_in_the_wrapping(self, server: FaultyServer, place: Place) -> None:
        """A range of the wrapping is no range of the file: the whole is asked for again."""
        data = random.Random(8).randbytes(200_000)
        wrapping = gzip.compress(data)
        headers = {"Content-Encoding": "gzip"}
        url = server.at("/f", serve(wrapping, headers=headers, cut_after=100_000), serve(wrapping, headers=headers))

        place.fetch(declared_file(url, data=data, name="points.bin"))

        assert (place.into / "points.bin").read_bytes() == data
        assert [request.range for request in server.log] == [None, None]


class TestAWrongEntry:
    """Mirrors that agree are seldom wrong."""

    def test_several_mirrors_agree(self, server: FaultyServer, place: Place) -> None:
        """Both digests, and what they mean."""
        urls = [server.at("/one", serve(OTHER)), server.at("/two", serve(OTHER)), server.at("/gone", answer(404))]

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(*urls))

        lines = str(caught.value).splitlines()
        assert lines[4] == f"  sha256 of what came: {sha256(OTHER)} (from 2 mirrors)"
        assert lines[5] == f"  sha256 declared:     {sha256(DATA)}"
        assert lines[7].startswith(
            "  2 mirrors agree on other bytes, so the entry may be wrong: compare its sha256 with the publisher's. "
        )

    @pytest.mark.parametrize(
        ("acts", "shown"),
        [
            ((serve(DATA + b"!"), serve(DATA + b"!")), f"{len(DATA) + 1:,} bytes"),
            ((serve(DATA + b"!", chunked=True),) * 2, f"more than {len(DATA):,} bytes"),
            ((serve(DATA[:-1], chunked=True),) * 2, f"{len(DATA) - 1:,} bytes"),
        ],
    )
    def test_several_mirrors_agree_on_a_size(
        self, acts: tuple[Act, Act], shown: str, server: FaultyServer, place: Place
    ) -> None:
        """Both sizes, and what they mean; a mirror that has no file says nothing."""
        urls = [server.at("/one", acts[0]), server.at("/gone", answer(404)), server.at("/two", acts[1])]

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(*urls))

        assert f"{len(DATA):,}" in caught.value.tried[0][1]
        assert (caught.value.hint or "").startswith(
            f"2 mirrors agree on {shown}, so the entry may be wrong: compare its size with the publisher's. Try later"
        )

    def test_mirrors_that_disagree_blame_no_entry(self, server: FaultyServer, place: Place) -> None:
        """One of them at least is wrong, and perhaps both."""
        urls = [server.at("/one", serve(OTHER)), server.at("/two", serve(DATA + b"!"))]

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(*urls))

        assert (caught.value.hint or "").startswith("Try later")

    def test_the_only_mirror(self, server: FaultyServer, place: Place) -> None:
        """It alone proves nothing; both digests are there to be compared."""
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(server.at("/one", serve(OTHER))))

        lines = str(caught.value).splitlines()
        assert lines[2:4] == [f"  sha256 of what came: {sha256(OTHER)}", f"  sha256 declared:     {sha256(DATA)}"]
        assert lines[5].startswith("  The entry may be wrong: compare its sha256 with the publisher's. ")


class TestNoAnswer:
    """A host that does not answer is named with the reason."""

    def reason(self, place: Place, url: str) -> str:
        """Why this address failed."""
        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url))
        assert place.here() == {}
        return caught.value.tried[0][1]

    def test_connection_refused(self, place: Place) -> None:
        """Nobody listens there."""
        assert self.reason(place, f"http://127.0.0.1:{free_port()}/f") == "the connection was refused"

    def test_no_such_host(self, place: Place) -> None:
        """.invalid never resolves (RFC 6761)."""
        assert self.reason(place, "http://mirror.invalid/f") == "its host name cannot be found (is there a network?)"

    @pytest.mark.parametrize("url", ["http://[half/f", "http://", "http://127.0.0.1:port/f", "http://a..b/f"])
    def test_no_address(self, place: Place, url: str) -> None:
        """What no library can open is no traceback either."""
        assert self.reason(place, url) == "this is not an address that can be opened"

    def test_a_proxy_that_is_not_there(
        self, server: FaultyServer, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The standard proxy variables are followed, and blamed."""
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        url = server.at("/f", serve(DATA))

        assert self.reason(place, url) == "the proxy that HTTP_PROXY names cannot be used"

    def test_ftp_is_not_spoken(self, place: Place) -> None:
        """Only http, https and folders are."""
        assert self.reason(place, "ftp://127.0.0.1/f") == "this is neither http, nor https, nor a folder"


class TestRedirects:
    """Redirects are followed, loops cut, and a step down from https is said aloud."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("relative", [True, False])
    def test_followed(self, status: int, relative: bool, server: FaultyServer, place: Place) -> None:
        """To a full address or a relative one; the Range goes along."""
        target = server.at("/real", serve(DATA, cut_after=200_000), serve(DATA))
        url = server.at("/f", redirect("/real" if relative else target, status))

        assert place.fetch(declared_file(url))
        assert [request.range for request in server.requests("/real")] == [None, "bytes=200000-"]

    def test_loops_are_cut(self, server: FaultyServer, place: Place) -> None:
        """Two addresses that point to each other."""
        there = server.at("/b", redirect("/a"))
        url = server.at("/a", redirect("/b"))

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url))

        assert caught.value.tried == ((url, f"redirects in a circle, by way of {url}"),)
        assert len(server.log) == 4
        assert there.endswith("/b")

    def test_long_ways_are_cut(self, server: FaultyServer, place: Place) -> None:
        """Ever new addresses."""
        for n in range(20):
            server.at(f"/{n}", redirect(f"/{n + 1}"))

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(server.url + "/0"))

        assert caught.value.tried == ((server.url + "/0", "redirects more than 10 times"),)
        assert len(server.log) == 11

    def test_a_step_down_from_https_is_reported(
        self,
        server: FaultyServer,
        place: Place,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It is followed, since the sha256 is declared, and a warning says so."""
        authority, context = certified()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        target = server.at("/f", serve(DATA))
        with FaultyServer(tls=context) as secure:
            url = secure.at("/f", redirect(target))

            assert place.fetch(declared_file(url))

        assert caplog.messages == [
            f"{url} redirects from https to {target}; followed, as the declared sha256 is checked"
        ]


class TestTls:
    """A certificate that is not trusted is a refusal, never a question."""

    def test_a_trusted_certificate(self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The good case, so that the bad ones mean something."""
        authority, context = certified()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with FaultyServer(tls=context) as secure:
            assert place.fetch(declared_file(secure.at("/f", serve(DATA, cut_after=1000), serve(DATA))))

    def test_an_unknown_authority(self, place: Place) -> None:
        """Nobody vouches for it: one request, no byte."""
        _, context = certified()
        with FaultyServer(tls=context) as secure:
            url = secure.at("/f", serve(DATA))
            with pytest.raises(FetchError) as caught:
                place.fetch(declared_file(url))

        [(tried, reason)] = caught.value.tried
        assert tried == url
        assert reason.startswith("its TLS certificate is not trusted: ")
        assert secure.log == []

    def test_no_tls_at_all(self, server: FaultyServer, place: Place) -> None:
        """https to a server that speaks http."""
        url = server.at("/f", serve(DATA)).replace("http:", "https:")

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url))

        [(_, reason)] = caught.value.tried
        assert reason.startswith("TLS failed: ")
        assert reason != "TLS failed: no more is known"  # what is known differs by the version of OpenSSL


class TestSpeed:
    """Slow is left for another mirror, and a drip is no answer at all."""

    def test_a_stall_goes_on_at_the_next_mirror(self, server: FaultyServer, place: Place) -> None:
        """Under 100 kB/s: the next mirror is asked for the rest alone."""
        slow = server.at("/slow", serve(DATA, piece=500, pause_s=0.02))
        fast = server.at("/fast", serve(DATA))

        place.fetch(declared_file(slow, fast))

        [rest] = server.requests("/fast")
        assert rest.range is not None
        assert rest.sent < len(DATA)
        assert place.here() == {NAME: DATA}

    def test_a_hang_goes_on_at_the_next_mirror_at_once(self, server: FaultyServer, place: Place) -> None:
        """Silence is the slowest of all: no second try while another mirror is untried."""
        place.fetch(declared_file(server.at("/hangs", silent), server.at("/fast", serve(DATA))))

        assert [request.path for request in server.log] == ["/hangs", "/fast"]

    def test_slow_is_better_than_nothing(self, server: FaultyServer, place: Place) -> None:
        """When the others have refused, the slow one has another turn, from where it was left."""
        slow = server.at("/slow", serve(DATA, piece=500, pause_s=0.02), serve(DATA, piece=10_000, pause_s=0.01))

        place.fetch(declared_file(slow, server.at("/gone", answer(404))))

        assert [request.path for request in server.log] == ["/slow", "/gone", "/slow"]
        assert server.log[2].range is not None

    def test_the_only_mirror_may_be_slow(self, server: FaultyServer, place: Place) -> None:
        """No stall rule without another mirror: one request brings it all."""
        small = DATA[:40_000]
        file = declared_file(server.at("/slow", serve(small, piece=500, pause_s=0.01)), data=small)

        assert place.fetch(file) == [file]
        assert len(server.log) == 1

    def test_a_drip_is_given_up(self, server: FaultyServer, place: Place) -> None:
        """Under 1 kB/s: a limit on any single answer, even of the only mirror."""
        url = server.at("/drip", serve(DATA, piece=1, pause_s=0.05, ranges=False))

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url))

        [(_, reason)] = caught.value.tried
        assert reason.startswith("only drips (")


class TestPatience:
    """Waiting is bounded, and as long as the server asks for."""

    def test_retry_after_is_honored(self, server: FaultyServer, place: Place) -> None:
        """A second means a second."""
        url = server.at("/f", answer(429, Retry_After="1"), serve(DATA))
        before = time.monotonic()

        place.fetch(declared_file(url))

        assert time.monotonic() - before >= 1

    def test_progress_renews_the_tries(self, server: FaultyServer, place: Place) -> None:
        """Twenty cuts in a row, each a bit further, are no reason to give up."""
        url = server.at("/f", *(serve(DATA, cut_after=10_000) for _ in range(20)), serve(DATA))

        place.fetch(declared_file(url))

        assert server.sent("/f") == len(DATA)

    def test_even_progress_has_an_end(self, server: FaultyServer, place: Place) -> None:
        """A server that gives a byte a connection is given up on."""
        url = server.at("/f", serve(DATA, cut_after=1))
        patient = dataclasses.replace(HASTE, drip_window_s=60)  # it is not the rate that ends this

        with pytest.raises(FetchError) as caught:
            place.fetch(declared_file(url), retry=patient)

        assert caught.value.tried == ((url, f"was cut off after 50 of {SIZE} bytes (50 tries)"),)


def certified() -> tuple[trustme.CA, ssl.SSLContext]:
    """An authority that nobody knows, and a server's side of TLS for 127.0.0.1 that it vouches for."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return authority, context
