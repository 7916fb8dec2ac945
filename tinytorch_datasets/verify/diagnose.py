"""Diagnosis of what came in place of the declared bytes.

Told from the first bytes alone, so that a 170 MB login page need not be read to its end. Whoever holds wrong bytes may
ask: this module imports nothing of ours.
"""

from __future__ import annotations

import json
import re
import struct

HEAD_BYTES = 4096  # what a diagnosis looks at

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# A promised file of one of these kinds may well begin like a page or an error, and be right.
TEXTS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".geojson", ".html", ".htm", ".xhtml", ".xml", ".svg")
# More texts, that never begin like a page; their line endings can be converted on the way.
MORE_TEXTS = (".md", ".yaml", ".yml", ".toml", ".tex", ".py", ".arff", ".data", ".names", ".dat")
MAGIC = {".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".zip": b"PK", ".npz": b"PK", ".npy": b"\x93NUMPY"}


def foreign(head: bytes, name: str, *, of_its_size: bool = False) -> str | None:
    """What these first bytes are, if they surely are no part of a file of that name; else None.

    Where all that comes is of the promised size, nothing is sure but that a .gz begins like a gzip: the hash decides.

    >>> foreign(b"<!DOCTYPE html><title>Campus Wi-Fi</title>", "train.gz")
    'an HTML page titled "Campus Wi-Fi" (a login page?)'
    >>> foreign(b"<!DOCTYPE html><title>Campus Wi-Fi</title>", "page.html")
    >>> foreign(b"<!DOCTYPE html><title>Campus Wi-Fi</title>", "train.qa", of_its_size=True)
    """
    if of_its_size and not name.lower().endswith(tuple(MAGIC)):
        return None
    if head.startswith(LFS_POINTER):
        return _lfs_pointer(head)
    if name.lower().endswith(TEXTS):
        return None
    return _page(head) or said_by_a_store(head)


def describe(head: bytes, name: str, *, bytes_came: int | None = None, bytes_declared: int | None = None) -> str | None:
    """The best guess at what these first bytes are, for a file that is already known to be wrong."""
    suffix = next((end for end in MAGIC if name.lower().endswith(end)), None)
    known = (head.startswith(LFS_POINTER) and _lfs_pointer(head)) or _page(head) or said_by_a_store(head)
    if known:
        return known
    if not head:
        return "an empty file" if bytes_came == 0 else None
    if head.startswith(MAGIC[".gz"]) and suffix not in (".gz", ".tgz"):
        return f"a gzip{_gzip_of(head)}, where none was promised"
    if suffix and not head.startswith(MAGIC[suffix]):
        return f"something that is no {suffix} file"
    if name.lower().endswith(TEXTS + MORE_TEXTS) and b"\0" not in head and (ends := _line_ends(head)):
        if ends == "CRLF" and (bytes_came is None or bytes_declared is None or bytes_came >= bytes_declared):
            return "text whose line endings were converted to CR LF (by git, or by FTP in text mode?)"
        if ends == "LF" and bytes_came is not None and bytes_declared is not None and bytes_came < bytes_declared:
            return "a shorter text: truncated, or its line endings were converted from CR LF to LF"
    if bytes_came is not None and bytes_declared is not None and bytes_came < bytes_declared:
        return "the right kind of file, but shorter: truncated, or another version" if suffix else "a shorter file"
    if suffix in (".gz", ".tgz"):
        return f"another gzip{_gzip_of(head)}"
    return None


def said_by_a_store(head: bytes) -> str | None:
    """The words of an object store or an API that answers in XML or JSON.

    >>> said_by_a_store(b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>Gone.</Message></Error>")
    'an XML storage error, "NoSuchKey": "Gone."'
    >>> said_by_a_store(b'{"error": {"code": 404, "message": "No such object"}}')
    'a JSON error: "No such object"'
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").decode("utf-8", "replace")
    if text.startswith("<") and (code := re.search(r"<Code>\s*([^<]{1,80}?)\s*</Code>", text)):
        message = re.search(r"<Message>\s*([^<]{1,200}?)\s*</Message>", text)
        return f"an XML storage error, {quoted(code[1])}" + (f": {quoted(message[1])}" if message else "")
    if not text.startswith("{"):
        return None
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return "JSON that begins like an error" if re.match(r'\{\s*"(error|errors|message|detail)"', text) else None
    for key in ("error", "errors", "message", "detail"):
        if key in told:
            while isinstance(told, dict) and (inner := next((told[k] for k in (key, "message") if k in told), None)):
                told = inner
            return f"a JSON error: {quoted(told)}" if isinstance(told, str) else "a JSON error"
    return None


def is_page(head: bytes) -> bool:
    """Whether these first bytes are those of an HTML page."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    opening = rb"(<!--.*?-->\s*)?(<!doctype html|<html|<head|<title|<body|<script)"
    return re.match(opening, start, re.DOTALL) is not None


def _page(head: bytes) -> str | None:
    if not is_page(head):
        return None
    import html  # only when a page came

    title = re.search(r"<title[^>]*>(.*?)</title>", head.decode("utf-8", "replace"), re.DOTALL | re.IGNORECASE)
    words = html.unescape(title[1]) if title else ""
    return f"an HTML page{f' titled {quoted(words)}' if words.strip() else ''} (a login page?)"


def _lfs_pointer(head: bytes) -> str:
    size = re.search(rb"^size (\d{1,18})$", head, re.MULTILINE)
    of = f" to a file of {int(size[1]):,} bytes" if size else ""
    return f"a Git LFS pointer{of} (run `git lfs pull` where it was copied from)"


def _gzip_of(head: bytes) -> str:
    """The name that a gzip keeps of what it holds (RFC 1952, FNAME)."""
    if len(head) < 10 or not head[3] & 8:
        return ""
    at = 10
    if head[3] & 4:
        at += 2 + struct.unpack("<H", head[10:12].ljust(2, b"\0"))[0]
    name, end, _ = head[at:].partition(b"\0")
    return f" of {quoted(name.decode('latin-1'))}" if end and name else ""


def _line_ends(head: bytes) -> str | None:
    lines = head.count(b"\n")
    if not lines:
        return None
    return {lines: "CRLF", 0: "LF"}.get(head.count(b"\r\n"))


def printable(text: str) -> str:
    r"""Show what came from outside, with every control code written out: it goes to a terminal.

    >>> printable("a\x1b]0;title\x07b")
    'a\\x1b]0;title\\x07b'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(words: str) -> str:
    """Foreign words on one short line: they come from a stranger and go to a terminal."""
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return f'"{words[:77]}..."' if len(words) > 80 else f'"{words}"'
