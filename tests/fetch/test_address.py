"""A file whose size and sha256 nobody knows yet comes whole, unwrapped, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.faulty_server import Act, FaultyServer, answer, babble, redirect, serve
from tinytorch_datasets._version import VERSION
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch import Downloaded, RetryPolicy, download_address

ROWS = b"".join(b"%d,%d\n" % (n, n * n) for n in range(1000))
BYTES = random.Random(15).randbytes(200_000)
GZ = gzip.compress(BYTES, mtime=0)
TWO_MEMBERS = gzip.compress(ROWS[:5000]) + gzip.compress(ROWS[5000:])
GZIPPED: Mapping[str, str] = {"Content-Encoding": "gzip"}
HASTE = RetryPolicy(read_timeout_s=0.4, response_timeout_s=1.0, backoff_first_s=0.01, backoff_limit_s=0.02)

WHOLE: dict[str, tuple[str, bytes, tuple[Act, ...]]] = {
    "as it should be": ("rows.csv", ROWS, (serve(ROWS),)),
    "in chunks": ("rows.csv", ROWS, (serve(ROWS, chunked=True),)),
    "without a length": ("rows.csv", ROWS, (serve(ROWS, length=None),)),
    "wrapped in gzip": ("rows.csv", ROWS, (serve(gzip.compress(ROWS), headers=GZIPPED),)),
    "wrapped in gzip, in chunks": ("rows.csv", ROWS, (serve(gzip.compress(ROWS), headers=GZIPPED, chunked=True),)),
    "wrapped in two members of gzip": ("rows.csv", ROWS, (serve(TWO_MEMBERS, headers=GZIPPED, piece=7),)),
    "a .gz that is called gzip": ("bytes.gz", GZ, (serve(GZ, headers=GZIPPED),)),
    "a .gz that is wrapped in gzip": ("bytes.gz", GZ, (serve(gzip.compress(GZ), headers=GZIPPED),)),
    "a charset in place of a compression": ("rows.csv", ROWS, (serve(ROWS, headers={"Content-Encoding": "utf-8"}),)),
    "binary in place of a compression": ("rows.csv", ROWS, (serve(ROWS, headers={"Content-Encoding": "BINARY"}),)),
    "identity": ("rows.csv", ROWS, (serve(ROWS, headers={"Content-Encoding": "identity"}),)),
    "cut, and then whole": ("bytes.bin", BYTES, (serve(BYTES, cut_after=100_000), serve(BYTES))),
    "cut amid the chunks": ("rows.csv", ROWS, (serve(ROWS, cut_after=3000, piece=3000, chunked=True), serve(ROWS))),
    "the wrapping is cut": (
        "rows.csv",
        ROWS,
        (serve(gzip.compress(ROWS), headers=GZIPPED, length=None, cut_after=1000), serve(ROWS)),
    ),
    "the wrapping is cut after its first byte": (
        "rows.csv",
        ROWS,
        (serve(gzip.compress(ROWS), headers=GZIPPED, length=None, cut_after=1), serve(ROWS)),
    ),
    "500, then fine": ("rows.csv", ROWS, (answer(500), serve(ROWS))),
    "another file after the cut": (
        "bytes.bin",
        BYTES,
        (serve(BYTES[::-1], etag='"1"', cut_after=100_000), serve(BYTES, etag='"2"')),
    ),
    "another size after the cut, under the same tag": (
        "bytes.bin",
        BYTES,
        (serve(BYTES[::-1] + b"!", etag='"1"', cut_after=100_000), serve(BYTES, etag='"1"')),
    ),
}

REFUSED: dict[str, tuple[tuple[Act, ...], str]] = {
    "chunks that end early, each time": (
        (serve(ROWS, cut_after=3000, piece=3000, chunked=True),),
        "the connection was lost (4 tries)",
    ),
    "a length that is too long": ((serve(ROWS, length=len(ROWS) + 9),), "the connection was lost (4 tries)"),
    "404": ((answer(404),), "404 Not Found"),
    "a login page": (
        (serve(b"<!DOCTYPE html><title>Log in</title>"),),
        'gives an HTML page titled "Log in" (a login page?)',
    ),
    "an empty file": ((serve(b""),), "gives an empty file"),
    "br": ((serve(ROWS, headers={"Content-Encoding": "br"}),), "sends Content-Encoding br, which was not asked for"),
    "no HTTP": ((babble(b"no http"),), "what it answered is not HTTP (BadStatusLine) (3 tries)"),
}


def download(url: str, folder: Path, name: str = "rows.bin") -> Downloaded:
    """Download into that folder, hastily."""
    return download_address([url], folder / name, name=name, retry=HASTE)


@pytest.mark.parametrize(("name", "expected", "acts"), WHOLE.values(), ids=WHOLE)
def test_it_comes_whole(
    name: str, expected: bytes, acts: tuple[Act, ...], server: FaultyServer, tmp_path: Path
) -> None:
    """Every byte of the file itself, whatever wraps it, and however often the way there is cut."""
    downloaded = download(server.at(f"/{name}", *acts), tmp_path, name)

    assert (tmp_path / name).read_bytes() == expected
    assert (downloaded.bytes, downloaded.sha256) == (len(expected), hashlib.sha256(expected).hexdigest())


@pytest.mark.parametrize(("acts", "reason"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused(acts: tuple[Act, ...], reason: str, server: FaultyServer, tmp_path: Path) -> None:
    """Half a file is no file: nothing appears under its name."""
    url = server.at("/f", *acts)

    with pytest.raises(FetchError) as caught:
        download(url, tmp_path)

    assert str(caught.value) == (
        f"rows.bin could not be downloaded:\n  {url}: {reason}\n  Open the address in a browser to see what it gives."
    )
    assert caught.value.tried == ((url, reason),)
    assert list(tmp_path.iterdir()) == []


class TestResuming:
    """The rest is asked for only where the mirror can tell that the file is still the same."""

    def test_with_a_tag(self, server: FaultyServer, tmp_path: Path) -> None:
        """Only the rest is sent."""
        download(server.at("/f", serve(BYTES, etag='"1"', cut_after=100_000), serve(BYTES, etag='"1"')), tmp_path)

        assert [(r.range, r.headers.get("If-Range")) for r in server.log] == [(None, None), ("bytes=100000-", '"1"')]
        assert server.sent("/f") == len(BYTES)

    def test_without_one(self, server: FaultyServer, tmp_path: Path) -> None:
        """No sha256 would find two halves of different files."""
        download(server.at("/f", serve(BYTES, cut_after=100_000), serve(BYTES)), tmp_path)

        assert [request.range for request in server.log] == [None, None]


class TestManners:
    """What the other side, and whoever waits, get to know."""

    def test_the_next_address(self, server: FaultyServer, tmp_path: Path) -> None:
        """The first that gives the file."""
        urls = [server.at("/gone", answer(404)), server.at("/good", serve(ROWS))]

        assert download_address(urls, tmp_path / "f", name="f", retry=HASTE).url == urls[1]

    def test_progress(self, server: FaultyServer, tmp_path: Path) -> None:
        """The size is -1 while it is unknown, and all of it is reported once, in the end."""
        calls: list[tuple[str, int, int]] = []
        url = server.at("/f", serve(ROWS, length=None))

        download_address([url], tmp_path / "f", name="f", retry=HASTE, progress=lambda *call: calls.append(call))

        assert calls[0] == ("f", 0, -1)
        assert [call for call in calls if call[1] == call[2]] == [("f", len(ROWS), len(ROWS))]

    def test_the_header_fields(self, server: FaultyServer, tmp_path: Path) -> None:
        """For whoever names the file by them; of the response that gave it, not of the redirect."""
        field = {"Content-Disposition": 'attachment; filename="iris.csv"'}
        server.at("/content", serve(ROWS, headers=field))
        url = server.at("/f", redirect("/content"))

        assert download(url, tmp_path).headers["content-disposition"] == field["Content-Disposition"]

    def test_who_asks(self, server: FaultyServer, tmp_path: Path) -> None:
        """A server's owner can see which program asks; no address is made up where the project has none."""
        download(server.at("/f", serve(ROWS)), tmp_path)

        assert server.log[0].headers["User-Agent"] == f"tinytorch-datasets/{VERSION}"
