"""S3 by a real client, over real sockets: moto's server, a proxy that cuts, and the Hub's protocol over loopback."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.fetch.test_stores import Place
from tests.helpers import fresh_process
from tests.helpers.audit_world import World
from tests.helpers.faulty_server import free_port, sha256
from tests.helpers.s3_server import KEY, REGION, SECRET, Proxy, S3Server
from tinytorch_datasets import audit, get, load_manifest
from tinytorch_datasets.errors import FetchError
from tinytorch_datasets.fetch import RetryPolicy
from tinytorch_datasets.mirror.bucket import mirror_to_store
from tinytorch_datasets.plan import File

pytest.importorskip("s3fs", reason="s3fs is not installed")
pytest.importorskip("moto", reason="moto, a server of S3, is not installed")
pytest.importorskip("flask_cors", reason="flask-cors, of moto's server, is not installed")

pytestmark = pytest.mark.slow

HASTE = RetryPolicy(read_timeout_s=5, backoff_first_s=0.01, backoff_limit_s=0.02, poll_s=0.01)
DATA = random.Random(11).randbytes(9 * 2**20 + 5)
WHOLE = 10**9  # an act of the proxy: nothing is cut; moto closes each connection after its answer
FILE = File(name="points.bin", bytes=len(DATA), sha256=sha256(DATA), urls=(), where="datasets.yaml:7")
CONFIGURATION = (
    "AWS_PROFILE and ~/.aws, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket, FSSPEC_S3_ANON=true"
)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """A server of S3, with a bucket."""
    with S3Server() as server:
        server.put("course", "class/points/points.bin", DATA)
        yield server


@pytest.fixture(autouse=True)
def environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library finds the server, and its credentials."""
    variables = {"AWS_ENDPOINT_URL": s3.url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    for name, value in {**variables, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty downloads folder."""
    return Place(tmp_path)


@pytest.fixture(scope="module")
def bucket(s3: S3Server, realdata: Path) -> str:
    """A bucket that has what a home, or a mirror, has."""
    for path in sorted((realdata / "mnist").glob("*.gz")):
        s3.put("lab", f"data/mnist/{path.name}", path.read_bytes())
    return "s3://lab/data"


class TestMnist:
    """The real files, from a bucket."""

    @pytest.mark.parametrize("role", ["home", "mirror"])
    def test_the_arrays(self, role: str, bucket: str, home: Path) -> None:
        """Sixty thousand digits, with the published counts of each."""
        mnist = get("mnist", home=bucket) if role == "home" else get("mnist", mirror=bucket)

        assert mnist.train.images.shape == (60_000, 28, 28)
        counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(mnist.train.labels).tolist() == counts
        assert any((home / "mnist").glob("*.gz"))


class TestWays:
    """What a network and a store do on the way."""

    def test_a_connection_that_is_cut(self, s3: S3Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """The bytes are right in the end, and less than a block a cut comes twice."""
        with Proxy(s3.url, *[700_000] * 5, 3_000_000, 50) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)

            assert place.fetch(FILE, "s3://course/class", retry=HASTE) == DATA
            assert proxy.answered < len(DATA) + 7 * 4 * 2**20

    def test_a_later_call_goes_on(self, s3: S3Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a call that was cut for good."""
        with Proxy(s3.url, *[WHOLE] * 5, 700_000, *[b""] * 200) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
            assert place.reasons(FILE, "s3://course/class", retry=HASTE) == ["the connection was lost (3 tries)"] * 2
        kept = (place.into / "points.bin.part").stat().st_size
        with Proxy(s3.url) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
            assert place.fetch(FILE, "s3://course/class") == DATA

            assert kept == 15 * 2**16
            assert proxy.answered < len(DATA) - kept + 20_000

    def test_a_store_that_asks_to_slow_down(self, s3: S3Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is asked again."""
        busy = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with Proxy(s3.url, busy, busy) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)

            assert place.fetch(FILE, "s3://course/class") == DATA

    def test_a_wrong_byte(self, s3: S3Server, place: Place) -> None:
        """It is refused."""
        s3.put("course", "wrong/points/points.bin", DATA[:-1] + b"x" if DATA[-1:] != b"x" else DATA[:-1] + b"y")

        assert place.reasons(FILE, "s3://course/wrong") == [
            "sends other bytes than the declared ones",
            "there is no such file",
        ]
        assert not (place.into / "points.bin").exists()

    def test_no_server(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is the endpoint that cannot be reached."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

        assert place.reasons(FILE, "s3://course/class") == ["the connection was refused"] * 2

    def test_no_credentials(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sentence names where that library looks for them."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")

        reason = f"no credentials that can be used are configured ({CONFIGURATION})"
        assert place.reasons(FILE, "s3://course/class") == [reason] * 2

    def test_no_credentials_for_a_mirror(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither to try later nor to run it again is of use, and no mirror is gone."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        configure = "Configure them for the library that reads that store"

        report = audit(["digits"], manifest=world.manifest, mirror="s3://course/class")
        assert {finding.hint for finding in report.findings} == {f"{configure}."}
        with pytest.raises(FetchError) as caught:
            mirror_to_store(load_manifest(world.manifest), "s3://course/class", ["digits"])
        assert caught.value.hint == f"{configure}, and run it again."


class TestMirror:
    """`mirror s3://...` puts files, and `get` has them from there."""

    def test_files_are_put_once(self, s3: S3Server, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second time the store's own digests say that they are there; none is read."""
        s3.put("lab2", "begun", b"")
        manifest = load_manifest(world.manifest)
        [first] = mirror_to_store(manifest, "s3://lab2/class", ["digits"])
        with Proxy(s3.url) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
            [second] = mirror_to_store(manifest, "s3://lab2/class", ["digits"])
            requests = proxy.asked

        assert (first.copied, second.kept) == (4, 4)
        assert {request.split()[0] for request in requests if "digits" in request} == {"HEAD"}
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        home = world.root / "another"
        assert len(get("digits", manifest=world.manifest, home=home, mirror="s3://lab2/class").train) == 12

    def test_no_bucket_to_write_to(self, world: World) -> None:
        """It is the bucket that is missing, and no file; to run it again would help nobody."""
        with pytest.raises(FetchError) as caught:
            mirror_to_store(load_manifest(world.manifest), "s3://no-such-bucket/class", ["digits"])
        assert str(caught.value) == (
            "digits/train-images could not be put into the store:\n"
            "  s3://no-such-bucket/class/digits/train-images: there is no such bucket\n"
            "  Make it, or correct the address."
        )


class TestRights:
    """Whoever may read an object need not be able to list them."""

    @pytest.fixture(autouse=True)
    def keys(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The keys of a user who may get objects of class/, and do nothing else."""
        iam = s3.client("iam")
        iam.create_user(UserName="reader")
        rights = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::course/class/*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
        iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
        key = iam.create_access_key(UserName="reader")["AccessKey"]
        iam.close()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        s3.ask_for_rights(after="0")
        yield
        s3.ask_for_rights(after="inf")
        iam = s3.client("iam")
        iam.delete_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName="reader", PolicyName="read")
        iam.delete_user(UserName="reader")
        iam.close()

    def test_it_is_enough_to_get(self, place: Place) -> None:
        """Nothing is listed."""
        assert place.fetch(FILE, "s3://course/class") == DATA

    def test_another_prefix_is_denied(self, place: Place) -> None:
        """In one sentence, without a key."""
        reason = f"access was denied (credentials are from {CONFIGURATION})"
        assert place.reasons(FILE, "s3://course/private") == [reason] * 2


class TestAudit:
    """`audit --remote` reads digests that a store states."""

    def report(self, world: World, s3: S3Server, data: bytes) -> list[tuple[str, str]]:
        """What is found of the addresses of one file, which the bucket has otherwise."""
        for name in ("train-images", "train-labels", "test-images", "test-labels"):
            body = data if name == "train-images" else world.file(f"digits/{name}").read_bytes()
            s3.put("audit", name, body, ChecksumAlgorithm="SHA256")
        world.edit("https://mirror.invalid/digits/", "s3://audit/")
        report = audit(["digits"], manifest=world.manifest, levels=["remote"])
        return [(probe.state, probe.detail) for probe in report.addresses if probe.url.startswith("s3:")]

    def test_a_checksum_vouches_for_it(self, world: World, s3: S3Server) -> None:
        """S3 has the sha256 of what was uploaded with it."""
        states = self.report(world, s3, world.file("digits/train-images").read_bytes())

        assert states == [("ok", "length, sha256 by Repr-Digest")] * 4

    def test_another_checksum_contradicts_it(self, world: World, s3: S3Server) -> None:
        """Without a download of it."""
        data = bytearray(world.file("digits/train-images").read_bytes())
        data[-1] ^= 1

        states = self.report(world, s3, bytes(data))
        assert ("mismatch", "states in Repr-Digest the sha256") in states


HUB = """
import sys
from pathlib import Path
from tinytorch_datasets.fetch import fetch
from tinytorch_datasets.plan import File
name, size, sha256, root, mirror = sys.argv[1:]
file = File(name=name, bytes=int(size), sha256=sha256, urls=(), where="datasets.yaml:7")
options = {"folder": "points", "locks": Path(root) / "locks", "reuse_from": (), "progress": lambda *done: None}
fetch([file], Path(root) / "points", mirror=mirror, **options)
"""


class TestHub:
    """hf:// by huggingface_hub, whose server is one that speaks what it asks for."""

    @pytest.fixture
    def hub(self) -> Iterator[str]:
        """The address of such a server, with one file that Git LFS keeps."""
        listed = {"type": "file", "path": "data/points/points.bin", "oid": "a" * 40, "size": len(DATA)}
        listed["lfs"] = {"oid": FILE.sha256, "size": len(DATA), "pointerSize": 130}
        about = {"id": "course/points", "sha": "b" * 40, "private": False, "tags": [], "siblings": []}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body, more = 200, json.dumps(about).encode(), {}
                if "/tree/" in self.path or "/paths-info/" in self.path:
                    body = json.dumps([listed]).encode()
                elif "/resolve/" in self.path:
                    first, _, last = self.headers["Range"][6:].partition("-")
                    body, status = DATA[int(first) : int(last) + 1], 206
                    more["Content-Range"] = f"bytes {first}-{int(first) + len(body) - 1}/{len(DATA)}"
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": len(body), **more}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def log_message(self, *args: object) -> None:
                """Keep the terminal for pytest."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()

    @pytest.mark.skipif(sys.platform == "win32", reason="forks read the variable when they import the library")
    def test_a_file_of_a_repository(self, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By ranges, and verified as any."""
        pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
        monkeypatch.setenv("HF_ENDPOINT", hub)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        facts = (FILE.name, str(FILE.bytes), FILE.sha256, str(tmp_path), "hf://datasets/course/points/data")
        done = fresh_process.python("-c", HUB, *facts)

        assert done.returncode == 0, done.stderr
        assert (tmp_path / "points" / "points.bin").read_bytes() == DATA
