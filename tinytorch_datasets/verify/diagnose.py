"""Diagnosis of what came in place of the declared bytes.

Recognized by the first bytes alone, so that a 170 MB login page need not be read to its end. Whoever holds wrong
bytes may ask: this module imports nothing of ours.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

HEAD_BYTES = 4096  # what a diagnosis looks at

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# A declared file of one of these kinds may well begin like a page or an error, and be right.
TEXTS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".geojson", ".html", ".htm", ".xhtml", ".xml", ".svg")
# More texts, that never begin like a page; their line endings can be converted on the way.
MORE_TEXTS = (".md", ".yaml", ".yml", ".toml", ".tex", ".py", ".arff", ".data", ".names", ".dat")

AS_TABLE = "Save its rows as CSV, or its arrays as NPZ."
AS_ARRAYS = "Save its arrays as NPZ: numpy.savez(path, name=array)."
AS_PIXELS = "Read all pictures with Pillow, and save them as one array in an NPZ: one row for each."
AS_SAMPLES = "Read its samples, and save them as an array in an NPZ."
AS_SHEET = "Save it as CSV, one file for each sheet."
AS_TEXT = "Save its words as UTF-8 text."
UNPACK = "Unpack it, and add the files in it."


class Kind(NamedTuple):
    """A kind of file that begins with `magic` at a place; `name` is what it is called, `hint` what to do instead."""

    at: int
    magic: bytes
    name: str
    hint: str


# Kinds of files that no format reads, most of them as IANA's registry and libmagic have them. MATLAB's newer files and
# others that have another kind inside stand before it.
KINDS = (
    Kind(0, b"\x89PNG\r\n\x1a\n", "a PNG picture", AS_PIXELS),
    Kind(0, b"\xff\xd8\xff", "a JPEG picture", AS_PIXELS),
    Kind(0, b"GIF87a", "a GIF picture", AS_PIXELS),
    Kind(0, b"GIF89a", "a GIF picture", AS_PIXELS),
    Kind(0, b"II*\0", "a TIFF picture", AS_PIXELS),
    Kind(0, b"MM\0*", "a TIFF picture", AS_PIXELS),
    Kind(0, b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 picture", AS_PIXELS),
    Kind(8, b"WEBPVP8", "a WebP picture", AS_PIXELS),
    Kind(4, b"ftypavif", "an AVIF picture", AS_PIXELS),
    Kind(4, b"ftyphei", "a HEIF picture", AS_PIXELS),
    Kind(4, b"ftyp", "an MP4 film", AS_SAMPLES),
    Kind(0, b"\x1aE\xdf\xa3", "a Matroska or WebM film", AS_SAMPLES),
    Kind(8, b"AVI LIST", "an AVI film", AS_SAMPLES),
    Kind(8, b"WAVEfmt ", "a WAV sound", AS_SAMPLES),
    Kind(0, b"fLaC", "a FLAC sound", AS_SAMPLES),
    Kind(0, b"OggS", "an Ogg sound", AS_SAMPLES),
    Kind(0, b"ID3", "an MP3 sound", AS_SAMPLES),
    Kind(0, b"\xff\xfb", "an MP3 sound", AS_SAMPLES),
    Kind(0, b"MThd", "a MIDI file", AS_SAMPLES),
    Kind(0, b"%PDF-", "a PDF document", AS_TEXT),
    Kind(0, b"{\\rtf", "an RTF document", AS_TEXT),
    Kind(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an older Office (.xls, .doc)", AS_SHEET),
    Kind(0, b"SQLite format 3\0", "an SQLite database", "Export its tables as CSV: sqlite3 -header -csv FILE."),
    Kind(0, b"PAR1", "a Parquet file", AS_TABLE),
    Kind(0, b"ARROW1", "an Arrow file", AS_TABLE),
    Kind(0, b"FEA1", "a Feather file", AS_TABLE),
    Kind(0, b"ORC", "an ORC file", AS_TABLE),
    Kind(0, b"Obj\x01", "an Avro file", AS_TABLE),
    Kind(0, b"<stata_dta>", "a Stata file", AS_TABLE),
    Kind(0, b"$FL2", "an SPSS file", AS_TABLE),
    Kind(0, b"RDX2\n", "an R data file", AS_TABLE),
    Kind(0, b"RDX3\n", "an R data file", AS_TABLE),
    Kind(0, b"X\n\0\0\0", "an R data file", AS_TABLE),
    Kind(0, b"MATLAB 7.3 MAT-file", "a MATLAB file", AS_ARRAYS),
    Kind(0, b"MATLAB 5.0 MAT-file", "a MATLAB file", AS_ARRAYS),
    Kind(0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", AS_ARRAYS),
    Kind(512, b"\x89HDF\r\n\x1a\n", "an HDF5 file", AS_ARRAYS),
    Kind(0, b"CDF\x01", "a NetCDF file", AS_ARRAYS),
    Kind(0, b"CDF\x02", "a NetCDF file", AS_ARRAYS),
    Kind(0, b"SIMPLE  =", "a FITS file", AS_ARRAYS),
    Kind(128, b"DICM", "a DICOM picture", AS_PIXELS),
    Kind(344, b"n+1\0", "a NIfTI volume", AS_ARRAYS),
    Kind(0, b"GGUF", "a GGUF model", AS_ARRAYS),
    Kind(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    Kind(0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    Kind(0, b"(\xb5/\xfd", "a file compressed by Zstandard", "Unpack it, or compress it with gzip, bzip2 or xz."),
    Kind(0, b"\x04\x22\x4d\x18", "a file compressed by LZ4", "Unpack it, or compress it with gzip, bzip2 or xz."),
    Kind(0, b"\x1f\x9d", "a file compressed by compress", "Unpack it, or compress it with gzip, bzip2 or xz."),
    Kind(0, b"\x7fELF", "a program", "Name the file that you meant."),
    Kind(0, b"BM", "a BMP picture", AS_PIXELS),
    Kind(0, b"MZ", "a program", "Name the file that you meant."),
)  # fmt: skip

# What a zip archive is by a member that all of its kind have.
KINDS_OF_ZIP = (
    ("xl/workbook.xml", "an Excel workbook", AS_SHEET),
    ("xl/workbook.bin", "an Excel workbook", AS_SHEET),
    ("word/document.xml", "a Word document", AS_TEXT),
    ("ppt/presentation.xml", "a PowerPoint presentation", AS_TEXT),
    ("META-INF/container.xml", "an EPUB book", AS_TEXT),
    ("META-INF/manifest.xml", "a document of LibreOffice (.ods, .odt)", "Save it as CSV, or as text."),
    ("data.pkl", "a PyTorch file", AS_ARRAYS),
    ("model.weights.h5", "a Keras model", AS_ARRAYS),
)
MAGIC = {".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".zip": b"PK", ".npz": b"PK", ".npy": b"\x93NUMPY"}


def wrong_content(head: bytes, name: str, *, of_its_size: bool = False) -> str | None:
    """Return what these first bytes are, if they surely are no part of a file of that name; else None.

    Where all that comes is of the declared size, nothing is sure but that a .gz begins like a gzip: the hash decides.

    >>> wrong_content(b"<!DOCTYPE html><title>Campus Wi-Fi</title>", "train.gz")
    'an HTML page titled "Campus Wi-Fi" (a login page?)'
    >>> wrong_content(b"<!DOCTYPE html><title>Campus Wi-Fi</title>", "page.html")
    >>> wrong_content(b"<!DOCTYPE html><title>Campus Wi-Fi</title>", "train.qa", of_its_size=True)
    """
    if of_its_size and not name.lower().endswith(tuple(MAGIC)):
        return None
    if head.startswith(LFS_POINTER):
        return _lfs_pointer(head)
    if name.lower().endswith(TEXTS):
        return None
    return _page(head) or storage_error_code(head)


def kind_of(head: bytes) -> Kind | None:
    r"""Return which kind of file begins like this, if it is a known one that no format reads.

    Short signs that text may begin with count only where bytes follow that text has not.

    >>> kind_of(b"\x89PNG\r\n\x1a\n").name
    'a PNG picture'
    >>> kind_of(b"BMW,1\nMZ,2\n")
    """
    kind = next((kind for kind in KINDS if head.startswith(kind.magic, kind.at)), None)
    return None if kind and len(kind.magic) < 5 and _is_printable(head) else kind


def kind_of_zip(names: Sequence[str]) -> tuple[str, str] | None:
    """Return what a zip archive with members of these names is called, and what to do instead."""
    last = {name.rpartition("/")[2] for name in names}
    return next(((what, hint) for member, what, hint in KINDS_OF_ZIP if member in names or member in last), None)


def _is_printable(head: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)


def describe(head: bytes, name: str, *, bytes_came: int | None = None, bytes_declared: int | None = None) -> str | None:
    """Return the best guess at what these first bytes are, of a file that is already known to be wrong."""
    suffix = next((end for end in MAGIC if name.lower().endswith(end)), None)
    known = (head.startswith(LFS_POINTER) and _lfs_pointer(head)) or _page(head) or storage_error_code(head)
    if known:
        return known
    if not head:
        return "an empty file" if bytes_came == 0 else None
    if head.startswith(MAGIC[".gz"]) and suffix not in (".gz", ".tgz"):
        return f"a gzip{_gzip_of(head)}, where none was declared"
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


def storage_error_code(head: bytes) -> str | None:
    """Return the words of an object store or an API that answers in XML or JSON.

    >>> storage_error_code(b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>Gone.</Message></Error>")
    'an XML storage error, "NoSuchKey": "Gone."'
    >>> storage_error_code(b'{"error": {"code": 404, "message": "No such object"}}')
    'a JSON error: "No such object"'
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").decode("utf-8", "replace")
    if text.startswith("<") and (code := re.search(r"<Code>\s*([^<]{1,80}?)\s*</Code>", text)):
        message = re.search(r"<Message>\s*([^<]{1,200}?)\s*</Message>", text)
        return f"an XML storage error, {quoted(code[1])}" + (f": {quoted(message[1])}" if message else "")
    if not text.startswith("{"):
        return None
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return "JSON that begins like an error" if re.match(r'\{\s*"(error|errors|message|detail)"', text) else None
    for key in ("error", "errors", "message", "detail"):
        if key in parsed:
            while isinstance(parsed, dict) and (
                inner := next((parsed[k] for k in (key, "message") if k in parsed), None)
            ):
                parsed = inner
            return f"a JSON error: {quoted(parsed)}" if isinstance(parsed, str) else "a JSON error"
    return None


def is_page(head: bytes) -> bool:
    """Check whether these first bytes are those of an HTML page."""
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
    """Return the name that a gzip keeps of what it holds (RFC 1952, FNAME)."""
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


def quoted(words: str) -> str:
    """Quote words from outside on one short line: they go to a terminal."""
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return f'"{words[:77]}..."' if len(words) > 80 else f'"{words}"'
