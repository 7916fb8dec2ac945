"""Digests that hosts state in headers: they vouch for a file's bytes, contradict the manifest, or say nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.audit_world import World, copied, mirrored
from tests.helpers.faulty_server import FaultyServer, answer, serve
from tinytorch_datasets.auditing.remote import Address, probe_all
from tinytorch_datasets.plan import File

NAME = "train-images"


def base64_of(algorithm: str, data: bytes) -> str:
    """A digest as headers carry it."""
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


def hex_of(algorithm: str, data: bytes) -> str:
    """A digest as manifests carry it."""
    return hashlib.new(algorithm, data).hexdigest()


DATA = bytes(range(200))


def rows(urls: dict[str, str], md5: str | None = hex_of("md5", DATA)) -> dict[str, tuple[str, str, list[Any]]]:
    """The state, the detail and the findings of each address, which is declared as one of `DATA`."""
    file = File("data.bin", len(DATA), hex_of("sha256", DATA), (), "datasets.yaml:9")
    targets = [Address("numbers", file, md5, url, "datasets.yaml:9") for url in urls.values()]
    probes = probe_all(targets, deep=False, known={})
    return {
        case: (p.result.state, p.result.detail, [(f.rule, f.what, f.expected, f.actual) for f in p.findings])
        for case, p in zip(urls, probes, strict=True)
    }


# Each header as its host's documentation has it, for bytes `d`; and what the report names.
Headers = Callable[[bytes], dict[str, str]]
VOUCHES: dict[str, tuple[Headers, str]] = {
    "google cloud storage": (
        lambda d: {"X-Goog-Hash": f"crc32c=AAAAAA==,md5={base64_of('md5', d)}"},
        "MD5 by X-Goog-Hash",
    ),
    "an etag of 32 hex digits": (lambda d: {"ETag": f'"{hex_of("md5", d)}"'}, "MD5 by ETag"),
    "an etag of 64 hex digits": (lambda d: {"ETag": f'"{hex_of("sha256", d)}"'}, "sha256 by ETag"),
    "hugging face": (lambda d: {"X-Linked-ETag": f'"{hex_of("sha256", d)}"'}, "sha256 by X-Linked-ETag"),
    "rfc 9530, representation": (
        lambda d: {"Repr-Digest": f"sha-512=:AAAA:, sha-256=:{base64_of('sha256', d)}:"},
        "sha256 by Repr-Digest",
    ),
    "rfc 9530, content": (
        lambda d: {"Content-Digest": f"sha-256=:{base64_of('sha256', d)}:"},
        "sha256 by Content-Digest",
    ),
    "rfc 3230": (lambda d: {"Digest": f"SHA-256={base64_of('sha256', d)}"}, "sha256 by Digest"),
    "rfc 1864": (lambda d: {"Content-MD5": base64_of("md5", d)}, "MD5 by Content-MD5"),
}


def test_the_declared_digest_vouches(server: FaultyServer) -> None:
    """The row says by which header; that no length is stated is then no question."""
    urls = {
        case: server.at(f"/{n}", serve(DATA, chunked=True, headers=headers(DATA)))
        for n, (case, (headers, _)) in enumerate(VOUCHES.items())
    }

    assert rows(urls) == {case: ("ok", by, []) for case, (_, by) in VOUCHES.items()}


CERTAIN: dict[str, tuple[Headers, str]] = {
    name: case for name, case in VOUCHES.items() if not name.startswith("an etag")
} | {
    "amazon s3": (
        lambda d: {"Server": "AmazonS3", "X-Amz-Server-Side-Encryption": "AES256", "ETag": f'"{hex_of("md5", d)}"'},
        "MD5 by ETag",
    )
}


def test_another_digest_contradicts(server: FaultyServer) -> None:
    """The right length, and a header that can only be of other bytes: an error with both digests."""
    other = DATA[:-1] + b"x"
    urls = {
        case: server.at(f"/{n}", serve(other, headers=headers(other)))
        for n, (case, (headers, _)) in enumerate(CERTAIN.items())
    }
    expected = {}
    for case, (_, by) in CERTAIN.items():
        algorithm, _, header = by.partition(" by ")
        stated, declared = (hex_of(algorithm.lower(), these) for these in (other, DATA))
        first = f"states in {header} the {algorithm}"
        what = f"{urls[case]} {first}\n    {stated}, declared is\n    {declared}"
        expected[case] = ("mismatch", first, [("mirror-digest", what, declared, stated)])

    assert rows(urls) == expected


OTHER = hashlib.md5(b"other").hexdigest()
OTHER_SHA256 = hashlib.sha256(b"other").hexdigest()
OTHER_BASE64 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
SILENT = {
    "an etag of several parts": {"Server": "AmazonS3", "ETag": f'"{OTHER}-17"'},
    "a weak etag": {"Server": "AmazonS3", "ETag": f'W/"{OTHER}"'},
    "an etag of a host that does not say what it is": {"ETag": f'"{OTHER}"'},
    "an etag of 64 digits, such as a hash of chunks": {"ETag": f'"{OTHER_SHA256}"'},
    "nginx: date and length": {"Server": "nginx", "ETag": '"5d8c72a5-d0"'},
    "s3, encrypted by a customer's key": {
        "Server": "AmazonS3",
        "X-Amz-Server-Side-Encryption": "aws:kms",
        "ETag": f'"{OTHER}"',
    },
    "git's id of a small file": {"X-Linked-ETag": f'"{OTHER}00000000"'},
    "a link's tag of 32 digits": {"X-Linked-ETag": f'"{OTHER}"'},
    "a composite object's crc32c": {"X-Goog-Hash": "crc32c=n03x6A=="},
    "stored in gzip, served without": {
        "X-Goog-Stored-Content-Encoding": "gzip",
        "X-Goog-Hash": f"crc32c=n03x6A==,md5={OTHER_BASE64}",
    },
    "hex where base64 belongs": {"Digest": f"SHA-256={OTHER_SHA256}"},
    "another algorithm": {"Repr-Digest": f"sha=:{OTHER_BASE64}:"},
    "no digest at all": {"Repr-Digest": "sha-256=::, md5, =, ;q=1", "Digest": "\xff", "Content-MD5": "%%%"},
}


def test_what_may_mean_something_else_says_nothing(server: FaultyServer) -> None:
    """No false contradiction: the answer is as good as one without the header."""
    urls = {case: server.at(f"/{n}", serve(DATA, headers=headers)) for n, (case, headers) in enumerate(SILENT.items())}

    assert rows(urls) == dict.fromkeys(SILENT, ("ok", "length", []))


def test_a_digest_of_the_compressed_form_is_not_of_the_file(server: FaultyServer) -> None:
    """Nor is its length."""
    headers = {"Content-Encoding": "gzip", "Repr-Digest": f"md5=:{OTHER_BASE64}:", "Content-MD5": OTHER_BASE64}
    (row,) = rows({"gzip": server.at("/gzip", serve(DATA, headers=headers))}).values()

    assert row[:2] == ("ok", "does not state the length of the file")


def test_an_undeclared_md5_is_compared_with_nothing(server: FaultyServer) -> None:
    """A file without one in the manifest has only its sha256 to go by."""
    url = server.at("/file", serve(DATA, headers={"Content-MD5": OTHER_BASE64}))

    assert rows({"file": url}, md5=None) == {"file": ("ok", "length", [])}


def test_of_a_redirect_only_what_is_of_its_target_counts(server: FaultyServer) -> None:
    """A link's tag stands on the first answer; a redirect's other headers are of the redirect."""
    server.at("/real", serve(DATA))
    linked = {"X_Linked_ETag": f'"{hex_of("sha256", DATA)}"'}
    contradicting = {"X_Linked_ETag": f'"{OTHER_SHA256}"'}
    of_itself = {"Content_MD5": OTHER_BASE64, "ETag": f'"{hex_of("md5", DATA)}"'}
    urls = {
        case: server.at(f"/{case}", answer(302, b"moved", Location="/real", **headers))
        for case, headers in {"linked": linked, "other": contradicting, "itself": of_itself, "bare": {}}.items()
    }

    assert {case: row[:2] for case, row in rows(urls).items()} == {
        "linked": ("ok", "length, sha256 by X-Linked-ETag"),
        "other": ("mismatch", "states in X-Linked-ETag the sha256"),
        "itself": ("ok", "length"),
        "bare": ("ok", "length"),
    }


def test_an_audit_reports_it_on_its_line_and_believes_the_bytes_when_deep(
    pristine: World, tmp_path: Path, server: FaultyServer
) -> None:
    """Exit 1 by a header that is wrong of right bytes, which is the host's affair: with --deep, exit 0.

    A date that was changed is no question where the declared digest vouches.
    """
    world = copied(pristine, tmp_path / "world")
    data = world.file(f"digits/{NAME}").read_bytes()
    world.edit(f"{NAME}: {{bytes: 208,", f"{NAME}: {{bytes: 208, md5: {hex_of('md5', data)},")
    mirrored(world, server, {NAME: answer(200, data, Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")})
    world.audit("--only", "remote", "--remember")

    server.at(f"/digits/{NAME}", answer(200, data, Content_MD5=OTHER_BASE64))
    code, result = world.audit("--only", "remote")
    assert (code, [(f["rule"], f["line"]) for f in result["findings"]]) == (
        1,
        [("mirror-digest", world.line(server.url))],
    )
    assert world.audit("--only", "remote", "--deep")[0] == 0

    server.at(f"/digits/{NAME}", answer(200, data, Content_MD5=base64_of("md5", data)))
    assert world.audit("--only", "remote")[1]["findings"] == []
