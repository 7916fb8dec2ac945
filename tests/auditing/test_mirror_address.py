"""A mirror at an address, a web server's or a store's, is read to the last byte and compared with the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.conftest import Served
from tests.helpers.audit_world import World
from tests.helpers.faulty_server import FaultyServer
from tests.helpers.faulty_server import serve as drip_bytes
from tests.pipeline.test_variants import FIRST, KERAS, declare, put
from tinytorch_datasets import audit, load_manifest
from tinytorch_datasets.cli import main
from tinytorch_datasets.errors import UsageError
from tinytorch_datasets.fetch import RetryPolicy
from tinytorch_datasets.mirror.copy import MOST_LINES, mirror

HASTE = RetryPolicy(tries=1, backoff_first_s=0.01, backoff_limit_s=0.02, poll_s=0.01)
Where = tuple[Path, str]


@pytest.fixture
def usb(world: World, tmp_path: Path) -> Path:
    """A mirror folder of the world's data sets."""
    mirror(load_manifest(world.manifest), tmp_path / "usb", [], offline=True)
    return tmp_path / "usb"


@pytest.fixture
def in_memory(usb: Path) -> Iterator[Callable[[], str]]:
    """What copies the folder into a store, and returns its address."""
    fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed")
    files = fsspec.filesystem("memory")
    files.store.clear()

    def put() -> str:
        for path in usb.rglob("*"):
            if path.is_file():
                files.pipe_file(f"/class/{path.relative_to(usb).as_posix()}", path.read_bytes())
        return "memory://class"

    yield put
    files.store.clear()


def relist(usb: Path, name: str, line: str) -> None:
    """Write that in place of a file's line in the list; {} is the line."""
    lines = (usb / "SHA256SUMS").read_text().splitlines(keepends=True)
    (usb / "SHA256SUMS").write_text("".join(line.format(one) if name in one else one for one in lines))


def append(usb: Path, lines: str) -> None:
    """Write more behind the list."""
    with (usb / "SHA256SUMS").open("a") as out:
        out.write(lines)


CASES = (
    ("a flipped byte", lambda usb, world: world.flip(usb / "digits/test-labels"), "mirror-hash", "test-labels: {b"),
    ("another size", lambda usb, world: (usb / "digits/test-labels").write_bytes(b"no"), "mirror-length",
     "test-labels: {b"),
    ("a missing file", lambda usb, world: (usb / "talk/talk.txt").unlink(), "mirror-refuses", "talk.txt: {b"),
    ("another manifest", lambda usb, world: world.flip(usb / "datasets.yaml"), "mirror-hash", "version: 1"),
    ("no list of sums", lambda usb, world: (usb / "SHA256SUMS").unlink(), "file-missing", "version: 1"),
    ("an empty list", lambda usb, world: (usb / "SHA256SUMS").write_text(""), "file-missing", "version: 1"),
    ("a wrong line", lambda usb, world: relist(usb, "talk/talk.txt", "0" * 64 + "  talk/talk.txt\n"), "file-hash",
     "talk.txt: {b"),
    ("a file that is not listed", lambda usb, world: relist(usb, "digits/test-labels", ""), "sums", "test-labels: {b"),
    ("a page in place of the list", lambda usb, world: (usb / "SHA256SUMS").write_text("<!DOCTYPE html><p>Log in"),
     "mirror-wrong-content", "version: 1"),
    ("a list without end", lambda usb, world: append(usb, "\n" * (MOST_LINES + 1)), "sums", "version: 1"),
    ("a line of no wheel", lambda usb, world: append(usb, f"{'0' * 64}  packages/run.sh\n"), "file-hash", "version: 1"),
    ("a manifest that is not listed", lambda usb, world: relist(usb, "datasets.yaml", ""), "sums", "version: 1"),
)  # fmt: skip


@pytest.mark.parametrize(("damage", "rule", "line"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_differs_is_found(
    world: World,
    usb: Path,
    serve: Callable[[Path], Served],
    in_memory: Callable[[], str],
    damage: Callable[[Path, World], object],
    rule: str,
    line: str,
) -> None:
    """The same from a web server and from a store: on the manifest's line, with the sentence of what to do."""
    damage(usb, world)
    for address in (serve(usb), in_memory()):
        report = audit(manifest=world.manifest, mirror=address, retry=HASTE)

        found = [(finding.rule, finding.line) for finding in report.findings]
        assert (report.exit_code, found) == (1, [(rule, world.line(line))])
        again = "Run `tinytorch-datasets mirror memory://class/` again: it replaces what is wrong."
        if "more than" in report.findings[0].what:  # which `mirror` refuses, too
            again = "See what it is, and delete it: `tinytorch-datasets mirror memory://class/` writes it anew."
        copied = "Copy the folder there again that `tinytorch-datasets mirror` wrote."
        assert report.findings[0].hint == (again if "memory" in address else copied)


def test_a_list_that_is_none_leaves_no_file_out(world: World, usb: Path, serve: Callable[[Path], Served]) -> None:
    """Lines that say nothing are no list of other files: all that is declared is read."""
    (usb / "SHA256SUMS").write_text("no such session\n")
    world.flip(usb / "digits/test-labels")

    report = audit(manifest=world.manifest, mirror=serve(usb))
    assert {row.name: row.state for row in report.datasets} == {"flowers": "ok", "talk": "ok", "digits": "mismatch"}
    assert sorted(finding.rule for finding in report.findings) == ["mirror-hash", "sums"]


def test_lines_of_nothing_are_counted(world: World, usb: Path, serve: Callable[[Path], Served]) -> None:
    """The first hundred are reported, and no name without end: whoever serves the list decides how long it is."""
    append(usb, f"{'0' * 64}  {'long' * 10_000}\n")
    append(usb, "".join(f"{'0' * 64}  x/{number}\n" for number in range(2000)))

    for mirrored in (serve(usb), usb):
        findings = audit(manifest=world.manifest, mirror=mirrored).findings
        assert len(findings) == 101
        assert findings[-1].what == "1,901 more lines of SHA256SUMS are of no file that is declared, or of one again"
        assert max(len(finding.what) for finding in findings) < 1300


def test_a_file_of_two_data_sets_is_no_part_of_the_other(
    world: World, tmp_path: Path, serve: Callable[[Path], Served]
) -> None:
    """A mirror of one data set has what it shares with another one, which is not there for it."""
    text = world.manifest.read_text()
    two = text[text.index("  talk:") : text.index("  digits:")].replace("  talk:", "  talks:\n    folder: talk")
    world.manifest.write_text(f"{text}\n{two.rstrip()}\n      more.txt: {{bytes: 5, sha256: {'ab' * 32}}}\n")
    mirror(load_manifest(world.manifest), tmp_path / "usb", ["talk"], offline=True)

    report = audit(manifest=world.manifest, mirror=serve(tmp_path / "usb"))
    assert {row.name: row.state for row in report.datasets}["talks"] == "not downloaded"
    assert not report.findings


def test_files_of_a_container_that_is_not_whole_are_read_too(tmp_path: Path, serve: Callable[[Path], Served]) -> None:
    """Beside a container that is whole and right, a file of another one may be any."""
    manifest = declare(tmp_path / "own")
    mirror(load_manifest(manifest), tmp_path / "usb", [], source=str(put(tmp_path / "stick", KERAS)))
    put(tmp_path / "usb" / "digits", {"labels.gz": bytes(len(FIRST["labels.gz"]))})
    append(tmp_path / "usb", f"{sha256(FIRST['labels.gz']).hexdigest()}  digits/labels.gz\n")

    for mirrored, rule in ((serve(tmp_path / "usb"), "mirror-hash"), (tmp_path / "usb", "file-hash")):
        [finding] = audit(manifest=manifest, mirror=mirrored).findings
        assert (finding.rule, Path(finding.path).name) == (rule, "labels.gz")


def test_what_is_right_is_one_row_each(world: World, usb: Path, serve: Callable[[Path], Served]) -> None:
    """Every byte of every file was asked for, and nothing of it is on this computer then."""
    address = serve(usb)
    result = CliRunner().invoke(main, ["audit", "--mirror", address, "--manifest", str(world.manifest)])

    assert result.exit_code == 0, result.output
    listed = {f"/{line.split('  ')[1]}" for line in (usb / "SHA256SUMS").read_text().splitlines()}
    assert set(address.asked) == listed | {"/SHA256SUMS"}
    report = audit(manifest=world.manifest, mirror=address)
    assert [(row.name, row.state, row.files, row.bytes) for row in report.datasets] == [
        ("flowers", "ok", 2, 496), ("talk", "ok", 1, 29), ("digits", "ok", 4, 354),
    ]  # fmt: skip
    assert {probe.detail for probe in report.addresses} == {"every byte"}


def test_a_data_set_that_is_not_there(world: World, tmp_path: Path, serve: Callable[[Path], Served]) -> None:
    """It is no finding, unless it was asked for by its name."""
    mirror(load_manifest(world.manifest), tmp_path / "usb", ["talk"], offline=True)
    address = serve(tmp_path / "usb")

    states = {row.name: row.state for row in audit(manifest=world.manifest, mirror=address).datasets}
    assert states == {"flowers": "not downloaded", "talk": "ok", "digits": "not downloaded"}
    [finding] = audit(["digits"], manifest=world.manifest, mirror=address).findings
    assert (finding.rule, finding.what) == ("file-missing", f"nothing of digits is in {address}")


def test_a_server_that_is_off_says_nothing_of_the_files(world: World) -> None:
    """Exit 3, as of every address that does not answer."""
    report = audit(manifest=world.manifest, mirror="http://127.0.0.1:9/", retry=HASTE)

    assert report.exit_code == 3
    assert {finding.rule for finding in report.findings} == {"mirror-unreachable"}
    assert {row.state for row in report.datasets} == {"not checked"}


def test_a_list_that_drips_is_given_up(world: World, server: FaultyServer) -> None:
    """It says nothing of the files, whose addresses are asked all the same."""
    server.at("/class/SHA256SUMS", drip_bytes(b"0" * 64 + b"  talk/talk.txt\n", piece=1, pause_s=0.02))
    haste = RetryPolicy(tries=1, drip_bytes_per_s=1000, drip_window_s=0.2)
    report = audit(["talk"], manifest=world.manifest, mirror=f"{server.url}/class", retry=haste)

    first = report.findings[0]
    assert (first.rule, first.severity) == ("mirror-unreachable", "unknown")
    assert "/class/SHA256SUMS could not be checked: only drips (" in first.what


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        ("https://ada:pw@example.org/", "the mirror's address has credentials in it, which would stand in reports"),
        ("https://example.org/?key=1", "has a '?' in it, after which no file's name can follow"),
        ("https://example.org/", "a mirror at an address opens sockets, and TINYTORCH_DATASETS_OFFLINE forbids it"),
        ("http://", "the mirror http:// names no host"),
        ("https://:443/class", "the mirror https://:443/class names no host"),
        ("ftp://example.org/", "mirror is an address of ftp://, where a path is needed"),
    ],
)
def test_what_is_refused(world: World, mirror: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence without the password, before a socket is opened."""
    monkeypatch.setenv("TINYTORCH_DATASETS_OFFLINE", "1")
    with pytest.raises(UsageError) as caught:
        audit(manifest=world.manifest, mirror=mirror)

    assert message in str(caught.value)
    assert "pw" not in str(caught.value)


def test_credentials_in_an_address(world: World) -> None:
    """The hint names no other place to write them to, because none is read."""
    with pytest.raises(UsageError) as caught:
        audit(manifest=world.manifest, mirror="https://ada:pw@example.org/")

    assert caught.value.hint == "Audit the folder that is served there, or an address that asks for none."
