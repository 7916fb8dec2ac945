"""What came instead is recognized from its first bytes, and named."""

from __future__ import annotations

import gzip
import io

import pytest

from tinytorch_datasets.fetch.http import retry_after, validator_of
from tinytorch_datasets.verify.diagnose import HEAD_BYTES, describe, storage_error_code, wrong_content

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 170498071\n"


def named_gzip() -> bytes:
    """What `gzip train.csv` writes: the name is in its header."""
    stream = io.BytesIO()
    with gzip.GzipFile("train.csv", "wb", fileobj=stream, mtime=0) as zipped:
        zipped.write(b"1,2,3\n" * 10)
    return stream.getvalue()


class TestWrongContent:
    """Bytes that are surely no part of the declared file are known before they are written."""

    @pytest.mark.parametrize(
        ("head", "what"),
        [
            (b"<!DOCTYPE html><title>Sign in</title>", 'an HTML page titled "Sign in" (a login page?)'),
            (b"\xef\xbb\xbf\r\n  <HTML><HEAD></HEAD>", "an HTML page (a login page?)"),
            (
                b"<!-- saved --><html lang='en'><title>\n Caf\xc3\xa9 \n</title>",
                'an HTML page titled "Café" (a login page?)',
            ),
            (
                b"<html><title>" + b"long " * 100 + b"</title>",
                f'an HTML page titled "{"long " * 15}lo..." (a login page?)',
            ),
            (b"<title>\x1b[31mred</title>", 'an HTML page titled "[31mred" (a login page?)'),
            (
                b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>It is gone.</Message></Error>",
                'an XML storage error, "NoSuchKey": "It is gone."',
            ),
            (b"<Error><Code>AuthenticationFailed</Code></Error>", 'an XML storage error, "AuthenticationFailed"'),
            (b'{"error": "rate limited"}', 'a JSON error: "rate limited"'),
            (b'{"error": {"errors": [], "message": "quota"}}', 'a JSON error: "quota"'),
            (b'{"errors": [1, 2]}', "a JSON error"),
            (b'{"message": "cut off he', "JSON that begins like an error"),
            (
                POINTER,
                "a Git LFS pointer to a file of 170,498,071 bytes (run `git lfs pull` where it was copied from)",
            ),
        ],
    )
    def test_named(self, head: bytes, what: str) -> None:
        """Pages, storage errors, API errors, pointers."""
        assert wrong_content(head, "cifar-10-python.tar.gz") == what

    @pytest.mark.parametrize(
        "head", [b"", b"\x1f\x8b\x08\0", b"PK\x03\x04", b"<", b"{", b'{"rows": [1]}', b"[1, 2]", b"<svg>", b"\0" * 64]
    )
    def test_data_is_not_taken_for_a_page(self, head: bytes) -> None:
        """In doubt, the sha256 decides."""
        assert wrong_content(head, "train.bin") is None

    @pytest.mark.parametrize("name", ["page.html", "feed.XML", "rows.json", "rows.jsonl", "notes.txt", "t.csv"])
    def test_a_text_may_begin_like_a_page(self, name: str) -> None:
        """And be the declared file."""
        assert wrong_content(b"<html><title>A corpus of pages</title>", name) is None
        assert wrong_content(POINTER, name) is not None


class TestDescribe:
    """Of bytes that are known to be wrong, the best guess is reported, or none."""

    @pytest.mark.parametrize(
        ("head", "name", "came", "declared", "what"),
        [
            (b"", "a.bin", 0, 10, "an empty file"),
            (b"\x1f\x8b\x08\0", "a.csv", 4, 10, "a gzip, where none was declared"),
            (named_gzip(), "a.csv", 9, 10, 'a gzip of "train.csv", where none was declared'),
            (named_gzip(), "a.gz", 10, 10, 'another gzip of "train.csv"'),
            (b"BZh9", "a.tar.gz", 4, 10, "something that is no .gz file"),
            (b"\x93NUMPY", "a.npz", 10, 10, "something that is no .npz file"),
            (
                b"PK\x03\x04",
                "a.npz",
                4,
                10,
                "the right kind of file, but shorter: truncated, or another version",
            ),
            (b"abcd", "a.bin", 4, 10, "a shorter file"),
            (b"abcd", "a.bin", 10, 10, None),
            (
                b"1\r\n2\r\n",
                "a.csv",
                6,
                4,
                "text whose line endings were converted to CR LF (by git, or by FTP in text mode?)",
            ),
            (
                b"1\n2\n",
                "a.csv",
                4,
                6,
                "a shorter text: truncated, or its line endings were converted from CR LF to LF",
            ),
            (b"1\n2\r\n", "a.csv", 5, 5, None),
            (b"<html>", "a.csv", 5, 5, "an HTML page (a login page?)"),
        ],
    )
    def test_named(self, head: bytes, name: str, came: int, declared: int, what: str | None) -> None:
        """By magic numbers, gzip's own header, line endings and size."""
        assert describe(head, name, bytes_came=came, bytes_declared=declared) == what


# Dates that no datetime can hold.
BEYOND = ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", "Wed, 21 Oct 99999999999 07:28:00 GMT")


class TestHeaders:
    """Headers that servers get wrong are read with care."""

    @pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "\u0661", "9" * 5000, "Wed, 99 Foo 2015", *BEYOND])
    def test_a_retry_after_that_is_none(self, text: str) -> None:
        """Then our own backoff holds."""
        assert retry_after(text) is None

    def test_a_retry_after_that_is_a_date(self) -> None:
        """In the past: now. In the future: until then."""
        assert retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0
        assert (retry_after("Fri, 31 Dec 2999 23:59:59 GMT") or 0) > 1e9

    def test_validators(self) -> None:
        """A strong tag, or the date, or none; never a weak tag (RFC 9110, 13.1.5)."""
        date = "Wed, 21 Oct 2015 07:28:00 GMT"
        assert validator_of({"ETag": '"a"', "Last-Modified": date}) == '"a"'
        assert validator_of({"Last-Modified": date}) == date
        assert validator_of({"ETag": 'W/"a"', "Last-Modified": date}) is None
        assert validator_of({}) is None

    def test_storage_errors_are_not_seen_in_data(self) -> None:
        """XML and JSON that say nothing of an error."""
        assert storage_error_code(b"<rows><row>1</row></rows>") is None
        assert storage_error_code(b'{"rows": 1}') is None
        assert storage_error_code(b'{"":' + b"[" * HEAD_BYTES) is None  # deeper than Python reads
