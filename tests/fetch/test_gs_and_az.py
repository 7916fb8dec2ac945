"""Google's and Azure's stores by their real clients, over real sockets: emulators of both on this computer."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.fetch.test_stores import Place
from tests.helpers.audit_world import World
from tests.helpers.faulty_server import free_port, sha256, until
from tinytorch_datasets import RetryPolicy, audit, get, load_manifest
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.mirror.bucket import mirror_to_store
from tinytorch_datasets.plan import File

fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed")

pytestmark = [
    pytest.mark.slow,
    # Of their libraries, which send nine megabytes as one body.
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
]

HASTE = RetryPolicy(read_timeout_s=10, backoff_first_s=0.01, backoff_limit_s=0.02, poll_s=0.01)
DATA = random.Random(12).randbytes(9 * 2**20 + 5)
FILE = File(name="points.bin", bytes=len(DATA), sha256=sha256(DATA), urls=(), where="datasets.yaml:7")
# The account and the key that every emulator of Azure has, as its manual says.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def connection(port: int, key: str = KEY) -> str:
    """What AZURE_STORAGE_CONNECTION_STRING says of an emulator."""
    at = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={at};"


def google(port: int) -> tuple[list[str], dict[str, str]]:
    """The command of an emulator of Google's, and the variables by which its library finds it."""
    if not (find_spec("gcsfs") and find_spec("gcp_storage_emulator")):
        pytest.skip("gcsfs, or gcp-storage-emulator, is not installed; the package does not need it")
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}"]
    # What its library asks about folders goes to Google itself, whatever the endpoint is.
    variables = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    return [*command, "--in-memory", "--default-bucket=course"], {**variables, "FSSPEC_GS_TOKEN": "anon"}


def azure(port: int) -> tuple[list[str], dict[str, str]]:
    """The command of an emulator of Azure's, and the variable by which its library finds it."""
    command = shutil.which("azurite-blob")
    if not (find_spec("adlfs") and command):
        pytest.skip("adlfs, or azurite, is not installed; the package does not need it")
    options = ["--blobPort", str(port), "--inMemoryPersistence", "--silent", "--skipApiVersionCheck"]
    return [command, *options], {"AZURE_STORAGE_CONNECTION_STRING": connection(port)}


@pytest.fixture(scope="module", params=["gs", "az"])
def emulator(request: pytest.FixtureRequest) -> Iterator[tuple[str, int, dict[str, str]]]:
    """The scheme of a store, its port, and the variables that are needed: an emulator with a bucket `course`."""
    port = free_port()
    command, variables = (google if request.param == "gs" else azure)(port)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(process, port), 60)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            if request.param == "az":
                fsspec.filesystem("az", skip_instance_cache=True).mkdir("course")
        yield request.param, port, variables
    finally:
        process.terminate()
        process.wait(20)


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "the emulator has ended"
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


@pytest.fixture
def bucket(emulator: tuple[str, int, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of its bucket."""
    scheme, _, variables = emulator
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return f"{scheme}://course"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty downloads folder."""
    return Place(tmp_path)


def put(address: str, data: bytes) -> None:
    """Put an object there, by the library itself."""
    files = fsspec.filesystem(address.partition(":")[0], skip_instance_cache=True)
    files.pipe_file(files._strip_protocol(address), data)


def test_a_mirror_is_written_read_and_audited(bucket: str, world: World, tmp_path: Path) -> None:
    """What is there already is told by its digest; what is another file is found, and replaced."""
    manifest, address = load_manifest(world.manifest), f"{bucket}/class"
    first = mirror_to_store(manifest, address, [], retry=HASTE)
    again = mirror_to_store(manifest, address, [], retry=HASTE)
    assert [(its.copied, its.kept) for its in again] == [(0, its.copied + its.kept) for its in first]

    for name in ("digits", "flowers"):
        home = tmp_path / f"home of {name}"
        assert len(get(name, manifest=world.manifest, home=home, mirror=address, retry=HASTE).train) in (12, 20)
    assert audit(manifest=world.manifest, mirror=address, retry=HASTE).findings == ()

    put(f"{address}/digits/train-images", world.file("digits/train-images").read_bytes()[:-1] + b"?")
    report = audit(manifest=world.manifest, mirror=address, retry=HASTE)
    assert [(finding.rule, finding.dataset) for finding in report.findings] == [("mirror-hash", "digits")]
    [its] = mirror_to_store(manifest, address, ["digits"], retry=HASTE)
    assert (its.copied, its.kept) == (1, 3)
    assert audit(manifest=world.manifest, mirror=address, retry=HASTE).findings == ()


def test_a_large_object_comes_in_ranges(bucket: str, place: Place) -> None:
    """Of nine megabytes, each byte as it was put; from the mirror, and from a home that is a store."""
    put(f"{bucket}/large/points/points.bin", DATA)

    assert place.fetch(FILE, f"{bucket}/large") == DATA
    (place.into / FILE.name).unlink()
    assert place.fetch(FILE, stores=[f"{bucket}/large"]) == DATA


def test_what_is_not_there(bucket: str, place: Place) -> None:
    """No object, or no bucket: in a sentence."""
    for address in (f"{bucket}/nothing", bucket.replace("course", "no-such-bucket")):
        assert place.reasons(FILE, address) == ["there is no such file"] * 2


def test_other_bytes(bucket: str, place: Place) -> None:
    """They are refused by the declared sha256."""
    put(f"{bucket}/other/points/points.bin", bytes(len(DATA)))

    assert place.reasons(FILE, f"{bucket}/other")[0].startswith("sends other bytes than the declared ones")


def test_credentials_that_are_refused(bucket: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence that does not show them."""
    if not bucket.startswith("az"):
        pytest.skip("the emulator of Google's asks for no credentials")
    wrong = KEY.replace("Eby8", "AAAA")
    port = int(os.environ["AZURE_STORAGE_CONNECTION_STRING"].partition("127.0.0.1:")[2].partition("/")[0])
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection(port, wrong))

    with pytest.raises(FetchError, match="access was denied") as caught:
        mirror_to_store(load_manifest(world.manifest), f"{bucket}/denied", ["digits"], retry=HASTE)
    assert wrong not in str(caught.value)
